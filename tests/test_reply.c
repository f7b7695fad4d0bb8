/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of reply.h: what is accepted of a reply, and that it is sent as it came.
 */
#include <stdio.h>

#include "message.h"
#include "resolver_reply.h"
#include "secondary/reply.h"

#define SIG "5 2 300 20300101000000 20200101000000 1 "
/*! As a wildcard just below a top-level domain has it. */
#define WILD_SIG "5 1 300 20300101000000 20200101000000 1 "
#define SOA "t. 300 SOA ns.t. admin.t. 1 2 3 4 60\n"
#define SOA_SENT "t. 60 SOA ns.t. admin.t. 1 2 3 4 60\n"
#define NSEC3_OF_T "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.t. 200 NSEC3 1 0 0 - 2p9mhaveqvm6t7vbl5lop2u3t2rp3tom A\n"

/*! An alias that a wildcard has made, and what signs it; and without that. */
#define WILD(name, zone, target) name " 300 CNAME " target "\n" name " 300 RRSIG CNAME " WILD_SIG zone " AAAA\n"
#define PLAIN(name, target)      name " 300 CNAME " target "\n"
#define WILD_A(name, zone)       name " 300 A 192.0.2.1\n" name " 300 RRSIG A " WILD_SIG zone " AAAA\n"
#define PLAIN_A(name)            name " 300 A 192.0.2.1\n"

#define ONE_ZONE WILD("www.t.", "t.", "a.t.") WILD("a.t.", "t.", "b.t.") WILD("b.t.", "t.", "c.t.") WILD("c.t.", "t.", "d.u.") WILD_A("d.u.", "u.")
#define ONE_ZONE_PLAIN PLAIN("www.t.", "a.t.") PLAIN("a.t.", "b.t.") PLAIN("b.t.", "c.t.") PLAIN("c.t.", "d.u.") PLAIN_A("d.u.")
#define MANY_ZONES WILD("www.t.", "t.", "b.u.") WILD("b.u.", "u.", "b.v.") WILD("b.v.", "v.", "b.w.") WILD("b.w.", "w.", "b.x.") WILD_A("b.x.", "x.")
#define MANY_ZONES_PLAIN PLAIN("www.t.", "b.u.") PLAIN("b.u.", "b.v.") PLAIN("b.v.", "b.w.") PLAIN("b.w.", "b.x.") PLAIN_A("b.x.")

/*! A reply to "www.t. A", and what is to stand in our answer behind the alias "a.example. CNAME www.t.". */
typedef struct {
	const char *what;
	unsigned rcode;
	const char *answer, *authority;
	int ret;
	reply_kind_t kind;
	uint32_t ttl;
	const char *sent, *denial;            /*!< NULL: as it came, nothing. */
	const char *sent_do, *denial_do;      /*!< With DO; NULL: as without. */
} case_t;

