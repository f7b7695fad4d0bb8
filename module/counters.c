/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What is counted.
 */
#include "secondary/counters.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

unsigned counters_workers;

/*! The lines of all workers for COUNTERS_CHUNK zones. */
typedef struct chunk {
	struct chunk *next;
	counters_line_t *lines;
} chunk_t;

static struct {
	pthread_mutex_t lock;     /*!< Of chunks and lines. */
	chunk_t *chunks;          /*!< Newest first. */
	size_t used;              /*!< Lines of the newest that were ever taken. */
	counters_line_t **free;   /*!< Lines given back. */
	size_t free_count, free_max;
	uint64_t gone[ANSWERS];   /*!< Counted at lines that were given back. */

	uint64_t event[EVENTS], octets[OCTETS]; /*!< Of all zones. Atomic. */
} counters = { .lock = PTHREAD_MUTEX_INITIALIZER, .used = COUNTERS_CHUNK };

void counters_start(unsigned workers)
{
	assert(workers > 0);
	pthread_mutex_lock(&counters.lock);
	if (counters_workers == 0) {
		counters_workers = workers;
	}
	pthread_mutex_unlock(&counters.lock);
}

/*! Lines of all workers for so many zones. NULL: no memory. */
static counters_line_t *map_lines(void)
{
	const size_t size = COUNTERS_CHUNK * sizeof(counters_line_t) * counters_workers;
	void *lines = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return lines != MAP_FAILED ? lines : NULL;
}

/*! Under the lock. */
static bool map_chunk(void)
{
	chunk_t *chunk = malloc(sizeof(*chunk));
	if (chunk == NULL) {
		return false;
	}
	chunk->lines = map_lines();
	if (chunk->lines == NULL) {
		free(chunk);
		return false;
	}
	chunk->next = counters.chunks;
	counters.chunks = chunk;
	counters.used = 0;
	return true;
}

/*! Under the lock. */
static counters_line_t *take_line(void)
{
	if (counters.free_count > 0) {
		return counters.free[--counters.free_count];
	}
	if (counters_workers == 0 || (counters.used == COUNTERS_CHUNK && !map_chunk())) {
		return NULL;
	}
	return &counters.chunks->lines[counters.used++];
}

counters_line_t *counters_take_line(void)
{
	pthread_mutex_lock(&counters.lock);
	counters_line_t *line = take_line();
	pthread_mutex_unlock(&counters.lock);
	return line;
}

counters_line_t *counters_take_apart(void)
{
	return counters_workers > 0 ? map_lines() : NULL;
}

/*! Under the lock. Pages that were never written are not made for that. */
static void clear_line(counters_line_t *line)
{
	for (unsigned worker = 0; worker < counters_workers; worker++) {
		for (unsigned kind = 0; kind < ANSWERS; kind++) {
			const uint64_t count = counters_answers_of(line, worker, kind);
			if (count > 0) {
				counters.gone[kind] += count;
				__atomic_store_n(&line[worker * COUNTERS_CHUNK].count[kind], 0, __ATOMIC_RELAXED);
			}
		}
	}
}

/*! Under the lock. One that finds no place is lost. */
static void give_line(counters_line_t *line)
{
	if (counters.free_count == counters.free_max) {
		const size_t max = counters.free_max > 0 ? 2 * counters.free_max : 64;
		counters_line_t **grown = reallocarray(counters.free, max, sizeof(*grown));
		if (grown == NULL) {
			return;
		}
		counters.free = grown;
		counters.free_max = max;
	}
	counters.free[counters.free_count++] = line;
}

void counters_give_line(counters_line_t *line)
{
	if (line == NULL) {
		return;
	}
	pthread_mutex_lock(&counters.lock);
	clear_line(line);
	give_line(line);
	pthread_mutex_unlock(&counters.lock);
}

uint64_t counters_answers(const counters_line_t *line, answers_t kind)
{
	uint64_t sum = 0;
	for (unsigned worker = 0; line != NULL && worker < counters_workers; worker++) {
		sum += counters_answers_of(line, worker, kind);
	}
	return sum;
}

/*! Under the lock. Lines that are free have counts of 0. */
static void sum_chunk(const chunk_t *chunk, size_t used, uint64_t sum[static ANSWERS])
{
	for (size_t i = 0; i < used; i++) {
		for (unsigned kind = 0; kind < ANSWERS; kind++) {
			sum[kind] += counters_answers(&chunk->lines[i], kind);
		}
	}
}

void counters_answers_sum(uint64_t ret_sum[static ANSWERS])
{
	pthread_mutex_lock(&counters.lock);
	memcpy(ret_sum, counters.gone, sizeof(counters.gone));
	for (const chunk_t *chunk = counters.chunks; chunk != NULL; chunk = chunk->next) {
		sum_chunk(chunk, chunk == counters.chunks ? counters.used : COUNTERS_CHUNK, ret_sum);
	}
	pthread_mutex_unlock(&counters.lock);
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
