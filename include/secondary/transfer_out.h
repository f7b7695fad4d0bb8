/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Writing a version of a zone into the messages of an outgoing transfer (RFC 5936): a position in a snapshot, without sockets.
 *
 *     SOA | owners in canonical order, each RRset with its signatures | owners of NSEC3 | SOA
 *
 * A transfer is nearly a copy of the store: RDATA is kept as long as it is sent (wire.h), so the size of a record is known
 * before it is written, and references become pointers by an addition. In each message
 *
 *  - the apex stands in the question, where everything that ends in it points;
 *  - an owner is written once, as the labels that it does not share with the one before, and a pointer; its other records point at it;
 *  - an RRset that another message began cannot be pointed into: names in the rest of its RDATA are written in full as far
 *    as the apex.
 *
 * Records go out as they were taken: occluded names, glue, and signatures that cover nothing, too. A record that no
 * message can hold beside the question and what the caller keeps free ends the transfer; such a zone can be
 * transferred in only from messages without question, and by no peer that we know, out.
 *
 * Threads: one at a time; the snapshot is pinned, so none need be in a read section. Blocks: no. Allocates nothing after new.
 */
#pragma once

#include "secondary/section.h"

/*!
 * A record that would end behind this goes into the next message.
 *
 * Compression pointers reach as far: in longer messages owners and targets would be spelled again and again. So do knotd and
 * NSD; BIND stops at 20 KB. Messages half as long took some 15 % more time over loopback, so four times as long ones could
 * save no more than that. A larger record has a message of its own.
 */
#define TRANSFER_OUT_FILL (MESSAGE_REACH + 1)

typedef struct transfer_out transfer_out_t;

typedef enum {
	TRANSFER_OUT_MORE,        /*!< Another message follows. */
	TRANSFER_OUT_COMPLETE,    /*!< The closing SOA was written. */
	TRANSFER_OUT_TOO_LARGE,   /*!< The next record fits no message with this limit; nothing was written. */
} transfer_out_status_t;

/*!
 * \brief Begins a transfer of \a snapshot, which it pins.
 *
 * Thread: any. RCU: inside the read section of the borrow. Own (transfer_out_free()), or NULL (no memory).
 */
transfer_out_t *transfer_out_new(snapshot_t *snapshot);

/*! \brief The version that is transferred. Borrow: as the transfer. */
const snapshot_t *transfer_out_snapshot(const transfer_out_t *transfer);

/*!
 * \brief Fills the next message: header and a question with the apex in full stand, counts are 0.
 *
 * Writes what answer() writes: msg->wire beyond msg->size, msg->size, msg->count. Not to be called after another status than MORE.
 */
transfer_out_status_t transfer_out_fill(transfer_out_t *transfer, message_t *msg);

/*! \brief Unpins and frees. NULL is a no-op. Thread: any registered. */
void transfer_out_free(transfer_out_t *transfer);
