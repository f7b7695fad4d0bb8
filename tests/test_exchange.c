/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of exchange.h against scripted peers in the same loop.
 */
#include <arpa/inet.h>
#include <check.h>
#include <libknot/libknot.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "secondary/exchange.h"

#define QUESTION "\x07" "ExAmple" "\x00\x00\xFC\x00\x01"
#define QUERY    "\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00" QUESTION
#define QUERY_LEN 25

#define REPLY_MAX (1 << 20)

/*! What the peer sends, and its side of the signatures. */
typedef struct {
	size_t len;
	uint16_t id;
	knot_tsig_key_t *key;
	uint8_t digest[64];
	size_t digest_len;
	unsigned signatures;
	uint8_t octets[REPLY_MAX];
} reply_t;

typedef enum {
	STAY,        /*!< Nothing more comes, the connection stays. */
	CLOSE,
	RESET,
} peer_end_t;

/*! One exchange with its peer. */
typedef struct world {
	uv_loop_t loop;
	uv_tcp_t listener;
	uv_tcp_t connection;
	bool is_connected;
	uv_udp_t udp;
	uint8_t query[1024];
	size_t query_have;
	reply_t *reply;
	size_t reply_sent;
	uv_write_t write;
	unsigned datagrams;

	void (*script)(struct world *world);
	peer_end_t end;
	size_t chunk;
	unsigned busy_ms;        /*!< The loop does something else when the reply was sent. */
	unsigned reader_busy_ms; /*!< And after each message, which the next piece of the reply follows. */

	exchange_t *exchange;
	unsigned want;           /*!< Messages that are enough. */
	unsigned messages;
	size_t octets;
	uint32_t sum;            /*!< Over all octets of messages. */
	unsigned done;
	int ret;
} world_t;

/* What peers say. */

static size_t begin_message(reply_t *reply)
{
	reply->len += 2;
	return reply->len;
}

static void end_message(reply_t *reply, size_t begin)
{
	knot_wire_write_u16(reply->octets + begin - 2, reply->len - begin);
}

static void append(reply_t *reply, const void *octets, size_t len)
{
	ck_assert_uint_le(reply->len + len, REPLY_MAX);
	memcpy(reply->octets + reply->len, octets, len);
	reply->len += len;
}

/*! A header and, with \a question, the question; then \a filler octets of an unknown record type. */
static void say(reply_t *reply, const char *question, size_t filler)
{
	size_t begin = begin_message(reply);
	append(reply, "\x00\x00\x84\x00\x00\x00\x00\x00\x00\x00\x00\x00", 12);
	uint8_t *msg = reply->octets + begin;
	knot_wire_set_id(msg, reply->id);
	if (question != NULL) {
		append(reply, question, 13);
		knot_wire_set_qdcount(msg, 1);
	}
	if (filler > 0) {
		knot_wire_set_ancount(msg, 1);
		uint8_t record[11] = { 0, 0xFF, 0x01, 0, 1 };
		knot_wire_write_u16(record + 9, filler);
		append(reply, record, 11);
		memset(reply->octets + reply->len, 0x5A, filler);
		reply->len += filler;
	}
	end_message(reply, begin);
}

/*! As say(), signed with all that went before since the last signature. */
static void say_signed(reply_t *reply, size_t filler)
{
	static size_t last_end;
	size_t begin = reply->len;
	say(reply, QUESTION, filler);
	uint8_t *msg = reply->octets + begin + 2;
	size_t len = reply->len - begin - 2, digest_len = sizeof(reply->digest);
	int ret;
	if (reply->signatures++ == 0) {
		ret = knot_tsig_sign(msg, &len, len + 300, reply->digest, reply->digest_len, reply->digest, &digest_len,
		                     reply->key, 0, 0);
	} else {
		uint8_t *covered = malloc(reply->len);
		size_t covered_len = 0;
		for (size_t pos = last_end; pos < reply->len;) {
			size_t one = knot_wire_read_u16(reply->octets + pos);
			memcpy(covered + covered_len, reply->octets + pos + 2, one);
			covered_len += one;
			pos += 2 + one;
		}
		ret = knot_tsig_sign_next(msg, &len, len + 300, reply->digest, reply->digest_len, reply->digest,
		                          &digest_len, reply->key, covered, covered_len);
		free(covered);
	}
	ck_assert_int_eq(ret, KNOT_EOK);
	reply->len = begin + 2 + len;
	end_message(reply, begin + 2);
	last_end = reply->len;
}

/* The peer. */

static void peer_close(world_t *world)
{
	if (world->is_connected && !uv_is_closing((uv_handle_t *)&world->connection)) {
		uv_close((uv_handle_t *)&world->connection, NULL);
	}
}

