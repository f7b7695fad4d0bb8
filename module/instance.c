/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Instances: which zones a stanza gets in its scope, and what becomes of them when it goes.
 */
#include "secondary/instance.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "secondary/qp_txn.h"
#include "secondary/settings.h"
#include "secondary/worker.h"
#include "settings_upstream.h"

/*! Lines about single zones of a list; two stanzas with the same list of 100,000 names have one mistake, not 100,000. */
#define COMPLAINTS_MAX 10

/*! Global instances, newest first. */
static struct {
	pthread_mutex_t lock;     /*!< Taken before the registry's, never inside it. */
	instance_t *first;
	unsigned round;           /*!< The latest. */
	unsigned due;             /*!< Instances that are still to be loaded in it. */
} globals = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* -- rounds of global instances --------------------------------------------------------------------------------------- */

/*! Counts one load of the global scope and returns its round; \a named: how many `global-module` has. */
static unsigned round_enter(unsigned named)
{
	pthread_mutex_lock(&globals.lock);
	if (globals.due == 0) {
		globals.round++;
		globals.due = named > 0 ? named : 1;
	}
	globals.due--;
	unsigned round = globals.round;
	pthread_mutex_unlock(&globals.lock);
	return round;
}

static bool round_in_force(knotd_mod_t *mod, unsigned round)
{
	pthread_mutex_lock(&globals.lock);
	bool latest = round == globals.round;
	pthread_mutex_unlock(&globals.lock);
	return latest && settings_global_count(mod) > 0;
}

static void globals_add(instance_t *instance)
{
	pthread_mutex_lock(&globals.lock);
	instance->next = globals.first;
	globals.first = instance;
	pthread_mutex_unlock(&globals.lock);
}

static void globals_remove(const instance_t *instance)
{
	pthread_mutex_lock(&globals.lock);
	instance_t **link = &globals.first;
	while (*link != NULL && *link != instance) {
		link = &(*link)->next;
	}
	if (*link != NULL) {
		*link = instance->next;
	}
	/* knotd unloads when a round is complete: one that it broke off for lack of memory ends here. */
	if (instance->is_loaded) {
		globals.due = 0;
	}
	pthread_mutex_unlock(&globals.lock);
}

bool instance_with_global(void (*visit)(instance_t *instance, void *ctx), void *ctx)
{
	pthread_mutex_lock(&globals.lock);
	bool found = globals.first != NULL;
	if (found) {
		visit(globals.first, ctx);
	}
	pthread_mutex_unlock(&globals.lock);
	return found;
}

/* -- who holds a zone ------------------------------------------------------------------------------------------------- */

typedef enum {
	HELD_BY_NOBODY,
	HELD_BY_PREDECESSOR,      /*!< By an instance that knotd will unload. */
	HELD_BY_RIVAL,            /*!< By another stanza or scope of the same configuration. */
	HELD_BY_SELF,             /*!< The name was in the list before. */
} held_t;

/*! What the registry's lock lets us see of the newest holder. */
typedef struct {
	const instance_t *newcomer;
	held_t held;
	unsigned round;           /*!< Not 0: the holder is global, of this round. */
	stanza_t *stanza;         /*!< The holder's, held. */
} holder_view_t;

static void holder_view(instance_t *holder, void *ctx)
{
	holder_view_t *view = ctx;
	const instance_t *newcomer = view->newcomer;

	view->held = HELD_BY_PREDECESSOR;
	view->stanza = stanza_hold(holder->stanza);
	if (holder == newcomer) {
		view->held = HELD_BY_SELF;
	} else if (holder->global) {
		view->round = holder->round;
	} else if (newcomer->global) {
		return;
	} else if (holder->name_copy == newcomer->name_copy) {
		view->held = HELD_BY_RIVAL;
	} else {
		holder->superseded = true;
	}
}

