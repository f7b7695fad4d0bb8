/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The control socket: stock `knotc -s SOCKET` asks and commands the module.
 *
 * A thread accepts clients; each has a thread of its own as long as it stays, so that none waits for another: one in blocking
 * mode may stay for the length of a transfer. At most CONTROL_CLIENTS_MAX are served at once, more wait to be accepted.
 * What they may ask is control_commands.h.
 *
 * The socket is there once in a process. It may be used by its owner and group, as knotd's own.
 *
 * Threads: start and stop from load() and unload(). The threads are registered with RCU and block all signals.
 */
#pragma once

/*! Clients at once: each costs a thread and some 30 KiB. */
#define CONTROL_CLIENTS_MAX 16

/*!
 * \brief Binds \a path (a stale socket there is replaced) and starts the thread.
 *
 * Thread: load(), with a sink for its line in the log. Blocks: no.
 * \param path  Shorter than sockaddr_un's.
 * \return KNOT_EOK, or an error that has been logged: the module serves without its control socket.
 */
int control_start(const char *path);

/*!
 * \brief Stops what control_start() started, drops the clients, and removes the socket.
 *
 * Thread: unload(), outside read sections, while the worker still runs. Blocks: until the threads have ended.
 */
void control_stop(void);
