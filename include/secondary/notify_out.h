/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Telling others that a zone has a new version (RFC 1996), so that they need not wait for REFRESH.
 *
 * A notice is what one target has yet to hear about one zone. It goes by UDP with the SOA that serves when its turn comes, and ends
 * with any response. News that come while it is under way are told when that has ended: at once after a response, else with the
 * next try.
 *
 *     send() --> waiting --turn--> sent (three datagrams in seven seconds) --response--> gone
 *                   ^                        |
 *                   +------- resting <-------+ silence, up to NOTIFY_OUT_RETRIES times; then gone
 *
 * All targets are told at once, but for one that is silent, which hears of one zone at a time until it answers (turns.h); it is
 * not left alone, so that one that comes up again hears of the next version at once. The queue is apart from that of probes and
 * transfers, and its sockets are few, so neither waits for it.
 *
 * Threads: the one that runs the loop, registered with RCU, outside read sections. Blocks: never. Memory: 250 octets for each
 * notice that is on its way.
 */
#pragma once

#include <sys/queue.h>
#include <uv.h>

#include "secondary/stanza.h"
#include "secondary/turns.h"
#include "secondary/zone.h"

/*! Sockets at once; 256 targets that are silent, each for the first time, delay others by seven seconds. */
#define NOTIFY_OUT_MAX        256
/*! Of them towards one target: secondaries limit what they take, and what is lost takes a second longer. */
#define NOTIFY_OUT_REMOTE_MAX 32
/*! Times that a silent target is tried again, after these pauses. It is told for seven minutes; then its own REFRESH helps. */
#define NOTIFY_OUT_RETRIES    4
#define NOTIFY_OUT_PAUSES_MS  { 10000, 30000, 90000, 270000 }

typedef struct notice notice_t;
TAILQ_HEAD(notice_queue, notice);

typedef struct notify_zone notify_zone_t;

/*! All notices of a loop. */
typedef struct {
	turns_t turns;
	uv_loop_t *loop;
	uv_idle_t fail;          /*!< Runs while notices are failing. */
	uv_timer_t again;        /*!< When the next one has rested. */
	uint32_t pause_ms[NOTIFY_OUT_RETRIES];
	struct notice_queue resting[NOTIFY_OUT_RETRIES]; /*!< By number of failures, so each is in the order of time. */
	/*!
	 * NULL, or called when no target of a zone is about to be told any more: each has answered, or failed to and is told again
	 * later. \a failure: "", or what went wrong with one of them since notify_out_send().
	 */
	void (*told)(notify_zone_t *list, const char *failure);
	bool stopping;
} notify_out_t;

/*! The notices of one zone. Zeroed: none. */
struct notify_zone {
	LIST_HEAD(, notice) notices;
	int error;               /*!< KNOT_E… of one that failed since notify_out_send(); */
	uint16_t rcode;          /*!< or what one responded. */
};

/*! \brief Begins. \param pause_ms  NOTIFY_OUT_PAUSES_MS, or what a test has the patience for. */
void notify_out_init(notify_out_t *out, uv_loop_t *loop, const uint32_t pause_ms[static NOTIFY_OUT_RETRIES]);

/*! \brief Sends what may be sent. To be called at the end of each turn of the loop in which notices were given up. */
void notify_out_start(notify_out_t *out);

/*! \brief Sends nothing more, and closes the handles: the loop must run on. Zones are to be cancelled. */
void notify_out_stop(notify_out_t *out);

/*! \brief Forgets the targets. All zones are cancelled. */
void notify_out_clear(notify_out_t *out);

/*!
 * \brief Tells all targets of \a stanza that \a zone has a new version; does nothing where none serves.
 *
 * \param zone    Borrowed until notify_out_cancel().
 * \param urgent  The operator's wish: ahead of others.
 */
void notify_out_send(notify_out_t *out, notify_zone_t *list, zone_t *zone, const stanza_t *stanza, bool urgent);

/*!
 * \brief Other settings: notices go on to targets that \a stanza has, too; the others are given up, and their places are for
 *        other zones' (notify_out_start()).
 */
void notify_out_set_stanza(notify_zone_t *list, const stanza_t *stanza);

/*! \brief Gives up all notices of the zone. Their places are for other zones' (notify_out_start()). */
void notify_out_cancel(notify_zone_t *list);
