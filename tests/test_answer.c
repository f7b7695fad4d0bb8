/* SPDX-License-Identifier: GPL-3.0-or-later */
/*!
 * \file
 *
 * \brief Answers of small zones, record by record, at every limit of size.
 */

#include <stdio.h>

#include "message.h"
#include "secondary/answer.h"

#define TYPE(name) KNOT_RRTYPE_##name
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct {
	const char *qname;
	uint16_t qtype;
	answer_t outcome;
	const char *answer;       /* Relative to the zone, as are the other two. */
	const char *authority;
	const char *additional;
	const char *target;
} case_t;

#define DENIED "@ 300 SOA ns1 admin 7 7200 900 1209600 300\n"

/* ---- A zone with something of everything ---- */

static const char *const plain_zone =
	"@ SOA ns1 admin 7 7200 900 1209600 300\n"
	"@ NS ns1\n"
	"@ NS NS2.Other.Test.\n"
	"@ MX 10 mail\n"
	"@ MX 20 MAIL\n"
	"@ MX 30 mx.other.test.\n"
	"@ A 192.0.2.80\n"
	"ns1 A 192.0.2.1\n"
	"ns1 AAAA 2001:db8::1\n"
	"mail A 192.0.2.25\n"
	"www A 192.0.2.81\n"
	"www A 192.0.2.82\n"
	"www TXT \"hello\"\n"
	"a.b.ent TXT \"deep\"\n"
	"_sip._tcp SRV 0 0 5060 mail\n"
	"_sip._tcp SRV 0 0 5061 Mail\n"
	"_sip._tcp SRV 0 0 5060 sip.other.test.\n"
	"svc HTTPS 1 svc alpn=h2\n"
	"svc HTTPS 2 pool\n"
	"svc A 192.0.2.90\n"
	"pool HTTPS 1 . alpn=h3\n"
	"pool SVCB 1 .\n"
	"pool AAAA 2001:db8::90\n"
	"mi MINFO admin.www mail.www\n"
	"ptr PTR www\n"
	"unk TYPE65280 \\# 4 0A000001\n"
	/* aliases */
	"alias CNAME www\n"
	"Chain CNAME Chain2\n"
	"chain2 CNAME chain3.sub.www\n"
	"chain3.sub.www CNAME www\n"
	"dangling CNAME nowhere\n"
	"toent CNAME ent\n"
	"tocut CNAME x.y.child\n"
	"outside CNAME Target.Other.Test.\n"
	"out2 CNAME outside\n"
	"loop1 CNAME loop2\n"
	"loop2 CNAME loop3\n"
	"loop3 CNAME LOOP2\n"
	"self CNAME self\n"
	"tomx CNAME mx.deep.www\n"
	"mx.deep.www MX 5 relay.deep.www\n"
	"mx.deep.www MX 6 mx.deep.www\n"
	"relay.deep.www A 192.0.2.77\n"
	/* cuts */
	"child NS ns1.child\n"
	"child NS ns2.x.child\n"
	"child NS ns1\n"
	"child NS ns9.other.test.\n"
	"ns1.child A 192.0.2.11\n"
	"ns1.child AAAA 2001:db8::11\n"
	"ns2.x.child A 192.0.2.12\n"
	"*.child TXT \"occluded\"\n"
	"deep.child NS ns.deep.child\n"
	"sib NS ns1.child\n"
	"sib DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000001\n"
	"selfns NS selfns\n"
	"selfns A 192.0.2.13\n"
	/* DNAME */
	"dn DNAME www\n"
	"dn A 192.0.2.14\n"
	"dnout DNAME Far.Test.\n"
	"dnroot DNAME .\n"
	"dnloop DNAME x.dnloop\n"
	"hosts NS a.b.hosts\nhosts NS c.b.hosts\nhosts NS d.a.b.hosts\nhosts NS e.d.a.b.hosts\n"
	"dna DNAME x.dnb\n"
	"dnb DNAME dna\n"
	"dnent DNAME www\n"
	"x.y.dnent TXT \"occluded\"\n"
	"dnlong DNAME l23456789012345678901234567890123456789012345678901234567890123."
	             "l23456789012345678901234567890123456789012345678901234567890123.www\n"
	"t.www A 192.0.2.15\n"
	"t.www TXT \"t\"\n";

#define WWW_A      "www A 192.0.2.81\nwww A 192.0.2.82\n"
#define MAIL       "mail A 192.0.2.25\n"
#define NS1        "ns1 A 192.0.2.1\nns1 AAAA 2001:db8::1\n"
#define CHILD_NS   "child NS ns1.child\nchild NS ns2.x.child\nchild NS ns1\nchild NS ns9.other.test.\n"
#define CHILD_GLUE "ns1.child A 192.0.2.11\nns1.child AAAA 2001:db8::11\nns2.x.child A 192.0.2.12\n"
#define LONG63     "l23456789012345678901234567890123456789012345678901234567890123"

