/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What is kept of which zone, when.
 */
#include "secondary/saver.h"

#include <assert.h>
#include <libknot/errcode.h>
#include <libknot/error.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "secondary/report.h"

/*! A directory. It stays open, and locked, to the end. */
struct saver_place {
	LIST_ENTRY(saver_place) entry;
	store_t *store;           /*!< NULL: it could not be opened, */
	uint64_t tried_ms;        /*!< then. */
	bool is_failing;          /*!< The last write failed. */
	char path[];
};

static void start(saver_t *saver);

/* Directories */

/*! \brief Octets of \a path without slashes at its end: with and without it is one directory, whose lock is taken once. */
static size_t path_len(const char *path)
{
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/') {
		len--;
	}
	return len;
}

static saver_place_t *place_find(saver_t *saver, const char *path)
{
	const size_t len = path_len(path);
	saver_place_t *place;
	LIST_FOREACH(place, &saver->places, entry) {
		if (strlen(place->path) == len && memcmp(place->path, path, len) == 0) {
			return place;
		}
	}
	place = calloc(1, sizeof(*place) + len + 1);
	if (place != NULL) {
		memcpy(place->path, path, len);
		LIST_INSERT_HEAD(&saver->places, place, entry);
	}
	return place;
}

/*! \param zone  Which needs it: where there is no line for all zones, it is one of this one. */
static void place_open(saver_place_t *place, const zone_t *zone, uint64_t now)
{
	place->tried_ms = now;
	int ret = store_open(place->path, &place->store);
	if (ret != KNOT_EOK) {
		report(zone, LOG_ERR, "store, directory '%s' not used (%s)", place->path,
		       ret == KNOT_EBUSY ? "in use by another server" : knot_strerror(ret));
	}
}

/*! \brief The directory \a path, open; NULL: there is none, or none to use. */
static saver_place_t *place_get(saver_t *saver, const zone_t *zone, const char *path)
{
	saver_place_t *place = path != NULL ? place_find(saver, path) : NULL;
	if (place == NULL) {
		return NULL;
	}
	uint64_t now = uv_now(saver->loop);
	if (place->store == NULL && (place->tried_ms == 0 || now - place->tried_ms >= SAVER_REOPEN_MS)) {
		place_open(place, zone, now > 0 ? now : 1);
	}
	return place->store != NULL ? place : NULL;
}

/*! \brief One line when writing begins to fail, one when it is well again: when there is room for versions, not for times alone. */
static void place_note(saver_place_t *place, const zone_t *zone, const saver_job_t *job)
{
	const bool fails = job->ret != KNOT_EOK;
	if (job->kind != SAVER_WRITE && job->kind != SAVER_APPEND) {
		return;
	}
	if (fails && !place->is_failing) {
		report(zone, LOG_ERR, "store, directory '%s', not written (%s)", place->path, knot_strerror(job->ret));
	} else if (!fails && place->is_failing) {
		report(zone, LOG_NOTICE, "store, directory '%s', written again", place->path);
	}
	place->is_failing = fails;
}

/*! \brief A file that stays would bring back after a restart what the operator wanted gone. */
static void removal_note(const saver_place_t *place, const zone_t *zone, const saver_job_t *job)
{
	char name[STORE_FILE_NAME_MAX];
	if (job->kind == SAVER_REMOVE && job->ret != KNOT_EOK) {
		report(zone, LOG_ERR, "store, file '%s/%s' not removed (%s)", place->path, store_file_name(zone->name, name),
		       knot_strerror(job->ret));
	}
}

/* Who is owed */

static void on_patience(uv_timer_t *timer);

static void owed_arm(saver_t *saver)
{
	const saver_zone_t *first = TAILQ_FIRST(&saver->owed);
	if (first == NULL) {
		uv_timer_stop(&saver->timer);
		return;
	}
	uint64_t due = first->since_ms + SAVER_PATIENCE_MS, now = uv_now(saver->loop);
	uv_timer_start(&saver->timer, on_patience, due > now ? due - now : 0, 0);
}

static bool owed_remove(saver_zone_t *saved)
{
	if (!saved->is_owed) {
		return false;
	}
	saved->is_owed = false;
	TAILQ_REMOVE(&saved->saver->owed, saved, owed);
	return true;
}

static void owed_add(saver_zone_t *saved)
{
	saver_t *saver = saved->saver;
	if (!saved->is_owed && !saver->stopping) {
		saved->is_owed = true;
		saved->since_ms = uv_now(saver->loop);
		TAILQ_INSERT_TAIL(&saver->owed, saved, owed);
		owed_arm(saver);
	}
}

static void owed_pay(saver_zone_t *saved)
{
	if (owed_remove(saved)) {
		saved->kept(saved->ctx);
	}
}

