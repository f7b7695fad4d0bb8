/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Records to snapshot and back: every type, every order, every check of content, every limit.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/wire.h"
#include "support.h"

#define APEX "@ SOA ns1 host 7 1800 900 604800 300\n@ NS ns1\n"

static void rcu_setup(void)
{
	rcu_register_thread();
}

static void rcu_teardown(void)
{
	rcu_barrier();
	rcu_unregister_thread();
}

static void assert_text(const char *what, char *dump, const char *expected)
{
	ck_assert_msg(strcmp(dump, expected) == 0, "%s:\n%s\nexpected:\n%s", what, dump, expected);
	free(dump);
}

/*! \brief Builds the zone and compares it with master-file text. */
static void assert_zone(const char *apex, const char *text, const char *expected)
{
	snapshot_t *snapshot = support_zone(apex, text);
	char *lines = support_text(apex, expected);
	assert_text(apex, support_dump(snapshot), lines);
	free(lines);
	snapshot_unpin(snapshot);
}

/* Content */

static const char all_types[] =
	APEX
	"@ NS ns.elsewhere.net.\n"
	"@ DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==\n"
	"@ NSEC3PARAM 1 0 5 AABBCCDD\n"
	"@ RRSIG SOA 13 2 3600 20300101000000 20200101000000 12345 example.com. c2lnbmF0dXJl\n"
	"@ RRSIG NS 13 2 3600 20300101000000 20200101000000 12345 example.com. b3RoZXI=\n"
	"@ RRSIG NSEC3PARAM 13 2 3600 20300101000000 20200101000000 12345 example.com. b3RoZXI=\n"
	"@ CAA 0 issue \"ca.example.net\"\n"
	"@ CDS 12345 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF\n"
	"@ CDNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==\n"
	"@ CSYNC 7 3 A NS AAAA\n"
	"@ ZONEMD 7 1 1 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF\n"
	"a A 192.0.2.1\na A 192.0.2.2\na AAAA 2001:db8::1\n"
	"a HINFO \"cpu\" \"os\"\na TXT \"one\" \"two\"\na TXT three\na RP mail.example.com. txt.example.org.\n"
	"a AFSDB 1 afs\na RT 1 rt.example.com.\na KEY 256 3 13 AQID\na LOC 50 N 14 E 200m\n"
	"a SRV 1 2 3 target\na NAPTR 1 2 \"u\" \"E2U+sip\" \"!^.*$!sip:a@b!\" .\na KX 1 kx\na CERT 1 2 3 AQID\n"
	"a APL 1:192.0.2.0/24\na SSHFP 1 1 AABB\na IPSECKEY 10 1 2 192.0.2.38 AQNRU3mG\na DHCID AQID\n"
	"a TLSA 1 1 1 AABB\na SMIMEA 1 1 1 AABB\na OPENPGPKEY AQID\na SVCB 1 svc alpn=h2\na HTTPS 0 other.\n"
	"a SPF \"v=spf1\"\na NID 1 0014:4fff:ff20:ee64\na L32 1 1.2.3.4\na L64 1 2001:0DB8:1140:1000\na LP 1 lp\n"
	"a EUI48 00-00-5e-00-53-2a\na EUI64 00-00-5e-ef-10-00-00-2a\na URI 1 2 \"http://x\"\n"
	"a TYPE65280 \\# 3 010203\na TYPE65281 \\# 0\n"
	"b CNAME a\nb RRSIG CNAME 13 3 3600 20300101000000 20200101000000 1 example.com. b3RoZXI=\nb NSEC c A\n"
	"c DNAME elsewhere.org.\n"
	"d PTR a\nd PTR a.d\nd PTR b.d\nd MINFO a.d b.a.d\nd MX 10 mx\nd MX 20 mx2\nd MX 30 mx.mx2\n"
	"d TYPE7 \\# 5 0161016400\n"
	"sub NS ns.sub\nsub NS ns2.sub\nsub DS 1 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF\n"
	"ns.sub A 192.0.2.3\nns2.sub AAAA 2001:db8::2\n"
	"*.w MX 10 m.w\n*.w MX 20 m2.w\n"
	"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 1 12 AABBCCDD 2t7b4g4vsa5smi47k61mv5bv1a22bojr MX DNSKEY NS\n"
	"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom RRSIG NSEC3 13 3 3600 20300101000000 20200101000000 1 example.com. b3RoZXI=\n"
	"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom TXT \"beside\"\n";