static void peer_stop(world_t *world)
{
	peer_close(world);
	if (!uv_is_closing((uv_handle_t *)&world->listener)) {
		uv_close((uv_handle_t *)&world->listener, NULL);
		uv_close((uv_handle_t *)&world->udp, NULL);
	}
}

static void peer_send(world_t *world);

static void peer_sent(uv_write_t *write, int status)
{
	world_t *world = write->data;
	if (status != 0 || uv_is_closing((uv_handle_t *)&world->connection)) {
		return;
	}
	if (world->reply_sent < world->reply->len) {
		if (world->reader_busy_ms == 0) {
			peer_send(world);
		}
		return;
	}
	usleep(world->busy_ms * 1000);
	switch (world->end) {
	case STAY:
		break;
	case CLOSE:
		peer_close(world);
		break;
	case RESET:
		ck_assert_int_eq(uv_tcp_close_reset(&world->connection, NULL), 0);
		break;
	}
}

static void peer_send(world_t *world)
{
	size_t left = world->reply->len - world->reply_sent;
	size_t count = world->chunk > 0 && world->chunk < left ? world->chunk : left;
	uv_buf_t buf = uv_buf_init((char *)world->reply->octets + world->reply_sent, count);
	world->reply_sent += count;
	world->write.data = world;
	ck_assert_int_eq(uv_write(&world->write, (uv_stream_t *)&world->connection, &buf, 1, peer_sent), 0);
}

/*! Takes id and MAC off the query. */
static void peer_read_query(world_t *world, const uint8_t *query, size_t len)
{
	reply_t *reply = world->reply;
	reply->id = knot_wire_get_id(query);
	if (reply->key != NULL) {
		size_t mac_len = knot_wire_read_u16(query + len - 6 - 32 - 2);
		ck_assert_uint_eq(mac_len, 32);
		memcpy(reply->digest, query + len - 6 - 32, 32);
		reply->digest_len = 32;
	} else {
		ck_assert_uint_eq(len, QUERY_LEN);
		ck_assert_mem_eq(query + 2, (const uint8_t *)QUERY + 2, QUERY_LEN - 2);
	}
}

static void peer_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	(void)suggested;
	world_t *world = handle->data;
	*ret = uv_buf_init((char *)world->query + world->query_have, sizeof(world->query) - world->query_have);
}

static void peer_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	(void)buf;
	world_t *world = stream->data;
	if (nread < 0) {
		peer_close(world);
		return;
	}
	world->query_have += nread;
	if (world->query_have < 2 || world->query_have < 2u + knot_wire_read_u16(world->query)) {
		return;
	}
	peer_read_query(world, world->query + 2, world->query_have - 2);
	world->query_have = 0;
	world->script(world);
	if (world->reply->len > 0 || world->end != STAY) {
		peer_send(world);
	}
}

static void peer_accept(uv_stream_t *listener, int status)
{
	world_t *world = listener->data;
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(uv_tcp_init(&world->loop, &world->connection), 0);
	world->connection.data = world;
	world->is_connected = true;
	ck_assert_int_eq(uv_accept(listener, (uv_stream_t *)&world->connection), 0);
	uv_tcp_nodelay(&world->connection, 1);
	ck_assert_int_eq(uv_read_start((uv_stream_t *)&world->connection, peer_alloc, peer_read), 0);
}

/*! Sends each framed message of the reply as a datagram. */
static void peer_datagram(uv_udp_t *udp, ssize_t nread, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
	(void)flags;
	world_t *world = udp->data;
	if (nread <= 0 || from == NULL) {
		return;
	}
	world->datagrams++;
	world->reply->len = 0;
	peer_read_query(world, (const uint8_t *)buf->base, nread);
	world->script(world);
	for (size_t pos = 0; pos < world->reply->len;) {
		size_t len = knot_wire_read_u16(world->reply->octets + pos);
		uv_buf_t datagram = uv_buf_init((char *)world->reply->octets + pos + 2, len);
		ck_assert_int_ge(uv_udp_try_send(udp, &datagram, 1, from), 0);
		pos += 2 + len;
	}
}

/* Our side. */

static exchange_next_t on_message(void *ctx, const uint8_t *msg, size_t len)
{
	world_t *world = ctx;
	ck_assert_uint_eq(world->done, 0);
	ck_assert_uint_ge(len, 12);
	world->messages++;
	world->octets += len;
	for (size_t i = 2; i < len; i++) {
		world->sum = world->sum * 31 + msg[i];
	}
	if (world->reader_busy_ms > 0) {
		usleep(world->reader_busy_ms * 1000);
		size_t left = world->reply->len - world->reply_sent;
		uv_buf_t buf = uv_buf_init((char *)world->reply->octets + world->reply_sent, left < world->chunk ? left : world->chunk);
		world->reply_sent += buf.len;
		ck_assert_int_ge(uv_try_write((uv_stream_t *)&world->connection, &buf, 1), 0);
	}
	return world->messages == world->want ? EXCHANGE_ENOUGH : EXCHANGE_MORE;
}

