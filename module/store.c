/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief A directory of zones.
 */
#include "secondary/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <libknot/dname.h>
#include <libknot/errcode.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "secondary/amend.h"
#include "secondary/image.h"
#include "secondary/wire.h"

#define LOCK_NAME     "lock"
#define SUFFIX        ".zone"
#define SUFFIX_ASIDE  ".new"
/*! Octets of a zone's name as text that are kept if all of them are too many. */
#define NAME_CUT      200

#define MAGIC         "modsec\n\x1A"
#define ORDER         0x01020304u

/*! Octets that one read asks for. */
#define READ_AHEAD    IMAGE_BLOCK_SIZE

/*! The file begins with it. */
typedef struct {
	char magic[8];
	uint32_t order;           /*!< ORDER, in the order of octets of the machine. */
	uint32_t format;          /*!< STORE_FORMAT. */
	uint8_t zone[WIRE_NAME_MAX + 1];
	uint64_t created;         /*!< Tells chains of frames of the same zone apart. */
	uint64_t digest;          /*!< Of all before. */
} header_t;

/*! A slot of times. */
typedef struct {
	uint64_t turn;            /*!< The one with the greater is the newer. */
	store_times_t times;
	uint64_t synced;          /*!< Octets of the file that were on disk before the slot was written. */
	uint64_t digest;          /*!< Of all before, and the header's. */
} slot_t;

/*! Before the octets of each frame. */
typedef struct {
	uint32_t kind;
	uint32_t reserved;
	uint64_t size;
	uint64_t digest;          /*!< Of the octets, kind, size and the digest of the frame before. */
} frame_t;

enum { FRAME_NONE, FRAME_BLOCK, FRAME_SUMS, FRAME_DIFFERENCE };

/*! Places in the file. Slots share a sector with nothing that is not written again with them. */
#define SLOT_AT(turn)  (512 + ((turn) & 1) * 256)
#define FRAMES_AT      1024

static_assert(sizeof(header_t) <= SLOT_AT(0), "the header ends before the slots");

struct store {
	int dir;
	int lock;                 /*!< -1: nobody can write here, we neither. */
	char path[];
};

static int system_error(void)
{
	return -errno;            /* knot_strerror() knows them. */
}

/* The directory */

/*! \brief Takes the lock, if there can be one. */
static int lock_take(store_t *store)
{
	/* Not for writing, or no file system could be made read-only while it is open. */
	store->lock = openat(store->dir, LOCK_NAME, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (store->lock < 0 && (errno == EROFS || errno == EACCES)) {
		return KNOT_EOK;
	}
	if (store->lock < 0) {
		return system_error();
	}
	if (flock(store->lock, LOCK_EX | LOCK_NB) != 0) {
		return errno == EWOULDBLOCK ? KNOT_EBUSY : system_error();
	}
	return KNOT_EOK;
}

/*! \brief What is made here is on disk only if the directory is. Where its parent may not be read, that is left to chance. */
static void sync_parent(const store_t *store)
{
	const int parent = openat(store->dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent >= 0) {
		(void)fsync(parent);
		close(parent);
	}
}

static int directory_open(store_t *store)
{
	const bool is_made = mkdir(store->path, 0750) == 0;
	if (!is_made && errno != EEXIST && errno != EROFS) {
		return system_error();
	}
	store->dir = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dir < 0) {
		return system_error();
	}
	if (is_made) {
		sync_parent(store);
	}
	return lock_take(store);
}

int store_open(const char *path, store_t **ret_store)
{
	store_t *store = malloc(sizeof(*store) + strlen(path) + 1);
	if (store == NULL) {
		return KNOT_ENOMEM;
	}
	store->dir = store->lock = -1;
	strcpy(store->path, path);
	int ret = directory_open(store);
	if (ret != KNOT_EOK) {
		store_close(store);
		return ret;
	}
	*ret_store = store;
	return KNOT_EOK;
}

