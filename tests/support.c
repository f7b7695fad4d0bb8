/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Names and zones from text and back, by way of Knot's zone scanner and record printer.
 */

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libknot/libknot.h>
#include <libzscanner/scanner.h>

#include "secondary/wire.h"
#include "support.h"

size_t support_name(const char *text, uint8_t *dst)
{
	ck_assert_ptr_nonnull(knot_dname_from_str(dst, text, WIRE_NAME_MAX));
	return knot_dname_size(dst);
}

/* Lines of text that are put in order. */

typedef struct {
	char **line;
	size_t count;
} lines_t;

static void lines_add(lines_t *lines, const uint8_t *owner, uint16_t type, uint32_t ttl, const uint8_t *rdata,
                      uint16_t rdlen)
{
	knot_rrset_t rrset;
	knot_rrset_init(&rrset, (knot_dname_t *)owner, type, KNOT_CLASS_IN, ttl);
	ck_assert_int_eq(knot_rrset_add_rdata(&rrset, rdata, rdlen, NULL), KNOT_EOK);

	size_t size = 4096;
	char *text = malloc(size);
	ck_assert_ptr_nonnull(text);
	knot_dump_style_t style = KNOT_DUMP_STYLE_DEFAULT;
	style.show_class = true;
	style.show_ttl = true;
	ck_assert_int_gt(knot_rrset_txt_dump(&rrset, &text, &size, &style), 0);
	knot_rdataset_clear(&rrset.rrs, NULL);

	/* The printer aligns columns. */
	char *to = text;
	for (const char *from = text; *from != '\0'; from++) {
		char c = *from == '\t' ? ' ' : *from;
		if (c != ' ' || (to > text && to[-1] != ' ')) {
			*to++ = c;
		}
	}
	*to = '\0';

	lines->line = realloc(lines->line, (lines->count + 1) * sizeof(*lines->line));
	ck_assert_ptr_nonnull(lines->line);
	lines->line[lines->count++] = text;
}

static int line_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *lines_join(lines_t *lines)
{
	size_t size = 1;
	for (size_t i = 0; i < lines->count; i++) {
		size += strlen(lines->line[i]);
	}
	char *text = malloc(size);
	ck_assert_ptr_nonnull(text);

	if (lines->count > 0) {
		qsort(lines->line, lines->count, sizeof(*lines->line), line_compare);
	}
	char *to = text;
	*to = '\0';
	for (size_t i = 0; i < lines->count; i++) {
		to = stpcpy(to, lines->line[i]);
		free(lines->line[i]);
	}
	free(lines->line);
	return text;
}

/* Text to records. */

typedef struct {
	builder_t *builder;
	difference_maker_t *maker;
	size_t origin_len;
	int ret;
	lines_t *lines;
} scan_t;

static void scan_record(zs_scanner_t *scanner)
{
	scan_t *scan = scanner->process.data;
	wire_name_lower(scanner->r_owner, scanner->r_owner_length);
	if (scan->lines != NULL) {
		lines_add(scan->lines, scanner->r_owner, scanner->r_type, scanner->r_ttl, scanner->r_data,
		          scanner->r_data_length);
	} else if (scan->maker != NULL && scan->ret == KNOT_EOK) {
		scan->ret = difference_maker_put(scan->maker, scanner->r_owner, scanner->r_owner_length - scan->origin_len,
		                                 scanner->r_type, scanner->r_ttl, scanner->r_data, scanner->r_data_length);
	} else if (scan->ret == KNOT_EOK) {
		scan->ret = builder_add(scan->builder, scanner->r_owner, scanner->r_owner_length, scanner->r_type,
		                        scanner->r_ttl, scanner->r_data, scanner->r_data_length);
	}
}

static void scan_error(zs_scanner_t *scanner)
{
	ck_abort_msg("line %llu: %s", (unsigned long long)scanner->line_counter, zs_strerror(scanner->error.code));
}

