/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Digesting the messages of an incoming transfer.
 */
#include "secondary/transfer_in.h"

#include <assert.h>
#include <libknot/codes.h>
#include <libknot/consts.h>
#include <libknot/descriptor.h>
#include <libknot/dname.h>
#include <libknot/error.h>
#include <libknot/packet/wire.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "secondary/amend.h"
#include "secondary/expire_option.h"
#include "secondary/wire.h"

/*! Octets of the longest SOA RDATA: two names and five numbers. */
#define SOA_MAX (2 * WIRE_NAME_MAX + 20)

/*! Octets of a reason: some words and one name. */
#define ERROR_MAX (KNOT_DNAME_TXT_MAXLEN + 128)

/*! Highest TTL; what is above counts as 0 (RFC 2181, section 8). */
#define TTL_MAX 0x7FFFFFFF

/*! No place in a message. */
#define NOWHERE SIZE_MAX

/*! Octets of a record beside owner and RDATA: type, class, TTL, RDLENGTH. */
#define RECORD_FIXED 10

struct transfer_in {
	enum {
		START,
		OPENED,
		RECORDS,
		REMOVING,
		ADDING,
		COMPLETE,
		UNCHANGED,
		FAILED,
	} state;
	transfer_kind_t kind;
	bool asks_increment;
	uint32_t base;                /*!< Serial of the version that an increment begins at. */
	uint32_t from, to;            /*!< Of the difference under way; \a to is what the one before led to until it is known. */
	uint64_t increment_left;      /*!< Octets that differences may still have. */
	builder_limits_t limits;
	builder_t *builder;           /*!< RECORDS. */
	difference_maker_t maker;
	history_run_t run;            /*!< Differences that are complete. */
	size_t run_max;
	transfer_counts_t counts;
	uint32_t expire;              /*!< What the first message's OPT says. */
	size_t owner_place;           /*!< Where the last owner stands in this message. */
	size_t owner_len;
	uint8_t owner[WIRE_NAME_MAX]; /*!< The last owner, lower case. */
	size_t apex_len;
	uint8_t apex[WIRE_NAME_MAX];  /*!< Lower case. */
	size_t soa_len;               /*!< 0: none has come. */
	uint32_t soa_ttl;
	uint8_t soa[SOA_MAX];         /*!< RDATA of the opening SOA. */
	char error[ERROR_MAX];
	uint8_t rdata[UINT16_MAX];
};

/*! A message and how far it is read. */
typedef struct {
	const uint8_t *msg;
	size_t len;
	size_t pos;
} cursor_t;

/*! The fixed part of a record; its RDATA stands at the cursor. */
typedef struct {
	uint16_t type;
	uint16_t rclass;
	uint32_t ttl;
	uint16_t rdlen;
} record_t;

/* Failures: each ends the transfer for good, and returns false. */

__attribute__((format(printf, 2, 3)))
static bool fail(transfer_in_t *transfer, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(transfer->error, sizeof(transfer->error), fmt, args);
	va_end(args);
	transfer->state = FAILED;
	return false;
}

static bool fail_malformed(transfer_in_t *transfer)
{
	return fail(transfer, "malformed message %llu", (unsigned long long)transfer->counts.messages);
}

/*! \a what, and the last owner in the builder's words. */
static bool fail_at_owner(transfer_in_t *transfer, const char *what)
{
	char text[KNOT_DNAME_TXT_MAXLEN + 1] = "?";
	(void)knot_dname_to_str(text, transfer->owner, sizeof(text));
	return fail(transfer, "%s at %s", what, text);
}

static bool fail_rcode(transfer_in_t *transfer, uint16_t rcode)
{
	const knot_lookup_t *known = knot_lookup_by_id(knot_rcode_names, rcode);
	if (known == NULL) {
		return fail(transfer, "server responded with error 'RCODE %u'", rcode);
	}
	return fail(transfer, "server responded with error '%s'", known->name);
}

static bool fail_builder(transfer_in_t *transfer, int ret)
{
	const char *error = transfer->builder != NULL ? builder_error(transfer->builder) : "";
	return fail(transfer, "%s", *error != '\0' ? error : knot_strerror(ret));
}

/* Reading. */

