/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief A file with the names of zones, one a line.
 *
 * Comments begin with '#' ("\#" is an octet of a name), blanks around a name and empty lines do not count. Names are in presentation
 * format, with or without the final dot; a line with anything else ends the reading with an error that names file and line.
 *
 * Threads: any. Blocks: on the disk. Memory: one line.
 */
#pragma once

#include <libknot/dname.h>
#include <limits.h>
#include <stdio.h>

/*! Octets of a line; a name as text takes 1,004 at most. */
#define ZONES_FILE_LINE_MAX 1100

/*! What is called for each name (lower case, valid during the call); the first error ends the reading. */
typedef int (*zones_file_visit_f)(const knot_dname_t *name, void *ctx);

/*! Where and why reading failed. Long enough for a path of PATH_MAX, cut beyond. */
typedef struct {
	char text[PATH_MAX + 256];
} zones_file_error_t;

/*!
 * \brief Calls \a visit for each name of the file at \a path (absolute).
 *
 * Only a regular file is read: where the configuration is checked, a FIFO or a device would hold up the server.
 * \param ret_error  Set on failure.
 * \return KNOT_EOK, the first error of \a visit, KNOT_EMALF (a line), KNOT_EFILE, KNOT_EINVAL (the path); names before that line
 *         have been visited.
 */
int zones_file_read(const char *path, zones_file_visit_f visit, void *ctx, zones_file_error_t *ret_error);

/*! \brief The same for an open file, from where it stands. \param path  For the error. */
int zones_file_parse(FILE *file, const char *path, zones_file_visit_f visit, void *ctx, zones_file_error_t *ret_error);
