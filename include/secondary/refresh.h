/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Keeping one zone fresh: when to ask which primary, what its answer means, when the zone expires (RFC 1034, section 4.3.5;
 *        RFC 1996). A state machine without sockets, clock or randomness of its own.
 *
 *                 +--------------------------- timer, NOTIFY, command -----------------------------+
 *                 v                                                                                |
 *     IDLE --> PROBING primary i  --same or older serial, failure--> i + 1 --none left-->  IDLE (REFRESH or RETRY)
 *                 |                                                    ^
 *                 | newer serial (or no version yet: at once)          | failure
 *                 v                                                    |
 *             TRANSFERRING from primary i ----------------------------+---success--> published, IDLE (REFRESH)
 *
 * A check succeeds when some primary gives an authoritative SOA that is not older than ours, or a transfer is published; it
 * renews REFRESH and EXPIRE. All primaries are asked until one has news, so that a newer serial on a later primary is not missed
 * while the first is behind; news that could not be transferred are fetched after RETRY. A failed check is repeated after
 * RETRY; without a version after pauses that grow from a second to ten minutes (within the bounds on RETRY; what NOTIFY and
 * commands ask for in vain does not make them grow), and if all primaries were left alone for what they did to other zones, as
 * soon as one may be asked. Jitter is added to scheduled checks
 * only, never to NOTIFY or commands; scheduled checks that ask anybody are a second apart at least, whatever the SOA says, and
 * so is one that NOTIFY asks for from the one before that was asked for, unless that brought a version: floods of NOTIFY, whose sender's
 * address may be forged, cost a check a second and zone, and news that follow each other wait for nothing.
 *
 * EXPIRE counts from the last successful check; an expired zone checks at once, goes on checking and serves again after the
 * next success, with the same serial too. When all that primaries have for it is older, that is transferred: better than none.
 * Otherwise an older version is published on the operator's command only. A version that lost more than `zone-shrink-limit` of the
 * records of the one that serves, or is kept, is held back: a transfer that failed, until the operator's REFRESH_RETRANSFER. Of serials that RFC 1982 cannot compare the primary's
 * counts as newer, as for knotd.
 *
 * In the log: a line for each answer and each failed check, as knotd; one when the zone expired and when it recovered; and one when it
 * has not been current for twice REFRESH or half of EXPIRE, and when it has caught up.
 *
 * Everything outside is asked for through refresh_ops_t, and comes back as a call of refresh_…(): so days pass at once in a
 * test, and both ends of each jitter are seen.
 *
 * Threads: the worker's. Blocks: never. Times: milliseconds of a monotonic clock that never stands still or jumps.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "secondary/expire_option.h"
#include "secondary/snapshot.h"
#include "secondary/stanza.h"
#include "secondary/zone.h"

/*! Pauses without a first version: from, doubling up to. A primary that comes up is found within the last pause at most. */
#define REFRESH_BOOTSTRAP_MIN_MS 1000
#define REFRESH_BOOTSTRAP_MAX_MS 600000

/*! No timer. */
#define REFRESH_NEVER UINT64_MAX

typedef struct refresh refresh_t;

/*! What a primary said, or why it did not. */
typedef enum {
	PRIMARY_NEWER,          /*!< SOA with a newer serial. */
	PRIMARY_SAME,           /*!< SOA with our serial. */
	PRIMARY_OLDER,          /*!< SOA with an older serial. */
	PRIMARY_FAILED,         /*!< No answer, an error, not authoritative, not verifiable, malformed. */
} primary_answer_t;

/*! Octets of a primary's reason with the final 0: what is longer is cut. */
#define REFRESH_REASON_MAX 96

/*! The last result with one primary, for status. */
typedef struct {
	uint64_t at_ms;         /*!< 0: never asked. */
	bool ok;
	uint32_t serial;        /*!< That it said, if ok. */
	char *reason;           /*!< Why not, if not ok. The machine's own; NULL: no memory. */
} primary_result_t;

typedef enum {
	REFRESH_CHECK,          /*!< zone-refresh: check now. */
	REFRESH_RETRANSFER,     /*!< zone-retransfer: AXFR now, whatever the serial and the size. */
	REFRESH_PURGE,          /*!< zone-purge: nothing serves any more; begin as on the first day. */
} refresh_command_t;

