/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Digesting the messages of an incoming transfer into a builder: a state machine without sockets and timers.
 *
 *        first SOA            any record            the SOA again
 *     START ---------> RECORDS ----------+--------------------> COMPLETE
 *       |                  ^             |
 *       |                  +-------------+      each arrow back: anything else -> FAILED (for good)
 *       +-> FAILED
 *
 * Accept whole or reject whole (RFC 5936). Checked: RCODE, opcode, QR, AA, TC, one question at most and then ours, class,
 * first and last SOA equal, nothing after the last, nothing outside the zone, no meta types, and all that the builder
 * checks. Which octets are hostile: all of them.
 *
 * Threads: one at a time, no RCU. Blocks: no; a message is at most 64 KiB, so a call is short.
 */
#pragma once

#include "secondary/builder.h"

typedef struct transfer_in transfer_in_t;

typedef enum {
	TRANSFER_MORE,       /*!< Taken; another message is needed. */
	TRANSFER_COMPLETE,   /*!< The closing SOA has come: transfer_in_finish(). */
	TRANSFER_FAILED,     /*!< See transfer_in_error(). */
} transfer_status_t;

typedef struct {
	uint64_t messages;
	uint64_t octets;     /*!< Of messages, without their length prefixes. */
	uint64_t records;
} transfer_counts_t;

/*! \brief Begins a full transfer of the zone \a apex (in full, any case; copied). Own, or NULL (no memory). */
transfer_in_t *transfer_in_new(const uint8_t *apex, const builder_limits_t *limits);

/*! \brief Writes the AXFR query for \a apex (id 0) into \a dst; returns its length. */
size_t transfer_in_query(const uint8_t *apex, uint8_t dst[static 512]);

/*! \brief Digests one message (id and TSIG already checked). After TRANSFER_FAILED only error() and free() may be called. */
transfer_status_t transfer_in_message(transfer_in_t *transfer, const uint8_t *msg, size_t len);

/*! \brief Serial of the opening SOA; false as long as none came. */
bool transfer_in_serial(const transfer_in_t *transfer, uint32_t *ret_serial);

/*!
 * \brief Makes the snapshot of a complete transfer.
 *
 * \param ret_snapshot  Own. Untouched on failure.
 * \return KNOT_EOK or as builder_finish(); then transfer_in_error() says why.
 */
int transfer_in_finish(transfer_in_t *transfer, snapshot_t **ret_snapshot);

/*! \brief Reason of a failure in words that end a log line; "" when there is none. Borrow. */
const char *transfer_in_error(const transfer_in_t *transfer);

/*! \brief What was taken so far. */
transfer_counts_t transfer_in_counts(const transfer_in_t *transfer);

/*! \brief Frees, with all that was built. NULL is a no-op. */
void transfer_in_free(transfer_in_t *transfer);
