/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of NOTIFY out against scripted secondaries in the same loop.
 */
#include <arpa/inet.h>
#include <check.h>
#include <libknot/libknot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "secondary/notify_out.h"
#include "secondary/report.h"
#include "support.h"

#define SECRET "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"

typedef enum {
	ANSWER,
	BARE,          /*!< The header alone. */
	REFUSE,
	ODD,           /*!< An RCODE without a name. */
	SILENT,
	FIRST,         /*!< Answers the first datagram alone. */
	SECOND,        /*!< Answers from the second datagram on. */
	UNSIGNED,      /*!< Does not sign, although asked with a key. */
} manner_t;

/*! One secondary. */
typedef struct {
	uv_udp_t udp;
	unsigned port;
	manner_t manner;
	knot_tsig_key_t key;
	unsigned datagrams;
	uint32_t serial;         /*!< Of the last SOA that came. */
	stanza_t *renews;        /*!< Each datagram that comes brings a newer version, to be told with these settings. */
} peer_t;

static uv_loop_t loop;
static notify_out_t out;
static notify_zone_t list;
static zone_t *zone;
static uint32_t newest;      /*!< Serial of what serves. */
static char log_text[1 << 16];

static void log_line(const zone_t *of, int priority, const char *fmt, va_list args)
{
	ck_assert_ptr_eq(of, zone);
	size_t len = strlen(log_text);
	len += snprintf(log_text + len, sizeof(log_text) - len, "%d ", priority);
	len += vsnprintf(log_text + len, sizeof(log_text) - len, fmt, args);
	ck_assert_uint_lt(len + 2, sizeof(log_text));
	strcpy(log_text + len, "\n");
}

static unsigned log_count(const char *text)
{
	unsigned count = 0;
	for (const char *at = log_text; (at = strstr(at, text)) != NULL; at++) {
		count++;
	}
	return count;
}

/*! Runs the loop until \a is_so; the time limit only ends a test that has failed. */
#define AWAIT(is_so) do { \
	for (uint64_t limit = uv_hrtime() + 30000000000ull; !(is_so);) { \
		ck_assert_msg(uv_hrtime() < limit, "no %s; log:\n%s", #is_so, log_text); \
		uv_run(&loop, UV_RUN_ONCE); \
	} \
} while (0)

/* The secondaries. */

static void publish(unsigned serial)
{
	char text[160];
	snprintf(text, sizeof(text), "@ 77 SOA ns hostmaster %u 3600 600 86400 300\n@ NS ns\n", serial);
	zone_publish(zone, support_zone("example.com.", text), 0);
	newest = serial;
}

static void tell(stanza_t *settings)
{
	notify_out_send(&out, &list, zone, settings, false);
}

/*! What knotd sends: NOTIFY, AA, the question, our SOA in full. */
static void peer_read(peer_t *peer, uint8_t *wire, size_t len, knot_tsig_key_t *key)
{
	knot_pkt_t *pkt = knot_pkt_new(wire, len, NULL);
	ck_assert_int_eq(knot_pkt_parse(pkt, 0), KNOT_EOK);
	ck_assert_int_eq(knot_wire_get_opcode(wire), KNOT_OPCODE_NOTIFY);
	ck_assert(knot_wire_get_aa(wire) && !knot_wire_get_qr(wire) && !knot_wire_get_rd(wire));
	ck_assert(knot_dname_is_equal(knot_pkt_qname(pkt), zone->name));
	ck_assert_uint_eq(knot_pkt_qtype(pkt), KNOT_RRTYPE_SOA);
	ck_assert_uint_eq(knot_pkt_section(pkt, KNOT_ANSWER)->count, 1);
	const knot_rrset_t *soa = knot_pkt_rr(knot_pkt_section(pkt, KNOT_ANSWER), 0);
	ck_assert(soa->type == KNOT_RRTYPE_SOA && soa->ttl == 77 && knot_dname_is_equal(soa->owner, zone->name));
	ck_assert(knot_dname_is_equal(knot_soa_primary(soa->rrs.rdata), (const knot_dname_t *)"\2ns\7example\3com"));
	ck_assert_uint_eq(knot_soa_minimum(soa->rrs.rdata), 300);
	peer->serial = knot_soa_serial(soa->rrs.rdata);
	ck_assert_int_eq(pkt->tsig_rr != NULL, key->name != NULL);
	if (key->name != NULL) {
		ck_assert_int_eq(knot_tsig_server_check(pkt->tsig_rr, pkt->wire, pkt->size, key), KNOT_EOK);
	}
	knot_pkt_free(pkt);
}

