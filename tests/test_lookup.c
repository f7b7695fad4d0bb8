/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of lookup.h and ahead.h: how many look-ups are under way at once.
 *
 * The loop runs in the test's own thread, and the server is a socket that answers when the test does: nothing depends on time.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libknot/libknot.h>

#include "secondary/ahead.h"
#include "secondary/rcu.h"
#include "secondary/wire.h"
#include "support.h"

static uv_loop_t loop;
static cache_t *cache;
static resolver_t *resolver;
static lookup_via_t via[2];
static int server;
static unsigned ended, answered;
static unsigned ahead_most;

static void on_ended(lookup_via_t *of, const lookup_end_t *end)
{
	ck_assert(of == &via[0] || of == &via[1]);
	ck_assert_ptr_null(end->entry->lookup);
	ended++;
	answered += end->answered;
	ahead_ask();
	ahead_most = lookups_ahead() > ahead_most ? lookups_ahead() : ahead_most;
}

static lookup_via_t *find_via(uint32_t id)
{
	return id < 2 ? &via[id] : NULL;
}

static void setup(void)
{
	rcu_register_thread();
	secondary_rcu_prime();
	struct sockaddr_storage addr = support_loopback(0);
	socklen_t len = sizeof(struct sockaddr_in);
	server = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(server, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(getsockname(server, (struct sockaddr *)&addr, &len), 0);
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	ck_assert_int_eq(resolver_new_self(&loop, &addr, &resolver), KNOT_EOK);
	cache = cache_new(1 << 20);
	ck_assert_ptr_nonnull(cache);
	for (uint32_t id = 0; id < 2; id++) {
		via[id] = (lookup_via_t) { .id = id, .ttl_max = 1000, .self = resolver };
	}
	ended = answered = ahead_most = 0;
	lookups_begin(&loop, cache, on_ended);
	ahead_begin(cache, find_via);
}

static void teardown(void)
{
	lookups_drop(&via[0]);
	lookups_drop(&via[1]);
	resolver_free(resolver);
	uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	ahead_end();
	lookups_end();
	cache_free(cache);
	close(server);
	rcu_barrier();
	rcu_unregister_thread();
}

/*! Says REFUSED to a question that has come, if one has: `self` knows nothing of the name. */
static bool answer_one(void)
{
	uint8_t wire[512];
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	const ssize_t size = recvfrom(server, wire, sizeof(wire), 0, (struct sockaddr *)&from, &from_len);
	if (size > 0) {
		knot_wire_set_qr(wire);
		knot_wire_set_rcode(wire, KNOT_RCODE_REFUSED);
		ck_assert_int_eq(sendto(server, wire, size, 0, (struct sockaddr *)&from, from_len), size);
	}
	return size > 0;
}

static void await_ended(unsigned count)
{
	while (ended < count) {
		(void)answer_one();
		uv_run(&loop, UV_RUN_NOWAIT);
	}
}

/*! The entry of another name for each \a i. */
static cache_entry_t *entry_of(const lookup_via_t *of, unsigned i)
{
	char text[32];
	uint8_t name[WIRE_NAME_MAX];
	snprintf(text, sizeof(text), "n%u.foreign.", i);
	cache_entry_t *entry = cache_get(cache, of->id, name, support_name(text, name), KNOT_RRTYPE_A);
	ck_assert_ptr_nonnull(entry);
	return entry;
}

/*! As a query does that finds nothing. Returns whether it is asked for. */
static bool start(lookup_via_t *of, unsigned i)
{
	cache_entry_t *entry = entry_of(of, i);
	ck_assert(cache_take_question(entry, cache_now()));
	lookup_start(of, entry, false);
	return entry->lookup != NULL;
}

/*! 256 for each list. What comes then is neither asked for nor has it failed: the next query asks for it again. */
START_TEST(test_under_way)
{
	for (unsigned i = 0; i < 256; i++) {
		ck_assert_msg(start(&via[0], i), "number %u", i);
	}
	ck_assert(!start(&via[0], 256));
	ck_assert_int_eq(entry_of(&via[0], 256)->failure, CACHE_NO_FAILURE);
	ck_assert(!start(&via[0], 256));
	ck_assert_uint_eq(via[0].under_way, 256);
	ck_assert(start(&via[1], 0));

	await_ended(1);
	ck_assert(start(&via[0], 256));
}
END_TEST

/*! 4 while none of the list answers: what comes then has failed. */
START_TEST(test_under_way_while_lost)
{
	via[0].lost = true;
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_msg(start(&via[0], i), "number %u", i);
	}
	ck_assert(!start(&via[0], 4));
	ck_assert_int_eq(entry_of(&via[0], 4)->failure, KNOT_EDNS_EDE_NETWORK);
	ck_assert(!cache_take_question(entry_of(&via[0], 4), cache_now()));
	ck_assert(start(&via[1], 0));
}
END_TEST

