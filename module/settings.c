/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief The module's section of knot.conf: schema, what is refused, and reading it.
 *
 * knotd_conf*() crashes on names of items and sections that knotd does not have, so all of them are written down once, at
 * the top. What it returns lives in the configuration: all that is kept is copied.
 */
#include "secondary/settings.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "secondary/zones_file.h"
#include "settings_upstream.h"

/* The module's own items; those about names outside our zones are in settings_upstream.h. */
#define S_ZONES           "\x05""zones"
#define S_ZONES_FILE      "\x0A""zones-file"
#define S_TRANSFER_FROM   "\x0D""transfer-from"
#define S_TRANSFER_TO     "\x0B""transfer-to"
#define S_NOTIFY          "\x06""notify"
#define S_REFRESH_JITTER  "\x0E""refresh-jitter"
#define S_RETRY_JITTER    "\x0C""retry-jitter"
#define S_REFRESH_MIN     "\x14""refresh-min-interval"
#define S_REFRESH_MAX     "\x14""refresh-max-interval"
#define S_RETRY_MIN       "\x12""retry-min-interval"
#define S_RETRY_MAX       "\x12""retry-max-interval"
#define S_EXPIRE_MIN      "\x13""expire-min-interval"
#define S_EXPIRE_MAX      "\x13""expire-max-interval"
#define S_ZONE_MAX_SIZE   "\x0D""zone-max-size"
#define S_DIFFERENCES     "\x13""difference-max-size"
#define S_STORE           "\x05""store"
#define S_SHRINK          "\x11""zone-shrink-limit"
#define S_ZONEMD          "\x0D""zonemd-verify"
#define S_TIMEOUT         "\x10""transfer-timeout"
#define S_IDLE_TIMEOUT    "\x15""transfer-idle-timeout"
#define S_LIMIT           "\x0E""transfer-limit"
#define S_LIMIT_REMOTE    "\x15""transfer-limit-remote"
#define S_CONTROL         "\x0E""control-listen"

/* knotd's sections and items. */
#define C_ACL             "\x03""acl"
#define C_ACTION          "\x06""action"
#define C_DENY            "\x04""deny"
#define C_REMOTE          "\x06""remote"
#define C_REMOTES         "\x07""remotes"
#define C_ADDRESS         "\x07""address"
#define C_VIA             "\x03""via"
#define C_KEY             "\x03""key"
#define C_NO_EDNS         "\x07""no-edns"
#define C_ALGORITHM       "\x09""algorithm"
#define C_SECRET          "\x06""secret"
#define C_SERVER          "\x06""server"
#define C_RUNDIR          "\x06""rundir"
#define C_TEMPLATE        "\x08""template"
#define C_GLOBAL_MODULE   "\x0D""global-module"
#define C_MODULE          "\x06""module"
#define C_ZONE            "\x04""zone"
#define C_DOMAIN          "\x06""domain"
#define C_MASTER          "\x06""master"
#define C_SIGNING         "\x0E""dnssec-signing"
#define C_ZONEFILE_LOAD   "\x0D""zonefile-load"
#define C_JOURNAL         "\x0F""journal-content"
#define C_CATALOG_ROLE    "\x0C""catalog-role"

/*! A reference to a module is its name with a length octet, then the stanza's id. */
static const uint8_t MODULE_NAME[] = "\x0D""mod-secondary";

#define HOURS(n)           ((n) * 3600)
#define DAYS(n)            ((n) * HOURS(24))
#define MEGA(n)            ((int64_t)(n) << 20)
#define GIGA(n)            ((int64_t)(n) << 30)

/*! Longer than any refresh interval in use makes no sense, and milliseconds fit 32 bits. */
#define JITTER_MAX_S       DAYS(1)
/*! So does this; a transfer that takes longer is a stalled one. */
#define TIMEOUT_MAX_S      DAYS(30)
/*! A worker that waits longer than this has lost its clients. */
#define UPSTREAM_HOLD_MAX_MS  1000
/*! Each target costs two entries of the cache and two questions. */
#define UPSTREAM_PREFETCH_MAX 1000000
/*! Each transfer holds a socket and a builder. */
#define LIMIT_MAX          10000

