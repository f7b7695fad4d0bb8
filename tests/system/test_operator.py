# SPDX-License-Identifier: GPL-3.0-or-later
"""A primary breaks: what the operator sees of it, and how he repairs it, by log, zone-status and statistics."""

import re

from servers import await_event, query, zone_text

ZONE = "example.com"


def status(module):
    line = module.knotc_module("zone-status", ZONE).strip()
    return dict(item.split(": ", 1) for item in line.split("] ", 1)[1].split(" | "))


def test_break_see_repair(servers, scope):
    text = zone_text(ZONE, refresh=2, retry=1, expire=600)
    primary, module = servers.pair({ZONE: text}, scope=scope, items={"refresh-jitter": 0, "retry-jitter": 0})
    peer = f"primary 127.0.0.1@{primary.port}"
    primary.stop()
    where = r"\[example\.com\.\] .*" if scope == "zone" else r"zone 'example\.com\.', "
    module.await_log(rf"warning: .*{where}zone falls behind, serial 1, last current at 20[\d-]+T[\d:]+[+-]\d+$")
    found = await_event(lambda: (lambda now: now if now["state"] == "retrying" else None)(status(module)), "a failure")
    assert re.fullmatch(r"failed, .*, -\d+s", found[peer]) and "retry" in found and found["expiration"].startswith("+")
    assert query(module, ZONE, "SOA").answer
    # A question that was under way at its end may have found silence first.
    await_event(lambda: re.search(r"primary-failure\[network\] = [1-9]", module.knotc_module("zone-stats", ZONE)), "a connection refused")

    # It comes with news: a check may begin as soon as it is there.
    primary.zones[ZONE] = zone_text(ZONE, serial=2, refresh=2, retry=1, expire=600)
    primary.start()
    assert module.knotc_module("-b", "zone-refresh", ZONE).strip() == "OK"
    module.await_log(rf"notice: .*{where}zone has caught up, serial 2$")
    await_event(lambda: (lambda now: now["state"] == "fresh" and re.fullmatch(r"ok, serial 2, -\d+s", now[peer]))(status(module)), "a success")
    assert len(re.findall("falls behind", module.log_text())) == len(re.findall("caught up", module.log_text())) == 1
