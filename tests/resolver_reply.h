/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Replies of resolvers from text, for the tests of reply and upstream.
 */
#pragma once

#include <check.h>
#include <libzscanner/scanner.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "support.h"

typedef struct {
	size_t size;
	unsigned records;
	uint8_t wire[65535];
} reply_wire_t;

static inline void reply_wire_record(zs_scanner_t *scanner)
{
	reply_wire_t *reply = scanner->process.data;
	uint8_t *at = reply->wire + reply->size;
	ck_assert_uint_le(reply->size + scanner->r_owner_length + 10 + scanner->r_data_length, sizeof(reply->wire));
	memcpy(at, scanner->r_owner, scanner->r_owner_length);
	at += scanner->r_owner_length;
	knot_wire_write_u16(at, scanner->r_type);
	knot_wire_write_u16(at + 2, scanner->r_class);
	knot_wire_write_u32(at + 4, scanner->r_ttl);
	knot_wire_write_u16(at + 8, scanner->r_data_length);
	memcpy(at + 10, scanner->r_data, scanner->r_data_length);
	reply->size = at + 10 + scanner->r_data_length - reply->wire;
	reply->records++;
}

static inline void reply_wire_error(zs_scanner_t *scanner)
{
	ck_abort_msg("record: %s", zs_strerror(scanner->error.code));
}

/*! \brief Appends the records of master-file text with absolute names, TTL 3600 if none; returns how many. */
static inline unsigned reply_wire_add(reply_wire_t *reply, const char *text)
{
	zs_scanner_t *scanner = malloc(sizeof(*scanner));
	ck_assert_int_eq(zs_init(scanner, ".", KNOT_CLASS_IN, 3600), 0);
	ck_assert_int_eq(zs_set_input_string(scanner, text, strlen(text)), 0);
	ck_assert_int_eq(zs_set_processing(scanner, reply_wire_record, reply_wire_error, reply), 0);
	reply->records = 0;
	(void)zs_parse_all(scanner);
	zs_deinit(scanner);
	free(scanner);
	return reply->records;
}

/*! \brief Writes a response to the question \a name \a type. */
static inline void reply_wire_make(reply_wire_t *reply, const char *name, uint16_t type, unsigned rcode, const char *answer,
                                   const char *authority)
{
	memset(reply->wire, 0, KNOT_WIRE_HEADER_SIZE);
	knot_wire_set_qr(reply->wire);
	knot_wire_set_rcode(reply->wire, rcode);
	knot_wire_set_qdcount(reply->wire, 1);
	reply->size = KNOT_WIRE_HEADER_SIZE + support_name(name, reply->wire + KNOT_WIRE_HEADER_SIZE);
	knot_wire_write_u16(reply->wire + reply->size, type);
	knot_wire_write_u16(reply->wire + reply->size + 2, KNOT_CLASS_IN);
	reply->size += 4;
	knot_wire_set_ancount(reply->wire, reply_wire_add(reply, answer));
	knot_wire_set_nscount(reply->wire, reply_wire_add(reply, authority));
}
