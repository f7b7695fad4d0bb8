/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Files of zones: what is written comes back, whatever happened to the file; or it does not come back at all.
 */

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <libknot/libknot.h>

#include "chain.h"
#include "secondary/store.h"
#include "support.h"

#define NOW 1700000000

static const store_times_t times = { .checked_at = NOW - 100, .expires_at = NOW + 1000 };
static const uint8_t example[] = "\7example";

static char directory[SUPPORT_DIRECTORY_MAX];
static store_t *store;

/* In place of libc's, for the room: what it syncs is seen, and may fail. */
static unsigned data_syncs;
static bool sync_fails;
static ino_t synced;              /*!< The last that was synced with its metadata. */

int fdatasync(int fd)
{
	data_syncs++;
	errno = EIO;
	return sync_fails ? -1 : syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	struct stat st;
	ck_assert_int_eq(fstat(fd, &st), 0);
	synced = st.st_ino;
	return syscall(SYS_fsync, fd);
}

static void setup(void)
{
	sync_fails = false;
	rcu_register_thread();
	support_directory_make(directory);
	ck_assert_int_eq(store_open(directory, &store), KNOT_EOK);
}

static void teardown(void)
{
	store_close(store);
	support_directory_remove(directory);
	rcu_barrier();
	rcu_barrier();
	rcu_unregister_thread();
}

static char *path_of(const uint8_t *zone, char dst[400])
{
	char name[STORE_FILE_NAME_MAX];
	sprintf(dst, "%s/%s", directory, store_file_name(zone, name));
	return dst;
}

/*! \brief Version \a serial of a small zone: a few of its names change with it. */
static snapshot_t *make_version(uint32_t serial)
{
	char text[2048];
	size_t len = sprintf(text, "@ SOA a. b. %u 3600 900 604800 300\n@ NS ns\nns A 192.0.2.1\nmail MX 5 a.mail\n*.wild TXT \"w\"\n", serial);
	for (uint32_t n = serial; n < serial + 4; n++) {
		len += sprintf(text + len, "n%u A 192.0.2.%u\n", n % 10, n % 250);
	}
	return support_zone("example.", text);
}

/*! \brief The octets of a file. Own. */
static uint8_t *file_load(const uint8_t *zone, size_t *ret_size)
{
	char path[400];
	FILE *file = fopen(path_of(zone, path), "r");
	ck_assert_ptr_nonnull(file);
	uint8_t *octets = malloc(1 << 20);
	*ret_size = fread(octets, 1, 1 << 20, file);
	fclose(file);
	return octets;
}

static void file_save(const uint8_t *zone, const uint8_t *octets, size_t size)
{
	char path[400];
	FILE *file = fopen(path_of(zone, path), "r+");
	if (file == NULL) {
		file = fopen(path, "w");
	}
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(octets, 1, size, file), size);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(truncate(path, size), 0);
}

/*! \brief Is what was read the same as \a wanted, record for record? Frees what was read. */
static void assert_content(store_content_t *content, const snapshot_t *wanted)
{
	char *a = support_dump(content->snapshot), *b = support_dump(wanted);
	ck_assert_str_eq(a, b);
	free(a);
	free(b);
	ck_assert_uint_eq(content->snapshot->records, wanted->records);
	ck_assert_uint_eq(content->snapshot->octets, wanted->octets);
	ck_assert_uint_eq(content->snapshot->wildcards, wanted->wildcards);
	ck_assert_uint_eq(content->snapshot->soa.serial, wanted->soa.serial);
	ck_assert_int_eq(content->snapshot->is_signed, wanted->is_signed);
	ck_assert_int_eq(content->snapshot->has_nsec, wanted->has_nsec);
	ck_assert_int_eq(content->snapshot->chain.param != NULL, wanted->chain.param != NULL);
	ck_assert_uint_eq(content->file.serial, wanted->soa.serial);
	store_content_clear(content);
}

