/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief What a client of the control socket has asked, for the rooms that answer it.
 */
#pragma once

#include <libknot/errcode.h>
#include <string.h>

#include "secondary/control_stream.h"

/*! One unit of a request. Texts are borrowed from it. */
typedef struct control_request {
	control_stream_t *stream;
	const char *command;
	const char *flags;        /*!< Letters, or NULL. */
	const char *filter;       /*!< Letters, or NULL: no choice was made. */
	const char *zone;         /*!< As the client wrote it; NULL: all zones. */
	const char *section;      /*!< Of statistics, or NULL: all. */
	const char *item;         /*!< Of the section, or NULL: all. */
	const char *type;         /*!< Detail of `status`, or NULL. */
} control_request_t;

/*! Flags of a request. */
#define CONTROL_FLAG_BLOCKING 'B'
#define CONTROL_FLAG_FORCE    'F'

static inline bool control_has_flag(const control_request_t *request, char flag)
{
	return request->flags != NULL && strchr(request->flags, flag) != NULL;
}

/*! \brief Was this part of the answer chosen? Without a choice all are. */
static inline bool control_is_wanted(const control_request_t *request, char filter)
{
	return request->filter == NULL || strchr(request->filter, filter) != NULL;
}

/*! \brief The answer is an error. \param zone  It is about, or NULL. \return KNOT_EOK, or the client has gone. */
static inline int control_send_error(const control_request_t *request, const char *zone, const char *text)
{
	const knot_ctl_data_t data = {
		[KNOT_CTL_IDX_CMD] = request->command,
		[KNOT_CTL_IDX_ERROR] = text,
		[KNOT_CTL_IDX_ZONE] = zone,
	};
	return control_stream_put(request->stream, KNOT_CTL_TYPE_DATA, &data);
}
