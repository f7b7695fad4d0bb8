/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Addresses of resolvers: as text, and in files like resolv.conf(5).
 */
#include "secondary/resolv_conf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libknot/errcode.h>

/*! Octets of the longest address as text: IPv6 with a scope. */
#define ADDRESS_MAX (INET6_ADDRSTRLEN + IF_NAMESIZE)

/*! Decimal digits, and nothing else, up to \a max. */
static bool read_number(const char *text, size_t len, uint32_t max, uint32_t *ret)
{
	uint64_t value = 0;
	if (len == 0 || len > 10) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9') {
			return false;
		}
		value = value * 10 + (text[i] - '0');
	}
	*ret = value;
	return value <= max;
}

static int read_scope(const char *text, uint32_t *ret_scope)
{
	if (read_number(text, strlen(text), UINT32_MAX, ret_scope)) {
		return KNOT_EOK;
	}
	*ret_scope = if_nametoindex(text);
	return *ret_scope != 0 ? KNOT_EOK : KNOT_ENOENT;
}

/*! \a text ends with an octet 0 and may be changed. */
static int read_host(char *text, uint16_t port, struct sockaddr_storage *ret_addr)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		memset(ret_addr, 0, sizeof(*ret_addr));
		memcpy(ret_addr, &v4, sizeof(v4));
		return KNOT_EOK;
	}

	char *percent = strchr(text, '%');
	if (percent != NULL) {
		*percent = '\0';
	}
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) != 1) {
		return KNOT_EINVAL;
	}
	int ret = percent != NULL ? read_scope(percent + 1, &v6.sin6_scope_id) : KNOT_EOK;
	if (ret != KNOT_EOK) {
		return ret;
	}
	memset(ret_addr, 0, sizeof(*ret_addr));
	memcpy(ret_addr, &v6, sizeof(v6));
	return KNOT_EOK;
}

int resolv_conf_address(const char *text, size_t len, struct sockaddr_storage *ret_addr)
{
	uint32_t port = 0;
	const char *at = memchr(text, '@', len);
	if (at != NULL) {
		const size_t host_len = at - text;
		if (!read_number(at + 1, len - host_len - 1, UINT16_MAX, &port) || port == 0) {
			return KNOT_EINVAL;
		}
		len = host_len;
	}
	char host[ADDRESS_MAX];
	if (len >= sizeof(host) || memchr(text, '\0', len) != NULL) {
		return KNOT_EINVAL;
	}
	memcpy(host, text, len);
	host[len] = '\0';
	return read_host(host, port, ret_addr);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/*! Cuts the next word off the line that ends at \a end; its length is 0 at the end of the line or before a comment. */
static const char *next_word(const char **line, const char *end, size_t *ret_len)
{
	const char *at = *line;
	while (at < end && is_blank(*at)) {
		at++;
	}
	const char *word = at;
	while (at < end && !is_blank(*at) && *at != '#' && *at != ';') {
		at++;
	}
	*line = at;
	*ret_len = at - word;
	return word;
}

/*! Is it a line with a name server that can be understood? */
static bool read_line(const char *line, const char *end, struct sockaddr_storage *ret_addr)
{
	static const char keyword[] = "nameserver";
	size_t len;
	const char *word = next_word(&line, end, &len);
	if (len != sizeof(keyword) - 1 || memcmp(word, keyword, len) != 0) {
		return false;
	}
	word = next_word(&line, end, &len);
	return resolv_conf_address(word, len, ret_addr) == KNOT_EOK;
}

unsigned resolv_conf_parse(const char *text, size_t len, struct sockaddr_storage *servers, unsigned max)
{
	unsigned count = 0;
	const char *end = text + len;
	for (const char *line = text; line < end && count < max; ) {
		const char *line_end = memchr(line, '\n', end - line);
		if (line_end == NULL) {
			line_end = end;
		}
		count += read_line(line, line_end, &servers[count]);
		line = line_end < end ? line_end + 1 : end;
	}
	return count;
}

/*! Opens without waiting: the path may be one of a FIFO or a device. */
static int open_regular(const char *path, int *ret_fd)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		return knot_map_errno();
	}
	struct stat st;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return KNOT_EINVAL;
	}
	*ret_fd = fd;
	return KNOT_EOK;
}

/*! Reads up to \a max octets. */
static int read_all(int fd, char *text, size_t max, size_t *ret_len)
{
	size_t len = 0;
	while (len < max) {
		ssize_t got = read(fd, text + len, max - len);
		if (got < 0 && errno != EINTR) {
			return knot_map_errno();
		}
		if (got == 0) {
			break;
		}
		len += got > 0 ? got : 0;
	}
	*ret_len = len;
	return KNOT_EOK;
}

int resolv_conf_read(const char *path, struct sockaddr_storage *servers, unsigned max, unsigned *ret_count)
{
	int fd = -1;
	int ret = open_regular(path, &fd);
	if (ret != KNOT_EOK) {
		return ret;
	}

	size_t len = 0;
	char *text = malloc(RESOLV_CONF_SIZE_MAX + 1);
	ret = text != NULL ? read_all(fd, text, RESOLV_CONF_SIZE_MAX + 1, &len) : KNOT_ENOMEM;
	close(fd);
	if (ret == KNOT_EOK && len > RESOLV_CONF_SIZE_MAX) {
		ret = KNOT_ERANGE;
	}
	if (ret == KNOT_EOK) {
		unsigned count = resolv_conf_parse(text, len, servers, max);
		if (count > 0) {
			*ret_count = count;
		} else {
			ret = KNOT_ENOENT;
		}
	}
	free(text);
	return ret;
}
