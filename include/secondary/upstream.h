/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Names outside our zones: who is asked for them, when, and what hooks may know of it.
 *
 * One thread asks, for the whole process; hooks read its cache and leave questions in a queue. Nothing a hook calls here
 * waits, but for upstream_look_up() with a hold.
 *
 *     hook --look up--> cache <--writes-- resolver thread --asks--> a list of resolvers, this server
 *        \--question--> queue --------------^   ^-- published versions: their targets, ahead of any query
 *
 * An upstream is a list of whom to ask with the limits on what is kept: equal ones are one, and what is known through it is
 * its own. It lives as long as an instance or zone has it; the thread and the cache as long as there is an upstream, so both
 * are carried over `knotc reload`, which loads the new instances before the old ones go.
 *
 * Ahead of queries: ahead.h. Who may wait: hold.h. Who is asked: lookup.h, resolver.h.
 *
 * Failing. The failure of a look-up is remembered (cache.h), and what was known before stands in for it beyond its TTL. An
 * upstream that does not answer (reach.h) is asked LOOKUP_PROBES_MAX questions at a time, all others fail at once, and one is
 * made each second until an answer comes. That ends the pauses of the entries that failed since it fell silent.
 *
 * Files are looked at each second, and read when they have changed.
 *
 * Threads: as each function says. The thread is registered with RCU and has all signals blocked.
 */
#pragma once

#include "secondary/ahead.h"
#include "secondary/hold.h"
#include "secondary/upstream_options.h"

typedef struct upstream upstream_t;

/*! What is known of a target. */
typedef struct {
	const reply_t *reply;     /*!< Borrow; NULL: nothing. */
	uint32_t age;             /*!< Seconds since it came. */
	bool is_stale;            /*!< Beyond its TTL: the upstream fails, or is being asked. */
	int ede;                  /*!< Without a reply: EDE code that says why. */
} upstream_view_t;

/*! Since start. */
typedef struct {
	uint64_t hits;            /*!< Answered with fresh data. */
	uint64_t misses;          /*!< Without data. */
	uint64_t stale;
	uint64_t holds;           /*!< Queries that waited. */
	uint64_t lookups;         /*!< Questions asked. */
	uint64_t failures;        /*!< Of them without usable answer. */
} upstream_counters_t;

/*!
 * \brief The upstream of \a options (taken, also on failure); the first one starts the thread.
 *
 * Own: upstream_release(). Thread: load(), registered with RCU or not. Blocks: shortly.
 * \return KNOT_EOK, KNOT_ENOMEM, KNOT_ERROR.
 */
int upstream_attach(upstream_options_t *options, upstream_t **ret_upstream);

/*!
 * \brief Gives it up; the last one stops the thread and frees the cache. NULL is a no-op.
 *
 * Thread: unload(), when no hook of the instance runs any more, outside read sections. Blocks: for the end of the thread.
 */
void upstream_release(upstream_t *upstream);

/*!
 * \brief From now on up to \a ahead targets of each version of \a zone are resolved ahead through \a upstream; NULL: none.
 *
 * Thread: load(). \return KNOT_EOK or KNOT_ENOMEM.
 */
int upstream_zone_set(zone_t *zone, upstream_t *upstream, unsigned ahead);

/*! \brief Nobody is attached to \a zone any more. Thread: unload(). */
void upstream_zone_gone(zone_t *zone);

/*! \brief A version of \a zone was published. Thread: the worker. Blocks: a lock, shortly. */
void upstream_published(zone_t *zone);

/*!
 * \brief Looks for \a name (in full, lower case) and \a type, and has them asked for where that is due.
 *
 * \param hold  How long a miss may wait; gets what is left.
 * Thread: hooks. RCU: inside a read section; the view is borrowed. Blocks: as \a hold says.
 */
void upstream_look_up(upstream_t *upstream, const uint8_t *name, uint8_t len, uint16_t type, hold_t *hold,
                      upstream_view_t *ret_view);

/*! \brief Thread: any. */
void upstream_counters(upstream_counters_t *ret_counters);
