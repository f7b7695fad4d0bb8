/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What is counted about each zone, and about all of them.
 *
 * Two kinds. Answers are counted by each of knotd's workers for itself, in a cache line that belongs to one zone and one
 * worker: no lock prefix, nothing is shared, nothing allocated in a hook. A zone has the address of the first worker's line; those
 * of the others are at a fixed distance, one chunk of 4096 lines:
 *
 *     chunk of worker 0 | chunk of worker 1 | …          mapped in one piece, as zones are made
 *          ^ zone's line     ^ + COUNTERS_CHUNK
 *
 * A line takes memory where a worker has touched it: a worker that never answers for a zone costs nothing, one that does some 64
 * octets (a page for the first of its neighbours). What was counted of zones that have gone is kept in sums.
 *
 * Events (transfers, checks, NOTIFY) are rare. They are added atomically to the zone, and to the sums.
 *
 * All of it lives as long as the process, so that numbers go on over `knotc reload`.
 *
 * Threads: as each function says.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*! \name Answers */

/*! Kinds of answers; one query counts once, and once more when truncated. */
typedef enum {
	ANSWERS_DATA,             /*!< NOERROR with data of the type asked for. */
	ANSWERS_NODATA,
	ANSWERS_NXDOMAIN,
	ANSWERS_REFERRAL,
	ANSWERS_ALIAS,            /*!< Aliases that lead out of our zones, or in circles, whatever was found there. */
	ANSWERS_ERROR,            /*!< Refused signatures, SERVFAIL for collisions, YXDOMAIN. */
	ANSWERS_UNSERVED,         /*!< SERVFAIL: the zone was not there yet, or has expired. */
	ANSWERS_TRUNCATED,        /*!< TC, beside one of the above. */
	ANSWERS,
} answers_t;

/*! Lines of one chunk: 256 KiB of addresses for each worker, of which pages are used as they are needed. */
#define COUNTERS_CHUNK 4096

/*! Of one zone and one worker. */
typedef struct {
	uint64_t count[ANSWERS];  /*!< Atomic; written by that worker alone. */
} __attribute__((aligned(64))) counters_line_t;

/*! Threads that count, set once; read by hooks. 0: nothing is counted. */
extern unsigned counters_workers;

/*! \brief Prepares for \a workers threads; only the first call counts. Thread: load(), before zones are made. */
void counters_start(unsigned workers);

/*! \brief The line of a new zone for worker 0, with counts of 0; NULL: it is not counted (no memory). Thread: any but hooks. */
counters_line_t *counters_take_line(void);

/*! \brief A line for whoever is no zone: counters_answers_sum() leaves it out. It stays; NULL: no memory. Thread: any but hooks. */
counters_line_t *counters_take_apart(void);

/*! \brief Gives it back: no hook counts there any more. NULL is a no-op. Thread: any but hooks. */
void counters_give_line(counters_line_t *line);

/*!
 * \brief Counts an answer at \a line (worker 0's, or NULL). Thread: the \a worker of knotd of that number. Blocks: no.
 *
 * \return How many of that kind this worker has now counted there; 0: nothing is counted.
 */
static inline uint64_t counters_answer(counters_line_t *line, unsigned worker, answers_t kind)
{
	if (line == NULL || worker >= counters_workers) {
		return 0;
	}
	uint64_t *count = &line[worker * COUNTERS_CHUNK].count[kind];
	const uint64_t value = __atomic_load_n(count, __ATOMIC_RELAXED) + 1;
	__atomic_store_n(count, value, __ATOMIC_RELAXED); /* Nobody else writes it. */
	return value;
}

/*! \brief Answers that \a worker has counted at \a line (not NULL). Thread: any. */
static inline uint64_t counters_answers_of(const counters_line_t *line, unsigned worker, answers_t kind)
{
	return __atomic_load_n(&line[worker * COUNTERS_CHUNK].count[kind], __ATOMIC_RELAXED);
}

/*! \brief Answers of all workers at \a line (NULL: 0). Thread: any. */
uint64_t counters_answers(const counters_line_t *line, answers_t kind);

/*! \brief Answers of all workers for all zones, those that have gone included. Thread: any. Blocks: a lock, for a walk over all lines. */
void counters_answers_sum(uint64_t ret_sum[static ANSWERS]);

/*! \name Events */

typedef enum {
	EVENT_AXFR_IN,            /*!< Transfers in that brought a version, from a primary's full zone, */
	EVENT_IXFR_IN,            /*!< or from differences; */
	EVENT_FAILED_IN,          /*!< and those that did not. */
	EVENT_AXFR_OUT,           /*!< Transfers out that were finished. */
	EVENT_IXFR_OUT,
	EVENT_CURRENT_OUT,        /*!< Only the SOA was due. */
	EVENT_FAILED_OUT,         /*!< Begun and not finished. */
	EVENT_REFUSED_OUT,
	EVENT_CHECK,              /*!< Checks after which the version was known to be current. */
	EVENT_CHECK_FAILED,       /*!< Others. */
	EVENT_TIMEOUT,            /*!< Primaries that said nothing in time, */
	EVENT_NETWORK,            /*!< could not be reached, or broke off, */
	EVENT_SIGNATURE,          /*!< did not sign as they should, */
	EVENT_RESPONSE,           /*!< refused, or said what nobody can use, */
	EVENT_CONTENT,            /*!< sent a zone that was not accepted. */
	EVENT_EXPIRED,
	EVENT_NOTIFY_IN,
	EVENT_NOTIFY_IN_REFUSED,
	EVENT_NOTIFY_OUT,         /*!< Answered. */
	EVENT_NOTIFY_OUT_FAILED,  /*!< Not answered, or with an error. */
	EVENTS,
} event_t;

typedef enum { OCTETS_IN, OCTETS_OUT, OCTETS } octets_t;

/*! Part of a zone. Zeroed: nothing has happened. */
typedef struct {
	uint64_t octets[OCTETS];  /*!< Of transfers, failed ones included. Atomic. */
	uint32_t event[EVENTS];   /*!< Atomic. */
} events_t;

/*! \brief Counts an event for a zone and for all. Thread: any. Blocks: no. */
void counters_event(events_t *events, event_t what);

/*! \brief Adds octets of a transfer. Thread: any. Blocks: no. */
void counters_octets(events_t *events, octets_t direction, uint64_t octets);

/*! \brief Events of all zones since start, those that have gone included. Thread: any. */
uint64_t counters_event_sum(event_t what);

/*! \brief Octets likewise. */
uint64_t counters_octets_sum(octets_t direction);
