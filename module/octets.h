/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Octets of messages, for the rooms that write records on a hot path (section, transfer_out).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*! \brief Reads 16 bits in network order. */
static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)p[0] << 8 | p[1];
}

/*! \brief Writes 16 bits in network order. */
static inline void set16(uint8_t *p, uint16_t value)
{
	p[0] = value >> 8;
	p[1] = value;
}

/*! \brief Copies RDATA; addresses without a call. */
static inline void copy_rdata(uint8_t *dst, const uint8_t *src, size_t len)
{
	if (len == 4) {
		memcpy(dst, src, 4);
	} else if (len == 16) {
		memcpy(dst, src, 16);
	} else {
		memcpy(dst, src, len);
	}
}