static void scan_text(scan_t *scan, const char *origin, const char *text)
{
	uint8_t name[WIRE_NAME_MAX];
	scan->origin_len = support_name(origin, name);
	char *absolute = knot_dname_to_str_alloc(name);

	zs_scanner_t *scanner = malloc(sizeof(*scanner));
	ck_assert_ptr_nonnull(scanner);
	ck_assert_int_eq(zs_init(scanner, absolute, KNOT_CLASS_IN, 3600), 0);
	ck_assert_int_eq(zs_set_input_string(scanner, text, strlen(text)), 0);
	ck_assert_int_eq(zs_set_processing(scanner, scan_record, scan_error, scan), 0);
	(void)zs_parse_all(scanner);
	zs_deinit(scanner);
	free(scanner);
	free(absolute);
}

int support_add(builder_t *builder, const char *origin, const char *zonefile_text)
{
	scan_t scan = { .builder = builder };
	scan_text(&scan, origin, zonefile_text);
	return scan.ret;
}

int support_put(difference_maker_t *maker, const char *origin, const char *zonefile_text)
{
	scan_t scan = { .maker = maker };
	scan_text(&scan, origin, zonefile_text);
	return scan.ret;
}

char *support_text(const char *origin, const char *zonefile_text)
{
	lines_t lines = { 0 };
	scan_t scan = { .lines = &lines };
	scan_text(&scan, origin, zonefile_text);
	return lines_join(&lines);
}

int support_try(const char *apex, const char *zonefile_text, const builder_limits_t *limits, snapshot_t **ret_snapshot,
                char *error)
{
	uint8_t name[WIRE_NAME_MAX];
	(void)support_name(apex, name);
	builder_t *builder = builder_new(name, limits);
	ck_assert_ptr_nonnull(builder);

	error[0] = '\0';
	int ret = support_add(builder, apex, zonefile_text);
	if (ret == KNOT_EOK) {
		ret = builder_finish(builder, ret_snapshot);
	}
	if (ret != KNOT_EOK) {
		strcpy(error, builder_error(builder));
		builder_free(builder);
	}
	return ret;
}

snapshot_t *support_zone(const char *apex, const char *zonefile_text)
{
	char error[1200];
	builder_limits_t limits = { 0 };
	snapshot_t *snapshot = NULL;
	int ret = support_try(apex, zonefile_text, &limits, &snapshot, error);
	ck_assert_msg(ret == KNOT_EOK, "zone %s: %s (%s)", apex, knot_strerror(ret), error);
	return snapshot;
}

void support_free(snapshot_t *snapshot)
{
	snapshot_unpin(snapshot);
	rcu_barrier();
}

/* Records to text. */

static void dump_rrset(lines_t *lines, const rrset_t *rrset, const uint8_t *owner, size_t owner_len)
{
	static uint8_t full[UINT16_MAX];
	const uint8_t *rdata;
	uint16_t len;
	const uint8_t *item = rrset->items;
	for (unsigned i = 0; i < rrset->count; i++) {
		item = rrset_item(item, &rdata, &len);
		size_t full_len = rrset_rdata_full(rrset, owner, owner_len, rdata, len, full);
		lines_add(lines, owner, rrset->type, rrset->ttl, full, full_len);
	}
	ck_assert_ptr_eq(item, rrset->sigs);

	for (unsigned i = 0; i < rrset->sig_count; i++) {
		item = rrset_item(item, &rdata, &len);
		lines_add(lines, owner, KNOT_RRTYPE_RRSIG, rrset->sig_ttl, rdata, len);
	}
	ck_assert_ptr_eq(item, rrset->sigs + rrset->sig_size);
}

