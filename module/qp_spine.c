/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The right edge of a trie that is made of keys in ascending order.
 */
#include "qp_spine.h"

#include <stdlib.h>
#include <string.h>

#include <libknot/errcode.h>

#include "qp_node.h"

#define STACK_MIN 64

qp_spine_t *qp_spine_new(void)
{
	qp_spine_t *spine = malloc(sizeof(*spine));
	if (spine != NULL) {
		memset(spine, 0, offsetof(qp_spine_t, key)); /* The rest is written before it is read. */
	}
	return spine;
}

static int push(qp_spine_t *spine, qp_node_t node)
{
	if (spine->count == spine->capacity) {
		uint32_t capacity = spine->capacity > 0 ? 2 * spine->capacity : STACK_MIN;
		qp_node_t *stack = realloc(spine->node, capacity * sizeof(*stack));
		if (stack == NULL) {
			return KNOT_ENOMEM;
		}
		spine->node = stack;
		spine->capacity = capacity;
	}
	spine->node[spine->count++] = node;
	return KNOT_EOK;
}

/*! \brief The first symbol in which both keys differ; where one of them ends, if there is none. */
static unsigned difference(const qp_key_t *a, const qp_key_t *b)
{
	unsigned at = 0, end = a->len < b->len ? a->len : b->len;
	for (; at + sizeof(uint64_t) <= end; at += sizeof(uint64_t)) {
		uint64_t left, right;
		memcpy(&left, a->sym + at, sizeof(left));
		memcpy(&right, b->sym + at, sizeof(right));
		if (left != right) {
			break;
		}
	}
	while (at < end && a->sym[at] == b->sym[at]) {
		at++;
	}
	return at;
}

/*! \brief Makes the deepest level a branch, which stands in the place of its first twig. */
static int close_level(qp_spine_t *spine, qp_vector_f vector, void *ctx)
{
	const qp_level_t *level = &spine->level[spine->depth - 1];
	arena_ref_t ref = 0;
	int ret = vector(ctx, spine->node + level->first, spine->count - level->first, &ref);
	if (ret == KNOT_EOK) {
		spine->node[level->first] = node_make_branch(level->at, level->bitmap, ref);
		spine->count = level->first + 1;
		spine->depth--;
	}
	return ret;
}

static int close_below(qp_spine_t *spine, unsigned at, qp_vector_f vector, void *ctx)
{
	int ret = KNOT_EOK;
	while (ret == KNOT_EOK && spine->depth > 0 && spine->level[spine->depth - 1].at > at) {
		ret = close_level(spine, vector, ctx);
	}
	return ret;
}

/*! \brief Finds or opens the level that decides the symbol \a at, in which the last key has \a sym. */
static qp_level_t *level_at(qp_spine_t *spine, unsigned at, unsigned sym)
{
	qp_level_t *top = &spine->level[spine->depth - 1];
	if (spine->depth > 0 && top->at == at) {
		return top;
	}
	top = &spine->level[spine->depth++];
	*top = (qp_level_t){ .bitmap = symbol_bit(sym), .first = spine->count - 1, .at = at };
	return top;
}

int qp_spine_append(qp_spine_t *spine, qp_node_t leaf, qp_vector_f vector, void *ctx, bool *ret_taken)
{
	const qp_key_t *last = &spine->key[spine->last];
	const qp_key_t *key = qp_spine_key(spine);
	int ret = KNOT_EOK;
	if (spine->count > 0) {
		unsigned at = difference(last, key);
		unsigned sym = key_symbol(key, at), last_sym = key_symbol(last, at);
		if (sym <= last_sym) {
			*ret_taken = false;
			return KNOT_EOK;
		}
		ret = close_below(spine, at, vector, ctx);
		if (ret == KNOT_EOK) {
			level_at(spine, at, last_sym)->bitmap |= symbol_bit(sym);
		}
	}
	if (ret == KNOT_EOK) {
		ret = push(spine, leaf);
	}
	spine->last = 1 - spine->last;
	*ret_taken = true;
	return ret;
}

int qp_spine_end(qp_spine_t *spine, qp_vector_f vector, void *ctx, qp_node_t *ret_root)
{
	int ret = KNOT_EOK;
	while (ret == KNOT_EOK && spine->depth > 0) {
		ret = close_level(spine, vector, ctx);
	}
	if (ret == KNOT_EOK) {
		*ret_root = spine->count > 0 ? spine->node[0] : (qp_node_t){ 0 };
	}
	return ret;
}

void qp_spine_free(qp_spine_t *spine)
{
	if (spine != NULL) {
		free(spine->node);
		free(spine);
	}
}
