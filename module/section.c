/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Writing RRsets of a snapshot into a message (section.h).
 *
 * Two ways to the same octets. The short one knows the size of the result before it writes, and adds a base to
 * references; the long one writes name after name and remembers where they came to stand, because a name that had to
 * be spelled shifts all that follows it.
 */

#include <endian.h>
#include <string.h>

#include <libknot/descriptor.h>
#include <libknot/errcode.h>

#include "octets.h"
#include "secondary/section.h"

/*! Both highest bits of the first octet: a pointer in a message, a reference in kept form. */
#define LABEL_POINTER    0xC0
/*! Octets of type, class and TTL. */
#define FIXED_SIZE       8
/*! Octets of a record before its RDLENGTH, with an owner that is a pointer. */
#define HEAD_SIZE        (2 + FIXED_SIZE)
/*! An RRset that begins here or before has all its inner references within the reach of pointers. */
#define SHORT_BEGIN_MAX  (MESSAGE_REACH - WIRE_INSIDE_MAX)
/*! Names that references inside an RRset can reach: the densest RRset is MINFO with root names, two in 14 octets. Each may
    have an end that stands elsewhere. */
#define SPOTS_MAX        (2 * (WIRE_INSIDE_MAX / 7 + 2))
/*! Labels of a name, the root's left out. */
#define LABELS_MAX       127

/*! Follows pointers, which lead backwards and were all written here, to a label. */
static inline uint16_t follow_pointers(const uint8_t *wire, uint16_t pos)
{
	while (wire[pos] >= LABEL_POINTER) {
		pos = get16(wire + pos) & MESSAGE_REACH;
	}
	return pos;
}

static inline uint8_t fold(uint8_t c)
{
	return c | (uint8_t)((uint8_t)(c - 'A') < 26) << 5;
}

/*! Goes over labels that follow each other; returns the place of the root label or of the pointer that ends them. */
static inline uint16_t skip_labels(const uint8_t *wire, uint16_t pos)
{
	for (uint8_t label = wire[pos]; label != 0 && label < LABEL_POINTER; label = wire[pos]) {
		pos += 1 + label;
	}
	return pos;
}

uint8_t section_read_name(const message_t *msg, uint16_t pos, uint8_t *ret_name, place_t *ret_place)
{
	const uint8_t *wire = msg->wire;
	const uint16_t begin = follow_pointers(wire, pos);
	uint16_t run = begin;
	unsigned len = 0;

	for (pos = skip_labels(wire, run); wire[pos] != 0; pos = skip_labels(wire, run)) {
		assert(len + (pos - run) < WIRE_NAME_MAX);
		memcpy(ret_name + len, wire + run, pos - run);
		len += pos - run;
		run = follow_pointers(wire, pos);
	}
	pos++;
	assert(len + (pos - run) <= WIRE_NAME_MAX);
	memcpy(ret_name + len, wire + run, pos - run);
	len += pos - run;
	wire_name_lower(ret_name, len);

	if (ret_place != NULL) {
		*ret_place = (place_t) { .pos = begin, .end = pos, .common = pos - run, .len = len, .shared = len };
	}
	return len;
}

/*! Where the suffix of \a len octets of the name at \a place stands. */
static uint16_t suffix_pos(const uint8_t *wire, const place_t *place, uint8_t len)
{
	if (len <= place->common) {
		return place->end - len;
	}
	uint16_t pos = place->pos;
	for (unsigned left = place->len; left > len; pos = follow_pointers(wire, pos)) {
		unsigned label = 1 + wire[pos];
		left -= label;
		pos += label;
	}
	return pos;
}

place_t section_suffix(const message_t *msg, const place_t *place, uint8_t len)
{
	assert(len <= place->len);
	return (place_t) {
		.pos = suffix_pos(msg->wire, place, len),
		.end = place->end,
		.common = len < place->common ? len : place->common,
		.len = len,
		.shared = len,
		.split = place->split,
	};
}

