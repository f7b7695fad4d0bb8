/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What is known of names outside our zones (cache.h).
 */
#include "secondary/cache.h"

#include <stdlib.h>
#include <string.h>

#include <libknot/errcode.h>
#include <sys/random.h>

#include "clock.h"

/*! Seconds that have a list of their own; what is due later stays in its list for another round. */
#define SECONDS       1024
/*! Memory for which there is one chain: about that of an entry, so chains are short. 8 octets each. */
#define CHAIN_MEMORY  512
#define CHAINS_MIN    1024
#define CHAINS_MAX    (1u << 22)
/*! This part of the memory is freed at once, so that what is gone through for it pays for many additions. */
#define ROOM_PART     64
/*! Where all that is left is under way, it is gone through once in so many additions as this part of the chains. */
#define SKIP_PART     16

struct cache {
	size_t memory_max;
	size_t memory;            /*!< Atomic. */
	size_t count;             /*!< Atomic. */
	size_t unwanted;          /*!< Entries that no zone wants. */
	uint32_t key;             /*!< Of the hash: who can choose names shall not choose chains. */
	uint32_t looked;          /*!< Second up to which cache_due() has looked. */
	size_t hand;              /*!< Chain that is judged next when memory is short. */
	size_t skip;              /*!< Times that room is not looked for, as too little was found. */
	uint64_t judged;          /*!< Chains that the hand has passed. */
	size_t mask;
	cache_entry_t *second[SECONDS];
	cache_entry_t *chain[];   /*!< RCU. */
};

uint32_t cache_now(void)
{
	return clock_seconds();
}

static uint32_t mix(uint32_t hash, uint32_t word)
{
	hash = (hash ^ word) * 0x9E3779B1u;
	return hash ^ hash >> 15;
}

static uint32_t hash_of(const cache_t *cache, uint32_t upstream, const uint8_t *name, uint8_t len, uint16_t type)
{
	uint32_t hash = mix(mix(cache->key, upstream), (uint32_t)type << 16 | len);
	for (; len >= 4; len -= 4, name += 4) {
		uint32_t word;
		memcpy(&word, name, 4);
		hash = mix(hash, word);
	}
	for (; len > 0; len--) {
		hash = mix(hash, *name++);
	}
	return hash;
}

cache_t *cache_new(size_t memory_max)
{
	size_t chains = CHAINS_MIN;
	while (chains < CHAINS_MAX && chains < memory_max / CHAIN_MEMORY) {
		chains *= 2;
	}
	cache_t *cache = calloc(1, sizeof(*cache) + chains * sizeof(cache->chain[0]));
	if (cache == NULL) {
		return NULL;
	}
	cache->memory_max = memory_max;
	cache->mask = chains - 1;
	cache->looked = cache_now();
	if (getrandom(&cache->key, sizeof(cache->key), 0) != sizeof(cache->key)) {
		cache->key = (uint32_t)(uintptr_t)cache;
	}
	return cache;
}

static void entry_free(cache_entry_t *entry)
{
	reply_free(entry->reply);
	free(entry);
}

static void entry_free_rcu(struct rcu_head *head)
{
	entry_free(caa_container_of(head, cache_entry_t, rcu));
}

static void reply_free_rcu(struct rcu_head *head)
{
	reply_free(caa_container_of(head, reply_t, rcu));
}

void cache_free(cache_t *cache)
{
	if (cache == NULL) {
		return;
	}
	for (size_t i = 0; i <= cache->mask; i++) {
		for (cache_entry_t *entry = cache->chain[i], *next; entry != NULL; entry = next) {
			next = entry->next;
			entry_free(entry);
		}
	}
	free(cache);
}

cache_entry_t *cache_find(const cache_t *cache, uint32_t upstream, const uint8_t *name, uint8_t len, uint16_t type)
{
	const uint32_t hash = hash_of(cache, upstream, name, len, type);
	cache_entry_t *entry = rcu_dereference(((cache_t *)cache)->chain[hash & cache->mask]);
	while (entry != NULL && !(entry->hash == hash && entry->upstream == upstream && entry->type == type &&
	                          entry->name_len == len && memcmp(entry->name, name, len) == 0)) {
		entry = rcu_dereference(entry->next);
	}
	return entry;
}

/* -- due -------------------------------------------------------------------------------------------------------------- */

