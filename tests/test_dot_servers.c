/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of dot_servers.h: which server of a list is asked.
 */
#include "secondary/dot_servers.h"
#include "tls_server.h"

#define SERVERS_MAX 3

static tls_client_world_t world;
static tls_identity_t wrong;

static struct {
	unsigned count;
	int ret;
	uint8_t rcode;
} ended;

static void setup(void)
{
	tls_client_setup(&world);
	wrong = tls_identity_make("wrong.example", -1, 9, &world.authority);
	memset(&ended, 0, sizeof(ended));
}

static void teardown(void)
{
	tls_client_teardown(&world);
	tls_identity_free(&wrong);
}

static void on_done(void *ctx, int ret, const uint8_t *wire, size_t size)
{
	(void)ctx;
	ended.count++;
	ended.ret = ret;
	ended.rcode = wire != NULL && size >= KNOT_WIRE_HEADER_SIZE ? knot_wire_get_rcode(wire) : 0;
}

static void ask(dot_servers_t *servers)
{
	uint8_t wire[DOT_QUERY_MAX];
	dot_servers_question_t *question;
	const unsigned before = ended.count;
	uv_update_time(&world.loop);
	ck_assert_int_eq(dot_servers_ask(servers, wire, tls_query("www.example.", wire), on_done, NULL, &question), KNOT_EOK);
	while (ended.count == before) {
		uv_run(&world.loop, UV_RUN_ONCE);
	}
}

/*! What servers are like: answers, fails with servfail, is dead, is wrong, silent. How many questions each gets of three. */
static const struct {
	const char *what;
	const char *servers;
	int ret;
	uint8_t rcode;
	unsigned questions[SERVERS_MAX];
} cases[] = {
	{ "the first one alone", "aaa", KNOT_EOK, 0, { 3, 0, 0 } },
	{ "a dead one is left alone", "daa", KNOT_EOK, 0, { 0, 3, 0 } },
	{ "and one that is somebody else", "wda", KNOT_EOK, 0, { 0, 0, 3 } },
	{ "SERVFAIL is asked of the next, too", "fa", KNOT_EOK, 0, { 3, 3 } },
	{ "and is what counts if none is better", "ff", KNOT_EOK, KNOT_RCODE_SERVFAIL, { 3, 3 } },
	{ "a silent one costs its time once", "sa", KNOT_EOK, 0, { 1, 3 } },
	{ "all are tried when none is well", "dwd", KNOT_ECONN, 0, { 0, 0, 0 } },
};

START_TEST(test_choice)
{
	tls_server_t server[SERVERS_MAX];
	struct sockaddr_storage addr[SERVERS_MAX];
	const unsigned count = strlen(cases[_i].servers);
	for (unsigned i = 0; i < count; i++) {
		const char kind = cases[_i].servers[i];
		tls_server_start(&server[i], kind == 'w' ? &wrong : &world.good, kind == 'f' ? TLS_SERVFAIL : kind == 's' ? TLS_SILENT : TLS_ANSWER);
		addr[i] = server[i].addr;
		if (kind == 'd') {
			tls_server_stop(&server[i]);
		}
	}
	const dot_servers_params_t params = { .servers = addr, .count = count, .name = TLS_NAME, .ca_file = world.authority_path };
	dot_servers_t *servers;
	ck_assert_int_eq(dot_servers_new(&world.loop, &params, &servers), KNOT_EOK);
	const uint64_t began = uv_hrtime() / 1000000;
	for (unsigned i = 0; i < 3; i++) {
		ask(servers);
		ck_assert_int_eq(ended.ret, cases[_i].ret);
		ck_assert_uint_eq(ended.rcode, cases[_i].rcode);
	}
	/* On a slow machine the pause of a silent one was over before the last question: it may have got more. */
	const bool was_slow = uv_hrtime() / 1000000 - began >= DOT_SERVERS_TRY_MS + DOT_SERVERS_PAUSE_MIN_MS;
	dot_servers_free(servers);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	for (unsigned i = 0; i < count; i++) {
		if (cases[_i].servers[i] != 'd') {
			tls_server_stop(&server[i]);
		}
		const bool may_be_more = was_slow && cases[_i].servers[i] == 's';
		ck_assert_msg(may_be_more || server[i].questions == cases[_i].questions[i], "%s: server %u got %u", cases[_i].what, i, server[i].questions);
	}
}
END_TEST

