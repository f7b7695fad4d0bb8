# SPDX-License-Identifier: GPL-3.0-or-later
"""Extended DNS errors (RFC 8914): each state of a zone says why, as kdig shows it. Those about alias targets are in test_upstream.py."""

import re
import subprocess

import dns.edns
import dns.rcode

from servers import Key, Peer, ask, await_event, message, query, tool, zone_text

ZONE, OTHER = "example.com", "example.org"


def kdig(server, *words):
    """The response as the stock client prints it."""
    return subprocess.run([tool("kdig"), f"@{server.address}", "-p", str(server.port), "+timeout=10", *words],
                          capture_output=True, text=True, check=True).stdout


def ede(response):
    return [(option.code, option.text) for option in response.options if isinstance(option, dns.edns.EDEOption)]


def ede_line(text):
    return [line for line in text.splitlines() if line.startswith(";; EDE")]


def test_not_ready(servers, scope):
    acl = {"everyone": {"address": "127.0.0.0/8", "action": "transfer"}}
    module = servers.secondary([ZONE], [Peer()], scope=scope, acl=acl, items={"transfer-to": "everyone"}).start()
    for words in (["SOA"], ["SOA", "+tcp"]):
        text = kdig(module, "+edns", ZONE, *words)
        assert "SERVFAIL" in text and ede_line(text) == [";; EDE: 14 (Not Ready): 'zone has not been transferred yet'"]
    response = ask(module, message(ZONE, "AXFR"), tcp=True)
    assert response.rcode() == dns.rcode.SERVFAIL and ede(response) == [(14, "zone has not been transferred yet")]


def test_expired(servers, scope):
    text = zone_text(ZONE, refresh=1, retry=1, expire=3)
    primary, module = servers.pair({ZONE: text}, scope=scope, items={"refresh-jitter": 0, "retry-jitter": 0})
    primary.stop()
    # Not the line of the log: on a slow machine it may have expired, and recovered, while the primary was there.
    await_event(lambda: query(module, ZONE, "SOA").rcode() == dns.rcode.SERVFAIL, "the end of the zone")
    text = kdig(module, "+edns", ZONE, "SOA")
    assert "SERVFAIL" in text
    assert re.fullmatch(r";; EDE: 24 \(Invalid Data\): 'zone expired at 20[\d-]+T[\d:]+Z'", ede_line(text)[0])
    assert not ede_line(kdig(module, "+noedns", ZONE, "SOA"))


def test_prohibited(servers, scope):
    _, module = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    for rdtype in ("AXFR", "IXFR"):
        response = ask(module, message(ZONE, rdtype), tcp=True)
        assert response.rcode() == dns.rcode.NOTAUTH and ede(response) == [(18, "transfer not allowed")]


def test_alias_into_a_zone_without_version(servers, scope):
    """The target is in a zone of ours that has not come."""
    records = f"alias CNAME www.{OTHER}.\n"
    primary = servers.knotd({ZONE: zone_text(ZONE, records)}).start()
    module = servers.secondary([ZONE, OTHER], [primary], scope=scope).start()
    module.await_serial(ZONE)
    text = kdig(module, "+edns", f"alias.{ZONE}", "A")
    assert "NOERROR" in text and ede_line(text) == [";; EDE: 14 (Not Ready): 'alias into a zone that is not served now'"]


def test_text_leaves_room_for_the_answer(servers, scope):
    """With a long name and a signature an error still fits; the text goes before the code does."""
    key = Key()
    acl = {"signed": {"key": key.name, "action": "transfer"}}
    module = servers.secondary([ZONE], [Peer()], scope=scope, acl=acl, keys=[key], items={"transfer-to": "signed"}).start()
    name = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 40, ZONE])
    for asked in (ZONE, name):
        response = query(module, asked, key=key, payload=512)
        assert len(response.to_wire(max_size=65535)) <= 512
        assert response.rcode() == dns.rcode.SERVFAIL and [code for code, _ in ede(response)] == [14]
