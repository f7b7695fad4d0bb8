/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Proofs that names and types do not exist, in the authority section (RFC 4035, section 3.1.3; RFC 5155, section 7.2).
 *
 *                                NSEC                               NSEC3
 *     no such name               covers the name;                   matches the closest encloser; covers the next
 *                                covers its source of synthesis     closer name; covers the source of synthesis
 *     no such type               matches the name                   matches the name
 *       empty non-terminal       covers it                          matches it
 *       from a wildcard          matches the wildcard;              matches the wildcard; matches the closest
 *                                covers the name                    encloser; covers the next closer name
 *     expanded from a wildcard   covers the name                    covers the next closer name
 *     referral without DS        matches the cut                    matches the cut
 *
 * With opt-out, a name that has no NSEC3 of its own (an insecure delegation, or what is only above such) is denied by that of
 * the closest provable encloser and the one that covers the next closer name (RFC 5155, sections 7.2.4 and 7.2.7); it is
 * found by the same search, whether a record says opt-out or not. A record stands once in a message.
 *
 * What a zone does not have is left out, and the answer goes without: denying is the signer's work, telling what there
 * is ours. Of a chain with too many iterations (NSEC3_ITERATIONS_MAX) any one record is sent: a validator sees the iterations
 * in it and takes the answer for insecure; without, it were bogus.
 *
 * Threads: any; the message is the caller's. RCU: the snapshot is borrowed or pinned. Nothing allocates or blocks.
 */
#pragma once

#include "secondary/section.h"

/*! Proof records in one message: two or three for its end, one for each alias that a wildcard made. More are not sent. */
#define DENIAL_RECORDS_MAX  32

/*! A name looked up, and what the zone has for it: all that a proof has to know. */
typedef struct {
	const uint8_t *name;      /*!< In full, lower case. */
	uint8_t len;
	uint8_t encloser_len;     /*!< Octets of the closest encloser's name; set where there is no match. */
	uint32_t encloser_note;   /*!< Of its leaf; 0: none. Set as encloser_len, but not looked at by denial_expansion(). */
	bool is_expanded;         /*!< There is no match, but a wildcard below the closest encloser. */
	place_t place;            /*!< Of name, in the message. */
	qp_key_t key;
	qp_path_t path;           /*!< Not looked at by proofs. */
} lookup_t;

/*! The proofs of one message. Zeroed but for the first two: none yet. */
typedef struct {
	message_t *msg;
	const snapshot_t *snapshot; /*!< Of the name that the next proof is about; aliases go from zone to zone. */
	bool is_costly;           /*!< Out: left unproven, too many iterations of NSEC3 (EDE 27, RFC 9276, section 3.2). */
	unsigned count;
	struct {
		const snapshot_t *snapshot;
		arena_ref_t node;
	} record[DENIAL_RECORDS_MAX]; /*!< Owners of the records that are in the message; set as far as they are counted. */
} denial_t;

/*!
 * \brief Proves that a name has not the type asked for, be it the name looked up or a zone cut above it (DS).
 *
 * \param len   Octets of the name: \a at->len, or those of the cut.
 * \param leaf  What was found for it: its own, that of the wildcard expanded; ref 0: it is an empty non-terminal.
 * \return KNOT_EOK, KNOT_ESPACE (does not fit), KNOT_EEXIST (another name has the same hash, RFC 5155, section 7.2.9).
 */
int denial_nodata(denial_t *denial, const lookup_t *at, uint8_t len, qp_leaf_t leaf);

/*! \brief Proves that the name looked up does not exist, nor a wildcard for it. Returns as denial_nodata(). */
int denial_nxdomain(denial_t *denial, const lookup_t *at);

/*! \brief Proves that the name looked up does not exist, so that a wildcard stands in for it. Returns as denial_nodata(). */
int denial_expansion(denial_t *denial, const lookup_t *at);
