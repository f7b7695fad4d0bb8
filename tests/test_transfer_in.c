/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of transfer_in.h: streams written in a small language, cut, changed and compared with zones from text.
 */
#include <check.h>
#include <libknot/libknot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/amend.h"
#include "secondary/expire_option.h"
#include "secondary/transfer_in.h"
#include "secondary/wire.h"
#include "support.h"

#define APEX "example."
#define MESSAGES_MAX 16
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/*! Zone text that the words "soa" and "ns" stand for. */
#define SOA_TEXT "@ 3600 SOA ns host 1 2 3 4 5\n"
#define BASE     SOA_TEXT "@ 3600 NS ns\n"

typedef struct {
	uint8_t *wire;
	size_t len;
	size_t max;
	size_t last_owner;   /*!< Where the last owner stands. */
	unsigned section;    /*!< 0 answer, 1 authority, 2 additional. */
} message_t;

typedef struct {
	message_t *message;
	size_t count;
} stream_t;

/*! Type in the question. */
static uint16_t asked = KNOT_RRTYPE_AXFR;

/* Writing streams.
 *
 * A stream is words, "|" between messages. A message begins with a response header and the question. Records:
 *   soa[=SERIAL] soattl soacase soamname   the zone's SOA, as is or with one thing different
 *   ns, nsof=NAME, a=NAME, A=NAME (owner in upper case), +a (owner: pointer to the last owner), ++a (to a pointer)
 *   txt=NAME (no compression), cname=NAME, mx=NAME, dname=NAME, soaof=NAME, ttl=NAME (highest bit set), soaa (SOA of type A)
 *   type=N  ch=NAME  rdlong=NAME  rdshort=NAME  loop  forward  beyond  badlabel  longname  big
 *   opt optext optname tsig  (in any section);  AUTH ADD begin the next section
 * Header: qr0 opcode=N rcode=N tc aa0 noq qname qtype qclass q2 count=N trail cut=N header */

static void put(message_t *msg, const void *octets, size_t len)
{
	if (msg->len + len > msg->max) {
		msg->max = 2 * (msg->len + len);
		msg->wire = realloc(msg->wire, msg->max);
		ck_assert_ptr_nonnull(msg->wire);
	}
	memcpy(msg->wire + msg->len, octets, len);
	msg->len += len;
}

static void put_u16(message_t *msg, uint16_t value)
{
	uint8_t octets[2];
	knot_wire_write_u16(octets, value);
	put(msg, octets, 2);
}

static void put_u32(message_t *msg, uint32_t value)
{
	uint8_t octets[4];
	knot_wire_write_u32(octets, value);
	put(msg, octets, 4);
}

/*! A name, in full: relative ones below the apex. */
static void put_name_full(message_t *msg, const char *text)
{
	char absolute[1024];
	size_t len = strlen(text);
	bool is_apex = strcmp(text, "@") == 0, is_absolute = len > 0 && text[len - 1] == '.';
	snprintf(absolute, sizeof(absolute), "%s%s", is_apex ? "" : text, is_apex ? APEX : is_absolute ? "" : "." APEX);
	uint8_t name[WIRE_NAME_MAX];
	put(msg, name, support_name(absolute, name));
}

/*! An owner, its apex as a pointer to the question (12) if there is one. */
static void put_owner(message_t *msg, const char *text)
{
	msg->last_owner = msg->len;
	put_name_full(msg, text);
	size_t apex_len = sizeof("\x07" "example");
	if (knot_wire_get_qdcount(msg->wire) > 0 && text[strlen(text) - 1] != '.') {
		msg->len -= apex_len;
		put_u16(msg, 0xC00C);
	}
}

static void count_record(message_t *msg)
{
	switch (msg->section) {
	case 0:
		knot_wire_add_ancount(msg->wire, 1);
		break;
	case 1:
		knot_wire_add_nscount(msg->wire, 1);
		break;
	default:
		knot_wire_add_arcount(msg->wire, 1);
	}
}

/*! Type to TTL; returns where RDLENGTH stands. */
static size_t put_fixed(message_t *msg, uint16_t type)
{
	count_record(msg);
	put_u16(msg, type);
	put_u16(msg, KNOT_CLASS_IN);
	put_u32(msg, 3600);
	put_u16(msg, 0);
	return msg->len - 2;
}

static void end_rdata(message_t *msg, size_t rdlen_pos)
{
	knot_wire_write_u16(msg->wire + rdlen_pos, msg->len - rdlen_pos - 2);
}

static void put_record(message_t *msg, const char *owner, uint16_t type, const void *rdata, size_t len)
{
	put_owner(msg, owner);
	size_t pos = put_fixed(msg, type);
	put(msg, rdata, len);
	end_rdata(msg, pos);
}

static void put_a(message_t *msg, const char *owner)
{
	put_record(msg, owner, KNOT_RRTYPE_A, "\xC0\x00\x02\x01", 4);
}

static void put_soa(message_t *msg, const char *owner, const char *mname, uint32_t serial)
{
	put_owner(msg, owner);
	size_t pos = put_fixed(msg, KNOT_RRTYPE_SOA);
	put_name_full(msg, mname);
	put_name_full(msg, "host");
	put_u32(msg, serial);
	for (uint32_t i = 2; i <= 5; i++) {
		put_u32(msg, i);
	}
	end_rdata(msg, pos);
}

static void put_name_record(message_t *msg, const char *owner, uint16_t type, const char *target)
{
	put_owner(msg, owner);
	size_t pos = put_fixed(msg, type);
	if (type == KNOT_RRTYPE_MX) {
		put_u16(msg, 10);
	}
	put_name_full(msg, target);
	end_rdata(msg, pos);
}

static void put_opt(message_t *msg, const char *owner, uint32_t ttl)
{
	count_record(msg);
	put(msg, owner, strlen(owner) + 1);
	put_u16(msg, KNOT_RRTYPE_OPT);
	put_u16(msg, 1232);
	put_u32(msg, ttl);
	put_u16(msg, 0);
}

static void put_question(message_t *msg, const char *name, uint16_t type, uint16_t qclass)
{
	put_name_full(msg, name);
	put_u16(msg, type);
	put_u16(msg, qclass);
	knot_wire_set_qdcount(msg->wire, knot_wire_get_qdcount(msg->wire) + 1);
}

static void begin_message(message_t *msg)
{
	put(msg, "\x00\x00\x84\x00\x00\x00\x00\x00\x00\x00\x00\x00", 12);
	put_question(msg, "@", asked, KNOT_CLASS_IN);
}

/*! Records with a pointer for an owner. */
static void put_pointed(message_t *msg, uint16_t pointer)
{
	put_u16(msg, 0xC000 | pointer);
	size_t pos = put_fixed(msg, KNOT_RRTYPE_AAAA);
	put(msg, "\x20\x01\x0D\xB8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", 16);
	end_rdata(msg, pos);
}

