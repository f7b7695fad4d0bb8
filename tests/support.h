/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What several test programs need: names and zones from text, and zones to text.
 *
 * Failures end the running test (ck_abort_msg()).
 */
#pragma once

#include <sys/resource.h>
#include <sys/socket.h>

#include "secondary/builder.h"
#include "secondary/difference.h"
#include "secondary/history.h"
#include "secondary/snapshot.h"

/*! \brief Writes the name \a text (absolute with or without the last dot, case kept) to \a dst (255 octets); returns its octets. */
size_t support_name(const char *text, uint8_t *dst);

/*!
 * \brief Gives the records of master-file text to \a builder, in the order of the text.
 *
 * Relative names end in \a origin; $ORIGIN and $TTL work, the TTL is 3600 without. Owners are folded.
 * \return What the first failing builder_add() returned, or KNOT_EOK.
 */
int support_add(builder_t *builder, const char *origin, const char *zonefile_text);

/*! \brief As support_add(), into a difference: what the first failing difference_maker_put() returned. */
int support_put(difference_maker_t *maker, const char *origin, const char *zonefile_text);

/*! \brief Builds the zone \a apex from master-file text. Own: snapshot_unpin(), or support_free() it. */
snapshot_t *support_zone(const char *apex, const char *zonefile_text);

/*! \brief As support_zone() without limits, but a failure is returned, its text in \a error (1200 octets, "" if none). */
int support_try(const char *apex, const char *zonefile_text, const builder_limits_t *limits, snapshot_t **ret_snapshot,
                char *error);

/*! \brief Gives up a snapshot and waits until it has been freed. The thread is registered with RCU, in no read section. */
void support_free(snapshot_t *snapshot);

/*!
 * \brief All records of a snapshot as sorted lines "owner ttl class type rdata", names in full, spaces single.
 *
 * \return Own: free() it.
 */
char *support_dump(const snapshot_t *snapshot);

/*! \brief The removed (or added) records of a difference for the zone \a apex, in the form of support_dump(). Own: free() it. */
char *support_side(const difference_t *difference, const char *apex, bool is_added);

/*! \brief Master-file text in the form of support_dump() (sorted, duplicates kept), to compare with. Own: free() it. */
char *support_text(const char *origin, const char *zonefile_text);

/*! \brief Two texts in one. Own: free() it. */
char *support_join(const char *first, const char *second);

/*! \brief The serials of a way as text, "1 2 5 "; "" for an empty one. Each difference has to begin where the one before ends. */
void support_way(const history_run_t *run, char *dst, size_t max);

/*! \brief A port of 127.0.0.1. */
struct sockaddr_storage support_loopback(unsigned port);

/*! Octets of the path of a directory that is made for a test. */
#define SUPPORT_DIRECTORY_MAX 40

/*! \brief Makes a directory and writes its path to \a dst. In memory where there is such a place: these tests are not about a disk. */
void support_directory_make(char dst[static SUPPORT_DIRECTORY_MAX]);

/*! \brief Removes it with what is in it: files, and directories that are empty. */
void support_directory_remove(const char *path);

/*! \brief No file may be written beyond \a size, of this process; RLIM_INFINITY: as before. */
void support_limit_files(rlim_t size);

/*! \brief Seed of a random test: from the environment (SEED), or the clock; printed. */
unsigned long support_seed(void);

/*! \brief Is the long form of the tests wanted (TEST_FULL=1)? */
bool support_is_full(void);
