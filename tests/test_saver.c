/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What is kept of which zone, when, and who is told: a loop, a directory, and versions that come faster than they are written.
 */

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <libknot/libknot.h>

#include "secondary/amend.h"
#include "secondary/report.h"
#include "secondary/saver.h"
#include "secondary/wire.h"
#include "support.h"

#define NOW 1700000000

/*! A zone that is served and kept. */
typedef struct {
	saver_zone_t *saved;
	zone_t *zone;
	unsigned kept;
	uint32_t kept_serial;     /* Of the file, when others were told. */
	char instance;
} site_t;

static char directory[SUPPORT_DIRECTORY_MAX];
static uv_loop_t loop;
static saver_t saver;
static char log_text[4096];

static void on_report(const zone_t *zone, int priority, const char *fmt, va_list args)
{
	(void)zone;
	size_t len = strlen(log_text);
	len += snprintf(log_text + len, sizeof(log_text) - len, "%d ", priority);
	len += vsnprintf(log_text + len, sizeof(log_text) - len, fmt, args);
	snprintf(log_text + len, sizeof(log_text) - len, "\n");
}

static void setup(void)
{
	secondary_rcu_prime();
	rcu_register_thread();
	report_set_sink(on_report);
	log_text[0] = '\0';
	support_directory_make(directory);
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	saver_init(&saver, &loop);
}

static void teardown(void)
{
	saver_stop(&saver);
	uv_run(&loop, UV_RUN_DEFAULT);
	saver_clear(&saver);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	support_directory_remove(directory);
	report_set_sink(NULL);
	rcu_barrier();
	rcu_barrier();
	rcu_unregister_thread();
}

/*! \brief Runs the loop until nothing is written any more. */
static void settle(void)
{
	bool busy = true;
	while (busy) {
		busy = !TAILQ_EMPTY(&saver.queue);
		for (unsigned i = 0; i < SAVER_AT_ONCE; i++) {
			busy = busy || saver.job[i].saved != NULL;
		}
		uv_run(&loop, busy ? UV_RUN_ONCE : UV_RUN_NOWAIT);
	}
}

static void on_kept(void *ctx)
{
	site_t *site = ctx;
	site->kept++;
	site->kept_serial = site->saved != NULL && site->saved->file.inode != 0 ? site->saved->file.serial : 0;
}

static void site_begin(site_t *site, const char *name, const char *path)
{
	uint8_t wire[WIRE_NAME_MAX];
	support_name(name, wire);
	*site = (site_t) { 0 };
	ck_assert_int_eq(zone_attach(wire, (struct instance *)&site->instance, &site->zone), KNOT_EOK);
	saver_set(&saver, &site->saved, site->zone, path, on_kept, site);
}

static void site_end(site_t *site)
{
	saver_close(site->saved);
	settle();
	ck_assert(zone_detach(site->zone, (struct instance *)&site->instance));
	history_trim(&site->zone->history, 0);
	zone_release(site->zone);
}

static snapshot_t *make_version(const zone_t *zone, uint32_t serial)
{
	char name[KNOT_DNAME_TXT_MAXLEN + 1], text[16384];
	size_t len = sprintf(text, "@ SOA a. b. %u 3600 900 604800 300\n@ NS a.\nv TXT \"%u\"\n", serial, serial);
	for (unsigned i = 0; i < 100; i++) {
		len += sprintf(text + len, "n%u A 192.0.2.1\n", i);
	}
	return support_zone(zone_name(zone, name), text);
}

