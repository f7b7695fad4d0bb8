/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief A bound on log lines that strangers can cause.
 *
 * So many lines a second, then silence until the next second; the first line after that is told how many were left out.
 * One word, changed by compare and exchange: no lock, any number of threads, no timer.
 *
 *     second (32 bits) | lines asked for in it (32 bits)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct {
	const uint32_t lines;     /*!< A second. */
	uint64_t word;            /*!< Atomic. */
} log_quota_t;

/*! \brief A quota of so many lines a second, ready. */
#define LOG_QUOTA(lines_a_second) { .lines = (lines_a_second) }

/*!
 * \brief May one more line be written?
 *
 * \param second          Now, of a clock that does not go back. A thread that is late counts into the second that others
 *                        have begun.
 * \param ret_suppressed  Lines left out before this one, to be mentioned; 0 mostly. Written when true is returned.
 */
static inline bool log_quota_take(log_quota_t *quota, uint32_t second, uint32_t *ret_suppressed)
{
	uint64_t old = __atomic_load_n(&quota->word, __ATOMIC_RELAXED), new;
	bool is_next;
	do {
		is_next = (int32_t)(second - (uint32_t)(old >> 32)) > 0;
		new = is_next ? (uint64_t)second << 32 | 1 : old + 1;
	} while (!__atomic_compare_exchange_n(&quota->word, &old, new, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));

	const uint32_t asked = old, asked_now = new;
	if (asked_now > quota->lines) {
		return false;
	}
	*ret_suppressed = is_next && asked > quota->lines ? asked - quota->lines : 0;
	return true;
}