/*! What the machine needs from its surroundings. All are called on the worker and must not call back before they return. */
typedef struct {
	uint64_t (*now_ms)(void *ctx);
	int64_t (*wall)(void *ctx);                         /*!< Seconds since the epoch, for what people read. */
	uint32_t (*random)(void *ctx, uint32_t below);      /*!< Uniform in [0, below); below > 0. */
	void (*arm)(void *ctx, refresh_t *refresh, uint64_t at_ms); /*!< One timer; REFRESH_NEVER: off. */
	/*!
	 * Ask for the SOA (then refresh_probed()); may queue. urgent: goes before scheduled ones (NOTIFY, commands). \a primary
	 * is the stanza's, which refresh_set_stanza() may let go: hold the stanza (refresh_stanza()).
	 */
	void (*probe)(void *ctx, refresh_t *refresh, const primary_t *primary, bool urgent);
	/*! Transfer (then refresh_transferred()); may queue. */
	void (*transfer)(void *ctx, refresh_t *refresh, const primary_t *primary, bool urgent);
	/*! Has what was asked for not begun yet? Then something urgent may be asked for in its place. */
	bool (*waits)(void *ctx, const refresh_t *refresh);
	/*! Forget what was asked for; nothing comes back for it. */
	void (*cancel)(void *ctx, refresh_t *refresh);
	/*!
	 * A version serves: a new one in place of \a before (pinned for the call; NULL: there was none), or again the one that
	 * had expired (that is \a before). \a run: the differences between both, to be taken; NULL: a full transfer.
	 * Others may be told (versions.h).
	 */
	void (*published)(void *ctx, refresh_t *refresh, snapshot_t *before, history_run_t *run);
	/*! The version that is there is known to be current since \a at, and good until \a expires_at, seconds since the epoch. */
	void (*checked)(void *ctx, refresh_t *refresh, int64_t at, int64_t expires_at);
	/*!
	 * What was under way has ended, and nothing else is asked before the next timer. \a failure: NULL, or why the version is
	 * not known to be current; words that end a log line.
	 */
	void (*ended)(void *ctx, refresh_t *refresh, const char *failure);
} refresh_ops_t;

/*! What zone-status shows. */
typedef struct {
	zone_t *zone;
	bool loaded, expired;
	bool retrying;                                      /*!< The last check failed. */
	uint32_t serial;
	enum { REFRESH_IDLE, REFRESH_PROBING, REFRESH_TRANSFERRING } doing;
	uint64_t now_ms;                                    /*!< When this was taken. */
	uint64_t next_check_ms, expire_ms;                  /*!< By the same clock; REFRESH_NEVER: none. */
	uint64_t records, octets, memory;                   /*!< Of the version that serves or is kept. */
	uint32_t differences;                               /*!< That are kept, */
	uint64_t difference_octets;                         /*!< and their memory. */
	int64_t success_ms;                                 /*!< When it was last known to be current, by the same clock: below 0 before the machine began; 0: never. */
	unsigned primary_count;
	const primary_t *primary;                           /*!< Borrowed from the zone's stanza. */
	const primary_result_t *result;                     /*!< One for each primary. Borrowed. */
} refresh_status_t;

/*!
 * \brief Begins: a check is due at once. A version that the zone serves already is kept.
 *
 * \param zone    One hold, taken on success. \param stanza  One hold, taken on success; at least one primary.
 * \return Own, or NULL (no memory).
 */
refresh_t *refresh_new(zone_t *zone, stanza_t *stanza, const refresh_ops_t *ops, void *ctx);

/*!
 * \brief A version that outlived the process serves, before anything else is done with a machine that has none. It is not a new one,
 *        but others are told: they may not have been.
 *
 * EXPIRE goes on from the last check; a check is due at once.
 * \param snapshot  Taken. \param run  The differences that led to it, to be taken: others may ask for them.
 * \param checked_at  When it was last known to be current, seconds since the epoch.
 * \param left      Seconds that it may be served; bounded by its own EXPIRE.
 */
void refresh_restore(refresh_t *refresh, snapshot_t *snapshot, history_run_t *run, int64_t checked_at, uint32_t left);

/*! \brief The zone it keeps. Borrow. */
zone_t *refresh_zone(const refresh_t *refresh);

/*! \brief The stanza in force. Borrow. */
const stanza_t *refresh_stanza(const refresh_t *refresh);