uint16_t section_rdata(const message_t *msg, uint16_t pos)
{
	pos = skip_labels(msg->wire, pos);
	return pos + (msg->wire[pos] == 0 ? 1 : 2) + FIXED_SIZE + 2;
}

bool section_same_name(const message_t *msg, uint16_t a, uint16_t b)
{
	const uint8_t *wire = msg->wire;
	while (true) {
		a = follow_pointers(wire, a);
		b = follow_pointers(wire, b);
		if (a == b) {
			return true;
		}
		unsigned label = 1 + wire[a];
		for (unsigned i = 0; i < label; i++) {
			if (fold(wire[a + i]) != fold(wire[b + i])) {
				return false;
			}
		}
		if (label == 1) {
			return true;
		}
		a += label;
		b += label;
	}
}

/*! What a run of records with the same owner, type and TTL is made of. */
typedef struct {
	uint16_t type;
	uint16_t count;
	uint32_t ttl;
	uint32_t size;            /*!< Octets of items. */
	const uint8_t *items;
} records_t;

static inline uint32_t lower(uint32_t ttl, uint32_t ttl_max)
{
	return ttl < ttl_max ? ttl : ttl_max;
}

/*! The records that \a parts ask for. */
static inline records_t data_of(const rrset_t *rrset, unsigned parts, uint32_t ttl_max)
{
	return (parts & PUT_DATA) == 0 ? (records_t) { 0 } : (records_t) {
		rrset->type, rrset->count, lower(rrset->ttl, ttl_max), rrset->size, rrset->items,
	};
}

/*! The signatures that they ask for. */
static inline records_t signatures_of(const rrset_t *rrset, unsigned parts, uint32_t ttl_max)
{
	return (parts & PUT_SIGS) == 0 ? (records_t) { 0 } : (records_t) {
		KNOT_RRTYPE_RRSIG, rrset->sig_count, lower(rrset->sig_ttl, ttl_max), rrset->sig_size, rrset->sigs,
	};
}

/*! How many records both are. */
static inline unsigned sent_count(const rrset_t *rrset, unsigned parts)
{
	return (parts & PUT_DATA ? rrset->count : 0u) + (parts & PUT_SIGS ? rrset->sig_count : 0u);
}

/*! Their octets in a message, \a count records with owners that are pointers. */
static inline size_t sent_size(const rrset_t *rrset, unsigned parts, unsigned count)
{
	return count * (size_t)HEAD_SIZE +
	       (parts & PUT_DATA ? rrset->size : 0u) + (parts & PUT_SIGS ? rrset->sig_size : 0u);
}

/* ---- The short way ---- */

/*! Does \a label stand in QNAME right before its last \a len octets? That this is a label there too is for the long way to see. */
static inline bool stands_before(const uint8_t *wire, uint16_t qname_end, const uint8_t *label, unsigned len)
{
	const unsigned size = 1 + label[0];
	if (MESSAGE_HEADER + size + len > qname_end) {
		return false;
	}
	const uint8_t *at = wire + qname_end - len - size;
	if (at[0] != label[0]) {
		return false;
	}
	unsigned i = 1;
	while (i < size && fold(at[i]) == fold(label[i])) {
		i++;
	}
	return i == size;
}

/*! Turns the references in the RDATA at \a rdata into pointers. False: one of its names ends in more of QNAME. */
static inline bool point_references(const uint8_t *wire, uint8_t *rdata, uint16_t type, uint16_t begin, uint16_t end,
                                    uint16_t qname_end)
{
	unsigned skip;
	unsigned names = wire_names(type, &skip);
	for (uint8_t *label = rdata + skip; names > 0; names--) {
		const uint8_t *last = label;
		while (*label != 0 && *label < LABEL_POINTER) {
			last = label;
			label += 1 + *label;
		}
		if (*label == 0) {
			label++;
			continue;
		}
		const uint16_t ref = get16(label);
		if (ref & WIRE_REF_INSIDE) {
			set16(label, WIRE_REF | (begin + (ref & WIRE_INSIDE_MAX)));
		} else if (last != label && stands_before(wire, qname_end, last, ref & 0xFF)) {
			return false;
		} else {
			set16(label, WIRE_REF | (end - (ref & 0xFF)));
		}
		label += 2;
	}
	return true;
}

