/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What is this query, and who answers it.
 */
#include "secondary/dispatch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include <libknot/libknot.h>

#include "clock.h"
#include "log_quota.h"
#include "packet.h"
#include "remote_log.h"
#include "secondary/access.h"
#include "secondary/address.h"
#include "secondary/answer.h"
#include "secondary/chase.h"
#include "secondary/foreign.h"
#include "secondary/outgoing.h"
#include "secondary/rcu.h"
#include "secondary/settings.h"
#include "secondary/statistics.h"
#include "secondary/worker.h"

/*!
 * Lines a second about NOTIFY, in the whole process. Strangers cause those about refused ones, a few of which say enough;
 * ten thousand a second would cost a worker and the disk. Those about accepted ones are the primary's doing, or that of
 * one who sends in its name; of a primary that tells about more zones at once, the refresh lines tell the rest.
 */
static log_quota_t notify_refused = LOG_QUOTA(10);
static log_quota_t notify_accepted = LOG_QUOTA(100);

/*! \name Zones without a version */

/*! SERVFAIL, and since when (RFC 8914). */
static knotd_state_t fail_expired(const knot_pkt_t *pkt, knotd_qdata_t *qdata, time_t expired_at)
{
	struct tm utc;
	char text[PACKET_EDE_TEXT_MAX + 1];
	if (gmtime_r(&expired_at, &utc) == NULL || strftime(text, sizeof(text), "zone expired at %Y-%m-%dT%H:%M:%SZ", &utc) == 0) {
		return packet_fail(qdata, KNOT_RCODE_SERVFAIL, KNOT_EDNS_EDE_INV_DATA);
	}
	return packet_fail_text(pkt, qdata, KNOT_RCODE_SERVFAIL, KNOT_EDNS_EDE_INV_DATA, text);
}

static knotd_state_t fail_unserved(const zone_t *zone, const knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	const int64_t expired_at = __atomic_load_n(&zone->expired_at, __ATOMIC_RELAXED);
	if (expired_at != 0) {
		return fail_expired(pkt, qdata, expired_at);
	}
	return packet_fail_text(pkt, qdata, KNOT_RCODE_SERVFAIL, KNOT_EDNS_EDE_NOT_READY, "zone has not been transferred yet");
}

/*! \name Answers */

static void *packet_alloc(knot_pkt_t *pkt, size_t size)
{
	return pkt->mm.alloc != NULL ? pkt->mm.alloc(pkt->mm.ctx, size) : malloc(size);
}

static bool reserve_entry(knot_pkt_t *pkt)
{
	if (pkt->rrset_allocd > 0) {
		return true;
	}
	pkt->rr = packet_alloc(pkt, sizeof(pkt->rr[0]));
	pkt->rr_info = packet_alloc(pkt, sizeof(pkt->rr_info[0]));
	if (pkt->rr == NULL || pkt->rr_info == NULL) {
		return false;
	}
	pkt->rrset_allocd = 1;
	return true;
}

/*!
 * Gives a response without answers the one entry about its authority section that other modules look for.
 *
 * mod-stats tells NODATA from a referral by the first RRset there, whether there is one or not; mod-rrl takes the zone
 * of NXDOMAIN from it.
 * \param type  NS or SOA.
 */
static int announce_authority(knot_pkt_t *pkt, const snapshot_t *snapshot, uint16_t type)
{
	assert(pkt->rrset_count == 0);

	if (!reserve_entry(pkt)) {
		return KNOT_ENOMEM;
	}
	knot_rrset_init(&pkt->rr[0], (knot_dname_t *)snapshot->apex, type, KNOT_CLASS_IN, snapshot->soa.ttl);
	memset(&pkt->rr_info[0], 0, sizeof(pkt->rr_info[0]));
	pkt->rrset_count = 1;
	pkt->current = KNOT_AUTHORITY;
	pkt->sections[KNOT_AUTHORITY] = (knot_pktsection_t) { .pkt = pkt, .pos = 0, .count = 1 };
	return KNOT_EOK;
}

