/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Tests of the refresh machine: scenarios in a small language against a fake world, in which weeks pass at once.
 */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <libknot/libknot.h>

#include "secondary/address.h"
#include "secondary/amend.h"
#include "secondary/refresh.h"
#include "secondary/report.h"
#include "support.h"

#define WALL 1700000000

/* The fake world: a clock, one timer, one question under way. */
static struct {
	uint64_t now;
	uint64_t armed;
	bool high;                  /*!< random() gives the upper end. */
	unsigned randoms;
	int doing;                  /*!< REFRESH_IDLE … */
	struct sockaddr_storage asked;
	bool urgent;
	bool waits;                 /*!< Questions wait for their turn. */
	unsigned cancels;
	unsigned published;
	uint32_t before;            /*!< Serial of the version before the one that was published; 0: there was none. */
	unsigned ended;
	char failure[64];           /*!< Of the last that ended; "": it succeeded. */
	int64_t checked_at, expires_at;
	zone_t *zone;
	refresh_t *refresh;
	char log[16384];
} world;

static uint64_t world_now(void *ctx)
{
	ck_assert_ptr_eq(ctx, &world);
	return world.now;
}

static int64_t world_wall(void *ctx)
{
	(void)ctx;
	return WALL + world.now / 1000;
}

static uint32_t world_random(void *ctx, uint32_t below)
{
	(void)ctx;
	ck_assert_uint_gt(below, 0);
	world.randoms++;
	return world.high ? below - 1 : 0;
}

static void world_arm(void *ctx, refresh_t *refresh, uint64_t at_ms)
{
	(void)ctx, (void)refresh;
	world.armed = at_ms;
}

static void world_ask(int doing, const primary_t *primary, bool urgent)
{
	ck_assert_int_eq(world.doing, REFRESH_IDLE);
	world.doing = doing;
	world.asked = primary->addr;
	world.urgent = urgent;
}

static void world_probe(void *ctx, refresh_t *refresh, const primary_t *primary, bool urgent)
{
	(void)ctx, (void)refresh;
	world_ask(REFRESH_PROBING, primary, urgent);
}

static void world_transfer(void *ctx, refresh_t *refresh, const primary_t *primary, bool urgent)
{
	(void)ctx, (void)refresh;
	world_ask(REFRESH_TRANSFERRING, primary, urgent);
}

static bool world_waits(void *ctx, const refresh_t *refresh)
{
	(void)ctx, (void)refresh;
	ck_assert_int_ne(world.doing, REFRESH_IDLE);
	return world.waits;
}

static void world_cancel(void *ctx, refresh_t *refresh)
{
	(void)ctx, (void)refresh;
	ck_assert_int_ne(world.doing, REFRESH_IDLE);
	world.doing = REFRESH_IDLE;
	world.cancels++;
}

static void world_checked(void *ctx, refresh_t *refresh, int64_t at, int64_t expires_at)
{
	(void)ctx, (void)refresh;
	world.checked_at = at;
	world.expires_at = expires_at;
}

static void world_published(void *ctx, refresh_t *refresh, snapshot_t *before, history_run_t *run)
{
	(void)ctx, (void)refresh;
	ck_assert_ptr_nonnull(world.zone->current);
	for (size_t i = 0; run != NULL && i < run->count; i++) {
		ck_assert_int_eq(history_add(&world.zone->history, difference_hold(run->item[i]), SIZE_MAX), KNOT_EOK);
	}
	if (run != NULL) {
		history_run_clear(run);
	}
	world.before = before != NULL ? before->soa.serial : 0;
	world.published++;
}

static void world_ended(void *ctx, refresh_t *refresh, const char *failure)
{
	(void)ctx, (void)refresh;
	ck_assert_int_eq(world.doing, REFRESH_IDLE);
	ck_assert_uint_ne(world.armed, REFRESH_NEVER);
	world.ended++;
	snprintf(world.failure, sizeof(world.failure), "%s", failure != NULL ? failure : "");
}

static const refresh_ops_t ops = {
	.now_ms = world_now, .wall = world_wall, .random = world_random, .arm = world_arm,
	.probe = world_probe, .transfer = world_transfer, .waits = world_waits, .cancel = world_cancel,
	.published = world_published, .checked = world_checked, .ended = world_ended,
};

static void world_report(const zone_t *zone, int priority, const char *fmt, va_list args)
{
	ck_assert_ptr_eq(zone, world.zone);
	size_t len = strlen(world.log);
	len += snprintf(world.log + len, sizeof(world.log) - len, "%d ", priority);
	len += vsnprintf(world.log + len, sizeof(world.log) - len, fmt, args);
	ck_assert_uint_lt(len + 2, sizeof(world.log));
	strcpy(world.log + len, "\n");
}

/* Settings, by letter. Primaries are 192.0.2.N; "12" are .1 and .2. */
static const struct {
	char letter;
	const char *primaries;
	uint32_t refresh_jitter, retry_jitter;
	clamp_t refresh, retry, expire;
	bool keyed;
	unsigned shrink_limit;
} settings[] = {
	{ 'a', "12", 0, 0, { 2, UINT32_MAX }, { 1, UINT32_MAX }, { 3, UINT32_MAX } },
	{ 'o', "1", 0, 0, { 2, UINT32_MAX }, { 1, UINT32_MAX }, { 3, UINT32_MAX } },
	{ 't', "123", 0, 0, { 2, UINT32_MAX }, { 1, UINT32_MAX }, { 3, UINT32_MAX } },
	{ 'j', "1", 5000, 2000, { 2, UINT32_MAX }, { 1, UINT32_MAX }, { 3, UINT32_MAX } },
	{ 'u', "1", 1, 1, { 2, UINT32_MAX }, { 1, UINT32_MAX }, { 3, UINT32_MAX } },
	{ 'c', "1", 0, 0, { 10, 20 }, { 5, 8 }, { 30, 40 } },
	{ 'C', "12", 0, 0, { 10, 20 }, { 5, 8 }, { 30, 40 } },
	{ 'z', "1", 0, 0, { 0, 0 }, { 0, 0 }, { 0, UINT32_MAX } },
	{ 'b', "31", 0, 0, { 2, UINT32_MAX }, { 1, UINT32_MAX }, { 3, UINT32_MAX } },
	{ 'k', "12", 0, 0, { 2, UINT32_MAX }, { 1, UINT32_MAX }, { 3, UINT32_MAX }, true },
	{ 's', "12", 0, 0, { 2, UINT32_MAX }, { 1, UINT32_MAX }, { 3, UINT32_MAX }, false, 50 },
	{ 'S', "1", 0, 0, { 2, UINT32_MAX }, { 1, UINT32_MAX }, { 3, UINT32_MAX }, false, 99 },
};

static struct sockaddr_storage host(unsigned last, unsigned port)
{
	struct sockaddr_storage addr = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&addr;
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	in->sin_addr.s_addr = htonl(0xC0000200 + last);
	return addr;
}

static stanza_t *stanza(char letter)
{
	unsigned i = 0;
	while (settings[i].letter != letter) {
		ck_assert_uint_lt(++i, sizeof(settings) / sizeof(settings[0]));
	}
	unsigned count = strlen(settings[i].primaries);
	stanza_t *made = stanza_new(count, 0);
	made->refresh_jitter_ms = settings[i].refresh_jitter;
	made->retry_jitter_ms = settings[i].retry_jitter;
	made->refresh = settings[i].refresh;
	made->retry = settings[i].retry;
	made->expire = settings[i].expire;
	made->zone_shrink_limit = settings[i].shrink_limit;
	for (unsigned p = 0; p < count; p++) {
		made->primary[p].addr = host(settings[i].primaries[p] - '0', 53);
	}
	if (settings[i].keyed) {
		ck_assert_int_eq(knot_tsig_key_init(&made->primary[0].key, "hmac-sha256", "k.", "c2VjcmV0"), 0);
	}
	return stanza_intern(made);
}

static snapshot_t *version(unsigned serial, unsigned refresh, unsigned retry, unsigned expire)
{
	char text[256];
	snprintf(text, sizeof(text), "@ SOA a. b. %u %u %u %u 300\n@ NS a.\n", serial, refresh, retry, expire);
	return support_zone("example.", text);
}

/*! A version with so many records. */
static snapshot_t *version_of(unsigned serial, unsigned records)
{
	char text[8192];
	size_t len = sprintf(text, "@ SOA a. b. %u 3600 900 604800 300\n@ NS a.\n", serial);
	for (unsigned i = 2; i < records; i++) {
		len += snprintf(text + len, sizeof(text) - len, "n%u A 192.0.2.1\n", i);
	}
	return support_zone("example.", text);
}

/*! What the world looks like: "question|served|seconds to expiry". */
static const char *picture(void)
{
	static char text[128];
	refresh_status_t status;
	refresh_status(world.refresh, &status);
	ck_assert_int_eq(status.doing, world.doing);
	ck_assert_uint_eq(status.now_ms, world.now);

	int len = 0;
	if (world.doing != REFRESH_IDLE) {
		len = snprintf(text, sizeof(text), "%s%s %u", world.doing == REFRESH_PROBING ? "probe" : "transfer",
		               world.urgent ? "!" : "",
		               ntohl(((struct sockaddr_in *)&world.asked)->sin_addr.s_addr) & 0xFF);
		ck_assert_uint_eq(world.armed, status.expire_ms);
	} else {
		len = snprintf(text, sizeof(text), "idle %.10g", (status.next_check_ms - (double)world.now) / 1000);
		ck_assert_uint_eq(world.armed, status.next_check_ms < status.expire_ms ? status.next_check_ms
		                                                                      : status.expire_ms);
	}

	rcu_read_lock();
	const snapshot_t *current = zone_borrow(world.zone);
	if (current != NULL) {
		len += snprintf(text + len, sizeof(text) - len, "|%u|", current->soa.serial);
		ck_assert_uint_eq(current->soa.serial, status.serial);
		ck_assert(status.loaded && !status.expired && world.zone->expired_at == 0);
	} else {
		len += snprintf(text + len, sizeof(text) - len, "|%s|", status.expired ? "expired" : "none");
		ck_assert_int_eq(status.expired, world.zone->expired_at != 0);
		ck_assert_int_eq(status.expired, status.loaded);
	}
	rcu_read_unlock();

	if (status.expire_ms == REFRESH_NEVER) {
		snprintf(text + len, sizeof(text) - len, "-");
	} else {
		snprintf(text + len, sizeof(text) - len, "%.10g", (status.expire_ms - (double)world.now) / 1000);
	}
	return text;
}

