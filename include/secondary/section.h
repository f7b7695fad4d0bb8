/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Writing RRsets of a snapshot into a message.
 *
 * A message is a buffer that begins with a header and one question whose name is written in full, as every query that we
 * answer has it. So each suffix of QNAME stands at a known place, counted from the end of QNAME: an RRset whose owner is
 * such a suffix is copied with its references (wire.h) turned into pointers by one addition each. Where that does not
 * hold (names that an alias or a wildcard brought, the root zone, places beyond the reach of pointers) names are
 * written one by one, with pointers to what is known to stand in the message.
 *
 *     question   3www 2eu 7example 0          QNAME:             pos 12, end 28, common 16, len 16
 *     answer     ->3www  CNAME  3web 2de ->7  web.de.example.:   pos of its 3, end 28, common 9, len 16
 *                ->3web  MX     ...           here a reference to "example." becomes a pointer to end - 9, and one
 *                                             to "de.example." a pointer to the label 2de, met on a walk from pos
 *
 * A put is all or nothing: what does not fit leaves the message as it was.
 *
 * Threads: any; the message is the caller's. RCU: the RRsets' snapshot is borrowed or pinned. Nothing allocates or blocks.
 */
#pragma once

#include "secondary/snapshot.h"
#include "secondary/wire.h"

typedef enum { SECTION_ANSWER, SECTION_AUTHORITY, SECTION_ADDITIONAL, SECTIONS } section_t;

/*! Octets before the question (RFC 1035, section 4.1.1). */
#define MESSAGE_HEADER  12
/*! Octets of the question after its name. */
#define MESSAGE_QUESTION 4
/*! Farthest place that a compression pointer can name (RFC 1035, section 4.1.4). */
#define MESSAGE_REACH   0x3FFF
/*! Octets of a message at most: positions are 16 bits. */
#define MESSAGE_MAX     65535

/*! A response being written. */
typedef struct {
	uint8_t *wire;            /*!< Header and question stand already. */
	size_t size;              /*!< Octets written. */
	size_t limit;             /*!< Octets that may be written, at most MESSAGE_MAX: OPT, TSIG are already taken off. */
	uint16_t qname_end;       /*!< Octets before the end of QNAME, its root label included. */
	uint16_t count[SECTIONS]; /*!< Records written, to be put into the header by the caller. */
} message_t;

/*! Where the owner of an RRset stands in a message. */
typedef struct {
	uint16_t pos;             /*!< Place of the owner as it is sent, compressed or not; never of a pointer. */
	uint16_t end;             /*!< End of a name, root label included, that stands in full and ends as the owner does. */
	uint8_t common;           /*!< Octets of that common end: where RDATA with references is put, the apex or more. */
	uint8_t len;              /*!< Octets of the owner as it is sent, in full. */
	uint8_t shared;           /*!< Octets of its end that the kept owner has too: len, or those of the closest encloser
	                               when a wildcard is expanded. */
	uint8_t prefix_len;       /*!< Octets of prefix; 0: none. */
	const uint8_t *prefix;    /*!< Labels before the name that is placed: the owner is both, but only that stands in the message. */
	bool split;               /*!< The apex stands nowhere in one piece (that of a further zone, which an alias with a
	                               compressed target led to): the common end is shorter than it. */
} place_t;

/*! What to put of an RRset. */
enum {
	PUT_DATA = 1 << 0,        /*!< The records. */
	PUT_SIGS = 1 << 1,        /*!< The signatures that cover them, where there are any. */
};

/*! TTLs as they are kept. */
#define PUT_TTL_KEEP  UINT32_MAX

/*! \brief The place of the suffix of QNAME that is \a len octets long. */
static inline place_t place_in_qname(const message_t *msg, uint8_t len)
{
	place_t place; /* field by field: it is written where it is wanted, and no octet twice */
	place.pos = msg->qname_end - len;
	place.end = msg->qname_end;
	place.common = len;
	place.len = len;
	place.shared = len;
	place.prefix_len = 0;
	place.prefix = NULL;
	place.split = false;
	return place;
}

/*!
 * \brief Reads the name at \a pos of the message, written there before, and its place.
 *
 * \param ret_name   Gets the name in full, lower case: WIRE_NAME_MAX octets.
 * \param ret_place  May be NULL.
 * \return Octets of the name in full.
 */
uint8_t section_read_name(const message_t *msg, uint16_t pos, uint8_t *ret_name, place_t *ret_place);

/*! \brief The place of the suffix, \a len octets long, of the name at \a place. */
place_t section_suffix(const message_t *msg, const place_t *place, uint8_t len);

/*! \brief Where RDATA of the record at \a pos of the message begins. */
uint16_t section_rdata(const message_t *msg, uint16_t pos);

/*! \brief Are the names at two places of the message equal, case aside? */
bool section_same_name(const message_t *msg, uint16_t a, uint16_t b);

/*!
 * \brief Puts an RRset, its signatures, or both, at the end of \a msg.
 *
 * \param place    Of its owner.
 * \param parts    PUT_DATA, PUT_SIGS.
 * \param ttl_max  TTLs above are lowered to it (negative SOA: RFC 2308, section 3).
 * \return KNOT_EOK, KNOT_ESPACE (does not fit; the message is unchanged).
 */
int section_put(message_t *msg, section_t section, const place_t *place, const rrset_t *rrset,
                unsigned parts, uint32_t ttl_max);

/*!
 * \brief Puts a CNAME made from a DNAME (RFC 6672, section 3.1).
 *
 * \param place       Of its owner.
 * \param prefix      First labels of its target, \a prefix_len octets; no root label.
 * \param rest_pos    Where the rest of the target stands in the message.
 * \return KNOT_EOK, KNOT_ESPACE (does not fit; the message is unchanged).
 */
int section_put_cname(message_t *msg, section_t section, const place_t *place, uint32_t ttl,
                      const uint8_t *prefix, uint8_t prefix_len, uint16_t rest_pos);
