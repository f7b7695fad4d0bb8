/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Which records prove what, in zones with NSEC, NSEC3, and NSEC3 with opt-out.
 *
 * Expectations are in the words of the RFCs: "=name" is the record that matches a name, "<name" the one that covers it,
 * found by looking at the whole chain.
 */

#include "chain.h"
#include "message.h"
#include "secondary/answer.h"

#define TYPE(name) KNOT_RRTYPE_##name
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define APEX "example."
#define SIG(owner, type) owner " RRSIG " type " 13 2 3600 20300101000000 20200101000000 1 " APEX " AAAA\n"
#define DS " DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000001\n"

static const char *const records =
	"@ SOA ns1 admin 7 7200 900 1209600 300\n" SIG("@", "SOA")
	"@ NS ns1\n"
	"@ DNSKEY 256 3 13 AAAA\n" SIG("@", "DNSKEY")
	"ns1 A 192.0.2.1\n"
	"host A 192.0.2.2\n" SIG("host", "A")
	"srv.host TXT \"x\"\n"
	"two.ent TXT \"x\"\n"
	"*.wild A 192.0.2.3\n"
	"near.wild A 192.0.2.4\n"
	"e.*.entwild TXT \"x\"\n"
	"z.entwild A 192.0.2.5\n"
	"*.alias CNAME host\n"
	"*.lost CNAME nowhere\n"
	"*.ring CNAME a.ring\n"
	"*.far CNAME y.far.other.\n"
	"cname CNAME x.alias\n"
	"dn DNAME target\n"
	"old.dn TXT \"occluded\"\n"
	"a.target A 192.0.2.6\n"
	"safe NS ns1\nsafe" DS
	"risky NS ns.risky\n"
	"ns.risky A 192.0.2.7\n"
	"zz.risky A 192.0.2.8\n"
	"only.risks NS ns1\n";

/*! Names in a chain. */
typedef enum {
	OWNER,                    /* Of records: in all chains. */
	ENT,                      /* Empty non-terminal: in those of NSEC3. */
	CUT,                      /* Insecure delegation: not with opt-out. */
	ENT_OF_CUT,               /* Above such alone: with NSEC3, but not with opt-out. */
} kind_t;

static const struct {
	const char *name;
	kind_t kind;
} names[] = {
	/* In canonical order. */
	{ "", OWNER }, { "alias", ENT }, { "*.alias", OWNER }, { "cname", OWNER }, { "dn", OWNER }, { "ent", ENT },
	{ "two.ent", OWNER }, { "entwild", ENT }, { "*.entwild", ENT }, { "e.*.entwild", OWNER }, { "z.entwild", OWNER },
	{ "far", ENT }, { "*.far", OWNER }, { "host", OWNER }, { "srv.host", OWNER }, { "lost", ENT }, { "*.lost", OWNER },
	{ "ns1", OWNER }, { "ring", ENT }, { "*.ring", OWNER }, { "risks", ENT_OF_CUT }, { "only.risks", CUT }, { "risky", CUT },
	{ "safe", OWNER }, { "target", ENT }, { "a.target", OWNER }, { "wild", ENT }, { "*.wild", OWNER }, { "near.wild", OWNER },
};

typedef enum { NSEC, NSEC3, OPT_OUT, CHAINS } chain_t;

static const params_t params[CHAINS] = { [NSEC3] = { 3, "c0ffee", 0 }, [OPT_OUT] = { 0, "-", 1 } };
static snapshot_t *zones[CHAINS];

static bool is_in_chain(kind_t kind, chain_t chain)
{
	switch (kind) {
	case OWNER:      return true;
	case ENT:        return chain != NSEC;
	case CUT:        return chain != OPT_OUT;
	case ENT_OF_CUT: return chain == NSEC3;
	}
	return false;
}

static unsigned chain_names(chain_t chain, const char *ret_names[COUNT(names)])
{
	unsigned count = 0;
	for (unsigned i = 0; i < COUNT(names); i++) {
		if (is_in_chain(names[i].kind, chain)) {
			ret_names[count++] = names[i].name;
		}
	}
	return count;
}

