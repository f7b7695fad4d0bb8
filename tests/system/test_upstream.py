# SPDX-License-Identifier: GPL-3.0-or-later
"""Names outside our zones: each row of the table of outcomes, with Unbound and knotd as resolvers, and one that misbehaves."""

import os
import re
import signal
import subprocess
import threading
import time

import dns.dnssec
import dns.edns
import dns.flags
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from scripted import Scripted, answer
import signed
from servers import SLOWNESS, Peer, await_event, query, tool, zone_text
from test_load import Stream

ZONE = "example.com"
TARGET = "target.net"
SOA = f"{TARGET}. 300 SOA ns1.{TARGET}. hostmaster.{TARGET}. 1 3600 600 604800 300"

RECORDS = f"""
www     A     192.0.2.80
mx      MX    10 ext
ext     CNAME www.{TARGET}.
*.wild  CNAME www.{TARGET}.
chain   CNAME hop
hop     CNAME alias.{TARGET}.
nx      CNAME none.{TARGET}.
nodata  CNAME mail.{TARGET}.
big     CNAME big.{TARGET}.
home    CNAME back.{TARGET}.
lost    CNAME astray.{TARGET}.
loop    CNAME loop.{TARGET}.
dn      DNAME {TARGET}.
"""

FOREIGN = f"""
www     300 A     198.51.100.80
www     300 AAAA  2001:db8:51::80
alias   200 CNAME www
mail    300 MX    10 www
back    300 CNAME www.{ZONE}.
astray  300 CNAME none.{ZONE}.
loop    300 CNAME loop.{ZONE}.
""" + "".join(f'big 300 TXT "{n:02d}{"x" * 200}"\n' for n in range(20))

#: How a question comes.
WAYS = [dict(), dict(tcp=True), dict(do=True), dict(tcp=True, do=True), dict(payload=None)]


#: Extended errors come with these words.
EDE_TEXTS = {
    0: "alias loop",
    3: "alias target is beyond its TTL",
    14: "alias target is being looked up",
    19: "alias target is beyond its TTL",
    22: "resolvers failed for the alias target",
    23: "resolvers for alias targets do not answer",
}


def ede(response):
    options = [option for option in response.options if isinstance(option, dns.edns.EDEOption)]
    for option in options:
        assert option.text == EDE_TEXTS.get(option.code, "alias target does not validate")
    return [option.code for option in options]


def texts(section, but=("RRSIG",)):
    found = [(rrset.name.to_text().lower(), dns.rdatatype.to_text(rrset.rdtype), sorted(rdata.to_text().lower() for rdata in rrset))
             for rrset in section]
    return [rrset for rrset in found if rrset[1] not in but]


def cname(owner, target):
    return (f"{owner}.", "CNAME", [f"{target}."])


def settled(secondary, name, rdtype="A", **how):
    """The answer once what had to be asked has been answered. A look-up that a busy machine let fail is made again."""
    def look():
        response = query(secondary, name, rdtype, rd=True, **how)
        return response if not {14, 22, 23} & {*ede(query(secondary, name, rdtype, rd=True)), *ede(response)} else None
    return await_event(look, f"an answer for {name} {rdtype}")


def counters(secondary):
    """Those of the upstream; what is zero is not told."""
    told = re.findall(r"upstream\[(\w+)\] = (\d+)$", secondary.knotc_module("stats"), re.MULTILINE)
    return {"lookups": 0, "failures": 0, "holds": 0, **{name: int(value) for name, value in told}}


def lookups(secondary):
    """How many were begun, how many failed."""
    said = counters(secondary)
    return said["lookups"], said["failures"]


def await_ede(secondary, name, codes, rdtype="A"):
    def look():
        response = query(secondary, name, rdtype, rd=True)
        return response if ede(response) and ede(response)[0] in codes else None
    return await_event(look, f"EDE {codes} for {name}")


def assert_ours(response):
    """What each answer has: the first owner is ours, and we neither recurse nor validate."""
    assert response.flags & dns.flags.AA
    assert not response.flags & (dns.flags.RA | dns.flags.AD | dns.flags.TC)


def pair(servers, upstream, records=RECORDS, **items):
    _, secondary = servers.pair({ZONE: zone_text(ZONE, records)}, items={"upstream": upstream, **items})
    return secondary


def conf_check(servers, items):
    """What `knotc conf-check` complains of."""
    secondary = servers.secondary([ZONE], [Peer()], items=items)
    secondary.write_config()
    done = subprocess.run([tool("knotc"), "-c", str(secondary.conf), "conf-check"], capture_output=True, text=True,
                          env=secondary.client_environment())
    assert done.returncode != 0
    return done.stdout + done.stderr


def at(server):
    return f"{server.address}@{server.port}"


@pytest.fixture
def scripted():
    """scripted(script): a resolver that does as it says; stopped at the end."""
    some = []

    def make(script, **how):
        some.append(Scripted(script, **how))
        return some[-1]
    yield make
    for resolver in some:
        resolver.stop()


def resolver_of(servers, kind, signed=None):
    """A resolver of this kind that knows the target's zone: Unbound with NSD behind it, or knotd as authority."""
    text = signed or zone_text(TARGET, FOREIGN)
    if kind == "knotd":
        return servers.knotd({TARGET: text}, name="resolver").start()
    authority = servers.nsd({TARGET: text}, name="authority").start()
    return servers.unbound({TARGET: authority}, name="resolver").start()


@pytest.fixture(params=["unbound", "knotd"])
def world(servers, request):
    """A zone of ours with aliases, and a resolver that knows their targets."""
    return pair(servers, at(resolver_of(servers, request.param)))


def test_outcomes(world):
    """The rows of the table that a good resolver brings, over UDP and TCP, with DO and without."""
    target_a = (f"www.{TARGET}.", "A", ["198.51.100.80"])
    for how in WAYS:
        found = settled(world, f"ext.{ZONE}", **how)
        assert_ours(found)
        assert found.rcode() == dns.rcode.NOERROR and not found.authority and not ede(found)
        assert texts(found.answer) == [cname(f"ext.{ZONE}", f"www.{TARGET}"), target_a]

        found = settled(world, f"any.wild.{ZONE}", "AAAA", **how)
        assert texts(found.answer) == [cname(f"any.wild.{ZONE}", f"www.{TARGET}"), (f"www.{TARGET}.", "AAAA", ["2001:db8:51::80"])]

        found = settled(world, f"chain.{ZONE}", **how)
        assert texts(found.answer) == [cname(f"chain.{ZONE}", f"hop.{ZONE}"), cname(f"hop.{ZONE}", f"alias.{TARGET}"),
                                       cname(f"alias.{TARGET}", f"www.{TARGET}"), target_a]

        absent = settled(world, f"nx.{ZONE}", **how)
        assert_ours(absent)
        assert absent.rcode() == dns.rcode.NXDOMAIN and not ede(absent)
        assert texts(absent.answer) == [cname(f"nx.{ZONE}", f"none.{TARGET}")]
        assert [rrset[:2] for rrset in texts(absent.authority)] == [(f"{TARGET}.", "SOA")]

        absent = settled(world, f"nodata.{ZONE}", **how)
        assert_ours(absent)
        assert absent.rcode() == dns.rcode.NOERROR and not ede(absent)
        assert texts(absent.answer) == [cname(f"nodata.{ZONE}", f"mail.{TARGET}")]
        assert [rrset[:2] for rrset in texts(absent.authority)] == [(f"{TARGET}.", "SOA")]