static void on_waited(uv_timer_t *timer)
{
	(void)timer;
}

/*! Time goes on. */
static void wait_ms(unsigned ms)
{
	uv_timer_t timer;
	uv_timer_init(&world.loop, &timer);
	uv_update_time(&world.loop);
	uv_timer_start(&timer, on_waited, ms, 0);
	while (uv_is_active((uv_handle_t *)&timer)) {
		uv_run(&world.loop, UV_RUN_ONCE);
	}
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&world.loop, UV_RUN_NOWAIT);
}

/*! One failure counts once, however many questions it ends: the server is asked again after the least pause. */
START_TEST(test_many_fail_at_once)
{
	enum { MANY = 10 };
	tls_server_t server[2];
	tls_server_start(&server[0], &wrong, TLS_ANSWER);
	tls_server_start(&server[1], &world.good, TLS_ANSWER);
	const struct sockaddr_storage addr[] = { server[0].addr, server[1].addr };
	const dot_servers_params_t params = { .servers = addr, .count = 2, .name = TLS_NAME, .ca_file = world.authority_path };
	dot_servers_t *servers;
	uint8_t wire[DOT_QUERY_MAX];
	const size_t len = tls_query("www.example.", wire);
	ck_assert_int_eq(dot_servers_new(&world.loop, &params, &servers), KNOT_EOK);
	for (unsigned i = 0; i < MANY; i++) {
		dot_servers_question_t *question;
		ck_assert_int_eq(dot_servers_ask(servers, wire, len, on_done, NULL, &question), KNOT_EOK);
	}
	while (ended.count < MANY) {
		uv_run(&world.loop, UV_RUN_ONCE);
	}
	ck_assert_int_eq(ended.ret, KNOT_EOK);
	__atomic_store_n(&server[0].identity, &world.good, __ATOMIC_RELEASE);
	wait_ms(DOT_SERVERS_PAUSE_MIN_MS + 100);
	ask(servers);
	ck_assert_int_eq(ended.ret, KNOT_EOK);
	dot_servers_free(servers);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	tls_server_stop(&server[0]);
	tls_server_stop(&server[1]);
	ck_assert_uint_eq(server[0].questions, 1);
	ck_assert_uint_eq(server[1].questions, MANY);
}
END_TEST

START_TEST(test_cancel)
{
	tls_server_t server;
	tls_server_start(&server, &world.good, TLS_SILENT);
	const dot_servers_params_t params = { .servers = &server.addr, .count = 1, .name = TLS_NAME, .ca_file = world.authority_path };
	dot_servers_t *servers;
	dot_servers_question_t *question;
	uint8_t wire[DOT_QUERY_MAX];
	const size_t len = tls_query("www.example.", wire);
	ck_assert_int_eq(dot_servers_new(&world.loop, &params, &servers), KNOT_EOK);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(dot_servers_ask(servers, wire, len, on_done, NULL, &question), KNOT_EOK);
		if (i == 1) {
			dot_servers_cancel(question);
		}
	}
	dot_servers_cancel(NULL);
	dot_servers_free(servers);
	dot_servers_free(NULL);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	tls_server_stop(&server);
	ck_assert_uint_eq(ended.count, 0);
}
END_TEST

START_TEST(test_no_authorities)
{
	const struct sockaddr_storage addr = { .ss_family = AF_INET };
	const dot_servers_params_t params = { .servers = &addr, .count = 1, .name = TLS_NAME, .ca_file = "/dev/null" };
	dot_servers_t *servers;
	ck_assert_int_eq(dot_servers_new(&world.loop, &params, &servers), KNOT_ENOENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dot_servers");
	TCase *tcase = tcase_create("all");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, test_choice, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, test_many_fail_at_once);
	tcase_add_test(tcase, test_cancel);
	tcase_add_test(tcase, test_no_authorities);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
