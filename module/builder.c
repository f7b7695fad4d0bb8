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
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/builder.h"
#include "secondary/nsec3.h"
#include "secondary/wire.h"

/*! First size of the scratch buffers: most zones are small, and there may be thousands of loads a minute. */
#define SCRATCH_MIN        1024
/*! Octets of one owner's RDATA, duplicates included, that are held before they are written: bounds the scratch. */
#define OWNER_OCTETS_MAX   (256u << 20)
/*! The same for its records (64 MiB of descriptions). */
#define OWNER_RECORDS_MAX  (4u << 20)
#define OWNER_RRSETS_MAX   255
#define RRSET_RECORDS_MAX  UINT16_MAX

/*! Octets of a record beside its owner and RDATA. */
#define RECORD_FIXED       10
/*! Octets of the integers in SOA RDATA, which end it. */
#define SOA_FIXED          20
/*! Octets of the two names before them, at least. */
#define SOA_NAMES_MIN      2
/*! Octets of a node's RRset before its items, and more of them when it is signed. */
#define RRSET_HEAD         12
#define RRSET_SIG_HEAD     10

#define ERROR_MAX          (KNOT_DNAME_TXT_MAXLEN + 128)

enum { TRIE_NAMES, TRIE_NSEC3, TRIES };

/*! Growing memory. */
typedef struct {
	uint8_t *at;
	size_t size;
	size_t capacity;
} buffer_t;

/*! A record of the current owner. */
typedef struct {
	uint32_t key;             /*!< Its place in the node: trie, type of the RRset, signatures last; see record_key(). */
	uint32_t ttl;
	uint32_t at;              /*!< Where its RDATA is in the scratch buffer. */
	uint16_t len;
} record_t;

#define KEY_SIG   1u
#define KEY_NSEC3 (1u << 17)

/*! What a node is about to change in the zone's sums. */
typedef struct {
	uint64_t records;
	uint64_t octets;
	uint16_t tag;
} sums_t;

struct builder {
	arena_t *arena;
	qp_txn_t trie[TRIES];
	scrap_list_t scrap;             /* Stays empty in a zone from nothing. */
	builder_limits_t limits;

	uint8_t owner[WIRE_NAME_MAX];   /* The current owner; none when owner_len is 0. */
	size_t owner_len;
	size_t apex_len;
	uint8_t apex[WIRE_NAME_MAX];

	buffer_t record;                /* Of record_t. */
	buffer_t rdata;
	buffer_t node;                  /* The node being written. */
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

	wire_keeper_t keeper;
	char error[ERROR_MAX];
};

/* Scratch */

static int buffer_reserve(buffer_t *buffer, size_t more)
{
	size_t need = buffer->size + more;
	if (need <= buffer->capacity) {
		return KNOT_EOK;
	}

	size_t capacity = buffer->capacity > 0 ? 2 * buffer->capacity : SCRATCH_MIN;
	capacity = capacity > need ? capacity : need;
	uint8_t *at = realloc(buffer->at, capacity);
	if (at == NULL) {
		return KNOT_ENOMEM;
	}
	buffer->at = at;
	buffer->capacity = capacity;
	return KNOT_EOK;
}

static void *buffer_push(buffer_t *buffer, size_t size)
{
	assert(buffer->capacity - buffer->size >= size);
	void *at = buffer->at + buffer->size;
	buffer->size += size;
	return at;
}

static void buffer_put(buffer_t *buffer, const void *from, size_t size)
{
	if (size > 0) {
		memcpy(buffer_push(buffer, size), from, size);
	}
}

static void buffer_clear(buffer_t *buffer)
{
	free(buffer->at);
	*buffer = (buffer_t) { 0 };
}

static record_t *records(const builder_t *builder)
{
	return (record_t *)builder->record.at;
}

static size_t record_count(const builder_t *builder)
{
	return builder->record.size / sizeof(record_t);
}

