/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief May this client do that, and is its signature good.
 */
#include "secondary/access.h"

#include <assert.h>

#include <libknot/libknot.h>

#include "secondary/address.h"
#include "secondary/rcu.h"

/* knotd's schema. An item that it does not have would crash it, so only those that every 3.2 knows are asked for. */
#define SECTION_ACL     "\x03""acl"
#define SECTION_KEY     "\x03""key"
#define SECTION_REMOTE  "\x06""remote"
#define SECTION_REMOTES "\x07""remotes"
#define SECTION_SERVER  "\x06""server"
#define ITEM_ACL        "\x03""acl"
#define ITEM_ACTION     "\x06""action"
#define ITEM_ADDRESS    "\x07""address"
#define ITEM_ALGORITHM  "\x09""algorithm"
#define ITEM_DENY       "\x04""deny"
#define ITEM_AUTOMATIC  "\x0D""automatic-acl"
#define ITEM_KEY        "\x03""key"
#define ITEM_NOTIFY     "\x06""notify"
#define ITEM_REMOTE     "\x06""remote"
#define ITEM_SECRET     "\x06""secret"
/* The module's own. */
#define ITEM_TRANSFER   "\x0B""transfer-to"

/*! Values of `acl.action` in that schema. */
enum {
	ACTION_NOTIFY   = 1,
	ACTION_TRANSFER = 2,
};

/*! A value read from the configuration, freed where its name ends. What it points to belongs to the configuration. */
#define CONF_AUTO __attribute__((cleanup(knotd_conf_free))) knotd_conf_t

/*! What rules judge. */
typedef struct {
	knotd_mod_t *mod;
	const struct sockaddr_storage *from;
	knot_tsig_key_t key;      /*!< name NULL: unsigned. The secret is filled in by what allows the request. */
} request_t;

/*! What one rule says. */
typedef enum {
	RULE_OTHER,               /*!< It is about others: the next one is asked. */
	RULE_ALLOWS,
	RULE_DENIES,
} rule_t;

static knotd_conf_t conf_id(const knotd_conf_val_t *id)
{
	return (knotd_conf_t) { .single = *id, .count = 1 };
}

static bool is_signed(const request_t *request)
{
	return request->key.name != NULL;
}

/*! Is the request signed with the key \a key_id of the configuration? Names are lower case on both sides. */
static bool uses_key(const request_t *request, const knotd_conf_val_t *key_id)
{
	if (!is_signed(request) || !knot_dname_is_equal(key_id->data, request->key.name)) {
		return false;
	}
	knotd_conf_t id = conf_id(key_id);
	CONF_AUTO algorithm = knotd_conf(request->mod, SECTION_KEY, ITEM_ALGORITHM, &id);
	return algorithm.single.option == (unsigned)request->key.algorithm;
}

/*! Without a key of its own a rule that allows is about unsigned requests only, one that denies about all. */
static bool matches_no_key(const request_t *request, bool deny)
{
	return !is_signed(request) || deny;
}

static bool remote_matches(const request_t *request, const knotd_conf_t *remote_id, bool deny)
{
	CONF_AUTO address = knotd_conf(request->mod, SECTION_REMOTE, ITEM_ADDRESS, remote_id);
	for (size_t i = 0; i < address.count; i++) {
		if (!address_same_host(&address.multi[i].addr, request->from)) {
			continue;
		}
		CONF_AUTO key = knotd_conf(request->mod, SECTION_REMOTE, ITEM_KEY, remote_id);
		return key.count > 0 ? uses_key(request, &key.single) : matches_no_key(request, deny);
	}
	return false;
}

/*! \a id is a remote's, or that of a group of remotes: they share one name space. */
static bool remotes_match(const request_t *request, const knotd_conf_val_t *id, bool deny)
{
	knotd_conf_t self = conf_id(id);
	CONF_AUTO member = knotd_conf(request->mod, SECTION_REMOTES, ITEM_REMOTE, &self);
	if (member.count == 0) {
		return remote_matches(request, &self, deny);
	}
	for (size_t i = 0; i < member.count; i++) {
		knotd_conf_t remote = conf_id(&member.multi[i]);
		if (remote_matches(request, &remote, deny)) {
			return true;
		}
	}
	return false;
}

/*! A rule without addresses is about all of them. */
static bool address_matches(const request_t *request, const knotd_conf_t *rule_id)
{
	CONF_AUTO range = knotd_conf(request->mod, SECTION_ACL, ITEM_ADDRESS, rule_id);
	return range.count == 0 || knotd_conf_addr_range_match(&range, request->from);
}

static bool key_matches(const request_t *request, const knotd_conf_t *rule_id, bool deny)
{
	CONF_AUTO key = knotd_conf(request->mod, SECTION_ACL, ITEM_KEY, rule_id);
	if (key.count == 0) {
		return matches_no_key(request, deny);
	}
	for (size_t i = 0; i < key.count; i++) {
		if (uses_key(request, &key.multi[i])) {
			return true;
		}
	}
	return false;
}

