/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Asking: a list of resolvers through libunbound, or this server itself.
 *
 * A forwarder has a libunbound context that sends all it is asked to its list and never to anybody else; it is told to keep
 * nothing, as what it learns is kept here (cache.h), and a refresh must not be answered from memory. libunbound sees to ids,
 * random ports, 0x20, TCP on truncation, and remembers which of the servers answer, how fast. Names for which it
 * would have answers of its own (test., home.arpa., 10.in-addr.arpa. …) are asked as all others.
 *
 * With a trust anchor libunbound validates what it is told, and what it finds bogus is no answer. Why a resolver that validates
 * says SERVFAIL, libunbound keeps to itself: so that resolver is asked once more, over UDP, for the Extended DNS Error alone. That
 * tells, too, whether anybody is there: libunbound says SERVFAIL of servers that do not answer as of those that do.
 *
 * `self` is asked with RD=0 over UDP, TCP on truncation, with exchange.h, and believed only where it is authoritative.
 *
 * With the name of its servers a forwarder asks over TLS (dot_servers.h), and nothing leaves for a server that is not of that
 * name. libunbound has no part in that: Debian 12 builds it with nettle, and so it cannot verify names.
 *
 * Threads: the one that runs the loop. Each forwarder without TLS has one more, libunbound's, with all signals blocked. Blocks:
 * resolver_free() until that thread ends, milliseconds.
 */
#pragma once

#include <sys/socket.h>
#include <uv.h>

/*! Questions that one forwarder has under way: each has a socket. */
#define RESOLVER_QUESTIONS_MAX 256

typedef struct resolver resolver_t;
typedef struct resolver_question resolver_question_t;

/*!
 * \brief How a question ended; called once, never from within resolver_ask().
 *
 * \param ret   KNOT_EOK: \a wire is a message of \a size octets, of any response code; borrowed for the call. KNOT_EAGAIN: it is
 *              a SERVFAIL behind which there may be nobody. KNOT_ENOENT: `self` is not authoritative for the name.
 *              KNOT_ESEMCHECK: the answer is bogus. Else no answer came.
 */
typedef void (*resolver_done_f)(void *ctx, int ret, const uint8_t *wire, size_t size);

/*! Whom a forwarder asks, and how. Borrowed for the call. */
typedef struct {
	const struct sockaddr_storage *servers; /*!< With ports. */
	unsigned count;
	const char *trust_anchor; /*!< Path of a file with DS or DNSKEY records; NULL: nothing is validated. Not with TLS. */
	const char *tls_name;     /*!< Name that the servers' certificates have to be for; NULL: no TLS. */
	const char *tls_ca_file;  /*!< Authorities that are trusted (PEM); NULL: the system's. */
	void (*trouble)(void *ctx, const struct sockaddr_storage *remote, const char *why); /*!< A server's TLS failed: dot.h. */
	void *trouble_ctx;
} resolver_params_t;

/*!
 * \brief Makes a forwarder.
 *
 * Blocks: on the disk, for a trust anchor.
 * \return KNOT_EOK, KNOT_ENOMEM, KNOT_ERROR (libunbound does not take the configuration or the trust anchor),
 *         KNOT_ENOENT (no authorities).
 */
int resolver_new_forwarder(uv_loop_t *loop, const resolver_params_t *params, resolver_t **ret_resolver);

/*!
 * \brief Can the file \a path be used as trust anchor?
 *
 * Thread: any. Blocks: on the disk. \return KNOT_EOK, an error of opening it, KNOT_ENOENT (or no DS or DNSKEY in it), KNOT_EMALF.
 */
int resolver_check_trust_anchor(const char *path);

/*! \brief Makes one that asks this server, at \a address. \return KNOT_EOK or KNOT_ENOMEM. */
int resolver_new_self(uv_loop_t *loop, const struct sockaddr_storage *address, resolver_t **ret_resolver);

/*! \brief Drops all questions without a call of done(), and frees when the loop has closed the handles. NULL is a no-op. */
void resolver_free(resolver_t *resolver);

/*!
 * \brief Asks for \a name (in full) and \a type.
 *
 * \param ret_question  For resolver_cancel(), until done().
 * \return KNOT_EOK, or an error, and then done() is not called.
 */
int resolver_ask(resolver_t *resolver, const uint8_t *name, uint16_t type, resolver_done_f done, void *ctx,
                 resolver_question_t **ret_question);

/*! \brief Ends a question; done() is not called. NULL is a no-op. */
void resolver_cancel(resolver_question_t *question);