static void assert_reads(const uint8_t *zone, const snapshot_t *wanted)
{
	store_content_t content;
	const char *reason;
	ck_assert_int_eq(store_read(store, zone, NOW, &content, &reason), KNOT_EOK);
	ck_assert_int_eq(content.times.checked_at, times.checked_at);
	ck_assert_int_eq(content.times.expires_at, times.expires_at);
	ck_assert(!content.is_torn);
	assert_content(&content, wanted);
}

static void assert_refused(const uint8_t *zone, int64_t now, const char *wanted)
{
	store_content_t content;
	const char *reason = NULL;
	ck_assert_int_eq(store_read(store, zone, now, &content, &reason), KNOT_EMALF);
	ck_assert_str_eq(reason, wanted);
}

static void append(uint32_t from, uint32_t to, store_file_t *file)
{
	snapshot_t *old = make_version(from), *new = make_version(to);
	difference_t *difference;
	ck_assert_int_eq(difference_compute(old, new, 0, &difference), KNOT_EOK);
	ck_assert_int_eq(store_append(store, example, &difference, 1, &times, file), KNOT_EOK);
	difference_release(difference);
	snapshot_unpin(old);
	snapshot_unpin(new);
}

static void write_version(uint32_t serial, store_file_t *file)
{
	snapshot_t *version = make_version(serial);
	ck_assert_int_eq(store_write(store, example, version, &times, file), KNOT_EOK);
	snapshot_unpin(version);
}

/* What is written comes back */

START_TEST(test_zones)
{
	static const struct {
		const char *zone, *text;
	} zones[] = {
		{ "example.", "@ SOA a. b. 1 2 3 4 5\n@ NS a.\n" },
		{ ".", ". SOA a. b. 4294967295 2 3 4 5\n. NS a.\nx.y. MX 1 m.x.y.\n*.z. A 192.0.2.1\n" },
		{ "sub.example.com.", "@ SOA ns mail 7 2 3 4 5\n@ NS ns\n@ NS ns.example.com.\nc NS ns.c\nns.c A 192.0.2.1\n"
		                      "d DNAME e\nf CNAME g\n\\000.\\255 TXT \"odd\"\na TXT \"1\" \"2\"\nk 5 MX 1 k\nk 4 MX 2 k\n" },
		{ "signed.", "@ SOA a. b. 1 2 3 4 5\n@ RRSIG SOA 13 1 5 20300101000000 20200101000000 1 @ AAAA\n@ NS a.\n@ NSEC a SOA NS\n"
		             "a A 192.0.2.1\na RRSIG A 13 1 5 20300101000000 20200101000000 1 @ AAAA\nstray RRSIG A 13 1 5 20300101000000 20200101000000 1 @ AAAA\n" },
	};
	uint8_t name[WIRE_NAME_MAX];
	store_file_t file;
	snapshot_t *snapshot = support_zone(zones[_i].zone, zones[_i].text);
	support_name(zones[_i].zone, name);
	ck_assert_int_eq(store_write(store, name, snapshot, &times, &file), KNOT_EOK);
	ck_assert_uint_eq(file.serial, snapshot->soa.serial);
	ck_assert(file.end == file.image_end && file.inode != 0);
	assert_reads(name, snapshot);

	/* Once more, in its place. */
	ck_assert_int_eq(store_write(store, name, snapshot, &times, &file), KNOT_EOK);
	assert_reads(name, snapshot);
	snapshot_unpin(snapshot);
}
END_TEST

START_TEST(test_nsec3)
{
	static const params_t params = { .iterations = 1, .salt = "ab" };
	static const char *const names[] = { "", "a", "b", "c.b" };
	char text[4096];
	size_t len = sprintf(text, "@ SOA a. b. 1 2 3 4 5\n@ NS a.\n@ NSEC3PARAM 1 0 1 ab\na A 192.0.2.1\nb A 192.0.2.1\nc.b A 192.0.2.1\n");
	chain_text(text + len, &params, "example.", names, 4);
	snapshot_t *snapshot = support_zone("example.", text);
	ck_assert(snapshot->chain.has_notes);
	store_file_t file;
	ck_assert_int_eq(store_write(store, example, snapshot, &times, &file), KNOT_EOK);

	store_content_t content;
	const char *reason;
	ck_assert_int_eq(store_read(store, example, NOW, &content, &reason), KNOT_EOK);
	ck_assert(content.snapshot->chain.has_notes);
	assert_content(&content, snapshot);
	snapshot_unpin(snapshot);
}
END_TEST

