/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Versions made by differences are those that a builder makes; what fails leaves no trace; versions die in any order.
 *
 * The random test has a model of its own, a list of records: differences are taken from two states of it, so that
 * difference.c does not judge itself. Its zones have everything that a summary counts: cuts, wildcards, DNAMEs, aliases, NSEC, and
 * chains of NSEC3 whose owners are real hashes.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "failing_alloc.h"

#include "../module/arena.c"
#include "../module/qp_txn.c"
#include "../module/node.c"
#include "../module/amend.c"

#include "support.h"

#define ZONE "example.com"
#define SOA(serial) "@ SOA ns1 host " serial " 1800 900 604800 300\n"
#define SIG "13 2 3600 20300101000000 20200101000000 1 example.com. "

static const builder_limits_t no_limits = { 0 };

static void rcu_setup(void)
{
	rcu_register_thread();
}

static void rcu_teardown(void)
{
	rcu_barrier();
	rcu_unregister_thread();
}

/* Differences from text: all of the removed, then all of the added, by way of zones that need not be whole. */

static void put_side(difference_maker_t *maker, const char *text)
{
	/* A zone of these records only has what a builder demands put beside them, and left out again. */
	char *whole = malloc(strlen(text) + 64);
	ck_assert_ptr_nonnull(whole);
	stpcpy(stpcpy(whole, text), "\n@ NS filler.invalid.\n");
	snapshot_t *zone = support_zone(ZONE, whole);
	free(whole);

	difference_t *from_zone = NULL;
	snapshot_t *empty = support_zone(ZONE, "@ SOA . . 0 0 0 0 0\n@ NS filler.invalid.\n");
	ck_assert_int_eq(difference_compute(empty, zone, 0, &from_zone), KNOT_EOK);
	const uint8_t *at = from_zone->octets + from_zone->added_at;
	for (uint32_t i = 0; i < from_zone->added; i++) {
		difference_record_t record;
		at = difference_read(at, &record);
		ck_assert_int_eq(difference_maker_put(maker, record.owner, record.owner_len, record.type, record.ttl,
		                                      record.rdata, record.rdlen), KNOT_EOK);
	}
	difference_release(from_zone);
	snapshot_unpin(empty);
	snapshot_unpin(zone);
}

static difference_t *difference_of(const char *removed, const char *added)
{
	difference_maker_t maker = { 0 };
	difference_t *difference = NULL;
	put_side(&maker, removed);
	difference_maker_turn(&maker);
	put_side(&maker, added);
	ck_assert_int_eq(difference_maker_finish(&maker, &difference), KNOT_EOK);
	return difference;
}

/* Comparing versions */

static void assert_same_trie(const snapshot_t *a, const qp_t *a_qp, const snapshot_t *b, const qp_t *b_qp)
{
	qp_iter_t a_iter, b_iter;
	ck_assert_uint_eq(a_qp->count, b_qp->count);
	qp_begin(a_qp, &a_iter);
	qp_begin(b_qp, &b_iter);
	for (;;) {
		const qp_leaf_t a_leaf = qp_next(&a_iter), b_leaf = qp_next(&b_iter);
		if (a_leaf.ref == 0 || b_leaf.ref == 0) {
			ck_assert_uint_eq(a_leaf.ref, b_leaf.ref);
			break;
		}
		ck_assert_uint_eq(a_leaf.tag, b_leaf.tag);
		ck_assert_uint_eq(a_leaf.labels, b_leaf.labels);
		const size_t size = node_size(a_qp->base, a_leaf.ref);
		ck_assert_uint_eq(size, node_size(b_qp->base, b_leaf.ref));
		ck_assert_mem_eq(arena_at(a_qp->base, a_leaf.ref), arena_at(b_qp->base, b_leaf.ref), size);
	}
	(void)a;
	(void)b;
}

