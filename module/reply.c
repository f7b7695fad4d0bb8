/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What is believed of a resolver's reply, and kept ready to be put behind our aliases (reply.h).
 */
#include "secondary/reply.h"

#include <stdlib.h>
#include <string.h>

#include <libknot/consts.h>
#include <libknot/descriptor.h>
#include <libknot/errcode.h>
#include <libknot/packet/wire.h>
#include <libknot/rrtype/opt.h>

/*! Names remembered for compression. More would seldom save octets: the owners of a reply are few. */
#define KNOWN_MAX     32
/*! Pointers lead into the first octets of a reply, which begins not later in the message: both within 14 bits. */
#define INSIDE_MAX    (MESSAGE_REACH / 2)
#define BEGIN_MAX     (MESSAGE_REACH - INSIDE_MAX)
/*! Octets before the RDATA: type, class, TTL, length. */
#define FIXED_SIZE    10
/*! Where the number of labels and the signer's name stand in a signature (RFC 4034, section 3.1). */
#define SIG_LABELS    3
#define SIG_SIGNER    18
/*! A record takes 11 octets at least and has three names at most that may be pointers. */
#define TTLS_MAX      (MESSAGE_MAX / 11 + 1)
#define REFS_MAX      (2 * TTLS_MAX)
/*! Zones of one chain that made a name of it from a wildcard; of further ones the proofs are left out. */
#define SIGNERS_MAX   4

/*! A record of the message. */
typedef struct {
	uint16_t owner;           /*!< Places. */
	uint16_t rdata;
	uint16_t rdlen;
	uint16_t type;
	uint16_t covered;         /*!< RRSIG: type that it covers; else 0. */
	uint32_t ttl;
	bool authority;
} record_t;

/*! A name in full, lower case. */
typedef struct {
	uint8_t len;
	uint8_t octets[WIRE_NAME_MAX];
} name_t;

/*! A name that stands in what was written: its first \a spelled octets in full, then a pointer. */
typedef struct {
	uint16_t pos;
	uint8_t spelled;
	name_t name;
} known_t;

/*! One of both parts being written. */
typedef struct {
	bool dnssec;
	bool full;                /*!< Something did not fit. */
	size_t size;
	unsigned ref_count, ttl_count, known_count, signer_count;
	uint16_t answers, authorities;
	uint16_t home;
	uint32_t ttl;             /*!< Least so far. */
	reply_kind_t kind;
	uint16_t signer[SIGNERS_MAX]; /*!< Places of the names of zones whose wildcards made something that was written. */
	known_t known[KNOWN_MAX];
	reply_ref_t refs[REFS_MAX];
	uint16_t ttls[TTLS_MAX];
	uint8_t octets[MESSAGE_MAX];
} writer_t;

/*! A message being digested. */
typedef struct {
	const reply_params_t *params;
	const uint8_t *wire;
	size_t size;
	uint8_t rcode;
	bool has_dnssec;          /*!< There are records that only the part with DNSSEC has. */
	unsigned count;
	record_t record[REPLY_RECORDS_MAX];
	uint8_t rdata[MESSAGE_MAX];
	writer_t writer;
} digest_t;

/* -- reading ---------------------------------------------------------------------------------------------------------- */

static int read_name(const digest_t *digest, size_t pos, name_t *ret)
{
	size_t len;
	int taken = wire_name_read(digest->wire, digest->size, pos, ret->octets, &len);
	if (taken > 0) {
		wire_name_lower(ret->octets, len);
		ret->len = len;
	}
	return taken;
}

static bool name_equal(const name_t *a, const name_t *b)
{
	return a->len == b->len && memcmp(a->octets, b->octets, a->len) == 0;
}

static bool name_is_within(const name_t *name, const name_t *apex)
{
	return wire_name_within(name->octets, name->len, apex->octets, apex->len);
}

static bool is_dnssec(uint16_t type)
{
	return type == KNOT_RRTYPE_RRSIG || type == KNOT_RRTYPE_NSEC || type == KNOT_RRTYPE_NSEC3;
}

