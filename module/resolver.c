/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Asking: a list of resolvers through libunbound, or this server itself (resolver.h).
 */
#include "secondary/resolver.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unbound.h>
#include <unistd.h>

#include <libknot/libknot.h>

#include "secondary/address.h"
#include "secondary/dot_servers.h"
#include "secondary/exchange.h"

/*! This server answers from memory, and is asked over loopback: what takes longer has been lost. */
#define SELF_TIMEOUT_MS     2000
/*! As exchange.h takes over UDP. */
#define SELF_PAYLOAD        4096
/*! A resolver that has just failed remembers why: if that does not come at once, it is not worth waiting for. */
#define REASON_TIMEOUT_MS   300

struct resolver_question {
	resolver_t *resolver;
	resolver_question_t *prev, *next;
	resolver_done_f done;
	void *ctx;
	int id;                   /*!< libunbound's. */
	bool answered;            /*!< libunbound is done with it. */
	exchange_t *exchange;     /*!< Of `self`, or for a reason. */
	dot_servers_question_t *dot; /*!< Over TLS. */
	uint8_t *answer;          /*!< Of `self`, or a failure whose reason is asked for: owned, \a answer_len octets. */
	size_t answer_len;
	bool tcp;
	size_t query_len;
	uint8_t query[KNOT_WIRE_HEADER_SIZE + KNOT_DNAME_MAXLEN + 4 + KNOT_EDNS_MIN_SIZE];
};

struct resolver {
	uv_loop_t *loop;
	resolver_question_t *first;
	struct ub_ctx *ub;        /*!< NULL: `self`, or TLS. */
	dot_servers_t *dot;       /*!< NULL: no TLS. */
	uv_poll_t poll;
	struct sockaddr_storage self;
	struct sockaddr_storage *servers; /*!< Of a forwarder. */
	unsigned server_count;
	unsigned reason_at;       /*!< The server that is asked for reasons: the next one, when it does not answer. */
};

/* -- questions -------------------------------------------------------------------------------------------------------- */

static resolver_question_t *question_new(resolver_t *resolver, resolver_done_f done, void *ctx)
{
	resolver_question_t *question = calloc(1, sizeof(*question));
	if (question == NULL) {
		return NULL;
	}
	question->resolver = resolver;
	question->done = done;
	question->ctx = ctx;
	question->next = resolver->first;
	if (question->next != NULL) {
		question->next->prev = question;
	}
	resolver->first = question;
	return question;
}

static void question_free(resolver_question_t *question)
{
	if (question->prev != NULL) {
		question->prev->next = question->next;
	} else {
		question->resolver->first = question->next;
	}
	if (question->next != NULL) {
		question->next->prev = question->prev;
	}
	free(question->answer);
	free(question);
}

/*! Ends it before done(), which may ask again. */
static void question_end(resolver_question_t *question, int ret, const uint8_t *wire, size_t size)
{
	const resolver_done_f done = question->done;
	void *ctx = question->ctx;
	uint8_t *answer = question->answer;
	question->answer = NULL;
	question_free(question);
	done(ctx, ret, wire, size);
	free(answer);
}

/* -- forwarder -------------------------------------------------------------------------------------------------------- */

/*!
 * What all contexts have in common.
 *
 * unknown-server-time-limit: a server that was not heard of yet is given up for the next after that, so that a dead one in
 * front costs the first questions a fraction of a second. infra-cache-min-rtt: a resolver answers within a millisecond what it
 * knows, and what it has to ask for later; the former is no reason to send the latter questions again and again.
 * infra-host-ttl: what is remembered of a server is forgotten after a minute, so that one that was down is used again.
 */
