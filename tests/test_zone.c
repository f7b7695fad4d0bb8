/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of the registry, of holds and of publishing, with readers at work.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "secondary/zone.h"
#include "support.h"

/* Instances are opaque here: any distinct pointers do. */
static char places[8];
#define INSTANCE(i) ((struct instance *)&places[i])

static zone_t *attach(const char *name, unsigned instance)
{
	uint8_t wire[255];
	support_name(name, wire);
	zone_t *zone = NULL;
	ck_assert_int_eq(zone_attach(wire, INSTANCE(instance), &zone), 0);
	return zone;
}

static void leave(zone_t *zone, unsigned instance, bool last)
{
	ck_assert_int_eq(zone_detach(zone, INSTANCE(instance)), last);
	zone_release(zone);
}

static zone_t *find(const char *name)
{
	uint8_t wire[255];
	support_name(name, wire);
	return zone_find(wire);
}

static void see(struct instance *instance, void *ctx)
{
	*(struct instance **)ctx = instance;
}

static struct instance *newest(const zone_t *zone)
{
	struct instance *found = NULL;
	ck_assert_int_eq(zone_with_instance(zone, see, &found), found != NULL);
	return found;
}

START_TEST(test_reload)
{
	zone_t *zone = attach("Example.COM", 0);
	char text[KNOT_DNAME_TXT_MAXLEN + 1];
	ck_assert_str_eq(zone_name(zone, text), "example.com.");
	ck_assert_uint_eq(zone->name_len, 13);
	ck_assert_ptr_eq(newest(zone), INSTANCE(0));

	ck_assert_ptr_eq(attach("example.com", 1), zone);
	ck_assert_ptr_eq(newest(zone), INSTANCE(1));
	leave(zone, 0, false);
	ck_assert_ptr_eq(newest(zone), INSTANCE(1));

	zone_t *found = find("EXAMPLE.com");
	ck_assert_ptr_eq(found, zone);
	leave(zone, 1, true);
	ck_assert_ptr_null(find("example.com"));
	ck_assert_ptr_null(newest(found));

	zone_t *next = attach("example.com", 2); /* A new zone of that name, while the old one is held. */
	ck_assert_ptr_ne(next, found);
	zone_release(found);
	zone_release(NULL);
	leave(next, 2, true);
}
END_TEST

START_TEST(test_failed_reload)
{
	zone_t *zone = attach("example.com", 0);
	attach("example.com", 1);
	attach("example.com", 1);
	leave(zone, 1, false);
	ck_assert_ptr_eq(newest(zone), INSTANCE(1));
	leave(zone, 1, false);
	ck_assert_ptr_eq(newest(zone), INSTANCE(0));
	leave(zone, 0, true);
}
END_TEST

typedef struct {
	unsigned seen, stop_after;
	char names[256];
} walked_t;

static int visit(zone_t *zone, void *ctx)
{
	walked_t *walked = ctx;
	char text[KNOT_DNAME_TXT_MAXLEN + 1];
	strcat(strcat(walked->names, zone_name(zone, text)), " ");
	return ++walked->seen == walked->stop_after ? -7 : 0;
}

START_TEST(test_walk)
{
	static const char *const names[] = { "z.example", "example", ".", "b.example", "a.b.example", "com", "a.example" };
	zone_t *zones[7];
	for (unsigned i = 0; i < 7; i++) {
		zones[i] = attach(names[i], 0);
	}

	walked_t all = { 0 };
	ck_assert_int_eq(zone_walk(visit, &all), 0);
	ck_assert_str_eq(all.names, ". com. example. a.example. b.example. a.b.example. z.example. ");
	walked_t some = { .stop_after = 3 };
	ck_assert_int_eq(zone_walk(visit, &some), -7);
	ck_assert_str_eq(some.names, ". com. example. ");

	for (unsigned i = 0; i < 7; i++) {
		leave(zones[i], 0, true);
	}
	walked_t none = { 0 };
	ck_assert_int_eq(zone_walk(visit, &none), 0);
	ck_assert_uint_eq(none.seen, 0);
}
END_TEST