/*! Checks the record at \a pos and notes it, if it is one that may be of use. Returns where it ends, or KNOT_EMALF. */
static int read_record(digest_t *digest, size_t pos, bool authority)
{
	name_t owner;
	int taken = read_name(digest, pos, &owner);
	if (taken < 0 || digest->size - pos - taken < FIXED_SIZE) {
		return KNOT_EMALF;
	}
	const uint8_t *fixed = digest->wire + pos + taken;
	record_t record = {
		.owner = pos,
		.rdata = pos + taken + FIXED_SIZE,
		.rdlen = knot_wire_read_u16(fixed + 8),
		.type = knot_wire_read_u16(fixed),
		.ttl = knot_wire_read_u32(fixed + 4),
		.authority = authority,
	};
	if (digest->size - record.rdata < record.rdlen) {
		return KNOT_EMALF;
	}
	if (record.type == KNOT_RRTYPE_RRSIG && record.rdlen >= 2) {
		record.covered = knot_wire_read_u16(digest->wire + record.rdata);
	}
	if (record.ttl > INT32_MAX) {
		record.ttl = 0; /* RFC 2181, section 8 */
	}
	if (knot_wire_read_u16(fixed + 2) == KNOT_CLASS_IN && digest->count < REPLY_RECORDS_MAX) {
		digest->record[digest->count++] = record;
		digest->has_dnssec |= is_dnssec(record.type);
	}
	return record.rdata + record.rdlen;
}

/*! The question has to be ours. Returns where it ends, or KNOT_EMALF. */
static int read_question(digest_t *digest)
{
	name_t name;
	int taken = read_name(digest, KNOT_WIRE_HEADER_SIZE, &name);
	if (taken < 0 || digest->size - KNOT_WIRE_HEADER_SIZE - taken < 4 || knot_wire_get_qdcount(digest->wire) != 1) {
		return KNOT_EMALF;
	}
	const reply_params_t *params = digest->params;
	const uint8_t *type = digest->wire + KNOT_WIRE_HEADER_SIZE + taken;
	if (name.len != params->name_len || memcmp(name.octets, params->name, name.len) != 0 ||
	    knot_wire_read_u16(type) != params->asked || knot_wire_read_u16(type + 2) != KNOT_CLASS_IN) {
		return KNOT_EMALF;
	}
	return KNOT_WIRE_HEADER_SIZE + taken + 4;
}

static int read_message(digest_t *digest)
{
	const uint8_t *wire = digest->wire;
	if (digest->size < KNOT_WIRE_HEADER_SIZE || digest->size > MESSAGE_MAX || !knot_wire_get_qr(wire) ||
	    knot_wire_get_tc(wire) || knot_wire_get_opcode(wire) != KNOT_OPCODE_QUERY) {
		return KNOT_EMALF;
	}
	digest->rcode = knot_wire_get_rcode(wire);
	if (digest->rcode != KNOT_RCODE_NOERROR && digest->rcode != KNOT_RCODE_NXDOMAIN) {
		return KNOT_EDENIED;
	}

	int pos = read_question(digest);
	const unsigned answers = knot_wire_get_ancount(wire);
	const unsigned count = answers + knot_wire_get_nscount(wire);
	for (unsigned i = 0; i < count && pos > 0; i++) {
		pos = read_record(digest, pos, i >= answers);
	}
	return pos > 0 ? KNOT_EOK : KNOT_EMALF;
}

/* -- errors ----------------------------------------------------------------------------------------------------------- */

/*! Codes that say what is wrong with keys, signatures or proofs (RFC 8914, section 4). */
static bool is_about_dnssec(uint16_t code)
{
	return code == KNOT_EDNS_EDE_DNSKEY_ALG || code == KNOT_EDNS_EDE_DS_DIGEST || code == KNOT_EDNS_EDE_NSEC3_ITERS ||
	       (code >= KNOT_EDNS_EDE_INDETERMINATE && code <= KNOT_EDNS_EDE_NSEC_MISS);
}

