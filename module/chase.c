/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Following aliases from zone to zone (chase.h).
 */
#include "secondary/chase.h"

#include <libknot/descriptor.h>

#include "secondary/directory.h"

/*! The version of the zone that this answer has seen, or now sees; NULL: it has none. */
static const snapshot_t *borrow_once(chase_versions_t *versions, const zone_t *zone)
{
	for (unsigned i = 0; i < versions->count; i++) {
		if (versions->at[i].zone == zone) {
			return versions->at[i].snapshot;
		}
	}
	const snapshot_t *snapshot = zone_borrow(zone);
	if (snapshot == NULL || versions->count > ANSWER_CHAIN_MAX) {
		return NULL;
	}
	versions->at[versions->count].zone = zone;
	versions->at[versions->count++].snapshot = snapshot;
	return snapshot;
}

/*! Does the host have a zone that is closer to the target than \a zone? */
static bool is_hosts(const alias_chain_t *chain, const zone_t *zone, bool above, chase_is_host_t is_host, void *ctx)
{
	size_t pos = above ? 1 + chain->name[0] : 0;
	for (; (size_t)(chain->len - pos) > zone->name_len; pos += 1 + chain->name[pos]) {
		if (is_host(chain->name + pos, chain->len - pos, ctx)) {
			return true;
		}
	}
	return false;
}

/*! Our zone that has the chain's target, or NULL. */
static const zone_t *find_next(const alias_chain_t *chain, uint16_t qtype, chase_is_host_t is_host, void *ctx)
{
	const bool above = qtype == KNOT_RRTYPE_DS;
	const zone_t *zone = directory_find(chain->name, chain->len, above);
	return zone != NULL && !is_hosts(chain, zone, above, is_host, ctx) ? zone : NULL;
}

/*! Takes back what an answer has after its last alias: proofs about earlier ones too, which answer_continue() gives again. */
static void rewind_message(const alias_chain_t *chain, message_t *msg)
{
	msg->size = chain->end;
	msg->count[SECTION_AUTHORITY] = 0;
	msg->count[SECTION_ADDITIONAL] = 0;
}

chase_t chase(chase_versions_t *versions, const question_t *question, message_t *msg, alias_chain_t *chain,
              chase_is_host_t is_host, void *ctx, answer_result_t *result)
{
	assert(rcu_read_ongoing());

	while (chase_is_due(result, chain)) {
		const zone_t *next = find_next(chain, question->qtype, is_host, ctx);
		if (next == NULL || (result->outcome == ANSWER_REFERRAL && next->name_len <= versions->last->name_len)) {
			return CHASE_OUTSIDE; /* the zone below a cut is not ours either */
		}
		const snapshot_t *further = borrow_once(versions, next);
		if (further == NULL) {
			return CHASE_UNSERVED;
		}
		versions->last = next;
		rewind_message(chain, msg);
		*result = answer_continue(further, question, msg, chain);
	}
	return CHASE_DONE;
}
