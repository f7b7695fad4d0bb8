/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What time it is, for rooms that have no loop: those that have one go by uv_now().
 *
 * Spans and ages are told by the monotonic clock, which begins at boot, as uv_now() does, and which nobody sets. It is read
 * coarse: that costs some ns, not a look at the processor's counter for each query, and is at most a tick (4 ms) late. Only
 * who waits until a moment takes the fine one, or he would wait a tick too little.
 */
#pragma once

#include <stdint.h>
#include <time.h>

/*! \brief Milliseconds of \a clock. */
static inline int64_t clock_read_ms(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/*! \brief Milliseconds since boot. */
static inline uint64_t clock_ms(void)
{
	return clock_read_ms(CLOCK_MONOTONIC_COARSE);
}

/*! \brief Seconds since boot. */
static inline uint32_t clock_seconds(void)
{
	return clock_read_ms(CLOCK_MONOTONIC_COARSE) / 1000;
}

/*! \brief Milliseconds since 1970. It ticks with clock_ms(): their difference does not tremble. */
static inline int64_t clock_wall_ms(void)
{
	return clock_read_ms(CLOCK_REALTIME_COARSE);
}

/*! \brief \a ms from now, as those wait for it who wait by CLOCK_MONOTONIC. */
static inline struct timespec clock_in(uint32_t ms)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	const int64_t ns = at.tv_nsec + ms % 1000 * INT64_C(1000000);
	at.tv_sec += ms / 1000 + ns / 1000000000;
	at.tv_nsec = ns % 1000000000;
	return at;
}
