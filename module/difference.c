/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Differences: records one after the other, the maker, and the comparison of two versions.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/difference.h"
#include "secondary/wire.h"

/*! Octets of a record between its owner and its RDATA: type, class, TTL, length. */
#define RECORD_HEAD    10
/*! Octets of the integers that end SOA RDATA, and of the two names before them, at least. */
#define SOA_FIXED      20
#define SOA_NAMES_MIN  2
/*! First size of a maker's memory: an increment of a few records. */
#define MAKER_MIN      512

/* ---- Records ---- */

/*! \brief Octets of a record with its owner. */
static size_t record_size(uint8_t owner_len, uint16_t rdlen)
{
	return 1 + (size_t)owner_len + RECORD_HEAD + rdlen;
}

const uint8_t *difference_read(const uint8_t *at, difference_record_t *ret_record)
{
	const uint8_t *head = at + 1 + at[0];
	*ret_record = (difference_record_t) {
		.owner = at + 1,
		.owner_len = at[0],
		.type = knot_wire_read_u16(head),
		.ttl = knot_wire_read_u32(head + 4),
		.rdlen = knot_wire_read_u16(head + 8),
		.rdata = head + RECORD_HEAD,
	};
	return ret_record->rdata + ret_record->rdlen;
}

/*! \brief Copies what may be nothing; returns where it ends. */
static uint8_t *octets_write(uint8_t *at, const uint8_t *from, size_t len)
{
	if (len > 0) {
		memcpy(at, from, len);
	}
	return at + len;
}

static void record_write(uint8_t *at, const difference_record_t *record)
{
	*at++ = record->owner_len;
	at = octets_write(at, record->owner, record->owner_len);
	knot_wire_write_u16(at, record->type);
	knot_wire_write_u16(at + 2, KNOT_CLASS_IN);
	knot_wire_write_u32(at + 4, record->ttl);
	knot_wire_write_u16(at + 8, record->rdlen);
	(void)octets_write(at + RECORD_HEAD, record->rdata, record->rdlen);
}

/*! \brief A SOA begins each side and comes nowhere else. */
static bool is_in_place(const difference_record_t *record, bool is_first)
{
	if (record->type != KNOT_RRTYPE_SOA) {
		return !is_first;
	}
	return is_first && record->owner_len == 0 && record->rdlen >= SOA_NAMES_MIN + SOA_FIXED;
}

static uint32_t record_serial(const difference_record_t *soa)
{
	return knot_wire_read_u32(soa->rdata + soa->rdlen - SOA_FIXED);
}

/* ---- Holding ---- */

difference_t *difference_hold(difference_t *difference)
{
	int before = __atomic_fetch_add(&difference->refs, 1, __ATOMIC_RELAXED);
	assert(before > 0);
	(void)before;
	return difference;
}

void difference_release(difference_t *difference)
{
	if (difference == NULL) {
		return;
	}

	int before = __atomic_fetch_sub(&difference->refs, 1, __ATOMIC_ACQ_REL);
	assert(before > 0);
	if (before == 1) {
		free(difference);
	}
}

/* ---- Sound or not ---- */

/*! \brief Are these \a len octets labels that fill it, in lower case, short enough to be below an apex? */
static bool are_labels(const uint8_t *labels, size_t len)
{
	if (len >= WIRE_NAME_MAX) {
		return false;
	}

	size_t pos = 0;
	while (pos < len) {
		size_t label = labels[pos++];
		if (label == 0 || label > KNOT_DNAME_MAXLABELLEN || label > len - pos) {
			return false;
		}
		for (size_t end = pos + label; pos < end; pos++) {
			if (labels[pos] >= 'A' && labels[pos] <= 'Z') {
				return false;
			}
		}
	}
	return true;
}

/*! \brief Does a whole record stand at \a at, of which at least one octet is before \a end? */
static bool is_record(const uint8_t *at, const uint8_t *end)
{
	size_t left = end - at;
	if (left < record_size(at[0], 0) || !are_labels(at + 1, at[0])) {
		return false;
	}
	const uint8_t *head = at + 1 + at[0];
	return left >= record_size(at[0], knot_wire_read_u16(head + 8)) && knot_wire_read_u16(head + 2) == KNOT_CLASS_IN;
}

