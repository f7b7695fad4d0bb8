/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Any octets are a program that changes a trie, keeps old versions of it and drops them; an array is the oracle.
 *
 *     clang -fsanitize=fuzzer,address,undefined -std=gnu11 -D_GNU_SOURCE -Iinclude tests/fuzz_qp.c module/qp.c
 *
 * tests/test_qp.c runs the same interpreter on random programs.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "failing_alloc.h"
#include "../module/arena.c"
#include "../module/qp_txn.c"
#undef malloc
#undef calloc
#undef realloc
#undef mmap

#define VERSIONS_MAX 5
#define NAMES_MAX    300
#define SCRIPT_MAX   8192

#define REQUIRE(condition) do { \
	if (!(condition)) { \
		fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
		abort(); \
	} \
} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
	uint8_t len;
	uint8_t labels[254];
} name_t;

/*! What was put under a name once. */
typedef struct {
	name_t name;
	qp_leaf_t leaf;
	uint32_t size;
} entry_t;

/*! A version as the oracle knows it: entries in canonical order. */
typedef struct {
	qp_t qp;
	scrap_list_t scrap;
	const entry_t *entry[NAMES_MAX];
	unsigned count;
} version_t;

typedef struct {
	const uint8_t *pos, *end;
	arena_t *arena;
	version_t *version[VERSIONS_MAX];   /* Oldest first; the last is the newest. */
	unsigned versions;
	version_t *draft;                   /* Being made, or NULL. */
	qp_txn_t txn;
	entry_t *entries;                   /* All that were made in this run. */
	unsigned entry_count;
} state_t;

static uint8_t next_octet(state_t *state)
{
	return state->pos < state->end ? *state->pos++ : 0;
}

/* The oracle's own idea of names. */

static uint8_t fold(uint8_t octet)
{
	return octet >= 'A' && octet <= 'Z' ? octet + 0x20 : octet;
}

static unsigned name_split(const name_t *name, const uint8_t *label[128])
{
	unsigned count = 0;
	for (unsigned pos = 0; pos < name->len; pos += 1 + name->labels[pos]) {
		label[count++] = name->labels + pos;
	}
	return count;
}

static int label_compare(const uint8_t *a, const uint8_t *b)
{
	for (unsigned i = 1; i <= a[0] && i <= b[0]; i++) {
		if (fold(a[i]) != fold(b[i])) {
			return fold(a[i]) < fold(b[i]) ? -1 : 1;
		}
	}
	return a[0] - b[0];
}

/*! \brief RFC 4034, section 6.1; \a ret_common (if wanted): labels that both end in. */
static int name_compare(const name_t *a, const name_t *b, unsigned *ret_common)
{
	const uint8_t *la[128], *lb[128];
	unsigned na = name_split(a, la), nb = name_split(b, lb);
	unsigned common = 0;
	int result = 0;

	while (result == 0 && common < na && common < nb) {
		result = label_compare(la[na - 1 - common], lb[nb - 1 - common]);
		common += (result == 0);
	}
	if (ret_common != NULL) {
		*ret_common = common;
	}
	return result != 0 ? result : (int)na - (int)nb;
}

static unsigned name_labels(const name_t *name)
{
	const uint8_t *label[128];
	return name_split(name, label);
}

static void name_add(name_t *name, const uint8_t *octets, unsigned len)
{
	if (len > 0 && name->len + 1 + len <= 254) {
		name->labels[name->len] = (uint8_t)len;
		memcpy(name->labels + name->len + 1, octets, len);
		name->len += 1 + len;
	}
}

static void name_read(state_t *state, name_t *name)
{
	static const uint8_t odd[16] = "ab\0\xff.*_AZ-09[`{@";
	uint8_t shape = next_octet(state);
	unsigned labels = shape >= 0xF8 ? 127 : shape % 5;
	uint8_t octets[63];

	name->len = 0;
	for (unsigned i = 0; i < labels; i++) {
		uint8_t code = labels < 127 || i < 3 ? next_octet(state) : shape;
		unsigned len = labels == 127 ? 1 : code >= 0xF0 ? 63 : code >= 0xE0 ? 62 : code >= 0x80 ? 2 + code % 2 : 1;
		memset(octets, odd[code % 16], sizeof(octets));
		if (len > 1) {
			octets[len - 1] = next_octet(state);
		}
		name_add(name, octets, len);
	}
}

static void name_key(const name_t *name, qp_key_t *key)
{
	qp_key(key, name->labels, name->len);
}

/* The oracle. */

static unsigned lower_bound(const version_t *version, const name_t *name, bool *ret_equal)
{
	unsigned i = 0;
	while (i < version->count && name_compare(&version->entry[i]->name, name, NULL) < 0) {
		i++;
	}
	*ret_equal = i < version->count && name_compare(&version->entry[i]->name, name, NULL) == 0;
	return i;
}

