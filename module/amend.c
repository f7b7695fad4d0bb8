/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Differences into the next version: see secondary/amend.h.
 *
 * All records of all differences are indexed and sorted by owner, in the order of the tries as far as a few symbols tell it:
 * neighbours share the paths that are copied. Then each owner's node is made anew, once.
 */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/amend.h"
#include "secondary/node.h"
#include "secondary/nsec3.h"

/*! Symbols of a key (6 bits each) that a place holds beside the trie. */
#define PLACE_SYMBOLS  10

/*! Places are sorted by so many bits at a time; a table of their values is cleared and summed for each, so that few entries do without. */
#define DIGIT_BITS     11
#define DIGITS         (1u << DIGIT_BITS)
#define RADIX_MIN      DIGITS

/*!
 * Octets of garbage from which on a copy is worth its time, and not before they are half as much as what is alive: a zone takes
 * one and a half times the memory at worst, and is copied once for that much written. Copying h1m, 40 MB, takes 0.4 s of a thread.
 */
#define GARBAGE_MIN    (256u << 10)

/*! A record of a difference. */
typedef struct {
	uint64_t place;           /*!< Trie, and the first symbols of its owner. */
	const uint8_t *at;        /*!< In the difference. */
	uint32_t order;           /*!< Among all records of all differences. */
	node_change_t change;
} entry_t;

typedef struct {
	const snapshot_t *base;
	snapshot_t *draft;
	qp_txn_t trie[NODE_TRIES];
	node_maker_t maker;
	entry_t *change;
	size_t count;
	buffer_t put[NODE_TRIES];     /*!< Nodes of owners that are put: of NSEC3 only new ones. */
	buffer_t gone[NODE_TRIES];    /*!< Nodes of owners that are removed. */
} amend_t;

/* ---- The index ---- */

static uint64_t place_of(node_trie_t trie, const difference_record_t *record)
{
	qp_key_t key;
	qp_key(&key, record->owner, record->owner_len);
	uint64_t place = trie;
	for (unsigned i = 0; i < PLACE_SYMBOLS; i++) {
		place = place << 6 | (i < key.len ? key.sym[i] : QP_LABEL_END);
	}
	return place;
}

static int owner_compare(const uint8_t *a, const uint8_t *b)
{
	return a[0] != b[0] ? a[0] - b[0] : memcmp(a + 1, b + 1, a[0]);
}

/*! \brief Adds one record to the index; neighbours often have the same owner. */
static int index_record(amend_t *amend, const uint8_t *at, const difference_record_t *record, node_change_t change)
{
	if (record->owner_len + amend->base->apex_len > WIRE_NAME_MAX || (record->type == KNOT_RRTYPE_RRSIG && record->rdlen < 2)) {
		return node_maker_fail(&amend->maker, KNOT_EMALF, NULL, "malformed record in an increment");
	}

	const node_trie_t trie = node_trie(record->type, record->rdata);
	const entry_t *last = amend->count > 0 ? &amend->change[amend->count - 1] : NULL;
	const bool is_like_last = last != NULL && last->place >> (6 * PLACE_SYMBOLS) == trie && owner_compare(last->at, at) == 0;
	amend->change[amend->count] = (entry_t) {
		.place = is_like_last ? last->place : place_of(trie, record),
		.at = at,
		.order = amend->count,
		.change = change,
	};
	amend->count++;
	return KNOT_EOK;
}

/*! \brief Adds all records of a difference but the SOAs. */
static int index_difference(amend_t *amend, const difference_t *difference)
{
	const uint8_t *at = difference->octets;
	const uint8_t *turn = at + difference->added_at;
	const uint8_t *end = at + difference->size;
	int ret = KNOT_EOK;
	while (at < end && ret == KNOT_EOK) {
		difference_record_t record;
		const uint8_t *next = difference_read(at, &record);
		if (record.type != KNOT_RRTYPE_SOA) {
			ret = index_record(amend, at, &record, at < turn ? NODE_REMOVE : NODE_ADD);
		}
		at = next;
	}
	return ret;
}

