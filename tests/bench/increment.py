# SPDX-License-Identifier: GPL-3.0-or-later
"""`./build.sh bench increment`: increments into a zone of a million records, from the end of the transfer until the new version answers."""

import struct

import dns.name
import dns.rdatatype

import generators
import harness
from harness import OURS, median, say, spread
#: Changes in one increment: seconds at most.
COUNTS = {1: 0.001, 1000: 0.005, 100_000: 0.2}
MESSAGE_MAX = 16000


class Changes:
    """Makes the next version of the zone: so many names get a text, those of the version before lose theirs."""

    def __init__(self, primary, zone):
        self.primary, self.zone, self.serial, self.texts = primary, zone, primary.soa[0].serial, []
        names = zone.names - 1
        self.owners = [self._wire(zone.owner(n)) for n in range(names) if n % 10]

    @staticmethod
    def _wire(owner):
        return b"".join(bytes([len(label)]) + label.encode() for label in owner.split(".")) + b"\xc0\x0c"

    @staticmethod
    def _record(owner, rdtype, rdata):
        return owner + struct.pack("!HHIH", rdtype, 1, 3600, len(rdata)) + rdata

    def _soa(self, serial):
        rdata = self.primary.soa[0].to_wire()
        return self._record(b"\xc0\x0c", dns.rdatatype.SOA, rdata[:-20] + struct.pack("!I", serial) + rdata[-16:])

    def next(self, count):
        step = len(self.owners) // count
        removed, self.texts = self.texts, [self._record(owner, dns.rdatatype.TXT, b"\x08%08d" % self.serial) for owner in self.owners[::step][:count]]
        old, new = self._soa(self.serial), self._soa(self.serial + 1)
        self.serial += 1
        self.primary.increment = list(self._messages([new, old, *removed, new, *self.texts, new]))
        self.primary.set_soa(self.serial)

    def _messages(self, records):
        question = dns.name.from_text(self.zone.origin).to_wire() + struct.pack("!HH", dns.rdatatype.IXFR, 1)
        taken, size = [], 0
        for record in [*records, None]:
            if record is None or size + len(record) > MESSAGE_MAX:
                yield struct.pack("!HHHHH", 0x8400, 1, len(taken), 0, 0) + question + b"".join(taken)
                taken, size = [], 0
            if record is not None:
                taken.append(record)
                size += len(record)


def ask_for_increments(server):
    """The mirrors of the other tests ask for whole zones; and NSD gathers changes for a second."""
    config = server.config
    server.config = lambda: config().replace("request-xfr: AXFR ", "request-xfr: ") + "server:\n    xfrd-reload-timeout: 0\n"


def until_live(server, zone, primary):
    """Seconds from the last octets of the transfer that NOTIFY brings about until the server answers with the new serial."""
    primary.sent.clear()
    harness.notify_again(server, zone, primary.soa[0].serial)
    live = harness.await_live(server, zone, primary.soa[0])
    # The primary's thread may come to note that it has sent them only after the server has answered.
    assert primary.sent.wait(60)
    return live - primary.sent_at


def measure(servers, arguments, zone, kinds, counts):
    """Prints a table for each number of changes; returns the module's medians in seconds."""
    primary = harness.replay(servers, zone)
    peers = harness.peers_of(servers, [zone.origin], primary, kinds)
    for name, server in peers.items():
        if name == "NSD":
            ask_for_increments(server)
        server.write_config()
        server.launch()
        harness.first_answer(server, f"{zone.last()}.{zone.origin}")
    changes, found = Changes(primary, zone), {}
    say(f"### increment: into {primary.records:,} records, from the last octet of the transfer until the new version answers\n")
    for wanted in counts:
        count = min(wanted, len(changes.owners) // 2)
        results, order = harness.Results(peers), list(peers)
        for _ in range(arguments.rounds):
            changes.next(count)
            for name in order:
                results.rounds[name].append(until_live(peers[name], zone.origin, primary))
            order.reverse()
        say(f"{count:,} changes:\n")
        harness.table(("server", "ms", "least – most", "ratio to knotd"),
                      [(name, f"{median(results.column(name)) * 1e3:.2f}", spread([value * 1e3 for value in results.column(name)]), results.to_native(name))
                       for name in peers])
        found[wanted] = results.median(OURS)
    for server in peers.values():
        server.stop()
    primary.close()
    return found


def bench_increment(servers, arguments):
    """IXFR of 1, 1,000 and 100,000 changes, and that of one into ten times the zone, which the others take as slowly as they load it."""
    found = measure(servers, arguments, generators.hosting(arguments.small, arguments.scale), arguments.peers, COUNTS)
    if arguments.scale > 1:
        return
    for wanted, bound in COUNTS.items():
        arguments.targets.tell(f"increment {wanted}", f"{found[wanted] * 1e3:.2f} ms", found[wanted] <= bound)
    large = measure(servers, arguments, generators.hosting(arguments.small, 10), [OURS], [1])
    arguments.targets.tell("increment large", f"{large[1] * 1e3:.2f} ms", large[1] <= COUNTS[1])