static void dump_trie(lines_t *lines, const snapshot_t *snapshot, const qp_t *qp)
{
	qp_iter_t iter;
	qp_begin(qp, &iter);
	for (qp_leaf_t leaf = qp_next(&iter); leaf.ref != 0; leaf = qp_next(&iter)) {
		uint8_t owner[WIRE_NAME_MAX];
		size_t len;
		const uint8_t *relative = qp_name(qp->base, leaf.ref, &len);
		memcpy(owner, relative, len);
		memcpy(owner + len, snapshot->apex, snapshot->apex_len);

		rrset_iter_t walk = rrset_begin(qp->base, leaf.ref);
		rrset_t rrset;
		while (rrset_next(&walk, &rrset)) {
			dump_rrset(lines, &rrset, owner, len + snapshot->apex_len);
		}
	}
}

char *support_dump(const snapshot_t *snapshot)
{
	lines_t lines = { 0 };
	dump_trie(&lines, snapshot, &snapshot->names);
	dump_trie(&lines, snapshot, &snapshot->nsec3);
	ck_assert_uint_eq(lines.count, snapshot->records);
	return lines_join(&lines);
}

char *support_side(const difference_t *difference, const char *apex, bool is_added)
{
	lines_t lines = { 0 };
	uint8_t owner[2 * WIRE_NAME_MAX];
	uint8_t origin[WIRE_NAME_MAX];
	size_t origin_len = support_name(apex, origin);
	const uint8_t *at = difference->octets + (is_added ? difference->added_at : 0);
	const uint8_t *end = difference->octets + (is_added ? difference->size : difference->added_at);
	while (at < end) {
		difference_record_t record;
		at = difference_read(at, &record);
		memcpy(owner, record.owner, record.owner_len);
		memcpy(owner + record.owner_len, origin, origin_len);
		lines_add(&lines, owner, record.type, record.ttl, record.rdata, record.rdlen);
	}
	ck_assert_ptr_eq(at, end);
	ck_assert_uint_eq(lines.count, is_added ? difference->added : difference->removed);
	return lines_join(&lines);
}

char *support_join(const char *first, const char *second)
{
	char *text = malloc(strlen(first) + strlen(second) + 1);
	ck_assert_ptr_nonnull(text);
	stpcpy(stpcpy(text, first), second);
	return text;
}

void support_way(const history_run_t *run, char *dst, size_t max)
{
	size_t octets = 0;
	size_t len = run->count > 0 ? snprintf(dst, max, "%u ", run->item[0]->from) : 0;
	dst[len] = '\0';
	for (size_t i = 0; i < run->count; i++) {
		ck_assert(i == 0 || run->item[i - 1]->to == run->item[i]->from);
		len += snprintf(dst + len, max - len, "%u ", run->item[i]->to);
		ck_assert_uint_lt(len, max);
		octets += run->item[i]->size;
	}
	ck_assert_uint_eq(octets, run->octets);
}

/* Places. */

struct sockaddr_storage support_loopback(unsigned port)
{
	struct sockaddr_storage addr = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&addr;
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return addr;
}

void support_directory_make(char dst[static SUPPORT_DIRECTORY_MAX])
{
	strcpy(dst, access("/dev/shm", W_OK) == 0 ? "/dev/shm/secondary-test.XXXXXX" : "/tmp/secondary-test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dst));
}

void support_directory_remove(const char *path)
{
	DIR *dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	for (const struct dirent *entry; (entry = readdir(dir)) != NULL; ) {
		if (unlinkat(dirfd(dir), entry->d_name, 0) != 0) {
			(void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
		}
	}
	closedir(dir);
	ck_assert_int_eq(rmdir(path), 0);
}

void support_limit_files(rlim_t size)
{
	struct rlimit limit;
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

unsigned long support_seed(void)
{
	const char *from_environment = getenv("SEED");
	unsigned long seed = from_environment != NULL ? strtoul(from_environment, NULL, 0) : (unsigned long)time(NULL);
	printf("SEED=%lu\n", seed);
	fflush(stdout); /* should the test not live to see its end */
	return seed;
}

bool support_is_full(void)
{
	const char *full = getenv("TEST_FULL");
	return full != NULL && strcmp(full, "1") == 0;
}
