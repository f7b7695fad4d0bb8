/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Names and RDATA out of messages, and into the form in which they are kept.
 */

#include <assert.h>
#include <string.h>

#include <libknot/descriptor.h>
#include <libknot/errcode.h>

#include "secondary/wire.h"

#define LABEL_MAX 63

/*!
 * \brief Copies a few octets. The compiler must not know how few: below some hundred it copies by string instructions,
 *        which take longer to start than the copying.
 */
static inline void copy_short(uint8_t *dst, const uint8_t *src, size_t len)
{
	__asm__("" : "+r"(len));
	memcpy(dst, src, len);
}

/* Names */

int wire_name_read(const uint8_t *msg, size_t msg_len, size_t pos, uint8_t *dst, size_t *ret_len)
{
	const size_t first = pos;
	size_t run = pos;                 /* Where the labels being read began: a pointer must lead before it. */
	size_t taken = 0;
	size_t len = 0;                   /* Of the runs before. */
	unsigned jumps = 0;

	for (;;) {
		if (pos >= msg_len) {
			return KNOT_EMALF;
		}
		size_t label = msg[pos];
		if (label > 0 && label <= LABEL_MAX) {
			/* The root label must fit too. */
			if (label >= msg_len - pos || len + (pos - run) + label + 2 > WIRE_NAME_MAX) {
				return KNOT_EMALF;
			}
			pos += label + 1;
			continue;
		}
		copy_short(dst + len, msg + run, pos - run);
		len += pos - run;
		if (label == 0) {
			break;
		}
		if (label < (WIRE_REF >> 8) || msg_len - pos < 2 || ++jumps > WIRE_JUMPS_MAX) {
			return KNOT_EMALF;
		}
		if (taken == 0) {
			taken = pos + 2 - first;
		}
		pos = (label & 0x3F) << 8 | msg[pos + 1];
		if (pos >= run) {
			return KNOT_EMALF;
		}
		run = pos;
	}

	dst[len] = 0;
	*ret_len = len + 1;
	return taken > 0 ? taken : pos + 1 - first;
}

static inline uint8_t fold(uint8_t octet)
{
	return octet + ((uint8_t)(octet - 'A') < 26 ? 'a' - 'A' : 0);
}

/*! \brief Folds eight octets at once: bit 7 of each tells whether it is in the range, and becomes the bit of the case. */
static inline uint64_t fold_word(uint64_t word)
{
	const uint64_t ones = 0x0101010101010101;
	uint64_t low = word & (0x7F * ones);
	uint64_t from_a = low + (0x80 - 'A') * ones;
	uint64_t after_z = low + (0x7F - 'Z') * ones;
	return word + (((from_a & ~after_z & ~word) & (0x80 * ones)) >> 2);
}

void wire_name_lower(uint8_t *name, size_t len)
{
	/* Lengths of labels are below 'A', so they may be folded with the rest. */
	for (; len >= sizeof(uint64_t); name += sizeof(uint64_t), len -= sizeof(uint64_t)) {
		uint64_t word;
		memcpy(&word, name, sizeof(word));
		word = fold_word(word);
		memcpy(name, &word, sizeof(word));
	}
	for (; len > 0; name++, len--) {
		*name = fold(*name);
	}
}

bool wire_name_within(const uint8_t *name, size_t len, const uint8_t *apex, size_t apex_len)
{
	if (len < apex_len || memcmp(name + len - apex_len, apex, apex_len) != 0) {
		return false;
	}

	/* The end is the same; it must also begin with a label. */
	size_t pos = 0;
	while (pos < len - apex_len) {
		pos += name[pos] + 1;
	}
	return pos == len - apex_len;
}

/* RDATA out of a message */

/*! RDATA being read. */
typedef struct {
	const uint8_t *msg;
	size_t pos;
	size_t end;
	uint8_t *dst;
	size_t len;
} reader_t;

static int read_octets(reader_t *r, size_t count)
{
	if (r->end - r->pos < count || UINT16_MAX - r->len < count) {
		return KNOT_EMALF;
	}

	copy_short(r->dst + r->len, r->msg + r->pos, count);
	r->pos += count;
	r->len += count;
	return KNOT_EOK;
}

static int read_name(reader_t *r)
{
	/* Names come before what may be long: of each type at most three, with some hundred octets between them. */
	if (UINT16_MAX - r->len < WIRE_NAME_MAX) {
		return KNOT_EMALF;
	}

	/* The end of the RDATA ends the message: pointers lead backwards only. */
	size_t len = 0;
	int taken = wire_name_read(r->msg, r->end, r->pos, r->dst + r->len, &len);
	if (taken < 0) {
		return taken;
	}

	r->len += len;
	r->pos += taken;
	return KNOT_EOK;
}