static const case_t plain_cases[] = {
	/* matches, RFC 1034 section 6.2 in kind */
	{ "www.example.", TYPE(A), ANSWER_HIT, WWW_A },
	{ "WwW.eXample.", TYPE(TXT), ANSWER_HIT, "www TXT \"hello\"\n" },
	{ "example.", TYPE(A), ANSWER_HIT, "@ A 192.0.2.80\n" },
	{ "example.", TYPE(SOA), ANSWER_HIT, "@ SOA ns1 admin 7 7200 900 1209600 300\n" },
	{ "example.", TYPE(NS), ANSWER_HIT, "@ NS ns1\n@ NS NS2.Other.Test.\n", NULL, NS1 },
	{ "example.", TYPE(MX), ANSWER_HIT, "@ MX 10 mail\n@ MX 20 MAIL\n@ MX 30 mx.other.test.\n", NULL, MAIL },
	{ "_SIP._tcp.example.", TYPE(SRV), ANSWER_HIT,
	  "_sip._tcp SRV 0 0 5060 mail\n_sip._tcp SRV 0 0 5061 Mail\n_sip._tcp SRV 0 0 5060 sip.other.test.\n", NULL, MAIL },
	{ "svc.example.", TYPE(HTTPS), ANSWER_HIT, "svc HTTPS 1 svc alpn=h2\nsvc HTTPS 2 pool\n", NULL,
	  "svc A 192.0.2.90\npool AAAA 2001:db8::90\npool HTTPS 1 . alpn=h3\n" },
	{ "pool.example.", TYPE(SVCB), ANSWER_HIT, "pool SVCB 1 .\n" },
	{ "mi.example.", TYPE(MINFO), ANSWER_HIT, "mi MINFO admin.www mail.www\n" },
	{ "ptr.example.", TYPE(PTR), ANSWER_HIT, "ptr PTR www\n" },
	{ "unk.example.", 65280, ANSWER_HIT, "unk TYPE65280 \\# 4 0A000001\n" },
	/* ANY: one RRset; nothing is signed */
	{ "www.example.", TYPE(ANY), ANSWER_HIT, WWW_A },
	{ "alias.example.", TYPE(ANY), ANSWER_HIT, "alias CNAME www\n" },
	{ "ent.example.", TYPE(ANY), ANSWER_NODATA, NULL, DENIED },
	{ "www.example.", TYPE(RRSIG), ANSWER_NODATA, NULL, DENIED },
	/* negatives */
	{ "www.example.", TYPE(AAAA), ANSWER_NODATA, NULL, DENIED },
	{ "ent.example.", TYPE(A), ANSWER_NODATA, NULL, DENIED },
	{ "b.ent.example.", TYPE(TXT), ANSWER_NODATA, NULL, DENIED },
	{ "x.ent.example.", TYPE(A), ANSWER_NXDOMAIN, NULL, DENIED },
	{ "nowhere.example.", TYPE(A), ANSWER_NXDOMAIN, NULL, DENIED },
	{ "a.b.c.WWW.example.", TYPE(A), ANSWER_NXDOMAIN, NULL, DENIED },
	{ "example.", TYPE(DS), ANSWER_NODATA, NULL, DENIED },
	{ "www.example.", 0, ANSWER_NODATA, NULL, DENIED },
	/* aliases */
	{ "alias.example.", TYPE(A), ANSWER_HIT, "alias CNAME www\n" WWW_A },
	{ "alias.example.", TYPE(CNAME), ANSWER_HIT, "alias CNAME www\n" },
	{ "alias.example.", TYPE(RRSIG), ANSWER_NODATA, NULL, DENIED },
	{ "alias.example.", TYPE(NSEC), ANSWER_NODATA, NULL, DENIED },
	{ "alias.example.", TYPE(MX), ANSWER_NODATA, "alias CNAME www\n", DENIED },
	{ "CHAIN.example.", TYPE(TXT), ANSWER_HIT,
	  "chain CNAME Chain2\nchain2 CNAME chain3.sub.www\nchain3.sub.www CNAME www\nwww TXT \"hello\"\n" },
	{ "dangling.example.", TYPE(A), ANSWER_NXDOMAIN, "dangling CNAME nowhere\n", DENIED },
	{ "toent.example.", TYPE(A), ANSWER_NODATA, "toent CNAME ent\n", DENIED },
	{ "tocut.example.", TYPE(A), ANSWER_REFERRAL, "tocut CNAME x.y.child\n", CHILD_NS, CHILD_GLUE NS1 },
	{ "outside.example.", TYPE(A), ANSWER_ALIAS, "outside CNAME Target.Other.Test.\n", NULL, NULL, "target.other.test." },
	{ "out2.example.", TYPE(A), ANSWER_ALIAS, "out2 CNAME outside\noutside CNAME Target.Other.Test.\n", NULL, NULL,
	  "target.other.test." },
	{ "outside.example.", TYPE(ANY), ANSWER_HIT, "outside CNAME Target.Other.Test.\n" },
	{ "loop1.example.", TYPE(A), ANSWER_LOOP, "loop1 CNAME loop2\nloop2 CNAME loop3\nloop3 CNAME LOOP2\n" },
	{ "loop3.example.", TYPE(A), ANSWER_LOOP, "loop3 CNAME LOOP2\nloop2 CNAME loop3\n" },
	{ "self.example.", TYPE(A), ANSWER_LOOP, "self CNAME self\n" },
	{ "tomx.example.", TYPE(MX), ANSWER_HIT,
	  "tomx CNAME mx.deep.www\nmx.deep.www MX 5 relay.deep.www\nmx.deep.www MX 6 mx.deep.www\n", NULL,
	  "relay.deep.www A 192.0.2.77\n" },
	/* referrals */
	{ "child.example.", TYPE(A), ANSWER_REFERRAL, NULL, CHILD_NS, CHILD_GLUE NS1 },
	{ "child.example.", TYPE(NS), ANSWER_REFERRAL, NULL, CHILD_NS, CHILD_GLUE NS1 },
	{ "child.example.", TYPE(ANY), ANSWER_REFERRAL, NULL, CHILD_NS, CHILD_GLUE NS1 },
	{ "NS1.Child.example.", TYPE(A), ANSWER_REFERRAL, NULL, CHILD_NS, CHILD_GLUE NS1 },
	{ "a.b.child.example.", TYPE(TXT), ANSWER_REFERRAL, NULL, CHILD_NS, CHILD_GLUE NS1 },
	{ "x.deep.child.example.", TYPE(DS), ANSWER_REFERRAL, NULL, CHILD_NS, CHILD_GLUE NS1 },
	{ "sib.example.", TYPE(A), ANSWER_REFERRAL, NULL, "sib NS ns1.child\n",
	  "ns1.child A 192.0.2.11\nns1.child AAAA 2001:db8::11\n" },
	{ "selfns.example.", TYPE(A), ANSWER_REFERRAL, NULL, "selfns NS selfns\n", "selfns A 192.0.2.13\n" },
	{ "sib.example.", TYPE(DS), ANSWER_HIT,
	  "sib DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000001\n" },
	{ "child.example.", TYPE(DS), ANSWER_NODATA, NULL, DENIED },
	/* DNAME */
	{ "dn.example.", TYPE(A), ANSWER_HIT, "dn A 192.0.2.14\n" },
	{ "dn.example.", TYPE(AAAA), ANSWER_NODATA, NULL, DENIED },
	{ "dn.example.", TYPE(DNAME), ANSWER_HIT, "dn DNAME www\n" },
	{ "t.dn.example.", TYPE(A), ANSWER_HIT, "dn DNAME www\nt.dn CNAME t.www\nt.www A 192.0.2.15\n" },
	{ "t.dn.example.", TYPE(TXT), ANSWER_HIT, "dn DNAME www\nt.dn CNAME t.www\nt.www TXT \"t\"\n" },
	{ "t.dn.example.", TYPE(CNAME), ANSWER_HIT, "dn DNAME www\nt.dn CNAME t.www\n" },
	{ "x.dn.example.", TYPE(A), ANSWER_NXDOMAIN, "dn DNAME www\nx.dn CNAME x.www\n", DENIED },
	{ "x.y.dnout.example.", TYPE(A), ANSWER_ALIAS, "dnout DNAME Far.Test.\nx.y.dnout CNAME x.y.Far.Test.\n", NULL, NULL,
	  "x.y.far.test." },
	{ "x.dnroot.example.", TYPE(A), ANSWER_ALIAS, "dnroot DNAME .\nx.dnroot CNAME x.\n", NULL, NULL, "x." },
	/* only the closest encloser's counts (RFC 6672, section 3.2) */
	{ "z.dnent.example.", TYPE(A), ANSWER_NXDOMAIN, "dnent DNAME www\nz.dnent CNAME z.www\n", DENIED },
	{ "z.y.dnent.example.", TYPE(A), ANSWER_NXDOMAIN, NULL, DENIED },
	{ LONG63 "." LONG63 ".dnlong.example.", TYPE(A), ANSWER_OVERFLOW,
	  "dnlong DNAME " LONG63 "." LONG63 ".www\n" },
	{ "q.dnlong.example.", TYPE(A), ANSWER_NXDOMAIN, "dnlong DNAME " LONG63 "." LONG63 ".www\n"
	  "q.dnlong CNAME q." LONG63 "." LONG63 ".www\n", DENIED },

	/* RDATA that ends in QNAME, and names after it that end in what is left out then */
	{ "ns1.example.", TYPE(TXT), ANSWER_NODATA, NULL, DENIED },
	{ "x.NS1.example.", TYPE(A), ANSWER_NXDOMAIN, NULL, DENIED },
	{ "self.example.", TYPE(A), ANSWER_LOOP, "self CNAME self\n" },
	{ "q.a.b.hosts.example.", TYPE(A), ANSWER_REFERRAL, NULL,
	  "hosts NS a.b.hosts\nhosts NS c.b.hosts\nhosts NS d.a.b.hosts\nhosts NS e.d.a.b.hosts\n" },
	{ "c.b.hosts.example.", TYPE(A), ANSWER_REFERRAL, NULL,
	  "hosts NS a.b.hosts\nhosts NS c.b.hosts\nhosts NS d.a.b.hosts\nhosts NS e.d.a.b.hosts\n" },
};

