# SPDX-License-Identifier: GPL-3.0-or-later
"""Very many zones from one primary: while they come a zone that serves answers every query, and each comes once and stays."""

import os
import re
import signal
import time

import dns.rcode
import pytest

from many import ManyZones, Watcher, many_names
from servers import PATIENCE, SLOWNESS, await_event
from test_load import Stream

FULL = os.environ.get("TEST_FULL") == "1"
#: By scope: zones, and queries a second meanwhile for the one that serves already.
ZONES = {"zone": 10000, "global": 100000} if FULL else {"zone": 500, "global": 2000}
RATE = 5000 if FULL else 1000
#: Seconds in which some zone has to come, as long as not all have.
PROGRESS = 4 * PATIENCE

NOERROR, SERVFAIL, REFUSED = dns.rcode.NOERROR, dns.rcode.SERVFAIL, dns.rcode.REFUSED


def list_zones(secondary, names):
    """The names go into the zone sections or into the list of a file."""
    secondary.names = names
    if secondary.scope == "global":
        secondary.items["zones-file"] = str(secondary.path / "list")
        (secondary.path / "list").write_text("".join(f"{name}\n" for name in names))


def await_codes(watcher, wanted, follows):
    """Watches until all zones are answered with that code. Each change has to be from a code to the one that follows it."""
    moved = time.monotonic()
    while set(watcher.codes) != {wanted}:
        changed = watcher.watch()
        for number, before, now, _ in changed:
            assert (before, now) in follows, f"{watcher.names[number]}: {before} -> {now}"
        if changed:
            moved = time.monotonic()
        assert time.monotonic() < moved + PROGRESS, f"{sum(code != wanted for code in watcher.codes)} zones do not come"


@pytest.mark.alone
@pytest.mark.plain
def test_zones_come_once_and_cost_others_nothing(servers, scope, tmp_path):
    steady, *names = many_names(1 + ZONES[scope])
    primary = ManyZones(tmp_path / "primary", [steady, *names])
    servers.all.append(primary)
    primary.start()
    secondary = servers.secondary(primaries=[primary], scope=scope, name="secondary")
    list_zones(secondary, [steady])
    secondary.start().await_serial(steady, 1)
    watcher = Watcher(secondary, names)

    with Stream(secondary, tmp_path, RATE, [f"www.{steady}", f"none.{steady}", steady]) as stream:
        # Every zone is seen without a version, since the primary stalls until then; first, knotd has not heard of them.
        primary.signal(signal.SIGSTOP)
        await_codes(watcher, REFUSED, {(None, REFUSED)})
        list_zones(secondary, [steady, *names])
        secondary.reload()
        await_codes(watcher, SERVFAIL, {(REFUSED, SERVFAIL)})
        primary.signal(signal.SIGCONT)
        await_codes(watcher, NOERROR, {(SERVFAIL, NOERROR)})
        # From now on nothing changes, not even by a reload.
        assert not watcher.watch()
        secondary.reload()
        assert not watcher.watch()
        stream.await_report()
        result = stream.stop()
    watcher.close()

    print(result)
    # Whether the machine brings them as fast as that is its own affair.
    assert result["lost"] == 0
    codes = dict(re.findall(r"(\w+) (\d+)", result["codes"]))
    assert set(codes) == {"NOERROR", "NXDOMAIN"}

    def transfers():
        return len(re.findall(r"AXFR, outgoing, .*finished", primary.log_text()))
    await_event(lambda: transfers() > len(names), "the primary's word of the last transfer")
    assert transfers() == len(names) + 1
