/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Writing RRsets of a snapshot into a message.
 *
 * A message is a buffer that begins with a header and one question whose name is written in full, as every query that we
 * answer has it. So each suffix of QNAME stands at a known place, counted from the end of QNAME: an RRset whose owner is
 * such a suffix is copied with its references (wire.h) turned into pointers by one addition each. Where that does not
 * hold (an owner reached through an alias, a wildcard's expansion, the root zone, places beyond 0x3FFF) names are
 * written with what is known to stand in the message.
 *
 * A put is all or nothing: an RRset that does not fit leaves the message as it was.
 *
 * Threads: any; the message is the caller's. RCU: the snapshot is borrowed or pinned. Nothing allocates or blocks.
 */
#pragma once

#include "secondary/snapshot.h"

typedef enum { SECTION_ANSWER, SECTION_AUTHORITY, SECTION_ADDITIONAL, SECTIONS } section_t;

/*! A response being written. */
typedef struct {
	uint8_t *wire;            /*!< Header and question stand already. */
	size_t size;              /*!< Octets written. */
	size_t limit;             /*!< Octets that may be written: OPT, TSIG are already taken off. */
	uint16_t qname_end;       /*!< Octets before the end of QNAME, its root label included. */
	uint16_t count[SECTIONS]; /*!< Records written, to be put into the header by the caller. */
} message_t;

/*! Where the owner of an RRset stands in a message. */
typedef struct {
	uint16_t pos;             /*!< Place of the owner's name, compressed or not; at most 0x3FFF. */
	uint16_t end;             /*!< End of a name, root label included, that stands in full and ends as the owner does. */
	uint8_t common;           /*!< Octets of that common end: at least the apex. */
} place_t;

/*! \brief The place of an owner that is a suffix of QNAME, \a len octets long. */
static inline place_t place_in_qname(const message_t *msg, size_t len)
{
	return (place_t) { .pos = msg->qname_end - len, .end = msg->qname_end, .common = len };
}

/*! How to put it. */
typedef struct {
	uint32_t ttl_max;         /*!< TTLs above are lowered to it (negative SOA: RFC 2308); UINT32_MAX: as they are. */
	bool sigs;                /*!< With its signatures. */
	bool optional_sigs;       /*!< Signatures may be left out where they do not fit (additional section). */
} put_t;

/*!
 * \brief Puts an RRset (and its signatures) of the node \a ref at the end of \a msg.
 *
 * \return KNOT_EOK, KNOT_ESPACE (does not fit; the message is unchanged).
 */
int section_put(message_t *msg, section_t section, const snapshot_t *snapshot, arena_ref_t ref, const rrset_t *rrset,
                const place_t *place, const put_t *how);
