/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Names outside our zones: who is asked for them, and when (upstream.h).
 */
#include "secondary/upstream.h"

#include <assert.h>
#include <pthread.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <uv.h>

#include <libknot/descriptor.h>
#include <libknot/errcode.h>
#include <libknot/error.h>
#include <libknot/packet/wire.h>

#include "ask_queue.h"
#include "secondary/address.h"
#include "secondary/directory.h"
#include "secondary/report.h"
#include "secondary/resolv_conf.h"
#include "secondary/resolver.h"
#include "secondary/targets.h"

/*! Between two looks at time limits. */
#define TICK_MS           250
/*! What is not used, but wanted by a zone, is not asked for more often than this, whatever its TTL. */
#define AHEAD_PAUSE_S     5
/*! Silence this often in a row is a reason to see whether the upstream answers anything. */
#define SILENCES_MAX      2
/*! While a look-up is under way, what was known is given for so long after its TTL: as long as a look-up can take, so that a
    name in use has no gap when it is refreshed. */
#define GRACE_S           (UPSTREAM_TIMEOUT_MS / 1000)
/*! EDE codes (RFC 8914). */
#define EDE_NOT_READY     14
#define EDE_UNREACHABLE   22
#define EDE_NETWORK       23
/*! No answer yet, or a hold that ran out since. */
#define LATENCY_UNKNOWN   UINT32_MAX
/*! A question that was queued is not queued again for so long, so that one does not fill the queue. */
#define ASKED_SLOTS       1024

/*! What a file was like when it was read. */
typedef struct {
	bool exists;
	ino_t inode;
	off_t size;
	struct timespec changed;
} file_state_t;

/*! A name and type to be asked for. */
typedef struct {
	uint16_t type;            /*!< 0: none. */
	uint8_t len;
	uint8_t name[WIRE_NAME_MAX];
} probe_t;

struct upstream {
	upstream_t *next;
	uint32_t id;              /*!< Never used again. */
	unsigned refs;            /*!< Lock. 0: the thread shall free it. */
	upstream_options_t options;
	uint32_t latency_ms;      /*!< Of the last answer. Atomic. */

	/* The thread's. */
	bool ready;
	bool was_read;            /*!< The list of servers, once. */
	file_state_t *file;       /*!< Per source. */
	struct sockaddr_storage server[UPSTREAM_SERVERS_MAX];
	unsigned server_count;
	resolver_t *forwarder;    /*!< NULL: no server known. */
	resolver_t *self;         /*!< NULL: not asked. */
	unsigned under_way;
	bool renew;               /*!< The servers are to be read again. Atomic. */
	bool renew_failed;        /*!< And were not to be had last time, which is in the log. */
	unsigned silences;        /*!< Slow failures in a row. */
	uint32_t silent_since;    /*!< Second of the first of them. */
	bool verifying;           /*!< A look-up is under way that decides whether it is unreachable. */
	bool unreachable;         /*!< Atomic. */
	bool probed_answered;     /*!< The last probe was for what had an answer. */
	probe_t answered;      /*!< What had an answer last; the root's SOA before the first. */
	probe_t failed;        /*!< What failed last. */
};

/*! A zone with an upstream. */
typedef struct follower {
	zone_t *zone;             /*!< Held. First: the tree compares it. */
	upstream_t *upstream;     /*!< Lock; counted in refs. NULL: none. */
	unsigned ahead;           /*!< Lock. */
	bool dirty;               /*!< Lock. In the list of changed ones. */
	bool gone;                /*!< Lock. */
	struct follower *next_dirty;

	/* The thread's. */
	targets_t targets;
	uint32_t upstream_id;     /*!< That the targets are wanted of. */
	size_t pos;               /*!< Of the next target to be asked for. */
	struct follower *next_busy;
	bool busy;                /*!< There are targets to be asked for. */
} follower_t;

typedef struct lookup {
	struct lookup *prev, *next;
	upstream_t *upstream;
	cache_entry_t *entry;
	resolver_question_t *question;
	uint64_t began_ms;
	bool ahead;
	bool of_self;             /*!< This server is asked. */
	bool verifies;            /*!< Decides whether the upstream is unreachable. */
	bool next_only;           /*!< The next alias is asked for, as nobody could resolve the whole. */
} lookup_t;

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
	void *followers;          /*!< Lock. By zone. */
	follower_t *dirty;        /*!< Lock. */
	bool stop;                /*!< Lock. */
	ask_queue_t queue;
	uint32_t asked[ASKED_SLOTS]; /*!< Atomic. */

	/* Waiting hooks. */
	pthread_mutex_t hold_lock;
	pthread_cond_t answered;
	unsigned holding[2];      /*!< Atomic. Per protocol. */

	/* The thread's. */
	lookup_t *oldest, *newest;
	unsigned ahead;           /*!< Look-ups ahead under way. */
	cache_entry_t *waiting, *waiting_last; /*!< In use, and due to be asked for again. */
	follower_t *busy, *busy_last;
	uint32_t looked;          /*!< Second of the last look at what is due. */

	upstream_counters_t counters; /*!< Atomic. */
} state = {
	.life = PTHREAD_MUTEX_INITIALIZER,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.hold_lock = PTHREAD_MUTEX_INITIALIZER,
};

static void ask_ahead(void);

static void count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

/* -- options ---------------------------------------------------------------------------------------------------------- */

void upstream_options_clear(upstream_options_t *options)
{
	for (unsigned i = 0; i < options->source_count; i++) {
		free(options->source[i].path);
	}
	free(options->source);
	free(options->own);
	options->source = NULL;
	options->own = NULL;
	options->source_count = options->own_count = 0;
}

static bool source_equal(const upstream_source_t *a, const upstream_source_t *b)
{
	if (a->kind != b->kind) {
		return false;
	}
	switch (a->kind) {
	case UPSTREAM_ADDRESS: return address_equal(&a->addr, &b->addr);
	case UPSTREAM_FILE:    return strcmp(a->path, b->path) == 0;
	case UPSTREAM_SELF:    return true;
	}
	return false;
}

static bool options_equal(const upstream_options_t *a, const upstream_options_t *b)
{
	if (a->source_count != b->source_count || a->ttl_min != b->ttl_min || a->ttl_max != b->ttl_max ||
	    a->stale != b->stale) {
		return false;
	}
	for (unsigned i = 0; i < a->source_count; i++) {
		if (!source_equal(&a->source[i], &b->source[i])) {
			return false;
		}
	}
	return true;
}

