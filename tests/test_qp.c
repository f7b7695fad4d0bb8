/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Unit tests of the trie, reading (qp) and writing (qp_txn).
 */
#include <check.h>
#include <stdlib.h>
#include <time.h>

#include "fuzz_qp.c"
#include "support.h"

/*! \brief Reads a name in presentation format, absolute or not; "\DDD" as usual. */
static name_t name_parse(const char *text)
{
	name_t name = { .len = 0 };
	uint8_t octets[63];
	unsigned len = 0;

	while (*text != '\0') {
		if (*text == '.') {
			name_add(&name, octets, len);
			len = 0;
			text++;
		} else if (*text == '\\') {
			octets[len++] = (uint8_t)((text[1] - '0') * 100 + (text[2] - '0') * 10 + (text[3] - '0'));
			text += 4;
		} else {
			octets[len++] = (uint8_t)*text++;
		}
	}
	name_add(&name, octets, len);
	return name;
}

/* One trie for the tests with given names. */
static arena_t *arena;
static qp_txn_t txn;
static scrap_list_t scrap;
static qp_t qp;

static void setup(void)
{
	arena = arena_new(0);
	ck_assert_ptr_nonnull(arena);
	scrap = (scrap_list_t){ 0 };
	qp_txn_begin(&txn, arena, NULL, &scrap);
}

static void teardown(void)
{
	qp_txn_clear(&txn);
	scrap_clear(&scrap);
	arena_release(arena);
}

static arena_ref_t new_object(const name_t *name)
{
	arena_ref_t ref = 0;
	ck_assert_int_eq(arena_alloc(arena, 1 + name->len, &ref), KNOT_EOK);
	uint8_t *object = arena_ptr(arena, ref);
	object[0] = name->len;
	memcpy(object + 1, name->labels, name->len);
	return ref;
}

static arena_ref_t put(const char *text, uint16_t tag)
{
	name_t name = name_parse(text);
	arena_ref_t ref = new_object(&name);
	ck_assert_int_eq(qp_txn_put(&txn, ref, tag, NULL), KNOT_EOK);
	return ref;
}

static void commit(void)
{
	ck_assert_int_eq(qp_txn_settle(&txn), KNOT_EOK);
	qp_txn_commit(&txn, &qp);
	arena_seal(arena);
	qp.base = arena_base(arena);
}

/*! Its name stays for the next keys; a test has few at a time. */
static qp_key_t key_of(const char *text)
{
	static name_t names[8];
	static unsigned next;
	name_t *name = &names[next++ % 8];
	qp_key_t key;
	*name = name_parse(text);
	name_key(name, &key);
	return key;
}

START_TEST(key_orders_octets)
{
	qp_key_t last = key_of(""), key;

	ck_assert_uint_eq(last.len, 0);
	for (unsigned octet = 0; octet < 256; octet++) {
		if (octet >= 'A' && octet <= 'Z') {
			continue;
		}
		const uint8_t label[] = { 1, (uint8_t)octet };
		qp_key(&key, label, sizeof(label));
		ck_assert_uint_eq(key.labels, 1);
		ck_assert_uint_eq(key.sym[key.len - 1], QP_LABEL_END);
		ck_assert_int_gt(memcmp(key.sym, last.sym, key.len < last.len + 1 ? key.len : last.len + 1), 0);
		for (unsigned i = 0; i + 1 < key.len; i++) {
			ck_assert_uint_gt(key.sym[i], QP_LABEL_END);
			ck_assert_uint_lt(key.sym[i], QP_TWIGS_MAX);
		}
		bool is_plain = (octet >= 'a' && octet <= 'z') || (octet >= '0' && octet <= '9') || octet == '-' || octet == '_';
		ck_assert_uint_eq(key.len, is_plain ? 2 : 3);
		last = key;
	}
}
END_TEST

START_TEST(key_folds_case)
{
	qp_key_t upper = key_of("WWW.EXAMPLE-Zone"), lower = key_of("www.example-zone");
	ck_assert_uint_eq(upper.len, lower.len);
	ck_assert_mem_eq(upper.sym, lower.sym, lower.len);
}
END_TEST

