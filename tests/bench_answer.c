/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Times answer() over a synthetic zone.
 *
 *     bench_answer [NAMES [QUERIES]]       nanoseconds per answer, by kind; 600,000 names, 1,000,000 queries
 *     bench_answer count KIND QUERIES      that many answers of one kind from a zone of 100 names, for
 *                                          valgrind --tool=callgrind --toggle-collect=answer
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libknot/libknot.h>

#include "secondary/answer.h"
#include "secondary/builder.h"

/*! Questions made before the clock runs, so that making them is not timed. */
#define BATCH 4096

typedef enum { HIT, ALIAS, MX, NODATA, MISS, REFERRAL, KINDS } kind_t;

static const char *const kind_names[KINDS] = { "hit", "alias", "mx", "nodata", "miss", "referral" };
static const uint16_t kind_types[KINDS] = {
	KNOT_RRTYPE_A, KNOT_RRTYPE_A, KNOT_RRTYPE_MX, KNOT_RRTYPE_SRV, KNOT_RRTYPE_A, KNOT_RRTYPE_A,
};

#define APEX     "\7example"
#define APEX_LEN sizeof(APEX)

static uint64_t random_state = 1;

static uint32_t random_u32(void)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return random_state >> 33;
}

/*! Spreads numbers, so that names are not in order and share no long beginnings. */
static uint32_t scramble(uint32_t number)
{
	return number * 2654435761u;
}

static uint8_t make_name(uint8_t *name, const char *format, uint32_t number)
{
	int len = sprintf((char *)name + 1, format, scramble(number));
	name[0] = len;
	memcpy(name + 1 + len, APEX, APEX_LEN);
	return 1 + len + APEX_LEN;
}

static void add(builder_t *builder, const uint8_t *owner, size_t owner_len, uint16_t type, const void *rdata, size_t rdlen)
{
	if (builder_add(builder, owner, owner_len, type, 3600, rdata, rdlen) != KNOT_EOK) {
		abort();
	}
}

/*! Of each ten owners, eight have A, AAAA and MX, one is an alias, one a delegation. */
static void add_owner(builder_t *builder, uint32_t i)
{
	uint8_t owner[WIRE_NAME_MAX], target[2 + WIRE_NAME_MAX] = { 0, 10 }, below[WIRE_NAME_MAX] = "\3ns1";
	uint8_t len = make_name(owner, "h%x", i);
	switch (i % 10) {
	case 8: {
		uint8_t target_len = make_name(target, "h%x", i - 8);
		add(builder, owner, len, KNOT_RRTYPE_CNAME, target, target_len);
		break;
	}
	case 9:
		memcpy(below + 4, owner, len);
		add(builder, owner, len, KNOT_RRTYPE_NS, below, 4 + len);
		memcpy(target, "\2ns\4test", 9);
		add(builder, owner, len, KNOT_RRTYPE_NS, target, 9);
		add(builder, below, 4 + len, KNOT_RRTYPE_A, &i, 4);
		break;
	default: {
		uint8_t target_len = make_name(target + 2, "h%x", i - i % 10);
		add(builder, owner, len, KNOT_RRTYPE_A, &i, 4);
		add(builder, owner, len, KNOT_RRTYPE_AAAA, "0123456789abcdef", 16);
		add(builder, owner, len, KNOT_RRTYPE_MX, target, 2 + target_len);
	}
	}
}

static snapshot_t *make_zone(uint32_t names)
{
	builder_t *builder = builder_new((const uint8_t *)APEX, &(builder_limits_t) { 0 });
	if (builder == NULL) {
		abort();
	}
	const uint8_t *apex = (const uint8_t *)APEX;
	add(builder, apex, APEX_LEN, KNOT_RRTYPE_SOA, "\2ns\4test\0\5admin\4test\0\0\0\0\1\0\0\1\0\0\0\1\0\0\1\0\0\0\0\1\0", 41);
	add(builder, apex, APEX_LEN, KNOT_RRTYPE_NS, "\2ns\4test", 9);
	for (uint32_t i = 0; i < names; i++) {
		add_owner(builder, i);
	}
	snapshot_t *snapshot = NULL;
	if (builder_finish(builder, &snapshot) != KNOT_EOK) {
		fprintf(stderr, "%s\n", builder_error(builder));
		abort();
	}
	return snapshot;
}

static uint8_t make_question(kind_t kind, uint32_t names, uint8_t *name)
{
	uint32_t ten = random_u32() % (names / 10) * 10;
	switch (kind) {
	case MISS:     return make_name(name, "h%xm", random_u32());
	case ALIAS:    return make_name(name, "h%x", ten + 8);
	case REFERRAL: return make_name(name, "h%x", ten + 9);
	default:       return make_name(name, "h%x", ten + random_u32() % 8);
	}
}

/*! One question, as a hook has it: the name in lower case, the message with header and question. */
typedef struct {
	uint8_t len;
	uint8_t wire[1232];
} asked_t;

static size_t ask(const snapshot_t *snapshot, asked_t *asked, uint16_t qtype)
{
	const question_t question = { .qname = asked->wire + MESSAGE_HEADER, .qname_len = asked->len, .qtype = qtype };
	message_t msg = {
		.wire = asked->wire, .size = MESSAGE_HEADER + asked->len + 4, .limit = sizeof(asked->wire),
		.qname_end = MESSAGE_HEADER + asked->len,
	};
	alias_chain_t target;
	answer_result_t result = answer(snapshot, &question, &msg, &target);
	return msg.size + result.outcome;
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

/*! Asks \a queries questions of one kind; returns nanoseconds. */
static uint64_t run(const snapshot_t *snapshot, kind_t kind, uint32_t names, uint32_t queries, uint64_t *ret_octets)
{
	static asked_t batch[BATCH];
	uint64_t ns = 0;
	for (uint32_t done = 0; done < queries; done += BATCH) {
		uint32_t count = queries - done < BATCH ? queries - done : BATCH;
		for (uint32_t i = 0; i < count; i++) {
			batch[i].len = make_question(kind, names, batch[i].wire + MESSAGE_HEADER);
		}
		uint64_t begin = now_ns();
		for (uint32_t i = 0; i < count; i++) {
			*ret_octets += ask(snapshot, &batch[i], kind_types[kind]);
		}
		ns += now_ns() - begin;
	}
	return ns;
}

int main(int argc, char **argv)
{
	const bool count = argc == 4 && strcmp(argv[1], "count") == 0;
	const uint32_t names = count ? 100 : argc > 1 ? atoi(argv[1]) : 600000;
	const uint32_t queries = count ? atoi(argv[3]) : argc > 2 ? atoi(argv[2]) : 1000000;

	snapshot_t *snapshot = make_zone(names);
	for (kind_t kind = 0; kind < KINDS; kind++) {
		if (count && strcmp(argv[2], kind_names[kind]) != 0) {
			continue;
		}
		uint64_t octets = 0;
		uint64_t ns = run(snapshot, kind, names, queries, &octets);
		printf("%-8s %7.1f ns  %6.1f octets\n", kind_names[kind], (double)ns / queries, (double)octets / queries);
	}
	snapshot_unpin(snapshot);
	return 0;
}