/*! The response code goes into the header too, since knotd computes TSIG before it writes the code there, or does not write it. */
static void message_end(const message_t *msg, const answer_result_t *result, knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	uint8_t *wire = pkt->wire;
	if (result->authoritative) {
		knot_wire_set_aa(wire);
	}
	if (result->truncated) {
		knot_wire_set_tc(wire);
	}
	knot_wire_set_rcode(wire, result->rcode);
	knot_wire_set_ancount(wire, msg->count[SECTION_ANSWER]);
	knot_wire_set_nscount(wire, msg->count[SECTION_AUTHORITY]);
	knot_wire_set_arcount(wire, msg->count[SECTION_ADDITIONAL]);
	pkt->size = msg->size;
	qdata->rcode = result->rcode;
	if (result->ede != KNOT_EDNS_EDE_NONE && msg->limit - msg->size >= KNOT_EDNS_OPTION_HDRLEN + 2) {
		qdata->rcode_ede = result->ede;
	}
}

/*! Octets of the OPT record that knotd has prepared. */
static inline size_t opt_size(const knotd_qdata_t *qdata)
{
	return KNOT_EDNS_MIN_SIZE + qdata->opt_rr.rrs.rdata->len;
}

/*! Writes it, options of other modules included, into the place reserved for it. */
static void put_opt(knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	const knot_rrset_t *opt = &qdata->opt_rr;
	const knot_rdata_t *rdata = opt->rrs.rdata;
	const uint16_t len = rdata->len;
	const size_t size = opt_size(qdata);
	uint8_t *wire = pkt->wire + pkt->size;
	wire[0] = 0;
	knot_wire_write_u16(wire + 1, KNOT_RRTYPE_OPT);
	knot_wire_write_u16(wire + 3, opt->rclass);
	knot_wire_write_u32(wire + 5, opt->ttl);
	knot_wire_write_u16(wire + 9, len);
	if (len > 0) { /* mostly not */
		memcpy(wire + KNOT_EDNS_MIN_SIZE, rdata->data, len);
	}

	assert(pkt->reserved >= size && pkt->size + size <= pkt->max_size);
	pkt->size += size;
	pkt->reserved -= size;
	pkt->opt_rr = &qdata->opt_rr;
	knot_wire_add_arcount(pkt->wire, 1);
}

/*!
 * Completes the response, where that takes no more than the OPT record: knotd, which would put it in as any other record,
 * needs some 500 instructions for that, as many as the whole answer. It is left to knotd where it would add more: a
 * signature, an extended error, the client's subnet, the padding of QUIC.
 */
static knotd_state_t complete(knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	if (qdata->query->tsig_rr != NULL || qdata->rcode_ede != KNOT_EDNS_EDE_NONE || qdata->ecs != NULL ||
	    qdata->params->proto == KNOTD_QUERY_PROTO_QUIC) {
		return KNOTD_STATE_DONE;
	}
	if (knot_rrset_empty(&qdata->opt_rr)) {
		return KNOTD_STATE_FINAL;
	}
	if (pkt->size + opt_size(qdata) > pkt->max_size) {
		return KNOTD_STATE_DONE; /* packet_message() tells when; knotd makes an error of it */
	}
	put_opt(pkt, qdata);
	return KNOTD_STATE_FINAL;
}

/*! Has knotd a zone of its own by this name? One of ours, which has a section too, the directory has found before. */
static bool is_knotds(const uint8_t *apex, size_t len, void *ctx)
{
	(void)len;
	return settings_zone_section(ctx, apex);
}

/*! An extended error goes out where there is room, without its text where there is less. */
static void take_note(const foreign_note_t *note, message_t *msg, knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	const size_t room = msg->limit - msg->size;
	if (note->ede == KNOT_EDNS_EDE_NONE || room < KNOT_EDNS_OPTION_HDRLEN + 2) {
		return;
	}
	const size_t size = packet_add_ede(qdata, note->ede, note->ede_text, room);
	if (size == 0 || knot_pkt_reserve(pkt, size) != KNOT_EOK) {
		qdata->rcode_ede = note->ede;
		return;
	}
	msg->limit -= size;
}

/*! Puts what is known of a target outside our zones. Returns true if that leads on to one of ours. */
static bool follow_outside(const instance_t *instance, const question_t *question, hold_t *hold, message_t *msg,
                           alias_chain_t *chain, answer_result_t *result, const knotd_qdata_t *qdata, foreign_note_t *note)
{
	if (!knot_wire_get_rd(qdata->query->wire) || !foreign_is_followed(&instance->foreign, question, chain)) {
		return false;
	}
	foreign_note_t further;
	foreign_follow(&instance->foreign, question, hold, msg, chain, result, &further);
	if (further.ede != KNOT_EDNS_EDE_NONE) {
		*note = further;
	}
	return further.goes_home;
}

