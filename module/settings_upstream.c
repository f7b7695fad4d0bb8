/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The `upstream…` items of the module's section (settings_upstream.h).
 */
#include "settings_upstream.h"

#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/address.h"
#include "secondary/resolv_conf.h"
#include "secondary/resolver.h"
#include "secondary/tls_stream.h"

#define C_SERVER "\x06""server"
#define C_LISTEN "\x06""listen"

/*! Addresses of this server that are told from others' at most. */
#define OWN_MAX  256

/*! Has this process loaded the module before? Then a check is that of a reload. Atomic. */
static bool has_loaded;

/*! err_str has to live on after the check; checks run one after the other. */
static char check_error[PATH_MAX + 128];

/* -- check ------------------------------------------------------------------------------------------------------------ */

/*!
 * Does knotd check the configuration that it starts with? A file that is missing then shall not keep it from starting:
 * it is waited for. `knotc conf-check` and a reload refuse it.
 */
static bool is_server_start(void)
{
	return strcmp(program_invocation_short_name, "knotd") == 0 && !__atomic_load_n(&has_loaded, __ATOMIC_ACQUIRE);
}

static int refuse_of(knotd_conf_check_args_t *args, const yp_name_t *item, const char *value, const char *what)
{
	(void)snprintf(check_error, sizeof(check_error), "'%s' %s (%s)", item + 1, value, what);
	args->err_str = check_error;
	return KNOT_EINVAL;
}

static int refuse(knotd_conf_check_args_t *args, const char *value, const char *what)
{
	return refuse_of(args, S_UPSTREAM, value, what);
}

static int check_file(knotd_conf_check_args_t *args, const char *path)
{
	struct sockaddr_storage servers[RESOLV_CONF_SERVERS_MAX];
	unsigned count;
	int ret = is_server_start() ? KNOT_EOK : resolv_conf_read(path, servers, RESOLV_CONF_SERVERS_MAX, &count);
	switch (ret) {
	case KNOT_EOK:
		return KNOT_EOK;
	case KNOT_ENOENT:
		return refuse(args, path, "no such file, or no 'nameserver' line in it");
	case KNOT_EINVAL:
		return refuse(args, path, "not a regular file");
	default:
		return refuse(args, path, knot_strerror(ret));
	}
}

/*! The usual way to write it elsewhere: "192.0.2.1:53", "[2001:db8::1]:53". */
static bool has_colon_port(const char *text)
{
	const char *colon = strrchr(text, ':');
	return text[0] == '[' || (colon != NULL && strchr(text, ':') == colon);
}

static int check_source(knotd_conf_check_args_t *args, const char *text)
{
	struct sockaddr_storage addr;
	if (strcmp(text, "self") == 0) {
		return KNOT_EOK;
	}
	if (text[0] == '/') {
		return check_file(args, text);
	}
	switch (resolv_conf_address(text, strlen(text), &addr)) {
	case KNOT_EOK:
		return KNOT_EOK;
	case KNOT_ENOENT:
		return refuse(args, text, "no such interface");
	default:
		return refuse(args, text, has_colon_port(text) ? "a port is written as ADDRESS@PORT"
		                                               : "neither address, 'self' nor absolute path");
	}
}

static int check_ttls(knotd_conf_check_args_t *args)
{
	const int64_t min = knotd_conf_check_item(args, S_UPSTREAM_MIN_TTL).single.integer;
	const int64_t max = knotd_conf_check_item(args, S_UPSTREAM_MAX_TTL).single.integer;
	if (min > max) {
		args->err_str = "'upstream-min-ttl' is greater than 'upstream-max-ttl'";
		return KNOT_EINVAL;
	}
	return KNOT_EOK;
}

