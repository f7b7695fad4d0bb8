/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Hashing a snapshot in canonical order.
 *
 * Records are written one behind the other into a buffer, which is hashed whenever it is half full.
 */
#include "secondary/zonemd.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>
#include <libknot/libknot.h>

#include "secondary/wire.h"

#define SCHEME_SIMPLE  1

/*! Octets of ZONEMD RDATA before the digest: serial, scheme, algorithm. */
#define RDATA_FIXED    6
/*! Octets of a record between its owner and its RDATA. */
#define RECORD_FIXED   10

#define BUFFER_FULL    (64u << 10)
/*! One record more fits behind BUFFER_FULL. */
#define BUFFER_SIZE    (BUFFER_FULL + WIRE_NAME_MAX + RECORD_FIXED + UINT16_MAX)

/*! RRsets of an owner at most: what a node of each trie can hold. */
#define RRSETS_MAX     (2 * UINT8_MAX)

/*! The algorithms that are known, less one. */
enum { SHA384, SHA512, ALGORITHMS };

static const struct {
	gnutls_digest_algorithm_t id;
	unsigned size;
} algorithms[ALGORITHMS] = {
	[SHA384] = { GNUTLS_DIG_SHA384, 48 },
	[SHA512] = { GNUTLS_DIG_SHA512, 64 },
};

/*! A position in one trie. */
typedef struct {
	qp_iter_t iter;
	qp_leaf_t leaf;               /*!< The next owner; ref 0: none is left. */
	qp_key_t key;
} walk_t;

struct zonemd {
	const snapshot_t *snapshot;
	zonemd_result_t unused;       /*!< Why no record is used, or ZONEMD_MORE. */
	bool is_used[ALGORITHMS];
	uint8_t wanted[ALGORITHMS][64];
	uint16_t wanted_len[ALGORITHMS];
	gnutls_hash_hd_t hash[ALGORITHMS];

	walk_t names;
	walk_t nsec3;
	size_t owner_len;
	uint8_t owner[WIRE_NAME_MAX];
	unsigned count;
	rrset_t rrset[RRSETS_MAX];    /*!< Of the owner, in ascending order of type. */

	size_t hashed;                /*!< Octets in all. */
	bool has_failed;
	size_t used;
	uint8_t buffer[BUFFER_SIZE];
};

/* Which records of the zone are used */

static void note_unused(zonemd_t *zonemd, zonemd_result_t why)
{
	/* Of several reasons the one that is worst. */
	zonemd->unused = why > zonemd->unused ? why : zonemd->unused;
}

static int algorithm_of(const uint8_t *rdata, uint16_t len)
{
	if (len <= RDATA_FIXED || rdata[4] != SCHEME_SIMPLE || rdata[5] < 1 || rdata[5] > ALGORITHMS) {
		return -1;
	}
	return rdata[5] - 1;
}

/*! \brief Takes the digest out of a record. \param seen  How many were seen with each algorithm. */
static void choose_record(zonemd_t *zonemd, const uint8_t *rdata, uint16_t len, unsigned seen[ALGORITHMS])
{
	int which = algorithm_of(rdata, len);
	if (which < 0) {
		note_unused(zonemd, ZONEMD_UNSUPPORTED);
		return;
	}
	if (seen[which]++ > 0) {
		zonemd->is_used[which] = false;
		note_unused(zonemd, ZONEMD_DUPLICATE);
		return;
	}
	if (knot_wire_read_u32(rdata) != zonemd->snapshot->soa.serial) {
		note_unused(zonemd, ZONEMD_SERIAL);
		return;
	}

	/* Digests are never truncated: one of another length is used, and does not match. */
	uint16_t digest_len = len - RDATA_FIXED;
	zonemd->is_used[which] = true;
	zonemd->wanted_len[which] = digest_len;
	memcpy(zonemd->wanted[which], rdata + RDATA_FIXED, digest_len < 64 ? digest_len : 64);
}

static bool choose_records(zonemd_t *zonemd)
{
	const snapshot_t *snapshot = zonemd->snapshot;
	zonemd->unused = ZONEMD_ABSENT;
	rrset_t rrset;
	if (!rrset_find(snapshot->names.base, snapshot->apex_node, KNOT_RRTYPE_ZONEMD, &rrset)) {
		return false;
	}
	unsigned seen[ALGORITHMS] = { 0 };
	const uint8_t *item = rrset.items;
	for (unsigned i = 0; i < rrset.count; i++) {
		const uint8_t *rdata;
		uint16_t len;
		item = rrset_item(item, &rdata, &len);
		choose_record(zonemd, rdata, len, seen);
	}
	return zonemd->is_used[SHA384] || zonemd->is_used[SHA512];
}

/* Hashing */

static bool hashes_begin(zonemd_t *zonemd)
{
	for (unsigned i = 0; i < ALGORITHMS; i++) {
		if (zonemd->is_used[i] && gnutls_hash_init(&zonemd->hash[i], algorithms[i].id) != 0) {
			zonemd->hash[i] = NULL;
			return false;
		}
	}
	return true;
}

