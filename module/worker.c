/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The one background thread: letters from other threads, timers, and whose turn it is to ask which primary.
 *
 *     other threads --letters--> agent (one a zone) --> refresh machine --> job --> lane of its remote --> exchange
 *                                      ^                                                                      |
 *                                      +----------------------------- answer ---------------------------------+
 */
#include "secondary/worker.h"

#include <assert.h>
#include <libknot/error.h>
#include <pthread.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <time.h>
#include <urcu/wfcqueue.h>
#include <uv.h>

#include "secondary/address.h"
#include "secondary/directory.h"
#include "secondary/exchange.h"
#include "secondary/report.h"
#include "secondary/transfer_in.h"
#include "soa_probe.h"

/*! Probes of one remote at once: a remote that dies with so many under way takes half of WORKER_PROBES_MAX for one timeout. */
#define PROBES_REMOTE_MAX    (WORKER_PROBES_MAX / 2)
/*! A probe by datagrams at most: somewhat longer than EXCHANGE_UDP_PAUSES_MS take. */
#define PROBE_UDP_TIMEOUT_MS 8000
/*! A probe over TCP: connecting, and each further step. With the datagrams before it, a dead primary costs its zone 12 s. */
#define PROBE_TCP_TIMEOUT_MS 5000
/*! Jobs that fail without being tried, and letters, per turn of the loop: so many zones wait for one turn (about a millisecond). */
#define BATCH                256

/*! Octets of a reason with the last 0: a log line of knotd holds little more. */
#define REASON_MAX           384

/*! \name Letters */

typedef enum {
	LETTER_ZONE,             /*!< In an agent: see what is pending there. */
	LETTER_CALL,
	LETTER_STOP,
} letter_kind_t;

typedef struct letter {
#ifndef SECONDARY_TSAN
	struct cds_wfcq_node node;
#else
	STAILQ_ENTRY(letter) node;
#endif
	letter_kind_t kind;
} letter_t;

typedef struct {
	letter_t letter;
	zone_t *zone;
	void (*visit)(refresh_t *refresh, void *ctx);
	void *ctx;
	int ret;
	bool done;               /*!< Under worker.call_lock. */
} call_t;

/*! \name Jobs: one question to one remote */

typedef enum { PROBE, TRANSFER, KINDS } kind_t;

typedef enum {
	JOB_NONE,                /*!< Nothing is asked. */
	JOB_WAITING,             /*!< In a lane. */
	JOB_RUNNING,             /*!< Has an exchange. */
	JOB_FAILING,             /*!< Failed without being tried; the machine hears of it in a turn of its own. */
} job_state_t;

typedef struct remote remote_t;
typedef struct agent agent_t;

typedef struct job {
	TAILQ_ENTRY(job) entry;
	agent_t *agent;
	job_state_t state;
	kind_t kind;
	bool urgent;
	bool tcp;
	stanza_t *stanza;        /*!< Held, for the primary and its key. */
	const primary_t *primary;
	remote_t *remote;
	exchange_t *exchange;
	uint64_t began;
	int error;               /*!< JOB_FAILING. */
	int read;                /*!< PROBE: what soa_probe_read() returned. */
	soa_probe_t *probe;      /*!< PROBE, once there is an answer. */
	transfer_in_t *transfer; /*!< TRANSFER. */
	transfer_status_t status;
} job_t;

TAILQ_HEAD(jobs, job);

/*! Jobs of one kind and urgency that wait for one remote. */
typedef struct lane {
	TAILQ_ENTRY(lane) entry; /*!< In the pool, while one of its jobs may start. */
	remote_t *remote;
	kind_t kind;
	bool urgent;
	bool ready;
	struct jobs jobs;
} lane_t;

TAILQ_HEAD(lanes, lane);

/*!
 * A remote that has not answered lately is asked by one zone at a time; its first answer opens it for all. So one that is
 * dead holds one place of each pool, and no zone waits for another zone's primary.
 */
struct remote {
	struct sockaddr_storage addr;
	TAILQ_ENTRY(remote) entry; /*!< Among the paused. */
	unsigned jobs;           /*!< Waiting or running. */
	unsigned running[KINDS];
	lane_t lane[KINDS][2];   /*!< Ordinary, urgent. */
	bool proven;             /*!< Has answered since it last failed to. */
	bool paused;
	uint64_t answered_at;
	uint64_t paused_until;
	int error;               /*!< Why it is paused. */
};

/*! Places for jobs of one kind, and the lanes that could use them, in turn. */
typedef struct {
	unsigned running, limit;
	struct lanes ready[2];
} pool_t;

/*! \name One zone */