static void on_patience(uv_timer_t *timer)
{
	saver_t *saver = timer->data;
	saver_zone_t *first;
	while ((first = TAILQ_FIRST(&saver->owed)) != NULL && uv_now(saver->loop) - first->since_ms >= SAVER_PATIENCE_MS) {
		owed_pay(first);
	}
	owed_arm(saver);
}

/* Writing, in threads of the pool: these know nothing but their job */

static void on_work(uv_work_t *work)
{
	saver_job_t *job = work->data;
	switch (job->kind) {
	case SAVER_APPEND:
		job->ret = store_append(job->store, job->name, job->run.item, job->run.count, &job->times, &job->file);
		if (job->ret != KNOT_ENOENT) {
			break;
		}
		/* Somebody has taken the file away: then a new one. */
		/* fallthrough */
	case SAVER_WRITE:
		job->ret = store_write(job->store, job->name, job->snapshot, &job->times, &job->file);
		break;
	case SAVER_TOUCH:
		job->ret = store_touch(job->store, job->name, &job->times, &job->file);
		break;
	case SAVER_REMOVE:
		job->ret = store_remove(job->store, job->name);
		job->file = (store_file_t) { 0 };
		break;
	}
}

/* What is to be written */

/*! \brief Octets of differences that the file may have. */
static size_t log_max(const store_file_t *file)
{
	return file->image_end / 2 > SAVER_LOG_MIN ? file->image_end / 2 : SAVER_LOG_MIN;
}

/*! \brief Finds the differences that lead from what the file has to what is wanted. */
static bool run_find(saver_zone_t *saved, history_run_t *ret_run)
{
	const store_file_t *file = &saved->file;
	const size_t used = file->end - file->image_end;
	if (saved->needs_image || file->inode == 0 || used >= log_max(file)) {
		return false;
	}
	rcu_read_lock();
	int ret = history_find(&saved->zone->history, file->serial, saved->wanted->soa.serial, log_max(file) - used, ret_run);
	rcu_read_unlock();
	return ret == KNOT_EOK;
}

/*! \brief Is what is wanted in the file already? */
static bool is_kept(const saver_zone_t *saved)
{
	return !saved->needs_image && saved->file.inode != 0 && saved->file.serial == saved->wanted->soa.serial;
}

static void want_nothing(saver_zone_t *saved)
{
	snapshot_unpin(saved->wanted);
	saved->wanted = NULL;
}

/*! \brief \a snapshot, which serves, is to be written. */
static void want(saver_zone_t *saved, snapshot_t *snapshot)
{
	want_nothing(saved);
	saved->wanted = snapshot_pin(snapshot);
	saved->wanted_times = saved->times;
}

/*! \brief May times be noted in the file? What is known of a version that came later says nothing of the one that is there. */
static bool is_touch_due(const saver_zone_t *saved)
{
	return saved->is_checked && saved->file.inode != 0 && !saved->needs_image && saved->file.serial == saved->times_serial;
}

/*! \brief Fills \a job with what comes next for a zone; false: nothing does. */
static bool job_choose(saver_job_t *job, saver_zone_t *saved)
{
	if (saved->place == NULL) {
		want_nothing(saved);
		return false;
	}
	if (saved->is_purged) {
		saved->is_purged = false;
		job->kind = SAVER_REMOVE;
		return true;
	}
	if (saved->wanted != NULL && is_kept(saved)) {
		want_nothing(saved);
	}
	if (saved->wanted != NULL) {
		job->kind = run_find(saved, &job->run) ? SAVER_APPEND : SAVER_WRITE;
		job->snapshot = saved->wanted;
		job->times = saved->wanted->soa.serial == saved->times_serial ? saved->times : saved->wanted_times;
		saved->wanted = NULL;
		saved->is_checked = false;
		return true;
	}
	const bool is_touch = is_touch_due(saved);
	saved->is_checked = false;
	job->kind = SAVER_TOUCH;
	job->times = saved->times;
	return is_touch;
}

static void on_done(uv_work_t *work, int status);

static bool job_begin(saver_job_t *job, saver_zone_t *saved)
{
	*job = (saver_job_t) { .work.data = job };
	if (!job_choose(job, saved)) {
		return false;
	}
	job->saved = saved;
	job->store = saved->place->store;
	job->name = saved->zone->name;
	job->file = saved->file;
	job->needs_image = saved->needs_image;
	saved->needs_image = saved->needs_image && job->snapshot == NULL;
	saved->state = SAVER_RUNNING;
	int ret = uv_queue_work(saved->saver->loop, &job->work, on_work, on_done);
	assert(ret == 0);
	(void)ret;
	return true;
}