def test_does_not_fit(world):
    settled(world, f"big.{ZONE}", "TXT", tcp=True)
    whole = await_event(lambda: (lambda r: r if len(r.answer) == 2 else None)(query(world, f"big.{ZONE}", "TXT", rd=True, tcp=True)), "all")
    assert_ours(whole)
    assert len(whole.answer[1]) == 20
    for payload in (None, 512, 1232):
        short = query(world, f"big.{ZONE}", "TXT", rd=True, payload=payload)
        assert short.flags & dns.flags.TC and short.rcode() == dns.rcode.NOERROR and not short.answer


def test_target_that_leads_home(world):
    """Such names are answered from our own version, whatever the resolver says of them."""
    found = settled(world, f"home.{ZONE}")
    assert_ours(found)
    assert texts(found.answer) == [cname(f"home.{ZONE}", f"back.{TARGET}"), cname(f"back.{TARGET}", f"www.{ZONE}"),
                                   (f"www.{ZONE}.", "A", ["192.0.2.80"])]
    found = settled(world, f"lost.{ZONE}")
    assert found.rcode() == dns.rcode.NXDOMAIN
    assert [rrset[:2] for rrset in texts(found.authority)] == [(f"{ZONE}.", "SOA")]


def test_target_that_leads_home_of_a_slow_resolver(servers, scripted):
    """Nobody but us can resolve what leads home, and a resolver may take its time to find that out, each time anew."""
    state = {"failed": 0}

    def script(q, tcp):
        name = q.question[0].name.to_text()
        if q.question[0].rdtype == dns.rdatatype.CNAME:
            return answer(q, f"{name} 60 CNAME www.{ZONE}.")
        # It remembers the failure for a second: then it has to ask others again.
        if time.monotonic() - state["failed"] > 1:
            time.sleep(0.7)
        state["failed"] = time.monotonic()
        return answer(q, rcode=dns.rcode.SERVFAIL)
    secondary = pair(servers, at(scripted(script)), **{"upstream-prefetch": "0"})
    found = settled(secondary, f"home.{ZONE}")
    assert texts(found.answer) == [cname(f"home.{ZONE}", f"back.{TARGET}"), cname(f"back.{TARGET}", f"www.{ZONE}"),
                                   (f"www.{ZONE}.", "A", ["192.0.2.80"])]


def test_loop(world):
    found = settled(world, f"loop.{ZONE}")
    assert found.rcode() == dns.rcode.NOERROR
    assert texts(found.answer) == [cname(f"loop.{ZONE}", f"loop.{TARGET}")]
    assert len(found.to_wire()) < 120, "each alias once"
    assert [option.to_text() for option in found.options if isinstance(option, dns.edns.EDEOption)] == ["EDE 0: alias loop"]


@pytest.mark.parametrize("length, whole", [(3, True), (4, False), (9, False)])
def test_aliases_that_leave_and_come_home(servers, scripted, length, whole):
    """Back and forth between our zone and others': a few times, and then it is said to be a loop; each alias once."""
    def script(q, tcp):
        number = re.match(r"b(\d+)\.", q.question[0].name.to_text(), re.IGNORECASE)
        # Whether it is there may be asked, too, if it was slow.
        return answer(q, f"{q.question[0].name} 600 CNAME a{int(number[1]) + 1}.{ZONE}.") if number else answer(q, rcode=3, authority=[SOA])
    records = "".join(f"a{n} CNAME b{n}.{TARGET}.\n" for n in range(length)) + f"a{length} A 192.0.2.44\n"
    secondary = pair(servers, at(scripted(script)), records)
    response = settled(secondary, f"a0.{ZONE}")
    assert_ours(response)
    chain = [rrset for n in range(min(length, 4)) for rrset in (cname(f"a{n}.{ZONE}", f"b{n}.{TARGET}"), cname(f"b{n}.{TARGET}", f"a{n + 1}.{ZONE}"))]
    assert response.rcode() == dns.rcode.NOERROR
    if whole:
        assert texts(response.answer) == chain + [(f"a{length}.{ZONE}.", "A", ["192.0.2.44"])] and not ede(response)
    else:
        assert texts(response.answer) == chain and ede(response) == [0]


def test_not_followed(world):
    """RD=0; types that aliases are the answer to; targets that a DNAME makes; and data that needs no chasing."""
    settled(world, f"ext.{ZONE}")
    ours = [cname(f"ext.{ZONE}", f"www.{TARGET}")]
    assert texts(query(world, f"ext.{ZONE}", rd=False).answer) == ours
    for rdtype in ("CNAME", "ANY", "RRSIG", "NSEC"):
        response = query(world, f"ext.{ZONE}", rdtype, rd=True)
        assert not ede(response) and response.rcode() == dns.rcode.NOERROR
        assert all(rrset.name.to_text() == f"ext.{ZONE}." for rrset in response.answer)
    for _ in range(20):
        response = query(world, f"www.dn.{ZONE}", rd=True)
        assert not ede(response)
        assert texts(response.answer) == [(f"dn.{ZONE}.", "DNAME", [f"{TARGET}."]), cname(f"www.dn.{ZONE}", f"www.{TARGET}")]


def test_dname_on_demand(servers):
    secondary = pair(servers, at(resolver_of(servers, "knotd")), **{"upstream-dname": "on"})
    found = settled(secondary, f"www.dn.{ZONE}")
    assert texts(found.answer)[-1] == (f"www.{TARGET}.", "A", ["198.51.100.80"])