static bool own_equal(const upstream_options_t *a, const upstream_options_t *b)
{
	if (a->own_count != b->own_count) {
		return false;
	}
	for (unsigned i = 0; i < a->own_count; i++) {
		if (!address_equal(&a->own[i], &b->own[i])) {
			return false;
		}
	}
	return true;
}

/* -- whom to ask ------------------------------------------------------------------------------------------------------ */

static in_port_t *port_of(struct sockaddr_storage *addr)
{
	return addr->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)addr)->sin6_port
	                                   : &((struct sockaddr_in *)addr)->sin_port;
}

/*! Does this server listen at \a addr? A reload may say so of another one, when an interface has got an address. */
static bool is_own(const upstream_t *upstream, const struct sockaddr_storage *addr)
{
	bool found = false;
	pthread_mutex_lock(&state.lock);
	for (unsigned i = 0; i < upstream->options.own_count && !found; i++) {
		found = address_equal(addr, &upstream->options.own[i]);
	}
	pthread_mutex_unlock(&state.lock);
	return found;
}

static void server_add(const upstream_t *upstream, struct sockaddr_storage addr, struct sockaddr_storage *servers,
                       unsigned *server_count)
{
	if (*port_of(&addr) == 0) {
		*port_of(&addr) = htons(53);
	}
	if (is_own(upstream, &addr)) {
		return;
	}
	for (unsigned i = 0; i < *server_count; i++) {
		if (address_equal(&addr, &servers[i])) {
			return;
		}
	}
	if (*server_count < UPSTREAM_SERVERS_MAX) {
		servers[(*server_count)++] = addr;
	}
}

/*! Some zone of the upstream, held, for a line of log; or NULL. */
static zone_t *zone_of(const upstream_t *upstream);

static void report_file(const zone_t *zone, const char *path, int ret)
{
	report(zone, LOG_WARNING, "upstream, file '%s', no servers (%s)", path, knot_strerror(ret));
}

/*!
 * Complains of files before the thread reads them for the first time: it may be faster than load(), and then no zone could
 * carry its line yet.
 */
static void files_check(const upstream_t *upstream)
{
	for (unsigned i = 0; i < upstream->options.source_count; i++) {
		const upstream_source_t *source = &upstream->options.source[i];
		struct sockaddr_storage found[RESOLV_CONF_SERVERS_MAX];
		unsigned found_count = 0;
		int ret = source->kind == UPSTREAM_FILE ?
		          resolv_conf_read(source->path, found, RESOLV_CONF_SERVERS_MAX, &found_count) : KNOT_EOK;
		if (ret != KNOT_EOK) {
			report_file(NULL, source->path, ret);
		}
	}
}

static void server_add_file(const upstream_t *upstream, const char *path, struct sockaddr_storage *servers,
                            unsigned *server_count)
{
	struct sockaddr_storage found[RESOLV_CONF_SERVERS_MAX];
	unsigned found_count = 0;
	int ret = resolv_conf_read(path, found, RESOLV_CONF_SERVERS_MAX, &found_count);
	if (ret != KNOT_EOK && upstream->was_read) {
		zone_t *zone = zone_of(upstream);
		report_file(zone, path, ret);
		zone_release(zone);
	}
	for (unsigned i = 0; i < found_count; i++) {
		server_add(upstream, found[i], servers, server_count);
	}
}

static file_state_t file_look(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0) {
		return (file_state_t) { 0 };
	}
	return (file_state_t) { .exists = true, .inode = st.st_ino, .size = st.st_size, .changed = st.st_mtim };
}

static bool file_same(const file_state_t *a, const file_state_t *b)
{
	return a->exists == b->exists && a->inode == b->inode && a->size == b->size &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static unsigned servers_read(upstream_t *upstream, struct sockaddr_storage *servers)
{
	unsigned server_count = 0;
	for (unsigned i = 0; i < upstream->options.source_count; i++) {
		const upstream_source_t *source = &upstream->options.source[i];
		if (source->kind == UPSTREAM_ADDRESS) {
			server_add(upstream, source->addr, servers, &server_count);
		} else if (source->kind == UPSTREAM_FILE) {
			upstream->file[i] = file_look(source->path);
			server_add_file(upstream, source->path, servers, &server_count);
		}
	}
	upstream->was_read = true;
	return server_count;
}

static bool servers_equal(const upstream_t *upstream, const struct sockaddr_storage *servers, unsigned server_count)
{
	if (server_count != upstream->server_count) {
		return false;
	}
	for (unsigned i = 0; i < server_count; i++) {
		if (!address_equal(&servers[i], &upstream->server[i])) {
			return false;
		}
	}
	return true;
}

static void restart_lookups(upstream_t *upstream);
static void forget_failures(upstream_t *upstream, uint32_t since);

/*! Means that were short, as open files, may come back: tried again each second, said once. */
static void renew_later(upstream_t *upstream, int ret)
{
	__atomic_store_n(&upstream->renew, true, __ATOMIC_RELAXED);
	if (!upstream->renew_failed) {
		upstream->renew_failed = true;
		zone_t *zone = zone_of(upstream);
		report(zone, LOG_ERR, "upstream, failed to start the resolver (%s)", knot_strerror(ret));
		zone_release(zone);
	}
}

/*! Reads the list anew. One that is empty now, while there was one before, is taken for a file that is being written. */
static void servers_update(upstream_t *upstream)
{
	struct sockaddr_storage servers[UPSTREAM_SERVERS_MAX];
	__atomic_store_n(&upstream->renew, false, __ATOMIC_RELAXED);
	const unsigned server_count = servers_read(upstream, servers);
	if (server_count == 0 || servers_equal(upstream, servers, server_count)) {
		return;
	}
	resolver_t *forwarder;
	int ret = resolver_new_forwarder(&state.loop, servers, server_count, &forwarder);
	if (ret != KNOT_EOK) {
		renew_later(upstream, ret);
		return;
	}
	upstream->renew_failed = false;
	resolver_t *old = upstream->forwarder;
	upstream->forwarder = forwarder;
	memcpy(upstream->server, servers, server_count * sizeof(servers[0]));
	upstream->server_count = server_count;
	if (old != NULL) {
		restart_lookups(upstream);
		resolver_free(old);
	}
	forget_failures(upstream, 0);
}

/*! An address that `self` can be asked at: a wildcard one listens on loopback too. */
static struct sockaddr_storage self_address(const struct sockaddr_storage *own)
{
	struct sockaddr_storage addr = *own;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&addr;
	if (addr.ss_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY)) {
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else if (addr.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)) {
		v6->sin6_addr = in6addr_loopback;
	}
	return addr;
}