/*! Follows aliases that leave the zone. The last of several extended errors goes out. Not inlined: large, and for few. */
static __attribute__((noinline)) void follow_aliases(const instance_t *instance, const zone_t *zone, const snapshot_t *snapshot,
                                                     const question_t *question, message_t *msg, alias_chain_t *chain,
                                                     answer_result_t *result, knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	foreign_note_t note = { .ede = KNOT_EDNS_EDE_NONE };
	chase_versions_t versions;
	chase_begin(&versions, zone, snapshot);
	hold_t hold = foreign_hold(&instance->foreign, qdata->params->proto != KNOTD_QUERY_PROTO_UDP);
	unsigned rounds = 0;
	bool again;
	bool went_home = false;
	do {
		again = false;
		switch (chase(&versions, question, msg, chain, is_knotds, instance->mod, result)) {
		case CHASE_DONE:
			if (rounds > 0 && result->outcome == ANSWER_LOOP) {
				note = foreign_loop();
			}
			break;
		case CHASE_OUTSIDE:
			again = follow_outside(instance, question, &hold, msg, chain, result, qdata, &note);
			went_home |= again;
			if (again && ++rounds == FOREIGN_ROUNDS_MAX) {
				note = foreign_loop();
				again = false;
			}
			break;
		case CHASE_UNSERVED:
			note = (foreign_note_t) {
				.ede = KNOT_EDNS_EDE_NOT_READY, .ede_text = "alias into a zone that is not served now",
			};
			break;
		}
	} while (again);
	if (went_home) {
		foreign_prove(question, msg, chain, result);
	}
	take_note(&note, msg, pkt, qdata);
}

static void count_answer(const instance_t *instance, const zone_t *zone, const answer_result_t *result, const knotd_qdata_t *qdata)
{
	static const uint8_t kinds[] = {
		[ANSWER_HIT] = ANSWERS_DATA, [ANSWER_NODATA] = ANSWERS_NODATA, [ANSWER_NXDOMAIN] = ANSWERS_NXDOMAIN,
		[ANSWER_REFERRAL] = ANSWERS_REFERRAL, [ANSWER_ALIAS] = ANSWERS_ALIAS, [ANSWER_LOOP] = ANSWERS_ALIAS,
		[ANSWER_OVERFLOW] = ANSWERS_ERROR, [ANSWER_COLLISION] = ANSWERS_ERROR,
	};
	statistics_answer(instance, zone, qdata, kinds[result->outcome]);
	if (result->truncated) {
		statistics_answer(instance, zone, qdata, ANSWERS_TRUNCATED);
	}
}

/*! Into the hook that most queries come through: the compiler would make calls of it, because of what it keeps on the stack. */
#define IN_HOOK static inline __attribute__((always_inline))

/*! Answers from a version of the zone. */
IN_HOOK knotd_state_t answer_from(const instance_t *instance, const zone_t *zone, const snapshot_t *snapshot,
                                  knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	const knot_pkt_t *query = qdata->query;
	const question_t question = {
		.qname = knot_pkt_qname(query),
		.qname_len = query->qname_size,
		.qtype = knot_pkt_qtype(query),
		.dnssec = knot_pkt_has_dnssec(query),
	};
	message_t msg = packet_message(pkt);
	alias_chain_t chain;
	answer_result_t result = answer(snapshot, &question, &msg, &chain);
	if (chase_is_due(&result, &chain)) {
		follow_aliases(instance, zone, snapshot, &question, &msg, &chain, &result, pkt, qdata);
	}
	message_end(&msg, &result, pkt, qdata);
	count_answer(instance, zone, &result, qdata);

	if (msg.count[SECTION_ANSWER] == 0 && msg.count[SECTION_AUTHORITY] > 0) {
		const uint16_t type = result.outcome == ANSWER_REFERRAL ? KNOT_RRTYPE_NS : KNOT_RRTYPE_SOA;
		if (announce_authority(pkt, snapshot, type) != KNOT_EOK) {
			return packet_fail(qdata, KNOT_RCODE_SERVFAIL, KNOT_EDNS_EDE_NONE);
		}
	}
	return complete(pkt, qdata);
}