/*! Reads the fixed part of a record and checks that the RDATA is within the message. */
static bool read_fixed(cursor_t *cursor, record_t *ret)
{
	if (cursor->len - cursor->pos < 10) {
		return false;
	}
	const uint8_t *fixed = cursor->msg + cursor->pos;
	cursor->pos += 10;
	ret->type = knot_wire_read_u16(fixed);
	ret->rclass = knot_wire_read_u16(fixed + 2);
	ret->ttl = knot_wire_read_u32(fixed + 4);
	ret->rdlen = knot_wire_read_u16(fixed + 8);
	return cursor->len - cursor->pos >= ret->rdlen;
}

/*! Reads a name, in lower case. */
static bool read_name(cursor_t *cursor, uint8_t dst[static WIRE_NAME_MAX], size_t *ret_len)
{
	int taken = wire_name_read(cursor->msg, cursor->len, cursor->pos, dst, ret_len);
	if (taken < 0) {
		return false;
	}
	wire_name_lower(dst, *ret_len);
	cursor->pos += taken;
	return true;
}

/*! Reads an owner. The records of a name come together, the later ones pointing to where the first has it: read it once. */
static bool read_owner(transfer_in_t *transfer, cursor_t *cursor)
{
	size_t place = cursor->pos;
	if (cursor->len - cursor->pos >= 2 && cursor->msg[cursor->pos] >= 0xC0) {
		place = knot_wire_read_u16(cursor->msg + cursor->pos) & 0x3FFF;
		if (place == transfer->owner_place) {
			cursor->pos += 2;
			return true;
		}
	}
	transfer->owner_place = place;
	return read_name(cursor, transfer->owner, &transfer->owner_len);
}

static bool is_name(const transfer_in_t *transfer, const uint8_t *name, size_t len)
{
	return len == transfer->apex_len && memcmp(name, transfer->apex, len) == 0;
}

/*! Types that no zone contains (RFC 6895, section 3.1). */
static bool is_meta(uint16_t type)
{
	return type == 0 || type == KNOT_RRTYPE_OPT || (type >= 128 && type <= 255);
}

static uint32_t soa_serial(const uint8_t *rdata, size_t len)
{
	return knot_wire_read_u32(rdata + len - 20);
}

/* Digesting: into a builder, */

static bool add_to_builder(transfer_in_t *transfer, const uint8_t *owner, size_t owner_len, uint16_t type, uint32_t ttl,
                           const uint8_t *rdata, uint16_t rdlen)
{
	int ret = builder_add(transfer->builder, owner, owner_len, type, ttl, rdata, rdlen);
	return ret == KNOT_EOK || fail_builder(transfer, ret);
}

static bool add_record(transfer_in_t *transfer, const record_t *record, size_t rdata_len)
{
	transfer->counts.records++;
	return add_to_builder(transfer, transfer->owner, transfer->owner_len, record->type, record->ttl, transfer->rdata,
	                      rdata_len);
}

/*! Only now memory is taken for a whole zone: who asked for an increment mostly needs none. */
static bool begin_records(transfer_in_t *transfer)
{
	transfer->builder = builder_new(transfer->apex, &transfer->limits);
	if (transfer->builder == NULL) {
		return fail_builder(transfer, KNOT_ENOMEM);
	}
	transfer->kind = TRANSFER_FULL;
	transfer->state = RECORDS;
	return add_to_builder(transfer, transfer->apex, transfer->apex_len, KNOT_RRTYPE_SOA, transfer->soa_ttl, transfer->soa,
	                      transfer->soa_len);
}

/* or into differences. */

static bool put_record(transfer_in_t *transfer, const record_t *record, size_t rdata_len)
{
	if (!wire_name_within(transfer->owner, transfer->owner_len, transfer->apex, transfer->apex_len)) {
		return fail_at_owner(transfer, "record outside the zone");
	}
	size_t relative_len = transfer->owner_len - transfer->apex_len;
	size_t octets = transfer->owner_len + RECORD_FIXED + rdata_len;
	if (octets > transfer->increment_left) {
		return fail(transfer, "increment larger than the zone is worth");
	}
	transfer->increment_left -= octets;
	transfer->counts.records++;
	int ret = difference_maker_put(&transfer->maker, transfer->owner, relative_len, record->type, record->ttl, transfer->rdata,
	                               rdata_len);
	return ret == KNOT_EOK || fail(transfer, "%s", knot_strerror(ret));
}

