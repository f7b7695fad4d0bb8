# SPDX-License-Identifier: GPL-3.0-or-later
"""`./build.sh bench reload`: `knotc reload` of very many zones, and what those notice who ask for one of them meanwhile."""

import time

import harness
import zones
from harness import NATIVE, median, say, spread
from many import many_names

RATE, SECONDS = 4000, 10
#: Seconds of calm before the reload.
CALM = 2


def percentile(values, part):
    return sorted(values)[int(len(values) * part)] if values else float("nan")


def reload_once(server, name):
    """(seconds of the reload, p99 before it, p99 in it, slowest in it, lost), latencies in microseconds"""
    load = harness.Steady(server, RATE, f"all {name}\n" * (RATE * SECONDS))
    time.sleep(CALM)
    began = load.now()
    server.knotc("reload")
    ended = load.now()
    answers = load.finish()
    calm = [took for _, sent, took, *_ in answers if 0 <= took and sent < began]
    during = [took for _, sent, took, *_ in answers if 0 <= took and began <= sent + took and sent <= ended]
    return (ended - began) / 1e6, percentile(calm, 0.99), percentile(during, 0.99), max(during, default=float("nan")), sum(took < 0 for _, _, took, *_ in answers)


def bench_count(servers, arguments, count, nominal):
    path = servers.path / f"reload{nominal}"
    names = many_names(count)
    primary = zones.Primary(path / "primary", names, [])
    servers.all.append(primary)
    harness.quiet(primary)
    primary.start()
    kinds = [kind for kind in arguments.peers if kind in (harness.OURS, NATIVE)]
    peers = zones.made(servers, path, names, primary, kinds)
    results = harness.Results(peers)
    # One at a time: a hundred thousand zones take their room in caches.
    for peer, server in peers.items():
        server.start()
        zones.all_answer(server, names).close()
        results.rounds[peer] = [reload_once(server, f"www.{names[0]}") for _ in range(arguments.rounds)]
        server.stop()
    primary.stop()

    say(f"### reload: knotc reload with {count:,} zones, under {RATE:,} queries a second for one of them\n")
    rows = []
    for peer in results.rounds:
        columns = [results.column(peer, place) for place in range(5)]
        rows.append((peer, f"{median(columns[0]):.3f}", spread(columns[0], "{:.3f}"), *(f"{median(column):.0f}" for column in columns[1:4]), sum(columns[4])))
    harness.table(("server", "seconds", "least – most", "p99 before (µs)", "p99 during (µs)", "slowest during (µs)", "lost"), rows)


def bench_reload(servers, arguments):
    """Seconds of a reload, and latency of queries before and during it."""
    harness.build_steady()
    for nominal, count in ({10_000: 300, 100_000: 1000} if arguments.small else {10_000: 10_000, 100_000: 100_000}).items():
        bench_count(servers, arguments, count, nominal)
