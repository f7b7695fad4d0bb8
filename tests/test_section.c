/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief RRsets put at every distance from the question, under every kind of owner.
 */

#include <stdio.h>

#include "message.h"

static const char *const zone_text =
	"@ SOA ns1 Admin.B 7 7200 900 1209600 300\n"
	"@ NS ns1\n"
	"@ NS ns2.far.test.\n"
	"@ NS ns3.far.test.\n"
	"a.b MX 10 a.b\n"
	"a.b MX 20 x.a.b\n"
	"a.b MX 30 y.b\n"
	"a.b MX 40 far.test.\n"
	"a.b MX 50 x.far.test.\n"
	"a.b MX 60 .\n"
	"a.b MINFO one.x.b two.x.b\n"
	"a.b MINFO . three.two.x.b\n"
	"a.b TXT \"text\"\n"
	"a.b SRV 0 0 1 a.b\n"
	"*.b MX 10 q.b\n"
	"*.b MX 20 *.b\n"
	"*.b MX 30 z.q.b\n";

static snapshot_t *zone;

static rrset_t find(const char *name, uint16_t type)
{
	uint8_t wire[WIRE_NAME_MAX];
	size_t len = support_name(name, wire);
	qp_key_t key;
	qp_key(&key, wire, len - zone->apex_len);
	qp_leaf_t leaf = qp_get(&zone->names, &key);
	rrset_t rrset;
	ck_assert(leaf.ref != 0 && rrset_find(zone->names.base, leaf.ref, type, &rrset));
	return rrset;
}

/*! Puts TXT records of the root until the message has \a size octets, more or less: what follows stands far away. */
static void fill(message_t *msg, size_t size)
{
	while (msg->size + 11 + 2 < size) {
		size_t len = size - msg->size - 11;
		len = len > 256 ? 256 : len;
		uint8_t *dst = msg->wire + msg->size;
		memcpy(dst, "\0\0\x10\0\1\0\0\0\0", 9);
		knot_wire_write_u16(dst + 9, len);
		dst[11] = len - 1;
		memset(dst + 12, 'x', len - 1);
		msg->size += 11 + len;
		msg->count[SECTION_ANSWER]++;
	}
}

/*! The authority section is what the text says. */
static void check_text(message_t *msg, const char *text)
{
	knot_pkt_t *pkt = response_parse(msg);
	char *found = response_text(pkt, KNOT_AUTHORITY);
	char *expected = support_text("example.", text);
	wire_name_lower((uint8_t *)expected, strlen(expected));
	ck_assert_str_eq(found, expected);
	free(found);
	free(expected);
	knot_pkt_free(pkt);
}

#define MX_TEXT(owner) owner " MX 10 a.b\n" owner " MX 20 x.a.b\n" owner " MX 30 y.b\n" owner " MX 40 far.test.\n" \
                       owner " MX 50 x.far.test.\n" owner " MX 60 .\n"
#define WILD_TEXT(owner) owner " MX 10 q.b\n" owner " MX 20 *.b\n" owner " MX 30 z.q.b\n"

/*! How the owner is placed. */
typedef enum {
	QNAME,                    /* In the question. */
	ALIAS,                    /* A name in RDATA before, as an alias leaves it. */
	EXPANDED,                 /* A wildcard under QNAME. */
	EXPANDED_ALIAS,           /* A wildcard under a name in RDATA before. */
	LITERAL,                  /* A wildcard under its own name. */
	LITERAL_ALIAS,            /* The same, reached through an alias. */
} owner_t;

static const struct {
	owner_t owner;
	const char *qname;
	const char *name;         /* Kept. */
	uint16_t type;
	const char *text;
} cases[] = {
	{ QNAME, "a.B.example.", "a.b.example.", KNOT_RRTYPE_MX, MX_TEXT("a.b") },
	{ QNAME, "a.b.example.", "a.b.example.", KNOT_RRTYPE_MINFO, "a.b MINFO one.x.b two.x.b\na.b MINFO . three.two.x.b\n" },
	{ QNAME, "a.b.example.", "a.b.example.", KNOT_RRTYPE_TXT, "a.b TXT \"text\"\n" },
	{ QNAME, "a.b.example.", "a.b.example.", KNOT_RRTYPE_SRV, "a.b SRV 0 0 1 a.b\n" },
	{ QNAME, "a.b.example.", "example.", KNOT_RRTYPE_SOA, "@ SOA ns1 admin.b 7 7200 900 1209600 300\n" },
	{ QNAME, "a.b.example.", "example.", KNOT_RRTYPE_NS, "@ NS ns1\n@ NS ns2.far.test.\n@ NS ns3.far.test.\n" },
	{ ALIAS, "q.example.", "a.b.example.", KNOT_RRTYPE_MX, MX_TEXT("a.b") },
	{ ALIAS, "q.example.", "a.b.example.", KNOT_RRTYPE_MINFO, "a.b MINFO one.x.b two.x.b\na.b MINFO . three.two.x.b\n" },
	{ ALIAS, "q.example.", "a.b.example.", KNOT_RRTYPE_TXT, "a.b TXT \"text\"\n" },
	{ EXPANDED, "m.n.b.example.", "*.b.example.", KNOT_RRTYPE_MX, WILD_TEXT("m.n.b") },
	{ EXPANDED_ALIAS, "q.example.", "*.b.example.", KNOT_RRTYPE_MX, WILD_TEXT("m.n.b") },
	{ LITERAL, "m.n.b.example.", "*.b.example.", KNOT_RRTYPE_MX, WILD_TEXT("*.b") },
	{ LITERAL_ALIAS, "q.example.", "*.b.example.", KNOT_RRTYPE_MX, WILD_TEXT("*.b") },
};

