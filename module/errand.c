/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What the refresh machine has asked of a primary.
 */
#include "secondary/errand.h"

#include <assert.h>
#include <libknot/codes.h>
#include <libknot/errcode.h>
#include <libknot/error.h>
#include <libknot/packet/wire.h>
#include <stdio.h>
#include <stdlib.h>
#include <urcu/compiler.h>

#include "secondary/address.h"
#include "secondary/completion.h"
#include "secondary/report.h"

/*! A probe by datagrams at most: somewhat longer than EXCHANGE_UDP_PAUSES_MS take. */
#define PROBE_UDP_TIMEOUT_MS 8000
/*! A probe over TCP: connecting, and each further step. With the datagrams before it, a dead primary costs its zone 12 s. */
#define PROBE_TCP_TIMEOUT_MS 5000
/*! Errands that fail without being tried, per turn of the loop: so many zones wait for one turn (about a millisecond). */
#define FAILURES_A_TURN      256
/*! Octets of zones that are checked in a turn of the loop: others wait for that as long (about a millisecond). */
#define CHECK_A_TURN         (256u << 10)
/*! Octets of a reason with the last 0: a log line of knotd holds little more. */
#define REASON_MAX           384

struct errand_work {
	errand_t *errand;        /*!< Whose it is. */
	bool tcp;
	enum { EDNS_SENT, EDNS_REFUSED, EDNS_LEFT_OUT } edns;
	exchange_t *exchange;
	int read;                /*!< Probe: what soa_probe_read() returned. */
	soa_probe_t probe;
	transfer_in_t *transfer;
	transfer_status_t status;
	bool asks_increment;     /*!< IXFR, */
	bool wants_whole;        /*!< which failed: AXFR now. */
	bool is_started;         /*!< The log says what comes. */
	completion_t *completion; /*!< Transfer: the version is being made, beside the loop. */
	snapshot_t *snapshot;    /*!< The version, while it is checked. Own. */
	snapshot_t *base;        /*!< Of an increment: what it is made on top of. Pinned. */
	history_run_t run;       /*!< And the differences that lead to it. Own. */
	zonemd_t *zonemd;        /*!< The check. */
	TAILQ_ENTRY(errand_work) check;
};

uint64_t errands_now(const errands_t *errands)
{
	uv_update_time(errands->loop);
	return uv_now(errands->loop);
}

static errand_t *errand_of(turn_t *turn)
{
	return turn != NULL ? caa_container_of(turn, errand_t, turn) : NULL;
}

/*! Gives up the version that a transfer has brought. */
static void version_discard(errand_work_t *work)
{
	snapshot_discard(work->snapshot);
	snapshot_unpin(work->base);
	history_run_clear(&work->run);
	work->snapshot = NULL;
	work->base = NULL;
}

/*! What a transfer has brought, if anything. Own. */
static snapshot_t *version_take(errand_work_t *work)
{
	snapshot_t *snapshot = work->snapshot;
	work->snapshot = NULL;
	return snapshot;
}

static errand_work_t *work_new(errand_t *errand)
{
	errand_work_t *work = calloc(1, sizeof(*work));
	if (work != NULL) {
		work->errand = errand;
	}
	return work;
}

static void work_free(errand_work_t *work)
{
	if (work == NULL) {
		return;
	}
	zonemd_free(work->zonemd);
	version_discard(work);
	transfer_in_free(work->transfer);
	free(work);
}

/*! Gives back what an errand holds, its turn excepted. */
static void errand_clear(errand_t *errand)
{
	work_free(errand->work);
	stanza_release(errand->stanza);
	*errand = (errand_t) { .turn = errand->turn };
}

/*! Counts what a primary did wrong. \param ret  KNOT_EOK: what it said is to blame, and that counts as \a said. */
static void count_failure(const refresh_t *refresh, int ret, event_t said)
{
	event_t what = EVENT_NETWORK;
	switch (ret) {
	case KNOT_EOK:
		what = said;
		break;
	case KNOT_EMALF:
		what = EVENT_RESPONSE;
		break;
	case KNOT_ETIMEOUT:
		what = EVENT_TIMEOUT;
		break;
	case KNOT_ENOTSIG:
	case KNOT_TSIG_EBADSIG:
	case KNOT_TSIG_EBADKEY:
	case KNOT_TSIG_EBADTIME:
	case KNOT_TSIG_EBADTRUNC:
		what = EVENT_SIGNATURE;
		break;
	}
	counters_event(&refresh_zone(refresh)->events, what);
}