static bool begin_difference(transfer_in_t *transfer, const record_t *record, size_t rdata_len)
{
	uint32_t serial = soa_serial(transfer->rdata, rdata_len);
	if (serial != transfer->to) {
		return fail(transfer, "increment leads from serial %u, not from %u", serial, transfer->to);
	}
	transfer->kind = TRANSFER_INCREMENT;
	transfer->state = REMOVING;
	transfer->from = serial;
	return put_record(transfer, record, rdata_len);
}

static bool turn_difference(transfer_in_t *transfer, const record_t *record, size_t rdata_len)
{
	uint32_t serial = soa_serial(transfer->rdata, rdata_len);
	if (serial == transfer->from || serial_newer(transfer->from, serial)) {
		return fail(transfer, "increment leads back, serial %u -> %u", transfer->from, serial);
	}
	transfer->state = ADDING;
	transfer->to = serial;
	difference_maker_turn(&transfer->maker);
	return put_record(transfer, record, rdata_len);
}

static bool run_grow(transfer_in_t *transfer)
{
	history_run_t *run = &transfer->run;
	if (run->count < transfer->run_max) {
		return true;
	}
	size_t max = transfer->run_max > 0 ? 2 * transfer->run_max : 1;
	difference_t **item = realloc(run->item, max * sizeof(*item));
	if (item == NULL) {
		return fail(transfer, "%s", knot_strerror(KNOT_ENOMEM));
	}
	run->item = item;
	transfer->run_max = max;
	return true;
}

static bool end_difference(transfer_in_t *transfer)
{
	history_run_t *run = &transfer->run;
	if (!run_grow(transfer)) {
		return false;
	}
	int ret = difference_maker_finish(&transfer->maker, &run->item[run->count]);
	if (ret != KNOT_EOK) {
		return fail(transfer, "%s", knot_strerror(ret));
	}
	run->octets += run->item[run->count]->size;
	run->count++;
	return true;
}

/* What a SOA of the zone means. */

static bool take_opening_soa(transfer_in_t *transfer, const record_t *record, size_t rdata_len)
{
	if (!is_name(transfer, transfer->owner, transfer->owner_len)) {
		return fail_at_owner(transfer, "first SOA is not the zone's");
	}
	assert(rdata_len <= SOA_MAX);
	memcpy(transfer->soa, transfer->rdata, rdata_len);
	transfer->soa_len = rdata_len;
	transfer->soa_ttl = record->ttl;
	transfer->counts.records++;
	transfer->state = OPENED;
	return transfer->asks_increment || begin_records(transfer);
}

static bool take_closing_soa(transfer_in_t *transfer, size_t rdata_len)
{
	uint32_t first = soa_serial(transfer->soa, transfer->soa_len), last = soa_serial(transfer->rdata, rdata_len);
	if (first != last) {
		return fail(transfer, "zone changed during the transfer, serial %u -> %u", first, last);
	}
	if (wire_rdata_compare(KNOT_RRTYPE_SOA, transfer->soa, transfer->soa_len, transfer->rdata, rdata_len) != 0) {
		return fail(transfer, "last SOA differs from the first");
	}
	transfer->state = COMPLETE;
	return true;
}

/*! The SOA behind added records begins the next difference, or closes. */
static bool take_soa_behind(transfer_in_t *transfer, const record_t *record, size_t rdata_len)
{
	if (!end_difference(transfer)) {
		return false;
	}
	if (transfer->to == soa_serial(transfer->soa, transfer->soa_len)) {
		return take_closing_soa(transfer, rdata_len);
	}
	return begin_difference(transfer, record, rdata_len);
}

/*! Is the second SOA the first one again? Then what comes is a full transfer, of nothing. */
static bool is_opening_soa(const transfer_in_t *transfer, size_t rdata_len)
{
	return soa_serial(transfer->rdata, rdata_len) == soa_serial(transfer->soa, transfer->soa_len);
}