void store_close(store_t *store)
{
	if (store == NULL) {
		return;
	}
	if (store->lock >= 0) {
		close(store->lock);
	}
	if (store->dir >= 0) {
		close(store->dir);
	}
	free(store);
}

const char *store_path(const store_t *store)
{
	return store->path;
}

/* Names of files */

static char *put_octet(char *to, uint8_t octet)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
	if (octet != '\0' && strchr(plain, octet) != NULL) {
		*to++ = octet;
		return to;
	}
	return to + sprintf(to, "%%%02x", octet);
}

char *store_file_name(const uint8_t *zone, char dst[static STORE_FILE_NAME_MAX])
{
	char text[3 * WIRE_NAME_MAX + sizeof(SUFFIX) + 20];
	char *to = text;
	for (const uint8_t *label = zone; *label != 0; label += 1 + *label) {
		if (label > zone) {
			*to++ = '.';
		}
		for (unsigned i = 1; i <= *label; i++) {
			to = put_octet(to, label[i]);
		}
	}
	if (to == text) {
		*to++ = '@';
	} else if (to - text > NAME_CUT) {
		uint64_t digest = XXH3_64bits(zone, knot_dname_size(zone));
		to = text + NAME_CUT;
		to += sprintf(to, "~%016llx", (unsigned long long)digest);
	}
	strcpy(to, SUFFIX);
	strcpy(dst, text);
	return dst;
}

/*! \brief The name under which a file is made. */
static char *aside_name(const uint8_t *zone, char dst[static STORE_FILE_NAME_MAX])
{
	return strcat(store_file_name(zone, dst), SUFFIX_ASIDE);
}

static_assert(NAME_CUT + 17 + sizeof(SUFFIX) + sizeof(SUFFIX_ASIDE) <= STORE_FILE_NAME_MAX, "a name has room");

/* Digests */

static uint64_t header_digest(const header_t *header)
{
	return XXH3_64bits(header, offsetof(header_t, digest));
}

static uint64_t slot_digest(const slot_t *slot, uint64_t header)
{
	return XXH3_64bits_withSeed(slot, offsetof(slot_t, digest), header);
}

/*! \param before  Digest of the frame before, or of the header. */
static uint64_t frame_digest(const frame_t *frame, const uint8_t *octets, uint64_t before)
{
	uint64_t seed = XXH3_64bits_withSeed(frame, offsetof(frame_t, digest), before);
	return XXH3_64bits_withSeed(octets, frame->size, seed);
}

/* Writing */

/*! A file being written. */
typedef struct {
	int fd;
	uint64_t at;              /*!< Where the next octet goes. */
	uint64_t digest;          /*!< Of the last frame. */
	buffer_t buffer;          /*!< The frame under way: room for frame_t first. */
} sink_t;

static int write_at(int fd, const void *octets, size_t size, uint64_t at)
{
	const uint8_t *from = octets;
	while (size > 0) {
		ssize_t done = pwrite(fd, from, size, at);
		if (done < 0 && errno == EINTR) {
			continue;
		}
		if (done <= 0) {
			return done < 0 ? system_error() : -EIO;
		}
		from += done;
		at += done;
		size -= done;
	}
	return KNOT_EOK;
}

/*! \brief Begins a frame: its octets are to be put into sink->buffer. */
static int frame_begin(sink_t *sink)
{
	sink->buffer.size = 0;
	if (buffer_reserve(&sink->buffer, sizeof(frame_t)) != KNOT_EOK) {
		return KNOT_ENOMEM;
	}
	buffer_push(&sink->buffer, sizeof(frame_t));
	return KNOT_EOK;
}

/*! \brief Writes the frame. */
static int frame_end(sink_t *sink, uint32_t kind)
{
	frame_t frame = { .kind = kind, .size = sink->buffer.size - sizeof(frame) };
	frame.digest = frame_digest(&frame, sink->buffer.at + sizeof(frame), sink->digest);
	memcpy(sink->buffer.at, &frame, sizeof(frame));
	int ret = write_at(sink->fd, sink->buffer.at, sink->buffer.size, sink->at);
	sink->at += sink->buffer.size;
	sink->digest = frame.digest;
	return ret;
}