static const char COMMON[] =
	"server:\n"
	" do-not-query-localhost: no\n"
	" unblock-lan-zones: yes\n"
	" insecure-lan-zones: yes\n"
	" use-caps-for-id: yes\n"
	" qname-minimisation: no\n"
	" minimal-responses: yes\n"
	" edns-buffer-size: 1232\n"
	" unknown-server-time-limit: 300\n"
	" infra-cache-min-rtt: 300\n"
	" infra-host-ttl: 60\n"
	" infra-keep-probing: yes\n"
	" outbound-msg-retry: 3\n"
	" num-threads: 1\n"
	" num-queries-per-thread: 512\n"
	" outgoing-range: 512\n"
	" outgoing-num-tcp: 32\n"
	" msg-cache-size: 64k\n"
	" rrset-cache-size: 64k\n"
	" key-cache-size: 64k\n"
	" infra-cache-numhosts: 200\n";

/*! Names that libunbound answers by itself, beside those that unblock-lan-zones frees (RFC 6761 and others). */
static const char *const special[] = {
	"localhost.", "127.in-addr.arpa.", "home.arpa.", "onion.", "test.", "invalid.", "resolver.arpa.", "service.arpa.",
	"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.",
};

static void config_write(FILE *file, const resolver_params_t *params)
{
	fputs(COMMON, file);
	fprintf(file, " module-config: \"%siterator\"\n", params->trust_anchor != NULL ? "validator " : "");
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		fprintf(file, " local-zone: \"%s\" nodefault\n", special[i]);
	}
	fputs("forward-zone:\n name: \".\"\n forward-no-cache: yes\n", file);
	for (unsigned i = 0; i < params->count; i++) {
		char text[ADDRESS_TEXT_MAX];
		fprintf(file, " forward-addr: \"%s\"\n", address_text(&params->servers[i], text));
	}
}

/*! libunbound reads most of this from a file only; one in memory has no name that others could use. */
static int config_load(struct ub_ctx *ub, const resolver_params_t *params)
{
	int fd = memfd_create("mod-secondary", MFD_CLOEXEC);
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (file == NULL) {
		if (fd >= 0) {
			close(fd);
		}
		return KNOT_ENOMEM;
	}
	config_write(file, params);
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	const bool loaded = fflush(file) == 0 && ub_ctx_config(ub, path) == 0;
	fclose(file);
	return loaded ? KNOT_EOK : KNOT_ERROR;
}

/*! libunbound reads the file when it begins, and until then does not tell whether it can: taking out a name is to begin. */
static int add_trust_anchor(struct ub_ctx *ub, const char *path)
{
	return ub_ctx_add_ta_file(ub, path) == 0 && ub_ctx_zone_remove(ub, "invalid.") == 0 ? KNOT_EOK : KNOT_ERROR;
}

static int context_new(const resolver_params_t *params, struct ub_ctx **ret_ub)
{
	struct ub_ctx *ub = ub_ctx_create();
	if (ub == NULL) {
		return KNOT_ENOMEM;
	}
	(void)ub_ctx_debugout(ub, NULL); /* It would write into whatever stderr is. */
	int ret = config_load(ub, params);
	if (ret == KNOT_EOK && ub_ctx_async(ub, 1) != 0) {
		ret = KNOT_ERROR;
	}
	if (ret == KNOT_EOK && params->trust_anchor != NULL) {
		ret = add_trust_anchor(ub, params->trust_anchor);
	}
	if (ret == KNOT_EOK && ub_fd(ub) < 0) {
		ret = KNOT_ERROR;
	}
	if (ret != KNOT_EOK) {
		ub_ctx_delete(ub);
		return ret;
	}
	*ret_ub = ub;
	return KNOT_EOK;
}

static bool ask_reason(resolver_question_t *question, const struct ub_result *result);

static bool is_failure(const struct ub_result *result)
{
	return result->answer_len >= KNOT_WIRE_HEADER_SIZE && knot_wire_get_rcode(result->answer_packet) == KNOT_RCODE_SERVFAIL;
}