START_TEST(test_many)
{
	enum { MANY = 3000 };
	static zone_t *zones[MANY];
	char name[32];
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "z%u.example", i * 7919 % MANY);
		zones[i * 7919 % MANY] = attach(name, 0);
	}
	for (unsigned i = 0; i < MANY; i += 2) {
		leave(zones[i], 0, true);
	}
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "z%u.example", i);
		zone_t *found = find(name);
		ck_assert_ptr_eq(found, i % 2 ? zones[i] : NULL);
		zone_release(found);
	}
	for (unsigned i = 1; i < MANY; i += 2) {
		leave(zones[i], 0, true);
	}
}
END_TEST

static snapshot_t *version(unsigned serial)
{
	char text[128];
	snprintf(text, sizeof(text), "@ SOA a. b. %u 1 1 1 1\n@ NS a.\n", serial);
	return support_zone("example", text);
}

START_TEST(test_states)
{
	zone_t *zone = attach("example", 0);
	ck_assert_ptr_null(zone_borrow(zone));
	zone_publish(zone, version(1), 0);
	zone_publish(zone, version(2), 0);
	ck_assert_uint_eq(zone->current->soa.serial, 2);

	/* Expiry and recovery, over and over without a grace period between them. */
	rcu_read_lock();
	for (unsigned i = 0; i < 10; i++) {
		snapshot_t *kept = zone_expire(zone, 1234);
		ck_assert_ptr_null(zone_borrow(zone));
		ck_assert_int_eq(zone->expired_at, 1234);
		zone_publish(zone, kept, 0);
		ck_assert_ptr_eq(zone_borrow(zone), kept);
		ck_assert_int_eq(zone->expired_at, 0);
	}
	rcu_read_unlock();
	leave(zone, 0, true); /* With what it serves. */
}
END_TEST

/* Readers and registry users while one thread publishes and another reloads. */

static struct {
	zone_t *zone;
	bool stop;
	unsigned long reads;
} race;

static void *read_loop(void *unused)
{
	rcu_register_thread();
	uint32_t last = 0;
	unsigned long reads = 0;
	while (!__atomic_load_n(&race.stop, __ATOMIC_RELAXED)) {
		rcu_read_lock();
		const snapshot_t *borrowed = zone_borrow(race.zone);
		if (borrowed != NULL) {
			ck_assert_uint_ge(borrowed->soa.serial, last);
			last = borrowed->soa.serial;
			ck_assert_uint_eq(borrowed->records, 2);
		}
		rcu_read_unlock();
		reads++;
	}
	__atomic_add_fetch(&race.reads, reads, __ATOMIC_RELAXED);
	rcu_unregister_thread();
	return unused;
}

static void *reload_loop(void *unused)
{
	rcu_register_thread();
	for (unsigned i = 1; !__atomic_load_n(&race.stop, __ATOMIC_RELAXED); i++) {
		ck_assert_ptr_eq(attach("example", i % 8), race.zone);
		ck_assert_ptr_nonnull(newest(race.zone));
		leave(race.zone, i % 8, false);
		leave(attach("other.example", 0), 0, true);
	}
	rcu_unregister_thread();
	return unused;
}

START_TEST(test_race)
{
	race.stop = false;
	race.zone = attach("example", 0);
	pthread_t threads[3];
	pthread_create(&threads[0], NULL, read_loop, NULL);
	pthread_create(&threads[1], NULL, read_loop, NULL);
	pthread_create(&threads[2], NULL, reload_loop, NULL);
	unsigned publications = support_is_full() ? 3000 : 150;
	for (unsigned i = 1; i <= publications; i++) {
		zone_publish(race.zone, version(i), 0);
		if (i % 16 == 0) {
			zone_publish(race.zone, zone_expire(race.zone, i), 0);
		}
	}
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
	}
	leave(race.zone, 0, true);
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
	TCase *tcase = tcase_create("zone");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, test_reload);
	tcase_add_test(tcase, test_failed_reload);
	tcase_add_test(tcase, test_walk);
	tcase_add_test(tcase, test_many);
	tcase_add_test(tcase, test_states);
	tcase_add_test(tcase, test_race);

	Suite *suite = suite_create("zone");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