static void unschedule(cache_t *cache, cache_entry_t *entry)
{
	cache_entry_t **first = &cache->second[entry->due % SECONDS];
	if (entry->sooner != NULL) {
		entry->sooner->later = entry->later;
	} else if (*first == entry) {
		*first = entry->later;
	}
	if (entry->later != NULL) {
		entry->later->sooner = entry->sooner;
	}
	entry->sooner = entry->later = NULL;
}

void cache_schedule(cache_t *cache, cache_entry_t *entry, uint32_t due)
{
	unschedule(cache, entry);
	/* Seconds that were looked at already do not come again for a while. */
	entry->due = (int32_t)(due - cache->looked) > 0 ? due : cache->looked + 1;
	cache_entry_t **first = &cache->second[entry->due % SECONDS];
	entry->later = *first;
	if (*first != NULL) {
		(*first)->sooner = entry;
	}
	*first = entry;
}

void cache_due(cache_t *cache, uint32_t now, void (*visit)(cache_entry_t *entry, void *ctx), void *ctx)
{
	if (now - cache->looked > SECONDS) {
		cache->looked = now - SECONDS; /* Each list once is enough after a long sleep. */
	}
	while (cache->looked != now) {
		cache->looked++;
		cache_entry_t *entry = cache->second[cache->looked % SECONDS];
		for (cache_entry_t *later; entry != NULL; entry = later) {
			later = entry->later;
			if ((int32_t)(cache->looked - entry->due) >= 0) {
				unschedule(cache, entry);
				visit(entry, ctx);
			}
		}
	}
}

void cache_walk(cache_t *cache, void (*visit)(cache_entry_t *entry, void *ctx), void *ctx)
{
	for (size_t i = 0; i <= cache->mask; i++) {
		for (cache_entry_t *entry = cache->chain[i]; entry != NULL; entry = entry->next) {
			visit(entry, ctx);
		}
	}
}

/* -- memory ----------------------------------------------------------------------------------------------------------- */

static size_t entry_memory(const cache_entry_t *entry)
{
	return sizeof(*entry) + entry->name_len + (entry->reply != NULL ? entry->reply->memory : 0);
}

static void account(cache_t *cache, size_t more, size_t less)
{
	__atomic_store_n(&cache->memory, cache->memory + more - less, __ATOMIC_RELAXED);
}

static void unlink_entry(cache_t *cache, cache_entry_t *entry, cache_entry_t **link)
{
	assert(entry->lookup == NULL && !entry->waiting);
	unschedule(cache, entry);
	rcu_assign_pointer(*link, entry->next); /* PUBLISH */
	account(cache, 0, entry_memory(entry));
	cache->unwanted -= entry->wanted == 0;
	__atomic_store_n(&cache->count, cache->count - 1, __ATOMIC_RELAXED);
	call_rcu(&entry->rcu, entry_free_rcu);
}

void cache_remove(cache_t *cache, cache_entry_t *entry)
{
	cache_entry_t **link = &cache->chain[entry->hash & cache->mask];
	while (*link != entry) {
		link = &(*link)->next;
	}
	unlink_entry(cache, entry, link);
}

/*! May it go? What was used is passed over once, what a zone wants stays unless \a wanted is to go too. */
static bool is_idle(cache_entry_t *entry, bool wanted)
{
	if (entry->lookup != NULL || entry->waiting || (entry->wanted > 0 && !wanted)) {
		return false;
	}
	if (__atomic_load_n(&entry->used, __ATOMIC_RELAXED) && !entry->spared) {
		entry->spared = true;
		return false;
	}
	return true;
}

/*! Judges the entries of the chain at the hand, and moves the hand on; \a keep stays. */
static void judge_chain(cache_t *cache, const cache_entry_t *keep, bool wanted)
{
	cache_entry_t **link = &cache->chain[cache->hand];
	while (*link != NULL) {
		if (*link != keep && is_idle(*link, wanted)) {
			unlink_entry(cache, *link, link);
		} else {
			link = &(*link)->next;
		}
	}
	cache->hand = (cache->hand + 1) & cache->mask;
	cache->judged++;
}

/*! Is there anything beside \a keep that no zone wants? */
static bool has_unwanted(const cache_t *cache, const cache_entry_t *keep)
{
	return cache->unwanted > (keep->wanted == 0);
}

