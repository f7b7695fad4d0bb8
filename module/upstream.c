/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Names outside our zones: who holds which upstream, the thread, and what hooks see (upstream.h).
 */
#include "secondary/upstream.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <libknot/errcode.h>
#include <libknot/error.h>

#include "ask_queue.h"
#include "secondary/address.h"
#include "secondary/reach.h"
#include "secondary/report.h"
#include "signals.h"

/*! Between two looks at time limits. */
#define TICK_MS           250
/*! While a look-up is under way, what was known is given for so long after its TTL: as long as a look-up can take, so that a
    name in use has no gap when it is refreshed. */
#define GRACE_S           (LOOKUP_TIMEOUT_MS / 1000)
/*! EDE code (RFC 8914). */
#define EDE_NOT_READY     14
/*! A question that was queued is not queued again for so long, so that one does not fill the queue. */
#define ASKED_SLOTS       1024

struct upstream {
	upstream_t *next;
	unsigned refs;            /*!< Lock. 0: the thread shall free it. */
	upstream_options_t options;
	hold_latency_t latency;   /*!< Atomic. */
	bool renew;               /*!< The servers are to be read again. Atomic. */

	/* The thread's, but for via.id and via.lost. */
	lookup_via_t via;
	bool ready;
	bool was_read;            /*!< The list of servers, once. */
	upstream_file_t *files;   /*!< Per source. */
	upstream_servers_t servers;
	bool renew_failed;        /*!< The servers were not to be had last time, which is in the log. */
	reach_t reach;
};

