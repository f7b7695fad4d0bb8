# SPDX-License-Identifier: GPL-3.0-or-later
"""What all benches share: servers in turns, what they used, tables, TARGETS' lines, plots.

A bench is a file NAME.py here with `bench_NAME(servers, arguments)`: it makes servers by `servers`, measures `arguments.rounds`
rounds in which all peers take turns, prints Markdown, and tells `arguments.targets` what became of the lines that it measures.
`arguments.small` asks for a form that takes seconds and shows that the bench works.
"""

import contextlib
import mmap
import os
import platform
import re
import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

import dns.exception

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "differential"), str(ROOT / "tests" / "system")]

import servers as system  # noqa: E402
from mirrors import NamedMirror, NsdMirror  # noqa: E402
from servers import await_event, free_port, message, notify, query, tool  # noqa: E402

import generators  # noqa: E402
from replay import Replay  # noqa: E402

#: A server may take minutes to start with a zone of ten million records, and to stop.
system.PATIENCE = 600

#: Octets of memory that are touched before a measured load, by record, and at most: what the largest of the servers takes.
WARM_BY_RECORD, WARM_MAX = 500, 1_000_000_000

#: Where reports and plots go.
OUT = generators.DIRECTORY
MB = 1e6
STEADY = ROOT / "build" / "steady"
OURS, NATIVE = "mod-secondary", "knotd"


# The machine, and what was measured

def output(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)


def versions():
    """Of the servers that are installed."""
    nsd = re.search(r"version ([\d.]+)", output(tool("nsd"), "-v").stderr)
    return [output(tool("knotd"), "-V").stdout.strip(), f"NSD {nsd.group(1) if nsd else '?'}", output(tool("named"), "-v").stdout.split(" (")[0].strip()]


def machine(arguments):
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal")) / 1e6
    release = next((line.split('"')[1] for line in open("/etc/os-release") if line.startswith("PRETTY_NAME")), "")
    commit = output("git", "-C", ROOT, "describe", "--always", "--dirty").stdout.strip()
    say(f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores of {cpu}, {memory:.0f} GB, {release}, Linux {platform.release()}, load "
        f"{os.getloadavg()[0]:.1f}; {'; '.join(versions())}; mod-secondary {commit or 'without commit'}; "
        f"{arguments.rounds} rounds in turns, medians{'; SMALL FORM: no figure of it means anything' if arguments.small else ''}\n")


# Printing

def say(text=""):
    print(text, flush=True)


def median(values):
    return statistics.median(values)


def spread(values, form="{:.2f}"):
    return f"{form.format(min(values))} – {form.format(max(values))}"


def table(head, rows):
    """A Markdown table."""
    say(f"| {' | '.join(head)} |")
    say("|" + "---|" * len(head))
    for row in rows:
        say(f"| {' | '.join(str(cell) for cell in row)} |")
    say()


def ratios(ours, theirs):
    """Ratios of what was measured in the same round."""
    return [a / b if b else float("nan") for a, b in zip(ours, theirs)]


class Results:
    """What each peer gave in each round: {peer: [value, …]}, the values being numbers or tuples of them."""

    def __init__(self, peers):
        self.rounds = {name: [] for name in peers}

    def column(self, peer, place=None):
        return [value if place is None else value[place] for value in self.rounds[peer]]

    def median(self, peer, place=None):
        return median(self.column(peer, place))

    def ratios(self, peer=OURS, to=NATIVE, place=None):
        return ratios(self.column(peer, place), self.column(to, place))

    def to_native(self, peer, place=None):
        """A cell of a table: the median ratio to native knotd of the same round, and its spread."""
        if NATIVE not in self.rounds or not self.rounds[NATIVE]:
            return "–"
        found = self.ratios(peer, NATIVE, place)
        return f"{median(found):.2f} ({spread(found)})"

    def best_peer(self, place=None):
        """The least median of the others."""
        return min(self.median(name, place) for name in self.rounds if name != OURS)


