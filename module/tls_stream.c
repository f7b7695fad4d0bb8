/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief A connection with TLS to a server that proves its name (tls_stream.h).
 */
#include "secondary/tls_stream.h"

#include <assert.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/errcode.h>

/*! Octets that are read at once: a record of TLS at most. */
#define INPUT_SIZE (16384 + 512)
/*! What a record holds. */
#define PLAIN_SIZE 16384

struct tls_trust {
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priority;
};

struct tls_stream {
	tls_stream_callbacks_t callbacks;
	void *ctx;
	uv_tcp_t tcp;
	uv_connect_t connect;
	gnutls_session_t session;
	bool open;                /*!< The server is verified. */
	bool ended;               /*!< The owner knows. */
	bool closed;              /*!< By the owner: freed when the loop has closed the handle. */
	size_t unwritten;         /*!< Octets that the socket has not taken yet. */
	size_t in_pos, in_len;
	uint8_t in[INPUT_SIZE];
	uint8_t plain[PLAIN_SIZE];
};

/*! Octets on their way to the socket. */
typedef struct {
	uv_write_t write;
	tls_stream_t *stream;
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

int tls_trust_new(const char *path, tls_trust_t **ret_trust)
{
	tls_trust_t *trust = calloc(1, sizeof(*trust));
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
		tls_trust_free(trust);
		return ret;
	}
	*ret_trust = trust;
	return KNOT_EOK;
}

void tls_trust_free(tls_trust_t *trust)
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

/* -- octets ----------------------------------------------------------------------------------------------------------- */

static void end(tls_stream_t *stream, const char *why)
{
	if (!stream->ended && !stream->closed) {
		stream->ended = true;
		stream->callbacks.end(stream->ctx, why);
	}
}

static void on_written(uv_write_t *write, int status)
{
	output_t *output = write->data;
	tls_stream_t *stream = output->stream;
	stream->unwritten -= output->len;
	free(output);
	if (status != 0) {
		end(stream, NULL);
	}
}

/*! Has the loop write what the socket did not take at once. */
static bool write_later(tls_stream_t *stream, const uint8_t *octets, size_t len)
{
	output_t *output = stream->unwritten + len <= TLS_STREAM_OUTPUT_MAX ? malloc(sizeof(*output) + len) : NULL;
	if (output == NULL) {
		return false;
	}
	output->write.data = output;
	output->stream = stream;
	output->len = len;
	memcpy(output->octets, octets, len);
	const uv_buf_t buf = uv_buf_init((char *)output->octets, len);
	if (uv_write(&output->write, (uv_stream_t *)&stream->tcp, &buf, 1, on_written) != 0) {
		free(output);
		return false;
	}
	stream->unwritten += len;
	return true;
}

/*! GnuTLS has octets for the socket. What has to wait is written in order. */
static ssize_t push(gnutls_transport_ptr_t ctx, const void *octets, size_t len)
{
	tls_stream_t *stream = ctx;
	const uv_buf_t buf = uv_buf_init((char *)octets, len);
	int taken = stream->unwritten == 0 ? uv_try_write((uv_stream_t *)&stream->tcp, &buf, 1) : 0;
	if (taken == UV_EAGAIN) {
		taken = 0;
	}
	if (taken < 0 || ((size_t)taken < len && !write_later(stream, (const uint8_t *)octets + taken, len - taken))) {
		gnutls_transport_set_errno(stream->session, ECONNRESET);
		return -1;
	}
	return len;
}

/*! GnuTLS wants octets of the socket. */
static ssize_t pull(gnutls_transport_ptr_t ctx, void *dst, size_t len)
{
	tls_stream_t *stream = ctx;
	const size_t left = stream->in_len - stream->in_pos;
	if (left == 0) {
		gnutls_transport_set_errno(stream->session, EAGAIN);
		return -1;
	}
	len = len < left ? len : left;
	memcpy(dst, stream->in + stream->in_pos, len);
	stream->in_pos += len;
	return len;
}

/* -- TLS -------------------------------------------------------------------------------------------------------------- */

