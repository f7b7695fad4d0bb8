/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The SOA question that a secondary asks (RFC 1034, section 4.3.5), and what answers it. Pure functions.
 *
 * The question has an empty EXPIRE option (RFC 7314), whose answer bounds how long our version may be served. The answer is
 * hostile: every read is checked against its end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <libknot/codes.h>
#include <libknot/consts.h>
#include <libknot/descriptor.h>
#include <libknot/error.h>
#include <libknot/lookup.h>
#include <libknot/packet/wire.h>

#include "secondary/refresh.h"
#include "secondary/wire.h"

/*! Octets of the question at most: header, name, type and class, OPT with one empty option. */
#define SOA_PROBE_QUERY_MAX (12 + WIRE_NAME_MAX + 4 + 11 + 4)
/*! UDP payload that does not get fragmented (DNS Flag Day 2020); a SOA with TSIG fits. */
#define SOA_PROBE_PAYLOAD   1232
/*! Option code of EXPIRE (RFC 7314); libknot 3.2 has it, older headers do not. */
#define SOA_PROBE_EXPIRE    9

/*! What an answer says. */
typedef struct {
	bool is_truncated;         /*!< Ask again over TCP. Nothing else is known. */
	uint32_t serial;
	uint32_t expire;           /*!< Seconds, or REFRESH_NO_EXPIRE. */
	char reason[96];           /*!< Why it is of no use. */
} soa_probe_t;

/*! \brief Writes the question for \a apex (\a apex_len octets), id 0, to \a dst; returns its length. */
static inline size_t soa_probe_query(const uint8_t *apex, size_t apex_len, uint8_t dst[static SOA_PROBE_QUERY_MAX])
{
	memset(dst, 0, KNOT_WIRE_HEADER_SIZE);
	knot_wire_set_qdcount(dst, 1);
	knot_wire_set_arcount(dst, 1);

	uint8_t *pos = dst + KNOT_WIRE_HEADER_SIZE;
	memcpy(pos, apex, apex_len);
	pos += apex_len;
	knot_wire_write_u16(pos, KNOT_RRTYPE_SOA);
	knot_wire_write_u16(pos + 2, KNOT_CLASS_IN);
	pos += 4;

	*pos++ = 0; /* OPT stands at the root. */
	knot_wire_write_u16(pos, KNOT_RRTYPE_OPT);
	knot_wire_write_u16(pos + 2, SOA_PROBE_PAYLOAD);
	knot_wire_write_u32(pos + 4, 0);
	knot_wire_write_u16(pos + 8, 4);
	knot_wire_write_u16(pos + 10, SOA_PROBE_EXPIRE);
	knot_wire_write_u16(pos + 12, 0);
	return pos + 14 - dst;
}

/*! One record of the message; the owner in full. */
typedef struct {
	uint8_t owner[WIRE_NAME_MAX];
	size_t owner_len;
	uint16_t type, rclass;
	uint32_t ttl;
	size_t rdata;              /*!< Its place. */
	uint16_t rdlen;
} soa_probe_record_t;

static inline bool soa_probe_record(const uint8_t *msg, size_t len, size_t *pos, soa_probe_record_t *ret)
{
	int name = wire_name_read(msg, len, *pos, ret->owner, &ret->owner_len);
	if (name < 0 || len - *pos - name < 10) {
		return false;
	}
	const uint8_t *fixed = msg + *pos + name;
	ret->type = knot_wire_read_u16(fixed);
	ret->rclass = knot_wire_read_u16(fixed + 2);
	ret->ttl = knot_wire_read_u32(fixed + 4);
	ret->rdlen = knot_wire_read_u16(fixed + 8);
	ret->rdata = *pos + name + 10;
	*pos = ret->rdata + ret->rdlen;
	return *pos <= len;
}

static inline bool soa_probe_skip_question(const uint8_t *msg, size_t len, size_t *pos)
{
	for (unsigned i = 0; i < knot_wire_get_qdcount(msg); i++) {
		uint8_t name[WIRE_NAME_MAX];
		size_t name_len;
		int ret = wire_name_read(msg, len, *pos, name, &name_len);
		if (ret < 0 || len - *pos - ret < 4) {
			return false;
		}
		*pos += ret + 4;
	}
	return true;
}