static int find_error(const uint8_t *options, size_t len)
{
	for (size_t pos = 0; len - pos >= 4; ) {
		const uint16_t code = knot_wire_read_u16(options + pos), option_len = knot_wire_read_u16(options + pos + 2);
		pos += 4;
		if (len - pos < option_len) {
			break;
		}
		if (code == KNOT_EDNS_OPTION_EDE && option_len >= 2 && is_about_dnssec(knot_wire_read_u16(options + pos))) {
			return knot_wire_read_u16(options + pos);
		}
		pos += option_len;
	}
	return KNOT_EDNS_EDE_NONE;
}

/*! Where the name at \a pos ends, and \a fixed octets after it are there; or KNOT_EMALF. */
static int skip_name(const uint8_t *wire, size_t size, size_t pos, size_t fixed)
{
	uint8_t name[WIRE_NAME_MAX];
	size_t len;
	const int taken = wire_name_read(wire, size, pos, name, &len);
	return taken > 0 && size - pos - taken >= fixed ? (int)(pos + taken) : KNOT_EMALF;
}

int reply_validation_error(const uint8_t *wire, size_t size)
{
	if (size < KNOT_WIRE_HEADER_SIZE || size > MESSAGE_MAX) {
		return KNOT_EDNS_EDE_NONE;
	}
	int pos = KNOT_WIRE_HEADER_SIZE;
	for (unsigned i = knot_wire_get_qdcount(wire); i > 0; i--) {
		pos = skip_name(wire, size, pos, 4);
		if (pos < 0) {
			return KNOT_EDNS_EDE_NONE;
		}
		pos += 4;
	}
	const unsigned count = knot_wire_get_ancount(wire) + knot_wire_get_nscount(wire) + knot_wire_get_arcount(wire);
	for (unsigned i = 0; i < count; i++) {
		const int fixed = skip_name(wire, size, pos, FIXED_SIZE);
		if (fixed < 0) {
			break;
		}
		const uint16_t rdlen = knot_wire_read_u16(wire + fixed + 8);
		pos = fixed + FIXED_SIZE;
		if (size - pos < rdlen) {
			break;
		}
		if (knot_wire_read_u16(wire + fixed) == KNOT_RRTYPE_OPT) {
			return find_error(wire + pos, rdlen);
		}
		pos += rdlen;
	}
	return KNOT_EDNS_EDE_NONE;
}

/* -- writing ---------------------------------------------------------------------------------------------------------- */

static bool is_owned(const digest_t *digest, const record_t *record, const name_t *owner)
{
	name_t name;
	return read_name(digest, record->owner, &name) > 0 && name_equal(&name, owner);
}

static void write_octets(writer_t *writer, const uint8_t *src, size_t len)
{
	if (len > MESSAGE_MAX - writer->size) {
		writer->full = true;
		return;
	}
	memcpy(writer->octets + writer->size, src, len);
	writer->size += len;
}

static void write_u16(writer_t *writer, uint16_t value)
{
	uint8_t octets[2];
	knot_wire_write_u16(octets, value);
	write_octets(writer, octets, sizeof(octets));
}

/*! Where the \a len octets that end \a name stand already: what a pointer to them refers to; 0xFFFF: nowhere. */
static uint16_t find_suffix(const digest_t *digest, const uint8_t *suffix, uint8_t len)
{
	const reply_params_t *params = digest->params;
	if (wire_name_within(params->name, params->name_len, suffix, len)) {
		return REPLY_TO_TARGET | len;
	}
	const writer_t *writer = &digest->writer;
	for (unsigned i = 0; i < writer->known_count; i++) {
		const known_t *known = &writer->known[i];
		const unsigned before = known->name.len - len;
		if (known->name.len >= len && before < known->spelled &&
		    wire_name_within(known->name.octets, known->name.len, suffix, len)) {
			return known->pos + before;
		}
	}
	return UINT16_MAX;
}

static void remember(writer_t *writer, const name_t *name, size_t pos, uint8_t spelled)
{
	if (spelled > 0 && pos + spelled <= INSIDE_MAX && writer->known_count < KNOWN_MAX) {
		writer->known[writer->known_count++] = (known_t) { .pos = pos, .spelled = spelled, .name = *name };
	}
}