/*! Does the owner fit a pointer, and do references hold as they are kept? */
static inline bool is_short(const message_t *msg, const place_t *place, const rrset_t *rrset, bool compresses)
{
	if (place->pos > MESSAGE_REACH || place->len <= 1) {
		return false;
	}
	if (place->prefix_len > 0) {
		/* NSEC and NSEC3: one record spells the owner, its signatures point there. */
		return rrset->count == 1 && msg->size <= MESSAGE_REACH && !compresses;
	}
	if (!compresses) {
		return true;
	}
	return msg->size <= SHORT_BEGIN_MAX && !place->split &&
	       ((rrset->flags & RRSET_OWNER_REF) == 0 || place->common >= place->shared);
}

/*! The octets before the TTL's second half, of records with an owner that stands at \a owner; in network order. */
static inline uint64_t record_head(uint16_t owner, const records_t *records)
{
	return htobe64((uint64_t)(WIRE_REF | owner) << 48 | (uint64_t)records->type << 32 |
	               (uint64_t)KNOT_CLASS_IN << 16 | records->ttl >> 16);
}

/*! Writes the next record as it is kept at \a dst, where there is room; moves \a item. Returns its RDATA there, and its end. */
static inline uint8_t *copy_record(uint8_t *dst, uint64_t head, uint32_t ttl, const uint8_t **item, uint8_t **ret_end)
{
	const uint8_t *rdata;
	uint16_t len;
	*item = rrset_item(*item, &rdata, &len);
	const uint32_t tail = htobe32(ttl << 16 | len);
	memcpy(dst, &head, 8);
	memcpy(dst + 8, &tail, 4);
	dst += HEAD_SIZE + 2;
	copy_rdata(dst, rdata, len);
	*ret_end = dst + len;
	return dst;
}

/*! Writes records as they are kept at \a dst, where there is room, with an owner that stands at \a owner. Returns their end. */
static inline uint8_t *copy_records(uint8_t *dst, uint16_t owner, const records_t *records)
{
	const uint64_t head = record_head(owner, records);
	const uint8_t *item = records->items;
	for (unsigned left = records->count; left > 0; left--) {
		copy_record(dst, head, records->ttl, &item, &dst);
	}
	return dst;
}

/*! End of QNAME, if the name at \a place ends as it does; else 0. */
static inline uint16_t question_end(const message_t *msg, const place_t *place)
{
	return place->end == msg->qname_end ? msg->qname_end : 0;
}

/*! The short way for records without references: all of it. */
static inline void put_spelled(message_t *msg, const place_t *place, const rrset_t *rrset, unsigned parts, uint32_t ttl_max)
{
	const records_t data = data_of(rrset, parts, ttl_max);
	const records_t sigs = signatures_of(rrset, parts, ttl_max);
	uint8_t *end = msg->wire + msg->size;
	uint16_t sigs_owner = place->pos;
	if (place->prefix_len > 0) {
		sigs_owner = msg->size;
		memcpy(end, place->prefix, place->prefix_len);
		end += place->prefix_len;
	}
	end = copy_records(end, place->pos, &data);
	end = copy_records(end, sigs_owner, &sigs);
	msg->size = end - msg->wire;
}

/*! The short way for records with references: all of it; false: it is not the shorter one, and the message is as it was. */
static inline bool put_referring(message_t *msg, const place_t *place, const rrset_t *rrset, unsigned parts, uint32_t ttl_max)
{
	uint8_t *const wire = msg->wire;
	const uint16_t begin = msg->size, qname_end = question_end(msg, place);
	uint8_t *end = wire + begin;
	const records_t data = data_of(rrset, parts, ttl_max);
	const uint64_t head = record_head(place->pos, &data);
	const uint8_t *item = data.items;
	for (unsigned left = data.count; left > 0; left--) {
		uint8_t *rdata = copy_record(end, head, data.ttl, &item, &end);
		if (!point_references(wire, rdata, data.type, begin, place->end, qname_end)) {
			return false;
		}
	}
	if (parts & PUT_SIGS) {
		const records_t sigs = signatures_of(rrset, parts, ttl_max);
		end = copy_records(end, place->pos, &sigs);
	}
	msg->size = end - wire;
	return true;
}

