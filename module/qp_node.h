/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The bits of a trie's nodes and of its keys; shared by qp.c and qp_txn.c and known to nobody else.
 *
 *     branch   1 | bitmap of 47 symbols | 16 bits offset of the symbol that decides    ref: vector of twigs
 *     leaf     0 | 7 bits unused | 8 bits note | 16 bits tag | 8 bits labels | 24 bits note    ref: object
 *     none     all zero
 *
 * Twigs stand in the vector in ascending order of their symbols, so a symbol's twig is found by counting the bits below
 * its own. Every branch has two twigs or more, and offsets grow on the way down.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "secondary/qp.h"

#define NODE_BRANCH       ((uint64_t)1)
#define NODE_BITMAP       (((uint64_t)1 << 48) - 2)
#define NODE_OFFSET_SHIFT 48
#define NODE_TAG_SHIFT    16
#define NODE_LABELS_SHIFT 32
/*! The lower eight bits of a note are in word 0, from here on; the others stand in word 1 where they stand in the note. */
#define NODE_NOTE_SHIFT   8
#define NODE_NOTE_LOW     ((uint32_t)0xFF)

/*!
 * \brief Symbols of each octet: the first in the lower eight bits, the second, if it takes two, above.
 *
 * No second symbol is QP_LABEL_END, so a zero in a key always ends a label.
 */
extern const uint16_t qp_symbol[256];

/*! How a key and a leaf's name compare. */
typedef struct {
	bool equal;
	uint8_t sym;      /*!< The leaf's symbol at \a at. */
	uint8_t labels;   /*!< Whole labels that both have in common. */
	uint16_t at;      /*!< The first symbol that differs; if equal, key->len. */
} qp_diff_t;

/*! \brief Compares \a key with the name of the object that \a leaf refers to. */
qp_diff_t qp_compare(arena_base_t base, const qp_node_t *leaf, const qp_key_t *key);

/*!
 * \brief Goes down from \a node to the leaf that has as many symbols in common with \a key as any.
 *
 * If \a key is not there, this is often the leaf before its place, which a proof of absence needs next.
 */
const qp_node_t *qp_nearest(arena_base_t base, const qp_node_t *node, const qp_key_t *key);

static inline uint64_t node_bits(const qp_node_t *node)
{
	return (uint64_t)node->word[1] << 32 | node->word[0];
}

static inline qp_node_t node_make(uint64_t bits, arena_ref_t ref)
{
	return (qp_node_t){ .word = { (uint32_t)bits, (uint32_t)(bits >> 32) }, .ref = ref };
}

static inline bool node_is_none(const qp_node_t *node)
{
	return node->ref == 0;
}

static inline bool node_is_branch(const qp_node_t *node)
{
	return node->word[0] & NODE_BRANCH;
}

static inline unsigned node_offset(const qp_node_t *branch)
{
	return branch->word[1] >> (NODE_OFFSET_SHIFT - 32);
}

static inline uint64_t symbol_bit(unsigned sym)
{
	return (uint64_t)2 << sym;
}

static inline qp_node_t node_make_branch(unsigned offset, uint64_t bitmap, arena_ref_t twigs)
{
	return node_make(NODE_BRANCH | bitmap | (uint64_t)offset << NODE_OFFSET_SHIFT, twigs);
}

static inline qp_node_t node_make_leaf(arena_ref_t ref, uint16_t tag, uint8_t labels)
{
	return node_make((uint64_t)tag << NODE_TAG_SHIFT | (uint64_t)labels << NODE_LABELS_SHIFT, ref);
}

/*! \brief Replaces the note of \a leaf. */
static inline void node_set_note(qp_node_t *leaf, uint32_t note)
{
	const uint32_t low = NODE_NOTE_LOW << NODE_NOTE_SHIFT;
	leaf->word[0] = (leaf->word[0] & ~low) | (note & NODE_NOTE_LOW) << NODE_NOTE_SHIFT;
	leaf->word[1] = (leaf->word[1] & NODE_NOTE_LOW) | (note & ~NODE_NOTE_LOW);
}

static inline unsigned node_labels(const qp_node_t *leaf)
{
	return (uint8_t)(leaf->word[1] >> (NODE_LABELS_SHIFT - 32));
}

static inline qp_leaf_t node_leaf(const qp_node_t *leaf)
{
	return (qp_leaf_t){
		.ref = leaf->ref,
		.note = (leaf->word[1] & ~NODE_NOTE_LOW) | (leaf->word[0] >> NODE_NOTE_SHIFT & NODE_NOTE_LOW),
		.tag = leaf->word[0] >> NODE_TAG_SHIFT,
		.labels = node_labels(leaf),
	};
}

static inline bool branch_has(const qp_node_t *branch, unsigned sym)
{
	return node_bits(branch) & symbol_bit(sym);
}

/*!
 * \brief A function that goes down in tries.
 *
 * Each step waits until bits are counted. Debian builds for processors without an instruction for that, where it takes a call. So
 * such a function is built twice, and the dynamic linker takes the one for its processor. Not in builds with sanitizers, which
 * are not ready when it asks, and by clang, whose functions of this kind others cannot call (up to 17).
 */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define QP_DESCENDS __attribute__((target_clones("popcnt", "default")))
#else
#define QP_DESCENDS
#endif

/*! \brief Counts the set bits. Inlined, so that it is that of the function it is in. */
static inline __attribute__((always_inline)) unsigned count_bits(uint64_t bits)
{
	return (unsigned)__builtin_popcountll(bits);
}

/*! \brief Number of twigs before that of \a sym. The lowest bit, which makes it a branch, is counted, too. */
static inline unsigned branch_rank(const qp_node_t *branch, unsigned sym)
{
	return count_bits(node_bits(branch) & (symbol_bit(sym) - 1)) - 1;
}

static inline unsigned branch_size(const qp_node_t *branch)
{
	return count_bits(node_bits(branch) & NODE_BITMAP);
}

static inline qp_node_t *branch_twigs(arena_base_t base, const qp_node_t *branch)
{
	return arena_at(base, branch->ref);
}

static inline const qp_node_t *branch_last(arena_base_t base, const qp_node_t *branch)
{
	return branch_twigs(base, branch) + branch_size(branch) - 1;
}

/*! \brief The symbol at \a at. Behind its end a key goes on with QP_LABEL_END, so that a name sorts before those below it. */
static inline unsigned key_symbol(const qp_key_t *key, unsigned at)
{
	return at < key->len ? key->sym[at] : QP_LABEL_END;
}

/*! \brief Does a label of \a key begin at \a at? */
static inline bool key_has_label(const qp_key_t *key, unsigned at)
{
	return at < key->len && (at == 0 || key->sym[at - 1] == QP_LABEL_END);
}