/* Here libknot finds endings that are those of an alias before. */
static const case_t larger_cases[] = {
	{ "www.example.dnroot.example.", TYPE(A), ANSWER_HIT, "dnroot DNAME .\nwww.example.dnroot CNAME www\n" WWW_A },
	{ "mx.deep.www.example.dnroot.example.", TYPE(MX), ANSWER_HIT,
	  "dnroot DNAME .\nmx.deep.www.example.dnroot CNAME mx.deep.www\n"
	  "mx.deep.www MX 5 relay.deep.www\nmx.deep.www MX 6 mx.deep.www\n", NULL, "relay.deep.www A 192.0.2.77\n" },
};

/* ---- Wildcards: RFC 4592, section 2.2.1, in another zone ---- */

static const char *const wild_zone =
	"@ SOA ns1 admin 7 7200 900 1209600 300\n"
	"@ NS ns1\n"
	"ns1 A 192.0.2.1\n"
	"* TXT \"wild\"\n"
	"* MX 10 post\n"
	"* MX 20 *\n"
	"post A 192.0.2.2\n"
	"sub.* TXT \"not wild\"\n"
	"host1 A 192.0.2.3\n"
	"_ssh._tcp.host1 SRV 0 0 22 host1\n"
	"_ssh._tcp.host2 SRV 0 0 22 any\n"
	"cut NS ns.cut\n"
	"cut NS ns.anything\n"
	"*.cut TXT \"occluded\"\n"
	"e.*.entwild TXT \"below\"\n"
	"*.alias CNAME host1\n"
	"*.aliaswild CNAME foo.bar\n"
	"*.aliasout CNAME a.test.\n"
	"*.round CNAME x.round\n"
	"*.ping CNAME p.pong\n"
	"*.pong CNAME p.ping\n"
	"*.addr A 192.0.2.4\n"
	"mx MX 1 one.addr\n"
	"mx MX 2 two.addr\n"
	"mx MX 3 ONE.addr\n"
	"*.deep MX 10 m.deep\n"
	"*.deep MX 11 m.x.deep\n"
	"todeep CNAME a.b.deep\n"
	"*.nswild NS ns1\n"
	"short DNAME test.\n"
	"*.ds DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000001\n";

#define WILD_MX(name) name " MX 10 post\n" name " MX 20 *\n"

/* The only asterisk makes a wildcard that has no records itself. */
static const char *const below_zone =
	"@ SOA ns1 admin 7 7200 900 1209600 300\n"
	"@ NS ns1.test.\n"
	"e.* TXT \"below\"\n";

static const case_t below_cases[] = {
	{ "q.below.test.", TYPE(TXT), ANSWER_NODATA, NULL, DENIED },
	{ "e.*.below.test.", TYPE(TXT), ANSWER_HIT, "e.* TXT \"below\"\n" },
};

