# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept: the version that serves while a worse one is offered, and zones over a restart."""

import os
import random
import re
import subprocess
import threading
import time

import dns.name
import dns.query
import pytest

from servers import Peer, Secondary, absolute, await_event, await_serial, query, serial_of, zone_text
from test_notify_out import Target, listen

ZONE = "example.com"


def hosts(count, serial):
    return zone_text(ZONE, "".join(f"h{n} A 192.0.2.{n}\n" for n in range(count)), serial=serial)


def test_zone_that_shrank_waits_for_the_operator(servers, scope):
    primary, secondary = servers.pair({ZONE: hosts(200, 1)}, scope=scope, items={"zone-shrink-limit": 50})
    primary.set_zone(ZONE, hosts(20, 2))
    reason = r"serial 2 held back, records 206 -> 26, zone-shrink-limit 50"
    secondary.await_log(rf"error: .*refresh, remote {primary.address}@{primary.port}, failed \({reason}\)")
    # The line comes before the check's end.
    status = await_event(lambda: "state: retrying" in (now := secondary.knotc_module("zone-status", ZONE)) and now, "the end of the check")
    assert "serial: 1 " in status and re.search(f"failed, {reason}", status)
    assert query(secondary, f"h199.{ZONE}").answer

    # A check alone confirms nothing.
    seen = secondary.log_position()
    secondary.knotc_module("zone-refresh", ZONE)
    secondary.await_log(reason, after=seen)
    assert query(secondary, f"h199.{ZONE}").answer

    secondary.knotc_module("zone-retransfer", ZONE)
    secondary.await_serial(ZONE, 2)
    assert not query(secondary, f"h199.{ZONE}").answer and query(secondary, f"h19.{ZONE}").answer
    await_event(lambda: "state: fresh" in secondary.knotc_module("zone-status", ZONE), "the end of the check")


def test_increment_that_shrinks_the_zone(servers):
    primary, secondary = servers.pair({ZONE: hosts(20, 1)}, items={"zone-shrink-limit": 50})
    primary.change(ZONE, *(f"-h{n} A" for n in range(10)))
    secondary.await_serial(ZONE, 2)
    primary.change(ZONE, *(f"-h{n} A" for n in range(10, 19)))
    secondary.await_log(r"(?s)IXFR, incoming, .*IXFR, incoming, .*finished.*error: .*serial 3 held back, records 16 -> 7, zone-shrink-limit 50")
    assert query(secondary, f"h10.{ZONE}").answer
    # The next one is made on top of what serves.
    primary.change(ZONE, *(f"new{n} 60 A 192.0.2.1" for n in range(10)))
    secondary.await_serial(ZONE, 4)
    assert query(secondary, f"new9.{ZONE}").answer and not query(secondary, f"h10.{ZONE}").answer


# Zones that outlive a restart

RESTORED = r"store, zone restored, serial {serial}, expires in (\d+) seconds"


def kept(tmp_path):
    return {"store": str(tmp_path / "store")}


def file_of(secondary, zone=ZONE):
    return type(secondary.path)(secondary.items["store"]) / f"{zone}.zone"


def await_file(secondary, zone=ZONE):
    return await_event(file_of(secondary, zone).exists, f"the file of {zone}") and file_of(secondary, zone)


def test_restart_with_all_primaries_down(servers, scope, tmp_path):
    primary, secondary = servers.pair({ZONE: hosts(20, 1)}, scope=scope, items=kept(tmp_path))
    primary.change(ZONE, "added 60 A 192.0.2.99")
    secondary.await_serial(ZONE, 2)
    primary.stop()
    secondary.restart()
    secondary.await_serial(ZONE, 2)
    assert query(secondary, f"added.{ZONE}").answer and query(secondary, f"h19.{ZONE}").answer
    assert 604700 <= int(secondary.await_log(RESTORED.format(serial=2))[1]) <= 604800
    # It is checked at once, and goes on from what was kept.
    secondary.await_log(r"(?s)zone restored.*refresh, failed \(connection refused\)")
    primary.start()
    await_serial(primary, ZONE)
    primary.change(ZONE, "more 60 A 192.0.2.99")
    serial = query(primary, ZONE, "SOA").answer[0][0].serial
    secondary.knotc_module("zone-refresh", ZONE)
    secondary.await_serial(ZONE, serial)


