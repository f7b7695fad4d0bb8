/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Records of one zone after the other in the messages of a stream, for the rooms that send zones and changes of zones
 *        (transfer_out, increment_out): owners become pointers, and names in RDATA end in one to the apex.
 *
 * No message is longer than pointers reach but one that holds a single record, so no place needs to be compared with MESSAGE_REACH.
 */
#pragma once

#include <endian.h>
#include <string.h>

#include <libknot/descriptor.h>

#include "octets.h"
#include "secondary/section.h"
#include "secondary/transfer_out.h"

/*! Octets of a record before its RDATA, with an owner that is a pointer. */
#define HEAD_SIZE     12
/*! Of those, the pointer. */
#define POINTER_SIZE  2
#define POINTER_APEX  (WIRE_REF | MESSAGE_HEADER)

/*! A suffix of the owner (less the apex) that stands in the message. */
typedef struct {
	uint16_t pos;
	uint8_t len;
} suffix_t;

/*! The message under way, and what stands in it. All else that a name can end in is the apex, which stands in the question. */
typedef struct {
	const uint8_t *apex;      /*!< In full, lower case; outlives the stream. */
	uint8_t apex_len;
	message_t *msg;
	size_t limit;             /*!< Of this message, for the next record. */
	const uint8_t *owner;     /*!< Its labels, less the apex; stay until another owner's record was put. */
	size_t owner_len;
	uint16_t owner_pointer;   /*!< To the owner; 0: it must be written. */
	const uint8_t *last;      /*!< The owner whose suffixes are known, \a last_len octets. */
	size_t last_len;
	unsigned depth;
	suffix_t suffix[QP_LABELS_MAX + 1]; /*!< \a depth of them, the shortest first. */
} stream_t;

/*! The root has no name that were worth a pointer. */
static inline bool stream_is_root(const stream_t *stream)
{
	return stream->apex_len == 1;
}

/*! The owner does not stand in the message, unless it is the apex. */
static inline void stream_forget_owner(stream_t *stream)
{
	stream->owner_pointer = stream->owner_len == 0 && !stream_is_root(stream) ? POINTER_APEX : 0;
}

/*! The next records are those of \a owner. */
static inline void stream_set_owner(stream_t *stream, const uint8_t *owner, size_t len)
{
	stream->owner = owner;
	stream->owner_len = len;
	stream_forget_owner(stream);
}

/*! Begins a message: header and question stand. */
static inline void stream_set_message(stream_t *stream, message_t *msg)
{
	stream->msg = msg;
	stream->limit = msg->limit;
	stream->depth = 0;
	stream_forget_owner(stream);
}

/*!
 * Forgets the suffixes that the owner does not share with the one before; returns how many of its first octets must be
 * spelled. In canonical order the longest shared suffix of all owners in the message is that with the one before.
 */
static inline size_t stream_match_suffixes(stream_t *stream)
{
	const uint8_t *owner = stream->owner;
	size_t spelled = 0;
	for (; stream->depth > 0; stream->depth--) {
		const size_t len = stream->suffix[stream->depth - 1].len;
		while (stream->owner_len - spelled > len) {
			spelled += 1 + owner[spelled];
		}
		if (stream->owner_len - spelled == len &&
		    memcmp(owner + spelled, stream->last + stream->last_len - len, len) == 0) {
			return spelled;
		}
	}
	return stream->owner_len;
}

/*! Remembers that the owner's first \a spelled octets stand at \a pos. */
static inline void stream_push_suffixes(stream_t *stream, size_t spelled, size_t pos)
{
	uint8_t label[QP_LABELS_MAX];
	unsigned count = 0;
	for (size_t at = 0; at < spelled; at += 1 + stream->owner[at]) {
		label[count++] = at;
	}
	while (count > 0) {
		const uint8_t at = label[--count];
		stream->suffix[stream->depth++] = (suffix_t) { .pos = pos + at, .len = stream->owner_len - at };
	}
	stream->last = stream->owner;
	stream->last_len = stream->owner_len;
}

/*! Writes owner as \a pointer, type, class, TTL and RDLENGTH. */
static inline void stream_put_head(uint8_t *dst, uint16_t pointer, uint16_t type, uint32_t ttl, uint16_t len)
{
	const uint64_t head = htobe64((uint64_t)pointer << 48 | (uint64_t)type << 32 | (uint64_t)KNOT_CLASS_IN << 16 | ttl >> 16);
	const uint32_t tail = htobe32(ttl << 16 | len);
	memcpy(dst, &head, 8);
	memcpy(dst + 8, &tail, 4);
}

