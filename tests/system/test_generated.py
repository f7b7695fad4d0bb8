# SPDX-License-Identifier: GPL-3.0-or-later
"""Random small zones: the module beside a stock knotd that loads the same zone.

Each zone has a seed, printed with a failure; SEED=… makes that zone again. A zone that fails is made smaller, record by record,
as long as it still fails, and what is left is printed with the questions that show it.
"""

import itertools
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "differential"))

import corpus  # noqa: E402
import generate  # noqa: E402
from dnswire import Asker, Question, Response, Malformed  # noqa: E402
from reasons import differing, explain  # noqa: E402
from servers import SLOWNESS, await_event, serial_of  # noqa: E402

FULL = os.environ.get("TEST_FULL") == "1"
#: Zones in one round, which is one reload of both servers, and rounds.
ZONES = 40
ROUNDS = 60 if FULL else 2
#: Questions for one zone.
QUESTIONS = 100
#: Attempts to make a failing zone smaller; each takes a reload of both servers.
SHRINKS = 60

TYPES = {"A", "AAAA", "MX", "NS", "SOA", "CNAME", "DS", "ANY"}
WAYS = [dict(payload=None), dict(payload=512), dict(payload=1232), dict(payload=1232, tcp=True), dict(payload=4096, do=True)]


class Couple:
    """A knotd with zones, and the module that has them from it; the zones are replaced at will."""

    def __init__(self, servers):
        self.serial = itertools.count(1)
        names = [f"z{n}.gen" for n in range(ZONES)]
        payload = "    udp-max-payload: 4096\n"
        self.native = servers.knotd({name: self.text(name, [], 1) for name in names}, name="native", server_conf=payload)
        self.module = servers.secondary(names, [self.native], name="module", server_conf=payload, items={"retry-jitter": 0})
        self.native.notify.append(self.module)
        self.native.start()
        self.module.start()
        for name in names:
            self.module.await_serial(name)
        self.names = names
        self.askers = [Asker(server.address, server.port, SLOWNESS) for server in (self.module, self.native)]

    @staticmethod
    def text(name, records, serial):
        return corpus.zone_file(name, corpus.SOA.replace(" 7 ", f" {serial} ")) + "@ NS ns.elsewhere.test.\n" + "\n".join(records) + "\n"

    def serve(self, zones):
        """Both serve these zones ({name: records}) when it returns."""
        serial = next(self.serial) + 1
        for name, records in zones.items():
            self.native.zones[name] = self.text(name, records, serial)
            self.native.zone_file(name).write_text(self.native.zones[name])
        self.native.knotc("zone-reload", *[f"{name}." for name in zones])
        for name in zones:
            for server in (self.native, self.module):
                await_event(lambda: serial_of(server, name) == serial, f"{name} {serial} at {server.path.name}")

    def differences(self, questions):
        """The questions that are answered differently, with both answers."""
        for question, ours, theirs in zip(questions, *(asker.ask(questions) for asker in self.askers)):
            if ours is None or theirs is None or ours[2:] != theirs[2:]:
                what = judge(question, ours, theirs)
                if what:
                    yield question, what, ours, theirs


def judge(question, ours, theirs):
    """What is wrong with ours, or None."""
    try:
        ours, theirs = (Response(wire) if wire is not None else None for wire in (ours, theirs))
    except Malformed as error:
        return f"malformed: {error}"
    if ours is None or theirs is None:
        return "no answer"
    if ours.tc or theirs.tc:
        if ours.rcode != theirs.rcode:
            return "rcode of a truncated one"
        return "truncated by us alone" if not theirs.tc and not explain("knotd", question, theirs, ours) else None
    parts = differing(theirs, ours)
    if parts and not explain("knotd", question, theirs, ours):
        return "+".join(sorted(parts))
    return None


def questions(seed, name, records):
    """Some of the questions for a zone, the same for the same seed."""
    rng = random.Random(seed)
    names = list(corpus.names(name, corpus.SOA + "\n".join(records)).items())
    for _ in range(QUESTIONS):
        qname, types = rng.choice(names)
        yield Question(qname, rng.choice(sorted(types | TYPES)), **rng.choice(WAYS))


def shrink(couple, name, records, failing):
    """Takes records away, half of them first, one at last, as long as some of the questions fail."""
    size, attempts = max(1, len(records) // 2), 0
    while size and attempts < SHRINKS:
        begin = 0
        while begin < len(records) and attempts < SHRINKS:
            fewer = records[:begin] + records[begin + size:]
            attempts += 1
            couple.serve({name: fewer})
            if any(couple.differences(failing)):
                records = fewer
            else:
                begin += size
        size //= 2
    couple.serve({name: records})
    return records, list(couple.differences(failing))


def report(couple, seed, name, records, found):
    records, left = shrink(couple, name, records, [question for question, *_ in found])
    lines = [f"SEED={seed}: {len(found)} differences; a smaller zone {name} with these:", *records]
    for question, what, ours, theirs in left[:4]:
        lines += [f"{question}: {what}", "  knotd:", str(Response(theirs)) if theirs else "    none",
                  "  ours:", str(Response(ours)) if ours else "    none"]
    return "\n".join(lines)


def test_random_zones(servers):
    couple = Couple(servers)
    given = os.environ.get("SEED")
    first = int(given) if given else int(time.time())
    print(f"SEED={first} and up")
    asked = 0
    for number in range(1 if given else ROUNDS):
        seeds = {name: first + number * ZONES + i for i, name in enumerate(couple.names[:1 if given else ZONES])}
        zones = {name: generate.records(seed, name) for name, seed in seeds.items()}
        couple.serve(zones)
        for name, seed in seeds.items():
            some = list(questions(seed, name, zones[name]))
            asked += len(some)
            found = list(couple.differences(some))
            assert not found, report(couple, seed, name, zones[name], found)
    print(f"{asked} questions")
    assert asked == (QUESTIONS if given else ROUNDS * ZONES * QUESTIONS)
