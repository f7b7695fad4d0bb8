# SPDX-License-Identifier: GPL-3.0-or-later
"""`./build.sh bench [NAME…]`: measures and prints Markdown. Machines are noisy: ours and its peers take turns, medians and ratios count.

Each bench is a file of its own beside this one; harness.py says what makes one.
"""

import argparse
import contextlib
import importlib
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import harness  # noqa: E402
from servers import Servers  # noqa: E402

#: In this order; those whose file is there.
NAMES = [name for name in ("answer", "load", "swap", "increment", "zones", "transfer", "upstream", "reload", "store", "timers", "growth")
         if (Path(__file__).parent / f"{name}.py").exists()]
PEERS = ["knotd", "NSD", "BIND"]


class Tee:
    """What is printed goes into the report, too."""

    def __init__(self, *files):
        self.files = files

    def write(self, text):
        for file in self.files:
            file.write(text)

    def flush(self):
        for file in self.files:
            file.flush()


def parse():
    small = os.environ.get("BENCH_SIZE") == "small"
    parser = argparse.ArgumentParser(prog="./build.sh bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all without one")
    parser.add_argument("--small", action="store_true", default=small, help="zones of some thousand names: shows that all works (BENCH_SIZE=small)")
    parser.add_argument("--rounds", type=int, help="5; 2 in the small form")
    parser.add_argument("--scale", type=int, default=1, help="load, transfer: times a million records")
    parser.add_argument("--zone", action="append", help="answer, load: of these zones alone (h1m, t1m, hnsec, tnsec3, tiny)")
    parser.add_argument("--peer", action="append", choices=PEERS, help="beside these alone; all without one")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in NAMES:
            parser.error(f"no bench {name}; there are: {', '.join(NAMES)}")
    arguments.names = arguments.names or NAMES
    arguments.rounds = arguments.rounds or (2 if arguments.small else 5)
    arguments.peers = [harness.OURS, *(arguments.peer or PEERS)]
    arguments.targets = harness.Targets()
    return arguments


def run(name, arguments):
    bench = getattr(importlib.import_module(name), f"bench_{name}")
    with tempfile.TemporaryDirectory(prefix="mod-secondary-bench.") as directory:
        servers = Servers(directory)
        try:
            bench(servers, arguments)
        finally:
            servers.stop()


def main():
    arguments = parse()
    harness.OUT.mkdir(parents=True, exist_ok=True)
    with open(harness.OUT / "report.md", "w") as report, contextlib.redirect_stdout(Tee(sys.stdout, report)):
        harness.machine(arguments)
        for name in arguments.names:
            run(name, arguments)
        arguments.targets.print(arguments.small)


if __name__ == "__main__":
    main()
