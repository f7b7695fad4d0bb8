/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief knotd's packets at the door: how a response begins or fails, and what a request brings. For dispatch and outgoing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/instance.h"
#include "secondary/section.h"

/*!
 * The state in which knotd enters hooks of KNOTD_STAGE_BEGIN, and for which, returned at KNOTD_STAGE_END, it asks for
 * another message: its internal "produce", which the public enumeration leaves out, 2 from 3.2 to 3.5. After another
 * module's decision it is another one.
 */
#define STATE_PRODUCE ((knotd_state_t)2)

/*! \brief The response is an error. \param ede  KNOT_EDNS_EDE_NONE: without an extended one. */
static inline knotd_state_t packet_fail(knotd_qdata_t *qdata, uint16_t rcode, int ede)
{
	qdata->rcode = rcode;
	qdata->rcode_ede = ede;
	return KNOTD_STATE_FAIL;
}

/*! Octets of an extended error's text at most: with a long question and TSIG it shall fit into 512. */
#define PACKET_EDE_TEXT_MAX 48

/*!
 * \brief Puts an extended error with \a text (RFC 8914) into the OPT record that knotd will send: its rcode_ede has no room for text.
 *
 * \param room  Octets that are free for it.
 * \return Octets that the OPT record has grown by; 0: no EDNS, no room, no memory.
 */
static inline size_t packet_add_ede(knotd_qdata_t *qdata, uint16_t ede, const char *text, size_t room)
{
	uint8_t option[2 + PACKET_EDE_TEXT_MAX];
	const size_t len = strnlen(text, PACKET_EDE_TEXT_MAX);
	const size_t size = KNOT_EDNS_OPTION_HDRLEN + 2 + len;
	knot_wire_write_u16(option, ede);
	memcpy(option + 2, text, len);
	if (knot_rrset_empty(&qdata->opt_rr) || room < size ||
	    knot_edns_add_option(&qdata->opt_rr, KNOT_EDNS_OPTION_EDE, 2 + len, option, qdata->mm) != KNOT_EOK) {
		return 0;
	}
	return size;
}

/*!
 * \brief Puts the option EXPIRE (RFC 7314) into the OPT record that knotd will send, if the client asks for it and there is room.
 *
 * \param pkt  Before anything was put into it.
 */
static inline void packet_add_expire(knot_pkt_t *pkt, knotd_qdata_t *qdata, uint32_t seconds)
{
	uint8_t value[4];
	const uint16_t size = KNOT_EDNS_OPTION_HDRLEN + sizeof(value);
	if (knot_pkt_edns_option(qdata->query, KNOT_EDNS_OPTION_EXPIRE) == NULL || knot_rrset_empty(&qdata->opt_rr) ||
	    knot_pkt_reserve(pkt, size) != KNOT_EOK) {
		return;
	}
	knot_wire_write_u32(value, seconds);
	if (knot_edns_add_option(&qdata->opt_rr, KNOT_EDNS_OPTION_EXPIRE, sizeof(value), value, qdata->mm) != KNOT_EOK) {
		(void)knot_pkt_reclaim(pkt, size);
	}
}

/*! \brief packet_fail() with an extended error's text, where there is room for it. \param pkt  Before anything was put into it. */
static inline knotd_state_t packet_fail_text(const knot_pkt_t *pkt, knotd_qdata_t *qdata, uint16_t rcode, uint16_t ede,
                                             const char *text)
{
	const size_t taken = pkt->size + pkt->reserved + knot_tsig_wire_size(&qdata->sign.tsig_key);
	const size_t room = pkt->max_size > taken ? pkt->max_size - taken : 0;
	return packet_fail(qdata, rcode, packet_add_ede(qdata, ede, text, room) > 0 ? KNOT_EDNS_EDE_NONE : ede);
}

/*!
 * \brief Keeps free what the signature takes that knotd adds to this message; nothing, when there is no key.
 *
 * \return false: there is no room for it.
 */
static inline bool packet_reserve_tsig(knot_pkt_t *pkt, const knotd_qdata_t *qdata)
{
	return knot_pkt_reserve(pkt, knot_tsig_wire_size(&qdata->sign.tsig_key)) == KNOT_EOK;
}

/*!
 * \brief The packet as section.h takes it: header and question stand, what knotd adds later is taken off the limit.
 *
 * knotd reserves OPT before it knows how much the client takes. With a long question and a long `nsid` there may be no room
 * for anything then, not even for the OPT.
 */
static inline message_t packet_message(const knot_pkt_t *pkt)
{
	size_t limit = pkt->max_size > pkt->reserved ? pkt->max_size - pkt->reserved : 0;
	limit = limit > pkt->size ? limit : pkt->size;
	return (message_t) {
		.wire = pkt->wire,
		.size = pkt->size,
		.limit = limit < MESSAGE_MAX ? limit : MESSAGE_MAX,
		.qname_end = MESSAGE_HEADER + pkt->qname_size,
	};
}

/*!
 * \brief The serial that a request brings: in the answer of NOTIFY (RFC 1996), in the authority of IXFR (RFC 1995).
 *
 * \return false: none, or something else stands there.
 */
static inline bool packet_serial(const knot_pkt_t *query, knot_section_t section, uint32_t *ret_serial)
{
	const knot_pktsection_t *records = knot_pkt_section(query, section);
	if (records->count == 0) {
		return false;
	}
	const knot_rrset_t *soa = knot_pkt_rr(records, 0);
	if (soa->type != KNOT_RRTYPE_SOA || !knot_dname_is_equal(soa->owner, knot_pkt_qname(query))) {
		return false;
	}
	/* Of other classes libknot takes empty RDATA, too. */
	if (soa->rclass != KNOT_CLASS_IN || soa->rrs.count == 0) {
		return false;
	}
	*ret_serial = knot_soa_serial(soa->rrs.rdata);
	return true;
}

/*! \brief Why access_check() has denied a request, for the log. */
static inline const char *packet_denial(const knotd_qdata_t *qdata)
{
	if (qdata->rcode != KNOT_RCODE_NOTAUTH) {
		return "malformed signature";
	}
	switch (qdata->rcode_tsig) {
	case KNOT_RCODE_BADSIG:
		return "bad signature";
	case KNOT_RCODE_BADTIME:
		return "bad time of signature";
	default:
		return "not allowed";
	}
}