/*! Where `self` is asked; false: nowhere. */
static bool own_first(const upstream_t *upstream, struct sockaddr_storage *ret_addr)
{
	pthread_mutex_lock(&state.lock);
	const bool found = upstream->options.own_count > 0;
	if (found) {
		*ret_addr = self_address(&upstream->options.own[0]);
	}
	pthread_mutex_unlock(&state.lock);
	return found;
}

/*! First work of the thread for an upstream. */
static void upstream_begin(upstream_t *upstream)
{
	upstream->ready = true;
	for (unsigned i = 0; i < upstream->options.source_count; i++) {
		struct sockaddr_storage addr;
		if (upstream->options.source[i].kind == UPSTREAM_SELF && upstream->self == NULL && own_first(upstream, &addr)) {
			(void)resolver_new_self(&state.loop, &addr, &upstream->self);
		}
	}
	servers_update(upstream);
}

static void files_watch(upstream_t *upstream)
{
	for (unsigned i = 0; i < upstream->options.source_count; i++) {
		const upstream_source_t *source = &upstream->options.source[i];
		if (source->kind != UPSTREAM_FILE) {
			continue;
		}
		const file_state_t now = file_look(source->path);
		if (!file_same(&now, &upstream->file[i])) {
			servers_update(upstream);
			return;
		}
	}
}

/* -- reachable or not ------------------------------------------------------------------------------------------------- */

/*! The servers for a line of log. */
static const char *servers_text(const upstream_t *upstream, char *dst, size_t size)
{
	char text[ADDRESS_TEXT_MAX];
	if (upstream->server_count == 0) {
		(void)snprintf(dst, size, "self");
	} else if (upstream->server_count == 1) {
		(void)snprintf(dst, size, "remote %s", address_text(&upstream->server[0], text));
	} else {
		(void)snprintf(dst, size, "remote %s and %u more", address_text(&upstream->server[0], text),
		               upstream->server_count - 1);
	}
	return dst;
}

static void log_reach(const upstream_t *upstream, int priority, const char *what)
{
	char servers[ADDRESS_TEXT_MAX + 32];
	zone_t *zone = zone_of(upstream);
	report(zone, priority, "upstream, %s, %s", servers_text(upstream, servers, sizeof(servers)), what);
	zone_release(zone);
}

/*! Whose failures are forgotten. */
typedef struct {
	const upstream_t *upstream;
	uint32_t since;
} forgiven_t;

/*! What had failed may be asked for at once. */
static void forget_pause(cache_entry_t *entry, void *ctx)
{
	const forgiven_t *forgiven = ctx;
	if (entry->upstream != forgiven->upstream->id || entry->failures == 0 ||
	    (int32_t)(entry->failed - forgiven->since) < 0) {
		return;
	}
	entry->failures = 0;
	__atomic_store_n(&entry->ask_at, cache_now(), __ATOMIC_RELAXED);
	if (entry->lookup == NULL) {
		cache_schedule(state.cache, entry, cache_now());
	}
}

static void restart_ahead(const upstream_t *upstream);

/*!
 * What an upstream did not answer since that second is asked for anew: those in use or wanted now, others when a query comes.
 * What had failed before has its own reasons, and goes on pausing.
 */
static void forget_failures(upstream_t *upstream, uint32_t since)
{
	forgiven_t forgiven = { .upstream = upstream, .since = since };
	cache_walk(state.cache, forget_pause, &forgiven);
	restart_ahead(upstream);
}

static void probe_set(probe_t *probe, const cache_entry_t *entry)
{
	probe->type = entry->type;
	probe->len = entry->name_len;
	memcpy(probe->name, entry->name, entry->name_len);
}

static void note_answer(upstream_t *upstream, const cache_entry_t *entry, uint32_t took_ms)
{
	__atomic_store_n(&upstream->latency_ms, took_ms, __ATOMIC_RELAXED);
	probe_set(&upstream->answered, entry);
	upstream->silences = 0;
	if (upstream->unreachable) {
		__atomic_store_n(&upstream->unreachable, false, __ATOMIC_RELAXED);
		log_reach(upstream, LOG_NOTICE, "answers again");
		forget_failures(upstream, upstream->silent_since);
	}
}

static void verify(upstream_t *upstream);

/*! A name whose own servers are dead is slow too: the upstream is unreachable if what it answered last is not answered either. */
static void note_silence(upstream_t *upstream, bool verifies)
{
	__atomic_store_n(&upstream->latency_ms, LATENCY_UNKNOWN, __ATOMIC_RELAXED);
	if (upstream->silences++ == 0) {
		upstream->silent_since = cache_now();
	}
	if (upstream->unreachable || upstream->silences < SILENCES_MAX) {
		return;
	}
	if (!verifies) {
		verify(upstream);
	} else if (upstream->silences > SILENCES_MAX) { /* not if something was answered meanwhile */
		__atomic_store_n(&upstream->unreachable, true, __ATOMIC_RELAXED);
		log_reach(upstream, LOG_WARNING, "does not answer");
	}
}

/*! A failure that comes at once, as SERVFAIL, shows that somebody is there. */
static void note_failure(upstream_t *upstream, const cache_entry_t *entry, bool verifies, uint32_t took_ms)
{
	count(&state.counters.failures);
	probe_set(&upstream->failed, entry);
	if (took_ms >= UPSTREAM_SLOW_MS) {
		note_silence(upstream, verifies);
	} else if (verifies) {
		upstream->silences = 0;
	}
}

/* -- look-ups --------------------------------------------------------------------------------------------------------- */

static void wake_holders(void)
{
	/* What they wait for is stored before they are counted here, and they count themselves before they look for it: each
	 * side writes first, so one of the two sees the other. A load alone may come before the store. */
	if (__atomic_fetch_add(&state.holding[0], 0, __ATOMIC_SEQ_CST) +
	    __atomic_fetch_add(&state.holding[1], 0, __ATOMIC_SEQ_CST) > 0) {
		pthread_mutex_lock(&state.hold_lock);
		pthread_cond_broadcast(&state.answered);
		pthread_mutex_unlock(&state.hold_lock);
	}
}

