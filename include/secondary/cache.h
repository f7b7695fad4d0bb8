/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What is known of names outside our zones: read by hooks, written by the resolver thread alone.
 *
 * An entry is one (upstreams, name, type): the reply that is known, and how asking goes. It is made when it is first asked
 * for, so the entry itself sees to it that whatever the number of askers, one look-up is under way.
 *
 *     nothing known --look-up--> reply, fresh --TTL over--> stale --limit--> reply forgotten
 *           |                      ^   |                       |
 *           +--failed: EDE, pause--+   +---asked again, ahead of that if it is in use
 *
 * Readers go through a fixed array of chains, which one writer changes by publishing one pointer: no lock, no retry, no
 * thread that resizes. (A `cds_lfht` would serve as well; its several writers and its resizing are not needed, and
 * ThreadSanitizer sees through this one.) An entry and a reply are freed after a grace period.
 *
 * Memory is bounded: beyond the limit a hand goes round the table, and what was not used since it came by last goes; what
 * zones want goes when nothing else is left. Somewhat more goes than has to, so that an addition costs the same however large
 * the table is. Entries of look-ups under way stay.
 *
 * Time is in seconds of CLOCK_MONOTONIC_COARSE, which begins at boot and is read in some ns.
 *
 * Threads: cache_find() from any, with cache_reply(), cache_touch(), cache_take_question(); the rest is the writer's.
 */
#pragma once

#include "secondary/reply.h"

/*! A failed look-up is tried again after this pause, doubled each time up to the greatest one (RFC 9520, section 3.2: at
    least 1 s, at most 5 min). Meanwhile the failure is answered from memory. */
#define CACHE_FAILURE_MIN_S  5
#define CACHE_FAILURE_MAX_S  300

/*! No failure is remembered (KNOT_EDNS_EDE_NONE). */
#define CACHE_NO_FAILURE     (-1)

typedef struct cache cache_t;

typedef struct cache_entry {
	struct rcu_head rcu;
	struct cache_entry *next;         /*!< RCU. */
	reply_t *reply;                   /*!< RCU; NULL: nothing known. */
	int failure;                      /*!< EDE code of the last look-up, if it failed. Atomic. */
	uint32_t ask_at;                  /*!< Second before which a failed look-up is not to be repeated. Atomic. */
	bool used;                        /*!< Since the last look-up. Atomic. */
	bool asked;                       /*!< A question for it is on its way to the writer, or under way. Atomic. */

	/* The writer's. */
	struct cache_entry *sooner, *later; /*!< In the list of those due in the same second. */
	uint32_t due;
	unsigned wanted;                  /*!< Zones with an alias to it: cache_want(). */
	unsigned failures;                /*!< In a row. */
	uint32_t failed;                  /*!< Second of the last of them. */
	void *lookup;                     /*!< Under way. */
	struct cache_entry *next_waiting; /*!< For whoever keeps a list of entries to be asked for. */
	bool waiting;                     /*!< In that list: stays, as one that is looked up. */
	bool spared;                      /*!< The hand has passed it once. */

	/* Constant. */
	uint32_t hash;
	uint32_t upstream;
	uint16_t type;
	uint8_t name_len;
	uint8_t name[];                   /*!< In full, lower case. */
} cache_entry_t;

/*! \brief Own: cache_free(), or NULL. \param memory_max  Octets of entries and replies. */
cache_t *cache_new(size_t memory_max);

/*! \brief Frees all, at once: no reader is left. NULL is a no-op. */
void cache_free(cache_t *cache);

/*! \brief Now, in the seconds of this room. */
uint32_t cache_now(void);

/*! \brief The entry, or NULL. Borrow. \param name  In full, lower case. Thread: any. RCU: inside a read section, or the writer. */
cache_entry_t *cache_find(const cache_t *cache, uint32_t upstream, const uint8_t *name, uint8_t len, uint16_t type);

