/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Look-ups: who is asked for an entry of the cache, and what the answer makes of it.
 *
 * `self`, where there is one, is asked first, and the list for what it is not authoritative for. A look-up ends after
 * LOOKUP_TIMEOUT_MS; its failure is remembered (cache.h) with an EDE code: what is wrong with the signatures of the name, where
 * we or the resolver have found that out, else 22 or 23. How it ended is told to the callback given at the beginning, when
 * the entry has been written and scheduled.
 *
 * Thread: the one that runs the loop. Blocks: no. Nothing here comes back to its caller: answers are for later.
 */
#pragma once

#include "secondary/cache.h"
#include "secondary/resolver.h"

/*! A look-up that takes longer has failed; who waits for it is the entry alone. */
#define LOOKUP_TIMEOUT_MS     5000
/*! A failure without a response, or one that took so long and may not be a server's (resolver.h), is the network's, not the name's. */
#define LOOKUP_SLOW_MS        500
/*! Look-ups at once while an upstream does not answer. */
#define LOOKUP_PROBES_MAX     4
/*! What this server says of itself is asked for again after so many seconds at most, as its zones may change. */
#define LOOKUP_SELF_TTL       5
/*! What is not used, but wanted by a zone, is not asked for more often than this, whatever its TTL. */
#define LOOKUP_WANTED_PAUSE_S 5

/*! Whom the look-ups of an upstream go through. */
typedef struct {
	uint32_t id;              /*!< Of its entries in the cache. */
	uint32_t ttl_min, ttl_max; /*!< Bounds on TTLs, seconds. */
	uint32_t stale;           /*!< Seconds after its TTL in which a reply may stand in. */
	resolver_t *forwarder;    /*!< NULL: no server known. */
	resolver_t *self;         /*!< NULL: not asked. */
	unsigned under_way;       /*!< Look-ups. */
	bool lost;                /*!< It does not answer: all but LOOKUP_PROBES_MAX fail at once. Atomic. */
} lookup_via_t;

/*! How a look-up ended. */
typedef struct {
	const cache_entry_t *entry;
	bool answered;
	bool verifies;            /*!< It was begun with lookup_verify(). */
	bool silent;              /*!< It failed without a response, or so late that perhaps nobody is there. */
	uint32_t took_ms;
} lookup_end_t;

typedef void (*lookup_ended_f)(lookup_via_t *via, const lookup_end_t *end);

/*! \brief Before all else. \a loop and \a cache are borrowed until lookups_end(). */
void lookups_begin(uv_loop_t *loop, cache_t *cache, lookup_ended_f ended);

/*! \brief None is under way any more. */
void lookups_end(void);

/*! \brief Asks for \a entry, unless that is under way. \param ahead  Nobody waits for it: counted by lookups_ahead(). */
void lookup_start(lookup_via_t *via, cache_entry_t *entry, bool ahead);

/*! \brief As lookup_start(), but its end decides something (reach.h); one such look-up is under way at a time. */
void lookup_verify(lookup_via_t *via, cache_entry_t *entry);

/*! \brief The forwarder before goes: its questions are put to the new one. */
void lookups_restart(lookup_via_t *via);

/*! \brief Ends all; their entries come under cache_due() at once. */
void lookups_drop(lookup_via_t *via);

/*! \brief Ends those that had taken too long at the call before. To be called some times a second, with the loop looking at its
    sockets in between: an answer that is there is not passed over. */
void lookups_expire(void);

/*! \brief What failed at the second \a since or later may be asked for at once; what had failed before goes on pausing. */
void lookups_forgive(const lookup_via_t *via, uint32_t since);

/*! \brief How many are under way ahead of queries. */
unsigned lookups_ahead(void);

/*! \brief How many were begun and how many failed, since start. Thread: any. */
void lookup_counters(uint64_t *ret_begun, uint64_t *ret_failed);