static int put_octets(sink_t *sink, const void *octets, size_t size)
{
	if (buffer_reserve(&sink->buffer, size) != KNOT_EOK) {
		return KNOT_ENOMEM;
	}
	buffer_put(&sink->buffer, octets, size);
	return KNOT_EOK;
}

static int write_image(sink_t *sink, const snapshot_t *snapshot)
{
	image_writer_t writer;
	image_begin(&writer, snapshot);
	for (;;) {
		int ret = frame_begin(sink);
		if (ret == KNOT_EOK) {
			ret = image_next(&writer, &sink->buffer);
		}
		if (ret == KNOT_EOK) {
			ret = frame_end(sink, FRAME_BLOCK);
		}
		if (ret != KNOT_EOK) {
			return ret == KNOT_ENOENT ? KNOT_EOK : ret;
		}
	}
}

static int write_sums(sink_t *sink, const snapshot_t *snapshot)
{
	image_sums_t sums = image_sums(snapshot);
	int ret = frame_begin(sink);
	if (ret == KNOT_EOK) {
		ret = put_octets(sink, &sums, sizeof(sums));
	}
	return ret == KNOT_EOK ? frame_end(sink, FRAME_SUMS) : ret;
}

static int write_difference(sink_t *sink, const difference_t *difference)
{
	/* All but the count of its holders, which others change; and no octets of the stack. */
	difference_t head;
	memset(&head, 0, sizeof(head));
	head.from = difference->from;
	head.to = difference->to;
	head.removed = difference->removed;
	head.added = difference->added;
	head.size = difference->size;
	head.added_at = difference->added_at;
	int ret = frame_begin(sink);
	if (ret == KNOT_EOK) {
		ret = put_octets(sink, &head, sizeof(head));
	}
	if (ret == KNOT_EOK) {
		ret = put_octets(sink, difference->octets, difference->size);
	}
	return ret == KNOT_EOK ? frame_end(sink, FRAME_DIFFERENCE) : ret;
}

/*! \brief Writes times into the slot whose turn it is. \param file  All of it is on disk. */
static int write_times(int fd, const store_times_t *times, const store_file_t *file)
{
	slot_t slot = { .turn = file->turns, .times = *times, .synced = file->end };
	slot.digest = slot_digest(&slot, file->header);
	return write_at(fd, &slot, sizeof(slot), SLOT_AT(file->turns));
}

static header_t header_make(const uint8_t *zone)
{
	header_t header = { .magic = MAGIC, .order = ORDER, .format = STORE_FORMAT };
	static_assert(sizeof(MAGIC) == sizeof(header.magic) + 1, "eight octets");
	memcpy(header.zone, zone, knot_dname_size(zone));
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	header.created = now.tv_sec * 1000000000ull + now.tv_nsec;
	header.digest = header_digest(&header);
	return header;
}

/*! \brief Writes all of a new file and syncs it. */
static int write_file(sink_t *sink, const uint8_t *zone, const snapshot_t *snapshot, const store_times_t *times,
                      store_file_t *file)
{
	const header_t header = header_make(zone);
	*file = (store_file_t) { .header = header.digest, .serial = snapshot->soa.serial };
	sink->at = FRAMES_AT;
	sink->digest = header.digest;
	int ret = write_at(sink->fd, &header, sizeof(header), 0);
	if (ret == KNOT_EOK) {
		ret = write_times(sink->fd, times, file);
	}
	if (ret == KNOT_EOK) {
		ret = write_image(sink, snapshot);
	}
	if (ret == KNOT_EOK) {
		ret = write_sums(sink, snapshot);
	}
	if (ret == KNOT_EOK && fdatasync(sink->fd) != 0) {
		ret = system_error();
	}
	file->image_end = file->end = sink->at;
	file->digest = sink->digest;
	return ret;
}

