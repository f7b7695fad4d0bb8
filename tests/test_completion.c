/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of completion.h: versions that are made in the pool, given up while they wait for it, and while they are made.
 */
#include <check.h>
#include <libknot/libknot.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"
#include "secondary/amend.h"
#include "secondary/completion.h"
#include "secondary/rcu.h"
#include "secondary/wire.h"
#include "support.h"

#define APEX "\7example"
/*! Changes of an increment that takes the pool's thread a while. */
#define CHANGES 20000

static uv_loop_t loop;
static snapshot_t *base;      /*!< Serial 1. */

static struct {
	unsigned times;
	int ret;
	snapshot_t *snapshot;
	history_run_t run;
} made;

static void setup(void)
{
	rcu_register_thread();
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	base = support_zone("example", "@ SOA a. b. 1 60 60 3600 60\n@ NS a.\nwww A 192.0.2.1\n");
	memset(&made, 0, sizeof(made));
}

static void teardown(void)
{
	snapshot_discard(made.snapshot);
	history_run_clear(&made.run);
	support_free(base);
	ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	rcu_unregister_thread();
}

static void on_made(void *ctx, int ret, snapshot_t *snapshot, history_run_t run)
{
	(void)ctx;
	made.times++;
	made.ret = ret;
	made.snapshot = snapshot;
	made.run = run;
}

/* Transfers. */

typedef struct {
	uint8_t wire[KNOT_WIRE_MAX_PKTSIZE];
	size_t size;
} packet_t;

static void packet_begin(packet_t *packet, uint16_t type)
{
	memset(packet->wire, 0, KNOT_WIRE_HEADER_SIZE);
	knot_wire_set_qr(packet->wire);
	knot_wire_set_qdcount(packet->wire, 1);
	memcpy(packet->wire + KNOT_WIRE_HEADER_SIZE, APEX, sizeof(APEX));
	packet->size = KNOT_WIRE_HEADER_SIZE + sizeof(APEX);
	knot_wire_write_u16(packet->wire + packet->size, type);
	knot_wire_write_u16(packet->wire + packet->size + 2, KNOT_CLASS_IN);
	packet->size += 4;
}

static void put(packet_t *packet, const char *label, uint16_t type, const void *rdata, uint16_t len)
{
	uint8_t *pos = packet->wire + packet->size;
	const size_t label_len = strlen(label);
	if (label_len > 0) {
		*pos++ = label_len;
		memcpy(pos, label, label_len);
		pos += label_len;
	}
	knot_wire_write_u16(pos, 0xC000 | KNOT_WIRE_HEADER_SIZE);
	knot_wire_write_u16(pos + 2, type);
	knot_wire_write_u16(pos + 4, KNOT_CLASS_IN);
	knot_wire_write_u32(pos + 6, 3600);
	knot_wire_write_u16(pos + 10, len);
	memcpy(pos + 12, rdata, len);
	packet->size = pos + 12 + len - packet->wire;
	knot_wire_add_ancount(packet->wire, 1);
}

static void put_soa(packet_t *packet, uint32_t serial)
{
	uint8_t rdata[] = "\1a\0\1b\0ssss\0\0\0\x3c\0\0\0\x3c\0\0\x0e\x10\0\0\0\x3c";
	knot_wire_write_u32(rdata + 6, serial);
	put(packet, "", KNOT_RRTYPE_SOA, rdata, sizeof(rdata) - 1);
}

static void digest(transfer_in_t *transfer, packet_t *packet, transfer_status_t expected)
{
	const transfer_status_t status = transfer_in_message(transfer, packet->wire, packet->size);
	ck_assert_msg(status == expected, "%s", transfer_in_error(transfer));
}

static void put_address(packet_t *packet, unsigned n)
{
	char label[16];
	snprintf(label, sizeof(label), "n%u", n);
	put(packet, label, KNOT_RRTYPE_A, "\xc0\0\2\1", 4);
}

