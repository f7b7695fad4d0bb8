/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of dot.h: who is talked to, and what becomes of questions.
 */
#include "secondary/dot.h"
#include "support.h"
#include "tls_server.h"

static tls_client_world_t world;
static tls_identity_t stranger;
static tls_trust_t *trust;

/*! How questions ended. */
static struct {
	unsigned count;
	int ret[64];
	unsigned order[64];
	char why[128];
	unsigned troubles;
} ended;

static void setup(void)
{
	tls_client_setup(&world);
	stranger = tls_identity_make("stranger", -1, 9, NULL);
	ck_assert_int_eq(tls_trust_new(world.authority_path, &trust), KNOT_EOK);
	memset(&ended, 0, sizeof(ended));
}

static void teardown(void)
{
	tls_client_teardown(&world);
	tls_trust_free(trust);
	tls_identity_free(&stranger);
}

static void on_done(void *ctx, int ret, const uint8_t *wire, size_t size)
{
	ck_assert((ret == KNOT_EOK) == (wire != NULL) && (wire != NULL) == (size > 0));
	ended.order[ended.count] = (uintptr_t)ctx;
	ended.ret[ended.count++] = ret;
}

static void on_trouble(void *ctx, const struct sockaddr_storage *remote, const char *why)
{
	(void)remote;
	ck_assert_ptr_eq(ctx, &ended);
	snprintf(ended.why, sizeof(ended.why), "%s", why);
	ended.troubles++;
}

static dot_client_t *client_of(const struct sockaddr_storage *remote)
{
	const dot_params_t params = {
		.remote = remote, .name = TLS_NAME, .trust = trust, .trouble = on_trouble, .trouble_ctx = &ended,
	};
	dot_client_t *client = NULL;
	ck_assert_int_eq(dot_client_new(&world.loop, &params, &client), KNOT_EOK);
	return client;
}

static dot_question_t *ask(dot_client_t *client, uintptr_t number, unsigned timeout_ms)
{
	uint8_t wire[DOT_QUERY_MAX];
	char name[KNOT_DNAME_TXT_MAXLEN + 1];
	/* Of many lengths, up to the longest there is: padding has to fit them all. */
	size_t len = sprintf(name, "q%u.", (unsigned)number);
	for (uintptr_t i = 0; i < number % 4; i++) {
		len += sprintf(name + len, "%060d.", 0);
	}
	dot_question_t *question = NULL;
	uv_update_time(&world.loop);
	ck_assert_int_eq(dot_ask(client, wire, tls_query(name, wire), timeout_ms, on_done, (void *)number, &question), KNOT_EOK);
	return question;
}

static void await(unsigned count)
{
	while (ended.count < count) {
		ck_assert(uv_run(&world.loop, UV_RUN_ONCE) != 0 || ended.count == count);
	}
}

