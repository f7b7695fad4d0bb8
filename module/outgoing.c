/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Outgoing transfers among knotd's hooks.
 */
#include "secondary/outgoing.h"

#include <assert.h>
#include <pthread.h>
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
#include "secondary/address.h"
#include "secondary/increment_out.h"
#include "secondary/rcu.h"
#include "secondary/report.h"
#include "secondary/section.h"
#include "secondary/transfer_out.h"

/*!
 * Lines a second. Anyone can be refused, a few of these say enough; those who may transfer can ask for a SOA as often as
 * they like; the others have lines of their own, so that their secondaries' transfers are found in the log.
 */
static log_quota_t quota_refused = LOG_QUOTA(10);
static log_quota_t quota_lost = LOG_QUOTA(10);
static log_quota_t quota_current = LOG_QUOTA(50);
static log_quota_t quota_transfer = LOG_QUOTA(200);

typedef struct outgoing {
	struct outgoing *next;    /*!< Begun later. */
	zone_t *zone;             /*!< Held. */
	transfer_out_t *out;      /*!< The zone; or NULL, and */
	increment_out_t *increment; /*!< what has changed. */
	bool is_cut;              /*!< To be ended: it pins the oldest of too many versions. Atomic. */
	bool has_message;         /*!< BEGIN has filled one. */
	bool has_more;
	bool is_over;             /*!< Finished or failed, and that was logged. */
	bool is_finished;
	knotd_query_type_t type;  /*!< Of the query; see hide_query(). */

	knotd_qdata_t *qdata;     /*!< Of the query. */
	knot_mm_free_t mm_free;   /*!< What qdata->mm frees with. */
	knot_tsig_key_t key;      /*!< A copy: the configuration may go. */
	const char *operation;
	struct sockaddr_storage remote;
	struct timespec began;
	unsigned messages;
	uint64_t octets;          /*!< Of messages as knotd counts them: without length and TSIG. Atomic, as records: others look. */
	uint64_t records;
	uint8_t name[];           /*!< qdata->name points here. */
} outgoing_t;

/*! All transfers under way. */
static struct {
	pthread_mutex_t lock;
	outgoing_t *first;        /*!< The oldest. */
} transfers = { .lock = PTHREAD_MUTEX_INITIALIZER };

/*! The one of this worker. */
static _Thread_local outgoing_t *current;

/* -- log -------------------------------------------------------------------------------------------------------------- */

static const char *operation_name(const knotd_qdata_t *qdata)
{
	return qdata->type == KNOTD_QUERY_TYPE_IXFR ? "IXFR" : "AXFR";
}

void outgoing_log_refused(const instance_t *instance, const zone_t *zone, knotd_qdata_t *qdata)
{
	remote_log(instance, zone->name, qdata, &quota_refused, LOG_NOTICE, operation_name(qdata), "outgoing", "refused (%s)",
	         packet_denial(qdata));
}

static double seconds_since(const struct timespec *began)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - began->tv_sec) + (now.tv_nsec - began->tv_nsec) / 1e9;
}

/*! "0.02 seconds, 12 messages, 190000 bytes" */
static char *totals_text(const outgoing_t *transfer, char dst[static REMOTE_LOG_TEXT_MAX])
{
	(void)snprintf(dst, REMOTE_LOG_TEXT_MAX, "%.2f seconds, %u messages, %llu bytes", seconds_since(&transfer->began), transfer->messages,
	               (unsigned long long)transfer->octets);
	return dst;
}

static void log_finished(const instance_t *instance, outgoing_t *transfer)
{
	transfer->is_finished = true;
	char totals[REMOTE_LOG_TEXT_MAX];
	remote_log(instance, transfer->name, transfer->qdata, &quota_transfer, LOG_INFO, transfer->operation, "outgoing", "finished, %s",
	         totals_text(transfer, totals));
}

/*! No hook is called for it, so there is no instance: the line goes the way of the background thread's. */
static void log_lost(const outgoing_t *transfer)
{
	uint32_t suppressed;
	if (!log_quota_take(&quota_lost, clock_seconds(), &suppressed)) {
		return;
	}
	char totals[REMOTE_LOG_TEXT_MAX], remote[ADDRESS_TEXT_MAX];
	report(transfer->zone, LOG_NOTICE, "%s, outgoing, remote %s, failed (connection closed or stalled), %s", transfer->operation,
	       address_text(&transfer->remote, remote), totals_text(transfer, totals));
}

