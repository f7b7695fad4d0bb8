/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The module's door: load, unload, the schema, and the way of log lines into knotd.
 *
 * knotd calls load() and unload() from its main thread (and for `zone-restore` from a background one), later releases
 * from several. The process-wide part starts with the first instance and stops with the last; in between, at a reload, the
 * new instances are loaded before the old ones go, so it lives on.
 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <knot/module.h>
#include <libknot/version.h>

#include "secondary/control.h"
#include "secondary/dispatch.h"
#include "secondary/instance.h"
#include "secondary/outgoing.h"
#include "secondary/rcu.h"
#include "secondary/report.h"
#include "secondary/settings.h"
#include "secondary/statistics.h"
#include "secondary/worker.h"

#if KNOTD_MOD_ABI_VERSION != 400 || KNOT_VERSION_MAJOR != 3 || KNOT_VERSION_MINOR != 2
#error "mod-secondary needs the headers of Knot DNS 3.2 (module ABI 400)"
#endif

/*! As knotd cuts its modules' lines. */
#define LINE_MAX_LEN 512

/*! What all instances share. */
static struct {
	pthread_mutex_t lock;             /*!< Of all below; held while the threads start and stop, which take no part in it. */
	unsigned users;                   /*!< Instances. */
	bool control;                     /*!< The control socket could be started. */
	bool patch_noted;                 /*!< Atomic. */
	settings_process_t settings;      /*!< In force. */
	settings_process_t warned;        /*!< The last other ones that were warned of. */
} process = { .lock = PTHREAD_MUTEX_INITIALIZER };

/*! The module that this thread is loading: what other rooms report meanwhile goes out through it. */
static _Thread_local knotd_mod_t *loading;

/* -- log -------------------------------------------------------------------------------------------------------------- */

typedef struct {
	const zone_t *zone;
	int priority;
	const char *text;
} line_t;

/*! knotd prefixes a line of a zone-scope instance with its zone; in global scope that is ours to do. */
static void line_write(knotd_mod_t *mod, bool global, const line_t *line)
{
	if (!global || line->zone == NULL) {
		knotd_mod_log(mod, line->priority, "%s", line->text);
		return;
	}
	char name[KNOT_DNAME_TXT_MAXLEN + 1];
	knotd_mod_log(mod, line->priority, "zone '%s', %s", zone_name(line->zone, name), line->text);
}

/*!
 * Writes through an instance that its lock keeps from being unloaded. That is enough for a global one; but knotd frees the
 * name of a zone before it unloads the zone's modules. It does so a grace period after it has
 *
 *  - published a configuration without the zone, or without this module for it: then we see that configuration, or our
 *    read section began before and the grace period waits for us;
 *  - or loaded a newer instance for it: then this one is superseded, or that load waits for the lock that we hold.
 *
 * Neither comes first when the server stops, nor when 3.2.0 to 3.2.9 load a zone without its shared modules (conf-commit): a
 * line about the very zone in the moment between the end of its name and unload() would show what is left of the name.
 */
static void line_write_through(instance_t *instance, void *ctx)
{
	const line_t *line = ctx;
	assert(rcu_read_ongoing());
	if (instance->global ||
	    (!instance->superseded && settings_zone_certain(instance->mod, line->zone->name))) {
		line_write(instance->mod, instance->global, line);
	}
}

/*! The sink. Lines that no instance can carry are dropped: there is no other way into knotd's log. */
static void line_report(const zone_t *zone, int priority, const char *fmt, va_list args)
{
	char text[LINE_MAX_LEN];
	if (vsnprintf(text, sizeof(text), fmt, args) < 0) {
		return;
	}
	line_t line = { .zone = zone, .priority = priority, .text = text };
	if (loading != NULL) {
		line_write(loading, knotd_mod_zone(loading) == NULL, &line);
		return;
	}

	rcu_read_lock();
	if (zone != NULL) {
		(void)zone_with_instance(zone, line_write_through, &line);
	} else {
		(void)instance_with_global(line_write_through, &line);
	}
	rcu_read_unlock();
}

/* -- the process ------------------------------------------------------------------------------------------------------ */

/*!
 * A module works with the private layout of its knotd, and the ABI number does not tell all releases apart: another minor
 * release is refused here, another patch level noted once.
 */
static int check_version(knotd_mod_t *mod)
{
	const char *version = knotd_conf_env(mod, KNOTD_CONF_ENV_VERSION).single.string;
	unsigned major, minor, patch;
	if (version == NULL || sscanf(version, "Knot DNS %u.%u.%u", &major, &minor, &patch) != 3 ||
	    major != KNOT_VERSION_MAJOR || minor != KNOT_VERSION_MINOR) {
		knotd_mod_log(mod, LOG_ERR, "built for Knot DNS %d.%d, not for %s", KNOT_VERSION_MAJOR,
		              KNOT_VERSION_MINOR, version != NULL ? version : "this release");
		return KNOT_ENOTSUP;
	}
	if (patch != KNOT_VERSION_PATCH && !__atomic_exchange_n(&process.patch_noted, true, __ATOMIC_RELAXED)) {
		knotd_mod_log(mod, LOG_NOTICE, "built for Knot DNS %d.%d.%d, running in %s", KNOT_VERSION_MAJOR,
		              KNOT_VERSION_MINOR, KNOT_VERSION_PATCH, version);
	}
	return KNOT_EOK;
}

