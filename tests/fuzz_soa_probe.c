/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Fuzzes the answers to SOA questions.
 *
 * Input: the message from its flags on, as the exchange hands out no other id than the question's; the zone is "example".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/errcode.h>

#include "secondary/soa_probe.h"

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

#define APEX "\x07" "example"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of its own size, so that a read behind the end is seen. */
	size_t len = size + 2;
	uint8_t *msg = calloc(1, len);
	CHECK(msg != NULL);
	memcpy(msg + 2, data, size);

	soa_probe_t probe;
	int ret = soa_probe_read(msg, len, (const uint8_t *)APEX, sizeof(APEX), &probe);
	CHECK(ret == KNOT_EOK || ret == KNOT_EDENIED || ret == KNOT_EMALF);
	CHECK((ret == KNOT_EOK) == (probe.reason[0] == '\0'));
	CHECK(memchr(probe.reason, '\0', sizeof(probe.reason)) != NULL);
	if (ret == KNOT_EOK && !probe.is_truncated) {
		CHECK(len > KNOT_WIRE_HEADER_SIZE + sizeof(APEX) + 20 && knot_wire_get_aa(msg));
	}
	free(msg);
	return 0;
}
