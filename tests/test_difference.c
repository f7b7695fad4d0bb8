/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Differences: made record by record, read back, found unsound in every octet, computed from two versions.
 */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "support.h"

#define SOA(serial) "@ SOA ns1 host " serial " 1800 900 604800 300\n"
#define APEX "@ NS ns1\n"

static void rcu_setup(void)
{
	rcu_register_thread();
}

static void rcu_teardown(void)
{
	rcu_barrier();
	rcu_unregister_thread();
}

/* Making */

static const uint8_t soa_1[] = "\0\0" "\0\0\0\x01" "\0\0\0\0" "\0\0\0\0" "\0\0\0\0" "\0\0\0"; /* and the last 0 */
static const uint8_t soa_2[] = "\0\0" "\0\0\0\x02" "\0\0\0\0" "\0\0\0\0" "\0\0\0\0" "\0\0\0";
static const uint8_t name_a[] = { 1, 'a' };

static int put_soa(difference_maker_t *maker, const uint8_t *rdata)
{
	return difference_maker_put(maker, NULL, 0, KNOT_RRTYPE_SOA, 60, rdata, sizeof(soa_1));
}

static int put_a(difference_maker_t *maker, uint32_t ttl)
{
	return difference_maker_put(maker, name_a, 2, KNOT_RRTYPE_A, ttl, (const uint8_t *)"abcd", 4);
}

/*! \brief SOA and an address removed, SOA and two empty records added. */
static difference_t *make_small(difference_maker_t *maker)
{
	difference_t *difference = NULL;
	ck_assert_int_eq(put_soa(maker, soa_1), KNOT_EOK);
	ck_assert_int_eq(put_a(maker, 5), KNOT_EOK);
	difference_maker_turn(maker);
	ck_assert_int_eq(put_soa(maker, soa_2), KNOT_EOK);
	ck_assert_int_eq(difference_maker_put(maker, name_a, 2, 65280, 7, NULL, 0), KNOT_EOK);
	ck_assert_int_eq(difference_maker_put(maker, name_a, 2, 65281, 7, NULL, 0), KNOT_EOK);
	ck_assert_int_eq(difference_maker_finish(maker, &difference), KNOT_EOK);
	return difference;
}

START_TEST(test_maker)
{
	difference_maker_t maker = { 0 };
	difference_maker_clear(&maker);
	for (int round = 0; round < 2; round++) {
		difference_t *difference = make_small(&maker);
		ck_assert(difference_is_sound(difference));
		ck_assert_uint_eq(difference->from, 1);
		ck_assert_uint_eq(difference->to, 2);
		ck_assert_uint_eq(difference->removed, 2);
		ck_assert_uint_eq(difference->added, 3);
		ck_assert_uint_eq(difference->size, 2 * 33 + 17 + 2 * 13);
		ck_assert_uint_eq(difference->added_at, 33 + 17);
		ck_assert_uint_eq(difference_memory(difference), sizeof(*difference) + difference->size);

		difference_record_t record;
		const uint8_t *next = difference_read(difference->octets, &record);
		ck_assert_uint_eq(record.owner_len, 0);
		ck_assert_uint_eq(record.type, KNOT_RRTYPE_SOA);
		ck_assert_mem_eq(record.rdata, soa_1, sizeof(soa_1));
		next = difference_read(next, &record);
		ck_assert_ptr_eq(next, difference->octets + difference->added_at);
		ck_assert_uint_eq(record.owner_len, 2);
		ck_assert_mem_eq(record.owner, name_a, 2);
		ck_assert_uint_eq(record.type, KNOT_RRTYPE_A);
		ck_assert_uint_eq(record.ttl, 5);
		ck_assert_uint_eq(record.rdlen, 4);
		ck_assert_mem_eq(record.rdata, "abcd", 4);

		ck_assert_ptr_eq(difference_hold(difference), difference);
		difference_release(difference);
		ck_assert_uint_eq(difference->removed, 2);
		difference_release(difference);
	}
	difference_release(NULL);
}
END_TEST

