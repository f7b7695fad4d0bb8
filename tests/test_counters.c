/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of the counters: numbers that come back, workers that count at once, chunks that come while they do.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "secondary/counters.h"
#include "support.h"

enum { WORKERS = 3 };

START_TEST(test_answers)
{
	uint32_t a = counters_take_number(), b = counters_take_number();
	ck_assert_uint_ne(a, b);
	const uint64_t before = counters_answers(0, ANSWERS_DATA);
	const uint64_t worker = counters_answers_of(0, 0, ANSWERS_DATA);
	ck_assert_uint_eq(counters_answer(0, a, ANSWERS_DATA), worker + 1);
	ck_assert_uint_eq(counters_answer(0, a, ANSWERS_DATA), worker + 2);
	ck_assert_uint_gt(counters_answer(2, a, ANSWERS_DATA), 0);
	ck_assert_uint_gt(counters_answer(1, b, ANSWERS_DATA), 0);
	ck_assert_uint_gt(counters_answer(1, b, ANSWERS_TRUNCATED), 0);
	ck_assert_uint_eq(counters_answer(WORKERS, a, ANSWERS_DATA), 0); /* Nobody that knotd has told of. */

	ck_assert_uint_eq(counters_answers(a, ANSWERS_DATA), 3);
	ck_assert_uint_eq(counters_answers(b, ANSWERS_DATA), 1);
	ck_assert_uint_eq(counters_answers(b, ANSWERS_TRUNCATED), 1);
	ck_assert_uint_eq(counters_answers(a, ANSWERS_TRUNCATED), 0);
	ck_assert_uint_eq(counters_answers_of(2, a, ANSWERS_DATA), 1);
	ck_assert_uint_eq(counters_answers(0, ANSWERS_DATA), before + 4);

	/* Sums stay when zones go; who has the number next begins with nothing. */
	counters_give_number(a);
	ck_assert_uint_eq(counters_answers(0, ANSWERS_DATA), before + 4);
	uint32_t next = counters_take_number();
	ck_assert_uint_eq(next, a);
	ck_assert_uint_eq(counters_answers(next, ANSWERS_DATA), 0);
	counters_give_number(next);
	counters_give_number(b);
}
END_TEST

START_TEST(test_events)
{
	events_t one = { 0 }, other = { 0 };
	const uint64_t before = counters_event_sum(EVENT_EXPIRED), octets = counters_octets_sum(OCTETS_IN);
	counters_event(&one, EVENT_EXPIRED);
	counters_event(&one, EVENT_EXPIRED);
	counters_event(&other, EVENT_EXPIRED);
	counters_octets(&one, OCTETS_IN, UINT32_MAX);
	counters_octets(&one, OCTETS_IN, 5);
	ck_assert_uint_eq(one.event[EVENT_EXPIRED], 2);
	ck_assert_uint_eq(other.event[EVENT_EXPIRED], 1);
	ck_assert_uint_eq(one.octets[OCTETS_IN], UINT32_MAX + UINT64_C(5));
	ck_assert_uint_eq(counters_event_sum(EVENT_EXPIRED), before + 3);
	ck_assert_uint_eq(counters_octets_sum(OCTETS_IN), octets + UINT32_MAX + 5);
}
END_TEST

static uint32_t numbers[3 * COUNTERS_CHUNK];
static bool stop;

static void *count_forever(void *arg)
{
	const unsigned worker = (unsigned)(uintptr_t)arg;
	uint64_t counted = 0;
	do {
		for (unsigned i = 0; i < 100; i++) {
			(void)counters_answer(worker, numbers[i], ANSWERS_NODATA);
			counted++;
		}
	} while (!__atomic_load_n(&stop, __ATOMIC_RELAXED));
	return (void *)(uintptr_t)counted;
}

/*! Three chunks of zones come while the workers count for the first hundred. */
START_TEST(test_workers)
{
	for (unsigned i = 0; i < 100; i++) {
		numbers[i] = counters_take_number();
	}
	const uint64_t before = counters_answers(0, ANSWERS_NODATA);
	__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
	pthread_t thread[WORKERS];
	for (uintptr_t i = 0; i < WORKERS; i++) {
		ck_assert_int_eq(pthread_create(&thread[i], NULL, count_forever, (void *)i), 0);
	}
	for (unsigned i = 100; i < 3 * COUNTERS_CHUNK; i++) {
		numbers[i] = counters_take_number();
		ck_assert_uint_gt(numbers[i], 1);
		ck_assert_uint_eq(counters_answers(numbers[i], ANSWERS_NODATA), 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	uint64_t counted = 0, found = 0;
	for (unsigned i = 0; i < WORKERS; i++) {
		void *one;
		pthread_join(thread[i], &one);
		counted += (uintptr_t)one;
	}
	for (unsigned i = 0; i < 3 * COUNTERS_CHUNK; i++) {
		found += counters_answers(numbers[i], ANSWERS_NODATA);
		counters_give_number(numbers[i]);
	}
	ck_assert_uint_eq(found, counted);
	ck_assert_uint_eq(counters_answers(0, ANSWERS_NODATA), before + counted);
}
END_TEST

static void setup(void)
{
	ck_assert_int_eq(counters_start(WORKERS), 0);
	ck_assert_int_eq(counters_start(WORKERS + 5), 0); /* Another start changes nothing. */
}

int main(void)
{
	TCase *tcase = tcase_create("counters");
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, test_answers);
	tcase_add_test(tcase, test_events);
	tcase_add_test(tcase, test_workers);

	Suite *suite = suite_create("counters");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
