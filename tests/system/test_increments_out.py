# SPDX-License-Identifier: GPL-3.0-or-later
"""Increments out: what changed is transferred by others, and makes of their version ours, record for record."""

import subprocess

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.xfr
import dns.zone
import pytest

from servers import (SLOWNESS, Key, Peer, absolute, ask, await_event, await_serial, message, query, tool, zone_text)
from test_reexport import EVERYONE, ZONE, exporter, pull, request, signature


def records(count=200):
    return "".join(f"host{n} A 192.0.2.{n % 250}\nhost{n} TXT \"{n}\"\n" for n in range(count))


def changed(serial):
    """The zone at a serial: some records are added with each, some go, some change, and the SOA's timers stay."""
    return zone_text(ZONE, records() + "".join(f"new{n} A 192.0.2.{n % 250}\nnew{n} MX {n} host{n}\n" for n in range(max(1, serial - 2), serial))
                     + f"changes TXT \"{serial}\"\nchanges CAA 0 issue \"ca{serial}\"\n", serial=serial)


def lines(done):
    found = [" ".join(line.split()) for line in done.stdout.splitlines() if line and not line.startswith(";")]
    assert found, f"{done.stdout}{done.stderr}"
    return found


def increment(server, serial, zone=ZONE, key=None):
    """The records of an IXFR from a serial, in order, as kdig prints them."""
    return lines(subprocess.run([tool("kdig"), f"@{server.address}", "-p", str(server.port), absolute(zone), f"IXFR={serial}", "+noall", "+answer",
                                 *signature(key)], capture_output=True, text=True, timeout=60 * SLOWNESS))


def serial_in(line):
    """Of a line with a SOA."""
    words = line.split()
    return int(words[6]) if words[3] == "SOA" else None


def is_increment(answer):
    """The first record is the newest SOA, the second the client's."""
    return len(answer) > 1 and serial_in(answer[1]) is not None


def apply(held, answer):
    """Applies an increment to sorted lines; what is removed must be there, what is added must not."""
    held, newest, removing = set(held), serial_in(answer[0]), False
    for line in answer[1:]:
        if serial_in(line) is not None:
            removing = not removing
            if removing and serial_in(line) == newest:
                break
        if removing:
            held.remove(line)
        else:
            assert line not in held
            held.add(line)
    assert line == answer[-1] == answer[0]
    return sorted(held)


def versions(primary, secondary, numbers, text=changed):
    """Makes the versions one after the other; returns what each held."""
    held = {}
    for number in numbers:
        if number > 1:
            primary.set_zone(ZONE, text(number))
        secondary.await_serial(ZONE, number)
        held[number] = sorted(set(pull(secondary, ZONE)))
        secondary.await_log(rf"notify, outgoing, .* serial {number}$|IXFR, outgoing.*", 0) if secondary.notify else None
    return held


@pytest.fixture(params=[False, True], ids=["plain", "signed"])
def key(request):
    return Key("downstream") if request.param else None


def keyed(servers, content, scope="zone", key=None, kind="knotd", **items):
    rule = {"action": "transfer", **({"key": key.name} if key else {})}
    return exporter(servers, content, scope, acl={"everyone": rule}, keys=[key] if key else [], kind=kind, items=items)


@pytest.mark.parametrize("kind", ["knotd", "nsd", "named"])
def test_every_serial_leads_to_the_newest(servers, scope, kind):
    """Also where the primary sent whole zones."""
    primary, secondary = exporter(servers, {ZONE: changed(1)}, scope, kind=kind)
    held = versions(primary, secondary, range(1, 6))
    for serial in range(1, 5):
        answer = increment(secondary, serial)
        assert is_increment(answer)
        assert apply(held[serial], answer) == held[5]
    assert increment(secondary, 5) == increment(secondary, 6) == [line for line in held[5] if " SOA " in line]
    secondary.await_log(r"IXFR, outgoing, remote 127.0.0.1@\d+, started, serial 1 -> 5$")
    secondary.await_log(r"IXFR, outgoing, remote 127.0.0.1@\d+, finished, \d+\.\d\d seconds, 1 messages, \d+ bytes$")
