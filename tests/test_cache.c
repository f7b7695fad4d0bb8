/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of cache.h: one writer, with and without readers beside it.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "secondary/cache.h"
#include "support.h"

static cache_t *cache;

static void setup(void)
{
	rcu_register_thread();
	secondary_rcu_prime();
}

static void teardown(void)
{
	rcu_barrier();
	rcu_unregister_thread();
}

static uint8_t name_of(unsigned number, uint8_t *dst)
{
	char text[32];
	snprintf(text, sizeof(text), "n%u.example.", number);
	return support_name(text, dst);
}

static cache_entry_t *find(uint32_t upstream, unsigned number, uint16_t type)
{
	uint8_t name[WIRE_NAME_MAX];
	return cache_find(cache, upstream, name, name_of(number, name), type);
}

static cache_entry_t *add(uint32_t upstream, unsigned number, uint16_t type)
{
	uint8_t name[WIRE_NAME_MAX];
	return cache_add(cache, upstream, name, name_of(number, name), type);
}

START_TEST(test_keys)
{
	cache = cache_new(1 << 20);
	for (unsigned number = 0; number < 300; number++) {
		for (uint32_t upstream = 1; upstream < 3; upstream++) {
			ck_assert_ptr_null(find(upstream, number, 1));
			cache_entry_t *entry = add(upstream, number, 1);
			ck_assert_ptr_eq(find(upstream, number, 1), entry);
			ck_assert_ptr_null(find(upstream, number, 28));
			ck_assert_ptr_null(cache_reply(entry));
		}
	}
	ck_assert_uint_eq(cache_count(cache), 600);
	for (unsigned number = 0; number < 300; number++) {
		cache_remove(cache, find(1, number, 1));
		ck_assert_ptr_null(find(1, number, 1));
		ck_assert_ptr_nonnull(find(2, number, 1));
	}
	ck_assert_uint_eq(cache_count(cache), 300);
	cache_free(cache);
}
END_TEST

START_TEST(test_fresh_stale_failed)
{
	cache = cache_new(1 << 20);
	cache_entry_t *entry = add(1, 1, 1);
	const uint32_t now = cache_now();
	ck_assert(cache_take_question(entry, now));
	ck_assert_msg(!cache_take_question(entry, now), "two askers");

	cache_succeed(cache, entry, reply_bare(REPLY_NODATA, 10), 100, now);
	const reply_t *reply = cache_reply(entry);
	ck_assert(cache_is_fresh(reply, now) && cache_is_fresh(reply, now + 9) && !cache_is_fresh(reply, now + 10));
	ck_assert_msg(cache_is_fresh(reply, now - 1) && cache_age(reply, now - 1) == 0, "the clock was read a second before");
	ck_assert_uint_eq(cache_age(reply, now + 3), 3);
	ck_assert_uint_eq(reply->stale_until, now + 110);
	ck_assert_int_eq(entry->failure, CACHE_NO_FAILURE);

	/* Pauses grow, and end with an answer. */
	static const uint32_t pauses[] = { 5, 10, 20, 40, 80, 160, 300, 300, 300 };
	for (unsigned i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		cache_fail(cache, entry, 22, now);
		ck_assert_int_eq(entry->failure, 22);
		ck_assert(!cache_take_question(entry, now + pauses[i] - 1));
		ck_assert(cache_take_question(entry, now + pauses[i]));
		ck_assert_ptr_eq(cache_reply(entry), reply);
	}
	cache_succeed(cache, entry, reply_bare(REPLY_NODATA, 10), 100, now);
	cache_fail(cache, entry, 22, now);
	ck_assert(cache_take_question(entry, now + 5));
	cache_free(cache);
}
END_TEST

/*! What zones want stays while there is anything else; but they are bounded too. */
START_TEST(test_wanted_go_last)
{
	const size_t max = 200000;
	cache = cache_new(max);
	for (unsigned number = 0; number < 100; number++) {
		cache_want(cache, add(1, 1000000 + number, 1));
	}
	for (unsigned number = 0; number < 20000; number++) {
		cache_touch(add(1, number, 1));
	}
	for (unsigned number = 0; number < 100; number++) {
		ck_assert_ptr_nonnull(find(1, 1000000 + number, 1));
	}
	for (unsigned number = 100; number < 5000; number++) {
		cache_want(cache, add(1, 1000000 + number, 1));
		ck_assert_uint_le(cache_memory(cache), max);
	}
	cache_free(cache);
}
END_TEST

/*! What is in the table when it is full. */
typedef enum { WANTED, WANTED_AND_USED, WANTED_BUT_SOME_UNDER_WAY, UNWANTED, UNDER_WAY } fill_t;

static void fill(fill_t how, unsigned number)
{
	cache_entry_t *entry = add(1, number, 1);
	if (how == UNDER_WAY || (how == WANTED_BUT_SOME_UNDER_WAY && number < 10)) {
		entry->waiting = true;
	} else if (how != UNWANTED) {
		cache_want(cache, entry);
	}
	if (how == WANTED_AND_USED) {
		cache_touch(entry);
	}
}

/*! Room costs the same for each entry, however many chains there are: here 8,192. */
START_TEST(test_room_is_cheap)
{
	enum { ENTRIES = 60000, MEMORY = 1 << 22, PER_ENTRY = 100 };
	cache = cache_new(MEMORY);
	for (unsigned number = 0; number < ENTRIES; number++) {
		fill(_i, number);
		ck_assert_uint_le(cache_judged(cache), (uint64_t)PER_ENTRY * (number + 1));
	}
	if (_i != UNDER_WAY) {
		ck_assert_uint_le(cache_memory(cache), MEMORY);
		ck_assert_uint_ge(cache_memory(cache), MEMORY - MEMORY / 50);
	}
	ck_assert_uint_gt(cache_judged(cache), 0);
	cache_free(cache);
}
END_TEST

