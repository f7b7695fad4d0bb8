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
 * Accept whole or reject whole (RFC 5936). Checked: RCODE (with OPT's upper bits), opcode, QR, TC, one question at most and
 * then ours, some record in each message, class, first and last SOA equal but for case and TTL, nothing behind the last,
 * nothing outside the zone, no meta types, every length and count, and all that the builder checks. As by knotd, AA is not
 * looked at, and what stands in authority and additional section is passed over, but for OPT: a primary that is expired
 * (EXPIRE, RFC 7314) is not believed. TTLs above 2^31 - 1 count as 0
 * (RFC 2181, section 8). Which octets are hostile: all of them.
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
	uint64_t records;    /*!< Duplicates included, the closing SOA not. */
} transfer_counts_t;

/*! \brief Begins a full transfer of the zone \a apex (in full, any case; copied). Own, or NULL (no memory). */
transfer_in_t *transfer_in_new(const uint8_t *apex, const builder_limits_t *limits);

/*! \brief Writes the AXFR query for \a apex (id 0), which asks for EXPIRE if \a edns, into \a dst; returns its length. */
size_t transfer_in_query(const uint8_t *apex, bool edns, uint8_t dst[static 512]);

/*!
 * \brief Digests one message (id and TSIG already checked).
 *
 * After TRANSFER_FAILED only error(), serial(), counts() and free() may be called. A message behind TRANSFER_COMPLETE fails.
 */
transfer_status_t transfer_in_message(transfer_in_t *transfer, const uint8_t *msg, size_t len);

/*! \brief Serial of the opening SOA; false as long as none came. */
bool transfer_in_serial(const transfer_in_t *transfer, uint32_t *ret_serial);

/*! \brief Seconds for which the primary's version is good, as its first message says (RFC 7314), or EXPIRE_NONE. */
uint32_t transfer_in_expire(const transfer_in_t *transfer);

/*!
 * \brief Makes the snapshot of a complete transfer; to be called once.
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