static void on_done(void *ctx, int ret)
{
	world_t *world = ctx;
	world->done++;
	world->ret = ret;
	world->exchange = NULL;
	peer_stop(world);
}

static const exchange_callbacks_t callbacks = { .message = on_message, .done = on_done };

static struct sockaddr_storage loopback(uint16_t port)
{
	struct sockaddr_storage ret = { 0 };
	uv_ip4_addr("127.0.0.1", port, (struct sockaddr_in *)&ret);
	return ret;
}

static uint16_t port_of(const struct sockaddr_storage *addr)
{
	return ntohs(((const struct sockaddr_in *)addr)->sin_port);
}

static void world_init(world_t *world)
{
	memset(world, 0, sizeof(*world));
	world->want = 1;
	static reply_t reply; /* One world at a time; a megabyte of new memory for each costs more than the test. */
	memset(&reply, 0, offsetof(reply_t, octets));
	world->reply = &reply;
	ck_assert_int_eq(uv_loop_init(&world->loop), 0);

	struct sockaddr_storage any = loopback(0);
	ck_assert_int_eq(uv_tcp_init(&world->loop, &world->listener), 0);
	ck_assert_int_eq(uv_tcp_bind(&world->listener, (struct sockaddr *)&any, 0), 0);
	ck_assert_int_eq(uv_listen((uv_stream_t *)&world->listener, 8, peer_accept), 0);
	ck_assert_int_eq(uv_udp_init(&world->loop, &world->udp), 0);
	ck_assert_int_eq(uv_udp_bind(&world->udp, (struct sockaddr *)&any, 0), 0);
	ck_assert_int_eq(uv_udp_recv_start(&world->udp, peer_alloc, peer_datagram), 0);
	world->listener.data = world;
	world->udp.data = world;
}

/*! Runs what is left; every handle must be gone then. */
static void world_end(world_t *world)
{
	peer_stop(world);
	ck_assert_int_eq(uv_run(&world->loop, UV_RUN_DEFAULT), 0);
	ck_assert_int_eq(uv_loop_close(&world->loop), 0);
}

static exchange_params_t make_params(world_t *world, bool tcp)
{
	exchange_params_t params = {
		.tcp = tcp, .query = (const uint8_t *)QUERY, .query_len = QUERY_LEN, .key = world->reply->key,
		.timeout_ms = 20000, .idle_timeout_ms = 20000,
	};
	int len = sizeof(params.remote);
	if (tcp) {
		uv_tcp_getsockname(&world->listener, (struct sockaddr *)&params.remote, &len);
	} else {
		uv_udp_getsockname(&world->udp, (struct sockaddr *)&params.remote, &len);
	}
	return params;
}

static void start(world_t *world, const exchange_params_t *params)
{
	ck_assert_int_eq(exchange_start(&world->loop, params, &callbacks, world, &world->exchange), KNOT_EOK);
	ck_assert_uint_eq(world->done, 0);
}

static void run(world_t *world, const exchange_params_t *params)
{
	start(world, params);
	uv_run(&world->loop, UV_RUN_DEFAULT); /* The peer stops when it is done. */
	ck_assert_uint_eq(world->done, 1);
}

/* Scripts. */

static void say_nothing(world_t *world)
{
	(void)world;
}

static void say_one(world_t *world)
{
	say(world->reply, QUESTION, 100);
}

static void say_one_lower(world_t *world)
{
	say(world->reply, "\x07" "eXamPlE" "\x00\x00\xFC\x00\x01", 100);
}

static void say_header_only(world_t *world)
{
	say(world->reply, NULL, 0);
}

/*! Messages of many sizes: more than one in a read, and single ones longer than a read. */
static void say_many(world_t *world)
{
	static const size_t sizes[] = { 1, 5000, 65000, 0, 300, 20, 65535 - 12 - 11, 40000, 17, 1 };
	for (size_t i = 0; i < 10; i++) {
		say(world->reply, i == 0 ? QUESTION : NULL, sizes[i]);
	}
}

static void say_three(world_t *world)
{
	for (unsigned i = 0; i < 3; i++) {
		say(world->reply, i == 0 ? QUESTION : NULL, 5);
	}
}