static const case_t cases[] = {
	{ "found", 0, "www.t. 300 A 192.0.2.1\nwww.t. 200 A 192.0.2.2\n", "", KNOT_EOK, REPLY_FOUND, 200 },
	{ "case of names does not matter", 0, "WWW.t. 300 CNAME Web.T.\nwEB.t. 300 A 192.0.2.1\n", "", KNOT_EOK, REPLY_FOUND, 300,
	  "www.t. 300 CNAME web.t.\nweb.t. 300 A 192.0.2.1\n" },
	{ "chain out of order", 0, "b.u. 50 A 192.0.2.1\na.t. 60 CNAME b.u.\nwww.t. 70 CNAME a.t.\n", "", KNOT_EOK, REPLY_FOUND, 50 },
	{ "signed", 0, "www.t. 300 A 192.0.2.1\nwww.t. 300 RRSIG A " SIG "t. AAAA\nwww.t. 300 RRSIG AAAA " SIG "t. AAAA\n", "",
	  KNOT_EOK, REPLY_FOUND, 300, "www.t. 300 A 192.0.2.1\n", NULL, "www.t. 300 A 192.0.2.1\nwww.t. 300 RRSIG A " SIG "t. AAAA\n" },
	{ "made by a wildcard", 0, "www.t. 300 A 192.0.2.1\nwww.t. 300 RRSIG A " WILD_SIG "t. AAAA\n",
	  "t. 300 NS ns.t.\nv.t. 200 NSEC x.t. A\nv.t. 200 RRSIG NSEC " SIG "t. AAAA\nv.u. 200 NSEC x.u. A\n", KNOT_EOK, REPLY_FOUND, 200,
	  "www.t. 300 A 192.0.2.1\n", NULL, "www.t. 300 A 192.0.2.1\nwww.t. 300 RRSIG A " WILD_SIG "t. AAAA\n",
	  "v.t. 200 NSEC x.t. A\nv.t. 200 RRSIG NSEC " SIG "t. AAAA\n" },
	{ "an alias made by a wildcard to no name", 3, "www.t. 300 CNAME x.u.\nwww.t. 300 RRSIG CNAME " WILD_SIG "t. AAAA\n",
	  "u. 60 SOA ns.u. admin.u. 1 2 3 4 60\nw.u. 60 NSEC y.u. A\nv.t. 200 NSEC x.t. A\n", KNOT_EOK, REPLY_NXDOMAIN, 60,
	  "www.t. 300 CNAME x.u.\n", "u. 60 SOA ns.u. admin.u. 1 2 3 4 60\n",
	  "www.t. 300 CNAME x.u.\nwww.t. 300 RRSIG CNAME " WILD_SIG "t. AAAA\n",
	  "u. 60 SOA ns.u. admin.u. 1 2 3 4 60\nw.u. 60 NSEC y.u. A\nv.t. 200 NSEC x.t. A\n" },
	{ "a proof of a wildcard by NSEC3", 0, "www.t. 300 A 192.0.2.1\nwww.t. 300 RRSIG A " WILD_SIG "t. AAAA\n", NSEC3_OF_T, KNOT_EOK,
	  REPLY_FOUND, 200, "www.t. 300 A 192.0.2.1\n", NULL, "www.t. 300 A 192.0.2.1\nwww.t. 300 RRSIG A " WILD_SIG "t. AAAA\n", NSEC3_OF_T },
	{ "proof of a wildcard in the wrong section", 0,
	  "www.t. 300 A 192.0.2.1\nwww.t. 300 RRSIG A " WILD_SIG "t. AAAA\nv.t. 200 NSEC x.t. A\n", "", KNOT_EOK, REPLY_FOUND, 300,
	  "www.t. 300 A 192.0.2.1\n", NULL, "www.t. 300 A 192.0.2.1\nwww.t. 300 RRSIG A " WILD_SIG "t. AAAA\n" },
	{ "wildcards of one zone, time and again", 0, ONE_ZONE, "v.t. 300 NSEC x.t. A\nc.u. 300 NSEC e.u. A\n", KNOT_EOK, REPLY_FOUND, 300,
	  ONE_ZONE_PLAIN, NULL, ONE_ZONE, "v.t. 300 NSEC x.t. A\nc.u. 300 NSEC e.u. A\n" },
	{ "wildcards of more zones than are remembered", 0, MANY_ZONES,
	  "a.t. 300 NSEC z.t. A\na.u. 300 NSEC z.u. A\na.v. 300 NSEC z.v. A\na.w. 300 NSEC z.w. A\na.x. 300 NSEC z.x. A\n", KNOT_EOK,
	  REPLY_FOUND, 300, MANY_ZONES_PLAIN, NULL, MANY_ZONES,
	  "a.t. 300 NSEC z.t. A\na.u. 300 NSEC z.u. A\na.v. 300 NSEC z.v. A\na.w. 300 NSEC z.w. A\n" },
	{ "not made by a wildcard", 0, "www.t. 300 A 192.0.2.1\nwww.t. 300 RRSIG A " SIG "t. AAAA\n", "v.t. 200 NSEC x.t. A\n",
	  KNOT_EOK, REPLY_FOUND, 300, "www.t. 300 A 192.0.2.1\n", NULL, "www.t. 300 A 192.0.2.1\nwww.t. 300 RRSIG A " SIG "t. AAAA\n" },
	{ "unrelated records", 0, "www.t. 300 A 192.0.2.1\nevil.t. 300 A 192.0.2.66\nwww.t. 300 TXT x\na.example. 300 A 192.0.2.66\n",
	  "t. 300 NS ns.evil.\n", KNOT_EOK, REPLY_FOUND, 300, "www.t. 300 A 192.0.2.1\n" },
	{ "nothing about the name", 0, "evil.t. 300 A 192.0.2.66\n", SOA, KNOT_EOK, REPLY_NODATA, 60, "",
	  "t. 60 SOA ns.t. admin.t. 1 2 3 4 60\n" },
	{ "an address in the wrong section", 0, "", "www.t. 300 A 192.0.2.66\n" SOA, KNOT_EOK, REPLY_NODATA, 60, "", SOA_SENT },
	{ "an alias in the wrong section", 0, "", "www.t. 300 CNAME evil.t.\n" SOA, KNOT_EOK, REPLY_NODATA, 60, "", SOA_SENT },
	{ "a name that is no alias", 0, "www.t. 300 NS evil.t.\nevil.t. 300 A 192.0.2.66\n", SOA, KNOT_EOK, REPLY_NODATA, 60, "", SOA_SENT },
	{ "SOA in the wrong section", 3, SOA, "", KNOT_EOK, REPLY_NXDOMAIN, REPLY_BARE_TTL, "", "" },
	{ "as long as a SOA", 3, "", "t. 300 TXT \"as long as all the numbers of a SOA\"\n", KNOT_EOK, REPLY_NXDOMAIN, REPLY_BARE_TTL, "", "" },
	{ "proofs in the wrong section", 3, "www.t. 300 NSEC x.t. A\n", SOA, KNOT_EOK, REPLY_NXDOMAIN, 60, "", SOA_SENT },
	{ "NXDOMAIN", 3, "", SOA, KNOT_EOK, REPLY_NXDOMAIN, 60, "", "t. 60 SOA ns.t. admin.t. 1 2 3 4 60\n" },
	{ "NXDOMAIN at the end of a chain", 3, "www.t. 30 CNAME x.u.\n", "u. 20 SOA ns.u. admin.u. 1 2 3 4 60\n", KNOT_EOK,
	  REPLY_NXDOMAIN, 20, "www.t. 30 CNAME x.u.\n", "u. 20 SOA ns.u. admin.u. 1 2 3 4 60\n" },
	{ "SOA of another zone", 3, "", "u. 300 SOA ns.u. admin.u. 1 2 3 4 60\n", KNOT_EOK, REPLY_NXDOMAIN, REPLY_BARE_TTL, "", "" },
	{ "SOA below the name", 0, "", "x.www.t. 300 SOA ns.u. admin.u. 1 2 3 4 60\n", KNOT_EOK, REPLY_NODATA, REPLY_BARE_TTL, "", "" },
	{ "referral", 0, "", "t. 300 NS ns.t.\n", KNOT_EOK, REPLY_NODATA, REPLY_BARE_TTL, "", "" },
	{ "proofs of the zone alone", 3, "", SOA "t. 300 RRSIG SOA " SIG "t. AAAA\nwww.t. 300 NSEC x.t. A\nwww.t. 300 RRSIG NSEC " SIG
	  "t. AAAA\nwww.u. 300 NSEC x.u. A\nt. 300 NS ns.t.\nt. 300 RRSIG NS " SIG "t. AAAA\n", KNOT_EOK, REPLY_NXDOMAIN, 60, "",
	  "t. 60 SOA ns.t. admin.t. 1 2 3 4 60\n", NULL,
	  "t. 60 SOA ns.t. admin.t. 1 2 3 4 60\nt. 60 RRSIG SOA " SIG "t. AAAA\nwww.t. 60 NSEC x.t. A\nwww.t. 60 RRSIG NSEC " SIG "t. AAAA\n" },
	{ "DNAME that makes the alias", 0, "t. 300 DNAME u.\nwww.t. 300 CNAME www.u.\nwww.u. 300 A 192.0.2.1\n", "", KNOT_EOK, REPLY_FOUND, 300 },
	{ "DNAME that does not", 0, "t. 300 DNAME v.\nwww.t. 300 CNAME www.u.\nwww.u. 300 A 192.0.2.1\n", "", KNOT_EOK, REPLY_FOUND, 300,
	  "www.t. 300 CNAME www.u.\nwww.u. 300 A 192.0.2.1\n" },
	{ "DNAME of another zone", 0, "z. 300 DNAME u.\nwww.t. 300 CNAME www.u.\nwww.u. 300 A 192.0.2.1\n", "", KNOT_EOK, REPLY_FOUND, 300,
	  "www.t. 300 CNAME www.u.\nwww.u. 300 A 192.0.2.1\n" },
	{ "DNAME at the alias itself", 0, "www.t. 300 DNAME www.u.\nwww.t. 300 CNAME www.u.\nwww.u. 300 A 192.0.2.1\n", "", KNOT_EOK,
	  REPLY_FOUND, 300, "www.t. 300 CNAME www.u.\nwww.u. 300 A 192.0.2.1\n" },
	{ "DNAME that makes another name", 0, "t. 300 DNAME u.\nwww.t. 300 CNAME wwx.u.\nwwx.u. 300 A 192.0.2.1\n", "", KNOT_EOK,
	  REPLY_FOUND, 300, "www.t. 300 CNAME wwx.u.\nwwx.u. 300 A 192.0.2.1\n" },
	{ "two aliases at one name", 0, "www.t. 300 CNAME a.t.\nwww.t. 300 CNAME b.t.\na.t. 300 A 192.0.2.1\nb.t. 300 A 192.0.2.2\n", "",
	  KNOT_EOK, REPLY_FOUND, 300, "www.t. 300 CNAME a.t.\na.t. 300 A 192.0.2.1\n" },
	{ "loop", 0, "www.t. 300 CNAME a.t.\na.t. 300 CNAME www.t.\n", "", KNOT_EOK, REPLY_LOOP, 300, "" },
	{ "loop of one", 0, "www.t. 300 CNAME www.t.\n", "", KNOT_EOK, REPLY_LOOP, 300, "" },
	{ "leads home", 0, "www.t. 300 CNAME a.t.\na.t. 300 CNAME x.home.\nx.home. 300 A 192.0.2.66\n", "", KNOT_EOK, REPLY_HOME, 300,
	  "www.t. 300 CNAME a.t.\na.t. 300 CNAME x.home.\n" },
	{ "TTL 0", 0, "www.t. 0 A 192.0.2.1\n", "", KNOT_EOK, REPLY_FOUND, 1 },
	{ "TTL with the highest bit", 0, "www.t. 4294967295 A 192.0.2.1\n", "", KNOT_EOK, REPLY_FOUND, 1, "www.t. 0 A 192.0.2.1\n" },
	{ "TTL above the bound", 0, "www.t. 900000 A 192.0.2.1\n", "", KNOT_EOK, REPLY_FOUND, 86400, "www.t. 86400 A 192.0.2.1\n" },
	{ "names in RDATA", 0, "www.t. 300 CNAME deep.er.www.t.\ndeep.er.www.t. 300 A 192.0.2.1\n", "", KNOT_EOK, REPLY_FOUND, 300 },
	{ "SERVFAIL", 2, "", "", KNOT_EDENIED },
	{ "REFUSED", 5, "www.t. 300 A 192.0.2.1\n", "", KNOT_EDENIED },
};

