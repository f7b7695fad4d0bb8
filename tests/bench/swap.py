# SPDX-License-Identifier: GPL-3.0-or-later
"""`./build.sh bench swap`: a full transfer over a zone of a million records that is served at 5,000 queries a second."""

import random
import threading
import time

import generators
import harness
from harness import NATIVE, OURS, median, say
from servers import await_event, notify, serial_of

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


def swap_once(server, zone, primary, questions):
    """(p99 calm, p99 during, lost, seconds from NOTIFY to live, peak, settled memory), latencies in microseconds, memory as ratios."""
    before = harness.settled_memory(server)
    serial = serial_of(server, zone.origin) + 1
    primary.set_serial(serial)
    peak = Peak(server)
    load = harness.Steady(server, RATE, questions)
    time.sleep(CALM)
    began = load.now()
    notify(server, zone.origin, serial)
    await_event(lambda: serial_of(server, zone.origin) == serial, f"serial {serial}", 120)
    ended = load.now()
    answers = load.finish()
    most = peak.stop()
    settled = harness.settled_memory(server)
    calm = [took for _, sent, took, *_ in answers if took >= 0 and sent + took < began]
    during = [took for _, sent, took, *_ in answers if took >= 0 and began <= sent + took and sent <= ended]
    lost = sum(took < 0 for _, _, took, *_ in answers)
    return percentile(calm, 0.99), percentile(during, 0.99), lost, (ended - began) / 1e6, most / before, settled / before


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
            results.rounds[name].append(swap_once(server, zone, primary, questions))
            server.stop()
    primary.close()

    say(f"### swap: a full transfer over {primary.records:,} records that are served at {RATE:,} queries a second\n")
    rows = []
    for name in peers:
        columns = [results.column(name, place) for place in range(6)]
        rows.append((name, *(f"{median(column):.0f}" for column in columns[:2]), results.to_native(name, 1), sum(columns[2]), f"{median(columns[3]):.2f}",
                     *(f"{median(column):.2f}" for column in columns[4:])))
    harness.table(("server", "p99 calm (µs)", "p99 during (µs)", "ratio to knotd", "lost", "NOTIFY to live (s)", "peak / settled", "after / before"), rows)
    if NATIVE in peers:
        ratio, lost = median(results.ratios(OURS, NATIVE, 1)), sum(results.column(OURS, 2))
        arguments.targets.tell("swap p99", f"{ratio:.2f} × knotd's, {lost} lost", ratio <= RATIO_MAX and lost == 0)
    peak, after = results.median(OURS, 4), results.median(OURS, 5)
    arguments.targets.tell("swap memory", f"{peak:.2f}, {after:.2f}", peak <= PEAK_MAX and after <= SETTLED_MAX)
