/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The names outside a zone that its aliases lead to (targets.h).
 */
#include "secondary/targets.h"

#include <assert.h>
#include <stdlib.h>

#include <libknot/descriptor.h>
#include <libknot/errcode.h>

#include "secondary/wire.h"

/*! Names while they are collected: the list, and a table of their places to see duplicates. */
typedef struct {
	targets_t list;
	size_t capacity;
	uint32_t *slot;           /*!< Place in the list plus one; 0: free. At most half of them are used. */
	size_t mask;
} collection_t;

static uint32_t hash_of(const uint8_t *name, size_t len)
{
	uint32_t hash = 2166136261u; /* FNV-1a */
	for (size_t i = 0; i < len; i++) {
		hash = (hash ^ name[i]) * 16777619u;
	}
	return hash ^ hash >> 16;
}

static int collection_begin(collection_t *collection, unsigned max)
{
	*collection = (collection_t) { .mask = 63 };
	while (collection->mask < 2 * (size_t)max) {
		collection->mask = 2 * collection->mask + 1;
	}
	collection->slot = calloc(collection->mask + 1, sizeof(collection->slot[0]));
	return collection->slot != NULL ? KNOT_EOK : KNOT_ENOMEM;
}

/*! Where \a name is, or a free slot for it. */
static uint32_t *find_slot(const collection_t *collection, const uint8_t *name, uint8_t len)
{
	size_t i = hash_of(name, len) & collection->mask;
	for (; collection->slot[i] != 0; i = (i + 1) & collection->mask) {
		const uint8_t *known = collection->list.names + collection->slot[i] - 1;
		if (known[0] == len && memcmp(known + 1, name, len) == 0) {
			break;
		}
	}
	return &collection->slot[i];
}

static int collection_add(collection_t *collection, const uint8_t *name, uint8_t len)
{
	targets_t *list = &collection->list;
	uint32_t *slot = find_slot(collection, name, len);
	if (*slot != 0) {
		return KNOT_EOK;
	}
	if (collection->capacity - list->size < (size_t)1 + len) {
		const size_t capacity = 2 * collection->capacity + 1024;
		uint8_t *grown = realloc(list->names, capacity);
		if (grown == NULL) {
			return KNOT_ENOMEM;
		}
		list->names = grown;
		collection->capacity = capacity;
	}
	*slot = list->size + 1;
	list->names[list->size] = len;
	memcpy(list->names + list->size + 1, name, len);
	list->size += 1 + len;
	list->count++;
	return KNOT_EOK;
}

bool targets_is_delegated(const snapshot_t *snapshot, const uint8_t *name, size_t len)
{
	assert(wire_name_within(name, len, snapshot->apex, snapshot->apex_len));
	qp_key_t key;
	qp_path_t path;
	qp_key(&key, name, len - snapshot->apex_len);
	qp_find(&snapshot->names, &key, &path);
	for (unsigned i = 0; i < path.count; i++) {
		if (path.ancestor[i].tag & NODE_CUT) {
			return true;
		}
	}
	return path.match.ref != 0 && (path.match.tag & NODE_CUT);
}

/*! Is it answered from this zone? */
static bool is_own(const snapshot_t *snapshot, const uint8_t *name, size_t len)
{
	return wire_name_within(name, len, snapshot->apex, snapshot->apex_len) && !targets_is_delegated(snapshot, name, len);
}

/*! The target of the CNAME at \a leaf in full, lower case; returns its octets, 0 if there is none outside the zone. */
static size_t read_target(const snapshot_t *snapshot, qp_leaf_t leaf, uint8_t *dst)
{
	const arena_base_t base = snapshot->names.base;
	rrset_t rrset;
	if (!(leaf.tag & NODE_CNAME) || !rrset_find(base, leaf.ref, KNOT_RRTYPE_CNAME, &rrset)) {
		return 0;
	}
	size_t owner_len;
	uint8_t owner[WIRE_NAME_MAX];
	const uint8_t *labels = qp_name(base, leaf.ref, &owner_len);
	memcpy(owner, labels, owner_len);
	memcpy(owner + owner_len, snapshot->apex, snapshot->apex_len);

	const uint8_t *rdata;
	uint16_t len;
	(void)rrset_item(rrset.items, &rdata, &len);
	uint8_t full[UINT16_MAX];
	const size_t full_len = rrset_rdata_full(&rrset, owner, owner_len + snapshot->apex_len, rdata, len, full);
	assert(full_len <= WIRE_NAME_MAX);
	memcpy(dst, full, full_len);
	wire_name_lower(dst, full_len);
	return is_own(snapshot, dst, full_len) ? 0 : full_len;
}

int targets_collect(const snapshot_t *snapshot, unsigned max, bool (*is_foreign)(const uint8_t *name, size_t len),
                    targets_t *ret_targets)
{
	collection_t collection;
	int ret = collection_begin(&collection, max < snapshot->names.count ? max : snapshot->names.count);
	qp_iter_t iter;
	qp_begin(&snapshot->names, &iter);
	for (qp_leaf_t leaf = qp_next(&iter); ret == KNOT_EOK && leaf.ref != 0 && collection.list.count < max;
	     leaf = qp_next(&iter)) {
		uint8_t name[WIRE_NAME_MAX];
		const size_t len = read_target(snapshot, leaf, name);
		if (len > 0 && (is_foreign == NULL || is_foreign(name, len))) {
			ret = collection_add(&collection, name, len);
		}
	}
	free(collection.slot);
	if (ret != KNOT_EOK) {
		targets_clear(&collection.list);
		return ret;
	}
	*ret_targets = collection.list;
	return KNOT_EOK;
}

void targets_clear(targets_t *targets)
{
	free(targets->names);
	*targets = (targets_t) { 0 };
}
