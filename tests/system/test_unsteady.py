# SPDX-License-Identifier: GPL-3.0-or-later
"""A wall clock that jumps, and calls that are interrupted or do less than asked, each in the surroundings that unsteady.py makes."""

import errno
import itertools
import re
import socket
import struct
import time

import dns.flags
import dns.message
import dns.rcode
import dns.tsig
import pytest

from scripted import Scripted, answer
from servers import SLOWNESS, Key, await_event, await_serial, message, query, zone_text
from unsteady import CONNECT, DAY, HOST, HOUR, MODULE, READ, Unsteady, WAIT, WRITE, YEAR

ZONE = "example.com"
QUICK = {"retry-jitter": 0, "refresh-jitter": 0}


@pytest.fixture
def unsteady(tmp_path):
    return Unsteady(tmp_path / "unsteady")


def secondary(servers, unsteady, primary, scope="global", names=(ZONE,), items=None, **how):
    """A secondary that is told of changes, in these surroundings."""
    module = servers.secondary(names, [primary], scope=scope, name="secondary", items={**QUICK, **(items or {})}, **how)
    primary.notify.append(module)
    return unsteady.around(module)


def status_of(module, zone=ZONE):
    """What zone-status says of a zone, by item."""
    text = module.knotc_module("zone-status", zone)
    return dict(item.split(": ", 1) for item in re.sub(r"^\[\S+\] ", "", text.strip()).split(" | "))


def state_of(module, zone=ZONE):
    """The gauges of a zone."""
    return {name: int(value) for name, value in re.findall(r"state\[(\S+)\] = (\d+)", module.knotc_module("zone-stats", zone))}


def served(server):
    """The serial that it answers with."""
    return query(server, ZONE, "SOA").answer[0][0].serial


def seconds(text):
    """Of a time as knotc prints it: "+1D2h3m4s"."""
    units = {"Y": YEAR, "D": DAY, "h": HOUR, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([YDhms])", text))


# A clock that jumps

JUMPS = {"an hour on": HOUR, "an hour back": -HOUR, "ten years on": 10 * YEAR, "ten years back": -10 * YEAR}


#: Seconds: of the zone whose checks are watched, and of what is due in moments and not in as long as a clock jumps.
REFRESH, EXPIRE, MOMENTS = 2, 10, 60


@pytest.mark.plain
@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS)
def test_clock_jumps(servers, unsteady, jump):
    """Checks and expiry go by a clock that nobody sets: none comes early, none is lost, nobody is asked more often."""
    primary = servers.knotd({ZONE: zone_text(ZONE, refresh=REFRESH, retry=1, expire=EXPIRE)}, name="primary")
    module = secondary(servers, unsteady, primary, scope="zone" if jump > 0 else "global")
    primary.start()
    module.start().await_serial(ZONE, 1)
    module.await_log(r"zone is up-to-date")

    seen, began = module.log_position(), time.monotonic()
    unsteady.jump(jump)
    status, state, now = status_of(module), state_of(module), time.time() + unsteady.ahead()
    # What is told as a time from now is that still; what is told as a time of the clock is one of the clock as it is.
    checked = [value for item, value in status.items() if item.startswith("primary")]
    assert seconds(status["refresh"]) <= REFRESH and seconds(status["expiration"]) <= EXPIRE
    assert seconds(status["last-success"]) <= MOMENTS and seconds(checked[0].rsplit(", ", 1)[1]) <= MOMENTS
    assert abs(state["last-success"] - now) <= MOMENTS and abs(state["expires"] - now) <= MOMENTS

    # Two checks come, seconds apart, not a storm of them; and it does expire when its time has come.
    module.await_log(r"(?s)zone is up-to-date.*zone is up-to-date", after=seen)
    lines = module.log_text(seen)
    assert len(re.findall(r"refresh, remote", lines)) <= 2 + (time.monotonic() - began) and "expired" not in lines
    stopping = time.monotonic()
    primary.stop()
    module.await_log(r"zone expired, serial 1$", after=seen, timeout=20)
    assert time.monotonic() - stopping > 1
    assert abs(state_of(module)["expires"] - time.time() - unsteady.ahead()) <= MOMENTS
    primary.start()
    module.await_log(r"zone recovered, serial 1$", after=seen)