static bool same_leaf(qp_leaf_t leaf, const entry_t *entry)
{
	if (entry == NULL) {
		return leaf.ref == 0;
	}
	return leaf.ref == entry->leaf.ref && leaf.tag == entry->leaf.tag && leaf.note == entry->leaf.note &&
	       leaf.labels == entry->leaf.labels;
}

static void check_find(const version_t *version, const qp_t *qp, const name_t *name)
{
	qp_key_t key;
	qp_path_t path;
	bool exists;
	unsigned place = lower_bound(version, name, &exists);
	const entry_t *match = exists ? version->entry[place] : NULL;
	unsigned enclosed = 0, ancestors = 0;

	memset(&path, 0xA5, sizeof(path));
	name_key(name, &key);
	REQUIRE(key.labels == name_labels(name));
	REQUIRE(same_leaf(qp_get(qp, &key), match));
	qp_find(qp, &key, &path);
	REQUIRE(same_leaf(path.match, match));

	/* Names before it in canonical order that end no later than where it parts from them are its ancestors. */
	for (unsigned i = 0; i < version->count; i++) {
		unsigned common;
		int order = name_compare(&version->entry[i]->name, name, &common);
		enclosed = common > enclosed ? common : enclosed;
		if (order < 0 && common == version->entry[i]->leaf.labels) {
			REQUIRE(ancestors < path.count && same_leaf(path.ancestor[ancestors], version->entry[i]));
			ancestors++;
		}
	}
	REQUIRE(path.count == ancestors);
	REQUIRE(path.enclosed == enclosed);
	if (ancestors <= QP_LABELS_MAX) {
		uint8_t untouched[sizeof(qp_leaf_t)];
		memset(untouched, 0xA5, sizeof(untouched));
		REQUIRE(memcmp(&path.ancestor[ancestors], untouched, sizeof(untouched)) == 0);
	}
}

static void check_seek(const version_t *version, const qp_t *qp, const name_t *name)
{
	qp_key_t key;
	qp_iter_t iter;
	bool exists;
	unsigned after = lower_bound(version, name, &exists) + exists;

	name_key(name, &key);
	REQUIRE(same_leaf(qp_seek(qp, &key, &iter), after > 0 ? version->entry[after - 1] : NULL));
	qp_iter_t back = iter;
	REQUIRE(same_leaf(qp_next(&iter), after < version->count ? version->entry[after] : NULL));
	REQUIRE(same_leaf(qp_prev(&iter), after > 0 ? version->entry[after - 1] : NULL));
	REQUIRE(same_leaf(qp_prev(&back), after > 1 ? version->entry[after - 2] : NULL));
	REQUIRE(same_leaf(qp_next(&back), after > 1 ? version->entry[after - 1] : version->count > 0 ? version->entry[0] : NULL));
}

static void check_probe(const version_t *version, const qp_t *qp, const name_t *name)
{
	check_find(version, qp, name);
	check_seek(version, qp, name);
}

static void check_order(const version_t *version, const qp_t *qp)
{
	qp_iter_t iter;

	REQUIRE(qp->count == version->count);
	qp_begin(qp, &iter);
	for (unsigned i = 0; i < version->count; i++) {
		REQUIRE(same_leaf(qp_next(&iter), version->entry[i]));
	}
	REQUIRE(qp_next(&iter).ref == 0 && qp_next(&iter).ref == 0);
	for (unsigned i = version->count; i > 0; i--) {
		REQUIRE(same_leaf(qp_prev(&iter), version->entry[i - 1]));
	}
	REQUIRE(qp_prev(&iter).ref == 0 && qp_prev(&iter).ref == 0);
	qp_end(qp, &iter);
	REQUIRE(same_leaf(qp_prev(&iter), version->count > 0 ? version->entry[version->count - 1] : NULL));
}

/*! \brief Every object of a version is as it was when it was put, and found under its name. */
static void check_version(const version_t *version, const qp_t *qp)
{
	check_order(version, qp);
	for (unsigned i = 0; i < version->count; i++) {
		const entry_t *entry = version->entry[i];
		const uint8_t *object = arena_at(qp->base, entry->leaf.ref);
		REQUIRE(object[0] == entry->name.len);
		for (unsigned k = 1 + entry->name.len; k < entry->size; k++) {
			REQUIRE(object[k] == (uint8_t)entry->leaf.tag);
		}
		check_probe(version, qp, &entry->name);

		/* Its parent, and a name below it. */
		name_t other = { .len = 0 };
		if (entry->name.len > 0) {
			other.len = entry->name.len - 1 - entry->name.labels[0];
			memcpy(other.labels, entry->name.labels + 1 + entry->name.labels[0], other.len);
			check_probe(version, qp, &other);
		}
		other = (name_t){ .len = 0 };
		name_add(&other, (const uint8_t *)"b", 1);
		if (entry->name.len <= 252) {
			memcpy(other.labels + 2, entry->name.labels, entry->name.len);
			other.len += entry->name.len;
		}
		check_probe(version, qp, &other);
	}
}

