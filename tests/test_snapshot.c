/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Lifetimes of snapshots: pins, retirement, chains of versions, and torture in the manner of rcutorture.
 *
 * The torture: readers borrow the published snapshot in read sections, some pin it and look at it much later, some unpin
 * what others pinned; one publisher exchanges it for new ones. Each version carries its number in several places that
 * readers compare, and is poisoned when it is freed (snapshot.c, REFS_DEAD); a free too early is seen by that, and by the sanitizers. Its age
 * is how many versions were published after it: a borrow must be the current one or one that was replaced within the
 * section. Counted in publications, not seconds.
 */

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/wire.h"
#include "support.h"

static void rcu_setup(void)
{
	secondary_rcu_prime();
	rcu_register_thread();
}

static void rcu_teardown(void)
{
	rcu_barrier();
	rcu_unregister_thread();
}

/*! \brief A zone of version \a number: serial and a few addresses are that number. */
static snapshot_t *make_version(uint32_t number)
{
	uint8_t apex[] = "\4test";
	builder_limits_t limits = { 0 };
	builder_t *builder = builder_new(apex, &limits);
	ck_assert_ptr_nonnull(builder);

	uint8_t soa[22] = { 0 };
	knot_wire_write_u32(soa + 2, number);
	ck_assert_int_eq(builder_add(builder, apex, sizeof(apex), KNOT_RRTYPE_SOA, 1, soa, sizeof(soa)), KNOT_EOK);
	ck_assert_int_eq(builder_add(builder, apex, sizeof(apex), KNOT_RRTYPE_NS, 1, apex, sizeof(apex)), KNOT_EOK);
	for (unsigned i = 0; i < 8; i++) {
		uint8_t owner[] = "\1a\4test";
		uint8_t rdata[4];
		owner[1] += i;
		knot_wire_write_u32(rdata, number);
		ck_assert_int_eq(builder_add(builder, owner, sizeof(owner), KNOT_RRTYPE_A, 1, rdata, 4), KNOT_EOK);
	}
	snapshot_t *snapshot = NULL;
	ck_assert_int_eq(builder_finish(builder, &snapshot), KNOT_EOK);
	return snapshot;
}

/*! \brief Number of the version, or 0 when its parts do not agree. */
static uint32_t read_version(const snapshot_t *snapshot, unsigned which)
{
	uint8_t label[] = { 1, 'a' + which % 8 };
	qp_key_t key;
	qp_key(&key, label, sizeof(label));
	qp_leaf_t leaf = qp_get(&snapshot->names, &key);
	rrset_t rrset;
	if (leaf.ref == 0 || !rrset_find(snapshot->names.base, leaf.ref, KNOT_RRTYPE_A, &rrset)) {
		return 0;
	}
	uint32_t number = knot_wire_read_u32(rrset.items + 2);
	bool is_alive = __atomic_load_n(&snapshot->refs, __ATOMIC_RELAXED) >= 0;
	return is_alive && number == snapshot->soa.serial ? number : 0;
}

/* Lifetimes, one step after the other */

START_TEST(test_pin)
{
	snapshot_t *snapshot = make_version(1);
	ck_assert_int_eq(snapshot->refs, 1);

	rcu_read_lock();
	ck_assert_ptr_eq(snapshot_pin(snapshot), snapshot);
	rcu_read_unlock();
	ck_assert_ptr_eq(snapshot_pin(snapshot), snapshot);
	snapshot_retire(snapshot);
	rcu_barrier();
	ck_assert_int_eq(snapshot->refs, 2);

	snapshot_unpin(snapshot);
	ck_assert_uint_eq(read_version(snapshot, 3), 1);
	snapshot_unpin(snapshot);
	rcu_barrier();

	snapshot_unpin(NULL);
	snapshot_retire(NULL);
}
END_TEST

START_TEST(test_borrow)
{
	/* Retired and unpinned inside the read section of a borrow: stays until the section ends. */
	snapshot_t *snapshot = make_version(1);
	snapshot_t *never_published = make_version(2);
	rcu_read_lock();
	snapshot_pin(snapshot);
	snapshot_unpin(snapshot);
	snapshot_retire(snapshot);
	snapshot_unpin(never_published);
	sched_yield();
	ck_assert_uint_eq(read_version(snapshot, 0), 1);
	ck_assert_uint_eq(read_version(never_published, 0), 2);
	rcu_read_unlock();
	rcu_barrier();
}
END_TEST

/*! Versions of one arena, as increments make them: each holds the next, and lists what the next one replaced. */
#define CHAIN 5

