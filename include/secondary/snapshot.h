/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Reading one immutable version of a zone.
 *
 * A snapshot is two tries (owner names, and hashed owner names of NSEC3) over one arena. Hooks borrow it for the length
 * of their read section, transfers pin it; nobody changes it.
 *
 * A node is what a leaf refers to: one owner name with all its RRsets in one piece, so that an answer touches the trie
 * and then, mostly, one or two cache lines:
 *
 *     octet    length of the relative owner, then its labels (qp.h)
 *     octet    number of RRsets
 *     RRsets   in ascending order of type
 *
 * An RRset is kept ready to be sent, less what all its records share. Integers are in host order, unaligned:
 *
 *     u16 type | u16 count | u32 ttl | u32 flags (8 bits), octets of items (24 bits)
 *     [with RRSET_SIGNED:  u16 count | u32 ttl | u32 octets of items          ]
 *     items: u16 octets, RDATA          in canonical order of RDATA, without duplicates
 *     [signatures: items, RDATA of RRSIG]
 *
 * Nodes stand like this in files, too: a change needs another STORE_FORMAT (store.h).
 *
 * RDATA is in kept form (wire.h). RRSIGs stand beside the RRset that they cover; count is 0 where they cover nothing.
 * The TTL of an RRset is the least of its records' (RFC 2181, section 5.2).
 *
 * Lifetime. `cur` is published in a zone by one exchange (zone.h) and holds one reference for the publisher; it is given
 * up in a call_rcu() callback, so whoever borrows a snapshot may pin it without a test. Versions of one arena form a
 * chain, each holding the next: they die oldest first, and what a version's successor replaced (its scrap) dies with it.
 *
 *     amend() --> draft --snapshot_commit()--> successor of its base, published --snapshot_retire()--> last unpin
 *                   \--snapshot_discard()--> its octets are taken back, the base is as before
 */
#pragma once

#include <string.h>

#include "secondary/qp.h"
#include "secondary/qp_txn.h"
#include "secondary/rcu.h"

/*! Tags of leaves (qp_leaf_t.tag): what a look-up must know of an owner without touching the node. */
enum {
	NODE_CUT      = 1 << 0,  /*!< Has NS and is not the apex: a zone cut. */
	NODE_DNAME    = 1 << 1,  /*!< Has DNAME. */
	NODE_CNAME    = 1 << 2,  /*!< Has CNAME. */
	NODE_ASTERISK = 1 << 3,  /*!< Some label is "*": a wildcard (RFC 4592), or below one that may have no records itself. */
	NODE_NSEC     = 1 << 4,  /*!< Has NSEC: stands in the NSEC chain. */
	NODE_DS       = 1 << 5,  /*!< Has DS. */
};

/*! RRset flags. */
enum {
	RRSET_SIGNED    = 1 << 0, /*!< Signatures follow. */
	RRSET_OWNER_REF = 1 << 1, /*!< Some name refers to a suffix of the owner longer than the apex: such references hold
	                               only where the owner's name stands in the message in full. */
};

/*! Octets of one RRset's items at most: what 24 bits hold. The builder refuses a zone with a larger one. */
#define RRSET_SIZE_MAX  0xFFFFFF

/*! The timers and serial of a version (RFC 1035, section 3.3.13), seconds. */
typedef struct {
	uint32_t serial, refresh, retry, expire, minimum;
	uint32_t ttl;                     /*!< Of the SOA record itself. */
} soa_t;

/*! The NSEC3 chain that a version answers from (nsec3.h). Zeroed: none. */
typedef struct {
	const uint8_t *param;             /*!< RDATA of its NSEC3PARAM, in the arena; NULL: there is no chain. */
	arena_ref_t apex;                 /*!< Node of the NSEC3 that matches the apex; some node of a costly chain. */
	arena_ref_t wildcard;             /*!< Of the NSEC3 that matches or covers the wildcard below the apex. */
	bool wildcard_matches;            /*!< Which of both. */
	bool is_costly;                   /*!< Too many iterations: no name is hashed. */
	bool has_notes;                   /*!< Leaves of owner names keep hashes: nsec3_keep(). */
	bool lost_notes;                  /*!< They do not, because of an increment: a copy would have them again. */
} nsec3_chain_t;

