/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief How fast a transfer is digested: messages alone, into a builder, and over a loopback connection, also signed.
 *
 *     gcc -O2 -std=gnu11 -D_GNU_SOURCE -Iinclude tests/bench_transfer_in.c tests/support.c build/libhouse.a \
 *         -lknot -lzscanner -lcheck -lsubunit -lm -luv -lurcu -lurcu-cds -lpthread -o bench_transfer_in
 *     ./bench_transfer_in [NAMES]
 *
 * The zone is like a hosting company's: 628,021 names have about a million records. The digester is compiled in here, so
 * that the builder behind it can be left out.
 */
#include <arpa/inet.h>
#include <libknot/libknot.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "secondary/builder.h"
#include "secondary/exchange.h"

static bool is_parse_only;
static uint64_t parse_sum;

static int bench_add(builder_t *builder, const uint8_t *owner, size_t owner_len, uint16_t type, uint32_t ttl,
                     const uint8_t *rdata, uint16_t rdlen)
{
	if (!is_parse_only) {
		return builder_add(builder, owner, owner_len, type, ttl, rdata, rdlen);
	}
	parse_sum += owner[0] + owner_len + type + ttl + rdata[0] + rdlen;
	return KNOT_EOK;
}

#define builder_add bench_add
#include "../module/transfer_in.c"
#undef builder_add

#define NAMES_DEFAULT 628021
#define MESSAGE_MAX   16384   /* knotd's */
#define SIGNED_MAX    (MESSAGE_MAX + 300)
#define ROUNDS        5
#define APEX          "\x05" "bench" "\x04" "test"
#define APEX_LEN      12 /* With the root label. */

#define REQUIRE(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1); \
		} \
	} while (0)

/* The stream: framed messages, one after the other. */

static uint8_t *stream;
static size_t stream_len, stream_max;
static uint64_t stream_records;
static size_t message_pos;
static uint64_t seed = 1;

static uint32_t random_next(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return seed >> 33;
}

static void put(const void *octets, size_t len)
{
	if (stream_len + len > stream_max) {
		stream_max = 2 * (stream_len + len) + 65536;
		stream = realloc(stream, stream_max);
		REQUIRE(stream != NULL);
	}
	memcpy(stream + stream_len, octets, len);
	stream_len += len;
}

static void put_u16(uint16_t value)
{
	uint8_t octets[2] = { value >> 8, value & 0xFF };
	put(octets, 2);
}

static void end_message(void)
{
	if (stream_len > 0) {
		knot_wire_write_u16(stream + message_pos, stream_len - message_pos - 2);
	}
}

static void begin_message(void)
{
	end_message();
	message_pos = stream_len;
	put("\0\0" "\0\0\x84\0\0\x01\0\0\0\0\0\0" APEX "\0" "\0\xFC\0\x01", 2 + 12 + APEX_LEN + 4);
}

/*! Begins a record: \a owner in full as far as it is below the apex, or NULL: pointer to \a pointer. */
static void put_head(const char *owner, uint16_t pointer, uint16_t type, uint16_t rdlen)
{
	if (owner != NULL && *owner != '\0') {
		uint8_t len = strlen(owner);
		put(&len, 1);
		put(owner, len);
	}
	put_u16(0xC000 | pointer);
	put_u16(type);
	put("\0\x01\0\0\x0E\x10", 6);
	put_u16(rdlen);
	knot_wire_add_ancount(stream + message_pos + 2, 1);
	stream_records++;
}

static void put_soa(void)
{
	put_head("", 12, KNOT_RRTYPE_SOA, 24);
	put("\xC0\x0C\xC0\x0C\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05", 24);
}

/*! Records of one name: mostly A, some AAAA, MX, TXT; a tenth are aliases. */
static void put_name(unsigned number)
{
	if (stream_len - message_pos > MESSAGE_MAX - 250) {
		begin_message();
	}
	char owner[32];
	snprintf(owner, sizeof(owner), "%c%xsite%u", 'a' + random_next() % 26, random_next() & 0xFFF, number);
	uint16_t place = stream_len - message_pos - 2;
	uint32_t kind = random_next() % 100, address = random_next();
	if (kind < 10) {
		put_head(owner, 12, KNOT_RRTYPE_CNAME, 2);
		put_u16(0xC00C);
		return;
	}
	put_head(owner, 12, KNOT_RRTYPE_A, 4);
	put(&address, 4);
	if (kind < 40) {
		put_head(NULL, place, KNOT_RRTYPE_AAAA, 16);
		put("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0", 12);
		put(&address, 4);
	}
	if (kind >= 35 && kind < 50) {
		put_head(NULL, place, KNOT_RRTYPE_MX, 9);
		put("\0\x0A\x04" "mail\xC0\x0C", 9);
	}
	if (kind >= 45 && kind < 60) {
		put_head(NULL, place, KNOT_RRTYPE_TXT, 16);
		put("\x0Fv=spf1 mx a -al", 16);
	}
}

