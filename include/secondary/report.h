/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Where log lines go: rooms below the door do not know knotd, so they write to a sink that the door sets.
 *
 * Wording is Knot's: lower case, no full stop, operation, direction, remote, cause last in parentheses. LOG_ERR: cannot
 * serve; LOG_WARNING: a remote misbehaved and we serve on; LOG_NOTICE: a state change; LOG_INFO: a transfer.
 * Never one line per query.
 */
#pragma once

#include <stdarg.h>
#include <syslog.h>

struct zone;

/*!
 * \brief Writes one formatted line about \a zone (NULL: about the module).
 *
 * Thread: any registered one. RCU: inside or outside a read section. Blocks: as knotd's log does, shortly.
 */
typedef void (*report_sink_f)(const struct zone *zone, int priority, const char *fmt, va_list args);

/*! \brief Sets the sink (NULL: lines are dropped). Thread: before other threads start. */
void report_set_sink(report_sink_f sink);

/*! \brief Logs one line about \a zone (NULL: about the module) at syslog \a priority. Thread, RCU, Blocks: as the sink. */
void report(const struct zone *zone, int priority, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
