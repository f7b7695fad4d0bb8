/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief One client of the control socket.
 */
#include "secondary/control_stream.h"

#include <assert.h>
#include <errno.h>
#include <libknot/errcode.h>
#include <libknot/error.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/*! On the wire types are 0 to 3 in the order of knot_ctl_type_t, item codes begin here. */
#define ITEM_FIRST 16

/*! \name Units */

static bool is_type(uint8_t code)
{
	return code <= KNOT_CTL_TYPE_BLOCK;
}

static bool has_items(knot_ctl_type_t type)
{
	return type == KNOT_CTL_TYPE_DATA || type == KNOT_CTL_TYPE_EXTRA;
}

/*! Reads one item into the text of the unit. */
static int read_item(const uint8_t *wire, size_t len, size_t *pos, control_unit_t *unit, size_t *used)
{
	const unsigned index = wire[*pos] - ITEM_FIRST; /* Far too high below the first one. */
	if (index >= KNOT_CTL_IDX__COUNT) {
		return KNOT_EMALF;
	}
	if (len - *pos < 3) {
		return KNOT_EAGAIN;
	}
	const size_t size = (size_t)wire[*pos + 1] << 8 | wire[*pos + 2];
	if (size >= sizeof(unit->text) - *used) {
		return KNOT_ESPACE;
	}
	if (len - *pos < 3 + size) {
		return KNOT_EAGAIN;
	}
	memcpy(unit->text + *used, wire + *pos + 3, size);
	unit->text[*used + size] = '\0';
	unit->item[index] = unit->text + *used;
	*used += size + 1;
	*pos += 3 + size;
	return KNOT_EOK;
}

int control_unit_read(const uint8_t *wire, size_t len, size_t *pos, control_unit_t *ret_unit)
{
	size_t at = *pos, used = 0;
	if (at == len) {
		return KNOT_EAGAIN;
	}
	if (!is_type(wire[at])) {
		return KNOT_EMALF;
	}
	ret_unit->type = wire[at++];
	memset(ret_unit->item, 0, sizeof(ret_unit->item));
	while (has_items(ret_unit->type)) {
		if (at == len) {
			return KNOT_EAGAIN;
		}
		if (is_type(wire[at])) {
			break;
		}
		int ret = read_item(wire, len, &at, ret_unit, &used);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	*pos = at;
	return KNOT_EOK;
}

/*! \name The connection */

void control_stream_init(control_stream_t *stream, int fd)
{
	stream->fd = fd;
	stream->ret = KNOT_EOK;
	stream->in = NULL;
	stream->in_len = stream->in_max = stream->pos = stream->out_len = 0;
}

void control_stream_clear(control_stream_t *stream)
{
	free(stream->in);
	stream->in = NULL;
	stream->in_len = stream->in_max = stream->pos = 0;
}

static int await(const control_stream_t *stream, short events)
{
	struct pollfd ready = { .fd = stream->fd, .events = events };
	int ret = poll(&ready, 1, CONTROL_TIMEOUT_MS);
	if (ret == 0) {
		return KNOT_ETIMEOUT;
	}
	return ret < 0 && errno != EINTR ? knot_map_errno() : KNOT_EOK;
}

static bool is_worth_waiting(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/*! Makes room for more. */
static int grow(control_stream_t *stream)
{
	if (stream->in_len < stream->in_max) {
		return KNOT_EOK;
	}
	if (stream->in_max == CONTROL_BLOCK_MAX) {
		return KNOT_ESPACE;
	}
	const size_t max = stream->in_max > 0 ? 2 * stream->in_max : CONTROL_UNIT_MAX;
	uint8_t *grown = realloc(stream->in, max);
	if (grown == NULL) {
		return KNOT_ENOMEM;
	}
	stream->in = grown;
	stream->in_max = max;
	return KNOT_EOK;
}

static int read_more(control_stream_t *stream)
{
	int ret = grow(stream);
	while (ret == KNOT_EOK) {
		const ssize_t len = recv(stream->fd, stream->in + stream->in_len, stream->in_max - stream->in_len, 0);
		if (len > 0) {
			stream->in_len += len;
			return KNOT_EOK;
		}
		if (len == 0) {
			return KNOT_EOF;
		}
		ret = is_worth_waiting(errno) ? await(stream, POLLIN) : knot_map_errno();
	}
	return ret;
}

/*! What was taken out makes room for the next block. */
static void drop_taken(control_stream_t *stream)
{
	stream->in_len -= stream->pos;
	if (stream->in_len > 0) {
		memmove(stream->in, stream->in + stream->pos, stream->in_len);
	}
	stream->pos = 0;
}

int control_stream_receive(control_stream_t *stream)
{
	drop_taken(stream);
	control_unit_t unit = { .type = KNOT_CTL_TYPE_END };
	size_t pos = 0;
	int ret;
	do {
		ret = control_unit_read(stream->in, stream->in_len, &pos, &unit);
		if (ret == KNOT_EAGAIN) {
			ret = read_more(stream);
		} else if (ret == KNOT_EOK && unit.type == KNOT_CTL_TYPE_BLOCK) {
			return KNOT_EOK;
		} else if (ret == KNOT_EOK && unit.type == KNOT_CTL_TYPE_END) {
			ret = KNOT_EOF;
		}
	} while (ret == KNOT_EOK);
	stream->ret = ret;
	return ret;
}

bool control_stream_next(control_stream_t *stream, control_unit_t *ret_unit)
{
	int ret = control_unit_read(stream->in, stream->in_len, &stream->pos, ret_unit);
	assert(ret == KNOT_EOK); /* The block was read to its end before. */
	return ret == KNOT_EOK && ret_unit->type != KNOT_CTL_TYPE_BLOCK;
}

int control_stream_flush(control_stream_t *stream)
{
	size_t sent = 0;
	while (stream->ret == KNOT_EOK && sent < stream->out_len) {
		const ssize_t len = send(stream->fd, stream->out + sent, stream->out_len - sent, MSG_NOSIGNAL);
		if (len >= 0) {
			sent += len;
		} else {
			stream->ret = is_worth_waiting(errno) ? await(stream, POLLOUT) : knot_map_errno();
		}
	}
	stream->out_len = 0;
	return stream->ret;
}

static void put(control_stream_t *stream, const void *data, size_t len)
{
	const uint8_t *from = data;
	while (len > 0 && stream->ret == KNOT_EOK) {
		const size_t room = sizeof(stream->out) - stream->out_len;
		const size_t part = len < room ? len : room;
		memcpy(stream->out + stream->out_len, from, part);
		stream->out_len += part;
		from += part;
		len -= part;
		if (stream->out_len == sizeof(stream->out)) {
			control_stream_flush(stream);
		}
	}
}

static void put_item(control_stream_t *stream, unsigned index, const char *text)
{
	const size_t len = strnlen(text, UINT16_MAX);
	const uint8_t head[] = { ITEM_FIRST + index, len >> 8, len };
	put(stream, head, sizeof(head));
	put(stream, text, len);
}

int control_stream_put(control_stream_t *stream, knot_ctl_type_t type, const knot_ctl_data_t *item)
{
	const uint8_t code = type;
	put(stream, &code, sizeof(code));
	for (unsigned i = 0; item != NULL && i < KNOT_CTL_IDX__COUNT; i++) {
		if ((*item)[i] != NULL) {
			put_item(stream, i, (*item)[i]);
		}
	}
	return stream->ret;
}

bool control_stream_is_closed(const control_stream_t *stream)
{
	struct pollfd state = { .fd = stream->fd, .events = POLLRDHUP };
	return poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}