static size_t peer_write(peer_t *peer, const uint8_t *query, size_t len, uint8_t *dst)
{
	memcpy(dst, query, len);
	knot_wire_set_qr(dst);
	knot_wire_set_ancount(dst, 0);
	knot_wire_set_arcount(dst, 0);
	size_t question_end = 12 + zone->name_len + 4;
	switch (peer->manner) {
	case BARE:
		knot_wire_set_qdcount(dst, 0);
		question_end = 12;
		break;
	case REFUSE:
		knot_wire_set_rcode(dst, KNOT_RCODE_REFUSED);
		break;
	case ODD:
		knot_wire_set_rcode(dst, 13);
		break;
	default:
		break;
	}
	if (peer->key.name == NULL || peer->manner == UNSIGNED) {
		return question_end;
	}
	uint8_t digest[64];
	size_t digest_len = sizeof(digest);
	const uint8_t *mac = query + len - 6 - 32;
	ck_assert_int_eq(knot_tsig_sign(dst, &question_end, 512, mac, 32, digest, &digest_len, &peer->key, 0, 0), KNOT_EOK);
	return question_end;
}

static void peer_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	(void)handle, (void)suggested;
	static char buffer[2048];
	*ret = uv_buf_init(buffer, sizeof(buffer));
}

static void peer_datagram(uv_udp_t *udp, ssize_t nread, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
	(void)flags;
	peer_t *peer = udp->data;
	if (nread <= 0 || from == NULL) {
		return;
	}
	uint8_t query[2048], response[2048];
	memcpy(query, buf->base, nread);
	peer->datagrams++;
	peer_read(peer, query, nread, &peer->key);
	if (peer->renews != NULL) {
		publish(newest + 1);
		tell(peer->renews);
	}
	if (peer->manner == SILENT || (peer->manner == SECOND && peer->datagrams == 1) || (peer->manner == FIRST && peer->datagrams > 1)) {
		return;
	}
	size_t len = peer_write(peer, (const uint8_t *)buf->base, nread, response);
	uv_buf_t reply = uv_buf_init((char *)response, len);
	ck_assert_int_ge(uv_udp_try_send(udp, &reply, 1, from), 0);
}

/*! At any port, or again at one that it had. */
static void peer_start(peer_t *peer, manner_t manner, unsigned port)
{
	memset(peer, 0, sizeof(*peer));
	peer->manner = manner;
	uv_udp_init(&loop, &peer->udp);
	peer->udp.data = peer;
	struct sockaddr_storage addr = support_loopback(port);
	ck_assert_int_eq(uv_udp_bind(&peer->udp, (struct sockaddr *)&addr, 0), 0);
	int len = sizeof(addr);
	uv_udp_getsockname(&peer->udp, (struct sockaddr *)&addr, &len);
	peer->port = ntohs(((struct sockaddr_in *)&addr)->sin_port);
	uv_udp_recv_start(&peer->udp, peer_alloc, peer_datagram);
}

/*! Its port is dead then. */
static void peer_stop(peer_t *peer)
{
	uv_close((uv_handle_t *)&peer->udp, NULL);
	while (uv_run(&loop, UV_RUN_NOWAIT) != 0 && uv_is_active((uv_handle_t *)&peer->udp)) {
		continue;
	}
	knot_tsig_key_deinit(&peer->key);
}

/* Our side. */

static stanza_t *stanza(unsigned count, const unsigned ports[])
{
	stanza_t *made = stanza_new(1, count);
	made->primary[0].addr = support_loopback(1);
	for (unsigned i = 0; i < count; i++) {
		made->target[i].addr = support_loopback(ports[i]);
	}
	return stanza_intern(made);
}

