/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Reading names and RDATA out of DNS messages, and the form in which RDATA is kept.
 *
 * Names leave a message in full (RFC 1035, section 4.1.4 compression undone). Only the types that RFC 1035 lets a sender
 * compress, and the old ones that RFC 3597, section 4 tells a receiver to undo, have names that are looked for.
 *
 * Kept form of RDATA (snapshot.h), for the types whose names a sender compresses (wire_compresses(): NS, MD, MF, CNAME,
 * SOA, MB, MG, MR, PTR, MINFO, MX): each name is labels, then either the root label or a two-octet reference, of which the
 * two highest bits are set:
 *
 *     11 0 ..... LLLLLLLL   the suffix of the owner's name that is L octets long (root label included)
 *     11 1 ooooooooooooo    the place o octets after the RRset's first octet, as sent with two-octet owners
 *
 * Both are turned into compression pointers by adding the place where the owner's name ends, or the RRset begins, in the
 * message (section.h). A reference has the size of a pointer, so kept RDATA is exactly as long as sent RDATA.
 *
 * Threads: pure functions. Nothing allocates or blocks. \a msg is hostile: every read is checked against its end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*! Octets of the longest name (RFC 1035, section 2.3.4). */
#define WIRE_NAME_MAX  255
/*! Pointers followed for one name: each must point backwards, so 126 labels cannot need more. */
#define WIRE_JUMPS_MAX 127

#define WIRE_REF          0xC000  /*!< Both highest bits: a reference, not a label. */
#define WIRE_REF_INSIDE   0x2000  /*!< Set: offset inside the RRset; clear: length of an owner's suffix. */
#define WIRE_INSIDE_MAX   0x1FFF  /*!< Farthest offset that a reference can hold. */

/*!
 * \brief Reads a possibly compressed name at \a pos of a message.
 *
 * \param dst      Gets the name in full, at most WIRE_NAME_MAX octets.
 * \param ret_len  Octets of the name in full.
 * \return Octets that the name takes at \a pos (> 0), or KNOT_EMALF.
 */
int wire_name_read(const uint8_t *msg, size_t msg_len, size_t pos, uint8_t *dst, size_t *ret_len);

/*! \brief Folds a name (or any labels) of \a len octets to lower case in place (RFC 4343). */
void wire_name_lower(uint8_t *name, size_t len);

/*! \brief Is \a name (in full, \a len octets) equal to or below \a apex? Both lower case. */
bool wire_name_within(const uint8_t *name, size_t len, const uint8_t *apex, size_t apex_len);

/*!
 * \brief Reads RDATA of \a type with all compressed names in full, and checks its length and names.
 *
 * Unknown types are copied. Names keep their case.
 * \param dst      At least 65,535 octets.
 * \param ret_len  Octets written.
 * \return KNOT_EOK, KNOT_EMALF (names or length do not fit the type; result longer than 65,535).
 */
int wire_rdata_read(uint16_t type, const uint8_t *msg, size_t msg_len, size_t pos, uint16_t rdlen,
                    uint8_t *dst, size_t *ret_len);

/*! \brief Does a sender compress names in RDATA of \a type (RFC 3597, section 4)? */
static inline bool wire_compresses(uint16_t type)
{
	/* NS, MD, MF, CNAME, SOA, MB, MG, MR, PTR, MINFO, MX */
	return type <= 15 && ((1u << type) & 0xD3FC) != 0;
}

/*! \brief Where names stand in RDATA of a compressed \a type: octets before the first, and how many follow each other. */
static inline unsigned wire_names(uint16_t type, unsigned *ret_skip)
{
	*ret_skip = type == 15 /* MX */ ? 2 : 0;
	return type == 6 /* SOA */ || type == 14 /* MINFO */ ? 2 : 1;
}
