/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of the control socket's units: beside libknot's own writer and reader, cut anywhere, and with random octets.
 */
#include <check.h>
#include <fcntl.h>
#include <libknot/libknot.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "secondary/control_stream.h"
#include "support.h"

/*! Units as text: "DATA command=zone-status zone=a.|BLOCK". */
static void describe(const control_unit_t *unit, char *dst, size_t max)
{
	static const char *types[] = { "END", "DATA", "EXTRA", "BLOCK" };
	size_t len = strlen(dst);
	len += snprintf(dst + len, max - len, "%s%s", len > 0 ? "|" : "", types[unit->type]);
	for (unsigned i = 0; i < KNOT_CTL_IDX__COUNT; i++) {
		if (unit->item[i] != NULL) {
			len += snprintf(dst + len, max - len, " %u=%s", i, unit->item[i]);
		}
	}
}

#define WIRE(text) (const uint8_t *)(text), sizeof(text) - 1

static const struct {
	const uint8_t *wire;
	size_t len;
	int ret;                  /*!< Of what is behind the units. */
	const char *units;
} cases[] = {
	{ WIRE(""), KNOT_EAGAIN, "" },
	{ WIRE("\3"), KNOT_EAGAIN, "BLOCK" },
	{ WIRE("\0"), KNOT_EAGAIN, "END" },
	{ WIRE("\1"), KNOT_EAGAIN, "" },
	{ WIRE("\1\3"), KNOT_EAGAIN, "DATA|BLOCK" },
	{ WIRE("\1\x10\0\6status\3"), KNOT_EAGAIN, "DATA 0=status|BLOCK" },
	{ WIRE("\1\x10\0\1x\x16\0\2a.\1\x10\0\1x\x16\0\2b.\3"), KNOT_EAGAIN, "DATA 0=x 6=a.|DATA 0=x 6=b.|BLOCK" },
	{ WIRE("\1\x10\0\1x\2\x1a\0\3y z\3\3"), KNOT_EAGAIN, "DATA 0=x|EXTRA 10=y z|BLOCK|BLOCK" },
	{ WIRE("\1\x10\0\0\3"), KNOT_EAGAIN, "DATA 0=|BLOCK" },
	{ WIRE("\1\x10\0\3a\0b\3"), KNOT_EAGAIN, "DATA 0=a|BLOCK" },
	{ WIRE("\1\x10\0\1x\x10\0\1y\3"), KNOT_EAGAIN, "DATA 0=y|BLOCK" }, /* As libknot: the last one counts. */
	{ WIRE("\1\x10"), KNOT_EAGAIN, "" },
	{ WIRE("\1\x10\0"), KNOT_EAGAIN, "" },
	{ WIRE("\1\x10\0\5abcd"), KNOT_EAGAIN, "" },
	{ WIRE("\1\x1b\0\1x\3"), KNOT_EAGAIN, "DATA 11=x|BLOCK" },
	{ WIRE("\1\x1c\0\1x\3"), KNOT_EMALF, "" },
	{ WIRE("\1\x0f\0\1x\3"), KNOT_EMALF, "" },
	{ WIRE("\4"), KNOT_EMALF, "" },
	{ WIRE("\x10\0\1x\3"), KNOT_EMALF, "" },
	{ WIRE("\3\x10\0\1x"), KNOT_EMALF, "BLOCK" },
	{ WIRE("\1\x10\x10\0"), KNOT_ESPACE, "" },
	{ WIRE("\1\x10\xff\xff"), KNOT_ESPACE, "" },
};

START_TEST(test_units)
{
	char text[256] = "";
	size_t pos = 0;
	control_unit_t unit;
	int ret;
	while ((ret = control_unit_read(cases[_i].wire, cases[_i].len, &pos, &unit)) == KNOT_EOK) {
		describe(&unit, text, sizeof(text));
	}
	ck_assert_str_eq(text, cases[_i].units);
	ck_assert_int_eq(ret, cases[_i].ret);
}
END_TEST