/*! What is wrong with the certificate, or with TLS. */
static const char *reason_of(const tls_stream_t *stream, int ret)
{
	if (ret != GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
		return gnutls_strerror(ret);
	}
	const unsigned status = gnutls_session_get_verify_cert_status(stream->session);
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

/*! Goes on with the handshake. */
static void shake_hands(tls_stream_t *stream)
{
	int ret;
	do {
		ret = gnutls_handshake(stream->session);
	} while (ret < 0 && ret != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(ret));
	if (ret == GNUTLS_E_AGAIN) {
		return;
	}
	if (ret != GNUTLS_E_SUCCESS) {
		(void)gnutls_alert_send_appropriate(stream->session, ret);
		end(stream, reason_of(stream, ret));
		return;
	}
	stream->open = true;
	stream->callbacks.open(stream->ctx);
}

/*! Hands over all that has come. */
static void receive(tls_stream_t *stream)
{
	while (!stream->closed && !stream->ended) {
		const ssize_t ret = gnutls_record_recv(stream->session, stream->plain, PLAIN_SIZE);
		/* It says so of a record that has nothing for us, too, as a ticket for the next handshake. */
		if (ret == GNUTLS_E_AGAIN && stream->in_pos == stream->in_len) {
			return;
		}
		if (ret > 0) {
			stream->callbacks.octets(stream->ctx, stream->plain, ret);
		} else if (ret == 0 || gnutls_error_is_fatal(ret) || ret == GNUTLS_E_REHANDSHAKE) {
			end(stream, NULL);
		}
	}
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	(void)suggested;
	tls_stream_t *stream = handle->data;
	*ret = uv_buf_init((char *)stream->in, INPUT_SIZE);
}

static void on_read(uv_stream_t *handle, ssize_t nread, const uv_buf_t *buf)
{
	(void)buf;
	tls_stream_t *stream = handle->data;
	if (nread < 0) {
		end(stream, NULL);
		return;
	}
	/* GnuTLS takes all there is each time, and keeps what is not a whole record. */
	stream->in_pos = 0;
	stream->in_len = nread;
	if (!stream->open) {
		shake_hands(stream);
	}
	if (stream->open) {
		receive(stream);
	}
}

bool tls_stream_send(tls_stream_t *stream, const uint8_t *octets, size_t len)
{
	assert(stream->open && !stream->closed);
	return !stream->ended && gnutls_record_send(stream->session, octets, len) == (ssize_t)len;
}

/* -- beginning and end ------------------------------------------------------------------------------------------------ */

static void on_connect(uv_connect_t *connect, int status)
{
	tls_stream_t *stream = connect->data;
	if (stream->closed) {
		return;
	}
	if (status != 0 || uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read) != 0) {
		end(stream, NULL);
		return;
	}
	(void)uv_tcp_nodelay(&stream->tcp, 1);
	shake_hands(stream);
}

static int session_new(tls_stream_t *stream, const tls_stream_params_t *params)
{
	if (gnutls_init(&stream->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) != GNUTLS_E_SUCCESS) {
		return KNOT_ENOMEM;
	}
	gnutls_session_t session = stream->session;
	if (gnutls_priority_set(session, params->trust->priority) != GNUTLS_E_SUCCESS ||
	    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, params->trust->credentials) != GNUTLS_E_SUCCESS ||
	    gnutls_server_name_set(session, GNUTLS_NAME_DNS, params->name, strlen(params->name)) != GNUTLS_E_SUCCESS) {
		gnutls_deinit(session);
		return KNOT_ENOMEM;
	}
	gnutls_session_set_verify_cert(session, params->name, 0);
	gnutls_transport_set_ptr(session, stream);
	gnutls_transport_set_push_function(session, push);
	gnutls_transport_set_pull_function(session, pull);
	return KNOT_EOK;
}

static int stream_new(uv_loop_t *loop, const tls_stream_params_t *params, tls_stream_t **ret_stream)
{
	tls_stream_t *stream = calloc(1, sizeof(*stream));
	if (stream == NULL) {
		return KNOT_ENOMEM;
	}
	int ret = session_new(stream, params);
	if (ret == KNOT_EOK && uv_tcp_init(loop, &stream->tcp) != 0) {
		gnutls_deinit(stream->session);
		ret = KNOT_ENOMEM;
	}
	if (ret != KNOT_EOK) {
		free(stream);
		return ret;
	}
	stream->tcp.data = stream->connect.data = stream;
	*ret_stream = stream;
	return KNOT_EOK;
}

int tls_stream_open(uv_loop_t *loop, const tls_stream_params_t *params, const tls_stream_callbacks_t *callbacks, void *ctx,
                    tls_stream_t **ret_stream)
{
	tls_stream_t *stream;
	int ret = stream_new(loop, params, &stream);
	if (ret != KNOT_EOK) {
		return ret;
	}
	stream->callbacks = *callbacks;
	stream->ctx = ctx;
	if (uv_tcp_connect(&stream->connect, &stream->tcp, (const struct sockaddr *)params->remote, on_connect) != 0) {
		tls_stream_close(stream);
		return KNOT_ECONN;
	}
	*ret_stream = stream;
	return KNOT_EOK;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void tls_stream_close(tls_stream_t *stream)
{
	if (stream == NULL) {
		return;
	}
	assert(!stream->closed);
	if (stream->open && !stream->ended) {
		(void)gnutls_bye(stream->session, GNUTLS_SHUT_WR);
	}
	stream->closed = true;
	gnutls_deinit(stream->session);
	uv_close((uv_handle_t *)&stream->tcp, on_closed);
}
