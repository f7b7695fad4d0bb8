# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of the module, compared with those of a stock knotd that loads the same zone natively."""

import re

import dns.edns
import dns.flags
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.update
import pytest

from servers import Key, Peer, absolute, ask, await_event, message, query, zone_text

ZONE = "example.com"

RECORDS = """
@           MX    10 mail
@           MX    20 mail.example.net.
@           TXT   "apex"
mail        A     192.0.2.10
mail        AAAA  2001:db8::10
www         A     192.0.2.11
www         A     192.0.2.12
www         AAAA  2001:db8::11
www         TXT   "one" "two"
MiXeD       A     192.0.2.13
to-mixed    CNAME mIxEd
_sip._tcp   SRV   10 10 5060 mail
_sip._tcp   SRV   20 10 5060 www
svc         HTTPS 1 mail alpn=h2
odd         TYPE65280 \\# 4 0A000001
a.b.ent     TXT   "below empty non-terminals"
*.wild      A     192.0.2.20
*.wild      MX    10 mail
*.alias     CNAME www
*.nowhere   CNAME missing
host.wild   TXT   "beside the wildcard"
c1          CNAME c2
c2          CNAME c3
c3          CNAME www
out         CNAME www.example.net.
out2        CNAME out
missed      CNAME missing
nodata      CNAME mail
to-sub      CNAME www.sub
to-wild     CNAME any.wild
loop1       CNAME loop2
loop2       CNAME loop1
self        CNAME self
dn          DNAME target
one.target  A     192.0.2.30
to-dn       CNAME one.dn
sub         NS    ns.sub
sub         NS    ns1
ns.sub      A     192.0.2.40
ns.sub      AAAA  2001:db8::40
www.sub     A     192.0.2.41
far         NS    ns.example.net.
secure      NS    ns.secure
secure      DS    12345 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
ns.secure   A     192.0.2.50
""" + "".join(f'big  TXT  "{n:03d}{"x" * 96}"\n' for n in range(8)) \
    + "".join(f'huge TXT  "{n:03d}{"x" * 96}"\n' for n in range(20)) \
    + "".join(f"many NS  ns{n}.many\nns{n}.many A 192.0.2.{n}\nns{n}.many AAAA 2001:db8::{n:x}\n" for n in range(1, 14))

NAMES = """@ mail www mixed to-mixed _sip._tcp _tcp svc odd ent b.ent a.b.ent x.b.ent wild *.wild any.wild deep.any.wild host.wild
x.host.wild any.alias any.nowhere *.nowhere c1 c2 c3 out out2 missed nodata to-sub to-wild loop1 self dn one.dn two.dn
to-dn target one.target sub www.sub ns.sub x.sub far x.far secure www.secure big huge many x.many missing a.missing ns1""".split()

TYPES = "A AAAA NS SOA MX TXT CNAME DS SRV HTTPS DNAME TYPE65280".split()

#: How a question comes: over what, with which EDNS payload.
WAYS = [dict(tcp=False, payload=None), dict(tcp=False, payload=512), dict(tcp=False, payload=1232), dict(tcp=True, payload=1232)]


def full_name(label):
    return ZONE if label == "@" else f"{label}.{ZONE}"


def section(rrsets):
    return sorted(f"{rrset.name.to_text().lower()} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {rdata.to_text().lower()}"
                  for rrset in rrsets for rdata in rrset)


def digest(response):
    """What two servers have to agree on."""
    return {
        "rcode": dns.rcode.to_text(response.rcode()),
        "flags": dns.flags.to_text(response.flags),
        "edns": (response.edns, response.ednsflags) if response.edns >= 0 else None,
        "question": [str(rrset) for rrset in response.question],
        "answer": section(response.answer),
        "authority": section(response.authority),
        "additional": section(response.additional),
    }


