/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Hostile names and RDATA, with libknot's parser as the oracle, and the choice of references in kept RDATA.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/wire.h"
#include "support.h"

/* Names */

typedef struct {
	const char *what;
	const char *msg;
	size_t msg_len;
	size_t pos;
	int taken;                /*!< Or KNOT_EMALF. */
	const char *name;
	size_t name_len;
} name_case_t;

#define S(octets) octets, sizeof(octets) - 1

static const name_case_t name_cases[] = {
	{ "root", S("\0"), 0, 1, S("\0") },
	{ "labels, case kept", S("\1a\3BcD\0"), 0, 7, S("\1a\3BcD\0") },
	{ "not at the start", S("xx\1a\0"), 2, 3, S("\1a\0") },
	{ "pointer", S("\1b\0\1a\xC0\0"), 3, 4, S("\1a\1b\0") },
	{ "pointer to pointer", S("\1b\0\xC0\0\xC0\3"), 5, 2, S("\1b\0") },
	{ "into a name", S("\1a\1b\0\xC0\2"), 5, 2, S("\1b\0") },
	{ "octets of a label that look like others", S("\3\0\xC0.\0"), 0, 5, S("\3\0\xC0.\0") },
	{ "nothing", S(""), 0, KNOT_EMALF, NULL, 0 },
	{ "after the end", S("\0"), 5, KNOT_EMALF, NULL, 0 },
	{ "no root label", S("\1a"), 0, KNOT_EMALF, NULL, 0 },
	{ "label cut", S("\5ab"), 0, KNOT_EMALF, NULL, 0 },
	{ "label ends the message", S("\2ab"), 0, KNOT_EMALF, NULL, 0 },
	{ "half a pointer", S("\0\1a\xC0"), 1, KNOT_EMALF, NULL, 0 },
	{ "pointer to itself", S("\xC0\0"), 0, KNOT_EMALF, NULL, 0 },
	{ "pointer to its own name", S("\1a\xC0\0"), 0, KNOT_EMALF, NULL, 0 },
	{ "pointer into its own name", S("\1a\1b\xC0\2"), 0, KNOT_EMALF, NULL, 0 },
	{ "pointer forward", S("\xC0\2\0"), 0, KNOT_EMALF, NULL, 0 },
	{ "pointer after the end", S("\1a\xC1\0"), 0, KNOT_EMALF, NULL, 0 },
	{ "loop of two", S("\xC0\2\xC0\0"), 2, KNOT_EMALF, NULL, 0 },
	{ "loop through labels", S("\1a\xC0\4\1b\xC0\0"), 4, KNOT_EMALF, NULL, 0 },
	{ "label type 0x40", S("\x41z\0"), 0, KNOT_EMALF, NULL, 0 },
	{ "label type 0x80", S("\x81z\0"), 0, KNOT_EMALF, NULL, 0 },
};

START_TEST(test_name)
{
	const name_case_t *c = &name_cases[_i];
	/* A copy that ends where the message ends, so that a read beyond is seen. */
	uint8_t *msg = malloc(c->msg_len > 0 ? c->msg_len : 1);
	memcpy(msg, c->msg, c->msg_len);
	uint8_t name[WIRE_NAME_MAX];
	size_t len = 4711;
	int taken = wire_name_read(msg, c->msg_len, c->pos, name, &len);
	free(msg);

	ck_assert_msg(taken == c->taken, "%s: %d, not %d", c->what, taken, c->taken);
	if (c->taken < 0) {
		ck_assert_msg(len == 4711, "%s: length written", c->what);
	} else {
		ck_assert_msg(len == c->name_len && memcmp(name, c->name, len) == 0, "%s: name", c->what);
	}
}
END_TEST

/*! \brief Writes \a count labels of \a size octets and the root label; returns octets. */
static size_t long_name(uint8_t *dst, unsigned count, unsigned size)
{
	size_t pos = 0;
	for (unsigned i = 0; i < count; i++) {
		dst[pos] = size;
		memset(dst + pos + 1, 'a' + i % 26, size);
		pos += size + 1;
	}
	dst[pos] = 0;
	return pos + 1;
}

