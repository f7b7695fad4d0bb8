/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Making compact copies of versions in the background.
 */
#include "secondary/compaction.h"

#include <assert.h>
#include <libknot/errcode.h>
#include <stdlib.h>

#include "secondary/amend.h"
#include "secondary/report.h"

static void start(compactor_t *compactor);

/*! In a thread of the pool, which is not registered with RCU: the version is pinned, and nothing is retired here. */
static void on_work(uv_work_t *work)
{
	compactor_t *compactor = work->data;
	snapshot_t *copy = NULL;
	(void)amend_compact(compactor->snapshot, &copy);
	compactor->copy = copy;
}

/*! Keeps a difference (borrowed) on the way; false: that takes too much, or there is no memory. The room doubles when it is full. */
static bool way_add(compactor_t *compactor, difference_t *difference)
{
	history_run_t *way = &compactor->way;
	const size_t memory = difference_memory(difference);
	if (memory > compactor->way_left) {
		return false;
	}
	if ((way->count & (way->count - 1)) == 0) {
		difference_t **item = realloc(way->item, (way->count > 0 ? 2 * way->count : 1) * sizeof(*item));
		if (item == NULL) {
			return false;
		}
		way->item = item;
	}
	way->item[way->count++] = difference_hold(difference);
	way->octets += difference->size;
	compactor->way_left -= memory;
	return true;
}

/*! The way of a run (borrowed); false: there is none, or it is too long. */
static bool way_go_on(compactor_t *compactor, const history_run_t *run)
{
	for (size_t i = 0; run != NULL && i < run->count; i++) {
		if (!way_add(compactor, run->item[i])) {
			return false;
		}
	}
	return run != NULL && run->count > 0;
}

/*! \param way  NULL: it was lost. */
static void deliver(compaction_t *compaction, const snapshot_t *was, snapshot_t *copy, const history_run_t *way)
{
	refresh_t *refresh = compaction->refresh;
	compaction->state = COMPACTION_NONE;
	if (copy == NULL) {
		return;
	}
	size_t before = snapshot_memory(was);
	if (refresh_compacted(refresh, was, copy, way)) {
		report(refresh_zone(refresh), LOG_DEBUG, "compacted, %zu -> %zu octets", before,
		       snapshot_memory(refresh_version(refresh)));
	}
}

static void on_done(uv_work_t *work, int status)
{
	(void)status; /* Cancelled: then there is no copy. */
	compactor_t *compactor = work->data;
	snapshot_t *was = compactor->snapshot;
	compaction_t *compaction = compactor->running;
	compactor->snapshot = NULL;
	compactor->running = NULL;
	if (compaction != NULL) {
		deliver(compaction, was, compactor->copy, compactor->way_lost ? NULL : &compactor->way);
	} else {
		snapshot_discard(compactor->copy);
	}
	history_run_clear(&compactor->way);
	snapshot_unpin(was);
	start(compactor);
}

/*! Begins with the zone that has waited longest, and is still worth it. */
static void start(compactor_t *compactor)
{
	compaction_t *next;
	while (compactor->snapshot == NULL && (next = TAILQ_FIRST(&compactor->waiting)) != NULL) {
		TAILQ_REMOVE(&compactor->waiting, next, entry);
		next->state = COMPACTION_NONE;
		snapshot_t *version = refresh_version(next->refresh);
		if (version == NULL || !amend_wants_compaction(version)) {
			continue;
		}
		compactor->running = next;
		compactor->snapshot = snapshot_pin(version);
		compactor->copy = NULL;
		compactor->way_left = snapshot_memory(version);
		compactor->way_lost = false;
		next->state = COMPACTION_RUNNING;
		int ret = uv_queue_work(compactor->loop, &compactor->work, on_work, on_done);
		assert(ret == 0);
		(void)ret;
	}
}

void compactor_init(compactor_t *compactor, uv_loop_t *loop)
{
	*compactor = (compactor_t) { .loop = loop, .work.data = compactor };
	TAILQ_INIT(&compactor->waiting);
}

void compactor_stop(compactor_t *compactor)
{
	assert(TAILQ_EMPTY(&compactor->waiting) && compactor->running == NULL);
	if (compactor->snapshot != NULL) {
		uv_cancel((uv_req_t *)&compactor->work); /* In vain if it has begun: then it is waited for. */
	}
}

void compaction_want(compactor_t *compactor, compaction_t *compaction, refresh_t *refresh)
{
	if (compaction->state == COMPACTION_NONE && amend_wants_compaction(refresh_version(refresh))) {
		compaction->state = COMPACTION_WAITING;
		compaction->refresh = refresh;
		TAILQ_INSERT_TAIL(&compactor->waiting, compaction, entry);
		start(compactor);
	}
}

void compaction_follow(compactor_t *compactor, const compaction_t *compaction, const snapshot_t *before,
                       const snapshot_t *now, const history_run_t *run)
{
	if (compaction->state != COMPACTION_RUNNING || compactor->way_lost || before == now) {
		return;
	}
	if (before == NULL || !way_go_on(compactor, run)) {
		compactor->way_lost = true;
		history_run_clear(&compactor->way);
	}
}

void compaction_cancel(compactor_t *compactor, compaction_t *compaction)
{
	switch (compaction->state) {
	case COMPACTION_NONE:
		return;
	case COMPACTION_WAITING:
		TAILQ_REMOVE(&compactor->waiting, compaction, entry);
		break;
	case COMPACTION_RUNNING:
		compactor->running = NULL;
		history_run_clear(&compactor->way);
		break;
	}
	compaction->state = COMPACTION_NONE;
}
