/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Hashes, places in a chain, and the choice among chains.
 */

#include <check.h>
#include <stdio.h>

#include "chain.h"
#include "secondary/nsec3.h"
#include "support.h"

/* The hashes of RFC 5155, appendix A. */
static const struct {
	const char *name;
	const char *hash;
} vectors[] = {
	{ "example.", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom" },
	{ "a.example.", "35mthgpgcu1qg68fab165klnsnk3dpvl" },
	{ "ai.example.", "gjeqe526plbf1g8mklp59enfd789njgi" },
	{ "ns1.example.", "2t7b4g4vsa5smi47k61mv5bv1a22bojr" },
	{ "ns2.example.", "q04jkcevqvmu85r014c7dkba38o0ji5r" },
	{ "w.example.", "k8udemvp1j2f7eg6jebps17vp3n8i58h" },
	{ "*.w.example.", "r53bq7cc2uvmubfu5ocmm6pers9tk9en" },
	{ "x.w.example.", "b4um86eghhds6nea196smvmlo4ors995" },
	{ "y.w.example.", "ji6neoaepv8b5o6k4ev33abha8ht9fgc" },
	{ "x.y.w.example.", "2vptu5timamqttgl4luu9kg21e0aor3s" },
	{ "xx.example.", "t644ebqk9bibcna874givr6joj62mlhv" },
};

START_TEST(test_vectors)
{
	static const params_t params = { .iterations = 12, .salt = "aabbccdd" };
	char hash[HASH_TEXT];
	hash_text(&params, vectors[_i].name, hash);
	ck_assert_str_eq(hash, vectors[_i].hash);
}
END_TEST

/*! The longest name with the longest salt fits. */
START_TEST(test_long)
{
	char salt[511];
	memset(salt, 'a', 510);
	salt[510] = '\0';
	char name[255];
	for (unsigned i = 0; i < 253; i++) {
		name[i] = i % 64 == 63 ? '.' : 'x';
	}
	name[253] = '.';
	name[254] = '\0';
	const params_t params = { .iterations = 2, .salt = salt };
	char hash[HASH_TEXT];
	hash_text(&params, name, hash);
	ck_assert_uint_eq(strlen(hash), 32);
}
END_TEST

static const char *const names[] = { "", "a", "b", "c", "ns1", "d", "e.d", "*.w", "w" };
#define NAMES (sizeof(names) / sizeof(names[0]))

#define APEX "@ SOA ns1 admin 7 7200 900 1209600 300\n@ NS ns1\n@ RRSIG SOA 13 1 3600 20300101000000 20200101000000 1 @ AAAA\n"

static const params_t first = { .iterations = 0, .salt = "-" };
static const params_t second = { .iterations = 1, .salt = "cafe" };
static const params_t costly = { .iterations = NSEC3_ITERATIONS_MAX + 1, .salt = "-" };
static const params_t limit = { .iterations = NSEC3_ITERATIONS_MAX, .salt = "beef" };

/*! Writes a zone with NSEC3PARAM, a line each, and chains. */
static snapshot_t *make_zone(const char *lines, const params_t *const *chains, unsigned count)
{
	static char text[65536];
	size_t len = sprintf(text, "%s%s", APEX, lines);
	for (unsigned i = 0; i < count; i++) {
		len += chain_text(text + len, chains[i], "example.", names, NAMES);
	}
	return support_zone("example.", text);
}

/*! Every name and many others: what matches is found, else what covers. */
static void check_places(const snapshot_t *snapshot, const params_t *params)
{
	for (unsigned i = 0; i < 500 + NAMES; i++) {
		char text[64];
		if (i < NAMES) {
			full_text(names[i], "example.", text);
		} else {
			sprintf(text, "n%u.example.", i);
		}
		uint8_t name[WIRE_NAME_MAX];
		size_t len = support_name(text, name);
		bool is_match;
		arena_ref_t ref = nsec3_find(snapshot, name, len, &is_match);
		ck_assert_uint_ne(ref, 0);
		ck_assert_int_eq(is_match, i < NAMES);

		char expected[HASH_TEXT];
		chain_cover(params, "example.", names, NAMES, text, expected);
		size_t owner_len;
		const uint8_t *owner = qp_name(snapshot->nsec3.base, ref, &owner_len);
		ck_assert_uint_eq(owner_len, 33);
		ck_assert_mem_eq(owner + 1, expected, 32);
	}
}

static const struct {
	const char *lines;
	const params_t *chain[2];
	const params_t *chosen;   /* NULL: none. */
	bool is_costly;
} choices[] = {
	{ "@ NSEC3PARAM 1 0 0 -\n", { &first }, &first },
	{ "@ NSEC3PARAM 1 0 1 CAFE\n", { &second }, &second },
	/* two chains; the records of the other stand between */
	{ "@ NSEC3PARAM 1 0 0 -\n", { &first, &second }, &first },
	{ "@ NSEC3PARAM 1 0 1 CAFE\n", { &first, &second }, &second },
	{ "@ NSEC3PARAM 1 0 0 -\n@ NSEC3PARAM 1 0 1 CAFE\n", { &first, &second }, &first },
	/* one is announced, but not there; or of another algorithm; or about to go */
	{ "@ NSEC3PARAM 1 0 0 -\n@ NSEC3PARAM 1 0 1 CAFE\n", { &second }, &second },
	{ "@ NSEC3PARAM 2 0 0 -\n@ NSEC3PARAM 1 0 1 CAFE\n", { &first, &second }, &second },
	{ "@ NSEC3PARAM 1 1 0 -\n@ NSEC3PARAM 1 0 1 CAFE\n", { &first, &second }, &second },
	{ "@ NSEC3PARAM 1 1 0 -\n", { &first }, NULL },
	{ "@ NSEC3PARAM 1 0 0 -\n", { &second }, NULL },
	{ "@ NSEC3PARAM 1 0 0 -\n", { NULL }, NULL },
	{ "", { &first }, NULL },
	/* iterations */
	{ "@ NSEC3PARAM 1 0 150 BEEF\n", { &limit }, &limit },
	{ "@ NSEC3PARAM 1 0 151 -\n", { &costly }, &costly, true },
	{ "@ NSEC3PARAM 1 0 151 -\n", { &first }, NULL },
	{ "@ NSEC3PARAM 1 0 1 CAFE\n@ NSEC3PARAM 1 0 151 -\n", { &costly, &second }, &second },
	{ "@ NSEC3PARAM 1 0 151 -\n@ NSEC3PARAM 1 0 1 CAFE\n", { &costly }, &costly, true },
	/* malformed: octets after the salt */
	{ "@ NSEC3PARAM \\# 6 010000000000\n", { &first }, NULL },
};

START_TEST(test_choice)
{
	unsigned count = choices[_i].chain[0] == NULL ? 0 : choices[_i].chain[1] == NULL ? 1 : 2;
	snapshot_t *snapshot = make_zone(choices[_i].lines, choices[_i].chain, count);
	const nsec3_chain_t *chain = &snapshot->chain;
	ck_assert_int_eq(chain->param != NULL, choices[_i].chosen != NULL);
	if (chain->param != NULL) {
		ck_assert_int_eq(chain->is_costly, choices[_i].is_costly);
		ck_assert_uint_eq(knot_wire_read_u16(chain->param + 2), choices[_i].chosen->iterations);
		ck_assert_uint_ne(chain->apex, 0);
		if (!chain->is_costly) {
			check_places(snapshot, choices[_i].chosen);
		}
	}
	support_free(snapshot);
}
END_TEST

/*! Owners that are no hashes are not of the chain. */
START_TEST(test_strays)
{
	static const params_t *const chains[] = { &first };
	snapshot_t *snapshot = make_zone("@ NSEC3PARAM 1 0 0 -\n"
	                                 "zz NSEC3 1 0 7 ABCD 0123456789abcdefghijklmnopqrstuv A\n"
	                                 "0 NSEC3 1 0 7 ABCD 0123456789abcdefghijklmnopqrstuv A\n"
	                                 "x.y NSEC3 1 0 7 ABCD 0123456789abcdefghijklmnopqrstuv A\n", chains, 1);
	check_places(snapshot, &first);
	support_free(snapshot);
}
END_TEST

static void enter(void)
{
	rcu_register_thread();
}

static void leave(void)
{
	rcu_unregister_thread();
}

int main(void)
{
	TCase *tcase = tcase_create("nsec3");
	tcase_add_checked_fixture(tcase, enter, leave);
	tcase_add_loop_test(tcase, test_vectors, 0, sizeof(vectors) / sizeof(vectors[0]));
	tcase_add_test(tcase, test_long);
	tcase_add_loop_test(tcase, test_choice, 0, sizeof(choices) / sizeof(choices[0]));
	tcase_add_test(tcase, test_strays);

	Suite *suite = suite_create("nsec3");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
