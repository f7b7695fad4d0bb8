# SPDX-License-Identifier: GPL-3.0-or-later
"""A primary that does what a test tells it to: octets as they are, over UDP and TCP, with any signature, at any pace.

What it sends is put together from octets, because a library for DNS would refuse to write most of it. Messages are made when they are
sent, for the query that they answer: id, question and signature are the right ones unless a fault says otherwise.
"""

import asyncio
import base64
import hashlib
import hmac
import socket
import struct
import threading
import time

A, NS, CNAME, SOA, MX, TXT, AAAA, DNAME, OPT, TSIG, IXFR, AXFR = 1, 2, 5, 6, 15, 16, 28, 39, 41, 250, 251, 252

#: A stalled connection ends when the other side leaves, or after so many seconds, so that a test that failed ends too.
STALL = 120


def label(text):
    return bytes([len(text)]) + (text.encode() if isinstance(text, str) else text)


def wire_name(text):
    """An absolute name without escapes as octets."""
    return b"".join(label(part) for part in text.rstrip(".").split(".") if part) + b"\0"


class Name:
    """A name in a record: relative to the zone, or absolute with a final dot; "@" is the zone."""

    def __init__(self, text):
        self.text = text

    def wire(self, apex):
        if self.text.endswith("."):
            return wire_name(self.text)
        return b"".join(label(part) for part in self.text.split(".") if part != "@") + apex


def octets(part, apex):
    """Octets of a part of a record: themselves, a Name, text for a Name, or several of them."""
    if isinstance(part, bytes):
        return part
    if isinstance(part, (tuple, list)):
        return b"".join(octets(piece, apex) for piece in part)
    return (part if isinstance(part, Name) else Name(part)).wire(apex)


class Record:
    """One record. Owner and RDATA are parts (see octets()); `length` stands in for the true length of RDATA."""

    def __init__(self, owner, rdtype, rdata, ttl=300, rdclass=1, length=None):
        self.owner, self.rdtype, self.rdata, self.ttl, self.rdclass, self.length = owner, rdtype, rdata, ttl, rdclass, length

    def wire(self, apex):
        rdata = octets(self.rdata, apex)
        length = len(rdata) if self.length is None else self.length
        return octets(self.owner, apex) + struct.pack("!HHIH", self.rdtype, self.rdclass, self.ttl, length) + rdata


class Raw:
    """Octets in the place of records; they count as so many."""

    def __init__(self, wire, count=1):
        self.octets, self.count = wire, count

    def wire(self, apex):
        return octets(self.octets, apex)


def soa(serial, owner="@", refresh=3600, retry=600, expire=604800, minimum=300, mname="ns", **more):
    return Record(owner, SOA, (Name(mname), Name("host"), struct.pack("!5I", serial, refresh, retry, expire, minimum)), **more)


def address(owner, last=1, **more):
    return Record(owner, A, bytes([192, 0, 2, last]), **more)


def opt(options=b"", rcode=0, version=0, owner=b"\0"):
    return Record(owner, OPT, options, ttl=rcode << 24 | version << 16, rdclass=1232)


NS_RECORD = Record("@", NS, Name("ns"))
NS_ADDRESS = address("ns", 53)


def version(serial, *records):
    """All records of a small zone between its two SOA."""
    return [soa(serial), NS_RECORD, NS_ADDRESS, address("www", serial % 256), Record(f"v{serial}", TXT, label("here")), *records, soa(serial)]


class Message:
    """One response. What is not said is as it should be.

    id is added to the right one; `counts` replaces those of the sections; question: "same", None or octets; cut: octets that are missing at
    the end; tail: octets behind it; sign: True, False (left out), or how it is wrong (Signer).
    """

    def __init__(self, *answer, authority=(), additional=(), id=0, bits=0x8400, opcode=0, rcode=0, question="same", qdcount=None,
                 counts=None, cut=0, tail=b"", sign=True):
        self.sections, self.id, self.bits, self.opcode, self.rcode = (answer, authority, additional), id, bits, opcode, rcode
        self.question, self.qdcount, self.counts, self.cut, self.tail, self.sign = question, qdcount, counts or {}, cut, tail, sign

    def wire(self, ask):
        question = ask.question if self.question == "same" else self.question or b""
        apex = b"\xc0\x0c" if question.startswith(ask.qname) and not ask.in_full else ask.qname
        counts = [sum(getattr(record, "count", 1) for record in section) for section in self.sections]
        counts = [self.counts.get(n, count) for n, count in enumerate(counts)]
        qdcount = self.qdcount if self.qdcount is not None else 1 if question else 0
        wire = struct.pack("!6H", (ask.id + self.id) & 0xFFFF, self.bits | self.opcode << 11 | self.rcode, qdcount, *counts) + question
        wire += b"".join(record.wire(apex) for section in self.sections for record in section) + self.tail
        return wire[:len(wire) - self.cut]