enum {
	PENDING_SET    = 1 << 0,
	PENDING_NOTIFY = 1 << 1,
	PENDING_GONE   = 1 << 2,
};

struct agent {
	letter_t letter;         /*!< Under way when \a pending is not 0; then it holds the zone. */
	unsigned pending;        /*!< Atomic. */
	stanza_t *stanza;        /*!< PENDING_SET, held. Atomic. */
	unsigned notified;       /*!< NOTIFY since the worker last looked; the first one filled the next three. Atomic. */
	struct sockaddr_storage from;
	bool has_serial;
	uint32_t serial;

	zone_t *zone;            /*!< Held while \a open. */
	bool open;               /*!< In the list, the timer initialised. */
	LIST_ENTRY(agent) entry;
	uv_timer_t timer;
	refresh_t *refresh;
	job_t job;
};

static struct {
	pthread_mutex_t lock;    /*!< Starting and stopping. */
	unsigned users;
	pthread_t thread;
	worker_options_t options;

	pthread_mutex_t call_lock;
	pthread_cond_t call_done;

#ifndef SECONDARY_TSAN
	struct __cds_wfcq_head head;
	struct cds_wfcq_tail tail;
#else
	pthread_mutex_t mail_lock;
	STAILQ_HEAD(, letter) mail;
#endif

	/* The rest is the thread's. */
	uv_loop_t loop;
	uv_async_t wake;
	uv_idle_t fail;          /*!< Runs while jobs are failing. */
	LIST_HEAD(, agent) agents;
	pool_t pool[KINDS];
	void *remotes;           /*!< By address: tsearch(3). */
	TAILQ_HEAD(, remote) paused; /*!< Oldest first. */
	struct jobs failing;
	bool stopping;
} worker = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.call_lock = PTHREAD_MUTEX_INITIALIZER,
	.call_done = PTHREAD_COND_INITIALIZER,
#ifdef SECONDARY_TSAN
	.mail_lock = PTHREAD_MUTEX_INITIALIZER,
#endif
};

/*! \name The letter box: any number of senders, one reader */

#ifndef SECONDARY_TSAN

static void mail_init(void)
{
	__cds_wfcq_init(&worker.head, &worker.tail);
}

static void mail_put(letter_t *letter)
{
	cds_wfcq_node_init(&letter->node);
	cds_wfcq_enqueue(&worker.head, &worker.tail, &letter->node);
}

static letter_t *mail_take(void)
{
	struct cds_wfcq_node *node = __cds_wfcq_dequeue_blocking(&worker.head, &worker.tail);
	return node != NULL ? caa_container_of(node, letter_t, node) : NULL;
}

#else

static void mail_init(void)
{
	STAILQ_INIT(&worker.mail);
}

static void mail_put(letter_t *letter)
{
	pthread_mutex_lock(&worker.mail_lock);
	STAILQ_INSERT_TAIL(&worker.mail, letter, node);
	pthread_mutex_unlock(&worker.mail_lock);
}

static letter_t *mail_take(void)
{
	pthread_mutex_lock(&worker.mail_lock);
	letter_t *letter = STAILQ_FIRST(&worker.mail);
	if (letter != NULL) {
		STAILQ_REMOVE_HEAD(&worker.mail, node);
	}
	pthread_mutex_unlock(&worker.mail_lock);
	return letter;
}

#endif

static void mail_send(letter_t *letter, letter_kind_t kind)
{
	letter->kind = kind;
	mail_put(letter);
	uv_async_send(&worker.wake);
}

/*! Tells the thread that something is pending at \a agent. One letter is under way at most: the first sender posts it. */
static void agent_tell(agent_t *agent, unsigned what)
{
	if (__atomic_fetch_or(&agent->pending, what, __ATOMIC_ACQ_REL) == 0) {
		zone_hold(agent->zone);
		mail_send(&agent->letter, LETTER_ZONE);
	}
}

/*! \name Clock */

static uint64_t now_ms(void)
{
	uv_update_time(&worker.loop);
	return uv_now(&worker.loop);
}

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
	for (kind_t kind = 0; kind < KINDS; kind++) {
		for (unsigned urgent = 0; urgent < 2; urgent++) {
			lane_t *lane = &remote->lane[kind][urgent];
			*lane = (lane_t) { .remote = remote, .kind = kind, .urgent = urgent };
			TAILQ_INIT(&lane->jobs);
		}
	}
	return remote;
}

/*! The remote with the address \a addr, known or new; NULL: no memory. */
static remote_t *remote_get(const struct sockaddr_storage *addr)
{
	void *node = tfind(addr, &worker.remotes, remote_compare);
	if (node != NULL) {
		return *(remote_t **)node; /* Its address stands first in it. */
	}
	remote_t *remote = remote_new(addr);
	if (remote != NULL && tsearch(remote, &worker.remotes, remote_compare) == NULL) {
		free(remote);
		return NULL;
	}
	return remote;
}

