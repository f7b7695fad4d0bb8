/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The control socket.
 */
#include "secondary/control.h"

#include <assert.h>
#include <libknot/control/control.h>
#include <libknot/libknot.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "duration.h"
#include "secondary/address.h"
#include "secondary/rcu.h"
#include "secondary/report.h"
#include "secondary/worker.h"

/*! Pause after accept failed (out of descriptors, mostly): clients wait in the backlog meanwhile. */
#define ACCEPT_PAUSE_MS 100

/* Letters of knotc's protocol: flags of a request and of a zone in a response, and filters of zone-status. */
#define FLAG_BLOCKING  'B'
#define FLAG_SECONDARY "s"
#define FLAG_EMPTY     "se"
#define FILTER_ROLE    'r'
#define FILTER_SERIAL  's'
#define FILTER_EVENTS  'e'

/*! What knotc leaves out unless it was asked for everything (-e). */
#define STATUS_NONE "-"

#define NOT_SUPPORTED "not supported"

static struct {
	struct sockaddr_un addr;
	knot_ctl_t *ctl;          /*!< The thread's alone while it runs. */
	pthread_t thread;
	bool stopping;            /*!< Atomic. */
} control;

static bool is_stopping(void)
{
	return __atomic_load_n(&control.stopping, __ATOMIC_ACQUIRE);
}

/*! \name Responses */

/*! One block of a response: the client and what it asked. */
typedef struct {
	knot_ctl_t *ctl;
	const char *command;
	const char *flags;
	const char *filter;
	const char *zone;         /*!< As the client wrote it; NULL: all zones. */
} request_t;

static int send_error(const request_t *request, const char *zone, const char *text)
{
	knot_ctl_data_t data = {
		[KNOT_CTL_IDX_CMD] = request->command,
		[KNOT_CTL_IDX_ERROR] = text,
		[KNOT_CTL_IDX_ZONE] = zone,
	};
	return knot_ctl_send(request->ctl, KNOT_CTL_TYPE_DATA, &data);
}

/*! A line about one zone: its first item begins it, the others continue it. */
typedef struct {
	const request_t *request;
	const char *zone;
	const char *flags;
	bool is_begun;
	int ret;                  /*!< First failure: the client is gone. */
} line_t;

static void line_put(line_t *line, char filter, const char *type, const char *value)
{
	const char *wanted = line->request->filter;
	if (line->ret != KNOT_EOK || (wanted != NULL && strchr(wanted, filter) == NULL)) {
		return;
	}
	knot_ctl_data_t data = {
		[KNOT_CTL_IDX_FLAGS] = line->flags,
		[KNOT_CTL_IDX_ZONE] = line->zone,
		[KNOT_CTL_IDX_TYPE] = type,
		[KNOT_CTL_IDX_DATA] = value,
	};
	line->ret = knot_ctl_send(line->request->ctl, line->is_begun ? KNOT_CTL_TYPE_EXTRA : KNOT_CTL_TYPE_DATA, &data);
	line->is_begun = true;
}

__attribute__((format(printf, 4, 5)))
static void line_print(line_t *line, char filter, const char *type, const char *fmt, ...)
{
	char value[160];
	va_list args;
	va_start(args, fmt);
	vsnprintf(value, sizeof(value), fmt, args);
	va_end(args);
	line_put(line, filter, type, value);
}

/*! \name zone-status */

/*! What zone-status shows, taken on the worker, since what refresh_status() lends is valid there only. */
typedef struct {
	refresh_status_t status;
	struct sockaddr_storage primary[STANZA_PRIMARIES_MAX];
	primary_result_t result[STANZA_PRIMARIES_MAX];
} view_t;

static void visit_status(refresh_t *refresh, void *ctx)
{
	view_t *view = ctx;
	refresh_status(refresh, &view->status);
	for (unsigned i = 0; i < view->status.primary_count; i++) {
		view->primary[i] = view->status.primary[i].addr;
		view->result[i] = view->status.result[i];
	}
	view->status.primary = NULL;
	view->status.result = NULL;
}

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

static void put_time(line_t *line, const char *type, uint64_t at_ms, uint64_t now)
{
	char text[DURATION_TEXT_MAX];
	if (at_ms == REFRESH_NEVER) {
		line_put(line, FILTER_EVENTS, type, STATUS_NONE);
	} else if (at_ms <= now) {
		line_put(line, FILTER_EVENTS, type, "pending");
	} else {
		line_put(line, FILTER_EVENTS, type, duration_text((at_ms - now + 500) / 1000, text));
	}
}

