/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of increment_out.h: what is written is read again by libknot and compared record for record, in order.
 */
#include <check.h>
#include <libknot/libknot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/increment_out.h"
#include "support.h"

/*! What an increment came to. */
typedef struct {
	size_t messages;
	size_t octets;
	size_t records;
	size_t longest;
} totals_t;

static uint8_t wire[MESSAGE_MAX];
static uint8_t apex[255];
static size_t apex_len;

static void message_begin(message_t *msg, size_t limit)
{
	memset(wire, 0, MESSAGE_HEADER);
	knot_wire_set_qr(wire);
	knot_wire_set_qdcount(wire, 1);
	memcpy(wire + MESSAGE_HEADER, apex, apex_len);
	const size_t end = MESSAGE_HEADER + apex_len;
	knot_wire_write_u16(wire + end, KNOT_RRTYPE_IXFR);
	knot_wire_write_u16(wire + end + 2, KNOT_CLASS_IN);
	*msg = (message_t) { .wire = wire, .size = end + 4, .limit = limit, .qname_end = end };
}

/* -- differences from versions ---------------------------------------------------------------------------------------- */

/*! The difference between two versions of the zone that are given as text. */
static difference_t *differ(const char *zone, const char *old_text, const char *new_text)
{
	snapshot_t *old = support_zone(zone, old_text);
	snapshot_t *new = support_zone(zone, new_text);
	difference_t *difference = NULL;
	ck_assert_int_eq(difference_compute(old, new, SIZE_MAX, &difference), KNOT_EOK);
	support_free(old);
	support_free(new);
	return difference;
}

/*! A way of \a count steps between versions. */
static history_run_t way(const char *zone, const char *const versions[], size_t count)
{
	history_run_t run = { .item = calloc(count, sizeof(difference_t *)), .count = count };
	for (size_t i = 0; i < count; i++) {
		run.item[i] = differ(zone, versions[i], versions[i + 1]);
		run.octets += run.item[i]->size;
	}
	apex_len = support_name(zone, apex);
	return run;
}

static history_run_t way_again(const history_run_t *run)
{
	history_run_t copy = *run;
	copy.item = calloc(run->count, sizeof(difference_t *));
	for (size_t i = 0; i < run->count; i++) {
		copy.item[i] = difference_hold(run->item[i]);
	}
	return copy;
}

/* -- what is to arrive ------------------------------------------------------------------------------------------------ */

/*! The records of the way as they are to arrive, the way to be walked by next(). */
typedef struct {
	const history_run_t *run;
	size_t step;
	const uint8_t *at, *end;
} expected_t;

static bool expected_next(expected_t *expected, difference_record_t *ret_record)
{
	const history_run_t *run = expected->run;
	const difference_t *last = run->item[run->count - 1];
	while (expected->at == expected->end) {
		const size_t step = expected->step++;
		if (step > run->count + 1) {
			return false;
		}
		if (step == 0 || step == run->count + 1) {
			expected->at = last->octets + last->added_at;
			expected->end = difference_read(expected->at, ret_record);
		} else {
			expected->at = run->item[step - 1]->octets;
			expected->end = expected->at + run->item[step - 1]->size;
		}
	}
	expected->at = difference_read(expected->at, ret_record);
	return true;
}

static void assert_record(const knot_rrset_t *rr, const difference_record_t *record)
{
	uint8_t owner[510];
	memcpy(owner, record->owner, record->owner_len);
	memcpy(owner + record->owner_len, apex, apex_len);
	ck_assert(knot_dname_is_equal(rr->owner, owner));
	ck_assert_uint_eq(rr->type, record->type);
	ck_assert_uint_eq(rr->rclass, KNOT_CLASS_IN);
	ck_assert_uint_eq(rr->ttl, record->ttl);
	ck_assert_uint_eq(rr->rrs.rdata->len, record->rdlen);
	ck_assert_mem_eq(rr->rrs.rdata->data, record->rdata, record->rdlen);
}

/*! Reads a message as a client with libknot does. */
static void assert_message(size_t size, size_t records, expected_t *expected)
{
	knot_pkt_t *pkt = knot_pkt_new(wire, size, NULL);
	ck_assert_int_eq(knot_pkt_parse(pkt, KNOT_PF_NOCANON), KNOT_EOK);
	const knot_pktsection_t *answer = knot_pkt_section(pkt, KNOT_ANSWER);
	ck_assert_uint_eq(answer->count, records);
	for (unsigned i = 0; i < answer->count; i++) {
		difference_record_t record;
		ck_assert(expected_next(expected, &record));
		assert_record(knot_pkt_rr(answer, i), &record);
	}
	knot_pkt_free(pkt);
}

