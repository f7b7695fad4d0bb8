/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What leads from one published version of a zone to the next is put into its history, and only then are others told.
 *
 *     published --with differences--------------------------> history --> ready()
 *              \--whole, small: compared at once ----------/
 *               \--whole, large: compared in a thread of libuv's pool
 *
 * So one who is told, and asks for an increment at once, finds it. The new version serves meanwhile; whoever asks for an increment
 * without being told gets the whole zone, as if nothing were kept.
 *
 * Order. Versions that come while two are compared wait. Of whole ones only the last waits: the next comparison is between the
 * version that the history leads to by then and that one. Others are told when nothing waits any more, but after two comparisons
 * at the latest, should versions come faster than they are compared. Where a comparison fails (no memory, more than is kept) the
 * history begins anew, and others are told all the same.
 *
 * How much is kept: `difference-max-size`, but no more than the zone is worth (history_worth()), as longer ways are not sent.
 *
 * A version that is forced although its serial is not newer ends the history, unless it is the same, record for record.
 *
 * Threads: the one that runs the loop, registered with RCU. Blocks: never, but a small comparison takes up to a millisecond. Memory: both
 * versions are pinned while they are compared: the old one stays as much longer as that takes, some 0.1 s for a million records.
 */
#pragma once

#include <sys/queue.h>
#include <uv.h>

#include "secondary/zone.h"

/*! Records of both versions up to which they are compared at once: other zones wait up to a millisecond for it. */
#define VERSIONS_AT_ONCE 5000

typedef struct versions versions_t;
typedef struct version_step version_step_t;
typedef struct comparison comparison_t;

/*! Of one zone. Zeroed: nothing. */
struct versions {
	zone_t *zone;
	uv_loop_t *loop;
	void (*ready)(versions_t *versions);
	uint64_t max;             /*!< difference-max-size. */
	uint64_t octets;          /*!< Of the newest version. */
	uint64_t at_once;         /*!< VERSIONS_AT_ONCE, or what a test wants. */
	TAILQ_HEAD(version_steps, version_step) steps; /*!< That wait. */
	comparison_t *comparison; /*!< Under way; NULL: none. */
	bool is_owed;             /*!< Others have not been told of the newest version. */
	unsigned compared;        /*!< How often since that came. */
};

/*! \brief Begins. \param zone  Borrowed until versions_close(). \param ready  Others may be told; must not call back. */
void versions_open(versions_t *versions, uv_loop_t *loop, zone_t *zone, uint64_t max,
                   void (*ready)(versions_t *versions));

/*! \brief Sets `difference-max-size`; what is kept beyond it is dropped at once. With 0 nothing is compared any more: ready() may be called. */
void versions_set_max(versions_t *versions, uint64_t max);

/*!
 * \brief \a now has been published in place of \a before.
 *
 * \param before  Pinned by the caller. NULL: there was none, or it was in another process, and \a run what led on from it. \a now itself: a zone that recovered.
 * \param now     Borrowed: it serves.
 * \param run     The differences that lead from one to the other (taken: it is empty afterwards). NULL or empty: a whole version.
 */
void versions_follow(versions_t *versions, snapshot_t *before, snapshot_t *now, history_run_t *run);

/*! \brief No version serves any more (purged): nobody is told of the one that did, and nothing of it is kept. */
void versions_forget(versions_t *versions);

/*! \brief Gives up what is under way, which ends in the loop without being heard of. What is kept stays with the zone. */
void versions_close(versions_t *versions);