/*! `acl.action` transfer in knotd's schema. */
#define ACTION_TRANSFER    2

/*!
 * There is no item of this name. knotd 3.2 resolves references twice: first, by mistake, within the module's own items,
 * where it wants to find what is named as the section; then properly. (Its own modules name the item as the section.)
 */
static int refuse_item(knotd_conf_check_args_t *args)
{
	(void)args;
	return KNOT_YP_EINVAL_ITEM;
}

static const knot_lookup_t zonemd_policies[] = {
	{ ZONEMD_OFF, "off" },
	{ ZONEMD_IF_PRESENT, "if-present" },
	{ ZONEMD_REQUIRE, "require" },
	{ 0, NULL }
};

const yp_item_t settings_items[] = {
	{ C_REMOTE,         YP_TSTR,   YP_VNONE, YP_FNONE, { refuse_item } },
	{ C_REMOTES,        YP_TSTR,   YP_VNONE, YP_FNONE, { refuse_item } },
	{ C_ACL,            YP_TSTR,   YP_VNONE, YP_FNONE, { refuse_item } },
	{ S_ZONES,          YP_TDNAME, YP_VNONE, YP_FMULTI },
	{ S_ZONES_FILE,     YP_TSTR,   YP_VNONE, YP_FMULTI },
	{ S_TRANSFER_FROM,  YP_TREF,   YP_VREF = { C_REMOTE, C_REMOTES }, YP_FMULTI, { knotd_conf_check_ref } },
	{ S_TRANSFER_TO,    YP_TREF,   YP_VREF = { C_ACL }, YP_FMULTI, { knotd_conf_check_ref } },
	{ S_NOTIFY,         YP_TREF,   YP_VREF = { C_REMOTE, C_REMOTES }, YP_FMULTI, { knotd_conf_check_ref } },
	{ S_REFRESH_JITTER, YP_TINT,   YP_VINT = { 0, JITTER_MAX_S, 5, YP_STIME } },
	{ S_RETRY_JITTER,   YP_TINT,   YP_VINT = { 0, JITTER_MAX_S, 2, YP_STIME } },
	{ S_REFRESH_MIN,    YP_TINT,   YP_VINT = { 2, UINT32_MAX, 2, YP_STIME } },
	{ S_REFRESH_MAX,    YP_TINT,   YP_VINT = { 2, UINT32_MAX, UINT32_MAX, YP_STIME } },
	{ S_RETRY_MIN,      YP_TINT,   YP_VINT = { 1, UINT32_MAX, 1, YP_STIME } },
	{ S_RETRY_MAX,      YP_TINT,   YP_VINT = { 1, UINT32_MAX, UINT32_MAX, YP_STIME } },
	{ S_EXPIRE_MIN,     YP_TINT,   YP_VINT = { 3, UINT32_MAX, 3, YP_STIME } },
	{ S_EXPIRE_MAX,     YP_TINT,   YP_VINT = { 3, UINT32_MAX, UINT32_MAX, YP_STIME } },
	{ S_ZONE_MAX_SIZE,  YP_TINT,   YP_VINT = { 0, SSIZE_MAX, GIGA(4), YP_SSIZE } },
	{ S_DIFFERENCES,    YP_TINT,   YP_VINT = { 0, SSIZE_MAX, MEGA(64), YP_SSIZE } },
	{ S_STORE,          YP_TSTR,   YP_VNONE },
	{ S_SHRINK,         YP_TINT,   YP_VINT = { 0, 99, 0 } },
	{ S_ZONEMD,         YP_TOPT,   YP_VOPT = { zonemd_policies, ZONEMD_OFF } },
	{ S_TIMEOUT,        YP_TINT,   YP_VINT = { 1, TIMEOUT_MAX_S, HOURS(2), YP_STIME } },
	{ S_IDLE_TIMEOUT,   YP_TINT,   YP_VINT = { 1, TIMEOUT_MAX_S, 10, YP_STIME } },
	{ S_LIMIT,          YP_TINT,   YP_VINT = { 1, LIMIT_MAX, 64 } },
	{ S_LIMIT_REMOTE,   YP_TINT,   YP_VINT = { 1, LIMIT_MAX, 8 } },
	{ S_CONTROL,        YP_TSTR,   YP_VNONE },
	{ S_UPSTREAM,       YP_TSTR,   YP_VNONE, YP_FMULTI },
	{ S_UPSTREAM_HOLD,  YP_TINT,   YP_VINT = { 0, UPSTREAM_HOLD_MAX_MS, 0 } },
	{ S_UPSTREAM_PREFETCH, YP_TINT, YP_VINT = { 0, UPSTREAM_PREFETCH_MAX, 10000 } },
	{ S_UPSTREAM_MAX_TTL, YP_TINT, YP_VINT = { 1, INT32_MAX, DAYS(1), YP_STIME } },
	{ S_UPSTREAM_MIN_TTL, YP_TINT, YP_VINT = { 0, INT32_MAX, 0, YP_STIME } },
	{ S_UPSTREAM_STALE, YP_TINT,   YP_VINT = { 0, DAYS(365), DAYS(1), YP_STIME } },
	{ S_UPSTREAM_DNAME, YP_TBOOL,  YP_VNONE },
	{ S_UPSTREAM_ANCHOR, YP_TSTR,  YP_VNONE },
	{ S_UPSTREAM_TLS_NAME, YP_TSTR, YP_VNONE },
	{ S_UPSTREAM_TLS_CA, YP_TSTR,  YP_VNONE },
	{ S_UPSTREAM_CACHE, YP_TINT,   YP_VINT = { MEGA(1), GIGA(64), MEGA(32), YP_SSIZE } },
	{ NULL }
};

