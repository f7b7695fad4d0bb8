# SPDX-License-Identifier: GPL-3.0-or-later
"""A misbehaving primary in front of one knotd: each fault costs its own zone nothing but the news, and others nothing at all.

Each fault has a zone with two primaries, of which the first misbehaves. It does so twice: when the zone comes for the first time, which
it then does from the other primary (version 1), and when it claims to have version 2, after which version 1 still serves, record for record.
All faults are at work at the same time, beside a thousand zones that refresh all the while. Then the primary is cured, and version 2 comes.
"""

import collections
import os
import re
import socket
import struct
import sys
import time
from pathlib import Path

import pytest

from hostile import (A, AAAA, AXFR, CLOSE, CNAME, DNAME, Drip, Endless, Framed, HALF_CLOSE, Hostile, IXFR, Lots, Message, MX, NS, NS_ADDRESS,
                     NS_RECORD, Name, OPT, Octets, Part, RESET, Raw, Record, SOA, STALLED, TSIG, TXT, address, label, opt, soa, tcp_frame,
                     version, wire_name)
from servers import Key, Peer, ROOT, SLOWNESS, Servers, await_event, await_serial, free_port, notify, zone_text

sys.path.insert(0, str(ROOT / "tests" / "differential"))

from dnswire import Asker, Question, Response  # noqa: E402

pytestmark = pytest.mark.hostile

FULL = os.environ.get("TEST_FULL") == "1"

#: First primary of most zones, and the one behind it; the same for zones with a key. Each fault of timing has an address of its own.
BAD, GOOD, BAD_KEYED, GOOD_KEYED = "127.0.2.1", "127.0.2.2", "127.0.4.1", "127.0.4.2"
ALONE = "127.0.3.{}"
KEY = Key("primary")

#: Zones that go on meanwhile, and how often, in seconds.
OTHERS, OTHERS_REFRESH = 1000, 4
ZONE_MAX_SIZE = 4 << 20
#: Octets that the process may grow by, the sanitizer's own included.
MEMORY_GROWTH = 96 << 20

MALFORMED = r"malformed data"
MALFORMED_1 = r"malformed message 1"
CLOSED = r"connection reset"
TIMEOUT = r"connection timeout"
UNSIGNED = r"expected a TSIG or SIG\(0\)"
BADSIG, BADKEY, BADTIME, BADTRUNC = r"failed to verify TSIG", r"TSIG key not recognized or invalid", r"TSIG out of time window", r"TSIG bad truncation"


class Fault:
    """What the first primary does instead: to questions for the zone (`stream`), or for its SOA (`probe`, and `probe_tcp`).

    `reason` is what the log says. early: it does so with the zone's first transfer, too. alone: at an address of its own. claims: the
    serial that it says it has. serves: the version that serves afterwards.
    """

    def __init__(self, stream=None, reason=None, *, probe=None, probe_tcp=None, early=None, alone=False, keyed=False, claims=2, serves=1):
        self.stream, self.reason, self.probe, self.probe_tcp = stream, reason, probe, probe_tcp
        self.early = stream is not None if early is None else early
        self.alone, self.keyed, self.claims, self.serves = alone, keyed, claims, serves


V2 = version(2)
GOOD_MESSAGE = Message(*V2)


def instead(*records, reason, **how):
    """A zone of one message in which these records stand between the usual ones."""
    return Fault([Message(*version(2, *records), **how)], reason)


def one(reason, *answer, **how):
    return Fault([Message(*answer, **how)], reason)


def second(reason, **how):
    """A good message, and then one that is wrong."""
    return Fault([Message(*V2[:3]), Message(*V2[3:], **how)], reason)


def answers(reason, *answer, **how):
    """A wrong answer to the question for the SOA."""
    return Fault(reason=reason, probe=[Message(*answer, **how)])


FRAMING = {
    "closed instead of an answer": Fault([CLOSE], CLOSED),
    "closed in the length": Fault([Part(GOOD_MESSAGE, 1), CLOSE], CLOSED),
    "closed behind the length": Fault([Part(GOOD_MESSAGE, 2), CLOSE], CLOSED),
    "closed in the header": Fault([Part(GOOD_MESSAGE, 9), CLOSE], CLOSED),
    "closed in a message": Fault([Part(GOOD_MESSAGE, 100), CLOSE], CLOSED),
    "closed before the last message": Fault([Message(*V2[:-1]), CLOSE], CLOSED),
    "closed in the last message": Fault([Message(*V2[:-1]), Part(Message(V2[-1]), 40), CLOSE], CLOSED),
    "reset instead of an answer": Fault([RESET], r"connection reset by peer"),
    "reset between messages": Fault([Message(*V2[:-1]), RESET], r"connection reset by peer|" + CLOSED),
    "half-closed instead of an answer": Fault([HALF_CLOSE], CLOSED),
    "half-closed between messages": Fault([Message(*V2[:-1]), HALF_CLOSE], CLOSED),
    "length 0": Fault([Octets(b"\0\0")], MALFORMED),
    "length 0 between messages": Fault([Message(*V2[:-1]), Octets(b"\0\0"), Message(V2[-1])], MALFORMED),
    "length 1": Fault([Octets(b"\0\1x")], MALFORMED),
    "length 11": Fault([Part(GOOD_MESSAGE, 0), Framed(bytes(11))], MALFORMED),
    "length too small": Fault([Octets(b"\0\x40"), Octets(bytes(64))], MALFORMED),
    "length too large": Fault([Octets(b"\xff\xff"), Octets(bytes(4000)), CLOSE], CLOSED),
    "garbage between messages": Fault([Message(*V2[:-1]), Octets(b"\0\x0cGET / HTTP/1")], MALFORMED),
    "another protocol": Fault([Octets(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), CLOSE], CLOSED),
    "an alert of TLS": Fault([Octets(b"\x15\x03\x03\x00\x02\x02\x28"), CLOSE], CLOSED),
    "octets behind the message": one(MALFORMED_1, *V2, tail=b"\0"),
    "a record behind the message": one(MALFORMED_1, *V2, tail=address("www").wire(b"\xc0\x0c")),
    "an octet is missing": one(MALFORMED_1, *V2, cut=1),
    "the last record is missing": one(MALFORMED_1, *V2, cut=30),
}

HEADER = {
    "another id": one(MALFORMED, *V2, id=1),
    "another id later": second(MALFORMED, id=1),
    "a query": one(MALFORMED, *V2, bits=0x0400),
    "a query later": second(MALFORMED, bits=0x0400),
    "opcode NOTIFY": one(MALFORMED, *V2, opcode=4),
    "opcode UPDATE": one(MALFORMED, *V2, opcode=5),
    "opcode 15": one(MALFORMED, *V2, opcode=15),
    "opcode NOTIFY later": second(MALFORMED, opcode=4),
    "truncated": one(r"truncated message 1", *V2, bits=0x8600),
    "truncated later": second(r"truncated message 2", bits=0x8600),
    "FORMERR": one(r"server responded with error 'FORMERR'", rcode=1),
    "SERVFAIL": one(r"server responded with error 'SERVFAIL'", rcode=2),
    "NXDOMAIN": one(r"server responded with error 'NXDOMAIN'", rcode=3),
    "NOTIMPL": one(r"server responded with error 'NOTIMPL'", rcode=4),
    "REFUSED": one(r"server responded with error 'REFUSED'", rcode=5),
    "REFUSED without a question": one(r"server responded with error 'REFUSED'", rcode=5, question=None),
    "NOTAUTH": one(r"server responded with error 'NOTAUTH'", rcode=9),
    "code 15": one(r"server responded with error 'RCODE 15'", rcode=15),
    "REFUSED with the zone": one(r"server responded with error 'REFUSED'", *V2, rcode=5),
    "SERVFAIL later": second(r"server responded with error 'SERVFAIL'", rcode=2),
    "BADVERS": one(r"server responded with error 'BADVERS'", *V2, additional=[opt(rcode=1)]),
    "BADVERS without records": one(r"server responded with error 'BADVERS'", additional=[opt(rcode=1)]),
    "extended code 4080": one(r"server responded with error 'RCODE 4080'", *V2, additional=[opt(rcode=255)]),
    "header alone": one(r"message 1 without records"),
    "header alone later": Fault([Message(*V2[:-1]), Message()], r"message 2 without records"),
    "header without question alone": one(r"message 1 without records", question=None),
    "more answers than there are": one(MALFORMED_1, *V2, counts={0: 9}),
    "65,535 answers": one(MALFORMED_1, *V2, counts={0: 65535}),
    "fewer answers than there are": one(MALFORMED_1, *V2, counts={0: 5}),
    "no answer by the count": one(MALFORMED_1, *V2, counts={0: 0}),
    "more authority than there is": one(MALFORMED_1, *V2, counts={1: 1}),
    "65,535 additional": one(MALFORMED_1, *V2, counts={2: 65535}),
}

QUESTION = {
    "question for another zone": one(MALFORMED, *V2, question=wire_name("other.fault") + b"\0\xfc\0\1"),
    "question for another type": one(MALFORMED, *V2, question=wire_name("x") + b"\0\6\0\1"),
    "question of another class": one(MALFORMED, *V2, question=wire_name("x") + b"\0\xfc\0\3"),
    "question later for another zone": second(MALFORMED, question=wire_name("other.fault") + b"\0\xfc\0\1"),
    "two questions": one(MALFORMED, *V2, qdcount=2),
    "65,535 questions": one(MALFORMED, *V2, qdcount=65535),
    "question is counted and missing": one(MALFORMED, question=None, qdcount=1),
    "question is a pointer to itself": one(MALFORMED, *V2, question=b"\xc0\x0c\0\xfc\0\1"),
    "question is cut": one(MALFORMED, question=b"\4name"),
}

SECTIONS = {
    "zone in the authority section": one(r"message 1 without records", authority=V2),
    "zone in the additional section": one(r"message 1 without records", additional=V2),
    "OPT among the answers": one(r"record of another class at \.", *version(2, opt())),
    "OPT of class IN among the answers": one(r"record of a meta type at x\.f\d+\.fault\.", *version(2, Record("x", OPT, b""))),
    "OPT in the authority section": one(MALFORMED_1, *V2, authority=[opt()]),
    "OPT with a name": one(MALFORMED_1, *V2, additional=[opt(owner=wire_name("x"))]),
    "OPT cut": one(MALFORMED_1, *V2, additional=[Raw(b"\0\0\x29")]),
    "authority is garbage": one(MALFORMED_1, *V2, authority=[Raw(b"\x40garbage")]),
    "the primary says it is expired": one(r"remote is expired, ignoring", *V2, additional=[opt(b"\0\x09\0\4\0\0\0\0")]),
    "TSIG among the answers": one(r"record of another class at f\d+\.fault\.", *version(2, Record("@", TSIG, b"x", rdclass=255))),
}

CLASSES = {
    **{f"record of class {name}": instead(address("www", rdclass=number), reason=r"record of another class at www\.f\d+\.fault\.")
       for name, number in {"0": 0, "CH": 3, "HS": 4, "NONE": 254, "ANY": 255, "65535": 65535}.items()},
    "first SOA of class CH": one(r"record of another class at f\d+\.fault\.", soa(2, rdclass=3), *V2[1:]),
    "last SOA of class CH": one(r"record of another class at f\d+\.fault\.", *V2[:-1], soa(2, rdclass=3)),
    **{f"record of type {name}": instead(Record("odd", number, b"xxxx"), reason=r"record of a meta type at odd\.f\d+\.fault\.")
       for name, number in {"0": 0, "128": 128, "TKEY": 249, "TSIG": 250, "IXFR": 251, "AXFR": 252, "MAILB": 253, "MAILA": 254,
                            "ANY": 255}.items()},
}