static int index_all(amend_t *amend, difference_t *const *difference, size_t count)
{
	size_t records = 1;
	for (size_t i = 0; i < count; i++) {
		records += difference[i]->removed + (size_t)difference[i]->added;
	}
	if (records > UINT32_MAX) {
		return KNOT_ESPACE;
	}
	amend->change = malloc(records * sizeof(*amend->change));
	if (amend->change == NULL) {
		return KNOT_ENOMEM;
	}

	int ret = KNOT_EOK;
	for (size_t i = 0; i < count && ret == KNOT_EOK; i++) {
		ret = index_difference(amend, difference[i]);
	}
	if (ret != KNOT_EOK) {
		return ret;
	}
	/* The last SOA replaces whatever there is. */
	difference_record_t soa;
	const difference_t *last = difference[count - 1];
	(void)difference_read(last->octets + last->added_at, &soa);
	return index_record(amend, last->octets + last->added_at, &soa, NODE_ADD);
}

static int index_compare(const void *a_void, const void *b_void)
{
	const entry_t *a = a_void;
	const entry_t *b = b_void;
	if (a->place != b->place) {
		return a->place < b->place ? -1 : 1;
	}
	const int diff = owner_compare(a->at, b->at);
	return diff != 0 ? diff : (a->order > b->order) - (a->order < b->order);
}

/*! \brief Puts entries into the order of one digit of their places; those with the same stay as they are. */
static void sort_digit(const entry_t *from, entry_t *to, size_t count, unsigned shift)
{
	uint32_t begin[DIGITS] = { 0 };
	for (size_t i = 0; i < count; i++) {
		begin[from[i].place >> shift & (DIGITS - 1)]++;
	}
	uint32_t sum = 0;
	for (unsigned digit = 0; digit < DIGITS; digit++) {
		const uint32_t size = begin[digit];
		begin[digit] = sum;
		sum += size;
	}
	for (size_t i = 0; i < count; i++) {
		to[begin[from[i].place >> shift & (DIGITS - 1)]++] = from[i];
	}
}

/*! \brief Sorts the entries by place, digit by digit. False: there is no memory for it. */
static bool sort_places(amend_t *amend)
{
	entry_t *to = malloc(amend->count * sizeof(*to));
	if (to == NULL) {
		return false;
	}
	for (unsigned shift = 0; shift <= 6 * PLACE_SYMBOLS; shift += DIGIT_BITS) {
		entry_t *from = amend->change;
		sort_digit(from, to, amend->count, shift);
		amend->change = to;
		to = from;
	}
	free(to);
	return true;
}

/*! \brief Sorts a few entries, which mostly come sorted. */
static void sort_entries(entry_t *entry, size_t count)
{
	size_t sorted = 1;
	while (sorted < count && index_compare(&entry[sorted - 1], &entry[sorted]) < 0) {
		sorted++;
	}
	if (sorted < count) {
		qsort(entry, count, sizeof(*entry), index_compare);
	}
}

/*! \brief Sorts the index. Names that differ in their first symbols, as most do, are not looked at for it. */
static void sort_index(amend_t *amend)
{
	if (amend->count < RADIX_MIN || !sort_places(amend)) {
		sort_entries(amend->change, amend->count);
		return;
	}
	for (size_t i = 0, next; i < amend->count; i = next) {
		for (next = i + 1; next < amend->count && amend->change[next].place == amend->change[i].place; next++) {
			continue;
		}
		sort_entries(amend->change + i, next - i);
	}
}

/* ---- One owner ---- */

static int note_ref(buffer_t *refs, arena_ref_t ref)
{
	int ret = buffer_reserve(refs, sizeof(ref));
	if (ret == KNOT_EOK) {
		buffer_put(refs, &ref, sizeof(ref));
	}
	return ret;
}

/*! \brief Notes the old node as what the base alone needs from now on. */
static int scrap_node(amend_t *amend, arena_ref_t ref)
{
	return scrap_add(&amend->draft->scrap, ref, node_size(amend->base->names.base, ref));
}

static int remove_node(amend_t *amend, node_trie_t trie, const qp_key_t *key, qp_leaf_t old)
{
	int ret = qp_txn_del(&amend->trie[trie], key, NULL);
	if (ret == KNOT_EOK) {
		ret = scrap_node(amend, old.ref);
	}
	if (ret == KNOT_EOK) {
		ret = note_ref(&amend->gone[trie], old.ref);
	}
	if (trie == NODE_NAMES && (old.tag & NODE_ASTERISK)) {
		amend->draft->wildcards--;
	}
	return ret;
}

/*! \brief Is the node that was written the one that is there? */
static bool is_unchanged(const amend_t *amend, arena_ref_t old)
{
	const buffer_t *node = &amend->maker.node;
	const arena_base_t base = amend->base->names.base;
	return old != 0 && node_size(base, old) == node->size && memcmp(arena_at(base, old), node->at, node->size) == 0;
}