static size_t nsec_text(char *dst, const char *const *list, unsigned count)
{
	size_t len = 0;
	for (unsigned i = 0; i < count; i++) {
		char owner[256], next[256];
		full_text(list[i], APEX, owner);
		full_text(list[(i + 1) % count], APEX, next);
		len += sprintf(dst + len, "%s NSEC %s A\n%s RRSIG NSEC 13 2 3600 20300101000000 20200101000000 1 " APEX " AAAA\n",
		               owner, next, owner);
	}
	return len;
}

/*! The zone with a chain, and further lines. */
static snapshot_t *make_zone(chain_t chain, const char *lines)
{
	static char text[65536];
	const char *list[COUNT(names)];
	unsigned count = chain_names(chain, list);
	size_t len = sprintf(text, "%s%s", records, lines);
	if (chain == NSEC) {
		(void)nsec_text(text + len, list, count);
	} else {
		len += sprintf(text + len, "@ NSEC3PARAM 1 0 %u %s\n", params[chain].iterations, params[chain].salt);
		(void)chain_text(text + len, &params[chain], APEX, list, count);
	}
	return support_zone(APEX, text);
}

/* ---- Expectations ---- */

/*! The owner of the NSEC that matches or covers a name: the last in canonical order that is not after it. */
static void nsec_cover(const char *name, const char *const *list, unsigned count, char *ret_owner)
{
	char full[512];
	uint8_t wire[WIRE_NAME_MAX], other[WIRE_NAME_MAX];
	full_text(name, APEX, full);
	support_name(full, wire);
	for (unsigned i = 0; i < count; i++) {
		char candidate[512];
		full_text(list[i], APEX, candidate);
		support_name(candidate, other);
		if (knot_dname_cmp(other, wire) <= 0) {
			strcpy(ret_owner, candidate);
		}
	}
}

/*! The owner that a word of an expectation stands for. */
static void expected_owner(chain_t chain, const char *word, char *ret_owner)
{
	const char *list[COUNT(names)];
	unsigned count = chain_names(chain, list);
	const char *name = strcmp(word + 1, "@") == 0 ? "" : word + 1;
	char full[512], match[512];
	full_text(name, APEX, full);
	if (chain == NSEC) {
		strcpy(match, full);
		nsec_cover(name, list, count, ret_owner);
	} else {
		char hash[HASH_TEXT];
		hash_text(&params[chain], full, hash);
		sprintf(match, "%s." APEX, hash);
		chain_cover(&params[chain], APEX, list, count, full, hash);
		sprintf(ret_owner, "%s." APEX, hash);
	}
	ck_assert_msg((strcmp(match, ret_owner) == 0) == (word[0] == '='), "the test is wrong about %s", word);
}

/*! How often a record of this owner and type, or a signature of it, is in the authority section. */
static unsigned count_records(const knot_pkt_t *pkt, const char *owner, uint16_t type, bool sigs)
{
	const knot_pktsection_t *section = knot_pkt_section(pkt, KNOT_AUTHORITY);
	unsigned count = 0;
	for (unsigned i = 0; i < section->count; i++) {
		const knot_rrset_t *rr = knot_pkt_rr(section, i);
		char *name = knot_dname_to_str_alloc(rr->owner);
		wire_name_lower((uint8_t *)name, strlen(name));
		uint16_t covered = rr->type == TYPE(RRSIG) ? knot_rrsig_type_covered(rr->rrs.rdata) : rr->type;
		count += covered == type && sigs == (rr->type == TYPE(RRSIG)) && (owner == NULL || strcmp(name, owner) == 0);
		free(name);
	}
	return count;
}