/*! \brief Octets of the vectors of a version. */
static size_t count_vectors(const qp_t *qp)
{
	const qp_node_t *stack[QP_KEY_MAX * QP_TWIGS_MAX];
	unsigned depth = 0;
	size_t octets = 0;

	stack[depth++] = &qp->root;
	while (depth > 0) {
		const qp_node_t *node = stack[--depth];
		if (!node_is_branch(node)) {
			continue;
		}
		unsigned size = branch_size(node);
		REQUIRE(size >= 2);
		octets += vector_octets(size);
		for (unsigned i = 0; i < size; i++) {
			const qp_node_t *twig = branch_twigs(qp->base, node) + i;
			REQUIRE(!node_is_branch(twig) || node_offset(twig) > node_offset(node));
			stack[depth++] = twig;
		}
	}
	return octets;
}

/*! \brief With one version left, what the arena counts as used is what that version refers to: no octet is lost. */
static void check_garbage(state_t *state)
{
	const version_t *version = state->version[0];
	size_t octets = count_vectors(&version->qp);
	for (unsigned i = 0; i < version->count; i++) {
		octets += size_ceil(version->entry[i]->size);
	}
	REQUIRE(arena_stats(state->arena).used == octets);
}

/* The program. */

static void drop_oldest(state_t *state)
{
	version_t *old = state->version[0];
	if (state->versions < 2) {
		return;
	}
	for (uint32_t i = 0; i < old->scrap.count; i++) {
		arena_dead(state->arena, old->scrap.item[i].ref, old->scrap.item[i].size);
	}
	scrap_clear(&old->scrap);
	free(old);
	memmove(state->version, state->version + 1, --state->versions * sizeof(state->version[0]));
}

static void open_draft(state_t *state)
{
	if (state->draft != NULL) {
		return;
	}
	version_t *last = state->version[state->versions - 1];
	state->draft = malloc(sizeof(*state->draft));
	REQUIRE(state->draft != NULL);
	*state->draft = *last;
	state->draft->scrap = (scrap_list_t){ 0 };
	qp_txn_begin(&state->txn, state->arena, &last->qp, &last->scrap);
}

/*! \brief The failed version vanishes: what was noted as replaced is not. */
static void abort_draft(state_t *state)
{
	if (state->draft == NULL) {
		return;
	}
	alloc_budget = -1;
	qp_txn_clear(&state->txn);
	arena_rollback(state->arena);
	scrap_clear(&state->version[state->versions - 1]->scrap);
	free(state->draft);
	state->draft = NULL;
	check_version(state->version[state->versions - 1], &state->version[state->versions - 1]->qp);
}

static void commit_draft(state_t *state)
{
	if (state->draft == NULL) {
		return;
	}
	alloc_budget = -1;
	while (state->versions >= VERSIONS_MAX) {
		drop_oldest(state);
	}
	qp_txn_commit(&state->txn, &state->draft->qp);
	arena_seal(state->arena);
	state->draft->qp.base = arena_base(state->arena);
	state->version[state->versions++] = state->draft;
	state->draft = NULL;
}

/*! \brief An object that the draft does not have any more: garbage of older versions, or nobody's. */
static int drop_object(state_t *state, const entry_t *entry)
{
	if (arena_is_mutable(state->arena, entry->leaf.ref)) {
		arena_dead(state->arena, entry->leaf.ref, entry->size);
		return KNOT_EOK;
	}
	return scrap_add(&state->version[state->versions - 1]->scrap, entry->leaf.ref, entry->size);
}

/*! \brief Sets the note of a name that has just been put: all of its bits, on average. */
static void note_name(state_t *state, const name_t *name, entry_t *entry)
{
	qp_key_t key;
	qp_iter_t iter;
	name_key(name, &key);
	REQUIRE(same_leaf(qp_seek(&state->txn.qp, &key, &iter), entry));
	if (state->entry_count % 3 == 0) {
		entry->leaf.note = state->entry_count * 2654435761u;
		qp_txn_note(&state->txn, &iter, entry->leaf.note);
		REQUIRE(same_leaf(qp_get(&state->txn.qp, &key), entry));
	}
}

