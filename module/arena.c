/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The memory of one zone: see secondary/arena.h.
 *
 * The writer allocates by moving one number, the reference of the next free octets, and takes the lock only to change
 * chunks. What other threads may touch (the count of dead octets, the set of chunks) is behind the lock; what only the
 * writer touches (position, marks of the seal) is not, except where a count of all chunks needs it.
 */
#include "secondary/arena.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libknot/errcode.h>

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(addr, size)   ((void)(addr), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(addr, size) ((void)(addr), (void)(size))
#endif

/*! Unit of addressing, so the alignment of objects. */
#define UNIT          4u
#define OFFSET_BITS   20
#define OFFSET_MASK   ((1u << OFFSET_BITS) - 1)
#define SLOTS_MAX     (1u << (32 - OFFSET_BITS))

/*! Slots of the table inside the arena; slot 0 is never used (reference 0 is none). Each costs every zone 24 octets. */
#define SLOTS_FIRST   4u

/*! Smallest chunk: what a zone of ten records pays at most for nothing, until it is trimmed. */
#define CHUNK_MIN     1024u
/*! What malloc(3) adds to a block; left out of chunks so that blocks are powers of two. */
#define CHUNK_OVERHEAD 16u
/*! Chunks of this size are mapped: they return to the system when freed, for two system calls and zeroed pages. */
#define CHUNK_MAPPED  (256u << 10)
/*! Objects from here on never close a shared chunk: an eighth of a chunk is the most that one wastes. */
#define OBJECT_LARGE  (ARENA_CHUNK_MAX / 8)
#define HUGE_PAGE     (2u << 20)

/*! Sealing protects pages, so every chunk consists of its own pages then. */
#ifdef SECONDARY_SEAL
#define IS_MAPPED(size) true
#else
#define IS_MAPPED(size) ((size) >= CHUNK_MAPPED)
#endif

/*! One chunk; size 0: the slot is free. All in octets. */
typedef struct {
	uint32_t size;
	uint32_t used;          /*!< Handed out; of the current chunk only up to date after sync_current(). */
	uint32_t sealed;        /*!< Below: immutable. 0: the whole chunk is newer than the seal. */
	uint32_t dead : 31;
	uint32_t mapped : 1;
} chunk_t;

/*! A table that was replaced, and is kept because readers may look through it. */
typedef struct table {
	struct table *older;
	uint8_t *base[];
} table_t;

struct arena {
	_Atomic arena_ref_t next;       /*!< Where the next object goes; written by the writer only. */
	uint32_t room;                  /*!< Units left there. */
	uint32_t current;               /*!< Slot of the chunk that is being filled, or 0. */
	uint32_t resume;                /*!< \a current at the last seal. */
	uint32_t loose;                 /*!< Octets reported dead in chunk \a resume, but above its seal. */
	uint32_t slots;
	uint32_t hint;
	bool is_sealed;                 /*!< There was a seal: the first version is complete. */
	atomic_uint holders;
	uint8_t **base;
	chunk_t *chunk;
	table_t *tables;                /*!< All tables but the first, the one in use ahead. */
	pthread_mutex_t lock;
	uint8_t *first_base[SLOTS_FIRST];
	chunk_t first_chunk[SLOTS_FIRST];
};

static size_t page_ceil(size_t size)
{
	size_t mask = (size_t)sysconf(_SC_PAGESIZE) - 1;
	return (size + mask) & ~mask;
}

static uint32_t ref_slot(arena_ref_t ref)
{
	return ref >> OFFSET_BITS;
}

static uint32_t ref_offset(arena_ref_t ref)
{
	return (ref & OFFSET_MASK) * UNIT;
}

static arena_ref_t make_ref(uint32_t slot, uint32_t offset)
{
	return (slot << OFFSET_BITS) + offset / UNIT;
}

static uint32_t size_ceil(size_t size)
{
	return (uint32_t)((size + UNIT - 1) / UNIT * UNIT);
}

/*! \brief Maps memory of whole pages, on a boundary where the system can use huge ones if \a is_huge. */
static uint8_t *map_pages(size_t size, bool is_huge)
{
	size_t spare = is_huge ? HUGE_PAGE : 0;
	uint8_t *all = mmap(NULL, size + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED) {
		return NULL;
	}
	if (!is_huge) {
		return all;
	}

	size_t head = -(uintptr_t)all & (HUGE_PAGE - 1);
	if (head > 0) {
		munmap(all, head);
	}
	munmap(all + head + size, spare - head);
	/* Touched first in a third of the time, and a miss of the cache is not one of the TLB besides. */
	(void)madvise(all + head, size, MADV_HUGEPAGE);
	return all + head;
}

static void free_memory(uint8_t *base, size_t size, bool mapped)
{
	ASAN_UNPOISON_MEMORY_REGION(base, size);
	if (mapped) {
		munmap(base, size);
	} else {
		free(base);
	}
}

/*! \brief Empties a slot; the memory is the caller's to free, out of the lock if there are other threads. */
static uint8_t *drop_slot(arena_t *arena, uint32_t slot)
{
	uint8_t *base = arena->base[slot];
	arena->base[slot] = NULL;
	arena->chunk[slot] = (chunk_t){ 0 };
	return base;
}

static void free_slot(arena_t *arena, uint32_t slot)
{
	chunk_t was = arena->chunk[slot];
	uint8_t *base = drop_slot(arena, slot);
	free_memory(base, was.size, was.mapped);
}

/*! \brief Brings the count of the chunk that is being filled up to date. */
static void sync_current(arena_t *arena)
{
	if (arena->current != 0) {
		arena_ref_t next = atomic_load_explicit(&arena->next, memory_order_relaxed);
		/* A subtraction, because the position after the last unit of a full chunk lies in the next slot. */
		arena->chunk[arena->current].used = (next - make_ref(arena->current, 0)) * UNIT;
	}
}

static void set_current(arena_t *arena, uint32_t slot)
{
	const chunk_t *chunk = &arena->chunk[slot];
	arena->current = slot;
	arena->room = (chunk->size - chunk->used) / UNIT;
	atomic_store_explicit(&arena->next, make_ref(slot, chunk->used), memory_order_relaxed);
}

/*! \brief Doubles the table. Readers may be looking through the old one, so it is kept. */
static int grow_table(arena_t *arena)
{
	if (arena->slots == SLOTS_MAX) {
		return KNOT_ESPACE;
	}

	uint32_t slots = 2 * arena->slots;
	table_t *table = calloc(1, sizeof(*table) + slots * sizeof(table->base[0]));
	chunk_t *chunk = calloc(slots, sizeof(*chunk));
	if (table == NULL || chunk == NULL) {
		free(table);
		free(chunk);
		return KNOT_ENOMEM;
	}
	memcpy(table->base, arena->base, arena->slots * sizeof(table->base[0]));
	memcpy(chunk, arena->chunk, arena->slots * sizeof(*chunk));

	if (arena->chunk != arena->first_chunk) {
		free(arena->chunk);
	}
	table->older = arena->tables;
	arena->tables = table;
	arena->base = table->base;
	arena->chunk = chunk;
	arena->slots = slots;
	return KNOT_EOK;
}

static int find_slot(arena_t *arena, uint32_t *ret_slot)
{
	uint32_t slot = 1;
	while (slot < arena->slots && arena->chunk[slot].size > 0) {
		slot++;
	}
	if (slot == arena->slots) {
		int ret = grow_table(arena);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	*ret_slot = slot;
	return KNOT_EOK;
}

static arena_stats_t count_chunks(arena_t *arena)
{
	arena_stats_t stats = { 0 };

	sync_current(arena);
	for (uint32_t slot = 1; slot < arena->slots; slot++) {
		const chunk_t *chunk = &arena->chunk[slot];
		stats.reserved += chunk->size;
		stats.used += chunk->used - chunk->dead;
		stats.dead += chunk->dead;
		stats.chunks += (chunk->size > 0);
	}
	return stats;
}

/*!
 * \brief Size of the next chunk: as much as is in use.
 *
 * So a loading zone doubles, and a small zone that changes often never gets a large chunk for it.
 */
static uint32_t next_size(arena_t *arena)
{
	size_t used = count_chunks(arena).used;
	uint32_t size = CHUNK_MIN;

	if (used == 0) {
		return arena->hint;
	}
	while (size < used && size < ARENA_CHUNK_MAX) {
		size *= 2;
	}
	return size < CHUNK_MAPPED ? size - CHUNK_OVERHEAD : size;
}

static int new_chunk(arena_t *arena, uint32_t size, uint32_t *ret_slot)
{
	uint32_t slot = 0;
	int ret = find_slot(arena, &slot);
	if (ret != KNOT_EOK) {
		return ret;
	}

	bool mapped = IS_MAPPED(size);
	if (mapped) {
		size = (uint32_t)page_ceil(size);
	}
	/* An increment writes little, and would wait for a huge page to be cleared (0.2 ms, in a fresh virtual machine 3 ms). */
	bool is_huge = size >= HUGE_PAGE && !arena->is_sealed;
	uint8_t *base = mapped ? map_pages(size, is_huge) : malloc(size);
	if (base == NULL) {
		return KNOT_ENOMEM;
	}
	ASAN_POISON_MEMORY_REGION(base, size);
	arena->base[slot] = base;
	arena->chunk[slot] = (chunk_t){ .size = size, .mapped = mapped };
	*ret_slot = slot;
	return KNOT_EOK;
}

/*! \brief Goes on in a new chunk; the one before is freed if all of it is dead already. */
static int change_chunk(arena_t *arena, uint32_t size)
{
	uint32_t slot = 0;
	int ret = new_chunk(arena, size, &slot);
	if (ret != KNOT_EOK) {
		return ret;
	}

	sync_current(arena);
	uint32_t last = arena->current;
	if (last != 0 && arena->chunk[last].dead == arena->chunk[last].used) {
		free_slot(arena, last);
	}
	set_current(arena, slot);
	return KNOT_EOK;
}

/*! \brief Gives an object a chunk of its own and leaves the current one open. */
static int alloc_alone(arena_t *arena, uint32_t size, arena_ref_t *ret_ref)
{
	uint32_t slot = 0;
	int ret = new_chunk(arena, size, &slot);
	if (ret != KNOT_EOK) {
		return ret;
	}
	arena->chunk[slot].used = size;
	*ret_ref = make_ref(slot, 0);
	return KNOT_EOK;
}

static void take_room(arena_t *arena, uint32_t size, arena_ref_t *ret_ref)
{
	arena_ref_t next = atomic_load_explicit(&arena->next, memory_order_relaxed);
	atomic_store_explicit(&arena->next, next + size / UNIT, memory_order_relaxed);
	arena->room -= size / UNIT;
	*ret_ref = next;
}

static int alloc_slowly(arena_t *arena, uint32_t size, arena_ref_t *ret_ref)
{
	uint32_t next = next_size(arena);

	/* Stay in the chunk that would have more room afterwards. */
	if (size >= OBJECT_LARGE || size > next || next - size < arena->room * UNIT) {
		return alloc_alone(arena, size, ret_ref);
	}
	int ret = change_chunk(arena, next);
	if (ret == KNOT_EOK) {
		take_room(arena, size, ret_ref);
	}
	return ret;
}

arena_t *arena_new(size_t hint)
{
	arena_t *arena = calloc(1, sizeof(*arena));
	if (arena == NULL) {
		return NULL;
	}
	if (pthread_mutex_init(&arena->lock, NULL) != 0) {
		free(arena);
		return NULL;
	}
	if (hint < CHUNK_MIN - CHUNK_OVERHEAD) {
		hint = CHUNK_MIN - CHUNK_OVERHEAD;
	}
	arena->hint = hint < ARENA_CHUNK_MAX ? size_ceil(hint) : ARENA_CHUNK_MAX;
	arena->base = arena->first_base;
	arena->chunk = arena->first_chunk;
	arena->slots = SLOTS_FIRST;
	atomic_init(&arena->next, 0);
	atomic_init(&arena->holders, 1);
	return arena;
}

arena_t *arena_hold(arena_t *arena)
{
	atomic_fetch_add_explicit(&arena->holders, 1, memory_order_relaxed);
	return arena;
}

static void free_arena(arena_t *arena)
{
	for (uint32_t slot = 1; slot < arena->slots; slot++) {
		if (arena->chunk[slot].size > 0) {
			free_slot(arena, slot);
		}
	}
	while (arena->tables != NULL) {
		table_t *table = arena->tables;
		arena->tables = table->older;
		free(table);
	}
	if (arena->chunk != arena->first_chunk) {
		free(arena->chunk);
	}
	pthread_mutex_destroy(&arena->lock);
	free(arena);
}

void arena_release(arena_t *arena)
{
	/* What other holders did with the arena happens before it is freed. */
	if (arena != NULL && atomic_fetch_sub_explicit(&arena->holders, 1, memory_order_acq_rel) == 1) {
		free_arena(arena);
	}
}

arena_base_t arena_base(const arena_t *arena)
{
	return arena->base;
}

void *arena_ptr(const arena_t *arena, arena_ref_t ref)
{
	assert(ref != 0);
	return arena_at(arena->base, ref);
}

int arena_alloc(arena_t *arena, size_t size, arena_ref_t *ret_ref)
{
	assert(size > 0);
	if (size > ARENA_OBJECT_MAX) {
		return KNOT_ESPACE;
	}

	int ret = KNOT_EOK;
	uint32_t octets = size_ceil(size);
	if (octets / UNIT <= arena->room) {
		take_room(arena, octets, ret_ref);
	} else {
		pthread_mutex_lock(&arena->lock);
		ret = alloc_slowly(arena, octets, ret_ref);
		pthread_mutex_unlock(&arena->lock);
	}
	if (ret == KNOT_EOK) {
		ASAN_UNPOISON_MEMORY_REGION(arena_at(arena->base, *ret_ref), octets);
	}
	return ret;
}

bool arena_is_mutable(const arena_t *arena, arena_ref_t ref)
{
	return ref_offset(ref) >= arena->chunk[ref_slot(ref)].sealed;
}

/*! \brief Makes the full pages of a chunk read-only, the last one too if nothing will be added. */
static void protect_chunk(const arena_t *arena, uint32_t slot)
{
#ifdef SECONDARY_SEAL
	const chunk_t *chunk = &arena->chunk[slot];
	size_t page = page_ceil(1);
	size_t size = slot == arena->current ? chunk->used / page * page : chunk->size;
	if (size > 0) {
		mprotect(arena->base[slot], size, PROT_READ);
	}
#else
	(void)arena;
	(void)slot;
#endif
}

void arena_seal(arena_t *arena)
{
	pthread_mutex_lock(&arena->lock);
	sync_current(arena);
	for (uint32_t slot = 1; slot < arena->slots; slot++) {
		chunk_t *chunk = &arena->chunk[slot];
		if (chunk->used > chunk->sealed) {
			chunk->sealed = chunk->used;
			protect_chunk(arena, slot);
		}
	}
	arena->resume = arena->current;
	arena->loose = 0;
	arena->is_sealed = true;
	pthread_mutex_unlock(&arena->lock);
}

/*! \brief Goes back to the chunk that was being filled at the last seal, if it is still there. */
static void resume_chunk(arena_t *arena)
{
	chunk_t *chunk = &arena->chunk[arena->resume];

	arena->current = 0;
	arena->room = 0;
	if (chunk->size == 0) {
		arena->resume = 0;
	} else {
		ASAN_POISON_MEMORY_REGION(arena->base[arena->resume] + chunk->sealed, chunk->used - chunk->sealed);
		chunk->used = chunk->sealed;
		chunk->dead -= arena->loose;
		set_current(arena, arena->resume);
	}
	arena->loose = 0;
}

void arena_rollback(arena_t *arena)
{
	pthread_mutex_lock(&arena->lock);
	sync_current(arena);
	for (uint32_t slot = 1; slot < arena->slots; slot++) {
		if (arena->chunk[slot].size > 0 && arena->chunk[slot].sealed == 0) {
			free_slot(arena, slot);
		}
	}
	resume_chunk(arena);
	pthread_mutex_unlock(&arena->lock);
}

static void trim_chunk(arena_t *arena, uint32_t slot)
{
	chunk_t *chunk = &arena->chunk[slot];
	uint8_t *base = arena->base[slot];
	size_t size = chunk->mapped ? page_ceil(chunk->used) : chunk->used;

	if (size == chunk->size) {
		return;
	}
	if (chunk->mapped) {
		ASAN_UNPOISON_MEMORY_REGION(base + size, chunk->size - size);
		munmap(base + size, chunk->size - size);
	} else {
		ASAN_UNPOISON_MEMORY_REGION(base, chunk->size);
		uint8_t *moved = realloc(base, size);
		arena->base[slot] = moved != NULL ? moved : base;
	}
	chunk->size = (uint32_t)size;
	set_current(arena, slot);
}

void arena_trim(arena_t *arena)
{
	pthread_mutex_lock(&arena->lock);
	sync_current(arena);
	if (arena->current != 0 && arena->chunk[arena->current].used > 0) {
		trim_chunk(arena, arena->current);
	}
	pthread_mutex_unlock(&arena->lock);
}

void arena_dead(arena_t *arena, arena_ref_t ref, size_t size)
{
	uint32_t slot = ref_slot(ref);
	uint32_t octets = size_ceil(size);
	uint8_t *base = NULL;

	pthread_mutex_lock(&arena->lock);
	chunk_t *chunk = &arena->chunk[slot];
	assert(ref != 0 && slot < arena->slots && chunk->size - chunk->dead >= octets);
	ASAN_POISON_MEMORY_REGION(arena_at(arena->base, ref), octets);
	chunk->dead += octets;
	if (slot == arena->resume && ref_offset(ref) >= chunk->sealed) {
		arena->loose += octets;
	}
	chunk_t was = *chunk;
	if (slot != arena->current && was.dead == was.used) {
		base = drop_slot(arena, slot);
	}
	pthread_mutex_unlock(&arena->lock);

	if (base != NULL) {
		free_memory(base, was.size, was.mapped);
	}
}

arena_stats_t arena_stats(arena_t *arena)
{
	pthread_mutex_lock(&arena->lock);
	arena_stats_t stats = count_chunks(arena);
	pthread_mutex_unlock(&arena->lock);
	return stats;
}
