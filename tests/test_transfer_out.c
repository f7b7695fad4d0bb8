/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of transfer_out.h: what is written is read again, by libknot and by transfer_in.h, and compared record for record.
 */
#include <check.h>
#include <libknot/libknot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/transfer_in.h"
#include "secondary/transfer_out.h"
#include "support.h"

#define SOA "@ 3600 SOA ns.sub host 1 2 3 4 5\n"
#define SIG(type) "RRSIG " type " 8 2 3600 20300101000000 20200101000000 1 @ Zm9vYmFy\n"

/*! What a transfer came to. */
typedef struct {
	size_t messages;
	size_t octets;
	size_t records;
	size_t longest;
} totals_t;

static uint8_t wire[MESSAGE_MAX];

static void message_begin(message_t *msg, const snapshot_t *snapshot, size_t limit)
{
	memset(wire, 0, MESSAGE_HEADER);
	knot_wire_set_qr(wire);
	knot_wire_set_qdcount(wire, 1);
	memcpy(wire + MESSAGE_HEADER, snapshot->apex, snapshot->apex_len);
	const size_t end = MESSAGE_HEADER + snapshot->apex_len;
	knot_wire_write_u16(wire + end, KNOT_RRTYPE_AXFR);
	knot_wire_write_u16(wire + end + 2, KNOT_CLASS_IN);
	*msg = (message_t) { .wire = wire, .size = end + 4, .limit = limit, .qname_end = end };
}

/*! Reads a message as a client with libknot does. */
static void collect(builder_t *builder, size_t size, size_t records)
{
	knot_pkt_t *pkt = knot_pkt_new(wire, size, NULL);
	ck_assert_int_eq(knot_pkt_parse(pkt, 0), KNOT_EOK);
	const knot_pktsection_t *answer = knot_pkt_section(pkt, KNOT_ANSWER);
	ck_assert_uint_eq(answer->count, records);
	for (unsigned i = 0; i < answer->count; i++) {
		const knot_rrset_t *rr = knot_pkt_rr(answer, i);
		ck_assert_int_eq(builder_add(builder, rr->owner, knot_dname_size(rr->owner), rr->type, rr->ttl,
		                             rr->rrs.rdata->data, rr->rrs.rdata->len), KNOT_EOK);
	}
	knot_pkt_free(pkt);
}

static void assert_same(const snapshot_t *a, const snapshot_t *b)
{
	char *text_a = support_dump(a);
	char *text_b = support_dump(b);
	ck_assert_str_eq(text_a, text_b);
	free(text_a);
	free(text_b);
}

/*! Transfers \a snapshot in messages of at most \a limit octets and checks what arrives. */
static totals_t transfer(snapshot_t *snapshot, size_t limit)
{
	const builder_limits_t limits = { 0 };
	transfer_in_t *in = transfer_in_new(snapshot->apex, &limits, NULL);
	builder_t *builder = builder_new(snapshot->apex, &limits);
	transfer_out_t *out = transfer_out_new(snapshot);
	totals_t totals = { 0 };

	for (transfer_out_status_t status = TRANSFER_OUT_MORE; status == TRANSFER_OUT_MORE; totals.messages++) {
		message_t msg;
		message_begin(&msg, snapshot, limit);
		status = transfer_out_fill(out, &msg);
		ck_assert_int_ne(status, TRANSFER_OUT_TOO_LARGE);
		ck_assert_uint_le(msg.size, limit);
		ck_assert_uint_eq(msg.count[SECTION_AUTHORITY] + msg.count[SECTION_ADDITIONAL], 0);
		knot_wire_set_ancount(wire, msg.count[SECTION_ANSWER]);
		collect(builder, msg.size, msg.count[SECTION_ANSWER]);
		transfer_status_t taken = transfer_in_message(in, wire, msg.size);
		ck_assert_msg(taken == (status == TRANSFER_OUT_MORE ? TRANSFER_MORE : TRANSFER_COMPLETE), "%s",
		              transfer_in_error(in));
		ck_assert(msg.size <= TRANSFER_OUT_FILL || msg.count[SECTION_ANSWER] == 1);
		totals.octets += msg.size;
		totals.records += msg.count[SECTION_ANSWER];
		totals.longest = msg.size > totals.longest ? msg.size : totals.longest;
	}
	transfer_out_free(out);

	/* Builders drop duplicates; none may have been sent. */
	ck_assert_uint_eq(totals.records, snapshot->records + 1);
	snapshot_t *arrived = NULL;
	history_run_t run = { 0 };
	ck_assert_int_eq(transfer_in_finish(in, NULL, &arrived, &run), KNOT_EOK);
	transfer_in_free(in);
	assert_same(snapshot, arrived);
	snapshot_unpin(arrived);
	ck_assert_int_eq(builder_finish(builder, &arrived), KNOT_EOK);
	assert_same(snapshot, arrived);
	snapshot_unpin(arrived);
	return totals;
}

