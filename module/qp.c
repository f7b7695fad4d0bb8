/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Reading a qp-trie: see secondary/qp.h.
 *
 * All look-ups go the same way: down by the symbols of the key to one leaf, then compare that leaf's name with the key,
 * once. What was met on the way holds as far as the two agree.
 */
#include "secondary/qp.h"

#include <endian.h>
#include <string.h>

#include "octets.h"
#include "qp_node.h"

/* Octets in ascending order; those in hostnames have a symbol of their own, the rest share one for their range. The range
 * at the end is the longest and takes three, since a second symbol has no more than 46 values. */
enum {
	SYM_RANGE_00 = QP_LABEL_END + 1,            /* 0x00 … 0x2C */
	SYM_HYPHEN,
	SYM_RANGE_2E,                               /* 0x2E … 0x2F */
	SYM_DIGIT,
	SYM_RANGE_3A = SYM_DIGIT + 10,              /* 0x3A … 0x40 */
	SYM_RANGE_5B,                               /* 0x5B … 0x5E */
	SYM_UNDERSCORE,
	SYM_RANGE_60,                               /* 0x60 */
	SYM_LETTER,
	SYM_RANGE_7B = SYM_LETTER + 26,             /* 0x7B … 0xFF */
	SYM_SECOND_MAX = 46,
};

/* Masked, because a compiler looks at the arms that an octet does not take, too. */
#define PAIR(first, second)  ((uint16_t)(((first) & 0xFF) | ((second) & 0xFF) << 8))
#define RANGE(first, octet, from)  PAIR(first, (octet) - (from) + 1u)
#define LAST(octet)  PAIR(SYM_RANGE_7B + ((octet) - 0x7Bu) / SYM_SECOND_MAX, ((octet) - 0x7Bu) % SYM_SECOND_MAX + 1)

#define SYM(o) ( \
	(o) < '-'  ? RANGE(SYM_RANGE_00, o, 0x00) : \
	(o) == '-' ? SYM_HYPHEN : \
	(o) < '0'  ? RANGE(SYM_RANGE_2E, o, 0x2E) : \
	(o) <= '9' ? SYM_DIGIT + ((o) - '0') : \
	(o) < 'A'  ? RANGE(SYM_RANGE_3A, o, 0x3A) : \
	(o) <= 'Z' ? SYM_LETTER + ((o) - 'A') : \
	(o) < '_'  ? RANGE(SYM_RANGE_5B, o, 0x5B) : \
	(o) == '_' ? SYM_UNDERSCORE : \
	(o) < 'a'  ? RANGE(SYM_RANGE_60, o, 0x60) : \
	(o) <= 'z' ? SYM_LETTER + ((o) - 'a') : \
	LAST(o))

#define SYM4(o)  SYM(o), SYM((o) + 1), SYM((o) + 2), SYM((o) + 3)
#define SYM16(o) SYM4(o), SYM4((o) + 4), SYM4((o) + 8), SYM4((o) + 12)
#define SYM64(o) SYM16(o), SYM16((o) + 16), SYM16((o) + 32), SYM16((o) + 48)

const uint16_t qp_symbol[256] = { SYM64(0), SYM64(64), SYM64(128), SYM64(192) };

/*! \brief Writes down where the labels of a name begin; returns their number. */
static unsigned split_labels(const uint8_t *labels, size_t len, uint8_t start[QP_LABELS_MAX])
{
	unsigned count = 0;
	for (size_t pos = 0; pos < len; pos += 1 + labels[pos]) {
		assert(labels[pos] > 0 && labels[pos] <= 63 && count < QP_LABELS_MAX);
		start[count++] = (uint8_t)pos;
	}
	return count;
}

/*! \brief Writes the symbols of an octet; returns where the next ones belong. */
static inline uint8_t *write_symbols(uint8_t *to, uint8_t octet)
{
	const uint16_t symbols = qp_symbol[octet];
	const uint16_t in_order = htole16(symbols);
	/* The second one is overwritten if there is none: cheaper than a branch that is hard to foresee. */
	memcpy(to, &in_order, sizeof(in_order));
	return to + 1 + (symbols > 0xFF);
}

