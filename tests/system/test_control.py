# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket, with the stock knotc."""

import os
import re
import socket
import stat
import subprocess
import time

import pytest

from servers import SLOWNESS, Peer, await_event, knotc, listens, query, tool, zone_text

ZONES = ["example.com", "example.net", "example.org"]


def pair(servers, scope, zones=ZONES, **kwargs):
    return servers.pair({zone: zone_text(zone) for zone in zones}, scope=scope, **kwargs)


def status(module, *zones):
    """zone-status as {zone: {item: value}}."""
    found = {}
    for line in module.knotc_module("zone-status", *zones).splitlines():
        zone, items = re.fullmatch(r"\[(\S+)\] (.*)", line).groups()
        found[zone] = dict(item.split(": ", 1) for item in items.split(" | "))
    return found


def refused(module, *words):
    """A command that fails, and what it says."""
    done = subprocess.run([tool("knotc"), "-s", module.control, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode != 0, done.stdout
    return (done.stdout + done.stderr).strip()


def test_status(servers, scope):
    primary, module = pair(servers, scope)
    found = status(module, "example.com")["example.com."]
    assert found["role"] == "slave" and found["serial"] == "1" and found["state"] == "fresh"
    assert re.fullmatch(r"\+(1h|59m\d+s|1h\d+s)", found["refresh"]), found["refresh"]
    assert re.fullmatch(r"\+6D23h59m\d+s|\+7D", found["expiration"]), found["expiration"]
    assert found["records"] == "6" and int(found["memory"]) > 0
    assert found[f"primary 127.0.0.1@{primary.port}"] == "ok, serial 1"
    module.await_log(rf"control socket {re.escape(str(module.control))}$")
    assert len(re.findall(r"control socket ", module.log_text())) == 1


def test_status_of_some_and_all(servers, scope):
    _, module = pair(servers, scope)
    assert list(status(module)) == ["example.com.", "example.net.", "example.org."]
    assert list(status(module, "--")) == ["example.com.", "example.net.", "example.org."]
    assert list(status(module, "example.org", "EXAMPLE.com.")) == ["example.org.", "example.com."]


def test_status_never_loaded(servers, scope):
    dead = Peer()
    module = servers.secondary(["example.com"], [dead], scope=scope).start()
    found = await_event(lambda: (lambda now: now if now["refresh"] != "running" else None)(status(module)["example.com."]),
                        "end of the first check")
    assert found["state"] == "never loaded" and found["serial"] == "-"
    assert re.fullmatch(r"pending|\+\d+s", found["refresh"])
    assert found[f"primary 127.0.0.1@{dead.port}"].startswith("failed, ")
    everything = module.knotc_module("-e", "zone-status")
    assert "expiration: -" in everything


def test_status_retrying_and_expired(servers, scope):
    text = zone_text("example.com", refresh=1, retry=1, expire=5)
    primary, module = servers.pair({"example.com": text}, scope=scope, items={"refresh-jitter": 0, "retry-jitter": 0})
    primary.stop()

    def state(wanted):
        return await_event(lambda: status(module)["example.com."]["state"] == wanted, f"state {wanted}")
    state("retrying")
    state("expired")
    primary.start()
    state("fresh")


def test_status_filters(servers, scope):
    _, module = pair(servers, scope)
    assert module.knotc_module("zone-status", "+serial", "example.com").strip() == "[example.com.] serial: 1"
    assert module.knotc_module("zone-status", "+role", "+serial", "example.com").strip() == "[example.com.] role: slave | serial: 1"
    assert module.knotc_module("zone-status", "+events", "example.com").startswith("[example.com.] state: fresh")
    assert refused(module, "zone-status", "+catalog", "example.com") == "error: [example.com] (filter is not supported)"


def test_refresh(servers, scope):
    """A change that was not notified is found at the operator's command."""
    primary = servers.knotd({zone: zone_text(zone) for zone in ZONES}, name="primary").start()
    module = servers.secondary(ZONES, [primary], scope=scope, name="secondary").start()
    for zone in ZONES:
        module.await_serial(zone)
    for zone in ZONES:
        primary.change(zone, "www 60 A 192.0.2.4")
    seen = module.log_position()
    assert module.knotc_module("zone-refresh", "example.com").strip() == "OK"
    module.await_serial("example.com", 2)
    assert status(module)["example.net."]["serial"] == "1"
    module.await_log(r"control, received command 'zone-refresh'", after=seen)
    assert module.knotc_module("zone-refresh").strip() == "OK"
    for zone in ZONES:
        module.await_serial(zone, 2)


def test_retransfer(servers, scope):
    primary, module = pair(servers, scope)
    assert primary.transfers("example.com") == 1
    assert module.knotc_module("zone-retransfer", "example.com", "example.net").strip() == "OK"
    await_event(lambda: primary.transfers("example.com") == primary.transfers("example.net") == 2, "transfers")
    assert primary.transfers("example.org") == 1
    assert query(module, "example.com", "SOA").answer


@pytest.mark.parametrize("command", ["zone-status", "zone-refresh", "zone-retransfer"])
def test_unknown_zones(servers, scope, command):
    _, module = pair(servers, scope)
    assert refused(module, command, "example.edu") == "error: [example.edu] (no such zone found)"
    text = refused(module, command, "example.com", "example.edu", "example.net")
    assert "error: [example.edu] (no such zone found)" in text and text.count("error") == 1
    assert "invalid parameter" in refused(module, command, "a..b")


@pytest.mark.parametrize("words", [["zone-purge", "-f", "example.com"], ["zone-flush"], ["status"],
                                   ["reload"], ["zone-read", "example.com"], ["stats"], ["conf-list"]], ids=lambda words: words[0])
def test_other_commands(servers, words):
    _, module = pair(servers, "zone")
    if "-f" in words:
        words = ["-f", *[word for word in words if word != "-f"]]
    assert "not supported" in refused(module, *words)
    assert query(module, "example.com", "SOA").answer


def test_blocking_mode(servers):
    _, module = pair(servers, "zone")
    assert refused(module, "-b", "zone-refresh", "example.com") == "error: [example.com] (blocking mode is not supported)"


def test_two_clients(servers, scope):
    """One after the other: the second waits for the first. Not more than libknot's backlog of five holds: knotc does not wait for room."""
    _, module = pair(servers, scope)
    commands = [[tool("knotc"), "-s", module.control, "zone-status"] for _ in range(5)]
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    for client in clients:
        out, _ = client.communicate(timeout=30)
        assert client.returncode == 0 and out.count("serial: 1") == len(ZONES)


def connect(module):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(module.control))
    return client


def request(command, *zones):
    """A block as knotc sends it (libknot/control): data units with command and zone, then the end of the block."""
    def item(code, text):
        return bytes([16 + code]) + len(text).to_bytes(2, "big") + text.encode()
    units = b"".join(b"\x01" + item(0, command) + item(6, zone) for zone in zones) or b"\x01" + item(0, command)
    return units + b"\x03"


def test_clients_that_vanish(servers, scope):
    """At any point: before a word, in the middle of one, before and while they are answered."""
    _, module = pair(servers, scope)
    whole = request("zone-status", *ZONES * 200)
    for part in [b"", b"\x01", whole[:7], whole[:-1], whole, b"\xff", b"\x03\x03", b"\x00", b"\x02" * 9, os.urandom(300)]:
        with connect(module) as client:
            client.sendall(part)
    # They fill the backlog for a moment, and knotc does not wait for room in it.
    await_event(lambda: "serial: 1" in knotc(module.control, "zone-status", check=False), "its turn")
    assert len(status(module)) == len(ZONES)


def test_client_that_is_slow(servers, scope):
    """It is dropped, and the others are served."""
    _, module = pair(servers, scope)
    with connect(module) as client:
        client.sendall(b"\x01")
        assert len(status(module)) == len(ZONES)
        client.settimeout(30)
        assert client.recv(1) == b""


@pytest.mark.alone
@pytest.mark.parametrize("clients", [0, 1, 3])
def test_stop_is_prompt(servers, clients):
    """Neither the wait for clients (5 seconds in libknot) nor clients that say nothing (2 seconds) hold the server's end up."""
    _, module = pair(servers, "zone")
    silent = [connect(module) for _ in range(clients)]
    begin = time.monotonic()
    module.stop()
    assert time.monotonic() - begin < (3 if clients else 1.5) * SLOWNESS
    assert not module.control.exists()
    for client in silent:
        client.close()


def test_socket(servers, scope):
    """Owner and group may connect; a file left over from a killed server is replaced."""
    primary, module = pair(servers, scope)
    mode = os.stat(module.control).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) & 0o007 == 0
    module.kill()
    assert module.control.exists() and not listens(module.control)
    module.start()
    module.await_serial("example.com")
    assert len(status(module)) == len(ZONES)


def test_listen_elsewhere(servers, tmp_path):
    path = tmp_path / "elsewhere.sock"
    _, module = pair(servers, "zone", items={"control-listen": path})
    assert "example.com." in knotc(path, "zone-status", "example.com")


def test_no_place_for_the_socket(servers, tmp_path):
    """The zones are served without it, and the log says so once, not once a zone."""
    path = tmp_path / "no" / "such" / "directory.sock"
    _, module = pair(servers, "zone", items={"control-listen": path})
    assert len(re.findall(r"control socket .*failed \(", module.log_text())) == 1


def test_reload(servers, scope):
    """The socket stays the same over a reload."""
    _, module = pair(servers, scope)
    before = os.stat(module.control).st_ino
    module.reload()
    assert len(status(module)) == len(ZONES)
    assert os.stat(module.control).st_ino == before
