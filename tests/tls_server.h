/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief A DNS server over TLS in a thread, and certificates for it, for the tests of dot and dot_servers.
 */
#pragma once

#include <arpa/inet.h>
#include <check.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include <libknot/libknot.h>

#define TLS_NAME "dns.example.net"
#define TLS_DAY  86400

/*! A key and its certificate. */
typedef struct {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
} tls_identity_t;

/*! What a server does with each connection. */
typedef enum {
	TLS_ANSWER,               /*!< Each question, at once. */
	TLS_REVERSE,              /*!< Three of them, the last one first. */
	TLS_ONCE,                 /*!< One, and closes. */
	TLS_SILENT,               /*!< None. */
	TLS_SERVFAIL,             /*!< Each, with SERVFAIL. */
	TLS_GARBAGE,              /*!< What is no TLS, after the first question. */
} tls_manner_t;

typedef struct {
	tls_identity_t *identity; /*!< For the next connection. Atomic. */
	tls_manner_t manner;
	int fd;
	struct sockaddr_storage addr;
	pthread_t thread;
	unsigned connections;     /*!< Verified ones. Atomic. */
	unsigned questions;       /*!< Atomic. */
	unsigned odd;             /*!< Questions that are not padded as they should be. Atomic. */
} tls_server_t;

/*! \brief Own. \param issuer  NULL: it is an authority, and signs itself. \param first, last  Days from now. */
static inline tls_identity_t tls_identity_make(const char *name, int first, int last, tls_identity_t *issuer)
{
	static unsigned char serial = 0;
	tls_identity_t made;
	serial++;
	gnutls_x509_privkey_init(&made.key);
	ck_assert_int_eq(gnutls_x509_privkey_generate(made.key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0), 0);
	gnutls_x509_crt_init(&made.crt);
	gnutls_x509_crt_set_version(made.crt, 3);
	gnutls_x509_crt_set_serial(made.crt, &serial, 1);
	gnutls_x509_crt_set_activation_time(made.crt, time(NULL) + first * TLS_DAY);
	gnutls_x509_crt_set_expiration_time(made.crt, time(NULL) + last * TLS_DAY);
	gnutls_x509_crt_set_key(made.crt, made.key);
	gnutls_x509_crt_set_dn_by_oid(made.crt, GNUTLS_OID_X520_COMMON_NAME, 0, name, strlen(name));
	gnutls_x509_crt_set_basic_constraints(made.crt, issuer == NULL, -1);
	if (issuer != NULL) {
		gnutls_x509_crt_set_subject_alt_name(made.crt, GNUTLS_SAN_DNSNAME, name, strlen(name), 0);
	}
	tls_identity_t *signer = issuer != NULL ? issuer : &made;
	ck_assert_int_eq(gnutls_x509_crt_sign2(made.crt, signer->crt, signer->key, GNUTLS_DIG_SHA256, 0), 0);
	return made;
}

static inline void tls_identity_free(tls_identity_t *identity)
{
	gnutls_x509_crt_deinit(identity->crt);
	gnutls_x509_privkey_deinit(identity->key);
}

/*! \brief Writes the certificate into a file whose name \a path is a template of mkstemp(3). */
static inline void tls_identity_write(const tls_identity_t *identity, char *path)
{
	gnutls_datum_t pem;
	ck_assert_int_eq(gnutls_x509_crt_export2(identity->crt, GNUTLS_X509_FMT_PEM, &pem), 0);
	int fd = mkstemp(path);
	ck_assert_int_eq(write(fd, pem.data, pem.size), pem.size);
	close(fd);
	gnutls_free(pem.data);
}

/*! What a client of such servers has: an authority that it trusts, in a file, and a loop. */
typedef struct {
	tls_identity_t authority, good;       /*!< \a good: signed, for TLS_NAME. */
	char authority_path[32];
	uv_loop_t loop;
} tls_client_world_t;

static inline void tls_client_setup(tls_client_world_t *world)
{
	world->authority = tls_identity_make("authority", -1, 9, NULL);
	world->good = tls_identity_make(TLS_NAME, -1, 9, &world->authority);
	signal(SIGPIPE, SIG_IGN); /* as knotd does */
	strcpy(world->authority_path, "/tmp/secondary-test.XXXXXX");
	tls_identity_write(&world->authority, world->authority_path);
	ck_assert_int_eq(uv_loop_init(&world->loop), 0);
}

static inline void tls_client_teardown(tls_client_world_t *world)
{
	uv_run(&world->loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&world->loop), 0);
	unlink(world->authority_path);
	tls_identity_free(&world->good);
	tls_identity_free(&world->authority);
}

static inline bool tls_read(gnutls_session_t session, uint8_t *dst, size_t len)
{
	while (len > 0) {
		const ssize_t taken = gnutls_record_recv(session, dst, len);
		if (taken <= 0) {
			return false;
		}
		dst += taken;
		len -= taken;
	}
	return true;
}