static bool put_header_word(message_t *msg, const char *word, const char *value)
{
	uint8_t *wire = msg->wire; /* Of the header: not to be used after put(). */
	if (strcmp(word, "qr0") == 0) {
		knot_wire_clear_qr(wire);
	} else if (strcmp(word, "opcode") == 0) {
		knot_wire_set_opcode(wire, atoi(value));
	} else if (strcmp(word, "rcode") == 0) {
		knot_wire_set_rcode(wire, atoi(value));
	} else if (strcmp(word, "tc") == 0) {
		knot_wire_set_tc(wire);
	} else if (strcmp(word, "aa0") == 0) {
		knot_wire_clear_aa(wire);
	} else if (strcmp(word, "noq") == 0) {
		knot_wire_set_qdcount(wire, 0);
		msg->len = KNOT_WIRE_HEADER_SIZE;
	} else if (strcmp(word, "qname") == 0 || strcmp(word, "qtype") == 0 || strcmp(word, "qclass") == 0) {
		knot_wire_set_qdcount(wire, 0);
		msg->len = KNOT_WIRE_HEADER_SIZE;
		put_question(msg, word[1] == 'n' ? "www" : "@", word[1] == 't' ? KNOT_RRTYPE_SOA : asked,
		             word[1] == 'c' ? KNOT_CLASS_CH : KNOT_CLASS_IN);
	} else if (strcmp(word, "q2") == 0) {
		put_question(msg, "@", asked, KNOT_CLASS_IN);
	} else if (strcmp(word, "count") == 0) {
		knot_wire_set_ancount(wire, atoi(value));
	} else if (strcmp(word, "trail") == 0) {
		put(msg, "", 1);
	} else if (strcmp(word, "cut") == 0) {
		msg->len -= atoi(value);
	} else if (strcmp(word, "header") == 0) {
		msg->len = atoi(value);
	} else if (strcmp(word, "AUTH") == 0 || strcmp(word, "ADD") == 0) {
		msg->section = word[1] == 'U' ? 1 : 2;
	} else {
		return false;
	}
	return true;
}

/*! Records that are wrong in their octets. */
static bool put_odd_word(message_t *msg, const char *word, const char *value)
{
	if (strcmp(word, "loop") == 0) {
		put_pointed(msg, msg->len);
	} else if (strcmp(word, "forward") == 0) {
		put_pointed(msg, msg->len + 2);
	} else if (strcmp(word, "beyond") == 0) {
		put_pointed(msg, 0x3FFF);
	} else if (strcmp(word, "badlabel") == 0) {
		put(msg, "\x40" "a\x00", 3);
		put_fixed(msg, KNOT_RRTYPE_A);
	} else if (strcmp(word, "longname") == 0) {
		for (unsigned i = 0; i < 8; i++) {
			put(msg, "\x1F" "0123456789012345678901234567890", 32);
		}
		put(msg, "", 1);
		size_t pos = put_fixed(msg, KNOT_RRTYPE_A);
		put(msg, "\x01\x02\x03\x04", 4);
		end_rdata(msg, pos);
	} else if (strcmp(word, "rdlong") == 0) {
		put_a(msg, value);
		knot_wire_write_u16(msg->wire + msg->len - 6, 5);
	} else if (strcmp(word, "rdshort") == 0) {
		put_record(msg, value, KNOT_RRTYPE_A, "\x01\x02\x03", 3);
	} else if (strcmp(word, "soashort") == 0) {
		put_record(msg, "@", KNOT_RRTYPE_SOA, "\x00\x00\x00\x00", 4);
	} else if (strcmp(word, "ch") == 0) {
		put_a(msg, value);
		knot_wire_write_u16(msg->wire + msg->len - 12, KNOT_CLASS_CH);
	} else if (strcmp(word, "ttl") == 0) {
		put_a(msg, value);
		knot_wire_write_u32(msg->wire + msg->len - 10, 0x80000001);
	} else if (strcmp(word, "big") == 0) {
		put_owner(msg, "big");
		size_t pos = put_fixed(msg, 65280);
		for (unsigned i = 0; i < 65000 / 8; i++) {
			put(msg, "12345678", 8);
		}
		end_rdata(msg, pos);
	} else if (strcmp(word, "type") == 0) {
		put_record(msg, "odd", atoi(value), "\x00", 1);
	} else if (strcmp(word, "opt") == 0) {
		put_opt(msg, "", 0);
	} else if (strcmp(word, "optext") == 0) {
		put_opt(msg, "", 1 << 24);
	} else if (strcmp(word, "optname") == 0) {
		put_opt(msg, "\x01" "a", 0);
	} else if (strcmp(word, "expire") == 0) {
		put_opt(msg, "", 0);
		msg->len -= 2;
		put(msg, "\x00\x08\x00\x09\x00\x04", 6);
		put_u32(msg, strtoul(value, NULL, 10));
	} else {
		return false;
	}
	return true;
}

static void put_word(message_t *msg, const char *word, const char *value)
{
	if (put_header_word(msg, word, value) || put_odd_word(msg, word, value)) {
		return;
	}
	if (strcmp(word, "soa") == 0) {
		put_soa(msg, "@", "ns", *value != '\0' ? atoi(value) : 1);
	} else if (strcmp(word, "soacase") == 0) {
		put_soa(msg, "EXAMPLE.", "nS", 1);
	} else if (strcmp(word, "soamname") == 0) {
		put_soa(msg, "@", "ns2", 1);
	} else if (strcmp(word, "soattl") == 0) {
		put_soa(msg, "@", "ns", 1);
		knot_wire_write_u32(msg->wire + msg->last_owner + 2 + 4, 7);
	} else if (strcmp(word, "soaof") == 0) {
		put_soa(msg, value, "ns", 1);
	} else if (strcmp(word, "ns") == 0) {
		put_name_record(msg, "@", KNOT_RRTYPE_NS, "ns");
	} else if (strcmp(word, "nsof") == 0) {
		put_name_record(msg, value, KNOT_RRTYPE_NS, "ns");
	} else if (strcmp(word, "cname") == 0) {
		put_name_record(msg, value, KNOT_RRTYPE_CNAME, "ns");
	} else if (strcmp(word, "dname") == 0) {
		put_name_record(msg, value, KNOT_RRTYPE_DNAME, "ns");
	} else if (strcmp(word, "mx") == 0) {
		put_name_record(msg, value, KNOT_RRTYPE_MX, "ns");
	} else if (strcmp(word, "a") == 0) {
		put_a(msg, value);
	} else if (strcmp(word, "txt") == 0) {
		put_record(msg, value, KNOT_RRTYPE_TXT, "\x04text", 5);
	} else if (strcmp(word, "+a") == 0) {
		put_pointed(msg, msg->last_owner);
	} else if (strcmp(word, "++a") == 0) {
		size_t pointer = msg->len;
		put_pointed(msg, msg->last_owner);
		put_pointed(msg, pointer);
	} else {
		ck_abort_msg("unknown word '%s'", word);
	}
}

static stream_t stream_write(const char *text)
{
	stream_t stream = { .message = calloc(MESSAGES_MAX, sizeof(message_t)), .count = 1 };
	ck_assert_ptr_nonnull(stream.message);
	begin_message(&stream.message[0]);
	char *copy = strdup(text), *state = NULL;
	for (char *word = strtok_r(copy, " ", &state); word != NULL; word = strtok_r(NULL, " ", &state)) {
		if (strcmp(word, "|") == 0) {
			ck_assert_uint_lt(stream.count, MESSAGES_MAX);
			begin_message(&stream.message[stream.count++]);
			continue;
		}
		char *value = strchr(word, '=');
		if (value != NULL) {
			*value++ = '\0';
		}
		put_word(&stream.message[stream.count - 1], word, value != NULL ? value : "");
	}
	free(copy);
	return stream;
}

static void stream_free(stream_t *stream)
{
	for (size_t i = 0; i < stream->count; i++) {
		free(stream->message[i].wire);
	}
	free(stream->message);
}

