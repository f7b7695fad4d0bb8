/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Hashes, places in a chain, the choice among chains, and what names keep.
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
		arena_ref_t ref = nsec3_find(snapshot, name, len, 0, &is_match);
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

/*! The note of a relative name's leaf; fails if there is no such leaf. */
static uint32_t note_of(const snapshot_t *snapshot, const char *relative)
{
	uint8_t name[WIRE_NAME_MAX];
	size_t len = relative[0] != '\0' ? support_name(relative, name) - 1 : 0;
	qp_key_t key;
	qp_key(&key, name, len);
	qp_leaf_t leaf = qp_get(&snapshot->names, &key);
	ck_assert_uint_ne(leaf.ref, 0);
	return leaf.note;
}

/*! The first 31 bits of the hash of a relative name, and a zero. */
static uint32_t hash_of(const snapshot_t *snapshot, const char *relative, char ret_text[512])
{
	full_text(relative, "example.", ret_text);
	uint8_t name[WIRE_NAME_MAX];
	size_t len = support_name(ret_text, name);
	uint8_t hash[NSEC3_HASH_SIZE];
	nsec3_hash(&snapshot->chain, name, len, hash);
	return knot_wire_read_u32(hash) & ~1u;
}

/*! With its note a name has the place that it has without. */
static void check_note(const snapshot_t *snapshot, const char *relative, bool is_noted)
{
	char text[512];
	uint32_t hash = hash_of(snapshot, relative, text);
	uint32_t note = note_of(snapshot, relative);
	ck_assert_msg((note & ~1u) == (is_noted ? hash : 0), "%s: note %08x, hash %08x", text, note, hash);

	uint8_t name[WIRE_NAME_MAX];
	size_t len = support_name(text, name);
	bool matches[2];
	arena_ref_t ref = nsec3_find(snapshot, name, len, note, &matches[0]);
	ck_assert_uint_eq(ref, nsec3_find(snapshot, name, len, 0, &matches[1]));
	ck_assert_int_eq(matches[0], matches[1]);
	ck_assert(!is_noted || (note & 1) == matches[0]);

	/* A record of its own has come, or gone: not believed. */
	ck_assert(!is_noted || ref == nsec3_find(snapshot, name, len, note ^ 1, &matches[0]));
	ck_assert_int_eq(matches[0], matches[1]);
}

/*! Owners of records that are in the chain, owners that opt-out has left out, and a cut with what is below it. */
#define OWNERS \
	"a A 192.0.2.1\nd A 192.0.2.1\n*.w A 192.0.2.1\nw A 192.0.2.1\nout1 NS ns1\nout2 NS ns1\nout3 NS ns1\n" \
	"b NS ns.b\nns.b A 192.0.2.1\n"
static const char *const owners[] = { "a", "d", "*.w", "w", "out1", "out2", "out3", "b" };

/*! The owner of \a relative with some of its digits from \a from on replaced by \a to. */
static void near_owner(const params_t *params, const char *relative, unsigned from, char to, char ret_owner[HASH_TEXT])
{
	char text[512];
	full_text(relative, "example.", text);
	hash_text(params, text, ret_owner);
	memset(ret_owner + from, to, 32 - from);
}

/* What is made to stand beside the owner, or the place, of a name. */
static const struct {
	const char *name;
	unsigned digits;          /* That agree; seven are 35 bits, six 30. */
	char rest;
	bool is_noted;
} neighbours[] = {
	{ "a", 7, '0', false },
	{ "a", 7, 'v', false },
	{ "a", 31, '0', false },
	{ "out1", 7, '0', false },
	{ "out1", 7, 'v', false },
	{ "out1", 31, 'v', false },
	{ "a", 5, '0', true },
	{ "a", 5, 'v', true },
	{ "out1", 4, 'v', true },
};

START_TEST(test_notes)
{
	static const params_t *const chains[][2] = { { &first }, { &second, &first }, { &limit } };
	static const char *const params[] = {
		"@ NSEC3PARAM 1 0 0 -\n" OWNERS, "@ NSEC3PARAM 1 0 1 CAFE\n" OWNERS, "@ NSEC3PARAM 1 0 150 BEEF\n" OWNERS,
	};
	snapshot_t *snapshot = make_zone(params[_i], chains[_i], _i == 1 ? 2 : 1);
	ck_assert(snapshot->chain.has_notes);
	for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
		check_note(snapshot, owners[i], true);
	}
	check_note(snapshot, "", true);
	check_note(snapshot, "ns.b", false); /* below a cut */
	check_places(snapshot, chains[_i][0]);
	support_free(snapshot);
}
END_TEST