START_TEST(key_fits_longest_names)
{
	name_t name = { .len = 0 };
	uint8_t octets[63];
	qp_key_t key;

	memset(octets, 0xFF, sizeof(octets));
	name_add(&name, octets, 63);
	name_add(&name, octets, 63);
	name_add(&name, octets, 63);
	name_add(&name, octets, 61);
	ck_assert_uint_eq(name.len, 254);
	name_key(&name, &key);
	ck_assert_uint_eq(key.len, 2 * 250 + 4);
	ck_assert_uint_lt(key.len, QP_KEY_MAX);
	ck_assert_uint_eq(key.labels, 4);

	name.len = 0;
	for (unsigned i = 0; i < 127; i++) {
		name_add(&name, octets, 1);
	}
	ck_assert_uint_eq(name.len, 254);
	name_key(&name, &key);
	ck_assert_uint_eq(key.labels, QP_LABELS_MAX);
	ck_assert_uint_eq(key.len, 3 * 127);
}
END_TEST

/* RFC 4034, section 6.1, put in an order of no meaning. */
START_TEST(order_is_canonical)
{
	static const char *const order[] = {
		"example", "a.example", "yljkjljk.a.example", "Z.a.example", "zABC.a.EXAMPLE", "z.example",
		"\\001.z.example", "*.z.example", "\\200.z.example",
	};
	static const unsigned shuffled[] = { 5, 8, 2, 0, 7, 3, 1, 6, 4 };
	arena_ref_t ref[9];
	qp_iter_t iter;

	for (unsigned i = 0; i < 9; i++) {
		ref[shuffled[i]] = put(order[shuffled[i]], (uint16_t)shuffled[i]);
	}
	commit();
	ck_assert_uint_eq(qp.count, 9);
	qp_begin(&qp, &iter);
	for (unsigned i = 0; i < 9; i++) {
		qp_leaf_t leaf = qp_next(&iter);
		ck_assert_uint_eq(leaf.ref, ref[i]);
		ck_assert_uint_eq(leaf.tag, i);
	}
	ck_assert_uint_eq(qp_next(&iter).ref, 0);
}
END_TEST

/* A zone with an apex, empty non-terminals, a wildcard and names that are a part of others. */
static const struct {
	const char *name;
	const char *match;           /* NULL: none */
	unsigned enclosed;
	const char *ancestor[3];
	const char *before;          /* Greatest name not after it. */
} find_cases[] = {
	{ "",              "",        0, { NULL },                "" },
	{ "a",             "a",       1, { "" },                  "a" },
	{ "A",             "a",       1, { "" },                  "a" },
	{ "b",             NULL,      0, { "" },                  "aa" },
	{ "aa",            "aa",      1, { "" },                  "aa" },
	{ "aaa",           NULL,      0, { "" },                  "aa" },
	{ "x.a",           "x.a",     2, { "", "a" },             "x.a" },
	{ "y.a",           NULL,      1, { "", "a" },             "x.a" },
	{ "w.a",           NULL,      1, { "", "a" },             "a" },
	{ "z.y.x.a",       NULL,      2, { "", "a", "x.a" },      "x.a" },
	{ "x.aa",          NULL,      1, { "", "aa" },            "aa" },
	{ "ent",           NULL,      1, { "" },                  "aa" },
	{ "mid.ent",       NULL,      2, { "" },                  "aa" },
	{ "low.mid.ent",   "low.mid.ent", 3, { "" },              "low.mid.ent" },
	{ "kow.mid.ent",   NULL,      2, { "" },                  "aa" },
	{ "mow.mid.ent",   NULL,      2, { "" },                  "low.mid.ent" },
	{ "e.low.mid.ent", NULL,      3, { "", "low.mid.ent" },   "low.mid.ent" },
	{ "min.ent",       NULL,      1, { "" },                  "low.mid.ent" },
	{ "en",            NULL,      0, { "" },                  "aa" },
	{ "entity",        NULL,      0, { "" },                  "low.mid.ent" },
	{ "*.w",           "*.w",     2, { "" },                  "*.w" },
	{ "w",             NULL,      1, { "" },                  "low.mid.ent" },
	{ "q.w",           NULL,      1, { "" },                  "*.w" },
	{ "q.*.w",         NULL,      2, { "", "*.w" },           "*.w" },
	{ "zz",            NULL,      0, { "" },                  "*.w" },
	{ "\\000",         NULL,      0, { "" },                  "" },
	{ "\\255",         NULL,      0, { "" },                  "*.w" },
	{ "a\\046x",       NULL,      0, { "" },                  "x.a" },
};

