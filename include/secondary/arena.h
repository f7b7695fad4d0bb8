/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The memory of one zone: large chunks, addressed by 32-bit references, shared by the versions of the zone.
 *
 * A full transfer makes a new arena; every increment after it allocates at the end of the same arena and shares the rest
 * with older versions, which stay whole. So an arena outlives each of its versions: it is counted, every snapshot holds
 * it, and it is freed with the last of them, all chunks at once.
 *
 *     reference (32 bits):   chunk (12 bits) | offset in units of 4 octets (20 bits)        0 = none
 *     table:                 uint8_t *base[chunk]
 *
 * Readers need only the table. It is replaced by a larger one when it is full; replaced tables live as long as the arena
 * (they add up to less than one more table), so a reader uses the one its snapshot captured.
 *
 * Immutability: octets below the seal never change again. arena_seal() is called when a version is complete; allocations
 * made after it are mutable until the next seal (arena_is_mutable()), or thrown away together by arena_rollback().
 *
 * Garbage: what no live version refers to is reported by arena_dead(); a chunk that is all dead is returned to the
 * system at once. Chunks of 256 KiB and more come straight from mmap(2), so that freeing a replaced zone really shrinks
 * the process. The first chunk is small (thousands of zones have ten records), each further one as large as what is in
 * use by then, up to ARENA_CHUNK_MAX: a loading zone doubles, a small one that changes for years gets no large chunk.
 * A large object gets a chunk of its own.
 *
 * Limits: 4,095 chunks of 4 MiB (16 GiB) and ARENA_OBJECT_MAX an object; beyond: KNOT_ESPACE.
 * Threads: one writer at a time (alloc, seal, rollback, trim); hold, release and dead from any thread; readers of sealed
 * octets from any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*! Largest shared chunk: what 20 bits of 4-octet units can address. Larger: fewer table entries, more slack at the end. */
#define ARENA_CHUNK_MAX    (4u << 20)
/*! Largest object (one owner with all its RRsets): bounded so that a size fits 32 bits with room for arithmetic. */
#define ARENA_OBJECT_MAX   (1u << 30)

typedef struct arena arena_t;

/*! A place in an arena; 0 is none. */
typedef uint32_t arena_ref_t;

/*! The table through which references are read. */
typedef uint8_t *const *arena_base_t;

typedef struct {
	size_t reserved;  /*!< Octets taken from the system for chunks. */
	size_t used;      /*!< Octets handed out and not yet dead. */
	size_t dead;      /*!< Octets reported dead in chunks that still hold live ones. */
	unsigned chunks;  /*!< Chunks held now. */
} arena_stats_t;

/*!
 * \brief Turns a reference into a pointer.
 *
 * Borrow: valid as long as the snapshot (or the transaction) that \a base came from. Never NULL for a valid reference.
 */
static inline void *arena_at(arena_base_t base, arena_ref_t ref)
{
	return base[ref >> 20] + ((size_t)(ref & 0xFFFFF) << 2);
}

/*!
 * \brief Creates an empty arena, held once.
 *
 * \param hint  Octets expected in all (0: unknown); decides the size of the first chunk only.
 * \return Own (release with arena_release()), or NULL (no memory).
 */
arena_t *arena_new(size_t hint);

/*! \brief Counts one more holder. Thread: any. */
arena_t *arena_hold(arena_t *arena);

/*! \brief Counts one holder less; the last one frees the arena with all chunks. Thread: any. NULL is a no-op. */
void arena_release(arena_t *arena);

/*! \brief Current table; changes with allocations, so ask again after arena_alloc() (or use arena_ptr()). Thread: writer. */
arena_base_t arena_base(const arena_t *arena);

/*! \brief arena_at() through the current table. Thread: writer. */
void *arena_ptr(const arena_t *arena, arena_ref_t ref);

/*!
 * \brief Allocates \a size octets (1 … ARENA_OBJECT_MAX), aligned to 4, not cleared.
 *
 * Thread: writer. Blocks: no (may call mmap).
 * \param ret_ref  Place of the object; untouched on failure.
 * \return KNOT_EOK, KNOT_ENOMEM, KNOT_ESPACE (the arena is full or the object too large).
 */
int arena_alloc(arena_t *arena, size_t size, arena_ref_t *ret_ref);

/*! \brief Was \a ref allocated since the last seal, so that it may still be written? Thread: writer. */
bool arena_is_mutable(const arena_t *arena, arena_ref_t ref);

/*! \brief Makes all that was allocated so far immutable (in debug builds whole pages of it become read-only). Thread: writer. */
void arena_seal(arena_t *arena);

/*! \brief Forgets all that was allocated since the last seal. Thread: writer. */
void arena_rollback(arena_t *arena);

/*!
 * \brief Gives back what the last chunk has too much, once, before the first version is published.
 *
 * May move the chunk: references stay valid, pointers do not. Thread: writer, and no reader may exist yet.
 */
void arena_trim(arena_t *arena);

/*!
 * \brief Reports that \a size octets at \a ref (as they were allocated) are reachable from no live version any more.
 *
 * Thread: any (takes the arena's lock shortly). Frees the chunk when all of it is dead and nothing will be added to it.
 */
void arena_dead(arena_t *arena, arena_ref_t ref, size_t size);

/*! \brief Takes a consistent count. Thread: any. */
arena_stats_t arena_stats(arena_t *arena);