/*! Writes "<qname> CNAME <name>" with the zone's name as a pointer; returns where the target stands. */
static uint16_t put_alias(message_t *msg, const char *name)
{
	uint8_t target[WIRE_NAME_MAX];
	size_t len = support_name(name, target);
	place_t qname = place_in_qname(msg, msg->qname_end - MESSAGE_HEADER);
	uint16_t begin = msg->size;
	ck_assert_int_eq(section_put_cname(msg, SECTION_ANSWER, &qname, 1, target, len - zone->apex_len,
	                                   msg->qname_end - zone->apex_len), KNOT_EOK);
	return section_rdata(msg, begin);
}

static place_t make_place(message_t *msg, owner_t owner, const char *name)
{
	uint8_t wire[WIRE_NAME_MAX];
	place_t place = place_in_qname(msg, msg->qname_end - MESSAGE_HEADER);
	if (owner == ALIAS || owner == EXPANDED_ALIAS || owner == LITERAL_ALIAS) {
		uint16_t pos = put_alias(msg, owner == ALIAS ? name : "m.n.b.example.");
		(void)section_read_name(msg, pos, wire, &place);
	}
	if (owner == QNAME) {
		place = section_suffix(msg, &place, support_name(name, wire));
	} else if (owner != ALIAS) {
		place.shared = support_name("b.example.", wire);
	}
	if (owner == LITERAL || owner == LITERAL_ALIAS) {
		place = section_suffix(msg, &place, place.shared);
		place.prefix = (const uint8_t *)"\x01*";
		place.prefix_len = 2;
	}
	return place;
}

/*! Every kind of owner, the RRset at growing distances; then with each octet less than it needs. */
static void check_case(size_t i, size_t alias_at, size_t begin)
{
	rrset_t rrset = find(cases[i].name, cases[i].type);
	message_t msg = response_begin(cases[i].qname, KNOT_RRTYPE_A, MESSAGE_MAX);
	fill(&msg, alias_at);
	place_t place = make_place(&msg, cases[i].owner, cases[i].name);
	fill(&msg, begin);

	const message_t before = msg;
	ck_assert_int_eq(section_put(&msg, SECTION_AUTHORITY, &place, &rrset, PUT_DATA, PUT_TTL_KEEP), KNOT_EOK);
	check_text(&msg, cases[i].text);
	const size_t size = msg.size;
	for (size_t limit = before.size; limit < size; limit++) {
		msg = before;
		msg.limit = limit;
		ck_assert_int_eq(section_put(&msg, SECTION_AUTHORITY, &place, &rrset, PUT_DATA, PUT_TTL_KEEP), KNOT_ESPACE);
		ck_assert_uint_eq(msg.size, before.size);
		ck_assert_uint_eq(msg.count[SECTION_AUTHORITY], 0);
	}
	free(msg.wire);
}

START_TEST(test_put)
{
	static const size_t begins[] = { 0, 0x1F00, 0x2100, 0x3F80, 0x3FC0, 0x3FE0, 0x3FF8, 0x3FFC, 0x4000, 0x5000, 0xF000 };
	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		check_case(_i, 0, begins[i]);
		check_case(_i, begins[i], 0);
	}
	/* Each place of a pointer's limit. */
	for (size_t begin = 0x3F60; begin < 0x4010; begin += support_is_full() ? 1 : 7) {
		check_case(_i, 0, begin);
	}
}
END_TEST

/*! The short way and the long one make the same octets where both can be taken. */
START_TEST(test_same)
{
	for (size_t i = 0; i < 6; i++) {
		rrset_t rrset = find(cases[i].name, cases[i].type);
		size_t size[2];
		for (unsigned far = 0; far < 2; far++) {
			message_t msg = response_begin(cases[i].qname, KNOT_RRTYPE_A, MESSAGE_MAX);
			place_t place = make_place(&msg, cases[i].owner, cases[i].name);
			fill(&msg, far ? 0x2100 : 0x1F00);
			size_t begin = msg.size;
			ck_assert_int_eq(section_put(&msg, SECTION_AUTHORITY, &place, &rrset, PUT_DATA, PUT_TTL_KEEP), KNOT_EOK);
			size[far] = msg.size - begin;
			free(msg.wire);
		}
		ck_assert_uint_eq(size[0], size[1]);
	}
}
END_TEST

