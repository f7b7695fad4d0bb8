/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief TSIG of one query and of the messages that answer it.
 */
#include "secondary/tsig_client.h"

#include <assert.h>
#include <libknot/codes.h>
#include <libknot/errcode.h>
#include <libknot/packet/rrset-wire.h>
#include <libknot/packet/wire.h>
#include <libknot/rrtype/tsig.h>
#include <libknot/tsig-op.h>
#include <stdlib.h>
#include <string.h>

/*! Octets of the longest digest (HMAC-SHA512). */
#define DIGEST_MAX 64

struct tsig_client {
	const knot_tsig_key_t *key;
	uint8_t digest[DIGEST_MAX];   /*!< MAC of the query, then of the last signed message. */
	size_t digest_len;            /*!< 0 until the query is signed; all MACs of a key are equally long. */
	uint64_t last_time;           /*!< Time signed of the last signed message. */
	bool started;                 /*!< A signed message has come. */
	unsigned unsigned_count;      /*!< Messages since the last signed one. */
	uint8_t *pending;             /*!< Those messages, one after the other. */
	size_t pending_len;
	size_t pending_max;
};

/*! The TSIG record of a message. */
typedef struct {
	size_t pos;                   /*!< Where it begins. */
	bool present;
} tsig_place_t;

tsig_client_t *tsig_client_new(const knot_tsig_key_t *key)
{
	assert(key != NULL && key->name != NULL);

	tsig_client_t *tsig = calloc(1, sizeof(*tsig));
	if (tsig != NULL) {
		tsig->key = key;
	}
	return tsig;
}

int tsig_client_sign(tsig_client_t *tsig, uint8_t *wire, size_t *len, size_t max)
{
	assert(tsig != NULL && wire != NULL && *len >= KNOT_WIRE_HEADER_SIZE && *len <= max);

	size_t digest_len = sizeof(tsig->digest);
	int ret = knot_tsig_sign(wire, len, max, NULL, 0, tsig->digest, &digest_len, tsig->key, KNOT_RCODE_NOERROR, 0);
	if (ret != KNOT_EOK) {
		return ret;
	}
	tsig->digest_len = digest_len;
	return KNOT_EOK;
}

/*! Position after the name at \a pos, or 0: it does not end within the message. Pointers are not followed. */
static size_t skip_name(const uint8_t *wire, size_t len, size_t pos)
{
	while (pos < len) {
		uint8_t octet = wire[pos];
		if (octet >= 0xC0) {
			return pos + 2 <= len ? pos + 2 : 0;
		}
		if (octet > 63) {
			return 0;
		}
		pos += 1 + octet;
		if (octet == 0) {
			return pos;
		}
	}
	return 0;
}

/*! Position after the record at \a pos, or 0. */
static size_t skip_record(const uint8_t *wire, size_t len, size_t pos, uint16_t *ret_type)
{
	pos = skip_name(wire, len, pos);
	if (pos == 0 || len - pos < 10) {
		return 0;
	}
	uint16_t rdlen = knot_wire_read_u16(wire + pos + 8);
	if (len - pos - 10 < rdlen) {
		return 0;
	}
	*ret_type = knot_wire_read_u16(wire + pos);
	return pos + 10 + rdlen;
}

/*! Finds the TSIG record, which may only be the last one of the additional section (RFC 8945, section 5.2). */
static int find_tsig(const uint8_t *wire, size_t len, tsig_place_t *ret)
{
	if (len < KNOT_WIRE_HEADER_SIZE) {
		return KNOT_EMALF;
	}

	size_t pos = KNOT_WIRE_HEADER_SIZE;
	for (unsigned i = knot_wire_get_qdcount(wire); i > 0; i--) {
		pos = skip_name(wire, len, pos);
		if (pos == 0 || len - pos < 4) {
			return KNOT_EMALF;
		}
		pos += 4;
	}

	unsigned additional = knot_wire_get_arcount(wire);
	unsigned left = knot_wire_get_ancount(wire) + knot_wire_get_nscount(wire) + additional;
	tsig_place_t place = { 0 };
	for (; left > 0; left--) {
		place.pos = pos;
		uint16_t type;
		pos = skip_record(wire, len, pos, &type);
		if (pos == 0) {
			return KNOT_EMALF;
		}
		place.present = type == KNOT_RRTYPE_TSIG;
		if (place.present && (left > 1 || additional == 0)) {
			return KNOT_EMALF;
		}
	}
	if (pos != len) {
		return KNOT_EMALF;
	}
	*ret = place;
	return KNOT_EOK;
}

/*! What a server says with a TSIG error and no MAC (RFC 8945, section 5.3.2). Not verifiable, so only ever a failure. */
static int reported_error(uint16_t error)
{
	switch (error) {
	case KNOT_RCODE_BADKEY:
		return KNOT_TSIG_EBADKEY;
	case KNOT_RCODE_BADTIME:
		return KNOT_TSIG_EBADTIME;
	case KNOT_RCODE_BADTRUNC:
		return KNOT_TSIG_EBADTRUNC;
	default:
		return KNOT_TSIG_EBADSIG;
	}
}

/*!
 * Checks of the record that libknot leaves out or makes too late: it compares as many octets as the record's algorithm
 * has, not the key's, and calls a truncated MAC a wrong one. Truncation is not accepted, as by knotd.
 */