/*! Owners that agree in what a note keeps: of this chain or another one, with the name's own or in its place. */
START_TEST(test_neighbours)
{
	static const params_t *const chains[] = { &first };
	for (unsigned other = 0; other < 2; other++) {
		char owner[HASH_TEXT], lines[1024];
		near_owner(&first, neighbours[_i].name, neighbours[_i].digits, neighbours[_i].rest, owner);
		sprintf(lines, "@ NSEC3PARAM 1 0 0 -\n" OWNERS "%s NSEC3 1 0 %u - %s A\n", owner, other, owner);
		snapshot_t *snapshot = make_zone(lines, chains, 1);
		ck_assert(snapshot->chain.has_notes);
		for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
			check_note(snapshot, owners[i], strcmp(owners[i], neighbours[_i].name) != 0 || neighbours[_i].is_noted);
		}
		support_free(snapshot);
	}
}
END_TEST

/*! An owner of another chain alone has the hash: the note is not believed, the name is covered. */
START_TEST(test_note_of_other_chain)
{
	static const params_t *const chains[] = { &first };
	char owner[HASH_TEXT], lines[1024];
	near_owner(&first, "out1", 32, '0', owner);
	sprintf(lines, "@ NSEC3PARAM 1 0 0 -\n" OWNERS "%s NSEC3 1 0 1 - %s A\n", owner, owner);
	snapshot_t *snapshot = make_zone(lines, chains, 1);
	char text[512];
	uint32_t note = hash_of(snapshot, "out1", text) | 1;
	ck_assert_uint_eq(note_of(snapshot, "out1"), note);
	uint8_t name[WIRE_NAME_MAX];
	size_t len = support_name(text, name);
	bool is_match;
	arena_ref_t ref = nsec3_find(snapshot, name, len, note, &is_match);
	ck_assert(!is_match);
	ck_assert_uint_eq(ref, nsec3_find(snapshot, name, len, 0, &is_match));
	support_free(snapshot);
}
END_TEST

/*! Where notes cannot be had, or mean nothing. */
START_TEST(test_no_notes)
{
	static const struct {
		const char *lines;
		const params_t *chain;
	} zones[] = {
		{ "@ NSEC3PARAM 1 0 0 -\nzz NSEC3 1 0 7 ABCD 0123456789abcdefghijklmnopqrstuv A\n", &first },
		{ "@ NSEC3PARAM 1 0 0 -\n0123456789abcdefghijklmnopqrstuw NSEC3 1 0 7 - 0123456789abcdefghijklmnopqrstuv A\n", &first },
		{ "@ NSEC3PARAM 1 0 0 -\nx.y NSEC3 1 0 7 ABCD 0123456789abcdefghijklmnopqrstuv A\n", &first },
		{ "@ NSEC3PARAM 1 0 151 -\n", &costly },
		{ "", &first },
	};
	char text[512];
	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
		snapshot_t *snapshot = make_zone(zones[i].lines, &zones[i].chain, 1);
		ck_assert(!snapshot->chain.has_notes);
		ck_assert_uint_eq(note_of(snapshot, ""), 0);
		if (i == 0) {
			/* What a note says then is not believed. */
			full_text("a", "example.", text);
			uint8_t name[WIRE_NAME_MAX];
			size_t len = support_name(text, name);
			bool is_match;
			(void)nsec3_find(snapshot, name, len, 1, &is_match);
			ck_assert(is_match);
		}
		support_free(snapshot);
	}
}
END_TEST

/*! With 150 iterations there is a number of names beyond which a load does not wait for hashes. */
START_TEST(test_too_much)
{
	const unsigned most = NSEC3_KEEP_BLOCKS_MAX / (limit.iterations + 1);
	const size_t size = 65536 + most * 32;
	char *text = malloc(size);
	size_t len = sprintf(text, "%s@ NSEC3PARAM 1 0 150 BEEF\n", APEX);
	len += chain_text(text + len, &limit, "example.", names, NAMES);
	for (unsigned i = 0; i < most; i++) {
		len += sprintf(text + len, "n%u A 192.0.2.1\n", i);
	}
	ck_assert_uint_lt(len, size);
	snapshot_t *snapshot = support_zone("example.", text);
	ck_assert_uint_eq(snapshot->names.count, most + 1);
	ck_assert(snapshot->chain.param != NULL && !snapshot->chain.has_notes);
	ck_assert_uint_eq(note_of(snapshot, "n1"), 0);
	support_free(snapshot);
	free(text);
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
	tcase_add_loop_test(tcase, test_notes, 0, 3);
	tcase_add_loop_test(tcase, test_neighbours, 0, sizeof(neighbours) / sizeof(neighbours[0]));
	tcase_add_test(tcase, test_note_of_other_chain);
	tcase_add_test(tcase, test_no_notes);
	tcase_add_test(tcase, test_too_much);

	Suite *suite = suite_create("nsec3");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
