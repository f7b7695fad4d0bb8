/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of the worker with scripted primaries on 127.0.0.1.
 *
 * Nothing sleeps: whoever waits is woken by each log line and by each thing that a primary does.
 */
#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <libknot/descriptor.h>
#include <libknot/errcode.h>
#include <libknot/packet/wire.h>

#include "secondary/report.h"
#include "secondary/versions.h"
#include "secondary/worker.h"
#include "pool.h"
#include "support.h"

/* Events: what the log says and what primaries count, under one lock. */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char log_text[1 << 20];
static size_t log_len;
static const char *hold_at;               /*!< A line with this text holds the worker until release(). */
static bool is_held;

static void log_line(const zone_t *zone, int priority, const char *fmt, va_list args)
{
	(void)priority;
	char name[KNOT_DNAME_TXT_MAXLEN + 1], line[1024];
	int len = snprintf(line, sizeof(line), "[%s] ", zone_name(zone, name));
	len += vsnprintf(line + len, sizeof(line) - len, fmt, args);
	line[len++] = '\n';
	line[len] = '\0';

	pthread_mutex_lock(&lock);
	if (log_len + len < sizeof(log_text)) {
		memcpy(log_text + log_len, line, len);
		log_len += len;
		log_text[log_len] = '\0';
	}
	while (hold_at != NULL && strstr(line, hold_at) != NULL) {
		is_held = true;
		pthread_cond_broadcast(&changed);
		pthread_cond_wait(&changed, &lock);
	}
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void hold(const char *text)
{
	pthread_mutex_lock(&lock);
	hold_at = text;
	is_held = false;
	pthread_mutex_unlock(&lock);
}

static void release(void)
{
	hold(NULL);
	pthread_cond_broadcast(&changed);
}

/*! Times that \a text stands in the log. The lock is held. */
static unsigned log_count(const char *text)
{
	unsigned count = 0;
	for (const char *at = log_text; (at = strstr(at, text)) != NULL; at++) {
		count++;
	}
	return count;
}

static void log_clear(void)
{
	pthread_mutex_lock(&lock);
	log_len = 0;
	log_text[0] = '\0';
	pthread_mutex_unlock(&lock);
}

/*! Waits until \a is_so; the time limit only ends a test that has failed. */
#define AWAIT(is_so) do { \
	struct timespec limit; \
	clock_gettime(CLOCK_REALTIME, &limit); \
	limit.tv_sec += 30; \
	int timed_out = 0; \
	pthread_mutex_lock(&lock); \
	while (!(is_so) && timed_out == 0) { \
		timed_out = pthread_cond_timedwait(&changed, &lock, &limit); \
	} \
	pthread_mutex_unlock(&lock); \
	ck_assert_msg(timed_out == 0, "no %s; log:\n%s", #is_so, log_text); \
} while (0)

/*! Milliseconds: where a pause is looked at, a slow machine may see its end. */
static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#define AWAIT_LOG(text) AWAIT(log_count(text) >= 1)

/* A primary for every zone that it is asked for. */

typedef enum {
	ANSWER,
	REFUSE,
	UNREADABLE,    /*!< Says FORMERR. */
	TRUNCATE,      /*!< Datagrams say TC. */
	STALL,         /*!< A transfer stops after its first message. */
	SILENT,        /*!< Takes connections and datagrams and says nothing. */
	TCP_ONLY,      /*!< Says nothing to datagrams. */
	NO_EDNS,       /*!< Says FORMERR to questions with OPT. */
	KEEP,          /*!< Keeps datagrams until it is to answer them: keep(). */
} manner_t;

enum { CONNECTIONS_MAX = 64, KEPT_MAX = 160 };

/*! A datagram that is not answered yet. */
typedef struct {
	uint8_t query[64];
	size_t len;                           /*!< 0: none. */
	struct sockaddr_in from;
	bool is_answered;                     /*!< What comes again was sent before that. */
} kept_t;

/*! In static storage, and stopped by teardown() where a test that failed did not: nothing of it reaches the next one. */
typedef struct primary_server {
	struct primary_server *next;          /*!< Of those that run. */
	pthread_t thread;
	int udp, tcp, wake;
	unsigned port;
	int connection[CONNECTIONS_MAX];      /*!< -1: free. */
	uint8_t question[CONNECTIONS_MAX][512]; /*!< Of a transfer that stalls. */
	size_t question_len[CONNECTIONS_MAX];
	uint16_t last_id, last_port;          /*!< Of the last datagram. */
	/* Under the lock: */
	manner_t manner;
	uint32_t serial;
	unsigned soa_udp, soa_tcp, axfr, open, open_most, closed;
	unsigned soa_repeated;                /*!< Datagrams that came again: one second late is enough for that. */
	unsigned with_opt;                    /*!< Of the questions. */
	kept_t kept[KEPT_MAX];                /*!< By the number in the zone's name: one that comes again counts once. */
	unsigned kept_count;
	unsigned flushed;
	bool stop;
} primary_server_t;

static size_t append(uint8_t *msg, size_t len, const void *octets, size_t count)
{
	memcpy(msg + len, octets, count);
	return len + count;
}

static size_t append_soa(uint8_t *msg, size_t len, uint32_t serial)
{
	static const uint8_t fixed[] = { 0xC0, 12, 0, 6, 0, 1, 0, 0, 0, 60, 0, 26, 1, 'a', 0, 1, 'b', 0 };
	static const uint8_t timers[] = { 0, 0, 0x0E, 0x10, 0, 0, 3, 0x84, 0, 1, 0x51, 0x80, 0, 0, 0, 60 };
	len = append(msg, len, fixed, sizeof(fixed));
	knot_wire_write_u32(msg + len, serial);
	knot_wire_set_ancount(msg, knot_wire_get_ancount(msg) + 1);
	return append(msg, len + 4, timers, sizeof(timers));
}

static size_t append_ns(uint8_t *msg, size_t len)
{
	static const uint8_t ns[] = { 0xC0, 12, 0, 2, 0, 1, 0, 0, 0, 60, 0, 3, 1, 'a', 0 };
	knot_wire_set_ancount(msg, knot_wire_get_ancount(msg) + 1);
	return append(msg, len, ns, sizeof(ns));
}

static size_t append_addresses(uint8_t *msg, size_t len, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const uint8_t address[] = { 0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, i >> 8, i & 0xFF };
		len = append(msg, len, address, sizeof(address));
	}
	knot_wire_set_ancount(msg, knot_wire_get_ancount(msg) + count);
	return len;
}

/*! No primary says anything about names that begin so. */
static bool is_mute(const uint8_t *query)
{
	return memcmp(query + 12, "\4mute", 5) == 0;
}

/*! Zones with names that begin so have LARGE_RECORDS more, all in the first message: they are compared in a thread of the pool. */
static bool is_large(const uint8_t *query)
{
	return memcmp(query + 12, "\5large", 6) == 0;
}

enum { LARGE_RECORDS = VERSIONS_AT_ONCE / 2 };

/*! Header and question of the answer to \a query. */
static size_t begin_answer(const uint8_t *query, uint8_t *msg)
{
	size_t len = 12;
	while (query[len] != 0) {
		len += 1 + query[len];
	}
	len += 5;
	memcpy(msg, query, len);
	memset(msg + 6, 0, 6);
	msg[2] = 0x84; /* QR, AA */
	msg[3] = 0;
	return len;
}

