/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Composing the answer to a question from one snapshot (answer.h).
 *
 * The steps are those of RFC 1034, section 4.3.2: descend to the name; a zone cut on the way ends in a referral; at the
 * name an alias is followed, else the data is the answer; where the descent ends before the name, a wildcard or a DNAME
 * of the closest encloser may stand in (RFC 4592, RFC 6672). Then additional records.
 */

#include <string.h>

#include <libknot/consts.h>
#include <libknot/descriptor.h>
#include <libknot/errcode.h>

#include "secondary/answer.h"
#include "secondary/denial.h"

/*! Hosts that additional records are put for, and names that are looked up for it: optional ones end here. No UDP message
    has room for more; over TCP an RRset may name thousands, each of which costs a microsecond of cache misses. */
#define ADDITIONAL_MAX  64
#define LOOKUPS_MAX     256

/*! The RRset put that names hosts, and where: additional records come last. */
typedef struct {
	rrset_t rrset;            /*!< With count 0: none. */
	arena_ref_t ref;          /*!< Its node. */
	uint16_t owner;           /*!< Place of its owner in the message. */
	uint16_t pos;             /*!< Place of its first record. */
	uint8_t cut_len;          /*!< Octets of the cut's name in a referral, else 0. */
} hosts_t;

/*! One question on its way to the answer. */
typedef struct {
	const snapshot_t *snapshot;
	const question_t *question;
	message_t *msg;
	arena_base_t base;
	unsigned parts;           /*!< What to put of each RRset: with signatures or without. */
	answer_result_t result;
	place_t apex;             /*!< Of the zone: in QNAME, or in the target that led from another zone to this one. */
	lookup_t at;              /*!< QNAME, later the last alias target. */
	alias_chain_t *chain;
	hosts_t hosts;
	denial_t denial;
} query_t;

/*! Records whose RDATA names hosts, and what was added for them. */
typedef struct {
	uint16_t type;
	arena_ref_t ref;          /*!< Their node. */
	uint16_t owner;           /*!< Place of their owner. */
	uint8_t cut_len;          /*!< Octets of the cut's name in a referral, else 0. */
	unsigned lookups;         /*!< Names looked up for optional records. */
	bool has_optional;        /*!< Hosts were passed over that are in the zone but not in the cut's domain. */
	unsigned count;
	struct {
		arena_ref_t ref;
		place_t place;
	} host[ADDITIONAL_MAX];
} additional_t;

/* ---- Looking up ---- */

static inline void make_key(const snapshot_t *snapshot, const uint8_t *name, size_t len, qp_key_t *key)
{
	qp_key(key, name, len - snapshot->apex_len);
}

/*! Octets of the ancestor of \a name that is \a labels labels shorter. */
static uint8_t ancestor_len(const uint8_t *name, uint8_t len, unsigned labels)
{
	for (; labels > 0; labels--) {
		len -= 1 + *name;
		name += 1 + *name;
	}
	return len;
}

/*! The highest zone cut above the name: nothing below it is ours to tell (RFC 1034, section 4.2.1). */
static inline const qp_leaf_t *find_cut(const qp_path_t *path)
{
	for (unsigned i = 0; i < path->count; i++) {
		if (path->ancestor[i].tag & NODE_CUT) {
			return &path->ancestor[i];
		}
	}
	return NULL;
}

/*!
 * \brief Looks for the source of synthesis, "*" below the closest encloser (RFC 4592, section 3.3.1).
 *
 * \return True if it exists; ret_source->ref is 0 if it is an empty non-terminal.
 */
static bool find_source(const snapshot_t *snapshot, const uint8_t *encloser, uint8_t encloser_len, qp_leaf_t *ret_source)
{
	if (snapshot->wildcards == 0 || encloser_len + 2 > WIRE_NAME_MAX) {
		return false;
	}

	uint8_t name[WIRE_NAME_MAX] = "\x01*";
	memcpy(name + 2, encloser, encloser_len);
	qp_key_t key;
	qp_path_t path;
	make_key(snapshot, name, encloser_len + 2, &key);
	qp_find(&snapshot->names, &key, &path);
	*ret_source = path.match;
	return path.enclosed == key.labels;
}

