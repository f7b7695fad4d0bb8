/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Look-ups: who is asked for an entry of the cache, and what the answer makes of it (lookup.h).
 */
#include "secondary/lookup.h"

#include <assert.h>
#include <stdlib.h>

#include <libknot/consts.h>
#include <libknot/descriptor.h>
#include <libknot/errcode.h>
#include <libknot/packet/wire.h>

#include "secondary/directory.h"

typedef struct lookup {
	struct lookup *prev, *next;
	lookup_via_t *via;
	cache_entry_t *entry;
	resolver_question_t *question;
	uint64_t began_ms;
	bool ahead;
	bool of_self;             /*!< This server is asked. */
	bool verifies;
	bool next_only;           /*!< The next alias is asked for, as nobody could resolve the whole. */
} lookup_t;

static struct {
	uv_loop_t *loop;
	cache_t *cache;
	lookup_ended_f ended;
	lookup_t *oldest, *newest;
	unsigned ahead;           /*!< Look-ups ahead under way. */
	uint64_t looked_ms;       /*!< When lookups_expire() looked last. */
	uint64_t begun, failed;   /*!< Atomic. */
} state;

static void count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

void lookup_counters(uint64_t *ret_begun, uint64_t *ret_failed)
{
	*ret_begun = __atomic_load_n(&state.begun, __ATOMIC_RELAXED);
	*ret_failed = __atomic_load_n(&state.failed, __ATOMIC_RELAXED);
}

void lookups_begin(uv_loop_t *loop, cache_t *cache, lookup_ended_f ended)
{
	state.loop = loop;
	state.cache = cache;
	state.ended = ended;
	state.looked_ms = 0;
}

void lookups_end(void)
{
	assert(state.oldest == NULL && state.newest == NULL && state.ahead == 0);
	state.loop = NULL;
	state.cache = NULL;
}

unsigned lookups_ahead(void)
{
	return state.ahead;
}

/* -- what becomes of an entry ----------------------------------------------------------------------------------------- */

/*! When to ask for a reply anew, if it is in use then. */
static uint32_t refresh_at(const cache_entry_t *entry, const reply_t *reply, uint32_t now)
{
	uint32_t after = reply->ttl - (reply->ttl + 9) / 10;
	if (entry->wanted > 0 && after < LOOKUP_WANTED_PAUSE_S) {
		after = LOOKUP_WANTED_PAUSE_S;
	}
	return now + (after > 0 ? after : 1);
}

static void entry_succeed(const lookup_via_t *via, cache_entry_t *entry, reply_t *reply)
{
	const uint32_t now = cache_now();
	cache_succeed(state.cache, entry, reply, via->stale, now);
	cache_schedule(state.cache, entry, refresh_at(entry, reply, now));
}

static void entry_fail(cache_entry_t *entry, int ede)
{
	cache_fail(state.cache, entry, ede, cache_now());
	cache_schedule(state.cache, entry, entry->ask_at);
}

/*! Whose failures are forgotten. */
typedef struct {
	uint32_t id;
	uint32_t since;
} forgiven_t;

static void forget_pause(cache_entry_t *entry, void *ctx)
{
	const forgiven_t *forgiven = ctx;
	if (entry->upstream != forgiven->id || entry->failures == 0 || (int32_t)(entry->failed - forgiven->since) < 0) {
		return;
	}
	entry->failures = 0;
	__atomic_store_n(&entry->ask_at, cache_now(), __ATOMIC_RELAXED);
	if (entry->lookup == NULL) {
		cache_schedule(state.cache, entry, cache_now());
	}
}

void lookups_forgive(const lookup_via_t *via, uint32_t since)
{
	forgiven_t forgiven = { .id = via->id, .since = since };
	cache_walk(state.cache, forget_pause, &forgiven);
}

/* -- answers ---------------------------------------------------------------------------------------------------------- */

/*! Digests the answer; what is not usable is a failure. */
static int digest(const lookup_t *lookup, const uint8_t *wire, size_t size, reply_t **ret_reply)
{
	const cache_entry_t *entry = lookup->entry;
	const reply_params_t params = {
		.name = entry->name,
		.name_len = entry->name_len,
		.type = entry->type,
		.asked = lookup->next_only ? KNOT_RRTYPE_CNAME : entry->type,
		.ttl_min = lookup->via->ttl_min,
		.ttl_max = lookup->via->ttl_max,
		.is_home = directory_has,
	};
	int ret = reply_accept(&params, wire, size, ret_reply);
	if (ret == KNOT_EOK && lookup->next_only && (*ret_reply)->kind != REPLY_HOME) {
		reply_free(*ret_reply);
		return KNOT_EDENIED;
	}
	if (ret == KNOT_EOK && lookup->of_self && (*ret_reply)->ttl > LOOKUP_SELF_TTL) {
		(*ret_reply)->ttl = LOOKUP_SELF_TTL;
	}
	return ret;
}

