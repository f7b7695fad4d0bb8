/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Names outside our zones: who is asked for them, when, and what hooks may know of it.
 *
 * One thread asks, for the whole process; hooks read its cache and leave questions in a queue. Nothing a hook calls here
 * waits, but for upstream_look_up() with a hold.
 *
 *     hook --look up--> cache <--writes-- resolver thread --asks--> libunbound (one context per list), this server
 *        \--question--> queue --------------^   ^-- published versions: their targets, ahead of any query
 *
 * An upstream is a list of whom to ask with the limits on what is kept: equal ones are one, and what is known through it is
 * its own. It lives as long as an instance or zone has it; the thread and the cache as long as there is an upstream, so both
 * are carried over `knotc reload`, which loads the new instances before the old ones go.
 *
 * Ahead of queries. After each publication the targets of the version (targets.h) are asked for, A and AAAA, UPSTREAM_AHEAD_MAX
 * at a time; and again before their TTL ends, as long as the zone has them. So is what queries use.
 *
 * Failing. A look-up ends after UPSTREAM_TIMEOUT_MS; its failure is remembered (cache.h), and what was known before stands in
 * for it beyond its TTL. After two slow failures in a row without an answer between, what was answered last is asked for again
 * (before any answer, the root's SOA), as the names may be to blame, not the upstream. If that is silent too, the upstream counts as
 * unreachable: then only UPSTREAM_PROBES_MAX look-ups are under way, all others fail at once, and one is made each second
 * until an answer comes. That ends the pauses of the entries that failed since it fell silent.
 *
 * Files are looked at each second, and read when they have changed.
 *
 * Threads: as each function says. The thread is registered with RCU and has all signals blocked.
 */
#pragma once

#include <sys/socket.h>

#include "secondary/cache.h"
#include "secondary/zone.h"

/*! Whom an upstream asks at most, those of its files included. */
#define UPSTREAM_SERVERS_MAX  64
/*! A look-up that takes longer has failed; who waits for it is the entry alone. */
#define UPSTREAM_TIMEOUT_MS   5000
/*! A failure that took so long is the network's or the resolver's, not the name's. */
#define UPSTREAM_SLOW_MS      500
/*! Look-ups ahead of queries at once, for all zones: a resolver that takes 20 ms gets 1,600 a second. */
#define UPSTREAM_AHEAD_MAX    32
/*! Look-ups at once while an upstream does not answer. */
#define UPSTREAM_PROBES_MAX   4
/*! What this server says of itself is asked for again after so many seconds at most, as its zones may change. */
#define UPSTREAM_SELF_TTL     5

typedef enum {
	UPSTREAM_ADDRESS,
	UPSTREAM_FILE,            /*!< As resolv.conf(5). */
	UPSTREAM_SELF,            /*!< This server. */
} upstream_kind_t;

typedef struct {
	upstream_kind_t kind;
	struct sockaddr_storage addr; /*!< Port 0: 53. */
	char *path;
} upstream_source_t;

/*! What makes an upstream. */
typedef struct {
	upstream_source_t *source;
	unsigned source_count;
	uint32_t ttl_min, ttl_max; /*!< Bounds on TTLs, seconds. */
	uint32_t stale;           /*!< Seconds after its TTL in which a reply may stand in for a failing upstream. */
	struct sockaddr_storage *own; /*!< Where this server listens: never asked but as `self`. Not compared: the latest holds. */
	unsigned own_count;
	size_t cache_size;        /*!< Of the process: the first upstream decides. */
} upstream_options_t;

typedef struct upstream upstream_t;

/*! When a look-up of a hook may wait. */
typedef struct {
	uint32_t ms;              /*!< 0: never. */
	unsigned workers;         /*!< Threads that serve this protocol. */
	unsigned protocol;        /*!< 0 or 1: threads of one are no help to the other. */
} upstream_hold_t;

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

/*! \brief Releases what \a options own. */
void upstream_options_clear(upstream_options_t *options);

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
 * \param hold  See upstream_hold_t. Waiting, the worker serves nobody and its read section delays all grace periods of the
 *              server by as much; so at most a quarter of the workers wait (at least one, of one worker none), and only where
 *              the upstream's last answer took no longer than the hold.
 * Thread: hooks. RCU: inside a read section; the view is borrowed. Blocks: as \a hold says.
 */
void upstream_look_up(upstream_t *upstream, const uint8_t *name, uint8_t len, uint16_t type, const upstream_hold_t *hold,
                      upstream_view_t *ret_view);

/*! \brief Thread: any. */
void upstream_counters(upstream_counters_t *ret_counters);
