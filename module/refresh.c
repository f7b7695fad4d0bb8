/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Keeping one zone fresh: a state machine without sockets, clock or randomness of its own.
 */
#include "secondary/refresh.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libknot/errcode.h>

#include "secondary/address.h"
#include "secondary/amend.h"
#include "secondary/report.h"

/*! No primary. */
#define NONE UINT_MAX

/*! Least pause before a scheduled check, whatever SOA and clamps say: a zone costs a packet a second at worst. */
#define PAUSE_MIN_MS 1000

/*!
 * Pause between a check that was asked for and brought nothing, and the next one because of NOTIFY. Its sender's address may be
 * forged, and a primary that answers at once, or refuses, would be asked as often as somebody sends: hundreds of packets and log
 * lines a second and zone. So it is one check a second. A change that is told of right after such a check waits for up to this;
 * those that follow each other are not delayed, for each check brings one.
 */
#define NOTIFY_PAUSE_MS 1000

/*! Octets of a time as knotd writes it. */
#define TIME_TEXT_MAX 64

/*! Why the next check is due when it is, to compute it again with new clamps. */
typedef enum {
	PAUSE_NONE,             /*!< At once. */
	PAUSE_REFRESH,
	PAUSE_RETRY,
	PAUSE_BOOTSTRAP,        /*!< No version yet. */
	PAUSE_LEFT_ALONE,       /*!< Nor was any primary asked: until one may be. */
} pause_t;

/*! One check: a walk over the primaries. */
typedef struct {
	unsigned first;         /*!< Primary that is asked before the others; NONE: in order. */
	unsigned turn;          /*!< How many were asked before the present one. */
	unsigned older;         /*!< First one with an older serial: the last resort of an expired zone; NONE. */
	bool urgent;            /*!< NOTIFY or command. */
	bool forced;            /*!< Transfer without asking for the SOA, whatever the serial. */
	bool confirmed;         /*!< By the operator: a version that shrank is not held back. */
	bool good;              /*!< Some primary has our version. */
	bool missed;            /*!< Some primary has news that could not be had. */
	bool tried;             /*!< Some primary was asked. */
	bool fruitful;          /*!< It brought a version. */
	uint64_t again_at;      /*!< When the first of those that were not may be; REFRESH_NEVER: there is none. */
	uint64_t began;         /*!< With the present primary. */
	uint32_t edns_expire;   /*!< What the present one said (RFC 7314). */
	const char *reason;     /*!< Of the last failure: in the primary's result, or constant. */
} check_t;

/*! A check that is wanted after the present one, or the pause after the last. */
typedef struct {
	bool wanted;
	bool commanded;         /*!< By the operator, too: no pause. */
	bool has_serial;        /*!< Only if we do not have \a serial by then. */
	uint32_t serial;
	unsigned first;
} again_t;

struct refresh {
	zone_t *zone;
	stanza_t *stanza;
	const refresh_ops_t *ops;
	void *ctx;

	snapshot_t *version;    /*!< NULL: none yet. Serves, and then the zone owns it; or is kept for recovery: */
	bool expired;           /*!< own, as zone_expire() gave it. */
	int doing;              /*!< REFRESH_IDLE … */
	check_t check;
	again_t again;

	uint64_t next_check;    /*!< Meaningful while idle. */
	uint64_t notify_from;   /*!< NOTIFY begins no check before; then the one that \a again wants. */
	uint64_t expire_at;     /*!< REFRESH_NEVER: expired, or no version. */
	uint64_t current;       /*!< When a check last ended without anything left to be done. */
	bool behind;            /*!< That was too long ago, and is in the log. */
	uint64_t succeeded;     /*!< When the version was last known to be current. */
	uint32_t bound;         /*!< Seconds from then that it may be served, as upstream said (RFC 7314). */
	uint64_t paused;        /*!< When the pause before the next check began, */
	uint32_t jitter;        /*!< what was added to it, milliseconds, */
	pause_t pause;          /*!< and which it is. */
	uint32_t bootstrap;     /*!< Last pause before the first version, milliseconds. */
	int64_t success_ms;     /*!< As \a succeeded, also if that was before the process began; 0: never. */
	primary_result_t *result;
};

static uint64_t now(const refresh_t *refresh)
{
	return refresh->ops->now_ms(refresh->ctx);
}

static uint64_t clamped_ms(uint32_t seconds, clamp_t bounds)
{
	uint32_t value = seconds < bounds.min ? bounds.min : seconds > bounds.max ? bounds.max : seconds;
	return (uint64_t)value * 1000;
}

/*! When the next check begins, while idle. */
static uint64_t next_check(const refresh_t *refresh)
{
	const bool notified = refresh->again.wanted && refresh->notify_from < refresh->next_check;
	return notified ? refresh->notify_from : refresh->next_check;
}

