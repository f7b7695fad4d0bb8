# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones that have what zones can have: delegations and glue of all kinds, wildcards, aliases, odd names, large RRsets, all types."""

import re

from dnswire import text_name, wire_name

#: Of hosts that differ in a number, the first ones do.
NUMBERED = re.compile(rb"\D+(\d+)")

SOA = "@ 3600 SOA ns1 hostmaster 7 3600 600 604800 300\n"
BASE = SOA + "@ NS ns1\n@ NS ns2\nns1 A 192.0.2.1\nns1 AAAA 2001:db8::1\nns2 A 192.0.2.2\n"

PLAIN = BASE + """
@           MX    10 mail
@           MX    20 MAIL
@           MX    30 mail.elsewhere.test.
@           TXT   "apex"
@           CAA   0 issue "ca.test"
mail        A     192.0.2.10
mail        AAAA  2001:db8::10
www         A     192.0.2.11
www         A     192.0.2.12
www    60   AAAA  2001:db8::11
www         TXT   "one" "two"
MiXeD       A     192.0.2.13
mixed       TXT   "other case"
mxwild      MX    5 host.wild.other.test.
_sip._tcp   SRV   10 10 5060 mail
_sip._tcp   SRV   20 10 5060 www
_sip._tcp   SRV   30 10 5060 www
_none._tcp  SRV   0 0 0 .
svc         HTTPS 1 mail alpn=h2
svc         HTTPS 2 . port=8443
svc         A     192.0.2.14
svcalias    HTTPS 0 svc
svcalias2   SVCB  0 svcalias
mxnull      MX    0 .
mxcname     MX    10 alias
alias       CNAME www
mxmany      MX    10 mail
mxmany      MX    20 www
mxmany      MX    30 ns1
mxmany      MX    40 missing
mxmany      MX    50 www.sub
ptr         PTR   www
minfo       MINFO mail www
rp          RP    mail txt.elsewhere.test.
afsdb       AFSDB 1 mail
naptr       NAPTR 10 10 "u" "sip" "" mail
kx          KX    10 mail
a.b.ent     TXT   "below empty non-terminals"
x.y.b.ent   A     192.0.2.15
longttl 2147483647 A 192.0.2.16
zerottl 0   A     192.0.2.17
sub         NS    ns.sub
ns.sub      A     192.0.2.18
www.sub     A     192.0.2.19
"""

# What RFC 4592, section 2.2.1, shows, with other names and data.
WILDCARDS = BASE + """
*                 TXT   "any name that is not there"
*                 MX    10 desk.elsewhere.test.
below.*           TXT   "beside the wildcard, not of it"
desk              A     192.0.2.51
_ssh._tcp.desk    SRV   0 0 22 desk
_ssh._tcp.lamp    SRV   0 0 22 lamp
branch            NS    ns.branch.elsewhere.test.
branch            NS    ns2.elsewhere.test.
*.cname           CNAME desk
*.self            CNAME x.self
*.nowhere         CNAME missing.desk
*.out             CNAME www.elsewhere.test.
*.chain           CNAME x.cname
*.deep            A     192.0.2.52
there.deep        TXT   "no A here"
a.b.deep          TXT   "and an empty non-terminal"
*.*.twice         A     192.0.2.53
*.x.twice         A     192.0.2.54
*.mx              MX    10 any.deep
*.srv             SRV   1 1 1 desk
*.svcb            SVCB  1 . port=53
*.svcb            A     192.0.2.55
*.dn              DNAME target
x.target          A     192.0.2.56
*.ent.ent         A     192.0.2.57
"""

APEX_WILDCARD = SOA + "@ NS ns1.elsewhere.test.\n* A 192.0.2.60\n* CAA 0 issue \";\"\n"

