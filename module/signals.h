/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Threads that no signal is delivered to.
 *
 * knotd handles its signals in its main thread. A new thread inherits the mask of the one that creates it, so all are blocked
 * as long as that takes; it may create others that inherit it in turn.
 */
#pragma once

#include <pthread.h>
#include <signal.h>

/*! \brief Blocks all signals for this thread; \a ret_before is for signals_restore(). */
static inline void signals_block(sigset_t *ret_before)
{
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, ret_before);
}

/*! \brief The mask is as it was. */
static inline void signals_restore(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

/*! \brief pthread_create() of a thread without signals and without context. */
static inline int signals_create_thread(pthread_t *thread, void *(*run)(void *))
{
	sigset_t before;
	signals_block(&before);
	const int ret = pthread_create(thread, NULL, run, NULL);
	signals_restore(&before);
	return ret;
}
