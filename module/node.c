/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Records into nodes, and back: see secondary/node.h.
 *
 * The records of an owner wait in two pieces of scratch memory (descriptions, RDATA), are sorted, and are written to a third.
 * Changes are sorted alone, and meet the records that are there in one pass, so that a change in a large RRset costs
 * its length, and in one beside it nothing.
 */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/node.h"

/*! Octets of one owner's RDATA, duplicates included, that are held before they are written: bounds the scratch. */
#define OWNER_OCTETS_MAX   (256u << 20)
/*! The same for its records (64 MiB of descriptions). */
#define OWNER_RECORDS_MAX  (4u << 20)
#define OWNER_RRSETS_MAX   255
#define RRSET_RECORDS_MAX  UINT16_MAX

/*! Octets of the integers in SOA RDATA, which end it. */
#define SOA_FIXED          20
/*! Octets of the two names before them, at least. */
#define SOA_NAMES_MIN      2
/*! Octets of a node's RRset before its items, and more of them when it is signed. */
#define RRSET_HEAD         12
#define RRSET_SIG_HEAD     10

#define KEY_SIG            1u
#define KEY_NSEC3          (1u << 17)
#define KEY_SOA            ((uint32_t)KNOT_RRTYPE_SOA << 1)

/*! An RRset of the node that changes, which no change touches. Borrowed. */
typedef struct {
	const uint8_t *at;
	uint32_t size;
	uint16_t type;
	bool has_records;         /*!< Not only signatures. */
} kept_t;

void node_maker_clear(node_maker_t *maker)
{
	buffer_clear(&maker->record);
	buffer_clear(&maker->rdata);
	buffer_clear(&maker->merged);
	buffer_clear(&maker->kept);
	buffer_clear(&maker->node);
}

int node_maker_fail(node_maker_t *maker, int code, const uint8_t *owner, const char *what)
{
	char name[KNOT_DNAME_TXT_MAXLEN + 1] = "";
	if (owner != NULL) {
		(void)knot_dname_to_str(name, owner, sizeof(name));
	}
	snprintf(maker->error, sizeof(maker->error), "%s%s%s", what, owner != NULL ? " at " : "", name);
	return code;
}

/* ---- Records of one owner ---- */

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

/*! \brief The type of the RRset that a record belongs to, or that it signs. */
static uint16_t key_type(uint32_t key)
{
	return key >> 1 & UINT16_MAX;
}

node_trie_t node_trie(uint16_t type, const uint8_t *rdata)
{
	return record_key(type, rdata) & KEY_NSEC3 ? NODE_NSEC3 : NODE_NAMES;
}

node_trie_t node_record_trie(const node_record_t *record)
{
	return record->key & KEY_NSEC3 ? NODE_NSEC3 : NODE_NAMES;
}

uint16_t node_record_type(const node_record_t *record)
{
	return record->key & KEY_SIG ? KNOT_RRTYPE_RRSIG : key_type(record->key);
}

static node_record_t *records(const node_maker_t *maker)
{
	return (node_record_t *)(void *)maker->record.at;
}

static size_t record_count(const node_maker_t *maker)
{
	return maker->record.size / sizeof(node_record_t);
}

static int rdata_compare(const node_maker_t *maker, const node_record_t *a, const node_record_t *b)
{
	return wire_rdata_compare(node_record_type(a), node_maker_rdata(maker, a), a->len, node_maker_rdata(maker, b), b->len);
}

/*! \brief Canonical order. */
static int record_compare(const node_maker_t *maker, const node_record_t *a, const node_record_t *b)
{
	if (a->key != b->key) {
		return a->key < b->key ? -1 : 1;
	}
	return rdata_compare(maker, a, b);
}

