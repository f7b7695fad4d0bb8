# SPDX-License-Identifier: GPL-3.0-or-later
"""Who does what to the servers, each on a thread of its own, by a random schedule of its own; and what each counts."""

import collections
import random
import signal
import socket
import struct
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rrset

from company import ALWAYS, LISTED, POOL
from servers import SLOWNESS, absolute, message
from updates import Watcher, update

#: How often what was done, by all actors.
COUNTS = collections.Counter()
COUNTS_LOCK = threading.Lock()
#: What broke an invariant.
TROUBLE = []
#: Servers end with the thread that started them: this one stays.
LAUNCHER = ThreadPoolExecutor(1)


def done(what, times=1):
    with COUNTS_LOCK:
        COUNTS[what] += times


class Actor:
    """Does turn(rng, ended) again and again, with pauses of up to `pause` seconds, until end()."""

    def __init__(self, name, seed, turn, pause):
        self.name, self.turn, self.pause = name, turn, pause
        self.rng, self.ended = random.Random(f"{seed} {name}"), threading.Event()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.ended.wait(self.rng.uniform(0, self.pause)):
            try:
                self.turn(self.rng, self.ended)
            except Exception:  # whatever it is, the run has failed
                TROUBLE.append(f"{self.name}: {traceback.format_exc()}")
                return

    def end(self):
        self.ended.set()
        self.thread.join()


class StrictWatcher(Watcher):
    """A Watcher to whom each question has to be answered, NOERROR, within a minute."""

    def __init__(self, server, zone):
        self.name = f"watcher of {zone}"
        super().__init__(server, zone)

    def _ask(self, name, rdtype):
        for _ in range(60):
            if self.ended.wait(0.002):
                return None
            try:
                response = dns.query.udp(message(name, rdtype), self.server.address, port=self.server.port, timeout=1)
            except (OSError, dns.exception.DNSException):
                done("queries of watchers without an answer")
                continue
            if response.rcode() != dns.rcode.NOERROR:
                self.trouble.append(f"{name}: {response}")
                return None
            return response
        self.trouble.append(f"{name}: no answer")
        return None

    def end(self):
        self.ended.set()
        self.thread.join()
        done("answers that watchers saw", self.answers)
        done("versions that watchers saw", len(self.versions))
        TROUBLE.extend(f"{self.name}: {trouble}" for trouble in self.trouble[:5])


# --- questions

TYPES = ["A", "AAAA", "TXT", "MX", "NS", "SOA", "CNAME", "DNAME", "SRV", "DS", "CAA", "NSEC", "ANY", "TYPE65280", "RRSIG", "HTTPS"]
#: What a question for a zone that is always there may be answered with.
USUAL = {dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN}


def some_name(rng, zone):
    n = rng.randrange(60)
    return rng.choice([f"host{n}", f"deep.er.host{n}", f"none{n}", f"any.thing.host{n}", f"alias{n}", f"sub{n}", f"www.sub{n}", f"below.d{n}", "mark",
                       f"e{n}", f"E{n}", f"o\\000\\255\\.{n}", "x" * rng.randrange(1, 64), f"_sip._tcp.host{n}"]) + f".{zone}" if rng.random() < 0.9 else zone


def some_options(rng):
    kinds = [dns.edns.GenericOption(3, b""), dns.edns.GenericOption(10, rng.randbytes(8)), dns.edns.ECSOption("192.0.2.0", 24),
             dns.edns.GenericOption(9, b""), dns.edns.GenericOption(12, bytes(rng.randrange(100))), dns.edns.GenericOption(65001, rng.randbytes(20))]
    return [option for option in kinds if rng.random() < 0.2]


def some_question(rng):
    """(octets, what the answer may be; None: whatever it is)."""
    zone = rng.choice(ALWAYS + ALWAYS + POOL + LISTED)
    rdtype = rng.choice(TYPES)
    question = message(some_name(rng, zone), rdtype, do=rng.random() < 0.4, payload=rng.choice([None, 512, 1232, 4096]), rd=rng.random() < 0.5, options=some_options(rng))
    done("queries: ANY" if rdtype == "ANY" else "queries: others")
    return question.to_wire(), USUAL if zone in ALWAYS else None


def numbered(questions):
    """With different ids, by which answers are known."""
    return [(struct.pack("!H", number) + wire[2:], allowed) for number, (wire, allowed) in enumerate(questions)]


