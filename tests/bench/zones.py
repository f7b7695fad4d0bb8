# SPDX-License-Identifier: GPL-3.0-or-later
"""`./build.sh bench zones`: very many small zones from one primary, from start to all of them answering, memory, and NOTIFY for a part of them."""

import collections
import time

import dns.flags
import dns.message
import dns.opcode
import dns.rrset

import harness
from harness import NATIVE, OURS, median, say, spread
from many import ManyZones, Watcher, many_names
from mirrors import NamedMirror, NsdMirror
from servers import Knotd, Secondary

SCOPED, LISTED = f"{OURS}, zone scope", f"{OURS}, zones-file"
#: By number of zones and server: bounds on seconds and on megabytes.
BOUNDS = {(10_000, SCOPED): (1.5, 60), (10_000, LISTED): (1.0, 30), (100_000, LISTED): (8, 250)}
KEYS = {SCOPED: "zone", LISTED: "file"}
#: How many zones are told about at a time, and bound on seconds until all are new.
NOTIFIED, NOTIFIED_SECONDS = 1000, 0.15
#: Seconds after which a server is not waited for any longer.
NOTIFIED_PATIENCE = 30


class ListedSecondary(Secondary):
    """Global scope with a file of names."""

    def prepare(self):
        self.items["zones-file"] = str(self.path / "list")
        (self.path / "list").write_text("".join(f"{name}.\n" for name in self.names))


class NativeMirror(Knotd):
    """knotd's own secondary zones: journal and zone file off, told once for all in the template."""

    def template_items(self):
        return "    master: primary0\n    zonefile-load: none\n    journal-content: none\n"

    def _zones(self):
        return "zone:\n" + "".join(f"  - domain: {name}.\n" for name in self.mirrored)


class NsdMirrors(NsdMirror):
    """NSD with a pattern for all zones."""

    def config(self):
        names, self.mirrored = self.mirrored, []
        text = super().config() + (f"pattern:\n    name: all\n    request-xfr: AXFR {self.primary.address}@{self.primary.port} NOKEY\n"
                                   f"    allow-notify: 127.0.0.0/8 NOKEY\n    outgoing-interface: {self.address}\n")
        self.mirrored = names
        return text + "".join(f"zone:\n    name: {name}\n    include-pattern: all\n" for name in names)


class NamedMirrors(NamedMirror):
    """BIND as fast as it may ask: its defaults are 20 questions a second."""

    def config(self):
        return super().config().replace("recursion no;", "recursion no; serial-query-rate 10000; tcp-clients 1000;", 1)


class Primary(ManyZones):
    """A part of its zones is in a file of its own, whose serial can go on."""

    def __init__(self, path, names, part):
        super().__init__(path, names)
        self.part, self.part_serial = set(part), 1
        self.part_file = self.storage / "part.zone"

    def prepare(self):
        super().prepare()
        self.write_part()

    def write_part(self):
        self.part_file.write_text(self.file.read_text().replace(f"hostmaster {self.serial} ", f"hostmaster {self.part_serial} "))

    def _zones(self):
        return "zone:\n" + "".join(f"  - domain: {name}.\n" + (f"    file: {self.part_file}\n" if name in self.part else "") for name in self.names)

    def advance(self):
        """The zones of the part get the next serial; returns it."""
        self.part_serial += 1
        self.write_part()
        part = sorted(self.part)
        for first in range(0, len(part), 500):
            self.knotc("-b", "zone-reload", *(f"{name}." for name in part[first:first + 500]))
        return self.part_serial


def all_answer(server, names, timeout=600):
    """Waits until each zone has been answered with its SOA once; what does not answer yet is asked again later, at a pace that costs little."""
    watcher, began = Watcher(server, names), time.monotonic()
    waiting = collections.deque(range(len(names)))
    while waiting:
        asked = [waiting.popleft() for _ in range(min(len(waiting), Watcher.WINDOW))]
        try:
            watcher.watch(asked)
        except ConnectionRefusedError:
            pass # It does not listen yet.
        late = [number for number in asked if watcher.serials[number] is None]
        waiting.extend(late)
        if 4 * len(late) > len(asked):
            time.sleep(0.005)
        assert time.monotonic() < began + timeout, f"{len(waiting)} zones do not come to {server.path.name}"
    return watcher


def load_once(server, names):
    """(seconds from start to the last zone, processor seconds, settled octets)"""
    server.write_config()
    began = time.monotonic()
    server.launch()
    all_answer(server, names).close()
    seconds = time.monotonic() - began
    used = sum(harness.processor_time(server))
    octets = harness.settled_memory(server)
    server.stop()
    return seconds, used, octets


