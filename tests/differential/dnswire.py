# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions by the thousand: messages as octets, sent in windows, and answers in a form that can be compared.

dnspython takes a millisecond a message; this takes some tens of microseconds, and what is equal octet for octet is not
even parsed.
"""

import select
import socket
import struct
import time

TYPES = {"A": 1, "NS": 2, "MD": 3, "MF": 4, "CNAME": 5, "SOA": 6, "MB": 7, "MG": 8, "MR": 9, "NULL": 10, "WKS": 11, "PTR": 12,
         "HINFO": 13, "MINFO": 14, "MX": 15, "TXT": 16, "RP": 17, "AFSDB": 18, "X25": 19, "ISDN": 20, "RT": 21, "SIG": 24, "KEY": 25,
         "PX": 26, "AAAA": 28, "LOC": 29, "NXT": 30, "SRV": 33, "NAPTR": 35, "KX": 36, "CERT": 37, "DNAME": 39, "OPT": 41, "APL": 42,
         "DS": 43, "SSHFP": 44, "IPSECKEY": 45, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "DHCID": 49, "NSEC3": 50, "NSEC3PARAM": 51,
         "TLSA": 52, "SMIMEA": 53, "HIP": 55, "CDS": 59, "CDNSKEY": 60, "OPENPGPKEY": 61, "CSYNC": 62, "ZONEMD": 63, "SVCB": 64,
         "HTTPS": 65, "SPF": 99, "NID": 104, "L32": 105, "L64": 106, "LP": 107, "EUI48": 108, "EUI64": 109, "TKEY": 249, "TSIG": 250,
         "IXFR": 251, "AXFR": 252, "MAILB": 253, "MAILA": 254, "ANY": 255, "URI": 256, "CAA": 257, "AVC": 258, "TA": 32768,
         "DLV": 32769}
TYPE_NAMES = {number: name for name, number in TYPES.items()}
RCODES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"]

#: Names in RDATA, which other servers may compress or not: what comes before them, how many there are.
NAMES_IN = {2: (0, 1), 3: (0, 1), 4: (0, 1), 5: (0, 1), 6: (0, 2), 7: (0, 1), 8: (0, 1), 9: (0, 1), 12: (0, 1), 14: (0, 2), 15: (2, 1),
            17: (0, 2), 18: (2, 1), 21: (2, 1), 26: (2, 2), 33: (6, 1), 36: (2, 1), 39: (0, 1), 107: (2, 1)}

#: Records of a section in the text of a response.
RECORDS_SHOWN = 6
#: Questions on their way to one server at a time; more would overflow its socket's buffer (212,992 octets by default).
WINDOW = 48


class Malformed(Exception):
    """A response that is no DNS message."""


def type_number(rdtype):
    return TYPES[rdtype] if rdtype in TYPES else int(rdtype[4:])


def type_name(number):
    return TYPE_NAMES.get(number) or f"TYPE{number}"


def wire_name(text):
    """A name in presentation format, with the escapes \\DDD and \\X, as octets; always absolute."""
    wire, label, i = b"", bytearray(), 0
    text = text.rstrip(".") if not text.endswith("\\.") else text
    while i < len(text):
        if text[i] == "\\" and text[i + 1:i + 4].isdigit():
            label.append(int(text[i + 1:i + 4]))
            i += 4
        elif text[i] == "\\":
            label.append(ord(text[i + 1]))
            i += 2
        elif text[i] == ".":
            wire += bytes([len(label)]) + label
            label = bytearray()
            i += 1
        else:
            label.append(ord(text[i]))
            i += 1
    if label:
        wire += bytes([len(label)]) + label
    return wire + b"\0"


def text_name(wire):
    text, i = "", 0
    while wire[i]:
        for octet in wire[i + 1:i + 1 + wire[i]]:
            text += chr(octet) if chr(octet).isalnum() or octet in b"-_*" else f"\\{octet:03d}"
        text += "."
        i += 1 + wire[i]
    return text or "."


class Question:
    """One question and how it is put."""

    __slots__ = ("qname", "qtype", "payload", "tcp", "do", "rd", "qclass", "opcode", "count")

    def __init__(self, qname, qtype="A", payload=1232, tcp=False, do=False, rd=False, qclass=1, opcode=0, count=1):
        self.qname = qname if isinstance(qname, bytes) else wire_name(qname)
        self.qtype = qtype if isinstance(qtype, int) else type_number(qtype)
        self.payload, self.tcp, self.do, self.rd = payload, tcp, do, rd
        self.qclass, self.opcode, self.count = qclass, opcode, count

    def message(self, number):
        """The query with the given id; payload None: without EDNS."""
        edns = self.payload is not None
        wire = struct.pack("!HBBHHHH", number, self.opcode << 3 | self.rd, 0, self.count, 0, 0, edns)
        wire += (self.qname + struct.pack("!HH", self.qtype, self.qclass)) * self.count
        if edns:
            wire += struct.pack("!BHHBBHH", 0, 41, self.payload, 0, 0, 0x8000 if self.do else 0, 0)
        return wire

    def __str__(self):
        how = ("TCP" if self.tcp else "UDP") + (f", EDNS {self.payload}" if self.payload is not None else ", no EDNS")
        how += "".join(f", {name}" for name, value in (("DO", self.do), ("RD", self.rd)) if value)
        how += f", class {self.qclass}" if self.qclass != 1 else ""
        how += f", opcode {self.opcode}" if self.opcode else ""
        how += f", {self.count} questions" if self.count != 1 else ""
        return f"{text_name(self.qname)} {type_name(self.qtype)} ({how})"


# --- parsing

def read_name(wire, pos):
    """The name in full, in its own case, and where the message goes on."""
    name, after, hops = b"", None, 0
    while True:
        if pos >= len(wire):
            raise Malformed("a name runs out of the message")
        length = wire[pos]
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | wire[pos + 1]
            after = pos + 2 if after is None else after
            hops += 1
            if target >= pos or hops > 128:
                raise Malformed("a pointer does not lead backwards")
            pos = target
        elif length > 63:
            raise Malformed("a label of unknown kind")
        else:
            name += wire[pos:pos + 1 + length]
            pos += 1 + length
            if length == 0:
                break
            if len(name) > 254:
                raise Malformed("a name is too long")
    return name, after if after is not None else pos


def read_rdata(wire, rdtype, pos, length):
    """RDATA with names in full and lower case."""
    end = pos + length
    if end > len(wire):
        raise Malformed("RDATA runs out of the message")
    if rdtype not in NAMES_IN or length == 0:
        return wire[pos:end]
    skip, names = NAMES_IN[rdtype]
    rdata, pos = wire[pos:pos + skip], pos + skip
    for _ in range(names):
        name, pos = read_name(wire, pos)
        rdata += name.lower()
    if pos > end:
        raise Malformed("a name runs out of its RDATA")
    return rdata + wire[pos:end]


class Response:
    """A parsed response: records are (owner, type, class, ttl, rdata), owners in lower case."""

    def __init__(self, wire):
        try:
            self._parse(wire)
        except (struct.error, IndexError) as error:
            raise Malformed(str(error)) from None

    def _parse(self, wire):
        self.size = len(wire)
        self.number, self.bits, questions, *counts = struct.unpack_from("!HHHHHH", wire)
        self.rcode, self.edns, self.options = self.bits & 15, None, b""
        pos, self.question = 12, []
        for _ in range(questions):
            name, pos = read_name(wire, pos)
            self.question.append((name, *struct.unpack_from("!HH", wire, pos)))
            pos += 4
        self.sections = []
        for count in counts:
            records = []
            for _ in range(count):
                owner, pos = read_name(wire, pos)
                rdtype, rdclass, ttl, length = struct.unpack_from("!HHIH", wire, pos)
                if rdtype == 41:
                    self.edns = (ttl >> 16 & 255, bool(ttl & 0x8000))
                    self.rcode |= ttl >> 24 << 4
                    self.options = wire[pos + 10:pos + 10 + length]
                else:
                    records.append((owner.lower(), rdtype, rdclass, ttl, read_rdata(wire, rdtype, pos + 10, length)))
                pos += 10 + length
            self.sections.append(records)
        if pos != len(wire):
            raise Malformed(f"{len(wire) - pos} octets follow the message")

    answer = property(lambda self: self.sections[0])
    authority = property(lambda self: self.sections[1])
    additional = property(lambda self: self.sections[2])
    aa = property(lambda self: bool(self.bits & 0x0400))
    tc = property(lambda self: bool(self.bits & 0x0200))

    def flags(self):
        return "".join(f" {name}" for name, bit in (("QR", 0x8000), ("AA", 0x0400), ("TC", 0x0200), ("RD", 0x0100), ("RA", 0x0080),
                                                   ("Z", 0x0040), ("AD", 0x0020), ("CD", 0x0010)) if self.bits & bit)

    def __str__(self):
        lines = [f"    {RCODES[self.rcode] if self.rcode < len(RCODES) else self.rcode}{self.flags()}, {self.size} octets"]
        for title, records in zip(("answer", "authority", "additional"), self.sections):
            lines += [f"    {title}: {record_text(record)}" for record in records[:RECORDS_SHOWN]]
            lines += [f"    {title}: {len(records) - RECORDS_SHOWN} more"] if len(records) > RECORDS_SHOWN else []
        return "\n".join(lines)


def record_text(record):
    owner, rdtype, _, ttl, rdata = record
    if rdtype in NAMES_IN and len(rdata):
        skip, names = NAMES_IN[rdtype]
        pos, parts = skip, [rdata[:skip].hex()] if skip else []
        for _ in range(names):
            name, pos = read_name(rdata, pos)
            parts.append(text_name(name))
        shown = " ".join(parts + ([rdata[pos:].hex()] if rdata[pos:] else []))
    else:
        shown = rdata.hex() if len(rdata) <= 40 else f"{rdata[:40].hex()}… ({len(rdata)} octets)"
    return f"{text_name(owner)} {ttl} {type_name(rdtype)} {shown}"


# --- asking

class Asker:
    """Asks one server many questions: over UDP in windows, over TCP in one connection per window."""

    def __init__(self, address, port, slowness=1):
        self.server, self.slowness = (address, port), slowness

    def ask(self, questions):
        """The raw responses in the order of the questions; None where there was none."""
        answers = [None] * len(questions)
        for tcp in (False, True):
            chosen = [i for i, question in enumerate(questions) if question.tcp == tcp]
            for begin in range(0, len(chosen), WINDOW):
                self._window(tcp, questions, answers, chosen[begin:begin + WINDOW])
        return answers

    def _window(self, tcp, questions, answers, chosen):
        for _ in range(4):
            waiting = [i for i in chosen if answers[i] is None]
            if not waiting:
                return
            (self._tcp if tcp else self._udp)(questions, answers, waiting)

    def _udp(self, questions, answers, chosen):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            client.connect(self.server)
            for number, i in enumerate(chosen):
                client.send(questions[i].message(number))
            deadline, left = time.monotonic() + 2 * self.slowness, len(chosen)
            while left and select.select([client], [], [], max(0, deadline - time.monotonic()))[0]:
                wire = client.recv(65535)
                number = wire[0] << 8 | wire[1]
                if number < len(chosen) and answers[chosen[number]] is None:
                    answers[chosen[number]] = wire
                    left -= 1

    def _tcp(self, questions, answers, chosen):
        with socket.create_connection(self.server, timeout=5 * self.slowness) as client:
            stream = client.makefile("rb")
            for first in range(0, len(chosen), 8):
                part = chosen[first:first + 8]
                messages = [questions[i].message(number) for number, i in enumerate(part)]
                try:
                    client.sendall(b"".join(struct.pack("!H", len(wire)) + wire for wire in messages))
                    for _ in part:
                        wire = stream.read(struct.unpack("!H", stream.read(2))[0])
                        answers[part[wire[0] << 8 | wire[1]]] = wire
                except (OSError, struct.error, IndexError):
                    return