/* Reading them. */

static transfer_in_t *begin_at(const snapshot_t *base)
{
	static const builder_limits_t limits = { 0 };
	transfer_in_t *transfer = transfer_in_new((const uint8_t *)"\x07" "EXAMPLE", &limits, base);
	ck_assert_ptr_nonnull(transfer);
	ck_assert_str_eq(transfer_in_error(transfer), "");
	ck_assert_int_eq(transfer_in_kind(transfer), TRANSFER_UNKNOWN);
	return transfer;
}

static transfer_in_t *begin(void)
{
	return begin_at(NULL);
}

/*! Finishes a full transfer. */
static int finish(transfer_in_t *transfer, snapshot_t **ret_snapshot)
{
	history_run_t run = { 0 };
	int ret = transfer_in_finish(transfer, NULL, ret_snapshot, &run);
	ck_assert_uint_eq(run.count, 0);
	return ret;
}

/*! Digests the first \a len octets of a message from memory of exactly that size. */
static transfer_status_t feed(transfer_in_t *transfer, const uint8_t *octets, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, octets, len);
	transfer_status_t status = transfer_in_message(transfer, copy, len);
	free(copy);
	ck_assert_int_eq(status == TRANSFER_FAILED, *transfer_in_error(transfer) != '\0');
	return status;
}

/*! Digests \a count messages, each but the last of which must ask for more. */
static transfer_status_t feed_stream(transfer_in_t *transfer, const stream_t *stream, size_t count)
{
	transfer_status_t status = TRANSFER_MORE;
	for (size_t i = 0; i < count; i++) {
		ck_assert_int_eq(status, TRANSFER_MORE);
		status = feed(transfer, stream->message[i].wire, stream->message[i].len);
	}
	return status;
}

static const struct {
	const char *stream;
	const char *zone;      /*!< What it makes. */
	unsigned records;
} good[] = {
	{ "soa ns soa", BASE, 2 },
	{ "soa | ns | soa", BASE, 2 },
	{ "soa | ns soa", BASE, 2 },
	{ "soa ns | soa", BASE, 2 },
	{ "soa ns a=ns | soa", BASE "ns A 192.0.2.1\n", 3 },
	{ "soa ns a=ns +a | a=www +a | soa",
	  BASE "ns A 192.0.2.1\nns AAAA 2001:db8::1\nwww A 192.0.2.1\nwww AAAA 2001:db8::1\n", 6 },
	{ "soa ns a=ns ++a soa", BASE "ns A 192.0.2.1\nns AAAA 2001:db8::1\n", 5 },
	{ "soa ns a=ns a=a a=b a=c a=ns.a +a soa",
	  BASE "ns A 192.0.2.1\na A 192.0.2.1\nb A 192.0.2.1\nc A 192.0.2.1\nns.a A 192.0.2.1\nns.a AAAA 2001:db8::1\n", 8 },
	{ "noq soa ns a=ns +a | noq a=www | noq soa", BASE "ns A 192.0.2.1\nns AAAA 2001:db8::1\nwww A 192.0.2.1\n", 5 },
	{ "soa ns | noq a=www soa", BASE "www A 192.0.2.1\n", 3 },
	{ "aa0 soa ns soa", BASE, 2 },
	{ "soa ns soacase", BASE, 2 },
	{ "soa ns soattl", BASE, 2 },
	{ "soa ns ADD opt | soa ADD opt", BASE, 2 },
	{ "soa ns AUTH a=x ADD a=y opt | soa", BASE, 2 },
	{ "soa ns AUTH nsof=@ ADD a=y.other. | soa", BASE, 2 },
	{ "soa ns a=WWW soa", BASE "www A 192.0.2.1\n", 3 },
	{ "soa ns a=www a=www soa", BASE "www A 192.0.2.1\n", 4 },
	{ "soa ns ttl=www soa", BASE "www 0 A 192.0.2.1\n", 3 },
	{ "soa ns a=www txt=a mx=www txt=www soa", BASE "www A 192.0.2.1\nwww TXT text\nwww MX 10 ns\na TXT text\n", 6 },
	{ "soa ns cname=alias soa", BASE "alias CNAME ns\n", 3 },
	{ "soa ns nsof=sub a=host.sub soa", BASE "sub NS ns\nhost.sub A 192.0.2.1\n", 4 },
	{ "soa ns dname=d a=below.d soa", BASE "d DNAME ns\nbelow.d A 192.0.2.1\n", 4 },
	{ "soa ns a=* soa", BASE "* A 192.0.2.1\n", 3 },
	{ "soa ns type=65280 type=127 type=1000 soa",
	  BASE "odd TYPE65280 \\# 1 00\nodd TYPE127 \\# 1 00\nodd TYPE1000 \\# 1 00\n", 5 },
	{ "soa=4294967295 ns soa=4294967295", "@ 3600 SOA ns host 4294967295 2 3 4 5\n@ 3600 NS ns\n", 2 },
	{ "soa a=www | ns soa", BASE "www A 192.0.2.1\n", 3 },
};

/*! Complete, and the zone is as expected. */
START_TEST(test_good)
{
	stream_t stream = stream_write(good[_i].stream);
	transfer_in_t *transfer = begin();
	uint32_t serial;
	ck_assert(!transfer_in_serial(transfer, &serial));
	transfer_status_t status = feed_stream(transfer, &stream, stream.count);
	ck_assert_msg(status == TRANSFER_COMPLETE, "%s: %s", good[_i].stream, transfer_in_error(transfer));

	transfer_counts_t counts = transfer_in_counts(transfer);
	ck_assert_uint_eq(counts.messages, stream.count);
	ck_assert_uint_eq(counts.records, good[_i].records);
	size_t octets = 0;
	for (size_t i = 0; i < stream.count; i++) {
		octets += stream.message[i].len;
	}
	ck_assert_uint_eq(counts.octets, octets);

	snapshot_t *snapshot = NULL;
	ck_assert_msg(finish(transfer, &snapshot) == KNOT_EOK, "%s", transfer_in_error(transfer));
	ck_assert(transfer_in_serial(transfer, &serial));
	ck_assert_uint_eq(serial, snapshot->soa.serial);
	transfer_in_free(transfer);

	char *dump = support_dump(snapshot), *want = support_text(APEX, good[_i].zone);
	ck_assert_str_eq(dump, want);
	free(dump);
	free(want);
	support_free(snapshot);
	stream_free(&stream);
}
END_TEST

/*! Abandoned after any message: not complete. */
START_TEST(test_good_cut)
{
	stream_t stream = stream_write(good[_i].stream);
	for (size_t count = 0; count < stream.count; count++) {
		transfer_in_t *transfer = begin();
		ck_assert_int_eq(feed_stream(transfer, &stream, count), TRANSFER_MORE);
		transfer_in_free(transfer);
	}
	stream_free(&stream);
}
END_TEST

/*! Any message cut after any octet: failed. */
START_TEST(test_message_cut)
{
	stream_t stream = stream_write(good[_i].stream);
	for (size_t count = 0; count < stream.count; count++) {
		for (size_t len = 0; len < stream.message[count].len; len++) {
			transfer_in_t *transfer = begin();
			ck_assert_int_eq(feed_stream(transfer, &stream, count), TRANSFER_MORE);
			ck_assert_int_eq(feed(transfer, stream.message[count].wire, len), TRANSFER_FAILED);
			transfer_in_free(transfer);
		}
	}
	stream_free(&stream);
}
END_TEST