void qp_key(qp_key_t *key, const uint8_t *labels, size_t len)
{
	uint8_t start[QP_LABELS_MAX];
	unsigned left = split_labels(labels, len, start);
	uint8_t *to = key->sym;

	assert(len <= 254);
	key->name = labels;
	key->name_len = (uint8_t)len;
	key->labels = (uint8_t)left;
	while (left > 0) {
		const uint8_t *octet = labels + start[--left];
		for (const uint8_t *last = octet + *octet; octet < last; ) {
			to = write_symbols(to, *++octet);
		}
		*to++ = QP_LABEL_END;
	}
	*to = QP_LABEL_END;
	key->len = (uint16_t)(to - key->sym);
}

/*! \brief Goes on in a key if its symbol at \a pos is \a sym. */
static inline bool match_symbol(const uint8_t **pos, unsigned sym, unsigned *ret_sym)
{
	*ret_sym = sym;
	if (**pos != sym) {
		return false;
	}
	(*pos)++;
	return true;
}

/*! \brief Stays in the key: no label begins with QP_LABEL_END, and one stands behind the key's end. */
static inline bool match_label(const uint8_t **pos, const uint8_t *label, unsigned *ret_sym)
{
	for (unsigned i = 1; i <= label[0]; i++) {
		unsigned symbols = qp_symbol[label[i]];
		if (!match_symbol(pos, symbols & 0xFF, ret_sym)) {
			return false;
		}
		if (symbols > 0xFF && !match_symbol(pos, symbols >> 8, ret_sym)) {
			return false;
		}
	}
	return match_symbol(pos, QP_LABEL_END, ret_sym);
}

/*! \brief Has the object of \a leaf the name of the key, in the same case, too? */
static inline bool leaf_has_name(arena_base_t base, const qp_node_t *leaf, const qp_key_t *key)
{
	size_t len;
	const uint8_t *name = qp_name(base, leaf->ref, &len);
	return len == key->name_len && equal_octets(name, key->name, len);
}

/*! \brief qp_compare(), symbol by symbol. */
static inline __attribute__((always_inline)) qp_diff_t compare_symbols(arena_base_t base, const qp_node_t *leaf, const qp_key_t *key)
{
	uint8_t start[QP_LABELS_MAX];
	size_t len;
	const uint8_t *name = qp_name(base, leaf->ref, &len);
	unsigned left = split_labels(name, len, start), labels = 0, sym = QP_LABEL_END;
	const uint8_t *pos = key->sym;
	while (left > 0 && match_label(&pos, name + start[left - 1], &sym)) {
		left--;
		labels++;
	}
	return (qp_diff_t){
		.equal = (left == 0 && labels == key->labels),
		.sym = (uint8_t)sym,
		.labels = (uint8_t)labels,
		.at = (uint16_t)(pos - key->sym),
	};
}

qp_diff_t qp_compare(arena_base_t base, const qp_node_t *leaf, const qp_key_t *key)
{
	if (leaf_has_name(base, leaf, key)) {
		return (qp_diff_t){ .equal = true, .labels = key->labels, .at = key->len };
	}
	return compare_symbols(base, leaf, key);
}

/*! \brief Of the twigs of \a branch, which has none for \a sym, the one before it, or else the first. */
static inline const qp_node_t *twig_beside(arena_base_t base, const qp_node_t *branch, unsigned sym)
{
	unsigned rank = branch_rank(branch, sym);
	return branch_twigs(base, branch) + (rank > 0 ? rank - 1 : 0);
}

QP_DESCENDS static const qp_node_t *last_leaf(arena_base_t base, const qp_node_t *node)
{
	while (node_is_branch(node)) {
		node = branch_last(base, node);
	}
	return node;
}

