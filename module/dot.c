/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief DNS over TLS to one server (dot.h).
 */
#include "secondary/dot.h"

#include <assert.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

/*! Between two looks at time limits. */
#define TICK_MS        250
/*! Octets of TLS that are read at once: a record at most. */
#define INPUT_SIZE     (16384 + 512)
/*! What GnuTLS has given out and the socket not taken yet, at most; more than all questions at once. */
#define OUTPUT_MAX     (256 * 1024)
/*! A response with its length. */
#define MESSAGE_BUFFER (2 + UINT16_MAX)
/*! RFC 7830. */
#define OPTION_PADDING 12
/*! Type, class, TTL and length of OPT: where the length stands, from its end. */
#define OPT_LENGTH     2

struct dot_trust {
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priority;
};

typedef enum {
	CONNECTING,
	HANDSHAKE,
	OPEN,
} phase_t;

/*! One connection. Its client lets go of it when it ends; it is freed when the loop has closed its handles. */
typedef struct {
	dot_client_t *client;     /*!< NULL: it has ended. */
	uv_tcp_t tcp;
	uv_timer_t tick;
	uv_connect_t connect;
	unsigned handles;         /*!< That are not closed yet. */
	gnutls_session_t session;
	phase_t phase;
	bool worked;              /*!< An answer has come over it. */
	bool broken;              /*!< It did not take a question: ends at the next tick. */
	uint64_t began_ms;
	uint64_t heard_ms;        /*!< When some of a message came last; what TLS has to say does not count. */
	uint64_t used_ms;         /*!< When a question was under way last. */
	size_t unwritten;         /*!< Octets that the socket has not taken yet. */
	size_t in_pos, in_len;
	size_t have;              /*!< Octets in \a message. */
	uint8_t in[INPUT_SIZE];
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
	bool again;               /*!< It was sent before, over another connection. */
	size_t question_len;      /*!< Octets of the question section. */
	size_t len;
	uint8_t framed[2 + DOT_QUERY_MAX + DOT_PADDING + 4]; /*!< With the length before it. */
};

struct dot_client {
	uv_loop_t *loop;
	struct sockaddr_storage remote;
	char *name;
	dot_trust_t *trust;
	dot_trouble_f trouble;
	void *trouble_ctx;
	bool complained;          /*!< Of a handshake, since one succeeded. */
	connection_t *connection; /*!< NULL: none. */
	dot_question_t *first, *last;
};

/*! Octets on their way to the socket. */
typedef struct {
	uv_write_t write;
	connection_t *connection;
	size_t len;
	uint8_t octets[];
} output_t;

/* -- trust ------------------------------------------------------------------------------------------------------------ */

static int read_authorities(gnutls_certificate_credentials_t credentials, const char *path)
{
	if (path == NULL) {
		/* Without any, all servers fail, and it is said why. */
		(void)gnutls_certificate_set_x509_system_trust(credentials);
		return KNOT_EOK;
	}
	return gnutls_certificate_set_x509_trust_file(credentials, path, GNUTLS_X509_FMT_PEM) > 0 ? KNOT_EOK : KNOT_ENOENT;
}

int dot_trust_new(const char *path, dot_trust_t **ret_trust)
{
	dot_trust_t *trust = calloc(1, sizeof(*trust));
	if (trust == NULL) {
		return KNOT_ENOMEM;
	}
	int ret = KNOT_ENOMEM;
	if (gnutls_certificate_allocate_credentials(&trust->credentials) == GNUTLS_E_SUCCESS &&
	    gnutls_priority_init2(&trust->priority, "-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", NULL,
	                          GNUTLS_PRIORITY_INIT_DEF_APPEND) == GNUTLS_E_SUCCESS) {
		ret = read_authorities(trust->credentials, path);
	}
	if (ret != KNOT_EOK) {
		dot_trust_free(trust);
		return ret;
	}
	*ret_trust = trust;
	return KNOT_EOK;
}

