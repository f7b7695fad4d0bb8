/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The control socket: stock `knotc -s SOCKET` asks and commands the module.
 *
 * Speaks libknot's control protocol: `zone-status [ZONE…]`, `zone-refresh [ZONE…]`, `zone-retransfer [ZONE…]`, `zone-notify [ZONE…]`,
 * for one, some or all zones; any other command, any unknown zone and knotc's blocking mode get an error. A thread of its own
 * accepts one client after the other, so a slow client delays other clients only; commands are run by the worker, which owns
 * what they touch.
 *
 *     [example.com.] role: slave | serial: 5 | state: fresh | refresh: +59m3s | expiration: +6D23h59m57s | records: 12 |
 *                    memory: 3456 | primary 192.0.2.1@53: ok, serial 5
 *
 * State tells what queries get, "never loaded" or "expired", else what the worker does about a zone that is served:
 * "refreshing", "transferring", "retrying" (the last check failed), "fresh".
 *
 * The socket is there once in a process. It may be used by its owner and group, as knotd's own.
 *
 * Threads: start and stop from load() and unload(); the control thread is registered with RCU and blocks all signals.
 */
#pragma once

/*! A client that neither sends nor reads for so long is dropped: other clients of the socket wait meanwhile, and so may control_stop(). */
#define CONTROL_TIMEOUT_MS 2000

/*!
 * \brief Binds \a path (a stale socket there is replaced) and starts the thread.
 *
 * Thread: load(), with a sink for its line in the log. Blocks: no.
 * \param path  Shorter than sockaddr_un's.
 * \return KNOT_EOK, or an error that has been logged: the module serves without its control socket.
 */
int control_start(const char *path);

/*!
 * \brief Stops what control_start() started, and removes the socket.
 *
 * Thread: unload(), outside read sections, while the worker still runs. Blocks: until the thread has ended.
 */
void control_stop(void);