static uint16_t query_type(const uint8_t *query)
{
	uint8_t scratch[512];
	return knot_wire_read_u16(query + begin_answer(query, scratch) - 4);
}

static bool has_opt(const uint8_t *query)
{
	return knot_wire_get_arcount(query) > 0;
}

static void event(unsigned *counter)
{
	pthread_mutex_lock(&lock);
	(*counter)++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static manner_t manner_of(primary_server_t *server, uint32_t *serial)
{
	pthread_mutex_lock(&lock);
	manner_t manner = server->manner;
	*serial = server->serial;
	pthread_mutex_unlock(&lock);
	return manner;
}

/*! What is to be made of a question. */
static manner_t manner_with(primary_server_t *server, const uint8_t *query, uint32_t *serial)
{
	manner_t manner = manner_of(server, serial);
	if (manner == NO_EDNS) {
		return has_opt(query) ? UNREADABLE : ANSWER;
	}
	return manner;
}

/*! The zones that KEEP is for have names of a letter and three digits. */
static void keep(primary_server_t *server, const uint8_t *query, size_t len, const struct sockaddr_in *from)
{
	const unsigned number = strtoul((const char *)query + 14, NULL, 10);
	ck_assert(len <= sizeof(server->kept[0].query) && number < KEPT_MAX);
	pthread_mutex_lock(&lock);
	kept_t *kept = &server->kept[number];
	server->kept_count += kept->len == 0 && !kept->is_answered;
	memcpy(kept->query, query, len);
	kept->len = kept->is_answered ? 0 : len;
	kept->from = *from;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/*! Answers some of those that were kept. */
static void answer_kept(primary_server_t *server, unsigned count)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < KEPT_MAX && count > 0; i++) {
		kept_t *kept = &server->kept[i];
		if (kept->len == 0) {
			continue;
		}
		uint8_t msg[512];
		const size_t len = append_soa(msg, begin_answer(kept->query, msg), server->serial);
		sendto(server->udp, msg, len, 0, (const struct sockaddr *)&kept->from, sizeof(kept->from));
		kept->len = 0;
		kept->is_answered = true;
		server->kept_count--;
		count--;
	}
	pthread_mutex_unlock(&lock);
}

static void count_question(primary_server_t *server, const uint8_t *query, unsigned *counter)
{
	if (has_opt(query)) {
		event(&server->with_opt);
	}
	event(counter);
}

/*! Each question once, however often it is asked. */
static void count_datagram(primary_server_t *server, const uint8_t *query, uint16_t port)
{
	uint16_t id = knot_wire_get_id(query);
	if (id == server->last_id && port == server->last_port) {
		event(&server->soa_repeated);
		return;
	}
	server->last_id = id;
	server->last_port = port;
	count_question(server, query, &server->soa_udp);
}

static void serve_datagram(primary_server_t *server)
{
	uint8_t query[512], msg[512];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t got = recvfrom(server->udp, query, sizeof(query), 0, (struct sockaddr *)&from, &from_len);
	if (got == 1) {
		event(&server->flushed);
		return;
	}
	uint32_t serial;
	if (got < 17) {
		return;
	}
	manner_t manner = manner_with(server, query, &serial);
	if (manner == KEEP) {
		keep(server, query, got, &from);
		return;
	}
	count_datagram(server, query, from.sin_port);
	if (manner == SILENT || manner == TCP_ONLY) {
		return;
	}
	size_t len = begin_answer(query, msg);
	if (manner == REFUSE || manner == UNREADABLE) {
		msg[3] = manner == REFUSE ? 5 : 1;
	} else if (manner == TRUNCATE) {
		msg[2] |= 2;
	} else {
		len = append_soa(msg, len, serial);
	}
	sendto(server->udp, msg, len, 0, (struct sockaddr *)&from, from_len);
}

static void send_framed(int fd, uint8_t *framed, size_t len)
{
	knot_wire_write_u16(framed, len);
	ssize_t sent = send(fd, framed, len + 2, MSG_NOSIGNAL); /* Fits the empty buffer; a peer that left is no matter. */
	(void)sent;
}

/*! The transfer's two messages. */
static void send_zone(int fd, const uint8_t *query, uint32_t serial, bool first, bool second)
{
	uint8_t framed[2 + UINT16_MAX];
	uint8_t *msg = framed + 2;
	if (first) {
		size_t len = begin_answer(query, msg);
		len = append_ns(msg, append_soa(msg, len, serial));
		send_framed(fd, framed, is_large(query) ? append_addresses(msg, len, LARGE_RECORDS) : len);
	}
	if (second) {
		size_t len = begin_answer(query, msg);
		send_framed(fd, framed, append_soa(msg, len, serial));
	}
}

static void serve_query(primary_server_t *server, unsigned i, const uint8_t *query)
{
	uint8_t framed[514], *msg = framed + 2;
	int fd = server->connection[i];
	uint32_t serial;
	manner_t manner = manner_with(server, query, &serial);
	bool is_soa = query_type(query) == KNOT_RRTYPE_SOA;
	count_question(server, query, is_soa ? &server->soa_tcp : &server->axfr);
	size_t len = begin_answer(query, msg);
	if (manner == SILENT || is_mute(query)) {
		return;
	}
	if (manner == REFUSE || manner == UNREADABLE) {
		msg[3] = manner == REFUSE ? 5 : 1;
		send_framed(fd, framed, len);
	} else if (is_soa) {
		send_framed(fd, framed, append_soa(msg, len, serial));
	} else {
		send_zone(fd, query, serial, true, manner != STALL);
	}
}

static void close_connection(primary_server_t *server, unsigned i)
{
	close(server->connection[i]);
	server->connection[i] = -1;
	server->question_len[i] = 0;
	pthread_mutex_lock(&lock);
	server->open--;
	server->closed++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void serve_connection(primary_server_t *server, unsigned i)
{
	uint8_t *have = server->question[i];
	size_t *len = &server->question_len[i];
	ssize_t got = recv(server->connection[i], have + *len, sizeof(server->question[i]) - *len, 0);
	if (got <= 0) {
		close_connection(server, i);
		return;
	}
	*len += got;
	if (*len >= 2 && *len == 2 + (size_t)knot_wire_read_u16(have)) {
		serve_query(server, i, have + 2);
	}
}

static void accept_connection(primary_server_t *server)
{
	unsigned i = 0;
	while (server->connection[i] != -1) {
		ck_assert_uint_lt(++i, CONNECTIONS_MAX);
	}
	server->connection[i] = accept(server->tcp, NULL, NULL);
	server->question_len[i] = 0;
	pthread_mutex_lock(&lock);
	server->open++;
	if (server->open > server->open_most) {
		server->open_most = server->open;
	}
	pthread_mutex_unlock(&lock);
}

/*! Those that stalled get the rest. */
static void go_on(primary_server_t *server)
{
	uint32_t serial;
	if (manner_of(server, &serial) != ANSWER) {
		return;
	}
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		if (server->connection[i] != -1 && server->question_len[i] > 2 && !is_mute(server->question[i] + 2)) {
			send_zone(server->connection[i], server->question[i] + 2, serial, false, true);
		}
	}
}