START_TEST(find_tells_ancestors)
{
	qp_path_t path;
	qp_iter_t iter;
	static const char *const names[] = { "*.w", "aa", "a", "low.mid.ent", "", "x.a" };
	for (unsigned i = 0; i < 6; i++) {
		put(names[i], (uint16_t)i);
	}
	commit();

	qp_key_t key = key_of(find_cases[_i].name);
	qp_find(&qp, &key, &path);
	if (find_cases[_i].match == NULL) {
		ck_assert_uint_eq(path.match.ref, 0);
	} else {
		qp_key_t match = key_of(find_cases[_i].match);
		ck_assert_uint_ne(path.match.ref, 0);
		ck_assert_uint_eq(path.match.ref, qp_get(&qp, &match).ref);
	}
	ck_assert_uint_eq(path.enclosed, find_cases[_i].enclosed);

	unsigned count = 0;
	for (; count < 3 && find_cases[_i].ancestor[count] != NULL; count++) {
		qp_key_t ancestor = key_of(find_cases[_i].ancestor[count]);
		ck_assert_uint_lt(count, path.count);
		ck_assert_uint_eq(path.ancestor[count].ref, qp_get(&qp, &ancestor).ref);
	}
	ck_assert_uint_eq(path.count, count);

	qp_key_t before = key_of(find_cases[_i].before);
	ck_assert_uint_eq(qp_seek(&qp, &key, &iter).ref, qp_get(&qp, &before).ref);
}
END_TEST

/* Names that are passed by on the way to a key: where a label of it begins, one of theirs may begin, too, and others below it. */
static const struct {
	const char *names[4];
	const char *key;
	unsigned enclosed;
} passed_cases[] = {
	{ { "", "ab", "x.ab", "abc" },    "z.a",   0 },
	{ { "", "ab", "n.ab", "abc" },    "z.a",   0 },
	{ { "", "ab", "x.y.ab", "abc" },  "z.a",   0 },
	{ { "", "ab.c", "x.ab.c", "abd.c" }, "z.a.c", 1 },
	{ { "", "\\064", "x.\\064", "\\064y" }, "z.b", 0 },
};

START_TEST(find_tells_no_others)
{
	for (unsigned i = 0; i < 4; i++) {
		put(passed_cases[_i].names[i], (uint16_t)i);
	}
	commit();
	qp_path_t path;
	qp_key_t key = key_of(passed_cases[_i].key);
	qp_find(&qp, &key, &path);
	ck_assert_uint_eq(path.match.ref, 0);
	ck_assert_uint_eq(path.enclosed, passed_cases[_i].enclosed);
	ck_assert_uint_eq(path.count, 1);
	ck_assert_uint_eq(path.ancestor[0].tag, 0);
}
END_TEST

START_TEST(empty_trie_answers)
{
	qp_key_t key = key_of("a.b");
	qp_path_t path;
	qp_iter_t iter;

	commit();
	ck_assert_uint_eq(qp_get(&qp, &key).ref, 0);
	qp_find(&qp, &key, &path);
	ck_assert(path.match.ref == 0 && path.count == 0 && path.enclosed == 0);
	ck_assert_uint_eq(qp_seek(&qp, &key, &iter).ref, 0);
	ck_assert_uint_eq(qp_next(&iter).ref, 0);
	ck_assert_uint_eq(qp_prev(&iter).ref, 0);
}
END_TEST