SERIALS = {
    "no SOA at all": one(r"first record is not SOA", *V2[1:-1]),
    "NS before the SOA": one(r"first record is not SOA", NS_RECORD, *V2),
    "first SOA is a child's": one(r"first SOA is not the zone's at sub\.f\d+\.fault\.", soa(2, owner="sub"), *V2[1:]),
    "first SOA is the parent's": one(r"first SOA is not the zone's at fault\.", soa(2, owner="fault."), *V2[1:]),
    "first SOA is the root's": one(r"first SOA is not the zone's at \.", soa(2, owner="."), *V2[1:]),
    "no last SOA": Fault([Message(*V2[:-1]), CLOSE], CLOSED),
    "last SOA has a higher serial": one(r"zone changed during the transfer, serial 2 -> 3", *V2[:-1], soa(3)),
    "last SOA has a lower serial": one(r"zone changed during the transfer, serial 2 -> 1", *V2[:-1], soa(1)),
    "last SOA has another MNAME": one(r"last SOA differs from the first", *V2[:-1], soa(2, mname="other")),
    "last SOA has another REFRESH": one(r"last SOA differs from the first", *V2[:-1], soa(2, refresh=1)),
    "last SOA has another EXPIRE": one(r"last SOA differs from the first", *V2[:-1], soa(2, expire=1)),
    "last SOA has another MINIMUM": one(r"last SOA differs from the first", *V2[:-1], soa(2, minimum=1)),
    "the SOA three times": one(r"records behind the last SOA", *V2, soa(2)),
    "records behind the last SOA": one(r"records behind the last SOA", *V2, address("www")),
    "nothing but SOA": one(r"no NS at the zone apex", soa(2), soa(2)),
    "one SOA, and then nothing": Fault([Message(soa(2)), CLOSE], CLOSED),
    "SOA below the apex": instead(soa(2, owner="sub"), reason=r"SOA below the zone apex at sub\.f\d+\.fault\."),
    "older than promised": Fault([Message(*version(0))], r"remote serial 0, remote is outdated", early=False),
    "older by half the numbers less one": Fault([Message(*version((1 - 0x7FFFFFFF) % (1 << 32)))], r"remote serial 2147483650, remote is outdated",
                                                early=False),
    "not newer, against the promise": Fault([Message(*version(1))], r"remote serial 1, zone is up-to-date", early=False),
}

LONG = b"".join(label(letter * 63) for letter in "abc")
#: 191 octets of labels, and then a pointer to the zone's name: the parts are legal, their sum is not.
CHAIN = Record((LONG, label("d" * 62), "@"), TXT, label("too long"))

NAMES = {
    "pointer to itself": instead(Raw((b"\xc0\x40",)), reason=MALFORMED_1),
    "pointer beyond the message": instead(Record(b"\xff\xff", A, bytes(4)), reason=MALFORMED_1),
    "pointer forwards": instead(Record(b"\xc1\0", A, bytes(4)), Record("pad", 65280, bytes(300)), reason=MALFORMED_1),
    "pointer into the header": instead(Record(b"\xc0\x00", A, bytes(4)), reason=MALFORMED_1 + r"|record outside the zone.*"),
    "two pointers that point to each other": one(MALFORMED_1, Record(b"\xc0\x1d\xc0\x1b", A, bytes(4)), *V2),
    "label of type 01": instead(Record(b"\x41" + b"x" * 65 + b"\0", A, bytes(4)), reason=MALFORMED_1),
    "label of type 10": instead(Record(b"\x81x\0", A, bytes(4)), reason=MALFORMED_1),
    "label of 64 octets": instead(Record(label("x" * 64) + b"\0", A, bytes(4)), reason=MALFORMED_1),
    "name of 256 octets": instead(Record(label("x" * 63) * 4 + b"\0", A, bytes(4)), reason=MALFORMED_1),
    "name of 256 octets by a pointer": instead(CHAIN, reason=MALFORMED_1),
    "name without end": one(MALFORMED_1, *V2[:3], Raw(b"\3www")),
    "name that ends in half a pointer": one(MALFORMED_1, *V2[:3], Raw(b"\3www\xc0")),
    "MNAME points to itself": one(MALFORMED_1, Record("@", SOA, (b"\xc0\x27", Name("host"), bytes(20))), *V2[1:]),
    "NS points forwards": instead(Record("@", NS, b"\xc3\xff"), reason=MALFORMED_1),
    "CNAME has a label of 64 octets": instead(Record("alias", CNAME, label("x" * 64) + b"\0"), reason=MALFORMED_1),
    "MX has a name of 256 octets": instead(Record("@", MX, (b"\0\1", label("x" * 63) * 4 + b"\0")), reason=MALFORMED_1),
    "SRV points to itself": instead(Record("srv", 33, (bytes(6), b"\xc3\xff")), reason=MALFORMED_1),
    "name of a sibling zone": instead(Record("www.other.fault.", A, bytes(4)), reason=r"record outside the zone at www\.other\.fault\."),
    "name of the parent": instead(Record("fault.", A, bytes(4)), reason=r"record outside the zone at fault\."),
    "name of the root": instead(Record(".", A, bytes(4)), reason=r"record outside the zone at \."),
    "name of the world": instead(Record("www.example.com.", A, bytes(4)), reason=r"record outside the zone at www\.example\.com\."),
    "SOA of another zone": instead(soa(2, owner="example.com."), reason=r"record outside the zone at example\.com\."),
}

#: Shortest RDATA of types whose beginning has a fixed size: one octet less is too little.
FIXED = {"A": (1, 4), "AAAA": (28, 16), "LOC": (29, 16), "NID": (104, 10), "L32": (105, 6), "L64": (106, 10), "EUI48": (108, 6), "EUI64": (109, 8)}
#: Types whose RDATA ends in a name, and what stands before it.
NAMED = {"NS": (2, 0), "MD": (3, 0), "MF": (4, 0), "CNAME": (5, 0), "MB": (7, 0), "MG": (8, 0), "MR": (9, 0), "PTR": (12, 0), "MX": (15, 2),
         "AFSDB": (18, 2), "RT": (21, 2), "SRV": (33, 6), "KX": (36, 2), "DNAME": (39, 0), "LP": (107, 2)}
#: Types whose RDATA cannot be empty, beside these.
FILLED = {"NULL": 10, "HINFO": 13, "TXT": 16, "KEY": 25, "CERT": 37, "DS": 43, "SSHFP": 44, "IPSECKEY": 45, "DNSKEY": 48, "DHCID": 49,
          "NSEC3": 50, "NSEC3PARAM": 51, "TLSA": 52, "SMIMEA": 53, "CDS": 59, "CDNSKEY": 60, "OPENPGPKEY": 61, "CSYNC": 62, "ZONEMD": 63,
          "SVCB": 64, "HTTPS": 65, "SPF": 99, "URI": 256, "CAA": 257}
#: RDATA that is wrong in a way of its own.
OWN_WAYS = {
    "SOA without numbers": (SOA, (Name("ns"), Name("host"))),
    "SOA with four numbers": (SOA, (Name("ns"), Name("host"), bytes(16))),
    "SOA with six numbers": (SOA, (Name("ns"), Name("host"), bytes(24))),
    "MINFO with one name": (14, Name("ns")),
    "RP with one name": (17, Name("ns")),
    "PX with one name": (26, (b"\0\1", Name("ns"))),
    "SIG of 17 octets": (24, bytes(17)),
    "SIG without signer": (24, bytes(18)),
    "RRSIG of 17 octets": (46, bytes(17)),
    "RRSIG without signer": (46, bytes(18)),
    "NSEC without end": (47, b"\3www"),
    "NXT without end": (30, b"\3www"),
    "SVCB of one octet": (64, b"\0"),
    "SVCB without target": (64, b"\0\1"),
    "SVCB with a target cut": (64, b"\0\1\3ww"),
    "SVCB points to itself": (64, b"\0\1\xc3\xff"),
    "SVCB with a target of 257 octets": (64, b"\0\1" + label("x" * 63) * 4 + b"\0"),
    "HTTPS with a label of 65 octets": (65, b"\0\0\x41" + bytes(65)),
    "NAPTR of 3 octets": (35, bytes(3)),
    "NAPTR without services": (35, bytes(4) + b"\1u"),
    "NAPTR with a long string": (35, bytes(4) + b"\xffu\0\0\0"),
    "NAPTR without replacement": (35, bytes(4) + b"\0\0\0"),
    "NAPTR with octets behind": (35, bytes(4) + b"\0\0\0\0x"),
}

RDATA = {
    **{f"{name} of {size - 1} octets": instead(Record("x", number, bytes(size - 1)), reason=MALFORMED_1) for name, (number, size) in FIXED.items()},
    **{f"{name} of {size + 1} octets": instead(Record("x", number, bytes(size + 1)), reason=MALFORMED_1) for name, (number, size) in FIXED.items()},
    **{f"{name} without name": instead(Record("x", number, bytes(before)), reason=MALFORMED_1) for name, (number, before) in NAMED.items()},
    **{f"{name} with octets behind": instead(Record("x", number, (bytes(before), Name("ns"), b"x")), reason=MALFORMED_1)
       for name, (number, before) in NAMED.items()},
    **{f"{name} without RDATA": instead(Record("x", number, b""), reason=MALFORMED_1) for name, number in FILLED.items()},
    **{name: instead(Record("@" if rdtype == SOA else "x", rdtype, rdata), reason=MALFORMED_1) for name, (rdtype, rdata) in OWN_WAYS.items()},
    "RDATA longer than the message": one(MALFORMED_1, *V2[:3], Record("x", TXT, b"\3abc", length=65535)),
    "RDATA shorter than its name": instead(Record("x", NS, Name("ns"), length=2), reason=MALFORMED_1),
    "record cut in its fixed part": one(MALFORMED_1, *V2[:3], Raw(("www", b"\0\1\0\1\0\0"))),
}


def octets_of(count, size=60000):
    """Messages with that many records of the given size below one name."""
    records = [Record(f"n{number}", 65280, struct.pack("!I", number) + bytes(size - 4)) for number in range(count)]
    return [Message(record) for record in records]