/*! Beyond the limit, moves the hand on until there is room, twice round for what nobody wants, then for all; \a keep stays. */
static void make_room(cache_t *cache, const cache_entry_t *keep)
{
	if (cache->memory <= cache->memory_max) {
		return;
	}
	if (cache->skip > 0) {
		cache->skip--;
		return;
	}
	const size_t enough = cache->memory_max - cache->memory_max / ROOM_PART;
	const size_t rounds = 2 * (cache->mask + 1);
	for (size_t i = 0; cache->memory > enough && i < rounds && has_unwanted(cache, keep); i++) {
		judge_chain(cache, keep, false);
	}
	for (size_t i = 0; cache->memory > enough && i < rounds; i++) {
		judge_chain(cache, keep, true);
	}
	cache->skip = cache->memory > enough ? (cache->mask + 1) / SKIP_PART : 0;
}

uint64_t cache_judged(const cache_t *cache)
{
	return cache->judged;
}

size_t cache_memory(const cache_t *cache)
{
	return __atomic_load_n(&cache->memory, __ATOMIC_RELAXED);
}

size_t cache_count(const cache_t *cache)
{
	return __atomic_load_n(&cache->count, __ATOMIC_RELAXED);
}

/* -- entries ---------------------------------------------------------------------------------------------------------- */

cache_entry_t *cache_add(cache_t *cache, uint32_t upstream, const uint8_t *name, uint8_t len, uint16_t type)
{
	cache_entry_t *entry = calloc(1, sizeof(*entry) + len);
	if (entry == NULL) {
		return NULL;
	}
	entry->failure = CACHE_NO_FAILURE;
	entry->ask_at = cache_now();
	entry->hash = hash_of(cache, upstream, name, len, type);
	entry->upstream = upstream;
	entry->type = type;
	entry->name_len = len;
	memcpy(entry->name, name, len);

	cache_entry_t **first = &cache->chain[entry->hash & cache->mask];
	entry->next = *first;
	rcu_assign_pointer(*first, entry); /* PUBLISH */
	__atomic_store_n(&cache->count, cache->count + 1, __ATOMIC_RELAXED);
	cache->unwanted++;
	account(cache, entry_memory(entry), 0);
	make_room(cache, entry);
	return entry;
}

cache_entry_t *cache_get(cache_t *cache, uint32_t upstream, const uint8_t *name, uint8_t len, uint16_t type)
{
	cache_entry_t *entry = cache_find(cache, upstream, name, len, type);
	return entry != NULL ? entry : cache_add(cache, upstream, name, len, type);
}

void cache_want(cache_t *cache, cache_entry_t *entry)
{
	cache->unwanted -= entry->wanted++ == 0;
}

void cache_unwant(cache_t *cache, cache_entry_t *entry)
{
	if (entry->wanted > 0) {
		cache->unwanted += --entry->wanted == 0;
	}
}

/*! A look-up has ended. */
static void settle(cache_entry_t *entry, int failure, uint32_t ask_at)
{
	__atomic_store_n(&entry->failure, failure, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->ask_at, ask_at, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->asked, false, __ATOMIC_RELEASE);
}

void cache_succeed(cache_t *cache, cache_entry_t *entry, reply_t *reply, uint32_t stale, uint32_t now)
{
	reply->received = now;
	reply->stale_until = now + reply->ttl + stale;
	const size_t before = entry_memory(entry);
	reply_t *old = rcu_xchg_pointer(&entry->reply, reply); /* PUBLISH */
	account(cache, entry_memory(entry), before);
	if (old != NULL) {
		call_rcu(&old->rcu, reply_free_rcu);
	}
	entry->failures = 0;
	entry->spared = false;
	__atomic_store_n(&entry->used, false, __ATOMIC_RELAXED);
	settle(entry, CACHE_NO_FAILURE, now);
	make_room(cache, entry);
}

void cache_fail(cache_t *cache, cache_entry_t *entry, int failure, uint32_t now)
{
	(void)cache; /* whose writer it is */
	uint32_t pause = CACHE_FAILURE_MIN_S;
	for (unsigned i = 0; i < entry->failures && pause < CACHE_FAILURE_MAX_S; i++) {
		pause *= 2;
	}
	entry->failures++;
	entry->failed = now;
	__atomic_store_n(&entry->used, false, __ATOMIC_RELAXED);
	settle(entry, failure, now + (pause < CACHE_FAILURE_MAX_S ? pause : CACHE_FAILURE_MAX_S));
}