START_TEST(test_all_types)
{
	assert_zone("example.com", all_types, all_types);
	assert_zone(".", "@ SOA a.root host 1 2 3 4 5\n@ NS a.root\n@ NS b.root\norg NS a.org\norg NS b.a.org\n",
	            "@ SOA a.root host 1 2 3 4 5\n@ NS a.root\n@ NS b.root\norg NS a.org\norg NS b.a.org\n");
}
END_TEST

typedef struct {
	const char *what;
	const char *text;
	const char *expected;
} content_case_t;

static const content_case_t content_cases[] = {
	{ "duplicates", APEX "a A 1.1.1.1\na A 1.1.1.1\na TXT x\na A 1.1.1.1\n", APEX "a A 1.1.1.1\na TXT x\n" },
	{ "duplicates, owner again", APEX "a A 1.1.1.1\nb A 1.1.1.1\na A 1.1.1.1\n", APEX "a A 1.1.1.1\nb A 1.1.1.1\n" },
	{ "duplicates in case", APEX "a NS Ns.a\na NS ns.A\na NS nS.a\n", APEX "a NS Ns.a\n" },
	{ "octets of TXT are not folded", APEX "a TXT x\na TXT X\n", APEX "a TXT x\na TXT X\n" },
	{ "case of names kept", APEX "a SRV 1 2 3 TarGet.Org.\na MX 1 Mail.ORG.\n",
	  APEX "a SRV 1 2 3 TarGet.Org.\na MX 1 Mail.ORG.\n" },
	{ "owners folded", APEX "A A 1.1.1.1\na A 1.1.1.2\n", APEX "a A 1.1.1.1\na A 1.1.1.2\n" },
	{ "least TTL", APEX "a 30 A 1.1.1.1\na 10 A 1.1.1.2\na 20 A 1.1.1.3\na 40 TXT x\n",
	  APEX "a 10 A 1.1.1.1\na 10 A 1.1.1.2\na 10 A 1.1.1.3\na 40 TXT x\n" },
	{ "least TTL of a duplicate", APEX "a 30 A 1.1.1.1\na 10 A 1.1.1.1\n", APEX "a 10 A 1.1.1.1\n" },
	{ "least TTL, owner again", APEX "a 30 A 1.1.1.1\nb A 1.1.1.1\na 10 A 1.1.1.2\n",
	  APEX "a 10 A 1.1.1.1\na 10 A 1.1.1.2\nb A 1.1.1.1\n" },
	{ "SOA twice", APEX "a A 1.1.1.1\n@ SOA NS1 host 7 1800 900 604800 300\n",
	  "@ SOA NS1 host 7 1800 900 604800 300\n@ NS ns1\na A 1.1.1.1\n" },
	{ "SOA last", "@ NS ns1\na A 1.1.1.1\n@ SOA ns1 host 7 1800 900 604800 300\n", APEX "a A 1.1.1.1\n" },
	{ "below a cut", APEX "sub NS ns.sub\nx.sub A 1.1.1.1\nsub A 1.1.1.1\n",
	  APEX "sub NS ns.sub\nx.sub A 1.1.1.1\nsub A 1.1.1.1\n" },
	{ "CNAME and KEY", APEX "a CNAME b\na KEY 256 3 13 AQID\n", APEX "a CNAME b\na KEY 256 3 13 AQID\n" },
	{ "CNAME twice the same", APEX "a CNAME b\na CNAME B\n", APEX "a CNAME B\n" },
};

START_TEST(test_content)
{
	const content_case_t *c = &content_cases[_i];
	assert_zone("example.com", c->text, c->expected);
}
END_TEST

typedef struct {
	const char *text;
	int ret;
	const char *error;
} error_case_t;