QP_DESCENDS const qp_node_t *qp_nearest(arena_base_t base, const qp_node_t *node, const qp_key_t *key)
{
	while (node_is_branch(node)) {
		unsigned sym = key_symbol(key, node_offset(node));
		if (!branch_has(node, sym)) {
			return last_leaf(base, twig_beside(base, node, sym));
		}
		node = branch_twigs(base, node) + branch_rank(node, sym);
	}
	return node;
}

QP_DESCENDS qp_leaf_t qp_get(const qp_t *qp, const qp_key_t *key)
{
	const qp_node_t *node = &qp->root;

	while (node_is_branch(node)) {
		unsigned sym = key_symbol(key, node_offset(node));
		if (!branch_has(node, sym)) {
			return (qp_leaf_t){ 0 };
		}
		node = branch_twigs(qp->base, node) + branch_rank(node, sym);
	}
	if (node_is_none(node) || !qp_compare(qp->base, node, key).equal) {
		return (qp_leaf_t){ 0 };
	}
	return node_leaf(node);
}

/*!
 * \brief Fills in the ancestors: those of the \a count nodes that are leaves whose names end within the labels that were found.
 *
 * Where the key has parted from the names on the way, a label of theirs may end where one of the key begins, and others be below
 * it: then it is a branch that hangs there, and nothing from there on is an ancestor.
 */
static inline void path_set(qp_path_t *path, unsigned enclosed, const qp_node_t *const *above, unsigned count)
{
	unsigned i = 0;
	for (; i < count && !node_is_branch(above[i]) && node_labels(above[i]) <= enclosed; i++) {
		path->ancestor[i] = node_leaf(above[i]);
	}
	path->count = (uint8_t)i;
	path->enclosed = (uint8_t)enclosed;
}

QP_DESCENDS void qp_find(const qp_t *qp, const qp_key_t *key, qp_path_t *path)
{
	/* What hangs on the way where a label of the key begins: leaves, and ancestors, if the key agrees with the way so far. */
	const qp_node_t *above[QP_LABELS_MAX];
	unsigned count = 0;
	const qp_node_t *node = &qp->root;

	path->match = (qp_leaf_t){ 0 };
	if (node_is_none(node)) {
		path_set(path, 0, NULL, 0);
		return;
	}

	while (node_is_branch(node)) {
		unsigned at = node_offset(node);
		unsigned sym = key_symbol(key, at);
		const qp_node_t *twigs = branch_twigs(qp->base, node);
		if (branch_has(node, QP_LABEL_END) && key_has_label(key, at)) {
			above[count++] = twigs;
		}
		if (!branch_has(node, sym)) {
			node = last_leaf(qp->base, twig_beside(qp->base, node, sym));
			break;
		}
		node = twigs + branch_rank(node, sym);
	}

	if (leaf_has_name(qp->base, node, key)) {
		path_set(path, key->labels, above, count);
		path->match = node_leaf(node);
		return;
	}
	qp_diff_t diff = compare_symbols(qp->base, node, key);
	path_set(path, diff.labels, above, count);
	if (diff.equal) {
		path->match = node_leaf(node);
	} else if (diff.sym == QP_LABEL_END && key_has_label(key, diff.at)) {
		/* The leaf's name ends where a label of the key begins: an ancestor too, and noted already if it hangs on the way. */
		qp_leaf_t leaf = node_leaf(node);
		if (path->count == 0 || path->ancestor[path->count - 1].ref != leaf.ref) {
			path->ancestor[path->count++] = leaf;
		}
	}
}

static const qp_node_t **iter_top(qp_iter_t *iter)
{
	return &iter->node[iter->depth - 1];
}

static void iter_push(qp_iter_t *iter, const qp_node_t *node)
{
	iter->node[iter->depth++] = node;
}

/*! \brief Goes down to the first leaf below where the iterator stands. */
static qp_leaf_t iter_first(qp_iter_t *iter)
{
	while (node_is_branch(*iter_top(iter))) {
		iter_push(iter, branch_twigs(iter->qp->base, *iter_top(iter)));
	}
	return node_leaf(*iter_top(iter));
}