/*! \brief All is done that was to be done for a zone. May let go of the zone. */
static void zone_idle(saver_zone_t *saved)
{
	zone_t *zone = saved->zone;
	saved->state = SAVER_IDLE;
	owed_pay(saved);
	if (saved->is_closed) {
		free(saved);
	}
	zone_release(zone);
}

/*! \brief Has something to be written, in its turn. */
static void enqueue(saver_zone_t *saved)
{
	if (saved->state == SAVER_IDLE) {
		zone_hold(saved->zone);
		saved->state = SAVER_QUEUED;
		TAILQ_INSERT_TAIL(&saved->saver->queue, saved, entry);
	}
	start(saved->saver);
}

static void job_end(saver_job_t *job)
{
	saver_zone_t *saved = job->saved;
	/* Of a place that was left since, nothing is known. */
	const bool is_there = saved->place != NULL && saved->place->store == job->store;
	if (is_there) {
		place_note(saved->place, saved->zone, job);
		removal_note(saved->place, saved->zone, job);
		saved->file = job->file;
	}
	/* What could not be written is tried again as part of the next version. */
	saved->needs_image = saved->needs_image || (job->ret != KNOT_EOK && job->needs_image);
	if (job->kind == SAVER_TOUCH && job->ret == KNOT_ENOENT) {
		saved->file = (store_file_t) { 0 };
	}
	snapshot_unpin(job->snapshot);
	history_run_clear(&job->run);
	job->saved = NULL;
}

static void on_done(uv_work_t *work, int status)
{
	(void)status; /* Never cancelled. */
	saver_job_t *job = work->data;
	saver_zone_t *saved = job->saved;
	saver_t *saver = saved->saver;
	job_end(job);
	if (saved->wanted != NULL || saved->is_checked || saved->is_purged) {
		saved->state = SAVER_QUEUED;
		TAILQ_INSERT_TAIL(&saver->queue, saved, entry);
	} else {
		zone_idle(saved);
	}
	start(saver);
}

/*! \brief Is the file of \a saved being written, on behalf of a zone of the same name that has gone since? */
static bool is_busy(const saver_t *saver, const saver_zone_t *saved)
{
	for (unsigned i = 0; i < SAVER_AT_ONCE; i++) {
		const saver_zone_t *other = saver->job[i].saved;
		if (other != NULL && other->zone->name_len == saved->zone->name_len &&
		    memcmp(other->zone->name, saved->zone->name, saved->zone->name_len) == 0) {
			return true;
		}
	}
	return false;
}

static saver_zone_t *queue_take(saver_t *saver)
{
	saver_zone_t *saved;
	TAILQ_FOREACH(saved, &saver->queue, entry) {
		if (!is_busy(saver, saved)) {
			TAILQ_REMOVE(&saver->queue, saved, entry);
			return saved;
		}
	}
	return NULL;
}

/*! \brief Gives the jobs that are free to those who have waited longest. */
static void start(saver_t *saver)
{
	for (unsigned i = 0; i < SAVER_AT_ONCE; i++) {
		saver_zone_t *saved;
		while (saver->job[i].saved == NULL && (saved = queue_take(saver)) != NULL) {
			if (!job_begin(&saver->job[i], saved)) {
				zone_idle(saved);
			}
		}
	}
}

/* From outside */

void saver_init(saver_t *saver, uv_loop_t *loop)
{
	*saver = (saver_t) { .loop = loop };
	TAILQ_INIT(&saver->queue);
	TAILQ_INIT(&saver->owed);
	LIST_INIT(&saver->places);
	uv_timer_init(loop, &saver->timer);
	saver->timer.data = saver;
}

void saver_stop(saver_t *saver)
{
	assert(TAILQ_EMPTY(&saver->owed));
	saver->stopping = true;
	uv_close((uv_handle_t *)&saver->timer, NULL);
}

void saver_clear(saver_t *saver)
{
	saver_place_t *place;
	while ((place = LIST_FIRST(&saver->places)) != NULL) {
		LIST_REMOVE(place, entry);
		store_close(place->store);
		free(place);
	}
}

/*! \brief The zone's files are in \a place from now on; what serves comes there. */
static void place_change(saver_zone_t *saved, saver_place_t *place)
{
	want_nothing(saved);
	saved->place = place;
	saved->file = (store_file_t) { 0 };
	saved->is_purged = false;
	if (place == NULL) {
		owed_pay(saved);
		return;
	}
	rcu_read_lock();
	snapshot_t *current = zone_borrow(saved->zone);
	if (current != NULL) {
		want(saved, current);
	}
	rcu_read_unlock();
	if (saved->wanted != NULL) {
		enqueue(saved);
	}
}