static void lookup_unlink(lookup_t *lookup)
{
	*(lookup->prev != NULL ? &lookup->prev->next : &state.oldest) = lookup->next;
	*(lookup->next != NULL ? &lookup->next->prev : &state.newest) = lookup->prev;
	lookup->entry->lookup = NULL;
	lookup->via->under_way--;
	state.ahead -= lookup->ahead;
	free(lookup);
}

/*! What is wrong with the signatures, whoever found that out; or KNOT_EDNS_EDE_NONE. */
static int validation_error(int ret, const uint8_t *wire, size_t size)
{
	if (ret == KNOT_ESEMCHECK) {
		return KNOT_EDNS_EDE_BOGUS;
	}
	return wire != NULL ? reply_validation_error(wire, size) : KNOT_EDNS_EDE_NONE;
}

/*! Was a server heard? Of a failure that only may come from one (KNOT_EAGAIN) that is believed if it came at once. */
static bool is_heard(int ret, const uint8_t *wire, uint32_t took_ms)
{
	return wire != NULL && (ret != KNOT_EAGAIN || took_ms < LOOKUP_SLOW_MS);
}

/*! Without usable answer: the zone's fault, the network's, or the resolver's, who is there but does not know. */
static int failure_of(const lookup_via_t *via, int invalid, bool heard)
{
	if (invalid != KNOT_EDNS_EDE_NONE) {
		return invalid;
	}
	return heard && !via->lost ? KNOT_EDNS_EDE_NREACH_AUTH : KNOT_EDNS_EDE_NETWORK;
}

static void lookup_end(lookup_t *lookup, int ret, const uint8_t *wire, size_t size)
{
	lookup_via_t *via = lookup->via;
	cache_entry_t *entry = lookup->entry;
	reply_t *reply = NULL;
	const int invalid = validation_error(ret, wire, size);
	const uint32_t took_ms = uv_now(state.loop) - lookup->began_ms;
	const bool heard = is_heard(ret, wire, took_ms);
	if (ret == KNOT_EOK) {
		ret = digest(lookup, wire, size, &reply);
	} else if (ret == KNOT_ENOENT) {
		reply = reply_bare(REPLY_NOTHING, LOOKUP_SELF_TTL);
		ret = reply != NULL ? KNOT_EOK : KNOT_ENOMEM;
	}

	const lookup_end_t end = {
		.entry = entry,
		.answered = ret == KNOT_EOK,
		.verifies = lookup->verifies,
		.silent = ret != KNOT_EOK && !heard && invalid == KNOT_EDNS_EDE_NONE,
		.took_ms = took_ms,
	};
	lookup_unlink(lookup);
	if (ret == KNOT_EOK) {
		entry_succeed(via, entry, reply);
	} else {
		entry_fail(entry, failure_of(via, invalid, heard));
		count(&state.failed);
	}
	state.ended(via, &end);
}

/* -- questions -------------------------------------------------------------------------------------------------------- */

static int lookup_ask(lookup_t *lookup, resolver_t *resolver);

/*!
 * A target whose alias leads into one of our zones cannot be resolved by those who do not know that zone, nor if the two
 * make a loop; but it is for us to go on from there. So where a resolver that does answer has failed, the alias alone is asked for.
 */
static bool ask_next_alias(lookup_t *lookup, int ret, const uint8_t *wire, size_t size)
{
	const lookup_via_t *via = lookup->via;
	if (lookup->next_only || size < KNOT_WIRE_HEADER_SIZE || knot_wire_get_rcode(wire) != KNOT_RCODE_SERVFAIL ||
	    !is_heard(ret, wire, uv_now(state.loop) - lookup->began_ms) || (ret != KNOT_EOK && via->lost) ||
	    reply_validation_error(wire, size) != KNOT_EDNS_EDE_NONE) {
		return false;
	}
	lookup->next_only = true;
	return lookup_ask(lookup, lookup->of_self ? via->self : via->forwarder) == KNOT_EOK;
}

static void on_answer(void *ctx, int ret, const uint8_t *wire, size_t size)
{
	lookup_t *lookup = ctx;
	const lookup_via_t *via = lookup->via;
	lookup->question = NULL;
	if (ret == KNOT_ENOENT && via->forwarder != NULL && lookup_ask(lookup, via->forwarder) == KNOT_EOK) {
		return;
	}
	if ((ret == KNOT_EOK || ret == KNOT_EAGAIN) && ask_next_alias(lookup, ret, wire, size)) {
		return;
	}
	lookup_end(lookup, ret, wire, size);
}