/*!
 * Tells who asks for how long our version is good (RFC 7314, section 3.3), so that a chain of secondaries expires as its head
 * does. What has run out is not served, and nothing is said of it.
 */
static void tell_expiry(const zone_t *zone, knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	const uint64_t at = __atomic_load_n(&zone->expires_ms, __ATOMIC_RELAXED);
	const uint64_t now = clock_ms();
	if (at != 0) {
		packet_add_expire(pkt, qdata, at > now ? (at - now) / 1000 : 0);
	}
}

/*! Does the query name the zone itself? */
static bool is_apex(const zone_t *zone, const knotd_qdata_t *qdata)
{
	return qdata->query->qname_size == zone->name_len;
}

IN_HOOK knotd_state_t process_query(const instance_t *instance, const zone_t *zone, knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	if (qdata->query->tsig_rr != NULL &&
	    (!access_check(instance, zone, ACCESS_QUERY, qdata) || !packet_reserve_tsig(pkt, qdata))) {
		statistics_answer(instance, zone, qdata, ANSWERS_ERROR);
		return KNOTD_STATE_FAIL;
	}
	const snapshot_t *snapshot = zone_borrow(zone);
	if (snapshot == NULL) {
		statistics_answer(instance, zone, qdata, ANSWERS_UNSERVED);
		return fail_unserved(zone, pkt, qdata);
	}
	if (knot_pkt_qtype(qdata->query) == KNOT_RRTYPE_SOA && is_apex(zone, qdata)) {
		tell_expiry(zone, pkt, qdata);
	}
	return answer_from(instance, zone, snapshot, pkt, qdata);
}

/*! \name NOTIFY (RFC 1996) */

static void log_notify_refused(const instance_t *instance, const zone_t *zone, knotd_qdata_t *qdata)
{
	remote_log(instance, zone->name, qdata, &notify_refused, LOG_NOTICE, "notify", "incoming", "refused (%s)",
	           packet_denial(qdata));
}

static void accept_notify(const instance_t *instance, zone_t *zone, knotd_qdata_t *qdata)
{
	uint32_t serial = 0;
	const bool has_serial = packet_serial(qdata->query, KNOT_ANSWER, &serial);

	char text[16] = "none";
	if (has_serial) {
		snprintf(text, sizeof(text), "%u", serial);
	}
	remote_log(instance, zone->name, qdata, &notify_accepted, LOG_INFO, "notify", "incoming", "serial %s", text);
	worker_notify(zone, knotd_qdata_remote_addr(qdata), has_serial, serial);
}

static knotd_state_t process_notify(const instance_t *instance, zone_t *zone, knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	if (!access_check(instance, zone, ACCESS_NOTIFY, qdata)) {
		counters_event(&zone->events, EVENT_NOTIFY_IN_REFUSED);
		log_notify_refused(instance, zone, qdata);
		return KNOTD_STATE_FAIL;
	}
	if (knot_pkt_qtype(qdata->query) != KNOT_RRTYPE_SOA) {
		return packet_fail(qdata, KNOT_RCODE_FORMERR, KNOT_EDNS_EDE_NONE);
	}
	if (!packet_reserve_tsig(pkt, qdata)) {
		return KNOTD_STATE_FAIL;
	}
	counters_event(&zone->events, EVENT_NOTIFY_IN);
	accept_notify(instance, zone, qdata);
	return KNOTD_STATE_DONE;
}

/*! \name Transfers */

/*! Denied as knotd denies those whom no rule allows, with the reason (RFC 8914). */
static knotd_state_t refuse_transfer(const instance_t *instance, const zone_t *zone, const knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	outgoing_log_refused(instance, zone, qdata);
	if (qdata->rcode_tsig == KNOT_RCODE_BADKEY) {
		return packet_fail_text(pkt, qdata, qdata->rcode, KNOT_EDNS_EDE_PROHIBITED, "transfer not allowed");
	}
	return KNOTD_STATE_FAIL;
}

