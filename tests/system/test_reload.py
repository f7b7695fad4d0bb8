# SPDX-License-Identifier: GPL-3.0-or-later
"""What outlives a reload of the configuration, in each of the ways that knotd has: all zones that stay, as they are."""

import re
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import dns.rcode
import pytest

from conftest import full
from servers import Secondary, absolute, await_event, query, tool, zone_text

ZONE = "example.com"
OTHER = "example.org"
NAMES = [ZONE, OTHER]


def texts(names=NAMES):
    return {name: zone_text(name, "www A 192.0.2.3\n") for name in names}


def assert_served(server, *names):
    for name in names:
        assert not query(server, f"www.{name}").rcode(), name


def assert_gone(server, name):
    assert query(server, name, "SOA").rcode() == dns.rcode.REFUSED
    assert "error" in server.knotc_module("zone-status", absolute(name), check=False)


def assert_lives(primary, secondary, name=ZONE):
    """Timers, NOTIFY and the way into the log work: the next change comes over, and its line has the right prefix."""
    serial = secondary.await_serial(name)
    seen = secondary.log_position()
    primary.change(name, "new 60 A 192.0.2.9")
    secondary.await_serial(name, serial + 1)
    prefix = {"zone": rf"\[{name}\.\] module 'mod-secondary/\w+', ", "global": rf"module 'mod-secondary/\w+', zone '{name}\.', "}
    secondary.await_log(prefix[secondary.scope] + rf"refresh, .*serial {serial} -> {serial + 1}", after=seen)
    primary.change(name, "-new A")
    secondary.await_serial(name, serial + 2)


def assert_one_transfer(primary, *names):
    for name in names:
        assert primary.transfers(name) == 1, name


def test_twenty_reloads_cost_nothing(servers, scope):
    primary, secondary = servers.pair(texts(), scope=scope)
    for _ in range(20):
        secondary.reload()
        assert_served(secondary, *NAMES)
    assert_one_transfer(primary, *NAMES)
    assert_lives(primary, secondary)


def test_sighup(servers, scope):
    primary, secondary = servers.pair(texts(), scope=scope)
    for _ in range(3):
        seen = secondary.log_position()
        secondary.signal(signal.SIGHUP)
        secondary.await_log(r"configuration reloaded", after=seen)
        assert_served(secondary, *NAMES)
    assert_one_transfer(primary, *NAMES)
    assert_lives(primary, secondary)


def test_zone_reload(servers):
    primary, secondary = servers.pair(texts(), scope="zone")
    for _ in range(5):
        secondary.knotc("-f", "zone-reload", absolute(ZONE))
        assert_served(secondary, *NAMES)
    assert_one_transfer(primary, *NAMES)
    assert_lives(primary, secondary)


def test_zone_restore(servers):
    """The one way in which knotd unloads before it loads, and on a thread of its own: the zone is transferred anew."""
    primary, secondary = servers.pair(texts(), scope="zone")
    nothing = ["+nozonefile", "+nojournal", "+notimers", "+nokaspdb", "+nocatalog"]
    secondary.knotc("-b", "zone-backup", "+backupdir", secondary.path / "backup", *nothing, absolute(ZONE))
    secondary.knotc("-f", "-b", "zone-restore", "+backupdir", secondary.path / "backup", *nothing, absolute(ZONE))
    secondary.await_serial(ZONE, 1)
    await_event(lambda: primary.transfers(ZONE) == 2, "a transfer after the restoration")
    assert_one_transfer(primary, OTHER)
    assert_lives(primary, secondary)


def test_zone_goes_and_comes_back(servers, scope):
    primary, secondary = servers.pair(texts(), scope=scope)
    for turn in range(1, 4):
        secondary.names = [ZONE]
        secondary.reload()
        assert_gone(secondary, OTHER)
        assert_served(secondary, ZONE)

        secondary.names = NAMES
        secondary.reload()
        secondary.await_serial(OTHER, 1)
        assert_served(secondary, *NAMES)
        await_event(lambda n=turn: primary.transfers(OTHER) == n + 1, "a transfer of the zone that came back")
    assert_one_transfer(primary, ZONE)
    assert_lives(primary, secondary, OTHER)