static const error_case_t error_cases[] = {
	{ "", KNOT_EMALF, "no SOA at the zone apex" },
	{ "a A 1.1.1.1\n", KNOT_EMALF, "no SOA at the zone apex" },
	{ "@ NS ns1\n", KNOT_EMALF, "no SOA at the zone apex" },
	{ "@ SOA a b 1 2 3 4 5\n", KNOT_EMALF, "no NS at the zone apex" },
	{ "@ SOA a b 1 2 3 4 5\na NS a\n", KNOT_EMALF, "no NS at the zone apex" },
	{ APEX "@ SOA ns1 host 8 1800 900 604800 300\n", KNOT_EMALF, "more than one SOA at example.com." },
	{ APEX "a SOA ns1 host 7 1800 900 604800 300\n", KNOT_EMALF, "SOA below the zone apex at a.example.com." },
	{ APEX "example.org. A 1.1.1.1\n", KNOT_EOUTOFZONE, "record outside the zone at example.org." },
	{ APEX "com. A 1.1.1.1\n", KNOT_EOUTOFZONE, "record outside the zone at com." },
	{ APEX "aexample.com. A 1.1.1.1\n", KNOT_EOUTOFZONE, "record outside the zone at aexample.com." },
	{ APEX "a CNAME b\na A 1.1.1.1\n", KNOT_EMALF, "CNAME beside other data at a.example.com." },
	{ APEX "a CNAME b\nb A 1.1.1.1\na A 1.1.1.1\n", KNOT_EMALF, "CNAME beside other data at a.example.com." },
	{ APEX "a TXT x\na CNAME b\nb A 1.1.1.1\n", KNOT_EMALF, "CNAME beside other data at a.example.com." },
	{ APEX "@ CNAME b\n", KNOT_EMALF, "CNAME beside other data at example.com." },
	{ APEX "a CNAME b\na CNAME c\n", KNOT_EMALF, "more than one CNAME at a.example.com." },
	{ APEX "a CNAME b\nb TXT x\na CNAME c\n", KNOT_EMALF, "more than one CNAME at a.example.com." },
	{ APEX "a DNAME b\na DNAME c\n", KNOT_EMALF, "more than one DNAME at a.example.com." },
	{ APEX "a CNAME b\na DNAME c\n", KNOT_EMALF, "CNAME beside other data at a.example.com." },
	{ APEX "a TYPE2 \\# 3 010203\n", KNOT_EMALF, "malformed record at a.example.com." },
	{ APEX "a TYPE46 \\# 1 01\n", KNOT_EMALF, "malformed record at a.example.com." },
	{ "@ NS a\n@ TYPE6 \\# 31 076578616D706C6503636F6D00076578616D706C6503636F6D000102030405\n", KNOT_EMALF,
	  "malformed record at example.com." },
	{ APEX "@ TYPE6 \\# 1 00\n", KNOT_EMALF, "malformed record at example.com." },
};

START_TEST(test_error)
{
	const error_case_t *c = &error_cases[_i];
	builder_limits_t limits = { 0 };
	snapshot_t *snapshot = NULL;
	char error[1200];
	int ret = support_try("example.com", c->text, &limits, &snapshot, error);
	ck_assert_msg(ret == c->ret && strcmp(error, c->error) == 0, "case %d: %s, \"%s\"", _i, knot_strerror(ret), error);
	ck_assert_ptr_null(snapshot);
}
END_TEST

/* Order */

#define LINES_MAX 128

/*! \brief Splits text into lines; returns how many. The lines are the caller's memory \a copy. */
static size_t split_lines(char *copy, char **line)
{
	size_t count = 0;
	for (char *next = strtok(copy, "\n"); next != NULL; next = strtok(NULL, "\n")) {
		ck_assert_uint_lt(count, LINES_MAX);
		line[count++] = next;
	}
	return count;
}

START_TEST(test_shuffle)
{
	srand(support_seed());
	snapshot_t *first = support_zone("example.com", all_types);
	char *expected = support_dump(first);

	char copy[sizeof(all_types)], text[sizeof(all_types)];
	char *line[LINES_MAX];
	memcpy(copy, all_types, sizeof(copy));
	size_t count = split_lines(copy, line);
	int rounds = support_is_full() ? 1000 : 60;
	for (int round = 0; round < rounds; round++) {
		for (size_t i = count; i > 1; i--) {
			size_t other = rand() % i;
			char *swap = line[i - 1];
			line[i - 1] = line[other];
			line[other] = swap;
		}
		char *to = text;
		for (size_t i = 0; i < count; i++) {
			to = stpcpy(stpcpy(to, line[i]), "\n");
		}

		snapshot_t *snapshot = support_zone("example.com", text);
		assert_text("shuffled", support_dump(snapshot), expected);
		ck_assert_uint_eq(snapshot->records, first->records);
		ck_assert_uint_eq(snapshot->octets, first->octets);
		ck_assert_uint_eq(snapshot->wildcards, first->wildcards);
		ck_assert_uint_eq(snapshot->names.count, first->names.count);
		snapshot_unpin(snapshot);
	}
	free(expected);
	support_free(first);
}
END_TEST

