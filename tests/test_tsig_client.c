/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of tsig_client.h against libknot's functions for servers.
 */
#include <check.h>
#include <libknot/codes.h>
#include <libknot/libknot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "secondary/tsig_client.h"
#include "support.h"

#define MESSAGE_MAX 1024

/*! Added to the clock that libknot reads, so that a server's clock can be wrong. */
static int64_t clock_offset;

time_t time(time_t *ret)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	time_t seconds = now.tv_sec + clock_offset;
	if (ret != NULL) {
		*ret = seconds;
	}
	return seconds;
}

static const char *const algorithms[] = {
	"hmac-md5", "hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512",
};
#define ALGORITHMS (sizeof(algorithms) / sizeof(algorithms[0]))
#define SHA256 3

typedef struct {
	uint8_t wire[MESSAGE_MAX];
	size_t len;
} message_t;

/*! The server's side of a stream, and ours. */
typedef struct {
	knot_tsig_key_t *key;             /*!< The client keeps its address. */
	uint8_t digest[64];
	size_t digest_len;
	bool started;
	uint8_t *pending;
	size_t pending_len;
	message_t query;
	tsig_client_t *client;
} stream_t;

static knot_tsig_key_t make_key(const char *algorithm, const char *name, const char *secret)
{
	knot_tsig_key_t key = { 0 };
	ck_assert_int_eq(knot_tsig_key_init(&key, algorithm, name, secret), KNOT_EOK);
	return key;
}

static void append(message_t *msg, const void *octets, size_t len)
{
	ck_assert_uint_le(msg->len + len, sizeof(msg->wire));
	memcpy(msg->wire + msg->len, octets, len);
	msg->len += len;
}

#define HEADER_QUERY    "\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"
#define HEADER_ANSWER   "\x12\x34\x84\x00\x00\x01\x00\x01\x00\x00\x00\x00"
#define QUESTION        "\x07" "example" "\x00\x00\xFC\x00\x01"
#define OPT             "\x00\x00\x29\x04\xD0\x00\x00\x00\x00\x00\x00"

static message_t make_query(void)
{
	message_t msg = { .len = 0 };
	append(&msg, HEADER_QUERY, 12);
	append(&msg, QUESTION, 13);
	return msg;
}

/*! An answer with one A record, its address being \a number. */
static message_t make_answer(uint32_t number)
{
	message_t msg = { .len = 0 };
	append(&msg, HEADER_ANSWER, 12);
	append(&msg, QUESTION, 13);
	append(&msg, "\xC0\x0C\x00\x01\x00\x01\x00\x00\x0E\x10\x00\x04", 12);
	append(&msg, &number, 4);
	return msg;
}

static size_t mac_pos(const message_t *msg, size_t mac_len)
{
	return msg->len - 6 - mac_len; /* Original id, error, other length. */
}

static stream_t stream_begin(const char *algorithm)
{
	stream_t stream = { .key = malloc(sizeof(*stream.key)) };
	ck_assert_ptr_nonnull(stream.key);
	*stream.key = make_key(algorithm, "Key.Example", "c2VjcmV0IG9mIGEga2V5");
	stream.client = tsig_client_new(stream.key);
	ck_assert_ptr_nonnull(stream.client);

	stream.query = make_query();
	size_t unsigned_len = stream.query.len;
	ck_assert_int_eq(tsig_client_sign(stream.client, stream.query.wire, &stream.query.len, MESSAGE_MAX), KNOT_EOK);
	ck_assert_uint_gt(stream.query.len, unsigned_len);
	ck_assert_uint_eq(knot_wire_get_arcount(stream.query.wire), 1);

	/* The server accepts it, and begins with its MAC. */
	knot_pkt_t *pkt = knot_pkt_new(stream.query.wire, stream.query.len, NULL);
	ck_assert_int_eq(knot_pkt_parse(pkt, 0), KNOT_EOK);
	ck_assert_int_eq(knot_tsig_server_check(pkt->tsig_rr, pkt->wire, pkt->size, stream.key), KNOT_EOK);
	stream.digest_len = knot_tsig_rdata_mac_length(pkt->tsig_rr);
	memcpy(stream.digest, knot_tsig_rdata_mac(pkt->tsig_rr), stream.digest_len);
	knot_pkt_free(pkt);
	/* The parser took the record off the query. */
	knot_wire_set_arcount(stream.query.wire, 1);
	return stream;
}