/*! Whatever comes behind the end: failed. */
START_TEST(test_after_end)
{
	stream_t stream = stream_write(good[_i].stream);
	for (size_t i = 0; i < stream.count; i++) {
		transfer_in_t *transfer = begin();
		ck_assert_int_eq(feed_stream(transfer, &stream, stream.count), TRANSFER_COMPLETE);
		ck_assert_int_eq(feed(transfer, stream.message[i].wire, stream.message[i].len), TRANSFER_FAILED);
		ck_assert_str_eq(transfer_in_error(transfer), "message behind the last SOA");
		transfer_in_free(transfer);
	}
	stream_free(&stream);
}
END_TEST

static const struct {
	const char *stream;
	const char *error;
} bad[] = {
	/* The header. */
	{ "rcode=5", "server responded with error 'REFUSED'" },
	{ "rcode=2", "server responded with error 'SERVFAIL'" },
	{ "rcode=9", "server responded with error 'NOTAUTH'" },
	{ "rcode=15", "server responded with error 'RCODE 15'" },
	{ "rcode=5 noq", "server responded with error 'REFUSED'" },
	{ "rcode=5 soa ns soa", "server responded with error 'REFUSED'" },
	{ "soa | rcode=2", "server responded with error 'SERVFAIL'" },
	{ "soa ns soa ADD optext", "server responded with error 'BADVERS'" },
	{ "ADD optext", "server responded with error 'BADVERS'" },
	{ "qr0 soa ns soa", "message 1 is not a response" },
	{ "soa | qr0 ns", "message 2 is not a response" },
	{ "opcode=4 soa ns soa", "unexpected opcode 4" },
	{ "tc soa ns soa", "truncated message 1" },
	{ "header=0", "malformed message 1" },
	{ "header=11", "malformed message 1" },
	{ "soa | header=11", "malformed message 2" },
	/* The question. */
	{ "q2 soa ns soa", "malformed message 1" },
	{ "qname soa ns soa", "answer to another question" },
	{ "qtype soa ns soa", "answer to another question" },
	{ "qclass soa ns soa", "answer to another question" },
	{ "soa | qname ns soa", "answer to another question" },
	{ "header=20", "malformed message 1" },
	{ "header=24", "malformed message 1" },
	/* Beginning and end. */
	{ "", "message 1 without records" },
	{ "soa | ", "message 2 without records" },
	{ "AUTH soa", "message 1 without records" },
	{ "soa | ADD opt", "message 2 without records" },
	{ "ns soa", "first record is not SOA" },
	{ "a=www", "first record is not SOA" },
	{ "soaof=sub ns", "first SOA is not the zone's at sub.example." },
	{ "soaof=other.", "first SOA is not the zone's at other." },
	{ "soaof=.", "first SOA is not the zone's at ." },
	{ "soaof=another.", "first SOA is not the zone's at another." }, /* as long as ours */
	{ "soashort", "malformed message 1" },
	{ "soa ns soa=2", "zone changed during the transfer, serial 1 -> 2" },
	{ "soa=5 ns | soa=4294967295", "zone changed during the transfer, serial 5 -> 4294967295" },
	{ "soa ns soamname", "last SOA differs from the first" },
	{ "soa ns soashort", "malformed message 1" },
	{ "soa ns soa a=www", "records behind the last SOA" },
	{ "soa ns soa soa", "records behind the last SOA" },
	{ "soa ns | soa | soa", "message behind the last SOA" },
	{ "soa ns | soaof=sub", "SOA below the zone apex at sub.example." },
	/* Records. */
	{ "soa ns a=www.other. soa", "record outside the zone at www.other." },
	{ "soa ns a=xexample. soa", "record outside the zone at xexample." },
	{ "soa ns a=. soa", "record outside the zone at ." },
	{ "soa ns soaof=other. soa", "record outside the zone at other." },
	{ "soa ns soaof=another. soa", "record outside the zone at another." },
	{ "soa ns ch=www soa", "record of another class at www.example." },
	{ "soa | ns ch=www", "record of another class at www.example." },
	{ "soa ns opt soa", "record of another class at ." },
	{ "soa ns type=0 soa", "record of a meta type at odd.example." },
	{ "soa ns type=41 soa", "record of a meta type at odd.example." },
	{ "soa ns type=128 soa", "record of a meta type at odd.example." },
	{ "soa ns type=249 soa", "record of a meta type at odd.example." },
	{ "soa ns type=250 soa", "record of a meta type at odd.example." },
	{ "soa ns type=251 soa", "record of a meta type at odd.example." },
	{ "soa ns type=252 soa", "record of a meta type at odd.example." },
	{ "soa ns type=255 soa", "record of a meta type at odd.example." },
	{ "soa ns rdlong=www", "malformed message 1" },
	{ "soa ns rdshort=www soa", "malformed message 1" },
	{ "soa ns rdlong=www soa", "malformed message 1" },
	{ "soa ns loop soa", "malformed message 1" },
	{ "soa ns forward soa", "malformed message 1" },
	{ "soa ns beyond soa", "malformed message 1" },
	{ "soa ns badlabel soa", "malformed message 1" },
	{ "soa ns longname soa", "malformed message 1" },
	{ "soa | ns loop", "malformed message 2" },
	/* Counts and lengths. */
	{ "soa ns soa count=4", "malformed message 1" },
	{ "soa ns soa count=65535", "malformed message 1" },
	{ "soa ns soa count=2", "malformed message 1" },
	{ "soa ns soa count=0", "malformed message 1" },
	{ "soa ns soa trail", "malformed message 1" },
	{ "soa ns soa cut=1", "malformed message 1" },
	{ "soa ns soa AUTH loop", "malformed message 1" },
	{ "soa ns soa AUTH opt", "malformed message 1" },
	{ "soa ns soa ADD expire=1", "remote is expired, ignoring" },
	{ "soa ns ADD expire=0", "remote is expired, ignoring" },
	{ "soa ns soa ADD optname", "malformed message 1" },
	{ "soa ns soa ADD rdlong=www", "malformed message 1" },
	{ "soa ns soa ADD a=www cut=3", "malformed message 1" },
};

START_TEST(test_bad)
{
	stream_t stream = stream_write(bad[_i].stream);
	transfer_in_t *transfer = begin();
	transfer_status_t status = TRANSFER_MORE;
	size_t i = 0;
	while (i < stream.count && status != TRANSFER_FAILED) {
		status = feed(transfer, stream.message[i].wire, stream.message[i].len);
		i++;
	}
	ck_assert_msg(status == TRANSFER_FAILED, "%s: not refused", bad[_i].stream);
	ck_assert_uint_eq(i, stream.count);
	ck_assert_msg(strcmp(transfer_in_error(transfer), bad[_i].error) == 0, "%s: %s", bad[_i].stream,
	              transfer_in_error(transfer));
	ck_assert_uint_eq(transfer_in_counts(transfer).messages, stream.count);
	transfer_in_free(transfer);
	stream_free(&stream);
}
END_TEST

/*! Complete streams whose content is refused. */
static const struct {
	const char *stream;
	const char *error;
} refused[] = {
	{ "soa soa", "no NS at the zone apex" },
	{ "soa | a=www | soa", "no NS at the zone apex" },
	{ "soa nsof=sub soa", "no NS at the zone apex" },
	{ "soa ns cname=www a=www soa", "CNAME beside other data at www.example." },
	{ "soa ns a=www | cname=www | soa", "CNAME beside other data at www.example." },
	{ "soa ns a=www | a=x | cname=www soa", "CNAME beside other data at www.example." },
};