/*! \brief Duplicates that differ in case have an order too, so that the first is always the same. */
static int sort_compare(const void *a_void, const void *b_void, void *maker_void)
{
	const node_maker_t *maker = maker_void;
	const node_record_t *a = a_void;
	const node_record_t *b = b_void;
	int diff = record_compare(maker, a, b);
	return diff != 0 ? diff : memcmp(node_maker_rdata(maker, a), node_maker_rdata(maker, b), a->len);
}

/*! \brief Changes of the same record stay in their order. */
static int change_compare(const void *a_void, const void *b_void, void *maker_void)
{
	const node_record_t *a = a_void;
	const node_record_t *b = b_void;
	int diff = record_compare(maker_void, a, b);
	return diff != 0 ? diff : (a->at > b->at) - (a->at < b->at);
}

static void sort_records(node_maker_t *maker, int (*compare)(const void *a, const void *b, void *maker))
{
	node_record_t *record = records(maker);
	size_t count = record_count(maker);

	/* Mostly they come sorted. */
	size_t sorted = 1;
	while (sorted < count && compare(&record[sorted - 1], &record[sorted], maker) <= 0) {
		sorted++;
	}
	if (sorted < count) {
		qsort_r(record, count, sizeof(*record), compare, maker);
	}
}

void node_maker_begin(node_maker_t *maker, const uint8_t *owner, size_t owner_len)
{
	memcpy(maker->owner, owner, owner_len);
	maker->owner_len = owner_len;
	maker->record.size = 0;
	maker->rdata.size = 0;
	maker->kept.size = 0;
}

int node_maker_add(node_maker_t *maker, uint16_t type, uint32_t ttl, const uint8_t *rdata, uint16_t len,
                   node_change_t change)
{
	if (type == KNOT_RRTYPE_RRSIG && len < 2) {
		return node_maker_fail(maker, KNOT_EMALF, maker->owner, "malformed record");
	}
	if (maker->rdata.size + len > OWNER_OCTETS_MAX || record_count(maker) >= OWNER_RECORDS_MAX) {
		return node_maker_fail(maker, KNOT_EZONESIZE, maker->owner, "too many records");
	}
	/* One octet more where RDATA is empty: it is somewhere, and no other record is there. */
	if (buffer_reserve(&maker->record, sizeof(node_record_t)) != KNOT_EOK ||
	    buffer_reserve(&maker->rdata, len + 1) != KNOT_EOK) {
		return KNOT_ENOMEM;
	}

	node_record_t *record = buffer_push(&maker->record, sizeof(*record));
	*record = (node_record_t) {
		.key = record_key(type, rdata),
		.ttl = ttl,
		.at = maker->rdata.size,
		.len = len,
		.change = change,
	};
	buffer_put(&maker->rdata, rdata, len);
	maker->rdata.size += len == 0;
	return KNOT_EOK;
}

size_t node_maker_sort(node_maker_t *maker)
{
	sort_records(maker, sort_compare);
	const node_record_t *record = records(maker);
	size_t names = record_count(maker);
	while (names > 0 && node_record_trie(&record[names - 1]) == NODE_NSEC3) {
		names--;
	}
	return names;
}

/* ---- From a node ---- */

/*! \brief Adds the items of an RRset, or of its signatures, as records of the current owner. */
static int load_items(node_maker_t *maker, const rrset_t *rrset, bool is_sigs, node_sums_t *sums)
{
	uint8_t full[UINT16_MAX];
	const uint8_t *item = is_sigs ? rrset->sigs : rrset->items;
	unsigned count = is_sigs ? rrset->sig_count : rrset->count;
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *rdata;
		uint16_t len;
		item = rrset_item(item, &rdata, &len);
		if (!is_sigs && wire_compresses(rrset->type)) {
			len = rrset_rdata_full(rrset, maker->owner, maker->owner_len, rdata, len, full);
			rdata = full;
		}
		int ret = node_maker_add(maker, is_sigs ? KNOT_RRTYPE_RRSIG : rrset->type,
		                         is_sigs ? rrset->sig_ttl : rrset->ttl, rdata, len, NODE_IS);
		if (ret != KNOT_EOK) {
			return ret;
		}
		sums->records++;
		sums->octets += maker->owner_len + NODE_RECORD_FIXED + len;
	}
	return KNOT_EOK;
}

