/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What one module stanza of knot.conf says.
 */
#include "secondary/stanza.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/dname.h>

#include "secondary/address.h"

/*! A configuration has a handful of different stanzas, so a list is searched; only load() and unload() do. */
static struct {
	pthread_mutex_t lock;
	stanza_t *first;
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void stanza_free(stanza_t *stanza)
{
	for (unsigned i = 0; i < stanza->primary_count; i++) {
		knot_tsig_key_deinit(&stanza->primary[i].key); /* Wipes the secret. */
	}
	for (unsigned i = 0; i < stanza->target_count; i++) {
		knot_tsig_key_deinit(&stanza->target[i].key);
	}
	free(stanza->store);
	free(stanza);
}

stanza_t *stanza_new(unsigned primaries, unsigned targets)
{
	assert(primaries <= STANZA_PRIMARIES_MAX && targets <= STANZA_TARGETS_MAX);
	stanza_t *stanza = calloc(1, sizeof(*stanza) + (primaries + targets) * sizeof(primary_t));
	if (stanza == NULL) {
		return NULL;
	}
	stanza->refs = 1;
	stanza->primary_count = primaries;
	stanza->target_count = targets;
	stanza->target = stanza->primary + primaries;
	return stanza;
}

static bool key_equal(const knot_tsig_key_t *a, const knot_tsig_key_t *b)
{
	if (a->name == NULL || b->name == NULL) {
		return a->name == b->name;
	}
	return a->algorithm == b->algorithm && knot_dname_is_equal(a->name, b->name) &&
	       a->secret.size == b->secret.size &&
	       memcmp(a->secret.data, b->secret.data, a->secret.size) == 0;
}

static bool via_equal(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family == AF_UNSPEC || b->ss_family == AF_UNSPEC) {
		return a->ss_family == b->ss_family;
	}
	return address_equal(a, b);
}

bool primary_equal(const primary_t *a, const primary_t *b)
{
	return address_equal(&a->addr, &b->addr) && via_equal(&a->via, &b->via) && key_equal(&a->key, &b->key) &&
	       a->no_edns == b->no_edns;
}

static bool list_equal(const primary_t *a, unsigned a_count, const primary_t *b, unsigned b_count)
{
	if (a_count != b_count) {
		return false;
	}
	for (unsigned i = 0; i < a_count; i++) {
		if (!primary_equal(&a[i], &b[i])) {
			return false;
		}
	}
	return true;
}

bool stanza_primaries_equal(const stanza_t *a, const stanza_t *b)
{
	return list_equal(a->primary, a->primary_count, b->primary, b->primary_count);
}

static bool clamp_equal(clamp_t a, clamp_t b)
{
	return a.min == b.min && a.max == b.max;
}

static bool path_equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool stanza_equal(const stanza_t *a, const stanza_t *b)
{
	return a->refresh_jitter_ms == b->refresh_jitter_ms && a->retry_jitter_ms == b->retry_jitter_ms &&
	       clamp_equal(a->refresh, b->refresh) && clamp_equal(a->retry, b->retry) &&
	       clamp_equal(a->expire, b->expire) && a->zone_max_size == b->zone_max_size &&
	       a->difference_max_size == b->difference_max_size &&
	       a->zone_shrink_limit == b->zone_shrink_limit && a->zonemd_verify == b->zonemd_verify &&
	       path_equal(a->store, b->store) &&
	       a->transfer_timeout_ms == b->transfer_timeout_ms &&
	       a->transfer_idle_timeout_ms == b->transfer_idle_timeout_ms && stanza_primaries_equal(a, b) &&
	       list_equal(a->target, a->target_count, b->target, b->target_count);
}

/*! The interned stanza that equals \a stanza, or NULL. */
static stanza_t *table_find(const stanza_t *stanza)
{
	stanza_t *known = table.first;
	while (known != NULL && !stanza_equal(known, stanza)) {
		known = known->next;
	}
	return known;
}

stanza_t *stanza_intern(stanza_t *stanza)
{
	pthread_mutex_lock(&table.lock);
	stanza_t *known = table_find(stanza);
	if (known != NULL) {
		stanza_hold(known);
	} else {
		stanza->next = table.first;
		table.first = stanza;
	}
	pthread_mutex_unlock(&table.lock);

	if (known == NULL) {
		return stanza;
	}
	stanza_free(stanza);
	return known;
}

stanza_t *stanza_hold(stanza_t *stanza)
{
	__atomic_add_fetch(&stanza->refs, 1, __ATOMIC_RELAXED);
	return stanza;
}

/*! Takes \a stanza out of the table, if it ever was interned. */
static void table_remove(const stanza_t *stanza)
{
	for (stanza_t **link = &table.first; *link != NULL; link = &(*link)->next) {
		if (*link == stanza) {
			*link = stanza->next;
			return;
		}
	}
}

void stanza_release(stanza_t *stanza)
{
	if (stanza == NULL) {
		return;
	}

	/* Under the lock, or stanza_intern() could find one that is about to be freed. */
	pthread_mutex_lock(&table.lock);
	bool last = __atomic_sub_fetch(&stanza->refs, 1, __ATOMIC_ACQ_REL) == 0;
	if (last) {
		table_remove(stanza);
	}
	pthread_mutex_unlock(&table.lock);

	if (last) {
		stanza_free(stanza);
	}
}
