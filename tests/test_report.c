/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The sink gets lines whole, and there may be none.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "secondary/report.h"

static char line[64];
static int line_priority;
static const struct zone *line_zone;

static void sink(const struct zone *zone, int priority, const char *fmt, va_list args)
{
	line_zone = zone;
	line_priority = priority;
	vsnprintf(line, sizeof(line), fmt, args);
}

START_TEST(test_sink)
{
	report(NULL, LOG_ERR, "dropped %d", 1);
	ck_assert_str_eq(line, "");

	report_set_sink(sink);
	const struct zone *zone = (const struct zone *)line;
	report(zone, LOG_NOTICE, "%s, serial %u", "refresh", 7u);
	ck_assert_str_eq(line, "refresh, serial 7");
	ck_assert_int_eq(line_priority, LOG_NOTICE);
	ck_assert_ptr_eq(line_zone, zone);

	report_set_sink(NULL);
	report(NULL, LOG_ERR, "dropped");
	ck_assert_str_eq(line, "refresh, serial 7");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("report");
	TCase *sinks = tcase_create("sink");
	tcase_add_test(sinks, test_sink);
	suite_add_tcase(suite, sinks);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