#define STANZA(...) \
	stanza(sizeof((unsigned[]) { __VA_ARGS__ }) / sizeof(unsigned), (unsigned[]) { __VA_ARGS__ })

static char instance;

static void setup(void)
{
	rcu_register_thread();
	log_text[0] = '\0';
	report_set_sink(log_line);
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	notify_out_init(&out, &loop, (const uint32_t[NOTIFY_OUT_RETRIES]) { 20, 30, 40, 50 });
	memset(&list, 0, sizeof(list));
	ck_assert_int_eq(zone_attach((const uint8_t *)"\7example\3com", (struct instance *)&instance, &zone), 0);
	publish(1);
}

static void teardown(void)
{
	notify_out_cancel(&list);
	notify_out_stop(&out);
	notify_out_clear(&out);
	uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	zone_detach(zone, (struct instance *)&instance);
	zone_publish(zone, NULL, 0);
	zone_release(zone);
	rcu_barrier();
	report_set_sink(NULL);
	rcu_unregister_thread();
}

static const struct {
	manner_t manner;
	unsigned datagrams;
	const char *line;
} manners[] = {
	{ ANSWER, 1, "6 notify, outgoing, remote 127.0.0.1@%u, serial 1\n" },
	{ BARE, 1, "6 notify, outgoing, remote 127.0.0.1@%u, serial 1\n" },
	{ REFUSE, 1, "4 notify, outgoing, remote 127.0.0.1@%u, server responded with error 'REFUSED'\n" },
	{ ODD, 1, "4 notify, outgoing, remote 127.0.0.1@%u, server responded with error 13\n" },
	{ SECOND, 2, "6 notify, outgoing, remote 127.0.0.1@%u, serial 1\n" },
};

/*! Each response ends it, and makes one line. */
START_TEST(test_response)
{
	peer_t peer;
	peer_start(&peer, manners[_i].manner, 0);
	stanza_t *settings = STANZA(peer.port);
	tell(settings);
	ck_assert_str_eq(log_text, "");
	AWAIT(LIST_EMPTY(&list.notices));
	ck_assert_uint_eq(peer.datagrams, manners[_i].datagrams);
	char line[160];
	snprintf(line, sizeof(line), manners[_i].line, peer.port);
	ck_assert_str_eq(log_text, line);
	stanza_release(settings);
	peer_stop(&peer);
}
END_TEST

START_TEST(test_nothing)
{
	peer_t peer;
	peer_start(&peer, ANSWER, 0);
	stanza_t *none = stanza(0, NULL), *settings = STANZA(peer.port);
	tell(none);
	zone_publish(zone, NULL, 1);
	tell(settings); /* Expired. */
	ck_assert(LIST_EMPTY(&list.notices));
	ck_assert_str_eq(log_text, "");
	stanza_release(none);
	stanza_release(settings);
	peer_stop(&peer);
}
END_TEST

START_TEST(test_signed)
{
	peer_t peer;
	peer_start(&peer, _i == 0 ? ANSWER : UNSIGNED, 0);
	ck_assert_int_eq(knot_tsig_key_init(&peer.key, "hmac-sha256", "key.", SECRET), 0);
	stanza_t *settings = stanza_new(1, 1);
	settings->primary[0].addr = support_loopback(1);
	settings->target[0].addr = support_loopback(peer.port);
	ck_assert_int_eq(knot_tsig_key_init(&settings->target[0].key, "hmac-sha256", "key.", SECRET), 0);
	settings = stanza_intern(settings);
	tell(settings);
	if (_i == 0) {
		AWAIT(LIST_EMPTY(&list.notices));
		ck_assert_uint_eq(log_count("serial 1"), 1);
	} else { /* Takes seven seconds. */
		AWAIT(log_count("failed (") == 1);
		ck_assert_uint_eq(peer.datagrams, 3);
		ck_assert_uint_eq(log_count("serial 1"), 0);
	}
	stanza_release(settings);
	peer_stop(&peer);
}
END_TEST