static void on_answer(void *ctx, int error, struct ub_result *result)
{
	resolver_question_t *question = ctx;
	if (error != 0 || result == NULL || result->answer_packet == NULL) {
		question_end(question, KNOT_ETIMEOUT, NULL, 0);
	} else if (result->bogus) {
		question_end(question, KNOT_ESEMCHECK, NULL, 0);
	} else if (!is_failure(result)) {
		question_end(question, KNOT_EOK, result->answer_packet, result->answer_len);
	} else if (!ask_reason(question, result)) {
		question_end(question, KNOT_EAGAIN, result->answer_packet, result->answer_len);
	}
	ub_resolve_free(result);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)events;
	resolver_t *resolver = poll->data;
	if (status == 0) {
		(void)ub_process(resolver->ub);
	}
}

static void resolver_destroy(resolver_t *resolver)
{
	free(resolver->servers);
	free(resolver);
}

static int servers_keep(resolver_t *resolver, const resolver_params_t *params)
{
	const size_t size = params->count * sizeof(params->servers[0]);
	resolver->servers = malloc(size);
	if (resolver->servers == NULL) {
		return KNOT_ENOMEM;
	}
	memcpy(resolver->servers, params->servers, size);
	resolver->server_count = params->count;
	return KNOT_EOK;
}

static void on_closed(uv_handle_t *handle)
{
	resolver_t *resolver = handle->data;
	ub_ctx_delete(resolver->ub);
	resolver_destroy(resolver);
}

static int begin_plain(resolver_t *resolver, const resolver_params_t *params)
{
	int ret = servers_keep(resolver, params);
	if (ret == KNOT_EOK) {
		ret = context_new(params, &resolver->ub);
	}
	if (ret == KNOT_EOK && uv_poll_init(resolver->loop, &resolver->poll, ub_fd(resolver->ub)) != 0) {
		ub_ctx_delete(resolver->ub);
		ret = KNOT_ERROR;
	}
	if (ret == KNOT_EOK) {
		resolver->poll.data = resolver;
		uv_poll_start(&resolver->poll, UV_READABLE, on_readable);
	}
	return ret;
}

static int begin_tls(resolver_t *resolver, const resolver_params_t *params)
{
	const dot_servers_params_t tls = {
		.servers = params->servers,
		.count = params->count,
		.name = params->tls_name,
		.ca_file = params->tls_ca_file,
		.trouble = params->trouble,
		.trouble_ctx = params->trouble_ctx,
	};
	return dot_servers_new(resolver->loop, &tls, &resolver->dot);
}

int resolver_new_forwarder(uv_loop_t *loop, const resolver_params_t *params, resolver_t **ret_resolver)
{
	assert(params->count > 0);
	resolver_t *resolver = calloc(1, sizeof(*resolver));
	if (resolver == NULL) {
		return KNOT_ENOMEM;
	}
	resolver->loop = loop;
	int ret = params->tls_name != NULL ? begin_tls(resolver, params) : begin_plain(resolver, params);
	if (ret != KNOT_EOK) {
		resolver_destroy(resolver);
		return ret;
	}
	*ret_resolver = resolver;
	return KNOT_EOK;
}

static int ask_forwarder(resolver_question_t *question, const uint8_t *name, uint16_t type)
{
	knot_dname_txt_storage_t text;
	if (knot_dname_to_str(text, name, sizeof(text)) == NULL) {
		return KNOT_EINVAL;
	}
	return ub_resolve_async(question->resolver->ub, text, type, KNOT_CLASS_IN, question, on_answer, &question->id) == 0
	       ? KNOT_EOK : KNOT_ERROR;
}

/*! Has a line of the file a record that can be an anchor? libunbound takes a file without one for none. */
static bool has_anchor(FILE *file)
{
	char line[4096];
	while (fgets(line, sizeof(line), file) != NULL) {
		char *rest = line;
		for (char *word = strtok_r(line, " \t\r\n", &rest); word != NULL && word[0] != ';';
		     word = strtok_r(NULL, " \t\r\n", &rest)) {
			if (strcasecmp(word, "DS") == 0 || strcasecmp(word, "DNSKEY") == 0) {
				return true;
			}
		}
	}
	return false;
}