/*! \brief A builder that has SOA and NS. */
static builder_t *begin_zone(const builder_limits_t *limits)
{
	uint8_t apex[WIRE_NAME_MAX];
	(void)support_name("example.com", apex);
	builder_t *builder = builder_new(apex, limits);
	ck_assert_ptr_nonnull(builder);
	ck_assert_int_eq(support_add(builder, "example.com", APEX), KNOT_EOK);
	return builder;
}

START_TEST(test_two_owners)
{
	/* The worst order: each record of another owner than the one before. */
	builder_limits_t limits = { 0 };
	builder_t *builder = begin_zone(&limits);
	uint8_t owner[2][WIRE_NAME_MAX];
	size_t owner_len = support_name("a.example.com", owner[0]);
	(void)support_name("b.example.com", owner[1]);
	for (unsigned i = 0; i < 2 * 65535; i++) {
		uint8_t rdata[4];
		knot_wire_write_u32(rdata, i * 2654435761u);
		ck_assert_int_eq(builder_add(builder, owner[i % 2], owner_len, KNOT_RRTYPE_A, 60, rdata, 4), KNOT_EOK);
	}
	snapshot_t *snapshot = NULL;
	ck_assert_int_eq(builder_finish(builder, &snapshot), KNOT_EOK);

	ck_assert_uint_eq(snapshot->records, 2 * 65535 + 2);
	ck_assert_uint_eq(snapshot->names.count, 3);
	/* Nodes that were written in vain are used again or dead: not much is left of them. */
	arena_stats_t stats = arena_stats(snapshot->arena);
	ck_assert_uint_lt(stats.used, 2 * 65535 * 6 + 1000);
	support_free(snapshot);
}
END_TEST

/* Limits */

static int add_addresses(builder_t *builder, unsigned count)
{
	uint8_t owner[WIRE_NAME_MAX];
	size_t owner_len = support_name("a.example.com", owner);
	int ret = KNOT_EOK;
	for (unsigned i = 0; i < count && ret == KNOT_EOK; i++) {
		uint8_t rdata[4];
		knot_wire_write_u32(rdata, i);
		ret = builder_add(builder, owner, owner_len, KNOT_RRTYPE_A, 60, rdata, 4);
	}
	return ret;
}

/*! \brief Ends a zone that must be refused, in finishing it. */
static void assert_refused(builder_t *builder, int expected, const char *error)
{
	snapshot_t *snapshot = NULL;
	ck_assert_int_eq(builder_finish(builder, &snapshot), expected);
	ck_assert_str_eq(builder_error(builder), error);
	ck_assert_ptr_null(snapshot);
	builder_free(builder);
}

START_TEST(test_limit_count)
{
	builder_limits_t limits = { 0 };
	builder_t *builder = begin_zone(&limits);
	ck_assert_int_eq(add_addresses(builder, 65535), KNOT_EOK);
	ck_assert_int_eq(add_addresses(builder, 10), KNOT_EOK);
	snapshot_t *snapshot = NULL;
	ck_assert_int_eq(builder_finish(builder, &snapshot), KNOT_EOK);
	ck_assert_uint_eq(snapshot->records, 65535 + 2);
	support_free(snapshot);

	builder = begin_zone(&limits);
	ck_assert_int_eq(add_addresses(builder, 65536), KNOT_EOK);
	assert_refused(builder, KNOT_EZONESIZE, "RRset too large at a.example.com.");
}
END_TEST

START_TEST(test_limit_rrset)
{
	/* 255 records of 65,535 and one of 65,279 octets, 2 more for each: 16,777,215 in all. */
	static uint8_t rdata[65535];
	uint8_t owner[WIRE_NAME_MAX];
	size_t owner_len = support_name("a.example.com", owner);
	for (unsigned more = 0; more < 2; more++) {
		builder_limits_t limits = { 0 };
		builder_t *builder = begin_zone(&limits);
		for (unsigned i = 0; i < 255; i++) {
			rdata[0] = i;
			ck_assert_int_eq(builder_add(builder, owner, owner_len, 65280, 1, rdata, 65535), KNOT_EOK);
		}
		rdata[0] = 255;
		uint16_t last = RRSET_SIZE_MAX - 255 * 65537 - 2 + more;
		ck_assert_int_eq(builder_add(builder, owner, owner_len, 65280, 1, rdata, last), KNOT_EOK);
		if (more > 0) {
			assert_refused(builder, KNOT_EZONESIZE, "RRset too large at a.example.com.");
			continue;
		}
		snapshot_t *snapshot = NULL;
		ck_assert_int_eq(builder_finish(builder, &snapshot), KNOT_EOK);
		ck_assert_uint_eq(snapshot->records, 256 + 2);
		support_free(snapshot);
	}
}
END_TEST