static const struct {
	const char *apex;
	const char *text;
	size_t least;             /*!< Octets of a message that holds the largest record; 0: few. */
} zones[] = {
	{ "example.", SOA "@ NS ns.sub\n" },
	{ "example.", SOA "@ NS ns.sub\nns.sub A 192.0.2.1\nns.sub AAAA 2001:db8::1\n" },
	/* Names that refer to the owner, to each other, to the apex and above it, and to nothing. */
	{ "b.example.", "@ SOA ns.b.example. host.example. 1 2 3 4 5\n@ NS a.example.\n@ NS example.\n@ NS x.\n@ MX 1 mail.x.\n"
	                "@ MX 2 y.mail.x.\n@ MX 3 .\na.b NS ns.a.b\na.b NS ns2.a.b\na.b NS b\na.b NS a.b\nx.ns.a.b PTR ns.a.b\n" },
	/* Owners that share suffixes with the one before, and with one further back. */
	{ "example.", SOA "@ NS ns\na A 192.0.2.1\nb.a A 192.0.2.1\nc.b.a A 192.0.2.1\nd.b.a A 192.0.2.1\nd.a A 192.0.2.1\n"
	              "xa A 192.0.2.1\nb.xa A 192.0.2.1\na.b.a.b.a A 192.0.2.1\nb.b A 192.0.2.1\n" },
	/* Wildcards, aliases, case in RDATA. */
	{ "example.", SOA "@ NS ns\n* A 192.0.2.1\n*.a MX 1 *.a\n*.a MX 1 x.a\nb CNAME B\nc CNAME c.EXAMPLE.\nd DNAME d.example.\n" },
	/* Two names in one RDATA. */
	{ "example.", SOA "@ NS ns\na MINFO x.a y.x.a\na MINFO y.x.a x.\na MINFO . .\nb RP x.b y.b\n" },
	{ "example.", SOA "@ " SIG("SOA") "@ NS ns\n@ " SIG("NS") "@ NSEC a NS SOA\n@ " SIG("NSEC") "a A 192.0.2.1\na " SIG("A")
	              "a NSEC @ A\na " SIG("NSEC") "b " SIG("TXT") },
	{ "example.", SOA "@ " SIG("SOA") "@ NS ns\n@ NSEC3PARAM 1 0 0 -\n"
	              "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr NS SOA\n"
	              "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom " SIG("NSEC3")
	              "2t7b4g4vsa5smi47k61mv5bv1a22bojr NSEC3 1 1 0 - 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom\n" },
	/* Glue, occluded names, below a DNAME, odd labels. */
	{ "example.", SOA "@ NS ns\ncut NS ns.cut\nns.cut A 192.0.2.1\nx.y.cut TXT t\nd DNAME x.\nb.d A 192.0.2.1\n"
	              "\\000 A 192.0.2.1\n\\.\\000.a\\255 A 192.0.2.1\n\\192\\012 A 192.0.2.1\n" },
	{ "example.", SOA "@ NS ns\nt TYPE65280 \\# 0\nt TYPE65281 \\# 3 C00C00\nt SRV 1 2 3 t\nt SVCB 1 t alpn=h2\nt NAPTR 1 2 a b c t\n" },
	/* The root: no pointers to it. */
	{ ".", "@ SOA a.root. . 1 2 3 4 5\n@ NS a.root\n@ NS b.root\n@ NS .\na.root A 192.0.2.1\nb.root A 192.0.2.2\ncom NS a.com\ncom NS b.com\n"
	       "com NS a.root\na.com A 192.0.2.1\n" },
	{ "example.", SOA "@ NS ns\n" /* as long as names can be */
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb."
	  "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.ddddddddddddddddddddddddddddddddddddddddddddddddddddd MX 1 @\n"
	  "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
	  "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.b MX 1 a\n"
	  "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
	  "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.c.b MX 1 a\n", 540 },
};

/*! Limits that cut the zones at every place. */
static const size_t limits[] = { MESSAGE_MAX, TRANSFER_OUT_FILL, 4096, 777, 600 };

START_TEST(test_zone)
{
	snapshot_t *snapshot = support_zone(zones[_i].apex, zones[_i].text);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		(void)transfer(snapshot, limits[i]);
	}
	support_free(snapshot);
}
END_TEST

/* Limits that let the largest record through: with all of them, every record is the last of a message once. */
START_TEST(test_every_limit)
{
	snapshot_t *snapshot = support_zone(zones[_i].apex, zones[_i].text);
	if (snapshot->octets < 2000) {
		const size_t least = zones[_i].least > 0 ? zones[_i].least : 130;
		for (size_t limit = least; limit < least + 370; limit += support_is_full() ? 1 : 7) {
			(void)transfer(snapshot, limit);
		}
	}
	support_free(snapshot);
}
END_TEST

