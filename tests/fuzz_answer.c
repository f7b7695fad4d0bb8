/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Fuzzes answer(): any question over fixed snapshots, with any room.
 *
 * Input: octet zone and DO; u16 QTYPE; u16 limit; then labels of QNAME below the apex, each an octet that picks a word of
 * the zones or, from 128 on, gives the length of a label that follows. Every message must parse with libknot, stay within
 * its limit, and agree with the one that had all the room there is.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/libknot.h>
#include <libzscanner/scanner.h>

#include "chain.h"
#include "secondary/answer.h"
#include "secondary/builder.h"

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SIG(type, labels) " RRSIG " type " 8 " labels " 3600 20300101000000 20200101000000 1 @ AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"

#define BODY \
	"ns1 A 192.0.2.1\nns1 AAAA 2001:db8::1\nns1" SIG("A", "2") \
	"www A 192.0.2.2\nwww" SIG("A", "2") "www MX 10 ns1\nwww MX 20 a.b.www\nwww MX 30 www\nwww MX 40 x.far.test.\n" \
	"www MX 50 y.x.far.test.\na.b.www A 192.0.2.3\nwww HTTPS 1 . alpn=h2\nwww SRV 0 0 1 a.b.www\n" \
	"a CNAME b\nb CNAME c.www\nc.www CNAME www\nc.www" SIG("CNAME", "3") "d CNAME a\ne CNAME f\nf CNAME e\ng CNAME far.test.\n" \
	"* MX 1 ns1\n* MX 2 a.*\n*" SIG("MX", "1") "*.www CNAME x.y\nx.*.ent TXT x\n*.loop CNAME x.loop\n*.cname CNAME y.dname\n" \
	"cut NS ns1.cut\ncut NS ns1\ncut NS x.far.test.\ncut NS *.cut\nns1.cut A 192.0.2.4\n*.cut A 192.0.2.5\nx.cut AAAA 2001:db8::2\n" \
	"cut DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000001\ncut" SIG("DS", "2") \
	"*.nswild NS ns1\n*.nswild NS x.nswild\n" \
	"dname DNAME www\ndname" SIG("DNAME", "2") "x.dname DNAME x.dname\nout DNAME far.test.\nroot DNAME .\n" \
	"mi MINFO a.mi b.a.mi\nmi MINFO . b.a.mi\nmi MINFO x.far.test. y.x.far.test.\n"

#define APEX "@ SOA ns1 admin.www 7 7200 900 1209600 300\n@" SIG("SOA", "1") "@ NS ns1\n@ NS x.far.test.\n@" SIG("NS", "1")

typedef enum { NO_CHAIN, NSEC, NSEC3 } chain_t;

static const struct {
	const char *apex;
	const char *text;
	chain_t chain;
} zones[] = {
	{ "example.", APEX BODY },
	{ "example.", APEX "@ DNSKEY 256 3 8 AAAA\n@" SIG("DNSKEY", "1") BODY },
	{ ".", APEX BODY "@ MX 1 .\n@ MX 2 a.b.www\n" },
	{ "old.test.", APEX "@ DNAME new.test.\n" },
	{ "www.cut.example.", APEX BODY "@ DNAME www\n" },
	{ "example.", APEX BODY, NSEC },
	{ "example.", APEX "@ NSEC3PARAM 1 0 1 ABCD\n" BODY, NSEC3 },
	{ ".", APEX BODY, NSEC },
	{ ".", APEX "@ NSEC3PARAM 1 0 1 ABCD\n" BODY, NSEC3 },
};

/*! What stands in the chains: not all of the zones' names, in canonical order. */
static const char *const chained[] = {
	"", "*", "a", "*.cname", "cut", "dname", "ent", "x.*.ent", "*.loop", "mi", "ns1", "*.nswild", "www", "*.www", "c.www",
};

#define CHAINED (sizeof(chained) / sizeof(chained[0]))

#define ZONES (sizeof(zones) / sizeof(zones[0]))

