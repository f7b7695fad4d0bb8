/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Telling others that a zone has a new version.
 */
#include "secondary/notify_out.h"

#include <assert.h>
#include <libknot/codes.h>
#include <libknot/consts.h>
#include <libknot/descriptor.h>
#include <libknot/error.h>
#include <libknot/lookup.h>
#include <libknot/packet/wire.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/address.h"
#include "secondary/exchange.h"
#include "secondary/report.h"
#include "secondary/wire.h"

/*! Somewhat longer than EXCHANGE_UDP_PAUSES_MS take. */
#define SEND_TIMEOUT_MS   8000
/*! Notices that fail without being tried, per turn of the loop. */
#define FAILURES_A_TURN   256
/*! Octets of the longest SOA RDATA: two names and five numbers. */
#define SOA_MAX           (2 * WIRE_NAME_MAX + 20)
/*! Octets of the longest message: question and one record, whose owner is a pointer. */
#define MESSAGE_MAX       (KNOT_WIRE_HEADER_SIZE + WIRE_NAME_MAX + 4 + 12 + SOA_MAX)

struct notice {
	LIST_ENTRY(notice) sibling;  /*!< In the zone's list. */
	TAILQ_ENTRY(notice) entry;   /*!< While it rests. */
	notify_out_t *out;
	notify_zone_t *list;         /*!< That it is in. */
	zone_t *zone;                /*!< Borrowed. */
	stanza_t *stanza;            /*!< Held, for the target and its key. */
	const primary_t *target;
	turn_t turn;
	exchange_t *exchange;        /*!< While the turn runs. */
	uint32_t serial;             /*!< That was sent last. */
	uint16_t rcode;              /*!< Of the response. */
	unsigned failures;           /*!< With this version. */
	bool renewed;                /*!< There was news while the turn ran: to be told when it ends, */
	bool urgent;                 /*!< ahead of others. */
	bool resting;
	uint64_t due;                /*!< While it rests. */
};

static uint64_t now_ms(const notify_out_t *out)
{
	uv_update_time(out->loop);
	return uv_now(out->loop);
}

static notice_t *notice_of(turn_t *turn)
{
	return turn != NULL ? caa_container_of(turn, notice_t, turn) : NULL;
}

/*! \name The message */

/*! NOTIFY for the version \a snapshot, as knotd sends it: with AA, and our SOA for a hint (RFC 1996, section 3.7). */
static size_t write_message(const snapshot_t *snapshot, uint8_t dst[static MESSAGE_MAX])
{
	memset(dst, 0, KNOT_WIRE_HEADER_SIZE);
	knot_wire_set_opcode(dst, KNOT_OPCODE_NOTIFY);
	knot_wire_set_aa(dst);
	knot_wire_set_qdcount(dst, 1);
	knot_wire_set_ancount(dst, 1);

	uint8_t *pos = dst + KNOT_WIRE_HEADER_SIZE;
	memcpy(pos, snapshot->apex, snapshot->apex_len);
	pos += snapshot->apex_len;
	knot_wire_write_u16(pos, KNOT_RRTYPE_SOA);
	knot_wire_write_u16(pos + 2, KNOT_CLASS_IN);
	pos += 4;
	return pos + snapshot_write_soa(snapshot, pos) - dst;
}

/*! Writes what is to be said about \a zone now; 0: nothing, it has expired. */
static size_t write_current(const zone_t *zone, uint8_t dst[static MESSAGE_MAX], uint32_t *ret_serial)
{
	size_t len = 0;
	rcu_read_lock();
	const snapshot_t *snapshot = zone_borrow(zone);
	if (snapshot != NULL) {
		*ret_serial = snapshot->soa.serial;
		len = write_message(snapshot, dst);
	}
	rcu_read_unlock();
	return len;
}

/*! \name Resting */

static void on_again(uv_timer_t *timer);

/*! Sets the timer to the notice that has rested first. */
static void rest_arm(notify_out_t *out)
{
	const notice_t *next = NULL;
	for (unsigned i = 0; i < NOTIFY_OUT_RETRIES; i++) {
		const notice_t *notice = TAILQ_FIRST(&out->resting[i]);
		if (notice != NULL && (next == NULL || notice->due < next->due)) {
			next = notice;
		}
	}
	if (next == NULL) {
		uv_timer_stop(&out->again);
		return;
	}
	uint64_t now = now_ms(out);
	uv_timer_start(&out->again, on_again, next->due > now ? next->due - now : 0, 0);
}

