/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Fuzzes zones_file.h: any text; each name that is found is one, in lower case, and each failure has a reason.
 */
#include <assert.h>
#include <libknot/libknot.h>
#include <string.h>

#include "secondary/zones_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take(const knot_dname_t *name, void *ctx)
{
	unsigned *left = ctx;
	knot_dname_storage_t lower;
	assert(knot_dname_wire_check(name, name + KNOT_DNAME_MAXLEN, NULL) > 0);
	knot_dname_copy_lower(lower, name);
	assert(knot_dname_is_equal(lower, name));
	return --*left > 0 ? KNOT_EOK : KNOT_ENOMEM;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FILE *file = size > 0 ? fmemopen((void *)data, size, "r") : NULL;
	if (file == NULL) {
		return 0;
	}
	unsigned left = 1000;
	zones_file_error_t error = { "" };
	int ret = zones_file_parse(file, "/list", take, &left, &error);
	assert((ret == KNOT_EOK) == (error.text[0] == '\0'));
	fclose(file);
	return 0;
}
