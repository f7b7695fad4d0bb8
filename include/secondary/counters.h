/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What is counted about each zone, and about all of them.
 *
 * Two kinds. Answers are counted by each of knotd's workers for itself, in a cache line that belongs to one zone and one
 * worker: no lock prefix, nothing is shared, nothing allocated in a hook.
 *
 *     lines[worker] -> chunk of 4096 lines -> line of the zone's number -> one of ANSWERS
 *
 * Chunks are mapped when zones are made, and take memory where a worker has touched them: a worker that never answers for a zone
 * costs nothing, one that does some 64 octets (a page for the first of its neighbours). Line 0 of each worker counts for all zones, and
 * so goes on when zones go.
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
#define COUNTERS_CHUNK  4096
/*! Chunks: zones beyond these four million share a line that is nobody's, and count for the sums alone. */
#define COUNTERS_CHUNKS 1024

/*! Of one zone and one worker. */
typedef struct {
	uint64_t count[ANSWERS];  /*!< Atomic; written by that worker alone. */
} __attribute__((aligned(64))) counters_line_t;

/*! Set once; read by hooks. */
extern struct counters_table {
	unsigned workers;         /*!< 0: counters_start() has not been called, or failed. */
	counters_line_t *(*lines)[COUNTERS_CHUNKS]; /*!< By worker and chunk. Atomic. */
} counters_table;

/*! \brief Prepares for \a workers threads; only the first call counts. Thread: load(). \return KNOT_EOK or KNOT_ENOMEM. */
int counters_start(unsigned workers);

/*! \brief A number for a new zone, whose counts are 0. Thread: any but hooks. */
uint32_t counters_take_number(void);

/*! \brief Gives it back: no hook counts for it any more. Thread: any but hooks. */
void counters_give_number(uint32_t number);

static inline counters_line_t *counters_line(unsigned worker, uint32_t number)
{
	counters_line_t *const *chunk = &counters_table.lines[worker][number / COUNTERS_CHUNK];
	return &__atomic_load_n(chunk, __ATOMIC_RELAXED)[number % COUNTERS_CHUNK];
}

/*! Nobody else writes it. */
static inline uint64_t counters_increase(uint64_t *count)
{
	const uint64_t value = __atomic_load_n(count, __ATOMIC_RELAXED) + 1;
	__atomic_store_n(count, value, __ATOMIC_RELAXED);
	return value;
}

/*!
 * \brief Counts an answer of the zone \a number. Thread: the \a worker of knotd of that number. Blocks: no.
 *
 * \return How many of that kind this worker has now given for all zones; 0: nothing is counted.
 */
static inline uint64_t counters_answer(unsigned worker, uint32_t number, answers_t kind)
{
	if (worker >= counters_table.workers) {
		return 0;
	}
	(void)counters_increase(&counters_line(worker, number)->count[kind]);
	return counters_increase(&counters_line(worker, 0)->count[kind]);
}

/*! \brief Answers that \a worker gave for the zone \a number (0: all zones). Thread: any. */
static inline uint64_t counters_answers_of(unsigned worker, uint32_t number, answers_t kind)
{
	return __atomic_load_n(&counters_line(worker, number)->count[kind], __ATOMIC_RELAXED);
}

/*! \brief Answers of all workers. Thread: any. */
uint64_t counters_answers(uint32_t number, answers_t kind);

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