static void rest_begin(notice_t *notice)
{
	notify_out_t *out = notice->out;
	unsigned i = notice->failures - 1;
	notice->resting = true;
	notice->due = now_ms(out) + out->pause_ms[i];
	TAILQ_INSERT_TAIL(&out->resting[i], notice, entry);
	rest_arm(out);
}

static void rest_end(notice_t *notice)
{
	if (notice->resting) {
		notice->resting = false;
		TAILQ_REMOVE(&notice->out->resting[notice->failures - 1], notice, entry);
	}
}

/*! \name One notice */

static notice_t *notice_new(notify_out_t *out, notify_zone_t *list, zone_t *zone, const stanza_t *stanza, const primary_t *target)
{
	notice_t *notice = calloc(1, sizeof(*notice));
	if (notice == NULL) {
		return NULL;
	}
	notice->out = out;
	notice->list = list;
	notice->zone = zone;
	notice->stanza = stanza_hold((stanza_t *)stanza);
	notice->target = target;
	return notice;
}

static void notice_free(notice_t *notice)
{
	if (notice->turn.state == TURN_RUNNING) {
		exchange_cancel(notice->exchange);
	}
	turns_cancel(&notice->out->turns, &notice->turn);
	rest_end(notice);
	LIST_REMOVE(notice, sibling);
	stanza_release(notice->stanza);
	free(notice);
}

static void notice_ask(notice_t *notice, bool urgent)
{
	notify_out_t *out = notice->out;
	turns_ask(&out->turns, &notice->turn, &notice->target->addr, 0, urgent, now_ms(out));
}

__attribute__((format(printf, 3, 4)))
static void notice_report(const notice_t *notice, int priority, const char *fmt, ...)
{
	char text[160], remote[ADDRESS_TEXT_MAX];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	report(notice->zone, priority, "notify, outgoing, remote %s, %s%s", address_text(&notice->target->addr, remote),
	       notice->failures > 0 ? "retry, " : "", text);
}

/*! Says so when none of the zone's notices is on its way. */
static void list_settle(notify_out_t *out, notify_zone_t *list)
{
	const notice_t *notice;
	LIST_FOREACH(notice, &list->notices, sibling) {
		if (!notice->resting) {
			return;
		}
	}
	if (out->told == NULL) {
		return;
	}
	const knot_lookup_t *rcode = list->rcode != KNOT_RCODE_NOERROR ? knot_lookup_by_id(knot_rcode_names, list->rcode) : NULL;
	out->told(list, list->error != KNOT_EOK ? knot_strerror(list->error) : rcode != NULL ? rcode->name : "");
}

/*! A target that is dead for long is in the log twice: when that is found, and when it is given up. */
static void notice_failed(notice_t *notice, int error)
{
	counters_event(&notice->zone->events, EVENT_NOTIFY_OUT_FAILED);
	notice->list->error = error;
	if (notice->failures == NOTIFY_OUT_RETRIES) {
		notice_report(notice, LOG_WARNING, "failed (%s), given up", knot_strerror(error));
		notice_free(notice);
		return;
	}
	if (notice->failures == 0) {
		notice_report(notice, LOG_WARNING, "failed (%s)", knot_strerror(error));
	}
	notice->failures++;
	rest_begin(notice);
}

/*! The target has heard it, and what there was to hear meanwhile comes next; what it thinks of it is its own affair. */
static void notice_heard(notice_t *notice, bool renewed, bool urgent)
{
	const knot_lookup_t *rcode = knot_lookup_by_id(knot_rcode_names, notice->rcode);
	counters_event(&notice->zone->events, notice->rcode == KNOT_RCODE_NOERROR ? EVENT_NOTIFY_OUT : EVENT_NOTIFY_OUT_FAILED);
	if (notice->rcode == KNOT_RCODE_NOERROR) {
		notice_report(notice, LOG_INFO, "serial %u", notice->serial);
	} else if (rcode != NULL) {
		notice_report(notice, LOG_WARNING, "server responded with error '%s'", rcode->name);
	} else {
		notice_report(notice, LOG_WARNING, "server responded with error %u", notice->rcode);
	}
	notice->list->rcode = notice->rcode != KNOT_RCODE_NOERROR ? notice->rcode : notice->list->rcode;
	if (!renewed) {
		notice_free(notice);
		return;
	}
	notice->failures = 0;
	notice_ask(notice, urgent);
}