/*! Is \a record the SOA of \a apex (lower case)? Then its serial. */
static inline bool soa_probe_serial(const uint8_t *msg, size_t len, soa_probe_record_t *record, const uint8_t *apex,
                                    size_t apex_len, uint32_t *ret_serial)
{
	wire_name_lower(record->owner, record->owner_len);
	if (record->type != KNOT_RRTYPE_SOA || record->rclass != KNOT_CLASS_IN || record->owner_len != apex_len ||
	    memcmp(record->owner, apex, apex_len) != 0) {
		return false;
	}

	uint8_t name[WIRE_NAME_MAX];
	size_t name_len, pos = record->rdata;
	for (unsigned i = 0; i < 2; i++) { /* MNAME, RNAME */
		int ret = wire_name_read(msg, len, pos, name, &name_len);
		if (ret < 0) {
			return false;
		}
		pos += ret;
	}
	if (pos + 20 != record->rdata + record->rdlen) {
		return false;
	}
	*ret_serial = knot_wire_read_u32(msg + pos);
	return true;
}

/*! The EXPIRE option among those in RDATA of OPT, if there is one. */
static inline void soa_probe_options(const uint8_t *options, size_t len, uint32_t *ret_expire)
{
	while (len >= 4) {
		uint16_t code = knot_wire_read_u16(options);
		size_t size = 4 + (size_t)knot_wire_read_u16(options + 2);
		if (size > len) {
			return;
		}
		if (code == SOA_PROBE_EXPIRE && size == 8) {
			*ret_expire = knot_wire_read_u32(options + 4);
			return;
		}
		options += size;
		len -= size;
	}
}

/*! Reads the records: the answer must be exactly the SOA; of the rest OPT alone matters. */
static inline bool soa_probe_records(const uint8_t *msg, size_t len, const uint8_t *apex, size_t apex_len, bool *ret_soa,
                                     uint16_t *rcode, soa_probe_t *probe)
{
	size_t pos = KNOT_WIRE_HEADER_SIZE;
	if (!soa_probe_skip_question(msg, len, &pos)) {
		return false;
	}

	unsigned answers = knot_wire_get_ancount(msg);
	unsigned records = answers + knot_wire_get_nscount(msg) + knot_wire_get_arcount(msg);
	*ret_soa = false;
	for (unsigned i = 0; i < records; i++) {
		soa_probe_record_t record;
		if (!soa_probe_record(msg, len, &pos, &record)) {
			return false;
		}
		if (i < answers) {
			*ret_soa = answers == 1 && soa_probe_serial(msg, len, &record, apex, apex_len, &probe->serial);
		} else if (record.type == KNOT_RRTYPE_OPT && record.owner_len == 1) {
			*rcode |= record.ttl >> 24 << 4;
			soa_probe_options(msg + record.rdata, record.rdlen, &probe->expire);
		}
	}
	return true;
}

static inline int soa_probe_refuse(soa_probe_t *probe, int ret, const char *reason)
{
	snprintf(probe->reason, sizeof(probe->reason), "%s", reason);
	return ret;
}

static inline int soa_probe_rcode(soa_probe_t *probe, uint16_t rcode)
{
	const knot_lookup_t *known = knot_lookup_by_id(knot_rcode_names, rcode);
	if (known != NULL) {
		snprintf(probe->reason, sizeof(probe->reason), "server responded with error '%s'", known->name);
	} else {
		snprintf(probe->reason, sizeof(probe->reason), "server responded with error %u", rcode);
	}
	return KNOT_EDENIED;
}

/*!
 * \brief Reads the answer to soa_probe_query() (id, QR and question already checked).
 *
 * \param apex  Lower case.
 * \return KNOT_EOK: \a ret tells the serial, or is_truncated; KNOT_EDENIED, KNOT_EMALF: it tells the reason.
 */
static inline int soa_probe_read(const uint8_t *msg, size_t len, const uint8_t *apex, size_t apex_len, soa_probe_t *ret)
{
	*ret = (soa_probe_t) { .expire = REFRESH_NO_EXPIRE };
	if (len < KNOT_WIRE_HEADER_SIZE || knot_wire_get_opcode(msg) != KNOT_OPCODE_QUERY) {
		return soa_probe_refuse(ret, KNOT_EMALF, knot_strerror(KNOT_EMALF));
	}

	bool has_soa = false;
	uint16_t rcode = knot_wire_get_rcode(msg);
	bool is_sound = soa_probe_records(msg, len, apex, apex_len, &has_soa, &rcode, ret);
	if (rcode != KNOT_RCODE_NOERROR) {
		return soa_probe_rcode(ret, rcode);
	}
	if (knot_wire_get_tc(msg)) {
		ret->is_truncated = true;
		return KNOT_EOK;
	}
	if (!is_sound) {
		return soa_probe_refuse(ret, KNOT_EMALF, knot_strerror(KNOT_EMALF));
	}
	if (!knot_wire_get_aa(msg)) {
		return soa_probe_refuse(ret, KNOT_EDENIED, "server is not authoritative");
	}
	if (!has_soa) {
		return soa_probe_refuse(ret, KNOT_EMALF, "no SOA in the answer");
	}
	return KNOT_EOK;
}
