# SPDX-License-Identifier: GPL-3.0-or-later
"""`./build.sh bench swap`: a full transfer over a zone of a million records that is served at 5,000 queries a second."""

import random
import threading
import time

import generators
import harness
from harness import NATIVE, OURS, median, say

RATE, SECONDS = 5000, 13
#: Seconds of calm before the transfer.
CALM = 2
RATIO_MAX, PEAK_MAX, SETTLED_MAX = 0.5, 2.0, 1.1


def percentile(values, part):
    return sorted(values)[int(len(values) * part)] if values else float("nan")


class Peak:
    """The most memory that a server has until stop()."""

    def __init__(self, server):
        self.server, self.octets, self.ended = server, 0, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.ended.wait(0.02):
            self.octets = max(self.octets, harness.memory(self.server))

    def stop(self):
        self.ended.set()
        self.thread.join()
        return self.octets


def renew(server, zone, primary):
    """Has a full transfer of the zone, with the next serial, from NOTIFY until it is live."""
    serial = primary.soa[0].serial + 1
    primary.set_serial(serial)
    harness.notify_again(server, zone.origin, serial)
    harness.await_live(server, zone.origin, primary.soa[0], pause=0.005)


def latencies(server, zone, primary, questions):
    """(p99 calm, p99 during, p99 of how late questions were sent, lost, seconds from NOTIFY to live); microseconds. Nothing else is measured meanwhile."""
    load = harness.Steady(server, RATE, questions)
    time.sleep(CALM)
    began = load.now()
    renew(server, zone, primary)
    ended = load.now()
    answers = load.finish()
    calm = [took for _, sent, took, *_ in answers if took >= 0 and sent + took < began]
    during = [took for _, sent, took, *_ in answers if took >= 0 and began <= sent + took and sent <= ended]
    lost = sum(took < 0 for _, _, took, *_ in answers)
    late = [behind for *_, behind in answers]
    return percentile(calm, 0.99), percentile(during, 0.99), percentile(late, 0.99), lost, (ended - began) / 1e6


def memories(server, zone, primary):
    """(peak, after) of a transfer, beside what there was before it. Looking at memory all the time takes a processor: there is no load meanwhile."""
    before = harness.settled_memory(server)
    peak = Peak(server)
    renew(server, zone, primary)
    most = peak.stop()
    return most / before, harness.settled_memory(server) / before


def bench_swap(servers, arguments):
    """Latency before and during a full transfer, and memory."""
    harness.build_steady()
    zone = generators.hosting(arguments.small, arguments.scale)
    primary = harness.replay(servers, zone)
    rng = random.Random(1)
    questions = "".join(f"all {zone.owner(rng.randrange(zone.names - 1)).replace('*', 'any')}.{zone.origin}\n"
                        for _ in range(RATE * SECONDS))
    peers = harness.peers_of(servers, [zone.origin], primary, arguments.peers)
    results = harness.Results(peers)
    for _ in range(arguments.rounds):
        for name, server in peers.items():
            server.write_config()
            server.launch()
            harness.first_answer(server, f"{zone.last()}.{zone.origin}")
            harness.settled_memory(server)
            results.rounds[name].append((*latencies(server, zone, primary, questions), *memories(server, zone, primary)))
            server.stop()
    primary.close()

    say(f"### swap: a full transfer over {primary.records:,} records that are served at {RATE:,} queries a second\n")
    rows = []
    for name in peers:
        columns = [results.column(name, place) for place in range(7)]
        rows.append((name, *(f"{median(column):.0f}" for column in columns[:2]), results.to_native(name, 1), f"{median(columns[2]):.0f}", sum(columns[3]),
                     *(f"{median(column):.2f}" for column in columns[4:])))
    harness.table(("server", "p99 calm (µs)", "p99 during (µs)", "ratio to knotd", "questions late, p99 (µs)", "lost", "NOTIFY to live (s)", "peak / settled",
                   "after / before"), rows)
    if NATIVE in peers:
        ratio, lost = median(results.ratios(OURS, NATIVE, 1)), sum(results.column(OURS, 3))
        arguments.targets.tell("swap p99", f"{ratio:.2f} × knotd's, {lost} lost", ratio <= RATIO_MAX and lost == 0)
    peak, after = results.median(OURS, 5), results.median(OURS, 6)
    arguments.targets.tell("swap memory", f"{peak:.2f}, {after:.2f}", peak <= PEAK_MAX and after <= SETTLED_MAX)
