/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of compaction.h with the refresh machine: what happens to a zone while a copy of its version is being made.
 *
 * Copies are held up by occupying the threads of the pool, so that what comes meanwhile always comes meanwhile.
 */
#include <check.h>
#include <libknot/errcode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"
#include "secondary/amend.h"
#include "secondary/compaction.h"
#include "secondary/report.h"
#include "support.h"

static struct {
	uv_loop_t loop;
	compactor_t compactor;
	compaction_t compaction;
	zone_t *zone;
	refresh_t *refresh;
	uint64_t now;
	bool keeps;               /*!< Differences. */
	unsigned published;
	arena_t *arena;           /*!< Of the version of which a copy is made, held: no other one gets its place. */
} world;

/* The world of the machine. */

static uint64_t op_now(void *ctx)
{
	(void)ctx;
	return world.now;
}

static int64_t op_wall(void *ctx)
{
	(void)ctx;
	return 1700000000 + world.now / 1000;
}

static uint32_t op_random(void *ctx, uint32_t below)
{
	(void)ctx, (void)below;
	return 0;
}

static void op_arm(void *ctx, refresh_t *refresh, uint64_t at_ms)
{
	(void)ctx, (void)refresh, (void)at_ms;
}

static void op_ask(void *ctx, refresh_t *refresh, const primary_t *primary, bool urgent)
{
	(void)ctx, (void)refresh, (void)primary, (void)urgent;
}

static bool op_waits(void *ctx, const refresh_t *refresh)
{
	(void)ctx, (void)refresh;
	return false;
}

static void op_cancel(void *ctx, refresh_t *refresh)
{
	(void)ctx, (void)refresh;
}

static void op_published(void *ctx, refresh_t *refresh, snapshot_t *before, history_run_t *run)
{
	(void)ctx;
	world.published++;
	compaction_follow(&world.compactor, &world.compaction, before, refresh_version(refresh), run);
	for (size_t i = 0; run != NULL && world.keeps && i < run->count; i++) {
		ck_assert_int_eq(history_add(&world.zone->history, difference_hold(run->item[i]), 1 << 20), KNOT_EOK);
	}
	if (run != NULL) {
		history_run_clear(run);
	}
	compaction_want(&world.compactor, &world.compaction, refresh);
}

static void op_checked(void *ctx, refresh_t *refresh, int64_t at, int64_t expires_at)
{
	(void)ctx, (void)refresh, (void)at, (void)expires_at;
}

static void op_ended(void *ctx, refresh_t *refresh, const char *failure)
{
	(void)ctx, (void)refresh, (void)failure;
}

static const refresh_ops_t ops = {
	.now_ms = op_now, .wall = op_wall, .random = op_random, .arm = op_arm, .probe = op_ask, .transfer = op_ask,
	.waits = op_waits, .cancel = op_cancel, .published = op_published, .checked = op_checked, .ended = op_ended,
};

static void no_report(const zone_t *zone, int priority, const char *fmt, va_list args)
{
	(void)zone, (void)priority, (void)fmt, (void)args;
}

/*! The pool that was occupied works again, until all is done. */
static void free_pool(void)
{
	pool_free();
	uv_run(&world.loop, UV_RUN_DEFAULT);
}

/* Versions. */

static snapshot_t *version(uint32_t serial)
{
	char text[256];
	snprintf(text, sizeof(text), "@ SOA a. b. %u 60 60 3600 60\n@ NS a.\nwww A 192.0.2.1\nn%u A 192.0.2.2\n", serial, serial);
	return support_zone("example", text);
}

static void assert_serves(uint32_t serial)
{
	snapshot_t *wanted = version(serial);
	rcu_read_lock();
	const snapshot_t *serving = zone_borrow(world.zone);
	ck_assert_ptr_nonnull(serving);
	ck_assert_ptr_eq(serving, refresh_version(world.refresh));
	char *a = support_dump(serving), *b = support_dump(wanted);
	ck_assert_uint_eq(serving->records, wanted->records);
	ck_assert_uint_eq(serving->octets, wanted->octets);
	rcu_read_unlock();
	ck_assert_str_eq(a, b);
	free(a);
	free(b);
	snapshot_unpin(wanted);
}

static bool is_compacted(void)
{
	return refresh_version(world.refresh)->arena != world.arena;
}

/*! Begins a check that finds a newer version, up to its transfer. */
static void find_newer(uint32_t serial)
{
	refresh_command(world.refresh, REFRESH_CHECK);
	if (refresh_version(world.refresh) != NULL) {
		refresh_probed(world.refresh, PRIMARY_NEWER, serial, EXPIRE_NONE, NULL);
	}
}

static void full_transfer(uint32_t serial)
{
	find_newer(serial);
	refresh_transferred(world.refresh, version(serial), NULL, EXPIRE_NONE, NULL);
}

