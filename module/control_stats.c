/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The lines of zone-stats and stats.
 */
#include "secondary/control_stats.h"

#include <inttypes.h>
#include <libknot/libknot.h>
#include <stdio.h>

#include "control_request.h"
#include "secondary/rcu.h"
#include "secondary/statistics.h"
#include "secondary/upstream.h"

#define SECTION "mod-secondary"

/*! What is told: of one zone, of all, or of both. */
enum { OF_ZONE = 1, OF_ALL = 2, OF_BOTH = OF_ZONE | OF_ALL };

/*! Taken once for all lines. */
typedef struct {
	const zone_t *zone;       /*!< NULL: all. */
	statistics_state_t state;
	upstream_counters_t upstream;
	uint64_t answers[ANSWERS]; /*!< Of all. */
	uint64_t served, never_loaded, expired;
} view_t;

typedef uint64_t (*read_f)(const view_t *view, unsigned which);

static uint64_t read_answers(const view_t *view, unsigned kind)
{
	return view->zone != NULL ? counters_answers(view->zone->answers, kind) : view->answers[kind];
}

static uint64_t read_event(const view_t *view, unsigned what)
{
	return view->zone != NULL ? __atomic_load_n(&view->zone->events.event[what], __ATOMIC_RELAXED) : counters_event_sum(what);
}

static uint64_t read_octets(const view_t *view, unsigned direction)
{
	return view->zone != NULL ? __atomic_load_n(&view->zone->events.octets[direction], __ATOMIC_RELAXED)
	                          : counters_octets_sum(direction);
}

/*! \param offset  Of a uint64_t in the view. */
static uint64_t read_view(const view_t *view, unsigned offset)
{
	uint64_t value;
	memcpy(&value, (const uint8_t *)view + offset, sizeof(value));
	return value;
}

static uint64_t read_serial(const view_t *view, unsigned unused)
{
	(void)unused;
	return view->state.serial;
}

#define VIEWED(member) read_view, offsetof(view_t, member)

/*! In the order of the lines. Without a name of its own an answer has that of its kind. */
static const struct {
	unsigned of;
	const char *item, *index;
	read_f read;
	unsigned which;
} metrics[] = {
	{ OF_BOTH, "answer", NULL, read_answers, ANSWERS_DATA },
	{ OF_BOTH, "answer", NULL, read_answers, ANSWERS_NODATA },
	{ OF_BOTH, "answer", NULL, read_answers, ANSWERS_NXDOMAIN },
	{ OF_BOTH, "answer", NULL, read_answers, ANSWERS_REFERRAL },
	{ OF_BOTH, "answer", NULL, read_answers, ANSWERS_ALIAS },
	{ OF_BOTH, "answer", NULL, read_answers, ANSWERS_ERROR },
	{ OF_BOTH, "answer", NULL, read_answers, ANSWERS_UNSERVED },
	{ OF_BOTH, "answer", NULL, read_answers, ANSWERS_TRUNCATED },
	{ OF_ZONE, "state", "serial", read_serial, 0 },
	{ OF_ZONE, "state", "last-success", VIEWED(state.last_success) },
	{ OF_ZONE, "state", "expires", VIEWED(state.expires) },
	{ OF_ALL, "zones", "served", VIEWED(served) },
	{ OF_ALL, "zones", "never-loaded", VIEWED(never_loaded) },
	{ OF_ALL, "zones", "expired", VIEWED(expired) },
	{ OF_BOTH, "refresh", "succeeded", read_event, EVENT_CHECK },
	{ OF_BOTH, "refresh", "failed", read_event, EVENT_CHECK_FAILED },
	{ OF_BOTH, "refresh", "expired", read_event, EVENT_EXPIRED },
	{ OF_BOTH, "primary-failure", "timeout", read_event, EVENT_TIMEOUT },
	{ OF_BOTH, "primary-failure", "network", read_event, EVENT_NETWORK },
	{ OF_BOTH, "primary-failure", "signature", read_event, EVENT_SIGNATURE },
	{ OF_BOTH, "primary-failure", "response", read_event, EVENT_RESPONSE },
	{ OF_BOTH, "primary-failure", "content", read_event, EVENT_CONTENT },
	{ OF_BOTH, "transfer-in", "axfr", read_event, EVENT_AXFR_IN },
	{ OF_BOTH, "transfer-in", "ixfr", read_event, EVENT_IXFR_IN },
	{ OF_BOTH, "transfer-in", "failed", read_event, EVENT_FAILED_IN },
	{ OF_BOTH, "transfer-out", "axfr", read_event, EVENT_AXFR_OUT },
	{ OF_BOTH, "transfer-out", "ixfr", read_event, EVENT_IXFR_OUT },
	{ OF_BOTH, "transfer-out", "current", read_event, EVENT_CURRENT_OUT },
	{ OF_BOTH, "transfer-out", "failed", read_event, EVENT_FAILED_OUT },
	{ OF_BOTH, "transfer-out", "refused", read_event, EVENT_REFUSED_OUT },
	{ OF_BOTH, "transfer-octets", "in", read_octets, OCTETS_IN },
	{ OF_BOTH, "transfer-octets", "out", read_octets, OCTETS_OUT },
	{ OF_BOTH, "notify-in", "accepted", read_event, EVENT_NOTIFY_IN },
	{ OF_BOTH, "notify-in", "refused", read_event, EVENT_NOTIFY_IN_REFUSED },
	{ OF_BOTH, "notify-out", "answered", read_event, EVENT_NOTIFY_OUT },
	{ OF_BOTH, "notify-out", "failed", read_event, EVENT_NOTIFY_OUT_FAILED },
	{ OF_ALL, "upstream", "hits", VIEWED(upstream.hits) },
	{ OF_ALL, "upstream", "misses", VIEWED(upstream.misses) },
	{ OF_ALL, "upstream", "stale", VIEWED(upstream.stale) },
	{ OF_ALL, "upstream", "holds", VIEWED(upstream.holds) },
	{ OF_ALL, "upstream", "lookups", VIEWED(upstream.lookups) },
	{ OF_ALL, "upstream", "failures", VIEWED(upstream.failures) },
};

