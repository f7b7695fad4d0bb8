# SPDX-License-Identifier: GPL-3.0-or-later
"""`./build.sh bench load`: large zones from a primary that is never the limit, from start to the first correct answer, and memory."""

import generators
import harness
from harness import NATIVE, OURS, median, say, spread

#: (key, bound on seconds or None); a server's time is that of the last name that the stream brings.
TIMED = {"h1m": 0.25, "t1m": None, "h10m": None}
OCTETS_MAX = 65


def load_once(server, name, records):
    """Starts a server and stops it again; (seconds to the first answer, processor seconds by then, settled octets, peak octets)."""
    server.write_config()
    harness.warm_memory(records)
    server.launch()
    seconds = harness.first_answer(server, name)
    used = sum(harness.processor_time(server))
    peak = harness.peak_memory(server)
    octets = harness.settled_memory(server)
    server.stop()
    return seconds, used, octets, peak


def tell(targets, key, results, records):
    best, times = results.best_peer(0), results.median(OURS, 0)
    bound = TIMED[key]
    targets.tell(f"load {key}", f"{times:.3f} s, {times / best:.2f} × best peer", times <= 0.25 * best and (bound is None or times <= bound))
    if key != "h10m":
        octets = results.median(OURS, 2) / records
        targets.tell(f"memory {key}", f"{octets:.1f} octets", octets <= OCTETS_MAX)


def load_zone(servers, arguments, key, zone):
    primary = harness.replay(servers, zone)
    peers = harness.peers_of(servers, [zone.origin], primary, arguments.peers)
    last = f"{zone.last()}.{zone.origin}"
    results = harness.in_turns(arguments.rounds, peers, lambda _, server: load_once(server, last, primary.records))
    primary.close()

    records = primary.records
    say(f"### load {key}: {records:,} records in {zone.names:,} names, {len(primary.stream):,} octets of AXFR replayed\n")
    rows = []
    for name in peers:
        times, used, octets, peak = (results.column(name, place) for place in range(4))
        rows.append((name, f"{median(times):.3f}", spread(times, "{:.3f}"), results.to_native(name, 0), f"{median(used):.2f}", f"{median(octets) / harness.MB:.1f}",
                     f"{median(octets) / records:.1f}", results.to_native(name, 2), f"{median(peak) / harness.MB:.1f}"))
    harness.table(("server", "start to first answer (s)", "least – most", "ratio to knotd", "CPU (s)", "memory (MB)", "octets a record", "ratio to knotd",
                   "peak (MB)"), rows)
    harness.plot(f"load-{key}", f"{key}: start to first answer", "seconds", {name: [results.median(name, 0)] for name in peers})
    if len(peers) > 1 and key in TIMED:
        tell(arguments.targets, key, results, records)
    return results


def bench_load(servers, arguments):
    """Time from start to the first correct answer, processor time, and memory settled and at most."""
    zones = generators.zones(arguments.small)
    chosen = {key: zones[key] for key in ("h1m", "t1m")}
    chosen["h10m"] = generators.hosting(arguments.small, 10)
    if arguments.scale > 1:
        chosen = {f"h{arguments.scale}m": generators.hosting(arguments.small, arguments.scale)}
    for key, zone in chosen.items():
        if not arguments.zone or key in arguments.zone:
            load_zone(servers, arguments, key, zone)
