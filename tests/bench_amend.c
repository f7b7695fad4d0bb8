/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief How long an increment takes from the end of its transfer until it is published.
 *
 *     gcc -O2 -std=gnu11 -D_GNU_SOURCE -Iinclude tests/bench_amend.c tests/support.c build/libhouse.a \
 *         -lknot -lzscanner -lcheck -lsubunit -lm -luv -lurcu -lurcu-cds -lgnutls -lpthread -o bench_amend
 *     ./bench_amend [NAMES]
 *
 * The zone is like a hosting company's: 628,021 names have about a million records; then one ten times as large; then 200,000 signed
 * delegations with a chain of NSEC3. A change is one record removed, and one added in its place, at names all over the
 * zone; in a signed zone a signature changes. Versions are published and retired as the worker does it, and nothing else holds them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libknot/libknot.h>

#include "secondary/amend.h"
#include "secondary/nsec3.h"
#include "secondary/wire.h"
#include "secondary/zone.h"

#define NAMES_DEFAULT 628021
#define SIGNED        200000
#define ROUNDS        7
#define APEX          "\x05" "bench" "\x04" "test"
#define APEX_LEN      12 /* With the root label. */
#define SIGNATURE     64

#define REQUIRE(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1); \
		} \
	} while (0)

typedef enum { HOSTING, DELEGATIONS } kind_t;

/*! A zone under way. What a name has follows from its number and how often it was changed. */
static struct {
	kind_t kind;
	unsigned names;
	uint32_t serial;
	uint8_t *changed;         /*!< How often, for each name. */
	zone_t *zone;
} bench;

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
	z = (z ^ z >> 27) * 0x94D049BB133111EB;
	return z ^ z >> 31;
}

/*! The name of a number: relative, \a ret_owner with room for 64. */
static uint8_t name_of(unsigned number, uint8_t *ret_owner)
{
	const uint64_t bits = mix(number + 1);
	const int len = sprintf((char *)ret_owner + 1, "%c%03xsite%u", (int)('a' + bits % 26), (unsigned)(bits >> 8 & 0xFFF), number);
	ret_owner[0] = len;
	return 1 + len;
}

/*! Takes a record somewhere. */
typedef void (*put_f)(void *to, const uint8_t *owner, uint8_t owner_len, uint16_t type, const void *rdata, uint16_t len);

static void put_builder(void *to, const uint8_t *owner, uint8_t owner_len, uint16_t type, const void *rdata, uint16_t len)
{
	uint8_t full[WIRE_NAME_MAX];
	memcpy(full, owner, owner_len);
	memcpy(full + owner_len, APEX, APEX_LEN);
	REQUIRE(builder_add(to, full, owner_len + APEX_LEN, type, 3600, rdata, len) == KNOT_EOK);
}

static void put_maker(void *to, const uint8_t *owner, uint8_t owner_len, uint16_t type, const void *rdata, uint16_t len)
{
	REQUIRE(difference_maker_put(to, owner, owner_len, type, 3600, rdata, len) == KNOT_EOK);
}

static void put_soa(put_f put, void *to, uint32_t serial)
{
	uint8_t rdata[22] = { 0 };
	knot_wire_write_u32(rdata + 2, serial);
	put(to, NULL, 0, KNOT_RRTYPE_SOA, rdata, sizeof(rdata));
}

static void put_signature(put_f put, void *to, const uint8_t *owner, uint8_t owner_len, uint16_t covered, uint8_t version)
{
	uint8_t rdata[18 + APEX_LEN + SIGNATURE] = { covered >> 8, covered };
	memcpy(rdata + 18, APEX, APEX_LEN);
	memset(rdata + 18 + APEX_LEN, version, SIGNATURE);
	put(to, owner, owner_len, KNOT_RRTYPE_RRSIG, rdata, sizeof(rdata));
}

/*! What changes of a name. */
static void put_change(put_f put, void *to, unsigned number, uint8_t version)
{
	uint8_t owner[64];
	const uint8_t len = name_of(number, owner);
	const uint32_t address = number << 8 | version;
	if (bench.kind == HOSTING) {
		put(to, owner, len, KNOT_RRTYPE_A, &address, 4);
	} else {
		put_signature(put, to, owner, len, KNOT_RRTYPE_DS, version);
	}
}

