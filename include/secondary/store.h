/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief A directory in which the versions of zones outlive the process: one file for each zone.
 *
 *     header     what it is, of which zone
 *     times      two slots, written in place by turns: when the version was last known to be current, when it expires
 *     image      blocks of a version (image.h), and what they come to
 *     log        differences (difference.h) that lead on from it; grows
 *
 * The file begins with an image that was written aside, synced and renamed; each difference is appended and synced, so that small
 * changes of a large zone cost their own size. When the log is worth a new image is the caller's to judge (store_file_t).
 *
 * All behind the times is a chain of frames: kind, octets, and a digest (XXH3, 64 bits) of them and the frame before. It finds
 * accidents, not forgery: who can write to the directory is believed. What follows behind the octets that times vouch for is passed over
 * from the first frame that is not whole: a killed writer leaves a part of what it appended, a power failure before a sync any pages of
 * it, and nobody was told of either. Everything else that does not fit (digest, lengths, octets that are missing, another zone, another form, the order
 * of octets of another machine) makes the whole file one that is not used. Times have a digest each, and no sync: if the last ones are lost,
 * the zone is older than it need be.
 *
 * A lock keeps a second process out of the directory. Where it cannot be written to, files are read all the same.
 *
 * Names of files are those of zones: octets other than letters, digits, hyphens and underscores as %xx, labels with dots between, the root
 * as "@"; cut where that gets longer than a file's name may be, with a digest of the name behind. The header tells the zone.
 *
 * Threads: any; one at a time for a zone. RCU: none. Blocks: for the disk. Memory: about 2 MiB while one is written or read, or the largest
 * owner or difference. Speed: 1 GB a second and 0.15 µs an owner, besides the disk's.
 */
#pragma once

#include "secondary/difference.h"
#include "secondary/snapshot.h"

/*! Raise it with every change of the form of the file, of nodes (snapshot.h), of images, or of differences. */
#define STORE_FORMAT 2

/*! Octets of a file's name, with what is put behind it, and the last 0. */
#define STORE_FILE_NAME_MAX 256

typedef struct store store_t;

/*! How long a version may be served. Seconds since the epoch. */
typedef struct {
	int64_t checked_at;       /*!< When it was last known to be current. */
	int64_t expires_at;
} store_times_t;

/*! \brief Seconds that are left at \a now. No more than there were when it was checked, should the clock be behind since. */
static inline uint32_t store_times_left(const store_times_t *times, int64_t now)
{
	const int64_t from = now > times->checked_at ? now : times->checked_at;
	if (times->expires_at <= from) {
		return 0;
	}
	return times->expires_at - from < UINT32_MAX ? times->expires_at - from : UINT32_MAX;
}

/*! What the file of a zone holds, as its one writer knows it. Zeroed: nothing that could be appended to. */
typedef struct {
	uint64_t inode;           /*!< Of the file; 0: none. */
	uint64_t image_end;       /*!< Octets up to the end of the image, */
	uint64_t end;             /*!< and of the log. */
	uint64_t header;          /*!< Digest of the header, */
	uint64_t digest;          /*!< and of the last frame. */
	uint64_t turns;           /*!< How often times were written. */
	uint32_t serial;          /*!< Of the version that it leads to. */
	uint32_t differences;     /*!< In the log. */
} store_file_t;

/*! What was read. */
typedef struct {
	snapshot_t *snapshot;     /*!< Own: no draft, never published. */
	store_times_t times;
	store_file_t file;
	difference_t **difference; /*!< Own, each held: those that lead from the image's version to this one, */
	uint32_t count;           /*!< so many. */
	bool is_torn;             /*!< A change at the end was not whole, and is left out. */
} store_content_t;

/*!
 * \brief Opens the directory at \a path, making it if its parent is there, and takes its lock.
 *
 * \param ret_store  Own.
 * \return KNOT_EOK; KNOT_EBUSY: another process has it; KNOT_ENOMEM; or a system error.
 */
int store_open(const char *path, store_t **ret_store);

/*! \brief Gives the directory up. NULL is a no-op. */
void store_close(store_t *store);

/*! \brief The path as it was given. Borrow. */
const char *store_path(const store_t *store);

/*! \brief Writes the name of the file of \a zone (in full, lower case) to \a dst; returns it. */
char *store_file_name(const uint8_t *zone, char dst[static STORE_FILE_NAME_MAX]);

/*!
 * \brief Reads the version of \a zone.
 *
 * Thread: registered with RCU.
 * \param now         Seconds since the epoch: an expired version is not read.
 * \param ret_reason  With KNOT_EMALF: words that end a log line; static.
 * \return KNOT_EOK, KNOT_ENOENT (there is no file), KNOT_EMALF (not usable), KNOT_ENOMEM, or a system error.
 */
int store_read(const store_t *store, const uint8_t *zone, int64_t now, store_content_t *ret_content,
               const char **ret_reason);

/*! \brief Frees what was read and not taken (set to NULL). */
void store_content_clear(store_content_t *content);

/*!
 * \brief Writes a new file of \a zone with the image of \a snapshot, which is pinned, and puts it in the place of the old one.
 *
 * When it returns KNOT_EOK the version is on disk; else the old file is as it was.
 * \param file  Set on success.
 */
int store_write(const store_t *store, const uint8_t *zone, const snapshot_t *snapshot, const store_times_t *times,
                store_file_t *file);

/*!
 * \brief Appends differences, \a count of them, that lead on from file->serial, in order.
 *
 * When it returns KNOT_EOK they are on disk; else the file holds what it held.
 * \return KNOT_EOK; KNOT_ENOENT: there is no file, or another one than \a file says: store_write(); KNOT_ENOMEM; or a system error.
 */
int store_append(const store_t *store, const uint8_t *zone, difference_t *const *difference, size_t count,
                 const store_times_t *times, store_file_t *file);

/*! \brief Notes that the version is good for longer. Not synced. \return As store_append(). */
int store_touch(const store_t *store, const uint8_t *zone, const store_times_t *times, store_file_t *file);

/*! \brief Removes the file of \a zone, and what an unfinished writer left. \return KNOT_EOK (also if there was none), or a system error. */
int store_remove(const store_t *store, const uint8_t *zone);