static void lookup_unlink(lookup_t *lookup)
{
	*(lookup->prev != NULL ? &lookup->prev->next : &state.oldest) = lookup->next;
	*(lookup->next != NULL ? &lookup->next->prev : &state.newest) = lookup->prev;
	lookup->entry->lookup = NULL;
	lookup->upstream->under_way--;
	if (lookup->verifies) {
		lookup->upstream->verifying = false;
	}
	state.ahead -= lookup->ahead;
	free(lookup);
}

/*! When to ask for a reply anew, if it is in use then. */
static uint32_t refresh_at(const cache_entry_t *entry, const reply_t *reply, uint32_t now)
{
	uint32_t after = reply->ttl - (reply->ttl + 9) / 10;
	if (entry->wanted > 0 && after < AHEAD_PAUSE_S) {
		after = AHEAD_PAUSE_S;
	}
	return now + (after > 0 ? after : 1);
}

static void entry_succeed(const upstream_t *upstream, cache_entry_t *entry, reply_t *reply)
{
	const uint32_t now = cache_now();
	cache_succeed(state.cache, entry, reply, upstream->options.stale, now);
	cache_schedule(state.cache, entry, refresh_at(entry, reply, now));
}

static void entry_fail(cache_entry_t *entry, int ede)
{
	cache_fail(state.cache, entry, ede, cache_now());
	cache_schedule(state.cache, entry, entry->ask_at);
}

static bool is_home(const uint8_t *name, size_t len)
{
	rcu_read_lock();
	const bool found = directory_find(name, len, false) != NULL;
	rcu_read_unlock();
	return found;
}

/*! Digests the answer; what is not usable is a failure. */
static int digest(const lookup_t *lookup, const uint8_t *wire, size_t size, reply_t **ret_reply)
{
	const upstream_t *upstream = lookup->upstream;
	const cache_entry_t *entry = lookup->entry;
	const reply_params_t params = {
		.name = entry->name,
		.name_len = entry->name_len,
		.type = entry->type,
		.asked = lookup->next_only ? KNOT_RRTYPE_CNAME : entry->type,
		.ttl_min = upstream->options.ttl_min,
		.ttl_max = upstream->options.ttl_max,
		.is_home = is_home,
	};
	int ret = reply_accept(&params, wire, size, ret_reply);
	if (ret == KNOT_EOK && lookup->next_only && (*ret_reply)->kind != REPLY_HOME) {
		reply_free(*ret_reply);
		return KNOT_EDENIED;
	}
	if (ret == KNOT_EOK && lookup->of_self && (*ret_reply)->ttl > UPSTREAM_SELF_TTL) {
		(*ret_reply)->ttl = UPSTREAM_SELF_TTL;
	}
	return ret;
}

static void lookup_end(lookup_t *lookup, int ret, const uint8_t *wire, size_t size)
{
	upstream_t *upstream = lookup->upstream;
	cache_entry_t *entry = lookup->entry;
	const uint32_t took_ms = uv_now(&state.loop) - lookup->began_ms;
	reply_t *reply = NULL;
	if (ret == KNOT_EOK) {
		ret = digest(lookup, wire, size, &reply);
	} else if (ret == KNOT_ENOENT) {
		reply = reply_bare(REPLY_NOTHING, UPSTREAM_SELF_TTL);
		ret = reply != NULL ? KNOT_EOK : KNOT_ENOMEM;
	}

	const bool verifies = lookup->verifies;
	lookup_unlink(lookup);
	if (ret == KNOT_EOK) {
		entry_succeed(upstream, entry, reply);
		note_answer(upstream, entry, took_ms);
	} else {
		const bool network = wire == NULL || took_ms >= UPSTREAM_SLOW_MS || upstream->unreachable;
		entry_fail(entry, network ? EDE_NETWORK : EDE_UNREACHABLE);
		note_failure(upstream, entry, verifies, took_ms);
	}
	wake_holders();
}

static int lookup_ask(lookup_t *lookup, resolver_t *resolver);

/*!
 * A target whose alias leads into one of our zones cannot be resolved by those who do not know that zone, nor if the two
 * make a loop; but it is for us to go on from there. So where a resolver that does answer has failed, the alias alone is asked for.
 */
static bool ask_next_alias(lookup_t *lookup, const uint8_t *wire, size_t size)
{
	const upstream_t *upstream = lookup->upstream;
	if (lookup->next_only || upstream->unreachable || size < KNOT_WIRE_HEADER_SIZE ||
	    knot_wire_get_rcode(wire) != KNOT_RCODE_SERVFAIL ||
	    uv_now(&state.loop) - lookup->began_ms >= UPSTREAM_SLOW_MS) {
		return false;
	}
	lookup->next_only = true;
	return lookup_ask(lookup, lookup->of_self ? upstream->self : upstream->forwarder) == KNOT_EOK;
}

static void on_answer(void *ctx, int ret, const uint8_t *wire, size_t size)
{
	lookup_t *lookup = ctx;
	const upstream_t *upstream = lookup->upstream;
	lookup->question = NULL;
	if (ret == KNOT_ENOENT && upstream->forwarder != NULL && lookup_ask(lookup, upstream->forwarder) == KNOT_EOK) {
		return;
	}
	if (ret == KNOT_EOK && ask_next_alias(lookup, wire, size)) {
		return;
	}
	lookup_end(lookup, ret, wire, size);
	ask_ahead();
}

static int lookup_ask(lookup_t *lookup, resolver_t *resolver)
{
	const cache_entry_t *entry = lookup->entry;
	lookup->of_self = resolver == lookup->upstream->self;
	const uint16_t type = lookup->next_only ? KNOT_RRTYPE_CNAME : entry->type;
	return resolver_ask(resolver, entry->name, type, on_answer, lookup, &lookup->question);
}

static lookup_t *lookup_new(upstream_t *upstream, cache_entry_t *entry, bool ahead)
{
	lookup_t *lookup = calloc(1, sizeof(*lookup));
	if (lookup == NULL) {
		return NULL;
	}
	lookup->upstream = upstream;
	lookup->entry = entry;
	lookup->ahead = ahead;
	lookup->began_ms = uv_now(&state.loop);
	lookup->prev = state.newest;
	*(lookup->prev != NULL ? &lookup->prev->next : &state.oldest) = lookup;
	state.newest = lookup;
	entry->lookup = lookup;
	upstream->under_way++;
	state.ahead += ahead;
	return lookup;
}

