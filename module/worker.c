/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The one background thread: letters from other threads, and an agent for each zone.
 *
 *     other threads --letters--> agent (one a zone) --> refresh machine --> errand --> primary
 *                                      |                      |
 *                                      +-- alarm          published --> notices --> targets
 *                                                                  \--> compaction
 */
#include "secondary/worker.h"

#include <assert.h>
#include <errno.h>
#include <libknot/error.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "clock.h"
#include "mailbox.h"
#include "secondary/address.h"
#include "secondary/agenda.h"
#include "secondary/compaction.h"
#include "secondary/directory.h"
#include "secondary/errand.h"
#include "secondary/notify_out.h"
#include "secondary/report.h"
#include "secondary/saver.h"
#include "secondary/versions.h"
#include "signals.h"

/*! Probes of one primary at once: one that dies with so many under way takes half of WORKER_PROBES_MAX for one timeout. */
#define PROBES_REMOTE_MAX (WORKER_PROBES_MAX / 2)
/*! Letters per turn of the loop: so many zones wait for one turn (about a millisecond). */
#define LETTERS_A_TURN    256
/*! Descriptors that libuv opens for a loop, with the first one of the process, and one more to be sure of. */
#define LOOP_DESCRIPTORS  8

/*! Kinds of letters. */
enum {
	LETTER_ZONE,             /*!< In an agent: see what is pending there. */
	LETTER_CALL,
	LETTER_STOP,
};

typedef struct agent agent_t;

typedef struct {
	letter_t letter;
	zone_t *zone;
	void (*run)(agent_t *agent, void *ctx);
	void *ctx;
	int ret;
	bool done;               /*!< Under worker.call_lock. */
} call_t;

/*! \name One zone */

enum {
	PENDING_SET    = 1 << 0,
	PENDING_NOTIFY = 1 << 1,
	PENDING_GONE   = 1 << 2, /*!< With the sender's hold of the zone. */
};

LIST_HEAD(waits, worker_wait);

struct agent {
	letter_t letter;         /*!< Under way when \a pending is not 0; then it holds the zone. */
	unsigned pending;        /*!< Atomic. */
	stanza_t *stanza;        /*!< PENDING_SET, held. Atomic. */
	unsigned notified;       /*!< NOTIFY since the worker last looked; the first one filled the next three. Atomic. */
	address_t from;
	uint32_t serial;
	bool has_serial;

	bool open;               /*!< In the list. */
	zone_t *zone;            /*!< Held while \a open. */
	LIST_ENTRY(agent) entry;
	alarm_t alarm;           /*!< When the machine wants to be called. */
	refresh_t *refresh;
	errand_t errand;
	versions_t versions;
	saver_zone_t *saved;     /*!< NULL: it is not kept. */
	notify_zone_t notices;
	struct waits checks;     /*!< Who waits for the end of what is under way, */
	struct waits tellings;   /*!< and for that of notices. */
	compaction_t compaction;
};

static struct {
	pthread_mutex_t lock;    /*!< Starting and stopping. */
	unsigned users;
	pthread_t thread;

	pthread_mutex_t call_lock;
	pthread_cond_t call_done;

	mailbox_t mail;

	/* The rest is the thread's. */
	uv_loop_t loop;
	uv_async_t wake;
	uv_timer_t timer;        /*!< For the first of the agenda. */
	agenda_t agenda;
	LIST_HEAD(, agent) agents;
	errands_t errands;
	notify_out_t notify;
	compactor_t compactor;
	void (*checked)(zone_t *zone);
	saver_t saver;
	bool stopping;
} worker = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.call_lock = PTHREAD_MUTEX_INITIALIZER,
	.call_done = PTHREAD_COND_INITIALIZER,
};

