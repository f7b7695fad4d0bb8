/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What knotd's own `zone-stats`, `stats` and statistics file tell of us: a few of our counters (counters.h), copied.
 *
 *     mod-secondary.answer[KIND]                             zone scope: of the zone; global scope: of all zones
 *     mod-secondary.state[serial|last-success|expires]       zone scope; times in seconds since the epoch
 *
 * Ours are the truth, since knotd's begin anew with each load: a worker stores what it has counted, so what knotd tells never
 * goes back over a reload. knotd keeps 8 octets for each counter, thread and zone, so there are no more of them.
 *
 * Threads: as each function says.
 */
#pragma once

#include "secondary/instance.h"

/*! Knotd's number of the counters, by the order in which they are added. */
enum { STATISTICS_ANSWER, STATISTICS_STATE };

/*! What there is to tell of a zone beside counts. 0: nothing yet. Times in seconds since the epoch. */
typedef struct {
	uint32_t serial;
	int64_t last_success, expires;
} statistics_state_t;

/*! \brief Adds the counters of \a instance to knotd's, as they stand. Thread: load(). \return KNOT_EOK or KNOT_ENOMEM. */
int statistics_start(instance_t *instance);

/*! \brief Reads the state of \a zone. Thread: any registered with RCU. Blocks: no. */
void statistics_state(const zone_t *zone, statistics_state_t *ret_state);

/*! \brief The state of \a zone may have changed. Thread: the worker. Blocks: a lock, shortly. */
void statistics_changed(zone_t *zone);

/*! \brief Name of a kind of answers. Borrow, for ever. */
const char *statistics_answer_name(answers_t kind);

/*! \brief Counts an answer. Thread: hooks. Blocks: no. */
static inline void statistics_answer(const instance_t *instance, const zone_t *zone, const knotd_qdata_t *qdata, answers_t kind)
{
	const unsigned worker = qdata->params->thread_id;
	uint64_t all;
	const uint64_t own = counters_answer(worker, zone->number, kind, &all);
	if (own > 0) {
		knotd_mod_stats_store(instance->mod, worker, STATISTICS_ANSWER, kind, instance->global ? all : own);
	}
}
