/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief One loaded instance of the module: a stanza, in one scope, with the zones it is attached to.
 *
 * knotd makes an instance for each zone that names the module (zone scope), and one for each stanza in `global-module`
 * (global scope). It is made by load(), read by hooks without any lock, and freed by unload(), when knotd has waited for
 * all hooks. What hooks read never changes in between, so a borrow of it lasts for the hook.
 *
 * Who holds a zone. One zone belongs to one stanza in one scope; a second one is a mistake in knot.conf, gets an error, and
 * leaves the zone alone. But at a reload knotd loads the new instances before it unloads the old ones, so a newcomer
 * regularly finds its zone held, by its predecessor. It tells a rival from a predecessor by what knotd shares between the
 * instances of one round of loading:
 *
 *     both of the zone scope   knotd hands all modules of one zone the same copy of its name, and the next round's ones a
 *                              new copy, made while the old one is in use: same pointer, same round
 *     holder global            global instances are numbered by round (all of them are loaded in one go, before any
 *                              zone); the latest round is in force as long as `global-module` names us at all
 *     newcomer global          a holder of the zone scope is from an earlier round
 *
 * So the first module of a zone's list wins over later ones, the first global stanza over later ones, and the global scope
 * over the zone scope: the same at start, where there are no predecessors, and at each reload.
 *
 * An instance that is attached to nothing is inert: it registers no hook.
 */
#pragma once

#include <knot/module.h>

#include "secondary/foreign.h"
#include "secondary/qp.h"
#include "secondary/stanza.h"
#include "secondary/zone.h"

typedef struct instance {
	knotd_mod_t *mod;         /*!< For knotd's functions; HOST rules apply: never in unload(), in other threads only through the log sink. */
	stanza_t *stanza;         /*!< Held; NULL: inert. */
	foreign_t foreign;        /*!< What is done about names outside our zones. */
	bool global;              /*!< Scope. */
	bool has_state;           /*!< Zone scope: knotd has a place for the zone's state (statistics.h). Atomic. */
	zone_t *zone;             /*!< Zone scope: the zone, held and attached; NULL: inert. */
	qp_t zones;               /*!< Global scope: names relative to the root. */
	arena_t *arena;           /*!< Global scope: of \a zones, held. */

	zone_t **list;            /*!< Global scope: the zones, each held and attached. */
	size_t count;             /*!< Of \a list. */
	struct instance *next;    /*!< Global scope: an older one. */
	unsigned round;           /*!< Global scope: in which it was loaded. */
	bool is_loaded;           /*!< instance_new() has succeeded. */
	const void *name_copy;    /*!< Zone scope: knotd's copy of the name; an identity, never read through. */
	bool superseded;          /*!< Zone scope: a newer instance of the zone was loaded. Registry's lock. */
} instance_t;

/*!
 * \brief Makes the instance of \a mod: reads its stanza, attaches to its zones and hands them to the worker.
 *
 * What is wrong in the configuration has been logged and makes it inert; a zone that its predecessor serves is then kept
 * as it is. Thread: load(), with the worker running. All or nothing.
 * \return KNOT_EOK or KNOT_ENOMEM.
 */
int instance_new(knotd_mod_t *mod, instance_t **ret_instance);

/*! \brief Detaches from all zones, tells the worker which ones nobody holds any more, and frees. NULL is a no-op. Thread: load(), unload(). */
void instance_free(instance_t *instance);

/*! \brief Is it attached to any zone, so that its hook has work to do? */
static inline bool instance_is_inert(const instance_t *instance)
{
	return instance->zone == NULL && instance->count == 0;
}

/*! \brief Calls \a visit with the newest global instance, which is not unloaded meanwhile. Returns false when there is none. */
bool instance_with_global(void (*visit)(instance_t *instance, void *ctx), void *ctx);

/*!
 * \brief Global scope: the zone of this instance that \a qname (lower case) belongs to, with the longest apex; NULL: none.
 *
 * \param above  Only apexes above \a qname (DS: RFC 4035, section 3.1.4.1), unless there is none.
 * Borrow: as the instance. Thread: hooks. Blocks: no.
 */
zone_t *instance_find_zone(const instance_t *instance, const knot_dname_t *qname, bool above);
