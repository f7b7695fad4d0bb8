/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief How fast and how large the trie is, with names like those of a hosting company.
 *
 *     gcc -O2 -std=gnu11 -D_GNU_SOURCE -Iinclude tests/bench_qp.c module/arena.c module/qp.c module/qp_txn.c -o bench_qp
 *     ./bench_qp [NAMES]
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "secondary/qp_txn.h"

#define NAMES_DEFAULT 628021
#define LOOKUPS       2000000
#define CHANGES       1000
/*! Octets of records behind each name, so that the trie is not alone in the cache. */
#define PAYLOAD       44

typedef struct {
	uint8_t len;
	uint8_t labels[63];
} owner_t;

static uint64_t seed = 1;

static uint64_t random_next(void)
{
	uint64_t z = (seed += 0x9E3779B97F4A7C15);
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
	z = (z ^ z >> 27) * 0x94D049BB133111EB;
	return z ^ z >> 31;
}

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static size_t resident(void)
{
	size_t pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	if (file == NULL || fscanf(file, "%*u %zu", &pages) != 1) {
		pages = 0;
	}
	if (file != NULL) {
		fclose(file);
	}
	return pages * 4096;
}

static void add_label(owner_t *owner, const char *label)
{
	owner->labels[owner->len++] = (uint8_t)strlen(label);
	memcpy(owner->labels + owner->len, label, strlen(label));
	owner->len += strlen(label);
}

/*! \brief A customer's name, in the order of their numbers, and sometimes something below it. */
static void make_owner(owner_t *owner, unsigned i)
{
	static const char *const below[] = { NULL, "www", "mail", "ftp", "*", "_dmarc", NULL };
	static const char *const word[] = { "alpha", "best", "cloud", "data", "euro", "food", "green", "home", "info",
	                                    "jazz", "kids", "live", "media", "nord", "open", "plus" };
	char label[48];
	uint64_t mix = (i / 3) * 0x9E3779B97F4A7C15;

	owner->len = 0;
	if (below[i % 3 == 0 ? 0 : i % 3 == 1 ? 1 : 2 + mix % 4] != NULL) {
		add_label(owner, below[i % 3 == 0 ? 0 : i % 3 == 1 ? 1 : 2 + mix % 4]);
	}
	snprintf(label, sizeof(label), "%s%s%u", word[mix >> 60], word[mix >> 56 & 15], i / 3);
	add_label(owner, label);
}

/*! \brief Compares from the last label on, as far as needed for an order close to the canonical one. */
static int compare_owners(const void *a, const void *b)
{
	qp_key_t ka, kb;
	const owner_t *oa = a, *ob = b;
	qp_key(&ka, oa->labels, oa->len);
	qp_key(&kb, ob->labels, ob->len);
	unsigned len = ka.len < kb.len ? ka.len : kb.len;
	int order = memcmp(ka.sym, kb.sym, len);
	return order != 0 ? order : ka.len - kb.len;
}

static arena_ref_t new_object(arena_t *arena, const owner_t *owner)
{
	arena_ref_t ref;
	if (arena_alloc(arena, 1 + owner->len + PAYLOAD, &ref) != 0) {
		abort();
	}
	uint8_t *object = arena_ptr(arena, ref);
	memcpy(object, owner, 1 + owner->len);
	memset(object + 1 + owner->len, 0, PAYLOAD);
	return ref;
}

/*! \brief What the objects cost without a trie, to be subtracted; also the system's first contact with the memory. */
static void bench_objects(const owner_t *owners, unsigned count)
{
	for (unsigned round = 0; round < 2; round++) {
		arena_t *arena = arena_new(ARENA_CHUNK_MAX);
		if (arena == NULL) {
			abort();
		}
		double begin = now();
		for (unsigned i = 0; i < count; i++) {
			new_object(arena, &owners[i]);
		}
		printf("objects alone, round %u     %8.1f ms\n", round, (now() - begin) * 1e3);
		arena_release(arena);
	}
}

static void bench_insert(arena_t *arena, const owner_t *owners, unsigned count, qp_t *qp)
{
	scrap_list_t scrap = { 0 };
	qp_txn_t txn;
	double begin = now();
	size_t objects = 0, before = resident();

	qp_txn_begin(&txn, arena, NULL, &scrap);
	for (unsigned i = 0; i < count; i++) {
		arena_ref_t ref = new_object(arena, &owners[i]);
		objects += (1 + owners[i].len + PAYLOAD + 3) / 4 * 4;
		if (qp_txn_put(&txn, ref, 0, NULL) != 0) {
			abort();
		}
	}
	double total = now() - begin;
	if (qp_txn_settle(&txn) != 0) {
		abort();
	}
	qp_txn_commit(&txn, qp);
	double commit = now() - begin - total;
	arena_seal(arena);
	arena_trim(arena);
	qp->base = arena_base(arena);

	arena_stats_t stats = arena_stats(arena);
	printf("insert, objects included   %8.1f ms   %6.0f ns each (commit %.1f ms)\n", total * 1e3,
	       total * 1e9 / count, commit * 1e3);
	printf("trie                       %8.2f MB   %6.1f octets a name, %.2f MB more given up\n",
	       (stats.used - objects) / 1e6, (double)(stats.used - objects) / count, stats.dead / 1e6);
	printf("arena                      %8.2f MB   %u chunks, resident %.2f MB\n", stats.reserved / 1e6, stats.chunks,
	       (resident() - before) / 1e6);
}