/*! Writes a name, as much of it as a pointer as is possible. */
static void write_name(digest_t *digest, const name_t *name)
{
	writer_t *writer = &digest->writer;
	const size_t begin = writer->size;
	uint8_t spelled = 0;
	uint16_t to = UINT16_MAX;
	while (name->octets[spelled] != 0) {
		to = find_suffix(digest, name->octets + spelled, name->len - spelled);
		if (to != UINT16_MAX) {
			break;
		}
		spelled += 1 + name->octets[spelled];
	}

	write_octets(writer, name->octets, to != UINT16_MAX ? spelled : name->len);
	if (to != UINT16_MAX) {
		writer->refs[writer->ref_count++] = (reply_ref_t) { .at = writer->size, .to = to };
		write_u16(writer, 0);
	}
	remember(writer, name, begin, spelled);
}

/*! Writes RDATA in full at digest->rdata; names that senders compress as write_name() does. */
static void write_rdata(digest_t *digest, uint16_t type, size_t len)
{
	writer_t *writer = &digest->writer;
	unsigned done = 0;
	if (wire_compresses(type)) {
		unsigned names = wire_names(type, &done);
		write_octets(writer, digest->rdata, done);
		for (; names > 0; names--) {
			name_t name;
			size_t name_len;
			int taken = wire_name_read(digest->rdata, len, done, name.octets, &name_len);
			if (taken < 0) {
				writer->full = true;
				return;
			}
			wire_name_lower(name.octets, name_len);
			name.len = name_len;
			write_name(digest, &name);
			done += taken;
		}
	}
	write_octets(writer, digest->rdata + done, len - done);
}

/*! Writes one record; its TTL, in the bounds, is at most \a ttl_max. */
static int write_record(digest_t *digest, const record_t *record, uint32_t ttl_max)
{
	writer_t *writer = &digest->writer;
	const reply_params_t *params = digest->params;
	size_t len;
	name_t owner;
	if (writer->ttl_count == TTLS_MAX || writer->ref_count + 3 > REFS_MAX ||
	    read_name(digest, record->owner, &owner) < 0 ||
	    wire_rdata_read(record->type, digest->wire, digest->size, record->rdata, record->rdlen, digest->rdata, &len) != KNOT_EOK) {
		return KNOT_EMALF;
	}
	uint32_t ttl = record->ttl > params->ttl_min ? record->ttl : params->ttl_min;
	ttl = ttl < params->ttl_max ? ttl : params->ttl_max;
	ttl = ttl < ttl_max ? ttl : ttl_max;
	writer->ttl = ttl < writer->ttl ? ttl : writer->ttl;

	write_name(digest, &owner);
	write_u16(writer, record->type);
	write_u16(writer, KNOT_CLASS_IN);
	writer->ttls[writer->ttl_count++] = writer->size;
	write_u16(writer, ttl >> 16);
	write_u16(writer, ttl);
	write_u16(writer, 0);
	const size_t begin = writer->size;
	write_rdata(digest, record->type, len);
	if (writer->full) {
		return KNOT_EMALF;
	}
	knot_wire_write_u16(writer->octets + begin - 2, writer->size - begin);
	*(record->authority ? &writer->authorities : &writer->answers) += 1;
	return KNOT_EOK;
}

/* -- the way ---------------------------------------------------------------------------------------------------------- */

/*! Does the signature \a sig, of \a owner, say that a wildcard made it (RFC 4035, section 5.3.4)? */
static bool is_expanded(const digest_t *digest, const record_t *sig, const name_t *owner)
{
	unsigned labels = 0;
	for (unsigned pos = 0; owner->octets[pos] != 0; pos += 1 + owner->octets[pos]) {
		labels++;
	}
	const bool is_wildcard = owner->octets[0] == 1 && owner->octets[1] == '*';
	return sig->rdlen > SIG_SIGNER && digest->wire[sig->rdata + SIG_LABELS] < labels - is_wildcard;
}

