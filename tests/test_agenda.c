/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Unit tests of the agenda: order, moving, taking out of the middle, and random changes beside a plain array.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/agenda.h"
#include "support.h"

#define ALARMS 200

static unsigned ring_next(agenda_t *agenda, const alarm_t *all)
{
	alarm_t *alarm = agenda->first;
	ck_assert_ptr_nonnull(alarm);
	agenda_clear(agenda, alarm);
	ck_assert(!agenda_has(agenda, alarm));
	return alarm - all;
}

START_TEST(test_empty)
{
	agenda_t agenda = { 0 };
	alarm_t alarm = { 0 };
	ck_assert_ptr_null(agenda.first);
	ck_assert(!agenda_has(&agenda, &alarm));
	agenda_clear(&agenda, &alarm);
	ck_assert_ptr_null(agenda.first);
}
END_TEST

/*! When alarms are due in the order in which they are set, and the order in which they ring. */
static const struct {
	uint64_t due[5];
	unsigned rings[5];
} orders[] = {
	{ { 1, 2, 3, 4, 5 }, { 0, 1, 2, 3, 4 } },
	{ { 5, 4, 3, 2, 1 }, { 4, 3, 2, 1, 0 } },
	{ { 3, 1, 4, 0, 5 }, { 3, 1, 0, 2, 4 } },
	{ { 9, 0, 8, UINT64_MAX, 7 }, { 1, 4, 2, 0, 3 } },
};

START_TEST(test_order)
{
	agenda_t agenda = { 0 };
	alarm_t alarm[5] = { 0 };
	for (unsigned i = 0; i < 5; i++) {
		agenda_set(&agenda, &alarm[i], orders[_i].due[i]);
	}
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_uint_eq(ring_next(&agenda, alarm), orders[_i].rings[i]);
	}
	ck_assert_ptr_null(agenda.first);
}
END_TEST

START_TEST(test_move)
{
	agenda_t agenda = { 0 };
	alarm_t alarm[3] = { 0 };
	for (unsigned i = 0; i < 3; i++) {
		agenda_set(&agenda, &alarm[i], 10 + i);
	}
	agenda_set(&agenda, &alarm[2], 1);  /* earlier */
	agenda_set(&agenda, &alarm[0], 20); /* later */
	agenda_set(&agenda, &alarm[1], 11); /* as before */
	ck_assert_uint_eq(ring_next(&agenda, alarm), 2);
	ck_assert_uint_eq(ring_next(&agenda, alarm), 1);
	ck_assert_uint_eq(ring_next(&agenda, alarm), 0);
}
END_TEST

START_TEST(test_alone)
{
	agenda_t agenda = { 0 };
	alarm_t alarm = { 0 };
	agenda_set(&agenda, &alarm, 3);
	agenda_set(&agenda, &alarm, 7);
	ck_assert_ptr_eq(agenda.first, &alarm);
	ck_assert_uint_eq(alarm.due, 7);
	agenda_clear(&agenda, &alarm);
	ck_assert_ptr_null(agenda.first);
}
END_TEST

/*! The plain array: when each is due; NOT_SET. */
#define NOT_SET UINT64_MAX

static void check_first(const agenda_t *agenda, const uint64_t due[ALARMS])
{
	uint64_t least = NOT_SET;
	for (unsigned i = 0; i < ALARMS; i++) {
		least = due[i] < least ? due[i] : least;
	}
	ck_assert(least == NOT_SET ? agenda->first == NULL : agenda->first->due == least);
}

START_TEST(test_random)
{
	const unsigned steps = support_is_full() ? 2000000 : 50000;
	srandom(support_seed());

	agenda_t agenda = { 0 };
	static alarm_t alarm[ALARMS];
	uint64_t due[ALARMS];
	memset(due, 0xFF, sizeof(due));
	for (unsigned step = 0; step < steps; step++) {
		const unsigned i = random() % ALARMS;
		switch (random() % 4) {
		case 0:
			agenda_clear(&agenda, &alarm[i]);
			due[i] = NOT_SET;
			break;
		case 1:
			if (agenda.first != NULL) {
				due[ring_next(&agenda, alarm)] = NOT_SET;
			}
			break;
		default:
			due[i] = random() % 1000;
			agenda_set(&agenda, &alarm[i], due[i]);
		}
		ck_assert(agenda_has(&agenda, &alarm[i]) == (due[i] != NOT_SET));
		check_first(&agenda, due);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agenda");
	TCase *tcase = tcase_create("agenda");
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_empty);
	tcase_add_loop_test(tcase, test_order, 0, sizeof(orders) / sizeof(orders[0]));
	tcase_add_test(tcase, test_move);
	tcase_add_test(tcase, test_alone);
	tcase_add_test(tcase, test_random);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
