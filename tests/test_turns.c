/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of whose turn it is.
 */
#include <arpa/inet.h>
#include <check.h>
#include <libknot/errcode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/turns.h"
#include "support.h"

enum { SLOW, FAST };

static const uint64_t pauses[TURNS_PAUSES] = { [TURNS_SILENT] = 5000, [TURNS_REFUSED] = 1000 };

static turns_t turns;
static turn_t turn[64];
static uint64_t now;

static struct sockaddr_storage host(unsigned last)
{
	struct sockaddr_storage addr = { 0 };
	if (last % 2 == 0) {
		struct sockaddr_in *in = (struct sockaddr_in *)&addr;
		in->sin_family = AF_INET;
		in->sin_port = htons(53);
		in->sin_addr.s_addr = htonl(0xC0000200 + last);
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&addr;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(53);
		in6->sin6_addr.s6_addr[15] = last;
	}
	return addr;
}

static void ask(unsigned i, unsigned last, unsigned kind, bool urgent)
{
	struct sockaddr_storage addr = host(last);
	turns_ask(&turns, &turn[i], &addr, kind, urgent, now);
}

/*! Number of the turn that may run next; -1: none. */
static int next(void)
{
	turn_t *found = turns_next(&turns, now);
	ck_assert(found == NULL || found->state == TURN_RUNNING);
	return found != NULL ? found - turn : -1;
}

static int next_failed(void)
{
	turn_t *found = turns_next_failed(&turns);
	ck_assert(found == NULL || found->state == TURN_NONE);
	return found != NULL ? found - turn : -1;
}

static void answered(unsigned i)
{
	turns_answered(&turns, &turn[i], now);
}

static void end(unsigned i, int error)
{
	turns_end(&turns, &turn[i], error, now);
	ck_assert_int_eq(turn[i].state, TURN_NONE);
}

static void begin(unsigned slow, unsigned slow_remote, unsigned fast, unsigned fast_remote)
{
	const turns_limit_t limits[TURNS_KINDS] = { [SLOW] = { slow, slow_remote }, [FAST] = { fast, fast_remote } };
	turns_init(&turns, pauses, limits);
	memset(turn, 0, sizeof(turn));
	now = 1000000;
}

/*! Nothing is left behind. */
static void finish(void)
{
	for (unsigned i = 0; i < 64; i++) {
		turns_cancel(&turns, &turn[i]);
	}
	turns_clear(&turns);
}

/*! A remote that has not answered is asked by one at a time; then by as many as may. */
START_TEST(test_proof)
{
	begin(10, 3, 10, 10);
	for (unsigned i = 0; i < 6; i++) {
		ask(i, 1, SLOW, false);
	}
	ck_assert_int_eq(next(), 0);
	ck_assert_int_eq(next(), -1);
	ask(10, 1, FAST, false); /* One of each kind. */
	ck_assert_int_eq(next(), 10);
	answered(0);
	ck_assert_int_eq(next(), 1);
	ck_assert_int_eq(next(), 2);
	ck_assert_int_eq(next(), -1);
	end(0, KNOT_EOK);
	ck_assert_int_eq(next(), 3);
	ck_assert_int_eq(next(), -1);
	finish();
}
END_TEST

START_TEST(test_pool)
{
	begin(2, 2, 10, 10);
	for (unsigned i = 0; i < 4; i++) {
		ask(i, i, SLOW, false);
	}
	ask(9, 9, FAST, false);
	ck_assert_int_eq(next(), 0);
	ck_assert_int_eq(next(), 1);
	ck_assert_int_eq(next(), 9); /* The other pool has places. */
	ck_assert_int_eq(next(), -1);
	end(1, KNOT_EMALF);
	ck_assert_int_eq(next(), 2);
	ck_assert_int_eq(next(), -1);
	turns_fail(&turns, &turn[0], KNOT_ENOMEM);
	ck_assert_int_eq(next(), 3);
	ck_assert_int_eq(next_failed(), 0);
	ck_assert_int_eq(turn[0].error, KNOT_ENOMEM);
	finish();
}
END_TEST

/*! Urgent ones first, then each remote in turn, however many wait for one of them. */
START_TEST(test_order)
{
	begin(1, 1, 1, 1);
	ask(63, 9, SLOW, false);
	ck_assert_int_eq(next(), 63);
	for (unsigned i = 0; i < 10; i++) {
		ask(i, 1, SLOW, false);
	}
	ask(20, 2, SLOW, false);
	ask(21, 2, SLOW, false);
	ask(30, 3, SLOW, false);
	ask(40, 1, SLOW, true);
	ask(41, 4, SLOW, true);

	static const int order[] = { 40, 41, 20, 30, 0, 21, 1, 2, 3, 4 };
	int last = 63;
	for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		answered(last);
		end(last, KNOT_EOK);
		last = next();
		ck_assert_int_eq(last, order[i]);
		ck_assert_int_eq(next(), -1);
	}
	finish();
}
END_TEST

