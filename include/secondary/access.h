/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief May this client do that, and is its signature good: knotd's `acl`, `remote` and `key` sections, and TSIG on requests.
 *
 * As knotd judges the same for its own zones: the first rule that matches address and key decides; deny wins where it
 * stands first; no rule, no access. Rules are read from the configuration in force for each such request, so edits by
 * `knotc conf-set` take effect at once. A rule that restricts by something we cannot judge matches nothing.
 *
 *     notify    the stanza's primaries (their addresses, with their keys), then the zone's `acl` with action notify
 *     transfer  the stanza's `transfer-to`, then, where `automatic-acl` is on, those who get NOTIFY, then the zone's `acl`;
 *               rules with action transfer
 *     query     only signed ones are asked about: the same lists, rules with any action
 *
 * In global scope there is no zone section: `transfer-to` alone counts there.
 *
 * Threads: knotd's workers, inside knotd's read section. Blocks: no.
 */
#pragma once

#include "secondary/instance.h"

typedef enum {
	ACCESS_QUERY,
	ACCESS_NOTIFY,
	ACCESS_TRANSFER,
} access_action_t;

/*!
 * \brief Judges and, where the request is signed, verifies; prepares qdata->sign so that knotd signs the response.
 *
 * \return true: allowed. false: qdata->rcode and rcode_tsig tell why (NOTAUTH with BADKEY, BADSIG, BADTIME; FORMERR), and
 *         the caller returns KNOTD_STATE_FAIL.
 */
bool access_check(const instance_t *instance, const zone_t *zone, access_action_t action, knotd_qdata_t *qdata);