/*! Asks for \a entry, unless that is under way. Does not come back to any caller: answers are for later. */
static void look_up(upstream_t *upstream, cache_entry_t *entry, bool ahead)
{
	if (entry->lookup != NULL) {
		return;
	}
	resolver_t *resolver = upstream->self != NULL ? upstream->self : upstream->forwarder;
	if (resolver == NULL || (upstream->unreachable && upstream->under_way >= UPSTREAM_PROBES_MAX)) {
		entry_fail(entry, resolver != NULL ? EDE_NETWORK : EDE_NOT_READY);
		return;
	}
	if (upstream->under_way >= RESOLVER_QUESTIONS_MAX) {
		__atomic_store_n(&entry->asked, false, __ATOMIC_RELEASE); /* Whoever asks next brings it again. */
		cache_schedule(state.cache, entry, cache_now() + 1);
		return;
	}
	__atomic_store_n(&entry->asked, true, __ATOMIC_RELAXED);
	count(&state.counters.lookups);
	lookup_t *lookup = lookup_new(upstream, entry, ahead);
	int ret = lookup != NULL ? lookup_ask(lookup, resolver) : KNOT_ENOMEM;
	if (ret != KNOT_EOK) {
		if (lookup != NULL) {
			lookup_unlink(lookup);
		}
		entry_fail(entry, EDE_UNREACHABLE);
	}
}

/*! The forwarder before goes: its questions are put to the new one. */
static void restart_lookups(upstream_t *upstream)
{
	for (lookup_t *lookup = state.oldest, *next; lookup != NULL; lookup = next) {
		next = lookup->next;
		if (lookup->upstream != upstream || lookup->of_self) {
			continue;
		}
		resolver_cancel(lookup->question);
		lookup->question = NULL;
		if (lookup_ask(lookup, upstream->forwarder) != KNOT_EOK) {
			cache_entry_t *entry = lookup->entry;
			lookup_unlink(lookup);
			entry_fail(entry, EDE_UNREACHABLE);
		}
	}
}

static void lookups_expire(void)
{
	const uint64_t now = uv_now(&state.loop);
	while (state.oldest != NULL && now - state.oldest->began_ms >= UPSTREAM_TIMEOUT_MS) {
		lookup_t *lookup = state.oldest;
		resolver_cancel(lookup->question);
		lookup_end(lookup, KNOT_ETIMEOUT, NULL, 0);
	}
}

/*! Thread. The entry, made if it does not exist; or NULL (no memory). */
static cache_entry_t *entry_get(const upstream_t *upstream, const uint8_t *name, uint8_t len, uint16_t type)
{
	cache_entry_t *entry = cache_find(state.cache, upstream->id, name, len, type);
	return entry != NULL ? entry : cache_add(state.cache, upstream->id, name, len, type);
}

static cache_entry_t *probe_entry(const upstream_t *upstream, const probe_t *probe)
{
	return entry_get(upstream, probe->name, probe->len, probe->type);
}

/*! Has a look-up decide whether the upstream is unreachable; the name is another than those that have just failed. */
static void verify(upstream_t *upstream)
{
	cache_entry_t *entry = upstream->verifying ? NULL : probe_entry(upstream, &upstream->answered);
	if (entry == NULL) {
		return;
	}
	look_up(upstream, entry, false);
	lookup_t *lookup = entry->lookup;
	if (lookup != NULL) {
		lookup->verifies = upstream->verifying = true;
	}
}

static upstream_t *find_upstream(uint32_t id)
{
	/* Only this thread takes upstreams out; others put new ones before the first. */
	pthread_mutex_lock(&state.lock);
	upstream_t *upstream = state.first;
	pthread_mutex_unlock(&state.lock);
	while (upstream != NULL && upstream->id != id) {
		upstream = upstream->next;
	}
	return upstream != NULL && upstream->ready ? upstream : NULL;
}

static void take_questions(void)
{
	ask_t ask;
	while (ask_queue_take(&state.queue, &ask)) {
		upstream_t *upstream = find_upstream(ask.upstream);
		cache_entry_t *entry = upstream != NULL ? entry_get(upstream, ask.name, ask.len, ask.type) : NULL;
		if (entry == NULL) {
			continue;
		}
		const reply_t *reply = cache_reply(entry);
		const uint32_t now = cache_now();
		const bool pausing = (int32_t)(now - entry->ask_at) < 0;
		if (pausing || (reply != NULL && cache_is_fresh(reply, now))) {
			__atomic_store_n(&entry->asked, entry->lookup != NULL, __ATOMIC_RELEASE);
			continue;
		}
		look_up(upstream, entry, false);
	}
}

/*! Has \a entry asked for when its turn comes. */
static void waiting_add(cache_entry_t *entry)
{
	if (entry->waiting) {
		return;
	}
	entry->waiting = true;
	entry->next_waiting = NULL;
	*(state.waiting != NULL ? &state.waiting_last->next_waiting : &state.waiting) = entry;
	state.waiting_last = entry;
}

static void ask_waiting(void)
{
	cache_entry_t *entry = state.waiting;
	state.waiting = entry->next_waiting;
	entry->waiting = false;
	upstream_t *upstream = find_upstream(entry->upstream);
	if (upstream != NULL) {
		look_up(upstream, entry, true);
	} else {
		cache_schedule(state.cache, entry, cache_now());
	}
}

/*! Asks for what is in use or wanted, forgets what is of no use any more. */
static void on_due(cache_entry_t *entry, void *ctx)
{
	(void)ctx;
	upstream_t *upstream = find_upstream(entry->upstream);
	if (entry->lookup != NULL || entry->waiting) {
		return;
	}
	const uint32_t now = cache_now();
	const reply_t *reply = cache_reply(entry);
	const bool pausing = (int32_t)(now - entry->ask_at) < 0;
	if (upstream == NULL) {
		cache_remove(state.cache, entry);
	} else if (pausing) {
		cache_schedule(state.cache, entry, entry->ask_at);
	} else if (entry->wanted > 0 || __atomic_load_n(&entry->used, __ATOMIC_RELAXED)) {
		waiting_add(entry);
	} else if (reply != NULL && (int32_t)(reply->stale_until - now) > 0) {
		/* It is not looked at every second until then; but what is used meanwhile is refreshed by who uses it. */
		cache_schedule(state.cache, entry, reply->stale_until);
	} else {
		cache_remove(state.cache, entry);
	}
}

