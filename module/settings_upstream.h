/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The `upstream…` items of the module's section: names, check, reading. Part of settings.h.
 */
#pragma once

#include <knot/module.h>

#include "secondary/foreign.h"

#define S_UPSTREAM          "\x08""upstream"
#define S_UPSTREAM_HOLD     "\x0D""upstream-hold"
#define S_UPSTREAM_PREFETCH "\x11""upstream-prefetch"
#define S_UPSTREAM_MAX_TTL  "\x10""upstream-max-ttl"
#define S_UPSTREAM_MIN_TTL  "\x10""upstream-min-ttl"
#define S_UPSTREAM_STALE    "\x0E""upstream-stale"
#define S_UPSTREAM_DNAME    "\x0E""upstream-dname"
#define S_UPSTREAM_ANCHOR   "\x15""upstream-trust-anchor"
#define S_UPSTREAM_TLS_NAME "\x11""upstream-tls-name"
#define S_UPSTREAM_TLS_CA   "\x14""upstream-tls-ca-file"
#define S_UPSTREAM_CACHE    "\x13""upstream-cache-size"

/*! \brief What is refused of these items. Sets err_str. */
int settings_upstream_check(knotd_conf_check_args_t *args);

/*!
 * \brief Reads them; what is wrong has been logged and is left out.
 *
 * A resolver that cannot be started is, too: zones are served without.
 * \param ret_foreign  Own: its upstream is held; all zero where there is none. Thread: load().
 */
void settings_upstream(knotd_mod_t *mod, foreign_t *ret_foreign);