static int put_node(amend_t *amend, node_trie_t trie, uint16_t tag, qp_leaf_t old)
{
	const buffer_t *node = &amend->maker.node;
	arena_ref_t ref = 0;
	int ret = arena_alloc(amend->draft->arena, node->size, &ref);
	if (ret != KNOT_EOK) {
		return ret;
	}
	memcpy(arena_ptr(amend->draft->arena, ref), node->at, node->size);
	ret = qp_txn_put(&amend->trie[trie], ref, tag, NULL);
	if (ret == KNOT_EOK && old.ref != 0) {
		ret = scrap_node(amend, old.ref);
	}
	if (ret == KNOT_EOK && (trie == NODE_NAMES || old.ref == 0)) {
		ret = note_ref(&amend->put[trie], ref);
	}
	if (trie == NODE_NAMES && old.ref == 0 && (tag & NODE_ASTERISK)) {
		amend->draft->wildcards++;
	}
	return ret;
}

/*! \brief Writes what the changes have left of the owner in the place of \a old. */
static int replace_node(amend_t *amend, node_trie_t trie, const qp_key_t *key, qp_leaf_t old)
{
	if (node_maker_is_empty(&amend->maker)) {
		return old.ref != 0 ? remove_node(amend, trie, key, old) : KNOT_EOK;
	}

	size_t count;
	const node_record_t *record = node_maker_records(&amend->maker, &count);
	node_sums_t sums;
	int ret = node_maker_write(&amend->maker, record, count, &sums);
	if (ret != KNOT_EOK) {
		return ret;
	}
	amend->draft->records += sums.records;
	amend->draft->octets += sums.octets;
	return is_unchanged(amend, old.ref) ? KNOT_EOK : put_node(amend, trie, sums.tag, old);
}

static int add_changes(amend_t *amend, const entry_t *change, size_t count)
{
	int ret = KNOT_EOK;
	for (size_t i = 0; i < count && ret == KNOT_EOK; i++) {
		difference_record_t record;
		(void)difference_read(change[i].at, &record);
		ret = node_maker_add(&amend->maker, record.type, record.ttl, record.rdata, record.rdlen, change[i].change);
	}
	return ret;
}

/*! \brief Makes all changes, \a count of them, of one owner in one trie. */
static int amend_owner(amend_t *amend, const entry_t *change, size_t count)
{
	const snapshot_t *base = amend->base;
	const node_trie_t trie = change->place >> (6 * PLACE_SYMBOLS);
	const size_t owner_len = change->at[0];
	uint8_t owner[WIRE_NAME_MAX];
	memcpy(owner, change->at + 1, owner_len);
	memcpy(owner + owner_len, base->apex, base->apex_len);
	node_maker_begin(&amend->maker, owner, owner_len + base->apex_len);

	qp_key_t key;
	node_sums_t sums = { 0 };
	qp_key(&key, owner, owner_len);
	const qp_leaf_t old = qp_get(trie == NODE_NAMES ? &base->names : &base->nsec3, &key);
	int ret = add_changes(amend, change, count);
	if (ret == KNOT_EOK) {
		ret = node_maker_apply(&amend->maker, base->names.base, old.ref, &sums);
	}
	if (ret != KNOT_EOK) {
		return ret;
	}
	amend->draft->records -= sums.records;
	amend->draft->octets -= sums.octets;
	return replace_node(amend, trie, &key, old);
}

static int amend_owners(amend_t *amend)
{
	int ret = KNOT_EOK;
	for (size_t i = 0, next; i < amend->count && ret == KNOT_EOK; i = next) {
		const entry_t *change = &amend->change[i];
		for (next = i + 1; next < amend->count; next++) {
			if (amend->change[next].place != change->place || owner_compare(amend->change[next].at, change->at) != 0) {
				break;
			}
		}
		ret = amend_owner(amend, change, next - i);
	}
	return ret;
}

/* ---- The version ---- */

/*! \brief Do the differences lead on from the version, one from where the one before leads to? */
static int check_serials(amend_t *amend, difference_t *const *difference, size_t count)
{
	uint32_t serial = amend->base->soa.serial;
	for (size_t i = 0; i < count; i++) {
		if (difference[i]->from != serial) {
			snprintf(amend->maker.error, sizeof(amend->maker.error), "increment from serial %u to one with serial %u",
			         difference[i]->from, serial);
			return KNOT_ENOENT;
		}
		serial = difference[i]->to;
	}
	return KNOT_EOK;
}