static void stream_end(stream_t *stream)
{
	tsig_client_free(stream->client);
	knot_tsig_key_deinit(stream->key);
	free(stream->key);
	free(stream->pending);
}

/*! The server counts a message in, to be covered by the next signature. */
static void server_cover(stream_t *stream, const message_t *msg)
{
	stream->pending = realloc(stream->pending, stream->pending_len + msg->len);
	ck_assert_ptr_nonnull(stream->pending);
	memcpy(stream->pending + stream->pending_len, msg->wire, msg->len);
	stream->pending_len += msg->len;
}

/*! The server signs \a msg, and all that it has counted in. */
static void server_sign(stream_t *stream, message_t *msg)
{
	size_t digest_len = sizeof(stream->digest);
	int ret;
	if (!stream->started) {
		ret = knot_tsig_sign(msg->wire, &msg->len, MESSAGE_MAX, stream->digest, stream->digest_len, stream->digest,
		                     &digest_len, stream->key, 0, 0);
	} else {
		server_cover(stream, msg);
		ret = knot_tsig_sign_next(msg->wire, &msg->len, MESSAGE_MAX, stream->digest, stream->digest_len,
		                          stream->digest, &digest_len, stream->key, stream->pending,
		                          stream->pending_len);
	}
	ck_assert_int_eq(ret, KNOT_EOK);
	stream->started = true;
	stream->pending_len = 0;
}

static int verify(stream_t *stream, message_t *msg)
{
	return tsig_client_verify(stream->client, msg->wire, &msg->len);
}

/*! A signed message is accepted, and comes out as it was before it was signed. */
static void expect_signed(stream_t *stream, uint32_t number)
{
	message_t msg = make_answer(number), want = msg;
	server_sign(stream, &msg);
	ck_assert_int_eq(verify(stream, &msg), KNOT_EOK);
	ck_assert_uint_eq(msg.len, want.len);
	ck_assert_mem_eq(msg.wire, want.wire, want.len);
	ck_assert_int_eq(tsig_client_finish(stream->client), KNOT_EOK);
}

static void expect_unsigned(stream_t *stream, uint32_t number)
{
	message_t msg = make_answer(number);
	server_cover(stream, &msg);
	ck_assert_int_eq(verify(stream, &msg), KNOT_EOK);
	ck_assert_int_eq(tsig_client_finish(stream->client), KNOT_ENOTSIG);
}

START_TEST(test_all_signed)
{
	stream_t stream = stream_begin(algorithms[_i]);
	ck_assert_int_eq(tsig_client_finish(stream.client), KNOT_ENOTSIG);
	for (uint32_t i = 0; i < 20; i++) {
		expect_signed(&stream, i);
	}
	stream_end(&stream);
}
END_TEST

/*! Unsigned messages between signed ones, in runs of each length. */
START_TEST(test_gaps)
{
	static const unsigned gaps[] = { 0, 1, 2, 3, 50, 98, 99, 1, 0, 99 };
	stream_t stream = stream_begin(algorithms[_i]);
	expect_signed(&stream, 0);
	uint32_t number = 0;
	for (size_t i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++) {
		for (unsigned j = 0; j < gaps[i]; j++) {
			expect_unsigned(&stream, number++);
		}
		expect_signed(&stream, number++);
	}
	stream_end(&stream);
}
END_TEST

START_TEST(test_gap_too_long)
{
	stream_t stream = stream_begin("hmac-sha256");
	expect_signed(&stream, 0);
	for (unsigned i = 0; i < TSIG_UNSIGNED_MAX; i++) {
		expect_unsigned(&stream, i);
	}
	message_t msg = make_answer(1000);
	ck_assert_int_eq(verify(&stream, &msg), KNOT_ENOTSIG);
	stream_end(&stream);
}
END_TEST

