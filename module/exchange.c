/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief One query to one remote, and what answers it.
 */
#include "secondary/exchange.h"

#include <assert.h>
#include <errno.h>
#include <libknot/consts.h>
#include <libknot/dname.h>
#include <libknot/errcode.h>
#include <libknot/packet/wire.h>
#include <libknot/rrtype/tsig.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "secondary/address.h"
#include "secondary/tsig_client.h"

/*! Octets of a stream that are read at once: a message of any length with its prefix. */
#define STREAM_BUFFER (2 + UINT16_MAX)

/*! Octets of the longest datagram that is read: queries do not ask for so much, and what is longer is passed over. */
#define DATAGRAM_BUFFER 4096

struct exchange {
	exchange_callbacks_t callbacks;
	void *ctx;
	tsig_client_t *tsig;          /*!< NULL: unsigned. */
	union {
		uv_handle_t handle;
		uv_udp_t udp;
		uv_tcp_t tcp;
	} socket;
	uv_timer_t whole;             /*!< The exchange must be over. */
	uv_timer_t pause;             /*!< UDP: the query is sent again. TCP: progress is due. */
	uv_connect_t connect;
	uv_write_t write;
	unsigned open;                /*!< Handles that are not closed yet. */
	unsigned sent;                /*!< UDP: times that the query was sent. */
	int reason;                   /*!< UDP: why the last datagram was passed over, if it was its signature. */
	uint32_t idle_timeout_ms;
	bool tcp;
	bool over;                    /*!< Done or cancelled: its handles are closing, no callback may come. */
	bool in_message;
	bool whole_last_look;         /*!< The timer was due: only what has already come counts. */
	bool pause_last_look;
	uint8_t *buffer;
	size_t buffer_size;
	size_t have;                  /*!< TCP: octets in the buffer. */
	size_t question_len;
	size_t query_len;
	uint8_t framed[];             /*!< Length prefix (TCP) and query. */
};

static const uint16_t udp_pauses_ms[] = EXCHANGE_UDP_PAUSES_MS;
#define UDP_SENDS (sizeof(udp_pauses_ms) / sizeof(udp_pauses_ms[0]))

static uint8_t *query_of(exchange_t *exchange)
{
	return exchange->framed + 2;
}

static int map_error(int status)
{
	switch (status) {
	case UV_EOF:
	case UV_EPIPE:
		return KNOT_ECONN;
	case UV_ETIMEDOUT:
		return KNOT_ETIMEOUT;
	default:
		return knot_map_errno_code(-status);
	}
}

static void exchange_free(exchange_t *exchange)
{
	tsig_client_free(exchange->tsig);
	free(exchange->buffer);
	free(exchange);
}

static void on_close(uv_handle_t *handle)
{
	exchange_t *exchange = handle->data;
	assert(exchange->open > 0);
	if (--exchange->open == 0) {
		exchange_free(exchange);
	}
}

static void close_all(exchange_t *exchange)
{
	assert(!exchange->over);
	exchange->over = true;
	/* The key is borrowed until now. */
	tsig_client_free(exchange->tsig);
	exchange->tsig = NULL;
	uv_close(&exchange->socket.handle, on_close);
	uv_close((uv_handle_t *)&exchange->whole, on_close);
	uv_close((uv_handle_t *)&exchange->pause, on_close);
}

static void finish(exchange_t *exchange, int ret)
{
	close_all(exchange);
	exchange->callbacks.done(exchange->ctx, ret);
}

static void give_up(exchange_t *exchange)
{
	finish(exchange, exchange->reason != KNOT_EOK ? exchange->reason : KNOT_ETIMEOUT);
}

/*!
 * A loop that was busy for long runs its timers before it looks at its sockets: the first time, a timer that is due lets it
 * look once more. Returns true when it has.
 */
static bool has_looked(uv_timer_t *timer, uv_timer_cb again, bool *last_look)
{
	if (*last_look) {
		return true;
	}
	*last_look = true;
	uv_timer_start(timer, again, 1, 0);
	return false;
}

static void on_whole(uv_timer_t *timer)
{
	exchange_t *exchange = timer->data;
	if (has_looked(timer, on_whole, &exchange->whole_last_look)) {
		give_up(exchange);
	}
}

