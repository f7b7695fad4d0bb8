# SPDX-License-Identifier: GPL-3.0-or-later
"""Very many small zones: their names, a primary that has them all from one file, and one who watches what each is answered with."""

import select
import socket
import struct

import dns.message
import dns.rcode

from servers import PATIENCE, SLOWNESS, Knotd, await_event

#: Ten records, relative to whatever zone has them.
TEXT = ("$TTL 3600\n@ SOA ns1 hostmaster {serial} 3600 600 604800 300\n@ NS ns1\n@ NS ns2\nns1 A 192.0.2.1\nns2 A 192.0.2.2\n"
        "@ MX 10 mail\nmail A 192.0.2.3\nwww A 192.0.2.4\nwww AAAA 2001:db8::4\n@ TXT \"v=spf1 mx -all\"\n")


def many_names(count):
    """Names of zones as a registrar's customers have them: under some hundred different parents, in no order."""
    return [f"z{n * 2654435761 & 0xffffffff:08x}.tld{n % 313}" for n in range(count)]


class ManyZones(Knotd):
    """A primary of zones with the same contents, all in one file; `serial` is that of all."""

    def __init__(self, path, names, **how):
        super().__init__(path, **how)
        self.names, self.serial = list(names), 1
        self.file = self.storage / "all.zone"

    def await_ready(self):
        """knotd has loaded all zones by the time it says that it serves; only the end of its long log is looked at."""
        def look():
            self.assert_alive()
            return self.ready in self.log_text(max(self.started_at, self.log_position() - 4096))
        await_event(look, f"the start of {self.path.name}", timeout=PATIENCE + len(self.names) / 1000)
        return super().await_ready()

    def prepare(self):
        self.file.write_text(TEXT.format(serial=self.serial))

    def template_items(self):
        return f"    file: {self.file}\n    zonefile-load: whole\n    journal-content: none\n"

    def _zones(self):
        notify = f"    notify: [{', '.join(f'peer{n}' for n in range(len(self.notify)))}]\n" if self.notify else ""
        return "zone:\n" + "".join(f"  - domain: {name}.\n{notify}" for name in self.names)


class Watcher:
    """Asks a server for the SOA of each zone over UDP, in passes, and knows what each answered last.

    A window of questions is under way at a time, so that neither end's socket runs over.
    """

    WINDOW = 64
    #: Seconds after which an answer counts as lost; it is asked for again in the next pass.
    LOST = 2 * SLOWNESS

    def __init__(self, server, names):
        self.server, self.names = server, list(names)
        self.wires = [dns.message.make_query(f"{name}.", "SOA", flags=0).to_wire()[2:] for name in self.names]
        #: Response code of each zone's last answer, or None; serial is added to those that have an answer.
        self.codes, self.serials = [None] * len(self.names), [None] * len(self.names)
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect((server.address, server.port))
        self.lost = 0

    def ask(self, chosen):
        """Asks for these zones (by number); yields number, response code and serial of each answer."""
        for number, response in self.exchange((number, self.wires[number]) for number in chosen):
            yield number, response[3] & 15, self._serial(response)

    def exchange(self, messages):
        """Sends messages (zone's number, wire without id), a window at a time; yields number and response. A lost one is counted, and left."""
        messages = list(messages)
        for first in range(0, len(messages), self.WINDOW):
            waiting = dict(enumerate(messages[first:first + self.WINDOW]))
            for place, (_, wire) in waiting.items():
                self.socket.send(struct.pack("!H", place) + wire)
            while waiting and select.select([self.socket], [], [], self.LOST)[0]:
                response = self.socket.recv(4096)
                number, wire = waiting.get(struct.unpack("!H", response[:2])[0], (None, b""))
                # What is late from another window has another question.
                if number is not None and response[12:].startswith(wire[10:wire.index(b"\0", 10) + 5]):
                    del waiting[struct.unpack("!H", response[:2])[0]]
                    yield number, response
            self.lost += len(waiting)

    @staticmethod
    def _serial(response):
        """The serial of the SOA that is the one record of the answer: its last five words."""
        if response[6:8] != b"\0\1":
            return None
        place = response.index(b"\0\6\0\1", 12) + 4
        place = response.index(b"\0\6\0\1", place) + 8
        length, = struct.unpack("!H", response[place:place + 2])
        return struct.unpack("!I", response[place + 2 + length - 20:place + 2 + length - 16])[0]

    def watch(self, chosen=None):
        """One pass over the zones; returns (number, code before, code now, serial) of those whose answer has changed."""
        changed = []
        for number, code, serial in self.ask(range(len(self.names)) if chosen is None else chosen):
            if (code, serial) != (self.codes[number], self.serials[number]):
                changed.append((number, self.codes[number], code, serial))
                self.codes[number], self.serials[number] = code, serial
        self.server.assert_alive()
        return changed

    def close(self):
        self.socket.close()