static void put_hosting(put_f put, void *to, unsigned number)
{
	uint8_t owner[64];
	const uint8_t len = name_of(number, owner);
	const uint32_t kind = mix(number + 1) >> 20 & 0xFF;
	put_change(put, to, number, 0);
	if (kind < 77) {
		put(to, owner, len, KNOT_RRTYPE_AAAA, owner, 16);
	}
	if (kind < 39) {
		put(to, owner, len, KNOT_RRTYPE_MX, "\0\x0A\x04mail" APEX, 7 + APEX_LEN);
	}
	if (kind >= 39 && kind < 77) {
		put(to, owner, len, KNOT_RRTYPE_TXT, "\x0Fv=spf1 mx a -al", 16);
	}
}

/*! The owner of the NSEC3 record of a name. */
static void nsec3_owner(const uint8_t *name, size_t len, uint8_t ret_owner[33])
{
	static const nsec3_chain_t chain = { .param = (const uint8_t *)"\1\0\0\0\0" };
	uint8_t hash[NSEC3_HASH_SIZE];
	nsec3_hash(&chain, name, len, hash);
	ret_owner[0] = 32;
	for (unsigned i = 0; i < 32; i++) {
		const unsigned bit = 5 * i, low = bit / 8 + 1 < sizeof(hash) ? hash[bit / 8 + 1] : 0;
		ret_owner[1 + i] = "0123456789abcdefghijklmnopqrstuv"[(hash[bit / 8] << 8 | low) >> (11 - bit % 8) & 31];
	}
}

static void put_nsec3(put_f put, void *to, const uint8_t *relative, uint8_t len)
{
	uint8_t full[WIRE_NAME_MAX], owner[33];
	uint8_t rdata[6 + 20 + 3] = { 1, 1, 0, 0, 0, 20 };
	memcpy(full, relative, len);
	memcpy(full + len, APEX, APEX_LEN);
	nsec3_owner(full, len + APEX_LEN, owner);
	memcpy(rdata + 26, "\0\1\x20", 3);
	put(to, owner, 33, KNOT_RRTYPE_NSEC3, rdata, sizeof(rdata));
	put_signature(put, to, owner, 33, KNOT_RRTYPE_NSEC3, 0);
}

static void put_delegation(put_f put, void *to, unsigned number)
{
	uint8_t owner[64];
	const uint8_t len = name_of(number, owner);
	put(to, owner, len, KNOT_RRTYPE_NS, "\x03ns1\x03net", 9);
	put(to, owner, len, KNOT_RRTYPE_DS, "\0\1\x0D\2some digest of this name, 32 o.", 36);
	put_change(put, to, number, 0);
	put_nsec3(put, to, owner, len);
}

static snapshot_t *build(void)
{
	static const builder_limits_t limits = { 0 };
	builder_t *builder = builder_new((const uint8_t *)APEX, &limits);
	REQUIRE(builder != NULL);
	put_soa(put_builder, builder, bench.serial);
	put_builder(builder, NULL, 0, KNOT_RRTYPE_NS, "\x03ns1\x03net", 9);
	if (bench.kind == DELEGATIONS) {
		put_builder(builder, NULL, 0, KNOT_RRTYPE_NSEC3PARAM, "\1\0\0\0\0", 5);
		put_nsec3(put_builder, builder, NULL, 0);
	}
	for (unsigned i = 0; i < bench.names; i++) {
		(bench.kind == HOSTING ? put_hosting : put_delegation)(put_builder, builder, i);
	}
	snapshot_t *snapshot = NULL;
	REQUIRE(builder_finish(builder, &snapshot) == KNOT_EOK);
	return snapshot;
}

