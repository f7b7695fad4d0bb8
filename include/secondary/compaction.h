/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Making compact copies of versions in the background, so that zones that change for years take no more memory than others.
 *
 *     compaction_want() --> waiting --> in a thread of libuv's pool: amend_compact() --> loop: refresh_compacted()
 *
 * Increments leave garbage in the arena of a zone, and names without a note of their NSEC3 hash (amend.h). When it is worth its
 * time, the version is copied into an arena of its own, one zone at a time in the whole process, while it serves and changes
 * on; the copy then takes its place. Until the last reader of the old arena is gone, both are there: twice the zone's memory.
 *
 * Increments that are published meanwhile are held until the copy is there, and then applied to it, whether or not others may have
 * them (difference-max-size): a zone that changes all the time is compacted, too. They take no more memory than the version that is
 * copied; where they would, or a whole version was published, the copy is thrown away, and the next publication asks again.
 *
 * Threads: the one that runs the loop. Blocks: never. Memory: a part of each zone's agent.
 */
#pragma once

#include <sys/queue.h>
#include <uv.h>

#include "secondary/refresh.h"

/*! What a zone has to do with it. Zeroed: nothing. */
typedef struct compaction {
	TAILQ_ENTRY(compaction) entry;
	refresh_t *refresh;
	enum { COMPACTION_NONE, COMPACTION_WAITING, COMPACTION_RUNNING } state;
} compaction_t;

/*! All of a loop. */
typedef struct {
	uv_loop_t *loop;
	uv_work_t work;
	TAILQ_HEAD(, compaction) waiting;
	compaction_t *running;    /*!< NULL while one is under way: its zone has gone. */
	snapshot_t *snapshot;     /*!< Of the one under way, pinned. NULL: there is none. */
	snapshot_t *copy;         /*!< What was made of it; NULL: no memory. */
	history_run_t way;        /*!< What has led on from \a snapshot since. */
	size_t way_left;          /*!< Octets of memory that it may still grow by. */
	bool way_lost;            /*!< It would have grown beyond, or there is none. */
} compactor_t;

void compactor_init(compactor_t *compactor, uv_loop_t *loop);

/*! \brief Starts nothing more; what is under way ends before the loop does, which must run on. Nothing waits any more. */
void compactor_stop(compactor_t *compactor);

/*! \brief The zone of \a refresh has a new version: if it is worth a compact copy, that is made soon. */
void compaction_want(compactor_t *compactor, compaction_t *compaction, refresh_t *refresh);

/*!
 * \brief \a now has been published in place of \a before: a copy that is being made will have to follow.
 *
 * Each publication is told of, in their order, before compaction_want(). \param before  NULL: there was none. \a now itself: a zone
 * that recovered. \param run  Borrowed: the differences that lead from one to the other. NULL or empty: a whole version.
 */
void compaction_follow(compactor_t *compactor, const compaction_t *compaction, const snapshot_t *before,
                       const snapshot_t *now, const history_run_t *run);

/*! \brief The zone goes: nothing comes back for it. Nothing wanted is a no-op. */
void compaction_cancel(compactor_t *compactor, compaction_t *compaction);
