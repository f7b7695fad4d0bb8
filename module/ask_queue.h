/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Questions on their way from hooks to the resolver thread: a bounded queue of many writers and one reader.
 *
 * Each place has a number that says whose turn it is: equal to the writers' count, it may be written; one more, it may be
 * read. Writers take turns by one compare-and-exchange and never wait; when the queue is full the question is lost, and
 * whoever asks next brings it again. (After D. Vyukov's bounded queue.)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/*! Questions under way at most, a power of two: what comes in while the thread is busy for some milliseconds. 280 KB. */
#define ASK_QUEUE_SIZE 1024

typedef struct {
	uint32_t turn;            /*!< Atomic. */
	uint32_t upstream;
	uint16_t type;
	uint8_t len;
	uint8_t name[255];        /*!< In full, lower case. */
} ask_t;

typedef struct {
	uint32_t write;           /*!< Atomic: places taken by writers. */
	uint32_t read;            /*!< The reader's. */
	ask_t place[ASK_QUEUE_SIZE];
} ask_queue_t;

/*! \brief Empties the queue; nobody uses it yet. */
static inline void ask_queue_init(ask_queue_t *queue)
{
	queue->write = queue->read = 0;
	for (uint32_t i = 0; i < ASK_QUEUE_SIZE; i++) {
		queue->place[i].turn = i;
	}
}

/*! \brief Puts a question; false: the queue is full. Thread: any. */
static inline bool ask_queue_put(ask_queue_t *queue, uint32_t upstream, const uint8_t *name, uint8_t len, uint16_t type)
{
	uint32_t at = __atomic_load_n(&queue->write, __ATOMIC_RELAXED);
	ask_t *ask;
	do {
		ask = &queue->place[at % ASK_QUEUE_SIZE];
		const int32_t behind = __atomic_load_n(&ask->turn, __ATOMIC_ACQUIRE) - at;
		if (behind < 0) {
			return false;
		}
		if (behind > 0) {
			at = __atomic_load_n(&queue->write, __ATOMIC_RELAXED);
			continue;
		}
		if (__atomic_compare_exchange_n(&queue->write, &at, at + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
			break;
		}
	} while (true);

	ask->upstream = upstream;
	ask->type = type;
	ask->len = len;
	memcpy(ask->name, name, len);
	__atomic_store_n(&ask->turn, at + 1, __ATOMIC_RELEASE);
	return true;
}

/*! \brief Takes the oldest question; false: there is none. Thread: the reader. */
static inline bool ask_queue_take(ask_queue_t *queue, ask_t *ret)
{
	ask_t *ask = &queue->place[queue->read % ASK_QUEUE_SIZE];
	if (__atomic_load_n(&ask->turn, __ATOMIC_ACQUIRE) != queue->read + 1) {
		return false;
	}
	ret->upstream = ask->upstream;
	ret->type = ask->type;
	ret->len = ask->len;
	memcpy(ret->name, ask->name, ask->len);
	__atomic_store_n(&ask->turn, queue->read + ASK_QUEUE_SIZE, __ATOMIC_RELEASE);
	queue->read++;
	return true;
}