START_TEST(test_maker_refuses)
{
	difference_maker_t maker = { 0 };
	difference_t *difference = NULL;
	ck_assert_int_eq(difference_maker_finish(&maker, &difference), KNOT_EMALF);
	ck_assert_int_eq(put_a(&maker, 1), KNOT_EMALF);
	ck_assert_int_eq(difference_maker_put(&maker, name_a, 2, KNOT_RRTYPE_SOA, 1, soa_1, sizeof(soa_1)), KNOT_EMALF);
	ck_assert_int_eq(difference_maker_put(&maker, NULL, 0, KNOT_RRTYPE_SOA, 1, soa_1, 21), KNOT_EMALF);
	ck_assert_int_eq(put_soa(&maker, soa_1), KNOT_EOK);
	ck_assert_int_eq(put_soa(&maker, soa_2), KNOT_EMALF);
	ck_assert_int_eq(difference_maker_finish(&maker, &difference), KNOT_EMALF);
	difference_maker_turn(&maker);
	ck_assert_int_eq(put_a(&maker, 1), KNOT_EMALF);
	ck_assert_int_eq(difference_maker_finish(&maker, &difference), KNOT_EMALF);
	difference_maker_clear(&maker);
	difference_maker_turn(&maker);
	ck_assert_int_eq(put_soa(&maker, soa_2), KNOT_EOK);
	ck_assert_int_eq(difference_maker_finish(&maker, &difference), KNOT_EMALF); /* Nothing was removed. */
	ck_assert_ptr_null(difference);
	difference_maker_clear(&maker);
	ck_assert_ptr_null(maker.at);
	ck_assert(!maker.is_adding);

	/* A limit holds to the octet, and for each difference. */
	maker.max = 33 + 17 + 33 + 2 * 13;
	difference_release(make_small(&maker));
	difference_release(make_small(&maker));
	maker.max--;
	ck_assert_int_eq(put_soa(&maker, soa_1), KNOT_EOK);
	ck_assert_int_eq(put_a(&maker, 5), KNOT_EOK);
	difference_maker_turn(&maker);
	ck_assert_int_eq(put_soa(&maker, soa_2), KNOT_EOK);
	ck_assert_int_eq(put_a(&maker, 5), KNOT_EOK);
	ck_assert_int_eq(put_a(&maker, 5), KNOT_EZONESIZE);
	difference_maker_clear(&maker);
}
END_TEST

START_TEST(test_maker_grows)
{
	static const uint8_t rdata[65535];
	difference_maker_t maker = { 0 };
	difference_t *difference = NULL;
	ck_assert_int_eq(put_soa(&maker, soa_1), KNOT_EOK);
	for (unsigned i = 0; i < 70; i++) {
		ck_assert_int_eq(difference_maker_put(&maker, name_a, 2, 65280, i, rdata, i % 2 ? 65535 : i), KNOT_EOK);
	}
	difference_maker_turn(&maker);
	ck_assert_int_eq(put_soa(&maker, soa_2), KNOT_EOK);
	ck_assert_int_eq(difference_maker_finish(&maker, &difference), KNOT_EOK);
	ck_assert(difference_is_sound(difference));
	ck_assert_uint_eq(difference->removed, 71);
	difference_release(difference);
}
END_TEST

/* Soundness */

/*! \brief A copy, in memory that ends where its octets do, so that a sanitizer sees what reads on. */
static difference_t *copy_of(const difference_t *difference, size_t size)
{
	difference_t *copy = malloc(sizeof(*copy) + size);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, difference, sizeof(*copy) + (size < difference->size ? size : difference->size));
	copy->size = size;
	return copy;
}

START_TEST(test_sound)
{
	difference_maker_t maker = { 0 };
	difference_t *small = make_small(&maker);
	for (size_t size = 0; size < small->size; size++) {
		difference_t *copy = copy_of(small, size);
		ck_assert_msg(!difference_is_sound(copy), "cut to %zu octets", size);
		free(copy);
	}

	/* Of each octet another value: lengths, types, classes, serials matter; TTLs, addresses, timers do not. */
	static const struct {
		size_t at;
		const char *what;
	} cases[] = {
		{ 0, "owner of the SOA" }, { 2, "type of the SOA" }, { 4, "its class" }, { 10, "its length" },
		{ 16, "its serial" }, { 33, "owner's length" }, { 34, "label's length" }, { 39, "class" },
		{ 45, "length" }, { 50, "owner of the SOA" }, { 52, "type of the second SOA" }, { 66, "its serial" },
		{ 83, "owner's length" }, { 84, "label's length" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			difference_t *copy = copy_of(small, small->size);
			copy->octets[cases[i].at] ^= 1 << bit;
			ck_assert_msg(!difference_is_sound(copy), "%s, bit %u", cases[i].what, bit);
			free(copy);
		}
	}

	/* Of any other one it is only asked that nothing is read outside. */
	for (size_t at = 0; at < small->size; at++) {
		for (unsigned value = 0; value < 256; value++) {
			difference_t *copy = copy_of(small, small->size);
			copy->octets[at] = value;
			(void)difference_is_sound(copy);
			free(copy);
		}
	}
	difference_release(small);
}
END_TEST

