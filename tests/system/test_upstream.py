# SPDX-License-Identifier: GPL-3.0-or-later
"""Names outside our zones: each row of the table of outcomes, with Unbound and knotd as resolvers, and one that misbehaves."""

import dns.edns
import dns.flags
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from servers import await_event, query, zone_text

ZONE = "example.com"
TARGET = "target.net"

RECORDS = f"""
www     A     192.0.2.80
ext     CNAME www.{TARGET}.
*.wild  CNAME www.{TARGET}.
chain   CNAME hop
hop     CNAME alias.{TARGET}.
nx      CNAME none.{TARGET}.
nodata  CNAME mail.{TARGET}.
home    CNAME back.{TARGET}.
loop    CNAME loop.{TARGET}.
dn      DNAME {TARGET}.
"""

FOREIGN = f"""
www     300 A     198.51.100.80
www     300 AAAA  2001:db8:51::80
alias   200 CNAME www
mail    300 MX    10 www
back    300 CNAME www.{ZONE}.
loop    300 CNAME loop.{ZONE}.
"""


def ede(response):
    return [option.code for option in response.options if isinstance(option, dns.edns.EDEOption)]


def texts(section):
    return [(rrset.name.to_text(), dns.rdatatype.to_text(rrset.rdtype), sorted(rdata.to_text() for rdata in rrset)) for rrset in section]


def settled(secondary, name, rdtype="A", **how):
    """The answer once what had to be asked has been asked."""
    def look():
        response = query(secondary, name, rdtype, rd=True, **how)
        return response if 14 not in ede(response) else None
    return await_event(look, f"an answer for {name} {rdtype}")


@pytest.fixture(params=["unbound", "knotd"])
def world(servers, request):
    """A zone of ours with aliases, and a resolver of this kind that knows their targets."""
    authority = servers.nsd({TARGET: zone_text(TARGET, FOREIGN)}, name="authority").start()
    resolver = authority
    if request.param == "unbound":
        resolver = servers.unbound({TARGET: authority}, name="resolver")
    else:
        resolver = servers.knotd({TARGET: zone_text(TARGET, FOREIGN)}, name="resolver")
    resolver.start()
    _, secondary = servers.pair({ZONE: zone_text(ZONE, RECORDS)}, items={"upstream": f"{resolver.address}@{resolver.port}"})
    return secondary


def test_found(world):
    for how in (dict(), dict(tcp=True), dict(do=True), dict(tcp=True, do=True)):
        response = settled(world, f"ext.{ZONE}", **how)
        assert response.rcode() == dns.rcode.NOERROR
        assert texts(response.answer) == [(f"ext.{ZONE}.", "CNAME", [f"www.{TARGET}."]), (f"www.{TARGET}.", "A", ["198.51.100.80"])]
        assert not response.authority and not ede(response)
        assert response.flags & dns.flags.AA and not response.flags & (dns.flags.RA | dns.flags.AD)