static bool serve_once(primary_server_t *server)
{
	struct pollfd fds[3 + CONNECTIONS_MAX] = {
		{ server->wake, POLLIN, 0 }, { server->udp, POLLIN, 0 }, { server->tcp, POLLIN, 0 },
	};
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		fds[3 + i] = (struct pollfd) { server->connection[i], POLLIN, 0 };
	}
	poll(fds, 3 + CONNECTIONS_MAX, -1);
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		if (fds[3 + i].revents != 0) {
			serve_connection(server, i);
		}
	}
	if (fds[0].revents != 0) {
		uint64_t count;
		ck_assert_int_eq(read(server->wake, &count, sizeof(count)), sizeof(count));
		go_on(server);
	}
	if (fds[1].revents != 0) {
		serve_datagram(server);
	}
	if (fds[2].revents != 0) {
		accept_connection(server);
	}
	pthread_mutex_lock(&lock);
	bool stop = server->stop;
	pthread_mutex_unlock(&lock);
	return !stop;
}

static void *serve(void *ctx)
{
	while (serve_once(ctx)) {
		continue;
	}
	return NULL;
}

static void wake(primary_server_t *server)
{
	uint64_t one = 1;
	ck_assert_int_eq(write(server->wake, &one, sizeof(one)), sizeof(one));
}

/*! Both sockets on one port that is free for both. */
static void listen_both(primary_server_t *server)
{
	for (unsigned tries = 0; tries < 100; tries++) {
		struct sockaddr_storage addr = support_loopback(0);
		socklen_t len = sizeof(struct sockaddr_in);
		server->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		server->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		ck_assert_int_eq(bind(server->tcp, (struct sockaddr *)&addr, len), 0);
		getsockname(server->tcp, (struct sockaddr *)&addr, &len);
		server->port = ntohs(((struct sockaddr_in *)&addr)->sin_port);
		if (bind(server->udp, (struct sockaddr *)&addr, len) == 0 && listen(server->tcp, 128) == 0) {
			return;
		}
		close(server->tcp);
		close(server->udp);
	}
	ck_abort_msg("no free port");
}

static primary_server_t *running;

static void server_start(primary_server_t *server, manner_t manner)
{
	*server = (primary_server_t) { .manner = manner, .serial = 1 };
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		server->connection[i] = -1;
	}
	server->wake = eventfd(0, EFD_CLOEXEC);
	listen_both(server);
	pthread_create(&server->thread, NULL, serve, server);
	server->next = running;
	running = server;
}

static void server_stop(primary_server_t *server)
{
	pthread_mutex_lock(&lock);
	server->stop = true;
	pthread_mutex_unlock(&lock);
	wake(server);
	pthread_join(server->thread, NULL);
	primary_server_t **at = &running;
	while (*at != server) {
		at = &(*at)->next;
	}
	*at = server->next;
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		if (server->connection[i] != -1) {
			close(server->connection[i]);
		}
	}
	close(server->udp);
	close(server->tcp);
	close(server->wake);
}

static void server_set(primary_server_t *server, manner_t manner, uint32_t serial)
{
	pthread_mutex_lock(&lock);
	server->manner = manner;
	server->serial = serial;
	pthread_mutex_unlock(&lock);
	wake(server);
}

/*! A port that refuses what comes, and that no other program is given meanwhile. Its sockets are there until the process ends. */
static unsigned dead_port(void)
{
	static unsigned port;
	if (port == 0) {
		struct sockaddr_storage addr = support_loopback(0);
		socklen_t len = sizeof(struct sockaddr_in);
		int tcp, udp;
		do { /* The descriptors of a pair that does not fit stay open: else it came again. */
			tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
			udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
			addr = support_loopback(0);
			ck_assert_int_eq(bind(tcp, (struct sockaddr *)&addr, len), 0);
			getsockname(tcp, (struct sockaddr *)&addr, &len);
		} while (bind(udp, (struct sockaddr *)&addr, len) != 0);
		/* TCP does not listen; UDP takes nothing but from itself. */
		ck_assert_int_eq(connect(udp, (struct sockaddr *)&addr, len), 0);
		port = ntohs(((struct sockaddr_in *)&addr)->sin_port);
	}
	return port;
}

/* Zones. */

static const worker_options_t options = { .transfer_limit = 4, .transfer_limit_remote = 2 };

static char place;
#define INSTANCE ((struct instance *)&place)

static stanza_t *stanza(unsigned count, const unsigned ports[])
{
	stanza_t *made = stanza_new(count, 0);
	made->refresh = made->retry = made->expire = (clamp_t) { 1, UINT32_MAX };
	made->transfer_timeout_ms = 60000;
	made->transfer_idle_timeout_ms = 20000;
	for (unsigned i = 0; i < count; i++) {
		made->primary[i].addr = support_loopback(ports[i]);
	}
	return made;
}

#define STANZA(...) \
	stanza(sizeof((unsigned[]) { __VA_ARGS__ }) / sizeof(unsigned), (unsigned[]) { __VA_ARGS__ })

/*! Those that were begun and not yet ended. */
enum { HELD_MAX = 1024 };
static zone_t *held[HELD_MAX];
static unsigned held_count;

static zone_t *zone_begin(const char *name, stanza_t *settings)
{
	uint8_t wire[255];
	support_name(name, wire);
	zone_t *zone;
	ck_assert_int_eq(zone_attach(wire, INSTANCE, &zone), 0);
	ck_assert_uint_lt(held_count, HELD_MAX);
	held[held_count++] = zone;
	ck_assert_int_eq(worker_zone_set(zone, stanza_intern(settings)), 0);
	return zone;
}

static void zone_forget(zone_t *zone)
{
	for (unsigned i = held_count; i > 0; i--) {
		if (held[i - 1] == zone) {
			held[i - 1] = held[--held_count];
			return;
		}
	}
}

static void zone_end(zone_t *zone)
{
	zone_forget(zone);
	if (zone_detach(zone, INSTANCE)) {
		worker_zone_gone(zone);
	} else {
		zone_release(zone);
	}
}

/*! Serial that serves, or -1. */
static int64_t served(const zone_t *zone)
{
	rcu_read_lock();
	const snapshot_t *snapshot = zone_borrow(zone);
	int64_t serial = snapshot != NULL ? (int64_t)snapshot->soa.serial : -1;
	rcu_read_unlock();
	return serial;
}

static void visit_command(refresh_t *refresh, void *ctx)
{
	refresh_command(refresh, *(refresh_command_t *)ctx);
}

static void visit_nothing(refresh_t *refresh, void *ctx)
{
	(void)refresh, (void)ctx;
}

static int command(zone_t *zone, refresh_command_t what)
{
	return worker_call(zone, visit_command, &what);
}

static void notify(zone_t *zone)
{
	struct sockaddr_storage from = support_loopback(1);
	worker_notify(zone, &from, false, 0);
}

static void setup(void)
{
	rcu_register_thread();
	log_clear();
	report_set_sink(log_line);
	ck_assert_int_eq(worker_start(&options), 0);
}

/*! The pool is held up by this loop's work; or NULL. */
static uv_loop_t *occupied;

static void vacate(void)
{
	if (occupied != NULL) {
		pool_free();
		uv_run(occupied, UV_RUN_DEFAULT);
		ck_assert_int_eq(uv_loop_close(occupied), 0);
		occupied = NULL;
	}
}

static void occupy(void)
{
	static uv_loop_t loop;
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	pool_occupy(&loop);
	occupied = &loop;
}

static void teardown(void)
{
	release();
	vacate();
	while (held_count > 0) {
		zone_end(held[held_count - 1]);
	}
	while (running != NULL) {
		server_stop(running);
	}
	worker_stop();
	report_set_sink(NULL);
	rcu_unregister_thread();
}

