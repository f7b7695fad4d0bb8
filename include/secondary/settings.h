/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The module's section of knot.conf: its schema, what is refused, and reading it into a stanza; and the few items
 *        of knotd's own sections that decide whether a zone can be ours.
 *
 * `knotc conf-check`, server start and each reload call settings_check() with nothing but the section itself; what takes
 * the rest of the configuration to judge (scope, the zone's own items) is found at load. An item that does nothing yet is
 * not in the schema.
 *
 * Threads: as HOST allows knotd_conf*(): load(), or inside a read section; settings_check() also in knotc and keymgr. The
 * check has no side effects.
 */
#pragma once

#include <knot/module.h>

#include "secondary/stanza.h"
#include "secondary/zones_file.h"

extern const yp_item_t settings_items[];

/*! Values that hold for the process; the first instance decides, others that differ get a warning. */
typedef struct {
	unsigned transfer_limit;
	unsigned transfer_limit_remote;
	size_t upstream_cache_size;
	char control_listen[108]; /*!< Path of sockaddr_un's length; "": the default is too long, no socket. */
} settings_process_t;

/*! \brief knotd's config_check callback: err_str and an error code for what BEHAVIOUR lists as refused. */
int settings_check(knotd_conf_check_args_t *args);

/*! \brief Reads the stanza of \a mod. Own: a hold. \return KNOT_EOK, KNOT_ENOMEM, KNOT_ENOENT (no usable primary). Thread: load(). */
int settings_stanza(knotd_mod_t *mod, stanza_t **ret_stanza);

/*! \brief Reads the process-wide values. Thread: load(). */
void settings_process(knotd_mod_t *mod, settings_process_t *ret);

/*!
 * \brief Calls \a visit for each name of `zones` or `zones-file`; duplicates come as they stand.
 *
 * Thread: load().
 * \return KNOT_EOK, the first error of \a visit, or an error of reading that has been logged (file and line named); names
 *         before that line have been visited.
 */
int settings_zones(knotd_mod_t *mod, zones_file_visit_f visit, void *ctx);

/*! \brief The item with which the stanza lists zones, "zones" or "zones-file", or NULL. Thread: load(). */
const char *settings_zones_item(knotd_mod_t *mod);

/*!
 * \brief The first item by which knotd would give the zone \a name contents of its own (`master`, `zonefile-load`, …), or NULL.
 *
 * \param ret_demand  What the item should be, for the log.
 */
const char *settings_zone_conflict(knotd_mod_t *mod, const knot_dname_t *name, const char **ret_demand);

/*! \brief Has knot.conf a `zone` section for \a name? */
bool settings_zone_section(knotd_mod_t *mod, const knot_dname_t *name);

/*!
 * \brief Is it certain that the configuration in force makes a zone \a name with this module in its list?
 *
 * Catalog members are no sections, and for a name that is nothing at all knotd answers with the default template: what
 * comes from there proves nothing, so for a member of a catalog that uses the default template the answer is no.
 */
bool settings_zone_certain(knotd_mod_t *mod, const knot_dname_t *name);

/*! \brief How many of this module's stanzas `global-module` names. */
unsigned settings_global_count(knotd_mod_t *mod);
