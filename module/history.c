/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The difference sequences that are kept of a zone.
 */
#include "secondary/history.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include <libknot/errcode.h>

/*! What a walk reads is here, so that a step costs one cache line, not two. */
struct history_entry {
	struct rcu_head rcu;
	history_entry_t *older;   /*!< RCU. NULL: the oldest one. */
	history_entry_t *newer;   /*!< The writer's. NULL: the newest one. */
	difference_t *difference; /*!< Held. */
	uint32_t from, to;        /*!< Its serials. */
	size_t size;              /*!< Octets of its records. */
};

static size_t entry_memory(const history_entry_t *entry)
{
	return sizeof(*entry) + difference_memory(entry->difference);
}

static void entry_free(history_entry_t *entry)
{
	difference_release(entry->difference);
	free(entry);
}

static void entry_free_rcu(struct rcu_head *head)
{
	entry_free(caa_container_of(head, history_entry_t, rcu));
}

static void account(history_t *history, size_t octets, uint32_t count)
{
	__atomic_store_n(&history->octets, octets, __ATOMIC_RELAXED);
	__atomic_store_n(&history->count, count, __ATOMIC_RELAXED);
}

/*!
 * Takes the oldest entry off. It keeps its own link: who stands there goes on to entries that were dropped before, which are
 * not freed as long as this reader may see them, or finds the end that was made then.
 */
static void drop_oldest(history_t *history)
{
	history_entry_t *entry = history->oldest;
	history->oldest = entry->newer;
	rcu_assign_pointer(*(entry->newer != NULL ? &entry->newer->older : &history->newest), NULL); /* PUBLISH */
	account(history, history->octets - entry_memory(entry), history->count - 1);
	call_rcu(&entry->rcu, entry_free_rcu);
}

void history_trim(history_t *history, size_t max)
{
	while (history->octets > max) {
		drop_oldest(history);
	}
}

static history_entry_t *entry_new(difference_t *difference)
{
	history_entry_t *entry = malloc(sizeof(*entry));
	if (entry == NULL) {
		return NULL;
	}
	*entry = (history_entry_t) {
		.difference = difference,
		.from = difference->from,
		.to = difference->to,
		.size = difference->size,
	};
	return entry;
}

static void push_newest(history_t *history, history_entry_t *entry)
{
	history_entry_t *before = history->newest;
	entry->older = before;
	if (before != NULL) {
		before->newer = entry;
	} else {
		history->oldest = entry;
	}
	rcu_assign_pointer(history->newest, entry); /* PUBLISH */
	account(history, history->octets + entry_memory(entry), history->count + 1);
}

int history_add(history_t *history, difference_t *difference, size_t max)
{
	const history_entry_t *newest = history->newest;
	const bool grows = serial_newer(difference->to, difference->from);
	if (!grows || (newest != NULL && newest->to != difference->from)) {
		history_trim(history, 0);
	}
	if (!grows) {
		difference_release(difference);
		return KNOT_EOK;
	}

	history_entry_t *entry = entry_new(difference);
	if (entry == NULL) {
		difference_release(difference);
		history_trim(history, 0);
		return KNOT_ENOMEM;
	}
	push_newest(history, entry);
	history_trim(history, max);
	return KNOT_EOK;
}

/*! The entry that leads to \a to; an older version than the newest may have been borrowed. */
static const history_entry_t *find_last(const history_t *history, uint32_t to)
{
	const history_entry_t *entry = rcu_dereference(((history_t *)history)->newest);
	while (entry != NULL && entry->to != to) {
		entry = serial_newer(entry->to, to) ? rcu_dereference(((history_entry_t *)entry)->older) : NULL;
	}
	return entry;
}

/*! Counts the entries from \a last back to the one that begins at \a from; 0: there is no way, or it is too long. */
static size_t count_way(const history_entry_t *last, uint32_t from, size_t max, size_t *ret_octets)
{
	size_t count = 0, octets = 0;
	for (const history_entry_t *entry = last; entry != NULL; entry = rcu_dereference(((history_entry_t *)entry)->older)) {
		count++;
		octets += entry->size;
		if (octets > max || (entry->from != from && !serial_newer(entry->from, from))) {
			return 0;
		}
		if (entry->from == from) {
			*ret_octets = octets;
			return count;
		}
	}
	return 0;
}

/*! Holds \a count differences from \a entry backwards; false: some have been dropped since they were counted. */
static bool hold_way(const history_entry_t *entry, size_t count, difference_t **item)
{
	size_t left = count;
	for (; left > 0 && entry != NULL; entry = rcu_dereference(((history_entry_t *)entry)->older)) {
		item[--left] = difference_hold(entry->difference);
	}
	for (size_t i = left; left > 0 && i < count; i++) {
		difference_release(item[i]);
	}
	return left == 0;
}

int history_find(const history_t *history, uint32_t from, uint32_t to, size_t max, history_run_t *ret_run)
{
	assert(rcu_read_ongoing());
	size_t octets;
	const history_entry_t *last = find_last(history, to);
	const size_t count = count_way(last, from, max, &octets);
	if (count == 0) {
		return KNOT_ENOENT;
	}
	difference_t **item = malloc(count * sizeof(*item));
	if (item == NULL) {
		return KNOT_ENOMEM;
	}
	if (!hold_way(last, count, item)) {
		free(item);
		return KNOT_ENOENT;
	}
	*ret_run = (history_run_t) { .item = item, .count = count, .octets = octets };
	return KNOT_EOK;
}

void history_clear(history_t *history)
{
	history_entry_t *entry = history->newest;
	while (entry != NULL) {
		history_entry_t *older = entry->older;
		entry_free(entry);
		entry = older;
	}
	*history = (history_t) { 0 };
}

void history_run_clear(history_run_t *run)
{
	for (size_t i = 0; i < run->count; i++) {
		difference_release(run->item[i]);
	}
	free(run->item);
	*run = (history_run_t) { 0 };
}
