/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Composing the answer to a question from one snapshot (RFC 1034, section 4.3.2, and what refines it).
 *
 * One function from (snapshot, question, message) to an outcome. It does no I/O, reads no clock, takes no lock and
 * allocates nothing; the hook, the unit tests, the fuzzer and the benchmark call the same one. An alias that leaves the
 * zone is reported with its target; what to do about it is the caller's business (chase.h), who may go on from another
 * snapshot in the same message.
 *
 * Standards: RFC 1034 §4.3.2, 2181, 2308 (negative SOA TTL = min(TTL, MINIMUM)), 4592 (wildcards), 6672 (DNAME), 4035 §3.1 (RRSIG with
 * DO), 8482 (ANY: one RRset), 9471 (all in-domain glue or TC). No NS in positive answers. Each CNAME once; a loop ends
 * with what was found.
 *
 * Proofs of what is denied, and of what wildcards stand in for, are denial.h's business; those of all aliases come with the last zone's.
 */
#pragma once

#include "secondary/section.h"
#include "secondary/wire.h"

/*! Aliases followed for one question, over all zones. Each costs a look-up and some 40 octets of the message, so an answer over
    UDP ends before; knotd 3.2 stops after 5, and its clients ask on. */
#define ANSWER_CHAIN_MAX 20

typedef struct {
	const uint8_t *qname;     /*!< In full, lower case; equal to or below the apex. */
	uint8_t qname_len;        /*!< Octets, root label included. */
	uint16_t qtype;
	bool dnssec;              /*!< DO was set. */
} question_t;

typedef enum {
	ANSWER_HIT,               /*!< NOERROR with data. */
	ANSWER_NODATA,            /*!< NOERROR, SOA in the authority section. */
	ANSWER_NXDOMAIN,          /*!< NXDOMAIN, SOA in the authority section. */
	ANSWER_REFERRAL,          /*!< NOERROR, not authoritative, NS in the authority section. */
	ANSWER_ALIAS,             /*!< NOERROR, aliases written; the last target is the chain's, outside this zone. */
	ANSWER_LOOP,              /*!< NOERROR, aliases written; they lead back, or there are more than ANSWER_CHAIN_MAX. */
	ANSWER_OVERFLOW,          /*!< YXDOMAIN: a DNAME makes a name longer than 255 octets (RFC 6672, section 2.2). */
	ANSWER_COLLISION,         /*!< SERVFAIL, nothing written, no aliases in the chain: two names have the same NSEC3 hash
	                               (RFC 5155, section 7.2.9). */
} answer_t;

/*! An alias that was followed. */
typedef struct {
	const snapshot_t *snapshot; /*!< Where it comes from. */
	arena_ref_t ref;          /*!< Its node there. */
	uint16_t owner;           /*!< Place of the alias' owner in the message. */
	uint16_t target;          /*!< Place of the target in RDATA of the kept record. */
	uint8_t encloser_len;     /*!< Octets of the owner's closest encloser, if the alias came from a wildcard; else 0. */
} alias_step_t;

/*! The aliases in an answer, and the name that they have led to so far; it has no sense before the first of them. */
typedef struct {
	unsigned steps;
	uint16_t pos;             /*!< Where the target stands in the message (may be compressed). */
	uint16_t end;             /*!< Octets of the message up to the last alias: what follows is about the target. */
	uint8_t len;              /*!< Octets of the target in full. */
	uint8_t name[WIRE_NAME_MAX]; /*!< The target in full, lower case. */
	alias_step_t step[ANSWER_CHAIN_MAX];
} alias_chain_t;

typedef struct {
	answer_t outcome;
	uint8_t rcode;            /*!< For the header. */
	bool authoritative;       /*!< AA: decided by the first owner, before aliases are followed. */
	bool truncated;           /*!< TC. What was written whole stays; knotd does so too. */
	int ede;                  /*!< Extended DNS Error (RFC 8914), or KNOT_EDNS_EDE_NONE. */
} answer_result_t;

/*!
 * \brief Answers \a question from \a snapshot into \a msg (header and question stand, counts are 0).
 *
 * Only msg->wire beyond msg->size, msg->size and msg->count are written; header flags and counts are the caller's.
 * \param chain  Begun anew; need not be cleared.
 * Thread: any. RCU: the snapshot is borrowed or pinned. Blocks: no.
 */
answer_result_t answer(const snapshot_t *snapshot, const question_t *question, message_t *msg, alias_chain_t *chain);

/*!
 * \brief Puts the proofs that belong to aliases which came from wildcards: for an answer that ends outside our zones.
 *
 * \param result  Of the answer, which is not truncated; gets what the proofs change: they do not fit (truncated), an extended
 *                error, or ANSWER_COLLISION, with which all else is as answer() leaves it then.
 */
void answer_prove_aliases(const question_t *question, message_t *msg, alias_chain_t *chain, answer_result_t *result);

/*! \brief Cuts a message back to its question, and takes the aliases out of the chain: their names stand there no more. */
void answer_clear(message_t *msg, alias_chain_t *chain);

/*!
 * \brief Goes on where the aliases of \a chain have led to, the apex of \a snapshot or below: the rest of one answer.
 *
 * \param msg  Ends at chain->end.
 * \return As answer(), of this zone: response code and denial are those of the last one (RFC 6604, section 3).
 */
answer_result_t answer_continue(const snapshot_t *snapshot, const question_t *question, message_t *msg,
                                alias_chain_t *chain);
