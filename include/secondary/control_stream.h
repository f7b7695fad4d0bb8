/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief One client of the control socket: blocks of units as knotc sends and reads them.
 *
 *     unit  = octet (DATA, EXTRA, BLOCK, END), items        BLOCK and END have none
 *     item  = octet 16 + index, u16 length, octets
 *     block = units up to BLOCK
 *
 * This is the protocol of libknot/control/control.h. Its knot_ctl_t of 3.2 is listening socket and client in one, so that it
 * serves one client after the other; here each has a stream of its own. A block is read to its end before anything is
 * answered, so client and server never both wait for room to write.
 *
 * Threads: one at a time. Blocks: for the client, CONTROL_TIMEOUT_MS for each step. Memory: a block, CONTROL_BLOCK_MAX at most,
 * and the buffer for what is sent.
 */
#pragma once

#include <libknot/control/control.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*! A client that neither sends nor reads for so long is dropped. */
#define CONTROL_TIMEOUT_MS 2000
/*! Octets of a block from a client: some 25,000 zones in one command. */
#define CONTROL_BLOCK_MAX  (1 << 20)
/*! Octets of a unit from a client: a command, a zone, and a filter are far less. */
#define CONTROL_UNIT_MAX   4096

/*! A unit as read. */
typedef struct {
	knot_ctl_type_t type;
	const char *item[KNOT_CTL_IDX__COUNT]; /*!< In \a text; NULL: not there. Item data cannot hold a NUL: what follows one is lost. */
	char text[CONTROL_UNIT_MAX];
} control_unit_t;

typedef struct {
	int fd;
	int ret;                  /*!< KNOT_EOK, or why the client is lost. */
	uint8_t *in;              /*!< Received. */
	size_t in_len, in_max;
	size_t pos;               /*!< Of the next unit for control_stream_next(). */
	size_t out_len;
	uint8_t out[16384];       /*!< To be sent. */
} control_stream_t;

/*!
 * \brief Reads the unit at *\a pos of \a wire, and sets *\a pos behind it.
 *
 * \return KNOT_EOK; KNOT_EAGAIN: it is not complete (the end of a unit with items shows in the octet behind it); KNOT_EMALF;
 *         KNOT_ESPACE: longer than CONTROL_UNIT_MAX.
 */
int control_unit_read(const uint8_t *wire, size_t len, size_t *pos, control_unit_t *ret_unit);

/*! \brief Begins with the connection \a fd, not blocking; the caller's. */
void control_stream_init(control_stream_t *stream, int fd);

/*! \brief Releases what the stream holds, not the descriptor. */
void control_stream_clear(control_stream_t *stream);

/*!
 * \brief Waits for a whole block.
 *
 * \return KNOT_EOK: control_stream_next(); KNOT_EOF: the client has finished; KNOT_ESPACE: too long; KNOT_ETIMEOUT, KNOT_EMALF, ….
 */
int control_stream_receive(control_stream_t *stream);

/*! \brief The next unit of the block that was received; false: that was all. */
bool control_stream_next(control_stream_t *stream, control_unit_t *ret_unit);

/*! \brief Sends a unit, soon. \param item  NULL with BLOCK and END. \return stream->ret. */
int control_stream_put(control_stream_t *stream, knot_ctl_type_t type, const knot_ctl_data_t *item);

/*! \brief Sends what is to be sent. \return stream->ret. */
int control_stream_flush(control_stream_t *stream);

/*! \brief Has the client gone? What it sent last need not have been read. */
bool control_stream_is_closed(const control_stream_t *stream);