static void answer(primary_answer_t word, unsigned serial, uint32_t expire, const char *reason)
{
	ck_assert_int_eq(world.doing, REFRESH_PROBING);
	world.doing = REFRESH_IDLE;
	refresh_probed(world.refresh, word, serial, expire, reason);
}

static void transferred(snapshot_t *snapshot, uint32_t expire, const char *reason)
{
	ck_assert_int_eq(world.doing, REFRESH_TRANSFERRING);
	world.doing = REFRESH_IDLE;
	refresh_transferred(world.refresh, snapshot, NULL, expire, reason);
}

/*! One step. Seconds may have a fraction. */
static void act(const char *step)
{
	unsigned a, b = 3600, c = 900, d = 604800;
	double seconds;
	char letter, word[16];
	if (sscanf(step, "wait %lf", &seconds) == 1) {
		world.now += seconds * 1000 + 0.5;
		ck_assert_uint_le(world.now, world.armed);
		if (world.now == world.armed) {
			refresh_timer(world.refresh);
		}
	} else if (strcmp(step, "early") == 0) {
		refresh_timer(world.refresh);
	} else if (sscanf(step, "unchanged %u left %u", &a, &d) >= 1) {
		ck_assert_int_eq(world.doing, REFRESH_TRANSFERRING);
		world.doing = REFRESH_IDLE;
		refresh_unchanged(world.refresh, a, strstr(step, "left") != NULL ? d : EXPIRE_NONE);
	} else if (sscanf(step, "got %u left %u", &a, &d) == 2) {
		transferred(version(a, b, c, 604800), d, NULL);
	} else if (sscanf(step, "got %u with %u", &a, &b) == 2) {
		transferred(version_of(a, b), EXPIRE_NONE, NULL);
	} else if (sscanf(step, "got %u %u %u %u", &a, &b, &c, &d) >= 1) {
		transferred(version(a, b, c, d), EXPIRE_NONE, NULL);
	} else if (sscanf(step, "left alone %lf", &seconds) == 1) {
		ck_assert_int_ne(world.doing, REFRESH_IDLE);
		world.doing = REFRESH_IDLE;
		refresh_left_alone(world.refresh, world.now + seconds * 1000 + 0.5, "connection refused");
	} else if (strcmp(step, "broke") == 0) {
		transferred(NULL, EXPIRE_NONE, "connection reset");
	} else if (sscanf(step, "fail %15s", word) == 1) {
		answer(PRIMARY_FAILED, 0, EXPIRE_NONE, word);
	} else if (sscanf(step, "newer %u left %u", &a, &b) == 2) {
		answer(PRIMARY_NEWER, a, b, NULL);
	} else if (sscanf(step, "newer %u", &a) == 1) {
		answer(PRIMARY_NEWER, a, EXPIRE_NONE, NULL);
	} else if (sscanf(step, "same %u left %u", &a, &b) == 2) {
		answer(PRIMARY_SAME, a, b, NULL);
	} else if (sscanf(step, "same %u", &a) == 1) {
		answer(PRIMARY_SAME, a, EXPIRE_NONE, NULL);
	} else if (sscanf(step, "older %u", &a) == 1) {
		answer(PRIMARY_OLDER, a, EXPIRE_NONE, NULL);
	} else if (sscanf(step, "notify %u serial %u", &a, &b) == 2) {
		refresh_notified(world.refresh, &(struct sockaddr_storage[]) { host(a, 4711) }[0], true, b);
	} else if (sscanf(step, "notify %u", &a) == 1) {
		refresh_notified(world.refresh, &(struct sockaddr_storage[]) { host(a, 4711) }[0], false, 0);
	} else if (strcmp(step, "queue") == 0 || strcmp(step, "begin") == 0) {
		world.waits = step[0] == 'q';
	} else if (strcmp(step, "check") == 0) {
		refresh_command(world.refresh, REFRESH_CHECK);
	} else if (strcmp(step, "retransfer") == 0) {
		refresh_command(world.refresh, REFRESH_RETRANSFER);
	} else if (strcmp(step, "purge") == 0) {
		refresh_command(world.refresh, REFRESH_PURGE);
	} else if (sscanf(step, "stanza %c", &letter) == 1) {
		refresh_set_stanza(world.refresh, stanza(letter));
	} else {
		ck_abort_msg("unknown step %s", step);
	}
}

static void world_begin(char letter, bool high)
{
	memset(&world, 0, sizeof(world));
	world.now = 12345;
	world.armed = REFRESH_NEVER;
	world.high = high;
	static char instance;
	ck_assert_int_eq(zone_attach((const uint8_t *)"\7example", (struct instance *)&instance, &world.zone), 0);
	world.refresh = refresh_new(zone_hold(world.zone), stanza(letter), &ops, &world);
	ck_assert_ptr_nonnull(world.refresh);
	ck_assert_uint_eq(world.armed, world.now);
	refresh_timer(world.refresh);
	ck_assert(zone_detach(world.zone, (struct instance *)&instance));
}

static void world_end(void)
{
	bool busy = world.doing != REFRESH_IDLE;
	unsigned cancels = world.cancels;
	refresh_free(world.refresh);
	ck_assert_uint_eq(world.cancels, cancels + busy);
	ck_assert_uint_eq(world.armed, REFRESH_NEVER);
	zone_publish(world.zone, NULL, 0);
	zone_release(world.zone);
	rcu_barrier();
}

/*! A step and the picture after it. */
typedef struct {
	const char *step, *after;
} line_t;

#define SERVING_5 { "got 5", "idle 3600|5|604800" }

