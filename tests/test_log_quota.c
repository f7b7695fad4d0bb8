/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The bound on log lines: one thread by the table, several by the sum.
 */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "../module/log_quota.h"

#define LINES   10
#define THREADS 4
#define ASKED   100000

static const struct {
	uint32_t second;
	unsigned asked;           /*!< Lines that are wanted in that second. */
	unsigned written;         /*!< Of them. */
	uint32_t suppressed;      /*!< Told to the first of them. */
} cases[] = {
	{ 100, 3, 3, 0 },
	{ 100, 7, 7, 0 },
	{ 100, 5, 0, 0 },         /* the quota of this second is used up */
	{ 101, 1, 1, 5 },
	{ 102, 1000, LINES, 0 },
	{ 200, LINES, LINES, 990 },
	{ 199, 5, 0, 0 },         /* a late thread counts into the newer second */
	{ 201, 1, 1, 5 },
	{ UINT32_MAX / 2 + 201, 11, LINES, 0 },
	{ UINT32_MAX, 11, LINES, 1 },
	{ 0, 1, 1, 1 },           /* the clock's word wraps */
};

START_TEST(test_table)
{
	log_quota_t quota = LOG_QUOTA(LINES);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned written = 0;
		uint32_t suppressed, first = 0;
		for (unsigned line = 0; line < cases[i].asked; line++) {
			if (log_quota_take(&quota, cases[i].second, &suppressed)) {
				first += suppressed;
				written++;
			}
		}
		ck_assert_msg(written == cases[i].written && first == cases[i].suppressed,
		              "case %zu: %u written, %u suppressed before", i, written, first);
	}
}
END_TEST

typedef struct {
	log_quota_t *quota;
	pthread_t thread;
	unsigned written;
	uint64_t suppressed;
} taker_t;

static void *take_many(void *arg)
{
	taker_t *taker = arg;
	for (unsigned i = 0; i < ASKED; i++) {
		uint32_t suppressed;
		if (log_quota_take(taker->quota, 1 + i / 1000, &suppressed)) {
			taker->suppressed += suppressed;
			taker->written++;
		}
	}
	return NULL;
}

/*! Whatever the threads do at once: each line is written, or told as left out, once. */
START_TEST(test_threads)
{
	log_quota_t quota = LOG_QUOTA(LINES);
	taker_t taker[THREADS] = { 0 };
	uint64_t accounted = 0;
	for (int i = 0; i < THREADS; i++) {
		taker[i].quota = &quota;
		ck_assert_int_eq(pthread_create(&taker[i].thread, NULL, take_many, &taker[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(taker[i].thread, NULL);
		accounted += taker[i].written + taker[i].suppressed;
	}
	uint32_t suppressed;
	ck_assert(log_quota_take(&quota, 1 + ASKED, &suppressed));
	ck_assert_uint_eq(accounted + suppressed, (uint64_t)THREADS * ASKED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log_quota");
	TCase *tcase = tcase_create("log_quota");
	tcase_add_test(tcase, test_table);
	tcase_add_test(tcase, test_threads);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