def test_signatures(servers, sign):
    signed = sign(TARGET, zone_text(TARGET, FOREIGN))
    secondary = pair(servers, at(resolver_of(servers, "unbound", signed)))
    settled(secondary, f"ext.{ZONE}")
    plain = query(secondary, f"ext.{ZONE}", rd=True)
    assert not [rrset for rrset in plain.answer if rrset.rdtype == dns.rdatatype.RRSIG]
    with_do = query(secondary, f"ext.{ZONE}", rd=True, do=True)
    assert [rrset.covers for rrset in with_do.answer if rrset.rdtype == dns.rdatatype.RRSIG] == [dns.rdatatype.A]
    settled(secondary, f"nx.{ZONE}")
    absent = query(secondary, f"nx.{ZONE}", rd=True, do=True)
    kinds = {rrset.rdtype for rrset in absent.authority}
    assert {dns.rdatatype.SOA, dns.rdatatype.NSEC, dns.rdatatype.RRSIG} <= kinds


def test_wildcard_of_a_signed_zone(servers, sign):
    """The proof that our wildcard applies stays behind what others say."""
    ours = sign(ZONE, zone_text(ZONE, RECORDS))
    resolver = resolver_of(servers, "knotd")
    _, secondary = servers.pair({ZONE: ours}, items={"upstream": at(resolver)})
    settled(secondary, f"any.wild.{ZONE}")
    response = query(secondary, f"any.wild.{ZONE}", rd=True, do=True)
    assert texts(response.answer)[-1] == (f"www.{TARGET}.", "A", ["198.51.100.80"])
    assert {dns.rdatatype.NSEC, dns.rdatatype.RRSIG} == {rrset.rdtype for rrset in response.authority}


def test_target_made_by_a_wildcard_of_a_signed_zone(servers, sign):
    """Who validates needs the proof that there is nothing closer."""
    signed = sign(TARGET, zone_text(TARGET, "*.made A 198.51.100.90\n"))
    secondary = pair(servers, at(resolver_of(servers, "unbound", signed)), f"w CNAME x.made.{TARGET}.\n")
    settled(secondary, f"w.{ZONE}")
    response = query(secondary, f"w.{ZONE}", rd=True, do=True)
    assert texts(response.answer)[-1] == (f"x.made.{TARGET}.", "A", ["198.51.100.90"])
    assert {dns.rdatatype.NSEC, dns.rdatatype.RRSIG} == {rrset.rdtype for rrset in response.authority}
    assert not query(secondary, f"w.{ZONE}", rd=True).authority


def test_proofs_when_the_way_home_ends(servers, sign, scripted):
    """Others' aliases lead into a zone of ours that cannot be served: the proof of our own wildcard is there all the same."""
    def script(q, tcp):
        name = q.question[0].name.to_text()
        return answer(q, rcode=dns.rcode.SERVFAIL) if "unserved" in name.lower() else answer(q, f"{name} 60 CNAME www.unserved.example.")
    resolver = scripted(script)
    primary = servers.knotd({ZONE: sign(ZONE, zone_text(ZONE, RECORDS))}).start()
    secondary = servers.secondary([ZONE, "unserved.example"], [primary], items={"upstream": at(resolver), "upstream-prefetch": "0"}).start()
    secondary.await_serial(ZONE)
    settled_answer = await_event(lambda: (lambda r: r if len(texts(r.answer)) == 2 else None)(
        query(secondary, f"any.wild.{ZONE}", rd=True, do=True)), "the way home")
    assert texts(settled_answer.answer)[-1] == cname(f"www.{TARGET}", "www.unserved.example")
    assert {dns.rdatatype.NSEC, dns.rdatatype.RRSIG} == {rrset.rdtype for rrset in settled_answer.authority}


def test_collision_where_the_way_home_ends(servers, sign, scripted):
    """Others' alias leads home to a name that does not exist, but whose hash a stale NSEC3 has: SERVFAIL, with nothing of the aliases."""
    ghost = dns.dnssec.nsec3_hash(f"ghost.{ZONE}", None, 0, 1)
    ours = sign(ZONE, zone_text(ZONE, f"*.a CNAME t.b\n*.b CNAME x.{TARGET}.\n"), nsec3=True)
    ours += f"{ghost}.{ZONE}. 3600 IN NSEC3 1 0 0 - {ghost} A\n"
    resolver = scripted(lambda q, tcp: answer(q, f"{q.question[0].name} 600 CNAME ghost.{ZONE}."))
    _, secondary = servers.pair({ZONE: ours}, items={"upstream": at(resolver), "upstream-prefetch": "0"})
    for how in (dict(tcp=True), dict()):
        failed = settled(secondary, f"1.a.{ZONE}", do=True, **how)
        assert failed.rcode() == dns.rcode.SERVFAIL and not failed.flags & dns.flags.TC
        assert not failed.answer and not failed.authority and not failed.additional
    found = query(secondary, f"1.a.{ZONE}", rd=True)
    assert found.rcode() == dns.rcode.NXDOMAIN and len(found.answer) == 3


def test_target_below_a_cut_of_ours(servers):
    """The zone below is none of ours, so it is asked for; until it is known, and for RD=0, the referral stands."""
    child = f"sub.{ZONE}"
    resolver = servers.knotd({child: zone_text(child, "www 60 A 198.51.100.33\nalias 60 CNAME www\nback 60 CNAME here.other.example.\n")},
                             name="resolver").start()
    _, secondary = servers.pair({ZONE: zone_text(ZONE, f"sub NS ns.sub\nns.sub A 192.0.2.53\nd CNAME www.sub\nda CNAME alias.sub\ndn CNAME none.sub\ndb CNAME back.sub\n"),
                                 "other.example": zone_text("other.example", "here 60 A 192.0.2.77\n")}, items={"upstream": at(resolver), "upstream-prefetch": "0"})
    first = query(secondary, f"d.{ZONE}", rd=True)
    assert ede(first) == [14] and texts(first.answer) == [cname(f"d.{ZONE}", f"www.{child}")]
    assert [rrset[:2] for rrset in texts(first.authority)] == [(f"{child}.", "NS")]
    found = settled(secondary, f"d.{ZONE}")
    assert_ours(found)
    assert texts(found.answer) == [cname(f"d.{ZONE}", f"www.{child}"), (f"www.{child}.", "A", ["198.51.100.33"])]
    assert not found.authority and not found.additional
    assert texts(settled(secondary, f"da.{ZONE}").answer)[-1] == (f"www.{child}.", "A", ["198.51.100.33"])
    assert settled(secondary, f"dn.{ZONE}").rcode() == dns.rcode.NXDOMAIN
    assert texts(settled(secondary, f"db.{ZONE}").answer)[-1] == ("here.other.example.", "A", ["192.0.2.77"])
    referral = query(secondary, f"d.{ZONE}", rd=False)
    assert len(referral.answer) == 1 and [rrset[:2] for rrset in texts(referral.authority)] == [(f"{child}.", "NS")]