/* -- large RRsets ----------------------------------------------------------------------------------------------------- */

/*! Text with \a count lines of \a format, which has up to three places for the line's number. */
static char *repeat(const char *head, const char *format, unsigned count)
{
	char *text = malloc(strlen(head) + (size_t)count * 400 + 1);
	char *to = stpcpy(text, head);
	for (unsigned i = 0; i < count; i++) {
		to += snprintf(to, 400, format, i, i, i);
	}
	return text;
}

static const struct {
	const char *format;
	unsigned count;
} larges[] = {
	{ "big NS ns%u.hoster.test.\n", 1200 },
	{ "big NS n%u.big\n", 1200 },
	{ "@ NS ns%u\n", 1200 },
	{ "big MX %u mail%u.x.big\n", 1200 },
	{ "big PTR a%u.%u.%u.very.long.name.that.is.shared\n", 1200 },
	{ "big TXT \"%u\" \"a text that is somewhat longer than an address would be\"\n", 800 },
	{ "n%u A 192.0.2.1\n", 2500 },
	{ "n%u.a%u NS ns%u.hoster\n", 1200 },
};

START_TEST(test_large)
{
	char *text = repeat(SOA "@ NS ns.sub\n", larges[_i].format, larges[_i].count);
	snapshot_t *snapshot = support_zone("large.example.", text);
	totals_t totals = transfer(snapshot, MESSAGE_MAX);
	ck_assert_uint_gt(totals.messages, 1);
	ck_assert_uint_gt(totals.longest, TRANSFER_OUT_FILL - 600);
	if (support_is_full()) {
		(void)transfer(snapshot, 1000);
	}
	support_free(snapshot);
	free(text);
}
END_TEST

/*! A record of \a octets octets of RDATA. */
static char *large_record(size_t octets)
{
	char *text = malloc(4 * octets + 200);
	char *to = stpcpy(text, SOA "@ NS ns.sub\na A 192.0.2.1\nbig TYPE65280 \\# ");
	to += sprintf(to, "%zu ", octets);
	for (size_t i = 0; i < octets; i++) {
		to = stpcpy(to, "C0");
	}
	strcpy(to, "\nc.big A 192.0.2.1\nc.big MX 1 c.big\n");
	return text;
}

START_TEST(test_large_record)
{
	/* Header, question, owner and the record's head are taken off what a message holds. */
	const size_t head = MESSAGE_HEADER + 9 + 4 + 4 + 2 + 10, fits = MESSAGE_MAX - head;
	char *text = large_record(fits);
	snapshot_t *snapshot = support_zone("example.", text);
	totals_t totals = transfer(snapshot, MESSAGE_MAX);
	ck_assert_uint_eq(totals.longest, MESSAGE_MAX);
	ck_assert_uint_eq(totals.messages, 3);

	/* With one octet less there is no way. */
	transfer_out_t *out = transfer_out_new(snapshot);
	message_t msg;
	message_begin(&msg, snapshot, MESSAGE_MAX - 1);
	ck_assert_int_eq(transfer_out_fill(out, &msg), TRANSFER_OUT_MORE);
	message_begin(&msg, snapshot, MESSAGE_MAX - 1);
	const size_t before = msg.size;
	ck_assert_int_eq(transfer_out_fill(out, &msg), TRANSFER_OUT_TOO_LARGE);
	ck_assert_uint_eq(msg.size, before);
	transfer_out_free(out);
	support_free(snapshot);
	free(text);
}
END_TEST

/* -- sizes ------------------------------------------------------------------------------------------------------------ */

/*! Octets that libknot makes of the same records in the same order. */
static size_t knot_octets(const snapshot_t *snapshot)
{
	transfer_out_t *out = transfer_out_new((snapshot_t *)snapshot);
	message_t msg;
	message_begin(&msg, snapshot, MESSAGE_MAX);
	ck_assert_int_eq(transfer_out_fill(out, &msg), TRANSFER_OUT_COMPLETE);
	transfer_out_free(out);
	knot_wire_set_ancount(wire, msg.count[SECTION_ANSWER]);
	knot_pkt_t *in = knot_pkt_new(wire, msg.size, NULL);
	ck_assert_int_eq(knot_pkt_parse(in, 0), KNOT_EOK);

	knot_pkt_t *again = knot_pkt_new(NULL, MESSAGE_MAX, NULL);
	ck_assert_int_eq(knot_pkt_put_question(again, snapshot->apex, KNOT_CLASS_IN, KNOT_RRTYPE_AXFR), KNOT_EOK);
	ck_assert_int_eq(knot_pkt_begin(again, KNOT_ANSWER), KNOT_EOK);
	const knot_pktsection_t *answer = knot_pkt_section(in, KNOT_ANSWER);
	for (unsigned i = 0; i < answer->count; i++) {
		ck_assert_int_eq(knot_pkt_put(again, 0, knot_pkt_rr(answer, i), KNOT_PF_NOTRUNC), KNOT_EOK);
	}
	const size_t octets = again->size;
	knot_pkt_free(again);
	knot_pkt_free(in);
	return octets;
}

