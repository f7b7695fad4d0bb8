/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Fuzzes control_unit_read(): any octets; units go forward, their items end, and cutting what was read changes nothing.
 */
#include <assert.h>
#include <libknot/errcode.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/control_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*! A unit is the same when nothing but the octet that ends it is there. */
static void check_cut(const uint8_t *data, size_t from, size_t to, size_t size, const control_unit_t *unit)
{
	const size_t len = to < size ? to + 1 : to;
	uint8_t *cut = malloc(len);
	assert(cut != NULL);
	memcpy(cut, data, len);
	control_unit_t again;
	size_t pos = from;
	int ret = control_unit_read(cut, len, &pos, &again);
	assert(ret == KNOT_EOK && pos == to && again.type == unit->type);
	for (unsigned i = 0; i < KNOT_CTL_IDX__COUNT; i++) {
		assert((unit->item[i] == NULL) == (again.item[i] == NULL));
		assert(unit->item[i] == NULL || strcmp(unit->item[i], again.item[i]) == 0);
	}
	free(cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	control_unit_t unit;
	size_t pos = 0, before = 0;
	while (control_unit_read(data, size, &pos, &unit) == KNOT_EOK) {
		assert(pos > before && pos <= size);
		check_cut(data, before, pos, size, &unit);
		before = pos;
	}
	assert(pos == before);
	return 0;
}
