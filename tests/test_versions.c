/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of versions.h: what is kept, and when others are told, for versions that come while others are compared.
 *
 * Comparisons in the pool are held up by occupying its threads, so that what comes meanwhile always comes meanwhile.
 */
#include <check.h>
#include <libknot/errcode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"
#include "secondary/versions.h"
#include "support.h"

static struct {
	uv_loop_t loop;
	zone_t *zone;
	versions_t versions;
	unsigned told;
	unsigned told_count;      /*!< Differences that were kept when others were told last. */
	snapshot_t *last;
} world;

static void on_ready(versions_t *versions)
{
	ck_assert_ptr_eq(versions, &world.versions);
	world.told++;
	world.told_count = world.zone->history.count;
}

static void open_with(uint64_t max)
{
	versions_open(&world.versions, &world.loop, world.zone, max, on_ready);
}

/*! Compares all in the pool. */
static void always_aside(void)
{
	world.versions.at_once = 0;
}

static void run_loop(void)
{
	uv_run(&world.loop, UV_RUN_DEFAULT);
}

static snapshot_t *version(uint32_t serial, const char *records)
{
	char text[65536];
	snprintf(text, sizeof(text), "@ SOA a. b. %u 1 1 1 1\n@ NS a.\n%s", serial, records);
	return support_zone("example", text);
}

/*! Publishes, with a difference if \a with_run. */
static void publish_snapshot(snapshot_t *now, bool with_run)
{
	snapshot_t *before = world.last != NULL ? snapshot_pin(world.last) : NULL;
	history_run_t run = { 0 };
	if (with_run) {
		run = (history_run_t) { .item = calloc(1, sizeof(difference_t *)), .count = 1 };
		ck_assert_int_eq(difference_compute(before, now, SIZE_MAX, &run.item[0]), KNOT_EOK);
	}
	zone_publish(world.zone, now, 0);
	world.last = now;
	versions_follow(&world.versions, before, now, with_run ? &run : NULL);
	ck_assert_ptr_null(run.item);
	snapshot_unpin(before);
}

/*! Publishes a version that differs from others in one record. */
static void publish(uint32_t serial)
{
	char record[32];
	snprintf(record, sizeof(record), "n%u A 192.0.2.1\n", serial);
	publish_snapshot(version(serial, record), false);
}

static void publish_increment(uint32_t serial)
{
	publish_snapshot(version(serial, ""), true);
}

/*! The serials of the way to the version that serves, from \a from. */
static const char *way(uint32_t from)
{
	static char text[256];
	history_run_t run = { 0 };
	rcu_read_lock();
	int ret = history_find(&world.zone->history, from, zone_borrow(world.zone)->soa.serial, SIZE_MAX, &run);
	rcu_read_unlock();
	ck_assert_int_eq(ret == KNOT_EOK, run.count > 0);
	for (size_t i = 0; i < run.count; i++) {
		ck_assert(difference_is_sound(run.item[i]));
	}
	support_way(&run, text, sizeof(text));
	history_run_clear(&run);
	return text;
}

/* Cases. */

START_TEST(test_at_once)
{
	open_with(1 << 20);
	publish(1);
	ck_assert_uint_eq(world.told, 1);
	ck_assert_uint_eq(world.zone->history.count, 0);
	publish(2);
	ck_assert_uint_eq(world.told, 2);
	ck_assert_uint_eq(world.told_count, 1);
	publish(3);
	publish_increment(4);
	publish(7);
	ck_assert_uint_eq(world.told, 5);
	ck_assert_str_eq(way(1), "1 2 3 4 7 ");
	versions_close(&world.versions);
}
END_TEST

START_TEST(test_aside)
{
	open_with(1 << 20);
	always_aside();
	publish(1);
	ck_assert_uint_eq(world.told, 1);
	publish(2);
	ck_assert_uint_eq(world.told, 1);
	run_loop();
	ck_assert_uint_eq(world.told, 2);
	ck_assert_uint_eq(world.told_count, 1);
	ck_assert_str_eq(way(1), "1 2 ");
	versions_close(&world.versions);
}
END_TEST

