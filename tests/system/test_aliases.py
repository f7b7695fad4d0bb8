# SPDX-License-Identifier: GPL-3.0-or-later
"""Aliases from zone to zone of the module, and what ends them."""

import dns.flags
import dns.rcode
import dns.rdatatype
import pytest

from servers import await_event, query, zone_text

HERE = """
www       A     192.0.2.1
there     CNAME www.there.test.
thereto   CNAME there
nowhere   CNAME missing.there.test.
nodata    CNAME mail.there.test.
cut       CNAME x.cut.there.test.
back      CNAME back.there.test.
loop      CNAME loop.there.test.
apex      CNAME there.test.
outside   CNAME www.elsewhere.test.
*.wild    CNAME www.there.test.
dn        DNAME there.test.
below     NS    ns.below
ns.below  A     192.0.2.2
tobelow   CNAME www.below
dsbelow   CNAME below
""" + "".join(f"c{n} CNAME c{n}.there.test.\n" for n in range(30))

THERE = """
www       A     192.0.2.11
www       AAAA  2001:db8::11
mail      MX    10 www
back      CNAME www.here.test.
loop      CNAME loop.here.test.
cut       NS    ns.cut
ns.cut    A     192.0.2.12
long      CNAME www.here.test.
dn        DNAME wild.here.test.
""" + "".join(f"c{n} CNAME c{n + 1}.here.test.\n" for n in range(30))

BELOW = "www A 192.0.2.21\n"

ZONES = {"here.test": HERE, "there.test": THERE, "below.here.test": BELOW}


def serve(servers, scope, **kwargs):
    """The module with all zones; in zone scope each has an instance of its own."""
    return servers.pair({name: zone_text(name, text) for name, text in ZONES.items()}, scope=scope, **kwargs)[1]


def owners(rrsets):
    return [(rrset.name.to_text().split(".", 1)[0], dns.rdatatype.to_text(rrset.rdtype)) for rrset in rrsets]


def test_chains(servers, scope):
    module = serve(servers, scope)
    for label, rdtype, rcode, answer, authority in [
        ("there", "A", "NOERROR", [("there", "CNAME"), ("www", "A")], None),
        ("thereto", "AAAA", "NOERROR", [("thereto", "CNAME"), ("there", "CNAME"), ("www", "AAAA")], None),
        ("nowhere", "A", "NXDOMAIN", [("nowhere", "CNAME")], ("there.test.", "SOA")),
        ("nodata", "A", "NOERROR", [("nodata", "CNAME")], ("there.test.", "SOA")),
        ("nodata", "MX", "NOERROR", [("nodata", "CNAME"), ("mail", "MX")], None),
        ("cut", "A", "NOERROR", [("cut", "CNAME")], ("cut.there.test.", "NS")),
        ("back", "A", "NOERROR", [("back", "CNAME"), ("back", "CNAME"), ("www", "A")], None),
        ("loop", "A", "NOERROR", [("loop", "CNAME"), ("loop", "CNAME")], None),
        ("apex", "SOA", "NOERROR", [("apex", "CNAME"), ("there", "SOA")], None),
        ("outside", "A", "NOERROR", [("outside", "CNAME")], None),
        ("any.wild", "A", "NOERROR", [("any", "CNAME"), ("www", "A")], None),
        ("www.dn", "A", "NOERROR", [("dn", "DNAME"), ("www", "CNAME"), ("www", "A")], None),
        ("x.dn.dn", "A", "NOERROR", [("dn", "DNAME"), ("x", "CNAME"), ("dn", "DNAME"), ("x", "CNAME"), ("x", "CNAME"), ("www", "A")], None),
        ("tobelow", "A", "NOERROR", [("tobelow", "CNAME"), ("www", "A")], None),
        ("dsbelow", "DS", "NOERROR", [("dsbelow", "CNAME")], ("here.test.", "SOA")),
        ("dsbelow", "SOA", "NOERROR", [("dsbelow", "CNAME"), ("below", "SOA")], None),
        ("there", "CNAME", "NOERROR", [("there", "CNAME")], None),
    ]:
        for how in [dict(payload=None), dict(rd=True), dict(do=True), dict(tcp=True)]:
            response = query(module, f"{label}.here.test", rdtype, **how)
            said = (dns.rcode.to_text(response.rcode()), owners(response.answer),
                    (response.authority[0].name.to_text(), dns.rdatatype.to_text(response.authority[0].rdtype)) if response.authority else None)
            assert said == (rcode, answer, authority), f"{label} {rdtype} {how}"
            assert response.flags & dns.flags.AA and not response.flags & (dns.flags.RA | dns.flags.TC)