static const struct {
	const char *name;
	char stanza;
	bool high;
	line_t lines[24];
} scenarios[] = {
	{ "bootstrap", 'a', false, { { "got 2", "idle 3600|2|604800" } } },
	{ "a first version has nothing to shrink from", 's', false, { { "got 5 with 2", "idle 3600|5|604800" } } },
	{ "half may go", 's', false, {
		{ "got 5 with 100", "idle 3600|5|604800" }, { "wait 3600", "probe 1|5|601200" }, { "newer 6", "transfer 1|5|601200" },
		{ "got 6 with 50", "idle 3600|6|604800" }, { "notify 1", "probe! 1|6|604800" }, { "newer 7", "transfer! 1|6|604800" },
		{ "got 7 with 200", "idle 3600|7|604800" } } },
	{ "more than half is held back, asked for again, and expires", 's', false, {
		{ "got 5 with 100", "idle 3600|5|604800" }, { "notify 1", "probe! 1|5|604800" }, { "newer 6", "transfer! 1|5|604800" },
		{ "got 6 with 49", "probe! 2|5|604800" }, { "newer 6", "transfer! 2|5|604800" },
		{ "got 6 with 49", "idle 900|5|604800" }, { "wait 900", "probe 1|5|603900" }, { "newer 6", "transfer 1|5|603900" },
		{ "got 6 with 49", "probe 2|5|603900" }, { "same 5", "idle 900|5|604800" } } },
	{ "the operator confirms", 's', false, {
		{ "got 5 with 100", "idle 3600|5|604800" }, { "notify 1", "probe! 1|5|604800" }, { "newer 6", "transfer! 1|5|604800" },
		{ "got 6 with 2", "probe! 2|5|604800" }, { "same 5", "idle 900|5|604800" }, { "check", "probe! 1|5|604800" },
		{ "newer 6", "transfer! 1|5|604800" }, { "got 6 with 2", "probe! 2|5|604800" }, { "same 5", "idle 900|5|604800" },
		{ "retransfer", "transfer! 1|5|604800" }, { "broke", "transfer! 2|5|604800" }, { "got 6 with 2", "idle 3600|6|604800" } } },
	{ "the primary comes to its senses", 's', false, {
		{ "got 5 with 100", "idle 3600|5|604800" }, { "notify 1", "probe! 1|5|604800" }, { "newer 6", "transfer! 1|5|604800" },
		{ "got 6 with 2", "probe! 2|5|604800" }, { "fail REFUSED", "idle 900|5|604800" }, { "notify 1", "idle 1|5|604800" },
		{ "wait 1", "probe! 1|5|604799" },
		{ "newer 7", "transfer! 1|5|604799" }, { "got 7 with 99", "idle 3600|7|604800" } } },
	{ "an expired zone is compared with what it served; older versions are, too", 's', false, {
		{ "got 5 with 100", "idle 3600|5|604800" }, { "wait 3600", "probe 1|5|601200" }, { "wait 601200", "probe 1|expired|-" },
		{ "newer 6", "transfer 1|expired|-" }, { "got 6 with 49", "probe 2|expired|-" }, { "older 4", "transfer 2|expired|-" },
		{ "got 4 with 49", "idle 900|expired|-" }, { "wait 900", "probe 1|expired|-" }, { "older 4", "probe 2|expired|-" },
		{ "older 4", "transfer 1|expired|-" }, { "got 4 with 50", "idle 3600|4|604800" } } },
	{ "nearly all", 'S', false, {
		{ "got 5 with 200", "idle 3600|5|604800" }, { "notify 1", "probe! 1|5|604800" }, { "newer 6", "transfer! 1|5|604800" },
		{ "got 6 with 2", "idle 3600|6|604800" } } },
	{ "the limit is taken away", 's', false, {
		{ "got 5 with 100", "idle 3600|5|604800" }, { "notify 1", "probe! 1|5|604800" }, { "newer 6", "transfer! 1|5|604800" },
		{ "stanza a", "transfer! 1|5|604800" }, { "got 6 with 2", "idle 3600|6|604800" } } },
	{ "bootstrap from the second", 'a', false, {
		{ "broke", "transfer 2|none|-" }, SERVING_5 } },
	{ "bootstrap pauses grow up to the maximum", 'o', false, {
		{ "broke", "idle 1|none|-" }, { "wait 1", "transfer 1|none|-" },
		{ "broke", "idle 2|none|-" }, { "wait 2", "transfer 1|none|-" },
		{ "broke", "idle 4|none|-" }, { "wait 4", "transfer 1|none|-" },
		{ "broke", "idle 8|none|-" }, { "wait 8", "transfer 1|none|-" },
		{ "broke", "idle 16|none|-" }, { "wait 16", "transfer 1|none|-" },
		{ "broke", "idle 32|none|-" }, { "wait 32", "transfer 1|none|-" },
		{ "broke", "idle 64|none|-" }, { "wait 64", "transfer 1|none|-" },
		{ "broke", "idle 128|none|-" }, { "wait 128", "transfer 1|none|-" },
		{ "broke", "idle 256|none|-" }, { "wait 256", "transfer 1|none|-" },
		{ "broke", "idle 512|none|-" }, { "wait 512", "transfer 1|none|-" },
		{ "broke", "idle 600|none|-" }, { "wait 600", "transfer 1|none|-" },
		{ "broke", "idle 600|none|-" } } },
	{ "bootstrap pauses do not grow while the primary is left alone", 'o', false, {
		{ "broke", "idle 1|none|-" }, { "wait 1", "transfer 1|none|-" },
		{ "left alone 4", "idle 4|none|-" }, { "wait 4", "transfer 1|none|-" },
		{ "left alone 0.25", "idle 0.25|none|-" }, { "stanza c", "idle 0.25|none|-" },
		{ "stanza o", "idle 0.25|none|-" }, { "wait 0.25", "transfer 1|none|-" },
		{ "broke", "idle 2|none|-" }, { "wait 2", "transfer 1|none|-" },
		{ "left alone 1", "idle 1|none|-" }, { "notify 1", "transfer! 1|none|-" }, { "broke", "idle 2|none|-" } } },
	{ "bootstrap pauses do not grow by what NOTIFY and commands ask for", 'o', false, {
		{ "broke", "idle 1|none|-" }, { "notify 1", "transfer! 1|none|-" }, { "broke", "idle 1|none|-" },
		{ "notify 1", "idle 1|none|-" }, { "wait 1", "transfer! 1|none|-" }, { "broke", "idle 1|none|-" },
		{ "wait 1", "transfer 1|none|-" }, { "broke", "idle 2|none|-" }, { "check", "transfer! 1|none|-" },
		{ "broke", "idle 2|none|-" }, { "wait 2", "transfer 1|none|-" }, { "broke", "idle 4|none|-" },
		{ "purge", "transfer! 1|none|-" }, { "broke", "idle 1|none|-" } } },
	{ "the first primary that may be asked again", 'a', true, {
		{ "left alone 4", "transfer 2|none|-" }, { "left alone 3", "idle 3|none|-" }, { "wait 3", "transfer 1|none|-" },
		{ "left alone 1", "transfer 2|none|-" }, { "left alone 5", "idle 1|none|-" }, { "wait 1", "transfer 1|none|-" },
		{ "left alone 5", "transfer 2|none|-" }, { "broke", "idle 1|none|-" }, { "wait 1", "transfer 1|none|-" },
		{ "broke", "transfer 2|none|-" }, { "left alone 1", "idle 2|none|-" } } },
	{ "who was left alone comes back without jitter", 'j', true, { { "left alone 4", "idle 4|none|-" } } },
	{ "left alone with a version", 'o', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "left alone 4", "idle 900|5|601200" },
		{ "wait 900", "probe 1|5|600300" }, { "newer 6", "transfer 1|5|600300" }, { "left alone 4", "idle 900|5|600300" } } },
	{ "bootstrap pauses obey the bounds on retry", 'c', false, {
		{ "broke", "idle 5|none|-" }, { "wait 5", "transfer 1|none|-" },
		{ "broke", "idle 5|none|-" }, { "wait 5", "transfer 1|none|-" },
		{ "broke", "idle 5|none|-" }, { "wait 5", "transfer 1|none|-" },
		{ "broke", "idle 8|none|-" } } },
	{ "jitter, lower end", 'j', false, {
		{ "broke", "idle 1|none|-" }, { "wait 1", "transfer 1|none|-" }, SERVING_5,
		{ "wait 3600", "probe 1|5|601200" }, { "fail timeout", "idle 900|5|601200" } } },
	{ "jitter, upper end", 'j', true, {
		{ "broke", "idle 2.999|none|-" }, { "wait 2.999", "transfer 1|none|-" },
		{ "got 5", "idle 3604.999|5|604800" }, { "wait 3604.999", "probe 1|5|601195.001" },
		{ "fail timeout", "idle 901.999|5|601195.001" } } },
	{ "no jitter for NOTIFY and commands", 'j', true, {
		{ "got 5", "idle 3604.999|5|604800" }, { "notify 1", "probe! 1|5|604800" },
		{ "same 5", "idle 3604.999|5|604800" }, { "check", "probe! 1|5|604800" },
		{ "same 5", "idle 3604.999|5|604800" }, { "retransfer", "transfer! 1|5|604800" } } },
	{ "refresh renews", 'o', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "same 5", "idle 3600|5|604800" } } },
	{ "an early timer is armed again", 'o', false, {
		SERVING_5, { "wait 3599.999", "idle 0.001|5|601200.001" }, { "early", "idle 0.001|5|601200.001" },
		{ "wait 0.001", "probe 1|5|601200" }, { "early", "probe 1|5|601200" } } },
	{ "refresh finds news", 'o', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "newer 6", "transfer 1|5|601200" },
		{ "got 6 60 30 600", "idle 60|6|600" } } },
	{ "all are asked while the first has nothing new", 't', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "same 5", "probe 2|5|604800" },
		{ "older 4", "probe 3|5|604800" }, { "newer 6", "transfer 3|5|604800" },
		{ "got 6", "idle 3600|6|604800" } } },
	{ "older on the first, newer on the second", 'a', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "older 4", "probe 2|5|601200" },
		{ "newer 6", "transfer 2|5|601200" }, { "got 6", "idle 3600|6|604800" } } },
	{ "older everywhere is a failed check", 'a', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "older 4", "probe 2|5|601200" },
		{ "older 3", "idle 900|5|601200" } } },
	{ "one good primary is a good check", 'a', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "fail REFUSED", "probe 2|5|601200" },
		{ "same 5", "idle 3600|5|604800" } } },
	{ "all failing", 'a', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "fail REFUSED", "probe 2|5|601200" },
		{ "fail timeout", "idle 900|5|601200" }, { "wait 900", "probe 1|5|600300" } } },
	{ "news that cannot be had are fetched after RETRY, but EXPIRE is renewed", 'a', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "same 5", "probe 2|5|604800" },
		{ "newer 6", "transfer 2|5|604800" }, { "broke", "idle 900|5|604800" } } },
	{ "a failed transfer goes on to the next", 'a', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "newer 6", "transfer 1|5|601200" },
		{ "broke", "probe 2|5|601200" }, { "newer 6", "transfer 2|5|601200" },
		{ "got 6", "idle 3600|6|604800" } } },
	{ "a transfer that brings the same serial", 'o', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "newer 6", "transfer 1|5|601200" },
		{ "got 5", "idle 3600|5|604800" } } },
	{ "a transfer that brings an older serial", 'a', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "newer 6", "transfer 1|5|601200" },
		{ "got 4", "probe 2|5|601200" }, { "same 5", "idle 3600|5|604800" } } },
	{ "an increment is asked for, and there is none", 'o', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "newer 6", "transfer 1|5|601200" },
		{ "unchanged 5", "idle 3600|5|604800" } } },
	{ "none, of a primary that expires sooner", 'o', false, {
		{ "got 5 left 100", "idle 3600|5|100" }, { "check", "probe! 1|5|100" }, { "newer 6", "transfer! 1|5|100" },
		{ "unchanged 5 left 200", "idle 3600|5|200" } } },
	{ "none, of a primary that is behind", 'a', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "newer 6", "transfer 1|5|601200" },
		{ "unchanged 4", "probe 2|5|601200" }, { "same 5", "idle 3600|5|604800" } } },
	{ "serials around the wrap", 'o', false, {
		{ "got 4294967295", "idle 3600|4294967295|604800" }, { "wait 3600", "probe 1|4294967295|601200" },
		{ "newer 0", "transfer 1|4294967295|601200" }, { "got 0", "idle 3600|0|604800" },
		{ "wait 3600", "probe 1|0|601200" }, { "newer 2147483647", "transfer 1|0|601200" },
		{ "got 2147483647", "idle 3600|2147483647|604800" }, { "wait 3600", "probe 1|2147483647|601200" },
		{ "newer 1", "transfer 1|2147483647|601200" },
		{ "got 4294967295", "idle 3600|4294967295|604800" } } }, /* Undefined (RFC 1982): taken. */
	{ "expiry exactly at the time", 'o', false, {
		{ "got 5 7200 900 3600", "idle 7200|5|3600" }, { "wait 3599.999", "idle 3600.001|5|0.001" },
		{ "early", "idle 3600.001|5|0.001" }, { "wait 0.001", "probe 1|expired|-" },
		{ "fail timeout", "idle 900|expired|-" }, { "wait 900", "probe 1|expired|-" },
		{ "same 5", "idle 7200|5|3600" } } },
	{ "expiry during a check", 'a', false, {
		{ "got 5 60 900 61", "idle 60|5|61" }, { "wait 60", "probe 1|5|1" }, { "wait 1", "probe 1|expired|-" },
		{ "fail timeout", "probe 2|expired|-" }, { "same 5", "idle 60|5|61" } } },
	{ "expiry during a transfer", 'o', false, {
		{ "got 5 60 900 61", "idle 60|5|61" }, { "wait 60", "probe 1|5|1" }, { "newer 6", "transfer 1|5|1" },
		{ "wait 1", "transfer 1|expired|-" }, { "got 6 60 30 600", "idle 60|6|600" } } },
	{ "an expired zone recovers before the others are asked", 'a', false, {
		{ "got 5 7200 900 3600", "idle 7200|5|3600" }, { "wait 3600", "probe 1|expired|-" },
		{ "same 5", "probe 2|5|3600" }, { "newer 6", "transfer 2|5|3600" }, { "broke", "idle 900|5|3600" } } },
	{ "an expired zone takes an older version as the last resort", 't', false, {
		{ "got 5 7200 900 3600", "idle 7200|5|3600" }, { "wait 3600", "probe 1|expired|-" },
		{ "fail timeout", "probe 2|expired|-" }, { "older 3", "probe 3|expired|-" },
		{ "older 4", "transfer 2|expired|-" }, { "broke", "transfer 3|expired|-" },
		{ "got 4", "idle 3600|4|604800" } } },
	{ "the last resort may fail, too", 'a', false, {
		{ "got 5 7200 900 3600", "idle 7200|5|3600" }, { "wait 3600", "probe 1|expired|-" },
		{ "older 3", "probe 2|expired|-" }, { "older 4", "transfer 1|expired|-" },
		{ "broke", "transfer 2|expired|-" }, { "broke", "idle 900|expired|-" } } },
	{ "a version that is as good is better than the last resort", 'a', false, {
		{ "got 5 7200 900 3600", "idle 7200|5|3600" }, { "wait 3600", "probe 1|expired|-" },
		{ "older 3", "probe 2|expired|-" }, { "same 5", "idle 7200|5|3600" } } },
	{ "timers below a second", 'z', false, {
		{ "got 5 0 0 10", "idle 1|5|10" }, { "wait 1", "probe 1|5|9" }, { "fail timeout", "idle 1|5|9" } } },
	{ "clamps from below", 'c', false, {
		{ "got 5 1 1 1", "idle 10|5|30" }, { "wait 10", "probe 1|5|20" }, { "fail timeout", "idle 5|5|20" } } },
	{ "clamps from above", 'c', false, {
		{ "got 5 999 999 999", "idle 20|5|40" }, { "wait 20", "probe 1|5|20" }, { "fail timeout", "idle 8|5|20" } } },
	{ "longest timers", 'o', false, {
		{ "got 5 4294967295 4294967295 4294967295", "idle 4294967295|5|4294967295" } } },
	{ "NOTIFY: its sender first, then in order", 't', false, {
		SERVING_5, { "notify 2", "probe! 2|5|604800" }, { "same 5", "probe! 1|5|604800" },
		{ "same 5", "probe! 3|5|604800" }, { "same 5", "idle 3600|5|604800" } } },
	{ "NOTIFY from the last", 't', false, {
		SERVING_5, { "notify 3 serial 6", "probe! 3|5|604800" }, { "fail timeout", "probe! 1|5|604800" },
		{ "fail timeout", "probe! 2|5|604800" }, { "fail timeout", "idle 900|5|604800" } } },
	{ "NOTIFY goes ahead of a scheduled transfer that waits", 'a', false, {
		{ "queue", "transfer 1|none|-" }, { "notify 2", "transfer! 2|none|-" },
		{ "notify 1", "transfer! 2|none|-" }, { "got 5", "probe! 1|5|604800" }, { "same 5", "probe! 2|5|604800" },
		{ "same 5", "idle 3600|5|604800" }, { "wait 3600", "probe 1|5|601200" }, { "newer 6", "transfer 1|5|601200" },
		{ "check", "probe! 1|5|601200" }, { "newer 6", "transfer! 1|5|601200" }, { "check", "transfer! 1|5|601200" },
		{ "got 6", "probe! 1|6|604800" } } },
	{ "NOTIFY does not stop a transfer that has begun", 'a', false, {
		{ "queue", "transfer 1|none|-" }, { "begin", "transfer 1|none|-" }, { "notify 2", "transfer 1|none|-" },
		{ "got 5", "probe! 2|5|604800" } } },
	{ "NOTIFY from elsewhere", 'a', false, { SERVING_5, { "notify 9", "probe! 1|5|604800" } } },
	{ "NOTIFY with the serial that serves", 'a', false, { SERVING_5, { "notify 1 serial 5", "idle 3600|5|604800" } } },
	{ "NOTIFY with the serial of an expired zone", 'o', false, {
		{ "got 5 7200 900 3600", "idle 7200|5|3600" }, { "wait 3600", "probe 1|expired|-" },
		{ "fail timeout", "idle 900|expired|-" }, { "notify 1 serial 5", "probe! 1|expired|-" },
		{ "same 5", "idle 7200|5|3600" } } },
	{ "NOTIFY before the first version", 'a', false, {
		{ "broke", "transfer 2|none|-" }, { "broke", "idle 1|none|-" }, { "notify 2", "transfer! 2|none|-" },
		{ "broke", "transfer! 1|none|-" }, { "broke", "idle 1|none|-" } } },
	{ "NOTIFY goes ahead of a scheduled probe", 'a', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "notify 2", "probe! 2|5|601200" },
		{ "same 5", "probe! 1|5|604800" }, { "same 5", "idle 3600|5|604800" } } },
	{ "a storm of NOTIFY makes one more check", 'o', false, {
		SERVING_5, { "notify 1", "probe! 1|5|604800" }, { "notify 1", "probe! 1|5|604800" },
		{ "notify 1", "probe! 1|5|604800" }, { "notify 1 serial 6", "probe! 1|5|604800" },
		{ "same 5", "idle 1|5|604800" }, { "wait 0.5", "idle 0.5|5|604799.5" }, { "notify 1", "idle 0.5|5|604799.5" },
		{ "wait 0.5", "probe! 1|5|604799" }, { "same 5", "idle 3600|5|604800" }, { "wait 3600", "probe 1|5|601200" } } },
	{ "NOTIFY after a check in vain is put off", 'a', false, {
		SERVING_5, { "notify 1", "probe! 1|5|604800" }, { "wait 3", "probe! 1|5|604797" }, { "same 5", "probe! 2|5|604800" },
		{ "same 5", "idle 3600|5|604800" }, { "wait 0.25", "idle 3599.75|5|604799.75" },
		{ "notify 1 serial 6", "idle 0.75|5|604799.75" }, { "notify 2 serial 6", "idle 0.75|5|604799.75" },
		{ "wait 0.749", "idle 0.001|5|604799.001" }, { "early", "idle 0.001|5|604799.001" },
		{ "wait 0.001", "probe! 2|5|604799" }, { "newer 6", "transfer! 2|5|604799" }, { "got 6", "idle 3600|6|604800" } } },
	{ "NOTIFY a second after a check in vain is not", 'o', false, {
		SERVING_5, { "notify 1", "probe! 1|5|604800" }, { "same 5", "idle 3600|5|604800" },
		{ "wait 0.999", "idle 3599.001|5|604799.001" }, { "notify 1", "idle 0.001|5|604799.001" },
		{ "wait 0.001", "probe! 1|5|604799" }, { "same 5", "idle 3600|5|604800" }, { "wait 1", "idle 3599|5|604799" },
		{ "notify 1", "probe! 1|5|604799" } } },
	{ "NOTIFY after a check that failed is put off", 'o', false, {
		SERVING_5, { "notify 1", "probe! 1|5|604800" }, { "fail refused", "idle 900|5|604800" }, { "notify 1", "idle 1|5|604800" },
		{ "wait 1", "probe! 1|5|604799" }, { "newer 6", "transfer! 1|5|604799" }, { "broke", "idle 900|5|604799" },
		{ "notify 1", "idle 1|5|604799" }, { "wait 1", "probe! 1|5|604798" }, { "older 4", "idle 900|5|604798" },
		{ "notify 1", "idle 1|5|604798" } } },
	{ "NOTIFY after a check that brought a version is not", 'o', false, {
		SERVING_5, { "notify 1", "probe! 1|5|604800" }, { "newer 6", "transfer! 1|5|604800" }, { "got 6", "idle 3600|6|604800" },
		{ "notify 1", "probe! 1|6|604800" }, { "newer 7", "transfer! 1|6|604800" }, { "notify 1 serial 8", "transfer! 1|6|604800" },
		{ "got 7", "probe! 1|7|604800" }, { "same 7", "idle 3600|7|604800" }, { "notify 1", "idle 1|7|604800" },
		{ "check", "probe! 1|7|604800" }, { "newer 8", "transfer! 1|7|604800" }, { "got 8", "idle 3600|8|604800" },
		{ "notify 1", "probe! 1|8|604800" } } },
	{ "NOTIFY after a scheduled check is not", 'o', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "fail refused", "idle 900|5|601200" }, { "notify 1", "probe! 1|5|601200" },
		{ "fail refused", "idle 900|5|601200" }, { "notify 1", "idle 1|5|601200" } } },
	{ "what the operator asks for is not put off, and is the check that NOTIFY waits for", 'o', false, {
		SERVING_5, { "check", "probe! 1|5|604800" }, { "same 5", "idle 3600|5|604800" }, { "check", "probe! 1|5|604800" },
		{ "same 5", "idle 3600|5|604800" }, { "notify 1", "idle 1|5|604800" }, { "check", "probe! 1|5|604800" },
		{ "same 5", "idle 3600|5|604800" }, { "notify 1", "idle 1|5|604800" }, { "retransfer", "transfer! 1|5|604800" },
		{ "broke", "idle 900|5|604800" }, { "notify 1", "idle 1|5|604800" }, { "purge", "transfer! 1|none|-" },
		{ "broke", "idle 1|none|-" }, { "check", "transfer! 1|none|-" } } },
	{ "nor what the operator asks for among NOTIFY, while it is checked", 'o', false, {
		SERVING_5, { "notify 1", "probe! 1|5|604800" }, { "notify 1 serial 6", "probe! 1|5|604800" }, { "check", "probe! 1|5|604800" },
		{ "notify 1 serial 7", "probe! 1|5|604800" }, { "same 5", "probe! 1|5|604800" }, { "notify 1", "probe! 1|5|604800" },
		{ "same 5", "idle 1|5|604800" } } },
	{ "NOTIFY that waits, and expiry", 'o', false, {
		{ "got 5 7200 900 3600", "idle 7200|5|3600" }, { "wait 3599.5", "idle 3600.5|5|0.5" }, { "notify 1", "probe! 1|5|0.5" },
		{ "fail refused", "idle 900|5|0.5" }, { "notify 1", "idle 1|5|0.5" }, { "wait 0.5", "probe! 1|expired|-" },
		{ "fail refused", "idle 900|expired|-" }, { "notify 1 serial 5", "idle 1|expired|-" },
		{ "wait 1", "probe! 1|expired|-" }, { "same 5", "idle 7200|5|3600" }, { "notify 1 serial 5", "idle 7200|5|3600" } } },
	{ "NOTIFY that waits gives way to a scheduled check that is due before, and asks in its stead", 'o', false, {
		{ "notify 1", "transfer 1|none|-" }, { "left alone 0.5", "transfer! 1|none|-" }, { "left alone 0.5", "idle 0.5|none|-" },
		{ "notify 1", "idle 0.5|none|-" }, { "wait 0.5", "transfer! 1|none|-" } } },
	{ "NOTIFY does not go ahead of a scheduled check before its time", 'o', false, {
		{ "notify 1", "transfer 1|none|-" }, { "left alone 0.5", "transfer! 1|none|-" }, { "left alone 0.5", "idle 0.5|none|-" },
		{ "queue", "idle 0.5|none|-" }, { "wait 0.5", "transfer 1|none|-" }, { "notify 1", "transfer 1|none|-" },
		{ "left alone 5", "idle 0.5|none|-" }, { "wait 0.5", "transfer! 1|none|-" } } },
	{ "NOTIFY that waits, and settings: same primaries, and others", 'o', false, {
		SERVING_5, { "notify 1", "probe! 1|5|604800" }, { "same 5", "idle 3600|5|604800" }, { "notify 1", "idle 1|5|604800" },
		{ "stanza c", "idle 1|5|40" }, { "wait 1", "probe! 1|5|39" }, { "same 5", "idle 20|5|40" }, { "notify 1", "idle 1|5|40" },
		{ "stanza b", "probe 3|5|604800" }, { "same 5", "probe 1|5|604800" }, { "same 5", "idle 3600|5|604800" } } },
	{ "NOTIFY during a transfer", 'a', false, {
		{ "notify 2", "transfer 1|none|-" }, { "got 5", "probe! 2|5|604800" }, { "same 5", "probe! 1|5|604800" },
		{ "same 5", "idle 3600|5|604800" } } },
	{ "NOTIFY of what the transfer brings", 'a', false, {
		{ "notify 2 serial 5", "transfer 1|none|-" }, { "notify 1 serial 5", "transfer 1|none|-" }, SERVING_5 } },
	{ "two NOTIFY with two serials", 'o', false, {
		{ "notify 1 serial 5", "transfer 1|none|-" }, { "notify 1 serial 6", "transfer 1|none|-" },
		{ "got 5", "probe! 1|5|604800" }, { "newer 6", "transfer! 1|5|604800" }, { "notify 1 serial 8", "transfer! 1|5|604800" },
		{ "notify 1 serial 7", "transfer! 1|5|604800" }, { "got 7", "probe! 1|7|604800" }, { "newer 8", "transfer! 1|7|604800" },
		{ "notify 1 serial 9", "transfer! 1|7|604800" }, { "notify 1 serial 8", "transfer! 1|7|604800" },
		{ "got 9", "idle 3600|9|604800" } } },
	{ "two NOTIFY with serials that cannot be compared, and one without", 'o', false, {
		{ "notify 1 serial 1", "transfer 1|none|-" }, { "notify 1 serial 2147483649", "transfer 1|none|-" },
		{ "got 2147483649", "probe! 1|2147483649|604800" }, { "newer 1", "transfer! 1|2147483649|604800" },
		{ "notify 1", "transfer! 1|2147483649|604800" }, { "notify 1 serial 1", "transfer! 1|2147483649|604800" },
		{ "got 1", "probe! 1|1|604800" } } },
	{ "NOTIFY of what was replaced before it was asked for", 'o', false, {
		SERVING_5, { "notify 1 serial 6", "probe! 1|5|604800" }, { "newer 7", "transfer! 1|5|604800" },
		{ "notify 1 serial 7", "transfer! 1|5|604800" }, { "got 8", "idle 3600|8|604800" },
		{ "notify 1 serial 7", "probe! 1|8|604800" }, { "notify 1 serial 6", "probe! 1|8|604800" },
		{ "same 8", "idle 1|8|604800" } } },
	{ "NOTIFY during a check that fails", 'o', false, {
		SERVING_5, { "check", "probe! 1|5|604800" }, { "notify 1", "probe! 1|5|604800" },
		{ "fail timeout", "idle 1|5|604800" }, { "wait 1", "probe! 1|5|604799" }, { "fail timeout", "idle 900|5|604799" } } },
	{ "retransfer publishes whatever comes", 'a', false, {
		SERVING_5, { "retransfer", "transfer! 1|5|604800" }, { "got 5 60 30 600", "idle 60|5|600" },
		{ "retransfer", "transfer! 1|5|600" }, { "got 3", "idle 3600|3|604800" } } },
	{ "retransfer fails, the old one stays", 'a', false, {
		SERVING_5, { "retransfer", "transfer! 1|5|604800" }, { "broke", "transfer! 2|5|604800" },
		{ "broke", "idle 900|5|604800" }, { "wait 900", "probe 1|5|603900" } } },
	{ "retransfer during a check", 'a', false, {
		SERVING_5, { "notify 1", "probe! 1|5|604800" }, { "retransfer", "transfer! 1|5|604800" },
		{ "retransfer", "transfer! 1|5|604800" }, { "got 5", "idle 3600|5|604800" } } },
	{ "retransfer of an expired zone", 'o', false, {
		{ "got 5 7200 900 3600", "idle 7200|5|3600" }, { "wait 3600", "probe 1|expired|-" },
		{ "retransfer", "transfer! 1|expired|-" }, { "got 3", "idle 3600|3|604800" } } },
	{ "settings while idle: same primaries, other bounds", 'a', false, {
		SERVING_5, { "wait 5", "idle 3595|5|604795" }, { "stanza C", "idle 15|5|35" },
		{ "stanza a", "idle 3595|5|604795" }, { "wait 3595", "probe 1|5|601200" },
		{ "fail timeout", "probe 2|5|601200" }, { "fail timeout", "idle 900|5|601200" },
		{ "stanza C", "idle 8|5|-3560" }, { "early", "idle 0|expired|-" } } },
	{ "settings that make a check due", 'a', false, {
		SERVING_5, { "wait 25", "idle 3575|5|604775" }, { "stanza C", "idle -5|5|15" },
		{ "early", "probe 1|5|15" }, { "same 5", "probe 2|5|40" } } },
	{ "settings without jitter", 'j', true, {
		{ "got 5", "idle 3604.999|5|604800" }, { "stanza u", "idle 3600|5|604800" } } },
	{ "settings while probing: same primaries", 'a', false, {
		SERVING_5, { "check", "probe! 1|5|604800" }, { "stanza C", "probe! 1|5|40" },
		{ "same 5", "probe! 2|5|40" } } },
	{ "settings while idle: other primaries", 'a', false, {
		SERVING_5, { "stanza b", "probe 3|5|604800" }, { "fail timeout", "probe 1|5|604800" } } },
	{ "settings: a key is another primary", 'a', false, { SERVING_5, { "stanza k", "probe 1|5|604800" } } },
	{ "settings while probing: other primaries", 'a', false, {
		SERVING_5, { "check", "probe! 1|5|604800" }, { "stanza b", "probe 3|5|604800" } } },
	{ "settings while transferring: other primaries", 'a', false, {
		{ "stanza b", "transfer 3|none|-" }, SERVING_5 } },
	{ "settings while transferring: same primaries", 'a', false, { { "stanza C", "transfer 1|none|-" } } },
	{ "purge begins as on the first day", 'a', false, {
		SERVING_5, { "purge", "transfer! 1|none|-" }, { "broke", "transfer! 2|none|-" }, { "broke", "idle 1|none|-" },
		{ "wait 1", "transfer 1|none|-" }, { "got 3", "idle 3600|3|604800" } } },
	{ "purge of an expired zone", 'o', false, {
		{ "got 5 60 30 100", "idle 60|5|100" }, { "wait 60", "probe 1|5|40" }, { "fail x", "idle 30|5|40" },
		{ "wait 30", "probe 1|5|10" }, { "wait 10", "probe 1|expired|-" }, { "purge", "transfer! 1|none|-" },
		{ "got 4", "idle 3600|4|604800" } } },
	{ "purge, and other primaries", 'a', false, {
		SERVING_5, { "purge", "transfer! 1|none|-" }, { "stanza b", "transfer 3|none|-" }, { "got 3", "idle 3600|3|604800" } } },
	{ "purge of nothing", 'o', false, {
		{ "broke", "idle 1|none|-" }, { "purge", "transfer! 1|none|-" }, { "purge", "transfer! 1|none|-" },
		{ "broke", "idle 1|none|-" } } },
	{ "settings while retransferring: other primaries", 'a', false, {
		SERVING_5, { "retransfer", "transfer! 1|5|604800" }, { "stanza b", "transfer! 3|5|604800" },
		{ "got 5", "idle 3600|5|604800" } } },
	{ "settings while expired", 'o', false, {
		{ "got 5 7200 900 3600", "idle 7200|5|3600" }, { "wait 3600", "probe 1|expired|-" },
		{ "fail timeout", "idle 900|expired|-" }, { "stanza c", "idle 8|expired|-" },
		{ "stanza b", "probe 3|expired|-" } } },
	{ "settings that are the same", 'a', false, { SERVING_5, { "stanza a", "idle 3600|5|604800" } } },
	{ "EXPIRE of the primary bounds ours", 'o', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "newer 6 left 7200", "transfer 1|5|601200" },
		{ "got 6", "idle 3600|6|7200" }, { "wait 3600", "probe 1|6|3600" },
		{ "same 6 left 3600", "idle 3600|6|3600" } } },
	{ "EXPIRE in a transfer is what counts", 'o', false, {
		{ "got 5 left 3600", "idle 3600|5|3600" }, { "wait 3599", "idle 1|5|1" }, { "check", "probe! 1|5|1" },
		{ "newer 6 left 7200", "transfer! 1|5|1" }, { "got 6 left 5000", "idle 3600|6|5000" },
		{ "check", "probe! 1|6|5000" }, { "newer 7 left 60", "transfer! 1|6|5000" },
		{ "got 7 left 999999999", "idle 3600|7|604800" } } },
	{ "EXPIRE of the primary never shortens what is left", 'o', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "same 5 left 60", "idle 3600|5|601200" },
		{ "check", "probe! 1|5|601200" }, { "same 5 left 999999999", "idle 3600|5|604800" } } },
	{ "an expired primary has nothing to give", 'a', false, {
		SERVING_5, { "wait 3600", "probe 1|5|601200" }, { "newer 6 left 1", "probe 2|5|601200" },
		{ "same 5 left 0", "idle 900|5|601200" } } },
};