/*! Five messages of the same size. */
#define FIVE_LEN (2 + 12 + 13)

static void say_five(world_t *world)
{
	for (unsigned i = 0; i < 5; i++) {
		say(world->reply, QUESTION, 0);
	}
}

static void say_other_id(world_t *world)
{
	world->reply->id ^= 1;
	say(world->reply, QUESTION, 10);
	world->reply->id ^= 1;
}

static void say_query(world_t *world)
{
	say(world->reply, QUESTION, 10);
	world->reply->octets[2 + 2] &= 0x7F;
}

static void say_other_opcode(world_t *world)
{
	say(world->reply, QUESTION, 10);
	world->reply->octets[2 + 2] |= 4 << 3;
}

static void say_other_name(world_t *world)
{
	say(world->reply, "\x07" "exbmple" "\x00\x00\xFC\x00\x01", 10);
}

/*! Octets that differ by 0x20 without being letters. */
static void say_other_label(world_t *world)
{
	say(world->reply, "\x27" "ExAmple" "\x00\x00\xFC\x00\x01", 10);
}

static void say_other_type(world_t *world)
{
	say(world->reply, "\x07" "example" "\x00\x00\x06\x00\x01", 10);
}

static void say_other_class(world_t *world)
{
	say(world->reply, "\x07" "example" "\x00\x00\xFC\x00\x03", 10);
}

static void say_two_questions(world_t *world)
{
	say(world->reply, QUESTION, 40);
	knot_wire_set_qdcount(world->reply->octets + 2, 2);
}

static void say_cut_question(world_t *world)
{
	size_t begin = world->reply->len;
	append(world->reply, "\x00\x14\x00\x00\x84\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07" "ExAmple", 22);
	knot_wire_set_id(world->reply->octets + begin + 2, world->reply->id);
}

static void say_empty(world_t *world)
{
	append(world->reply, "\x00\x00", 2);
}

static void say_eleven(world_t *world)
{
	append(world->reply, "\x00\x0B\x12\x34\x84\x00\x00\x00\x00\x00\x00\x00\x00", 13);
}

static void say_one_then_empty(world_t *world)
{
	say_one(world);
	say_empty(world);
}

static void say_half(world_t *world)
{
	say(world->reply, QUESTION, 100);
	world->reply->len -= 50;
}

static void say_half_length(world_t *world)
{
	append(world->reply, "\x00", 1);
}

static void say_one_and_half(world_t *world)
{
	say_one(world);
	say_half(world);
}

static void sign_all(world_t *world)
{
	for (unsigned i = 0; i < 5; i++) {
		say_signed(world->reply, i * 1000);
	}
}

static void sign_some(world_t *world)
{
	for (unsigned i = 0; i < 211; i++) {
		if (i % 70 == 0) {
			say_signed(world->reply, 700);
		} else {
			say(world->reply, QUESTION, 700);
		}
	}
}

static void sign_not_last(world_t *world)
{
	say_signed(world->reply, 1);
	say(world->reply, QUESTION, 2);
}

static void sign_not_first(world_t *world)
{
	say(world->reply, QUESTION, 2);
}

static void sign_wrong(world_t *world)
{
	world->reply->digest[3] ^= 1;
	say_signed(world->reply, 1);
}

static void sign_and_break(world_t *world)
{
	say_signed(world->reply, 10);
	world->reply->octets[2 + 12 + 13 + 11 + 5] ^= 1;
}

/* TCP. */

static const struct {
	const char *name;
	void (*script)(world_t *world);
	peer_end_t end;
	unsigned want;      /*!< Messages that the reader wants. */
	unsigned messages;  /*!< That it gets. */
	int ret;
} tcp_cases[] = {
	{ "one message", say_one, STAY, 1, 1, KNOT_EOK },
	{ "closed behind the last", say_one, CLOSE, 1, 1, KNOT_EOK },
	{ "question in other case", say_one_lower, STAY, 1, 1, KNOT_EOK },
	{ "no question", say_header_only, STAY, 1, 1, KNOT_EOK },
	{ "many sizes", say_many, STAY, 10, 10, KNOT_EOK },
	{ "enough before the end", say_many, STAY, 4, 4, KNOT_EOK },
	{ "three", say_three, STAY, 3, 3, KNOT_EOK },
	{ "closed at once", say_nothing, CLOSE, 1, 0, KNOT_ECONN },
	{ "closed in the length", say_half_length, CLOSE, 1, 0, KNOT_ECONN },
	{ "closed in a message", say_half, CLOSE, 1, 0, KNOT_ECONN },
	{ "closed between messages", say_three, CLOSE, 4, 3, KNOT_ECONN },
	{ "closed in a later message", say_one_and_half, CLOSE, 2, 1, KNOT_ECONN },
	{ "reset at once", say_nothing, RESET, 1, 0, KNOT_ECONNRESET },
	{ "other id", say_other_id, STAY, 1, 0, KNOT_EMALF },
	{ "a query", say_query, STAY, 1, 0, KNOT_EMALF },
	{ "other opcode", say_other_opcode, STAY, 1, 0, KNOT_EMALF },
	{ "other name", say_other_name, STAY, 1, 0, KNOT_EMALF },
	{ "other label length", say_other_label, STAY, 1, 0, KNOT_EMALF },
	{ "other type", say_other_type, STAY, 1, 0, KNOT_EMALF },
	{ "other class", say_other_class, STAY, 1, 0, KNOT_EMALF },
	{ "two questions", say_two_questions, STAY, 1, 0, KNOT_EMALF },
	{ "question cut", say_cut_question, STAY, 1, 0, KNOT_EMALF },
	{ "length 0", say_empty, STAY, 1, 0, KNOT_EMALF },
	{ "length 11", say_eleven, STAY, 1, 0, KNOT_EMALF },
	{ "length 0 later", say_one_then_empty, STAY, 2, 1, KNOT_EMALF },
};

