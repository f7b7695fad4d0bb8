/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Growing memory, for the rooms that collect records before they are written (node, builder, amend).
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/errcode.h>

/*! First size: most zones are small, and there may be thousands of loads a minute. */
#define BUFFER_MIN 1024

/*! Zeroed: empty. Own: buffer_clear(). Moves when it grows. */
typedef struct {
	uint8_t *at;
	size_t size;
	size_t capacity;
} buffer_t;

/*! \brief Makes room for \a more octets; KNOT_EOK or KNOT_ENOMEM. */
static inline int buffer_reserve(buffer_t *buffer, size_t more)
{
	size_t need = buffer->size + more;
	if (need <= buffer->capacity) {
		return KNOT_EOK;
	}

	size_t capacity = buffer->capacity > 0 ? 2 * buffer->capacity : BUFFER_MIN;
	capacity = capacity > need ? capacity : need;
	uint8_t *at = realloc(buffer->at, capacity);
	if (at == NULL) {
		return KNOT_ENOMEM;
	}
	buffer->at = at;
	buffer->capacity = capacity;
	return KNOT_EOK;
}

/*! \brief Takes \a size octets of what was reserved. */
static inline void *buffer_push(buffer_t *buffer, size_t size)
{
	assert(buffer->capacity - buffer->size >= size);
	void *at = buffer->at + buffer->size;
	buffer->size += size;
	return at;
}

/*! \brief Copies \a size octets into what was reserved. */
static inline void buffer_put(buffer_t *buffer, const void *from, size_t size)
{
	if (size > 0) {
		memcpy(buffer_push(buffer, size), from, size);
	}
}

static inline void buffer_clear(buffer_t *buffer)
{
	free(buffer->at);
	*buffer = (buffer_t) { 0 };
}