typedef struct snapshot {
	struct rcu_head rcu;
	int refs;                         /*!< Publisher, predecessor, pins. Atomic. */
	arena_t *arena;                   /*!< Held. */
	qp_t names;                       /*!< Owner names. */
	qp_t nsec3;                       /*!< Owners of NSEC3 records. */
	struct snapshot *base;            /*!< Of a draft, pinned: the version it was made on top of; else NULL. */
	struct snapshot *successor;       /*!< Next version in the same arena, held; or NULL. */
	scrap_list_t scrap;               /*!< What the successor replaced; of a draft: what it replaces itself, to be given to its base. */
	arena_ref_t apex_node;            /*!< The apex, which every zone has. */
	soa_t soa;
	uint64_t records;                 /*!< Resource records, RRSIGs included. */
	uint64_t octets;                  /*!< Sum of their uncompressed wire. */
	uint32_t wildcards;               /*!< Owners with NODE_ASTERISK; 0 spares look-ups. */
	bool is_signed;                   /*!< The SOA has signatures: so have others, and DO asks for them. */
	bool has_nsec;                    /*!< The apex has NSEC: the zone has an NSEC chain. */
	nsec3_chain_t chain;              /*!< Goes before NSEC. */
	uint8_t apex_len;                 /*!< Octets of the apex' name, root label included. */
	uint8_t apex[];                   /*!< The apex, lower case. */
} snapshot_t;

/*! One RRset as readers see it. Pointers are borrowed with the snapshot. */
typedef struct {
	uint16_t type;
	uint16_t count;                   /*!< Records; 0: only stray signatures. */
	uint32_t ttl;
	uint8_t flags;
	uint32_t size;                    /*!< Octets of \a items. */
	const uint8_t *items;
	uint16_t sig_count;
	uint32_t sig_ttl;
	uint32_t sig_size;
	const uint8_t *sigs;
} rrset_t;

/*! A walk over the RRsets of a node. */
typedef struct {
	const uint8_t *pos;
	unsigned left;
} rrset_iter_t;

/*! \brief Starts a walk over the node at \a ref. */
static inline rrset_iter_t rrset_begin(arena_base_t base, arena_ref_t ref)
{
	const uint8_t *node = arena_at(base, ref);
	const uint8_t *pos = node + 1 + node[0];
	return (rrset_iter_t) { .pos = pos + 1, .left = pos[0] };
}

/*! \brief Next RRset of the walk; false at its end. */
static inline bool rrset_next(rrset_iter_t *iter, rrset_t *ret)
{
	if (iter->left == 0) {
		return false;
	}
	iter->left--;

	const uint8_t *p = iter->pos;
	uint32_t word;
	memcpy(&ret->type, p, 2);
	memcpy(&ret->count, p + 2, 2);
	memcpy(&ret->ttl, p + 4, 4);
	memcpy(&word, p + 8, 4);
	p += 12;
	ret->flags = word >> 24;
	ret->size = word & 0xFFFFFF;
	ret->sig_count = 0;
	ret->sig_ttl = 0;
	ret->sig_size = 0;
	if (ret->flags & RRSET_SIGNED) {
		memcpy(&ret->sig_count, p, 2);
		memcpy(&ret->sig_ttl, p + 2, 4);
		memcpy(&ret->sig_size, p + 6, 4);
		p += 10;
	}
	ret->items = p;
	ret->sigs = p + ret->size;
	iter->pos = ret->sigs + ret->sig_size;
	return true;
}

/*! \brief Goes over the next RRset of the walk, which is not at its end. */
static inline void rrset_skip(rrset_iter_t *iter)
{
	const uint8_t *p = iter->pos;
	uint32_t word;
	uint32_t sig_size;
	memcpy(&word, p + 8, 4);
	p += 12;
	if (word >> 24 & RRSET_SIGNED) {
		memcpy(&sig_size, p + 6, 4);
		p += 10 + sig_size;
	}
	iter->pos = p + (word & 0xFFFFFF);
	iter->left--;
}

