/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What readers of a snapshot need beyond a few loads, and the end of its life.
 */

#include <assert.h>
#include <stdlib.h>

#include <libknot/codes.h>
#include <libknot/consts.h>
#include <libknot/descriptor.h>
#include <libknot/packet/wire.h>

#include "secondary/snapshot.h"
#include "secondary/wire.h"

/*! Octets of a record as sent before its RDATA: owner as a pointer, type, class, TTL, RDLENGTH. */
#define RECORD_HEAD 12

/*! Octets of a node's RRset before its items, and more of them when it is signed. */
#define RRSET_HEAD     12
#define RRSET_SIG_HEAD 10

/*! In \a refs of a snapshot that is being freed: a pin that comes too late is seen by the assertion in snapshot_pin(). */
#define REFS_DEAD   (-0x0DEAD)

size_t node_size(arena_base_t base, arena_ref_t ref)
{
	rrset_iter_t iter = rrset_begin(base, ref);
	rrset_t rrset;
	while (rrset_next(&iter, &rrset)) {
		continue;
	}
	return iter.pos - (const uint8_t *)arena_at(base, ref);
}

/*! \brief Do \a count items end exactly at \a end? */
static bool items_are_sound(const uint8_t *item, const uint8_t *end, unsigned count)
{
	for (; count > 0; count--) {
		const uint8_t *rdata;
		uint16_t len;
		if (end - item < 2) {
			return false;
		}
		item = rrset_item(item, &rdata, &len);
		if (item > end) {
			return false;
		}
	}
	return item == end;
}

/*! \brief Does the RRset at \a head end within \a avail octets? */
static bool rrset_fits(const uint8_t *head, size_t avail)
{
	uint32_t word, sig_size = 0;
	if (avail < RRSET_HEAD) {
		return false;
	}
	memcpy(&word, head + 8, 4);
	size_t size = RRSET_HEAD + (word & 0xFFFFFF);
	if (word >> 24 & RRSET_SIGNED) {
		size += RRSET_SIG_HEAD;
		if (avail < size) {
			return false;
		}
		memcpy(&sig_size, head + RRSET_HEAD + 6, 4);
	}
	return size + sig_size <= avail;
}

bool node_is_sound(const uint8_t *node, size_t size)
{
	if (size < 2 || node[0] + 2u > size) {
		return false;
	}
	for (size_t pos = 1; pos <= node[0]; pos += 1 + node[pos]) {
		if (node[pos] == 0 || node[pos] > 63 || pos + node[pos] > node[0]) {
			return false;
		}
	}
	rrset_iter_t iter = { .pos = node + 2 + node[0], .left = node[1 + node[0]] };
	while (iter.left > 0) {
		rrset_t rrset;
		if (!rrset_fits(iter.pos, node + size - iter.pos)) {
			return false;
		}
		rrset_next(&iter, &rrset);
		if (!items_are_sound(rrset.items, rrset.sigs, rrset.count) ||
		    !items_are_sound(rrset.sigs, iter.pos, rrset.sig_count)) {
			return false;
		}
	}
	return iter.pos == node + size;
}

/*! \brief Finds what stands \a offset octets after the RRset's first one, as sent. */
static const uint8_t *rrset_inside(const rrset_t *rrset, size_t offset)
{
	const uint8_t *item = rrset->items;
	const uint8_t *rdata;
	uint16_t len;
	const uint8_t *next = rrset_item(item, &rdata, &len);
	while (offset >= (size_t)RECORD_HEAD + len) {
		offset -= RECORD_HEAD + len;
		next = rrset_item(next, &rdata, &len);
	}
	assert(offset >= RECORD_HEAD && next <= rrset->items + rrset->size);
	return rdata + offset - RECORD_HEAD;
}

/*! \brief Writes the kept name at \a name in full; returns the octet after it, where it stands. */
static const uint8_t *name_full(const rrset_t *rrset, const uint8_t *owner, size_t owner_len, const uint8_t *name,
                                uint8_t *dst, size_t *len)
{
	const uint8_t *end = NULL;
	while (*name != 0) {
		if (*name < (WIRE_REF >> 8)) {
			memcpy(dst + *len, name, *name + 1);
			*len += *name + 1;
			name += *name + 1;
			continue;
		}
		uint16_t value = name[0] << 8 | name[1];
		end = end != NULL ? end : name + 2;
		if (!(value & WIRE_REF_INSIDE)) {
			size_t suffix = value & 0xFF;
			memcpy(dst + *len, owner + owner_len - suffix, suffix);
			*len += suffix;
			return end;
		}
		name = rrset_inside(rrset, value & WIRE_INSIDE_MAX);
	}
	dst[(*len)++] = 0;
	return end != NULL ? end : name + 1;
}