static void arm(refresh_t *refresh)
{
	uint64_t at = refresh->expire_at;
	if (refresh->doing == REFRESH_IDLE && next_check(refresh) < at) {
		at = next_check(refresh);
	}
	refresh->ops->arm(refresh->ctx, refresh, at);
}

/* Scheduling. */

static uint32_t pause_jitter(const refresh_t *refresh)
{
	return refresh->pause == PAUSE_REFRESH ? refresh->stanza->refresh_jitter_ms : refresh->stanza->retry_jitter_ms;
}

/*! Computes the next check from what the pause is and the clamps in force. */
static void schedule(refresh_t *refresh)
{
	const stanza_t *stanza = refresh->stanza;
	uint64_t interval = 0;
	switch (refresh->pause) {
	case PAUSE_NONE:
		refresh->next_check = refresh->paused;
		return;
	case PAUSE_REFRESH:
		interval = clamped_ms(refresh->version->soa.refresh, stanza->refresh);
		break;
	case PAUSE_RETRY:
		interval = clamped_ms(refresh->version->soa.retry, stanza->retry);
		break;
	case PAUSE_BOOTSTRAP:
		interval = clamped_ms(refresh->bootstrap / 1000, stanza->retry);
		break;
	case PAUSE_LEFT_ALONE:
		/* All zones of the primary come back together: they find out with one question whether it lives (turns.h). */
		refresh->next_check = refresh->check.again_at;
		return;
	}
	if (interval < PAUSE_MIN_MS) {
		interval = PAUSE_MIN_MS;
	}
	refresh->next_check = refresh->paused + interval + refresh->jitter;
}

static void pause_begin(refresh_t *refresh, pause_t pause)
{
	refresh->pause = pause;
	refresh->paused = now(refresh);
	uint32_t below = pause != PAUSE_NONE && pause != PAUSE_LEFT_ALONE ? pause_jitter(refresh) : 0;
	refresh->jitter = below > 0 ? refresh->ops->random(refresh->ctx, below) : 0;
	schedule(refresh);
}

static void pause_bootstrap(refresh_t *refresh)
{
	if (!refresh->check.tried) {
		pause_begin(refresh, PAUSE_LEFT_ALONE);
		return;
	}
	/* Who forges NOTIFY would send us away for ten minutes in as many seconds. */
	uint32_t next = refresh->check.urgent ? refresh->bootstrap : refresh->bootstrap * 2;
	if (next < REFRESH_BOOTSTRAP_MIN_MS) {
		next = REFRESH_BOOTSTRAP_MIN_MS;
	} else if (next > REFRESH_BOOTSTRAP_MAX_MS) {
		next = REFRESH_BOOTSTRAP_MAX_MS;
	}
	refresh->bootstrap = next;
	pause_begin(refresh, PAUSE_BOOTSTRAP);
}

/*! How long the version may be served after it was last known to be current. */
static uint64_t expire_ms(const refresh_t *refresh)
{
	uint64_t bound = (uint64_t)refresh->bound * 1000;
	uint64_t expire = clamped_ms(refresh->version->soa.expire, refresh->stanza->expire);
	return bound < expire ? bound : expire;
}

/*! \param at_ms  REFRESH_NEVER: not by itself. */
static void set_expiry(refresh_t *refresh, uint64_t at_ms)
{
	refresh->expire_at = at_ms;
	__atomic_store_n(&refresh->zone->expires_ms, at_ms != REFRESH_NEVER ? at_ms : 0, __ATOMIC_RELAXED);
}

static void set_success(refresh_t *refresh, int64_t at_ms)
{
	refresh->success_ms = at_ms;
	__atomic_store_n(&refresh->zone->success_ms, at_ms, __ATOMIC_RELAXED);
}

/* The walk over the primaries. */

static unsigned primary_index(const refresh_t *refresh)
{
	const check_t *check = &refresh->check;
	if (check->first == NONE || check->turn > check->first) {
		return check->turn;
	}
	return check->turn == 0 ? check->first : check->turn - 1;
}

static const primary_t *primary(const refresh_t *refresh)
{
	return &refresh->stanza->primary[primary_index(refresh)];
}

/*! The result of the present primary. \param reason  NULL: it is ok. */
static primary_result_t *result_put(refresh_t *refresh, const char *reason)
{
	primary_result_t *result = &refresh->result[primary_index(refresh)];
	if (refresh->check.reason == result->reason) {
		refresh->check.reason = NULL;
	}
	free(result->reason);
	result->at_ms = now(refresh);
	result->ok = reason == NULL;
	result->reason = reason != NULL ? strndup(reason, REFRESH_REASON_MAX - 1) : NULL;
	return result;
}

static void result_ok(refresh_t *refresh, uint32_t serial)
{
	result_put(refresh, NULL)->serial = serial;
}