/* ---- The long way ---- */

/*! Where a name of kept RDATA came to stand. */
typedef struct {
	uint16_t kept;            /*!< Its offset in the RRset, as sent with two-octet owners. */
	uint16_t sent;            /*!< Its place in the message. */
} spot_t;

typedef struct {
	uint8_t *wire;
	size_t pos;
	size_t limit;
	place_t place;            /*!< Of the owner; moves to the first record's owner once that was spelled. */
	uint16_t qname_end;       /*!< End of QNAME, if the owner ends as it does; else 0. */
	unsigned spots_count;
	spot_t spots[SPOTS_MAX];
} writer_t;

static bool write_octets(writer_t *writer, const uint8_t *src, size_t len)
{
	if (len > writer->limit - writer->pos) {
		return false;
	}
	memcpy(writer->wire + writer->pos, src, len);
	writer->pos += len;
	return true;
}

static bool write_u16(writer_t *writer, uint16_t value)
{
	uint8_t octets[2];
	set16(octets, value);
	return write_octets(writer, octets, sizeof(octets));
}

/*! Writes the name that stands at \a pos: a pointer to it, or its labels where no pointer reaches. */
static bool write_name_at(writer_t *writer, uint16_t pos)
{
	const uint8_t *wire = writer->wire;
	pos = follow_pointers(wire, pos);
	while (wire[pos] != 0) {
		if (pos <= MESSAGE_REACH) {
			return write_u16(writer, WIRE_REF | pos);
		}
		unsigned label = 1 + wire[pos];
		if (!write_octets(writer, wire + pos, label)) {
			return false;
		}
		pos = follow_pointers(wire, pos + label);
	}
	return write_octets(writer, (const uint8_t *)"", 1);
}

/*! Where the octet stands now that is \a kept octets after the RRset's first. */
static uint16_t find_spot(const writer_t *writer, uint16_t kept)
{
	unsigned low = 0;
	for (unsigned high = writer->spots_count; high - low > 1; ) {
		unsigned middle = (low + high) / 2;
		if (writer->spots[middle].kept <= kept) {
			low = middle;
		} else {
			high = middle;
		}
	}
	assert(low < writer->spots_count && writer->spots[low].kept <= kept);
	return writer->spots[low].sent + (kept - writer->spots[low].kept);
}

static void note_spot(writer_t *writer, size_t kept, uint16_t sent)
{
	if (kept <= WIRE_INSIDE_MAX) {
		assert(writer->spots_count < SPOTS_MAX);
		writer->spots[writer->spots_count++] = (spot_t) { .kept = kept, .sent = sent };
	}
}

static bool is_label_of_question(const writer_t *writer, uint16_t pos)
{
	uint16_t at = MESSAGE_HEADER;
	while (at < pos) {
		at += 1 + writer->wire[at];
	}
	return at == pos;
}

/*! How many labels of a name are left when those are taken off that stand in QNAME too, before its last \a len octets. */
static unsigned labels_not_in_question(const writer_t *writer, const uint8_t *name, const uint8_t *start, unsigned labels, unsigned len)
{
	if (writer->qname_end == 0 || len > writer->place.common) {
		return labels;
	}
	while (labels > 0 && stands_before(writer->wire, writer->qname_end, name + start[labels - 1], len)) {
		len += 1 + name[start[labels - 1]];
		if (!is_label_of_question(writer, writer->qname_end - len)) {
			break;
		}
		labels--;
	}
	return labels;
}