static bool settings_equal(const settings_process_t *a, const settings_process_t *b)
{
	return a->transfer_limit == b->transfer_limit && a->transfer_limit_remote == b->transfer_limit_remote &&
	       a->upstream_cache_size == b->upstream_cache_size &&
	       strcmp(a->control_listen, b->control_listen) == 0;
}

static int process_start(knotd_mod_t *mod, const settings_process_t *settings)
{
	report_set_sink(line_report);
	const worker_options_t options = {
		.transfer_limit = settings->transfer_limit,
		.transfer_limit_remote = settings->transfer_limit_remote,
		.checked = statistics_changed,
	};
	counters_start(knotd_mod_threads(mod));
	statistics_init();
	int ret = worker_start(&options);
	if (ret != KNOT_EOK) {
		knotd_mod_log(mod, LOG_ERR, "failed to start the worker (%s)", knot_strerror(ret));
		return ret;
	}

	process.settings = process.warned = *settings;
	if (settings->control_listen[0] == '\0') {
		knotd_mod_log(mod, LOG_ERR, "control, 'rundir' is too long for a socket, set 'control-listen'");
	}
	process.control = settings->control_listen[0] != '\0' && control_start(settings->control_listen) == KNOT_EOK;
	return KNOT_EOK;
}

/*! One line for each other set of values, not one for each of ten thousand instances. */
static void process_warn(knotd_mod_t *mod, const settings_process_t *settings)
{
	if (settings_equal(settings, &process.settings) || settings_equal(settings, &process.warned)) {
		return;
	}
	process.warned = *settings;
	knotd_mod_log(mod, LOG_WARNING, "items 'transfer-limit', 'transfer-limit-remote', 'upstream-cache-size', "
	              "'control-listen' hold for the process, other values take effect after a restart");
}

/*! Counts one more instance; the first starts worker and control socket. */
static int process_enter(knotd_mod_t *mod)
{
	settings_process_t settings;
	settings_process(mod, &settings);

	pthread_mutex_lock(&process.lock);
	int ret = process.users == 0 ? process_start(mod, &settings) : KNOT_EOK;
	if (ret == KNOT_EOK) {
		process.users++;
		process_warn(mod, &settings);
	}
	pthread_mutex_unlock(&process.lock);
	return ret;
}

/*! Counts one instance less; the last stops what the first started. RCU: outside read sections. */
static void process_leave(void)
{
	pthread_mutex_lock(&process.lock);
	if (--process.users == 0) {
		if (process.control) {
			control_stop();
		}
		worker_stop();
	}
	pthread_mutex_unlock(&process.lock);
}

/* -- knotd's callbacks ------------------------------------------------------------------------------------------------ */

static knotd_state_t hook_begin(knotd_state_t state, knot_pkt_t *pkt, knotd_qdata_t *qdata, knotd_mod_t *mod)
{
	rcu_hook_enter();
	state = dispatch_begin(state, pkt, qdata, mod);
	rcu_hook_leave();
	return state;
}

static knotd_state_t hook_end(knotd_state_t state, knot_pkt_t *pkt, knotd_qdata_t *qdata, knotd_mod_t *mod)
{
	(void)pkt;
	(void)mod;
	rcu_hook_enter();
	state = outgoing_end(state, qdata);
	rcu_hook_leave();
	return state;
}

/*!
 * Registers the hooks last: a plan keeps the steps of a module whose load() failed, so nothing may fail after them. Only then
 * the instance becomes the module's; the hook of the end does not ask for it, so it comes first.
 */
static int load_instance(knotd_mod_t *mod)
{
	instance_t *instance;
	int ret = instance_new(mod, &instance);
	if (ret != KNOT_EOK) {
		return ret;
	}
	if (!instance_is_inert(instance)) {
		ret = statistics_start(instance);
	}
	if (ret == KNOT_EOK && !instance_is_inert(instance)) {
		ret = knotd_mod_hook(mod, KNOTD_STAGE_END, hook_end);
		if (ret == KNOT_EOK) {
			ret = knotd_mod_hook(mod, KNOTD_STAGE_BEGIN, hook_begin);
		}
	}
	if (ret != KNOT_EOK) {
		instance_free(instance);
		return ret;
	}
	knotd_mod_ctx_set(mod, instance);
	return KNOT_EOK;
}

static int load(knotd_mod_t *mod)
{
	int ret = check_version(mod);
	if (ret != KNOT_EOK) {
		return ret;
	}

	loading = mod;
	ret = process_enter(mod);
	if (ret == KNOT_EOK) {
		ret = load_instance(mod);
		if (ret != KNOT_EOK) {
			process_leave();
		}
	}
	loading = NULL;
	rcu_host_handover();
	return ret;
}

static void unload(knotd_mod_t *mod)
{
	rcu_host_handover();
	instance_t *instance = knotd_mod_ctx(mod);
	knotd_mod_ctx_set(mod, NULL);
	instance_free(instance);
	process_leave();
}

KNOTD_MOD_API(secondary, KNOTD_MOD_FLAG_SCOPE_ANY, load, unload, settings_items, settings_check);
