# SPDX-License-Identifier: GPL-3.0-or-later
"""`./build.sh bench growth`: how time, memory and the cost of an answer grow with records, and with zones, beside native knotd's."""

import os

import answer
import generators
import harness
import load
import zones
from harness import NATIVE, OURS, median, say, spread
from many import many_names

#: Names of the hosting zone: ten thousand to ten million records.
NAMES = [6_280, 62_802, 628_021, 6_280_210]
NAMES_SMALL = [1_000, 4_000, 16_000]
ZONES, ZONES_SMALL = [10, 1_000, 100_000], [10, 100, 1_000]


def measure(servers, arguments, names, kinds):
    """{server: (seconds to the first answer, octets a record, processor seconds per million hits)}, medians"""
    zone = generators.Hosting(names)
    primary = harness.replay(servers, zone)
    peers = harness.peers_of(servers, [zone.origin], primary, kinds, workers=1)
    last = f"{zone.last()}.{zone.origin}"
    loads = harness.in_turns(arguments.rounds, peers, lambda _, server: load.load_once(server, last, primary.records))
    for server in peers.values():
        server.write_config()
        server.launch()
        harness.first_answer(server, last)
        harness.pin(server, os.cpu_count() - 1)
    primary.close()
    questions = servers.path / f"hits-{names}"
    answer.write_questions(questions, zone, "hits", answer.QUERIES_SMALL if arguments.small else answer.QUERIES)
    costs = harness.in_turns(arguments.rounds, peers, lambda _, server: answer.load_once(server, questions, False, {"NOERROR"}))
    for server in peers.values():
        server.stop()
    return primary.records, {name: (loads.median(name, 0), loads.median(name, 2) / primary.records, costs.median(name, 0)) for name in peers}


def bench_records(servers, arguments, kinds):
    found = dict(measure(servers, arguments, names, kinds) for names in (NAMES_SMALL if arguments.small else NAMES))
    say("### growth: one zone with more and more records\n")
    rows = []
    for records, servers_found in found.items():
        rows += [(f"{records:,}", name, f"{seconds:.3f}", f"{octets:.1f}", f"{cost:.2f}") for name, (seconds, octets, cost) in servers_found.items()]
    harness.table(("records", "server", "start to first answer (s)", "octets a record", "CPU s per million hits"), rows)
    for place, (name, title) in enumerate((("growth-load", "start to first answer (s)"), ("growth-memory", "octets a record"),
                                           ("growth-answer", "CPU seconds per million hits"))):
        harness.plot_lines(name, title, "records", {kind: [(records, values[kind][place]) for records, values in found.items()] for kind in kinds})
    if NATIVE in kinds:
        least, most = found[min(found)], found[max(found)]
        ours, native = (most[kind][2] / least[kind][2] for kind in (OURS, NATIVE))
        say(f"From {min(found):,} to {max(found):,} records the cost of an answer grew {ours:.2f} times, native knotd's {native:.2f} times"
            f"{'' if arguments.small else ': met' if ours <= native else ': not met'}.\n")


def bench_zones(servers, arguments, kinds):
    found = {}
    for count in ZONES_SMALL if arguments.small else ZONES:
        path, names = servers.path / f"growth{count}", many_names(count)
        primary = zones.Primary(path / "primary", names, [])
        servers.all.append(primary)
        harness.quiet(primary)
        primary.start()
        peers = zones.made(servers, path, names, primary, kinds)
        found[count] = harness.in_turns(arguments.rounds, peers, lambda _, server: zones.load_once(server, names))
        primary.stop()
    say("### growth: more and more zones of ten records\n")
    rows = []
    for count, results in found.items():
        rows += [(f"{count:,}", name, f"{results.median(name, 0):.3f}", spread(results.column(name, 0), "{:.3f}"), f"{median(results.column(name, 1)):.2f}",
                  f"{results.median(name, 2) / harness.MB:.0f}") for name in results.rounds]
    harness.table(("zones", "server", "start to all answering (s)", "least – most", "CPU (s)", "memory (MB)"), rows)
    shown = [name for name in (zones.LISTED, NATIVE) if name in found[min(found)].rounds]
    harness.plot_lines("growth-zones", "start to all answering (s)", "zones",
                       {name: [(count, results.median(name, 0)) for count, results in found.items()] for name in shown})


def bench_growth(servers, arguments):
    """The curves, beside native knotd's."""
    kinds = [kind for kind in arguments.peers if kind in (OURS, NATIVE)]
    bench_records(servers, arguments, kinds)
    bench_zones(servers, arguments, kinds)
