/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Which NSEC and NSEC3 records prove what (denial.h).
 */

#include <string.h>

#include <libknot/descriptor.h>
#include <libknot/errcode.h>

#include "secondary/denial.h"
#include "secondary/nsec3.h"

/*! Names without NSEC that are passed over in search of one: more stand only in zones that are not signed whole. */
#define NSEC_STEPS_MAX  64

/* ---- Names ---- */

/*! The last \a len octets of the name looked up. */
static inline const uint8_t *suffix(const lookup_t *at, uint8_t len)
{
	return at->name + at->len - len;
}

static inline uint8_t parent_len(const lookup_t *at, uint8_t len)
{
	return len - 1 - suffix(at, len)[0];
}

/*! Octets of the ancestor of the name, or the name itself, that is one label longer than its ancestor of \a encloser_len. */
static uint8_t next_closer_len(const lookup_t *at, uint8_t encloser_len)
{
	uint8_t len = at->len;
	for (uint8_t parent = parent_len(at, len); parent > encloser_len; parent = parent_len(at, parent)) {
		len = parent;
	}
	return len;
}

/*! Writes the source of synthesis below an ancestor of the name; returns its octets. As the name is longer than that, it fits. */
static uint8_t write_wildcard(const lookup_t *at, uint8_t encloser_len, uint8_t ret_name[WIRE_NAME_MAX])
{
	assert(encloser_len + 2 <= at->len);
	memcpy(ret_name, "\x01*", 2);
	memcpy(ret_name + 2, suffix(at, encloser_len), encloser_len);
	return encloser_len + 2;
}

/* ---- Records ---- */

/*! Octets of the longest common end, by labels, of two relative names in lower case. */
static size_t common_len(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	while (a_len != b_len || memcmp(a, b, a_len) != 0) {
		if (a_len >= b_len) {
			a_len -= 1 + a[0];
			a += 1 + a[0];
		} else {
			b_len -= 1 + b[0];
			b += 1 + b[0];
		}
	}
	return a_len;
}

/*! The owner of a node: its first labels, and the end that it shares with the name looked up, which stands in the message. */
static place_t owner_place(const denial_t *denial, const lookup_t *at, arena_ref_t ref)
{
	const uint8_t apex_len = denial->snapshot->apex_len;
	size_t len;
	const uint8_t *name = qp_name(denial->snapshot->names.base, ref, &len);
	const size_t common = common_len(name, len, at->name, at->len - apex_len);

	place_t place = section_suffix(denial->msg, &at->place, apex_len + common);
	place.prefix = name;
	place.prefix_len = len - common;
	return place;
}

static bool is_put(const denial_t *denial, arena_ref_t node)
{
	for (unsigned i = 0; i < denial->count; i++) {
		if (denial->record[i].node == node && denial->record[i].snapshot == denial->snapshot) {
			return true;
		}
	}
	return false;
}

/*! Puts the record of a node, once. */
static int put_record(denial_t *denial, const lookup_t *at, arena_ref_t node, uint16_t type)
{
	rrset_t rrset;
	if (node == 0 || denial->count == DENIAL_RECORDS_MAX || is_put(denial, node) ||
	    !rrset_find(denial->snapshot->names.base, node, type, &rrset)) {
		return KNOT_EOK;
	}

	denial->record[denial->count].snapshot = denial->snapshot;
	denial->record[denial->count].node = node;
	denial->count++;
	const place_t place = owner_place(denial, at, node);
	return section_put(denial->msg, SECTION_AUTHORITY, &place, &rrset, PUT_DATA | PUT_SIGS, PUT_TTL_KEEP);
}

/* ---- NSEC ---- */

/*! The cut, or the DNAME, that the name of a leaf stands below; ref 0: none. */
static qp_leaf_t find_occluding(const snapshot_t *snapshot, qp_leaf_t leaf)
{
	size_t len;
	const uint8_t *name = qp_name(snapshot->names.base, leaf.ref, &len);
	qp_key_t key;
	qp_path_t path;
	qp_key(&key, name, len);
	qp_find(&snapshot->names, &key, &path);
	for (unsigned i = 0; i < path.count; i++) {
		if (path.ancestor[i].tag & (NODE_CUT | NODE_DNAME)) {
			return path.ancestor[i];
		}
	}
	return (qp_leaf_t) { 0 };
}

