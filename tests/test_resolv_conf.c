/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of resolv_conf.h.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libknot/errcode.h>

#include "secondary/address.h"
#include "secondary/resolv_conf.h"

static const struct {
	const char *text;
	int ret;
	const char *address;
} addresses[] = {
	{ "192.0.2.1", KNOT_EOK, "192.0.2.1" },
	{ "192.0.2.1@5353", KNOT_EOK, "192.0.2.1@5353" },
	{ "192.0.2.1@65535", KNOT_EOK, "192.0.2.1@65535" },
	{ "2001:db8::1", KNOT_EOK, "2001:db8::1" },
	{ "2001:db8::1@53", KNOT_EOK, "2001:db8::1@53" },
	{ "fe80::1%4000000000@53", KNOT_EOK, "fe80::1%4000000000@53" },
	{ "fe80::1%lo", KNOT_EOK, "fe80::1%lo" },
	{ "fe80::1%nosuchif", KNOT_ENOENT },
	{ "fe80::1%", KNOT_ENOENT },
	{ "", KNOT_EINVAL },
	{ "@53", KNOT_EINVAL },
	{ "192.0.2.1@", KNOT_EINVAL },
	{ "192.0.2.1@0", KNOT_EINVAL },
	{ "192.0.2.1@65536", KNOT_EINVAL },
	{ "192.0.2.1@-1", KNOT_EINVAL },
	{ "192.0.2.1@5x", KNOT_EINVAL },
	{ "192.0.2.1@99999999999", KNOT_EINVAL },
	{ "192.0.2.1@18446744073709551669", KNOT_EINVAL }, /* 53, modulo the largest number there is room for */
	{ "192.0.2.1@1.", KNOT_EINVAL },
	{ "192.0.2.1@1:", KNOT_EINVAL },
	{ "192.0.2.1@0099", KNOT_EOK, "192.0.2.1@99" },
	{ "192.0.2.1:53", KNOT_EINVAL },
	{ "192.0.2.256", KNOT_EINVAL },
	{ "192.0.2", KNOT_EINVAL },
	{ "192.0.2.1%lo", KNOT_EINVAL },
	{ "resolver.example", KNOT_EINVAL },
	{ "self", KNOT_EINVAL },
	/* The longest text there is room for, and an octet more. */
	{ "fe80::1%an-interface-whose-name-is-far-longer-than-any-can-be", KNOT_ENOENT },
	{ "fe80::1%an-interface-whose-name-is-far-longer-than-any-can-be.", KNOT_EINVAL },
	{ "fe80::1%an-interface-whose-name-is-far-longer-than-any-can-be, by dozens of octets more", KNOT_EINVAL },
};

START_TEST(test_address)
{
	struct sockaddr_storage addr = { .ss_family = AF_UNIX };
	const char *text = addresses[_i].text;
	ck_assert_int_eq(resolv_conf_address(text, strlen(text), &addr), addresses[_i].ret);
	if (addresses[_i].ret == KNOT_EOK) {
		char back[ADDRESS_TEXT_MAX];
		ck_assert_str_eq(address_text(&addr, back), addresses[_i].address);
	} else {
		ck_assert_int_eq(addr.ss_family, AF_UNIX);
	}
}
END_TEST

/*! An address ends where its text ends, not at an octet 0 before that. */
START_TEST(test_zero_octet)
{
	struct sockaddr_storage addr;
	ck_assert_int_eq(resolv_conf_address("192.0.2.1\0.example", 18, &addr), KNOT_EINVAL);
	ck_assert_uint_eq(resolv_conf_parse("nameserver 192.0.2.1\0.example\n", 30, &addr, 1), 0);
}
END_TEST

/*! Text, and its servers with blanks between. */
static const struct {
	const char *text, *servers;
} files[] = {
	{ "", "" },
	{ "\n\n", "" },
	{ "nameserver 192.0.2.1", "192.0.2.1" },
	{ "nameserver 192.0.2.1\nnameserver\t2001:db8::1\n", "192.0.2.1 2001:db8::1" },
	{ "  nameserver   192.0.2.1  \r\n", "192.0.2.1" },
	{ "nameserver 192.0.2.1\r\nnameserver\v192.0.2.2\fnear\n", "192.0.2.1 192.0.2.2" },
	{ "nameserver \t", "" },
	{ "# nameserver 192.0.2.1\n; nameserver 192.0.2.2\nnameserver 192.0.2.3 # the third\n", "192.0.2.3" },
	{ "nameserver 192.0.2.1#near\nnameserver 192.0.2.2;too\n", "192.0.2.1 192.0.2.2" },
	{ "nameserver 192.0.2.1 192.0.2.2\n", "192.0.2.1" },
	{ "search example.com\noptions ndots:2 edns0\ndomain x\nnameserver 192.0.2.1@5353\n", "192.0.2.1@5353" },
	{ "nameservers 192.0.2.1\nnameserve 192.0.2.1\nNAMESERVER 192.0.2.1\nnameserver\nnameserver #\n", "" },
	{ "nameserver resolver.example\nnameserver 192.0.2.300\nnameserver 192.0.2.1\n", "192.0.2.1" },
	{ "nameserver fe80::1%lo\n", "fe80::1%lo" },
};

