/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Unit tests of the arena.
 */
#include <check.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "failing_alloc.h"
#include "../module/arena.c"
#undef malloc
#undef calloc
#undef realloc
#undef mmap

/*! Two of them fill the first chunk nearly. */
#define FIRST_HALF (IS_MAPPED(1) ? 2000u : 500u)

static arena_t *arena;

static void setup(void)
{
	arena = arena_new(0);
	ck_assert_ptr_nonnull(arena);
}

static void teardown(void)
{
	alloc_budget = -1;
	arena_release(arena);
}

/*! \brief Allocates and fills. */
static arena_ref_t take(size_t size, uint8_t fill)
{
	arena_ref_t ref = 0;
	ck_assert_int_eq(arena_alloc(arena, size, &ref), KNOT_EOK);
	ck_assert_uint_ne(ref, 0);
	memset(arena_ptr(arena, ref), fill, size);
	return ref;
}

static void check_fill(arena_ref_t ref, size_t size, uint8_t fill)
{
	const uint8_t *octets = arena_at(arena_base(arena), ref);
	size_t same = 0;
	while (same < size && octets[same] == fill) {
		same++;
	}
	ck_assert_uint_eq(same, size);
}

static void check_same(arena_stats_t a, arena_stats_t b)
{
	ck_assert_uint_eq(a.reserved, b.reserved);
	ck_assert_uint_eq(a.used, b.used);
	ck_assert_uint_eq(a.dead, b.dead);
	ck_assert_uint_eq(a.chunks, b.chunks);
}

START_TEST(new_is_empty_and_small)
{
	check_same(arena_stats(arena), (arena_stats_t){ 0 });
	/* 100,000 zones have one each. */
	ck_assert_uint_le(sizeof(arena_t), 256);
	take(10, 0);
	ck_assert_uint_le(arena_stats(arena).reserved, IS_MAPPED(1) ? 4096 : 1024);
}
END_TEST

START_TEST(objects_are_aligned_and_apart)
{
	arena_ref_t ref[600];
	for (unsigned i = 0; i < 600; i++) {
		ref[i] = take(1 + i % 37, (uint8_t)i);
		ck_assert_uint_eq((uintptr_t)arena_ptr(arena, ref[i]) % 4, 0);
	}
	for (unsigned i = 0; i < 600; i++) {
		check_fill(ref[i], 1 + i % 37, (uint8_t)i);
	}
}
END_TEST

START_TEST(chunks_grow_with_use)
{
	size_t last = 0;
	for (unsigned i = 0; i < 30000; i++) {
		take(600, 1);
		arena_stats_t stats = arena_stats(arena);
		if (stats.reserved != last) {
			size_t step = stats.reserved - last;
			ck_assert_uint_le(step, ARENA_CHUNK_MAX);
			/* A chunk is at most twice what is used, as a power of two. */
			ck_assert_uint_le(stats.reserved, 3 * stats.used + 4096);
			last = stats.reserved;
		}
	}
	ck_assert_uint_le(arena_stats(arena).chunks, 20);
}
END_TEST

START_TEST(hint_sizes_first_chunk)
{
	static const struct {
		size_t hint, least, most;
	} cases[] = {
		{ 1, 1000, 4096 }, { 5000, 5000, 8192 }, { 300000, 300000, 304 * 1024 },
		{ 3 << 20, 3 << 20, 3 << 20 }, { 1 << 30, ARENA_CHUNK_MAX, ARENA_CHUNK_MAX },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		teardown();
		arena = arena_new(cases[i].hint);
		take(4, 0);
		ck_assert_uint_ge(arena_stats(arena).reserved, cases[i].least);
		ck_assert_uint_le(arena_stats(arena).reserved, cases[i].most);
	}
}
END_TEST

START_TEST(whole_chunk_is_usable)
{
	teardown();
	arena = arena_new(ARENA_CHUNK_MAX);
	arena_ref_t first = take(4, 1), last = 0;
	for (unsigned i = 0; i < (ARENA_CHUNK_MAX - 4) / 4096; i++) {
		last = take(4096, 2);
	}
	last = take(4092, 3);
	ck_assert_uint_eq(arena_stats(arena).chunks, 1);
	ck_assert_uint_eq(arena_stats(arena).used, ARENA_CHUNK_MAX);
	ck_assert_uint_eq(arena_stats(arena).reserved, ARENA_CHUNK_MAX);
	arena_ref_t next = take(4, 4);
	ck_assert_uint_eq(arena_stats(arena).chunks, 2);
	check_fill(first, 4, 1);
	check_fill(last, 4092, 3);
	check_fill(next, 4, 4);
	arena_seal(arena);
	ck_assert(!arena_is_mutable(arena, first) && !arena_is_mutable(arena, last) && !arena_is_mutable(arena, next));
}
END_TEST