/*! \brief What is known of a place in the chain must not depend on whether there is a note. */
static void assert_notes(const snapshot_t *snapshot)
{
	qp_iter_t iter;
	qp_begin(&snapshot->names, &iter);
	for (qp_leaf_t leaf = qp_next(&iter); leaf.ref != 0; leaf = qp_next(&iter)) {
		uint8_t name[2 * WIRE_NAME_MAX];
		size_t len;
		const uint8_t *labels = qp_name(snapshot->names.base, leaf.ref, &len);
		memcpy(name, labels, len);
		memcpy(name + len, snapshot->apex, snapshot->apex_len);
		bool is_match, is_match_hashed;
		arena_ref_t ref = nsec3_find(snapshot, name, len + snapshot->apex_len, leaf.note, &is_match);
		ck_assert_uint_eq(ref, nsec3_find(snapshot, name, len + snapshot->apex_len, 0, &is_match_hashed));
		ck_assert(is_match == is_match_hashed);
	}
}

/*! \brief Are both the same: records, nodes to the octet, and all that a snapshot says of itself? */
static void assert_same(const snapshot_t *is, const snapshot_t *expected)
{
	char *is_text = support_dump(is);
	char *expected_text = support_dump(expected);
	ck_assert_msg(strcmp(is_text, expected_text) == 0, "is:\n%s\nexpected:\n%s", is_text, expected_text);
	free(is_text);
	free(expected_text);

	assert_same_trie(is, &is->names, expected, &expected->names);
	assert_same_trie(is, &is->nsec3, expected, &expected->nsec3);
	ck_assert_mem_eq(&is->soa, &expected->soa, sizeof(is->soa));
	ck_assert_uint_eq(is->records, expected->records);
	ck_assert_uint_eq(is->octets, expected->octets);
	ck_assert_uint_eq(is->wildcards, expected->wildcards);
	ck_assert_uint_eq(is->is_signed, expected->is_signed);
	ck_assert_uint_eq(is->has_nsec, expected->has_nsec);
	ck_assert_uint_eq(is->apex_len, expected->apex_len);
	ck_assert_mem_eq(is->apex, expected->apex, is->apex_len);

	qp_key_t key;
	qp_key(&key, is->apex, 0);
	ck_assert_uint_eq(is->apex_node, qp_get(&is->names, &key).ref);

	const nsec3_chain_t *a = &is->chain, *b = &expected->chain;
	ck_assert((a->param != NULL) == (b->param != NULL));
	ck_assert_uint_eq(a->is_costly, b->is_costly);
	ck_assert_uint_eq(a->wildcard_matches, b->wildcard_matches);
	ck_assert((a->apex != 0) == (b->apex != 0));
	if (a->param != NULL) {
		ck_assert_mem_eq(a->param, b->param, 5 + a->param[4]);
	}
	if (a->param != NULL && !a->is_costly) {
		ck_assert_uint_eq(arena_at(is->nsec3.base, a->apex) != NULL, arena_at(expected->nsec3.base, b->apex) != NULL);
		size_t a_len, b_len;
		const uint8_t *a_name = qp_name(is->nsec3.base, a->apex, &a_len);
		const uint8_t *b_name = qp_name(expected->nsec3.base, b->apex, &b_len);
		ck_assert_uint_eq(a_len, b_len);
		ck_assert_mem_eq(a_name, b_name, a_len);
		ck_assert(a->has_notes || a->lost_notes || !b->has_notes);
		assert_notes(is);
	}
}

static void assert_dump(const snapshot_t *snapshot, const char *text)
{
	char *expected = support_text(ZONE, text);
	char *dump = support_dump(snapshot);
	ck_assert_msg(strcmp(dump, expected) == 0, "is:\n%s\nexpected:\n%s", dump, expected);
	free(dump);
	free(expected);
}

static snapshot_t *amended(snapshot_t *base, difference_t *const *difference, size_t count)
{
	char error[AMEND_ERROR_MAX];
	snapshot_t *draft = NULL;
	int ret = amend(base, difference, count, &no_limits, &draft, error);
	ck_assert_msg(ret == KNOT_EOK, "%s (%s)", knot_strerror(ret), error);
	return draft;
}

