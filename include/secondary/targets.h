/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The names outside a zone that its aliases lead to: those that can be resolved ahead of any query.
 *
 * These are the targets of CNAMEs, those of wildcards too; what a DNAME makes is not known ahead. What is below a zone cut is
 * outside, too: who has the zone there knows. Thread: any.
 * RCU: the snapshot is borrowed or pinned. Blocks: no, but a walk over a zone of a million names takes some 0.1 s.
 */
#pragma once

#include "secondary/snapshot.h"

/*! Names, each once: a length octet and the name in full, lower case. Zeroed: none. */
typedef struct {
	uint8_t *names;           /*!< Owned: targets_clear(). */
	size_t size;              /*!< Octets. */
	unsigned count;
} targets_t;

/*!
 * \brief Collects up to \a max targets outside the zone, in canonical order of their owners.
 *
 * \param is_foreign   Further condition; NULL: none.
 * \param ret_targets  Own.
 * \return KNOT_EOK or KNOT_ENOMEM.
 */
int targets_collect(const snapshot_t *snapshot, unsigned max, bool (*is_foreign)(const uint8_t *name, size_t len),
                    targets_t *ret_targets);

/*!
 * \brief Is \a name (in full, lower case), which ends as the zone does, at or below a zone cut of it?
 *
 * RCU: the snapshot is borrowed or pinned.
 */
bool targets_is_delegated(const snapshot_t *snapshot, const uint8_t *name, size_t len);

/*! \brief Frees the names. */
void targets_clear(targets_t *targets);

/*! \brief The name at \a pos, with its length; returns where the next one is. */
static inline size_t targets_next(const targets_t *targets, size_t pos, const uint8_t **ret_name, uint8_t *ret_len)
{
	*ret_len = targets->names[pos];
	*ret_name = targets->names + pos + 1;
	return pos + 1 + *ret_len;
}