static void bench_find(const char *what, const qp_t *qp, const owner_t *owners, const uint32_t *pick, bool is_hit)
{
	qp_key_t key;
	qp_path_t path;
	unsigned hits = 0;
	double begin = now();

	for (unsigned i = 0; i < LOOKUPS; i++) {
		owner_t owner = owners[pick[i]];
		if (!is_hit) {
			/* Something that is not there, below the same customer or in its place. */
			owner.labels[1 + i % (owner.labels[0])] = 'q';
			owner.labels[owner.labels[0]] = 'y';
		}
		qp_key(&key, owner.labels, owner.len);
		qp_find(qp, &key, &path);
		hits += path.match.ref != 0;
	}
	printf("%-26s %8.1f ns   %.1f %% found\n", what, (now() - begin) * 1e9 / LOOKUPS, hits * 100.0 / LOOKUPS);
}

static void bench_seek(const qp_t *qp, const owner_t *owners, const uint32_t *pick)
{
	qp_key_t key;
	qp_iter_t iter;
	unsigned found = 0;
	double begin = now();

	for (unsigned i = 0; i < LOOKUPS / 4; i++) {
		owner_t owner = owners[pick[i]];
		owner.labels[owner.labels[0]] = 'y';
		qp_key(&key, owner.labels, owner.len);
		found += qp_seek(qp, &key, &iter).ref != 0;
	}
	printf("%-26s %8.1f ns   %u found\n", "seek, random", (now() - begin) * 1e9 / (LOOKUPS / 4), found);
}

static void bench_keys(const owner_t *owners, const uint32_t *pick)
{
	qp_key_t key;
	unsigned sum = 0;
	double begin = now();

	for (unsigned i = 0; i < LOOKUPS; i++) {
		owner_t owner = owners[pick[i]];
		qp_key(&key, owner.labels, owner.len);
		sum += key.len;
	}
	printf("%-26s %8.1f ns   %.1f symbols\n", "of which making the key", (now() - begin) * 1e9 / LOOKUPS,
	       (double)sum / LOOKUPS);
}

static void bench_walk(const qp_t *qp)
{
	qp_iter_t iter;
	unsigned names = 0;
	double begin = now();

	for (qp_begin(qp, &iter); qp_next(&iter).ref != 0; ) {
		names++;
	}
	printf("%-26s %8.1f ns   %u names\n", "next, each", (now() - begin) * 1e9 / names, names);
}

static void bench_change(arena_t *arena, const owner_t *owners, const uint32_t *pick, const qp_t *qp)
{
	scrap_list_t scrap = { 0 };
	qp_txn_t txn;
	qp_t next;
	size_t used = arena_stats(arena).used;
	double begin = now();

	qp_txn_begin(&txn, arena, qp, &scrap);
	for (unsigned i = 0; i < CHANGES; i++) {
		if (qp_txn_put(&txn, new_object(arena, &owners[pick[i]]), 1, NULL) != 0) {
			abort();
		}
	}
	qp_txn_commit(&txn, &next);
	arena_seal(arena);
	printf("%-26s %8.1f ns   %zu octets each\n", "replace in a new version", (now() - begin) * 1e9 / CHANGES,
	       (arena_stats(arena).used - used) / CHANGES);
	scrap_clear(&scrap);
}

int main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : NAMES_DEFAULT;
	owner_t *owners = calloc(count, sizeof(*owners));
	uint32_t *pick = malloc(LOOKUPS * sizeof(*pick));
	arena_t *arena = arena_new(count * 60);
	qp_t qp;

	if (owners == NULL || pick == NULL || arena == NULL || count == 0) {
		return EXIT_FAILURE;
	}
	for (unsigned i = 0; i < count; i++) {
		make_owner(&owners[i], i);
	}
	qsort(owners, count, sizeof(*owners), compare_owners);
	for (unsigned i = 0; i < LOOKUPS; i++) {
		pick[i] = random_next() % count;
	}

	bench_objects(owners, count);
	bench_insert(arena, owners, count, &qp);
	bench_find("find, hits", &qp, owners, pick, true);
	bench_find("find, misses", &qp, owners, pick, false);
	bench_keys(owners, pick);
	bench_seek(&qp, owners, pick);
	bench_walk(&qp);
	bench_change(arena, owners, pick, &qp);

	arena_release(arena);
	free(pick);
	free(owners);
	return EXIT_SUCCESS;
}
