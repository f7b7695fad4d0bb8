/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Reading a qp-trie of owner names in canonical DNS order (RFC 4034, section 6.1).
 *
 * Keys. A name is written as a sequence of symbols, 0 … 46: labels from the apex downwards, each octet one symbol if it
 * is a lower-case letter, digit, hyphen or underscore and two otherwise (a symbol for its range, one within the range),
 * each label ended by QP_LABEL_END (0). The mapping keeps the order of octets, so the order of keys is the canonical
 * order of names, in which a name stands directly before those below it. Upper case is folded. The names in a trie are
 * relative to its apex: the apex itself has the empty key.
 *
 * Nodes are 12 octets. A branch has a bitmap of the symbols that occur at its offset and refers to the vector of its
 * twigs; a leaf refers to its object and has 16 bits (its tag) for the owner of the trie, so that a look-up sees a zone cut
 * on its way without touching the object, and 32 more (its note) that are found out when the whole trie is there. By
 * convention an object begins with its relative owner name:
 *
 *     uint8_t length; uint8_t labels[length];      lower case, no root label; 0 for the apex
 *
 * which is all that the trie knows about it. A trie is one qp_t, small enough to be copied; twigs and objects live in an
 * arena. A published trie never changes; qp_txn.h makes new ones that share what did not change.
 *
 * Model: the qp-tries of T. Finch ("qp-trie" in BIND 9.20 and in Knot's contrib): the papers, not the code.
 * Threads: reading needs no lock; the qp_t comes from a borrowed or pinned snapshot. Nothing here allocates or blocks.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "secondary/arena.h"

/*! Ends each label in a key; sorts before every octet. */
#define QP_LABEL_END  0
/*! Symbols of the longest key: 254 octets of labels, each at most two symbols, and a symbol that ends each label. */
#define QP_KEY_MAX    512
/*! Most labels below an apex (RFC 1035: 127 labels of one octet fit 255). */
#define QP_LABELS_MAX 127

/*! A name as symbols. */
typedef struct {
	const uint8_t *name;              /*!< Borrowed, as it was given: equal names are mostly equal in case, too, and seen sooner so. */
	uint16_t len;                     /*!< Symbols. */
	uint8_t labels;                   /*!< Labels. */
	uint8_t name_len;                 /*!< Octets of \a name. */
	uint8_t sym[QP_KEY_MAX + 2];
} qp_key_t;

/*! Branch or leaf; private to qp.c and qp_txn.c. */
typedef struct {
	uint32_t word[2];
	arena_ref_t ref;
} qp_node_t;

/*! One version of a trie. Zeroed: empty. */
typedef struct {
	arena_base_t base;
	qp_node_t root;
	uint32_t count;                   /*!< Leaves. */
} qp_t;

/*! A leaf as readers see it. Zeroed: none. */
typedef struct {
	arena_ref_t ref;                  /*!< The object; 0 = none. */
	uint32_t note;                    /*!< 32 bits more: qp_txn_note(); 0 since it was put. */
	uint16_t tag;                     /*!< The 16 bits given when it was put. */
	uint8_t labels;                   /*!< Labels of its name below the apex. */
} qp_leaf_t;

/*! What qp_find() found. */
typedef struct {
	qp_leaf_t match;                  /*!< The very name, or none. */
	uint8_t enclosed;                 /*!< Labels of the longest ancestor-or-self that exists, as a leaf or as an
	                                       empty non-terminal. Equal to key->labels without a match: the name
	                                       itself is an empty non-terminal. */
	uint8_t count;                    /*!< Entries in \a ancestor. */
	qp_leaf_t ancestor[QP_LABELS_MAX + 1]; /*!< Strict ancestors that are leaves, from the apex downwards. */
} qp_path_t;

/*! A position in canonical order. Opaque; no need to free. */
typedef struct {
	const qp_t *qp;                   /*!< Must stay where it is, and unchanged. */
	uint16_t depth;                   /*!< Nodes on the way; 0: before the first leaf or after the last. */
	bool at_end;                      /*!< With depth 0: after the last. */
	const qp_node_t *node[QP_KEY_MAX + 2];
} qp_iter_t;

/*!
 * \brief Writes the key of a relative name.
 *
 * \param labels  Labels without the root label, any case; \a len octets (0 for the apex). They stay where they are, and as they
 *                are, as long as something is looked for by the key.
 */
void qp_key(qp_key_t *key, const uint8_t *labels, size_t len);

/*! \brief Octets of relative name at the head of the object at \a ref, and the name itself. Borrow. */
static inline const uint8_t *qp_name(arena_base_t base, arena_ref_t ref, size_t *ret_len)
{
	const uint8_t *object = arena_at(base, ref);
	*ret_len = object[0];
	return object + 1;
}

/*! \brief Finds exactly \a key. Returns the leaf (ref 0: none). */
qp_leaf_t qp_get(const qp_t *qp, const qp_key_t *key);

/*!
 * \brief Finds \a key, its existing ancestors and its closest encloser in one descent (RFC 4592, section 3.3.1).
 *
 * \a path is filled as far as its counts say; entries beyond are not touched.
 */
void qp_find(const qp_t *qp, const qp_key_t *key, qp_path_t *path);

/*!
 * \brief Sets \a iter to the greatest leaf not after \a key and returns it (ref 0: all leaves are after it).
 *
 * With ref 0 the iterator stands before the first leaf: qp_next() gives the first one.
 */
qp_leaf_t qp_seek(const qp_t *qp, const qp_key_t *key, qp_iter_t *iter);

/*! \brief Sets \a iter before the first leaf. */
void qp_begin(const qp_t *qp, qp_iter_t *iter);

/*! \brief Sets \a iter after the last leaf, so that qp_prev() gives the last one. */
void qp_end(const qp_t *qp, qp_iter_t *iter);

/*!
 * \brief Goes to the next (previous) leaf and returns it.
 *
 * With ref 0 there is none, and the iterator stands after the last (before the first) leaf and stays there; the other
 * direction leads back to it.
 */
qp_leaf_t qp_next(qp_iter_t *iter);
qp_leaf_t qp_prev(qp_iter_t *iter);