static const case_t wild_cases[] = {
	{ "host3.wild.test.", TYPE(MX), ANSWER_HIT, WILD_MX("host3"), NULL, "post A 192.0.2.2\n" },
	{ "host3.wild.test.", TYPE(A), ANSWER_NODATA, NULL, DENIED },
	{ "Foo.Bar.wild.test.", TYPE(TXT), ANSWER_HIT, "foo.bar TXT \"wild\"\n" },
	{ "host1.wild.test.", TYPE(MX), ANSWER_NODATA, NULL, DENIED },
	{ "sub.*.wild.test.", TYPE(MX), ANSWER_NODATA, NULL, DENIED },
	{ "sub.*.wild.test.", TYPE(TXT), ANSWER_HIT, "sub.* TXT \"not wild\"\n" },
	{ "_telnet._tcp.host1.wild.test.", TYPE(SRV), ANSWER_NXDOMAIN, NULL, DENIED },
	{ "host.cut.wild.test.", TYPE(A), ANSWER_REFERRAL, NULL, "cut NS ns.cut\ncut NS ns.anything\n" },
	{ "ghost.*.wild.test.", TYPE(MX), ANSWER_NXDOMAIN, NULL, DENIED },
	{ "*.wild.test.", TYPE(TXT), ANSWER_HIT, "* TXT \"wild\"\n" },
	{ "*.wild.test.", TYPE(MX), ANSWER_HIT, WILD_MX("*"), NULL, "post A 192.0.2.2\n" },
	{ "host2.wild.test.", TYPE(TXT), ANSWER_NODATA, NULL, DENIED },
	{ "_ssh._tcp.host2.wild.test.", TYPE(SRV), ANSWER_HIT, "_ssh._tcp.host2 SRV 0 0 22 any\n" },
	{ "q.entwild.wild.test.", TYPE(TXT), ANSWER_NODATA, NULL, DENIED },
	{ "e.q.entwild.wild.test.", TYPE(TXT), ANSWER_NODATA, NULL, DENIED },
	{ "e.*.entwild.wild.test.", TYPE(TXT), ANSWER_HIT, "e.*.entwild TXT \"below\"\n" },
	{ "q.alias.wild.test.", TYPE(A), ANSWER_HIT, "q.alias CNAME host1\nhost1 A 192.0.2.3\n" },
	{ "q.alias.wild.test.", TYPE(CNAME), ANSWER_HIT, "q.alias CNAME host1\n" },
	{ "a.b.alias.wild.test.", TYPE(ANY), ANSWER_HIT, "a.b.alias CNAME host1\n" },
	{ "q.aliaswild.wild.test.", TYPE(MX), ANSWER_HIT, "q.aliaswild CNAME foo.bar\n" WILD_MX("foo.bar"), NULL,
	  "post A 192.0.2.2\n" },
	{ "q.aliasout.wild.test.", TYPE(A), ANSWER_ALIAS, "q.aliasout CNAME a.test.\n", NULL, NULL, "a.test." },
	{ "q.round.wild.test.", TYPE(A), ANSWER_LOOP, "q.round CNAME x.round\nx.round CNAME x.round\n" },
	{ "q.ping.wild.test.", TYPE(A), ANSWER_LOOP,
	  "q.ping CNAME p.pong\np.pong CNAME p.ping\np.ping CNAME p.pong\n" },
	{ "mx.wild.test.", TYPE(MX), ANSWER_HIT, "mx MX 1 one.addr\nmx MX 2 two.addr\nmx MX 3 ONE.addr\n", NULL,
	  "one.addr A 192.0.2.4\ntwo.addr A 192.0.2.4\n" },
	{ "A.B.deep.wild.test.", TYPE(MX), ANSWER_HIT, "a.b.deep MX 10 m.deep\na.b.deep MX 11 m.x.deep\n" },
	{ "todeep.wild.test.", TYPE(MX), ANSWER_HIT,
	  "todeep CNAME a.b.deep\na.b.deep MX 10 m.deep\na.b.deep MX 11 m.x.deep\n" },
	/* the target's end that stands in full is shorter than the apex */
	{ "mx.wild.short.wild.test.", TYPE(MX), ANSWER_HIT,
	  "short DNAME test.\nmx.wild.short CNAME mx\nmx MX 1 one.addr\nmx MX 2 two.addr\nmx MX 3 ONE.addr\n", NULL,
	  "one.addr A 192.0.2.4\ntwo.addr A 192.0.2.4\n" },
	{ "q.nswild.wild.test.", TYPE(A), ANSWER_REFERRAL, NULL, "*.nswild NS ns1\n", "ns1 A 192.0.2.1\n" },
	{ "q.ds.wild.test.", TYPE(DS), ANSWER_HIT,
	  "q.ds DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000001\n" },
};

/* ---- The root zone ---- */

static const char *const root_zone =
	". SOA a.root-servers.net. nstld.verisign-grs.com. 7 7200 900 1209600 300\n"
	". NS a.root-servers.net.\n"
	". NS b.root-servers.net.\n"
	". NS M.Root-Servers.NET.\n"
	". MX 0 a.root-servers.net.\n"
	". MX 1 .\n"
	"a.root-servers.net. A 192.0.2.1\n"
	"b.root-servers.net. AAAA 2001:db8::2\n"
	"com. NS a.gtld-servers.net.\n"
	"com. NS ns.com.\n"
	"a.gtld-servers.net. A 192.0.2.3\n"
	"ns.com. A 192.0.2.4\n"
	"al. CNAME a.root-servers.net.\n"
	"dn. DNAME net.\n"
	"*.wc. MX 1 x.wc.\n";

#define ROOT_SOA(ttl) ". " ttl " SOA a.root-servers.net. nstld.verisign-grs.com. 7 7200 900 1209600 300\n"

static const case_t root_cases[] = {
	{ ".", TYPE(SOA), ANSWER_HIT, ROOT_SOA("3600") },
	{ ".", TYPE(NS), ANSWER_HIT, ". NS a.root-servers.net.\n. NS b.root-servers.net.\n. NS M.Root-Servers.NET.\n", NULL,
	  "a.root-servers.net. A 192.0.2.1\nb.root-servers.net. AAAA 2001:db8::2\n" },
	{ ".", TYPE(MX), ANSWER_HIT, ". MX 0 a.root-servers.net.\n. MX 1 .\n", NULL, "a.root-servers.net. A 192.0.2.1\n" },
	{ ".", TYPE(A), ANSWER_NODATA, NULL, ROOT_SOA("300") },
	{ "nope.", TYPE(A), ANSWER_NXDOMAIN, NULL, ROOT_SOA("300") },
	{ "Verisign-GRS.com.", TYPE(A), ANSWER_REFERRAL, NULL, "com. NS a.gtld-servers.net.\ncom. NS ns.com.\n",
	  "a.gtld-servers.net. A 192.0.2.3\nns.com. A 192.0.2.4\n" },
	{ "al.", TYPE(A), ANSWER_HIT, "al. CNAME a.root-servers.net.\na.root-servers.net. A 192.0.2.1\n" },
	{ "b.root-servers.dn.", TYPE(AAAA), ANSWER_HIT,
	  "dn. DNAME net.\nb.root-servers.dn. CNAME b.root-servers.net.\nb.root-servers.net. AAAA 2001:db8::2\n" },
	{ "q.wc.", TYPE(MX), ANSWER_HIT, "q.wc. MX 1 x.wc.\n" },
	{ "net.", TYPE(A), ANSWER_NODATA, NULL, ROOT_SOA("300") },
	{ "a.net.", TYPE(A), ANSWER_NXDOMAIN, NULL, ROOT_SOA("300") },
};