START_TEST(test_first_unsigned)
{
	stream_t stream = stream_begin("hmac-sha256");
	message_t msg = make_answer(0);
	ck_assert_int_eq(verify(&stream, &msg), KNOT_ENOTSIG);
	expect_signed(&stream, 0);
	stream_end(&stream);
}
END_TEST

/*! One unsigned message of a run is changed, left out, doubled: the next signature tells. */
START_TEST(test_gap_forged)
{
	stream_t stream = stream_begin("hmac-sha256");
	expect_signed(&stream, 0);
	for (uint32_t i = 0; i < 3; i++) {
		message_t msg = make_answer(i);
		server_cover(&stream, &msg);
		msg.wire[msg.len - 1] ^= _i == 0 && i == 1;
		unsigned times = _i == 1 && i == 1 ? 0 : _i == 2 && i == 1 ? 2 : 1;
		for (unsigned j = 0; j < times; j++) {
			ck_assert_int_eq(verify(&stream, &msg), KNOT_EOK);
		}
	}
	message_t msg = make_answer(3);
	server_sign(&stream, &msg);
	ck_assert_int_eq(verify(&stream, &msg), _i == 3 ? KNOT_EOK : KNOT_TSIG_EBADSIG);
	stream_end(&stream);
}
END_TEST

/*! A forged signature changes neither the message nor what the genuine one is verified with. */
START_TEST(test_forged_harmless)
{
	stream_t stream = stream_begin("hmac-sha256");
	for (uint32_t i = 0; i < 3; i++) {
		for (uint32_t j = 0; i > 0 && j < 2; j++) {
			expect_unsigned(&stream, j);
		}
		message_t genuine = make_answer(i);
		server_sign(&stream, &genuine);
		message_t forged = genuine;
		forged.wire[mac_pos(&forged, 32)] ^= 1;
		message_t before = forged;
		ck_assert_int_eq(verify(&stream, &forged), KNOT_TSIG_EBADSIG);
		ck_assert_uint_eq(forged.len, before.len);
		ck_assert_mem_eq(forged.wire, before.wire, before.len);
		ck_assert_int_eq(verify(&stream, &genuine), KNOT_EOK);
	}
	stream_end(&stream);
}
END_TEST

/*! Any flipped bit of a signed message is an error, and does not disturb the genuine message that comes after it. */
START_TEST(test_flipped_bits)
{
	stream_t stream = stream_begin("hmac-sha1");
	if (_i == 1) {
		expect_signed(&stream, 0);
	}
	message_t genuine = make_answer(1);
	server_sign(&stream, &genuine);
	for (size_t bit = 16; bit < genuine.len * 8; bit++) { /* The id is restored from the record: exchange.h checks it. */
		message_t msg = genuine;
		msg.wire[bit / 8] ^= 1 << bit % 8;
		int ret = verify(&stream, &msg);
		/* Not signed: the case of the key's and the algorithm's name. Without its type, it is one more unsigned message. */
		bool in_name = bit / 8 >= msg.len && bit % 8 == 5;
		bool pending = tsig_client_finish(stream.client) == KNOT_ENOTSIG;
		ck_assert_msg(ret != KNOT_EOK || in_name || pending, "bit %zu of octet %zu", bit % 8, bit / 8);
		if (ret == KNOT_EOK) {
			/* It was taken: begin anew. */
			stream_end(&stream);
			stream = stream_begin("hmac-sha1");
			if (_i == 1) {
				expect_signed(&stream, 0);
			}
			genuine = make_answer(1);
			server_sign(&stream, &genuine);
		}
	}
	ck_assert_int_eq(verify(&stream, &genuine), KNOT_EOK);
	stream_end(&stream);
}
END_TEST

