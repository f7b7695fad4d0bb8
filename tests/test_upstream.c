/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of upstream.h: its thread, hooks beside it, and a server that answers as `self` would.
 */
#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <libknot/libknot.h>

#include "secondary/report.h"
#include "secondary/upstream.h"
#include "secondary/wire.h"
#include "support.h"

/*! Answers AA=1 with address 192.0.2.1; below "silent." not at all, below "refused." with REFUSED. */
static struct {
	int fd;
	pthread_t thread;
	struct sockaddr_storage addr;
	unsigned asked;           /*!< Atomic. */
} server;

static bool is_below(const uint8_t *wire, size_t size, const char *apex)
{
	uint8_t name[WIRE_NAME_MAX], top[WIRE_NAME_MAX];
	size_t len;
	if (wire_name_read(wire, size, KNOT_WIRE_HEADER_SIZE, name, &len) <= 0) {
		return false;
	}
	wire_name_lower(name, len);
	return wire_name_within(name, len, top, support_name(apex, top));
}

static void *serve(void *ctx)
{
	(void)ctx;
	uint8_t wire[1024];
	struct sockaddr_storage peer;
	socklen_t peer_len = sizeof(peer);
	for (;;) {
		const ssize_t size = recvfrom(server.fd, wire, 512, 0, (struct sockaddr *)&peer, &peer_len);
		if (size < KNOT_WIRE_HEADER_SIZE) {
			return NULL; /* An empty datagram ends it. */
		}
		__atomic_add_fetch(&server.asked, 1, __ATOMIC_RELAXED);
		if (is_below(wire, size, "silent.")) {
			continue;
		}
		ck_assert_msg(!knot_wire_get_rd(wire) || is_below(wire, size, "forwarded."), "asked with RD=1");
		knot_wire_set_qr(wire);
		knot_wire_set_arcount(wire, 0);
		size_t end = size - KNOT_EDNS_MIN_SIZE;
		if (is_below(wire, size, "refused.")) {
			knot_wire_set_rcode(wire, KNOT_RCODE_REFUSED);
		} else {
			knot_wire_set_aa(wire);
			knot_wire_set_ancount(wire, 1);
			memcpy(wire + end, "\xC0\x0C\0\1\0\1\0\0\0\x64\0\4\xC0\0\2\1", 16);
			end += 16;
		}
		(void)sendto(server.fd, wire, end, 0, (struct sockaddr *)&peer, peer_len);
	}
}