static void make_stream(unsigned names)
{
	begin_message();
	put_soa();
	put_head("", 12, KNOT_RRTYPE_NS, 5);
	put("\x02ns\xC0\x0C", 5);
	for (unsigned i = 0; i < names; i++) {
		put_name(i);
	}
	put_soa();
	end_message();
}

/* Measuring. */

static double now(clockid_t clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/*! By the wall, and of this thread's processor: the machine may be busy with something else. */
typedef struct {
	double wall, cpu;
} taken_t;

static taken_t taken_since(taken_t start)
{
	return (taken_t) { now(CLOCK_MONOTONIC) - start.wall, now(CLOCK_THREAD_CPUTIME_ID) - start.cpu };
}

static int compare(const void *a, const void *b)
{
	double x = ((const taken_t *)a)->cpu, y = ((const taken_t *)b)->cpu;
	return (x > y) - (x < y);
}

static void print_line(const char *what, taken_t *taken)
{
	qsort(taken, ROUNDS, sizeof(*taken), compare);
	taken_t median = taken[ROUNDS / 2];
	printf("%-28s cpu %7.1f ms %5.0f MB/s %6.1f ns/record  (%.1f to %.1f ms); wall %7.1f ms\n", what, median.cpu * 1e3,
	       stream_len / median.cpu / 1e6, median.cpu / stream_records * 1e9, taken[0].cpu * 1e3,
	       taken[ROUNDS - 1].cpu * 1e3, median.wall * 1e3);
}

static transfer_in_t *begin(void)
{
	static const builder_limits_t limits = { 0 };
	transfer_in_t *transfer = transfer_in_new((const uint8_t *)APEX, &limits, NULL);
	REQUIRE(transfer != NULL);
	return transfer;
}

static void end(transfer_in_t *transfer)
{
	if (!is_parse_only) {
		snapshot_t *snapshot = NULL;
		history_run_t run = { 0 };
		REQUIRE(transfer_in_finish(transfer, NULL, &snapshot, &run) == KNOT_EOK);
		snapshot_unpin(snapshot);
	}
	transfer_in_free(transfer);
}

static taken_t measure_memory(void)
{
	transfer_in_t *transfer = begin();
	taken_t start = { now(CLOCK_MONOTONIC), now(CLOCK_THREAD_CPUTIME_ID) };
	transfer_status_t status = TRANSFER_MORE;
	for (size_t pos = 0; pos < stream_len && status == TRANSFER_MORE;) {
		size_t len = knot_wire_read_u16(stream + pos);
		status = transfer_in_message(transfer, stream + pos + 2, len);
		pos += 2 + len;
	}
	taken_t taken = taken_since(start);
	if (status != TRANSFER_COMPLETE) {
		fprintf(stderr, "failed: %s\n", transfer_in_error(transfer));
		exit(1);
	}
	end(transfer);
	rcu_barrier();
	return taken;
}

/* Over a connection. */

static int listener;
static uint8_t *sent;          /*!< The stream with the id of the query, and signed where a key is given. */
static size_t sent_len;
static knot_tsig_key_t key;

static void write_all(int fd, const uint8_t *octets, size_t len)
{
	while (len > 0) {
		ssize_t written = write(fd, octets, len);
		REQUIRE(written > 0);
		octets += written;
		len -= written;
	}
}

/*! Puts the answer to \a query together, before the time is taken. */
static void prepare_answer(const uint8_t *query, size_t query_len)
{
	uint8_t digest[64];
	size_t digest_len = 32;
	memcpy(digest, query + query_len - 6 - digest_len, digest_len);
	bool is_signed = knot_wire_get_arcount(query) > 0;
	sent_len = 0;
	for (size_t pos = 0; pos < stream_len;) {
		size_t len = knot_wire_read_u16(stream + pos);
		uint8_t *msg = sent + sent_len + 2;
		memcpy(msg, stream + pos + 2, len);
		pos += 2 + len;
		knot_wire_set_id(msg, knot_wire_get_id(query));
		size_t next_len = sizeof(digest);
		if (is_signed && sent_len == 0) {
			REQUIRE(knot_tsig_sign(msg, &len, SIGNED_MAX, digest, digest_len, digest, &next_len, &key, 0, 0) == 0);
		} else if (is_signed) {
			REQUIRE(knot_tsig_sign_next(msg, &len, SIGNED_MAX, digest, digest_len, digest, &next_len, &key, msg,
			                            len) == 0);
		}
		knot_wire_write_u16(msg - 2, len);
		sent_len += 2 + len;
	}
}

static double answer_start;

static void *serve(void *arg)
{
	(void)arg;
	int fd = accept(listener, NULL, NULL);
	uint8_t query[1024];
	ssize_t len = read(fd, query, sizeof(query));
	REQUIRE(len > 2 && len == 2 + knot_wire_read_u16(query));
	prepare_answer(query + 2, len - 2);
	answer_start = now(CLOCK_MONOTONIC);
	write_all(fd, sent, sent_len);
	REQUIRE(read(fd, query, 1) == 0);
	close(fd);
	return NULL;
}

static exchange_next_t on_message(void *ctx, const uint8_t *msg, size_t len)
{
	return transfer_in_message(ctx, msg, len) == TRANSFER_MORE ? EXCHANGE_MORE : EXCHANGE_ENOUGH;
}

static void on_done(void *ctx, int ret)
{
	(void)ctx;
	REQUIRE(ret == KNOT_EOK);
}

static taken_t measure_connection(const knot_tsig_key_t *use_key)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t addr_len = sizeof(addr);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	REQUIRE(bind(listener, (struct sockaddr *)&addr, addr_len) == 0 && listen(listener, 1) == 0 &&
	        getsockname(listener, (struct sockaddr *)&addr, &addr_len) == 0);
	pthread_t thread;
	REQUIRE(pthread_create(&thread, NULL, serve, NULL) == 0);

	transfer_in_t *transfer = begin();
	static const exchange_callbacks_t callbacks = { .message = on_message, .done = on_done };
	uint8_t query[TRANSFER_QUERY_MAX];
	exchange_params_t params = {
		.tcp = true, .query = query, .query_len = transfer_in_query((const uint8_t *)APEX, NULL, true, query), .key = use_key,
		.timeout_ms = 60000, .idle_timeout_ms = 60000,
	};
	memcpy(&params.remote, &addr, sizeof(addr));
	uv_loop_t loop;
	exchange_t *exchange;
	REQUIRE(uv_loop_init(&loop) == 0);
	REQUIRE(exchange_start(&loop, &params, &callbacks, transfer, &exchange) == KNOT_EOK);
	double cpu_start = now(CLOCK_THREAD_CPUTIME_ID);
	uv_run(&loop, UV_RUN_DEFAULT);
	taken_t taken = taken_since((taken_t) { answer_start, cpu_start });
	uv_loop_close(&loop);
	end(transfer);
	rcu_barrier();
	pthread_join(thread, NULL);
	close(listener);
	return taken;
}

int main(int argc, char **argv)
{
	rcu_register_thread();
	make_stream(argc > 1 ? atoi(argv[1]) : NAMES_DEFAULT);
	sent = malloc(stream_len + (stream_len / (MESSAGE_MAX - 300) + 2) * 300);
	REQUIRE(sent != NULL && knot_tsig_key_init(&key, "hmac-sha256", "key", "c2VjcmV0") == KNOT_EOK);
	printf("%llu records, %zu octets; median of %d\n", (unsigned long long)stream_records, stream_len, ROUNDS);

	taken_t taken[6][ROUNDS];
	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned build = 0; build < 2; build++) {
			is_parse_only = build == 0;
			taken[build][i] = measure_memory();
			taken[2 + build][i] = measure_connection(NULL);
			taken[4 + build][i] = measure_connection(&key);
		}
	}
	print_line("messages", taken[0]);
	print_line("messages to builder", taken[1]);
	print_line("connection", taken[2]);
	print_line("connection to builder", taken[3]);
	print_line("signed connection", taken[4]);
	print_line("signed connection to builder", taken[5]);
	free(sent);
	free(stream);
	knot_tsig_key_deinit(&key);
	rcu_unregister_thread();
	return 0;
}
