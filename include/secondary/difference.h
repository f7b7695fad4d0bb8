/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What changed from one version of a zone to the next: a difference sequence (RFC 1995, section 4) as data.
 *
 * It is made of an incoming increment, or computed from two snapshots where a full transfer replaced the zone; a snapshot is
 * amended by it (amend.h); it is kept for those who ask for increments (history.h). Once finished it never changes.
 *
 *     removed records, the old SOA first | added records, the new SOA first
 *
 * A record is as on the wire in network order, but that its owner is relative, and names in RDATA are in full:
 *
 *     octet   length of the relative owner, then its labels, lower case (0: the apex; as qp.h)
 *     u16 type | u16 class | u32 ttl | u16 rdlength | RDATA
 *
 * It stands like this in files, too: a change needs another STORE_FORMAT (store.h).
 *
 * Memory: one piece, that is all. Counted: held by the history of its zone, and by each transfer that sends it.
 * Threads: holding and releasing any; a maker one at a time. Blocks: no.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "secondary/snapshot.h"

typedef struct difference {
	int refs;                 /*!< Atomic. */
	uint32_t from, to;        /*!< Serials of both versions. */
	uint32_t removed, added;  /*!< Records of each kind, both at least 1: the SOAs. */
	size_t size;              /*!< Of \a octets. */
	size_t added_at;          /*!< Where the added records begin. */
	uint8_t octets[];
} difference_t;

/*! One record of a difference. Pointers are borrowed with it. */
typedef struct {
	const uint8_t *owner;     /*!< Relative labels. */
	uint8_t owner_len;
	uint16_t type;
	uint32_t ttl;
	uint16_t rdlen;
	const uint8_t *rdata;     /*!< Names in full. */
} difference_record_t;

/*! \brief Reads the record at \a at; returns where the next one stands. */
const uint8_t *difference_read(const uint8_t *at, difference_record_t *ret_record);

/*! \brief Counts one more holder. Thread: any. */
difference_t *difference_hold(difference_t *difference);

/*! \brief Counts one less; the last frees at once. NULL is a no-op. Thread: any. */
void difference_release(difference_t *difference);

/*! \brief Octets of memory. */
static inline size_t difference_memory(const difference_t *difference)
{
	return sizeof(*difference) + difference->size;
}

/*! \brief Whole in itself, as one read from a file must be? Every length within \a size octets, both SOAs with serials \a from and \a to at the apex and first, counts as said. */
bool difference_is_sound(const difference_t *difference);

/* Making one. */

/*! Collects the records of one difference after the other. Zeroed: ready. Own: difference_maker_clear(). */
typedef struct {
	uint8_t *at;              /*!< A difference_t under way, or NULL. */
	size_t size, capacity;
	size_t max;               /*!< Octets of one difference at most; 0: no limit. */
	bool is_adding;
} difference_maker_t;

/*!
 * \brief Takes the next record: removed ones, the old SOA first; after difference_maker_turn() the added ones, the new SOA first.
 *
 * \param owner  Relative labels, lower case, copied. \param rdata  In full, copied.
 * \return KNOT_EOK, KNOT_ENOMEM, KNOT_EZONESIZE (\a max), KNOT_EMALF (the first is not a SOA at the apex, or a later one is one).
 */
int difference_maker_put(difference_maker_t *maker, const uint8_t *owner, uint8_t owner_len, uint16_t type, uint32_t ttl,
                         const uint8_t *rdata, uint16_t rdlen);

/*! \brief From here on records are added ones. */
void difference_maker_turn(difference_maker_t *maker);

/*! \brief Ends the difference; \a ret_difference is own. The maker is ready for the next one. KNOT_EOK, KNOT_ENOMEM, KNOT_EMALF (no SOA on a side). */
int difference_maker_finish(difference_maker_t *maker, difference_t **ret_difference);

/*! \brief Frees what is under way. */
void difference_maker_clear(difference_maker_t *maker);

/*!
 * \brief Computes the difference between two versions of a zone, pinned both.
 *
 * One walk through the tries of both, side by side: O(records of both); nodes with the same octets are passed over.
 * Thread: any (not in a hook), no RCU: both are pinned. Blocks: no, but takes about 0.2 µs an owner.
 * \param max  Octets at most: beyond, a difference is worth less than the zone.
 * \param ret_difference  Own.
 * \return KNOT_EOK, KNOT_EZONESIZE (\a max), KNOT_ENOMEM.
 */
int difference_compute(const snapshot_t *old, const snapshot_t *new, size_t max, difference_t **ret_difference);
