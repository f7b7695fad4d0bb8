/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Writing a qp-trie: a transaction makes the next version and leaves the one it began with untouched.
 *
 * A change copies the vectors of twigs on its path that are sealed (arena.h) and shares all others, so k changes in a
 * trie of n leaves cost O(k log n). Vectors made in the same transaction are changed in place, and those it gives up are
 * used again by it, so a bulk load wastes little. Names that come in canonical order, from the first on, into a trie from nothing
 * are cheapest: nothing is looked up, and each vector is written once; the trie can be read after qp_txn_settle() then. Each sealed vector or object that the new version no longer refers to
 * is noted in a list of scrap, which the committer hands to the version that is being replaced: it is dead when that
 * version, and all before it, are.
 *
 * Threads: one writer. RCU: none (works on unpublished memory). Blocks: no. After an error the transaction can only be
 * thrown away: qp_txn_clear(), then arena_rollback() by the owner of the arena.
 */
#pragma once

#include "secondary/qp.h"

/*! Vectors of up to this many twigs exist: one for each symbol. */
#define QP_TWIGS_MAX  47

/*! Octets of an arena that lose their last reader with a version. */
typedef struct {
	arena_ref_t ref;
	uint32_t size;
} scrap_t;

/*! A growing list of them. Zeroed: empty. Own: free \a item, or move it. */
typedef struct {
	scrap_t *item;
	uint32_t count;
	uint32_t capacity;
} scrap_list_t;

/*! \brief Appends; KNOT_EOK or KNOT_ENOMEM. */
int scrap_add(scrap_list_t *list, arena_ref_t ref, uint32_t size);

/*! \brief Frees the list's memory and empties it. */
void scrap_clear(scrap_list_t *list);

typedef struct {
	arena_t *arena;                         /*!< Borrowed from the caller, who holds it. */
	qp_t qp;                                /*!< The version being made; readable by the writer, of a trie from nothing once it is settled. */
	struct qp_spine *spine;                 /*!< Names come in order so far; NULL: the trie is settled. Own. */
	scrap_list_t *scrap;                    /*!< Where sealed garbage is noted; shared by the tries of a zone. */
	arena_ref_t spare[QP_TWIGS_MAX + 1];    /*!< Vectors given up in this transaction, by number of twigs. */
} qp_txn_t;

/*!
 * \brief Begins a transaction on top of \a from (NULL: a trie from nothing) in \a arena.
 *
 * \param scrap  Gets the sealed vectors that are replaced; must outlive the transaction.
 */
void qp_txn_begin(qp_txn_t *txn, arena_t *arena, const qp_t *from, scrap_list_t *scrap);

/*!
 * \brief Puts the object at \a ref (which begins with its name, qp.h), or replaces the one with the same name.
 *
 * \param ret_old  The replaced leaf (ref 0: none). What becomes of its object is the caller's business. May be NULL.
 * \return KNOT_EOK, KNOT_ENOMEM, KNOT_ESPACE.
 */
int qp_txn_put(qp_txn_t *txn, arena_ref_t ref, uint16_t tag, qp_leaf_t *ret_old);

/*!
 * \brief Makes a trie from nothing readable (txn->qp); of others, and the second time, a no-op.
 *
 * Names put after it find their places by looking, in whatever order they come; so does the first one that is out of order.
 * \return KNOT_EOK, KNOT_ENOMEM, KNOT_ESPACE.
 */
int qp_txn_settle(qp_txn_t *txn);

/*!
 * \brief Sets the note of the leaf that \a iter stands at, in place: nothing is copied, and iterators go on.
 *
 * The leaf, or one beside it, was put in this transaction, so that their vector may still be written. Whoever copies the
 * vector later copies the note; to put the leaf again clears it.
 * \param iter  In txn->qp, which did not change since.
 */
void qp_txn_note(qp_txn_t *txn, const qp_iter_t *iter, uint32_t note);

/*!
 * \brief Removes the leaf with exactly \a key.
 *
 * \param ret_old  The removed leaf (ref 0: there was none). May be NULL.
 * \return KNOT_EOK (also when there was none), KNOT_ENOMEM, KNOT_ESPACE.
 */
int qp_txn_del(qp_txn_t *txn, const qp_key_t *key, qp_leaf_t *ret_old);

/*!
 * \brief Ends the transaction; \a ret_qp is the new version, to be read through arena_base() as it is after the seal.
 *
 * A trie from nothing is settled before. Does not seal: the caller does when all tries of the version are complete, and then
 * sets \a base.
 */
void qp_txn_commit(qp_txn_t *txn, qp_t *ret_qp);

/*! \brief Forgets the transaction. Memory is the caller's to roll back. Zeroed is a no-op. */
void qp_txn_clear(qp_txn_t *txn);
