/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The one background thread of the process: a libuv loop that owns every timer and socket of all zones.
 *
 * It runs the refresh machine of each zone (refresh.h), the errands that those ask for (errand.h: SOA probes, transfers), their
 * timers, tells others of new versions (notify_out.h), and has them compacted (compaction.h). Other threads only leave letters: a
 * wait-free queue and a wake-up.
 *
 * Fairness. At most `transfer-limit` transfers run, `transfer-limit-remote` of them with one address, and WORKER_PROBES_MAX
 * probes; further ones wait for their turn (turns.h), urgent ones (NOTIFY, commands) less long. A primary that does not answer
 * is left alone for a while by all its zones, and holds up nothing but itself.
 *
 * Memory. A zone has one agent from worker_zone_set() on, half a kilobyte: timer, letter and question under way are parts of
 * it, so that telling the worker allocates nothing and cannot fail.
 *
 * Threads: as each function says. Signals are blocked in the thread. It is registered with RCU.
 */
#pragma once

#include <sys/queue.h>

#include "secondary/errand.h"
#include "secondary/refresh.h"

/*! Probes under way at once: each has a socket; 100,000 zones that fall due together wait here, not in the kernel. */
#define WORKER_PROBES_MAX       256
/*! A primary that timed out is not asked again for so long: its zones' checks fail at once. */
#define WORKER_SILENT_PAUSE_MS  5000
/*! Nor is one that refused connections, which costs it and us a packet each: so much later one that has just started is found. */
#define WORKER_REFUSED_PAUSE_MS 1000

typedef struct {
	unsigned transfer_limit;          /*!< Transfers at once. */
	unsigned transfer_limit_remote;   /*!< Of them with one address. */
	void (*checked)(zone_t *zone);    /*!< Called on the worker after each check, and when a version outlived the process; or NULL. */
} worker_options_t;

/*!
 * \brief Starts the thread, or counts one more user of the running one (whose options stay).
 *
 * Thread: load(), registered with RCU or not. Blocks: shortly (a lock). \return KNOT_EOK, KNOT_ENOMEM, or KNOT_ERROR.
 */
int worker_start(const worker_options_t *options);

/*!
 * \brief Counts one user less; the last stops the thread, joins it, and waits until all that was retired has been freed.
 *
 * No other worker_…() may be under way or follow then. What zones serve stays published.
 * Thread: unload(), registered with RCU, outside read sections. Blocks: for what the worker does at the moment (milliseconds;
 * a version being completed or compacted: its size), and for two grace periods.
 */
void worker_stop(void);

/*!
 * \brief A zone is attached to, or its settings changed; the same settings change nothing.
 *
 * Thread: load(). Blocks: no.
 * \param stanza  One hold, taken, also on failure.
 * \return KNOT_EOK or KNOT_ENOMEM (a zone that was set before never fails).
 */
int worker_zone_set(zone_t *zone, stanza_t *stanza);

/*!
 * \brief Nobody is attached any more: its machine is stopped. Once for a zone, with the worker running.
 *
 * Thread: unload(), or a load() that failed, registered with RCU or not: the last hold is given up by the worker. Blocks: no.
 * \param zone  The caller's hold, taken.
 */
void worker_zone_gone(zone_t *zone);

/*!
 * \brief An authorised NOTIFY came. Thread: hooks. Blocks: never; allocates nothing.
 *
 * While one is on its way to the worker, further ones for the zone are absorbed (NOTIFY storms): the check that follows
 * asks for the then current serial anyway.
 */
void worker_notify(zone_t *zone, const struct sockaddr_storage *from, bool has_serial, uint32_t serial);

/*! A command whose end is waited for. Lives from its order until it is done, or was forgotten. */
typedef struct worker_wait {
	LIST_ENTRY(worker_wait) entry;    /*!< The worker's. */
	bool done;                        /*!< The worker's lock. */
	char failure[96];                 /*!< Once done: why it failed, in words; "": it did not. */
} worker_wait_t;

/*!
 * \brief Has the zone checked, transferred or purged now.
 *
 * \param wait  Zeroed: done when nothing is under way for the zone any more (a check that was wanted meanwhile included); or NULL.
 * Thread: control's. RCU: outside. Blocks: for what the worker does at the moment.
 * \return KNOT_EOK, or KNOT_ENOENT: the worker does not know the zone (any more); then nothing is waited for.
 */
int worker_command(zone_t *zone, refresh_command_t command, worker_wait_t *wait);

/*! What zone-purge gives up. */
enum {
	WORKER_PURGE_VERSION     = 1 << 0, /*!< What serves, and the differences that lead there: REFRESH_PURGE. */
	WORKER_PURGE_DIFFERENCES = 1 << 1, /*!< These alone: who asks for an increment gets the zone. */
	WORKER_PURGE_FILE        = 1 << 2, /*!< What the store keeps: after a restart the zone comes by a transfer. */
};

/*! \brief Gives up \a what is kept of the zone. Otherwise as worker_command(). */
int worker_purge(zone_t *zone, unsigned what, worker_wait_t *wait);

/*!
 * \brief Sends NOTIFY to the zone's targets, soon; \a wait is done when each target has answered, or failed to for the first time.
 *
 * Otherwise as worker_command().
 */
int worker_notify_out(zone_t *zone, worker_wait_t *wait);

/*! \brief Waits until \a wait is done, for \a ms at most; returns whether it is. Thread: control's. RCU: outside. */
bool worker_await(worker_wait_t *wait, uint32_t ms);

/*! \brief Waits for it no more: it is the caller's alone when this returns. Thread, Blocks: as worker_command(). */
void worker_forget(zone_t *zone, worker_wait_t *wait);

/*!
 * \brief Runs \a visit(refresh, ctx) on the worker and waits for its end.
 *
 * Thread: control's, not the worker. RCU: outside. Blocks: for what the worker does at the moment.
 * \return KNOT_EOK, or KNOT_ENOENT: the worker does not know the zone (any more).
 */
int worker_call(zone_t *zone, void (*visit)(refresh_t *refresh, void *ctx), void *ctx);

/*! \brief As worker_call(), and fills \a ret_progress with that of the transfer that runs. */
int worker_look(zone_t *zone, void (*visit)(refresh_t *refresh, void *ctx), void *ctx, errand_progress_t *ret_progress);