def test_length_is_bounded(servers, scope):
    """Back and forth for ever: as many aliases as the module follows, each once."""
    module = serve(servers, scope)
    response = query(module, "c0.here.test", tcp=True)
    assert response.rcode() == dns.rcode.NOERROR and len(response.answer) == 20 and not response.authority


def test_mail_has_addresses_of_its_zone(servers, scope):
    response = query(serve(servers, scope), "nodata.here.test", "MX")
    assert [rrset.name.to_text() for rrset in response.additional] == ["www.there.test."] * 2


def test_zone_without_version(servers, scope):
    """A further zone that is not there yet ends the chain; its first version goes on."""
    texts = {name: zone_text(name, text) for name, text in ZONES.items() if name != "there.test"}
    primary = servers.knotd(texts, name="primary").start()
    late = servers.knotd({"there.test": zone_text("there.test", THERE)}, name="late")
    module = servers.secondary(ZONES, [primary, late], scope=scope, items={"retry-jitter": 0})
    late.notify.append(module)
    module.start()
    module.await_serial("here.test")
    response = query(module, "there.here.test")
    assert response.rcode() == dns.rcode.NOERROR and owners(response.answer) == [("there", "CNAME")]
    assert [option.code for option in response.options] == [14]
    late.start()
    module.await_serial("there.test")
    assert len(query(module, "there.here.test").answer) == 2


def test_removed_zone(servers):
    """A zone that leaves the configuration is outside."""
    module = serve(servers, "global")
    assert len(query(module, "there.here.test").answer) == 2
    module.names.remove("there.test")
    module.reload()
    await_event(lambda: len(query(module, "there.here.test").answer) == 1, "removal")
    module.names.append("there.test")
    module.reload()
    await_event(lambda: len(query(module, "there.here.test").answer) == 2, "return")


def test_zone_of_knotd_is_outside(servers):
    """Closer than the zone that is ours, and not ours."""
    primary = servers.knotd({name: zone_text(name, text) for name, text in ZONES.items()}, name="primary").start()
    native = {"www.there.test": zone_text("www.there.test", "@ A 192.0.2.31\n")}
    module = servers.secondary(ZONES, [primary], zones=native, scope="global").start()
    for name in ZONES:
        module.await_serial(name)
    assert query(module, "www.there.test").answer[0][0].address == "192.0.2.31"
    assert owners(query(module, "there.here.test").answer) == [("there", "CNAME")]
    assert len(query(module, "nodata.here.test", "MX").answer) == 2


@pytest.mark.parametrize("nsec3", [False, True], ids=["nsec", "nsec3"])
def test_signed_zones(servers, sign, nsec3):
    """With DO, each zone's signatures and proofs: that of the wildcard in the first one too."""
    texts = {name: sign(name, zone_text(name, text), nsec3=nsec3) for name, text in ZONES.items()}
    _, module = servers.pair(texts)
    response = query(module, "any.wild.here.test", "TXT", do=True, tcp=True)
    zones = {rrset.name.to_text().split(".", 1)[1] if nsec3 else rrset.name.to_text() for rrset in response.authority
             if rrset.rdtype in (dns.rdatatype.NSEC, dns.rdatatype.NSEC3)}
    assert any(name.endswith("there.test.") for name in zones) and any(name.endswith("here.test.") and "there" not in name for name in zones)
    assert [rrset.name.to_text() for rrset in response.authority if rrset.rdtype == dns.rdatatype.SOA] == ["there.test."]
    signed = [rrset for rrset in response.answer if rrset.rdtype == dns.rdatatype.RRSIG]
    assert len(signed) == 1 and response.rcode() == dns.rcode.NOERROR


def test_rrset_over_64_kib(servers, scope):
    """Legal, transferred, and never sent."""
    name = "huge.test"
    text = zone_text(name, "".join(f'huge TXT "{n:03d}{"x" * 196}"\n' for n in range(400)) + "huge A 192.0.2.1\nto CNAME huge\nmx MX 1 huge\n")
    primary = servers.nsd({name: text}, name="primary").start()
    module = servers.secondary([name], [primary], scope=scope).start()
    module.await_serial(name)
    for tcp in (False, True):
        for label in ("huge", "to"):
            response = query(module, f"{label}.{name}", "TXT", tcp=tcp)
            assert response.flags & dns.flags.TC and response.rcode() == dns.rcode.NOERROR
            assert not any(rrset.rdtype == dns.rdatatype.TXT for rrset in response.answer)
        assert query(module, f"huge.{name}", "A", tcp=tcp).answer
        assert query(module, f"mx.{name}", "MX", tcp=tcp).additional
        assert query(module, f"x.huge.{name}", "TXT", tcp=tcp).rcode() == dns.rcode.NXDOMAIN
