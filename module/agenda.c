/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief A pairing heap of alarms.
 */
#include "secondary/agenda.h"

/*! Makes one of two roots, both without siblings, the first child of the other. Either may be NULL. */
static alarm_t *meld(alarm_t *a, alarm_t *b)
{
	if (a == NULL || b == NULL) {
		return a != NULL ? a : b;
	}
	if (b->due < a->due) {
		alarm_t *earlier = b;
		b = a;
		a = earlier;
	}
	b->next = a->child;
	if (b->next != NULL) {
		b->next->prev = b;
	}
	b->prev = a;
	a->child = b;
	return a;
}

/*! Takes a list's first alarm off; it becomes a root. */
static alarm_t *pop(alarm_t **list)
{
	alarm_t *alarm = *list;
	if (alarm != NULL) {
		*list = alarm->next;
		alarm->next = alarm->prev = NULL;
	}
	return alarm;
}

/*! Makes siblings one tree: in pairs, and these from the last to the first, which is what bounds the costs. */
static alarm_t *meld_siblings(alarm_t *siblings)
{
	alarm_t *pairs = NULL, *root = NULL;
	while (siblings != NULL) {
		alarm_t *a = pop(&siblings);
		alarm_t *pair = meld(a, pop(&siblings));
		pair->next = pairs;
		pairs = pair;
	}
	while (pairs != NULL) {
		root = meld(root, pop(&pairs));
	}
	return root;
}

static void unlink_sibling(alarm_t *alarm)
{
	if (alarm->prev->child == alarm) {
		alarm->prev->child = alarm->next;
	} else {
		alarm->prev->next = alarm->next;
	}
	if (alarm->next != NULL) {
		alarm->next->prev = alarm->prev;
	}
}

void agenda_clear(agenda_t *agenda, alarm_t *alarm)
{
	if (!agenda_has(agenda, alarm)) {
		return;
	}
	if (agenda->first == alarm) {
		agenda->first = meld_siblings(alarm->child);
	} else {
		unlink_sibling(alarm);
		agenda->first = meld(agenda->first, meld_siblings(alarm->child));
	}
	*alarm = (alarm_t){ 0 };
}

void agenda_set(agenda_t *agenda, alarm_t *alarm, uint64_t due)
{
	agenda_clear(agenda, alarm);
	alarm->due = due;
	agenda->first = meld(agenda->first, alarm);
}
