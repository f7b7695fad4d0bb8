/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of the counters: lines that come back, workers that count at once, chunks that come while they do.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "secondary/counters.h"
#include "support.h"

enum { WORKERS = 3 };

static uint64_t sum_of(answers_t kind)
{
	uint64_t sum[ANSWERS];
	counters_answers_sum(sum);
	return sum[kind];
}

START_TEST(test_answers)
{
	counters_line_t *a = counters_take_line(), *b = counters_take_line();
	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_ne(a, b);
	const uint64_t before = sum_of(ANSWERS_DATA);
	ck_assert_uint_eq(counters_answer(a, 0, ANSWERS_DATA), 1);
	ck_assert_uint_eq(counters_answer(a, 0, ANSWERS_DATA), 2);
	ck_assert_uint_eq(counters_answer(a, 2, ANSWERS_DATA), 1);
	ck_assert_uint_eq(counters_answer(b, 1, ANSWERS_DATA), 1);
	ck_assert_uint_eq(counters_answer(b, 1, ANSWERS_TRUNCATED), 1);
	ck_assert_uint_eq(counters_answer(a, WORKERS, ANSWERS_DATA), 0); /* Nobody that knotd has told of. */
	ck_assert_uint_eq(counters_answer(NULL, 0, ANSWERS_DATA), 0);

	ck_assert_uint_eq(counters_answers(a, ANSWERS_DATA), 3);
	ck_assert_uint_eq(counters_answers(b, ANSWERS_DATA), 1);
	ck_assert_uint_eq(counters_answers(b, ANSWERS_TRUNCATED), 1);
	ck_assert_uint_eq(counters_answers(a, ANSWERS_TRUNCATED), 0);
	ck_assert_uint_eq(counters_answers(NULL, ANSWERS_DATA), 0);
	ck_assert_uint_eq(counters_answers_of(a, 2, ANSWERS_DATA), 1);
	ck_assert_uint_eq(sum_of(ANSWERS_DATA), before + 4);

	/* Sums stay when zones go; who has the line next begins with nothing. */
	counters_give_line(a);
	ck_assert_uint_eq(sum_of(ANSWERS_DATA), before + 4);
	counters_line_t *next = counters_take_line();
	ck_assert_ptr_eq(next, a);
	ck_assert_uint_eq(counters_answers(next, ANSWERS_DATA), 0);
	counters_give_line(next);
	counters_give_line(b);
	counters_give_line(NULL);

	counters_line_t *apart = counters_take_apart();
	ck_assert_uint_eq(counters_answer(apart, WORKERS - 1, ANSWERS_DATA), 1);
	ck_assert_uint_eq(sum_of(ANSWERS_DATA), before + 4);
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

static counters_line_t *lines[3 * COUNTERS_CHUNK];
static bool stop;

static void *count_forever(void *arg)
{
	const unsigned worker = (unsigned)(uintptr_t)arg;
	uint64_t counted = 0;
	do {
		for (unsigned i = 0; i < 100; i++) {
			(void)counters_answer(lines[i], worker, ANSWERS_NODATA);
			counted++;
		}
	} while (!__atomic_load_n(&stop, __ATOMIC_RELAXED));
	return (void *)(uintptr_t)counted;
}

/*! Three chunks of zones come while the workers count for the first hundred. */
START_TEST(test_workers)
{
	for (unsigned i = 0; i < 100; i++) {
		lines[i] = counters_take_line();
	}
	const uint64_t before = sum_of(ANSWERS_NODATA);
	__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
	pthread_t thread[WORKERS];
	for (uintptr_t i = 0; i < WORKERS; i++) {
		ck_assert_int_eq(pthread_create(&thread[i], NULL, count_forever, (void *)i), 0);
	}
	uint64_t last = before;
	for (unsigned i = 100; i < 3 * COUNTERS_CHUNK; i++) {
		lines[i] = counters_take_line();
		ck_assert_uint_eq(counters_answers(lines[i], ANSWERS_NODATA), 0);
		if (i % 1000 == 0) {
			const uint64_t now = sum_of(ANSWERS_NODATA);
			ck_assert_uint_ge(now, last);
			last = now;
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	uint64_t counted = 0, found = 0;
	for (unsigned i = 0; i < WORKERS; i++) {
		void *one;
		pthread_join(thread[i], &one);
		counted += (uintptr_t)one;
	}
	for (unsigned i = 0; i < 3 * COUNTERS_CHUNK; i++) {
		found += counters_answers(lines[i], ANSWERS_NODATA);
		counters_give_line(lines[i]);
	}
	ck_assert_uint_eq(found, counted);
	ck_assert_uint_eq(sum_of(ANSWERS_NODATA), before + counted);
}
END_TEST

static void setup(void)
{
	counters_start(WORKERS);
	counters_start(WORKERS + 5); /* Another start changes nothing. */
	ck_assert_uint_eq(counters_workers, WORKERS);
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