/*! \param ret_stanza  The predecessor's, held, or NULL. */
static held_t held_by(const instance_t *newcomer, const knot_dname_t *name, stanza_t **ret_stanza)
{
	holder_view_t view = { .newcomer = newcomer, .held = HELD_BY_NOBODY };
	zone_t *zone = zone_find(name);
	if (zone != NULL) {
		(void)zone_with_instance(zone, holder_view, &view);
		zone_release(zone);
	}

	if (view.round > 0) {
		bool rival = newcomer->global ? view.round == newcomer->round
		                              : round_in_force(newcomer->mod, view.round);
		view.held = rival ? HELD_BY_RIVAL : HELD_BY_PREDECESSOR;
	}
	if (view.held != HELD_BY_PREDECESSOR) {
		stanza_release(view.stanza);
		view.stanza = NULL;
	}
	*ret_stanza = view.stanza;
	return view.held;
}

/*! Lets go of a zone that \a instance is attached to. */
static void zone_drop(instance_t *instance, zone_t *zone)
{
	if (zone_detach(zone, instance)) {
		upstream_zone_gone(zone);
		worker_zone_gone(zone);
	} else {
		zone_release(zone);
	}
}

/* -- zone scope ------------------------------------------------------------------------------------------------------- */

/*!
 * A zone with a mistake in its configuration goes on with the settings that it has, if it is served at all: the registry
 * outlives a bad edit. Takes \a stanza, its predecessor's (NULL: nobody serves it, the instance stays inert).
 */
static int zone_inherit(instance_t *instance, const knot_dname_t *name, stanza_t *stanza)
{
	instance->stanza = stanza;
	return stanza != NULL ? zone_attach(name, instance, &instance->zone) : KNOT_EOK;
}

static int zone_take(instance_t *instance, const knot_dname_t *name)
{
	int ret = zone_attach(name, instance, &instance->zone);
	if (ret != KNOT_EOK) {
		return ret;
	}
	ret = upstream_zone_set(instance->zone, instance->foreign.upstream, instance->foreign.ahead);
	return ret == KNOT_EOK ? worker_zone_set(instance->zone, stanza_hold(instance->stanza)) : ret;
}

/*! May this zone be ours? Logs what is against it. */
static bool zone_is_sound(knotd_mod_t *mod, const knot_dname_t *name)
{
	const char *demand;
	const char *item = settings_zone_conflict(mod, name, &demand);
	if (item != NULL) {
		knot_dname_txt_storage_t text;
		knotd_mod_log(mod, LOG_ERR, "item '%s', zone '%s', %s for a zone of this module", item,
		              knot_dname_to_str(text, name, sizeof(text)), demand);
	}
	return item == NULL;
}

static int load_zone_scope(instance_t *instance)
{
	knotd_mod_t *mod = instance->mod;
	const knot_dname_t *name = knotd_mod_zone(mod);
	knot_dname_txt_storage_t text;
	(void)knot_dname_to_str(text, name, sizeof(text));

	const char *list = settings_zones_item(mod);
	if (list != NULL) {
		knotd_mod_log(mod, LOG_ERR, "item '%s', zone '%s', ignored in zone scope", list, text);
	}
	stanza_t *predecessors;
	if (held_by(instance, name, &predecessors) == HELD_BY_RIVAL) {
		knotd_mod_log(mod, LOG_ERR, "item 'module', zone '%s', held by another stanza or scope already", text);
		return KNOT_EOK;
	}

	int ret = KNOT_ENOENT;
	if (zone_is_sound(mod, name)) {
		ret = settings_stanza(mod, &instance->stanza);
		if (ret == KNOT_ENOENT) {
			knotd_mod_log(mod, LOG_ERR, "item 'transfer-from', zone '%s', no usable address", text);
		}
	}
	if (ret == KNOT_ENOENT) {
		return zone_inherit(instance, name, predecessors);
	}
	stanza_release(predecessors);
	return ret == KNOT_EOK ? zone_take(instance, name) : ret;
}

/* -- global scope ----------------------------------------------------------------------------------------------------- */