/*! An increment from version 1 to 2 that adds so many names. */
static transfer_in_t *increment(unsigned changes)
{
	static packet_t packet;
	const builder_limits_t limits = { 0 };
	transfer_in_t *transfer = transfer_in_new((const uint8_t *)APEX, &limits, base);
	packet_begin(&packet, KNOT_RRTYPE_IXFR);
	put_soa(&packet, 2);
	put_soa(&packet, 1);
	put_soa(&packet, 2);
	for (unsigned n = 0; n < changes; n++) {
		put_address(&packet, n);
		if (packet.size > 16000) {
			digest(transfer, &packet, TRANSFER_MORE);
			packet_begin(&packet, KNOT_RRTYPE_IXFR);
		}
	}
	put_soa(&packet, 2);
	digest(transfer, &packet, TRANSFER_COMPLETE);
	return transfer;
}

/*! A whole zone with serial 3; without NS it is refused when it is completed. */
static transfer_in_t *whole(bool has_ns)
{
	static packet_t packet;
	const builder_limits_t limits = { 0 };
	transfer_in_t *transfer = transfer_in_new((const uint8_t *)APEX, &limits, NULL);
	packet_begin(&packet, KNOT_RRTYPE_AXFR);
	put_soa(&packet, 3);
	if (has_ns) {
		put(&packet, "", KNOT_RRTYPE_NS, "\1a", 3);
	}
	put_address(&packet, 0);
	put_soa(&packet, 3);
	digest(transfer, &packet, TRANSFER_COMPLETE);
	return transfer;
}

static completion_t *start(transfer_in_t *transfer)
{
	snapshot_t *from = transfer_in_kind(transfer) == TRANSFER_INCREMENT ? base : NULL;
	completion_t *completion = completion_start(&loop, transfer, from, on_made, NULL);
	ck_assert_ptr_nonnull(completion);
	return completion;
}

/*! Nobody hears of it before the loop runs again, and then once. */
static void run(void)
{
	ck_assert_uint_eq(made.times, 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_uint_eq(made.times, 1);
}

/* Tests. */

START_TEST(test_increment)
{
	transfer_in_t *transfer = increment(10);
	start(transfer);
	run();
	ck_assert_int_eq(made.ret, KNOT_EOK);
	ck_assert_uint_eq(made.snapshot->soa.serial, 2);
	ck_assert_uint_eq(made.snapshot->records, base->records + 10);
	ck_assert_uint_eq(made.run.count, 1);
	transfer_in_free(transfer);
}
END_TEST

START_TEST(test_whole)
{
	transfer_in_t *transfer = whole(true);
	start(transfer);
	run();
	ck_assert_int_eq(made.ret, KNOT_EOK);
	ck_assert_uint_eq(made.snapshot->soa.serial, 3);
	ck_assert_uint_eq(made.run.count, 0);
	transfer_in_free(transfer);
}
END_TEST

START_TEST(test_refused)
{
	transfer_in_t *transfer = whole(false);
	start(transfer);
	run();
	ck_assert_int_eq(made.ret, KNOT_EMALF);
	ck_assert_ptr_null(made.snapshot);
	ck_assert_str_ne(transfer_in_error(transfer), "");
	transfer_in_free(transfer);
}
END_TEST

/*! The arena of the version is as if nothing had been: another increment may be made in it. */
static void assert_can_amend(void)
{
	transfer_in_t *transfer = increment(3);
	ck_assert_int_eq(transfer_in_finish(transfer, base, &made.snapshot, &made.run), KNOT_EOK);
	ck_assert_uint_eq(made.snapshot->records, base->records + 3);
	transfer_in_free(transfer);
}

/*! What is given up before the pool has begun is not made. */
START_TEST(test_cancel_waiting)
{
	pool_occupy(&loop);
	transfer_in_t *transfer = increment(10);
	completion_cancel(start(transfer));
	transfer_in_free(transfer);
	assert_can_amend();
	pool_free();
	uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_uint_eq(made.times, 0);
}
END_TEST

/*! What is given up later has ended, and is discarded; whenever that is. */
START_TEST(test_cancel_running)
{
	transfer_in_t *transfer = increment(CHANGES);
	completion_t *completion = start(transfer);
	for (int i = 0; i < _i * 200; i++) {
		sched_yield();
	}
	completion_cancel(completion);
	transfer_in_free(transfer);
	assert_can_amend();
	uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_uint_eq(made.times, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("completion");
	TCase *tcase = tcase_create("completion");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_increment);
	tcase_add_test(tcase, test_whole);
	tcase_add_test(tcase, test_refused);
	tcase_add_test(tcase, test_cancel_waiting);
	tcase_add_loop_test(tcase, test_cancel_running, 0, 10);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