/*! \brief Publishes version \a serial, with the difference in the history or not. */
static void publish(site_t *site, uint32_t serial, bool with_difference)
{
	snapshot_t *now = make_version(site->zone, serial);
	rcu_read_lock();
	snapshot_t *before = zone_borrow(site->zone);
	if (before != NULL) {
		snapshot_pin(before);
	}
	rcu_read_unlock();
	difference_t *difference;
	if (before != NULL && with_difference) {
		ck_assert_int_eq(difference_compute(before, now, 0, &difference), KNOT_EOK);
		ck_assert_int_eq(history_add(&site->zone->history, difference, 1 << 20), KNOT_EOK);
	} else {
		history_trim(&site->zone->history, 0);
	}
	saver_checked(site->saved, serial, &(store_times_t) { NOW + serial % 1000, NOW + 100000 + serial % 1000 });
	zone_publish(site->zone, now, 0);
	saver_published(site->saved, before, now);
	snapshot_unpin(before);
	if (!saver_want(site->saved, now)) {
		on_kept(site);
	}
}

/*! \brief Serial of what the file of the zone leads to, which must be whole; 0: there is none. */
static uint32_t file_serial(site_t *site, store_times_t *ret_times)
{
	history_run_t run = { 0 };
	snapshot_t *snapshot = saver_load(site->saved, NOW, ret_times, &run);
	ck_assert_uint_eq(run.count, snapshot != NULL ? site->saved->file.differences : 0);
	history_run_clear(&run);
	if (snapshot == NULL) {
		return 0;
	}
	snapshot_t *wanted = make_version(site->zone, snapshot->soa.serial);
	char *a = support_dump(snapshot), *b = support_dump(wanted);
	ck_assert_str_eq(a, b);
	free(a);
	free(b);
	uint32_t serial = snapshot->soa.serial;
	snapshot_unpin(snapshot);
	snapshot_unpin(wanted);
	return serial;
}

static uint32_t kept_serial(site_t *site)
{
	store_times_t unused;
	return file_serial(site, &unused);
}

START_TEST(test_one_after_the_other)
{
	site_t site;
	store_times_t times;
	site_begin(&site, "example.", directory);
	ck_assert_uint_eq(kept_serial(&site), 0);
	for (uint32_t serial = 1; serial < 10; serial++) {
		publish(&site, serial, true);
		ck_assert_uint_eq(site.kept, serial - 1);
		settle();
		ck_assert_uint_eq(site.kept, serial);
		ck_assert_uint_eq(site.kept_serial, serial);
		ck_assert_uint_eq(site.saved->file.differences, serial - 1);
		ck_assert_uint_eq(file_serial(&site, &times), serial);
		ck_assert_int_eq(times.checked_at, NOW + serial);
	}

	/* Nothing is known of how it came to be: a new file. */
	publish(&site, 20, false);
	settle();
	ck_assert_uint_eq(site.saved->file.differences, 0);
	ck_assert_uint_eq(kept_serial(&site), 20);

	/* Known to be current for longer. */
	saver_checked(site.saved, 20, &(store_times_t) { NOW + 500, NOW + 5000 });
	settle();
	ck_assert_uint_eq(file_serial(&site, &times), 20);
	ck_assert_int_eq(times.checked_at, NOW + 500);
	ck_assert_int_eq(times.expires_at, NOW + 5000);
	ck_assert_str_eq(log_text, "");
	site_end(&site);
}
END_TEST

/*! \brief Versions that come while one is written: the last one is, with all differences, and others are told once. */
START_TEST(test_faster_than_the_disk)
{
	site_t site;
	site_begin(&site, "example.", directory);
	for (uint32_t serial = 1; serial <= 30; serial++) {
		publish(&site, serial, true);
	}
	ck_assert_uint_eq(site.kept, 0);
	settle();
	ck_assert_uint_eq(site.kept, 1);
	ck_assert_uint_eq(site.kept_serial, 30);
	ck_assert_uint_eq(site.saved->file.differences, 29);
	ck_assert_uint_eq(kept_serial(&site), 30);
	site_end(&site);
}
END_TEST

