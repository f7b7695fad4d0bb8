/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Fuzzes what comes from primaries: the messages of a transfer, and the signatures on them.
 *
 * Input: octet mode; then u16 length and so many octets, again and again.
 *   MODE_SIGNED    the stream goes through tsig_client_verify(): each piece is an operation octet and its operands
 *   else           each piece is a message for transfer_in; MODE_HEADER: without header and question, its first octet is the
 *                  number of answers; MODE_BEGUN: SOA and NS have come in a message before; MODE_INCREMENT: an increment is
 *                  asked for, at a zone with some records, and with MODE_BEGUN both SOAs of one have come in a message before
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>

#include "secondary/transfer_in.h"
#include "secondary/tsig_client.h"

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

#define MODE_SIGNED 1
#define MODE_HEADER 2
#define MODE_BEGUN  4
#define MODE_INCREMENT 8

/*! Freed versions are waited for after so many runs. */
#define RUNS_PER_BARRIER 500

#define APEX     "\x07" "example"
#define HEADER   "\x00\x00\x84\x00\x00\x01\x00\x00\x00\x00\x00\x00"
#define QUESTION APEX "\x00\x00\xFC\x00\x01"
#define SOA      "\xC0\x0C\x00\x06\x00\x01\x00\x00\x0E\x10\x00\x18\xC0\x0C\xC0\x0C" \
                 "\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x05"
#define NS       "\xC0\x0C\x00\x02\x00\x01\x00\x00\x0E\x10\x00\x02\xC0\x0C"

#define HEADER_LEN   12
#define QUESTION_LEN 13
#define FIRST        HEADER QUESTION SOA NS
#define SOA_NEW      "\xC0\x0C\x00\x06\x00\x01\x00\x00\x0E\x10\x00\x18\xC0\x0C\xC0\x0C" \
                     "\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x05"
#define FIRST_IXFR   HEADER APEX "\x00\x00\xFB\x00\x01" SOA_NEW SOA
/*! The zone at which increments begin: some names with addresses. */
#define A(owner)     owner "\xC0\x0C\x00\x01\x00\x01\x00\x00\x0E\x10\x00\x04\x01\x02\x03\x04"
#define ZONE         FIRST A("\x01" "a") A("\x01" "b") A("\x01*") A("\x01" "a\x01" "b") SOA
#define ZONE_RECORDS 7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

typedef struct {
	const uint8_t *data;
	size_t len;
} piece_t;

static knot_tsig_key_t key;
static snapshot_t *base;

static snapshot_t *make_base(void)
{
	static const builder_limits_t limits = { 0 };
	uint8_t msg[] = ZONE;
	knot_wire_set_ancount(msg, ZONE_RECORDS);
	transfer_in_t *transfer = transfer_in_new((const uint8_t *)APEX, &limits, NULL);
	CHECK(transfer != NULL && transfer_in_message(transfer, msg, sizeof(msg) - 1) == TRANSFER_COMPLETE);
	snapshot_t *made = NULL;
	history_run_t run = { 0 };
	CHECK(transfer_in_finish(transfer, NULL, &made, &run) == KNOT_EOK);
	transfer_in_free(transfer);
	return made;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	rcu_register_thread();
	base = make_base();
	CHECK(knot_tsig_key_init(&key, "hmac-md5", "k", "c2VjcmV0") == KNOT_EOK);
	return 0;
}

/*! Takes the next piece of the input; false at its end. */
static bool next_piece(piece_t *input, piece_t *ret)
{
	if (input->len < 2) {
		return false;
	}
	size_t len = knot_wire_read_u16(input->data);
	input->data += 2;
	input->len -= 2;
	ret->len = len < input->len ? len : input->len;
	ret->data = input->data;
	input->data += ret->len;
	input->len -= ret->len;
	return true;
}

/* The messages of a transfer. */