/*! The proofs are those of the expectation: each once, with its signature, and no others. */
static void check_proofs(const knot_pkt_t *pkt, chain_t chain, const char *expected, const char *what)
{
	const uint16_t type = chain == NSEC ? TYPE(NSEC) : TYPE(NSEC3);
	char words[256], seen[8][512];
	unsigned count = 0;
	strcpy(words, expected);
	char *state;
	for (char *word = strtok_r(words, " ", &state); word != NULL; word = strtok_r(NULL, " ", &state)) {
		char owner[512] = "";
		expected_owner(chain, word, owner);
		ck_assert_msg(count_records(pkt, owner, type, false) == 1, "%s: %s is not there once", what, word);
		ck_assert_msg(count_records(pkt, owner, type, true) == 1, "%s: %s is not signed", what, word);
		unsigned i = 0;
		while (i < count && strcmp(seen[i], owner) != 0) {
			i++;
		}
		if (i == count) {
			strcpy(seen[count++], owner);
		}
	}
	ck_assert_msg(count_records(pkt, NULL, type, false) == count, "%s: not %u proofs", what, count);
	ck_assert_uint_eq(count_records(pkt, NULL, chain == NSEC ? TYPE(NSEC3) : TYPE(NSEC), false), 0);
}

/* ---- Cases ---- */

static const struct {
	const char *qname;        /* Relative. */
	uint16_t qtype;
	answer_t outcome;
	const char *nsec;
	const char *nsec3;
	const char *opt_out;      /* NULL: as with NSEC3. */
} cases[] = {
	/* no such name */
	{ "nowhere", TYPE(A), ANSWER_NXDOMAIN, "<nowhere <*", "=@ <nowhere <*" },
	{ "!", TYPE(A), ANSWER_NXDOMAIN, "<! <*", "=@ <! <*" },
	{ "~", TYPE(A), ANSWER_NXDOMAIN, "<~ <*", "=@ <~ <*" },
	{ "x.host", TYPE(A), ANSWER_NXDOMAIN, "<x.host <*.host", "=host <x.host <*.host" },
	{ "a.b.c.HOST", TYPE(A), ANSWER_NXDOMAIN, "<a.b.c.host <*.host", "=host <c.host <*.host" },
	{ "x.ent", TYPE(A), ANSWER_NXDOMAIN, "<x.ent <*.ent", "=ent <x.ent <*.ent" },
	{ "x.near.wild", TYPE(A), ANSWER_NXDOMAIN, "<x.near.wild <*.near.wild", "=near.wild <x.near.wild <*.near.wild" },
	{ "x.*.wild", TYPE(A), ANSWER_NXDOMAIN, "<x.*.wild <*.*.wild", "=*.wild <x.*.wild <*.*.wild" },
	{ "dnx", TYPE(A), ANSWER_NXDOMAIN, "<dnx <*", "=@ <dnx <*" },           /* behind what is occluded */
	{ "riskz", TYPE(A), ANSWER_NXDOMAIN, "<riskz <*", "=@ <riskz <*" },     /* behind glue */
	{ "x.risks", TYPE(A), ANSWER_NXDOMAIN, "<x.risks <*.risks", "=risks <x.risks <*.risks", "=@ <risks <*" },
	/* no such type */
	{ "host", TYPE(MX), ANSWER_NODATA, "=host", "=host" },
	{ "", TYPE(DS), ANSWER_NODATA, "=@", "=@" },
	{ "ent", TYPE(A), ANSWER_NODATA, "<ent", "=ent" },
	{ "risks", TYPE(A), ANSWER_NODATA, "<risks", "=risks", "=@ <risks" },
	{ "risky", TYPE(DS), ANSWER_NODATA, "=risky", "=risky", "=@ <risky" },
	{ "only.risks", TYPE(DS), ANSWER_NODATA, "=only.risks", "=only.risks", "=@ <risks" },
	{ "*.wild", TYPE(MX), ANSWER_NODATA, "=*.wild", "=*.wild" },
	{ "*.entwild", TYPE(A), ANSWER_NODATA, "<*.entwild", "=*.entwild" },
	{ "cname", TYPE(MX), ANSWER_NODATA, "=host <x.alias", "=host <x.alias" },
	/* wildcards */
	{ "x.wild", TYPE(A), ANSWER_HIT, "<x.wild", "<x.wild" },
	{ "y.X.wild", TYPE(A), ANSWER_HIT, "<y.x.wild", "<x.wild" },
	{ "*.x.wild", TYPE(A), ANSWER_HIT, "<*.x.wild", "<x.wild" },
	{ "x.wild", TYPE(MX), ANSWER_NODATA, "=*.wild <x.wild", "=*.wild =wild <x.wild" },
	{ "x.entwild", TYPE(A), ANSWER_NODATA, "<*.entwild <x.entwild", "=*.entwild =entwild <x.entwild" },
	{ "*.wild", TYPE(A), ANSWER_HIT, "", "" },
	/* aliases */
	{ "x.alias", TYPE(A), ANSWER_HIT, "<x.alias", "<x.alias" },
	{ "x.alias", TYPE(CNAME), ANSWER_HIT, "<x.alias", "<x.alias" },
	{ "cname", TYPE(A), ANSWER_HIT, "<x.alias", "<x.alias" },
	{ "x.lost", TYPE(A), ANSWER_NXDOMAIN, "<x.lost <nowhere <*", "<x.lost =@ <nowhere <*" },
	{ "x.ring", TYPE(A), ANSWER_LOOP, "<x.ring <a.ring", "<x.ring <a.ring" },
	{ "x.far", TYPE(A), ANSWER_ALIAS, "<x.far", "<x.far" },
	{ "a.dn", TYPE(A), ANSWER_HIT, "", "" },
	{ "a.dn", TYPE(MX), ANSWER_NODATA, "=a.target", "=a.target" },
	{ "b.dn", TYPE(A), ANSWER_NXDOMAIN, "<b.target <*.target", "=target <b.target <*.target" },
	/* referrals */
	{ "safe", TYPE(DS), ANSWER_HIT, "", "" },
	{ "www.safe", TYPE(A), ANSWER_REFERRAL, "", "" },
	{ "risky", TYPE(A), ANSWER_REFERRAL, "=risky", "=risky", "=@ <risky" },
	{ "a.b.risky", TYPE(A), ANSWER_REFERRAL, "=risky", "=risky", "=@ <risky" },
	{ "x.only.risks", TYPE(DS), ANSWER_REFERRAL, "=only.risks", "=only.risks", "=@ <risks" },
};