def some_garbage(rng):
    if rng.random() < 0.3:
        return rng.randbytes(rng.randrange(1, 600))
    wire = bytearray(some_question(rng)[0])
    for _ in range(rng.randrange(1, 6)):
        # Neither transfers, which others do, nor NOTIFY by chance.
        wire[rng.randrange(2, len(wire))] = rng.randrange(256)
    return bytes(wire[:rng.choice([len(wire), rng.randrange(len(wire) + 1)])])


def judge(company, wire, expected):
    """Is this an answer to one of those questions, and one that may be?"""
    allowed = expected.get(wire[:2])
    done("answers")
    if allowed is not None and wire[3] & 15 not in allowed:
        TROUBLE.append(f"a zone that is always there: {dns.message.from_wire(wire, ignore_trailing=True)}")


def ask_udp(company, rng, ended):
    """A burst of questions; some of the answers are not waited for."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.connect((company.module.address, company.module.port))
        questions = numbered(some_question(rng) for _ in range(30))
        for wire, _ in questions:
            client.send(wire)
        expected = {wire[:2]: allowed for wire, allowed in questions}
        try:
            for _ in range(rng.choice([30, 30, 30, 0])):
                judge(company, client.recv(65535), expected)
        except OSError:
            done("UDP answers that did not come at once")


def receive_message(client):
    size = client.recv(2, socket.MSG_WAITALL)
    if len(size) < 2:
        raise OSError("closed")
    return client.recv(struct.unpack("!H", size)[0], socket.MSG_WAITALL)


def connect(company, timeout=10):
    return socket.create_connection((company.module.address, company.module.port), timeout=timeout * SLOWNESS)


def framed(wire):
    return struct.pack("!H", len(wire)) + wire


def ask_tcp(company, rng, ended):
    """Questions one after the other in a stream, at once; the client may leave before the last answer."""
    try:
        with connect(company) as client:
            questions = numbered(some_question(rng) for _ in range(rng.randrange(1, 20)))
            client.sendall(b"".join(framed(wire) for wire, _ in questions))
            expected = {wire[:2]: allowed for wire, allowed in questions}
            for _ in range(rng.randrange(len(questions) + 1)):
                judge(company, receive_message(client), expected)
            done("TCP connections")
    except OSError:
        done("TCP connections that ended early")


def ask_garbage(company, rng, ended):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((company.module.address, company.module.port))
        for _ in range(20):
            client.send(some_garbage(rng))
    try:
        with connect(company, 1) as client:
            client.sendall(b"".join(rng.choice([framed(some_garbage(rng)), rng.randbytes(20)]) for _ in range(5)))
    except OSError:
        pass
    done("garbage", 25)


# --- NOTIFY

def notify_wire(rng, zone, serial):
    wire = dns.message.make_query(absolute(zone), "SOA")
    wire.flags = dns.flags.AA
    wire.set_opcode(dns.opcode.NOTIFY)
    if serial is not None:
        wire.answer.append(dns.rrset.from_text(absolute(zone), 0, "IN", "SOA", f". . {serial} 0 0 0 0"))
    return wire.to_wire()


def send_notify(company, rng, ended):
    """True ones, spoofed serials, strangers, and storms of them."""
    source = rng.choice(["127.0.0.1", "127.0.0.1", "127.0.0.66"])
    times = rng.choice([1, 1, 1, 500])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((source, 0))
        client.connect((company.module.address, company.module.port))
        for _ in range(times):
            changing = rng.choice(company.changing)
            zone = rng.choice([changing.zone, changing.zone, *POOL, *LISTED, "nowhere.example"])
            client.send(notify_wire(rng, zone, rng.choice([None, changing.serial, changing.serial + 1, 0, rng.randrange(1 << 32)])))
    done("NOTIFY", times)


# --- changes

def change(primary):
    def turn(rng, ended):
        with primary.lock:
            primary.step()
        done(f"new versions at {primary.server.kind}")
    return turn


def change_others(company, rng, ended):
    primary = company.primaries[0]
    with primary.lock:
        zone, number = rng.choice(POOL + LISTED), rng.randrange(250)
        update(primary.server, zone, [], [(f"n{rng.randrange(20)}", "TXT", f'"{number % 3}"'), ("version", "A", f"192.0.2.{number}")])
    done("new versions of zones that come and go")


# --- transfers out

def transfer_out(company, rng, ended):
    """A whole zone or an increment; read at once, slowly, or not to the end."""
    changing = rng.choice(company.changing)
    serial = rng.choice([None, max(1, changing.serial - rng.randrange(30)), changing.serial])
    question = dns.message.make_query(absolute(changing.zone), "AXFR" if serial is None else "IXFR")
    if serial is not None:
        question.authority.append(dns.rrset.from_text(absolute(changing.zone), 0, "IN", "SOA", f". . {serial} 0 0 0 0"))
    how = rng.choice(["read", "read", "slow", "abort"])
    try:
        with socket.socket() as client:
            client.settimeout(2)
            if how == "slow":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect((company.module.address, company.module.port))
            client.sendall(framed(question.to_wire()))
            if how == "read":
                receive_message(client)
            while how == "slow" and client.recv(64) and not ended.wait(0.02):
                pass
            if how == "abort":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    done(f"transfers out: {'AXFR' if serial is None else 'IXFR'}, {how}")


# --- the operator

def operate(company, rng, ended):
    """Another configuration, or the same, and a reload."""
    with company.lock:
        for _ in range(rng.randrange(3)):
            what = rng.choice(["pool", "pool", "listed", "listed", "store", "many", "moved", "upstream"])
            if what == "pool":
                company.pool = [zone for zone in POOL if rng.random() < 0.6]
            elif what == "listed":
                company.listed = [zone for zone in LISTED if rng.random() < 0.6]
            else:
                setattr(company, what, not getattr(company, what))
            done(f"changed in the configuration: {what}")
        company.configure()
        if rng.random() < 0.3:
            company.module.write_config()
            company.module.signal(signal.SIGHUP)
        else:
            company.reload()
        done("reloads")


CONTROLS = [["zone-status"], ["zone-status", "-e"], ["stats"], ["zone-stats", "--"], ["status"], ["zone-refresh"], ["zone-notify"], ["zone-status", "ZONE"],
            ["zone-refresh", "ZONE"], ["zone-retransfer", "ZONE"], ["zone-notify", "ZONE"], ["zone-stats", "ZONE"], ["-b", "zone-refresh", "ZONE"],
            ["-f", "zone-purge", "+journal", "ZONE"], ["-f", "zone-purge", "+zonefile", "ZONE"], ["-f", "zone-purge", "LOOSE"], ["nonsense"]]


def control(company, rng, ended):
    words = rng.choice(CONTROLS)
    names = {"ZONE": rng.choice(ALWAYS + POOL + LISTED), "LOOSE": rng.choice(POOL + LISTED)}
    company.module.knotc_module(*(absolute(names[word]) if word in names else word for word in words), check=False)
    done(f"control: {' '.join(word for word in words if word not in ('ZONE', 'LOOSE', '--', '-e', '-f', '-b'))}")


# --- failures

def outage(server, lock, what):
    """Stopped for a while, killed, or restarted in order."""
    def turn(rng, ended):
        with lock:
            how = rng.choice(["stopped", "killed", "restarted"])
            if how == "stopped":
                server.signal(signal.SIGSTOP)
                ended.wait(rng.uniform(0.2, 4))
                server.signal(signal.SIGCONT)
            else:
                server.kill() if how == "killed" else server.stop()
                ended.wait(rng.uniform(0, 2))
                LAUNCHER.submit(server.resume).result()
        done(f"{what} {how}")
    return turn


def troupe(company, seed):
    """All of them begin."""
    def acts(name, turn, pause):
        return Actor(name, seed, lambda rng, ended: turn(company, rng, ended), pause)
    some = [StrictWatcher(company.module, zone) for zone in ALWAYS]
    some += [acts("udp", ask_udp, 0.05), acts("tcp", ask_tcp, 0.1), acts("garbage", ask_garbage, 0.3), acts("notify", send_notify, 0.2),
             acts("others", change_others, 0.5), acts("out", transfer_out, 0.1), acts("out again", transfer_out, 0.1),
             acts("operator", operate, 1.5), acts("control", control, 0.3)]
    for primary in company.primaries:
        some.append(Actor(f"changes at {primary.server.kind}", seed, change(primary), 0.4))
        some.append(Actor(f"outages of {primary.server.kind}", seed, outage(primary.server, primary.lock, f"primary {primary.server.kind}"), 12))
    some.append(Actor("outages of the resolver", seed, outage(company.unbound, company.unbound_lock, "resolver"), 8))
    return some
