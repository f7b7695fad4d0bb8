/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Digests of zones: the RFC's, what they are made of, which records are used, and what that means for a version.
 *
 * That zones of all kinds have the digest that other software gives them is seen by tests/system/test_zonemd.py.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/zonemd.h"
#include "support.h"
#include "zonemd_vectors.h"

/*! \brief The result for a zone, in steps of \a octets. */
static zonemd_result_t check_steps(const char *apex, const char *text, size_t octets, unsigned *ret_steps)
{
	snapshot_t *snapshot = support_zone(apex, text);
	zonemd_t *zonemd = zonemd_new(snapshot);
	ck_assert_ptr_nonnull(zonemd);
	zonemd_result_t result;
	unsigned steps = 0;
	do {
		steps++;
		result = zonemd_step(zonemd, octets);
	} while (result == ZONEMD_MORE);
	zonemd_free(zonemd);
	support_free(snapshot);
	*ret_steps = steps;
	return result;
}

static zonemd_result_t check_zone(const char *apex, const char *text)
{
	unsigned steps;
	return check_steps(apex, text, SIZE_MAX / 2, &steps);
}

/* The RFC's */

static const struct {
	const char *apex;
	const char *text;
} vectors[] = {
	{ "example.", zonemd_simple },
	{ "example.", zonemd_complex },
	{ "example.", zonemd_multiple },
	{ "uri.arpa.", zonemd_uri_arpa },
	{ "root-servers.net.", zonemd_root_servers },
};

START_TEST(test_vectors)
{
	const char *apex = vectors[_i].apex;
	unsigned steps;
	ck_assert_int_eq(check_zone(apex, vectors[_i].text), ZONEMD_VERIFIED);
	ck_assert_int_eq(check_steps(apex, vectors[_i].text, 1, &steps), ZONEMD_VERIFIED);
	ck_assert_uint_gt(steps, 2);

	char *more = malloc(strlen(vectors[_i].text) + 100);
	sprintf(more, "%szz 3600 A 192.0.2.1\n", vectors[_i].text);
	ck_assert_int_eq(check_zone(apex, more), ZONEMD_MISMATCH);
	free(more);
}
END_TEST

static bool has_word(const char *line, const char *end, const char *word)
{
	const char *at = strstr(line, word);
	return at != NULL && at < end;
}

/*! \brief Is the record at \a line (up to \a end) one without which there is no digest, or that makes no difference? */
static bool is_left_out(const char *line, const char *end)
{
	const bool is_digest = has_word(line, end, " ZONEMD ") && strncmp(line, "non-apex", 8) != 0;
	return is_digest || has_word(line, end, " SOA ns") || has_word(line, end, " SOA a.root") ||
	       has_word(line, end, " SOA sns") || has_word(line, end, "duplicate");
}

/*! \brief Each record counts: without it the digest is another. */
START_TEST(test_each_record)
{
	const char *text = vectors[_i].text;
	char *without = malloc(strlen(text) + 1);
	unsigned tried = 0;
	for (const char *line = text, *end; *line != '\0'; line = end) {
		end = strchr(line, '\n') + 1;
		if (is_left_out(line, end)) {
			continue;
		}
		sprintf(without, "%.*s%s", (int)(line - text), text, end);
		ck_assert_msg(check_zone(vectors[_i].apex, without) == ZONEMD_MISMATCH, "without %.*s", (int)(end - line), line);
		tried++;
	}
	ck_assert_uint_ge(tried, 4);
	free(without);
}
END_TEST

/* Which records are used */

#define ZONE    "@ 86400 SOA ns1 admin 2018031900 1800 900 604800 86400\n@ 86400 NS ns1\n@ 86400 NS ns2\n" \
                "ns1 3600 A 203.0.113.63\nns2 3600 AAAA 2001:db8::63\n"
#define SHA384  "c68090d90a7aed716bc459f9340e3d7c1370d4d24b7e2fc3a1ddc0b9a87153b9a9713b3c9ae5cc27777f98b8e730044c"
#define WRONG48 "c68090d90a7aed716bc459f9340e3d7c1370d4d24b7e2fc3a1ddc0b9a87153b9a9713b3c9ae5cc27777f98b8e730044d"
#define WRONG64 WRONG48 "00112233445566778899aabbccddeeff"
#define GOOD    "@ 86400 ZONEMD 2018031900 1 1 " SHA384 "\n"