/*! The closest encloser, if it owns records. */
static qp_leaf_t encloser_leaf(const qp_path_t *path)
{
	if (path->count > 0 && path->ancestor[path->count - 1].labels == path->enclosed) {
		return path->ancestor[path->count - 1];
	}
	return (qp_leaf_t) { 0 };
}

/*! Does a name that stands in the message end in the \a len octets before \a end? False: not so that the place tells. */
static inline bool ends_at(const place_t *place, uint16_t end, uint8_t len)
{
	return place->end == end && place->common >= len;
}

/*! Is a name of RDATA, which stands at \a place, in the zone? */
static inline bool is_in_zone(const query_t *query, const uint8_t *name, const place_t *place)
{
	const snapshot_t *snapshot = query->snapshot;
	return (ends_at(place, query->apex.end, snapshot->apex_len) && !query->apex.split) ||
	       wire_name_within(name, place->len, snapshot->apex, snapshot->apex_len);
}

/*! Is it at or below the zone cut on the way to the name looked up? */
static inline bool is_in_domain(const query_t *query, const uint8_t *name, const place_t *place, uint8_t cut_len)
{
	const lookup_t *at = &query->at;
	return cut_len > 0 && ((query->chain->steps == 0 && ends_at(place, query->msg->qname_end, cut_len)) ||
	                       wire_name_within(name, place->len, at->name + at->len - cut_len, cut_len));
}

/*! Looks up a name in RDATA: its node, or the wildcard that answers for it; ref 0: none. */
static qp_leaf_t find_host(const snapshot_t *snapshot, const uint8_t *name, uint8_t len)
{
	qp_key_t key;
	make_key(snapshot, name, len, &key);
	if (snapshot->wildcards == 0) {
		return qp_get(&snapshot->names, &key);
	}

	qp_path_t path;
	qp_find(&snapshot->names, &key, &path);
	qp_leaf_t leaf = path.match;
	if (leaf.ref == 0 && path.enclosed < key.labels) {
		uint8_t encloser_len = ancestor_len(name, len, key.labels - path.enclosed);
		if (!find_source(snapshot, name + len - encloser_len, encloser_len, &leaf)) {
			leaf.ref = 0;
		}
	}
	return leaf;
}

/* ---- Additional section ---- */

/*! Does the type name hosts, whose addresses go into the additional section? */
static inline bool has_hosts(uint16_t type)
{
	return type == KNOT_RRTYPE_NS || type == KNOT_RRTYPE_MX || type == KNOT_RRTYPE_SRV ||
	       type == KNOT_RRTYPE_SVCB || type == KNOT_RRTYPE_HTTPS;
}

/*! Octets of RDATA before the host's name. */
static inline unsigned host_offset(uint16_t type)
{
	switch (type) {
	case KNOT_RRTYPE_NS:  return 0;
	case KNOT_RRTYPE_SRV: return 6;
	default:              return 2; /* MX, SVCB, HTTPS */
	}
}

static bool same_owner(const query_t *query, arena_ref_t ref_a, uint16_t pos_a, arena_ref_t ref_b, uint16_t pos_b)
{
	/* One node answers for many names where it is a wildcard. */
	return ref_a == ref_b && section_same_name(query->msg, pos_a, pos_b);
}

static bool is_added(const query_t *query, const additional_t *add, arena_ref_t ref, uint16_t pos)
{
	for (unsigned i = 0; i < add->count; i++) {
		if (same_owner(query, add->host[i].ref, add->host[i].place.pos, ref, pos)) {
			return true;
		}
	}
	return false;
}

