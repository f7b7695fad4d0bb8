/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Parameters, hashes and places of names in an NSEC3 chain, and what leaves keep of them (nsec3.h).
 */

#include <assert.h>
#include <stdlib.h>
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

/*! Reads eight digits, which are 40 bits, from \a digit. False: they are none. */
static bool read_group(const uint8_t *digit, uint64_t *ret_bits)
{
	uint64_t bits = 0;
	for (unsigned i = 0; i < 8; i++) {
		const uint8_t c = digit[i];
		if ((c < '0' || c > '9') && (c < 'a' || c > 'v')) {
			return false;
		}
		bits = bits << 5 | (c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*ret_bits = bits;
	return true;
}

/*! Undoes write_owner(). False: the name is no hash. */
static bool read_owner(const uint8_t *name, size_t len, uint8_t ret_hash[NSEC3_HASH_SIZE])
{
	if (len != OWNER_SIZE || name[0] != LABEL_SIZE) {
		return false;
	}
	for (unsigned i = 0; i < NSEC3_HASH_SIZE; i += 5) {
		uint64_t bits;
		if (!read_group(name + 1 + i / 5 * 8, &bits)) {
			return false;
		}
		for (unsigned octet = 0; octet < 5; octet++) {
			ret_hash[i + octet] = bits >> (32 - 8 * octet);
		}
	}
	return true;
}

/*! In a note, below the first 31 bits of the hash: there is an NSEC3 record that matches. */
#define NOTE_MATCHES      ((uint32_t)1)

/*! What a note keeps of a hash. */
static inline uint32_t hash_prefix(const uint8_t hash[NSEC3_HASH_SIZE])
{
	return ((uint32_t)hash[0] << 24 | (uint32_t)hash[1] << 16 | (uint32_t)hash[2] << 8 | hash[3]) & ~NOTE_MATCHES;
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

/*! The record of the chain whose owner is the last one that is not after \a owner. */
static arena_ref_t find_before(const snapshot_t *snapshot, const uint8_t owner[OWNER_SIZE])
{
	qp_key_t key;
	qp_iter_t iter;
	qp_key(&key, owner, OWNER_SIZE);
	qp_leaf_t leaf = qp_seek(&snapshot->nsec3, &key, &iter);
	return find_in_chain(snapshot, leaf, &iter);
}

static bool is_owner(const snapshot_t *snapshot, arena_ref_t ref, const uint8_t owner[OWNER_SIZE])
{
	size_t len;
	const uint8_t *name = qp_name(snapshot->nsec3.base, ref, &len);
	return len == OWNER_SIZE && memcmp(name, owner, OWNER_SIZE) == 0;
}

static bool is_noted(const snapshot_t *snapshot, arena_ref_t ref, uint32_t note)
{
	size_t len;
	uint64_t bits;
	const uint8_t *name = qp_name(snapshot->nsec3.base, ref, &len);
	return len == OWNER_SIZE && read_group(name + 1, &bits) && ((bits >> 8 ^ note) | NOTE_MATCHES) == NOTE_MATCHES;
}

/*! Writes the last owner that there can be of those a note fits. */
static void write_last_noted(uint32_t note, uint8_t owner[static OWNER_SIZE])
{
	const uint32_t last = note | NOTE_MATCHES;
	uint8_t hash[NSEC3_HASH_SIZE] = { last >> 24, last >> 16, last >> 8, last };
	memset(hash + sizeof(last), 0xFF, sizeof(hash) - sizeof(last));
	write_owner(hash, owner);
}

/*! As nsec3_find(), from a note. False: it is not as the note says, so the name has to be hashed. */
static bool find_noted(const snapshot_t *snapshot, uint32_t note, arena_ref_t *ret_ref, bool *ret_is_match)
{
	const bool is_match = note & NOTE_MATCHES;
	uint8_t owner[OWNER_SIZE];
	write_last_noted(note, owner);
	arena_ref_t ref = find_before(snapshot, owner);
	if (ref == 0 || is_noted(snapshot, ref, note) != is_match) {
		return false;
	}
	*ret_ref = ref;
	*ret_is_match = is_match;
	return true;
}

/*! As nsec3_find(), with nothing known before. */
static arena_ref_t find_hashed(const snapshot_t *snapshot, const uint8_t *name, size_t len, bool *ret_is_match)
{
	uint8_t hash[NSEC3_HASH_SIZE];
	uint8_t owner[OWNER_SIZE];
	nsec3_hash(&snapshot->chain, name, len, hash);
	write_owner(hash, owner);
	arena_ref_t ref = find_before(snapshot, owner);
	*ret_is_match = ref != 0 && is_owner(snapshot, ref, owner);
	return ref;
}

arena_ref_t nsec3_find(const snapshot_t *snapshot, const uint8_t *name, size_t len, uint32_t note, bool *ret_is_match)
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
	arena_ref_t ref;
	if (note != 0 && chain->has_notes && find_noted(snapshot, note, &ref, ret_is_match)) {
		return ref;
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

/* ---- Notes ---- */

/*!
 * The owners of NSEC3 records, of whatever chain, as hashes in ascending order. Names look for theirs in an order that no
 * cache likes: a slot for each hash or two, by the first bits, brings them to it at once.
 */
typedef struct {
	uint8_t (*hash)[NSEC3_HASH_SIZE];
	uint32_t *first;          /*!< The first hash of each slot, and of the one behind the last. */
	uint32_t count;
	uint8_t shift;            /*!< Bits of a prefix that do not tell the slot. */
} owners_t;

static inline uint64_t owner_slot(const owners_t *owners, uint32_t prefix)
{
	return (uint64_t)prefix >> owners->shift;
}

static bool owners_init(owners_t *owners, uint32_t count)
{
	unsigned bits = 31 - __builtin_clz(count);
	owners->count = count;
	owners->shift = 32 - bits;
	owners->hash = malloc((size_t)count * NSEC3_HASH_SIZE);
	owners->first = malloc((((size_t)1 << bits) + 1) * sizeof(*owners->first));
	return owners->hash != NULL && owners->first != NULL;
}

static void owners_clear(owners_t *owners)
{
	free(owners->hash);
	free(owners->first);
}

/*! False: one is no hash. */
static bool owners_read(owners_t *owners, const qp_t *qp)
{
	qp_iter_t iter;
	uint32_t count = 0;
	uint64_t slot = 0;
	qp_begin(qp, &iter);
	for (qp_leaf_t leaf = qp_next(&iter); leaf.ref != 0; leaf = qp_next(&iter), count++) {
		size_t len;
		const uint8_t *name = qp_name(qp->base, leaf.ref, &len);
		uint8_t *hash = owners->hash[count];
		if (!read_owner(name, len, hash)) {
			return false;
		}
		while (slot <= owner_slot(owners, hash_prefix(hash))) {
			owners->first[slot++] = count;
		}
	}
	while (slot <= owner_slot(owners, UINT32_MAX) + 1) {
		owners->first[slot++] = count;
	}
	assert(count == owners->count);
	return true;
}

/*! The note of a name with \a hash; 0: it would not tell its place. */
static uint32_t make_note(const owners_t *owners, const uint8_t hash[NSEC3_HASH_SIZE])
{
	const uint32_t prefix = hash_prefix(hash);
	const uint64_t slot = owner_slot(owners, prefix);
	const uint32_t end = owners->first[slot + 1];
	uint32_t low = owners->first[slot];
	uint32_t high = end;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (hash_prefix(owners->hash[middle]) < prefix) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	if (low == end || hash_prefix(owners->hash[low]) != prefix) {
		return prefix;
	}
	const bool is_single = low + 1 == end || hash_prefix(owners->hash[low + 1]) != prefix;
	return is_single && memcmp(owners->hash[low], hash, NSEC3_HASH_SIZE) == 0 ? prefix | NOTE_MATCHES : 0;
}

/*! A relative name, borrowed. */
typedef struct {
	const uint8_t *labels;
	size_t len;
} relative_t;

/*! By octets, not by labels: a name that only looks as if it were below another goes without a note, and is hashed. */
static bool is_below(const relative_t *name, const relative_t *above)
{
	return name->len > above->len && memcmp(name->labels + name->len - above->len, above->labels, above->len) == 0;
}

static void note_names(const snapshot_t *snapshot, const owners_t *owners, qp_txn_t *names)
{
	uint8_t full[WIRE_NAME_MAX];
	uint8_t hash[NSEC3_HASH_SIZE];
	relative_t cut = { .len = WIRE_NAME_MAX };
	qp_iter_t iter;
	qp_begin(&names->qp, &iter);
	for (qp_leaf_t leaf = qp_next(&iter); leaf.ref != 0; leaf = qp_next(&iter)) {
		relative_t name;
		name.labels = qp_name(names->qp.base, leaf.ref, &name.len);
		if (is_below(&name, &cut)) {
			continue;
		}
		if (leaf.tag & NODE_CUT) {
			cut = name;
		}
		memcpy(full, name.labels, name.len);
		memcpy(full + name.len, snapshot->apex, snapshot->apex_len);
		nsec3_hash(&snapshot->chain, full, name.len + snapshot->apex_len, hash);
		qp_txn_note(names, &iter, make_note(owners, hash));
	}
}

void nsec3_keep(snapshot_t *snapshot, qp_txn_t *names)
{
	const nsec3_chain_t *chain = &snapshot->chain;
	if (chain->param == NULL || chain->is_costly ||
	    names->qp.count > NSEC3_KEEP_BLOCKS_MAX / (param_iterations(chain->param) + 1u)) {
		return;
	}

	owners_t owners;
	if (owners_init(&owners, snapshot->nsec3.count) && owners_read(&owners, &snapshot->nsec3)) {
		note_names(snapshot, &owners, names);
		snapshot->chain.has_notes = true;
	}
	owners_clear(&owners);
}

/* ---- Notes of increments ---- */

/*! How many owners of NSEC3 agree in the first 31 bits with \a prefix: none, one, which is \a ret_ref, or more (2). */
static unsigned count_noted(const snapshot_t *snapshot, uint32_t prefix, arena_ref_t *ret_ref)
{
	uint8_t owner[OWNER_SIZE];
	write_last_noted(prefix, owner);

	qp_key_t key;
	qp_iter_t iter;
	qp_key(&key, owner, OWNER_SIZE);
	qp_leaf_t leaf = qp_seek(&snapshot->nsec3, &key, &iter);
	if (leaf.ref == 0 || !is_noted(snapshot, leaf.ref, prefix)) {
		return 0;
	}
	*ret_ref = leaf.ref;
	leaf = qp_prev(&iter);
	return leaf.ref != 0 && is_noted(snapshot, leaf.ref, prefix) ? 2 : 1;
}

/*! Hashes a name, which is below the apex. */
static void hash_relative(const snapshot_t *snapshot, const relative_t *name, uint8_t ret_hash[NSEC3_HASH_SIZE])
{
	uint8_t full[WIRE_NAME_MAX];
	memcpy(full, name->labels, name->len);
	memcpy(full + name->len, snapshot->apex, snapshot->apex_len);
	nsec3_hash(&snapshot->chain, full, name->len + snapshot->apex_len, ret_hash);
}

/*! As make_note(), from the trie. */
static uint32_t find_note(const snapshot_t *snapshot, const relative_t *name)
{
	uint8_t hash[NSEC3_HASH_SIZE];
	uint8_t owner[OWNER_SIZE];
	hash_relative(snapshot, name, hash);
	const uint32_t prefix = hash_prefix(hash);
	arena_ref_t ref = 0;
	const unsigned count = count_noted(snapshot, prefix, &ref);
	if (count == 0) {
		return prefix;
	}
	write_owner(hash, owner);
	return count == 1 && is_owner(snapshot, ref, owner) ? prefix | NOTE_MATCHES : 0;
}

static void note_put(const snapshot_t *snapshot, const nsec3_owners_t *put, qp_txn_t *names)
{
	for (size_t i = 0; i < put->count; i++) {
		relative_t name;
		qp_key_t key;
		qp_iter_t iter;
		name.labels = qp_name(names->qp.base, put->node[i], &name.len);
		qp_key(&key, name.labels, name.len);
		qp_leaf_t leaf = qp_seek(&names->qp, &key, &iter);
		assert(leaf.ref == put->node[i]);
		(void)leaf;
		qp_txn_note(names, &iter, find_note(snapshot, &name));
	}
}

/*! Are all new owners hashes, and alone with their first 31 bits? */
static bool are_noteworthy(const snapshot_t *snapshot, const nsec3_owners_t *added)
{
	for (size_t i = 0; i < added->count; i++) {
		size_t len;
		uint8_t hash[NSEC3_HASH_SIZE];
		arena_ref_t ref;
		const uint8_t *name = qp_name(snapshot->nsec3.base, added->node[i], &len);
		if (!read_owner(name, len, hash) || count_noted(snapshot, hash_prefix(hash), &ref) != 1) {
			return false;
		}
	}
	return true;
}

/*! A hash whose owner of NSEC3 is lost. */
typedef struct {
	uint8_t hash[NSEC3_HASH_SIZE];
	bool is_explained;        /*!< Its name is gone, or is put, or had no leaf. */
} lost_t;

typedef struct {
	lost_t *item;
	size_t count;
	size_t left;              /*!< Those that are not explained. */
	relative_t above;         /*!< The ancestor that was looked at last. */
} losses_t;

static int lost_compare(const void *a, const void *b)
{
	return memcmp(((const lost_t *)a)->hash, ((const lost_t *)b)->hash, NSEC3_HASH_SIZE);
}

/*! Takes the hash of \a name off those whose name is not known. */
static void explain(const snapshot_t *snapshot, losses_t *losses, const relative_t *name)
{
	lost_t wanted;
	hash_relative(snapshot, name, wanted.hash);
	lost_t *found = bsearch(&wanted, losses->item, losses->count, sizeof(wanted), lost_compare);
	if (found != NULL && !found->is_explained) {
		found->is_explained = true;
		losses->left--;
	}
}

/*! Takes off, too, what may be that of a name without a leaf above \a name. One with a leaf has a note that stays. */
static void explain_above(const snapshot_t *snapshot, losses_t *losses, relative_t name)
{
	while (losses->left > 0 && name.len > 0) {
		const size_t label = 1 + name.labels[0];
		name.labels += label;
		name.len -= label;
		if (name.len == losses->above.len && memcmp(name.labels, losses->above.labels, name.len) == 0) {
			return;
		}
		qp_key_t key;
		qp_key(&key, name.labels, name.len);
		if (qp_get(&snapshot->names, &key).ref == 0) {
			explain(snapshot, losses, &name);
		}
	}
}

static void explain_all(const snapshot_t *snapshot, losses_t *losses, const nsec3_owners_t *names)
{
	for (size_t i = 0; i < names->count && losses->left > 0; i++) {
		relative_t name;
		name.labels = qp_name(snapshot->names.base, names->node[i], &name.len);
		explain(snapshot, losses, &name);
		explain_above(snapshot, losses, name);
		if (name.len > 0) {
			const size_t label = 1 + name.labels[0];
			losses->above = (relative_t) { .labels = name.labels + label, .len = name.len - label };
		}
	}
}

/*! Do the names of all lost owners of NSEC3 have no note that stays? */
static bool are_explained(const snapshot_t *snapshot, const nsec3_changes_t *changes)
{
	const nsec3_owners_t *lost = &changes->lost;
	if (lost->count == 0) {
		return true;
	}
	losses_t losses = { .item = calloc(lost->count, sizeof(*losses.item)), .count = lost->count, .left = lost->count };
	losses.above.labels = (const uint8_t *)"";
	if (losses.item == NULL) {
		return false;
	}

	bool are_hashes = true;
	for (size_t i = 0; i < lost->count && are_hashes; i++) {
		size_t len;
		const uint8_t *name = qp_name(snapshot->nsec3.base, lost->node[i], &len);
		are_hashes = read_owner(name, len, losses.item[i].hash);
	}
	if (are_hashes) {
		qsort(losses.item, losses.count, sizeof(*losses.item), lost_compare);
		explain_all(snapshot, &losses, &changes->gone);
		explain_all(snapshot, &losses, &changes->put);
	}
	free(losses.item);
	return are_hashes && losses.left == 0;
}

static bool is_same_chain(const nsec3_chain_t *a, const nsec3_chain_t *b)
{
	return a->param != NULL && b->param != NULL && a->param[PARAM_SALT_LEN] == b->param[PARAM_SALT_LEN] &&
	       memcmp(a->param, b->param, PARAM_SALT + a->param[PARAM_SALT_LEN]) == 0;
}

/*! Is hashing the names of an increment still short beside hashing all of a zone? */
static bool is_affordable(const nsec3_chain_t *chain, const nsec3_changes_t *changes)
{
	return changes->put.count + changes->gone.count <= NSEC3_KEEP_BLOCKS_MAX / 4 / (param_iterations(chain->param) + 1u);
}

void nsec3_inherit(snapshot_t *snapshot, const snapshot_t *base, const nsec3_changes_t *changes, qp_txn_t *names)
{
	nsec3_chain_t *chain = &snapshot->chain;
	if (chain->param == NULL || chain->is_costly) {
		return;
	}

	const bool is_same = is_same_chain(chain, &base->chain);
	if (is_same && !base->chain.has_notes) {
		chain->lost_notes = base->chain.lost_notes;
		return;
	}
	chain->has_notes = is_same && is_affordable(chain, changes) && are_noteworthy(snapshot, &changes->added) &&
	                   are_explained(snapshot, changes);
	chain->lost_notes = !chain->has_notes;
	if (chain->has_notes) {
		note_put(snapshot, &changes->put, names);
	}
}
