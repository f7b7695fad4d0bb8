# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways in which knotd is run: as a daemon (`-d`), with privileges dropped (`user`), and confined as Debian's knot.service does it.

In each a zone comes, answers, is refreshed and survives a reload, and what the module makes (its control socket, the files of zones that are kept)
belongs to whom it should.
"""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import tempfile
from pathlib import Path

import dns.rcode
import pytest

from servers import PATIENCE, Secondary, await_event, module_path, query, tool, zone_text

ZONE = "example.com"
USER = "knot"
PR_SET_CHILD_SUBREAPER = 36
CAPABILITIES = "+net_bind_service,+setpcap"

#: Whatever a service may need is set up as root.
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving up privileges takes root")


def status_of(pid):
    """What the kernel tells about a process, {field: text}."""
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def user_ids():
    user = pwd.getpwnam(USER)
    return user.pw_uid, user.pw_gid


class Daemon(Secondary):
    """`knotd -d`: the process that was started ends at once, and its grandchild, which goes on, becomes a child of the test."""

    def _server(self):
        return super()._server().replace("target: stderr", f"target: {self.log}")

    def command(self):
        return [*super().command(), "-d"]

    def launch(self):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        super().launch()
        starter, self.process = self.process, None
        assert starter.wait(timeout=PATIENCE) == 0
        self.process = Adopted(int(await_event(self.pid_text, "the daemon's pid file")))

    def pid_text(self):
        file = self.run / "knot.pid"
        return file.read_text().strip() if file.exists() else ""


class Adopted:
    """What Server uses of subprocess.Popen, for a process that the test did not start itself."""

    def __init__(self, pid):
        self.pid, self.status = pid, None

    def poll(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def wait(self, timeout=None):
        return self.status if self.poll() is not None else await_event(lambda: [self.status] if self.poll() is not None else None,
                                                                       "the daemon's end", timeout)[0]

    def send_signal(self, number):
        os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)


class Service(Secondary):
    """knotd as systemd runs it by Debian's knot.service, with what a hardened unit adds.

    Of the unit: User, Group, CapabilityBoundingSet, AmbientCapabilities, NoNewPrivileges, Type=notify,
    RuntimeDirectory, StateDirectory, -m. Beyond it: ProtectSystem=strict (all of the file system is read-only but these two
    directories), ProtectHome, PrivateTmp, an environment of its own.
    """

    def __init__(self, path, **how):
        super().__init__(path, **how)
        self.notify_path = self.run / "notify"

    def command(self):
        place, stage = self.path.parent, "/mnt"
        writable = [f"{stage}/{path.relative_to(place)}" for path in (self.run, self.storage, self.database)]
        # The place may be below /tmp, which is to be empty: it stands aside meanwhile.
        confine = [f"mount --bind {place} {stage}", *(f"mount --bind {path} {path}" for path in writable), f"mount -o remount,bind,ro {stage}",
                   "mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /tmp", f"mkdir -p {place}", f"mount --move {stage} {place}",
                   "mount -t tmpfs -o ro tmpfs /home", "mount -o remount,bind,ro /", 'exec "$@"']
        uid, gid = user_ids()
        return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(confine), "sh",
                "setpriv", f"--reuid={uid}", f"--regid={gid}", "--init-groups", "--no-new-privs",
                f"--bounding-set=-all,{CAPABILITIES}", f"--inh-caps=-all,{CAPABILITIES}", f"--ambient-caps=-all,{CAPABILITIES}",
                tool("knotd"), "-m", "512", "-c", self.conf]

    def environment(self):
        usual = super().environment()
        usual.update((name, usual[name].replace(f"{self.path}/report", f"{self.run}/report")) for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"))
        kept = {name: usual[name] for name in ("LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS") if name in usual}
        return {**kept, "PATH": usual["PATH"], "NOTIFY_SOCKET": str(self.notify_path), "KNOT_ZONE_LOAD_TIMEOUT_SEC": "180"}

    def launch(self):
        for path in (self.path, self.run, self.storage, self.database):
            os.chown(path, *user_ids())
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.setblocking(False)
        self.notify_path.unlink(missing_ok=True)
        self.manager.bind(str(self.notify_path))
        os.chown(self.notify_path, *user_ids())
        super().launch()

    def await_ready(self):
        self.await_told("READY=1")
        return super().await_ready()

    def await_told(self, what):
        """Waits until the service manager has been told."""
        def look():
            self.assert_alive()
            try:
                return what in self.manager.recv(4096).decode().splitlines()
            except BlockingIOError:
                return False
        await_event(look, f"{what} to the service manager")


@pytest.fixture
def place(tmp_path):
    """The test's directory, with a way to it for others; pytest makes its own for us alone."""
    for path in (tmp_path, *tmp_path.parents):
        if path.is_relative_to(tempfile.gettempdir()) and path.owner() == tmp_path.owner() and not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o011)
    return tmp_path