void dot_trust_free(dot_trust_t *trust)
{
	if (trust == NULL) {
		return;
	}
	if (trust->priority != NULL) {
		gnutls_priority_deinit(trust->priority);
	}
	if (trust->credentials != NULL) {
		gnutls_certificate_free_credentials(trust->credentials);
	}
	free(trust);
}

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
	*(question->prev != NULL ? &question->prev->next : &client->first) = question->next;
	*(question->next != NULL ? &question->next->prev : &client->last) = question->prev;
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
	uint16_t id;
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

/* -- the socket ------------------------------------------------------------------------------------------------------- */

static void connection_end(connection_t *connection);

static void on_written(uv_write_t *write, int status)
{
	output_t *output = write->data;
	connection_t *connection = output->connection;
	connection->unwritten -= output->len;
	free(output);
	if (status != 0 && connection->client != NULL) {
		connection_end(connection);
	}
}

/*! GnuTLS has octets for the socket. What does not go at once is kept until it does. */
static ssize_t push(gnutls_transport_ptr_t ctx, const void *octets, size_t len)
{
	connection_t *connection = ctx;
	uv_stream_t *stream = (uv_stream_t *)&connection->tcp;
	uv_buf_t buf = uv_buf_init((char *)octets, len);
	const int taken = connection->unwritten == 0 ? uv_try_write(stream, &buf, 1) : 0;
	const size_t done = taken > 0 ? taken : 0;
	if (done == len) {
		return len;
	}
	output_t *output = connection->unwritten + len <= OUTPUT_MAX ? malloc(sizeof(*output) + len - done) : NULL;
	if (output == NULL || (taken < 0 && taken != UV_EAGAIN)) {
		free(output);
		gnutls_transport_set_errno(connection->session, ECONNRESET);
		return -1;
	}
	output->write.data = output;
	output->connection = connection;
	output->len = len - done;
	memcpy(output->octets, (const uint8_t *)octets + done, output->len);
	buf = uv_buf_init((char *)output->octets, output->len);
	if (uv_write(&output->write, stream, &buf, 1, on_written) != 0) {
		free(output);
		gnutls_transport_set_errno(connection->session, ECONNRESET);
		return -1;
	}
	connection->unwritten += output->len;
	return len;
}

/*! GnuTLS wants octets of the socket. */
static ssize_t pull(gnutls_transport_ptr_t ctx, void *dst, size_t len)
{
	connection_t *connection = ctx;
	const size_t left = connection->in_len - connection->in_pos;
	if (left == 0) {
		gnutls_transport_set_errno(connection->session, EAGAIN);
		return -1;
	}
	len = len < left ? len : left;
	memcpy(dst, connection->in + connection->in_pos, len);
	connection->in_pos += len;
	return len;
}

static void on_closed(uv_handle_t *handle)
{
	connection_t *connection = handle->data;
	if (--connection->handles == 0) {
		free(connection);
	}
}

/*! The client has no connection any more. */
static void connection_close(connection_t *connection)
{
	connection->client->connection = NULL;
	connection->client = NULL;
	gnutls_deinit(connection->session);
	uv_close((uv_handle_t *)&connection->tcp, on_closed);
	uv_close((uv_handle_t *)&connection->tick, on_closed);
}

static int connection_open(dot_client_t *client);

/*! May the question be put to another connection? */
static bool is_due_again(const connection_t *connection, const dot_question_t *question)
{
	return connection->worked && !question->again;
}

/*! It is of no use any more. Questions that it had go to another one, or fail. */
static void connection_end(connection_t *connection)
{
	dot_client_t *client = connection->client;
	const uint64_t now = uv_now(client->loop);
	dot_question_t *failed = NULL;
	connection_close(connection);
	for (dot_question_t *each = client->first, *next; each != NULL; each = next) {
		next = each->next;
		if (is_due_again(connection, each) && each->deadline_ms > now) {
			each->again = each->sent;
			each->sent = false;
		} else {
			question_unlink(each);
			each->next = failed;
			failed = each;
		}
	}
	if (client->first != NULL && connection_open(client) != KNOT_EOK) {
		while (client->first != NULL) {
			dot_question_t *each = client->first;
			question_unlink(each);
			each->next = failed;
			failed = each;
		}
	}
	while (failed != NULL) {
		dot_question_t *each = failed;
		failed = each->next;
		/* No more in the client's list: question_end() would take it out. */
		const dot_done_f done = each->done;
		void *ctx = each->ctx;
		free(each);
		done(ctx, KNOT_ECONN, NULL, 0);
	}
}

