/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Parameters, hashes and places of names in an NSEC3 chain (nsec3.h).
 */

#include <assert.h>
#include <string.h>

#include <gnutls/crypto.h>

#include <libknot/descriptor.h>

#include "secondary/nsec3.h"
#include "secondary/wire.h"

/* RDATA of NSEC3PARAM; NSEC3 begins in the same way (RFC 5155, sections 3.2 and 4.2). */
#define PARAM_FLAGS       1
#define PARAM_ITERATIONS  2
#define PARAM_SALT_LEN    4
#define PARAM_SALT        5
#define PARAM_SALT_MAX    255

/*! The only hash algorithm (RFC 5155, section 11). */
#define ALGORITHM_SHA1    1

/*! The owner below the apex: one label with the hash in base32hex. */
#define LABEL_SIZE        (NSEC3_HASH_SIZE / 5 * 8)
#define OWNER_SIZE        (1 + LABEL_SIZE)

/*!
 * Records of other chains that are passed over in search of one of ours. Where two chains are complete, one has to be
 * passed over on average; beside an opt-out chain that has a record for every hundredth of the other's, a hundred. The
 * bound stands for zones that are broken on purpose, and costs 0.4 ms.
 */
#define NSEC3_STEPS_MAX   4096

static inline uint16_t param_iterations(const uint8_t *param)
{
	return param[PARAM_ITERATIONS] << 8 | param[PARAM_ITERATIONS + 1];
}

/*! Is it RDATA of an NSEC3PARAM that may be used? Flags other than zero are for others (RFC 5155, section 4.1.2). */
static bool is_usable(const uint8_t *param, uint16_t len)
{
	return len >= PARAM_SALT && len == PARAM_SALT + param[PARAM_SALT_LEN] &&
	       param[0] == ALGORITHM_SHA1 && param[PARAM_FLAGS] == 0;
}

/*! Does the node own an NSEC3 record of the chain? */
static bool is_in_chain(const snapshot_t *snapshot, qp_leaf_t leaf)
{
	const arena_base_t base = snapshot->nsec3.base;
	const uint8_t *param = snapshot->chain.param;
	const size_t common = PARAM_SALT - PARAM_ITERATIONS + param[PARAM_SALT_LEN];
	rrset_t rrset;
	if (!rrset_find(base, leaf.ref, KNOT_RRTYPE_NSEC3, &rrset)) {
		return false;
	}

	const uint8_t *item = rrset.items;
	for (unsigned i = 0; i < rrset.count; i++) {
		const uint8_t *rdata;
		uint16_t len;
		item = rrset_item(item, &rdata, &len);
		if (len >= PARAM_ITERATIONS + common && rdata[0] == param[0] &&
		    memcmp(rdata + PARAM_ITERATIONS, param + PARAM_ITERATIONS, common) == 0) {
			return true;
		}
	}
	return false;
}

/* ---- Hashes ---- */

/*! Writes a hash as the label of an owner: base32 with the extended hex alphabet, lower case (RFC 4648, section 7). */
static void write_owner(const uint8_t hash[NSEC3_HASH_SIZE], uint8_t ret_owner[OWNER_SIZE])
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
	*ret_owner++ = LABEL_SIZE;
	for (unsigned i = 0; i < NSEC3_HASH_SIZE; i += 5) {
		uint64_t bits = 0;
		for (unsigned octet = 0; octet < 5; octet++) {
			bits = bits << 8 | hash[i + octet];
		}
		for (int shift = 35; shift >= 0; shift -= 5) {
			*ret_owner++ = digits[bits >> shift & 31];
		}
	}
}

void nsec3_hash(const nsec3_chain_t *chain, const uint8_t *name, size_t len, uint8_t ret_hash[NSEC3_HASH_SIZE])
{
	const uint8_t *salt = chain->param + PARAM_SALT;
	const size_t salt_len = chain->param[PARAM_SALT_LEN];
	uint8_t input[WIRE_NAME_MAX + PARAM_SALT_MAX];

	memcpy(input, name, len);
	for (unsigned left = param_iterations(chain->param) + 1; left > 0; left--) {
		memcpy(input + len, salt, salt_len);
		int ret = gnutls_hash_fast(GNUTLS_DIG_SHA1, input, len + salt_len, ret_hash);
		assert(ret == 0); /* it fails for algorithms that are not there */
		(void)ret;
		len = NSEC3_HASH_SIZE;
		memcpy(input, ret_hash, len);
	}
}

/* ---- Places ---- */

