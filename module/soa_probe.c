/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The SOA question that a secondary asks, and what answers it.
 */
#include "secondary/soa_probe.h"

#include <stdio.h>
#include <string.h>

#include <libknot/codes.h>
#include <libknot/consts.h>
#include <libknot/descriptor.h>
#include <libknot/error.h>
#include <libknot/lookup.h>
#include <libknot/packet/wire.h>

size_t soa_probe_query(const uint8_t *apex, size_t apex_len, bool edns, uint8_t dst[static SOA_PROBE_QUERY_MAX])
{
	memset(dst, 0, KNOT_WIRE_HEADER_SIZE);
	knot_wire_set_qdcount(dst, 1);

	uint8_t *pos = dst + KNOT_WIRE_HEADER_SIZE;
	memcpy(pos, apex, apex_len);
	pos += apex_len;
	knot_wire_write_u16(pos, KNOT_RRTYPE_SOA);
	knot_wire_write_u16(pos + 2, KNOT_CLASS_IN);
	pos += 4;
	if (edns) {
		knot_wire_set_arcount(dst, 1);
		pos = expire_option_ask(pos);
	}
	return pos - dst;
}

/*! One record of the message; the owner in full. */
typedef struct {
	uint8_t owner[WIRE_NAME_MAX];
	size_t owner_len;
	uint16_t type, rclass;
	uint32_t ttl;
	size_t rdata;              /*!< Its place. */
	uint16_t rdlen;
} record_t;

static bool read_record(const uint8_t *msg, size_t len, size_t *pos, record_t *ret)
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

static bool skip_question(const uint8_t *msg, size_t len, size_t *pos)
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
static bool read_serial(const uint8_t *msg, size_t len, record_t *record, const uint8_t *apex,
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

/*! Reads the records: the answer must be exactly the SOA; of the rest OPT alone matters. */
static bool read_records(const uint8_t *msg, size_t len, const uint8_t *apex, size_t apex_len, bool *ret_soa,
                                     uint16_t *rcode, soa_probe_t *probe)
{
	size_t pos = KNOT_WIRE_HEADER_SIZE;
	if (!skip_question(msg, len, &pos)) {
		return false;
	}

	unsigned answers = knot_wire_get_ancount(msg);
	unsigned records = answers + knot_wire_get_nscount(msg) + knot_wire_get_arcount(msg);
	*ret_soa = false;
	for (unsigned i = 0; i < records; i++) {
		record_t record;
		if (!read_record(msg, len, &pos, &record)) {
			return false;
		}
		if (i < answers) {
			*ret_soa = answers == 1 && read_serial(msg, len, &record, apex, apex_len, &probe->serial);
		} else if (record.type == KNOT_RRTYPE_OPT && record.owner_len == 1) {
			*rcode |= record.ttl >> 24 << 4;
			probe->expire = expire_option_read(msg + record.rdata, record.rdlen);
		}
	}
	return true;
}

static int refuse(soa_probe_t *probe, int ret, const char *reason)
{
	snprintf(probe->reason, sizeof(probe->reason), "%s", reason);
	return ret;
}

static int refuse_rcode(soa_probe_t *probe, uint16_t rcode)
{
	const knot_lookup_t *known = knot_lookup_by_id(knot_rcode_names, rcode);
	if (known != NULL) {
		snprintf(probe->reason, sizeof(probe->reason), "server responded with error '%s'", known->name);
	} else {
		snprintf(probe->reason, sizeof(probe->reason), "server responded with error %u", rcode);
	}
	return KNOT_EDENIED;
}

int soa_probe_read(const uint8_t *msg, size_t len, const uint8_t *apex, size_t apex_len, soa_probe_t *ret)
{
	*ret = (soa_probe_t) { .expire = EXPIRE_NONE };
	if (len < KNOT_WIRE_HEADER_SIZE || knot_wire_get_opcode(msg) != KNOT_OPCODE_QUERY) {
		return refuse(ret, KNOT_EMALF, knot_strerror(KNOT_EMALF));
	}

	bool has_soa = false;
	uint16_t rcode = knot_wire_get_rcode(msg);
	bool is_sound = read_records(msg, len, apex, apex_len, &has_soa, &rcode, ret);
	if (rcode != KNOT_RCODE_NOERROR) {
		return refuse_rcode(ret, rcode);
	}
	if (knot_wire_get_tc(msg)) {
		ret->is_truncated = true;
		return KNOT_EOK;
	}
	if (!is_sound) {
		return refuse(ret, KNOT_EMALF, knot_strerror(KNOT_EMALF));
	}
	if (!knot_wire_get_aa(msg)) {
		return refuse(ret, KNOT_EDENIED, "server is not authoritative");
	}
	if (!has_soa) {
		return refuse(ret, KNOT_EMALF, "no SOA in the answer");
	}
	return KNOT_EOK;
}