/*! Makes the message of a piece, in memory of exactly its size. Own. */
static uint8_t *make_message(piece_t piece, unsigned mode, size_t *ret_len)
{
	bool has_header = mode & MODE_HEADER;
	size_t head = has_header ? HEADER_LEN + QUESTION_LEN : 0;
	size_t skip = has_header && piece.len > 0;
	*ret_len = head + piece.len - skip;
	uint8_t *msg = malloc(*ret_len > 0 ? *ret_len : 1);
	CHECK(msg != NULL);
	if (has_header) {
		memcpy(msg, HEADER QUESTION, head);
		knot_wire_write_u16(msg + head - 4, mode & MODE_INCREMENT ? KNOT_RRTYPE_IXFR : KNOT_RRTYPE_AXFR);
		knot_wire_set_ancount(msg, skip > 0 ? piece.data[0] : 0);
	}
	if (piece.len > skip) {
		memcpy(msg + head, piece.data + skip, piece.len - skip);
	}
	return msg;
}

static transfer_status_t feed(transfer_in_t *transfer, const uint8_t *msg, size_t len)
{
	transfer_status_t status = transfer_in_message(transfer, msg, len);
	CHECK((status == TRANSFER_FAILED) == (transfer_in_error(transfer)[0] != '\0'));
	uint32_t serial;
	CHECK(status != TRANSFER_COMPLETE || transfer_in_serial(transfer, &serial));
	return status;
}

static void finish(transfer_in_t *transfer)
{
	uint32_t serial;
	CHECK(transfer_in_serial(transfer, &serial));
	snapshot_t *snapshot = NULL;
	history_run_t run = { 0 };
	if (transfer_in_finish(transfer, base, &snapshot, &run) != KNOT_EOK) {
		CHECK(transfer_in_error(transfer)[0] != '\0' && snapshot == NULL && run.item == NULL);
		return;
	}
	CHECK(snapshot->soa.serial == serial && snapshot->records >= 2);
	if (transfer_in_kind(transfer) == TRANSFER_INCREMENT) {
		CHECK(run.count > 0 && run.item[0]->from == base->soa.serial && run.item[run.count - 1]->to == serial);
		CHECK(difference_is_sound(run.item[0]));
	} else {
		CHECK(run.count == 0 && snapshot->records <= transfer_in_counts(transfer).records);
	}
	history_run_clear(&run);
	snapshot_discard(snapshot);
}

/*! The message that MODE_BEGUN stands for. */
static transfer_status_t feed_first(transfer_in_t *transfer, unsigned mode)
{
	uint8_t full[] = FIRST, increment[] = FIRST_IXFR;
	uint8_t *first = mode & MODE_INCREMENT ? increment : full;
	knot_wire_set_ancount(first, 2);
	return feed(transfer, first, (mode & MODE_INCREMENT ? sizeof(increment) : sizeof(full)) - 1);
}

static void fuzz_stream(piece_t input, unsigned mode)
{
	builder_limits_t limits = { .max_octets = 1 << 20 };
	transfer_in_t *transfer = transfer_in_new((const uint8_t *)APEX, &limits, mode & MODE_INCREMENT ? base : NULL);
	CHECK(transfer != NULL);
	transfer_status_t status = TRANSFER_MORE;
	if (mode & MODE_BEGUN) {
		status = feed_first(transfer, mode);
		CHECK(status == TRANSFER_MORE);
	}

	piece_t piece;
	while (status == TRANSFER_MORE && next_piece(&input, &piece)) {
		size_t len;
		uint8_t *msg = make_message(piece, mode, &len);
		status = feed(transfer, msg, len);
		free(msg);
	}
	if (status == TRANSFER_COMPLETE) {
		finish(transfer);
	}
	transfer_in_free(transfer);
}

/* The signatures on messages. */

typedef struct {
	tsig_client_t *client;
	uint8_t digest[64];
	size_t digest_len;
	bool started;
	uint8_t *covered;    /*!< Unsigned messages since the last signature. */
	size_t covered_len;
} server_t;