def test_changes_are_appended(servers, tmp_path):
    """A change of a large zone costs its own size; what is read later is the image and all changes."""
    primary, secondary = servers.pair({ZONE: hosts(250, 1)}, items=kept(tmp_path))
    file = await_file(secondary)
    inode, size = file.stat().st_ino, file.stat().st_size
    for n in range(2, 6):
        primary.change(ZONE, f"more{n} 60 A 192.0.2.{n}", *([f"-more{n - 1} A"] if n > 2 else []))
        secondary.await_serial(ZONE, n)
    await_event(lambda: file.stat().st_size > size, "differences")
    secondary.stop()
    primary.stop()
    assert file.stat().st_ino == inode and file.stat().st_size < size + 2000
    secondary.start()
    secondary.await_serial(ZONE, 5)
    assert query(secondary, f"more5.{ZONE}").answer and not query(secondary, f"more4.{ZONE}").answer


def test_increments_go_on_after_a_restart(servers, tmp_path):
    """The differences of the file lead to what was kept, for those who ask for them."""
    primary, secondary = servers.pair({ZONE: hosts(250, 1)}, items=kept(tmp_path), acl={"all": {"address": "127.0.0.0/8", "action": "transfer"}},
                                      template_conf="    acl: all\n")
    size = await_file(secondary).stat().st_size
    for serial in (2, 3, 4):
        primary.change(ZONE, f"more{serial} 60 A 192.0.2.9")
        secondary.await_serial(ZONE, serial)
        await_event(lambda: file_of(secondary).stat().st_size > size, "differences")
        size = file_of(secondary).stat().st_size
    primary.stop()
    secondary.restart()
    secondary.await_serial(ZONE, 4)
    for since, records in ((1, 11), (2, 8), (4, 1)):
        zone, got = dns.name.from_text(ZONE), 0
        for message in dns.query.xfr(secondary.address, zone, "IXFR", port=secondary.port, serial=since, relativize=False):
            got += sum(len(rrset) for rrset in message.answer)
        assert got == records, (since, got)


def test_many_zones(servers, tmp_path):
    zones = {f"z{n}.example": zone_text(f"z{n}.example", f"name TXT \"{n}\"\n") for n in range(300)}
    primary, secondary = servers.pair(zones, scope="global", items={**kept(tmp_path), "transfer-limit-remote": 100})
    await_event(lambda: sum(name.endswith(".zone") for name in os.listdir(secondary.items["store"])) == len(zones), "all files")
    primary.stop()
    secondary.restart()
    for n in range(0, 300, 7):
        secondary.await_serial(f"z{n}.example")
        assert query(secondary, f"name.z{n}.example", "TXT").answer[0][0].strings == (str(n).encode(),)
    # A version serves before the line tells of it.
    await_event(lambda: len(re.findall(RESTORED.format(serial=1), secondary.log_text())) >= len(zones), "a line for each zone")
    assert len(re.findall(RESTORED.format(serial=1), secondary.log_text())) == len(zones)


#: Seconds; stopping and starting a server takes a part of them on a slow machine.
EXPIRE = 12


def test_age_goes_on(servers, tmp_path):
    """What is left of EXPIRE is less by the time that the server was down; after it the file is of no use."""
    primary, secondary = servers.pair({ZONE: zone_text(ZONE, serial=3, refresh=1000, retry=1000, expire=EXPIRE)}, items=kept(tmp_path))
    await_file(secondary)
    primary.stop()
    secondary.stop()
    stopped = time.time()
    await_event(lambda: time.time() > stopped + 2, "two seconds")
    secondary.start()
    assert int(secondary.await_log(RESTORED.format(serial=3))[1]) <= EXPIRE - 2
    secondary.await_log(r"zone expired, serial 3", timeout=15 + EXPIRE)
    secondary.stop()
    secondary.start()
    secondary.await_log(r"warning: .*store, file '.*/example.com.zone' passed over \(expired\)")
    primary.start()
    await_serial(primary, ZONE, 3)
    secondary.knotc_module("zone-refresh")
    secondary.await_serial(ZONE, 3)