static bool is_same_question(const uint8_t *msg, size_t len, const uint8_t *query, size_t question_len)
{
	if (len < KNOT_WIRE_HEADER_SIZE + question_len) {
		return false;
	}

	/* A name in the question stands in full, as there is nothing before it to point to. Length octets are no letters. */
	const uint8_t *a = msg + KNOT_WIRE_HEADER_SIZE, *b = query + KNOT_WIRE_HEADER_SIZE;
	size_t name_len = question_len - 4;
	for (size_t i = 0; i < name_len; i++) {
		uint8_t differs = a[i] ^ b[i];
		bool is_letter = (a[i] | 0x20) >= 'a' && (a[i] | 0x20) <= 'z';
		if (differs != 0 && (differs != 0x20 || !is_letter)) {
			return false;
		}
	}
	return memcmp(a + name_len, b + name_len, 4) == 0;
}

/*!
 * May the message be an answer to the query? A stream need not repeat the question (RFC 5936, section 2.2.2), nor must a
 * server that could not read the query; but it is part of what keeps forgers of datagrams out, so data does not come without.
 * The response to NOTIFY brings none: some servers send the header alone.
 */
static bool is_answer(exchange_t *exchange, const uint8_t *msg, size_t len)
{
	const uint8_t *query = query_of(exchange);
	if (len < KNOT_WIRE_HEADER_SIZE || !knot_wire_get_qr(msg) || knot_wire_get_id(msg) != knot_wire_get_id(query) ||
	    knot_wire_get_opcode(msg) != knot_wire_get_opcode(query)) {
		return false;
	}
	if (knot_wire_get_qdcount(msg) == 0) {
		return exchange->tcp || knot_wire_get_rcode(msg) != KNOT_RCODE_NOERROR ||
		       knot_wire_get_opcode(msg) == KNOT_OPCODE_NOTIFY;
	}
	return knot_wire_get_qdcount(msg) == 1 && is_same_question(msg, len, query, exchange->question_len);
}

static int check_message(exchange_t *exchange, uint8_t *msg, size_t *len)
{
	if (!is_answer(exchange, msg, *len)) {
		return KNOT_EMALF;
	}
	return exchange->tsig != NULL ? tsig_client_verify(exchange->tsig, msg, len) : KNOT_EOK;
}

/*! Hands a message to the reader, and finishes when it has enough. */
static void deliver(exchange_t *exchange, const uint8_t *msg, size_t len)
{
	exchange->in_message = true;
	exchange_next_t next = exchange->callbacks.message(exchange->ctx, msg, len);
	exchange->in_message = false;

	switch (next) {
	case EXCHANGE_MORE:
		return;
	case EXCHANGE_ENOUGH:
		finish(exchange, exchange->tsig != NULL ? tsig_client_finish(exchange->tsig) : KNOT_EOK);
		return;
	}
}

/*! Hands out what is free of the buffer: messages are read to where they are digested. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	(void)suggested;
	exchange_t *exchange = handle->data;
	ret->base = (char *)exchange->buffer + exchange->have;
	ret->len = exchange->buffer_size - exchange->have;
}

/* UDP. */

static int send_datagram(exchange_t *exchange)
{
	uv_buf_t buf = uv_buf_init((char *)query_of(exchange), exchange->query_len);
	int ret = uv_udp_try_send(&exchange->socket.udp, &buf, 1, NULL);
	exchange->sent++;
	/* A full queue loses datagrams as a network does. */
	return ret >= 0 || ret == UV_EAGAIN || ret == UV_ENOBUFS ? KNOT_EOK : map_error(ret);
}

static void on_pause(uv_timer_t *timer)
{
	exchange_t *exchange = timer->data;
	if (exchange->sent == UDP_SENDS) {
		if (has_looked(timer, on_pause, &exchange->pause_last_look)) {
			give_up(exchange);
		}
		return;
	}

	int ret = send_datagram(exchange);
	if (ret != KNOT_EOK) {
		finish(exchange, ret);
		return;
	}
	uv_timer_start(timer, on_pause, udp_pauses_ms[exchange->sent - 1], 0);
}

static void on_datagram(uv_udp_t *udp, ssize_t nread, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
	exchange_t *exchange = udp->data;
	if (nread < 0) {
		finish(exchange, map_error(nread));
		return;
	}
	if (from == NULL || (flags & UV_UDP_PARTIAL)) {
		return;
	}

	uint8_t *msg = (uint8_t *)buf->base;
	size_t len = nread;
	int ret = check_message(exchange, msg, &len);
	if (ret == KNOT_EOK) {
		deliver(exchange, msg, len);
	} else if (ret != KNOT_EMALF) {
		/* Perhaps forged. If nothing better comes, it is the best explanation there is. */
		exchange->reason = ret;
	}
}

