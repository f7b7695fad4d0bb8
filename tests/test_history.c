/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of history.h: ways that exist and ways that do not, budgets, and readers beside the writer.
 */
#include <check.h>
#include <libknot/libknot.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/history.h"
#include "support.h"

#define NO_LIMIT SIZE_MAX

static void put_soa(difference_maker_t *maker, uint32_t serial)
{
	uint8_t rdata[22] = { 0 };
	knot_wire_write_u32(rdata + 2, serial);
	ck_assert_int_eq(difference_maker_put(maker, (const uint8_t *)"", 0, KNOT_RRTYPE_SOA, 3600, rdata, sizeof(rdata)), KNOT_EOK);
}

/*! A difference that adds a record of \a octets octets of RDATA. */
static difference_t *make(uint32_t from, uint32_t to, uint16_t octets)
{
	static const uint8_t rdata[UINT16_MAX];
	difference_maker_t maker = { 0 };
	difference_t *difference = NULL;
	put_soa(&maker, from);
	difference_maker_turn(&maker);
	put_soa(&maker, to);
	ck_assert_int_eq(difference_maker_put(&maker, (const uint8_t *)"\1a", 2, 65280, 60, rdata, octets), KNOT_EOK);
	ck_assert_int_eq(difference_maker_finish(&maker, &difference), KNOT_EOK);
	return difference;
}

static void add(history_t *history, uint32_t from, uint32_t to, size_t max)
{
	ck_assert_int_eq(history_add(history, make(from, to, 0), max), KNOT_EOK);
}

/*! The serials of a way as text, "1 2 5 "; "" without one. */
static const char *way(const history_t *history, uint32_t from, uint32_t to, size_t max)
{
	static char text[256];
	history_run_t run = { 0 };
	rcu_read_lock();
	int ret = history_find(history, from, to, max, &run);
	rcu_read_unlock();
	text[0] = '\0';
	if (ret != KNOT_EOK) {
		ck_assert_int_eq(ret, KNOT_ENOENT);
		ck_assert_ptr_null(run.item);
		return text;
	}
	support_way(&run, text, sizeof(text));
	history_run_clear(&run);
	ck_assert_ptr_null(run.item);
	history_run_clear(&run);
	return text;
}

/*! What history and oldest entry say of themselves fits. */
static void assert_empty(const history_t *history)
{
	ck_assert_ptr_null(history->newest);
	ck_assert_ptr_null(history->oldest);
	ck_assert_uint_eq(history->octets, 0);
	ck_assert_uint_eq(history->count, 0);
}

static const struct {
	uint32_t from, to;
	const char *way;
} ways[] = {
	{ 1, 9, "1 2 5 9 " },
	{ 2, 9, "2 5 9 " },
	{ 5, 9, "5 9 " },
	{ 1, 5, "1 2 5 " }, /* An older version was borrowed. */
	{ 1, 2, "1 2 " },
	{ 9, 9, "" },
	{ 0, 9, "" },
	{ 3, 9, "" }, /* Between versions that were. */
	{ 1, 4, "" },
	{ 1, 10, "" },
	{ 10, 9, "" },
	{ 9, 1, "" },
	{ 0x80000001, 9, "" }, /* RFC 1982 does not compare it with 1. */
};

START_TEST(test_ways)
{
	history_t history = { 0 };
	ck_assert_str_eq(way(&history, 1, 9, NO_LIMIT), "");
	add(&history, 1, 2, NO_LIMIT);
	add(&history, 2, 5, NO_LIMIT);
	add(&history, 5, 9, NO_LIMIT);
	ck_assert_uint_eq(history.count, 3);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		ck_assert_str_eq(way(&history, ways[i].from, ways[i].to, NO_LIMIT), ways[i].way);
	}
	history_trim(&history, 0);
	assert_empty(&history);
	ck_assert_str_eq(way(&history, 5, 9, NO_LIMIT), "");
}
END_TEST

START_TEST(test_serials_that_wrap)
{
	history_t history = { 0 };
	add(&history, 0xFFFFFFFE, 0xFFFFFFFF, NO_LIMIT);
	add(&history, 0xFFFFFFFF, 0, NO_LIMIT);
	add(&history, 0, 3, NO_LIMIT);
	ck_assert_str_eq(way(&history, 0xFFFFFFFE, 3, NO_LIMIT), "4294967294 4294967295 0 3 ");
	ck_assert_str_eq(way(&history, 0xFFFFFFFD, 3, NO_LIMIT), "");
	history_clear(&history);
}
END_TEST

START_TEST(test_gap)
{
	history_t history = { 0 };
	add(&history, 1, 2, NO_LIMIT);
	add(&history, 2, 3, NO_LIMIT);
	add(&history, 4, 5, NO_LIMIT);
	ck_assert_uint_eq(history.count, 1);
	ck_assert_str_eq(way(&history, 4, 5, NO_LIMIT), "4 5 ");
	ck_assert_str_eq(way(&history, 2, 5, NO_LIMIT), "");

	/* The operator forced an older version: what leads to it is of no use, and what led away from it was about another one. */
	add(&history, 5, 4, NO_LIMIT);
	assert_empty(&history);
	add(&history, 4, 5, NO_LIMIT);
	ck_assert_str_eq(way(&history, 4, 5, NO_LIMIT), "4 5 ");
	add(&history, 5, 5, NO_LIMIT);
	assert_empty(&history);
	add(&history, 5, 5 + 0x80000000, NO_LIMIT);
	assert_empty(&history);
}
END_TEST