START_TEST(test_name_length)
{
	uint8_t msg[600];
	uint8_t name[WIRE_NAME_MAX];
	size_t len = 0;

	/* 127 labels of one octet: 255 octets in all. */
	size_t msg_len = long_name(msg, 127, 1);
	ck_assert_int_eq(wire_name_read(msg, msg_len, 0, name, &len), 255);
	ck_assert_uint_eq(len, 255);
	msg_len = long_name(msg, 128, 1);
	ck_assert_int_eq(wire_name_read(msg, msg_len, 0, name, &len), KNOT_EMALF);

	/* 61 octets more than three full labels; then one more, which only the root label does not fit beside. */
	msg_len = long_name(msg, 3, 63) - 1;
	msg_len += long_name(msg + msg_len, 1, 61);
	ck_assert_int_eq(wire_name_read(msg, msg_len, 0, name, &len), 255);
	msg_len = long_name(msg, 4, 63);
	ck_assert_int_eq(wire_name_read(msg, msg_len, 0, name, &len), KNOT_EMALF);

	/* Too long by way of a pointer. */
	msg_len = long_name(msg, 3, 63);
	memcpy(msg + msg_len, "\76", 1);
	memset(msg + msg_len + 1, 'x', 62);
	memcpy(msg + msg_len + 63, "\xC0\0", 2);
	ck_assert_int_eq(wire_name_read(msg, msg_len + 65, msg_len, name, &len), KNOT_EMALF);
}
END_TEST

START_TEST(test_name_jumps)
{
	/* Each name is one label and a pointer to the name before. */
	uint8_t msg[1024] = { 0 };
	size_t pos = 1;
	size_t before = 0;
	uint8_t name[WIRE_NAME_MAX];
	size_t len = 0;
	for (unsigned labels = 1; labels <= 128; labels++) {
		memcpy(msg + pos, "\1a\xC0", 3);
		msg[pos + 2] |= before >> 8;
		msg[pos + 3] = before & 0xFF;
		int taken = wire_name_read(msg, pos + 4, pos, name, &len);
		ck_assert_int_eq(taken, labels <= 127 ? 4 : KNOT_EMALF);
		before = pos;
		pos += 4;
	}

	/* Pointers alone are bounded too. */
	memset(msg, 0, sizeof(msg));
	for (unsigned jumps = 1; jumps <= WIRE_JUMPS_MAX + 1; jumps++) {
		pos = 1 + 2 * jumps;
		before = jumps == 1 ? 0 : pos - 2;
		msg[pos] = 0xC0 | before >> 8;
		msg[pos + 1] = before & 0xFF;
		int taken = wire_name_read(msg, pos + 2, pos, name, &len);
		ck_assert_int_eq(taken, jumps <= WIRE_JUMPS_MAX ? 2 : KNOT_EMALF);
	}
}
END_TEST

START_TEST(test_name_lower)
{
	uint8_t all[256], expected[256];
	for (unsigned len = 0; len <= 256; len++) {
		for (unsigned i = 0; i < len; i++) {
			all[i] = i * 7 + len;
			expected[i] = all[i] >= 'A' && all[i] <= 'Z' ? all[i] + 32 : all[i];
		}
		wire_name_lower(all, len);
		ck_assert_mem_eq(all, expected, len);
	}
}
END_TEST