/*!
 * \brief The RRset of \a type at the node \a ref; false: there is none with records (stray signatures do not count).
 *
 * \param ret  Set, if true.
 */
static inline bool rrset_find(arena_base_t base, arena_ref_t ref, uint16_t type, rrset_t *ret)
{
	for (rrset_iter_t iter = rrset_begin(base, ref); iter.left > 0; rrset_skip(&iter)) {
		uint16_t at;
		memcpy(&at, iter.pos, 2);
		if (at >= type) {
			return at == type && rrset_next(&iter, ret) && ret->count > 0;
		}
	}
	return false;
}

/*! \brief One item (record) at \a item: its RDATA and length; returns the next item. */
static inline const uint8_t *rrset_item(const uint8_t *item, const uint8_t **ret_rdata, uint16_t *ret_len)
{
	memcpy(ret_len, item, 2);
	*ret_rdata = item + 2;
	return item + 2 + *ret_len;
}

/*!
 * \brief Undoes the kept form: writes RDATA with all names in full.
 *
 * \param rrset      The RRset that the record is in (not asked for other types than those of wire_compresses()).
 * \param owner      Its owner in full, \a owner_len octets; of a wildcard, the asterisk or what stands for it.
 * \param rdata      A record's RDATA (rrset_item()), \a len octets.
 * \param dst        At least 65,535 octets.
 * \return Octets written.
 */
size_t rrset_rdata_full(const rrset_t *rrset, const uint8_t *owner, size_t owner_len, const uint8_t *rdata, uint16_t len,
                        uint8_t *dst);

/*! \brief Octets that the node at \a ref was allocated with. */
size_t node_size(arena_base_t base, arena_ref_t ref);

/*! \brief Do the lengths in a node that was read from somewhere fit each other and its \a size, to the octet? */
bool node_is_sound(const uint8_t *node, size_t size);

/*!
 * \brief Pins: counts one more holder of a borrowed (or already pinned) snapshot.
 *
 * Thread: any. RCU: inside the read section of the borrow. Blocks: no. Own: snapshot_unpin() it.
 */
snapshot_t *snapshot_pin(snapshot_t *snapshot);

/*!
 * \brief Gives a pin back; the last one frees what only this version uses. NULL is a no-op.
 *
 * Thread: any registered. Blocks: no; memory is freed by the call_rcu() helper, not by the caller.
 */
void snapshot_unpin(snapshot_t *snapshot);

/*!
 * \brief Gives up the publisher's reference after a grace period. NULL is a no-op.
 *
 * To be called once by whoever has just exchanged the published pointer. Thread: any registered. Blocks: no (call_rcu()).
 */
void snapshot_retire(snapshot_t *snapshot);

/*!
 * \brief Makes a draft (amend.h) the successor of its base: it can be published now. Of another snapshot a no-op.
 *
 * Seals the arena, gives the scrap to the base, which holds the draft from now on. Thread: the zone's writer, registered.
 * Blocks: no.
 */
void snapshot_commit(snapshot_t *draft);

/*!
 * \brief Frees a version that was never published, draft or not, at once. NULL is a no-op.
 *
 * A draft's octets leave the arena as if they had never been. Thread: the zone's writer, registered. Blocks: no.
 */
void snapshot_discard(snapshot_t *snapshot);

/*! \brief Octets of memory that this version holds: its arena (shared with its neighbours) and itself. Thread: any. */
size_t snapshot_memory(const snapshot_t *snapshot);

/*!
 * \brief Writes the SOA record of the version, its owner as a pointer to the question, whose name is the apex; returns its octets.
 *
 * \param dst  Room for 12 octets and the RDATA in full: two names and 20 octets. Thread: any.
 */
size_t snapshot_write_soa(const snapshot_t *snapshot, uint8_t *dst);

/*! \brief Compares serials (RFC 1982): is \a a newer than \a b? False for equal and for undefined pairs. */
static inline bool serial_newer(uint32_t a, uint32_t b)
{
	return a != b && (uint32_t)(a - b) < 0x80000000u;
}
