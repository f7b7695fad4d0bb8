/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Completing the version that a transfer has brought, in a thread of libuv's pool.
 */
#include "secondary/completion.h"

#include <assert.h>
#include <libknot/errcode.h>
#include <stdlib.h>

struct completion {
	uv_work_t work;
	uv_sem_t made;            /*!< Posted by the pool's thread at its end. */
	transfer_in_t *transfer;
	snapshot_t *base;
	completion_done_t done;   /*!< NULL: nobody wants to know any more. */
	void *ctx;
	int ret;
	snapshot_t *snapshot;
	history_run_t run;
};

/*! In a thread of the pool, which is not registered with RCU: nothing is retired here. */
static void on_work(uv_work_t *work)
{
	completion_t *completion = work->data;
	completion->ret = transfer_in_finish(completion->transfer, completion->base, &completion->snapshot, &completion->run);
	uv_sem_post(&completion->made);
}

static void on_done(uv_work_t *work, int status)
{
	(void)status; /* Cancelled: then nobody wants to know. */
	completion_t *completion = work->data;
	if (completion->done != NULL) {
		completion->done(completion->ctx, completion->ret, completion->snapshot, completion->run);
	}
	uv_sem_destroy(&completion->made);
	free(completion);
}

completion_t *completion_start(uv_loop_t *loop, transfer_in_t *transfer, snapshot_t *base, completion_done_t done, void *ctx)
{
	completion_t *completion = calloc(1, sizeof(*completion));
	if (completion == NULL) {
		return NULL;
	}
	*completion = (completion_t) {
		.work.data = completion, .transfer = transfer, .base = base, .done = done, .ctx = ctx, .ret = KNOT_ERROR,
	};
	int ret = uv_sem_init(&completion->made, 0);
	assert(ret == 0); /* It refuses nothing but a number that is too large. */
	ret = uv_queue_work(loop, &completion->work, on_work, on_done);
	assert(ret == 0);
	(void)ret;
	return completion;
}

void completion_cancel(completion_t *completion)
{
	completion->done = NULL;
	if (uv_cancel((uv_req_t *)&completion->work) == 0) {
		return;
	}
	uv_sem_wait(&completion->made);
	snapshot_discard(completion->snapshot);
	history_run_clear(&completion->run);
}