/*! Forgets a remote that nobody needs and that is not paused. */
static void remote_put(remote_t *remote)
{
	if (remote->jobs == 0 && !remote->paused) {
		tdelete(remote, &worker.remotes, remote_compare);
		free(remote);
	}
}

static void remote_resume(remote_t *remote)
{
	if (remote->paused) {
		remote->paused = false;
		TAILQ_REMOVE(&worker.paused, remote, entry);
	}
}

/*! Ends the pauses that are over by \a now. */
static void remotes_resume(uint64_t now)
{
	remote_t *remote;
	while ((remote = TAILQ_FIRST(&worker.paused)) != NULL && remote->paused_until <= now) {
		remote_resume(remote);
		remote_put(remote);
	}
}

static bool remote_has_room(const remote_t *remote, kind_t kind)
{
	unsigned limit = kind == PROBE ? PROBES_REMOTE_MAX : worker.options.transfer_limit_remote;
	return remote->running[kind] < (remote->proven ? limit : 1);
}

/*! Puts a lane into its pool or takes it out, as its jobs may start or not. To be called when either has changed. */
static void lane_update(lane_t *lane)
{
	bool ready = !TAILQ_EMPTY(&lane->jobs) && remote_has_room(lane->remote, lane->kind);
	if (ready == lane->ready) {
		return;
	}
	struct lanes *lanes = &worker.pool[lane->kind].ready[lane->urgent];
	if (ready) {
		TAILQ_INSERT_TAIL(lanes, lane, entry);
	} else {
		TAILQ_REMOVE(lanes, lane, entry);
	}
	lane->ready = ready;
}

static void lane_remove(lane_t *lane, job_t *job)
{
	TAILQ_REMOVE(&lane->jobs, job, entry);
	lane_update(lane);
}

static void remote_update(remote_t *remote)
{
	for (kind_t kind = 0; kind < KINDS; kind++) {
		lane_update(&remote->lane[kind][false]);
		lane_update(&remote->lane[kind][true]);
	}
}

/*! \name Jobs */

static lane_t *job_lane(const job_t *job)
{
	return &job->remote->lane[job->kind][job->urgent];
}

static void job_fail_later(job_t *job, int error)
{
	job->state = JOB_FAILING;
	job->error = error;
	TAILQ_INSERT_TAIL(&worker.failing, job, entry);
}

/*! Gives back what a job holds but its place in a queue or pool. */
static void job_clear(job_t *job)
{
	remote_t *remote = job->remote;
	transfer_in_free(job->transfer);
	free(job->probe);
	stanza_release(job->stanza);
	*job = (job_t) { .agent = job->agent };
	if (remote != NULL) {
		remote->jobs--;
		remote_put(remote);
	}
}

/*! Takes the place of a running job away from it. */
static void job_leave_pool(job_t *job)
{
	worker.pool[job->kind].running--;
	job->remote->running[job->kind]--;
	remote_update(job->remote);
}

/*! A message of \a remote came. Its lanes may be open now: dispatch(). */
static void remote_answered(remote_t *remote)
{
	remote->answered_at = now_ms();
	remote_resume(remote);
	if (!remote->proven) {
		remote->proven = true;
		remote_update(remote);
	}
}

