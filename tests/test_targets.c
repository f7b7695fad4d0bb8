/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of targets.h.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/dname.h>
#include <libknot/errcode.h>

#include "secondary/targets.h"
#include "secondary/wire.h"
#include "support.h"

#define APEX "@ SOA ns admin 1 2 3 4 5\n@ NS ns\n"

static const struct {
	const char *zone, *targets;
	unsigned max;
} cases[] = {
	{ APEX, "", 10 },
	{ APEX "a CNAME www\nwww A 192.0.2.1\n", "", 10 },
	{ APEX "a CNAME www.far.test.\n", "www.far.test.", 10 },
	{ APEX "a CNAME WWW.Far.Test.\nb CNAME www.far.test.\n", "www.far.test.", 10 },
	{ APEX "*.w CNAME www.far.test.\nd DNAME far.test.\nm MX 10 mx.far.test.\n", "www.far.test.", 10 },
	{ APEX "a CNAME one.test.\nb CNAME two.test.\nc CNAME three.test.\n", "one.test. two.test. three.test.", 10 },
	{ APEX "a CNAME one.test.\nb CNAME two.test.\nc CNAME three.test.\n", "one.test. two.test.", 2 },
	{ APEX "a CNAME one.test.\n", "", 0 },
	{ APEX "a CNAME not.wanted.\nb CNAME two.test.\n", "two.test.", 10 },
	{ APEX "sub NS ns.far.test.\na CNAME www.sub\nb CNAME sub\nc CNAME sub2\nx.sub A 192.0.2.1\nd CNAME x.sub\n",
	  "www.sub.example. sub.example. x.sub.example.", 10 },
	{ APEX "a CNAME .\nb CNAME example.\nc CNAME nexample.\n", ". nexample.", 10 },
};

static bool is_wanted(const uint8_t *name, size_t len)
{
	return !wire_name_within(name, len, (const uint8_t *)"\6wanted", 8);
}

START_TEST(test_cases)
{
	snapshot_t *zone = support_zone("example.", cases[_i].zone);
	targets_t targets;
	ck_assert_int_eq(targets_collect(zone, cases[_i].max, is_wanted, &targets), KNOT_EOK);
	char found[1024] = "";
	unsigned count = 0;
	for (size_t pos = 0; pos < targets.size; count++) {
		const uint8_t *name;
		uint8_t len;
		char text[KNOT_DNAME_TXT_MAXLEN + 1];
		pos = targets_next(&targets, pos, &name, &len);
		strcat(strcat(found, count > 0 ? " " : ""), knot_dname_to_str(text, name, sizeof(text)));
	}
	ck_assert_str_eq(found, cases[_i].targets);
	ck_assert_uint_eq(targets.count, count);
	targets_clear(&targets);
	ck_assert_ptr_null(targets.names);
	support_free(zone);
}
END_TEST

START_TEST(test_many)
{
	char *text = malloc(400000);
	size_t len = sprintf(text, APEX);
	for (unsigned i = 0; i < 5000; i++) {
		len += sprintf(text + len, "n%u CNAME t%u.test.\n", i, i % 1000);
	}
	snapshot_t *zone = support_zone("example.", text);
	targets_t targets;
	ck_assert_int_eq(targets_collect(zone, 100000, NULL, &targets), KNOT_EOK);
	ck_assert_uint_eq(targets.count, 1000);
	targets_clear(&targets);
	ck_assert_int_eq(targets_collect(zone, 999, NULL, &targets), KNOT_EOK);
	ck_assert_uint_eq(targets.count, 999);
	targets_clear(&targets);
	support_free(zone);
	free(text);
}
END_TEST

static void setup(void)
{
	rcu_register_thread();
	secondary_rcu_prime();
}

static void teardown(void)
{
	rcu_unregister_thread();
}

int main(void)
{
	Suite *suite = suite_create("targets");
	TCase *tcase = tcase_create("all");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, test_cases, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, test_many);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