/* ---- A DNAME at the apex ---- */

static const char *const dname_zone =
	"@ SOA ns1.test. admin 7 7200 900 1209600 300\n"
	"@ NS ns1.test.\n"
	"@ DNAME NEW.test.\n"
	"@ A 192.0.2.1\n";

static const case_t dname_cases[] = {
	{ "old.test.", TYPE(A), ANSWER_HIT, "@ A 192.0.2.1\n" },
	{ "old.test.", TYPE(TXT), ANSWER_NODATA, NULL, "@ 300 SOA ns1.test. admin 7 7200 900 1209600 300\n" },
	{ "a.B.old.test.", TYPE(A), ANSWER_ALIAS, "@ DNAME NEW.test.\na.b CNAME a.b.NEW.test.\n", NULL, NULL, "a.b.new.test." },
};

/* ---- A zone with signatures ---- */

#define SIG(type, labels) " RRSIG " type " 8 " labels " 3600 20300101000000 20200101000000 1 example. AAAA\n"

static const char *const signed_zone =
	"@ SOA ns1 admin 7 7200 900 1209600 300\n"
	"@" SIG("SOA", "1")
	"@ NS ns1\n"
	"@" SIG("NS", "1")
	"@ DNSKEY 256 3 8 AAAA\n"
	"@" SIG("DNSKEY", "1")
	"ns1 A 192.0.2.1\n"
	"ns1" SIG("A", "2")
	"ns1 AAAA 2001:db8::1\n"
	"ns1" SIG("AAAA", "2")
	"*.w A 192.0.2.2\n"
	"*.w" SIG("A", "2")
	"secure NS ns.secure\n"
	"secure DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000001\n"
	"secure" SIG("DS", "2")
	"ns.secure A 192.0.2.3\n"
	"insecure NS ns1\n"
	"al CNAME ns1\n"
	"al" SIG("CNAME", "2")
	"dn DNAME w\n"
	"dn" SIG("DNAME", "2")
	"stray TXT \"x\"\n"
	"stray" SIG("MX", "2");

#define SIGNED_DENIED DENIED "@ 300" SIG("SOA", "1")

static const case_t signed_cases[] = {
	{ "ns1.example.", TYPE(A), ANSWER_HIT, "ns1 A 192.0.2.1\nns1" SIG("A", "2") },
	{ "ns1.example.", TYPE(ANY), ANSWER_HIT, "ns1 A 192.0.2.1\nns1" SIG("A", "2") },
	{ "ns1.example.", TYPE(RRSIG), ANSWER_HIT, "ns1" SIG("A", "2") },
	{ "al.example.", TYPE(RRSIG), ANSWER_HIT, "al" SIG("CNAME", "2") },
	{ "stray.example.", TYPE(RRSIG), ANSWER_HIT, "stray" SIG("MX", "2") },
	{ "stray.example.", TYPE(MX), ANSWER_NODATA, NULL, SIGNED_DENIED },
	{ "stray.example.", TYPE(TXT), ANSWER_HIT, "stray TXT \"x\"\n" },
	{ "example.", TYPE(NS), ANSWER_HIT, "@ NS ns1\n@" SIG("NS", "1"), NULL,
	  "ns1 A 192.0.2.1\nns1" SIG("A", "2") "ns1 AAAA 2001:db8::1\nns1" SIG("AAAA", "2") },
	{ "q.w.example.", TYPE(A), ANSWER_HIT, "q.w A 192.0.2.2\nq.w" SIG("A", "2") },
	{ "q.w.example.", TYPE(TXT), ANSWER_NODATA, NULL, SIGNED_DENIED },
	{ "nope.example.", TYPE(TXT), ANSWER_NXDOMAIN, NULL, SIGNED_DENIED },
	{ "a.secure.example.", TYPE(A), ANSWER_REFERRAL, NULL,
	  "secure NS ns.secure\n"
	  "secure DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000001\nsecure" SIG("DS", "2"),
	  "ns.secure A 192.0.2.3\n" },
	{ "insecure.example.", TYPE(A), ANSWER_REFERRAL, NULL, "insecure NS ns1\n",
	  "ns1 A 192.0.2.1\nns1" SIG("A", "2") "ns1 AAAA 2001:db8::1\nns1" SIG("AAAA", "2") },
	{ "al.example.", TYPE(A), ANSWER_HIT, "al CNAME ns1\nal" SIG("CNAME", "2") "ns1 A 192.0.2.1\nns1" SIG("A", "2") },
	{ "x.dn.example.", TYPE(A), ANSWER_HIT,
	  "dn DNAME w\ndn" SIG("DNAME", "2") "x.dn CNAME x.w\nx.w A 192.0.2.2\nx.w" SIG("A", "2") },
};

static const case_t unasked_cases[] = {
	{ "ns1.example.", TYPE(A), ANSWER_HIT, "ns1 A 192.0.2.1\n" },
	{ "ns1.example.", TYPE(RRSIG), ANSWER_HIT, "ns1" SIG("A", "2") },
	{ "a.secure.example.", TYPE(A), ANSWER_REFERRAL, NULL, "secure NS ns.secure\n", "ns.secure A 192.0.2.3\n" },
	{ "nope.example.", TYPE(TXT), ANSWER_NXDOMAIN, NULL, DENIED },
};

static const struct {
	const char *apex;
	const char *const *zone;
	const case_t *cases;
	size_t count;
	bool dnssec;
	bool is_larger;           /* Than what libknot makes of the same records; others must not be. */
} tables[] = {
	{ "example.", &plain_zone, plain_cases, COUNT(plain_cases), false },
	{ "example.", &plain_zone, larger_cases, COUNT(larger_cases), false, true },
	{ "example.", &plain_zone, plain_cases, COUNT(plain_cases), true },
	{ "wild.test.", &wild_zone, wild_cases, COUNT(wild_cases), false },
	{ "below.test.", &below_zone, below_cases, COUNT(below_cases), false },
	{ ".", &root_zone, root_cases, COUNT(root_cases), false },
	{ "old.test.", &dname_zone, dname_cases, COUNT(dname_cases), false },
	{ "example.", &signed_zone, signed_cases, COUNT(signed_cases), true },
	{ "example.", &signed_zone, unasked_cases, COUNT(unasked_cases), false },
};

