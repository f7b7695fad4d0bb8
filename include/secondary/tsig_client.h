/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief TSIG (RFC 8945) of one query of ours and of the stream of messages that answers it.
 *
 * Signs the query, then verifies each message of the answer: the first and the last must be signed, at most
 * TSIG_UNSIGNED_MAX unsigned ones may stand between two signed ones (RFC 8945, section 5.3.1). The TSIG record is taken
 * off a verified message, so that its readers do not meet it. No sockets, no clock but the one libknot reads for the
 * time signed. libknot does the cryptography.
 *
 * Threads: one at a time.
 */
#pragma once

#include <libknot/tsig.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*! Unsigned messages between two signed ones (RFC 8945, section 5.3.1). Their octets are kept until they are verified. */
#define TSIG_UNSIGNED_MAX 99

typedef struct tsig_client tsig_client_t;

/*! \brief Begins with \a key (its name in lower case; borrowed until tsig_client_free()). Own, or NULL (no memory). */
tsig_client_t *tsig_client_new(const knot_tsig_key_t *key);

/*!
 * \brief Signs a complete query in place.
 *
 * \param len  Octets of the message, before and after. \param max  Octets that \a wire can hold.
 * \return KNOT_EOK, KNOT_ESPACE, KNOT_E… of libknot.
 */
int tsig_client_sign(tsig_client_t *tsig, uint8_t *wire, size_t *len, size_t max);

/*!
 * \brief Verifies the next message of the answer and takes its TSIG record off (ARCOUNT and \a len become smaller).
 *
 * An unsigned message is KNOT_EOK while one may come; whether it was genuine is known with the next signed one, so nothing
 * may be published before tsig_client_finish(). A failure leaves the message and the state as they were, so that a forged
 * datagram does no harm to the genuine one behind it. Truncated MACs are not accepted, as by knotd.
 * \return KNOT_EOK, KNOT_TSIG_EBADSIG, KNOT_TSIG_EBADKEY (other name or algorithm), KNOT_TSIG_EBADTIME, KNOT_TSIG_EBADTRUNC
 *         (found by us or reported by the server), KNOT_EMALF (message or record), KNOT_ENOTSIG (unsigned where a
 *         signature is due), KNOT_ENOMEM.
 */
int tsig_client_verify(tsig_client_t *tsig, uint8_t *wire, size_t *len);

/*! \brief Was the last message signed and verified? KNOT_EOK or KNOT_ENOTSIG. To be asked when a stream is complete. */
int tsig_client_finish(const tsig_client_t *tsig);

/*! \brief Frees. NULL is a no-op. */
void tsig_client_free(tsig_client_t *tsig);