/* 127 labels, each an owner: as deep as a trie gets, and as many ancestors as there can be. */
START_TEST(deepest_name_has_all_ancestors)
{
	name_t name = { .len = 0 };
	qp_path_t path;
	qp_key_t key;

	for (unsigned labels = 0; labels <= QP_LABELS_MAX; labels++) {
		arena_ref_t ref = new_object(&name);
		ck_assert_int_eq(qp_txn_put(&txn, ref, (uint16_t)labels, NULL), KNOT_EOK);
		if (labels < QP_LABELS_MAX) {
			name_add(&name, (const uint8_t *)"\x80", 1);
		}
	}
	commit();
	name_key(&name, &key);
	qp_find(&qp, &key, &path);
	ck_assert_uint_eq(path.match.tag, QP_LABELS_MAX);
	ck_assert_uint_eq(path.enclosed, QP_LABELS_MAX);
	ck_assert_uint_eq(path.count, QP_LABELS_MAX);
	for (unsigned i = 0; i < path.count; i++) {
		ck_assert_uint_eq(path.ancestor[i].tag, i);
		ck_assert_uint_eq(path.ancestor[i].labels, i);
	}
}
END_TEST

/* A change of one name costs the vectors on its way, not the trie. */
START_TEST(change_copies_only_its_path)
{
	char text[16];
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "host%05u", i * 7919 % 100000);
		put(text, 0);
	}
	commit();
	size_t before = arena_stats(arena).used;
	ck_assert_uint_eq(scrap.count, 0);

	qp_t old = qp;
	qp_txn_begin(&txn, arena, &old, &scrap);
	put("host50000x", 1);
	commit();
	ck_assert_uint_le(scrap.count, 8);
	ck_assert_uint_le(arena_stats(arena).used - before, 1024);
	qp_key_t key = key_of("host50000x");
	ck_assert_uint_eq(qp_get(&old, &key).ref, 0);
	ck_assert_uint_ne(qp_get(&qp, &key).ref, 0);
	ck_assert_uint_eq(old.count, 5000);
	ck_assert_uint_eq(qp.count, 5001);
}
END_TEST

/* Sets the notes of all leaves in the transaction: each its own. */
static uint32_t note_of(qp_leaf_t leaf)
{
	static const uint32_t edges[] = { 0, 1, 0xFF, 0x100, 0x80000000, 0xFFFFFFFF };
	return leaf.tag < 6 ? edges[leaf.tag] : leaf.tag * 2654435761u;
}

static void note_all(void)
{
	qp_iter_t iter;
	ck_assert_int_eq(qp_txn_settle(&txn), KNOT_EOK);
	qp_begin(&txn.qp, &iter);
	for (qp_leaf_t leaf = qp_next(&iter); leaf.ref != 0; leaf = qp_next(&iter)) {
		qp_txn_note(&txn, &iter, 0x5A5A5A5A); /* and again: old bits go */
		qp_txn_note(&txn, &iter, note_of(leaf));
	}
}

/* Notes stay with their leaves when vectors are copied, and go when a leaf is put again; tag and labels do not mind. */
START_TEST(notes_stay)
{
	char text[24];
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text), "host%05u%s", i * 7919 % 100000, i % 2 ? ".a.b" : "");
		put(text, (uint16_t)i);
	}
	note_all();
	commit();

	qp_t old = qp;
	qp_txn_begin(&txn, arena, &old, &scrap);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "host%05u%s", i * 7919 % 100000, i % 2 ? ".a.b" : "");
		put(text, 5000);
		snprintf(text, sizeof(text), "new%u", i);
		put(text, 5000);
	}
	for (unsigned i = 100; i < 200; i++) {
		snprintf(text, sizeof(text), "host%05u%s", i * 7919 % 100000, i % 2 ? ".a.b" : "");
		qp_key_t key = key_of(text);
		ck_assert_int_eq(qp_txn_del(&txn, &key, NULL), KNOT_EOK);
	}
	commit();

	const struct { const qp_t *qp; unsigned noted; } versions[] = { { &old, 2000 }, { &qp, 1800 } };
	for (unsigned i = 0; i < 2; i++) {
		unsigned noted = 0;
		qp_iter_t iter;
		qp_begin(versions[i].qp, &iter);
		for (qp_leaf_t leaf = qp_next(&iter); leaf.ref != 0; leaf = qp_next(&iter)) {
			ck_assert_uint_eq(leaf.note, leaf.tag == 5000 ? 0 : note_of(leaf));
			noted += leaf.tag != 5000;
		}
		ck_assert_uint_eq(noted, versions[i].noted);
	}
}
END_TEST