START_TEST(test_refused)
{
	stream_t stream = stream_write(refused[_i].stream);
	transfer_in_t *transfer = begin();
	transfer_status_t status = feed_stream(transfer, &stream, stream.count);
	if (status == TRANSFER_COMPLETE) {
		snapshot_t *snapshot = NULL;
		ck_assert_int_ne(finish(transfer, &snapshot), KNOT_EOK);
		ck_assert_ptr_null(snapshot);
	} else {
		ck_assert_int_eq(status, TRANSFER_FAILED); /* The builder may tell as early as it can. */
	}
	ck_assert_str_eq(transfer_in_error(transfer), refused[_i].error);
	transfer_in_free(transfer);
	stream_free(&stream);
}
END_TEST

/*! A message of 64 KiB, one record in it. */
START_TEST(test_large_message)
{
	stream_t stream = stream_write("soa ns big | big soa");
	transfer_in_t *transfer = begin();
	ck_assert_int_eq(feed_stream(transfer, &stream, stream.count), TRANSFER_COMPLETE);
	ck_assert_uint_gt(transfer_in_counts(transfer).octets, 130000);
	snapshot_t *snapshot = NULL;
	ck_assert_int_eq(finish(transfer, &snapshot), KNOT_EOK);
	support_free(snapshot);
	transfer_in_free(transfer);
	stream_free(&stream);
}
END_TEST

START_TEST(test_expire)
{
	static const struct {
		const char *stream;
		uint32_t expire;
	} cases[] = {
		{ "soa ns soa", EXPIRE_NONE }, { "soa ns soa ADD opt", EXPIRE_NONE }, { "soa ns soa ADD expire=2", 2 },
		{ "soa ns ADD expire=4294967294 | soa ADD expire=0", 4294967294 }, { "soa ns | soa ADD expire=5", EXPIRE_NONE },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		stream_t stream = stream_write(cases[i].stream);
		transfer_in_t *transfer = begin();
		ck_assert_int_eq(feed_stream(transfer, &stream, stream.count), TRANSFER_COMPLETE);
		ck_assert_uint_eq(transfer_in_expire(transfer), cases[i].expire);
		transfer_in_free(transfer);
		stream_free(&stream);
	}
}
END_TEST

START_TEST(test_limit)
{
	builder_limits_t limits = { .max_octets = 150 };
	stream_t stream = stream_write("soa ns a=a a=b a=c a=d a=e a=f a=g a=h | soa");
	transfer_in_t *transfer = transfer_in_new((const uint8_t *)"\x07" "example", &limits, NULL);
	ck_assert_int_eq(feed_stream(transfer, &stream, 1), TRANSFER_FAILED);
	ck_assert_str_eq(transfer_in_error(transfer), "zone too large");
	transfer_in_free(transfer);
	stream_free(&stream);
}
END_TEST

/* Increments. */

/*! The zone that they begin at. */
#define OLD BASE "www A 192.0.2.1\nns A 192.0.2.1\nns AAAA 2001:db8::1\n"
#define NEW(serial) "@ 3600 SOA ns host " #serial " 2 3 4 5\n@ 3600 NS ns\n"

static const struct {
	const char *stream;
	const char *zone;      /*!< What the zone is then. */
	unsigned records;
	unsigned differences;  /*!< 0: AXFR-style. */
} increments[] = {
	{ "soa=2 soa=1 soa=2 a=a soa=2", NEW(2) "www A 192.0.2.1\nns A 192.0.2.1\nns AAAA 2001:db8::1\na A 192.0.2.1\n", 4, 1 },
	{ "soa=2 soa=1 a=www soa=2 soa=2", NEW(2) "ns A 192.0.2.1\nns AAAA 2001:db8::1\n", 4, 1 },
	{ "soa=2 soa=1 a=WWW soa=2 soa=2", NEW(2) "ns A 192.0.2.1\nns AAAA 2001:db8::1\n", 4, 1 },
	{ "soa=2 soa=1 soa=2 soa=2", NEW(2) "www A 192.0.2.1\nns A 192.0.2.1\nns AAAA 2001:db8::1\n", 3, 1 },
	{ "soa=2 | soa=1 | a=www | soa=2 | a=x +a | soa=2",
	  NEW(2) "ns A 192.0.2.1\nns AAAA 2001:db8::1\nx A 192.0.2.1\nx AAAA 2001:db8::1\n", 6, 1 },
	{ "soa=2 soa=1 a=ns +a soa=2 a=* mx=ns ttl=www2 | noq soa=2",
	  NEW(2) "www A 192.0.2.1\n* A 192.0.2.1\nns MX 10 ns\nwww2 0 A 192.0.2.1\n", 8, 1 },
	/* Several sequences. */
	{ "soa=3 soa=1 a=www soa=2 a=a soa=2 a=a soa=3 a=b soa=3",
	  NEW(3) "ns A 192.0.2.1\nns AAAA 2001:db8::1\nb A 192.0.2.1\n", 9, 2 },
	{ "soa=9 soa=1 soa=4 soa=4 soa=6 soa=6 soa=7 soa=7 | soa=9 soa=9",
	  NEW(9) "www A 192.0.2.1\nns A 192.0.2.1\nns AAAA 2001:db8::1\n", 9, 4 },
	{ "soa=3 soa=1 a=www soa=2 | soa=2 soa=3 a=www soa=3",
	  NEW(3) "www A 192.0.2.1\nns A 192.0.2.1\nns AAAA 2001:db8::1\n", 7, 2 },
	/* The whole zone in place of an increment. */
	{ "soa=2 ns a=x soa=2", NEW(2) "x A 192.0.2.1\n", 3, 0 },
	{ "soa=2 | ns | soa=2", NEW(2), 2, 0 },
	{ "soa=2 a=x ns +a | noq soa=2", NEW(2) "x A 192.0.2.1\n@ AAAA 2001:db8::1\n", 4, 0 },
	{ "soa=1 ns soa=1", NEW(1), 2, 0 },
	{ "soa=2 soa=1 soa=2 AUTH a=x ADD opt | a=www2 soa=2",
	  NEW(2) "www A 192.0.2.1\nns A 192.0.2.1\nns AAAA 2001:db8::1\nwww2 A 192.0.2.1\n", 4, 1 },
};

/*! Complete, the zone is as expected, and the differences lead to it. */
START_TEST(test_increment)
{
	snapshot_t *base = support_zone(APEX, OLD);
	transfer_in_t *transfer = begin_at(base);
	stream_t stream = stream_write(increments[_i].stream);
	transfer_status_t status = feed_stream(transfer, &stream, stream.count);
	ck_assert_msg(status == TRANSFER_COMPLETE, "%s: %s", increments[_i].stream, transfer_in_error(transfer));
	ck_assert_uint_eq(transfer_in_counts(transfer).records, increments[_i].records);
	ck_assert_int_eq(transfer_in_kind(transfer), increments[_i].differences > 0 ? TRANSFER_INCREMENT : TRANSFER_FULL);

	snapshot_t *snapshot = NULL;
	history_run_t run = { 0 };
	int ret = transfer_in_finish(transfer, base, &snapshot, &run);
	ck_assert_msg(ret == KNOT_EOK, "%s", transfer_in_error(transfer));
	transfer_in_free(transfer);
	ck_assert_uint_eq(run.count, increments[_i].differences);
	for (size_t i = 0; i < run.count; i++) {
		ck_assert(difference_is_sound(run.item[i]));
		ck_assert_uint_eq(run.item[i]->from, i == 0 ? 1 : run.item[i - 1]->to);
	}
	history_run_clear(&run);

	char *dump = support_dump(snapshot), *want = support_text(APEX, increments[_i].zone);
	ck_assert_str_eq(dump, want);
	free(dump);
	free(want);
	snapshot_discard(snapshot);
	support_free(base);
	stream_free(&stream);
}
END_TEST