/* ---- */

/*! The three sections of a message as text. */
typedef struct {
	char *text[SECTIONS];
} sections_t;

static sections_t read_sections(message_t *msg, bool is_compact)
{
	knot_pkt_t *pkt = response_parse(msg);
	if (is_compact) {
		char qname[KNOT_DNAME_TXT_MAXLEN + 1];
		ck_assert_msg(msg->size <= response_knot_size(pkt), "%s %u: %zu octets, libknot has %zu",
		              knot_dname_to_str(qname, knot_pkt_qname(pkt), sizeof(qname)), knot_pkt_qtype(pkt),
		              msg->size, response_knot_size(pkt));
	}
	sections_t sections;
	for (unsigned i = 0; i < SECTIONS; i++) {
		sections.text[i] = response_text(pkt, KNOT_ANSWER + i);
	}
	knot_pkt_free(pkt);
	return sections;
}

static void free_sections(sections_t *sections)
{
	for (unsigned i = 0; i < SECTIONS; i++) {
		free(sections->text[i]);
	}
}

/*! Is each line of \a part, all sorted, a line of \a whole? */
static bool is_part(const char *part, const char *whole)
{
	while (*part != '\0') {
		const char *end = strchr(part, '\n') + 1;
		size_t len = end - part;
		while (strncmp(part, whole, len) != 0) {
			whole = strchr(whole, '\n');
			if (whole++ == NULL) {
				return false;
			}
		}
		whole += len;
		part = end;
	}
	return true;
}

static uint8_t expected_rcode(answer_t outcome)
{
	switch (outcome) {
	case ANSWER_NXDOMAIN: return KNOT_RCODE_NXDOMAIN;
	case ANSWER_OVERFLOW: return KNOT_RCODE_YXDOMAIN;
	default:              return KNOT_RCODE_NOERROR;
	}
}

static void check_target(const case_t *c, const message_t *msg, const alias_chain_t *target)
{
	uint8_t name[WIRE_NAME_MAX];
	size_t len = support_name(c->target, name);
	ck_assert_uint_eq(target->len, len);
	ck_assert_mem_eq(target->name, name, len);
	ck_assert_uint_eq(section_read_name(msg, target->pos, name, NULL), len);
	ck_assert_mem_eq(target->name, name, len);
}

/*! Asks with all room there is; returns the size of the answer. */
static size_t check_whole(const snapshot_t *snapshot, const char *apex, const case_t *c, bool dnssec, bool is_compact,
                          sections_t *ret_whole)
{
	alias_chain_t target;
	message_t msg = response_begin(c->qname, c->qtype, MESSAGE_MAX);
	answer_result_t result = response_answer(snapshot, &msg, c->qtype, dnssec, &target);
	ck_assert_msg(result.outcome == c->outcome, "%s %u: outcome %u", c->qname, c->qtype, result.outcome);
	ck_assert_int_eq(result.rcode, expected_rcode(c->outcome));
	ck_assert_int_eq(result.authoritative, c->outcome != ANSWER_REFERRAL || c->answer != NULL);
	ck_assert(!result.truncated);
	if (c->outcome == ANSWER_ALIAS) {
		check_target(c, &msg, &target);
	}

	*ret_whole = read_sections(&msg, is_compact && c->outcome != ANSWER_LOOP);
	const char *expected[] = { c->answer, c->authority, c->additional };
	for (unsigned i = 0; i < SECTIONS; i++) {
		char *text = support_text(apex, expected[i] != NULL ? expected[i] : "");
		wire_name_lower((uint8_t *)text, strlen(text)); /* see response_text() */
		ck_assert_msg(strcmp(ret_whole->text[i], text) == 0, "%s %u:\n%sexpected:\n%s", c->qname, c->qtype,
		              ret_whole->text[i], text);
		free(text);
	}
	free(msg.wire);
	return msg.size;
}

/*! An answer that had less room: it is whole, or says that it is not, and has nothing that the whole answer has not. */
static void check_part(message_t *msg, answer_result_t result, const case_t *c, const sections_t *whole)
{
	sections_t sections = read_sections(msg, false);
	for (unsigned i = 0; i < SECTIONS; i++) {
		ck_assert_msg(is_part(sections.text[i], whole->text[i]), "not in the whole answer:\n%s", sections.text[i]);
	}
	if (!result.truncated) {
		ck_assert_int_eq(result.outcome, c->outcome);
		ck_assert_str_eq(sections.text[SECTION_ANSWER], whole->text[SECTION_ANSWER]);
		ck_assert_str_eq(sections.text[SECTION_AUTHORITY], whole->text[SECTION_AUTHORITY]);
	}
	free_sections(&sections);
}

/*! Asks with every limit from the question's size to the \a full size. */
static void check_limits(const snapshot_t *snapshot, const case_t *c, bool dnssec, size_t full, const sections_t *whole)
{
	uint8_t name[WIRE_NAME_MAX];
	size_t last_size = 0;
	for (size_t limit = MESSAGE_HEADER + support_name(c->qname, name) + 4; limit <= full; limit++) {
		alias_chain_t target;
		message_t msg = response_begin(c->qname, c->qtype, limit);
		answer_result_t result = response_answer(snapshot, &msg, c->qtype, dnssec, &target);
		ck_assert_uint_le(msg.size, limit);
		ck_assert_int_eq(result.rcode, expected_rcode(result.outcome));
		if (msg.size != last_size || limit == full) {
			check_part(&msg, result, c, whole);
			last_size = msg.size;
		}
		ck_assert(limit < full || (!result.truncated && msg.size == full));
		free(msg.wire);
	}
}

START_TEST(test_table)
{
	snapshot_t *snapshot = support_zone(tables[_i].apex, *tables[_i].zone);
	for (size_t i = 0; i < tables[_i].count; i++) {
		const case_t *c = &tables[_i].cases[i];
		sections_t whole;
		size_t full = check_whole(snapshot, tables[_i].apex, c, tables[_i].dnssec, !tables[_i].is_larger, &whole);
		check_limits(snapshot, c, tables[_i].dnssec, full, &whole);
		free_sections(&whole);
	}
	support_free(snapshot);
}
END_TEST