/*! What waits for a remote that is as good as dead fails with it. */
static void lane_fail(lane_t *lane, int error)
{
	job_t *job;
	while ((job = TAILQ_FIRST(&lane->jobs)) != NULL) {
		TAILQ_REMOVE(&lane->jobs, job, entry);
		job_fail_later(job, error);
	}
	lane_update(lane);
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

/*! A job of \a remote that began at \a began got no answer. */
static void remote_failed(remote_t *remote, uint64_t began, int error)
{
	/* It answers others (of another zone or key): then its silence is about this zone alone. */
	if (!is_silence(error) || remote->answered_at >= began) {
		return;
	}
	remote_resume(remote);
	remote->proven = false;
	remote->paused = true;
	remote->paused_until = now_ms() + WORKER_REMOTE_PAUSE_MS;
	remote->error = error;
	TAILQ_INSERT_TAIL(&worker.paused, remote, entry);
	for (kind_t kind = 0; kind < KINDS; kind++) {
		lane_fail(&remote->lane[kind][false], error);
		lane_fail(&remote->lane[kind][true], error);
	}
}

static exchange_next_t on_probe_message(void *ctx, const uint8_t *msg, size_t len);
static exchange_next_t on_transfer_message(void *ctx, const uint8_t *msg, size_t len);
static void on_probe_done(void *ctx, int ret);
static void on_transfer_done(void *ctx, int ret);

static int job_exchange(job_t *job, exchange_params_t *params, const exchange_callbacks_t *callbacks)
{
	params->remote = job->primary->addr;
	params->via = job->primary->via;
	params->key = job->primary->key.name != NULL ? &job->primary->key : NULL;
	return exchange_start(&worker.loop, params, callbacks, job, &job->exchange);
}

static int probe_start(job_t *job)
{
	static const exchange_callbacks_t callbacks = { on_probe_message, on_probe_done };
	if (job->probe == NULL && (job->probe = malloc(sizeof(*job->probe))) == NULL) {
		return KNOT_ENOMEM;
	}

	const zone_t *zone = job->agent->zone;
	uint8_t query[SOA_PROBE_QUERY_MAX];
	exchange_params_t params = {
		.tcp = job->tcp,
		.query = query,
		.query_len = soa_probe_query(zone->name, zone->name_len, query),
		.timeout_ms = job->tcp ? 2 * PROBE_TCP_TIMEOUT_MS : PROBE_UDP_TIMEOUT_MS,
		.idle_timeout_ms = PROBE_TCP_TIMEOUT_MS,
	};
	return job_exchange(job, &params, &callbacks);
}

static int transfer_start(job_t *job)
{
	static const exchange_callbacks_t callbacks = { on_transfer_message, on_transfer_done };
	const agent_t *agent = job->agent;
	refresh_status_t status;
	refresh_status(agent->refresh, &status);
	builder_limits_t limits = { .max_octets = job->stanza->zone_max_size, .size_hint = status.memory };
	job->transfer = transfer_in_new(agent->zone->name, &limits);
	if (job->transfer == NULL) {
		return KNOT_ENOMEM;
	}

	uint8_t query[512];
	exchange_params_t params = {
		.tcp = true,
		.query = query,
		.query_len = transfer_in_query(agent->zone->name, query),
		.timeout_ms = job->stanza->transfer_timeout_ms,
		.idle_timeout_ms = job->stanza->transfer_idle_timeout_ms,
	};
	return job_exchange(job, &params, &callbacks);
}

/*! Starts a job that has just been taken from its lane. */
static void job_start(job_t *job)
{
	job->state = JOB_RUNNING;
	job->began = now_ms();
	worker.pool[job->kind].running++;
	job->remote->running[job->kind]++;
	remote_update(job->remote);

	int ret = job->kind == PROBE ? probe_start(job) : transfer_start(job);
	if (ret != KNOT_EOK) {
		job_leave_pool(job);
		job_fail_later(job, ret);
	}
}

/*! The next job that may start: urgent before ordinary ones, one remote after the other. NULL: none, or no place. */
static job_t *pool_next(pool_t *pool)
{
	if (pool->running >= pool->limit || worker.stopping) {
		return NULL;
	}
	lane_t *lane = TAILQ_FIRST(&pool->ready[true]);
	if (lane == NULL) {
		lane = TAILQ_FIRST(&pool->ready[false]);
	}
	if (lane == NULL) {
		return NULL;
	}

	struct lanes *lanes = &pool->ready[lane->urgent];
	TAILQ_REMOVE(lanes, lane, entry);
	TAILQ_INSERT_TAIL(lanes, lane, entry);
	job_t *job = TAILQ_FIRST(&lane->jobs);
	lane_remove(lane, job);
	return job;
}

static void on_fail(uv_idle_t *idle);

/*! Starts what may start. To be called at the end of each turn that asked or ended something. Machines hear nothing of it before the loop turns. */
static void dispatch(void)
{
	for (kind_t kind = 0; kind < KINDS; kind++) {
		job_t *job;
		while ((job = pool_next(&worker.pool[kind])) != NULL) {
			job_start(job);
		}
	}
	if (!TAILQ_EMPTY(&worker.failing) && !worker.stopping) {
		uv_idle_start(&worker.fail, on_fail);
	}
}

/*! \name What machines ask for */

static uint64_t op_now(void *ctx)
{
	(void)ctx;
	return now_ms();
}

static int64_t op_wall(void *ctx)
{
	(void)ctx;
	return time(NULL);
}

static uint32_t op_random(void *ctx, uint32_t below)
{
	(void)ctx;
	uint32_t value = 0;
	/* Without randomness there is no jitter, which costs the primaries something, but nobody else. */
	(void)!getrandom(&value, sizeof(value), GRND_NONBLOCK);
	return (uint64_t)value * below >> 32;
}

static void on_timer(uv_timer_t *timer)
{
	agent_t *agent = timer->data;
	refresh_timer(agent->refresh);
	dispatch();
}

static void op_arm(void *ctx, refresh_t *refresh, uint64_t at_ms)
{
	(void)refresh;
	agent_t *agent = ctx;
	if (at_ms == REFRESH_NEVER) {
		uv_timer_stop(&agent->timer);
		return;
	}
	uint64_t now = now_ms();
	uv_timer_start(&agent->timer, on_timer, at_ms > now ? at_ms - now : 0, 0);
}

static void ask(agent_t *agent, kind_t kind, const primary_t *primary, bool urgent)
{
	job_t *job = &agent->job;
	assert(job->state == JOB_NONE);
	remotes_resume(now_ms());
	job->kind = kind;
	job->urgent = urgent;
	job->stanza = stanza_hold((stanza_t *)refresh_stanza(agent->refresh));
	job->primary = primary;
	job->remote = remote_get(&primary->addr);
	if (job->remote == NULL) {
		job_fail_later(job, KNOT_ENOMEM);
		return;
	}
	job->remote->jobs++;
	if (job->remote->paused && !urgent) {
		job_fail_later(job, job->remote->error);
		return;
	}

	job->state = JOB_WAITING;
	lane_t *lane = job_lane(job);
	TAILQ_INSERT_TAIL(&lane->jobs, job, entry);
	lane_update(lane);
}

static void op_probe(void *ctx, refresh_t *refresh, const primary_t *primary, bool urgent)
{
	(void)refresh;
	ask(ctx, PROBE, primary, urgent);
}

static void op_transfer(void *ctx, refresh_t *refresh, const primary_t *primary, bool urgent)
{
	(void)refresh;
	ask(ctx, TRANSFER, primary, urgent);
}

static void op_cancel(void *ctx, refresh_t *refresh)
{
	(void)refresh;
	job_t *job = &((agent_t *)ctx)->job;
	switch (job->state) {
	case JOB_NONE:
		return;
	case JOB_WAITING:
		lane_remove(job_lane(job), job);
		break;
	case JOB_RUNNING:
		exchange_cancel(job->exchange);
		job_leave_pool(job);
		break;
	case JOB_FAILING:
		TAILQ_REMOVE(&worker.failing, job, entry);
		break;
	}
	job_clear(job);
}

static const refresh_ops_t ops = {
	.now_ms = op_now, .wall = op_wall, .random = op_random, .arm = op_arm,
	.probe = op_probe, .transfer = op_transfer, .cancel = op_cancel,
};

/*! \name Answers */

/*! Tells the machine that nothing came of its question. */
static void deliver_failure(agent_t *agent, kind_t kind, const char *reason)
{
	if (kind == PROBE) {
		refresh_probed(agent->refresh, PRIMARY_FAILED, 0, REFRESH_NO_EXPIRE, reason);
	} else {
		refresh_transferred(agent->refresh, NULL, reason);
	}
}

static void on_fail(uv_idle_t *idle)
{
	for (unsigned i = 0; i < BATCH; i++) {
		job_t *job = TAILQ_FIRST(&worker.failing);
		if (job == NULL) {
			uv_idle_stop(idle);
			break;
		}
		TAILQ_REMOVE(&worker.failing, job, entry);
		kind_t kind = job->kind;
		const char *reason = knot_strerror(job->error);
		job_clear(job);
		deliver_failure(job->agent, kind, reason);
	}
	dispatch();
}

static exchange_next_t on_probe_message(void *ctx, const uint8_t *msg, size_t len)
{
	job_t *job = ctx;
	remote_answered(job->remote);
	const zone_t *zone = job->agent->zone;
	job->read = soa_probe_read(msg, len, zone->name, zone->name_len, job->probe);
	return EXCHANGE_ENOUGH;
}

static void deliver_serial(agent_t *agent, const soa_probe_t *probe)
{
	uint32_t ours = 0;
	bool has = refresh_serial(agent->refresh, &ours);
	primary_answer_t answer = PRIMARY_OLDER;
	if (!has || serial_newer(probe->serial, ours)) {
		answer = PRIMARY_NEWER;
	} else if (probe->serial == ours) {
		answer = PRIMARY_SAME;
	}
	refresh_probed(agent->refresh, answer, probe->serial, probe->expire, NULL);
}

/*! Asks again over TCP when a datagram was not enough. Returns false when that is of no use, or impossible. */
static bool probe_again(job_t *job, int *ret)
{
	bool is_enough = *ret == KNOT_EOK && (job->read != KNOT_EOK || !job->probe->is_truncated);
	if (job->tcp || is_enough) {
		return false;
	}
	job->tcp = true;
	int started = probe_start(job);
	if (started != KNOT_EOK) {
		*ret = started;
	}
	return started == KNOT_EOK;
}

static void on_probe_done(void *ctx, int ret)
{
	job_t *job = ctx;
	job->exchange = NULL;
	if (probe_again(job, &ret)) {
		dispatch();
		return;
	}

	agent_t *agent = job->agent;
	soa_probe_t probe = *job->probe;
	int read = job->read;
	job_leave_pool(job);
	if (ret != KNOT_EOK) {
		remote_failed(job->remote, job->began, ret);
	}
	job_clear(job);

	if (ret != KNOT_EOK) {
		deliver_failure(agent, PROBE, knot_strerror(ret));
	} else if (read != KNOT_EOK) {
		deliver_failure(agent, PROBE, probe.reason);
	} else if (probe.is_truncated) {
		deliver_failure(agent, PROBE, knot_strerror(KNOT_EMALF)); /* TC over TCP. */
	} else {
		deliver_serial(agent, &probe);
	}
	dispatch();
}

static exchange_next_t on_transfer_message(void *ctx, const uint8_t *msg, size_t len)
{
	job_t *job = ctx;
	bool is_first = job->status == TRANSFER_MORE && transfer_in_counts(job->transfer).messages == 0;
	remote_answered(job->remote);
	job->status = transfer_in_message(job->transfer, msg, len);
	if (is_first && job->status != TRANSFER_FAILED) {
		char remote[ADDRESS_TEXT_MAX];
		report(job->agent->zone, LOG_INFO, "AXFR, incoming, remote %s, started",
		       address_text(&job->remote->addr, remote));
		dispatch(); /* Others need not wait for the end of this transfer. */
	}
	return job->status == TRANSFER_MORE ? EXCHANGE_MORE : EXCHANGE_ENOUGH;
}

static void report_finished(const job_t *job)
{
	transfer_counts_t counts = transfer_in_counts(job->transfer);
	char remote[ADDRESS_TEXT_MAX];
	report(job->agent->zone, LOG_INFO,
	       "AXFR, incoming, remote %s, finished, %.2f seconds, %llu messages, %llu bytes",
	       address_text(&job->remote->addr, remote), (now_ms() - job->began) / 1000.0,
	       (unsigned long long)counts.messages, (unsigned long long)counts.octets);
}

/*! Makes the version of a transfer that ended with \a ret; NULL: there is none, for a reason. */
static snapshot_t *transfer_finish(job_t *job, int ret, char reason[static REASON_MAX])
{
	snapshot_t *snapshot = NULL;
	const char *error = "";
	if (job->status == TRANSFER_FAILED) {
		error = transfer_in_error(job->transfer);
	} else if (ret == KNOT_EOK) {
		ret = transfer_in_finish(job->transfer, &snapshot);
		error = ret != KNOT_EOK ? transfer_in_error(job->transfer) : "";
	}
	if (snapshot != NULL) {
		report_finished(job);
		return snapshot;
	}
	snprintf(reason, REASON_MAX, "%s", error[0] != '\0' ? error : knot_strerror(ret));
	return NULL;
}

static void on_transfer_done(void *ctx, int ret)
{
	job_t *job = ctx;
	job->exchange = NULL;
	agent_t *agent = job->agent;
	char reason[REASON_MAX] = "";
	snapshot_t *snapshot = transfer_finish(job, ret, reason);
	job_leave_pool(job);
	if (ret != KNOT_EOK) {
		remote_failed(job->remote, job->began, ret);
	}
	job_clear(job);

	refresh_transferred(agent->refresh, snapshot, reason);
	dispatch();
}

/*! \name Agents */

static void agent_open(agent_t *agent)
{
	if (agent->open) {
		return;
	}
	agent->open = true;
	agent->job.agent = agent;
	zone_hold(agent->zone);
	uv_timer_init(&worker.loop, &agent->timer);
	agent->timer.data = agent;
	LIST_INSERT_HEAD(&worker.agents, agent, entry);
	if (directory_add(agent->zone) != KNOT_EOK) {
		report(agent->zone, LOG_WARNING, "aliases of other zones into this one are not followed (%s)", knot_strerror(KNOT_ENOMEM));
	}
}

static void on_agent_closed(uv_handle_t *handle)
{
	agent_t *agent = handle->data;
	zone_release(agent->zone);
}

static void agent_close(agent_t *agent)
{
	if (!agent->open) {
		return;
	}
	refresh_free(agent->refresh);
	agent->refresh = NULL;
	agent->open = false;
	directory_remove(agent->zone);
	LIST_REMOVE(agent, entry);
	uv_close((uv_handle_t *)&agent->timer, on_agent_closed);
}

/*! Settings came (taken); with the first ones the machine begins. */
static void agent_set(agent_t *agent, stanza_t *stanza)
{
	agent_open(agent);
	if (agent->refresh != NULL) {
		refresh_set_stanza(agent->refresh, stanza);
		return;
	}
	agent->refresh = refresh_new(zone_hold(agent->zone), stanza, &ops, agent);
	if (agent->refresh == NULL) {
		report(agent->zone, LOG_ERR, "refresh, not started (%s)", knot_strerror(KNOT_ENOMEM));
		zone_release(agent->zone);
		stanza_release(stanza);
	}
}

static void agent_notified(agent_t *agent)
{
	struct sockaddr_storage from = agent->from;
	bool has_serial = agent->has_serial;
	uint32_t serial = agent->serial;
	unsigned times = __atomic_exchange_n(&agent->notified, 0, __ATOMIC_ACQ_REL);
	if (agent->refresh != NULL) {
		/* Of several ones, each may have brought another serial. */
		refresh_notified(agent->refresh, &from, has_serial && times == 1, serial);
	}
}

/*! Does what is pending and lets go of the letter's hold, and with it perhaps of the agent. */
static void agent_read(agent_t *agent)
{
	zone_t *zone = agent->zone;
	unsigned pending = __atomic_exchange_n(&agent->pending, 0, __ATOMIC_ACQ_REL);
	stanza_t *stanza = __atomic_exchange_n(&agent->stanza, NULL, __ATOMIC_ACQ_REL);
	if (pending & PENDING_GONE || worker.stopping) {
		stanza_release(stanza);
		agent_close(agent);
	} else if (stanza != NULL) {
		agent_set(agent, stanza);
	}
	if (pending & PENDING_NOTIFY) {
		agent_notified(agent);
	}
	zone_release(zone);
}

static void call_answer(call_t *call)
{
	const agent_t *agent = __atomic_load_n(&call->zone->agent, __ATOMIC_ACQUIRE);
	int ret = KNOT_ENOENT;
	if (agent != NULL && agent->refresh != NULL) {
		call->visit(agent->refresh, call->ctx);
		ret = KNOT_EOK;
	}

	pthread_mutex_lock(&worker.call_lock);
	call->ret = ret;
	call->done = true;
	pthread_cond_broadcast(&worker.call_done);
	pthread_mutex_unlock(&worker.call_lock);
}

/*! Ends all work; the loop ends when its last handle is closed. */
static void stop(void)
{
	worker.stopping = true;
	agent_t *agent;
	while ((agent = LIST_FIRST(&worker.agents)) != NULL) {
		agent_close(agent);
	}
	uv_close((uv_handle_t *)&worker.wake, NULL);
	uv_close((uv_handle_t *)&worker.fail, NULL);
}

static void letter_read(letter_t *letter)
{
	switch (letter->kind) {
	case LETTER_ZONE:
		agent_read(caa_container_of(letter, agent_t, letter));
		break;
	case LETTER_CALL:
		call_answer(caa_container_of(letter, call_t, letter));
		break;
	case LETTER_STOP:
		stop();
		break;
	}
}

static void on_wake(uv_async_t *wake)
{
	letter_t *letter = NULL;
	for (unsigned i = 0; i < BATCH && (letter = mail_take()) != NULL; i++) {
		letter_read(letter);
	}
	dispatch();
	if (letter != NULL && !worker.stopping) {
		uv_async_send(wake); /* There may be more; timers and sockets come first. */
	}
}

/*! \name The thread */

static void *run(void *unused)
{
	(void)unused;
	rcu_register_thread();
	secondary_rcu_prime();
	uv_run(&worker.loop, UV_RUN_DEFAULT);
	rcu_unregister_thread();
	return NULL;
}

static void pools_init(const worker_options_t *options)
{
	worker.options = *options;
	worker.pool[PROBE].limit = WORKER_PROBES_MAX;
	worker.pool[TRANSFER].limit = options->transfer_limit;
	for (kind_t kind = 0; kind < KINDS; kind++) {
		worker.pool[kind].running = 0;
		TAILQ_INIT(&worker.pool[kind].ready[false]);
		TAILQ_INIT(&worker.pool[kind].ready[true]);
	}
	LIST_INIT(&worker.agents);
	TAILQ_INIT(&worker.paused);
	TAILQ_INIT(&worker.failing);
	worker.remotes = NULL;
	worker.stopping = false;
}

static int thread_create(void)
{
	/* The thread inherits the mask; knotd wants its signals in its main thread. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int ret = pthread_create(&worker.thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret == 0 ? KNOT_EOK : KNOT_ERROR;
}

/*! Ends the loop of a thread that is none (any more). */
static void loop_close(void)
{
	uv_run(&worker.loop, UV_RUN_DEFAULT);
	int ret = uv_loop_close(&worker.loop);
	assert(ret == 0);
	(void)ret;
}

static int loop_init(void)
{
	int ret = uv_loop_init(&worker.loop);
	if (ret != 0) {
		return ret == UV_ENOMEM ? KNOT_ENOMEM : KNOT_ERROR;
	}
	uv_idle_init(&worker.loop, &worker.fail);
	ret = uv_async_init(&worker.loop, &worker.wake, on_wake);
	if (ret != 0) {
		uv_close((uv_handle_t *)&worker.fail, NULL);
		loop_close();
		return KNOT_ERROR;
	}
	return KNOT_EOK;
}

static int worker_begin(const worker_options_t *options)
{
	mail_init();
	pools_init(options);
	int ret = loop_init();
	if (ret != KNOT_EOK) {
		return ret;
	}
	ret = thread_create();
	if (ret != KNOT_EOK) {
		stop();
		loop_close();
	}
	return ret;
}

static void worker_end(void)
{
	letter_t letter;
	mail_send(&letter, LETTER_STOP);
	pthread_join(worker.thread, NULL);

	/* What came too late. Nobody sends any more. */
	letter_t *late;
	while ((late = mail_take()) != NULL) {
		letter_read(late);
	}
	remotes_resume(UINT64_MAX);
	assert(worker.remotes == NULL);
	loop_close();
	rcu_barrier(); /* Retired versions and zones are gone when this returns, as whoever looks for leaks expects. */
}

int worker_start(const worker_options_t *options)
{
	assert(options->transfer_limit > 0 && options->transfer_limit_remote > 0);
	pthread_mutex_lock(&worker.lock);
	int ret = worker.users > 0 ? KNOT_EOK : worker_begin(options);
	if (ret == KNOT_EOK) {
		worker.users++;
	}
	pthread_mutex_unlock(&worker.lock);
	return ret;
}

void worker_stop(void)
{
	assert(!rcu_read_ongoing());
	pthread_mutex_lock(&worker.lock);
	assert(worker.users > 0);
	if (--worker.users == 0) {
		worker_end();
	}
	pthread_mutex_unlock(&worker.lock);
}

/*! The agent of \a zone, made when there is none; NULL: no memory. */
static agent_t *agent_get(zone_t *zone)
{
	agent_t *agent = __atomic_load_n(&zone->agent, __ATOMIC_ACQUIRE);
	if (agent != NULL) {
		return agent;
	}
	agent_t *made = calloc(1, sizeof(*made));
	if (made == NULL) {
		return NULL;
	}
	made->zone = zone;
	if (!__atomic_compare_exchange_n(&zone->agent, &agent, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		free(made);
		return agent;
	}
	return made;
}

int worker_zone_set(zone_t *zone, stanza_t *stanza)
{
	agent_t *agent = agent_get(zone);
	if (agent == NULL) {
		stanza_release(stanza);
		return KNOT_ENOMEM;
	}
	stanza_release(__atomic_exchange_n(&agent->stanza, stanza, __ATOMIC_ACQ_REL));
	agent_tell(agent, PENDING_SET);
	return KNOT_EOK;
}

void worker_zone_gone(zone_t *zone)
{
	agent_t *agent = __atomic_load_n(&zone->agent, __ATOMIC_ACQUIRE);
	if (agent != NULL) {
		agent_tell(agent, PENDING_GONE);
	}
}

void worker_notify(zone_t *zone, const struct sockaddr_storage *from, bool has_serial, uint32_t serial)
{
	agent_t *agent = __atomic_load_n(&zone->agent, __ATOMIC_ACQUIRE);
	if (agent == NULL || __atomic_fetch_add(&agent->notified, 1, __ATOMIC_ACQ_REL) > 0) {
		return;
	}
	agent->from = *from;
	agent->has_serial = has_serial;
	agent->serial = serial;
	agent_tell(agent, PENDING_NOTIFY);
}

int worker_call(zone_t *zone, void (*visit)(refresh_t *refresh, void *ctx), void *ctx)
{
	call_t call = { .zone = zone, .visit = visit, .ctx = ctx };
	mail_send(&call.letter, LETTER_CALL);

	pthread_mutex_lock(&worker.call_lock);
	while (!call.done) {
		pthread_cond_wait(&worker.call_done, &worker.call_lock);
	}
	pthread_mutex_unlock(&worker.call_lock);
	return call.ret;
}
