/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of interned stanzas: what makes two of them equal, and who frees them.
 */
#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/stanza.h"

static struct sockaddr_storage v4(const char *text, unsigned port)
{
	struct sockaddr_storage addr = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&addr;
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	ck_assert_int_eq(inet_pton(AF_INET, text, &in->sin_addr), 1);
	return addr;
}

/*! Two primaries and two targets, the first of each with a key, and a source address. */
static stanza_t *sample(void)
{
	stanza_t *stanza = stanza_new(2, 2);
	ck_assert_ptr_nonnull(stanza);
	stanza->refresh_jitter_ms = 5000;
	stanza->retry_jitter_ms = 2000;
	stanza->refresh = stanza->retry = stanza->expire = (clamp_t) { 1, 1000 };
	stanza->primary[0].addr = v4("192.0.2.1", 53);
	stanza->primary[0].via = v4("192.0.2.9", 0);
	ck_assert_int_eq(knot_tsig_key_init(&stanza->primary[0].key, "hmac-sha256", "key.", "c2VjcmV0"), 0);
	stanza->primary[1].addr = v4("192.0.2.2", 53);
	stanza->target[0].addr = v4("192.0.2.3", 53);
	ck_assert_int_eq(knot_tsig_key_init(&stanza->target[0].key, "hmac-sha256", "key.", "c2VjcmV0"), 0);
	stanza->target[1].addr = v4("192.0.2.3", 5353);
	return stanza;
}

static void key_replace(stanza_t *stanza, const char *algorithm, const char *name, const char *secret)
{
	knot_tsig_key_deinit(&stanza->primary[0].key);
	ck_assert_int_eq(knot_tsig_key_init(&stanza->primary[0].key, algorithm, name, secret), 0);
}

/* One change each; `primaries`: the primaries differ then. */
static void none(stanza_t *s) { (void)s; }
static void refresh_jitter(stanza_t *s) { s->refresh_jitter_ms++; }
static void retry_jitter(stanza_t *s) { s->retry_jitter_ms++; }
static void refresh_min(stanza_t *s) { s->refresh.min++; }
static void retry_max(stanza_t *s) { s->retry.max++; }
static void expire_max(stanza_t *s) { s->expire.max++; }
static void max_size(stanza_t *s) { s->zone_max_size++; }
static void differences(stanza_t *s) { s->difference_max_size++; }
static void shrink_limit(stanza_t *s) { s->zone_shrink_limit++; }
static void zonemd_verify(stanza_t *s) { s->zonemd_verify = ZONEMD_REQUIRE; }
static void timeout(stanza_t *s) { s->transfer_timeout_ms++; }
static void idle_timeout(stanza_t *s) { s->transfer_idle_timeout_ms++; }
static void address(stanza_t *s) { s->primary[1].addr = v4("192.0.2.3", 53); }
static void port(stanza_t *s) { s->primary[1].addr = v4("192.0.2.2", 54); }
static void via(stanza_t *s) { s->primary[0].via = v4("192.0.2.8", 0); }
static void via_none(stanza_t *s) { s->primary[0].via.ss_family = AF_UNSPEC; }
static void key_none(stanza_t *s) { knot_tsig_key_deinit(&s->primary[0].key); }
static void key_same(stanza_t *s) { key_replace(s, "hmac-sha256", "key.", "c2VjcmV0"); }
static void key_name(stanza_t *s) { key_replace(s, "hmac-sha256", "kez.", "c2VjcmV0"); }
static void key_algorithm(stanza_t *s) { key_replace(s, "hmac-sha512", "key.", "c2VjcmV0"); }
static void key_secret(stanza_t *s) { key_replace(s, "hmac-sha256", "key.", "c2VjcmV1"); }
static void key_length(stanza_t *s) { key_replace(s, "hmac-sha256", "key.", "c2VjcmV0cw=="); }
static void no_edns(stanza_t *s) { s->primary[1].no_edns = true; }
static void fewer(stanza_t *s) { s->primary_count--; }
static void target_address(stanza_t *s) { s->target[1].addr = v4("192.0.2.4", 5353); }
static void target_key_none(stanza_t *s) { knot_tsig_key_deinit(&s->target[0].key); }
static void target_no_edns(stanza_t *s) { s->target[0].no_edns = true; }
static void target_fewer(stanza_t *s) { s->target_count--; }

static const struct {
	void (*change)(stanza_t *stanza);
	bool equal, primaries_equal;
} changes[] = {
	{ none, true, true }, { key_same, true, true },
	{ refresh_jitter, false, true }, { retry_jitter, false, true }, { refresh_min, false, true },
	{ retry_max, false, true }, { expire_max, false, true }, { max_size, false, true }, { differences, false, true }, { zonemd_verify, false, true },
	{ shrink_limit, false, true },
	{ timeout, false, true }, { idle_timeout, false, true },
	{ target_address, false, true }, { target_key_none, false, true }, { target_fewer, false, true },
	{ target_no_edns, false, true },
	{ address, false, false }, { port, false, false }, { via, false, false }, { via_none, false, false },
	{ key_none, false, false }, { key_name, false, false }, { key_algorithm, false, false },
	{ key_secret, false, false }, { key_length, false, false }, { no_edns, false, false },
	{ fewer, false, false },
};

START_TEST(test_equal)
{
	stanza_t *changed = sample();
	changes[_i].change(changed);
	stanza_t *a = stanza_intern(sample());
	ck_assert_int_eq(stanza_primaries_equal(a, changed), changes[_i].primaries_equal);

	stanza_t *b = stanza_intern(changed);
	ck_assert_int_eq(a == b, changes[_i].equal);
	stanza_release(a);
	stanza_t *again = stanza_intern(sample());
	ck_assert_int_eq(again == b, changes[_i].equal);
	stanza_release(b);
	stanza_release(again);
}
END_TEST

START_TEST(test_holds)
{
	stanza_release(NULL);
	stanza_t *never_shared = sample();
	stanza_release(never_shared);

	stanza_t *one = stanza_intern(sample());
	ck_assert_ptr_eq(stanza_hold(one), one);
	stanza_t *other = sample();
	other->zone_max_size = 1;
	other = stanza_intern(other);
	stanza_release(one);
	ck_assert_ptr_eq(stanza_intern(sample()), one);
	stanza_release(one);
	stanza_release(one); /* Not the first of the table. */
	stanza_release(other);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("stanza");
	tcase_add_loop_test(tcase, test_equal, 0, sizeof(changes) / sizeof(changes[0]));
	tcase_add_test(tcase, test_holds);

	Suite *suite = suite_create("stanza");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
