/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Fuzzes reply.h: any message as the reply to "www.t. A"; what is accepted is sent, and has to parse.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/reply.h"

static bool is_home(const uint8_t *name, size_t len)
{
	return wire_name_within(name, len, (const uint8_t *)"\4home", 6);
}

static void check_sent(const reply_t *reply, bool dnssec)
{
	static const uint8_t before[] = "\0\0\x84\0\0\1\0\1\0\0\0\0\1a\0\0\1\0\1\xC0\x0C\0\5\0\1\0\0\0\1\0\7\3www\1t";
	static uint8_t wire[MESSAGE_MAX];
	message_t msg = { .wire = wire, .size = sizeof(before), .limit = MESSAGE_MAX, .qname_end = 15, .count = { 1 } };
	uint16_t home;
	memcpy(wire, before, sizeof(before));
	if (reply_put(reply, &msg, sizeof(before) - 7, 7, dnssec, 7, PUT_TTL_KEEP, &home) != KNOT_EOK) {
		return;
	}
	knot_wire_set_ancount(wire, msg.count[SECTION_ANSWER]);
	knot_wire_set_nscount(wire, msg.count[SECTION_AUTHORITY]);
	if (reply->kind == REPLY_HOME) {
		uint8_t name[WIRE_NAME_MAX];
		const uint8_t len = section_read_name(&msg, home, name, NULL);
		assert(is_home(name, len));
	}
	/* RDATA of types that wire.h does not know may be anything; so the names and sizes are all there is to check. */
	size_t pos = 19;
	for (unsigned left = msg.count[SECTION_ANSWER] + msg.count[SECTION_AUTHORITY]; left > 0; left--) {
		uint8_t name[WIRE_NAME_MAX];
		size_t len;
		const int taken = wire_name_read(wire, msg.size, pos, name, &len);
		assert(taken > 0 && msg.size - pos - taken >= 10);
		pos += taken + 10 + knot_wire_read_u16(wire + pos + taken + 8);
		assert(pos <= msg.size);
	}
	assert(pos == msg.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The header and question are given, so that all of the input is about records. */
	static uint8_t wire[MESSAGE_MAX];
	static const uint8_t question[] = "\3www\1t\0\0\1\0\1";
	if (size < 5 || size > 4096) {
		return 0;
	}
	memset(wire, 0, KNOT_WIRE_HEADER_SIZE);
	knot_wire_set_qr(wire);
	knot_wire_set_qdcount(wire, 1);
	knot_wire_set_rcode(wire, data[0] & 3);
	knot_wire_set_ancount(wire, data[1]);
	knot_wire_set_nscount(wire, data[2]);
	memcpy(wire + KNOT_WIRE_HEADER_SIZE, question, sizeof(question) - 1);
	memcpy(wire + KNOT_WIRE_HEADER_SIZE + sizeof(question) - 1, data + 3, size - 3);

	const reply_params_t params = {
		.name = question, .name_len = 7, .type = KNOT_RRTYPE_A, .asked = KNOT_RRTYPE_A, .ttl_max = 1000, .is_home = is_home,
	};
	(void)reply_validation_error(wire, KNOT_WIRE_HEADER_SIZE + sizeof(question) - 1 + size - 3);
	reply_t *reply;
	if (reply_accept(&params, wire, KNOT_WIRE_HEADER_SIZE + sizeof(question) - 1 + size - 3, &reply) == KNOT_EOK) {
		check_sent(reply, false);
		check_sent(reply, true);
		reply_free(reply);
	}
	return 0;
}
