/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Fuzzes a connection of control_stream.h: what a client may send, in pieces, and then no more; each block is answered with itself.
 *
 * The first octet says how long the pieces are. Single units are fuzz_control_stream.c's.
 */
#include <assert.h>
#include <libknot/libknot.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "secondary/control_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*! Octets that are sent at most: the socket takes so many with nobody reading. */
#define SENT_MAX 60000

/*! A unit that was accepted has its items within its text. */
static void check_unit(const control_unit_t *unit)
{
	for (unsigned i = 0; i < KNOT_CTL_IDX__COUNT; i++) {
		const char *item = unit->item[i];
		assert(item == NULL || (item >= unit->text && item < unit->text + sizeof(unit->text)));
		assert(item == NULL || strnlen(item, sizeof(unit->text)) < sizeof(unit->text));
	}
}

static void answer(control_stream_t *stream)
{
	control_unit_t unit;
	while (control_stream_next(stream, &unit)) {
		check_unit(&unit);
		knot_ctl_data_t item;
		memcpy(item, unit.item, sizeof(item));
		(void)control_stream_put(stream, unit.type, &item);
	}
	(void)control_stream_put(stream, KNOT_CTL_TYPE_BLOCK, NULL);
	(void)control_stream_flush(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > SENT_MAX) {
		return 0;
	}
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0) {
		return 0;
	}
	static control_stream_t stream;
	control_stream_init(&stream, pair[0]);
	/* Each piece costs the socket's buffer more than its octets. */
	const size_t piece = 1 + data[0] * 8 + size / 64;
	for (size_t pos = 1; pos < size; pos += piece) {
		const size_t len = size - pos < piece ? size - pos : piece;
		assert(send(pair[1], data + pos, len, MSG_NOSIGNAL) == (ssize_t)len);
	}
	shutdown(pair[1], SHUT_WR);
	uint8_t drain[65536];
	while (control_stream_receive(&stream) == KNOT_EOK) {
		answer(&stream);
		while (recv(pair[1], drain, sizeof(drain), 0) > 0) {
		}
	}
	assert(stream.ret != KNOT_EOK && stream.ret != KNOT_ETIMEOUT);
	control_stream_clear(&stream);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