/* -- versions that are pinned ----------------------------------------------------------------------------------------- */

static bool pins(const outgoing_t *transfer, const zone_t *zone)
{
	return transfer->zone == zone && transfer->out != NULL && !transfer->is_cut;
}

/*! Does an older transfer pin the same version? */
static bool is_pinned_before(const outgoing_t *transfer)
{
	const snapshot_t *snapshot = transfer_out_snapshot(transfer->out);
	for (const outgoing_t *older = transfers.first; older != transfer; older = older->next) {
		if (pins(older, transfer->zone) && transfer_out_snapshot(older->out) == snapshot) {
			return true;
		}
	}
	return false;
}

/*! Transfers are as many as workers at most, so counting anew is cheap. */
static unsigned count_versions(const zone_t *zone, outgoing_t **ret_oldest)
{
	unsigned count = 0;
	*ret_oldest = NULL;
	for (outgoing_t *transfer = transfers.first; transfer != NULL; transfer = transfer->next) {
		if (!pins(transfer, zone)) {
			continue;
		}
		*ret_oldest = *ret_oldest == NULL ? transfer : *ret_oldest;
		count += !is_pinned_before(transfer);
	}
	return count;
}

/*! Cuts the transfers of the version that \a oldest has. */
static void cut_version(outgoing_t *oldest)
{
	const zone_t *zone = oldest->zone;
	const snapshot_t *snapshot = transfer_out_snapshot(oldest->out);
	for (outgoing_t *transfer = oldest; transfer != NULL; transfer = transfer->next) {
		if (pins(transfer, zone) && transfer_out_snapshot(transfer->out) == snapshot) {
			__atomic_store_n(&transfer->is_cut, true, __ATOMIC_RELAXED);
		}
	}
}

/*! A version more can be pinned only by a transfer that begins, so this is the place to look. */
static void list_add(outgoing_t *transfer)
{
	pthread_mutex_lock(&transfers.lock);
	outgoing_t **link = &transfers.first;
	while (*link != NULL) {
		link = &(*link)->next;
	}
	*link = transfer;

	outgoing_t *oldest;
	if (count_versions(transfer->zone, &oldest) > OUTGOING_VERSIONS_MAX) {
		cut_version(oldest);
	}
	pthread_mutex_unlock(&transfers.lock);
}

static void list_remove(const outgoing_t *transfer)
{
	pthread_mutex_lock(&transfers.lock);
	outgoing_t **link = &transfers.first;
	while (*link != transfer) {
		link = &(*link)->next;
	}
	*link = transfer->next;
	pthread_mutex_unlock(&transfers.lock);
}

/*! Of the version that the client will have. */
static uint32_t serial_sent(const outgoing_t *transfer)
{
	return transfer->out != NULL ? transfer_out_snapshot(transfer->out)->soa.serial
	                             : increment_out_serial(transfer->increment);
}

unsigned outgoing_progress(const zone_t *zone, outgoing_progress_t *ret, unsigned max)
{
	unsigned count = 0;
	pthread_mutex_lock(&transfers.lock);
	for (const outgoing_t *transfer = transfers.first; transfer != NULL && count < max; transfer = transfer->next) {
		if (transfer->zone != zone) {
			continue;
		}
		ret[count++] = (outgoing_progress_t) {
			.remote = transfer->remote,
			.operation = transfer->operation,
			.serial = serial_sent(transfer),
			.records = __atomic_load_n(&transfer->records, __ATOMIC_RELAXED),
			.octets = __atomic_load_n(&transfer->octets, __ATOMIC_RELAXED),
			.elapsed_ms = seconds_since(&transfer->began) * 1000,
		};
	}
	pthread_mutex_unlock(&transfers.lock);
	return count;
}

/* -- life ------------------------------------------------------------------------------------------------------------- */

static void outgoing_free(outgoing_t *transfer)
{
	transfer_out_free(transfer->out);
	increment_out_free(transfer->increment);
	zone_release(transfer->zone);
	knot_tsig_key_deinit(&transfer->key); /* Wipes the secret. */
	free(transfer);
}