/* The root may be a leaf. */
START_TEST(note_of_the_only_leaf)
{
	put("a", 3);
	note_all();
	commit();
	qp_key_t key = key_of("a");
	ck_assert_uint_eq(qp_get(&qp, &key).note, 0x100);
	ck_assert_uint_eq(qp_get(&qp, &key).tag, 3);
	ck_assert_uint_eq(qp_get(&qp, &key).labels, 1);
}
END_TEST

START_TEST(put_and_delete_leave_nothing)
{
	static const char *const names[] = { "", "a", "b.a", "c.b.a", "\\000", "zz" };
	for (unsigned i = 0; i < 6; i++) {
		put(names[i], 0);
	}
	for (unsigned i = 0; i < 6; i++) {
		qp_key_t key = key_of(names[i]);
		qp_leaf_t old = { 0 };
		ck_assert_int_eq(qp_txn_del(&txn, &key, &old), KNOT_EOK);
		ck_assert_uint_ne(old.ref, 0);
		arena_dead(arena, old.ref, 1 + name_parse(names[i]).len);
		ck_assert_int_eq(qp_txn_del(&txn, &key, &old), KNOT_EOK);
		ck_assert_uint_eq(old.ref, 0);
	}
	commit();
	ck_assert_uint_eq(qp.count, 0);
	ck_assert_uint_eq(arena_stats(arena).used, 0);
	ck_assert_uint_eq(scrap.count, 0);
}
END_TEST

START_TEST(scrap_reports_lack_of_memory)
{
	for (unsigned i = 0; i < 16; i++) {
		ck_assert_int_eq(scrap_add(&scrap, 1 + i, 4), KNOT_EOK);
	}
	alloc_budget = 0;
	ck_assert_int_eq(scrap_add(&scrap, 99, 4), KNOT_ENOMEM);
	alloc_budget = -1;
	ck_assert_uint_eq(scrap.count, 16);
	ck_assert_int_eq(scrap_add(&scrap, 99, 4), KNOT_EOK);
	ck_assert_uint_eq(scrap.item[16].ref, 99);
}
END_TEST

static uint64_t random_next(uint64_t *seed)
{
	/* splitmix64: any seed will do */
	uint64_t z = (*seed += 0x9E3779B97F4A7C15);
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
	z = (z ^ z >> 27) * 0x94D049BB133111EB;
	return z ^ z >> 31;
}

/* Some labels of one to three octets, of few kinds: many names have much in common. */
static name_t random_name(uint64_t *seed)
{
	static const uint8_t octets[] = { 'a', 'b', '-', '*', 0x80, 'z' };
	name_t name = { .len = 0 };
	for (unsigned labels = random_next(seed) % 5; labels > 0; labels--) {
		uint8_t label[3];
		unsigned len = 1 + random_next(seed) % 3;
		for (unsigned i = 0; i < len; i++) {
			label[i] = octets[random_next(seed) % sizeof(octets)];
		}
		name_add(&name, label, len);
	}
	return name;
}

static int compare_names(const void *a_void, const void *b_void)
{
	const name_t *a = a_void, *b = b_void;
	qp_key_t left, right;
	qp_key(&left, a->labels, a->len);
	qp_key(&right, b->labels, b->len);
	int diff = memcmp(left.sym, right.sym, left.len < right.len ? left.len : right.len);
	return diff != 0 ? diff : left.len - right.len;
}

static void put_given(const name_t *name)
{
	ck_assert_int_eq(qp_txn_put(&txn, new_object(name), 7, NULL), KNOT_EOK);
}