/*! In-domain glue is complete or TC is set; what is beyond may be missing (RFC 9471). */
START_TEST(test_glue)
{
	snapshot_t *snapshot = support_zone("example.", plain_zone);
	bool seen_bare = false;
	bool seen_partial = false;
	for (size_t limit = 100; limit < 400; limit++) {
		alias_chain_t target;
		message_t msg = response_begin("www.child.example.", KNOT_RRTYPE_A, limit);
		answer_result_t result = response_answer(snapshot, &msg, KNOT_RRTYPE_A, false, &target);
		ck_assert_int_eq(result.outcome, ANSWER_REFERRAL);
		unsigned glue = msg.count[SECTION_ADDITIONAL];
		ck_assert_int_eq(result.truncated, msg.count[SECTION_AUTHORITY] == 0 || glue < 3);
		seen_bare |= msg.count[SECTION_AUTHORITY] > 0 && glue == 0;
		seen_partial |= glue == 4;
		free(msg.wire);
	}
	ck_assert(seen_bare && seen_partial);
	support_free(snapshot);
}
END_TEST

/*! Owners repeat the question's spelling: they are pointers to it. */
START_TEST(test_case)
{
	snapshot_t *snapshot = support_zone("example.", plain_zone);
	alias_chain_t target;
	message_t msg = response_begin("wWw.eXAMPLe.", KNOT_RRTYPE_A, 512);
	(void)response_answer(snapshot, &msg, KNOT_RRTYPE_A, false, &target);
	knot_pkt_t *pkt = response_parse(&msg);
	const knot_rrset_t *rr = knot_pkt_rr(knot_pkt_section(pkt, KNOT_ANSWER), 1);
	ck_assert_mem_eq(rr->owner, "\3wWw\7eXAMPLe", 13);
	ck_assert_uint_eq(msg.size, 12 + 17 + 2 * 16);
	knot_pkt_free(pkt);
	free(msg.wire);
	support_free(snapshot);
}
END_TEST

/*! A chain of ANSWER_CHAIN_MAX aliases is followed to its end, one more is not. */
START_TEST(test_chain)
{
	char zone[4096];
	char *to = stpcpy(zone, "@ SOA ns1 admin 7 7200 900 1209600 300\n@ NS ns.test.\n");
	for (unsigned i = 0; i <= ANSWER_CHAIN_MAX; i++) {
		to += sprintf(to, "c%u CNAME c%u\n", i, i + 1);
	}
	sprintf(to, "c%u TXT \"end\"\n", ANSWER_CHAIN_MAX + 1);
	snapshot_t *snapshot = support_zone("example.", zone);

	alias_chain_t target;
	message_t msg = response_begin("c1.example.", KNOT_RRTYPE_TXT, MESSAGE_MAX);
	answer_result_t result = response_answer(snapshot, &msg, KNOT_RRTYPE_TXT, false, &target);
	ck_assert_int_eq(result.outcome, ANSWER_HIT);
	ck_assert_uint_eq(msg.count[SECTION_ANSWER], ANSWER_CHAIN_MAX + 1);
	knot_pkt_free(response_parse(&msg));
	free(msg.wire);

	msg = response_begin("c0.example.", KNOT_RRTYPE_TXT, MESSAGE_MAX);
	result = response_answer(snapshot, &msg, KNOT_RRTYPE_TXT, false, &target);
	ck_assert_int_eq(result.outcome, ANSWER_LOOP);
	ck_assert_uint_eq(msg.count[SECTION_ANSWER], ANSWER_CHAIN_MAX);
	knot_pkt_free(response_parse(&msg));
	free(msg.wire);
	support_free(snapshot);
}
END_TEST

/*! DNAMEs that lead back end at once, at the longest name, or with the longest chain; each is sent once. */
START_TEST(test_dname_growth)
{
	snapshot_t *snapshot = support_zone("example.", plain_zone);
	static const struct {
		const char *qname;
		answer_t outcome;
		unsigned dnames, cnames;
	} cases[] = {
		{ "q.dnloop.example.", ANSWER_LOOP, 1, 1 },
		{ LONG63 "." LONG63 "." LONG63 ".q234567890123456789012345678901234567890123456.dnloop.example.", ANSWER_OVERFLOW, 1, 0 },
		{ "q.dna.example.", ANSWER_LOOP, 2, ANSWER_CHAIN_MAX },
		{ LONG63 "." LONG63 "." LONG63 ".q2345678901234567890123456789012345.dna.example.", ANSWER_OVERFLOW, 2, 14 },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		alias_chain_t target;
		message_t msg = response_begin(cases[i].qname, KNOT_RRTYPE_A, MESSAGE_MAX);
		answer_result_t result = response_answer(snapshot, &msg, KNOT_RRTYPE_A, false, &target);
		ck_assert_int_eq(result.outcome, cases[i].outcome);
		knot_pkt_t *pkt = response_parse(&msg);
		const knot_pktsection_t *records = knot_pkt_section(pkt, KNOT_ANSWER);
		unsigned dnames = 0;
		for (unsigned j = 0; j < records->count; j++) {
			dnames += knot_pkt_rr(records, j)->type == KNOT_RRTYPE_DNAME;
		}
		ck_assert_uint_eq(dnames, cases[i].dnames);
		ck_assert_uint_eq(records->count - dnames, cases[i].cnames);
		knot_pkt_free(pkt);
		free(msg.wire);
	}
	support_free(snapshot);
}
END_TEST