static void pair(control_stream_t *stream, int *ret_peer)
{
	int fds[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	control_stream_init(stream, fds[0]);
	*ret_peer = fds[1];
}

static void unpair(control_stream_t *stream, int peer)
{
	control_stream_clear(stream);
	close(stream->fd);
	if (peer >= 0) {
		close(peer);
	}
}

/*! Octet by octet, and two blocks in one piece. */
START_TEST(test_pieces)
{
	static const char wire[] = "\1\x10\0\6status\3\1\x10\0\5stats\3";
	for (size_t cut = 0; cut < sizeof(wire); cut++) {
		control_stream_t stream;
		control_unit_t unit;
		int peer;
		pair(&stream, &peer);
		ck_assert_int_eq(write(peer, wire, cut), cut);
		if (cut >= 11) { /* The first block is there. */
			ck_assert_int_eq(control_stream_receive(&stream), KNOT_EOK);
			ck_assert(control_stream_next(&stream, &unit));
			ck_assert_str_eq(unit.item[KNOT_CTL_IDX_CMD], "status");
			ck_assert(!control_stream_next(&stream, &unit));
		}
		ck_assert_int_eq(write(peer, wire + cut, sizeof(wire) - 1 - cut), sizeof(wire) - 1 - cut);
		if (cut < 11) {
			ck_assert_int_eq(control_stream_receive(&stream), KNOT_EOK);
			ck_assert(control_stream_next(&stream, &unit) && !control_stream_next(&stream, &unit));
		}
		ck_assert_int_eq(control_stream_receive(&stream), KNOT_EOK);
		ck_assert(control_stream_next(&stream, &unit));
		ck_assert_str_eq(unit.item[KNOT_CTL_IDX_CMD], "stats");
		ck_assert(!control_stream_next(&stream, &unit));
		close(peer);
		ck_assert_int_eq(control_stream_receive(&stream), KNOT_EOF);
		ck_assert(control_stream_is_closed(&stream));
		unpair(&stream, -1);
	}
}
END_TEST

/*! Octet by octet, each read for itself: what is small needs no more memory for that. */
START_TEST(test_octets)
{
	static const char wire[] = "\1\x10\0\12zone-flush\x16\0\10example.\3";
	int fds[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
	control_stream_t stream;
	control_stream_init(&stream, fds[0]);
	for (size_t i = 0; i < sizeof(wire) - 1; i++) {
		ck_assert_int_eq(write(fds[1], wire + i, 1), 1);
	}
	ck_assert_int_eq(control_stream_receive(&stream), KNOT_EOK);
	ck_assert_uint_eq(stream.in_max, CONTROL_UNIT_MAX);
	control_unit_t unit;
	ck_assert(control_stream_next(&stream, &unit));
	ck_assert_str_eq(unit.item[KNOT_CTL_IDX_ZONE], "example.");
	unpair(&stream, fds[1]);
}
END_TEST

/*! What is no block: the first reason counts, whatever comes behind it. */
static const struct {
	const char *wire;
	size_t len;
	int ret;
} refused[] = {
#define CASE(text) text, sizeof(text) - 1
	{ CASE("\0\1\x10\0\6status\3"), KNOT_EOF },
	{ CASE("\1\x10\0\6status\0\3"), KNOT_EOF },
	{ CASE("\4\1\x10\0\6status\3"), KNOT_EMALF },
	{ CASE("\1\x10\0\6status\4\3"), KNOT_EMALF },
};

START_TEST(test_refused)
{
	control_stream_t stream;
	int peer;
	pair(&stream, &peer);
	ck_assert_int_eq(write(peer, refused[_i].wire, refused[_i].len), refused[_i].len);
	ck_assert_int_eq(control_stream_receive(&stream), refused[_i].ret);
	unpair(&stream, peer);
}
END_TEST

START_TEST(test_too_long)
{
	control_stream_t stream;
	int peer;
	pair(&stream, &peer);
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		close(stream.fd);
		while (write(peer, "\1\x10\0\1x", 5) > 0) {
		}
		_exit(0);
	}
	close(peer);
	ck_assert_int_eq(control_stream_receive(&stream), KNOT_ESPACE);
	unpair(&stream, -1);
	ck_assert_int_eq(waitpid(child, NULL, 0), child); /* By SIGPIPE. */
}
END_TEST

/*! libknot's end, a server's with its own socket. */
static void *libknot_client(void *arg)
{
	knot_ctl_t *ctl = knot_ctl_alloc();
	ck_assert_int_eq(knot_ctl_connect(ctl, arg), KNOT_EOK);
	knot_ctl_data_t data = { [KNOT_CTL_IDX_CMD] = "zone-status", [KNOT_CTL_IDX_FILTER] = "rs", [KNOT_CTL_IDX_ZONE] = "a." };
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(knot_ctl_send(ctl, KNOT_CTL_TYPE_DATA, &data), KNOT_EOK);
	}
	ck_assert_int_eq(knot_ctl_send(ctl, KNOT_CTL_TYPE_BLOCK, NULL), KNOT_EOK);

	knot_ctl_type_t type;
	unsigned units = 0;
	while (knot_ctl_receive(ctl, &type, &data) == KNOT_EOK && type != KNOT_CTL_TYPE_BLOCK) {
		ck_assert_int_eq(type, units % 2 == 0 ? KNOT_CTL_TYPE_DATA : KNOT_CTL_TYPE_EXTRA);
		ck_assert_str_eq(data[KNOT_CTL_IDX_ZONE], "a.");
		ck_assert_uint_eq(strlen(data[KNOT_CTL_IDX_DATA]), units * 7 % 5000);
		units++;
	}
	ck_assert_uint_eq(units, 2000);
	ck_assert_int_eq(knot_ctl_send(ctl, KNOT_CTL_TYPE_END, NULL), KNOT_EOK);
	knot_ctl_free(ctl);
	return NULL;
}

