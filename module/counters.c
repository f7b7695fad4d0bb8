/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What is counted.
 */
#include "secondary/counters.h"

#include <libknot/errcode.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*! Line 0 is for all zones; line 1 for those without a number of their own. */
enum { NUMBER_ALL, NUMBER_NOBODY, NUMBER_FIRST };

struct counters_table counters_table;

static struct {
	pthread_mutex_t lock;     /*!< Of numbers and chunks. */
	uint32_t next;            /*!< Least number never taken. */
	uint32_t *free;           /*!< Numbers given back. */
	size_t free_count, free_max;
	unsigned chunks;          /*!< Mapped for all workers. */

	uint64_t event[EVENTS], octets[OCTETS]; /*!< Of all zones. Atomic. */
} counters = { .lock = PTHREAD_MUTEX_INITIALIZER, .next = NUMBER_FIRST };

/*! Maps one more chunk for each worker. */
static int map_chunk(void)
{
	if (counters.chunks == COUNTERS_CHUNKS) {
		return KNOT_ELIMIT;
	}
	const size_t size = COUNTERS_CHUNK * sizeof(counters_line_t);
	uint8_t *memory = mmap(NULL, size * counters_table.workers, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
	                       -1, 0);
	if (memory == MAP_FAILED) {
		return KNOT_ENOMEM;
	}
	for (unsigned worker = 0; worker < counters_table.workers; worker++) {
		__atomic_store_n(&counters_table.lines[worker][counters.chunks], (counters_line_t *)(memory + worker * size),
		                 __ATOMIC_RELEASE);
	}
	counters.chunks++;
	return KNOT_EOK;
}

/*! Under the lock. */
static int start(unsigned workers)
{
	counters_table.lines = calloc(workers, sizeof(*counters_table.lines));
	if (counters_table.lines == NULL) {
		return KNOT_ENOMEM;
	}
	counters_table.workers = workers;
	int ret = map_chunk();
	if (ret != KNOT_EOK) {
		counters_table.workers = 0;
		free(counters_table.lines);
	}
	return ret;
}

int counters_start(unsigned workers)
{
	assert(workers > 0);
	pthread_mutex_lock(&counters.lock);
	int ret = counters_table.workers > 0 ? KNOT_EOK : start(workers);
	pthread_mutex_unlock(&counters.lock);
	return ret;
}

/*! Under the lock. */
static uint32_t take_number(void)
{
	if (counters.free_count > 0) {
		return counters.free[--counters.free_count];
	}
	if (counters_table.workers > 0 && counters.next / COUNTERS_CHUNK == counters.chunks && map_chunk() != KNOT_EOK) {
		return NUMBER_NOBODY;
	}
	return counters.next++;
}

uint32_t counters_take_number(void)
{
	pthread_mutex_lock(&counters.lock);
	const uint32_t number = counters_table.workers > 0 ? take_number() : NUMBER_NOBODY;
	pthread_mutex_unlock(&counters.lock);
	return number;
}

/*! Pages that were never written are not made for that. */
static void clear_line(counters_line_t *line)
{
	for (unsigned kind = 0; kind < ANSWERS; kind++) {
		if (line->count[kind] != 0) {
			__atomic_store_n(&line->count[kind], 0, __ATOMIC_RELAXED);
		}
	}
}

/*! Under the lock. A number that finds no place is lost. */
static void give_number(uint32_t number)
{
	if (counters.free_count == counters.free_max) {
		const size_t max = counters.free_max > 0 ? 2 * counters.free_max : 64;
		uint32_t *grown = reallocarray(counters.free, max, sizeof(*grown));
		if (grown == NULL) {
			return;
		}
		counters.free = grown;
		counters.free_max = max;
	}
	counters.free[counters.free_count++] = number;
}

void counters_give_number(uint32_t number)
{
	if (number < NUMBER_FIRST) {
		return;
	}
	pthread_mutex_lock(&counters.lock);
	for (unsigned worker = 0; worker < counters_table.workers; worker++) {
		clear_line(counters_line(worker, number));
	}
	give_number(number);
	pthread_mutex_unlock(&counters.lock);
}

uint64_t counters_answers(uint32_t number, answers_t kind)
{
	uint64_t sum = 0;
	for (unsigned worker = 0; number != NUMBER_NOBODY && worker < counters_table.workers; worker++) {
		sum += counters_answers_of(worker, number, kind);
	}
	return sum;
}

void counters_event(events_t *events, event_t what)
{
	__atomic_add_fetch(&events->event[what], 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&counters.event[what], 1, __ATOMIC_RELAXED);
}

void counters_octets(events_t *events, octets_t direction, uint64_t octets)
{
	__atomic_add_fetch(&events->octets[direction], octets, __ATOMIC_RELAXED);
	__atomic_add_fetch(&counters.octets[direction], octets, __ATOMIC_RELAXED);
}

uint64_t counters_event_sum(event_t what)
{
	return __atomic_load_n(&counters.event[what], __ATOMIC_RELAXED);
}

uint64_t counters_octets_sum(octets_t direction)
{
	return __atomic_load_n(&counters.octets[direction], __ATOMIC_RELAXED);
}