/*! Tells the machine that nothing came of its question. */
static void deliver_failure(refresh_t *refresh, errand_kind_t kind, const char *reason)
{
	switch (kind) {
	case ERRAND_PROBE:
		refresh_probed(refresh, PRIMARY_FAILED, 0, EXPIRE_NONE, reason);
		break;
	case ERRAND_TRANSFER:
		refresh_transferred(refresh, NULL, NULL, EXPIRE_NONE, reason);
		break;
	}
}

/*! \name Beginning */

static exchange_next_t on_probe_message(void *ctx, const uint8_t *msg, size_t len);
static exchange_next_t on_transfer_message(void *ctx, const uint8_t *msg, size_t len);
static void on_probe_done(void *ctx, int ret);
static void on_transfer_done(void *ctx, int ret);

/*! Is the question to have EDNS? */
static bool has_edns(const errand_t *errand)
{
	return errand->work->edns == EDNS_SENT && !errand->primary->no_edns;
}

static int exchange_begin(errand_t *errand, exchange_params_t *params, const exchange_callbacks_t *callbacks)
{
	params->remote = errand->primary->addr;
	params->via = errand->primary->via;
	params->key = errand->primary->key.name != NULL ? &errand->primary->key : NULL;
	return exchange_start(errand->errands->loop, params, callbacks, errand, &errand->work->exchange);
}

static int probe_begin(errand_t *errand)
{
	errand_work_t *work = errand->work;
	static const exchange_callbacks_t callbacks = { on_probe_message, on_probe_done };
	const zone_t *zone = refresh_zone(errand->refresh);
	uint8_t query[SOA_PROBE_QUERY_MAX];
	exchange_params_t params = {
		.tcp = work->tcp,
		.query = query,
		.query_len = soa_probe_query(zone->name, zone->name_len, has_edns(errand), query),
		.timeout_ms = work->tcp ? 2 * PROBE_TCP_TIMEOUT_MS : PROBE_UDP_TIMEOUT_MS,
		.idle_timeout_ms = PROBE_TCP_TIMEOUT_MS,
	};
	return exchange_begin(errand, &params, &callbacks);
}

static int transfer_begin(errand_t *errand)
{
	errand_work_t *work = errand->work;
	static const exchange_callbacks_t callbacks = { on_transfer_message, on_transfer_done };
	const zone_t *zone = refresh_zone(errand->refresh);
	refresh_status_t status;
	refresh_status(errand->refresh, &status);
	builder_limits_t limits = { .max_octets = errand->stanza->zone_max_size, .size_hint = status.memory };
	const snapshot_t *base = work->wants_whole ? NULL : refresh_base(errand->refresh);
	work->asks_increment = base != NULL;
	work->transfer = transfer_in_new(zone->name, &limits, base);
	if (work->transfer == NULL) {
		return KNOT_ENOMEM;
	}

	uint8_t query[TRANSFER_QUERY_MAX];
	exchange_params_t params = {
		.tcp = true,
		.query = query,
		.query_len = transfer_in_query(zone->name, base, has_edns(errand), query),
		.timeout_ms = errand->stanza->transfer_timeout_ms,
		.idle_timeout_ms = errand->stanza->transfer_idle_timeout_ms,
	};
	return exchange_begin(errand, &params, &callbacks);
}

static int errand_begin(errand_t *errand)
{
	errand->work = work_new(errand);
	if (errand->work == NULL) {
		return KNOT_ENOMEM;
	}
	return errand->turn.kind == ERRAND_PROBE ? probe_begin(errand) : transfer_begin(errand);
}

/*! \name Those that fail without being tried */

static void deliver_untried(refresh_t *refresh, const turn_t *turn)
{
	const char *reason = knot_strerror(turn->error);
	if (turn->again_at > 0) {
		refresh_left_alone(refresh, turn->again_at, reason);
	} else {
		count_failure(refresh, turn->error, EVENT_RESPONSE);
		deliver_failure(refresh, turn->kind, reason);
	}
}

static void on_fail(uv_idle_t *idle)
{
	errands_t *errands = idle->data;
	for (unsigned i = 0; i < FAILURES_A_TURN; i++) {
		errand_t *errand = errand_of(turns_next_failed(&errands->turns));
		if (errand == NULL) {
			uv_idle_stop(idle);
			break;
		}
		refresh_t *refresh = errand->refresh;
		turn_t turn = errand->turn;
		errand_clear(errand);
		deliver_untried(refresh, &turn);
	}
	errands_start(errands);
}

