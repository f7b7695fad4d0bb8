/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Writing a version of a zone into the messages of an outgoing transfer.
 */
#include "secondary/transfer_out.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/descriptor.h>

#include "stream.h"

/*! Owners that are fetched into the cache ahead: a node of a hosting zone takes some 20 ns to write, and 100 ns to come from memory. */
#define AHEAD 8

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
	rrset_iter_t walk;
	rrset_t rrset;
	bool has_sigs;            /*!< The signatures of \a rrset come after \a run. */
	run_t run;

	int32_t base;             /*!< Place from which references inside the RRset count; negative: it began elsewhere. */
	stream_t stream;          /*!< The message under way. */

	uint8_t full[UINT16_MAX]; /*!< For RDATA with names in full. */
};

/* -- names ------------------------------------------------------------------------------------------------------------ */

/*! Where the suffix of the owner stands that is \a len octets long, apex included. */
static uint16_t suffix_pos(const transfer_out_t *transfer, size_t len)
{
	const size_t apex_len = transfer->snapshot->apex_len;
	if (len <= apex_len) {
		return MESSAGE_HEADER + apex_len - len;
	}
	const stream_t *stream = &transfer->stream;
	unsigned i = stream->depth - 1;
	while (stream->suffix[i].len != len - apex_len) {
		assert(i > 0);
		i--;
	}
	return stream->suffix[i].pos;
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
		assert(target <= MESSAGE_REACH && target < label - transfer->stream.msg->wire);
		set16(label, WIRE_REF | target);
		label += 2;
	}
}

/*! Brings kept RDATA of an RRset that does not begin in this message into transfer->full, for sending; returns its octets. */
static uint16_t spell_rdata(transfer_out_t *transfer, const uint8_t *rdata, uint16_t len)
{
	const stream_t *stream = &transfer->stream;
	uint8_t owner[WIRE_NAME_MAX];
	memcpy(owner, stream->owner, stream->owner_len);
	memcpy(owner + stream->owner_len, stream->apex, stream->apex_len);
	const size_t full = rrset_rdata_full(&transfer->rrset, owner, stream->owner_len + stream->apex_len, rdata, len,
	                                     transfer->full);
	return stream_shorten_rdata(stream, transfer->run.type, transfer->full, full);
}

/* -- records ---------------------------------------------------------------------------------------------------------- */

static inline bool put_record(transfer_out_t *transfer, const uint8_t *rdata, uint16_t len)
{
	return stream_put(&transfer->stream, transfer->run.type, transfer->run.ttl, rdata, len);
}

/*! Writes a record with names that are kept compressed. */
static bool put_compressing(transfer_out_t *transfer, const uint8_t *rdata, uint16_t len)
{
	run_t *run = &transfer->run;
	if (run->is_begun && (transfer->base < 0 || transfer->stream.owner_pointer == 0)) {
		len = spell_rdata(transfer, rdata, len);
		return put_record(transfer, transfer->full, len);
	}
	if (!put_record(transfer, rdata, len)) {
		return false;
	}
	const message_t *msg = transfer->stream.msg;
	const size_t begin = msg->size - len;
	if (!run->is_begun) {
		run->is_begun = true;
		transfer->base = begin - HEAD_SIZE;
	}
	point_references(transfer, msg->wire + begin);
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
	stream_set_owner(&transfer->stream, snapshot->apex, 0);
	enter_data(transfer);
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
	size_t len;
	const uint8_t *owner = qp_name(base, ref, &len);
	stream_set_owner(&transfer->stream, owner, len);
	transfer->walk = rrset_begin(base, ref);
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
	memset(transfer, 0, offsetof(transfer_out_t, stream.suffix));
	transfer->snapshot = snapshot_pin(snapshot);
	transfer->stream.apex = snapshot->apex;
	transfer->stream.apex_len = snapshot->apex_len;
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
	transfer->base = -1;
	stream_set_message(&transfer->stream, msg);

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
