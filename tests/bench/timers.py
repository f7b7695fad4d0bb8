# SPDX-License-Identifier: GPL-3.0-or-later
"""`./build.sh bench timers`: how late the checks of very many zones are, in calm and while the same thread has a huge zone at hand.

A check is due REFRESH after the last one; there is no jitter here. The zones come at an even pace, one REFRESH from the first to the last, and so do
their checks. The primary is a script: it notes when it answered, and takes from the kernel when the next question came. What lies between, less
REFRESH, is how late that one was, with all that took time on either way; by its own clock the module is never later than that.
"""

import socket
import struct
import threading
import time

import generators
import harness
from harness import say
from increment import Changes
from many import many_names
from servers import await_event

#: Seconds; the second one in the small form.
REFRESH, REFRESH_SMALL = 60, 3
#: Changes in an increment into the huge zone.
CHANGES = 100_000
#: Seconds by which a check may be late at most while the huge zone is worked on.
LATE_MAX = 0.1
#: Seconds of calm before each piece of work on the huge zone, and for how long after the end checks are waited for.
PAUSE, GRACE = 0.5, 1.0

SO_TIMESTAMPNS = 35
AXFR = 252
APEX = b"\xc0\x0c"


def wire_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(owner, rdtype, rdata):
    return owner + struct.pack("!HHIH", rdtype, 1, 3600, len(rdata)) + rdata


def received_at(ancillary):
    """When the kernel had a datagram, by the wall clock, in nanoseconds."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("qq", data[:16])
            return seconds * 1_000_000_000 + nanoseconds
    raise AssertionError("the kernel tells no times")


class Clocked:
    """The primary of many zones of three records, from now on until close()."""

    def __init__(self, address, port, names, refresh):
        self.address, self.port, self.key = address, port, None
        self.numbers = {wire_name(name): number for number, name in enumerate(names)}
        #: In nanoseconds, too.
        self.refresh, self.pause = refresh, refresh * 1_000_000_000
        #: Of each zone: when it was last answered, in nanoseconds; None: it has not been transferred yet.
        self.answered = [None] * len(names)
        #: (when it was due, how late it came), in nanoseconds: of each check but the first.
        self.checks = []
        self.transferred, self.began = 0, None
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.udp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.udp.bind((address, port))
        self.tcp = socket.create_server((address, port), backlog=1024)
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def _answer(self, wire):
        """(number, the response) to a question."""
        end = wire.index(b"\0", 12) + 1
        number, (rdtype,) = self.numbers[wire[12:end]], struct.unpack_from("!H", wire, end)
        soa = record(APEX, 6, b"\0\0" + struct.pack("!5I", 1, self.refresh, 60, 604800, 300))
        records = [soa] if rdtype != AXFR else [soa, record(APEX, 2, b"\2ns" + APEX), record(b"\2ns" + APEX, 1, b"\xc0\0\2\1"), soa]
        return number, wire[:2] + struct.pack("!5H", 0x8400, 1, len(records), 0, 0) + wire[12:end + 4] + b"".join(records)

    def _serve_udp(self):
        while True:
            try:
                wire, ancillary, _, peer = self.udp.recvmsg(4096, 256)
            except OSError:
                return
            number, response = self._answer(wire)
            due = self.answered[number] + self.pause
            self.checks.append((due, received_at(ancillary) - due))
            # Before it is sent: what this thread waits for in between counts against the module.
            self.answered[number] = time.time_ns()
            self.udp.sendto(response, peer)

    def _serve_tcp(self):
        """One after the other: each is a question and an answer that fit into the buffers of a socket."""
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            with connection:
                wire = connection.recv(4096)
                if len(wire) > 2:
                    number, response = self._answer(wire[2:])
                    self._pace()
                    self.transferred += self.answered[number] is None
                    self.answered[number] = time.time_ns()
                    connection.sendall(struct.pack("!H", len(response)) + response)

    def _pace(self):
        """Waits until it is the next zone's time."""
        self.began = self.began or time.monotonic()
        ahead = self.began + self.refresh * self.transferred / len(self.answered) - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)

    def missing(self, now):
        """(due, how late) of what should have come by now, and has not."""
        return [(answered + self.pause, now - answered - self.pause) for answered in self.answered if answered + self.pause < now]

    def close(self):
        self.udp.close()
        self.tcp.close()