/*! Truncated at every octet, with and without exact memory bounds (a sanitizer sees a read beyond). */
START_TEST(test_cut_messages)
{
	stream_t stream = stream_begin("hmac-sha256");
	message_t msg = make_answer(1);
	server_sign(&stream, &msg);
	for (size_t len = 0; len < msg.len; len++) {
		uint8_t *copy = malloc(len + (len == 0));
		memcpy(copy, msg.wire, len);
		size_t copy_len = len;
		ck_assert_int_eq(tsig_client_verify(stream.client, copy, &copy_len), KNOT_EMALF);
		free(copy);
	}
	ck_assert_int_eq(verify(&stream, &msg), KNOT_EOK);
	stream_end(&stream);
}
END_TEST

START_TEST(test_shortened_mac)
{
	static const struct { size_t keep; int ret; } cases[] = {
		{ 32, KNOT_EOK }, { 31, KNOT_TSIG_EBADTRUNC }, { 16, KNOT_TSIG_EBADTRUNC }, { 1, KNOT_TSIG_EBADTRUNC },
		{ 0, KNOT_TSIG_EBADSIG }, { 33, KNOT_EMALF }, { 64, KNOT_EMALF },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		stream_t stream = stream_begin("hmac-sha256");
		message_t msg = make_answer(1);
		server_sign(&stream, &msg);
		size_t mac = mac_pos(&msg, 32), keep = cases[i].keep;
		memmove(msg.wire + mac + keep, msg.wire + mac + 32, 6);
		knot_wire_write_u16(msg.wire + mac - 2, keep);
		size_t rdlen = mac - 10 - 13 - 2; /* Before MAC length, fudge, time; algorithm's name; RDLENGTH. */
		knot_wire_write_u16(msg.wire + rdlen, knot_wire_read_u16(msg.wire + rdlen) - 32 + keep);
		msg.len = msg.len - 32 + keep;
		ck_assert_int_eq(verify(&stream, &msg), cases[i].ret);
		stream_end(&stream);
	}
}
END_TEST

/*! Another secret, another name, another algorithm. */
START_TEST(test_wrong_key)
{
	static const struct { const char *algorithm, *name, *secret; int ret; } cases[] = {
		{ "hmac-sha256", "key.example", "b3RoZXIgc2VjcmV0", KNOT_TSIG_EBADSIG },
		{ "hmac-sha256", "other.example", "c2VjcmV0IG9mIGEga2V5", KNOT_TSIG_EBADKEY },
		{ "hmac-sha1", "key.example", "c2VjcmV0IG9mIGEga2V5", KNOT_TSIG_EBADKEY },
		{ "hmac-sha512", "key.example", "c2VjcmV0IG9mIGEga2V5", KNOT_TSIG_EBADKEY },
		{ "hmac-sha256", "KEY.EXAMPLE", "c2VjcmV0IG9mIGEga2V5", KNOT_EOK },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		stream_t stream = stream_begin("hmac-sha256");
		knot_tsig_key_t key = make_key(cases[i].algorithm, cases[i].name, cases[i].secret);
		uint8_t digest[64];
		size_t digest_len = sizeof(digest);
		message_t msg = make_answer(1);
		ck_assert_int_eq(knot_tsig_sign(msg.wire, &msg.len, MESSAGE_MAX, stream.digest, stream.digest_len, digest,
		                                &digest_len, &key, 0, 0), KNOT_EOK);
		ck_assert_int_eq(verify(&stream, &msg), cases[i].ret);
		knot_tsig_key_deinit(&key);
		stream_end(&stream);
	}
}
END_TEST

/*! Signed for another query: the MAC of ours is not in it. */
START_TEST(test_replayed)
{
	stream_t stream = stream_begin("hmac-sha256"), other = stream_begin("hmac-sha256");
	other.digest[0] ^= 1;
	message_t msg = make_answer(1);
	server_sign(&other, &msg);
	ck_assert_int_eq(verify(&stream, &msg), KNOT_TSIG_EBADSIG);

	/* The first message once more as the second. */
	message_t first = make_answer(2);
	server_sign(&stream, &first);
	message_t again = first;
	ck_assert_int_eq(verify(&stream, &first), KNOT_EOK);
	ck_assert_int_eq(verify(&stream, &again), KNOT_TSIG_EBADSIG);
	stream_end(&stream);
	stream_end(&other);
}
END_TEST