def test_checks_are_noted(servers, tmp_path):
    """A check without news makes the version younger in the file, too."""
    primary, secondary = servers.pair({ZONE: zone_text(ZONE, expire=100)}, items=kept(tmp_path))
    file = await_file(secondary)
    secondary.stop()
    written = file.read_bytes()
    secondary.start()
    secondary.await_log(r"(?s)zone restored.*zone is up-to-date")
    secondary.stop()
    changed = file.read_bytes()
    assert len(changed) == len(written)
    assert {at // 256 for at in range(len(written)) if written[at] != changed[at]} <= {2, 3}
    assert written != changed


def cut(octets):
    return octets[:len(octets) * 2 // 3]


def flipped(octets):
    at = len(octets) * 2 // 3
    return octets[:at] + bytes([octets[at] ^ 4]) + octets[at + 1:]


DAMAGED = {
    "flipped": (flipped, "damaged"),
    "cut": (cut, "damaged"),
    "empty": (lambda octets: b"", "not a file of this kind"),
    "zeros": (lambda octets: bytes(len(octets)), "not a file of this kind"),
    "text": (lambda octets: b"$ORIGIN example.com.\n" * 100, "not a file of this kind"),
    "newer": (lambda octets: octets[:12] + bytes([octets[12] + 1]) + octets[13:], "of another format"),
    "other order of octets": (lambda octets: octets[:8] + octets[8:12][::-1] + octets[12:], "of another format"),
    "header": (lambda octets: octets[:40] + b"x" + octets[41:], "damaged"),
    "times": (lambda octets: octets[:512] + bytes(512) + octets[1024:], "damaged"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged(servers, tmp_path, case):
    """Passed over with one warning, and the zone is transferred, and kept again."""
    damage, reason = DAMAGED[case]
    primary, secondary = servers.pair({ZONE: hosts(50, 1)}, items=kept(tmp_path))
    file = await_file(secondary)
    secondary.stop()
    whole = file.read_bytes()
    damaged = damage(whole)
    file.write_bytes(damaged)
    secondary.start()
    secondary.await_serial(ZONE, 1)
    lines = re.findall(r".*passed over.*", secondary.log_text())
    assert len(lines) == 1 and re.search(rf"warning: .*store, file '{re.escape(str(file))}' passed over \({reason}\)", lines[0])
    assert query(secondary, f"h49.{ZONE}").answer
    await_event(lambda: len(now := file.read_bytes()) == len(whole) and now != damaged, "a new file")
    primary.stop()
    secondary.restart()
    secondary.await_serial(ZONE, 1)


def test_file_of_another_zone(servers, tmp_path):
    other = "example.org"
    primary, secondary = servers.pair({ZONE: zone_text(ZONE), other: zone_text(other, serial=7)}, items=kept(tmp_path))
    await_file(secondary)
    foreign = await_file(secondary, other)
    secondary.stop()
    file_of(secondary).write_bytes(foreign.read_bytes())
    secondary.start()
    secondary.await_serial(ZONE, 1)
    secondary.await_log(r"passed over \(of another zone\)")
    secondary.await_log(RESTORED.format(serial=7), after=secondary.started_at)


def test_purge(servers, tmp_path):
    primary, secondary = servers.pair({ZONE: zone_text(ZONE)}, items=kept(tmp_path))
    file = await_file(secondary)
    primary.stop()
    secondary.knotc_module("-f", "zone-purge", ZONE)
    await_event(lambda: not file.exists(), "the end of the file")
    secondary.restart()
    secondary.await_log(r"refresh, failed \(connection refused\)", after=secondary.started_at)
    assert serial_of(secondary, ZONE) is None and not re.search("zone restored", secondary.log_text())


def test_store_by_reload(servers, scope, tmp_path):
    """Zones that serve are kept from the reload on that asks for it, or in another place."""
    primary, secondary = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    for place in ("one", "other"):
        secondary.items["store"] = str(tmp_path / place)
        secondary.reload()
        await_file(secondary)
    primary.stop()
    secondary.restart()
    secondary.await_serial(ZONE, 1)
    del secondary.items["store"]
    secondary.restart()
    secondary.await_log(r"refresh, failed \(connection refused\)", after=secondary.started_at)
    assert serial_of(secondary, ZONE) is None


def test_two_servers_in_one_directory(servers, tmp_path):
    primary, secondary = servers.pair({ZONE: zone_text(ZONE)}, items=kept(tmp_path))
    await_file(secondary)
    second = servers.secondary([ZONE], [primary], items=kept(tmp_path)).start()
    second.await_serial(ZONE, 1)
    second.await_log(rf"error: .*store, directory '{re.escape(str(tmp_path))}/store' not used \(in use by another server\)")
    assert not re.search("zone restored", second.log_text())


def test_no_directory(servers, tmp_path):
    zones = {f"z{n}.example": zone_text(f"z{n}.example") for n in range(20)}
    _, secondary = servers.pair(zones, scope="global", items={"store": str(tmp_path / "none" / "store")})
    line = r"error: .*store, directory '.*/none/store' not used"
    secondary.await_log(line)
    assert len(re.findall(line, secondary.log_text())) == 1


def test_others_are_told_of_what_is_kept(servers, tmp_path):
    """A NOTIFY goes out when the version is on disk, and after a start for what was kept."""
    target = Target()
    primary, secondary = servers.pair({ZONE: zone_text(ZONE)}, items={**kept(tmp_path), "notify": "peer0"}, notify=[target])
    listen([target], lambda: (absolute(ZONE), 1) in target.heard)
    assert file_of(secondary).exists()
    primary.change(ZONE, "more 60 A 192.0.2.9")
    listen([target], lambda: (absolute(ZONE), 2) in target.heard)
    primary.stop()
    secondary.kill()
    target.heard.clear()
    secondary.start()
    listen([target], lambda: (absolute(ZONE), 2) in target.heard)
    target.socket.close()


# Disks that fail

class OnTmpfs(Secondary):
    """Its store is a small file system of its own, in a mount namespace of its own."""

    size = "96k"

    def prepare(self):
        super().prepare()
        (self.path / "disk").mkdir(exist_ok=True)

    def command(self):
        disk = self.path / "disk"
        return ["unshare", "-m", "sh", "-c", f"mount -t tmpfs -o size={self.size} tmpfs {disk} && exec \"$@\"", "sh", *super().command()]

    @property
    def disk(self):
        return type(self.path)(f"/proc/{self.process.pid}/root{self.path}/disk")

    def remount(self, options):
        subprocess.run(["nsenter", "-t", str(self.process.pid), "-m", "mount", "-o", f"remount,{options}", str(self.path / "disk")], check=True)


@pytest.fixture
def on_tmpfs(servers):
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount namespaces here")

    def make(primary, target):
        secondary = servers._add(OnTmpfs, [ZONE], [primary], items={"notify": "peer0"}, notify=[target])
        secondary.items["store"] = str(secondary.path / "disk" / "store")
        primary.notify.append(secondary)
        primary.start()
        secondary.start()
        listen([target], lambda: (absolute(ZONE), 1) in target.heard)
        return secondary
    return make


def next_version(primary, secondary, target, serial):
    """A new version serves, and others are told, whatever becomes of the file."""
    primary.set_zone(ZONE, hosts(250, serial))
    secondary.await_serial(ZONE, serial)
    listen([target], lambda: (absolute(ZONE), serial) in target.heard)
    assert query(secondary, f"h249.{ZONE}").answer


FAILING = {
    "full": (lambda secondary: (secondary.disk / "filler").write_bytes(bytes(os.statvfs(secondary.disk).f_bavail * 4096)),
             lambda secondary: (secondary.disk / "filler").unlink(), "No space left on device|not enough space provided"),
    "read-only": (lambda secondary: secondary.remount("ro"), lambda secondary: secondary.remount("rw"), "Read-only file system"),
}


@pytest.mark.parametrize("case", FAILING)
def test_disk_fails(servers, on_tmpfs, case):
    fail, mend, reason = FAILING[case]
    target, primary = Target(), servers.knotd({ZONE: hosts(2, 1)})
    secondary = on_tmpfs(primary, target)
    file = secondary.disk / "store" / f"{ZONE}.zone"
    fail(secondary)
    next_version(primary, secondary, target, 2)
    next_version(primary, secondary, target, 3)
    errors = re.findall(r"error: .*store, .*", secondary.log_text())
    assert len(errors) == 1 and re.search(rf"store, directory '.*/disk/store', not written \(({reason})\)", errors[0]), errors
    held = file.read_bytes()
    mend(secondary)
    next_version(primary, secondary, target, 4)
    secondary.await_log(r"notice: .*store, directory '.*/disk/store', written again")
    assert file.read_bytes() != held
    target.socket.close()


def test_disk_hangs(servers, tmp_path):
    """A disk that does not come back holds up nobody: the zone serves, other zones are kept, and others are told after some patience."""
    other, target = "example.org", Target()
    primary, secondary = servers.pair({ZONE: hosts(2, 1), other: zone_text(other)}, items={**kept(tmp_path), "notify": "peer0"}, notify=[target])
    listen([target], lambda: {(absolute(ZONE), 1), (absolute(other), 1)} <= set(target.heard))
    # What does not follow upon another version is written to a new file. It has a serial of its own, as NOTIFY of the one before may come twice.
    primary.stop()
    secondary.knotc_module("-f", "zone-purge", ZONE)
    await_event(lambda: not file_of(secondary).exists(), "the end of the file")
    # Who opens a pipe for writing waits for a reader.
    os.mkfifo(f"{file_of(secondary)}.new")
    told_at = []

    def hears(zone, serial):
        """Has it heard of that? And when of the version that cannot be written?"""
        if (absolute(ZONE), 2) in target.heard and not told_at:
            told_at.append(time.monotonic())
        return (absolute(zone), serial) in target.heard

    began = time.monotonic()
    primary.zones[ZONE] = hosts(3, 2)
    primary.start()
    await_serial(primary, other)
    secondary.knotc_module("zone-refresh", ZONE)
    await_event(lambda: query(secondary, f"h2.{ZONE}").answer, "the version")
    for serial in (2, 3):
        primary.change(other, f"more{serial} 60 TXT x")
        listen([target], lambda: hears(other, serial))
    listen([target], lambda: hears(ZONE, 2))
    assert told_at[0] - began > 2.5
    reader = os.open(f"{file_of(secondary)}.new", os.O_RDONLY | os.O_NONBLOCK)
    secondary.await_log(r"error: .*store, directory '.*/store', not written \(Illegal seek\)")
    os.close(reader)
    secondary.stop()
    target.socket.close()


# Servers that are killed

ROUNDS = 200 if os.environ.get("TEST_FULL") == "1" else 6


class Updates(threading.Thread):
    """Changes the zone at its primary again and again: its records tell the serial."""

    def __init__(self, primary, serial):
        super().__init__(daemon=True)
        self.primary, self.serial, self.going, self.trouble = primary, serial, True, None

    def run(self):
        try:
            while self.going:
                self.serial += 1
                self.primary.change(ZONE, "-serial TXT", f"serial 60 TXT {self.serial}", f"-churn{self.serial % 50} TXT", f"churn{self.serial % 50} 60 TXT {self.serial}")
        except AssertionError as error:
            self.trouble = error

    def stop(self):
        self.going = False
        self.join()
        assert not self.trouble, self.trouble


def assert_whole(secondary):
    """What serves is one version: its serial is that of its record."""
    serial = query(secondary, ZONE, "SOA").answer[0][0].serial
    text = query(secondary, f"serial.{ZONE}", "TXT").answer[0][0].strings[0]
    return serial == int(text)


@pytest.mark.plain
def test_killed_at_any_moment(servers, tmp_path):
    """Under updates and queries: it comes back with what it has told others of, or something newer, and whole."""
    random.seed(seed := int(os.environ.get("SEED", time.time())))
    print(f"SEED={seed}")
    target, dead = Target(), Peer()
    primary, secondary = servers.pair({ZONE: hosts(200, 1) + "serial 60 TXT 1\n" + "".join(f"churn{n} 60 TXT 0\n" for n in range(50))},
                                      items={**kept(tmp_path), "notify": f"peer{0}"}, notify=[target])
    serial = 1
    for _ in range(ROUNDS):
        updates = Updates(primary, serial)
        updates.start()
        target.heard.clear()
        until = time.monotonic() + random.uniform(0.05, 1.0)
        listen([target], lambda: serial_of(secondary, ZONE) is not None and time.monotonic() > until and target.heard)
        secondary.kill()
        updates.stop()
        serial = updates.serial
        while listen_once(target):
            pass
        told = max(heard for _, heard in target.heard)

        # Its primary is not there: what serves is what was kept.
        secondary.primaries, there = [dead], secondary.primaries
        secondary.start()
        found = int(secondary.await_log(r"store, zone restored, serial (\d+)", after=secondary.started_at)[1])
        assert found >= told, f"serial {found} after a start, others were told of {told}"
        assert query(secondary, ZONE, "SOA").answer[0][0].serial == found and assert_whole(secondary)
        secondary.stop()
        secondary.primaries = there
        secondary.start()
        secondary.await_serial(ZONE, serial)
    assert not re.search("passed over|not written", secondary.log_text())
    target.socket.close()


def listen_once(target):
    """Takes a datagram that has come, if one has."""
    target.socket.setblocking(False)
    try:
        target.read()
        return True
    except BlockingIOError:
        return False
    finally:
        target.socket.setblocking(True)
