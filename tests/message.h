/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Responses for the tests of section and answer: made, parsed by libknot, and as text.
 */
#pragma once

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/answer.h"
#include "secondary/section.h"
#include "secondary/wire.h"
#include "support.h"

/*! \brief Begins a response in memory of exactly \a limit octets, so that a sanitizer sees the first octet too many. */
static inline message_t response_begin(const char *qname, uint16_t qtype, size_t limit)
{
	uint8_t name[WIRE_NAME_MAX];
	size_t len = support_name(qname, name);
	size_t size = MESSAGE_HEADER + len + 4;
	ck_assert_uint_ge(limit, size);

	uint8_t *wire = malloc(limit);
	ck_assert_ptr_nonnull(wire);
	memset(wire, 0, MESSAGE_HEADER);
	knot_wire_set_qr(wire);
	knot_wire_set_qdcount(wire, 1);
	memcpy(wire + MESSAGE_HEADER, name, len);
	knot_wire_write_u16(wire + MESSAGE_HEADER + len, qtype);
	knot_wire_write_u16(wire + MESSAGE_HEADER + len + 2, KNOT_CLASS_IN);
	return (message_t) { .wire = wire, .size = size, .limit = limit, .qname_end = MESSAGE_HEADER + len };
}

/*! \brief Answers the question of a response that has just begun. */
static inline answer_result_t response_answer(const snapshot_t *snapshot, message_t *msg, uint16_t qtype, bool dnssec,
                                              alias_chain_t *chain)
{
	static uint8_t qname[WIRE_NAME_MAX]; /* outlives this for answer_continue() */
	size_t len = msg->qname_end - MESSAGE_HEADER;
	memcpy(qname, msg->wire + MESSAGE_HEADER, len);
	wire_name_lower(qname, len);
	const question_t question = { .qname = qname, .qname_len = len, .qtype = qtype, .dnssec = dnssec };
	return answer(snapshot, &question, msg, chain);
}

/*! \brief Completes the header and has libknot parse the message, which must succeed. Own: knot_pkt_free() it. */
static inline knot_pkt_t *response_parse(message_t *msg)
{
	ck_assert_uint_le(msg->size, msg->limit);
	knot_wire_set_ancount(msg->wire, msg->count[SECTION_ANSWER]);
	knot_wire_set_nscount(msg->wire, msg->count[SECTION_AUTHORITY]);
	knot_wire_set_arcount(msg->wire, msg->count[SECTION_ADDITIONAL]);

	knot_pkt_t *pkt = knot_pkt_new(msg->wire, msg->size, NULL);
	ck_assert_ptr_nonnull(pkt);
	int ret = knot_pkt_parse(pkt, KNOT_PF_NOCANON);
	ck_assert_msg(ret == KNOT_EOK, "message does not parse: %s", knot_strerror(ret));
	return pkt;
}

/*! \brief The records of a section as support_text() gives them, in lower case: pointers unite spellings. Own: free() it. */
static inline char *response_text(const knot_pkt_t *pkt, unsigned section)
{
	size_t size = 1;
	char *all = calloc(1, 1);
	knot_dump_style_t style = KNOT_DUMP_STYLE_DEFAULT;
	style.show_class = true;
	style.show_ttl = true;

	const knot_pktsection_t *records = knot_pkt_section(pkt, section);
	for (unsigned i = 0; i < records->count; i++) {
		size_t line_size = 4096;
		char *line = malloc(line_size);
		ck_assert_int_gt(knot_rrset_txt_dump(knot_pkt_rr(records, i), &line, &line_size, &style), 0);
		size_t len = strlen(line);
		all = realloc(all, size + len);
		memcpy(all + size - 1, line, len + 1);
		size += len;
		free(line);
	}
	char *text = support_text(".", all);
	wire_name_lower((uint8_t *)text, strlen(text));
	free(all);
	return text;
}

/*! \brief Size of the message if libknot compressed its records one by one: ours must not be larger. */
static inline size_t response_knot_size(const knot_pkt_t *pkt)
{
	knot_pkt_t *other = knot_pkt_new(NULL, KNOT_WIRE_MAX_PKTSIZE, NULL);
	knot_pkt_put_question(other, knot_pkt_qname(pkt), knot_pkt_qclass(pkt), knot_pkt_qtype(pkt));
	for (unsigned section = KNOT_ANSWER; section <= KNOT_ADDITIONAL; section++) {
		const knot_pktsection_t *records = knot_pkt_section(pkt, section);
		knot_pkt_begin(other, section);
		for (unsigned i = 0; i < records->count; i++) {
			if (knot_pkt_put(other, KNOT_COMPR_HINT_NONE, knot_pkt_rr(records, i), 0) != KNOT_EOK) {
				knot_pkt_free(other);
				return KNOT_WIRE_MAX_PKTSIZE;
			}
		}
	}
	size_t size = other->size;
	knot_pkt_free(other);
	return size;
}