/*! \name Sending */

static void start(notify_out_t *out);

static exchange_next_t on_message(void *ctx, const uint8_t *msg, size_t len)
{
	(void)len;
	notice_t *notice = ctx;
	turns_answered(&notice->out->turns, &notice->turn, now_ms(notice->out));
	notice->rcode = knot_wire_get_rcode(msg);
	return EXCHANGE_ENOUGH;
}

static void on_done(void *ctx, int ret)
{
	notice_t *notice = ctx;
	notify_out_t *out = notice->out;
	notify_zone_t *list = notice->list;
	const bool renewed = notice->renewed, urgent = notice->urgent;
	notice->exchange = NULL;
	notice->renewed = notice->urgent = false;
	turns_end(&out->turns, &notice->turn, ret, now_ms(out));
	if (ret == KNOT_EOK) {
		notice_heard(notice, renewed, urgent);
	} else {
		if (renewed && notice->failures == NOTIFY_OUT_RETRIES) {
			notice->failures = 0; /* The version that was tried so often is given up, not the newer one. */
		}
		notice_failed(notice, ret);
	}
	list_settle(out, list);
	start(out);
}

/*! Sends what serves now. Returns KNOT_ENOENT when nothing does. */
static int notice_send(notice_t *notice)
{
	static const exchange_callbacks_t callbacks = { on_message, on_done };
	uint8_t message[MESSAGE_MAX];
	size_t len = write_current(notice->zone, message, &notice->serial);
	if (len == 0) {
		return KNOT_ENOENT;
	}
	const primary_t *target = notice->target;
	const exchange_params_t params = {
		.remote = target->addr,
		.via = target->via,
		.query = message,
		.query_len = len,
		.key = target->key.name != NULL ? &target->key : NULL,
		.timeout_ms = SEND_TIMEOUT_MS,
	};
	return exchange_start(notice->out->loop, &params, &callbacks, notice, &notice->exchange);
}

/*! Sends a notice whose turn it is. */
static void notice_begin(notice_t *notice)
{
	int ret = notice_send(notice);
	if (ret == KNOT_ENOENT) {
		notify_out_t *out = notice->out;
		notify_zone_t *list = notice->list;
		turns_end(&out->turns, &notice->turn, KNOT_EOK, 0);
		notice_free(notice);
		list_settle(out, list);
	} else if (ret != KNOT_EOK) {
		turns_fail(&notice->out->turns, &notice->turn, ret);
	}
}

static void on_fail(uv_idle_t *idle)
{
	notify_out_t *out = idle->data;
	for (unsigned i = 0; i < FAILURES_A_TURN; i++) {
		notice_t *notice = notice_of(turns_next_failed(&out->turns));
		if (notice == NULL) {
			uv_idle_stop(idle);
			break;
		}
		notify_zone_t *list = notice->list;
		notice_failed(notice, notice->turn.error);
		list_settle(out, list);
	}
	start(out);
}

/*! Sends what may be sent. */
static void start(notify_out_t *out)
{
	if (out->stopping) {
		return;
	}
	notice_t *notice;
	while ((notice = notice_of(turns_next(&out->turns, now_ms(out)))) != NULL) {
		notice_begin(notice);
	}
	if (turns_has_failed(&out->turns)) {
		uv_idle_start(&out->fail, on_fail);
	}
}

static void on_again(uv_timer_t *timer)
{
	notify_out_t *out = timer->data;
	uint64_t now = now_ms(out);
	for (unsigned i = 0; i < NOTIFY_OUT_RETRIES; i++) {
		notice_t *notice;
		while ((notice = TAILQ_FIRST(&out->resting[i])) != NULL && notice->due <= now) {
			rest_end(notice);
			notice_ask(notice, false);
		}
	}
	rest_arm(out);
	start(out);
}

