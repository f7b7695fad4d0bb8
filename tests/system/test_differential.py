# SPDX-License-Identifier: GPL-3.0-or-later
"""The module beside native knotd, NSD and BIND: each has the corpus by transfer from one primary, and answers the same questions.

Where the three agree, the module agrees. Where it differs from one of them, one of the REASONS below says why; what none of
them explains is a failure.
"""

import collections
import os
import random
import socket
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "differential"))

import corpus  # noqa: E402
from dnswire import Asker, Malformed, Question, Response, type_number, wire_name  # noqa: E402
from mirrors import NamedMirror, NsdMirror  # noqa: E402
from reasons import PARTS, comparable, differing, explain  # noqa: E402
from servers import PATIENCE, SLOWNESS, await_serial  # noqa: E402

FULL = os.environ.get("TEST_FULL") == "1"
pytestmark = pytest.mark.plain

#: Questions in one run; there are some 300,000.
QUESTIONS = 60000 if FULL else 4000
#: Questions compared before the next ones are asked: bounds memory.
BATCH = 2000
#: Differences shown at a failure, and questions for each.
SHOWN = 12

#: The same records in more octets than knotd needs.
LARGER = "larger"

TYPES = ["A", "AAAA", "NS", "SOA", "MX", "TXT", "CNAME", "DS", "SRV", "ANY", "DNAME", "HTTPS", "PTR", "NSEC", "TYPE65280"]
RARE_TYPES = ["RRSIG", "DNSKEY", "NSEC3PARAM", "MAILA", "MAILB", "NULL", "TYPE0", "TYPE65535", "TYPE128", "OPT", "TSIG", "TKEY", "NXT", "SIG"]

WAYS = [dict(payload=None), dict(payload=512), dict(payload=1232), dict(payload=4096), dict(payload=1232, tcp=True),
        dict(payload=1232, do=True), dict(payload=1232, rd=True)]


def questions(zones):
    """All of them, in an order that is the same each time."""
    for zone, text in zones.items():
        for name, present in corpus.names(zone, text).items():
            types = [type_number(rdtype) for rdtype in sorted(present | set(TYPES))]
            for qtype in types:
                for way in WAYS:
                    yield Question(name, qtype, **way)
    for zone, text in zones.items():
        for name, _ in corpus.owners(zone, text):
            for rdtype in RARE_TYPES:
                yield Question(name, rdtype)


def sample(zones, count, seed):
    """An even sample, each zone in proportion to its questions."""
    every = list(questions(zones))
    return random.Random(seed).sample(every, min(count, len(every)))


class Fleet:
    """A primary, and four that have its zones from it."""

    def __init__(self, servers, zones, scope="zone"):
        texts = {name: corpus.zone_file(name, text) for name, text in zones.items()}
        payload = "    udp-max-payload: 4096\n"
        primary = servers.knotd(texts, name="primary").start()
        self.members = {
            "knotd": servers.knotd(mirrored=zones, primaries=[primary], name="knotd", server_conf=payload),
            "nsd": servers._add(NsdMirror, zones, primary, name="nsd"),
            "bind": servers._add(NamedMirror, zones, primary, name="bind"),
            "module": servers.secondary(zones, [primary], scope=scope, name="module", server_conf=payload),
        }
        for server in self.members.values():
            server.start()
        for server in self.members.values():
            for zone in zones:
                await_serial(server, zone)
        self.askers = {name: Asker(server.address, server.port, SLOWNESS) for name, server in self.members.items()}

    def ask(self, some):
        """What each member says to each question: {member: [raw response]}."""
        with ThreadPoolExecutor(len(self.askers)) as pool:
            return dict(zip(self.askers, pool.map(lambda asker: asker.ask(some), self.askers.values())))


def parse(wire):
    try:
        return Response(wire) if wire is not None else None
    except Malformed as error:
        return f"malformed: {error}"


