# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree of servers: a hidden primary, two modules below it, and below these four secondaries of different makes.

     head (knotd) --> one, other (modules) --> module, knotd, NSD, BIND

Each of the lower ones knows both of the middle. Whatever is cut, stopped or restarted: all converge, by NOTIFY and increments, and
none ever answers with half of a version, or with an older one than before.
"""

import re
import signal
import socket
import time

import dns.exception
import dns.query
import pytest

from links import Link
from servers import PATIENCE, ask, await_event, await_serial, message, serial_of, zone_text
from updates import FULL, KNOTD_INCREMENTS, NAMED_INCREMENTS, NSD_INCREMENTS, Changing, Order, Watcher, assert_same_zone, has_serial_of, seeded

ZONE = "example.com"
OUT = {"items": {"transfer-to": "everyone", "transfer-idle-timeout": "2"}, "acl": {"everyone": {"action": "transfer"}}}
#: Nobody is to wait for REFRESH, but for a lost NOTIFY, and then not for long.
TIMERS = {"refresh": 5, "retry": 2}
#: Knotd tells one after the other of a change, and waits so long for each, milliseconds.
IMPATIENT = "    tcp-remote-io-timeout: 300\n"


class Tree:
    def __init__(self, servers, rng):
        self.rng, self.changing = rng, Changing(ZONE, rng, names=100, **TIMERS)
        self.head = servers.knotd({ZONE: self.changing.text()}, updates=True, zone_conf=KNOTD_INCREMENTS, server_conf=IMPATIENT, name="head")
        self.middle = [servers.secondary([ZONE], [self.upwards(self.head, name)], name=name, **OUT) for name in ("one", "other")]
        self.leaves = [servers.secondary([ZONE], self.above("module"), name="module", **OUT),
                       servers.knotd(mirrored=[ZONE], primaries=self.above("knotd"), name="knotd"),
                       servers.nsd(mirrored=[ZONE], primaries=self.above("nsd"), name="nsd", **NSD_INCREMENTS),
                       servers.named(mirrored=[ZONE], primaries=self.above("named"), name="named", zone_conf=NAMED_INCREMENTS)]
        self.head.notify = [self.downwards(self.head, server) for server in self.middle]
        for server in self.middle:
            self.tell(server)
        for server in (self.head, *self.middle, *self.leaves):
            server.start()
        self.watchers = []
        self.await_all()

    def upwards(self, upper, name):
        """The upper server as the lower one of that name sees it."""
        return upper

    def downwards(self, upper, lower):
        """The lower server as the upper one sees it."""
        return lower

    def above(self, name):
        """Both modules in the middle, as a leaf sees them."""
        return [self.upwards(server, name) for server in self.middle]

    def tell(self, server):
        """A module tells all leaves of new versions."""
        server.notify = [self.downwards(server, leaf) for leaf in self.leaves]
        server.items["notify"] = f"[{', '.join(f'peer{n}' for n in range(len(self.leaves)))}]"

    def servers(self):
        return [*self.middle, *self.leaves]

    def await_all(self, servers=None):
        for server in servers or self.servers():
            await_event(lambda: has_serial_of(server, self.head, ZONE), f"the head's version at {server.path.name}", timeout=60)

    def watch(self):
        self.watchers = [Watcher(server, ZONE) for server in self.servers()]

    def assert_converged(self):
        self.await_all()
        for watcher in self.watchers:
            await_event(lambda: watcher.answers > 0, f"an answer of {watcher.server.path.name}")
            watcher.stop()
        for server in self.servers():
            assert_same_zone(self.head, server, ZONE)

    def step(self, count=1):
        for _ in range(count):
            self.changing.step(self.head)


#: Answers in turn, and the first of them that is out of order: of any server, of NSD.
ANSWERS = (
    ([1, 1, 2, 5, 5, 9], None, None),
    ([8, 11, 8, 11, 12], 8, None),  # the processes of the generation before go on for a moment
    ([8, 11, 10, 11], 10, None),  # which had a version that was never seen
    ([8, 11, 8, 12, 11, 12], 8, None),
    ([8, 11, 7], 7, 7),
    ([8, 11, 12, 8], 8, 8),
    ([8, 11, 8, 12, 8], 8, 8),
    ([8, 11, 1, 11], 1, 1),
)


def test_what_a_step_back_is():
    """That the watchers see it."""
    for answers, *wrong in ANSWERS:
        for forking in (False, True):
            order = Order(forking)
            found = [version for version in answers if not order.take(version)]
            assert (found or [None])[0] == wrong[forking], (answers, forking)
    order = Order(forking=True)
    assert order.take(8) and order.take(11) and order.settled() and order.take(8) and not order.settled()


class LinkedTree(Tree):
    """With links that can be cut: {(upper server's name, lower one's): Link}."""

    def __init__(self, servers, rng):
        self.links = {}
        super().__init__(servers, rng)

    def upwards(self, upper, name):
        link = self.links[upper.path.name, name] = Link(upper)
        return link.up

    def downwards(self, upper, lower):
        return self.links[upper.path.name, lower.path.name].lead_to(lower).down

    def cut_some(self):
        """Links of one side, chosen at random; returns which."""
        side = self.rng.choice(self.middle).path.name
        some = [names for names in self.links if side in names]
        chosen = self.rng.sample(some, self.rng.randint(1, len(some)))
        for names in chosen:
            self.links[names].cut()
        return chosen

    def heal_all(self):
        for link in self.links.values():
            link.heal()

    def stop(self):
        for link in self.links.values():
            link.stop()


@pytest.fixture
def tree(servers):
    return Tree(servers, seeded())


@pytest.fixture
def linked(servers):
    made = LinkedTree(servers, seeded())
    yield made
    made.stop()


def test_changes_reach_all(tree, record_property):
    """The time from the head's answer to the last leaf is reported; knotd tells others a second after an UPDATE at the latest."""
    tree.watch()
    times = []
    for _ in range(100 if FULL else 6):
        tree.step(10 if FULL else 5)
        began = time.monotonic()
        tree.await_all()
        times.append(time.monotonic() - began)
    tree.assert_converged()
    for server in tree.middle:
        assert not re.search(r"IXFR, incoming, .*fallback", server.log_text()) and len(re.findall(r"AXFR, incoming, .*finished", server.log_text())) == 1
    assert re.search(r"IXFR, outgoing, .*finished", tree.middle[0].log_text() + tree.middle[1].log_text())
    times.sort()
    record_property("told", f"{tree.changing.serial - 1} changes, from the head to the last of six: median {times[len(times) // 2]:.2f} s, worst {times[-1]:.2f} s")