/*! \brief Puts the file that was made aside in its place, for good. */
static int file_replace(const store_t *store, int fd, const uint8_t *zone, store_file_t *file)
{
	char aside[STORE_FILE_NAME_MAX], name[STORE_FILE_NAME_MAX];
	struct stat st;
	if (fstat(fd, &st) != 0 ||
	    renameat(store->dir, aside_name(zone, aside), store->dir, store_file_name(zone, name)) != 0 ||
	    fsync(store->dir) != 0) {
		return system_error();
	}
	file->inode = st.st_ino;
	return KNOT_EOK;
}

int store_write(const store_t *store, const uint8_t *zone, const snapshot_t *snapshot, const store_times_t *times,
                store_file_t *file)
{
	char aside[STORE_FILE_NAME_MAX];
	aside_name(zone, aside);
	sink_t sink = {
		.fd = openat(store->dir, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640),
	};
	if (sink.fd < 0) {
		return system_error();
	}

	store_file_t made;
	int ret = write_file(&sink, zone, snapshot, times, &made);
	if (ret == KNOT_EOK) {
		ret = file_replace(store, sink.fd, zone, &made);
	}
	close(sink.fd);
	buffer_clear(&sink.buffer);
	if (ret != KNOT_EOK) {
		(void)unlinkat(store->dir, aside, 0);
		return ret;
	}
	*file = made;
	return KNOT_EOK;
}

/* Going on with a file */

/*! \brief Opens the file that \a file describes. */
static int file_open(const store_t *store, const uint8_t *zone, const store_file_t *file, int *ret_fd)
{
	char name[STORE_FILE_NAME_MAX];
	struct stat st;
	int fd = openat(store->dir, store_file_name(zone, name), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		return errno == ENOENT ? KNOT_ENOENT : system_error();
	}
	if (fstat(fd, &st) != 0 || st.st_ino != file->inode || (uint64_t)st.st_size < file->end) {
		close(fd);
		return KNOT_ENOENT;
	}
	*ret_fd = fd;
	return KNOT_EOK;
}

static int append_all(sink_t *sink, difference_t *const *difference, size_t count)
{
	/* What an unfinished writer left is not to be taken for the rest of what is written now. */
	if (ftruncate(sink->fd, sink->at) != 0) {
		return system_error();
	}
	for (size_t i = 0; i < count; i++) {
		int ret = write_difference(sink, difference[i]);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	return fdatasync(sink->fd) == 0 ? KNOT_EOK : system_error();
}

int store_append(const store_t *store, const uint8_t *zone, difference_t *const *difference, size_t count,
                 const store_times_t *times, store_file_t *file)
{
	assert(count > 0 && difference[0]->from == file->serial);
	sink_t sink = { .at = file->end, .digest = file->digest };
	int ret = file_open(store, zone, file, &sink.fd);
	if (ret != KNOT_EOK) {
		return ret;
	}

	ret = append_all(&sink, difference, count);
	if (ret == KNOT_EOK) {
		file->end = sink.at;
		file->digest = sink.digest;
		file->serial = difference[count - 1]->to;
		file->differences += count;
		file->turns++;
		(void)write_times(sink.fd, times, file);
	} else {
		(void)!ftruncate(sink.fd, file->end);
	}
	close(sink.fd);
	buffer_clear(&sink.buffer);
	return ret;
}

int store_touch(const store_t *store, const uint8_t *zone, const store_times_t *times, store_file_t *file)
{
	int fd;
	int ret = file_open(store, zone, file, &fd);
	if (ret == KNOT_EOK) {
		file->turns++;
		ret = write_times(fd, times, file);
		close(fd);
	}
	return ret;
}

int store_remove(const store_t *store, const uint8_t *zone)
{
	char name[STORE_FILE_NAME_MAX];
	(void)unlinkat(store->dir, aside_name(zone, name), 0);
	if (unlinkat(store->dir, store_file_name(zone, name), 0) != 0) {
		return errno == ENOENT ? KNOT_EOK : system_error();
	}
	return fsync(store->dir) == 0 ? KNOT_EOK : system_error();
}

/* Reading */

/*! A file being read, with what was read ahead. */
typedef struct {
	int fd;
	uint64_t left;            /*!< Octets that were not taken yet. */
	uint64_t synced;          /*!< Octets of the file that times vouch for. */
	buffer_t ahead;
	size_t pos;               /*!< What was taken of \a ahead. */
} source_t;

/*! \brief Has \a size octets ready at the position; not more than are left. */
static int source_fill(source_t *source, size_t size)
{
	buffer_t *ahead = &source->ahead;
	if (source->pos > 0) {
		memmove(ahead->at, ahead->at + source->pos, ahead->size - source->pos);
		ahead->size -= source->pos;
	}
	source->pos = 0;
	if (buffer_reserve(ahead, size - ahead->size + READ_AHEAD) != KNOT_EOK) {
		return KNOT_ENOMEM;
	}
	while (ahead->size < size) {
		ssize_t got = read(source->fd, ahead->at + ahead->size, ahead->capacity - ahead->size);
		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got <= 0) {
			return got < 0 ? system_error() : KNOT_EMALF;
		}
		ahead->size += got;
	}
	return KNOT_EOK;
}