/*! \brief Is a difference sound that adds a record with these \a len octets as its owner? */
static bool is_sound_with(const uint8_t *owner, size_t len)
{
	difference_maker_t maker = { 0 };
	difference_t *difference = NULL;
	ck_assert_int_eq(put_soa(&maker, soa_1), KNOT_EOK);
	difference_maker_turn(&maker);
	ck_assert_int_eq(put_soa(&maker, soa_2), KNOT_EOK);
	ck_assert_int_eq(difference_maker_put(&maker, owner, len, 65280, 1, owner, 1), KNOT_EOK);
	ck_assert_int_eq(difference_maker_finish(&maker, &difference), KNOT_EOK);
	const bool is_sound = difference_is_sound(difference);
	difference_release(difference);
	return is_sound;
}

START_TEST(test_sound_labels)
{
	uint8_t owner[255];
	memset(owner, 'x', sizeof(owner));
	owner[0] = 63;
	ck_assert(is_sound_with(owner, 64));
	owner[0] = 64;
	ck_assert(!is_sound_with(owner, 65));
	ck_assert(!is_sound_with((const uint8_t *)"\1a\0", 3));
	ck_assert(!is_sound_with((const uint8_t *)"\0\1a", 3));

	/* Of 254 octets, and of 255: with a root label behind it that would be no name. */
	for (size_t i = 0; i < 254; i += 2) {
		memcpy(owner + i, "\1a", 2);
	}
	ck_assert(is_sound_with(owner, 254));
	memcpy(owner + 252, "\2aa", 3);
	ck_assert(!is_sound_with(owner, 255));
}
END_TEST

START_TEST(test_sound_head)
{
	difference_maker_t maker = { 0 };
	difference_t *difference = make_small(&maker);
	difference_t good = *difference;
	static const struct {
		const char *what;
		int from, to, removed, added, added_at;
	} cases[] = {
		{ "from", 1, 0, 0, 0, 0 }, { "to", 0, 1, 0, 0, 0 }, { "removed", 0, 0, -1, 0, 0 }, { "added", 0, 0, 0, 1, 0 },
		{ "added_at", 0, 0, 0, 0, 1 }, { "added_at", 0, 0, 0, 0, -17 }, { "all added", 0, 0, 0, 0, -50 },
		{ "beyond", 0, 0, 0, 0, 1000 }, { "an owner in upper case", 0, 0, 0, 0, 0 },
	};
	ck_assert(difference_is_sound(difference));
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		difference->from = good.from + cases[i].from;
		difference->to = good.to + cases[i].to;
		difference->removed = good.removed + cases[i].removed;
		difference->added = good.added + cases[i].added;
		difference->added_at = good.added_at + cases[i].added_at;
		difference->octets[35] = strstr(cases[i].what, "case") ? 'A' : 'a';
		ck_assert_msg(!difference_is_sound(difference), "%s", cases[i].what);
	}
	difference->removed = difference->added = difference->added_at = difference->size = 0;
	ck_assert(!difference_is_sound(difference));
	difference_release(difference);
}
END_TEST

/* Computing */

#define SIG "13 2 3600 20300101000000 20200101000000 1 example.com. "

typedef struct {
	const char *what;
	const char *old, *new;            /*!< Beside the SOA and NS at the apex. */
	const char *removed, *added;      /*!< Beside the SOAs. */
} compute_case_t;