/*! Abandoned after any message, and cut after any octet of the last. */
START_TEST(test_increment_cut)
{
	snapshot_t *base = support_zone(APEX, OLD);
	stream_t stream = stream_write(increments[_i].stream);
	for (size_t count = 0; count < stream.count; count++) {
		for (size_t len = 0; len < stream.message[count].len; len++) {
			transfer_in_t *transfer = begin_at(base);
			ck_assert_int_eq(feed_stream(transfer, &stream, count), TRANSFER_MORE);
			ck_assert_int_eq(feed(transfer, stream.message[count].wire, len), TRANSFER_FAILED);
			transfer_in_free(transfer);
		}
	}
	stream_free(&stream);
	support_free(base);
}
END_TEST

/*! Streams that are no increment of the zone; with an end, what is found only then. */
static const struct {
	const char *stream;
	const char *error;
} misfits[] = {
	{ "rcode=4", "server responded with error 'NOTIMPL'" },
	{ "soa=2 soa=1 | rcode=2", "server responded with error 'SERVFAIL'" },
	{ "", "message 1 without records" },
	{ "ns", "first record is not SOA" },
	{ "soaof=sub soa=1 soa=2", "first SOA is not the zone's at sub.example." },
	{ "soa=3 soa=2 a=www soa=3 soa=3", "increment leads from serial 2, not from 1" },
	{ "soa=3 soa=0 soa=3 soa=3", "increment leads from serial 0, not from 1" },
	{ "soa=4 soa=1 soa=2 soa=3 soa=4 soa=4", "increment leads from serial 3, not from 2" },
	{ "soa=4 soa=1 soa=2 | soa=1 soa=4 soa=4", "increment leads from serial 1, not from 2" },
	{ "soa=4 soa=1 soa=2 soa=4", "increment leads from serial 4, not from 2" },
	{ "soa=2 soa=1 soa=1 soa=1 soa=2 soa=2", "increment leads back, serial 1 -> 1" },
	{ "soa=2 soa=1 soa=0 soa=0 soa=2 soa=2", "increment leads back, serial 1 -> 0" },
	{ "soa=3 soa=1 soa=2 soa=2 soa=1 soa=1 soa=3 soa=3", "increment leads back, serial 2 -> 1" },
	{ "soa=2 soa=1 soa=2 a=a soa=2 a=b", "records behind the last SOA" },
	{ "soa=2 soa=1 soa=2 soa=2 soa=2", "records behind the last SOA" },
	{ "soa=2 soa=1 soa=2 | soa=2 | soa=2", "message behind the last SOA" },
	{ "soa=1 soa=2 soa=1", "increment leads from serial 2, not from 1" },
	{ "soa=2 soa=1 a=www.other. soa=2 soa=2", "record outside the zone at www.other." },
	{ "soa=2 soa=1 soa=2 a=xexample. soa=2", "record outside the zone at xexample." },
	{ "soa=2 soa=1 soa=2 a=. soa=2", "record outside the zone at ." },
	{ "soa=2 soa=1 soaof=sub soa=2 soa=2", "SOA below the zone apex at sub.example." },
	{ "soa=2 soa=1 soa=2 soaof=sub soa=2", "SOA below the zone apex at sub.example." },
	{ "soa=2 soa=1 ch=www soa=2 soa=2", "record of another class at www.example." },
	{ "soa=2 soa=1 type=250", "record of a meta type at odd.example." },
	{ "soa=2 soa=1 rdlong=www", "malformed message 1" },
	{ "qtype soa=2 soa=1", "answer to another question" },
	{ "soa=2 soa=1 soa=2 soa=2 count=5", "malformed message 1" },
	{ "soa=2 soa=1 soa=2 ADD expire=1", "remote is expired, ignoring" },
	{ "soa ADD expire=1", "remote is expired, ignoring" },
	{ "soa=2 soa=2", "no NS at the zone apex" },
	{ "soa=2 ns a=www soa=3", "zone changed during the transfer, serial 2 -> 3" },
};

START_TEST(test_misfit)
{
	snapshot_t *base = support_zone(APEX, OLD);
	transfer_in_t *transfer = begin_at(base);
	stream_t stream = stream_write(misfits[_i].stream);
	transfer_status_t status = TRANSFER_MORE;
	size_t i = 0;
	while (i < stream.count && status != TRANSFER_FAILED) {
		status = feed(transfer, stream.message[i].wire, stream.message[i].len);
		i++;
	}
	ck_assert_uint_eq(i, stream.count);
	if (status == TRANSFER_COMPLETE) {
		snapshot_t *snapshot = NULL;
		history_run_t run = { 0 };
		ck_assert_int_ne(transfer_in_finish(transfer, base, &snapshot, &run), KNOT_EOK);
		ck_assert(snapshot == NULL && run.item == NULL);
	} else {
		ck_assert_msg(status == TRANSFER_FAILED, "%s: not refused", misfits[_i].stream);
	}
	ck_assert_msg(strcmp(transfer_in_error(transfer), misfits[_i].error) == 0, "%s: %s", misfits[_i].stream,
	              transfer_in_error(transfer));
	transfer_in_free(transfer);
	stream_free(&stream);
	support_free(base);
}
END_TEST

/*! Sequences that another version than ours is meant by, or that lead to no zone: nothing comes of them, and ours is as before. */
static const char *const unfit[] = {
	"soa=2 soa=1 a=nothere soa=2 soa=2", "soa=2 soa=1 soa=2 a=www soa=2", "soa=2 soa=1 txt=www soa=2 soa=2",
	"soa=2 soa=1 soa=2 cname=www soa=2", "soa=2 soa=1 ns soa=2 soa=2", "soa=2 soa=1 a=www a=www soa=2 soa=2",
	"soa=3 soa=1 a=www soa=2 soa=2 a=www soa=3 soa=3",
};

START_TEST(test_unfit)
{
	snapshot_t *base = support_zone(APEX, OLD);
	char *before = support_dump(base);
	transfer_in_t *transfer = begin_at(base);
	stream_t stream = stream_write(unfit[_i]);
	ck_assert_int_eq(feed_stream(transfer, &stream, stream.count), TRANSFER_COMPLETE);
	snapshot_t *snapshot = NULL;
	history_run_t run = { 0 };
	ck_assert_msg(transfer_in_finish(transfer, base, &snapshot, &run) != KNOT_EOK, "%s", unfit[_i]);
	ck_assert(snapshot == NULL && run.item == NULL);
	ck_assert_str_ne(transfer_in_error(transfer), "");
	transfer_in_free(transfer);
	stream_free(&stream);
	char *after = support_dump(base);
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
	support_free(base);
}
END_TEST