/*! \brief A version is known to be current that is not in the file yet: that says nothing of the one that is. */
START_TEST(test_times_of_another_version)
{
	site_t site;
	store_times_t times;
	site_begin(&site, "example.", directory);
	publish(&site, 1, true);
	settle();
	saver_checked(site.saved, 2, &(store_times_t) { NOW + 500, NOW + 5000 });
	settle();
	ck_assert_uint_eq(file_serial(&site, &times), 1);
	ck_assert_int_eq(times.checked_at, NOW + 1);

	/* One that waits for its turn keeps its own, or gets later ones. */
	publish(&site, 2, true);
	publish(&site, 3, true);
	saver_checked(site.saved, 4, &(store_times_t) { NOW + 600, NOW + 6000 });
	settle();
	ck_assert_uint_eq(file_serial(&site, &times), 3);
	ck_assert_int_eq(times.checked_at, NOW + 3);
	publish(&site, 4, true);
	publish(&site, 5, true);
	saver_checked(site.saved, 5, &(store_times_t) { NOW + 700, NOW + 7000 });
	settle();
	ck_assert_uint_eq(file_serial(&site, &times), 5);
	ck_assert_int_eq(times.checked_at, NOW + 700);
	site_end(&site);
}
END_TEST

/*! \brief A version that was forced, although its serial is not newer, and those after it: the way by serials is of another one. */
START_TEST(test_forced)
{
	static const uint32_t orders[][3] = { { 5, 5, 6 }, { 5, 4, 6 }, { 5, 4, 5 }, { 7, 5, 7 } };
	for (unsigned i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		site_t site;
		site_begin(&site, "example.", directory);
		publish(&site, orders[i][0], true);
		settle();
		/* While the file is touched both wait, and the last is written. */
		saver_checked(site.saved, orders[i][0], &(store_times_t) { NOW, NOW + 100 });
		publish(&site, orders[i][1], false);
		publish(&site, orders[i][2], true);
		settle();
		ck_assert_uint_eq(site.saved->file.differences, 0);
		ck_assert_uint_eq(kept_serial(&site), orders[i][2]);
		saver_purge(site.saved);
		site_end(&site);
	}
}
END_TEST

/*!
 * \brief One is forced while the one before waits for its turn: what is written then is the one that serves, not another one
 *        with its serial.
 */
START_TEST(test_forced_while_waiting)
{
	static const char *const names[SAVER_AT_ONCE] = { "a.example.", "b.example." };
	site_t busy[SAVER_AT_ONCE], site;
	site_begin(&site, "example.", directory);
	publish(&site, 1, true);
	settle();
	for (unsigned i = 0; i < SAVER_AT_ONCE; i++) {
		site_begin(&busy[i], names[i], directory);
		publish(&busy[i], 1, true);
	}
	publish(&site, 7, true);
	ck_assert_int_eq(site.saved->state, SAVER_QUEUED);

	snapshot_t *forced = support_zone("example.", "@ SOA a. b. 7 3600 900 604800 300\n@ NS a.\nforced A 192.0.2.1\n");
	rcu_read_lock();
	snapshot_t *before = snapshot_pin(zone_borrow(site.zone));
	rcu_read_unlock();
	zone_publish(site.zone, forced, 0);
	saver_published(site.saved, before, forced);
	snapshot_unpin(before);
	settle(); /* Meanwhile both are compared. */
	ck_assert(saver_want(site.saved, forced));
	settle();

	store_times_t times;
	history_run_t run = { 0 };
	snapshot_t *kept = saver_load(site.saved, NOW, &times, &run);
	history_run_clear(&run);
	ck_assert_ptr_nonnull(kept);
	char *a = support_dump(kept), *b = support_dump(forced);
	ck_assert_str_eq(a, b);
	free(a);
	free(b);
	snapshot_unpin(kept);
	ck_assert_uint_ge(site.kept, 2);
	site_end(&site);
	for (unsigned i = 0; i < SAVER_AT_ONCE; i++) {
		site_end(&busy[i]);
	}
}
END_TEST