static void count_ended(const outgoing_t *transfer)
{
	events_t *events = &transfer->zone->events;
	counters_octets(events, OCTETS_OUT, transfer->octets);
	if (!transfer->is_finished) {
		counters_event(events, EVENT_FAILED_OUT);
	} else {
		counters_event(events, transfer->operation[0] == 'I' ? EVENT_IXFR_OUT : EVENT_AXFR_OUT);
	}
}

/*! The worker's transfer is over. */
static void end_current(void)
{
	outgoing_t *transfer = current;
	current = NULL;
	list_remove(transfer);
	count_ended(transfer);
	outgoing_free(transfer);
}

/*! In place of the function by which knotd frees what belongs to the query: the last of it is qdata. */
static void free_of_query(void *what)
{
	const knot_mm_free_t mm_free = current->mm_free;
	if (what == current->qdata) {
		current->qdata->mm->free = mm_free;
		if (!current->is_over) {
			log_lost(current);
		}
		end_current();
	}
	if (mm_free != NULL) {
		mm_free(what);
	}
}

/*! Ends a transfer whose query was never freed: not by knotd as we know it, but a pin would cost too much to rely on that. */
static void drop_stale(knot_mm_t *mm)
{
	if (current == NULL) {
		return;
	}
	if (mm->free == free_of_query) {
		mm->free = current->mm_free;
	}
	end_current();
}

/*! Of the version as a whole, or, with a run (taken on success), of what leads to it. */
static bool outgoing_open(outgoing_t *transfer, snapshot_t *snapshot, history_run_t *run)
{
	if (run == NULL) {
		transfer->operation = "AXFR";
		transfer->out = transfer_out_new(snapshot);
		return transfer->out != NULL;
	}
	transfer->operation = "IXFR";
	transfer->increment = increment_out_new(transfer->name, transfer->zone->name_len, run);
	return transfer->increment != NULL;
}

static bool copy_key(outgoing_t *transfer, const knotd_qdata_t *qdata)
{
	return qdata->sign.tsig_key.name == NULL ||
	       knot_tsig_key_copy(&transfer->key, &qdata->sign.tsig_key) == KNOT_EOK;
}

static outgoing_t *outgoing_new(zone_t *zone, snapshot_t *snapshot, history_run_t *run, knotd_qdata_t *qdata)
{
	outgoing_t *transfer = calloc(1, sizeof(*transfer) + zone->name_len);
	if (transfer == NULL) {
		return NULL;
	}
	transfer->zone = zone_hold(zone);
	memcpy(transfer->name, zone->name, zone->name_len);
	if (!copy_key(transfer, qdata) || !outgoing_open(transfer, snapshot, run)) {
		outgoing_free(transfer);
		return NULL;
	}
	transfer->remote = *knotd_qdata_remote_addr(qdata);
	clock_gettime(CLOCK_MONOTONIC, &transfer->began);
	return transfer;
}

/*! Makes it the worker's, and that of the query. */
static void attach(outgoing_t *transfer, knotd_qdata_t *qdata)
{
	assert(current == NULL);
	transfer->qdata = qdata;
	transfer->mm_free = qdata->mm->free;
	qdata->mm->free = free_of_query;
	qdata->name = transfer->name;
	if (transfer->key.name != NULL) {
		qdata->sign.tsig_key = transfer->key;
	}
	current = transfer;
	list_add(transfer);
}

/* -- messages --------------------------------------------------------------------------------------------------------- */

static knotd_state_t message_end(const message_t *msg, knot_pkt_t *pkt)
{
	knot_wire_set_aa(pkt->wire);
	knot_wire_set_ancount(pkt->wire, msg->count[SECTION_ANSWER]);
	pkt->size = msg->size;
	return KNOTD_STATE_DONE;
}

/*! Ends the transfer with an error message. */
static knotd_state_t abandon(const instance_t *instance, outgoing_t *transfer, const char *why)
{
	transfer->has_more = false;
	transfer->is_over = true;
	remote_log(instance, transfer->name, transfer->qdata, &quota_transfer, LOG_WARNING, transfer->operation, "outgoing", "failed (%s)", why);
	return packet_fail(transfer->qdata, KNOT_RCODE_SERVFAIL, KNOT_EDNS_EDE_NONE);
}