/*! \brief Several blocks, and owners larger than one. */
START_TEST(test_large)
{
	char *text = malloc(8 << 20);
	size_t len = sprintf(text, "@ SOA a. b. 1 2 3 4 5\n@ NS a.\n");
	for (unsigned i = 0; i < 8000; i++) {
		len += sprintf(text + len, "big%s TXT \"%0200u\"\n", i < 6000 ? "" : "ger", i);
	}
	for (unsigned i = 0; i < 5000; i++) {
		len += sprintf(text + len, "n%u TXT \"%0200u\"\n", i, i);
	}
	snapshot_t *snapshot = support_zone("example.", text);
	store_file_t file;
	ck_assert_int_eq(store_write(store, example, snapshot, &times, &file), KNOT_EOK);
	ck_assert_uint_gt(file.end, 2 << 20);
	assert_reads(example, snapshot);
	snapshot_unpin(snapshot);
	free(text);
}
END_TEST

START_TEST(test_log)
{
	store_file_t file;
	write_version(1, &file);
	for (uint32_t serial = 2; serial < 20; serial++) {
		append(serial - 1, serial, &file);
		ck_assert_uint_eq(file.serial, serial);
		ck_assert_uint_eq(file.differences, serial - 1);
		snapshot_t *wanted = make_version(serial);
		assert_reads(example, wanted);
		snapshot_unpin(wanted);
	}

	/* Several at once, and from what was read. */
	store_content_t content;
	const char *reason;
	ck_assert_int_eq(store_read(store, example, NOW, &content, &reason), KNOT_EOK);
	ck_assert_uint_eq(content.file.end, file.end);
	ck_assert_uint_eq(content.file.image_end, file.image_end);
	snapshot_t *version[3];
	difference_t *difference[2];
	for (unsigned i = 0; i < 3; i++) {
		version[i] = make_version(19 + i);
		if (i > 0) {
			ck_assert_int_eq(difference_compute(version[i - 1], version[i], 0, &difference[i - 1]), KNOT_EOK);
		}
	}
	ck_assert_int_eq(store_append(store, example, difference, 2, &times, &content.file), KNOT_EOK);
	assert_reads(example, version[2]);
	for (unsigned i = 0; i < 3; i++) {
		snapshot_unpin(version[i]);
	}
	difference_release(difference[0]);
	difference_release(difference[1]);
	store_content_clear(&content);
}
END_TEST

START_TEST(test_times)
{
	store_file_t file;
	snapshot_t *version = make_version(1);
	ck_assert_int_eq(store_write(store, example, version, &times, &file), KNOT_EOK);
	store_content_t content;
	const char *reason;
	for (int64_t turn = 1; turn < 6; turn++) {
		store_times_t later = { .checked_at = NOW + turn, .expires_at = NOW + 2000 + turn };
		ck_assert_int_eq(store_touch(store, example, &later, &file), KNOT_EOK);
		ck_assert_int_eq(store_read(store, example, NOW + 1500, &content, &reason), KNOT_EOK);
		ck_assert_int_eq(content.times.checked_at, later.checked_at);
		ck_assert_int_eq(content.times.expires_at, later.expires_at);
		assert_content(&content, version);
	}
	assert_refused(example, NOW + 2005, "expired");

	/* The last times were not written to their end: those before hold. */
	size_t size;
	uint8_t *octets = file_load(example, &size);
	octets[512 + 256 + 8] ^= 1;
	file_save(example, octets, size);
	ck_assert_int_eq(store_read(store, example, NOW, &content, &reason), KNOT_EOK);
	ck_assert_int_eq(content.times.checked_at, NOW + 4);
	assert_content(&content, version);
	octets[512 + 8] ^= 1;
	file_save(example, octets, size);
	assert_refused(example, NOW, "damaged");
	free(octets);
	snapshot_unpin(version);
}
END_TEST