START_TEST(test_bootstrap_and_notify)
{
	static primary_server_t server;
	server_start(&server, ANSWER);
	uint64_t began = now_ms();
	zone_t *zone = zone_begin("example.com", STANZA(server.port));
	const char expires[] = "serial none -> 1, expires in ";
	AWAIT_LOG(expires);
	uint64_t left = strtoul(strstr(log_text, expires) + strlen(expires), NULL, 10), passed = now_ms() - began;
	ck_assert(left <= 86400 && left * 1000 + passed + 1000 >= 86400000); /* Whole seconds, of which a part is over. */
	ck_assert_int_eq(served(zone), 1);
	ck_assert_uint_eq(server.soa_udp + server.soa_tcp, 0); /* Nothing to compare with. */
	ck_assert_uint_eq(log_count("AXFR, incoming, remote 127.0.0.1@"), 2);
	ck_assert_ptr_nonnull(strstr(log_text, ", 2 messages, 1"));

	server_set(&server, ANSWER, 2);
	struct sockaddr_storage from = support_loopback(1);
	worker_notify(zone, &from, true, 2);
	AWAIT_LOG("zone updated, ");
	AWAIT_LOG("serial 1 -> 2");
	ck_assert_int_eq(served(zone), 2);
	worker_notify(zone, &from, true, 2); /* Known. */
	ck_assert_int_eq(command(zone, REFRESH_CHECK), 0);
	AWAIT_LOG("remote serial 2, zone is up-to-date");
	ck_assert_uint_eq(server.soa_udp, 2);
	ck_assert_uint_eq(server.axfr, 2);
	ck_assert_int_eq(command(zone, REFRESH_RETRANSFER), 0);
	AWAIT_LOG("serial 2 -> 2");
	zone_end(zone);
	server_stop(&server);
}
END_TEST

START_TEST(test_refused)
{
	static primary_server_t server;
	server_start(&server, REFUSE);
	zone_t *zone = zone_begin("example.com", STANZA(server.port));
	AWAIT_LOG("failed (server responded with error 'REFUSED'), next retry at ");
	ck_assert_int_eq(served(zone), -1);
	server_set(&server, ANSWER, 7);
	command(zone, REFRESH_CHECK);
	AWAIT_LOG("serial none -> 7");

	log_clear();
	server_set(&server, REFUSE, 8);
	notify(zone);
	AWAIT_LOG("failed (server responded with error 'REFUSED'), next retry at ");
	ck_assert_int_eq(served(zone), 7);
	zone_end(zone);
	server_stop(&server);
}
END_TEST

/*! Of a primary that knows no EDNS a zone comes nevertheless; `no-edns` spares it the question that it cannot read. */
START_TEST(test_no_edns)
{
	bool is_told = _i;
	static primary_server_t server;
	server_start(&server, NO_EDNS);
	stanza_t *settings = STANZA(server.port);
	settings->primary[0].no_edns = is_told;
	zone_t *zone = zone_begin("example.com", settings);
	AWAIT_LOG("serial none -> 1");
	ck_assert_uint_eq(server.axfr, is_told ? 1 : 2);

	server_set(&server, NO_EDNS, 2);
	notify(zone);
	AWAIT_LOG("serial 1 -> 2");
	ck_assert_uint_eq(server.soa_udp, is_told ? 1 : 2);
	ck_assert_uint_eq(server.axfr, is_told ? 2 : 4);
	ck_assert_uint_eq(server.with_opt, is_told ? 0 : 3);
	ck_assert_uint_eq(server.soa_tcp, 0);
	ck_assert_uint_eq(log_count("failed"), 0);

	/* One that cannot read the plain question either is not asked for ever. */
	server_set(&server, UNREADABLE, 3);
	notify(zone);
	AWAIT_LOG("failed (server responded with error 'FORMERR'), next retry at ");
	ck_assert_uint_eq(server.soa_udp, is_told ? 2 : 4);
	command(zone, REFRESH_RETRANSFER);
	AWAIT(log_count("failed (server responded with error 'FORMERR'), next retry at ") == 2);
	ck_assert_uint_eq(server.axfr, is_told ? 3 : 6);
	zone_end(zone);
	server_stop(&server);
}
END_TEST

START_TEST(test_dead_first)
{
	static primary_server_t server;
	server_start(&server, ANSWER);
	unsigned dead = dead_port();
	zone_t *zone = zone_begin("example.com", STANZA(dead, server.port));
	AWAIT_LOG("serial none -> 1");
	ck_assert_uint_eq(log_count("failed (connection refused)"), 1);

	/* The next zone's check does not try it; an urgent one does. Both go on to the living one. */
	zone_t *next = zone_begin("example.net", STANZA(dead, server.port));
	AWAIT_LOG("[example.net.] refresh, remote 127.0.0.1@");
	AWAIT(log_count("serial none -> 1") == 2);
	server_set(&server, ANSWER, 2);
	notify(zone);
	AWAIT_LOG("serial 1 -> 2");
	ck_assert_uint_eq(log_count("failed (connection refused)"), 3);
	zone_end(zone);
	zone_end(next);
	server_stop(&server);
}
END_TEST

START_TEST(test_truncated)
{
	static primary_server_t server;
	server_start(&server, TRUNCATE);
	zone_t *zone = zone_begin("example.com", STANZA(server.port));
	AWAIT_LOG("serial none -> 1");
	command(zone, REFRESH_CHECK);
	AWAIT_LOG("remote serial 1, zone is up-to-date");
	ck_assert_uint_eq(server.soa_udp, 1);
	ck_assert_uint_eq(server.soa_tcp, 1);
	zone_end(zone);
	server_stop(&server);
}
END_TEST

/*! A primary with a key is not believed unsigned, neither with a transfer nor with a SOA. */
START_TEST(test_unsigned)
{
	static primary_server_t server;
	server_start(&server, ANSWER);
	stanza_t *keyed = STANZA(server.port);
	ck_assert_int_eq(knot_tsig_key_init(&keyed->primary[0].key, "hmac-sha256", "k.", "c2VjcmV0"), 0);
	zone_t *zone = zone_begin("example.com", keyed);
	AWAIT_LOG("next retry at ");
	ck_assert_int_eq(served(zone), -1);
	ck_assert_uint_eq(log_count("finished"), 0);
	zone_end(zone);
	server_stop(&server);
}
END_TEST

START_TEST(test_gone_during_transfer)
{
	static primary_server_t server;
	server_start(&server, STALL);
	zone_t *zone;
	for (unsigned i = 1; i <= 2 * options.transfer_limit; i++) {
		log_clear();
		zone = zone_begin("example.com", STANZA(server.port));
		AWAIT_LOG("AXFR, incoming, ");
		zone_end(zone);
		AWAIT(server.closed == i);
	}

	/* The same name comes again, as a new zone. */
	server_set(&server, ANSWER, 3);
	zone = zone_begin("example.com", STANZA(server.port));
	AWAIT_LOG("serial none -> 3");
	zone_end(zone);
	server_stop(&server);
}
END_TEST