def test_known_target_replaces_a_referral_that_does_not_fit(servers, sign):
    """What was noted of the referral, TC and that it is not proven, does not hold for the answer; the latter does for a wildcard."""
    child = f"sub.{ZONE}"
    resolver = servers.knotd({child: zone_text(child, "www 60 A 198.51.100.33\n")}, name="resolver").start()
    delegation = "".join(f"sub NS ns{n}.sub\nns{n}.sub A 192.0.2.{n}\nns{n}.sub AAAA 2001:db8::{n}\n" for n in range(13))
    ours = sign(ZONE, zone_text(ZONE, f"{delegation}d CNAME www.sub\n*.w CNAME www.sub\n"), **signed.COSTLY)
    _, secondary = servers.pair({ZONE: ours}, items={"upstream": at(resolver), "upstream-prefetch": "0"})
    assert query(secondary, f"d.{ZONE}", rd=False, payload=512).flags & dns.flags.TC
    settled(secondary, f"d.{ZONE}", tcp=True)
    for name, how, codes in (("d", dict(payload=512), []), ("d", dict(do=True), []), ("x.w", dict(payload=512), []), ("x.w", dict(do=True), [27])):
        found = query(secondary, f"{name}.{ZONE}", rd=True, **how)
        assert_ours(found)
        assert texts(found.answer) == [cname(f"{name}.{ZONE}", f"www.{child}"), (f"www.{child}.", "A", ["198.51.100.33"])]
        assert [option.code for option in found.options if isinstance(option, dns.edns.EDEOption)] == codes


def test_target_below_a_cut_of_ours_is_resolved_ahead(servers, scripted):
    """Without a query before: below a cut of the same zone, and of another zone of ours; not below one whose zone we have."""
    resolver = scripted(lambda q, tcp: answer(q, f"{q.question[0].name} 600 A 198.51.100.33") if q.question[0].rdtype == 1 else answer(q))
    delegations = "sub NS ns.sub\nns.sub A 192.0.2.53\nours NS ns.ours\nns.ours A 192.0.2.53\n"
    primary, secondary = servers.pair({"other.example": zone_text("other.example", delegations),
                                       f"ours.{ZONE}": zone_text(f"ours.{ZONE}", "www A 192.0.2.99\n"), ZONE: zone_text(ZONE, delegations)},
                                      items={"upstream": at(resolver)})
    primary.change(ZONE, f"d 60 CNAME www.sub.{ZONE}.", "e 60 CNAME www.sub.other.example.", f"f 60 CNAME www.ours.{ZONE}.")
    wanted = {(f"{name}.", rdtype) for name in (f"www.sub.{ZONE}", "www.sub.other.example") for rdtype in (1, 28)}
    await_event(lambda: wanted <= set(resolver.asked), "the questions")
    for name, target in (("d", f"www.sub.{ZONE}"), ("e", "www.sub.other.example")):
        assert texts(settled(secondary, f"{name}.{ZONE}").answer)[-1] == (f"{target}.", "A", ["198.51.100.33"])
    assert texts(query(secondary, f"f.{ZONE}", rd=True).answer)[-1] == (f"www.ours.{ZONE}.", "A", ["192.0.2.99"])
    assert not [name for name, _ in resolver.asked if "ours" in name]


def test_resolved_ahead(servers):
    """Without a query before, explicit and wildcard targets are asked for, and no query asks for them again."""
    resolver = resolver_of(servers, "knotd")
    primary, secondary = servers.pair({ZONE: zone_text(ZONE, f"ext CNAME www.{TARGET}.\n*.wild CNAME www.{TARGET}.\n")}, items={"upstream": at(resolver)})
    primary.change(ZONE, f"late 60 CNAME alias.{TARGET}.")
    await_event(lambda: lookups(secondary)[0] >= 4, "the look-ups of both targets")
    secondary.await_serial(ZONE, 2)
    for name in ("ext", "late", "x.wild"):
        for rdtype in ("A", "AAAA"):
            assert texts(settled(secondary, f"{name}.{ZONE}", rdtype).answer)[-1][:2] == (f"www.{TARGET}.", rdtype)
    begun, failed = lookups(secondary)
    assert begun == 4 + failed


def test_special_names(servers):
    """Nobody but the resolver decides about names of special use."""
    names = ("test", "home.arpa", "10.in-addr.arpa", "invalid", "onion", "localhost", "local", "example", "alt", "resolver.arpa",
             "service.arpa", "168.192.in-addr.arpa", "127.in-addr.arpa", "254.169.in-addr.arpa", "d.f.ip6.arpa", "8.e.f.ip6.arpa", "internal")
    zones = {name: zone_text(name, "www 60 A 198.51.100.1\n") for name in names}
    resolver = servers.knotd(zones, name="resolver").start()
    records = "".join(f"a{n} CNAME www.{name}.\n" for n, name in enumerate(zones))
    secondary = pair(servers, at(resolver), records)
    for n, name in enumerate(zones):
        assert texts(settled(secondary, f"a{n}.{ZONE}").answer)[-1] == (f"www.{name}.", "A", ["198.51.100.1"])


def test_ttl_counts_down(servers):
    resolver, began = resolver_of(servers, "knotd"), time.monotonic()
    secondary = pair(servers, at(resolver))
    first = settled(secondary, f"ext.{ZONE}").answer[1].ttl
    assert 298 - (time.monotonic() - began) <= first <= 300
    await_event(lambda: query(secondary, f"ext.{ZONE}", rd=True).answer[1].ttl < first, "a smaller TTL")


def test_ttl_bounds(servers):
    resolver, began = resolver_of(servers, "knotd"), time.monotonic()
    secondary = pair(servers, at(resolver), **{"upstream-max-ttl": "100", "upstream-min-ttl": "90"})
    found = settled(secondary, f"ext.{ZONE}").answer[1].ttl
    assert 98 - (time.monotonic() - began) <= found <= 100


# -- resolvers that fail ----------------------------------------------------------------------------------------------

def test_servfail_and_refused(servers, scripted):
    for rcode in (dns.rcode.SERVFAIL, dns.rcode.REFUSED):
        resolver = scripted(lambda q, tcp, rcode=rcode: answer(q, rcode=rcode))
        secondary = servers.secondary([ZONE], [servers.knotd({ZONE: zone_text(ZONE, RECORDS)}).start()], items={"upstream": at(resolver)}).start()
        secondary.await_serial(ZONE)
        response = await_ede(secondary, f"ext.{ZONE}", (22, 23))
        assert_ours(response)
        assert response.rcode() == dns.rcode.NOERROR and texts(response.answer) == [cname(f"ext.{ZONE}", f"www.{TARGET}")]