def assert_same(module, native, name, rdtype, way, do):
    """The module says what knotd says. It may need less room, so it may have no need to truncate where knotd does."""
    ours = query(module, name, rdtype, do=do, **way)
    theirs = query(native, name, rdtype, do=do, **way)
    if theirs.flags & dns.flags.TC:
        if ours.flags & dns.flags.TC:
            assert (ours.rcode(), ours.flags) == (theirs.rcode(), theirs.flags)
            return
        theirs = query(native, name, rdtype, do=do, tcp=True, payload=way["payload"])
    ours, theirs = digest(ours), digest(theirs)
    if do and not way["tcp"]:
        # Additional records are sent where there is room for them, and knotd's proofs take some.
        more, less = set(ours.pop("additional")), {line for line in theirs.pop("additional") if " RRSIG " not in line}
        assert more >= less, f"{name} {rdtype} {way}"
    assert ours == theirs, f"{name} {rdtype} {way} do={do}"


def serve(servers, text, scope, name=ZONE):
    """A module and a native knotd with the same zone."""
    native, module = servers.pair({name: text}, scope=scope)
    return module, native


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{'tcp' if way['tcp'] else 'udp'}-{way['payload']}")
def test_plain_zone(servers, scope, way):
    module, native = serve(servers, zone_text(ZONE, RECORDS), scope)
    for label in NAMES:
        for rdtype in TYPES:
            assert_same(module, native, full_name(label), rdtype, way, do=False)


@pytest.mark.plain
@pytest.mark.parametrize("how", [dict(), dict(nsec3=True), dict(nsec3=True, opt_out=True)], ids=["nsec", "nsec3", "opt-out"])
@pytest.mark.parametrize("do", [True, False], ids=["do", "plain"])
def test_signed_zone(servers, sign, how, do):
    module, native = serve(servers, sign(ZONE, zone_text(ZONE, RECORDS), **how), "zone")
    for label in NAMES:
        for rdtype in ["A", "MX", "TXT", "DS", "NS", "SOA", "DNSKEY", "CNAME"]:
            for way in WAYS[1:]:
                assert_same(module, native, full_name(label), rdtype, way, do)


def test_root_zone(servers, scope):
    """Its apex is no suffix that a pointer could save."""
    records = "com NS ns.com\nns.com A 192.0.2.1\nwww A 192.0.2.2\n* TXT \"all\"\nc CNAME www\nm MX 1 www\n"
    module, native = serve(servers, "$ORIGIN .\n$TTL 60\n. SOA ns1. host. 1 3600 600 604800 60\n. NS ns1.\nns1 A 192.0.2.3\n"
                           + records, scope, name=".")
    for name in [".", "com", "x.com", "www", "c", "m", "x", "y.x", "ns1"]:
        for rdtype in ["A", "NS", "SOA", "MX", "TXT", "DS"]:
            for way in WAYS:
                assert_same(module, native, name, rdtype, way, do=False)


def test_case_is_preserved(servers, scope):
    module, _ = serve(servers, zone_text(ZONE, RECORDS), scope)
    for text in ["WwW.eXaMpLe.CoM.", "NOT.there.Example.com.", "Any.WILD.example.COM.", "C1.example.com.", "X.Sub.eXample.com."]:
        asked = message(text, "A")
        response = ask(module, asked)
        assert response.question[0].name.labels == asked.question[0].name.labels
        owner = (response.answer or response.authority)[0].name
        common = len(owner.labels) if not response.answer else len(asked.question[0].name.labels)
        assert owner.labels == asked.question[0].name.labels[-common:]


def test_any_is_one_rrset(servers, scope):
    module, _ = serve(servers, zone_text(ZONE, RECORDS), scope)
    for label in ["@", "www", "c1", "any.wild"]:
        response = query(module, full_name(label), "ANY")
        assert response.rcode() == dns.rcode.NOERROR and len(response.answer) == 1
    assert query(module, full_name("missing"), "ANY").rcode() == dns.rcode.NXDOMAIN
    nodata = query(module, full_name("ent"), "ANY")
    assert not nodata.answer and nodata.authority[0].rdtype == dns.rdatatype.SOA