/* What changes do to an owner */

typedef struct {
	const char *what;
	const char *old;                  /*!< Beside the SOA, as everywhere. */
	const char *removed, *added;
	const char *new;
} change_case_t;

static const change_case_t change_cases[] = {
	{ "nothing", "@ NS a\na A 1.1.1.1\n", "", "", "@ NS a\na A 1.1.1.1\n" },
	{ "a record more, one less", "@ NS a\na A 1.1.1.1\n", "a A 1.1.1.1\n", "a A 1.1.1.2\n", "@ NS a\na A 1.1.1.2\n" },
	{ "an owner more", "@ NS a\n", "", "b.a A 1.1.1.1\n", "@ NS a\nb.a A 1.1.1.1\n" },
	{ "an owner less", "@ NS a\nb.a A 1.1.1.1\n", "b.a A 1.1.1.1\n", "", "@ NS a\n" },
	{ "all of the apex but SOA", "@ NS a\n@ TXT x\n", "@ NS a\n@ TXT x\n", "@ NS b\n", "@ NS b\n" },
	{ "a type between others", "@ NS a\na A 1.1.1.1\na MX 1 x.a\na TXT x\na SRV 1 2 3 x.a\n", "a TXT x\n",
	  "a PTR p\na AAAA ::1\n", "@ NS a\na A 1.1.1.1\na PTR p\na MX 1 x.a\na AAAA ::1\na SRV 1 2 3 x.a\n" },
	{ "removed in other case", "@ NS a\na MX 1 Mail.a\n", "a MX 1 mAIL.a\n", "a MX 1 maiL.a\n", "@ NS a\na MX 1 maiL.a\n" },
	{ "removed with other TTL", "@ NS a\na 7 A 1.1.1.1\na 7 A 1.1.1.2\n", "a 9 A 1.1.1.1\n", "", "@ NS a\na 7 A 1.1.1.2\n" },
	{ "added with more TTL", "@ NS a\na 7 A 1.1.1.1\n", "", "a 9 A 1.1.1.2\n", "@ NS a\na 7 A 1.1.1.1\na 7 A 1.1.1.2\n" },
	{ "added with less TTL", "@ NS a\na 7 A 1.1.1.1\n", "", "a 5 A 1.1.1.2\n", "@ NS a\na 5 A 1.1.1.1\na 5 A 1.1.1.2\n" },
	{ "another TTL", "@ NS a\na 7 A 1.1.1.1\na 7 A 1.1.1.2\n", "a 7 A 1.1.1.1\na 7 A 1.1.1.2\n",
	  "a 9 A 1.1.1.1\na 9 A 1.1.1.2\n", "@ NS a\na 9 A 1.1.1.1\na 9 A 1.1.1.2\n" },
	{ "signatures", "@ NS a\na A 1.1.1.1\na RRSIG A " SIG "AAAA\na RRSIG TXT " SIG "AAAA\n", "a RRSIG A " SIG "AAAA\n",
	  "a 9 RRSIG A " SIG "BBBB\na RRSIG MX " SIG "BBBB\n",
	  "@ NS a\na A 1.1.1.1\na 9 RRSIG A " SIG "BBBB\na RRSIG TXT " SIG "AAAA\na RRSIG MX " SIG "BBBB\n" },
	{ "only signatures stay", "@ NS a\na A 1.1.1.1\na RRSIG A " SIG "AAAA\n", "a A 1.1.1.1\n", "", "@ NS a\na RRSIG A " SIG "AAAA\n" },
	{ "the zone is signed", "@ NS a\n", "", "@ RRSIG SOA " SIG "AAAA\n@ NSEC a NS\n", "@ NS a\n@ RRSIG SOA " SIG "AAAA\n@ NSEC a NS\n" },
	{ "it is signed no more", "@ NS a\n@ RRSIG SOA " SIG "AAAA\n@ NSEC a NS\n", "@ RRSIG SOA " SIG "AAAA\n@ NSEC a NS\n", "", "@ NS a\n" },
	{ "a cut", "@ NS a\nsub A 1.1.1.1\n", "", "sub NS ns.sub\nsub DS 1 13 2 AABB\nns.sub A 1.1.1.1\n",
	  "@ NS a\nsub A 1.1.1.1\nsub NS ns.sub\nsub DS 1 13 2 AABB\nns.sub A 1.1.1.1\n" },
	{ "wildcards", "@ NS a\n*.b TXT x\n", "*.b TXT x\n", "* TXT x\nc.*.b TXT x\n", "@ NS a\n* TXT x\nc.*.b TXT x\n" },
	{ "a CNAME instead", "@ NS a\na A 1.1.1.1\na NSEC b A\n", "a A 1.1.1.1\n", "a CNAME b\n", "@ NS a\na CNAME b\na NSEC b A\n" },
	{ "a CNAME goes elsewhere", "@ NS a\na CNAME b\n", "a CNAME b\n", "a CNAME c\n", "@ NS a\na CNAME c\n" },
	{ "NSEC3 comes", "@ NS a\n", "", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 1 12 AABB 2t7b4g4vsa5smi47k61mv5bv1a22bojr\n"
	  "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom RRSIG NSEC3 " SIG "AAAA\n0p9mhaveqvm6t7vbl5lop2u3t2rp3tom TXT beside\n",
	  "@ NS a\n0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 1 12 AABB 2t7b4g4vsa5smi47k61mv5bv1a22bojr\n"
	  "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom RRSIG NSEC3 " SIG "AAAA\n0p9mhaveqvm6t7vbl5lop2u3t2rp3tom TXT beside\n" },
	{ "NSEC3 goes", "@ NS a\n0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 1 12 AABB 2t7b4g4vsa5smi47k61mv5bv1a22bojr\n"
	  "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom TXT beside\n",
	  "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 1 12 AABB 2t7b4g4vsa5smi47k61mv5bv1a22bojr\n", "",
	  "@ NS a\n0p9mhaveqvm6t7vbl5lop2u3t2rp3tom TXT beside\n" },
};