/*! \brief A snapshot with the name and sums of another one, and nothing in it. Own: free() it. */
static snapshot_t *snapshot_like(const snapshot_t *snapshot)
{
	snapshot_t *like = calloc(1, sizeof(*like) + snapshot->apex_len);
	if (like != NULL) {
		like->refs = 1;
		like->records = snapshot->records;
		like->octets = snapshot->octets;
		like->wildcards = snapshot->wildcards;
		like->apex_len = snapshot->apex_len;
		memcpy(like->apex, snapshot->apex, snapshot->apex_len);
	}
	return like;
}

static int amend_begin(amend_t *amend, const snapshot_t *base)
{
	amend->base = base;
	amend->maker.apex_len = base->apex_len;
	amend->draft = snapshot_like(base);
	if (amend->draft == NULL) {
		return KNOT_ENOMEM;
	}
	amend->draft->arena = base->arena;
	qp_txn_begin(&amend->trie[NODE_NAMES], base->arena, &base->names, &amend->draft->scrap);
	qp_txn_begin(&amend->trie[NODE_NSEC3], base->arena, &base->nsec3, &amend->draft->scrap);
	return KNOT_EOK;
}

/*! \brief Makes the changes and checks what comes of them. */
static int amend_make(amend_t *amend, difference_t *const *difference, size_t count, const builder_limits_t *limits)
{
	int ret = check_serials(amend, difference, count);
	if (ret == KNOT_EOK) {
		ret = index_all(amend, difference, count);
	}
	if (ret != KNOT_EOK) {
		return ret;
	}
	sort_index(amend);
	ret = amend_owners(amend);
	if (ret != KNOT_EOK) {
		return ret;
	}
	if (limits->max_octets > 0 && amend->draft->octets > limits->max_octets) {
		return node_maker_fail(&amend->maker, KNOT_EZONESIZE, NULL, "zone too large");
	}
	for (unsigned i = 0; i < NODE_TRIES; i++) {
		amend->trie[i].qp.base = arena_base(amend->draft->arena);
	}
	return node_maker_read_apex(&amend->maker, &amend->trie[NODE_NAMES].qp, amend->draft);
}

static nsec3_owners_t owners_of(const buffer_t *refs)
{
	return (nsec3_owners_t) { (const arena_ref_t *)(const void *)refs->at, refs->size / sizeof(arena_ref_t) };
}

/*! \brief Completes the draft. Cannot fail. */
static void amend_end(amend_t *amend, snapshot_t *base)
{
	snapshot_t *draft = amend->draft;
	qp_txn_t *names = &amend->trie[NODE_NAMES];
	qp_txn_t *nsec3 = &amend->trie[NODE_NSEC3];
	nsec3_changes_t changes = {
		.put = owners_of(&amend->put[NODE_NAMES]),
		.gone = owners_of(&amend->gone[NODE_NAMES]),
		.added = owners_of(&amend->put[NODE_NSEC3]),
		.lost = owners_of(&amend->gone[NODE_NSEC3]),
	};
	draft->names = names->qp;
	draft->nsec3 = nsec3->qp;
	nsec3_choose(draft);
	nsec3_inherit(draft, base, &changes, names);
	qp_txn_commit(names, &draft->names);
	qp_txn_commit(nsec3, &draft->nsec3);
	arena_hold(draft->arena);
	draft->base = snapshot_pin(base);
	amend->draft = NULL;
}

/*! \brief Forgets what was made, if it is no draft. */
static void amend_undo(amend_t *amend)
{
	for (unsigned i = 0; i < NODE_TRIES; i++) {
		qp_txn_clear(&amend->trie[i]);
	}
	if (amend->draft != NULL) {
		arena_rollback(amend->draft->arena);
		scrap_clear(&amend->draft->scrap);
		free(amend->draft);
	}
}

static void amend_free(amend_t *amend)
{
	amend_undo(amend);
	for (unsigned i = 0; i < NODE_TRIES; i++) {
		buffer_clear(&amend->put[i]);
		buffer_clear(&amend->gone[i]);
	}
	node_maker_clear(&amend->maker);
	free(amend->change);
	free(amend);
}