static int check_record(const tsig_client_t *tsig, const knot_rrset_t *record)
{
	if (record->rclass != KNOT_CLASS_ANY || record->ttl != 0 || !knot_tsig_rdata_is_ok(record)) {
		return KNOT_EMALF;
	}
	if (!knot_dname_is_case_equal(record->owner, tsig->key->name) ||
	    knot_tsig_rdata_alg(record) != tsig->key->algorithm) {
		return KNOT_TSIG_EBADKEY;
	}

	size_t mac_len = knot_tsig_rdata_mac_length(record);
	if (mac_len == 0) {
		return reported_error(knot_tsig_rdata_error(record));
	}
	if (mac_len > tsig->digest_len) {
		return KNOT_EMALF;
	}
	return mac_len < tsig->digest_len ? KNOT_TSIG_EBADTRUNC : KNOT_EOK;
}

static int append_pending(tsig_client_t *tsig, const uint8_t *wire, size_t len)
{
	size_t need = tsig->pending_len + len;
	if (need > tsig->pending_max) {
		size_t max = need < 2 * tsig->pending_max ? 2 * tsig->pending_max : need;
		uint8_t *pending = realloc(tsig->pending, max);
		if (pending == NULL) {
			return KNOT_ENOMEM;
		}
		tsig->pending = pending;
		tsig->pending_max = max;
	}
	memcpy(tsig->pending + tsig->pending_len, wire, len);
	tsig->pending_len = need;
	return KNOT_EOK;
}

static int take_unsigned(tsig_client_t *tsig, const uint8_t *wire, size_t len)
{
	if (!tsig->started || tsig->unsigned_count == TSIG_UNSIGNED_MAX) {
		return KNOT_ENOTSIG;
	}
	int ret = append_pending(tsig, wire, len);
	if (ret == KNOT_EOK) {
		tsig->unsigned_count++;
	}
	return ret;
}

/*! Verifies \a len octets of a message whose TSIG is off, together with the unsigned ones before it. */
static int check_mac(tsig_client_t *tsig, const knot_rrset_t *record, const uint8_t *wire, size_t len)
{
	if (!tsig->started) {
		return knot_tsig_client_check(record, wire, len, tsig->digest, tsig->digest_len, tsig->key, 0);
	}
	if (tsig->unsigned_count == 0) {
		return knot_tsig_client_check_next(record, wire, len, tsig->digest, tsig->digest_len, tsig->key,
		                                   tsig->last_time);
	}

	size_t before = tsig->pending_len;
	int ret = append_pending(tsig, wire, len);
	if (ret != KNOT_EOK) {
		return ret;
	}
	ret = knot_tsig_client_check_next(record, tsig->pending, tsig->pending_len, tsig->digest, tsig->digest_len,
	                                  tsig->key, tsig->last_time);
	tsig->pending_len = before;
	return ret;
}

static int take_signed(tsig_client_t *tsig, const knot_rrset_t *record, const uint8_t *wire, size_t len)
{
	int ret = check_record(tsig, record);
	if (ret != KNOT_EOK) {
		return ret;
	}
	ret = check_mac(tsig, record, wire, len);
	if (ret != KNOT_EOK) {
		return ret;
	}
	if (knot_tsig_rdata_error(record) != KNOT_RCODE_NOERROR) {
		return reported_error(knot_tsig_rdata_error(record));
	}

	memcpy(tsig->digest, knot_tsig_rdata_mac(record), tsig->digest_len);
	tsig->last_time = knot_tsig_rdata_time_signed(record);
	tsig->started = true;
	tsig->unsigned_count = 0;
	tsig->pending_len = 0;
	return KNOT_EOK;
}

int tsig_client_verify(tsig_client_t *tsig, uint8_t *wire, size_t *len)
{
	assert(tsig != NULL && tsig->digest_len > 0 && wire != NULL);

	tsig_place_t place;
	int ret = find_tsig(wire, *len, &place);
	if (ret != KNOT_EOK) {
		return ret;
	}
	if (!place.present) {
		return take_unsigned(tsig, wire, *len);
	}

	knot_rrset_t record;
	size_t pos = place.pos;
	ret = knot_rrset_rr_from_wire(wire, &pos, *len, &record, NULL, true);
	if (ret != KNOT_EOK) {
		return ret == KNOT_ENOMEM ? ret : KNOT_EMALF;
	}

	/* What was signed is the message without the record (RFC 8945, section 4.3.2). */
	uint16_t additional = knot_wire_get_arcount(wire);
	knot_wire_set_arcount(wire, additional - 1);
	ret = take_signed(tsig, &record, wire, place.pos);
	knot_rrset_clear(&record, NULL);
	if (ret != KNOT_EOK) {
		knot_wire_set_arcount(wire, additional);
		return ret;
	}
	*len = place.pos;
	return KNOT_EOK;
}

int tsig_client_finish(const tsig_client_t *tsig)
{
	assert(tsig != NULL);

	return tsig->started && tsig->unsigned_count == 0 ? KNOT_EOK : KNOT_ENOTSIG;
}

void tsig_client_free(tsig_client_t *tsig)
{
	if (tsig == NULL) {
		return;
	}
	free(tsig->pending);
	free(tsig);
}