START_TEST(test_clock)
{
	static const struct { int64_t offset; int ret; } cases[] = {
		{ -100, KNOT_EOK }, { 100, KNOT_EOK }, { -1000, KNOT_TSIG_EBADTIME }, { 1000, KNOT_TSIG_EBADTIME },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		stream_t stream = stream_begin("hmac-sha256");
		message_t msg = make_answer(1);
		clock_offset = cases[i].offset;
		server_sign(&stream, &msg);
		clock_offset = 0;
		ck_assert_int_eq(verify(&stream, &msg), cases[i].ret);
		stream_end(&stream);
	}
}
END_TEST

/*! Time signed goes back within a stream. */
START_TEST(test_clock_backwards)
{
	stream_t stream = stream_begin("hmac-sha256");
	expect_signed(&stream, 0);
	message_t msg = make_answer(1);
	clock_offset = -10;
	server_sign(&stream, &msg);
	clock_offset = 0;
	ck_assert_int_eq(verify(&stream, &msg), KNOT_TSIG_EBADTIME);
	stream_end(&stream);
}
END_TEST

/*! The server's clock differs, and it says so with a signature. */
START_TEST(test_reported_time)
{
	stream_t stream = stream_begin("hmac-sha256");
	message_t msg = make_answer(1);
	uint8_t digest[64];
	size_t digest_len = sizeof(digest);
	clock_offset = 5000;
	ck_assert_int_eq(knot_tsig_sign(msg.wire, &msg.len, MESSAGE_MAX, stream.digest, stream.digest_len, digest,
	                                &digest_len, stream.key, KNOT_RCODE_BADTIME, time(NULL) - 5000), KNOT_EOK);
	clock_offset = 0;
	ck_assert_int_eq(verify(&stream, &msg), KNOT_TSIG_EBADTIME);
	stream_end(&stream);
}
END_TEST

/*! The server reports an error without a signature. */
START_TEST(test_reported_error)
{
	static const struct { uint16_t error; int ret; } cases[] = {
		{ KNOT_RCODE_BADKEY, KNOT_TSIG_EBADKEY }, { KNOT_RCODE_BADSIG, KNOT_TSIG_EBADSIG },
		{ KNOT_RCODE_BADTRUNC, KNOT_TSIG_EBADTRUNC }, { KNOT_RCODE_NOERROR, KNOT_TSIG_EBADSIG },
		{ 4000, KNOT_TSIG_EBADSIG },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		stream_t stream = stream_begin("hmac-sha256");
		knot_pkt_t *query = knot_pkt_new(stream.query.wire, stream.query.len, NULL);
		ck_assert_int_eq(knot_pkt_parse(query, 0), KNOT_EOK);
		message_t msg = make_answer(1);
		ck_assert_int_eq(knot_tsig_add(msg.wire, &msg.len, MESSAGE_MAX, cases[i].error, query->tsig_rr), KNOT_EOK);
		knot_pkt_free(query);
		ck_assert_int_eq(verify(&stream, &msg), cases[i].ret);
		stream_end(&stream);
	}
}
END_TEST

/*! What is said under the name of another key is not said by who has ours. */
START_TEST(test_reported_by_other)
{
	stream_t stream = stream_begin("hmac-sha256");
	knot_pkt_t *query = knot_pkt_new(stream.query.wire, stream.query.len, NULL);
	ck_assert_int_eq(knot_pkt_parse(query, 0), KNOT_EOK);
	message_t msg = make_answer(1);
	const size_t tsig = msg.len;
	ck_assert_int_eq(knot_tsig_add(msg.wire, &msg.len, MESSAGE_MAX, KNOT_RCODE_BADTRUNC, query->tsig_rr), KNOT_EOK);
	knot_pkt_free(query);
	msg.wire[tsig + 1] = 'b';
	ck_assert_int_eq(verify(&stream, &msg), KNOT_TSIG_EBADKEY);
	stream_end(&stream);
}
END_TEST

