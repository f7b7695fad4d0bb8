# SPDX-License-Identifier: GPL-3.0-or-later
"""`./build.sh bench upstream`: what a dead resolver costs those who do not need it, and what a known target costs."""

import os
import signal
import socket
import statistics
import time

import harness
from servers import await_event, query, zone_text

ZONE, TARGET = "bench.example", "target.example"
#: Names with data, asked for by four of five questions; the fifth asks for an alias that nobody asked for before.
PLAIN = 1000
RATE, SECONDS = 2000, 1 if os.environ.get("BENCH_SIZE") == "small" else 5
#: Aliases that one run asks for.
ALIASES = RATE * SECONDS // 5
HOLD_MS = 100


class Silent:
    """An address that takes what comes and never answers."""

    def __init__(self, address="127.0.0.1"):
        self.udp, self.tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        self.udp.bind((address, 0))
        self.address, self.port = self.udp.getsockname()
        self.tcp.bind((address, self.port))
        self.tcp.listen(1)


def at(server):
    return f"{server.address}@{server.port}"


def records(runs):
    plain = "".join(f"p{n} A 192.0.2.{n % 250}\n" for n in range(PLAIN))
    return plain + "".join(f"x{n} CNAME t{n}.{TARGET}.\n" for n in range(runs * ALIASES))


def questions(run):
    """Class and name of each question of a run: others' and, each fifth, one about a target that nobody knows yet."""
    lines = []
    for n in range(RATE * SECONDS):
        lines.append(f"alias x{run * ALIASES + n // 5}.{ZONE}" if n % 5 == 4 else f"other p{n * 7 % PLAIN}.{ZONE}")
    return "\n".join(lines)