START_TEST(test_scenario)
{
	world_begin(scenarios[_i].stanza, scenarios[_i].high);
	for (const line_t *line = scenarios[_i].lines; line->step != NULL; line++) {
		act(line->step);
		if (strcmp(line->after, "idle 0|expired|-") == 0) {
			continue; /* Not a state to stay in: the check begins at once. */
		}
		ck_assert_msg(strcmp(picture(), line->after) == 0, "%s: after \"%s\": %s, not %s", scenarios[_i].name,
		              line->step, picture(), line->after);
	}
	world_end();
}
END_TEST

START_TEST(test_no_jitter_no_random)
{
	world_begin('a', true);
	act("got 5");
	act("wait 3600");
	act("same 5");
	act("same 5");
	ck_assert_uint_eq(world.randoms, 0);
	world_end();
}
END_TEST

START_TEST(test_log)
{
	setenv("TZ", "UTC", 1);
	tzset();
	world_begin('a', false);
	world.now = 0;
	act("broke");
	world.now = 20;
	act("got 2 3600 900 604800");
	act("check");
	act("same 2");
	act("older 1");
	act("check");
	act("newer 3");
	act("broke");
	act("fail REFUSED");
	static const char expected[] =
		"4 refresh, remote 192.0.2.1@53, failed (connection reset)\n"
		"6 refresh, remote 192.0.2.2@53, zone updated, 0.02 seconds, serial none -> 2, expires in 604800 seconds\n"
		"6 refresh, remote 192.0.2.1@53, remote serial 2, zone is up-to-date, expires in 604800 seconds\n"
		"6 refresh, remote 192.0.2.2@53, remote serial 1, remote is outdated\n"
		"6 refresh, remote 192.0.2.1@53, remote serial 3, zone is outdated\n"
		"4 refresh, remote 192.0.2.1@53, failed (connection reset)\n"
		"4 refresh, remote 192.0.2.2@53, failed (REFUSED)\n"
		"4 refresh, failed (REFUSED), next retry at 2023-11-14T22:28:20+0000\n";
	ck_assert_str_eq(world.log, expected);
	world_end();
}
END_TEST

