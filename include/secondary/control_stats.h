/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The lines of zone-stats and stats: all that is counted (counters.h), as knotd's control socket tells its own.
 *
 *     [example.com.] mod-secondary.answer[nxdomain] = 12
 *     mod-secondary.upstream[hits] = 345
 *
 * So what reads knotd's statistics by its control socket (knot-exporter) reads ours. Counts of 0 are left out unless forced (-f).
 * `stats` sums up all zones since start, those that have gone included.
 *
 * Threads, Blocks: as control_commands.h; a lock for `stats`, shortly.
 */
#pragma once

#include "secondary/control_stream.h"
#include "secondary/zone.h"

struct control_request;

/*! \brief Sends the lines of one zone. \return KNOT_EOK, or the client has gone. */
int control_zone_stats(const struct control_request *request, zone_t *zone);

/*! \brief Sends the lines about all. \return KNOT_EOK, or the client has gone. */
int control_stats(const struct control_request *request);

/*! \brief Are there such lines as the request has chosen? */
bool control_stats_exist(const struct control_request *request, bool of_zone);