/*! A dead target is tried so many times, with two lines; one that comes back is told. */
START_TEST(test_retry)
{
	peer_t peer;
	peer_start(&peer, ANSWER, 0);
	peer_stop(&peer);
	stanza_t *settings = STANZA(peer.port);
	tell(settings);
	uint64_t began = uv_hrtime();
	if (_i == 0) {
		AWAIT(LIST_EMPTY(&list.notices));
		ck_assert_uint_ge(uv_hrtime() - began, (20 + 30 + 40 + 50) * 1000000ull);
		ck_assert_uint_eq(log_count("\n"), 2);
		ck_assert_uint_eq(log_count(", failed (connection refused)\n"), 1);
		ck_assert_uint_eq(log_count(", retry, failed (connection refused), given up\n"), 1);
	} else {
		AWAIT(log_count("failed (") == 1);
		publish(2);
		peer_start(&peer, ANSWER, peer.port);
		AWAIT(LIST_EMPTY(&list.notices));
		ck_assert_uint_eq(log_count(", retry, serial 2\n"), 1);
		peer_stop(&peer);
	}
	stanza_release(settings);
}
END_TEST

/*! A newer version: one that rests or was given up begins anew; one that was sent ends, and then the newest is told. */
START_TEST(test_newer)
{
	peer_t peer;
	peer_start(&peer, SECOND, 0);
	stanza_t *settings = STANZA(peer.port);
	tell(settings);
	AWAIT(peer.datagrams == 1);
	publish(2);
	tell(settings);
	publish(3);
	notify_out_send(&out, &list, zone, settings, true);
	AWAIT(LIST_EMPTY(&list.notices));
	ck_assert_uint_eq(peer.serial, 3);
	ck_assert_uint_eq(log_count(", serial 1\n"), 1);
	ck_assert_uint_eq(log_count(", serial 2\n"), 0);
	ck_assert_uint_eq(log_count(", serial 3\n"), 1);

	/* A dead one comes back, and hears at once: it need not rest any more. */
	peer_stop(&peer);
	memcpy(out.pause_ms, (const uint32_t[NOTIFY_OUT_RETRIES]) { 60000, 60000, 60000, 60000 }, sizeof(out.pause_ms));
	tell(settings);
	AWAIT(log_count("failed (") == 1);
	peer_start(&peer, ANSWER, peer.port);
	publish(4);
	tell(settings);
	AWAIT(LIST_EMPTY(&list.notices));
	ck_assert_uint_eq(peer.serial, 4);
	ck_assert_uint_eq(log_count("retry, serial 4"), 0);
	stanza_release(settings);
	peer_stop(&peer);
}
END_TEST

/*!
 * News come with each datagram, so faster than any answer: what is under way ends nevertheless, counts, and another zone has its
 * turn. A target that answers hears of the newest version in the end.
 */
START_TEST(test_always_newer)
{
	static const manner_t manner[] = { SECOND, SILENT };
	peer_t peer;
	peer_start(&peer, manner[_i], 0);
	peer.renews = STANZA(peer.port);
	out.pause_ms[0] = 60000;
	static notify_zone_t other;
	tell(peer.renews);
	notify_out_send(&out, &other, zone, peer.renews, false);
	if (manner[_i] == SECOND) {
		AWAIT(LIST_EMPTY(&other.notices) && log_count(", serial 1\n") == 1);
		stanza_t *settings = peer.renews;
		peer.renews = NULL;
		AWAIT(LIST_EMPTY(&list.notices));
		ck_assert_uint_eq(peer.serial, newest);
		ck_assert_uint_eq(log_count("failed"), 0);
		stanza_release(settings);
	} else { /* Takes seven seconds. What waits for a silent target fails with it, and is tried again like it. */
		AWAIT(log_count(", failed (") == 2);
		ck_assert_uint_eq(peer.serial, 1);
		ck_assert_uint_eq(out.turns.pool[0].running, 0);
		ck_assert_int_eq(list.error, KNOT_ETIMEOUT);
		notify_out_cancel(&other);
		stanza_release(peer.renews);
	}
	peer_stop(&peer);
}
END_TEST