/*! Is the rule about this client? A rule with remotes has neither addresses nor keys of its own. */
static bool rule_matches(const request_t *request, const knotd_conf_t *rule_id, bool deny)
{
	CONF_AUTO remote = knotd_conf(request->mod, SECTION_ACL, ITEM_REMOTE, rule_id);
	if (remote.count == 0) {
		return address_matches(request, rule_id) && key_matches(request, rule_id, deny);
	}
	for (size_t i = 0; i < remote.count; i++) {
		if (remotes_match(request, &remote.multi[i], deny)) {
			return true;
		}
	}
	return false;
}

/*!
 * Does the rule's list of actions have this one?
 *
 * A rule that lists none cannot allow more than queries; for its clients the search ends there, as knotd has it.
 */
static rule_t judge_action(const request_t *request, const knotd_conf_t *rule_id, access_action_t action, rule_t verdict)
{
	if (action == ACCESS_QUERY) {
		return verdict;
	}
	const unsigned wanted = action == ACCESS_NOTIFY ? ACTION_NOTIFY : ACTION_TRANSFER;

	CONF_AUTO list = knotd_conf(request->mod, SECTION_ACL, ITEM_ACTION, rule_id);
	if (list.count == 0) {
		return RULE_DENIES;
	}
	for (size_t i = 0; i < list.count; i++) {
		if (list.multi[i].option == wanted) {
			return verdict;
		}
	}
	return RULE_OTHER;
}

static rule_t judge_rule(const request_t *request, const knotd_conf_t *rule_id, access_action_t action)
{
	CONF_AUTO deny = knotd_conf(request->mod, SECTION_ACL, ITEM_DENY, rule_id);
	if (!rule_matches(request, rule_id, deny.single.boolean)) {
		return RULE_OTHER;
	}
	return judge_action(request, rule_id, action, deny.single.boolean ? RULE_DENIES : RULE_ALLOWS);
}

/*! The secret of the key that the rule has found in the configuration under this name. Borrow: the configuration. */
static void take_secret(request_t *request)
{
	if (!is_signed(request)) {
		return;
	}
	knotd_conf_t id = { .count = 1 };
	id.single.data = request->key.name;
	id.single.data_len = knot_dname_size(request->key.name);
	CONF_AUTO secret = knotd_conf(request->mod, SECTION_KEY, ITEM_SECRET, &id);
	request->key.secret.data = (uint8_t *)secret.single.data;
	request->key.secret.size = secret.single.data_len;
}

/*! The first rule of the list that is about this client and action decides. */
static rule_t judge_list(const request_t *request, const knotd_conf_t *list, access_action_t action)
{
	rule_t verdict = RULE_OTHER;
	for (size_t i = 0; i < list->count && verdict == RULE_OTHER; i++) {
		knotd_conf_t rule_id = conf_id(&list->multi[i]);
		verdict = judge_rule(request, &rule_id, action);
	}
	return verdict;
}

/*! The zone's list. */
static rule_t judge_acl(const request_t *request, const zone_t *zone, access_action_t action)
{
	CONF_AUTO list = knotd_conf_zone(request->mod, ITEM_ACL, zone->name);
	return judge_list(request, &list, action);
}

/*! The stanza's list, whose clients may ask before they transfer. */
static rule_t judge_transfer_to(const request_t *request, access_action_t action)
{
	if (action == ACCESS_NOTIFY) {
		return RULE_OTHER;
	}
	CONF_AUTO list = knotd_conf_mod(request->mod, ITEM_TRANSFER);
	return judge_list(request, &list, action);
}

/*! Is the request one of this remote, or of one in this group, that has `automatic-acl` on? */
static bool is_automatic(const request_t *request, const knotd_conf_val_t *id)
{
	knotd_conf_t self = conf_id(id);
	CONF_AUTO member = knotd_conf(request->mod, SECTION_REMOTES, ITEM_REMOTE, &self);
	for (size_t i = 0; i < (member.count > 0 ? member.count : 1); i++) {
		knotd_conf_t remote = member.count > 0 ? conf_id(&member.multi[i]) : self;
		CONF_AUTO automatic = knotd_conf(request->mod, SECTION_REMOTE, ITEM_AUTOMATIC, &remote);
		if (automatic.single.boolean && remote_matches(request, &remote, false)) {
			return true;
		}
	}
	return false;
}

static bool any_automatic(const request_t *request, const knotd_conf_t *refs)
{
	for (size_t i = 0; i < refs->count; i++) {
		if (is_automatic(request, &refs->multi[i])) {
			return true;
		}
	}
	return false;
}

