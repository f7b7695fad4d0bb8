/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Whose turn it is to ask which remote.
 */
#include "secondary/turns.h"

#include <assert.h>
#include <libknot/errcode.h>
#include <netinet/in.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

typedef struct turns_remote remote_t;

/*! Turns of one kind and urgency that wait for one remote. */
typedef struct turns_lane {
	TAILQ_ENTRY(turns_lane) entry; /*!< In the pool, while one of its turns may run. */
	remote_t *remote;
	unsigned kind;
	bool urgent;
	bool ready;
	struct turn_list waiting;
} lane_t;

struct turns_remote {
	struct sockaddr_storage addr;   /*!< First: the tree's nodes are compared as addresses. */
	TAILQ_ENTRY(turns_remote) entry; /*!< Among the paused. */
	unsigned turns;                 /*!< Waiting, running or failing. */
	unsigned running[TURNS_KINDS];
	lane_t lane[TURNS_KINDS][2];    /*!< Ordinary, urgent. */
	bool proven;                    /*!< Has answered since it last failed to. */
	bool paused;
	unsigned pause;                 /*!< Why: TURNS_SILENT … */
	uint64_t answered_at;
	uint64_t paused_until;
	int error;                      /*!< Why it is paused. */
};

/*! \name Remotes */

/*! Some order of addresses with ports. */
static int remote_compare(const void *a, const void *b)
{
	const struct sockaddr_storage *x = a, *y = b;
	if (x->ss_family != y->ss_family) {
		return x->ss_family < y->ss_family ? -1 : 1;
	}
	if (x->ss_family != AF_INET6) {
		const struct sockaddr_in *x4 = a, *y4 = b;
		int ret = memcmp(&x4->sin_addr, &y4->sin_addr, sizeof(x4->sin_addr));
		return ret != 0 ? ret : (int)x4->sin_port - (int)y4->sin_port;
	}
	const struct sockaddr_in6 *x6 = a, *y6 = b;
	int ret = memcmp(&x6->sin6_addr, &y6->sin6_addr, sizeof(x6->sin6_addr));
	if (ret == 0) {
		ret = memcmp(&x6->sin6_scope_id, &y6->sin6_scope_id, sizeof(x6->sin6_scope_id));
	}
	return ret != 0 ? ret : (int)x6->sin6_port - (int)y6->sin6_port;
}

static remote_t *remote_new(const struct sockaddr_storage *addr)
{
	remote_t *remote = calloc(1, sizeof(*remote));
	if (remote == NULL) {
		return NULL;
	}
	remote->addr = *addr;
	for (unsigned kind = 0; kind < TURNS_KINDS; kind++) {
		for (unsigned urgent = 0; urgent < 2; urgent++) {
			lane_t *lane = &remote->lane[kind][urgent];
			*lane = (lane_t) { .remote = remote, .kind = kind, .urgent = urgent };
			TAILQ_INIT(&lane->waiting);
		}
	}
	return remote;
}

/*! The remote with the address \a addr, known or new; NULL: no memory. */
static remote_t *remote_get(turns_t *turns, const struct sockaddr_storage *addr)
{
	void *node = tfind(addr, &turns->remotes, remote_compare);
	if (node != NULL) {
		return *(remote_t **)node;
	}
	remote_t *remote = remote_new(addr);
	if (remote != NULL && tsearch(remote, &turns->remotes, remote_compare) == NULL) {
		free(remote);
		return NULL;
	}
	return remote;
}

/*! Forgets a remote that nobody needs and that is not paused. */
static void remote_put(turns_t *turns, remote_t *remote)
{
	if (remote->turns == 0 && !remote->paused) {
		tdelete(remote, &turns->remotes, remote_compare);
		free(remote);
	}
}

static void remote_resume(turns_t *turns, remote_t *remote)
{
	if (remote->paused) {
		remote->paused = false;
		TAILQ_REMOVE(&turns->paused[remote->pause], remote, entry);
	}
}

/*! Ends the pauses that are over by \a now. */
static void remotes_resume(turns_t *turns, uint64_t now)
{
	for (unsigned pause = 0; pause < TURNS_PAUSES; pause++) {
		remote_t *remote;
		while ((remote = TAILQ_FIRST(&turns->paused[pause])) != NULL && remote->paused_until <= now) {
			remote_resume(turns, remote);
			remote_put(turns, remote);
		}
	}
}

static bool remote_has_room(const turns_t *turns, const remote_t *remote, unsigned kind)
{
	return remote->running[kind] < (remote->proven ? turns->pool[kind].limit.remote : 1);
}