/* Of whole versions that come meanwhile the last one counts; increments wait their turn. */
START_TEST(test_meanwhile)
{
	open_with(1 << 20);
	always_aside();
	publish(1);
	pool_occupy(&world.loop);
	publish(2);
	publish(3);
	publish(4);
	publish_increment(5);
	publish_increment(6);
	publish(7);
	publish(8);
	ck_assert_uint_eq(world.told, 1);
	ck_assert_uint_eq(world.zone->history.count, 0);
	pool_free();
	run_loop();
	ck_assert_str_eq(way(1), "1 2 4 5 6 8 ");
	/* After two comparisons, as another one waited, and at the end nobody was owed anything. */
	ck_assert_uint_eq(world.told, 2);
	versions_close(&world.versions);
}
END_TEST

START_TEST(test_told_when_nothing_waits)
{
	open_with(1 << 20);
	always_aside();
	publish(1);
	pool_occupy(&world.loop);
	publish(2);
	publish(3);
	pool_free();
	run_loop();
	ck_assert_uint_eq(world.told, 2);
	ck_assert_uint_eq(world.told_count, 2);
	ck_assert_str_eq(way(1), "1 2 3 ");
	versions_close(&world.versions);
}
END_TEST

/* What is forced although it is older ends the history, also what is under way. */
static const struct {
	bool aside;
	uint32_t serial;
	uint32_t next;
	const char *way;          /*!< To that, from the one before. */
} forced[] = {
	{ false, 2, 9, "2 9 " },
	{ true, 2, 9, "2 9 " },
	{ false, 0x80000005, 0x80000009, "2147483653 2147483657 " }, /* RFC 1982 does not compare it with 5. */
	{ true, 0x80000005, 0x80000009, "2147483653 2147483657 " },
};

START_TEST(test_forced)
{
	open_with(1 << 20);
	world.versions.at_once = forced[_i].aside ? 0 : VERSIONS_AT_ONCE;
	publish(1);
	publish(3);
	run_loop();
	pool_occupy(&world.loop);
	publish(5);
	publish(forced[_i].serial);
	ck_assert_uint_eq(world.zone->history.count, 0);
	ck_assert_uint_eq(world.told, forced[_i].aside ? 3 : 4);
	publish(forced[_i].next);
	pool_free();
	run_loop();
	ck_assert_str_eq(way(1), "");
	ck_assert_str_eq(way(forced[_i].serial), forced[_i].way);
	ck_assert_uint_eq(world.told, forced[_i].aside ? 4 : 5);
	versions_close(&world.versions);
}
END_TEST

/* A retransfer of the same serial, with the same records and with others. */
START_TEST(test_same_serial)
{
	open_with(1 << 20);
	world.versions.at_once = _i == 0 ? VERSIONS_AT_ONCE : 0;
	publish(1);
	publish(2);
	publish(2);
	run_loop();
	ck_assert_str_eq(way(1), "1 2 ");
	ck_assert_uint_eq(world.told, _i == 0 ? 3 : 2);
	publish_snapshot(version(2, "other A 192.0.2.9\n"), false);
	run_loop();
	ck_assert_uint_eq(world.zone->history.count, 0);
	publish(3);
	run_loop();
	ck_assert_str_eq(way(2), "2 3 ");
	ck_assert_str_eq(way(1), "");
	versions_close(&world.versions);
}
END_TEST

START_TEST(test_recovered)
{
	open_with(1 << 20);
	publish(1);
	publish(2);
	zone_publish(world.zone, zone_expire(world.zone, 1), 0);
	versions_follow(&world.versions, world.last, world.last, NULL);
	ck_assert_uint_eq(world.told, 3);
	ck_assert_str_eq(way(1), "1 2 ");
	versions_close(&world.versions);
}
END_TEST

