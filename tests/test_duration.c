/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Times to come as text.
 */
#include <check.h>
#include <stdlib.h>

#include "../module/duration.h"

static const struct {
	uint64_t seconds;
	const char *text;
} cases[] = {
	{ 0, "+0s" },
	{ 1, "+1s" },
	{ 59, "+59s" },
	{ 60, "+1m" },
	{ 3543, "+59m3s" },
	{ 3600, "+1h" },
	{ 3601, "+1h1s" },
	{ 93784, "+1D2h3m4s" },
	{ 604797, "+6D23h59m57s" },
	{ 30 * 86400, "+1M" },
	{ 364 * 86400, "+12M4D" },
	{ 365 * 86400 + 1, "+1Y1s" },
	{ UINT64_MAX, "+584942417355Y26D7h15s" },
};

START_TEST(test_text)
{
	char text[DURATION_TEXT_MAX];
	ck_assert_str_eq(duration_text(cases[_i].seconds, text), cases[_i].text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("duration");
	TCase *tcase = tcase_create("duration");
	tcase_add_loop_test(tcase, test_text, 0, sizeof(cases) / sizeof(cases[0]));
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