/* What is not read */

START_TEST(test_refused)
{
	store_file_t file;
	store_content_t content;
	const char *reason;
	char path[400], other[400];
	ck_assert_int_eq(store_read(store, example, NOW, &content, &reason), KNOT_ENOENT);
	write_version(1, &file);
	size_t size;
	uint8_t *octets = file_load(example, &size);

	assert_refused(example, times.expires_at, "expired");
	path_of((const uint8_t *)"\5other", other);
	file_save((const uint8_t *)"\5other", octets, size);
	assert_refused((const uint8_t *)"\5other", NOW, "of another zone");

	octets[12]++; /* the format */
	file_save(example, octets, size);
	assert_refused(example, NOW, "of another format");
	octets[12]--;
	octets[8] ^= octets[11]; /* the order of octets */
	file_save(example, octets, size);
	assert_refused(example, NOW, "of another format");
	octets[8] ^= octets[11];
	octets[0] = 'x';
	file_save(example, octets, size);
	assert_refused(example, NOW, "not a file of this kind");
	file_save(example, octets, 0);
	assert_refused(example, NOW, "not a file of this kind");
	free(octets);

	/* No files at all. */
	path_of(example, path);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	assert_refused(example, NOW, "not a file of this kind");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	assert_refused(example, NOW, "not a file of this kind");
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(symlink(other, path), 0);
	ck_assert_int_eq(store_read(store, example, NOW, &content, &reason), -ELOOP);
	ck_assert_int_eq(unlink(other), 0);
}
END_TEST

/*! Octets before the image: header and times. */
#define HEAD 1024

/*! \brief Where the parts of a file end, and what its head was by then: image, 2, 3. */
typedef struct {
	uint64_t end[3];
	uint8_t head[3][HEAD];
} steps_t;

static void note_step(steps_t *steps, unsigned step, const store_file_t *file)
{
	size_t size;
	uint8_t *octets = file_load(example, &size);
	ck_assert_uint_eq(size, file->end);
	steps->end[step] = size;
	memcpy(steps->head[step], octets, HEAD);
	free(octets);
}

/*! \brief A file with an image of version 1, and differences up to 3. */
static uint8_t *make_file(steps_t *steps, size_t *ret_size)
{
	store_file_t file;
	write_version(1, &file);
	note_step(steps, 0, &file);
	append(1, 2, &file);
	note_step(steps, 1, &file);
	append(2, 3, &file);
	note_step(steps, 2, &file);
	return file_load(example, ret_size);
}

