/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What knotd's own `zone-stats`, `stats` and statistics file tell of us: a few of our counters (counters.h), copied.
 *
 *     mod-secondary.answer[KIND]                             global scope: of all its zones
 *     mod-secondary.state[serial|last-success|expires]       zone scope; times in seconds since the epoch
 *
 * Ours are the truth, since knotd's begin anew with each load: a worker stores what it has counted, so what knotd tells never
 * goes back over a reload. knotd keeps each counter of each zone for each thread: three of them take 5 MB of ten thousand zones with
 * twelve threads, answers by kind would take 8 more. So a zone has its state there, and the control socket tells the rest.
 *
 * Threads: as each function says.
 */
#pragma once

#include "secondary/instance.h"

/*! Knotd's number of our counters: an instance has one of both kinds, according to its scope. */
enum { STATISTICS_ANSWER = 0, STATISTICS_STATE = 0 };

/*! What there is to tell of a zone beside counts. 0: nothing yet. Times in seconds since the epoch. */
typedef struct {
	uint32_t serial;
	int64_t last_success, expires;
} statistics_state_t;

/*! \brief Once in a process, after counters_start(). Thread: load(). */
void statistics_init(void);

/*! Answers of the global scope. Set once; read by hooks. */
extern counters_line_t *statistics_global;

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
	(void)counters_answer(zone->answers, worker, kind);
	if (instance->global) {
		const uint64_t count = counters_answer(statistics_global, worker, kind);
		knotd_mod_stats_store(instance->mod, worker, STATISTICS_ANSWER, kind, count);
	}
}
