/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Does an upstream answer? (reach.h)
 */
#include "secondary/reach.h"

#include <string.h>

#include <libknot/descriptor.h>

static void name_set(reach_name_t *name, const cache_entry_t *entry)
{
	name->type = entry->type;
	name->len = entry->name_len;
	memcpy(name->name, entry->name, entry->name_len);
}

void reach_init(reach_t *reach)
{
	*reach = (reach_t) { .answered = { .type = KNOT_RRTYPE_SOA, .len = 1 } };
}

reach_change_t reach_answered(reach_t *reach, const cache_entry_t *entry)
{
	const bool back = reach->lost;
	name_set(&reach->answered, entry);
	reach->silences = 0;
	reach->lost = false;
	return back ? REACH_BACK : REACH_SAME;
}

reach_change_t reach_failed(reach_t *reach, const cache_entry_t *entry, bool silent, bool verifies, uint32_t now)
{
	name_set(&reach->failed, entry);
	if (!silent) {
		reach->silences = verifies ? 0 : reach->silences;
		return REACH_SAME;
	}
	if (reach->silences++ == 0) {
		reach->silent_since = now;
	}
	if (reach->lost || reach->silences < REACH_SILENCES_MAX) {
		return REACH_SAME;
	}
	if (!verifies) {
		return REACH_VERIFY;
	}
	reach->lost = reach->silences > REACH_SILENCES_MAX; /* not if something was answered meanwhile */
	return reach->lost ? REACH_LOST : REACH_SAME;
}

const reach_name_t *reach_probe(reach_t *reach)
{
	reach->probed_answered = !reach->probed_answered || reach->failed.type == 0;
	return reach->probed_answered ? &reach->answered : &reach->failed;
}