static int put_name(state_t *state, const name_t *name)
{
	version_t *draft = state->draft;
	entry_t *entry = &state->entries[state->entry_count];
	qp_leaf_t old = { 0 };
	bool exists;
	unsigned place = lower_bound(draft, name, &exists);
	const entry_t *replaced = exists ? draft->entry[place] : NULL;

	if (!exists && draft->count == NAMES_MAX) {
		return KNOT_EOK;
	}
	entry->name = *name;
	entry->leaf.tag = (uint16_t)(state->entry_count * 257 + 1);
	entry->leaf.note = 0;
	entry->leaf.labels = (uint8_t)name_labels(name);
	entry->size = 1 + name->len + next_octet(state) % 64;
	int ret = arena_alloc(state->arena, entry->size, &entry->leaf.ref);
	if (ret != KNOT_EOK) {
		return ret;
	}
	uint8_t *object = arena_ptr(state->arena, entry->leaf.ref);
	memset(object, (uint8_t)entry->leaf.tag, entry->size);
	object[0] = name->len;
	memcpy(object + 1, name->labels, name->len);
	state->entry_count++;

	ret = qp_txn_put(&state->txn, entry->leaf.ref, entry->leaf.tag, &old);
	if (ret != KNOT_EOK) {
		return ret;
	}
	REQUIRE(same_leaf(old, replaced));
	if (!exists) {
		memmove(draft->entry + place + 1, draft->entry + place, (draft->count - place) * sizeof(draft->entry[0]));
		draft->count++;
	}
	draft->entry[place] = entry;
	note_name(state, name, entry);
	return exists ? drop_object(state, replaced) : KNOT_EOK;
}

static int del_name(state_t *state, const name_t *name)
{
	version_t *draft = state->draft;
	qp_leaf_t old = { 0 };
	qp_key_t key;
	bool exists;
	unsigned place = lower_bound(draft, name, &exists);
	const entry_t *removed = exists ? draft->entry[place] : NULL;

	name_key(name, &key);
	int ret = qp_txn_del(&state->txn, &key, &old);
	if (ret != KNOT_EOK) {
		return ret;
	}
	REQUIRE(same_leaf(old, removed));
	if (!exists) {
		return KNOT_EOK;
	}
	draft->count--;
	memmove(draft->entry + place, draft->entry + place + 1, (draft->count - place) * sizeof(draft->entry[0]));
	return drop_object(state, removed);
}

/*! \brief Changes the draft; without memory the draft is lost, and nothing else. */
static void change(state_t *state, bool put, const name_t *name)
{
	open_draft(state);
	int ret = put ? put_name(state, name) : del_name(state, name);
	if (ret != KNOT_EOK) {
		REQUIRE(ret == KNOT_ENOMEM);
		abort_draft(state);
	} else {
		REQUIRE(state->txn.qp.count == state->draft->count);
		check_probe(state->draft, &state->txn.qp, name);
	}
}

static void del_some(state_t *state)
{
	open_draft(state);
	if (state->draft->count > 0) {
		name_t name = state->draft->entry[next_octet(state) % state->draft->count]->name;
		change(state, false, &name);
	}
}

static void step(state_t *state)
{
	uint8_t op = next_octet(state);
	name_t name;

	if (op < 0x80) {
		name_read(state, &name);
		change(state, true, &name);
	} else if (op < 0xA0) {
		name_read(state, &name);
		change(state, false, &name);
	} else if (op < 0xC8) {
		del_some(state);
	} else if (op < 0xD8) {
		commit_draft(state);
	} else if (op < 0xDC) {
		abort_draft(state);
	} else if (op < 0xE8) {
		drop_oldest(state);
	} else if (op < 0xEC) {
		alloc_budget = next_octet(state) % 4;
	} else {
		name_read(state, &name);
		const version_t *version = state->version[op % state->versions];
		check_probe(version, &version->qp, &name);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > SCRIPT_MAX) {
		size = SCRIPT_MAX;
	}
	state_t state = { .pos = data, .end = data + size };
	state.arena = arena_new(0);
	state.entries = malloc((size + 1) * sizeof(entry_t));
	state.version[0] = calloc(1, sizeof(version_t));
	state.versions = 1;
	REQUIRE(state.arena != NULL && state.entries != NULL && state.version[0] != NULL);
	state.version[0]->qp.base = arena_base(state.arena);

	while (state.pos < state.end) {
		step(&state);
	}
	commit_draft(&state);
	for (unsigned i = 0; i < state.versions; i++) {
		check_version(state.version[i], &state.version[i]->qp);
	}
	while (state.versions > 1) {
		drop_oldest(&state);
		check_version(state.version[0], &state.version[0]->qp);
	}
	check_garbage(&state);

	scrap_clear(&state.version[0]->scrap);
	free(state.version[0]);
	free(state.entries);
	arena_release(state.arena);
	alloc_budget = -1;
	return 0;
}
