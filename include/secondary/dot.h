/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief DNS over TLS (RFC 7858) to one server: questions side by side over one connection that is kept.
 *
 * Before the server has proved its name no question leaves; where it cannot, none does (tls_stream.h).
 *
 *     closed --question--> connecting --> handshake --verified--> open --idle, or closed by the server--> closed
 *        ^--refused, unreachable, not verified, no answer-------------/
 *
 * Questions are sent as they come and are answered in any order; each has an id that no other has at the time, and is padded to
 * DOT_PADDING octets (RFC 8467), as its length would tell about the name. A server may close a connection at any time: questions
 * that were under way on one that has worked are put to a new one, twice at most. A connection on which nothing was heard since a question that
 * got no answer is given up.
 *
 * Memory: 64 KiB for a connection, beside its stream; 640 octets for a question.
 * Threads: the one that runs the loop. Blocks: no.
 */
#pragma once

#include "secondary/tls_stream.h"

/*! Queries are padded to a multiple of it. */
#define DOT_PADDING    128
/*! Octets of a query at most, without padding: a name, and OPT without options. */
#define DOT_QUERY_MAX  384
/*! A connection without questions is closed after this: a handshake is dearer than a socket, but the server counts these. */
#define DOT_IDLE_MS    10000
/*! A connection has to be there, verified, within this. */
#define DOT_CONNECT_MS 4000

typedef struct dot_client dot_client_t;
typedef struct dot_question dot_question_t;

/*!
 * \brief How a question ended; called once, never from within dot_ask(). It may ask and cancel, not free the client.
 *
 * \param ret  KNOT_EOK: \a wire is a response to the question, of any response code; borrowed for the call. KNOT_ETIMEOUT: none came
 *             in time over a connection that works. KNOT_ECONN: there is no such connection.
 */
typedef void (*dot_done_f)(void *ctx, int ret, const uint8_t *wire, size_t size);

/*! \brief A handshake failed, for the reason \a why (words for a line of log); once until one succeeds. */
typedef void (*dot_trouble_f)(void *ctx, const struct sockaddr_storage *remote, const char *why);

/*! Whom a client asks. Borrowed for the call, but for \a trust. */
typedef struct {
	const struct sockaddr_storage *remote; /*!< With port. */
	const char *name;         /*!< That the certificate has to be for. */
	tls_trust_t *trust;       /*!< Has to outlive the client. */
	dot_trouble_f trouble;    /*!< NULL: nobody is told. */
	void *trouble_ctx;
} dot_params_t;

/*! \brief Own: dot_client_free(). It connects when it is asked. \return KNOT_EOK or KNOT_ENOMEM. */
int dot_client_new(uv_loop_t *loop, const dot_params_t *params, dot_client_t **ret_client);

/*! \brief Drops all questions without a call of done(). The connection's handles are closed by the loop. NULL is a no-op. */
void dot_client_free(dot_client_t *client);

/*!
 * \brief Asks.
 *
 * \param query       Of at most DOT_QUERY_MAX octets; it ends with an OPT record without options. Its id does not matter.
 * \param timeout_ms  The answer has to be there within this, a connection included.
 * \return KNOT_EOK, KNOT_ENOMEM, KNOT_ECONN; not KNOT_EOK: done() is not called.
 */
int dot_ask(dot_client_t *client, const uint8_t *query, size_t len, unsigned timeout_ms, dot_done_f done, void *ctx,
            dot_question_t **ret_question);

/*! \brief Ends a question; done() is not called. NULL is a no-op. */
void dot_cancel(dot_question_t *question);