static int check_anchor(knotd_conf_check_args_t *args)
{
	const char *path = knotd_conf_check_item(args, S_UPSTREAM_ANCHOR).single.string;
	if (path == NULL) {
		return KNOT_EOK;
	}
	if (path[0] != '/') {
		return refuse_of(args, S_UPSTREAM_ANCHOR, path, "not an absolute path");
	}
	switch (is_server_start() ? KNOT_EOK : resolver_check_trust_anchor(path)) {
	case KNOT_EOK:
		return KNOT_EOK;
	case KNOT_ENOENT:
		return refuse_of(args, S_UPSTREAM_ANCHOR, path, "no such file, or no DS or DNSKEY record in it");
	case KNOT_EMALF:
		return refuse_of(args, S_UPSTREAM_ANCHOR, path, "malformed record");
	default:
		return refuse_of(args, S_UPSTREAM_ANCHOR, path, "cannot be read");
	}
}

/*! A name as in a certificate: no address, no root. */
static bool is_host_name(const char *text)
{
	struct sockaddr_storage addr;
	knot_dname_storage_t name;
	return resolv_conf_address(text, strlen(text), &addr) != KNOT_EOK && strchr(text, '\\') == NULL &&
	       knot_dname_from_str(name, text, sizeof(name)) != NULL && name[0] != 0;
}

static int check_ca(knotd_conf_check_args_t *args, const char *path)
{
	if (path[0] != '/') {
		return refuse_of(args, S_UPSTREAM_TLS_CA, path, "not an absolute path");
	}
	tls_trust_t *trust = NULL;
	int ret = is_server_start() ? KNOT_EOK : tls_trust_new(path, &trust);
	tls_trust_free(trust);
	return ret == KNOT_EOK ? KNOT_EOK : refuse_of(args, S_UPSTREAM_TLS_CA, path, "no such file, or no certificate in it");
}

static int check_tls(knotd_conf_check_args_t *args)
{
	const char *name = knotd_conf_check_item(args, S_UPSTREAM_TLS_NAME).single.string;
	const char *ca = knotd_conf_check_item(args, S_UPSTREAM_TLS_CA).single.string;
	if (name == NULL) {
		return ca == NULL ? KNOT_EOK : refuse_of(args, S_UPSTREAM_TLS_CA, ca, "without 'upstream-tls-name'");
	}
	if (!is_host_name(name)) {
		return refuse_of(args, S_UPSTREAM_TLS_NAME, name, "not a host name");
	}
	if (knotd_conf_check_item(args, S_UPSTREAM_ANCHOR).single.string != NULL) {
		return refuse_of(args, S_UPSTREAM_TLS_NAME, name, "together with 'upstream-trust-anchor': nothing is validated over TLS");
	}
	return ca != NULL ? check_ca(args, ca) : KNOT_EOK;
}

int settings_upstream_check(knotd_conf_check_args_t *args)
{
	int ret = check_ttls(args);
	if (ret == KNOT_EOK) {
		ret = check_anchor(args);
	}
	if (ret == KNOT_EOK) {
		ret = check_tls(args);
	}
	knotd_conf_t sources = knotd_conf_check_item(args, S_UPSTREAM);
	for (size_t i = 0; i < sources.count && ret == KNOT_EOK; i++) {
		ret = check_source(args, sources.multi[i].string);
	}
	knotd_conf_free(&sources);
	return ret;
}

/* -- this server's addresses ------------------------------------------------------------------------------------------ */

static bool is_wildcard(const struct sockaddr_storage *addr)
{
	return addr->ss_family == AF_INET ? ((const struct sockaddr_in *)addr)->sin_addr.s_addr == htonl(INADDR_ANY)
	                                  : IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)addr)->sin6_addr);
}

static void own_add(upstream_options_t *options, const struct sockaddr_storage *addr)
{
	if (options->own_count < OWN_MAX) {
		options->own[options->own_count++] = *addr;
	}
}

