/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Memory that is scarce: each allocation of loading, transferring, publishing and exporting fails once, and all is as before.
 *
 * The linker leads the house's calls of malloc() and its kin here (meson.build). A scenario is run again and again: the first
 * allocation fails, then the second, and so on, until a run needs none that fails. What a failure leaves behind is the leak checker's.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <arpa/inet.h>

#include <libknot/libknot.h>

#include "secondary/amend.h"
#include "secondary/builder.h"
#include "secondary/exchange.h"
#include "secondary/history.h"
#include "secondary/increment_out.h"
#include "secondary/refresh.h"
#include "secondary/stanza.h"
#include "secondary/transfer_in.h"
#include "secondary/transfer_out.h"
#include "secondary/zone.h"
#include "support.h"

#define ZONE "example.com"

/* -- allocations that fail ------------------------------------------------------------------------------------------ */

/*! This thread's: the one that frees behind grace periods goes on. */
static __thread bool is_scarce;
static __thread long left;        /*!< Allocations before the one that fails. */
static __thread bool has_failed;

static bool fails(void)
{
	if (!is_scarce || left-- != 0) {
		return false;
	}
	has_failed = true;
	errno = ENOMEM;
	return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__real_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
void *__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

void *__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	return fails() ? MAP_FAILED : __real_mmap(addr, size, prot, flags, fd, offset);
}

/* -- zones ---------------------------------------------------------------------------------------------------------- */

#define OWNERS 3000

/*! A zone that needs each kind of memory: many owners, large RRsets, one that comes twice, aliases, a chain of NSEC3. */
static char *zone_of(unsigned serial, bool changed)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	fprintf(out, "@ SOA ns host %u 3600 600 604800 300\n@ NS ns\n@ NSEC3PARAM 1 0 0 -\n", serial);
	fprintf(out, "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 1 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A\n");
	for (unsigned n = 0; n < OWNERS; n++) {
		fprintf(out, "host%u A 192.0.2.%u\n", n, n % 250 + changed);
		fprintf(out, "many A 198.%u.%u.1\nalias%u CNAME target%u.elsewhere.\n", n / 250, n % 250, n, n);
	}
	for (unsigned n = 0; n < OWNERS; n += 7) {
		fprintf(out, "host%u TXT \"comes again\"\n", n);
	}
	fclose(out);
	return text;
}

static snapshot_t *snapshot_of(unsigned serial, bool changed)
{
	char *text = zone_of(serial, changed);
	snapshot_t *snapshot = support_zone(ZONE, text);
	free(text);
	return snapshot;
}

/*! A full transfer as messages with their lengths before them. */
static uint8_t *stream;
static size_t stream_len;

static void stream_write(snapshot_t *snapshot)
{
	static uint8_t wire[UINT16_MAX];
	size_t question_len = 12 + knot_dname_size((const uint8_t *)"\7example\3com") + 4;
	rcu_read_lock();
	transfer_out_t *transfer = transfer_out_new(snapshot);
	rcu_read_unlock();
	transfer_out_status_t status = TRANSFER_OUT_MORE;
	for (stream_len = 0; status == TRANSFER_OUT_MORE;) {
		memset(wire, 0, question_len);
		memcpy(wire + 12, "\7example\3com\0\0\xfc\0\1", question_len - 12);
		message_t msg = { .wire = wire, .size = question_len, .limit = sizeof(wire), .qname_end = question_len - 4 };
		status = transfer_out_fill(transfer, &msg);
		ck_assert_int_ne(status, TRANSFER_OUT_TOO_LARGE);
		knot_wire_set_qr(wire);
		knot_wire_set_qdcount(wire, 1);
		knot_wire_set_ancount(wire, msg.count[SECTION_ANSWER]);
		stream = realloc(stream, stream_len + 2 + msg.size);
		knot_wire_write_u16(stream + stream_len, msg.size);
		memcpy(stream + stream_len + 2, wire, msg.size);
		stream_len += 2 + msg.size;
	}
	transfer_out_free(transfer);
}

/* -- what is done while memory is scarce ------------------------------------------------------------------------------ */

static zone_t *served;            /*!< Has version 1. */
static snapshot_t *first, *second; /*!< Versions 1 and 2, pinned. */

static bool tells_memory;         /*!< The last transfer that failed said so. */