static char *servers_text(const struct sockaddr_storage *servers, unsigned count, char *dst)
{
	*dst = '\0';
	for (unsigned i = 0; i < count; i++) {
		char text[ADDRESS_TEXT_MAX];
		strcat(strcat(dst, i > 0 ? " " : ""), address_text(&servers[i], text));
	}
	return dst;
}

START_TEST(test_parse)
{
	/* In memory of exactly this size, so that a sanitizer sees the first octet too many. */
	const size_t len = strlen(files[_i].text);
	char *text = malloc(len > 0 ? len : 1);
	memcpy(text, files[_i].text, len);
	struct sockaddr_storage servers[RESOLV_CONF_SERVERS_MAX];
	char found[1024];
	unsigned count = resolv_conf_parse(text, len, servers, RESOLV_CONF_SERVERS_MAX);
	ck_assert_str_eq(servers_text(servers, count, found), files[_i].servers);
	free(text);
}
END_TEST

START_TEST(test_parse_many)
{
	char text[8192] = "";
	for (int i = 0; i < 200; i++) {
		sprintf(text + strlen(text), "nameserver 192.0.2.%d\n", i);
	}
	struct sockaddr_storage servers[RESOLV_CONF_SERVERS_MAX];
	char last[ADDRESS_TEXT_MAX];
	ck_assert_uint_eq(resolv_conf_parse(text, strlen(text), servers, RESOLV_CONF_SERVERS_MAX), RESOLV_CONF_SERVERS_MAX);
	ck_assert_str_eq(address_text(&servers[RESOLV_CONF_SERVERS_MAX - 1], last), "192.0.2.31");
	ck_assert_uint_eq(resolv_conf_parse(text, strlen(text), servers, 0), 0);
}
END_TEST

static char directory[] = "/tmp/test_resolv_conf.XXXXXX";
static char path[sizeof(directory) + 16];

static void directory_make(void)
{
	ck_assert_ptr_nonnull(mkdtemp(directory));
	sprintf(path, "%s/resolv.conf", directory);
}

static void directory_remove(void)
{
	rmdir(directory);
}

static void file_write(const char *text, size_t times)
{
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	while (times-- > 0) {
		fputs(text, file);
	}
	ck_assert_int_eq(fclose(file), 0);
}

START_TEST(test_read)
{
	struct sockaddr_storage servers[RESOLV_CONF_SERVERS_MAX];
	unsigned count = 77;
	ck_assert_int_eq(resolv_conf_read(path, servers, RESOLV_CONF_SERVERS_MAX, &count), KNOT_ENOENT);
	file_write("search example.com\n", 1);
	ck_assert_int_eq(resolv_conf_read(path, servers, RESOLV_CONF_SERVERS_MAX, &count), KNOT_ENOENT);
	file_write("#\n", RESOLV_CONF_SIZE_MAX / 2 + 1);
	ck_assert_int_eq(resolv_conf_read(path, servers, RESOLV_CONF_SERVERS_MAX, &count), KNOT_ERANGE);
	ck_assert_int_eq(resolv_conf_read(directory, servers, RESOLV_CONF_SERVERS_MAX, &count), KNOT_EINVAL);
	ck_assert_uint_eq(count, 77);
	file_write("nameserver 192.0.2.1\n", 3);
	ck_assert_int_eq(resolv_conf_read(path, servers, RESOLV_CONF_SERVERS_MAX, &count), KNOT_EOK);
	ck_assert_uint_eq(count, 3);
	/* The largest file there may be. */
	static const char line[] = "nameserver 192.0.2.1 # close by\n";
	ck_assert_uint_eq(RESOLV_CONF_SIZE_MAX % strlen(line), 0);
	file_write(line, RESOLV_CONF_SIZE_MAX / strlen(line));
	ck_assert_int_eq(resolv_conf_read(path, servers, RESOLV_CONF_SERVERS_MAX, &count), KNOT_EOK);
	ck_assert_uint_eq(count, RESOLV_CONF_SERVERS_MAX);

	unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(resolv_conf_read(path, servers, RESOLV_CONF_SERVERS_MAX, &count), KNOT_EINVAL);
	unlink(path);
}
END_TEST

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

int main(void)
{
	Suite *suite = suite_create("resolv_conf");
	TCase *tcase = tcase_create("all");
	tcase_add_unchecked_fixture(tcase, directory_make, directory_remove);
	tcase_add_loop_test(tcase, test_address, 0, COUNT(addresses));
	tcase_add_test(tcase, test_zero_octet);
	tcase_add_loop_test(tcase, test_parse, 0, COUNT(files));
	tcase_add_test(tcase, test_parse_many);
	tcase_add_test(tcase, test_read);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
