/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief DNS over TLS to one server (dot.h).
 */
#include "secondary/dot.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

/*!
 * How often a question is put to a new connection: once because the one before was being closed when it was asked, once for a server that
 * closes after each answer. A question that makes the server close costs two connections more than one.
 */
#define AGAIN_MAX 2
/*! Between two looks at time limits. */
#define TICK_MS        250
/*! A response with its length. */
#define MESSAGE_BUFFER (2 + UINT16_MAX)
/*! RFC 7830. */
#define OPTION_PADDING 12
/*! Where the length of OPT's options stands, from its end. */
#define OPT_LENGTH     2

/*! One connection. Its client lets go of it when it ends; it is freed when the loop has closed its timer. */
typedef struct {
	dot_client_t *client;     /*!< NULL: it has ended. */
	tls_stream_t *stream;
	uv_timer_t tick;
	bool open;
	bool worked;              /*!< An answer has come over it. */
	bool broken;              /*!< It did not take a question: ends at the next tick. */
	uint64_t began_ms;
	uint64_t heard_ms;        /*!< When some of a message came last; what TLS has to say does not count. */
	uint64_t used_ms;         /*!< When a question was under way last. */
	size_t have;              /*!< Octets in \a message. */
	uint8_t message[MESSAGE_BUFFER];
} connection_t;

struct dot_question {
	dot_question_t *prev, *next;
	dot_client_t *client;
	dot_done_f done;
	void *ctx;
	uint64_t deadline_ms;
	uint64_t sent_ms;
	bool sent;
	unsigned again;           /*!< How often it was sent before, over other connections. */
	bool failed;              /*!< It is in the list of those. */
	size_t question_len;      /*!< Octets of the question section. */
	size_t len;
	uint8_t framed[2 + DOT_QUERY_MAX + DOT_PADDING + 4]; /*!< With the length before it. */
};

struct dot_client {
	uv_loop_t *loop;
	struct sockaddr_storage remote;
	char *name;
	tls_trust_t *trust;
	dot_trouble_f trouble;
	void *trouble_ctx;
	bool complained;          /*!< Of a handshake, since one succeeded. */
	connection_t *connection; /*!< NULL: none. */
	dot_question_t *first, *last;
	dot_question_t *failed;   /*!< Those whose done() comes at once. */
};

/* -- questions -------------------------------------------------------------------------------------------------------- */

static void question_link(dot_client_t *client, dot_question_t *question)
{
	question->next = NULL;
	question->prev = client->last;
	*(client->last != NULL ? &client->last->next : &client->first) = question;
	client->last = question;
}

static void question_unlink(dot_question_t *question)
{
	dot_client_t *client = question->client;
	dot_question_t **first = question->failed ? &client->failed : &client->first;
	*(question->prev != NULL ? &question->prev->next : first) = question->next;
	if (question->next != NULL) {
		question->next->prev = question->prev;
	} else if (!question->failed) {
		client->last = question->prev;
	}
}

/*! Ends it before done(), which may ask again. */
static void question_end(dot_question_t *question, int ret, const uint8_t *wire, size_t size)
{
	const dot_done_f done = question->done;
	void *ctx = question->ctx;
	question_unlink(question);
	free(question);
	done(ctx, ret, wire, size);
}

static uint8_t *wire_of(dot_question_t *question)
{
	return question->framed + 2;
}

static bool is_id_taken(const dot_client_t *client, uint16_t id)
{
	for (dot_question_t *each = client->first; each != NULL; each = each->next) {
		if (each->sent && knot_wire_get_id(wire_of(each)) == id) {
			return true;
		}
	}
	return false;
}

/*! Nobody but the server can answer, so ids are no secret: they tell questions apart. */
static void set_id(dot_question_t *question)
{
	uint16_t id = 0;
	do {
		if (gnutls_rnd(GNUTLS_RND_NONCE, &id, sizeof(id)) != GNUTLS_E_SUCCESS) {
			id++;
		}
	} while (is_id_taken(question->client, id));
	knot_wire_set_id(wire_of(question), id);
}

/*! Puts an option into the OPT record at the end that makes the length a multiple of DOT_PADDING (RFC 8467, section 4.1). */
static void pad(dot_question_t *question)
{
	uint8_t *option = wire_of(question) + question->len;
	const size_t padded = (question->len + 4 + DOT_PADDING - 1) / DOT_PADDING * DOT_PADDING;
	const size_t padding = padded - question->len - 4;
	assert(knot_wire_read_u16(option - OPT_LENGTH) == 0);
	knot_wire_write_u16(option - OPT_LENGTH, 4 + padding);
	knot_wire_write_u16(option, OPTION_PADDING);
	knot_wire_write_u16(option + 2, padding);
	memset(option + 4, 0, padding);
	question->len = padded;
	knot_wire_write_u16(question->framed, padded);
}