void errands_start(errands_t *errands)
{
	if (errands->stopping) {
		return;
	}
	errand_t *errand;
	while ((errand = errand_of(turns_next(&errands->turns, errands_now(errands)))) != NULL) {
		int ret = errand_begin(errand);
		if (ret != KNOT_EOK) {
			turns_fail(&errands->turns, &errand->turn, ret);
		}
	}
	if (turns_has_failed(&errands->turns)) {
		uv_idle_start(&errands->fail, on_fail);
	}
}

/*! \name Without EDNS */

/*! Notes that the first message of an answer says that the remote does not understand a question with OPT. */
static void note_edns(errand_t *errand, const uint8_t *msg)
{
	if (knot_wire_get_rcode(msg) == KNOT_RCODE_FORMERR && has_edns(errand)) {
		errand->work->edns = EDNS_REFUSED;
	}
}

/*! Is the question to be asked again, without? Once, and not when the answer was not verified. */
static bool leave_edns_out(errand_t *errand, int ret)
{
	errand_work_t *work = errand->work;
	if (work->edns != EDNS_REFUSED || ret != KNOT_EOK) {
		return false;
	}
	work->edns = EDNS_LEFT_OUT;
	return true;
}

/*! \name Probes */

static exchange_next_t on_probe_message(void *ctx, const uint8_t *msg, size_t len)
{
	errand_t *errand = ctx;
	errand_work_t *work = errand->work;
	turns_answered(&errand->errands->turns, &errand->turn, errands_now(errand->errands));
	const zone_t *zone = refresh_zone(errand->refresh);
	work->read = soa_probe_read(msg, len, zone->name, zone->name_len, &work->probe);
	note_edns(errand, msg);
	return EXCHANGE_ENOUGH;
}

/*! Asks again without EDNS, or over TCP when a datagram was not enough. Returns false when that is of no use, or impossible. */
static bool probe_again(errand_t *errand, int *ret)
{
	errand_work_t *work = errand->work;
	bool is_enough = *ret == KNOT_EOK && (work->read != KNOT_EOK || !work->probe.is_truncated);
	if (!leave_edns_out(errand, *ret)) {
		if (work->tcp || is_enough) {
			return false;
		}
		work->tcp = true;
	}
	int started = probe_begin(errand);
	if (started != KNOT_EOK) {
		*ret = started;
	}
	return started == KNOT_EOK;
}

/*! \param ret  Of the exchange. \param read  Of soa_probe_read(). */
static void deliver_probe(refresh_t *refresh, int ret, int read, const soa_probe_t *probe)
{
	if (ret != KNOT_EOK || read != KNOT_EOK || probe->is_truncated) {
		count_failure(refresh, ret, EVENT_RESPONSE);
	}
	if (ret != KNOT_EOK) {
		deliver_failure(refresh, ERRAND_PROBE, knot_strerror(ret));
	} else if (read != KNOT_EOK) {
		deliver_failure(refresh, ERRAND_PROBE, probe->reason);
	} else if (probe->is_truncated) {
		deliver_failure(refresh, ERRAND_PROBE, knot_strerror(KNOT_EMALF)); /* TC over TCP. */
	} else {
		refresh_probed(refresh, refresh_judge(refresh, probe->serial), probe->serial, probe->expire, NULL);
	}
}

static void on_probe_done(void *ctx, int ret)
{
	errand_t *errand = ctx;
	errand_work_t *work = errand->work;
	errands_t *errands = errand->errands;
	work->exchange = NULL;
	if (!probe_again(errand, &ret)) {
		refresh_t *refresh = errand->refresh;
		soa_probe_t probe = work->probe;
		int read = work->read;
		turns_end(&errands->turns, &errand->turn, ret, errands_now(errands));
		errand_clear(errand);
		deliver_probe(refresh, ret, read, &probe);
	}
	errands_start(errands);
}

/*! \name Transfers */

static const char *transfer_word(const errand_t *errand)
{
	return transfer_in_kind(errand->work->transfer) == TRANSFER_INCREMENT ? "IXFR" : "AXFR";
}