DELEGATIONS = BASE + """
indomain          NS    ns1.indomain
indomain          NS    ns2.indomain
ns1.indomain      A     192.0.2.70
ns1.indomain      AAAA  2001:db8::70
ns2.indomain      A     192.0.2.71
www.indomain      A     192.0.2.72
ns1.indomain      TXT   "occluded"
self              NS    self
self              A     192.0.2.73
sibling           NS    ns1.indomain
sibling           NS    ns.sibling
ns.sibling        AAAA  2001:db8::74
auth              NS    ns1
auth              NS    host
host              A     192.0.2.75
far               NS    ns.elsewhere.test.
noglue            NS    ns.noglue
secure            NS    ns.secure
secure            DS    12345 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
ns.secure         A     192.0.2.76
outer             NS    ns.outer
ns.outer          A     192.0.2.77
inner.outer       NS    ns.inner.outer
ns.inner.outer    A     192.0.2.78
tocname           NS    cname
cname             CNAME host
deep.a.b.c        NS    ns.deep.a.b.c
ns.deep.a.b.c     A     192.0.2.79
UPPER             NS    NS.upper
ns.Upper          A     192.0.2.80
twocase           NS    Host
twocase           NS    hOST.indomain
host.indomain     A     192.0.2.81
*.wildglue        A     192.0.2.82
onwild            NS    ns.wildglue
below.wild        NS    ns.below.wild
*.wild            A     192.0.2.83
occluded          NS    ns.elsewhere.test.
*.occluded        A     192.0.2.84
d.occluded        DNAME elsewhere.test.
c.occluded        CNAME host
mx                MX    10 www.indomain
mx                MX    20 indomain
srv               SRV   1 1 1 ns1.indomain
tocut             CNAME www.indomain
tocut2            CNAME indomain
dstocut           CNAME secure
""" + "".join(f"many NS ns{n}.many\nns{n}.many A 192.0.2.{100 + n}\nns{n}.many AAAA 2001:db8::1:{n:x}\n" for n in range(1, 14)) \
    + "".join(f"mixedglue NS ns{n}.many\nmixedglue NS g{n}.mixedglue\ng{n}.mixedglue A 192.0.2.{130 + n}\n" for n in range(1, 9))

ALIASES = BASE + """
www         A     192.0.2.90
www         TXT   "end of chains"
c1          CNAME c2
c2          CNAME c3
c3          CNAME c4
c4          CNAME www
one         CNAME www
tonodata    CNAME ns2
tonowhere   CNAME missing
toent       CNAME ent
a.ent       TXT   "x"
toself      CNAME toself
loop1       CNAME loop2
loop2       CNAME loop3
loop3       CNAME loop1
intoloop    CNAME loop1
tocase      CNAME WwW
tosub       CNAME x.cut
cut         NS    ns.cut
ns.cut      A     192.0.2.91
tocutapex   CNAME cut
outside     CNAME www.elsewhere.test.
outside2    CNAME outside
toapex      CNAME @
towild      CNAME x.y.wild
*.wild      A     192.0.2.92
tomx        CNAME mx
mx          MX    10 www
toplain     CNAME www.plain.diff.test.
toplainmx   CNAME plain.diff.test.
toplain2    CNAME alias.plain.diff.test.
tonoplain   CNAME missing.plain.diff.test.
tonoplain2  CNAME www.b.ent.plain.diff.test.
toplainsub  CNAME www.sub.plain.diff.test.
toplainwild CNAME thing.deep.wildcards.diff.test.
todname     CNAME x.down.dnames.diff.test.
tofar       CNAME host.far-away.
back        CNAME back.aliases2.diff.test.
home        A     192.0.2.93
across      CNAME across.aliases2.diff.test.
"""

ALIASES2 = BASE + """
back        CNAME home.aliases.diff.test.
across      CNAME across.aliases.diff.test.
*.all       CNAME c1.aliases.diff.test.
"""