/*! Puts the addresses of one host (and for SVCB what its own type says there: RFC 9460, section 4.1). */
static int put_host(query_t *query, const additional_t *add, arena_ref_t ref, const place_t *place, unsigned parts)
{
	const uint16_t types[] = { KNOT_RRTYPE_A, KNOT_RRTYPE_AAAA, add->type };
	const bool svcb = add->type == KNOT_RRTYPE_SVCB || add->type == KNOT_RRTYPE_HTTPS;
	const bool again = svcb && same_owner(query, add->ref, add->owner, ref, place->pos);

	for (unsigned i = 0; i < (svcb && !again ? 3 : 2); i++) {
		rrset_t rrset;
		if (!rrset_find(query->base, ref, types[i], &rrset)) {
			continue;
		}
		int ret = section_put(query->msg, SECTION_ADDITIONAL, place, &rrset, parts, PUT_TTL_KEEP);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	return KNOT_EOK;
}

/*! Adds what the zone knows of the host named at \a pos of the message. */
static int add_host(query_t *query, additional_t *add, const uint8_t *name, const place_t *place, bool required)
{
	if (!required && ++add->lookups > LOOKUPS_MAX) {
		return KNOT_ESPACE;
	}
	qp_leaf_t leaf = find_host(query->snapshot, name, place->len);
	if (leaf.ref == 0 || is_added(query, add, leaf.ref, place->pos)) {
		return KNOT_EOK;
	}
	if (add->count < ADDITIONAL_MAX) {
		add->host[add->count].ref = leaf.ref;
		add->host[add->count].place = *place;
		add->count++;
	} else if (!required) {
		return KNOT_ESPACE;
	}
	return put_host(query, add, leaf.ref, place, PUT_DATA);
}

/*!
 * \brief Adds hosts for the \a count records at \a pos that are required (in-domain glue of a referral), or the others.
 *
 * \return KNOT_ESPACE at the first one that does not fit.
 */
static int add_hosts(query_t *query, additional_t *add, uint16_t pos, unsigned count, bool required)
{
	for (; count > 0; count--) {
		const uint16_t rdata = section_rdata(query->msg, pos);
		const uint8_t *rdlen = query->msg->wire + rdata - 2;
		pos = rdata + (rdlen[0] << 8 | rdlen[1]);

		uint8_t name[WIRE_NAME_MAX];
		place_t place;
		(void)section_read_name(query->msg, rdata + host_offset(add->type), name, &place);
		if (!is_in_zone(query, name, &place)) {
			continue;
		}
		if (is_in_domain(query, name, &place, add->cut_len) != required) {
			add->has_optional |= required;
			continue;
		}
		int ret = add_host(query, add, name, &place, required);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	return KNOT_EOK;
}

/*! Signatures come last, so that they never take the place of an address. */
static void add_signatures(query_t *query, const additional_t *add)
{
	for (unsigned i = 0; i < add->count; i++) {
		if (put_host(query, add, add->host[i].ref, &add->host[i].place, PUT_SIGS) != KNOT_EOK) {
			return;
		}
	}
}

/*!
 * \brief Fills the additional section for the hosts named in the message.
 *
 * Glue in the domain of a referral's cut has to be there, or TC (RFC 9471); all else may be left out, and ends at the first
 * RRset that does not fit.
 */
static void put_additional(query_t *query)
{
	const hosts_t *hosts = &query->hosts;
	const unsigned count = hosts->rrset.count;
	additional_t add; /* its hosts are set as far as they are counted */
	add.type = hosts->rrset.type;
	add.ref = hosts->ref;
	add.owner = hosts->owner;
	add.cut_len = hosts->cut_len;
	add.lookups = 0;
	add.has_optional = hosts->cut_len == 0;
	add.count = 0;
	if (hosts->cut_len > 0 && add_hosts(query, &add, hosts->pos, count, true) != KNOT_EOK) {
		query->result.truncated = true;
		return;
	}
	if (add.has_optional && add_hosts(query, &add, hosts->pos, count, false) != KNOT_EOK) {
		return;
	}
	if (query->parts & PUT_SIGS) {
		add_signatures(query, &add);
	}
}

/* ---- Proofs ---- */

/*! Takes what came of a proof. */
static void note_proof(query_t *query, int ret)
{
	if (ret == KNOT_ESPACE) {
		query->result.truncated = true;
	} else if (ret == KNOT_EEXIST) {
		query->result.outcome = ANSWER_COLLISION;
	}
}

static inline denial_t *proofs_of(query_t *query, const snapshot_t *snapshot)
{
	query->denial.snapshot = snapshot;
	return &query->denial;
}

/*! Proves that there is no closer match for the owner of an alias that came from a wildcard. */
static void prove_alias(query_t *query, const alias_step_t *step)
{
	assert(step->owner < query->msg->size);
	uint8_t name[WIRE_NAME_MAX];
	lookup_t at; /* what proofs look at is set */
	at.len = section_read_name(query->msg, step->owner, name, &at.place);
	at.name = name;
	at.encloser_len = step->encloser_len;
	make_key(step->snapshot, name, at.len, &at.key);
	note_proof(query, denial_expansion(proofs_of(query, step->snapshot), &at));
}

/*! The same for all of them, in whatever zones. With DO. */
static void prove_aliases(query_t *query)
{
	const alias_chain_t *chain = query->chain;
	for (unsigned i = 0; i < chain->steps && !query->result.truncated; i++) {
		if (chain->step[i].encloser_len > 0 && chain->step[i].snapshot->is_signed) {
			prove_alias(query, &chain->step[i]);
		}
	}
}

/* ---- Outcomes ---- */

/*! Puts an RRset of the answer or authority section, or notes that it does not fit. */
static bool put(query_t *query, section_t section, const place_t *place, const rrset_t *rrset, unsigned parts)
{
	if (section_put(query->msg, section, place, rrset, parts, PUT_TTL_KEEP) != KNOT_EOK) {
		query->result.truncated = true;
		return false;
	}
	return true;
}

/*! A negative answer: SOA, its TTL and that of its signature bounded by MINIMUM (RFC 2308, section 3). False: no room. */
static bool deny(query_t *query, answer_t outcome)
{
	const snapshot_t *snapshot = query->snapshot;
	query->result.outcome = outcome;
	query->result.rcode = outcome == ANSWER_NXDOMAIN ? KNOT_RCODE_NXDOMAIN : KNOT_RCODE_NOERROR;

	rrset_t soa;
	if (!rrset_find(query->base, snapshot->apex_node, KNOT_RRTYPE_SOA, &soa)) {
		return false;
	}
	if (section_put(query->msg, SECTION_AUTHORITY, &query->apex, &soa, query->parts, snapshot->soa.minimum) != KNOT_EOK) {
		query->result.truncated = true;
		return false;
	}
	return true;
}

/*! The name has no data of the type asked for; \a node is its own, that of the wildcard, or none. */
static void deny_type(query_t *query, qp_leaf_t node)
{
	if (deny(query, ANSWER_NODATA) && (query->parts & PUT_SIGS)) {
		note_proof(query, denial_nodata(proofs_of(query, query->snapshot), &query->at, query->at.len, node));
	}
}

static void deny_name(query_t *query)
{
	if (deny(query, ANSWER_NXDOMAIN) && (query->parts & PUT_SIGS)) {
		note_proof(query, denial_nxdomain(proofs_of(query, query->snapshot), &query->at));
	}
}

/*! Puts DS of a referral, or proves that there is none (RFC 4035, section 3.1.4). */
static void put_delegation_signer(query_t *query, qp_leaf_t cut, const place_t *place)
{
	rrset_t ds;
	if ((cut.tag & NODE_DS) && rrset_find(query->base, cut.ref, KNOT_RRTYPE_DS, &ds)) {
		(void)put(query, SECTION_AUTHORITY, place, &ds, query->parts);
		return;
	}
	note_proof(query, denial_nodata(proofs_of(query, query->snapshot), &query->at, place->len, cut));
}

/*! A referral to the zone cut at \a cut, whose name stands at \a place. */
static void refer(query_t *query, qp_leaf_t cut, const place_t *place)
{
	query->result.outcome = ANSWER_REFERRAL;

	hosts_t hosts = {
		.ref = cut.ref,
		.owner = query->at.place.pos,
		.pos = query->msg->size,
		.cut_len = place->prefix_len > 0 ? 0 : place->len,
	};
	if (!rrset_find(query->base, cut.ref, KNOT_RRTYPE_NS, &hosts.rrset) ||
	    !put(query, SECTION_AUTHORITY, place, &hosts.rrset, query->parts)) {
		return;
	}
	query->hosts = hosts;
	if (query->parts & PUT_SIGS) {
		put_delegation_signer(query, cut, place);
	}
}

/*! Puts the data of a node that is not an alias (for this question). */
static void put_data(query_t *query, const qp_leaf_t *node)
{
	const uint16_t qtype = query->question->qtype;
	unsigned parts = query->parts;
	rrset_t rrset;
	bool found = false;

	if (qtype == KNOT_RRTYPE_ANY || qtype == KNOT_RRTYPE_RRSIG) {
		/* One RRset (RFC 8482, section 4.1), the signatures of one. Stray signatures count where there is nothing else. */
		rrset_iter_t iter = rrset_begin(query->base, node->ref);
		while (!found && rrset_next(&iter, &rrset)) {
			found = qtype == KNOT_RRTYPE_ANY ? rrset.count > 0 : rrset.sig_count > 0;
			parts = qtype == KNOT_RRTYPE_ANY ? parts : PUT_SIGS;
		}
	} else {
		found = rrset_find(query->base, node->ref, qtype, &rrset);
	}
	if (!found) {
		deny_type(query, *node);
		return;
	}

	query->result.outcome = ANSWER_HIT;
	const uint16_t begin = query->msg->size;
	if (!put(query, SECTION_ANSWER, &query->at.place, &rrset, parts)) {
		return;
	}
	if ((parts & PUT_DATA) && has_hosts(rrset.type)) {
		query->hosts = (hosts_t) { rrset, node->ref, query->at.place.pos, begin, 0 };
	}
	if (query->at.is_expanded && (query->parts & PUT_SIGS)) {
		note_proof(query, denial_expansion(proofs_of(query, query->snapshot), &query->at));
	}
}

/* ---- Aliases ---- */

/*! Does the name at \a pos of the message own an alias that was followed? */
static bool is_followed(const query_t *query, uint16_t pos)
{
	const alias_chain_t *chain = query->chain;
	for (unsigned i = 0; i < chain->steps; i++) {
		if (section_same_name(query->msg, chain->step[i].owner, pos)) {
			return true;
		}
	}
	return false;
}

/*! Makes the chain's target, which is in the zone and stands at \a place, the name that is looked up. */
static void look_at_target(query_t *query, const place_t *place)
{
	lookup_t *at = &query->at;
	at->name = query->chain->name;
	at->len = query->chain->len;
	at->place = *place;
	if (place->common < query->snapshot->apex_len || place->end > MESSAGE_REACH) {
		at->place.end = query->apex.end;
		at->place.common = query->apex.common;
		at->place.split = query->apex.split;
	}
}

/*!
 * \brief Goes on to the target that stands at \a pos of the message.
 *
 * \return True if it is in the zone; it is what is looked up then. False: the outcome is set.
 */
static bool follow(query_t *query, uint16_t pos)
{
	alias_chain_t *chain = query->chain;
	place_t place;
	chain->len = section_read_name(query->msg, pos, chain->name, &place);
	chain->pos = place.pos;
	chain->end = query->msg->size;
	if (is_followed(query, place.pos)) {
		query->result.outcome = ANSWER_LOOP;
		return false;
	}
	if (!is_in_zone(query, chain->name, &place)) {
		query->result.outcome = ANSWER_ALIAS;
		return false;
	}
	look_at_target(query, &place);
	return true;
}

/*! May one more alias be followed? */
static bool may_step(query_t *query)
{
	if (query->chain->steps == ANSWER_CHAIN_MAX) {
		query->result.outcome = ANSWER_LOOP;
		return false;
	}
	return true;
}

static void note_step(query_t *query, qp_leaf_t node, uint16_t target)
{
	alias_chain_t *chain = query->chain;
	const lookup_t *at = &query->at;
	chain->step[chain->steps++] = (alias_step_t) {
		query->snapshot, node.ref, at->place.pos, target, at->is_expanded ? at->encloser_len : 0,
	};
}

static bool follow_cname(query_t *query, qp_leaf_t node)
{
	rrset_t cname;
	if (!may_step(query)) {
		return false;
	}
	if (!rrset_find(query->base, node.ref, KNOT_RRTYPE_CNAME, &cname)) {
		deny_type(query, node);
		return false;
	}

	query->result.outcome = ANSWER_HIT;
	const uint16_t begin = query->msg->size;
	if (!put(query, SECTION_ANSWER, &query->at.place, &cname, query->parts)) {
		return false;
	}
	const uint16_t target = section_rdata(query->msg, begin);
	note_step(query, node, target);
	return follow(query, target);
}

/*! Puts the DNAME at \a node, once in an answer. Returns where its target stands; 0: it does not fit. */
static uint16_t put_dname(query_t *query, qp_leaf_t node, const rrset_t *dname)
{
	const alias_chain_t *chain = query->chain;
	for (unsigned i = 0; i < chain->steps; i++) {
		if (chain->step[i].ref == node.ref && chain->step[i].snapshot == query->snapshot) {
			return chain->step[i].target;
		}
	}
	const lookup_t *at = &query->at;
	const place_t owner = section_suffix(query->msg, &at->place, at->encloser_len);
	const uint16_t begin = query->msg->size;
	if (!put(query, SECTION_ANSWER, &owner, dname, query->parts)) {
		return 0;
	}
	return section_rdata(query->msg, begin);
}

/*! Does a DNAME, whose target stands at \a pos, lead to below itself? What it makes would grow for ever. */
static bool leads_below(const query_t *query, uint16_t pos)
{
	const lookup_t *at = &query->at;
	uint8_t target[WIRE_NAME_MAX];
	const uint8_t len = section_read_name(query->msg, pos, target, NULL);
	return wire_name_within(target, len, at->name + at->len - at->encloser_len, at->encloser_len);
}

/*! Substitutes the DNAME at the closest encloser, \a node (RFC 6672, section 3.2). */
static bool follow_dname(query_t *query, qp_leaf_t node)
{
	rrset_t dname;
	if (!may_step(query)) {
		return false;
	}
	if (!rrset_find(query->base, node.ref, KNOT_RRTYPE_DNAME, &dname)) {
		deny_name(query);
		return false;
	}

	query->result.outcome = ANSWER_HIT;
	const uint16_t rest = put_dname(query, node, &dname);
	if (rest == 0) {
		return false;
	}
	lookup_t *at = &query->at;
	const uint8_t prefix_len = at->len - at->encloser_len;
	uint16_t rest_len;
	memcpy(&rest_len, dname.items, sizeof(rest_len));
	if (prefix_len + rest_len > WIRE_NAME_MAX) {
		query->result.outcome = ANSWER_OVERFLOW;
		query->result.rcode = KNOT_RCODE_YXDOMAIN;
		return false;
	}

	const uint16_t begin = query->msg->size;
	if (section_put_cname(query->msg, SECTION_ANSWER, &at->place, dname.ttl, at->name, prefix_len, rest) != KNOT_EOK) {
		query->result.truncated = true;
		return false;
	}
	note_step(query, node, rest);
	if (query->question->qtype == KNOT_RRTYPE_CNAME) {
		return false;
	}
	if (leads_below(query, rest)) {
		query->result.outcome = ANSWER_LOOP;
		return false;
	}
	return follow(query, section_rdata(query->msg, begin));
}

/*!
 * \brief Is an alias followed for this question, or is it the answer itself?
 *
 * NSEC may stand beside an alias, but not in a zone with NSEC3: there a denial would contradict itself, because the proof
 * has the alias' bit (RFC 6840, section 4.3; knotd and BIND do so, NSD follows).
 */
static inline bool is_chased(const query_t *query)
{
	const uint16_t qtype = query->question->qtype;
	return qtype != KNOT_RRTYPE_CNAME && qtype != KNOT_RRTYPE_ANY && qtype != KNOT_RRTYPE_RRSIG &&
	       (qtype != KNOT_RRTYPE_NSEC || query->snapshot->chain.param != NULL);
}

/* ---- Names ---- */

/*! Answers from a node: the name's own, or the wildcard that stands in for it. Returns true if there is a next name. */
static bool answer_node(query_t *query, const qp_leaf_t *node)
{
	const uint16_t qtype = query->question->qtype;
	if ((node->tag & NODE_CUT) && qtype != KNOT_RRTYPE_DS) {
		place_t place = query->at.place;
		if (place.shared < place.len) {
			place = section_suffix(query->msg, &place, place.shared);
			place.prefix = (const uint8_t *)"\x01*";
			place.prefix_len = 2;
		}
		refer(query, *node, &place);
		return false;
	}
	if ((node->tag & NODE_CNAME) && is_chased(query)) {
		return follow_cname(query, *node);
	}
	put_data(query, node);
	return false;
}

/*! Looks for the wildcard that stands in for a name which does not exist. */
static bool expand(query_t *query, qp_leaf_t *ret_source)
{
	lookup_t *at = &query->at;
	at->encloser_len = ancestor_len(at->name, at->len, at->key.labels - at->path.enclosed);
	at->is_expanded = find_source(query->snapshot, at->name + at->len - at->encloser_len, at->encloser_len, ret_source);
	return at->is_expanded;
}

/*! Answers for a name that does not exist and that no wildcard stands in for. Returns true if there is a next name. */
static bool answer_missing(query_t *query, qp_leaf_t encloser)
{
	if (encloser.tag & NODE_DNAME) {
		return follow_dname(query, encloser);
	}
	deny_name(query);
	return false;
}

/*! Answers for one name. Returns true if an alias leads to a next one. */
static bool answer_name(query_t *query)
{
	lookup_t *at = &query->at;
	make_key(query->snapshot, at->name, at->len, &at->key);
	qp_find(&query->snapshot->names, &at->key, &at->path);
	at->is_expanded = false;

	const qp_leaf_t *cut = find_cut(&at->path);
	if (cut != NULL) {
		uint8_t len = ancestor_len(at->name, at->len, at->key.labels - cut->labels);
		place_t place = section_suffix(query->msg, &at->place, len);
		refer(query, *cut, &place);
		return false;
	}

	qp_leaf_t node = at->path.match;
	if (node.ref == 0 && at->path.enclosed < at->key.labels) {
		const qp_leaf_t encloser = encloser_leaf(&at->path);
		at->encloser_note = encloser.note;
		if (!expand(query, &node)) {
			return answer_missing(query, encloser);
		}
		at->place.shared = at->encloser_len;
	}
	if (node.ref == 0) {
		deny_type(query, node); /* an empty non-terminal */
		return false;
	}
	return answer_node(query, &node);
}

/*! What both ways to begin have in common. */
static void query_begin(query_t *query, const snapshot_t *snapshot, const question_t *question, message_t *msg,
                        alias_chain_t *chain)
{
	query->snapshot = snapshot;
	query->question = question;
	query->msg = msg;
	query->base = snapshot->names.base;
	query->parts = question->dnssec && snapshot->is_signed ? PUT_DATA | PUT_SIGS : PUT_DATA;
	query->result = (answer_result_t) { .rcode = KNOT_RCODE_NOERROR, .ede = KNOT_EDNS_EDE_NONE };
	query->chain = chain;
	query->hosts.rrset.count = 0;
	query->denial.msg = msg;
	query->denial.is_costly = false;
	query->denial.count = 0;
}

void answer_clear(message_t *msg, alias_chain_t *chain)
{
	msg->size = msg->qname_end + MESSAGE_QUESTION;
	memset(msg->count, 0, sizeof(msg->count));
	chain->steps = 0;
}

/*! Two names have the same hash: the zone cannot deny one of them, and is not to say so half (RFC 5155, section 7.2.9). */
static void fail(query_t *query)
{
	answer_clear(query->msg, query->chain);
	query->result = (answer_result_t) {
		.outcome = ANSWER_COLLISION, .rcode = KNOT_RCODE_SERVFAIL, .ede = KNOT_EDNS_EDE_NONE,
	};
}

static answer_result_t query_answer(query_t *query)
{
	while (answer_name(query)) { }

	if (query->question->dnssec) {
		prove_aliases(query);
	}
	if (query->result.outcome == ANSWER_COLLISION) {
		fail(query);
		return query->result;
	}
	if (query->hosts.rrset.count > 0 && !query->result.truncated) {
		put_additional(query);
	}
	if (query->denial.is_costly) {
		query->result.ede = KNOT_EDNS_EDE_NSEC3_ITERS;
	}
	query->result.authoritative = query->result.outcome != ANSWER_REFERRAL || query->chain->steps > 0;
	return query->result;
}

answer_result_t answer(const snapshot_t *snapshot, const question_t *question, message_t *msg, alias_chain_t *chain)
{
	assert(wire_name_within(question->qname, question->qname_len, snapshot->apex, snapshot->apex_len));
	assert(msg->qname_end == MESSAGE_HEADER + question->qname_len && msg->size >= msg->qname_end);

	query_t query; /* not cleared: most of its 2 KB stay unused */
	chain->steps = 0;
	query_begin(&query, snapshot, question, msg, chain);
	query.apex = place_in_qname(msg, snapshot->apex_len);
	query.at.name = question->qname;
	query.at.len = question->qname_len;
	query.at.place = place_in_qname(msg, question->qname_len);
	return query_answer(&query);
}

void answer_prove_aliases(const question_t *question, message_t *msg, alias_chain_t *chain, answer_result_t *result)
{
	if (!question->dnssec || chain->steps == 0) {
		return;
	}
	query_t query;
	query_begin(&query, chain->step[0].snapshot, question, msg, chain);
	query.result = *result;
	prove_aliases(&query);
	if (query.result.outcome == ANSWER_COLLISION) {
		fail(&query);
	} else if (query.denial.is_costly) {
		query.result.ede = KNOT_EDNS_EDE_NSEC3_ITERS;
	}
	*result = query.result;
}

answer_result_t answer_continue(const snapshot_t *snapshot, const question_t *question, message_t *msg,
                                alias_chain_t *chain)
{
	assert(chain->steps > 0 && msg->size == chain->end);
	assert(wire_name_within(chain->name, chain->len, snapshot->apex, snapshot->apex_len));

	query_t query;
	query_begin(&query, snapshot, question, msg, chain);
	place_t target;
	(void)section_read_name(msg, chain->pos, chain->name, &target);
	query.apex = section_suffix(msg, &target, snapshot->apex_len);
	query.apex.split = query.apex.common < snapshot->apex_len;
	look_at_target(&query, &target);
	return query_answer(&query);
}