static int load_rrset(node_maker_t *maker, const rrset_t *rrset, node_sums_t *sums)
{
	int ret = load_items(maker, rrset, false, sums);
	return ret == KNOT_EOK ? load_items(maker, rrset, true, sums) : ret;
}

int node_maker_load(node_maker_t *maker, arena_base_t base, arena_ref_t ref, node_sums_t *ret_sums)
{
	rrset_iter_t iter = rrset_begin(base, ref);
	rrset_t rrset;
	int ret = KNOT_EOK;
	*ret_sums = (node_sums_t) { 0 };
	while (ret == KNOT_EOK && rrset_next(&iter, &rrset)) {
		ret = load_rrset(maker, &rrset, ret_sums);
	}
	return ret;
}

/* ---- Changes ---- */

/*! \brief Does one of the \a count sorted changes touch an RRset of \a type? \a at goes on from one type to the next. */
static bool is_touched(const node_record_t *change, size_t count, size_t *at, uint16_t type)
{
	while (*at < count && key_type(change[*at].key) < type) {
		(*at)++;
	}
	return *at < count && key_type(change[*at].key) == type;
}

static int keep_rrset(node_maker_t *maker, const uint8_t *at, const rrset_t *rrset)
{
	int ret = buffer_reserve(&maker->kept, sizeof(kept_t));
	if (ret == KNOT_EOK) {
		*(kept_t *)buffer_push(&maker->kept, sizeof(kept_t)) = (kept_t) {
			.at = at,
			.size = rrset->sigs + rrset->sig_size - at,
			.type = rrset->type,
			.has_records = rrset->count > 0,
		};
	}
	return ret;
}

/*! \brief Loads the RRsets that one of the first \a count records, the changes, touches; notes all others. */
static int load_touched(node_maker_t *maker, size_t count, arena_base_t base, arena_ref_t ref, node_sums_t *sums)
{
	rrset_iter_t iter = rrset_begin(base, ref);
	rrset_t rrset;
	size_t at = 0;
	int ret = KNOT_EOK;
	for (const uint8_t *pos = iter.pos; ret == KNOT_EOK && rrset_next(&iter, &rrset); pos = iter.pos) {
		ret = is_touched(records(maker), count, &at, rrset.type) ? load_rrset(maker, &rrset, sums)
		                                                         : keep_rrset(maker, pos, &rrset);
	}
	return ret;
}

/*! \brief Merges the first \a changes records with those behind them, both sorted; what is there comes before its changes. */
static int merge_records(node_maker_t *maker, size_t changes)
{
	size_t count = record_count(maker);
	maker->merged.size = 0;
	int ret = buffer_reserve(&maker->merged, count * sizeof(node_record_t));
	if (ret != KNOT_EOK) {
		return ret;
	}

	const node_record_t *change = records(maker);
	const node_record_t *is = change + changes;
	size_t left = count - changes;
	while (left > 0 || changes > 0) {
		bool is_next = left > 0 && (changes == 0 || record_compare(maker, is, change) <= 0);
		buffer_put(&maker->merged, is_next ? is : change, sizeof(*is));
		is += is_next;
		left -= is_next;
		change += !is_next;
		changes -= !is_next;
	}
	return KNOT_EOK;
}

/*! \brief Makes one change of the record that is \a present (NULL: not there). */
static int make_change(node_maker_t *maker, const node_record_t *change, const node_record_t **present)
{
	bool is_soa = change->key == KEY_SOA;
	if (change->change == NODE_REMOVE) {
		if (*present == NULL) {
			return node_maker_fail(maker, KNOT_ENOENT, maker->owner, "removed record is not there");
		}
		*present = NULL;
		return KNOT_EOK;
	}
	if (*present != NULL && !is_soa) {
		return node_maker_fail(maker, KNOT_ENOENT, maker->owner, "added record is there already");
	}
	/* Whatever SOA is there, the one that is added replaces it. */
	if (*present == NULL || change->change == NODE_ADD) {
		*present = change;
	}
	return KNOT_EOK;
}