/*! One line, as soon as it shows what comes. */
static void report_started(errand_t *errand)
{
	errand_work_t *work = errand->work;
	transfer_kind_t kind = transfer_in_kind(work->transfer);
	if (work->is_started || kind == TRANSFER_UNKNOWN || work->status == TRANSFER_FAILED) {
		return;
	}
	work->is_started = true;
	const zone_t *zone = refresh_zone(errand->refresh);
	char remote[ADDRESS_TEXT_MAX];
	address_text(&errand->primary->addr, remote);
	if (work->asks_increment && kind == TRANSFER_FULL) {
		report(zone, LOG_INFO, "IXFR, incoming, remote %s, receiving AXFR-style IXFR", remote);
	}
	report(zone, LOG_INFO, "%s, incoming, remote %s, started", transfer_word(errand), remote);
}

static void report_finished(const errand_t *errand)
{
	transfer_counts_t counts = transfer_in_counts(errand->work->transfer);
	char remote[ADDRESS_TEXT_MAX];
	report(refresh_zone(errand->refresh), LOG_INFO,
	       "%s, incoming, remote %s, finished, %.2f seconds, %llu messages, %llu bytes", transfer_word(errand),
	       address_text(&errand->primary->addr, remote),
	       (errands_now(errand->errands) - errand->turn.began) / 1000.0,
	       (unsigned long long)counts.messages, (unsigned long long)counts.octets);
}

static exchange_next_t on_transfer_message(void *ctx, const uint8_t *msg, size_t len)
{
	errand_t *errand = ctx;
	errand_work_t *work = errand->work;
	bool is_first = work->status == TRANSFER_MORE && transfer_in_counts(work->transfer).messages == 0;
	turns_answered(&errand->errands->turns, &errand->turn, errands_now(errand->errands));
	work->status = transfer_in_message(work->transfer, msg, len);
	report_started(errand);
	if (is_first) {
		note_edns(errand, msg);
		errands_start(errand->errands); /* Others need not wait for the end of this transfer. */
	}
	return work->status == TRANSFER_MORE ? EXCHANGE_MORE : EXCHANGE_ENOUGH;
}

/*! What came of a transfer, whose exchange and version ended with \a ret. False: nothing, for a reason. */
static bool transfer_result(const errand_t *errand, int ret, char reason[static REASON_MAX])
{
	const errand_work_t *work = errand->work;
	if (ret == KNOT_EOK && work->status == TRANSFER_UNCHANGED) {
		return true;
	}
	if (work->snapshot != NULL) {
		report_finished(errand);
		return true;
	}
	const char *error = transfer_in_error(work->transfer);
	snprintf(reason, REASON_MAX, "%s", error[0] != '\0' ? error : knot_strerror(ret));
	return false;
}

/*! Asks again, in another way. Returns false when that is impossible: then the answer to the first question stands. */
static bool transfer_again(errand_t *errand)
{
	errand_work_t *work = errand->work;
	transfer_in_t *before = work->transfer;
	if (transfer_begin(errand) != KNOT_EOK) {
		transfer_in_free(work->transfer);
		work->transfer = before;
		return false;
	}
	transfer_in_free(before);
	work->status = TRANSFER_MORE;
	work->is_started = false;
	return true;
}

static void count_transfer(const errand_t *errand, int ret)
{
	const errand_work_t *work = errand->work;
	events_t *events = &refresh_zone(errand->refresh)->events;
	const transfer_counts_t counts = transfer_in_counts(work->transfer);
	counters_octets(events, OCTETS_IN, counts.octets);
	if (work->snapshot != NULL) {
		bool is_increment = transfer_in_kind(work->transfer) == TRANSFER_INCREMENT;
		counters_event(events, is_increment ? EVENT_IXFR_IN : EVENT_AXFR_IN);
		return;
	}
	if (ret == KNOT_EOK && work->status == TRANSFER_UNCHANGED) {
		return;
	}
	counters_event(events, EVENT_FAILED_IN);
	count_failure(errand->refresh, work->status == TRANSFER_FAILED ? KNOT_EOK : ret,
	              counts.records > 0 ? EVENT_CONTENT : EVENT_RESPONSE);
}

/*!
 * May the whole zone be had where the increment was not? Whatever is wrong with that one, as long as the primary is there: it
 * said something, or closed the connection without a word. One that is expired has nothing to give.
 */
static bool may_fall_back(const errand_t *errand, int ret)
{
	const errand_work_t *work = errand->work;
	bool is_there = transfer_in_counts(work->transfer).messages > 0 || ret == KNOT_ECONN || ret == KNOT_ECONNRESET;
	return work->asks_increment && is_there && transfer_in_expire(work->transfer) >= EXPIRE_MIN;
}