/* -- what conf-check refuses ------------------------------------------------------------------------------------------ */

/*! err_str has to live on after the check; checks run one after the other. */
static zones_file_error_t check_error;

static int check_fail(knotd_conf_check_args_t *args, const char *text)
{
	args->err_str = text;
	return KNOT_EINVAL;
}

static size_t check_count(knotd_conf_check_args_t *args, const yp_name_t *item)
{
	knotd_conf_t conf = knotd_conf_check_item(args, item);
	size_t count = conf.count;
	knotd_conf_free(&conf);
	return count;
}

static int64_t check_int(knotd_conf_check_args_t *args, const yp_name_t *item)
{
	return knotd_conf_check_item(args, item).single.integer;
}

static int ignore_name(const knot_dname_t *name, void *ctx)
{
	(void)name;
	(void)ctx;
	return KNOT_EOK;
}

static int check_lists(knotd_conf_check_args_t *args)
{
	knotd_conf_t paths = knotd_conf_check_item(args, S_ZONES_FILE);
	int ret = KNOT_EOK;
	for (size_t i = 0; i < paths.count && ret == KNOT_EOK; i++) {
		ret = zones_file_read(paths.multi[i].string, ignore_name, NULL, &check_error);
	}
	knotd_conf_free(&paths);
	if (ret != KNOT_EOK) {
		args->err_str = check_error.text;
	}
	return ret;
}

static int check_clamps(knotd_conf_check_args_t *args)
{
	static const struct {
		const yp_name_t *min, *max;
		const char *error;
	} clamps[] = {
		{ S_REFRESH_MIN, S_REFRESH_MAX, "'refresh-min-interval' is greater than 'refresh-max-interval'" },
		{ S_RETRY_MIN,   S_RETRY_MAX,   "'retry-min-interval' is greater than 'retry-max-interval'" },
		{ S_EXPIRE_MIN,  S_EXPIRE_MAX,  "'expire-min-interval' is greater than 'expire-max-interval'" },
	};

	for (size_t i = 0; i < sizeof(clamps) / sizeof(clamps[0]); i++) {
		if (check_int(args, clamps[i].min) > check_int(args, clamps[i].max)) {
			return check_fail(args, clamps[i].error);
		}
	}
	return KNOT_EOK;
}

static int check_control(knotd_conf_check_args_t *args)
{
	knotd_conf_t path = knotd_conf_check_item(args, S_CONTROL);
	if (path.count == 0) {
		return KNOT_EOK;
	}
	if (path.single.string[0] != '/') {
		return check_fail(args, "'control-listen' is not an absolute path");
	}
	if (strlen(path.single.string) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
		return check_fail(args, "'control-listen' is too long for a socket");
	}
	return KNOT_EOK;
}

