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
 * that of the next closer name. Other names that own records keep a piece of their hash in the note of their leaf (qp.h),
 * where there is room for them at no cost. What is hashed when it is asked for: next closer names, wildcards that do not
 * exist below other closest enclosers than the apex, empty non-terminals, which have no leaf, and the few names whose
 * piece does not tell. A hash is 75 ns (names up to 55 octets; 130 ns beyond) for each iteration and one more. Hashing and
 * looking up all names at a load is about 0.4 µs each, half of it cache misses: 0.2 s for 500,000 delegations, which take
 * 0.4 s to build.
 *
 * A note has 31 bits of the hash, and one that tells whether the name has an NSEC3 record of its own. It is as good as the
 * hash: it is kept only if the owners of NSEC3 records that begin with the same 31 bits are none (the name is covered by the
 * last owner before them) or one alone, which is the whole hash (it matches); five names in 100,000 are without in a zone
 * of 100,000. Where a note is found to be wrong about that, the name is hashed. A reference to the record would save the
 * descent, too, but be stale after each change of the record it means.
 *
 * What an increment owes to the notes that its version inherits: a leaf that stays keeps its note, one that is put again
 * loses it, which is always safe. \a chain.has_notes must not be inherited, and all names are hashed, if the version
 * - is of another chain: what \a chain.param refers to is not the same octets;
 * - adds an owner of NSEC3 that is no hash, or one that agrees in its first 31 bits with one beside it;
 * - has lost an owner of NSEC3 whose name stays and is not put again: a later one with the same 31 bits would be taken
 *   for it. (Whoever can tell that the name is gone need not fear: no leaf, no note.)
 * nsec3_inherit() looks after all that, and gives those that were put again their notes.
 *
 * Threads: any, on a borrowed or pinned snapshot; nsec3_choose() and nsec3_keep() that of its maker. Blocks: no. Nothing is
 * allocated for longer than a call.
 */
#pragma once

#include "secondary/snapshot.h"

/*!
 * Most additional iterations that a name is hashed with (RFC 9276, section 3.2): what BIND, Unbound and Knot Resolver of
 * their time validate. At 75 ns each a query costs 11 µs a hash. A chain with more is not used for proofs.
 */
#define NSEC3_ITERATIONS_MAX  150

/*!
 * Blocks that are hashed at a load for the names to keep, at most: 0.7 s of the background thread, for which other zones
 * wait. That is a zone of 8 million names without iterations, which takes many times as long to load, or one of 55,000 with
 * 150. In larger ones names are hashed when they are asked for.
 */
#define NSEC3_KEEP_BLOCKS_MAX (8u << 20)

/*! Octets of a hash (SHA-1, the only algorithm there is). */
#define NSEC3_HASH_SIZE       20

/*!
 * \brief Chooses the chain of a version and finds what is kept of it: fills \a snapshot->chain.
 *
 * To be called once all else of the snapshot is filled, by its maker.
 */
void nsec3_choose(snapshot_t *snapshot);

/*!
 * \brief Hashes the names of a version and notes the hashes in their leaves: sets \a snapshot->chain.has_notes.
 *
 * To be called after nsec3_choose(), before the version is sealed. Names below zone cuts are left out: no proof is about
 * them. Nothing is kept, and all works without, if there is no chain to prove from, too much to hash, an owner of NSEC3
 * that is no hash, or no memory for those that are (24 octets each, until this returns).
 *
 * \param names  The transaction that makes snapshot->names, from nothing; holds the same trie.
 */
void nsec3_keep(snapshot_t *snapshot, qp_txn_t *names);

/*! Owners that an increment touches, as their nodes; all may be read through the version that it makes. */
typedef struct {
	const arena_ref_t *node;
	size_t count;
} nsec3_owners_t;

/*! What an increment does to both tries. */
typedef struct {
	nsec3_owners_t put;       /*!< Names whose leaf was put: new ones, changed ones. */
	nsec3_owners_t gone;      /*!< Names that were removed. */
	nsec3_owners_t added;     /*!< Owners of NSEC3 that are new. */
	nsec3_owners_t lost;      /*!< Owners of NSEC3 that were removed. */
} nsec3_changes_t;

/*!
 * \brief Inherits the notes of the version before, if they hold, and makes those of the names that were put: sets
 *        \a snapshot->chain.has_notes or, if a copy of the version would have notes, lost_notes.
 *
 * As nsec3_keep(), for a version that was made on top of \a base. Hashes what was put and, if owners of NSEC3 are lost, what
 * could be their names: what is put or gone, and the empty non-terminals above. About 1 µs each.
 * \param names  The transaction that makes snapshot->names; holds the same trie.
 */
void nsec3_inherit(snapshot_t *snapshot, const snapshot_t *base, const nsec3_changes_t *changes, qp_txn_t *names);

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
 * \param note          Of its leaf; 0: none is known.
 * \param ret_is_match  Does it match?
 * \return Its node; 0 if the chain has none within reach (NSEC3_STEPS_MAX in nsec3.c).
 */
arena_ref_t nsec3_find(const snapshot_t *snapshot, const uint8_t *name, size_t len, uint32_t note, bool *ret_is_match);