/*! A single SOA: nothing newer, or the beginning of something. */
START_TEST(test_single_soa)
{
	static const struct {
		const char *stream;
		transfer_status_t status;
	} cases[] = {
		{ "soa=1", TRANSFER_UNCHANGED }, { "soa=0", TRANSFER_UNCHANGED }, { "soa=4294967295", TRANSFER_UNCHANGED },
		{ "soa=1 ADD expire=7", TRANSFER_UNCHANGED }, { "noq soa=1", TRANSFER_UNCHANGED }, { "soacase", TRANSFER_UNCHANGED },
		{ "soa=2", TRANSFER_MORE }, { "soa=2147483648", TRANSFER_MORE }, { "soa=2147483649", TRANSFER_MORE },
	};
	snapshot_t *base = support_zone(APEX, OLD);
	for (size_t i = 0; i < COUNT(cases); i++) {
		transfer_in_t *transfer = begin_at(base);
		stream_t stream = stream_write(cases[i].stream);
		ck_assert_int_eq(feed_stream(transfer, &stream, 1), cases[i].status);
		uint32_t serial;
		ck_assert(transfer_in_serial(transfer, &serial));
		ck_assert_int_eq(transfer_in_kind(transfer), TRANSFER_UNKNOWN);
		ck_assert_uint_eq(transfer_in_expire(transfer), strstr(cases[i].stream, "expire") != NULL ? 7 : EXPIRE_NONE);
		if (cases[i].status == TRANSFER_UNCHANGED) {
			ck_assert_int_eq(feed(transfer, stream.message[0].wire, stream.message[0].len), TRANSFER_FAILED);
		}
		transfer_in_free(transfer);
		stream_free(&stream);
	}
	support_free(base);
}
END_TEST

/*! Of a zone that was asked for as a whole a single SOA is no answer. */
START_TEST(test_single_soa_of_all)
{
	stream_t stream = stream_write("soa=1");
	transfer_in_t *transfer = begin();
	ck_assert_int_eq(feed_stream(transfer, &stream, 1), TRANSFER_MORE);
	ck_assert_int_eq(transfer_in_kind(transfer), TRANSFER_FULL);
	transfer_in_free(transfer);
	stream_free(&stream);
}
END_TEST

/*! An increment that is worth less than the zone is broken off, before it costs memory. */
START_TEST(test_increment_limit)
{
	snapshot_t *base = support_zone(APEX, OLD);
	size_t rounds = (2 * base->octets + TRANSFER_INCREMENT_SLACK) / 65000;
	transfer_in_t *transfer = begin_at(base);
	stream_t first = stream_write("soa=2 soa=1"), more = stream_write("big");
	ck_assert_int_eq(feed_stream(transfer, &first, 1), TRANSFER_MORE);
	for (size_t i = 0; i < rounds; i++) {
		ck_assert_int_eq(feed(transfer, more.message[0].wire, more.message[0].len), TRANSFER_MORE);
	}
	ck_assert_int_eq(feed(transfer, more.message[0].wire, more.message[0].len), TRANSFER_FAILED);
	ck_assert_str_eq(transfer_in_error(transfer), "increment larger than the zone is worth");
	transfer_in_free(transfer);
	stream_free(&first);
	stream_free(&more);
	support_free(base);
}
END_TEST

/*! An increment fits a compact copy of its base as well, and no other version. */
START_TEST(test_other_base)
{
	snapshot_t *base = support_zone(APEX, OLD), *copy = NULL;
	ck_assert_int_eq(amend_compact(base, &copy), KNOT_EOK);
	snapshot_t *others[] = { copy, support_zone(APEX, NEW(7) "www A 192.0.2.1\n") };
	stream_t stream = stream_write("soa=2 soa=1 a=www soa=2 soa=2");
	for (size_t i = 0; i < COUNT(others); i++) {
		transfer_in_t *transfer = begin_at(base);
		ck_assert_int_eq(feed_stream(transfer, &stream, 1), TRANSFER_COMPLETE);
		snapshot_t *snapshot = NULL;
		history_run_t run = { 0 };
		int ret = transfer_in_finish(transfer, others[i], &snapshot, &run);
		ck_assert_int_eq(ret, i == 0 ? KNOT_EOK : KNOT_ENOENT);
		history_run_clear(&run);
		snapshot_discard(snapshot);
		transfer_in_free(transfer);
		support_free(others[i]);
	}
	stream_free(&stream);
	support_free(base);
}
END_TEST

/*! Random changes of increments. */
START_TEST(test_increment_random)
{
	srandom(support_seed());
	snapshot_t *base = support_zone(APEX, OLD);
	char *before = support_dump(base);
	unsigned rounds = support_is_full() ? 1000000 : 3000;
	for (unsigned round = 0; round < rounds; round++) {
		stream_t stream = stream_write(increments[random() % COUNT(increments)].stream);
		transfer_in_t *transfer = begin_at(base);
		transfer_status_t status = TRANSFER_MORE;
		for (size_t i = 0; i < stream.count && status == TRANSFER_MORE; i++) {
			message_t *msg = &stream.message[i];
			for (unsigned j = random() % 3; j > 0; j--) {
				msg->wire[random() % msg->len] = random() % 3 ? random() : 0xC0 | random() % 4;
			}
			status = feed(transfer, msg->wire, msg->len);
		}
		snapshot_t *snapshot = NULL;
		history_run_t run = { 0 };
		if (status == TRANSFER_COMPLETE && transfer_in_finish(transfer, base, &snapshot, &run) == KNOT_EOK) {
			history_run_clear(&run);
			snapshot_discard(snapshot);
		}
		transfer_in_free(transfer);
		stream_free(&stream);
	}
	char *after = support_dump(base);
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
	support_free(base);
}
END_TEST

/*! The last owner of one message must not be taken for a name at the same place of the next. */
START_TEST(test_owner_memory)
{
	/* The second message has "b" where the first has "a"; the last one the question where the one before it has "c". */
	stream_t stream = stream_write("soa ns | a=a +a | a=b +a | noq a=c | txt=@ soa");
	ck_assert_uint_eq(stream.message[1].last_owner, stream.message[2].last_owner);
	ck_assert_uint_eq(stream.message[3].last_owner, KNOT_WIRE_HEADER_SIZE);
	transfer_in_t *transfer = begin();
	ck_assert_int_eq(feed_stream(transfer, &stream, stream.count), TRANSFER_COMPLETE);
	snapshot_t *snapshot = NULL;
	ck_assert_int_eq(finish(transfer, &snapshot), KNOT_EOK);
	char *dump = support_dump(snapshot);
	char *want = support_text(APEX, BASE "a A 192.0.2.1\na AAAA 2001:db8::1\nb A 192.0.2.1\nb AAAA 2001:db8::1\n"
	                                 "c A 192.0.2.1\n@ TXT text\n");
	ck_assert_str_eq(dump, want);
	free(dump);
	free(want);
	support_free(snapshot);
	transfer_in_free(transfer);
	stream_free(&stream);
}
END_TEST

