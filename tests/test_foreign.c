/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of foreign.h: what is followed. What is put is for the system tests.
 */
#include <check.h>
#include <stdlib.h>

#include <libknot/libknot.h>

#include "secondary/foreign.h"

static const struct {
	uint16_t qtype;
	bool followed;
} cases[] = {
	{ 0, false },
	{ KNOT_RRTYPE_A, true },
	{ KNOT_RRTYPE_CNAME, false },
	{ KNOT_RRTYPE_MX, true },
	{ KNOT_RRTYPE_AAAA, true },
	{ KNOT_RRTYPE_OPT, false },
	{ KNOT_RRTYPE_RRSIG, false },
	{ KNOT_RRTYPE_NSEC, false },
	{ 127, true },
	{ 128, false },
	{ KNOT_RRTYPE_AXFR, false },
	{ KNOT_RRTYPE_ANY, false },
	{ 256, true },
	{ 65535, true },
};

START_TEST(test_types)
{
	const foreign_t none = { .dname = true }, some = { .dname = true, .upstream = (upstream_t *)&none };
	const question_t question = { .qtype = cases[_i].qtype };
	alias_chain_t chain;
	chain.steps = 1;
	ck_assert_int_eq(foreign_is_followed(&some, &question, &chain), cases[_i].followed);
	ck_assert(!foreign_is_followed(&none, &question, &chain));
}
END_TEST

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

int main(void)
{
	Suite *suite = suite_create("foreign");
	TCase *tcase = tcase_create("all");
	tcase_add_loop_test(tcase, test_types, 0, COUNT(cases));
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