/*!
 * There is news again: a notice that waits will tell it, one that is under way tells it next, one that rests has rested. What is
 * under way is not cut off: or it would never end where news come all the time, nor would the only place of a silent target.
 */
static void notice_renew(notice_t *notice, bool urgent)
{
	if (notice->turn.state == TURN_RUNNING) {
		notice->renewed = true;
		notice->urgent = notice->urgent || urgent;
		return;
	}
	rest_end(notice);
	notice->failures = 0;
	if (notice->turn.state != TURN_NONE && !urgent) {
		return; /* Its place in the queue is kept, for the same reason. */
	}
	turns_cancel(&notice->out->turns, &notice->turn);
	notice_ask(notice, urgent);
}

/*! \name From outside */

void notify_out_init(notify_out_t *out, uv_loop_t *loop, const uint32_t pause_ms[static NOTIFY_OUT_RETRIES])
{
	static const turns_limit_t limits[TURNS_KINDS] = { { NOTIFY_OUT_MAX, NOTIFY_OUT_REMOTE_MAX } };
	static const uint64_t none[TURNS_PAUSES] = { 0 }; /* Each notice rests by itself. */
	turns_init(&out->turns, none, limits);
	out->loop = loop;
	out->stopping = false;
	out->told = NULL;
	memcpy(out->pause_ms, pause_ms, sizeof(out->pause_ms));
	for (unsigned i = 0; i < NOTIFY_OUT_RETRIES; i++) {
		TAILQ_INIT(&out->resting[i]);
	}
	uv_idle_init(loop, &out->fail);
	uv_timer_init(loop, &out->again);
	out->fail.data = out;
	out->again.data = out;
}

void notify_out_start(notify_out_t *out)
{
	start(out);
}

void notify_out_stop(notify_out_t *out)
{
	out->stopping = true;
	uv_close((uv_handle_t *)&out->fail, NULL);
	uv_close((uv_handle_t *)&out->again, NULL);
}

void notify_out_clear(notify_out_t *out)
{
	turns_clear(&out->turns);
}

static notice_t *list_find(const notify_zone_t *list, const primary_t *target)
{
	notice_t *notice;
	LIST_FOREACH(notice, &list->notices, sibling) {
		if (primary_equal(notice->target, target)) {
			break;
		}
	}
	return notice;
}

void notify_out_send(notify_out_t *out, notify_zone_t *list, zone_t *zone, const stanza_t *stanza, bool urgent)
{
	notify_out_set_stanza(list, stanza);
	list->error = KNOT_EOK;
	list->rcode = KNOT_RCODE_NOERROR;
	for (unsigned i = 0; i < stanza->target_count; i++) {
		const primary_t *target = &stanza->target[i];
		notice_t *notice = list_find(list, target);
		if (notice != NULL) {
			notice_renew(notice, urgent);
			continue;
		}
		notice = notice_new(out, list, zone, stanza, target);
		if (notice == NULL) {
			report(zone, LOG_ERR, "notify, outgoing, failed (%s)", knot_strerror(KNOT_ENOMEM));
			break;
		}
		LIST_INSERT_HEAD(&list->notices, notice, sibling);
		notice_ask(notice, urgent);
	}
	rest_arm(out);
	start(out);
	list_settle(out, list);
}

static bool has_target(const stanza_t *stanza, const primary_t *target)
{
	for (unsigned i = 0; i < stanza->target_count; i++) {
		if (primary_equal(&stanza->target[i], target)) {
			return true;
		}
	}
	return false;
}

void notify_out_set_stanza(notify_zone_t *list, const stanza_t *stanza)
{
	notify_out_t *out = NULL;
	notice_t *notice = LIST_FIRST(&list->notices);
	while (notice != NULL) {
		notice_t *next = LIST_NEXT(notice, sibling);
		if (!has_target(stanza, notice->target)) {
			out = notice->out;
			notice_free(notice);
		}
		notice = next;
	}
	if (out != NULL) {
		list_settle(out, list);
	}
}

void notify_out_cancel(notify_zone_t *list)
{
	notice_t *notice;
	while ((notice = LIST_FIRST(&list->notices)) != NULL) {
		notice_free(notice);
	}
}