START_TEST(test_name_within)
{
	static const struct {
		const char *name, *apex;
		bool within;
	} cases[] = {
		{ "a.example.", "example.", true },
		{ "example.", "example.", true },
		{ "example.", ".", true },
		{ ".", ".", true },
		{ ".", "example.", false },
		{ "aexample.", "example.", false },
		{ "example.org.", "example.", false },
		{ "b.", "a.b.", false },
		/* The last octets are the apex', but they are no labels. */
		{ "a\\007example.", "example.", false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t name[WIRE_NAME_MAX], apex[WIRE_NAME_MAX];
		size_t name_len = support_name(cases[i].name, name);
		size_t apex_len = support_name(cases[i].apex, apex);
		ck_assert_msg(wire_name_within(name, name_len, apex, apex_len) == cases[i].within, "%s in %s",
		              cases[i].name, cases[i].apex);
	}
}
END_TEST

/* RDATA */

#define OCTETS_10 "0123456789"

typedef struct {
	uint16_t type;
	const char *rdata;
	size_t len;
	bool ok;
} rdata_case_t;

static const rdata_case_t rdata_cases[] = {
	{ KNOT_RRTYPE_A, S("123"), false },
	{ KNOT_RRTYPE_A, S("1234"), true },
	{ KNOT_RRTYPE_A, S("12345"), false },
	{ KNOT_RRTYPE_A, S(""), false },
	{ KNOT_RRTYPE_AAAA, S("0123456789abcde"), false },
	{ KNOT_RRTYPE_AAAA, S("0123456789abcdef"), true },
	{ KNOT_RRTYPE_AAAA, S("0123456789abcdefg"), false },
	{ KNOT_RRTYPE_NS, S(""), false },
	{ KNOT_RRTYPE_NS, S("\0"), true },
	{ KNOT_RRTYPE_NS, S("\0\0"), false },
	{ KNOT_RRTYPE_NS, S("\1a"), false },
	{ KNOT_RRTYPE_MX, S("\0"), false },
	{ KNOT_RRTYPE_MX, S("\0\1"), false },
	{ KNOT_RRTYPE_MX, S("\0\1\0"), true },
	{ KNOT_RRTYPE_SOA, S("\0\0" OCTETS_10 OCTETS_10), true },
	{ KNOT_RRTYPE_SOA, S("\0\0" OCTETS_10 "123456789"), false },
	{ KNOT_RRTYPE_SOA, S("\0\0" OCTETS_10 OCTETS_10 "1"), false },
	{ KNOT_RRTYPE_MINFO, S("\0"), false },
	{ KNOT_RRTYPE_MINFO, S("\0\0"), true },
	{ KNOT_RRTYPE_TXT, S(""), false },
	{ KNOT_RRTYPE_TXT, S("\0"), true },
	{ KNOT_RRTYPE_SRV, S("123456"), false },
	{ KNOT_RRTYPE_SRV, S("123456\0"), true },
	{ KNOT_RRTYPE_NAPTR, S("1234\0\0\0\0"), true },
	{ KNOT_RRTYPE_NAPTR, S("1234\1a\2bc\3def\1x\0"), true },
	{ KNOT_RRTYPE_NAPTR, S("1234\1a\2bc\7def\0"), false },
	{ KNOT_RRTYPE_NAPTR, S("1234\0\0\0"), false },
	{ KNOT_RRTYPE_NAPTR, S("1234\0\0"), false },
	{ KNOT_RRTYPE_NAPTR, S("123"), false },
	{ KNOT_RRTYPE_RRSIG, S("0123456789abcdefgh"), false },
	{ KNOT_RRTYPE_RRSIG, S("0123456789abcdefgh\0"), true },
	{ KNOT_RRTYPE_RRSIG, S("0123456789abcdefgh\1a\0sig"), true },
	{ KNOT_RRTYPE_NSEC, S("\1a"), false },
	{ KNOT_RRTYPE_NSEC, S("\1a\0\0\1\x40"), true },
	{ KNOT_RRTYPE_DNAME, S("\1a\0"), true },
	{ KNOT_RRTYPE_DNAME, S("\1a\0x"), false },
	{ KNOT_RRTYPE_APL, S(""), true },
	{ KNOT_RRTYPE_DS, S(""), false },
	{ KNOT_RRTYPE_EUI48, S("12345"), false },
	{ KNOT_RRTYPE_EUI48, S("123456"), true },
	{ KNOT_RRTYPE_EUI64, S("12345678"), true },
	{ KNOT_RRTYPE_MB, S("\1a\0"), true },
	{ KNOT_RRTYPE_PX, S("12\0\0"), true },
	{ KNOT_RRTYPE_PX, S("12\0"), false },
	{ KNOT_RRTYPE_NXT, S("\0\1"), true },
	{ KNOT_RRTYPE_SVCB, S("\0"), false },
	{ KNOT_RRTYPE_SVCB, S("\0\1"), false },
	{ KNOT_RRTYPE_SVCB, S("\0\1\0"), true },
	{ KNOT_RRTYPE_SVCB, S("\0\1\1a\0\0\1\0\0"), true },
	{ KNOT_RRTYPE_SVCB, S("\0\1\1a"), false },
	{ KNOT_RRTYPE_SVCB, S("\0\1\xC0\2"), false },
	{ KNOT_RRTYPE_HTTPS, S("\0\1\x41z\0"), false },
	{ KNOT_RRTYPE_HTTPS, S("\0\0\1a\0"), true },
	{ 65280, S(""), true },
	{ 65280, S("anything"), true },
};

START_TEST(test_rdata_length)
{
	const rdata_case_t *c = &rdata_cases[_i];
	static uint8_t dst[UINT16_MAX];
	uint8_t *msg = malloc(c->len > 0 ? c->len : 1);
	memcpy(msg, c->rdata, c->len);
	size_t len = 0;
	int ret = wire_rdata_read(c->type, msg, c->len, 0, c->len, dst, &len);
	free(msg);

	ck_assert_msg(ret == (c->ok ? KNOT_EOK : KNOT_EMALF), "case %d, type %u: %d", _i, c->type, ret);
	if (c->ok) {
		ck_assert_uint_eq(len, c->len);
		ck_assert_mem_eq(dst, c->rdata, len);
	}
}
END_TEST

START_TEST(test_rdata_names)
{
	static uint8_t dst[UINT16_MAX];
	static const uint16_t types[] = {
		KNOT_RRTYPE_NS, KNOT_RRTYPE_CNAME, KNOT_RRTYPE_PTR, KNOT_RRTYPE_DNAME, KNOT_RRTYPE_MB, KNOT_RRTYPE_MD,
		KNOT_RRTYPE_NSEC, KNOT_RRTYPE_NXT,
	};
	/* "b." at 0, then the name a.b. by pointer. */
	const uint8_t msg[] = "\1b\0\1a\xC0\0";
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		size_t len = 0;
		ck_assert_int_eq(wire_rdata_read(types[i], msg, 7, 3, 4, dst, &len), KNOT_EOK);
		ck_assert_uint_eq(len, 5);
		ck_assert_mem_eq(dst, "\1a\1b\0", 5);
		/* Cut in the pointer: what follows is not RDATA. */
		ck_assert_int_eq(wire_rdata_read(types[i], msg, 7, 3, 3, dst, &len), KNOT_EMALF);
		/* More RDATA than message. */
		ck_assert_int_eq(wire_rdata_read(types[i], msg, 7, 3, 5, dst, &len), KNOT_EMALF);
		ck_assert_int_eq(wire_rdata_read(types[i], msg, 7, 8, 0, dst, &len), KNOT_EMALF);
	}

	/* SVCB must not be compressed (RFC 9460, section 2.2); answers look for a name there, so it becomes one. */
	const uint8_t svcb[] = "\1b\0\0\1\1a\xC0\0x";
	size_t len = 0;
	ck_assert_int_eq(wire_rdata_read(KNOT_RRTYPE_SVCB, svcb, 10, 3, 7, dst, &len), KNOT_EOK);
	ck_assert_uint_eq(len, 8);
	ck_assert_mem_eq(dst, "\0\1\1a\1b\0x", 8);
}
END_TEST

