# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept: the version that serves while a worse one is offered, and zones over a restart."""

import re

from servers import query, zone_text

ZONE = "example.com"


def hosts(count, serial):
    return zone_text(ZONE, "".join(f"h{n} A 192.0.2.{n}\n" for n in range(count)), serial=serial)


def test_zone_that_shrank_waits_for_the_operator(servers, scope):
    primary, secondary = servers.pair({ZONE: hosts(200, 1)}, scope=scope, items={"zone-shrink-limit": 50})
    primary.set_zone(ZONE, hosts(20, 2))
    reason = r"serial 2 held back, records 206 -> 26, zone-shrink-limit 50"
    secondary.await_log(rf"error: .*refresh, remote {primary.address}@{primary.port}, failed \({reason}\)")
    status = secondary.knotc_module("zone-status", ZONE)
    assert "serial: 1 " in status and "state: retrying" in status and re.search(f"failed, {reason}", status)
    assert query(secondary, f"h199.{ZONE}").answer

    # A check alone confirms nothing.
    seen = secondary.log_position()
    secondary.knotc_module("zone-refresh", ZONE)
    secondary.await_log(reason, after=seen)
    assert query(secondary, f"h199.{ZONE}").answer

    secondary.knotc_module("zone-retransfer", ZONE)
    secondary.await_serial(ZONE, 2)
    assert not query(secondary, f"h199.{ZONE}").answer and query(secondary, f"h19.{ZONE}").answer
    assert "state: fresh" in secondary.knotc_module("zone-status", ZONE)


def kept(tmp_path):
    return {"store": str(tmp_path / "store")}


def test_restart_with_all_primaries_down(servers, scope, tmp_path):
    primary, secondary = servers.pair({ZONE: hosts(20, 1)}, scope=scope, items=kept(tmp_path))
    primary.change(ZONE, "added 60 A 192.0.2.99")
    secondary.await_serial(ZONE, 2)
    primary.stop()
    secondary.restart()
    secondary.await_serial(ZONE, 2)
    assert query(secondary, f"added.{ZONE}").answer and query(secondary, f"h19.{ZONE}").answer
    secondary.await_log(r"store, zone restored, serial 2, expires in 604[78]\d\d seconds")
