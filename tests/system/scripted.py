# SPDX-License-Identifier: GPL-3.0-or-later
"""A resolver that does what a test tells it to, over UDP and TCP: lies, is silent, truncates."""

import socket
import struct
import threading
import time

import dns.exception
import dns.flags
import dns.message
import dns.rrset

from servers import free_port


class Scripted:
    """Answers each query with what `script(query, tcp)` returns: a message, octets, None for silence; over TCP "close" for RST,
    "drip" for an answer of which an octet comes now and then and that has no end."""

    def __init__(self, script, address="127.0.0.1"):
        self.script, self.address = script, address
        self.asked, self.over_tcp = [], 0
        # Another one's resolver, which asks from random ports, may be faster.
        for attempt in range(5):
            try:
                self._bind(free_port())
                break
            except OSError:
                if attempt == 4:
                    raise
        self.stopped = False
        for loop in (self._udp_loop, self._tcp_loop):
            threading.Thread(target=loop, daemon=True).start()

    def _bind(self, port):
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self.port = port
        self.udp = socket.socket(family, socket.SOCK_DGRAM)
        self.udp.bind((self.address, port))
        self.tcp = socket.socket(family)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((self.address, port))
        self.tcp.listen(64)

    def _reply(self, wire, tcp):
        query = dns.message.from_wire(wire)
        self.asked.append((query.question[0].name.to_text().lower(), query.question[0].rdtype))
        self.over_tcp += tcp
        reply = self.script(query, tcp)
        return reply.to_wire(max_size=65535) if isinstance(reply, dns.message.Message) else reply

    def _udp_loop(self):
        while not self.stopped:
            try:
                wire, peer = self.udp.recvfrom(4096)
                reply = self._reply(wire, False)
                if isinstance(reply, bytes):
                    self.udp.sendto(reply, peer)
            except (OSError, dns.exception.DNSException):
                pass

    def _tcp_loop(self):
        while not self.stopped:
            try:
                threading.Thread(target=self._tcp_serve, args=(self.tcp.accept()[0],), daemon=True).start()
            except (OSError, dns.exception.DNSException):
                pass

    def _tcp_serve(self, client):
        with client:
            try:
                while not self.stopped and self._tcp_answer(client):
                    pass
            except (OSError, struct.error):
                pass

    def _tcp_answer(self, client):
        """One query of the stream; false: the last one."""
        size = struct.unpack("!H", client.recv(2, socket.MSG_WAITALL))[0]
        reply = self._reply(client.recv(size, socket.MSG_WAITALL), True)
        if reply == "close":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if reply == "drip":
            client.sendall(b"\xff\xff")
            while not self.stopped:
                client.sendall(b"\0")
                time.sleep(0.2)
            return False
        if reply is None:
            time.sleep(10)
            return False
        client.sendall(struct.pack("!H", len(reply)) + reply)
        return True

    def stop(self):
        self.stopped = True
        for sock in (self.udp, self.tcp):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except (OSError, dns.exception.DNSException):
                pass
            sock.close()


def answer(query, *records, rcode=0, authority=(), additional=(), flags=0):
    """A response with these records, each "name ttl type rdata…"."""
    response = dns.message.make_response(query, recursion_available=True)
    response.flags |= flags
    response.set_rcode(rcode)
    for section, lines in ((response.answer, records), (response.authority, authority), (response.additional, additional)):
        for line in lines:
            name, ttl, rdtype, rdata = line.split(None, 3)
            rrset = dns.rrset.from_text(name, int(ttl), "IN", rdtype, rdata)
            known = response.find_rrset(section, rrset.name, rrset.rdclass, rrset.rdtype, create=True)
            known.update(rrset)
            known.ttl = rrset.ttl
    return response