/*! Makes the draft of the version \a serial on top of the one that serves. */
static snapshot_t *make_draft(uint32_t serial, history_run_t *ret_run)
{
	char error[AMEND_ERROR_MAX];
	const builder_limits_t limits = { 0 };
	snapshot_t *base = refresh_base(world.refresh), *now = version(serial), *draft;
	*ret_run = (history_run_t) { .item = calloc(1, sizeof(difference_t *)), .count = 1 };
	ck_assert_int_eq(difference_compute(base, now, 0, &ret_run->item[0]), KNOT_EOK);
	ck_assert_int_eq(amend(base, ret_run->item, 1, &limits, &draft, error), KNOT_EOK);
	snapshot_unpin(now);
	return draft;
}

static void increment(uint32_t serial)
{
	history_run_t run;
	find_newer(serial);
	snapshot_t *draft = make_draft(serial, &run);
	refresh_transferred(world.refresh, draft, &run, EXPIRE_NONE, NULL);
}

/*! Serves version 2, of which a copy waits for the pool: names have lost their notes, as far as one can see. */
static void begin_copy(void)
{
	full_transfer(1);
	increment(2);
	world.arena = arena_hold(refresh_version(world.refresh)->arena);
	pool_occupy(&world.loop);
	refresh_version(world.refresh)->chain.lost_notes = true;
	compaction_want(&world.compactor, &world.compaction, world.refresh);
	ck_assert_int_eq(world.compaction.state, COMPACTION_RUNNING);
}

/* Cases. */

START_TEST(test_undisturbed)
{
	begin_copy();
	const unsigned published = world.published;
	free_pool();
	ck_assert(is_compacted());
	assert_serves(2);
	ck_assert_uint_eq(world.published, published);
	ck_assert_int_eq(world.compaction.state, COMPACTION_NONE);
	increment(3);
	assert_serves(3);
}
END_TEST

/*! Increments came meanwhile: they are made up for, whether or not they are kept for others. */
START_TEST(test_increments)
{
	world.keeps = _i % 2 == 0;
	begin_copy();
	const uint32_t last = _i < 2 ? 3 : 7;
	for (uint32_t serial = 3; serial <= last; serial++) {
		increment(serial);
	}
	ck_assert_uint_eq(world.compactor.way.count, last - 2);
	free_pool();
	ck_assert(is_compacted());
	assert_serves(last);
	ck_assert_uint_eq(world.compactor.way.count, 0);
	increment(8);
	assert_serves(8);
}
END_TEST

/*! More came meanwhile than the version takes: nothing of it is held, and another copy is made after the next publication. */
START_TEST(test_too_many_increments)
{
	world.keeps = _i == 0;
	begin_copy();
	uint32_t serial = 2;
	while (!world.compactor.way_lost) {
		increment(++serial);
		ck_assert_uint_le(world.compactor.way.octets, snapshot_memory(world.compactor.snapshot));
	}
	ck_assert_uint_gt(serial, 3);
	ck_assert_uint_eq(world.compactor.way.count, 0);
	increment(++serial);
	ck_assert_uint_eq(world.compactor.way.count, 0);
	free_pool();
	ck_assert(!is_compacted());
	assert_serves(serial);

	refresh_version(world.refresh)->chain.lost_notes = true;
	compaction_want(&world.compactor, &world.compaction, world.refresh);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	ck_assert(is_compacted());
	assert_serves(serial);
}
END_TEST

/*! An increment waits to be checked while the copy takes the place of what it was made on top of, and of later ones. */
START_TEST(test_draft)
{
	history_run_t run;
	begin_copy();
	if (_i >= 2) {
		increment(3);
	}
	find_newer(5);
	snapshot_t *base = snapshot_pin(refresh_base(world.refresh));
	snapshot_t *draft = make_draft(5, &run);
	free_pool();
	rcu_barrier();
	ck_assert(is_compacted());
	assert_serves(_i >= 2 ? 3 : 2);
	if (_i % 2 == 0) {
		refresh_transferred(world.refresh, draft, &run, EXPIRE_NONE, NULL);
		assert_serves(5);
	} else {
		snapshot_discard(draft);
		history_run_clear(&run);
		refresh_transferred(world.refresh, NULL, NULL, EXPIRE_NONE, "refused");
	}
	snapshot_unpin(base);
	increment(6);
	assert_serves(6);
}
END_TEST

/*! The way to the version that serves by now is another one, though it has the serials of the differences that came. */
START_TEST(test_full_transfer)
{
	begin_copy();
	increment(3);
	if (_i == 0) {
		full_transfer(4);
	} else {
		refresh_command(world.refresh, REFRESH_RETRANSFER);
		refresh_transferred(world.refresh, version(3), NULL, EXPIRE_NONE, NULL);
	}
	ck_assert(world.compactor.way_lost);
	const snapshot_t *serving = refresh_version(world.refresh);
	free_pool();
	ck_assert_ptr_eq(refresh_version(world.refresh), serving);
	assert_serves(_i == 0 ? 4 : 3);
	increment(9);
	assert_serves(9);
}
END_TEST