/*! \brief The version that serves or is kept; NULL: none. Borrow, until the next call for this zone. */
snapshot_t *refresh_version(const refresh_t *refresh);

/*! \brief Serial of the version that serves or is kept; false: none. */
bool refresh_serial(const refresh_t *refresh, uint32_t *ret_serial);

/*! \brief What a primary's \a serial means for this zone; never PRIMARY_FAILED. */
primary_answer_t refresh_judge(const refresh_t *refresh, uint32_t serial);

/*!
 * \brief New settings (one hold, taken). With other primaries a check under way is given up and a new one begins; with the
 *        same ones snapshot, timers and work go on, clamped anew. Without memory the old ones stay, with an error line.
 */
void refresh_set_stanza(refresh_t *refresh, stanza_t *stanza);

/*! \brief The timer that was armed is due. */
void refresh_timer(refresh_t *refresh);

/*!
 * \brief The answer to ops->probe.
 *
 * \param serial  With an answer: the primary's.
 * \param expire  With an answer: seconds that the primary's own version is good for, or EXPIRE_NONE. It bounds ours, so
 *                that a chain of secondaries expires as one (RFC 7314, section 4).
 * \param reason  With PRIMARY_FAILED: words that end a log line.
 */
void refresh_probed(refresh_t *refresh, primary_answer_t answer, uint32_t serial, uint32_t expire, const char *reason);

/*!
 * \brief The version that an increment may begin at. NULL: there is none, or the whole zone is wanted, whatever its serial.
 *
 * While ops->transfer is under way. Borrow, until the next call for this zone; of the same serial until the transfer's end.
 */
snapshot_t *refresh_base(const refresh_t *refresh);

/*!
 * \brief The end of ops->transfer.
 *
 * \param snapshot  Taken: the new version, which is checked (serial: RFC 1982) and published; if a draft, made on top of
 *                  refresh_base(). NULL: failed with \a reason.
 * \param run       Taken: the differences that lead to it from refresh_base(). NULL or none: a full transfer.
 * \param expire    With a snapshot: as with refresh_probed(); EXPIRE_NONE: what was said there.
 */
void refresh_transferred(refresh_t *refresh, snapshot_t *snapshot, history_run_t *run, uint32_t expire, const char *reason);

/*!
 * \brief In place of it: the primary was asked for an increment and has nothing newer; its \a serial is ours or older.
 *
 * \param expire  As with refresh_transferred().
 */
void refresh_unchanged(refresh_t *refresh, uint32_t serial, uint32_t expire);

/*!
 * \brief In place of either: the primary was not asked, it is left alone until \a again_ms for what it did to other zones.
 *
 * A zone without a version asks again then: what was not tried has not failed, and does not make its pauses grow.
 * \param reason  As with refresh_probed().
 */
void refresh_left_alone(refresh_t *refresh, uint64_t again_ms, const char *reason);

/*!
 * \brief A NOTIFY came from \a from (already authorised; NULL: somebody). Begins a check with that primary first, in place of a
 *        scheduled one that still probes or waits; any other one under way is repeated afterwards. Within a second after one
 *        that was asked for in vain (nothing newer, or failed) it is put off until then, and those that come meanwhile are
 *        absorbed. A NOTIFY with the serial that serves does nothing.
 */
void refresh_notified(refresh_t *refresh, const struct sockaddr_storage *from, bool has_serial, uint32_t serial);

/*! \brief A command of the operator: at once, without jitter or regard to what NOTIFY waits for. */
void refresh_command(refresh_t *refresh, refresh_command_t command);

/*!
 * \brief A compact copy (amend_compact()) of the version \a was is there: it takes the place of that version, of which nobody is
 *        told. If another one serves by now, the differences that led there are applied to the copy first.
 *
 * \param copy  Taken.
 * \param way   Those differences, all that were published since \a was did; borrowed. NULL: they are not known.
 * \return false: the way to the present version is not known, or there is no memory; the copy is gone.
 */
bool refresh_compacted(refresh_t *refresh, const snapshot_t *was, snapshot_t *copy, const history_run_t *way);

/*! \brief Fills \a ret; borrowed parts are valid until the next call of any refresh_…() for this zone. */
void refresh_status(const refresh_t *refresh, refresh_status_t *ret);

/*! \brief Gives up what is under way (ops->cancel, timer off) and frees. What serves stays published. NULL is a no-op. */
void refresh_free(refresh_t *refresh);