#define METRICS (sizeof(metrics) / sizeof(metrics[0]))

static bool is_chosen(const control_request_t *request, unsigned metric, unsigned of)
{
	return (metrics[metric].of & of) != 0 && (request->section == NULL || strcasecmp(request->section, SECTION) == 0) &&
	       (request->item == NULL || strcasecmp(request->item, metrics[metric].item) == 0);
}

static int put_line(const control_request_t *request, const char *zone, unsigned metric, uint64_t value)
{
	if (value == 0 && !control_has_flag(request, CONTROL_FLAG_FORCE)) {
		return KNOT_EOK;
	}
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, value);
	const knot_ctl_data_t data = {
		[KNOT_CTL_IDX_SECTION] = SECTION,
		[KNOT_CTL_IDX_ITEM] = metrics[metric].item,
		[KNOT_CTL_IDX_ID] = metrics[metric].index != NULL ? metrics[metric].index : statistics_answer_name(metrics[metric].which),
		[KNOT_CTL_IDX_ZONE] = zone,
		[KNOT_CTL_IDX_DATA] = text,
	};
	return control_stream_put(request->stream, KNOT_CTL_TYPE_DATA, &data);
}

static int put_lines(const control_request_t *request, const char *zone, const view_t *view, unsigned of)
{
	int ret = KNOT_EOK;
	for (unsigned i = 0; i < METRICS && ret == KNOT_EOK; i++) {
		if (is_chosen(request, i, of)) {
			ret = put_line(request, zone, i, metrics[i].read(view, metrics[i].which));
		}
	}
	return ret;
}

int control_zone_stats(const control_request_t *request, zone_t *zone)
{
	char name[KNOT_DNAME_TXT_MAXLEN + 1];
	view_t view = { .zone = zone };
	statistics_state(zone, &view.state);
	return put_lines(request, zone_name(zone, name), &view, OF_ZONE);
}

static int tally(zone_t *zone, void *ctx)
{
	view_t *view = ctx;
	rcu_read_lock();
	if (zone_borrow(zone) != NULL) {
		view->served++;
	} else if (__atomic_load_n(&zone->expired_at, __ATOMIC_RELAXED) != 0) {
		view->expired++;
	} else {
		view->never_loaded++;
	}
	rcu_read_unlock();
	return KNOT_EOK;
}

int control_stats(const control_request_t *request)
{
	view_t view = { .zone = NULL };
	(void)zone_walk(tally, &view);
	counters_answers_sum(view.answers);
	upstream_counters(&view.upstream);
	return put_lines(request, NULL, &view, OF_ALL);
}

bool control_stats_exist(const control_request_t *request, bool of_zone)
{
	for (unsigned i = 0; i < METRICS; i++) {
		if (is_chosen(request, i, of_zone ? OF_ZONE : OF_ALL)) {
			return true;
		}
	}
	return false;
}