START_TEST(test_limit_rrsets)
{
	uint8_t owner[WIRE_NAME_MAX];
	size_t owner_len = support_name("a.example.com", owner);
	for (unsigned types = 255; types <= 256; types++) {
		builder_limits_t limits = { 0 };
		builder_t *builder = begin_zone(&limits);
		for (unsigned i = 0; i < types; i++) {
			ck_assert_int_eq(builder_add(builder, owner, owner_len, 65535 - i, 1, owner, 1), KNOT_EOK);
		}
		if (types > 255) {
			assert_refused(builder, KNOT_EZONESIZE, "too many RRsets at a.example.com.");
			continue;
		}
		snapshot_t *snapshot = NULL;
		ck_assert_int_eq(builder_finish(builder, &snapshot), KNOT_EOK);
		ck_assert_uint_eq(snapshot->records, 255 + 2);
		support_free(snapshot);
	}
}
END_TEST

/*! One owner's records are held before they are written, also those that are there already: that is bounded, too. */
START_TEST(test_limit_held)
{
	static uint8_t rdata[65535];
	static const struct {
		unsigned count;
		uint16_t len;
	} cases[] = { { (256u << 20) / sizeof(rdata), sizeof(rdata) }, { 4u << 20, 4 } };
	uint8_t owner[WIRE_NAME_MAX];
	size_t owner_len = support_name("a.example.com", owner);
	builder_limits_t limits = { 0 };
	builder_t *builder = begin_zone(&limits);
	for (unsigned i = 0; i < cases[_i].count; i++) {
		ck_assert_int_eq(builder_add(builder, owner, owner_len, 65280, 60, rdata, cases[_i].len), KNOT_EOK);
	}
	ck_assert_int_eq(builder_add(builder, owner, owner_len, 65280, 60, rdata, cases[_i].len), KNOT_EZONESIZE);
	ck_assert_str_eq(builder_error(builder), "too many records at a.example.com.");
	builder_free(builder);
}
END_TEST

START_TEST(test_limit_octets)
{
	/* SOA: 13 + 10 + 17 + 18 + 20, NS: 13 + 10 + 17. */
	const uint64_t apex_octets = 78 + 40;
	builder_limits_t limits = { .max_octets = apex_octets + 29 };
	snapshot_t *snapshot = NULL;
	char error[1200];
	ck_assert_int_eq(support_try("example.com", APEX "a A 1.1.1.1\n", &limits, &snapshot, error), KNOT_EOK);
	ck_assert_uint_eq(snapshot->octets, apex_octets + 29);
	support_free(snapshot);

	limits.max_octets--;
	ck_assert_int_eq(support_try("example.com", APEX "a A 1.1.1.1\n", &limits, &snapshot, error), KNOT_EZONESIZE);
	ck_assert_str_eq(error, "zone too large");
}
END_TEST

START_TEST(test_abandoned)
{
	builder_free(NULL);
	builder_limits_t limits = { 0 };
	builder_t *builder = begin_zone(&limits);
	ck_assert_int_eq(add_addresses(builder, 3), KNOT_EOK);
	ck_assert_int_eq(support_add(builder, "example.com", "b A 1.1.1.1\na A 1.1.1.1\nb TXT x\n"), KNOT_EOK);
	uint64_t records, octets;
	builder_progress(builder, &records, &octets);
	ck_assert_uint_eq(records, 2 + 3 + 3);
	ck_assert_uint_eq(octets, 118 + 5 * 29 + 27);
	ck_assert_str_eq(builder_error(builder), "");
	builder_free(builder);
}
END_TEST

/* What readers find */

static qp_leaf_t find_leaf(const snapshot_t *snapshot, const qp_t *qp, const char *name)
{
	uint8_t full[WIRE_NAME_MAX];
	size_t len = support_name(name, full);
	qp_key_t key;
	qp_key(&key, full, len - snapshot->apex_len);
	return qp_get(qp, &key);
}