size_t rrset_rdata_full(const rrset_t *rrset, const uint8_t *owner, size_t owner_len, const uint8_t *rdata, uint16_t len,
                        uint8_t *dst)
{
	if (!wire_compresses(rrset->type)) {
		memcpy(dst, rdata, len);
		return len;
	}

	unsigned skip;
	unsigned names = wire_names(rrset->type, &skip);
	memcpy(dst, rdata, skip);
	size_t written = skip;
	const uint8_t *pos = rdata + skip;
	for (unsigned i = 0; i < names; i++) {
		pos = name_full(rrset, owner, owner_len, pos, dst, &written);
	}

	size_t rest = rdata + len - pos;
	memcpy(dst + written, pos, rest);
	return written + rest;
}

snapshot_t *snapshot_pin(snapshot_t *snapshot)
{
	int before = __atomic_fetch_add(&snapshot->refs, 1, __ATOMIC_RELAXED);
	assert(before > 0);
	(void)before;
	return snapshot;
}

/*! \brief Gives one reference back; true: it was the last one. */
static bool refs_drop(snapshot_t *snapshot)
{
	int before = __atomic_fetch_sub(&snapshot->refs, 1, __ATOMIC_ACQ_REL);
	assert(before > 0);
	return before == 1;
}

/*! \brief Frees a version that nobody holds, and its successors as far as it was their last holder. */
static void snapshot_free(snapshot_t *snapshot)
{
	while (snapshot != NULL) {
		snapshot_t *successor = snapshot->successor;
		__atomic_store_n(&snapshot->refs, REFS_DEAD, __ATOMIC_RELAXED);
		for (uint32_t i = 0; i < snapshot->scrap.count; i++) {
			arena_dead(snapshot->arena, snapshot->scrap.item[i].ref, snapshot->scrap.item[i].size);
		}
		scrap_clear(&snapshot->scrap);
		arena_release(snapshot->arena);
		free(snapshot);
		snapshot = successor != NULL && refs_drop(successor) ? successor : NULL;
	}
}

static void on_unpinned(struct rcu_head *head)
{
	snapshot_free(caa_container_of(head, snapshot_t, rcu));
}

void snapshot_unpin(snapshot_t *snapshot)
{
	/* The publisher's reference is gone, so snapshot_retire() does not use the head any more. */
	if (snapshot != NULL && refs_drop(snapshot)) {
		call_rcu(&snapshot->rcu, on_unpinned);
	}
}

static void on_retired(struct rcu_head *head)
{
	snapshot_t *snapshot = caa_container_of(head, snapshot_t, rcu);
	if (refs_drop(snapshot)) {
		snapshot_free(snapshot);
	}
}

void snapshot_retire(snapshot_t *snapshot)
{
	if (snapshot != NULL) {
		call_rcu(&snapshot->rcu, on_retired);
	}
}

void snapshot_commit(snapshot_t *draft)
{
	snapshot_t *base = draft->base;
	if (base == NULL) {
		return;
	}

	assert(base->successor == NULL && base->scrap.count == 0);
	arena_seal(draft->arena);
	base->scrap.item = draft->scrap.item;
	base->scrap.count = draft->scrap.count;
	__atomic_store_n(&base->scrap.capacity, draft->scrap.capacity, __ATOMIC_RELAXED); /* for snapshot_memory() */
	draft->scrap = (scrap_list_t) { 0 };
	base->successor = snapshot_pin(draft);
	draft->base = NULL;
	snapshot_unpin(base);
}

void snapshot_discard(snapshot_t *snapshot)
{
	if (snapshot == NULL) {
		return;
	}

	assert(__atomic_load_n(&snapshot->refs, __ATOMIC_RELAXED) == 1 && snapshot->successor == NULL);
	snapshot_t *base = snapshot->base;
	if (base != NULL) {
		/* What it replaces is alive. */
		scrap_clear(&snapshot->scrap);
		arena_rollback(snapshot->arena);
	}
	snapshot_free(snapshot);
	snapshot_unpin(base);
}

size_t snapshot_memory(const snapshot_t *snapshot)
{
	/* The list comes when a successor is committed, maybe now. */
	const uint32_t scrap = __atomic_load_n(&snapshot->scrap.capacity, __ATOMIC_RELAXED);
	return sizeof(*snapshot) + snapshot->apex_len + scrap * sizeof(scrap_t) +
	       arena_stats(snapshot->arena).reserved;
}

size_t snapshot_write_soa(const snapshot_t *snapshot, uint8_t *dst)
{
	rrset_t soa = { 0 };
	bool found = rrset_find(snapshot->names.base, snapshot->apex_node, KNOT_RRTYPE_SOA, &soa);
	assert(found);
	(void)found;
	const uint8_t *rdata;
	uint16_t len;
	rrset_item(soa.items, &rdata, &len);

	uint8_t full[UINT16_MAX];
	const size_t full_len = rrset_rdata_full(&soa, snapshot->apex, snapshot->apex_len, rdata, len, full);
	knot_wire_put_pointer(dst, KNOT_WIRE_HEADER_SIZE);
	knot_wire_write_u16(dst + 2, KNOT_RRTYPE_SOA);
	knot_wire_write_u16(dst + 4, KNOT_CLASS_IN);
	knot_wire_write_u32(dst + 6, soa.ttl);
	knot_wire_write_u16(dst + 10, full_len);
	memcpy(dst + 12, full, full_len);
	return 12 + full_len;
}