def in_turns(rounds, peers, measure):
    """measure(name, peer) for each peer in turns; the order turns round, so that none is always first."""
    results = Results(peers)
    order = list(peers)
    for _ in range(rounds):
        for name in order:
            results.rounds[name].append(measure(name, peers[name]))
        order.reverse()
    return results


# Servers

def peers_of(servers, names, primary, kinds, **ours):
    """The module and the other servers as secondaries of one primary: {name: server}, none started."""
    made = {OURS: lambda: servers.secondary(names, [primary], **ours),
            NATIVE: lambda: servers.knotd(mirrored=names, primaries=[primary], workers=ours.get("workers", 2)),
            "NSD": lambda: mirror(servers, NsdMirror, names, primary),
            "BIND": lambda: mirror(servers, NamedMirror, names, primary)}
    chosen = {name: make() for name, make in made.items() if name in kinds}
    for server in chosen.values():
        quiet(server)
    return chosen


def mirror(servers, cls, names, primary):
    server = cls(servers.path / f"{cls.__name__.lower()}{len(servers.all)}", names, primary)
    servers.all.append(server)
    return server


def quiet(server):
    """Its log as it is in operation: knotd's in tests tells everything."""
    config = server.config
    server.config = lambda: config().replace("any: debug", "any: info")


def replay(servers, zone):
    """A primary that replays the zone's transfer."""
    source = load_file(servers, zone)
    source.start()
    primary = Replay("127.0.0.1", free_port())
    primary.capture(source, zone.origin)
    source.stop()
    return primary


def load_file(servers, zone, **how):
    """A knotd with a zone of generators.py, not started."""
    server = servers.knotd({zone.origin: ""}, **how)
    file = server.zone_file(zone.origin)
    server.prepare = lambda: file.is_symlink() or file.symlink_to(zone.path)
    quiet(server)
    return server


def processes(server):
    """Ids of a server's process and of all below it."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, fresh = [], [server.process.pid]
    while fresh:
        found += fresh
        fresh = [pid for pid, parent in parents.items() if parent in fresh]
    return found


def field(pid, file, name):
    """Octets that a file of /proc tells; none of a process that has just ended (NSD has such)."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def memory(server):
    """Octets in memory now: RSS, or where there are several processes, their shares (PSS)."""
    pids = processes(server)
    if len(pids) == 1:
        return field(pids[0], "status", "VmRSS:")
    return sum(field(pid, "smaps_rollup", "Pss:") for pid in pids)