/*! \brief What is known. Borrow; NULL: nothing. Thread: any. RCU: as the entry. */
static inline const reply_t *cache_reply(const cache_entry_t *entry)
{
	return rcu_dereference(((cache_entry_t *)entry)->reply);
}

/*! \brief Seconds since \a reply came; 0 for one that came after the caller has looked at the clock. */
static inline uint32_t cache_age(const reply_t *reply, uint32_t now)
{
	const int32_t age = (int32_t)(now - reply->received);
	return age > 0 ? age : 0;
}

/*! \brief Is \a reply within its TTL? */
static inline bool cache_is_fresh(const reply_t *reply, uint32_t now)
{
	return cache_age(reply, now) < reply->ttl;
}

/*! \brief Notes that it was used. Thread: any. */
static inline void cache_touch(cache_entry_t *entry)
{
	if (!__atomic_load_n(&entry->used, __ATOMIC_RELAXED)) {
		__atomic_store_n(&entry->used, true, __ATOMIC_RELAXED);
	}
}

/*! \brief May the caller, and nobody else, ask for it now? Thread: any. */
static inline bool cache_take_question(cache_entry_t *entry, uint32_t now)
{
	return (int32_t)(now - __atomic_load_n(&entry->ask_at, __ATOMIC_RELAXED)) >= 0 &&
	       !__atomic_load_n(&entry->asked, __ATOMIC_RELAXED) &&
	       !__atomic_exchange_n(&entry->asked, true, __ATOMIC_ACQ_REL);
}

/*! \brief Makes the entry, which does not exist yet. Borrow, or NULL (no memory). Thread: the writer. */
cache_entry_t *cache_add(cache_t *cache, uint32_t upstream, const uint8_t *name, uint8_t len, uint16_t type);

/*! \brief The entry, made if it does not exist. Borrow, or NULL (no memory). Thread: the writer. */
cache_entry_t *cache_get(cache_t *cache, uint32_t upstream, const uint8_t *name, uint8_t len, uint16_t type);

/*! \brief One more zone has an alias to it. Thread: the writer. */
void cache_want(cache_t *cache, cache_entry_t *entry);

/*! \brief One less, if there was one: an entry that had to go and was made again does not know of all. Thread: the writer. */
void cache_unwant(cache_t *cache, cache_entry_t *entry);

/*! \brief Takes \a reply in; it may stand in for \a stale seconds after its TTL. Thread: the writer. */
void cache_succeed(cache_t *cache, cache_entry_t *entry, reply_t *reply, uint32_t stale, uint32_t now);

/*! \brief A look-up failed, for what the EDE code \a failure says. Thread: the writer. */
void cache_fail(cache_t *cache, cache_entry_t *entry, int failure, uint32_t now);

/*! \brief Has it come under cache_due() at the second \a due, or as soon as that looks. Thread: the writer. */
void cache_schedule(cache_t *cache, cache_entry_t *entry, uint32_t due);

/*! \brief Takes it out. Thread: the writer; no look-up is under way. */
void cache_remove(cache_t *cache, cache_entry_t *entry);

/*!
 * \brief Calls \a visit for each entry that is due, which schedules it anew or removes it; one that does neither stays unscheduled.
 *
 * Thread: the writer, every second.
 */
void cache_due(cache_t *cache, uint32_t now, void (*visit)(cache_entry_t *entry, void *ctx), void *ctx);

/*! \brief Calls \a visit for all entries; it may schedule, not remove. Thread: the writer. */
void cache_walk(cache_t *cache, void (*visit)(cache_entry_t *entry, void *ctx), void *ctx);

/*! \brief Octets in use, and entries. Thread: any. */
size_t cache_memory(const cache_t *cache);
size_t cache_count(const cache_t *cache);

/*! \brief Chains that were gone through for room until now: what the limit has cost. Thread: the writer. */
uint64_t cache_judged(const cache_t *cache);
