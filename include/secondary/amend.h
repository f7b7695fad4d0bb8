/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The next version of a zone by difference sequences, in time proportional to the changes (RFC 1995).
 *
 * The version is made on top of the one before, in its arena: owners that change get new nodes, the paths to them in the tries are
 * copied, all else is shared. All sequences are applied together: of each owner that they touch the records are loaded once, the
 * changes are made in their order, and its node is written once; an owner without records leaves the trie.
 *
 * Strict: what is removed must be there (owner, type, RDATA in canonical comparison; the TTL is not compared), what is added must
 * not be; else the primary means another version than ours, and only a full transfer helps. Of the removed SOA only the serial is
 * compared: it tells the version, and the last added one replaces whatever is there. The TTL of an RRset to which records
 * are added becomes the least of its records' (RFC 2181, section 5.2); primaries that change it replace all of them. The version that results is checked as a built one (builder.h): SOA and NS
 * at the apex, nothing beside a CNAME, sizes. What lies between the sequences is not checked.
 *
 * A version that was made but not published yet is a draft (snapshot.h): its arena holds one at most, and none is made elsewhere in
 * that arena until it is published or discarded.
 *
 * NSEC3: the chain is chosen anew, notes of names that stay are inherited where nsec3.h allows it; where not, a copy has
 * them again (amend_wants_compaction()).
 *
 * Time: 15 µs for one change, whatever the size of the zone; 2 µs each for a thousand, 1.1 µs for a hundred thousand, half of it
 * cache misses; with NSEC3 as much again. A change in a large RRset costs its length, one beside it 20 ns an RRset.
 *
 * Threads: the zone's writer. RCU: none; \a base is held by the caller. Blocks: no.
 */
#pragma once

#include <libknot/dname.h>

#include "secondary/builder.h"
#include "secondary/difference.h"

/*! Octets of a reason with the last 0. */
#define AMEND_ERROR_MAX (KNOT_DNAME_TXT_MAXLEN + 128)

/*!
 * \brief Makes the version to which \a difference, \a count of them in order, leads from \a base.
 *
 * The first one's \a from is \a base's serial, each further one's that to which the one before leads.
 * \param limits        As for a builder: zone-max-size counts what results.
 * \param ret_snapshot  Own: a draft. snapshot_commit() (zone_publish() does) or snapshot_discard() it. Untouched on failure.
 * \param ret_error     With KNOT_EMALF, KNOT_EZONESIZE and KNOT_ENOENT: words that end a log line.
 * \return KNOT_EOK, KNOT_ENOENT (serials do not fit, something removed is not there, something added is), KNOT_EMALF (a check of
 *         content), KNOT_EZONESIZE, KNOT_ENOMEM, KNOT_ESPACE. After a failure all is as before.
 */
int amend(snapshot_t *base, difference_t *const *difference, size_t count, const builder_limits_t *limits,
          snapshot_t **ret_snapshot, char ret_error[static AMEND_ERROR_MAX]);

/*!
 * \brief Copies a version into an arena of its own, without garbage, and with notes of NSEC3 hashes for all names.
 *
 * Thread: any, also beside the zone's writer. RCU: none; \a snapshot is pinned. Blocks: no, but takes about 0.3 µs an owner.
 * \param ret_copy  Own: no draft.
 * \return KNOT_EOK, KNOT_ENOMEM, KNOT_ESPACE.
 */
int amend_compact(const snapshot_t *snapshot, snapshot_t **ret_copy);

/*! \brief Is so much of the version's arena garbage, or are its notes lost, that a compact copy is worth its time? Thread: writer. */
bool amend_wants_compaction(const snapshot_t *snapshot);