START_TEST(test_reload)
{
	static primary_server_t server, other;
	server_start(&server, ANSWER);
	server_start(&other, ANSWER);
	zone_t *zone = zone_begin("example.com", STANZA(server.port));
	AWAIT_LOG("serial none -> 1");

	/* Loaded again with the same settings: nothing happens. */
	ck_assert_int_eq(worker_start(&options), 0);
	ck_assert_ptr_eq(zone_begin("example.com", STANZA(server.port)), zone);
	zone_end(zone);
	worker_stop();
	ck_assert_int_eq(command(zone, REFRESH_CHECK), 0);
	AWAIT_LOG("zone is up-to-date");
	ck_assert_uint_eq(server.soa_udp, 1);
	ck_assert_uint_eq(server.axfr, 1);

	/* Another primary: it is asked at once. */
	server_set(&other, ANSWER, 2);
	ck_assert_int_eq(worker_zone_set(zone, stanza_intern(STANZA(other.port))), 0);
	AWAIT_LOG("serial 1 -> 2");
	ck_assert_uint_eq(other.axfr, 1);
	zone_end(zone);
	server_stop(&server);
	server_stop(&other);
}
END_TEST

START_TEST(test_call_unknown)
{
	uint8_t wire[255];
	support_name("example.com", wire);
	zone_t *zone;
	ck_assert_int_eq(zone_attach(wire, INSTANCE, &zone), 0);
	ck_assert_int_eq(command(zone, REFRESH_CHECK), KNOT_ENOENT);
	notify(zone);
	zone_end(zone);
}
END_TEST

static void *load_and_fail(void *unused)
{
	zone_end(zone_begin("failed.example", STANZA(1)));
	return unused;
}

/*! At start a load() that fails runs in a thread that is not registered with RCU: it must not be the last to hold the zone. */
START_TEST(test_load_fails)
{
	static primary_server_t server;
	server_start(&server, ANSWER);
	for (unsigned i = 0; i < 20; i++) {
		log_clear();
		if (i % 2 == 1) { /* The worker looks at it only when the thread has ended. */
			hold("serial none -> 1");
		}
		zone_t *zone = zone_begin("example.com", STANZA(server.port));
		AWAIT(i % 2 == 0 ? log_count("serial none -> 1") == 1 : is_held);
		pthread_t thread;
		pthread_create(&thread, NULL, load_and_fail, NULL);
		pthread_join(thread, NULL);
		release();
		zone_end(zone);
	}
	server_stop(&server);
}
END_TEST

/*! A socket that NOTIFY comes to. */
static int target_open(unsigned *ret_port)
{
	struct sockaddr_storage addr = support_loopback(0);
	socklen_t len = sizeof(struct sockaddr_in);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
	getsockname(fd, (struct sockaddr *)&addr, &len);
	*ret_port = ntohs(((struct sockaddr_in *)&addr)->sin_port);
	return fd;
}

/*! Waits for NOTIFY and leaves it unanswered. */
static size_t target_read(int fd, uint8_t msg[static 512], struct sockaddr_in *ret_from)
{
	struct pollfd poller = { fd, POLLIN, 0 };
	ck_assert_int_eq(poll(&poller, 1, 30000), 1);
	socklen_t from_len = sizeof(*ret_from);
	ssize_t len = recvfrom(fd, msg, 512, 0, (struct sockaddr *)ret_from, &from_len);
	ck_assert_int_gt(len, 20);
	ck_assert_uint_eq(msg[2], 0x24); /* NOTIFY, AA */
	return len;
}

/*! Waits for NOTIFY, answers, and returns its serial: the SOA stands at the end. */
static uint32_t target_hear(int fd)
{
	uint8_t msg[512];
	struct sockaddr_in from;
	size_t len = target_read(fd, msg, &from);
	knot_wire_set_qr(msg);
	ck_assert_int_eq(sendto(fd, msg, len, 0, (struct sockaddr *)&from, sizeof(from)), len);
	return knot_wire_read_u32(msg + len - 20);
}

/*! The same for what comes after \a last, which may be told again before the answer is read. */
static uint32_t target_hear_next(int fd, uint32_t last)
{
	uint32_t serial;
	do {
		serial = target_hear(fd);
	} while (serial == last);
	return serial;
}

static stanza_t *telling(unsigned port, unsigned target)
{
	stanza_t *plain = STANZA(port), *made = stanza_new(1, 1);
	memcpy(made, plain, offsetof(stanza_t, primary_count));
	made->next = NULL;
	made->primary[0] = plain->primary[0];
	made->target[0].addr = support_loopback(target);
	stanza_release(plain);
	return made;
}

START_TEST(test_notify_out)
{
	static primary_server_t server;
	server_start(&server, ANSWER);
	unsigned port, other_port;
	int target = target_open(&port), other = target_open(&other_port);
	zone_t *zone = zone_begin("example.com", telling(server.port, port));
	ck_assert_uint_eq(target_hear(target), 1);
	server_set(&server, ANSWER, 2);
	notify(zone);
	ck_assert_uint_eq(target_hear_next(target, 1), 2);
	ck_assert_int_eq(worker_notify_out(zone, NULL), 0);
	ck_assert_uint_eq(target_hear(target), 2);

	ck_assert_int_eq(worker_zone_set(zone, stanza_intern(telling(server.port, other_port))), 0);
	ck_assert_int_eq(worker_notify_out(zone, NULL), 0);
	ck_assert_uint_eq(target_hear(other), 2);
	zone_end(zone);
	close(target);
	close(other);
	server_stop(&server);
}
END_TEST

/*! A silent target hears of one zone at a time. When that has other targets, the next one's turn has come. */
START_TEST(test_notify_out_place)
{
	static primary_server_t server;
	server_start(&server, ANSWER);
	unsigned port, other_port;
	int target = target_open(&port), other = target_open(&other_port);
	uint8_t msg[512];
	struct sockaddr_in from;
	zone_t *first = zone_begin("example.com", telling(server.port, port));
	target_read(target, msg, &from);
	zone_t *second = zone_begin("second.example", telling(server.port, port));
	AWAIT(log_count("serial none -> 1") == 2);
	/* The letter is answered after what led to that line. */
	ck_assert_int_eq(worker_command(second, REFRESH_CHECK, NULL), 0);
	ck_assert_int_eq(worker_zone_set(first, stanza_intern(telling(server.port, other_port))), 0);
	do {
		target_read(target, msg, &from);
	} while (memcmp(msg + KNOT_WIRE_HEADER_SIZE, second->name, second->name_len) != 0);
	zone_end(first);
	zone_end(second);
	close(target);
	close(other);
	server_stop(&server);
}
END_TEST

static const char *await(worker_wait_t *wait)
{
	ck_assert(worker_await(wait, 20000));
	return wait->failure;
}

/*!
 * All that the worker has to send so far has come to the primary: a transfer of \a other begins with what waits or later, and ends
 * in a later turn of the loop; datagrams come in order.
 */
static void flush(zone_t *other, primary_server_t *server)
{
	pthread_mutex_lock(&lock);
	const unsigned transfers = log_count("serial 1 -> 1"), flushed = server->flushed;
	pthread_mutex_unlock(&lock);
	ck_assert_int_eq(command(other, REFRESH_RETRANSFER), 0);
	AWAIT(log_count("serial 1 -> 1") > transfers);
	const struct sockaddr_storage addr = support_loopback(server->port);
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(sendto(fd, "", 1, 0, (const struct sockaddr *)&addr, sizeof(struct sockaddr_in)), 1);
	close(fd);
	AWAIT(server->flushed > flushed);
}

/*! So many checks are under way with the primary, no more. */
static void assert_kept(zone_t *other, primary_server_t *server, unsigned count)
{
	AWAIT(server->kept_count >= count);
	flush(other, server);
	pthread_mutex_lock(&lock);
	const unsigned kept = server->kept_count;
	pthread_mutex_unlock(&lock);
	ck_assert_uint_eq(kept, count);
}