class Lateness:
    """Seconds by which checks were late that were due within some spans of time."""

    def __init__(self, checks, spans):
        self.seconds = sorted(max(late, 0) / 1e9 for due, late in checks if any(first <= due < last for first, last in spans))
        self.span = sum(last - first for first, last in spans) / 1e9

    def part(self, part):
        return self.seconds[min(int(len(self.seconds) * part), len(self.seconds) - 1)] if self.seconds else float("nan")

    @property
    def most(self):
        return self.part(1)

    def row(self, what):
        shown = [f"{self.part(part) * 1e3:.1f}" for part in (0.5, 0.99, 0.999, 1)]
        return (what, f"{self.span:.1f}", f"{len(self.seconds):,}", f"{len(self.seconds) / self.span:,.0f}", *shown)


def secondary(servers, names, primary, huge, origin):
    """The module with the many zones by a file, and the huge one in zone scope."""
    path = servers.path / "names"
    path.write_text("".join(f"{name}.\n" for name in names))
    stanzas = (f"mod-secondary:\n  - id: default\n    transfer-from: primary0\n    zones-file: {path}\n    refresh-jitter: 0\n"
               "  - id: huge\n    transfer-from: primary1\n")
    server = servers.secondary((), [primary, huge], scope="global", module_conf=stanzas,
                               conf=f"zone:\n  - domain: {origin}.\n    module: mod-secondary/huge\n")
    harness.quiet(server)
    return server


def spans_of(rounds, work):
    """(from, to) of each round of work, in nanoseconds of the wall clock."""
    spans = []
    for _ in range(rounds):
        time.sleep(PAUSE)
        began = time.time_ns()
        work()
        spans.append((began, time.time_ns()))
    return spans


def bench_timers(servers, arguments):
    """Lateness of the checks of 100,000 zones: calm, during full transfers of a zone of a million records, during large increments into that."""
    count, refresh = (2000, REFRESH_SMALL) if arguments.small else (100_000, REFRESH)
    zone, names = generators.hosting(arguments.small, arguments.scale), many_names(count)
    huge = harness.replay(servers, zone)
    primary = Clocked("127.0.0.1", harness.free_port(), names, refresh)
    server = secondary(servers, names, primary, huge, zone.origin)
    server.start()
    await_event(lambda: primary.transferred == count, "all zones", timeout=600)
    harness.first_answer(server, f"{zone.last()}.{zone.origin}")
    changes, rounds = Changes(huge, zone), 2 * arguments.rounds

    calm = spans_of(1, lambda: time.sleep(refresh))

    def whole():
        huge.set_serial(huge.soa[0].serial + 1)
        harness.notify_again(server, zone.origin, huge.soa[0].serial)
        harness.await_live(server, zone.origin, huge.soa[0], pause=0.005)
    full = spans_of(rounds, whole)

    changes.serial = huge.soa[0].serial
    changed = min(CHANGES, len(changes.owners) // 2)

    def increment():
        changes.next(changed)
        harness.notify_again(server, zone.origin, huge.soa[0].serial)
        harness.await_live(server, zone.origin, huge.soa[0], pause=0.005)
    increments = spans_of(rounds, increment)

    time.sleep(GRACE)
    checks = [*primary.checks, *primary.missing(time.time_ns() - int(GRACE * 1e9 / 2))]
    server.assert_alive()
    server.stop()
    primary.close()
    huge.close()
    tell(arguments, count, refresh, [("calm", Lateness(checks, calm)), (f"full transfers of {huge.records:,} records", Lateness(checks, full)),
                                     (f"increments of {changed:,} changes into these", Lateness(checks, increments))])


def tell(arguments, count, refresh, phases):
    say(f"### timers: how late the checks of {count:,} zones are, whose REFRESH is {refresh} seconds\n")
    harness.table(("meanwhile", "seconds", "checks", "checks a second", "p50 (ms)", "p99 (ms)", "p99.9 (ms)", "latest (ms)"),
                  [lateness.row(what) for what, lateness in phases])
    (_, calm), *work = phases
    worst = max(lateness.most for _, lateness in work)
    arguments.targets.tell("timers", f"{worst * 1e3:.0f} ms; calm {calm.most * 1e3:.0f} ms", worst <= LATE_MAX)