int amend(snapshot_t *base, difference_t *const *difference, size_t count, const builder_limits_t *limits,
          snapshot_t **ret_snapshot, char ret_error[static AMEND_ERROR_MAX])
{
	assert(count > 0 && base->base == NULL && base->successor == NULL);
	ret_error[0] = '\0';
	amend_t *amend = calloc(1, sizeof(*amend));
	if (amend == NULL) {
		return KNOT_ENOMEM;
	}

	int ret = amend_begin(amend, base);
	if (ret == KNOT_EOK) {
		ret = amend_make(amend, difference, count, limits);
	}
	if (ret == KNOT_EOK) {
		*ret_snapshot = amend->draft;
		amend_end(amend, base);
	} else {
		snprintf(ret_error, AMEND_ERROR_MAX, "%s", amend->maker.error);
	}
	amend_free(amend);
	return ret;
}

/* ---- Copies ---- */

static int copy_node(const qp_t *from, qp_txn_t *to, qp_leaf_t leaf)
{
	const size_t size = node_size(from->base, leaf.ref);
	arena_ref_t ref = 0;
	int ret = arena_alloc(to->arena, size, &ref);
	if (ret != KNOT_EOK) {
		return ret;
	}
	memcpy(arena_ptr(to->arena, ref), arena_at(from->base, leaf.ref), size);
	return qp_txn_put(to, ref, leaf.tag, NULL);
}

static int copy_trie(const qp_t *from, qp_txn_t *to)
{
	qp_iter_t iter;
	int ret = KNOT_EOK;
	qp_begin(from, &iter);
	for (qp_leaf_t leaf = qp_next(&iter); leaf.ref != 0 && ret == KNOT_EOK; leaf = qp_next(&iter)) {
		ret = copy_node(from, to, leaf);
	}
	return ret == KNOT_EOK ? qp_txn_settle(to) : ret;
}

/*! \brief Completes a copy of which both tries are there. */
static int copy_end(snapshot_t *copy, qp_txn_t trie[static NODE_TRIES])
{
	arena_trim(copy->arena); /* moves: from here on there are pointers into it */
	for (unsigned i = 0; i < NODE_TRIES; i++) {
		trie[i].qp.base = arena_base(copy->arena);
	}
	copy->names = trie[NODE_NAMES].qp;
	copy->nsec3 = trie[NODE_NSEC3].qp;
	node_maker_t maker = { 0 };
	int ret = node_maker_read_apex(&maker, &copy->names, copy);
	if (ret != KNOT_EOK) {
		return ret;
	}
	nsec3_choose(copy);
	nsec3_keep(copy, &trie[NODE_NAMES]);
	qp_txn_commit(&trie[NODE_NAMES], &copy->names);
	qp_txn_commit(&trie[NODE_NSEC3], &copy->nsec3);
	arena_seal(copy->arena);
	return KNOT_EOK;
}

static int copy_all(const snapshot_t *snapshot, snapshot_t *copy)
{
	scrap_list_t scrap = { 0 };
	qp_txn_t trie[NODE_TRIES];
	qp_txn_begin(&trie[NODE_NAMES], copy->arena, NULL, &scrap);
	qp_txn_begin(&trie[NODE_NSEC3], copy->arena, NULL, &scrap);
	int ret = copy_trie(&snapshot->names, &trie[NODE_NAMES]);
	if (ret == KNOT_EOK) {
		ret = copy_trie(&snapshot->nsec3, &trie[NODE_NSEC3]);
	}
	if (ret == KNOT_EOK) {
		ret = copy_end(copy, trie);
	}
	for (unsigned i = 0; i < NODE_TRIES; i++) {
		qp_txn_clear(&trie[i]); /* of a copy that failed */
	}
	scrap_clear(&scrap);
	return ret;
}

int amend_compact(const snapshot_t *snapshot, snapshot_t **ret_copy)
{
	snapshot_t *copy = snapshot_like(snapshot);
	if (copy == NULL) {
		return KNOT_ENOMEM;
	}
	copy->arena = arena_new(arena_stats(snapshot->arena).used);
	int ret = copy->arena != NULL ? copy_all(snapshot, copy) : KNOT_ENOMEM;
	if (ret != KNOT_EOK) {
		arena_release(copy->arena);
		free(copy);
		return ret;
	}
	*ret_copy = copy;
	return KNOT_EOK;
}

bool amend_wants_compaction(const snapshot_t *snapshot)
{
	const arena_stats_t stats = arena_stats(snapshot->arena);
	return snapshot->chain.lost_notes || (stats.dead >= GARBAGE_MIN && stats.dead > stats.used / 2);
}