def test_zone_is_added(servers, scope):
    primary, secondary = servers.pair(texts(), scope=scope)
    primary.zones["new.example"] = zone_text("new.example", "www A 192.0.2.3\n")
    primary.reload()
    secondary.names = [*NAMES, "new.example"]
    secondary.reload()
    secondary.await_serial("new.example", 1)
    assert_one_transfer(primary, *NAMES)
    assert_lives(primary, secondary, "new.example")


def test_all_zones_go_and_the_module_stays_usable(servers, scope):
    """The last instance ends worker and control socket; the next one begins anew."""
    primary, secondary = servers.pair(texts(), scope=scope)
    secondary.scope = "none"
    secondary.reload()
    for name in NAMES:
        assert query(secondary, name, "SOA").rcode() == dns.rcode.REFUSED
    assert not secondary.control.exists()

    secondary.scope = scope
    secondary.reload()
    for name in NAMES:
        secondary.await_serial(name, 1)
    assert_lives(primary, secondary)


def test_zone_moves_between_the_scopes(servers):
    primary, secondary = servers.pair(texts(), scope="zone")
    for scope in ("global", "zone", "global"):
        seen = secondary.log_position()
        secondary.scope = scope
        secondary.reload()
        assert_served(secondary, *NAMES)
        assert not re.search(r"error: .*module 'mod-secondary", secondary.log_text(seen))
    assert_one_transfer(primary, *NAMES)
    assert_lives(primary, secondary)


def two_stanzas(first, second, scope):
    """Stanzas a and b with their zones: what they list, or what the zones' sections name."""
    lists = ["".join(f"    zones: [{', '.join(names)}]\n" if names and scope == "global" else "") for names in (first, second)]
    return "mod-secondary:\n" + "".join(f"  - id: {name}\n    transfer-from: primary0\n{lines}" for name, lines in zip("ab", lists))


def configure(secondary, first, second, scope):
    """Gives the stanza a the first names, and b the second ones."""
    secondary.names, secondary.scope = [], "zone"
    secondary.module_conf = two_stanzas(first, second, scope)
    named = [name for name, names in zip("ab", (first, second)) if names]
    secondary.template_conf = secondary.extra = ""
    if scope == "global":
        secondary.template_conf = f"    global-module: [{', '.join(f'mod-secondary/{name}' for name in named)}]\n"
    else:
        secondary.extra = "zone:\n" + "".join(f"  - domain: {absolute(name)}\n    module: mod-secondary/{stanza}\n"
                                              for stanza, names in (("a", first), ("b", second)) for name in names)


def test_zone_moves_between_stanzas(servers, scope):
    primary = servers.knotd(texts()).start()
    secondary = servers.secondary(primaries=[primary])
    primary.notify.append(secondary)
    configure(secondary, [ZONE], [OTHER], scope)
    secondary.start()
    for name in NAMES:
        secondary.await_serial(name, 1)

    for first, second in (([OTHER], [ZONE]), (NAMES, []), ([], NAMES), ([ZONE], [OTHER])):
        seen = secondary.log_position()
        configure(secondary, first, second, scope)
        secondary.reload()
        assert_served(secondary, *NAMES)
        assert not re.search(r"error: .*module 'mod-secondary", secondary.log_text(seen))
    assert_one_transfer(primary, *NAMES)


