/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Writing a qp-trie: see secondary/qp_txn.h.
 *
 * A change first looks where it will happen, without touching anything, then goes there again and makes the vectors on
 * its way mutable. The second way is in the cache.
 */
#include "secondary/qp_txn.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/errcode.h>

#include "qp_node.h"
#include "qp_spine.h"

#define SCRAP_CAPACITY_MIN 16

int scrap_add(scrap_list_t *list, arena_ref_t ref, uint32_t size)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity > 0 ? 2 * (size_t)list->capacity : SCRAP_CAPACITY_MIN;
		if (capacity > UINT32_MAX) {
			return KNOT_ENOMEM;
		}
		scrap_t *item = realloc(list->item, capacity * sizeof(*item));
		if (item == NULL) {
			return KNOT_ENOMEM;
		}
		list->item = item;
		list->capacity = (uint32_t)capacity;
	}
	list->item[list->count++] = (scrap_t){ .ref = ref, .size = size };
	return KNOT_EOK;
}

void scrap_clear(scrap_list_t *list)
{
	free(list->item);
	*list = (scrap_list_t){ 0 };
}

static uint32_t vector_octets(unsigned size)
{
	return size * (uint32_t)sizeof(qp_node_t);
}

/*! \brief A mutable vector: a spare one, whose first node refers to the next spare one, or a new one. */
static int vector_new(qp_txn_t *txn, unsigned size, arena_ref_t *ret_ref)
{
	arena_ref_t spare = txn->spare[size];
	if (spare == 0) {
		int ret = arena_alloc(txn->arena, vector_octets(size), ret_ref);
		txn->qp.base = arena_base(txn->arena);
		return ret;
	}
	txn->spare[size] = ((const qp_node_t *)arena_at(txn->qp.base, spare))->ref;
	*ret_ref = spare;
	return KNOT_EOK;
}

/*! \brief Gives a vector up: to this transaction if it is its own, else to whoever retires older versions. */
static int vector_drop(qp_txn_t *txn, arena_ref_t ref, unsigned size)
{
	if (!arena_is_mutable(txn->arena, ref)) {
		return scrap_add(txn->scrap, ref, vector_octets(size));
	}
	*(qp_node_t *)arena_at(txn->qp.base, ref) = node_make(0, txn->spare[size]);
	txn->spare[size] = ref;
	return KNOT_EOK;
}

/*! \brief Makes the twigs of \a branch, itself mutable, mutable. */
static int own_twigs(qp_txn_t *txn, qp_node_t *branch)
{
	if (arena_is_mutable(txn->arena, branch->ref)) {
		return KNOT_EOK;
	}

	arena_ref_t copy = 0;
	unsigned size = branch_size(branch);
	int ret = vector_new(txn, size, &copy);
	if (ret != KNOT_EOK) {
		return ret;
	}
	memcpy(arena_at(txn->qp.base, copy), branch_twigs(txn->qp.base, branch), vector_octets(size));
	ret = vector_drop(txn, branch->ref, size);
	branch->ref = copy;
	return ret;
}

/*! \brief Makes the way to the topmost node which decides no symbol before \a at mutable, and that node. */
static int own_path(qp_txn_t *txn, const qp_key_t *key, unsigned at, qp_node_t **ret_node)
{
	qp_node_t *node = &txn->qp.root;
	while (node_is_branch(node) && node_offset(node) < at) {
		int ret = own_twigs(txn, node);
		if (ret != KNOT_EOK) {
			return ret;
		}
		node = branch_twigs(txn->qp.base, node) + branch_rank(node, key_symbol(key, node_offset(node)));
	}
	*ret_node = node;
	return KNOT_EOK;
}

/*! \brief Puts a branch with two twigs in the place of \a node: what was there, and \a leaf. */
static int split_node(qp_txn_t *txn, qp_node_t *node, unsigned at, unsigned node_sym, unsigned leaf_sym, qp_node_t leaf)
{
	arena_ref_t ref = 0;
	int ret = vector_new(txn, 2, &ref);
	if (ret != KNOT_EOK) {
		return ret;
	}

	qp_node_t *twigs = arena_at(txn->qp.base, ref);
	twigs[leaf_sym > node_sym] = leaf;
	twigs[leaf_sym < node_sym] = *node;
	*node = node_make_branch(at, symbol_bit(node_sym) | symbol_bit(leaf_sym), ref);
	return KNOT_EOK;
}