static const struct {
	const char *records;
	zonemd_result_t result;
} choices[] = {
	{ "", ZONEMD_ABSENT },
	{ "sub 86400 ZONEMD 2018031900 1 1 " SHA384 "\n", ZONEMD_ABSENT },
	{ GOOD, ZONEMD_VERIFIED },
	{ "@ 86400 ZONEMD 2018031900 1 1 " WRONG48 "\n", ZONEMD_MISMATCH },
	{ "@ 86400 ZONEMD 2018031900 1 2 " WRONG64 "\n", ZONEMD_MISMATCH },
	{ "@ 300 ZONEMD 2018031900 1 1 " SHA384 "\n", ZONEMD_VERIFIED },
	/* As unknown types, since the scanner knows how long a digest is: truncated, longer, and none at all. */
	{ "@ 86400 TYPE63 \\# 22 7848b91c 01 01 c68090d90a7aed716bc459f9340e3d7c\n", ZONEMD_MISMATCH },
	{ "@ 86400 TYPE63 \\# 55 7848b91c 01 01 " SHA384 "00\n", ZONEMD_MISMATCH },
	{ "@ 86400 TYPE63 \\# 120 7848b91c 01 02 " SHA384 SHA384 "000000000000000000000000000000000000\n", ZONEMD_MISMATCH },
	/* Serials. */
	{ "@ 86400 ZONEMD 2018031901 1 1 " SHA384 "\n", ZONEMD_SERIAL },
	{ "@ 86400 ZONEMD 2018031899 1 2 " WRONG64 "\n" GOOD, ZONEMD_VERIFIED },
	/* Others. */
	{ "@ 86400 ZONEMD 2018031900 1 240 " SHA384 "\n", ZONEMD_UNSUPPORTED },
	{ "@ 86400 ZONEMD 2018031900 2 1 " SHA384 "\n", ZONEMD_UNSUPPORTED },
	{ "@ 86400 ZONEMD 2018031900 1 0 " SHA384 "\n", ZONEMD_UNSUPPORTED },
	{ "@ 86400 ZONEMD 2018031900 1 3 " SHA384 "\n" GOOD, ZONEMD_VERIFIED },
	/* Of two algorithms one will do. */
	{ "@ 86400 ZONEMD 2018031900 1 2 " WRONG64 "\n" GOOD, ZONEMD_VERIFIED },
	/* Doubles, whatever their serial; those of other schemes do no harm. */
	{ "@ 86400 ZONEMD 2018031900 1 1 " WRONG48 "\n" GOOD, ZONEMD_DUPLICATE },
	{ "@ 86400 ZONEMD 2018031900 1 1 " WRONG48 "\n" GOOD "@ 86400 ZONEMD 2018031900 1 2 " WRONG64 "\n", ZONEMD_MISMATCH },
	{ "@ 86400 ZONEMD 2018031900 9 1 " WRONG48 "\n@ 86400 ZONEMD 2018031900 9 1 " SHA384 "\n" GOOD, ZONEMD_VERIFIED },
	{ GOOD GOOD, ZONEMD_VERIFIED },
};

START_TEST(test_choice)
{
	char text[2000];
	snprintf(text, sizeof(text), "%s%s", ZONE, choices[_i].records);
	ck_assert_int_eq(check_zone("example.", text), choices[_i].result);
}
END_TEST

START_TEST(test_double_of_other_serial)
{
	ck_assert_int_ne(check_zone("example.", ZONE GOOD "@ 86400 ZONEMD 2018031901 1 1 " SHA384 "\n"), ZONEMD_VERIFIED);
}
END_TEST

/*! \brief One owner that fills the buffer several times. */
START_TEST(test_large)
{
	char *text = malloc(600000);
	size_t len = sprintf(text, "%s%s", ZONE, GOOD);
	for (unsigned i = 0; i < 2000; i++) {
		len += sprintf(text + len, "big TXT \"%0200u\"\n", i);
	}
	ck_assert_int_eq(check_zone("example.", text), ZONEMD_MISMATCH);
	free(text);
}
END_TEST

/* What a result means */

START_TEST(test_policies)
{
	static const struct {
		zonemd_result_t result;
		bool if_present, require; /* Is it accepted? */
	} table[] = {
		{ ZONEMD_VERIFIED,    true,  true },
		{ ZONEMD_ABSENT,      true,  false },
		{ ZONEMD_UNSUPPORTED, true,  false },
		{ ZONEMD_DUPLICATE,   false, false },
		{ ZONEMD_SERIAL,      false, false },
		{ ZONEMD_MISMATCH,    false, false },
		{ ZONEMD_FAILED,      false, false },
	};
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		ck_assert_ptr_null(zonemd_refusal(ZONEMD_OFF, table[i].result));
		ck_assert_int_eq(zonemd_refusal(ZONEMD_IF_PRESENT, table[i].result) == NULL, table[i].if_present);
		ck_assert_int_eq(zonemd_refusal(ZONEMD_REQUIRE, table[i].result) == NULL, table[i].require);
	}
	zonemd_free(NULL);
}
END_TEST

static void enter(void)
{
	rcu_register_thread();
}

static void leave(void)
{
	rcu_unregister_thread();
}

int main(void)
{
	TCase *tcase = tcase_create("zonemd");
	tcase_add_checked_fixture(tcase, enter, leave);
	tcase_add_loop_test(tcase, test_vectors, 0, sizeof(vectors) / sizeof(vectors[0]));
	tcase_add_loop_test(tcase, test_each_record, 0, sizeof(vectors) / sizeof(vectors[0]));
	tcase_add_loop_test(tcase, test_choice, 0, sizeof(choices) / sizeof(choices[0]));
	tcase_add_test(tcase, test_double_of_other_serial);
	tcase_add_test(tcase, test_large);
	tcase_add_test(tcase, test_policies);

	Suite *suite = suite_create("zonemd");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