def test_silence_costs_nothing(servers):
    """A dead resolver: answers at once, without the target, and others as ever."""
    secondary = pair(servers, at(Peer()))
    took = []
    for n in range(50):
        began = time.monotonic()
        response = query(secondary, f"ext.{ZONE}", rd=True)
        took.append(time.monotonic() - began)
        assert texts(response.answer) == [cname(f"ext.{ZONE}", f"www.{TARGET}")] and ede(response)[0] in (14, 22, 23)
        assert query(secondary, f"www.{ZONE}", rd=True).answer
    # The machine may hold up some of them.
    assert sorted(took)[len(took) // 2] < 0.5 * SLOWNESS
    await_ede(secondary, f"ext.{ZONE}", (22, 23))


@pytest.mark.plain
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_gone_and_back_under_load(servers, tmp_path, how):
    """Stale data stands in; when the resolver is back, that is seen within seconds. One line of log each, and no query lost."""
    resolver = servers.knotd({TARGET: zone_text(TARGET, "www 2 A 198.51.100.80\nalias 2 CNAME www\n")}, name="resolver").start()
    secondary = pair(servers, at(resolver))
    settled(secondary, f"ext.{ZONE}")
    with Stream(secondary, tmp_path, 300, [f"{name}.{ZONE}" for name in ("www", "ext", "any.wild", "chain", "mx")]) as stream:
        if how == "killed":
            resolver.kill()
        else:
            resolver.signal(signal.SIGSTOP)
        stale = await_ede(secondary, f"ext.{ZONE}", (3,))
        assert texts(stale.answer)[-1] == (f"www.{TARGET}.", "A", ["198.51.100.80"]) and stale.answer[1].ttl <= 30
        secondary.await_log(r"warning: .*upstream, .* does not answer", timeout=40)
        if how == "killed":
            resolver.start()
        else:
            resolver.signal(signal.SIGCONT)
        secondary.await_log(r"notice: .*upstream, .* answers again", timeout=40)
        await_event(lambda: not ede(query(secondary, f"ext.{ZONE}", rd=True)), "fresh data")
        load = stream.stop()
    assert len([line for line in secondary.log_text().splitlines() if "does not answer" in line]) == 1
    # What was under way when the stream was stopped is counted as interrupted, not as lost.
    assert load["sent"] > 1000 and load["lost"] == 0 and load["codes"].startswith("NOERROR") and "," not in load["codes"]


@pytest.mark.plain
def test_dead_targets_are_no_dead_resolver(servers, scripted):
    """Names that a resolver cannot resolve cost nobody else anything."""
    def script(q, tcp):
        name = q.question[0].name.to_text().lower()
        return None if name.startswith("dead") else answer(q, f"{name} 60 TXT x") if q.question[0].rdtype == 16 else answer(q, rcode=3, authority=[SOA])
    records = RECORDS + "".join(f"dead{n} CNAME dead{n}.{TARGET}.\n" for n in range(20))
    secondary = pair(servers, at(scripted(script)), records, **{"upstream-prefetch": "0"})
    settled(secondary, f"ext.{ZONE}", "TXT")
    for n in range(4):
        query(secondary, f"dead{n}.{ZONE}", "TXT", rd=True)
    for n in range(4):
        await_ede(secondary, f"dead{n}.{ZONE}", (22, 23), "TXT")
    for n in range(4, 20):
        query(secondary, f"dead{n}.{ZONE}", "TXT", rd=True)
    response = settled(secondary, f"any.wild.{ZONE}", "A")
    assert not ede(response) and response.rcode() == dns.rcode.NXDOMAIN
    await_ede(secondary, f"dead19.{ZONE}", (22, 23), "TXT")
    assert "does not answer" not in secondary.log_text()


@pytest.mark.plain
def test_no_stale_data_of_a_resolver_that_answers(servers, scripted):
    """What is beyond its TTL, and not in use, is asked for, not given."""
    resolver = scripted(lambda q, tcp: answer(q, f"{q.question[0].name} 1 TXT x"))
    names = [f"old{n}" for n in range(40)]
    secondary = pair(servers, at(resolver), "".join(f"{name} CNAME {name}.{TARGET}.\n" for name in names), **{"upstream-prefetch": "0"})
    for name in names:
        settled(secondary, f"{name}.{ZONE}", "TXT")

    # Each look is at another name, as it has what it sees asked for again. Until some seconds after its TTL that may stand in.
    left = iter(names)

    def look():
        time.sleep(0.3)
        response = query(secondary, f"{next(left)}.{ZONE}", "TXT", rd=True)
        assert response.rcode() == dns.rcode.NOERROR and ede(response) in ([], [3], [14])
        return response if ede(response) == [14] else None
    response = await_event(look, "a name that is not known any more")
    assert len(response.answer) == 1
    # What came may be beyond its second again, and stands in while it is asked for once more.
    await_event(lambda: not ede(query(secondary, response.question[0].name, "TXT", rd=True)), "fresh data")


def test_stale_negative(servers, scripted):
    state = {"up": True}
    resolver = scripted(lambda q, tcp: answer(q, rcode=3, authority=[SOA.replace(" 300 SOA", " 1 SOA")]) if state["up"] else answer(q, rcode=2))
    secondary = pair(servers, at(resolver))
    assert settled(secondary, f"nx.{ZONE}").rcode() == dns.rcode.NXDOMAIN
    state["up"] = False
    response = await_ede(secondary, f"nx.{ZONE}", (19,))
    assert response.rcode() == dns.rcode.NXDOMAIN


def test_stale_switched_off(servers, scripted):
    state = {"up": True}
    resolver = scripted(lambda q, tcp: answer(q, f"{q.question[0].name} 1 A 198.51.100.9") if state["up"] else answer(q, rcode=2))
    secondary = pair(servers, at(resolver), **{"upstream-stale": "0"})
    settled(secondary, f"ext.{ZONE}")
    state["up"] = False
    response = await_ede(secondary, f"ext.{ZONE}", (22, 23))
    assert texts(response.answer) == [cname(f"ext.{ZONE}", f"www.{TARGET}")]


def test_failover(servers):
    resolver = resolver_of(servers, "knotd")
    secondary = pair(servers, f"[{at(Peer())}, {at(resolver)}]")
    assert texts(settled(secondary, f"ext.{ZONE}").answer)[-1] == (f"www.{TARGET}.", "A", ["198.51.100.80"])


# -- resolvers that lie -----------------------------------------------------------------------------------------------

def test_unrelated_records_are_left_out(servers, scripted):
    def script(q, tcp):
        name = q.question[0].name.to_text()
        return answer(q, f"{name} 60 A 198.51.100.7", "evil.org. 60 A 198.51.100.66", f"www.{ZONE}. 60 A 198.51.100.66",
                      authority=[f"{TARGET}. 60 NS evil.org."], additional=["evil.org. 60 A 198.51.100.66", f"{ZONE}. 60 A 198.51.100.66"])
    secondary = pair(servers, at(scripted(script)))
    response = settled(secondary, f"ext.{ZONE}")
    assert texts(response.answer) == [cname(f"ext.{ZONE}", f"www.{TARGET}"), (f"www.{TARGET}.", "A", ["198.51.100.7"])]
    assert not response.authority and not response.additional
    assert texts(query(secondary, f"www.{ZONE}", rd=True).answer) == [(f"www.{ZONE}.", "A", ["192.0.2.80"])]


def test_wrong_id_and_name_are_no_answers(servers, scripted):
    def script(q, tcp):
        reply = answer(q, f"{q.question[0].name} 60 A 198.51.100.66")
        wire = bytearray(reply.to_wire())
        wire[0] ^= 0x55
        return bytes(wire)
    secondary = pair(servers, at(scripted(script)))
    response = await_ede(secondary, f"ext.{ZONE}", (22, 23))
    assert texts(response.answer) == [cname(f"ext.{ZONE}", f"www.{TARGET}")]


def test_truncation_and_large_answers(servers, scripted):
    """TC leads to TCP; 20 records of 4 KB do not fit anywhere but are digested."""
    def script(q, tcp):
        name = q.question[0].name.to_text()
        if not tcp:
            return answer(q, flags=dns.flags.TC)
        if q.question[0].rdtype != dns.rdatatype.TXT:
            return answer(q, rcode=3, authority=[SOA])
        strings = " ".join(f'"{"x" * 250}"' for _ in range(12))
        return answer(q, *(f'{name} 60 TXT "{n}" {strings}' for n in range(20)))
    resolver = scripted(script)
    secondary = pair(servers, at(resolver), **{"upstream-prefetch": "0"})
    query(secondary, f"big.{ZONE}", "TXT", rd=True)
    found = await_event(lambda: (lambda r: r if len(r.answer) == 2 else None)(query(secondary, f"big.{ZONE}", "TXT", rd=True, tcp=True)), "it")
    assert len(found.answer[1]) == 20 and resolver.over_tcp > 0


def test_slow_drip(servers, scripted):
    """An answer that never ends costs its own target alone."""
    def script(q, tcp):
        if "mail" in q.question[0].name.to_text().lower():
            return "drip" if tcp else answer(q, flags=dns.flags.TC)
        return answer(q, f"{q.question[0].name} 60 A 198.51.100.7") if q.question[0].rdtype == 1 else answer(q, authority=[SOA])
    secondary = pair(servers, at(scripted(script)))
    for _ in range(3):
        query(secondary, f"nodata.{ZONE}", "TXT", rd=True)
    assert texts(settled(secondary, f"ext.{ZONE}").answer)[-1] == (f"www.{TARGET}.", "A", ["198.51.100.7"])
    dripping = await_ede(secondary, f"nodata.{ZONE}", (22, 23), "TXT")
    assert texts(dripping.answer) == [cname(f"nodata.{ZONE}", f"mail.{TARGET}")]
    assert not ede(settled(secondary, f"any.wild.{ZONE}", "AAAA"))


def test_tcp_reset(servers, scripted):
    secondary = pair(servers, at(scripted(lambda q, tcp: "close" if tcp else answer(q, flags=dns.flags.TC))))
    assert texts(await_ede(secondary, f"ext.{ZONE}", (22, 23)).answer) == [cname(f"ext.{ZONE}", f"www.{TARGET}")]


def test_one_lookup_for_many_askers(servers, scripted):
    """Counted are lookups, two of which were made ahead: of datagrams the library may send several where an answer is late."""
    all_asked = threading.Event()

    def script(q, tcp):
        rdtype, data = {dns.rdatatype.A: ("A", "192.0.2.1"), dns.rdatatype.AAAA: ("AAAA", "2001:db8::1")}.get(q.question[0].rdtype, ("TXT", "x"))
        if rdtype == "TXT":
            all_asked.wait(2)
        return answer(q, f"{q.question[0].name} 60 {rdtype} {data}")
    secondary = pair(servers, at(scripted(script)), f"ext CNAME www.{TARGET}.\n", **{"upstream-prefetch": "0"})
    for rdtype in ("A", "AAAA"):
        settled(secondary, f"ext.{ZONE}", rdtype)
    for _ in range(30):
        query(secondary, f"ext.{ZONE}", "TXT", rd=True)
    all_asked.set()
    assert texts(settled(secondary, f"ext.{ZONE}", "TXT").answer)[-1] == (f"www.{TARGET}.", "TXT", ['"x"'])
    begun, failed = lookups(secondary)
    assert begun == 3 + failed


# -- validation -------------------------------------------------------------------------------------------------------

def write_anchor(path, signed_text, zone=TARGET):
    """Has the key of a signed zone be the one of the target's zone."""
    new = path.with_suffix(".new")
    new.write_text(f"; the key of {zone}\n{TARGET}. 3600 IN DNSKEY {signed.anchor(signed_text, zone).to_text()}\n")
    new.rename(path)
    return path


def test_trust_anchor(servers, sign, tmp_path):
    """What the anchor's key signed is believed; what another key signed is bogus, whatever it says. The file may change."""
    text = sign(TARGET, zone_text(TARGET, FOREIGN.replace("300 A ", "1 A ")))
    anchor = write_anchor(tmp_path / "anchor", text)
    secondary = pair(servers, at(resolver_of(servers, "unbound", text)), **{"upstream-trust-anchor": anchor, "upstream-stale": "0"})
    assert texts(settled(secondary, f"ext.{ZONE}").answer)[-1] == (f"www.{TARGET}.", "A", ["198.51.100.80"])
    assert settled(secondary, f"nx.{ZONE}").rcode() == dns.rcode.NXDOMAIN
    assert settled(secondary, f"nodata.{ZONE}").authority

    write_anchor(anchor, sign(f"other.{TARGET}", zone_text(f"other.{TARGET}")), f"other.{TARGET}")
    bogus = await_ede(secondary, f"ext.{ZONE}", (6,))
    assert_ours(bogus)
    assert bogus.rcode() == dns.rcode.NOERROR and texts(bogus.answer) == [cname(f"ext.{ZONE}", f"www.{TARGET}")]


def test_trust_anchor_and_a_stripped_answer(servers, sign, scripted, tmp_path):
    """A zone with an anchor does not come unsigned; one without is as ever."""
    anchor = write_anchor(tmp_path / "anchor", sign(TARGET, zone_text(TARGET)))
    resolver = scripted(lambda q, tcp: answer(q, f"{q.question[0].name} 60 A 198.51.100.66") if q.question[0].rdtype == 1 else answer(q))
    secondary = pair(servers, at(resolver), RECORDS + "free CNAME www.unsigned.org.\n", **{"upstream-trust-anchor": anchor})
    assert texts(await_ede(secondary, f"ext.{ZONE}", (6,)).answer) == [cname(f"ext.{ZONE}", f"www.{TARGET}")]
    assert texts(settled(secondary, f"free.{ZONE}").answer)[-1] == ("www.unsigned.org.", "A", ["198.51.100.66"])


def test_validation_codes_are_relayed(servers, sign, scripted):
    """A resolver that validates says why it does not answer; so do we."""
    text, other = sign(TARGET, zone_text(TARGET, FOREIGN)), sign(f"other.{TARGET}", zone_text(f"other.{TARGET}"))
    authority = servers.nsd({TARGET: text}, name="authority").start()
    key = signed.anchor(other, f"other.{TARGET}").to_text()
    resolver = servers.unbound({TARGET: authority}, name="resolver", conf=f'server:\n    module-config: "validator iterator"\n    ede: yes\n'
                               f'    trust-anchor: "{TARGET}. DNSKEY {key}"\n').start()
    secondary = pair(servers, at(resolver))
    # Which one depends on whether it remembers the failure.
    response = await_ede(secondary, f"ext.{ZONE}", range(5, 13))
    assert_ours(response)
    assert response.rcode() == dns.rcode.NOERROR and texts(response.answer) == [cname(f"ext.{ZONE}", f"www.{TARGET}")]


@pytest.mark.parametrize("said, ours", [(7, 7), (10, 10), (15, 22), (None, 22)])
def test_reasons_of_failures(servers, scripted, said, ours):
    """Codes about DNSSEC are relayed, others are not; over TCP where they do not come otherwise."""
    def script(q, tcp):
        reply = answer(q, rcode=dns.rcode.SERVFAIL)
        if said is not None:
            reply.use_edns(0, options=[dns.edns.EDEOption(said, "because")])
        return reply
    secondary = pair(servers, at(scripted(script)), **{"upstream-prefetch": "0"})
    assert ede(await_ede(secondary, f"ext.{ZONE}", (ours,), "TXT")) == [ours]


@pytest.mark.parametrize("text, message", [
    (None, "no such file"), ("; nothing\n", "no DS or DNSKEY record"), ("target.net. DS 1 13 2 zz\n", "malformed")])
def test_trust_anchor_refused(servers, tmp_path, text, message):
    anchor = tmp_path / "anchor"
    if text is not None:
        anchor.write_text(text)
    assert message in conf_check(servers, {"upstream": "192.0.2.1", "upstream-trust-anchor": anchor})
    assert "absolute" in conf_check(servers, {"upstream": "192.0.2.1", "upstream-trust-anchor": "anchor"})


# -- who is asked -----------------------------------------------------------------------------------------------------

def test_resolv_conf_that_changes(servers, tmp_path):
    one = servers.knotd({TARGET: zone_text(TARGET, "www 5 A 198.51.100.1\nold 5 TXT x\n")}, name="one").start()
    two = servers.knotd({TARGET: zone_text(TARGET, "www 5 A 198.51.100.2\n")}, name="two").start()
    conf = tmp_path / "resolv.conf"
    conf.write_text(f"# ours\nnameserver {at(one)} ; the first\n")
    secondary = pair(servers, conf)
    assert texts(settled(secondary, f"ext.{ZONE}").answer)[-1][2] == ["198.51.100.1"]
    new = tmp_path / "new"
    new.write_text(f"nameserver {at(two)}\n")
    os.rename(new, conf)
    await_event(lambda: texts(query(secondary, f"ext.{ZONE}", rd=True).answer)[-1][2] == ["198.51.100.2"], "the second one's answer")


def test_resolv_conf_that_comes_later(servers, tmp_path):
    resolver = resolver_of(servers, "knotd")
    conf = tmp_path / "resolv.conf"
    secondary = pair(servers, conf)
    secondary.await_log(r"warning: .*upstream, file .*resolv.conf', no servers")
    assert ede(query(secondary, f"ext.{ZONE}", rd=True)) == [14]
    conf.write_text(f"nameserver {at(resolver)}\n")
    assert texts(settled(secondary, f"ext.{ZONE}").answer)[-1][2] == ["198.51.100.80"]


def test_self(servers):
    """This server is asked for what it serves natively; what it does not serve stays as it is."""
    primary = servers.knotd({ZONE: zone_text(ZONE, RECORDS + "far CNAME www.elsewhere.org.\n")}).start()
    secondary = servers.secondary([ZONE], [primary], zones={TARGET: zone_text(TARGET, FOREIGN)}, items={"upstream": "self"}).start()
    secondary.await_serial(ZONE)
    assert texts(settled(secondary, f"ext.{ZONE}").answer)[-1] == (f"www.{TARGET}.", "A", ["198.51.100.80"])
    assert settled(secondary, f"nx.{ZONE}").rcode() == dns.rcode.NXDOMAIN
    far = settled(secondary, f"far.{ZONE}")
    assert texts(far.answer) == [cname(f"far.{ZONE}", "www.elsewhere.org")] and not ede(far)


def test_own_address_is_refused(servers):
    primary = servers.knotd({ZONE: zone_text(ZONE, RECORDS)}).start()
    secondary = servers.secondary([ZONE], [primary])
    secondary.items["upstream"] = at(secondary)
    secondary.start()
    secondary.await_log(rf"error: .*item 'upstream', zone '{ZONE}.', '{at(secondary)}' ignored, this server listens there")
    secondary.await_serial(ZONE)
    response = query(secondary, f"ext.{ZONE}", rd=True)
    assert texts(response.answer) == [cname(f"ext.{ZONE}", f"www.{TARGET}")] and not ede(response)


@pytest.mark.parametrize("value, message", [
    ("192.0.2.1:53", "ADDRESS@PORT"), ("resolver.example", "neither address"), ("relative/resolv.conf", "neither address"),
    ("/nonexistent/resolv.conf", "no such file"), ("/dev/null", "not a regular file"), ("192.0.2.1@0", "neither address")])
def test_refused(servers, value, message):
    assert message in conf_check(servers, {"upstream": f'"{value}"'})


def test_kept_over_reload(servers, scripted):
    """Counted are look-ups: what the library has sent twice may arrive later."""
    resolver = scripted(lambda q, tcp: answer(q, f"{q.question[0].name} 600 A 198.51.100.5"))
    secondary = pair(servers, at(resolver), **{"upstream-prefetch": "0"})
    settled(secondary, f"ext.{ZONE}")
    before = lookups(secondary)
    for _ in range(3):
        secondary.reload()
        assert texts(query(secondary, f"ext.{ZONE}", rd=True).answer)[-1][2] == ["198.51.100.5"]
    assert lookups(secondary) == before


def test_changed_by_reload(servers):
    one = servers.knotd({TARGET: zone_text(TARGET, "www A 198.51.100.1\n")}, name="one").start()
    two = servers.knotd({TARGET: zone_text(TARGET, "www A 198.51.100.2\n")}, name="two").start()
    secondary = pair(servers, at(one))
    assert texts(settled(secondary, f"ext.{ZONE}").answer)[-1][2] == ["198.51.100.1"]
    secondary.items["upstream"] = at(two)
    secondary.reload()
    assert texts(settled(secondary, f"ext.{ZONE}").answer)[-1][2] == ["198.51.100.2"]
    del secondary.items["upstream"]
    secondary.reload()
    response = query(secondary, f"ext.{ZONE}", rd=True)
    assert len(response.answer) == 1 and not ede(response)


def test_hold(servers, scripted):
    """An opt-in: the first query for what was not known waits, while the upstream answers in time."""
    state = {"pause": 0.05}

    def script(q, tcp):
        time.sleep(state["pause"])
        return answer(q, f"{q.question[0].name} 60 TXT x") if q.question[0].rdtype == 16 else answer(q, rcode=3, authority=[SOA])
    resolver = scripted(script)
    secondary = pair(servers, at(resolver), **{"upstream-hold": "700", "upstream-prefetch": "0"})
    settled(secondary, f"ext.{ZONE}")
    names = iter(("ext", "chain", "nx", "nodata", "big"))

    def held():
        """Of a busy machine an answer may come too late; not of each name."""
        name = next(names)
        response = query(secondary, f"{name}.{ZONE}", "TXT", rd=True)
        settled(secondary, f"{name}.{ZONE}", "TXT")
        return response if not ede(response) else None
    assert texts(await_event(held, "an answer within the hold").answer)[-1][1] == "TXT"

    state["pause"] = 3
    began, holds = time.monotonic(), counters(secondary)["holds"]
    assert ede(query(secondary, f"any.wild.{ZONE}", "MX", rd=True)) == [14]
    assert time.monotonic() - began > 0.5 and counters(secondary)["holds"] == holds + 1
    assert ede(query(secondary, f"any.wild.{ZONE}", "SRV", rd=True)) == [14]
    assert counters(secondary)["holds"] == holds + 1, "held again although the last hold ran out"


def test_hold_of_all_rounds_together(servers, scripted):
    """Back and forth between our zone and others': the first look-up has taken most of the time that a query may wait."""
    state = {}

    def script(q, tcp):
        name = q.question[0].name.to_text()
        if name.lower().startswith("b0."):
            # Silent at first: who asks asks again.
            began = state.setdefault("began", time.monotonic())
            return answer(q, f"{name} 60 CNAME a1.{ZONE}.") if time.monotonic() - began > 0.55 else None
        return answer(q, f"{name} 60 A 198.51.100.80")
    records = RECORDS + f"a0 CNAME b0.{TARGET}.\na1 CNAME b1.{TARGET}.\n"
    secondary = pair(servers, at(scripted(script)), records, **{"upstream-hold": "1000", "upstream-prefetch": "0"})
    settled(secondary, f"ext.{ZONE}")
    holds = counters(secondary)["holds"]
    query(secondary, f"a0.{ZONE}", rd=True)
    assert counters(secondary)["holds"] <= holds + 1
    assert texts(settled(secondary, f"a0.{ZONE}").answer)[-1] == (f"b1.{TARGET}.", "A", ["198.51.100.80"])


def test_global_scope(servers):
    resolver = resolver_of(servers, "knotd")
    _, secondary = servers.pair({ZONE: zone_text(ZONE, RECORDS)}, scope="global", items={"upstream": at(resolver)})
    assert texts(settled(secondary, f"ext.{ZONE}").answer)[-1] == (f"www.{TARGET}.", "A", ["198.51.100.80"])
    assert settled(secondary, f"nx.{ZONE}").rcode() == dns.rcode.NXDOMAIN


def test_reload_and_stop_with_lookups_under_way(servers, scripted):
    """The fixture judges the end: no leak, no report of a sanitizer, no delay."""
    resolver = scripted(lambda q, tcp: None)
    secondary = pair(servers, at(resolver), RECORDS + "".join(f"e{n} CNAME e{n}.{TARGET}.\n" for n in range(200)))
    for n in range(3):
        for number in range(0, 200, 7):
            query(secondary, f"e{number}.{ZONE}", "TXT", rd=True)
        secondary.items["upstream-stale"] = str(10 + n)
        secondary.reload()
    await_event(lambda: resolver.asked, "questions")
    began = time.monotonic()
    secondary.stop()
    assert time.monotonic() - began < 3 * SLOWNESS


def test_ipv6(servers, scripted, tmp_path):
    """As an address, and in a file, where it may have a scope."""
    resolver = scripted(lambda q, tcp: answer(q, flags=dns.flags.TC) if not tcp else answer(q, f"{q.question[0].name} 60 A 198.51.100.6"), address="::1")
    conf = tmp_path / "resolv.conf"
    conf.write_text(f"nameserver ::1%lo@{resolver.port}\n")
    primary = servers.knotd({ZONE: zone_text(ZONE, RECORDS)}).start()
    for upstream in (at(resolver), conf):
        secondary = servers.secondary([ZONE], [primary], items={"upstream": upstream}).start()
        secondary.await_serial(ZONE)
        assert texts(settled(secondary, f"ext.{ZONE}").answer)[-1] == (f"www.{TARGET}.", "A", ["198.51.100.6"])
    assert resolver.over_tcp


def test_two_stanzas_have_their_own_upstreams(servers):
    """Each answers as its own resolvers say; what one knows is nothing to the other."""
    one = servers.knotd({TARGET: zone_text(TARGET, "www A 198.51.100.1\n")}, name="one").start()
    two = servers.knotd({TARGET: zone_text(TARGET, "www A 198.51.100.2\n")}, name="two").start()
    primary = servers.knotd({name: zone_text(name, f"ext CNAME www.{TARGET}.\n") for name in ("one.example", "two.example")}).start()
    stanzas = "".join(f"  - id: {name}\n    transfer-from: primary0\n    upstream: {at(server)}\n" for name, server in (("one", one), ("two", two)))
    secondary = servers.secondary([], [primary], module_conf=f"mod-secondary:\n{stanzas}",
                                  conf="zone:\n" + "".join(f"  - domain: {name}.example\n    module: mod-secondary/{name}\n" for name in ("one", "two")))
    secondary.start()
    for n, name in enumerate(("one.example", "two.example"), 1):
        secondary.await_serial(name)
        assert texts(settled(secondary, f"ext.{name}").answer)[-1][2] == [f"198.51.100.{n}"]
