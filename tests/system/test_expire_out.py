# SPDX-License-Identifier: GPL-3.0-or-later
"""EXPIRE (RFC 7314) answered: a chain of secondaries expires as its head does."""

import dns.edns
import dns.rcode
import dns.rrset
import pytest

from servers import Key, absolute, ask, await_event, await_serial, message, query, zone_text
from test_reexport import EVERYONE, ZONE, big_text, exporter

EXPIRE = dns.edns.GenericOption(9, b"")


def asking(rdtype="SOA", zone=ZONE, serial=None, key=None, options=(EXPIRE,), payload=1232):
    """A query that asks for the option."""
    wanted = message(zone, rdtype, options=options, key=key, payload=payload)
    if serial is not None:
        wanted.authority.append(dns.rrset.from_text(absolute(zone), 0, "IN", "SOA", f". . {serial} 0 0 0 0"))
    return wanted


def expire(response):
    """The option's value, or None."""
    found = [option for option in response.options if option.otype == 9]
    assert len(found) < 2
    if not found:
        return None
    data = found[0].to_wire()
    assert len(data) == 4
    return int.from_bytes(data, "big")


def expire_of(server, zone=ZONE):
    return expire(ask(server, asking(zone=zone)))


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_who_asks_is_told(servers, scope, tcp):
    _, secondary = exporter(servers, {ZONE: zone_text(ZONE, serial=3, expire=1000)}, scope)
    wanted = [asking(), asking("IXFR", serial=3)]
    if tcp:
        wanted += [asking("AXFR"), asking("IXFR", serial=2)]
    for one in wanted:
        response = ask(secondary, one, tcp=tcp)
        assert response.rcode() == dns.rcode.NOERROR and response.answer
        assert 900 < expire(response) <= 1000


def test_nobody_else_is(servers, scope):
    _, secondary = exporter(servers, {ZONE: zone_text(ZONE)}, scope)
    for one in (asking(options=()), asking("NS"), asking("A"), asking(zone=f"www.{ZONE}"), asking(zone=f"ns1.{ZONE}")):
        assert expire(ask(secondary, one)) is None
    response = ask(secondary, asking(options=(), payload=None))
    assert response.edns == -1 and response.answer


def test_bounds_count(servers):
    """What is left to our version, not what its SOA says."""
    _, secondary = exporter(servers, {ZONE: zone_text(ZONE, expire=1000)}, items={"expire-max-interval": "100"})
    assert 50 < expire_of(secondary) <= 100
    secondary.items["expire-max-interval"] = "50"
    secondary.reload()
    # knotc does not wait for the thread that has the timers.
    await_event(lambda: (left := expire_of(secondary)) is not None and left <= 50, "the new bound")


def test_signed(servers):
    key = Key("downstream")
    _, secondary = servers.pair({ZONE: big_text(count=2000)}, items={"transfer-to": "signed"}, keys=[key],
                                acl={"signed": {"key": key.name, "action": "transfer"}})
    for rdtype in ("SOA", "AXFR"):
        response = ask(secondary, asking(rdtype, key=key), tcp=True)
        assert response.had_tsig and response.answer and expire(response) > 600000


def test_chain_expires_as_its_head(servers):
    """The SOA would let the second one serve for hours after the first has stopped."""
    zone = zone_text(ZONE, refresh=2, retry=1, expire=36000)
    head, first = exporter(servers, {ZONE: zone}, items={"expire-max-interval": "8", "refresh-jitter": "0", "retry-jitter": "0"})
    second = servers.secondary([ZONE], [first], items={"refresh-jitter": "0", "retry-jitter": "0"}).start()
    await_serial(second, ZONE)
    later, earlier = expire_of(second), expire_of(first)
    assert later <= 8 and earlier <= 8
    head.stop()
    first.await_log(r"zone expired, serial 1")
    response = ask(first, asking())
    assert response.rcode() == dns.rcode.SERVFAIL and expire(response) is None
    second.await_log(r"zone expired, serial 1")
    assert query(second, ZONE, "SOA").rcode() == dns.rcode.SERVFAIL
    head.start()
    for server in (first, second):
        await_event(lambda: query(server, ZONE, "SOA").rcode() == dns.rcode.NOERROR, "recovery")
    assert expire_of(second) <= 8


@pytest.mark.plain
def test_knotd_heeds_it(servers):
    """A stock secondary behind the module."""
    head, first = exporter(servers, {ZONE: zone_text(ZONE, refresh=2, retry=1, expire=36000)}, items={"expire-max-interval": "6"})
    mirror = servers.knotd(mirrored=[ZONE], primaries=[first]).start()
    await_serial(mirror, ZONE)
    head.stop()
    first.await_log(r"zone expired, serial 1")
    mirror.await_log(rf"\[{ZONE}\.\] zone expired")
