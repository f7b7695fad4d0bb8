# SPDX-License-Identifier: GPL-3.0-or-later
"""NOTIFY out: who is told of new versions, how soon, how often, and what of it can be seen."""

import re
import select
import socket
import subprocess

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.tsig
import pytest

from servers import Key, Peer, absolute, await_event, await_serial, tool, zone_text

ZONE = "example.com"
EVERYONE = {"everyone": {"action": "transfer"}}


class Target(Peer):
    """A secondary that only listens to NOTIFY. Answers unless `silent`; `rcode` is what it answers. What is sent again because it was not
    answered within a second is no further notice: it only counts in `datagrams`."""

    def __init__(self, key=None):
        super().__init__(key=key)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.address, self.port))
        self.prepare()

    def prepare(self):
        self.heard, self.known, self.datagrams, self.silent, self.rcode = [], set(), 0, False, dns.rcode.NOERROR

    def read(self):
        """Takes one datagram."""
        wire, sender = self.socket.recvfrom(4096)
        keyring = self.key.keyring() if self.key else None
        message = dns.message.from_wire(wire, keyring=keyring)
        assert message.opcode() == dns.opcode.NOTIFY and message.flags & dns.flags.AA and not message.flags & dns.flags.QR
        assert message.question[0].rdtype == dns.rdatatype.SOA and message.had_tsig == bool(self.key)
        self.datagrams += 1
        if (sender, wire) not in self.known:
            self.known.add((sender, wire))
            self.heard.append((message.question[0].name.to_text(), message.answer[0][0].serial))
        if not self.silent:
            response = dns.message.make_response(message)
            response.set_rcode(self.rcode)
            self.socket.sendto(response.to_wire(), sender)


def listen(targets, until, what="NOTIFY", timeout=None):
    """Lets the targets do their work until something is so."""
    sockets = {target.socket: target for target in targets}

    def look():
        for ready in select.select(list(sockets), [], [], 0)[0]:
            sockets[ready].read()
        return until()
    await_event(look, what, timeout)


@pytest.fixture
def target():
    """Makes targets, and closes their sockets at the end."""
    made = []

    def make(**how):
        made.append(Target(**how))
        return made[-1]
    yield make
    for some in made:
        some.socket.close()


def told(servers, targets, scope="zone", zones=(ZONE,), **more):
    """A primary and a secondary that tells the targets."""
    names = ", ".join(f"peer{n}" for n in range(len(targets)))
    return servers.pair({zone: zone_text(zone) for zone in zones}, scope=scope, items={"notify": f"[{names}]"}, notify=targets, **more)


def heard(target, serial, zone=ZONE):
    return (absolute(zone), serial) in target.heard


def knotd_mirror(servers, source, key=None):
    return servers.knotd(mirrored=[ZONE], primaries=[Peer(source.port, source.address, key)])


def nsd_mirror(servers, source, key=None):
    name = key.name if key else "NOKEY"
    return servers.nsd({}, key=key, conf=(
        f"zone:\n    name: {absolute(ZONE)}\n    request-xfr: AXFR {source.address}@{source.port} {name}\n"
        f"    allow-notify: 127.0.0.0/8 {name}\n    outgoing-interface: 127.0.0.1\n"))


def named_mirror(servers, source, key=None):
    with_key = f' key "{key.name}"' if key else ""
    return servers.named({}, key=key, conf=(
        f'zone "{absolute(ZONE)}" {{ type secondary; primaries {{ {source.address} port {source.port}{with_key}; }};'
        f' request-ixfr no; file "mirror"; }};\n'))


@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "signed"])
@pytest.mark.parametrize("mirror", [knotd_mirror, nsd_mirror, named_mirror])
def test_stock_secondaries_learn_at_once(servers, scope, mirror, keyed):
    """REFRESH is an hour away: what they have of the new version they have by NOTIFY."""
    key = Key("downstream") if keyed else None
    primary = servers.knotd({ZONE: zone_text(ZONE)}, name="primary")
    acl = {"downstream": {"action": "transfer", **({"key": key.name} if key else {})}}
    module = servers.secondary([ZONE], [primary], scope=scope, acl=acl, keys=[key] if key else [], name="secondary",
                               items={"transfer-to": "downstream", "notify": "peer0"})
    downstream = mirror(servers, module, key)
    primary.notify.append(module)
    module.notify.append(Peer(downstream.port, downstream.address, key))
    primary.start()
    module.start().await_serial(ZONE)
    downstream.start()
    await_serial(downstream, ZONE, 1)
    primary.change(ZONE, "www 60 A 192.0.2.77")
    await_serial(downstream, ZONE, 2)
    module.await_log(rf"notify, outgoing, remote 127\.0\.0\.1@{downstream.port}, serial 2$")


def test_first_version_too(servers, scope, target):
    """As knotd does after it has loaded a zone."""
    some = target()
    module = told(servers, [some], scope)[1]
    listen([some], lambda: heard(some, 1))
    module.await_log(rf"info: .*notify, outgoing, remote 127\.0\.0\.1@{some.port}, serial 1$")


def test_signed(servers, scope, target):
    key = Key("downstream")
    some = target(key=key)
    primary, module = told(servers, [some], scope)
    listen([some], lambda: heard(some, 1))
    primary.change(ZONE, "www 60 A 192.0.2.77")
    listen([some], lambda: heard(some, 2))
    module.await_log(rf"notify, outgoing, .*@{some.port}, serial 2$")


def test_lost_datagram_is_sent_again(servers, target):
    some = target()
    some.silent = True
    module = told(servers, [some])[1]
    listen([some], lambda: heard(some, 1))
    some.silent = False
    listen([some], lambda: some.datagrams >= 2)
    module.await_log(r"notify, outgoing, .*, serial 1$")
    assert len(some.heard) == 1