/*! Labels of unsigned messages, which no MAC looks at before the next signature: the longest, and one more. */
START_TEST(test_labels)
{
	static const struct { uint8_t octet; int ret; } cases[] = {
		{ 63, KNOT_EOK }, { 64, KNOT_EMALF }, { 0x80, KNOT_EMALF }, { 0xBF, KNOT_EMALF },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		stream_t stream = stream_begin("hmac-sha256");
		expect_signed(&stream, 0);
		message_t msg = { .len = 0 };
		uint8_t label[0xBF] = "";
		append(&msg, HEADER_ANSWER, 12);
		append(&msg, QUESTION, 13);
		append(&msg, &cases[i].octet, 1);
		append(&msg, label, cases[i].octet);
		append(&msg, "\0\0\1\0\1\0\0\16\20\0\4abcd", 15);
		ck_assert_int_eq(verify(&stream, &msg), cases[i].ret);
		stream_end(&stream);
	}
}
END_TEST

/*! Unsigned messages that end where they should, to the octet, and such as end before what they announce. */
START_TEST(test_shapes)
{
	static const struct { const char *octets; size_t len; int ret; } cases[] = {
#define CASE(text) text, sizeof(text) - 1
#define HEAD(qd, an, ns, ar) "\x12\x34\x84\0\0" qd "\0" an "\0" ns "\0" ar
		{ CASE(HEAD("\0", "\0", "\0", "\0")), KNOT_EOK },
		{ CASE(HEAD("\1", "\0", "\0", "\0") QUESTION), KNOT_EOK },
		{ CASE(HEAD("\1", "\0", "\0", "\1") QUESTION OPT), KNOT_EOK },
		{ CASE(HEAD("\1", "\0", "\0", "\0")), KNOT_EMALF },
		{ CASE(HEAD("\0", "\1", "\2", "\0")), KNOT_EMALF },
		{ CASE(HEAD("\1", "\0", "\0", "\1") QUESTION "\0\0\51\4\320\0\0\0\0\0\1"), KNOT_EMALF },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		stream_t stream = stream_begin("hmac-sha256");
		expect_signed(&stream, 0);
		message_t msg = { .len = 0 };
		append(&msg, cases[i].octets, cases[i].len);
		ck_assert_msg(verify(&stream, &msg) == cases[i].ret, "case %zu", i);
		stream_end(&stream);
	}
}
END_TEST

/*! The record in other places, twice, of another class or TTL, with octets after it, under a name without end. */
START_TEST(test_misplaced)
{
	enum { IN_ANSWER, IN_AUTHORITY, BEFORE_OPT, TWICE, TRAILING, CLASS_IN, TTL_ONE, OWNER_LOOP, AFTER_OPT, END };
	for (int i = 0; i < END; i++) {
		stream_t stream = stream_begin("hmac-sha256");
		message_t msg = make_answer(1);
		if (i == AFTER_OPT) {
			append(&msg, OPT, 11);
			knot_wire_set_arcount(msg.wire, 1);
		}
		size_t tsig = msg.len, fixed = tsig + sizeof("\x03key\x07" "example");
		server_sign(&stream, &msg);
		message_t copy = msg;
		switch (i) {
		case IN_ANSWER:
		case IN_AUTHORITY:
			knot_wire_set_arcount(msg.wire, 0);
			knot_wire_set_ancount(msg.wire, i == IN_ANSWER ? 2 : 1);
			knot_wire_set_nscount(msg.wire, i == IN_ANSWER ? 0 : 1);
			break;
		case BEFORE_OPT:
			append(&msg, OPT, 11);
			knot_wire_set_arcount(msg.wire, 2);
			break;
		case TWICE:
			append(&msg, copy.wire + tsig, copy.len - tsig);
			knot_wire_set_arcount(msg.wire, 2);
			break;
		case TRAILING:
			append(&msg, "", 1);
			break;
		case CLASS_IN:
			knot_wire_write_u16(msg.wire + fixed + 2, KNOT_CLASS_IN);
			break;
		case TTL_ONE:
			knot_wire_write_u32(msg.wire + fixed + 4, 1);
			break;
		case OWNER_LOOP:
			memmove(msg.wire + tsig + 2, msg.wire + fixed, msg.len - fixed);
			msg.len -= fixed - tsig - 2;
			knot_wire_write_u16(msg.wire + tsig, 0xC000 | tsig);
			break;
		}
		ck_assert_msg(verify(&stream, &msg) == (i == AFTER_OPT ? KNOT_EOK : KNOT_EMALF), "case %d", i);
		stream_end(&stream);
	}
}
END_TEST