/*! A wildcard address listens on all of the host. */
static void own_add_interfaces(upstream_options_t *options, const struct sockaddr_storage *wildcard)
{
	struct ifaddrs *list;
	if (getifaddrs(&list) != 0) {
		return;
	}
	for (const struct ifaddrs *each = list; each != NULL; each = each->ifa_next) {
		if (each->ifa_addr == NULL || each->ifa_addr->sa_family != wildcard->ss_family) {
			continue;
		}
		struct sockaddr_storage addr = *wildcard;
		if (addr.ss_family == AF_INET) {
			((struct sockaddr_in *)&addr)->sin_addr = ((const struct sockaddr_in *)each->ifa_addr)->sin_addr;
		} else {
			((struct sockaddr_in6 *)&addr)->sin6_addr = ((const struct sockaddr_in6 *)each->ifa_addr)->sin6_addr;
		}
		own_add(options, &addr);
	}
	freeifaddrs(list);
}

static int own_read(knotd_mod_t *mod, upstream_options_t *options)
{
	options->own = calloc(OWN_MAX, sizeof(options->own[0]));
	if (options->own == NULL) {
		return KNOT_ENOMEM;
	}
	knotd_conf_t listen = knotd_conf(mod, C_SERVER, C_LISTEN, NULL);
	for (size_t i = 0; i < listen.count; i++) {
		const struct sockaddr_storage *addr = &listen.multi[i].addr;
		if (addr->ss_family == AF_INET || addr->ss_family == AF_INET6) {
			own_add(options, addr);
		}
	}
	const unsigned listening = options->own_count;
	for (unsigned i = 0; i < listening; i++) {
		if (is_wildcard(&options->own[i])) {
			own_add_interfaces(options, &options->own[i]);
		}
	}
	knotd_conf_free(&listen);
	return KNOT_EOK;
}

/*! Would this server ask itself? */
static bool is_own(const upstream_options_t *options, const struct sockaddr_storage *addr)
{
	struct sockaddr_storage full = *addr;
	in_port_t *port = full.ss_family == AF_INET6 ? &((struct sockaddr_in6 *)&full)->sin6_port
	                                             : &((struct sockaddr_in *)&full)->sin_port;
	if (*port == 0) {
		*port = htons(upstream_options_port(options));
	}
	for (unsigned i = 0; i < options->own_count; i++) {
		if (address_equal(&full, &options->own[i])) {
			return true;
		}
	}
	return false;
}

/* -- read ------------------------------------------------------------------------------------------------------------- */

static void complain(knotd_mod_t *mod, const char *text, const char *what)
{
	const knot_dname_t *name = knotd_mod_zone(mod);
	knot_dname_txt_storage_t zone;
	if (name != NULL) {
		knotd_mod_log(mod, LOG_ERR, "item 'upstream', zone '%s', '%s' ignored, %s",
		              knot_dname_to_str(zone, name, sizeof(zone)), text, what);
	} else {
		knotd_mod_log(mod, LOG_ERR, "item 'upstream', '%s' ignored, %s", text, what);
	}
}

static int source_add(knotd_mod_t *mod, upstream_options_t *options, const char *text)
{
	upstream_source_t source = { .kind = UPSTREAM_ADDRESS };
	if (strcmp(text, "self") == 0) {
		source.kind = UPSTREAM_SELF;
		if (options->own_count == 0) {
			complain(mod, text, "this server listens nowhere");
			return KNOT_EOK;
		}
	} else if (text[0] == '/') {
		source.kind = UPSTREAM_FILE;
		source.path = strdup(text);
		if (source.path == NULL) {
			return KNOT_ENOMEM;
		}
	} else if (resolv_conf_address(text, strlen(text), &source.addr) != KNOT_EOK) {
		complain(mod, text, "not an address"); /* An interface that went away since the check. */
		return KNOT_EOK;
	} else if (is_own(options, &source.addr)) {
		complain(mod, text, "this server listens there itself, see 'self'");
		return KNOT_EOK;
	}
	options->source[options->source_count++] = source;
	return KNOT_EOK;
}