def compare(question, wires):
    """Differences of the module from the three: (member, what is different, reason or None)."""
    first = wires["module"]
    if first is not None and all(wire is not None and wire[2:] == first[2:] for wire in wires.values()):
        return
    parsed = {name: parse(wire) for name, wire in wires.items()}
    ours = parsed.pop("module")
    if not isinstance(ours, Response):
        if not all(theirs is None for theirs in parsed.values()) or ours is not None:
            yield "module", str(ours), None
        return
    agreed = len({repr(comparable(theirs)) if isinstance(theirs, Response) else name for name, theirs in parsed.items()}) == 1
    truncated = any(isinstance(theirs, Response) and theirs.tc for theirs in parsed.values())
    for name, theirs in parsed.items():
        if not isinstance(theirs, Response):
            yield name, "no answer", explain(name, question, None, ours)
        else:
            kind = difference(theirs, ours, truncated)
            if name == "knotd" and not kind and not truncated and ours.size > theirs.size:
                kind = LARGER
            if kind:
                yield name, kind, explain(name, question, theirs, ours) if not agreed or kind == LARGER else None


def difference(theirs, ours, truncated):
    """What is different, or None. With TC anywhere, the response code counts, and that we have not TC when nobody has."""
    if truncated or ours.tc:
        if ours.rcode != theirs.rcode:
            return "rcode of a truncated one"
        return "truncated by us alone" if ours.tc and not truncated else None
    return "+".join(part for part in PARTS if part in differing(theirs, ours)) or None


class Tally:
    """What was seen: how often each reason was needed, and what none explains."""

    def __init__(self, fleet):
        self.fleet, self.asked, self.reasons, self.unexplained = fleet, 0, collections.Counter(), collections.defaultdict(list)

    def run(self, some):
        for begin in range(0, len(some), BATCH):
            batch = some[begin:begin + BATCH]
            said = self.fleet.ask(batch)
            for i, question in enumerate(batch):
                self.take(question, {name: wires[i] for name, wires in said.items()})
        return self

    def take(self, question, wires):
        self.asked += 1
        for member, kind, reason in compare(question, wires):
            if reason:
                self.reasons[member, reason] += 1
            else:
                self.unexplained[member, kind].append((question, wires))

    def report(self):
        lines = [f"{self.asked} questions"]
        lines += [f"{count:6} {member}: {reason}" for (member, reason), count in self.reasons.most_common()]
        lines += [f"{len(cases):6} {member}: {kind}: UNEXPLAINED" for (member, kind), cases in self.unexplained.items()]
        for (member, kind), cases in list(self.unexplained.items())[:SHOWN]:
            for question, wires in cases[:int(os.environ.get("DIFFERENCES", "1"))]:
                lines.append(f"\n{question}: {kind}, {member}:\n{parse(wires.get(member))}\n  ours:\n{parse(wires['module'])}")
        return "\n".join(lines)


def run(servers, zones, count, scope="zone"):
    seed = int(os.environ.get("SEED", "1"))
    fleet = Fleet(servers, zones, scope)
    tally = Tally(fleet).run(sample(zones, count, seed))
    print(f"SEED={seed}: {tally.report()}")
    assert not tally.unexplained, tally.report()
    return tally


@pytest.mark.parametrize("scope", ["zone", "global"] if FULL else ["zone"])
def test_corpus(servers, scope):
    tally = run(servers, corpus.ZONES, QUESTIONS, scope)
    assert tally.asked >= (50000 if FULL else 3000)


