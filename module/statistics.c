/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What knotd's own statistics tell of us.
 */
#include "secondary/statistics.h"

#include <libknot/libknot.h>
#include <string.h>

#include "clock.h"
#include "secondary/rcu.h"

enum { STATE_SERIAL, STATE_LAST_SUCCESS, STATE_EXPIRES, STATES };

static const char *const answer_names[ANSWERS] = {
	[ANSWERS_DATA] = "data", [ANSWERS_NODATA] = "nodata", [ANSWERS_NXDOMAIN] = "nxdomain", [ANSWERS_REFERRAL] = "referral",
	[ANSWERS_ALIAS] = "alias", [ANSWERS_ERROR] = "error", [ANSWERS_UNSERVED] = "unserved", [ANSWERS_TRUNCATED] = "truncated",
};

static const char *const state_names[STATES] = {
	[STATE_SERIAL] = "serial", [STATE_LAST_SUCCESS] = "last-success", [STATE_EXPIRES] = "expires",
};

counters_line_t *statistics_global;

void statistics_init(void)
{
	if (statistics_global == NULL) {
		statistics_global = counters_take_apart();
	}
}

const char *statistics_answer_name(answers_t kind)
{
	return answer_names[kind];
}

/*! For knotd, which frees it. */
static char *answer_text(uint32_t index, uint32_t count)
{
	(void)count;
	return strdup(answer_names[index]);
}

static char *state_text(uint32_t index, uint32_t count)
{
	(void)count;
	return strdup(state_names[index]);
}

/*! A time of the monotonic clock by the wall clock as it is now: should that have been set since, then for all times alike. */
static int64_t epoch_s(int64_t at_ms)
{
	return (clock_wall_ms() - (int64_t)clock_ms() + at_ms) / 1000;
}

/*! When the version runs out, or did. */
static int64_t expires_at(const zone_t *zone)
{
	const int64_t expired_at = __atomic_load_n(&zone->expired_at, __ATOMIC_RELAXED);
	const uint64_t expires_ms = __atomic_load_n(&zone->expires_ms, __ATOMIC_RELAXED);
	if (expired_at != 0 || expires_ms == 0) {
		return expired_at;
	}
	return epoch_s(expires_ms + 500);
}

void statistics_state(const zone_t *zone, statistics_state_t *ret_state)
{
	rcu_read_lock();
	const snapshot_t *snapshot = zone_borrow(zone);
	const int64_t success_ms = __atomic_load_n(&zone->success_ms, __ATOMIC_RELAXED);
	*ret_state = (statistics_state_t) {
		.serial = snapshot != NULL ? snapshot->soa.serial : 0,
		.last_success = success_ms != 0 ? epoch_s(success_ms) : 0,
		.expires = expires_at(zone),
	};
	rcu_read_unlock();
}

/*! In the first thread's place: no worker writes there. */
static void store_state(instance_t *instance, const zone_t *zone)
{
	statistics_state_t state;
	statistics_state(zone, &state);
	knotd_mod_stats_store(instance->mod, 0, STATISTICS_STATE, STATE_SERIAL, state.serial);
	knotd_mod_stats_store(instance->mod, 0, STATISTICS_STATE, STATE_LAST_SUCCESS, state.last_success);
	knotd_mod_stats_store(instance->mod, 0, STATISTICS_STATE, STATE_EXPIRES, state.expires);
}

static void visit_changed(struct instance *instance, void *ctx)
{
	if (__atomic_load_n(&instance->has_state, __ATOMIC_ACQUIRE)) {
		store_state(instance, ctx);
	}
}

void statistics_changed(zone_t *zone)
{
	(void)zone_with_instance(zone, visit_changed, zone);
}

/*! What the workers have counted before this instance came. */
static void store_answers(instance_t *instance)
{
	const unsigned workers = knotd_mod_threads(instance->mod);
	for (unsigned worker = 0; statistics_global != NULL && worker < workers && worker < counters_workers; worker++) {
		for (unsigned kind = 0; kind < ANSWERS; kind++) {
			knotd_mod_stats_store(instance->mod, worker, STATISTICS_ANSWER, kind, counters_answers_of(statistics_global, worker, kind));
		}
	}
}

int statistics_start(instance_t *instance)
{
	int ret = instance->global ? knotd_mod_stats_add(instance->mod, "answer", ANSWERS, answer_text)
	                           : knotd_mod_stats_add(instance->mod, "state", STATES, state_text);
	if (ret != KNOT_EOK) {
		return ret;
	}
	if (instance->global) {
		store_answers(instance);
		return KNOT_EOK;
	}
	store_state(instance, instance->zone);
	__atomic_store_n(&instance->has_state, true, __ATOMIC_RELEASE);
	return KNOT_EOK;
}