DNAMES = BASE + """
down        DNAME target
down        TXT   "beside the DNAME"
down        A     192.0.2.94
x.target    A     192.0.2.95
x.target    MX    10 x.down
*.w.target  A     192.0.2.96
c.target    CNAME x.target
cut.target  NS    ns.cut.target
ns.cut.target A   192.0.2.97
ent.ent.target A  192.0.2.98
target      TXT   "target"
two         DNAME down
out         DNAME elsewhere.test.
plain       DNAME plain.diff.test.
tocname     CNAME x.down
todn        CNAME down
topast      CNAME x.y.z.down
selfish     DNAME selfish
ring        DNAME x.ring
grow        DNAME grow.grow
root        DNAME .
hosts       MX    10 x.down
upper       DNAME TARGET
a.deep      DNAME target
""" + "long        DNAME " + ".".join(["l" * 60] * 3) + "\n" \
    + ".".join(["l" * 60] * 3) + " TXT \"long\"\n"

# A DNAME at an apex: nothing but the apex is in this zone.
DNAME_APEX = SOA + "@ NS ns1.elsewhere.test.\n@ DNAME plain.diff.test.\n@ TXT \"apex\"\n"

ODD = BASE + r"""
\000            A     192.0.2.110
\000.\000       A     192.0.2.111
a\.b            A     192.0.2.112
a.b             A     192.0.2.113
\032            TXT   "space"
\255            A     192.0.2.114
\255.\254       A     192.0.2.115
\@              A     192.0.2.116
\*              A     192.0.2.117
x.\*            A     192.0.2.118
*a              A     192.0.2.119
**              A     192.0.2.120
a.*             A     192.0.2.121
_               A     192.0.2.122
-               A     192.0.2.123
0               A     192.0.2.124
\128mid\127     CNAME \000
\[\]\{\}        A     192.0.2.125
A\066C          A     192.0.2.126
xn--bcher-kva   A     192.0.2.127
z\193z          A     192.0.2.128
z\225z          A     192.0.2.129
mxodd           MX    10 a\.b
cnameodd        CNAME A\.B
""" + f"{'x' * 63} A 192.0.2.130\n{'x' * 63}.{'y' * 63} MX 10 {'x' * 63}\n" \
    + ".".join(["n" * 49] * 4) + "." + "m" * 39 + " A 192.0.2.131\n" \
    + ".".join("a" * 119) + " A 192.0.2.132\n" + ".".join("b" * 118) + " TXT \"118 labels\"\n"

TYPES = BASE + r"""
all   A         192.0.2.140
all   TYPE10    \# 3 000102
all   HINFO     "CPU" "OS"
all   MINFO     r e
all   MX        10 all
all   TXT       "t" "" "u"
all   RP        m t
all   AFSDB     1 all
all   TYPE19    \# 5 0431323334
all   TYPE20    \# 5 0431323334
all   RT        10 all
all   TYPE26    \# 4 000A0000
all   KEY       256 3 8 AQPS
all   AAAA      2001:db8::140
all   LOC       52 22 23.000 N 4 53 32.000 E -2.00m 1m 10000m 10m
all   SRV       1 2 3 all
all   NAPTR     1 2 "u" "x" "!a!b!" .
all   KX        1 all
all   CERT      1 2 3 AQID
all   APL       1:192.0.2.0/24
all   SSHFP     1 1 0123456789ABCDEF0123456789ABCDEF01234567
all   IPSECKEY  10 1 2 192.0.2.38 AQPS
all   DHCID     AAIB
all   TLSA      3 1 1 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
all   SMIMEA    3 1 1 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
all   CDS       12345 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
all   OPENPGPKEY AQPS
all   SVCB      1 all port=1
all   HTTPS     1 all port=1
all   SPF       "v=spf1 -all"
all   NID       1 0014:4fff:ff20:ee64
all   L32       1 192.0.2.1
all   L64       1 2001:0db8:0001:0002
all   LP        1 all
all   EUI48     00-00-5e-00-53-2a
all   EUI64     00-00-5e-ef-10-00-00-2a
all   URI       1 2 "https://x.test/"
all   CAA       0 issue "x"
all   PTR       all
all   TYPE7     \# 1 00
all   TYPE8     \# 1 00
all   TYPE9     \# 1 00
all   TYPE731   \# 6 abcdef012345
all   TYPE65280 \# 4 0A000001
all   TYPE65534 \# 0
ptr1  PTR       a.ptr1
ptr1  PTR       b.a.ptr1
mb    TYPE7     \# 9 04686f7374026d6200
mg    TYPE8     \# 9 04686f7374026d6700
mr    TYPE9     \# 9 04686f7374026d7200
minfo MINFO     a.minfo a.minfo
unk   TYPE65281 \# 8 0378787803796f00
lp    LP        10 all
px    TYPE26    \# 11 000a 016100 0470782d6200
rt    RT        10 a.rt
"""