START_TEST(test_no_space)
{
	stream_t stream = stream_begin("hmac-sha256");
	size_t signed_len = stream.query.len;
	for (size_t max = make_query().len; max < signed_len; max++) {
		message_t msg = make_query();
		ck_assert_int_eq(tsig_client_sign(stream.client, msg.wire, &msg.len, max), KNOT_ESPACE);
		ck_assert_uint_eq(msg.len, make_query().len);
	}
	stream_end(&stream);
}
END_TEST

/*! Random octets, and random changes of signed messages: never accepted, never a read out of bounds. */
START_TEST(test_random)
{
	srandom(support_seed());
	stream_t stream = stream_begin("hmac-sha256");
	message_t genuine = make_answer(1);
	server_sign(&stream, &genuine);
	unsigned rounds = support_is_full() ? 3000000 : 30000;
	for (unsigned i = 0; i < rounds; i++) {
		size_t len = i % 2 ? genuine.len : (size_t)random() % 200;
		uint8_t *msg = calloc(1, len + 1);
		ck_assert_ptr_nonnull(msg);
		memcpy(msg, genuine.wire, len < genuine.len ? len : genuine.len);
		for (unsigned j = 1 + random() % 4; j > 0 && len > 3; j--) {
			msg[2 + random() % (len - 2)] = random();
		}
		size_t msg_len = len;
		int ret = tsig_client_verify(stream.client, msg, &msg_len);
		ck_assert(ret != KNOT_EOK || memcmp(msg + 2, genuine.wire + 2, 8) == 0);
		if (ret == KNOT_EOK) { /* Nothing signed was changed. */
			stream_end(&stream);
			stream = stream_begin("hmac-sha256");
			genuine = make_answer(1);
			server_sign(&stream, &genuine);
		}
		free(msg);
	}
	stream_end(&stream);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("tsig_client");
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, test_all_signed, 0, ALGORITHMS);
	tcase_add_loop_test(tcase, test_gaps, 0, ALGORITHMS);
	tcase_add_test(tcase, test_gap_too_long);
	tcase_add_test(tcase, test_first_unsigned);
	tcase_add_loop_test(tcase, test_gap_forged, 0, 4);
	tcase_add_test(tcase, test_forged_harmless);
	tcase_add_loop_test(tcase, test_flipped_bits, 0, 2);
	tcase_add_test(tcase, test_cut_messages);
	tcase_add_test(tcase, test_shortened_mac);
	tcase_add_test(tcase, test_wrong_key);
	tcase_add_test(tcase, test_replayed);
	tcase_add_test(tcase, test_clock);
	tcase_add_test(tcase, test_clock_backwards);
	tcase_add_test(tcase, test_reported_time);
	tcase_add_test(tcase, test_reported_error);
	tcase_add_test(tcase, test_reported_by_other);
	tcase_add_test(tcase, test_labels);
	tcase_add_test(tcase, test_shapes);
	tcase_add_test(tcase, test_misplaced);
	tcase_add_test(tcase, test_no_space);
	tcase_add_test(tcase, test_random);

	Suite *suite = suite_create("tsig_client");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