/*! Notes whose proof belongs to what \a sig covers: that there is nothing closer than the wildcard. */
static void note_signer(digest_t *digest, const record_t *sig)
{
	writer_t *writer = &digest->writer;
	name_t signer, known;
	if (read_name(digest, sig->rdata + SIG_SIGNER, &signer) < 0) {
		return;
	}
	for (unsigned i = 0; i < writer->signer_count; i++) {
		if (read_name(digest, writer->signer[i], &known) > 0 && name_equal(&known, &signer)) {
			return;
		}
	}
	if (writer->signer_count < SIGNERS_MAX) {
		writer->signer[writer->signer_count++] = sig->rdata + SIG_SIGNER;
	}
}

/*!
 * \brief Writes the answer section's RRset of \a type at \a owner, and what signs it.
 *
 * \param ret_first  The first of its records; NULL: there is none.
 */
static int write_rrset(digest_t *digest, const name_t *owner, uint16_t type, const record_t **ret_first)
{
	/* Of those there is one at a name; more would lead two ways. */
	const bool is_single = type == KNOT_RRTYPE_CNAME || type == KNOT_RRTYPE_DNAME;
	*ret_first = NULL;
	for (unsigned sigs = 0; sigs < (digest->writer.dnssec ? 2 : 1); sigs++) {
		for (unsigned i = 0; i < digest->count; i++) {
			const record_t *record = &digest->record[i];
			if (record->authority || (sigs ? record->covered : record->type) != type ||
			    !is_owned(digest, record, owner)) {
				continue;
			}
			if (sigs == 0 && *ret_first != NULL && is_single) {
				continue;
			}
			if (sigs == 0 && *ret_first == NULL) {
				*ret_first = record;
			}
			if (sigs == 1 && is_expanded(digest, record, owner)) {
				note_signer(digest, record);
			}
			int ret = write_record(digest, record, UINT32_MAX);
			if (ret != KNOT_EOK) {
				return ret;
			}
		}
		if (*ret_first == NULL) {
			break;
		}
	}
	return KNOT_EOK;
}

static const record_t *find_record(const digest_t *digest, const name_t *owner, uint16_t type)
{
	for (unsigned i = 0; i < digest->count; i++) {
		const record_t *record = &digest->record[i];
		if (!record->authority && record->type == type && is_owned(digest, record, owner)) {
			return record;
		}
	}
	return NULL;
}

/*! Does substitution by \a dname (its owner given) turn \a name into \a target (RFC 6672, section 2.2)? */
static bool is_made_by(const digest_t *digest, const record_t *dname, const name_t *owner, const name_t *name,
                       const name_t *target)
{
	name_t rest;
	if (owner->len >= name->len || !name_is_within(name, owner) || read_name(digest, dname->rdata, &rest) < 0) {
		return false;
	}
	const unsigned prefix = name->len - owner->len;
	return prefix + rest.len == target->len && memcmp(name->octets, target->octets, prefix) == 0 &&
	       memcmp(target->octets + prefix, rest.octets, rest.len) == 0;
}

/*! Writes the DNAME that made the alias from \a name to \a target, if one did. */
static int write_dname(digest_t *digest, const name_t *name, const name_t *target)
{
	for (unsigned i = 0; i < digest->count; i++) {
		const record_t *record = &digest->record[i];
		name_t owner;
		if (record->authority || record->type != KNOT_RRTYPE_DNAME || read_name(digest, record->owner, &owner) < 0 ||
		    !is_made_by(digest, record, &owner, name, target)) {
			continue;
		}
		const record_t *first;
		return write_rrset(digest, &owner, KNOT_RRTYPE_DNAME, &first);
	}
	return KNOT_EOK;
}

/*! Is \a name in a zone whose wildcards made something that was written? */
static bool is_of_signer(const digest_t *digest, const name_t *name)
{
	for (unsigned i = 0; i < digest->writer.signer_count; i++) {
		name_t signer;
		if (read_name(digest, digest->writer.signer[i], &signer) > 0 && name_is_within(name, &signer)) {
			return true;
		}
	}
	return false;
}

