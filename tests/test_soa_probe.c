/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of the SOA question and of what is made of its answers.
 */
#include <check.h>
#include <libknot/errcode.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/soa_probe.h"

/* Answers: header flags and counts, then records after the question for example. */

#define Q        "\7example\0\0\6\0\1"
#define OWNER    "\300\14"
#define SOA_HEAD OWNER "\0\6\0\1\0\0\0\74"
#define SOA_DATA "\1a\0\1b\0" "\0\0\0\7" "\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1"
#define SOA      SOA_HEAD "\0\32" SOA_DATA
#define OPT(rcode, len) "\0\0\51\4\320" rcode "\0\0\0\0" len
#define HEAD(flags, an, ns, ar) "\0\0" flags "\0\1\0" an "\0" ns "\0" ar

static const struct {
	const char *msg;
	size_t len;
	int ret;
	bool truncated;
	uint32_t expire;
	const char *reason;
} answers[] = {
#define CASE(text) text, sizeof(text) - 1
	{ CASE(HEAD("\204\0", "\1", "\0", "\0") Q SOA), 0, false, EXPIRE_NONE, "" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\0") Q "\7EXAMPLE\0\0\6\0\1\0\0\0\74\0\32" SOA_DATA), 0, false,
	  EXPIRE_NONE, "" },
	{ CASE(HEAD("\204\0", "\1", "\1", "\1") Q SOA SOA OPT("\0", "\0")), 0, false, EXPIRE_NONE, "" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\1") Q SOA OPT("\0", "\14") "\0\3\0\0" "\0\11\0\4\0\0\1\0"), 0, false, 256, "" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\1") Q SOA OPT("\0", "\4") "\0\11\0\0"), 0, false, EXPIRE_NONE, "" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\1") Q SOA OPT("\0", "\4") "\0\11\0\4"), 0, false, EXPIRE_NONE, "" },
	{ CASE(HEAD("\206\0", "\0", "\0", "\0") Q), 0, true, EXPIRE_NONE, "" },
	{ CASE(HEAD("\204\5", "\0", "\0", "\0") Q), KNOT_EDENIED, false, EXPIRE_NONE,
	  "server responded with error 'REFUSED'" },
	{ CASE(HEAD("\206\2", "\1", "\0", "\0") Q), KNOT_EDENIED, false, EXPIRE_NONE,
	  "server responded with error 'SERVFAIL'" },
	{ CASE(HEAD("\204\15", "\0", "\0", "\0") Q), KNOT_EDENIED, false, EXPIRE_NONE,
	  "server responded with error 13" },
	{ CASE(HEAD("\204\0", "\0", "\0", "\1") Q OPT("\1", "\0")), KNOT_EDENIED, false, EXPIRE_NONE,
	  "server responded with error 'BADVERS'" },
	/* What looks like OPT and is not: another type at the root, OPT at another name. */
	{ CASE(HEAD("\204\0", "\1", "\0", "\1") Q SOA "\0\0\20\0\1" "\1\0\0\0" "\0\0"), 0, false, EXPIRE_NONE, "" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\1") Q SOA OWNER "\0\51\4\320" "\1\0\0\0" "\0\0"), 0, false, EXPIRE_NONE, "" },
	{ CASE(HEAD("\200\0", "\1", "\0", "\0") Q SOA), KNOT_EDENIED, false, EXPIRE_NONE,
	  "server is not authoritative" },
	{ CASE(HEAD("\204\0", "\0", "\1", "\0") Q SOA), KNOT_EMALF, false, EXPIRE_NONE, "no SOA in the answer" },
	{ CASE(HEAD("\204\0", "\2", "\0", "\0") Q SOA SOA), KNOT_EMALF, false, EXPIRE_NONE, "no SOA in the answer" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\0") Q "\1x" SOA), KNOT_EMALF, false, EXPIRE_NONE, "no SOA in the answer" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\0") Q OWNER "\0\2\0\1\0\0\0\74\0\3\1a\0"), KNOT_EMALF, false,
	  EXPIRE_NONE, "no SOA in the answer" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\0") Q OWNER "\0\16\0\1\0\0\0\74\0\32" SOA_DATA), KNOT_EMALF, false,
	  EXPIRE_NONE, "no SOA in the answer" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\0") Q "\7exampla\0\0\6\0\1\0\0\0\74\0\32" SOA_DATA), KNOT_EMALF, false,
	  EXPIRE_NONE, "no SOA in the answer" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\0") Q OWNER "\0\6\0\3\0\0\0\74\0\32" SOA_DATA), KNOT_EMALF, false,
	  EXPIRE_NONE, "no SOA in the answer" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\0") Q SOA_HEAD "\0\33" SOA_DATA "\0"), KNOT_EMALF, false, EXPIRE_NONE,
	  "no SOA in the answer" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\0") Q SOA_HEAD "\0\33" SOA_DATA), KNOT_EMALF, false, EXPIRE_NONE,
	  "malformed data" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\0") Q), KNOT_EMALF, false, EXPIRE_NONE, "malformed data" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\0") "\7examp"), KNOT_EMALF, false, EXPIRE_NONE, "malformed data" },
	/* No records: all there is to be wrong is the question. */
	{ CASE(HEAD("\204\0", "\0", "\0", "\0") Q), KNOT_EMALF, false, EXPIRE_NONE, "no SOA in the answer" },
	{ CASE(HEAD("\204\0", "\0", "\0", "\0") "\7example\0\0\6\0"), KNOT_EMALF, false, EXPIRE_NONE, "malformed data" },
	{ CASE(HEAD("\204\0", "\0", "\0", "\0") "\7examp"), KNOT_EMALF, false, EXPIRE_NONE, "malformed data" },
	{ CASE("\0\0\204\5\0\0\0\0\0\0\0\0"), KNOT_EDENIED, false, EXPIRE_NONE, "server responded with error 'REFUSED'" },
	{ CASE(HEAD("\204\0", "\1", "\0", "\0") Q "\300\37"), KNOT_EMALF, false, EXPIRE_NONE, "malformed data" },
	{ CASE(HEAD("\244\0", "\1", "\0", "\0") Q SOA), KNOT_EMALF, false, EXPIRE_NONE, "malformed data" },
	{ CASE("\0\0\204\0"), KNOT_EMALF, false, EXPIRE_NONE, "malformed data" },
};