/* No more than the zone is worth, nor than is allowed. */
START_TEST(test_limits)
{
	open_with(1 << 20);
	world.versions.at_once = _i == 0 ? VERSIONS_AT_ONCE : 0;
	for (uint32_t i = 1; i < 100; i++) {
		publish(i);
		run_loop();
	}
	ck_assert_uint_le(world.zone->history.octets, HISTORY_WORTH_MIN);
	ck_assert_uint_gt(world.zone->history.count, 5);

	versions_set_max(&world.versions, world.zone->history.octets / 2);
	ck_assert_uint_gt(world.zone->history.count, 1);
	ck_assert_uint_le(world.zone->history.octets, world.versions.max);
	versions_set_max(&world.versions, 1 << 20);

	/* One that is too large to be kept; others are told all the same. */
	char records[20000];
	char *end = records + sprintf(records, "big TYPE65280 \\# 6000 ");
	memset(end, 'C', 12000);
	strcpy(end + 12000, "\n");
	const unsigned told = world.told;
	publish_snapshot(version(100, records), false);
	run_loop();
	publish(101);
	run_loop();
	ck_assert_uint_eq(world.zone->history.count, 0);
	ck_assert_uint_eq(world.told, told + 2);
	publish(102);
	run_loop();
	ck_assert_str_eq(way(101), "101 102 ");

	versions_set_max(&world.versions, 0);
	ck_assert_uint_eq(world.zone->history.count, 0);
	publish(103);
	publish_increment(104);
	ck_assert_uint_eq(world.told, told + 5);
	ck_assert_uint_eq(world.zone->history.count, 0);
	versions_close(&world.versions);
}
END_TEST

START_TEST(test_closed)
{
	open_with(1 << 20);
	always_aside();
	publish(1);
	pool_occupy(&world.loop);
	publish(2);
	publish(3);
	publish_increment(4);
	versions_close(&world.versions);
	pool_free();
	run_loop();
	ck_assert_uint_eq(world.told, 1);
	ck_assert_uint_eq(world.zone->history.count, 0);

	/* Begun, and then closed: it is not heard of. */
	open_with(1 << 20);
	always_aside();
	publish(5);
	versions_close(&world.versions);
	run_loop();
	ck_assert_uint_eq(world.told, 1);
}
END_TEST

/* Purged while it is compared: nobody hears of it, and the next version is the first one. */
START_TEST(test_forgotten)
{
	open_with(1 << 20);
	always_aside();
	publish(1);
	publish(2);
	run_loop();
	ck_assert_uint_eq(world.told, 2);
	pool_occupy(&world.loop);
	publish(3);
	publish_increment(4);
	zone_publish(world.zone, NULL, 0);
	world.last = NULL;
	versions_forget(&world.versions);
	ck_assert_uint_eq(world.zone->history.count, 0);
	pool_free();
	run_loop();
	ck_assert_uint_eq(world.told, 2);
	ck_assert_uint_eq(world.zone->history.count, 0);
	publish(4);
	publish(5);
	run_loop();
	ck_assert_uint_eq(world.told, 4);
	ck_assert_str_eq(way(4), "4 5 ");
	versions_close(&world.versions);
}
END_TEST

/* Nothing is to be kept any more: what waits is not compared, and others are told at once. */
START_TEST(test_off_meanwhile)
{
	open_with(1 << 20);
	always_aside();
	publish(1);
	pool_occupy(&world.loop);
	publish(2);
	publish(3);
	ck_assert_uint_eq(world.told, 1);
	versions_set_max(&world.versions, 0);
	ck_assert_uint_eq(world.told, 2);
	pool_free();
	run_loop();
	ck_assert_uint_eq(world.told, 2);
	ck_assert_uint_eq(world.zone->history.count, 0);
	versions_close(&world.versions);
}
END_TEST

static void setup(void)
{
	rcu_register_thread();
	memset(&world, 0, sizeof(world));
	ck_assert_int_eq(uv_loop_init(&world.loop), 0);
	ck_assert_int_eq(zone_attach((const uint8_t *)"\7example", (struct instance *)&world, &world.zone), KNOT_EOK);
}

static void teardown(void)
{
	ck_assert_int_eq(uv_loop_close(&world.loop), 0);
	ck_assert(zone_detach(world.zone, (struct instance *)&world));
	zone_release(world.zone);
	rcu_barrier();
	rcu_unregister_thread();
}

int main(void)
{
	TCase *tcase = tcase_create("versions");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, test_at_once);
	tcase_add_test(tcase, test_aside);
	tcase_add_test(tcase, test_meanwhile);
	tcase_add_test(tcase, test_told_when_nothing_waits);
	tcase_add_loop_test(tcase, test_forced, 0, sizeof(forced) / sizeof(forced[0]));
	tcase_add_loop_test(tcase, test_same_serial, 0, 2);
	tcase_add_test(tcase, test_recovered);
	tcase_add_loop_test(tcase, test_limits, 0, 2);
	tcase_add_test(tcase, test_closed);
	tcase_add_test(tcase, test_forgotten);
	tcase_add_test(tcase, test_off_meanwhile);

	Suite *suite = suite_create("versions");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
