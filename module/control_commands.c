/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What the commands of knotc do with our zones.
 */
#include "secondary/control_commands.h"

#include <assert.h>
#include <libknot/libknot.h>
#include <libknot/version.h>
#include <stdio.h>
#include <stdlib.h>
#include <unbound.h>
#include <uv.h>

#include "control_request.h"
#include "secondary/control_stats.h"
#include "secondary/control_status.h"
#include "secondary/rcu.h"
#include "secondary/report.h"
#include "secondary/worker.h"

/*! How often a client that waits is looked after: has it gone, does the server stop? */
#define WAIT_LOOK_MS 250

/* Letters of the filters of zone-purge: expire, zonefile, journal; and timers, kaspdb, catalog, of which we keep nothing. */
#define PURGE_FILTERS  "efjtkc"
#define PURGE_EXPIRE   'e'
#define PURGE_ZONEFILE 'f'
#define PURGE_JOURNAL  'j'

/*! \name Zones */

/*! Zones held while they are gone through, since commands wait for the worker and the registry's lock must not. */
typedef struct {
	zone_t **zone;
	size_t count, max;
} zones_t;

static int zones_add(zone_t *zone, void *ctx)
{
	zones_t *zones = ctx;
	if (zones->count == zones->max) {
		size_t max = zones->max > 0 ? 2 * zones->max : 64;
		zone_t **grown = reallocarray(zones->zone, max, sizeof(zone_t *));
		if (grown == NULL) {
			return KNOT_ENOMEM;
		}
		zones->zone = grown;
		zones->max = max;
	}
	zones->zone[zones->count++] = zone_hold(zone);
	return KNOT_EOK;
}

static void zones_clear(zones_t *zones)
{
	for (size_t i = 0; i < zones->count; i++) {
		zone_release(zones->zone[i]);
	}
	free(zones->zone);
}

/*! \name Waiting, in blocking mode */

/*! An order that was given to one zone. */
typedef struct order {
	struct order *next;
	zone_t *zone;             /*!< Held. */
	worker_wait_t wait;
} order_t;

/*! One block: what is answered, and what is waited for at its end. */
typedef struct {
	control_client_t *client;
	bool waits;               /*!< Blocking mode. */
	order_t *first, **last;
} session_t;

static bool is_stopping(const session_t *session)
{
	return __atomic_load_n(session->client->stopping, __ATOMIC_ACQUIRE);
}

/*! Begins to wait, if there is room for one more that does. */
static bool wait_begin(session_t *session)
{
	if (session->waits) {
		return true;
	}
	unsigned *waiting = session->client->waiting;
	if (__atomic_add_fetch(waiting, 1, __ATOMIC_RELAXED) > CONTROL_WAITING_MAX) {
		__atomic_sub_fetch(waiting, 1, __ATOMIC_RELAXED);
		return false;
	}
	session->waits = true;
	return true;
}

static worker_wait_t *order_add(session_t *session, zone_t *zone)
{
	order_t *order = calloc(1, sizeof(*order));
	if (order == NULL) {
		return NULL;
	}
	order->zone = zone_hold(zone);
	*session->last = order;
	session->last = &order->next;
	return &order->wait;
}

/*! The last order was not taken. */
static void order_take_back(session_t *session)
{
	order_t **link = &session->first;
	while (&(*link)->next != session->last) {
		link = &(*link)->next;
	}
	zone_release((*link)->zone);
	free(*link);
	*link = NULL;
	session->last = link;
}

/*! Waits for the end of one order; false: the client has gone, or the server stops. */
static bool order_await(const session_t *session, order_t *order)
{
	while (!worker_await(&order->wait, WAIT_LOOK_MS)) {
		if (is_stopping(session) || control_stream_is_closed(&session->client->stream)) {
			return false;
		}
	}
	return true;
}

static void order_report(const session_t *session, const order_t *order, const char *command)
{
	if (order->wait.failure[0] == '\0') {
		return;
	}
	char name[KNOT_DNAME_TXT_MAXLEN + 1];
	const control_request_t request = { .stream = &session->client->stream, .command = command };
	(void)control_send_error(&request, zone_name(order->zone, name), order->wait.failure);
}

/*! Waits for all that was ordered; those that are not awaited any more are forgotten. */
static void wait_end(session_t *session, const char *command)
{
	bool goes_on = true;
	while (session->first != NULL) {
		order_t *order = session->first;
		session->first = order->next;
		goes_on = goes_on && order_await(session, order);
		if (goes_on) {
			order_report(session, order, command);
		} else {
			worker_forget(order->zone, &order->wait);
		}
		zone_release(order->zone);
		free(order);
	}
	if (session->waits) {
		__atomic_sub_fetch(session->client->waiting, 1, __ATOMIC_RELAXED);
	}
}