/* -- TLS -------------------------------------------------------------------------------------------------------------- */

static bool question_send(connection_t *connection, dot_question_t *question)
{
	const ssize_t len = 2 + question->len;
	set_id(question);
	question->sent = true;
	question->sent_ms = connection->used_ms = uv_now(connection->client->loop);
	return gnutls_record_send(connection->session, question->framed, len) == len;
}

/*! Sends what waits for the connection. False: it has ended. */
static bool send_waiting(connection_t *connection)
{
	for (dot_question_t *each = connection->client->first; each != NULL; each = each->next) {
		if (!question_send(connection, each)) {
			connection_end(connection);
			return false;
		}
	}
	return true;
}

/*! What is wrong with the certificate, or with TLS. */
static const char *reason_of(connection_t *connection, int ret)
{
	if (ret != GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
		return gnutls_strerror(ret);
	}
	const unsigned status = gnutls_session_get_verify_cert_status(connection->session);
	if (status & GNUTLS_CERT_EXPIRED) {
		return "certificate has expired";
	}
	if (status & GNUTLS_CERT_NOT_ACTIVATED) {
		return "certificate is not valid yet";
	}
	if (status & GNUTLS_CERT_SIGNER_NOT_FOUND) {
		return "certificate is not of a trusted authority";
	}
	if (status & GNUTLS_CERT_UNEXPECTED_OWNER) {
		return "certificate is for another name";
	}
	return "certificate is not valid";
}

static void complain(connection_t *connection, int ret)
{
	dot_client_t *client = connection->client;
	if (!client->complained && client->trouble != NULL) {
		client->trouble(client->trouble_ctx, &client->remote, reason_of(connection, ret));
	}
	client->complained = true;
}

/*! Goes on with the handshake. False: it has to wait, or the connection has ended. */
static bool shake_hands(connection_t *connection)
{
	int ret;
	do {
		ret = gnutls_handshake(connection->session);
	} while (ret < 0 && ret != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(ret));
	if (ret == GNUTLS_E_AGAIN) {
		return false;
	}
	if (ret != GNUTLS_E_SUCCESS) {
		(void)gnutls_alert_send_appropriate(connection->session, ret);
		complain(connection, ret);
		connection_end(connection);
		return false;
	}
	connection->client->complained = false;
	connection->phase = OPEN;
	return send_waiting(connection);
}

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