static knotd_state_t fill(const instance_t *instance, outgoing_t *transfer, knot_pkt_t *pkt)
{
	if (!packet_reserve_tsig(pkt, transfer->qdata)) {
		return abandon(instance, transfer, "no room for a signature");
	}
	message_t msg = packet_message(pkt);
	switch (transfer->out != NULL ? transfer_out_fill(transfer->out, &msg)
	                              : increment_out_fill(transfer->increment, &msg)) {
	case TRANSFER_OUT_TOO_LARGE:
		return abandon(instance, transfer, "record too large for a message");
	case TRANSFER_OUT_MORE:
		transfer->has_more = true;
		break;
	case TRANSFER_OUT_COMPLETE:
		transfer->has_more = false;
		break;
	}
	transfer->has_message = true;
	transfer->messages++;
	__atomic_store_n(&transfer->octets, transfer->octets + msg.size + knot_rrset_size(&transfer->qdata->opt_rr), __ATOMIC_RELAXED);
	__atomic_store_n(&transfer->records, transfer->records + msg.count[SECTION_ANSWER], __ATOMIC_RELAXED);
	if (!transfer->has_more) {
		transfer->is_over = true;
		log_finished(instance, transfer);
	}
	return message_end(&msg, pkt);
}

static bool is_queued(const knotd_qdata_t *qdata)
{
	return qdata->params->proto == KNOTD_QUERY_PROTO_QUIC || qdata->params->xdp_msg != NULL;
}

static bool is_too_large(const knotd_qdata_t *qdata, uint64_t octets)
{
	return is_queued(qdata) && octets > OUTGOING_QUEUED_MAX;
}

static knotd_state_t refuse_large(const instance_t *instance, const zone_t *zone, knotd_qdata_t *qdata)
{
	remote_log(instance, zone->name, qdata, &quota_refused, LOG_NOTICE, operation_name(qdata), "outgoing",
	         "refused (too large for this transport)");
	return packet_fail(qdata, KNOT_RCODE_REFUSED, KNOT_EDNS_EDE_NOTSUP);
}

static knotd_state_t begin_full(const instance_t *instance, zone_t *zone, snapshot_t *snapshot, knot_pkt_t *pkt,
                                knotd_qdata_t *qdata)
{
	if (is_too_large(qdata, snapshot->octets)) {
		return refuse_large(instance, zone, qdata);
	}
	outgoing_t *transfer = outgoing_new(zone, snapshot, NULL, qdata);
	if (transfer == NULL) {
		return packet_fail(qdata, KNOT_RCODE_SERVFAIL, KNOT_EDNS_EDE_NONE);
	}
	attach(transfer, qdata);
	remote_log(instance, zone->name, qdata, &quota_transfer, LOG_INFO, transfer->operation, "outgoing", "started, serial %u",
	         snapshot->soa.serial);
	return fill(instance, transfer, pkt);
}

/*! \param run  Taken. */
static knotd_state_t begin_changes(const instance_t *instance, zone_t *zone, snapshot_t *snapshot, history_run_t *run,
                                   knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	const uint32_t from = run->item[0]->from;
	if (is_too_large(qdata, run->octets)) {
		history_run_clear(run);
		return refuse_large(instance, zone, qdata);
	}
	outgoing_t *transfer = outgoing_new(zone, snapshot, run, qdata);
	if (transfer == NULL) {
		history_run_clear(run);
		return packet_fail(qdata, KNOT_RCODE_SERVFAIL, KNOT_EDNS_EDE_NONE);
	}
	attach(transfer, qdata);
	remote_log(instance, zone->name, qdata, &quota_transfer, LOG_INFO, transfer->operation, "outgoing", "started, serial %u -> %u",
	         from, increment_out_serial(transfer->increment));
	return fill(instance, transfer, pkt);
}

