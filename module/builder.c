/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Records into nodes, nodes into tries, tries into a snapshot.
 *
 * The records of the current owner wait in two scratch buffers (descriptions, RDATA). When the owner changes they are
 * sorted and written to the arena as one node. Whether the owner had been there before is known only when its node is put
 * into the trie (a look-up before each would cost more than all the rest): then the earlier node is put back and the
 * records are set aside. builder_finish() sorts what was set aside by owner and writes each of these nodes once more.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/builder.h"
#include "secondary/node.h"
#include "secondary/nsec3.h"
#include "secondary/wire.h"

/*! Octets of SOA RDATA: two names, at least, and the integers. */
#define SOA_MIN  22

struct builder {
	arena_t *arena;
	qp_txn_t trie[NODE_TRIES];
	scrap_list_t scrap;             /* Stays empty in a zone from nothing. */
	builder_limits_t limits;

	size_t apex_len;
	uint8_t apex[WIRE_NAME_MAX];

	node_maker_t maker;             /* Of the current owner; none when its owner_len is 0. */
	buffer_t aside;                 /* Records of owners that came again: aside_write(). */
	uint64_t aside_count;

	arena_ref_t spare;              /* Memory of nodes that were put back, for the next ones. */
	size_t spare_size;

	buffer_t soa;                   /* RDATA of the first SOA. */
	uint64_t taken_records;
	uint64_t taken_octets;
	uint64_t records;               /* In the tries, without duplicates. */
	uint64_t octets;
	uint32_t wildcards;
};

/*! \brief Notes what is wrong at \a owner (NULL: with the zone) and returns \a code. */
static int fail(builder_t *builder, int code, const uint8_t *owner, const char *what)
{
	return node_maker_fail(&builder->maker, code, owner, what);
}

/* Nodes in the arena */

static size_t node_room(size_t size)
{
	return (size + 3) & ~(size_t)3;
}

/*! \brief Offset of \a ref in its chunk, in octets (arena.h). */
static size_t ref_offset(arena_ref_t ref)
{
	return (size_t)(ref & 0xFFFFF) << 2;
}

static int node_alloc(builder_t *builder, size_t size, arena_ref_t *ret_ref)
{
	size_t room = node_room(size);
	if (room > builder->spare_size) {
		return arena_alloc(builder->arena, size, ret_ref);
	}

	*ret_ref = builder->spare;
	builder->spare += room >> 2;
	builder->spare_size -= room;
	return KNOT_EOK;
}

static void spare_drop(builder_t *builder)
{
	if (builder->spare_size > 0) {
		arena_dead(builder->arena, builder->spare, builder->spare_size);
	}
	builder->spare_size = 0;
}

/*! \brief Keeps the memory of a node that is in no trie for the next ones, unless there is more already. */
static void node_give_back(builder_t *builder, arena_ref_t ref, size_t size)
{
	size_t room = node_room(size);
	/* References reach into shared chunks only as far as these are long. */
	if (room <= builder->spare_size || ref_offset(ref) + room >= ARENA_CHUNK_MAX) {
		arena_dead(builder->arena, ref, size);
		return;
	}
	spare_drop(builder);
	builder->spare = ref;
	builder->spare_size = room;
}

/*! \brief Puts the node in the scratch into a trie; \a ret_old is the leaf that it replaces there. */
static int node_put(builder_t *builder, unsigned trie, uint16_t tag, arena_ref_t *ret_ref, qp_leaf_t *ret_old)
{
	arena_ref_t ref = 0;
	int ret = node_alloc(builder, builder->maker.node.size, &ref);
	if (ret != KNOT_EOK) {
		return ret;
	}

	memcpy(arena_ptr(builder->arena, ref), builder->maker.node.at, builder->maker.node.size);
	*ret_ref = ref;
	return qp_txn_put(&builder->trie[trie], ref, tag, ret_old);
}

static void sums_add(builder_t *builder, const node_sums_t *sums)
{
	builder->records += sums->records;
	builder->octets += sums->octets;
}

/* Owners that come again */

/*! \brief Sets records of the current owner aside, each with its owner: trie, length and name first, to be sorted by. */
static int aside_write(builder_t *builder, const node_record_t *record, size_t count)
{
	buffer_t *aside = &builder->aside;
	for (size_t i = 0; i < count; i++, record++) {
		if (buffer_reserve(aside, 2 + builder->maker.owner_len + sizeof(*record) + record->len) != KNOT_EOK) {
			return KNOT_ENOMEM;
		}
		uint8_t head[] = { node_record_trie(record), builder->maker.owner_len };
		buffer_put(aside, head, sizeof(head));
		buffer_put(aside, builder->maker.owner, builder->maker.owner_len);
		buffer_put(aside, record, sizeof(*record));
		buffer_put(aside, node_maker_rdata(&builder->maker, record), record->len);
	}
	builder->aside_count += count;
	return KNOT_EOK;
}