static void cover(server_t *server, const uint8_t *msg, size_t len)
{
	server->covered = realloc(server->covered, server->covered_len + len);
	CHECK(server->covered != NULL);
	memcpy(server->covered + server->covered_len, msg, len);
	server->covered_len += len;
}

static void sign(server_t *server, uint8_t *msg, size_t *len, size_t max)
{
	size_t digest_len = sizeof(server->digest);
	int ret;
	if (server->started) {
		cover(server, msg, *len);
		ret = knot_tsig_sign_next(msg, len, max, server->digest, server->digest_len, server->digest, &digest_len, &key,
		                          server->covered, server->covered_len);
	} else {
		ret = knot_tsig_sign(msg, len, max, server->digest, server->digest_len, server->digest, &digest_len, &key, 0, 0);
	}
	CHECK(ret == KNOT_EOK);
	server->started = true;
	server->covered_len = 0;
}

static int verify(server_t *server, const uint8_t *msg, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	CHECK(copy != NULL);
	memcpy(copy, msg, len);
	size_t copy_len = len;
	int ret = tsig_client_verify(server->client, copy, &copy_len);
	CHECK(copy_len <= len);
	CHECK(ret == KNOT_EOK || (copy_len == len && memcmp(copy, msg, len) == 0));
	free(copy);
	return ret;
}

/*! One operation: 0 raw message, 1 genuine unsigned one, 2 genuine signed one, 3 that changed. False: the streams differ. */
static bool run_operation(server_t *server, piece_t piece)
{
	unsigned operation = piece.len > 0 ? piece.data[0] % 4 : 0;
	if (operation == 0) {
		size_t skip = piece.len > 0;
		return verify(server, piece.data + skip, piece.len - skip) != KNOT_EOK;
	}

	uint8_t msg[512] = FIRST;
	size_t len = sizeof(FIRST) - 1;
	knot_wire_set_ancount(msg, 2);
	if (operation == 1) {
		bool may = server->started;
		int ret = verify(server, msg, len);
		CHECK(may || ret == KNOT_ENOTSIG);
		if (ret == KNOT_EOK) {
			cover(server, msg, len);
		}
		return true;
	}

	sign(server, msg, &len, sizeof(msg));
	if (operation == 3 && piece.len >= 4) {
		uint8_t changed[512];
		memcpy(changed, msg, len);
		changed[knot_wire_read_u16(piece.data + 1) % len] ^= piece.data[3];
		if (memcmp(changed, msg, len) != 0 && verify(server, changed, len) == KNOT_EOK) {
			return false; /* The case of a name, or the type of the record: not for us to judge. */
		}
	}
	CHECK(verify(server, msg, len) == KNOT_EOK && tsig_client_finish(server->client) == KNOT_EOK);
	return true;
}

static void fuzz_signatures(piece_t input)
{
	server_t server = { .client = tsig_client_new(&key) };
	CHECK(server.client != NULL);
	uint8_t query[TRANSFER_QUERY_MAX];
	size_t len = transfer_in_query((const uint8_t *)APEX, NULL, true, query);
	CHECK(tsig_client_sign(server.client, query, &len, sizeof(query)) == KNOT_EOK);
	server.digest_len = 16;
	memcpy(server.digest, query + len - 6 - server.digest_len, server.digest_len);

	piece_t piece;
	while (next_piece(&input, &piece) && run_operation(&server, piece)) {
	}
	tsig_client_free(server.client);
	free(server.covered);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned runs;
	if (size == 0) {
		return 0;
	}
	piece_t input = { data + 1, size - 1 };
	if (data[0] & MODE_SIGNED) {
		fuzz_signatures(input);
	} else {
		fuzz_stream(input, data[0]);
	}
	if (++runs % RUNS_PER_BARRIER == 0) {
		rcu_barrier();
	}
	return 0;
}
