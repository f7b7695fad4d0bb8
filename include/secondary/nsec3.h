/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The NSEC3 chain of a snapshot: which one, and where a name has its place in it (RFC 5155).
 *
 * The owners of NSEC3 records have a trie of their own (snapshot.h), whose canonical order is that of the hashes. It may
 * hold several chains at a time, while a signer goes from one salt to another. A version answers from one of them, chosen
 * when the version is complete: of those that NSEC3PARAM names, the first whose record for the apex is there.
 *
 * Which name is hashed when? The apex and the wildcard below it have their records looked up once for a version: they are
 * the closest encloser and the source of synthesis of most names that do not exist, so that such a name takes one hash,
 * that of the next closer name. All other names are hashed when they are asked for, existing ones too. Measured in a zone
 * of 500,000 delegations, half of them without DS: the hash is 75 ns (names up to 55 octets; 130 ns beyond), the denial of
 * a name 1.1 µs, an insecure referral 1.8 µs, most of it cache misses. A hash kept with a name would save its 75 ns, for
 * 20 octets and more of memory a name, hashing of all names at each load, and of all again when the salt changes in an
 * increment; a reference to the record would save a descent, too, and be stale after each change of the record it means.
 *
 * Threads: any, on a borrowed or pinned snapshot. Blocks: no. Nothing is allocated.
 */
#pragma once

#include "secondary/snapshot.h"

/*!
 * Most additional iterations that a name is hashed with (RFC 9276, section 3.2): what BIND, Unbound and Knot Resolver of
 * their time validate. At 75 ns each a query costs 11 µs a hash. A chain with more is not used for proofs.
 */
#define NSEC3_ITERATIONS_MAX  150

/*! Octets of a hash (SHA-1, the only algorithm there is). */
#define NSEC3_HASH_SIZE       20

/*!
 * \brief Chooses the chain of a version and finds what is kept of it: fills \a snapshot->chain.
 *
 * To be called once all else of the snapshot is filled, by its maker.
 */
void nsec3_choose(snapshot_t *snapshot);

/*!
 * \brief Hashes a name with the parameters of the chain.
 *
 * \param name  In full, lower case, \a len octets.
 */
void nsec3_hash(const nsec3_chain_t *chain, const uint8_t *name, size_t len, uint8_t ret_hash[NSEC3_HASH_SIZE]);

/*!
 * \brief Finds the NSEC3 record of the chain that matches the hash of \a name, or else the one that covers it.
 *
 * \param name          In full, lower case, \a len octets, in the zone.
 * \param ret_is_match  Does it match?
 * \return Its node; 0 if the chain has none within reach (NSEC3_STEPS_MAX in nsec3.c).
 */
arena_ref_t nsec3_find(const snapshot_t *snapshot, const uint8_t *name, size_t len, bool *ret_is_match);