/*! Each case with replies in one piece, octet by octet (the short ones), and in pieces that fit nothing. */
START_TEST(test_tcp)
{
	static const size_t chunks[] = { 0, 1, 7, 1000, 65536 };
	uint32_t sum = 0;
	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		if (tcp_cases[_i].script == say_many && chunks[i] != 0 && chunks[i] < 1000) {
			continue;
		}
		world_t world;
		world_init(&world);
		world.script = tcp_cases[_i].script;
		world.end = tcp_cases[_i].end;
		world.want = tcp_cases[_i].want;
		world.chunk = chunks[i];
		exchange_params_t params = make_params(&world, true);
		run(&world, &params);
		ck_assert_msg(world.ret == tcp_cases[_i].ret, "%s: %s", tcp_cases[_i].name, knot_strerror(world.ret));
		ck_assert_uint_eq(world.messages, tcp_cases[_i].messages);
		ck_assert(i == 0 || world.sum == sum);
		sum = world.sum;
		world_end(&world);
	}
}
END_TEST

/*! Message boundaries meet the end of the buffer in every way. */
START_TEST(test_tcp_boundaries)
{
	for (size_t chunk = 65520; chunk < 65560; chunk += getenv("TEST_FULL") != NULL ? 1 : 7) {
		world_t world;
		world_init(&world);
		world.script = say_many;
		world.want = 10;
		world.chunk = chunk;
		exchange_params_t params = make_params(&world, true);
		run(&world, &params);
		ck_assert_int_eq(world.ret, KNOT_EOK);
		ck_assert_uint_eq(world.messages, 10);
		world_end(&world);
	}
}
END_TEST

static const struct {
	void (*script)(world_t *world);
	bool udp;
	unsigned want, messages;
	int ret;
} signed_cases[] = {
	{ sign_all, false, 5, 5, KNOT_EOK },
	{ sign_some, false, 211, 211, KNOT_EOK },
	{ sign_some, false, 210, 210, KNOT_ENOTSIG },
	{ sign_not_last, false, 2, 2, KNOT_ENOTSIG },
	{ sign_not_first, false, 1, 0, KNOT_ENOTSIG },
	{ sign_wrong, false, 1, 0, KNOT_TSIG_EBADSIG },
	{ sign_and_break, false, 1, 0, KNOT_TSIG_EBADSIG },
	{ say_nothing, false, 1, 0, KNOT_ETIMEOUT },
	{ sign_all, true, 1, 1, KNOT_EOK },
	{ sign_not_first, true, 1, 0, KNOT_ENOTSIG },
	{ sign_wrong, true, 1, 0, KNOT_TSIG_EBADSIG },
	{ say_nothing, true, 1, 0, KNOT_ETIMEOUT },
};

START_TEST(test_signed)
{
	knot_tsig_key_t key;
	ck_assert_int_eq(knot_tsig_key_init(&key, "hmac-sha256", "key.example", "c2VjcmV0"), KNOT_EOK);
	world_t world;
	world_init(&world);
	world.reply->key = &key;
	world.script = signed_cases[_i].script;
	world.want = signed_cases[_i].want;
	exchange_params_t params = make_params(&world, !signed_cases[_i].udp);
	bool must_wait = signed_cases[_i].messages == 0 && (signed_cases[_i].udp || signed_cases[_i].ret == KNOT_ETIMEOUT);
	params.timeout_ms = must_wait ? 25 : 20000;
	run(&world, &params);
	ck_assert_int_eq(world.ret, signed_cases[_i].ret);
	ck_assert_uint_eq(world.messages, signed_cases[_i].messages);
	world_end(&world);
	knot_tsig_key_deinit(&key);
}
END_TEST

