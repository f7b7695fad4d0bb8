/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Lists of zones: what is a name, what is not, and which line is blamed.
 */
#include <check.h>
#include <libknot/libknot.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/zones_file.h"

#define TEXT_MAX 4096

/*! Appends the name and a blank; stops at "stop.". */
static int take(const knot_dname_t *name, void *ctx)
{
	char text[KNOT_DNAME_TXT_MAXLEN + 1];
	ck_assert_ptr_nonnull(knot_dname_to_str(text, name, sizeof(text)));
	if (strcmp(text, "stop.") == 0) {
		return KNOT_ENOMEM;
	}
	strcat(strcat(ctx, text), " ");
	return KNOT_EOK;
}

static const struct {
	const char *file;
	const char *names;   /*!< Those before the error, too. */
	const char *error;   /*!< NULL: none. */
	int ret;
} cases[] = {
	{ "", "", NULL, KNOT_EOK },
	{ "\n\n  \t\n", "", NULL, KNOT_EOK },
	{ "example.com", "example.com. ", NULL, KNOT_EOK },
	{ "example.com.\nExample.ORG\n", "example.com. example.org. ", NULL, KNOT_EOK },
	{ "  a \t\r\n\tb\n", "a. b. ", NULL, KNOT_EOK },
	{ "# a\na # b\nb#c\n#", "a. b. ", NULL, KNOT_EOK },
	{ "a\\#b # c\n", "a\\035b. ", NULL, KNOT_EOK },
	{ "a\\\\#b\n", "a\\\\. ", NULL, KNOT_EOK },
	{ ".\n", ". ", NULL, KNOT_EOK },
	{ "a\na\n", "a. a. ", NULL, KNOT_EOK },
	{ "\\097.b\n", "a.b. ", NULL, KNOT_EOK },
	{ "a\nb c\n", "a. ", "zones-file '/list', line 2 (not a domain name)", KNOT_EMALF },
	{ "a..b\n", "", "zones-file '/list', line 1 (not a domain name)", KNOT_EMALF },
	{ ".a\n", "", "zones-file '/list', line 1 (not a domain name)", KNOT_EMALF },
	{ "\xC3\xA4\n", "", "zones-file '/list', line 1 (not a domain name)", KNOT_EMALF },
	{ "a\\\n", "", "zones-file '/list', line 1 (not a domain name)", KNOT_EMALF },
	{ "a\\25\n", "", "zones-file '/list', line 1 (not a domain name)", KNOT_EMALF },
	{ "a\\256\n", "", "zones-file '/list', line 1 (not a domain name)", KNOT_EMALF },
	{ "a\nstop\nb\n", "a. ", "zones-file '/list', line 2 (not enough memory)", KNOT_ENOMEM },
};

static int parse(const char *text, size_t len, char *names, zones_file_error_t *error)
{
	FILE *file = len > 0 ? fmemopen((void *)text, len, "r") : fopen("/dev/null", "r");
	ck_assert_ptr_nonnull(file);
	names[0] = '\0';
	int ret = zones_file_parse(file, "/list", take, names, error);
	fclose(file);
	return ret;
}

START_TEST(test_parse)
{
	char names[TEXT_MAX];
	zones_file_error_t error = { "" };
	ck_assert_int_eq(parse(cases[_i].file, strlen(cases[_i].file), names, &error), cases[_i].ret);
	ck_assert_str_eq(names, cases[_i].names);
	ck_assert_str_eq(error.text, cases[_i].error != NULL ? cases[_i].error : "");
}
END_TEST

/*! A comment may be as long as the line, a longer line is an error; so are a label of 64 octets and a name of 256. */
START_TEST(test_long)
{
	static const struct {
		size_t fill;
		char with;
		const char *error;
	} lines[] = {
		{ ZONES_FILE_LINE_MAX, '#', "" },
		{ ZONES_FILE_LINE_MAX + 1, '#', "zones-file '/list', line 1 (line too long)" },
		{ 63, 'a', "" },
		{ 64, 'a', "zones-file '/list', line 1 (not a domain name)" },
		{ 1000, 'a', "zones-file '/list', line 1 (not a domain name)" },
		{ 100000, ' ', "zones-file '/list', line 1 (line too long)" },
	};
	static char text[100002];
	char names[TEXT_MAX];
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		memset(text, lines[i].with, lines[i].fill);
		text[lines[i].fill] = '\n';
		zones_file_error_t error = { "" };
		(void)parse(text, lines[i].fill + 1, names, &error);
		ck_assert_str_eq(error.text, lines[i].error);
	}
}
END_TEST

/*! What is no regular file is not read: a FIFO would never end. */
START_TEST(test_open)
{
	static const struct {
		const char *path, *error;
	} files[] = {
		{ "zones.list", "zones-file 'zones.list' (not an absolute path)" },
		{ "", "zones-file '' (not an absolute path)" },
		{ "/nonexistent/list", "zones-file '/nonexistent/list' (not exists)" },
		{ "/dev/zero", "zones-file '/dev/zero' (not a regular file)" },
		{ "/", "zones-file '/' (not a regular file)" },
	};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		zones_file_error_t error;
		ck_assert_int_ne(zones_file_read(files[i].path, take, NULL, &error), KNOT_EOK);
		ck_assert_str_eq(error.text, files[i].error);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("zones_file");
	TCase *tcase = tcase_create("zones_file");
	tcase_add_loop_test(tcase, test_parse, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, test_long);
	tcase_add_test(tcase, test_open);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