/*! Closes the record at the end of the message, which is \a size octets long. */
static inline void stream_end_record(stream_t *stream, size_t size)
{
	message_t *msg = stream->msg;
	msg->size += size;
	msg->count[SECTION_ANSWER]++;
	stream->limit = msg->limit < TRANSFER_OUT_FILL ? msg->limit : TRANSFER_OUT_FILL;
}

/*! To what comes behind the octets of the owner that are spelled. */
static inline uint16_t stream_rest_pointer(const stream_t *stream)
{
	return stream->depth > 0 ? WIRE_REF | stream->suffix[stream->depth - 1].pos : POINTER_APEX;
}

/*! Writes a record whose owner must be spelled; false: no room. */
static inline bool stream_put_owner_record(stream_t *stream, uint16_t type, uint32_t ttl, const uint8_t *rdata, uint16_t len)
{
	message_t *msg = stream->msg;
	const size_t spelled = stream_match_suffixes(stream);
	const bool root = stream->depth == 0 && stream_is_root(stream);
	const size_t owner_size = spelled + (root ? 1 : POINTER_SIZE);
	const size_t size = owner_size + HEAD_SIZE - POINTER_SIZE + len;
	if (msg->size + size > stream->limit) {
		return false;
	}

	uint8_t *dst = msg->wire + msg->size;
	memcpy(dst, stream->owner, spelled);
	if (root) {
		uint8_t head[HEAD_SIZE];
		stream_put_head(head, 0, type, ttl, len);
		dst[spelled] = 0;
		memcpy(dst + spelled + 1, head + POINTER_SIZE, sizeof(head) - POINTER_SIZE);
	} else {
		stream_put_head(dst + spelled, stream_rest_pointer(stream), type, ttl, len);
	}
	copy_rdata(dst + size - len, rdata, len);

	if (spelled > 0) {
		stream_push_suffixes(stream, spelled, msg->size);
		stream->owner_pointer = WIRE_REF | msg->size;
	}
	stream_end_record(stream, size);
	return true;
}

/*! Writes a record of the owner; false: no room. */
static inline bool stream_put(stream_t *stream, uint16_t type, uint32_t ttl, const uint8_t *rdata, uint16_t len)
{
	if (stream->owner_pointer == 0) {
		return stream_put_owner_record(stream, type, ttl, rdata, len);
	}
	message_t *msg = stream->msg;
	const size_t size = HEAD_SIZE + len;
	if (msg->size + size > stream->limit) {
		return false;
	}
	uint8_t *dst = msg->wire + msg->size;
	stream_put_head(dst, stream->owner_pointer, type, ttl, len);
	copy_rdata(dst + HEAD_SIZE, rdata, len);
	stream_end_record(stream, size);
	return true;
}

static inline size_t stream_name_len(const uint8_t *name)
{
	size_t len = 0;
	while (name[len] != 0) {
		len += 1 + name[len];
	}
	return len + 1;
}

/*!
 * Shortens the name at \a name, in full: it ends in a pointer to the apex if it ends in the apex. Case matters: clients keep it.
 *
 * \param dst  At or before \a name.
 */
static inline size_t stream_shorten_name(const stream_t *stream, uint8_t *dst, const uint8_t *name, size_t len)
{
	size_t kept = 0;
	while (len - kept > stream->apex_len) {
		kept += 1 + name[kept];
	}
	if (stream_is_root(stream) || len - kept < stream->apex_len ||
	    memcmp(name + kept, stream->apex, stream->apex_len) != 0) {
		memmove(dst, name, len);
		return len;
	}
	memmove(dst, name, kept);
	set16(dst + kept, POINTER_APEX);
	return kept + POINTER_SIZE;
}

/*! Shortens RDATA of a type with names that may be compressed, in full and sound, in place; returns its octets. */
static inline uint16_t stream_shorten_rdata(const stream_t *stream, uint16_t type, uint8_t *rdata, uint16_t len)
{
	unsigned skip;
	unsigned names = wire_names(type, &skip);
	uint8_t *dst = rdata + skip;
	const uint8_t *src = dst;
	for (; names > 0; names--) {
		const size_t name = stream_name_len(src);
		dst += stream_shorten_name(stream, dst, src, name);
		src += name;
	}
	const size_t rest = rdata + len - src;
	memmove(dst, src, rest);
	return dst + rest - rdata;
}