static char *with_soa(const char *soa, const char *rest)
{
	char *text = malloc(strlen(soa) + strlen(rest) + 1);
	ck_assert_ptr_nonnull(text);
	stpcpy(stpcpy(text, soa), rest);
	return text;
}

static snapshot_t *zone_of(const char *soa, const char *rest)
{
	char *text = with_soa(soa, rest);
	snapshot_t *snapshot = support_zone(ZONE, text);
	free(text);
	return snapshot;
}

/*! \brief A difference from serial 7 to 8. */
static difference_t *change_of(const char *removed, const char *added)
{
	char *from = with_soa(SOA("7"), removed), *to = with_soa("@ 90 SOA ns2 host 8 1 2 3 4\n", added);
	difference_t *difference = difference_of(from, to);
	free(from);
	free(to);
	return difference;
}

START_TEST(test_change)
{
	const change_case_t *c = &change_cases[_i];
	snapshot_t *base = zone_of(SOA("7"), c->old);
	snapshot_t *expected = zone_of("@ 90 SOA ns2 host 8 1 2 3 4\n", c->new);
	difference_t *difference = change_of(c->removed, c->added);
	snapshot_t *draft = amended(base, &difference, 1);
	assert_same(draft, expected);
	char *before = with_soa(SOA("7"), c->old);
	assert_dump(base, before);
	free(before);
	snapshot_commit(draft);
	snapshot_commit(draft); /* a no-op now */
	assert_same(draft, expected);
	snapshot_unpin(base);
	rcu_barrier();
	assert_same(draft, expected);
	difference_release(difference);
	snapshot_unpin(draft);
	support_free(expected);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("amend");
	TCase *cases = tcase_create("amend");
	tcase_set_timeout(cases, 300);
	tcase_add_checked_fixture(cases, rcu_setup, rcu_teardown);
	tcase_add_loop_test(cases, test_change, 0, sizeof(change_cases) / sizeof(*change_cases));
	suite_add_tcase(suite, cases);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