static const char *const words[] = {
	"ns1", "www", "a", "b", "c", "d", "e", "f", "g", "x", "y", "*", "ent", "loop", "cname", "cut", "nswild", "dname", "out",
	"root", "mi", "far", "test", "example", "WWW", "Cut", "\1", ".",
};

#define WORDS (sizeof(words) / sizeof(words[0]))

static snapshot_t *snapshots[ZONES];

static void add_record(zs_scanner_t *scanner)
{
	wire_name_lower(scanner->r_owner, scanner->r_owner_length);
	CHECK(builder_add(scanner->process.data, scanner->r_owner, scanner->r_owner_length, scanner->r_type, scanner->r_ttl,
	                  scanner->r_data, scanner->r_data_length) == KNOT_EOK);
}

static void stop(zs_scanner_t *scanner)
{
	fprintf(stderr, "line %llu: %s\n", (unsigned long long)scanner->line_counter, zs_strerror(scanner->error.code));
	abort();
}

static void scan(builder_t *builder, const char *apex, const char *text)
{
	zs_scanner_t *scanner = malloc(sizeof(*scanner));
	CHECK(scanner != NULL);
	CHECK(zs_init(scanner, apex, KNOT_CLASS_IN, 3600) == 0);
	CHECK(zs_set_input_string(scanner, text, strlen(text)) == 0);
	CHECK(zs_set_processing(scanner, add_record, stop, builder) == 0);
	(void)zs_parse_all(scanner);
	zs_deinit(scanner);
	free(scanner);
}

static void add_chain(builder_t *builder, const char *apex, chain_t chain)
{
	static const params_t params = { .iterations = 1, .salt = "abcd" };
	char text[16384] = "";
	size_t len = 0;
	if (chain == NSEC3) {
		(void)chain_text(text, &params, apex, chained, CHAINED);
	}
	for (unsigned i = 0; chain == NSEC && i < CHAINED; i++) {
		char owner[512], next[512];
		full_text(chained[i], apex, owner);
		full_text(chained[(i + 1) % CHAINED], apex, next);
		len += sprintf(text + len, "%s NSEC %s A\n%s" SIG("NSEC", "2"), owner, next, owner);
	}
	scan(builder, apex, text);
}

static snapshot_t *load(const char *apex_text, const char *text, chain_t chain)
{
	uint8_t apex[WIRE_NAME_MAX];
	CHECK(knot_dname_from_str(apex, apex_text, sizeof(apex)) != NULL);
	builder_t *builder = builder_new(apex, &(builder_limits_t) { 0 });
	CHECK(builder != NULL);
	scan(builder, apex_text, text);
	add_chain(builder, apex_text, chain);

	snapshot_t *snapshot = NULL;
	CHECK(builder_finish(builder, &snapshot) == KNOT_EOK);
	CHECK((snapshot->chain.param != NULL) == (chain == NSEC3) && snapshot->has_nsec == (chain == NSEC));
	return snapshot;
}

static uint16_t take_u16(const uint8_t **data, size_t *size)
{
	uint16_t value = 0;
	for (unsigned i = 0; i < 2 && *size > 0; i++, (*data)++, (*size)--) {
		value = value << 8 | **data;
	}
	return value;
}

/*! Makes QNAME of the rest of the input. */
static uint8_t make_name(const snapshot_t *snapshot, const uint8_t *data, size_t size, uint8_t *name)
{
	size_t len = 0;
	const size_t room = WIRE_NAME_MAX - snapshot->apex_len;
	while (size > 0) {
		const uint8_t *label = data + 1;
		size_t label_len = data[0] & 63;
		size_t taken = 1 + label_len;
		if (data[0] < 128) {
			label = (const uint8_t *)words[data[0] % WORDS];
			label_len = strlen(words[data[0] % WORDS]);
			taken = 1;
		}
		if (taken > size || label_len == 0 || len + 1 + label_len > room) {
			break;
		}
		name[len++] = label_len;
		memcpy(name + len, label, label_len);
		len += label_len;
		data += taken;
		size -= taken;
	}
	memcpy(name + len, snapshot->apex, snapshot->apex_len);
	return len + snapshot->apex_len;
}