static void result_failed(refresh_t *refresh, int priority, const char *reason)
{
	assert(reason != NULL);
	const primary_result_t *result = result_put(refresh, reason);
	refresh->check.reason = result->reason != NULL ? result->reason : "not enough memory";

	char remote[ADDRESS_TEXT_MAX];
	report(refresh->zone, priority, "refresh, remote %s, failed (%s)",
	       address_text(&primary(refresh)->addr, remote), reason);
}

static void transfer(refresh_t *refresh)
{
	refresh->doing = REFRESH_TRANSFERRING;
	refresh->ops->transfer(refresh->ctx, refresh, primary(refresh), refresh->check.urgent);
}

/*! Asks the primary whose turn it is; without a version there is nothing to compare, so the transfer begins at once. */
static void ask(refresh_t *refresh)
{
	refresh->check.began = now(refresh);
	refresh->check.edns_expire = EXPIRE_NONE;
	if (refresh->version == NULL || refresh->check.forced) {
		transfer(refresh);
		return;
	}
	refresh->doing = REFRESH_PROBING;
	refresh->ops->probe(refresh->ctx, refresh, primary(refresh), refresh->check.urgent);
}

static void check_begin(refresh_t *refresh, unsigned first, bool urgent, bool forced)
{
	refresh->check = (check_t) {
		.first = first, .older = NONE, .urgent = urgent, .forced = forced, .confirmed = forced, .again_at = REFRESH_NEVER,
	};
	refresh->again.wanted = false;
	ask(refresh);
	arm(refresh);
}

static void check_cancel(refresh_t *refresh)
{
	if (refresh->doing != REFRESH_IDLE) {
		refresh->ops->cancel(refresh->ctx, refresh);
		refresh->doing = REFRESH_IDLE;
	}
}

/*! Why no primary was of use. */
static const char *failure_reason(const refresh_t *refresh)
{
	return refresh->check.reason != NULL ? refresh->check.reason : "remote is outdated";
}