/*! \brief Are there \a count records from \a at to \a end, of which the first one is the SOA with \a serial? */
static bool is_side(const uint8_t *at, const uint8_t *end, uint32_t count, uint32_t serial)
{
	uint32_t found = 0;
	while (at < end) {
		difference_record_t record;
		if (!is_record(at, end)) {
			return false;
		}
		at = difference_read(at, &record);
		if (!is_in_place(&record, found == 0) || (found == 0 && record_serial(&record) != serial)) {
			return false;
		}
		found++;
	}
	return found > 0 && found == count;
}

bool difference_is_sound(const difference_t *difference)
{
	if (difference->added_at > difference->size) {
		return false;
	}
	const uint8_t *begin = difference->octets;
	const uint8_t *turn = begin + difference->added_at;
	return is_side(begin, turn, difference->removed, difference->from) &&
	       is_side(turn, begin + difference->size, difference->added, difference->to);
}

/* ---- Making ---- */

static difference_t *maker_difference(const difference_maker_t *maker)
{
	return (difference_t *)maker->at;
}

/*! \brief Octets of records so far. */
static size_t maker_octets(const difference_maker_t *maker)
{
	return maker->at != NULL ? maker->size - sizeof(difference_t) : 0;
}

static int maker_reserve(difference_maker_t *maker, size_t more)
{
	if (maker->max > 0 && (more > maker->max || maker_octets(maker) > maker->max - more)) {
		return KNOT_EZONESIZE;
	}

	bool is_begun = maker->at != NULL;
	size_t need = (is_begun ? maker->size : sizeof(difference_t)) + more;
	if (need <= maker->capacity) {
		return KNOT_EOK;
	}
	size_t capacity = is_begun ? 2 * maker->capacity : MAKER_MIN;
	capacity = capacity > need ? capacity : need;
	uint8_t *at = realloc(maker->at, capacity);
	if (at == NULL) {
		return KNOT_ENOMEM;
	}
	maker->at = at;
	maker->capacity = capacity;
	if (!is_begun) {
		maker->size = sizeof(difference_t);
		*maker_difference(maker) = (difference_t) { .refs = 1 };
	}
	return KNOT_EOK;
}

/*! \brief Counts the next record of the side under way; of the SOA the serial is the side's. */
static void maker_count(difference_maker_t *maker, const difference_record_t *record)
{
	difference_t *difference = maker_difference(maker);
	uint32_t *count = maker->is_adding ? &difference->added : &difference->removed;
	if ((*count)++ == 0) {
		*(maker->is_adding ? &difference->to : &difference->from) = record_serial(record);
	}
}

/*! \brief Has the side under way no record yet? */
static bool maker_is_at_first(const difference_maker_t *maker)
{
	const difference_t *difference = maker_difference(maker);
	return difference == NULL || (maker->is_adding ? difference->added : difference->removed) == 0;
}

int difference_maker_put(difference_maker_t *maker, const uint8_t *owner, uint8_t owner_len, uint16_t type, uint32_t ttl,
                         const uint8_t *rdata, uint16_t rdlen)
{
	difference_record_t record = {
		.owner = owner, .owner_len = owner_len, .type = type, .ttl = ttl, .rdata = rdata, .rdlen = rdlen,
	};
	if (!is_in_place(&record, maker_is_at_first(maker))) {
		return KNOT_EMALF;
	}

	size_t size = record_size(owner_len, rdlen);
	int ret = maker_reserve(maker, size);
	if (ret != KNOT_EOK) {
		return ret;
	}
	record_write(maker->at + maker->size, &record);
	maker->size += size;
	maker_count(maker, &record);
	return KNOT_EOK;
}

void difference_maker_turn(difference_maker_t *maker)
{
	assert(!maker->is_adding);
	maker->is_adding = true;
	if (maker->at != NULL) {
		maker_difference(maker)->added_at = maker_octets(maker);
	}
}

int difference_maker_finish(difference_maker_t *maker, difference_t **ret_difference)
{
	difference_t *difference = maker_difference(maker);
	if (difference == NULL || difference->removed == 0 || difference->added == 0) {
		return KNOT_EMALF;
	}

	difference->size = maker_octets(maker);
	/* What is too much is given back: differences are kept by the thousand. */
	difference_t *fit = realloc(difference, maker->size);
	*ret_difference = fit != NULL ? fit : difference;
	*maker = (difference_maker_t) { .max = maker->max };
	return KNOT_EOK;
}