/*! \brief Order, preference and three character-strings (RFC 3403, section 4.1). */
static int read_naptr_header(reader_t *r)
{
	int ret = read_octets(r, 4);
	for (int i = 0; i < 3 && ret == KNOT_EOK; i++) {
		if (r->pos >= r->end) {
			return KNOT_EMALF;
		}
		ret = read_octets(r, r->msg[r->pos] + 1);
	}
	return ret;
}

static int read_block(reader_t *r, int block)
{
	switch (block) {
	case KNOT_RDATA_WF_FIXED_DNAME:
	case KNOT_RDATA_WF_COMPRESSIBLE_DNAME:
	case KNOT_RDATA_WF_DECOMPRESSIBLE_DNAME:
		/* A name that nobody may compress is decompressed all the same, as knotd does (RFC 3597, section 4 for SRV). */
		return read_name(r);
	case KNOT_RDATA_WF_NAPTR_HEADER:
		return read_naptr_header(r);
	case KNOT_RDATA_WF_REMAINDER:
		return read_octets(r, r->end - r->pos);
	default:
		assert(block > 0);
		return read_octets(r, block);
	}
}

static const knot_rdata_descriptor_t *find_descriptor(uint16_t type)
{
	const knot_rdata_descriptor_t *desc = knot_get_rdata_descriptor(type);
	return desc->type_name != NULL ? desc : knot_get_obsolete_rdata_descriptor(type);
}

/*!
 * \brief Of what RDATA of \a type consists.
 *
 * libknot does not look into SVCB and HTTPS. Answers do, for the target's addresses, and must find a name there.
 */
static const int *find_blocks(uint16_t type, const knot_rdata_descriptor_t *desc)
{
	static const int svcb[] = { 2, KNOT_RDATA_WF_FIXED_DNAME, KNOT_RDATA_WF_REMAINDER, KNOT_RDATA_WF_END };
	return type == KNOT_RRTYPE_SVCB || type == KNOT_RRTYPE_HTTPS ? svcb : desc->block_types;
}

