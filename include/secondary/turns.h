/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Whose turn it is to ask which remote: queues that keep zones and remotes from holding each other up.
 *
 *     ask --> waiting, in a lane --next()--> running, in a pool --end()--> none
 *      |          |                                                         ^
 *      |          +--the remote fell silent--> failing --next_failed()------+
 *      +--the remote is left alone--------------^
 *
 * A lane has the turns of one kind and urgency that wait for one remote. Of each kind so many run at once, and so many of
 * them with one remote; when a place is free, urgent lanes go first, and then each remote has its turn. A remote that has
 * not answered yet, or failed to, is asked by one turn at a time until it answers; and one that was silent is left alone for
 * a while: what waits for it fails with it, what is asked of it meanwhile fails at once, unless urgent, and is told until when.
 * So a dead remote holds one place of each pool, and no zone waits for another zone's remote. One that refuses connections
 * costs next to nothing, and perhaps has just not started yet: it has a pause of its own.
 *
 * Turns that fail are handed out like others, so that who asks never hears of it before the asking has returned.
 *
 * Threads: one at a time. Blocks: never; reads no clock. Memory: some 400 octets for each remote that is asked or left alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

/*! Kinds of questions, each with a pool of its own. */
#define TURNS_KINDS 2

/*! Why a remote is left alone. */
enum {
	TURNS_SILENT,            /*!< No answer, or no way there. */
	TURNS_REFUSED,           /*!< Nobody listens there. */
	TURNS_PAUSES,
};

typedef enum {
	TURN_NONE,               /*!< Nothing is asked; the zero state. */
	TURN_WAITING,            /*!< In a lane. */
	TURN_RUNNING,            /*!< Has a place in the pool. */
	TURN_FAILING,            /*!< Failed without being tried. */
} turn_state_t;

/*! One question to one remote: part of who asks. */
typedef struct turn {
	TAILQ_ENTRY(turn) entry;
	struct turns_remote *remote;
	turn_state_t state;
	unsigned kind;
	bool urgent;
	int error;               /*!< TURN_FAILING. */
	uint64_t again_at;       /*!< TURN_FAILING because its remote is left alone: until then. Else 0. */
	uint64_t began;          /*!< TURN_RUNNING: when. */
} turn_t;

TAILQ_HEAD(turn_list, turn);
TAILQ_HEAD(turns_lanes, turns_lane);
TAILQ_HEAD(turns_remotes, turns_remote);

typedef struct {
	unsigned running;        /*!< At once. */
	unsigned remote;         /*!< Of these, with one remote. */
} turns_limit_t;

typedef struct {
	uint64_t pause_ms[TURNS_PAUSES]; /*!< How long a remote is left alone. */
	void *remotes;           /*!< By address: tsearch(3). */
	struct turns_remotes paused[TURNS_PAUSES]; /*!< Oldest first. */
	struct turn_list failing;
	struct {
		turns_limit_t limit;
		unsigned running;
		struct turns_lanes ready[2]; /*!< Lanes with turns that may run: ordinary, urgent. */
	} pool[TURNS_KINDS];
} turns_t;

/*! \brief Begins with empty queues. Kinds without limit are not asked for. */
void turns_init(turns_t *turns, const uint64_t pause_ms[static TURNS_PAUSES], const turns_limit_t limits[static TURNS_KINDS]);

/*! \brief Forgets the remotes that were left alone. No turn is waiting, running or failing. */
void turns_clear(turns_t *turns);

/*! \brief Asks: \a turn (TURN_NONE) is waiting or failing now. \param addr  With port; copied. */
void turns_ask(turns_t *turns, turn_t *turn, const struct sockaddr_storage *addr, unsigned kind, bool urgent, uint64_t now);

/*! \brief The next turn that may run, running now; NULL: none, or no place. Borrow. */
turn_t *turns_next(turns_t *turns, uint64_t now);

/*! \brief The next turn that failed without being tried, TURN_NONE with its error and again_at now; NULL: none. Borrow. */
turn_t *turns_next_failed(turns_t *turns);

/*! \brief Is there such a one? */
bool turns_has_failed(const turns_t *turns);

/*! \brief The remote of \a turn (running) said something, whatever: others may ask it, too (turns_next()). */
void turns_answered(turns_t *turns, turn_t *turn, uint64_t now);

/*!
 * \brief Ends \a turn (running): it is TURN_NONE.
 *
 * \param error  KNOT_EOK, or what went wrong. Silence (timeout, refused, unreachable) is held against the remote, unless it
 *               has answered since the turn began: then it is about this zone alone. An answer that could not be verified
 *               (KNOT_ENOTSIG, KNOT_TSIG_E…) is one: others, with other keys, may ask the remote, too (turns_answered()).
 */
void turns_end(turns_t *turns, turn_t *turn, int error, uint64_t now);

/*! \brief A \a turn that was to run cannot: it is failing, with \a error, which is nothing that the remote did. */
void turns_fail(turns_t *turns, turn_t *turn, int error);

/*! \brief Takes \a turn back, whatever its state: it is TURN_NONE. */
void turns_cancel(turns_t *turns, turn_t *turn);