/*! Goes back from \a leaf to one of the chain, from the first to the last: the chain is a ring. */
static arena_ref_t find_in_chain(const snapshot_t *snapshot, qp_leaf_t leaf, qp_iter_t *iter)
{
	for (unsigned steps = 0; steps < NSEC3_STEPS_MAX; steps++) {
		if (leaf.ref == 0) {
			qp_end(&snapshot->nsec3, iter);
		} else if (is_in_chain(snapshot, leaf)) {
			return leaf.ref;
		}
		leaf = qp_prev(iter);
	}
	return 0;
}

static bool is_owner(const snapshot_t *snapshot, arena_ref_t ref, const uint8_t owner[OWNER_SIZE])
{
	size_t len;
	const uint8_t *name = qp_name(snapshot->nsec3.base, ref, &len);
	return len == OWNER_SIZE && memcmp(name, owner, OWNER_SIZE) == 0;
}

/*! As nsec3_find(), with nothing known before. */
static arena_ref_t find_hashed(const snapshot_t *snapshot, const uint8_t *name, size_t len, bool *ret_is_match)
{
	uint8_t hash[NSEC3_HASH_SIZE];
	uint8_t owner[OWNER_SIZE];
	nsec3_hash(&snapshot->chain, name, len, hash);
	write_owner(hash, owner);

	qp_key_t key;
	qp_iter_t iter;
	qp_key(&key, owner, OWNER_SIZE);
	qp_leaf_t leaf = qp_seek(&snapshot->nsec3, &key, &iter);
	arena_ref_t ref = find_in_chain(snapshot, leaf, &iter);
	*ret_is_match = ref != 0 && is_owner(snapshot, ref, owner);
	return ref;
}

arena_ref_t nsec3_find(const snapshot_t *snapshot, const uint8_t *name, size_t len, bool *ret_is_match)
{
	const nsec3_chain_t *chain = &snapshot->chain;
	assert(chain->param != NULL && !chain->is_costly);

	if (len == snapshot->apex_len) {
		*ret_is_match = true;
		return chain->apex;
	}
	if (len == snapshot->apex_len + 2u && name[0] == 1 && name[1] == '*') {
		*ret_is_match = chain->wildcard_matches;
		return chain->wildcard;
	}
	return find_hashed(snapshot, name, len, ret_is_match);
}

/* ---- Choice ---- */

/*! Looks for what is kept of a chain. Returns false if it has no record for the apex: it is not complete. */
static bool find_ends(snapshot_t *snapshot)
{
	nsec3_chain_t *chain = &snapshot->chain;
	bool is_match;
	chain->apex = find_hashed(snapshot, snapshot->apex, snapshot->apex_len, &is_match);
	if (!is_match) {
		return false;
	}

	uint8_t name[WIRE_NAME_MAX + 2] = "\x01*";
	memcpy(name + 2, snapshot->apex, snapshot->apex_len);
	chain->wildcard = find_hashed(snapshot, name, snapshot->apex_len + 2, &chain->wildcard_matches);
	return true;
}

/*! Tries a chain. Returns true if the version can prove from it. One that is too costly stays until there is a better one. */
static bool try_chain(snapshot_t *snapshot, const uint8_t *param)
{
	const nsec3_chain_t before = snapshot->chain;
	snapshot->chain = (nsec3_chain_t) { .param = param, .is_costly = param_iterations(param) > NSEC3_ITERATIONS_MAX };
	if (!snapshot->chain.is_costly) {
		if (find_ends(snapshot)) {
			return true;
		}
		snapshot->chain = before;
		return false;
	}

	qp_iter_t iter;
	qp_end(&snapshot->nsec3, &iter);
	snapshot->chain.apex = find_in_chain(snapshot, qp_prev(&iter), &iter);
	if (snapshot->chain.apex == 0 || before.param != NULL) {
		snapshot->chain = before;
	}
	return false;
}

void nsec3_choose(snapshot_t *snapshot)
{
	rrset_t rrset;
	if (snapshot->nsec3.count == 0 ||
	    !rrset_find(snapshot->names.base, snapshot->apex_node, KNOT_RRTYPE_NSEC3PARAM, &rrset)) {
		return;
	}

	const uint8_t *item = rrset.items;
	for (unsigned i = 0; i < rrset.count; i++) {
		const uint8_t *rdata;
		uint16_t len;
		item = rrset_item(item, &rdata, &len);
		if (is_usable(rdata, len) && try_chain(snapshot, rdata)) {
			return;
		}
	}
}