/* -- ahead of queries ------------------------------------------------------------------------------------------------- */

static const uint16_t ahead_types[] = { KNOT_RRTYPE_A, KNOT_RRTYPE_AAAA };

/*! Counts the targets as wanted, or not any more. */
static void want_targets(const targets_t *targets, uint32_t upstream_id, bool wanted)
{
	const uint8_t *name;
	uint8_t len;
	for (size_t pos = 0; pos < targets->size; ) {
		pos = targets_next(targets, pos, &name, &len);
		for (unsigned i = 0; i < 2; i++) {
			cache_entry_t *entry = cache_find(state.cache, upstream_id, name, len, ahead_types[i]);
			if (entry == NULL && wanted) {
				entry = cache_add(state.cache, upstream_id, name, len, ahead_types[i]);
			}
			if (entry != NULL && wanted) {
				entry->wanted++;
			} else if (entry != NULL && entry->wanted > 0) {
				entry->wanted--;
			}
		}
	}
}

static void busy_add(follower_t *follower)
{
	follower->pos = 0;
	if (follower->busy || follower->targets.size == 0) {
		return;
	}
	follower->busy = true;
	follower->next_busy = NULL;
	*(state.busy != NULL ? &state.busy_last->next_busy : &state.busy) = follower;
	state.busy_last = follower;
}

static void busy_remove(follower_t *follower)
{
	follower_t *before = NULL;
	for (follower_t **link = &state.busy; *link != NULL; before = *link, link = &(*link)->next_busy) {
		if (*link == follower) {
			*link = follower->next_busy;
			if (state.busy_last == follower) {
				state.busy_last = before;
			}
			break;
		}
	}
	follower->busy = false;
}

/*! The entry of a target; one that had to go for lack of room is made again, wanted by this zone at least. */
static cache_entry_t *wanted_get(const upstream_t *upstream, const uint8_t *name, uint8_t len, uint16_t type)
{
	cache_entry_t *entry = entry_get(upstream, name, len, type);
	if (entry != NULL && entry->wanted == 0) {
		entry->wanted = 1;
	}
	return entry;
}

/*! Asks for the next target of a zone, and has the next zone's turn come. */
static void ask_next(follower_t *follower)
{
	upstream_t *upstream = find_upstream(follower->upstream_id);
	const uint8_t *name;
	uint8_t len;
	state.busy = follower->next_busy;
	follower->busy = false;
	if (upstream == NULL) {
		return;
	}
	const size_t next = targets_next(&follower->targets, follower->pos, &name, &len);
	const uint32_t now = cache_now();
	for (unsigned i = 0; i < 2; i++) {
		cache_entry_t *entry = wanted_get(upstream, name, len, ahead_types[i]);
		const reply_t *reply = entry != NULL ? cache_reply(entry) : NULL;
		const bool fresh = reply != NULL && cache_is_fresh(reply, now);
		if (entry != NULL && !fresh && (int32_t)(now - entry->ask_at) >= 0) {
			look_up(upstream, entry, true);
		}
	}
	if (next < follower->targets.size) {
		busy_add(follower);
		follower->pos = next;
	}
}

static void ask_ahead(void)
{
	while (state.waiting != NULL && state.ahead < UPSTREAM_AHEAD_MAX) {
		ask_waiting();
	}
	while (state.busy != NULL && state.ahead < UPSTREAM_AHEAD_MAX) {
		ask_next(state.busy);
	}
}

static void set_targets(follower_t *follower, targets_t *targets, uint32_t upstream_id)
{
	want_targets(targets, upstream_id, true);
	want_targets(&follower->targets, follower->upstream_id, false);
	targets_clear(&follower->targets);
	busy_remove(follower);
	follower->targets = *targets;
	follower->upstream_id = upstream_id;
	busy_add(follower);
}

static void restart_one(const void *node, VISIT which, void *ctx)
{
	const upstream_t *upstream = ctx;
	follower_t *follower = *(follower_t *const *)node;
	if ((which == postorder || which == leaf) && follower->upstream_id == upstream->id) {
		busy_add(follower);
	}
}

static void restart_ahead(const upstream_t *upstream)
{
	pthread_mutex_lock(&state.lock);
	twalk_r(state.followers, restart_one, (void *)upstream);
	pthread_mutex_unlock(&state.lock);
}

typedef struct {
	const upstream_t *upstream;
	zone_t *zone;
} zone_search_t;

static void zone_of_one(const void *node, VISIT which, void *ctx)
{
	zone_search_t *search = ctx;
	const follower_t *follower = *(follower_t *const *)node;
	if (search->zone == NULL && (which == postorder || which == leaf) && follower->upstream == search->upstream) {
		search->zone = follower->zone;
	}
}

static zone_t *zone_of(const upstream_t *upstream)
{
	zone_search_t search = { .upstream = upstream };
	pthread_mutex_lock(&state.lock);
	twalk_r(state.followers, zone_of_one, &search);
	zone_t *zone = search.zone != NULL ? zone_hold(search.zone) : NULL;
	pthread_mutex_unlock(&state.lock);
	return zone;
}

static bool is_foreign(const uint8_t *name, size_t len)
{
	return !is_home(name, len);
}

static int collect(const zone_t *zone, unsigned ahead, targets_t *targets)
{
	rcu_read_lock();
	snapshot_t *snapshot = zone_borrow(zone);
	if (snapshot != NULL) {
		snapshot = snapshot_pin(snapshot);
	}
	rcu_read_unlock();
	int ret = snapshot != NULL ? targets_collect(snapshot, ahead, is_foreign, targets) : KNOT_EOK;
	snapshot_unpin(snapshot);
	return ret;
}

static void follower_free(follower_t *follower)
{
	targets_t none = { 0 };
	set_targets(follower, &none, 0);
	zone_release(follower->zone);
	free(follower);
}