typedef struct {
	message_t msg;
	answer_result_t result;
} response_t;

static void check_target(const snapshot_t *snapshot, const message_t *msg, const alias_chain_t *target)
{
	uint8_t name[WIRE_NAME_MAX];
	CHECK(target->len == section_read_name(msg, target->pos, name, NULL));
	CHECK(memcmp(name, target->name, target->len) == 0);
	CHECK(!wire_name_within(target->name, target->len, snapshot->apex, snapshot->apex_len));
}

static void check_parses(message_t *msg)
{
	knot_wire_set_ancount(msg->wire, msg->count[SECTION_ANSWER]);
	knot_wire_set_nscount(msg->wire, msg->count[SECTION_AUTHORITY]);
	knot_wire_set_arcount(msg->wire, msg->count[SECTION_ADDITIONAL]);
	knot_pkt_t *pkt = knot_pkt_new(msg->wire, msg->size, NULL);
	CHECK(pkt != NULL && knot_pkt_parse(pkt, 0) == KNOT_EOK);
	knot_pkt_free(pkt);
}

/*! Asks with room for \a limit octets behind the question, in memory of just that size. */
static response_t ask(const snapshot_t *snapshot, const uint8_t *name, uint8_t len, uint16_t qtype, bool dnssec, size_t limit)
{
	const size_t size = MESSAGE_HEADER + len + 4;
	limit = limit > MESSAGE_MAX - size ? MESSAGE_MAX : size + limit;
	response_t response = { .msg = { .size = size, .limit = limit, .qname_end = MESSAGE_HEADER + len } };
	uint8_t *wire = response.msg.wire = malloc(limit);
	CHECK(wire != NULL);
	memset(wire, 0, MESSAGE_HEADER);
	knot_wire_set_qr(wire);
	knot_wire_set_qdcount(wire, 1);
	memcpy(wire + MESSAGE_HEADER, name, len);
	knot_wire_write_u16(wire + MESSAGE_HEADER + len, qtype);
	knot_wire_write_u16(wire + MESSAGE_HEADER + len + 2, KNOT_CLASS_IN);

	uint8_t lower[WIRE_NAME_MAX];
	memcpy(lower, name, len);
	wire_name_lower(lower, len);
	const question_t question = { .qname = lower, .qname_len = len, .qtype = qtype, .dnssec = dnssec };
	alias_chain_t target;
	response.result = answer(snapshot, &question, &response.msg, &target);
	CHECK(response.msg.size <= limit);
	if (response.result.outcome == ANSWER_ALIAS) {
		check_target(snapshot, &response.msg, &target);
	}
	check_parses(&response.msg);
	free(wire);
	return response;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (snapshots[0] == NULL) {
		for (size_t i = 0; i < ZONES; i++) {
			snapshots[i] = load(zones[i].apex, zones[i].text, zones[i].chain);
		}
	}

	uint16_t head = size > 0 ? *data : 0;
	data += size > 0;
	size -= size > 0;
	const snapshot_t *snapshot = snapshots[(head >> 1) % ZONES];
	const uint16_t qtype = take_u16(&data, &size);
	const uint16_t limit = take_u16(&data, &size);
	uint8_t name[WIRE_NAME_MAX];
	const uint8_t len = make_name(snapshot, data, size, name);

	const response_t part = ask(snapshot, name, len, qtype, head & 1, limit);
	const response_t whole = ask(snapshot, name, len, qtype, head & 1, MESSAGE_MAX);
	CHECK(!whole.result.truncated);
	CHECK(part.msg.size <= whole.msg.size);
	for (unsigned i = 0; i < SECTIONS; i++) {
		CHECK(part.msg.count[i] <= whole.msg.count[i]);
	}
	if (!part.result.truncated) {
		CHECK(part.result.outcome == whole.result.outcome);
		CHECK(part.msg.count[SECTION_ANSWER] == whole.msg.count[SECTION_ANSWER]);
		CHECK(part.msg.count[SECTION_AUTHORITY] == whole.msg.count[SECTION_AUTHORITY]);
	}
	return 0;
}
