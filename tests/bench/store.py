# SPDX-License-Identifier: GPL-3.0-or-later
"""`./build.sh bench store`: a server that has kept its zone, from start to the first correct answer, beside one that transfers it."""

import os
from pathlib import Path

import generators
import harness
import zones
from harness import median, spread
from load import load_once
from many import many_names
from servers import await_event

TRANSFERRED, KEPT = "transferred", "kept"
#: Seconds for a million records.
BOUND = 0.3


def keep(server, zone, last):
    """Has the server transfer the zone and keep it; returns octets of the file, once it is whole."""
    store = Path(server.items["store"])
    server.write_config()
    server.launch()
    harness.first_answer(server, last)
    file = store / f"{zone.origin.rstrip('.')}.zone"
    await_event(file.exists, "the file", 600)
    server.stop()
    return file.stat().st_size


def bench_zone(servers, arguments, key, zone):
    primary = harness.replay(servers, zone)
    last = f"{zone.last()}.{zone.origin}"
    peers = {TRANSFERRED: servers.secondary([zone.origin], [primary]),
             KEPT: servers.secondary([zone.origin], [primary], items={"store": str(servers.path / f"store-{key}")})}
    for server in peers.values():
        harness.quiet(server)
    octets = keep(peers[KEPT], zone, last)
    results = harness.in_turns(arguments.rounds, peers, lambda _, server: load_once(server, last))
    primary.close()

    harness.say(f"### store {key}: {primary.records:,} records in {zone.names:,} names, {octets:,} octets of file, "
                f"{octets / primary.records:.1f} a record\n")
    rows = []
    for name in peers:
        times, used, settled, peak = (results.column(name, place) for place in range(4))
        rows.append((name, f"{median(times):.3f}", spread(times, "{:.3f}"),
                     f"{median(harness.ratios(times, results.column(TRANSFERRED, 0))):.2f}", f"{median(used):.2f}",
                     f"{median(settled) / harness.MB:.1f}", f"{median(peak) / harness.MB:.1f}"))
    harness.table(("zone", "start to first answer (s)", "least – most", "ratio to transfer", "CPU (s)", "memory (MB)", "peak (MB)"), rows)
    return results.median(KEPT, 0), primary.records


def bench_count(servers, arguments, count):
    """Very many zones of ten records."""
    path, names = servers.path / f"many{count}", many_names(count)
    primary = zones.Primary(path / "primary", names, [])
    peers = {TRANSFERRED: zones.ListedSecondary(path / "transferred", names, [primary], scope="global"),
             KEPT: zones.ListedSecondary(path / "kept", names, [primary], scope="global", items={"store": str(path / "store")})}
    for server in (primary, *peers.values()):
        servers.all.append(server)
        harness.quiet(server)
    primary.start()
    zones.load_once(peers[KEPT], names)
    assert len(os.listdir(path / "store")) == count + 1
    results = harness.in_turns(arguments.rounds, peers, lambda _, server: zones.load_once(server, names))
    primary.stop()

    harness.say(f"### store: {count:,} zones of 10 records, from start to all of them answering\n")
    rows = []
    for name in peers:
        times, used, octets = (results.column(name, place) for place in range(3))
        rows.append((name, f"{median(times):.2f}", spread(times), f"{median(harness.ratios(times, results.column(TRANSFERRED, 0))):.2f}", f"{median(used):.2f}",
                     f"{median(octets) / harness.MB:.0f}"))
    harness.table(("zones", "seconds", "least – most", "ratio to transfer", "CPU (s)", "memory (MB)"), rows)


def bench_store(servers, arguments):
    """Time from start to the first correct answer; files are in the page cache, as after a restart of the server alone."""
    made = generators.zones(arguments.small)
    for key in ("h1m", "t1m"):
        if arguments.zone and key not in arguments.zone:
            continue
        seconds, records = bench_zone(servers, arguments, key, made[key])
        if key == "h1m":
            arguments.targets.tell("store h1m", f"{seconds:.3f} s for {records:,} records, load {os.getloadavg()[0]:.0f}", seconds <= BOUND)
    if not arguments.zone:
        bench_count(servers, arguments, 300 if arguments.small else 10_000)