/*! 128 checks under way with one address, 256 in all; the others wait for their turn. */
START_TEST(test_checks_under_way)
{
	/* Of the first two primaries one zone proves that it answers, 128 are under way then, two wait. */
	enum { OF_ONE = 1 + 128 + 2, ZONES = 2 * OF_ONE + 1 };
	static primary_server_t server[3];
	zone_t *zone[ZONES];
	for (unsigned i = 0; i < 3; i++) {
		server_start(&server[i], ANSWER);
	}
	for (unsigned i = 0; i < ZONES; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%c%03u", 'a' + i / OF_ONE, i % OF_ONE);
		zone[i] = zone_begin(name, STANZA(server[i / OF_ONE].port));
	}
	zone_t *other = zone_begin("other", STANZA(server[2].port));
	AWAIT(log_count("serial none -> 1") == ZONES + 1);
	for (unsigned i = 0; i < 3; i++) {
		server_set(&server[i], KEEP, 1);
	}

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned j = 0; j < OF_ONE; j++) {
			notify(zone[i * OF_ONE + j]);
		}
		assert_kept(other, &server[i], 1);
		answer_kept(&server[i], 1);
		assert_kept(other, &server[i], 128);
	}
	notify(zone[ZONES - 1]);
	assert_kept(other, &server[2], 0);
	assert_kept(other, &server[0], 128);

	/* The place of one that ends is the third primary's, whose turn it is. */
	answer_kept(&server[0], 1);
	assert_kept(other, &server[2], 1);
	assert_kept(other, &server[0], 127);
	for (unsigned i = 0; i < 3; i++) {
		server_set(&server[i], ANSWER, 1);
		answer_kept(&server[i], KEPT_MAX);
	}
	AWAIT(log_count("zone is up-to-date") == ZONES);
	zone_end(other);
	for (unsigned i = 0; i < ZONES; i++) {
		zone_end(zone[i]);
	}
	for (unsigned i = 0; i < 3; i++) {
		server_stop(&server[i]);
	}
}
END_TEST

/*! Who waits for the end of a command hears of it, with the reason where it failed. */
START_TEST(test_waits)
{
	static primary_server_t server;
	server_start(&server, ANSWER);
	unsigned port;
	int target = target_open(&port);
	zone_t *zone = zone_begin("example.com", telling(server.port, port));
	AWAIT_LOG("serial none -> 1");
	ck_assert_uint_eq(target_hear(target), 1);

	static worker_wait_t done, again, failed, purged, told, stalled;
	server_set(&server, ANSWER, 2);
	ck_assert_int_eq(worker_command(zone, REFRESH_CHECK, &done), 0);
	ck_assert_int_eq(worker_command(zone, REFRESH_CHECK, &again), 0);
	ck_assert_str_eq(await(&done), "");
	ck_assert_int_eq(served(zone), 2);
	ck_assert_str_eq(await(&again), "");

	server_set(&server, REFUSE, 3);
	ck_assert_int_eq(worker_command(zone, REFRESH_RETRANSFER, &failed), 0);
	ck_assert_str_eq(await(&failed), "server responded with error 'REFUSED'");
	ck_assert_int_eq(served(zone), 2);

	server_set(&server, ANSWER, 1);
	ck_assert_int_eq(worker_command(zone, REFRESH_PURGE, &purged), 0);
	ck_assert_str_eq(await(&purged), "");
	ck_assert_int_eq(served(zone), 1);

	ck_assert_int_eq(worker_notify_out(zone, &told), 0);
	ck_assert(!worker_await(&told, 1)); /* The target has not answered. */
	worker_forget(zone, &told);

	server_set(&server, STALL, 2);
	log_clear();
	ck_assert_int_eq(worker_command(zone, REFRESH_RETRANSFER, &stalled), 0);
	AWAIT_LOG("AXFR, incoming");
	errand_progress_t progress = { 0 };
	ck_assert_int_eq(worker_look(zone, visit_nothing, NULL, &progress), 0);
	ck_assert(progress.is_running && progress.counts.messages == 1 && progress.counts.records > 0);
	zone_end(zone);
	ck_assert_str_eq(await(&stalled), "no such zone found");
	close(target);
	server_stop(&server);
}
END_TEST

/*! A zone is purged while its versions are compared: nobody is told of what is not there, and nothing of it is kept. */
START_TEST(test_purge_while_comparing)
{
	static primary_server_t server;
	server_start(&server, ANSWER);
	unsigned port;
	int target = target_open(&port);
	char directory[] = "/tmp/secondary-worker.XXXXXX", file[sizeof(directory) + 32];
	ck_assert_ptr_nonnull(mkdtemp(directory));
	stanza_t *settings = telling(server.port, port);
	settings->difference_max_size = 1 << 20;
	settings->store = strdup(directory);
	zone_t *zone = zone_begin("large.example", settings);
	ck_assert_uint_eq(target_hear(target), 1);

	occupy();
	server_set(&server, ANSWER, 2);
	notify(zone);
	AWAIT_LOG("serial 1 -> 2");
	server_set(&server, REFUSE, 2);
	static worker_wait_t purged, checked;
	ck_assert_int_eq(worker_command(zone, REFRESH_PURGE, &purged), 0);
	ck_assert_str_eq(await(&purged), "server responded with error 'REFUSED'");
	vacate();

	server_set(&server, ANSWER, 3);
	ck_assert_int_eq(worker_command(zone, REFRESH_CHECK, &checked), 0);
	ck_assert_str_eq(await(&checked), "");
	ck_assert_uint_eq(target_hear_next(target, 1), 3);
	ck_assert_uint_eq(zone->history.count, 0);
	zone_end(zone);
	worker_stop();
	ck_assert_int_eq(worker_start(&options), 0);
	sprintf(file, "%s/large.example.zone", directory);
	ck_assert_int_eq(unlink(file), 0);
	sprintf(file, "%s/lock", directory);
	ck_assert_int_eq(unlink(file), 0);
	ck_assert_int_eq(rmdir(directory), 0);
	close(target);
	server_stop(&server);
}
END_TEST

/*! No more transfers than allowed at once, in all and from one address; all come in the end. */
START_TEST(test_limits)
{
	enum { ZONES = 30, SERVERS = 3 };
	static primary_server_t servers[SERVERS];
	for (unsigned i = 0; i < SERVERS; i++) {
		server_start(&servers[i], STALL);
	}
	zone_t *zones[ZONES];
	char name[32];
	for (unsigned i = 0; i < ZONES; i++) {
		snprintf(name, sizeof(name), "z%u.example", i);
		zones[i] = zone_begin(name, STANZA(servers[i % SERVERS].port));
	}
	AWAIT(log_count("started") == options.transfer_limit);
	ck_assert_int_eq(command(zones[0], REFRESH_CHECK), 0); /* A turn of the loop: no other has begun. */
	ck_assert_uint_eq(log_count("started"), options.transfer_limit);
	for (unsigned i = 0; i < SERVERS; i++) {
		server_set(&servers[i], ANSWER, 1);
	}
	AWAIT(log_count("serial none -> 1") == ZONES);
	for (unsigned i = 0; i < ZONES; i++) {
		zone_end(zones[i]);
	}
	for (unsigned i = 0; i < SERVERS; i++) {
		ck_assert_uint_le(servers[i].open_most, options.transfer_limit_remote);
		server_stop(&servers[i]);
	}
}
END_TEST