/*! \brief What serves was purged, not the file: what comes next does not follow from what the file has, whatever its serial. */
START_TEST(test_forgotten)
{
	for (unsigned i = 0; i < 3; i++) {
		site_t site;
		site_begin(&site, "example.", directory);
		publish(&site, 7, true);
		if (i > 0) {
			settle();
		}
		const uint64_t digest = site.saved->file.header;
		saver_forget(site.saved);
		zone_publish(site.zone, NULL, 0);
		ck_assert_ptr_null(site.saved->wanted);
		if (i == 2) {
			publish(&site, 5, true);
		}
		publish(&site, 7, true);
		if (i == 2) {
			publish(&site, 8, true);
		}
		settle();
		ck_assert_uint_ne(site.saved->file.header, digest);
		ck_assert_uint_eq(site.saved->file.differences, i == 2 ? 2 : 0); /* behind a new image, of 5 */
		ck_assert_uint_eq(kept_serial(&site), i == 2 ? 8 : 7);
		saver_purge(site.saved);
		site_end(&site);
	}
}
END_TEST

/*! \brief The log gets no longer than it may be. */
START_TEST(test_log_bound)
{
	site_t site;
	uint32_t serial = 1;
	site_begin(&site, "example.", directory);
	publish(&site, serial, true);
	settle();
	const uint64_t inode = site.saved->file.inode;
	site.saved->file.end += SAVER_LOG_MIN; /* as if so much had been appended */
	publish(&site, ++serial, true);
	settle();
	ck_assert(site.saved->file.inode != inode && site.saved->file.differences == 0);
	ck_assert_uint_eq(kept_serial(&site), serial);
	site_end(&site);
}
END_TEST

START_TEST(test_purge)
{
	site_t site;
	site_begin(&site, "example.", directory);
	publish(&site, 1, true);
	settle();
	saver_purge(site.saved);
	settle();
	ck_assert_uint_eq(kept_serial(&site), 0);

	/* While it is written, and with a version that comes then. */
	publish(&site, 2, false);
	uv_run(&loop, UV_RUN_NOWAIT);
	saver_purge(site.saved);
	settle();
	ck_assert_uint_eq(kept_serial(&site), 0);
	publish(&site, 3, false);
	saver_purge(site.saved);
	publish(&site, 4, false);
	settle();
	ck_assert_uint_eq(kept_serial(&site), 4);
	site_end(&site);
}
END_TEST

/*! \brief A file that cannot be removed is there after a restart: the operator is told. */
START_TEST(test_purge_in_vain)
{
	site_t site;
	site_begin(&site, "example.", directory);
	publish(&site, 1, true);
	settle();
	char path[100], line[200];
	sprintf(path, "%s/example.zone", directory);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	saver_purge(site.saved);
	settle();
	sprintf(line, "3 store, file '%s' not removed (Is a directory)\n", path);
	ck_assert_str_eq(log_text, line);
	ck_assert_int_eq(rmdir(path), 0);
	site_end(&site);
}
END_TEST

/*! \brief Somebody takes the file away: a new one, not an error. */
START_TEST(test_file_taken_away)
{
	site_t site;
	site_begin(&site, "example.", directory);
	publish(&site, 1, true);
	settle();
	char path[100];
	sprintf(path, "%s/example.zone", directory);
	ck_assert_int_eq(unlink(path), 0);
	saver_checked(site.saved, 1, &(store_times_t) { NOW, NOW + 100 });
	settle();
	publish(&site, 2, true);
	settle();
	ck_assert_uint_eq(kept_serial(&site), 2);
	ck_assert_int_eq(unlink(path), 0);
	publish(&site, 3, true);
	settle();
	ck_assert_uint_eq(kept_serial(&site), 3);
	ck_assert_str_eq(log_text, "");
	site_end(&site);
}
END_TEST

