/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Making compact copies of versions in the background.
 */
#include "secondary/compaction.h"

#include <assert.h>
#include <libknot/errcode.h>

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

static void deliver(compaction_t *compaction, const snapshot_t *was, snapshot_t *copy)
{
	refresh_t *refresh = compaction->refresh;
	compaction->state = COMPACTION_NONE;
	if (copy == NULL) {
		return;
	}
	size_t before = snapshot_memory(was);
	if (refresh_compacted(refresh, was, copy)) {
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
		deliver(compaction, was, compactor->copy);
	} else {
		snapshot_discard(compactor->copy);
	}
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
		break;
	}
	compaction->state = COMPACTION_NONE;
}
