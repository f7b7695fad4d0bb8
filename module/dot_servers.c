/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief DNS over TLS to a list of servers (dot_servers.h).
 */
#include "secondary/dot_servers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

typedef struct {
	dot_client_t *client;
	unsigned failures;        /*!< In a row. */
	unsigned failed;          /*!< In all. */
	uint64_t bad_until_ms;
} server_t;

struct dot_servers_question {
	dot_servers_question_t *prev, *next;
	dot_servers_t *servers;
	dot_done_f done;
	void *ctx;
	dot_question_t *question;
	uint64_t deadline_ms;
	uint64_t tried;           /*!< A bit for each server. */
	unsigned at;              /*!< The server that is asked, */
	unsigned failed;          /*!< and how often it had failed before. */
	size_t len;
	uint8_t query[DOT_QUERY_MAX];
};

struct dot_servers {
	uv_loop_t *loop;
	tls_trust_t *trust;
	dot_servers_question_t *first;
	unsigned count;
	server_t server[DOT_SERVERS_MAX];
};

/* -- health ----------------------------------------------------------------------------------------------------------- */

static bool is_bad(const dot_servers_t *servers, unsigned i)
{
	return servers->server[i].bad_until_ms > uv_now(servers->loop);
}

/*! The first one that is well, or will be soonest; DOT_SERVERS_MAX: all have been tried. */
static unsigned pick(const dot_servers_t *servers, uint64_t tried)
{
	unsigned best = DOT_SERVERS_MAX;
	for (unsigned i = 0; i < servers->count; i++) {
		if (tried & UINT64_C(1) << i) {
			continue;
		}
		if (!is_bad(servers, i)) {
			return i;
		}
		if (best == DOT_SERVERS_MAX || servers->server[i].bad_until_ms < servers->server[best].bad_until_ms) {
			best = i;
		}
	}
	return best;
}

static void note_failure(const dot_servers_t *servers, server_t *server)
{
	uint64_t pause = DOT_SERVERS_PAUSE_MIN_MS;
	for (unsigned i = 0; i < server->failures && pause < DOT_SERVERS_PAUSE_MAX_MS; i++) {
		pause *= 2;
	}
	server->failures++;
	server->failed++;
	server->bad_until_ms = uv_now(servers->loop) + (pause < DOT_SERVERS_PAUSE_MAX_MS ? pause : DOT_SERVERS_PAUSE_MAX_MS);
}

static void note_answer(server_t *server)
{
	server->failures = 0;
	server->bad_until_ms = 0;
}

/* -- questions -------------------------------------------------------------------------------------------------------- */

static void question_free(dot_servers_question_t *question)
{
	*(question->prev != NULL ? &question->prev->next : &question->servers->first) = question->next;
	if (question->next != NULL) {
		question->next->prev = question->prev;
	}
	free(question);
}

/*! Ends it before done(), which may ask again. */
static void question_end(dot_servers_question_t *question, int ret, const uint8_t *wire, size_t size)
{
	const dot_done_f done = question->done;
	void *ctx = question->ctx;
	question_free(question);
	done(ctx, ret, wire, size);
}

static void on_done(void *ctx, int ret, const uint8_t *wire, size_t size);

/*! Puts it to a server that it was not put to yet. */
static int ask_next(dot_servers_question_t *question)
{
	dot_servers_t *servers = question->servers;
	const uint64_t now = uv_now(servers->loop);
	int ret = KNOT_ECONN;
	for (unsigned at = pick(servers, question->tried); at < DOT_SERVERS_MAX && question->deadline_ms > now;
	     at = pick(servers, question->tried)) {
		question->tried |= UINT64_C(1) << at;
		question->at = at;
		question->failed = servers->server[at].failed;
		const bool last = pick(servers, question->tried) == DOT_SERVERS_MAX;
		const uint64_t left = question->deadline_ms - now;
		ret = dot_ask(servers->server[at].client, question->query, question->len,
		              last || left < DOT_SERVERS_TRY_MS ? left : DOT_SERVERS_TRY_MS, on_done, question, &question->question);
		if (ret == KNOT_EOK) {
			return KNOT_EOK;
		}
		note_failure(servers, &servers->server[at]);
	}
	return ret;
}

