# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree of servers: a hidden primary, two modules below it, and below these four secondaries of different makes.

     head (knotd) --> one, other (modules) --> module, knotd, NSD, BIND

Each of the lower ones knows both of the middle. Whatever is cut, stopped or restarted: all converge, by NOTIFY and increments, and
none ever answers with half of a version, or with an older one than before.
"""

import re
import signal
import time

import pytest

from servers import await_event, await_serial
from updates import FULL, KNOTD_INCREMENTS, NAMED_INCREMENTS, NSD_INCREMENTS, Changing, Order, Watcher, assert_same_zone, has_serial_of, seeded

ZONE = "example.com"
OUT = {"items": {"transfer-to": "everyone"}, "acl": {"everyone": {"action": "transfer"}}}
#: Nobody is to wait for REFRESH, but for a lost NOTIFY, and then not for long.
TIMERS = {"refresh": 5, "retry": 2}


class Tree:
    def __init__(self, servers, seed):
        self.changing = Changing(ZONE, seed, names=100, **TIMERS)
        self.head = servers.knotd({ZONE: self.changing.text()}, updates=True, zone_conf=KNOTD_INCREMENTS, name="head")
        self.middle = [servers.secondary([ZONE], [self.head], name=name, **OUT) for name in ("one", "other")]
        self.leaves = [servers.secondary([ZONE], self.middle, name="module", **OUT),
                       servers.knotd(mirrored=[ZONE], primaries=self.middle, name="knotd"),
                       servers.nsd(mirrored=[ZONE], primaries=self.middle, name="nsd", **NSD_INCREMENTS),
                       servers.named(mirrored=[ZONE], primaries=self.middle, name="named", zone_conf=NAMED_INCREMENTS)]
        self.head.notify += self.middle
        for server in self.middle:
            self.tell(server)
        for server in (self.head, *self.middle, *self.leaves):
            server.start()
        self.watchers = []
        self.await_all()

    def tell(self, server):
        """A module tells all leaves of new versions."""
        server.notify = list(self.leaves)
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
            watcher.stop()
            assert watcher.answers > 0, watcher.server.path.name
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


@pytest.fixture
def tree(servers):
    return Tree(servers, seeded())


def test_changes_reach_all(tree, capsys):
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
    with capsys.disabled():
        print(f"\nfrom the head to the last of six: median {times[len(times) // 2]:.2f} s, worst {times[-1]:.2f} s")


@pytest.mark.plain
def test_links_are_cut_and_healed(tree):
    """A module that stands still takes all its links with it; our leaf goes to the other one at once, NSD waits for long; all catch up."""
    tree.watch()
    for turn in range(8 if FULL else 2):
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