/*! \name Lanes */

/*! Puts a lane into its pool or takes it out, as its turns may run or not. To be called when either has changed. */
static void lane_update(turns_t *turns, lane_t *lane)
{
	bool ready = !TAILQ_EMPTY(&lane->waiting) && remote_has_room(turns, lane->remote, lane->kind);
	if (ready == lane->ready) {
		return;
	}
	struct turns_lanes *lanes = &turns->pool[lane->kind].ready[lane->urgent];
	if (ready) {
		TAILQ_INSERT_TAIL(lanes, lane, entry);
	} else {
		TAILQ_REMOVE(lanes, lane, entry);
	}
	lane->ready = ready;
}

static lane_t *turn_lane(const turn_t *turn)
{
	return &turn->remote->lane[turn->kind][turn->urgent];
}

static void lane_remove(turns_t *turns, turn_t *turn)
{
	lane_t *lane = turn_lane(turn);
	TAILQ_REMOVE(&lane->waiting, turn, entry);
	lane_update(turns, lane);
}

static void remote_update(turns_t *turns, remote_t *remote)
{
	for (unsigned kind = 0; kind < TURNS_KINDS; kind++) {
		lane_update(turns, &remote->lane[kind][false]);
		lane_update(turns, &remote->lane[kind][true]);
	}
}

/*! \name Failures */

static void fail(turns_t *turns, turn_t *turn, int error)
{
	turn->state = TURN_FAILING;
	turn->error = error;
	turn->again_at = 0;
	TAILQ_INSERT_TAIL(&turns->failing, turn, entry);
}

/*! What waits for a remote that is as good as dead fails with it. */
static void lane_fail(turns_t *turns, lane_t *lane, int error)
{
	turn_t *turn;
	while ((turn = TAILQ_FIRST(&lane->waiting)) != NULL) {
		TAILQ_REMOVE(&lane->waiting, turn, entry);
		fail(turns, turn, error);
	}
	lane_update(turns, lane);
}

static bool is_silence(int error)
{
	switch (error) {
	case KNOT_ETIMEOUT:
	case KNOT_ECONNREFUSED:
	case KNOT_EHOSTUNREACH:
	case KNOT_ENETUNREACH:
	case KNOT_EHOSTDOWN:
	case KNOT_ENETDOWN:
		return true;
	default:
		return false;
	}
}

/*! An answer that could not be verified. */
static bool is_doubtful_answer(int error)
{
	switch (error) {
	case KNOT_ENOTSIG:
	case KNOT_TSIG_EBADSIG:
	case KNOT_TSIG_EBADKEY:
	case KNOT_TSIG_EBADTIME:
	case KNOT_TSIG_EBADTRUNC:
		return true;
	default:
		return false;
	}
}

static void remote_pause(turns_t *turns, remote_t *remote, int error, uint64_t now)
{
	remote_resume(turns, remote);
	remote->proven = false;
	remote->paused = true;
	remote->pause = error == KNOT_ECONNREFUSED ? TURNS_REFUSED : TURNS_SILENT;
	remote->paused_until = now + turns->pause_ms[remote->pause];
	remote->error = error;
	TAILQ_INSERT_TAIL(&turns->paused[remote->pause], remote, entry);
	for (unsigned kind = 0; kind < TURNS_KINDS; kind++) {
		lane_fail(turns, &remote->lane[kind][false], error);
		lane_fail(turns, &remote->lane[kind][true], error);
	}
}

/*! \name Turns */

static void turn_clear(turns_t *turns, turn_t *turn)
{
	remote_t *remote = turn->remote;
	turn->state = TURN_NONE;
	turn->remote = NULL;
	if (remote != NULL) {
		remote->turns--;
		remote_put(turns, remote);
	}
}

/*! Takes the place of a running turn away from it. */
static void turn_leave_pool(turns_t *turns, turn_t *turn)
{
	turns->pool[turn->kind].running--;
	turn->remote->running[turn->kind]--;
	remote_update(turns, turn->remote);
}

void turns_init(turns_t *turns, const uint64_t pause_ms[static TURNS_PAUSES], const turns_limit_t limits[static TURNS_KINDS])
{
	memset(turns, 0, sizeof(*turns));
	TAILQ_INIT(&turns->failing);
	for (unsigned pause = 0; pause < TURNS_PAUSES; pause++) {
		turns->pause_ms[pause] = pause_ms[pause];
		TAILQ_INIT(&turns->paused[pause]);
	}
	for (unsigned kind = 0; kind < TURNS_KINDS; kind++) {
		turns->pool[kind].limit = limits[kind];
		TAILQ_INIT(&turns->pool[kind].ready[false]);
		TAILQ_INIT(&turns->pool[kind].ready[true]);
	}
}