START_TEST(test_rdata_too_long)
{
	/* Legal on the wire, but longer than any RDATA once the name is in full. */
	static uint8_t msg[UINT16_MAX + 64];
	static uint8_t dst[UINT16_MAX];
	size_t len = 0;
	size_t name_len = long_name(msg, 3, 10);
	memset(msg + name_len, 'x', 18);
	memcpy(msg + name_len + 18, "\xC0\0", 2);
	size_t room = UINT16_MAX - 18 - name_len;
	ck_assert_int_eq(wire_rdata_read(KNOT_RRTYPE_RRSIG, msg, sizeof(msg), name_len, 20 + room, dst, &len), KNOT_EOK);
	ck_assert_uint_eq(len, UINT16_MAX);
	ck_assert_int_eq(wire_rdata_read(KNOT_RRTYPE_RRSIG, msg, sizeof(msg), name_len, 21 + room, dst, &len),
	                 KNOT_EMALF);
}
END_TEST

/*! \brief Octets that often make names: short labels, root labels, pointers back to the names at the message's begin. */
static size_t random_rdata(uint8_t *dst)
{
	size_t len = 0;
	for (int parts = rand() % 8; parts >= 0; parts--) {
		switch (rand() % 5) {
		case 0:
			dst[len++] = 0;
			break;
		case 1:
			dst[len++] = 1;
			dst[len++] = 'A' + rand() % 50;
			break;
		case 2:
			dst[len++] = 0xC0;
			dst[len++] = 12 + rand() % 12;
			break;
		case 3:
			for (int n = rand() % 20; n > 0; n--) {
				dst[len++] = rand();
			}
			break;
		default:
			for (int n = rand() % 3 == 0 ? 18 : 2; n > 0; n--) {
				dst[len++] = rand() % 4;
			}
		}
	}
	return len;
}