/*! Waits until the server has counted so many; the loop runs meanwhile. */
static void await_count(const unsigned *counter, unsigned count)
{
	while (__atomic_load_n(counter, __ATOMIC_RELAXED) < count) {
		uv_run(&world.loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
}

/*! A certificate, and what comes of it. */
static const struct {
	const char *name;
	int first, last;
	bool stranger;
	const char *why;          /*!< NULL: it is good. */
} cases[] = {
	{ TLS_NAME, -1, 9, false, NULL },
	{ "DNS.Example.NET", -1, 9, false, NULL },
	{ "*.example.net", -1, 9, false, NULL },
	{ "other.example.net", -1, 9, false, "certificate is for another name" },
	{ "example.net", -1, 9, false, "certificate is for another name" },
	{ TLS_NAME, -9, -1, false, "certificate has expired" },
	{ TLS_NAME, 1, 9, false, "certificate is not valid yet" },
	{ TLS_NAME, -1, 9, true, "certificate is not of a trusted authority" },
};

START_TEST(test_certificates)
{
	tls_identity_t identity = tls_identity_make(cases[_i].name, cases[_i].first, cases[_i].last,
	                                            cases[_i].stranger ? &stranger : &world.authority);
	tls_server_t server;
	tls_server_start(&server, &identity, TLS_ANSWER);
	dot_client_t *client = client_of(&server.addr);
	for (unsigned i = 0; i < 2; i++) {
		(void)ask(client, i, 60000);
		await(i + 1);
		ck_assert_int_eq(ended.ret[i], cases[_i].why == NULL ? KNOT_EOK : KNOT_ECONN);
	}
	dot_client_free(client);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	tls_server_stop(&server);
	tls_identity_free(&identity);
	ck_assert_str_eq(ended.why, cases[_i].why != NULL ? cases[_i].why : "");
	ck_assert_msg(ended.troubles == (cases[_i].why != NULL), "told %u times", ended.troubles);
	ck_assert_uint_eq(server.questions, cases[_i].why == NULL ? 2 : 0);
}
END_TEST

START_TEST(test_any_order)
{
	tls_server_t server;
	tls_server_start(&server, &world.good, TLS_REVERSE);
	dot_client_t *client = client_of(&server.addr);
	for (unsigned i = 0; i < 12; i++) {
		(void)ask(client, i, 60000);
	}
	await(12);
	for (unsigned i = 0; i < 12; i++) {
		ck_assert_int_eq(ended.ret[i], KNOT_EOK);
		ck_assert_uint_eq(ended.order[i], i / 3 * 3 + 2 - i % 3);
	}
	dot_client_free(client);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	tls_server_stop(&server);
	ck_assert_uint_eq(server.connections, 1);
	ck_assert_uint_eq(server.questions, 12);
	ck_assert_uint_eq(server.odd, 0);
}
END_TEST

/*! The server closes after each answer: what was under way is asked again; a new question opens a connection. */
START_TEST(test_closes)
{
	tls_server_t server;
	tls_server_start(&server, &world.good, TLS_ONCE);
	dot_client_t *client = client_of(&server.addr);
	for (unsigned i = 0; i < 5; i++) {
		(void)ask(client, i, 60000);
		await(i + 1);
		ck_assert_int_eq(ended.ret[i], KNOT_EOK);
	}
	(void)ask(client, 5, 60000);
	(void)ask(client, 6, 60000);
	await(7);
	ck_assert_int_eq(ended.ret[5], KNOT_EOK);
	ck_assert_int_eq(ended.ret[6], KNOT_EOK);
	dot_client_free(client);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	tls_server_stop(&server);
	ck_assert_uint_ge(server.connections, 7);
}
END_TEST

/*! A connection without any answer is given up with all that is on it. */
START_TEST(test_silent)
{
	tls_server_t server;
	tls_server_start(&server, &world.good, TLS_SILENT);
	dot_client_t *client = client_of(&server.addr);
	(void)ask(client, 0, 60000);
	await_count(&server.questions, 1);
	(void)ask(client, 1, 300);
	await(2);
	ck_assert_int_eq(ended.ret[0], KNOT_ECONN);
	ck_assert_int_eq(ended.ret[1], KNOT_ECONN);
	(void)ask(client, 2, 60000);
	await_count(&server.connections, 2);
	dot_client_free(client);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	tls_server_stop(&server);
	ck_assert_uint_eq(server.connections, 2);
}
END_TEST

START_TEST(test_garbage)
{
	tls_server_t server;
	tls_server_start(&server, &world.good, TLS_GARBAGE);
	dot_client_t *client = client_of(&server.addr);
	(void)ask(client, 0, 60000);
	await(1);
	ck_assert_int_eq(ended.ret[0], KNOT_ECONN);
	dot_client_free(client);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	tls_server_stop(&server);
}
END_TEST

START_TEST(test_nobody)
{
	tls_server_t server;
	tls_server_start(&server, &world.good, TLS_ANSWER);
	tls_server_stop(&server);
	dot_client_t *client = client_of(&server.addr);
	(void)ask(client, 0, 60000);
	await(1);
	ck_assert_int_eq(ended.ret[0], KNOT_ECONN);
	ck_assert_uint_eq(ended.troubles, 0);
	dot_client_free(client);
}
END_TEST

/*! Cancelled before it is sent, under way, and with the client. */
START_TEST(test_cancel)
{
	tls_server_t server;
	tls_server_start(&server, &world.good, TLS_REVERSE);
	dot_client_t *client = client_of(&server.addr);
	dot_question_t *one = ask(client, 0, 60000);
	dot_cancel(one);
	dot_cancel(NULL);
	dot_question_t *two = ask(client, 1, 60000);
	(void)ask(client, 2, 60000);
	while (__atomic_load_n(&server.questions, __ATOMIC_RELAXED) < 2) {
		uv_run(&world.loop, UV_RUN_ONCE);
	}
	dot_cancel(two);
	(void)ask(client, 3, 60000); /* All three are answered. */
	await(2);
	ck_assert(ended.order[0] == 3 && ended.order[1] == 2);
	(void)ask(client, 4, 60000);
	dot_client_free(client);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	tls_server_stop(&server);
	ck_assert_uint_eq(ended.count, 2);
	dot_client_free(NULL);
}
END_TEST

static dot_question_t *others[3];

static void on_done_cancel(void *ctx, int ret, const uint8_t *wire, size_t size)
{
	for (unsigned i = 0; i < 3; i++) {
		if (i != (uintptr_t)ctx) {
			dot_cancel(others[i]);
		}
	}
	on_done(ctx, ret, wire, size);
}

/*! Several fail together, and who hears of one cancels the others. */
START_TEST(test_cancel_in_done)
{
	tls_server_t server;
	tls_server_start(&server, &world.good, TLS_ANSWER);
	tls_server_stop(&server);
	dot_client_t *client = client_of(&server.addr);
	for (uintptr_t i = 0; i < 3; i++) {
		uint8_t wire[DOT_QUERY_MAX];
		ck_assert_int_eq(dot_ask(client, wire, tls_query("q.", wire), 60000, on_done_cancel, (void *)i, &others[i]), KNOT_EOK);
	}
	await(1);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	ck_assert_uint_eq(ended.count, 1);
	ck_assert_int_eq(ended.ret[0], KNOT_ECONN);
	(void)ask(client, 5, 60000); /* It goes on. */
	await(2);
	dot_client_free(client);
}
END_TEST

/*! A connection without questions is closed; the next question opens another one. */
START_TEST(test_idle)
{
	tls_server_t server;
	tls_server_start(&server, &world.good, TLS_ANSWER);
	dot_client_t *client = client_of(&server.addr);
	for (unsigned i = 0; i < 2; i++) {
		(void)ask(client, i, 60000);
		await(i + 1);
		ck_assert_int_eq(ended.ret[i], KNOT_EOK);
		uv_run(&world.loop, UV_RUN_DEFAULT); /* Ends when nothing is open any more. */
	}
	dot_client_free(client);
	tls_server_stop(&server);
	ck_assert_uint_eq(server.connections, 2);
}
END_TEST

/*! Somebody who accepts connections and says nothing. */
START_TEST(test_no_handshake)
{
	struct sockaddr_storage addr = { .ss_family = AF_INET };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	dot_client_t *client = client_of(&addr);
	(void)ask(client, 0, 300);
	await(1);
	ck_assert_int_eq(ended.ret[0], KNOT_ECONN);
	if (support_is_full()) {
		(void)ask(client, 1, 60000);
		await(2);
		ck_assert_int_eq(ended.ret[1], KNOT_ECONN);
	}
	ck_assert_uint_eq(ended.troubles, 0);
	dot_client_free(client);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	close(fd);
}
END_TEST

START_TEST(test_trust)
{
	tls_trust_t *other = NULL;
	ck_assert_int_eq(tls_trust_new("/nonexistent", &other), KNOT_ENOENT);
	ck_assert_int_eq(tls_trust_new("/dev/null", &other), KNOT_ENOENT);
	ck_assert_ptr_null(other);
	ck_assert_int_eq(tls_trust_new(NULL, &other), KNOT_EOK);
	tls_trust_free(other);
	tls_trust_free(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dot");
	TCase *tcase = tcase_create("all");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, test_certificates, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, test_any_order);
	tcase_add_test(tcase, test_closes);
	tcase_add_test(tcase, test_silent);
	tcase_add_test(tcase, test_garbage);
	tcase_add_test(tcase, test_nobody);
	tcase_add_test(tcase, test_cancel);
	tcase_add_test(tcase, test_cancel_in_done);
	tcase_add_test(tcase, test_no_handshake);
	if (support_is_full()) {
		tcase_add_test(tcase, test_idle); /* 20 s */
	}
	tcase_add_test(tcase, test_trust);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
