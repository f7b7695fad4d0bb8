/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Following aliases from zone to zone.
 *
 * answer() ends where an alias leaves its zone. If the target is in another zone of ours, of whatever instance, the answer goes
 * on from there, as NSD does: the aliases of both zones in one answer section, the response code and what denies or refers from
 * the last zone, AA by the first owner. Each zone is borrowed once, so that an answer which comes back to a zone sees the version
 * that it has seen before. Each alias is followed once, ANSWER_CHAIN_MAX in all; a zone without a version ends the chain.
 *
 * A target below a zone cut is looked for too, since the zone below it may be ours. What knotd serves itself is not: such a
 * zone, where it is closer to the target, makes the target one outside our zones.
 *
 * Threads: any. RCU: inside a read section. Nothing allocates or blocks.
 */
#pragma once

#include "secondary/answer.h"
#include "secondary/zone.h"

/*! How a chase ended. */
typedef enum {
	CHASE_DONE,               /*!< The answer is as complete as it gets. */
	CHASE_OUTSIDE,            /*!< The target, the chain's, is in no zone of ours; it may be that a referral to it stands. */
	CHASE_UNSERVED,           /*!< It is in a zone of ours that has no version now. */
} chase_t;

/*! The zones of one answer, each with the version that it sees; each alias leads to one more at most. */
typedef struct {
	const zone_t *last;       /*!< That was answered from last. */
	unsigned count;
	struct {
		const zone_t *zone;
		const snapshot_t *snapshot;
	} at[ANSWER_CHAIN_MAX + 1]; /*!< Set as far as it is counted. */
} chase_versions_t;

/*! \brief Is the zone \a apex (in full, \a len octets, lower case) one that the host serves itself? */
typedef bool (*chase_is_host_t)(const uint8_t *apex, size_t len, void *ctx);

/*! \brief An answer was begun from \a snapshot of \a zone. */
static inline void chase_begin(chase_versions_t *versions, const zone_t *zone, const snapshot_t *snapshot)
{
	versions->last = zone;
	versions->count = 1;
	versions->at[0].zone = zone;
	versions->at[0].snapshot = snapshot;
}

/*!
 * \brief Goes on after answer(), and again where an alias outside has led to one of our zones.
 *
 * \param versions  Of chase_begin(), for the whole of the answer.
 * \param chain     As answer() left it.
 * \param is_host   Asked about names between a target and the apex of the zone found for it.
 * \param result    As answer() returned it; gets that of the whole. Response code and truncation are to be sent as they are.
 * RCU: all zones and versions are borrowed, from the first call to the last in one read section.
 */
chase_t chase(chase_versions_t *versions, const question_t *question, message_t *msg, alias_chain_t *chain,
              chase_is_host_t is_host, void *ctx, answer_result_t *result);

/*! \brief Can an answer that ended so go on in another zone? */
static inline bool chase_is_due(const answer_result_t *result, const alias_chain_t *chain)
{
	return result->outcome == ANSWER_ALIAS || (result->outcome == ANSWER_REFERRAL && chain->steps > 0);
}
