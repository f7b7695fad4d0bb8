# SPDX-License-Identifier: GPL-3.0-or-later
"""`./build.sh bench answer`: what an answer costs. Processor time and rate with dnsperf, instructions with callgrind.

Each server has one worker and is held to one processor, the client to another. All have EDNS.
"""

import os
import re
import subprocess

import dns.flags

import generators
import harness
from harness import NATIVE, OURS, median, say, spread
from servers import ask, message, tool

#: By zone, what is asked: kind, with DO, bound on processor time as part of native knotd's, expected response codes.
MIXES = {
    "h1m": [("hits", False, 0.65, {"NOERROR"}), ("nxdomain", False, 0.70, {"NXDOMAIN"}), ("mixed", False, 0.65, {"NOERROR", "NXDOMAIN"})],
    "t1m": [("referrals", False, 0.60, {"NOERROR"})],
    "hnsec": [("hits", True, 0.65, {"NOERROR"}), ("nxdomain", True, 0.65, {"NXDOMAIN"})],
    "tnsec3": [("nxdomain", True, 0.50, {"NXDOMAIN"}), ("referrals", True, 0.55, {"NOERROR"})],
    "tiny": [("hits", False, 0.92, {"NOERROR"})],
}
QUERIES, QUERIES_SMALL = 500_000, 5_000
#: Upper bounds on user-space instructions of a query inside knotd.
INSTRUCTIONS = {"a": 4200, "nxdomain": 4500}
#: Queries of one kind through `answer` alone.
ALONE = 2000


def load_once(server, questions, with_do, expected):
    """(processor seconds per million queries, of them in user space, queries a second, lost)"""
    before = harness.processor_time(server)
    done = harness.dnsperf(server, questions, *(["-D"] if with_do else []))
    after = harness.processor_time(server)
    assert set(done["codes"]) == expected, f"{server.path.name}: {done['codes']}"
    user, system = ((b - a) * 1e6 / done["completed"] for a, b in zip(before, after))
    return user + system, user, done["rate"], done["lost"]


def write_questions(path, zone, kind, count):
    with open(path, "w") as file:
        file.writelines(line + "\n" for line in zone.questions(kind, count))


def tell(targets, key, bound, results):
    if NATIVE not in results.rounds:
        return
    ratio = median(results.ratios(place=0))
    value, met = f"{ratio:.2f} × knotd", ratio <= bound
    if "NSD" in results.rounds:
        to_nsd = median(results.ratios(to="NSD", place=0))
        value, met = f"{value}, {to_nsd:.2f} × NSD", met and to_nsd <= 1
    targets.tell(key, value, met)


def print_mix(title, results):
    say(f"### answer: {title}\n")
    rows = []
    for name in results.rounds:
        total, user, rate, lost = (results.column(name, place) for place in range(4))
        rows.append((name, f"{median(total):.2f}", spread(total), f"{median(user):.2f}", results.to_native(name, 0), f"{median(rate):,.0f}", f"{sum(lost):.0f}"))
    harness.table(("server", "CPU s per million", "least – most", "user s", "ratio to knotd", "queries/s", "lost"), rows)


def bench_zone(servers, arguments, zone):
    primary = harness.replay(servers, zone)
    peers = harness.peers_of(servers, [zone.origin], primary, arguments.peers, workers=1)
    for server in peers.values():
        server.write_config()
        server.launch()
        harness.first_answer(server, f"{zone.last()}.{zone.origin}")
        harness.pin(server, os.cpu_count() - 1)
    primary.close()

    count = QUERIES_SMALL if arguments.small else QUERIES
    found = {}
    for kind, with_do, bound, expected in MIXES[zone.key]:
        questions = servers.path / f"{zone.key}.{kind}"
        write_questions(questions, zone, kind, count)
        results = harness.in_turns(arguments.rounds, peers, lambda _, server: load_once(server, questions, with_do, expected))
        title = f"{zone.key} {kind}{', DO' if with_do else ''}"
        print_mix(f"{title}: {primary.records:,} records, {count:,} random questions a round", results)
        tell(arguments.targets, f"answer {zone.key} {kind}", bound, results)
        found[title] = {name: results.median(name, 0) for name in peers}
    for server in peers.values():
        server.stop()
    return found


def count_instructions(servers, arguments):
    """Of whole queries inside knotd, and of the module's hook."""
    zone = generators.Tiny()
    primary = harness.load_file(servers, zone, name="instructions-primary").start()
    chosen = [name for name in (OURS, NATIVE) if name in arguments.peers]
    peers = harness.peers_of(servers, [zone.origin], primary, chosen, workers=1)
    asked = {"A without EDNS": (f"www1.{zone.origin}", None), "A with EDNS": (f"www1.{zone.origin}", 1232), "NXDOMAIN with EDNS": (f"none.{zone.origin}", 1232)}
    counted = {}
    for name, server in peers.items():
        out = servers.path / f"callgrind-{name}"
        server.wrapped = True # The native one, too.
        with harness.callgrind(out):
            server.start()
        harness.first_answer(server, f"www1.{zone.origin}")
        counted[name] = {what: harness.instructions(server, out, lambda: ask(server, message(label, "A", payload=payload)), queries=200 if arguments.small else 2000)
                         for what, (label, payload) in asked.items()}
        server.stop()
    primary.stop()

    say("### answer: user-space instructions of a UDP query (callgrind, one worker, a small zone)\n")
    rows = []
    for what in asked:
        ours, hook = counted[OURS][what]
        native = counted[NATIVE][what][0] if NATIVE in counted else None
        rows.append((what, f"{native:.0f}" if native else "–", f"{ours:.0f}", f"{ours / native:.2f}" if native else "–", f"{hook:.0f}"))
    harness.table(("query", "native knotd", "with the module", "ratio", "of it the module's hook"), rows)
    for key, what in (("a", "A with EDNS"), ("nxdomain", "NXDOMAIN with EDNS")):
        value = counted[OURS][what][0]
        arguments.targets.tell(f"instructions {key}", f"{value:.0f}", value <= INSTRUCTIONS[key])


def count_alone(servers):
    """Instructions of answer() itself, outside of knotd."""
    program = harness.ROOT / "build" / "bench_answer"
    rows = []
    for kind in ("hit", "alias", "mx", "nodata", "miss", "referral"):
        out = servers.path / f"callgrind-answer-{kind}"
        subprocess.run([tool("valgrind"), "--tool=callgrind", "--toggle-collect=answer", f"--callgrind-out-file={out}", program, "count", kind, str(ALONE)],
                       check=True, capture_output=True)
        total = re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.MULTILINE)
        rows.append((kind, f"{int(total.group(1)) / ALONE:.0f}"))
    say("### answer: instructions of answer() alone, from a zone of 100 names\n")
    harness.table(("answer", "instructions"), rows)


def bench_answer(servers, arguments):
    """CPU seconds per million queries and rate over the zones of TARGETS; instructions."""
    found = {}
    for key, zone in generators.zones(arguments.small).items():
        if not arguments.zone or key in arguments.zone:
            found.update(bench_zone(servers, arguments, zone))
    if found:
        harness.plot("answer", "what a million queries cost", "CPU seconds", {name: [mix[name] for mix in found.values()] for name in arguments.peers},
                     [title.replace(" ", "\n", 1) for title in found])
    if not arguments.zone or "tiny" in arguments.zone:
        count_instructions(servers, arguments)
        count_alone(servers)