def test_what_a_cut_link_is(servers):
    """Silence; what was said on a connection arrives when it is healed, and a datagram never does."""
    head = servers.knotd({ZONE: zone_text(ZONE)}).start()
    link = Link(head)
    question = message(ZONE, "SOA")
    assert ask(link.up, question).answer and ask(link.up, question, tcp=True).answer
    link.cut()
    assert serial_of(link.up, ZONE) is None
    with socket.create_connection((link.address, link.up.port)) as connection:
        connection.setblocking(False)
        dns.query.send_tcp(connection, question)
        with pytest.raises(dns.exception.Timeout):
            dns.query.receive_tcp(connection, time.time() + 0.3)
        link.heal()
        assert dns.query.receive_tcp(connection, time.time() + PATIENCE)[0].answer
    await_event(lambda: serial_of(link.up, ZONE) == 1, "an answer through the healed link")
    link.stop()


@pytest.mark.plain
def test_links_are_cut_and_healed(linked):
    """While changes come: some of the links of one side are silent in each turn. The others carry on: whoever of ours has a way to the head gets what is new
    by it, while the links are cut."""
    linked.watch()
    for _ in range(30 if FULL else 4):
        linked.step()
        cut = linked.cut_some()
        linked.step(3)
        linked.await_all([server for server in linked.middle if ("head", server.path.name) not in cut] + linked.leaves[:1])
        linked.heal_all()
    linked.assert_converged()


@pytest.mark.plain
def test_server_stands_still(tree):
    """A module that stands still takes all its links with it; our leaf goes to the other one at once, NSD waits for long; all catch up."""
    tree.watch()
    for turn in range(8 if FULL else 1):
        still, goes = tree.middle[turn % 2], tree.middle[(turn + 1) % 2]
        still.signal(signal.SIGSTOP)
        try:
            tree.step(3)
            tree.await_all([goes, tree.leaves[0]])
        finally:
            still.signal(signal.SIGCONT)
        tree.step(2)
        tree.await_all()
    tree.assert_converged()


def test_tier_is_restarted(tree):
    """Both modules in the middle lose all they had; what the leaves have serves on."""
    watchers = [Watcher(server, ZONE) for server in tree.leaves]
    tree.step(3)
    for server in tree.middle:
        server.stop()
    tree.step(3)
    for server in tree.middle:
        server.start()
        await_serial(server, ZONE)
    tree.step(3)
    tree.watchers = watchers
    tree.assert_converged()