START_TEST(test_leaves)
{
	static const struct {
		const char *name;
		uint16_t tag;
	} cases[] = {
		{ "example.com", 0 },
		{ "a.example.com", 0 },
		{ "b.example.com", NODE_CNAME | NODE_NSEC },
		{ "c.example.com", NODE_DNAME },
		{ "sub.example.com", NODE_CUT | NODE_DS },
		{ "*.w.example.com", NODE_ASTERISK },
		{ "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example.com", 0 },
	};
	snapshot_t *s = support_zone("ExAmple.com", all_types);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		qp_leaf_t leaf = find_leaf(s, &s->names, cases[i].name);
		ck_assert_msg(leaf.ref != 0 && leaf.tag == cases[i].tag, "%s: tag %x", cases[i].name, leaf.tag);
	}
	ck_assert_uint_eq(s->nsec3.count, 1);
	ck_assert_uint_eq(find_leaf(s, &s->names, "example.com").ref, s->apex_node);

	qp_leaf_t nsec3 = find_leaf(s, &s->nsec3, "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example.com");
	rrset_t rrset;
	ck_assert(rrset_find(s->nsec3.base, nsec3.ref, KNOT_RRTYPE_NSEC3, &rrset));
	ck_assert_uint_eq(rrset.sig_count, 1);
	ck_assert(!rrset_find(s->nsec3.base, nsec3.ref, KNOT_RRTYPE_TXT, &rrset));

	ck_assert_uint_eq(s->wildcards, 1);
	ck_assert(s->is_signed);
	ck_assert_uint_eq(s->soa.serial, 7);
	ck_assert_uint_eq(s->soa.refresh, 1800);
	ck_assert_uint_eq(s->soa.retry, 900);
	ck_assert_uint_eq(s->soa.expire, 604800);
	ck_assert_uint_eq(s->soa.minimum, 300);
	ck_assert_uint_eq(s->soa.ttl, 3600);
	ck_assert_mem_eq(s->apex, "\7example\3com", 13);
	ck_assert_uint_eq(s->refs, 1);
	support_free(s);
}
END_TEST

START_TEST(test_signatures)
{
#define SIGNED(owner, ttl, type) owner " " ttl " RRSIG " type " 13 2 3600 20300101000000 20200101000000 1 example.com. "
	snapshot_t *s = support_zone("example.com", APEX
		SIGNED("a", "50", "A") "AAAA\n" SIGNED("a", "40", "A") "BBBB\n" SIGNED("a", "60", "TXT") "CCCC\n" "a 30 A 1.1.1.1\n"
		SIGNED("only", "60", "A") "CCCC\n");
	qp_leaf_t a = find_leaf(s, &s->names, "a.example.com");
	rrset_t rrset;
	ck_assert(rrset_find(s->names.base, a.ref, KNOT_RRTYPE_A, &rrset));
	ck_assert_uint_eq(rrset.ttl, 30);
	ck_assert_uint_eq(rrset.count, 1);
	ck_assert_uint_eq(rrset.sig_count, 2);
	ck_assert_uint_eq(rrset.sig_ttl, 40);
	/* Signatures of what is not there are found by nobody but a transfer. */
	ck_assert(!rrset_find(s->names.base, a.ref, KNOT_RRTYPE_TXT, &rrset));
	ck_assert_uint_eq(rrset.count, 0);
	ck_assert_uint_eq(rrset.sig_count, 1);
	ck_assert(!rrset_find(s->names.base, a.ref, KNOT_RRTYPE_RRSIG, &rrset));
	ck_assert(!s->is_signed);
	ck_assert_uint_eq(s->records, 2 + 5);
	ck_assert_uint_ne(find_leaf(s, &s->names, "only.example.com").ref, 0);
	support_free(s);
}
END_TEST

START_TEST(test_order)
{
	/* Canonical order is that of names in full and folded, not of what is kept. */
	snapshot_t *s = support_zone("example.com", APEX "a NS zz.net.\na NS B.zz.net.\na NS a.example.com.\na NS C.zz.net.\n");
	rrset_t rrset;
	ck_assert(rrset_find(s->names.base, find_leaf(s, &s->names, "a.example.com").ref, KNOT_RRTYPE_NS, &rrset));
	static const char *const expected[] = { "\1a\7example\3com", "\1B\2zz\3net", "\1C\2zz\3net", "\2zz\3net" };
	uint8_t owner[WIRE_NAME_MAX], full[65535];
	size_t owner_len = support_name("a.example.com", owner);
	const uint8_t *item = rrset.items;
	for (unsigned i = 0; i < rrset.count; i++) {
		const uint8_t *rdata;
		uint16_t len;
		item = rrset_item(item, &rdata, &len);
		size_t full_len = rrset_rdata_full(&rrset, owner, owner_len, rdata, len, full);
		ck_assert_uint_eq(full_len, strlen(expected[i]) + 1);
		ck_assert_mem_eq(full, expected[i], full_len);
	}
	support_free(s);
}
END_TEST

