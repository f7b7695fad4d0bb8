/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Hooks that wait for a look-up (hold.h).
 */
#include "secondary/hold.h"

#include <pthread.h>

#include "clock.h"

static struct {
	pthread_once_t once;
	pthread_mutex_t lock;
	pthread_cond_t changed;   /*!< Of the monotonic clock. */
	unsigned holding[2];      /*!< Atomic. Per protocol. */
} state = { .once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER };

static void init(void)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&state.changed, &attr);
	pthread_condattr_destroy(&attr);
}

void hold_note_latency(hold_latency_t *latency, uint32_t ms)
{
	__atomic_store_n(latency, ms, __ATOMIC_RELAXED);
}

/*! Counts a waiting worker, if it may wait. */
static bool hold_begin(const hold_t *hold, const hold_latency_t *latency)
{
	if (hold->ms == 0 || hold->workers < 2 || __atomic_load_n(latency, __ATOMIC_RELAXED) > hold->ms) {
		return false;
	}
	const unsigned most = hold->workers / 4 > 0 ? hold->workers / 4 : 1;
	unsigned *holding = &state.holding[hold->protocol];
	if (__atomic_add_fetch(holding, 1, __ATOMIC_SEQ_CST) > most) {
		__atomic_sub_fetch(holding, 1, __ATOMIC_SEQ_CST);
		return false;
	}
	return true;
}

static void hold_end(const hold_t *hold)
{
	__atomic_sub_fetch(&state.holding[hold->protocol], 1, __ATOMIC_SEQ_CST);
}

/*! Whole milliseconds until then. */
static uint32_t left_until(const struct timespec *deadline)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	const int64_t ns = (deadline->tv_sec - now.tv_sec) * INT64_C(1000000000) + (deadline->tv_nsec - now.tv_nsec);
	return ns > 0 ? ns / 1000000 : 0;
}

bool hold_wait(hold_t *hold, hold_latency_t *latency, bool (*is_there)(void *ctx), void *ctx)
{
	if (!hold_begin(hold, latency)) {
		return false;
	}
	pthread_once(&state.once, init);
	const struct timespec deadline = clock_in(hold->ms);
	int ret = 0;
	pthread_mutex_lock(&state.lock);
	while (!is_there(ctx) && ret == 0) {
		ret = pthread_cond_timedwait(&state.changed, &state.lock, &deadline);
	}
	pthread_mutex_unlock(&state.lock);
	if (ret != 0) {
		hold_note_latency(latency, HOLD_LATENCY_UNKNOWN);
	}
	hold->ms = left_until(&deadline);
	hold_end(hold);
	return true;
}

void hold_wake(void)
{
	/* What they wait for is stored before they are counted here, and they count themselves before they look for it: each
	 * side writes first, so one of the two sees the other. A load alone may come before the store. */
	if (__atomic_fetch_add(&state.holding[0], 0, __ATOMIC_SEQ_CST) +
	    __atomic_fetch_add(&state.holding[1], 0, __ATOMIC_SEQ_CST) > 0) {
		pthread_once(&state.once, init);
		pthread_mutex_lock(&state.lock);
		pthread_cond_broadcast(&state.changed);
		pthread_mutex_unlock(&state.lock);
	}
}