static const char *state_lines(void)
{
	static char text[256];
	text[0] = '\0';
	for (char *line = strtok(world.log, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		if (strstr(line, " zone ") == line + 1) {
			strcat(strcat(text, line), "|");
		}
	}
	world.log[0] = '\0';
	return text;
}

/*! A zone that falls behind says so once, and when it has caught up; news that nobody can fetch count as well. */
START_TEST(test_log_behind)
{
	static const struct {
		const char *step, *lines;
	} steps[] = {
		{ "got 5 100 60 1000", "" }, { "wait 100", "" }, { "fail x", "" }, { "wait 60", "" }, { "fail x", "" },
		{ "wait 60", "" }, { "fail x", "4 zone falls behind, serial 5, last current at 2023-11-14T22:13:32+0000|" },
		{ "wait 60", "" }, { "fail x", "" }, { "check", "" }, { "fail x", "" },
		{ "wait 60", "" }, { "same 5", "5 zone has caught up, serial 5|" },
		/* Half of EXPIRE comes first. */
		{ "check", "" }, { "newer 6", "" }, { "got 6 1000 60 600", "" }, { "check", "" }, { "fail x", "" },
		{ "wait 60", "" }, { "fail x", "" }, { "wait 60", "" }, { "fail x", "" }, { "wait 60", "" }, { "fail x", "" },
		{ "wait 60", "" }, { "fail x", "" }, { "wait 60", "" }, { "fail x", "4 zone falls behind, serial 6, last current at 2023-11-14T22:19:12+0000|" },
		{ "wait 60", "" }, { "newer 7", "" }, { "broke", "" }, { "wait 60", "" }, { "newer 7", "" },
		{ "got 7 100 60 200", "5 zone has caught up, serial 7|" },
		/* What has expired has said so. */
		{ "check", "" }, { "fail x", "" }, { "wait 60", "" }, { "fail x", "" },
		{ "wait 60", "" }, { "fail x", "4 zone falls behind, serial 7, last current at 2023-11-14T22:26:12+0000|" },
		{ "wait 60", "" }, { "fail x", "" }, { "wait 20", "5 zone expired, serial 7|" }, { "fail x", "" }, { "wait 60", "" },
		{ "newer 8", "" }, { "got 8", "5 zone recovered, serial 8|" },
	};
	setenv("TZ", "UTC", 1);
	tzset();
	world_begin('o', false);
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		act(steps[i].step);
		const char *lines = state_lines();
		ck_assert_msg(strcmp(lines, steps[i].lines) == 0, "%u: %s: %s", i, steps[i].step, lines);
	}
	world_end();
}
END_TEST