static int start_udp(exchange_t *exchange, const exchange_params_t *params)
{
	uv_udp_t *udp = &exchange->socket.udp;
	if (params->via.ss_family != AF_UNSPEC) {
		int ret = uv_udp_bind(udp, (const struct sockaddr *)&params->via, 0);
		if (ret != 0) {
			return map_error(ret);
		}
	}
	int ret = uv_udp_connect(udp, (const struct sockaddr *)&params->remote);
	if (ret != 0) {
		return map_error(ret);
	}
	ret = uv_udp_recv_start(udp, on_alloc, on_datagram);
	if (ret != 0) {
		return map_error(ret);
	}
	ret = send_datagram(exchange);
	if (ret != KNOT_EOK) {
		return ret;
	}
	uv_timer_start(&exchange->pause, on_pause, udp_pauses_ms[0], 0);
	return KNOT_EOK;
}

/* TCP. */

static void on_idle(uv_timer_t *timer)
{
	exchange_t *exchange = timer->data;
	if (has_looked(timer, on_idle, &exchange->pause_last_look)) {
		give_up(exchange);
	}
}

static void note_progress(exchange_t *exchange)
{
	exchange->pause_last_look = false;
	uv_timer_start(&exchange->pause, on_idle, exchange->idle_timeout_ms, 0);
}

/*! Digests the complete messages in the buffer, and moves the begun one to its front. */
static void take_messages(exchange_t *exchange)
{
	size_t pos = 0;
	while (exchange->have - pos >= 2) {
		uint8_t *msg = exchange->buffer + pos + 2;
		size_t framed_len = 2 + knot_wire_read_u16(msg - 2);
		if (exchange->have - pos < framed_len) {
			break;
		}

		size_t len = framed_len - 2;
		int ret = check_message(exchange, msg, &len);
		if (ret != KNOT_EOK) {
			finish(exchange, ret);
			return;
		}
		deliver(exchange, msg, len);
		if (exchange->over) {
			return;
		}
		pos += framed_len;
	}

	exchange->have -= pos;
	if (pos > 0 && exchange->have > 0) {
		memmove(exchange->buffer, exchange->buffer + pos, exchange->have);
	}
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	(void)buf;
	exchange_t *exchange = stream->data;
	if (nread < 0) {
		finish(exchange, map_error(nread));
		return;
	}
	if (nread > 0) {
		exchange->have += nread;
		note_progress(exchange);
		take_messages(exchange);
	}
}

static void on_write(uv_write_t *write, int status)
{
	exchange_t *exchange = write->data;
	if (status != 0 && !exchange->over) {
		finish(exchange, map_error(status));
	}
}

static void on_connect(uv_connect_t *connect, int status)
{
	exchange_t *exchange = connect->data;
	if (exchange->over) {
		return;
	}

	uv_stream_t *stream = (uv_stream_t *)&exchange->socket.tcp;
	uv_buf_t buf = uv_buf_init((char *)exchange->framed, 2 + exchange->query_len);
	int ret = status;
	if (ret == 0) {
		ret = uv_write(&exchange->write, stream, &buf, 1, on_write);
	}
	if (ret == 0) {
		ret = uv_read_start(stream, on_alloc, on_read);
	}
	if (ret != 0) {
		finish(exchange, map_error(ret));
		return;
	}
	note_progress(exchange);
}

/*!
 * Gives a TCP handle a socket with the local address \a via.
 *
 * The port is left to connect(2), which needs one that is free towards this remote only. bind(2) would look for one that is
 * free altogether: among thousands of recent connections that is a search for milliseconds, and in the end in vain.
 */
static int bind_via(uv_tcp_t *tcp, const struct sockaddr_storage *via)
{
	int fd = socket(via->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return uv_translate_sys_error(errno);
	}
	int on = 1;
	int ret = 0;
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) != 0 ||
	    bind(fd, (const struct sockaddr *)via, address_len(via)) != 0) {
		ret = uv_translate_sys_error(errno);
	} else {
		ret = uv_tcp_open(tcp, fd);
	}
	if (ret != 0) {
		close(fd);
	}
	return ret;
}

