/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of reach.h: what a row of outcomes makes of an upstream.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/reach.h"

/*! An entry for a name of one letter. */
static cache_entry_t *entry_of(char letter)
{
	static uint8_t memory[sizeof(cache_entry_t) + 3];
	cache_entry_t *entry = (cache_entry_t *)memory;
	memset(memory, 0, sizeof(memory));
	entry->type = 1;
	entry->name_len = 3;
	entry->name[0] = 1;
	entry->name[1] = letter;
	return entry;
}

/*! a: an answer; f: a failure at once; s: silence; F, S: the same of the look-up that verifies. */
static reach_change_t step(reach_t *reach, char outcome, uint32_t now)
{
	switch (outcome) {
	case 'a': return reach_answered(reach, entry_of(outcome));
	case 'f': return reach_failed(reach, entry_of(outcome), false, false, now);
	case 's': return reach_failed(reach, entry_of(outcome), true, false, now);
	case 'F': return reach_failed(reach, entry_of(outcome), false, true, now);
	case 'S': return reach_failed(reach, entry_of(outcome), true, true, now);
	}
	ck_abort();
}

/*! Outcomes, and what each of them changes: v verify, l lost, b back, . nothing. */
static const struct {
	const char *outcomes, *changes;
} rows[] = {
	{ "aaa",      "..." },
	{ "sas",      "..." },
	{ "fffff",    "....." },
	{ "sfs",      "..v" },
	{ "ss",       ".v" },
	{ "ssS",      ".vl" },
	{ "sss",      ".vv" },
	{ "ssSa",     ".vlb" },
	{ "ssSsfSa",  ".vl...b" },
	{ "ssSaa",    ".vlb." },
	{ "ssasS",    ".v..." },   /* answered meanwhile: the verifying one is the second silence in a row, not the third */
	{ "ssFs",     ".v.." },
	{ "ssFssS",   ".v..vl" },
	{ "ssSassS",  ".vlb.vl" },
};

START_TEST(test_changes)
{
	reach_t reach;
	reach_init(&reach);
	for (size_t i = 0; rows[_i].outcomes[i] != '\0'; i++) {
		const char change = ".vlb"[step(&reach, rows[_i].outcomes[i], i)];
		ck_assert_msg(change == rows[_i].changes[i], "%s: at %zu '%c'", rows[_i].outcomes, i, change);
	}
}
END_TEST

START_TEST(test_silent_since)
{
	reach_t reach;
	reach_init(&reach);
	(void)step(&reach, 's', 7);
	(void)step(&reach, 'a', 8);
	(void)step(&reach, 's', 9);
	(void)step(&reach, 's', 10);
	ck_assert_uint_eq(reach.silent_since, 9);
}
END_TEST

START_TEST(test_probes)
{
	reach_t reach;
	reach_init(&reach);
	/* Nothing has failed: there is only the root to ask for. */
	const reach_name_t *name = reach_probe(&reach);
	ck_assert(name == reach_probe(&reach) && name->len == 1 && name->type == 6);

	(void)step(&reach, 'a', 1);
	(void)step(&reach, 's', 1);
	const char first = reach_probe(&reach)->name[1], second = reach_probe(&reach)->name[1];
	ck_assert((first == 's' && second == 'a') || (first == 'a' && second == 's'));
	ck_assert_int_eq(reach_probe(&reach)->name[1], first);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reach");
	TCase *tcase = tcase_create("all");
	tcase_add_loop_test(tcase, test_changes, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tcase, test_silent_since);
	tcase_add_test(tcase, test_probes);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