@pytest.mark.plain
def test_signatures_and_the_clock(servers, unsteady):
    """A clock that is off by an hour spoils signatures, which is said; nothing but the news is lost, and all is well when it is right again."""
    key = Key()
    primary = servers.knotd({ZONE: zone_text(ZONE)}, name="primary", key=key)
    module = secondary(servers, unsteady, primary, items={"transfer-to": "all"}, keys=[key],
                       acl={"all": {"address": "127.0.0.0/8", "key": key.name, "action": "transfer"}})
    primary.notify.clear()
    primary.start()
    module.start().await_serial(ZONE, 1)
    for jump in (HOUR, -2 * HOUR):
        unsteady.jump(jump)
        seen = module.log_position()
        primary.change(ZONE, f"new{abs(jump)} 60 A 192.0.2.9")
        serial = served(primary)
        module.knotc_module("zone-refresh", ZONE)
        module.await_log(rf"warning: .*refresh, remote 127\.0\.0\.1@{primary.port}, failed \(TSIG out of time window\)", after=seen)
        assert served(module) == serial - 1
        await_event(lambda: "TSIG out of time window" in status_of(module)[f"primary 127.0.0.1@{primary.port}"], "the reason")
        # Who asks us with a signature hears why it is not accepted, and where our clock is.
        with pytest.raises(dns.tsig.PeerBadTime):
            query(module, ZONE, "AXFR", tcp=True, key=key)
        unsteady.jump(-unsteady.ahead())
        module.knotc_module("zone-refresh", ZONE)
        module.await_serial(ZONE, serial)
        unsteady.jump(HOUR)
    unsteady.jump(-unsteady.ahead())
    assert query(module, ZONE, "AXFR", tcp=True, key=key).answer


@pytest.mark.plain
@pytest.mark.parametrize("jump, left", [(HOUR, (604800 - HOUR - 100, 604800 - HOUR)), (-HOUR, (604700, 604800)), (-10 * YEAR, (604700, 604800)),
                                        (8 * DAY, None)], ids=["an hour on", "an hour back", "ten years back", "beyond EXPIRE"])
def test_what_was_kept_and_the_clock(servers, unsteady, tmp_path, jump, left):
    """Times in a file are those of the wall clock. Should that be behind since, no zone is good for longer than it was when it was checked."""
    primary = servers.knotd({ZONE: zone_text(ZONE)}, name="primary").start()
    module = secondary(servers, unsteady, primary, items={"store": str(tmp_path / "store")})
    module.start().await_serial(ZONE, 1)
    await_event((tmp_path / "store" / f"{ZONE}.zone").exists, "the zone's file")
    module.stop()
    primary.stop()
    unsteady.jump(jump)
    seen = module.log_position()
    module.start()
    if left is None:
        module.await_log(r"store, .*expired", after=seen)
        assert query(module, ZONE, "SOA").rcode() == dns.rcode.SERVFAIL
    else:
        said = int(module.await_log(r"store, zone restored, serial 1, expires in (\d+) seconds", after=seen)[1])
        assert left[0] <= said <= left[1] and served(module) == 1
        assert abs(seconds(status_of(module)["last-success"]) - max(jump, 0)) < 100
        assert abs(state_of(module)["expires"] - time.time() - jump - said) < 100
    primary.start()
    module.knotc_module("zone-refresh", ZONE)
    module.await_log(r"zone is up-to-date|zone updated", after=seen)
    assert served(module) == 1


@pytest.mark.plain
@pytest.mark.parametrize("jump", [10 * YEAR, -10 * YEAR], ids=["ten years on", "ten years back"])
def test_resolvers_and_the_clock(servers, unsteady, jump):
    """What is known of targets, and of a resolver that fails, does not go by the wall clock: neither is it lost, nor kept for years."""
    does = {"answer": True}
    resolver = Scripted(lambda q, tcp: answer(q, f"{q.question[0].name} 1 A 198.51.100.9") if does["answer"] else None)
    primary = servers.knotd({ZONE: zone_text(ZONE, "ext CNAME www.target.net.\nother CNAME other.target.net.\n")}, name="primary")
    module = secondary(servers, unsteady, primary, items={"upstream": f"127.0.0.1@{resolver.port}", "upstream-prefetch": 0})
    primary.start()
    module.start().await_serial(ZONE, 1)

    def follows(name):
        return len(query(module, f"{name}.{ZONE}", rd=True).answer) == 2
    await_event(lambda: follows("ext"), "the target")
    does["answer"] = False
    seen = module.log_position()
    await_event(lambda: follows("other") or "does not answer" in module.log_text(seen), "a resolver that is found dead", timeout=40)
    unsteady.jump(jump)
    assert follows("ext")
    does["answer"] = True
    await_event(lambda: follows("other"), "the other target", timeout=60)
    resolver.stop()


# Calls that are interrupted, or do less than asked