START_TEST(test_libknot)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/control_stream.%d", (int)getpid());
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	pthread_t client;
	ck_assert_int_eq(pthread_create(&client, NULL, libknot_client, addr.sun_path), 0);

	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	control_stream_t stream;
	control_unit_t unit;
	control_stream_init(&stream, fd);
	ck_assert_int_eq(control_stream_receive(&stream), KNOT_EOK);
	unsigned units = 0;
	while (control_stream_next(&stream, &unit)) {
		ck_assert_str_eq(unit.item[KNOT_CTL_IDX_CMD], "zone-status");
		ck_assert_str_eq(unit.item[KNOT_CTL_IDX_FILTER], "rs");
		ck_assert_str_eq(unit.item[KNOT_CTL_IDX_ZONE], "a.");
		units++;
	}
	ck_assert_uint_eq(units, 3);
	for (unsigned i = 0; i < 2000; i++) {
		char value[5001];
		memset(value, 'v', sizeof(value));
		value[i * 7 % 5000] = '\0';
		knot_ctl_data_t data = { [KNOT_CTL_IDX_ZONE] = "a.", [KNOT_CTL_IDX_DATA] = value };
		ck_assert_int_eq(control_stream_put(&stream, i % 2 == 0 ? KNOT_CTL_TYPE_DATA : KNOT_CTL_TYPE_EXTRA, &data), KNOT_EOK);
	}
	ck_assert_int_eq(control_stream_put(&stream, KNOT_CTL_TYPE_BLOCK, NULL), KNOT_EOK);
	ck_assert_int_eq(control_stream_flush(&stream), KNOT_EOK);
	ck_assert_int_eq(control_stream_receive(&stream), KNOT_EOF);
	pthread_join(client, NULL);
	unpair(&stream, listener);
	unlink(addr.sun_path);
}
END_TEST

/*! Whatever comes, the reader stays inside, and what it takes is what it was given. */
START_TEST(test_random)
{
	srandom(support_seed());
	unsigned rounds = support_is_full() ? 2000000 : 50000;
	for (unsigned i = 0; i < rounds; i++) {
		uint8_t *wire = malloc(64); /* To its last octet: ASan sees one more. */
		size_t len = random() % 65, pos = 0;
		uint8_t *end = wire + 64 - len;
		for (size_t j = 0; j < len; j++) {
			long pick = random();
			end[j] = pick % 3 == 0 ? pick / 3 % 4 : pick % 3 == 1 ? 16 + pick / 3 % 13 : random() % 8;
		}
		control_unit_t unit;
		size_t before = 0;
		while (control_unit_read(end, len, &pos, &unit) == KNOT_EOK) {
			ck_assert_uint_gt(pos, before);
			before = pos;
		}
		ck_assert_uint_le(pos, len);
		free(wire);
	}
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("control_stream");
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, test_units, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, test_pieces);
	tcase_add_test(tcase, test_octets);
	tcase_add_loop_test(tcase, test_refused, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tcase, test_too_long);
	tcase_add_test(tcase, test_libknot);
	tcase_add_test(tcase, test_random);

	Suite *suite = suite_create("control_stream");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