/*! The longest names: 255 octets asked for, expanded from a wildcard, in RDATA, as a further owner. */
START_TEST(test_long_names)
{
	char name[3][WIRE_NAME_MAX + 1];
	char zone[4096];
	for (int i = 0; i < 3; i++) {
		uint8_t wire[WIRE_NAME_MAX];
		char full[WIRE_NAME_MAX + 1];
		(void)snprintf(name[i], sizeof(name[i]), "%c%.62s." LONG63 "." LONG63 ".%.48s.wild", 'a' + i, LONG63, LONG63);
		(void)snprintf(full, sizeof(full), "%.245s.example.", name[i]);
		ck_assert_uint_eq(support_name(full, wire), WIRE_NAME_MAX);
	}
	(void)snprintf(zone, sizeof(zone), "@ SOA ns1 admin 7 7200 900 1209600 300\n@ NS ns.test.\n%s MX 1 %s\n%s MX 2 %s\n"
	               "%s A 192.0.2.1\n*%s CNAME %s\n", name[0], name[1], name[0], name[0], name[1], name[0] + 63,
	               name[0]);
	snapshot_t *snapshot = support_zone("example.", zone);

	char qname[2][WIRE_NAME_MAX + 1];
	char answers[2][2048];
	char additional[512];
	(void)snprintf(qname[0], sizeof(qname[0]), "%.245s.example.", name[0]);
	(void)snprintf(qname[1], sizeof(qname[1]), "%.245s.example.", name[2]);
	(void)snprintf(answers[0], sizeof(answers[0]), "%s MX 1 %s\n%s MX 2 %s\n", name[0], name[1], name[0], name[0]);
	(void)snprintf(answers[1], sizeof(answers[1]), "%s CNAME %s\n%.1200s", name[2], name[0], answers[0]);
	(void)snprintf(additional, sizeof(additional), "%s A 192.0.2.1\n", name[1]);
	for (int i = 0; i < 2; i++) {
		const case_t c = { qname[i], KNOT_RRTYPE_MX, ANSWER_HIT, answers[i], NULL, additional };
		sections_t whole;
		size_t full = check_whole(snapshot, "example.", &c, false, true, &whole);
		check_limits(snapshot, &c, false, full, &whole);
		free_sections(&whole);
	}
	support_free(snapshot);
}
END_TEST

/*! RRsets of many records: one that fills a TCP message, with hosts far beyond the reach of pointers, and one that cannot. */
START_TEST(test_large)
{
	size_t size = 1 << 20;
	char *zone = malloc(size);
	char *to = stpcpy(zone, "@ SOA ns1 admin 7 7200 900 1209600 300\n@ NS ns.test.\n");
	for (unsigned i = 0; i < 1500; i++) {
		to += sprintf(to, "mx MX %u m%u.mx.far.test.\n", i, i);
	}
	to += sprintf(to, "mx MX 65000 last.host\nmx MX 65001 LAST.host\nlast.host A 192.0.2.1\nal CNAME mx\n");
	for (unsigned i = 0; i < 5000; i++) {
		to += sprintf(to, "huge A 10.1.%u.%u\n", i / 256, i % 256);
	}
	ck_assert_uint_lt(to - zone, size);
	snapshot_t *snapshot = support_zone("example.", zone);
	free(zone);

	static const char *const qnames[] = { "mx.example.", "al.example." };
	for (size_t i = 0; i < COUNT(qnames); i++) {
		alias_chain_t target;
		message_t msg = response_begin(qnames[i], KNOT_RRTYPE_MX, MESSAGE_MAX);
		answer_result_t result = response_answer(snapshot, &msg, KNOT_RRTYPE_MX, false, &target);
		ck_assert(!result.truncated);
		ck_assert_uint_eq(msg.count[SECTION_ANSWER], 1502 + i);
		ck_assert_uint_eq(msg.count[SECTION_ADDITIONAL], 1);
		knot_pkt_t *pkt = response_parse(&msg);
		ck_assert_uint_le(msg.size, response_knot_size(pkt));
		char *text = response_text(pkt, KNOT_ADDITIONAL);
		char *expected = support_text("example.", "last.host A 192.0.2.1\n");
		wire_name_lower((uint8_t *)expected, strlen(expected));
		ck_assert_str_eq(text, expected);
		free(text);
		free(expected);
		knot_pkt_free(pkt);
		free(msg.wire);
	}

	alias_chain_t target;
	message_t msg = response_begin("huge.example.", KNOT_RRTYPE_A, MESSAGE_MAX);
	answer_result_t result = response_answer(snapshot, &msg, KNOT_RRTYPE_A, false, &target);
	ck_assert(result.truncated && msg.count[SECTION_ANSWER] == 0);
	knot_pkt_free(response_parse(&msg));
	free(msg.wire);
	support_free(snapshot);
}
END_TEST

/*! More hosts than are put, or looked for: the others are left out of answers, never of referrals. */
START_TEST(test_many_hosts)
{
	char *zone = malloc(1 << 16);
	char *to = stpcpy(zone, "@ SOA ns1 admin 7 7200 900 1209600 300\n@ NS ns.test.\n");
	for (unsigned i = 0; i < 100; i++) {
		to += sprintf(to, "mx MX 1 h%u.cut\ncut NS h%u.cut\nh%u.cut A 192.0.2.%u\n", i, i, i, i);
	}
	for (unsigned i = 0; i < 256; i++) {
		to += sprintf(to, "nowhere MX %u x%u.nowhere\n", i, i);
	}
	to += sprintf(to, "nowhere MX 1000 h0.cut\nalmost MX 1000 h0.cut\n");
	for (unsigned i = 0; i < 255; i++) {
		to += sprintf(to, "almost MX %u x%u.nowhere\n", i, i);
	}
	snapshot_t *snapshot = support_zone("example.", zone);
	free(zone);

	static const struct {
		const char *qname;
		unsigned hosts;
	} cases[] = { { "mx.example.", 64 }, { "nowhere.example.", 0 }, { "almost.example.", 1 }, { "cut.example.", 100 } };
	for (size_t i = 0; i < COUNT(cases); i++) {
		alias_chain_t target;
		message_t msg = response_begin(cases[i].qname, KNOT_RRTYPE_MX, MESSAGE_MAX);
		answer_result_t result = response_answer(snapshot, &msg, KNOT_RRTYPE_MX, false, &target);
		ck_assert(!result.truncated);
		ck_assert_uint_eq(msg.count[SECTION_ADDITIONAL], cases[i].hosts);
		knot_pkt_free(response_parse(&msg));
		free(msg.wire);
	}
	support_free(snapshot);
}
END_TEST

static void enter(void)
{
	rcu_register_thread();
}

static void leave(void)
{
	rcu_unregister_thread();
}

int main(void)
{
	TCase *tcase = tcase_create("answer");
	tcase_add_checked_fixture(tcase, enter, leave);
	tcase_add_loop_test(tcase, test_table, 0, COUNT(tables));
	tcase_add_test(tcase, test_glue);
	tcase_add_test(tcase, test_case);
	tcase_add_test(tcase, test_chain);
	tcase_add_test(tcase, test_dname_growth);
	tcase_add_test(tcase, test_long_names);
	tcase_add_test(tcase, test_large);
	tcase_add_test(tcase, test_many_hosts);

	Suite *suite = suite_create("answer");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