void difference_maker_clear(difference_maker_t *maker)
{
	free(maker->at);
	*maker = (difference_maker_t) { .max = maker->max };
}

/* ---- Comparing ---- */

/*! One of two versions. */
typedef struct {
	const snapshot_t *snapshot;
	difference_maker_t maker;     /*!< Of its side alone. */
	qp_iter_t iter;
	arena_base_t base;
	arena_ref_t ref;              /*!< The node that comes next, or 0. */
	const uint8_t *item;          /*!< The record that comes next. */
	unsigned left;                /*!< Records of its RRset (or signatures of it), this one included. */
	uint16_t len;
	uint8_t rdata[UINT16_MAX];    /*!< Its RDATA in full, \a len octets. */
} version_t;

/*! Both, while they are walked through. */
typedef struct {
	version_t old, new;
	uint8_t owner_len;            /*!< Of the nodes being compared, without the apex. */
	uint8_t name[WIRE_NAME_MAX];  /*!< The owner in full. */
} comparison_t;

/*! Records of an RRset, or its signatures. */
typedef struct {
	rrset_t rrset;
	bool is_sigs;
	uint16_t type;
	uint32_t ttl;
} list_t;

static unsigned list_begin(const list_t *list, version_t *version)
{
	version->item = list->is_sigs ? list->rrset.sigs : list->rrset.items;
	version->left = list->is_sigs ? list->rrset.sig_count : list->rrset.count;
	return version->left;
}

/*! \brief Reads the next record into \a version, if there is one. */
static void list_read(const comparison_t *c, const list_t *list, version_t *version)
{
	if (version->left == 0) {
		return;
	}

	const uint8_t *rdata;
	version->item = rrset_item(version->item, &rdata, &version->len);
	if (list->is_sigs) {
		memcpy(version->rdata, rdata, version->len);
	} else {
		version->len = rrset_rdata_full(&list->rrset, c->name, c->owner_len + c->new.snapshot->apex_len, rdata,
		                                version->len, version->rdata);
	}
}

/*! \brief Puts the record that was read into the version's side, and reads the next one. */
static int list_put(const comparison_t *c, const list_t *list, version_t *version)
{
	int ret = difference_maker_put(&version->maker, c->name, c->owner_len, list->type, list->ttl, version->rdata,
	                               version->len);
	version->left--;
	list_read(c, list, version);
	return ret;
}

static void list_pass(const comparison_t *c, const list_t *list, version_t *version)
{
	version->left--;
	list_read(c, list, version);
}

/*! \brief All records that come yet. */
static int list_put_all(const comparison_t *c, const list_t *list, version_t *version)
{
	int ret = KNOT_EOK;
	while (version->left > 0 && ret == KNOT_EOK) {
		ret = list_put(c, list, version);
	}
	return ret;
}

/*! \brief Both versions' next records: which comes first, or do they differ in the case of names only? */
static int compare_next(const comparison_t *c, uint16_t type, bool *ret_same)
{
	const version_t *old = &c->old;
	const version_t *new = &c->new;
	*ret_same = old->len == new->len && memcmp(old->rdata, new->rdata, old->len) == 0;
	return *ret_same ? 0 : wire_rdata_compare(type, old->rdata, old->len, new->rdata, new->len);
}

/*! \brief Compares records of one type and TTL: both lists are in canonical order. */
static int compare_records(comparison_t *c, const list_t *old, const list_t *new)
{
	int ret = KNOT_EOK;
	while (ret == KNOT_EOK && c->old.left > 0 && c->new.left > 0) {
		bool is_same;
		int diff = compare_next(c, old->type, &is_same);
		if (is_same) {
			list_pass(c, old, &c->old);
			list_pass(c, new, &c->new);
			continue;
		}
		if (diff <= 0) {
			ret = list_put(c, old, &c->old);
		}
		if (diff >= 0 && ret == KNOT_EOK) {
			ret = list_put(c, new, &c->new);
		}
	}
	return ret;
}