static int lookup_ask(lookup_t *lookup, resolver_t *resolver)
{
	const cache_entry_t *entry = lookup->entry;
	lookup->of_self = resolver == lookup->via->self;
	const uint16_t type = lookup->next_only ? KNOT_RRTYPE_CNAME : entry->type;
	return resolver_ask(resolver, entry->name, type, on_answer, lookup, &lookup->question);
}

static lookup_t *lookup_new(lookup_via_t *via, cache_entry_t *entry, bool ahead)
{
	lookup_t *lookup = calloc(1, sizeof(*lookup));
	if (lookup == NULL) {
		return NULL;
	}
	lookup->via = via;
	lookup->entry = entry;
	lookup->ahead = ahead;
	lookup->began_ms = uv_now(state.loop);
	lookup->prev = state.newest;
	*(lookup->prev != NULL ? &lookup->prev->next : &state.oldest) = lookup;
	state.newest = lookup;
	entry->lookup = lookup;
	via->under_way++;
	state.ahead += ahead;
	return lookup;
}

static void lookup_begin(lookup_via_t *via, cache_entry_t *entry, resolver_t *resolver, bool ahead)
{
	__atomic_store_n(&entry->asked, true, __ATOMIC_RELAXED);
	count(&state.begun);
	/* Limits count from the loop's idea of now, which is old when much was done since it last looked. */
	uv_update_time(state.loop);
	lookup_t *lookup = lookup_new(via, entry, ahead);
	if (lookup != NULL && lookup_ask(lookup, resolver) == KNOT_EOK) {
		return;
	}
	if (lookup != NULL) {
		lookup_unlink(lookup);
	}
	entry_fail(entry, KNOT_EDNS_EDE_NREACH_AUTH);
}

void lookup_start(lookup_via_t *via, cache_entry_t *entry, bool ahead)
{
	if (entry->lookup != NULL) {
		return;
	}
	resolver_t *resolver = via->self != NULL ? via->self : via->forwarder;
	if (resolver == NULL || (via->lost && via->under_way >= LOOKUP_PROBES_MAX)) {
		entry_fail(entry, resolver != NULL ? KNOT_EDNS_EDE_NETWORK : KNOT_EDNS_EDE_NOT_READY);
	} else if (via->under_way >= RESOLVER_QUESTIONS_MAX) {
		__atomic_store_n(&entry->asked, false, __ATOMIC_RELEASE); /* Whoever asks next brings it again. */
		cache_schedule(state.cache, entry, cache_now() + 1);
	} else {
		lookup_begin(via, entry, resolver, ahead);
	}
}

static bool is_verified(const lookup_via_t *via)
{
	for (const lookup_t *lookup = state.oldest; lookup != NULL; lookup = lookup->next) {
		if (lookup->via == via && lookup->verifies) {
			return true;
		}
	}
	return false;
}

void lookup_verify(lookup_via_t *via, cache_entry_t *entry)
{
	if (is_verified(via)) {
		return;
	}
	lookup_start(via, entry, false);
	lookup_t *lookup = entry->lookup;
	if (lookup != NULL) {
		lookup->verifies = true;
	}
}

void lookups_restart(lookup_via_t *via)
{
	uv_update_time(state.loop);
	for (lookup_t *lookup = state.oldest, *next; lookup != NULL; lookup = next) {
		next = lookup->next;
		if (lookup->via != via || lookup->of_self) {
			continue;
		}
		resolver_cancel(lookup->question);
		lookup->question = NULL;
		if (lookup_ask(lookup, via->forwarder) != KNOT_EOK) {
			cache_entry_t *entry = lookup->entry;
			lookup_unlink(lookup);
			entry_fail(entry, KNOT_EDNS_EDE_NREACH_AUTH);
		}
	}
}

void lookups_drop(lookup_via_t *via)
{
	for (lookup_t *lookup = state.oldest, *next; lookup != NULL; lookup = next) {
		next = lookup->next;
		if (lookup->via == via) {
			cache_entry_t *entry = lookup->entry;
			resolver_cancel(lookup->question);
			lookup_unlink(lookup);
			cache_schedule(state.cache, entry, cache_now());
		}
	}
}

/*!
 * A loop that was busy for long runs its timers before it looks at its sockets, where answers may have come meanwhile. So what
 * ends was late at the last look already: since then the loop has looked at them.
 */
void lookups_expire(void)
{
	while (state.oldest != NULL && state.looked_ms >= state.oldest->began_ms + LOOKUP_TIMEOUT_MS) {
		lookup_t *lookup = state.oldest;
		resolver_cancel(lookup->question);
		lookup_end(lookup, KNOT_ETIMEOUT, NULL, 0);
	}
	state.looked_ms = uv_now(state.loop);
}