/*! \brief Are these what becomes of one record? Of a SOA there is one. */
static bool is_same_record(const node_maker_t *maker, const node_record_t *a, const node_record_t *b)
{
	return a->key == b->key && (a->key == KEY_SOA || rdata_compare(maker, a, b) == 0);
}

/*! \brief Lets the changes among the merged records happen; what is left of them are the maker's records. */
static int make_changes(node_maker_t *maker)
{
	const node_record_t *record = (const node_record_t *)(void *)maker->merged.at;
	const node_record_t *end = record + maker->merged.size / sizeof(*record);
	maker->record.size = 0;
	while (record < end) {
		const node_record_t *first = record;
		const node_record_t *present = NULL;
		for (; record < end && is_same_record(maker, first, record); record++) {
			int ret = make_change(maker, record, &present);
			if (ret != KNOT_EOK) {
				return ret;
			}
		}
		if (present != NULL) {
			buffer_put(&maker->record, present, sizeof(*present));
		}
	}
	return KNOT_EOK;
}

int node_maker_apply(node_maker_t *maker, arena_base_t base, arena_ref_t ref, node_sums_t *ret_sums)
{
	size_t changes = record_count(maker);
	sort_records(maker, change_compare);
	*ret_sums = (node_sums_t) { 0 };
	int ret = ref != 0 ? load_touched(maker, changes, base, ref, ret_sums) : KNOT_EOK;
	if (ret == KNOT_EOK) {
		ret = merge_records(maker, changes);
	}
	return ret == KNOT_EOK ? make_changes(maker) : ret;
}

bool node_maker_is_empty(const node_maker_t *maker)
{
	return maker->record.size == 0 && maker->kept.size == 0;
}

/* ---- Writing ---- */

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
static int put_items(node_maker_t *maker, const node_record_t *record, size_t count, items_t *items, node_sums_t *sums)
{
	wire_keeper_t *keeper = NULL;
	uint16_t type = key_type(record->key);
	if (!(record->key & KEY_SIG) && wire_compresses(type)) {
		keeper = &maker->keeper;
		wire_keep_begin(keeper, type, count, maker->owner, maker->owner_len, maker->apex_len);
	}

	size_t begin = maker->node.size;
	*items = (items_t) { .ttl = UINT32_MAX };
	for (size_t i = 0; i < count; i++) {
		items->ttl = record[i].ttl < items->ttl ? record[i].ttl : items->ttl;
		if (i > 0 && rdata_compare(maker, &record[i - 1], &record[i]) == 0) {
			continue;
		}
		uint8_t *at = maker->node.at + maker->node.size;
		const uint8_t *rdata = node_maker_rdata(maker, &record[i]);
		int len = record[i].len;
		if (keeper == NULL) {
			memcpy(at + 2, rdata, len);
		} else {
			len = wire_keep(keeper, rdata, len, at + 2);
			if (len < 0) {
				return node_maker_fail(maker, len, maker->owner, "malformed record");
			}
		}
		put_u16(at, len);
		maker->node.size += 2 + len;
		items->count++;
		sums->octets += maker->owner_len + NODE_RECORD_FIXED + record[i].len;
	}

	items->size = maker->node.size - begin;
	items->has_owner_ref = keeper != NULL && keeper->has_owner_ref;
	sums->records += items->count;
	if (items->count > RRSET_RECORDS_MAX || items->size > RRSET_SIZE_MAX) {
		return node_maker_fail(maker, KNOT_EZONESIZE, maker->owner, "RRset too large");
	}
	return KNOT_EOK;
}

