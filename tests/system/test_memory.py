# SPDX-License-Identifier: GPL-3.0-or-later
"""A life of the server, for valgrind and the sanitizers to watch: load, transfer, changes, reloads, removal, stop."""

import dns.rcode

from servers import query, zone_text

RELOADS = 20
ZONES = ["example.com", "example.org"]


def test_load_transfer_reloads_stop(servers, scope):
    primary, secondary = servers.pair({zone: zone_text(zone, "www A 192.0.2.3\n* MX 10 www\n") for zone in ZONES}, scope=scope)
    for serial in range(2, RELOADS + 2):
        primary.change(ZONES[0], f"www 60 A 192.0.2.{serial + 2}")
        secondary.reload()
        secondary.await_serial(ZONES[0], serial)
        assert query(secondary, "www." + ZONES[0]).answer
        assert query(secondary, f"a{serial}." + ZONES[1], "MX").answer
        assert query(secondary, f"a.www." + ZONES[1], do=True).rcode() == dns.rcode.NXDOMAIN

    secondary.names.remove(ZONES[1])
    secondary.reload()
    assert query(secondary, ZONES[1], "SOA").rcode() == dns.rcode.REFUSED
    secondary.names.append(ZONES[1])
    secondary.reload()
    secondary.await_serial(ZONES[1], 1)
    secondary.stop()
