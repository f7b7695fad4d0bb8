/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What is believed of a resolver's reply, and kept ready to be put behind our aliases.
 *
 * A reply is followed as it was asked for: from the name asked, alias by alias, to the RRset of the type asked. What lies on
 * this way is accepted, with the signatures that cover it; a DNAME if the alias that follows is what it makes. Nothing else
 * of the answer section is, nothing of the additional section, and of the authority section only what denies: the SOA of a
 * zone that the last name is in, its signature and the NSEC or NSEC3 records of that zone; and those of zones whose signatures
 * say that a wildcard made what they cover. Where the way enters a zone of
 * ours it ends, as such names are answered from our own version alone.
 *
 * An accepted reply is kept as the octets that will be sent, twice where there are signatures (with and without), less what
 * depends on the message: names that end as the name asked does (which stands in the message as our alias' target) and
 * pointers, of which the places are remembered; and TTLs, which count down.
 *
 * TTLs are bounded by the limits given; that of a negative SOA is min(TTL, MINIMUM) (RFC 2308, section 5).
 *
 * Threads: accept is pure, put too. RCU: a reply that readers can see is retired with call_rcu() (cache.h). Blocks: no.
 */
#pragma once

#include "secondary/rcu.h"
#include "secondary/section.h"

/*! Aliases followed in one reply; unbound follows 11, and others some 16. */
#define REPLY_CHAIN_MAX   20
/*! Records looked at. A reply over TCP could bring 5,900; each is looked at for every alias of the chain. */
#define REPLY_RECORDS_MAX 2048
/*! Stale data is sent with this TTL at most (RFC 8767, section 4). */
#define REPLY_STALE_TTL   30
/*! Negative replies without SOA say nothing about how long they hold (RFC 2308, section 5): just long enough to be asked for. */
#define REPLY_BARE_TTL    5

typedef enum {
	REPLY_FOUND,              /*!< Data of the type asked. */
	REPLY_NODATA,             /*!< The last name has no such data. */
	REPLY_NXDOMAIN,           /*!< The last name does not exist. */
	REPLY_HOME,               /*!< Aliases that lead to a name in a zone of ours. */
	REPLY_LOOP,               /*!< Aliases that lead back, or too many: nothing is kept of them. */
	REPLY_NOTHING,            /*!< Whoever was asked does not know about the name (`upstream: self`): nothing is added. */
} reply_kind_t;

/*! What to accept. */
typedef struct {
	const uint8_t *name;      /*!< Asked for: in full, lower case. */
	uint8_t name_len;
	uint16_t type;
	uint16_t asked;           /*!< Type in the question: \a type, or CNAME where only the next alias was asked for. */
	uint32_t ttl_min, ttl_max; /*!< Bounds on TTLs, seconds. */
	/*! Is \a name (in full, lower case) in a zone of ours? NULL: never. */
	bool (*is_home)(const uint8_t *name, size_t len);
} reply_params_t;

/*! A place in the octets that has to become a pointer. */
typedef struct {
	uint16_t at;
	uint16_t to;              /*!< REPLY_TO_TARGET and the length of a suffix of the name asked for, or an offset. */
} reply_ref_t;

#define REPLY_TO_TARGET 0x8000

/*! Records of the answer section, then of the authority section. */
typedef struct {
	uint8_t *octets;
	reply_ref_t *refs;
	uint16_t *ttls;           /*!< Where TTLs stand. */
	uint16_t size, ref_count, ttl_count;
	uint16_t answers, authorities;
	uint16_t home;            /*!< REPLY_HOME: where the last target stands. */
} reply_part_t;

typedef struct reply {
	struct rcu_head rcu;
	reply_kind_t kind;
	uint32_t ttl;             /*!< The least of its records', at least 1. */
	uint32_t received;        /*!< Second it came, of the cache's clock. */
	uint32_t stale_until;     /*!< Second until which it may stand in for a failing upstream. */
	size_t memory;            /*!< Octets of memory. */
	reply_part_t part[2];     /*!< Without and with DNSSEC records. */
} reply_t;

/*!
 * \brief Digests the message \a wire, which is hostile.
 *
 * Its id, and whether it comes from whom it should, are the caller's to check.
 * \param ret_reply  Own: reply_free().
 * \return KNOT_EOK; KNOT_EMALF (not parsable, not a response to the question, truncated); KNOT_EDENIED (a response code other
 *         than NOERROR and NXDOMAIN); KNOT_ENOMEM.
 */
int reply_accept(const reply_params_t *params, const uint8_t *wire, size_t size, reply_t **ret_reply);

/*!
 * \brief What the failure \a wire says of validation: the code of its first Extended DNS Error (RFC 8914) that is about DNSSEC,
 *        or KNOT_EDNS_EDE_NONE. The message is hostile.
 */
int reply_validation_error(const uint8_t *wire, size_t size);

/*! \brief A reply without records, of a kind that needs none. Own: reply_free(), or NULL (no memory). */
reply_t *reply_bare(reply_kind_t kind, uint32_t ttl);

/*! \brief Frees at once. NULL is a no-op. */
void reply_free(reply_t *reply);

/*! \brief Response code for an answer that ends so (RFC 6604). */
static inline uint8_t reply_rcode(const reply_t *reply)
{
	return reply->kind == REPLY_NXDOMAIN ? 3 : 0;
}

/*!
 * \brief Puts \a reply at the end of \a msg, in which no authority record stands yet.
 *
 * \param target    Where the name asked for stands in the message, and its \a target_len octets in full.
 * \param dnssec    With DNSSEC records.
 * \param age       Seconds that TTLs have counted down.
 * \param ttl_max   And a bound on them: REPLY_STALE_TTL, or PUT_TTL_KEEP.
 * \param ret_home  Where the last target stands; written for REPLY_HOME.
 * \return KNOT_EOK, or KNOT_ESPACE (does not fit, \a msg is unchanged).
 */
int reply_put(const reply_t *reply, message_t *msg, uint16_t target, uint8_t target_len, bool dnssec, uint32_t age,
              uint32_t ttl_max, uint16_t *ret_home);