static stanza_t *patient_for(unsigned port, uint32_t idle_ms)
{
	stanza_t *made = STANZA(port);
	made->transfer_idle_timeout_ms = idle_ms;
	return made;
}

static stanza_t *impatient(unsigned port)
{
	return patient_for(port, 200);
}

/*! NOTIFY and commands go ahead of scheduled transfers that still wait. */
START_TEST(test_promoted)
{
	enum { ZONES = 12 };
	static primary_server_t server;
	server_start(&server, STALL);
	zone_t *zones[ZONES];
	char name[32];
	for (unsigned i = 0; i < ZONES; i++) {
		snprintf(name, sizeof(name), "z%u.example", i);
		zones[i] = zone_begin(name, STANZA(server.port));
	}
	AWAIT(log_count("started") == options.transfer_limit_remote);
	notify(zones[ZONES - 1]);
	ck_assert_int_eq(command(zones[ZONES - 2], REFRESH_CHECK), 0);
	server_set(&server, ANSWER, 1);
	AWAIT(log_count("serial none -> 1") == ZONES);

	const char *notified = strstr(log_text, "[z11.example.] AXFR, incoming");
	const char *commanded = strstr(log_text, "[z10.example.] AXFR, incoming");
	const char *scheduled = strstr(log_text, "[z8.example.] AXFR, incoming");
	ck_assert(notified < scheduled && commanded < scheduled);
	for (unsigned i = 0; i < ZONES; i++) {
		zone_end(zones[i]);
	}
	server_stop(&server);
}
END_TEST

static void visit_pause(refresh_t *refresh, void *ctx)
{
	refresh_status_t status;
	refresh_status(refresh, &status);
	*(uint64_t *)ctx = status.next_check_ms - status.now_ms;
}

/*! A primary that did not answer is left alone, but not by who is in a hurry. */
START_TEST(test_pause)
{
	static primary_server_t server;
	server_start(&server, SILENT);
	uint64_t began = now_ms();
	zone_t *zone = zone_begin("one.example", impatient(server.port));
	AWAIT_LOG("[one.example.] refresh, failed (");
	zone_t *next = zone_begin("two.example", impatient(server.port));
	AWAIT_LOG("[two.example.] refresh, failed (");
	unsigned asked = server.axfr;
	uint64_t pause;
	ck_assert_int_eq(worker_call(next, visit_pause, &pause), 0);
	uint64_t passed = now_ms() - began;
	if (passed < WORKER_SILENT_PAUSE_MS) { /* Else the machine is slow, and the pause is over. */
		ck_assert_uint_le(asked, 1);
		ck_assert(pause + passed >= WORKER_SILENT_PAUSE_MS && pause <= WORKER_SILENT_PAUSE_MS);
	}

	server_set(&server, ANSWER, 1);
	command(next, REFRESH_CHECK);
	AWAIT_LOG("[two.example.] refresh, remote 127.0.0.1@");
	AWAIT(served(next) == 1);
	zone_end(zone);
	zone_end(next);
	server_stop(&server);
}
END_TEST

/*! Datagrams without answer are repeated, then TCP is tried. Takes seven seconds, or twelve. */
START_TEST(test_silent_datagrams)
{
	static primary_server_t server;
	server_start(&server, ANSWER);
	zone_t *zone = zone_begin("example.com", STANZA(server.port));
	AWAIT_LOG("serial none -> 1");
	server_set(&server, _i == 0 ? TCP_ONLY : SILENT, 1);
	command(zone, REFRESH_CHECK);
	AWAIT_LOG(_i == 0 ? "remote serial 1, zone is up-to-date" : "failed (connection timeout), next retry at ");
	ck_assert_uint_eq(server.soa_udp, 1);
	ck_assert_uint_eq(server.soa_repeated, 2);
	ck_assert_uint_eq(server.soa_tcp, 1);
	zone_end(zone);
	server_stop(&server);
}
END_TEST

/*! A primary that is silent about one zone, but answers others meanwhile, is not left alone. */
START_TEST(test_mute_zone)
{
	static primary_server_t server;
	server_start(&server, STALL);
	zone_t *good = zone_begin("good.example", STANZA(server.port));
	AWAIT_LOG("[good.example.] AXFR, incoming, ");
	zone_t *mute = zone_begin("mute.example", patient_for(server.port, 1500));
	AWAIT(server.axfr == 2);
	server_set(&server, ANSWER, 1);
	AWAIT_LOG("[mute.example.] refresh, failed (");
	zone_t *next = zone_begin("next.example", STANZA(server.port));
	AWAIT_LOG("[next.example.] refresh, ");
	ck_assert_int_eq(served(good), 1);
	ck_assert_int_eq(served(next), 1);
	zone_end(good);
	zone_end(mute);
	zone_end(next);
	server_stop(&server);
}
END_TEST

/*! Zones go while they are about to hear that their primary does not answer. */
START_TEST(test_gone_while_failing)
{
	enum { ZONES = 600 };
	static primary_server_t server;
	server_start(&server, SILENT);
	zone_t *zones[ZONES];
	char name[32];
	hold("refresh, failed (");
	for (unsigned i = 0; i < ZONES; i++) {
		snprintf(name, sizeof(name), "z%u.example", i);
		zones[i] = zone_begin(name, impatient(server.port));
	}
	AWAIT(is_held);
	for (unsigned i = ZONES; i > 0; i--) { /* The last ones hear of it last. */
		zone_end(zones[i - 1]);
	}
	release();
	server_stop(&server);
}
END_TEST

/*! A NOTIFY that is absorbed may be the one with the news. */
START_TEST(test_absorbed_notify)
{
	static primary_server_t server;
	server_start(&server, ANSWER);
	hold("serial none -> 1");
	zone_t *zone = zone_begin("example.com", STANZA(server.port));
	AWAIT(is_held);
	server_set(&server, ANSWER, 2);
	struct sockaddr_storage from = support_loopback(1);
	worker_notify(zone, &from, true, 1);
	worker_notify(zone, &from, true, 2);
	release();
	AWAIT_LOG("serial 1 -> 2");
	zone_end(zone);
	server_stop(&server);
}
END_TEST

/*! A primary that says nothing is tried once by all its zones, and holds up none of another primary. */
START_TEST(test_silent)
{
	enum { ZONES = 300 };
	static primary_server_t silent, server;
	server_start(&silent, SILENT);
	server_start(&server, ANSWER);
	zone_t *zones[ZONES], *other;
	char name[32];
	uint64_t began = now_ms();
	for (unsigned i = 0; i < ZONES; i++) {
		snprintf(name, sizeof(name), "z%u.example", i);
		zones[i] = zone_begin(name, patient_for(silent.port, 300));
	}
	other = zone_begin("other.example", STANZA(server.port));
	AWAIT_LOG("[other.example.] refresh, remote ");
	AWAIT(log_count("failed (connection timeout), next retry at") >= ZONES);
	unsigned asked = silent.axfr;
	ck_assert_uint_le(asked, 1 + (now_ms() - began) / WORKER_SILENT_PAUSE_MS);
	for (unsigned i = 0; i < ZONES; i++) {
		zone_end(zones[i]);
	}
	zone_end(other);
	server_stop(&silent);
	server_stop(&server);
}
END_TEST

#ifndef __has_feature
#define __has_feature(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>