static void flush(zonemd_t *zonemd)
{
	for (unsigned i = 0; i < ALGORITHMS; i++) {
		if (zonemd->hash[i] != NULL && gnutls_hash(zonemd->hash[i], zonemd->buffer, zonemd->used) != 0) {
			zonemd->has_failed = true;
		}
	}
	zonemd->hashed += zonemd->used;
	zonemd->used = 0;
}

/*! \brief Writes all of a record of the owner but its RDATA, for which it returns the place. */
static uint8_t *record_begin(zonemd_t *zonemd, uint16_t type, uint32_t ttl)
{
	uint8_t *at = zonemd->buffer + zonemd->used;
	memcpy(at, zonemd->owner, zonemd->owner_len);
	at += zonemd->owner_len;
	knot_wire_write_u16(at, type);
	knot_wire_write_u16(at + 2, KNOT_CLASS_IN);
	knot_wire_write_u32(at + 4, ttl);
	return at + RECORD_FIXED;
}

/*! \brief Ends the record whose RDATA stands at \a rdata. */
static void record_end(zonemd_t *zonemd, uint16_t type, uint8_t *rdata, uint16_t len)
{
	wire_rdata_lower(type, rdata, len);
	knot_wire_write_u16(rdata - 2, len);
	zonemd->used = rdata + len - zonemd->buffer;
	if (zonemd->used >= BUFFER_FULL) {
		flush(zonemd);
	}
}

static void put_items(zonemd_t *zonemd, const rrset_t *rrset)
{
	const uint8_t *item = rrset->items;
	for (unsigned i = 0; i < rrset->count; i++) {
		const uint8_t *kept;
		uint16_t len;
		item = rrset_item(item, &kept, &len);
		uint8_t *rdata = record_begin(zonemd, rrset->type, rrset->ttl);
		len = rrset_rdata_full(rrset, zonemd->owner, zonemd->owner_len, kept, len, rdata);
		record_end(zonemd, rrset->type, rdata, len);
	}
}

static void put_sigs(zonemd_t *zonemd, const rrset_t *rrset)
{
	const uint8_t *item = rrset->sigs;
	for (unsigned i = 0; i < rrset->sig_count; i++) {
		const uint8_t *kept;
		uint16_t len;
		item = rrset_item(item, &kept, &len);
		uint8_t *rdata = record_begin(zonemd, KNOT_RRTYPE_RRSIG, rrset->sig_ttl);
		memcpy(rdata, kept, len);
		record_end(zonemd, KNOT_RRTYPE_RRSIG, rdata, len);
	}
}

/* Owners */

/*! \brief Goes to the next owner of a trie. */
static void walk_next(walk_t *walk, const qp_t *qp)
{
	walk->leaf = qp_next(&walk->iter);
	if (walk->leaf.ref != 0) {
		size_t len;
		const uint8_t *name = qp_name(qp->base, walk->leaf.ref, &len);
		qp_key(&walk->key, name, len);
	}
}

static void walk_begin(walk_t *walk, const qp_t *qp)
{
	qp_begin(qp, &walk->iter);
	walk_next(walk, qp);
}

/*! \brief Which of the two owners to come is the first in canonical order? An end is behind all. */
static int walk_compare(const walk_t *a, const walk_t *b)
{
	if (a->leaf.ref == 0 || b->leaf.ref == 0) {
		return (a->leaf.ref == 0) - (b->leaf.ref == 0);
	}
	/* QP_LABEL_END, which sorts before all symbols, stands behind both. */
	size_t len = a->key.len < b->key.len ? a->key.len : b->key.len;
	return memcmp(a->key.sym, b->key.sym, len + 1);
}

/*! \brief Adds the RRsets of a node to those of the owner, in order. */
static void owner_add(zonemd_t *zonemd, const qp_t *qp, arena_ref_t ref)
{
	rrset_iter_t iter = rrset_begin(qp->base, ref);
	rrset_t rrset;
	while (rrset_next(&iter, &rrset)) {
		unsigned at = zonemd->count++;
		assert(at < RRSETS_MAX);
		for (; at > 0 && zonemd->rrset[at - 1].type > rrset.type; at--) {
			zonemd->rrset[at] = zonemd->rrset[at - 1];
		}
		zonemd->rrset[at] = rrset;
	}
}

static void owner_begin(zonemd_t *zonemd, const walk_t *walk, const qp_t *qp)
{
	const snapshot_t *snapshot = zonemd->snapshot;
	size_t len;
	const uint8_t *name = qp_name(qp->base, walk->leaf.ref, &len);
	memcpy(zonemd->owner, name, len);
	memcpy(zonemd->owner + len, snapshot->apex, snapshot->apex_len);
	zonemd->owner_len = len + snapshot->apex_len;
	zonemd->count = 0;
	owner_add(zonemd, qp, walk->leaf.ref);
}