/*! A version, an upstream, or an end. */
static void follower_update(follower_t *follower, const upstream_t *upstream, unsigned ahead)
{
	targets_t targets = { 0 };
	if (upstream == NULL || collect(follower->zone, ahead, &targets) == KNOT_EOK) {
		set_targets(follower, &targets, upstream != NULL ? upstream->id : 0);
	}
}

static follower_t *take_dirty(upstream_t **ret_upstream, unsigned *ret_ahead, bool *ret_gone)
{
	pthread_mutex_lock(&state.lock);
	follower_t *follower = state.dirty;
	if (follower != NULL) {
		state.dirty = follower->next_dirty;
		follower->dirty = false;
		*ret_upstream = follower->upstream;
		*ret_ahead = follower->ahead;
		*ret_gone = follower->gone;
	}
	pthread_mutex_unlock(&state.lock);
	return follower;
}

static void take_followers(void)
{
	upstream_t *upstream;
	unsigned ahead;
	bool gone;
	for (follower_t *follower = take_dirty(&upstream, &ahead, &gone); follower != NULL;
	     follower = take_dirty(&upstream, &ahead, &gone)) {
		if (gone) {
			follower_free(follower);
		} else {
			follower_update(follower, upstream, ahead);
		}
	}
}

/* -- the thread ------------------------------------------------------------------------------------------------------- */

static void upstream_free(upstream_t *upstream)
{
	upstream_options_clear(&upstream->options);
	free(upstream->file);
	free(upstream);
}

