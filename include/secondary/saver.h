/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What is kept of which zone, when: between the loop, in which versions are published, and store.h, which waits for the disk.
 *
 *     published --> wanted --turn--> append the differences, or write a new file (a thread of libuv's pool) --> kept()
 *     checked ----> times ---------> touch
 *
 * Of versions that come while one is written only the last is wanted: what leads to it from what the file has is looked for in the
 * history of the zone. If there is no way, or the log of the file got longer than half of its image (and SAVER_LOG_MIN), a new file is written.
 *
 * Others are told of a version when it is on disk (kept()), so that a server that is killed has at its next start whatever it told of. They
 * are told after SAVER_PATIENCE_MS all the same, and at once if it could not be written: a disk may be full, or hang, but the zone is
 * served. A write that fails is an error line, once for a directory until one succeeds; it is tried again with the zone's next version.
 *
 * At most SAVER_AT_ONCE files are written at a time, so that a slow disk leaves threads of the pool to others.
 *
 * Threads: the one that runs the loop, registered with RCU. Blocks: saver_load() for the disk and as long as the zone is large (store.h): at
 * the start other zones wait for it; all else never. Memory: zones without a directory cost nothing; the version that is wanted and the one
 * that is written are pinned.
 */
#pragma once

#include <sys/queue.h>
#include <uv.h>

#include "secondary/history.h"
#include "secondary/store.h"
#include "secondary/zone.h"

/*! Files written at once: of libuv's four threads two stay free. */
#define SAVER_AT_ONCE     2
/*! Others are told at the latest after so long, though the version may be lost with a crash then. */
#define SAVER_PATIENCE_MS 3000
/*! A directory that could not be opened is not tried again for so long. */
#define SAVER_REOPEN_MS   10000
/*! Octets of differences that are kept behind a smaller image before it is written anew. */
#define SAVER_LOG_MIN     (1u << 20)

typedef struct saver saver_t;
typedef struct saver_zone saver_zone_t;
typedef struct saver_place saver_place_t;

/*! The version that was wanted is on disk, or not going to be: others may be told. Must not call back. */
typedef void (*saver_kept_f)(void *ctx);

/*! What is kept of one zone. */
struct saver_zone {
	saver_t *saver;
	zone_t *zone;             /*!< Borrowed; held while \a state is not SAVER_IDLE. */
	saver_kept_f kept;
	void *ctx;
	saver_place_t *place;     /*!< NULL: it is not kept any more. */
	store_file_t file;
	enum { SAVER_IDLE, SAVER_QUEUED, SAVER_RUNNING } state;
	bool is_closed;           /*!< Freed once it is idle. */
	TAILQ_ENTRY(saver_zone) entry;
	snapshot_t *wanted;       /*!< Pinned: to be written; NULL: nothing is. */
	store_times_t wanted_times; /*!< Of that version, */
	bool needs_image;         /*!< to which differences do not lead. */
	bool is_purged;           /*!< The file is to go. */
	bool is_checked;          /*!< Times are to be written: */
	store_times_t times;
	uint32_t times_serial;    /*!< Of the version that they are of: the newest, which may be in no file yet. */
	bool is_owed;             /*!< kept() is owed since: */
	uint64_t since_ms;
	TAILQ_ENTRY(saver_zone) owed;
};

/*! One write under way. */
typedef struct {
	uv_work_t work;
	saver_zone_t *saved;      /*!< NULL: none. */
	enum { SAVER_WRITE, SAVER_APPEND, SAVER_TOUCH, SAVER_REMOVE } kind;
	snapshot_t *snapshot;     /*!< Pinned. */
	history_run_t run;
	store_times_t times;
	store_file_t file;
	const store_t *store;
	const uint8_t *name;      /*!< Of the zone; that is held. */
	bool needs_image;         /*!< As it was. */
	int ret;
} saver_job_t;

/*! All of a loop. */
struct saver {
	uv_loop_t *loop;
	uv_timer_t timer;         /*!< For those who are owed. */
	bool stopping;
	TAILQ_HEAD(saver_zones, saver_zone) queue;
	struct saver_zones owed;  /*!< Oldest first. */
	LIST_HEAD(, saver_place) places;
	saver_job_t job[SAVER_AT_ONCE];
};

/*! \brief Begins. */
void saver_init(saver_t *saver, uv_loop_t *loop);

/*! \brief Tells nobody any more, and closes the handle; what is wanted is written before the loop ends, which must run on. */
void saver_stop(saver_t *saver);

/*! \brief Gives the directories up. Nothing is wanted any more. */
void saver_clear(saver_t *saver);

/*!
 * \brief \a zone is kept in the directory \a path from now on (NULL: nowhere); what serves, if it was not before.
 *
 * A directory that cannot be used is an error line, once; its zones are as if it were not.
 * \param saved  What came of the call before, at first NULL. Becomes what the functions below want: own (saver_close()), or NULL: the
 *               zone is not kept.
 */
void saver_set(saver_t *saver, saver_zone_t **saved, zone_t *zone, const char *path, saver_kept_f kept, void *ctx);

/*!
 * \brief Reads what is kept of a zone that was just set, and has no version.
 *
 * A file that is of no use is a warning. For a zone that is not kept (\a saved is NULL) this and all below do nothing.
 * \param now      Seconds since the epoch.
 * \param ret_run  Own: differences that lead to it, or none.
 * \return Own: no draft, never published; or NULL.
 */
snapshot_t *saver_load(saver_zone_t *saved, int64_t now, store_times_t *ret_times, history_run_t *ret_run);

/*!
 * \brief \a now has been published in place of \a before (NULL: there was none): to be called for each version.
 *
 * One whose serial is not newer (RFC 1982) was forced, and what the history says of serials means something else from there on:
 * what was wanted before is not any more, and the next file is a new one.
 * \param now  Borrowed: it serves.
 */
void saver_published(saver_zone_t *saved, const snapshot_t *before, snapshot_t *now);

/*!
 * \brief The version that serves is to be kept.
 *
 * \param snapshot  Borrowed: it serves.
 * \return true: kept() follows. False: it is not kept, others may be told at once.
 */
bool saver_want(saver_zone_t *saved, snapshot_t *snapshot);

/*! \brief The version with \a serial, which serves or is about to, is known to be current. */
void saver_checked(saver_zone_t *saved, uint32_t serial, const store_times_t *times);

/*!
 * \brief No version serves any more (purged), and the next one does not follow from the one that did, whatever its serial.
 *
 * The file stays until that one is written.
 */
void saver_forget(saver_zone_t *saved);

/*! \brief The file of the zone goes, and whatever was wanted. */
void saver_purge(saver_zone_t *saved);

/*! \brief The zone goes; kept() is not called any more. What is wanted is still written, the file stays. \a saved is given up. */
void saver_close(saver_zone_t *saved);
