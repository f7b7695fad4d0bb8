# SPDX-License-Identifier: GPL-3.0-or-later
"""Real primaries that fail: down, refusing, behind, killed, stopped; and a server that runs out of descriptors."""

import re
import resource
import signal
import socket
import struct
import time

import dns.rcode
import pytest

from links import Link
from servers import PATIENCE, Peer, await_event, await_serial, message, notify, query, tool, zone_text

pytestmark = pytest.mark.hostile

ZONE = "example.com"
#: Checks are a command's or NOTIFY's, unless a test says otherwise; what fails is tried again after a second.
QUICK = {"retry-jitter": 0, "refresh-jitter": 0}


def chain(servers, scope, primaries, **how):
    """A secondary of these primaries, in this order."""
    return servers.secondary([ZONE], primaries, scope=scope, name="secondary", items={**QUICK, **how.pop("items", {})}, **how).start()


def served(module):
    """The serial that it answers with."""
    return query(module, ZONE, "SOA").answer[0][0].serial


def check(module):
    """Has it check its primaries now; returns where its log ended before."""
    seen = module.log_position()
    module.knotc_module("zone-refresh", ZONE)
    return seen


def test_down_and_refusing(servers, scope):
    """Nobody listens at the first primary, the second one does not know us; the third one has the zone, then and later."""
    down = Peer()
    refusing = servers.nsd({ZONE: zone_text(ZONE)}, name="refusing")
    refusing.config = lambda own=refusing.config: re.sub(r"    provide-xfr: .*\n", "", own())
    good = servers.knotd({ZONE: zone_text(ZONE)}, name="good")
    for server in (refusing, good):
        server.start()
    module = chain(servers, scope, [down, refusing, good])
    module.await_serial(ZONE, 1)
    module.await_log(rf"refresh, remote 127\.0\.0\.1@{down.port}, failed \(connection refused\)")
    module.await_log(rf"refresh, remote 127\.0\.0\.1@{refusing.port}, failed \(server responded with error '(REFUSED|NOTAUTH)'\)")

    refusing.set_zone(ZONE, zone_text(ZONE, serial=5))
    await_serial(refusing, ZONE, 5)
    good.set_zone(ZONE, zone_text(ZONE, "www A 192.0.2.9\n", serial=2))
    seen = check(module)
    module.await_serial(ZONE, 2)
    # The second one said that it has more; it is asked, and does not give it.
    module.await_log(rf"refresh, remote 127\.0\.0\.1@{refusing.port}, failed \(server responded with error", after=seen)
    assert query(module, f"www.{ZONE}").answer


def test_serials_never_go_back(servers, scope):
    """A newer serial on the second primary is found while the first is behind, and kept when the second is gone."""
    first = servers.knotd({ZONE: zone_text(ZONE, serial=5)}, name="first").start()
    second = servers.named({ZONE: zone_text(ZONE, "new A 192.0.2.7\n", serial=7)}, name="second").start()
    module = chain(servers, scope, [first, second])
    module.await_serial(ZONE, 5)
    check(module)
    module.await_serial(ZONE, 7)

    second.stop()
    seen = check(module)
    module.await_log(rf"refresh, remote 127\.0\.0\.1@{first.port}, remote serial 5, remote is outdated", after=seen)
    module.await_log(rf"refresh, remote 127\.0\.0\.1@{second.port}, failed \(connection refused\)", after=seen)
    module.await_log(r"refresh, failed \(.*\), next retry at", after=seen)
    assert notify(module, ZONE, serial=5).rcode() == dns.rcode.NOERROR
    module.await_log(r"notify, incoming, .* serial 5(.*\n)*.*remote serial 5, remote is outdated", after=seen)
    assert served(module) == 7 and query(module, f"new.{ZONE}").answer

    first.set_zone(ZONE, zone_text(ZONE, serial=8))
    check(module)
    module.await_serial(ZONE, 8)
    assert query(module, f"new.{ZONE}").rcode() == dns.rcode.NXDOMAIN