BIG = BASE + "".join(f'txt-8 TXT "{n:03d}{"x" * 96}"\n' for n in range(8)) \
    + "".join(f'txt-30 TXT "{n:03d}{"x" * 96}"\n' for n in range(30)) \
    + "".join(f'txt-300 TXT "{n:03d}{"x" * 96}"\n' for n in range(300)) \
    + "".join(f"a-200 A 198.51.100.{n}\n" for n in range(200)) \
    + "".join(f"aaaa-60 AAAA 2001:db8::{n:x}\n" for n in range(60)) \
    + "".join(f"mx-60 MX {n} mail{n}.mx-60\nmail{n}.mx-60 A 203.0.113.{n}\n" for n in range(60)) \
    + "".join(f"mx-700 MX {n} host{n}.a-rather-long-label-to-fill-messages.mx-700\n" for n in range(700)) \
    + "".join(f"ptr-20 PTR name{n}.example{n}.test.\n" for n in range(20)) \
    + "".join(f"cut-40 NS ns{n}.cut-40\nns{n}.cut-40 A 203.0.113.{n}\n" for n in range(40)) \
    + "".join(f"cut-800 NS ns{n}.cut-800\nns{n}.cut-800 A 203.0.113.{n % 250}\nns{n}.cut-800 AAAA 2001:db8:1::{n:x}\n" for n in range(800)) \
    + "tobig CNAME txt-30\nmxbig MX 1 a-200\nmxbig MX 2 aaaa-60\n*.wild TXT " + " ".join(f'"{"w" * 200}"' for _ in range(5)) + "\n" \
    + "".join(f'chain{n} CNAME chain{n + 1}\n' for n in range(8)) + "chain8 TXT \"end\"\n"

PARENT = BASE + """
child       NS    ns.child
ns.child    A     192.0.2.150
child       DS    12345 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
other       NS    ns1
www         A     192.0.2.151
tochild     CNAME www.child
tochild2    CNAME child
x.y         A     192.0.2.152
"""
CHILD = BASE + "www A 192.0.2.153\ntoparent CNAME www.family.diff.test.\nback CNAME tochild.family.diff.test.\ngrand NS ns.grand\nns.grand A 192.0.2.154\n"
GRANDCHILD = BASE + "www A 192.0.2.155\n@ MX 1 www\n"

ROOT = """. 3600 SOA ns1. host. 7 3600 600 604800 300
. NS ns1.
. NS ns.inner.
ns1. A 192.0.2.160
ns.inner. AAAA 2001:db8::160
inner. TXT "x"
com. NS ns.com.
com. NS ns1.
ns.com. A 192.0.2.161
com. DS 12345 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
www. A 192.0.2.162
m. MX 10 www.
m. MX 20 .
c. CNAME www.
c2. CNAME x.com.
c3. CNAME missing.
r. CNAME .
*.w. A 192.0.2.163
d. DNAME w.
. MX 10 www.
. TXT "root"
s. SRV 1 1 1 .
s. SRV 2 1 1 www.
a.b.ent. A 192.0.2.164
"""

