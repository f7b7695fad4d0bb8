/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of chase.h: versions that are published while one answer is made. What else it does is seen in system/test_aliases.py.
 */
#include "message.h"
#include "secondary/chase.h"
#include "secondary/directory.h"

#define APEX "@ SOA ns admin 1 2 3 4 5\n@ NS ns\n"

static zone_t *ours, *other;

static zone_t *serve(const char *apex, const char *text)
{
	uint8_t name[WIRE_NAME_MAX];
	zone_t *zone;
	(void)support_name(apex, name);
	ck_assert_int_eq(zone_attach(name, (struct instance *)&ours, &zone), KNOT_EOK);
	ck_assert_int_eq(directory_add(zone), KNOT_EOK);
	zone_publish(zone, support_zone(apex, text), 0);
	return zone;
}

static void withdraw(zone_t *zone)
{
	directory_remove(zone);
	ck_assert(zone_detach(zone, (struct instance *)&ours));
	zone_publish(zone, NULL, 0);
	zone_release(zone);
}

static void setup(void)
{
	rcu_register_thread();
	secondary_rcu_prime();
	ours = serve("ours.", APEX "a CNAME a.other.\nb TXT 1\n");
	other = serve("other.", APEX "a CNAME far.away.\nb TXT 1\n");
}

static void teardown(void)
{
	withdraw(ours);
	withdraw(other);
	rcu_barrier();
	rcu_unregister_thread();
}

static bool is_host(const uint8_t *apex, size_t len, void *ctx)
{
	(void)apex, (void)len, (void)ctx;
	return false;
}

/*! As if an alias of others had led to \a target, whose name stands where the chain's does. */
static void come_home(message_t *msg, alias_chain_t *chain, const char *target)
{
	uint8_t *wire = msg->wire + msg->size;
	chain->pos = msg->size;
	chain->len = support_name(target, chain->name);
	memcpy(wire, chain->name, chain->len);
	msg->size += chain->len;
	chain->end = msg->size;
}

/*! The digit of the one TXT record at the end of the message. */
static char last_digit(const message_t *msg)
{
	return msg->wire[msg->size - 1];
}

static const char *const homes[] = { "b.ours.", "b.other." };

/*! A zone that is come back to is seen as it was before, though a new version has been published. */
START_TEST(test_one_version)
{
	message_t msg = response_begin("a.ours.", KNOT_RRTYPE_TXT, 512);
	const question_t question = { .qname = (const uint8_t *)"\1a\4ours", .qname_len = 8, .qtype = KNOT_RRTYPE_TXT };
	alias_chain_t chain;
	chase_versions_t versions;
	rcu_read_lock();
	const snapshot_t *snapshot = zone_borrow(ours);
	answer_result_t result = answer(snapshot, &question, &msg, &chain);
	chase_begin(&versions, ours, snapshot);
	ck_assert_int_eq(chase(&versions, &question, &msg, &chain, is_host, NULL, &result), CHASE_OUTSIDE);
	ck_assert_uint_eq(msg.count[SECTION_ANSWER], 2);

	zone_publish(ours, support_zone("ours.", APEX "a CNAME a.other.\nb TXT 2\n"), 0);
	zone_publish(other, support_zone("other.", APEX "a CNAME far.away.\nb TXT 2\n"), 0);
	come_home(&msg, &chain, homes[_i]);
	ck_assert_int_eq(chase(&versions, &question, &msg, &chain, is_host, NULL, &result), CHASE_DONE);
	ck_assert_int_eq(result.outcome, ANSWER_HIT);
	ck_assert_int_eq(last_digit(&msg), '1');
	rcu_read_unlock();
	free(msg.wire);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("chase");
	TCase *tcase = tcase_create("all");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, test_one_version, 0, sizeof(homes) / sizeof(homes[0]));
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