/*! The loop's idea of now, which is another after work that took long. */
static void set_time(uint64_t ms)
{
	loop.time = ms;
}

/*! What was done before a look-up does not count. */
START_TEST(test_begins_late)
{
	uv_update_time(&loop);
	const uint64_t now = uv_now(&loop);
	set_time(now - 2 * LOOKUP_TIMEOUT_MS);
	ck_assert(start(&via[0], 0));
	set_time(now + LOOKUP_TIMEOUT_MS - 1);
	lookups_expire();
	lookups_expire();
	ck_assert_uint_eq(ended, 0);
}
END_TEST

/*! An answer that came while the loop was busy is taken. */
START_TEST(test_answered_while_busy)
{
	ck_assert(start(&via[0], 0));
	while (!answer_one()) {
		; /* It has been sent. */
	}
	set_time(uv_now(&loop) + 2 * LOOKUP_TIMEOUT_MS);
	lookups_expire();
	ck_assert_uint_eq(ended, 0);
	await_ended(1);
	ck_assert_uint_eq(answered, 1);
}
END_TEST

/*! Without one it ends when the loop has looked once more. */
START_TEST(test_expires)
{
	ck_assert(start(&via[0], 0));
	ck_assert(start(&via[0], 1));
	lookups_expire();
	set_time(uv_now(&loop) + LOOKUP_TIMEOUT_MS);
	lookups_expire();
	ck_assert_uint_eq(ended, 0);
	lookups_expire();
	ck_assert_uint_eq(ended, 2);
	ck_assert_uint_eq(answered, 0);
	ck_assert_int_eq(entry_of(&via[0], 0)->failure, KNOT_EDNS_EDE_NETWORK);
}
END_TEST

static zone_t *follow(const char *apex, const char *text)
{
	zone_t *zone;
	void *before = NULL;
	bool changed = false;
	uint8_t name[WIRE_NAME_MAX];
	(void)support_name(apex, name);
	ck_assert_int_eq(zone_attach(name, (struct instance *)&loop, &zone), KNOT_EOK);
	zone_publish(zone, support_zone(apex, text), 0);
	ck_assert_int_eq(ahead_follow(zone, via[0].id, 1000, &loop, &before, &changed), KNOT_EOK);
	ck_assert(changed);
	return zone;
}

static void unfollow(zone_t *zone)
{
	void *before = NULL;
	ck_assert(ahead_unfollow(zone, &before));
	ahead_take();
	ck_assert(zone_detach(zone, (struct instance *)&loop));
	zone_publish(zone, NULL, 0);
	zone_release(zone);
}

/*! 32 at a time for all zones; the others wait, none is left out. What queries ask for does not count. */
START_TEST(test_ahead)
{
	enum { TARGETS = 50 };
	char text[TARGETS * 32] = "@ SOA ns admin 1 2 3 4 5\n@ NS ns\n";
	for (unsigned i = 0; i < TARGETS; i++) {
		sprintf(text + strlen(text), "n%u CNAME n%u.ahead.\n", i, i);
	}
	zone_t *zone[] = { follow("one.example.", text), follow("two.example.", "@ SOA ns admin 1 2 3 4 5\n@ NS ns\na CNAME b.ahead.\n") };
	ahead_take();
	ahead_ask();
	ck_assert_uint_eq(lookups_ahead(), 32);
	ahead_ask();
	ck_assert_uint_eq(via[0].under_way, 32);
	ck_assert(start(&via[0], 0));
	ck_assert_uint_eq(via[0].under_way, 33);

	await_ended(2 * (TARGETS + 1) + 1); /* A and AAAA of each target, and the query's. */
	ck_assert_uint_eq(lookups_ahead(), 0);
	ck_assert_uint_eq(ahead_most, 32);
	unfollow(zone[0]);
	unfollow(zone[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lookup");
	TCase *tcase = tcase_create("all");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_under_way);
	tcase_add_test(tcase, test_under_way_while_lost);
	tcase_add_test(tcase, test_begins_late);
	tcase_add_test(tcase, test_answered_while_busy);
	tcase_add_test(tcase, test_expires);
	tcase_add_test(tcase, test_ahead);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