START_TEST(test_answer)
{
	/* Of its own size, so that a read behind the end is seen. */
	uint8_t *msg = malloc(answers[_i].len);
	memcpy(msg, answers[_i].msg, answers[_i].len);
	soa_probe_t probe;
	int ret = soa_probe_read(msg, answers[_i].len, (const uint8_t *)"\7example", 9, &probe);
	ck_assert_int_eq(ret, answers[_i].ret);
	ck_assert_str_eq(probe.reason, answers[_i].reason);
	ck_assert_int_eq(probe.is_truncated, answers[_i].truncated);
	if (ret == 0 && !probe.is_truncated) {
		ck_assert_uint_eq(probe.serial, 7);
		ck_assert_uint_eq(probe.expire, answers[_i].expire);
	}

	/* No prefix and no single flipped bit of it does harm. */
	for (size_t len = 0; len < answers[_i].len; len++) {
		uint8_t *part = malloc(len + 1);
		memcpy(part, msg, len);
		part = realloc(part, len > 0 ? len : 1);
		soa_probe_read(part, len, (const uint8_t *)"\7example", 9, &probe);
		free(part);
	}
	for (size_t bit = 0; bit < 8 * answers[_i].len; bit++) {
		msg[bit / 8] ^= 1 << bit % 8;
		soa_probe_read(msg, answers[_i].len, (const uint8_t *)"\7example", 9, &probe);
		msg[bit / 8] ^= 1 << bit % 8;
	}
	free(msg);
}
END_TEST

START_TEST(test_query)
{
	static const uint8_t expected[] =
		"\0\0\0\0\0\1\0\0\0\0\0\1" "\7example\0\0\6\0\1" "\0\0\51\4\320\0\0\0\0\0\4\0\11\0";
	uint8_t query[SOA_PROBE_QUERY_MAX];
	ck_assert_uint_eq(soa_probe_query((const uint8_t *)"\7example", 9, true, query), sizeof(expected));
	ck_assert_mem_eq(query, expected, sizeof(expected));

	static const uint8_t plain[] = "\0\0\0\0\0\1\0\0\0\0\0\0" "\7example\0\0\6\0\1";
	ck_assert_uint_eq(soa_probe_query((const uint8_t *)"\7example", 9, false, query), sizeof(plain) - 1);
	ck_assert_mem_eq(query, plain, sizeof(plain) - 1);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("soa_probe");
	tcase_add_loop_test(tcase, test_answer, 0, sizeof(answers) / sizeof(answers[0]));
	tcase_add_test(tcase, test_query);

	Suite *suite = suite_create("soa_probe");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