/* Names in order make the same trie as names that are looked up one by one; so do those of which some come later, or twice. */
START_TEST(order_makes_no_difference)
{
	enum { NAMES = 300 };
	uint64_t seed = support_seed() + _i;

	name_t name[NAMES];
	size_t count = random_next(&seed) % NAMES;
	for (size_t i = 0; i < count; i++) {
		name[i] = random_name(&seed);
	}
	qsort(name, count, sizeof(*name), compare_names);

	/* Every second round some name is kept for later: at first, in the middle, or in the end. */
	size_t late = _i % 2 == 0 || count == 0 ? count : random_next(&seed) % count;
	for (size_t i = 0; i < count; i++) {
		if (i != late && (i == 0 || compare_names(&name[i - 1], &name[i]) != 0 || _i % 3 == 0)) {
			put_given(&name[i]);
		}
		if (late < count && i == late + (count - late) / 2) {
			put_given(&name[late]);
		}
	}
	commit();
	qp_t ordered = qp;
	size_t octets = count_vectors(&ordered);

	qp_txn_begin(&txn, arena, NULL, &scrap);
	ck_assert_int_eq(qp_txn_settle(&txn), KNOT_EOK);
	for (size_t i = 0; i < count; i++) {
		put_given(&name[(i * 211) % count]);
	}
	for (size_t i = 0; i < count; i++) {
		put_given(&name[i]);
	}
	commit();
	ordered.base = qp.base;
	ck_assert_uint_eq(ordered.count, qp.count);
	ck_assert_uint_eq(octets, count_vectors(&qp));

	qp_iter_t left, right;
	qp_begin(&ordered, &left);
	qp_begin(&qp, &right);
	for (uint32_t i = 0; i <= qp.count; i++) {
		qp_leaf_t a = qp_next(&left), b = qp_next(&right);
		ck_assert_uint_eq(a.tag, b.tag);
		ck_assert_uint_eq(a.labels, b.labels);
		if (i < qp.count) {
			const uint8_t *object = arena_at(qp.base, a.ref);
			ck_assert_mem_eq(object, arena_at(qp.base, b.ref), 1 + object[0]);
		} else {
			ck_assert(a.ref == 0 && b.ref == 0);
		}
	}
	for (unsigned i = 0; i < 200; i++) {
		name_t probe = random_name(&seed);
		qp_key_t key;
		qp_path_t a, b;
		qp_key(&key, probe.labels, probe.len);
		qp_find(&ordered, &key, &a);
		qp_find(&qp, &key, &b);
		ck_assert(a.enclosed == b.enclosed && a.count == b.count && (a.match.ref == 0) == (b.match.ref == 0));
	}
}
END_TEST

START_TEST(random_programs_agree_with_oracle)
{
	static uint8_t program[4096];
	const bool is_full = support_is_full();
	uint64_t seed = support_seed();
	for (unsigned round = 0; round < (is_full ? 4000 : 120); round++) {
		size_t size = 64 << (round % 6);
		for (size_t i = 0; i < size; i++) {
			program[i] = (uint8_t)random_next(&seed);
		}
		LLVMFuzzerTestOneInput(program, size);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("qp");
	TCase *given = tcase_create("given names");
	TCase *oracle = tcase_create("oracle");

	tcase_add_checked_fixture(given, setup, teardown);
	tcase_add_test(given, key_orders_octets);
	tcase_add_test(given, key_folds_case);
	tcase_add_test(given, key_fits_longest_names);
	tcase_add_test(given, order_is_canonical);
	tcase_add_loop_test(given, find_tells_ancestors, 0, sizeof(find_cases) / sizeof(find_cases[0]));
	tcase_add_loop_test(given, find_tells_no_others, 0, sizeof(passed_cases) / sizeof(passed_cases[0]));
	tcase_add_test(given, empty_trie_answers);
	tcase_add_test(given, deepest_name_has_all_ancestors);
	tcase_add_test(given, change_copies_only_its_path);
	tcase_add_test(given, notes_stay);
	tcase_add_test(given, note_of_the_only_leaf);
	tcase_add_test(given, put_and_delete_leave_nothing);
	tcase_add_test(given, scrap_reports_lack_of_memory);
	tcase_add_loop_test(given, order_makes_no_difference, 0, 30);
	suite_add_tcase(suite, given);

	tcase_add_test(oracle, random_programs_agree_with_oracle);
	tcase_set_timeout(oracle, 280);
	suite_add_tcase(suite, oracle);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
