# SPDX-License-Identifier: GPL-3.0-or-later
"""Increments in: after any number of changes the zone is, record for record, the primary's, and whatever goes wrong ends in AXFR."""

import re
import signal

import dns.flags
import dns.message
import dns.rcode
import dns.rdataset
import dns.rdatatype
import dns.rrset
import pytest

from conftest import full
from scripted import Scripted
from servers import Key, absolute, await_event, await_serial, query, serial_of, soa, zone_text
from updates import FULL, KNOTD_INCREMENTS, NAMED_INCREMENTS, NSD_INCREMENTS, Changing, Watcher, assert_same_zone, has_serial_of, records_of, seeded, update

ZONE = "example.com"
EVERYONE = {"items": {"transfer-to": "everyone"}, "acl": {"everyone": {"action": "transfer"}}}


def knotd_source(servers, changing, zone_conf="", **more):
    head = servers.knotd({changing.zone: changing.text()}, updates=True, zone_conf=KNOTD_INCREMENTS + zone_conf, **more)
    return head, head


def named_source(servers, changing, **more):
    head = servers.named({changing.zone: changing.text()}, updates=True, zone_conf=NAMED_INCREMENTS, **more)
    return head, head


def nsd_source(servers, changing, **more):
    """It passes on what another one makes, change by change."""
    head = servers.knotd({changing.zone: changing.text()}, updates=True, zone_conf=KNOTD_INCREMENTS)
    primary = servers.nsd(mirrored=[changing.zone], primaries=[head], **NSD_INCREMENTS, **more)
    head.notify.append(primary)
    return head, primary


#: Where changes are made, and the primary that gives them as increments.
SOURCES = {"knotd": knotd_source, "named": named_source, "nsd": nsd_source}


def pair(servers, changing, kind="knotd", scope="zone", items=None, more=None, **kwargs):
    """Where changes are made, and a secondary that everyone may transfer from."""
    head, primary = SOURCES[kind](servers, changing, **(more or {}))
    secondary = servers.secondary([changing.zone], [primary], scope=scope, acl=EVERYONE["acl"], items={**EVERYONE["items"], **(items or {})}, **kwargs)
    primary.notify.append(secondary)
    for server in dict.fromkeys((head, primary)):
        server.start()
        await_serial(server, changing.zone)
    secondary.start().await_serial(changing.zone)
    return head, secondary


def await_same(head, secondary, zone):
    """Both have the same serial, and the same records."""
    secondary.knotc_module("zone-refresh", absolute(zone))
    await_event(lambda: has_serial_of(secondary, head, zone), f"{head.path.name}'s serial at {secondary.path.name}")
    assert_same_zone(head, secondary, zone)


def came(secondary, after=0):
    """How many increments and how many whole zones have come."""
    log = secondary.log_text(after)
    return len(re.findall(r"IXFR, incoming, .*finished", log)), len(re.findall(r"AXFR, incoming, .*finished", log))


@pytest.mark.parametrize("kind", SOURCES)
def test_random_changes(servers, kind, scope):
    """Each batch is fetched as one sequence or several, as it comes; never as a whole zone."""
    changing = Changing(ZONE, seeded())
    head, secondary = pair(servers, changing, kind, scope)
    for batch in range(200 if FULL else 8):
        for _ in range(changing.rng.choice([1, 1, 4, 20]) if kind != "nsd" else 1):
            changing.step(head)
        if kind == "nsd":
            await_serial(secondary.primaries[0], ZONE, changing.serial)
        await_same(head, secondary, ZONE)
    increments, wholes = came(secondary)
    assert increments >= batch and wholes == 1, secondary.log_text()
    assert "fallback" not in secondary.log_text()


POLICY = "policy:\n  - id: sign\n    algorithm: ecdsap256sha256\n    single-type-signing: on\n    nsec3: {}\n    nsec3-iterations: 0\n    nsec3-salt-length: {}\n"


@pytest.mark.parametrize("nsec3", ["off", "on"])
def test_signed_zone(servers, nsec3):
    """Changes of a zone that knotd signs, and all signatures made anew; what there is not is denied as by the primary."""
    changing = Changing(ZONE, seeded(), names=60)
    head, secondary = pair(servers, changing, more={
        "zone_conf": "    dnssec-signing: on\n    dnssec-policy: sign\n", "server_conf": POLICY.format(nsec3, 4 if nsec3 == "on" else 0)})
    assert query(secondary, "none." + ZONE, do=True).authority
    for batch in range(60 if FULL else 5):
        for _ in range(changing.rng.choice([1, 3])):
            changing.step(head)
        if batch == 2:
            head.knotc("-b", "zone-sign", absolute(ZONE))
        await_same(head, secondary, ZONE)
        for n in range(20):
            name = changing.rng.choice(["none{}", "host{}", "a.host{}", "sub{}", "x.sub{}", "alias{}", "x.deep.er.host{}", "c{}.d{}"]).format(n, n)
            ours, theirs = (query(server, f"{name}.{ZONE}", "AAAA", do=True) for server in (secondary, head))
            assert ours.rcode() == theirs.rcode(), name
            for section in ("answer", "authority"):
                assert sorted(map(str, getattr(ours, section))) == sorted(map(str, getattr(theirs, section))), f"{name} {section}"
    increments, wholes = came(secondary)
    assert increments >= batch and wholes == 1


# --- large, many at once

def test_large_increment(servers):
    """Knotd makes it of two zone files."""
    lines = [f"host{n} A 192.0.{n >> 8 & 255}.{n & 255}\n" for n in range(20000)]
    head = servers.knotd({ZONE: zone_text(ZONE, "".join(lines))}, zone_conf="    zonefile-load: difference\n")
    secondary = servers.secondary([ZONE], [head], **EVERYONE)
    head.start()
    secondary.start().await_serial(ZONE)
    head.set_zone(ZONE, zone_text(ZONE, "".join(lines[:5000] + [line.replace("host", "new") for line in lines[5000:15000]]), serial=2))
    await_same(head, secondary, ZONE)
    assert came(secondary) == (1, 1)


def test_increment_that_is_worth_less_than_the_zone(servers):
    """A small zone that was large for a while: the way there is longer than the zone itself."""
    head = servers.knotd({ZONE: zone_text(ZONE)}, zone_conf="    zonefile-load: difference\n")
    secondary = servers.secondary([ZONE], [head], **EVERYONE)
    head.start()
    secondary.start().await_serial(ZONE)
    head.set_zone(ZONE, zone_text(ZONE, "".join(f"host{n} TXT {'x' * 200}\n" for n in range(5000)), serial=2))
    head.set_zone(ZONE, zone_text(ZONE, "last A 192.0.2.1\n", serial=3))
    await_same(head, secondary, ZONE)
    secondary.await_log(r"IXFR, incoming, .*fallback to AXFR \(increment larger than the zone is worth\)")


def test_changes_while_stopped(servers):
    changing = Changing(ZONE, seeded())
    head, secondary = pair(servers, changing)
    secondary.signal(signal.SIGSTOP)
    for _ in range(100 if FULL else 25):
        changing.step(head)
    secondary.signal(signal.SIGCONT)
    await_same(head, secondary, ZONE)
    assert came(secondary)[1] == 1
