/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Completing the version that a transfer has brought, in a thread of libuv's pool: other zones do not wait for it.
 *
 *     completion_start() --> pool: transfer_in_finish() --> loop: done()
 *                                      \--completion_cancel() waits for its end
 *
 * An increment of 100,000 changes takes 0.1 s and more, and so do the hashes of a large zone with NSEC3, or sorting one that comes in
 * disorder; the loop would answer nobody for so long. Small ones are better completed at once (COMPLETION_MIN).
 *
 * An increment is made in the arena of the version that it begins at, where one may be made at a time. So one that is given up is
 * waited for: its zone may begin with another as soon as completion_cancel() has returned. This is for settings that change, and
 * zones that go, in the very moment.
 *
 * Threads: the one that runs the loop, registered with RCU, is the writer of the zone; the pool's takes its part until done(), and
 * nothing is retired there. Blocks: never, but completion_cancel(). Memory: some 400 octets each, beside what is made.
 */
#pragma once

#include <uv.h>

#include "secondary/transfer_in.h"

/*! Octets of a transfer from which on it is worth a thread: less takes a few milliseconds at most, which other zones wait. */
#define COMPLETION_MIN (128u << 10)

typedef struct completion completion_t;

/*!
 * \brief Tells what came of it, once.
 *
 * \param ret       As transfer_in_finish(), and KNOT_ERROR.
 * \param snapshot  Own, with KNOT_EOK.
 * \param run       Own, with KNOT_EOK: the differences that lead to it.
 */
typedef void (*completion_done_t)(void *ctx, int ret, snapshot_t *snapshot, history_run_t run);

/*!
 * \brief Begins to complete \a transfer, which is complete.
 *
 * \param transfer, base  As with transfer_in_finish(); the caller keeps both alive, \a base pinned, until done() or the return of
 *                        completion_cancel(), and only looks at them.
 * \return Own until done() is called: completion_cancel(). NULL: no memory; nothing has begun.
 */
completion_t *completion_start(uv_loop_t *loop, transfer_in_t *transfer, snapshot_t *base, completion_done_t done, void *ctx);

/*! \brief Gives up: done() is not called, what was made is discarded. Blocks: until that has been made, if it has begun. */
void completion_cancel(completion_t *completion);
