/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Hooks that wait for a look-up: the one exception to "hooks never wait", opt-in and guarded.
 *
 * A worker that waits serves nobody, and its read section delays all grace periods of the server by as much. So at most a
 * quarter of the workers of a protocol wait at a time (at least one; of one worker none), and only while the upstream's last
 * answer took no longer than is left to wait; after a hold that ran out none does until there is an answer again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*! When a look-up of a hook may wait. */
typedef struct {
	uint32_t ms;              /*!< What is left to wait, of one query. 0: nothing. */
	unsigned workers;         /*!< Threads that serve this protocol. */
	unsigned protocol;        /*!< 0 or 1: threads of one are no help to the other. */
} hold_t;

/*! How fast an upstream is, as far as holds care. Atomic. */
typedef uint32_t hold_latency_t;

/*! No answer yet, or a hold that ran out since. */
#define HOLD_LATENCY_UNKNOWN UINT32_MAX

/*! \brief Notes how long the last answer took; HOLD_LATENCY_UNKNOWN: there was none. Thread: any. */
void hold_note_latency(hold_latency_t *latency, uint32_t ms);

/*!
 * \brief Waits until is_there(), unless nobody may wait now.
 *
 * \param hold      Gets what is left, for further waits of the same query.
 * \param is_there  Looks for what is awaited; called with a lock held, once at least.
 * \return Whether it waited. Thread: hooks. Blocks: \a hold->ms.
 */
bool hold_wait(hold_t *hold, hold_latency_t *latency, bool (*is_there)(void *ctx), void *ctx);

/*! \brief Something may be there: has who waits look. Thread: who has stored it. Blocks: a lock, shortly. */
void hold_wake(void);
