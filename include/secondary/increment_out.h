/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Writing difference sequences into the messages of an outgoing increment (RFC 1995, section 4): a position, without sockets.
 *
 *     new SOA | old SOA, removed … | SOA, added … | … | new SOA
 *
 * As transfer_out.h: in each message the apex stands in the question, and owners and the names in RDATA that may be compressed
 * (wire_compresses()) end in a pointer to it where they end in the apex; a record's owner that is the one before points at it.
 *
 * Threads: one at a time; the differences are held, so none need be in a read section. Blocks: no. Allocates nothing after new.
 */
#pragma once

#include "secondary/history.h"
#include "secondary/transfer_out.h"

typedef struct increment_out increment_out_t;

/*!
 * \brief Begins an increment for the zone \a apex (in full, lower case; copied).
 *
 * \param run  Taken on success: at least one difference.
 * \return Own (increment_out_free()), or NULL (no memory).
 */
increment_out_t *increment_out_new(const uint8_t *apex, size_t apex_len, history_run_t *run);

/*! \brief Serial to which it leads. */
uint32_t increment_out_serial(const increment_out_t *increment);

/*! \brief Fills the next message, as transfer_out_fill(). */
transfer_out_status_t increment_out_fill(increment_out_t *increment, message_t *msg);

/*! \brief Releases the differences and frees. NULL is a no-op. Thread: any. */
void increment_out_free(increment_out_t *increment);