/*! An increment of \a changes, in the order in which servers send them: by no means sorted, as BIND's. */
static difference_t *make_difference(unsigned changes)
{
	difference_maker_t maker = { 0 };
	difference_t *difference = NULL;
	/* Names that a stride leads to are different ones, up to all of them. */
	const uint64_t stride = 40503, first = mix(bench.serial);
	put_soa(put_maker, &maker, bench.serial);
	for (unsigned i = 0; i < changes; i++) {
		const unsigned number = (first + i * stride) % bench.names;
		put_change(put_maker, &maker, number, bench.changed[number]);
	}
	difference_maker_turn(&maker);
	put_soa(put_maker, &maker, ++bench.serial);
	for (unsigned i = 0; i < changes; i++) {
		const unsigned number = (first + i * stride) % bench.names;
		put_change(put_maker, &maker, number, ++bench.changed[number]);
	}
	REQUIRE(difference_maker_finish(&maker, &difference) == KNOT_EOK);
	return difference;
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static double cpu(void)
{
	struct timespec time;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static snapshot_t *current(void)
{
	rcu_read_lock();
	snapshot_t *snapshot = snapshot_pin(zone_borrow(bench.zone));
	rcu_read_unlock();
	return snapshot;
}

static void measure(unsigned changes)
{
	static const builder_limits_t limits = { 0 };
	double wall[ROUNDS], spent[ROUNDS];
	for (unsigned i = 0; i < ROUNDS; i++) {
		difference_t *difference = make_difference(changes);
		snapshot_t *base = current();
		char error[AMEND_ERROR_MAX];
		snapshot_t *draft = NULL;
		wall[i] = now();
		spent[i] = cpu();
		const int ret = amend(base, &difference, 1, &limits, &draft, error);
		if (ret != KNOT_EOK) {
			fprintf(stderr, "failed: %s\n", error);
			exit(1);
		}
		zone_publish(bench.zone, draft, 0);
		spent[i] = cpu() - spent[i];
		wall[i] = now() - wall[i];
		snapshot_unpin(base);
		difference_release(difference);
		rcu_barrier();
	}
	qsort(wall, ROUNDS, sizeof(double), compare);
	qsort(spent, ROUNDS, sizeof(double), compare);
	printf("  %6u changes: %9.3f ms (%.3f to %.3f), cpu %.3f ms, %.0f ns a change\n", changes, wall[ROUNDS / 2] * 1e3,
	       wall[0] * 1e3, wall[ROUNDS - 1] * 1e3, spent[ROUNDS / 2] * 1e3, spent[ROUNDS / 2] / changes * 1e9);
}

static void measure_copy(void)
{
	snapshot_t *base = current();
	snapshot_t *copy = NULL;
	const arena_stats_t stats = arena_stats(base->arena);
	const double wall = now(), spent = cpu();
	REQUIRE(amend_compact(base, &copy) == KNOT_EOK);
	printf("  copy: %.0f ms, cpu %.0f ms; of %zu octets %zu are alive, %zu garbage\n", (now() - wall) * 1e3,
	       (cpu() - spent) * 1e3, stats.reserved, stats.used, stats.dead);

	difference_t *difference = NULL;
	const double begin = now(), begin_cpu = cpu();
	REQUIRE(difference_compute(base, copy, 0, &difference) == KNOT_EOK);
	printf("  difference of both: %.0f ms, cpu %.0f ms\n", (now() - begin) * 1e3, (cpu() - begin_cpu) * 1e3);
	difference_release(difference);
	snapshot_unpin(base);
	snapshot_unpin(copy);
}

static void run(const char *what, kind_t kind, unsigned names)
{
	bench.kind = kind;
	bench.names = names;
	bench.serial = 1;
	bench.changed = calloc(names, 1);
	REQUIRE(bench.changed != NULL);
	zone_publish(bench.zone, build(), 0);
	rcu_barrier();
	snapshot_t *base = current();
	printf("%s: %u names, %llu records%s\n", what, base->names.count, (unsigned long long)base->records,
	       base->chain.has_notes ? ", with notes" : "");
	snapshot_unpin(base);
	measure(1);
	measure(1000);
	if (names >= 100000) {
		measure(100000);
	}
	measure(1);
	measure_copy();
	free(bench.changed);
}

int main(int argc, char **argv)
{
	const unsigned names = argc > 1 ? strtoul(argv[1], NULL, 10) : NAMES_DEFAULT;
	secondary_rcu_prime();
	rcu_register_thread();
	REQUIRE(zone_attach((const uint8_t *)APEX, NULL, &bench.zone) == KNOT_EOK);
	run("hosting", HOSTING, names);
	run("ten times", HOSTING, 10 * names);
	run("signed", DELEGATIONS, SIGNED);
	zone_publish(bench.zone, NULL, 0);
	zone_detach(bench.zone, NULL);
	zone_release(bench.zone);
	rcu_barrier();
	rcu_unregister_thread();
	return 0;
}