static bool is_home(const uint8_t *name, size_t len)
{
	return wire_name_within(name, len, (const uint8_t *)"\4home", 6);
}

static int accept_wire(const uint8_t *wire, size_t size, uint16_t type, reply_t **ret_reply)
{
	const reply_params_t params = {
		.name = (const uint8_t *)"\3www\1t", .name_len = 7, .type = type, .asked = type, .ttl_max = 86400, .is_home = is_home,
	};
	/* In memory of exactly this size, so that a sanitizer sees the first octet too many. */
	uint8_t *copy = malloc(size > 0 ? size : 1);
	memcpy(copy, wire, size);
	int ret = reply_accept(&params, copy, size, ret_reply);
	free(copy);
	return ret;
}

/*! Our response with the alias; returns the octets that the alias takes. */
static message_t begin(size_t limit, uint16_t *ret_target)
{
	message_t msg = response_begin("a.example.", KNOT_RRTYPE_A, limit);
	static const uint8_t cname[] = "\xC0\x0C\0\5\0\1\0\0\x0E\x10\0\7\3www\1t";
	memcpy(msg.wire + msg.size, cname, sizeof(cname));
	*ret_target = msg.size + 12;
	msg.size += sizeof(cname);
	msg.count[SECTION_ANSWER] = 1;
	return msg;
}

