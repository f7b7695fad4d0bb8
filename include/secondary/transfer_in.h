/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Digesting the messages of an incoming transfer, full or incremental: a state machine without sockets and timers.
 *
 *     START --SOA--> OPENED --SOA with our serial--> REMOVING --SOA--> ADDING --closing SOA--> COMPLETE
 *                      |                                 ^                |
 *                      |                                 +-SOA on from it-+
 *                      +--any other record (AXFR)--> RECORDS --closing SOA--> COMPLETE
 *                      +--that was all, and it is not newer than ours--> UNCHANGED
 *
 *     anything else -> FAILED (for good)
 *
 * A full transfer goes into a builder. Of an increment (RFC 1995) the difference sequences are collected; nothing is done to the
 * version that it begins at before it is there as a whole, and transfer_in_finish() amends that one. Who asks for an increment may
 * be given the whole zone instead, as by AXFR, or a single SOA. A first message with nothing but a newer SOA may be the
 * beginning of either: who sends no more is given up by the exchange.
 *
 * Accept whole or reject whole (RFC 5936). Checked: RCODE (with OPT's upper bits), opcode, QR, TC, one question at most and
 * then ours, some record in each message, class, first and last SOA equal but for case and TTL, nothing behind the last,
 * nothing outside the zone, no meta types, every length and count, and all that the builder checks. Of an increment: that its
 * sequences lead from our serial to that of the first SOA, each on from where the one before led, never back (RFC 1982), and all
 * that amend() checks. One that is larger than twice the zone and TRANSFER_INCREMENT_SLACK is worth less than the zone, and fails.
 * As by knotd, AA is not looked at, and what stands in authority and additional section is passed over, but for OPT: a primary
 * that is expired (EXPIRE, RFC 7314) is not believed. TTLs above 2^31 - 1 count as 0
 * (RFC 2181, section 8). Which octets are hostile: all of them.
 *
 * Threads: one at a time, no RCU. Blocks: no; a message is at most 64 KiB, so a call is short.
 */
#pragma once

#include "secondary/builder.h"
#include "secondary/history.h"

/*! Octets of the longest query: header, question, our SOA in full, OPT. */
#define TRANSFER_QUERY_MAX 1024
/*! Octets that an increment may have beyond twice those of the zone: a small zone may well change altogether, several times. */
#define TRANSFER_INCREMENT_SLACK (1 << 20)

typedef struct transfer_in transfer_in_t;

typedef enum {
	TRANSFER_MORE,       /*!< Taken; another message is needed. */
	TRANSFER_COMPLETE,   /*!< The closing SOA has come: transfer_in_finish(). */
	TRANSFER_UNCHANGED,  /*!< The primary has our version, or an older one: transfer_in_serial(). */
	TRANSFER_FAILED,     /*!< See transfer_in_error(). */
} transfer_status_t;

/*! What comes. */
typedef enum {
	TRANSFER_UNKNOWN,    /*!< Not seen yet; or a single SOA. */
	TRANSFER_FULL,
	TRANSFER_INCREMENT,
} transfer_kind_t;

typedef struct {
	uint64_t messages;
	uint64_t octets;     /*!< Of messages, without their length prefixes. */
	uint64_t records;    /*!< Duplicates included, the closing SOA not. */
} transfer_counts_t;

/*!
 * \brief Begins a transfer of the zone \a apex (in full, any case; copied).
 *
 * \param base  The version that an increment is to begin at; its serial and size are noted. NULL: full transfer only.
 * \return Own, or NULL (no memory).
 */
transfer_in_t *transfer_in_new(const uint8_t *apex, const builder_limits_t *limits, const snapshot_t *base);

/*!
 * \brief Writes the query for \a apex (id 0), which asks for EXPIRE if \a edns, into \a dst; returns its length.
 *
 * \param base  As with transfer_in_new(), borrowed: IXFR with its SOA in the authority section (RFC 1995, section 3). NULL: AXFR.
 */
size_t transfer_in_query(const uint8_t *apex, const snapshot_t *base, bool edns, uint8_t dst[static TRANSFER_QUERY_MAX]);

/*!
 * \brief Digests one message (id and TSIG already checked).
 *
 * After TRANSFER_FAILED only error(), serial(), kind(), counts() and free() may be called. A message behind TRANSFER_COMPLETE or
 * TRANSFER_UNCHANGED fails.
 */
transfer_status_t transfer_in_message(transfer_in_t *transfer, const uint8_t *msg, size_t len);

/*! \brief What comes, as far as it has shown. */
transfer_kind_t transfer_in_kind(const transfer_in_t *transfer);

/*! \brief Serial of the opening SOA; false as long as none came. */
bool transfer_in_serial(const transfer_in_t *transfer, uint32_t *ret_serial);

/*! \brief Seconds for which the primary's version is good, as its first message says (RFC 7314), or EXPIRE_NONE. */
uint32_t transfer_in_expire(const transfer_in_t *transfer);

/*!
 * \brief Makes the snapshot of a complete transfer; to be called once.
 *
 * Takes time proportional to what came. Thread: of an increment, the zone's writer.
 * \param base          The version that the zone has now, for an increment: that of transfer_in_new(), or a copy of it (amend_compact()).
 * \param ret_snapshot  Own; of an increment a draft (snapshot.h). Untouched on failure.
 * \param ret_run       Own (history_run_clear()): the differences that lead to it from \a base; none of a full transfer.
 * \return KNOT_EOK, or as builder_finish() and amend(); then transfer_in_error() says why.
 */
int transfer_in_finish(transfer_in_t *transfer, snapshot_t *base, snapshot_t **ret_snapshot, history_run_t *ret_run);

/*! \brief Reason of a failure in words that end a log line; "" when there is none. Borrow. */
const char *transfer_in_error(const transfer_in_t *transfer);

/*! \brief What was taken so far. */
transfer_counts_t transfer_in_counts(const transfer_in_t *transfer);

/*! \brief Frees, with all that was built. NULL is a no-op. */
void transfer_in_free(transfer_in_t *transfer);