START_TEST(test_tiny)
{
	char text[1024] = APEX;
	for (unsigned i = 0; i < 8; i++) {
		sprintf(text + strlen(text), "host%u A 192.0.2.%u\n", i, i);
	}
	snapshot_t *snapshot = support_zone("example.com", text);
	ck_assert_uint_lt(snapshot_memory(snapshot), 2500);
	support_free(snapshot);
}
END_TEST

/* Kept form against a compressing server */

/*! \brief Sends an RRset as its owner's answer: references become pointers. Returns octets of the message. */
static size_t send_rrset(uint8_t *msg, const uint8_t *owner, size_t owner_len, const rrset_t *rrset)
{
	memset(msg, 0, 12);
	memcpy(msg + 12, owner, owner_len);
	size_t owner_end = 12 + owner_len;
	size_t begin = owner_end + 4;
	size_t pos = begin;
	const uint8_t *item = rrset->items;
	for (unsigned i = 0; i < rrset->count; i++) {
		const uint8_t *rdata;
		uint16_t len;
		item = rrset_item(item, &rdata, &len);
		memcpy(msg + pos, "\xC0\x0C", 2);
		knot_wire_write_u16(msg + pos + 2, rrset->type);
		knot_wire_write_u16(msg + pos + 4, KNOT_CLASS_IN);
		knot_wire_write_u32(msg + pos + 6, rrset->ttl);
		knot_wire_write_u16(msg + pos + 10, len);
		pos += 12;
		memcpy(msg + pos, rdata, len);

		unsigned skip;
		size_t at = 0;
		unsigned names = wire_names(rrset->type, &skip);
		for (at = skip; names > 0; names--) {
			while (msg[pos + at] != 0 && msg[pos + at] < 0xC0) {
				at += msg[pos + at] + 1;
			}
			if (msg[pos + at] == 0) {
				at++;
				continue;
			}
			uint16_t ref = knot_wire_read_u16(msg + pos + at);
			size_t target = ref & WIRE_REF_INSIDE ? begin + (ref & WIRE_INSIDE_MAX) : owner_end - (ref & 0xFF);
			knot_wire_write_u16(msg + pos + at, 0xC000 | target);
			at += 2;
		}
		pos += len;
	}
	return pos;
}

static size_t random_name(uint8_t *dst, const uint8_t *apex, size_t apex_len)
{
	static const char *const labels[] = { "\1a", "\1b", "\2ns", "\4mail", "\1*" };
	size_t len = 0;
	for (unsigned n = rand() % 5; n > 0; n--) {
		const char *label = labels[rand() % 5];
		memcpy(dst + len, label, label[0] + 1);
		len += label[0] + 1;
	}
	if (rand() % 3 > 0) {
		memcpy(dst + len, apex, apex_len);
		return len + apex_len;
	}
	memcpy(dst + len, "\3net", 5);
	return len + 5;
}