/*! A port where nobody listens: one that was given to a socket which is closed again. */
static struct sockaddr_storage dead_port(int type)
{
	struct sockaddr_storage addr = loopback(0);
	socklen_t len = sizeof(struct sockaddr_in);
	int fd = socket(AF_INET, type, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	return addr;
}

START_TEST(test_refused)
{
	bool tcp = _i == 1;
	world_t world;
	world_init(&world);
	exchange_params_t params = make_params(&world, tcp);
	params.remote = dead_port(tcp ? SOCK_STREAM : SOCK_DGRAM);
	run(&world, &params);
	ck_assert_int_eq(world.ret, KNOT_ECONNREFUSED);
	world_end(&world);
}
END_TEST

START_TEST(test_idle_timeout)
{
	void (*const scripts[])(world_t *world) = { say_nothing, say_half, say_half_length, say_one_and_half };
	world_t world;
	world_init(&world);
	world.script = scripts[_i];
	world.want = 2;
	exchange_params_t params = make_params(&world, true);
	params.idle_timeout_ms = 25;
	run(&world, &params);
	ck_assert_int_eq(world.ret, KNOT_ETIMEOUT);
	world_end(&world);
}
END_TEST

/*! A peer that never accepts, as its queue is full: connecting counts as waiting. */
START_TEST(test_connect_timeout)
{
	world_t world;
	world_init(&world);
	exchange_params_t params = make_params(&world, true);
	struct sockaddr_storage any = loopback(0);
	socklen_t len = sizeof(struct sockaddr_in);
	int listener = socket(AF_INET, SOCK_STREAM, 0), filler[4];
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&any, len), 0);
	ck_assert_int_eq(listen(listener, 0), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&params.remote, &len), 0);
	for (int i = 0; i < 4; i++) {
		filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(filler[i], (struct sockaddr *)&params.remote, len);
	}
	params.idle_timeout_ms = 25;
	run(&world, &params);
	ck_assert_int_eq(world.ret, KNOT_ETIMEOUT);
	for (int i = 0; i < 4; i++) {
		close(filler[i]);
	}
	close(listener);
	world_end(&world);
}
END_TEST

/*! Progress does not put off the end of the whole. */
START_TEST(test_whole_timeout)
{
	world_t world;
	world_init(&world);
	world.script = say_many;
	world.want = 100;
	world.chunk = 1;
	exchange_params_t params = make_params(&world, true);
	params.timeout_ms = 60;
	run(&world, &params);
	ck_assert_int_eq(world.ret, KNOT_ETIMEOUT);
	ck_assert_uint_lt(world.reply_sent, world.reply->len);
	world_end(&world);
}
END_TEST

/*! The loop was busy for longer than the timeouts, and the whole answer is in the socket. */
START_TEST(test_busy_loop)
{
	world_t world;
	world_init(&world);
	world.script = _i == 0 ? say_five : say_one;
	world.want = _i == 0 ? 5 : 1;
	world.busy_ms = _i == 0 ? 0 : 150;
	world.reader_busy_ms = _i == 0 ? 40 : 0;
	world.chunk = _i == 0 ? FIVE_LEN : 0;
	exchange_params_t params = make_params(&world, true);
	params.idle_timeout_ms = _i == 0 ? 20 : 100;
	params.timeout_ms = _i == 0 ? 20000 : 100;
	run(&world, &params);
	ck_assert_int_eq(world.ret, KNOT_EOK);
	world_end(&world);
}
END_TEST

/* UDP. */

static void say_forgeries_then_one(world_t *world)
{
	static void (*const forgeries[])(world_t *world) = {
		say_other_id, say_cut_question, say_other_name, say_other_type, say_other_class, say_header_only, say_empty,
		say_eleven,
	};
	for (size_t i = 0; i < sizeof(forgeries) / sizeof(forgeries[0]); i++) {
		forgeries[i](world);
	}
	say(world->reply, QUESTION, 8000); /* Too long: cut off by the buffer. */
	say_one(world);
}

#define ONE_LEN (12 + 13 + 11 + 100)

static void say_format_error(world_t *world)
{
	say(world->reply, NULL, 0);
	world->reply->octets[2 + 3] |= KNOT_RCODE_FORMERR;
}

static void say_two(world_t *world)
{
	say_one(world);
	say_one_lower(world);
}

static void say_one_to_the_second(world_t *world)
{
	if (world->datagrams == 2) {
		say_one(world);
	}
}