/*! What waits for a silent remote fails with it, and what is asked of it soon. */
START_TEST(test_silence)
{
	static const int errors[] = { KNOT_ETIMEOUT, KNOT_ECONNREFUSED, KNOT_EHOSTUNREACH, KNOT_ENETUNREACH };
	uint64_t pause = pauses[errors[_i] == KNOT_ECONNREFUSED ? TURNS_REFUSED : TURNS_SILENT];
	begin(10, 10, 10, 10);
	ask(0, 1, SLOW, false);
	ask(1, 1, SLOW, false);
	ask(2, 1, FAST, true);
	ask(3, 2, SLOW, false);
	ck_assert_int_eq(next(), 0);
	ck_assert_int_eq(next(), 3);
	ck_assert_int_eq(next(), 2);
	ask(4, 1, FAST, false);
	ck_assert(!turns_has_failed(&turns));
	now += 10;
	end(0, errors[_i]);
	ck_assert(turns_has_failed(&turns));
	ask(5, 1, FAST, false);
	ask(6, 2, FAST, false);
	ck_assert_int_eq(next(), 6);
	ck_assert_int_eq(next(), -1);
	ck_assert_int_eq(next_failed(), 1);
	ck_assert_int_eq(next_failed(), 4);
	ck_assert_int_eq(turn[4].error, errors[_i]);
	ck_assert_uint_eq(turn[4].again_at, 0); /* It has waited for what then failed. */
	ck_assert_int_eq(next_failed(), 5);
	ck_assert_uint_eq(turn[5].again_at, now + pause);
	ck_assert_int_eq(next_failed(), -1);

	/* Who is in a hurry asks nevertheless. Its word ends the pause, its silence begins another. */
	ask(7, 1, SLOW, true);
	ck_assert_int_eq(next(), 7);
	now += 10;
	end(7, errors[_i]);
	now += pause - 1;
	ask(8, 1, SLOW, false);
	ck_assert_int_eq(next_failed(), 8);
	now++;
	ask(9, 1, SLOW, false);
	ck_assert_int_eq(next(), 9);
	end(9, errors[_i]);
	ask(10, 1, SLOW, true);
	ck_assert_int_eq(next(), 10);
	answered(10);
	ask(11, 1, SLOW, false);
	ck_assert_int_eq(next(), 11);
	finish();
}
END_TEST

/*! Each remote's pause ends when it should, whatever others have. */
START_TEST(test_pauses)
{
	begin(10, 10, 10, 10);
	ask(0, 1, SLOW, false);
	ask(1, 2, SLOW, false);
	ck_assert_int_eq(next(), 0);
	ck_assert_int_eq(next(), 1);
	end(0, KNOT_ETIMEOUT);
	end(1, KNOT_ECONNREFUSED);
	now += pauses[TURNS_REFUSED];
	ask(2, 1, SLOW, false);
	ask(3, 2, SLOW, false);
	ck_assert_int_eq(next(), 3);
	ck_assert_int_eq(next_failed(), 2);
	end(3, KNOT_ETIMEOUT);
	now += pauses[TURNS_SILENT] - 1;
	ask(4, 1, SLOW, false);
	ask(5, 2, SLOW, false);
	ck_assert_int_eq(next(), 4);
	ck_assert_int_eq(next_failed(), 5);
	ck_assert_uint_eq(turn[5].again_at, now + 1);
	finish();
}
END_TEST

/*! Other errors, and silence of one that has answered meanwhile, are about one zone alone. */
START_TEST(test_no_silence)
{
	begin(10, 10, 10, 10);
	ask(0, 1, SLOW, false);
	ck_assert_int_eq(next(), 0);
	ask(1, 1, SLOW, false);
	end(0, KNOT_TSIG_EBADSIG);
	ck_assert_int_eq(next(), 1);
	now++;
	answered(1);
	ask(2, 1, SLOW, false);
	ask(3, 1, SLOW, false);
	ck_assert_int_eq(next(), 2);
	ck_assert_int_eq(next(), 3);
	now++;
	answered(3);
	now++;
	end(2, KNOT_ETIMEOUT);
	ask(4, 1, SLOW, false);
	ck_assert_int_eq(next(), 4);
	ck_assert_int_eq(next_failed(), -1);
	finish();
}
END_TEST

