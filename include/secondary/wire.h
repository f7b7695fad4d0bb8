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

/*!
 * \brief Compares RDATA (in full) in canonical order (RFC 4034, sections 6.2 and 6.3; RFC 6840, section 5.1).
 *
 * 0: the same record, even where the case of names differs.
 */
int wire_rdata_compare(uint16_t type, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len);

/*! \brief Folds the names in RDATA (in full) to lower case in place, for the types whose canonical form has them so. */
void wire_rdata_lower(uint16_t type, uint8_t *rdata, size_t len);

/*!
 * Suffixes of names that are remembered for one RRset, and places looked at for one. Both bound the work for an RRset of
 * 65,535 names to that of so many look-ups; a suffix that finds no place costs two or more octets on the wire.
 */
#define WIRE_KEEPER_SLOTS  512
#define WIRE_KEEPER_PROBES 4

/*! A suffix that stands in the RRset. */
typedef struct {
	const uint8_t *name;              /*!< In full; borrowed from the RDATA given. */
	uint32_t hash;
	uint16_t pos;                     /*!< Octets after the RRset's first one, as sent. */
	uint8_t len;
	uint8_t round;                    /*!< The RRset that it belongs to. */
} wire_suffix_t;

/*! Brings the RDATA of one RRset after the other into kept form. Zeroed: ready for wire_keep_begin(). No need to free. */
typedef struct {
	uint16_t type;
	unsigned skip;                    /*!< Octets before the first name. */
	unsigned names;                   /*!< Names that follow each other. */
	size_t size;                      /*!< Octets of the RRset so far, as sent. */
	const uint8_t *owner;
	size_t owner_len;
	size_t apex_len;
	size_t suffix_max;                /*!< Longest suffix of the owner that may be referred to. */
	bool is_shared;                   /*!< There are names that could refer to each other. */
	bool has_owner_ref;               /*!< Out: a reference to more of the owner than the apex was made. */
	uint8_t round;
	uint8_t owner_labels[32];         /*!< Bit per octet of the owner: a label begins there. */
	wire_suffix_t slot[WIRE_KEEPER_SLOTS];
} wire_keeper_t;

/*!
 * \brief Begins an RRset of a compressed \a type (wire_compresses()) with \a count records.
 *
 * \param owner  In full; borrowed until the last wire_keep() of this RRset, as is the RDATA given to it.
 */
void wire_keep_begin(wire_keeper_t *keeper, uint16_t type, size_t count, const uint8_t *owner, size_t owner_len,
                     size_t apex_len);

/*!
 * \brief Brings the next record's RDATA into kept form.
 *
 * Each name ends in the longest suffix that stands elsewhere already: in the owner (less the asterisk of a wildcard), or
 * in an earlier name of the RRset; in the owner when both are equally long. Case is not looked at, as by other servers.
 * \param rdata  In full.
 * \param dst    At least \a rdlen octets.
 * \return Octets written (at most \a rdlen), or KNOT_EMALF (RDATA does not fit the type).
 */
int wire_keep(wire_keeper_t *keeper, const uint8_t *rdata, uint16_t rdlen, uint8_t *dst);