static const struct {
	void (*script)(world_t *world);
	uint32_t timeout_ms;
	unsigned datagrams, messages;
	int ret;
} udp_cases[] = {
	{ say_one, 20000, 1, 1, KNOT_EOK },
	{ say_one_lower, 20000, 1, 1, KNOT_EOK },
	{ say_format_error, 20000, 1, 1, KNOT_EOK },
	{ say_forgeries_then_one, 20000, 1, 1, KNOT_EOK },
	{ say_nothing, 25, 1, 0, KNOT_ETIMEOUT },
	{ say_header_only, 25, 1, 0, KNOT_ETIMEOUT },
	{ say_other_id, 25, 1, 0, KNOT_ETIMEOUT },
	{ say_query, 25, 1, 0, KNOT_ETIMEOUT },
	{ say_other_opcode, 25, 1, 0, KNOT_ETIMEOUT },
	{ say_two_questions, 25, 1, 0, KNOT_ETIMEOUT },
	{ say_one_to_the_second, 20000, 2, 1, KNOT_EOK },
};

START_TEST(test_udp)
{
	world_t world;
	world_init(&world);
	world.script = udp_cases[_i].script;
	exchange_params_t params = make_params(&world, false);
	params.timeout_ms = udp_cases[_i].timeout_ms;
	run(&world, &params);
	ck_assert_int_eq(world.ret, udp_cases[_i].ret);
	ck_assert_uint_eq(world.datagrams, udp_cases[_i].datagrams);
	ck_assert_uint_eq(world.messages, udp_cases[_i].messages);
	ck_assert(udp_cases[_i].script != say_forgeries_then_one || world.octets == ONE_LEN);
	world_end(&world);
}
END_TEST

/*! The reader wants more than one datagram. */
START_TEST(test_udp_more)
{
	world_t world;
	world_init(&world);
	world.script = say_two;
	world.want = 2;
	exchange_params_t params = make_params(&world, false);
	run(&world, &params);
	ck_assert_int_eq(world.ret, KNOT_EOK);
	ck_assert_uint_eq(world.messages, 2);
	world_end(&world);
}
END_TEST

START_TEST(test_udp_given_up)
{
	if (getenv("TEST_FULL") == NULL) {
		return; /* Seven seconds. */
	}
	static const uint16_t pauses[] = EXCHANGE_UDP_PAUSES_MS;
	world_t world;
	world_init(&world);
	world.script = say_nothing;
	exchange_params_t params = make_params(&world, false);
	run(&world, &params);
	ck_assert_int_eq(world.ret, KNOT_ETIMEOUT);
	ck_assert_uint_eq(world.datagrams, sizeof(pauses) / sizeof(pauses[0]));
	world_end(&world);
}
END_TEST

/*! Ids and ports differ from query to query. */
START_TEST(test_random_ids)
{
	uint16_t first = 0;
	unsigned same = 0;
	for (unsigned i = 0; i < 8; i++) {
		world_t world;
		world_init(&world);
		world.script = say_one;
		exchange_params_t params = make_params(&world, false);
		run(&world, &params);
		same += i > 0 && world.reply->id == first;
		first = world.reply->id;
		world_end(&world);
	}
	ck_assert_uint_lt(same, 3);
}
END_TEST

/* Start and end. */

static struct sockaddr_storage seen_from;

static void note_sender(uv_udp_t *udp, ssize_t nread, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
	if (nread > 0 && from != NULL) {
		memcpy(&seen_from, from, sizeof(struct sockaddr_in));
	}
	peer_datagram(udp, nread, buf, from, flags);
}

START_TEST(test_via)
{
	world_t world;
	world_init(&world);
	world.script = say_one;
	uv_udp_recv_stop(&world.udp);
	ck_assert_int_eq(uv_udp_recv_start(&world.udp, peer_alloc, note_sender), 0);
	exchange_params_t params = make_params(&world, _i == 1);
	uv_ip4_addr("127.0.0.2", 0, (struct sockaddr_in *)&params.via);
	start(&world, &params);
	while (world.done == 0) {
		uv_run(&world.loop, UV_RUN_ONCE);
		if (world.is_connected && world.done == 0) {
			int len = sizeof(seen_from);
			uv_tcp_getpeername(&world.connection, (struct sockaddr *)&seen_from, &len);
		}
	}
	ck_assert_int_eq(world.ret, KNOT_EOK);
	struct sockaddr_in *from = (struct sockaddr_in *)&seen_from;
	ck_assert_uint_eq(ntohl(from->sin_addr.s_addr), 0x7F000002);
	ck_assert_uint_ne(port_of(&seen_from), 0);
	world_end(&world);
}
END_TEST

