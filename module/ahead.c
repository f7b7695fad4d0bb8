/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Ahead of queries: the targets of our zones' aliases, and what queries use (ahead.h).
 */
#include "secondary/ahead.h"

#include <assert.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>

#include <libknot/descriptor.h>
#include <libknot/errcode.h>

#include "secondary/directory.h"
#include "secondary/targets.h"

/*! A zone that follows an upstream. */
typedef struct follower {
	zone_t *zone;             /*!< Held. First: the tree compares it. */
	void *owner;              /*!< Lock. The caller's; NULL: it follows none. */
	uint32_t id;              /*!< Lock. Of the upstream. */
	unsigned max;             /*!< Lock. */
	bool dirty;               /*!< Lock. In the list of changed ones. */
	bool gone;                /*!< Lock. */
	struct follower *next_dirty;
	unsigned count;           /*!< Of targets. Atomic. */

	/* The thread's. */
	targets_t targets;
	uint32_t targets_id;      /*!< Of the upstream that they are wanted of. */
	size_t pos;               /*!< Of the next target to be asked for. */
	struct follower *next_busy;
	bool busy;                /*!< There are targets to be asked for. */
} follower_t;

static struct {
	pthread_mutex_t lock;     /*!< Of what says so; never held while waiting. */
	void *followers;          /*!< Lock. By zone. */
	follower_t *dirty;        /*!< Lock. */

	/* The thread's. */
	cache_t *cache;
	ahead_find_f find;
	cache_entry_t *waiting, *waiting_last; /*!< In use, and due to be asked for again. */
	follower_t *busy, *busy_last;
} state = { .lock = PTHREAD_MUTEX_INITIALIZER };

/*! What is asked for of a target. */
enum { AHEAD_TYPES = 2 };
static const uint16_t ahead_types[AHEAD_TYPES] = { KNOT_RRTYPE_A, KNOT_RRTYPE_AAAA };

void ahead_begin(cache_t *cache, ahead_find_f find)
{
	state.cache = cache;
	state.find = find;
}

void ahead_end(void)
{
	/* Entries that waited for their turn are no look-ups yet. */
	state.waiting = state.waiting_last = NULL;
	assert(state.busy == NULL && state.dirty == NULL);
	state.cache = NULL;
}

/* -- followers -------------------------------------------------------------------------------------------------------- */

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
static int follow(zone_t *zone, uint32_t id, unsigned max, void *owner, void **ret_before, bool *ret_changed)
{
	follower_t *follower = follower_get(zone);
	if (follower == NULL) {
		return KNOT_ENOMEM;
	}
	*ret_before = follower->owner;
	*ret_changed = follower->owner != owner || follower->max != max;
	follower->owner = owner;
	follower->id = id;
	follower->max = max;
	if (*ret_changed) {
		mark_dirty(follower);
	}
	return KNOT_EOK;
}

int ahead_follow(zone_t *zone, uint32_t id, unsigned max, void *owner, void **ret_before, bool *ret_changed)
{
	pthread_mutex_lock(&state.lock);
	int ret = follow(zone, id, max, owner, ret_before, ret_changed);
	pthread_mutex_unlock(&state.lock);
	return ret;
}

bool ahead_unfollow(zone_t *zone, void **ret_before)
{
	pthread_mutex_lock(&state.lock);
	follower_t *follower = follower_find(zone);
	if (follower != NULL) {
		*ret_before = follower->owner;
		tdelete(follower, &state.followers, compare_zones);
		follower->gone = true;
		follower->owner = NULL;
		mark_dirty(follower);
	}
	pthread_mutex_unlock(&state.lock);
	return follower != NULL;
}

