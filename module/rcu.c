/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The call_rcu() helper thread, and primitives that ThreadSanitizer can see.
 */

#include <pthread.h>

#include "secondary/rcu.h"
#include "signals.h"

#ifndef SECONDARY_TSAN

void secondary_rcu_prime(void)
{
	sigset_t before;
	signals_block(&before);
	(void)get_default_call_rcu_data();
	signals_restore(&before);
}

#else

#include <assert.h>
#include <stdbool.h>
#include <unistd.h>

/*! \name liburcu's, which knotd has its part in; rcu.h gives their usual names to what is here. */
void urcu_memb_register_thread(void);
void urcu_memb_unregister_thread(void);
void urcu_memb_read_lock(void);
void urcu_memb_read_unlock(void);
void urcu_memb_synchronize_rcu(void);

/*!
 * Readers count themselves in one of two phases. Relaxed, so that one reader does not seem to synchronise with another: the
 * addition is a full barrier on x86, which this build is for, and a call that the compiler moves nothing across.
 */
static unsigned phase;
static unsigned readers[2];
static __thread unsigned depth, my_phase;
static pthread_mutex_t grace = PTHREAD_MUTEX_INITIALIZER;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct rcu_head *queue;
static struct rcu_head **queue_end = &queue;
static bool is_running;                   /* Callbacks that were taken off the queue. */

void secondary_tsan_register(void)
{
	urcu_memb_register_thread();
}

void secondary_tsan_unregister(void)
{
	urcu_memb_unregister_thread();
}

void secondary_tsan_hook_enter(void)
{
	if (depth++ == 0) {
		my_phase = __atomic_load_n(&phase, __ATOMIC_ACQUIRE);
		__atomic_fetch_add(&readers[my_phase], 1, __ATOMIC_RELAXED);
	}
}

void secondary_tsan_hook_leave(void)
{
	assert(depth > 0);
	if (--depth == 0) {
		__atomic_fetch_sub(&readers[my_phase], 1, __ATOMIC_RELEASE);
	}
}

void secondary_tsan_read_lock(void)
{
	urcu_memb_read_lock();
	secondary_tsan_hook_enter();
}

void secondary_tsan_read_unlock(void)
{
	secondary_tsan_hook_leave();
	urcu_memb_read_unlock();
}

int secondary_tsan_read_ongoing(void)
{
	return depth > 0;
}

/*! Sends new readers to the other phase and waits for those of this one. */
static void phase_turn(void)
{
	const unsigned old = __atomic_load_n(&phase, __ATOMIC_RELAXED);
	__atomic_store_n(&phase, 1 - old, __ATOMIC_RELEASE);
	while (__atomic_load_n(&readers[old], __ATOMIC_ACQUIRE) > 0) {
		usleep(100);
	}
}

/*! Twice: a reader may have looked at the phase before the last turn, and been counted after it. */
void secondary_tsan_handover(void)
{
	assert(depth == 0);
	pthread_mutex_lock(&grace);
	phase_turn();
	phase_turn();
	pthread_mutex_unlock(&grace);
}

/*! Both domains: what a hook has put into an answer is read by knotd until the end of its own section. */
void secondary_tsan_synchronize(void)
{
	urcu_memb_synchronize_rcu();
	secondary_tsan_handover();
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
	secondary_tsan_register();
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
	pthread_t thread;
	int ret = signals_create_thread(&thread, helper_run);
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
