/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Writing a version of a zone into the messages of an outgoing transfer.
 *
 * No message is longer than pointers reach but one that holds a single record, so no place needs to be compared with MESSAGE_REACH.
 */
#include "secondary/transfer_out.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/descriptor.h>

#include "octets.h"

/*! Octets of a record before its RDATA, with an owner that is a pointer. */
#define HEAD_SIZE     12
/*! Of those, the pointer. */
#define POINTER_SIZE  2
#define POINTER_APEX  (WIRE_REF | MESSAGE_HEADER)
/*! Owners that are fetched into the cache ahead: a node of a hosting zone takes some 20 ns to write, and 100 ns to come from memory. */
#define AHEAD         8

/*! A suffix of the owner (less the apex) that stands in the message. */
typedef struct {
	uint16_t pos;
	uint8_t len;
} suffix_t;

/*! Records with the same owner, type and TTL that are still to be written. */
typedef struct {
	const uint8_t *item;
	uint16_t left;
	uint16_t type;
	uint32_t ttl;
	bool compresses;
	bool is_begun;            /*!< Some are written. */
} run_t;

struct transfer_out {
	snapshot_t *snapshot;     /*!< Pinned. */
	bool is_closing;          /*!< The last SOA is under way. */

	/* Nodes to come. */
	qp_iter_t iter;
	arena_ref_t ahead[AHEAD]; /*!< A ring; 0: behind the last one of a trie. */
	unsigned next;

	/* The node under way. */
	const uint8_t *owner;     /*!< Its labels, less the apex. */
	size_t owner_len;
	rrset_iter_t walk;
	rrset_t rrset;
	bool has_sigs;            /*!< The signatures of \a rrset come after \a run. */
	run_t run;

	/* The message under way. */
	message_t *msg;
	size_t limit;             /*!< Of this message, for the next record. */
	uint16_t owner_pointer;   /*!< To the owner; 0: it must be written. */
	int32_t base;             /*!< Place from which references inside the RRset count; negative: it began elsewhere. */
	const uint8_t *last;      /*!< The owner whose suffixes are known, \a last_len octets. */
	size_t last_len;
	unsigned depth;
	suffix_t suffix[QP_LABELS_MAX + 1]; /*!< \a depth of them, the shortest first. */

	uint8_t full[UINT16_MAX]; /*!< For RDATA with names in full. */
};

/* -- owners ----------------------------------------------------------------------------------------------------------- */

/*! The root has no name that were worth a pointer. */
static inline bool is_root(const transfer_out_t *transfer)
{
	return transfer->snapshot->apex_len == 1;
}

/*!
 * Forgets the suffixes that the owner does not share with the one before; returns how many of its first octets must be
 * spelled. In canonical order the longest shared suffix of all owners in the message is that with the one before.
 */
static size_t match_suffixes(transfer_out_t *transfer)
{
	const uint8_t *owner = transfer->owner;
	size_t spelled = 0;
	for (; transfer->depth > 0; transfer->depth--) {
		const size_t len = transfer->suffix[transfer->depth - 1].len;
		while (transfer->owner_len - spelled > len) {
			spelled += 1 + owner[spelled];
		}
		if (transfer->owner_len - spelled == len &&
		    memcmp(owner + spelled, transfer->last + transfer->last_len - len, len) == 0) {
			return spelled;
		}
	}
	return transfer->owner_len;
}

/*! Remembers that the owner's first \a spelled octets stand at \a pos. */
static void push_suffixes(transfer_out_t *transfer, size_t spelled, size_t pos)
{
	uint8_t label[QP_LABELS_MAX];
	unsigned count = 0;
	for (size_t at = 0; at < spelled; at += 1 + transfer->owner[at]) {
		label[count++] = at;
	}
	while (count > 0) {
		const uint8_t at = label[--count];
		transfer->suffix[transfer->depth++] = (suffix_t) { .pos = pos + at, .len = transfer->owner_len - at };
	}
	transfer->last = transfer->owner;
	transfer->last_len = transfer->owner_len;
}

/*! Where the suffix of the owner stands that is \a len octets long, apex included. */
static uint16_t suffix_pos(const transfer_out_t *transfer, size_t len)
{
	const size_t apex_len = transfer->snapshot->apex_len;
	if (len <= apex_len) {
		return MESSAGE_HEADER + apex_len - len;
	}
	unsigned i = transfer->depth - 1;
	while (transfer->suffix[i].len != len - apex_len) {
		assert(i > 0);
		i--;
	}
	return transfer->suffix[i].pos;
}

