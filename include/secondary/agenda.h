/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What is due when: very many alarms, of which the earliest is at hand.
 *
 * Each zone has one. A timer of libuv takes 152 octets, which a hundred thousand zones notice; an alarm takes 32, stands in
 * its owner, and needs no memory to be set. A loop's owner has one timer for the earliest of all.
 *
 * A pairing heap (Fredman, Sedgewick, Sleator, Tarjan, 1986): setting takes constant time, taking the earliest out
 * O(log n), amortised.
 *
 * Threads: none; an agenda and its alarms are one thread's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*! Zero: not set. The rest is the agenda's. */
typedef struct alarm {
	uint64_t due;
	struct alarm *child;     /*!< First of those that are not due earlier; */
	struct alarm *next;      /*!< they are each other's siblings. */
	struct alarm *prev;      /*!< The sibling before, or of the first one the parent. */
} alarm_t;

/*! Zero: empty. */
typedef struct {
	alarm_t *first;          /*!< Due earliest; NULL: none is set. */
} agenda_t;

static inline bool agenda_has(const agenda_t *agenda, const alarm_t *alarm)
{
	return agenda->first == alarm || alarm->prev != NULL;
}

/*! \brief Sets \a alarm, or moves it if it is set, to \a due (any clock; a lower number is earlier). */
void agenda_set(agenda_t *agenda, alarm_t *alarm, uint64_t due);

/*! \brief Takes \a alarm out, if it is set. */
void agenda_clear(agenda_t *agenda, alarm_t *alarm);