void turns_clear(turns_t *turns)
{
	remotes_resume(turns, UINT64_MAX);
	assert(turns->remotes == NULL && TAILQ_EMPTY(&turns->failing));
}

void turns_ask(turns_t *turns, turn_t *turn, const struct sockaddr_storage *addr, unsigned kind, bool urgent, uint64_t now)
{
	assert(turn->state == TURN_NONE && kind < TURNS_KINDS && turns->pool[kind].limit.running > 0);
	remotes_resume(turns, now);
	turn->kind = kind;
	turn->urgent = urgent;
	turn->remote = remote_get(turns, addr);
	if (turn->remote == NULL) {
		fail(turns, turn, KNOT_ENOMEM);
		return;
	}
	turn->remote->turns++;
	if (turn->remote->paused && !urgent) {
		fail(turns, turn, turn->remote->error);
		turn->again_at = turn->remote->paused_until;
		return;
	}

	turn->state = TURN_WAITING;
	lane_t *lane = turn_lane(turn);
	TAILQ_INSERT_TAIL(&lane->waiting, turn, entry);
	lane_update(turns, lane);
}

/*! The next lane that has its turn in the pool of \a kind; behind the others afterwards. */
static lane_t *lane_next(turns_t *turns, unsigned kind)
{
	struct turns_lanes *lanes = &turns->pool[kind].ready[true];
	if (TAILQ_EMPTY(lanes)) {
		lanes = &turns->pool[kind].ready[false];
	}
	lane_t *lane = TAILQ_FIRST(lanes);
	if (lane != NULL) {
		TAILQ_REMOVE(lanes, lane, entry);
		TAILQ_INSERT_TAIL(lanes, lane, entry);
	}
	return lane;
}

turn_t *turns_next(turns_t *turns, uint64_t now)
{
	for (unsigned kind = 0; kind < TURNS_KINDS; kind++) {
		bool has_place = turns->pool[kind].running < turns->pool[kind].limit.running;
		lane_t *lane = has_place ? lane_next(turns, kind) : NULL;
		if (lane == NULL) {
			continue;
		}
		turn_t *turn = TAILQ_FIRST(&lane->waiting);
		lane_remove(turns, turn);
		turn->state = TURN_RUNNING;
		turn->began = now;
		turns->pool[kind].running++;
		lane->remote->running[kind]++;
		remote_update(turns, lane->remote);
		return turn;
	}
	return NULL;
}

turn_t *turns_next_failed(turns_t *turns)
{
	turn_t *turn = TAILQ_FIRST(&turns->failing);
	if (turn != NULL) {
		TAILQ_REMOVE(&turns->failing, turn, entry);
		turn_clear(turns, turn);
	}
	return turn;
}

bool turns_has_failed(const turns_t *turns)
{
	return !TAILQ_EMPTY(&turns->failing);
}

void turns_answered(turns_t *turns, turn_t *turn, uint64_t now)
{
	assert(turn->state == TURN_RUNNING);
	remote_t *remote = turn->remote;
	remote->answered_at = now;
	remote_resume(turns, remote);
	if (!remote->proven) {
		remote->proven = true;
		remote_update(turns, remote);
	}
}

void turns_end(turns_t *turns, turn_t *turn, int error, uint64_t now)
{
	assert(turn->state == TURN_RUNNING);
	if (is_doubtful_answer(error)) {
		turns_answered(turns, turn, now); /* Perhaps forged; but no more than places depends on it. */
	}
	turn_leave_pool(turns, turn);
	if (is_silence(error) && turn->remote->answered_at < turn->began) {
		remote_pause(turns, turn->remote, error, now);
	}
	turn_clear(turns, turn);
}

void turns_fail(turns_t *turns, turn_t *turn, int error)
{
	assert(turn->state == TURN_RUNNING);
	turn_leave_pool(turns, turn);
	fail(turns, turn, error);
}

void turns_cancel(turns_t *turns, turn_t *turn)
{
	switch (turn->state) {
	case TURN_NONE:
		return;
	case TURN_WAITING:
		lane_remove(turns, turn);
		break;
	case TURN_RUNNING:
		turn_leave_pool(turns, turn);
		break;
	case TURN_FAILING:
		TAILQ_REMOVE(&turns->failing, turn, entry);
		break;
	}
	turn_clear(turns, turn);
}
