# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones that change at random, at primaries of any make; and clients that see to it that nobody serves half of a change.

A Changing knows what its zone contains. Each step() is one new version at the primary: by UPDATE (knotd, BIND), or by a new zone
file (NSD). Each version has a mark: an alias that leads to a record which only that version has.
"""

import os
import random
import subprocess
import threading

import dns.exception
import dns.rcode
import dns.rdatatype
import dns.query
import dns.update

from servers import CLIENT_PATIENCE, PATIENCE, SLOWNESS, absolute, await_event, message, serial_of, soa, tool

FULL = os.environ.get("TEST_FULL") == "1"

#: NSD passes on increments of one sequence; of several 4.6 leaves parts out, and those that it makes of zone files (create-ixfr)
#: add what is there already.
NSD_INCREMENTS = {"zone_conf": "    store-ixfr: yes\n    ixfr-number: 100\n    ixfr-size: 0\n", "conf": "server:\n    xfrd-reload-timeout: 0\n"}
#: So many changes are kept apart, and larger ones than the zone are sent.
KNOTD_INCREMENTS = "    journal-max-depth: 1000\n"
NAMED_INCREMENTS = "max-ixfr-ratio unlimited; max-records-per-type 0; max-types-per-name 0;"


def seeded():
    """A generator of random numbers whose seed is printed, and taken from SEED."""
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"SEED={seed}")
    return random.Random(seed)


def transferred(server, zone, *words):
    """All records that a transfer gives, as sorted lines, and what else was said."""
    if server.key:
        words = ("-y", f"{server.key.algorithm}:{server.key.name}:{server.key.secret}", *words)
    done = subprocess.run([tool("kdig"), f"@{server.address}", "-p", str(server.port), absolute(zone), "AXFR", "+noall", "+answer", CLIENT_PATIENCE, *words],
                          capture_output=True, text=True, timeout=60 * SLOWNESS)
    lines = sorted(" ".join(line.split()) for line in done.stdout.splitlines() if line and not line.startswith(";"))
    return lines, done.stdout + done.stderr


def records_of(server, zone, *words):
    lines, said = transferred(server, zone, *words)
    assert lines, f"{server.path.name}: {said}{server.tail()}"
    return lines


def assert_same_zone(one, other, zone):
    """Record for record."""
    left, right = records_of(one, zone), transferred(other, zone)[0]
    if left != right and other.kind == "nsd":
        # That was a process of before its last reload (see Order).
        await_event(lambda: left == transferred(other, zone)[0], f"{other.path.name}: the zone of {one.path.name}")
    elif left != right:
        missing, extra = sorted(set(left) - set(right)), sorted(set(right) - set(left))
        raise AssertionError(f"{other.path.name} lacks {missing[:10]} and has {extra[:10]} beside {one.path.name}\n{other.tail()}")


class Changing:
    """A zone at a primary. `names` bounds its size."""

    def __init__(self, zone, rng, names=150, **timers):
        self.zone, self.rng, self.names, self.timers = zone, rng, names, timers
        self.records, self.mark, self.serial = {}, 0, 1
        for _ in range(names):
            self.try_some_record()
        self.set_mark(1)

    def put(self, owner, rdtype, rdata):
        self.records.setdefault((owner, rdtype), set()).add(rdata)

    def take(self, owner, rdtype, rdata):
        some = self.records.get((owner, rdtype), set())
        some.discard(rdata)
        if not some:
            self.records.pop((owner, rdtype), None)

    def set_mark(self, number):
        """The alias `mark` leads to what only the version `number` has."""
        for owner in [key for key in self.records if key[0] == "mark" or key[0].endswith(".marks")]:
            del self.records[owner]
        self.mark = number
        self.put("mark", "CNAME", f"m{number}.marks")
        self.put(f"m{number}.marks", "TXT", f'"{number}"')

    def some_record(self):
        """Addresses, lists, wildcards, delegations with glue, aliases, names with odd octets: in different places, so that none is in the way of another."""
        n, rng = self.rng.randrange(self.names), self.rng
        host, number = f"host{n}", rng.randrange(250)
        return rng.choice([
            (host, "A", f"192.0.2.{number}"), (host, "AAAA", f"2001:db8::{number:x}"), (host, "TXT", f'"{"x" * rng.choice([1, 200])}" "{number}"'),
            (host, "MX", f"{number} mail{number % 7}"), (f"_sip._tcp.{host}", "SRV", f"{number} 0 5060 {host}"),
            (f"deep.er.{host}", "A", f"192.0.2.{number}"), (f"*.{host}", "TXT", f'"{number}"'), (f"alias{n}", "CNAME", f"host{number}"),
            (f"sub{n}", "NS", f"ns{number % 4}.sub{n}"), (f"ns{number % 4}.sub{n}", "A", f"192.0.2.{number}"),
            (f"sub{n}", "DS", f"{number} 13 2 {number:064x}"), (f"d{n}", "DNAME", f"other{number}"),
            (f"o\\000\\255\\.{n}", "TYPE65280", f"\\# 2 00{number:02x}"), (f"c{n}", "CAA", f'0 issue "ca{number}"'),
            ("@", "TXT", f'"{number}"'), ("@", "MX", f"{number} mail"),
        ])

    def try_some_record(self):
        """Adds a record and returns it; None if it cannot be."""
        owner, rdtype, rdata = self.some_record()
        present = self.records.get((owner, rdtype), set())
        if rdata in present or (rdtype in ("CNAME", "DNAME") and present):
            return None
        self.put(owner, rdtype, rdata)
        return owner, rdtype, rdata

    def choose(self, count):
        """What to remove and what to add, in all so many records; the model is changed."""
        removed, added = [], []
        self.set_mark(self.mark)
        for _ in range(count):
            if len(self.records) > 2 and self.rng.random() < 0.45:
                owner, rdtype = self.rng.choice(list(self.records)[:-2])  # the last two are the mark
                rdata = self.rng.choice(sorted(self.records[owner, rdtype]))
                if (owner, rdtype, rdata) not in added:
                    self.take(owner, rdtype, rdata)
                    removed.append((owner, rdtype, rdata))
                continue
            record = self.try_some_record()
            if record:
                added.append(record)
        return removed, added

    def text(self):
        lines = [f"$ORIGIN {absolute(self.zone)}\n$TTL 3600\n", soa(self.zone, self.serial, **self.timers), "@ NS ns1\nns1 A 192.0.2.1\n"]
        lines += [f"{owner} {rdtype} {rdata}\n" for (owner, rdtype), some in self.records.items() for rdata in some]
        return "".join(lines)

    def step(self, server, count=None):
        """One new version; returns its serial."""
        old = self.mark
        removed, added = self.choose(self.rng.choice([1, 1, 2, 3, 8, 30]) if count is None else count)
        self.set_mark(old + 1)
        self.serial += 1
        if server.updates:
            removed += [("mark", "CNAME", f"m{old}.marks"), (f"m{old}.marks", "TXT", f'"{old}"')]
            added += [("mark", "CNAME", f"m{old + 1}.marks"), (f"m{old + 1}.marks", "TXT", f'"{old + 1}"')]
            update(server, self.zone, removed, added)
        else:
            server.set_zone(self.zone, self.text())
        return self.serial


def update(server, zone, removed=(), added=()):
    """One UPDATE (RFC 2136), over TCP."""
    change = dns.update.UpdateMessage(absolute(zone))
    for owner, rdtype, rdata in removed:
        change.delete(owner, rdtype, rdata)
    for owner, rdtype, rdata in added:
        change.add(owner, 3600, rdtype, rdata)
    response = dns.query.tcp(change, server.address, port=server.port, timeout=2 * PATIENCE)
    assert response.rcode() == dns.rcode.NOERROR, f"{response}\n{server.tail()}"


class Order:
    """The versions that one server answered with, in that order: none is older than the one before.

    `forking` is for NSD alone: it reloads by fork, and for a moment the processes of the old generation go on to answer beside those of
    the new one, so that of two questions the later one may get the older answer. That is the generation before the newest and no older
    one, for NSD does not begin another reload before those processes are told to end; and it ends: see settled().
    """

    def __init__(self, forking=False):
        self.forking, self.preceding, self.newest, self.last = forking, 0, 0, 0

    def take(self, version):
        """Is it in order?"""
        self.last = version
        if version > self.newest:
            self.preceding, self.newest = self.newest, version
        return version == self.newest or (self.forking and version >= self.preceding)

    def settled(self):
        """Is the last answer the newest?"""
        return self.last == self.newest


class Watcher:
    """Asks a server again and again, until stop(): no answer has half of a version, none is older than the one before (Order)."""

    def __init__(self, server, zone):
        self.server, self.zone = server, zone
        self.trouble, self.answers, self.versions = [], 0, set()
        self.order = Order(forking=server.kind == "nsd")
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _ask(self, name, rdtype):
        try:
            response = dns.query.udp(message(name, rdtype), self.server.address, port=self.server.port, timeout=1)
        except (OSError, dns.exception.DNSException):
            return None
        return response if response.rcode() == dns.rcode.NOERROR else None

    def _mark(self):
        """The mark in one answer, or None where there was none."""
        response = self._ask(f"mark.{self.zone}", "TXT")
        if response is None:
            return None
        aliases = [rrset[0].target.labels[0].decode() for rrset in response.answer if rrset.rdtype == dns.rdatatype.CNAME]
        texts = [rrset[0].strings[0].decode() for rrset in response.answer if rrset.rdtype == dns.rdatatype.TXT]
        if len(aliases) != 1 or len(texts) != 1 or aliases != [f"m{texts[0]}"]:
            self.trouble.append(f"half of a version: {response}")
            return None
        return int(texts[0])

    def _look(self):
        mark = self._mark()
        if mark is None:
            return
        self.answers += 1
        self.versions.add(mark)
        if not self.order.take(mark):
            self.trouble.append(f"{mark} after {self.order.newest}")

    def _run(self):
        while not self.ended.is_set():
            self._look()

    def _look_again(self):
        self._look()
        return self.order.settled()

    def stop(self):
        self.ended.set()
        self.thread.join()
        if not self.order.settled():
            await_event(self._look_again, f"{self.server.path.name}: {self.order.newest} again")
        assert not self.trouble, f"{self.server.path.name}: {self.trouble[:3]}"
        return self


def await_news(secondary, look, what):
    """Waits for what a new version at a module's primary brings. NSD tells of one while its processes of before still answer for a moment
    (Order): who has asked one of those has to ask again."""
    forking = any(primary.kind == "nsd" for primary in secondary.primaries)

    def again():
        found = look()
        if not found and forking:
            secondary.knotc_module("zone-refresh")
        return found
    await_event(again, what)


def has_serial_of(server, primary, zone):
    """Does the server have what the primary has now?"""
    serial = serial_of(server, zone)
    return serial is not None and serial == serial_of(primary, zone)