QP_DESCENDS static qp_leaf_t iter_last(qp_iter_t *iter)
{
	while (node_is_branch(*iter_top(iter))) {
		iter_push(iter, branch_last(iter->qp->base, *iter_top(iter)));
	}
	return node_leaf(*iter_top(iter));
}

void qp_begin(const qp_t *qp, qp_iter_t *iter)
{
	iter->qp = qp;
	iter->depth = 0;
	iter->at_end = false;
}

void qp_end(const qp_t *qp, qp_iter_t *iter)
{
	iter->qp = qp;
	iter->depth = 0;
	iter->at_end = true;
}

/*! \brief From outside into the trie: to its root. False if it is empty, or the iterator stands on the other side. */
static bool iter_enter(qp_iter_t *iter, bool from_end)
{
	if (iter->at_end != from_end || node_is_none(&iter->qp->root)) {
		return false;
	}
	iter->at_end = false;
	iter_push(iter, &iter->qp->root);
	return true;
}

qp_leaf_t qp_next(qp_iter_t *iter)
{
	if (iter->depth == 0) {
		return iter_enter(iter, false) ? iter_first(iter) : (qp_leaf_t){ 0 };
	}
	for (; iter->depth > 1; iter->depth--) {
		const qp_node_t **top = iter_top(iter);
		if (*top != branch_last(iter->qp->base, top[-1])) {
			++*top;
			return iter_first(iter);
		}
	}
	qp_end(iter->qp, iter);
	return (qp_leaf_t){ 0 };
}

qp_leaf_t qp_prev(qp_iter_t *iter)
{
	if (iter->depth == 0) {
		return iter_enter(iter, true) ? iter_last(iter) : (qp_leaf_t){ 0 };
	}
	for (; iter->depth > 1; iter->depth--) {
		const qp_node_t **top = iter_top(iter);
		if (*top != branch_twigs(iter->qp->base, top[-1])) {
			--*top;
			return iter_last(iter);
		}
	}
	qp_begin(iter->qp, iter);
	return (qp_leaf_t){ 0 };
}

/*! \brief As qp_nearest(), leaving the way on the stack. */
QP_DESCENDS static qp_leaf_t iter_nearest(qp_iter_t *iter, const qp_key_t *key)
{
	while (node_is_branch(*iter_top(iter))) {
		const qp_node_t *node = *iter_top(iter);
		unsigned sym = key_symbol(key, node_offset(node));
		if (!branch_has(node, sym)) {
			iter_push(iter, twig_beside(iter->qp->base, node, sym));
			return iter_last(iter);
		}
		iter_push(iter, branch_twigs(iter->qp->base, node) + branch_rank(node, sym));
	}
	return node_leaf(*iter_top(iter));
}

/*! \brief Goes up to the smallest subtree that holds all names which agree with the key before symbol \a at. */
static const qp_node_t *iter_ascend(qp_iter_t *iter, unsigned at)
{
	while (iter->depth > 1 && node_offset(iter_top(iter)[-1]) >= at) {
		iter->depth--;
	}
	return *iter_top(iter);
}

QP_DESCENDS qp_leaf_t qp_seek(const qp_t *qp, const qp_key_t *key, qp_iter_t *iter)
{
	qp_begin(qp, iter);
	if (!iter_enter(iter, false)) {
		return (qp_leaf_t){ 0 };
	}

	qp_leaf_t leaf = iter_nearest(iter, key);
	qp_diff_t diff = qp_compare(qp->base, *iter_top(iter), key);
	if (diff.equal) {
		return leaf;
	}

	const qp_node_t *node = iter_ascend(iter, diff.at);
	unsigned sym = key_symbol(key, diff.at);
	if (!node_is_branch(node) || node_offset(node) > diff.at) {
		/* All of the subtree has the leaf's symbol where the key has its own. */
		return diff.sym < sym ? iter_last(iter) : qp_prev(iter);
	}
	if (branch_rank(node, sym) == 0) {
		return qp_prev(iter);
	}
	iter_push(iter, twig_beside(qp->base, node, sym));
	return iter_last(iter);
}