/*! \brief A disk without room: others are told all the same, there is one line, and the next version that finds room is kept whole. */
START_TEST(test_no_room)
{
	signal(SIGXFSZ, SIG_IGN);
	site_t site, other;
	site_begin(&site, "example.", directory);
	site_begin(&other, "other.", directory);
	publish(&site, 1, true);
	settle();
	support_limit_files(0);
	publish(&site, 2, true);
	settle();
	publish(&site, 2, false); /* forced: what the file has is of no use for what follows */
	publish(&other, 1, true);
	settle();
	publish(&site, 3, true);
	settle();
	support_limit_files(RLIM_INFINITY);
	ck_assert_uint_eq(site.kept, 4);
	ck_assert_uint_eq(other.kept, 1);
	char line[200];
	sprintf(line, "3 store, directory '%s', not written (File too large)\n", directory);
	ck_assert_str_eq(log_text, line);
	log_text[0] = '\0';

	publish(&site, 4, true);
	publish(&other, 2, true);
	settle();
	sprintf(line, "5 store, directory '%s', written again\n", directory);
	ck_assert_str_eq(log_text, line);
	ck_assert_uint_eq(kept_serial(&site), 4);
	ck_assert_uint_eq(kept_serial(&other), 2);
	site_end(&site);
	site_end(&other);
}
END_TEST

/*! \brief Nothing is kept: others are told at once. A directory that cannot be used is the same, with a line. */
START_TEST(test_nowhere)
{
	site_t site, other, third;
	char path[100];
	sprintf(path, "%s/none/here", directory);
	site_begin(&site, "example.", NULL);
	site_begin(&other, "other.", path);
	site_begin(&third, "third.", path);
	publish(&site, 1, true);
	publish(&other, 1, true);
	ck_assert(site.kept == 1 && other.kept == 1);
	char line[200];
	sprintf(line, "3 store, directory '%s' not used (not exists)\n", path);
	ck_assert_str_eq(log_text, line);
	saver_purge(site.saved);
	site_end(&third);
	site_end(&other);

	/* From here on it is, with what is known of it; and then no more. */
	ck_assert_ptr_null(site.saved);
	site.zone->success_ms = uv_now(&loop) - 300500;
	site.zone->expires_ms = uv_now(&loop) + 500500;
	const int64_t began = time(NULL);
	saver_set(&saver, &site.saved, site.zone, directory, on_kept, &site);
	settle();
	store_times_t times;
	ck_assert_uint_eq(file_serial(&site, &times), 1);
	ck_assert(times.checked_at >= began - 300 && times.checked_at <= time(NULL) - 300);
	ck_assert(times.expires_at >= began + 500 && times.expires_at <= time(NULL) + 500);
	publish(&site, 2, true);
	saver_set(&saver, &site.saved, site.zone, NULL, on_kept, &site);
	ck_assert_uint_eq(site.kept, 2);
	ck_assert_ptr_null(site.saved);
	settle();
	site_end(&site);
}
END_TEST

/*! \brief One directory, written in two ways: it is open once. */
START_TEST(test_same_directory)
{
	site_t site, other;
	char path[100];
	sprintf(path, "%s//", directory);
	site_begin(&site, "example.", directory);
	site_begin(&other, "other.", path);
	publish(&site, 1, true);
	publish(&other, 2, true);
	settle();
	ck_assert_uint_eq(kept_serial(&site), 1);
	ck_assert_uint_eq(kept_serial(&other), 2);
	ck_assert_str_eq(log_text, "");
	site_end(&other);
	site_end(&site);
}
END_TEST