static int sources_read(knotd_mod_t *mod, const knotd_conf_t *texts, upstream_options_t *options)
{
	options->source = calloc(texts->count, sizeof(options->source[0]));
	int ret = options->source != NULL ? own_read(mod, options) : KNOT_ENOMEM;
	for (size_t i = 0; i < texts->count && ret == KNOT_EOK; i++) {
		ret = source_add(mod, options, texts->multi[i].string);
	}
	return ret;
}

static int64_t item_int(knotd_mod_t *mod, const yp_name_t *item)
{
	return knotd_conf_mod(mod, item).single.integer;
}

/*! \param ret_text  Own; NULL: the item is not there. */
static int text_read(knotd_mod_t *mod, const yp_name_t *item, char **ret_text)
{
	const char *text = knotd_conf_mod(mod, item).single.string;
	char *copy = text != NULL ? strdup(text) : NULL;
	if (text != NULL && copy == NULL) {
		return KNOT_ENOMEM;
	}
	*ret_text = copy;
	return KNOT_EOK;
}

/*! Certificates and TLS write names without the final dot. */
static int name_read(knotd_mod_t *mod, char **ret_name)
{
	int ret = text_read(mod, S_UPSTREAM_TLS_NAME, ret_name);
	const size_t len = ret == KNOT_EOK && *ret_name != NULL ? strlen(*ret_name) : 0;
	if (len > 0 && (*ret_name)[len - 1] == '.') {
		(*ret_name)[len - 1] = '\0';
	}
	return ret;
}

static int options_read(knotd_mod_t *mod, const knotd_conf_t *texts, upstream_options_t *options)
{
	options->ttl_min = item_int(mod, S_UPSTREAM_MIN_TTL);
	options->ttl_max = item_int(mod, S_UPSTREAM_MAX_TTL);
	options->stale = item_int(mod, S_UPSTREAM_STALE);
	options->cache_size = item_int(mod, S_UPSTREAM_CACHE);
	int ret = text_read(mod, S_UPSTREAM_ANCHOR, &options->trust_anchor);
	if (ret == KNOT_EOK) {
		ret = name_read(mod, &options->tls_name);
	}
	if (ret == KNOT_EOK) {
		ret = text_read(mod, S_UPSTREAM_TLS_CA, &options->tls_ca_file);
	}
	return ret == KNOT_EOK ? sources_read(mod, texts, options) : ret;
}

static void foreign_read(knotd_mod_t *mod, foreign_t *foreign)
{
	foreign->ahead = item_int(mod, S_UPSTREAM_PREFETCH);
	foreign->dname = knotd_conf_mod(mod, S_UPSTREAM_DNAME).single.boolean;
	foreign->hold_ms = item_int(mod, S_UPSTREAM_HOLD);
	foreign->workers[0] = knotd_conf_env(mod, KNOTD_CONF_ENV_WORKERS_UDP).single.integer;
	foreign->workers[1] = knotd_conf_env(mod, KNOTD_CONF_ENV_WORKERS_TCP).single.integer;
}

void settings_upstream(knotd_mod_t *mod, foreign_t *ret_foreign)
{
	__atomic_store_n(&has_loaded, true, __ATOMIC_RELEASE);
	knotd_conf_t texts = knotd_conf_mod(mod, S_UPSTREAM);
	upstream_options_t options = { 0 };
	int ret = texts.count > 0 ? options_read(mod, &texts, &options) : KNOT_EOK;
	knotd_conf_free(&texts);
	if (ret == KNOT_EOK && options.source_count > 0) {
		ret = upstream_attach(&options, &ret_foreign->upstream);
	}
	upstream_options_clear(&options);
	if (ret != KNOT_EOK) {
		knotd_mod_log(mod, LOG_ERR, "item 'upstream', failed to start the resolver, aliases are not followed (%s)",
		              knot_strerror(ret));
	} else if (ret_foreign->upstream != NULL) {
		foreign_read(mod, ret_foreign);
	}
}