def start(servers, cls, place, scope, **how):
    """A primary and a secondary of that class in the place; both run, the zone is served."""
    primary = servers.knotd({ZONE: zone_text(ZONE, "www A 192.0.2.3\n")}, name="primary")
    secondary = cls(place / "secondary", names=[ZONE], primaries=[primary], scope=scope, **how)
    secondary.items["store"] = str(secondary.storage / "kept")
    servers.all.append(secondary)
    primary.notify.append(secondary)
    primary.start()
    shutil.copy(module_path(), place / "secondary.so")
    conf = secondary.config
    secondary.config = lambda: conf().replace(str(module_path()), str(place / "secondary.so"))
    secondary.start().await_serial(ZONE, 1)
    return primary, secondary


def assert_lives(primary, secondary, reload):
    """Answers, is refreshed, is reloaded without a transfer, and is refreshed again; the control socket works."""
    for serial in (2, 4):
        assert query(secondary, f"www.{ZONE}").answer
        assert query(secondary, f"a.www.{ZONE}").rcode() == dns.rcode.NXDOMAIN
        primary.change(ZONE, "new 60 A 192.0.2.9")
        secondary.await_serial(ZONE, serial)
        primary.change(ZONE, "-new A")
        secondary.await_serial(ZONE, serial + 1)
        assert f"serial: {serial + 1}" in secondary.knotc_module("zone-status", ZONE)
        transfers = primary.transfers(ZONE)
        reload()
        assert primary.transfers(ZONE) == transfers
    secondary.knotc_module("zone-retransfer", ZONE)
    await_event(lambda: primary.transfers(ZONE) == transfers + 1, "a transfer by command")


def assert_dropped(secondary):
    """Everything runs as the user, every thread, and the socket is the user's alone."""
    uid, gid = user_ids()
    for task in Path(f"/proc/{secondary.process.pid}/task").iterdir():
        status = status_of(task.relative_to("/proc"))
        assert set(status["Uid"].split()) == {str(uid)} and set(status["Gid"].split()) == {str(gid)}
    kept = secondary.storage / "kept" / f"{ZONE}.zone"
    await_event(kept.exists, "the file of the zone")
    for path in (secondary.control, kept, kept.parent):
        assert (path.stat().st_uid, path.stat().st_gid) == (uid, gid)
    assert not kept.stat().st_mode & 0o7 and not kept.parent.stat().st_mode & 0o7


def sighup(secondary):
    seen = secondary.log_position()
    secondary.signal(signal.SIGHUP)
    secondary.await_log(r"configuration reloaded", after=seen)


def test_daemon(servers, place, scope):
    primary, secondary = start(servers, Daemon, place, scope)
    assert_lives(primary, secondary, secondary.reload)
    secondary.stop()
    assert not secondary.control.exists()


@as_root
def test_user(servers, place, scope):
    """Loaded as root, run as somebody else: threads and sockets are made after privileges have gone."""
    primary, secondary = start(servers, give_away(Secondary), place, scope, server_conf=f"    user: {USER}:{USER}\n")
    assert_dropped(secondary)
    assert_lives(primary, secondary, secondary.reload)
    assert_dropped(secondary)


@as_root
def test_daemon_with_user(servers, place, scope):
    primary, secondary = start(servers, give_away(Daemon), place, scope, server_conf=f"    user: {USER}:{USER}\n")
    assert_dropped(secondary)
    assert_lives(primary, secondary, lambda: sighup(secondary))


def give_away(cls):
    """The class with directories that belong to the user, as the package makes them."""
    class Given(cls):
        def launch(self):
            self.log.touch()
            for path in (self.path, self.run, self.storage, self.database, self.log):
                os.chown(path, *user_ids())
            super().launch()
    return Given


@as_root
def test_service(servers, place, scope):
    primary, secondary = start(servers, Service, place, scope)
    assert_dropped(secondary)
    status = status_of(secondary.process.pid)
    assert status["NoNewPrivs"].strip() == "1" and status["CapBnd"] == status["CapEff"]
    mounts = [line.split()[4:6] for line in Path(f"/proc/{secondary.process.pid}/mountinfo").read_text().splitlines()]
    assert [options.split(",")[0] for point, options in mounts if point in ("/", str(place))][-2:] == ["ro", "ro"]
    assert_lives(primary, secondary, lambda: sighup(secondary))
    secondary.stop()
    assert not secondary.control.exists()