static void check_section(const knot_pkt_t *pkt, unsigned section, const char *expected)
{
	char *found = response_text(pkt, section);
	char *wanted = support_text(".", expected);
	wire_name_lower((uint8_t *)wanted, strlen(wanted));
	ck_assert_str_eq(found, wanted);
	free(found);
	free(wanted);
}

static void check_sent(const reply_t *reply, bool dnssec, const char *answer, const char *denial)
{
	uint16_t target, home;
	message_t msg = begin(4096, &target);
	const size_t before = msg.size;
	ck_assert_int_eq(reply_put(reply, &msg, target, 7, dnssec, 0, PUT_TTL_KEEP, &home), KNOT_EOK);
	knot_pkt_t *pkt = response_parse(&msg);
	char all[4096];
	snprintf(all, sizeof(all), "a.example. 3600 CNAME www.t.\n%s", answer);
	check_section(pkt, KNOT_ANSWER, all);
	check_section(pkt, KNOT_AUTHORITY, denial);
	ck_assert_uint_le(msg.size, response_knot_size(pkt));
	if (reply->kind == REPLY_HOME) {
		uint8_t name[WIRE_NAME_MAX];
		ck_assert_uint_eq(section_read_name(&msg, home, name, NULL), 8);
		ck_assert_mem_eq(name, "\1x\4home", 8);
	}
	const size_t size = msg.size;
	free(msg.wire);
	knot_pkt_free(pkt);

	/* All or nothing. */
	for (size_t limit = before; limit <= size; limit++) {
		msg = begin(limit, &target);
		ck_assert_int_eq(reply_put(reply, &msg, target, 7, dnssec, 0, PUT_TTL_KEEP, &home), limit < size ? KNOT_ESPACE : KNOT_EOK);
		ck_assert_uint_eq(msg.size, limit < size ? before : size);
		free(msg.wire);
	}
}