int resolver_check_trust_anchor(const char *path)
{
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		return knot_map_errno_code(errno);
	}
	const bool found = has_anchor(file);
	fclose(file);
	if (!found) {
		return KNOT_ENOENT;
	}
	struct ub_ctx *ub = ub_ctx_create();
	if (ub == NULL) {
		return KNOT_ENOMEM;
	}
	(void)ub_ctx_debugout(ub, NULL);
	int ret = add_trust_anchor(ub, path) == KNOT_EOK ? KNOT_EOK : KNOT_EMALF;
	ub_ctx_delete(ub);
	return ret;
}

/* -- answers that are kept -------------------------------------------------------------------------------------------- */

/*! Without memory for it there is none. */
static void answer_keep(resolver_question_t *question, const uint8_t *wire, size_t len)
{
	free(question->answer);
	question->answer = malloc(len);
	question->answer_len = 0;
	if (question->answer != NULL) {
		memcpy(question->answer, wire, len);
		question->answer_len = len;
	}
}

/*! With DO, as signatures are kept too. */
static void write_query(resolver_question_t *question, const uint8_t *name, uint16_t type, bool recursion)
{
	uint8_t *wire = question->query;
	const size_t name_len = knot_dname_size(name);
	if (recursion) {
		knot_wire_set_rd(wire);
	}
	knot_wire_set_qdcount(wire, 1);
	knot_wire_set_arcount(wire, 1);
	wire += KNOT_WIRE_HEADER_SIZE;
	memcpy(wire, name, name_len);
	wire += name_len;
	knot_wire_write_u16(wire, type);
	knot_wire_write_u16(wire + 2, KNOT_CLASS_IN);
	wire += 4;
	wire[0] = 0;
	knot_wire_write_u16(wire + 1, KNOT_RRTYPE_OPT);
	knot_wire_write_u16(wire + 3, SELF_PAYLOAD);
	knot_wire_write_u32(wire + 5, KNOT_EDNS_DO_MASK);
	knot_wire_write_u16(wire + 9, 0);
	question->query_len = wire + KNOT_EDNS_MIN_SIZE - question->query;
}

/* -- reasons ---------------------------------------------------------------------------------------------------------- */

static exchange_next_t reason_message(void *ctx, const uint8_t *msg, size_t len)
{
	if (knot_wire_get_rcode(msg) == KNOT_RCODE_SERVFAIL) {
		answer_keep(ctx, msg, len);
	}
	return EXCHANGE_ENOUGH;
}

static void reason_done(void *ctx, int ret)
{
	resolver_question_t *question = ctx;
	question->exchange = NULL;
	if (ret != KNOT_EOK) {
		question->resolver->reason_at++;
		ret = KNOT_EAGAIN;
	}
	question_end(question, question->answer_len > 0 ? ret : KNOT_ENOMEM, question->answer, question->answer_len);
}

/*! Asks a server why it failed, while the failure waits. False: it cannot be asked. */
static bool ask_reason(resolver_question_t *question, const struct ub_result *result)
{
	static const exchange_callbacks_t callbacks = { .message = reason_message, .done = reason_done };
	resolver_t *resolver = question->resolver;
	answer_keep(question, result->answer_packet, result->answer_len);
	const exchange_params_t params = {
		.remote = resolver->servers[resolver->reason_at % resolver->server_count],
		.query = question->query,
		.query_len = question->query_len,
		.timeout_ms = REASON_TIMEOUT_MS,
		.idle_timeout_ms = REASON_TIMEOUT_MS,
	};
	question->answered = true;
	return exchange_start(resolver->loop, &params, &callbacks, question, &question->exchange) == KNOT_EOK;
}

/* -- self ------------------------------------------------------------------------------------------------------------- */