START_TEST(test_log_states)
{
	world_begin('o', false);
	act("broke");
	ck_assert_ptr_nonnull(strstr(world.log, "3 refresh, failed (connection reset), next retry at "));
	act("wait 1");
	act("got 5 7200 900 3600");
	act("wait 3600");
	world.log[0] = '\0';
	act("fail timeout");
	ck_assert_ptr_nonnull(strstr(world.log, "3 refresh, failed (timeout), next retry at "));
	act("wait 900");
	world.log[0] = '\0';
	act("same 5");
	ck_assert_ptr_nonnull(strstr(world.log, "5 zone recovered, serial 5\n"));
	act("wait 3600");
	ck_assert_ptr_nonnull(strstr(world.log, "5 zone expired, serial 5\n"));
	ck_assert_int_eq(world.zone->expired_at, WALL + world.now / 1000);
	world_end();
}
END_TEST

START_TEST(test_log_held_back)
{
	world_begin('s', false);
	act("got 5 with 100");
	act("check");
	act("newer 6");
	world.log[0] = '\0';
	act("got 6 with 49");
	static const char reason[] = "serial 6 held back, records 100 -> 49, zone-shrink-limit 50";
	ck_assert_ptr_eq(strstr(world.log, "3 refresh, remote 192.0.2.1@53, failed ("), world.log);
	ck_assert_ptr_nonnull(strstr(world.log, reason));
	refresh_status_t status;
	refresh_status(world.refresh, &status);
	ck_assert(!status.result[0].ok);
	ck_assert_str_eq(status.result[0].reason, reason);
	ck_assert_uint_eq(status.records, 100);
	world_end();
}
END_TEST

/*! \brief A zone with a version that outlived the process, good for \a left seconds more; EXPIRE of its own is 1000. */
static void world_restore(uint32_t left)
{
	memset(&world, 0, sizeof(world));
	world.now = 12345;
	world.armed = REFRESH_NEVER;
	static char instance;
	ck_assert_int_eq(zone_attach((const uint8_t *)"\7example", (struct instance *)&instance, &world.zone), 0);
	world.refresh = refresh_new(zone_hold(world.zone), stanza('a'), &ops, &world);
	ck_assert_ptr_nonnull(world.refresh);
	refresh_restore(world.refresh, version(5, 100, 50, 1000), NULL, WALL - 300, left);
	ck_assert(zone_detach(world.zone, (struct instance *)&instance));
}