/*! Is it the question that was asked? Letters may have changed their case. */
static bool is_same_question(const uint8_t *wire, size_t size, dot_question_t *question)
{
	if (size < KNOT_WIRE_HEADER_SIZE + question->question_len) {
		return false;
	}
	const uint8_t *asked = wire_of(question) + KNOT_WIRE_HEADER_SIZE;
	for (size_t i = 0; i < question->question_len; i++) {
		const uint8_t a = wire[KNOT_WIRE_HEADER_SIZE + i], b = asked[i];
		const bool is_letter = (a | 0x20) >= 'a' && (a | 0x20) <= 'z' && i < question->question_len - 4;
		if (a != b && !((a ^ b) == 0x20 && is_letter)) {
			return false;
		}
	}
	return true;
}

/*! The question that a message answers; NULL: none, as that of one that was cancelled. */
static dot_question_t *find_asked(const dot_client_t *client, const uint8_t *wire, size_t size)
{
	if (size < KNOT_WIRE_HEADER_SIZE || !knot_wire_get_qr(wire) || knot_wire_get_qdcount(wire) != 1) {
		return NULL;
	}
	for (dot_question_t *each = client->first; each != NULL; each = each->next) {
		if (each->sent && knot_wire_get_id(wire_of(each)) == knot_wire_get_id(wire)) {
			return is_same_question(wire, size, each) ? each : NULL;
		}
	}
	return NULL;
}

/* -- a connection's life ---------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

/*! The client has no connection any more. */
static void connection_close(connection_t *connection)
{
	connection->client->connection = NULL;
	connection->client = NULL;
	tls_stream_close(connection->stream);
	uv_close((uv_handle_t *)&connection->tick, on_closed);
}

static int connection_open(dot_client_t *client);

/*! Puts the question into the list of those that have failed. */
static void question_fail(dot_question_t *question)
{
	dot_client_t *client = question->client;
	question_unlink(question);
	question->failed = true;
	question->prev = NULL;
	question->next = client->failed;
	if (question->next != NULL) {
		question->next->prev = question;
	}
	client->failed = question;
}

/*! One's done() may cancel others. */
static void call_failed(const dot_client_t *client)
{
	while (client->failed != NULL) {
		question_end(client->failed, KNOT_ECONN, NULL, 0);
	}
}

/*! It is of no use any more. Questions that it had go to another one, if it has worked and they were not there already, or fail. */
static void connection_end(connection_t *connection)
{
	dot_client_t *client = connection->client;
	const uint64_t now = uv_now(client->loop);
	connection_close(connection);
	for (dot_question_t *each = client->first, *next; each != NULL; each = next) {
		next = each->next;
		if (connection->worked && each->again < AGAIN_MAX && each->deadline_ms > now) {
			each->again += each->sent;
			each->sent = false;
		} else {
			question_fail(each);
		}
	}
	if (client->first != NULL && connection_open(client) != KNOT_EOK) {
		while (client->first != NULL) {
			question_fail(client->first);
		}
	}
	call_failed(client);
}

static bool question_send(connection_t *connection, dot_question_t *question)
{
	set_id(question);
	question->sent = true;
	question->sent_ms = connection->used_ms = uv_now(connection->client->loop);
	return tls_stream_send(connection->stream, question->framed, 2 + question->len);
}

/*! The server is who it should be: what waits for that is sent. */
static void on_open(void *ctx)
{
	connection_t *connection = ctx;
	connection->open = true;
	connection->client->complained = false;
	for (dot_question_t *each = connection->client->first; each != NULL; each = each->next) {
		if (!question_send(connection, each)) {
			connection_end(connection);
			return;
		}
	}
}

static void on_end(void *ctx, const char *why)
{
	connection_t *connection = ctx;
	dot_client_t *client = connection->client;
	if (why != NULL && !client->complained) {
		client->complained = true;
		if (client->trouble != NULL) {
			client->trouble(client->trouble_ctx, &client->remote, why);
		}
	}
	connection_end(connection);
}

/* -- answers ---------------------------------------------------------------------------------------------------------- */

/*! Hands over complete responses. False: the connection has ended meanwhile. */
static bool take_messages(connection_t *connection)
{
	size_t pos = 0;
	while (connection->have - pos >= 2) {
		const uint8_t *wire = connection->message + pos + 2;
		const size_t size = knot_wire_read_u16(wire - 2);
		if (connection->have - pos - 2 < size) {
			break;
		}
		dot_question_t *question = find_asked(connection->client, wire, size);
		if (question != NULL) {
			connection->worked = true;
			question_end(question, KNOT_EOK, wire, size);
			if (connection->client == NULL) {
				return false;
			}
		}
		pos += 2 + size;
	}
	connection->have -= pos;
	memmove(connection->message, connection->message + pos, connection->have);
	return true;
}

static void on_octets(void *ctx, const uint8_t *octets, size_t len)
{
	connection_t *connection = ctx;
	connection->heard_ms = uv_now(connection->client->loop);
	while (len > 0) {
		/* There is always some room: what fills the buffer is a whole message. */
		const size_t room = MESSAGE_BUFFER - connection->have;
		const size_t part = len < room ? len : room;
		memcpy(connection->message + connection->have, octets, part);
		connection->have += part;
		octets += part;
		len -= part;
		if (!take_messages(connection)) {
			return;
		}
	}
}

