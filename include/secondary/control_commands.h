/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What the commands of knotc do with our zones.
 *
 *     zone-status [ZONE…] [+role|+serial|+events|…]     control_status.h
 *     zone-refresh, zone-retransfer, zone-notify [ZONE…]
 *     zone-purge -f ZONE…|-- [+expire|…]
 *     zone-stats ZONE|-- [mod-secondary[.ITEM]]         control_stats.h, as stats [mod-secondary[.ITEM]]
 *     status [version|workers|configure]
 *
 * Any other command, unknown zones and filters get an error. In blocking mode (-b) commands are given to all their zones first,
 * and the answer comes when the last has ended: what fails is an error about its zone. That ends by itself, as all that is under
 * way has its time, and when the client goes or the server stops.
 *
 * Threads: a client's, registered with RCU, outside read sections. Blocks: for the worker's present work, in blocking mode for
 * the work that was ordered.
 */
#pragma once

#include "secondary/control_stream.h"

/*! Clients that wait in blocking mode, at once; further ones get an error, so that there is always room for those that look. */
#define CONTROL_WAITING_MAX 8

/*! One client, as its thread has it. */
typedef struct {
	control_stream_t stream;
	const bool *stopping;     /*!< The socket is being closed. Atomic. */
	unsigned *waiting;        /*!< Clients in blocking mode, of all. Atomic. */
} control_client_t;

/*! \brief Answers the block that was received. \return KNOT_EOK, or the client has gone. */
int control_answer(control_client_t *client);