/*! \brief The next \a size octets; KNOT_ENOENT: there are fewer. Borrow: until the next call. */
static int source_take(source_t *source, uint64_t size, const uint8_t **ret_octets)
{
	if (size > source->left) {
		return KNOT_ENOENT;
	}
	if (size > source->ahead.size - source->pos) {
		int ret = source_fill(source, size);
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
	*ret_octets = source->ahead.at + source->pos;
	source->pos += size;
	source->left -= size;
	return KNOT_EOK;
}

/*! \brief Reads a frame. KNOT_ENOENT: it is not whole. */
static int frame_read(source_t *source, uint64_t before, frame_t *ret_frame, const uint8_t **ret_octets)
{
	const uint8_t *head;
	int ret = source_take(source, sizeof(*ret_frame), &head);
	if (ret != KNOT_EOK) {
		return ret;
	}
	memcpy(ret_frame, head, sizeof(*ret_frame));
	if (ret_frame->kind == FRAME_NONE) {
		return KNOT_ENOENT; /* A file may have grown, and not been filled. */
	}
	ret = source_take(source, ret_frame->size, ret_octets);
	if (ret == KNOT_EOK && frame_digest(ret_frame, *ret_octets, before) != ret_frame->digest) {
		ret = KNOT_ENOENT;
	}
	return ret;
}

static int header_check(const header_t *header, const uint8_t *zone, const char **ret_reason)
{
	*ret_reason = "not a file of this kind";
	if (memcmp(header->magic, MAGIC, sizeof(header->magic)) != 0) {
		return KNOT_EMALF;
	}
	*ret_reason = "of another format";
	if (header->order != ORDER || header->format != STORE_FORMAT) {
		return KNOT_EMALF;
	}
	*ret_reason = "damaged";
	if (header->digest != header_digest(header)) {
		return KNOT_EMALF;
	}
	*ret_reason = "of another zone";
	size_t len = knot_dname_size(zone);
	return memcmp(header->zone, zone, len) == 0 ? KNOT_EOK : KNOT_EMALF;
}

/*! \brief The newer of the slots that are whole. */
static bool times_read(const uint8_t *head, uint64_t header, slot_t *ret_slot)
{
	bool found = false;
	for (unsigned turn = 0; turn < 2; turn++) {
		slot_t slot;
		memcpy(&slot, head + SLOT_AT(turn), sizeof(slot));
		if (slot.digest == slot_digest(&slot, header) && (!found || slot.turn > ret_slot->turn)) {
			*ret_slot = slot;
			found = true;
		}
	}
	return found;
}

/*! \brief Reads header and times. */
static int head_read(source_t *source, const uint8_t *zone, int64_t now, store_content_t *content, const char **ret_reason)
{
	const uint8_t *head;
	*ret_reason = "not a file of this kind";
	int ret = source_take(source, FRAMES_AT, &head);
	if (ret != KNOT_EOK) {
		return ret == KNOT_ENOENT ? KNOT_EMALF : ret;
	}
	header_t header;
	slot_t slot = { 0 };
	memcpy(&header, head, sizeof(header));
	ret = header_check(&header, zone, ret_reason);
	if (ret != KNOT_EOK) {
		return ret;
	}
	*ret_reason = "damaged";
	if (!times_read(head, header.digest, &slot)) {
		return KNOT_EMALF;
	}
	*ret_reason = "expired";
	if (slot.times.expires_at <= now) {
		return KNOT_EMALF;
	}
	source->synced = slot.synced;
	content->times = slot.times;
	content->file.turns = slot.turn;
	content->file.header = content->file.digest = header.digest;
	content->file.end = FRAMES_AT;
	return KNOT_EOK;
}

/*! \brief Takes a whole frame of the file. */
static int frame_next(source_t *source, store_file_t *file, frame_t *ret_frame, const uint8_t **ret_octets)
{
	int ret = frame_read(source, file->digest, ret_frame, ret_octets);
	if (ret == KNOT_EOK) {
		file->digest = ret_frame->digest;
		file->end += sizeof(*ret_frame) + ret_frame->size;
	}
	return ret;
}

static int image_take(source_t *source, image_reader_t *reader, store_content_t *content)
{
	for (;;) {
		frame_t frame;
		const uint8_t *octets;
		image_sums_t sums;
		int ret = frame_next(source, &content->file, &frame, &octets);
		if (ret != KNOT_EOK) {
			return ret == KNOT_ENOENT ? KNOT_EMALF : ret;
		}
		if (frame.kind == FRAME_SUMS && frame.size == sizeof(sums)) {
			memcpy(&sums, octets, sizeof(sums));
			content->file.image_end = content->file.end;
			content->file.serial = sums.serial;
			return image_finish(reader, &sums, &content->snapshot);
		}
		ret = frame.kind == FRAME_BLOCK ? image_read(reader, octets, frame.size) : KNOT_EMALF;
		if (ret != KNOT_EOK) {
			return ret;
		}
	}
}

/*! \brief Makes a difference of the octets of a frame. */
static int difference_copy(const uint8_t *octets, uint64_t size, difference_t **ret_difference)
{
	if (size < sizeof(difference_t)) {
		return KNOT_EMALF;
	}
	difference_t *difference = malloc(size);
	if (difference == NULL) {
		return KNOT_ENOMEM;
	}
	memcpy(difference, octets, size);
	difference->refs = 1;
	if (difference_memory(difference) != size || !difference_is_sound(difference)) {
		free(difference);
		return KNOT_EMALF;
	}
	*ret_difference = difference;
	return KNOT_EOK;
}

/*! \brief Adds a difference (taken on success) to those that were read. */
static int log_add(store_content_t *content, difference_t *difference)
{
	const uint32_t count = content->count;
	if ((count & (count - 1)) == 0) { /* A power of two: that many there is room for. */
		size_t room = count > 0 ? 2 * (size_t)count : 1;
		difference_t **grown = reallocarray(content->difference, room, sizeof(*grown));
		if (grown == NULL) {
			return KNOT_ENOMEM;
		}
		content->difference = grown;
	}
	content->difference[count] = difference;
	content->file.differences = ++content->count;
	return KNOT_EOK;
}

/*! \brief Takes the next difference of the log, which leads on. KNOT_ENOENT: what is left is not a whole one. */
static int log_take(source_t *source, store_content_t *content)
{
	frame_t frame;
	const uint8_t *octets;
	difference_t *difference;
	int ret = frame_next(source, &content->file, &frame, &octets);
	if (ret != KNOT_EOK) {
		return ret;
	}
	ret = frame.kind == FRAME_DIFFERENCE ? difference_copy(octets, frame.size, &difference) : KNOT_EMALF;
	if (ret != KNOT_EOK) {
		return ret;
	}
	bool leads_on = difference->from == content->file.serial;
	ret = leads_on ? log_add(content, difference) : KNOT_EMALF;
	if (ret != KNOT_EOK) {
		difference_release(difference);
		return ret;
	}
	content->file.serial = difference->to;
	return KNOT_EOK;
}

/*! \brief Puts the version to which the log leads in the place of that of the image. */
static int log_apply(store_content_t *content)
{
	const builder_limits_t limits = { 0 };
	char error[AMEND_ERROR_MAX];
	snapshot_t *draft = NULL;
	snapshot_t *base = content->snapshot;
	int ret = amend(base, content->difference, content->count, &limits, &draft, error);
	if (ret != KNOT_EOK) {
		return ret;
	}
	snapshot_commit(draft);
	content->snapshot = draft;
	snapshot_unpin(base);
	return KNOT_EOK;
}

/*!
 * \brief Reads the log up to the first frame that is not whole. If it was not synced nobody was told of it: a writer was killed, or a
 *        power failure took any of its pages. Times that vouch for more are not those of a version before.
 */
static int log_read(source_t *source, store_content_t *content)
{
	int ret = KNOT_EOK;
	while (ret == KNOT_EOK && source->left > 0) {
		ret = log_take(source, content);
	}
	if (ret == KNOT_ENOENT) {
		content->is_torn = true;
		ret = KNOT_EOK;
	}
	if (ret == KNOT_EOK && content->file.end < source->synced) {
		ret = KNOT_EMALF;
	}
	return ret == KNOT_EOK && content->count > 0 ? log_apply(content) : ret;
}

/*!
 * \brief Syncs differences that were read before a killed writer could: times will vouch for them. If they cannot be, a new file is
 *        to be written.
 */
static void log_settle(const source_t *source, store_content_t *content)
{
	const store_file_t *file = &content->file;
	if (file->end > file->image_end && file->end > source->synced && fdatasync(source->fd) != 0) {
		content->file = (store_file_t) { 0 };
	}
}

static int content_read(source_t *source, const uint8_t *zone, int64_t now, store_content_t *content,
                        const char **ret_reason)
{
	int ret = head_read(source, zone, now, content, ret_reason);
	if (ret != KNOT_EOK) {
		return ret;
	}
	*ret_reason = "damaged";
	image_reader_t *reader = image_reader_new(zone, source->left);
	ret = reader != NULL ? image_take(source, reader, content) : KNOT_ENOMEM;
	image_reader_free(reader);
	if (ret == KNOT_EOK) {
		ret = log_read(source, content);
	}
	if (ret == KNOT_EOK) {
		log_settle(source, content);
	}
	return ret;
}

void store_content_clear(store_content_t *content)
{
	snapshot_unpin(content->snapshot);
	for (uint32_t i = 0; i < content->count; i++) {
		difference_release(content->difference[i]);
	}
	free(content->difference);
	content->snapshot = NULL;
	content->difference = NULL;
	content->count = 0;
}

int store_read(const store_t *store, const uint8_t *zone, int64_t now, store_content_t *ret_content,
               const char **ret_reason)
{
	char name[STORE_FILE_NAME_MAX];
	store_content_t content = { 0 };
	struct stat st;
	source_t source = { .fd = openat(store->dir, store_file_name(zone, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) };
	*ret_reason = NULL;
	if (source.fd < 0) {
		return errno == ENOENT ? KNOT_ENOENT : system_error();
	}

	int ret = fstat(source.fd, &st) == 0 ? KNOT_EOK : system_error();
	if (ret == KNOT_EOK && !S_ISREG(st.st_mode)) {
		*ret_reason = "not a file of this kind";
		ret = KNOT_EMALF;
	}
	if (ret == KNOT_EOK) {
		source.left = st.st_size;
		content.file.inode = st.st_ino;
		ret = content_read(&source, zone, now, &content, ret_reason);
	}
	close(source.fd);
	buffer_clear(&source.ahead);
	if (ret != KNOT_EOK) {
		store_content_clear(&content);
		/* It is there, whatever is not. */
		return ret == KNOT_ENOENT ? KNOT_EMALF : ret;
	}
	*ret_content = content;
	return KNOT_EOK;
}
