/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The EDNS option EXPIRE (RFC 7314) from the side of who asks for it. Pure functions, any thread.
 *
 * SOA questions and transfers ask for it with an empty option; the answer's says for how many seconds the primary's own
 * version is good. What comes is hostile: every read is checked against its end.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <libknot/descriptor.h>
#include <libknot/packet/wire.h>

/*! What a primary without the option says: its version is good for ever. */
#define EXPIRE_NONE UINT32_MAX
/*! A primary with less than so many seconds left is as good as expired: nothing is taken from it, as by knotd. */
#define EXPIRE_MIN  2
/*! The reason then. */
#define EXPIRE_OVER "remote is expired, ignoring"

/*! Code of the option; libknot 3.2 has it, older headers do not. */
#define EXPIRE_OPTION_CODE    9
/*! Octets of an OPT record with one empty option. */
#define EXPIRE_OPTION_OPT_LEN (11 + 4)
/*! UDP payload that does not get fragmented (DNS Flag Day 2020); a SOA with TSIG fits. */
#define EXPIRE_OPTION_PAYLOAD 1232

/*! \brief Writes an OPT record that asks for the option; returns where it ends. ARCOUNT is the caller's. */
static inline uint8_t *expire_option_ask(uint8_t dst[static EXPIRE_OPTION_OPT_LEN])
{
	*dst++ = 0; /* OPT stands at the root. */
	knot_wire_write_u16(dst, KNOT_RRTYPE_OPT);
	knot_wire_write_u16(dst + 2, EXPIRE_OPTION_PAYLOAD);
	knot_wire_write_u32(dst + 4, 0);
	knot_wire_write_u16(dst + 8, 4);
	knot_wire_write_u16(dst + 10, EXPIRE_OPTION_CODE);
	knot_wire_write_u16(dst + 12, 0);
	return dst + 14;
}

/*! \brief The option's value among \a len octets of RDATA of OPT, or EXPIRE_NONE. */
static inline uint32_t expire_option_read(const uint8_t *options, size_t len)
{
	while (len >= 4) {
		uint16_t code = knot_wire_read_u16(options);
		size_t size = 4 + (size_t)knot_wire_read_u16(options + 2);
		if (size > len) {
			break;
		}
		if (code == EXPIRE_OPTION_CODE && size == 8) {
			return knot_wire_read_u32(options + 4);
		}
		options += size;
		len -= size;
	}
	return EXPIRE_NONE;
}
