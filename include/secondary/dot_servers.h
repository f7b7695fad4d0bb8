/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief DNS over TLS to a list of servers of one name: the first one that is well is asked, others when it fails.
 *
 * One that cannot be connected to, is not who it should be, or has stopped answering is left alone for DOT_SERVERS_PAUSE_MIN_MS,
 * doubled each time up to DOT_SERVERS_PAUSE_MAX_MS, unless none is better. A question that one does not answer in
 * DOT_SERVERS_TRY_MS, or answers with SERVFAIL or REFUSED, goes to the next; each server is asked once.
 *
 * Threads: the one that runs the loop. Blocks: as dot.h.
 */
#pragma once

#include "secondary/dot.h"

#define DOT_SERVERS_MAX          64
/*! Of the 5 s that a look-up has (lookup.h) the first server may take so much; a resolver that has to ask others needs some time. */
#define DOT_SERVERS_TRY_MS       2000
/*! And all together so much. */
#define DOT_SERVERS_TIMEOUT_MS   5000
#define DOT_SERVERS_PAUSE_MIN_MS 1000
#define DOT_SERVERS_PAUSE_MAX_MS 60000

typedef struct dot_servers dot_servers_t;
typedef struct dot_servers_question dot_servers_question_t;

/*! Borrowed for the call. */
typedef struct {
	const struct sockaddr_storage *servers; /*!< With ports. */
	unsigned count;
	const char *name;         /*!< That their certificates have to be for. */
	const char *ca_file;      /*!< NULL: the system's authorities are trusted. */
	dot_trouble_f trouble;
	void *trouble_ctx;
} dot_servers_params_t;

/*! \brief Own: dot_servers_free(). \return KNOT_EOK, KNOT_ENOMEM, KNOT_ENOENT (no certificate in the file). */
int dot_servers_new(uv_loop_t *loop, const dot_servers_params_t *params, dot_servers_t **ret_servers);

/*! \brief Drops all questions without a call of done(). NULL is a no-op. */
void dot_servers_free(dot_servers_t *servers);

/*! \brief As dot_ask(). When all have failed, the last failure counts. */
int dot_servers_ask(dot_servers_t *servers, const uint8_t *query, size_t len, dot_done_f done, void *ctx,
                    dot_servers_question_t **ret_question);

/*! \brief Ends a question; done() is not called. NULL is a no-op. */
void dot_servers_cancel(dot_servers_question_t *question);
