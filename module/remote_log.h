/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Lines about what remotes ask of us, in knotd's words, at a bounded rate. For dispatch and outgoing.
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>

#include <libknot/libknot.h>

#include "clock.h"
#include "log_quota.h"
#include "secondary/address.h"
#include "secondary/instance.h"

/*! Octets of a line's text behind the remote. */
#define REMOTE_LOG_TEXT_MAX 128

/*!
 * \brief Writes "AXFR, outgoing, remote 192.0.2.1@53, TEXT" unless \a quota is used up.
 *
 * The zone's name stands first where knotd does not put it there.
 *
 * \param operation  "AXFR". \param direction  "outgoing".
 * \param fmt        Of the text.
 */
__attribute__((format(printf, 8, 9)))
static inline void remote_log(const instance_t *instance, const uint8_t *apex, knotd_qdata_t *qdata, log_quota_t *quota,
                              int priority, const char *operation, const char *direction, const char *fmt, ...)
{
	uint32_t suppressed;
	if (!log_quota_take(quota, clock_seconds(), &suppressed)) {
		return;
	}
	if (suppressed > 0) {
		knotd_mod_log(instance->mod, priority, "%s, %s, %u further lines suppressed", operation, direction, suppressed);
	}
	char text[REMOTE_LOG_TEXT_MAX], remote[ADDRESS_TEXT_MAX], name[KNOT_DNAME_TXT_MAXLEN + 1];
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	address_text(knotd_qdata_remote_addr(qdata), remote);
	if (!instance->global) {
		knotd_mod_log(instance->mod, priority, "%s, %s, remote %s, %s", operation, direction, remote, text);
		return;
	}
	(void)knot_dname_to_str(name, apex, sizeof(name));
	knotd_mod_log(instance->mod, priority, "zone '%s', %s, %s, remote %s, %s", name, operation, direction, remote, text);
}
