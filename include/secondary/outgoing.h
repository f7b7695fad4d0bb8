/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Outgoing transfers among knotd's hooks: one for each worker at most, message after message, from the version at its start.
 *
 * knotd sends several messages for one query when the END hook returns "produce": it sends what it has, signs included, and
 * calls BEGIN again, for the same qdata.
 *
 *     BEGIN   access, pin, fill    -> DONE          [knotd adds OPT and TSIG]   END   more left -> PRODUCE   [knotd sends]
 *     BEGIN   fill                 -> DONE                                      END   more left -> PRODUCE
 *     BEGIN   fill                 -> DONE                                      END   complete  -> DONE
 *     knotd frees qdata: the transfer ends
 *
 * Between messages nothing is locked and nothing of the configuration may be kept: a `knotc reload` may happen, after which
 * another instance of the module is called. So a transfer belongs to the process: it holds a pin of its version, a copy of
 * its TSIG key, and the zone for its log lines. knotd sends from the thread that calls the hooks, so the transfer of a worker
 * is the transfer of its thread. qdata->name, which knotd leaves alone between messages, tells its query from others.
 *
 * The end. knotd 3.2 calls no hook when the client left or stalled: it frees the query. It frees qdata by qdata->mm, whose
 * function is replaced as long as a transfer lasts; so the pin never outlives the query. Nor does it where a reload took the
 * zone, or the module, away: then knotd ends the transfer with an error. A client must take each message within
 * `tcp-io-timeout` (0.5 s; knotd's), and that bounds how long a stalled one pins a version.
 *
 * Versions. Clients that are slow, but not too slow, could pin one version each. When more than OUTGOING_VERSIONS_MAX
 * versions of a zone are pinned, the transfers of the oldest one are cut: their next message is an error. An increment pins none:
 * it holds its differences, which are no larger than the zone.
 *
 * Where knotd does not send at once but queues the whole response in memory (QUIC, TCP by way of XDP), zones and increments
 * larger than OUTGOING_QUEUED_MAX are refused.
 *
 * IXFR (RFC 1995) is answered with the SOA where the client has our serial or a newer one, or asks over UDP; else with
 * the differences from its serial to ours (history.h), or, where these are not kept or longer than the zone, with the whole zone.
 *
 * Threads: knotd's workers, inside knotd's read section. Blocks: no, but for a lock that is held for a walk over the
 * transfers under way, when one begins and ends.
 */
#pragma once

#include "secondary/instance.h"

/*! Each pinned version costs up to the memory of a zone, beside the one that serves and the one that is being made. */
#define OUTGOING_VERSIONS_MAX  4
/*! Octets (uncompressed wire) of the largest zone or increment where knotd keeps all messages until the client has acknowledged them. */
#define OUTGOING_QUEUED_MAX    (16u << 20)

/*! \brief outgoing_is_under_way() of a query that has a name in \a qdata->name. */
bool outgoing_is_current(const knotd_qdata_t *qdata);

/*! \brief Is this query one whose transfer is under way? Then it goes to outgoing_continue(), whatever has happened to the zone. */
static inline bool outgoing_is_under_way(const knotd_qdata_t *qdata)
{
	return qdata->name != NULL && outgoing_is_current(qdata); /* no other query has it */
}

/*! \brief The first message for a query of type AXFR or IXFR that has been allowed (access.h). */
knotd_state_t outgoing_begin(const instance_t *instance, zone_t *zone, snapshot_t *snapshot, knot_pkt_t *pkt,
                             knotd_qdata_t *qdata);

/*! \brief A further message. */
knotd_state_t outgoing_continue(const instance_t *instance, knot_pkt_t *pkt, knotd_qdata_t *qdata);

/*! \brief outgoing_end() of a query that has a name in \a qdata->name. */
knotd_state_t outgoing_end_message(knotd_state_t state, const knotd_qdata_t *qdata);

/*! \brief The hook of KNOTD_STAGE_END: returns the state that knotd goes on from. */
static inline knotd_state_t outgoing_end(knotd_state_t state, const knotd_qdata_t *qdata)
{
	return qdata->name == NULL ? state : outgoing_end_message(state, qdata);
}

/*! How far a transfer is. */
typedef struct {
	struct sockaddr_storage remote;
	const char *operation;    /*!< AXFR or IXFR. */
	uint32_t serial;          /*!< Of the version that is sent. */
	uint64_t records, octets; /*!< So far. */
	uint64_t elapsed_ms;
} outgoing_progress_t;

/*! \brief Those of \a zone that are under way, \a max at most, the oldest first; returns their number. Thread: any. */
unsigned outgoing_progress(const zone_t *zone, outgoing_progress_t *ret, unsigned max);

/*! \brief Logs, at a bounded rate, that a transfer was refused, and why (as access_check() left it in \a qdata). */
void outgoing_log_refused(const instance_t *instance, const zone_t *zone, knotd_qdata_t *qdata);
