/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of upstream_options.h: which addresses a list of sources comes to.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libknot/errcode.h>

#include "secondary/address.h"
#include "secondary/resolv_conf.h"
#include "secondary/upstream_options.h"

static struct sockaddr_storage address(const char *text)
{
	struct sockaddr_storage addr;
	ck_assert_int_eq(resolv_conf_address(text, strlen(text), &addr), KNOT_EOK);
	return addr;
}

/*! Sources from words: an address, a path, or "self". */
static upstream_options_t make(const char *words)
{
	upstream_options_t options = { .source = calloc(16, sizeof(upstream_source_t)), .ttl_max = 100 };
	char copy[512];
	strcpy(copy, words);
	for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
		upstream_source_t *source = &options.source[options.source_count++];
		if (strcmp(word, "self") == 0) {
			source->kind = UPSTREAM_SELF;
		} else if (word[0] == '/') {
			source->kind = UPSTREAM_FILE;
			source->path = strdup(word);
		} else {
			source->addr = address(word);
		}
	}
	return options;
}

static void set_own(upstream_options_t *options, const char *text)
{
	options->own = calloc(1, sizeof(options->own[0]));
	options->own[0] = address(text);
	options->own_count = 1;
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

static void check_servers(const upstream_servers_t *servers, const char *expected)
{
	char all[1024] = "", text[ADDRESS_TEXT_MAX];
	for (unsigned i = 0; i < servers->count; i++) {
		strcat(all, address_text(&servers->addr[i], text));
		strcat(all, " ");
	}
	ck_assert_str_eq(all, expected);
}

static void count_failure(void *ctx, const char *path, int reason)
{
	(void)path;
	*(int *)ctx = reason;
}

START_TEST(test_servers)
{
	char path[] = "/tmp/secondary-test.XXXXXX", words[512];
	close(mkstemp(path));
	write_file(path, "nameserver 192.0.2.2\nnameserver 192.0.2.1\nnameserver ::1\n");
	snprintf(words, sizeof(words), "192.0.2.1 self %s 192.0.2.3@5353 /nonexistent/conf", path);
	upstream_options_t options = make(words);
	upstream_file_t files[5 + UPSTREAM_FILES_MORE] = { 0 };
	upstream_servers_t servers;
	int failure = KNOT_EOK;
	upstream_servers_read(&options, files, count_failure, &failure, &servers);
	check_servers(&servers, "192.0.2.1@53 192.0.2.2@53 ::1@53 192.0.2.3@5353 ");
	ck_assert_int_eq(failure, KNOT_ENOENT);
	ck_assert(!upstream_files_changed(&options, files));

	write_file(path, "nameserver 192.0.2.99\n");
	ck_assert(upstream_files_changed(&options, files));
	upstream_servers_t others;
	upstream_servers_read(&options, files, NULL, NULL, &others);
	ck_assert(!upstream_files_changed(&options, files));
	ck_assert(!upstream_servers_equal(&servers, &others));
	unlink(path);
	ck_assert(upstream_files_changed(&options, files));

	set_own(&options, "192.0.2.3@5353");
	upstream_servers_remove_own(&options, &servers);
	check_servers(&servers, "192.0.2.1@53 192.0.2.2@53 ::1@53 ");
	upstream_options_clear(&options);
}
END_TEST

/*! More addresses than are asked: the first ones count. */
START_TEST(test_many_servers)
{
	enum { FILES = UPSTREAM_SERVERS_MAX / RESOLV_CONF_SERVERS_MAX + 1 };
	char path[FILES][32], words[512] = "";
	for (unsigned i = 0; i < FILES; i++) {
		char text[RESOLV_CONF_SERVERS_MAX * 32] = "";
		for (unsigned k = 0; k < RESOLV_CONF_SERVERS_MAX; k++) {
			sprintf(text + strlen(text), "nameserver 192.0.%u.%u\n", i, k);
		}
		strcpy(path[i], "/tmp/secondary-test.XXXXXX");
		close(mkstemp(path[i]));
		write_file(path[i], text);
		sprintf(words + strlen(words), "%s ", path[i]);
	}
	upstream_options_t options = make(words);
	upstream_servers_t servers;
	upstream_servers_read(&options, NULL, NULL, NULL, &servers);
	ck_assert_uint_eq(servers.count, UPSTREAM_SERVERS_MAX);
	for (unsigned i = 0; i < servers.count; i++) {
		char text[ADDRESS_TEXT_MAX], expected[ADDRESS_TEXT_MAX];
		sprintf(expected, "192.0.%u.%u@53", i / RESOLV_CONF_SERVERS_MAX, i % RESOLV_CONF_SERVERS_MAX);
		ck_assert_str_eq(address_text(&servers.addr[i], text), expected);
	}
	upstream_options_clear(&options);
	for (unsigned i = 0; i < FILES; i++) {
		unlink(path[i]);
	}
}
END_TEST

/*! Over TLS the port is another one; the files that tell how to ask are watched too. */
START_TEST(test_way)
{
	char path[] = "/tmp/secondary-test.XXXXXX";
	close(mkstemp(path));
	upstream_options_t options = make("192.0.2.1 192.0.2.2@53");
	upstream_file_t files[2 + UPSTREAM_FILES_MORE] = { 0 };
	upstream_servers_t servers;
	ck_assert(!upstream_way_changed(&options, files));
	options.tls_name = strdup("dns.example");
	options.tls_ca_file = strdup(path);
	upstream_servers_read(&options, files, NULL, NULL, &servers);
	check_servers(&servers, "192.0.2.1@853 192.0.2.2@53 ");
	ck_assert(!upstream_way_changed(&options, files));
	write_file(path, "other\n");
	ck_assert(upstream_way_changed(&options, files));
	ck_assert(!upstream_files_changed(&options, files));

	upstream_options_t same = make("192.0.2.1 192.0.2.2@53");
	ck_assert(!upstream_options_equal(&options, &same));
	same.tls_name = strdup("dns.example");
	ck_assert(!upstream_options_equal(&options, &same));
	same.tls_ca_file = strdup(path);
	ck_assert(upstream_options_equal(&options, &same));
	same.trust_anchor = strdup(path);
	ck_assert(!upstream_options_equal(&options, &same));
	upstream_options_clear(&options);
	upstream_options_clear(&same);
	unlink(path);
}
END_TEST

static const struct {
	const char *a, *b;
	bool equal;
} pairs[] = {
	{ "192.0.2.1", "192.0.2.1", true },
	{ "192.0.2.1", "192.0.2.1@54", false },
	{ "192.0.2.1", "192.0.2.1 self", false },
	{ "self", "/self", false },
	{ "/a", "/a", true },
	{ "/a", "/b", false },
	{ "192.0.2.1 192.0.2.2", "192.0.2.2 192.0.2.1", false },
};

START_TEST(test_equal)
{
	upstream_options_t a = make(pairs[_i].a), b = make(pairs[_i].b);
	set_own(&a, "192.0.2.9"); /* no part of what makes an upstream */
	ck_assert_int_eq(upstream_options_equal(&a, &b), pairs[_i].equal);
	ck_assert(!upstream_options_own_equal(&a, &b));
	b.stale = 1;
	ck_assert(!upstream_options_equal(&a, &b));
	upstream_options_clear(&a);
	upstream_options_clear(&b);
}
END_TEST

static const struct {
	const char *own, *asked;
} selves[] = {
	{ "192.0.2.1@54", "192.0.2.1@54" },
	{ "0.0.0.0@54", "127.0.0.1@54" },
	{ "::@54", "::1@54" },
	{ "2001:db8::1@54", "2001:db8::1@54" },
};

START_TEST(test_self)
{
	upstream_options_t options = make("self");
	struct sockaddr_storage addr;
	char text[ADDRESS_TEXT_MAX];
	ck_assert(upstream_options_has(&options, UPSTREAM_SELF) && !upstream_options_has(&options, UPSTREAM_FILE));
	ck_assert(!upstream_options_self(&options, &addr));
	set_own(&options, selves[_i].own);
	ck_assert(upstream_options_self(&options, &addr));
	ck_assert_str_eq(address_text(&addr, text), selves[_i].asked);
	upstream_options_clear(&options);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("upstream_options");
	TCase *tcase = tcase_create("all");
	tcase_add_test(tcase, test_servers);
	tcase_add_test(tcase, test_many_servers);
	tcase_add_test(tcase, test_way);
	tcase_add_loop_test(tcase, test_equal, 0, sizeof(pairs) / sizeof(pairs[0]));
	tcase_add_loop_test(tcase, test_self, 0, sizeof(selves) / sizeof(selves[0]));
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