def test_ds_is_the_parents(servers, scope):
    """Parent and child are both ours: DS at the cut comes from the parent."""
    child = f"secure.{ZONE}"
    primary, module = servers.pair({ZONE: zone_text(ZONE, RECORDS), child: zone_text(child, "www A 192.0.2.51\n")}, scope=scope)
    ds = query(module, child, "DS")
    assert ds.answer and ds.flags & dns.flags.AA
    assert query(module, f"www.{child}", "A").flags & dns.flags.AA
    assert query(module, child, "SOA").answer[0].name == dns.name.from_text(child)
    alone = servers.secondary([child], [primary], scope=scope, name="alone").start()
    alone.await_serial(child)
    nodata = query(alone, child, "DS")
    assert nodata.rcode() == dns.rcode.NOERROR and nodata.authority[0].name == dns.name.from_text(child)


def test_ds_at_a_native_child(servers):
    """Global scope: a child that knotd has itself stays knotd's, but for the DS that its parent has."""
    child = f"secure.{ZONE}"
    primary = servers.knotd({ZONE: zone_text(ZONE, RECORDS)}, name="primary").start()
    module = servers.secondary([ZONE], [primary], scope="global", zones={child: zone_text(child, "www A 192.0.2.51\n")}).start()
    module.await_serial(ZONE)
    assert query(module, child, "DS").answer
    assert query(module, f"www.{child}").answer[0][0].address == "192.0.2.51"
    assert query(module, child, "SOA").answer[0].name == dns.name.from_text(child)
    assert query(module, f"www.{ZONE}").answer


def test_other_questions_are_knotds(servers, scope):
    """What is not about our zones, or not a question that we know, is answered as if we were not there."""
    module, native = serve(servers, zone_text(ZONE, RECORDS), scope)
    for name, rdtype, rdclass in [("example.org", "A", "IN"), ("com", "SOA", "IN"), ("version.bind", "TXT", "CH"),
                                  (f"www.{ZONE}", "A", "HS")]:
        assert digest(query(module, name, rdtype, rdclass=rdclass)) == digest(query(native, name, rdtype, rdclass=rdclass))
    assert digest(query(module, f"www.{ZONE}", "A", rdclass="ANY")) == digest(query(native, f"www.{ZONE}", "A", rdclass="ANY"))
    for opcode in [dns.opcode.STATUS, dns.opcode.IQUERY]:
        odd = message(f"www.{ZONE}", "A")
        odd.set_opcode(opcode)
        assert digest(ask(module, odd)) == digest(ask(native, odd))


def test_edns_version(servers, scope):
    module, native = serve(servers, zone_text(ZONE, RECORDS), scope)
    asked = message(f"www.{ZONE}", "A")
    asked.use_edns(1, payload=1232)
    assert ask(module, asked).rcode() == ask(native, asked).rcode() == dns.rcode.BADVERS


def edns_pair(servers, scope):
    """Both ends with what knotd can add to OPT."""
    options = '    nsid: "here"\n    edns-client-subnet: on\n'
    native = servers.knotd({ZONE: zone_text(ZONE, RECORDS)}, name="primary", server_conf=options).start()
    module = servers.secondary([ZONE], [native], scope=scope, name="secondary", server_conf=options).start()
    module.await_serial(ZONE)
    return module, native


def test_edns_options(servers, scope):
    """OPT is as knotd's, options included, whether knotd or the module has written it."""
    module, native = edns_pair(servers, scope)
    nsid = dns.edns.GenericOption(dns.edns.NSID, b"")
    subnet = dns.edns.ECSOption("192.0.2.0", 24)
    unknown = dns.edns.GenericOption(65001, b"x")
    for options in [[nsid], [subnet], [nsid, subnet], [unknown], [dns.edns.GenericOption(dns.edns.COOKIE, b"12345678")]]:
        for label, do in [("www", False), ("www", True), ("missing", True), ("sub", False)]:
            for way in WAYS[1:]:
                ours = query(module, full_name(label), "A", do=do, options=options, **way)
                theirs = query(native, full_name(label), "A", do=do, options=options, **way)
                assert digest(ours) == digest(theirs)
                assert ours.options == theirs.options and ours.payload == theirs.payload