/*! \brief Reads one random record with both parsers; returns whether it was accepted. */
static bool compare_with_libknot(uint16_t type)
{
	/* Header, "ab.c." as the question, one record owned by it. */
	uint8_t msg[512] = { [5] = 1, [7] = 1, [12] = 2, 'a', 'b', 1, 'c', 0, 0, 1, 0, 1, 0xC0, 12 };
	size_t pos = 24;
	knot_wire_write_u16(msg + pos, type);
	knot_wire_write_u16(msg + pos + 2, KNOT_CLASS_IN);
	knot_wire_write_u32(msg + pos + 4, 1);
	size_t rdlen = random_rdata(msg + pos + 10);
	knot_wire_write_u16(msg + pos + 8, rdlen);
	size_t msg_len = pos + 10 + rdlen;

	size_t knot_pos = 22;
	knot_rrset_t rrset;
	int expected = knot_rrset_rr_from_wire(msg, &knot_pos, msg_len, &rrset, NULL, false);

	static uint8_t dst[UINT16_MAX];
	size_t len = 0;
	int ret = wire_rdata_read(type, msg, msg_len, pos + 10, rdlen, dst, &len);
	/*
	 * libknot tells whether all octets were read from the length of the result alone: a pointer to a root label, one
	 * octet for two, is too few for it, and octets after a name that has grown are overlooked.
	 */
	if (ret == KNOT_EOK && expected == KNOT_EOK) {
		ck_assert_uint_eq(len, rrset.rrs.rdata->len);
		ck_assert_mem_eq(dst, rrset.rrs.rdata->data, len);
	} else if (ret == KNOT_EOK) {
		ck_assert_msg(len < rdlen, "type %u: accepted, libknot says %s", type, knot_strerror(expected));
	} else if (expected == KNOT_EOK) {
		ck_assert_msg(rrset.rrs.rdata->len >= rdlen && type != KNOT_RRTYPE_A && type != KNOT_RRTYPE_AAAA,
		              "type %u: refused, libknot accepts", type);
	}
	if (expected == KNOT_EOK) {
		knot_rrset_clear(&rrset, NULL);
	}
	return ret == KNOT_EOK;
}

START_TEST(test_rdata_oracle)
{
	srand(support_seed());
	int rounds = support_is_full() ? 4000 : 400;
	unsigned accepted = 0;
	for (int i = 0; i < rounds; i++) {
		for (uint16_t type = 0; type <= 260; type++) {
			/* libknot does not look into these two. */
			if (type != KNOT_RRTYPE_SVCB && type != KNOT_RRTYPE_HTTPS) {
				accepted += compare_with_libknot(type);
			}
		}
	}
	ck_assert_uint_gt(accepted, 1000);
}
END_TEST

/* Order */