static void put_primary(line_t *line, const struct sockaddr_storage *addr, const primary_result_t *result)
{
	char text[ADDRESS_TEXT_MAX], type[ADDRESS_TEXT_MAX + 8];
	snprintf(type, sizeof(type), "primary %s", address_text(addr, text));
	if (result->at == 0) {
		line_put(line, FILTER_EVENTS, type, "not asked");
	} else if (result->ok) {
		line_print(line, FILTER_EVENTS, type, "ok, serial %u", result->serial);
	} else {
		line_print(line, FILTER_EVENTS, type, "failed, %s", result->reason);
	}
}

static int send_view(const request_t *request, const zone_t *zone, const view_t *view)
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
		line_put(&line, FILTER_SERIAL, "serial", STATUS_NONE);
	}
	line_put(&line, FILTER_EVENTS, "state", state_name(status));
	if (status->doing != REFRESH_IDLE) {
		line_put(&line, FILTER_EVENTS, "refresh", "running");
	} else {
		put_time(&line, "refresh", status->next_check_ms, status->now_ms);
	}
	put_time(&line, "expiration", status->expire_ms, status->now_ms);
	if (status->loaded) {
		line_print(&line, FILTER_EVENTS, "records", "%" PRIu64, status->records);
		line_print(&line, FILTER_EVENTS, "memory", "%" PRIu64, status->memory);
	}
	for (unsigned i = 0; i < status->primary_count; i++) {
		put_primary(&line, &view->primary[i], &view->result[i]);
	}
	return line.ret;
}

/*! \name Commands */

/*! What a command does with one zone: KNOT_EOK, KNOT_ENOENT (the zone has gone), or the client has gone. */
typedef int (*apply_f)(const request_t *request, zone_t *zone);

static int apply_status(const request_t *request, zone_t *zone)
{
	view_t view;
	int ret = worker_call(zone, visit_status, &view);
	return ret == KNOT_EOK ? send_view(request, zone, &view) : ret;
}

static void visit_check(refresh_t *refresh, void *ctx)
{
	(void)ctx;
	refresh_command(refresh, REFRESH_CHECK);
}

static void visit_retransfer(refresh_t *refresh, void *ctx)
{
	(void)ctx;
	refresh_command(refresh, REFRESH_RETRANSFER);
}

static void report_command(const request_t *request, const zone_t *zone)
{
	report(zone, LOG_INFO, "control, received command '%s'", request->command);
}

static int apply_command(const request_t *request, zone_t *zone, void (*visit)(refresh_t *, void *))
{
	report_command(request, zone);
	return worker_call(zone, visit, NULL);
}

static int apply_refresh(const request_t *request, zone_t *zone)
{
	return apply_command(request, zone, visit_check);
}

static int apply_retransfer(const request_t *request, zone_t *zone)
{
	return apply_command(request, zone, visit_retransfer);
}

static int apply_notify(const request_t *request, zone_t *zone)
{
	report_command(request, zone);
	return worker_notify_out(zone, NULL);
}

static const struct {
	const char *name;
	apply_f apply;
	const char *filters;      /*!< Those that it knows. */
} commands[] = {
	{ "zone-status", apply_status, (const char[]) { FILTER_ROLE, FILTER_SERIAL, FILTER_EVENTS, '\0' } },
	{ "zone-refresh", apply_refresh, "" },
	{ "zone-retransfer", apply_retransfer, "" },
	{ "zone-notify", apply_notify, "" },
};

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

static void zones_free(zones_t *zones)
{
	for (size_t i = 0; i < zones->count; i++) {
		zone_release(zones->zone[i]);
	}
	free(zones->zone);
}

/*! A zone that goes while all are gone through is none of them any more. */
static int apply_all(const request_t *request, apply_f apply)
{
	zones_t zones = { 0 };
	int ret = zone_walk(zones_add, &zones);
	if (ret != KNOT_EOK) {
		ret = send_error(request, NULL, knot_strerror(ret));
	}
	for (size_t i = 0; i < zones.count && ret == KNOT_EOK && !is_stopping(); i++) {
		ret = apply(request, zones.zone[i]);
		if (ret == KNOT_ENOENT) {
			ret = KNOT_EOK;
		}
	}
	zones_free(&zones);
	return ret;
}

static int apply_one(const request_t *request, apply_f apply)
{
	knot_dname_storage_t name;
	if (knot_dname_from_str(name, request->zone, sizeof(name)) == NULL) {
		return send_error(request, request->zone, knot_strerror(KNOT_EINVAL));
	}
	zone_t *zone = zone_find(name);
	int ret = zone != NULL ? apply(request, zone) : KNOT_ENOENT;
	zone_release(zone);
	if (ret == KNOT_ENOENT) {
		return send_error(request, request->zone, knot_strerror(KNOT_ENOZONE));
	}
	return ret;
}

