/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What leads from one published version of a zone to the next.
 */
#include "secondary/versions.h"

#include <assert.h>
#include <libknot/errcode.h>
#include <stdlib.h>
#include <string.h>

/*! Comparisons after which others are told, though more wait. */
#define COMPARED_MAX 2

/*! A version that waits: it came with differences, or is to be compared. */
struct version_step {
	TAILQ_ENTRY(version_step) entry;
	history_run_t run;
	snapshot_t *before, *now; /*!< Pinned; without run. */
};

struct comparison {
	uv_work_t work;
	versions_t *versions;     /*!< NULL: nobody wants to know any more. */
	snapshot_t *before, *now; /*!< Pinned. */
	size_t max;
	int ret;
	difference_t *difference;
};

static void advance(versions_t *versions);

/*! Octets of memory that are kept. */
static size_t limit(const versions_t *versions)
{
	const size_t worth = history_worth(versions->octets);
	return versions->max < worth ? versions->max : worth;
}

static void forget(const versions_t *versions)
{
	history_trim(&versions->zone->history, 0);
}

/*! Are the records that are removed those that are added? */
static bool is_nothing(const difference_t *difference)
{
	const size_t added = difference->size - difference->added_at;
	return added == difference->added_at && memcmp(difference->octets, difference->octets + difference->added_at, added) == 0;
}

/*! \param difference  Taken. */
static void keep(const versions_t *versions, difference_t *difference)
{
	if (difference->from == difference->to && is_nothing(difference)) {
		difference_release(difference);
		return;
	}
	(void)history_add(&versions->zone->history, difference, limit(versions)); /* Else it begins anew. */
}

/*! \param run  Taken. */
static void keep_run(const versions_t *versions, history_run_t *run)
{
	for (size_t i = 0; i < run->count; i++) {
		keep(versions, difference_hold(run->item[i]));
	}
	history_run_clear(run);
}

/*! \param difference  With KNOT_EOK: taken. */
static void keep_compared(versions_t *versions, int ret, difference_t *difference)
{
	if (ret == KNOT_EOK) {
		keep(versions, difference);
	} else {
		forget(versions);
	}
	versions->compared++;
}

/* -- comparing -------------------------------------------------------------------------------------------------------- */

/*! In a thread of the pool, which is not registered with RCU: both are pinned, and nothing is retired here. */
static void on_work(uv_work_t *work)
{
	comparison_t *comparison = work->data;
	comparison->ret = difference_compute(comparison->before, comparison->now, comparison->max, &comparison->difference);
}

static void comparison_free(comparison_t *comparison)
{
	snapshot_unpin(comparison->before);
	snapshot_unpin(comparison->now);
	free(comparison);
}

static void on_done(uv_work_t *work, int status)
{
	comparison_t *comparison = work->data;
	versions_t *versions = comparison->versions;
	if (status != 0) {
		comparison->ret = KNOT_ERROR;
	}
	if (versions == NULL) {
		difference_release(comparison->difference);
		comparison_free(comparison);
		return;
	}
	versions->comparison = NULL;
	keep_compared(versions, comparison->ret, comparison->difference);
	comparison_free(comparison);
	advance(versions);
}

static void give_up(versions_t *versions)
{
	comparison_t *comparison = versions->comparison;
	if (comparison != NULL) {
		versions->comparison = NULL;
		comparison->versions = NULL;
		uv_cancel((uv_req_t *)&comparison->work); /* In vain if it has begun: then nobody hears of its end. */
	}
}

/*! \param before, now  Pins, taken. */
static void compare_aside(versions_t *versions, snapshot_t *before, snapshot_t *now)
{
	comparison_t *comparison = calloc(1, sizeof(*comparison));
	if (comparison == NULL) {
		snapshot_unpin(before);
		snapshot_unpin(now);
		keep_compared(versions, KNOT_ENOMEM, NULL);
		return;
	}
	*comparison = (comparison_t) {
		.work.data = comparison, .versions = versions, .before = before, .now = now, .max = limit(versions),
	};
	int ret = uv_queue_work(versions->loop, &comparison->work, on_work, on_done);
	assert(ret == 0); /* It refuses nothing but a missing function. */
	(void)ret;
	versions->comparison = comparison;
}

static void compare(versions_t *versions, version_step_t *step)
{
	if (step->before->records + step->now->records > versions->at_once) {
		compare_aside(versions, step->before, step->now);
		return;
	}
	difference_t *difference = NULL;
	int ret = difference_compute(step->before, step->now, limit(versions), &difference);
	keep_compared(versions, ret, difference);
	snapshot_unpin(step->before);
	snapshot_unpin(step->now);
}

