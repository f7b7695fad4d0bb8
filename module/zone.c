/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Zones, the process-wide registry, and publishing.
 */
#include "secondary/zone.h"

#include <assert.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/errcode.h>

/*!
 * The balanced tree of libc. Its keys are the names inside the zones, so that a name can be searched for without a zone
 * around it. Hooks never come here, so one lock does.
 */
static struct {
	pthread_mutex_t lock;
	void *root;
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

/*! Atomic. */
static zone_observer_f observer;

static int compare(const void *a, const void *b)
{
	return knot_dname_cmp(a, b);
}

/*! From what the tree keeps to the zone. */
static zone_t *zone_of(const void *node)
{
	const uint8_t *name = *(const uint8_t *const *)node;
	return (zone_t *)(name - offsetof(zone_t, name));
}

static zone_t *registry_find(const knot_dname_t *name)
{
	knot_dname_storage_t lower;
	knot_dname_copy_lower(lower, name);
	void *node = tfind(lower, &registry.root, compare);
	return node != NULL ? zone_of(node) : NULL;
}

static zone_t *zone_new(const knot_dname_t *name)
{
	size_t len = knot_dname_size(name);
	zone_t *zone = calloc(1, sizeof(*zone) + len);
	if (zone == NULL) {
		return NULL;
	}
	zone->answers = counters_take_line();
	zone->name_len = len;
	knot_dname_copy_lower(zone->name, name);
	return zone;
}

/*! Makes the zone \a name, held by the registry; NULL: no memory. */
static zone_t *registry_add(const knot_dname_t *name)
{
	zone_t *zone = zone_new(name);
	if (zone == NULL) {
		return NULL;
	}
	if (tsearch(zone->name, &registry.root, compare) == NULL) {
		counters_give_line(zone->answers);
		free(zone);
		return NULL;
	}
	return zone_hold(zone);
}

/*! zone_attach() under the lock. */
static zone_t *registry_attach(const knot_dname_t *name, zone_holder_t *holder)
{
	zone_t *zone = registry_find(name);
	if (zone == NULL) {
		zone = registry_add(name);
	}
	if (zone == NULL) {
		return NULL;
	}
	holder->next = zone->holders;
	zone->holders = holder;
	return zone_hold(zone);
}

int zone_attach(const knot_dname_t *name, struct instance *instance, zone_t **ret_zone)
{
	zone_holder_t *holder = malloc(sizeof(*holder));
	if (holder == NULL) {
		return KNOT_ENOMEM;
	}
	holder->instance = instance;

	pthread_mutex_lock(&registry.lock);
	zone_t *zone = registry_attach(name, holder);
	pthread_mutex_unlock(&registry.lock);
	if (zone == NULL) {
		free(holder);
		return KNOT_ENOMEM;
	}

	*ret_zone = zone;
	return KNOT_EOK;
}

/*! Takes the newest hold of \a instance off the list; it is there. */
static zone_holder_t *holder_unlink(zone_t *zone, const struct instance *instance)
{
	zone_holder_t **link = &zone->holders;
	while ((*link)->instance != instance) {
		link = &(*link)->next;
		assert(*link != NULL);
	}
	zone_holder_t *holder = *link;
	*link = holder->next;
	return holder;
}

bool zone_detach(zone_t *zone, struct instance *instance)
{
	pthread_mutex_lock(&registry.lock);
	zone_holder_t *holder = holder_unlink(zone, instance);
	bool last = zone->holders == NULL;
	if (last) {
		tdelete(zone->name, &registry.root, compare);
	}
	pthread_mutex_unlock(&registry.lock);

	free(holder);
	if (last) {
		zone_release(zone); /* The registry's hold; the caller has one still. */
	}
	return last;
}

zone_t *zone_find(const knot_dname_t *name)
{
	pthread_mutex_lock(&registry.lock);
	zone_t *zone = registry_find(name);
	if (zone != NULL) {
		zone_hold(zone);
	}
	pthread_mutex_unlock(&registry.lock);
	return zone;
}

typedef struct {
	int (*visit)(zone_t *zone, void *ctx);
	void *ctx;
	int ret;
} walk_t;

static void walk_node(const void *node, VISIT which, void *closure)
{
	walk_t *walk = closure;
	/* twalk_r() cannot be left early. */
	if (walk->ret == 0 && (which == postorder || which == leaf)) {
		walk->ret = walk->visit(zone_of(node), walk->ctx);
	}
}

int zone_walk(int (*visit)(zone_t *zone, void *ctx), void *ctx)
{
	walk_t walk = { .visit = visit, .ctx = ctx };
	pthread_mutex_lock(&registry.lock);
	twalk_r(registry.root, walk_node, &walk); /* libc calls the visit between both children "postorder". */
	pthread_mutex_unlock(&registry.lock);
	return walk.ret;
}

bool zone_with_instance(const zone_t *zone, void (*visit)(struct instance *instance, void *ctx), void *ctx)
{
	pthread_mutex_lock(&registry.lock);
	bool found = zone->holders != NULL;
	if (found) {
		visit(zone->holders->instance, ctx);
	}
	pthread_mutex_unlock(&registry.lock);
	return found;
}

zone_t *zone_hold(zone_t *zone)
{
	__atomic_add_fetch(&zone->refs, 1, __ATOMIC_RELAXED);
	return zone;
}

static void zone_free(zone_t *zone)
{
	assert(zone->holders == NULL);
	/* Nobody can borrow through this zone any more: the publisher's reference needs no grace period of its own. */
	snapshot_unpin(zone->current);
	history_clear(&zone->history);
	counters_give_line(zone->answers);
	free(zone->agent);
	free(zone);
}

static void zone_free_rcu(struct rcu_head *head)
{
	zone_free(caa_container_of(head, zone_t, rcu));
}

void zone_release(zone_t *zone)
{
	if (zone == NULL || __atomic_sub_fetch(&zone->refs, 1, __ATOMIC_ACQ_REL) > 0) {
		return;
	}
	if (zone->agent == NULL) {
		zone_free(zone); /* Its load() failed: no hook ever saw it, and the thread may not be registered with RCU. */
		return;
	}
	call_rcu(&zone->rcu, zone_free_rcu);
}

/*! Exchanges what serves; returns the version before with the publisher's reference. */
static snapshot_t *exchange(zone_t *zone, snapshot_t *snapshot, int64_t expired_at)
{
	/* The reason comes before the pointer goes, and goes after it has come: who finds no version can say why. */
	if (snapshot == NULL) {
		__atomic_store_n(&zone->expired_at, expired_at, __ATOMIC_RELEASE);
	}
	snapshot_t *old = rcu_xchg_pointer(&zone->current, snapshot); /* PUBLISH */
	if (snapshot != NULL) {
		__atomic_store_n(&zone->expired_at, 0, __ATOMIC_RELEASE);
	}
	return old;
}

void zone_publish(zone_t *zone, snapshot_t *snapshot, int64_t expired_at)
{
	assert(snapshot == NULL || expired_at == 0);
	if (snapshot != NULL) {
		snapshot_commit(snapshot);
	}
	snapshot_retire(exchange(zone, snapshot, expired_at));
	const zone_observer_f told = __atomic_load_n(&observer, __ATOMIC_ACQUIRE);
	if (snapshot != NULL && told != NULL) {
		told(zone);
	}
}

void zone_replace(zone_t *zone, snapshot_t *snapshot)
{
	assert(snapshot != NULL);
	snapshot_commit(snapshot);
	snapshot_retire(exchange(zone, snapshot, 0));
}

void zone_set_observer(zone_observer_f new_observer)
{
	__atomic_store_n(&observer, new_observer, __ATOMIC_RELEASE);
}

snapshot_t *zone_expire(zone_t *zone, int64_t at)
{
	return exchange(zone, NULL, at);
}

char *zone_name(const zone_t *zone, char dst[static KNOT_DNAME_TXT_MAXLEN + 1])
{
	return knot_dname_to_str(dst, zone->name, KNOT_DNAME_TXT_MAXLEN + 1);
}
