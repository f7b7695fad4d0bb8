/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Which of all our zones has a name (directory.h).
 */
#include "secondary/directory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/errcode.h>

#include "secondary/wire.h"

/*! The least table: 1 KiB, enough for 32 zones. */
#define SLOTS_MIN   64
#define LABELS_MAX  128

typedef struct {
	zone_t *zone;             /*!< RCU; NULL: empty. */
	uint32_t hash;            /*!< Set before the zone, and for good. */
} slot_t;

typedef struct {
	struct rcu_head rcu;
	size_t mask;              /*!< Slots less one. */
	size_t used;              /*!< Slots that are not empty, dead ones included. The writer's. */
	slot_t slot[];
} table_t;

static table_t *published;        /*!< RCU; NULL: no zones. */
static size_t zones;              /*!< In the table. The writer's. */
static zone_t dead;               /*!< What a slot has after its zone. */

/*! Hashes go from the root to the first label, so one pass gives those of all suffixes. FNV-1a. */
#define HASH_BEGIN  2166136261u

static inline uint32_t hash_octet(uint32_t hash, uint8_t octet)
{
	return (hash ^ octet) * 16777619u;
}

static uint32_t hash_name(const uint8_t *name, size_t len)
{
	uint32_t hash = HASH_BEGIN;
	while (len > 0) {
		hash = hash_octet(hash, name[--len]);
	}
	return hash;
}

/*! The low bits of FNV-1a depend on the low bits of the octets only. */
static inline size_t slot_first(const table_t *table, uint32_t hash)
{
	return (hash ^ hash >> 15) & table->mask;
}

/* -- writing ---------------------------------------------------------------------------------------------------------- */

static table_t *table_new(size_t slots)
{
	table_t *table = calloc(1, sizeof(*table) + slots * sizeof(table->slot[0]));
	if (table != NULL) {
		table->mask = slots - 1;
	}
	return table;
}

static void table_free_rcu(struct rcu_head *head)
{
	free(caa_container_of(head, table_t, rcu));
}

static void table_publish(table_t *table)
{
	table_t *old = rcu_xchg_pointer(&published, table); /* PUBLISH */
	if (old != NULL) {
		call_rcu(&old->rcu, table_free_rcu);
	}
}

static void table_put(table_t *table, zone_t *zone, uint32_t hash)
{
	size_t i = slot_first(table, hash);
	while (table->slot[i].zone != NULL) {
		i = (i + 1) & table->mask;
	}
	table->slot[i].hash = hash;
	table->used++;
	rcu_assign_pointer(table->slot[i].zone, zone); /* PUBLISH */
}

/*! A table with the zones of the present one and room for as many again. */
static table_t *table_renew(const table_t *old)
{
	size_t slots = SLOTS_MIN;
	while (slots < 4 * zones) {
		slots *= 2;
	}
	table_t *table = table_new(slots);
	for (size_t i = 0; table != NULL && old != NULL && i <= old->mask; i++) {
		const slot_t *slot = &old->slot[i];
		if (slot->zone != NULL && slot->zone != &dead) {
			table_put(table, slot->zone, slot->hash);
		}
	}
	return table;
}

int directory_add(zone_t *zone)
{
	table_t *table = published;
	if (table == NULL || 2 * (table->used + 1) > table->mask + 1) {
		table = table_renew(table);
		if (table == NULL) {
			return KNOT_ENOMEM;
		}
		table_publish(table);
	}
	table_put(table, zone, hash_name(zone->name, zone->name_len));
	zones++;
	return KNOT_EOK;
}

void directory_remove(zone_t *zone)
{
	table_t *table = published;
	if (table == NULL) {
		return;
	}
	for (size_t i = slot_first(table, hash_name(zone->name, zone->name_len)); table->slot[i].zone != NULL; i = (i + 1) & table->mask) {
		if (table->slot[i].zone == zone) {
			rcu_assign_pointer(table->slot[i].zone, &dead); /* PUBLISH */
			zones--;
			break;
		}
	}
	if (zones == 0) {
		table_publish(NULL);
	}
}

/* -- reading ---------------------------------------------------------------------------------------------------------- */

static zone_t *table_find(const table_t *table, const uint8_t *name, size_t len, uint32_t hash)
{
	for (size_t i = slot_first(table, hash); ; i = (i + 1) & table->mask) {
		zone_t *zone = rcu_dereference(((table_t *)table)->slot[i].zone);
		if (zone == NULL) {
			return NULL;
		}
		if (zone != &dead && table->slot[i].hash == hash && zone->name_len == len && memcmp(zone->name, name, len) == 0) {
			return zone;
		}
	}
}

zone_t *directory_find(const uint8_t *name, size_t len, bool above)
{
	assert(rcu_read_ongoing());

	const table_t *table = rcu_dereference(published);
	if (table == NULL) {
		return NULL;
	}

	uint8_t start[LABELS_MAX];
	unsigned labels = 0;
	for (size_t pos = 0; name[pos] != 0; pos += 1 + name[pos]) {
		start[labels++] = pos;
	}
	start[labels] = len - 1;

	/* From the root down: the last one found is the longest. */
	zone_t *found = NULL;
	uint32_t hash = HASH_BEGIN;
	size_t pos = len;
	for (int i = labels; i >= 0; i--) {
		while (pos > start[i]) {
			hash = hash_octet(hash, name[--pos]);
		}
		if (i == 0 && above && found != NULL) {
			break;
		}
		zone_t *zone = table_find(table, name + pos, len - pos, hash);
		found = zone != NULL ? zone : found;
	}
	return found;
}

bool directory_has(const uint8_t *name, size_t len)
{
	rcu_read_lock();
	const bool found = directory_find(name, len, false) != NULL;
	rcu_read_unlock();
	return found;
}