/*! Taking the names of a list, one by one. */
typedef struct {
	instance_t *instance;
	const char *item;
	size_t capacity;
	unsigned complaints;
} list_t;

static void list_complain(list_t *list, int priority, const knot_dname_t *name, const char *what)
{
	if (list->complaints++ < COMPLAINTS_MAX) {
		knot_dname_txt_storage_t text;
		knotd_mod_log(list->instance->mod, priority, "item '%s', zone '%s', %s", list->item,
		              knot_dname_to_str(text, name, sizeof(text)), what);
	}
}

static int list_reserve(list_t *list)
{
	instance_t *instance = list->instance;
	if (instance->count < list->capacity) {
		return KNOT_EOK;
	}
	size_t capacity = list->capacity > 0 ? 2 * list->capacity : 16;
	zone_t **grown = realloc(instance->list, capacity * sizeof(*grown));
	if (grown == NULL) {
		return KNOT_ENOMEM;
	}
	instance->list = grown;
	list->capacity = capacity;
	return KNOT_EOK;
}

static int list_take(const knot_dname_t *name, void *ctx)
{
	list_t *list = ctx;
	instance_t *instance = list->instance;
	stanza_t *predecessors;
	held_t held = held_by(instance, name, &predecessors);
	stanza_release(predecessors);
	if (held == HELD_BY_SELF) {
		return KNOT_EOK;
	}
	if (held == HELD_BY_RIVAL) {
		list_complain(list, LOG_ERR, name, "held by another stanza already");
		return KNOT_EOK;
	}
	if (settings_zone_section(instance->mod, name)) {
		list_complain(list, LOG_WARNING, name, "answered by this module although it has a 'zone' section");
	}

	int ret = list_reserve(list);
	if (ret == KNOT_EOK) {
		ret = zone_attach(name, instance, &instance->list[instance->count]);
	}
	if (ret == KNOT_EOK) {
		instance->count++;
	}
	return ret;
}

/*! Octets of the relative name at the head of an object, and where its zone follows. */
static size_t object_zone_offset(size_t name_len)
{
	return (1 + name_len + sizeof(zone_t *) - 1) / sizeof(zone_t *) * sizeof(zone_t *);
}

static int trie_put(qp_txn_t *txn, zone_t *zone)
{
	size_t len = zone->name_len - 1; /* The root label is not part of a relative name. */
	size_t offset = object_zone_offset(len);
	arena_ref_t ref;
	int ret = arena_alloc(txn->arena, offset + sizeof(zone), &ref);
	if (ret != KNOT_EOK) {
		return ret;
	}

	uint8_t *object = arena_ptr(txn->arena, ref);
	object[0] = len;
	memcpy(object + 1, zone->name, len);
	memcpy(object + offset, &zone, sizeof(zone)); /* The arena aligns to 4 only. */
	return qp_txn_put(txn, ref, 0, NULL);
}

static int trie_build(instance_t *instance)
{
	instance->arena = arena_new(instance->count * 64);
	if (instance->arena == NULL) {
		return KNOT_ENOMEM;
	}

	scrap_list_t scrap = { 0 }; /* Stays empty: nothing is sealed before the end. */
	qp_txn_t txn;
	qp_txn_begin(&txn, instance->arena, NULL, &scrap);
	int ret = KNOT_EOK;
	for (size_t i = 0; i < instance->count && ret == KNOT_EOK; i++) {
		ret = trie_put(&txn, instance->list[i]);
	}
	if (ret == KNOT_EOK) {
		ret = qp_txn_settle(&txn);
	}
	if (ret == KNOT_EOK) {
		qp_txn_commit(&txn, &instance->zones);
		arena_seal(instance->arena);
		arena_trim(instance->arena);
		instance->zones.base = arena_base(instance->arena);
	} else {
		qp_txn_clear(&txn);
	}
	scrap_clear(&scrap);
	return ret;
}