/*! Returns the size of the message. */
static size_t check_whole(chain_t kind, const char *qname, uint16_t qtype, answer_t outcome, const char *expected)
{
	alias_chain_t chain;
	message_t msg = response_begin(qname, qtype, MESSAGE_MAX);
	answer_result_t result = response_answer(zones[kind], &msg, qtype, true, &chain);
	ck_assert_msg(result.outcome == outcome, "%s: outcome %u", qname, result.outcome);
	ck_assert(!result.truncated);
	ck_assert_int_eq(result.ede, KNOT_EDNS_EDE_NONE);
	knot_pkt_t *pkt = response_parse(&msg);
	check_proofs(pkt, kind, expected, qname);
	if (chain.steps == 0) {
		/* A name that an alias brings may end as another in the message by chance: libknot looks at all of them. */
		ck_assert_uint_le(msg.size, response_knot_size(pkt));
	}
	knot_pkt_free(pkt);
	free(msg.wire);
	return msg.size;
}

static void check_plain(chain_t kind, const char *qname, uint16_t qtype, answer_t outcome)
{
	alias_chain_t chain;
	message_t msg = response_begin(qname, qtype, MESSAGE_MAX);
	answer_result_t result = response_answer(zones[kind], &msg, qtype, false, &chain);
	ck_assert_int_eq(result.outcome, outcome);
	knot_pkt_t *pkt = response_parse(&msg);
	check_proofs(pkt, kind, "", qname);
	knot_pkt_free(pkt);
	free(msg.wire);
}