static int add_twig(qp_txn_t *txn, qp_node_t *branch, unsigned sym, qp_node_t leaf)
{
	unsigned size = branch_size(branch);
	unsigned rank = branch_rank(branch, sym);
	arena_ref_t ref = 0;
	int ret = vector_new(txn, size + 1, &ref);
	if (ret != KNOT_EOK) {
		return ret;
	}

	const qp_node_t *old = branch_twigs(txn->qp.base, branch);
	qp_node_t *twigs = arena_at(txn->qp.base, ref);
	memcpy(twigs, old, vector_octets(rank));
	twigs[rank] = leaf;
	memcpy(twigs + rank + 1, old + rank, vector_octets(size - rank));
	ret = vector_drop(txn, branch->ref, size);
	*branch = node_make(node_bits(branch) | symbol_bit(sym), ref);
	return ret;
}

static int remove_twig(qp_txn_t *txn, qp_node_t *branch, unsigned sym)
{
	unsigned size = branch_size(branch);
	unsigned rank = branch_rank(branch, sym);
	arena_ref_t ref = 0;
	int ret = vector_new(txn, size - 1, &ref);
	if (ret != KNOT_EOK) {
		return ret;
	}

	const qp_node_t *old = branch_twigs(txn->qp.base, branch);
	qp_node_t *twigs = arena_at(txn->qp.base, ref);
	memcpy(twigs, old, vector_octets(rank));
	memcpy(twigs + rank, old + rank + 1, vector_octets(size - 1 - rank));
	ret = vector_drop(txn, branch->ref, size);
	*branch = node_make(node_bits(branch) & ~symbol_bit(sym), ref);
	return ret;
}

/*! \brief Puts the other twig of a branch of two in the branch's place. */
static int join_node(qp_txn_t *txn, qp_node_t *branch, unsigned sym)
{
	qp_node_t old = *branch;
	*branch = branch_twigs(txn->qp.base, branch)[1 - branch_rank(branch, sym)];
	return vector_drop(txn, old.ref, 2);
}

void qp_txn_begin(qp_txn_t *txn, arena_t *arena, const qp_t *from, scrap_list_t *scrap)
{
	*txn = (qp_txn_t){ .arena = arena, .scrap = scrap };
	if (from != NULL) {
		txn->qp = *from;
	}
	txn->qp.base = arena_base(arena);
	if (from == NULL) {
		txn->spine = qp_spine_new(); /* Without, all works. */
	}
}

/*! \brief A complete vector of the spine. */
static int vector_write(void *txn_void, const qp_node_t *twig, unsigned size, arena_ref_t *ret_ref)
{
	qp_txn_t *txn = txn_void;
	int ret = vector_new(txn, size, ret_ref);
	if (ret == KNOT_EOK) {
		memcpy(arena_at(txn->qp.base, *ret_ref), twig, vector_octets(size));
	}
	return ret;
}

int qp_txn_settle(qp_txn_t *txn)
{
	if (txn->spine == NULL) {
		return KNOT_EOK;
	}
	txn->qp.base = arena_base(txn->arena);
	int ret = qp_spine_end(txn->spine, vector_write, txn, &txn->qp.root);
	if (ret == KNOT_EOK) {
		qp_spine_free(txn->spine);
		txn->spine = NULL;
	}
	return ret;
}

/*! \brief Appends to the spine, or ends it when the name is out of order (false in \a ret_taken, as without a spine). */
static int append_leaf(qp_txn_t *txn, arena_ref_t ref, uint16_t tag, bool *ret_taken)
{
	size_t len;
	qp_key_t *key = qp_spine_key(txn->spine);
	const uint8_t *name = qp_name(txn->qp.base, ref, &len);
	qp_key(key, name, len);
	int ret = qp_spine_append(txn->spine, node_make_leaf(ref, tag, key->labels), vector_write, txn, ret_taken);
	if (ret == KNOT_EOK) {
		txn->qp.count += *ret_taken;
	}
	return ret == KNOT_EOK && !*ret_taken ? qp_txn_settle(txn) : ret;
}

static int replace_leaf(qp_txn_t *txn, const qp_key_t *key, qp_node_t leaf)
{
	qp_node_t *node = NULL;
	int ret = own_path(txn, key, UINT_MAX, &node);
	if (ret == KNOT_EOK) {
		*node = leaf;
	}
	return ret;
}

static int insert_leaf(qp_txn_t *txn, const qp_key_t *key, qp_diff_t diff, qp_node_t leaf)
{
	unsigned sym = key_symbol(key, diff.at);
	qp_node_t *node = NULL;
	int ret = own_path(txn, key, diff.at, &node);
	if (ret != KNOT_EOK) {
		return ret;
	}

	if (node_is_branch(node) && node_offset(node) == diff.at) {
		ret = add_twig(txn, node, sym, leaf);
	} else {
		ret = split_node(txn, node, diff.at, diff.sym, sym, leaf);
	}
	if (ret == KNOT_EOK) {
		txn->qp.count++;
	}
	return ret;
}