static int list_hand_over(instance_t *instance)
{
	int ret = KNOT_EOK;
	for (size_t i = 0; i < instance->count && ret == KNOT_EOK; i++) {
		ret = upstream_zone_set(instance->list[i], instance->foreign.upstream, instance->foreign.ahead);
		if (ret == KNOT_EOK) {
			ret = worker_zone_set(instance->list[i], stanza_hold(instance->stanza));
		}
	}
	return ret;
}

/*! Reads and attaches. A list that cannot be read to its end has been logged: what was read is served. */
static int list_read(instance_t *instance, const char *item)
{
	list_t list = { .instance = instance, .item = item };
	int ret = settings_zones(instance->mod, list_take, &list);
	if (list.complaints > COMPLAINTS_MAX) {
		knotd_mod_log(instance->mod, LOG_ERR, "item '%s', the same for %u more zones", item,
		              list.complaints - COMPLAINTS_MAX);
	}
	return ret == KNOT_ENOMEM ? ret : KNOT_EOK;
}

static int load_global_scope(instance_t *instance)
{
	knotd_mod_t *mod = instance->mod;
	instance->round = round_enter(settings_global_count(mod));
	globals_add(instance);

	const char *item = settings_zones_item(mod);
	if (item == NULL) {
		knotd_mod_log(mod, LOG_ERR, "item 'zones', neither it nor 'zones-file' is set in global scope");
		return KNOT_EOK;
	}
	int ret = settings_stanza(mod, &instance->stanza);
	if (ret == KNOT_ENOENT) {
		knotd_mod_log(mod, LOG_ERR, "item 'transfer-from', no usable address");
		return KNOT_EOK;
	}
	if (ret == KNOT_EOK) {
		ret = list_read(instance, item);
	}
	if (ret == KNOT_EOK) {
		ret = trie_build(instance);
	}
	return ret == KNOT_EOK ? list_hand_over(instance) : ret;
}

/* -- both ------------------------------------------------------------------------------------------------------------- */

int instance_new(knotd_mod_t *mod, instance_t **ret_instance)
{
	instance_t *instance = calloc(1, sizeof(*instance));
	if (instance == NULL) {
		return KNOT_ENOMEM;
	}
	instance->mod = mod;
	instance->name_copy = knotd_mod_zone(mod);
	instance->global = instance->name_copy == NULL;

	settings_upstream(mod, &instance->foreign);
	int ret = instance->global ? load_global_scope(instance) : load_zone_scope(instance);
	if (ret != KNOT_EOK) {
		instance_free(instance);
		return ret;
	}
	instance->is_loaded = true;
	*ret_instance = instance;
	return KNOT_EOK;
}

void instance_free(instance_t *instance)
{
	if (instance == NULL) {
		return;
	}
	if (instance->global) {
		globals_remove(instance);
	}
	if (instance->zone != NULL) {
		zone_drop(instance, instance->zone);
	}
	for (size_t i = 0; i < instance->count; i++) {
		zone_drop(instance, instance->list[i]);
	}
	upstream_release(instance->foreign.upstream);
	free(instance->list);
	arena_release(instance->arena);
	stanza_release(instance->stanza);
	free(instance);
}

static zone_t *leaf_zone(const qp_t *qp, arena_ref_t ref)
{
	const uint8_t *object = arena_at(qp->base, ref);
	zone_t *zone;
	memcpy(&zone, object + object_zone_offset(object[0]), sizeof(zone));
	return zone;
}

zone_t *instance_find_zone(const instance_t *instance, const knot_dname_t *qname, bool above)
{
	qp_key_t key;
	qp_path_t path;
	qp_key(&key, qname, knot_dname_size(qname) - 1);
	qp_find(&instance->zones, &key, &path);
	if (path.match.ref != 0 && !(above && path.count > 0)) {
		return leaf_zone(&instance->zones, path.match.ref);
	}
	return path.count > 0 ? leaf_zone(&instance->zones, path.ancestor[path.count - 1].ref) : NULL;
}