/*! Writes the proofs that go with what wildcards made, but for those of the zone \a denier (NULL: none), which were written. */
static int write_expansions(digest_t *digest, const name_t *denier)
{
	int ret = KNOT_EOK;
	for (unsigned i = 0; i < digest->count && digest->writer.signer_count > 0 && ret == KNOT_EOK; i++) {
		const record_t *record = &digest->record[i];
		const uint16_t type = record->type == KNOT_RRTYPE_RRSIG ? record->covered : record->type;
		name_t owner;
		if (!record->authority || (type != KNOT_RRTYPE_NSEC && type != KNOT_RRTYPE_NSEC3) ||
		    read_name(digest, record->owner, &owner) < 0 || (denier != NULL && name_is_within(&owner, denier))) {
			continue;
		}
		if (is_of_signer(digest, &owner)) {
			ret = write_record(digest, record, UINT32_MAX);
		}
	}
	return ret;
}

/*! Writes what denies: the SOA of the zone that \a last is in, and that zone's proofs. */
static int write_denial(digest_t *digest, const name_t *last)
{
	name_t apex;
	const record_t *soa = NULL;
	for (unsigned i = 0; i < digest->count && soa == NULL; i++) {
		const record_t *record = &digest->record[i];
		if (record->authority && record->type == KNOT_RRTYPE_SOA && record->rdlen > 20 &&
		    read_name(digest, record->owner, &apex) > 0 && name_is_within(last, &apex)) {
			soa = record;
		}
	}
	if (soa == NULL) {
		digest->writer.ttl = digest->writer.ttl < REPLY_BARE_TTL ? digest->writer.ttl : REPLY_BARE_TTL;
		return KNOT_EOK;
	}

	const uint32_t minimum = knot_wire_read_u32(digest->wire + soa->rdata + soa->rdlen - 4);
	const uint32_t ttl_max = minimum < soa->ttl ? minimum : soa->ttl;
	int ret = write_record(digest, soa, ttl_max);
	for (unsigned i = 0; i < digest->count && digest->writer.dnssec && ret == KNOT_EOK; i++) {
		const record_t *record = &digest->record[i];
		const uint16_t type = record->type == KNOT_RRTYPE_RRSIG ? record->covered : record->type;
		const bool proves = type == KNOT_RRTYPE_NSEC || type == KNOT_RRTYPE_NSEC3 ||
		                    (record->covered == KNOT_RRTYPE_SOA && is_owned(digest, record, &apex));
		name_t owner;
		if (record->authority && proves && read_name(digest, record->owner, &owner) > 0 && name_is_within(&owner, &apex)) {
			ret = write_record(digest, record, ttl_max);
		}
	}
	return ret == KNOT_EOK ? write_expansions(digest, &apex) : ret;
}

/*! Nothing of a loop is kept: where it was entered depends on the name asked for, and no record of it helps anybody. */
static int end_in_loop(writer_t *writer)
{
	writer->kind = REPLY_LOOP;
	writer->size = writer->ref_count = writer->ttl_count = 0;
	writer->answers = writer->authorities = 0;
	return KNOT_EOK;
}

static bool is_home(const digest_t *digest, const name_t *name)
{
	return digest->params->is_home != NULL && digest->params->is_home(name->octets, name->len);
}

/*! Follows the alias \a cname at \a name, which becomes its target. */
static int write_alias(digest_t *digest, const record_t *cname, name_t *name)
{
	name_t target;
	if (read_name(digest, cname->rdata, &target) < 0) {
		return KNOT_EMALF;
	}
	int ret = write_dname(digest, name, &target);
	if (ret == KNOT_EOK) {
		ret = write_rrset(digest, name, KNOT_RRTYPE_CNAME, &cname);
	}
	*name = target;
	return ret;
}

/*! The place in what was written of the target of the alias written last, which may be followed by its signatures. */
static uint16_t place_of_home(digest_t *digest, size_t begin)
{
	const writer_t *writer = &digest->writer;
	for (unsigned i = 0; i < writer->ttl_count; i++) {
		const uint16_t ttl = writer->ttls[i];
		if (ttl > begin && knot_wire_read_u16(writer->octets + ttl - 4) == KNOT_RRTYPE_CNAME) {
			return ttl + 6;
		}
	}
	return 0;
}