/*! What does not fit is told: a proof is no optional record. */
static void check_limits(chain_t kind, const char *qname, uint16_t qtype, size_t full, bool has_additional)
{
	uint8_t name[WIRE_NAME_MAX];
	for (size_t limit = MESSAGE_HEADER + support_name(qname, name) + 4; limit < full; limit += support_is_full() ? 1 : 9) {
		alias_chain_t chain;
		message_t msg = response_begin(qname, qtype, limit);
		answer_result_t result = response_answer(zones[kind], &msg, qtype, true, &chain);
		ck_assert(result.truncated || has_additional);
		knot_pkt_t *pkt = response_parse(&msg);
		knot_pkt_free(pkt);
		free(msg.wire);
	}
}

START_TEST(test_proofs)
{
	const chain_t kind = _i % CHAINS;
	ck_assert_int_eq(zones[kind]->chain.has_notes, kind != NSEC);
	zones[kind]->chain.has_notes &= _i < CHAINS; /* else every name is hashed */
	for (unsigned n = 0; n < COUNT(cases); n++) {
		const char *expected[CHAINS] = {
			cases[n].nsec, cases[n].nsec3, cases[n].opt_out != NULL ? cases[n].opt_out : cases[n].nsec3,
		};
		char qname[512];
		full_text(cases[n].qname, APEX, qname);
		size_t full = check_whole(kind, qname, cases[n].qtype, cases[n].outcome, expected[kind]);
		check_plain(kind, qname, cases[n].qtype, cases[n].outcome);
		check_limits(kind, qname, cases[n].qtype, full, cases[n].outcome == ANSWER_REFERRAL);
	}
}
END_TEST

/*! Owners of NSEC3 do not exist (RFC 5155, section 7.2.8), but for what else they own. */
START_TEST(test_hashed)
{
	char hash[HASH_TEXT], owner[64], expected[128];
	hash_text(&params[NSEC3], "host." APEX, hash);
	sprintf(owner, "%s." APEX, hash);
	sprintf(expected, "=@ <%s <*", hash);
	(void)check_whole(NSEC3, owner, TYPE(NSEC3), ANSWER_NXDOMAIN, expected);
	(void)check_whole(NSEC3, owner, TYPE(RRSIG), ANSWER_NXDOMAIN, expected);

	char line[96];
	sprintf(line, "%s TXT \"more\"\n", owner);
	support_free(zones[NSEC3]);
	zones[NSEC3] = make_zone(NSEC3, line);
	(void)check_whole(NSEC3, owner, TYPE(TXT), ANSWER_HIT, "");
}
END_TEST

/*! Names of 255 octets: their ancestors and the wildcards beside them are hashed, and fit. */
START_TEST(test_long)
{
	char label[64], qname[512], expected[1024];
	memset(label, 'l', 63);
	label[63] = '\0';
	for (unsigned last = 44; last <= 53; last++) {
		sprintf(qname, "%.*s.%s.%s.%s." APEX, (int)last, label, label, label, label);
		for (chain_t kind = 0; kind < CHAINS; kind++) {
			alias_chain_t chain;
			uint8_t name[WIRE_NAME_MAX];
			ck_assert_uint_le(support_name(qname, name), WIRE_NAME_MAX);
			message_t msg = response_begin(qname, TYPE(A), MESSAGE_MAX);
			ck_assert_int_eq(response_answer(zones[kind], &msg, TYPE(A), true, &chain).outcome, ANSWER_NXDOMAIN);
			sprintf(expected, "%s<%s <*", kind == NSEC ? "" : "=@ ", label);
			knot_pkt_t *pkt = response_parse(&msg);
			check_proofs(pkt, kind, expected, qname);
			knot_pkt_free(pkt);
			free(msg.wire);
		}
	}
}
END_TEST

