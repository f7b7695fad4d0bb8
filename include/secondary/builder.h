/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Making the next snapshot of a zone from records, in any order, with all checks of content.
 *
 * A builder collects the records of one owner after the other into nodes and puts them into the tries. Transfers send
 * the records of an owner together; the records of an owner that comes again are set aside and merged once at the end, so
 * no order of records costs more than sorting them. Nothing that a builder does is visible to readers until the caller
 * publishes the snapshot that builder_finish() returns; a failed or abandoned one leaves no trace.
 *
 * Checks: names within the zone; one SOA, at the apex, the same whenever it comes; at least one NS at the apex; nothing
 * beside a CNAME but its signatures, NSEC and KEY (RFC 2181, section 10.1; RFC 4035, section 2.5), one CNAME and one
 * DNAME an owner; sizes. Duplicate records are dropped, unequal TTLs in an RRset take the least, names below a cut and
 * glue are kept. Names in RDATA keep their case, owners are folded.
 *
 * Threads: one at a time, no RCU. Blocks: no; each call is short but builder_finish(), which takes time proportional to
 * what was set aside.
 */
#pragma once

#include "secondary/snapshot.h"

typedef struct builder builder_t;

typedef struct {
	uint64_t max_octets;   /*!< Refuse more than this sum of uncompressed wire, duplicates included; 0: no limit. */
	size_t size_hint;      /*!< Octets of memory expected (the version that is replaced); 0: unknown. */
} builder_limits_t;

/*!
 * \brief Begins a zone from nothing.
 *
 * \param apex    Name of the zone, any case; copied.
 * \param limits  Copied.
 * \return Own (builder_free(), or taken by builder_finish()), or NULL (no memory).
 */
builder_t *builder_new(const uint8_t *apex, const builder_limits_t *limits);

/*!
 * \brief Adds one record.
 *
 * \param owner  Name in full, lower case, \a owner_len octets. Copied.
 * \param rdata  In full (wire_rdata_read()), \a rdlen octets. Copied.
 * \return KNOT_EOK (also for a duplicate), KNOT_EOUTOFZONE (owner), KNOT_EZONESIZE (max_octets), KNOT_EMALF (a second SOA,
 *         an SOA below the apex), KNOT_ENOMEM, KNOT_ESPACE. What is wrong with an owner as a whole is found when the next
 *         one begins, or by builder_finish(): KNOT_EZONESIZE (RRSET_SIZE_MAX or 65,535 records in an RRset, 255 RRsets),
 *         KNOT_EMALF. After an error only builder_error() and builder_free() may be called.
 */
int builder_add(builder_t *builder, const uint8_t *owner, size_t owner_len, uint16_t type, uint32_t ttl,
                const uint8_t *rdata, uint16_t rdlen);

/*!
 * \brief Puts the node of an owner as another version had it (snapshot.h), in place of its records; not together with builder_add().
 *
 * What it holds is believed, lengths are not; sums are not counted: builder_set_sums().
 * \param tag       Of its leaf.
 * \param is_nsec3  It is one of NSEC3 (and stands in that trie).
 * \return KNOT_EOK, KNOT_EMALF (malformed, or the owner was there), KNOT_ENOMEM, KNOT_ESPACE.
 */
int builder_put_node(builder_t *builder, const uint8_t *node, size_t size, uint16_t tag, bool is_nsec3);

/*! \brief Says what the records of all nodes put come to (snapshot_t). */
void builder_set_sums(builder_t *builder, uint64_t records, uint64_t octets);

/*!
 * \brief Completes the zone.
 *
 * Takes \a builder on success.
 * \param ret_snapshot  Own: publish it, or snapshot_unpin() it. Untouched on failure.
 * \return KNOT_EOK, KNOT_EMALF (a check of content failed: builder_error() says which), KNOT_EZONESIZE, KNOT_ENOMEM,
 *         KNOT_ESPACE. On failure the builder stays the caller's, for builder_error() and builder_free().
 */
int builder_finish(builder_t *builder, snapshot_t **ret_snapshot);

/*! \brief What was wrong, in words that end a log line ("CNAME beside other data at a.example."); "" when nothing was. Borrow. */
const char *builder_error(const builder_t *builder);

/*! \brief Records and octets (uncompressed wire) taken so far. */
void builder_progress(const builder_t *builder, uint64_t *ret_records, uint64_t *ret_octets);

/*! \brief Frees a builder with all it made. NULL is a no-op. */
void builder_free(builder_t *builder);