#: A zone whose transfer takes many messages, and octets of it after which it is held in the middle.
HELD = 4 << 20
LARGE, FILLING = 120_000, "x" * 200


def large_text(serial):
    return zone_text(ZONE, "".join(f"host{n} TXT \"{FILLING}\"\n" for n in range(LARGE)), serial=serial, refresh=2, retry=1)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
@pytest.mark.parametrize("kind", ["knotd", "named"])
def test_primary_that_dies_in_a_transfer(servers, number, kind):
    """What serves goes on, other zones too; the transfer is tried again until it succeeds."""
    scope = "zone" if kind == "knotd" else "global"
    primary = getattr(servers, kind)({ZONE: zone_text(ZONE, refresh=2, retry=1)}, name="primary").start()
    other = servers.knotd({"example.org": zone_text("example.org", retry=1)}, name="other").start()
    link = Link(primary)
    remote = re.escape(f"{link.address}@{link.up.port}")
    module = servers.secondary([ZONE, "example.org"], [other, link.up], scope=scope, name="secondary",
                               items={**QUICK, "transfer-idle-timeout": 2}).start()
    for zone in (ZONE, "example.org"):
        module.await_serial(zone, 1)
    seen = module.log_position()
    link.hold(HELD)
    primary.set_zone(ZONE, large_text(2))
    module.await_log(rf"AXFR, incoming, remote {remote}, started", after=seen, timeout=30)
    primary.signal(number)
    link.heal()
    module.await_log(rf"refresh, remote {remote}, failed \((connection timeout|connection reset.*|connection refused)\)", after=seen)
    assert served(module) == 1 and query(module, f"host1.{ZONE}").rcode() == dns.rcode.NXDOMAIN

    other.change("example.org", "www 60 A 192.0.2.4")
    assert notify(module, "example.org", serial=2).rcode() == dns.rcode.NOERROR
    module.await_serial("example.org", 2)

    if number == signal.SIGSTOP:
        primary.signal(signal.SIGCONT)
    else:
        primary.kill()
        primary.start()
    module.await_serial(ZONE, 2, timeout=60)
    assert query(module, f"host{LARGE - 1}.{ZONE}", "TXT").answer
    link.stop()


def test_expires_and_recovers_with_the_same_serial(servers, scope):
    """A primary that hangs for longer than EXPIRE; its zone is silent, another primary's is not."""
    primary = servers.knotd({ZONE: zone_text(ZONE, refresh=1, retry=1, expire=4)}, name="primary").start()
    module = chain(servers, scope, [primary])
    module.await_serial(ZONE, 1)
    seen = module.log_position()
    primary.signal(signal.SIGSTOP)
    module.await_log(r"zone expired, serial 1$", after=seen, timeout=20)
    assert query(module, ZONE, "SOA").rcode() == dns.rcode.SERVFAIL
    primary.signal(signal.SIGCONT)
    module.await_serial(ZONE, 1, timeout=30)
    module.await_log(r"zone recovered, serial 1$", after=seen)
    assert primary.transfers(ZONE) == 1


@pytest.mark.parametrize("limit, remote", [(1, 1), (3, 2)])
def test_transfer_limits(servers, limit, remote):
    """No more transfers at once than allowed, in all and with one primary; and all zones come."""
    zones = [f"zone{n}.example" for n in range(40)]
    text = "".join(f"host{n} TXT \"{FILLING}\"\n" for n in range(1000))
    primary = servers.knotd({name: zone_text(name, text) for name in zones}, name="primary", workers=4).start()
    module = servers.secondary(zones, [primary], scope="global", name="secondary",
                               items={**QUICK, "transfer-limit": limit, "transfer-limit-remote": remote}).start()
    for name in zones:
        module.await_serial(name, 1)
    await_event(lambda: len(re.findall(r"AXFR, incoming, remote \S+, finished", module.log_text())) >= len(zones), "the end of all transfers")
    running = most = 0
    for event in re.findall(r"AXFR, incoming, remote \S+, (started|finished)", module.log_text()):
        running += 1 if event == "started" else -1
        most = max(most, running)
    assert running == 0 and 1 <= most <= remote