START_TEST(test_cases)
{
	const case_t *each = &cases[_i];
	reply_wire_t *wire = malloc(sizeof(*wire));
	reply_wire_make(wire, "www.t.", KNOT_RRTYPE_A, each->rcode, each->answer, each->authority);
	reply_t *reply = NULL;
	ck_assert_msg(accept_wire(wire->wire, wire->size, KNOT_RRTYPE_A, &reply) == each->ret, "%s", each->what);
	if (each->ret == KNOT_EOK) {
		const char *sent = each->sent != NULL ? each->sent : each->answer;
		const char *denial = each->denial != NULL ? each->denial : "";
		ck_assert_msg(reply->kind == each->kind && reply->ttl == each->ttl, "%s: kind %d, ttl %u", each->what, reply->kind, reply->ttl);
		ck_assert_uint_eq(reply_rcode(reply), each->kind == REPLY_NXDOMAIN ? 3 : 0);
		check_sent(reply, false, sent, denial);
		check_sent(reply, true, each->sent_do != NULL ? each->sent_do : sent, each->denial_do != NULL ? each->denial_do : denial);
	}
	reply_free(reply);
	free(wire);
}
END_TEST

static void make_found(reply_wire_t *wire)
{
	reply_wire_make(wire, "www.t.", KNOT_RRTYPE_A, 0, "www.t. 300 CNAME a.u.\na.u. 40 A 192.0.2.1\n", "");
}

static uint32_t ttl_after(const reply_t *reply, uint32_t age, uint32_t ttl_max, unsigned record)
{
	uint16_t target, home;
	message_t msg = begin(512, &target);
	ck_assert_int_eq(reply_put(reply, &msg, target, 7, false, age, ttl_max, &home), KNOT_EOK);
	knot_pkt_t *pkt = response_parse(&msg);
	const uint32_t ttl = knot_pkt_rr(knot_pkt_section(pkt, KNOT_ANSWER), record)->ttl;
	knot_pkt_free(pkt);
	free(msg.wire);
	return ttl;
}