static int start_tcp(exchange_t *exchange, const exchange_params_t *params)
{
	uv_tcp_t *tcp = &exchange->socket.tcp;
	int ret = params->via.ss_family != AF_UNSPEC ? bind_via(tcp, &params->via) : 0;
	if (ret != 0) {
		return map_error(ret);
	}
	ret = uv_tcp_connect(&exchange->connect, tcp, (const struct sockaddr *)&params->remote, on_connect);
	if (ret != 0) {
		return map_error(ret);
	}
	note_progress(exchange);
	return KNOT_EOK;
}

/* Start and end. */

/*! Copies the query, gives it a random id and signs it. */
static int prepare_query(exchange_t *exchange, const exchange_params_t *params, size_t max)
{
	uint16_t id;
	int ret = uv_random(NULL, NULL, &id, sizeof(id), 0, NULL);
	if (ret != 0) {
		return map_error(ret);
	}

	uint8_t *query = query_of(exchange);
	memcpy(query, params->query, params->query_len);
	knot_wire_set_id(query, id);
	exchange->query_len = params->query_len;
	exchange->question_len = knot_dname_size(query + KNOT_WIRE_HEADER_SIZE) + 4;
	if (params->key != NULL) {
		exchange->tsig = tsig_client_new(params->key);
		if (exchange->tsig == NULL) {
			return KNOT_ENOMEM;
		}
		ret = tsig_client_sign(exchange->tsig, query, &exchange->query_len, max);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	knot_wire_write_u16(exchange->framed, exchange->query_len);
	return KNOT_EOK;
}

static int exchange_new(const exchange_params_t *params, exchange_t **ret_exchange)
{
	size_t max = params->query_len + (params->key != NULL ? knot_tsig_wire_maxsize(params->key) : 0);
	if (max > UINT16_MAX) {
		return KNOT_ESPACE;
	}
	exchange_t *exchange = calloc(1, sizeof(*exchange) + 2 + max);
	if (exchange == NULL) {
		return KNOT_ENOMEM;
	}

	exchange->tcp = params->tcp;
	exchange->idle_timeout_ms = params->idle_timeout_ms;
	exchange->buffer_size = params->tcp ? STREAM_BUFFER : DATAGRAM_BUFFER;
	exchange->buffer = malloc(exchange->buffer_size);
	int ret = exchange->buffer == NULL ? KNOT_ENOMEM : prepare_query(exchange, params, max);
	if (ret != KNOT_EOK) {
		exchange_free(exchange);
		return ret;
	}
	*ret_exchange = exchange;
	return KNOT_EOK;
}

/*! Makes the handles, without a descriptor yet; from here on only closing them frees the exchange. */
static int open_handles(exchange_t *exchange, uv_loop_t *loop)
{
	int ret = exchange->tcp ? uv_tcp_init(loop, &exchange->socket.tcp) : uv_udp_init(loop, &exchange->socket.udp);
	if (ret != 0) {
		return map_error(ret);
	}
	uv_timer_init(loop, &exchange->whole);
	uv_timer_init(loop, &exchange->pause);
	exchange->open = 3;
	exchange->socket.handle.data = exchange;
	exchange->whole.data = exchange;
	exchange->pause.data = exchange;
	exchange->connect.data = exchange;
	exchange->write.data = exchange;
	return KNOT_EOK;
}

int exchange_start(uv_loop_t *loop, const exchange_params_t *params, const exchange_callbacks_t *callbacks, void *ctx,
                   exchange_t **ret_exchange)
{
	assert(params->query_len > KNOT_WIRE_HEADER_SIZE && knot_wire_get_qdcount(params->query) == 1);
	assert(params->timeout_ms > 0 && (!params->tcp || params->idle_timeout_ms > 0));

	exchange_t *exchange;
	int ret = exchange_new(params, &exchange);
	if (ret != KNOT_EOK) {
		return ret;
	}
	exchange->callbacks = *callbacks;
	exchange->ctx = ctx;
	ret = open_handles(exchange, loop);
	if (ret != KNOT_EOK) {
		exchange_free(exchange);
		return ret;
	}

	/* Timers count from the loop's idea of now, which is old when much was done since it last looked. */
	uv_update_time(loop);
	ret = exchange->tcp ? start_tcp(exchange, params) : start_udp(exchange, params);
	if (ret != KNOT_EOK) {
		close_all(exchange);
		return ret;
	}
	uv_timer_start(&exchange->whole, on_whole, params->timeout_ms, 0);
	*ret_exchange = exchange;
	return KNOT_EOK;
}

void exchange_cancel(exchange_t *exchange)
{
	if (exchange == NULL) {
		return;
	}
	assert(!exchange->in_message);
	close_all(exchange);
}