def test_other_primary_takes_effect(servers, scope):
    first = servers.knotd({ZONE: zone_text(ZONE, serial=1)}).start()
    second = servers.knotd({ZONE: zone_text(ZONE, serial=2)}).start()
    secondary = servers.secondary([ZONE], [first], scope=scope).start()
    secondary.await_serial(ZONE, 1)

    secondary.primaries = [second]
    secondary.reload()
    secondary.knotc_module("zone-refresh", absolute(ZONE))
    secondary.await_serial(ZONE, 2)
    assert second.transfers(ZONE) == 1


def test_reload_while_no_primary_lives(servers, scope):
    primary, secondary = servers.pair(texts(), scope=scope)
    primary.stop()
    for _ in range(3):
        secondary.reload()
        assert_served(secondary, *NAMES)


@pytest.mark.parametrize("count", [200, pytest.param(3000, marks=full)])
def test_reload_with_many_zones(servers, scope, count):
    """Half of them go, others come; those that stay are not transferred again."""
    names = [f"zone{n}.example" for n in range(count)]
    half = count // 2
    primary = servers.knotd(texts(names), server_conf="    tcp-max-clients: 1000\n").start()
    secondary = servers.secondary(names[:half], [primary], scope=scope).start()
    for name in names[:half]:
        secondary.await_serial(name, 1, timeout=60)

    secondary.names = names[half // 2:]
    secondary.reload()
    for name in names[half:]:
        secondary.await_serial(name, 1, timeout=60)
    for name in (names[0], names[half // 2 - 1]):
        assert_gone(secondary, name)
    assert_one_transfer(primary, *names[half // 2:half])


@pytest.mark.parametrize("count", [10, pytest.param(100, marks=full)])
def test_reload_amid_changes(servers, count):
    """Zones change, go, come and move between the scopes at once: lines of the log are on their way while instances are unloaded."""
    names = [f"zone{n}.example" for n in range(10)]
    primary, secondary = servers.pair(texts(names), scope="zone")
    stop = threading.Event()

    def change():
        serial = 1
        while not stop.is_set():
            serial += 1
            for name in names:
                primary.zone_file(name).write_text(zone_text(name, "www A 192.0.2.3\n", serial=serial))
            primary.knotc("-b", "zone-reload", *map(absolute, names))
        return serial

    with ThreadPoolExecutor(1) as pool:
        changes = pool.submit(change)
        try:
            for turn in range(count):
                secondary.names = names[::2] if turn % 2 else names
                secondary.scope = "global" if turn % 4 > 1 else "zone"
                secondary.reload()
                assert_served(secondary, *names[::2])
        finally:
            stop.set()
        for name in names[::2]:
            secondary.await_serial(name, changes.result())


# Zones that come from a catalog

def catalog(*members, serial=1):
    records = "".join(f"unique{name.replace('.', '-')}.zones PTR {absolute(name)}\n" for name in members)
    return (f"$ORIGIN catalog.\n$TTL 60\n@ SOA invalid. invalid. {serial} 3600 600 604800 60\n@ NS invalid.\n"
            f'version TXT "2"\n{records}')


MEMBER = "  - id: member\n    module: mod-secondary/default\n    zonefile-load: none\n    journal-content: none\n"


def test_members_of_a_catalog(servers):
    primary = servers.knotd(texts()).start()
    secondary = servers.secondary(primaries=[primary], zones={"catalog": catalog(ZONE)}, template_conf=MEMBER,
                                  zone_conf="    catalog-role: interpret\n    catalog-template: member\n")
    primary.notify.append(secondary)
    primary.reload()
    secondary.start()
    secondary.await_serial(ZONE, 1)

    secondary.set_zone("catalog", catalog(ZONE, OTHER, serial=2))
    secondary.await_serial(OTHER, 1)
    secondary.reload()
    assert_served(secondary, *NAMES)
    assert_one_transfer(primary, *NAMES)
    assert_lives(primary, secondary)

    secondary.set_zone("catalog", catalog(ZONE, serial=3))
    await_event(lambda: query(secondary, OTHER, "SOA").rcode() == dns.rcode.REFUSED, "the end of the member")
    # Nobody waits for knotd's thread that unloads it after that.
    await_event(lambda: "error" in secondary.knotc_module("zone-status", absolute(OTHER), check=False), "the end of its instance")
    assert_gone(secondary, OTHER)
    assert_served(secondary, ZONE)


# knotd with a configuration database

class Confdb(Secondary):
    """Its configuration is imported once and changed by transactions from then on."""

    @property
    def database_path(self):
        return self.path / "confdb"

    def command(self):
        return [tool("knotd"), "-C", self.database_path]

    def write_config(self):
        super().write_config()
        done = subprocess.run([tool("knotc"), "-f", "-C", self.database_path, "conf-import", self.conf], capture_output=True, text=True,
                               stdin=subprocess.DEVNULL, env=self.client_environment())
        assert done.returncode == 0, done.stdout + done.stderr

    def transaction(self, *lines):
        self.knotc("conf-begin")
        for line in lines:
            self.knotc(*line.split())
        self.knotc("conf-commit")


@pytest.fixture
def confdb(servers, scope):
    """A primary of one zone more than the secondary has, whose configuration is a database."""
    primary = servers.knotd(texts([*NAMES, "new.example"])).start()
    secondary = servers._add(Confdb, NAMES, [primary], scope=scope)
    secondary.start()
    for name in NAMES:
        secondary.await_serial(name, 1)
    return primary, secondary


def test_commit_of_something_else(confdb):
    primary, secondary = confdb
    secondary.transaction("conf-set remote[unused]", "conf-set remote[unused].address 192.0.2.7")
    assert_served(secondary, *NAMES)
    secondary.transaction("conf-set remote[unused].address 192.0.2.8")
    assert_served(secondary, *NAMES)
    assert_one_transfer(primary, *NAMES)


def test_commit_that_removes_a_reference(confdb):
    """knotd loads all zones anew then, and 3.2.6 without their shared modules; a full reload brings them back."""
    primary, secondary = confdb
    secondary.transaction("conf-set remote[unused]", "conf-set remote[unused].address 192.0.2.7")
    secondary.transaction("conf-unset remote[unused]")
    if secondary.scope == "global":
        assert_served(secondary, *NAMES)
    secondary.knotc("reload")
    for name in NAMES:
        secondary.await_serial(name, 1)


def test_commit_of_a_zone(confdb):
    """3.2.6 forgets shared modules at a commit, so the new zone answers after the next full reload, and nothing crashes."""
    primary, secondary = confdb
    if secondary.scope == "zone":
        secondary.transaction("conf-set zone[new.example]", "conf-set zone[new.example].module mod-secondary/default")
    else:
        secondary.transaction("conf-set mod-secondary[default].zones new.example.")
    assert_served(secondary, *NAMES)
    secondary.knotc("reload")
    secondary.await_serial("new.example", 1)
    assert_served(secondary, *NAMES)
    assert_one_transfer(primary, *NAMES)


def test_commit_that_is_refused(confdb):
    primary, secondary = confdb
    secondary.knotc("conf-begin")
    secondary.knotc("conf-unset", "mod-secondary[default].transfer-from")
    assert "error" in secondary.knotc("conf-commit", check=False)
    secondary.knotc("conf-abort")
    assert_served(secondary, *NAMES)
    secondary.knotc("reload")
    assert_served(secondary, *NAMES)
    assert_one_transfer(primary, *NAMES)


def test_commit_that_removes_a_zone(confdb):
    primary, secondary = confdb
    if secondary.scope == "zone":
        secondary.transaction(f"conf-unset zone[{OTHER}]")
    else:
        secondary.transaction(f"conf-unset mod-secondary[default].zones {OTHER}.")
    secondary.knotc("reload")
    assert query(secondary, OTHER, "SOA").rcode() == dns.rcode.REFUSED
    assert_served(secondary, ZONE)
    assert_one_transfer(primary, ZONE)