START_TEST(test_ttl_counts_down)
{
	reply_wire_t *wire = malloc(sizeof(*wire));
	make_found(wire);
	reply_t *reply;
	ck_assert_int_eq(accept_wire(wire->wire, wire->size, KNOT_RRTYPE_A, &reply), KNOT_EOK);
	ck_assert_uint_eq(reply->ttl, 40);
	ck_assert_uint_eq(ttl_after(reply, 0, PUT_TTL_KEEP, 1), 300);
	ck_assert_uint_eq(ttl_after(reply, 39, PUT_TTL_KEEP, 1), 261);
	ck_assert_uint_eq(ttl_after(reply, 39, PUT_TTL_KEEP, 2), 1);
	ck_assert_uint_eq(ttl_after(reply, 1000, PUT_TTL_KEEP, 2), 0);
	ck_assert_uint_eq(ttl_after(reply, 1000, REPLY_STALE_TTL, 1), 30);
	ck_assert_uint_eq(ttl_after(reply, 1000, REPLY_STALE_TTL, 2), 30);
	reply_free(reply);
	free(wire);
}
END_TEST

/*! Headers that make it no answer to the question. */
START_TEST(test_not_an_answer)
{
	reply_wire_t *wire = malloc(sizeof(*wire));
	reply_t *reply = NULL;
	make_found(wire);
	knot_wire_clear_qr(wire->wire);
	ck_assert_int_eq(accept_wire(wire->wire, wire->size, KNOT_RRTYPE_A, &reply), KNOT_EMALF);
	make_found(wire);
	knot_wire_set_tc(wire->wire);
	ck_assert_int_eq(accept_wire(wire->wire, wire->size, KNOT_RRTYPE_A, &reply), KNOT_EMALF);
	make_found(wire);
	knot_wire_set_opcode(wire->wire, KNOT_OPCODE_NOTIFY);
	ck_assert_int_eq(accept_wire(wire->wire, wire->size, KNOT_RRTYPE_A, &reply), KNOT_EMALF);
	make_found(wire);
	ck_assert_int_eq(accept_wire(wire->wire, wire->size, KNOT_RRTYPE_AAAA, &reply), KNOT_EMALF);
	make_found(wire);
	wire->wire[13] = 'x';
	ck_assert_int_eq(accept_wire(wire->wire, wire->size, KNOT_RRTYPE_A, &reply), KNOT_EMALF);
	make_found(wire);
	knot_wire_write_u16(wire->wire + 12 + 7 + 2, KNOT_CLASS_CH);
	ck_assert_int_eq(accept_wire(wire->wire, wire->size, KNOT_RRTYPE_A, &reply), KNOT_EMALF);
	make_found(wire);
	knot_wire_set_qdcount(wire->wire, 0);
	ck_assert_int_eq(accept_wire(wire->wire, wire->size, KNOT_RRTYPE_A, &reply), KNOT_EMALF);
	ck_assert_ptr_null(reply);
	free(wire);
}
END_TEST

/*! A record of another class says nothing. */
START_TEST(test_other_class)
{
	reply_wire_t *wire = malloc(sizeof(*wire));
	make_found(wire);
	uint8_t name[WIRE_NAME_MAX];
	size_t len;
	const size_t first = 12 + 7 + 4;
	const int taken = wire_name_read(wire->wire, wire->size, first, name, &len);
	ck_assert_int_gt(taken, 0);
	knot_wire_write_u16(wire->wire + first + taken + 2, KNOT_CLASS_CH);
	reply_t *reply;
	ck_assert_int_eq(accept_wire(wire->wire, wire->size, KNOT_RRTYPE_A, &reply), KNOT_EOK);
	ck_assert_int_eq(reply->kind, REPLY_NODATA);
	reply_free(reply);
	free(wire);
}
END_TEST

/*! Where a reply would begin so late that pointers into it might not reach, it does not fit, whatever room there is. */
START_TEST(test_late)
{
	reply_wire_t *wire = malloc(sizeof(*wire));
	make_found(wire);
	reply_t *reply;
	ck_assert_int_eq(accept_wire(wire->wire, wire->size, KNOT_RRTYPE_A, &reply), KNOT_EOK);
	const size_t last = MESSAGE_REACH - MESSAGE_REACH / 2; /* Of what they reach the other half is inside. */
	for (size_t size = last - 1; size <= last + 1; size++) {
		uint16_t target, home;
		message_t msg = begin(MESSAGE_MAX, &target);
		memset(msg.wire + msg.size, 0, size - msg.size);
		msg.size = size;
		ck_assert_int_eq(reply_put(reply, &msg, target, 7, false, 0, PUT_TTL_KEEP, &home), size <= last ? KNOT_EOK : KNOT_ESPACE);
		free(msg.wire);
	}
	reply_free(reply);
	free(wire);
}
END_TEST