def test_slow_reader_is_cut(servers, scope):
    """A client that takes a little all the time occupies a worker no longer than one that takes nothing."""
    text = zone_text(ZONE, "".join(f"host{n} TXT \"{FILLING}\"\n" for n in range(50_000)))
    primary, module = servers.pair({ZONE: text}, scope=scope, items={"transfer-to": "all"}, acl={"all": {"action": "transfer"}})
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((module.address, module.port))
        wire = message(ZONE, "AXFR").to_wire()
        client.sendall(struct.pack("!H", len(wire)) + wire)
        seen = module.log_position()

        def takes_a_little():
            try:
                client.recv(100)
            except ConnectionError:
                pass
            time.sleep(0.05)
            return re.search(r"AXFR, outgoing, remote \S+, failed \(connection closed or stalled\)", module.log_text(seen))
        await_event(takes_a_little, "the end of a slow client's transfer")
    # A transfer that is over pins nothing, and the worker serves others.
    assert query(module, f"host1.{ZONE}", "TXT", tcp=True).answer


def test_descriptors_run_out(servers, scope):
    """Without a free descriptor no primary can be asked. What serves goes on, the log stays short, and it ends with the shortage."""
    primary = servers.knotd({ZONE: zone_text(ZONE, refresh=2, retry=1)}, name="primary").start()
    module = chain(servers, scope, [primary])
    module.await_serial(ZONE, 1)
    # Workers open what they need when they begin, and which of them answers depends on the port that asks: all have begun now.
    for _ in range(64):
        query(module, ZONE, "SOA")
    pid = module.process.pid
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    seen, began = module.log_position(), time.monotonic()
    # What is open stays so; nothing more can be opened.
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, usual[1]))
    try:
        primary.set_zone(ZONE, zone_text(ZONE, "www A 192.0.2.9\n", serial=2, refresh=2, retry=1))
        module.await_log(rf"refresh, remote 127\.0\.0\.1@{primary.port}, failed \(too many open files\)", after=seen)
        module.await_log(r"refresh, failed \(too many open files\), next retry at", after=seen)
        for _ in range(20):
            assert notify(module, ZONE, serial=2).rcode() == dns.rcode.NOERROR
            assert served(module) == 1
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    module.await_serial(ZONE, 2)
    # Each second a check that is due and one by NOTIFY, of two lines each; and those that were due at once.
    lines = len(re.findall(r"refresh, .*failed", module.log_text(seen)))
    assert lines <= 4 * (time.monotonic() - began + 1)


def test_descriptors_run_out_at_start(servers):
    """However few a server may open, the module does not end it, and says what it has to do without; knotd itself ends in order, or serves."""
    for limit in (*range(8, 22), 25, 28, 32, 64):
        module = servers.secondary([ZONE], [Peer()], scope="global", name=f"with{limit}", items={**QUICK, "upstream": "127.0.0.1@1"})
        # What libunbound forgets when it cannot open what it needs is its own affair.
        module.environment = lambda own=module.environment: {**(made := own()), "ASAN_OPTIONS": made.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        own = module.command()
        module.command = lambda own=own, limit=limit: [tool("prlimit"), f"--nofile={limit}:{limit}", "--", *own]
        module.write_config()
        module.launch()
        await_event(lambda: module.process.poll() is not None or "server started" in module.log_text(), f"a server with {limit} descriptors")
        if module.process.poll() is None:
            module.process.terminate()
        # Not by a signal: neither knotd, nor a library that would rather abort than fail.
        assert module.process.wait(timeout=PATIENCE) in (0, 1), f"{limit}: {module.log_text()}"
        module.process = None
        module.assert_clean()
        # libuv must not be asked for a loop when it could not have one: the reason would be missing, or the server.
        assert "failed to start the worker (" not in module.log_text().replace("failed to start the worker (too many open files)", "")
    assert "too many open files" not in module.log_text()
