/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The log sink: one pointer, set before threads start and only read afterwards.
 */

#include <stddef.h>

#include "secondary/report.h"

static report_sink_f the_sink;

void report_set_sink(report_sink_f sink)
{
	the_sink = sink;
}

void report(const struct zone *zone, int priority, const char *fmt, ...)
{
	if (the_sink == NULL) {
		return;
	}

	va_list args;
	va_start(args, fmt);
	the_sink(zone, priority, fmt, args);
	va_end(args);
}