/*! Would another server, one that is well, perhaps say more? */
static bool is_to_be_asked_again(const dot_servers_question_t *question, const uint8_t *wire)
{
	const uint8_t rcode = knot_wire_get_rcode(wire);
	const unsigned next = pick(question->servers, question->tried);
	return (rcode == KNOT_RCODE_SERVFAIL || rcode == KNOT_RCODE_REFUSED) && next < DOT_SERVERS_MAX &&
	       !is_bad(question->servers, next);
}

static void on_done(void *ctx, int ret, const uint8_t *wire, size_t size)
{
	dot_servers_question_t *question = ctx;
	server_t *server = &question->servers->server[question->at];
	question->question = NULL;
	if (ret == KNOT_EOK) {
		note_answer(server);
	} else if (ret == KNOT_ECONN && question->failed == server->failed) {
		/* All that were under way tell of one failure: it counts once. */
		note_failure(question->servers, server);
	}
	if ((ret != KNOT_EOK || is_to_be_asked_again(question, wire)) && ask_next(question) == KNOT_EOK) {
		return;
	}
	question_end(question, ret, wire, size);
}

int dot_servers_ask(dot_servers_t *servers, const uint8_t *query, size_t len, dot_done_f done, void *ctx,
                    dot_servers_question_t **ret_question)
{
	assert(len <= DOT_QUERY_MAX);
	dot_servers_question_t *question = calloc(1, sizeof(*question));
	if (question == NULL) {
		return KNOT_ENOMEM;
	}
	question->servers = servers;
	question->done = done;
	question->ctx = ctx;
	question->deadline_ms = uv_now(servers->loop) + DOT_SERVERS_TIMEOUT_MS;
	question->len = len;
	memcpy(question->query, query, len);
	question->next = servers->first;
	if (question->next != NULL) {
		question->next->prev = question;
	}
	servers->first = question;
	int ret = ask_next(question);
	if (ret != KNOT_EOK) {
		question_free(question);
		return ret;
	}
	*ret_question = question;
	return KNOT_EOK;
}

void dot_servers_cancel(dot_servers_question_t *question)
{
	if (question != NULL) {
		dot_cancel(question->question);
		question_free(question);
	}
}

/* -- the list --------------------------------------------------------------------------------------------------------- */

static int clients_new(dot_servers_t *servers, const dot_servers_params_t *params)
{
	for (unsigned i = 0; i < params->count; i++) {
		const dot_params_t one = {
			.remote = &params->servers[i],
			.name = params->name,
			.trust = servers->trust,
			.trouble = params->trouble,
			.trouble_ctx = params->trouble_ctx,
		};
		int ret = dot_client_new(servers->loop, &one, &servers->server[i].client);
		if (ret != KNOT_EOK) {
			return ret;
		}
		servers->count++;
	}
	return KNOT_EOK;
}

int dot_servers_new(uv_loop_t *loop, const dot_servers_params_t *params, dot_servers_t **ret_servers)
{
	assert(params->count > 0 && params->count <= DOT_SERVERS_MAX);
	dot_servers_t *servers = calloc(1, sizeof(*servers));
	if (servers == NULL) {
		return KNOT_ENOMEM;
	}
	servers->loop = loop;
	int ret = tls_trust_new(params->ca_file, &servers->trust);
	if (ret == KNOT_EOK) {
		ret = clients_new(servers, params);
	}
	if (ret != KNOT_EOK) {
		dot_servers_free(servers);
		return ret;
	}
	*ret_servers = servers;
	return KNOT_EOK;
}

void dot_servers_free(dot_servers_t *servers)
{
	if (servers == NULL) {
		return;
	}
	while (servers->first != NULL) {
		dot_servers_cancel(servers->first);
	}
	for (unsigned i = 0; i < servers->count; i++) {
		dot_client_free(servers->server[i].client);
	}
	tls_trust_free(servers->trust);
	free(servers);
}