def test_dead_target_is_tried_again(servers, target):
    """And holds up no other one."""
    dead, some = Peer(), target()
    module = told(servers, [dead, some])[1]
    listen([some], lambda: heard(some, 1))
    module.await_log(rf"warning: .*notify, outgoing, remote 127\.0\.0\.1@{dead.port}, failed \(connection refused\)$")
    again = Target.__new__(Target)
    again.address, again.port, again.key = dead.address, dead.port, None
    again.prepare()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again.socket:
        again.socket.bind((dead.address, dead.port))
        # Ten seconds later, as it rests.
        listen([again], lambda: heard(again, 1), timeout=30)
    module.await_log(rf"notify, outgoing, remote 127\.0\.0\.1@{dead.port}, retry, serial 1$")


@pytest.mark.parametrize("rcode", ["REFUSED", "NOTIMPL", "NOTAUTH"])
def test_refusal_is_an_answer(servers, target, rcode):
    some = target()
    some.rcode = dns.rcode.NOTIMP if rcode == "NOTIMPL" else dns.rcode.from_text(rcode)
    primary, module = told(servers, [some])
    listen([some], lambda: heard(some, 1))
    module.await_log(rf"warning: .*notify, outgoing, .*@{some.port}, server responded with error '{rcode}'$")
    primary.change(ZONE, "www 60 A 192.0.2.77")
    listen([some], lambda: heard(some, 2))
    assert len(some.heard) == 2


def test_fifty_targets(servers, scope, target):
    """All are told at once; some are silent and some dead."""
    targets = [target() for _ in range(44)]
    for some in targets[:4]:
        some.silent = True
    primary, module = told(servers, targets + [Peer() for _ in range(6)], scope)
    listen(targets, lambda: all(heard(some, 1) for some in targets))
    primary.change(ZONE, "www 60 A 192.0.2.77")
    listen(targets, lambda: all(heard(some, 2) for some in targets[4:]))
    await_event(lambda: len(re.findall(r"notify, outgoing, .*, serial 2", module.log_text())) == 40, "40 lines")
    assert all(len(some.heard) == 2 for some in targets[4:])
    # What is on its way to the silent ones is about the first version, until it is answered.
    for some in targets[:4]:
        some.silent = False
    listen(targets, lambda: all(heard(some, 2) for some in targets[:4]), timeout=30)


def test_newer_serial_supersedes(servers, target):
    some = target()
    some.silent = True
    primary, module = told(servers, [some])
    listen([some], lambda: heard(some, 1))
    for serial in (2, 3):
        primary.change(ZONE, f"www{serial} 60 A 192.0.2.77")
        module.await_serial(ZONE, serial)
    some.silent = False
    listen([some], lambda: re.search(r"notify, outgoing, .*, serial 3$", module.log_text(), re.M))
    assert some.heard[-1] == (absolute(ZONE), 3)
    serials = re.findall(r"notify, outgoing, .*, serial (\d)$", module.log_text(), re.M)
    assert serials == sorted(set(serials)), "none is told twice, none after a newer one"


def test_command(servers, scope, target):
    some = target()
    zones = [ZONE, "example.net"]
    module = told(servers, [some], scope, zones)[1]
    listen([some], lambda: all(heard(some, 1, zone) for zone in zones))
    del some.heard[:]
    seen = module.log_position()
    module.knotc_module("zone-notify", ZONE)
    listen([some], lambda: heard(some, 1))
    module.await_log(r"control, received command 'zone-notify'", after=seen)
    module.await_log(r"notify, outgoing, .*, serial 1$", after=seen)
    assert not heard(some, 1, "example.net")
    module.knotc_module("zone-notify")
    listen([some], lambda: heard(some, 1, "example.net"))


def test_nothing_new_nobody_told(servers, target):
    """A check that finds nothing, and a reload."""
    some = target()
    module = told(servers, [some])[1]
    listen([some], lambda: heard(some, 1))
    module.knotc_module("zone-refresh")
    module.await_log(r"zone is up-to-date")
    module.reload()
    seen = module.log_position()
    module.knotc_module("zone-refresh")
    module.await_log(r"zone is up-to-date", after=seen)
    assert len(some.heard) == 1
    module.knotc_module("zone-notify")
    listen([some], lambda: len(some.heard) >= 2)
    assert len(some.heard) == 2


def test_reload_with_other_targets(servers, scope, target):
    first, second = target(), target()
    primary, module = told(servers, [first], scope)
    listen([first], lambda: heard(first, 1))
    module.notify[0] = second
    module.reload()
    # knotc does not wait for the thread that tells others; this it answers when it has the new settings.
    module.knotc_module("zone-status", ZONE)
    primary.change(ZONE, "www 60 A 192.0.2.77")
    listen([first, second], lambda: heard(second, 2))
    assert not heard(first, 2)


def test_silent_target_does_not_outlive_the_server(servers, target):
    """The server stops while a notice is on its way (leaks and the exit status are judged at the end)."""
    some = target()
    some.silent = True
    told(servers, [some, Peer()])
    listen([some], lambda: heard(some, 1))


def test_unknown_reference_is_refused(servers):
    module = servers.secondary([ZONE], [Peer()], items={"notify": "nobody"})
    module.write_config()
    done = subprocess.run([tool("knotc"), "-c", module.conf, "conf-check"], capture_output=True, text=True,
                          env=module.client_environment())
    assert done.returncode != 0 and "notify" in done.stdout + done.stderr
