/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief A file with the names of zones, one a line.
 */
#include "secondary/zones_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libknot/errcode.h>
#include <libknot/error.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(zones_file_error_t *error, int ret, const char *path, unsigned line, const char *reason)
{
	if (line == 0) {
		(void)snprintf(error->text, sizeof(error->text), "zones-file '%s' (%s)", path, reason);
	} else {
		(void)snprintf(error->text, sizeof(error->text), "zones-file '%s', line %u (%s)", path, line, reason);
	}
	return ret;
}

/*! As knotd words it. */
static const char *errno_reason(void)
{
	return knot_strerror(knot_map_errno_code(errno));
}

/*! Opens a regular file: the check runs in knotd too, where a FIFO or a device would hold up the server. */
static FILE *open_regular(const char *path, const char **ret_reason)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		*ret_reason = errno_reason();
		return NULL;
	}

	struct stat st;
	bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	FILE *file = regular ? fdopen(fd, "r") : NULL;
	if (file == NULL) {
		*ret_reason = regular ? errno_reason() : "not a regular file";
		close(fd);
	}
	return file;
}

/*! Ends \a line before its comment; "\#" is an octet of a name. */
static void line_cut_comment(char *line)
{
	for (char *at = line; *at != '\0'; at++) {
		if (*at == '\\' && at[1] != '\0') {
			at++;
		} else if (*at == '#') {
			*at = '\0';
			return;
		}
	}
}

static char *line_trim(char *line)
{
	while (isspace((unsigned char)*line)) {
		line++;
	}
	size_t len = strlen(line);
	while (len > 0 && isspace((unsigned char)line[len - 1])) {
		line[--len] = '\0';
	}
	return line;
}

/*! knot_dname_from_str() takes any octet, so blanks and raw UTF-8 are sorted out first. */
static bool line_parse(const char *text, knot_dname_storage_t name)
{
	for (const char *at = text; *at != '\0'; at++) {
		if (!isgraph((unsigned char)*at)) {
			return false;
		}
	}
	if (knot_dname_from_str(name, text, sizeof(knot_dname_storage_t)) == NULL) {
		return false;
	}
	knot_dname_to_lower(name);
	return true;
}

int zones_file_parse(FILE *file, const char *path, zones_file_visit_f visit, void *ctx, zones_file_error_t *ret_error)
{
	char buf[ZONES_FILE_LINE_MAX + 2];
	knot_dname_storage_t name;

	for (unsigned line = 1; fgets(buf, sizeof(buf), file) != NULL; line++) {
		if (strchr(buf, '\n') == NULL && !feof(file)) {
			return fail(ret_error, KNOT_EMALF, path, line, "line too long");
		}
		line_cut_comment(buf);
		char *text = line_trim(buf);
		if (*text == '\0') {
			continue;
		}
		if (!line_parse(text, name)) {
			return fail(ret_error, KNOT_EMALF, path, line, "not a domain name");
		}
		int ret = visit(name, ctx);
		if (ret != KNOT_EOK) {
			return fail(ret_error, ret, path, line, knot_strerror(ret));
		}
	}
	return ferror(file) ? fail(ret_error, KNOT_EFILE, path, 0, errno_reason()) : KNOT_EOK;
}

int zones_file_read(const char *path, zones_file_visit_f visit, void *ctx, zones_file_error_t *ret_error)
{
	if (path[0] != '/') {
		return fail(ret_error, KNOT_EINVAL, path, 0, "not an absolute path");
	}
	const char *reason;
	FILE *file = open_regular(path, &reason);
	if (file == NULL) {
		return fail(ret_error, KNOT_EFILE, path, 0, reason);
	}
	int ret = zones_file_parse(file, path, visit, ctx, ret_error);
	fclose(file);
	return ret;
}