static const compute_case_t compute_cases[] = {
	{ "nothing", "a A 1.1.1.1\n", "a A 1.1.1.1\n", "", "" },
	{ "nothing but SOAs", "", "", "", "" },
	{ "a record more", "a A 1.1.1.1\n", "a A 1.1.1.0\na A 1.1.1.1\na A 1.1.1.2\n", "", "a A 1.1.1.0\na A 1.1.1.2\n" },
	{ "a record less", "a A 1.1.1.1\na A 1.1.1.2\na A 1.1.1.3\n", "a A 1.1.1.2\n", "a A 1.1.1.1\na A 1.1.1.3\n", "" },
	{ "a record changes", "a A 1.1.1.1\na A 1.1.1.2\n", "a A 1.1.1.1\na A 1.1.1.3\n", "a A 1.1.1.2\n", "a A 1.1.1.3\n" },
	{ "owners come and go", "a A 1.1.1.1\nc.b A 1.1.1.1\nd A 1.1.1.1\n", "b A 1.1.1.1\nd A 1.1.1.1\ne.d A 1.1.1.1\n",
	  "a A 1.1.1.1\nc.b A 1.1.1.1\n", "b A 1.1.1.1\ne.d A 1.1.1.1\n" },
	{ "all but the apex goes", "a A 1.1.1.1\n*.b TXT x\n", "", "a A 1.1.1.1\n*.b TXT x\n", "" },
	{ "types come and go", "a A 1.1.1.1\na TXT x\na TYPE65280 \\# 0\n", "a MX 1 a\na TXT x\n",
	  "a A 1.1.1.1\na TYPE65280 \\# 0\n", "a MX 1 a\n" },
	{ "another TTL", "a 5 A 1.1.1.1\na 5 A 1.1.1.2\na TXT x\n", "a 6 A 1.1.1.1\na 6 A 1.1.1.2\na 6 A 1.1.1.3\na TXT x\n",
	  "a 5 A 1.1.1.1\na 5 A 1.1.1.2\n", "a 6 A 1.1.1.1\na 6 A 1.1.1.2\na 6 A 1.1.1.3\n" },
	{ "another case", "a MX 1 Mail.b\na TXT x\n", "a MX 1 mail.b\na TXT X\n", "a MX 1 Mail.b\na TXT x\n",
	  "a MX 1 mail.b\na TXT X\n" },
	{ "kept in another form", "a NS a.b.c\na NS b.c\n", "a NS b.c\na NS c\n", "a NS a.b.c\n", "a NS c\n" },
	{ "signatures", "a A 1.1.1.1\na RRSIG A " SIG "AAAA\na RRSIG A " SIG "BBBB\n@ RRSIG SOA " SIG "AAAA\n",
	  "a A 1.1.1.1\na RRSIG A " SIG "BBBB\na RRSIG A " SIG "CCCC\n@ RRSIG SOA " SIG "CCCC\n",
	  "a RRSIG A " SIG "AAAA\n@ RRSIG SOA " SIG "AAAA\n", "a RRSIG A " SIG "CCCC\n@ RRSIG SOA " SIG "CCCC\n" },
	{ "TTL of signatures alone", "a A 1.1.1.1\na 5 RRSIG A " SIG "AAAA\n", "a A 1.1.1.1\na 6 RRSIG A " SIG "AAAA\n",
	  "a 5 RRSIG A " SIG "AAAA\n", "a 6 RRSIG A " SIG "AAAA\n" },
	{ "signatures of nothing", "a A 1.1.1.1\na RRSIG TXT " SIG "AAAA\n", "a RRSIG A " SIG "AAAA\na RRSIG TXT " SIG "AAAA\n",
	  "a A 1.1.1.1\n", "a RRSIG A " SIG "AAAA\n" },
	{ "NSEC3", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 1 12 AABBCCDD 2t7b4g4vsa5smi47k61mv5bv1a22bojr NS\n"
	  "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom TXT beside\n",
	  "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 1 12 AABBCCDD 2t7b4g4vsa5smi47k61mv5bv1a22bojr A\n"
	  "2t7b4g4vsa5smi47k61mv5bv1a22bojr NSEC3 1 1 12 AABBCCDD 2t7b4g4vsa5smi47k61mv5bv1a22bojr A\n"
	  "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom TXT beside\n",
	  "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 1 12 AABBCCDD 2t7b4g4vsa5smi47k61mv5bv1a22bojr NS\n",
	  "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 1 12 AABBCCDD 2t7b4g4vsa5smi47k61mv5bv1a22bojr A\n"
	  "2t7b4g4vsa5smi47k61mv5bv1a22bojr NSEC3 1 1 12 AABBCCDD 2t7b4g4vsa5smi47k61mv5bv1a22bojr A\n" },
};