/*! \brief Notes what is wrong at \a owner (NULL: with the zone) and returns \a code. */
static int fail(builder_t *builder, int code, const uint8_t *owner, const char *what)
{
	char name[KNOT_DNAME_TXT_MAXLEN + 1] = "";
	if (owner != NULL) {
		(void)knot_dname_to_str(name, owner, sizeof(name));
	}
	snprintf(builder->error, sizeof(builder->error), "%s%s%s", what, owner != NULL ? " at " : "", name);
	return code;
}

/* Records of one owner */

/*!
 * \brief Orders the records of an owner: RRsets by type, signatures behind what they cover, NSEC3 with its own behind all
 *        others, because it goes into another trie.
 */
static uint32_t record_key(uint16_t type, const uint8_t *rdata)
{
	uint32_t is_sig = type == KNOT_RRTYPE_RRSIG ? KEY_SIG : 0;
	uint16_t covered = is_sig ? rdata[0] << 8 | rdata[1] : type;
	return (covered == KNOT_RRTYPE_NSEC3 ? KEY_NSEC3 : 0) | (uint32_t)covered << 1 | is_sig;
}

static uint16_t key_type(uint32_t key)
{
	return key >> 1 & UINT16_MAX;
}

static unsigned key_trie(uint32_t key)
{
	return key & KEY_NSEC3 ? TRIE_NSEC3 : TRIE_NAMES;
}

static const uint8_t *record_rdata(const builder_t *builder, const record_t *record)
{
	return builder->rdata.at + record->at;
}

static int rdata_compare(const builder_t *builder, const record_t *a, const record_t *b)
{
	uint16_t type = a->key & KEY_SIG ? KNOT_RRTYPE_RRSIG : key_type(a->key);
	return wire_rdata_compare(type, record_rdata(builder, a), a->len, record_rdata(builder, b), b->len);
}

/*! \brief Canonical order; duplicates that differ in case have an order too, so that the first is always the same. */
static int record_compare(const void *a_void, const void *b_void, void *builder_void)
{
	const builder_t *builder = builder_void;
	const record_t *a = a_void;
	const record_t *b = b_void;
	if (a->key != b->key) {
		return a->key < b->key ? -1 : 1;
	}

	int diff = rdata_compare(builder, a, b);
	return diff != 0 ? diff : memcmp(record_rdata(builder, a), record_rdata(builder, b), a->len);
}

static void records_sort(builder_t *builder)
{
	record_t *record = records(builder);
	size_t count = record_count(builder);

	/* Mostly they come sorted. */
	size_t sorted = 1;
	while (sorted < count && record_compare(&record[sorted - 1], &record[sorted], builder) <= 0) {
		sorted++;
	}
	if (sorted < count) {
		qsort_r(record, count, sizeof(*record), record_compare, builder);
	}
}

static int record_add(builder_t *builder, uint16_t type, uint32_t ttl, const uint8_t *rdata, uint16_t len)
{
	if (builder->rdata.size + len > OWNER_OCTETS_MAX || record_count(builder) >= OWNER_RECORDS_MAX) {
		return fail(builder, KNOT_EZONESIZE, builder->owner, "too many records");
	}
	/* One octet more: RDATA may be empty, but it is somewhere. */
	if (buffer_reserve(&builder->record, sizeof(record_t)) != KNOT_EOK ||
	    buffer_reserve(&builder->rdata, len + 1) != KNOT_EOK) {
		return KNOT_ENOMEM;
	}

	record_t *record = buffer_push(&builder->record, sizeof(*record));
	*record = (record_t) {
		.key = record_key(type, rdata),
		.ttl = ttl,
		.at = builder->rdata.size,
		.len = len,
	};
	buffer_put(&builder->rdata, rdata, len);
	return KNOT_EOK;
}

static void owner_begin(builder_t *builder, const uint8_t *owner, size_t owner_len)
{
	memcpy(builder->owner, owner, owner_len);
	builder->owner_len = owner_len;
	builder->record.size = 0;
	builder->rdata.size = 0;
}

/* Writing a node */

