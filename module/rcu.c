/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The call_rcu() helper thread, and primitives that ThreadSanitizer can see.
 */

#include <pthread.h>
#include <signal.h>

#include "secondary/rcu.h"

#ifndef SECONDARY_TSAN

void secondary_rcu_prime(void)
{
	/* The helper inherits the mask of whoever creates it. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	(void)get_default_call_rcu_data();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

#else

#include <assert.h>
#include <stdbool.h>

/* Readers share the lock, a grace period takes it alone. Writers first: or readers in a loop would starve them. */
static pthread_rwlock_t sections = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static __thread unsigned depth;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct rcu_head *queue;
static struct rcu_head **queue_end = &queue;
static bool is_running;                   /* Callbacks that were taken off the queue. */

void secondary_tsan_read_lock(void)
{
	if (depth++ == 0) {
		pthread_rwlock_rdlock(&sections);
	}
}

void secondary_tsan_read_unlock(void)
{
	assert(depth > 0);
	if (--depth == 0) {
		pthread_rwlock_unlock(&sections);
	}
}

int secondary_tsan_read_ongoing(void)
{
	return depth > 0;
}

void secondary_tsan_synchronize(void)
{
	assert(depth == 0);
	pthread_rwlock_wrlock(&sections);
	pthread_rwlock_unlock(&sections);
}

/*! \brief Waits for work and takes all of it; the lock is held. */
static struct rcu_head *queue_take(void)
{
	is_running = false;
	pthread_cond_broadcast(&changed);
	while (queue == NULL) {
		pthread_cond_wait(&changed, &lock);
	}

	struct rcu_head *head = queue;
	queue = NULL;
	queue_end = &queue;
	is_running = true;
	return head;
}

static void *helper_run(void *unused)
{
	(void)unused;
	for (;;) {
		pthread_mutex_lock(&lock);
		struct rcu_head *head = queue_take();
		pthread_mutex_unlock(&lock);

		secondary_tsan_synchronize();
		while (head != NULL) {
			struct rcu_head *next = head->next;
			head->func(head);
			head = next;
		}
	}
	return NULL;
}

static void helper_start(void)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_t thread;
	int ret = pthread_create(&thread, NULL, helper_run, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	assert(ret == 0);
	(void)ret;
	pthread_detach(thread);
}

void secondary_tsan_call(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
	pthread_once(&once, helper_start);
	head->func = func;
	head->next = NULL;

	pthread_mutex_lock(&lock);
	*queue_end = head;
	queue_end = &head->next;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/*! \brief Waits for all callbacks queued so far (a little longer than liburcu's: until the queue has been empty once). */
void secondary_tsan_barrier(void)
{
	assert(depth == 0);
	pthread_mutex_lock(&lock);
	while (queue != NULL || is_running) {
		pthread_cond_wait(&changed, &lock);
	}
	pthread_mutex_unlock(&lock);
}

void secondary_rcu_prime(void)
{
	pthread_once(&once, helper_start);
}

#endif