/*! An address that is not ours: no callback, and nothing is left. */
START_TEST(test_start_fails)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		world_t world;
		world_init(&world);
		exchange_params_t params = make_params(&world, tcp);
		uv_ip4_addr("192.0.2.77", 0, (struct sockaddr_in *)&params.via);
		ck_assert_int_eq(exchange_start(&world.loop, &params, &callbacks, &world, &world.exchange),
		                 KNOT_EADDRNOTAVAIL);
		ck_assert_ptr_null(world.exchange);
		world_end(&world);
		ck_assert_uint_eq(world.done, 0);
	}
}
END_TEST

START_TEST(test_query_too_long)
{
	world_t world;
	world_init(&world);
	uint8_t *query = calloc(1, UINT16_MAX + 1);
	memcpy(query, QUERY, QUERY_LEN);
	exchange_params_t params = make_params(&world, true);
	params.query = query;
	params.query_len = UINT16_MAX + 1;
	ck_assert_int_eq(exchange_start(&world.loop, &params, &callbacks, &world, &world.exchange), KNOT_ESPACE);
	free(query);
	world_end(&world);
}
END_TEST

/*! Cancelled after each number of the loop's turns: before the connection, while sending, in and between messages. */
START_TEST(test_cancel)
{
	knot_tsig_key_t key;
	ck_assert_int_eq(knot_tsig_key_init(&key, "hmac-sha256", "key.example", "c2VjcmV0"), KNOT_EOK);
	for (unsigned turns = 0; turns < 60; turns++) {
		world_t world;
		world_init(&world);
		world.reply->key = _i >= 2 ? &key : NULL;
		world.script = _i == 0 ? say_nothing : _i == 1 ? say_three : sign_all;
		world.want = 100;
		world.chunk = 3;
		exchange_params_t params = make_params(&world, _i != 0);
		start(&world, &params);
		for (unsigned i = 0; i < turns && world.done == 0; i++) {
			uv_run(&world.loop, UV_RUN_NOWAIT);
		}
		unsigned messages = world.messages;
		exchange_cancel(world.exchange);
		world_end(&world);
		ck_assert_uint_eq(world.done, 0);
		ck_assert_uint_eq(world.messages, messages);
	}
	exchange_cancel(NULL);
	knot_tsig_key_deinit(&key);
}
END_TEST

/*! The next exchange begins from within done(), as when a probe is followed by a transfer. */
static void on_done_again(void *ctx, int ret)
{
	world_t *world = ctx;
	ck_assert_int_eq(ret, KNOT_EOK);
	world->messages = 0;
	exchange_params_t params = make_params(world, true);
	start(world, &params);
}

START_TEST(test_start_in_done)
{
	static const exchange_callbacks_t again = { .message = on_message, .done = on_done_again };
	world_t world;
	world_init(&world);
	world.script = say_one;
	exchange_params_t params = make_params(&world, false);
	ck_assert_int_eq(exchange_start(&world.loop, &params, &again, &world, &world.exchange), KNOT_EOK);
	while (world.done == 0) {
		uv_run(&world.loop, UV_RUN_ONCE);
		world.reply->len = world.is_connected ? world.reply->len : 0;
	}
	ck_assert_int_eq(world.ret, KNOT_EOK);
	world_end(&world);
}
END_TEST

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int main(void)
{
	signal(SIGPIPE, SIG_IGN);

	TCase *tcase = tcase_create("exchange");
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, test_tcp, 0, COUNT(tcp_cases));
	tcase_add_test(tcase, test_tcp_boundaries);
	tcase_add_loop_test(tcase, test_signed, 0, COUNT(signed_cases));
	tcase_add_loop_test(tcase, test_refused, 0, 2);
	tcase_add_loop_test(tcase, test_idle_timeout, 0, 4);
	tcase_add_test(tcase, test_connect_timeout);
	tcase_add_test(tcase, test_whole_timeout);
	tcase_add_loop_test(tcase, test_busy_loop, 0, 2);
	tcase_add_loop_test(tcase, test_udp, 0, COUNT(udp_cases));
	tcase_add_test(tcase, test_udp_more);
	tcase_add_test(tcase, test_udp_given_up);
	tcase_add_test(tcase, test_random_ids);
	tcase_add_loop_test(tcase, test_via, 0, 2);
	tcase_add_test(tcase, test_start_fails);
	tcase_add_test(tcase, test_query_too_long);
	tcase_add_loop_test(tcase, test_cancel, 0, 3);
	tcase_add_test(tcase, test_start_in_done);

	Suite *suite = suite_create("exchange");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
