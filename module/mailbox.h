/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief A letter box: any number of senders, one reader. Sending waits for nothing and allocates nothing.
 *
 * Letters come out in the order in which they were put in. ThreadSanitizer cannot see liburcu's queue: that build has a lock.
 */
#pragma once

#include <stddef.h>

#ifndef SECONDARY_TSAN

#include <urcu/wfcqueue.h>

/*! Part of what is sent; the sender keeps it alive until it has been taken. */
typedef struct letter {
	struct cds_wfcq_node node;
	unsigned kind;
} letter_t;

typedef struct {
	struct __cds_wfcq_head head;
	struct cds_wfcq_tail tail;
} mailbox_t;

static inline void mailbox_init(mailbox_t *box)
{
	__cds_wfcq_init(&box->head, &box->tail);
}

static inline void mailbox_put(mailbox_t *box, letter_t *letter)
{
	cds_wfcq_node_init(&letter->node);
	cds_wfcq_enqueue(&box->head, &box->tail, &letter->node);
}

/*! \brief The oldest letter, or NULL. Thread: the reader's. */
static inline letter_t *mailbox_take(mailbox_t *box)
{
	struct cds_wfcq_node *node = __cds_wfcq_dequeue_blocking(&box->head, &box->tail);
	return node != NULL ? caa_container_of(node, letter_t, node) : NULL;
}

#else

#include <pthread.h>
#include <sys/queue.h>

typedef struct letter {
	STAILQ_ENTRY(letter) node;
	unsigned kind;
} letter_t;

typedef struct {
	pthread_mutex_t lock;
	STAILQ_HEAD(, letter) letters;
} mailbox_t;

static inline void mailbox_init(mailbox_t *box)
{
	pthread_mutex_init(&box->lock, NULL);
	STAILQ_INIT(&box->letters);
}

static inline void mailbox_put(mailbox_t *box, letter_t *letter)
{
	pthread_mutex_lock(&box->lock);
	STAILQ_INSERT_TAIL(&box->letters, letter, node);
	pthread_mutex_unlock(&box->lock);
}

static inline letter_t *mailbox_take(mailbox_t *box)
{
	pthread_mutex_lock(&box->lock);
	letter_t *letter = STAILQ_FIRST(&box->letters);
	if (letter != NULL) {
		STAILQ_REMOVE_HEAD(&box->letters, node);
	}
	pthread_mutex_unlock(&box->lock);
	return letter;
}

#endif