/*! Sends the way in messages of at most \a limit octets and checks what arrives. */
static totals_t send_way(const history_run_t *run, size_t limit)
{
	history_run_t taken = way_again(run);
	increment_out_t *out = increment_out_new(apex, apex_len, &taken);
	ck_assert_ptr_null(taken.item);
	ck_assert_uint_eq(increment_out_serial(out), run->item[run->count - 1]->to);
	expected_t expected = { .run = run };
	totals_t totals = { 0 };

	for (transfer_out_status_t status = TRANSFER_OUT_MORE; status == TRANSFER_OUT_MORE; totals.messages++) {
		message_t msg;
		message_begin(&msg, limit);
		status = increment_out_fill(out, &msg);
		ck_assert_int_ne(status, TRANSFER_OUT_TOO_LARGE);
		ck_assert_uint_le(msg.size, limit);
		ck_assert_uint_eq(msg.count[SECTION_AUTHORITY] + msg.count[SECTION_ADDITIONAL], 0);
		ck_assert(msg.size <= TRANSFER_OUT_FILL || msg.count[SECTION_ANSWER] == 1);
		knot_wire_set_ancount(wire, msg.count[SECTION_ANSWER]);
		assert_message(msg.size, msg.count[SECTION_ANSWER], &expected);
		totals.octets += msg.size;
		totals.records += msg.count[SECTION_ANSWER];
		totals.longest = msg.size > totals.longest ? msg.size : totals.longest;
	}
	increment_out_free(out);
	difference_record_t none;
	ck_assert(!expected_next(&expected, &none));
	return totals;
}

/* -- cases ------------------------------------------------------------------------------------------------------------ */

#define SOA(serial) "@ 3600 SOA ns.sub host " #serial " 2 3 4 5\n@ NS ns.sub\n"

static const struct {
	const char *apex;
	const char *version[5];
} ways[] = {
	{ "example.", { SOA(1), SOA(2) } },
	{ "example.", { SOA(1), SOA(2) "a A 192.0.2.1\n", SOA(3) "a A 192.0.2.2\n", SOA(9) } },
	/* Names that are compressed, and those that are not. */
	{ "b.example.", { SOA(1) "@ MX 1 mail\n@ MX 2 mail.example.\na CNAME b.a\nc MINFO x.c y.x.c\n",
	                  SOA(2) "@ NS .\n@ MX 3 .\na CNAME C.B.EXAMPLE.\nc MINFO . b.example.\nd SRV 1 2 3 d\nd RP d x.d\n" } },
	/* Owners that share suffixes, in one difference and from one to the next. */
	{ "example.", { SOA(1) "a A 192.0.2.1\nb.a A 192.0.2.1\nc.b.a A 192.0.2.1\nd.b.a A 192.0.2.1\nd.a A 192.0.2.1\n",
	                SOA(2) "xa A 192.0.2.1\nb.xa A 192.0.2.1\na.b.a.b.a A 192.0.2.1\nb.b A 192.0.2.1\nb.b TXT t\nb.b A 192.0.2.2\n",
	                SOA(3) "a A 192.0.2.1\n* MX 1 *\n*.a MX 1 x.a\n\\000.a A 192.0.2.1\n\\..a A 192.0.2.1\n",
	                SOA(4294967295) } },
	{ "example.", { SOA(1) "t TYPE65280 \\# 0\nt TYPE65281 \\# 3 C00C00\n", SOA(2) "t TYPE65280 \\# 3 C00C00\nt TYPE65281 \\# 0\n" } },
	/* The root: no pointers to it. */
	{ ".", { "@ SOA a.root. . 1 2 3 4 5\n@ NS a.root\ncom NS a.com\ncom NS .\n",
	         "@ SOA a.root. . 2 2 3 4 5\n@ NS b.root\ncom NS b.com\norg NS a.com\na.com A 192.0.2.1\n" } },
	/* As long as names can be. */
	{ "example.", { SOA(1),
	  SOA(2) "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb."
	  "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.ddddddddddddddddddddddddddddddddddddddddddddddddddddd MINFO "
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb."
	  "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.ddddddddddddddddddddddddddddddddddddddddddddddddddddd "
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb."
	  "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.ddddddddddddddddddddddddddddddddddddddddddddddddddddd\n" } },
};

static history_run_t way_of(size_t i)
{
	size_t count = 0;
	while (count + 1 < 5 && ways[i].version[count + 1] != NULL) {
		count++;
	}
	return way(ways[i].apex, ways[i].version, count);
}

/*! Limits that let the largest record through: with all of them, every record is the last of a message once. */
START_TEST(test_way)
{
	history_run_t run = way_of(_i);
	(void)send_way(&run, MESSAGE_MAX);
	(void)send_way(&run, TRANSFER_OUT_FILL);
	for (size_t limit = 800; limit < 1200; limit += support_is_full() ? 1 : 7) {
		(void)send_way(&run, limit);
	}
	for (size_t limit = 130; _i < 6 && limit < 500; limit += support_is_full() ? 1 : 7) {
		(void)send_way(&run, limit);
	}
	history_run_clear(&run);
}
END_TEST