/*! A zone whose chain has a record for \a name, which is not in the zone: it has the hash of another, as far as one can see. */
static snapshot_t *make_colliding(const char *name, const char *more)
{
	char hash[HASH_TEXT], lines[256];
	hash_text(&params[NSEC3], name, hash);
	sprintf(lines, "%s NSEC3 1 0 %u %s %s A\n%s", hash, params[NSEC3].iterations, params[NSEC3].salt, hash, more);
	return make_zone(NSEC3, lines);
}

START_TEST(test_collision)
{
	snapshot_t *zone = make_colliding("ghost." APEX, "");
	static const char *const qnames[] = { "ghost." APEX, "a.b.ghost." APEX };
	for (size_t i = 0; i < COUNT(qnames); i++) {
		alias_chain_t chain;
		message_t msg = response_begin(qnames[i], TYPE(A), MESSAGE_MAX);
		const size_t size = msg.size;
		answer_result_t result = response_answer(zone, &msg, TYPE(A), true, &chain);
		ck_assert_int_eq(result.outcome, ANSWER_COLLISION);
		ck_assert_uint_eq(result.rcode, KNOT_RCODE_SERVFAIL);
		ck_assert(!result.authoritative && !result.truncated);
		ck_assert_uint_eq(msg.size, size);
		ck_assert_uint_eq(msg.count[SECTION_AUTHORITY], 0);

		/* Who does not ask for proofs has his answer. */
		ck_assert_int_eq(response_answer(zone, &msg, TYPE(A), false, &chain).outcome, ANSWER_NXDOMAIN);
		free(msg.wire);
	}
	support_free(zone);
}
END_TEST

/*! One at the end of aliases, to which others' alias has led: nothing stands, and nobody reads names where aliases stood. */
START_TEST(test_collision_after_aliases)
{
	snapshot_t *zone = make_colliding("ghost." APEX, "*.near CNAME a.far\n");
	alias_chain_t chain;
	message_t msg = response_begin("a.near." APEX, TYPE(A), MESSAGE_MAX);
	const size_t size = msg.size;
	ck_assert_int_eq(response_answer(zone, &msg, TYPE(A), true, &chain).outcome, ANSWER_ALIAS);
	ck_assert_uint_eq(chain.steps, 2);

	chain.pos = chain.end;
	chain.len = support_name("ghost." APEX, chain.name);
	memcpy(msg.wire + chain.pos, chain.name, chain.len);
	chain.end += chain.len;
	msg.size = chain.end;
	msg.count[SECTION_AUTHORITY] = 0;
	const question_t question = { .qtype = TYPE(A), .dnssec = true };
	answer_result_t result = answer_continue(zone, &question, &msg, &chain);
	answer_prove_aliases(&question, &msg, &chain, &result);
	ck_assert_int_eq(result.outcome, ANSWER_COLLISION);
	ck_assert_uint_eq(result.rcode, KNOT_RCODE_SERVFAIL);
	ck_assert_uint_eq(chain.steps, 0);
	ck_assert_uint_eq(msg.size, size);
	ck_assert_uint_eq(msg.count[SECTION_ANSWER] + msg.count[SECTION_AUTHORITY], 0);
	free(msg.wire);
	support_free(zone);
}
END_TEST

/*! One that is met when the proofs of an answer are put anew. */
START_TEST(test_collision_in_proofs)
{
	snapshot_t *zone = make_colliding("a.near." APEX, "*.near CNAME a.far\n");
	alias_chain_t chain;
	message_t msg = response_begin("a.near." APEX, TYPE(A), MESSAGE_MAX);
	const size_t size = msg.size;
	answer_result_t result = response_answer(zone, &msg, TYPE(A), false, &chain);
	ck_assert_int_eq(result.outcome, ANSWER_ALIAS);

	const question_t question = { .qtype = TYPE(A), .dnssec = true };
	answer_prove_aliases(&question, &msg, &chain, &result);
	ck_assert_int_eq(result.outcome, ANSWER_COLLISION);
	ck_assert_uint_eq(result.rcode, KNOT_RCODE_SERVFAIL);
	ck_assert(!result.authoritative && !result.truncated);
	ck_assert_uint_eq(msg.size, size);
	free(msg.wire);
	support_free(zone);
}
END_TEST

