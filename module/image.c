/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief A version of a zone as blocks of octets, and back.
 */
#include "secondary/image.h"

#include <stdlib.h>
#include <string.h>

#include "secondary/builder.h"

/*! Before each node: octets, tag, trie. */
#define ITEM_HEAD 8

enum { ITEM_NAME, ITEM_NSEC3 };

/* Writing */

void image_begin(image_writer_t *writer, const snapshot_t *snapshot)
{
	writer->snapshot = snapshot;
	writer->trie = &snapshot->names;
	qp_begin(writer->trie, &writer->iter);
}

/*! \brief The next leaf of either trie; ref 0: none is left. */
static qp_leaf_t next_leaf(image_writer_t *writer)
{
	qp_leaf_t leaf = qp_next(&writer->iter);
	if (leaf.ref == 0 && writer->trie == &writer->snapshot->names) {
		writer->trie = &writer->snapshot->nsec3;
		qp_begin(writer->trie, &writer->iter);
		leaf = qp_next(&writer->iter);
	}
	return leaf;
}

static int item_put(image_writer_t *writer, buffer_t *block, const qp_leaf_t *leaf)
{
	const uint32_t size = node_size(writer->trie->base, leaf->ref);
	const uint16_t trie = writer->trie == &writer->snapshot->nsec3 ? ITEM_NSEC3 : ITEM_NAME;
	if (buffer_reserve(block, ITEM_HEAD + size) != KNOT_EOK) {
		return KNOT_ENOMEM;
	}
	buffer_put(block, &size, sizeof(size));
	buffer_put(block, &leaf->tag, sizeof(leaf->tag));
	buffer_put(block, &trie, sizeof(trie));
	buffer_put(block, arena_at(writer->trie->base, leaf->ref), size);
	return KNOT_EOK;
}

int image_next(image_writer_t *writer, buffer_t *block)
{
	const size_t begin = block->size;
	while (block->size - begin < IMAGE_BLOCK_SIZE) {
		qp_leaf_t leaf = next_leaf(writer);
		if (leaf.ref == 0) {
			return block->size > begin ? KNOT_EOK : KNOT_ENOENT;
		}
		int ret = item_put(writer, block, &leaf);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	return KNOT_EOK;
}

image_sums_t image_sums(const snapshot_t *snapshot)
{
	return (image_sums_t) {
		.records = snapshot->records,
		.octets = snapshot->octets,
		.names = snapshot->names.count,
		.nsec3 = snapshot->nsec3.count,
		.serial = snapshot->soa.serial,
	};
}

/* Reading */

struct image_reader {
	builder_t *builder;
};

image_reader_t *image_reader_new(const uint8_t *apex, size_t size_hint)
{
	image_reader_t *reader = calloc(1, sizeof(*reader));
	if (reader == NULL) {
		return NULL;
	}
	const builder_limits_t limits = { .size_hint = size_hint };
	reader->builder = builder_new(apex, &limits);
	if (reader->builder == NULL) {
		free(reader);
		return NULL;
	}
	return reader;
}

/*! \brief Takes the item at \a item, of which the block has \a avail octets more; \a ret_size of them were it. */
static int item_read(image_reader_t *reader, const uint8_t *item, size_t avail, size_t *ret_size)
{
	uint32_t size;
	uint16_t tag, trie;
	if (avail < ITEM_HEAD) {
		return KNOT_EMALF;
	}
	memcpy(&size, item, sizeof(size));
	memcpy(&tag, item + 4, sizeof(tag));
	memcpy(&trie, item + 6, sizeof(trie));
	if (size > avail - ITEM_HEAD || trie > ITEM_NSEC3) {
		return KNOT_EMALF;
	}
	*ret_size = ITEM_HEAD + size;
	return builder_put_node(reader->builder, item + ITEM_HEAD, size, tag, trie == ITEM_NSEC3);
}

int image_read(image_reader_t *reader, const uint8_t *block, size_t size)
{
	for (size_t pos = 0, taken; pos < size; pos += taken) {
		int ret = item_read(reader, block + pos, size - pos, &taken);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	return KNOT_EOK;
}

int image_finish(image_reader_t *reader, const image_sums_t *sums, snapshot_t **ret_snapshot)
{
	snapshot_t *snapshot = NULL;
	builder_set_sums(reader->builder, sums->records, sums->octets);
	int ret = builder_finish(reader->builder, &snapshot);
	if (ret != KNOT_EOK) {
		return ret;
	}
	reader->builder = NULL;
	if (snapshot->names.count != sums->names || snapshot->nsec3.count != sums->nsec3 ||
	    snapshot->soa.serial != sums->serial) {
		snapshot_discard(snapshot);
		return KNOT_EMALF;
	}
	*ret_snapshot = snapshot;
	return KNOT_EOK;
}

void image_reader_free(image_reader_t *reader)
{
	if (reader != NULL) {
		builder_free(reader->builder);
		free(reader);
	}
}
