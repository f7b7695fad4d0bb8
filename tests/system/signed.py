# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone for all that can be denied: what RFC 4035, appendix B and RFC 5155, appendices A and B show, and more."""

import os

import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.zone

from servers import zone_text

ZONE = "signed.test"

#: How zones are signed, and what `sign` takes for it.
CHAINS = {"nsec": dict(), "nsec3": dict(nsec3=True), "opt-out": dict(nsec3=True, opt_out=True)}
if os.environ.get("TEST_FULL") == "1":
    CHAINS["salted"] = dict(nsec3=True, iterations=10, salt=8)
    CHAINS["limit"] = dict(nsec3=True, opt_out=True, iterations=150, salt=1)

#: More iterations than anybody hashes for.
COSTLY = dict(nsec3=True, iterations=151)

DIGEST = "13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"

RECORDS = f"""
@              MX     1 mail
mail           A      192.0.2.9
mail           AAAA   2001:db8::9
host           A      192.0.2.10
host           HINFO  "KLH-10" "TOPS-20"
_sip._tcp.host SRV    0 0 5060 mail
one.two.ent    TXT    "two empty non-terminals above"
*.wild         MX     1 mail
*.wild         A      192.0.2.20
beside.wild    A      192.0.2.21
deep.beside.wild TXT  "below a name beside a wildcard"
*.alias        CNAME  host
*.lost         CNAME  nowhere
*.nodata       CNAME  mail
*.chain        CNAME  x.alias
*.round        CNAME  y.round
*.out          CNAME  www.other.test.
sub.*.entwild  TXT    "below a wildcard that is an empty non-terminal"
zz.entwild     A      192.0.2.22
*.many.wild    TXT    "wildcard below what a wildcard would cover"
cname          CNAME  host
dangling       CNAME  nowhere
tocut          CNAME  www.insecure
towild         CNAME  any.wild
towild2        CNAME  any.alias
todname        CNAME  a.dname
dname          DNAME  target
dname          TXT    "beside DNAME"
a.target       A      192.0.2.30
b.x.target     A      192.0.2.31
*.w.target     A      192.0.2.32
secure         NS     ns.secure
secure         DS     4711 {DIGEST}
ns.secure      A      192.0.2.40
insecure       NS     ns.insecure
insecure       NS     ns.other.test.
ns.insecure    A      192.0.2.41
www.insecure   A      192.0.2.42
zzz.insecure   A      192.0.2.43
cut.above      NS     ns.other.test.
a.both         NS     ns.other.test.
b.both         NS     ns.other.test.
b.both         DS     4712 {DIGEST}
c.below.both   NS     ns.other.test.
under\\.score  TXT    "a dot in a label"
_x             TXT    "below"
zzzz           TXT    "last"
"""

NAMES = """@ mail host _sip._tcp.host _tcp.host x.host x._tcp.host ent two.ent one.two.ent x.ent x.two.ent x.one.two.ent
wild *.wild any.wild any.any.wild x.*.wild beside.wild x.beside.wild deep.beside.wild x.deep.beside.wild many.wild any.many.wild
*.x.wild alias any.alias *.alias any.lost any.nodata any.chain any.round any.out entwild *.entwild any.entwild zzz.entwild sub.*.entwild
any.*.entwild x.any.entwild cname dangling tocut towild towild2 todname dname a.dname b.dname b.x.dname x.dname any.w.dname
target x.target secure ns.secure x.secure insecure ns.insecure www.insecure x.y.insecure above cut.above x.cut.above x.above
both a.both x.a.both b.both x.b.both below.both c.below.both x.below.both x.both under\\.score _x zzzz 0 a nowhere x.nowhere
mail0 zzzzz \\000 \\255 *""".split()

TYPES = "A AAAA NS SOA DS MX TXT CNAME DNAME NSEC NSEC3 DNSKEY NSEC3PARAM".split()
SAMPLE = "A DS TXT NSEC".split()

LONG = ".".join(["l" * 63, "l" * 63, "l" * 63])

FULL = os.environ.get("TEST_FULL") == "1"


def text(secure_ds=f"4711 {DIGEST}"):
    """The zone before it is signed, with this DS at its secure delegation."""
    return zone_text(ZONE, RECORDS.replace(f"4711 {DIGEST}", secure_ds))


def full_name(label, zone=ZONE):
    return f"{zone}." if label == "@" else f"{label}.{zone}."


def rrsets(signed, rdtype, zone=ZONE):
    """The RRsets of a type in the text of a signed zone: {owner: rdataset}."""
    parsed = dns.zone.from_text(signed, origin=dns.name.from_text(zone), relativize=False, check_origin=False)
    found = {name: node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.from_text(rdtype)) for name, node in parsed.items()}
    return {name: rdataset for name, rdataset in found.items() if rdataset}


def hashed_owners(signed, zone=ZONE):
    return [name.to_text() for name in rrsets(signed, "NSEC3", zone)]


def anchor(signed, zone=ZONE):
    """The key that signs a zone."""
    return next(iter(rrsets(signed, "DNSKEY", zone).values()))[0]


def questions(signed, types=None):
    """Names × types: every name with a sample of types each day, with all of them in the long form."""
    names = [full_name(label) for label in NAMES]
    hashed = hashed_owners(signed)
    names += hashed if FULL else hashed[:3]
    names += [f"x.{name}" for name in hashed[:2]]
    names += [f"{'x' * 30}.{LONG}.{ZONE}.", f"{'x' * 25}.{LONG}.wild.{ZONE}.", f"{'x' * 24}.{LONG}.dname.{ZONE}."]
    return [(name, rdtype) for name in names for rdtype in types or (TYPES if FULL else SAMPLE)]
