/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Writing a node (snapshot.h): the records of one owner into one piece, and back.
 *
 * Builder and amend make their nodes here, so that a zone is the same to the octet whichever way it came. A maker has
 * memory for one owner at a time and keeps it for the next:
 *
 *     begin, add …, sort, write                    an owner from nothing
 *     begin, change …, apply (to its node), write  an owner that changes: only RRsets that are touched are taken apart
 *
 * What is checked of an owner: nothing beside a CNAME but its signatures, NSEC and KEY (RFC 2181, section 10.1; RFC 4035,
 * section 2.5), one CNAME and one DNAME, sizes. Duplicates are dropped, an RRset gets the least of its records' TTLs.
 *
 * Threads: a maker has one user at a time. Nothing blocks.
 */
#pragma once

#include <libknot/dname.h>

#include "secondary/buffer.h"
#include "secondary/snapshot.h"
#include "secondary/wire.h"

/*! Octets of a reason with the last 0. */
#define NODE_ERROR_MAX  (KNOT_DNAME_TXT_MAXLEN + 128)

/*! Octets of a record beside its owner and RDATA. */
#define NODE_RECORD_FIXED  10

/*! Which trie a record belongs to: NSEC3 and what signs it stand apart. */
typedef enum { NODE_NAMES, NODE_NSEC3, NODE_TRIES } node_trie_t;

/*! What a record does. */
typedef enum {
	NODE_IS,                  /*!< It is there. */
	NODE_ADD,                 /*!< It is added: must not be there. */
	NODE_REMOVE,              /*!< It is removed: must be there. */
} node_change_t;

/*! A record of the current owner. */
typedef struct {
	uint32_t key;             /*!< Its place in the node: trie, type of the RRset, signatures last. */
	uint32_t ttl;
	uint32_t at;              /*!< Where its RDATA is in the maker's memory; grows from one record to the next. */
	uint16_t len;
	uint16_t change;          /*!< node_change_t. */
} node_record_t;

/*! What a node adds to a zone's sums, and to its leaf. */
typedef struct {
	uint64_t records;
	uint64_t octets;
	uint16_t tag;
} node_sums_t;

typedef struct {
	uint8_t owner[WIRE_NAME_MAX]; /*!< In full, \a owner_len octets. */
	size_t owner_len;
	size_t apex_len;              /*!< Of the zone's name; set once. */
	buffer_t record;              /*!< Of node_record_t. */
	buffer_t rdata;
	buffer_t merged;              /*!< Of node_record_t: where changes meet what is there. */
	buffer_t kept;                /*!< RRsets that no change touches. */
	buffer_t node;                /*!< The node that was written. */
	wire_keeper_t keeper;
	char error[NODE_ERROR_MAX];   /*!< What was wrong, in words that end a log line. */
} node_maker_t;

/*! \brief Frees what the maker keeps. Zeroed is a no-op. */
void node_maker_clear(node_maker_t *maker);

/*! \brief Notes what is wrong at \a owner (in full; NULL: with the zone) and returns \a code. */
int node_maker_fail(node_maker_t *maker, int code, const uint8_t *owner, const char *what);

/*! \brief Begins an owner without records. \a owner in full, lower case, copied. */
void node_maker_begin(node_maker_t *maker, const uint8_t *owner, size_t owner_len);

/*!
 * \brief Adds a record of the current owner. RDATA in full, copied.
 *
 * \param change  NODE_IS for all records, or other than that for all.
 * \return KNOT_EOK, KNOT_ENOMEM, KNOT_EZONESIZE (more than is held of one owner), KNOT_EMALF (RRSIG without type).
 */
int node_maker_add(node_maker_t *maker, uint16_t type, uint32_t ttl, const uint8_t *rdata, uint16_t len,
                   node_change_t change);

/*! \brief Puts the records in the order of a node: those of NODE_NAMES first. \return How many of the records are theirs. */
size_t node_maker_sort(node_maker_t *maker);

/*! \brief The records of the current owner, and their number. Borrow: until the next one. */
static inline const node_record_t *node_maker_records(const node_maker_t *maker, size_t *ret_count)
{
	*ret_count = maker->record.size / sizeof(node_record_t);
	return (const node_record_t *)(const void *)maker->record.at;
}

/*! \brief RDATA of a record. */
static inline const uint8_t *node_maker_rdata(const node_maker_t *maker, const node_record_t *record)
{
	return maker->rdata.at + record->at;
}

/*! \brief Trie, and type as it was given, of a record. */
node_trie_t node_record_trie(const node_record_t *record);
uint16_t node_record_type(const node_record_t *record);

/*! \brief Trie that a record belongs to. \a rdlen octets of \a rdata, two at least in RRSIG. */
node_trie_t node_trie(uint16_t type, const uint8_t *rdata);

/*!
 * \brief Adds all records of the node at \a ref, with NODE_IS, and what they are to \a ret_sums (but the tag).
 *
 * \return As node_maker_add().
 */
int node_maker_load(node_maker_t *maker, arena_base_t base, arena_ref_t ref, node_sums_t *ret_sums);

/*!
 * \brief Applies the changes, which are the records so far and all of one trie, to the node at \a ref (0: none) of the owner.
 *
 * For each record the changes are made in their order, strictly. A SOA is replaced by the one that is added.
 * Afterwards the records are those of the RRsets that changes touch, sorted; others are kept for node_maker_write() as they are.
 * \param ret_sums   What the records that were taken apart are; the tag of all of the node is not set.
 * \return KNOT_EOK, KNOT_ENOENT (something removed is not there, something added is), and as node_maker_add().
 */
int node_maker_apply(node_maker_t *maker, arena_base_t base, arena_ref_t ref, node_sums_t *ret_sums);

/*! \brief Is anything left of the owner, after node_maker_apply()? */
bool node_maker_is_empty(const node_maker_t *maker);

/*!
 * \brief Writes the node of the current owner: \a count sorted records at \a record (of this maker), and what is kept.
 *
 * It stands in maker->node until the next one.
 * \param ret_sums  What the records are, duplicates not counted, without what is kept; and the tag of the whole node.
 * \return KNOT_EOK, KNOT_ENOMEM, KNOT_EZONESIZE (RRSET_SIZE_MAX, 65,535 records in an RRset, 255 RRsets), KNOT_EMALF.
 */
int node_maker_write(node_maker_t *maker, const node_record_t *record, size_t count, node_sums_t *ret_sums);

/*!
 * \brief Reads what a version says of itself at its apex: apex_node, soa, is_signed, has_nsec; \a names is its trie.
 *
 * \return KNOT_EOK, KNOT_EMALF (no SOA, no NS, an SOA too short).
 */
int node_maker_read_apex(node_maker_t *maker, const qp_t *names, snapshot_t *snapshot);