static int walk(digest_t *digest)
{
	writer_t *writer = &digest->writer;
	name_t name = { .len = digest->params->name_len };
	memcpy(name.octets, digest->params->name, name.len);
	name_t seen[REPLY_CHAIN_MAX];

	for (unsigned steps = 0; ; steps++) {
		const record_t *found;
		int ret = write_rrset(digest, &name, digest->params->type, &found);
		if (ret != KNOT_EOK || found != NULL) {
			writer->kind = REPLY_FOUND;
			return ret == KNOT_EOK ? write_expansions(digest, NULL) : ret;
		}
		const record_t *cname = find_record(digest, &name, KNOT_RRTYPE_CNAME);
		if (cname == NULL) {
			writer->kind = digest->rcode == KNOT_RCODE_NXDOMAIN ? REPLY_NXDOMAIN : REPLY_NODATA;
			return write_denial(digest, &name);
		}

		if (steps == REPLY_CHAIN_MAX) {
			return end_in_loop(writer);
		}
		seen[steps] = name;
		const size_t begin = writer->size;
		ret = write_alias(digest, cname, &name);
		if (ret != KNOT_EOK) {
			return ret;
		}
		if (is_home(digest, &name)) {
			writer->kind = REPLY_HOME;
			writer->home = place_of_home(digest, begin);
			return KNOT_EOK;
		}
		for (unsigned i = 0; i <= steps; i++) {
			if (name_equal(&seen[i], &name)) {
				return end_in_loop(writer);
			}
		}
	}
}

/* -- the result ------------------------------------------------------------------------------------------------------- */

static void writer_begin(writer_t *writer, bool dnssec)
{
	memset(writer, 0, offsetof(writer_t, known));
	writer->dnssec = dnssec;
	writer->ttl = UINT32_MAX;
}

static size_t part_memory(const writer_t *writer)
{
	return writer->size + writer->ref_count * sizeof(reply_ref_t) + writer->ttl_count * sizeof(uint16_t) + 4;
}

/*! Copies what was written to \a memory, which is aligned for references; returns its end, aligned too. */
static uint8_t *part_copy(const writer_t *writer, uint8_t *memory, reply_part_t *part)
{
	*part = (reply_part_t) {
		.refs = (reply_ref_t *)memory,
		.size = writer->size, .ref_count = writer->ref_count, .ttl_count = writer->ttl_count,
		.answers = writer->answers, .authorities = writer->authorities, .home = writer->home,
	};
	part->ttls = (uint16_t *)(part->refs + part->ref_count);
	part->octets = (uint8_t *)(part->ttls + part->ttl_count);
	memcpy(part->refs, writer->refs, part->ref_count * sizeof(reply_ref_t));
	memcpy(part->ttls, writer->ttls, part->ttl_count * sizeof(uint16_t));
	memcpy(part->octets, writer->octets, part->size);
	return memory + part_memory(writer) / 4 * 4;
}

static reply_t *reply_new(size_t memory)
{
	reply_t *reply = calloc(1, sizeof(*reply) + memory);
	if (reply != NULL) {
		reply->memory = sizeof(*reply) + memory;
	}
	return reply;
}

/*! Writes both parts; the second one is the first one where there is nothing to add. */
static int digest_write(digest_t *digest, reply_t **ret_reply)
{
	writer_t *writer = &digest->writer;
	writer_begin(writer, false);
	int ret = walk(digest);
	if (ret != KNOT_EOK) {
		return ret;
	}
	reply_t *reply = reply_new(part_memory(writer));
	if (reply == NULL) {
		return KNOT_ENOMEM;
	}
	reply->kind = writer->kind;
	reply->ttl = writer->ttl;
	(void)part_copy(writer, (uint8_t *)(reply + 1), &reply->part[0]);
	reply->part[1] = reply->part[0];
	if (digest->has_dnssec) {
		writer_begin(writer, true);
		ret = walk(digest);
		reply_t *both = ret == KNOT_EOK ? reply_new(reply->memory + part_memory(writer)) : NULL;
		if (both == NULL) {
			reply_free(reply);
			return ret == KNOT_EOK ? KNOT_ENOMEM : ret;
		}
		both->kind = reply->kind;
		both->ttl = writer->ttl;
		uint8_t *second = part_copy(writer, (uint8_t *)(both + 1), &both->part[1]);
		const reply_part_t *first = &reply->part[0];
		memcpy(second, first->refs, reply->memory - sizeof(*reply));
		both->part[0] = *first;
		both->part[0].refs = (reply_ref_t *)second;
		both->part[0].ttls = (uint16_t *)(both->part[0].refs + first->ref_count);
		both->part[0].octets = (uint8_t *)(both->part[0].ttls + first->ttl_count);
		reply_free(reply);
		reply = both;
	}
	reply->ttl = reply->ttl == UINT32_MAX ? REPLY_BARE_TTL : reply->ttl;
	reply->ttl = reply->ttl > 0 ? reply->ttl : 1;
	*ret_reply = reply;
	return KNOT_EOK;
}