/*! \brief Cut anywhere: without its image it is not read, else as far as it is whole, if times vouch for no more. */
START_TEST(test_cut)
{
	steps_t steps;
	const uint64_t *end = steps.end;
	size_t size;
	uint8_t *octets = make_file(&steps, &size);
	snapshot_t *version[] = { make_version(1), make_version(2), make_version(3) };
	for (size_t cut = 0; cut <= size; cut++) {
		const unsigned whole = cut < end[1] ? 0 : cut < end[2] ? 1 : 2;
		if (cut >= end[0] && whole < 2) {
			memcpy(octets, steps.head[whole + 1], HEAD);
			file_save(example, octets, cut);
			assert_refused(example, NOW, "damaged");
		}
		memcpy(octets, steps.head[whole], HEAD);
		file_save(example, octets, cut);
		store_content_t content;
		const char *reason;
		int ret = store_read(store, example, NOW, &content, &reason);
		ck_assert_int_eq(ret, cut < end[0] ? KNOT_EMALF : KNOT_EOK);
		if (ret != KNOT_EOK) {
			continue;
		}
		const unsigned last = whole;
		ck_assert_int_eq(content.is_torn, cut != end[last]);
		ck_assert_uint_eq(content.file.end, end[last]);

		store_file_t file = content.file;
		assert_content(&content, version[last]);

		/* What follows is appended in the place of the torn one. */
		if (cut % 37 == 0 && last < 2) {
			append(last + 1, last + 2, &file);
			assert_reads(example, version[last + 1]);
		}
	}

	/* A file that grew and was not filled. */
	uint8_t *longer = calloc(1, size + 5000);
	memcpy(longer, octets, end[1]);
	file_save(example, longer, size + 5000);
	assert_refused(example, NOW, "damaged");
	memcpy(longer, steps.head[1], HEAD);
	file_save(example, longer, size + 5000);
	store_content_t content;
	const char *reason;
	ck_assert_int_eq(store_read(store, example, NOW, &content, &reason), KNOT_EOK);
	ck_assert(content.is_torn);
	assert_content(&content, version[1]);
	for (unsigned i = 0; i < 3; i++) {
		snapshot_unpin(version[i]);
	}
	free(longer);
	free(octets);
}
END_TEST

/*! \brief What a killed writer left whole is vouched for from now on: it is synced first, or not gone on with. */
START_TEST(test_settled)
{
	static const struct {
		unsigned head;
		bool sync_fails;
		unsigned syncs;
	} cases[] = { { 2, false, 0 }, { 1, false, 1 }, { 1, true, 1 } };
	steps_t steps;
	size_t size;
	uint8_t *octets = make_file(&steps, &size);
	snapshot_t *wanted = make_version(3);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(octets, steps.head[cases[i].head], HEAD);
		file_save(example, octets, size);
		store_content_t content;
		const char *reason;
		data_syncs = 0;
		sync_fails = cases[i].sync_fails;
		ck_assert_int_eq(store_read(store, example, NOW, &content, &reason), KNOT_EOK);
		ck_assert_uint_eq(data_syncs, cases[i].syncs);
		ck_assert_int_eq(content.file.inode == 0, sync_fails);
		content.file.serial = sync_fails ? 3 : content.file.serial;
		assert_content(&content, wanted);
	}
	snapshot_unpin(wanted);
	free(octets);
}
END_TEST

/*! \brief A power failure while several differences are appended: any of the pages may be missing, and the times. */
START_TEST(test_lost_pages)
{
	store_file_t file;
	write_version(1, &file);
	append(1, 2, &file);
	size_t size, grown_size;
	uint8_t *octets = file_load(example, &size);

	snapshot_t *version[4];
	difference_t *difference[2];
	for (unsigned i = 0; i < 4; i++) {
		version[i] = make_version(1 + i);
		if (i > 1) {
			ck_assert_int_eq(difference_compute(version[i - 1], version[i], 0, &difference[i - 2]), KNOT_EOK);
		}
	}
	ck_assert_int_eq(store_append(store, example, difference, 2, &times, &file), KNOT_EOK);
	uint8_t *grown = file_load(example, &grown_size);
	memcpy(grown, octets, size);

	enum { PAGE = 16 };
	for (size_t at = size; at < grown_size; at++) {
		uint8_t *holed = malloc(grown_size);
		memcpy(holed, grown, grown_size);
		memset(holed + at, 0, grown_size - at < PAGE ? grown_size - at : PAGE);
		file_save(example, holed, grown_size);
		free(holed);

		store_content_t content;
		const char *reason;
		ck_assert_int_eq(store_read(store, example, NOW, &content, &reason), KNOT_EOK);
		ck_assert(content.is_torn || content.file.serial == 4);
		ck_assert_uint_ge(content.file.serial, 2);
		assert_content(&content, version[content.file.serial - 1]);
	}
	for (unsigned i = 0; i < 4; i++) {
		snapshot_unpin(version[i]);
	}
	difference_release(difference[0]);
	difference_release(difference[1]);
	free(grown);
	free(octets);
}
END_TEST