int qp_txn_put(qp_txn_t *txn, arena_ref_t ref, uint16_t tag, qp_leaf_t *ret_old)
{
	qp_key_t key;
	size_t len;
	qp_leaf_t old = { 0 };
	int ret = KNOT_EOK;

	txn->qp.base = arena_base(txn->arena);
	if (txn->spine != NULL) {
		bool taken = false;
		ret = append_leaf(txn, ref, tag, &taken);
		if (ret == KNOT_EOK && taken && ret_old != NULL) {
			*ret_old = old;
		}
		if (ret != KNOT_EOK || taken) {
			return ret;
		}
	}
	const uint8_t *name = qp_name(txn->qp.base, ref, &len);
	qp_key(&key, name, len);
	qp_node_t leaf = node_make_leaf(ref, tag, key.labels);

	if (node_is_none(&txn->qp.root)) {
		txn->qp.root = leaf;
		txn->qp.count = 1;
	} else {
		const qp_node_t *nearest = qp_nearest(txn->qp.base, &txn->qp.root, &key);
		qp_diff_t diff = qp_compare(txn->qp.base, nearest, &key);
		if (diff.equal) {
			old = node_leaf(nearest);
			ret = replace_leaf(txn, &key, leaf);
		} else {
			ret = insert_leaf(txn, &key, diff, leaf);
		}
	}
	if (ret == KNOT_EOK && ret_old != NULL) {
		*ret_old = old;
	}
	return ret;
}

void qp_txn_note(qp_txn_t *txn, const qp_iter_t *iter, uint32_t note)
{
	assert(txn->spine == NULL && iter->qp == &txn->qp && iter->depth > 0);
	qp_node_t *leaf = &txn->qp.root;
	if (iter->depth > 1) {
		const qp_node_t *parent = iter->node[iter->depth - 2];
		qp_node_t *twigs = branch_twigs(txn->qp.base, parent);
		assert(arena_is_mutable(txn->arena, parent->ref));
		leaf = twigs + (iter->node[iter->depth - 1] - twigs);
	}
	assert(!node_is_branch(leaf) && !node_is_none(leaf));
	node_set_note(leaf, note);
}

/*! \brief The offset of the branch from which the leaf of \a key hangs; the root is a branch. */
static unsigned parent_offset(const qp_txn_t *txn, const qp_key_t *key)
{
	const qp_node_t *node = &txn->qp.root;
	unsigned at = 0;
	while (node_is_branch(node)) {
		at = node_offset(node);
		node = branch_twigs(txn->qp.base, node) + branch_rank(node, key_symbol(key, at));
	}
	return at;
}

static int remove_leaf(qp_txn_t *txn, const qp_key_t *key)
{
	if (!node_is_branch(&txn->qp.root)) {
		txn->qp.root = (qp_node_t){ 0 };
		txn->qp.count = 0;
		return KNOT_EOK;
	}

	qp_node_t *parent = NULL;
	unsigned at = parent_offset(txn, key);
	int ret = own_path(txn, key, at, &parent);
	if (ret != KNOT_EOK) {
		return ret;
	}
	unsigned sym = key_symbol(key, at);
	ret = branch_size(parent) > 2 ? remove_twig(txn, parent, sym) : join_node(txn, parent, sym);
	if (ret == KNOT_EOK) {
		txn->qp.count--;
	}
	return ret;
}

int qp_txn_del(qp_txn_t *txn, const qp_key_t *key, qp_leaf_t *ret_old)
{
	int ret = qp_txn_settle(txn);
	if (ret != KNOT_EOK) {
		return ret;
	}
	txn->qp.base = arena_base(txn->arena);
	qp_leaf_t old = qp_get(&txn->qp, key);
	ret = old.ref != 0 ? remove_leaf(txn, key) : KNOT_EOK;
	if (ret == KNOT_EOK && ret_old != NULL) {
		*ret_old = old;
	}
	return ret;
}

void qp_txn_commit(qp_txn_t *txn, qp_t *ret_qp)
{
	assert(txn->spine == NULL);
	/* No version refers to what is spare, so it is dead from the start. */
	for (unsigned size = 2; size <= QP_TWIGS_MAX; size++) {
		while (txn->spare[size] != 0) {
			arena_ref_t ref = txn->spare[size];
			txn->spare[size] = ((const qp_node_t *)arena_ptr(txn->arena, ref))->ref;
			arena_dead(txn->arena, ref, vector_octets(size));
		}
	}
	*ret_qp = txn->qp;
	ret_qp->base = arena_base(txn->arena);
	qp_txn_clear(txn);
}

void qp_txn_clear(qp_txn_t *txn)
{
	qp_spine_free(txn->spine);
	*txn = (qp_txn_t){ 0 };
}
