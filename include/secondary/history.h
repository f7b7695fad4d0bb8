/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The difference sequences that are kept of a zone, so that others can have increments (RFC 1995).
 *
 *     newest ---older---> ... ---older---> oldest        each leads to the serial from which the newer one leads on
 *
 * Only the writer adds and drops; hooks look for a way from a client's serial to that of the version they borrowed. When
 * the octets kept are more than allowed, the oldest go: O(1) each, however many are kept. Entries are unlinked at once and freed
 * after a grace period, so whoever walks in a read section never loses the way; the differences that were found are held, so a
 * transfer that sends them is not concerned by what is dropped meanwhile.
 *
 * Along the way serials grow (RFC 1982), so a walk for one that is not there ends where older ones begin.
 *
 * Threads: as each function says. Memory: the octets of the differences, and 72 more for each.
 */
#pragma once

#include "secondary/difference.h"
#include "secondary/rcu.h"

/*! Octets of a way that is taken for however small a zone: what fits in a few packets spares the client to begin anew. */
#define HISTORY_WORTH_MIN 4096

typedef struct history_entry history_entry_t;

/*! Part of a zone. Zeroed: empty. */
typedef struct {
	history_entry_t *newest;  /*!< RCU. */
	history_entry_t *oldest;  /*!< The writer's. */
	size_t octets;            /*!< Of memory, entries included. Atomic: read by others for status. */
	uint32_t count;           /*!< Of differences. Atomic as well. */
} history_t;

/*! Differences that follow each other, oldest first. Own: history_run_clear(). Zeroed: none. */
typedef struct {
	difference_t **item;      /*!< Each held. */
	size_t count;
	size_t octets;            /*!< Sum of their sizes, records alone. */
} history_run_t;

/*!
 * \brief Adds a difference (one hold, taken, also on failure) as the newest, and drops the oldest ones beyond \a max octets.
 *
 * One that does not begin where the newest leads to drops all others first: there is no way across the gap. So does one that does
 * not lead to a newer serial (RFC 1982), and is not kept itself: nobody asks for the way to an older one.
 * Thread: the worker, registered with RCU. Blocks: no. \return KNOT_EOK or KNOT_ENOMEM (then the history is empty).
 */
int history_add(history_t *history, difference_t *difference, size_t max);

/*! \brief Drops the oldest differences beyond \a max octets; 0: all. Thread: the worker, registered with RCU. */
void history_trim(history_t *history, size_t max);

/*!
 * \brief The way from serial \a from to \a to.
 *
 * Thread: any. RCU: inside a read section. Blocks: no; walks from the newest difference backwards, some 10 ns each, or 100 where
 * they are not in the cache.
 * \param max      Octets of records at most: a longer way is worth less than the zone.
 * \param ret_run  Own. Untouched on failure.
 * \return KNOT_EOK, KNOT_ENOENT (none, or longer), KNOT_ENOMEM.
 */
int history_find(const history_t *history, uint32_t from, uint32_t to, size_t max, history_run_t *ret_run);

/*! \brief Frees all at once. Thread: the last holder of the zone: nobody can be looking any more. */
void history_clear(history_t *history);

/*! \brief Octets beyond which a way is worth less than a zone of \a octets octets: it is neither kept nor sent. */
static inline size_t history_worth(uint64_t octets)
{
	return octets > HISTORY_WORTH_MIN ? octets : HISTORY_WORTH_MIN;
}

/*! \brief Releases the differences of a run and zeroes it. Thread: any. */
void history_run_clear(history_run_t *run);
