# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of the torture: knotd with the module, its primaries, resolvers, and a secondary of it.

    P1 knotd (TSIG)  a.example and the zones that come and go      stanzas `first` and `many` (global scope)
    P2 NSD           b.example, whole transfers only               stanza `second`
    P3 named         c.example                                     stanza `third`
    U  Unbound       knows the targets of aliases; a liar beside it
    D  knotd         secondary of the module for a, b, c
"""

import os
import re
import signal
import socket
import threading
from pathlib import Path

import dns.rcode

from scripted import Scripted, answer
from servers import PATIENCE, Key, absolute, await_serial, replace_file, serial_of, zone_text
from updates import KNOTD_INCREMENTS, NAMED_INCREMENTS, Changing

A, B, C = ALWAYS = ["a.example", "b.example", "c.example"]
#: Zones that come and go: in zone scope, and by the list of the global stanza.
POOL = [f"pool{n}.example" for n in range(6)]
#: One of them moves between the scopes; for a moment it is in neither: knotd puts both plans in place one after the other.
MOVING = POOL[0]
LISTED = [f"listed{n}.example" for n in range(6)]
TARGETS = 40
#: Checks come by themselves, too; nothing expires while a primary is away.
TIMERS = {"refresh": 5, "retry": 1, "expire": 86400}


class Restless(Changing):
    """Stays small, and has aliases that lead out of our zones."""

    def some_record(self):
        if self.rng.random() < 0.15:
            return f"e{self.rng.randrange(self.names)}", "CNAME", f"t{self.rng.randrange(TARGETS)}.target.net."
        return super().some_record()

    def try_some_record(self):
        return super().try_some_record() if len(self.records) < 3 * self.names else None


class Primary:
    """A server whose zone changes. The lock is held while it changes, and while the server is away: so the model knows what came of each change."""

    def __init__(self, server, changing):
        self.server, self.changing, self.lock = server, changing, threading.Lock()

    def step(self):
        if self.server.updates:
            self.changing.step(self.server)
            return
        changing = self.changing
        changing.choose(changing.rng.choice([1, 3, 30]))
        changing.set_mark(changing.mark + 1)
        changing.serial += 1
        replace_file(self.server.zone_file(changing.zone), changing.text())
        self.server.signal(signal.SIGHUP)
        await_serial(self.server, changing.zone, changing.serial)


def liar(query, tcp):
    """A resolver of little use."""
    number = query.id % 5
    if number == 0:
        return None
    if number == 1:
        return b"\0" * 11
    if number == 2 and tcp:
        return "close"
    return answer(query, rcode=dns.rcode.SERVFAIL if number == 3 else dns.rcode.REFUSED)


class Company:
    def __init__(self, servers, rng):
        self.servers, self.rng = servers, rng
        self.key = Key()
        self.store, self.many, self.moved, self.upstream = True, True, False, True
        self.pool, self.listed = list(POOL), list(LISTED)
        #: Held while the configuration changes.
        self.lock = threading.Lock()
        self.make_primaries()
        self.unbound = servers.unbound({"target.net": "\n".join(
            f"t{n}.target.net. 5 IN A 192.0.2.{n}\nt{n}.target.net. 5 IN AAAA 2001:db8::{n:x}" for n in range(TARGETS))}, name="unbound")
        self.unbound_lock = threading.Lock()
        self.liar = Scripted(liar)
        self.module = servers.secondary([], [primary.server for primary in self.primaries], name="module",
                                        server_conf="    tcp-idle-timeout: 2\n    tcp-max-clients: 100\n    edns-client-subnet: on\n    nsid: torture\n",
                                        acl={"everyone": {"action": "transfer"}})
        self.below = servers.knotd(mirrored=ALWAYS, primaries=[self.module], name="below")
        self.module.notify.append(self.below)
        for primary in self.primaries:
            primary.server.notify.append(self.module)

    def make_primaries(self):
        self.changing = [Restless(zone, self.rng, names=60, **TIMERS) for zone in ALWAYS]
        others = {zone: zone_text(zone, "www A 192.0.2.3\n* MX 10 www\nx CNAME t1.target.net.\n", **TIMERS) for zone in POOL + LISTED}
        texts = [{changing.zone: changing.text()} for changing in self.changing]
        self.primaries = [
            Primary(self.servers.knotd({**texts[0], **others}, updates=True, key=self.key, zone_conf=KNOTD_INCREMENTS, name="knotd"), self.changing[0]),
            Primary(self.servers.nsd(texts[1], name="nsd"), self.changing[1]),
            Primary(self.servers.named(texts[2], updates=True, zone_conf=NAMED_INCREMENTS, name="named"), self.changing[2]),
        ]

    # --- configuration

    @property
    def list_path(self):
        return self.module.path / "zones.list"

    def stanza(self, name, primaries, items):
        store = {"store": self.module.path / "store"} if self.store else {}
        usual = {"transfer-from": f"[{', '.join(primaries)}]", "transfer-to": "everyone", "notify": "peer0", "transfer-idle-timeout": 2,
                 "refresh-jitter": 100, "retry-jitter": 100, "upstream-stale": 10, "upstream-cache-size": "1M", "zonemd-verify": "if-present"}
        if self.upstream:
            usual["upstream"] = f"[{self.unbound.address}@{self.unbound.port}, {self.liar.address}@{self.liar.port}]"
        return f"  - id: {name}\n" + "".join(f"    {item}: {value}\n" for item, value in {**usual, **store, **items}.items())

    def configure(self):
        """The configuration that the attributes describe."""
        module = self.module
        moved = [MOVING] if self.moved and self.many else []
        module.module_conf = "mod-secondary:\n" + "".join(self.stanza(name, [f"primary{n}"], {}) for n, name in enumerate(("first", "second", "third")))
        if self.many:
            module.module_conf += self.stanza("many", ["primary0", "primary2"], {"zones-file": self.list_path, "difference-max-size": "64K"})
        module.template_conf = "    global-module: [mod-secondary/many]\n" if self.many else ""
        homes = [(A, "first"), (B, "second"), (C, "third"), *((zone, "first") for zone in self.pool if zone not in moved)]
        module.extra = "zone:\n" + "".join(f"  - domain: {absolute(zone)}\n    module: mod-secondary/{stanza}\n" for zone, stanza in homes)
        replace_file(self.list_path, "".join(f"{zone}\n" for zone in self.listed + moved) or "# none\n")

    def settle_configuration(self):
        """Everything is there."""
        with self.lock:
            self.store, self.many, self.moved, self.upstream = True, True, False, True
            self.pool, self.listed = list(POOL), list(LISTED)
            self.reload()

    def reload(self):
        self.configure()
        self.module.reload()

    # --- life

    def start(self):
        for primary in self.primaries:
            primary.server.start()
        self.unbound.start()
        self.configure()
        self.module.start()
        for zone in ALWAYS + POOL + LISTED:
            self.module.await_serial(zone)
        self.below.start()
        for zone in ALWAYS:
            await_serial(self.below, zone)

    def refresh(self):
        """Nobody waits for a timer: the module and the one below check now."""
        self.module.knotc_module("zone-refresh")
        self.below.knotc("zone-refresh")

    def is_current(self):
        """Has everyone what the primaries have?"""
        current = all(serial_of(server, primary.changing.zone) == primary.changing.serial
                      for primary in self.primaries for server in (primary.server, self.module, self.below))
        return current and all(serial_of(self.module, zone) == serial_of(self.primaries[0].server, zone) is not None for zone in POOL + LISTED)

    # --- what the module's process has in use

    def heap(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2 * PATIENCE)
            client.connect(str(self.module.path / "heap.sock"))
            return int(client.makefile().readline())

    def versions(self):
        """Octets of the versions that serve: they differ from time to time."""
        return sum(map(int, re.findall(r" memory: (\d+)", self.module.knotc_module("zone-status"))))

    def resident(self):
        """Octets of the process in memory, without what is mapped from files."""
        status = (self.process() / "status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) * 1024

    def process(self):
        return Path(f"/proc/{self.module.process.pid}")

    def opened(self):
        """What its descriptors lead to."""
        found = []
        for link in (self.process() / "fd").iterdir():
            try:
                found.append(os.readlink(link))
            except OSError:
                pass
        return sorted(found)

    def count(self, what):
        return len(os.listdir(self.process() / what))
