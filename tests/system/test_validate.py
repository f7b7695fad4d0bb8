# SPDX-License-Identifier: GPL-3.0-or-later
"""A validating resolver accepts what the module answers from signed zones: Unbound for every name and type, delv for a sample."""

import subprocess

import dns.dnssec
import dns.edns
import dns.flags
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

import signed
from servers import Servers, query, sign_zone, tool, zone_text

pytestmark = pytest.mark.plain

SECURE, INSECURE = f"secure.{signed.ZONE}", f"insecure.{signed.ZONE}"
OTHER = "other.test"

#: Nothing but what the module sends may decide: no answer made from earlier proofs, no question less than what is asked.
UNBOUND = """server:
    module-config: "validator iterator"
    local-zone: "test." transparent
    qname-minimisation: no
    aggressive-nsec: no
    neg-cache-size: 0
    harden-below-nxdomain: no
    prefetch: no
    val-log-level: 2
    ede: yes
    trust-anchor: "{anchor}"
"""


class Served:
    """The module with a signed zone, its children and a neighbour, and a resolver that knows the zone's key alone."""

    def __init__(self, path, how):
        child = sign_zone(path / "child", SECURE, zone_text(SECURE, "www A 192.0.2.44\n*.wild TXT \"w\"\n"), **how)
        ds = dns.dnssec.make_ds(dns.name.from_text(SECURE), signed.anchor(child, SECURE), "SHA256")
        self.text = sign_zone(path / "sign", signed.ZONE, signed.text(ds.to_text()), **how)
        self.servers = Servers(path)
        _, self.module = self.servers.pair({
            signed.ZONE: self.text,
            SECURE: child,
            INSECURE: zone_text(INSECURE, "www A 192.0.2.42\n"),
            OTHER: zone_text(OTHER, "www A 192.0.2.70\n"),
        })
        self.key = signed.anchor(self.text)
        zones = {zone: self.module for zone in (signed.ZONE, SECURE, INSECURE, OTHER)}
        self.resolver = self.servers.unbound(zones, conf=UNBOUND.format(anchor=f"{signed.ZONE}. DNSKEY {self.key.to_text()}")).start()

    def status(self, name, rdtype):
        """What the resolver thinks of it, and what it says why."""
        response = query(self.resolver, name, rdtype, do=True, rd=True, tcp=True)
        if response.rcode() == dns.rcode.SERVFAIL:
            return "bogus", " ".join(option.to_text() for option in response.options)
        return "secure" if response.flags & dns.flags.AD else "insecure", ""


@pytest.fixture(scope="module", params=signed.CHAINS)
def served(request, tmp_path_factory):
    some = Served(tmp_path_factory.mktemp(request.param), signed.CHAINS[request.param])
    some.how = request.param
    yield some
    some.servers.stop()


def label_of(name):
    return "@" if name == f"{signed.ZONE}." else name[:-len(signed.ZONE) - 2]


def is_left_out(name, rdtype):
    """Servers that do not exist, DS that only a parent has, loops, of which a resolver says SERVFAIL, and what Unbound cannot."""
    label = label_of(name)
    at_cut = label[2:] if label.startswith("x.") else label
    if at_cut in ("cut.above", "a.both", "b.both", "c.below.both"):
        return rdtype != "DS" or label != at_cut
    if label == "@":
        return rdtype == "DS"
    if label == "any.round":
        return rdtype != "CNAME"
    # Unbound 1.17, whoever answers: "signature crypto failed"; and what a DNAME made is no answer to these types.
    return label == "*.x.wild" or (rdtype in ("CNAME", "DNAME") and (label == "todname" or label.endswith(".dname")))


def is_unsigned(label):
    """Below the insecure delegation, or led to what is not signed."""
    return label.endswith(".insecure") or label in ("insecure", "tocut", "any.out", "x.secure")


#: With opt-out: names that exist and are signed have an NSEC3 that matches.
OWN = """@ mail host _sip._tcp.host _tcp.host ent two.ent one.two.ent wild *.wild beside.wild deep.beside.wild many.wild alias *.alias
entwild *.entwild sub.*.entwild cname dname target _x zzzz both b.both secure""".split()


def expected(how, name, rdtype):
    """The statuses that are right."""
    label = label_of(name)
    if rdtype == "DS" and label in ("insecure", "cut.above", "a.both", "c.below.both"):
        return {"insecure" if how in ("opt-out", "limit") else "secure"}
    if is_unsigned(label):
        return {"insecure", "secure"}
    return {"secure"} if how not in ("opt-out", "limit") or label in OWN else {"insecure", "secure"}


def test_unbound(served):
    wrong, secure = [], 0
    for name, rdtype in signed.questions(served.text, types=signed.TYPES):
        if is_left_out(name, rdtype):
            continue
        status, why = served.status(name, rdtype)
        secure += status == "secure"
        if status not in expected(served.how, name, rdtype):
            wrong.append(f"{name} {rdtype}: {status} {why}")
    assert not wrong, "\n".join(wrong)
    assert secure > 300


def delv(served, name, rdtype):
    """What delv thinks of the module's answer."""
    anchors = served.servers.path / "anchors"
    key = "".join(served.key.to_text().split()[3:])
    anchors.write_text(f'trust-anchors {{ {signed.ZONE}. static-key {served.key.flags} {served.key.protocol} {served.key.algorithm} "{key}"; }};\n')
    done = subprocess.run([tool("delv"), f"@{served.module.address}", "-p", str(served.module.port), "-a", str(anchors),
                           f"+root={signed.ZONE}", name, rdtype], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_delv(served):
    """A second opinion. What opt-out leaves open counts as answered, not as validated."""
    for label in "mail host ent any.wild *.x.wild any.alias any.entwild x.ent a.dname any.chain nowhere x.nowhere secure insecure".split():
        for rdtype in ("DS",) if label in ("secure", "insecure") else ("A", "TXT"):
            words = delv(served, signed.full_name(label), rdtype)
            assert "fully validated" in words or (served.how in ("opt-out", "limit") and "unsigned" in words), f"{label} {rdtype}: {words}"


def test_costly(tmp_path):
    """Too many iterations: one record tells of them, so that what is not proved is insecure and not bogus."""
    served = Served(tmp_path, signed.COSTLY)
    try:
        for label, rdtype, status in [("host", "A", "secure"), ("nowhere", "A", "insecure"), ("host", "MX", "insecure"), ("any.wild", "A", "insecure"),
                                      ("any.wild", "TXT", "insecure"), ("ent", "A", "insecure"), ("insecure", "DS", "insecure"),
                                      ("any.alias", "A", "insecure"), ("any.lost", "A", "insecure"), ("secure", "DS", "secure")]:
            assert served.status(signed.full_name(label), rdtype)[0] == status, f"{label} {rdtype}"
            response = query(served.module, signed.full_name(label), rdtype, do=True)
            count = sum(rrset.rdtype == dns.rdatatype.NSEC3 for rrset in response.authority)
            codes = [option.code for option in response.options if option.otype == dns.edns.OptionType.EDE]
            assert (count, codes) == ((0, []) if status == "secure" else (1, [27])), f"{label} {rdtype}"
            assert not query(served.module, signed.full_name(label), rdtype, payload=1232).options
    finally:
        served.servers.stop()