static unsigned count_proofs(const snapshot_t *zone, const char *qname, uint16_t qtype, int *ret_ede)
{
	alias_chain_t chain;
	message_t msg = response_begin(qname, qtype, MESSAGE_MAX);
	*ret_ede = response_answer(zone, &msg, qtype, true, &chain).ede;
	knot_pkt_t *pkt = response_parse(&msg);
	unsigned count = count_records(pkt, NULL, TYPE(NSEC), false) + count_records(pkt, NULL, TYPE(NSEC3), false);
	ck_assert_uint_eq(count, count_records(pkt, NULL, TYPE(NSEC), true) + count_records(pkt, NULL, TYPE(NSEC3), true));
	knot_pkt_free(pkt);
	free(msg.wire);
	return count;
}

/*! Too many iterations: one record that shows them. */
START_TEST(test_costly)
{
	static const params_t costly = { NSEC3_ITERATIONS_MAX + 1, "-", 0 };
	const char *list[COUNT(names)];
	static char text[65536];
	size_t len = sprintf(text, "%s@ NSEC3PARAM 1 0 %u -\n", records, costly.iterations);
	(void)chain_text(text + len, &costly, APEX, list, chain_names(NSEC3, list));
	snapshot_t *zone = support_zone(APEX, text);
	for (size_t i = 0; i < COUNT(cases); i++) {
		char qname[512];
		int ede;
		full_text(cases[i].qname, APEX, qname);
		unsigned count = count_proofs(zone, qname, cases[i].qtype, &ede);
		ck_assert_uint_eq(count, cases[i].nsec3[0] != '\0');
		ck_assert_int_eq(ede, count > 0 ? KNOT_EDNS_EDE_NSEC3_ITERS : KNOT_EDNS_EDE_NONE);
	}
	support_free(zone);
}
END_TEST

/*! Signed, but with neither chain: the signed SOA alone. */
START_TEST(test_none)
{
	static const char *const lines[] = { "", "@ NSEC3PARAM 1 0 0 -\n", "@ NSEC3PARAM 2 0 0 -\n" };
	for (size_t i = 0; i < COUNT(lines); i++) {
		char text[8192];
		sprintf(text, "%s%s", records, lines[i]);
		snapshot_t *zone = support_zone(APEX, text);
		int ede;
		ck_assert_uint_eq(count_proofs(zone, "nowhere." APEX, TYPE(A), &ede), 0);
		ck_assert_uint_eq(count_proofs(zone, "x.wild." APEX, TYPE(A), &ede), 0);
		ck_assert_uint_eq(count_proofs(zone, "risky." APEX, TYPE(A), &ede), 0);
		support_free(zone);
	}
}
END_TEST

/*! A chain of NSEC with holes: the record before is sent, however far; and nothing is searched for ever. */
START_TEST(test_holes)
{
	static char text[65536];
	size_t len = sprintf(text, "%s@ NSEC a A\n", records);
	len += sprintf(text + len, SIG("@", "NSEC"));
	for (unsigned i = 0; i < 500; i++) {
		len += sprintf(text + len, "m%03u A 192.0.2.1\n", i);
	}
	snapshot_t *zone = support_zone(APEX, text);
	int ede;
	ck_assert_uint_eq(count_proofs(zone, "b." APEX, TYPE(A), &ede), 1);
	ck_assert_uint_eq(count_proofs(zone, "m499a." APEX, TYPE(A), &ede), 1); /* that of "*" alone */
	support_free(zone);
}
END_TEST