/*! Cut anywhere, or with any octet changed: refused, or accepted and sent without harm. */
START_TEST(test_mutations)
{
	reply_wire_t *wire = malloc(sizeof(*wire));
	reply_wire_make(wire, "www.t.", KNOT_RRTYPE_MX, 0, "www.t. 300 CNAME a.u.\na.u. 40 MX 10 mx.a.u.\na.u. 40 RRSIG MX " SIG "u. AAAA\n", SOA);
	for (size_t i = 0; i < wire->size; i++) {
		reply_t *reply = NULL;
		ck_assert_int_ne(accept_wire(wire->wire, i, KNOT_RRTYPE_MX, &reply), KNOT_EOK);
		for (unsigned value = 0; value < 256; value += 7) {
			const uint8_t was = wire->wire[i];
			wire->wire[i] = value;
			if (accept_wire(wire->wire, wire->size, KNOT_RRTYPE_MX, &reply) == KNOT_EOK) {
				uint16_t target, home;
				message_t msg = begin(1232, &target);
				ck_assert_int_eq(reply_put(reply, &msg, target, 7, true, 0, PUT_TTL_KEEP, &home), KNOT_EOK);
				knot_pkt_free(response_parse(&msg));
				free(msg.wire);
				reply_free(reply);
			}
			wire->wire[i] = was;
		}
	}
	free(wire);
}
END_TEST

START_TEST(test_chain_too_long)
{
	for (unsigned aliases = REPLY_CHAIN_MAX - 1; aliases <= REPLY_CHAIN_MAX + 1; aliases++) {
		reply_wire_t *wire = malloc(sizeof(*wire));
		char text[4096] = "www.t. CNAME a0.t.\n";
		for (unsigned i = 1; i < aliases; i++) {
			sprintf(text + strlen(text), "a%u.t. CNAME a%u.t.\n", i - 1, i);
		}
		sprintf(text + strlen(text), "a%u.t. A 192.0.2.1\n", aliases - 1);
		reply_wire_make(wire, "www.t.", KNOT_RRTYPE_A, 0, text, "");
		reply_t *reply;
		ck_assert_int_eq(accept_wire(wire->wire, wire->size, KNOT_RRTYPE_A, &reply), KNOT_EOK);
		ck_assert_int_eq(reply->kind, aliases <= REPLY_CHAIN_MAX ? REPLY_FOUND : REPLY_LOOP);
		reply_free(reply);
		free(wire);
	}
}
END_TEST