/*! \brief Compares both versions of an RRset, or of its signatures; of what is not there the list is empty. */
static int compare_lists(comparison_t *c, const list_t *old, const list_t *new)
{
	unsigned old_count = list_begin(old, &c->old);
	unsigned new_count = list_begin(new, &c->new);
	list_read(c, old, &c->old);
	list_read(c, new, &c->new);

	int ret = KNOT_EOK;
	/* Another TTL: it is the RRset's, so all its records are others. */
	if (old_count > 0 && new_count > 0 && old->ttl == new->ttl) {
		ret = compare_records(c, old, new);
	}
	if (ret == KNOT_EOK) {
		ret = list_put_all(c, old, &c->old);
	}
	return ret == KNOT_EOK ? list_put_all(c, new, &c->new) : ret;
}

static list_t plain_of(const rrset_t *rrset)
{
	return (list_t) { .rrset = *rrset, .type = rrset->type, .ttl = rrset->ttl };
}

static list_t sigs_of(const rrset_t *rrset)
{
	return (list_t) { .rrset = *rrset, .is_sigs = true, .type = KNOT_RRTYPE_RRSIG, .ttl = rrset->sig_ttl };
}

static int compare_rrsets(comparison_t *c, const rrset_t *old, const rrset_t *new)
{
	uint16_t type = old->count > 0 || old->sig_count > 0 ? old->type : new->type;
	int ret = KNOT_EOK;
	/* The SOA went ahead. */
	if (type != KNOT_RRTYPE_SOA) {
		list_t old_list = plain_of(old), new_list = plain_of(new);
		ret = compare_lists(c, &old_list, &new_list);
	}
	if (ret == KNOT_EOK) {
		list_t old_list = sigs_of(old), new_list = sigs_of(new);
		ret = compare_lists(c, &old_list, &new_list);
	}
	return ret;
}

static rrset_iter_t node_begin(const version_t *version, bool is_there)
{
	return is_there ? rrset_begin(version->base, version->ref) : (rrset_iter_t) { 0 };
}

/*! \brief Compares both versions of an owner RRset by RRset, in ascending order of type. */
static int compare_nodes(comparison_t *c, bool is_old, bool is_new)
{
	static const rrset_t none = { 0 };
	rrset_iter_t old_iter = node_begin(&c->old, is_old), new_iter = node_begin(&c->new, is_new);
	rrset_t old, new;
	bool has_old = rrset_next(&old_iter, &old), has_new = rrset_next(&new_iter, &new);
	int ret = KNOT_EOK;
	while (ret == KNOT_EOK && (has_old || has_new)) {
		bool use_old = has_old && (!has_new || old.type <= new.type);
		bool use_new = has_new && (!has_old || new.type <= old.type);
		ret = compare_rrsets(c, use_old ? &old : &none, use_new ? &new : &none);
		has_old = use_old ? rrset_next(&old_iter, &old) : has_old;
		has_new = use_new ? rrset_next(&new_iter, &new) : has_new;
	}
	return ret;
}

static bool is_same_name(const version_t *old, const version_t *new)
{
	const uint8_t *a = arena_at(old->base, old->ref);
	const uint8_t *b = arena_at(new->base, new->ref);
	return a[0] == b[0] && memcmp(a + 1, b + 1, a[0]) == 0;
}

static bool is_same_node(const version_t *old, const version_t *new)
{
	size_t size = node_size(old->base, old->ref);
	return size == node_size(new->base, new->ref) &&
	       memcmp(arena_at(old->base, old->ref), arena_at(new->base, new->ref), size) == 0;
}

static void version_key(const version_t *version, qp_key_t *key)
{
	size_t len;
	const uint8_t *name = qp_name(version->base, version->ref, &len);
	qp_key(key, name, len);
}

/*! \brief Canonical order of two names that are not the same: that of their keys (qp.h). */
static bool is_before(const version_t *a, const version_t *b)
{
	qp_key_t a_key, b_key;
	version_key(a, &a_key);
	version_key(b, &b_key);
	int diff = memcmp(a_key.sym, b_key.sym, a_key.len < b_key.len ? a_key.len : b_key.len);
	return diff != 0 ? diff < 0 : a_key.len < b_key.len;
}

static void owner_set(comparison_t *c, const version_t *version)
{
	size_t len;
	const uint8_t *name = qp_name(version->base, version->ref, &len);
	memcpy(c->name, name, len);
	memcpy(c->name + len, version->snapshot->apex, version->snapshot->apex_len);
	c->owner_len = len;
}