/*! \brief Zones that go while they are written, and come again; and many at a time. */
START_TEST(test_zones_come_and_go)
{
	enum { SITES = 20 };
	site_t *site = calloc(SITES, sizeof(*site));
	for (unsigned round = 1; round <= 10; round++) {
		for (unsigned i = 0; i < SITES; i++) {
			char name[32];
			sprintf(name, "z%u.", i);
			site_begin(&site[i], name, directory);
			publish(&site[i], round, true);
		}
		if (round % 2 == 0) {
			uv_run(&loop, UV_RUN_NOWAIT);
		}
		for (unsigned i = 0; i < SITES; i++) {
			saver_close(site[i].saved);
			ck_assert(zone_detach(site[i].zone, (struct instance *)&site[i].instance));
			settle();
			zone_release(site[i].zone);
		}
	}
	for (unsigned i = 0; i < SITES; i++) {
		char name[32];
		sprintf(name, "z%u.", i);
		site_begin(&site[i], name, directory);
		ck_assert_uint_eq(kept_serial(&site[i]), 10);
		site_end(&site[i]);
	}
	ck_assert_str_eq(log_text, "");
	free(site);
}
END_TEST

/*! \brief Increments share the arena of what is being written. */
START_TEST(test_amended_meanwhile)
{
	site_t site;
	site_begin(&site, "example.", directory);
	publish(&site, 1, true);
	const uint32_t last = support_is_full() ? 2000 : 60;
	for (uint32_t serial = 2; serial <= last; serial++) {
		snapshot_t *base = site.zone->current, *draft = NULL;
		snapshot_t *old = make_version(site.zone, serial - 1), *new = make_version(site.zone, serial);
		difference_t *difference;
		const builder_limits_t limits = { 0 };
		char error[AMEND_ERROR_MAX];
		ck_assert_int_eq(difference_compute(old, new, 0, &difference), KNOT_EOK);
		ck_assert_int_eq(amend(base, &difference, 1, &limits, &draft, error), KNOT_EOK);
		snapshot_unpin(old);
		snapshot_unpin(new);
		snapshot_pin(base);
		/* Sometimes nothing leads there: then it is written whole, while the next ones are made. */
		ck_assert_int_eq(history_add(&site.zone->history, difference, serial % 3 == 0 ? 0 : 1 << 20), KNOT_EOK);
		zone_publish(site.zone, draft, 0);
		saver_published(site.saved, base, draft);
		snapshot_unpin(base);
		ck_assert(saver_want(site.saved, draft));
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	settle();
	ck_assert_uint_eq(kept_serial(&site), last);
	site_end(&site);
}
END_TEST

/*! \brief A disk that takes longer than others wait: they are told, once. */
START_TEST(test_patience)
{
	site_t site;
	site_begin(&site, "example.", directory);
	publish(&site, 1, true);
	ck_assert(site.saved->is_owed);
	site.saved->since_ms = uv_now(&loop) - SAVER_PATIENCE_MS; /* as if it had been waiting */
	uv_timer_start(&saver.timer, saver.timer.timer_cb, 0, 0);
	uv_run(&loop, UV_RUN_NOWAIT);
	settle();
	ck_assert_uint_eq(site.kept, 1);
	ck_assert(!uv_is_active((uv_handle_t *)&saver.timer));
	site_end(&site);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("saver");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_one_after_the_other);
	tcase_add_test(tcase, test_faster_than_the_disk);
	tcase_add_test(tcase, test_forced);
	tcase_add_test(tcase, test_times_of_another_version);
	tcase_add_test(tcase, test_forced_while_waiting);
	tcase_add_test(tcase, test_forgotten);
	tcase_add_test(tcase, test_log_bound);
	tcase_add_test(tcase, test_purge);
	tcase_add_test(tcase, test_purge_in_vain);
	tcase_add_test(tcase, test_file_taken_away);
	tcase_add_test(tcase, test_no_room);
	tcase_add_test(tcase, test_nowhere);
	tcase_add_test(tcase, test_same_directory);
	tcase_add_test(tcase, test_zones_come_and_go);
	tcase_add_test(tcase, test_amended_meanwhile);
	tcase_add_test(tcase, test_patience);
	tcase_set_timeout(tcase, 60);

	Suite *suite = suite_create("saver");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