START_TEST(test_size)
{
	snapshot_t *snapshot = support_zone(zones[_i].apex, zones[_i].text);
	totals_t totals = transfer(snapshot, MESSAGE_MAX);
	/* libknot finds owners in RDATA, too: worth a few octets in zones as small as these. */
	ck_assert_uint_le(totals.octets, knot_octets(snapshot) * 21 / 20);
	support_free(snapshot);
}
END_TEST

/* -- random zones ----------------------------------------------------------------------------------------------------- */

static char *random_name(char *to, bool may_leave)
{
	static const char *const labels[] = { "a", "b", "*", "ns", "a-long-label-in-between", "aa", "b\\.c" };
	static const char *const ends[] = { "", "x.", "example.", "hoster.test.", "." };
	unsigned count = 1 + random() % 4;
	for (unsigned i = 0; i < count; i++) {
		to += sprintf(to, "%s%s", i > 0 ? "." : "", labels[random() % 7]);
	}
	if (may_leave && random() % 2 == 0) {
		to += sprintf(to, ".%s", ends[1 + random() % 3]);
	}
	return to;
}

static char *random_record(char *to)
{
	static const char *const heads[] = {
		" NS ", " MX 1 ", " PTR ", " MINFO ", " TXT ", " A 192.0.2.1", " AAAA 2001:db8::", " SRV 1 2 3 ", " AFSDB 1 ",
	};
	const unsigned type = random() % 9;
	to = stpcpy(random_name(to, false), heads[type]);
	switch (type) {
	case 3:
		*(to = random_name(to, true)) = ' ';
		to = random_name(to + 1, true);
		break;
	case 4:
	case 6:
		to += sprintf(to, "%lx", random() % 0xffff);
		break;
	case 5:
		break;
	default:
		to = random_name(to, true);
	}
	return stpcpy(to, "\n");
}

START_TEST(test_random)
{
	char *text = malloc(1 << 20);
	const unsigned rounds = support_is_full() ? 2000 : 20;
	for (unsigned round = 0; round < rounds; round++) {
		char *to = stpcpy(text, "@ SOA ns.sub host 1 2 3 4 5\n@ NS ns\n");
		for (unsigned records = random() % 600; records > 0; records--) {
			to = random_record(to);
		}
		snapshot_t *snapshot = support_zone(random() % 8 == 0 ? "." : "zone.example.", text);
		(void)transfer(snapshot, 400 + random() % (random() % 2 ? 300 : 20000));
		support_free(snapshot);
	}
	free(text);
}
END_TEST

/* The version stays whole while others replace it, and is freed with the transfer. */
START_TEST(test_pin)
{
	snapshot_t *snapshot = support_zone(zones[0].apex, zones[0].text);
	transfer_out_t *out = transfer_out_new(snapshot);
	ck_assert_ptr_eq(transfer_out_snapshot(out), snapshot);
	snapshot_unpin(snapshot);
	message_t msg;
	message_begin(&msg, snapshot, MESSAGE_MAX);
	ck_assert_int_eq(transfer_out_fill(out, &msg), TRANSFER_OUT_COMPLETE);
	transfer_out_free(out);
	transfer_out_free(NULL);
	rcu_barrier();
}
END_TEST

static void setup(void)
{
	rcu_register_thread();
}

static void teardown(void)
{
	rcu_unregister_thread();
}

static TCase *add_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);
	tcase_set_timeout(tcase, 0);
	tcase_add_checked_fixture(tcase, setup, teardown);
	suite_add_tcase(suite, tcase);
	return tcase;
}

int main(void)
{
	srandom(support_seed());
	Suite *suite = suite_create("transfer_out");
	const int zone_count = sizeof(zones) / sizeof(zones[0]);
	TCase *tcase = add_case(suite, "zones");
	tcase_add_loop_test(tcase, test_zone, 0, zone_count);
	tcase_add_loop_test(tcase, test_size, 0, zone_count);
	tcase_add_test(tcase, test_pin);
	tcase = add_case(suite, "limits");
	tcase_add_loop_test(tcase, test_every_limit, 0, zone_count);
	tcase = add_case(suite, "large");
	tcase_add_loop_test(tcase, test_large, 0, sizeof(larges) / sizeof(larges[0]));
	tcase_add_test(tcase, test_large_record);
	tcase = add_case(suite, "random");
	tcase_add_test(tcase, test_random);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