@pytest.mark.parametrize("room", range(-6, 7, 3))
def test_no_room_beside_opt(servers, scope, room):
    """knotd reserves OPT before it knows how much the client takes; with a long NSID that can be more than there is."""
    base = f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * (253 - 3 * 64 - len(ZONE) - 1)}"
    big = base + " 60 TXT " + " ".join('"' + "x" * 250 + '"' for _ in range(3)) + "\n"
    question = 12 + len(f"{base}.{ZONE}") + 2 + 4
    nsid = "0x" + "61" * (512 - question - 11 - 4 - room)
    primary = servers.knotd({ZONE: zone_text(ZONE, big)}, name="primary").start()
    module = servers.secondary([ZONE], [primary], scope=scope, name="secondary", server_conf=f"    nsid: {nsid}\n").start()
    module.await_serial(ZONE)
    for name in (f"{base}.{ZONE}", f"x{base[1:]}.{ZONE}"):
        asked = message(name, "TXT", payload=512, options=[dns.edns.GenericOption(dns.edns.NSID, b"")])
        response = ask(module, asked)
        assert len(response.to_wire(max_size=65535)) <= 512
        assert response.flags & dns.flags.TC or response.rcode() == dns.rcode.FORMERR
    assert query(module, ZONE, "SOA").answer


def ede(response):
    return [(option.code, option.text) for option in response.options if isinstance(option, dns.edns.EDEOption)]


def test_never_loaded(servers, scope):
    module = servers.secondary([ZONE], [Peer()], scope=scope).start()
    response = query(module, f"www.{ZONE}")
    assert response.rcode() == dns.rcode.SERVFAIL and ede(response) == [(14, "zone has not been transferred yet")]
    assert not response.flags & dns.flags.AA and not response.answer + response.authority
    assert query(module, f"www.{ZONE}", payload=None).rcode() == dns.rcode.SERVFAIL


def test_expired(servers, scope):
    """Nothing is served from an expired zone, and the reason is told; the primary's return brings it back."""
    text = zone_text(ZONE, RECORDS, refresh=1, retry=1, expire=3)
    primary, module = servers.pair({ZONE: text}, scope=scope, items={"refresh-jitter": 0, "retry-jitter": 0})
    primary.stop()
    response = await_event(lambda: (lambda found: found if found.rcode() == dns.rcode.SERVFAIL else None)(query(module, f"www.{ZONE}")),
                           "expiry")
    (code, explanation), = ede(response)
    assert code == 24 and re.fullmatch(r"zone expired at 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", explanation)
    assert not response.answer + response.authority
    assert query(module, f"www.{ZONE}", payload=None).rcode() == dns.rcode.SERVFAIL
    primary.start()
    await_event(lambda: query(module, f"www.{ZONE}").answer, "the zone's return")


def test_transfers_are_refused(servers, scope):
    module, _ = serve(servers, zone_text(ZONE, RECORDS), scope)
    for rdtype, tcp, rcode, code in [("AXFR", True, dns.rcode.NOTAUTH, 18), ("IXFR", True, dns.rcode.NOTAUTH, 18),
                                     ("IXFR", False, dns.rcode.NOTAUTH, 18), ("AXFR", False, dns.rcode.NOTIMP, None)]:
        response = ask(module, message(ZONE, rdtype), tcp=tcp)
        assert response.rcode() == rcode and not response.answer, rdtype
        assert ede(response) == ([(code, "transfer not allowed")] if code else []), rdtype
    assert ask(module, message(f"www.{ZONE}", "AXFR"), tcp=True).rcode() == dns.rcode.NOTAUTH