CONTENT = {
    "no NS at the apex": one(r"no NS at the zone apex", soa(2), address("www"), soa(2)),
    "NS below the apex alone": one(r"no NS at the zone apex", soa(2), Record("sub", NS, Name("ns")), soa(2)),
    "CNAME beside an address": instead(Record("www", CNAME, Name("ns")), reason=r"CNAME beside other data at www\.f\d+\.fault\."),
    "CNAME beside an address, in other messages": Fault([Message(*V2[:-1]), Message(address("x")), Message(Record("www", CNAME, Name("ns"))),
                                                         Message(V2[-1])], r"CNAME beside other data at www\.f\d+\.fault\."),
    "two CNAME": instead(Record("alias", CNAME, Name("ns")), Record("alias", CNAME, Name("www")), reason=r"more than one CNAME at alias\.f\d+\.fault\."),
    "CNAME at the apex": instead(Record("@", CNAME, Name("ns")), reason=r"CNAME beside other data at f\d+\.fault\."),
    "two DNAME": instead(Record("tree", DNAME, Name("ns")), Record("tree", DNAME, Name("www")), reason=r"more than one DNAME at tree\.f\d+\.fault\."),
    "a name that would break the log": instead(address((label("a\n'b\"]"), "@")), Record((label("a\n'b\"]"), "@"), CNAME, Name("ns")),
                                               reason=r"CNAME beside other data at a\\010\\'b\\\"\\\]\.f\d+\.fault\."),
    "larger than zone-max-size": Fault([Message(*V2[:3]), *octets_of(ZONE_MAX_SIZE // 60000 + 1), Message(V2[-1])], r"zone too large"),
    "larger by duplicates": Fault([Message(*V2[:3]), *([octets_of(1)[0]] * (ZONE_MAX_SIZE // 60000 + 1)), Message(V2[-1])], r"zone too large"),
    "256 RRsets at a name": Fault([Message(*V2[:-1]), Message(*(Record("many", 1000 + n, b"x") for n in range(256))), Message(V2[-1])],
                                  r"too many RRsets at many\.f\d+\.fault\."),
}


ENDLESS_RECORD = Endless(lambda ask, number: Message(Record(f"n{number}", TXT, label("x" * 200)), question=None).wire(ask))
ENDLESS_SAME = Endless(lambda ask, number: Message(address("same"), question=None).wire(ask), times=1000)

TIMING = {
    "silent before the answer": Fault([STALLED], TIMEOUT, alone=True),
    "silent in the length": Fault([Part(GOOD_MESSAGE, 1), STALLED], TIMEOUT, alone=True),
    "silent behind the length": Fault([Part(GOOD_MESSAGE, 2), STALLED], TIMEOUT, alone=True),
    "silent in the header": Fault([Part(GOOD_MESSAGE, 10), STALLED], TIMEOUT, alone=True),
    "silent in a message": Fault([Part(GOOD_MESSAGE, 100), STALLED], TIMEOUT, alone=True),
    "silent between messages": Fault([Message(*V2[:-1]), STALLED], TIMEOUT, alone=True),
    "silent before the last octet": Fault([Message(*V2[:-1]), Part(Message(V2[-1]), 60), STALLED], TIMEOUT, alone=True),
    "an octet at a time": Fault([Drip(GOOD_MESSAGE, 0.5)], TIMEOUT, alone=True),
    "a message at a time": Fault([Message(*V2[:3]), *[Drip(Message(address("www")), 0.01)] * 20, STALLED], TIMEOUT, alone=True),
    "endless": Fault([Message(*V2[:3]), ENDLESS_RECORD], r"zone too large", alone=True),
    "endless, the same record": Fault([Message(*V2[:3]), ENDLESS_SAME], r"zone too large", alone=True),
    "endless without records": Fault([Message(*V2[:3]), Endless(lambda ask, number: Message().wire(ask))], r"message 2 without records", alone=True),
    "endless SOA": Fault([Endless(lambda ask, number: Message(soa(2)).wire(ask))], r"no NS at the zone apex", alone=True),
}

NOBODY = r"no SOA in the answer"
PROBES = {
    "SOA refused": answers(r"server responded with error 'REFUSED'", rcode=5),
    "SOA refused without question": answers(r"server responded with error 'REFUSED'", rcode=5, question=None),
    "SOA with SERVFAIL": answers(r"server responded with error 'SERVFAIL'", soa(2), rcode=2),
    "SOA with NXDOMAIN": answers(r"server responded with error 'NXDOMAIN'", authority=[soa(2, owner="fault.")], rcode=3),
    "SOA with BADVERS": answers(r"server responded with error 'BADVERS'", soa(2), additional=[opt(rcode=1)]),
    "SOA with code 15": answers(r"server responded with error 15", rcode=15),
    "SOA not authoritative": answers(r"server is not authoritative", soa(2), bits=0x8000),
    "SOA nowhere": answers(NOBODY),
    "SOA in the authority section": answers(NOBODY, authority=[soa(2)]),
    "SOA of a child": answers(NOBODY, soa(2, owner="sub")),
    "SOA of the parent": answers(NOBODY, soa(2, owner="fault.")),
    "SOA of class CH": answers(NOBODY, soa(2, rdclass=3)),
    "two SOA": answers(NOBODY, soa(2), soa(3)),
    "an alias instead of the SOA": answers(NOBODY, Record("@", CNAME, Name("ns"))),
    "an alias before the SOA": answers(NOBODY, Record("@", CNAME, Name("ns")), soa(2, owner="ns")),
    "a referral": answers(r"server is not authoritative", authority=[NS_RECORD], additional=[NS_ADDRESS], bits=0x8000),
    "SOA too short": answers(NOBODY, Record("@", SOA, (Name("ns"), Name("host"), bytes(16)))),
    "SOA too long": answers(NOBODY, Record("@", SOA, (Name("ns"), Name("host"), bytes(24)))),
    "SOA whose MNAME points to itself": answers(NOBODY, Record("@", SOA, (b"\xc0\x27", Name("host"), bytes(20)))),
    "SOA cut": answers(MALFORMED, soa(2), cut=1),
    "SOA counted twice": answers(MALFORMED, soa(2), counts={0: 2}),
    "SOA from an expired primary": answers(r"remote is expired, ignoring", soa(2), additional=[opt(b"\0\x09\0\4\0\0\0\0")]),
    "SOA truncated over TCP, too": Fault(reason=MALFORMED, probe=[Message(bits=0x8600)], probe_tcp=[Message(bits=0x8600)]),
    "SOA truncated, closed over TCP": Fault(reason=CLOSED, probe=[Message(bits=0x8600)], probe_tcp=[CLOSE]),
    "SOA truncated, reset over TCP": Fault(reason=r"connection reset by peer", probe=[Message(bits=0x8600)], probe_tcp=[RESET]),
    "SOA truncated, silent over TCP": Fault(reason=TIMEOUT, probe=[Message(bits=0x8600)], probe_tcp=[STALLED], alone=True),
    "SOA truncated, another id over TCP": Fault(reason=MALFORMED, probe=[Message(bits=0x8600)], probe_tcp=[Message(soa(2), id=1)]),
    # What may be forged is passed over: they end with the datagrams' time, and then with what comes over TCP.
    **{f"SOA with {name}": Fault(reason=MALFORMED, probe=[message], probe_tcp=[message], alone=True) for name, message in {
        "another id": Message(soa(2), id=1),
        "another opcode": Message(soa(2), opcode=4),
        "another question": Message(soa(2), question=wire_name("other.fault") + b"\0\6\0\1"),
        "another type in question": Message(soa(2), question=wire_name("x") + b"\0\2\0\1"),
        "two questions": Message(soa(2), qdcount=2)}.items()},
    "SOA as a query": Fault(reason=MALFORMED, probe=[Message(soa(2), bits=0)], probe_tcp=[Message(soa(2), bits=0)], alone=True),
    "SOA in eleven octets": Fault(reason=MALFORMED, probe=[bytes(11)], probe_tcp=[Framed(bytes(11))], alone=True),
    "SOA in an empty datagram": Fault(reason=MALFORMED, probe=[b""], probe_tcp=[Framed(b"")], alone=True),
    "SOA in a huge datagram": Fault(reason=MALFORMED, probe=[Message(soa(2), tail=bytes(5000))], probe_tcp=[Message(soa(2), id=9)], alone=True),
    "silent to the SOA question": Fault(reason=TIMEOUT, probe=[], probe_tcp=[STALLED], alone=True),
    "silent, and closed over TCP": Fault(reason=CLOSED, probe=[], probe_tcp=[CLOSE], alone=True),
    "older SOA": Fault(reason=r"remote serial 0, remote is outdated", claims=0, probe=[Message(soa(0))]),
    "SOA older by half the numbers less one": Fault(reason=r"remote serial 2147483650, remote is outdated", probe=[Message(soa(2147483650))]),
}


def keyed(reason, *stream, **how):
    return Fault(list(stream), reason, keyed=True, **how)


def wrongly(reason, how):
    return keyed(reason, Message(*V2, sign=how))


def probed_wrongly(reason, how):
    """Over UDP it may be forged and is passed over; over TCP it counts."""
    message = Message(soa(2), sign=how)
    return Fault(reason=reason, probe=[message], probe_tcp=[message], keyed=True)


SIGNED = [Message(*V2[:3]), *(Message(address(f"n{n}"), sign=False) for n in range(99))]
SIGNATURES = {
    "unsigned": keyed(UNSIGNED, Message(*V2, sign=False)),
    "unsigned, many messages": keyed(UNSIGNED, *(Message(record, sign=False) for record in V2)),
    "first message unsigned": keyed(UNSIGNED, Message(*V2[:3], sign=False), Message(*V2[3:])),
    "last message unsigned": keyed(UNSIGNED, Message(*V2[:3]), Message(*V2[3:], sign=False)),
    "100 unsigned in between": keyed(UNSIGNED, *SIGNED, Message(address("n100"), sign=False), Message(V2[-1])),
    "key of another name": wrongly(BADKEY, "name"),
    "another algorithm": wrongly(BADKEY, "algorithm"),
    "another secret": wrongly(BADSIG, "secret"),
    "MAC flipped": wrongly(BADSIG, "flipped"),
    "MAC short": wrongly(BADTRUNC, "short"),
    "MAC of one octet": wrongly(BADTRUNC, "octet"),
    "MAC long": wrongly(MALFORMED, "long"),
    "MAC of the query": wrongly(BADSIG, "replayed"),
    "message changed": wrongly(BADSIG, "changed"),
    "time in the past": wrongly(BADTIME, "past"),
    "time in the future": wrongly(BADTIME, "future"),
    "error BADSIG without MAC": wrongly(BADSIG, "badsig"),
    "error BADKEY without MAC": wrongly(BADKEY, "badkey"),
    "error BADTIME without MAC": wrongly(BADTIME, "badtime"),
    "NOTAUTH with BADKEY": keyed(BADKEY, Message(rcode=9, sign="badkey")),
    "TSIG twice": wrongly(MALFORMED, "twice"),
    "TSIG not last": wrongly(MALFORMED, "first"),
    "TSIG of class IN": wrongly(MALFORMED, "class"),
    "TSIG with a TTL": wrongly(MALFORMED, "ttl"),
    "TSIG cut": wrongly(MALFORMED, "rdata"),
    "second message flipped": keyed(BADSIG, Message(*V2[:3]), Message(*V2[3:], sign="flipped")),
    "second message in the past": keyed(BADTIME, Message(*V2[:3]), Message(*V2[3:], sign="past")),
    "second message has the first one's MAC": keyed(BADSIG, Message(*V2[:3]), Message(*V2[3:], sign="replayed")),
    "a message slipped in": keyed(BADSIG, Message(*V2[:3]), Message(address("x"), sign="slipped in"), Message(*V2[3:])),
    "unsigned refusal": keyed(UNSIGNED, Message(rcode=5, sign=False)),
    "SOA unsigned": probed_wrongly(UNSIGNED, False),
    "SOA signed with another secret": probed_wrongly(BADSIG, "secret"),
    "SOA with a short MAC": probed_wrongly(BADTRUNC, "short"),
    "SOA signed in the past": probed_wrongly(BADTIME, "past"),
}

FAULTS = {**FRAMING, **HEADER, **QUESTION, **SECTIONS, **CLASSES, **SERIALS, **NAMES, **RDATA, **CONTENT, **TIMING, **PROBES, **SIGNATURES}


# --- increments (RFC 1995)

class Increment:
    """What answers IXFR from version 1; to AXFR the primary is honest. Each leads to the primary's version, record for record.

    reason: why the module asks for the whole zone instead; None: it does not need to; with "=" before it what the log says where it asks
    the next primary instead, because this one has not said anything that can be believed. serial: of the primary's version; `serves` of
    what serves afterwards.
    """

    early, alone = False, False

    def __init__(self, stream, reason=None, *, serial=2, serves=None, keyed=False):
        self.stream, self.reason, self.serial, self.keyed = stream, reason, serial, keyed
        self.serves = serial if serves is None else serves


OLD, NEW = version(1)[3:-1], version(2)[3:-1]


def sequence(before, after, removed=(), added=()):
    return [soa(before), *removed, soa(after), *added]


def changes(removed=OLD, added=NEW, first=2, before=1, after=2, last=2, **how):
    """An increment of one sequence in one message."""
    return Message(soa(first), *sequence(before, after, removed, added), soa(last), **how)


def untrue(reason, *args, **kwargs):
    return Increment([changes(*args, **kwargs)], reason)


def many(count):
    """An increment of so many sequences, each of which takes back what the one before added."""
    records = [soa(count + 1)]
    for n in range(1, count + 1):
        before = OLD if n == 1 else [address("www", n % 256), Record("x", TXT, label(f"{n}"))]
        after = version(n + 1)[3:-1] if n == count else [address("www", (n + 1) % 256), Record("x", TXT, label(f"{n + 1}"))]
        records += sequence(n, n + 1, before, after)
    return [Message(*records[n:n + 50]) for n in range(0, len(records), 50)] + [Message(soa(count + 1))]


NOT_THERE, THERE = r"removed record is not there at (unknown|www|v1|v2)\.i\d+\.fault\.", r"added record is there already at www\.i\d+\.fault\."
INCREMENTS = {
    "one sequence": Increment([changes()]),
    "a message for each record": Increment([Message(record) for record in [soa(2), *sequence(1, 2, OLD, NEW), soa(2)]]),
    "without questions": Increment([changes(question=None)]),
    "two sequences": Increment([Message(soa(5), *sequence(1, 3, OLD, [address("x")]), *sequence(3, 5, [address("x")], version(5)[3:-1]), soa(5))], serial=5),
    "300 sequences": Increment(many(300), serial=301),
    "sequences without changes": Increment([Message(soa(2), *sequence(1, 2, OLD, NEW), soa(2))]),
    "other RDATA of the removed SOA": Increment([Message(soa(2), soa(1, refresh=9, mname="other"), *OLD, soa(2), *NEW, soa(2))]),
    "other TTLs of what is removed": Increment([changes([Record(record.owner, record.rdtype, record.rdata, ttl=7) for record in OLD])]),
    "the whole zone instead": Increment([GOOD_MESSAGE]),
    "the whole zone instead, in messages": Increment([Message(record) for record in V2]),
    "our own SOA": Increment([Message(soa(1))], r"=remote serial 1, zone is up-to-date", serves=1),
    "an older SOA": Increment([Message(soa(0))], r"=remote serial 0, remote is outdated", serves=1),
    "a newer SOA, and no more": Increment([Message(soa(2)), STALLED], TIMEOUT),
    "a newer SOA, and closed": Increment([Message(soa(2)), CLOSE], CLOSED),
    **{f"base serial {serial}": untrue(rf"increment leads from serial {serial}, not from 1", before=serial) for serial in (0, 3, 0x80000001)},
    "base serial is the new one": untrue(r"records behind the last SOA", before=2),
    "removes an unknown name": untrue(NOT_THERE, [*OLD, address("unknown")]),
    "removes another address": untrue(NOT_THERE, [address("www", 99), OLD[1]]),
    "removes another type": untrue(NOT_THERE, [*OLD, Record("www", AAAA, bytes(16))]),
    "removes twice": untrue(NOT_THERE, [*OLD, OLD[0]]),
    "removes everything twice": Increment([Message(soa(3), *sequence(1, 2, OLD, []), *sequence(2, 3, OLD, version(3)[3:-1]), soa(3))], NOT_THERE, serial=3),
    "removes what it adds later": untrue(NOT_THERE, [*OLD, NEW[1]]),
    "adds what is there": untrue(THERE, OLD[1:], [*NEW, address("www", 1)]),
    "adds twice": untrue(THERE, OLD, [*NEW, NEW[0]]),
    "removes the last NS": untrue(r"no NS at the zone apex", [*OLD, NS_RECORD]),
    "adds CNAME beside an address": untrue(r"CNAME beside other data at ns\.i\d+\.fault\.", OLD, [*NEW, Record("ns", CNAME, Name("www"))]),
    "adds an address beside CNAME": untrue(r"CNAME beside other data at a\.i\d+\.fault\.", OLD, [*NEW, Record("a", CNAME, Name("www")), address("a")]),
    "adds a name outside": untrue(r"record outside the zone at www\.example\.com\.", OLD, [*NEW, address("www.example.com.")]),
    "removes a name outside": untrue(r"record outside the zone at www\.example\.com\.", [*OLD, address("www.example.com.")]),
    "adds SOA of a child": untrue(r"SOA below the zone apex at sub\.i\d+\.fault\.", OLD, [*NEW, soa(2, owner="sub")]),
    "adds a record of class CH": untrue(r"record of another class at x\.i\d+\.fault\.", OLD, [*NEW, address("x", rdclass=3)]),
    "removes a record of class NONE": untrue(r"record of another class at x\.i\d+\.fault\.", [*OLD, address("x", rdclass=254)]),
    "adds a record of type ANY": untrue(r"record of a meta type at x\.i\d+\.fault\.", OLD, [*NEW, Record("x", 255, b"x")]),
    "adds malformed RDATA": untrue(MALFORMED_1, OLD, [*NEW, Record("x", A, bytes(3))]),
    "adds a loop of pointers": untrue(MALFORMED_1, OLD, [*NEW, Raw(b"\xc3\xff")]),
    "adds too many RRsets": untrue(r"too many RRsets at many\.i\d+\.fault\.", OLD, [*NEW, *(Record("many", 1000 + n, b"x") for n in range(256))]),
    "no removed SOA": Increment([Message(soa(2), *OLD, soa(2), *NEW, soa(2))], r"records behind the last SOA"),
    "no added SOA": Increment([Message(soa(2), soa(1), *OLD, *NEW, soa(2))], TIMEOUT),
    "no closing SOA": Increment([Message(soa(2), *sequence(1, 2, OLD, NEW)), CLOSE], CLOSED),
    "no closing SOA, silent": Increment([Message(soa(2), *sequence(1, 2, OLD, NEW)), STALLED], TIMEOUT),
    "closed among the removed": Increment([Message(soa(2), soa(1), *OLD), CLOSE], CLOSED),
    "closed behind the added SOA": Increment([Message(soa(2), soa(1), *OLD, soa(2)), CLOSE], CLOSED),
    "reset among the added": Increment([Message(soa(2), *sequence(1, 2, OLD, NEW[:1])), RESET], r"connection reset.*"),
    "another closing serial": untrue(r"zone changed during the transfer, serial 2 -> 3", last=3),
    "another closing SOA": Increment([Message(soa(2), *sequence(1, 2, OLD, NEW), soa(2, mname="other"))], r"last SOA differs from the first"),
    "leads elsewhere than the first SOA says": untrue(r"increment leads from serial 2, not from 3", after=3),
    "jumps": Increment([Message(soa(5), *sequence(1, 2, OLD, []), *sequence(3, 5, [], version(5)[3:-1]), soa(5))], r"increment leads from serial 3, not from 2", serial=5),
    "goes back": Increment([Message(soa(2), *sequence(1, 3, OLD, []), *sequence(3, 2, [], NEW), soa(2))], r"increment leads back, serial 3 -> 2"),
    "goes in a circle": Increment([Message(soa(2), *sequence(1, 2, OLD, []), *sequence(2, 1, [], []), *sequence(1, 2, [], NEW), soa(2))], r"records behind the last SOA"),
    "stands still": Increment([Message(soa(2), *sequence(1, 1), *sequence(1, 2, OLD, NEW), soa(2))], r"increment leads back, serial 1 -> 1"),
    "records behind the end": Increment([Message(soa(2), *sequence(1, 2, OLD, NEW), soa(2), address("x"))], r"records behind the last SOA"),
    "larger than the zone may be": Increment([Message(soa(2), soa(1), *OLD, soa(2), *NEW), *octets_of(ZONE_MAX_SIZE // 60000 + 1), Message(soa(2))], r"increment larger than the zone is worth"),
    "endless": Increment([Message(soa(2), soa(1), *OLD, soa(2)), ENDLESS_SAME], r"increment larger than the zone is worth"),
    "endless sequences": Increment([Message(soa(9)), Endless(lambda ask, number: Message(soa(number + 1), soa(number + 2), question=None).wire(ask))], r"records behind the last SOA"),
    **{f"answered {name}": Increment([Message(rcode=rcode)], rf"server responded with error '{name}'")
       for name, rcode in {"FORMERR": 1, "SERVFAIL": 2, "NOTIMPL": 4, "REFUSED": 5, "NOTAUTH": 9}.items()},
    "truncated": untrue(r"truncated message 1", bits=0x8600),
    "another id": Increment([changes(id=1)], rf"=failed \({MALFORMED}\)", serves=1),
    "a query": Increment([changes(bits=0x0400)], rf"=failed \({MALFORMED}\)", serves=1),
    "another question": Increment([changes(question=wire_name("x") + b"\0\xfc\0\1")], rf"=failed \({MALFORMED}\)", serves=1),
    "no records": Increment([Message()], r"message 1 without records"),
    "closed at once": Increment([CLOSE], CLOSED),
    "reset at once": Increment([RESET], r"connection reset by peer"),
    "silent": Increment([STALLED], rf"=failed \({TIMEOUT}\)", serves=1),
    "half a message": Increment([Part(changes(), 60), STALLED], rf"=failed \({TIMEOUT}\)", serves=1),
    "the primary says it is expired": Increment([changes(additional=[opt(b"\0\x09\0\4\0\0\0\0")])], r"=failed \(remote is expired, ignoring\)", serves=1),
    "unsigned": Increment([changes(sign=False)], rf"=failed \({UNSIGNED}\)", serves=1, keyed=True),
    "MAC flipped": Increment([changes(sign="flipped")], rf"=failed \({BADSIG}\)", serves=1, keyed=True),
    "last message unsigned": Increment([Message(soa(2), *sequence(1, 2, OLD, NEW)), Message(soa(2), sign=False)], UNSIGNED, keyed=True),
    "signed": Increment([changes()], keyed=True),
}


# --- legal, and odd

class Odd:
    """A version 2 that is legal, or nearly so, and may break software: served (or refused, for a reason), whatever is asked then.

    axfr: it can be transferred out again, and is the same then.
    """

    def __init__(self, *records, stream=None, refused=None, axfr=True, name=None, serial=2):
        self.stream = stream if stream is not None else [Message(*version(serial, *records))]
        self.refused, self.axfr, self.name, self.serial = refused, axfr, name, serial


def each_type(rdata):
    """A zone with this RDATA for each type that may have any."""
    return [Record(f"t{number}", number, rdata) for number in sorted(set(FILLED.values()) - {64, 65} | {42, 127, 1000, 32768, 65280, 65534})]


def each_name(target):
    return [Record(f"n{number}", number, (bytes(before), target)) for number, before in NAMED.values() if number != NS]


def nsec3(owner, rdata):
    return Record(owner, 50, rdata)


HASH = "0" * 32
CHAINED = (Record("@", 51, b"\1\0\0\0\0"),)
#: A whole RDATA of NSEC3 with one field changed.
NSEC3_ODD = {
    "empty": b"\1", "no iterations": b"\1\0", "no salt": b"\1\0\0\0", "salt too long": b"\1\0\0\0\xff1234", "no hash": b"\1\0\0\0\0",
    "hash of 0 octets": b"\1\0\0\0\0\0", "hash of 255 octets": b"\1\0\0\0\0\xff" + bytes(255), "hash cut": b"\1\0\0\0\0\x14" + bytes(19),
    "algorithm 0": b"\0\0\0\0\0\x14" + bytes(20), "algorithm 255": b"\xff\0\0\0\0\x14" + bytes(20),
    "65,535 iterations": b"\1\0\xff\xff\0\x14" + bytes(20), "flags 255": b"\1\xff\0\0\0\x14" + bytes(20),
    "salt of 255 octets": b"\1\0\0\0\xff" + bytes(255) + b"\x14" + bytes(20),
    "bitmap cut": b"\1\0\0\0\0\x14" + bytes(20) + b"\0", "bitmap of 0 octets": b"\1\0\0\0\0\x14" + bytes(20) + b"\0\0",
    "bitmap of 255 octets": b"\1\0\0\0\0\x14" + bytes(20) + b"\0\xff" + bytes(255),
    "windows backwards": b"\1\0\0\0\0\x14" + bytes(20) + b"\2\1\xff\1\1\xff\0\1\xff"}
SVCB_ODD = {
    "target compressed": b"\0\0\xc0\x0c", "alias to the root": b"\0\0\0", "parameters cut": b"\0\1\0\0\1\0", "parameter too long": b"\0\1\0\0\1\xff\xffx",
    "parameters in disorder": b"\0\1\0\0\3\0\2\0\1\0\1\0\2h2", "alias with parameters": b"\0\0\0\0\3\0\2\0\1"}
NSEC_ODD = {"bitmap cut": b"\0", "bitmap of 0 octets": b"\0\0", "bitmap of 255 octets": b"\0\xff" + bytes(255), "windows backwards": b"\2\1\xff\1\1\xff\0\1\xff"}

ODD = {
    "every type, one octet 0": Odd(*each_type(b"\0")),
    "every type, one octet 255": Odd(*each_type(b"\xff")),
    "every type, 300 octets 255": Odd(*each_type(b"\xff" * 300)),
    "every type, 2000 octets 0": Odd(stream=[Message(*V2[:-1]), *(Message(record) for record in each_type(bytes(2000))), Message(V2[-1])]),
    "fixed sizes, zeros": Odd(*(Record(f"t{number}", number, bytes(size)) for number, size in FIXED.values())),
    "fixed sizes, ones": Odd(*(Record(f"t{number}", number, b"\xff" * size) for number, size in FIXED.values())),
    "names in RDATA: the root": Odd(*each_name(b"\0")),
    "names in RDATA: the apex": Odd(*each_name(Name("@"))),
    "names in RDATA: compressed where they must not be": Odd(*each_name(b"\xc0\x0c")),
    "names in RDATA: 255 octets": Odd(stream=[Message(*V2[:-1]), *(Message(record) for record in each_name(label("x" * 63) * 3 + label("y" * 61) + b"\0")),
                                              Message(V2[-1])]),
    "RDATA of 65,000 octets": Odd(stream=[Message(*V2[:-1]), Message(Record("x", 65280, bytes(65000))), Message(V2[-1])]),
    "TXT with a string too long": Odd(Record("x", TXT, b"\xffabc")),
    "TXT of empty strings": Odd(Record("x", TXT, bytes(500))),
    "owner of 255 octets": Odd(Record((b"".join(label(letter * 61) for letter in "abc"), label("d" * 50), "@"), TXT, label("x"))),
    "owner of 120 labels": Odd(Record((b"\1x" * 115, "@"), TXT, label("x"))),
    "owners of all octets": Odd(*(Record((label(bytes([n])), "@"), TXT, label("x")) for n in range(256))),
    "owners in capitals": Odd(Record("UPPER", TXT, label("x")), Record("MiXeD.UPPER", TXT, label("x"))),
    "asterisks everywhere": Odd(*(Record(owner, TXT, label("x")) for owner in ("*", "*.*", "*.*.*", "a.*", "*.a.*", "**", "*.a"))),
    "wildcard NS": Odd(Record("*", NS, Name("ns")), Record("*.sub", NS, Name("*.sub"))),
    "wildcard DNAME": Odd(Record("*", DNAME, Name("www"))),
    "wildcard CNAME to itself": Odd(Record("*", CNAME, Name("a.b.c"))),
    "CNAME to itself": Odd(Record("loop", CNAME, Name("loop"))),
    "CNAME to the root": Odd(Record("alias", CNAME, b"\0")),
    "a chain of 300 CNAME": Odd(*(Record(f"c{n}", CNAME, Name(f"c{n + 1}")) for n in range(300))),
    "CNAME in a circle": Odd(Record("a", CNAME, Name("b")), Record("b", CNAME, Name("c")), Record("c", CNAME, Name("a"))),
    "DNAME to itself": Odd(Record("tree", DNAME, Name("tree"))),
    "DNAME below itself": Odd(Record("tree", DNAME, Name("a.tree"))),
    "DNAME to the root": Odd(Record("tree", DNAME, b"\0")),
    "DNAME at the apex": Odd(Record("@", DNAME, Name("elsewhere."))),
    "DNAME to a name of 250 octets": Odd(Record("tree", DNAME, label("x" * 63) * 3 + label("y" * 50) + b"\0")),
    "DNAME and NS at a name": Odd(Record("cut", DNAME, Name("ns")), Record("cut", NS, Name("ns"))),
    "CNAME in a circle through DNAME": Odd(Record("tree", DNAME, Name("forest")), Record("a.forest", CNAME, Name("a.tree"))),
    "NS is an alias": Odd(Record("sub", NS, Name("alias")), Record("alias", CNAME, Name("ns"))),
    "NS below its own cut, without glue": Odd(Record("sub", NS, Name("ns.sub"))),
    "cuts below cuts": Odd(*(Record("c." * n + "c", NS, Name("ns." + "c." * n + "c")) for n in range(40))),
    "500 NS with glue": Odd(stream=[Message(*V2[:-1]), *(Message(Record("sub", NS, Name(f"n{n}.sub")), address(f"n{n}.sub", n % 256)) for n in range(500)),
                                    Message(V2[-1])]),
    "an RRset of 5,000 addresses": Odd(stream=[Message(*V2[:-1]), Message(*(Record("many", A, struct.pack("!I", n)) for n in range(2500))),
                                               Message(*(Record("many", A, struct.pack("!I", n)) for n in range(2500, 5000))), Message(V2[-1])]),
    "an RRset of 200 kB": Odd(stream=[Message(*V2[:-1]), *(Message(Record("big", 65280, bytes([n]) + bytes(49999))) for n in range(4)), Message(V2[-1])]),
    "255 RRsets at a name": Odd(*(Record("many", 1000 + n, b"x") for n in range(255))),
    "TTLs": Odd(*(Record(f"t{ttl}", TXT, label("x"), ttl=ttl) for ttl in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))),
    "TTLs differ in an RRset": Odd(*(address("many", n, ttl=n) for n in range(1, 50))),
    "SOA of zeros": Odd(stream=[Message(soa(2, refresh=0, retry=0, expire=0, minimum=0), *V2[1:-1], soa(2, refresh=0, retry=0, expire=0, minimum=0))]),
    "SOA of ones": Odd(stream=[Message(*[soa(2, refresh=0xFFFFFFFF, retry=0xFFFFFFFF, expire=0xFFFFFFFF, minimum=0xFFFFFFFF)], *V2[1:-1],
                                       soa(2, refresh=0xFFFFFFFF, retry=0xFFFFFFFF, expire=0xFFFFFFFF, minimum=0xFFFFFFFF))]),
    "SOA with other TTLs and capitals": Odd(stream=[Message(*V2[:-1], soa(2, mname="NS", ttl=5))]),
    "serial newer by half the numbers": Odd(serial=0x80000001),
    "serial newer by half the numbers less one": Odd(serial=0x80000000),
    "DS and NSEC3PARAM of nothing at the apex": Odd(Record("@", 43, b"\0"), Record("@", 51, b"\0")),
    "RRSIG without what it signs": Odd(Record("x", 46, (struct.pack("!HBBIIIH", 1, 8, 2, 300, 0, 0, 1), Name("@"), bytes(64)))),
    "RRSIG of every type": Odd(*(Record("www", 46, (struct.pack("!HBBIIIH", n, 8, 2, 300, 0, 0, 1), Name("@"), bytes(64))) for n in range(0, 1024, 9))),
    "RRSIG beside a CNAME": Odd(Record("alias", CNAME, Name("ns")), Record("alias", 46, (struct.pack("!HBBIIIH", 5, 8, 2, 300, 0, 0, 1), Name("@"), b"x"))),
    "RRSIG of 60,000 octets": Odd(stream=[Message(*V2[:-1]), Message(Record("www", 46, (struct.pack("!HBBIIIH", 1, 8, 2, 300, 0, 0, 1), Name("@"), bytes(60000)))),
                                          Message(V2[-1])]),
    **{f"NSEC, {what}": Odd(Record("@", 47, (Name("zzz"), bitmap)), Record("www", 47, (Name("@"), bitmap))) for what, bitmap in NSEC_ODD.items()},
    "NSEC with a next name elsewhere": Odd(Record("@", 47, (Name("elsewhere."), b"\0\1\x40")), Record("www", 47, (b"\0", b"\0\1\x40"))),
    **{f"NSEC3, {what}": Odd(*CHAINED, nsec3(HASH, rdata), nsec3("v" * 32, rdata)) for what, rdata in NSEC3_ODD.items()},
    "NSEC3 whose owners are no hashes": Odd(*CHAINED, *(nsec3(owner, NSEC3_ODD["flags 255"]) for owner in ("@", "x", "z" * 32, "w" * 63, f"a.{HASH}", f"{HASH}.a"))),
    "NSEC3 with an address": Odd(*CHAINED, nsec3(HASH, NSEC3_ODD["flags 255"]), address(HASH)),
    "NSEC3 without NSEC3PARAM": Odd(nsec3(HASH, NSEC3_ODD["flags 255"])),
    "NSEC3PARAM without NSEC3": Odd(*CHAINED),
    "NSEC3PARAM, salt too long": Odd(Record("@", 51, b"\1\0\0\0\xff12"), nsec3(HASH, NSEC3_ODD["flags 255"])),
    "NSEC3PARAM a hundred times": Odd(*(Record("@", 51, b"\1\0\0\1\1" + bytes([n])) for n in range(100))),
    "NSEC3 where a hash has no room": Odd(*CHAINED, nsec3("x" * 3, NSEC3_ODD["flags 255"]), name=".".join(["n" * 63] * 3 + ["n" * 40, "fault"])),
    **{f"SVCB, {what}": Odd(Record("svc", 64, rdata), Record("svc", 65, rdata), Record("@", 65, rdata), axfr=what != "target compressed")
       for what, rdata in SVCB_ODD.items()},
    "SVCB in a circle": Odd(Record("a", 64, (b"\0\0", Name("b"))), Record("b", 64, (b"\0\0", Name("a")))),
    "MX and SRV to everything": Odd(*(Record("@", MX, (b"\0\1", Name(target))) for target in ("@", "www", "*", "nothing", "elsewhere.", ".")),
                                    *(Record("_s._tcp", 33, (bytes(6), Name(target))) for target in ("@", "www", "*", "nothing", "elsewhere.", "."))),
    "URI, CAA, NAPTR at their edges": Odd(Record("u", 256, bytes(4)), Record("c", 257, b"\0\xff"), Record("n", 35, bytes(4) + b"\0\0\0\0")),
    "not authoritative": Odd(stream=[Message(*V2, bits=0x8000)]),
    "all other flags": Odd(stream=[Message(*V2, bits=0x85F0)]),
    "no question": Odd(stream=[Message(*V2, question=None)]),
    "no question later": Odd(stream=[Message(*V2[:3]), Message(*V2[3:], question=None)]),
    "a message for each record": Odd(stream=[Message(record) for record in V2]),
    "the first SOA alone": Odd(stream=[Message(V2[0]), Message(*V2[1:])]),
    "duplicates": Odd(*[address("www", 2)] * 500),
    "NS last": Odd(stream=[Message(soa(2), address("www"), NS_RECORD, soa(2))]),
    "authority and additional are full": Odd(stream=[Message(*V2, authority=[NS_RECORD] * 50, additional=[address("elsewhere.")] * 50 + [opt()])]),
    "OPT with unknown options": Odd(stream=[Message(*V2, additional=[opt(b"\xff\xff\0\2xx\0\3\0\0")])]),
    "OPT with options cut": Odd(stream=[Message(*V2, additional=[opt(b"\0\x09\0\xff\0")])]),
    "TSIG where there is no key": Odd(stream=[Message(*V2, additional=[Record("x", TSIG, bytes(30), rdclass=255, ttl=0)])]),
    "a message of 65,535 octets": Odd(stream=[Message(*V2[:-1]), Message(*(Record(f"x{n}", 65280, bytes(6000)) for n in range(10))), Message(V2[-1])]),
    "octets behind the end": Odd(stream=[Message(*V2), Octets(b"garbage" * 100)]),
    "reset behind the end": Odd(stream=[Message(*V2), RESET]),
    "another zone behind the end": Odd(stream=[Message(*V2), Message(*version(3))]),
    "an octet at a time": Odd(stream=[Drip(Message(*V2), 0.001)]),
    "tiny messages": Odd(stream=[Message(*V2[:-1]), *[Message(address("same"), question=None)] * (30000 if FULL else 5000), Message(V2[-1])]),
}


# --- NOTIFY

#: Zones with nothing but NOTIFY to suffer from, and one whose primary is silent for as long as a test likes.
NOTIFIED, STORMED, HELD = "notify.fault", "storm.fault", "held.fault"
#: An address that is nobody's.
STRANGER = "127.0.0.99"


class Notice(Message):
    """NOTIFY, as the primary would send it unless told otherwise."""

    def __init__(self, *answer, qtype=SOA, qclass=1, name=None, bits=0x0400, opcode=4, question="own", **how):
        if question == "own":
            question = (wire_name(name or NOTIFIED) + struct.pack("!HH", qtype, qclass)) * how.get("qdcount", 1)
        super().__init__(*answer, bits=bits, opcode=opcode, question=question, **how)

    def octets(self, number):
        ask = Asked(NOTIFIED)
        ask.id = number
        return self.wire(ask)


NOERROR, FORMERR, NOTIMPL, REFUSED, NOTAUTH = 0, 1, 4, 5, 9
#: What is answered, by stock knotd, too: a code, or None for silence.
NOTICES = {
    "without serial": (Notice(), NOERROR),
    **{f"serial {what}": (Notice(soa(serial)), NOERROR) for what, serial in {"0": 0, "next": 2, "half the numbers on": 0x80000001, "highest": 0xFFFFFFFF}.items()},
    **{f"type {what}": (Notice(qtype=number), FORMERR) for what, number in {"0": 0, "A": 1, "NS": 2, "DNSKEY": 48, "ANY": 255, "65535": 65535}.items()},
    **{f"type {what}": (Notice(qtype=number), FORMERR) for what, number in {"IXFR": 251, "AXFR": 252}.items()},
    **{f"class {what}": (Notice(qclass=number), REFUSED) for what, number in {"0": 0, "NONE": 254, "65535": 65535}.items()},
    "class CH": (Notice(qclass=3), NOTIMPL),
    "class ANY": (Notice(qclass=255), NOERROR),
    **{f"opcode {number}": (Notice(opcode=number), NOTIMPL) for number in (1, 2, 3, 6, 15)},
    "a response": (Notice(bits=0x8400), None),
    "eleven octets": (Notice(question=b"", qdcount=1, cut=1), None),
    "header alone": (Notice(question=b"", qdcount=0), FORMERR),
    "question counted and missing": (Notice(question=b"", qdcount=1), None),
    "question cut": (Notice(cut=3), None),
    "two questions": (Notice(qdcount=2), None),
    "65,535 questions": (Notice(question=wire_name(NOTIFIED) + b"\0\6\0\1", qdcount=65535), None),
    "question points to itself": (Notice(question=b"\xc0\x0c\0\6\0\1"), None),
    "a name below the zone": (Notice(name="www." + NOTIFIED), NOTAUTH),
    "a zone that is not here": (Notice(name="elsewhere"), NOTAUTH),
    "SOA cut": (Notice(soa(2), cut=4), FORMERR),
    "SOA without numbers": (Notice(Record("@", SOA, (Name("ns"), Name("host")))), FORMERR),
    "SOA that points to itself": (Notice(Record("@", SOA, (b"\xc0\x28", Name("host"), bytes(20)))), FORMERR),
    "SOA of another zone": (Notice(soa(9, owner="elsewhere.")), NOERROR),
    "SOA of class CH": (Notice(soa(9, rdclass=3)), NOERROR),
    "two SOA": (Notice(soa(2), soa(3)), NOERROR),
    "an address instead of SOA": (Notice(address("@")), NOERROR),
    "65,535 answers": (Notice(soa(2), counts={0: 65535}), FORMERR),
    "owner points to itself": (Notice(Record(b"\xc0\x1e", A, bytes(4))), FORMERR),
    "octets behind": (Notice(soa(2), tail=b"xyz"), FORMERR),
    "truncated": (Notice(soa(2), bits=0x0600), NOERROR),
    "refused": (Notice(soa(2), rcode=5), NOERROR),
    "recursion desired": (Notice(bits=0x0100), NOERROR),
    "everything else full": (Notice(soa(2), authority=[NS_RECORD] * 20, additional=[address("ns")] * 20), NOERROR),
    "OPT twice": (Notice(soa(2), additional=[opt(), opt()]), FORMERR),
    "OPT of version 1": (Notice(soa(2), additional=[opt(version=1)]), 16),
    "OPT among the answers": (Notice(opt()), FORMERR),
    "signed where there is no key": (Notice(soa(2), additional=[Record(wire_name("any"), TSIG, (wire_name("hmac-sha256"), bytes(8), b"\0\x20", bytes(38)),
                                                                       rdclass=255, ttl=0)]), NOTAUTH),
    "TSIG cut": (Notice(soa(2), additional=[Record(wire_name("any"), TSIG, b"x", rdclass=255, ttl=0)]), FORMERR),
}


# --- the neighbourhood

class Case:
    """A zone with its fault, or its odd contents."""

    def __init__(self, name, what, number, alone):
        self.name, self.what, self.alone, self.seen = name, what, alone, 0
        self.odd, self.incremental = isinstance(what, Odd), isinstance(what, Increment)
        #: What is to run into a limit on time has short ones. What is to be found out otherwise, or to come, has them on no machine.
        self.hasty = not self.odd and TIMEOUT in (what.reason or "")
        self.stanza = f"alone{number}" if alone else "keyed" if not self.odd and what.keyed else "hasty" if self.hasty else "bad"
        self.bad = ALONE.format(number) if alone else BAD_KEYED if self.stanza == "keyed" else BAD
        self.good = GOOD_KEYED if self.stanza == "keyed" else GOOD
        self.stage = "first"

    def faulty(self):
        return self.stage == "claiming" or (self.stage == "first" and not self.odd and self.what.early)

    def serial(self):
        """What the first primary says that it has."""
        if self.stage == "first":
            return 1
        return 2 if self.stage == "cured" else self.what.serial if self.odd or self.incremental else self.what.claims

    def answer(self, where, ask):
        """What a primary of the zone sends."""
        serial, what = 1, None
        if where == self.bad:
            serial, what = self.serial(), self.what if self.faulty() else None
        if self.incremental and what and ask.qtype == IXFR:
            return what.stream
        if ask.qtype in (AXFR, IXFR) and not self.incremental:
            return what.stream if what and what.stream is not None else [Message(*version(serial))]
        if ask.qtype in (AXFR, IXFR):
            return [Message(*version(serial))]
        if isinstance(what, Fault) and what.probe is not None:
            return what.probe_tcp or [] if ask.tcp else what.probe
        return [Message(soa(serial))]


class Lines:
    """The log, sorted by zone as it grows."""

    ZONE = re.compile(r"\[([^\]]+)\.\] module 'mod-secondary/[^']*', (.*)|zone '([^']+)\.', (.*)")

    def __init__(self, server):
        self.server, self.position, self.rest, self.zones, self.count = server, 0, "", collections.defaultdict(list), 0

    def read(self):
        with open(self.server.log, errors="replace") as log:
            log.seek(self.position)
            text = self.rest + log.read()
            self.position = log.tell()
        *lines, self.rest = text.split("\n")
        self.count += len(lines)
        for line in lines:
            found = self.ZONE.search(line)
            if found:
                self.zones[found[1] or found[3]].append((line[:25], found[2] or found[4]))

    def of(self, zone, after=0):
        self.read()
        return [text for _, text in self.zones[zone][after:]]


class Arena:
    """One knotd with the module, its primaries, and all cases at once."""

    def __init__(self, path):
        self.servers, self.port = Servers(path), free_port("127.0.2.1")
        self.cases = {}
        table = [(f"f{n}.fault", fault) for n, fault in enumerate(FAULTS.values())]
        table += [(name, Odd()) for name in (NOTIFIED, STORMED)] + [(HELD, Fault([STALLED], early=False, alone=True))]
        table += [(f"i{n}.fault", increment) for n, increment in enumerate(INCREMENTS.values())]
        table += [(odd.name or f"o{n}.fault", odd) for n, odd in enumerate(ODD.values())]
        for number, (name, what) in enumerate(table):
            alone = isinstance(what, Fault) and what.alone
            self.cases[name] = Case(name, what, 1 + sum(case.alone for case in self.cases.values()), alone)
        self.by_title = dict(zip([*FAULTS, NOTIFIED, STORMED, HELD, *(f"increment: {title}" for title in INCREMENTS),
                                   *(f"odd: {title}" for title in ODD)], self.cases.values()))
        lonely = [case.bad for case in self.cases.values() if case.alone]
        self.primaries = Hostile(self.port, [BAD, GOOD, BAD_KEYED, GOOD_KEYED, *lonely], self.answer,
                                 lambda where: KEY if where in (BAD_KEYED, GOOD_KEYED) else None)
        self.others = [f"z{n}.others" for n in range(OTHERS)]
        # It is the primary of the others; and what it thinks of NOTIFY itself is what the module is compared with.
        self.knotd = self.servers.knotd({name: self.other_text(name, 1) for name in self.others}, name="others", mirrored=[NOTIFIED],
                                        primaries=[Peer(self.port, BAD)])
        (path / "zones.list").write_text("".join(f"{name}.\n" for name in self.others))
        self.module = self.servers.secondary(name="secondary", scope="global", server_conf=self.sections(), module_conf=self.stanzas(path),
                                             conf=self.zones())
        self.module.rules = dict
        self.lines = Lines(self.module)

    @staticmethod
    def other_text(name, serial):
        return zone_text(name, serial=serial, refresh=OTHERS_REFRESH, retry=OTHERS_REFRESH)

    def change_others(self):
        """All of them have news, of which nobody is told."""
        for name in self.others:
            self.knotd.zone_file(name).write_text(self.other_text(name, 2))
        self.knotd.knotc("zone-reload")

    def answer(self, where, ask):
        case = self.cases.get(ask.name)
        return case.answer(where, ask) if case else []

    def sections(self):
        remotes = {"good": GOOD, "bad": BAD, **{case.stanza: case.bad for case in self.cases.values() if case.alone}}
        text = f"key:\n  - id: {KEY.name}\n    algorithm: {KEY.algorithm}\n    secret: {KEY.secret}\nremote:\n"
        text += "".join(f"  - id: {name}\n    address: {where}@{self.port}\n" for name, where in remotes.items())
        text += "".join(f"  - id: {name}\n    address: {where}@{self.port}\n    key: {KEY.name}\n"
                        for name, where in (("bad-keyed", BAD_KEYED), ("good-keyed", GOOD_KEYED)))
        text += f"  - id: others\n    address: 127.0.0.1@{self.knotd.port}\n"
        return text + "acl:\n  - id: everybody\n    action: transfer\n"

    def stanzas(self, path):
        limits = f"    transfer-to: everybody\n    zone-max-size: {ZONE_MAX_SIZE}\n"
        times = {True: "    transfer-timeout: 9\n    transfer-idle-timeout: 3\n", False: "    transfer-timeout: 600\n    transfer-idle-timeout: 600\n"}
        stanzas = {"bad": "[bad, good]", "hasty": "[bad, good]", "keyed": "[bad-keyed, good-keyed]",
                   **{case.stanza: f"[{case.stanza}, good]" for case in self.cases.values() if case.alone}}
        hasty = {case.stanza for case in self.cases.values() if case.hasty}
        text = (f"mod-secondary:\n  - id: default\n    transfer-from: others\n    zones-file: {path}/zones.list\n    refresh-jitter: 0\n"
                f"    retry-jitter: 0\n    transfer-limit: 64\n    transfer-limit-remote: 32\n")
        return text + "".join(f"  - id: {name}\n    transfer-from: {remotes}\n    transfer-limit: 64\n    transfer-limit-remote: 32\n{limits}{times[name in hasty]}"
                              for name, remotes in stanzas.items())

    def zones(self):
        return "zone:\n" + "".join(f"  - domain: {case.name}.\n    module: mod-secondary/{case.stanza}\n" for case in self.cases.values())

    def start(self):
        self.knotd.start()
        self.module.start()
        self.asker = Asker(self.module.address, self.module.port, SLOWNESS)
        self.await_serials(self.cases, 1)
        self.await_serials(self.others, 1)
        self.memory = self.resident("VmRSS")

    def await_serials(self, names, serial):
        """Waits until all these zones answer with the serial."""
        names = list(names)

        def look():
            self.module.assert_alive()
            wires = self.asker.ask([Question(name, "SOA") for name in names])
            names[:] = [name for name, wire in zip(names, wires) if serial_in(wire) != serial]
            return not names
        try:
            await_event(look, "all serials", timeout=30)
        except AssertionError:
            tails = [f"{name}: " + "\n    ".join(self.lines.of(name)[-4:]) for name in names[:5]]
            raise AssertionError(f"{len(names)} zones did not come to serial {serial}:\n" + "\n".join(tails)) from None

    def notify(self, case):
        notify(self.module, case.name, source=case.bad, key=KEY if case.stanza == "keyed" else None)

    def begin(self):
        """The first primaries claim to have news, all at once."""
        self.began = time.monotonic()
        self.lines.read()
        claiming = [case for case in self.cases.values() if case.name not in (NOTIFIED, STORMED, HELD)]
        for case in claiming:
            case.stage, case.seen = "claiming", len(self.lines.zones[case.name])
        for case in claiming:
            self.notify(case)
        self.change_others()

    def await_calm(self, names):
        """Waits until no check of these zones is under way or due soon; REFRESH and RETRY are minutes."""
        def look():
            due = re.findall(r" refresh: (\S+)", self.module.knotc_module("zone-status", *names))
            return len(due) == len(names) and not any(re.fullmatch(r"running|pending|\+\d+s", when) for when in due)
        await_event(look, "calm")

    def checks(self, name, after):
        """How many checks of a zone have come to their end, its second primary's word."""
        pattern = re.compile(rf"refresh, remote {re.escape(self.cases[name].good)}@{self.port}, remote serial 1, zone is up-to-date")
        return sum(bool(pattern.match(line)) for line in self.lines.of(name, after))

    def resident(self, what):
        return memory_of(self.module, what)

    def await_line(self, case, pattern, after):
        def look():
            return next((line for line in self.lines.of(case.name, after) if re.search(pattern, line)), None)
        try:
            return await_event(look, pattern, timeout=20)
        except AssertionError:
            raise AssertionError(f"no line with /{pattern}/ of {case.name}:\n" + "\n".join(self.lines.of(case.name, 0))) from None

    def stop(self):
        self.servers.stop()
        self.primaries.stop()


def serial_in(wire):
    """Serial of the SOA in a response, or None."""
    answer = Response(wire).answer if wire else []
    return struct.unpack("!I", answer[0][4][-20:-16])[0] if answer and answer[0][1] == SOA else None


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    options = os.environ.get("ASAN_OPTIONS", "")
    # What is freed comes back soon: memory is measured.
    os.environ["ASAN_OPTIONS"] = f"quarantine_size_mb=8:{options}"
    some = Arena(tmp_path_factory.mktemp("hostile"))
    try:
        some.start()
        some.begin()
        yield some
    finally:
        os.environ["ASAN_OPTIONS"] = options
        some.stop()


def records_of(messages):
    """Owner, type and RDATA of all answers."""
    return {(owner, rdtype, rdata) for message in messages for owner, rdtype, _, _, rdata in message.answer}


def transfer_out(server, name):
    """The messages of an AXFR, parsed."""
    messages, seen = [], 0
    wire = Question(name, "AXFR", payload=None).message(7)
    with socket.create_connection((server.address, server.port), timeout=10 * SLOWNESS) as client:
        client.sendall(tcp_frame(wire))
        stream = client.makefile("rb")
        while seen < 2:
            messages.append(Response(stream.read(struct.unpack("!H", stream.read(2))[0])))
            assert messages[-1].rcode == 0, messages[-1]
            seen += sum(record[1] == SOA for record in messages[-1].answer)
    return messages


class Asked:
    """The query that a message would answer, to write it down as it was sent, but with the zone's name in full."""

    in_full = True

    def __init__(self, name):
        self.id, self.qname = 1, wire_name(name)
        self.question = self.qname + b"\0\xfc\0\1"


def records_sent(name, stream):
    """What a stream has in its messages, up to the end of the zone."""
    messages, seen = [], 0
    for step in stream:
        message = getattr(step, "message", step)
        if isinstance(message, Message) and seen < 2:
            messages.append(Response(message.wire(Asked(name))))
            seen += sum(record[1] == SOA for record in messages[-1].answer)
    return records_of(messages)


def assert_serves(arena, case, stream):
    """The zone is what the stream has, record for record."""
    assert records_of(transfer_out(arena.module, case.name)) == records_sent(case.name, stream)
    assert arena.asker.ask([Question(case.name, "SOA")])[0]


@pytest.mark.parametrize("title", FAULTS)
def test_fault(arena, title):
    case, fault = arena.by_title[title], FAULTS[title]
    reason = fault.reason if "remote" in fault.reason.split(",")[0] and "is expired" not in fault.reason else rf"failed \(({fault.reason})\)$"
    pattern = rf"refresh, remote {re.escape(case.bad)}@{arena.port}, {reason}"
    if fault.early:
        assert re.search(pattern, "\n".join(arena.lines.of(case.name)[:case.seen]), re.MULTILINE), arena.lines.of(case.name)
    arena.await_line(case, pattern, case.seen)
    # The next primary is asked, in the same check.
    arena.await_line(case, rf"refresh, remote {re.escape(case.good)}@{arena.port}, remote serial 1, zone is up-to-date", case.seen)
    assert arena.primaries.count(case.name, address=case.good, qtype=SOA, since=arena.began) >= 1
    assert_serves(arena, case, [Message(*version(1))])
    assert len(arena.lines.of(case.name)) < 25


@pytest.mark.parametrize("title", INCREMENTS)
def test_increment(arena, title):
    """Whatever comes, the zone is the primary's, by its increment or by the whole zone that is asked for instead."""
    case, increment = arena.by_title[f"increment: {title}"], INCREMENTS[title]
    remote = rf"remote {re.escape(case.bad)}@{arena.port}"
    if increment.serves == 1:
        arena.await_line(case, rf"refresh, {remote}, {increment.reason.lstrip('=')}", case.seen)
    else:
        arena.await_line(case, rf"refresh, {remote}, zone updated, .*, serial 1 -> {increment.serial}, ", case.seen)
    lines = "\n".join(arena.lines.of(case.name, case.seen))
    fallback = re.search(rf"IXFR, incoming, {remote}, fallback to AXFR \((.*)\)$", lines, re.MULTILINE)
    if increment.reason is None or increment.serves == 1:
        assert not fallback, lines
        assert arena.primaries.count(case.name, address=case.bad, qtype=AXFR, since=arena.began) == 0
    else:
        assert fallback and re.fullmatch(increment.reason, fallback[1]), lines
        assert arena.primaries.count(case.name, address=case.bad, qtype=AXFR, since=arena.began) == 1
    # After FORMERR it is asked once more, without EDNS.
    assert arena.primaries.count(case.name, address=case.bad, qtype=IXFR, since=arena.began) == (2 if "FORMERR" in title else 1)
    assert_serves(arena, case, [Message(*version(increment.serves))])


def questions_for(name, records):
    """What may make trouble: each owner and names around it, for what is there and what is not."""
    asked = []
    owners = sorted({owner for owner, _, _ in records})
    for owner in owners[:40] + owners[-5:]:
        types = sorted({rdtype for other, rdtype, _ in records if other == owner})[:20]
        for rdtype in [*types, A, MX, 43, 47, 50, 255]:
            asked += [Question(owner, rdtype, do=True), Question(owner, rdtype, payload=None)]
        if len(owner) < 240:
            asked += [Question(b"\1a" + owner, A, do=True), Question(b"\5aaaaa\1*" + owner, TXT, do=True)]
        asked.append(Question(owner, types[0], tcp=True, do=True))
    return asked


@pytest.mark.parametrize("title", ODD)
def test_odd(arena, title):
    case, odd = arena.by_title[f"odd: {title}"], ODD[title]
    if odd.refused:
        arena.await_line(case, rf"refresh, remote {re.escape(case.bad)}@{arena.port}, failed \({odd.refused}\)$", case.seen)
        assert_serves(arena, case, [Message(*version(1))])
        return
    arena.await_line(case, rf"zone updated, .*, serial 1 -> {odd.serial}, ", case.seen)
    sent = records_sent(case.name, odd.stream)
    questions = questions_for(case.name, sent)
    unanswered = [str(question) for question, wire in zip(questions, arena.asker.ask(questions)) if wire is None]
    assert not unanswered, unanswered[:5]
    if odd.axfr:
        assert records_of(transfer_out(arena.module, case.name)) == sent


def notice_rcode(server, wire, number, expected):
    """What it answers; what was lost on the way is sent again."""
    for _ in range(3):
        try:
            found = notice_rcode_once(server, wire, number)
        except TimeoutError:
            found = "nothing, nor was the question behind it answered"
        if found == expected:
            break
    return found


def notice_rcode_once(server, wire, number):
    """
    What is answered to NOTIFY from the primary's address, or None: then the answer to a question behind it comes first, as one socket's
    datagrams go to one worker.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5 * SLOWNESS)
        client.bind((BAD, 0))
        client.connect((server.address, server.port))
        client.send(wire)
        client.send(Question(NOTIFIED, "SOA").message(number + 1))
        response = client.recv(65535)
    if response[:2] != struct.pack("!H", number):
        return None
    return Response(response).rcode if len(response) > 12 else response[3] & 15


@pytest.mark.parametrize("title", NOTICES)
def test_notify(arena, title):
    message, expected = NOTICES[title]
    found = [notice_rcode(server, message.octets(7), 7, expected) for server in (arena.module, arena.knotd)]
    assert found == [expected, expected]
    assert_serves(arena, arena.cases[NOTIFIED], [Message(*version(1))])


STORM = 10000


def storm(server, source, names, serials):
    """Sends NOTIFY by the thousand without waiting for answers, but for that to a question behind them: then all have been read, or lost."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((source, 0))
        client.connect((server.address, server.port))
        for number in range(STORM):
            name, serial = names[number % len(names)], serials[number % len(serials)]
            try:
                client.send(Notice(soa(serial), name=name).octets(number))
            except ConnectionRefusedError:
                pass
        client.settimeout(0.1)

        def answered():
            client.send(Question(STORMED, "SOA").message(STORM))
            try:
                while client.recv(65535)[:2] != struct.pack("!H", STORM):
                    pass
            except TimeoutError:
                return False
            return True
        await_event(answered, "an answer")


STORMS = {
    "of the primary for one zone": (BAD, [STORMED], range(STORM)),
    "of the primary for a hundred zones": (BAD, [NOTIFIED, STORMED, *(f"f{n}.fault" for n in range(98))], range(2, STORM)),
    "of a stranger": (STRANGER, [STORMED], [7]),
    "of a stranger for zones that are not here": (STRANGER, [f"x{n}.fault" for n in range(STORM)], [7]),
}


#: Least seconds between checks that NOTIFY causes, while they bring nothing: what README promises, on a clock of milliseconds.
NOTIFY_PAUSE = 0.999
#: Lines that one check writes at most: of each primary its word, what its transfers begin and end with; and how all went.
CHECK_LINES = 10
#: Lines about accepted NOTIFY, of all zones, in one second of the clock; and the one that tells of those left out.
NOTIFY_LINES = 101


@pytest.mark.parametrize("kind", STORMS)
def test_storm(arena, kind):
    """
    Of the primary, they cost each zone a check at once and then one a second, and so many lines, however fast they come and are read: nothing
    here depends on that, as the time is taken after what it bounds. Strangers cost nothing but the lines that tell of some.
    """
    source, names, serials = STORMS[kind]
    here = [name for name in names if name in arena.cases] or [STORMED]
    arena.await_calm(here)
    arena.lines.read()
    before = {name: len(arena.lines.zones[name]) for name in {*names, *here}}
    began = time.monotonic()
    storm(arena.module, source, names, serials)
    assert_serves(arena, arena.cases[STORMED], [Message(*version(1))])
    if source == BAD:
        arena.await_line(arena.cases[STORMED], r"remote serial 1, zone is up-to-date", before[STORMED])
    arena.await_calm(here)
    checks = {name: arena.checks(name, before[name]) for name in here}
    lines = [(name, line) for name in before for line in arena.lines.of(name, before[name])]
    seconds = time.monotonic() - began

    told = [line for _, line in lines if "notify, incoming" in line]
    # It began and ended within a second of the clock.
    assert len(told) <= NOTIFY_LINES * (seconds + 2)
    most = 1 + seconds / NOTIFY_PAUSE if source == BAD else 0
    assert max(checks.values()) <= most
    # assert_serves() has the zone transferred out.
    others = collections.Counter(name for name, line in lines if "notify, incoming" not in line and "outgoing" not in line)
    assert max(others.values(), default=0) <= CHECK_LINES * most
    print(f"{seconds:.1f} s, checks: {max(checks.values())} of a zone, {sum(checks.values())} in all; lines: {len(told)} about NOTIFY, "
          f"{max(others.values(), default=0)} others of a zone")


#: What a check of one of the others ends with; the zone is the first group.
OTHERS_CHECK = re.compile(r"zone '(z\d+\.others)\.', refresh, (?:remote \S+, (?:zone updated|remote serial \d+, zone is up-to-date)|failed)")
#: Rounds of checks that the others may be ahead of one of them: a lost datagram costs it seconds, too.
ROUNDS_AHEAD = 3


def test_others_were_not_delayed(arena):
    """A thousand zones were checked in their turn, and their news came, while all faults were at work."""
    arena.await_serials(arena.others, 2)
    turns, longest = {}, 0
    checks = await_event(lambda: len(found := OTHERS_CHECK.findall(arena.module.log_text())) > 3 * OTHERS and found, "three checks of each")
    for number, name in enumerate(checks):
        longest = max(longest, number - turns.get(name, number))
        turns[name] = number
    print(f"checks: {len(checks)}, {longest} of others at most between two of one")
    # How fast they come is the machine's affair: who waits longer than the others do is delayed.
    assert set(turns) == set(arena.others)
    assert longest <= ROUNDS_AHEAD * OTHERS


def test_silence_delays_nobody_else(arena):
    """Two checks of each other zone come and go while a primary is silent."""
    case, began = arena.cases[HELD], time.monotonic()
    case.stage = "claiming"
    arena.notify(case)
    await_event(lambda: arena.primaries.count(HELD, address=case.bad, qtype=IXFR, since=began), "the question that gets no answer")
    seen = arena.module.log_position()

    def all_twice():
        checks = collections.Counter(OTHERS_CHECK.findall(arena.module.log_text(seen)))
        return len(checks) == OTHERS and min(checks.values()) >= 2
    await_event(all_twice, "two checks of each", timeout=30)
    assert " refresh: running" in arena.module.knotc_module("zone-status", HELD)


def test_memory_is_bounded(arena):
    """All faults at once, twice, and what is odd: no more memory at any time than a few zones of the largest size."""
    peak = arena.resident("VmHWM")
    print(f"resident: {arena.memory >> 20} MiB before, {peak >> 20} MiB at most")
    assert peak - arena.memory < MEMORY_GROWTH


def test_all_recover(arena):
    """A primary that comes to its senses is believed again, at once."""
    ours = [case for name, case in arena.cases.items() if name != HELD]
    for case in ours:
        case.stage = "cured"
    cured = [case for case in ours if not case.odd and not (case.incremental and case.what.serial != 2)]
    for case in cured:
        arena.notify(case)
    arena.await_serials([case.name for case in cured], 2)
    for case in cured[::10]:
        assert_serves(arena, case, [Message(*V2)])


# --- a million messages

LOT, LOTS = 1000, 1000
#: They come again and again for so many seconds at least; and how often others are checked meanwhile, in seconds.
MILLION_SECONDS, MILLION_REFRESH = 15, 2


def frames(ask, records):
    """A message without question for each of these records, which are octets."""
    head = struct.pack("!6H", ask.id, 0x8400, 0, 1, 0, 0)
    return b"".join(tcp_frame(head + record) for record in records)


def one_name(ask, lot):
    return frames(ask, [address("same").wire(ask.qname)]) * LOT


def other_names(ask, lot):
    rest = ask.qname + struct.pack("!HHIH", A, 1, 300, 4) + b"\xc0\0\2\1"
    return frames(ask, (label(f"n{number}") + rest for number in range(lot * LOT, (lot + 1) * LOT)))


#: What is in each of them; and octets that the process may grow by, the sanitizer's own included.
MILLION = {"the same record": (one_name, 64 << 20), "a name of its own": (other_names, 256 << 20)}


@pytest.mark.skipif(not FULL, reason="a million messages: TEST_FULL=1")
@pytest.mark.parametrize("kind", MILLION)
def test_million_messages(servers, monkeypatch, kind):
    """A record in each message of a transfer, and that again and again: it comes to its end, within bounds on memory, and others are checked when it is due all the while."""
    monkeypatch.setenv("ASAN_OPTIONS", f"quarantine_size_mb=8:{os.environ.get('ASAN_OPTIONS', '')}")
    make, growth = MILLION[kind]
    port = free_port(BAD)
    serial = 1

    def answer(_, ask):
        if ask.qtype == SOA:
            return [Message(soa(serial))]
        return [Message(soa(serial), NS_RECORD, NS_ADDRESS), *([Lots(make, LOTS)] if serial > 1 else []), Message(soa(serial))]
    primary = Hostile(port, [BAD], answer)
    names = [f"z{n}.others" for n in range(100)]
    others = servers.knotd({name: zone_text(name, serial=1, refresh=MILLION_REFRESH, retry=MILLION_REFRESH) for name in names}, name="million-others")
    others.start()
    zones_file = servers.path / "names"
    zones_file.write_text("".join(f"{name}.\n" for name in names))
    stanzas = (f"mod-secondary:\n  - id: default\n    transfer-from: primary0\n    zones-file: {zones_file}\n    refresh-jitter: 0\n    retry-jitter: 0\n"
               "  - id: million\n    transfer-from: primary1\n")
    module = servers.secondary((), [others, Peer(port, BAD)], scope="global", module_conf=stanzas,
                               conf="zone:\n  - domain: million.fault.\n    module: mod-secondary/million\n")
    try:
        module.start()
        await_serial(module, "million.fault", 1)
        for name in names:
            await_serial(module, name, 1)
        before, used = memory_of(module, "VmRSS"), processor_of(module)
        began = time.monotonic()
        while time.monotonic() < began + MILLION_SECONDS:
            serial += 1
            notify(module, "million.fault", source=BAD)
            await_serial(module, "million.fault", serial, timeout=300)
        seconds, used = time.monotonic() - began, processor_of(module) - used
        gaps = gaps_of(module, names)
        grown = memory_of(module, "VmHWM") - before
        print(f"{kind}, {serial - 1} times: {seconds:.1f} s, {used:.1f} s of processor, {grown >> 20} MiB more at most; {len(gaps)} checks of others, {max(gaps)} s at most between two")
        assert grown < growth
        assert len(gaps) >= len(names) * int(seconds / (MILLION_REFRESH + 1 + SLOWNESS))
        # The log knows whole seconds.
        assert max(gaps) <= MILLION_REFRESH + 1 + SLOWNESS
    finally:
        primary.stop()


def memory_of(server, what):
    """Octets, as the kernel names them."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+)", status)[1]) << 10


def processor_of(server):
    """Seconds of processor so far."""
    stat = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, stat[11:13])) / os.sysconf("SC_CLK_TCK")


def gaps_of(server, names):
    """Seconds between the checks of each of these zones, as the log has them; the last of each, until now."""
    lines, gaps = Lines(server), []
    lines.read()
    for name in names:
        checks = [time.mktime(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S")) for at, text in lines.zones[name]
                  if "zone is up-to-date" in text or "zone updated" in text]
        gaps += [after - before for before, after in zip(checks, [*checks[1:], int(time.time())])]
    return gaps