static struct {
	pthread_mutex_t life;     /*!< Held while the thread starts and stops. */
	pthread_mutex_t lock;     /*!< Of what says so; never held while waiting. */
	unsigned users;           /*!< Life. Upstreams with holders. */
	pthread_t thread;
	uv_loop_t loop;
	uv_async_t wake;
	uv_timer_t tick;
	cache_t *cache;           /*!< From the first upstream to the last. */
	uint32_t last_id;         /*!< Lock. */
	upstream_t *first;        /*!< Lock. Changed by others at the head only; the thread takes out. */
	bool stop;                /*!< Lock. There is no thread (any more) that could be woken. */
	ask_queue_t queue;
	uint32_t asked[ASKED_SLOTS]; /*!< Atomic. */
	uint32_t looked;          /*!< The thread's. Second of the last look at what is due. */
	uint64_t hits, misses, stale, holds; /*!< Atomic. */
} state = {
	.stop = true,
	.life = PTHREAD_MUTEX_INITIALIZER,
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

static void count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

/*! The upstream whose look-ups go through \a via. */
static upstream_t *upstream_of(lookup_via_t *via)
{
	return caa_container_of(via, upstream_t, via);
}

/* -- whom to ask ------------------------------------------------------------------------------------------------------ */

static void report_file(const zone_t *zone, const char *path, int reason)
{
	report(zone, LOG_WARNING, "upstream, file '%s', no servers (%s)", path, knot_strerror(reason));
}

static void complain_early(void *ctx, const char *path, int reason)
{
	(void)ctx;
	report_file(NULL, path, reason);
}

/*!
 * Complains of files before the thread reads them for the first time: it may be faster than load(), and then no zone could
 * carry its line yet.
 */
static void files_check(const upstream_t *upstream)
{
	upstream_servers_t servers;
	upstream_servers_read(&upstream->options, NULL, complain_early, NULL, &servers);
}

static void complain(void *ctx, const char *path, int reason)
{
	const upstream_t *upstream = ctx;
	if (upstream->was_read) {
		zone_t *zone = ahead_zone_of(upstream->via.id);
		report_file(zone, path, reason);
		zone_release(zone);
	}
}

/*!
 * Where this server listens is not asked. A reload may tell of another address, when an interface has got one. Returns whether
 * anybody was listed.
 */
static bool servers_read(upstream_t *upstream, upstream_servers_t *servers)
{
	upstream_servers_read(&upstream->options, upstream->files, complain, upstream, servers);
	const bool any = servers->count > 0;
	upstream->was_read = true;
	pthread_mutex_lock(&state.lock);
	upstream_servers_remove_own(&upstream->options, servers);
	pthread_mutex_unlock(&state.lock);
	return any;
}

/*! Means that were short, as open files, may come back: tried again each second, said once. */
static void renew_later(upstream_t *upstream, int ret)
{
	__atomic_store_n(&upstream->renew, true, __ATOMIC_RELAXED);
	if (!upstream->renew_failed) {
		upstream->renew_failed = true;
		zone_t *zone = ahead_zone_of(upstream->via.id);
		report(zone, LOG_ERR, "upstream, failed to start the resolver (%s)", knot_strerror(ret));
		zone_release(zone);
	}
}

/*! A server is not who it should be, or does not speak TLS as it should. */
static void report_trouble(void *ctx, const struct sockaddr_storage *remote, const char *why)
{
	const upstream_t *upstream = ctx;
	char text[ADDRESS_TEXT_MAX];
	zone_t *zone = ahead_zone_of(upstream->via.id);
	report(zone, LOG_WARNING, "upstream, remote %s, not asked, TLS failed (%s)", address_text(remote, text), why);
	zone_release(zone);
}

/*! What was not answered since that second is asked for anew: what is in use or wanted now, the rest when a query comes. */
static void forget_failures(upstream_t *upstream, uint32_t since)
{
	lookups_forgive(&upstream->via, since);
	ahead_restart(upstream->via.id);
}

/*! This server alone is listed: what was asked of others before is not asked of it. */
static void servers_drop(upstream_t *upstream)
{
	if (upstream->via.forwarder == NULL) {
		return;
	}
	lookups_drop(&upstream->via);
	resolver_free(upstream->via.forwarder);
	upstream->via.forwarder = NULL;
	upstream->servers.count = 0;
	upstream->renew_failed = false;
	zone_t *zone = ahead_zone_of(upstream->via.id);
	report(zone, LOG_ERR, "upstream, no servers (this one alone is listed)");
	zone_release(zone);
}

/*!
 * Reads the list anew. One that is empty now, while there was one before, is taken for a file that is being written.
 *
 * \param forced  The same servers are asked in another way.
 */
static void servers_update(upstream_t *upstream, bool forced)
{
	upstream_servers_t servers;
	__atomic_store_n(&upstream->renew, false, __ATOMIC_RELAXED);
	const bool any = servers_read(upstream, &servers);
	if (any && servers.count == 0) {
		servers_drop(upstream);
	}
	if (servers.count == 0 || (!forced && upstream_servers_equal(&servers, &upstream->servers))) {
		return;
	}
	const resolver_params_t params = {
		.servers = servers.addr,
		.count = servers.count,
		.trust_anchor = upstream->options.trust_anchor,
		.tls_name = upstream->options.tls_name,
		.tls_ca_file = upstream->options.tls_ca_file,
		.trouble = report_trouble,
		.trouble_ctx = upstream,
	};
	resolver_t *forwarder;
	int ret = resolver_new_forwarder(&state.loop, &params, &forwarder);
	if (ret != KNOT_EOK) {
		renew_later(upstream, ret);
		return;
	}
	upstream->renew_failed = false;
	resolver_t *old = upstream->via.forwarder;
	upstream->via.forwarder = forwarder;
	upstream->servers = servers;
	if (old != NULL) {
		lookups_restart(&upstream->via);
		resolver_free(old);
	}
	forget_failures(upstream, 0);
}

/*! Where `self` is asked; false: nowhere, or it is none of the sources. */
static bool find_self(const upstream_t *upstream, struct sockaddr_storage *ret_addr)
{
	pthread_mutex_lock(&state.lock);
	const bool found = upstream_options_has(&upstream->options, UPSTREAM_SELF) &&
	                   upstream_options_self(&upstream->options, ret_addr);
	pthread_mutex_unlock(&state.lock);
	return found;
}

/*! First work of the thread for an upstream. */
static void upstream_begin(upstream_t *upstream)
{
	struct sockaddr_storage addr;
	upstream->ready = true;
	if (find_self(upstream, &addr)) {
		(void)resolver_new_self(&state.loop, &addr, &upstream->via.self);
	}
	servers_update(upstream, false);
}

/* -- reachable or not ------------------------------------------------------------------------------------------------- */

/*! The servers for a line of log. */
static const char *servers_text(const upstream_servers_t *servers, char *dst, size_t size)
{
	char text[ADDRESS_TEXT_MAX];
	if (servers->count == 0) {
		(void)snprintf(dst, size, "self");
	} else if (servers->count == 1) {
		(void)snprintf(dst, size, "remote %s", address_text(&servers->addr[0], text));
	} else {
		(void)snprintf(dst, size, "remote %s and %u more", address_text(&servers->addr[0], text), servers->count - 1);
	}
	return dst;
}

static void report_reach(const upstream_t *upstream, int priority, const char *what)
{
	char servers[ADDRESS_TEXT_MAX + 32];
	zone_t *zone = ahead_zone_of(upstream->via.id);
	report(zone, priority, "upstream, %s, %s", servers_text(&upstream->servers, servers, sizeof(servers)), what);
	zone_release(zone);
}

static void set_lost(upstream_t *upstream, bool lost)
{
	__atomic_store_n(&upstream->via.lost, lost, __ATOMIC_RELAXED);
}

static cache_entry_t *entry_of(const upstream_t *upstream, const reach_name_t *name)
{
	return cache_get(state.cache, upstream->via.id, name->name, name->len, name->type);
}

static void reach_apply(upstream_t *upstream, reach_change_t change)
{
	cache_entry_t *entry;
	switch (change) {
	case REACH_SAME:
		break;
	case REACH_VERIFY:
		entry = entry_of(upstream, &upstream->reach.answered);
		if (entry != NULL) {
			lookup_verify(&upstream->via, entry);
		}
		break;
	case REACH_LOST:
		set_lost(upstream, true);
		report_reach(upstream, LOG_WARNING, "does not answer");
		break;
	case REACH_BACK:
		set_lost(upstream, false);
		report_reach(upstream, LOG_NOTICE, "answers again");
		forget_failures(upstream, upstream->reach.silent_since);
		break;
	}
}

/*! A look-up has ended. */
static void on_ended(lookup_via_t *via, const lookup_end_t *end)
{
	upstream_t *upstream = upstream_of(via);
	if (end->answered) {
		hold_note_latency(&upstream->latency, end->took_ms);
		reach_apply(upstream, reach_answered(&upstream->reach, end->entry));
	} else {
		if (end->silent) {
			hold_note_latency(&upstream->latency, HOLD_LATENCY_UNKNOWN);
		}
		reach_apply(upstream, reach_failed(&upstream->reach, end->entry, end->silent, end->verifies, cache_now()));
	}
	hold_wake();
	ahead_ask();
}

/* -- the thread ------------------------------------------------------------------------------------------------------- */

/*! The first of the list, which is walked without the lock: only the thread takes out, others put new ones before the first. */
static upstream_t *first_upstream(void)
{
	pthread_mutex_lock(&state.lock);
	upstream_t *upstream = state.first;
	pthread_mutex_unlock(&state.lock);
	return upstream;
}

static lookup_via_t *find_via(uint32_t id)
{
	upstream_t *upstream = first_upstream();
	while (upstream != NULL && upstream->via.id != id) {
		upstream = upstream->next;
	}
	return upstream != NULL && upstream->ready ? &upstream->via : NULL;
}

static void take_question(const ask_t *ask)
{
	lookup_via_t *via = find_via(ask->upstream);
	cache_entry_t *entry = via != NULL ? cache_get(state.cache, via->id, ask->name, ask->len, ask->type) : NULL;
	if (entry == NULL) {
		return;
	}
	const reply_t *reply = cache_reply(entry);
	const uint32_t now = cache_now();
	const bool pausing = (int32_t)(now - entry->ask_at) < 0;
	if (pausing || (reply != NULL && cache_is_fresh(reply, now))) {
		__atomic_store_n(&entry->asked, entry->lookup != NULL, __ATOMIC_RELEASE);
	} else {
		lookup_start(via, entry, false);
	}
}

static void take_questions(void)
{
	ask_t ask;
	while (ask_queue_take(&state.queue, &ask)) {
		take_question(&ask);
	}
}

static void upstream_free(upstream_t *upstream)
{
	upstream_options_clear(&upstream->options);
	free(upstream->files);
	free(upstream);
}

static void upstream_end(upstream_t *upstream)
{
	lookups_drop(&upstream->via);
	resolver_free(upstream->via.forwarder);
	resolver_free(upstream->via.self);
	upstream_free(upstream);
}

/*! Takes out one that nobody holds any more; NULL: there is none. */
static upstream_t *take_gone(void)
{
	pthread_mutex_lock(&state.lock);
	upstream_t **link = &state.first;
	while (*link != NULL && (*link)->refs > 0) {
		link = &(*link)->next;
	}
	upstream_t *gone = *link;
	if (gone != NULL) {
		*link = gone->next;
	}
	pthread_mutex_unlock(&state.lock);
	return gone;
}

static void take_upstreams(void)
{
	for (upstream_t *upstream = first_upstream(); upstream != NULL; upstream = upstream->next) {
		if (!upstream->ready) {
			upstream_begin(upstream);
		}
	}
	for (upstream_t *gone = take_gone(); gone != NULL; gone = take_gone()) {
		upstream_end(gone);
	}
}

/*! What is to be seen to each second. */
static void look_after(upstream_t *upstream)
{
	const bool changed = upstream_way_changed(&upstream->options, upstream->files);
	if (changed || __atomic_load_n(&upstream->renew, __ATOMIC_RELAXED) ||
	    upstream_files_changed(&upstream->options, upstream->files)) {
		servers_update(upstream, changed || upstream->renew_failed);
	}
	if (upstream->reach.lost && upstream->via.under_way == 0) {
		cache_entry_t *entry = entry_of(upstream, reach_probe(&upstream->reach));
		if (entry != NULL) {
			lookup_start(&upstream->via, entry, false);
		}
	}
}

static void on_tick(uv_timer_t *timer)
{
	lookups_expire();
	const uint32_t now = cache_now();
	if (now != state.looked) {
		state.looked = now;
		for (upstream_t *upstream = first_upstream(); upstream != NULL; upstream = upstream->next) {
			if (upstream->ready) {
				look_after(upstream);
			}
		}
		ahead_due(now);
	}
	ahead_ask();
	/* From the end of this: it is not to come again before the loop has looked at its sockets. */
	uv_update_time(timer->loop);
	uv_timer_again(timer);
}

static void on_wake(uv_async_t *wake)
{
	pthread_mutex_lock(&state.lock);
	const bool stop = state.stop;
	pthread_mutex_unlock(&state.lock);
	if (stop) {
		uv_stop(wake->loop);
		return;
	}
	take_upstreams();
	take_questions();
	ahead_take();
	ahead_ask();
}

static void on_walk(uv_handle_t *handle, void *ctx)
{
	(void)ctx;
	if (!uv_is_closing(handle)) {
		uv_close(handle, NULL);
	}
}

static void *run(void *ctx)
{
	(void)ctx;
	rcu_register_thread();
	uv_run(&state.loop, UV_RUN_DEFAULT);

	ahead_take();
	take_upstreams();
	uv_close((uv_handle_t *)&state.wake, NULL);
	uv_close((uv_handle_t *)&state.tick, NULL);
	uv_run(&state.loop, UV_RUN_DEFAULT);
	uv_walk(&state.loop, on_walk, NULL);
	uv_run(&state.loop, UV_RUN_DEFAULT);
	rcu_unregister_thread();
	return NULL;
}

static int thread_create(void)
{
	return signals_create_thread(&state.thread, run) == 0 ? KNOT_EOK : KNOT_ERROR;
}

static int loop_begin(void)
{
	if (uv_loop_init(&state.loop) != 0) {
		return KNOT_ERROR;
	}
	if (uv_async_init(&state.loop, &state.wake, on_wake) != 0) {
		uv_loop_close(&state.loop);
		return KNOT_ERROR;
	}
	uv_timer_init(&state.loop, &state.tick);
	uv_timer_start(&state.tick, on_tick, TICK_MS, TICK_MS);
	return KNOT_EOK;
}

static void loop_end(void)
{
	uv_walk(&state.loop, on_walk, NULL);
	uv_run(&state.loop, UV_RUN_DEFAULT);
	uv_loop_close(&state.loop);
}

static int thread_start(size_t cache_size)
{
	state.cache = cache_new(cache_size);
	if (state.cache == NULL) {
		return KNOT_ENOMEM;
	}
	zone_set_observer(upstream_published);
	ask_queue_init(&state.queue);
	memset(state.asked, 0, sizeof(state.asked));
	lookups_begin(&state.loop, state.cache, on_ended);
	ahead_begin(state.cache, find_via);
	int ret = loop_begin();
	if (ret == KNOT_EOK) {
		ret = thread_create();
		if (ret != KNOT_EOK) {
			loop_end();
		}
	}
	if (ret != KNOT_EOK) {
		cache_free(state.cache);
		state.cache = NULL;
		return ret;
	}
	pthread_mutex_lock(&state.lock);
	state.stop = false;
	pthread_mutex_unlock(&state.lock);
	return KNOT_EOK;
}

static void thread_wake(void)
{
	uv_async_send(&state.wake);
}

static void thread_stop(void)
{
	pthread_mutex_lock(&state.lock);
	state.stop = true;
	pthread_mutex_unlock(&state.lock);
	thread_wake();
	pthread_join(state.thread, NULL);
	uv_loop_close(&state.loop);
	assert(state.first == NULL);
	ahead_end();
	lookups_end();
	cache_free(state.cache);
	state.cache = NULL;
}

/* -- holders ---------------------------------------------------------------------------------------------------------- */

static upstream_t *upstream_new(upstream_options_t *options)
{
	upstream_t *upstream = calloc(1, sizeof(*upstream));
	upstream_file_t *files = calloc(options->source_count + UPSTREAM_FILES_MORE, sizeof(*files));
	if (upstream == NULL || files == NULL) {
		free(upstream);
		free(files);
		return NULL;
	}
	upstream->files = files;
	upstream->options = *options;
	upstream->latency = HOLD_LATENCY_UNKNOWN;
	upstream->via.ttl_min = options->ttl_min;
	upstream->via.ttl_max = options->ttl_max;
	upstream->via.stale = options->stale;
	reach_init(&upstream->reach);
	upstream->refs = 1;
	memset(options, 0, sizeof(*options));
	return upstream;
}

/*! Lock. The server's addresses are no part of what makes an upstream, or what is known would be lost with each change. */
static void take_own(upstream_t *upstream, upstream_options_t *options)
{
	if (upstream_options_own_equal(&upstream->options, options)) {
		return;
	}
	struct sockaddr_storage *own = upstream->options.own;
	const unsigned own_count = upstream->options.own_count;
	upstream->options.own = options->own;
	upstream->options.own_count = options->own_count;
	options->own = own;
	options->own_count = own_count;
	__atomic_store_n(&upstream->renew, true, __ATOMIC_RELAXED);
}

/*! Lock. One that is equal and has holders, counted; or NULL. */
static upstream_t *hold_equal(upstream_options_t *options)
{
	upstream_t *upstream = state.first;
	while (upstream != NULL && (upstream->refs == 0 || !upstream_options_equal(&upstream->options, options))) {
		upstream = upstream->next;
	}
	if (upstream != NULL) {
		upstream->refs++;
		take_own(upstream, options);
	}
	return upstream;
}

/*! Life. */
static int attach_new(upstream_options_t *options, upstream_t **ret_upstream)
{
	const size_t cache_size = options->cache_size;
	upstream_t *upstream = upstream_new(options);
	if (upstream == NULL) {
		return KNOT_ENOMEM;
	}
	int ret = state.users == 0 ? thread_start(cache_size) : KNOT_EOK;
	if (ret != KNOT_EOK) {
		upstream_free(upstream);
		return ret;
	}
	state.users++;
	files_check(upstream);
	pthread_mutex_lock(&state.lock);
	upstream->via.id = ++state.last_id;
	upstream->next = state.first;
	state.first = upstream;
	pthread_mutex_unlock(&state.lock);
	thread_wake();
	*ret_upstream = upstream;
	return KNOT_EOK;
}

int upstream_attach(upstream_options_t *options, upstream_t **ret_upstream)
{
	int ret = KNOT_EOK;
	pthread_mutex_lock(&state.life);
	pthread_mutex_lock(&state.lock);
	upstream_t *known = hold_equal(options);
	pthread_mutex_unlock(&state.lock);
	if (known != NULL) {
		*ret_upstream = known;
	} else {
		ret = attach_new(options, ret_upstream);
	}
	pthread_mutex_unlock(&state.life);
	upstream_options_clear(options);
	return ret;
}

void upstream_release(upstream_t *upstream)
{
	if (upstream == NULL) {
		return;
	}
	assert(!rcu_read_ongoing());
	pthread_mutex_lock(&state.life);
	pthread_mutex_lock(&state.lock);
	const bool last = --upstream->refs == 0;
	pthread_mutex_unlock(&state.lock);
	if (last && --state.users == 0) {
		thread_stop();
	} else if (last) {
		thread_wake();
	}
	pthread_mutex_unlock(&state.life);
}

/* -- zones ------------------------------------------------------------------------------------------------------------ */

int upstream_zone_set(zone_t *zone, upstream_t *upstream, unsigned ahead)
{
	if (upstream == NULL) {
		upstream_zone_gone(zone);
		return KNOT_EOK;
	}
	void *before = NULL;
	bool changed = false;
	pthread_mutex_lock(&state.lock);
	upstream->refs++;
	pthread_mutex_unlock(&state.lock);
	int ret = ahead_follow(zone, upstream->via.id, ahead, upstream, &before, &changed);
	if (changed) {
		thread_wake();
	}
	upstream_release(ret == KNOT_EOK ? before : upstream);
	return ret;
}

void upstream_zone_gone(zone_t *zone)
{
	void *before = NULL;
	if (ahead_unfollow(zone, &before)) {
		thread_wake();
	}
	upstream_release(before);
}

void upstream_published(zone_t *zone)
{
	if (!ahead_published(zone)) {
		return;
	}
	/* Who publishes is no holder: the last one may have gone meanwhile, and the thread with it. */
	pthread_mutex_lock(&state.lock);
	if (!state.stop) {
		thread_wake();
	}
	pthread_mutex_unlock(&state.lock);
}

/* -- hooks ------------------------------------------------------------------------------------------------------------ */

/*! Was this asked for by a query before, this second? Two names in one slot ask more often, which does no harm. */
static bool is_asked(uint32_t id, const uint8_t *name, uint8_t len, uint16_t type, uint32_t now)
{
	uint32_t hash = id * 0x9E3779B1u ^ type;
	for (unsigned i = 0; i < len; i++) {
		hash = (hash ^ name[i]) * 16777619u;
	}
	uint32_t *slot = &state.asked[(hash >> 8) % ASKED_SLOTS];
	const uint32_t word = (hash & ~0xFFu) | (now & 0xFF);
	return __atomic_load_n(slot, __ATOMIC_RELAXED) == word || __atomic_exchange_n(slot, word, __ATOMIC_RELAXED) == word;
}

/*! Has the thread ask, if nobody did before. */
static void ask(const upstream_t *upstream, cache_entry_t *entry, const uint8_t *name, uint8_t len, uint16_t type,
                uint32_t now)
{
	const bool due = entry != NULL ? cache_take_question(entry, now) : !is_asked(upstream->via.id, name, len, type, now);
	if (!due) {
		return;
	}
	if (ask_queue_put(&state.queue, upstream->via.id, name, len, type)) {
		thread_wake();
	} else if (entry != NULL) {
		__atomic_store_n(&entry->asked, false, __ATOMIC_RELEASE);
	}
}

/*! May \a reply, whose TTL is over, stand in? While the upstream is well, it is asked; what is old is for when it fails. */
static bool stands_in(const upstream_t *upstream, const cache_entry_t *entry, const reply_t *reply, uint32_t now)
{
	if ((int32_t)(reply->stale_until - now) <= 0) {
		return false;
	}
	return __atomic_load_n(&entry->failure, __ATOMIC_RELAXED) != CACHE_NO_FAILURE ||
	       __atomic_load_n(&upstream->via.lost, __ATOMIC_RELAXED) ||
	       (__atomic_load_n(&entry->asked, __ATOMIC_RELAXED) && cache_age(reply, now) - reply->ttl < GRACE_S);
}

/*! What \a entry (NULL: none) says now. */
static void view(const upstream_t *upstream, cache_entry_t *entry, uint32_t now, upstream_view_t *ret)
{
	*ret = (upstream_view_t) { .ede = EDE_NOT_READY };
	if (entry == NULL) {
		return;
	}
	const int failure = __atomic_load_n(&entry->failure, __ATOMIC_RELAXED);
	const reply_t *reply = cache_reply(entry);
	cache_touch(entry);
	if (failure != CACHE_NO_FAILURE) {
		ret->ede = failure;
	}
	if (reply == NULL) {
		return;
	}
	const bool is_fresh = cache_is_fresh(reply, now);
	if (is_fresh || stands_in(upstream, entry, reply, now)) {
		ret->reply = reply;
		ret->age = cache_age(reply, now);
		ret->is_stale = !is_fresh;
	}
}

/*! What a hook waits for. */
typedef struct {
	const upstream_t *upstream;
	const uint8_t *name;
	uint8_t len;
	uint16_t type;
	upstream_view_t *view;
} awaited_t;

/*! Has the look-up ended? */
static bool is_there(void *ctx)
{
	const awaited_t *awaited = ctx;
	cache_entry_t *entry = cache_find(state.cache, awaited->upstream->via.id, awaited->name, awaited->len, awaited->type);
	view(awaited->upstream, entry, cache_now(), awaited->view);
	return awaited->view->reply != NULL ||
	       (entry != NULL && __atomic_load_n(&entry->failure, __ATOMIC_RELAXED) != CACHE_NO_FAILURE);
}

void upstream_look_up(upstream_t *upstream, const uint8_t *name, uint8_t len, uint16_t type, hold_t *hold,
                      upstream_view_t *ret_view)
{
	assert(rcu_read_ongoing());
	const uint32_t now = cache_now();
	cache_entry_t *entry = cache_find(state.cache, upstream->via.id, name, len, type);
	view(upstream, entry, now, ret_view);
	if (ret_view->reply != NULL && !ret_view->is_stale) {
		count(&state.hits);
		return;
	}

	ask(upstream, entry, name, len, type, now);
	view(upstream, entry, now, ret_view); /* what has been asked for may stand in */
	if (ret_view->reply == NULL && ret_view->ede == EDE_NOT_READY) {
		awaited_t awaited = { upstream, name, len, type, ret_view };
		if (hold_wait(hold, &upstream->latency, is_there, &awaited)) {
			count(&state.holds);
		}
	}
	count(ret_view->reply == NULL ? &state.misses : ret_view->is_stale ? &state.stale : &state.hits);
}

void upstream_counters(upstream_counters_t *ret_counters)
{
	*ret_counters = (upstream_counters_t) {
		.hits = __atomic_load_n(&state.hits, __ATOMIC_RELAXED),
		.misses = __atomic_load_n(&state.misses, __ATOMIC_RELAXED),
		.stale = __atomic_load_n(&state.stale, __ATOMIC_RELAXED),
		.holds = __atomic_load_n(&state.holds, __ATOMIC_RELAXED),
	};
	lookup_counters(&ret_counters->lookups, &ret_counters->failures);
}