/*! Writes the kept name at \a name, which has the offset \a kept in its RRset; returns its octets there, 0: no room. */
static unsigned write_kept_name(writer_t *writer, const uint8_t *name, size_t kept)
{
	note_spot(writer, kept, writer->pos);

	uint8_t start[LABELS_MAX];
	unsigned labels = 0;
	unsigned len = 0;
	while (name[len] != 0 && name[len] < LABEL_POINTER) {
		assert(labels < LABELS_MAX);
		start[labels++] = len;
		len += 1 + name[len];
	}
	const bool is_full = name[len] == 0;
	const unsigned kept_len = len + (is_full ? 1 : 2);
	const uint16_t ref = is_full ? WIRE_REF | 1 : get16(name + len);

	if (!(ref & WIRE_REF_INSIDE)) {
		const unsigned left = labels_not_in_question(writer, name, start, labels, ref & 0xFF);
		if (left < labels) {
			const uint16_t pos = writer->qname_end - (ref & 0xFF) - (len - start[left]);
			note_spot(writer, kept + start[left], pos);
			return write_octets(writer, name, start[left]) && write_name_at(writer, pos) ? kept_len : 0;
		}
	}
	if (is_full) {
		return write_octets(writer, name, kept_len) ? kept_len : 0;
	}
	if (!write_octets(writer, name, len)) {
		return 0;
	}
	const uint16_t pos = (ref & WIRE_REF_INSIDE) ? find_spot(writer, ref & WIRE_INSIDE_MAX)
	                                             : suffix_pos(writer->wire, &writer->place, ref & 0xFF);
	return write_name_at(writer, pos) ? kept_len : 0;
}

static bool write_rdata(writer_t *writer, uint16_t type, const uint8_t *rdata, uint16_t len, size_t kept)
{
	unsigned done = 0;
	if (wire_compresses(type)) {
		unsigned names = wire_names(type, &done);
		if (!write_octets(writer, rdata, done)) {
			return false;
		}
		for (; names > 0; names--) {
			unsigned name = write_kept_name(writer, rdata + done, kept + done);
			if (name == 0) {
				return false;
			}
			done += name;
		}
	}
	return write_octets(writer, rdata + done, len - done);
}

/*! Writes the owner, and points later records at it if it had to be spelled. */
static bool write_owner(writer_t *writer)
{
	place_t *place = &writer->place;
	const size_t begin = writer->pos;
	if (place->prefix_len == 0) {
		return write_name_at(writer, place->pos);
	}
	if (!write_octets(writer, place->prefix, place->prefix_len) || !write_name_at(writer, place->pos)) {
		return false;
	}
	place->pos = begin;
	place->len = place->shared += place->prefix_len;
	place->prefix_len = 0;
	return true;
}

static bool write_fixed(writer_t *writer, uint16_t type, uint32_t ttl)
{
	return write_u16(writer, type) && write_u16(writer, KNOT_CLASS_IN) &&
	       write_u16(writer, ttl >> 16) && write_u16(writer, ttl);
}

/*! Gives the record whose RDATA begins at \a rdata its RDLENGTH. */
static void close_record(writer_t *writer, size_t rdata)
{
	set16(writer->wire + rdata - 2, writer->pos - rdata);
}

static int put_records(writer_t *writer, const records_t *records)
{
	writer->spots_count = 0;
	const uint8_t *item = records->items;
	for (unsigned i = 0; i < records->count; i++) {
		const uint8_t *rdata;
		uint16_t len;
		const size_t kept = (item - records->items) + (size_t)(i + 1) * HEAD_SIZE + 2;
		item = rrset_item(item, &rdata, &len);
		if (!write_owner(writer) || !write_fixed(writer, records->type, records->ttl) || !write_u16(writer, 0)) {
			return KNOT_ESPACE;
		}
		const size_t begin = writer->pos;
		if (!write_rdata(writer, records->type, rdata, len, kept)) {
			return KNOT_ESPACE;
		}
		close_record(writer, begin);
	}
	return KNOT_EOK;
}