static void mail_send(letter_t *letter, unsigned kind)
{
	letter->kind = kind;
	mailbox_put(&worker.mail, letter);
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

/*! \name Those who wait */

static void wait_done(worker_wait_t *wait, const char *failure)
{
	LIST_REMOVE(wait, entry);
	pthread_mutex_lock(&worker.call_lock);
	snprintf(wait->failure, sizeof(wait->failure), "%s", failure);
	wait->done = true;
	pthread_cond_broadcast(&worker.call_done);
	pthread_mutex_unlock(&worker.call_lock);
}

static void waits_done(struct waits *waits, const char *failure)
{
	while (!LIST_EMPTY(waits)) {
		wait_done(LIST_FIRST(waits), failure);
	}
}

/*! \name What machines ask for */

static uint64_t op_now(void *ctx)
{
	(void)ctx;
	return errands_now(&worker.errands);
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

static void on_timer(uv_timer_t *timer);

static void timer_renew(uint64_t now)
{
	const alarm_t *first = worker.agenda.first;
	if (first == NULL) {
		uv_timer_stop(&worker.timer);
	} else {
		uv_timer_start(&worker.timer, on_timer, first->due > now ? first->due - now : 0, 0);
	}
}

static void on_timer(uv_timer_t *timer)
{
	(void)timer;
	const uint64_t now = errands_now(&worker.errands);
	alarm_t *alarm;
	while ((alarm = worker.agenda.first) != NULL && alarm->due <= now) {
		agenda_clear(&worker.agenda, alarm);
		refresh_timer(caa_container_of(alarm, agent_t, alarm)->refresh);
	}
	timer_renew(now);
	errands_start(&worker.errands);
}

/*! The agenda changes, and with it perhaps when the timer is due. */
static void alarm_change(agent_t *agent, uint64_t at_ms)
{
	const alarm_t *first = worker.agenda.first;
	const uint64_t due = first != NULL ? first->due : REFRESH_NEVER;
	if (at_ms == REFRESH_NEVER) {
		agenda_clear(&worker.agenda, &agent->alarm);
	} else {
		agenda_set(&worker.agenda, &agent->alarm, at_ms);
	}
	first = worker.agenda.first;
	if (due != (first != NULL ? first->due : REFRESH_NEVER)) {
		timer_renew(errands_now(&worker.errands));
	}
}

static void op_arm(void *ctx, refresh_t *refresh, uint64_t at_ms)
{
	(void)refresh;
	alarm_change(ctx, at_ms);
}

static void op_probe(void *ctx, refresh_t *refresh, const primary_t *primary, bool urgent)
{
	agent_t *agent = ctx;
	errand_ask(&worker.errands, &agent->errand, refresh, ERRAND_PROBE, primary, urgent);
}

static void op_transfer(void *ctx, refresh_t *refresh, const primary_t *primary, bool urgent)
{
	agent_t *agent = ctx;
	errand_ask(&worker.errands, &agent->errand, refresh, ERRAND_TRANSFER, primary, urgent);
}

static bool op_waits(void *ctx, const refresh_t *refresh)
{
	(void)refresh;
	const agent_t *agent = ctx;
	return errand_waits(&agent->errand);
}

static void op_cancel(void *ctx, refresh_t *refresh)
{
	(void)refresh;
	agent_t *agent = ctx;
	errand_cancel(&agent->errand);
}

static void op_published(void *ctx, refresh_t *refresh, snapshot_t *before, history_run_t *run)
{
	agent_t *agent = ctx;
	saver_published(agent->saved, before, refresh_version(refresh));
	compaction_follow(&worker.compactor, &agent->compaction, before, refresh_version(refresh), run);
	versions_follow(&agent->versions, before, refresh_version(refresh), run);
	compaction_want(&worker.compactor, &agent->compaction, refresh);
}

/*! The version outlives the process: others may be told. */
static void on_kept(void *ctx)
{
	agent_t *agent = ctx;
	notify_out_send(&worker.notify, &agent->notices, agent->zone, refresh_stanza(agent->refresh), false);
}

/*! Who asks for an increment will find it. */
static void on_ready(versions_t *versions)
{
	agent_t *agent = caa_container_of(versions, agent_t, versions);
	if (!saver_want(agent->saved, refresh_version(agent->refresh))) {
		on_kept(agent);
	}
}

static void op_checked(void *ctx, refresh_t *refresh, int64_t at, int64_t expires_at)
{
	agent_t *agent = ctx;
	saver_checked(agent->saved, refresh_version(refresh)->soa.serial, &(store_times_t) { .checked_at = at, .expires_at = expires_at });
}

/*! For who looks at the zone from outside. */
static void state_changed(const agent_t *agent)
{
	if (worker.checked != NULL) {
		worker.checked(agent->zone);
	}
}

static void op_ended(void *ctx, refresh_t *refresh, const char *failure)
{
	(void)refresh;
	agent_t *agent = ctx;
	counters_event(&agent->zone->events, failure == NULL ? EVENT_CHECK : EVENT_CHECK_FAILED);
	waits_done(&agent->checks, failure != NULL ? failure : "");
	state_changed(agent);
}

/*! Targets have been told, or failed to answer: nobody is to wait for those that are told again much later. */
static void on_told(notify_zone_t *notices, const char *failure)
{
	agent_t *agent = caa_container_of(notices, agent_t, notices);
	waits_done(&agent->tellings, failure);
}

static const refresh_ops_t ops = {
	.now_ms = op_now, .wall = op_wall, .random = op_random, .arm = op_arm,
	.probe = op_probe, .transfer = op_transfer, .waits = op_waits, .cancel = op_cancel,
	.published = op_published, .checked = op_checked, .ended = op_ended,
};

/*! \name Agents */

static void agent_open(agent_t *agent)
{
	if (agent->open) {
		return;
	}
	agent->open = true;
	zone_hold(agent->zone);
	LIST_INSERT_HEAD(&worker.agents, agent, entry);
	if (directory_add(agent->zone) != KNOT_EOK) {
		report(agent->zone, LOG_WARNING, "aliases of other zones into this one are not followed (%s)",
		       knot_strerror(KNOT_ENOMEM));
	}
}

/*! The zone, and with it the agent, may be gone when this returns. */
static void agent_close(agent_t *agent)
{
	if (!agent->open) {
		return;
	}
	versions_close(&agent->versions);
	saver_close(agent->saved);
	agent->saved = NULL;
	notify_out_cancel(&agent->notices);
	compaction_cancel(&worker.compactor, &agent->compaction);
	refresh_free(agent->refresh);
	waits_done(&agent->checks, knot_strerror(KNOT_ENOZONE));
	waits_done(&agent->tellings, knot_strerror(KNOT_ENOZONE));
	agent->refresh = NULL;
	agent->open = false;
	directory_remove(agent->zone);
	LIST_REMOVE(agent, entry);
	alarm_change(agent, REFRESH_NEVER);
	zone_release(agent->zone);
}

/*! What was kept of a zone that has no version serves, before anybody is asked. */
static void agent_restore(agent_t *agent)
{
	store_times_t times;
	const int64_t now = time(NULL);
	if (refresh_version(agent->refresh) != NULL) {
		return;
	}
	history_run_t run = { 0 };
	snapshot_t *snapshot = saver_load(agent->saved, now, &times, &run);
	if (snapshot != NULL) {
		refresh_restore(agent->refresh, snapshot, &run, times.checked_at, store_times_left(&times, now));
		state_changed(agent);
	}
}

/*! Settings came (taken); with the first ones the machine begins. */
static void agent_set(agent_t *agent, stanza_t *stanza)
{
	agent_open(agent);
	if (agent->refresh != NULL) {
		versions_set_max(&agent->versions, stanza->difference_max_size);
		saver_set(&worker.saver, &agent->saved, agent->zone, stanza->store, on_kept, agent);
		notify_out_set_stanza(&agent->notices, stanza);
		refresh_set_stanza(agent->refresh, stanza);
		return;
	}
	versions_open(&agent->versions, &worker.loop, agent->zone, stanza->difference_max_size, on_ready);
	agent->refresh = refresh_new(zone_hold(agent->zone), stanza, &ops, agent);
	if (agent->refresh == NULL) {
		report(agent->zone, LOG_ERR, "refresh, not started (%s)", knot_strerror(KNOT_ENOMEM));
		zone_release(agent->zone);
		stanza_release(stanza);
		return;
	}
	saver_set(&worker.saver, &agent->saved, agent->zone, stanza->store, on_kept, agent);
	agent_restore(agent);
}

static void agent_notified(agent_t *agent)
{
	struct sockaddr_storage from = address_whole(&agent->from);
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
	if (pending & PENDING_GONE) {
		zone_release(zone);
	}
	zone_release(zone);
}

static void call_answer(call_t *call)
{
	agent_t *agent = __atomic_load_n(&call->zone->agent, __ATOMIC_ACQUIRE);
	int ret = KNOT_ENOENT;
	if (agent != NULL && agent->refresh != NULL) {
		call->run(agent, call->ctx);
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
	errands_stop(&worker.errands);
	notify_out_stop(&worker.notify);
	saver_stop(&worker.saver);
	uv_close((uv_handle_t *)&worker.timer, NULL);
	compactor_stop(&worker.compactor);
	uv_close((uv_handle_t *)&worker.wake, NULL);
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
	for (unsigned i = 0; i < LETTERS_A_TURN && (letter = mailbox_take(&worker.mail)) != NULL; i++) {
		letter_read(letter);
	}
	errands_start(&worker.errands);
	notify_out_start(&worker.notify);
	if (letter != NULL && !worker.stopping) {
		uv_async_send(wake); /* There may be more; timers and sockets come first. */
	}
}

/*! \name The thread */

/*!
 * How much less than knotd's threads it claims of a processor (Linux has this by thread, and those of the pool inherit it): threads that
 * answer take the processor from it when they wake, where they would wait for the end of its slice. Of knotd's p99 while a full transfer
 * replaces a zone of a million records, on two processors, that was 0.73 without and is 0.18 with it (`bench swap`). Where queries take all
 * processors, a tenth of one is left to transfers.
 */
#define WORKER_NICE 10

/*! Whatever comes of it: a thread as important as the others does its work too. */
static void give_way(void)
{
	errno = 0;
	if (nice(WORKER_NICE) == -1 && errno != 0) {
		report(NULL, LOG_WARNING, "background thread keeps its priority (%s)", strerror(errno));
	}
}

static void *run(void *unused)
{
	(void)unused;
	give_way();
	rcu_register_thread();
	secondary_rcu_prime();
	uv_run(&worker.loop, UV_RUN_DEFAULT);
	letter_t *late;
	while ((late = mailbox_take(&worker.mail)) != NULL) {
		letter_read(late);
	}
	rcu_unregister_thread();
	return NULL;
}

static int thread_create(void)
{
	return signals_create_thread(&worker.thread, run) == 0 ? KNOT_EOK : KNOT_ERROR;
}

/*! Ends the loop of a thread that is none (any more). */
static void loop_close(void)
{
	uv_run(&worker.loop, UV_RUN_DEFAULT);
	int ret = uv_loop_close(&worker.loop);
	assert(ret == 0);
	(void)ret;
}

/*!
 * Are there descriptors for a loop? With the first one of a process libuv opens a pipe for all, and aborts where it cannot. knotd must
 * not die of a module that has to do without its worker.
 */
static int descriptors_check(void)
{
	int fd[LOOP_DESCRIPTORS], ret = KNOT_EOK;
	unsigned count = 0;
	while (count < LOOP_DESCRIPTORS && ret == KNOT_EOK) {
		fd[count] = eventfd(0, EFD_CLOEXEC);
		ret = fd[count++] >= 0 ? KNOT_EOK : knot_map_errno();
	}
	while (count > 0) {
		if (fd[--count] >= 0) {
			close(fd[count]);
		}
	}
	return ret;
}

static int loop_init(void)
{
	int ret = descriptors_check();
	if (ret != KNOT_EOK) {
		return ret;
	}
	ret = uv_loop_init(&worker.loop);
	if (ret != 0) {
		return ret == UV_ENOMEM ? KNOT_ENOMEM : KNOT_ERROR;
	}
	ret = uv_async_init(&worker.loop, &worker.wake, on_wake);
	if (ret != 0) {
		loop_close();
		return KNOT_ERROR;
	}
	uv_timer_init(&worker.loop, &worker.timer);
	return KNOT_EOK;
}

static int worker_begin(const worker_options_t *options)
{
	static const uint32_t pauses_ms[] = NOTIFY_OUT_PAUSES_MS;
	static const uint64_t left_alone_ms[TURNS_PAUSES] = {
		[TURNS_SILENT] = WORKER_SILENT_PAUSE_MS,
		[TURNS_REFUSED] = WORKER_REFUSED_PAUSE_MS,
	};
	const turns_limit_t limits[TURNS_KINDS] = {
		[ERRAND_PROBE] = { WORKER_PROBES_MAX, PROBES_REMOTE_MAX },
		[ERRAND_TRANSFER] = { options->transfer_limit, options->transfer_limit_remote },
	};
	mailbox_init(&worker.mail);
	LIST_INIT(&worker.agents);
	worker.agenda = (agenda_t){ 0 };
	worker.stopping = false;
	worker.checked = options->checked;
	int ret = loop_init();
	if (ret != KNOT_EOK) {
		return ret;
	}
	errands_init(&worker.errands, &worker.loop, left_alone_ms, limits);
	notify_out_init(&worker.notify, &worker.loop, pauses_ms);
	worker.notify.told = on_told;
	saver_init(&worker.saver, &worker.loop);
	compactor_init(&worker.compactor, &worker.loop);
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
	errands_clear(&worker.errands);
	notify_out_clear(&worker.notify);
	saver_clear(&worker.saver);
	loop_close();
	/*
	 * Retired versions and zones are gone when this returns, as whoever looks for leaks expects. A barrier waits for what was
	 * queued before it: the first for zones and retired versions, the second for the versions that those zones still served,
	 * which were queued in turn (zone_free()). Those queue nothing.
	 */
	rcu_barrier();
	rcu_barrier();
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
	} else {
		zone_release(zone);
	}
}

void worker_notify(zone_t *zone, const struct sockaddr_storage *from, bool has_serial, uint32_t serial)
{
	agent_t *agent = __atomic_load_n(&zone->agent, __ATOMIC_ACQUIRE);
	if (agent == NULL || __atomic_fetch_add(&agent->notified, 1, __ATOMIC_ACQ_REL) > 0) {
		return;
	}
	agent->from = address_short(from);
	agent->has_serial = has_serial;
	agent->serial = serial;
	agent_tell(agent, PENDING_NOTIFY);
}

/*! \name Calls: what another thread has the worker do, and waits for */

static int call(zone_t *zone, void (*todo)(agent_t *agent, void *ctx), void *ctx)
{
	call_t call = { .zone = zone, .run = todo, .ctx = ctx };
	mail_send(&call.letter, LETTER_CALL);

	pthread_mutex_lock(&worker.call_lock);
	while (!call.done) {
		pthread_cond_wait(&worker.call_done, &worker.call_lock);
	}
	pthread_mutex_unlock(&worker.call_lock);
	return call.ret;
}

typedef struct {
	void (*visit)(refresh_t *refresh, void *ctx);
	void *ctx;
	errand_progress_t progress;
} look_t;

static void run_look(agent_t *agent, void *ctx)
{
	look_t *look = ctx;
	look->visit(agent->refresh, look->ctx);
	look->progress = errand_progress(&agent->errand);
}

int worker_look(zone_t *zone, void (*visit)(refresh_t *refresh, void *ctx), void *ctx, errand_progress_t *ret_progress)
{
	look_t look = { .visit = visit, .ctx = ctx };
	int ret = call(zone, run_look, &look);
	if (ret == KNOT_EOK) {
		*ret_progress = look.progress;
	}
	return ret;
}

int worker_call(zone_t *zone, void (*visit)(refresh_t *refresh, void *ctx), void *ctx)
{
	errand_progress_t unused;
	return worker_look(zone, visit, ctx, &unused);
}

typedef struct {
	refresh_command_t command;
	worker_wait_t *wait;
} order_t;

static void run_command(agent_t *agent, void *ctx)
{
	const order_t *order = ctx;
	if (order->command == REFRESH_PURGE) {
		versions_forget(&agent->versions);
		saver_forget(agent->saved);
	}
	refresh_command(agent->refresh, order->command);
	if (order->wait != NULL) {
		LIST_INSERT_HEAD(&agent->checks, order->wait, entry); /* A check is under way now: its end comes later. */
	}
}

int worker_command(zone_t *zone, refresh_command_t command, worker_wait_t *wait)
{
	order_t order = { .command = command, .wait = wait };
	return call(zone, run_command, &order);
}

typedef struct {
	unsigned what;
	worker_wait_t *wait;
} purge_t;

static void run_purge(agent_t *agent, void *ctx)
{
	const purge_t *purge = ctx;
	if (purge->what & WORKER_PURGE_FILE) {
		saver_purge(agent->saved);
	}
	if (purge->what & WORKER_PURGE_DIFFERENCES) {
		history_trim(&agent->zone->history, 0);
	}
	if (purge->what & WORKER_PURGE_VERSION) {
		run_command(agent, &(order_t) { .command = REFRESH_PURGE, .wait = purge->wait });
	} else if (purge->wait != NULL) {
		LIST_INSERT_HEAD(&agent->checks, purge->wait, entry);
		wait_done(purge->wait, ""); /* Nothing is under way for it. */
	}
}

int worker_purge(zone_t *zone, unsigned what, worker_wait_t *wait)
{
	purge_t purge = { .what = what, .wait = wait };
	return call(zone, run_purge, &purge);
}

static void run_notify(agent_t *agent, void *ctx)
{
	worker_wait_t *wait = ctx;
	if (wait != NULL) {
		LIST_INSERT_HEAD(&agent->tellings, wait, entry);
	}
	notify_out_send(&worker.notify, &agent->notices, agent->zone, refresh_stanza(agent->refresh), true);
}

int worker_notify_out(zone_t *zone, worker_wait_t *wait)
{
	return call(zone, run_notify, wait);
}

bool worker_await(worker_wait_t *wait, uint32_t ms)
{
	const struct timespec until = clock_in(ms);
	pthread_mutex_lock(&worker.call_lock);
	int ret = 0;
	while (!wait->done && ret == 0) {
		ret = pthread_cond_clockwait(&worker.call_done, &worker.call_lock, CLOCK_MONOTONIC, &until);
	}
	const bool done = wait->done;
	pthread_mutex_unlock(&worker.call_lock);
	return done;
}

static void run_forget(agent_t *agent, void *ctx)
{
	(void)agent;
	worker_wait_t *wait = ctx;
	if (!wait->done) {
		LIST_REMOVE(wait, entry);
	}
}

void worker_forget(zone_t *zone, worker_wait_t *wait)
{
	/* A zone that the worker does not know any more has let go of all who waited. */
	(void)call(zone, run_forget, wait);
}