/*! \name Commands about zones */

/*! What a command does with one zone: KNOT_EOK, KNOT_ENOENT (the zone has gone), or the client has gone. */
typedef int (*apply_f)(session_t *session, const control_request_t *request, zone_t *zone);

static int apply_status(session_t *session, const control_request_t *request, zone_t *zone)
{
	(void)session;
	return control_status(request, zone);
}

static int apply_stats(session_t *session, const control_request_t *request, zone_t *zone)
{
	(void)session;
	return control_zone_stats(request, zone);
}

/*! What the worker is to do. */
typedef int (*carry_out_f)(zone_t *zone, unsigned what, worker_wait_t *wait);

static int give_order(session_t *session, const control_request_t *request, zone_t *zone, carry_out_f carry_out, unsigned what)
{
	report(zone, LOG_INFO, "control, received command '%s'", request->command);
	worker_wait_t *wait = NULL;
	if (session->waits && (wait = order_add(session, zone)) == NULL) {
		return control_send_error(request, request->zone, knot_strerror(KNOT_ENOMEM));
	}
	int ret = carry_out(zone, what, wait);
	if (ret != KNOT_EOK && wait != NULL) {
		order_take_back(session);
	}
	return ret;
}

static int command(zone_t *zone, unsigned what, worker_wait_t *wait)
{
	return worker_command(zone, what, wait);
}

static int notify(zone_t *zone, unsigned unused, worker_wait_t *wait)
{
	(void)unused;
	return worker_notify_out(zone, wait);
}

static int apply_refresh(session_t *session, const control_request_t *request, zone_t *zone)
{
	return give_order(session, request, zone, command, REFRESH_CHECK);
}

static int apply_retransfer(session_t *session, const control_request_t *request, zone_t *zone)
{
	return give_order(session, request, zone, command, REFRESH_RETRANSFER);
}

static int apply_notify(session_t *session, const control_request_t *request, zone_t *zone)
{
	return give_order(session, request, zone, notify, 0);
}

/*! knotd's choice of what to purge: everything, or what the filters say. */
static int apply_purge(session_t *session, const control_request_t *request, zone_t *zone)
{
	if (!control_has_flag(request, CONTROL_FLAG_FORCE)) {
		return control_send_error(request, request->zone, "force option required");
	}
	const unsigned what = control_is_wanted(request, PURGE_EXPIRE) * WORKER_PURGE_VERSION |
	                      control_is_wanted(request, PURGE_ZONEFILE) * WORKER_PURGE_FILE |
	                      control_is_wanted(request, PURGE_JOURNAL) * WORKER_PURGE_DIFFERENCES;
	return give_order(session, request, zone, worker_purge, what);
}

/*! A zone that goes while all are gone through is none of them any more. */
static int apply_all(session_t *session, const control_request_t *request, apply_f apply)
{
	zones_t zones = { 0 };
	int ret = zone_walk(zones_add, &zones);
	if (ret != KNOT_EOK) {
		ret = control_send_error(request, NULL, knot_strerror(ret));
	}
	for (size_t i = 0; i < zones.count && ret == KNOT_EOK && !is_stopping(session); i++) {
		ret = apply(session, request, zones.zone[i]);
		if (ret == KNOT_ENOENT) {
			ret = KNOT_EOK;
		}
	}
	zones_clear(&zones);
	return ret;
}

static int apply_one(session_t *session, const control_request_t *request, apply_f apply)
{
	knot_dname_storage_t name;
	if (knot_dname_from_str(name, request->zone, sizeof(name)) == NULL) {
		return control_send_error(request, request->zone, knot_strerror(KNOT_EINVAL));
	}
	zone_t *zone = zone_find(name);
	int ret = zone != NULL ? apply(session, request, zone) : KNOT_ENOENT;
	zone_release(zone);
	if (ret == KNOT_ENOENT) {
		return control_send_error(request, request->zone, knot_strerror(KNOT_ENOZONE));
	}
	return ret;
}

/*! \name Commands about the module */

typedef struct {
	size_t zones, served;
} tally_t;

static int tally_zone(zone_t *zone, void *ctx)
{
	tally_t *tally = ctx;
	rcu_read_lock();
	tally->served += zone_borrow(zone) != NULL;
	rcu_read_unlock();
	tally->zones++;
	return KNOT_EOK;
}