static int send_self(resolver_question_t *question);

static exchange_next_t self_message(void *ctx, const uint8_t *msg, size_t len)
{
	answer_keep(ctx, msg, len);
	return EXCHANGE_ENOUGH;
}

static void self_done(void *ctx, int ret)
{
	resolver_question_t *question = ctx;
	question->exchange = NULL;
	if (ret == KNOT_EOK && question->answer_len < KNOT_WIRE_HEADER_SIZE) {
		ret = KNOT_ENOMEM;
	}
	const uint8_t *wire = question->answer;
	if (ret == KNOT_EOK && knot_wire_get_tc(wire) && !question->tcp) {
		question->tcp = true;
		ret = send_self(question);
		if (ret == KNOT_EOK) {
			return;
		}
	}
	if (ret == KNOT_EOK && (!knot_wire_get_aa(wire) || knot_wire_get_rcode(wire) == KNOT_RCODE_REFUSED)) {
		ret = KNOT_ENOENT;
	}
	question_end(question, ret, wire, question->answer_len);
}

static int send_self(resolver_question_t *question)
{
	static const exchange_callbacks_t callbacks = { .message = self_message, .done = self_done };
	const exchange_params_t params = {
		.remote = question->resolver->self,
		.tcp = question->tcp,
		.query = question->query,
		.query_len = question->query_len,
		.timeout_ms = SELF_TIMEOUT_MS,
		.idle_timeout_ms = SELF_TIMEOUT_MS,
	};
	return exchange_start(question->resolver->loop, &params, &callbacks, question, &question->exchange);
}

int resolver_new_self(uv_loop_t *loop, const struct sockaddr_storage *address, resolver_t **ret_resolver)
{
	resolver_t *resolver = calloc(1, sizeof(*resolver));
	if (resolver == NULL) {
		return KNOT_ENOMEM;
	}
	resolver->loop = loop;
	resolver->self = *address;
	*ret_resolver = resolver;
	return KNOT_EOK;
}

/* -- TLS -------------------------------------------------------------------------------------------------------------- */

static void dot_done(void *ctx, int ret, const uint8_t *wire, size_t size)
{
	resolver_question_t *question = ctx;
	question->dot = NULL;
	question_end(question, ret, wire, size);
}

/* -- all -------------------------------------------------------------------------------------------------------------- */

int resolver_ask(resolver_t *resolver, const uint8_t *name, uint16_t type, resolver_done_f done, void *ctx,
                 resolver_question_t **ret_question)
{
	resolver_question_t *question = question_new(resolver, done, ctx);
	if (question == NULL) {
		return KNOT_ENOMEM;
	}
	write_query(question, name, type, resolver->ub != NULL || resolver->dot != NULL);
	int ret;
	if (resolver->dot != NULL) {
		ret = dot_servers_ask(resolver->dot, question->query, question->query_len, dot_done, question, &question->dot);
	} else {
		ret = resolver->ub != NULL ? ask_forwarder(question, name, type) : send_self(question);
	}
	if (ret != KNOT_EOK) {
		question_free(question);
		return ret;
	}
	*ret_question = question;
	return KNOT_EOK;
}

void resolver_cancel(resolver_question_t *question)
{
	if (question == NULL) {
		return;
	}
	if (question->resolver->ub != NULL && !question->answered) {
		(void)ub_cancel(question->resolver->ub, question->id);
	}
	exchange_cancel(question->exchange);
	dot_servers_cancel(question->dot);
	question_free(question);
}

void resolver_free(resolver_t *resolver)
{
	if (resolver == NULL) {
		return;
	}
	while (resolver->first != NULL) {
		resolver_cancel(resolver->first);
	}
	if (resolver->ub != NULL) {
		uv_close((uv_handle_t *)&resolver->poll, on_closed);
	} else {
		dot_servers_free(resolver->dot);
		resolver_destroy(resolver);
	}
}
