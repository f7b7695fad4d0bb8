# SPDX-License-Identifier: GPL-3.0-or-later
"""A life of the server, for valgrind and the sanitizers to watch: load, transfer, changes, reloads, removal, restart, stop."""

import socket
import struct

import dns.query
import dns.rcode

from servers import Peer, message, query, zone_text

RELOADS = 20
ZONES = ["example.com", "example.org"]


def test_load_transfer_reloads_stop(servers, scope, tmp_path):
    primary, secondary = servers.pair({zone: zone_text(zone, "www A 192.0.2.3\n* MX 10 www\n") for zone in ZONES}, scope=scope,
                                      items={"store": str(tmp_path / "store"), "zonemd-verify": "if-present"})
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
    secondary.restart()
    secondary.await_log(rf"store, zone restored, serial {RELOADS + 1}", after=secondary.started_at)
    secondary.stop()


def test_transfers_out(servers, scope):
    """Complete ones, refused ones, and such whose client leaves, between new versions and reloads."""
    text = zone_text(ZONES[0], "".join(f"host{n} TXT \"{'x' * 200}\"\n" for n in range(2000)))
    primary, secondary = servers.pair({ZONES[0]: text}, scope=scope, items={"transfer-to": "one"},
                                      acl={"one": {"address": "127.0.0.1", "action": "transfer"}})
    for serial in range(2, 6):
        assert sum(len(rrset) for part in dns.query.xfr(secondary.address, ZONES[0], port=secondary.port) for rrset in part.answer) > 2000
        with socket.create_connection((secondary.address, secondary.port)) as client:
            wire = message(ZONES[0], "AXFR").to_wire()
            client.sendall(struct.pack("!H", len(wire)) + wire)
            client.recv(2)
        assert query(secondary, ZONES[0], "AXFR", tcp=True, source="127.0.0.2").rcode() == dns.rcode.NOTAUTH
        primary.change(ZONES[0], f"www 60 A 192.0.2.{serial}")
        secondary.await_serial(ZONES[0], serial)
        secondary.reload()
    secondary.stop()


def test_upstream_lookups_under_way(servers, scope):
    """Questions to a resolver that is not there, while stanzas change and zones go."""
    text = zone_text(ZONES[0], "".join(f"e{n} CNAME e{n}.target.net.\n" for n in range(100)))
    _, secondary = servers.pair({ZONES[0]: text}, scope=scope, items={"upstream": f"127.0.0.1@{Peer().port}"})
    for n in range(3):
        for number in range(0, 100, 9):
            assert query(secondary, f"e{number}.{ZONES[0]}", "TXT", rd=True).answer
        secondary.items["upstream-stale"] = str(10 + n)
        secondary.reload()
    del secondary.items["upstream"]
    secondary.reload()
    assert query(secondary, f"e1.{ZONES[0]}", rd=True).answer
    secondary.stop()