int reply_accept(const reply_params_t *params, const uint8_t *wire, size_t size, reply_t **ret_reply)
{
	digest_t *digest = malloc(sizeof(*digest));
	if (digest == NULL) {
		return KNOT_ENOMEM;
	}
	digest->params = params;
	digest->wire = wire;
	digest->size = size;
	digest->has_dnssec = false;
	digest->count = 0;
	int ret = read_message(digest);
	if (ret == KNOT_EOK) {
		ret = digest_write(digest, ret_reply);
	}
	free(digest);
	return ret;
}

reply_t *reply_bare(reply_kind_t kind, uint32_t ttl)
{
	reply_t *reply = reply_new(0);
	if (reply != NULL) {
		reply->kind = kind;
		reply->ttl = ttl;
	}
	return reply;
}

void reply_free(reply_t *reply)
{
	free(reply);
}

/* -- sending ---------------------------------------------------------------------------------------------------------- */

static inline void count_down(uint8_t *ttl, uint32_t age, uint32_t ttl_max)
{
	const uint32_t kept = knot_wire_read_u32(ttl);
	const uint32_t left = kept > age ? kept - age : 0;
	knot_wire_write_u32(ttl, left < ttl_max ? left : ttl_max);
}

/*! Stale data has no TTL left to count down. */
static inline void set_stale(uint8_t *ttl, uint32_t ttl_max)
{
	const uint32_t kept = knot_wire_read_u32(ttl);
	knot_wire_write_u32(ttl, kept < ttl_max ? kept : ttl_max);
}

/*! Where the suffix of the target stands that is \a len octets long. */
static uint16_t target_suffix(const message_t *msg, uint16_t target, uint8_t len)
{
	uint8_t name[WIRE_NAME_MAX];
	place_t place;
	(void)section_read_name(msg, target, name, &place);
	return section_suffix(msg, &place, len).pos;
}

int reply_put(const reply_t *reply, message_t *msg, uint16_t target, uint8_t target_len, bool dnssec, uint32_t age,
              uint32_t ttl_max, uint16_t *ret_home)
{
	assert(msg->count[SECTION_AUTHORITY] == 0 && msg->count[SECTION_ADDITIONAL] == 0);
	const reply_part_t *part = &reply->part[dnssec ? 1 : 0];
	if (part->size > msg->limit - msg->size || msg->size > BEGIN_MAX) {
		return KNOT_ESPACE;
	}

	const uint16_t begin = msg->size;
	uint8_t *octets = msg->wire + begin;
	memcpy(octets, part->octets, part->size);
	for (unsigned i = 0; i < part->ref_count; i++) {
		const uint16_t to = part->refs[i].to;
		uint16_t pos = begin + to;
		if (to & REPLY_TO_TARGET) {
			const uint8_t len = to & 0xFF;
			pos = len == target_len ? target : target_suffix(msg, target, len);
		}
		knot_wire_write_u16(octets + part->refs[i].at, WIRE_REF | pos);
	}
	for (unsigned i = 0; i < part->ttl_count; i++) {
		if (ttl_max == PUT_TTL_KEEP) {
			count_down(octets + part->ttls[i], age, ttl_max);
		} else {
			set_stale(octets + part->ttls[i], ttl_max);
		}
	}
	msg->size += part->size;
	msg->count[SECTION_ANSWER] += part->answers;
	msg->count[SECTION_AUTHORITY] += part->authorities;
	*ret_home = begin + part->home;
	return KNOT_EOK;
}