static knotd_state_t answer_soa(const snapshot_t *snapshot, knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	rrset_t soa;
	if (!packet_reserve_tsig(pkt, qdata) ||
	    !rrset_find(snapshot->names.base, snapshot->apex_node, KNOT_RRTYPE_SOA, &soa)) {
		return packet_fail(qdata, KNOT_RCODE_SERVFAIL, KNOT_EDNS_EDE_NONE);
	}
	message_t msg = packet_message(pkt);
	const place_t apex = place_in_qname(&msg, snapshot->apex_len);
	if (section_put(&msg, SECTION_ANSWER, &apex, &soa, PUT_DATA, PUT_TTL_KEEP) != KNOT_EOK) {
		knot_wire_set_tc(pkt->wire);
	}
	return message_end(&msg, pkt);
}

/* -- queries ---------------------------------------------------------------------------------------------------------- */

static knotd_state_t begin_incremental(const instance_t *instance, zone_t *zone, snapshot_t *snapshot, knot_pkt_t *pkt,
                                       knotd_qdata_t *qdata)
{
	uint32_t theirs;
	if (!packet_serial(qdata->query, KNOT_AUTHORITY, &theirs)) {
		return packet_fail(qdata, KNOT_RCODE_FORMERR, KNOT_EDNS_EDE_NONE);
	}
	if (qdata->params->proto == KNOTD_QUERY_PROTO_UDP) {
		counters_event(&zone->events, EVENT_CURRENT_OUT);
		return answer_soa(snapshot, pkt, qdata);
	}
	if (theirs == snapshot->soa.serial || serial_newer(theirs, snapshot->soa.serial)) {
		remote_log(instance, zone->name, qdata, &quota_current, LOG_INFO, "IXFR", "outgoing", "zone is up-to-date, serial %u", theirs);
		counters_event(&zone->events, EVENT_CURRENT_OUT);
		return answer_soa(snapshot, pkt, qdata);
	}
	history_run_t run = { 0 };
	if (history_find(&zone->history, theirs, snapshot->soa.serial, history_worth(snapshot->octets), &run) == KNOT_EOK) {
		return begin_changes(instance, zone, snapshot, &run, pkt, qdata);
	}
	remote_log(instance, zone->name, qdata, &quota_transfer, LOG_INFO, "IXFR", "outgoing",
	         "incomplete history, serial %u, fallback to AXFR", theirs);
	return begin_full(instance, zone, snapshot, pkt, qdata);
}

/*!
 * Between messages the query is of no type that knotd would answer: where a reload takes us away and gives the zone contents of
 * knotd's own, knotd would begin a transfer inside ours, and the client take its first SOA for our last one.
 */
static void hide_query(outgoing_t *transfer)
{
	transfer->type = transfer->qdata->type;
	transfer->qdata->type = KNOTD_QUERY_TYPE_INVALID;
}

bool outgoing_is_current(const knotd_qdata_t *qdata)
{
	return current != NULL && qdata->name == current->name && qdata == current->qdata;
}

knotd_state_t outgoing_begin(const instance_t *instance, zone_t *zone, snapshot_t *snapshot, knot_pkt_t *pkt,
                             knotd_qdata_t *qdata)
{
	assert(rcu_read_ongoing());
	drop_stale(qdata->mm);
	if (qdata->type == KNOTD_QUERY_TYPE_IXFR) {
		return begin_incremental(instance, zone, snapshot, pkt, qdata);
	}
	return begin_full(instance, zone, snapshot, pkt, qdata);
}

knotd_state_t outgoing_continue(const instance_t *instance, knot_pkt_t *pkt, knotd_qdata_t *qdata)
{
	assert(outgoing_is_under_way(qdata));
	qdata->type = current->type;
	if (__atomic_load_n(&current->is_cut, __ATOMIC_RELAXED)) {
		return abandon(instance, current, "too slow, newer versions are transferred");
	}
	return fill(instance, current, pkt);
}

knotd_state_t outgoing_end_message(knotd_state_t state, const knotd_qdata_t *qdata)
{
	if (state != KNOTD_STATE_DONE || !outgoing_is_current(qdata)) {
		return state;
	}
	/* Without a message of ours, or with an error in it, another module or knotd itself has put an end to it. */
	const bool more = current->has_more && current->has_message && qdata->rcode == KNOT_RCODE_NOERROR;
	current->has_message = false;
	current->has_more = more;
	if (!more) {
		return state;
	}
	hide_query(current);
	return STATE_PRODUCE;
}
