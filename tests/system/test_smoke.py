# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way once for each kind of primary and each scope: transferred, served, changed, and transferred anew after a restart."""

import dns.flags
import dns.rcode
import pytest

from servers import Key, await_event, query, zone_text

ZONE = "example.com"


def addresses(response):
    return sorted(rdata.to_text() for rrset in response.answer for rdata in rrset)


def change_address(primary, kind):
    """www gets another address; the primary's serial goes from 1 to 2."""
    if kind == "knotd":
        primary.change(ZONE, "-www A", "www 3600 A 192.0.2.4")
    else:
        primary.set_zone(ZONE, zone_text(ZONE, "www A 192.0.2.4\n", serial=2))


@pytest.mark.parametrize("key", [None, Key()], ids=["plain", "tsig"])
@pytest.mark.parametrize("kind", ["knotd", "nsd", "named"])
def test_transferred_served_changed_restarted(servers, scope, kind, key):
    primary, secondary = servers.pair({ZONE: zone_text(ZONE, "www A 192.0.2.3\n")}, scope=scope, kind=kind, key=key)

    response = query(secondary, "www." + ZONE)
    assert response.flags & dns.flags.AA
    assert addresses(response) == ["192.0.2.3"]
    assert query(secondary, "none." + ZONE).rcode() == dns.rcode.NXDOMAIN
    # What is served here may not be in the primary's log yet.
    await_event(lambda: primary.transfers(ZONE), "the transfer in the primary's log")
    assert primary.transfers(ZONE) == 1

    # No timer is due for an hour: what comes now, NOTIFY brought.
    change_address(primary, kind)
    secondary.await_serial(ZONE, 2)
    assert addresses(query(secondary, "www." + ZONE)) == ["192.0.2.4"]

    # Nothing was kept on disk, so the primary sees a full transfer.
    await_event(lambda: primary.transfers(ZONE) > 1, "the second transfer in the primary's log")
    before = primary.transfers(ZONE)
    secondary.restart()
    secondary.await_serial(ZONE, 2)
    await_event(lambda: primary.transfers(ZONE) == before + 1, "a full transfer after the restart")


def test_many_zones_come_from_one_stanza(servers, scope):
    zones = {f"zone{n}.example": zone_text(f"zone{n}.example", f"www A 192.0.2.{n}\n") for n in range(50)}
    _, secondary = servers.pair(zones, scope=scope)
    for n in range(50):
        assert addresses(query(secondary, f"www.zone{n}.example")) == [f"192.0.2.{n}"]


def test_start_waits_for_no_primary(servers, scope):
    """The server answers at once; the zone comes when its primary does, which tells by NOTIFY that it is there."""
    primary = servers.knotd({ZONE: zone_text(ZONE)})
    secondary = servers.secondary([ZONE], [primary], scope=scope).start()
    primary.notify.append(secondary)
    assert query(secondary, ZONE, "SOA").rcode() == dns.rcode.SERVFAIL
    primary.start()
    secondary.await_serial(ZONE, 1)