class Ask:
    """A query that came."""

    #: Are names to be written without pointers to the question?
    in_full = False

    def __init__(self, wire, tcp):
        self.octets, self.tcp = wire, tcp
        self.id, self.bits, _, _, _, self.arcount = struct.unpack_from("!6H", wire)
        end = 12
        while wire[end]:
            end += 1 + wire[end]
        self.qname, self.qtype = wire[12:end + 1], struct.unpack_from("!H", wire, end + 1)[0]
        self.question = wire[12:end + 5]
        self.name = b".".join(self._labels()).decode(errors="replace").lower()

    def _labels(self):
        pos = 0
        while self.qname[pos]:
            yield self.qname[pos + 1:pos + 1 + self.qname[pos]]
            pos += 1 + self.qname[pos]

    def mac(self):
        """MAC of the query's TSIG record, its last one; None: it is not signed."""
        rdata = self.octets.rfind(struct.pack("!HHI", TSIG, 255, 0))
        if rdata < 0 or not self.arcount:
            return None
        pos = rdata + 10
        while self.octets[pos]:
            pos += 1 + self.octets[pos]
        size = struct.unpack_from("!H", self.octets, pos + 9)[0]
        return self.octets[pos + 11:pos + 11 + size]


class Signer:
    """Signs the messages of one answer (RFC 8945), rightly or wrongly."""

    def __init__(self, ask, key):
        self.name, self.secret = wire_name(key.name), base64.b64decode(key.secret)
        self.algorithm, self.mac, self.pending, self.first, self.id = wire_name(key.algorithm), ask.mac(), b"", True, ask.id

    def sign(self, wire, how):
        """The message with its TSIG record; `how` is True, or a word for what is wrong with it."""
        if how == "slipped in":
            return wire
        if how is False:
            self.pending += wire
            return wire
        name = wire_name("other") if how == "name" else self.name
        algorithm = wire_name("hmac-sha512") if how == "algorithm" else self.algorithm
        now = int(time.time()) + {"past": -3600, "future": 3600}.get(how, 0)
        timers = struct.pack("!HIH", now >> 32, now & 0xFFFFFFFF, 300)
        error = {"badsig": 16, "badkey": 17, "badtime": 18}.get(how, 0)
        variables = name + struct.pack("!HI", 255, 0) + algorithm + timers + struct.pack("!HH", 0, 0)
        secret = b"x" * 32 if how == "secret" else self.secret
        data = struct.pack("!H", len(self.mac)) + self.mac + self.pending + wire + (variables if self.first else timers)
        mac = hmac.new(secret, data, hashlib.sha256).digest()
        if how == "replayed":
            mac = self.mac
        self.mac, self.pending, self.first = mac, b"", False
        shown = {"short": mac[:16], "octet": mac[:1], "long": mac + bytes(8), "flipped": bytes([mac[0] ^ 1]) + mac[1:]}.get(how, mac)
        shown = b"" if error else shown
        rdata = algorithm + timers + struct.pack("!H", len(shown)) + shown + struct.pack("!HHH", self.id, error, 0)
        if how == "rdata":
            rdata = rdata[:-7]
        record = name + struct.pack("!HHIH", TSIG, 1 if how == "class" else 255, 1 if how == "ttl" else 0, len(rdata)) + rdata
        count = 2 if how in ("twice", "first") else 1
        wire = wire[:10] + struct.pack("!H", struct.unpack_from("!H", wire, 10)[0] + count) + wire[12:]
        if how == "changed":
            wire = wire[:-1] + bytes([wire[-1] ^ 1])
        if how == "first":
            return wire + record + b"\0" + struct.pack("!HHIH", 1, 1, 0, 4) + bytes(4)
        return wire + record * count


# --- what a stream consists of, beside messages

class Octets:
    """Octets as they are, without a length before them."""

    def __init__(self, wire):
        self.wire = wire


class Framed:
    """A message in octets of its own."""

    def __init__(self, wire):
        self.wire = wire


class Part:
    """The first octets of a message with its length."""

    def __init__(self, message, size):
        self.message, self.size = message, size


class Drip:
    """A message, one octet after the other with a pause between them."""

    def __init__(self, message, pause):
        self.message, self.pause = message, pause


class Endless:
    """Messages without end: make(ask, n) gives the n-th as octets; each is sent so many times at once."""

    def __init__(self, make, times=1):
        self.make, self.times = make, times