/*! \brief What is known of the version that serves, which has not been kept so far. */
static void times_inherit(saver_zone_t *saved)
{
	const zone_t *zone = saved->zone;
	rcu_read_lock();
	const snapshot_t *current = zone_borrow(zone);
	if (current != NULL && zone->expires_ms > 0) {
		const int64_t now_ms = uv_now(saved->saver->loop), now = time(NULL);
		saved->times = (store_times_t) {
			.checked_at = now - (now_ms - zone->success_ms) / 1000,
			.expires_at = now + ((int64_t)zone->expires_ms - now_ms) / 1000,
		};
		saved->times_serial = current->soa.serial;
	}
	rcu_read_unlock();
}

/*! \brief Begins to keep \a zone; NULL: no memory. */
static saver_zone_t *zone_begin(saver_t *saver, zone_t *zone, saver_kept_f kept, void *ctx)
{
	saver_zone_t *saved = calloc(1, sizeof(*saved));
	if (saved == NULL) {
		report(zone, LOG_ERR, "store, not used (%s)", knot_strerror(KNOT_ENOMEM));
		return NULL;
	}
	*saved = (saver_zone_t) { .saver = saver, .zone = zone, .kept = kept, .ctx = ctx };
	times_inherit(saved);
	return saved;
}

void saver_set(saver_t *saver, saver_zone_t **saved, zone_t *zone, const char *path, saver_kept_f kept, void *ctx)
{
	saver_place_t *place = place_get(saver, zone, path);
	if (*saved == NULL && (place == NULL || (*saved = zone_begin(saver, zone, kept, ctx)) == NULL)) {
		return;
	}
	if (place != (*saved)->place) {
		place_change(*saved, place);
	}
	if (place == NULL) {
		saver_close(*saved);
		*saved = NULL;
	}
}

/*! \brief Takes the differences out of what was read. */
static void take_run(store_content_t *content, history_run_t *ret_run)
{
	*ret_run = (history_run_t) { .item = content->difference, .count = content->count };
	for (size_t i = 0; i < ret_run->count; i++) {
		ret_run->octets += ret_run->item[i]->size;
	}
}

snapshot_t *saver_load(saver_zone_t *saved, int64_t now, store_times_t *ret_times, history_run_t *ret_run)
{
	if (saved == NULL || saved->state != SAVER_IDLE) {
		return NULL;
	}
	store_content_t content;
	const char *reason;
	int ret = store_read(saved->place->store, saved->zone->name, now, &content, &reason);
	if (ret == KNOT_ENOENT) {
		return NULL;
	}
	if (ret != KNOT_EOK) {
		char name[STORE_FILE_NAME_MAX];
		report(saved->zone, LOG_WARNING, "store, file '%s/%s' passed over (%s)", saved->place->path,
		       store_file_name(saved->zone->name, name), ret == KNOT_EMALF ? reason : knot_strerror(ret));
		return NULL;
	}
	if (content.is_torn) {
		report(saved->zone, LOG_NOTICE, "store, a change that was not written to its end is left out, serial %u",
		       content.file.serial);
	}
	saved->file = content.file;
	saved->times = *ret_times = content.times;
	saved->times_serial = content.file.serial;
	take_run(&content, ret_run);
	return content.snapshot;
}

void saver_published(saver_zone_t *saved, const snapshot_t *before, snapshot_t *now)
{
	if (saved == NULL || before == NULL || before == now || serial_newer(now->soa.serial, before->soa.serial)) {
		return;
	}
	saved->needs_image = true;
	/* What waits would be written as a new file, and pass for this one should that have its serial. */
	if (saved->wanted != NULL) {
		want(saved, now);
	}
}

bool saver_want(saver_zone_t *saved, snapshot_t *snapshot)
{
	if (saved == NULL) {
		return false;
	}
	want(saved, snapshot);
	owed_add(saved);
	enqueue(saved);
	return true;
}

void saver_checked(saver_zone_t *saved, uint32_t serial, const store_times_t *times)
{
	if (saved == NULL) {
		return;
	}
	saved->times = *times;
	saved->times_serial = serial;
	saved->is_checked = true;
	if (saved->wanted == NULL && is_touch_due(saved)) {
		enqueue(saved);
	}
}

void saver_forget(saver_zone_t *saved)
{
	if (saved != NULL) {
		want_nothing(saved);
		saved->needs_image = true;
	}
}

void saver_purge(saver_zone_t *saved)
{
	if (saved != NULL) {
		want_nothing(saved);
		saved->is_purged = true;
		saved->is_checked = false;
		enqueue(saved);
	}
}

void saver_close(saver_zone_t *saved)
{
	if (saved == NULL) {
		return;
	}
	(void)owed_remove(saved);
	saved->is_closed = true;
	if (saved->state == SAVER_IDLE) {
		free(saved);
	}
}
