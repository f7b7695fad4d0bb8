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
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "failing_alloc.h"

#include "../module/arena.c"
#include "../module/qp_txn.c"
#include "../module/node.c"
#include "../module/amend.c"

#include "secondary/zone.h"
#include "support.h"

#define ZONE "example.com"
#define SOA(serial) "@ SOA ns1 host " serial " 1800 900 604800 300\n"
#define SIG "13 2 3600 20300101000000 20200101000000 1 example.com. "

static const builder_limits_t no_limits = { 0 };

static void rcu_setup(void)
{
	secondary_rcu_prime();
	rcu_register_thread();
}

static void rcu_teardown(void)
{
	rcu_barrier();
	rcu_unregister_thread();
}

/* Differences from text */

static void put_side(difference_maker_t *maker, const char *text)
{
	ck_assert_int_eq(support_put(maker, ZONE, text), KNOT_EOK);
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

static void assert_same_trie(const qp_t *a_qp, const qp_t *b_qp)
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

	assert_same_trie(&is->names, &expected->names);
	assert_same_trie(&is->nsec3, &expected->nsec3);
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

static snapshot_t *zone_of(const char *soa, const char *rest)
{
	char *text = support_join(soa, rest);
	snapshot_t *snapshot = support_zone(ZONE, text);
	free(text);
	return snapshot;
}

/*! \brief A difference from serial 7 to 8. */
static difference_t *change_of(const char *removed, const char *added)
{
	char *from = support_join(SOA("7"), removed), *to = support_join("@ 90 SOA ns2 host 8 1 2 3 4\n", added);
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
	char *before = support_join(SOA("7"), c->old);
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

/* Failures */

typedef struct {
	const char *what;
	const char *old;
	const char *removed, *added;
	uint64_t max_octets;
	int ret;
	const char *error;
} failure_case_t;

static const failure_case_t failure_cases[] = {
	{ "an owner that is not there", "@ NS a\n", "a A 1.1.1.1\n", "", 0, KNOT_ENOENT, "removed record is not there at a.example.com." },
	{ "a type that is not there", "@ NS a\na TXT x\n", "a A 1.1.1.1\n", "", 0, KNOT_ENOENT,
	  "removed record is not there at a.example.com." },
	{ "RDATA that is not there", "@ NS a\na A 1.1.1.2\n", "a A 1.1.1.1\n", "", 0, KNOT_ENOENT,
	  "removed record is not there at a.example.com." },
	{ "a signature that is not there", "@ NS a\na A 1.1.1.1\n", "a RRSIG A " SIG "AAAA\n", "", 0, KNOT_ENOENT,
	  "removed record is not there at a.example.com." },
	{ "what is there already", "@ NS a\na A 1.1.1.1\n", "", "a 5 A 1.1.1.1\n", 0, KNOT_ENOENT,
	  "added record is there already at a.example.com." },
	{ "what is there in other case", "@ NS a\na MX 1 B\n", "", "a MX 1 b\n", 0, KNOT_ENOENT,
	  "added record is there already at a.example.com." },
	{ "after many good ones", "@ NS a\na A 1.1.1.1\n*.b TXT x\n", "a A 1.1.1.1\n*.b TXT x\nz A 1.1.1.1\n",
	  "b NS a\nc TXT x\n* TXT x\n", 0, KNOT_ENOENT, "removed record is not there at z.example.com." },
	{ "a CNAME beside others", "@ NS a\na A 1.1.1.1\n", "", "a CNAME b\n", 0, KNOT_EMALF, "CNAME beside other data at a.example.com." },
	{ "others beside a CNAME", "@ NS a\na CNAME b\n", "", "a A 1.1.1.1\n", 0, KNOT_EMALF, "CNAME beside other data at a.example.com." },
	{ "two CNAMEs", "@ NS a\na CNAME b\n", "", "a CNAME c\n", 0, KNOT_EMALF, "more than one CNAME at a.example.com." },
	{ "two DNAMEs", "@ NS a\na DNAME b\n", "", "a DNAME c\n", 0, KNOT_EMALF, "more than one DNAME at a.example.com." },
	{ "no NS", "@ NS a\n@ TXT x\n", "@ NS a\n", "", 0, KNOT_EMALF, "no NS at the zone apex" },
	{ "too large", "@ NS a\n", "", "a A 1.1.1.1\n", 144, KNOT_EZONESIZE, "zone too large" },
	{ "malformed", "@ NS a\n", "", "a TYPE65280 \\# 1 00\n", 0, KNOT_EMALF, "malformed record in an increment" },
	{ "too long a name", "@ NS a\n", "", "a TYPE65281 \\# 1 00\n", 0, KNOT_EMALF, "malformed record in an increment" },
};

/*! \brief Turns records that text cannot hold into what they stand for. */
static void malform(difference_t *difference, const char *what)
{
	if (strcmp(what, "malformed") == 0) {
		uint8_t *record = difference->octets + difference->size - 11;
		ck_assert_uint_eq(record[0], 0xFF);
		knot_wire_write_u16(record, KNOT_RRTYPE_RRSIG);
	}
}

static difference_t *with_long_name(void)
{
	uint8_t owner[250];
	difference_maker_t maker = { 0 };
	difference_t *difference = NULL;
	for (size_t i = 0; i < sizeof(owner); i += 2) {
		memcpy(owner + i, "\1a", 2);
	}
	put_side(&maker, SOA("7"));
	difference_maker_turn(&maker);
	put_side(&maker, SOA("8"));
	ck_assert_int_eq(difference_maker_put(&maker, owner, sizeof(owner), KNOT_RRTYPE_A, 1, owner, 4), KNOT_EOK);
	ck_assert_int_eq(difference_maker_finish(&maker, &difference), KNOT_EOK);
	return difference;
}

static void assert_stats(const arena_stats_t *is, const arena_stats_t *expected)
{
	ck_assert_uint_eq(is->used, expected->used);
	ck_assert_uint_eq(is->dead, expected->dead);
	ck_assert_uint_eq(is->reserved, expected->reserved);
	ck_assert_uint_eq(is->chunks, expected->chunks);
}

/*! \brief Fails as expected, and as if it had not been tried. */
static void assert_failure(snapshot_t *base, difference_t *const *difference, size_t count, uint64_t max_octets, int ret,
                           const char *message)
{
	const builder_limits_t limits = { .max_octets = max_octets };
	const arena_stats_t before = arena_stats(base->arena);
	char *dump = support_dump(base);
	char error[AMEND_ERROR_MAX];
	snapshot_t *draft = NULL;
	ck_assert_int_eq(amend(base, difference, count, &limits, &draft, error), ret);
	ck_assert_str_eq(error, message);
	ck_assert_ptr_null(draft);

	const arena_stats_t after = arena_stats(base->arena);
	assert_stats(&after, &before);
	char *dump_after = support_dump(base);
	ck_assert_str_eq(dump_after, dump);
	free(dump_after);
	free(dump);
}

START_TEST(test_failure)
{
	const failure_case_t *c = &failure_cases[_i];
	snapshot_t *base = zone_of(SOA("7"), c->old);
	difference_t *bad = strcmp(c->what, "too long a name") ? change_of(c->removed, c->added) : with_long_name();
	difference_t *good = change_of("", "n TXT new\n");
	malform(bad, c->what);
	assert_failure(base, &bad, 1, c->max_octets, c->ret, c->error);

	/* The next one works, and after it the same failure is none of its business. */
	snapshot_t *draft = amended(base, &good, 1);
	snapshot_commit(draft);
	snapshot_unpin(base);
	rcu_barrier();
	assert_failure(draft, &bad, 1, 0, KNOT_ENOENT, "increment from serial 7 to one with serial 8");
	difference_release(bad);
	difference_release(good);
	support_free(draft);
}
END_TEST

/*! The largest zone that there may be; an octet less is refused above. */
START_TEST(test_limit)
{
	const builder_limits_t limits = { .max_octets = 145 };
	snapshot_t *base = zone_of(SOA("7"), "@ NS a\n");
	difference_t *difference = change_of("", "a A 1.1.1.1\n");
	snapshot_t *draft = NULL;
	char error[AMEND_ERROR_MAX];
	ck_assert_int_eq(amend(base, &difference, 1, &limits, &draft, error), KNOT_EOK);
	ck_assert_uint_eq(draft->octets, limits.max_octets);
	snapshot_commit(draft);
	snapshot_unpin(base);
	rcu_barrier();
	difference_release(difference);
	support_free(draft);
}
END_TEST

START_TEST(test_serials)
{
	difference_t *good = change_of("", "n TXT new\n");
	difference_t *next = difference_of(SOA("8"), SOA("4294967295") "n TXT newer\n");
	difference_t *late = difference_of(SOA("4294967295") "n TXT new\n", SOA("1"));
	snapshot_t *base = zone_of(SOA("7"), "@ NS a\n");
	assert_failure(base, &next, 1, 0, KNOT_ENOENT, "increment from serial 8 to one with serial 7");
	difference_t *const gap[] = { good, late };
	assert_failure(base, gap, 2, 0, KNOT_ENOENT, "increment from serial 4294967295 to one with serial 8");
	difference_t *const all[] = { good, next, late };
	snapshot_t *draft = amended(base, all, 3);
	assert_dump(draft, SOA("1") "@ NS a\nn TXT newer\n");
	ck_assert_uint_eq(draft->soa.serial, 1);
	snapshot_discard(draft);
	snapshot_discard(NULL);
	snapshot_discard(base);
	difference_release(good);
	difference_release(next);
	difference_release(late);
}
END_TEST

/*! \brief Between sequences a zone may be anything: what counts is what comes of them all. */
START_TEST(test_sequences)
{
	difference_t *const all[] = {
		difference_of(SOA("1") "@ NS a\na A 1.1.1.1\n", SOA("2") "a CNAME b\nb TXT x\n*.c TXT x\nd TXT x\n"),
		difference_of(SOA("2") "a CNAME b\n*.c TXT x\n", SOA("3") "@ 5 NS b\na A 1.1.1.1\nd TXT y\n"),
		difference_of(SOA("3") "a A 1.1.1.1\nb TXT x\nd TXT x\nd TXT y\n", SOA("4") "*.c TXT x\nd TXT y\n"),
	};
	snapshot_t *base = support_zone(ZONE, SOA("1") "@ NS a\na A 1.1.1.1\na TXT x\n");
	snapshot_t *expected = support_zone(ZONE, SOA("4") "@ 5 NS b\na TXT x\n*.c TXT x\nd TXT y\n");
	snapshot_t *draft = amended(base, all, 3);
	assert_same(draft, expected);
	snapshot_discard(draft);
	for (unsigned i = 0; i < 3; i++) {
		difference_release(all[i]);
	}
	snapshot_unpin(base);
	support_free(expected);
}
END_TEST

START_TEST(test_no_memory)
{
	snapshot_t *base = zone_of(SOA("7"), "@ NS a\na A 1.1.1.1\n*.b TXT x\nc NS a.c\n");
	char rest[8192] = "";
	for (unsigned i = 0; i < 150; i++) {
		sprintf(rest + strlen(rest), "n%u TXT \"some text to fill a chunk with %u\"\n", i * 7919 % 1000, i);
	}
	difference_t *difference = change_of("a A 1.1.1.1\nc NS a.c\n", rest);
	const arena_stats_t before = arena_stats(base->arena);
	char *dump = support_dump(base);
	snapshot_t *draft = NULL;
	int ret = KNOT_ENOMEM;
	unsigned failures = 0;
	for (long budget = 0; ret != KNOT_EOK; budget++, failures++) {
		char error[AMEND_ERROR_MAX];
		alloc_budget = budget;
		ret = amend(base, &difference, 1, &no_limits, &draft, error);
		alloc_budget = -1;
		ck_assert(ret == KNOT_EOK || ret == KNOT_ENOMEM);
		const arena_stats_t after = arena_stats(base->arena);
		if (ret == KNOT_ENOMEM) {
			assert_stats(&after, &before);
			ck_assert_str_eq(error, "");
		}
	}
	ck_assert_uint_gt(failures, 10);
	char *dump_after = support_dump(base);
	ck_assert_str_eq(dump_after, dump);
	snapshot_discard(draft);
	const arena_stats_t after = arena_stats(base->arena);
	assert_stats(&after, &before);

	/* A copy needs memory, too. */
	snapshot_t *copy = NULL;
	ret = KNOT_ENOMEM;
	for (long budget = 0; ret != KNOT_EOK; budget++) {
		alloc_budget = budget;
		ret = amend_compact(base, &copy);
		alloc_budget = -1;
		ck_assert(ret == KNOT_EOK || ret == KNOT_ENOMEM);
	}
	assert_same(copy, base);
	snapshot_discard(copy);
	free(dump);
	free(dump_after);
	difference_release(difference);
	support_free(base);
}
END_TEST

/* An RRset that no change touches costs nothing, and is not taken apart. */
START_TEST(test_large_beside)
{
	static char rest[70000];
	char *to = stpcpy(rest, "@ NS a\n");
	for (unsigned i = 0; i < 2000; i++) {
		to += sprintf(to, "@ TXT \"number %05u\"\n", i);
	}
	snapshot_t *base = zone_of(SOA("7"), rest);
	difference_t *difference = change_of("", "@ MX 1 a\n");
	sprintf(to, "@ MX 1 a\n");
	snapshot_t *expected = zone_of("@ 90 SOA ns2 host 8 1 2 3 4\n", rest);
	snapshot_t *draft = amended(base, &difference, 1);
	assert_same(draft, expected);
	snapshot_discard(draft);
	difference_release(difference);
	snapshot_unpin(base);
	support_free(expected);
}
END_TEST

/*! \brief Appends \a count records to \a text: half of their names differ from the first symbol on, half only late. */
static void append_many(char *text, unsigned count, unsigned stride, const char *what)
{
	char *to = text + strlen(text);
	for (unsigned i = 0; i < count; i++) {
		const unsigned number = i * stride % count;
		to += sprintf(to, number % 2 ? "%u-x TXT %s\n" : "all-of-these-begin-so-%u TXT %s\n", number, what);
	}
}

/*! \brief So many changes that they are sorted in another way, each side in an order of its own. */
START_TEST(test_many)
{
	enum { COUNT = 3001 };
	static char old[1 << 18], removed[1 << 18], added[1 << 18];
	strcpy(old, "@ NS a\n");
	*removed = *added = '\0';
	append_many(old, COUNT, 1, "old");
	append_many(removed, COUNT, 7919, "old");
	append_many(added, COUNT, 104729, "new");
	snapshot_t *base = zone_of(SOA("7"), old);
	difference_t *difference = change_of(removed, added);
	strcat(added, "@ NS a\n");
	snapshot_t *expected = zone_of("@ 90 SOA ns2 host 8 1 2 3 4\n", added);
	snapshot_t *draft = amended(base, &difference, 1);
	assert_same(draft, expected);
	snapshot_discard(draft);
	ck_assert_uint_gt(difference->removed + difference->added, RADIX_MIN);
	difference_release(difference);
	snapshot_unpin(base);
	support_free(expected);
}
END_TEST

/* Notes */

static const uint8_t salt[] = { 0xAA, 0xBB };

/*! \brief The label that a name has in a chain with \a iterations and that salt. */
static void hash_label(const uint8_t *name, size_t len, unsigned iterations, char ret_label[33])
{
	uint8_t param[] = { 1, 0, iterations >> 8, iterations, sizeof(salt), salt[0], salt[1] };
	const nsec3_chain_t chain = { .param = param };
	uint8_t hash[NSEC3_HASH_SIZE];
	nsec3_hash(&chain, name, len, hash);
	for (unsigned i = 0; i < 32; i++) {
		unsigned bit = 5 * i, word = hash[bit / 8] << 8 | (bit / 8 + 1 < sizeof(hash) ? hash[bit / 8 + 1] : 0);
		ret_label[i] = "0123456789abcdefghijklmnopqrstuv"[word >> (11 - bit % 8) & 31];
	}
	ret_label[32] = '\0';
}

/*! \brief A record of the chain for each name: "@ a b.c" to text, appended to \a to. */
static void append_chain(char *to, const char *names, unsigned iterations)
{
	char copy[256];
	strcpy(copy, names);
	for (char *name = strtok(copy, " "); name != NULL; name = strtok(NULL, " ")) {
		char full[512], label[33];
		uint8_t wire[WIRE_NAME_MAX];
		sprintf(full, "%s%s" ZONE, strcmp(name, "@") ? name : "", strcmp(name, "@") ? "." : "");
		size_t len = support_name(full, wire);
		hash_label(wire, len, iterations, label);
		sprintf(to + strlen(to), "%s NSEC3 1 1 %u AABB %s A\n", label, iterations, label);
	}
}

typedef struct {
	const char *what;
	const char *removed, *lost;       /*!< Records; names whose NSEC3 are removed. */
	const char *added, *got;
	bool has_notes;
} note_case_t;

#define CHAIN_ZONE  "@ NS a\n@ NSEC3PARAM 1 0 1 AABB\na A 1.1.1.1\nx.a A 1.1.1.1\nb NS b\nd.e.f A 1.1.1.1\n*.w A 1.1.1.1\n"
#define CHAIN_NAMES "@ a x.a b d.e.f e.f f *.w w"
#define COLLIDING(digits) \
	digits " NSEC3 1 1 1 AABB 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom A\n"

static const note_case_t note_cases[] = {
	{ "nothing", "", "", "", "", true },
	{ "a name changes", "", "", "a TXT x\n", "", true },
	{ "its record in the chain changes, too", "", "a", "a TXT x\n", "a", true },
	{ "a name comes", "", "", "c A 1.1.1.1\n", "c", true },
	{ "a name comes with those above it", "", "", "l.m.n A 1.1.1.1\n", "l.m.n m.n n", true },
	{ "a name goes", "x.a A 1.1.1.1\n", "x.a", "", "", true },
	{ "a name goes with those above it", "d.e.f A 1.1.1.1\n", "d.e.f e.f f", "", "", true },
	{ "some of those above it", "d.e.f A 1.1.1.1\n", "d.e.f e.f", "f A 1.1.1.1\n", "", true },
	{ "a cut is signed no more: opt-out", "", "b", "b NS c\n", "", true },
	{ "a name stays, its record goes", "", "b", "", "", false },
	{ "with it one below goes", "x.a A 1.1.1.1\n", "x.a a", "", "", false },
	{ "a record of a name that nobody knows goes", "", "unknown", "", "", false },
	{ "an owner that is no hash", "", "", COLLIDING("0p9mhaveqvm6t7vbl5lop2u3t2rp3to"), "", false },
	{ "an owner alone with its bits", "", "", COLLIDING("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"), "", true },
	{ "two owners with the same bits", "", "", COLLIDING("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom") COLLIDING("0p9mhav0000000000000000000000000"),
	  "", false },
	{ "another chain", "@ NSEC3PARAM 1 0 1 AABB\n", CHAIN_NAMES, "@ NSEC3PARAM 1 0 0 AABB\n", "", false },
	{ "another chain beside the one before", "@ NSEC3PARAM 1 0 1 AABB\n", "", "@ NSEC3PARAM 1 0 0 AABB\n", "", false },
	{ "a name whose record has a namesake in 31 bits", "", "", "x.a TXT x\n", "", true },
	{ "two chains, the first one stays", "", "", "@ NSEC3PARAM 1 0 2 AABB\n", "", true },
};

/*! \brief A difference of both, with records of the chain; from one serial to the next. */
static difference_t *chain_change(uint32_t from, const note_case_t *c)
{
	char removed[4096], added[4096];
	const bool is_other = strncmp(c->what, "another chain", 13) == 0;
	sprintf(removed, "@ SOA ns1 host %u 1800 900 604800 300\n%s", from, c->removed);
	sprintf(added, "@ SOA ns1 host %u 1800 900 604800 300\n%s", from + 1, c->added);
	append_chain(removed, strcmp(c->lost, "unknown") ? c->lost : "", 1);
	append_chain(added, is_other ? CHAIN_NAMES : c->got, is_other ? 0 : 1);
	if (strcmp(c->lost, "unknown") == 0) {
		strcat(removed, COLLIDING("vvvvhaveqvm6t7vbl5lop2u3t2rp3tom"));
	}
	if (strcmp(c->lost, "a") == 0) {
		/* The same owner, something else said of it. */
		strcpy(strrchr(added, ' '), " TXT\n");
	}
	return difference_of(removed, added);
}

/*! \brief Appends a record whose owner agrees with the hash of x.a in all but the last digit, so that x.a has no note. */
static void append_namesake(char *to)
{
	char record[256] = "";
	append_chain(record, "x.a", 1);
	record[31] = record[31] == '0' ? 'g' : '0';
	strcat(to, record);
}

START_TEST(test_notes)
{
	const note_case_t *c = &note_cases[_i];
	char text[4096] = SOA("7") CHAIN_ZONE COLLIDING("vvvvhaveqvm6t7vbl5lop2u3t2rp3tom");
	append_chain(text, CHAIN_NAMES, 1);
	append_namesake(text);
	snapshot_t *base = support_zone(ZONE, text);
	ck_assert(base->chain.has_notes);
	difference_t *difference = chain_change(7, c);
	snapshot_t *draft = amended(base, &difference, 1);
	snapshot_commit(draft);
	snapshot_unpin(base);
	ck_assert_ptr_nonnull(draft->chain.param);
	ck_assert_msg(draft->chain.has_notes == c->has_notes, "%s: notes %d", c->what, draft->chain.has_notes);
	ck_assert(draft->chain.lost_notes == !c->has_notes);
	ck_assert(amend_wants_compaction(draft) == !c->has_notes);
	assert_notes(draft);

	/* What is lost stays lost until there is a copy. */
	difference_release(difference);
	static const note_case_t nothing = { .what = "", .removed = "", .lost = "", .added = "", .got = "" };
	difference = chain_change(8, &nothing);
	snapshot_t *next = amended(draft, &difference, 1);
	ck_assert(next->chain.has_notes == c->has_notes);
	ck_assert(next->chain.lost_notes == !c->has_notes);
	snapshot_discard(next);
	difference_release(difference);

	snapshot_t *copy = NULL;
	ck_assert_int_eq(amend_compact(draft, &copy), KNOT_EOK);
	assert_same(copy, draft);
	assert_notes(copy);
	ck_assert(!copy->chain.lost_notes && !amend_wants_compaction(copy));
	/* If notes are kept, all names have the one that a load would give them. */
	qp_iter_t iter, copy_iter;
	qp_begin(&draft->names, &iter);
	qp_begin(&copy->names, &copy_iter);
	for (uint32_t i = 0; i < draft->names.count && c->has_notes; i++) {
		ck_assert_uint_eq(qp_next(&iter).note, qp_next(&copy_iter).note);
	}
	snapshot_unpin(copy);
	support_free(draft);
}
END_TEST

/* Compaction */

/*! \brief Changes the text of every \a step-th of \a count names, from one serial to the next. */
static difference_t *rewrite(unsigned serial, unsigned count, unsigned step)
{
	static char side[2][1 << 20];
	for (unsigned is_added = 0; is_added < 2; is_added++) {
		char *to = side[is_added];
		to += sprintf(to, "@ SOA ns1 host %u 1800 900 604800 300\n", serial + is_added);
		for (unsigned i = serial % step; i < count; i += step) {
			/* That of the last time, which was step serials ago. */
			const unsigned text = is_added ? serial + step : serial;
			to += sprintf(to, "n%u TXT %u\n", i, text);
		}
	}
	return difference_of(side[0], side[1]);
}

START_TEST(test_compaction)
{
	enum { COUNT = 5000, STEP = 5 };
	static char text[1 << 20];
	char *to = text + sprintf(text, "%s@ NS a\n", SOA("5"));
	for (unsigned i = 0; i < COUNT; i++) {
		to += sprintf(to, "n%u TXT %u\n", i, 5 + i % STEP);
	}
	snapshot_t *snapshot = support_zone(ZONE, text);
	unsigned serial = 5;
	while (!amend_wants_compaction(snapshot)) {
		difference_t *difference = rewrite(serial++, COUNT, STEP);
		snapshot_t *draft = amended(snapshot, &difference, 1);
		snapshot_commit(draft);
		difference_release(difference);
		support_free(snapshot);
		snapshot = draft;
		ck_assert_uint_lt(serial, 100);
	}
	arena_stats_t stats = arena_stats(snapshot->arena);
	ck_assert_uint_ge(stats.dead, GARBAGE_MIN);
	ck_assert_uint_gt(stats.dead, stats.used / 2);

	snapshot_t *copy = NULL;
	ck_assert_int_eq(amend_compact(snapshot, &copy), KNOT_EOK);
	assert_same(copy, snapshot);
	ck_assert(!amend_wants_compaction(copy));
	ck_assert_uint_eq(arena_stats(copy->arena).used, stats.used);
	ck_assert_uint_lt(arena_stats(copy->arena).reserved, stats.reserved);
	snapshot_unpin(snapshot);
	support_free(copy);
}
END_TEST

/* Readers beside the writer */

#define READER_NAMES 8
#define READERS      2

static zone_t *shared_zone;
static bool is_done;                      /*!< Atomic. */

/*! \brief A version of which each name says its serial. */
static void assert_whole(const snapshot_t *snapshot)
{
	for (unsigned i = 0; i < READER_NAMES; i++) {
		const uint8_t label[] = { 1, 'a' + i };
		qp_key_t key;
		rrset_t rrset;
		qp_key(&key, label, sizeof(label));
		const qp_leaf_t leaf = qp_get(&snapshot->names, &key);
		ck_assert(leaf.ref != 0 && rrset_find(snapshot->names.base, leaf.ref, KNOT_RRTYPE_A, &rrset));
		ck_assert_uint_eq(rrset.count, 1);
		ck_assert_uint_eq(knot_wire_read_u32(rrset.items + 2), snapshot->soa.serial);
	}
	ck_assert_uint_gt(snapshot_memory(snapshot), sizeof(*snapshot));
}

/*! \brief Looks at what serves, and holds some of it until two versions later. */
static void *read_versions(void *unused)
{
	snapshot_t *held = NULL;
	uint32_t last = 0;
	rcu_register_thread();
	while (!__atomic_load_n(&is_done, __ATOMIC_RELAXED)) {
		rcu_read_lock();
		snapshot_t *snapshot = zone_borrow(shared_zone);
		assert_whole(snapshot);
		ck_assert_uint_ge(snapshot->soa.serial, last);
		last = snapshot->soa.serial;
		if (held == NULL) {
			held = snapshot_pin(snapshot);
		}
		rcu_read_unlock();
		if (last >= held->soa.serial + 2) {
			assert_whole(held);
			snapshot_unpin(held);
			held = NULL;
		}
	}
	snapshot_unpin(held);
	rcu_unregister_thread();
	return unused;
}

static difference_t *next_version(uint32_t serial)
{
	difference_maker_t maker = { 0 };
	difference_t *difference = NULL;
	for (uint32_t is_added = 0; is_added < 2; is_added++) {
		char text[64];
		sprintf(text, "@ SOA ns1 host %u 1800 900 604800 300\n", serial + is_added);
		put_side(&maker, text);
		for (unsigned i = 0; i < READER_NAMES; i++) {
			const uint8_t label[] = { 1, 'a' + i };
			uint8_t rdata[4];
			knot_wire_write_u32(rdata, serial + is_added);
			ck_assert_int_eq(difference_maker_put(&maker, label, 2, KNOT_RRTYPE_A, 60, rdata, 4), KNOT_EOK);
		}
		if (!is_added) {
			difference_maker_turn(&maker);
		}
	}
	ck_assert_int_eq(difference_maker_finish(&maker, &difference), KNOT_EOK);
	return difference;
}

/*! \brief What the worker does with an increment; before that, some that come to nothing. */
static void publish_next(uint32_t serial)
{
	difference_t *difference = next_version(serial);
	difference_t *const twice[] = { difference, difference };
	char error[AMEND_ERROR_MAX];
	snapshot_t *draft = NULL;
	snapshot_t *base = shared_zone->current; /* nobody else publishes */
	if (serial % 4 == 0) {
		snapshot_discard(amended(base, twice, 1));
	}
	if (serial % 4 == 1) {
		ck_assert_int_eq(amend(base, twice, 2, &no_limits, &draft, error), KNOT_ENOENT);
	}
	zone_publish(shared_zone, amended(base, twice, 1), 0);
	difference_release(difference);
}

START_TEST(test_readers)
{
	pthread_t reader[READERS];
	const uint32_t versions = support_is_full() ? 20000 : 300;
	uint8_t name[WIRE_NAME_MAX];
	(void)support_name(ZONE, name);
	ck_assert_int_eq(zone_attach(name, NULL, &shared_zone), KNOT_EOK);
	zone_publish(shared_zone, support_zone(ZONE, SOA("1") "@ NS a\na A 0.0.0.1\nb A 0.0.0.1\nc A 0.0.0.1\nd A 0.0.0.1\n"
	                                       "e A 0.0.0.1\nf A 0.0.0.1\ng A 0.0.0.1\nh A 0.0.0.1\n"), 0);
	__atomic_store_n(&is_done, false, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < READERS; i++) {
		ck_assert_int_eq(pthread_create(&reader[i], NULL, read_versions, NULL), 0);
	}
	for (uint32_t serial = 1; serial <= versions; serial++) {
		publish_next(serial);
	}
	__atomic_store_n(&is_done, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(reader[i], NULL);
	}
	rcu_barrier();
	rcu_barrier();

	snapshot_t *copy = NULL;
	ck_assert_int_eq(amend_compact(shared_zone->current, &copy), KNOT_EOK);
	ck_assert_uint_eq(arena_stats(shared_zone->current->arena).used, arena_stats(copy->arena).used);
	snapshot_discard(copy);
	zone_publish(shared_zone, NULL, 0);
	zone_detach(shared_zone, NULL);
	zone_release(shared_zone);
	rcu_barrier();
}
END_TEST

/* At random */

typedef struct {
	uint8_t owner;                    /*!< Place in \a owners. */
	uint16_t type, covered;
	uint32_t ttl;
	uint16_t len;
	uint8_t rdata[96];
} model_record_t;

#define MODEL_MAX 400

/*! A zone as a list. */
typedef struct {
	size_t count;
	model_record_t record[MODEL_MAX];
	uint32_t serial, soa_ttl;
} model_t;

static const char *const names[] = {
	"", "a", "b", "c", "x.a", "y.a", "z.y.a", "*", "*.b", "q.*.b", "*.x.a", "d.e.f", "g.d.e.f", "sub", "ns.sub", "deep.ns.sub",
	"delegated", "unsigned.delegated", "_25._tcp.a", "1", "2.1", "\\255\\000", "long-label-to-fill-the-line-of-a-name-0123456789.b",
	"alias1", "alias2.x", "*.aliases", "dname1", "n1", "n2", "n3", "n4", "n5",
};

#define NAMES    (sizeof(names) / sizeof(names[0]))
#define HASHES   (2 * NAMES + 2)
#define OWNERS   (NAMES + HASHES)
_Static_assert(NAMES % 2 == 0, "an odd owner is in the chain with one iteration");

/*! Names, then their hashes in two chains, then two that are nobody's. Relative. */
static struct {
	uint8_t len;
	uint8_t labels[WIRE_NAME_MAX];
} owners[OWNERS];

static uint8_t apex[WIRE_NAME_MAX];
static size_t apex_len;

static unsigned below(unsigned max)
{
	return random() % max;
}

static void owners_init(void)
{
	apex_len = support_name(ZONE, apex);
	for (size_t i = 0; i < NAMES; i++) {
		char text[256];
		uint8_t full[WIRE_NAME_MAX];
		sprintf(text, "%s%s" ZONE, names[i], names[i][0] != '\0' ? "." : "");
		const size_t len = support_name(text, full);
		owners[i].len = len - apex_len;
		memcpy(owners[i].labels, full, owners[i].len);
		for (unsigned chain = 0; chain < 2; chain++) {
			uint8_t *owner = owners[NAMES + 2 * i + chain].labels;
			char label[33];
			hash_label(full, len, chain, label);
			owners[NAMES + 2 * i + chain].len = 33;
			*owner = 32;
			memcpy(owner + 1, label, 32);
		}
	}
	for (size_t i = OWNERS - 2; i < OWNERS; i++) {
		owners[i].len = 33;
		memset(owners[i].labels, i % 2 ? 'c' : '3', 33);
		owners[i].labels[0] = 32;
	}
}

static bool is_alias(unsigned owner)
{
	return owner < NAMES && strstr(names[owner], "alias") != NULL;
}

/*! \brief Writes the name of some owner, in some case, in full. */
static size_t random_name(uint8_t *dst)
{
	const unsigned owner = below(NAMES);
	memcpy(dst, owners[owner].labels, owners[owner].len);
	memcpy(dst + owners[owner].len, apex, apex_len);
	const size_t len = owners[owner].len + apex_len;
	for (size_t i = 0; i < len && below(8) == 0; i++) {
		dst[i] ^= dst[i] >= 'a' && dst[i] <= 'z' ? 0x20 : 0;
	}
	return len;
}

static void random_rdata(model_record_t *record)
{
	uint8_t *rdata = record->rdata;
	switch (record->type) {
	case KNOT_RRTYPE_NS:
	case KNOT_RRTYPE_PTR:
	case KNOT_RRTYPE_CNAME:
	case KNOT_RRTYPE_DNAME:
		record->len = random_name(rdata);
		break;
	case KNOT_RRTYPE_MX:
		memset(rdata, 0, 2);
		record->len = 2 + random_name(rdata + 2);
		break;
	case KNOT_RRTYPE_RRSIG:
		memset(rdata, 0, 18);
		knot_wire_write_u16(rdata, record->covered);
		record->len = 18 + random_name(rdata + 18);
		rdata[record->len++] = below(3);
		break;
	case KNOT_RRTYPE_NSEC:
		record->len = random_name(rdata);
		memcpy(rdata + record->len, "\0\1\x40", 3);
		record->len += 3;
		break;
	case KNOT_RRTYPE_NSEC3PARAM:
		record->len = 7;
		memcpy(rdata, "\1\0\0\0\2\xAA\xBB", 7);
		rdata[3] = below(2);
		break;
	case KNOT_RRTYPE_NSEC3:
		record->len = 31;
		memcpy(rdata, "\1\1\0\0\2\xAA\xBB\x14", 8);
		rdata[3] = record->owner % 2;
		memset(rdata + 8, below(4), 20);
		memcpy(rdata + 28, "\0\1\x40", 3);
		break;
	case KNOT_RRTYPE_DS:
		record->len = 5 + below(20);
		memset(rdata, below(5), record->len);
		break;
	default:
		record->len = record->type == KNOT_RRTYPE_A ? 4 : record->type == KNOT_RRTYPE_AAAA ? 16 : below(20);
		memset(rdata, 'a' + below(5), record->len);
		if (record->type == KNOT_RRTYPE_TXT) {
			rdata[0] = record->len = record->len + 1;
			rdata[0]--;
		}
		break;
	}
	ck_assert_uint_le(record->len, sizeof(record->rdata));
}

static model_record_t random_record(void)
{
	static const uint16_t types[] = {
		KNOT_RRTYPE_A, KNOT_RRTYPE_A, KNOT_RRTYPE_AAAA, KNOT_RRTYPE_TXT, KNOT_RRTYPE_NS, KNOT_RRTYPE_MX, KNOT_RRTYPE_PTR,
		KNOT_RRTYPE_DS, KNOT_RRTYPE_NSEC, KNOT_RRTYPE_RRSIG, KNOT_RRTYPE_RRSIG, KNOT_RRTYPE_NSEC3PARAM, 65280,
	};
	model_record_t record = { .owner = below(OWNERS) };
	record.type = types[below(sizeof(types) / sizeof(types[0]))];
	record.covered = below(5) == 0 ? KNOT_RRTYPE_SOA : types[below(9)];
	if (record.owner >= NAMES) {
		const bool is_sig = below(4) == 0;
		record.type = is_sig ? KNOT_RRTYPE_RRSIG : KNOT_RRTYPE_NSEC3;
		record.covered = KNOT_RRTYPE_NSEC3;
	} else if (is_alias(record.owner) && record.type != KNOT_RRTYPE_NSEC && record.type != KNOT_RRTYPE_RRSIG) {
		record.type = KNOT_RRTYPE_CNAME;
	} else if (strcmp(names[record.owner], "dname1") == 0 && below(2) == 0) {
		record.type = KNOT_RRTYPE_DNAME;
	} else if (record.type == KNOT_RRTYPE_NSEC3PARAM) {
		record.owner = 0;
	}
	if (record.type != KNOT_RRTYPE_RRSIG) {
		record.covered = 0;
	}
	random_rdata(&record);
	return record;
}

static bool is_rrset(const model_record_t *a, const model_record_t *b)
{
	return a->owner == b->owner && a->type == b->type && a->covered == b->covered;
}

static bool is_record(const model_record_t *a, const model_record_t *b)
{
	return is_rrset(a, b) && wire_rdata_compare(a->type, a->rdata, a->len, b->rdata, b->len) == 0;
}

static bool is_exactly(const model_record_t *a, const model_record_t *b)
{
	return is_rrset(a, b) && a->ttl == b->ttl && a->len == b->len && memcmp(a->rdata, b->rdata, a->len) == 0;
}

static void model_drop(model_t *model, size_t at)
{
	model->record[at] = model->record[--model->count];
}

/*! \brief Adds a record with the TTL of its RRset, unless it is there, or another one where there is one at most. */
static void model_add(model_t *model, model_record_t record)
{
	const bool is_single = record.type == KNOT_RRTYPE_CNAME || record.type == KNOT_RRTYPE_DNAME;
	record.ttl = 30 * (1 + below(3));
	for (size_t i = 0; i < model->count; i++) {
		if (!is_rrset(&model->record[i], &record)) {
			continue;
		}
		if (is_single || is_record(&model->record[i], &record)) {
			return;
		}
		record.ttl = model->record[i].ttl;
	}
	if (model->count < MODEL_MAX) {
		model->record[model->count++] = record;
	}
}

static bool is_fixed(const model_record_t *record)
{
	return record->owner == 0 && record->type == KNOT_RRTYPE_NS;
}

static void model_drop_random(model_t *model)
{
	const size_t at = below(model->count);
	if (!is_fixed(&model->record[at])) {
		model_drop(model, at);
	}
}

static void model_drop_owner(model_t *model)
{
	const uint8_t owner = model->record[below(model->count)].owner;
	for (size_t i = model->count; i-- > 0;) {
		if (model->record[i].owner == owner && !is_fixed(&model->record[i])) {
			model_drop(model, i);
		}
	}
}

static void model_change_ttl(model_t *model)
{
	const model_record_t record = model->record[below(model->count)];
	const uint32_t ttl = 30 * (1 + below(3));
	for (size_t i = 0; i < model->count; i++) {
		if (is_rrset(&model->record[i], &record)) {
			model->record[i].ttl = ttl;
		}
	}
}

static void model_change_case(model_t *model)
{
	model_record_t *record = &model->record[below(model->count)];
	if (record->type == KNOT_RRTYPE_NS || record->type == KNOT_RRTYPE_MX || record->type == KNOT_RRTYPE_CNAME) {
		uint8_t *last = &record->rdata[record->len - 2];
		*last ^= *last >= 'A' ? 0x20 : 0;
	}
}

static void model_change(model_t *model, unsigned changes)
{
	while (changes-- > 0) {
		switch (below(12)) {
		case 0:
			model_change_ttl(model);
			break;
		case 1:
			model_change_case(model);
			break;
		case 2:
			model_drop_owner(model);
			break;
		case 3:
		case 4:
		case 5:
			model_drop_random(model);
			break;
		default:
			model_add(model, random_record());
			break;
		}
	}
	model->soa_ttl = below(8) == 0 ? below(1000) : model->soa_ttl;
	model->serial += 1 + (below(4) == 0 ? below(0x7FFFFFFF) : below(9));
}

static size_t model_soa(const model_t *model, uint8_t *dst)
{
	memcpy(dst, apex, apex_len);
	memcpy(dst + apex_len, apex, apex_len);
	uint8_t *fixed = dst + 2 * apex_len;
	for (unsigned i = 0; i < 5; i++) {
		knot_wire_write_u32(fixed + 4 * i, i == 0 ? model->serial : model->serial % 1000 + i);
	}
	return 2 * apex_len + 20;
}

static snapshot_t *model_zone(const model_t *model)
{
	uint8_t full[2 * WIRE_NAME_MAX];
	snapshot_t *snapshot = NULL;
	builder_t *builder = builder_new(apex, &no_limits);
	ck_assert_ptr_nonnull(builder);
	const size_t len = model_soa(model, full);
	ck_assert_int_eq(builder_add(builder, apex, apex_len, KNOT_RRTYPE_SOA, model->soa_ttl, full, len), KNOT_EOK);
	for (size_t i = 0; i < model->count; i++) {
		const model_record_t *r = &model->record[i];
		memcpy(full, owners[r->owner].labels, owners[r->owner].len);
		memcpy(full + owners[r->owner].len, apex, apex_len);
		ck_assert_int_eq(builder_add(builder, full, owners[r->owner].len + apex_len, r->type, r->ttl, r->rdata, r->len),
		                 KNOT_EOK);
	}
	ck_assert_int_eq(builder_finish(builder, &snapshot), KNOT_EOK);
	return snapshot;
}

/*! \brief Puts the SOA, and what \a with has and \a without has not, in any order. */
static void put_model_side(difference_maker_t *maker, const model_t *with, const model_t *without)
{
	static model_record_t side[MODEL_MAX];
	uint8_t soa[2 * WIRE_NAME_MAX];
	const size_t soa_len = model_soa(with, soa);
	ck_assert_int_eq(difference_maker_put(maker, NULL, 0, KNOT_RRTYPE_SOA, with->soa_ttl, soa, soa_len), KNOT_EOK);
	size_t count = 0;
	for (size_t i = 0; i < with->count; i++) {
		bool is_there = false;
		for (size_t j = 0; j < without->count && !is_there; j++) {
			is_there = is_exactly(&with->record[i], &without->record[j]);
		}
		if (!is_there) {
			side[count++] = with->record[i];
		}
	}
	while (count > 0) {
		const size_t at = below(count);
		const model_record_t *r = &side[at];
		ck_assert_int_eq(difference_maker_put(maker, owners[r->owner].labels, owners[r->owner].len, r->type, r->ttl, r->rdata,
		                                      r->len), KNOT_EOK);
		side[at] = side[--count];
	}
}

static difference_t *model_difference(const model_t *old, const model_t *new)
{
	difference_maker_t maker = { 0 };
	difference_t *difference = NULL;
	put_model_side(&maker, old, new);
	difference_maker_turn(&maker);
	put_model_side(&maker, new, old);
	ck_assert_int_eq(difference_maker_finish(&maker, &difference), KNOT_EOK);
	ck_assert(difference_is_sound(difference));
	return difference;
}

/*! Versions that somebody holds, and what they are like. */
#define PINS 6

static struct {
	snapshot_t *snapshot;
	char *dump;
} pins[PINS];

static void drop_pin(unsigned i)
{
	if (pins[i].snapshot == NULL) {
		return;
	}
	char *dump = support_dump(pins[i].snapshot);
	ck_assert_str_eq(dump, pins[i].dump);
	free(dump);
	free(pins[i].dump);
	snapshot_unpin(pins[i].snapshot);
	pins[i].snapshot = NULL;
}

static void change_pin(snapshot_t *snapshot)
{
	const unsigned i = below(PINS);
	drop_pin(i);
	if (below(2) == 0) {
		pins[i].snapshot = snapshot_pin(snapshot);
		pins[i].dump = support_dump(snapshot);
	}
}

#define SEQUENCES 4

/*! \brief Tries what must fail: one of the sequences is left out or comes twice. */
static void try_wrong(snapshot_t *base, difference_t *const *difference, size_t count)
{
	rcu_barrier(); /* else versions before it may die meanwhile */
	const arena_stats_t before = arena_stats(base->arena);
	difference_t *wrong[SEQUENCES + 1];
	size_t wrong_count = 0;
	const size_t at = below(count);
	const bool is_twice = below(2) == 0;
	for (size_t i = 0; i < count; i++) {
		if (i != at || is_twice) {
			wrong[wrong_count++] = difference[i];
		}
		if (i == at && is_twice) {
			wrong[wrong_count++] = difference[i];
		}
	}
	if (wrong_count == 0 || (!is_twice && at == count - 1)) {
		return;
	}
	char error[AMEND_ERROR_MAX];
	snapshot_t *draft = NULL;
	ck_assert_int_eq(amend(base, wrong, wrong_count, &no_limits, &draft, error), KNOT_ENOENT);
	const arena_stats_t after = arena_stats(base->arena);
	assert_stats(&after, &before);
}

/*! \brief Is the computed difference, applied to the same base, the same version? */
static void assert_computed(snapshot_t *base, const snapshot_t *expected)
{
	difference_t *computed = NULL;
	ck_assert_int_eq(difference_compute(base, expected, 0, &computed), KNOT_EOK);
	ck_assert(difference_is_sound(computed));
	rcu_barrier();
	const arena_stats_t before = arena_stats(base->arena);
	snapshot_t *draft = amended(base, &computed, 1);
	assert_same(draft, expected);

	/* From one arena as from two. */
	difference_t *shared = NULL;
	ck_assert_int_eq(difference_compute(base, draft, 0, &shared), KNOT_EOK);
	ck_assert_uint_eq(shared->size, computed->size);
	ck_assert_mem_eq(shared->octets, computed->octets, shared->size);
	difference_release(shared);

	snapshot_discard(draft);
	const arena_stats_t after = arena_stats(base->arena);
	assert_stats(&after, &before);
	difference_release(computed);
}

/*! \brief Takes the zone a few sequences further; returns its new version, for which \a base is given up. */
static snapshot_t *random_step(snapshot_t *base, model_t *model)
{
	static model_t next;
	difference_t *difference[SEQUENCES];
	const size_t count = 1 + below(SEQUENCES);
	for (size_t i = 0; i < count; i++) {
		next = *model;
		model_change(&next, below(3) == 0 ? below(60) : below(6));
		difference[i] = model_difference(model, &next);
		*model = next;
	}
	snapshot_t *expected = model_zone(model);
	if (below(4) == 0) {
		try_wrong(base, difference, count);
	}
	if (below(4) == 0) {
		assert_computed(base, expected);
	}

	snapshot_t *draft = amended(base, difference, count);
	assert_same(draft, expected);
	snapshot_commit(draft);
	snapshot_unpin(base);
	for (size_t i = 0; i < count; i++) {
		difference_release(difference[i]);
	}
	snapshot_unpin(expected);
	return draft;
}

/*! \brief When nobody holds an older version, nothing of one is left. */
static void assert_no_garbage(const snapshot_t *snapshot)
{
	snapshot_t *copy = NULL;
	rcu_barrier();
	ck_assert_int_eq(amend_compact(snapshot, &copy), KNOT_EOK);
	assert_same(copy, snapshot);
	ck_assert(!copy->chain.lost_notes);
	ck_assert_uint_eq(arena_stats(snapshot->arena).used, arena_stats(copy->arena).used);
	snapshot_discard(copy);
}

static snapshot_t *compacted(snapshot_t *snapshot)
{
	snapshot_t *copy = NULL;
	ck_assert_int_eq(amend_compact(snapshot, &copy), KNOT_EOK);
	assert_same(copy, snapshot);
	snapshot_unpin(snapshot);
	return copy;
}

static void random_zone(unsigned steps)
{
	static model_t model;
	model = (model_t) { .serial = random(), .soa_ttl = 60 };
	model_add(&model, (model_record_t) { .type = KNOT_RRTYPE_NS, .len = 1 });
	model_change(&model, below(300));
	snapshot_t *snapshot = model_zone(&model);
	for (unsigned i = 0; i < steps; i++) {
		snapshot = random_step(snapshot, &model);
		change_pin(snapshot);
		if (below(16) == 0) {
			snapshot = compacted(snapshot);
		}
	}
	for (unsigned i = 0; i < PINS; i++) {
		drop_pin((i + 3) % PINS);
	}
	assert_no_garbage(snapshot);
	support_free(snapshot);
}

START_TEST(test_random)
{
	srandom(support_seed());
	owners_init();
	const unsigned zones = support_is_full() ? 300 : 4;
	for (unsigned i = 0; i < zones; i++) {
		random_zone(i % 4 == 0 ? 60 : 15);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("amend");
	TCase *cases = tcase_create("amend");
	tcase_set_timeout(cases, 300);
	tcase_add_checked_fixture(cases, rcu_setup, rcu_teardown);
	tcase_add_loop_test(cases, test_change, 0, sizeof(change_cases) / sizeof(*change_cases));
	tcase_add_loop_test(cases, test_failure, 0, sizeof(failure_cases) / sizeof(*failure_cases));
	tcase_add_test(cases, test_limit);
	tcase_add_test(cases, test_serials);
	tcase_add_test(cases, test_sequences);
	tcase_add_test(cases, test_no_memory);
	tcase_add_test(cases, test_large_beside);
	tcase_add_test(cases, test_many);
	tcase_add_loop_test(cases, test_notes, 0, sizeof(note_cases) / sizeof(*note_cases));
	tcase_add_test(cases, test_compaction);
	tcase_add_test(cases, test_readers);
	tcase_add_test(cases, test_random);
	suite_add_tcase(suite, cases);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
