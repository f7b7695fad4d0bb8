/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What the refresh machine has asked of a primary, a SOA probe or a transfer, from its turn to the machine's answer.
 *
 *     errand_ask() --> turn --> exchange --> soa_probe ---------------------------------------> refresh_probed()
 *                                        \-> transfer_in --> completion --> zonemd, in steps --> refresh_transferred()
 *
 * A probe goes by UDP, and again over TCP on truncation, or when UDP stays without answer. What is answered FORMERR is asked
 * again without EDNS (RFC 6891, section 7); a remote with `no-edns` spares itself that. Which errand may begin is turns.h.
 *
 * A transfer asks for an increment (IXFR over TCP) where there is a version to begin at and not the whole zone is wanted
 * (refresh_base()). Any trouble with it, from a refusal to a record that does not fit, is followed by AXFR from the same primary
 * at once, with one line in the log. Only a primary that is not there, or expired, is not asked again.
 *
 * A version that is to be checked (`zonemd-verify`) is hashed by the loop when it has nothing else to do, in steps of a millisecond,
 * one zone after the other, so that other zones wait for one step, not for the zone; the errand keeps its turn until then. A million
 * records of 45 octets take 0.3 s of it.
 *
 * Threads: the one that runs the loop; a large version is completed beside it (completion.h). Blocks: never, but giving one up that is
 * being completed waits for its end. Memory: the errand is part of its zone's agent, so that asking allocates nothing but its remote; what it needs beyond that is
 * allocated when its turn comes, for as many as may run at once.
 */
#pragma once

#include <sys/queue.h>
#include <uv.h>

#include "secondary/exchange.h"
#include "secondary/refresh.h"
#include "secondary/soa_probe.h"
#include "secondary/transfer_in.h"
#include "secondary/turns.h"
#include "secondary/zonemd.h"

typedef enum { ERRAND_PROBE, ERRAND_TRANSFER } errand_kind_t;

/*! What is under way for an errand whose turn it is. */
typedef struct errand_work errand_work_t;

/*! All errands of a loop. */
typedef struct {
	turns_t turns;
	uv_loop_t *loop;
	uv_idle_t fail;          /*!< Runs while errands are failing. */
	uv_idle_t check;         /*!< Runs while versions are checked: */
	TAILQ_HEAD(, errand_work) checks; /*!< of these, the next one first. */
	bool stopping;
} errands_t;

/*! The one errand of a zone. Zeroed: nothing is asked. */
typedef struct errand {
	turn_t turn;
	errands_t *errands;
	refresh_t *refresh;
	stanza_t *stanza;        /*!< Held, for the primary and its key. */
	const primary_t *primary;
	errand_work_t *work;     /*!< Own, from its turn on; NULL: it has not come. */
} errand_t;

/*! \brief Begins. \param limits  By errand_kind_t. \param pause_ms  How long a primary is left alone, by its fault. */
void errands_init(errands_t *errands, uv_loop_t *loop, const uint64_t pause_ms[static TURNS_PAUSES],
                  const turns_limit_t limits[static TURNS_KINDS]);

/*! \brief Starts nothing more, and closes the handle: the loop must run on. Machines are freed, or about to be. */
void errands_stop(errands_t *errands);

/*! \brief Forgets the remotes. Nothing is asked any more. */
void errands_clear(errands_t *errands);

/*! \brief Starts what may start. To be called at the end of each turn of the loop in which a machine was called. */
void errands_start(errands_t *errands);

/*! \brief Asks \a primary, of the stanza of \a refresh, which hears of it in a later turn of the loop. \a errand is idle. */
void errand_ask(errands_t *errands, errand_t *errand, refresh_t *refresh, errand_kind_t kind, const primary_t *primary,
                bool urgent);

/*! \brief Is something asked that has not begun yet? */
bool errand_waits(const errand_t *errand);

/*! \brief Gives up what is asked; nothing comes back for it. */
void errand_cancel(errand_t *errand);

/*! How far a transfer is. */
typedef struct {
	bool is_running;         /*!< Else the rest has no sense. */
	const char *operation;   /*!< AXFR or IXFR; as long as nothing has come, what was asked for. */
	struct sockaddr_storage remote;
	uint64_t elapsed_ms;
	transfer_counts_t counts;
} errand_progress_t;

/*! \brief How far the transfer is that runs, if any. */
errand_progress_t errand_progress(const errand_t *errand);

/*! \brief Milliseconds of the loop's clock, read anew. */
uint64_t errands_now(const errands_t *errands);