/*! \brief What a look-up must know of an owner with an RRset of \a type. */
static uint16_t type_tag(const node_maker_t *maker, uint16_t type)
{
	switch (type) {
	case KNOT_RRTYPE_NS:    return maker->owner_len > maker->apex_len ? NODE_CUT : 0;
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
static int put_rrset(node_maker_t *maker, const node_record_t *record, size_t count, size_t sig_count,
                     node_sums_t *sums)
{
	uint16_t type = key_type(record->key);
	size_t begin = maker->node.size;
	buffer_push(&maker->node, RRSET_HEAD + (sig_count > 0 ? RRSET_SIG_HEAD : 0));

	items_t items = { 0 };
	items_t sigs = { 0 };
	int ret = count > 0 ? put_items(maker, record, count, &items, sums) : KNOT_EOK;
	if (ret == KNOT_EOK && sig_count > 0) {
		ret = put_items(maker, record + count, sig_count, &sigs, sums);
	}
	if (ret != KNOT_EOK) {
		return ret;
	}
	if (items.count > 1 && is_single(type)) {
		return node_maker_fail(maker, KNOT_EMALF, maker->owner,
		                       type == KNOT_RRTYPE_CNAME ? "more than one CNAME" : "more than one DNAME");
	}

	uint32_t flags = (sig_count > 0 ? RRSET_SIGNED : 0) | (items.has_owner_ref ? RRSET_OWNER_REF : 0);
	uint8_t *head = maker->node.at + begin;
	put_u16(head, type);
	put_u16(head + 2, items.count);
	put_u32(head + 4, items.ttl);
	put_u32(head + 8, flags << 24 | items.size);
	if (sig_count > 0) {
		put_u16(head + 12, sigs.count);
		put_u32(head + 14, sigs.ttl);
		put_u32(head + 18, sigs.size);
	}
	return KNOT_EOK;
}

static size_t count_key(const node_record_t *record, size_t count, uint32_t key)
{
	size_t n = 0;
	while (n < count && record[n].key == key) {
		n++;
	}
	return n;
}

/*! The RRsets of a node while they are written. */
typedef struct {
	unsigned count;
	bool has_other;           /*!< One that must not stand beside a CNAME. */
	const kept_t *kept;       /*!< The next one that no change touched, up to \a kept_end. */
	const kept_t *kept_end;
} rrsets_t;

/*! \brief Counts an RRset that was written; \a has_records: not only signatures. */
static int rrsets_count(node_maker_t *maker, rrsets_t *rrsets, uint16_t type, bool has_records, node_sums_t *sums)
{
	if (has_records) {
		sums->tag |= type_tag(maker, type);
		rrsets->has_other |= !may_stand_beside_cname(type);
	}
	if (++rrsets->count > OWNER_RRSETS_MAX) {
		return node_maker_fail(maker, KNOT_EZONESIZE, maker->owner, "too many RRsets");
	}
	return KNOT_EOK;
}

/*! \brief Copies the RRsets that no change touched, as far as they come before \a type. */
static int put_kept(node_maker_t *maker, rrsets_t *rrsets, uint32_t type, node_sums_t *sums)
{
	int ret = KNOT_EOK;
	for (; ret == KNOT_EOK && rrsets->kept < rrsets->kept_end && rrsets->kept->type < type; rrsets->kept++) {
		buffer_put(&maker->node, rrsets->kept->at, rrsets->kept->size);
		ret = rrsets_count(maker, rrsets, rrsets->kept->type, rrsets->kept->has_records, sums);
	}
	return ret;
}

static int put_rrsets(node_maker_t *maker, rrsets_t *rrsets, const node_record_t *record, size_t count,
                      node_sums_t *sums)
{
	while (count > 0) {
		uint32_t key = record->key & ~KEY_SIG;
		size_t plain = count_key(record, count, key);
		size_t sigs = count_key(record + plain, count - plain, key | KEY_SIG);
		int ret = put_kept(maker, rrsets, key_type(key), sums);
		if (ret == KNOT_EOK) {
			ret = rrsets_count(maker, rrsets, key_type(key), plain > 0, sums);
		}
		if (ret == KNOT_EOK) {
			ret = put_rrset(maker, record, plain, sigs, sums);
		}
		if (ret != KNOT_EOK) {
			return ret;
		}
		record += plain + sigs;
		count -= plain + sigs;
	}
	return put_kept(maker, rrsets, UINT16_MAX + 1, sums);
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

static rrsets_t rrsets_begin(const node_maker_t *maker)
{
	const kept_t *kept = (const kept_t *)(void *)maker->kept.at;
	return (rrsets_t) { .kept = kept, .kept_end = kept + maker->kept.size / sizeof(*kept) };
}

/*! \brief Octets that a node may take at most. */
static size_t node_bound(const node_maker_t *maker, size_t count)
{
	size_t bound = 2 + WIRE_NAME_MAX + maker->rdata.size + count * (RRSET_HEAD + RRSET_SIG_HEAD + 2);
	const rrsets_t rrsets = rrsets_begin(maker);
	for (const kept_t *kept = rrsets.kept; kept < rrsets.kept_end; kept++) {
		bound += kept->size;
	}
	return bound;
}

int node_maker_write(node_maker_t *maker, const node_record_t *record, size_t count, node_sums_t *ret_sums)
{
	maker->node.size = 0;
	int ret = buffer_reserve(&maker->node, node_bound(maker, count));
	if (ret != KNOT_EOK) {
		return ret;
	}

	size_t relative_len = maker->owner_len - maker->apex_len;
	*(uint8_t *)buffer_push(&maker->node, 1) = relative_len;
	buffer_put(&maker->node, maker->owner, relative_len);
	size_t number_at = maker->node.size;
	buffer_push(&maker->node, 1);

	rrsets_t rrsets = rrsets_begin(maker);
	*ret_sums = (node_sums_t) { .tag = has_asterisk(maker->owner, relative_len) ? NODE_ASTERISK : 0 };
	ret = put_rrsets(maker, &rrsets, record, count, ret_sums);
	if (ret == KNOT_EOK && rrsets.has_other && (ret_sums->tag & NODE_CNAME)) {
		ret = node_maker_fail(maker, KNOT_EMALF, maker->owner, "CNAME beside other data");
	}
	maker->node.at[number_at] = rrsets.count;
	return ret;
}

/* ---- The apex ---- */

static soa_t read_soa(const rrset_t *rrset)
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

int node_maker_read_apex(node_maker_t *maker, const qp_t *names, snapshot_t *snapshot)
{
	qp_key_t key;
	qp_key(&key, (const uint8_t *)"", 0);
	arena_ref_t apex = qp_get(names, &key).ref;
	rrset_t soa, other;
	if (apex == 0 || !rrset_find(names->base, apex, KNOT_RRTYPE_SOA, &soa)) {
		return node_maker_fail(maker, KNOT_EMALF, NULL, "no SOA at the zone apex");
	}
	if (!rrset_find(names->base, apex, KNOT_RRTYPE_NS, &other)) {
		return node_maker_fail(maker, KNOT_EMALF, NULL, "no NS at the zone apex");
	}
	if (soa.size < 2 + SOA_NAMES_MIN + SOA_FIXED) {
		return node_maker_fail(maker, KNOT_EMALF, snapshot->apex, "malformed record");
	}

	snapshot->apex_node = apex;
	snapshot->soa = read_soa(&soa);
	/* As for knotd, the signatures of the SOA tell. */
	snapshot->is_signed = soa.flags & RRSET_SIGNED;
	snapshot->has_nsec = rrset_find(names->base, apex, KNOT_RRTYPE_NSEC, &other);
	return KNOT_EOK;
}