/*! \brief Reads a record that was set aside; returns the next one. */
static const uint8_t *aside_read(const uint8_t *entry, node_record_t *ret_record, const uint8_t **ret_rdata)
{
	const uint8_t *pos = entry + 2 + entry[1];
	memcpy(ret_record, pos, sizeof(*ret_record));
	*ret_rdata = pos + sizeof(*ret_record);
	return *ret_rdata + ret_record->len;
}

static int aside_compare(const void *a_void, const void *b_void)
{
	const uint8_t *a = *(const uint8_t *const *)a_void;
	const uint8_t *b = *(const uint8_t *const *)b_void;
	int diff = memcmp(a, b, 2);
	return diff != 0 ? diff : memcmp(a + 2, b + 2, a[1]);
}

/*! \brief Writes the node of the sorted \a record in its trie, or sets the records aside when the owner has one already. */
static int node_add(builder_t *builder, const node_record_t *record, size_t count)
{
	if (count == 0) {
		return KNOT_EOK;
	}

	node_sums_t sums;
	int ret = node_maker_write(&builder->maker, record, count, &sums);
	if (ret != KNOT_EOK) {
		return ret;
	}

	unsigned trie = node_record_trie(record);
	arena_ref_t ref = 0;
	qp_leaf_t old = { 0 };
	ret = node_put(builder, trie, sums.tag, &ref, &old);
	if (ret != KNOT_EOK) {
		return ret;
	}
	if (old.ref == 0) {
		sums_add(builder, &sums);
		builder->wildcards += trie == NODE_NAMES && (sums.tag & NODE_ASTERISK);
		return KNOT_EOK;
	}

	ret = qp_txn_put(&builder->trie[trie], old.ref, old.tag, NULL);
	if (ret == KNOT_EOK) {
		node_give_back(builder, ref, builder->maker.node.size);
		ret = aside_write(builder, record, count);
	}
	return ret;
}

/*! \brief Writes the records of the current owner, if there are any. */
static int owner_end(builder_t *builder)
{
	size_t count;
	const node_record_t *record = node_maker_records(&builder->maker, &count);
	if (count == 0) {
		return KNOT_EOK;
	}

	size_t names = node_maker_sort(&builder->maker);
	int ret = node_add(builder, record, names);
	if (ret == KNOT_EOK) {
		ret = node_add(builder, record + names, count - names);
	}
	builder->maker.record.size = 0;
	return ret;
}

/*! \brief Adds the records of a node to those of the current owner and takes them off the sums. */
static int node_load(builder_t *builder, arena_ref_t ref)
{
	node_sums_t sums;
	int ret = node_maker_load(&builder->maker, arena_base(builder->arena), ref, &sums);
	builder->records -= sums.records;
	builder->octets -= sums.octets;
	return ret;
}

/*! \brief Adds the \a count records set aside at \a entry to those of the current owner. */
static int aside_load(builder_t *builder, const uint8_t *const *entry, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		node_record_t record;
		const uint8_t *rdata;
		aside_read(entry[i], &record, &rdata);
		int ret = node_maker_add(&builder->maker, node_record_type(&record), record.ttl, rdata, record.len,
		                         NODE_IS);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	return KNOT_EOK;
}

/*! \brief Writes the records of the current owner, whose node they replace, into \a trie. */
static int node_replace(builder_t *builder, unsigned trie)
{
	size_t count;
	const node_record_t *record = node_maker_records(&builder->maker, &count);
	(void)node_maker_sort(&builder->maker);
	node_sums_t sums;
	int ret = node_maker_write(&builder->maker, record, count, &sums);
	if (ret != KNOT_EOK) {
		return ret;
	}

	arena_ref_t ref = 0;
	qp_leaf_t old = { 0 };
	ret = node_put(builder, trie, sums.tag, &ref, &old);
	if (ret != KNOT_EOK) {
		return ret;
	}
	sums_add(builder, &sums);
	node_give_back(builder, old.ref, node_size(arena_base(builder->arena), old.ref));
	return KNOT_EOK;
}

/*! \brief Writes the node of the current owner once more, with the \a count records set aside at \a entry. */
static int node_merge(builder_t *builder, const uint8_t *const *entry, size_t count)
{
	unsigned trie = entry[0][0];
	qp_key_t key;
	qp_key(&key, builder->maker.owner, builder->maker.owner_len - builder->apex_len);
	qp_leaf_t old = qp_get(&builder->trie[trie].qp, &key);
	assert(old.ref != 0);

	int ret = node_load(builder, old.ref);
	if (ret == KNOT_EOK) {
		ret = aside_load(builder, entry, count);
	}
	return ret == KNOT_EOK ? node_replace(builder, trie) : ret;
}