START_TEST(test_rdata_compare)
{
	static const struct {
		uint16_t type;
		const char *a;
		size_t a_len;
		const char *b;
		size_t b_len;
		int diff;
	} cases[] = {
		{ KNOT_RRTYPE_A, S("1234"), S("1235"), -1 },
		{ KNOT_RRTYPE_TXT, S("\1a"), S("\1A"), 1 },
		{ KNOT_RRTYPE_TXT, S("\1a"), S("\1ab"), -1 },
		{ KNOT_RRTYPE_TXT, S("\1\xFF"), S("\1a"), 1 },
		{ KNOT_RRTYPE_NS, S("\1a\0"), S("\1A\0"), 0 },
		{ KNOT_RRTYPE_NS, S("\1b\0"), S("\1A\0"), 1 },
		{ KNOT_RRTYPE_NS, S("\1B\0"), S("\1a\0"), 1 },
		{ KNOT_RRTYPE_NS, S("\1b\0"), S("\2A\0"), -1 },
		{ KNOT_RRTYPE_MX, S("AA\1a\0"), S("AA\1A\0"), 0 },
		{ KNOT_RRTYPE_MX, S("AA\1a\0"), S("aa\1a\0"), -1 },
		{ KNOT_RRTYPE_SOA, S("\1A\0\1b\0" "12345678901234567890"), S("\1a\0\1B\0" "12345678901234567890"), 0 },
		{ KNOT_RRTYPE_SOA, S("\0\0" "A2345678901234567890"), S("\0\0" "a2345678901234567890"), -1 },
		{ KNOT_RRTYPE_SRV, S("123456\1A\0"), S("123456\1a\0"), 0 },
		{ KNOT_RRTYPE_NAPTR, S("1234\1A\1b\0\1X\0"), S("1234\1A\1b\0\1x\0"), 0 },
		{ KNOT_RRTYPE_NAPTR, S("1234\1A\1b\0\1x\0"), S("1234\1a\1b\0\1x\0"), -1 },
		{ KNOT_RRTYPE_RRSIG, S("123456789012345678\1A\0s"), S("123456789012345678\1a\0s"), 0 },
		{ KNOT_RRTYPE_RRSIG, S("123456789012345678\1A\0S"), S("123456789012345678\1a\0s"), -1 },
		/* RFC 6840, section 5.1: not in NSEC. */
		{ KNOT_RRTYPE_NSEC, S("\1A\0\0\1\1"), S("\1a\0\0\1\1"), -1 },
		{ KNOT_RRTYPE_MB, S("\1A\0"), S("\1a\0"), 0 },
		{ 65280, S(""), S("a"), -1 },
		{ 65280, S(""), S(""), 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const uint8_t *a = (const uint8_t *)cases[i].a;
		const uint8_t *b = (const uint8_t *)cases[i].b;
		int diff = wire_rdata_compare(cases[i].type, a, cases[i].a_len, b, cases[i].b_len);
		int back = wire_rdata_compare(cases[i].type, b, cases[i].b_len, a, cases[i].a_len);
		ck_assert_msg((diff > 0) - (diff < 0) == cases[i].diff, "case %zu: %d", i, diff);
		ck_assert_msg((back > 0) - (back < 0) == -cases[i].diff, "case %zu: %d back", i, back);
	}
}
END_TEST

/* Kept form */

typedef struct {
	const char *what;
	uint16_t type;
	const char *apex, *owner;
	const char *names[4];             /*!< One a record (MX: after a preference of 0). */
	const char *kept[4];              /*!< Octets; references are written {suffix} and <place>. */
	bool has_owner_ref;
} keep_case_t;

static const keep_case_t keep_cases[] = {
	{ "apex", KNOT_RRTYPE_NS, "example.", "a.example.", { "ns.example." }, { "\2ns{9}" }, false },
	{ "apex itself", KNOT_RRTYPE_NS, "example.", "example.", { "example." }, { "{9}" }, false },
	{ "nothing", KNOT_RRTYPE_NS, "example.", "example.", { "ns.other." }, { "\2ns\5other" }, false },
	{ "half of the apex", KNOT_RRTYPE_NS, "example.org.", "example.org.", { "ns.org." }, { "\2ns{5}" }, false },
	{ "more than the apex", KNOT_RRTYPE_MX, "example.", "a.b.example.", { "mx.b.example." }, { "\2mx{11}" }, true },
	{ "whole owner", KNOT_RRTYPE_CNAME, "example.", "a.example.", { "a.example." }, { "{11}" }, true },
	{ "case", KNOT_RRTYPE_CNAME, "example.", "a.example.", { "Ns.EXAMPLE." }, { "\2Ns{9}" }, false },
	{ "wildcard", KNOT_RRTYPE_MX, "example.", "*.w.example.", { "m.*.w.example." }, { "\1m\1*{11}" }, true },
	{ "wildcard below", KNOT_RRTYPE_MX, "example.", "a.*.example.", { "m.*.example." }, { "\1m{11}" }, true },
	{ "root", KNOT_RRTYPE_NS, ".", ".", { "a.root.", "b.root." }, { "\1a\4root", "\1b<14>" }, false },
	{ "root name", KNOT_RRTYPE_NS, ".", "org.", { "." }, { "" }, false },
	{ "below the root", KNOT_RRTYPE_NS, ".", "org.", { "a.org." }, { "\1a{5}" }, true },
	{ "not in a label", KNOT_RRTYPE_NS, "b.", "x\\001b.b.", { "b.b." }, { "\1b{3}" }, false },
	{ "each other", KNOT_RRTYPE_NS, "example.", "example.", { "a.x.org.", "b.x.org.", "c.b.x.org." },
	  { "\1a\1x\3org", "\1b<14>", "\1c<33>" }, false },
	{ "the same again", KNOT_RRTYPE_MX, "example.", "example.", { "a.org.", "A.org." }, { "\1a\3org", "<14>" }, false },
	{ "longer inside", KNOT_RRTYPE_MX, "example.", "example.", { "a.example.", "b.a.example." },
	  { "\1a{9}", "\1b<14>" }, false },
	{ "equal: owner", KNOT_RRTYPE_MX, "example.", "o.example.", { "a.o.example.", "b.o.example." },
	  { "\1a{11}", "\1b{11}" }, true },
	{ "place of the second", KNOT_RRTYPE_MX, "example.", "example.", { "a.org.", "b.net.", "c.net." },
	  { "\1a\3org", "\1b\3net", "\1c<37>" }, false },
};

/*! \brief Octets from the notation of keep_case_t, root label included where it ends in labels. */
static size_t parse_kept(const char *text, uint8_t *dst)
{
	size_t len = 0;
	for (; *text != '\0'; text++) {
		if (*text != '{' && *text != '<') {
			dst[len++] = *text;
			continue;
		}
		unsigned value = strtoul(text + 1, NULL, 10) | (*text == '<' ? 0xE000 : 0xC000);
		dst[len++] = value >> 8;
		dst[len++] = value & 0xFF;
		return len;
	}
	dst[len++] = 0;
	return len;
}

START_TEST(test_keep)
{
	const keep_case_t *c = &keep_cases[_i];
	static wire_keeper_t keeper;
	uint8_t apex[WIRE_NAME_MAX], owner[WIRE_NAME_MAX];
	size_t apex_len = support_name(c->apex, apex);
	size_t owner_len = support_name(c->owner, owner);
	size_t skip = c->type == KNOT_RRTYPE_MX ? 2 : 0;
	size_t count = 0;
	while (count < 4 && c->names[count] != NULL) {
		count++;
	}

	wire_keep_begin(&keeper, c->type, count, owner, owner_len, apex_len);
	uint8_t rdata[4][WIRE_NAME_MAX + 2] = { { 0 } };
	for (size_t i = 0; i < count; i++) {
		uint8_t kept[WIRE_NAME_MAX + 2], expected[WIRE_NAME_MAX + 2] = { 0 };
		size_t rdlen = skip + support_name(c->names[i], rdata[i] + skip);
		int len = wire_keep(&keeper, rdata[i], rdlen, kept);
		size_t expected_len = skip + parse_kept(c->kept[i], expected + skip);
		ck_assert_msg(len == (int)expected_len && memcmp(kept, expected, len) == 0, "%s: name %zu", c->what, i);
	}
	ck_assert_msg(keeper.has_owner_ref == c->has_owner_ref, "%s: reference to the owner", c->what);
}
END_TEST

START_TEST(test_keep_malformed)
{
	static wire_keeper_t keeper;
	uint8_t kept[64];
	const uint8_t *owner = (const uint8_t *)"\1a";
	static const struct {
		uint16_t type;
		const char *rdata;
		size_t len;
	} cases[] = {
		{ KNOT_RRTYPE_NS, S("") },
		{ KNOT_RRTYPE_NS, S("\1a") },
		{ KNOT_RRTYPE_NS, S("\5a") },
		{ KNOT_RRTYPE_NS, S("\xC0\0\0") },
		{ KNOT_RRTYPE_MX, S("1") },
		{ KNOT_RRTYPE_MX, S("12") },
		{ KNOT_RRTYPE_SOA, S("\0\1") },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		wire_keep_begin(&keeper, cases[i].type, 2, owner, 3, 3);
		ck_assert_int_eq(wire_keep(&keeper, (const uint8_t *)cases[i].rdata, cases[i].len, kept), KNOT_EMALF);
	}
}
END_TEST

START_TEST(test_keep_rounds)
{
	/* What an RRset remembered must be unknown to all later ones, also after the round number has wrapped. */
	static wire_keeper_t keeper;
	const uint8_t *owner = (const uint8_t *)"\1o";
	uint8_t kept[64];
	for (unsigned round = 0; round < 1000; round++) {
		uint8_t rdata[] = "\1a\3xxx\1z";
		snprintf((char *)rdata + 3, 4, "%03u", round % 7);
		rdata[6] = 1;
		wire_keep_begin(&keeper, KNOT_RRTYPE_NS, 2, owner, 3, 3);
		ck_assert_int_eq(wire_keep(&keeper, rdata, sizeof(rdata), kept), sizeof(rdata));
		ck_assert_int_eq(wire_keep(&keeper, rdata, sizeof(rdata), kept), 2);
	}
}
END_TEST

START_TEST(test_keep_far)
{
	/* Names beyond WIRE_INSIDE_MAX cannot be referred to; those before it still can. */
	static wire_keeper_t keeper;
	const uint8_t *owner = (const uint8_t *)"\1o";
	static uint8_t rdata[1000][16];
	uint8_t kept[64];
	wire_keep_begin(&keeper, KNOT_RRTYPE_NS, 1001, owner, 3, 3);
	for (unsigned i = 0; i < 1000; i++) {
		size_t place = keeper.size + 12;
		rdata[i][0] = 6;
		snprintf((char *)rdata[i] + 1, 7, "n%05u", i % 100000);
		memcpy(rdata[i] + 7, "\3org", 5);
		int len = wire_keep(&keeper, rdata[i], 12, kept);
		ck_assert_int_eq(len, i == 0 ? 12 : 9);
		uint8_t again[16];
		memcpy(again, rdata[i], 12);
		if (place > WIRE_INSIDE_MAX) {
			ck_assert_int_eq(wire_keep(&keeper, again, 12, kept), 9);
		}
	}
	ck_assert_int_eq(wire_keep(&keeper, rdata[0], 12, kept), 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire");
	TCase *names = tcase_create("names");
	tcase_add_loop_test(names, test_name, 0, sizeof(name_cases) / sizeof(*name_cases));
	tcase_add_test(names, test_name_length);
	tcase_add_test(names, test_name_jumps);
	tcase_add_test(names, test_name_lower);
	tcase_add_test(names, test_name_within);
	suite_add_tcase(suite, names);

	TCase *rdata = tcase_create("rdata");
	tcase_set_timeout(rdata, 120);
	tcase_add_loop_test(rdata, test_rdata_length, 0, sizeof(rdata_cases) / sizeof(*rdata_cases));
	tcase_add_test(rdata, test_rdata_names);
	tcase_add_test(rdata, test_rdata_too_long);
	tcase_add_test(rdata, test_rdata_oracle);
	tcase_add_test(rdata, test_rdata_compare);
	suite_add_tcase(suite, rdata);

	TCase *keep = tcase_create("keep");
	tcase_add_loop_test(keep, test_keep, 0, sizeof(keep_cases) / sizeof(*keep_cases));
	tcase_add_test(keep, test_keep_malformed);
	tcase_add_test(keep, test_keep_rounds);
	tcase_add_test(keep, test_keep_far);
	suite_add_tcase(suite, keep);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