def made(servers, path, names, primary, kinds):
    """The peers for these zones, by name. BIND is left out where it would take minutes."""
    peers = {}
    if OURS in kinds:
        if len(names) <= 10_000:
            peers[SCOPED] = Secondary(path / "scoped", names, [primary])
        peers[LISTED] = ListedSecondary(path / "listed", names, [primary], scope="global")
    if NATIVE in kinds:
        peers[NATIVE] = NativeMirror(path / "native", mirrored=names, primaries=[primary])
    if "NSD" in kinds:
        peers["NSD"] = NsdMirrors(path / "nsd", names, primary)
    if "BIND" in kinds and len(names) <= 10_000:
        peers["BIND"] = NamedMirrors(path / "named", names, primary)
    for server in peers.values():
        servers.all.append(server)
        harness.quiet(server)
    return peers


def print_load(results, count):
    say(f"### zones: {count:,} zones of 10 records from process start to all of them answering\n")
    rows = []
    for name in results.rounds:
        times, used, octets = (results.column(name, place) for place in range(3))
        rows.append((name, f"{median(times):.2f}", spread(times), results.to_native(name, 0), f"{median(used):.2f}", f"{median(octets) / harness.MB:.0f}",
                     results.to_native(name, 2), f"{median(octets) / count:.0f}"))
    harness.table(("server", "seconds", "least – most", "ratio to knotd", "CPU (s)", "memory (MB)", "ratio to knotd", "octets a zone"), rows)
    harness.plot(f"zones-{count}", f"{count:,} zones", "seconds", {name: [results.median(name, 0)] for name in results.rounds})


def bench_load(servers, arguments, count, nominal):
    """`nominal` is the number of zones that the small form stands for."""
    path = servers.path / f"zones{nominal}"
    names = many_names(count)
    primary = Primary(path / "primary", names, names[:min(NOTIFIED, count // 2)])
    servers.all.append(primary)
    harness.quiet(primary)
    primary.start()
    peers = made(servers, path, names, primary, arguments.peers)
    results = harness.in_turns(arguments.rounds, peers, lambda _, server: load_once(server, names))
    print_load(results, count)
    for name, key in KEYS.items():
        if (nominal, name) in BOUNDS and name in results.rounds:
            seconds, megabytes = results.median(name, 0), results.median(name, 2) / harness.MB
            bound = BOUNDS[nominal, name]
            arguments.targets.tell(f"zones {nominal} {key}", f"{seconds:.2f} s, {megabytes:.0f} MB", seconds <= bound[0] and megabytes <= bound[1])
    return primary, peers, names


# NOTIFY

def notify_wire(name, serial):
    message = dns.message.make_query(f"{name}.", "SOA", flags=0)
    message.set_opcode(dns.opcode.NOTIFY)
    message.flags |= dns.flags.AA
    message.answer.append(dns.rrset.from_text(f"{name}.", 0, "IN", "SOA", f". . {serial} 0 0 0 0"))
    return message.to_wire()[2:]


def notify_once(server, watcher, part, serial):
    """Seconds from the first NOTIFY until the server answers with the new serial for all of the part; infinite where that does not come."""
    wires = [(number, notify_wire(watcher.names[number], serial)) for number in part]
    began = time.monotonic()
    for _ in watcher.exchange(wires):
        pass
    late = collections.deque(part)
    while late:
        asked = [late.popleft() for _ in range(min(len(late), Watcher.WINDOW))]
        watcher.watch(asked)
        late.extend(number for number in asked if watcher.serials[number] != serial)
        if time.monotonic() > began + NOTIFIED_PATIENCE:
            say(f"{server.path.name}: {len(late)} of {len(part)} zones stayed old for {NOTIFIED_PATIENCE} s after NOTIFY\n")
            return float("inf")
    return time.monotonic() - began


def bench_notify(arguments, primary, peers, names):
    part = [number for number, name in enumerate(names) if name in primary.part]
    watchers = {}
    for name in (LISTED, NATIVE, "NSD"):
        if name in peers:
            peers[name].write_config()
            peers[name].launch()
            watchers[name] = all_answer(peers[name], names)
    if LISTED not in watchers:
        return
    results = harness.Results(watchers)
    for turn in range(arguments.rounds):
        serial = primary.advance()
        for name in sorted(watchers, reverse=turn % 2):
            results.rounds[name].append(notify_once(peers[name], watchers[name], part, serial))

    say(f"### zones: NOTIFY for {len(part):,} of {len(names):,} zones, until all are new\n")
    harness.table(("server", "seconds", "least – most", "ratio to knotd"),
                  [(name, f"{results.median(name):.3f}", spread(results.column(name), "{:.3f}"), results.to_native(name)) for name in results.rounds])
    seconds = results.median(LISTED)
    arguments.targets.tell("zones notify", f"{seconds:.3f} s", seconds <= NOTIFIED_SECONDS)


def bench_zones(servers, arguments):
    """10,000 and 100,000 zones of ten records; NOTIFY for 1,000 of these."""
    counts = {10_000: 300, 100_000: 1000} if arguments.small else {10_000: 10_000, 100_000: 100_000}
    for nominal, count in counts.items():
        primary, peers, names = bench_load(servers, arguments, count, nominal)
        if nominal == max(counts):
            bench_notify(arguments, primary, peers, names)
            for server in peers.values():
                server.stop()
        primary.stop()
