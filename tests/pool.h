/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief libuv's pool of threads, occupied: what is given to it waits, so that what comes meanwhile always comes meanwhile.
 */
#pragma once

#include <pthread.h>
#include <uv.h>

/*! libuv's number of threads, unless the environment says otherwise. */
enum { POOL = 4 };

static pthread_mutex_t pool_gate = PTHREAD_MUTEX_INITIALIZER;

static inline void pool_wait(uv_work_t *work)
{
	(void)work;
	pthread_mutex_lock(&pool_gate);
	pthread_mutex_unlock(&pool_gate);
}

static inline void pool_passed(uv_work_t *work, int status)
{
	(void)work, (void)status;
}

/*! \brief Occupies all threads. Once at a time; the loop has to run after pool_free(). */
static inline void pool_occupy(uv_loop_t *loop)
{
	static uv_work_t occupiers[POOL];
	pthread_mutex_lock(&pool_gate);
	for (unsigned i = 0; i < POOL; i++) {
		uv_queue_work(loop, &occupiers[i], pool_wait, pool_passed);
	}
}

/*! \brief Lets them go on. */
static inline void pool_free(void)
{
	pthread_mutex_unlock(&pool_gate);
}