/*! When the worker has stopped, what the last zones served is freed, not only about to be. */
START_TEST(test_stop_frees)
{
	static primary_server_t server;
	server_start(&server, ANSWER);
	zone_t *zone = zone_begin("example.com", STANZA(server.port));
	AWAIT_LOG("serial none -> 1");
	rcu_read_lock();
	const snapshot_t *snapshot = zone_borrow(zone);
	rcu_read_unlock();
	ck_assert(!__asan_address_is_poisoned(snapshot));
	zone_end(zone);
	worker_stop();
	ck_assert(__asan_address_is_poisoned(snapshot));
	ck_assert_int_eq(worker_start(&options), 0);
	server_stop(&server);
}
END_TEST
#endif

/*! The thread is stopped while zones wait, probe, transfer, pause and are being set. */
START_TEST(test_stop)
{
	enum { ZONES = 60 };
	static primary_server_t server, silent;
	server_start(&server, _i % 2 ? STALL : ANSWER);
	server_start(&silent, SILENT);
	unsigned dead = dead_port();
	zone_t *zones[ZONES];
	char name[32];
	ck_assert_int_eq(worker_start(&options), 0);
	for (unsigned i = 0; i < ZONES; i++) {
		snprintf(name, sizeof(name), "z%u.example", i);
		zones[i] = zone_begin(name, i % 3 == 0 ? STANZA(server.port) : i % 3 == 1 ? STANZA(silent.port, dead)
		                                                                         : STANZA(dead, server.port));
	}
	if (_i >= 2) {
		AWAIT_LOG("AXFR, incoming, ");
	}
	if (_i >= 4) {
		for (unsigned i = 0; i < ZONES; i++) {
			notify(zones[i]);
		}
	}
	worker_stop();
	if (_i < 6) { /* Else zones go after the thread. */
		for (unsigned i = 0; i < ZONES; i++) {
			zone_end(zones[i]);
		}
	}
	worker_stop();
	if (_i >= 6) {
		for (unsigned i = 0; i < ZONES; i++) {
			zone_forget(zones[i]);
			zone_detach(zones[i], INSTANCE);
			zone_release(zones[i]);
		}
	}
	ck_assert_int_eq(worker_start(&options), 0); /* Again, from nothing. */
	server_stop(&server);
	server_stop(&silent);
}
END_TEST

/*! A zone outlives the thread: what it serves stays, and the next thread takes it over. */
START_TEST(test_restart)
{
	static primary_server_t server;
	server_start(&server, ANSWER);
	stanza_t *settings = stanza_intern(STANZA(server.port));
	zone_t *zone = zone_begin("example.com", STANZA(server.port));
	AWAIT_LOG("serial none -> 1");
	worker_stop();
	ck_assert_int_eq(served(zone), 1);
	ck_assert_int_eq(settings->refs, 1); /* Ours. */
	stanza_release(settings);
	ck_assert_int_eq(worker_start(&options), 0);
	server_set(&server, ANSWER, 2);
	ck_assert_int_eq(worker_zone_set(zone, stanza_intern(STANZA(server.port))), 0);
	AWAIT_LOG("serial 1 -> 2");
	zone_end(zone);
	server_stop(&server);
}
END_TEST

/* Readers, notifiers and reloads at once. */

static struct {
	zone_t *zone;
	unsigned port;
	bool stop;
} race;

static void *race_read(void *unused)
{
	rcu_register_thread();
	int64_t last = -1;
	while (!__atomic_load_n(&race.stop, __ATOMIC_RELAXED)) {
		int64_t serial = served(race.zone);
		ck_assert_int_ge(serial, last);
		last = serial;
	}
	rcu_unregister_thread();
	return unused;
}

static void *race_notify(void *unused)
{
	rcu_register_thread();
	struct sockaddr_storage from = support_loopback(1);
	for (uint32_t i = 0; !__atomic_load_n(&race.stop, __ATOMIC_RELAXED); i++) {
		rcu_read_lock();
		worker_notify(race.zone, &from, i % 3 != 0, i);
		rcu_read_unlock();
	}
	rcu_unregister_thread();
	return unused;
}

static void *race_reload(void *unused)
{
	rcu_register_thread();
	for (unsigned i = 0; !__atomic_load_n(&race.stop, __ATOMIC_RELAXED); i++) {
		stanza_t *settings = STANZA(race.port);
		settings->refresh_jitter_ms = i % 2;
		ck_assert_int_eq(worker_start(&options), 0);
		ck_assert_ptr_eq(zone_begin("example.com", settings), race.zone);
		zone_end(race.zone);
		worker_stop();
		zone_end(zone_begin("other.example", STANZA(race.port)));
		command(race.zone, REFRESH_CHECK);
	}
	rcu_unregister_thread();
	return unused;
}

START_TEST(test_race)
{
	static primary_server_t server;
	server_start(&server, ANSWER);
	race.stop = false;
	race.port = server.port;
	race.zone = zone_begin("example.com", STANZA(server.port));
	AWAIT_LOG("serial none -> 1");
	void *(*const bodies[])(void *) = { race_read, race_read, race_notify, race_notify, race_reload };
	pthread_t threads[5];
	for (unsigned i = 0; i < 5; i++) {
		pthread_create(&threads[i], NULL, bodies[i], NULL);
	}
	char text[64];
	uint32_t last = support_is_full() ? 500 : 50;
	for (uint32_t serial = 2; serial <= last; serial++) {
		log_clear();
		server_set(&server, ANSWER, serial);
		notify(race.zone);
		/* Of this zone: the other one, which comes and goes, has nothing before. */
		snprintf(text, sizeof(text), "serial %u -> %u,", serial - 1, serial);
		AWAIT_LOG(text);
	}
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 5; i++) {
		pthread_join(threads[i], NULL);
	}
	ck_assert_int_eq(served(race.zone), last);
	zone_end(race.zone);
	server_stop(&server);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("worker");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, test_bootstrap_and_notify);
	tcase_add_test(tcase, test_refused);
	tcase_add_loop_test(tcase, test_no_edns, 0, 2);
	tcase_add_test(tcase, test_dead_first);
	tcase_add_test(tcase, test_truncated);
	tcase_add_test(tcase, test_unsigned);
	tcase_add_test(tcase, test_gone_during_transfer);
	tcase_add_test(tcase, test_reload);
	tcase_add_test(tcase, test_call_unknown);
	tcase_add_test(tcase, test_load_fails);
	tcase_add_test(tcase, test_notify_out);
	tcase_add_test(tcase, test_notify_out_place);
	tcase_add_test(tcase, test_checks_under_way);
	tcase_add_test(tcase, test_waits);
	tcase_add_test(tcase, test_purge_while_comparing);
	tcase_add_test(tcase, test_limits);
	tcase_add_test(tcase, test_silent);
	tcase_add_test(tcase, test_promoted);
	tcase_add_test(tcase, test_pause);
	if (support_is_full()) {
		tcase_add_loop_test(tcase, test_silent_datagrams, 0, 2);
	}
	tcase_add_test(tcase, test_mute_zone);
	tcase_add_test(tcase, test_gone_while_failing);
	tcase_add_test(tcase, test_absorbed_notify);
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
	tcase_add_test(tcase, test_stop_frees);
#endif
	tcase_add_loop_test(tcase, test_stop, 0, 8);
	tcase_add_test(tcase, test_restart);
	tcase_add_test(tcase, test_race);

	Suite *suite = suite_create("worker");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