static const struct {
	int error;
	bool is_answer;
} doubts[] = {
	{ KNOT_ENOTSIG, true },
	{ KNOT_TSIG_EBADSIG, true },
	{ KNOT_TSIG_EBADKEY, true },
	{ KNOT_TSIG_EBADTIME, true },
	{ KNOT_TSIG_EBADTRUNC, true },
	{ KNOT_EMALF, false },
	{ KNOT_ENOMEM, false },
};

/*! A remote that answers, if not verifiably, is asked by others at once: theirs may be another key. */
START_TEST(test_doubtful_answer)
{
	begin(10, 3, 10, 10);
	for (unsigned i = 0; i < 5; i++) {
		ask(i, 1, SLOW, false);
	}
	ck_assert_int_eq(next(), 0);
	ck_assert_int_eq(next(), -1);
	now += 7000;
	end(0, doubts[_i].error);
	ck_assert_int_eq(next(), 1);
	if (doubts[_i].is_answer) {
		ck_assert_int_eq(next(), 2);
		ck_assert_int_eq(next(), 3);
	}
	ck_assert_int_eq(next(), -1);
	ck_assert_int_eq(next_failed(), -1);
	finish();
}
END_TEST

START_TEST(test_cancel)
{
	begin(1, 1, 1, 1);
	turns_cancel(&turns, &turn[0]);
	for (unsigned i = 0; i < 4; i++) {
		ask(i, 1, SLOW, false);
	}
	ck_assert_int_eq(next(), 0);
	turns_cancel(&turns, &turn[1]);
	turns_cancel(&turns, &turn[0]);
	ck_assert_int_eq(next(), 2);
	end(2, KNOT_ETIMEOUT);
	turns_cancel(&turns, &turn[3]);
	ck_assert_int_eq(turn[3].state, TURN_NONE);
	ck_assert_int_eq(next_failed(), -1);
	finish();
}
END_TEST

/*! Anything in any order: the limits hold, nothing is lost, nothing is left behind. */
START_TEST(test_random)
{
	srandom(support_seed());
	begin(5, 2, 7, 3);
	unsigned running[TURNS_KINDS] = { 0 };
	unsigned steps = support_is_full() ? 500000 : 50000;
	for (unsigned step = 0; step < steps; step++) {
		unsigned i = random() % 64;
		now += random() % 40;
		switch (random() % 8) {
		case 0: case 1: case 2:
			if (turn[i].state == TURN_NONE) {
				ask(i, i % 7, random() % 2, random() % 4 == 0);
			}
			break;
		case 3: case 4: {
			int found = next();
			if (found >= 0) {
				ck_assert_uint_le(++running[turn[found].kind], turns.pool[turn[found].kind].limit.running);
			}
			break;
		}
		case 5:
			if (turn[i].state == TURN_RUNNING) {
				answered(i);
			}
			break;
		case 6:
			if (turn[i].state == TURN_RUNNING) {
				running[turn[i].kind]--;
				end(i, (const int[]) { KNOT_EOK, KNOT_EOK, KNOT_ETIMEOUT, KNOT_ECONNREFUSED, KNOT_TSIG_EBADKEY }[random() % 5]);
			}
			break;
		case 7:
			running[turn[i].kind] -= turn[i].state == TURN_RUNNING;
			if (random() % 4 > 0) {
				next_failed();
			} else if (turn[i].state == TURN_RUNNING && random() % 2) {
				turns_fail(&turns, &turn[i], KNOT_ENOMEM);
			} else {
				turns_cancel(&turns, &turn[i]);
			}
			running[turn[i].kind] += turn[i].state == TURN_RUNNING;
			break;
		}
		ck_assert_uint_eq(turns.pool[SLOW].running, running[SLOW]);
		ck_assert_uint_eq(turns.pool[FAST].running, running[FAST]);
	}

	/* All that waits comes, when those before it end. */
	for (bool any = true; any;) {
		any = false;
		for (unsigned i = 0; i < 64; i++) {
			if (turn[i].state == TURN_RUNNING) {
				end(i, KNOT_EOK);
			}
		}
		while (next() >= 0 || next_failed() >= 0) {
			any = true;
		}
	}
	for (unsigned i = 0; i < 64; i++) {
		ck_assert_int_eq(turn[i].state, TURN_NONE);
	}
	turns_clear(&turns);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("turns");
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_proof);
	tcase_add_test(tcase, test_pool);
	tcase_add_test(tcase, test_order);
	tcase_add_loop_test(tcase, test_silence, 0, 4);
	tcase_add_test(tcase, test_pauses);
	tcase_add_test(tcase, test_no_silence);
	tcase_add_loop_test(tcase, test_doubtful_answer, 0, sizeof(doubts) / sizeof(doubts[0]));
	tcase_add_test(tcase, test_cancel);
	tcase_add_test(tcase, test_random);

	Suite *suite = suite_create("turns");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