START_TEST(test_restore)
{
	/* It serves before anybody is asked, others are told, and a check is due at once. */
	world_restore(700);
	ck_assert_str_eq(picture(), "idle 0|5|700");
	ck_assert_uint_eq(world.published, 1);
	ck_assert_int_eq(world.checked_at, 0); /* nothing was checked */
	refresh_status_t status;
	refresh_status(world.refresh, &status);
	/* By a clock that had not begun by then. */
	ck_assert_int_eq(status.success_ms, (int64_t)world.now - world.now / 1000 * 1000 - 300000);
	ck_assert_int_eq(world.zone->success_ms, status.success_ms); /* for statistics */
	ck_assert_str_eq(world.log, "6 store, zone restored, serial 5, expires in 700 seconds\n");

	static const line_t lines[] = {
		{ "wait 0", "probe 1|5|700" }, { "fail timeout", "probe 2|5|700" }, { "fail timeout", "idle 50|5|700" },
		{ "wait 50", "probe 1|5|650" }, { "wait 600", "probe 1|5|50" }, { "wait 50", "probe 1|expired|-" },
	};
	for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		act(lines[i].step);
		ck_assert_str_eq(picture(), lines[i].after);
	}
	act("same 5");
	act("same 5");
	ck_assert_str_eq(picture(), "idle 100|5|1000");
	ck_assert_int_eq(world.checked_at, WALL + world.now / 1000);
	ck_assert_int_eq(world.expires_at, world.checked_at + 1000);
	world_end();
}
END_TEST

START_TEST(test_restore_bounds)
{
	/* A clock that was wrong makes no version good for longer than its own EXPIRE; new settings do not, either. */
	world_restore(UINT32_MAX);
	ck_assert_str_eq(picture(), "idle 0|5|1000");
	world_end();
	world_restore(700);
	act("wait 0");
	act("same 5");
	ck_assert_str_eq(picture(), "probe 2|5|1000");
	ck_assert_int_eq(world.checked_at, WALL + world.now / 1000);
	act("newer 6");
	act("got 6 60 30 600");
	ck_assert_str_eq(picture(), "idle 60|6|600");
	ck_assert_int_eq(world.expires_at, world.checked_at + 600);
	world_end();
	world_restore(20);
	act("stanza C");
	ck_assert_str_eq(picture(), "idle 0|5|20");
	world_end();
}
END_TEST

START_TEST(test_status)
{
	world_begin('a', false);
	refresh_status_t status;
	refresh_status(world.refresh, &status);
	ck_assert(!status.loaded && !status.retrying && status.success_ms == 0 && status.result[0].at_ms == 0);
	act("broke");
	act("broke");
	refresh_status(world.refresh, &status);
	ck_assert(status.retrying);
	act("check");
	act("broke");
	act("got 7");
	refresh_status(world.refresh, &status);
	ck_assert(!status.retrying);
	ck_assert_uint_eq(status.primary_count, 2);
	ck_assert(!status.result[0].ok && status.result[1].ok);
	ck_assert_str_eq(status.result[0].reason, "connection reset");
	ck_assert_uint_eq(status.result[0].at_ms, world.now);
	ck_assert_uint_eq(status.result[1].serial, 7);
	ck_assert_uint_eq(status.records, 2);
	ck_assert_uint_gt(status.memory, 0);
	ck_assert_int_eq(status.success_ms, world.now);
	uint32_t serial;
	ck_assert(refresh_serial(world.refresh, &serial) && serial == 7);
	ck_assert_ptr_eq(refresh_zone(world.refresh), world.zone);
	ck_assert_ptr_eq(refresh_stanza(world.refresh)->primary, status.primary);
	world_end();
}
END_TEST

START_TEST(test_judge)
{
	static const struct {
		uint32_t ours, theirs;
		primary_answer_t answer;
	} cases[] = {
		{ 5, 5, PRIMARY_SAME }, { 5, 6, PRIMARY_NEWER }, { 5, 4, PRIMARY_OLDER },
		{ 4294967295, 0, PRIMARY_NEWER }, { 0, 4294967295, PRIMARY_OLDER },
		{ 0, 2147483647, PRIMARY_NEWER }, { 0, 2147483648, PRIMARY_NEWER }, { 2147483648, 0, PRIMARY_NEWER },
		{ 0, 2147483649, PRIMARY_OLDER },
	};
	world_begin('o', false);
	ck_assert_int_eq(refresh_judge(world.refresh, 0), PRIMARY_NEWER);
	act("got 1");
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		act("retransfer");
		transferred(version(cases[i].ours, 3600, 900, 604800), EXPIRE_NONE, NULL);
		ck_assert_int_eq(refresh_judge(world.refresh, cases[i].theirs), cases[i].answer);
	}
	world_end();
}
END_TEST

/*! Others are told of each version, and when the last one serves again. */
START_TEST(test_published)
{
	static const struct {
		const char *step;
		unsigned published;
		uint32_t before;
	} steps[] = {
		{ "broke", 0, 0 }, { "wait 1", 0, 0 }, { "got 5 7200 900 3600", 1, 0 }, { "check", 1, 0 }, { "same 5", 1, 0 },
		{ "check", 1, 0 }, { "newer 6", 1, 0 }, { "broke", 1, 0 }, { "wait 900", 1, 0 }, { "newer 6", 1, 0 },
		{ "got 5", 1, 0 }, { "check", 1, 0 }, { "newer 6", 1, 0 }, { "got 6 7200 900 3600", 2, 5 }, { "wait 3600", 2, 5 },
		{ "same 6", 3, 6 }, { "wait 3600", 3, 6 }, { "newer 7", 3, 6 }, { "got 7", 4, 6 }, { "purge", 4, 6 },
		{ "got 7", 5, 0 },
	};
	world_begin('o', false);
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		act(steps[i].step);
		ck_assert_msg(world.published == steps[i].published && world.before == steps[i].before, "%u: %s: %u, %u", i,
		              steps[i].step, world.published, world.before);
		const uint64_t left = world.zone->expires_ms > 0 ? world.zone->expires_ms - world.now : REFRESH_NEVER;
		refresh_status_t status;
		refresh_status(world.refresh, &status);
		ck_assert_uint_eq(left, status.expire_ms == REFRESH_NEVER ? REFRESH_NEVER : status.expire_ms - world.now);
	}
	world_end();
}
END_TEST

/*! Whoever waits for the end of a check hears of it once, with the reason of a failure; of one that another follows, not at all. */
START_TEST(test_ended)
{
	static const struct {
		const char *step;
		unsigned ended;
		const char *failure;
	} steps[] = {
		{ "broke", 0, "" }, { "broke", 1, "connection reset" }, { "wait 1", 1, "connection reset" }, { "got 5", 2, "" },
		{ "check", 2, "" }, { "fail timeout", 2, "" }, { "same 5", 3, "" },
		{ "check", 3, "" }, { "older 4", 3, "" }, { "older 3", 4, "remote is outdated" },
		{ "check", 4, "remote is outdated" }, { "check", 4, "remote is outdated" }, { "same 5", 4, "remote is outdated" },
		{ "same 5", 4, "remote is outdated" }, { "same 5", 4, "remote is outdated" }, { "same 5", 5, "" },
		{ "check", 5, "" }, { "newer 6", 5, "" }, { "broke", 5, "" }, { "same 5", 6, "connection reset" },
		{ "retransfer", 6, "connection reset" }, { "stanza b", 6, "connection reset" }, { "got 6", 7, "" },
		{ "purge", 7, "" }, { "got 6", 8, "" },
	};
	world_begin('a', false);
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		act(steps[i].step);
		ck_assert_msg(world.ended == steps[i].ended && strcmp(world.failure, steps[i].failure) == 0, "%u: %s: %u %s", i,
		              steps[i].step, world.ended, world.failure);
	}
	world_end();
}
END_TEST

/* Increments and compact copies. */

/*! A difference that gives the SOA \a to to the version of \a from, and adds one record. */
static difference_t *one_change(const snapshot_t *from, uint32_t to)
{
	rrset_t rrset;
	const uint8_t *item;
	uint16_t len;
	uint8_t old[UINT16_MAX], new[UINT16_MAX];
	ck_assert(rrset_find(from->names.base, from->apex_node, KNOT_RRTYPE_SOA, &rrset));
	rrset_item(rrset.items, &item, &len);
	size_t soa_len = rrset_rdata_full(&rrset, from->apex, from->apex_len, item, len, old);
	memcpy(new, old, soa_len);
	knot_wire_write_u32(new + soa_len - 20, to);

	uint8_t owner[] = "\3h00";
	snprintf((char *)owner + 1, 4, "h%02u", to % 100);
	difference_maker_t maker = { 0 };
	difference_t *made;
	ck_assert_int_eq(difference_maker_put(&maker, NULL, 0, KNOT_RRTYPE_SOA, rrset.ttl, old, soa_len), 0);
	difference_maker_turn(&maker);
	ck_assert_int_eq(difference_maker_put(&maker, NULL, 0, KNOT_RRTYPE_SOA, rrset.ttl, new, soa_len), 0);
	ck_assert_int_eq(difference_maker_put(&maker, owner, 4, KNOT_RRTYPE_A, 60, (const uint8_t *)"1234", 4), 0);
	ck_assert_int_eq(difference_maker_finish(&maker, &made), 0);
	return made;
}

/*! An increment to the serial \a to is asked for and comes. */
static void increment(uint32_t to)
{
	static const builder_limits_t limits = { 0 };
	char error[AMEND_ERROR_MAX] = "";
	act("check");
	answer(PRIMARY_NEWER, to, EXPIRE_NONE, NULL);
	snapshot_t *base = refresh_base(world.refresh), *draft = NULL;
	ck_assert_ptr_nonnull(base);
	history_run_t run = { .item = malloc(sizeof(difference_t *)), .count = 1 };
	run.item[0] = one_change(base, to);
	run.octets = run.item[0]->size;
	ck_assert_msg(amend(base, run.item, 1, &limits, &draft, error) == 0, "%s", error);
	world.doing = REFRESH_IDLE;
	refresh_transferred(world.refresh, draft, &run, EXPIRE_NONE, NULL);
	ck_assert_uint_eq(refresh_version(world.refresh)->soa.serial, to);
}

static void assert_dump(const char *want)
{
	char *dump = support_dump(refresh_version(world.refresh));
	ck_assert_str_eq(dump, want);
	free(dump);
}

