/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The line of zone-status.
 */
#include "secondary/control_status.h"

#include <inttypes.h>
#include <libknot/libknot.h>
#include <stdarg.h>
#include <stdio.h>

#include "control_request.h"
#include "duration.h"
#include "secondary/address.h"
#include "secondary/ahead.h"
#include "secondary/instance.h"
#include "secondary/outgoing.h"
#include "secondary/worker.h"

/* Letters of knotc's protocol: flags of a zone, and filters. */
#define FLAG_SECONDARY     "s"
#define FLAG_EMPTY         "se"
#define FILTER_ROLE        'r'
#define FILTER_SERIAL      's'
#define FILTER_TRANSACTION 't'
#define FILTER_FREEZE      'f'
#define FILTER_CATALOG     'c'
#define FILTER_EVENTS      'e'

/*! What knotc leaves out unless it was asked for everything (-e). */
#define NONE "-"

/*! Transfers out of one zone that are shown at most: there are no more than workers. */
#define OUTGOING_MAX 64

/*! \name The line */

/*! A line about one zone: its first item begins it, the others continue it. */
typedef struct {
	const control_request_t *request;
	const char *zone;
	const char *flags;
	bool is_begun;
	int ret;                  /*!< First failure: the client is gone. */
} line_t;

static void line_put(line_t *line, char filter, const char *type, const char *value)
{
	if (line->ret != KNOT_EOK || !control_is_wanted(line->request, filter)) {
		return;
	}
	const knot_ctl_data_t data = {
		[KNOT_CTL_IDX_FLAGS] = line->flags,
		[KNOT_CTL_IDX_ZONE] = line->zone,
		[KNOT_CTL_IDX_TYPE] = type,
		[KNOT_CTL_IDX_DATA] = value,
	};
	line->ret = control_stream_put(line->request->stream, line->is_begun ? KNOT_CTL_TYPE_EXTRA : KNOT_CTL_TYPE_DATA, &data);
	line->is_begun = true;
}

__attribute__((format(printf, 4, 5)))
static void line_print(line_t *line, char filter, const char *type, const char *fmt, ...)
{
	char value[192];
	va_list args;
	va_start(args, fmt);
	vsnprintf(value, sizeof(value), fmt, args);
	va_end(args);
	line_put(line, filter, type, value);
}

/*! \name What is shown */

/*! Taken on the worker, since what refresh_status() lends is valid there only. */
typedef struct {
	refresh_status_t status;
	struct sockaddr_storage primary[STANZA_PRIMARIES_MAX];
	primary_result_t result[STANZA_PRIMARIES_MAX];
	char reason[STANZA_PRIMARIES_MAX][REFRESH_REASON_MAX]; /*!< Of these. */
	errand_progress_t incoming;
	bool global;
} view_t;

static void visit_status(refresh_t *refresh, void *ctx)
{
	view_t *view = ctx;
	refresh_status(refresh, &view->status);
	for (unsigned i = 0; i < view->status.primary_count; i++) {
		view->primary[i] = view->status.primary[i].addr;
		view->result[i] = view->status.result[i];
		const char *reason = view->result[i].reason;
		snprintf(view->reason[i], REFRESH_REASON_MAX, "%s", reason != NULL ? reason : knot_strerror(KNOT_ENOMEM));
		view->result[i].reason = view->reason[i];
	}
	view->status.primary = NULL;
	view->status.result = NULL;
}

static void visit_scope(struct instance *instance, void *ctx)
{
	view_t *view = ctx;
	view->global = instance->global;
}

/*! \name Items */

/*! First what queries get, then what is being done about it. */
static const char *state_name(const refresh_status_t *status)
{
	if (status->expired) {
		return "expired";
	}
	if (!status->loaded) {
		return "never loaded";
	}
	switch (status->doing) {
	case REFRESH_PROBING:
		return "refreshing";
	case REFRESH_TRANSFERRING:
		return "transferring";
	case REFRESH_IDLE:
		break;
	}
	return status->retrying ? "retrying" : "fresh";
}

/*! How long before \a now (milliseconds) that was, as knotd prints it: "-3m2s". */
static const char *ago_text(int64_t at, int64_t now, char dst[static DURATION_TEXT_MAX])
{
	duration_text(now > at ? (now - at) / 1000 : 0, dst);
	dst[0] = '-';
	return dst;
}

static void put_time(line_t *line, const char *type, uint64_t at_ms, uint64_t now)
{
	char text[DURATION_TEXT_MAX];
	if (at_ms == REFRESH_NEVER) {
		line_put(line, FILTER_EVENTS, type, NONE);
	} else if (at_ms <= now) {
		line_put(line, FILTER_EVENTS, type, "pending");
	} else {
		line_put(line, FILTER_EVENTS, type, duration_text((at_ms - now + 500) / 1000, text));
	}
}

static void put_times(line_t *line, const refresh_status_t *status)
{
	if (status->doing != REFRESH_IDLE) {
		line_put(line, FILTER_EVENTS, "refresh", "running");
	} else {
		put_time(line, "refresh", status->next_check_ms, status->now_ms);
	}
	put_time(line, "retry", status->doing == REFRESH_IDLE && status->retrying ? status->next_check_ms : REFRESH_NEVER, status->now_ms);
	put_time(line, "expiration", status->expire_ms, status->now_ms);

	char text[DURATION_TEXT_MAX];
	line_put(line, FILTER_EVENTS, "last-success", status->success_ms != 0 ? ago_text(status->success_ms, status->now_ms, text) : NONE);
}