bool ahead_targets(zone_t *zone, unsigned *ret_count)
{
	pthread_mutex_lock(&state.lock);
	const follower_t *follower = follower_find(zone);
	const bool follows = follower != NULL && follower->owner != NULL;
	if (follows) {
		*ret_count = __atomic_load_n(&follower->count, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&state.lock);
	return follows;
}

bool ahead_published(zone_t *zone)
{
	pthread_mutex_lock(&state.lock);
	follower_t *follower = follower_find(zone);
	if (follower != NULL) {
		mark_dirty(follower);
	}
	pthread_mutex_unlock(&state.lock);
	return follower != NULL;
}

typedef struct {
	uint32_t id;
	zone_t *zone;
} zone_search_t;

static void zone_of_one(const void *node, VISIT which, void *ctx)
{
	zone_search_t *search = ctx;
	const follower_t *follower = *(follower_t *const *)node;
	if (search->zone == NULL && (which == postorder || which == leaf) && follower->id == search->id) {
		search->zone = follower->zone;
	}
}

zone_t *ahead_zone_of(uint32_t id)
{
	zone_search_t search = { .id = id };
	pthread_mutex_lock(&state.lock);
	twalk_r(state.followers, zone_of_one, &search);
	zone_t *zone = search.zone != NULL ? zone_hold(search.zone) : NULL;
	pthread_mutex_unlock(&state.lock);
	return zone;
}

/* -- targets ---------------------------------------------------------------------------------------------------------- */

/*! Counts the targets as wanted, or not any more. */
static void want_targets(const targets_t *targets, uint32_t id, bool wanted)
{
	const uint8_t *name;
	uint8_t len;
	for (size_t pos = 0; pos < targets->size; ) {
		pos = targets_next(targets, pos, &name, &len);
		for (unsigned i = 0; i < AHEAD_TYPES; i++) {
			cache_entry_t *entry = wanted ? cache_get(state.cache, id, name, len, ahead_types[i])
			                              : cache_find(state.cache, id, name, len, ahead_types[i]);
			if (entry != NULL) {
				(wanted ? cache_want : cache_unwant)(state.cache, entry);
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

static void set_targets(follower_t *follower, targets_t *targets, uint32_t id)
{
	want_targets(targets, id, true);
	want_targets(&follower->targets, follower->targets_id, false);
	targets_clear(&follower->targets);
	busy_remove(follower);
	follower->targets = *targets;
	__atomic_store_n(&follower->count, targets->count, __ATOMIC_RELAXED);
	follower->targets_id = id;
	busy_add(follower);
}

/*! Is it for others to answer? In a zone of ours, what is below its cuts. */
static bool is_foreign(const uint8_t *name, size_t len)
{
	rcu_read_lock();
	const zone_t *zone = directory_find(name, len, false);
	const snapshot_t *snapshot = zone != NULL ? zone_borrow(zone) : NULL;
	const bool foreign = zone == NULL || (snapshot != NULL && targets_is_delegated(snapshot, name, len));
	rcu_read_unlock();
	return foreign;
}

static int collect(const zone_t *zone, unsigned max, targets_t *targets)
{
	rcu_read_lock();
	snapshot_t *snapshot = zone_borrow(zone);
	if (snapshot != NULL) {
		snapshot = snapshot_pin(snapshot);
	}
	rcu_read_unlock();
	int ret = snapshot != NULL ? targets_collect(snapshot, max, is_foreign, targets) : KNOT_EOK;
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

/*! A version, or an upstream. */
static void follower_update(follower_t *follower, uint32_t id, unsigned max)
{
	targets_t targets = { 0 };
	if (collect(follower->zone, max, &targets) == KNOT_EOK) {
		set_targets(follower, &targets, id);
	}
}

static follower_t *take_dirty(uint32_t *ret_id, unsigned *ret_max, bool *ret_gone)
{
	pthread_mutex_lock(&state.lock);
	follower_t *follower = state.dirty;
	if (follower != NULL) {
		state.dirty = follower->next_dirty;
		follower->dirty = false;
		*ret_id = follower->id;
		*ret_max = follower->max;
		*ret_gone = follower->gone;
	}
	pthread_mutex_unlock(&state.lock);
	return follower;
}

void ahead_take(void)
{
	uint32_t id;
	unsigned max;
	bool gone;
	for (follower_t *follower = take_dirty(&id, &max, &gone); follower != NULL; follower = take_dirty(&id, &max, &gone)) {
		if (gone) {
			follower_free(follower);
		} else {
			follower_update(follower, id, max);
		}
	}
}

static void restart_one(const void *node, VISIT which, void *ctx)
{
	const uint32_t *id = ctx;
	follower_t *follower = *(follower_t *const *)node;
	if ((which == postorder || which == leaf) && follower->targets_id == *id) {
		busy_add(follower);
	}
}

void ahead_restart(uint32_t id)
{
	pthread_mutex_lock(&state.lock);
	twalk_r(state.followers, restart_one, &id);
	pthread_mutex_unlock(&state.lock);
}

/* -- asking ----------------------------------------------------------------------------------------------------------- */

/*! Has \a entry asked for when its turn comes. */
static void waiting_add(cache_entry_t *entry)
{
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
	lookup_via_t *via = state.find(entry->upstream);
	if (via != NULL) {
		lookup_start(via, entry, true);
	} else {
		cache_schedule(state.cache, entry, cache_now());
	}
}

/*! Asks for what is in use or wanted, forgets what is of no use any more. */
static void on_due(cache_entry_t *entry, void *ctx)
{
	(void)ctx;
	if (entry->lookup != NULL || entry->waiting) {
		return;
	}
	const uint32_t now = cache_now();
	const reply_t *reply = cache_reply(entry);
	const bool pausing = (int32_t)(now - entry->ask_at) < 0;
	if (state.find(entry->upstream) == NULL) {
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

void ahead_due(uint32_t now)
{
	cache_due(state.cache, now, on_due, NULL);
}

/*! The entry of a target; one that had to go for lack of room is made again, wanted by this zone at least. */
static cache_entry_t *wanted_get(uint32_t id, const uint8_t *name, uint8_t len, uint16_t type)
{
	cache_entry_t *entry = cache_get(state.cache, id, name, len, type);
	if (entry != NULL && entry->wanted == 0) {
		cache_want(state.cache, entry);
	}
	return entry;
}

/*! Asks for the next target of a zone, and has the next zone's turn come. */
static void ask_next(follower_t *follower)
{
	lookup_via_t *via = state.find(follower->targets_id);
	const uint8_t *name;
	uint8_t len;
	state.busy = follower->next_busy;
	follower->busy = false;
	if (via == NULL) {
		return;
	}
	const size_t next = targets_next(&follower->targets, follower->pos, &name, &len);
	const uint32_t now = cache_now();
	for (unsigned i = 0; i < AHEAD_TYPES; i++) {
		cache_entry_t *entry = wanted_get(via->id, name, len, ahead_types[i]);
		const reply_t *reply = entry != NULL ? cache_reply(entry) : NULL;
		const bool fresh = reply != NULL && cache_is_fresh(reply, now);
		if (entry != NULL && !fresh && (int32_t)(now - entry->ask_at) >= 0) {
			lookup_start(via, entry, true);
		}
	}
	if (next < follower->targets.size) {
		busy_add(follower);
		follower->pos = next;
	}
}

void ahead_ask(void)
{
	while (state.waiting != NULL && lookups_ahead() < AHEAD_MAX) {
		ask_waiting();
	}
	while (state.busy != NULL && lookups_ahead() + AHEAD_TYPES <= AHEAD_MAX) {
		ask_next(state.busy);
	}
}
