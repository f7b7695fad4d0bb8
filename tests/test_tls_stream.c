/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of tls_stream.h: what is sent to a server whose socket takes nothing. For what else it does see test_dot.c.
 */
#include "secondary/tls_stream.h"
#include "tls_server.h"

/*! What TLS 1.3 adds to the octets of a record: its header, the type, the tag. */
#define RECORD_OVERHEAD (5 + 1 + 16)
#define RECORD          16384

static tls_client_world_t world;
static tls_trust_t *trust;
static tls_server_t server;
static tls_stream_t *stream;
static bool open_now;
static bool ended;

/*! In libuv's place: the socket takes nothing at once, so all that is sent waits for the loop. */
int uv_try_write(uv_stream_t *handle, const uv_buf_t bufs[], unsigned count)
{
	(void)handle, (void)bufs, (void)count;
	return UV_EAGAIN;
}

static void on_open(void *ctx)
{
	(void)ctx;
	open_now = true;
}

static void on_octets(void *ctx, const uint8_t *octets, size_t len)
{
	(void)ctx, (void)octets, (void)len;
}

static void on_end(void *ctx, const char *why)
{
	(void)ctx, (void)why;
	ended = true;
}

static void setup(void)
{
	tls_client_setup(&world);
	ck_assert_int_eq(tls_trust_new(world.authority_path, &trust), KNOT_EOK);
	tls_server_start(&server, &world.good, TLS_SILENT);
	stream = NULL;
	open_now = ended = false;
}

static void teardown(void)
{
	tls_stream_close(stream);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	tls_server_stop(&server);
	tls_client_teardown(&world);
	tls_trust_free(trust);
}

/*! As much as may wait for the socket, and an octet more. */
START_TEST(test_unsent)
{
	static const tls_stream_callbacks_t callbacks = { .open = on_open, .octets = on_octets, .end = on_end };
	const tls_stream_params_t params = { .remote = &server.addr, .name = TLS_NAME, .trust = trust };
	ck_assert_int_eq(tls_stream_open(&world.loop, &params, &callbacks, NULL, &stream), KNOT_EOK);
	while (!open_now) {
		ck_assert(uv_run(&world.loop, UV_RUN_ONCE) != 0 && !ended);
	}
	/* When the server has this, the handshake's last octets are written, too; one more turn of the loop, and that is known here. */
	static const uint8_t question[2 + 128] = { 0, 128 };
	ck_assert(tls_stream_send(stream, question, sizeof(question)));
	while (__atomic_load_n(&server.questions, __ATOMIC_RELAXED) == 0) {
		uv_run(&world.loop, UV_RUN_NOWAIT);
	}
	uv_run(&world.loop, UV_RUN_NOWAIT);

	static const uint8_t octets[RECORD];
	size_t room = 256 * 1024;
	for (; room > RECORD + RECORD_OVERHEAD; room -= RECORD + RECORD_OVERHEAD) {
		ck_assert(tls_stream_send(stream, octets, RECORD));
	}
	if (_i == 0) {
		ck_assert(tls_stream_send(stream, octets, room - RECORD_OVERHEAD));
		ck_assert(!tls_stream_send(stream, octets, 1));
	} else {
		ck_assert(!tls_stream_send(stream, octets, room - RECORD_OVERHEAD + 1));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tls_stream");
	TCase *tcase = tcase_create("all");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, test_unsent, 0, 2);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