def contents(server, zone=ZONE):
    """A zone as its transfer out gives it, each record a line. Read as fast as it comes, as knotd drops those who are slow."""
    wire, made = b"", message(zone, "AXFR", payload=None).to_wire()
    with socket.create_connection((server.address, server.port), timeout=10 * SLOWNESS) as client:
        client.sendall(struct.pack("!H", len(made)) + made)
        client.shutdown(socket.SHUT_WR)
        while part := client.recv(1 << 16):
            wire += part
    lines = []
    while wire:
        size = 2 + struct.unpack_from("!H", wire)[0]
        response, wire = dns.message.from_wire(wire[2:size], one_rr_per_rrset=True), wire[size:]
        assert response.rcode() == dns.rcode.NOERROR
        lines += [rrset.to_text() for rrset in response.answer]
    assert " SOA " in lines[0] and lines[0] == lines[-1]
    return sorted(lines)


def sometimes_truncated():
    """A resolver's script: an address; over UDP every other time that more comes over TCP."""
    turns = itertools.count()

    def script(question, tcp):
        if not tcp and next(turns) % 2:
            return answer(question, flags=dns.flags.TC)
        return answer(question, f"{question.question[0].name} 30 A 198.51.100.9")
    return script


@pytest.mark.parametrize("whose", [MODULE, HOST], ids=["module", "server"])
def test_calls_that_do_less(servers, unsteady, whose, tmp_path):
    """A zone comes, changes, goes out, is kept, is asked about and steered, and its targets are resolved: with each tenth call disturbed as ever."""
    resolver = Scripted(sometimes_truncated())
    text = zone_text(ZONE, "".join(f"host{n} TXT \"{'x' * 200}\"\n" for n in range(2000)) + "".join(f"ext{n} CNAME t{n}.target.net.\n" for n in range(50)), retry=1)
    primary = servers.knotd({ZONE: text}, name="primary")
    module = secondary(servers, unsteady, primary, items={"upstream": f"127.0.0.1@{resolver.port}", "store": str(tmp_path / "store"),
                                                          "transfer-to": "all"}, acl={"all": {"action": "transfer"}})
    below = servers.knotd(mirrored=[ZONE], primaries=[module], name="below")
    module.items["notify"] = "peer0"
    module.notify.append(below)
    primary.start()
    unsteady.disturb(0.1, whose=whose)
    module.start().await_serial(ZONE, 1)
    below.start()
    last = 12
    for serial in range(2, last + 1):
        primary.change(ZONE, f"new{serial} 60 A 192.0.2.9", f"-host{serial} TXT")
        module.await_serial(ZONE, serial)
        assert status_of(module)["serial"] == str(serial)
        assert query(module, f"host999.{ZONE}", "TXT", tcp=True).answer
    for n in range(50):
        await_event(lambda n=n: len(query(module, f"ext{n}.{ZONE}", rd=True).answer) == 2, f"the target of ext{n}")
    module.knotc_module("-b", "zone-refresh", ZONE)
    module.knotc_module("-b", "zone-retransfer", ZONE)
    # What disturbs the server may have cost it the transfer that NOTIFY led to: it tries again.
    below.knotc("zone-refresh", ZONE)
    await_serial(below, ZONE, last)
    assert contents(module) == contents(primary) == contents(below)
    # What went to the disk in pieces is whole.
    module.restart()
    module.await_log(rf"store, zone restored, serial {last}", after=module.started_at)
    assert contents(module) == contents(primary)
    calls = unsteady.calm()
    print("disturbed:", calls)
    assert all(calls[kind] > 0 for kind in (READ, WRITE, CONNECT, WAIT))
    resolver.stop()


@pytest.mark.parametrize("number, reason", [(errno.EIO, "Input/output error"), (errno.ENOSPC, "No space left on device")], ids=["EIO", "ENOSPC"])
def test_disk_that_fails(servers, unsteady, tmp_path, number, reason):
    """What cannot be kept serves all the same, which is said once; when the disk works again, the last version is kept."""
    primary = servers.knotd({ZONE: zone_text(ZONE)}, name="primary")
    module = secondary(servers, unsteady, primary, items={"store": str(tmp_path / "store")})
    primary.start()
    module.start().await_serial(ZONE, 1)
    await_event((tmp_path / "store" / f"{ZONE}.zone").exists, "the zone's file")
    unsteady.break_disk(number)
    for serial in (2, 3, 4):
        primary.change(ZONE, f"new{serial} 60 A 192.0.2.9")
        module.await_serial(ZONE, serial)
        module.await_log(rf"error: .*store, directory '.*', not written \({reason}\)")
    unsteady.break_disk(0)
    primary.change(ZONE, "new5 60 A 192.0.2.9")
    module.await_serial(ZONE, 5)
    module.await_log(r"notice: .*store, directory '.*', written again")
    assert module.log_text().count("not written") == 1
    primary.stop()
    module.restart()
    module.await_log(r"store, zone restored, serial 5", after=module.started_at)
    assert query(module, f"new5.{ZONE}").answer and query(module, f"new2.{ZONE}").answer
