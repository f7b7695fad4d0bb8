/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief A connection with TLS to a server that proves its name.
 *
 * Strict (RFC 8310, section 5): the server's certificate has to be valid, to lead to an authority that is trusted, and to be for
 * the name that was configured. Before that is known nothing can be sent; where it is not so, the stream ends. TLS 1.2 or later.
 *
 *     connecting --> handshake --verified: open()--> octets() … --either side--> end() or tls_stream_close()
 *          \--------------\--refused, unreachable, not verified--> end()
 *
 * GnuTLS does TLS, libuv the socket; GnuTLS never waits, it is given what has come and gives what shall go.
 *
 * Memory: 50 KiB for a stream, what GnuTLS needs, and at most TLS_STREAM_OUTPUT_MAX that the socket has not taken yet.
 * Threads: the one that runs the loop. Blocks: tls_trust_new() on the disk; the arithmetic of a handshake takes about a millisecond.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

/*! What is sent and not taken by the socket; a peer that takes nothing ends the stream when there is more. */
#define TLS_STREAM_OUTPUT_MAX (256 * 1024)

/*! The authorities that are trusted. */
typedef struct tls_trust tls_trust_t;
typedef struct tls_stream tls_stream_t;

/*! What the owner is told; never from within a call of his. He may send and close in each. */
typedef struct {
	void (*open)(void *ctx);  /*!< The server is who it should be: octets can be sent. */
	void (*octets)(void *ctx, const uint8_t *octets, size_t len); /*!< Borrowed for the call. */
	/*! It is of no use any more: only to be closed. \a why is the reason of a failed handshake, as words for a log, else NULL. */
	void (*end)(void *ctx, const char *why);
} tls_stream_callbacks_t;

/*! Whom to talk to. Borrowed for the call, but for \a name and \a trust. */
typedef struct {
	const struct sockaddr_storage *remote; /*!< With port. */
	const char *name;         /*!< That the certificate has to be for. Has to outlive the stream: GnuTLS does not copy it. */
	tls_trust_t *trust;       /*!< Has to outlive the stream. */
} tls_stream_params_t;

/*!
 * \brief Reads the authorities of the file \a path (PEM); NULL: those of the system.
 *
 * Own: tls_trust_free(). \return KNOT_EOK, KNOT_ENOMEM, KNOT_ENOENT (no such file, or no certificate in it).
 */
int tls_trust_new(const char *path, tls_trust_t **ret_trust);

/*! \brief NULL is a no-op. */
void tls_trust_free(tls_trust_t *trust);

/*! \brief Begins to connect. Own: tls_stream_close(). \return KNOT_EOK, KNOT_ENOMEM, KNOT_ECONN. */
int tls_stream_open(uv_loop_t *loop, const tls_stream_params_t *params, const tls_stream_callbacks_t *callbacks, void *ctx,
                    tls_stream_t **ret_stream);

/*! \brief Sends, on an open stream. False: it is broken, and only to be closed. */
bool tls_stream_send(tls_stream_t *stream, const uint8_t *octets, size_t len);

/*! \brief Ends it: no callback comes any more. An open one tells the server. The loop closes its handles. NULL is a no-op. */
void tls_stream_close(tls_stream_t *stream);