static void on_prepare(uv_prepare_t *prepare)
{
	if (out.turns.pool[0].running > 0) {
		publish(newest + 1);
		tell(prepare->data);
	}
}

/*! News come while a notice is tried for the last time: the newer version is not given up with the older one. */
START_TEST(test_newer_than_given_up)
{
	peer_t peer;
	peer_start(&peer, ANSWER, 0);
	peer_stop(&peer);
	stanza_t *settings = STANZA(peer.port);
	uv_prepare_t prepare;
	uv_prepare_init(&loop, &prepare);
	prepare.data = settings;
	uv_prepare_start(&prepare, on_prepare); /* After the timers, which send, and before the sockets, where it fails. */
	tell(settings);
	AWAIT(log_count(", failed (connection refused)\n") == 2 || log_count("given up") == 1);
	ck_assert_uint_ge(newest, 1 + NOTIFY_OUT_RETRIES);
	ck_assert_uint_eq(log_count("given up"), 0);
	uv_close((uv_handle_t *)&prepare, NULL);
	AWAIT(LIST_EMPTY(&list.notices));
	ck_assert_uint_eq(log_count("given up"), 1);
	stanza_release(settings);
}
END_TEST

/*! A place that is given up is another zone's, as soon as the turn of the loop ends. */
START_TEST(test_place_is_given_up)
{
	peer_t peer;
	peer_start(&peer, SILENT, 0);
	stanza_t *settings = STANZA(peer.port), *none = stanza(0, NULL);
	static notify_zone_t other;
	tell(settings);
	AWAIT(peer.datagrams == 1);
	notify_out_send(&out, &other, zone, settings, false);
	ck_assert_uint_eq(out.turns.pool[0].running, 1);
	peer.manner = ANSWER;
	if (_i == 0) {
		notify_out_cancel(&list);
	} else {
		notify_out_set_stanza(&list, none);
	}
	ck_assert_uint_eq(out.turns.pool[0].running, 0);
	notify_out_start(&out);
	AWAIT(LIST_EMPTY(&other.notices));
	ck_assert_uint_eq(log_count(", serial 1\n"), 1);
	stanza_release(settings);
	stanza_release(none);
	peer_stop(&peer);
}
END_TEST

/*! What goes while it is waiting, sent, resting, failing. */
START_TEST(test_targets_go)
{
	peer_t silent, dead, good;
	peer_start(&silent, SILENT, 0);
	peer_start(&good, ANSWER, 0);
	peer_start(&dead, ANSWER, 0);
	peer_stop(&dead);
	stanza_t *all = STANZA(silent.port, dead.port, good.port), *one = STANZA(good.port, silent.port), *none = stanza(0, NULL);
	tell(all);
	AWAIT(log_count("failed (") == 1 && good.datagrams == 1 && silent.datagrams == 1);
	notify_out_set_stanza(&list, one);
	publish(2);
	tell(one); /* The silent one, known by another stanza, is the same. */
	AWAIT(good.datagrams == 2 && silent.datagrams == 2);
	ck_assert_uint_eq(silent.serial, 1); /* What was on its way is. */
	notify_out_set_stanza(&list, none);
	ck_assert(LIST_EMPTY(&list.notices));
	tell(all);
	notify_out_cancel(&list);
	tell(all);
	AWAIT(log_count("failed (") == 2);
	stanza_release(all);
	stanza_release(one);
	stanza_release(none);
	peer_stop(&silent);
	peer_stop(&good);
}
END_TEST

/*! All hear of it at once, whoever is silent or dead. */
START_TEST(test_many)
{
	enum { PEERS = 60 };
	static peer_t peers[PEERS];
	unsigned ports[PEERS], heard = 0;
	for (unsigned i = 0; i < PEERS; i++) {
		peer_start(&peers[i], i % 3 == 0 ? SILENT : ANSWER, 0);
		ports[i] = peers[i].port;
	}
	stanza_t *settings = stanza(PEERS, ports);
	uint64_t began = uv_hrtime();
	tell(settings);
	AWAIT(log_count("serial 1\n") == PEERS * 2 / 3);
	ck_assert_uint_lt(uv_hrtime() - began, 900000000); /* No datagram was sent again. */
	for (unsigned i = 0; i < PEERS; i++) {
		heard += peers[i].datagrams;
	}
	ck_assert_uint_eq(heard, PEERS);
	notify_out_cancel(&list);
	for (unsigned i = 0; i < PEERS; i++) {
		peer_stop(&peers[i]);
	}
	stanza_release(settings);
}
END_TEST