/*! The version that serves, pinned, and a copy of it. */
static snapshot_t *copy_version(snapshot_t **ret_copy)
{
	snapshot_t *was = snapshot_pin(refresh_version(world.refresh));
	ck_assert_int_eq(amend_compact(was, ret_copy), 0);
	return was;
}

/*! The differences that have been published since \a was. */
static history_run_t way_from(const snapshot_t *was)
{
	history_run_t way = { 0 };
	rcu_read_lock();
	(void)history_find(&world.zone->history, was->soa.serial, refresh_version(world.refresh)->soa.serial, SIZE_MAX, &way);
	rcu_read_unlock();
	return way;
}

START_TEST(test_increments)
{
	world_begin('o', false);
	act("got 5");
	increment(6);
	increment(9);
	ck_assert_str_eq(picture(), "idle 3600|9|604800");
	ck_assert_uint_eq(world.published, 3);
	act("retransfer");
	ck_assert_ptr_null(refresh_base(world.refresh));
	world_end();
}
END_TEST

/*! It takes the place of the version, nobody is told; of a version that serves by now only if the way there is known. */
START_TEST(test_compacted)
{
	for (unsigned steps = 0; steps < 3; steps++) {
		world_begin('o', false);
		act("got 5");
		increment(6);
		snapshot_t *copy, *was = copy_version(&copy);
		for (unsigned i = 0; i < steps; i++) {
			increment(7 + i);
		}
		unsigned published = world.published;
		char *dump = support_dump(refresh_version(world.refresh));
		const arena_t *arena = copy->arena;
		history_run_t way = way_from(was);
		ck_assert_uint_eq(way.count, steps);
		history_trim(&world.zone->history, 0); /* Others cannot have them. */
		ck_assert(refresh_compacted(world.refresh, was, copy, &way));
		history_run_clear(&way);
		ck_assert_ptr_eq(refresh_version(world.refresh)->arena, arena);
		ck_assert_ptr_eq(world.zone->current, refresh_version(world.refresh));
		ck_assert_uint_eq(world.published, published);
		snapshot_unpin(was);
		assert_dump(dump);
		free(dump);
		increment(20);
		ck_assert_str_eq(picture(), "idle 3600|20|604800");
		world_end();
	}
}
END_TEST

START_TEST(test_compacted_in_vain)
{
	for (unsigned i = 0; i < 3; i++) {
		world_begin('o', false);
		act("got 5");
		snapshot_t *copy, *was = copy_version(&copy);
		history_run_t way = { 0 };
		if (i == 0) {
			increment(6); /* Nobody knows of it. */
		} else if (i == 1) {
			act("retransfer");
			act("got 5"); /* Perhaps other records under the same serial, from which the way leads on. */
			increment(6);
			way = way_from(was);
			ck_assert_uint_eq(way.count, 1);
		} else {
			refresh_command(world.refresh, REFRESH_PURGE);
		}
		const snapshot_t *version = refresh_version(world.refresh);
		ck_assert(!refresh_compacted(world.refresh, was, copy, i == 0 ? NULL : &way));
		history_run_clear(&way);
		ck_assert_ptr_eq(refresh_version(world.refresh), version);
		snapshot_unpin(was);
		world_end();
	}
}
END_TEST

/*! A version that is kept is replaced as well, and recovers. */
START_TEST(test_compacted_while_expired)
{
	world_begin('o', false);
	act("got 5 7 900 10");
	snapshot_t *copy, *was = copy_version(&copy);
	act("wait 7");
	act("wait 3");
	ck_assert_str_eq(picture(), "probe 1|expired|-");
	ck_assert(refresh_compacted(world.refresh, was, copy, NULL));
	ck_assert_ptr_null(world.zone->current);
	snapshot_unpin(was);
	act("same 5");
	ck_assert_ptr_eq(world.zone->current, copy);
	world_end();
}
END_TEST

/*! A version that an earlier machine published serves on and is asked about at once. */
START_TEST(test_inherit)
{
	world_begin('a', false);
	act("got 5");
	refresh_free(world.refresh);
	world.refresh = refresh_new(zone_hold(world.zone), stanza('o'), &ops, &world);
	refresh_timer(world.refresh);
	ck_assert_str_eq(picture(), "probe 1|5|604800");
	world_end();
}
END_TEST

/*! Eight weeks without any primary: checks every RETRY, one expiry, never closer than a second. */
START_TEST(test_weeks)
{
	world_begin('j', true);
	act("got 5");
	unsigned checks = 0, expired = 0;
	uint64_t end = world.now + 8ull * 7 * 86400 * 1000;
	while (world.armed < end) {
		ck_assert_uint_ge(world.armed, world.now);
		world.now = world.armed;
		bool served = world.zone->current != NULL;
		refresh_timer(world.refresh);
		expired += served && world.zone->current == NULL;
		if (world.doing == REFRESH_PROBING) {
			checks++;
			world.now += 7000;
			act("fail timeout");
		}
		world.log[0] = '\0';
	}
	ck_assert_uint_eq(expired, 1);
	ck_assert_uint_ge(checks, 8u * 7 * 86400 / 909 - 5);
	ck_assert_uint_le(checks, 8u * 7 * 86400 / 908 + 5);
	act("wait 901.999");
	act("same 5");
	ck_assert_str_eq(picture(), "idle 3604.999|5|604800");
	world_end();
}
END_TEST

/*! A minute of NOTIFY each millisecond, while the primary refuses or has nothing new: a check a second, and its lines. */
START_TEST(test_storm)
{
	for (unsigned is_refused = 0; is_refused < 2; is_refused++) {
		world_begin('o', false);
		act("got 5");
		world.log[0] = '\0';
		unsigned checks = 0;
		for (const uint64_t end = world.now + 60000; world.now < end; world.now++) {
			if (world.now >= world.armed) {
				refresh_timer(world.refresh);
			}
			act(world.now % 3 ? "notify 1" : "notify 1 serial 9");
			if (world.doing == REFRESH_PROBING) {
				checks++;
				act(is_refused ? "fail refused" : "same 5");
			}
		}
		ck_assert_uint_eq(checks, 60);
		unsigned lines = 0;
		for (const char *line = world.log; (line = strchr(line, '\n')) != NULL; line++) {
			lines++;
		}
		ck_assert_uint_eq(lines, is_refused ? 120 : 60);
		world_end();
	}
}
END_TEST

/*! Any order of events: the pictures hold together, and what serves only ever goes forward, unless forced or expired. */
START_TEST(test_random)
{
	srandom(support_seed());
	static const char letters[] = "aotjcCzbk";
	world_begin('t', false);
	unsigned steps = support_is_full() ? 50000 : 5000;
	for (unsigned i = 0; i < steps; i++) {
		world.log[0] = '\0';
		world.high = random() & 1;
		world.waits = random() & 1;
		char step[64];
		bool may_go_back = world.zone->current == NULL;
		uint32_t before = may_go_back ? 0 : world.zone->current->soa.serial;
		unsigned serial = before + random() % 4 - 1;
		switch (random() % 16) {
		case 0:
			act("retransfer");
			serial = before - 100;
			snprintf(step, sizeof(step), "got %u", serial);
			act(step);
			may_go_back = true;
			break;
		case 1:
			act(random() % 8 > 0 ? "check" : "purge");
			break;
		case 2:
			snprintf(step, sizeof(step), "notify %lu", random() % 4);
			act(step);
			break;
		case 3:
			snprintf(step, sizeof(step), "notify %lu serial %u", random() % 4, serial);
			act(step);
			break;
		case 4:
			snprintf(step, sizeof(step), "stanza %c", letters[random() % (sizeof(letters) - 1)]);
			act(step);
			break;
		default:
			if (world.doing == REFRESH_IDLE) {
				world.now = world.armed > world.now ? world.armed : world.now;
				refresh_timer(world.refresh);
			} else if (random() % 8 == 0) {
				act("left alone 3");
			} else if (world.doing == REFRESH_TRANSFERRING && random() % 2) {
				act("broke");
			} else if (world.doing == REFRESH_TRANSFERRING) {
				snprintf(step, sizeof(step), "got %u %lu %lu %lu", serial, random() % 9, random() % 9,
				         random() % 9);
				act(step);
			} else {
				answer(random() % 4, serial, random() % 3 ? EXPIRE_NONE : random() % 9, "reason");
			}
		}
		picture();
		if (!may_go_back && world.zone->current != NULL) {
			ck_assert(!serial_newer(before, world.zone->current->soa.serial));
		}
		ck_assert(world.doing != REFRESH_IDLE || world.armed != REFRESH_NEVER);
	}
	world_end();
}
END_TEST

static void setup(void)
{
	rcu_register_thread();
	report_set_sink(world_report);
}

static void teardown(void)
{
	report_set_sink(NULL);
	rcu_unregister_thread();
}

int main(void)
{
	TCase *tcase = tcase_create("refresh");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, test_scenario, 0, sizeof(scenarios) / sizeof(scenarios[0]));
	tcase_add_test(tcase, test_no_jitter_no_random);
	tcase_add_test(tcase, test_log);
	tcase_add_test(tcase, test_log_states);
	tcase_add_test(tcase, test_log_behind);
	tcase_add_test(tcase, test_log_held_back);
	tcase_add_test(tcase, test_restore);
	tcase_add_test(tcase, test_restore_bounds);
	tcase_add_test(tcase, test_status);
	tcase_add_test(tcase, test_judge);
	tcase_add_test(tcase, test_published);
	tcase_add_test(tcase, test_ended);
	tcase_add_test(tcase, test_increments);
	tcase_add_test(tcase, test_compacted);
	tcase_add_test(tcase, test_compacted_in_vain);
	tcase_add_test(tcase, test_compacted_while_expired);
	tcase_add_test(tcase, test_inherit);
	tcase_add_test(tcase, test_weeks);
	tcase_add_test(tcase, test_storm);
	tcase_add_test(tcase, test_random);

	Suite *suite = suite_create("refresh");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