static bool fall_back(errand_t *errand, int ret, const char *reason)
{
	if (!may_fall_back(errand, ret)) {
		return false;
	}
	char remote[ADDRESS_TEXT_MAX];
	report(refresh_zone(errand->refresh), LOG_WARNING, "IXFR, incoming, remote %s, fallback to AXFR (%s)",
	       address_text(&errand->primary->addr, remote), reason);
	count_transfer(errand, ret);
	errand->work->wants_whole = true;
	return transfer_again(errand);
}

/*! \name Checking what was transferred */

static void transfer_deliver(errand_t *errand, int ret, const char *reason);

static void check_end(errand_t *errand, zonemd_result_t result)
{
	errand_work_t *work = errand->work;
	TAILQ_REMOVE(&errand->errands->checks, work, check);
	zonemd_free(work->zonemd);
	work->zonemd = NULL;
	const char *refusal = zonemd_refusal(errand->stanza->zonemd_verify, result);
	if (refusal != NULL) {
		version_discard(work);
		/* Perhaps it was our version that the increment did not fit. What came whole would come again. */
		if (transfer_in_kind(work->transfer) == TRANSFER_INCREMENT && fall_back(errand, KNOT_EOK, refusal)) {
			return;
		}
	} else if (result == ZONEMD_VERIFIED) {
		report(refresh_zone(errand->refresh), LOG_INFO, "ZONEMD, verified, serial %u", work->snapshot->soa.serial);
	}
	transfer_deliver(errand, KNOT_EOK, refusal);
}

/*! One step of the check that has waited longest. */
static void on_check(uv_idle_t *idle)
{
	errands_t *errands = idle->data;
	errand_work_t *work = TAILQ_FIRST(&errands->checks);
	if (work == NULL) {
		uv_idle_stop(idle);
		return;
	}
	zonemd_result_t result = zonemd_step(work->zonemd, CHECK_A_TURN);
	if (result != ZONEMD_MORE) {
		check_end(work->errand, result);
		return;
	}
	TAILQ_REMOVE(&errands->checks, work, check);
	TAILQ_INSERT_TAIL(&errands->checks, work, check);
}

/*! Has the version checked before it is delivered; false: there is nothing to check. The errand keeps its turn meanwhile. */
static bool check_begin(errand_t *errand)
{
	errand_work_t *work = errand->work;
	errands_t *errands = errand->errands;
	if (work->snapshot == NULL || errand->stanza->zonemd_verify == ZONEMD_OFF) {
		return false;
	}
	work->zonemd = zonemd_new(work->snapshot);
	TAILQ_INSERT_TAIL(&errands->checks, work, check);
	if (work->zonemd == NULL) {
		check_end(errand, ZONEMD_FAILED);
	} else {
		uv_idle_start(&errands->check, on_check);
	}
	return true;
}

/*! The end of a transfer: tells the machine of the version, or of the reason why there is none. */
static void transfer_deliver(errand_t *errand, int ret, const char *reason)
{
	errands_t *errands = errand->errands;
	refresh_t *refresh = errand->refresh;
	errand_work_t *work = errand->work;
	count_transfer(errand, ret);
	bool is_unchanged = ret == KNOT_EOK && work->status == TRANSFER_UNCHANGED;
	uint32_t expire = transfer_in_expire(work->transfer), serial = 0;
	transfer_in_serial(work->transfer, &serial);
	transfer_in_free(work->transfer);
	work->transfer = NULL;
	errand->work = NULL;
	turns_end(&errands->turns, &errand->turn, ret, errands_now(errands));
	errand_clear(errand);

	if (is_unchanged) {
		refresh_unchanged(refresh, serial, expire);
	} else {
		refresh_transferred(refresh, version_take(work), &work->run, expire, reason);
	}
	work_free(work);
	errands_start(errands);
}

/*! \param ret  Of the exchange. \param made  Of the version, if there is to be one; else as \a ret. */
static void transfer_end(errand_t *errand, int ret, int made)
{
	char reason[REASON_MAX] = "";
	if (!transfer_result(errand, made, reason) && fall_back(errand, ret, reason)) {
		return;
	}
	if (!check_begin(errand)) {
		transfer_deliver(errand, ret, reason);
	}
}

/*! \name Making the version of a transfer that is complete */

