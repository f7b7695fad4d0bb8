/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Zones, the process-wide registry that carries them over `knotc reload`, and publishing.
 *
 * knotd loads the new instances of a module before it unloads the old ones. A new instance attaches to the zone that the
 * registry has under its name, finds the served snapshot and running timers there, and only brings new settings; the old
 * one detaches. A zone that nobody is attached to any more leaves the registry and the worker.
 *
 *     instance (door) --attached--> zone <--borrowed-- hook
 *     worker ----------held-------->  |  current ----> snapshot
 *
 * What a hook sees of a zone is one pointer (and, where that is NULL, why):
 *
 *     never loaded    current NULL, expired_at 0
 *     serving         current
 *     expired         current NULL, expired_at when      (the worker keeps the last version, for recovery)
 *
 * Threads: attach, detach, find and walk take the registry's lock (never in hooks); hold, release, borrow from any.
 */
#pragma once

#include <libknot/dname.h>
#include <stdbool.h>
#include <stdint.h>

#include "secondary/counters.h"
#include "secondary/history.h"
#include "secondary/snapshot.h"

struct agent;
struct instance;

/*! One instance's hold on a zone. Newest first. */
typedef struct zone_holder {
	struct zone_holder *next;
	struct instance *instance;        /*!< The door's; opaque here. */
} zone_holder_t;

typedef struct zone {
	struct rcu_head rcu;
	snapshot_t *current;              /*!< RCU. */
	int64_t expired_at;               /*!< Seconds since the epoch; 0: not expired. Atomic. */
	uint64_t expires_ms;              /*!< When the version that serves runs out, by CLOCK_MONOTONIC; 0: unknown. Atomic. */
	history_t history;                /*!< Differences that lead to it. Writer: the worker. */
	int64_t success_ms;               /*!< When it was last known to be current, by the same clock, below 0 before that began; 0: never. Atomic. */
	events_t events;                  /*!< What has happened to it. */
	counters_line_t *answers;         /*!< How many it has given; NULL: nobody counts. */
	int refs;                         /*!< Atomic: registry, holders, the worker, commands under way. */
	zone_holder_t *holders;           /*!< Registry's lock. */
	struct agent *agent;              /*!< The worker's alone, set once; plain memory, freed with the zone. Atomic. */
	uint8_t name_len;                 /*!< Octets, root label included. */
	uint8_t name[];                   /*!< Lower case. */
} zone_t;

/*!
 * \brief Finds the zone \a name or makes it, and attaches \a instance as its newest holder.
 *
 * Thread: knotd's load(), registered with RCU or not. Blocks: the lock.
 * \param name  Any case.
 * \param ret_zone  Held: zone_detach(), then zone_release().
 * \return KNOT_EOK or KNOT_ENOMEM.
 */
int zone_attach(const knot_dname_t *name, struct instance *instance, zone_t **ret_zone);

/*!
 * \brief Takes \a instance off; returns true when it was the last, and then the zone has left the registry.
 *
 * The caller's hold stays: in the former case the worker takes it (worker_zone_gone()), else it ends with zone_release().
 * An instance may be attached several times; each time counts.
 */
bool zone_detach(zone_t *zone, struct instance *instance);

/*! \brief The zone \a name (any case), held (zone_release()), or NULL. Thread: any but hooks. */
zone_t *zone_find(const knot_dname_t *name);

/*!
 * \brief Calls \a visit for each zone in canonical order; stops at the first non-zero result and returns it.
 *
 * Thread: any but hooks. The registry's lock is held: \a visit may hold zones, but not attach, detach, find or report().
 */
int zone_walk(int (*visit)(zone_t *zone, void *ctx), void *ctx);

/*!
 * \brief Calls \a visit with the newest holder's instance under the registry's lock, so that it cannot be unloaded
 *        meanwhile. Returns false when there is none. For the log sink; \a visit must not come back to the registry.
 */
bool zone_with_instance(const zone_t *zone, void (*visit)(struct instance *instance, void *ctx), void *ctx);

/*! \brief Counts one more holder of the memory. */
zone_t *zone_hold(zone_t *zone);

/*!
 * \brief Counts one less; the last frees the zone after a grace period and gives its snapshot up. NULL is a no-op.
 *
 * Thread: any registered with RCU; also one that is not, where others hold the zone still, or the worker was never told of it (a
 * load() that failed).
 */
void zone_release(zone_t *zone);

/*! \brief The version that serves, or NULL. Borrow. RCU: inside a read section. */
static inline snapshot_t *zone_borrow(const zone_t *zone)
{
	return rcu_dereference(((zone_t *)zone)->current);
}

/*!
 * \brief Publishes \a snapshot (taken; a draft is committed; NULL: nothing to serve) and retires the one before. Thread: the worker.
 *
 * \param expired_at  With NULL: when the zone expired (seconds since the epoch), or 0.
 */
void zone_publish(zone_t *zone, snapshot_t *snapshot, int64_t expired_at);

/*!
 * \brief Publishes the version that serves once more, in other memory (taken; a draft is committed), and retires the one before.
 *
 * For readers nothing changes, so no observer is told. Thread: the worker.
 */
void zone_replace(zone_t *zone, snapshot_t *snapshot);

/*! \brief A version of \a zone has been published. Thread: the worker. */
typedef void (*zone_observer_f)(zone_t *zone);

/*! \brief Has \a observer (NULL: nobody) called after each publication of a version from now on. Thread: any. */
void zone_set_observer(zone_observer_f observer);

/*!
 * \brief Stops serving and returns the version that did. Thread: the worker.
 *
 * Own, with the publisher's reference: publish it again, or snapshot_retire() it (readers may still see it). It is not retired
 * meanwhile, as a snapshot can be retired once only, and a grace period may take longer than a recovery.
 * \param at  Seconds since the epoch.
 */
snapshot_t *zone_expire(zone_t *zone, int64_t at);

/*! \brief Name as text with the final dot, as knotd prints it. Returns \a dst. */
char *zone_name(const zone_t *zone, char dst[static KNOT_DNAME_TXT_MAXLEN + 1]);
