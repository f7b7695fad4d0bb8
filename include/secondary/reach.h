/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Does an upstream answer? Judged by what becomes of the questions put to it.
 *
 * A name whose own servers are dead is slow to fail, whoever is asked; so silence alone says little. After REACH_SILENCES_MAX silent
 * failures in a row without an answer between, what was answered last is asked for again (before any answer, the root's SOA). If
 * that is silent too, the upstream does not answer; any answer ends that.
 *
 *     answers --silent failures in a row--> to be verified --silent too--> lost --any answer--> answers
 *        ^-----------------an answer, or a failure at once--------/
 *
 * Pure: neither clock nor I/O. Thread: one.
 */
#pragma once

#include "secondary/cache.h"
#include "secondary/wire.h"

/*! Silence this often in a row is a reason to see whether the upstream answers anything. */
#define REACH_SILENCES_MAX 2

/*! A question. */
typedef struct {
	uint16_t type;            /*!< 0: none. */
	uint8_t len;
	uint8_t name[WIRE_NAME_MAX];
} reach_name_t;

typedef struct {
	bool lost;                /*!< It does not answer. */
	unsigned silences;        /*!< Silent failures in a row. */
	uint32_t silent_since;    /*!< Second of the first of them. */
	bool probed_answered;     /*!< The last probe was for what had an answer. */
	reach_name_t answered;    /*!< What had an answer last; the root's SOA before the first. */
	reach_name_t failed;      /*!< What failed last. */
} reach_t;

typedef enum {
	REACH_SAME,
	REACH_VERIFY,             /*!< reach_t.answered has to be asked for: its end decides. */
	REACH_LOST,               /*!< It does not answer, from now on. */
	REACH_BACK,               /*!< It answers again. */
} reach_change_t;

void reach_init(reach_t *reach);

/*! \brief The question of \a entry was answered. */
reach_change_t reach_answered(reach_t *reach, const cache_entry_t *entry);

/*!
 * \brief It was not.
 *
 * \param silent    Nobody may be there. A failure that comes at once, as SERVFAIL, shows that somebody is.
 * \param verifies  It was asked for REACH_VERIFY.
 */
reach_change_t reach_failed(reach_t *reach, const cache_entry_t *entry, bool silent, bool verifies, uint32_t now);

/*! \brief What to ask a lost one now; in turns, as what was answered once may have no answer any more. Borrow. */
const reach_name_t *reach_probe(reach_t *reach);