/*! A query with its length; false: there is none. */
static inline bool tls_question(tls_server_t *server, gnutls_session_t session, uint8_t *framed)
{
	if (!tls_read(session, framed, 2) || !tls_read(session, framed + 2, knot_wire_read_u16(framed))) {
		return false;
	}
	__atomic_add_fetch(&server->questions, 1, __ATOMIC_RELAXED);
	if (knot_wire_read_u16(framed) % 128 != 0) {
		__atomic_add_fetch(&server->odd, 1, __ATOMIC_RELAXED);
	}
	return true;
}

/*! The response is the query, but for flags: what else is in it is nothing to this room. */
static inline void tls_respond(gnutls_session_t session, uint8_t *framed, uint8_t rcode)
{
	knot_wire_set_qr(framed + 2);
	knot_wire_set_rcode(framed + 2, rcode);
	(void)gnutls_record_send(session, framed, 2 + knot_wire_read_u16(framed));
}

static inline void tls_serve(tls_server_t *server, gnutls_session_t session, int fd)
{
	uint8_t framed[3][1024];
	unsigned asked = 0;
	while (tls_question(server, session, framed[asked])) {
		switch (server->manner) {
		case TLS_ANSWER:
			tls_respond(session, framed[0], KNOT_RCODE_NOERROR);
			break;
		case TLS_SERVFAIL:
			tls_respond(session, framed[0], KNOT_RCODE_SERVFAIL);
			break;
		case TLS_REVERSE:
			if (++asked == 3) {
				for (; asked > 0; asked--) {
					tls_respond(session, framed[asked - 1], KNOT_RCODE_NOERROR);
				}
			}
			break;
		case TLS_ONCE:
			tls_respond(session, framed[0], KNOT_RCODE_NOERROR);
			(void)gnutls_bye(session, GNUTLS_SHUT_WR);
			return;
		case TLS_SILENT:
			break;
		case TLS_GARBAGE:
			ck_assert_int_eq(send(fd, "\x17\3\3\0\5hello", 10, MSG_NOSIGNAL), 10);
			break;
		}
	}
}

static inline void tls_accept(tls_server_t *server, int fd)
{
	tls_identity_t *identity = __atomic_load_n(&server->identity, __ATOMIC_ACQUIRE);
	gnutls_certificate_credentials_t credentials;
	gnutls_session_t session;
	gnutls_certificate_allocate_credentials(&credentials);
	ck_assert_int_eq(gnutls_certificate_set_x509_key(credentials, &identity->crt, 1, identity->key), 0);
	gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);
	gnutls_set_default_priority(session);
	gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
	gnutls_transport_set_int(session, fd);
	int ret;
	do {
		ret = gnutls_handshake(session);
	} while (ret < 0 && !gnutls_error_is_fatal(ret));
	if (ret == 0) {
		__atomic_add_fetch(&server->connections, 1, __ATOMIC_RELAXED);
		tls_serve(server, session, fd);
	}
	gnutls_deinit(session);
	gnutls_certificate_free_credentials(credentials);
}

/*! One connection after the other; the client has one at a time. */
static inline void *tls_run(void *ctx)
{
	tls_server_t *server = ctx;
	int fd;
	while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
		tls_accept(server, fd);
		close(fd);
	}
	return NULL;
}

static inline void tls_server_start(tls_server_t *server, tls_identity_t *identity, tls_manner_t manner)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	memset(server, 0, sizeof(*server));
	server->identity = identity;
	server->manner = manner;
	server->fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(server->fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(listen(server->fd, 8), 0);
	ck_assert_int_eq(getsockname(server->fd, (struct sockaddr *)&addr, &len), 0);
	memcpy(&server->addr, &addr, sizeof(addr));
	ck_assert_int_eq(pthread_create(&server->thread, NULL, tls_run, server), 0);
}

/*! \brief When no client has a connection any more. */
static inline void tls_server_stop(tls_server_t *server)
{
	shutdown(server->fd, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->fd);
}

/*! \brief Writes the query for \a name A with OPT; returns its octets. */
static inline size_t tls_query(const char *name, uint8_t *wire)
{
	memset(wire, 0, KNOT_WIRE_HEADER_SIZE);
	knot_wire_set_rd(wire);
	knot_wire_set_qdcount(wire, 1);
	knot_wire_set_arcount(wire, 1);
	ck_assert_ptr_nonnull(knot_dname_from_str(wire + KNOT_WIRE_HEADER_SIZE, name, KNOT_DNAME_MAXLEN));
	uint8_t *at = wire + KNOT_WIRE_HEADER_SIZE + knot_dname_size(wire + KNOT_WIRE_HEADER_SIZE);
	memcpy(at, "\0\1\0\1" "\0\0\51\4\320\0\0\0\0\0\0", 15);
	return at + 15 - wire;
}