def odd_messages(name):
    """Queries that nobody should send, without their ids."""
    question = wire_name(name) + b"\x00\x01\x00\x01"
    def header(bits=0, counts=(1, 0, 0, 0)):
        return struct.pack("!HHHHH", bits, *counts)
    record = wire_name(name) + struct.pack("!HHIH", 1, 1, 60, 4) + b"\xc0\x00\x02\x01"
    opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)
    for opcode in (*range(4), *range(5, 16)): # of NOTIFY only a secondary knows what to make
        yield header(opcode << 11) + question
        yield header(opcode << 11 | 0x0100, (1, 0, 0, 1)) + question + opt
    for qclass in (0, 2, 3, 4, 254, 255, 65535):
        yield header() + question[:-2] + struct.pack("!H", qclass)
    for qtype in (0, 41, 128, 249, 250, 253, 254, 255, 65535):
        yield header() + question[:-4] + struct.pack("!HH", qtype, 1)
        yield header() + question[:-4] + struct.pack("!HH", qtype, 255)
    for bit in (*range(11), 15):
        yield header(1 << bit) + question
    for count in (0, 2, 3, 65535):
        yield header(counts=(count, 0, 0, 0)) + question * min(count, 3)
    for counts, rest in [((1, 1, 0, 0), record), ((1, 0, 1, 0), record), ((1, 0, 0, 1), record), ((1, 0, 0, 2), opt + opt), ((1, 0, 0, 2), opt),
                         ((1, 0, 0, 0), b"trailing"), ((1, 0, 0, 1), opt[:-3]), ((1, 0, 0, 1), b"\0" + struct.pack("!HHIH", 41, 1232, 1 << 16, 0)),
                         ((1, 0, 0, 1), wire_name("x") + opt[1:]), ((1, 0, 0, 1), b"\0" + struct.pack("!HHIH", 41, 0, 0x8000, 0)),
                         ((1, 0, 0, 1), b"\0" + struct.pack("!HHIHHH", 41, 1232, 0, 4, 3, 9))]:
        yield header(counts=counts) + question + rest
    for qname in (b"\xc0\x0c", b"\x40abc\0", b"\x80\0", b"\x03www", b"", wire_name(".".join(["a" * 63] * 4)), wire_name(".".join(["a"] * 128))):
        yield header() + qname + b"\x00\x01\x00\x01"
    yield header() + question[:-1]
    yield header()[:-4]


#: Messages that are sent before their answers are read, so that no socket runs over, and the query behind them.
WINDOW = 16
LAST = struct.pack("!HHHHHH", 0xffff, 0, 1, 0, 0, 0) + b"\0" + struct.pack("!HH", 6, 1)


def exchange(server, messages, tcp):
    """What a server says to each; None where it is silent."""
    answers = {}
    if tcp:
        for number, wire in enumerate(messages):
            with socket.create_connection((server.address, server.port), timeout=PATIENCE) as client:
                wire = struct.pack("!H", number) + wire
                client.sendall(struct.pack("!H", len(wire)) + wire)
                client.shutdown(socket.SHUT_WR)
                answers[number] = client.makefile("rb").read()[2:] or None
        return answers
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.connect((server.address, server.port))
        for first in range(0, len(messages), WINDOW):
            for number, wire in enumerate(messages[first:first + WINDOW], first):
                client.send(struct.pack("!H", number) + wire)
            # One client's messages go to one worker of knotd, in order: what is not answered before this one is not answered at all.
            client.send(LAST)
            while (wire := client.recv(65535))[:2] != LAST[:2]:
                answers[struct.unpack_from("!H", wire)[0]] = wire
    return answers


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("scope", ["zone", "global"])
def test_odd_messages(servers, scope, tcp):
    """Opcodes, classes, counts, flags, OPT records and names that no client sends: as native knotd, octet for octet."""
    zone = "plain.diff.test"
    native, module = servers.pair({zone: corpus.zone_file(zone, corpus.PLAIN)}, scope=scope)
    for name in (f"www.{zone}", f"missing.{zone}", zone, "elsewhere.test"):
        messages = list(odd_messages(name))
        ours, theirs = exchange(module, messages, tcp), exchange(native, messages, tcp)
        for number, wire in enumerate(messages):
            assert ours.get(number) == theirs.get(number), f"{name}: {wire.hex()}"


def test_root(servers):
    run(servers, {".": corpus.ROOT}, QUESTIONS // 4)
