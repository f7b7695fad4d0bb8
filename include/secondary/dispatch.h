/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What is this query, and who answers it: the hook between knotd's packets and our rooms.
 *
 * knotd answers SERVFAIL for a zone without native contents before any hook of the answer stage runs; so this hook runs at
 * KNOTD_STAGE_BEGIN and writes the whole answer into the packet. Mostly it writes the OPT record as well and returns
 * KNOTD_STATE_FINAL; where TSIG, EDE and the like are due it returns KNOTD_STATE_DONE, and knotd adds them.
 *
 * It returns the state untouched for what is not ours: another module has decided, another class, a zone of knotd's own
 * that is closer to QNAME, opcodes we do not know.
 *
 * NOTIFY is authorised, logged at a bounded rate and handed to the worker; transfers are authorised and written by outgoing.h;
 * updates are refused.
 *
 * Threads: knotd's workers, inside knotd's read section. Never waits, never allocates but one packet entry on negative
 * answers (mod-stats reads it).
 */
#pragma once

#include "secondary/instance.h"

/*! \brief The hook of KNOTD_STAGE_BEGIN. */
knotd_state_t dispatch_begin(knotd_state_t state, knot_pkt_t *pkt, knotd_qdata_t *qdata, knotd_mod_t *mod);
