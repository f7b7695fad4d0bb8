/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Times to come as knotd's control interface prints them.
 */
#pragma once

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

/*! Octets that hold the longest text: 2^64 seconds are 12 digits of years and two of each smaller unit. */
#define DURATION_TEXT_MAX 40

/*! \brief Writes "+1D2h3m4s" (a month has 30 days, a year 365; units that are 0 are left out). Returns \a dst. */
static inline char *duration_text(uint64_t seconds, char dst[static DURATION_TEXT_MAX])
{
	static const struct {
		uint64_t seconds;
		char name;
	} units[] = {
		{ 365 * 86400, 'Y' }, { 30 * 86400, 'M' }, { 86400, 'D' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' },
	};

	int len = snprintf(dst, DURATION_TEXT_MAX, "+");
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		const uint64_t count = seconds / units[i].seconds;
		if (count > 0 || (len == 1 && units[i].seconds == 1)) {
			len += snprintf(dst + len, DURATION_TEXT_MAX - len, "%" PRIu64 "%c", count, units[i].name);
			seconds -= count * units[i].seconds;
		}
	}
	return dst;
}
