/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of hold.h: who may wait, and for how long.
 */
#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "secondary/hold.h"

static bool is_there(void *ctx)
{
	return __atomic_load_n((bool *)ctx, __ATOMIC_SEQ_CST);
}

static const struct {
	const char *what;
	hold_t hold;
	hold_latency_t latency;
	bool waits;
} rows[] = {
	{ "no hold",             { .ms = 0, .workers = 4 },  0, false },
	{ "one worker",          { .ms = 9, .workers = 1 },  0, false },
	{ "two workers",         { .ms = 9, .workers = 2 },  9, true },
	{ "slower than the hold", { .ms = 9, .workers = 8 }, 10, false },
	{ "nothing answered",    { .ms = 1000, .workers = 8 }, HOLD_LATENCY_UNKNOWN, false },
};

START_TEST(test_who_may)
{
	bool there = true;
	hold_latency_t latency = rows[_i].latency;
	hold_t hold = rows[_i].hold;
	ck_assert_msg(hold_wait(&hold, &latency, is_there, &there) == rows[_i].waits, "%s", rows[_i].what);
	ck_assert_uint_eq(latency, rows[_i].latency);
}
END_TEST

/*! A hold that runs out is the last one until something is answered. */
START_TEST(test_runs_out)
{
	bool there = false;
	hold_t hold = { .ms = 5, .workers = 4 };
	hold_latency_t latency = 1;
	ck_assert(hold_wait(&hold, &latency, is_there, &there));
	ck_assert_uint_eq(latency, HOLD_LATENCY_UNKNOWN);
	ck_assert(!hold_wait(&hold, &latency, is_there, &there));
	hold_note_latency(&latency, 2);
	there = true;
	ck_assert_uint_eq(hold.ms, 0);
	ck_assert_msg(!hold_wait(&hold, &latency, is_there, &there), "the query has had its time");
	hold.ms = 5;
	ck_assert(hold_wait(&hold, &latency, is_there, &there));
}
END_TEST

/*! It is there, but to see that takes 2 ms. */
static bool is_there_later(void *ctx)
{
	(void)ctx;
	const struct timespec pause = { .tv_nsec = 2000000 };
	nanosleep(&pause, NULL);
	return true;
}

/*! What a query waits for one after the other has one time. */
START_TEST(test_what_is_left)
{
	hold_t hold = { .ms = 60000, .workers = 4 };
	hold_latency_t latency = 1;
	for (unsigned i = 0; i < 3; i++) {
		const uint32_t before = hold.ms;
		ck_assert(hold_wait(&hold, &latency, is_there_later, NULL));
		ck_assert_uint_le(hold.ms, before - 2);
		ck_assert_uint_eq(latency, 1);
	}
}
END_TEST

/*! Those who wait are a quarter of the workers of their protocol. */
typedef struct {
	hold_t hold;
	hold_latency_t latency;
	bool there;
	unsigned looking;         /*!< How many have looked. */
	unsigned waited;
} crowd_t;

static bool is_there_for(void *ctx)
{
	crowd_t *crowd = ctx;
	__atomic_add_fetch(&crowd->looking, 1, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&crowd->there, __ATOMIC_SEQ_CST);
}

static void *wait_in_crowd(void *ctx)
{
	crowd_t *crowd = ctx;
	hold_t hold = crowd->hold;
	if (hold_wait(&hold, &crowd->latency, is_there_for, crowd)) {
		__atomic_add_fetch(&crowd->waited, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

START_TEST(test_a_quarter)
{
	crowd_t crowd = { .hold = { .ms = 60000, .workers = 8 } };
	pthread_t waiting[2];
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_create(&waiting[i], NULL, wait_in_crowd, &crowd), 0);
	}
	while (__atomic_load_n(&crowd.looking, __ATOMIC_SEQ_CST) < 2) {
		sched_yield();
	}
	hold_t other = crowd.hold;
	bool there = true;
	ck_assert_msg(!hold_wait(&crowd.hold, &crowd.latency, is_there, &there), "a third one waits");
	other.protocol = 1;
	ck_assert_msg(hold_wait(&other, &crowd.latency, is_there, &there), "the other protocol has workers of its own");

	__atomic_store_n(&crowd.there, true, __ATOMIC_SEQ_CST);
	hold_wake();
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(waiting[i], NULL);
	}
	ck_assert_uint_eq(crowd.waited, 2);
	ck_assert(hold_wait(&crowd.hold, &crowd.latency, is_there, &there));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hold");
	TCase *tcase = tcase_create("all");
	tcase_add_loop_test(tcase, test_who_may, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tcase, test_runs_out);
	tcase_add_test(tcase, test_what_is_left);
	tcase_add_test(tcase, test_a_quarter);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