static snapshot_t *zone_of(const char *soa, const char *rest)
{
	char *text = support_join(soa, rest);
	snapshot_t *snapshot = support_zone("example.com", text);
	free(text);
	return snapshot;
}

static void assert_side(const compute_case_t *c, const difference_t *difference, bool is_added, const char *soa,
                        const char *rest)
{
	char *text = support_join(soa, rest);
	char *expected = support_text("example.com", text);
	char *side = support_side(difference, "example.com", is_added);
	ck_assert_msg(strcmp(side, expected) == 0, "%s, %s:\n%s\nexpected:\n%s", c->what, is_added ? "added" : "removed",
	              side, expected);
	free(side);
	free(expected);
	free(text);
}

START_TEST(test_compute)
{
	const compute_case_t *c = &compute_cases[_i];
	snapshot_t *old = zone_of(SOA("7") APEX, c->old);
	snapshot_t *new = zone_of(SOA("9") APEX, c->new);
	difference_t *difference = NULL;
	ck_assert_int_eq(difference_compute(old, new, 0, &difference), KNOT_EOK);
	ck_assert(difference_is_sound(difference));
	ck_assert_uint_eq(difference->from, 7);
	ck_assert_uint_eq(difference->to, 9);
	assert_side(c, difference, false, SOA("7"), c->removed);
	assert_side(c, difference, true, SOA("9"), c->added);

	/* The limit holds to the octet. */
	difference_t *again = NULL;
	ck_assert_int_eq(difference_compute(old, new, difference->size - 1, &again), KNOT_EZONESIZE);
	ck_assert_int_eq(difference_compute(old, new, 1, &again), KNOT_EZONESIZE);
	ck_assert_ptr_null(again);
	ck_assert_int_eq(difference_compute(old, new, difference->size, &again), KNOT_EOK);
	ck_assert_uint_eq(again->size, difference->size);
	ck_assert_mem_eq(again->octets, difference->octets, difference->size);

	difference_release(again);
	difference_release(difference);
	support_free(old);
	support_free(new);
}
END_TEST

START_TEST(test_compute_same)
{
	snapshot_t *snapshot = zone_of(SOA("7") APEX, "a A 1.1.1.1\na TXT x\n");
	difference_t *difference = NULL;
	ck_assert_int_eq(difference_compute(snapshot, snapshot, 0, &difference), KNOT_EOK);
	ck_assert_uint_eq(difference->removed, 1);
	ck_assert_uint_eq(difference->added, 1);
	difference_release(difference);
	support_free(snapshot);
}
END_TEST

/* The SOA differs in its TTL alone, in the root zone. */
START_TEST(test_compute_root)
{
	snapshot_t *old = support_zone(".", "@ 5 SOA a.root host 1 2 3 4 5\n@ NS a.root\norg NS a.org\n");
	snapshot_t *new = support_zone(".", "@ 6 SOA a.root host 1 2 3 4 5\n@ NS a.root\norg NS a.org\norg NS b.org\n");
	difference_t *difference = NULL;
	ck_assert_int_eq(difference_compute(old, new, 0, &difference), KNOT_EOK);
	char *expected = support_text(".", "@ 6 SOA a.root host 1 2 3 4 5\norg NS b.org\n");
	char *side = support_side(difference, ".", true);
	ck_assert_str_eq(side, expected);
	free(side);
	free(expected);
	ck_assert_uint_eq(difference->removed, 1);
	difference_release(difference);
	support_free(old);
	support_free(new);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("difference");
	TCase *cases = tcase_create("difference");
	tcase_add_checked_fixture(cases, rcu_setup, rcu_teardown);
	tcase_add_test(cases, test_maker);
	tcase_add_test(cases, test_maker_refuses);
	tcase_add_test(cases, test_maker_grows);
	tcase_add_test(cases, test_sound);
	tcase_add_test(cases, test_sound_labels);
	tcase_add_test(cases, test_sound_head);
	tcase_add_loop_test(cases, test_compute, 0, sizeof(compute_cases) / sizeof(*compute_cases));
	tcase_add_test(cases, test_compute_same);
	tcase_add_test(cases, test_compute_root);
	suite_add_tcase(suite, cases);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
