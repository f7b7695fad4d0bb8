/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of module/ask_queue.h.
 */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "../module/ask_queue.h"

static ask_queue_t queue;

START_TEST(test_order_and_bound)
{
	ask_queue_init(&queue);
	ask_t ask;
	ck_assert(!ask_queue_take(&queue, &ask));
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < ASK_QUEUE_SIZE; i++) {
			const uint8_t name[] = { 2, i >> 8, i, 0 };
			ck_assert(ask_queue_put(&queue, i, name, sizeof(name), i % 100));
		}
		ck_assert(!ask_queue_put(&queue, 0, (const uint8_t *)"", 1, 1));
		for (uint32_t i = 0; i < ASK_QUEUE_SIZE; i++) {
			ck_assert(ask_queue_take(&queue, &ask));
			ck_assert_uint_eq(ask.upstream, i);
			ck_assert_uint_eq(ask.type, i % 100);
			ck_assert_uint_eq(ask.len, 4);
			ck_assert_uint_eq(ask.name[1] << 8 | ask.name[2], i & 0xFFFF);
		}
		ck_assert(!ask_queue_take(&queue, &ask));
	}
}
END_TEST

START_TEST(test_count_wraps)
{
	ask_queue_init(&queue);
	const uint32_t begin = -(uint32_t)ASK_QUEUE_SIZE;
	queue.read = queue.write = begin;
	for (uint32_t i = 0; i < ASK_QUEUE_SIZE; i++) {
		queue.place[i].turn = begin + i;
	}
	ask_t ask;
	for (uint32_t i = 0; i < 3 * ASK_QUEUE_SIZE; i++) {
		ck_assert(ask_queue_put(&queue, i, (const uint8_t *)"", 1, 1));
		ck_assert(ask_queue_take(&queue, &ask));
		ck_assert_uint_eq(ask.upstream, i);
	}
}
END_TEST

#define WRITERS  3
#define MESSAGES 20000

static void *writer(void *ctx)
{
	const uint16_t id = (uintptr_t)ctx;
	for (uint32_t i = 0; i < MESSAGES; ) {
		uint8_t name[5] = { 3, i, i >> 8, id, 0 };
		if (ask_queue_put(&queue, i, name, sizeof(name), id)) {
			i++;
		} else {
			sched_yield();
		}
	}
	return NULL;
}

/*! Each writer's questions come in order, whole, and all. */
START_TEST(test_writers)
{
	ask_queue_init(&queue);
	pthread_t thread[WRITERS];
	uint32_t next[WRITERS] = { 0 };
	for (uintptr_t i = 0; i < WRITERS; i++) {
		ck_assert_int_eq(pthread_create(&thread[i], NULL, writer, (void *)i), 0);
	}
	for (unsigned taken = 0; taken < WRITERS * MESSAGES; ) {
		ask_t ask;
		if (!ask_queue_take(&queue, &ask)) {
			sched_yield();
			continue;
		}
		ck_assert_uint_lt(ask.type, WRITERS);
		ck_assert_uint_eq(ask.upstream, next[ask.type]);
		ck_assert_uint_eq(ask.name[3], ask.type);
		ck_assert_uint_eq(ask.name[1] | ask.name[2] << 8, next[ask.type] & 0xFFFF);
		next[ask.type]++;
		taken++;
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(thread[i], NULL);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ask_queue");
	TCase *tcase = tcase_create("all");
	tcase_add_test(tcase, test_order_and_bound);
	tcase_add_test(tcase, test_count_wraps);
	tcase_add_test(tcase, test_writers);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
