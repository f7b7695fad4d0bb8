/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What makes an upstream, and which addresses that comes to now (upstream_options.h).
 */
#include "secondary/upstream_options.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <libknot/errcode.h>

#include "secondary/address.h"
#include "secondary/resolv_conf.h"

/* -- options ---------------------------------------------------------------------------------------------------------- */

void upstream_options_clear(upstream_options_t *options)
{
	for (unsigned i = 0; i < options->source_count; i++) {
		free(options->source[i].path);
	}
	free(options->source);
	free(options->trust_anchor);
	free(options->tls_name);
	free(options->tls_ca_file);
	free(options->own);
	options->source = NULL;
	options->trust_anchor = options->tls_name = options->tls_ca_file = NULL;
	options->own = NULL;
	options->source_count = options->own_count = 0;
}

static bool source_equal(const upstream_source_t *a, const upstream_source_t *b)
{
	if (a->kind != b->kind) {
		return false;
	}
	switch (a->kind) {
	case UPSTREAM_ADDRESS: return address_equal(&a->addr, &b->addr);
	case UPSTREAM_FILE:    return strcmp(a->path, b->path) == 0;
	case UPSTREAM_SELF:    return true;
	}
	return false;
}

static bool text_equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool addresses_equal(const struct sockaddr_storage *a, unsigned a_count, const struct sockaddr_storage *b, unsigned b_count)
{
	if (a_count != b_count) {
		return false;
	}
	for (unsigned i = 0; i < a_count; i++) {
		if (!address_equal(&a[i], &b[i])) {
			return false;
		}
	}
	return true;
}

bool upstream_options_equal(const upstream_options_t *a, const upstream_options_t *b)
{
	if (a->source_count != b->source_count || a->ttl_min != b->ttl_min || a->ttl_max != b->ttl_max ||
	    a->stale != b->stale || !text_equal(a->trust_anchor, b->trust_anchor) || !text_equal(a->tls_name, b->tls_name) ||
	    !text_equal(a->tls_ca_file, b->tls_ca_file)) {
		return false;
	}
	for (unsigned i = 0; i < a->source_count; i++) {
		if (!source_equal(&a->source[i], &b->source[i])) {
			return false;
		}
	}
	return true;
}

bool upstream_options_own_equal(const upstream_options_t *a, const upstream_options_t *b)
{
	return addresses_equal(a->own, a->own_count, b->own, b->own_count);
}

uint16_t upstream_options_port(const upstream_options_t *options)
{
	return options->tls_name != NULL ? 853 : 53;
}

bool upstream_options_has(const upstream_options_t *options, upstream_kind_t kind)
{
	for (unsigned i = 0; i < options->source_count; i++) {
		if (options->source[i].kind == kind) {
			return true;
		}
	}
	return false;
}

bool upstream_options_self(const upstream_options_t *options, struct sockaddr_storage *ret_addr)
{
	if (options->own_count == 0) {
		return false;
	}
	struct sockaddr_storage addr = options->own[0];
	struct sockaddr_in *v4 = (struct sockaddr_in *)&addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&addr;
	if (addr.ss_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY)) {
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else if (addr.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)) {
		v6->sin6_addr = in6addr_loopback;
	}
	*ret_addr = addr;
	return true;
}

/* -- files ------------------------------------------------------------------------------------------------------------ */

static upstream_file_t file_look(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0) {
		return (upstream_file_t) { 0 };
	}
	return (upstream_file_t) { .exists = true, .inode = st.st_ino, .size = st.st_size, .changed = st.st_mtim };
}

static bool file_same(const upstream_file_t *a, const upstream_file_t *b)
{
	return a->exists == b->exists && a->inode == b->inode && a->size == b->size &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

bool upstream_files_changed(const upstream_options_t *options, const upstream_file_t *files)
{
	for (unsigned i = 0; i < options->source_count; i++) {
		if (options->source[i].kind == UPSTREAM_FILE) {
			const upstream_file_t now = file_look(options->source[i].path);
			if (!file_same(&now, &files[i])) {
				return true;
			}
		}
	}
	return false;
}

static const char *more_path(const upstream_options_t *options, unsigned i)
{
	return i == 0 ? options->trust_anchor : options->tls_ca_file;
}

static void note_more(const upstream_options_t *options, upstream_file_t *files)
{
	for (unsigned i = 0; i < UPSTREAM_FILES_MORE; i++) {
		const char *path = more_path(options, i);
		files[options->source_count + i] = path != NULL ? file_look(path) : (upstream_file_t) { 0 };
	}
}

bool upstream_way_changed(const upstream_options_t *options, const upstream_file_t *files)
{
	for (unsigned i = 0; i < UPSTREAM_FILES_MORE; i++) {
		const char *path = more_path(options, i);
		const upstream_file_t now = path != NULL ? file_look(path) : (upstream_file_t) { 0 };
		if (!file_same(&now, &files[options->source_count + i])) {
			return true;
		}
	}
	return false;
}

/* -- servers ---------------------------------------------------------------------------------------------------------- */

static in_port_t *port_of(struct sockaddr_storage *addr)
{
	return addr->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)addr)->sin6_port
	                                   : &((struct sockaddr_in *)addr)->sin_port;
}

static bool is_among(const struct sockaddr_storage *addr, const struct sockaddr_storage *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (address_equal(addr, &list[i])) {
			return true;
		}
	}
	return false;
}

static void server_add(upstream_servers_t *servers, struct sockaddr_storage addr, uint16_t port)
{
	if (*port_of(&addr) == 0) {
		*port_of(&addr) = htons(port);
	}
	if (servers->count < UPSTREAM_SERVERS_MAX && !is_among(&addr, servers->addr, servers->count)) {
		servers->addr[servers->count++] = addr;
	}
}

void upstream_servers_read(const upstream_options_t *options, upstream_file_t *files,
                           void (*failed)(void *ctx, const char *path, int reason), void *ctx,
                           upstream_servers_t *ret_servers)
{
	ret_servers->count = 0;
	if (files != NULL) {
		note_more(options, files);
	}
	for (unsigned i = 0; i < options->source_count; i++) {
		const upstream_source_t *source = &options->source[i];
		struct sockaddr_storage found[RESOLV_CONF_SERVERS_MAX];
		unsigned count = 0;
		if (source->kind == UPSTREAM_ADDRESS) {
			server_add(ret_servers, source->addr, upstream_options_port(options));
		}
		if (source->kind != UPSTREAM_FILE) {
			continue;
		}
		if (files != NULL) {
			files[i] = file_look(source->path); /* before it is read: what is written meanwhile is a change */
		}
		int ret = resolv_conf_read(source->path, found, RESOLV_CONF_SERVERS_MAX, &count);
		if (ret != KNOT_EOK && failed != NULL) {
			failed(ctx, source->path, ret);
		}
		for (unsigned k = 0; k < count; k++) {
			server_add(ret_servers, found[k], upstream_options_port(options));
		}
	}
}

void upstream_servers_remove_own(const upstream_options_t *options, upstream_servers_t *servers)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < servers->count; i++) {
		if (!is_among(&servers->addr[i], options->own, options->own_count)) {
			servers->addr[kept++] = servers->addr[i];
		}
	}
	servers->count = kept;
}

bool upstream_servers_equal(const upstream_servers_t *a, const upstream_servers_t *b)
{
	return addresses_equal(a->addr, a->count, b->addr, b->count);
}