/*! Version 2 is transferred. \return KNOT_EOK: and may be published. */
static int receive(snapshot_t **ret_snapshot)
{
	tells_memory = true;
	builder_limits_t limits = { 0 };
	transfer_in_t *transfer = transfer_in_new((const uint8_t *)"\7example\3com", &limits, NULL);
	if (transfer == NULL) {
		return KNOT_ENOMEM;
	}
	transfer_status_t status = TRANSFER_MORE;
	for (size_t pos = 0; pos < stream_len && status == TRANSFER_MORE; pos += 2 + knot_wire_read_u16(stream + pos)) {
		status = transfer_in_message(transfer, stream + pos + 2, knot_wire_read_u16(stream + pos));
	}
	int ret = KNOT_ENOMEM;
	if (status == TRANSFER_COMPLETE) {
		history_run_t run = { 0 };
		ret = transfer_in_finish(transfer, NULL, ret_snapshot, &run);
		history_run_clear(&run);
	}
	/* Whoever reads the log learns that it was memory. */
	tells_memory = ret == KNOT_EOK || strcmp(transfer_in_error(transfer), knot_strerror(KNOT_ENOMEM)) == 0;
	transfer_in_free(transfer);
	return ret;
}

static int run_transfer(void)
{
	snapshot_t *snapshot = NULL;
	int ret = receive(&snapshot);
	bool was_scarce = is_scarce;
	if (ret == KNOT_EOK) {
		zone_publish(served, snapshot, 0);
	}
	is_scarce = false;
	ck_assert(tells_memory);
	rcu_read_lock();
	ck_assert_uint_eq(zone_borrow(served)->soa.serial, ret == KNOT_EOK ? 2 : 1);
	rcu_read_unlock();
	if (ret == KNOT_EOK) {
		zone_publish(served, snapshot_of(1, false), 0);
	}
	is_scarce = was_scarce;
	return ret;
}

static uint64_t now_ms(void *ctx) { (void)ctx; return 1000; }
static int64_t wall(void *ctx) { (void)ctx; return 1; }
static uint32_t no_random(void *ctx, uint32_t below) { (void)ctx; (void)below; return 0; }
static void arm(void *ctx, refresh_t *refresh, uint64_t at) { (void)ctx; (void)refresh; (void)at; }
static void cancel(void *ctx, refresh_t *refresh) { (void)ctx; (void)refresh; }

static int run_load(void)
{
	static const refresh_ops_t ops = { .now_ms = now_ms, .wall = wall, .random = no_random, .arm = arm, .cancel = cancel };
	static char place;
	stanza_t *stanza = stanza_new(3, 2);
	if (stanza == NULL) {
		return KNOT_ENOMEM;
	}
	stanza = stanza_intern(stanza);
	zone_t *zone = NULL;
	int ret = zone_attach((const uint8_t *)"\5other\3com", (struct instance *)&place, &zone);
	if (ret != KNOT_EOK) {
		stanza_release(stanza);
		return ret;
	}
	refresh_t *refresh = refresh_new(zone_hold(zone), stanza, &ops, NULL);
	if (refresh == NULL) {
		zone_release(zone);
		stanza_release(stanza);
		ret = KNOT_ENOMEM;
	}
	refresh_free(refresh);
	(void)zone_detach(zone, (struct instance *)&place);
	zone_release(zone);
	return ret;
}

static exchange_next_t on_message(void *ctx, const uint8_t *msg, size_t len)
{
	(void)ctx, (void)msg, (void)len;
	return EXCHANGE_ENOUGH;
}

static void on_done(void *ctx, int ret)
{
	(void)ctx, (void)ret;
}