static bool take_soa(transfer_in_t *transfer, const record_t *record, size_t rdata_len)
{
	switch (transfer->state) {
	case OPENED:
		return is_opening_soa(transfer, rdata_len)
		               ? begin_records(transfer) && take_closing_soa(transfer, rdata_len)
		               : begin_difference(transfer, record, rdata_len);
	case REMOVING:
		return turn_difference(transfer, record, rdata_len);
	case ADDING:
		return take_soa_behind(transfer, record, rdata_len);
	default:
		return take_closing_soa(transfer, rdata_len);
	}
}

static bool take_other(transfer_in_t *transfer, const record_t *record, size_t rdata_len)
{
	switch (transfer->state) {
	case OPENED:
		return begin_records(transfer) && add_record(transfer, record, rdata_len);
	case REMOVING:
	case ADDING:
		if (record->type == KNOT_RRTYPE_SOA) {
			return fail_at_owner(transfer, "SOA below the zone apex");
		}
		return put_record(transfer, record, rdata_len);
	default:
		return add_record(transfer, record, rdata_len);
	}
}

static bool take_record(transfer_in_t *transfer, cursor_t *cursor)
{
	record_t record;
	if (!read_owner(transfer, cursor) || !read_fixed(cursor, &record)) {
		return fail_malformed(transfer);
	}
	if (transfer->state == COMPLETE) {
		return fail(transfer, "records behind the last SOA");
	}
	if (record.rclass != KNOT_CLASS_IN || is_meta(record.type)) {
		return fail_at_owner(transfer, record.rclass != KNOT_CLASS_IN ? "record of another class"
		                                                              : "record of a meta type");
	}
	size_t rdata_len;
	if (wire_rdata_read(record.type, cursor->msg, cursor->len, cursor->pos, record.rdlen, transfer->rdata,
	                    &rdata_len) != KNOT_EOK) {
		return fail_malformed(transfer);
	}
	cursor->pos += record.rdlen;
	if (record.ttl > TTL_MAX) {
		record.ttl = 0;
	}

	if (transfer->state == START) {
		return record.type == KNOT_RRTYPE_SOA ? take_opening_soa(transfer, &record, rdata_len)
		                                      : fail(transfer, "first record is not SOA");
	}
	bool is_soa = record.type == KNOT_RRTYPE_SOA && is_name(transfer, transfer->owner, transfer->owner_len);
	return is_soa ? take_soa(transfer, &record, rdata_len) : take_other(transfer, &record, rdata_len);
}

static bool take_header(transfer_in_t *transfer, const uint8_t *msg)
{
	if (!knot_wire_get_qr(msg)) {
		return fail(transfer, "message %llu is not a response", (unsigned long long)transfer->counts.messages);
	}
	if (knot_wire_get_opcode(msg) != KNOT_OPCODE_QUERY) {
		return fail(transfer, "unexpected opcode %u", knot_wire_get_opcode(msg));
	}
	if (knot_wire_get_rcode(msg) != KNOT_RCODE_NOERROR) {
		return fail_rcode(transfer, knot_wire_get_rcode(msg));
	}
	if (knot_wire_get_tc(msg)) {
		return fail(transfer, "truncated message %llu", (unsigned long long)transfer->counts.messages);
	}
	return true;
}

static bool take_question(transfer_in_t *transfer, cursor_t *cursor)
{
	uint16_t count = knot_wire_get_qdcount(cursor->msg);
	if (count == 0) {
		return true;
	}

	uint8_t name[WIRE_NAME_MAX];
	size_t len;
	if (count > 1 || !read_name(cursor, name, &len) || cursor->len - cursor->pos < 4) {
		return fail_malformed(transfer);
	}
	uint16_t type = knot_wire_read_u16(cursor->msg + cursor->pos);
	uint16_t qclass = knot_wire_read_u16(cursor->msg + cursor->pos + 2);
	cursor->pos += 4;
	uint16_t asked = transfer->asks_increment ? KNOT_RRTYPE_IXFR : KNOT_RRTYPE_AXFR;
	if (!is_name(transfer, name, len) || type != asked || qclass != KNOT_CLASS_IN) {
		return fail(transfer, "answer to another question");
	}
	return true;
}

