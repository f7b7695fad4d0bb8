/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief One loaded instance of the module: a stanza, in one scope, with the zones it is attached to.
 *
 * knotd makes an instance for each zone that names the module (zone scope), and one for each stanza in `global-module`
 * (global scope). It is made by load(), read by hooks without any lock, and freed by unload(), when knotd has waited for
 * all hooks. Nothing in it changes in between, so a borrow of it lasts for the hook.
 *
 * An instance whose zone is held by another stanza or scope is inert: it attached to nothing and leaves each query alone.
 */
#pragma once

#include <knot/module.h>

#include "secondary/qp.h"
#include "secondary/stanza.h"
#include "secondary/zone.h"

typedef struct instance {
	knotd_mod_t *mod;         /*!< For knotd's functions; HOST rules apply: never in unload(), in other threads only through the log sink. */
	stanza_t *stanza;         /*!< Held. */
	bool global;              /*!< Scope. */
	zone_t *zone;             /*!< Zone scope: the zone, held and attached; NULL: inert. */
	qp_t zones;               /*!< Global scope: names relative to the root. */
	arena_t *arena;           /*!< Global scope: of \a zones, held. */
} instance_t;

/*!
 * \brief The zone of this instance that \a qname (lower case) belongs to, with the longest apex; NULL: none.
 *
 * \param above  Only apexes above \a qname (DS: RFC 4035, section 3.1.4.1), unless there is none.
 * Borrow: as the instance. Thread: hooks. Blocks: no.
 */
zone_t *instance_zone(const instance_t *instance, const knot_dname_t *qname, bool above);