/*!
 * \brief Finds the NSEC that covers a name: of the name itself, or of the last one before it that stands in the chain.
 *
 * Glue and what else is below a cut does not stand there; the cut does, before all of it.
 */
static arena_ref_t find_covering(const snapshot_t *snapshot, const qp_key_t *key)
{
	qp_iter_t iter;
	qp_leaf_t leaf = qp_seek(&snapshot->names, key, &iter);
	for (unsigned steps = 0; leaf.ref != 0 && steps < NSEC_STEPS_MAX; steps++) {
		if (leaf.tag & NODE_NSEC) {
			return leaf.ref;
		}
		const qp_leaf_t above = find_occluding(snapshot, leaf);
		if (above.tag & NODE_NSEC) {
			return above.ref;
		}
		leaf = qp_prev(&iter);
	}
	return 0;
}

static int put_covering(denial_t *denial, const lookup_t *at)
{
	return put_record(denial, at, find_covering(denial->snapshot, &at->key), KNOT_RRTYPE_NSEC);
}

/*! The source of synthesis does not exist, or is an empty non-terminal. */
static int put_covering_wildcard(denial_t *denial, const lookup_t *at)
{
	uint8_t name[WIRE_NAME_MAX];
	const uint8_t len = write_wildcard(at, at->encloser_len, name);
	qp_key_t key;
	qp_key(&key, name, len - denial->snapshot->apex_len);
	return put_record(denial, at, find_covering(denial->snapshot, &key), KNOT_RRTYPE_NSEC);
}

static int nsec_nodata(denial_t *denial, const lookup_t *at, qp_leaf_t leaf)
{
	int ret = KNOT_EOK;
	if (leaf.ref != 0) {
		ret = put_record(denial, at, leaf.ref, KNOT_RRTYPE_NSEC);
	} else if (at->is_expanded) {
		ret = put_covering_wildcard(denial, at);
	}
	if (ret == KNOT_EOK && (leaf.ref == 0 || at->is_expanded)) {
		ret = put_covering(denial, at);
	}
	return ret;
}

static int nsec_nxdomain(denial_t *denial, const lookup_t *at)
{
	int ret = put_covering(denial, at);
	return ret == KNOT_EOK ? put_covering_wildcard(denial, at) : ret;
}

/* ---- NSEC3 ---- */

/*! The closest provable encloser of a name (RFC 5155, section 1.3). */
typedef struct {
	uint8_t len;              /*!< Octets of its name. */
	arena_ref_t match;        /*!< NSEC3 that matches it. */
	arena_ref_t cover;        /*!< NSEC3 that covers the next closer name, if it was met; else 0. */
} provable_t;

/*!
 * \brief Goes up from the ancestor of \a len octets until there is an NSEC3 that matches: above what opt-out has left out.
 *
 * \param note  Of that ancestor.
 */
static void find_provable(const denial_t *denial, const lookup_t *at, uint8_t len, uint32_t note, provable_t *ret_encloser)
{
	arena_ref_t cover = 0;
	bool is_match;
	arena_ref_t ref = nsec3_find(denial->snapshot, suffix(at, len), len, note, &is_match);
	while (!is_match) {
		/* The apex has one that matches: nsec3_choose(). */
		cover = ref;
		len = parent_len(at, len); /* mostly the apex, else an empty non-terminal */
		ref = nsec3_find(denial->snapshot, suffix(at, len), len, 0, &is_match);
	}
	*ret_encloser = (provable_t) { .len = len, .match = ref, .cover = cover };
}

static int put_next_closer(denial_t *denial, const lookup_t *at, const provable_t *encloser)
{
	arena_ref_t cover = encloser->cover;
	if (cover == 0) {
		const uint8_t len = next_closer_len(at, encloser->len);
		bool is_match;
		cover = nsec3_find(denial->snapshot, suffix(at, len), len, 0, &is_match);
		if (is_match) {
			return KNOT_EEXIST;
		}
	}
	return put_record(denial, at, cover, KNOT_RRTYPE_NSEC3);
}

/*! The closest encloser proof (RFC 5155, section 7.2.1). */
static int put_encloser_proof(denial_t *denial, const lookup_t *at, const provable_t *encloser)
{
	int ret = put_record(denial, at, encloser->match, KNOT_RRTYPE_NSEC3);
	return ret == KNOT_EOK ? put_next_closer(denial, at, encloser) : ret;
}