int wire_rdata_read(uint16_t type, const uint8_t *msg, size_t msg_len, size_t pos, uint16_t rdlen,
                    uint8_t *dst, size_t *ret_len)
{
	if (pos > msg_len || rdlen > msg_len - pos) {
		return KNOT_EMALF;
	}

	if (type == KNOT_RRTYPE_A || type == KNOT_RRTYPE_AAAA) {
		if (rdlen != (type == KNOT_RRTYPE_A ? 4 : 16)) {
			return KNOT_EMALF;
		}
		memcpy(dst, msg + pos, rdlen);
		*ret_len = rdlen;
		return KNOT_EOK;
	}

	const knot_rdata_descriptor_t *desc = find_descriptor(type);
	if (rdlen == 0 && desc->type_name != NULL && type != KNOT_RRTYPE_APL) {
		return KNOT_EMALF;
	}

	reader_t r = { .msg = msg, .pos = pos, .end = pos + rdlen, .dst = dst };
	for (const int *block = find_blocks(type, desc); *block != KNOT_RDATA_WF_END; block++) {
		int ret = read_block(&r, *block);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	if (r.pos != r.end) {
		return KNOT_EMALF;
	}
	*ret_len = r.len;
	return KNOT_EOK;
}

/* RDATA into kept form */

/*! A name about to be kept. */
typedef struct {
	const uint8_t *name;
	uint8_t len;                      /*!< Octets, root label included. */
	uint8_t labels;                   /*!< Without the root label. */
	uint8_t start[WIRE_NAME_MAX / 2]; /*!< Where each label begins. */
	uint32_t hash[WIRE_NAME_MAX / 2]; /*!< Of the suffix that begins there. */
} split_t;

/*! What a name can end in. */
typedef struct {
	uint8_t label;                    /*!< First label of the suffix that the reference stands for. */
	uint16_t value;                   /*!< The reference; 0: none. */
} ending_t;

/*! \brief Finds the labels of the name at \a name; KNOT_EMALF when it does not end within \a avail octets. */
static int split_name(split_t *split, const uint8_t *name, size_t avail)
{
	size_t pos = 0;
	unsigned labels = 0;
	while (pos < avail && name[pos] != 0) {
		if (name[pos] > LABEL_MAX || pos + name[pos] + 2 > WIRE_NAME_MAX) {
			return KNOT_EMALF;
		}
		split->start[labels++] = pos;
		pos += name[pos] + 1;
	}
	if (pos >= avail) {
		return KNOT_EMALF;
	}

	split->name = name;
	split->len = pos + 1;
	split->labels = labels;
	return KNOT_EOK;
}

/*! \brief Takes up to eight octets of a label into a hash; the bit of the case is set in all, letters or not. */
static uint64_t hash_octets(uint64_t hash, const uint8_t *from, size_t count)
{
	uint64_t word;
	memcpy(&word, from, sizeof(word));
	word &= UINT64_MAX >> (64 - 8 * count);
	hash = (hash ^ (word | 0x2020202020202020)) * 0x9E3779B97F4A7C15;
	return hash ^ hash >> 29;
}

/*! \brief Hashes each suffix, eight octets at a time: names of name servers are most of what a large zone has. */
static void split_hash(split_t *split)
{
	/* A copy, because whole words are read. */
	uint8_t name[WIRE_NAME_MAX + sizeof(uint64_t)];
	copy_short(name, split->name, split->len);

	uint64_t hash = 0;
	for (unsigned i = split->labels; i-- > 0; ) {
		const uint8_t *label = name + split->start[i];
		size_t left = label[0] + 1;
		for (; left > sizeof(uint64_t); left -= sizeof(uint64_t), label += sizeof(uint64_t)) {
			hash = hash_octets(hash, label, sizeof(uint64_t));
		}
		hash = hash_octets(hash, label, left);
		split->hash[i] = hash >> 32;
	}
}

static bool is_equal_folded(const uint8_t *a, const uint8_t *b, size_t len)
{
	/* Mostly case is the same, too. */
	if (memcmp(a, b, len) == 0) {
		return true;
	}
	for (size_t i = 0; i < len; i++) {
		if (fold(a[i]) != fold(b[i])) {
			return false;
		}
	}
	return true;
}

/*! \brief Does one of the owner's labels begin \a len octets before its end? */
static bool is_owner_suffix(const wire_keeper_t *keeper, size_t len)
{
	size_t pos = keeper->owner_len - len;
	return keeper->owner_labels[pos / 8] >> (pos % 8) & 1;
}

/*! \brief Longest suffix that the name shares with the owner. */
static ending_t find_in_owner(const wire_keeper_t *keeper, const split_t *split)
{
	for (unsigned i = 0; i < split->labels; i++) {
		size_t len = split->len - split->start[i];
		if (len <= keeper->suffix_max && is_owner_suffix(keeper, len) &&
		    is_equal_folded(split->name + split->start[i], keeper->owner + keeper->owner_len - len, len)) {
			return (ending_t) { .label = i, .value = WIRE_REF | len };
		}
	}
	return (ending_t) { .label = split->labels };
}

/*! \brief Longest suffix among those remembered that has more labels than \a best. */
static ending_t find_inside(const wire_keeper_t *keeper, const split_t *split, ending_t best)
{
	for (unsigned i = 0; i < best.label; i++) {
		size_t len = split->len - split->start[i];
		for (unsigned probe = 0; probe < WIRE_KEEPER_PROBES; probe++) {
			const wire_suffix_t *slot = &keeper->slot[(split->hash[i] + probe) % WIRE_KEEPER_SLOTS];
			if (slot->round != keeper->round) {
				break;
			}
			if (slot->hash == split->hash[i] && slot->len == len &&
			    is_equal_folded(slot->name, split->name + split->start[i], len)) {
				return (ending_t) { .label = i, .value = WIRE_REF | WIRE_REF_INSIDE | slot->pos };
			}
		}
	}
	return best;
}

/*! \brief Remembers the suffixes that stand in full labels, from \a pos on, in the RRset as sent. */
static void remember(wire_keeper_t *keeper, const split_t *split, unsigned labels, size_t pos)
{
	for (unsigned i = 0; i < labels && pos + split->start[i] <= WIRE_INSIDE_MAX; i++) {
		for (unsigned probe = 0; probe < WIRE_KEEPER_PROBES; probe++) {
			wire_suffix_t *slot = &keeper->slot[(split->hash[i] + probe) % WIRE_KEEPER_SLOTS];
			if (slot->round != keeper->round) {
				*slot = (wire_suffix_t) {
					.name = split->name + split->start[i],
					.hash = split->hash[i],
					.pos = pos + split->start[i],
					.len = split->len - split->start[i],
					.round = keeper->round,
				};
				break;
			}
		}
	}
}

/*! \brief Keeps one name, which will stand at \a pos of the RRset as sent. Returns octets written. */
static size_t keep_name(wire_keeper_t *keeper, split_t *split, size_t pos, uint8_t *dst)
{
	ending_t ending = find_in_owner(keeper, split);
	if (keeper->is_shared) {
		split_hash(split);
		ending = find_inside(keeper, split, ending);
		remember(keeper, split, ending.label, pos);
	}
	if (ending.value == 0) {
		copy_short(dst, split->name, split->len);
		return split->len;
	}

	size_t len = split->start[ending.label];
	copy_short(dst, split->name, len);
	dst[len] = ending.value >> 8;
	dst[len + 1] = ending.value & 0xFF;
	if (!(ending.value & WIRE_REF_INSIDE) && (ending.value & 0xFF) > keeper->apex_len) {
		keeper->has_owner_ref = true;
	}
	return len + 2;
}

void wire_keep_begin(wire_keeper_t *keeper, uint16_t type, size_t count, const uint8_t *owner, size_t owner_len,
                     size_t apex_len)
{
	assert(wire_compresses(type));

	keeper->type = type;
	keeper->names = wire_names(type, &keeper->skip);
	keeper->is_shared = count * keeper->names > 1;
	keeper->has_owner_ref = false;
	keeper->size = 0;
	keeper->owner = owner;
	keeper->owner_len = owner_len;
	keeper->apex_len = apex_len;

	/* The asterisk does not stand in the answers that are made of a wildcard. */
	bool is_wildcard = owner_len > apex_len && owner[0] == 1 && owner[1] == '*';
	keeper->suffix_max = owner_len - (is_wildcard ? 2 : 0);

	memset(keeper->owner_labels, 0, sizeof(keeper->owner_labels));
	for (size_t pos = 0; owner[pos] != 0; pos += owner[pos] + 1) {
		keeper->owner_labels[pos / 8] |= 1u << (pos % 8);
	}

	/* Slots of earlier rounds are free; the number of the round wraps after 255. */
	if (keeper->is_shared && ++keeper->round == 0) {
		memset(keeper->slot, 0, sizeof(keeper->slot));
		keeper->round = 1;
	}
}

int wire_keep(wire_keeper_t *keeper, const uint8_t *rdata, uint16_t rdlen, uint8_t *dst)
{
	const size_t head = 12;           /* Owner as a pointer, type, class, TTL, RDLENGTH. */
	size_t pos = keeper->skip;
	size_t len = keeper->skip;
	if (rdlen < pos) {
		return KNOT_EMALF;
	}

	memcpy(dst, rdata, len);
	for (unsigned i = 0; i < keeper->names; i++) {
		split_t split;
		int ret = split_name(&split, rdata + pos, rdlen - pos);
		if (ret != KNOT_EOK) {
			return ret;
		}
		len += keep_name(keeper, &split, keeper->size + head + len, dst + len);
		pos += split.len;
	}
	copy_short(dst + len, rdata + pos, rdlen - pos);
	len += rdlen - pos;

	keeper->size += head + len;
	return len;
}

/* Canonical order of RDATA */

/*! \brief Octets of the name at \a name, at most \a avail. */
static size_t skip_name(const uint8_t *name, size_t avail)
{
	size_t pos = 0;
	while (pos < avail && name[pos] != 0) {
		pos += name[pos] + 1;
	}
	return pos < avail ? pos + 1 : avail;
}

static size_t skip_naptr_header(const uint8_t *rdata, size_t len)
{
	size_t pos = 4;
	for (int i = 0; i < 3 && pos < len; i++) {
		pos += rdata[pos] + 1;
	}
	return pos;
}

/*! \brief Finds the octets of RDATA that are names compared without case; the types have them in one piece. */
static void find_folded(uint16_t type, const uint8_t *rdata, size_t len, size_t *ret_from, size_t *ret_to)
{
	size_t pos = 0;
	size_t from = len;
	size_t to = len;
	for (const int *block = find_descriptor(type)->block_types; *block != KNOT_RDATA_WF_END && pos < len; block++) {
		if (*block > 0) {
			pos += *block;
		} else if (*block == KNOT_RDATA_WF_NAPTR_HEADER) {
			pos = skip_naptr_header(rdata, len);
		} else if (*block == KNOT_RDATA_WF_REMAINDER) {
			break;
		} else {
			from = from < pos ? from : pos;
			pos += skip_name(rdata + pos, len - pos);
			to = pos;
		}
	}
	*ret_from = from;
	*ret_to = to;
}

int wire_rdata_compare(uint16_t type, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	size_t len = a_len < b_len ? a_len : b_len;
	int by_len = (a_len > b_len) - (a_len < b_len);
	int diff = memcmp(a, b, len);
	if (diff == 0 || !knot_rrtype_should_be_lowercased(type)) {
		return diff != 0 ? diff : by_len;
	}

	/* As long as both are equal their names stand at the same places, so those of one will do. */
	size_t from, to;
	find_folded(type, a, a_len, &from, &to);
	for (size_t i = 0; i < len; i++) {
		bool is_name = i >= from && i < to;
		diff = is_name ? fold(a[i]) - fold(b[i]) : a[i] - b[i];
		if (diff != 0) {
			return diff;
		}
	}
	return by_len;
}

void wire_rdata_lower(uint16_t type, uint8_t *rdata, size_t len)
{
	if (knot_rrtype_should_be_lowercased(type)) {
		size_t from, to;
		find_folded(type, rdata, len, &from, &to);
		wire_name_lower(rdata + from, to - from);
	}
}
