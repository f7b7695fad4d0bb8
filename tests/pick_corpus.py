#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renews tests/corpus/TARGET from what `./build.sh fuzz TARGET SECONDS` has found: few small inputs that reach most of the code.

usage: tests/pick_corpus.py TARGET…

Inputs with a name of their own were written by hand: they stay. The others are chosen one after the other, the one first that
reaches most edges that none has reached yet, then what passes them how often.
"""
import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile

MOST_FILES = 40
MOST_OCTETS = 1024

ROOT = pathlib.Path(__file__).resolve().parent.parent


def candidates(target, kept):
    """All inputs that are small enough, by their digests."""
    found = {}
    for directory in (ROOT / "tests/corpus" / target, ROOT / "build-fuzz/corpus" / target):
        for path in sorted(directory.glob("*")):
            octets = path.read_bytes()
            if 0 < len(octets) <= MOST_OCTETS:
                found[hashlib.sha1(octets).hexdigest()[:12]] = octets
    return found, {hashlib.sha1(path.read_bytes()).hexdigest()[:12] for path in kept}


def reached(target, inputs):
    """What each input reaches: (edges, features), as libFuzzer tells in the file that it merges by: a feature is eight times an edge,
    and how often it was passed."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "in").mkdir()
        (scratch / "out").mkdir()
        for name, octets in inputs.items():
            (scratch / "in" / name).write_bytes(octets)
        subprocess.run([ROOT / "build-fuzz" / f"fuzz_{target}", "-set_cover_merge=1", f"-merge_control_file={scratch}/control",
                        f"-max_len={MOST_OCTETS}", scratch / "out", scratch / "in"], check=True, stderr=subprocess.DEVNULL)
        lines = (scratch / "control").read_text().splitlines()
    names = [pathlib.Path(line).name for line in lines[2:2 + int(lines[0])]]
    reach = {}
    for line in lines[2 + len(names):]:
        kind, number, *numbers = line.split()
        if kind == "FT":
            features = {int(feature) for feature in numbers}
            reach[names[int(number)]] = {feature // 8 for feature in features}, features
    return reach


def choose(reach, chosen):
    edges, features = set(), set()
    chosen = [name for name in chosen if name in reach]
    for name in chosen:
        edges |= reach[name][0]
        features |= reach[name][1]

    def gain(name):
        return len(reach[name][0] - edges), len(reach[name][1] - features)
    while len(chosen) < MOST_FILES:
        best = max(sorted(reach.keys() - set(chosen)), key=gain, default=None)
        if best is None or gain(best) == (0, 0):
            break
        chosen.append(best)
        edges |= reach[best][0]
        features |= reach[best][1]
    return chosen, edges, features


def pick(target):
    directory = ROOT / "tests/corpus" / target
    directory.mkdir(exist_ok=True)
    kept = [path for path in directory.glob("*") if not re.fullmatch("[0-9a-f]{12}", path.name)]
    inputs, by_hand = candidates(target, kept)
    reach = reached(target, inputs)
    chosen, edges, features = choose(reach, sorted(by_hand))
    for path in set(directory.glob("*")) - set(kept):
        path.unlink()
    for name in set(chosen) - by_hand:
        (directory / name).write_bytes(inputs[name])
    files = list(directory.glob("*"))
    print(f"{target}: {len(files)} files, {sum(path.stat().st_size for path in files)} octets; {len(edges)} edges of "
          f"{len(set().union(*(each[0] for each in reach.values())))}, {len(features)} features of "
          f"{len(set().union(*(each[1] for each in reach.values())))}")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        pick(name)