START_TEST(huge_objects_stand_alone)
{
	arena_ref_t small = take(8, 1);
	arena_ref_t huge = take(9 << 20, 2);
	arena_ref_t after = take(8, 3);
	ck_assert_uint_eq(arena_stats(arena).chunks, 2);
	ck_assert_ptr_eq((uint8_t *)arena_ptr(arena, small) + 8, arena_ptr(arena, after));
	check_fill(small, 8, 1);
	check_fill(huge, 9 << 20, 2);
	arena_dead(arena, huge, 9 << 20);
	ck_assert_uint_eq(arena_stats(arena).chunks, 1);
	ck_assert_uint_eq(arena_stats(arena).used, 16);
}
END_TEST

START_TEST(size_is_limited)
{
	arena_ref_t ref = 77;
	ck_assert_int_eq(arena_alloc(arena, (size_t)ARENA_OBJECT_MAX + 1, &ref), KNOT_ESPACE);
	ck_assert_uint_eq(ref, 77);
	ck_assert_uint_eq(arena_stats(arena).chunks, 0);
}
END_TEST

START_TEST(seal_ends_mutability)
{
	arena_ref_t a = take(12, 1);
	ck_assert(arena_is_mutable(arena, a));
	arena_seal(arena);
	arena_ref_t b = take(12, 2);
	ck_assert(!arena_is_mutable(arena, a));
	ck_assert(arena_is_mutable(arena, b));
	arena_seal(arena);
	ck_assert(!arena_is_mutable(arena, b));
}
END_TEST

START_TEST(rollback_forgets_since_seal)
{
	arena_ref_t kept = take(100, 1);
	arena_seal(arena);
	arena_stats_t before = arena_stats(arena);
	for (unsigned round = 0; round < 3; round++) {
		arena_ref_t first = take(20, 2);
		for (unsigned i = 0; i < 500; i++) {
			take(200, 3);
		}
		take(1 << 20, 4);
		/* Garbage of the transaction itself, in the chunk that stays and in one that goes. */
		arena_dead(arena, first, 20);
		arena_dead(arena, take(30, 5), 30);
		arena_rollback(arena);
		check_same(arena_stats(arena), before);
		check_fill(kept, 100, 1);
		ck_assert(!arena_is_mutable(arena, kept));
	}
	arena_ref_t next = take(4, 6);
	ck_assert_ptr_eq((uint8_t *)arena_ptr(arena, kept) + 100, arena_ptr(arena, next));
}
END_TEST

START_TEST(rollback_of_all)
{
	take(100, 1);
	take(5000, 1);
	arena_rollback(arena);
	check_same(arena_stats(arena), (arena_stats_t){ 0 });
	check_fill(take(50, 7), 50, 7);
}
END_TEST

/* The chunk in which the transaction began can die under it, with the last old version. */
START_TEST(rollback_after_death_of_its_chunk)
{
	arena_ref_t old = take(FIRST_HALF, 1);
	arena_seal(arena);
	arena_ref_t own = take(100, 2);
	for (unsigned i = 0; i < 10; i++) {
		take(FIRST_HALF, 3);
	}
	arena_dead(arena, own, 100);
	unsigned chunks = arena_stats(arena).chunks;
	arena_dead(arena, old, FIRST_HALF);
	ck_assert_uint_eq(arena_stats(arena).chunks, chunks - 1);
	arena_rollback(arena);
	check_fill(take(50, 7), 50, 7);
	ck_assert_uint_eq(arena_stats(arena).used, 52);
}
END_TEST

START_TEST(trim_returns_the_tail)
{
	static const size_t sizes[] = { 100, 70000, 700000, (2 << 20) + 5000 };
	for (unsigned i = 0; i < 4; i++) {
		teardown();
		arena = arena_new(sizes[i] * 3 / 2);
		for (size_t left = sizes[i]; left > 0; left -= left < 1000 ? left : 1000) {
			take(left < 1000 ? left : 1000, 9);
		}
		arena_ref_t last = take(1000, 8);
		arena_seal(arena);
		arena_trim(arena);
		arena_stats_t stats = arena_stats(arena);
		ck_assert_uint_le(stats.reserved, stats.used + 4095);
		check_fill(last, 1000, 8);
		arena_ref_t next = take(5000, 7);
		check_fill(last, 1000, 8);
		check_fill(next, 5000, 7);
		ck_assert(!arena_is_mutable(arena, last));
		ck_assert(arena_is_mutable(arena, next));
	}
	teardown();
	arena = arena_new(0);
	arena_trim(arena);
}
END_TEST