static arena_t *make_chain(snapshot_t *version[CHAIN])
{
	arena_t *arena = arena_new(0);
	for (unsigned i = 0; i < CHAIN; i++) {
		version[i] = calloc(1, sizeof(*version[i]));
		version[i]->refs = 1;
		version[i]->arena = arena_hold(arena);
		arena_ref_t ref = 0;
		ck_assert_int_eq(arena_alloc(arena, 100, &ref), KNOT_EOK);
		arena_seal(arena);
		ck_assert_int_eq(scrap_add(&version[i]->scrap, ref, 100), KNOT_EOK);
		if (i > 0) {
			version[i - 1]->successor = snapshot_pin(version[i]);
		}
	}
	return arena;
}

START_TEST(test_chain)
{
	snapshot_t *version[CHAIN];
	arena_t *arena = make_chain(version);
	size_t all = arena_stats(arena).used;

	/* All are replaced, but the oldest is pinned: none may go. */
	snapshot_pin(version[0]);
	for (unsigned i = 0; i < CHAIN; i++) {
		snapshot_retire(version[i]);
	}
	rcu_barrier();
	ck_assert_uint_eq(arena_stats(arena).used, all);
	for (unsigned i = 0; i < CHAIN; i++) {
		ck_assert_int_eq(version[i]->refs, 1);
	}

	/* One in the middle is pinned: the older ones go, and what their successors replaced is dead. */
	snapshot_pin(version[3]);
	snapshot_unpin(version[0]);
	rcu_barrier();
	ck_assert_uint_eq(arena_stats(arena).used, all - 300);
	ck_assert_int_eq(version[3]->refs, 1);
	snapshot_unpin(version[3]);
	rcu_barrier();
	arena_release(arena);
}
END_TEST

START_TEST(test_chain_order)
{
	/* Released in any order they die oldest first; the arena goes with the last. */
	srand(support_seed());
	for (unsigned round = 0; round < 10; round++) {
		snapshot_t *version[CHAIN];
		arena_release(make_chain(version));
		unsigned left = CHAIN;
		while (left > 0) {
			unsigned i = rand() % left;
			snapshot_unpin(version[i]);
			version[i] = version[--left];
		}
		rcu_barrier();
	}
}
END_TEST

START_TEST(test_long_chain)
{
	/* Freeing goes from version to version without recursion. */
	arena_t *arena = arena_new(0);
	snapshot_t *oldest = NULL;
	snapshot_t *newest = NULL;
	for (unsigned i = 0; i < 100000; i++) {
		snapshot_t *version = calloc(1, sizeof(*version));
		version->refs = i == 0 ? 1 : 2;
		version->arena = arena_hold(arena);
		if (newest != NULL) {
			newest->successor = version;
			/* Its publisher has given it up. */
			__atomic_fetch_sub(&version->refs, 1, __ATOMIC_RELAXED);
		}
		oldest = oldest != NULL ? oldest : version;
		newest = version;
	}
	arena_release(arena);
	snapshot_unpin(oldest);
	rcu_barrier();
}
END_TEST

START_TEST(test_memory)
{
	snapshot_t *snapshot = make_version(1);
	size_t memory = snapshot_memory(snapshot);
	ck_assert_uint_ge(memory, sizeof(*snapshot) + arena_stats(snapshot->arena).reserved);
	ck_assert_uint_eq(node_size(snapshot->names.base, snapshot->apex_node),
	                  1 + 1 + (12 + 2 + 2) + (12 + 2 + 22));
	support_free(snapshot);
}
END_TEST

START_TEST(test_serial)
{
	static const struct {
		uint32_t a, b;
		bool newer;
	} cases[] = {
		{ 1, 0, true }, { 0, 1, false }, { 0, 0, false }, { 0, 0xFFFFFFFF, true }, { 0xFFFFFFFF, 0, false },
		{ 0x7FFFFFFF, 0, true }, { 0x80000000, 0, false }, { 0, 0x80000000, false }, { 0, 0x80000001, true },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ck_assert_msg(serial_newer(cases[i].a, cases[i].b) == cases[i].newer, "case %zu", i);
	}
}
END_TEST

/* Torture */

#define READERS  3
#define PINNERS  2
#define PARKED   8

static snapshot_t *published;
static uint32_t newest_number;            /* Written before the exchange: no reader may see a later version. */
static uint32_t replaced_number;          /* Written after the exchange: no section begun since may see it or older. */
static int is_over;
static unsigned long errors;
static unsigned long sections;

/*! Pins given from thread to thread. */
static pthread_mutex_t parking = PTHREAD_MUTEX_INITIALIZER;
static snapshot_t *parked[PARKED];