/*! The first message says how long the primary's version is good; a primary whose time is over has nothing to give. */
static bool take_expire(transfer_in_t *transfer, const uint8_t *options, size_t len)
{
	if (transfer->counts.messages > 1) {
		return true;
	}
	transfer->expire = expire_option_read(options, len);
	return transfer->expire >= EXPIRE_MIN || fail(transfer, "%s", EXPIRE_OVER);
}

/*! Passes over authority and additional section. They should be empty but for OPT (RFC 5936, sections 2.2.4 and 2.2.5). */
static bool skip_rest(transfer_in_t *transfer, cursor_t *cursor)
{
	unsigned authority = knot_wire_get_nscount(cursor->msg), additional = knot_wire_get_arcount(cursor->msg);
	for (unsigned left = authority + additional; left > 0; left--) {
		uint8_t name[WIRE_NAME_MAX];
		size_t len;
		record_t record;
		if (!read_name(cursor, name, &len) || !read_fixed(cursor, &record)) {
			return fail_malformed(transfer);
		}
		cursor->pos += record.rdlen;
		if (record.type != KNOT_RRTYPE_OPT) {
			continue;
		}
		if (left > additional || len != 1) {
			return fail_malformed(transfer);
		}
		if (record.ttl >> 24 != 0) {
			/* The upper eight bits of RCODE (RFC 6891, section 6.1.3); the lower ones are 0. */
			return fail_rcode(transfer, record.ttl >> 24 << 4);
		}
		if (!take_expire(transfer, cursor->msg + cursor->pos - record.rdlen, record.rdlen)) {
			return false;
		}
	}
	return cursor->pos == cursor->len || fail_malformed(transfer);
}

static bool take_message(transfer_in_t *transfer, cursor_t *cursor)
{
	if (cursor->len < KNOT_WIRE_HEADER_SIZE) {
		return fail_malformed(transfer);
	}
	if (!take_header(transfer, cursor->msg) || !take_question(transfer, cursor)) {
		return false;
	}

	uint16_t answers = knot_wire_get_ancount(cursor->msg);
	for (unsigned left = answers; left > 0; left--) {
		if (!take_record(transfer, cursor)) {
			return false;
		}
	}
	if (!skip_rest(transfer, cursor)) {
		return false;
	}
	/* No server sends such; for ever it would look like progress. */
	return answers > 0 || fail(transfer, "message %llu without records", (unsigned long long)transfer->counts.messages);
}

transfer_in_t *transfer_in_new(const uint8_t *apex, const builder_limits_t *limits, const snapshot_t *base)
{
	assert(apex != NULL && limits != NULL);

	transfer_in_t *transfer = malloc(sizeof(*transfer));
	if (transfer == NULL) {
		return NULL;
	}
	/* RDATA is not read before it is written: its pages need not be touched for a small zone. */
	memset(transfer, 0, offsetof(transfer_in_t, rdata));
	transfer->expire = EXPIRE_NONE;
	transfer->limits = *limits;
	transfer->apex_len = knot_dname_size(apex);
	memcpy(transfer->apex, apex, transfer->apex_len);
	wire_name_lower(transfer->apex, transfer->apex_len);
	if (base != NULL) {
		transfer->asks_increment = true;
		transfer->base = base->soa.serial;
		transfer->to = base->soa.serial;
		transfer->increment_left = 2 * base->octets + TRANSFER_INCREMENT_SLACK;
	}
	return transfer;
}

size_t transfer_in_query(const uint8_t *apex, const snapshot_t *base, bool edns, uint8_t dst[static TRANSFER_QUERY_MAX])
{
	assert(apex != NULL);

	memset(dst, 0, KNOT_WIRE_HEADER_SIZE);
	knot_wire_set_qdcount(dst, 1);
	size_t apex_len = knot_dname_size(apex);
	uint8_t *pos = dst + KNOT_WIRE_HEADER_SIZE;
	memcpy(pos, apex, apex_len);
	knot_wire_write_u16(pos + apex_len, base != NULL ? KNOT_RRTYPE_IXFR : KNOT_RRTYPE_AXFR);
	knot_wire_write_u16(pos + apex_len + 2, KNOT_CLASS_IN);
	pos += apex_len + 4;
	if (base != NULL) {
		knot_wire_set_nscount(dst, 1);
		pos += snapshot_write_soa(base, pos);
	}
	if (edns) {
		knot_wire_set_arcount(dst, 1);
		pos = expire_option_ask(pos);
	}
	return pos - dst;
}