/* -- records ---------------------------------------------------------------------------------------------------------- */

/*! Writes owner as \a pointer, type, class, TTL and RDLENGTH. */
static inline void put_head(uint8_t *dst, uint16_t pointer, const run_t *run, uint16_t len)
{
	const uint64_t head = htobe64((uint64_t)pointer << 48 | (uint64_t)run->type << 32 |
	                              (uint64_t)KNOT_CLASS_IN << 16 | run->ttl >> 16);
	const uint32_t tail = htobe32(run->ttl << 16 | len);
	memcpy(dst, &head, 8);
	memcpy(dst + 8, &tail, 4);
}

/*! Turns the references in \a rdata, which the message holds now, into pointers. */
static void point_references(const transfer_out_t *transfer, uint8_t *rdata)
{
	unsigned skip;
	unsigned names = wire_names(transfer->run.type, &skip);
	for (uint8_t *label = rdata + skip; names > 0; names--) {
		while (*label != 0 && *label < (WIRE_REF >> 8)) {
			label += 1 + *label;
		}
		if (*label == 0) {
			label++;
			continue;
		}
		const uint16_t ref = get16(label);
		const uint16_t target = (ref & WIRE_REF_INSIDE) ? transfer->base + (ref & WIRE_INSIDE_MAX)
		                                                : suffix_pos(transfer, ref & 0xFF);
		assert(target <= MESSAGE_REACH && target < label - transfer->msg->wire);
		set16(label, WIRE_REF | target);
		label += 2;
	}
}

/*!
 * Shortens the name at \a name, in full: it ends in a pointer to the apex if it ends in the apex. Case matters, as kept
 * names that end in the apex have taken that end from the owner.
 *
 * \param dst  At or before \a name.
 */
static size_t shorten_name(const snapshot_t *snapshot, uint8_t *dst, const uint8_t *name, size_t len)
{
	size_t kept = 0;
	while (len - kept > snapshot->apex_len) {
		kept += 1 + name[kept];
	}
	if (snapshot->apex_len == 1 || len - kept < snapshot->apex_len ||
	    memcmp(name + kept, snapshot->apex, snapshot->apex_len) != 0) {
		memmove(dst, name, len);
		return len;
	}
	memmove(dst, name, kept);
	set16(dst + kept, POINTER_APEX);
	return kept + POINTER_SIZE;
}

static size_t name_len(const uint8_t *name)
{
	size_t len = 0;
	while (name[len] != 0) {
		len += 1 + name[len];
	}
	return len + 1;
}

/*! Brings kept RDATA of an RRset that does not begin in this message into transfer->full, for sending; returns its octets. */
static uint16_t spell_rdata(transfer_out_t *transfer, const uint8_t *rdata, uint16_t len)
{
	const snapshot_t *snapshot = transfer->snapshot;
	uint8_t owner[WIRE_NAME_MAX];
	memcpy(owner, transfer->owner, transfer->owner_len);
	memcpy(owner + transfer->owner_len, snapshot->apex, snapshot->apex_len);
	const uint8_t *end = transfer->full + rrset_rdata_full(&transfer->rrset, owner,
	                                                       transfer->owner_len + snapshot->apex_len, rdata, len,
	                                                       transfer->full);
	unsigned skip;
	unsigned names = wire_names(transfer->run.type, &skip);
	uint8_t *dst = transfer->full + skip;
	const uint8_t *src = dst;
	for (; names > 0; names--) {
		const size_t name = name_len(src);
		dst += shorten_name(snapshot, dst, src, name);
		src += name;
	}
	memmove(dst, src, end - src);
	return dst + (end - src) - transfer->full;
}

/*! Closes the record at the end of the message, which is \a size octets long. */
static inline void end_record(transfer_out_t *transfer, size_t size)
{
	message_t *msg = transfer->msg;
	msg->size += size;
	msg->count[SECTION_ANSWER]++;
	transfer->limit = msg->limit < TRANSFER_OUT_FILL ? msg->limit : TRANSFER_OUT_FILL;
}

/*! To what comes behind the octets of the owner that are spelled. */
static inline uint16_t rest_pointer(const transfer_out_t *transfer)
{
	return transfer->depth > 0 ? WIRE_REF | transfer->suffix[transfer->depth - 1].pos : POINTER_APEX;
}