static void note_error(bool is_error)
{
	if (is_error) {
		__atomic_fetch_add(&errors, 1, __ATOMIC_RELAXED);
	}
}

static bool go_on(void)
{
	return !__atomic_load_n(&is_over, __ATOMIC_ACQUIRE);
}

static void *reader_run(void *seed_void)
{
	unsigned seed = *(unsigned *)seed_void;
	rcu_register_thread();
	while (go_on()) {
		rcu_read_lock();
		uint32_t replaced = __atomic_load_n(&replaced_number, __ATOMIC_ACQUIRE);
		snapshot_t *snapshot = rcu_dereference(published);
		uint32_t number = read_version(snapshot, rand_r(&seed));
		note_error(number <= replaced || number > __atomic_load_n(&newest_number, __ATOMIC_ACQUIRE));
		if (rand_r(&seed) % 16 == 0) {
			sched_yield();
		}
		note_error(read_version(snapshot, rand_r(&seed)) != number);
		rcu_read_unlock();
		__atomic_fetch_add(&sections, 1, __ATOMIC_RELAXED);
	}
	rcu_unregister_thread();
	return NULL;
}

/*! \brief Exchanges a pin for one that some other thread left. */
static snapshot_t *park(snapshot_t *mine, unsigned place)
{
	pthread_mutex_lock(&parking);
	snapshot_t *other = parked[place];
	parked[place] = mine;
	pthread_mutex_unlock(&parking);
	return other;
}

static void *pinner_run(void *seed_void)
{
	unsigned seed = *(unsigned *)seed_void;
	rcu_register_thread();
	while (go_on()) {
		rcu_read_lock();
		snapshot_t *snapshot = snapshot_pin(rcu_dereference(published));
		rcu_read_unlock();
		note_error(read_version(snapshot, rand_r(&seed)) == 0);

		snapshot_t *other = park(snapshot, rand_r(&seed) % PARKED);
		if (other != NULL) {
			note_error(read_version(other, rand_r(&seed)) == 0);
			snapshot_unpin(other);
		}
		if (rand_r(&seed) % 4 == 0) {
			sched_yield();
		}
	}
	rcu_unregister_thread();
	return NULL;
}

static void publish(uint32_t number)
{
	snapshot_t *snapshot = make_version(number);
	__atomic_store_n(&newest_number, number, __ATOMIC_RELEASE);
	snapshot_t *old = rcu_xchg_pointer(&published, snapshot);       /* PUBLISH */
	__atomic_store_n(&replaced_number, number - 1, __ATOMIC_RELEASE);
	snapshot_retire(old);
}

START_TEST(test_torture)
{
	unsigned long seed = support_seed();
	uint32_t publications = support_is_full() ? 50000 : 4000;
	is_over = 0;
	errors = sections = 0;
	published = NULL;
	publish(1);

	pthread_t thread[READERS + PINNERS];
	unsigned seeds[READERS + PINNERS];
	for (unsigned i = 0; i < READERS + PINNERS; i++) {
		seeds[i] = seed + i;
		ck_assert_int_eq(pthread_create(&thread[i], NULL, i < READERS ? reader_run : pinner_run, &seeds[i]), 0);
	}
	for (uint32_t number = 2; number <= publications; number++) {
		publish(number);
		if (number % 8 == 0) {
			sched_yield();
		}
	}
	__atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < READERS + PINNERS; i++) {
		pthread_join(thread[i], NULL);
	}

	for (unsigned i = 0; i < PARKED; i++) {
		snapshot_unpin(park(NULL, i));
	}
	snapshot_retire(rcu_xchg_pointer(&published, NULL));
	rcu_barrier();
	ck_assert_uint_eq(errors, 0);
	ck_assert_uint_gt(sections, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("snapshot");
	TCase *lifetimes = tcase_create("lifetimes");
	tcase_add_checked_fixture(lifetimes, rcu_setup, rcu_teardown);
	tcase_set_timeout(lifetimes, 60);
	tcase_add_test(lifetimes, test_pin);
	tcase_add_test(lifetimes, test_borrow);
	tcase_add_test(lifetimes, test_chain);
	tcase_add_test(lifetimes, test_chain_order);
	tcase_add_test(lifetimes, test_long_chain);
	tcase_add_test(lifetimes, test_memory);
	tcase_add_test(lifetimes, test_serial);
	suite_add_tcase(suite, lifetimes);

	TCase *torture = tcase_create("torture");
	tcase_add_checked_fixture(torture, rcu_setup, rcu_teardown);
	tcase_set_timeout(torture, 300);
	tcase_add_test(torture, test_torture);
	suite_add_tcase(suite, torture);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