/*! Datagrams that came, in all and at one. */
static unsigned heard(const peer_t *peers, unsigned count, unsigned *ret_most)
{
	unsigned all = 0;
	*ret_most = 0;
	for (unsigned i = 0; i < count; i++) {
		all += peers[i].datagrams;
		*ret_most = peers[i].datagrams > *ret_most ? peers[i].datagrams : *ret_most;
	}
	return all;
}

/*! Many zones have news for some that answer once and fall silent: so many are on their way to one, and in all; the others wait. */
START_TEST(test_bounds)
{
	enum { PEERS = NOTIFY_OUT_MAX / NOTIFY_OUT_REMOTE_MAX + 1, ZONES = NOTIFY_OUT_REMOTE_MAX + 8 };
	static peer_t peers[PEERS];
	static notify_zone_t lists[ZONES];
	unsigned ports[PEERS];
	for (unsigned i = 0; i < PEERS; i++) {
		peer_start(&peers[i], FIRST, 0);
		ports[i] = peers[i].port;
	}
	stanza_t *settings = stanza(PEERS, ports);
	const uint64_t began = uv_hrtime();
	for (unsigned i = 0; i < ZONES; i++) {
		notify_out_send(&out, &lists[i], zone, settings, false);
	}
	unsigned most;
	AWAIT(heard(peers, PEERS, &most) >= PEERS + NOTIFY_OUT_MAX);
	for (unsigned i = 0; i < 100; i++) {
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	const unsigned all = heard(peers, PEERS, &most);
	if (uv_hrtime() - began < 900000000) { /* Else some were sent again. */
		ck_assert_uint_eq(all, PEERS + NOTIFY_OUT_MAX);
		ck_assert_uint_eq(most, 1 + NOTIFY_OUT_REMOTE_MAX);
	}
	for (unsigned i = 0; i < ZONES; i++) {
		notify_out_cancel(&lists[i]);
	}
	for (unsigned i = 0; i < PEERS; i++) {
		peer_stop(&peers[i]);
	}
	stanza_release(settings);
}
END_TEST

/*! A target that was dead need not rest when there is news, or the operator wishes it. */
START_TEST(test_dead_comes_back)
{
	peer_t peer;
	peer_start(&peer, ANSWER, 0);
	peer_stop(&peer);
	out.pause_ms[0] = 60000;
	stanza_t *settings = STANZA(peer.port);
	tell(settings);
	AWAIT(log_count("failed (") == 1);
	peer_start(&peer, ANSWER, peer.port);
	notify_out_send(&out, &list, zone, settings, _i == 0);
	AWAIT(LIST_EMPTY(&list.notices));
	ck_assert_uint_eq(peer.datagrams, 1);
	stanza_release(settings);
	peer_stop(&peer);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("notify_out");
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, test_response, 0, sizeof(manners) / sizeof(manners[0]));
	tcase_add_test(tcase, test_nothing);
	tcase_add_loop_test(tcase, test_signed, 0, support_is_full() ? 2 : 1);
	tcase_add_loop_test(tcase, test_retry, 0, 2);
	tcase_add_test(tcase, test_newer);
	tcase_add_loop_test(tcase, test_always_newer, 0, support_is_full() ? 2 : 1);
	tcase_add_test(tcase, test_newer_than_given_up);
	tcase_add_loop_test(tcase, test_place_is_given_up, 0, 2);
	tcase_add_test(tcase, test_targets_go);
	tcase_add_test(tcase, test_many);
	tcase_add_test(tcase, test_bounds);
	tcase_add_loop_test(tcase, test_dead_comes_back, 0, 2);

	Suite *suite = suite_create("notify_out");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
