/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief NSEC3 chains for tests: made by sorting hashes, searched by looking at all of them.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/nsec3.h"
#include "secondary/wire.h"

/*! A hash as text. */
#define HASH_TEXT 33

typedef struct {
	uint16_t iterations;
	const char *salt;         /* In hex; "-": none. */
	uint8_t flags;            /* Of NSEC3. */
} params_t;

/*! \brief The hash of an absolute name as text. */
static inline void hash_text(const params_t *params, const char *text, char ret_text[HASH_TEXT])
{
	uint8_t param[5 + 255] = { 1, 0, params->iterations >> 8, params->iterations };
	for (const char *hex = params->salt; hex[0] != '\0' && hex[0] != '-'; hex += 2) {
		unsigned octet;
		if (sscanf(hex, "%2x", &octet) != 1) {
			abort(); /* check's assertions do not work in a fuzz target */
		}
		param[5 + param[4]++] = octet;
	}
	const nsec3_chain_t chain = { .param = param };
	uint8_t name[WIRE_NAME_MAX];
	uint8_t hash[NSEC3_HASH_SIZE];
	if (knot_dname_from_str(name, text, sizeof(name)) == NULL) {
		abort();
	}
	knot_dname_to_lower(name);
	nsec3_hash(&chain, name, knot_dname_size(name), hash);
	for (unsigned i = 0; i < 32; i++) {
		unsigned bit = i * 5;
		unsigned pair = hash[bit / 8] << 8 | (bit / 8 + 1 < sizeof(hash) ? hash[bit / 8 + 1] : 0);
		ret_text[i] = "0123456789abcdefghijklmnopqrstuv"[pair >> (11 - bit % 8) & 31];
	}
	ret_text[32] = '\0';
}

/*! \brief A name relative to \a apex, "" for itself, in full. */
static inline void full_text(const char *name, const char *apex, char *ret_text)
{
	sprintf(ret_text, "%s%s%s", name, name[0] != '\0' && strcmp(apex, ".") != 0 ? "." : "", apex);
}

static inline int hash_compare(const void *a, const void *b)
{
	return memcmp(a, b, HASH_TEXT);
}

/*! \brief The hashes of a chain in order. Own: free() it. */
static inline char (*chain_hashes(const params_t *params, const char *apex, const char *const *names, size_t count))[HASH_TEXT]
{
	char (*hashes)[HASH_TEXT] = calloc(count, HASH_TEXT);
	for (size_t i = 0; i < count; i++) {
		char full[512];
		full_text(names[i], apex, full);
		hash_text(params, full, hashes[i]);
	}
	qsort(hashes, count, HASH_TEXT, hash_compare);
	return hashes;
}

/*! \brief Writes the NSEC3 records for \a names, with signatures that no one will check, as master-file text. */
static inline size_t chain_text(char *dst, const params_t *params, const char *apex, const char *const *names, size_t count)
{
	char (*hashes)[HASH_TEXT] = chain_hashes(params, apex, names, count);
	size_t len = 0;
	for (size_t i = 0; i < count; i++) {
		len += sprintf(dst + len, "%s NSEC3 1 %u %u %s %s A\n%s RRSIG NSEC3 13 2 3600 20300101000000 20200101000000 1 %s AAAA\n",
		               hashes[i], params->flags, params->iterations, params->salt, hashes[(i + 1) % count], hashes[i], apex);
	}
	free(hashes);
	return len;
}

/*! \brief The hash in the chain that matches or covers that of the absolute name \a text. */
static inline void chain_cover(const params_t *params, const char *apex, const char *const *names, size_t count,
                               const char *text, char ret_hash[HASH_TEXT])
{
	char (*hashes)[HASH_TEXT] = chain_hashes(params, apex, names, count);
	char hash[HASH_TEXT];
	hash_text(params, text, hash);
	size_t found = count - 1; /* the last one covers what is before the first */
	for (size_t i = 0; i < count && memcmp(hashes[i], hash, HASH_TEXT) <= 0; i++) {
		found = i;
	}
	memcpy(ret_hash, hashes[found], HASH_TEXT);
	free(hashes);
}