static int check_store(knotd_conf_check_args_t *args)
{
	knotd_conf_t path = knotd_conf_check_item(args, S_STORE);
	if (path.count > 0 && path.single.string[0] != '/') {
		return check_fail(args, "'store' is not an absolute path");
	}
	return KNOT_EOK;
}

int settings_check(knotd_conf_check_args_t *args)
{
	if (check_count(args, S_TRANSFER_FROM) == 0) {
		return check_fail(args, "no 'transfer-from' specified");
	}
	if (check_count(args, S_ZONES) > 0 && check_count(args, S_ZONES_FILE) > 0) {
		return check_fail(args, "'zones' together with 'zones-file'");
	}

	int ret = check_clamps(args);
	if (ret == KNOT_EOK) {
		ret = check_control(args);
	}
	if (ret == KNOT_EOK) {
		ret = check_store(args);
	}
	if (ret == KNOT_EOK) {
		ret = settings_upstream_check(args);
	}
	return ret == KNOT_EOK ? check_lists(args) : ret;
}

/* -- the stanza ------------------------------------------------------------------------------------------------------- */

/*! Primaries, or targets of NOTIFY, as they are found; too many are counted, not kept. */
typedef struct {
	knotd_mod_t *mod;
	unsigned count;
	unsigned ignored;
	primary_t primary[STANZA_PRIMARIES_MAX];
} primaries_t;

static_assert(STANZA_TARGETS_MAX == STANZA_PRIMARIES_MAX, "one type for both lists");

static knotd_conf_t conf_id(const knotd_conf_val_t *val)
{
	return (knotd_conf_t){ .single = *val, .count = 1 };
}

/*! The first local address of the family of \a addr, as knotd chooses. */
static void primary_set_via(primary_t *primary, const knotd_conf_t *via)
{
	for (size_t i = 0; i < via->count; i++) {
		if (via->multi[i].addr.ss_family == primary->addr.ss_family) {
			primary->via = via->multi[i].addr;
			return;
		}
	}
}

/*! \a key borrows from the configuration. */
static void key_read(knotd_mod_t *mod, const knotd_conf_t *remote, knot_tsig_key_t *key)
{
	knotd_conf_t id = knotd_conf(mod, C_REMOTE, C_KEY, remote);
	if (id.count == 0) {
		return;
	}
	knotd_conf_t secret = knotd_conf(mod, C_KEY, C_SECRET, &id);
	key->name = (knot_dname_t *)id.single.data;
	key->algorithm = knotd_conf(mod, C_KEY, C_ALGORITHM, &id).single.option;
	key->secret.data = (uint8_t *)secret.single.data;
	key->secret.size = secret.single.data_len;
}