/*! \brief Builds one random RRset, sends it, reads it back, and lets libknot send it too. */
static void check_random_rrset(uint16_t type, unsigned count)
{
	uint8_t apex[WIRE_NAME_MAX], owner[WIRE_NAME_MAX];
	size_t apex_len = support_name("example.com", apex);
	size_t owner_len;
	do {
		owner_len = random_name(owner, apex, apex_len);
	} while (!wire_name_within(owner, owner_len, apex, apex_len) || owner[1] == '*' || owner_len == apex_len);

	builder_limits_t limits = { 0 };
	builder_t *builder = begin_zone(&limits);
	knot_rrset_t sent;
	knot_rrset_init(&sent, owner, type, KNOT_CLASS_IN, 60);
	unsigned skip;
	unsigned names = wire_names(type, &skip);
	for (unsigned i = 0; i < count; i++) {
		uint8_t rdata[3 * WIRE_NAME_MAX] = { 0, rand() % 4 };
		size_t len = skip;
		for (unsigned n = 0; n < names; n++) {
			len += random_name(rdata + len, apex, apex_len);
		}
		ck_assert_int_eq(builder_add(builder, owner, owner_len, type, 60, rdata, len), KNOT_EOK);
		ck_assert_int_eq(knot_rrset_add_rdata(&sent, rdata, len, NULL), KNOT_EOK);
	}
	snapshot_t *s = NULL;
	ck_assert_int_eq(builder_finish(builder, &s), KNOT_EOK);

	qp_key_t key;
	qp_key(&key, owner, owner_len - apex_len);
	rrset_t rrset;
	ck_assert(rrset_find(s->names.base, qp_get(&s->names, &key).ref, type, &rrset));
	ck_assert_uint_eq(rrset.count, sent.rrs.count);
	static uint8_t msg[KNOT_WIRE_MAX_PKTSIZE];
	size_t size = send_rrset(msg, owner, owner_len, &rrset);

	size_t pos = 12 + owner_len + 4;
	knot_rdata_t *expected = sent.rrs.rdata;
	const uint8_t *item = rrset.items;
	for (unsigned i = 0; i < rrset.count; i++, expected = knot_rdataset_next(expected)) {
		static uint8_t full[65535];
		uint16_t len = knot_wire_read_u16(msg + pos + 10);
		size_t full_len = 0;
		ck_assert_int_eq(wire_rdata_read(type, msg, size, pos + 12, len, full, &full_len), KNOT_EOK);
		ck_assert_uint_eq(full_len, expected->len);
		ck_assert_mem_eq(full, expected->data, full_len);
		pos += 12 + len;

		const uint8_t *rdata;
		item = rrset_item(item, &rdata, &len);
		full_len = rrset_rdata_full(&rrset, owner, owner_len, rdata, len, full);
		ck_assert_uint_eq(full_len, expected->len);
		ck_assert_mem_eq(full, expected->data, full_len);
	}

	knot_pkt_t *pkt = knot_pkt_new(NULL, KNOT_WIRE_MAX_PKTSIZE, NULL);
	ck_assert_int_eq(knot_pkt_put_question(pkt, owner, KNOT_CLASS_IN, type), KNOT_EOK);
	ck_assert_int_eq(knot_pkt_begin(pkt, KNOT_ANSWER), KNOT_EOK);
	ck_assert_int_eq(knot_pkt_put(pkt, KNOT_COMPR_HINT_QNAME, &sent, 0), KNOT_EOK);
	ck_assert_msg(size <= pkt->size, "%zu octets, libknot %zu", size, pkt->size);
	knot_pkt_free(pkt);
	knot_rdataset_clear(&sent.rrs, NULL);
	snapshot_unpin(s);
}

START_TEST(test_sent)
{
	srand(support_seed());
	static const uint16_t types[] = { KNOT_RRTYPE_NS, KNOT_RRTYPE_MX, KNOT_RRTYPE_PTR, KNOT_RRTYPE_MINFO };
	int rounds = support_is_full() ? 20000 : 500;
	for (int i = 0; i < rounds; i++) {
		check_random_rrset(types[i % 4], 1 + rand() % (i % 50 == 0 ? 200 : 12));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("builder");
	TCase *content = tcase_create("content");
	tcase_add_checked_fixture(content, rcu_setup, rcu_teardown);
	tcase_set_timeout(content, 120);
	tcase_add_test(content, test_all_types);
	tcase_add_loop_test(content, test_content, 0, sizeof(content_cases) / sizeof(*content_cases));
	tcase_add_loop_test(content, test_error, 0, sizeof(error_cases) / sizeof(*error_cases));
	tcase_add_test(content, test_shuffle);
	tcase_add_test(content, test_two_owners);
	suite_add_tcase(suite, content);

	TCase *limits = tcase_create("limits");
	tcase_add_checked_fixture(limits, rcu_setup, rcu_teardown);
	tcase_add_test(limits, test_limit_count);
	tcase_add_test(limits, test_limit_rrset);
	tcase_add_test(limits, test_limit_rrsets);
	tcase_add_loop_test(limits, test_limit_held, 0, support_is_full() ? 2 : 1);
	tcase_add_test(limits, test_limit_octets);
	tcase_add_test(limits, test_abandoned);
	suite_add_tcase(suite, limits);

	TCase *readers = tcase_create("readers");
	tcase_add_checked_fixture(readers, rcu_setup, rcu_teardown);
	tcase_set_timeout(readers, 120);
	tcase_add_test(readers, test_leaves);
	tcase_add_test(readers, test_signatures);
	tcase_add_test(readers, test_order);
	tcase_add_test(readers, test_tiny);
	tcase_add_test(readers, test_sent);
	suite_add_tcase(suite, readers);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