/*! Much glue: the cut stands in the chain, before all of it. */
START_TEST(test_glue)
{
	static char lines[65536];
	size_t len = 0;
	for (unsigned i = 0; i < 500; i++) {
		len += sprintf(lines + len, "g%03u.only.risks A 192.0.2.1\n", i);
	}
	support_free(zones[NSEC]);
	zones[NSEC] = make_zone(NSEC, lines);
	(void)check_whole(NSEC, "risksa." APEX, TYPE(A), ANSWER_NXDOMAIN, "<risksa <*");
}
END_TEST

/*! A wildcard's alias leads to another zone, whose wildcard answers: both are proved. */
START_TEST(test_zones)
{
	snapshot_t *other = support_zone("other.",
	                                 "@ SOA ns1 admin 1 1 1 1 1\n" SIG("@", "SOA") "@ NS ns1\n"
	                                 "@ NSEC *.far A\n" SIG("@", "NSEC")
	                                 "*.far A 192.0.2.9\n*.far NSEC @ A\n" SIG("*.far", "NSEC"));
	static const uint16_t types[] = { TYPE(A), TYPE(MX) };
	for (size_t i = 0; i < COUNT(types); i++) {
		alias_chain_t chain;
		message_t msg = response_begin("x.far." APEX, types[i], MESSAGE_MAX);
		ck_assert_int_eq(response_answer(zones[NSEC3], &msg, types[i], true, &chain).outcome, ANSWER_ALIAS);
		msg.size = chain.end;
		msg.count[SECTION_AUTHORITY] = 0;
		const question_t question = { .qtype = types[i], .dnssec = true };
		answer_result_t result = answer_continue(other, &question, &msg, &chain);
		ck_assert_int_eq(result.outcome, types[i] == TYPE(A) ? ANSWER_HIT : ANSWER_NODATA);

		knot_pkt_t *pkt = response_parse(&msg);
		char owner[512];
		expected_owner(NSEC3, "<x.far", owner);
		ck_assert_uint_eq(count_records(pkt, owner, TYPE(NSEC3), false), 1);
		ck_assert_uint_eq(count_records(pkt, NULL, TYPE(NSEC3), false), 1);
		ck_assert_uint_eq(count_records(pkt, "*.far.other.", TYPE(NSEC), false), 1);
		ck_assert_uint_eq(count_records(pkt, NULL, TYPE(NSEC), false), 1);
		knot_pkt_free(pkt);
		free(msg.wire);
	}
	support_free(other);
}
END_TEST

/*! NSEC beside an alias is the answer; where there is none, the alias is followed. */
START_TEST(test_nsec_of_alias)
{
	(void)check_whole(NSEC, "cname." APEX, TYPE(NSEC), ANSWER_HIT, "");
	(void)check_whole(NSEC, "x.alias." APEX, TYPE(NSEC), ANSWER_HIT, "<x.alias");
	(void)check_whole(NSEC3, "cname." APEX, TYPE(NSEC), ANSWER_NODATA, "=host <x.alias");
}
END_TEST

static void enter(void)
{
	rcu_register_thread();
	for (chain_t kind = 0; kind < CHAINS; kind++) {
		zones[kind] = make_zone(kind, "");
	}
}

static void leave(void)
{
	for (chain_t kind = 0; kind < CHAINS; kind++) {
		support_free(zones[kind]);
	}
	rcu_unregister_thread();
}

int main(void)
{
	TCase *tcase = tcase_create("denial");
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, enter, leave);
	tcase_add_loop_test(tcase, test_proofs, 0, 2 * CHAINS); /* with notes and without */
	tcase_add_test(tcase, test_hashed);
	tcase_add_test(tcase, test_long);
	tcase_add_test(tcase, test_collision);
	tcase_add_test(tcase, test_collision_after_aliases);
	tcase_add_test(tcase, test_collision_in_proofs);
	tcase_add_test(tcase, test_costly);
	tcase_add_test(tcase, test_none);
	tcase_add_test(tcase, test_holes);
	tcase_add_test(tcase, test_glue);
	tcase_add_test(tcase, test_zones);
	tcase_add_test(tcase, test_nsec_of_alias);

	Suite *suite = suite_create("denial");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