/*! Nearly as many records as are looked at, and more of them: bounded work, and pointers that reach. */
START_TEST(test_large)
{
	const unsigned addresses = _i == 0 ? 1900 : REPLY_RECORDS_MAX + 50;
	const char *name = _i == 0 ? "much.longer.name.u." : "a.u.";
	const unsigned sent = _i == 0 ? 1901 : REPLY_RECORDS_MAX;
	reply_wire_t *wire = malloc(sizeof(*wire));
	char *text = calloc(1, 400000);
	size_t len = sprintf(text, "www.t. CNAME %s\n", name);
	for (unsigned i = 0; i < addresses; i++) {
		len += sprintf(text + len, "%s A 10.0.%u.%u\n", name, i / 256, i % 256);
	}
	reply_wire_make(wire, "www.t.", KNOT_RRTYPE_A, 0, text, "");
	reply_t *reply;
	ck_assert_int_eq(accept_wire(wire->wire, wire->size, KNOT_RRTYPE_A, &reply), KNOT_EOK);
	uint16_t target, home;
	message_t msg = begin(MESSAGE_MAX, &target);
	ck_assert_int_eq(reply_put(reply, &msg, target, 7, false, 0, PUT_TTL_KEEP, &home), KNOT_EOK);
	knot_pkt_t *pkt = response_parse(&msg);
	ck_assert_uint_eq(knot_pkt_section(pkt, KNOT_ANSWER)->count, 1 + sent);
	ck_assert_uint_le(msg.size, response_knot_size(pkt));
	knot_pkt_free(pkt);
	free(msg.wire);
	reply_free(reply);
	free(text);
	free(wire);
}
END_TEST

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/*! Options of the OPT record of a failure, and the code that is taken from them. */
#define OPTIONS(text) text, sizeof(text) - 1
static const struct {
	const char *options;
	size_t len;
	int code;
} errors[] = {
	{ OPTIONS(""), KNOT_EDNS_EDE_NONE },
	{ OPTIONS("\0\17\0\2\0\6"), KNOT_EDNS_EDE_BOGUS },
	{ OPTIONS("\0\17\0\7\0\7 late"), KNOT_EDNS_EDE_SIG_EXPIRED },
	{ OPTIONS("\0\17\0\2\0\2"), KNOT_EDNS_EDE_DS_DIGEST },
	{ OPTIONS("\0\12\0\2\0\6"), KNOT_EDNS_EDE_NONE },           /* another option */
	{ OPTIONS("\0\17\0\0\0\6\0\0"), KNOT_EDNS_EDE_NONE },       /* the first has no code, what looks like it is the next one's */
	{ OPTIONS("\0\17\0\2\0\26"), KNOT_EDNS_EDE_NONE },           /* 22: not about DNSSEC */
	{ OPTIONS("\0\17\0\2\0\3\0\17\0\2\0\14"), KNOT_EDNS_EDE_NSEC_MISS },
	{ OPTIONS("\0\12\0\4abcd\0\17\0\2\0\33"), KNOT_EDNS_EDE_NSEC3_ITERS },
	{ OPTIONS("\0\17\0\1\0\0\17\0\2\0\1"), KNOT_EDNS_EDE_DNSKEY_ALG }, /* the first has no code */
	{ OPTIONS("\0\17\0\3\0\6"), KNOT_EDNS_EDE_NONE },            /* longer than the record */
	{ OPTIONS("\0\17\0"), KNOT_EDNS_EDE_NONE },
	{ OPTIONS("\0\17\0\2\0\0"), KNOT_EDNS_EDE_NONE },
	{ OPTIONS("\0\17\0\2\1\6"), KNOT_EDNS_EDE_NONE },
};

START_TEST(test_validation_error)
{
	static reply_wire_t reply;
	reply_wire_make(&reply, "www.t.", KNOT_RRTYPE_A, KNOT_RCODE_SERVFAIL, "www.t. 300 A 192.0.2.1\n", "");
	uint8_t *opt = reply.wire + reply.size;
	memcpy(opt, "\0\0\51\4\320\0\0\0\0\0", 10);
	opt[10] = errors[_i].len;
	memcpy(opt + 11, errors[_i].options, errors[_i].len);
	const size_t size = reply.size + 11 + errors[_i].len;
	ck_assert_int_eq(reply_validation_error(reply.wire, size), KNOT_EDNS_EDE_NONE); /* it is in no section */
	knot_wire_set_arcount(reply.wire, 1);
	ck_assert_int_eq(reply_validation_error(reply.wire, size), errors[_i].code);
	for (size_t cut = 0; cut < size; cut++) {
		/* In memory of its own, so that a sanitizer sees what is read beyond. */
		uint8_t *copy = malloc(cut + 1);
		memcpy(copy, reply.wire, cut);
		ck_assert_int_eq(reply_validation_error(copy, cut), KNOT_EDNS_EDE_NONE);
		free(copy);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reply");
	TCase *tcase = tcase_create("all");
	tcase_add_loop_test(tcase, test_cases, 0, COUNT(cases));
	tcase_add_loop_test(tcase, test_validation_error, 0, sizeof(errors) / sizeof(errors[0]));
	tcase_add_test(tcase, test_ttl_counts_down);
	tcase_add_test(tcase, test_not_an_answer);
	tcase_add_test(tcase, test_other_class);
	tcase_add_test(tcase, test_late);
	tcase_add_test(tcase, test_mutations);
	tcase_add_test(tcase, test_chain_too_long);
	tcase_add_loop_test(tcase, test_large, 0, 2);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