/*! The copy of what has expired is kept in its place, and recovers. */
START_TEST(test_expired)
{
	begin_copy();
	if (_i == 1) {
		increment(3);
	}
	const uint32_t serial = _i == 1 ? 3 : 2;
	refresh_command(world.refresh, REFRESH_CHECK);
	world.now += 3600 * 1000 + 1;
	refresh_timer(world.refresh);
	ck_assert_ptr_null(world.zone->current);
	free_pool();
	rcu_barrier();
	ck_assert(is_compacted());
	ck_assert_ptr_null(world.zone->current);
	if (_i < 2) {
		refresh_probed(world.refresh, PRIMARY_SAME, serial, EXPIRE_NONE, NULL);
		assert_serves(serial);
	} else {
		refresh_probed(world.refresh, PRIMARY_NEWER, 5, EXPIRE_NONE, NULL);
		history_run_t run;
		snapshot_t *draft = make_draft(5, &run);
		refresh_transferred(world.refresh, draft, &run, EXPIRE_NONE, NULL);
		assert_serves(5);
	}
	increment(8);
	assert_serves(8);
}
END_TEST

START_TEST(test_purged)
{
	begin_copy();
	refresh_command(world.refresh, REFRESH_PURGE);
	free_pool();
	ck_assert_ptr_null(world.zone->current);
	ck_assert_ptr_null(refresh_version(world.refresh));
	refresh_transferred(world.refresh, version(2), NULL, EXPIRE_NONE, NULL);
	assert_serves(2);
}
END_TEST

/*! The zone goes while its copy waits, is made, and has been made but not been delivered. */
START_TEST(test_cancelled)
{
	begin_copy();
	increment(3);
	refresh_version(world.refresh)->chain.lost_notes = true;
	compaction_cancel(&world.compactor, &world.compaction);
	ck_assert_uint_eq(world.compactor.way.count, 0);
	if (_i == 1) {
		compaction_want(&world.compactor, &world.compaction, world.refresh);
		ck_assert_int_eq(world.compaction.state, COMPACTION_WAITING);
		compaction_cancel(&world.compactor, &world.compaction);
	}
	if (_i == 2) {
		compaction_want(&world.compactor, &world.compaction, world.refresh);
	}
	free_pool();
	ck_assert(is_compacted() == (_i == 2));
	assert_serves(3);
}
END_TEST

START_TEST(test_stopped)
{
	begin_copy();
	compaction_cancel(&world.compactor, &world.compaction);
	compactor_stop(&world.compactor);
	free_pool();
	ck_assert(!is_compacted());
}
END_TEST

static void setup(void)
{
	secondary_rcu_prime();
	rcu_register_thread();
	report_set_sink(no_report);
	memset(&world, 0, sizeof(world));
	world.keeps = true;
	ck_assert_int_eq(uv_loop_init(&world.loop), 0);
	compactor_init(&world.compactor, &world.loop);
	ck_assert_int_eq(zone_attach((const uint8_t *)"\7example", (struct instance *)&world, &world.zone), KNOT_EOK);
	stanza_t *stanza = stanza_new(1, 0);
	stanza->refresh = stanza->retry = stanza->expire = (clamp_t) { 0, UINT32_MAX };
	world.refresh = refresh_new(zone_hold(world.zone), stanza, &ops, &world);
	ck_assert_ptr_nonnull(world.refresh);
}

static void teardown(void)
{
	compaction_cancel(&world.compactor, &world.compaction);
	refresh_free(world.refresh);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&world.loop), 0);
	arena_release(world.arena);
	ck_assert(zone_detach(world.zone, (struct instance *)&world));
	history_trim(&world.zone->history, 0);
	zone_publish(world.zone, NULL, 0);
	rcu_barrier();
	zone_release(world.zone);
	report_set_sink(NULL);
	rcu_barrier();
	rcu_barrier();
	rcu_unregister_thread();
}

int main(void)
{
	TCase *tcase = tcase_create("compaction");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_undisturbed);
	tcase_add_loop_test(tcase, test_increments, 0, 4);
	tcase_add_loop_test(tcase, test_too_many_increments, 0, 2);
	tcase_add_loop_test(tcase, test_draft, 0, 4);
	tcase_add_loop_test(tcase, test_full_transfer, 0, 2);
	tcase_add_loop_test(tcase, test_expired, 0, 3);
	tcase_add_test(tcase, test_purged);
	tcase_add_loop_test(tcase, test_cancelled, 0, 3);
	tcase_add_test(tcase, test_stopped);

	Suite *suite = suite_create("compaction");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