class Run:
    """What one run of the load saw of the questions that need no resolver."""

    def __init__(self, rows):
        self.lost = sum(1 for row in rows if row[2] < 0)
        self.complete = sum(1 for row in rows if row[0] == "alias" and row[4] == 2)
        #: (when sent, how long it took), microseconds
        self.others = [row[1:3] for row in rows if row[0] == "other" and row[2] >= 0]
        took = sorted(latency for _, latency in self.others)
        self.p50, self.p99 = took[len(took) // 2], took[len(took) * 99 // 100]


def steady(server, run, during=None):
    """Runs the load against the server; during() is called once it is under way."""
    load = harness.Steady(server, RATE, questions(run))
    if during:
        during()
    return Run(load.finish())


def verdict(value, target):
    return "met" if value <= target else "not met"


class Bench:
    def __init__(self, servers, arguments):
        self.servers, self.rounds, self.targets = servers, arguments.rounds, arguments.targets
        self.primary = servers.knotd({ZONE: zone_text(ZONE, records(self.rounds))}, name="primary")
        self.notified = servers.secondary([ZONE], [self.primary], workers=2, name="notified")
        self.primary.notify.append(self.notified)
        self.primary.start()
        self.resolver = servers.knotd({TARGET: zone_text(TARGET, "* 3600 A 198.51.100.1\n* 3600 AAAA 2001:db8::51\n")}, name="resolver").start()
        self.silent = Silent()

    def secondary(self, upstream, workers, hold):
        items = {"upstream": at(upstream), "upstream-hold": hold, "upstream-prefetch": 0}
        server = self.servers.secondary([ZONE], [self.primary], items=items, workers=workers).start()
        server.await_serial(ZONE, timeout=60)
        return server

    # -- a dead resolver

    def compare(self, workers, hold):
        """Others' p50 and p99 with a dead resolver and with a good one, in turns."""
        dead, good = self.secondary(self.silent, workers, hold), self.secondary(self.resolver, workers, hold)
        if hold:
            self.warm(good)
        runs = []
        for n in range(self.rounds):
            # Who is first changes, so that neither has always the warmer or the busier machine.
            order = (dead, good) if n % 2 == 0 else (good, dead)
            seen = {server: steady(server, n) for server in order}
            runs.append((seen[dead], seen[good]))
        dead.stop()
        good.stop()
        lost = sum(run.lost for pair in runs for run in pair)
        for what in ("p50", "p99"):
            pairs = [(getattr(a, what), getattr(b, what)) for a, b in runs]
            ratios = [a / b for a, b in pairs]
            ratio = statistics.median(ratios)
            print(f"| {workers} | {hold} | {what} | {statistics.median(a for a, _ in pairs):.0f} | {statistics.median(b for _, b in pairs):.0f} | "
                  f"{ratio:.2f} | {min(ratios):.2f} – {max(ratios):.2f} | {lost} | ≤ 1.2, none lost | {'met' if ratio <= 1.2 and lost == 0 else 'not met'} |",
                  flush=True)
            if what == "p99":
                self.targets.tell("upstream hold" if hold else f"upstream {workers}", f"{ratio:.2f} ×, {lost} lost", ratio <= 1.2 and lost == 0)

    def warm(self, server):
        """A hold is for resolvers that have answered."""
        await_event(lambda: len(query(server, f"x0.{ZONE}", "AAAA", rd=True).answer) == 2, "a first answer")

    def dead(self):
        print(f"### upstream: others' latency while a fifth of {RATE:,} questions a second needs a resolver that is dead or alive, "
              f"{self.rounds} rounds of {SECONDS} s in turns\n")
        print("| workers | hold (ms) | of others | dead (µs) | alive (µs) | ratio, median | least – most | lost | target | |\n"
              "|---|---|---|---|---|---|---|---|---|---|")
        for workers, hold in ((1, 0), (4, 0), (4, HOLD_MS)):
            self.compare(workers, hold)
        print()

    def detection(self):
        """What others see when a resolver that answered falls silent, with a hold: until that has been noticed."""
        server = self.secondary(self.resolver, 4, HOLD_MS)
        self.warm(server)
        windows, slowest, slow, lost = [], [], [], 0
        for n in range(self.rounds):
            def stop():
                time.sleep(SECONDS / 2)
                self.resolver.signal(signal.SIGSTOP)
            run = steady(server, n, stop)
            self.resolver.signal(signal.SIGCONT)
            self.recover(server)
            # Only a wait for the resolver takes that long.
            late = [(sent, took) for sent, took in run.others if took > HOLD_MS * 500]
            windows.append((max(sent + took for sent, took in late) - min(sent for sent, _ in late)) / 1000 if late else 0)
            slowest.append(max(took for _, took in run.others) / 1000)
            slow.append(len(late))
            lost += run.lost
        server.stop()
        print(f"### upstream: a resolver falls silent under the same load, 4 workers, hold {HOLD_MS} ms, {self.rounds} rounds\n")
        print("| detection window, median (ms) | most (ms) | others in it that took more than half a hold, median | slowest other, median (ms) | lost |\n"
              "|---|---|---|---|---|")
        print(f"| {statistics.median(windows):.0f} | {max(windows):.0f} | {statistics.median(slow):.0f} of {RATE * SECONDS * 4 // 5} | "
              f"{statistics.median(slowest):.0f} | {lost} |\n")

    def recover(self, server):
        """The resolver has been asked again, and its answer been seen."""
        fresh = iter(range(1 << 20))
        await_event(lambda: len(query(server, f"x{next(fresh) % (self.rounds * ALIASES)}.{ZONE}", "AAAA", rd=True).answer) == 2,
                    "an answer", timeout=60)

    # -- a known target

    def instructions(self):
        """User-space instructions of a query, the hook's alone and all of knotd's, by callgrind."""
        out = self.primary.path.parent / "callgrind"
        with harness.callgrind(out):
            server = self.secondary(self.resolver, 1, 0)
        plain, alias = f"p0.{ZONE}", f"x0.{ZONE}"
        self.warm(server)
        await_event(lambda: len(query(server, alias, rd=True).answer) == 2, "the target")
        counts = {name: harness.instructions(server, out, lambda: query(server, name, rd=True)) for name in (plain, alias)}
        server.stop()
        print("### upstream: user-space instructions of a UDP query with EDNS for A (callgrind, one worker)\n")
        print("| | plain answer | alias with a cached target | ratio | target | |\n|---|---|---|---|---|---|")
        for n, what in enumerate(("whole query in knotd", "the module's hook alone")):
            a, b = counts[plain][n], counts[alias][n]
            print(f"| {what} | {a:.0f} | {b:.0f} | {b / a:.2f} | " + (f"≤ 1.5 | {verdict(b / a, 1.5)} |" if n == 0 else "| |"))
            if n == 0:
                self.targets.tell("upstream instructions", f"{b / a:.2f} ×", b / a <= 1.5)
        print()

    # -- ahead of queries

    def ahead(self):
        """The first queries for new explicit targets, one second after the version with them was published."""
        names = [f"new{n}" for n in range(20)]
        server = self.notified
        server.items["upstream"] = at(self.resolver)
        server.start().await_serial(ZONE, timeout=60)
        complete = asked = 0
        for serial in range(2, 2 + self.rounds):
            self.primary.change(ZONE, *(f"{name}v{serial} 60 CNAME {name}v{serial}.{TARGET}." for name in names))
            server.await_serial(ZONE, serial)
            time.sleep(1)
            for name in names:
                for rdtype in ("A", "AAAA"):
                    asked += 1
                    complete += len(query(server, f"{name}v{serial}.{ZONE}", rdtype, rd=True).answer) == 2
        server.stop()
        print(f"### upstream: first queries (A, AAAA) for new explicit targets 1 s after a publish, beside {self.rounds * ALIASES:,} that the zone has\n")
        self.targets.tell("upstream ahead", f"{complete} of {asked}", complete == asked)
        print(f"| complete | of | target | |\n|---|---|---|---|\n| {complete} | {asked} | all | {'met' if complete == asked else 'not met'} |\n")


def bench_upstream(servers, arguments):
    """Others' latency beside a dead resolver, the instructions of a known target, and targets resolved ahead."""
    harness.build_steady()
    bench = Bench(servers, arguments)
    bench.dead()
    bench.detection()
    bench.instructions()
    bench.ahead()
