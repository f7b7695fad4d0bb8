/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Octets of names and messages, for the rooms that read or write them on a hot path (qp, section, transfer_out).
 */
#pragma once

#include <endian.h>
#include <stdbool.h>
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
	const uint16_t in_order = htobe16(value);
	memcpy(p, &in_order, sizeof(in_order));
}

static inline uint32_t load32(const uint8_t *p)
{
	uint32_t value;
	memcpy(&value, p, sizeof(value));
	return value;
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t value;
	memcpy(&value, p, sizeof(value));
	return value;
}

/*! \brief Are \a len octets equal? Without a call, which for names, a dozen octets mostly, costs more than to compare them. */
static inline bool equal_octets(const uint8_t *a, const uint8_t *b, size_t len)
{
	if (len < 4) {
		return len == 0 || (a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1]);
	}
	if (len < 8) { /* in two pieces, which overlap */
		return load32(a) == load32(b) && load32(a + len - 4) == load32(b + len - 4);
	}
	for (size_t at = 0; at < len - 8; at += 8) {
		if (load64(a + at) != load64(b + at)) {
			return false;
		}
	}
	return load64(a + len - 8) == load64(b + len - 8);
}

/*!
 * \brief Copies RDATA: without a call, before which whoever copies record by record would have to save what it knows.
 *
 * Some dozen octets mostly; where there are hundreds, memcpy() would take fewer instructions, though hardly less time.
 */
static inline void copy_rdata(uint8_t *dst, const uint8_t *src, size_t len)
{
	if (len == 4) {
		memcpy(dst, src, 4);
	} else if (len >= 16) { /* the last piece overlaps the one before */
		for (size_t at = 0; at < len - 16; at += 16) {
			memcpy(dst + at, src + at, 16);
		}
		memcpy(dst + len - 16, src + len - 16, 16);
	} else if (len >= 8) {
		memcpy(dst, src, 8);
		memcpy(dst + len - 8, src + len - 8, 8);
	} else {
		for (size_t at = 0; at < len; at++) {
			dst[at] = src[at];
		}
	}
}