static void setup(void)
{
	rcu_register_thread();
	secondary_rcu_prime();
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	server.fd = socket(AF_INET, SOCK_DGRAM, 0);
	ck_assert_int_eq(bind(server.fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(getsockname(server.fd, (struct sockaddr *)&addr, &len), 0);
	memset(&server.addr, 0, sizeof(server.addr));
	memcpy(&server.addr, &addr, sizeof(addr));
	server.asked = 0;
	ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void teardown(void)
{
	(void)sendto(server.fd, "", 0, 0, (struct sockaddr *)&server.addr, sizeof(struct sockaddr_in));
	pthread_join(server.thread, NULL);
	close(server.fd);
	rcu_barrier();
	rcu_unregister_thread();
}

static int try_attach(uint32_t ttl_max, upstream_kind_t kind, uint16_t own_port, upstream_t **ret_upstream)
{
	upstream_options_t options = {
		.source = calloc(1, sizeof(upstream_source_t)), .source_count = 1, .own = calloc(1, sizeof(struct sockaddr_storage)),
		.own_count = 1, .ttl_max = ttl_max, .stale = 100, .cache_size = 1 << 20,
	};
	options.source[0].kind = kind;
	options.source[0].addr = server.addr;
	options.own[0] = server.addr;
	if (own_port != 0) {
		((struct sockaddr_in *)&options.own[0])->sin_port = htons(own_port);
	}
	int ret = upstream_attach(&options, ret_upstream);
	ck_assert_ptr_null(options.source);
	return ret;
}

static upstream_t *attach_at(uint32_t ttl_max, upstream_kind_t kind, uint16_t own_port)
{
	upstream_t *upstream = NULL;
	ck_assert_int_eq(try_attach(ttl_max, kind, own_port, &upstream), KNOT_EOK);
	return upstream;
}

static upstream_t *attach(uint32_t ttl_max)
{
	return attach_at(ttl_max, UPSTREAM_SELF, 0);
}

/*! What a hook would see; a reply's kind, or -1 and the EDE code. */
static int look_up(upstream_t *upstream, const char *text, uint32_t hold_ms, int *ret_ede)
{
	uint8_t name[WIRE_NAME_MAX];
	const uint8_t len = support_name(text, name);
	hold_t hold = { .ms = hold_ms, .workers = 4 };
	upstream_view_t view;
	rcu_read_lock();
	upstream_look_up(upstream, name, len, KNOT_RRTYPE_A, &hold, &view);
	const int kind = view.reply != NULL ? (int)view.reply->kind : -1;
	rcu_read_unlock();
	*ret_ede = view.ede;
	return kind;
}

static int await(upstream_t *upstream, const char *text)
{
	int ede, kind;
	for (unsigned i = 0; (kind = look_up(upstream, text, 0, &ede)) < 0 && i < 5000; i++) {
		usleep(1000);
	}
	return kind;
}

START_TEST(test_looked_up_once)
{
	upstream_t *upstream = attach(1000);
	int ede;
	ck_assert_int_eq(look_up(upstream, "www.found.", 0, &ede), -1);
	ck_assert_int_eq(ede, KNOT_EDNS_EDE_NOT_READY);
	for (unsigned i = 0; i < 1000; i++) {
		(void)look_up(upstream, "www.found.", 0, &ede);
	}
	ck_assert_int_eq(await(upstream, "www.found."), REPLY_FOUND);
	ck_assert_uint_eq(__atomic_load_n(&server.asked, __ATOMIC_RELAXED), 1);
	ck_assert_int_eq(await(upstream, "www.refused."), REPLY_NOTHING);
	upstream_release(upstream);
}
END_TEST

START_TEST(test_shared)
{
	upstream_t *one = attach(1000), *same = attach(1000), *other = attach(2000);
	ck_assert_ptr_eq(one, same);
	ck_assert_ptr_ne(one, other);
	ck_assert_int_eq(await(one, "www.found."), REPLY_FOUND);
	int ede;
	ck_assert_int_eq(look_up(other, "www.found.", 0, &ede), -1);
	upstream_release(one);
	upstream_release(other);
	ck_assert_int_eq(look_up(same, "www.found.", 0, &ede), REPLY_FOUND);
	upstream_release(same);
	upstream_release(NULL);

	/* The cache went with the last one. */
	one = attach(1000);
	ck_assert_int_eq(look_up(one, "www.found.", 0, &ede), -1);
	upstream_release(one);
}
END_TEST

START_TEST(test_hold)
{
	upstream_t *upstream = attach(1000);
	int ede;
	ck_assert_msg(look_up(upstream, "a.found.", 1000, &ede) == -1, "held although nothing was answered yet");
	ck_assert_int_eq(await(upstream, "a.found."), REPLY_FOUND);
	ck_assert_int_eq(look_up(upstream, "b.found.", 1000, &ede), REPLY_FOUND);
	ck_assert_int_eq(look_up(upstream, "a.silent.", 100, &ede), -1);
	ck_assert_msg(look_up(upstream, "c.found.", 1000, &ede) == -1, "held although the last one ran out");
	ck_assert_int_eq(await(upstream, "c.found."), REPLY_FOUND);
	upstream_release(upstream);
}
END_TEST

static zone_t *publish(const char *apex, const char *text, upstream_t *upstream)
{
	zone_t *zone;
	uint8_t name[WIRE_NAME_MAX];
	(void)support_name(apex, name);
	ck_assert_int_eq(zone_attach(name, (struct instance *)&server, &zone), KNOT_EOK);
	ck_assert_int_eq(upstream_zone_set(zone, upstream, 1000), KNOT_EOK);
	zone_publish(zone, support_zone(apex, text), 0);
	return zone;
}

static void withdraw(zone_t *zone)
{
	upstream_zone_gone(zone);
	ck_assert(zone_detach(zone, (struct instance *)&server));
	zone_publish(zone, NULL, 0);
	zone_release(zone);
}

/*! What was to be asked for when the last holder went is not asked for by the next thread. */
START_TEST(test_waiting_at_the_end)
{
	char text[4096] = "@ SOA ns admin 1 2 3 4 5\n@ NS ns\n";
	for (unsigned i = 0; i < 2 * AHEAD_MAX; i++) {
		sprintf(text + strlen(text), "n%u CNAME n%u.silent.\n", i, i);
	}
	upstream_t *upstream = attach(1);
	zone_t *zone = publish("example.", text, upstream);
	ck_assert_int_eq(await(upstream, "www.found."), REPLY_FOUND);
	usleep(1500000); /* Its TTL is over, and the silent ones still have all turns. */
	withdraw(zone);
	upstream_release(upstream);

	upstream = attach(1);
	ck_assert_int_eq(await(upstream, "www.found."), REPLY_FOUND);
	usleep(300000); /* Beyond the first tick. */
	upstream_release(upstream);
}
END_TEST

/*! The server's addresses are no part of an upstream, but the latest ones hold. */
START_TEST(test_own_addresses)
{
	upstream_t *upstream = attach(1000);
	ck_assert_int_eq(await(upstream, "www.found."), REPLY_FOUND);
	upstream_t *same = attach_at(1000, UPSTREAM_SELF, 1);
	ck_assert_ptr_eq(upstream, same);
	upstream_release(upstream);
	int ede;
	ck_assert_int_eq(look_up(same, "www.found.", 0, &ede), REPLY_FOUND);
	upstream_release(same);
}
END_TEST

static unsigned dropped;

static void note_dropped(const zone_t *zone, int priority, const char *fmt, va_list args)
{
	(void)zone;
	(void)args;
	if (priority == LOG_ERR && strstr(fmt, "this one alone") != NULL) {
		__atomic_add_fetch(&dropped, 1, __ATOMIC_RELEASE);
	}
}

/*! A list of which this server alone is left is not asked any more, until there are others. */
START_TEST(test_own_address_alone)
{
	dropped = 0;
	report_set_sink(note_dropped);
	upstream_t *upstream = attach_at(1000, UPSTREAM_ADDRESS, 1);
	ck_assert_int_eq(await(upstream, "a.forwarded."), REPLY_FOUND);
	int ede;
	ck_assert_int_eq(look_up(upstream, "a.silent.", 0, &ede), -1);
	upstream_t *same = attach_at(1000, UPSTREAM_ADDRESS, 0);
	ck_assert_ptr_eq(upstream, same);
	for (unsigned i = 0; i < 30000 && __atomic_load_n(&dropped, __ATOMIC_ACQUIRE) == 0; i++) {
		usleep(1000);
	}
	ck_assert_uint_eq(__atomic_load_n(&dropped, __ATOMIC_ACQUIRE), 1);
	ck_assert_int_eq(look_up(upstream, "a.forwarded.", 0, &ede), REPLY_FOUND);
	upstream_release(same);

	same = attach_at(1000, UPSTREAM_ADDRESS, 1);
	ck_assert_int_eq(await(upstream, "b.forwarded."), REPLY_FOUND);
	upstream_release(same);
	upstream_release(upstream);
	report_set_sink(NULL);
}
END_TEST

/*! Without open files there is no thread, but the next one starts it. */
START_TEST(test_not_started)
{
	struct rlimit before, none;
	getrlimit(RLIMIT_NOFILE, &before);
	none = before;
	none.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &none);
	upstream_t *upstream = NULL;
	const int ret = try_attach(1000, UPSTREAM_SELF, 0, &upstream);
	setrlimit(RLIMIT_NOFILE, &before);
	ck_assert_int_eq(ret, KNOT_ERROR);
	ck_assert_ptr_null(upstream);
	upstream = attach(1000);
	ck_assert_int_eq(await(upstream, "www.found."), REPLY_FOUND);
	upstream_release(upstream);
}
END_TEST

/*! Without open files there is no resolver; with them there is one again. */
START_TEST(test_resolver_is_made_later)
{
	upstream_t *upstream = attach(1000); /* The thread runs. */
	ck_assert_int_eq(await(upstream, "www.found."), REPLY_FOUND);
	struct rlimit before, none;
	getrlimit(RLIMIT_NOFILE, &before);
	none = before;
	const int fd = dup(server.fd);
	close(fd);
	none.rlim_cur = fd + 4; /* Two pairs of libunbound's: it leaks memory where these are not to be had. */
	setrlimit(RLIMIT_NOFILE, &none);
	upstream_t *forwarder = attach_at(1000, UPSTREAM_ADDRESS, 1);
	int ede;
	usleep(100000);
	ck_assert_int_eq(look_up(forwarder, "a.forwarded.", 0, &ede), -1);
	setrlimit(RLIMIT_NOFILE, &before);
	ck_assert_int_eq(await(forwarder, "a.forwarded."), REPLY_FOUND);
	upstream_release(forwarder);
	upstream_release(upstream);
}
END_TEST

static bool stop;

static void *hook(void *ctx)
{
	upstream_t *upstream = ctx;
	rcu_register_thread();
	for (unsigned i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		char name[64];
		int ede;
		snprintf(name, sizeof(name), "n%u.%s", i % 97, i % 5 == 0 ? "silent." : i % 5 == 1 ? "refused." : "found.");
		(void)look_up(upstream, name, i % 50 == 0 ? 2 : 0, &ede);
		if (i % 100 == 0) {
			usleep(1000);
		}
	}
	rcu_unregister_thread();
	return NULL;
}

/*! Hooks ask while zones come, change, are published and go. */
START_TEST(test_everything_at_once)
{
	upstream_t *upstream = attach(1000);
	pthread_t thread[3];
	stop = false;
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(pthread_create(&thread[i], NULL, hook, upstream), 0);
	}
	for (unsigned i = 0; i < (support_is_full() ? 500 : 30); i++) {
		zone_t *zone;
		upstream_t *other = attach(2000 + i % 3);
		ck_assert_int_eq(zone_attach((const knot_dname_t *)"\7example", (struct instance *)&stop, &zone), KNOT_EOK);
		ck_assert_int_eq(upstream_zone_set(zone, i % 2 ? upstream : other, 100), KNOT_EOK);
		zone_publish(zone, support_zone("example.", "@ SOA ns admin 1 2 3 4 5\n@ NS ns\na CNAME a.found.\nb CNAME b.silent.\n"), 0);
		ck_assert_int_eq(upstream_zone_set(zone, other, 100), KNOT_EOK);
		usleep(i % 4 * 1000);
		ck_assert(zone_detach(zone, (struct instance *)&stop));
		if (i % 5 == 0) {
			ck_assert_int_eq(upstream_zone_set(zone, NULL, 0), KNOT_EOK);
		}
		upstream_zone_gone(zone);
		zone_publish(zone, NULL, 0);
		zone_release(zone);
		upstream_release(other);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(thread[i], NULL);
	}
	upstream_release(upstream);
	upstream_counters_t counters;
	upstream_counters(&counters);
	ck_assert(counters.hits > 0 && counters.misses > 0 && counters.lookups > 0);
}
END_TEST

static unsigned publications;

static void *publisher(void *ctx)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		upstream_published(ctx);
		__atomic_add_fetch(&publications, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/*! Versions are published while the last holder of an upstream goes, and its thread ends. */
START_TEST(test_published_at_the_end)
{
	static char instance;
	zone_t *zone;
	pthread_t thread;
	stop = false;
	publications = 0;
	ck_assert_int_eq(zone_attach((const knot_dname_t *)"\7example", (struct instance *)&instance, &zone), KNOT_EOK);
	ck_assert_int_eq(pthread_create(&thread, NULL, publisher, zone), 0);
	for (unsigned i = 0; i < (support_is_full() ? 5000 : 100); i++) {
		upstream_t *upstream = attach(1000);
		ck_assert_int_eq(upstream_zone_set(zone, upstream, 100), KNOT_EOK);
		upstream_release(upstream);
		/* While it is followed. */
		for (unsigned seen = __atomic_load_n(&publications, __ATOMIC_RELAXED);
		     __atomic_load_n(&publications, __ATOMIC_RELAXED) == seen; ) {
			sched_yield();
		}
		upstream_zone_gone(zone);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	ck_assert(zone_detach(zone, (struct instance *)&instance));
	zone_release(zone);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("upstream");
	TCase *tcase = tcase_create("all");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, test_looked_up_once);
	tcase_add_test(tcase, test_shared);
	tcase_add_test(tcase, test_hold);
	tcase_add_test(tcase, test_waiting_at_the_end);
	tcase_add_test(tcase, test_own_addresses);
	tcase_add_test(tcase, test_own_address_alone);
	tcase_add_test(tcase, test_not_started);
	tcase_add_test(tcase, test_resolver_is_made_later);
	tcase_add_test(tcase, test_everything_at_once);
	tcase_add_test(tcase, test_published_at_the_end);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
