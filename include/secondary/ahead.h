/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Ahead of queries: the targets of our zones' aliases, and what queries use, are asked for before a query needs them.
 *
 * After each publication the targets of the version (targets.h) are asked for, A and AAAA, and again before their TTL ends, as
 * long as the zone has them. So is what queries use. AHEAD_MAX look-ups at a time do this, for all zones in turns: what is in use
 * goes first. What is neither used nor wanted any more is forgotten when it is of no use to anybody.
 *
 * What is below a zone cut of ours is asked for as other names outside are, unless the zone there is ours too.
 *
 * A zone that follows an upstream is a follower: others note what has changed about it, under a lock that is held shortly, and
 * the thread takes that up when it is woken, which is the caller's to do.
 *
 * Threads: as each function says; "the thread" is the one of upstream.h.
 */
#pragma once

#include "secondary/lookup.h"
#include "secondary/zone.h"

/*! Look-ups ahead of queries at once, for all zones: a resolver that takes 20 ms gets 1,600 a second. */
#define AHEAD_MAX 32

/*! The upstream of that id, or NULL: it has gone. */
typedef lookup_via_t *(*ahead_find_f)(uint32_t id);

/*! \brief Before the thread runs. \a cache is borrowed until ahead_end(). */
void ahead_begin(cache_t *cache, ahead_find_f find);

/*! \brief After the thread has ended; there are no followers any more. */
void ahead_end(void);

/*! \name For others. Thread: any. Blocks: a lock, shortly. */

/*!
 * \brief From now on up to \a max targets of each version of \a zone are resolved ahead through the upstream \a id.
 *
 * \param owner       What the caller keeps with it.
 * \param ret_before  What was kept with it before; NULL: nothing.
 * \param ret_changed The thread has to be woken.
 * \return KNOT_EOK or KNOT_ENOMEM.
 */
int ahead_follow(zone_t *zone, uint32_t id, unsigned max, void *owner, void **ret_before, bool *ret_changed);

/*! \brief Ends that, if it follows one; the thread has to be woken then. \param ret_before  As there. Returns whether it did. */
bool ahead_unfollow(zone_t *zone, void **ret_before);

/*! \brief A version of \a zone was published. Returns whether the thread has to be woken. */
bool ahead_published(zone_t *zone);

/*! \brief How many targets of \a zone are resolved ahead; false: it follows no upstream. */
bool ahead_targets(zone_t *zone, unsigned *ret_count);

/*! \brief Some zone that follows the upstream \a id, held, for a line of log; or NULL. */
zone_t *ahead_zone_of(uint32_t id);

/*! \name The thread's. Blocks: no, but for the walk over a zone (targets.h). */

/*! \brief Takes up what has changed. */
void ahead_take(void);

/*! \brief All targets of zones that follow \a id are asked for anew, but those that are known or pause. */
void ahead_restart(uint32_t id);

/*! \brief Looks at what is due at \a now: what is in use or wanted gets its turn. To be called every second. */
void ahead_due(uint32_t now);

/*! \brief Asks for as much as may be asked for now. */
void ahead_ask(void);
