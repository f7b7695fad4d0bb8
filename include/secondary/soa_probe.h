/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The SOA question that a secondary asks (RFC 1034, section 4.3.5), and what answers it. Pure functions, any thread.
 *
 * The question asks for EXPIRE (RFC 7314), which bounds how long our version may be served; without EDNS it cannot. The
 * answer is hostile: every read is checked against its end. It has to be authoritative, and its answer section to be the SOA alone: what knotd takes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "secondary/expire_option.h"
#include "secondary/wire.h"

/*! Octets of the question at most: header, name, type and class, OPT. */
#define SOA_PROBE_QUERY_MAX (12 + WIRE_NAME_MAX + 4 + EXPIRE_OPTION_OPT_LEN)

/*! What an answer says. */
typedef struct {
	bool is_truncated;         /*!< Ask again over TCP. Nothing else is known. */
	uint32_t serial;
	uint32_t expire;           /*!< Seconds, or EXPIRE_NONE. */
	char reason[96];           /*!< Why it is of no use; ends a log line. */
} soa_probe_t;

/*! \brief Writes the question for \a apex (\a apex_len octets), id 0, with EDNS or not, to \a dst; returns its length. */
size_t soa_probe_query(const uint8_t *apex, size_t apex_len, bool edns, uint8_t dst[static SOA_PROBE_QUERY_MAX]);

/*!
 * \brief Reads the answer to soa_probe_query() (id, QR and question already checked).
 *
 * \param apex  Lower case.
 * \return KNOT_EOK: \a ret tells the serial, or is_truncated; KNOT_EDENIED, KNOT_EMALF: it tells the reason.
 */
int soa_probe_read(const uint8_t *msg, size_t len, const uint8_t *apex, size_t apex_len, soa_probe_t *ret);