static void upstream_end(upstream_t *upstream)
{
	for (lookup_t *lookup = state.oldest, *next; lookup != NULL; lookup = next) {
		next = lookup->next;
		if (lookup->upstream == upstream) {
			cache_entry_t *entry = lookup->entry;
			resolver_cancel(lookup->question);
			lookup_unlink(lookup);
			cache_schedule(state.cache, entry, cache_now());
		}
	}
	resolver_free(upstream->forwarder);
	resolver_free(upstream->self);
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

static void for_each_upstream(void (*visit)(upstream_t *upstream))
{
	pthread_mutex_lock(&state.lock);
	upstream_t *upstream = state.first;
	pthread_mutex_unlock(&state.lock);
	for (; upstream != NULL; upstream = upstream->next) {
		visit(upstream);
	}
}

static void begin_once(upstream_t *upstream)
{
	if (!upstream->ready) {
		upstream_begin(upstream);
	}
}

static void take_upstreams(void)
{
	for_each_upstream(begin_once);
	for (upstream_t *gone = take_gone(); gone != NULL; gone = take_gone()) {
		upstream_end(gone);
	}
}

static void probe(upstream_t *upstream)
{
	if (!upstream->ready) {
		return;
	}
	if (__atomic_load_n(&upstream->renew, __ATOMIC_RELAXED)) {
		servers_update(upstream);
	} else {
		files_watch(upstream);
	}
	if (upstream->unreachable && upstream->under_way == 0) {
		/* In turns: what was answered once may have no answer any more, and what failed may have none at all. */
		upstream->probed_answered = !upstream->probed_answered || upstream->failed.type == 0;
		cache_entry_t *entry = probe_entry(upstream, upstream->probed_answered ? &upstream->answered : &upstream->failed);
		if (entry != NULL) {
			look_up(upstream, entry, false);
		}
	}
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
	lookups_expire();
	const uint32_t now = cache_now();
	if (now != state.looked) {
		state.looked = now;
		for_each_upstream(probe);
		cache_due(state.cache, now, on_due, NULL);
	}
	ask_ahead();
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
	take_followers();
	ask_ahead();
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

	take_followers();
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
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int ret = pthread_create(&state.thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret == 0 ? KNOT_EOK : KNOT_ERROR;
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

static void cond_begin(void)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&state.answered, &attr);
	pthread_condattr_destroy(&attr);
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
	cond_begin();
	state.stop = false;
	int ret = loop_begin();
	if (ret == KNOT_EOK) {
		ret = thread_create();
		if (ret != KNOT_EOK) {
			loop_end();
		}
	}
	if (ret != KNOT_EOK) {
		pthread_cond_destroy(&state.answered);
		cache_free(state.cache);
		state.cache = NULL;
	}
	return ret;
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
	pthread_cond_destroy(&state.answered);
	/* Entries that waited for their turn are no look-ups yet; the rest has gone with its followers and upstreams. */
	state.waiting = state.waiting_last = NULL;
	assert(state.oldest == NULL && state.newest == NULL && state.ahead == 0);
	assert(state.busy == NULL && state.dirty == NULL && state.first == NULL);
	cache_free(state.cache);
	state.cache = NULL;
}

/* -- holders ---------------------------------------------------------------------------------------------------------- */

static upstream_t *upstream_new(upstream_options_t *options)
{
	upstream_t *upstream = calloc(1, sizeof(*upstream));
	file_state_t *file = calloc(options->source_count + 1, sizeof(*file));
	if (upstream == NULL || file == NULL) {
		free(upstream);
		free(file);
		return NULL;
	}
	upstream->file = file;
	upstream->options = *options;
	upstream->latency_ms = LATENCY_UNKNOWN;
	upstream->answered = (probe_t) { .type = KNOT_RRTYPE_SOA, .len = 1 };
	upstream->refs = 1;
	memset(options, 0, sizeof(*options));
	return upstream;
}

/*! Lock. The server's addresses are no part of what makes an upstream, or what is known would be lost with each change. */
static void take_own(upstream_t *upstream, upstream_options_t *options)
{
	if (own_equal(&upstream->options, options)) {
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
	while (upstream != NULL && (upstream->refs == 0 || !options_equal(&upstream->options, options))) {
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
	upstream->id = ++state.last_id;
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

static int compare_zones(const void *a, const void *b)
{
	const zone_t *left = ((const follower_t *)a)->zone, *right = ((const follower_t *)b)->zone;
	return left < right ? -1 : left > right;
}

/*! Lock. */
static follower_t *follower_find(zone_t *zone)
{
	const follower_t key = { .zone = zone };
	void *node = tfind(&key, &state.followers, compare_zones);
	return node != NULL ? *(follower_t **)node : NULL;
}

/*! Lock. */
static follower_t *follower_get(zone_t *zone)
{
	follower_t *follower = follower_find(zone);
	if (follower != NULL) {
		return follower;
	}
	follower = calloc(1, sizeof(*follower));
	if (follower == NULL) {
		return NULL;
	}
	follower->zone = zone;
	if (tsearch(follower, &state.followers, compare_zones) == NULL) {
		free(follower);
		return NULL;
	}
	zone_hold(zone);
	return follower;
}

/*! Lock. */
static void mark_dirty(follower_t *follower)
{
	if (!follower->dirty) {
		follower->dirty = true;
		follower->next_dirty = state.dirty;
		state.dirty = follower;
	}
}

/*! Lock. */
static void follower_drop(follower_t *follower)
{
	tdelete(follower, &state.followers, compare_zones);
	follower->gone = true;
	follower->upstream = NULL;
	mark_dirty(follower);
}

/*! Lock. Has \a zone follow \a upstream; returns the one before, to be released. */
static int follow(zone_t *zone, upstream_t *upstream, unsigned ahead, upstream_t **ret_before)
{
	follower_t *follower = follower_get(zone);
	if (follower == NULL) {
		return KNOT_ENOMEM;
	}
	*ret_before = follower->upstream;
	follower->upstream = upstream;
	upstream->refs++;
	if (*ret_before != upstream || follower->ahead != ahead) {
		follower->ahead = ahead;
		mark_dirty(follower);
		thread_wake();
	}
	return KNOT_EOK;
}

int upstream_zone_set(zone_t *zone, upstream_t *upstream, unsigned ahead)
{
	if (upstream == NULL) {
		upstream_zone_gone(zone);
		return KNOT_EOK;
	}
	upstream_t *before = NULL;
	pthread_mutex_lock(&state.lock);
	int ret = follow(zone, upstream, ahead, &before);
	pthread_mutex_unlock(&state.lock);
	upstream_release(before);
	return ret;
}

void upstream_zone_gone(zone_t *zone)
{
	upstream_t *before = NULL;
	pthread_mutex_lock(&state.lock);
	follower_t *follower = follower_find(zone);
	if (follower != NULL) {
		before = follower->upstream;
		follower_drop(follower);
		thread_wake();
	}
	pthread_mutex_unlock(&state.lock);
	upstream_release(before);
}

void upstream_published(zone_t *zone)
{
	pthread_mutex_lock(&state.lock);
	follower_t *follower = follower_find(zone);
	if (follower != NULL) {
		mark_dirty(follower);
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
	const bool due = entry != NULL ? cache_take_question(entry, now) : !is_asked(upstream->id, name, len, type, now);
	if (!due) {
		return;
	}
	if (ask_queue_put(&state.queue, upstream->id, name, len, type)) {
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
	       __atomic_load_n(&upstream->unreachable, __ATOMIC_RELAXED) ||
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

/*! Counts a waiting worker, if it may wait. */
static bool hold_begin(const upstream_t *upstream, const upstream_hold_t *hold)
{
	if (hold->ms == 0 || hold->workers < 2 || __atomic_load_n(&upstream->latency_ms, __ATOMIC_RELAXED) > hold->ms) {
		return false;
	}
	const unsigned most = hold->workers / 4 > 0 ? hold->workers / 4 : 1;
	unsigned *holding = &state.holding[hold->protocol];
	if (__atomic_add_fetch(holding, 1, __ATOMIC_SEQ_CST) > most) {
		__atomic_sub_fetch(holding, 1, __ATOMIC_SEQ_CST);
		return false;
	}
	return true;
}

static struct timespec deadline_in(uint32_t ms)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += ms % 1000 * 1000000L;
	if (at.tv_nsec >= 1000000000L) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000L;
	}
	return at;
}

/*! Waits until the look-up has ended, or the hold. */
static void hold_wait(upstream_t *upstream, const uint8_t *name, uint8_t len, uint16_t type, uint32_t ms,
                      upstream_view_t *ret_view)
{
	const struct timespec deadline = deadline_in(ms);
	int ret = 0;
	count(&state.counters.holds);
	pthread_mutex_lock(&state.hold_lock);
	while (ret == 0) {
		cache_entry_t *entry = cache_find(state.cache, upstream->id, name, len, type);
		view(upstream, entry, cache_now(), ret_view);
		if (ret_view->reply != NULL ||
		    (entry != NULL && __atomic_load_n(&entry->failure, __ATOMIC_RELAXED) != CACHE_NO_FAILURE)) {
			break;
		}
		ret = pthread_cond_timedwait(&state.answered, &state.hold_lock, &deadline);
	}
	pthread_mutex_unlock(&state.hold_lock);
	if (ret != 0) {
		__atomic_store_n(&upstream->latency_ms, LATENCY_UNKNOWN, __ATOMIC_RELAXED);
	}
}

void upstream_look_up(upstream_t *upstream, const uint8_t *name, uint8_t len, uint16_t type, const upstream_hold_t *hold,
                      upstream_view_t *ret_view)
{
	assert(rcu_read_ongoing());
	const uint32_t now = cache_now();
	cache_entry_t *entry = cache_find(state.cache, upstream->id, name, len, type);
	view(upstream, entry, now, ret_view);
	if (ret_view->reply != NULL && !ret_view->is_stale) {
		count(&state.counters.hits);
		return;
	}

	ask(upstream, entry, name, len, type, now);
	view(upstream, entry, now, ret_view); /* what has been asked for may stand in */
	if (ret_view->reply == NULL && ret_view->ede == EDE_NOT_READY && hold_begin(upstream, hold)) {
		hold_wait(upstream, name, len, type, hold->ms, ret_view);
		__atomic_sub_fetch(&state.holding[hold->protocol], 1, __ATOMIC_SEQ_CST);
	}
	count(ret_view->reply == NULL ? &state.counters.misses : ret_view->is_stale ? &state.counters.stale : &state.counters.hits);
}

void upstream_counters(upstream_counters_t *ret_counters)
{
	*ret_counters = (upstream_counters_t) {
		.hits = __atomic_load_n(&state.counters.hits, __ATOMIC_RELAXED),
		.misses = __atomic_load_n(&state.counters.misses, __ATOMIC_RELAXED),
		.stale = __atomic_load_n(&state.counters.stale, __ATOMIC_RELAXED),
		.holds = __atomic_load_n(&state.counters.holds, __ATOMIC_RELAXED),
		.lookups = __atomic_load_n(&state.counters.lookups, __ATOMIC_RELAXED),
		.failures = __atomic_load_n(&state.counters.failures, __ATOMIC_RELAXED),
	};
}