START_TEST(test_budget)
{
	history_t history = { 0 };
	add(&history, 0, 1, NO_LIMIT);
	const size_t each = history.octets;
	ck_assert_uint_gt(each, sizeof(difference_t));
	for (uint32_t i = 1; i < 20; i++) {
		add(&history, i, i + 1, 5 * each);
		ck_assert_uint_eq(history.count, i < 5 ? i + 1 : 5);
		ck_assert_uint_eq(history.octets, history.count * each);
	}
	ck_assert_str_eq(way(&history, 15, 20, NO_LIMIT), "15 16 17 18 19 20 ");
	ck_assert_str_eq(way(&history, 14, 20, NO_LIMIT), "");

	history_trim(&history, 5 * each);
	ck_assert_uint_eq(history.count, 5);
	history_trim(&history, 5 * each - 1);
	ck_assert_str_eq(way(&history, 16, 20, NO_LIMIT), "16 17 18 19 20 ");
	history_trim(&history, each);
	ck_assert_str_eq(way(&history, 19, 20, NO_LIMIT), "19 20 ");

	/* One that is larger than all that is allowed is not kept, nor is there a way past it. */
	ck_assert_int_eq(history_add(&history, make(20, 21, 5000), 2 * each), KNOT_EOK);
	assert_empty(&history);
}
END_TEST

START_TEST(test_length_of_a_way)
{
	history_t history = { 0 };
	add(&history, 1, 2, NO_LIMIT);
	add(&history, 2, 3, NO_LIMIT);
	const size_t each = history.newest != NULL ? history.octets / 2 : 0;
	difference_t *one = make(0, 1, 0);
	const size_t size = one->size;
	difference_release(one);
	ck_assert_uint_gt(each, size);
	ck_assert_str_eq(way(&history, 1, 3, 2 * size), "1 2 3 ");
	ck_assert_str_eq(way(&history, 1, 3, 2 * size - 1), "");
	ck_assert_str_eq(way(&history, 2, 3, size), "2 3 ");
	ck_assert_str_eq(way(&history, 2, 3, size - 1), "");
	history_clear(&history);
	assert_empty(&history);
}
END_TEST

/* What was found stays, whatever becomes of the history. */
START_TEST(test_held)
{
	history_t history = { 0 };
	add(&history, 1, 2, NO_LIMIT);
	add(&history, 2, 3, NO_LIMIT);
	history_run_t run = { 0 };
	rcu_read_lock();
	ck_assert_int_eq(history_find(&history, 1, 3, NO_LIMIT, &run), KNOT_EOK);
	rcu_read_unlock();
	history_trim(&history, 0);
	rcu_barrier();
	ck_assert_uint_eq(run.count, 2);
	ck_assert(difference_is_sound(run.item[0]) && difference_is_sound(run.item[1]));
	history_run_clear(&run);
}
END_TEST

/* Readers look for ways, and look through them, while one thread adds and drops. */

static struct {
	history_t history;
	uint32_t newest;          /*!< Serial. Atomic. */
	bool stop;
	unsigned long found;      /*!< Atomic. */
} race;

static void *read_loop(void *seed)
{
	rcu_register_thread();
	unsigned random_state = (uintptr_t)seed;
	while (!__atomic_load_n(&race.stop, __ATOMIC_RELAXED)) {
		history_run_t run = { 0 };
		rcu_read_lock();
		const uint32_t to = __atomic_load_n(&race.newest, __ATOMIC_ACQUIRE);
		const uint32_t from = to - 1 - rand_r(&random_state) % 40;
		int ret = history_find(&race.history, from, to, NO_LIMIT, &run);
		rcu_read_unlock();
		if (ret == KNOT_EOK) {
			ck_assert_uint_eq(run.item[0]->from, from);
			ck_assert_uint_eq(run.item[run.count - 1]->to, to);
			ck_assert_uint_eq(run.count, to - from);
			ck_assert(difference_is_sound(run.item[rand_r(&random_state) % run.count]));
			__atomic_add_fetch(&race.found, 1, __ATOMIC_RELAXED);
		}
		history_run_clear(&run);
	}
	rcu_unregister_thread();
	return NULL;
}

START_TEST(test_race)
{
	memset(&race, 0, sizeof(race));
	add(&race.history, 0, 1, NO_LIMIT);
	const size_t each = race.history.octets;
	race.newest = 1;
	pthread_t readers[2];
	for (uintptr_t i = 0; i < 2; i++) {
		pthread_create(&readers[i], NULL, read_loop, (void *)(i + 1));
	}
	const uint32_t steps = support_is_full() ? 200000 : 3000;
	for (uint32_t i = 1; i < steps || __atomic_load_n(&race.found, __ATOMIC_RELAXED) < 100; i++) {
		add(&race.history, i, i + 1, (i % 64 < 32 ? 30 : 3) * each);
		__atomic_store_n(&race.newest, i + 1, __ATOMIC_RELEASE);
		if (i % 1000 == 0) {
			history_trim(&race.history, 0);
		}
	}
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(readers[i], NULL);
	}
	history_trim(&race.history, 0);
	assert_empty(&race.history);
}
END_TEST

static void setup(void)
{
	rcu_register_thread();
}

static void teardown(void)
{
	rcu_barrier();
	rcu_unregister_thread();
}

int main(void)
{
	TCase *tcase = tcase_create("history");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, test_ways);
	tcase_add_test(tcase, test_serials_that_wrap);
	tcase_add_test(tcase, test_gap);
	tcase_add_test(tcase, test_budget);
	tcase_add_test(tcase, test_length_of_a_way);
	tcase_add_test(tcase, test_held);
	tcase_add_test(tcase, test_race);

	Suite *suite = suite_create("history");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
