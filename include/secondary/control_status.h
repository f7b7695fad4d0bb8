/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The line of zone-status.
 *
 *     [example.com.] role: slave | serial: 5 | scope: zone | state: fresh | refresh: +59m3s | expiration: +6D23h59m57s |
 *                    last-success: -57s | records: 12 | octets: 480 | memory: 3456 | primary 192.0.2.1@53: ok, serial 5, -57s
 *
 * State tells what queries get, "never loaded" or "expired", else what the worker does about a zone that is served:
 * "refreshing", "transferring", "retrying" (the last check failed), "fresh". Items and times are knotd's where knotd has them, so that
 * what reads its lines reads ours. What there is none of is "-", which knotc shows with -e alone.
 *
 * Threads, Blocks: as control_commands.h.
 */
#pragma once

#include "secondary/control_stream.h"
#include "secondary/zone.h"

struct control_request;

/*! Letters of the filters that zone-status knows: role, serial, transaction, freeze, catalog, events. */
#define CONTROL_STATUS_FILTERS "rstfce"

/*! \brief Sends the line. \return KNOT_EOK, KNOT_ENOENT (the zone has gone), or the client has gone. */
int control_status(const struct control_request *request, zone_t *zone);