/*! \brief Any one octet changed: not read, but where nothing is written, or times were written again: those before are good, too. */
START_TEST(test_flip)
{
	steps_t steps;
	size_t size;
	uint8_t *octets = make_file(&steps, &size);
	snapshot_t *version = make_version(3);
	unsigned refused = 0;
	for (size_t at = 0; at < size; at++) {
		octets[at] ^= 1 << at % 8;
		file_save(example, octets, size);
		octets[at] ^= 1 << at % 8;
		store_content_t content;
		const char *reason;
		int ret = store_read(store, example, NOW, &content, &reason);
		if (ret != KNOT_EOK) {
			ck_assert_int_eq(ret, KNOT_EMALF);
			refused++;
			continue;
		}
		ck_assert_uint_lt(at, HEAD);
		ck_assert(!content.is_torn);
		ck_assert_uint_le(content.times.expires_at, times.expires_at);
		assert_content(&content, version);
	}
	ck_assert_uint_ge(refused, size - HEAD);
	snapshot_unpin(version);
	free(octets);
}
END_TEST

/*! \brief Frames of an older file of the same zone are not taken for the rest of a newer one. */
START_TEST(test_rest_of_another)
{
	steps_t steps;
	size_t size, newer_size;
	uint8_t *octets = make_file(&steps, &size);
	store_file_t file;
	write_version(1, &file);
	uint8_t *newer = file_load(example, &newer_size);
	ck_assert_uint_eq(newer_size, steps.end[0]);
	memcpy(octets, newer, newer_size);
	file_save(example, octets, size);
	store_content_t content;
	const char *reason;
	ck_assert_int_eq(store_read(store, example, NOW, &content, &reason), KNOT_EOK);
	ck_assert(content.is_torn && content.count == 0);
	snapshot_t *wanted = make_version(1);
	assert_content(&content, wanted);
	snapshot_unpin(wanted);
	free(newer);
	free(octets);
}
END_TEST

/*! \brief Differences that do not fit: not from where the file leads, or of something that is not there. */
START_TEST(test_log_of_something_else)
{
	store_file_t file;
	write_version(1, &file);
	store_file_t lie = file;
	lie.serial = 5;
	append(5, 6, &lie);
	assert_refused(example, NOW, "damaged");

	snapshot_t *old = support_zone("example.", "@ SOA a. b. 1 2 3 4 5\n@ NS ns\nother A 192.0.2.1\n");
	snapshot_t *new = support_zone("example.", "@ SOA a. b. 2 2 3 4 5\n@ NS ns\n");
	difference_t *difference;
	ck_assert_int_eq(difference_compute(old, new, 0, &difference), KNOT_EOK);
	ck_assert_int_eq(store_append(store, example, &difference, 1, &times, &file), KNOT_EOK);
	assert_refused(example, NOW, "damaged");
	difference_release(difference);
	snapshot_unpin(old);
	snapshot_unpin(new);
}
END_TEST

/* Writing that fails */

START_TEST(test_gone)
{
	store_file_t file, other;
	char path[400];
	write_version(1, &file);
	other = file;
	write_version(1, &file);
	ck_assert_int_eq(store_touch(store, example, &times, &other), KNOT_ENOENT);
	ck_assert_int_eq(truncate(path_of(example, path), file.end - 1), 0);
	ck_assert_int_eq(store_touch(store, example, &times, &file), KNOT_ENOENT);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(store_touch(store, example, &times, &file), KNOT_ENOENT);
	ck_assert_int_eq(store_remove(store, example), KNOT_EOK);
	write_version(1, &file);
	ck_assert_int_eq(store_remove(store, example), KNOT_EOK);
	store_content_t content;
	const char *reason;
	ck_assert_int_eq(store_read(store, example, NOW, &content, &reason), KNOT_ENOENT);
}
END_TEST