/*! What matches or covers the wildcard below an encloser, which has a \a note if it exists. */
static int put_nsec3_wildcard(denial_t *denial, const lookup_t *at, uint8_t encloser_len, uint32_t note)
{
	uint8_t name[WIRE_NAME_MAX];
	const uint8_t len = write_wildcard(at, encloser_len, name);
	bool is_match;
	return put_record(denial, at, nsec3_find(denial->snapshot, name, len, note, &is_match), KNOT_RRTYPE_NSEC3);
}

/*! A name from a wildcard (RFC 5155, section 7.2.5). */
static int nsec3_nodata_expanded(denial_t *denial, const lookup_t *at, uint32_t note)
{
	int ret = put_nsec3_wildcard(denial, at, at->encloser_len, note);
	if (ret != KNOT_EOK) {
		return ret;
	}
	provable_t encloser;
	find_provable(denial, at, at->encloser_len, at->encloser_note, &encloser);
	return put_encloser_proof(denial, at, &encloser);
}

/*! A name that exists (RFC 5155, sections 7.2.3, 7.2.4 and 7.2.7). */
static int nsec3_nodata(denial_t *denial, const lookup_t *at, uint8_t len, uint32_t note)
{
	provable_t encloser;
	find_provable(denial, at, len, note, &encloser);
	if (encloser.len == len) {
		return put_record(denial, at, encloser.match, KNOT_RRTYPE_NSEC3);
	}
	return put_encloser_proof(denial, at, &encloser);
}

/*! RFC 5155, section 7.2.2. */
static int nsec3_nxdomain(denial_t *denial, const lookup_t *at)
{
	provable_t encloser;
	find_provable(denial, at, at->encloser_len, at->encloser_note, &encloser);
	int ret = put_encloser_proof(denial, at, &encloser);
	return ret == KNOT_EOK ? put_nsec3_wildcard(denial, at, encloser.len, 0) : ret;
}

/*! RFC 5155, section 7.2.6. The wildcard has data, so opt-out has not left out the closest encloser. */
static int nsec3_expansion(denial_t *denial, const lookup_t *at)
{
	const provable_t encloser = { .len = at->encloser_len };
	return put_next_closer(denial, at, &encloser);
}

/* ---- */

/*! How the zone denies. */
typedef enum { PROOF_NONE, PROOF_NSEC, PROOF_NSEC3, PROOF_COSTLY } proof_t;

static inline proof_t proof(const snapshot_t *snapshot)
{
	if (snapshot->chain.param != NULL) {
		return snapshot->chain.is_costly ? PROOF_COSTLY : PROOF_NSEC3;
	}
	return snapshot->has_nsec ? PROOF_NSEC : PROOF_NONE;
}

/*! One record as evidence of the iterations. */
static int leave_unproven(denial_t *denial, const lookup_t *at)
{
	denial->is_costly = true;
	return put_record(denial, at, denial->snapshot->chain.apex, KNOT_RRTYPE_NSEC3);
}

int denial_nodata(denial_t *denial, const lookup_t *at, uint8_t len, qp_leaf_t leaf)
{
	switch (proof(denial->snapshot)) {
	case PROOF_NSEC:   return nsec_nodata(denial, at, leaf);
	case PROOF_NSEC3:
		return at->is_expanded ? nsec3_nodata_expanded(denial, at, leaf.note) : nsec3_nodata(denial, at, len, leaf.note);
	case PROOF_COSTLY: return leave_unproven(denial, at);
	case PROOF_NONE:   break;
	}
	return KNOT_EOK;
}

int denial_nxdomain(denial_t *denial, const lookup_t *at)
{
	switch (proof(denial->snapshot)) {
	case PROOF_NSEC:   return nsec_nxdomain(denial, at);
	case PROOF_NSEC3:  return nsec3_nxdomain(denial, at);
	case PROOF_COSTLY: return leave_unproven(denial, at);
	case PROOF_NONE:   break;
	}
	return KNOT_EOK;
}

int denial_expansion(denial_t *denial, const lookup_t *at)
{
	switch (proof(denial->snapshot)) {
	case PROOF_NSEC:   return put_covering(denial, at);
	case PROOF_NSEC3:  return nsec3_expansion(denial, at);
	case PROOF_COSTLY: return leave_unproven(denial, at);
	case PROOF_NONE:   break;
	}
	return KNOT_EOK;
}
