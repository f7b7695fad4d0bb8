/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of the directory: longest apexes against a list of them, growth, removal, readers meanwhile.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "secondary/directory.h"
#include "support.h"

static zone_t *add(const char *name)
{
	uint8_t wire[255];
	support_name(name, wire);
	const size_t len = knot_dname_size(wire);
	zone_t *zone = calloc(1, sizeof(*zone) + len);
	ck_assert_ptr_nonnull(zone);
	zone->name_len = len;
	memcpy(zone->name, wire, len);
	ck_assert_int_eq(directory_add(zone), 0);
	return zone;
}

/*! Zones here have no holders: they go when no reader can see them any more. */
static void drop(zone_t *zone)
{
	directory_remove(zone);
	synchronize_rcu();
	free(zone);
}

static zone_t *find(const char *name, bool above)
{
	uint8_t wire[255];
	support_name(name, wire);
	rcu_read_lock();
	zone_t *zone = directory_find(wire, knot_dname_size(wire), above);
	rcu_read_unlock();
	return zone;
}

START_TEST(test_longest)
{
	ck_assert_ptr_null(find("example.com", false));
	zone_t *com = add("com");
	zone_t *example = add("example.com");
	zone_t *deep = add("a.b.example.com");

	static const char *const outside[] = { ".", "net", "example.net", "xcom", "com.net" };
	for (unsigned i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		ck_assert_ptr_null(find(outside[i], false));
		ck_assert_ptr_null(find(outside[i], true));
	}
	const struct { const char *name; zone_t *at, *above; } cases[] = {
		{ "com", com, com }, /* No parent here: it has to do. */
		{ "x.com", com, com },
		{ "myexample.com", com, com },
		{ "example.com", example, com },
		{ "www.example.com", example, example },
		{ "b.example.com", example, example },
		{ "a.b.example.com", deep, example },
		{ "y.x.a.b.example.com", deep, deep },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_ptr_eq(find(cases[i].name, false), cases[i].at);
		ck_assert_ptr_eq(find(cases[i].name, true), cases[i].above);
	}

	drop(example);
	ck_assert_ptr_eq(find("www.example.com", false), com);
	ck_assert_ptr_eq(find("a.b.example.com", true), com);
	zone_t *root = add(".");
	ck_assert_ptr_eq(find("net", false), root);
	ck_assert_ptr_eq(find(".", true), root);
	ck_assert_ptr_eq(find("com", true), root);
	drop(com);
	drop(deep);
	ck_assert_ptr_eq(find("a.b.example.com", false), root);
	drop(root);
	ck_assert_ptr_null(find("com", false));
}
END_TEST

START_TEST(test_longest_names)
{
	/* 127 labels, 255 octets: the most that a name can have. */
	char text[512] = "";
	for (unsigned i = 0; i < 127; i++) {
		strcat(text, i == 0 ? "a" : ".a");
	}
	zone_t *zone = add(text);
	zone_t *parent = add(text + 2);
	ck_assert_ptr_eq(find(text, false), zone);
	ck_assert_ptr_eq(find(text, true), parent);
	ck_assert_ptr_eq(find(text + 2, false), parent);
	ck_assert_ptr_null(find(text + 4, false));
	drop(zone);
	drop(parent);
}
END_TEST

START_TEST(test_many)
{
	enum { COUNT = 3000 };
	static zone_t *zones[COUNT];
	char name[64];
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < COUNT; i++) {
			if (zones[i] == NULL) {
				snprintf(name, sizeof(name), "z%u.example", i);
				zones[i] = add(name);
			}
		}
		for (unsigned i = 0; i < COUNT; i++) {
			snprintf(name, sizeof(name), "www.z%u.example", i);
			ck_assert_ptr_eq(find(name, false), zones[i]);
		}
		for (unsigned i = round; i < COUNT; i += 2) {
			directory_remove(zones[i]);
			directory_remove(zones[i]); /* Not there: nothing happens. */
		}
		synchronize_rcu();
		for (unsigned i = round; i < COUNT; i += 2) {
			free(zones[i]);
			zones[i] = NULL;
			snprintf(name, sizeof(name), "z%u.example", i);
			ck_assert_ptr_null(find(name, false));
		}
	}
	for (unsigned i = 0; i < COUNT; i++) {
		if (zones[i] != NULL) {
			drop(zones[i]);
			zones[i] = NULL;
		}
	}
}
END_TEST

typedef struct {
	bool stop;                /*!< Atomic. */
	zone_t *stays;
	unsigned wrong;
} readers_t;

static void *read_on(void *ctx)
{
	readers_t *readers = ctx;
	rcu_register_thread();
	uint8_t stays[255], comes[255];
	support_name("www.stays.example", stays);
	support_name("www.z7.example", comes);
	while (!__atomic_load_n(&readers->stop, __ATOMIC_ACQUIRE)) {
		rcu_read_lock();
		const zone_t *zone = directory_find(comes, knot_dname_size(comes), false);
		if (directory_find(stays, knot_dname_size(stays), false) != readers->stays ||
		    (zone != NULL && memcmp(zone->name, comes + 4, zone->name_len) != 0)) {
			__atomic_add_fetch(&readers->wrong, 1, __ATOMIC_RELAXED);
		}
		rcu_read_unlock();
	}
	rcu_unregister_thread();
	return NULL;
}

/*! A zone is found without a gap while others come, grow the table, and go. */
START_TEST(test_readers)
{
	readers_t readers = { .stays = add("stays.example") };
	pthread_t threads[2];
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_create(&threads[i], NULL, read_on, &readers), 0);
	}
	for (unsigned round = 0; round < 40; round++) {
		zone_t *zones[100];
		for (unsigned i = 0; i < 100; i++) {
			char name[64];
			snprintf(name, sizeof(name), "z%u.example", i);
			zones[i] = add(name);
		}
		for (unsigned i = 0; i < 100; i++) {
			directory_remove(zones[i]);
		}
		synchronize_rcu();
		for (unsigned i = 0; i < 100; i++) {
			free(zones[i]);
		}
	}
	__atomic_store_n(&readers.stop, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
	}
	ck_assert_uint_eq(readers.wrong, 0);
	drop(readers.stays);
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
	Suite *suite = suite_create("directory");
	TCase *tcase = tcase_create("directory");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_longest);
	tcase_add_test(tcase, test_longest_names);
	tcase_add_test(tcase, test_many);
	tcase_add_test(tcase, test_readers);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
