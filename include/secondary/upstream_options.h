/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What makes an upstream: whom to ask, and the limits on what is kept; and which addresses that comes to now.
 *
 * Whom to ask is a list of sources: addresses, files like resolv.conf(5), which are looked at each second and read when they
 * have changed, and `self`. Threads: any, one at a time per object. Blocks: on the disk, where files are read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

/*! Whom an upstream asks at most, those of its files included. */
#define UPSTREAM_SERVERS_MAX  64

typedef enum {
	UPSTREAM_ADDRESS,
	UPSTREAM_FILE,            /*!< As resolv.conf(5). */
	UPSTREAM_SELF,            /*!< This server. */
} upstream_kind_t;

typedef struct {
	upstream_kind_t kind;
	struct sockaddr_storage addr; /*!< Port 0: upstream_options_port(). */
	char *path;
} upstream_source_t;

/*! What makes an upstream. */
typedef struct {
	upstream_source_t *source;
	unsigned source_count;
	char *trust_anchor;       /*!< Path of a file; NULL: nothing is validated. */
	char *tls_name;           /*!< That of all servers; NULL: they are not asked over TLS. */
	char *tls_ca_file;        /*!< Path of a file; NULL: the system's authorities. */
	uint32_t ttl_min, ttl_max; /*!< Bounds on TTLs, seconds. */
	uint32_t stale;           /*!< Seconds after its TTL in which a reply may stand in for a failing upstream. */
	struct sockaddr_storage *own; /*!< Where this server listens: never asked but as `self`. Not compared: the latest holds. */
	unsigned own_count;
	size_t cache_size;        /*!< Of the process: the first upstream decides. */
} upstream_options_t;

/*! Files of an upstream beside those of its sources: the trust anchor, and authorities. */
#define UPSTREAM_FILES_MORE   2

/*! What a file was like when it was read. */
typedef struct {
	bool exists;
	ino_t inode;
	off_t size;
	struct timespec changed;
} upstream_file_t;

/*! Addresses with ports, each once. */
typedef struct {
	struct sockaddr_storage addr[UPSTREAM_SERVERS_MAX];
	unsigned count;
} upstream_servers_t;

/*! \brief Releases what \a options own. */
void upstream_options_clear(upstream_options_t *options);

/*! \brief Do both make the same upstream? */
bool upstream_options_equal(const upstream_options_t *a, const upstream_options_t *b);

/*! \brief Are this server's own addresses the same in both? */
bool upstream_options_own_equal(const upstream_options_t *a, const upstream_options_t *b);

/*! \brief Port of addresses that have none: 53, or 853 over TLS. */
uint16_t upstream_options_port(const upstream_options_t *options);

/*! \brief Has it a source of this kind? */
bool upstream_options_has(const upstream_options_t *options, upstream_kind_t kind);

/*!
 * \brief Collects the addresses of all sources, reading their files.
 *
 * \param files   One for each source, and UPSTREAM_FILES_MORE: what they were like is noted. NULL: not.
 * \param failed  Called for each file without servers, with the reason. NULL: not.
 */
void upstream_servers_read(const upstream_options_t *options, upstream_file_t *files,
                           void (*failed)(void *ctx, const char *path, int reason), void *ctx,
                           upstream_servers_t *ret_servers);

/*! \brief Takes out those where this server listens itself. */
void upstream_servers_remove_own(const upstream_options_t *options, upstream_servers_t *servers);

bool upstream_servers_equal(const upstream_servers_t *a, const upstream_servers_t *b);

/*! \brief Is a source's file different from what it was like? */
bool upstream_files_changed(const upstream_options_t *options, const upstream_file_t *files);

/*! \brief Is one of the others? Then the same servers have to be asked in another way. */
bool upstream_way_changed(const upstream_options_t *options, const upstream_file_t *files);

/*! \brief Where `self` is asked: the first of its addresses, of a wildcard one loopback. False: it listens nowhere. */
bool upstream_options_self(const upstream_options_t *options, struct sockaddr_storage *ret_addr);
