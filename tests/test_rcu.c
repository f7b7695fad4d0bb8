/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The call_rcu() helper: its signals, and that callbacks wait for read sections.
 */

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "secondary/rcu.h"

static struct rcu_head head;
static int calls;
static int unblocked;

static void rcu_setup(void)
{
	rcu_register_thread();
	secondary_rcu_prime();
	calls = 0;
	unblocked = 0;
}

static void rcu_teardown(void)
{
	rcu_unregister_thread();
}

static void on_call(struct rcu_head *called)
{
	static const int handled_by_knotd[] = { SIGHUP, SIGINT, SIGTERM, SIGUSR1 };
	sigset_t mask;
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	for (size_t i = 0; i < sizeof(handled_by_knotd) / sizeof(*handled_by_knotd); i++) {
		unblocked += !sigismember(&mask, handled_by_knotd[i]);
	}
	calls += called == &head;
}

START_TEST(test_signals)
{
	sigset_t before, after;
	pthread_sigmask(SIG_BLOCK, NULL, &before);
	secondary_rcu_prime();
	pthread_sigmask(SIG_BLOCK, NULL, &after);
	ck_assert_int_eq(sigismember(&after, SIGHUP), sigismember(&before, SIGHUP));

	call_rcu(&head, on_call);
	rcu_barrier();
	ck_assert_int_eq(calls, 1);
	ck_assert_int_eq(unblocked, 0);
}
END_TEST

static int entered;
static int leave;

static void *reader_run(void *unused)
{
	(void)unused;
	rcu_register_thread();
	rcu_read_lock();
	rcu_read_lock();
	rcu_read_unlock();
	__atomic_store_n(&entered, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&leave, __ATOMIC_ACQUIRE)) {
		sched_yield();
	}
	/* Nested sections are one: nothing was called yet. */
	bool is_early = __atomic_load_n(&calls, __ATOMIC_RELAXED) != 0;
	rcu_read_unlock();
	rcu_unregister_thread();
	return is_early ? &calls : NULL;
}

START_TEST(test_section)
{
	pthread_t reader;
	entered = leave = 0;
	ck_assert_int_eq(pthread_create(&reader, NULL, reader_run, NULL), 0);
	while (!__atomic_load_n(&entered, __ATOMIC_ACQUIRE)) {
		sched_yield();
	}
	ck_assert(!rcu_read_ongoing());
	call_rcu(&head, on_call);
	struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	nanosleep(&pause, NULL);
	__atomic_store_n(&leave, 1, __ATOMIC_RELEASE);

	void *is_early = NULL;
	pthread_join(reader, &is_early);
	ck_assert_ptr_null(is_early);
	rcu_barrier();
	ck_assert_int_eq(calls, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rcu");
	TCase *helper = tcase_create("helper");
	tcase_add_checked_fixture(helper, rcu_setup, rcu_teardown);
	tcase_add_test(helper, test_signals);
	tcase_add_test(helper, test_section);
	suite_add_tcase(suite, helper);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