static void put_version(line_t *line, const refresh_status_t *status)
{
	if (!status->loaded) {
		return;
	}
	line_print(line, FILTER_EVENTS, "records", "%" PRIu64, status->records);
	line_print(line, FILTER_EVENTS, "octets", "%" PRIu64, status->octets);
	line_print(line, FILTER_EVENTS, "memory", "%" PRIu64, status->memory);
	if (status->differences > 0) {
		line_print(line, FILTER_EVENTS, "differences", "%u, %" PRIu64 " octets", status->differences, status->difference_octets);
	} else {
		line_put(line, FILTER_EVENTS, "differences", NONE);
	}
}

static void put_primary(line_t *line, const struct sockaddr_storage *addr, const primary_result_t *result, uint64_t now)
{
	char text[ADDRESS_TEXT_MAX], type[ADDRESS_TEXT_MAX + 8], ago[DURATION_TEXT_MAX];
	snprintf(type, sizeof(type), "primary %s", address_text(addr, text));
	if (result->at_ms == 0) {
		line_put(line, FILTER_EVENTS, type, "not asked");
	} else if (result->ok) {
		line_print(line, FILTER_EVENTS, type, "ok, serial %u, %s", result->serial, ago_text(result->at_ms, now, ago));
	} else {
		line_print(line, FILTER_EVENTS, type, "failed, %s, %s", result->reason, ago_text(result->at_ms, now, ago));
	}
}

/*! "AXFR, 120000 records, 4000000 octets, 8000000 octets/s" */
static void put_progress(line_t *line, const char *direction, const struct sockaddr_storage *remote, const char *what,
                         uint64_t records, uint64_t octets, uint64_t elapsed_ms)
{
	char text[ADDRESS_TEXT_MAX], type[ADDRESS_TEXT_MAX + 16];
	snprintf(type, sizeof(type), "%s %s", direction, address_text(remote, text));
	const uint64_t rate = octets * 1000 / (elapsed_ms > 0 ? elapsed_ms : 1);
	line_print(line, FILTER_EVENTS, type, "%s, %" PRIu64 " records, %" PRIu64 " octets, %" PRIu64 " octets/s", what, records,
	           octets, rate);
}

static void put_transfers(line_t *line, const zone_t *zone, const errand_progress_t *incoming)
{
	if (incoming->is_running) {
		put_progress(line, "incoming", &incoming->remote, incoming->operation, incoming->counts.records, incoming->counts.octets,
		             incoming->elapsed_ms);
	}
	outgoing_progress_t outgoing[OUTGOING_MAX];
	const unsigned count = outgoing_progress(zone, outgoing, OUTGOING_MAX);
	for (unsigned i = 0; i < count; i++) {
		char what[32];
		snprintf(what, sizeof(what), "%s, serial %u", outgoing[i].operation, outgoing[i].serial);
		put_progress(line, "outgoing", &outgoing[i].remote, what, outgoing[i].records, outgoing[i].octets,
		             outgoing[i].elapsed_ms);
	}
}

/*! Where aliases lead out of our zones: what became of asking for it is in the statistics, for all zones. */
static void put_upstream(line_t *line, zone_t *zone)
{
	unsigned targets;
	if (ahead_targets(zone, &targets)) {
		line_print(line, FILTER_EVENTS, "upstream", "%u targets", targets);
	} else {
		line_put(line, FILTER_EVENTS, "upstream", NONE);
	}
}

/*! What knotd has and we have not. */
static void put_absent(line_t *line)
{
	line_put(line, FILTER_TRANSACTION, "transaction", NONE);
	line_put(line, FILTER_FREEZE, "freeze", NONE);
	line_put(line, FILTER_FREEZE, "XFR-freeze", NONE);
	line_put(line, FILTER_CATALOG, "catalog", NONE);
}

static int send_view(const control_request_t *request, zone_t *zone, const view_t *view)
{
	const refresh_status_t *status = &view->status;
	const bool is_served = status->loaded && !status->expired;
	char name[KNOT_DNAME_TXT_MAXLEN + 1];
	line_t line = {
		.request = request,
		.zone = zone_name(zone, name),
		.flags = is_served ? FLAG_SECONDARY : FLAG_EMPTY,
	};

	line_put(&line, FILTER_ROLE, "role", "slave");
	if (status->loaded) {
		line_print(&line, FILTER_SERIAL, "serial", "%u", status->serial);
	} else {
		line_put(&line, FILTER_SERIAL, "serial", NONE);
	}
	put_absent(&line);
	line_put(&line, FILTER_EVENTS, "scope", view->global ? "global" : "zone");
	line_put(&line, FILTER_EVENTS, "state", state_name(status));
	put_times(&line, status);
	put_version(&line, status);
	put_upstream(&line, zone);
	for (unsigned i = 0; i < status->primary_count; i++) {
		put_primary(&line, &view->primary[i], &view->result[i], status->now_ms);
	}
	put_transfers(&line, zone, &view->incoming);
	return line.ret;
}

int control_status(const control_request_t *request, zone_t *zone)
{
	view_t view = { .global = false };
	int ret = worker_look(zone, visit_status, &view, &view.incoming);
	if (ret != KNOT_EOK) {
		return ret;
	}
	(void)zone_with_instance(zone, visit_scope, &view);
	return send_view(request, zone, &view);
}