class Lots:
    """So many lots of messages: make(ask, n) gives the n-th, with their lengths."""

    def __init__(self, make, count):
        self.make, self.count = make, count


CLOSE, RESET, HALF_CLOSE, STALLED = "close", "reset", "half-close", "stalled"


def tcp_frame(wire):
    return struct.pack("!H", len(wire)) + wire


class Hostile:
    """Listens at any number of addresses, one port, and answers as `answer(address, ask)` says.

    That returns a list: over UDP of messages or octets; over TCP of the kinds above, until the list ends or something that ends the connection
    stands there. At the end of the list the connection stays open until the other side closes it, as a server's does.
    `key_of(address)` is the key that its messages are signed with, or None.
    """

    def __init__(self, port, addresses, answer, key_of=lambda address: None):
        self.port, self.addresses, self.answer, self.key_of = port, list(addresses), answer, key_of
        self.asked = []
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.trouble = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.ready.wait()
        if self.trouble:
            raise self.trouble

    def _run(self):
        asyncio.set_event_loop(self.loop)
        try:
            for address_ in self.addresses:
                self.loop.run_until_complete(self._listen(address_))
        except OSError as error:
            self.trouble = error
        self.ready.set()
        if not self.trouble:
            self.loop.run_forever()

    async def _listen(self, address_):
        await asyncio.start_server(lambda reader, writer: self._serve(address_, reader, writer), address_, self.port, backlog=1024)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        udp.setblocking(False)
        udp.bind((address_, self.port))
        self.loop.add_reader(udp, self._datagram, address_, udp)

    def _note(self, address_, ask):
        self.asked.append((time.monotonic(), address_, ask.name, ask.qtype, ask.tcp))

    def _wire(self, message, ask, signer):
        if isinstance(message, Framed):
            return message.wire
        if isinstance(message, bytes):
            return message
        wire = message.wire(ask)
        return signer.sign(wire, message.sign) if signer else wire

    def _signer(self, address_, ask):
        key = self.key_of(address_)
        return Signer(ask, key) if key and ask.mac() is not None else None

    def _datagram(self, address_, udp):
        wire, peer = udp.recvfrom(4096)
        ask = Ask(wire, False)
        self._note(address_, ask)
        signer = self._signer(address_, ask)
        for message in self.answer(address_, ask):
            udp.sendto(self._wire(message, ask, signer), peer)

    async def _serve(self, address_, reader, writer):
        try:
            while True:
                size = struct.unpack("!H", await reader.readexactly(2))[0]
                ask = Ask(await reader.readexactly(size), True)
                self._note(address_, ask)
                if not await self._script(address_, ask, reader, writer):
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async def _script(self, address_, ask, reader, writer):
        """Sends what the answer says; returns whether the connection goes on."""
        signer = self._signer(address_, ask)
        for step in self.answer(address_, ask):
            if step in (CLOSE, RESET):
                await self._end(writer, step)
                return False
            if step == HALF_CLOSE:
                writer.write_eof()
            elif step == STALLED:
                await asyncio.wait_for(reader.read(), STALL)
                return False
            elif isinstance(step, Octets):
                writer.write(step.wire)
            elif isinstance(step, Part):
                writer.write(tcp_frame(self._wire(step.message, ask, signer))[:step.size])
            elif isinstance(step, Drip):
                for octet in tcp_frame(self._wire(step.message, ask, signer)):
                    writer.write(bytes([octet]))
                    await asyncio.sleep(step.pause)
            elif isinstance(step, Endless):
                await self._endless(step, ask, writer)
            elif isinstance(step, Lots):
                for number in range(step.count):
                    writer.write(step.make(ask, number))
                    await writer.drain()
            else:
                writer.write(tcp_frame(self._wire(step, ask, signer)))
            await writer.drain()
        return True

    async def _endless(self, step, ask, writer):
        number = 0
        while not writer.is_closing():
            writer.write(tcp_frame(step.make(ask, number)) * step.times)
            await writer.drain()
            await asyncio.sleep(0)
            number += 1

    @staticmethod
    async def _end(writer, how):
        if how == RESET:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()
            await writer.wait_closed()

    def count(self, name, *, address=None, qtype=None, since=0.0):
        """How often it was asked for a zone."""
        return sum(1 for at, where, what, kind, _ in list(self.asked)
                   if what == name and at >= since and address in (None, where) and qtype in (None, kind))

    async def _cancel(self):
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self.loop.stop()

    def stop(self):
        asyncio.run_coroutine_threadsafe(self._cancel(), self.loop)
        self.thread.join()
        self.loop.close()