/*! \brief Compares what comes next in both tries: the same owner, or one that only one of them has. */
static int compare_owners(comparison_t *c, bool *ret_old, bool *ret_new)
{
	version_t *old = &c->old, *new = &c->new;
	bool is_same = old->ref != 0 && new->ref != 0 && is_same_name(old, new);
	*ret_old = is_same || (old->ref != 0 && (new->ref == 0 || is_before(old, new)));
	*ret_new = is_same || !*ret_old;
	if (is_same && is_same_node(old, new)) {
		return KNOT_EOK;
	}
	owner_set(c, *ret_old ? old : new);
	return compare_nodes(c, *ret_old, *ret_new);
}

static void trie_begin(version_t *version, const qp_t *qp)
{
	version->base = qp->base;
	qp_begin(qp, &version->iter);
	version->ref = qp_next(&version->iter).ref;
}

static int compare_tries(comparison_t *c, const qp_t *old, const qp_t *new)
{
	trie_begin(&c->old, old);
	trie_begin(&c->new, new);
	bool is_shared = c->old.snapshot->arena == c->new.snapshot->arena;
	int ret = KNOT_EOK;
	while (ret == KNOT_EOK && (c->old.ref != 0 || c->new.ref != 0)) {
		bool step_old = true, step_new = true;
		if (!is_shared || c->old.ref != c->new.ref) {
			ret = compare_owners(c, &step_old, &step_new);
		}
		if (step_old) {
			c->old.ref = qp_next(&c->old.iter).ref;
		}
		if (step_new) {
			c->new.ref = qp_next(&c->new.iter).ref;
		}
	}
	return ret;
}

/*! \brief Begins the side of a version with its SOA. */
static int put_soa(const comparison_t *c, version_t *version)
{
	rrset_t soa;
	bool is_found = rrset_find(version->snapshot->names.base, version->snapshot->apex_node, KNOT_RRTYPE_SOA, &soa);
	assert(is_found);
	(void)is_found;

	list_t list = plain_of(&soa);
	(void)list_begin(&list, version);
	list_read(c, &list, version);
	return list_put(c, &list, version);
}

/*! \brief Appends the added records to the removed ones. */
static int join_sides(difference_maker_t *removed, const difference_maker_t *added)
{
	size_t octets = maker_octets(added);
	int ret = maker_reserve(removed, octets);
	if (ret != KNOT_EOK) {
		return ret;
	}

	difference_maker_turn(removed);
	memcpy(removed->at + removed->size, maker_difference(added)->octets, octets);
	removed->size += octets;
	maker_difference(removed)->added = maker_difference(added)->added;
	maker_difference(removed)->to = maker_difference(added)->to;
	return KNOT_EOK;
}

static int compare(comparison_t *c)
{
	const snapshot_t *old = c->old.snapshot, *new = c->new.snapshot;
	memcpy(c->name, new->apex, new->apex_len);
	int ret = put_soa(c, &c->old);
	if (ret == KNOT_EOK) {
		ret = put_soa(c, &c->new);
	}
	if (ret == KNOT_EOK) {
		ret = compare_tries(c, &old->names, &new->names);
	}
	if (ret == KNOT_EOK) {
		ret = compare_tries(c, &old->nsec3, &new->nsec3);
	}
	return ret == KNOT_EOK ? join_sides(&c->old.maker, &c->new.maker) : ret;
}

int difference_compute(const snapshot_t *old, const snapshot_t *new, size_t max, difference_t **ret_difference)
{
	assert(old->apex_len == new->apex_len && memcmp(old->apex, new->apex, old->apex_len) == 0);
	comparison_t *c = malloc(sizeof(*c));
	if (c == NULL) {
		return KNOT_ENOMEM;
	}

	c->old.snapshot = old;
	c->old.maker = (difference_maker_t) { .max = max };
	c->new.snapshot = new;
	c->new.maker = (difference_maker_t) { .max = max, .is_adding = true };
	c->owner_len = 0;
	int ret = compare(c);
	if (ret == KNOT_EOK) {
		ret = difference_maker_finish(&c->old.maker, ret_difference);
	}
	difference_maker_clear(&c->old.maker);
	difference_maker_clear(&c->new.maker);
	free(c);
	return ret;
}