/*! Entries that several zones want are wanted until none does; then they go before the others. */
START_TEST(test_unwanted_go_again)
{
	cache = cache_new(200000);
	cache_entry_t *entry = add(1, 1000000, 1);
	cache_want(cache, entry);
	cache_want(cache, entry);
	cache_unwant(cache, entry);
	for (unsigned number = 0; number < 5000; number++) {
		add(1, number, 1);
	}
	ck_assert_ptr_eq(find(1, 1000000, 1), entry);
	cache_unwant(cache, entry);
	cache_unwant(cache, entry);
	ck_assert_uint_eq(entry->wanted, 0);
	for (unsigned number = 0; number < 5000; number++) {
		cache_want(cache, add(1, 2000000 + number, 1));
		if (find(1, 1000000, 1) == NULL) {
			cache_free(cache);
			return;
		}
		ck_assert_ptr_nonnull(find(1, 2000000, 1));
	}
	ck_abort_msg("it never went");
}
END_TEST

/*! What is used, wanted or being looked up stays longer than what is not. */
START_TEST(test_bounded)
{
	const size_t max = 200000;
	cache = cache_new(max);
	cache_entry_t *busy = add(1, 1000000, 1);
	busy->lookup = busy;
	for (unsigned number = 0; number < 20000; number++) {
		cache_entry_t *entry = add(1, number, 1);
		ck_assert_uint_le(cache_memory(cache), max);
		cache_succeed(cache, entry, reply_bare(REPLY_NODATA, 10), 100, cache_now());
		cache_entry_t *used = find(1, 1000001, 1);
		if (used == NULL) {
			ck_assert_uint_eq(number, 0);
			used = add(1, 1000001, 1);
		}
		used->spared = false;
		cache_touch(used);
		ck_assert_uint_le(cache_memory(cache), max);
	}
	ck_assert_ptr_eq(find(1, 1000000, 1), busy);
	ck_assert_uint_lt(cache_count(cache), 2000);
	busy->lookup = NULL;
	cache_free(cache);
}
END_TEST

static unsigned visited;

static void visit(cache_entry_t *entry, void *ctx)
{
	(void)ctx;
	visited++;
	cache_remove(cache, entry);
}

START_TEST(test_due)
{
	cache = cache_new(1 << 20);
	const uint32_t now = cache_now();
	for (unsigned number = 0; number < 5000; number++) {
		cache_schedule(cache, add(1, number, 1), now + 1 + number);
	}
	cache_schedule(cache, find(1, 10, 1), now + 3000); /* again, later */
	cache_schedule(cache, find(1, 20, 1), now - 3000); /* in the past: as soon as possible */
	for (uint32_t second = 1; second <= 5000; second++) {
		visited = 0;
		cache_due(cache, now + second, visit, NULL);
		const unsigned expected = 1 + (second == 1) + (second == 3000) - (second == 11) - (second == 21);
		ck_assert_msg(visited == expected, "%u at %u", visited, second);
	}
	ck_assert_uint_eq(cache_count(cache), 0);
	ck_assert_uint_eq(cache_memory(cache), 0);

	/* A clock that jumped. */
	cache_schedule(cache, add(1, 1, 1), now + 6000);
	visited = 0;
	cache_due(cache, now + 100000, visit, NULL);
	ck_assert_uint_eq(visited, 1);
	cache_free(cache);
}
END_TEST

static bool stop;

/*! Replies say by their TTL which entry they belong to. */
static void *reader(void *ctx)
{
	unsigned *found = ctx;
	unsigned number = 0;
	rcu_register_thread();
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		rcu_read_lock();
		cache_entry_t *entry = find(1, number, 1);
		if (entry != NULL) {
			const reply_t *reply = cache_reply(entry);
			ck_assert(reply == NULL || reply->ttl == number + 1);
			cache_touch(entry);
			(void)cache_take_question(entry, cache_now());
			*found += 1;
		}
		rcu_read_unlock();
		number = (number + 7) % 400;
	}
	rcu_unregister_thread();
	return NULL;
}

START_TEST(test_readers)
{
	srand(support_seed());
	cache = cache_new(60000);
	pthread_t thread[2];
	unsigned found[2] = { 0 };
	stop = false;
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_create(&thread[i], NULL, reader, &found[i]), 0);
	}
	for (unsigned i = 0; i < (support_is_full() ? 1000000 : 30000); i++) {
		const unsigned number = rand() % 400;
		cache_entry_t *entry = find(1, number, 1);
		if (entry == NULL) {
			entry = add(1, number, 1);
		}
		switch (rand() % 4) {
		case 0:  cache_fail(cache, entry, 23, cache_now()); break;
		case 1:  cache_remove(cache, entry); break;
		default: cache_succeed(cache, entry, reply_bare(REPLY_NODATA, number + 1), 10, cache_now());
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
	}
	cache_free(cache);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cache");
	TCase *tcase = tcase_create("all");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, test_keys);
	tcase_add_test(tcase, test_fresh_stale_failed);
	tcase_add_test(tcase, test_bounded);
	tcase_add_test(tcase, test_wanted_go_last);
	tcase_add_loop_test(tcase, test_room_is_cheap, WANTED, UNDER_WAY + 1);
	tcase_add_test(tcase, test_unwanted_go_again);
	tcase_add_test(tcase, test_due);
	tcase_add_test(tcase, test_readers);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
