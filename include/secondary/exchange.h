/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief One query sent to one remote address, and the message or messages that answer it.
 *
 * UDP: a socket of its own for each exchange (random port), connected, so that only the remote's datagrams come; a query
 * that gets no answer is sent again. TCP: one connection, length-framed messages until the reader says that it has all.
 * With a key the query is signed and every message verified before the reader sees it (tsig_client.h). Datagrams that
 * are not the answer (other id, opcode or question, not a response, longer than 4 KiB, not verifiable) are passed over, as
 * they may be forged; on TCP they end the exchange.
 *
 *     start --> UDP: sent --answer--> message() --enough--> done()
 *          |     ^     |                   \--more--> sent
 *          |     +-----+ pause, up to the last one; then done(KNOT_ETIMEOUT)
 *          +--> TCP: connecting --> sent --message--> message() --enough--> done()
 *                                       ^                 | more
 *                                       +-----------------+       closed, no progress, not an answer: done(KNOT_E…)
 *
 * Threads: the one that runs \a loop; every function and callback. Blocks: never. Memory: one exchange with its query and
 * a buffer for one message, 64 KiB over TCP, 4 KiB over UDP.
 */
#pragma once

#include <libknot/tsig.h>
#include <sys/socket.h>
#include <uv.h>

/*! A UDP query is sent again after these pauses, and given up after the last: a lost datagram costs a second, a dead
 *  remote seven, of one zone's check; nothing else waits. */
#define EXCHANGE_UDP_PAUSES_MS { 1000, 2000, 4000 }

typedef struct exchange exchange_t;

typedef struct {
	struct sockaddr_storage remote;
	struct sockaddr_storage via;      /*!< Local address to use; ss_family AF_UNSPEC: any. */
	bool tcp;
	const uint8_t *query;             /*!< Complete with one question, unsigned; copied, with a random id. */
	size_t query_len;
	const knot_tsig_key_t *key;       /*!< NULL: unsigned. Borrowed until the end of the exchange. */
	uint32_t timeout_ms;              /*!< Whole exchange. */
	uint32_t idle_timeout_ms;         /*!< TCP: connecting, and each time without an octet of progress. */
} exchange_params_t;

typedef enum {
	EXCHANGE_MORE,                    /*!< Another message is awaited. */
	EXCHANGE_ENOUGH,                  /*!< That was the last one; or something is wrong with it, and the reader knows what:
	                                       done() may then say KNOT_ENOTSIG, as the message need not have been signed. */
} exchange_next_t;

typedef struct {
	/*!
	 * \brief A message came: id, QR, opcode and, where a question stands in it, the question were checked, TSIG verified and
	 *        taken off.
	 *
	 * No question may stand in messages over TCP, and in a datagram with an RCODE other than NOERROR or in answer to
	 * NOTIFY. \a msg is borrowed for the call. The exchange must not be cancelled from within.
	 */
	exchange_next_t (*message)(void *ctx, const uint8_t *msg, size_t len);

	/*!
	 * \brief The exchange is over; called once, last, never from within exchange_start(). The handle is invalid afterwards.
	 *
	 * \param ret  KNOT_EOK: the reader had enough (and the last message was signed, if a key was given). Else KNOT_ETIMEOUT
	 *             (no answer, or no progress), KNOT_ECONNREFUSED-like errors as knot_map_errno() gives them, KNOT_ECONN
	 *             (closed by the remote before the end), KNOT_EMALF (not an answer to the query), KNOT_TSIG_E…, KNOT_ENOTSIG
	 *             (over UDP after the last pause, if that was wrong with the last datagram that was passed over).
	 */
	void (*done)(void *ctx, int ret);
} exchange_callbacks_t;

/*!
 * \brief Starts.
 *
 * \param ret  A handle for exchange_cancel(); freed by the exchange itself.
 * \return KNOT_EOK, or an error (no descriptor, no memory, via not available) and then no callback comes.
 */
int exchange_start(uv_loop_t *loop, const exchange_params_t *params, const exchange_callbacks_t *callbacks, void *ctx,
                   exchange_t **ret);

/*!
 * \brief Ends at once, between start and done(); no callback comes any more, the key is not needed any more.
 *
 * Memory is freed when the loop has closed the handles: it must run on. NULL is a no-op.
 */
void exchange_cancel(exchange_t *exchange);
