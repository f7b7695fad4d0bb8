/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What becomes of an alias that leads out of all our zones.
 *
 * It is followed for queries with RD=1 alone: a resolver (RD=0) chases by itself, throws away what we add, and would be asked by
 * ours in turn without end. What is known of the target is put behind our aliases; what is not known is left out, with an
 * Extended DNS Error (RFC 8914) that says why, and looked up behind the query (upstream.h). AA is that of the first
 * owner, ours.
 *
 * A target below a zone cut of ours is such a one; while it is not known, the referral stands behind our aliases.
 *
 *     known       answer, or SOA of the target's zone; response code of the target (RFC 6604)
 *     stale       the same, TTL at most REPLY_STALE_TTL; EDE 3, for a name that does not exist 19
 *     not known   our aliases; EDE 14, after a failure 22 or 23, or a code about DNSSEC
 *     a loop      our aliases; EDE 0 with text
 *     no room     nothing; TC
 *
 * Thread: hooks. RCU: inside a read section. Blocks: not without a hold.
 */
#pragma once

#include "secondary/answer.h"
#include "secondary/upstream.h"

/*! Times that one answer may lead out of our zones: each costs a look-up in the cache. */
#define FOREIGN_ROUNDS_MAX 4

/*! What an instance does about targets outside our zones. Zeroed: nothing. */
typedef struct {
	upstream_t *upstream;     /*!< Held; NULL: they are not followed. */
	unsigned ahead;           /*!< Targets of a zone that are resolved ahead. */
	bool dname;               /*!< Targets that a DNAME made, too. */
	uint32_t hold_ms;         /*!< How long a query may wait, whatever it waits for (hold.h). */
	unsigned workers[2];      /*!< Threads for UDP and TCP. */
} foreign_t;

typedef struct {
	bool goes_home;           /*!< The target leads on to a name in a zone of ours: the chain's. */
	int ede;                  /*!< KNOT_EDNS_EDE_…, or KNOT_EDNS_EDE_NONE. */
	const char *ede_text;     /*!< With one. */
} foreign_note_t;

/*! \brief Is an alias that leads out of our zones followed for this query? Not for types that the alias itself has an answer for. */
bool foreign_is_followed(const foreign_t *foreign, const question_t *question, const alias_chain_t *chain);

/*! \brief How long a query may wait, in all its rounds together. \param tcp  It came over TCP (or what resembles it). */
hold_t foreign_hold(const foreign_t *foreign, bool tcp);

/*!
 * \brief Puts what is known of the chain's target, which is in none of our zones.
 *
 * Proofs of aliases that came from wildcards, which may end the message, are put anew after the reply's.
 * \param hold      Of foreign_hold(), for the whole of the answer: what is left is for further rounds.
 * \param result    As chase() left it; gets that of the whole.
 */
void foreign_follow(const foreign_t *foreign, const question_t *question, hold_t *hold, message_t *msg, alias_chain_t *chain,
                    answer_result_t *result, foreign_note_t *ret_note);

/*!
 * \brief Puts the proofs of aliases that came from wildcards, if they do not stand: for an answer that went home and ended there
 *        without having been continued. None for one that has failed.
 */
void foreign_prove(const question_t *question, message_t *msg, alias_chain_t *chain, answer_result_t *result);

/*! \brief The note for an answer whose aliases lead back through others' zones. */
foreign_note_t foreign_loop(void);
