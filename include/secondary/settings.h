/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The module's section of knot.conf: its schema, what is refused, and reading it into a stanza.
 *
 * `knotc conf-check`, server start and each reload call settings_check() with nothing but the section itself; what takes
 * the rest of the configuration to judge (scope, the zone's own items) is found at load. An item that does nothing yet is
 * not in the schema.
 *
 * Threads: knotd's main thread (check also in knotc). The check has no side effects.
 */
#pragma once

#include <knot/module.h>

#include "secondary/stanza.h"

/*! Names that one `zones` item can hold: knotd keeps 64 KiB an item. */
#define SETTINGS_ZONES_MAX 2000
/*! Octets of a `zones-file` line; a name as text takes 1,004 at most. */
#define SETTINGS_LINE_MAX  1100

extern const yp_item_t settings_items[];

/*! Values that hold for the process; the first instance decides, others that differ get a warning. */
typedef struct {
	unsigned transfer_limit;
	unsigned transfer_limit_remote;
	char control_listen[108]; /*!< Absolute path; sockaddr_un's length. */
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
 * \return KNOT_EOK, the first error of \a visit, or an error of reading that has been logged (file and line named).
 */
int settings_zones(knotd_mod_t *mod, int (*visit)(const knot_dname_t *name, void *ctx), void *ctx);

/*! \brief Does the stanza have `zones` or `zones-file`? Thread: load(). */
bool settings_has_zones(knotd_mod_t *mod);