/*! \brief No room, wherever it ends: what there was stays, and can be gone on with. */
START_TEST(test_no_room)
{
	signal(SIGXFSZ, SIG_IGN);
	store_file_t file;
	write_version(1, &file);
	append(1, 2, &file);
	snapshot_t *version[] = { make_version(1), make_version(2), make_version(3) };
	difference_t *difference;
	ck_assert_int_eq(difference_compute(version[1], version[2], 0, &difference), KNOT_EOK);
	for (size_t room = 0; room + 100 < file.image_end; room += 41) {
		const store_file_t was = file;
		support_limit_files(room); /* From here on check's own files have no room either. */
		int written = store_write(store, example, version[2], &times, &file);
		support_limit_files(file.end + room % 100);
		int appended = store_append(store, example, &difference, 1, &times, &file);
		support_limit_files(RLIM_INFINITY);
		ck_assert_int_eq(written, -EFBIG);
		ck_assert_int_eq(appended, -EFBIG);
		ck_assert_int_eq(memcmp(&file, &was, sizeof(file)), 0);
		assert_reads(example, version[1]);
		char aside[410];
		strcat(path_of(example, aside), ".new");
		ck_assert_int_ne(access(aside, F_OK), 0);
	}
	ck_assert_int_eq(store_append(store, example, &difference, 1, &times, &file), KNOT_EOK);
	assert_reads(example, version[2]);
	difference_release(difference);
	for (unsigned i = 0; i < 3; i++) {
		snapshot_unpin(version[i]);
	}
}
END_TEST

/* Directories and names */

START_TEST(test_lock)
{
	store_t *other = NULL;
	ck_assert_int_eq(store_open(directory, &other), KNOT_EBUSY);
	store_close(store);
	ck_assert_int_eq(store_open(directory, &store), KNOT_EOK);
	ck_assert_str_eq(store_path(store), directory);

	char path[100];
	sprintf(path, "%s/none/below", directory);
	ck_assert_int_eq(store_open(path, &other), -ENOENT);
	sprintf(path, "%s/lock", directory);
	ck_assert_int_eq(store_open(path, &other), -ENOTDIR);
	sprintf(path, "%s/made", directory);
	struct stat parent;
	ck_assert_int_eq(stat(directory, &parent), 0);
	synced = 0;
	ck_assert_int_eq(store_open(path, &other), KNOT_EOK);
	ck_assert_uint_eq(synced, parent.st_ino);
	store_close(other);
	store_close(NULL);
	sprintf(path, "%s/made/lock", directory);
	ck_assert_int_eq(unlink(path), 0);
}
END_TEST

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

START_TEST(test_names)
{
	static const struct {
		const char *zone, *file;
	} table[] = {
		{ ".", "@.zone" },
		{ "example.com.", "example.com.zone" },
		{ "a-b_c.0.test.", "a-b_c.0.test.zone" },
		{ "a\\.b.test.", "a%2eb.test.zone" },
		{ "0/25.2.0.192.in-addr.arpa.", "0%2f25.2.0.192.in-addr.arpa.zone" },
		{ "\\000\\255\\@.", "%00%ff%40.zone" },
		{ "\\.\\..", "%2e%2e.zone" },
		{ "%41.", "%2541.zone" },
		{ "\\*.test.", "%2a.test.zone" },
		{ "lock.", "lock.zone" },
		{ L63 "." L63 "." L63 ".", L63 "." L63 "." L63 ".zone" },
	};
	char name[STORE_FILE_NAME_MAX];
	uint8_t zone[WIRE_NAME_MAX];
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		support_name(table[i].zone, zone);
		ck_assert_str_eq(store_file_name(zone, name), table[i].file);
	}

	/* Longer than a file's name may be: cut, and still different from each other; and the longest. */
	char first[STORE_FILE_NAME_MAX];
	support_name(L63 "." L63 "." L63 "." "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.", zone);
	store_file_name(zone, first);
	ck_assert_uint_le(strlen(first), 255 - strlen(".new"));
	zone[250] = 'b';
	ck_assert_str_ne(store_file_name(zone, name), first);
	for (unsigned at = 0; at < 250; at += 64) {
		memset(zone + at + 1, '/', zone[at]);
	}
	ck_assert_uint_le(strlen(store_file_name(zone, name)), 255 - strlen(".new"));
	snapshot_t *snapshot = NULL;
	builder_limits_t limits = { 0 };
	char text[WIRE_NAME_MAX * 4 + 1], error[1200];
	knot_dname_to_str(text, zone, sizeof(text));
	ck_assert_int_eq(support_try(text, "@ SOA . . 1 2 3 4 5\n@ NS .\n", &limits, &snapshot, error), KNOT_EOK);
	store_file_t file;
	ck_assert_int_eq(store_write(store, zone, snapshot, &times, &file), KNOT_EOK);
	assert_reads(zone, snapshot);
	snapshot_unpin(snapshot);
}
END_TEST