static int put_long(message_t *msg, const place_t *place, const rrset_t *rrset, unsigned parts, uint32_t ttl_max)
{
	const records_t data = data_of(rrset, parts, ttl_max);
	const records_t sigs = signatures_of(rrset, parts, ttl_max);
	writer_t writer; /* its spots are set as far as they are used */
	writer.wire = msg->wire;
	writer.pos = msg->size;
	writer.limit = msg->limit;
	writer.place = *place;
	writer.qname_end = question_end(msg, place);

	int ret = put_records(&writer, &data);
	if (ret == KNOT_EOK) {
		ret = put_records(&writer, &sigs);
	}
	if (ret == KNOT_EOK) {
		msg->size = writer.pos;
	}
	return ret;
}

/* ---- */

/*! Are they records without references below an owner that a pointer reaches? Most are. */
static inline bool is_plain(const place_t *place, uint16_t type)
{
	return !wire_compresses(type) && place->prefix_len == 0 && place->pos <= MESSAGE_REACH && place->len > 1;
}

/*! Puts those: as they are kept, or not at all. */
static __attribute__((noinline)) int put_plain(message_t *msg, section_t section, const place_t *place, const rrset_t *rrset,
                                               unsigned parts, uint32_t ttl_max)
{
	const unsigned count = sent_count(rrset, parts);
	const size_t size = sent_size(rrset, parts, count);
	if (size > msg->limit - msg->size) {
		return KNOT_ESPACE;
	}
	const records_t data = data_of(rrset, parts, ttl_max);
	uint8_t *end = copy_records(msg->wire + msg->size, place->pos, &data);
	if (parts & PUT_SIGS) {
		const records_t sigs = signatures_of(rrset, parts, ttl_max);
		(void)copy_records(end, place->pos, &sigs);
	}
	msg->size += size;
	msg->count[section] += count;
	return KNOT_EOK;
}

/*! Puts others. */
static __attribute__((noinline)) int put_other(message_t *msg, section_t section, const place_t *place, const rrset_t *rrset,
                                               unsigned parts, uint32_t ttl_max)
{
	const bool compresses = wire_compresses(rrset->type);
	const unsigned count = sent_count(rrset, parts);
	const bool fits = sent_size(rrset, parts, count) + place->prefix_len <= msg->limit - msg->size;
	bool is_done = false;
	if (is_short(msg, place, rrset, compresses)) {
		if (!compresses && !fits) {
			return KNOT_ESPACE;
		}
		if (!compresses) {
			put_spelled(msg, place, rrset, parts, ttl_max);
		}
		is_done = !compresses || (fits && put_referring(msg, place, rrset, parts, ttl_max));
	}
	/* What the short way has no room for, the long one may. */
	if (!is_done && put_long(msg, place, rrset, parts, ttl_max) != KNOT_EOK) {
		return KNOT_ESPACE;
	}
	msg->count[section] += count;
	return KNOT_EOK;
}

int section_put(message_t *msg, section_t section, const place_t *place, const rrset_t *rrset,
                unsigned parts, uint32_t ttl_max)
{
	assert(msg->size <= msg->limit && msg->limit <= MESSAGE_MAX);
	/* Neither is inlined: the one would save registers for what only the other needs. */
	return is_plain(place, rrset->type) ? put_plain(msg, section, place, rrset, parts, ttl_max)
	                                    : put_other(msg, section, place, rrset, parts, ttl_max);
}

int section_put_cname(message_t *msg, section_t section, const place_t *place, uint32_t ttl,
                      const uint8_t *prefix, uint8_t prefix_len, uint16_t rest_pos)
{
	writer_t writer;
	writer.wire = msg->wire;
	writer.pos = msg->size;
	writer.limit = msg->limit;
	writer.place = *place;
	writer.qname_end = 0;
	writer.spots_count = 0;

	if (!write_owner(&writer) || !write_fixed(&writer, KNOT_RRTYPE_CNAME, ttl) || !write_u16(&writer, 0)) {
		return KNOT_ESPACE;
	}
	const size_t begin = writer.pos;
	if (!write_octets(&writer, prefix, prefix_len) || !write_name_at(&writer, rest_pos)) {
		return KNOT_ESPACE;
	}
	close_record(&writer, begin);
	msg->size = writer.pos;
	msg->count[section]++;
	return KNOT_EOK;
}
