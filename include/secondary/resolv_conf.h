/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Addresses of resolvers: as text, and in files like resolv.conf(5).
 *
 * Of such a file only the `nameserver` lines count, any number of them: libc takes three, but this list is asked by a
 * resolver that knows which one answers. Comments begin with '#' or ';'. A line that cannot be understood is passed over,
 * as libc does. Threads: any. The parser does no I/O; its input is hostile.
 */
#pragma once

#include <stddef.h>
#include <sys/socket.h>

/*! Name servers kept of one file: all are tried in turn, and a query that goes through more helps nobody. */
#define RESOLV_CONF_SERVERS_MAX 32
/*! Octets read of a file: a thousand lines. A longer one is refused rather than cut in the middle of an address. */
#define RESOLV_CONF_SIZE_MAX    65536

/*!
 * \brief Reads "ADDR" or "ADDR@PORT"; an IPv6 address may have a scope ("fe80::1%eth0", "fe80::1%2").
 *
 * \param ret_addr  Its port is 0 where the text has none.
 * \return KNOT_EOK, KNOT_EINVAL, or KNOT_ENOENT (a scope that is no interface of this host).
 */
int resolv_conf_address(const char *text, size_t len, struct sockaddr_storage *ret_addr);

/*! \brief Reads the name servers of \a text into \a servers, at most \a max; further ones are ignored. Returns how many. */
unsigned resolv_conf_parse(const char *text, size_t len, struct sockaddr_storage *servers, unsigned max);

/*!
 * \brief Reads the file \a path. Blocks: on the disk.
 *
 * \return KNOT_EOK, an error of opening or reading, KNOT_EINVAL (not a regular file), KNOT_ERANGE (too long),
 *         KNOT_ENOENT (no name server in it, or no such file).
 */
int resolv_conf_read(const char *path, struct sockaddr_storage *servers, unsigned max, unsigned *ret_count);