/* -- one after the other ---------------------------------------------------------------------------------------------- */

static void step_free(version_step_t *step)
{
	history_run_clear(&step->run);
	snapshot_unpin(step->before);
	snapshot_unpin(step->now);
	free(step);
}

static void drop_steps(versions_t *versions)
{
	version_step_t *step;
	while ((step = TAILQ_FIRST(&versions->steps)) != NULL) {
		TAILQ_REMOVE(&versions->steps, step, entry);
		step_free(step);
	}
}

static void tell(versions_t *versions)
{
	versions->compared = 0;
	if (versions->is_owed) {
		versions->is_owed = false;
		versions->ready(versions);
	}
}

/*! Does what may be done, until a comparison is under way or nothing waits. */
static void advance(versions_t *versions)
{
	version_step_t *step;
	while (versions->comparison == NULL && (step = TAILQ_FIRST(&versions->steps)) != NULL) {
		TAILQ_REMOVE(&versions->steps, step, entry);
		if (step->run.count > 0) {
			keep_run(versions, &step->run);
		} else {
			compare(versions, step);
		}
		free(step);
	}
	if (versions->comparison == NULL || versions->compared >= COMPARED_MAX) {
		tell(versions);
	}
}

/*! A whole version takes the place of one that waits as the last. */
static bool replace_last(versions_t *versions, snapshot_t *now)
{
	version_step_t *last = TAILQ_LAST(&versions->steps, version_steps);
	if (last == NULL || last->run.count > 0) {
		return false;
	}
	snapshot_unpin(last->now);
	last->now = snapshot_pin(now);
	return true;
}

/*! \param run  Taken. Returns false: no memory. */
static bool add_step(versions_t *versions, snapshot_t *before, snapshot_t *now, history_run_t *run)
{
	const bool is_whole = run == NULL || run->count == 0;
	if (is_whole && replace_last(versions, now)) {
		return true;
	}
	version_step_t *step = calloc(1, sizeof(*step));
	if (step == NULL) {
		return false;
	}
	if (is_whole) {
		step->before = snapshot_pin(before);
		step->now = snapshot_pin(now);
	} else {
		step->run = *run;
		*run = (history_run_t) { 0 };
	}
	TAILQ_INSERT_TAIL(&versions->steps, step, entry);
	return true;
}

/*! Is there a way that somebody may ask for, or may it turn out that there is? */
static bool leads_on(const versions_t *versions, const snapshot_t *before, const snapshot_t *now, const history_run_t *run)
{
	if (before == NULL) { /* A version that outlived the process may have its differences with it. */
		return versions->max > 0 && run != NULL && run->count > 0;
	}
	return versions->max > 0 &&
	       (now->soa.serial == before->soa.serial || serial_newer(now->soa.serial, before->soa.serial));
}

void versions_follow(versions_t *versions, snapshot_t *before, snapshot_t *now, history_run_t *run)
{
	versions->octets = now->octets;
	versions->is_owed = true;
	if (before == now) {
		tell(versions);
		return;
	}
	if (!leads_on(versions, before, now, run) || !add_step(versions, before, now, run)) {
		give_up(versions);
		drop_steps(versions);
		forget(versions);
	}
	if (run != NULL) {
		history_run_clear(run);
	}
	advance(versions);
}

void versions_set_max(versions_t *versions, uint64_t max)
{
	versions->max = max;
	history_trim(&versions->zone->history, limit(versions));
	if (max == 0) { /* Nothing of what waits will be kept. */
		give_up(versions);
		drop_steps(versions);
		advance(versions);
	}
}

void versions_open(versions_t *versions, uv_loop_t *loop, zone_t *zone, uint64_t max,
                   void (*ready)(versions_t *versions))
{
	*versions = (versions_t) { .zone = zone, .loop = loop, .ready = ready, .max = max, .at_once = VERSIONS_AT_ONCE };
	TAILQ_INIT(&versions->steps);
	rcu_read_lock();
	const snapshot_t *version = zone_borrow(zone);
	versions->octets = version != NULL ? version->octets : 0;
	rcu_read_unlock();
}

void versions_forget(versions_t *versions)
{
	versions_close(versions);
	forget(versions);
	versions->is_owed = false;
}

void versions_close(versions_t *versions)
{
	give_up(versions);
	drop_steps(versions);
}