static void put_u16(uint8_t *at, uint16_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void put_u32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

/*! Items of an RRset, or of its signatures. */
typedef struct {
	size_t count;
	size_t size;
	uint32_t ttl;
	bool has_owner_ref;
} items_t;

/*!
 * \brief Writes the \a count sorted records at \a record, less duplicates, as items.
 *
 * Finding duplicates again is cheaper than to move records.
 */
static int put_items(builder_t *builder, const record_t *record, size_t count, items_t *items, sums_t *sums)
{
	wire_keeper_t *keeper = NULL;
	uint16_t type = key_type(record->key);
	if (!(record->key & KEY_SIG) && wire_compresses(type)) {
		keeper = &builder->keeper;
		wire_keep_begin(keeper, type, count, builder->owner, builder->owner_len, builder->apex_len);
	}

	size_t begin = builder->node.size;
	*items = (items_t) { .ttl = UINT32_MAX };
	for (size_t i = 0; i < count; i++) {
		items->ttl = record[i].ttl < items->ttl ? record[i].ttl : items->ttl;
		if (i > 0 && rdata_compare(builder, &record[i - 1], &record[i]) == 0) {
			continue;
		}
		uint8_t *at = builder->node.at + builder->node.size;
		const uint8_t *rdata = record_rdata(builder, &record[i]);
		int len = record[i].len;
		if (keeper == NULL) {
			memcpy(at + 2, rdata, len);
		} else {
			len = wire_keep(keeper, rdata, len, at + 2);
			if (len < 0) {
				return fail(builder, len, builder->owner, "malformed record");
			}
		}
		put_u16(at, len);
		builder->node.size += 2 + len;
		items->count++;
		sums->octets += builder->owner_len + RECORD_FIXED + record[i].len;
	}

	items->size = builder->node.size - begin;
	items->has_owner_ref = keeper != NULL && keeper->has_owner_ref;
	sums->records += items->count;
	if (items->count > RRSET_RECORDS_MAX || items->size > RRSET_SIZE_MAX) {
		return fail(builder, KNOT_EZONESIZE, builder->owner, "RRset too large");
	}
	return KNOT_EOK;
}

/*! \brief What a look-up must know of an owner with an RRset of \a type. */
static uint16_t type_tag(const builder_t *builder, uint16_t type)
{
	switch (type) {
	case KNOT_RRTYPE_NS:    return builder->owner_len > builder->apex_len ? NODE_CUT : 0;
	case KNOT_RRTYPE_DNAME: return NODE_DNAME;
	case KNOT_RRTYPE_CNAME: return NODE_CNAME;
	case KNOT_RRTYPE_NSEC:  return NODE_NSEC;
	case KNOT_RRTYPE_DS:    return NODE_DS;
	default:                return 0;
	}
}

static bool may_stand_beside_cname(uint16_t type)
{
	return type == KNOT_RRTYPE_CNAME || type == KNOT_RRTYPE_NSEC || type == KNOT_RRTYPE_KEY;
}

static bool is_single(uint16_t type)
{
	return type == KNOT_RRTYPE_CNAME || type == KNOT_RRTYPE_DNAME;
}

/*! \brief Writes one RRset: \a count records and \a sig_count signatures, side by side at \a record. */
static int put_rrset(builder_t *builder, const record_t *record, size_t count, size_t sig_count, sums_t *sums)
{
	uint16_t type = key_type(record->key);
	size_t begin = builder->node.size;
	buffer_push(&builder->node, RRSET_HEAD + (sig_count > 0 ? RRSET_SIG_HEAD : 0));

	items_t items = { 0 };
	items_t sigs = { 0 };
	int ret = count > 0 ? put_items(builder, record, count, &items, sums) : KNOT_EOK;
	if (ret == KNOT_EOK && sig_count > 0) {
		ret = put_items(builder, record + count, sig_count, &sigs, sums);
	}
	if (ret != KNOT_EOK) {
		return ret;
	}
	if (items.count > 1 && is_single(type)) {
		return fail(builder, KNOT_EMALF, builder->owner,
		            type == KNOT_RRTYPE_CNAME ? "more than one CNAME" : "more than one DNAME");
	}

	uint32_t flags = (sig_count > 0 ? RRSET_SIGNED : 0) | (items.has_owner_ref ? RRSET_OWNER_REF : 0);
	uint8_t *head = builder->node.at + begin;
	put_u16(head, type);
	put_u16(head + 2, items.count);
	put_u32(head + 4, items.ttl);
	put_u32(head + 8, flags << 24 | items.size);
	if (sig_count > 0) {
		put_u16(head + 12, sigs.count);
		put_u32(head + 14, sigs.ttl);
		put_u32(head + 18, sigs.size);
	}
	sums->tag |= count > 0 ? type_tag(builder, type) : 0;
	return KNOT_EOK;
}

static size_t count_key(const record_t *record, size_t count, uint32_t key)
{
	size_t n = 0;
	while (n < count && record[n].key == key) {
		n++;
	}
	return n;
}

static int put_rrsets(builder_t *builder, const record_t *record, size_t count, sums_t *sums)
{
	size_t number_at = builder->node.size;
	buffer_push(&builder->node, 1);

	unsigned number = 0;
	bool has_other = false;
	while (count > 0) {
		uint32_t key = record->key & ~KEY_SIG;
		size_t plain = count_key(record, count, key);
		size_t sigs = count_key(record + plain, count - plain, key | KEY_SIG);
		if (++number > OWNER_RRSETS_MAX) {
			return fail(builder, KNOT_EZONESIZE, builder->owner, "too many RRsets");
		}
		int ret = put_rrset(builder, record, plain, sigs, sums);
		if (ret != KNOT_EOK) {
			return ret;
		}
		has_other |= plain > 0 && !may_stand_beside_cname(key_type(key));
		record += plain + sigs;
		count -= plain + sigs;
	}

	builder->node.at[number_at] = number;
	if (has_other && (sums->tag & NODE_CNAME)) {
		return fail(builder, KNOT_EMALF, builder->owner, "CNAME beside other data");
	}
	return KNOT_EOK;
}

/*! \brief Is one of the labels "*"? */
static bool has_asterisk(const uint8_t *labels, size_t len)
{
	for (size_t pos = 0; pos < len; pos += 1 + labels[pos]) {
		if (labels[pos] == 1 && labels[pos + 1] == '*') {
			return true;
		}
	}
	return false;
}

/*! \brief Writes the node of the current owner with the \a count sorted records at \a record into the scratch. */
static int node_write(builder_t *builder, const record_t *record, size_t count, sums_t *sums)
{
	builder->node.size = 0;
	int ret = buffer_reserve(&builder->node, 2 + WIRE_NAME_MAX + builder->rdata.size +
	                         count * (RRSET_HEAD + RRSET_SIG_HEAD + 2));
	if (ret != KNOT_EOK) {
		return ret;
	}

	size_t relative_len = builder->owner_len - builder->apex_len;
	*(uint8_t *)buffer_push(&builder->node, 1) = relative_len;
	buffer_put(&builder->node, builder->owner, relative_len);
	*sums = (sums_t) { .tag = has_asterisk(builder->owner, relative_len) ? NODE_ASTERISK : 0 };
	return put_rrsets(builder, record, count, sums);
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
	int ret = node_alloc(builder, builder->node.size, &ref);
	if (ret != KNOT_EOK) {
		return ret;
	}

	memcpy(arena_ptr(builder->arena, ref), builder->node.at, builder->node.size);
	*ret_ref = ref;
	return qp_txn_put(&builder->trie[trie], ref, tag, ret_old);
}

static void sums_add(builder_t *builder, const sums_t *sums)
{
	builder->records += sums->records;
	builder->octets += sums->octets;
}

/* Owners that come again */

/*! \brief Sets records of the current owner aside, each with its owner: trie, length and name first, to be sorted by. */
static int aside_write(builder_t *builder, const record_t *record, size_t count)
{
	buffer_t *aside = &builder->aside;
	for (size_t i = 0; i < count; i++, record++) {
		if (buffer_reserve(aside, 2 + builder->owner_len + sizeof(*record) + record->len) != KNOT_EOK) {
			return KNOT_ENOMEM;
		}
		uint8_t head[] = { key_trie(record->key), builder->owner_len };
		buffer_put(aside, head, sizeof(head));
		buffer_put(aside, builder->owner, builder->owner_len);
		buffer_put(aside, record, sizeof(*record));
		buffer_put(aside, record_rdata(builder, record), record->len);
	}
	builder->aside_count += count;
	return KNOT_EOK;
}

/*! \brief Reads a record that was set aside; returns the next one. */
static const uint8_t *aside_read(const uint8_t *entry, record_t *ret_record, const uint8_t **ret_rdata)
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
static int node_add(builder_t *builder, const record_t *record, size_t count)
{
	if (count == 0) {
		return KNOT_EOK;
	}

	sums_t sums;
	int ret = node_write(builder, record, count, &sums);
	if (ret != KNOT_EOK) {
		return ret;
	}

	unsigned trie = key_trie(record->key);
	arena_ref_t ref = 0;
	qp_leaf_t old = { 0 };
	ret = node_put(builder, trie, sums.tag, &ref, &old);
	if (ret != KNOT_EOK) {
		return ret;
	}
	if (old.ref == 0) {
		sums_add(builder, &sums);
		builder->wildcards += trie == TRIE_NAMES && (sums.tag & NODE_ASTERISK);
		return KNOT_EOK;
	}

	ret = qp_txn_put(&builder->trie[trie], old.ref, old.tag, NULL);
	if (ret == KNOT_EOK) {
		node_give_back(builder, ref, builder->node.size);
		ret = aside_write(builder, record, count);
	}
	return ret;
}

/*! \brief Writes the records of the current owner, if there are any. */
static int owner_end(builder_t *builder)
{
	if (builder->record.size == 0) {
		return KNOT_EOK;
	}

	records_sort(builder);
	const record_t *record = records(builder);
	size_t count = record_count(builder);
	size_t others = count;
	while (others > 0 && key_trie(record[others - 1].key) == TRIE_NSEC3) {
		others--;
	}

	int ret = node_add(builder, record, others);
	if (ret == KNOT_EOK) {
		ret = node_add(builder, record + others, count - others);
	}
	builder->record.size = 0;
	return ret;
}

/*! \brief Adds the items of a node as records of the current owner and takes them off the sums. */
static int items_load(builder_t *builder, const rrset_t *rrset, bool sigs)
{
	uint8_t full[UINT16_MAX];
	const uint8_t *item = sigs ? rrset->sigs : rrset->items;
	unsigned count = sigs ? rrset->sig_count : rrset->count;
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *rdata;
		uint16_t len;
		item = rrset_item(item, &rdata, &len);
		if (!sigs) {
			len = rrset_rdata_full(rrset, builder->owner, builder->owner_len, rdata, len, full);
			rdata = full;
		}
		int ret = record_add(builder, sigs ? KNOT_RRTYPE_RRSIG : rrset->type,
		                     sigs ? rrset->sig_ttl : rrset->ttl, rdata, len);
		if (ret != KNOT_EOK) {
			return ret;
		}
		builder->records--;
		builder->octets -= builder->owner_len + RECORD_FIXED + len;
	}
	return KNOT_EOK;
}

