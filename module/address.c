/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Socket addresses as text and compared.
 */
#include "secondary/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static const struct sockaddr_in *as_v4(const struct sockaddr_storage *addr)
{
	return (const struct sockaddr_in *)addr;
}

static const struct sockaddr_in6 *as_v6(const struct sockaddr_storage *addr)
{
	return (const struct sockaddr_in6 *)addr;
}

static in_port_t port_of(const struct sockaddr_storage *addr)
{
	return addr->ss_family == AF_INET6 ? as_v6(addr)->sin6_port : as_v4(addr)->sin_port;
}

static bool is_internet(const struct sockaddr_storage *addr)
{
	return addr->ss_family == AF_INET || addr->ss_family == AF_INET6;
}

/*! The four octets of an IPv4 address, IPv4-mapped or not; NULL: it is none. */
static const void *v4_octets(const struct sockaddr_storage *addr)
{
	if (addr->ss_family == AF_INET) {
		return &as_v4(addr)->sin_addr;
	}
	if (addr->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&as_v6(addr)->sin6_addr)) {
		return &as_v6(addr)->sin6_addr.s6_addr[12];
	}
	return NULL;
}

/*! Appends the zone of a scoped address (RFC 4007, section 11): the interface's name, or its index once that is gone. */
static void append_scope(uint32_t scope, char *text, size_t max)
{
	char name[IF_NAMESIZE];
	size_t len = strlen(text);
	if (if_indextoname(scope, name) != NULL) {
		snprintf(text + len, max - len, "%%%s", name);
	} else {
		snprintf(text + len, max - len, "%%%u", scope);
	}
}

char *address_text(const struct sockaddr_storage *addr, char dst[static ADDRESS_TEXT_MAX])
{
	assert(addr != NULL);

	if (!is_internet(addr)) {
		return strcpy(dst, "?");
	}

	const void *octets = addr->ss_family == AF_INET6 ? (const void *)&as_v6(addr)->sin6_addr
	                                                 : (const void *)&as_v4(addr)->sin_addr;
	inet_ntop(addr->ss_family, octets, dst, ADDRESS_TEXT_MAX);
	if (addr->ss_family == AF_INET6 && as_v6(addr)->sin6_scope_id != 0) {
		append_scope(as_v6(addr)->sin6_scope_id, dst, ADDRESS_TEXT_MAX);
	}

	unsigned port = ntohs(port_of(addr));
	if (port != 0) {
		size_t len = strlen(dst);
		snprintf(dst + len, ADDRESS_TEXT_MAX - len, "@%u", port);
	}
	return dst;
}

bool address_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	assert(a != NULL && b != NULL);

	const void *a4 = v4_octets(a);
	const void *b4 = v4_octets(b);
	if (a4 != NULL && b4 != NULL) {
		return memcmp(a4, b4, sizeof(struct in_addr)) == 0;
	}
	if (a->ss_family != AF_INET6 || b->ss_family != AF_INET6) {
		return false;
	}

	/* A configured address may leave the scope out; the one of a datagram never does. */
	uint32_t a_scope = as_v6(a)->sin6_scope_id, b_scope = as_v6(b)->sin6_scope_id;
	return IN6_ARE_ADDR_EQUAL(&as_v6(a)->sin6_addr, &as_v6(b)->sin6_addr) &&
	       (a_scope == b_scope || a_scope == 0 || b_scope == 0);
}

bool address_equal(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	assert(a != NULL && b != NULL);

	return is_internet(a) && a->ss_family == b->ss_family && port_of(a) == port_of(b) && address_same_host(a, b);
}

address_t address_short(const struct sockaddr_storage *addr)
{
	address_t made = { .family = addr->ss_family };
	if (addr->ss_family == AF_INET || addr->ss_family == AF_INET6) {
		memcpy(&made, addr, address_len(addr));
	}
	return made;
}

struct sockaddr_storage address_whole(const address_t *addr)
{
	struct sockaddr_storage made = { .ss_family = addr->family };
	memcpy(&made, addr, sizeof(*addr));
	return made;
}