/*! \brief RRSIG is a type as others, and its records are in order of what they cover. */
static void put_owner(zonemd_t *zonemd)
{
	const bool is_apex = zonemd->owner_len == zonemd->snapshot->apex_len;
	const rrset_t *end = zonemd->rrset + zonemd->count;
	const rrset_t *rrset = zonemd->rrset;
	for (; rrset < end && rrset->type < KNOT_RRTYPE_RRSIG; rrset++) {
		put_items(zonemd, rrset);
	}
	for (const rrset_t *covered = zonemd->rrset; covered < end; covered++) {
		if (!is_apex || covered->type != KNOT_RRTYPE_ZONEMD) {
			put_sigs(zonemd, covered);
		}
	}
	for (; rrset < end; rrset++) {
		if (!is_apex || rrset->type != KNOT_RRTYPE_ZONEMD) {
			put_items(zonemd, rrset);
		}
	}
}

/*! \brief Hashes the next owner; false: there is none. */
static bool next_owner(zonemd_t *zonemd)
{
	const qp_t *names = &zonemd->snapshot->names;
	const qp_t *nsec3 = &zonemd->snapshot->nsec3;
	int order = walk_compare(&zonemd->names, &zonemd->nsec3);
	if (order <= 0 && zonemd->names.leaf.ref == 0) {
		return false;
	}

	if (order <= 0) {
		owner_begin(zonemd, &zonemd->names, names);
	} else {
		owner_begin(zonemd, &zonemd->nsec3, nsec3);
	}
	if (order == 0) {
		owner_add(zonemd, nsec3, zonemd->nsec3.leaf.ref);
	}
	put_owner(zonemd);

	if (order <= 0) {
		walk_next(&zonemd->names, names);
	}
	if (order >= 0) {
		walk_next(&zonemd->nsec3, nsec3);
	}
	return true;
}

static zonemd_result_t compare(zonemd_t *zonemd)
{
	if (zonemd->has_failed) {
		return ZONEMD_FAILED;
	}
	for (unsigned i = 0; i < ALGORITHMS; i++) {
		if (zonemd->hash[i] == NULL) {
			continue;
		}
		uint8_t digest[64];
		gnutls_hash_output(zonemd->hash[i], digest);
		if (zonemd->wanted_len[i] == algorithms[i].size &&
		    memcmp(zonemd->wanted[i], digest, algorithms[i].size) == 0) {
			return ZONEMD_VERIFIED;
		}
	}
	return ZONEMD_MISMATCH;
}

/* From outside */

zonemd_t *zonemd_new(const snapshot_t *snapshot)
{
	zonemd_t *zonemd = malloc(sizeof(*zonemd));
	if (zonemd == NULL) {
		return NULL;
	}
	memset(zonemd, 0, offsetof(zonemd_t, buffer));
	zonemd->snapshot = snapshot;
	if (choose_records(zonemd)) {
		zonemd->unused = hashes_begin(zonemd) ? ZONEMD_MORE : ZONEMD_FAILED;
		walk_begin(&zonemd->names, &snapshot->names);
		walk_begin(&zonemd->nsec3, &snapshot->nsec3);
	}
	return zonemd;
}

zonemd_result_t zonemd_step(zonemd_t *zonemd, size_t octets)
{
	if (zonemd->unused != ZONEMD_MORE) {
		return zonemd->unused;
	}
	const size_t enough = zonemd->hashed + zonemd->used + octets;
	while (zonemd->hashed + zonemd->used < enough) {
		if (!next_owner(zonemd)) {
			flush(zonemd);
			return compare(zonemd);
		}
	}
	return ZONEMD_MORE;
}

void zonemd_free(zonemd_t *zonemd)
{
	if (zonemd == NULL) {
		return;
	}
	for (unsigned i = 0; i < ALGORITHMS; i++) {
		if (zonemd->hash[i] != NULL) {
			gnutls_hash_deinit(zonemd->hash[i], NULL);
		}
	}
	free(zonemd);
}

const char *zonemd_refusal(zonemd_policy_t policy, zonemd_result_t result)
{
	if (policy == ZONEMD_OFF) {
		return NULL;
	}
	const bool is_required = policy == ZONEMD_REQUIRE;
	switch (result) {
	case ZONEMD_MORE:
		assert(0);
		break;
	case ZONEMD_VERIFIED:
		break;
	case ZONEMD_ABSENT:
		return is_required ? "no ZONEMD" : NULL;
	case ZONEMD_UNSUPPORTED:
		return is_required ? "no ZONEMD of a supported scheme and algorithm" : NULL;
	case ZONEMD_DUPLICATE:
		return "more than one ZONEMD of a scheme and algorithm";
	case ZONEMD_SERIAL:
		return "ZONEMD is for another serial";
	case ZONEMD_MISMATCH:
		return "ZONEMD does not match";
	case ZONEMD_FAILED:
		return "ZONEMD could not be checked";
	}
	return NULL;
}
