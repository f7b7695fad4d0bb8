/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Which of all our zones has a name: for aliases that leave the zone they stand in.
 *
 * A hook knows the zones of its own instance; in zone scope that is one. The directory has those of all instances, found by
 * readers without a lock: a hash table of apexes, asked once for each label of a name. It is not the registry (zone.h),
 * which load() changes in a thread that may not use RCU: the worker, which is told of each zone anyway, is its one writer.
 * A zone comes here a moment after load() and leaves before its memory can go.
 *
 * Table: open addressing, linear probing, a power of two of slots, at most half of them used. A slot goes from empty to
 * used to dead and is not used again, so a reader never sees a zone beside another zone's hash; a table with too many used
 * or dead slots is replaced by a new one, and freed after a grace period. 16 octets a slot: 2 to 8 MiB for 100,000 zones.
 *
 * Hashes are not keyed: only who configures the server chooses what is in the table.
 */
#pragma once

#include "secondary/zone.h"

/*!
 * \brief Enters \a zone, which stays until directory_remove() and is held by the caller for as long.
 *
 * Thread: the worker. RCU: registered. Blocks: no.
 * \return KNOT_EOK or KNOT_ENOMEM (aliases into the zone are not followed then).
 */
int directory_add(zone_t *zone);

/*! \brief Takes \a zone out, if it is there; the caller's hold ends after a grace period (zone_release() sees to that). */
void directory_remove(zone_t *zone);

/*!
 * \brief The zone that \a name (in full, lower case, \a len octets) belongs to, with the longest apex; NULL: none of ours.
 *
 * \param above  Only apexes above \a name (DS: RFC 4035, section 3.1.4.1), unless there is none.
 * Borrow. Thread: any. RCU: inside a read section. Blocks: no.
 */
zone_t *directory_find(const uint8_t *name, size_t len, bool above);

/*!
 * \brief Is \a name (in full, lower case) in a zone of ours?
 *
 * Thread: any that is registered. RCU: inside a read section or not. Blocks: no.
 */
bool directory_has(const uint8_t *name, size_t len);
