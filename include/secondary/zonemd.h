/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Does the digest that a zone carries match its contents (ZONEMD, RFC 8976)?
 *
 * Scheme SIMPLE with SHA-384 and SHA-512. All records of a snapshot are hashed in canonical order and form: the owners of
 * both tries as one sequence, RRsets by type, with RRSIG as type 46 among them, names in RDATA folded for the types of
 * RFC 4034, section 6.2, TTLs as they came. Left out are ZONEMD at the apex and its signatures. Glue and occluded names
 * count; records outside the zone and duplicates are in no snapshot.
 *
 * A ZONEMD record is used if its serial is the SOA's, its scheme and algorithm are known, and it is the only one with both
 * of them. One that matches is enough; with two algorithms both hashes are computed in one walk. Signatures are not looked
 * at: without them the digest guards against accidents alone (RFC 8976, section 6.1); whom to believe is TSIG's matter.
 *
 * The work is done in steps of the caller's size, so that a large zone holds up nobody: about 0.5 GB a second for each
 * algorithm, and 0.2 µs a record besides. A step ends between owners: at worst it is as long as the largest owner.
 *
 * Threads: any, one at a time, on a snapshot that the caller holds. Blocks: no. Memory: 170 KiB while it lasts.
 */
#pragma once

#include "secondary/snapshot.h"

typedef struct zonemd zonemd_t;

/*! What is demanded of a version (item `zonemd-verify`). */
typedef enum {
	ZONEMD_OFF,           /*!< Nothing. */
	ZONEMD_IF_PRESENT,    /*!< If there is a digest that can be checked, it matches. */
	ZONEMD_REQUIRE,       /*!< There is one that matches. */
} zonemd_policy_t;

typedef enum {
	ZONEMD_MORE,          /*!< Not known yet: zonemd_step() again. */
	ZONEMD_VERIFIED,
	ZONEMD_ABSENT,        /*!< No ZONEMD at the apex. */
	ZONEMD_UNSUPPORTED,   /*!< Other schemes and algorithms only. */
	ZONEMD_DUPLICATE,     /*!< Several with the same scheme and algorithm, none else. */
	ZONEMD_SERIAL,        /*!< Those that could be used are for another serial. */
	ZONEMD_MISMATCH,      /*!< The zone is not what was hashed. */
	ZONEMD_FAILED,        /*!< No memory, or no hashing. */
} zonemd_result_t;

/*! \brief Begins. \a snapshot is borrowed until zonemd_free(). Own, or NULL (no memory). */
zonemd_t *zonemd_new(const snapshot_t *snapshot);

/*!
 * \brief Goes on with about \a octets of the zone (uncompressed wire).
 *
 * Not to be called again after another result than ZONEMD_MORE. What needs no hashing is told by the first call.
 */
zonemd_result_t zonemd_step(zonemd_t *zonemd, size_t octets);

/*! \brief Frees. NULL is a no-op. */
void zonemd_free(zonemd_t *zonemd);

/*!
 * \brief Why a version with \a result (not ZONEMD_MORE) is refused, in words that end a log line; NULL: it is not.
 *
 * With ZONEMD_IF_PRESENT a zone whose digests are all of other schemes or algorithms is as good as one without any, as for
 * Unbound; whoever wants it refused, as knotd does, says ZONEMD_REQUIRE. A digest for another serial, or a doubled one, is a
 * failure for all of them.
 */
const char *zonemd_refusal(zonemd_policy_t policy, zonemd_result_t result);
