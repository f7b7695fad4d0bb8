/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Socket addresses as text and compared. Pure functions, any thread.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/*! An internet address in a quarter of the room, for what each zone keeps. */
typedef union {
	sa_family_t family;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
} address_t;

/*! Octets of the longest text: an IPv6 address with scope, "@" and port. */
#define ADDRESS_TEXT_MAX 80

/*!
 * \brief Writes "192.0.2.1@53" as knotd's log does: no port if it is 0, "?" for a family that is not internet.
 *
 * Returns \a dst.
 */
char *address_text(const struct sockaddr_storage *addr, char dst[static ADDRESS_TEXT_MAX]);

/*!
 * \brief Same address, whatever the port.
 *
 * An IPv4-mapped IPv6 address is the IPv4 one. An IPv6 address without scope equals one with any scope. A family that is
 * not internet equals nothing, itself included.
 */
bool address_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b);

/*! \brief Same family, address (as address_same_host()) and port. */
bool address_equal(const struct sockaddr_storage *a, const struct sockaddr_storage *b);

/*! \brief Octets of the address structure for its family, as bind(2) and connect(2) want them. */
static inline socklen_t address_len(const struct sockaddr_storage *addr)
{
	return addr->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

/*! \brief \a addr without the room that it has for others; of another family, only that is kept. */
address_t address_short(const struct sockaddr_storage *addr);

/*! \brief The same as it was. */
struct sockaddr_storage address_whole(const address_t *addr);
