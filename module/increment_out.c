/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Writing difference sequences into the messages of an outgoing increment.
 */
#include "secondary/increment_out.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

/*! Octets of sound RDATA of a type whose names may be compressed, at most: a SOA with two names and five integers. */
#define RDATA_NAMES_MAX (2 * WIRE_NAME_MAX + 20)

struct increment_out {
	history_run_t run;
	size_t step;              /*!< 0: the SOA that opens; 1 …: a difference; run.count + 1: the SOA that closes. */
	const uint8_t *at;        /*!< The next record of the step, */
	const uint8_t *end;       /*!< and where its last one ends. */
	stream_t stream;
	uint8_t rdata[RDATA_NAMES_MAX];
	uint8_t apex[];
};

/*! \brief The SOA to which all leads. */
static const uint8_t *newest_soa(const increment_out_t *increment)
{
	const difference_t *last = increment->run.item[increment->run.count - 1];
	return last->octets + last->added_at;
}

static void enter_step(increment_out_t *increment, size_t step)
{
	increment->step = step;
	if (step == 0 || step > increment->run.count) {
		difference_record_t soa;
		increment->at = newest_soa(increment);
		increment->end = difference_read(increment->at, &soa);
		return;
	}
	const difference_t *difference = increment->run.item[step - 1];
	increment->at = difference->octets;
	increment->end = difference->octets + difference->size;
}

increment_out_t *increment_out_new(const uint8_t *apex, size_t apex_len, history_run_t *run)
{
	assert(run->count > 0);
	increment_out_t *increment = malloc(sizeof(*increment) + apex_len);
	if (increment == NULL) {
		return NULL;
	}
	memset(increment, 0, sizeof(*increment));
	memcpy(increment->apex, apex, apex_len);
	increment->stream.apex = increment->apex;
	increment->stream.apex_len = apex_len;
	increment->run = *run;
	*run = (history_run_t) { 0 };
	enter_step(increment, 0);
	return increment;
}

uint32_t increment_out_serial(const increment_out_t *increment)
{
	return increment->run.item[increment->run.count - 1]->to;
}

/*! \brief Makes \a record's owner that of the stream. The records of an owner mostly stand together. */
static void enter_owner(increment_out_t *increment, const difference_record_t *record)
{
	stream_t *stream = &increment->stream;
	if (stream->owner == NULL || stream->owner_len != record->owner_len ||
	    memcmp(stream->owner, record->owner, record->owner_len) != 0) {
		stream_set_owner(stream, record->owner, record->owner_len);
	}
}

/*! \brief Writes the next record; false: no room. */
static bool put_record(increment_out_t *increment)
{
	difference_record_t record;
	const uint8_t *next = difference_read(increment->at, &record);
	enter_owner(increment, &record);
	if (wire_compresses(record.type) && record.rdlen <= sizeof(increment->rdata)) {
		memcpy(increment->rdata, record.rdata, record.rdlen);
		record.rdlen = stream_shorten_rdata(&increment->stream, record.type, increment->rdata, record.rdlen);
		record.rdata = increment->rdata;
	}
	if (!stream_put(&increment->stream, record.type, record.ttl, record.rdata, record.rdlen)) {
		return false;
	}
	increment->at = next;
	return true;
}

transfer_out_status_t increment_out_fill(increment_out_t *increment, message_t *msg)
{
	assert(msg->size <= msg->limit && msg->limit <= MESSAGE_MAX);
	stream_set_message(&increment->stream, msg);
	while (true) {
		while (increment->at < increment->end) {
			if (!put_record(increment)) {
				return msg->count[SECTION_ANSWER] > 0 ? TRANSFER_OUT_MORE : TRANSFER_OUT_TOO_LARGE;
			}
		}
		if (increment->step > increment->run.count) {
			return TRANSFER_OUT_COMPLETE;
		}
		enter_step(increment, increment->step + 1);
	}
}

void increment_out_free(increment_out_t *increment)
{
	if (increment != NULL) {
		history_run_clear(&increment->run);
		free(increment);
	}
}