/*! \brief Merges what was set aside, owner after owner; \a entry is where the places are sorted. */
static int aside_merge_sorted(builder_t *builder, const uint8_t **entry)
{
	const uint8_t *pos = builder->aside.at;
	for (size_t i = 0; i < builder->aside_count; i++) {
		node_record_t record;
		const uint8_t *rdata;
		entry[i] = pos;
		pos = aside_read(pos, &record, &rdata);
	}
	qsort(entry, builder->aside_count, sizeof(*entry), aside_compare);

	for (size_t i = 0, next; i < builder->aside_count; i = next) {
		for (next = i + 1; next < builder->aside_count && aside_compare(&entry[i], &entry[next]) == 0; ) {
			next++;
		}
		node_maker_begin(&builder->maker, entry[i] + 2, entry[i][1]);
		int ret = node_merge(builder, entry + i, next - i);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	return KNOT_EOK;
}

static int aside_merge(builder_t *builder)
{
	if (builder->aside_count == 0) {
		return KNOT_EOK;
	}

	const uint8_t **entry = malloc(builder->aside_count * sizeof(*entry));
	if (entry == NULL) {
		return KNOT_ENOMEM;
	}
	int ret = aside_merge_sorted(builder, entry);
	free(entry);
	builder->maker.record.size = 0;
	builder->aside_count = 0;
	buffer_clear(&builder->aside);
	return ret;
}

/* The zone */

builder_t *builder_new(const uint8_t *apex, const builder_limits_t *limits)
{
	builder_t *builder = calloc(1, sizeof(*builder));
	if (builder == NULL) {
		return NULL;
	}

	builder->limits = *limits;
	builder->apex_len = knot_dname_size(apex);
	builder->maker.apex_len = builder->apex_len;
	memcpy(builder->apex, apex, builder->apex_len);
	wire_name_lower(builder->apex, builder->apex_len);
	builder->arena = arena_new(limits->size_hint);
	if (builder->arena == NULL) {
		free(builder);
		return NULL;
	}
	for (unsigned i = 0; i < NODE_TRIES; i++) {
		qp_txn_begin(&builder->trie[i], builder->arena, NULL, &builder->scrap);
	}
	return builder;
}

/*! \brief Only one SOA, at the apex, the same whenever it comes. */
static int soa_check(builder_t *builder, const uint8_t *owner, size_t owner_len, const uint8_t *rdata, uint16_t rdlen)
{
	if (owner_len != builder->apex_len) {
		return fail(builder, KNOT_EMALF, owner, "SOA below the zone apex");
	}
	if (rdlen < SOA_MIN) {
		return fail(builder, KNOT_EMALF, owner, "malformed record");
	}
	if (builder->soa.size > 0) {
		bool is_same = wire_rdata_compare(KNOT_RRTYPE_SOA, builder->soa.at, builder->soa.size, rdata, rdlen) == 0;
		return is_same ? KNOT_EOK : fail(builder, KNOT_EMALF, owner, "more than one SOA");
	}

	int ret = buffer_reserve(&builder->soa, rdlen);
	if (ret == KNOT_EOK) {
		buffer_put(&builder->soa, rdata, rdlen);
	}
	return ret;
}

/*! \brief Ends the owner before and begins \a owner. */
static int owner_change(builder_t *builder, const uint8_t *owner, size_t owner_len)
{
	if (!wire_name_within(owner, owner_len, builder->apex, builder->apex_len)) {
		return fail(builder, KNOT_EOUTOFZONE, owner, "record outside the zone");
	}

	int ret = owner_end(builder);
	if (ret == KNOT_EOK) {
		node_maker_begin(&builder->maker, owner, owner_len);
	}
	return ret;
}

int builder_add(builder_t *builder, const uint8_t *owner, size_t owner_len, uint16_t type, uint32_t ttl,
                const uint8_t *rdata, uint16_t rdlen)
{
	int ret = KNOT_EOK;
	if (owner_len != builder->maker.owner_len || memcmp(owner, builder->maker.owner, owner_len) != 0) {
		ret = owner_change(builder, owner, owner_len);
	}
	if (ret == KNOT_EOK && type == KNOT_RRTYPE_SOA) {
		ret = soa_check(builder, owner, owner_len, rdata, rdlen);
	}
	if (ret != KNOT_EOK) {
		return ret;
	}
	builder->taken_records++;
	builder->taken_octets += owner_len + NODE_RECORD_FIXED + rdlen;
	if (builder->limits.max_octets > 0 && builder->taken_octets > builder->limits.max_octets) {
		return fail(builder, KNOT_EZONESIZE, NULL, "zone too large");
	}
	return node_maker_add(&builder->maker, type, ttl, rdata, rdlen, NODE_IS);
}

/* Whole nodes */

int builder_put_node(builder_t *builder, const uint8_t *node, size_t size, uint16_t tag, bool is_nsec3)
{
	if (!node_is_sound(node, size) || node[0] + builder->apex_len > WIRE_NAME_MAX) {
		return KNOT_EMALF;
	}
	arena_ref_t ref = 0;
	qp_leaf_t old = { 0 };
	int ret = arena_alloc(builder->arena, size, &ref);
	if (ret != KNOT_EOK) {
		return ret;
	}
	memcpy(arena_ptr(builder->arena, ref), node, size);
	ret = qp_txn_put(&builder->trie[is_nsec3 ? NODE_NSEC3 : NODE_NAMES], ref, tag, &old);
	if (ret != KNOT_EOK) {
		return ret;
	}
	builder->wildcards += !is_nsec3 && (tag & NODE_ASTERISK);
	return old.ref == 0 ? KNOT_EOK : KNOT_EMALF;
}

void builder_set_sums(builder_t *builder, uint64_t records, uint64_t octets)
{
	builder->records = records;
	builder->octets = octets;
}

/*! \brief Makes the tries those of the snapshot and seals them. Before that, names get their notes. */
static void tries_end(builder_t *builder, snapshot_t *snapshot)
{
	qp_txn_t *names = &builder->trie[NODE_NAMES];
	qp_txn_t *nsec3 = &builder->trie[NODE_NSEC3];
	snapshot->names = names->qp;
	snapshot->nsec3 = nsec3->qp;
	nsec3_choose(snapshot);
	nsec3_keep(snapshot, names);
	qp_txn_commit(names, &snapshot->names);
	qp_txn_commit(nsec3, &snapshot->nsec3);
	arena_seal(builder->arena);
}

/*! \brief Fills the snapshot, of which the apex was read, and which takes the arena, sealed. Cannot fail. */
static void snapshot_fill(builder_t *builder, snapshot_t *snapshot)
{
	spare_drop(builder);
	arena_trim(builder->arena); /* moves: from here on there are pointers into it */

	for (unsigned i = 0; i < NODE_TRIES; i++) {
		builder->trie[i].qp.base = arena_base(builder->arena);
	}
	snapshot->arena = builder->arena;
	snapshot->records = builder->records;
	snapshot->octets = builder->octets;
	snapshot->wildcards = builder->wildcards;
	tries_end(builder, snapshot);
	builder->arena = NULL;
}

/*! \brief A snapshot that has nothing but its name. */
static snapshot_t *snapshot_begin(const builder_t *builder)
{
	snapshot_t *snapshot = calloc(1, sizeof(*snapshot) + builder->apex_len);
	if (snapshot != NULL) {
		snapshot->refs = 1;
		snapshot->apex_len = builder->apex_len;
		memcpy(snapshot->apex, builder->apex, builder->apex_len);
	}
	return snapshot;
}

static int tries_settle(builder_t *builder)
{
	int ret = KNOT_EOK;
	for (unsigned i = 0; i < NODE_TRIES && ret == KNOT_EOK; i++) {
		ret = qp_txn_settle(&builder->trie[i]);
	}
	return ret;
}

int builder_finish(builder_t *builder, snapshot_t **ret_snapshot)
{
	int ret = owner_end(builder);
	if (ret == KNOT_EOK) {
		ret = tries_settle(builder);
	}
	if (ret == KNOT_EOK) {
		ret = aside_merge(builder);
	}
	if (ret != KNOT_EOK) {
		return ret;
	}

	snapshot_t *snapshot = snapshot_begin(builder);
	if (snapshot == NULL) {
		return KNOT_ENOMEM;
	}
	qp_t *names = &builder->trie[NODE_NAMES].qp;
	names->base = arena_base(builder->arena);
	ret = node_maker_read_apex(&builder->maker, names, snapshot);
	if (ret != KNOT_EOK) {
		free(snapshot);
		return ret;
	}
	assert(builder->scrap.count == 0);
	snapshot_fill(builder, snapshot);
	builder_free(builder);
	*ret_snapshot = snapshot;
	return KNOT_EOK;
}

const char *builder_error(const builder_t *builder)
{
	return builder->maker.error;
}

void builder_progress(const builder_t *builder, uint64_t *ret_records, uint64_t *ret_octets)
{
	*ret_records = builder->taken_records;
	*ret_octets = builder->taken_octets;
}

void builder_free(builder_t *builder)
{
	if (builder == NULL) {
		return;
	}

	for (unsigned i = 0; i < NODE_TRIES; i++) {
		qp_txn_clear(&builder->trie[i]);
	}
	scrap_clear(&builder->scrap);
	arena_release(builder->arena);
	node_maker_clear(&builder->maker);
	buffer_clear(&builder->aside);
	buffer_clear(&builder->soa);
	free(builder);
}