/*! \a after_ms from now, for people. */
static char *time_text(const refresh_t *refresh, int64_t after_ms, char dst[static TIME_TEXT_MAX])
{
	const time_t at = refresh->ops->wall(refresh->ctx) + after_ms / 1000;
	struct tm local;
	if (localtime_r(&at, &local) == NULL || strftime(dst, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%S%z", &local) == 0) {
		dst[0] = '\0';
	}
	return dst;
}

/*! One line for the zone when no primary was of use. */
static void report_failed(const refresh_t *refresh)
{
	uint64_t at_ms = refresh->next_check, from = refresh->paused;
	uint64_t pause = at_ms > from ? at_ms - from : 0;
	char text[TIME_TEXT_MAX];
	bool serves = refresh->version != NULL && !refresh->expired;
	report(refresh->zone, serves ? LOG_WARNING : LOG_ERR, "refresh, failed (%s), next retry at %s",
	       failure_reason(refresh), time_text(refresh, pause + 999, text));
}

/*! How long a zone may go without being current before somebody should look at it: a whole REFRESH too late, or half of EXPIRE. */
static uint64_t behind_ms(const refresh_t *refresh)
{
	const uint64_t late = 2 * clamped_ms(refresh->version->soa.refresh, refresh->stanza->refresh);
	const uint64_t half = clamped_ms(refresh->version->soa.expire, refresh->stanza->expire) / 2;
	return late < half ? late : half;
}

/*! Each retry has its line; that they go on for long is said once. An expired zone has said more than that. */
static void report_behind(refresh_t *refresh)
{
	const uint64_t since = now(refresh) - refresh->current;
	if (refresh->behind || refresh->expired || since < behind_ms(refresh)) {
		return;
	}
	refresh->behind = true;
	char text[TIME_TEXT_MAX];
	report(refresh->zone, LOG_WARNING, "zone falls behind, serial %u, last current at %s", refresh->version->soa.serial,
	       time_text(refresh, -(int64_t)since, text));
}

static void report_current(refresh_t *refresh)
{
	if (refresh->behind) {
		report(refresh->zone, LOG_NOTICE, "zone has caught up, serial %u", refresh->version->soa.serial);
	}
	refresh->behind = false;
	refresh->current = now(refresh);
}

/*! Does the version that \a want promises serve already? */
static bool is_had(const refresh_t *refresh, const again_t *want)
{
	return want->has_serial && refresh->version != NULL && !refresh->expired && refresh->version->soa.serial == want->serial;
}

/*!
 * Has the check brought what NOTIFY promised meanwhile? A primary that changes fast tells of versions that it has replaced by the
 * time they are asked for: another check would be in vain, and hold up the next.
 */
static bool again_fulfilled(const refresh_t *refresh)
{
	const again_t *again = &refresh->again;
	if (!refresh->check.fruitful) {
		return is_had(refresh, again);
	}
	return again->has_serial && refresh_judge(refresh, again->serial) != PRIMARY_NEWER;
}

/*! After a check that was asked for: was it in vain, NOTIFY waits. */
static void notify_pace(refresh_t *refresh)
{
	if (refresh->check.fruitful) {
		refresh->notify_from = 0;
	} else if (refresh->check.urgent) {
		refresh->notify_from = now(refresh) + NOTIFY_PAUSE_MS;
	}
}

/*! May an urgent check that \a want is about begin now? */
static bool may_begin(const refresh_t *refresh, const again_t *want)
{
	return want->commanded || now(refresh) >= refresh->notify_from;
}

static void again_begin(refresh_t *refresh)
{
	check_begin(refresh, refresh->again.first, true, false);
}

static void check_end(refresh_t *refresh)
{
	const bool succeeded = refresh->check.good && !refresh->check.missed;
	refresh->doing = REFRESH_IDLE;
	if (succeeded) {
		pause_begin(refresh, PAUSE_REFRESH);
		report_current(refresh);
	} else if (refresh->version != NULL) {
		pause_begin(refresh, PAUSE_RETRY);
		report_failed(refresh);
		report_behind(refresh);
	} else {
		pause_bootstrap(refresh);
		report_failed(refresh);
	}

	notify_pace(refresh);
	if (again_fulfilled(refresh)) {
		refresh->again.wanted = false;
	}
	if (refresh->again.wanted && may_begin(refresh, &refresh->again)) {
		again_begin(refresh);
		return;
	}
	arm(refresh);
	refresh->ops->ended(refresh->ctx, refresh, succeeded ? NULL : failure_reason(refresh));
}

/*! The last resort of a zone that is still expired: an older version is better than none. */
static bool check_last_resort(refresh_t *refresh)
{
	check_t *check = &refresh->check;
	if (!refresh->expired || check->older == NONE) {
		return false;
	}
	check->turn = check->older;
	check->older = NONE;
	check->forced = true;
	check->began = now(refresh);
	check->edns_expire = EXPIRE_NONE;
	transfer(refresh);
	return true;
}

static void check_next(refresh_t *refresh)
{
	check_t *check = &refresh->check;
	/* After the last resort has failed, too, later ones are asked for a transfer: none of them had better. */
	if (++check->turn < refresh->stanza->primary_count) {
		ask(refresh);
	} else if (!check_last_resort(refresh)) {
		check_end(refresh);
	}
}

/* What a primary's word means. */

/*! Some primary has our version, or we have its: the timers start anew. */
static void renew(refresh_t *refresh, uint32_t bound)
{
	refresh->check.good = true;
	refresh->succeeded = now(refresh);
	set_success(refresh, refresh->succeeded);
	refresh->bound = bound;
	set_expiry(refresh, refresh->succeeded + expire_ms(refresh));
	const int64_t wall = refresh->ops->wall(refresh->ctx);
	refresh->ops->checked(refresh->ctx, refresh, wall, wall + (int64_t)(expire_ms(refresh) / 1000));
	arm(refresh);
}

/*! Seconds that are left to a version, or none. */
static uint32_t seconds_left(const refresh_t *refresh)
{
	uint64_t at = now(refresh);
	if (refresh->expire_at == REFRESH_NEVER || refresh->expire_at <= at) {
		return 0;
	}
	return (refresh->expire_at - at) / 1000;
}

static void recover(refresh_t *refresh)
{
	refresh->expired = false;
	zone_publish(refresh->zone, refresh->version, 0);
	report(refresh->zone, LOG_NOTICE, "zone recovered, serial %u", refresh->version->soa.serial);
	refresh->ops->published(refresh->ctx, refresh, refresh->version, NULL);
}

/*! RFC 7314, section 4: what a primary with our version says never shortens what is left to us. */
static void same(refresh_t *refresh, uint32_t serial)
{
	uint32_t left = seconds_left(refresh);
	uint32_t bound = refresh->check.edns_expire;
	renew(refresh, bound > left ? bound : left);

	char remote[ADDRESS_TEXT_MAX];
	report(refresh->zone, LOG_INFO, "refresh, remote %s, remote serial %u, zone is up-to-date, expires in %u seconds",
	       address_text(&primary(refresh)->addr, remote), serial, seconds_left(refresh));
	if (refresh->expired) {
		recover(refresh);
	}
	check_next(refresh);
}

static void older(refresh_t *refresh, uint32_t serial)
{
	char remote[ADDRESS_TEXT_MAX];
	report(refresh->zone, LOG_INFO, "refresh, remote %s, remote serial %u, remote is outdated",
	       address_text(&primary(refresh)->addr, remote), serial);
	if (refresh->check.older == NONE) {
		refresh->check.older = refresh->check.turn;
	}
	refresh->check.reason = "remote is outdated";
	check_next(refresh);
}

static void newer(refresh_t *refresh, uint32_t serial)
{
	char remote[ADDRESS_TEXT_MAX];
	report(refresh->zone, LOG_INFO, "refresh, remote %s, remote serial %u, zone is outdated",
	       address_text(&primary(refresh)->addr, remote), serial);
	transfer(refresh);
}

primary_answer_t refresh_judge(const refresh_t *refresh, uint32_t serial)
{
	if (refresh->version == NULL) {
		return PRIMARY_NEWER;
	}
	uint32_t ours = refresh->version->soa.serial;
	if (serial == ours) {
		return PRIMARY_SAME;
	}
	return serial_newer(ours, serial) ? PRIMARY_OLDER : PRIMARY_NEWER;
}

/*! An upstream that says its own version has run out has nothing to give (RFC 7314, section 4). */
static bool is_expired_answer(primary_answer_t answer, uint32_t expire)
{
	return answer != PRIMARY_FAILED && expire < EXPIRE_MIN;
}

void refresh_probed(refresh_t *refresh, primary_answer_t answer, uint32_t serial, uint32_t expire, const char *reason)
{
	assert(refresh->doing == REFRESH_PROBING);
	refresh->check.tried = true;
	if (is_expired_answer(answer, expire)) {
		answer = PRIMARY_FAILED;
		reason = EXPIRE_OVER;
	}
	if (answer != PRIMARY_FAILED) {
		result_ok(refresh, serial);
		refresh->check.edns_expire = expire;
	}

	switch (answer) {
	case PRIMARY_NEWER:
		newer(refresh, serial);
		break;
	case PRIMARY_SAME:
		same(refresh, serial);
		break;
	case PRIMARY_OLDER:
		older(refresh, serial);
		break;
	case PRIMARY_FAILED:
		result_failed(refresh, LOG_WARNING, reason);
		check_next(refresh);
		break;
	}
}

/*! Readers that found it before it expired may still be in their read sections. */
static void give_up_kept(refresh_t *refresh)
{
	if (refresh->expired) {
		snapshot_retire(refresh->version);
		refresh->expired = false;
	}
}

/*! Makes \a snapshot (taken) the version that serves, to which \a run (taken) leads. */
static void adopt(refresh_t *refresh, snapshot_t *snapshot, history_run_t *run)
{
	char was[16] = "none";
	if (refresh->version != NULL) {
		snprintf(was, sizeof(was), "%u", refresh->version->soa.serial);
	}
	snapshot_t *before = refresh->version != NULL ? snapshot_pin(refresh->version) : NULL;
	const bool recovers = refresh->expired;
	give_up_kept(refresh);
	refresh->version = snapshot;
	zone_publish(refresh->zone, snapshot, 0);

	refresh->check.missed = false;
	renew(refresh, refresh->check.edns_expire);
	char remote[ADDRESS_TEXT_MAX];
	report(refresh->zone, LOG_INFO,
	       "refresh, remote %s, zone updated, %.2f seconds, serial %s -> %u, expires in %u seconds",
	       address_text(&primary(refresh)->addr, remote), (now(refresh) - refresh->check.began) / 1000.0, was,
	       snapshot->soa.serial, seconds_left(refresh));
	if (recovers) {
		report(refresh->zone, LOG_NOTICE, "zone recovered, serial %u", snapshot->soa.serial);
	}
	refresh->ops->published(refresh->ctx, refresh, before, run);
	snapshot_unpin(before);
	refresh->check.fruitful = true;
	check_end(refresh);
}

/*! Gives up what a transfer has brought. */
static void discard(snapshot_t *snapshot, history_run_t *run)
{
	snapshot_discard(snapshot);
	if (run != NULL) {
		history_run_clear(run);
	}
}

/*! Has \a snapshot lost more records than the operator lets pass? */
static bool is_shrunk(const refresh_t *refresh, const snapshot_t *snapshot)
{
	const unsigned limit = refresh->stanza->zone_shrink_limit;
	if (limit == 0 || refresh->version == NULL || snapshot->records >= refresh->version->records) {
		return false;
	}
	const uint64_t before = refresh->version->records;
	return (before - snapshot->records) * 100 > before * limit;
}

/*! The version shrank too much to be a likely one: what there is stays until the operator has looked at it. */
static void hold_back(refresh_t *refresh, snapshot_t *snapshot, history_run_t *run)
{
	char reason[160];
	snprintf(reason, sizeof(reason), "serial %u held back, records %" PRIu64 " -> %" PRIu64 ", zone-shrink-limit %u",
	         snapshot->soa.serial, refresh->version->records, snapshot->records, refresh->stanza->zone_shrink_limit);
	discard(snapshot, run);
	refresh->check.missed = true;
	result_failed(refresh, LOG_ERR, reason);
	check_next(refresh);
}

/*! What the primary has is not newer than what it said, or than what another one gave before. */
static void not_newer(refresh_t *refresh, uint32_t serial)
{
	if (serial == refresh->version->soa.serial) {
		same(refresh, serial);
	} else {
		older(refresh, serial);
	}
}

/*! The primary answered a transfer. */
static void transfer_ok(refresh_t *refresh, uint32_t serial, uint32_t expire)
{
	assert(refresh->doing == REFRESH_TRANSFERRING);
	refresh->check.tried = true;
	result_ok(refresh, serial);
	if (expire != EXPIRE_NONE) {
		refresh->check.edns_expire = expire;
	}
}

void refresh_transferred(refresh_t *refresh, snapshot_t *snapshot, history_run_t *run, uint32_t expire, const char *reason)
{
	assert(refresh->doing == REFRESH_TRANSFERRING);
	if (snapshot == NULL) {
		refresh->check.tried = true;
		refresh->check.missed = true;
		result_failed(refresh, LOG_WARNING, reason);
		check_next(refresh);
		return;
	}

	uint32_t serial = snapshot->soa.serial;
	transfer_ok(refresh, serial, expire);
	if (!refresh->check.forced && refresh_judge(refresh, serial) != PRIMARY_NEWER) {
		discard(snapshot, run);
		not_newer(refresh, serial);
	} else if (!refresh->check.confirmed && is_shrunk(refresh, snapshot)) {
		hold_back(refresh, snapshot, run);
	} else {
		adopt(refresh, snapshot, run);
	}
}

void refresh_unchanged(refresh_t *refresh, uint32_t serial, uint32_t expire)
{
	transfer_ok(refresh, serial, expire);
	not_newer(refresh, serial);
}

snapshot_t *refresh_base(const refresh_t *refresh)
{
	return refresh->check.forced ? NULL : refresh->version;
}

/* The same version in less memory. */

/*! Lets \a snapshot (taken) stand for the version that serves or is kept. */
static void replace(refresh_t *refresh, snapshot_t *snapshot)
{
	snapshot_t *before = refresh->version;
	refresh->version = snapshot;
	if (refresh->expired) {
		snapshot_commit(snapshot);
		snapshot_retire(before);
	} else {
		zone_replace(refresh->zone, snapshot);
	}
}

/*!
 * Makes of \a copy, which is of \a was, one of the present version; NULL: the way is not known. Increments stay in the same arena:
 * in another one there is a version of which the way says nothing.
 */
static snapshot_t *catch_up(const refresh_t *refresh, const snapshot_t *was, snapshot_t *copy, const history_run_t *way)
{
	if (refresh->version == NULL || refresh->version->arena != was->arena || way == NULL || way->count == 0) {
		return NULL;
	}
	const builder_limits_t limits = { 0 };
	snapshot_t *snapshot = NULL;
	char error[AMEND_ERROR_MAX];
	(void)amend(copy, way->item, way->count, &limits, &snapshot, error);
	assert(snapshot == NULL || snapshot->soa.serial == refresh->version->soa.serial);
	return snapshot;
}

bool refresh_compacted(refresh_t *refresh, const snapshot_t *was, snapshot_t *copy, const history_run_t *way)
{
	if (refresh->version == was) {
		replace(refresh, copy);
		return true;
	}
	snapshot_t *snapshot = catch_up(refresh, was, copy, way);
	if (snapshot == NULL) {
		snapshot_discard(copy);
		return false;
	}
	replace(refresh, snapshot);
	snapshot_unpin(copy); /* It never served; its successor holds what both share. */
	return true;
}

void refresh_left_alone(refresh_t *refresh, uint64_t again_ms, const char *reason)
{
	assert(refresh->doing != REFRESH_IDLE);
	check_t *check = &refresh->check;
	if (again_ms < check->again_at) {
		check->again_at = again_ms;
	}
	check->missed = check->missed || refresh->doing == REFRESH_TRANSFERRING;
	result_failed(refresh, LOG_WARNING, reason);
	check_next(refresh);
}

/* What comes from outside. */

static void expire(refresh_t *refresh)
{
	refresh->expired = true;
	refresh->behind = false; /* Its recovery has a line of its own. */
	set_expiry(refresh, REFRESH_NEVER);
	refresh->version = zone_expire(refresh->zone, refresh->ops->wall(refresh->ctx));
	counters_event(&refresh->zone->events, EVENT_EXPIRED);
	report(refresh->zone, LOG_NOTICE, "zone expired, serial %u", refresh->version->soa.serial);

	/* A primary that came back is worth a question at once, should RETRY be long. */
	if (refresh->doing == REFRESH_IDLE) {
		pause_begin(refresh, PAUSE_NONE);
	}
}

void refresh_timer(refresh_t *refresh)
{
	uint64_t at = now(refresh);
	if (at >= refresh->expire_at) {
		expire(refresh);
	}
	if (refresh->doing != REFRESH_IDLE || at < next_check(refresh)) {
		arm(refresh);
	} else if (refresh->again.wanted) {
		again_begin(refresh);
	} else {
		check_begin(refresh, NONE, false, false);
	}
}

/*! Primary at the address \a from, whatever its port; NONE: no such one. */
static unsigned primary_find(const stanza_t *stanza, const struct sockaddr_storage *from)
{
	for (unsigned i = 0; from != NULL && i < stanza->primary_count; i++) {
		if (address_same_host(&stanza->primary[i].addr, from)) {
			return i;
		}
	}
	return NONE;
}

/*! Remembers \a want, beside what is wanted already: of two serials the newer one, if they can be compared (RFC 1982). */
static void again_want(refresh_t *refresh, const again_t *want)
{
	again_t *again = &refresh->again;
	const again_t before = *again;
	*again = *want;
	again->wanted = true;
	if (!before.wanted) {
		return;
	}
	again->commanded = want->commanded || before.commanded;
	const bool is_newer = want->serial == before.serial || serial_newer(want->serial, before.serial);
	again->serial = is_newer ? want->serial : before.serial;
	again->has_serial = want->has_serial && before.has_serial && (is_newer || serial_newer(before.serial, want->serial));
}

/*!
 * May a check under way be given up for an urgent one? A scheduled probe or transfer may still wait in a queue, behind
 * thousands; an urgent one gains nothing, and would lose its place; and what a transfer has brought is kept.
 */
static bool check_yields(const refresh_t *refresh)
{
	if (refresh->check.urgent) {
		return false;
	}
	return refresh->doing == REFRESH_PROBING || refresh->ops->waits(refresh->ctx, refresh);
}

/*! Begins an urgent check, or remembers that it is wanted: after the pause, or what may have begun too early to see the news. */
static void check_urgently(refresh_t *refresh, const again_t *want)
{
	const bool busy = refresh->doing != REFRESH_IDLE && !check_yields(refresh);
	if (busy || !may_begin(refresh, want)) {
		again_want(refresh, want);
		arm(refresh);
		return;
	}
	check_cancel(refresh);
	check_begin(refresh, want->first, true, false);
}

void refresh_notified(refresh_t *refresh, const struct sockaddr_storage *from, bool has_serial, uint32_t serial)
{
	const again_t want = { .has_serial = has_serial, .serial = serial, .first = primary_find(refresh->stanza, from) };
	if (!is_had(refresh, &want)) {
		check_urgently(refresh, &want);
	}
}

static void results_clear(refresh_t *refresh)
{
	const unsigned count = refresh->stanza->primary_count;
	for (unsigned i = 0; i < count; i++) {
		free(refresh->result[i].reason);
	}
	memset(refresh->result, 0, count * sizeof(*refresh->result));
}

/*! Gives up all that is known of the zone. */
static void forget_version(refresh_t *refresh)
{
	if (refresh->version != NULL) {
		report(refresh->zone, LOG_NOTICE, "zone purged, serial %u", refresh->version->soa.serial);
	}
	give_up_kept(refresh);
	zone_publish(refresh->zone, NULL, 0);
	history_trim(&refresh->zone->history, 0);
	refresh->version = NULL;
	set_expiry(refresh, REFRESH_NEVER);
	refresh->pause = PAUSE_NONE; /* The others are computed from a version. */
	refresh->bootstrap = 0;
	set_success(refresh, 0);
	refresh->behind = false;
	results_clear(refresh);
}

void refresh_command(refresh_t *refresh, refresh_command_t command)
{
	switch (command) {
	case REFRESH_CHECK:
		check_urgently(refresh, &(again_t) { .commanded = true, .first = NONE });
		break;
	case REFRESH_RETRANSFER:
		/* What has been received so far may be older than what the operator wants. */
		check_cancel(refresh);
		check_begin(refresh, NONE, true, true);
		break;
	case REFRESH_PURGE:
		check_cancel(refresh);
		forget_version(refresh);
		check_begin(refresh, NONE, true, false);
		break;
	}
}

/* Settings. */

/*! Same primaries: the timers that run are computed again. */
static void clamp_again(refresh_t *refresh)
{
	uint32_t below = pause_jitter(refresh);
	if (refresh->jitter >= below) {
		refresh->jitter = below > 0 ? below - 1 : 0;
	}
	if (refresh->doing == REFRESH_IDLE) {
		schedule(refresh);
	}
	if (refresh->expire_at != REFRESH_NEVER) {
		set_expiry(refresh, refresh->succeeded + expire_ms(refresh));
	}
	arm(refresh);
}

/*! Other primaries: their results are blank, and a check begins. */
static bool results_renew(refresh_t *refresh, unsigned count)
{
	primary_result_t *blank = calloc(count, sizeof(*blank));
	if (blank == NULL) {
		return false;
	}
	if (refresh->result != NULL) {
		results_clear(refresh);
		free(refresh->result);
	}
	refresh->result = blank;
	return true;
}

void refresh_set_stanza(refresh_t *refresh, stanza_t *stanza)
{
	assert(stanza->primary_count > 0);
	bool keeps = stanza_primaries_equal(stanza, refresh->stanza);
	if (stanza == refresh->stanza) {
		stanza_release(stanza);
		return;
	}
	if (!keeps && !results_renew(refresh, stanza->primary_count)) {
		report(refresh->zone, LOG_ERR, "refresh, new settings not applied (not enough memory)");
		stanza_release(stanza);
		return;
	}

	bool forced = refresh->doing != REFRESH_IDLE && refresh->check.confirmed && refresh->version != NULL;
	if (!keeps) {
		check_cancel(refresh);
	}
	stanza_release(refresh->stanza);
	refresh->stanza = stanza;
	clamp_again(refresh);
	if (!keeps) {
		check_begin(refresh, NONE, forced, forced);
	}
}

/* Life. */

/*! A zone may come with a version that an earlier worker published: it serves on, and how old it is will be asked at once. */
static void inherit(refresh_t *refresh)
{
	/* Nobody else publishes, so what is borrowed stays. */
	refresh->version = zone_borrow(refresh->zone);
	if (refresh->version != NULL) {
		refresh->succeeded = now(refresh);
		set_expiry(refresh, refresh->succeeded + expire_ms(refresh));
	}
}

refresh_t *refresh_new(zone_t *zone, stanza_t *stanza, const refresh_ops_t *ops, void *ctx)
{
	assert(stanza->primary_count > 0);
	refresh_t *refresh = calloc(1, sizeof(*refresh));
	if (refresh == NULL || !results_renew(refresh, stanza->primary_count)) {
		free(refresh);
		return NULL;
	}
	refresh->zone = zone;
	refresh->stanza = stanza;
	refresh->ops = ops;
	refresh->ctx = ctx;
	refresh->doing = REFRESH_IDLE;
	refresh->expire_at = REFRESH_NEVER;
	refresh->bound = EXPIRE_NONE;
	refresh->current = now(refresh);
	inherit(refresh);
	pause_begin(refresh, PAUSE_NONE);
	arm(refresh);
	return refresh;
}

/*! \a checked_at by the machine's clock, which may not have run yet by then: below 0. Not 0, which is never. */
static int64_t since(const refresh_t *refresh, int64_t checked_at)
{
	const int64_t wall = refresh->ops->wall(refresh->ctx);
	const int64_t at_ms = (int64_t)now(refresh) - (checked_at < wall ? (wall - checked_at) * 1000 : 0);
	return at_ms != 0 ? at_ms : -1;
}

void refresh_restore(refresh_t *refresh, snapshot_t *snapshot, history_run_t *run, int64_t checked_at, uint32_t left)
{
	assert(refresh->version == NULL && refresh->doing == REFRESH_IDLE);
	refresh->version = snapshot;
	refresh->succeeded = now(refresh);
	refresh->bound = left;
	set_success(refresh, since(refresh, checked_at));
	zone_publish(refresh->zone, snapshot, 0);
	set_expiry(refresh, refresh->succeeded + expire_ms(refresh));
	arm(refresh);
	report(refresh->zone, LOG_INFO, "store, zone restored, serial %u, expires in %u seconds", snapshot->soa.serial,
	       seconds_left(refresh));
	refresh->ops->published(refresh->ctx, refresh, NULL, run);
}

zone_t *refresh_zone(const refresh_t *refresh)
{
	return refresh->zone;
}

const stanza_t *refresh_stanza(const refresh_t *refresh)
{
	return refresh->stanza;
}

snapshot_t *refresh_version(const refresh_t *refresh)
{
	return refresh->version;
}

bool refresh_serial(const refresh_t *refresh, uint32_t *ret_serial)
{
	if (refresh->version == NULL) {
		return false;
	}
	*ret_serial = refresh->version->soa.serial;
	return true;
}

void refresh_status(const refresh_t *refresh, refresh_status_t *ret)
{
	const snapshot_t *version = refresh->version;
	*ret = (refresh_status_t) {
		.zone = refresh->zone,
		.loaded = version != NULL,
		.expired = refresh->expired,
		.retrying = refresh->pause != PAUSE_NONE && refresh->pause != PAUSE_REFRESH,
		.now_ms = now(refresh),
		.doing = refresh->doing,
		.next_check_ms = refresh->doing == REFRESH_IDLE ? next_check(refresh) : REFRESH_NEVER,
		.expire_ms = refresh->expire_at,
		.differences = refresh->zone->history.count,
		.difference_octets = refresh->zone->history.octets,
		.success_ms = refresh->success_ms,
		.primary_count = refresh->stanza->primary_count,
		.primary = refresh->stanza->primary,
		.result = refresh->result,
	};
	if (version != NULL) {
		ret->serial = version->soa.serial;
		ret->records = version->records;
		ret->octets = version->octets;
		ret->memory = snapshot_memory(version);
	}
}

void refresh_free(refresh_t *refresh)
{
	if (refresh == NULL) {
		return;
	}
	check_cancel(refresh);
	refresh->ops->arm(refresh->ctx, refresh, REFRESH_NEVER);
	give_up_kept(refresh);
	results_clear(refresh);
	free(refresh->result);
	stanza_release(refresh->stanza);
	zone_release(refresh->zone);
	free(refresh);
}
