/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What becomes of an alias that leads out of all our zones (foreign.h).
 */
#include "secondary/foreign.h"

#include <libknot/consts.h>
#include <libknot/descriptor.h>
#include <libknot/errcode.h>

/*!
 * Types below these are data; the others ask for something else (RFC 6895, section 3.1), or are no question at all. CNAME, RRSIG and
 * NSEC are what an alias has itself.
 */
static bool is_chased(uint16_t qtype)
{
	switch (qtype) {
	case 0:
	case KNOT_RRTYPE_OPT:
	case KNOT_RRTYPE_CNAME:
	case KNOT_RRTYPE_RRSIG:
	case KNOT_RRTYPE_NSEC:
		return false;
	}
	return qtype < 128 || qtype > 255;
}

/*! Was the last target made by a DNAME? */
static bool is_made(const alias_chain_t *chain)
{
	const alias_step_t *last = &chain->step[chain->steps - 1];
	rrset_t cname;
	return !rrset_find(last->snapshot->names.base, last->ref, KNOT_RRTYPE_CNAME, &cname);
}

bool foreign_is_followed(const foreign_t *foreign, const question_t *question, const alias_chain_t *chain)
{
	return foreign->upstream != NULL && is_chased(question->qtype) && (foreign->dname || !is_made(chain));
}

/*! Takes back what stands after the last alias: proofs, which come again. */
static void rewind_message(const alias_chain_t *chain, message_t *msg)
{
	msg->size = chain->end;
	msg->count[SECTION_AUTHORITY] = 0;
	msg->count[SECTION_ADDITIONAL] = 0;
}

/*! Nothing of an answer that does not fit is of use. */
static void truncate_answer(message_t *msg, alias_chain_t *chain, answer_result_t *result)
{
	answer_clear(msg, chain);
	result->rcode = KNOT_RCODE_NOERROR;
	result->truncated = true;
}

/*! Was the name at \a pos the owner of one of our aliases in this answer? */
static bool is_followed(const alias_chain_t *chain, const message_t *msg, uint16_t pos)
{
	for (unsigned i = 0; i < chain->steps; i++) {
		if (section_same_name(msg, chain->step[i].owner, pos)) {
			return true;
		}
	}
	return false;
}

/*!
 * The target's own aliases have led to \a pos, a name in a zone of ours: the answer goes on from there. If it has been
 * there before, the aliases that led back are taken out again.
 */
static void go_home(uint16_t pos, message_t *msg, uint16_t answers_before, alias_chain_t *chain, foreign_note_t *note)
{
	if (is_followed(chain, msg, pos)) {
		*note = foreign_loop();
		msg->size = chain->end;
		msg->count[SECTION_ANSWER] = answers_before;
		return;
	}
	place_t place;
	chain->len = section_read_name(msg, pos, chain->name, &place);
	chain->pos = place.pos;
	chain->end = msg->size;
	note->goes_home = true;
}

/*! Puts the reply, then the proofs of our aliases, unless the answer goes on. No room: truncated, and in no good order. */
static void put_reply(const upstream_view_t *view, const question_t *question, message_t *msg, alias_chain_t *chain,
                      answer_result_t *result, foreign_note_t *note)
{
	const uint16_t answers_before = msg->count[SECTION_ANSWER];
	uint16_t home;
	rewind_message(chain, msg);
	if (reply_put(view->reply, msg, chain->pos, chain->len, question->dnssec, view->age,
	              view->is_stale ? REPLY_STALE_TTL : PUT_TTL_KEEP, &home) != KNOT_EOK) {
		result->truncated = true;
		return;
	}
	/* Whatever of ours stood behind the aliases, a referral that did not fit as well, has been replaced. */
	result->outcome = ANSWER_ALIAS;
	result->rcode = reply_rcode(view->reply);
	result->truncated = false;
	result->ede = KNOT_EDNS_EDE_NONE;
	if (view->reply->kind == REPLY_HOME) {
		go_home(home, msg, answers_before, chain, note);
	}
	if (!note->goes_home) {
		answer_prove_aliases(question, msg, chain, result);
	}
}

foreign_note_t foreign_loop(void)
{
	return (foreign_note_t) { .ede = KNOT_EDNS_EDE_OTHER, .ede_text = "alias loop" };
}

/*! Why what there is of a target is not all. */
static void note_put(foreign_note_t *note, int ede)
{
	const char *text = "alias target does not validate"; /* codes about DNSSEC */
	switch (ede) {
	case KNOT_EDNS_EDE_NOT_READY:
		text = "alias target is being looked up";
		break;
	case KNOT_EDNS_EDE_NREACH_AUTH:
		text = "resolvers failed for the alias target";
		break;
	case KNOT_EDNS_EDE_NETWORK:
		text = "resolvers for alias targets do not answer";
		break;
	case KNOT_EDNS_EDE_STALE:
	case KNOT_EDNS_EDE_STALE_NXD:
		text = "alias target is beyond its TTL";
		break;
	}
	note->ede = ede;
	note->ede_text = text;
}

void foreign_prove(const question_t *question, message_t *msg, alias_chain_t *chain, answer_result_t *result)
{
	if (result->truncated || result->outcome == ANSWER_COLLISION || msg->count[SECTION_AUTHORITY] > 0) {
		return;
	}
	answer_prove_aliases(question, msg, chain, result);
	if (result->truncated) {
		truncate_answer(msg, chain, result);
	}
}

hold_t foreign_hold(const foreign_t *foreign, bool tcp)
{
	return (hold_t) { .ms = foreign->hold_ms, .workers = foreign->workers[tcp], .protocol = tcp };
}

void foreign_follow(const foreign_t *foreign, const question_t *question, hold_t *hold, message_t *msg, alias_chain_t *chain,
                    answer_result_t *result, foreign_note_t *ret_note)
{
	upstream_view_t view;
	upstream_look_up(foreign->upstream, chain->name, chain->len, question->qtype, hold, &view);

	*ret_note = (foreign_note_t) { .ede = KNOT_EDNS_EDE_NONE };
	if (view.reply == NULL) {
		note_put(ret_note, view.ede);
		return;
	}
	if (view.reply->kind == REPLY_LOOP) {
		*ret_note = foreign_loop();
		return;
	}
	if (view.reply->kind == REPLY_NOTHING) {
		return;
	}
	put_reply(&view, question, msg, chain, result, ret_note);
	if (result->truncated) {
		truncate_answer(msg, chain, result);
		return;
	}
	if (view.is_stale && result->outcome == ANSWER_ALIAS && ret_note->ede == KNOT_EDNS_EDE_NONE) {
		note_put(ret_note, view.reply->kind == REPLY_NXDOMAIN ? KNOT_EDNS_EDE_STALE_NXD : KNOT_EDNS_EDE_STALE);
	}
}
