/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of address.h.
 */
#include <arpa/inet.h>
#include <check.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/address.h"

/*! Text without a colon is IPv4; NULL is a socket that is not internet. */
static struct sockaddr_storage address(const char *text, uint16_t port, uint32_t scope)
{
	struct sockaddr_storage ret = { .ss_family = AF_UNIX };
	if (text == NULL) {
		return ret;
	}
	if (strchr(text, ':') == NULL) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&ret;
		*v4 = (struct sockaddr_in) { .sin_family = AF_INET, .sin_port = htons(port) };
		ck_assert_int_eq(inet_pton(AF_INET, text, &v4->sin_addr), 1);
	} else {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret;
		*v6 = (struct sockaddr_in6) { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = scope };
		ck_assert_int_eq(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
	}
	return ret;
}

static const struct {
	const char *addr;
	uint16_t port;
	uint32_t scope;
	const char *text;
} texts[] = {
	{ "192.0.2.1", 53, 0, "192.0.2.1@53" },
	{ "192.0.2.1", 0, 0, "192.0.2.1" },
	{ "255.255.255.255", 65535, 0, "255.255.255.255@65535" },
	{ "2001:db8::1", 5353, 0, "2001:db8::1@5353" },
	{ "::", 1, 0, "::@1" },
	{ "::ffff:192.0.2.1", 53, 0, "::ffff:192.0.2.1@53" },
	{ "fe80::1", 53, 4000000000u, "fe80::1%4000000000@53" },
	{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", 65535, 4294967295u,
	  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe%4294967295@65535" },
	{ NULL, 0, 0, "?" },
};

START_TEST(test_text)
{
	struct sockaddr_storage addr = address(texts[_i].addr, texts[_i].port, texts[_i].scope);
	char text[ADDRESS_TEXT_MAX];
	ck_assert_ptr_eq(address_text(&addr, text), text);
	ck_assert_str_eq(text, texts[_i].text);
}
END_TEST

START_TEST(test_scope_name)
{
	char name[IF_NAMESIZE], want[ADDRESS_TEXT_MAX], text[ADDRESS_TEXT_MAX];
	unsigned index = 1;
	if (if_indextoname(index, name) == NULL) {
		return; /* No interface to name. */
	}
	struct sockaddr_storage addr = address("fe80::2", 53, index);
	snprintf(want, sizeof(want), "fe80::2%%%s@53", name);
	ck_assert_str_eq(address_text(&addr, text), want);
}
END_TEST

static const struct {
	const char *a;
	uint16_t a_port;
	uint32_t a_scope;
	const char *b;
	uint16_t b_port;
	uint32_t b_scope;
	bool same_host, equal;
} pairs[] = {
	{ "192.0.2.1", 53, 0, "192.0.2.1", 53, 0, true, true },
	{ "192.0.2.1", 53, 0, "192.0.2.1", 54, 0, true, false },
	{ "192.0.2.1", 53, 0, "192.0.2.2", 53, 0, false, false },
	{ "2001:db8::1", 53, 0, "2001:db8::1", 53, 0, true, true },
	{ "2001:db8::1", 53, 0, "2001:db8::1", 0, 0, true, false },
	{ "2001:db8::1", 53, 0, "2001:db8::2", 53, 0, false, false },
	{ "::ffff:192.0.2.1", 53, 0, "192.0.2.1", 53, 0, true, false },
	{ "::ffff:192.0.2.1", 53, 0, "::ffff:192.0.2.1", 53, 0, true, true },
	{ "::ffff:192.0.2.1", 53, 0, "192.0.2.2", 53, 0, false, false },
	{ "::192.0.2.1", 53, 0, "192.0.2.1", 53, 0, false, false },
	{ "::ffff:192.0.2.1", 53, 0, "2001:db8::1", 53, 0, false, false },
	{ "fe80::1", 53, 2, "fe80::1", 53, 2, true, true },
	{ "fe80::1", 53, 0, "fe80::1", 53, 2, true, true },
	{ "fe80::1", 53, 3, "fe80::1", 53, 2, false, false },
	{ "192.0.2.1", 53, 0, NULL, 0, 0, false, false },
	{ NULL, 0, 0, NULL, 0, 0, false, false },
};

START_TEST(test_pairs)
{
	struct sockaddr_storage a = address(pairs[_i].a, pairs[_i].a_port, pairs[_i].a_scope);
	struct sockaddr_storage b = address(pairs[_i].b, pairs[_i].b_port, pairs[_i].b_scope);
	ck_assert_int_eq(address_same_host(&a, &b), pairs[_i].same_host);
	ck_assert_int_eq(address_same_host(&b, &a), pairs[_i].same_host);
	ck_assert_int_eq(address_equal(&a, &b), pairs[_i].equal);
	ck_assert_int_eq(address_equal(&b, &a), pairs[_i].equal);

	address_t kept = address_short(&a);
	struct sockaddr_storage again = address_whole(&kept);
	ck_assert_mem_eq(&again, &a, sizeof(a));
}
END_TEST

START_TEST(test_len)
{
	struct sockaddr_storage v4 = address("192.0.2.1", 53, 0), v6 = address("::1", 53, 0);
	ck_assert_uint_eq(address_len(&v4), sizeof(struct sockaddr_in));
	ck_assert_uint_eq(address_len(&v6), sizeof(struct sockaddr_in6));
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("address");
	tcase_add_loop_test(tcase, test_text, 0, sizeof(texts) / sizeof(texts[0]));
	tcase_add_test(tcase, test_scope_name);
	tcase_add_loop_test(tcase, test_pairs, 0, sizeof(pairs) / sizeof(pairs[0]));
	tcase_add_test(tcase, test_len);

	Suite *suite = suite_create("address");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