/* -- time limits ------------------------------------------------------------------------------------------------------ */

/*! A question's time is over. False: with it the connection has ended. */
static bool expire(connection_t *connection, dot_question_t *question)
{
	if (connection->open && question->sent && connection->heard_ms < question->sent_ms) {
		connection->worked = false; /* Others that wait in vain need not do so again. */
		connection_end(connection);
		return false;
	}
	question_end(question, connection->open ? KNOT_ETIMEOUT : KNOT_ECONN, NULL, 0);
	return connection->client != NULL;
}

/*! Some question whose time is over; NULL: none. */
static dot_question_t *find_late(const dot_client_t *client, uint64_t now)
{
	dot_question_t *each = client->first;
	while (each != NULL && each->deadline_ms > now) {
		each = each->next;
	}
	return each;
}

static void on_tick(uv_timer_t *tick)
{
	connection_t *connection = tick->data;
	dot_client_t *client = connection->client;
	const uint64_t now = uv_now(tick->loop);
	for (dot_question_t *late = find_late(client, now); late != NULL; late = find_late(client, now)) {
		if (!expire(connection, late)) {
			return;
		}
	}
	if (connection->broken || (!connection->open && now - connection->began_ms >= DOT_CONNECT_MS)) {
		connection_end(connection);
	} else if (client->first != NULL) {
		connection->used_ms = now;
	} else if (connection->open && now - connection->used_ms >= DOT_IDLE_MS) {
		connection_close(connection);
	}
}

static int connection_open(dot_client_t *client)
{
	static const tls_stream_callbacks_t callbacks = { .open = on_open, .octets = on_octets, .end = on_end };
	const tls_stream_params_t params = { .remote = &client->remote, .name = client->name, .trust = client->trust };
	connection_t *connection = calloc(1, sizeof(*connection));
	if (connection == NULL) {
		return KNOT_ENOMEM;
	}
	int ret = tls_stream_open(client->loop, &params, &callbacks, connection, &connection->stream);
	if (ret != KNOT_EOK) {
		free(connection);
		return ret;
	}
	connection->client = client;
	connection->began_ms = connection->used_ms = uv_now(client->loop);
	connection->tick.data = connection;
	uv_timer_init(client->loop, &connection->tick);
	uv_timer_start(&connection->tick, on_tick, TICK_MS, TICK_MS);
	client->connection = connection;
	return KNOT_EOK;
}

/* -- clients ---------------------------------------------------------------------------------------------------------- */

int dot_client_new(uv_loop_t *loop, const dot_params_t *params, dot_client_t **ret_client)
{
	dot_client_t *client = calloc(1, sizeof(*client));
	char *name = strdup(params->name);
	if (client == NULL || name == NULL) {
		free(client);
		free(name);
		return KNOT_ENOMEM;
	}
	client->loop = loop;
	client->remote = *params->remote;
	client->name = name;
	client->trust = params->trust;
	client->trouble = params->trouble;
	client->trouble_ctx = params->trouble_ctx;
	*ret_client = client;
	return KNOT_EOK;
}

void dot_client_free(dot_client_t *client)
{
	if (client == NULL) {
		return;
	}
	while (client->first != NULL) {
		dot_cancel(client->first);
	}
	if (client->connection != NULL) {
		connection_close(client->connection);
	}
	free(client->name);
	free(client);
}

static dot_question_t *question_new(dot_client_t *client, const uint8_t *query, size_t len, dot_done_f done, void *ctx)
{
	assert(len <= DOT_QUERY_MAX && knot_wire_get_qdcount(query) == 1 && knot_wire_get_arcount(query) == 1);
	dot_question_t *question = calloc(1, sizeof(*question));
	if (question == NULL) {
		return NULL;
	}
	question->client = client;
	question->done = done;
	question->ctx = ctx;
	question->len = len;
	question->question_len = knot_dname_size(query + KNOT_WIRE_HEADER_SIZE) + 4;
	memcpy(wire_of(question), query, len);
	pad(question);
	return question;
}

int dot_ask(dot_client_t *client, const uint8_t *query, size_t len, unsigned timeout_ms, dot_done_f done, void *ctx,
            dot_question_t **ret_question)
{
	dot_question_t *question = question_new(client, query, len, done, ctx);
	if (question == NULL) {
		return KNOT_ENOMEM;
	}
	question->deadline_ms = uv_now(client->loop) + timeout_ms;
	question_link(client, question);
	int ret = client->connection != NULL ? KNOT_EOK : connection_open(client);
	if (ret != KNOT_EOK) {
		question_unlink(question);
		free(question);
		return ret;
	}
	connection_t *connection = client->connection;
	if (connection->open && !connection->broken) {
		/* Others' done() is not for now. */
		connection->broken = !question_send(connection, question);
	}
	*ret_question = question;
	return KNOT_EOK;
}

void dot_cancel(dot_question_t *question)
{
	if (question != NULL) {
		question_unlink(question);
		free(question);
	}
}