static int node_load(builder_t *builder, arena_ref_t ref)
{
	rrset_iter_t iter = rrset_begin(arena_base(builder->arena), ref);
	rrset_t rrset;
	while (rrset_next(&iter, &rrset)) {
		int ret = items_load(builder, &rrset, false);
		if (ret == KNOT_EOK) {
			ret = items_load(builder, &rrset, true);
		}
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	return KNOT_EOK;
}

/*! \brief Adds the \a count records set aside at \a entry to those of the current owner. */
static int aside_load(builder_t *builder, const uint8_t *const *entry, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		record_t record;
		const uint8_t *rdata;
		aside_read(entry[i], &record, &rdata);
		uint16_t type = record.key & KEY_SIG ? KNOT_RRTYPE_RRSIG : key_type(record.key);
		int ret = record_add(builder, type, record.ttl, rdata, record.len);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	return KNOT_EOK;
}

/*! \brief Writes the records of the current owner, whose node they replace, into \a trie. */
static int node_replace(builder_t *builder, unsigned trie)
{
	records_sort(builder);
	sums_t sums;
	int ret = node_write(builder, records(builder), record_count(builder), &sums);
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
	qp_key(&key, builder->owner, builder->owner_len - builder->apex_len);
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
		record_t record;
		const uint8_t *rdata;
		entry[i] = pos;
		pos = aside_read(pos, &record, &rdata);
	}
	qsort(entry, builder->aside_count, sizeof(*entry), aside_compare);

	for (size_t i = 0, next; i < builder->aside_count; i = next) {
		for (next = i + 1; next < builder->aside_count && aside_compare(&entry[i], &entry[next]) == 0; ) {
			next++;
		}
		owner_begin(builder, entry[i] + 2, entry[i][1]);
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
	builder->record.size = 0;
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
	memcpy(builder->apex, apex, builder->apex_len);
	wire_name_lower(builder->apex, builder->apex_len);
	builder->arena = arena_new(limits->size_hint);
	if (builder->arena == NULL) {
		free(builder);
		return NULL;
	}
	for (unsigned i = 0; i < TRIES; i++) {
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
	if (rdlen < SOA_NAMES_MIN + SOA_FIXED) {
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
		owner_begin(builder, owner, owner_len);
	}
	return ret;
}

int builder_add(builder_t *builder, const uint8_t *owner, size_t owner_len, uint16_t type, uint32_t ttl,
                const uint8_t *rdata, uint16_t rdlen)
{
	int ret = KNOT_EOK;
	if (owner_len != builder->owner_len || memcmp(owner, builder->owner, owner_len) != 0) {
		ret = owner_change(builder, owner, owner_len);
	}
	if (ret == KNOT_EOK && type == KNOT_RRTYPE_SOA) {
		ret = soa_check(builder, owner, owner_len, rdata, rdlen);
	}
	if (ret != KNOT_EOK) {
		return ret;
	}
	if (type == KNOT_RRTYPE_RRSIG && rdlen < 2) {
		return fail(builder, KNOT_EMALF, owner, "malformed record");
	}

	builder->taken_records++;
	builder->taken_octets += owner_len + RECORD_FIXED + rdlen;
	if (builder->limits.max_octets > 0 && builder->taken_octets > builder->limits.max_octets) {
		return fail(builder, KNOT_EZONESIZE, NULL, "zone too large");
	}
	return record_add(builder, type, ttl, rdata, rdlen);
}

static soa_t soa_read(const rrset_t *rrset)
{
	const uint8_t *fixed = rrset->items + rrset->size - SOA_FIXED;
	return (soa_t) {
		.serial = knot_wire_read_u32(fixed),
		.refresh = knot_wire_read_u32(fixed + 4),
		.retry = knot_wire_read_u32(fixed + 8),
		.expire = knot_wire_read_u32(fixed + 12),
		.minimum = knot_wire_read_u32(fixed + 16),
		.ttl = rrset->ttl,
	};
}

/*! \brief Finds the apex, checks what every zone has there, and reads its SOA. */
static int apex_check(builder_t *builder, arena_ref_t *ret_ref, soa_t *ret_soa)
{
	qp_key_t key;
	qp_key(&key, builder->apex, 0);
	qp_leaf_t apex = qp_get(&builder->trie[TRIE_NAMES].qp, &key);
	arena_base_t base = arena_base(builder->arena);
	rrset_t soa, ns;
	if (apex.ref == 0 || !rrset_find(base, apex.ref, KNOT_RRTYPE_SOA, &soa)) {
		return fail(builder, KNOT_EMALF, NULL, "no SOA at the zone apex");
	}
	if (!rrset_find(base, apex.ref, KNOT_RRTYPE_NS, &ns)) {
		return fail(builder, KNOT_EMALF, NULL, "no NS at the zone apex");
	}
	if (soa.size < 2 + SOA_NAMES_MIN + SOA_FIXED) {
		return fail(builder, KNOT_EMALF, builder->apex, "malformed record");
	}
	*ret_ref = apex.ref;
	*ret_soa = soa_read(&soa);
	return KNOT_EOK;
}

/*! \brief Has the zone signatures? As for knotd, the SOA's tell. */
static bool is_signed(arena_base_t base, arena_ref_t apex)
{
	rrset_t soa;
	return rrset_find(base, apex, KNOT_RRTYPE_SOA, &soa) && (soa.flags & RRSET_SIGNED);
}

/*! \brief Makes the tries those of the snapshot and seals them. Before that, names get their notes. */
static void tries_end(builder_t *builder, snapshot_t *snapshot)
{
	qp_txn_t *names = &builder->trie[TRIE_NAMES];
	qp_txn_t *nsec3 = &builder->trie[TRIE_NSEC3];
	snapshot->names = names->qp;
	snapshot->nsec3 = nsec3->qp;
	nsec3_choose(snapshot);
	nsec3_keep(snapshot, names);
	qp_txn_commit(names, &snapshot->names);
	qp_txn_commit(nsec3, &snapshot->nsec3);
	arena_seal(builder->arena);
}

/*! \brief Fills the snapshot, which takes the arena, sealed. Cannot fail. */
static void snapshot_fill(builder_t *builder, snapshot_t *snapshot, arena_ref_t apex, const soa_t *soa)
{
	spare_drop(builder);
	arena_trim(builder->arena); /* moves: from here on there are pointers into it */

	arena_base_t base = arena_base(builder->arena);
	for (unsigned i = 0; i < TRIES; i++) {
		builder->trie[i].qp.base = base;
	}
	snapshot->refs = 1;
	snapshot->arena = builder->arena;
	snapshot->apex_node = apex;
	snapshot->soa = *soa;
	snapshot->records = builder->records;
	snapshot->octets = builder->octets;
	snapshot->wildcards = builder->wildcards;
	snapshot->is_signed = is_signed(base, apex);
	snapshot->apex_len = builder->apex_len;
	memcpy(snapshot->apex, builder->apex, builder->apex_len);
	rrset_t nsec;
	snapshot->has_nsec = rrset_find(base, apex, KNOT_RRTYPE_NSEC, &nsec);
	tries_end(builder, snapshot);
	builder->arena = NULL;
}

int builder_finish(builder_t *builder, snapshot_t **ret_snapshot)
{
	arena_ref_t apex = 0;
	soa_t soa = { 0 };
	int ret = owner_end(builder);
	if (ret == KNOT_EOK) {
		ret = aside_merge(builder);
	}
	if (ret == KNOT_EOK) {
		ret = apex_check(builder, &apex, &soa);
	}
	if (ret != KNOT_EOK) {
		return ret;
	}

	snapshot_t *snapshot = calloc(1, sizeof(*snapshot) + builder->apex_len);
	if (snapshot == NULL) {
		return KNOT_ENOMEM;
	}
	assert(builder->scrap.count == 0);
	snapshot_fill(builder, snapshot, apex, &soa);
	builder_free(builder);
	*ret_snapshot = snapshot;
	return KNOT_EOK;
}

const char *builder_error(const builder_t *builder)
{
	return builder->error;
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

	for (unsigned i = 0; i < TRIES; i++) {
		qp_txn_clear(&builder->trie[i]);
	}
	scrap_clear(&builder->scrap);
	arena_release(builder->arena);
	buffer_clear(&builder->record);
	buffer_clear(&builder->rdata);
	buffer_clear(&builder->node);
	buffer_clear(&builder->aside);
	buffer_clear(&builder->soa);
	free(builder);
}