static void receive(connection_t *connection)
{
	for (;;) {
		const ssize_t ret = gnutls_record_recv(connection->session, connection->message + connection->have,
		                                       MESSAGE_BUFFER - connection->have);
		/* It says so of a record that has nothing for us, too, as a ticket for the next handshake. */
		if (ret == GNUTLS_E_AGAIN && connection->in_pos == connection->in_len) {
			return;
		}
		if (ret <= 0 && (ret == 0 || gnutls_error_is_fatal(ret) || ret == GNUTLS_E_REHANDSHAKE)) {
			connection_end(connection);
			return;
		}
		if (ret > 0) {
			connection->heard_ms = uv_now(connection->client->loop);
			connection->have += ret;
			if (!take_messages(connection)) {
				return;
			}
		}
	}
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	(void)suggested;
	connection_t *connection = handle->data;
	*ret = uv_buf_init((char *)connection->in, INPUT_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	(void)buf;
	connection_t *connection = stream->data;
	if (nread < 0) {
		connection_end(connection);
		return;
	}
	/* GnuTLS takes all there is each time, and keeps what is not a whole record. */
	connection->in_pos = 0;
	connection->in_len = nread;
	if (connection->phase == OPEN || shake_hands(connection)) {
		receive(connection);
	}
}

/* -- a connection's life ---------------------------------------------------------------------------------------------- */

static int session_new(connection_t *connection)
{
	const dot_client_t *client = connection->client;
	if (gnutls_init(&connection->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) != GNUTLS_E_SUCCESS) {
		return KNOT_ENOMEM;
	}
	gnutls_session_t session = connection->session;
	if (gnutls_priority_set(session, client->trust->priority) != GNUTLS_E_SUCCESS ||
	    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, client->trust->credentials) != GNUTLS_E_SUCCESS ||
	    gnutls_server_name_set(session, GNUTLS_NAME_DNS, client->name, strlen(client->name)) != GNUTLS_E_SUCCESS) {
		gnutls_deinit(session);
		return KNOT_ENOMEM;
	}
	gnutls_session_set_verify_cert(session, client->name, 0);
	gnutls_transport_set_ptr(session, connection);
	gnutls_transport_set_push_function(session, push);
	gnutls_transport_set_pull_function(session, pull);
	return KNOT_EOK;
}

/*! The server goes on without us; a connection that it must not confuse with one that was cut. */
static void connection_finish(connection_t *connection)
{
	(void)gnutls_bye(connection->session, GNUTLS_SHUT_WR);
	connection_close(connection);
}

/*! A question's time is over. False: with it the connection has ended. */
static bool expire(connection_t *connection, dot_question_t *question)
{
	if (connection->phase == OPEN && question->sent && connection->heard_ms < question->sent_ms) {
		connection->worked = false; /* Others that wait in vain need not do so again. */
		connection_end(connection);
		return false;
	}
	question_end(question, connection->phase == OPEN ? KNOT_ETIMEOUT : KNOT_ECONN, NULL, 0);
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
	if (connection->broken || (connection->phase != OPEN && now - connection->began_ms >= DOT_CONNECT_MS)) {
		connection_end(connection);
	} else if (connection->phase != OPEN) {
		return;
	} else if (client->first != NULL) {
		connection->used_ms = now;
	} else if (now - connection->used_ms >= DOT_IDLE_MS) {
		connection_finish(connection);
	}
}

static void on_connect(uv_connect_t *connect, int status)
{
	connection_t *connection = connect->data;
	if (connection->client == NULL) {
		return;
	}
	if (status != 0 || uv_read_start((uv_stream_t *)&connection->tcp, on_alloc, on_read) != 0) {
		connection_end(connection);
		return;
	}
	(void)uv_tcp_nodelay(&connection->tcp, 1);
	connection->phase = HANDSHAKE;
	(void)shake_hands(connection);
}

static int connection_open(dot_client_t *client)
{
	connection_t *connection = calloc(1, sizeof(*connection));
	if (connection == NULL) {
		return KNOT_ENOMEM;
	}
	connection->client = client;
	connection->began_ms = connection->used_ms = uv_now(client->loop);
	int ret = session_new(connection);
	if (ret == KNOT_EOK && uv_tcp_init(client->loop, &connection->tcp) != 0) {
		gnutls_deinit(connection->session);
		ret = KNOT_ENOMEM;
	}
	if (ret != KNOT_EOK) {
		free(connection);
		return ret;
	}
	uv_timer_init(client->loop, &connection->tick);
	connection->handles = 2;
	connection->tcp.data = connection->tick.data = connection->connect.data = connection;
	client->connection = connection;
	if (uv_tcp_connect(&connection->connect, &connection->tcp, (const struct sockaddr *)&client->remote, on_connect) != 0) {
		connection_close(connection);
		return KNOT_ECONN;
	}
	uv_timer_start(&connection->tick, on_tick, TICK_MS, TICK_MS);
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
		if (client->connection->phase == OPEN) {
			connection_finish(client->connection);
		} else {
			connection_close(client->connection);
		}
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
	if (connection->phase == OPEN && !connection->broken) {
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