/*! Writes a record whose owner must be spelled; false: no room. */
static bool put_owner_record(transfer_out_t *transfer, const uint8_t *rdata, uint16_t len)
{
	message_t *msg = transfer->msg;
	const size_t spelled = match_suffixes(transfer);
	const bool root = transfer->depth == 0 && is_root(transfer);
	const size_t owner_size = spelled + (root ? 1 : POINTER_SIZE);
	const size_t size = owner_size + HEAD_SIZE - POINTER_SIZE + len;
	if (msg->size + size > transfer->limit) {
		return false;
	}

	uint8_t *dst = msg->wire + msg->size;
	memcpy(dst, transfer->owner, spelled);
	if (root) {
		uint8_t head[HEAD_SIZE];
		put_head(head, 0, &transfer->run, len);
		dst[spelled] = 0;
		memcpy(dst + spelled + 1, head + POINTER_SIZE, sizeof(head) - POINTER_SIZE);
	} else {
		put_head(dst + spelled, rest_pointer(transfer), &transfer->run, len);
	}
	copy_rdata(dst + size - len, rdata, len);

	if (spelled > 0) {
		push_suffixes(transfer, spelled, msg->size);
		transfer->owner_pointer = WIRE_REF | msg->size;
	}
	end_record(transfer, size);
	return true;
}

static inline bool put_record(transfer_out_t *transfer, const uint8_t *rdata, uint16_t len)
{
	if (transfer->owner_pointer == 0) {
		return put_owner_record(transfer, rdata, len);
	}
	message_t *msg = transfer->msg;
	const size_t size = HEAD_SIZE + len;
	if (msg->size + size > transfer->limit) {
		return false;
	}
	uint8_t *dst = msg->wire + msg->size;
	put_head(dst, transfer->owner_pointer, &transfer->run, len);
	copy_rdata(dst + HEAD_SIZE, rdata, len);
	end_record(transfer, size);
	return true;
}

/*! Writes a record with names that are kept compressed. */
static bool put_compressing(transfer_out_t *transfer, const uint8_t *rdata, uint16_t len)
{
	run_t *run = &transfer->run;
	if (run->is_begun && (transfer->base < 0 || transfer->owner_pointer == 0)) {
		len = spell_rdata(transfer, rdata, len);
		return put_record(transfer, transfer->full, len);
	}
	if (!put_record(transfer, rdata, len)) {
		return false;
	}
	const size_t begin = transfer->msg->size - len;
	if (!run->is_begun) {
		run->is_begun = true;
		transfer->base = begin - HEAD_SIZE;
	}
	point_references(transfer, transfer->msg->wire + begin);
	return true;
}

/*! Writes what is left of the run; false: no room for all of it. */
static bool put_run(transfer_out_t *transfer)
{
	run_t *run = &transfer->run;
	while (run->left > 0) {
		const uint8_t *rdata;
		uint16_t len;
		const uint8_t *next = rrset_item(run->item, &rdata, &len);
		if (!(run->compresses ? put_compressing(transfer, rdata, len) : put_record(transfer, rdata, len))) {
			return false;
		}
		run->item = next;
		run->left--;
	}
	return true;
}

/* -- the way through the zone ----------------------------------------------------------------------------------------- */

/*! The owner does not stand in the message, unless it is the apex. */
static void forget_owner(transfer_out_t *transfer)
{
	transfer->owner_pointer = transfer->owner_len == 0 && !is_root(transfer) ? POINTER_APEX : 0;
}

/*! Field by field: a structure put together elsewhere and copied as a whole costs a stall of some 5 ns, a third of a record. */
static inline void enter_run(run_t *run, const uint8_t *items, uint16_t count, uint16_t type, uint32_t ttl)
{
	run->item = items;
	run->left = count;
	run->type = type;
	run->ttl = ttl;
	run->compresses = wire_compresses(type);
	run->is_begun = false;
}

static inline void enter_data(transfer_out_t *transfer)
{
	const rrset_t *rrset = &transfer->rrset;
	enter_run(&transfer->run, rrset->items, rrset->count, rrset->type, rrset->ttl);
}