/*! Adds \a addr with what \a remote says of all its addresses, its key borrowed. */
static int primaries_add(primaries_t *list, const struct sockaddr_storage *addr, const knotd_conf_t *via,
                         const primary_t *remote)
{
	if (addr->ss_family != AF_INET && addr->ss_family != AF_INET6) {
		return KNOT_EOK;
	}
	if (list->count == STANZA_PRIMARIES_MAX) {
		list->ignored++;
		return KNOT_EOK;
	}

	primary_t primary = { .addr = *addr, .no_edns = remote->no_edns };
	primary_set_via(&primary, via);
	if (remote->key.name != NULL) {
		int ret = knot_tsig_key_copy(&primary.key, &remote->key);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	list->primary[list->count++] = primary;
	return KNOT_EOK;
}

static int primaries_add_remote(primaries_t *list, const knotd_conf_t *remote)
{
	knotd_conf_t addr = knotd_conf(list->mod, C_REMOTE, C_ADDRESS, remote);
	knotd_conf_t via = knotd_conf(list->mod, C_REMOTE, C_VIA, remote);
	primary_t common = { .no_edns = knotd_conf(list->mod, C_REMOTE, C_NO_EDNS, remote).single.boolean };
	key_read(list->mod, remote, &common.key);

	int ret = KNOT_EOK;
	for (size_t i = 0; i < addr.count && ret == KNOT_EOK; i++) {
		ret = primaries_add(list, &addr.multi[i].addr, &via, &common);
	}
	knotd_conf_free(&addr);
	knotd_conf_free(&via);
	return ret;
}

/*! A reference is to one of `remotes` or to one `remote`; the check has made sure that it is not both. */
static int primaries_add_ref(primaries_t *list, const knotd_conf_t *ref)
{
	knotd_conf_t group = knotd_conf(list->mod, C_REMOTES, C_REMOTE, ref);
	if (group.count == 0) {
		return primaries_add_remote(list, ref);
	}

	int ret = KNOT_EOK;
	for (size_t i = 0; i < group.count && ret == KNOT_EOK; i++) {
		knotd_conf_t remote = conf_id(&group.multi[i]);
		ret = primaries_add_remote(list, &remote);
	}
	knotd_conf_free(&group);
	return ret;
}

static void primaries_clear(primaries_t *list)
{
	for (unsigned i = 0; i < list->count; i++) {
		knot_tsig_key_deinit(&list->primary[i].key);
	}
}

static int primaries_read(primaries_t *list, const yp_name_t *item)
{
	knotd_conf_t refs = knotd_conf_mod(list->mod, item);
	int ret = KNOT_EOK;
	for (size_t i = 0; i < refs.count && ret == KNOT_EOK; i++) {
		knotd_conf_t ref = conf_id(&refs.multi[i]);
		ret = primaries_add_ref(list, &ref);
	}
	knotd_conf_free(&refs);
	if (list->ignored > 0) {
		knotd_mod_log(list->mod, LOG_WARNING, "item '%s', %u addresses beyond the first %u are ignored", &item[1],
		              list->ignored, STANZA_PRIMARIES_MAX);
	}
	return ret;
}

static uint64_t mod_int(knotd_mod_t *mod, const yp_name_t *item)
{
	return knotd_conf_mod(mod, item).single.integer;
}

static clamp_t mod_clamp(knotd_mod_t *mod, const yp_name_t *min, const yp_name_t *max)
{
	return (clamp_t){ .min = mod_int(mod, min), .max = mod_int(mod, max) };
}

static bool rule_has_transfer(knotd_mod_t *mod, const knotd_conf_t *rule)
{
	knotd_conf_t actions = knotd_conf(mod, C_ACL, C_ACTION, rule);
	/* Without action, a rule that denies is about transfers, too. */
	bool has = actions.count == 0 && knotd_conf(mod, C_ACL, C_DENY, rule).single.boolean;
	for (size_t i = 0; i < actions.count; i++) {
		has = has || actions.multi[i].option == ACTION_TRANSFER;
	}
	knotd_conf_free(&actions);
	return has;
}

/*! Rules of `transfer-to` are read for each request (access.h); here is only seen to those that can never allow anything. */
static void transfer_to_warn(knotd_mod_t *mod)
{
	knotd_conf_t rules = knotd_conf_mod(mod, S_TRANSFER_TO);
	for (size_t i = 0; i < rules.count; i++) {
		knotd_conf_t rule = conf_id(&rules.multi[i]);
		if (!rule_has_transfer(mod, &rule)) {
			knotd_mod_log(mod, LOG_WARNING, "item 'transfer-to', acl '%s' has no action 'transfer'",
			              rules.multi[i].string);
		}
	}
	knotd_conf_free(&rules);
}

static void stanza_read(knotd_mod_t *mod, stanza_t *stanza)
{
	stanza->refresh_jitter_ms = mod_int(mod, S_REFRESH_JITTER) * 1000;
	stanza->retry_jitter_ms = mod_int(mod, S_RETRY_JITTER) * 1000;
	stanza->refresh = mod_clamp(mod, S_REFRESH_MIN, S_REFRESH_MAX);
	stanza->retry = mod_clamp(mod, S_RETRY_MIN, S_RETRY_MAX);
	stanza->expire = mod_clamp(mod, S_EXPIRE_MIN, S_EXPIRE_MAX);
	stanza->zone_max_size = mod_int(mod, S_ZONE_MAX_SIZE);
	stanza->difference_max_size = mod_int(mod, S_DIFFERENCES);
	stanza->zone_shrink_limit = mod_int(mod, S_SHRINK);
	stanza->zonemd_verify = knotd_conf_mod(mod, S_ZONEMD).single.option;
	stanza->transfer_timeout_ms = mod_int(mod, S_TIMEOUT) * 1000;
	stanza->transfer_idle_timeout_ms = mod_int(mod, S_IDLE_TIMEOUT) * 1000;
}

/*! Copies the path of the store, if there is one; false: no memory. */
static bool store_copy(knotd_mod_t *mod, stanza_t *stanza)
{
	knotd_conf_t path = knotd_conf_mod(mod, S_STORE);
	if (path.count == 0) {
		return true;
	}
	stanza->store = strdup(path.single.string);
	return stanza->store != NULL;
}

int settings_stanza(knotd_mod_t *mod, stanza_t **ret_stanza)
{
	primaries_t primaries = { .mod = mod }, targets = { .mod = mod };
	int ret = primaries_read(&primaries, S_TRANSFER_FROM);
	if (ret == KNOT_EOK) {
		ret = primaries.count > 0 ? primaries_read(&targets, S_NOTIFY) : KNOT_ENOENT;
	}
	stanza_t *stanza = ret == KNOT_EOK ? stanza_new(primaries.count, targets.count) : NULL;
	if (stanza == NULL) {
		primaries_clear(&primaries);
		primaries_clear(&targets);
		return ret == KNOT_EOK ? KNOT_ENOMEM : ret;
	}

	memcpy(stanza->primary, primaries.primary, primaries.count * sizeof(primary_t));
	memcpy(stanza->target, targets.primary, targets.count * sizeof(primary_t));
	stanza_read(mod, stanza);
	if (!store_copy(mod, stanza)) {
		stanza_release(stanza);
		return KNOT_ENOMEM;
	}
	transfer_to_warn(mod);
	*ret_stanza = stanza_intern(stanza);
	return KNOT_EOK;
}

/* -- the process ------------------------------------------------------------------------------------------------------ */

/*! `<rundir>/mod-secondary.sock`, relative where `rundir` is: knotd never leaves its working directory. */
static void control_default(knotd_mod_t *mod, char *dst, size_t size)
{
	const char *rundir = knotd_conf(mod, C_SERVER, C_RUNDIR, NULL).single.string;
	int len = snprintf(dst, size, "%s/mod-secondary.sock", rundir);
	if (len < 0 || (size_t)len >= size) {
		dst[0] = '\0';
	}
}

void settings_process(knotd_mod_t *mod, settings_process_t *ret)
{
	ret->transfer_limit = mod_int(mod, S_LIMIT);
	ret->transfer_limit_remote = mod_int(mod, S_LIMIT_REMOTE);
	ret->upstream_cache_size = mod_int(mod, S_UPSTREAM_CACHE);

	knotd_conf_t control = knotd_conf_mod(mod, S_CONTROL);
	if (control.count > 0) {
		(void)snprintf(ret->control_listen, sizeof(ret->control_listen), "%s", control.single.string);
	} else {
		control_default(mod, ret->control_listen, sizeof(ret->control_listen));
	}
}

/* -- names in the stanza ---------------------------------------------------------------------------------------------- */

static int zones_visit_items(const knotd_conf_t *zones, zones_file_visit_f visit, void *ctx)
{
	for (size_t i = 0; i < zones->count; i++) {
		knot_dname_storage_t name;
		knot_dname_copy_lower(name, zones->multi[i].dname);
		int ret = visit(name, ctx);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	return KNOT_EOK;
}

static int zones_visit_files(knotd_mod_t *mod, const knotd_conf_t *paths, zones_file_visit_f visit, void *ctx)
{
	zones_file_error_t error;
	for (size_t i = 0; i < paths->count; i++) {
		int ret = zones_file_read(paths->multi[i].string, visit, ctx, &error);
		if (ret != KNOT_EOK) {
			knotd_mod_log(mod, LOG_ERR, "%s", error.text);
			return ret;
		}
	}
	return KNOT_EOK;
}

int settings_zones(knotd_mod_t *mod, zones_file_visit_f visit, void *ctx)
{
	knotd_conf_t zones = knotd_conf_mod(mod, S_ZONES);
	int ret = zones_visit_items(&zones, visit, ctx);
	knotd_conf_free(&zones);
	if (ret != KNOT_EOK) {
		return ret;
	}

	knotd_conf_t paths = knotd_conf_mod(mod, S_ZONES_FILE);
	ret = zones_visit_files(mod, &paths, visit, ctx);
	knotd_conf_free(&paths);
	return ret;
}

static bool mod_is_set(knotd_mod_t *mod, const yp_name_t *item)
{
	knotd_conf_t conf = knotd_conf_mod(mod, item);
	bool set = conf.count > 0;
	knotd_conf_free(&conf);
	return set;
}

const char *settings_zones_item(knotd_mod_t *mod)
{
	if (mod_is_set(mod, S_ZONES)) {
		return &S_ZONES[1];
	}
	return mod_is_set(mod, S_ZONES_FILE) ? &S_ZONES_FILE[1] : NULL;
}

/* -- knotd's own sections --------------------------------------------------------------------------------------------- */

static bool zone_has_master(knotd_mod_t *mod, const knot_dname_t *name)
{
	knotd_conf_t master = knotd_conf_zone(mod, C_MASTER, name);
	bool has = master.count > 0;
	knotd_conf_free(&master);
	return has;
}

const char *settings_zone_conflict(knotd_mod_t *mod, const knot_dname_t *name, const char **ret_demand)
{
	/* In each of these options of knotd's the value 0 is "none". */
	static const yp_name_t *const options[] = { C_ZONEFILE_LOAD, C_JOURNAL, C_CATALOG_ROLE };

	*ret_demand = "must not be set";
	if (zone_has_master(mod, name)) {
		return &C_MASTER[1];
	}
	*ret_demand = "must be 'off'";
	if (knotd_conf_zone(mod, C_SIGNING, name).single.boolean) {
		return &C_SIGNING[1];
	}
	*ret_demand = "must be 'none'";
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (knotd_conf_zone(mod, options[i], name).single.option != 0) {
			return &options[i][1];
		}
	}
	return NULL;
}

bool settings_zone_section(knotd_mod_t *mod, const knot_dname_t *name)
{
	knotd_conf_t id = { .single = { .data = name, .data_len = knot_dname_size(name) }, .count = 1 };
	return knotd_conf(mod, C_ZONE, C_DOMAIN, &id).count > 0;
}

static knotd_conf_t default_template(knotd_mod_t *mod, const yp_name_t *item)
{
	static const uint8_t id_default[] = "default"; /* Ids that are strings include their end. */
	const knotd_conf_t id = { .single = { .data = id_default, .data_len = sizeof(id_default) }, .count = 1 };
	return knotd_conf(mod, C_TEMPLATE, item, &id);
}

static unsigned modules_count_ours(const knotd_conf_t *modules)
{
	const size_t len = sizeof(MODULE_NAME) - 1;
	unsigned count = 0;
	for (size_t i = 0; i < modules->count; i++) {
		const knotd_conf_val_t *ref = &modules->multi[i];
		count += ref->data_len >= len && memcmp(ref->data, MODULE_NAME, len) == 0;
	}
	return count;
}

/*! Are both the same item of the configuration, rather than equal ones? */
static bool modules_same(const knotd_conf_t *a, const knotd_conf_t *b)
{
	return a->count > 0 && b->count > 0 && a->multi[0].data == b->multi[0].data;
}

bool settings_zone_certain(knotd_mod_t *mod, const knot_dname_t *name)
{
	knotd_conf_t modules = knotd_conf_zone(mod, C_MODULE, name);
	bool certain = modules_count_ours(&modules) > 0;
	if (certain && !settings_zone_section(mod, name)) {
		knotd_conf_t fallback = default_template(mod, C_MODULE);
		certain = !modules_same(&modules, &fallback);
		knotd_conf_free(&fallback);
	}
	knotd_conf_free(&modules);
	return certain;
}

unsigned settings_global_count(knotd_mod_t *mod)
{
	knotd_conf_t modules = default_template(mod, C_GLOBAL_MODULE);
	unsigned count = modules_count_ours(&modules);
	knotd_conf_free(&modules);
	return count;
}