START_TEST(test_large)
{
	char *text = malloc(1 << 20);
	char *to = stpcpy(text, SOA(2));
	for (unsigned i = 0; i < 3000; i++) {
		to += sprintf(to, "n%u.a%u NS ns%u.hoster\nbig MX %u mail%u.x.big\n", i, i % 7, i, i, i);
	}
	history_run_t run = way("large.example.", (const char *const[]) { SOA(1), text, SOA(3) }, 2);
	totals_t totals = send_way(&run, MESSAGE_MAX);
	ck_assert_uint_gt(totals.messages, 5);
	ck_assert_uint_gt(totals.longest, TRANSFER_OUT_FILL - 600);
	ck_assert_uint_lt(totals.octets, run.octets);
	ck_assert_uint_eq(totals.records, 2 + 2 * 6002);
	history_run_clear(&run);
	free(text);
}
END_TEST

START_TEST(test_large_record)
{
	/* Header, question, owner and the record's head are taken off what a message holds. */
	const size_t head = MESSAGE_HEADER + 9 + 4 + 4 + 2 + 10, fits = MESSAGE_MAX - head;
	char *text = malloc(4 * MESSAGE_MAX);
	char *to = text + sprintf(text, SOA(2) "big TYPE65280 \\# %zu ", fits);
	for (size_t i = 0; i < fits; i++) {
		to = stpcpy(to, "C0");
	}
	strcpy(to, "\nc.big MX 1 c.big\n");
	history_run_t run = way("example.", (const char *const[]) { SOA(1), text }, 1);
	totals_t totals = send_way(&run, MESSAGE_MAX);
	ck_assert_uint_eq(totals.longest, MESSAGE_MAX);
	ck_assert_uint_eq(totals.messages, 3);

	/* With one octet less there is no way. */
	increment_out_t *out = increment_out_new(apex, apex_len, &run);
	message_t msg;
	message_begin(&msg, MESSAGE_MAX - 1);
	ck_assert_int_eq(increment_out_fill(out, &msg), TRANSFER_OUT_MORE);
	message_begin(&msg, MESSAGE_MAX - 1);
	const size_t before = msg.size;
	ck_assert_int_eq(increment_out_fill(out, &msg), TRANSFER_OUT_TOO_LARGE);
	ck_assert_uint_eq(msg.size, before);
	increment_out_free(out);
	increment_out_free(NULL);
	free(text);
}
END_TEST

static char *random_name(char *to)
{
	static const char *const labels[] = { "a", "b", "*", "ns", "a-long-label-in-between", "aa", "b\\.c" };
	for (unsigned count = 1 + random() % 4, i = 0; i < count; i++) {
		to += sprintf(to, "%s%s", i > 0 ? "." : "", labels[random() % 7]);
	}
	return to;
}

static void random_version(char *to, unsigned serial)
{
	static const char *const heads[] = { " NS ", " MX 1 ", " PTR ", " SRV 1 2 3 " };
	to += sprintf(to, "@ SOA ns.sub host %u 2 3 4 5\n@ NS ns\n", serial);
	for (unsigned records = random() % 200; records > 0; records--) {
		to = stpcpy(random_name(to), heads[random() % 4]);
		to = stpcpy(random_name(to), "\n");
	}
}

START_TEST(test_random)
{
	enum { VERSIONS = 4 };
	char *text[VERSIONS];
	for (unsigned i = 0; i < VERSIONS; i++) {
		text[i] = malloc(1 << 17);
	}
	for (unsigned rounds = support_is_full() ? 2000 : 20; rounds > 0; rounds--) {
		for (unsigned i = 0; i < VERSIONS; i++) {
			random_version(text[i], i + 1);
		}
		history_run_t run = way(random() % 8 == 0 ? "." : "zone.example.", (const char *const *)text, VERSIONS - 1);
		(void)send_way(&run, 400 + random() % (random() % 2 ? 300 : 20000));
		history_run_clear(&run);
	}
	for (unsigned i = 0; i < VERSIONS; i++) {
		free(text[i]);
	}
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

int main(void)
{
	srandom(support_seed());
	TCase *tcase = tcase_create("increment_out");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 0);
	tcase_add_loop_test(tcase, test_way, 0, sizeof(ways) / sizeof(ways[0]));
	tcase_add_test(tcase, test_large);
	tcase_add_test(tcase, test_large_record);
	tcase_add_test(tcase, test_random);

	Suite *suite = suite_create("increment_out");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