START_TEST(test_query)
{
	uint8_t longest[WIRE_NAME_MAX] = { 0 }, query[TRANSFER_QUERY_MAX];
	for (size_t i = 0; i < 254; i += 2) {
		memcpy(longest + i, "\x01" "x", 2);
	}
	const uint8_t *const names[] = { (const uint8_t *)"", (const uint8_t *)"\x07" "ExAmple", longest };
	for (size_t i = 0; i < 6; i++) {
		bool edns = i >= 3;
		const uint8_t *name = names[i % 3];
		size_t len = transfer_in_query(name, NULL, edns, query);
		knot_pkt_t *pkt = knot_pkt_new(query, len, NULL);
		ck_assert_int_eq(knot_pkt_parse(pkt, 0), KNOT_EOK);
		ck_assert_uint_eq(knot_wire_get_id(query), 0);
		ck_assert_uint_eq(knot_wire_get_flags1(query) | knot_wire_get_flags2(query), 0);
		ck_assert_uint_eq(knot_pkt_qtype(pkt), KNOT_RRTYPE_AXFR);
		ck_assert_uint_eq(knot_pkt_qclass(pkt), KNOT_CLASS_IN);
		ck_assert(knot_dname_is_equal(query + 12, name));
		ck_assert_int_eq(knot_pkt_has_edns(pkt), edns);
		const uint8_t *expire = knot_pkt_edns_option(pkt, KNOT_EDNS_OPTION_EXPIRE);
		ck_assert(edns ? expire != NULL && knot_edns_opt_get_length(expire) == 0 : expire == NULL);
		knot_pkt_free(pkt);
	}
}
END_TEST

/*! A record as support_text() has it. Own: free() it. */
static char *record_text(const knot_rrset_t *rrset)
{
	knot_dump_style_t style = KNOT_DUMP_STYLE_DEFAULT;
	style.show_class = true;
	style.show_ttl = true;
	size_t size = 4096;
	char *line = malloc(size);
	ck_assert_int_gt(knot_rrset_txt_dump(rrset, &line, &size, &style), 0);
	char *text = support_text(".", line);
	free(line);
	return text;
}

/*! The query for an increment has our SOA, in full. */
START_TEST(test_query_increment)
{
	static const char longest[] =
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx."
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.";
	static const struct {
		const char *apex, *soa;
	} cases[] = {
		{ "example.", "ns host 7 2 3 4 5" }, { ".", "a. b. 4294967295 2 3 4 5" }, { longest, "@ @ 1 2 3 4 5" },
		{ "example.", "ns.other. Host.ns.other. 7 2 3 4 5" },
	};
	for (size_t i = 0; i < 2 * COUNT(cases); i++) {
		bool edns = i >= COUNT(cases);
		char text[1024];
		snprintf(text, sizeof(text), "@ 77 SOA %s\n", cases[i % COUNT(cases)].soa);
		char *want = support_text(cases[i % COUNT(cases)].apex, text);
		strcat(text, "@ NS a.\n");
		snapshot_t *base = support_zone(cases[i % COUNT(cases)].apex, text);

		uint8_t query[TRANSFER_QUERY_MAX];
		size_t len = transfer_in_query(base->apex, base, edns, query);
		ck_assert_uint_le(len, sizeof(query));
		knot_pkt_t *pkt = knot_pkt_new(query, len, NULL);
		ck_assert_int_eq(knot_pkt_parse(pkt, KNOT_PF_NOCANON), KNOT_EOK);
		ck_assert_uint_eq(knot_pkt_qtype(pkt), KNOT_RRTYPE_IXFR);
		ck_assert_int_eq(knot_pkt_has_edns(pkt), edns);
		const knot_pktsection_t *authority = knot_pkt_section(pkt, KNOT_AUTHORITY);
		ck_assert_uint_eq(authority->count, 1);
		ck_assert_uint_eq(knot_pkt_section(pkt, KNOT_ANSWER)->count, 0);
		char *got = record_text(knot_pkt_rr(authority, 0));
		ck_assert_str_eq(got, want);
		free(got);
		free(want);
		knot_pkt_free(pkt);
		support_free(base);
	}
}
END_TEST

START_TEST(test_unused)
{
	transfer_in_free(NULL);
	transfer_in_t *transfer = begin();
	transfer_counts_t counts = transfer_in_counts(transfer);
	ck_assert_uint_eq(counts.messages + counts.octets + counts.records, 0);
	transfer_in_free(transfer);
}
END_TEST

/*! Random changes of good streams: any end is right, but no read out of bounds, no leak, and an error has a reason. */
START_TEST(test_random)
{
	srandom(support_seed());
	unsigned rounds = support_is_full() ? 1000000 : 3000;
	for (unsigned round = 0; round < rounds; round++) {
		stream_t stream = stream_write(good[random() % (sizeof(good) / sizeof(good[0]))].stream);
		transfer_in_t *transfer = begin();
		transfer_status_t status = TRANSFER_MORE;
		for (size_t i = 0; i < stream.count && status == TRANSFER_MORE; i++) {
			message_t *msg = &stream.message[i];
			for (unsigned j = random() % 3; j > 0; j--) {
				msg->wire[random() % msg->len] = random() % 3 ? random() : 0xC0 | random() % 4;
			}
			status = feed(transfer, msg->wire, msg->len);
		}
		snapshot_t *snapshot = NULL;
		if (status == TRANSFER_COMPLETE && finish(transfer, &snapshot) == KNOT_EOK) {
			snapshot_unpin(snapshot);
		}
		transfer_in_free(transfer);
		stream_free(&stream);
	}
}
END_TEST

static void increments_setup(void)
{
	rcu_register_thread();
	asked = KNOT_RRTYPE_IXFR;
}

static void rcu_setup(void)
{
	rcu_register_thread();
}

static void rcu_teardown(void)
{
	rcu_barrier();
	rcu_unregister_thread();
	asked = KNOT_RRTYPE_AXFR;
}

int main(void)
{
	/* The records of a version are freed by call_rcu(); where none is made there is nothing to wait for. */
	TCase *streams = tcase_create("streams");
	tcase_set_timeout(streams, 300);
	tcase_add_loop_test(streams, test_good_cut, 0, COUNT(good));
	tcase_add_loop_test(streams, test_message_cut, 0, COUNT(good));
	tcase_add_loop_test(streams, test_after_end, 0, COUNT(good));
	tcase_add_loop_test(streams, test_bad, 0, COUNT(bad));
	tcase_add_loop_test(streams, test_refused, 0, COUNT(refused));
	tcase_add_test(streams, test_single_soa_of_all);
	tcase_add_test(streams, test_expire);
	tcase_add_test(streams, test_limit);
	tcase_add_test(streams, test_query);
	tcase_add_test(streams, test_unused);

	TCase *zones = tcase_create("zones");
	tcase_add_checked_fixture(zones, rcu_setup, rcu_teardown);
	tcase_set_timeout(zones, 300);
	tcase_add_loop_test(zones, test_good, 0, COUNT(good));
	tcase_add_test(zones, test_large_message);
	tcase_add_test(zones, test_owner_memory);
	tcase_add_test(zones, test_random);
	tcase_add_test(zones, test_query_increment);

	TCase *changes = tcase_create("increments");
	tcase_add_checked_fixture(changes, increments_setup, rcu_teardown);
	tcase_set_timeout(changes, 300);
	tcase_add_loop_test(changes, test_increment, 0, COUNT(increments));
	tcase_add_loop_test(changes, test_increment_cut, 0, COUNT(increments));
	tcase_add_loop_test(changes, test_misfit, 0, COUNT(misfits));
	tcase_add_loop_test(changes, test_unfit, 0, COUNT(unfit));
	tcase_add_test(changes, test_single_soa);
	tcase_add_test(changes, test_increment_limit);
	tcase_add_test(changes, test_other_base);
	tcase_add_test(changes, test_increment_random);

	Suite *suite = suite_create("transfer_in");
	suite_add_tcase(suite, streams);
	suite_add_tcase(suite, zones);
	suite_add_tcase(suite, changes);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