/*!
 * Was the first message a single SOA that is not newer than ours? Of serials that cannot be compared theirs counts as newer.
 * (Any record of a further message leads on, and a message without records fails.)
 */
static bool is_unchanged(const transfer_in_t *transfer)
{
	uint32_t serial;
	return transfer->state == OPENED && transfer_in_serial(transfer, &serial) &&
	       (serial == transfer->base || serial_newer(transfer->base, serial));
}

static transfer_status_t status(const transfer_in_t *transfer)
{
	switch (transfer->state) {
	case COMPLETE:
		return TRANSFER_COMPLETE;
	case UNCHANGED:
		return TRANSFER_UNCHANGED;
	case FAILED:
		return TRANSFER_FAILED;
	default:
		return TRANSFER_MORE;
	}
}

transfer_status_t transfer_in_message(transfer_in_t *transfer, const uint8_t *msg, size_t len)
{
	assert(transfer != NULL && transfer->state != FAILED && msg != NULL);

	transfer->counts.messages++;
	transfer->counts.octets += len;
	if (transfer->state == COMPLETE || transfer->state == UNCHANGED) {
		fail(transfer, "message behind the last SOA");
		return TRANSFER_FAILED;
	}

	cursor_t cursor = { .msg = msg, .len = len, .pos = KNOT_WIRE_HEADER_SIZE };
	transfer->owner_place = NOWHERE;
	if (take_message(transfer, &cursor) && is_unchanged(transfer)) {
		transfer->state = UNCHANGED;
	}
	return status(transfer);
}

transfer_kind_t transfer_in_kind(const transfer_in_t *transfer)
{
	return transfer->kind;
}

bool transfer_in_serial(const transfer_in_t *transfer, uint32_t *ret_serial)
{
	if (transfer->soa_len == 0) {
		return false;
	}
	*ret_serial = soa_serial(transfer->soa, transfer->soa_len);
	return true;
}

uint32_t transfer_in_expire(const transfer_in_t *transfer)
{
	return transfer->expire;
}

static int finish_records(transfer_in_t *transfer, snapshot_t **ret_snapshot)
{
	int ret = builder_finish(transfer->builder, ret_snapshot);
	if (ret != KNOT_EOK) {
		fail_builder(transfer, ret);
		return ret;
	}
	transfer->builder = NULL;
	return KNOT_EOK;
}

static int finish_increment(transfer_in_t *transfer, snapshot_t *base, snapshot_t **ret_snapshot)
{
	char error[AMEND_ERROR_MAX] = "";
	const history_run_t *run = &transfer->run;
	int ret = amend(base, run->item, run->count, &transfer->limits, ret_snapshot, error);
	if (ret != KNOT_EOK) {
		fail(transfer, "%s", error[0] != '\0' ? error : knot_strerror(ret));
	}
	return ret;
}

int transfer_in_finish(transfer_in_t *transfer, snapshot_t *base, snapshot_t **ret_snapshot, history_run_t *ret_run)
{
	assert(transfer != NULL && transfer->state == COMPLETE);
	assert(transfer->kind != TRANSFER_INCREMENT || base != NULL);

	int ret = transfer->kind == TRANSFER_INCREMENT ? finish_increment(transfer, base, ret_snapshot)
	                                               : finish_records(transfer, ret_snapshot);
	if (ret == KNOT_EOK) {
		*ret_run = transfer->run;
		transfer->run = (history_run_t) { 0 };
	}
	return ret;
}

const char *transfer_in_error(const transfer_in_t *transfer)
{
	return transfer->error;
}

transfer_counts_t transfer_in_counts(const transfer_in_t *transfer)
{
	return transfer->counts;
}

void transfer_in_free(transfer_in_t *transfer)
{
	if (transfer == NULL) {
		return;
	}
	builder_free(transfer->builder);
	difference_maker_clear(&transfer->maker);
	history_run_clear(&transfer->run);
	free(transfer);
}