/*! One data unit: a command, and one zone or all. */
static int handle(const request_t *request)
{
	if (request->flags != NULL && strchr(request->flags, FLAG_BLOCKING) != NULL) {
		return send_error(request, request->zone, "blocking mode is not supported");
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (request->command == NULL || strcmp(request->command, commands[i].name) != 0) {
			continue;
		}
		if (request->filter != NULL && request->filter[strspn(request->filter, commands[i].filters)] != '\0') {
			return send_error(request, request->zone, "filter is not supported");
		}
		return (request->zone != NULL ? apply_one : apply_all)(request, commands[i].apply);
	}
	return send_error(request, request->zone, NOT_SUPPORTED);
}

/*! \name Clients */

/*! Serves the client that was accepted, until it has finished, is too slow, or has gone. */
static void serve(knot_ctl_t *ctl)
{
	int ret = KNOT_EOK;
	while (ret == KNOT_EOK && !is_stopping()) {
		knot_ctl_type_t type;
		knot_ctl_data_t data;
		ret = knot_ctl_receive(ctl, &type, &data);
		if (ret != KNOT_EOK) {
			return;
		}
		switch (type) {
		case KNOT_CTL_TYPE_DATA:
			ret = handle(&(request_t) {
				.ctl = ctl,
				.command = data[KNOT_CTL_IDX_CMD],
				.flags = data[KNOT_CTL_IDX_FLAGS],
				.filter = data[KNOT_CTL_IDX_FILTER],
				.zone = data[KNOT_CTL_IDX_ZONE],
			});
			break;
		case KNOT_CTL_TYPE_EXTRA:
			break;
		case KNOT_CTL_TYPE_BLOCK:
			ret = knot_ctl_send(ctl, KNOT_CTL_TYPE_BLOCK, NULL);
			break;
		case KNOT_CTL_TYPE_END:
			return;
		}
	}
}

static void *control_main(void *arg)
{
	knot_ctl_t *ctl = arg;
	rcu_register_thread();
	while (!is_stopping()) {
		switch (knot_ctl_accept(ctl)) {
		case KNOT_EOK:
			serve(ctl);
			knot_ctl_close(ctl);
			break;
		case KNOT_ETIMEOUT:
			break;
		default:
			nanosleep(&(struct timespec) { .tv_nsec = ACCEPT_PAUSE_MS * 1000000L }, NULL);
			break;
		}
	}
	rcu_unregister_thread();
	return NULL;
}

/*! knotd handles signals in its main thread, so none may be delivered to this one. */
static int start_thread(knot_ctl_t *ctl)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int ret = pthread_create(&control.thread, NULL, control_main, ctl);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret == 0 ? KNOT_EOK : KNOT_EAGAIN;
}

/*! Binds the socket and starts the thread. \param ctl  Stays the caller's on failure. */
static int launch(knot_ctl_t *ctl, const char *path)
{
	knot_ctl_set_timeout(ctl, CONTROL_TIMEOUT_MS);
	int ret = knot_ctl_bind(ctl, path);
	if (ret != KNOT_EOK) {
		return ret;
	}
	control.stopping = false;
	ret = start_thread(ctl);
	if (ret != KNOT_EOK) {
		knot_ctl_unbind(ctl);
	}
	return ret;
}

int control_start(const char *path)
{
	assert(strlen(path) < sizeof(control.addr.sun_path));

	knot_ctl_t *ctl = knot_ctl_alloc();
	int ret = ctl != NULL ? launch(ctl, path) : KNOT_ENOMEM;
	if (ret != KNOT_EOK) {
		knot_ctl_free(ctl);
		report(NULL, LOG_WARNING, "control socket %s, failed (%s)", path, knot_strerror(ret));
		return ret;
	}
	control.ctl = ctl;
	control.addr.sun_family = AF_UNIX;
	strcpy(control.addr.sun_path, path);
	report(NULL, LOG_INFO, "control socket %s", path);
	return KNOT_EOK;
}

/*! Ends the wait of the thread for a client, by being one. Where that fails the wait ends by itself, within five seconds. */
static void wake(void)
{
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (sock >= 0) {
		(void)connect(sock, (const struct sockaddr *)&control.addr, sizeof(control.addr));
		close(sock);
	}
}

void control_stop(void)
{
	__atomic_store_n(&control.stopping, true, __ATOMIC_RELEASE);
	wake();
	pthread_join(control.thread, NULL);
	knot_ctl_unbind(control.ctl);
	knot_ctl_free(control.ctl);
	control.ctl = NULL;
}