ZONES = {
    "plain.diff.test": PLAIN, "wildcards.diff.test": WILDCARDS, "apexwild.diff.test": APEX_WILDCARD,
    "cuts.diff.test": DELEGATIONS, "aliases.diff.test": ALIASES, "aliases2.diff.test": ALIASES2, "dnames.diff.test": DNAMES,
    "dnameapex.diff.test": DNAME_APEX, "odd.diff.test": ODD, "types.diff.test": TYPES, "big.diff.test": BIG,
    "family.diff.test": PARENT, "child.family.diff.test": CHILD, "grand.child.family.diff.test": GRANDCHILD,
    "not-delegated.y.family.diff.test": GRANDCHILD,
    "single": BASE + "www A 192.0.2.170\n*.w A 192.0.2.171\n",
    "a.b.c.d.e.deep.diff.test": BASE + "x.y.z A 192.0.2.172\n",
    "MixedCase.Diff.Test": SOA + "@ NS NS\nNS A 192.0.2.173\nWWW CNAME ns\n",
    "empty.diff.test": SOA + "@ NS ns.elsewhere.test.\n",
    "far-away": BASE + "host A 192.0.2.174\nhost HTTPS 1 ns1\n",
}


def zone_file(name, text):
    """A zone of the corpus as text that stands alone."""
    return f"$ORIGIN {name.rstrip('.')}.\n$TTL 3600\n" + text


def owners(zone, text):
    """The owners of a zone's records in the order of the text, and the types that each has."""
    apex, found = wire_name(zone), {}
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        owner = words[0]
        rdtype = words[2] if words[1].isdigit() else words[1]
        if owner == "@":
            name = apex
        elif owner.endswith(".") and not owner.endswith("\\."):
            name = wire_name(owner)
        else:
            name = wire_name(owner)[:-1] + apex
        found.setdefault(name.lower(), (name, set()))[1].add(rdtype)
    return list(found.values())


def first_label(name):
    return name[1:1 + name[0]], name[1 + name[0]:]


def with_label(label, rest):
    name = bytes([len(label)]) + label + rest
    return name if len(label) <= 63 and len(name) <= 255 else None


def swap_case(name):
    """The other case, letter by letter."""
    out, i = bytearray(), 0
    while name[i]:
        out += name[i:i + 1] + name[i + 1:i + 1 + name[i]].swapcase()
        i += 1 + name[i]
    return bytes(out) + b"\0"


def names(zone, text):
    """What to ask a zone for: its owners and what is before, between, after, above and below them."""
    apex, some = wire_name(zone).lower(), {}
    def add(name, types=()):
        if name is not None and len(name) <= 255:
            some.setdefault(name, set()).update(types)
    for name, types in owners(zone, text):
        numbered = NUMBERED.fullmatch(name[1:1 + name[0]])
        if numbered and int(numbered[1]) in range(3, 5000):
            continue
        add(name.lower(), types)
        add(swap_case(name), types)
        for label in (b"x", b"*", b"\x00", b"zz"):
            add(with_label(label, name.lower()), types)
        add(with_label(b"a", with_label(b"b", name.lower()) or b"") if len(name) < 250 else None, types)
        if name.lower() == apex:
            continue
        label, rest = first_label(name.lower())
        add(with_label(label + b"\x00", rest))
        add(with_label(label[:-1] + bytes([label[-1] - 1]) if label[-1] else label[:-1] or b"\x00", rest))
        add(with_label(b"q", rest))
        while rest != apex and len(rest) > len(apex):
            add(rest)
            rest = first_label(rest)[1]
    add(first_label(apex)[1] if apex != b"\0" else None)
    return some


__all__ = ["ZONES", "ROOT", "names", "owners", "zone_file", "text_name"]
