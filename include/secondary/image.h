/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief A version of a zone as blocks of octets, for a file, and back.
 *
 * A block has whole nodes (snapshot.h) in canonical order, owner names first, then those of NSEC3:
 *
 *     u32 octets | u16 tag of its leaf | u16 trie (1: NSEC3) | the node          again and again; host order, unaligned
 *
 * Nodes stay as they are, so writing is a walk and reading a copy: about 0.15 µs an owner each way. Tries, the SOA and the choice
 * of the NSEC3 chain are made anew, as by a builder; so garbage of increments is left behind, and no reference is in the file.
 *
 * What is read is believed: that it is what was written, to the octet and by this form of nodes, is the caller's to know (store.h:
 * digest and STORE_FORMAT). Lengths are checked all the same.
 *
 * Threads: any, one at a time; a writer needs the snapshot pinned and no RCU. Blocks: no.
 */
#pragma once

#include "secondary/buffer.h"
#include "secondary/snapshot.h"

/*! A block ends with the node that fills it so far. Larger ones save nothing, smaller ones cost a system call each. */
#define IMAGE_BLOCK_SIZE  (1u << 20)

/*! What all blocks of an image come to. */
typedef struct {
	uint64_t records;         /*!< As snapshot_t. */
	uint64_t octets;
	uint32_t names;           /*!< Owners in each trie. */
	uint32_t nsec3;
	uint32_t serial;
	uint32_t reserved;
} image_sums_t;

/*! A walk over a version. */
typedef struct {
	const snapshot_t *snapshot; /*!< Borrowed. */
	const qp_t *trie;
	qp_iter_t iter;
} image_writer_t;

/*! \brief Begins to write \a snapshot, which is pinned for as long. */
void image_begin(image_writer_t *writer, const snapshot_t *snapshot);

/*!
 * \brief Appends the next block to \a block.
 *
 * \return KNOT_EOK; KNOT_ENOENT: there is none any more, nothing was appended; KNOT_ENOMEM.
 */
int image_next(image_writer_t *writer, buffer_t *block);

/*! \brief What the image of \a snapshot comes to. */
image_sums_t image_sums(const snapshot_t *snapshot);

typedef struct image_reader image_reader_t;

/*! \brief Begins to read a version of the zone \a apex (in full, copied). \param size_hint  Octets of the file. Own, or NULL. */
image_reader_t *image_reader_new(const uint8_t *apex, size_t size_hint);

/*! \brief Takes the next block, copied. \return KNOT_EOK, KNOT_EMALF (not the form of a block), KNOT_ENOMEM, KNOT_ESPACE. */
int image_read(image_reader_t *reader, const uint8_t *block, size_t size);

/*!
 * \brief Makes the version. Once.
 *
 * \param sums          What image_sums() said of it.
 * \param ret_snapshot  Own: no draft.
 * \return KNOT_EOK, KNOT_EMALF (the blocks come to something else), KNOT_ENOMEM.
 */
int image_finish(image_reader_t *reader, const image_sums_t *sums, snapshot_t **ret_snapshot);

/*! \brief Frees, with what was read. NULL is a no-op. */
void image_reader_free(image_reader_t *reader);