START_TEST(dead_chunk_is_freed)
{
	arena_ref_t ref[64];
	for (unsigned i = 0; i < 64; i++) {
		ref[i] = take(FIRST_HALF, (uint8_t)i);
	}
	arena_seal(arena);
	arena_stats_t before = arena_stats(arena);
	ck_assert_uint_gt(before.chunks, 2);

	for (unsigned i = 0; i < 63; i++) {
		arena_dead(arena, ref[i], FIRST_HALF);
		check_fill(ref[63], FIRST_HALF, 63);
	}
	arena_stats_t after = arena_stats(arena);
	ck_assert_uint_eq(after.chunks, 1);
	ck_assert_uint_eq(after.used, FIRST_HALF);
	ck_assert_uint_lt(after.reserved, before.reserved);

	/* The chunk being filled stays until it is full, and goes then. */
	arena_dead(arena, ref[63], FIRST_HALF);
	ck_assert_uint_eq(arena_stats(arena).chunks, 1);
	ck_assert_uint_eq(arena_stats(arena).used, 0);
	arena_ref_t big = take(after.reserved, 1);
	arena_ref_t more = take(before.reserved, 2);
	check_fill(big, after.reserved, 1);
	check_fill(more, before.reserved, 2);
}
END_TEST

START_TEST(dead_chunk_is_freed_when_left)
{
	arena_ref_t a = take(8, 1);
	size_t rest = arena->room * UNIT;
	arena_ref_t b = take(rest, 2);
	arena_seal(arena);
	arena_dead(arena, a, 8);
	arena_dead(arena, b, rest);
	ck_assert_uint_eq(arena_stats(arena).chunks, 1);
	arena_ref_t c = take(8, 3);
	ck_assert_uint_eq(arena_stats(arena).chunks, 1);
	ck_assert_uint_eq(arena_stats(arena).used, 8);
	check_fill(c, 8, 3);
}
END_TEST

/* A zone of one small record that changes for years. */
START_TEST(small_zone_stays_small)
{
	arena_ref_t old = take(300, 0);
	arena_seal(arena);
	for (unsigned i = 0; i < 20000; i++) {
		arena_ref_t ref = take(300, (uint8_t)i);
		arena_seal(arena);
		arena_dead(arena, old, 300);
		old = ref;
		ck_assert_uint_lt(old >> OFFSET_BITS, 4);
	}
	check_fill(old, 300, (uint8_t)19999);
	arena_stats_t stats = arena_stats(arena);
	ck_assert_uint_eq(stats.used, 300);
	ck_assert_uint_le(stats.chunks, 2);
	ck_assert_uint_le(stats.reserved, 2 * (IS_MAPPED(1) ? 4096 : 1024));
}
END_TEST

/* One live octet holds each chunk; in the end every slot is taken, and a freed one is used again. */
START_TEST(slots_run_out_and_come_back)
{
	static arena_ref_t keep[SLOTS_MAX];
	unsigned count = 0;
	arena_ref_t filler = 0, ref = 0;
	int ret = KNOT_EOK;

	while (ret == KNOT_EOK) {
		arena_base_t base = arena_base(arena);
		keep[count] = take(4, (uint8_t)count);
		count++;
		/* A reader of an older version sees the same through the table it has. */
		check_fill(keep[count / 2], 4, (uint8_t)(count / 2));
		ck_assert_mem_eq(arena_at(base, keep[0]), arena_ptr(arena, keep[0]), 4);
		ck_assert_uint_le(count, SLOTS_MAX);

		size_t rest = arena->room * UNIT;
		filler = take(rest, 0);
		arena_seal(arena);
		arena_dead(arena, filler, rest);
		/* As if all was dead: the next chunk is as small as they get. */
		ret = arena_alloc(arena, 4, &ref);
		if (ret == KNOT_EOK) {
			arena_dead(arena, ref, 4);
		}
	}
	ck_assert_int_eq(ret, KNOT_ESPACE);
	ck_assert_uint_eq(arena_stats(arena).chunks, SLOTS_MAX - 1);
	for (unsigned i = 0; i < count; i++) {
		check_fill(keep[i], 4, (uint8_t)i);
	}

	arena_dead(arena, keep[1000], 4);
	ck_assert_uint_eq(arena_stats(arena).chunks, SLOTS_MAX - 2);
	ref = take(4, 5);
	ck_assert_uint_eq(ref_slot(ref), ref_slot(keep[1000]));
	check_fill(ref, 4, 5);
}
END_TEST