def test_updates_are_refused(servers, scope):
    module, _ = serve(servers, zone_text(ZONE, RECORDS), scope)
    update = dns.update.UpdateMessage(absolute(ZONE))
    update.add("new", 60, "A", "192.0.2.99")
    assert ask(module, update).rcode() == dns.rcode.REFUSED
    assert query(module, f"new.{ZONE}").rcode() == dns.rcode.NXDOMAIN


def test_signed_queries(servers):
    """In zone scope the zone's acl judges who may sign; the response is signed, negative ones and errors too."""
    key, other = Key("client"), Key("other")
    primary = servers.knotd({ZONE: zone_text(ZONE, RECORDS)}, name="primary").start()
    keys = f"key:\n  - id: {key.name}\n    algorithm: {key.algorithm}\n    secret: {key.secret}\n"
    module = servers.secondary([ZONE], [primary], server_conf=keys)
    module.rules = lambda: {"clients": ("query", key)}
    module.start()
    module.await_serial(ZONE)
    for label, rcode in [("www", dns.rcode.NOERROR), ("missing", dns.rcode.NXDOMAIN), ("huge", dns.rcode.NOERROR)]:
        response = query(module, full_name(label), "TXT", key=key)
        assert response.rcode() == rcode and response.had_tsig
    with pytest.raises(dns.tsig.PeerBadKey):
        query(module, f"www.{ZONE}", key=other)
    impostor = Key("client")
    impostor.secret = other.secret
    with pytest.raises(dns.tsig.PeerBadSignature):
        query(module, f"www.{ZONE}", key=impostor)
    assert query(module, f"www.{ZONE}").answer


BESIDE = {
    "mod-stats": "    reply-nodata: on\n    response-edns-option: on\n    flag-presence: on\n",
    "mod-rrl": "    rate-limit: 100000\n",
    "mod-cookies": "",
}


@pytest.mark.parametrize("beside", BESIDE)
def test_modules_beside(servers, scope, beside):
    """mod-stats reads the first authority record of responses without answers, mod-rrl takes the zone from there; mod-cookies
    adds its option to OPT."""
    stanza = f"{beside}:\n  - id: default\n{BESIDE[beside]}"
    primary = servers.knotd({ZONE: zone_text(ZONE, RECORDS)}, name="primary").start()
    module = servers.secondary([ZONE], [primary], scope=scope, server_conf=stanza)
    modules = f"{beside}/default" + (", mod-secondary/default" if scope == "global" else "")
    module.template_items = lambda: f"    zonefile-load: none\n    journal-content: none\n    global-module: [{modules}]\n"
    module.start()
    for _ in range(2):
        for label in NAMES:
            for rdtype in ["A", "TXT", "DS"]:
                for payload in [None, 1232]:
                    assert query(module, full_name(label), rdtype, payload=payload)
        module.await_serial(ZONE)
    if beside == "mod-cookies":
        asked = [dns.edns.GenericOption(dns.edns.COOKIE, b"12345678")]
        given, = query(module, full_name("www"), options=asked).options
        assert given.otype == dns.edns.COOKIE and given.data.startswith(b"12345678") and len(given.data) == 24
    module.assert_alive()


def test_rate_limit_slips(servers, scope):
    """mod-rrl replaces a finished response by a truncated one, negative ones too."""
    stanza = "mod-rrl:\n  - id: default\n    rate-limit: 1\n    slip: 1\n"
    primary = servers.knotd({ZONE: zone_text(ZONE, RECORDS)}, name="primary").start()
    module = servers.secondary([ZONE], [primary], scope=scope, server_conf=stanza)
    modules = "mod-rrl/default" + (", mod-secondary/default" if scope == "global" else "")
    module.template_items = lambda: f"    zonefile-load: none\n    journal-content: none\n    global-module: [{modules}]\n"
    module.start()
    module.await_log(r"AXFR, incoming, .*finished")
    for label in ["www", "missing", "sub"]:
        def slipped():
            response = query(module, full_name(label))
            return response if response.flags & dns.flags.TC else None
        assert not await_event(slipped, f"slip of {label}").answer
    module.assert_alive()