def warm_memory(records):
    """Has the system's free memory touched once, before a server loads so many records.

    Below a hypervisor that takes free memory back (virtio-balloon's page reporting), the first touch of what was taken costs the guest
    twenty times as much as that of other memory, and whoever comes next pays: h1m alone took 150 or 230 ms of processor for it.
    """
    octets = min(WARM_BY_RECORD * records, WARM_MAX, field("self", "../meminfo", "MemAvailable:") // 4)
    with mmap.mmap(-1, max(octets, mmap.PAGESIZE), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory_map:
        with contextlib.suppress(OSError): # A kernel without huge pages.
            memory_map.madvise(mmap.MADV_HUGEPAGE)
        for place in range(0, len(memory_map), mmap.PAGESIZE):
            memory_map[place] = 1


def settled_memory(server):
    """The same, once it stands still."""
    last = memory(server)
    while True:
        time.sleep(0.5)
        now = memory(server)
        if abs(now - last) < 1 << 20:
            return now
        last = now


def peak_memory(server):
    """The most that each of its processes had at once, in sum."""
    return sum(field(pid, "status", "VmHWM:") for pid in processes(server))


def processor_time(server):
    """Seconds of processor so far: (user, system)."""
    ticks = os.sysconf("SC_CLK_TCK")
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in processes(server)]
    return tuple(sum(int(stat[place]) for stat in stats) / ticks for place in (11, 12))


def pin(server, cpu):
    """Holds all of a server to one processor."""
    while True:
        try:
            for pid in processes(server):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    os.sched_setaffinity(int(task.name), {cpu})
            return
        except (FileNotFoundError, ProcessLookupError):
            # One of them has just ended: after a transfer NSD goes on with new processes. All are looked at again.
            server.assert_alive()


def first_answer(server, name, timeout=600):
    """Seconds from now until the server has an answer or a referral for the name."""
    wire = message(name, "A").to_wire()
    began = time.monotonic()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect((server.address, server.port))
        client.settimeout(0.002)
        while time.monotonic() - began < timeout:
            try:
                client.send(wire)
                response = client.recv(4096)
                if response[:2] == wire[:2] and not response[3] & 15 and response[6:10] != b"\0\0\0\0":
                    return time.monotonic() - began
            except (TimeoutError, ConnectionRefusedError):
                pass
            time.sleep(0.001)
            server.assert_alive()
    raise AssertionError(f"{server.path.name} does not answer {name}")


# Load

def dnsperf(server, questions, *options):
    """Runs through a file of questions once; what dnsperf says of it."""
    done = subprocess.run([*pinned_client(), tool("dnsperf"), "-s", server.address, "-p", str(server.port), "-d", str(questions), "-n", "1", "-c", "8",
                           "-q", "200", "-t", "5", "-e", *options], capture_output=True, text=True, check=True)

    def number(what):
        return float(re.search(rf"{what}: +([0-9.]+)", done.stdout).group(1))
    return {"completed": number("Queries completed"), "lost": number("Queries lost"), "rate": number("Queries per second"),
            "codes": dict(re.findall(r"([A-Z]+) (\d+) \(", re.search(r"Response codes: +(.*)", done.stdout).group(1)))}


def build_steady():
    """tests/bench/steady.c; a bench that wants a steady load calls this first."""
    flags = output("pkg-config", "--cflags", "--libs", "libknot").stdout.split()
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-std=gnu11", "-D_GNU_SOURCE", "-o", STEADY, ROOT / "tests" / "bench" / "steady.c", *flags], check=True)


class Steady:
    """A steady load from now on; `questions` are its lines, CLASS NAME."""

    def __init__(self, server, rate, questions):
        self.server = server
        self.process = subprocess.Popen([STEADY, server.address, str(server.port), str(rate)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(questions)
        self.process.stdin.close()
        self.process.stdin = None
        self.began = int(self.process.stdout.readline()) / 1e3

    def now(self):
        """Microseconds since its start."""
        return time.monotonic() * 1e6 - self.began

    def finish(self):
        """Waits for its end; of each question class, when it was sent and how long its answer took (microseconds; -1: lost), RCODE, answers, how late it
        was sent."""
        text = self.process.communicate()[0]
        assert self.process.returncode == 0
        self.server.assert_alive()
        rows = [line.split() for line in text.splitlines()]
        return [(name, *map(int, numbers)) for name, *numbers in rows]


def notify_again(server, zone, serial, attempts=5):
    """NOTIFY, repeated as RFC 1996 has it: under load one may be lost."""
    for attempt in range(attempts):
        try:
            return notify(server, zone, serial)
        except dns.exception.Timeout:
            if attempt == attempts - 1:
                raise


def await_live(server, zone, soa, pause=0.0, timeout=120):
    """Asks until the server has this SOA's serial, and returns when it answered so; `pause`: seconds between questions."""
    wire = message(zone, "SOA", payload=None).to_wire()
    expected = struct.pack("!II", soa.serial, soa.refresh)  # of the SOA's RDATA
    began = time.monotonic()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect((server.address, server.port))
        client.settimeout(1)
        while time.monotonic() - began < timeout:
            client.send(wire)
            try:
                response = client.recv(4096)
            except TimeoutError:
                continue
            now = time.monotonic()
            if expected in response:
                return now
            time.sleep(pause)
    raise AssertionError(f"{server.path.name} has not got serial {soa.serial}:\n{server.tail()}")


def pinned_client():
    """The client keeps off the processor on which servers are measured."""
    return ["taskset", "-c", "0"] if os.cpu_count() > 1 else []


# Instructions

@contextlib.contextmanager
def callgrind(out):
    """A server with one worker that is started in here runs under callgrind; its counts go into files that begin with `out`."""
    os.environ["SECONDARY_WRAP"] = f"valgrind --tool=callgrind --dump-line=no --callgrind-out-file={out}.%p"
    try:
        yield
    finally:
        del os.environ["SECONDARY_WRAP"]


def instructions(server, out, ask, queries=2000):
    """User-space instructions of a query: (all of the process, the module's hook). ask() asks once; what stands beside is measured, and left out."""
    pid = str(server.process.pid)

    def measure(number):
        subprocess.run([tool("callgrind_control"), "-z", pid], check=True, capture_output=True)
        for _ in range(number):
            ask()
        before = set(out.parent.glob(f"{out.name}.{pid}.*"))
        subprocess.run([tool("callgrind_control"), "-d", pid], check=True, capture_output=True)
        dump = await_event(lambda: set(out.parent.glob(f"{out.name}.{pid}.*")) - before, "a dump").pop()
        await_event(lambda: re.search(r"^(totals|summary): ", dump.read_text(), re.MULTILINE), "the whole dump")
        total = int(re.search(r"^(?:totals|summary): (\d+)", dump.read_text(), re.MULTILINE).group(1))
        report = subprocess.run([tool("callgrind_annotate"), "--inclusive=yes", "--threshold=100", dump], capture_output=True, text=True, check=True).stdout
        hook = re.search(r"^ *([\d,]+) .*:dispatch_begin\b", report, re.MULTILINE)
        return total, int(hook.group(1).replace(",", "")) if hook else 0
    measure(queries // 10)
    idle, work = measure(0), measure(queries)
    return [(a - b) / queries for a, b in zip(work, idle)]


# TARGETS' lines

class Targets:
    """The lines that a release has to meet, what was measured for each, and whether it does."""

    #: (what, target)
    LINES = {
        "load h1m": ("h1m load, first correct answer", "≤ 0.25 s and ≤ 0.25 × best peer"),
        "load t1m": ("t1m load", "≤ 0.25 × best peer"),
        "load h10m": ("h10m load", "≤ 0.25 × best peer"),
        "store h1m": ("h1m from the store, start to first correct answer", "≤ 0.3 s"),
        "memory h1m": ("memory per record, h1m", "≤ 65 octets"),
        "memory t1m": ("memory per record, t1m", "≤ 65 octets"),
        "increment 1": ("IXFR of 1 change, end of transfer to live", "≤ 1 ms"),
        "increment large": ("the same into h10m", "≤ 1 ms"),
        "increment 1000": ("IXFR of 1,000", "≤ 5 ms"),
        "increment 100000": ("IXFR of 100,000", "≤ 0.2 s"),
        "swap p99": ("full transfer over a served h1m at 5 kqps: p99", "≤ 0.5 × knotd's in the same round, 0 lost"),
        "swap memory": ("peak / settled memory in it", "≤ 2.0, back to 1.1"),
        "zones 10000 zone": ("10,000 zones, zone scope", "≤ 1.5 s, 60 MB"),
        "zones 10000 file": ("10,000 zones, zones-file", "≤ 1.0 s, 30 MB"),
        "zones 100000 file": ("100,000 zones, zones-file", "≤ 8 s, 250 MB"),
        "zones notify": ("NOTIFY for 1,000 of 100,000 zones, all new", "≤ 0.15 s"),
        "timers": ("100,000 zones: latest check while h1m is transferred or changed", "≤ 100 ms"),
        "transfer": ("AXFR out of h1m", "≤ 0.08 s"),
        "answer h1m hits": ("CPU, h1m hits", "≤ 0.65 × knotd, ≤ NSD"),
        "answer h1m nxdomain": ("CPU, h1m NXDOMAIN", "≤ 0.70 × knotd, ≤ NSD"),
        "answer h1m mixed": ("CPU, h1m mixed", "≤ 0.65 × knotd, ≤ NSD"),
        "answer t1m referrals": ("CPU, t1m referrals", "≤ 0.60 × knotd, ≤ NSD"),
        "answer hnsec hits": ("CPU, hnsec hits, DO", "≤ 0.65 × knotd, ≤ NSD"),
        "answer hnsec nxdomain": ("CPU, hnsec NXDOMAIN, DO", "≤ 0.65 × knotd, ≤ NSD"),
        "answer tnsec3 nxdomain": ("CPU, tnsec3 NXDOMAIN, DO", "≤ 0.50 × knotd, ≤ NSD"),
        "answer tnsec3 referrals": ("CPU, tnsec3 referrals, DO", "≤ 0.55 × knotd, ≤ NSD"),
        "answer tiny hits": ("CPU, small zone, hits", "≤ 0.92 × knotd, ≤ NSD"),
        "instructions a": ("instructions, A with EDNS", "≤ 4,200"),
        "instructions nxdomain": ("instructions, NXDOMAIN with EDNS", "≤ 4,500"),
        "upstream 1": ("dead resolver, one worker: others' p99", "≤ 1.2 × that beside a live one, 0 lost"),
        "upstream 4": ("dead resolver, four workers: others' p99", "≤ 1.2 × that beside a live one, 0 lost"),
        "upstream hold": ("the same with a hold, once noticed", "≤ 1.2 × that beside a live one, 0 lost"),
        "upstream instructions": ("alias with a cached target, instructions", "≤ 1.5 × a plain answer's"),
        "upstream ahead": ("first queries for new targets 1 s after a publish", "complete"),
    }

    def __init__(self):
        self.measured = {}

    def tell(self, key, value, met):
        """What was measured for a line, as text, and whether that meets it."""
        assert key in self.LINES, key
        self.measured[key] = (value, met)

    def print(self, small):
        """All lines; those of benches that did not run say so."""
        say(f"## Targets{', small form: not these zones' if small else ''}\n")
        rows = []
        for key, (what, target) in self.LINES.items():
            value, met = self.measured.get(key, ("–", None))
            rows.append((what, target, value, self._verdict(met, small)))
        table(("what", "target", "measured", ""), rows)


    @staticmethod
    def _verdict(met, small):
        if met is None:
            return "not measured"
        verdict = "met" if met else "not met"
        return f"({verdict})" if small else verdict


# Plots

def pyplot_or_none():
    """matplotlib's, or None where python3-matplotlib is not installed."""
    try:
        import matplotlib
        matplotlib.use("svg")
        from matplotlib import pyplot
        return pyplot
    except ImportError:
        return None


def save(pyplot, figure, axes, name, title):
    axes.set_title(title)
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(OUT / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)
    say(f"![{title}]({name}.svg)\n")


def plot(name, title, unit, series, labels=None):
    """Bars as SVG: {server: [value, …]}, one value for each label."""
    pyplot = pyplot_or_none()
    if pyplot is None:
        return
    labels = labels or [""]
    figure, axes = pyplot.subplots(figsize=(max(5, 1 + 1.6 * len(labels)), 3.2), layout="constrained")
    width = 0.8 / len(series)
    for place, (server, values) in enumerate(series.items()):
        axes.bar([n + place * width for n in range(len(values))], values, width, label=server)
    axes.set_xticks([n + 0.4 - width / 2 for n in range(len(labels))], labels)
    axes.set_ylabel(unit)
    save(pyplot, figure, axes, name, title)


def plot_lines(name, title, unit, series):
    """Curves as SVG, both scales logarithmic: {server: [(x, y), …]}."""
    pyplot = pyplot_or_none()
    if pyplot is None:
        return
    figure, axes = pyplot.subplots(figsize=(5, 3.2), layout="constrained")
    for server, points in series.items():
        axes.loglog(*zip(*points), marker="o", label=server)
    axes.set_xlabel(unit)
    save(pyplot, figure, axes, name, title)