/*! Without a detail nothing is said, which knotc shows as "Running". */
static int answer_status(const control_request_t *request)
{
	char text[256];
	tally_t tally = { 0 };
	if (request->type == NULL || request->type[0] == '\0') {
		return KNOT_EOK;
	}
	if (strcasecmp(request->type, "version") == 0) {
		snprintf(text, sizeof(text), "Version: mod-secondary %s, for Knot DNS %d.%d.%d", SECONDARY_VERSION, KNOT_VERSION_MAJOR,
		         KNOT_VERSION_MINOR, KNOT_VERSION_PATCH);
	} else if (strcasecmp(request->type, "workers") == 0) {
		(void)zone_walk(tally_zone, &tally);
		snprintf(text, sizeof(text), "Zones: %zu, served: %zu", tally.zones, tally.served);
	} else if (strcasecmp(request->type, "configure") == 0) {
		snprintf(text, sizeof(text), "libuv %s, libunbound %s", uv_version_string(), ub_version());
	} else {
		return control_send_error(request, NULL, knot_strerror(KNOT_EINVAL));
	}
	const knot_ctl_data_t data = { [KNOT_CTL_IDX_DATA] = text };
	return control_stream_put(request->stream, KNOT_CTL_TYPE_DATA, &data);
}

static int answer_stats(const control_request_t *request)
{
	if (!control_stats_exist(request, false)) {
		return control_send_error(request, NULL, knot_strerror(KNOT_ENOENT));
	}
	return control_stats(request);
}

/*! \name Dispatch */

typedef struct {
	const char *name;
	apply_f apply;            /*!< To zones. */
	int (*answer)(const control_request_t *request); /*!< About the module. */
	const char *filters;      /*!< Letters of those that it knows. */
	bool is_order;            /*!< Its end may be waited for. */
} command_t;

static const command_t commands[] = {
	{ "zone-status", apply_status, .filters = CONTROL_STATUS_FILTERS },
	{ "zone-refresh", apply_refresh, .filters = "", .is_order = true },
	{ "zone-retransfer", apply_retransfer, .filters = "", .is_order = true },
	{ "zone-notify", apply_notify, .filters = "", .is_order = true },
	{ "zone-purge", apply_purge, .filters = PURGE_FILTERS, .is_order = true },
	{ "zone-stats", apply_stats, .filters = "" },
	{ "stats", .answer = answer_stats, .filters = "" },
	{ "status", .answer = answer_status, .filters = "" },
};

static const command_t *command_find(const char *name)
{
	for (size_t i = 0; name != NULL && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(name, commands[i].name) == 0) {
			return &commands[i];
		}
	}
	return NULL;
}

/*! One unit: a command, and one zone or all. */
static int answer_unit(session_t *session, const control_request_t *request)
{
	const command_t *known = command_find(request->command);
	if (known == NULL) {
		return control_send_error(request, request->zone, "not supported by mod-secondary");
	}
	if (request->filter != NULL && request->filter[strspn(request->filter, known->filters)] != '\0') {
		return control_send_error(request, request->zone, "filter is not supported");
	}
	if (known->is_order && control_has_flag(request, CONTROL_FLAG_BLOCKING) && !wait_begin(session)) {
		return control_send_error(request, request->zone, "too many clients in blocking mode");
	}
	if (known->apply == apply_stats && !control_stats_exist(request, true)) {
		return control_send_error(request, request->zone, knot_strerror(KNOT_ENOENT));
	}
	if (known->answer != NULL) {
		return known->answer(request);
	}
	return (request->zone != NULL ? apply_one : apply_all)(session, request, known->apply);
}

int control_answer(control_client_t *client)
{
	session_t session = { .client = client };
	session.last = &session.first;
	char name[32] = "";
	control_unit_t unit;
	int ret = KNOT_EOK;
	while (control_stream_next(&client->stream, &unit)) {
		const control_request_t request = {
			.stream = &client->stream,
			.command = unit.item[KNOT_CTL_IDX_CMD],
			.flags = unit.item[KNOT_CTL_IDX_FLAGS],
			.filter = unit.item[KNOT_CTL_IDX_FILTER],
			.zone = unit.item[KNOT_CTL_IDX_ZONE],
			.section = unit.item[KNOT_CTL_IDX_SECTION],
			.item = unit.item[KNOT_CTL_IDX_ITEM],
			.type = unit.item[KNOT_CTL_IDX_TYPE],
		};
		if (ret == KNOT_EOK && unit.type == KNOT_CTL_TYPE_DATA && !is_stopping(&session)) {
			snprintf(name, sizeof(name), "%s", request.command != NULL ? request.command : "");
			ret = answer_unit(&session, &request);
		}
	}
	wait_end(&session, name);
	(void)control_stream_put(&client->stream, KNOT_CTL_TYPE_BLOCK, NULL);
	return control_stream_flush(&client->stream);
}
