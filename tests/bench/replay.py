# SPDX-License-Identifier: GPL-3.0-or-later
"""A primary that is never the limit: it captures one transfer of a real primary, and replays its octets to whoever asks.

It answers SOA over UDP and TCP and AXFR over TCP for one zone, and IXFR with what it is given; and does nothing else: no EDNS, no
TSIG, no access control.
"""

import socket
import struct
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


def receive(connection, count):
    """Exactly so many octets, or fewer where the peer closed."""
    octets = b""
    while len(octets) < count:
        more = connection.recv(count - len(octets))
        if not more:
            break
        octets += more
    return octets


class Replay:
    """Listens from capture() until close()."""

    def __init__(self, address, port):
        self.address, self.port, self.key = address, port, None
        #: The messages with their lengths, and where each begins; how many records they have, the last SOA left out.
        self.stream, self.places, self.records, self.soa = bytearray(), [], -1, None
        #: Messages that answer IXFR, without their ids; none: it is refused.
        self.increment = []
        #: When the last message of the last transfer began to be sent; and that it was.
        self.sent_at, self.sent = 0, threading.Event()
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.udp.bind((address, port))
        self.tcp = socket.create_server((address, port), backlog=64)

    def capture(self, primary, zone):
        """Takes the zone's transfer from a primary: all that comes in answer to the one question."""
        query = dns.message.make_query(zone, "AXFR")
        query.flags = 0
        wire = query.to_wire()
        with socket.create_connection((primary.address, primary.port)) as connection:
            connection.sendall(struct.pack("!H", len(wire)) + wire)
            connection.shutdown(socket.SHUT_WR)
            while octets := connection.recv(1 << 20):
                self.stream += octets
        place = 0
        while place < len(self.stream):
            length, = struct.unpack_from("!H", self.stream, place)
            self.places.append(place + 2)
            self.records += struct.unpack_from("!H", self.stream, place + 2 + 6)[0]
            place += 2 + length
        self.soa = self._first_record()
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def _first_record(self):
        length, = struct.unpack_from("!H", self.stream)
        first = dns.message.from_wire(bytes(self.stream[2:2 + length]), one_rr_per_rrset=True)
        return next(rrset for rrset in first.answer if rrset.rdtype == dns.rdatatype.SOA)

    def _respond(self, query):
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        if query.question[0].rdtype == dns.rdatatype.SOA and query.question[0].name == self.soa.name:
            response.answer.append(self.soa)
        else:
            response.set_rcode(dns.rcode.REFUSED)
        return response.to_wire()

    def _serve_udp(self):
        while True:
            try:
                wire, peer = self.udp.recvfrom(65535)
            except OSError:
                return
            self.udp.sendto(self._respond(dns.message.from_wire(wire)), peer)

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection):
        with connection:
            try:
                while head := receive(connection, 2):
                    query = dns.message.from_wire(receive(connection, struct.unpack("!H", head)[0]))
                    if query.question[0].rdtype == dns.rdatatype.AXFR:
                        self._send(connection, self._stream_for(query.id), self.places[-1] - 2)
                    elif query.question[0].rdtype == dns.rdatatype.IXFR and self.increment:
                        messages = self._increment_for(query.id)
                        self._send(connection, b"".join(messages), sum(map(len, messages[:-1])))
                    else:
                        wire = self._respond(query)
                        connection.sendall(struct.pack("!H", len(wire)) + wire)
            except OSError:
                pass

    def set_serial(self, serial):
        """From now on the zone has this serial, with the same records."""
        tail = self.soa[0].to_wire()[-20:]
        for place in (self.stream.find(tail), self.stream.rfind(tail)):
            self.stream[place:place + 4] = struct.pack("!I", serial)
        self.set_soa(serial)

    def set_soa(self, serial):
        """It says so when it is asked; what it transfers is as before."""
        self.soa = dns.rrset.from_rdata(self.soa.name, self.soa.ttl, self.soa[0].replace(serial=serial))

    def _stream_for(self, message_id):
        """The captured octets under the asker's id. One transfer at a time is measured, so one copy does."""
        octets = struct.pack("!H", message_id)
        for place in self.places:
            self.stream[place:place + 2] = octets
        return self.stream

    def _increment_for(self, message_id):
        return [struct.pack("!HH", 2 + len(rest), message_id) + rest for rest in self.increment]

    def _send(self, connection, stream, last):
        """All of a transfer, whose last message begins at `last`."""
        connection.sendall(memoryview(stream)[:last])
        self.sent_at = time.monotonic()
        connection.sendall(memoryview(stream)[last:])
        self.sent.set()

    def close(self):
        self.udp.close()
        self.tcp.close()