static void on_made(void *ctx, int ret, snapshot_t *snapshot, history_run_t run)
{
	errand_t *errand = ctx;
	errand_work_t *work = errand->work;
	work->completion = NULL;
	work->snapshot = snapshot;
	work->run = run;
	if (ret != KNOT_EOK) {
		version_discard(work);
	}
	transfer_end(errand, KNOT_EOK, ret);
}

/*! Is it made beside the loop? False: it is small, or there is no memory for that. */
static bool make_aside(errand_t *errand)
{
	errand_work_t *work = errand->work;
	if (transfer_in_counts(work->transfer).octets < COMPLETION_MIN) {
		return false;
	}
	work->completion = completion_start(errand->errands->loop, work->transfer, work->base, on_made, errand);
	return work->completion != NULL;
}

/*!
 * A draft may wait until it has been made and checked; meanwhile a compact copy may take the place of the version that it is made on
 * top of, so that one is pinned.
 */
static void version_make(errand_t *errand)
{
	errand_work_t *work = errand->work;
	if (transfer_in_kind(work->transfer) == TRANSFER_INCREMENT) {
		work->base = snapshot_pin(refresh_base(errand->refresh));
	}
	if (!make_aside(errand)) {
		snapshot_t *snapshot = NULL;
		history_run_t run = { 0 };
		int ret = transfer_in_finish(work->transfer, work->base, &snapshot, &run);
		on_made(errand, ret, snapshot, run);
	}
}

static void on_transfer_done(void *ctx, int ret)
{
	errand_t *errand = ctx;
	errand->work->exchange = NULL;
	if (leave_edns_out(errand, ret) && transfer_again(errand)) {
		return;
	}
	if (ret == KNOT_EOK && errand->work->status == TRANSFER_COMPLETE) {
		version_make(errand);
	} else {
		transfer_end(errand, ret, ret);
	}
}

/*! \name From outside */

void errands_init(errands_t *errands, uv_loop_t *loop, const uint64_t pause_ms[static TURNS_PAUSES],
                  const turns_limit_t limits[static TURNS_KINDS])
{
	turns_init(&errands->turns, pause_ms, limits);
	errands->loop = loop;
	errands->stopping = false;
	TAILQ_INIT(&errands->checks);
	uv_idle_init(loop, &errands->fail);
	uv_idle_init(loop, &errands->check);
	errands->fail.data = errands;
	errands->check.data = errands;
}

void errands_stop(errands_t *errands)
{
	errands->stopping = true;
	uv_close((uv_handle_t *)&errands->fail, NULL);
	uv_close((uv_handle_t *)&errands->check, NULL);
}

void errands_clear(errands_t *errands)
{
	turns_clear(&errands->turns);
}

void errand_ask(errands_t *errands, errand_t *errand, refresh_t *refresh, errand_kind_t kind, const primary_t *primary,
                bool urgent)
{
	assert(errand->turn.state == TURN_NONE);
	errand->errands = errands;
	errand->refresh = refresh;
	errand->stanza = stanza_hold((stanza_t *)refresh_stanza(refresh));
	errand->primary = primary;
	turns_ask(&errands->turns, &errand->turn, &primary->addr, kind, urgent, errands_now(errands));
}

bool errand_waits(const errand_t *errand)
{
	/* One that is failing would be tried if it were urgent. */
	return errand->turn.state == TURN_WAITING || errand->turn.state == TURN_FAILING;
}

errand_progress_t errand_progress(const errand_t *errand)
{
	const errand_work_t *work = errand->work;
	if (work == NULL || work->transfer == NULL) {
		return (errand_progress_t) { .is_running = false };
	}
	return (errand_progress_t) {
		.is_running = true,
		.operation = transfer_in_kind(work->transfer) == TRANSFER_UNKNOWN && work->asks_increment ? "IXFR" : transfer_word(errand),
		.remote = errand->primary->addr,
		.elapsed_ms = errands_now(errand->errands) - errand->turn.began,
		.counts = transfer_in_counts(work->transfer),
	};
}

void errand_cancel(errand_t *errand)
{
	errand_work_t *work = errand->work;
	if (errand->turn.state == TURN_NONE) {
		return;
	}
	if (work != NULL && work->zonemd != NULL) {
		TAILQ_REMOVE(&errand->errands->checks, work, check);
	} else if (work != NULL && work->completion != NULL) {
		completion_cancel(work->completion);
	} else if (errand->turn.state == TURN_RUNNING) {
		exchange_cancel(work->exchange);
	}
	turns_cancel(&errand->errands->turns, &errand->turn);
	errand_clear(errand);
}