static int run_exchange(bool tcp)
{
	static const exchange_callbacks_t callbacks = { on_message, on_done };
	static const uint8_t query[] = { [5] = 1, [12] = 1, 'a', 0, 0, 6, 0, 1 };
	uint8_t secret[32] = { 1 };
	const knot_tsig_key_t key = { DNSSEC_TSIG_HMAC_SHA256, (knot_dname_t *)"\3key", { sizeof(secret), secret } };
	exchange_params_t params = {
		.tcp = tcp, .query = query, .query_len = sizeof(query), .key = &key, .timeout_ms = 1000, .idle_timeout_ms = 1000,
	};
	struct sockaddr_in *remote = (struct sockaddr_in *)&params.remote;
	*remote = (struct sockaddr_in) { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uv_loop_t loop;
	uv_loop_init(&loop);
	exchange_t *exchange = NULL;
	int ret = exchange_start(&loop, &params, &callbacks, NULL, &exchange);
	if (ret == KNOT_EOK) {
		exchange_cancel(exchange);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	return ret;
}

static int run_datagrams(void) { return run_exchange(false); }
static int run_stream(void) { return run_exchange(true); }

/*! The way from one version to the next is computed, kept, found, and written. */
static int run_differences(void)
{
	difference_t *difference = NULL;
	int ret = difference_compute(first, second, 1 << 24, &difference);
	if (ret != KNOT_EOK) {
		return ret;
	}
	history_t history = { 0 };
	ret = history_add(&history, difference, 1 << 26);
	if (ret != KNOT_EOK) {
		return ret;
	}
	history_run_t run = { 0 };
	rcu_read_lock();
	ret = history_find(&history, 1, 2, 1 << 26, &run);
	rcu_read_unlock();
	increment_out_t *increment = ret == KNOT_EOK ? increment_out_new((const uint8_t *)"\7example\3com", 13, &run) : NULL;
	if (increment == NULL) {
		ret = KNOT_ENOMEM;
		history_run_clear(&run);
	}
	increment_out_free(increment);
	history_clear(&history);
	return ret;
}

static int run_amend(void)
{
	bool was_scarce = is_scarce;
	is_scarce = false;
	difference_t *difference = NULL;
	ck_assert_int_eq(difference_compute(first, second, 1 << 24, &difference), KNOT_EOK);
	is_scarce = was_scarce;
	builder_limits_t limits = { 0 };
	char error[AMEND_ERROR_MAX];
	snapshot_t *draft = NULL;
	int ret = amend(first, &difference, 1, &limits, &draft, error);
	if (ret == KNOT_EOK) {
		snapshot_discard(draft);
	}
	difference_release(difference);
	return ret;
}

static int run_compaction(void)
{
	snapshot_t *copy = NULL;
	int ret = amend_compact(first, &copy);
	if (ret == KNOT_EOK) {
		snapshot_unpin(copy);
	}
	return ret;
}

static int run_transfer_out(void)
{
	rcu_read_lock();
	transfer_out_t *transfer = transfer_out_new(first);
	rcu_read_unlock();
	transfer_out_free(transfer);
	return transfer != NULL ? KNOT_EOK : KNOT_ENOMEM;
}

static const struct {
	const char *what;
	int (*run)(void);
	long least;                   /*!< Allocations that it makes at least: else the wrapping has come undone. */
	bool does_without;            /*!< Of some: a trie needs no spine, and what was to be trimmed stays as it is. */
} scenarios[] = {
	{ "transfer, publish", run_transfer, 10, true },
	{ "load", run_load, 4 },
	{ "question in datagrams", run_datagrams, 3 },
	{ "question over a stream", run_stream, 3 },
	{ "differences", run_differences, 4, true },
	{ "amend", run_amend, 4, true },
	{ "compaction", run_compaction, 4, true },
	{ "transfer out", run_transfer_out, 1 },
};

/*! Runs with one allocation that fails; false: it made fewer. */
static bool run_scarce(unsigned scenario, long number)
{
	has_failed = false;
	left = number;
	is_scarce = true;
	int ret = scenarios[scenario].run();
	is_scarce = false;
	const bool may_succeed = !has_failed || scenarios[scenario].does_without;
	ck_assert_msg((ret == KNOT_EOK && may_succeed) || (ret == KNOT_ENOMEM && has_failed), "%s, allocation %ld: %s", scenarios[scenario].what, number,
	              knot_strerror(ret));
	return has_failed;
}

START_TEST(test_each_fails_once)
{
	long number = 0;
	for (; run_scarce(_i, number); number++) {
		ck_assert_int_eq(scenarios[_i].run(), KNOT_EOK);
	}
	printf("%s: %ld allocations\n", scenarios[_i].what, number);
	ck_assert_msg(number >= scenarios[_i].least, "%s: %ld allocations", scenarios[_i].what, number);
}
END_TEST

static void setup(void)
{
	static char place;
	secondary_rcu_prime();
	rcu_register_thread();
	first = snapshot_of(1, false);
	second = snapshot_of(2, true);
	stream_write(second);
	ck_assert_int_eq(zone_attach((const uint8_t *)"\7example\3com", (struct instance *)&place, &served), KNOT_EOK);
	zone_publish(served, snapshot_of(1, false), 0);
}

static void teardown(void)
{
	free(stream);
	stream = NULL;
	zone_publish(served, NULL, 0);
	zone_release(served);
	snapshot_unpin(first);
	snapshot_unpin(second);
	rcu_barrier();
	rcu_barrier();
	rcu_unregister_thread();
}

int main(void)
{
	Suite *suite = suite_create("scarce");
	TCase *tcase = tcase_create("scarce");
	tcase_set_timeout(tcase, 0);
	tcase_add_unchecked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, test_each_fails_once, 0, sizeof(scenarios) / sizeof(scenarios[0]));
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