/*! Those who are told of new versions, by us or by knotd's own item, may transfer them where the server says so. */
static rule_t judge_automatic(const request_t *request, const zone_t *zone, access_action_t action)
{
	CONF_AUTO automatic = knotd_conf(request->mod, SECTION_SERVER, ITEM_AUTOMATIC, NULL);
	if (action == ACCESS_NOTIFY || !automatic.single.boolean) {
		return RULE_OTHER;
	}
	CONF_AUTO own = knotd_conf_mod(request->mod, ITEM_NOTIFY);
	CONF_AUTO zones = knotd_conf_zone(request->mod, ITEM_NOTIFY, zone->name);
	return any_automatic(request, &own) || any_automatic(request, &zones) ? RULE_ALLOWS : RULE_OTHER;
}

/*! One of the zone's primaries; one with a key is never believed without it. */
static bool primary_allows(request_t *request, const stanza_t *stanza)
{
	for (unsigned i = 0; i < stanza->primary_count; i++) {
		const primary_t *primary = &stanza->primary[i];
		if (!address_same_host(&primary->addr, request->from)) {
			continue;
		}
		if (primary->key.name == NULL) {
			if (!is_signed(request)) {
				return true;
			}
			continue;
		}
		if (is_signed(request) && primary->key.algorithm == request->key.algorithm &&
		    knot_dname_is_equal(primary->key.name, request->key.name)) {
			request->key.secret = primary->key.secret;
			return true;
		}
	}
	return false;
}

/*! The lists, in order. A zone that knotd does not have would be given those of its default template. */
static rule_t judge(const request_t *request, const instance_t *instance, const zone_t *zone, access_action_t action)
{
	rule_t verdict = judge_transfer_to(request, action);
	if (verdict == RULE_OTHER && !instance->global) {
		verdict = judge_automatic(request, zone, action);
	}
	if (verdict == RULE_OTHER && !instance->global) {
		verdict = judge_acl(request, zone, action);
	}
	return verdict;
}

static bool is_allowed(request_t *request, const instance_t *instance, const zone_t *zone, access_action_t action)
{
	if (action == ACCESS_NOTIFY && primary_allows(request, instance->stanza)) {
		return true;
	}
	if (judge(request, instance, zone, action) != RULE_ALLOWS) {
		return false;
	}
	take_secret(request);
	return true;
}

static bool deny(knotd_qdata_t *qdata, uint16_t rcode, uint16_t rcode_tsig)
{
	qdata->rcode = rcode;
	qdata->rcode_tsig = rcode_tsig;
	return false;
}

/*!
 * Verifies the request with the key that qdata->sign has.
 *
 * The request's MAC is where the response's is computed from and then kept; knotd signs those that may be (RFC 8945,
 * section 5.3.2: with BADTIME, not with BADKEY and BADSIG).
 */
static bool verify(knotd_qdata_t *qdata)
{
	const knot_pkt_t *query = qdata->query;
	knot_sign_context_t *sign = &qdata->sign;
	sign->tsig_digest = (uint8_t *)knot_tsig_rdata_mac(query->tsig_rr);
	sign->tsig_digestlen = knot_tsig_rdata_mac_length(query->tsig_rr);

	switch (knot_tsig_server_check(query->tsig_rr, query->wire, query->size, &sign->tsig_key)) {
	case KNOT_EOK:
		return true;
	case KNOT_TSIG_EBADKEY:
		return deny(qdata, KNOT_RCODE_NOTAUTH, KNOT_RCODE_BADKEY);
	case KNOT_TSIG_EBADSIG:
		return deny(qdata, KNOT_RCODE_NOTAUTH, KNOT_RCODE_BADSIG);
	case KNOT_TSIG_EBADTIME:
		sign->tsig_time_signed = knot_tsig_rdata_time_signed(query->tsig_rr);
		return deny(qdata, KNOT_RCODE_NOTAUTH, KNOT_RCODE_BADTIME);
	case KNOT_EMALF:
		return deny(qdata, KNOT_RCODE_FORMERR, KNOT_RCODE_NOERROR);
	default:
		return deny(qdata, KNOT_RCODE_SERVFAIL, KNOT_RCODE_NOERROR);
	}
}

bool access_check(const instance_t *instance, const zone_t *zone, access_action_t action, knotd_qdata_t *qdata)
{
	assert(rcu_read_ongoing());

	request_t request = {
		.mod = instance->mod,
		.from = knotd_qdata_remote_addr(qdata),
	};
	const knot_rrset_t *tsig = qdata->query->tsig_rr;
	if (tsig != NULL) {
		request.key.name = tsig->owner;
		request.key.algorithm = knot_tsig_rdata_alg(tsig);
	}

	if (!is_allowed(&request, instance, zone, action)) {
		return deny(qdata, KNOT_RCODE_NOTAUTH, KNOT_RCODE_BADKEY);
	}
	if (tsig == NULL) {
		return true;
	}
	qdata->sign.tsig_key = request.key;
	return verify(qdata);
}
