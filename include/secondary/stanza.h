/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What one module stanza of knot.conf says, as immutable data that outlives the configuration it was read from.
 *
 * The door reads it (settings.h); zones and the worker hold it. Ten thousand zones of one template have one stanza
 * between them: equal ones are interned. Items that do nothing yet are not here.
 *
 * Threads: hold, release from any; fields are constant after stanza_intern().
 */
#pragma once

#include <libknot/tsig.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "secondary/zonemd.h"

/*! Primary addresses of a stanza at most: each is tried in turn, and a check that goes through more helps nobody. */
#define STANZA_PRIMARIES_MAX 64
/*! Addresses that are told of new versions at most: each costs a datagram for each version of each zone. */
#define STANZA_TARGETS_MAX   64

/*! One address of a `remote`: of a primary, in the order in which they are tried, or one that NOTIFY goes to. */
typedef struct {
	struct sockaddr_storage addr;     /*!< With port. */
	struct sockaddr_storage via;      /*!< Local address of the same family; ss_family AF_UNSPEC: any. */
	knot_tsig_key_t key;              /*!< key.name NULL: none. Owned by the stanza. */
	bool no_edns;                     /*!< It is asked without EDNS, and so not for EXPIRE. */
} primary_t;

typedef struct {
	uint32_t min, max;                /*!< Seconds. */
} clamp_t;

typedef struct stanza {
	int refs;                         /*!< Atomic. */
	struct stanza *next;              /*!< In the table of interned ones. */
	uint32_t refresh_jitter_ms;       /*!< Added to REFRESH, uniform from 0. */
	uint32_t retry_jitter_ms;         /*!< Added to RETRY. */
	clamp_t refresh, retry, expire;   /*!< Bounds on the SOA's timers. */
	uint64_t zone_max_size;           /*!< Octets of uncompressed wire; 0: no limit. */
	uint64_t difference_max_size;     /*!< Octets of differences that are kept of a zone; 0: none. */
	char *store;                      /*!< Directory in which zones are kept; NULL: they are not. Owned: from malloc(). */
	unsigned zone_shrink_limit;       /*!< Per cent of its records that a zone may lose at once; 0: no limit. */
	zonemd_policy_t zonemd_verify;    /*!< What is demanded of a version that is transferred. */
	uint32_t transfer_timeout_ms;     /*!< Whole transfer. */
	uint32_t transfer_idle_timeout_ms; /*!< Without progress. */
	unsigned primary_count;
	unsigned target_count;
	primary_t *target;                /*!< Who is told of new versions; they stand behind the primaries. */
	primary_t primary[];
} stanza_t;

/*!
 * \brief A zeroed stanza with room for \a primaries and \a targets, held once; not shared yet, to be filled by its maker.
 *
 * Own, or NULL (no memory): stanza_intern() takes it, stanza_release() gives it up. Keys that are put in become the stanza's.
 */
stanza_t *stanza_new(unsigned primaries, unsigned targets);

/*!
 * \brief Takes \a stanza and returns the one with equal content that is known already, or \a stanza itself, held once.
 *
 * Thread: any (a lock, shortly).
 */
stanza_t *stanza_intern(stanza_t *stanza);

/*! \brief Do both have the same primaries (addresses, via, keys, EDNS) in the same order? Then work that was begun with one may go on. */
bool stanza_primaries_equal(const stanza_t *a, const stanza_t *b);

/*! \brief Are both the same address with port, via, key and EDNS? */
bool primary_equal(const primary_t *a, const primary_t *b);

/*! \brief Counts one more holder. */
stanza_t *stanza_hold(stanza_t *stanza);

/*! \brief Counts one less; the last one frees it with its keys (wiped). NULL is a no-op. */
void stanza_release(stanza_t *stanza);