START_TEST(lack_of_memory_changes_nothing)
{
	unsigned failures = 0;
	alloc_budget = 0;
	ck_assert_ptr_null(arena_new(0));

	for (unsigned i = 0; i < 20000; i++) {
		arena_ref_t ref = 0;
		alloc_budget = i % 3;
		arena_stats_t before = arena_stats(arena);
		int ret = arena_alloc(arena, 1000, &ref);
		if (ret != KNOT_EOK) {
			ck_assert_int_eq(ret, KNOT_ENOMEM);
			ck_assert_uint_eq(ref, 0);
			check_same(arena_stats(arena), before);
			failures++;
		} else {
			memset(arena_ptr(arena, ref), 1, 1000);
		}
	}
	alloc_budget = -1;
	ck_assert_uint_gt(failures, 5);
}
END_TEST

START_TEST(holders_are_counted)
{
	ck_assert_ptr_eq(arena_hold(arena), arena);
	take(10, 1);
	arena_release(arena);
	take(10, 2);
	arena_release(NULL);
}
END_TEST

/* Retirement by another thread while the writer goes on. */
#define HANDED 20000
static _Atomic arena_ref_t handed[HANDED];

static void *retire(void *data)
{
	(void)data;
	for (unsigned i = 0; i < HANDED; i++) {
		arena_ref_t ref;
		while ((ref = atomic_load(&handed[i])) == 0) {
			sched_yield();
		}
		arena_dead(arena, ref, 40);
		if (i % 1024 == 0) {
			ck_assert_uint_ge(arena_stats(arena).reserved, arena_stats(arena).dead > 0);
		}
	}
	return NULL;
}

START_TEST(dead_from_another_thread)
{
	pthread_t thread;
	memset(handed, 0, sizeof(handed));
	ck_assert_int_eq(pthread_create(&thread, NULL, retire, NULL), 0);
	for (unsigned i = 0; i < HANDED; i++) {
		arena_ref_t ref = take(40, (uint8_t)i);
		if (i % 16 == 0) {
			arena_seal(arena);
		}
		atomic_store(&handed[i], ref);
	}
	pthread_join(thread, NULL);
	ck_assert_uint_eq(arena_stats(arena).used, 0);
	ck_assert_uint_le(arena_stats(arena).chunks, 1);
}
END_TEST

#ifdef SECONDARY_SEAL
START_TEST(sealed_pages_are_read_only)
{
	arena_ref_t ref = take(page_ceil(1), 1);
	arena_seal(arena);
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		/* The sanitizer's report of the fault is not wanted here. */
		(void)signal(SIGSEGV, SIG_DFL);
		*(volatile uint8_t *)arena_ptr(arena, ref) = 2;
		_exit(0);
	}
	int status = 0;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	check_fill(ref, page_ceil(1), 1);
}
END_TEST
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
/* Shows that the checker is awake: what is dead, unused or rolled back may not be touched. */
START_TEST(stale_memory_is_poisoned)
{
	arena_ref_t a = take(64, 1), b = take(64, 2);
	arena_seal(arena);
	arena_ref_t c = take(64, 3);
	uint8_t *rolled = arena_ptr(arena, c);
	ck_assert(!__asan_address_is_poisoned(arena_ptr(arena, a)));
	ck_assert(!__asan_address_is_poisoned(rolled + 63));
	ck_assert(__asan_address_is_poisoned(rolled + 64));
	arena_rollback(arena);
	ck_assert(__asan_address_is_poisoned(rolled + 32));
	arena_dead(arena, a, 64);
	ck_assert(__asan_address_is_poisoned((uint8_t *)arena_ptr(arena, a) + 32));
	check_fill(b, 64, 2);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("arena");
	TCase *tcase = tcase_create("arena");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, new_is_empty_and_small);
	tcase_add_test(tcase, objects_are_aligned_and_apart);
	tcase_add_test(tcase, chunks_grow_with_use);
	tcase_add_test(tcase, hint_sizes_first_chunk);
	tcase_add_test(tcase, whole_chunk_is_usable);
	tcase_add_test(tcase, huge_objects_stand_alone);
	tcase_add_test(tcase, size_is_limited);
	tcase_add_test(tcase, seal_ends_mutability);
	tcase_add_test(tcase, rollback_forgets_since_seal);
	tcase_add_test(tcase, rollback_of_all);
	tcase_add_test(tcase, rollback_after_death_of_its_chunk);
	tcase_add_test(tcase, trim_returns_the_tail);
	tcase_add_test(tcase, dead_chunk_is_freed);
	tcase_add_test(tcase, dead_chunk_is_freed_when_left);
	tcase_add_test(tcase, small_zone_stays_small);
	tcase_add_test(tcase, slots_run_out_and_come_back);
	tcase_add_test(tcase, lack_of_memory_changes_nothing);
	tcase_add_test(tcase, holders_are_counted);
	tcase_add_test(tcase, dead_from_another_thread);
#ifdef SECONDARY_SEAL
	tcase_add_test(tcase, sealed_pages_are_read_only);
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
	tcase_add_test(tcase, stale_memory_is_poisoned);
#endif
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