/*! \brief Writers that are killed at any octet of what they do, again and again: what was finished before is there. */
START_TEST(test_random)
{
	srandom(support_seed());
	const unsigned rounds = support_is_full() ? 5000 : 300;
	store_file_t file;
	uint32_t serial = 1;
	write_version(serial, &file);
	for (unsigned round = 0; round < rounds; round++) {
		if (random() % 10 == 0) {
			write_version(++serial, &file);
		} else {
			append(serial, serial + 1, &file);
			serial++;
		}
		if (random() % 3 == 0) {
			/* The next change was begun; times come after it. */
			store_file_t begun = file;
			size_t size, before_size;
			uint8_t *before = file_load(example, &before_size);
			append(serial, serial + 1, &begun);
			uint8_t *octets = file_load(example, &size);
			memcpy(octets, before, HEAD);
			file_save(example, octets, file.end + random() % (size - file.end));
			free(octets);
			free(before);
			store_content_t content;
			const char *reason;
			ck_assert_int_eq(store_read(store, example, NOW, &content, &reason), KNOT_EOK);
			file = content.file;
			snapshot_t *wanted = make_version(serial);
			assert_content(&content, wanted);
			snapshot_unpin(wanted);
		}
	}
}
END_TEST

/*! \brief How long a version may be served, by a clock that may have been set. */
START_TEST(test_times_left)
{
	static const struct {
		store_times_t times;
		int64_t now;
		uint32_t left;
	} cases[] = {
		{ { 1000, 1600 }, 1000, 600 },
		{ { 1000, 1600 }, 1599, 1 },
		{ { 1000, 1600 }, 1600, 0 },
		{ { 1000, 1600 }, 5000, 0 },
		{ { 1000, 1600 }, 999, 600 },
		{ { 1700000000, 1700000600 }, 0, 600 },
		{ { 0, INT64_MAX }, 0, UINT32_MAX },
		{ { 1600, 1000 }, 500, 0 },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(store_times_left(&cases[i].times, cases[i].now) == cases[i].left, "case %u", i);
	}
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("store");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, test_zones, 0, 4);
	tcase_add_test(tcase, test_nsec3);
	tcase_add_test(tcase, test_times_left);
	tcase_add_test(tcase, test_large);
	tcase_add_test(tcase, test_log);
	tcase_add_test(tcase, test_times);
	tcase_add_test(tcase, test_refused);
	tcase_add_test(tcase, test_cut);
	tcase_add_test(tcase, test_settled);
	tcase_add_test(tcase, test_lost_pages);
	tcase_add_test(tcase, test_flip);
	tcase_add_test(tcase, test_rest_of_another);
	tcase_add_test(tcase, test_log_of_something_else);
	tcase_add_test(tcase, test_gone);
	tcase_add_test(tcase, test_no_room);
	tcase_add_test(tcase, test_lock);
	tcase_add_test(tcase, test_names);
	tcase_add_test(tcase, test_random);
	tcase_set_timeout(tcase, 60);

	Suite *suite = suite_create("store");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