START_TEST(test_ttl)
{
	rrset_t rrset = find("a.b.example.", KNOT_RRTYPE_TXT);
	static const uint32_t ttls[][2] = { { PUT_TTL_KEEP, 3600 }, { 3600, 3600 }, { 3599, 3599 }, { 0, 0 } };
	for (size_t i = 0; i < sizeof(ttls) / sizeof(ttls[0]); i++) {
		message_t msg = response_begin("a.b.example.", KNOT_RRTYPE_TXT, 512);
		place_t place = place_in_qname(&msg, 13);
		ck_assert_int_eq(section_put(&msg, SECTION_ANSWER, &place, &rrset, PUT_DATA | PUT_SIGS, ttls[i][0]), KNOT_EOK);
		knot_pkt_t *pkt = response_parse(&msg);
		ck_assert_uint_eq(knot_pkt_rr(knot_pkt_section(pkt, KNOT_ANSWER), 0)->ttl, ttls[i][1]);
		knot_pkt_free(pkt);
		free(msg.wire);
	}
}
END_TEST

/*! Names are read back from labels and chains of pointers, and know where their last part stands in full. */
START_TEST(test_names)
{
	message_t msg = response_begin("Ab.Example.", KNOT_RRTYPE_A, 512);
	uint8_t *wire = msg.wire;
	memcpy(wire + 40, "\1X\xC0\x0C" "\1y\xC0\x28" "\xC0\x2C" "\1x\2AB\7example", 24);
	static const struct {
		uint16_t pos;
		const char *name;
		place_t place;
	} names[] = {
		{ 12, "ab.example.", { .pos = 12, .end = 24, .common = 12, .len = 12, .shared = 12 } },
		{ 15, "example.", { .pos = 15, .end = 24, .common = 9, .len = 9, .shared = 9 } },
		{ 23, ".", { .pos = 23, .end = 24, .common = 1, .len = 1, .shared = 1 } },
		{ 40, "x.ab.example.", { .pos = 40, .end = 24, .common = 12, .len = 14, .shared = 14 } },
		{ 44, "y.x.ab.example.", { .pos = 44, .end = 24, .common = 12, .len = 16, .shared = 16 } },
		{ 48, "y.x.ab.example.", { .pos = 44, .end = 24, .common = 12, .len = 16, .shared = 16 } },
		{ 50, "x.ab.example.", { .pos = 50, .end = 64, .common = 14, .len = 14, .shared = 14 } },
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		uint8_t name[WIRE_NAME_MAX], expected[WIRE_NAME_MAX];
		place_t place;
		size_t len = support_name(names[i].name, expected);
		ck_assert_uint_eq(section_read_name(&msg, names[i].pos, name, &place), len);
		ck_assert_mem_eq(name, expected, len);
		ck_assert_uint_eq(place.pos, names[i].place.pos);
		ck_assert_uint_eq(place.end, names[i].place.end);
		ck_assert_uint_eq(place.common, names[i].place.common);
		ck_assert_uint_eq(place.len, names[i].place.len);
		ck_assert_uint_eq(place.shared, names[i].place.shared);
	}
	ck_assert(section_same_name(&msg, 40, 50));
	ck_assert(section_same_name(&msg, 44, 48));
	ck_assert(!section_same_name(&msg, 40, 44));
	ck_assert(!section_same_name(&msg, 12, 15));
	ck_assert(!section_same_name(&msg, 23, 15));

	place_t place;
	uint8_t name[WIRE_NAME_MAX];
	(void)section_read_name(&msg, 48, name, &place);
	ck_assert_uint_eq(section_suffix(&msg, &place, 16).pos, 44);
	ck_assert_uint_eq(section_suffix(&msg, &place, 14).pos, 40);
	ck_assert_uint_eq(section_suffix(&msg, &place, 14).common, 12);
	ck_assert_uint_eq(section_suffix(&msg, &place, 9).pos, 15);
	ck_assert_uint_eq(section_suffix(&msg, &place, 9).common, 9);
	free(msg.wire);
}
END_TEST

static void enter(void)
{
	rcu_register_thread();
	zone = support_zone("example.", zone_text);
}

static void leave(void)
{
	support_free(zone);
	rcu_unregister_thread();
}

int main(void)
{
	TCase *tcase = tcase_create("section");
	tcase_add_checked_fixture(tcase, enter, leave);
	tcase_add_loop_test(tcase, test_put, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, test_same);
	tcase_add_test(tcase, test_ttl);
	tcase_add_test(tcase, test_names);

	Suite *suite = suite_create("section");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
