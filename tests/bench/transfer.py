# SPDX-License-Identifier: GPL-3.0-or-later
"""`./build.sh bench transfer`: a full transfer out of a zone of a million records over loopback, to a client that only receives."""

import socket
import time

import generators
import harness
from harness import OURS, median, say, spread
from servers import message

SECONDS_MAX = 0.08
#: Seconds without an octet after which the transfer is over: not each server closes the connection then.
IDLE = 0.5


def drain(server, zone):
    """(seconds from the request to the last octet, octets)"""
    wire = message(zone, "AXFR", payload=None).to_wire()
    buffer, octets = bytearray(1 << 20), 0
    with socket.create_connection((server.address, server.port)) as client:
        began = last = time.monotonic()
        client.sendall(len(wire).to_bytes(2, "big") + wire)
        try:
            while count := client.recv_into(buffer):
                octets, last = octets + count, time.monotonic()
                client.settimeout(IDLE)
        except TimeoutError:
            pass
    return last - began, octets


def bench_transfer(servers, arguments):
    """Seconds and octets of an AXFR."""
    zone = generators.hosting(arguments.small, arguments.scale)
    primary = harness.replay(servers, zone)
    peers = harness.peers_of(servers, [zone.origin], primary, arguments.peers, items={"transfer-to": "everyone"},
                             acl={"everyone": {"action": "transfer"}})
    for server in peers.values():
        server.write_config()
        server.launch()
        harness.first_answer(server, f"{zone.last()}.{zone.origin}")
    results = harness.in_turns(arguments.rounds, peers, lambda _, server: drain(server, zone.origin))
    primary.close()

    say(f"### transfer: AXFR out of {primary.records:,} records over loopback\n")
    rows = []
    for name in peers:
        times, octets = results.column(name, 0), results.column(name, 1)
        assert len(set(octets)) == 1 and octets[0] > len(primary.stream) / 2, f"{name} sent {octets}"
        rows.append((name, f"{median(times):.3f}", spread(times, "{:.3f}"), results.to_native(name, 0), f"{octets[0]:,}",
                     f"{octets[0] / median(times) / harness.MB:.0f}"))
    harness.table(("server", "seconds", "least – most", "ratio to knotd", "octets", "MB/s"), rows)
    harness.plot("transfer", "AXFR out", "seconds", {name: [results.median(name, 0)] for name in peers})
    if arguments.scale == 1:
        seconds = results.median(OURS, 0)
        arguments.targets.tell("transfer", f"{seconds:.3f} s", seconds <= SECONDS_MAX)