static knotd_state_t process_transfer(const instance_t *instance, zone_t *zone, knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	if (qdata->type == KNOTD_QUERY_TYPE_AXFR && qdata->params->proto == KNOTD_QUERY_PROTO_UDP) {
		return packet_fail(qdata, KNOT_RCODE_NOTIMPL, KNOT_EDNS_EDE_NONE);
	}
	if (!access_check(instance, zone, ACCESS_TRANSFER, qdata)) {
		counters_event(&zone->events, EVENT_REFUSED_OUT);
		return refuse_transfer(instance, zone, pkt, qdata);
	}
	snapshot_t *snapshot = zone_borrow(zone);
	if (snapshot == NULL) {
		return fail_unserved(zone, pkt, qdata);
	}
	tell_expiry(zone, pkt, qdata);
	return outgoing_begin(instance, zone, snapshot, pkt, qdata);
}

/*! \name Which zone */

/*!
 * Does knotd have a zone of its own, closer to the question than \a zone? (Global scope.)
 *
 * DS at the apex of such a zone is its parent's to answer, though knotd found the child where it does not know the parent.
 */
static bool is_knotd_closer(const zone_t *zone, knotd_qdata_t *qdata, bool above)
{
	const knot_dname_t *native = knotd_qdata_zone_name(qdata);
	if (native == NULL || knot_dname_labels(native, NULL) <= knot_dname_labels(zone->name, NULL)) {
		return false;
	}
	return !(above && knot_dname_is_equal(native, knot_pkt_qname(qdata->query)));
}

static zone_t *find_global_zone(const instance_t *instance, knotd_qdata_t *qdata)
{
	const bool above = qdata->type == KNOTD_QUERY_TYPE_NORMAL && knot_pkt_qtype(qdata->query) == KNOT_RRTYPE_DS;
	zone_t *zone = instance_find_zone(instance, knot_pkt_qname(qdata->query), above);
	return zone == NULL || is_knotd_closer(zone, qdata, above) ? NULL : zone;
}

/*! The zone that has the answer; NULL: the query is none of our business. */
static zone_t *find_zone(const instance_t *instance, knotd_qdata_t *qdata)
{
	const uint16_t qclass = knot_pkt_qclass(qdata->query);
	if (qclass != KNOT_CLASS_IN && qclass != KNOT_CLASS_ANY) {
		return NULL;
	}
	/* In zone scope knotd has found it, by the same rules. */
	return instance->global ? find_global_zone(instance, qdata) : instance->zone;
}

/*! What is no query. Not inlined, as such a message is rare, and takes more registers than finding out what it is. */
static __attribute__((noinline)) knotd_state_t process_other(knotd_state_t state, const instance_t *instance, zone_t *zone,
                                                             knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	if (qdata->type == KNOTD_QUERY_TYPE_UPDATE && knot_pkt_qtype(qdata->query) != KNOT_RRTYPE_SOA) {
		return packet_fail(qdata, KNOT_RCODE_FORMERR, KNOT_EDNS_EDE_NONE); /* RFC 2136, section 3.1.1 */
	}
	/* NOTIFY, transfers and updates name the zone itself. In zone scope knotd has seen to that. */
	if (!is_apex(zone, qdata)) {
		return packet_fail(qdata, KNOT_RCODE_NOTAUTH, KNOT_EDNS_EDE_NONE);
	}

	switch (qdata->type) {
	case KNOTD_QUERY_TYPE_NOTIFY:
		return process_notify(instance, zone, pkt, qdata);
	case KNOTD_QUERY_TYPE_AXFR:
	case KNOTD_QUERY_TYPE_IXFR:
		return process_transfer(instance, zone, pkt, qdata);
	case KNOTD_QUERY_TYPE_UPDATE:
		return packet_fail(qdata, KNOT_RCODE_REFUSED, KNOT_EDNS_EDE_NONE);
	default:
		return state;
	}
}

knotd_state_t dispatch_begin(knotd_state_t state, knot_pkt_t *pkt, knotd_qdata_t *qdata, knotd_mod_t *mod)
{
	assert(rcu_read_ongoing());

	if (state != STATE_PRODUCE) {
		return state;
	}
	const instance_t *instance = knotd_mod_ctx(mod);
	if (outgoing_is_under_way(qdata)) {
		return outgoing_continue(instance, pkt, qdata);
	}
	if (qdata->type == KNOTD_QUERY_TYPE_INVALID) {
		return state;
	}
	zone_t *zone = find_zone(instance, qdata);
	if (zone == NULL) {
		return state;
	}
	return qdata->type == KNOTD_QUERY_TYPE_NORMAL ? process_query(instance, zone, pkt, qdata)
	                                              : process_other(state, instance, zone, pkt, qdata);
}