static inline void enter_sigs(transfer_out_t *transfer)
{
	const rrset_t *rrset = &transfer->rrset;
	enter_run(&transfer->run, rrset->sigs, rrset->sig_count, KNOT_RRTYPE_RRSIG, rrset->sig_ttl);
}

/*! The SOA alone, which opens and closes the transfer. */
static void enter_soa(transfer_out_t *transfer)
{
	const snapshot_t *snapshot = transfer->snapshot;
	const bool found = rrset_find(snapshot->names.base, snapshot->apex_node, KNOT_RRTYPE_SOA, &transfer->rrset);
	assert(found);
	(void)found;
	transfer->owner = snapshot->apex;
	transfer->owner_len = 0;
	enter_data(transfer);
	forget_owner(transfer);
}

/*! The next run of the node, if there is one. The SOA has had its place, unlike its signatures. */
static bool next_of_node(transfer_out_t *transfer)
{
	assert(transfer->run.left == 0);
	do {
		if (transfer->has_sigs) {
			transfer->has_sigs = false;
			enter_sigs(transfer);
			continue;
		}
		if (!rrset_next(&transfer->walk, &transfer->rrset)) {
			return false;
		}
		transfer->has_sigs = transfer->rrset.sig_count > 0;
		if (transfer->rrset.type != KNOT_RRTYPE_SOA) {
			enter_data(transfer);
		}
	} while (transfer->run.left == 0);
	return true;
}

/*! Next leaf of both tries; ref 0: there is none. */
static arena_ref_t next_leaf(transfer_out_t *transfer)
{
	const snapshot_t *snapshot = transfer->snapshot;
	arena_ref_t ref = qp_next(&transfer->iter).ref;
	if (ref == 0 && transfer->iter.qp == &snapshot->names) {
		qp_begin(&snapshot->nsec3, &transfer->iter);
		ref = qp_next(&transfer->iter).ref;
	}
	if (ref != 0) {
		__builtin_prefetch(arena_at(snapshot->names.base, ref));
	}
	return ref;
}

static bool next_node(transfer_out_t *transfer)
{
	const arena_base_t base = transfer->snapshot->names.base;
	arena_ref_t *place = &transfer->ahead[transfer->next++ % AHEAD];
	const arena_ref_t ref = *place;
	if (ref == 0) {
		return false;
	}
	*place = next_leaf(transfer);
	transfer->owner = qp_name(base, ref, &transfer->owner_len);
	transfer->walk = rrset_begin(base, ref);
	forget_owner(transfer);
	return true;
}

/*! The next run of the zone; false: the closing SOA was the last. */
static bool next_run(transfer_out_t *transfer)
{
	if (next_of_node(transfer)) {
		return true;
	}
	if (transfer->is_closing) {
		return false;
	}
	while (next_node(transfer)) {
		if (next_of_node(transfer)) {
			return true;
		}
	}
	transfer->is_closing = true;
	enter_soa(transfer);
	return true;
}

transfer_out_t *transfer_out_new(snapshot_t *snapshot)
{
	transfer_out_t *transfer = malloc(sizeof(*transfer));
	if (transfer == NULL) {
		return NULL;
	}
	memset(transfer, 0, offsetof(transfer_out_t, suffix));
	transfer->snapshot = snapshot_pin(snapshot);
	qp_begin(&snapshot->names, &transfer->iter);
	for (unsigned i = 0; i < AHEAD; i++) {
		transfer->ahead[i] = next_leaf(transfer);
	}
	enter_soa(transfer);
	return transfer;
}

const snapshot_t *transfer_out_snapshot(const transfer_out_t *transfer)
{
	return transfer->snapshot;
}

transfer_out_status_t transfer_out_fill(transfer_out_t *transfer, message_t *msg)
{
	assert(msg->size <= msg->limit && msg->limit <= MESSAGE_MAX);
	transfer->msg = msg;
	transfer->limit = msg->limit;
	transfer->depth = 0;
	transfer->base = -1;
	forget_owner(transfer);

	do {
		if (!put_run(transfer)) {
			return msg->count[SECTION_ANSWER] > 0 ? TRANSFER_OUT_MORE : TRANSFER_OUT_TOO_LARGE;
		}
	} while (next_run(transfer));
	return TRANSFER_OUT_COMPLETE;
}

void transfer_out_free(transfer_out_t *transfer)
{
	if (transfer != NULL) {
		snapshot_unpin(transfer->snapshot);
		free(transfer);
	}
}
