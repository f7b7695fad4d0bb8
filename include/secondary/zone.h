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
 *     expired         current NULL, expired_at when      (the worker keeps the last version pinned, for recovery)
 *
 * Threads: attach, detach, find and walk take the registry's lock (never in hooks); hold, release, borrow from any.
 */
#pragma once

#include <libknot/dname.h>
#include <stdbool.h>
#include <stdint.h>

#include "secondary/snapshot.h"

struct refresh;
struct instance;
struct stanza;

/*! One instance's hold on a zone. Newest first. */
typedef struct zone_holder {
	struct zone_holder *next;
	struct instance *instance;        /*!< The door's; opaque here. */
} zone_holder_t;

typedef struct zone {
	struct rcu_head rcu;
	snapshot_t *current;              /*!< RCU. */
	int64_t expired_at;               /*!< Seconds since the epoch; 0: not expired. Atomic. */
	int refs;                         /*!< Atomic: registry, holders, the worker, commands under way. */
	zone_holder_t *holders;           /*!< Registry's lock. */
	struct refresh *refresh;          /*!< The worker's alone. */
	uint32_t notified;                /*!< Atomic: a NOTIFY is on its way to the worker already. */
	uint8_t name_len;                 /*!< Octets, root label included. */
	uint8_t name[];                   /*!< Lower case. */
} zone_t;

/*!
 * \brief Finds the zone \a name or makes it, and attaches \a instance as its newest holder.
 *
 * Thread: knotd's load(). Blocks: the lock.
 * \param ret_zone  Held until zone_detach().
 * \return KNOT_EOK or KNOT_ENOMEM.
 */
int zone_attach(const knot_dname_t *name, struct instance *instance, zone_t **ret_zone);

/*!
 * \brief Takes \a instance off; returns true when it was the last, and then the zone has left the registry.
 *
 * The caller tells the worker (worker_zone_gone()) before it lets go of what it holds.
 */
bool zone_detach(zone_t *zone, struct instance *instance);

/*! \brief The zone \a name, held (zone_release()), or NULL. Thread: any but hooks. */
zone_t *zone_find(const knot_dname_t *name);

/*! \brief Calls \a visit for each zone in canonical order, with the registry's lock held; stops at the first non-zero and returns it. */
int zone_walk(int (*visit)(zone_t *zone, void *ctx), void *ctx);

/*!
 * \brief Calls \a visit with the newest holder's instance under the registry's lock, so that it cannot be unloaded
 *        meanwhile. Returns false when there is none. For the log sink.
 */
bool zone_with_instance(const zone_t *zone, void (*visit)(struct instance *instance, void *ctx), void *ctx);

/*! \brief Counts one more holder of the memory. */
zone_t *zone_hold(zone_t *zone);

/*! \brief Counts one less; the last frees the zone after a grace period and gives its snapshot up. NULL is a no-op. */
void zone_release(zone_t *zone);

/*! \brief The version that serves, or NULL. Borrow. RCU: inside a read section. */
static inline snapshot_t *zone_borrow(const zone_t *zone)
{
	return rcu_dereference(((zone_t *)zone)->current);
}

/*!
 * \brief Publishes \a snapshot (taken; NULL: nothing to serve) and retires the one before. Thread: the worker.
 *
 * \param expired_at  With NULL: when the zone expired (seconds since the epoch), or 0.
 */
void zone_publish(zone_t *zone, snapshot_t *snapshot, int64_t expired_at);

/*! \brief Name as text with the final dot, as knotd prints it. Returns \a dst. */
char *zone_name(const zone_t *zone, char dst[static KNOT_DNAME_TXT_MAXLEN + 1]);
