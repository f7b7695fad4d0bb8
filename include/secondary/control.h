/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The control socket: stock `knotc -s SOCKET` asks and commands the module.
 *
 * Speaks libknot's control protocol: `zone-status [ZONE…]`, `zone-refresh [ZONE…]`, `zone-retransfer [ZONE…]`, for one, some or all
 * zones; any other command and any unknown zone get an error. A thread of its own accepts one client after the other, so
 * a slow client delays other clients only; commands are run by the worker, which owns what they touch.
 *
 * Threads: start and stop from load() and unload(); the control thread is registered with RCU and blocks all signals.
 */
#pragma once

/*! A client that neither sends nor reads for so long is dropped: other clients of the socket wait meanwhile. */
#define CONTROL_TIMEOUT_MS 5000

/*!
 * \brief Binds \a path (a stale socket there is replaced) and starts the thread, or counts one more user.
 *
 * \return KNOT_EOK, or an error that has been logged: the module serves without its control socket.
 */
int control_start(const char *path);

/*! \brief Counts one user less; the last stops and joins the thread and removes the socket. Outside read sections. */
void control_stop(void);
