# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket, with the stock knotc."""

import os
import re
import socket
import stat
import subprocess
import time

import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from scripted import Scripted, answer
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
    found = await_event(lambda: (lambda now: now if now["state"] == "fresh" else None)(status(module, "example.com")["example.com."]), "peace")
    assert found["role"] == "slave" and found["serial"] == "1"
    assert re.fullmatch(r"\+(1h|59m\d+s|1h\d+s)", found["refresh"]), found["refresh"]
    assert re.fullmatch(r"\+6D23h59m\d+s|\+7D", found["expiration"]), found["expiration"]
    assert found["records"] == "6" and int(found["memory"]) > 0
    assert re.fullmatch(r"ok, serial 1, -\d+s", found[f"primary 127.0.0.1@{primary.port}"])
    assert re.fullmatch(r"-\d+s", found["last-success"]) and found["scope"] == scope and int(found["octets"]) > 100
    assert "retry" not in found and "transaction" not in found and "upstream" not in found
    module.await_log(rf"control socket {re.escape(str(module.control))}$")
    assert len(re.findall(r"control socket ", module.log_text())) == 1


def test_status_of_some_and_all(servers, scope):
    _, module = pair(servers, scope)
    assert list(status(module)) == ["example.com.", "example.net.", "example.org."]
    assert list(status(module, "--")) == ["example.com.", "example.net.", "example.org."]
    assert list(status(module, "example.org", "EXAMPLE.com.")) == ["example.org.", "example.com."]


def test_status_of_transfers(servers):
    """In and out, with how far they are."""
    def script(asked, tcp):
        if asked.question[0].rdtype != dns.rdatatype.AXFR:
            return None
        return answer(asked, "example.com. 60 SOA ns. hostmaster. 7 60 60 60 60", *(f"h{n}.example.com. 60 A 192.0.2.1" for n in range(99)))
    stalling = Scripted(script)
    fat = " ".join(['"' + "x" * 250 + '"'] * 16)
    large = servers.knotd({"example.net": zone_text("example.net", "".join(f"host{n} TXT {fat}\n" for n in range(6000)))}).start()
    module = servers.secondary(["example.com", "example.net"], [Peer(stalling.port), large], acl={"all": {"action": "transfer"}},
                               items={"transfer-to": "all"}, server_conf="    tcp-io-timeout: 60000\n").start()
    found = await_event(lambda: re.fullmatch(r"AXFR, 100 records, \d{4} octets, \d+ octets/s", status(module, "example.com")["example.com."]
                                             .get(f"incoming 127.0.0.1@{stalling.port}", "")), "a transfer in")
    stalling.stop()
    module.await_serial("example.net")
    with socket.create_connection((module.address, module.port)) as client:
        wire = dns.message.make_query("example.net.", "AXFR").to_wire()
        client.sendall(len(wire).to_bytes(2, "big") + wire)
        remote = f"outgoing 127.0.0.1@{client.getsockname()[1]}"
        found = await_event(lambda: status(module, "example.net")["example.net."].get(remote), "a transfer out")
        assert re.fullmatch(r"AXFR, serial 1, \d+ records, \d+ octets, \d+ octets/s", found)
    await_event(lambda: remote not in status(module, "example.net")["example.net."], "its end")


def test_status_of_upstream(servers):
    """How many targets are looked up ahead, and in the statistics that the resolver fails."""
    records = "one CNAME a.elsewhere.test.\ntwo CNAME b.elsewhere.test.\nthree CNAME a.elsewhere.test.\n"
    _, module = servers.pair({"example.com": zone_text("example.com", records), "example.net": zone_text("example.net")},
                             items={"upstream": f"127.0.0.1@{Peer().port}"})
    await_event(lambda: status(module, "example.com")["example.com."].get("upstream") == "2 targets", "targets")
    assert status(module, "example.net")["example.net."]["upstream"] == "0 targets"
    await_event(lambda: re.search(r"upstream\[failures\] = [1-9]", module.knotc_module("stats")), "a failure")


def test_status_never_loaded(servers, scope):
    dead = Peer()
    module = servers.secondary(["example.com"], [dead], scope=scope).start()
    asked = f"primary 127.0.0.1@{dead.port}"
    found = await_event(lambda: (lambda now: now if now["refresh"] != "running" and now[asked] != "not asked" else None)
                        (status(module)["example.com."]), "end of the first check")
    assert found["state"] == "never loaded" and found["serial"] == "-"
    assert re.fullmatch(r"pending|\+\d+s", found["refresh"]) and found[asked].startswith("failed, ")
    everything = module.knotc_module("-e", "zone-status")
    assert "expiration: -" in everything and "last-success: -" in everything and "catalog: -" in everything
    assert re.fullmatch(r"pending|\+\d+s", found["retry"])


def test_status_retrying_and_expired(servers, scope):
    text = zone_text("example.com", refresh=1, retry=1)
    primary, module = servers.pair({"example.com": text}, scope=scope, items={"refresh-jitter": 0, "retry-jitter": 0})
    primary.stop()

    def state(wanted):
        return await_event(lambda: status(module)["example.com."]["state"] == wanted, f"state {wanted}")
    state("retrying")
    module.items["expire-max-interval"] = 3
    module.reload()
    state("expired")
    primary.start()
    state("fresh")


def test_status_filters(servers, scope):
    _, module = pair(servers, scope)
    assert module.knotc_module("zone-status", "+serial", "example.com").strip() == "[example.com.] serial: 1"
    assert module.knotc_module("zone-status", "+role", "+serial", "example.com").strip() == "[example.com.] role: slave | serial: 1"
    assert module.knotc_module("zone-status", "+events", "example.com").startswith(f"[example.com.] scope: {scope} | state: fresh")
    assert module.knotc_module("-e", "zone-status", "+catalog", "example.com").strip() == "[example.com.] catalog: -"
    assert module.knotc_module("-e", "zone-status", "+freeze", "example.com").strip() == "[example.com.] freeze: - | XFR-freeze: -"
    assert module.knotc_module("-e", "zone-status", "+transaction", "example.com").strip() == "[example.com.] transaction: -"


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


@pytest.mark.parametrize("words", [["zone-flush"], ["reload"], ["zone-read", "example.com"], ["conf-list"], ["stop"]],
                         ids=lambda words: words[0])
def test_other_commands(servers, words):
    _, module = pair(servers, "zone")
    assert "not supported by mod-secondary" in refused(module, *words)
    assert query(module, "example.com", "SOA").answer


def test_server_status(servers):
    _, module = pair(servers, "zone")
    assert module.knotc_module("status").strip() == "Running"
    assert re.match(r"Version: mod-secondary \d+\.\d+\.\d+, for Knot DNS 3\.2\.", module.knotc_module("status", "version"))
    assert module.knotc_module("status", "workers").strip() == "Zones: 3, served: 3"
    assert "libunbound" in module.knotc_module("status", "configure")
    assert "invalid parameter" in refused(module, "status", "cookies")


# -- purging ----------------------------------------------------------------------------------------------------------

def test_purge(servers, scope):
    """What serves is given up at once; what the primary has now comes, were it older."""
    primary, module = pair(servers, scope)
    assert "force option required" in refused(module, "zone-purge", "example.com")
    assert status(module)["example.com."]["serial"] == "1"
    seen = module.log_position()
    assert module.knotc_module("-f", "-b", "zone-purge", "example.com").strip() == "OK"
    module.await_log(r"zone purged, serial 1", after=seen)
    module.await_log(r"serial none -> 1", after=seen)
    assert primary.transfers("example.com") == 2 and primary.transfers("example.net") == 1

    primary.stop()
    assert "error: [example.com.] (" in refused(module, "-f", "-b", "zone-purge", "example.com")
    assert query(module, "example.com", "SOA").rcode() == dns.rcode.SERVFAIL and query(module, "example.net", "SOA").answer
    assert status(module)["example.com."]["state"] == "never loaded"
    for zone in ("example.net", "example.org"):
        assert query(module, zone, "SOA").answer
    primary.start()
    module.knotc_module("-f", "zone-purge", "--")
    for zone in ZONES:
        module.await_serial(zone, 1)


def test_purge_filters(servers, tmp_path):
    """Version, file and differences go one by one; of other things nothing is kept."""
    store = tmp_path / "store"
    primary, module = pair(servers, "zone", items={"store": store})
    primary.change("example.com", "new 60 A 192.0.2.99")
    module.await_serial("example.com", 2)
    await_event(lambda: status(module)["example.com."].get("differences", "0").split(",")[0].split(" ")[0] == "1", "a difference")
    await_event(lambda: len(list(store.glob("*example.com*"))) == 1, "a file")
    assert module.knotc_module("-f", "-b", "zone-purge", "+timers", "+kaspdb", "+catalog", "example.com").strip() == "OK"
    assert module.knotc_module("-f", "-b", "zone-purge", "+journal", "example.com").strip() == "OK"
    assert status(module)["example.com."].get("differences", "0").startswith("0")
    assert module.knotc_module("-f", "-b", "zone-purge", "+zonefile", "example.com").strip() == "OK"
    await_event(lambda: not list(store.glob("*example.com*")), "the end of the file")
    assert status(module)["example.com."]["serial"] == "2" and primary.transfers("example.com") <= 2
    before = primary.transfers("example.com")
    assert module.knotc_module("-f", "-b", "zone-purge", "+expire", "example.com").strip() == "OK"
    assert primary.transfers("example.com") == before + 1
    assert "filter is not supported" in refused(module, "-f", "zone-purge", "+orphan", "example.com")


# -- blocking mode ----------------------------------------------------------------------------------------------------

def test_blocking_mode(servers, scope):
    """The answer comes when the work has ended, with its end."""
    primary = servers.knotd({zone: zone_text(zone) for zone in ZONES}, name="primary").start()
    module = servers.secondary(ZONES, [primary], scope=scope, name="secondary").start()
    for zone in ZONES:
        module.await_serial(zone)
        primary.change(zone, "www 60 A 192.0.2.4")
    assert module.knotc_module("-b", "zone-refresh", "example.com").strip() == "OK"
    assert module.await_serial("example.com") == 2 and module.await_serial("example.net") == 1
    assert module.knotc_module("-b", "zone-refresh").strip() == "OK"
    assert [module.await_serial(zone) for zone in ZONES] == [2, 2, 2]
    assert module.knotc_module("-b", "zone-retransfer", *ZONES).strip() == "OK"
    assert [primary.transfers(zone) for zone in ZONES] == [3, 3, 3]
    assert module.knotc_module("-b", "zone-status", "+serial", "example.com").strip() == "[example.com.] serial: 2"
    primary.stop()
    text = refused(module, "-b", "zone-refresh", *ZONES)
    assert len(re.findall(r"error: \[example\.(com|net|org)\.\] \(", text)) == 3


def test_blocking_notify(servers, scope):
    branch = servers.knotd(mirrored=["example.com"], primaries=[], name="branch")
    primary = servers.knotd({"example.com": zone_text("example.com")}, name="primary").start()
    module = servers.secondary(["example.com"], [primary], scope=scope, name="secondary", items={"notify": "peer0"})
    module.notify.append(branch)
    module.acl["branch"] = {"address": "127.0.0.0/8", "action": "transfer"}
    module.items["transfer-to"] = "branch"
    branch.primaries.append(module)
    branch.start()
    module.start()
    module.await_serial("example.com")
    seen = module.log_position()
    assert module.knotc_module("-b", "zone-notify", "example.com").strip() == "OK"
    assert re.search(r"notify, outgoing, .* serial 1", module.log_text(seen))
    branch.stop()
    assert "error: [example.com.] (connection refused)" in refused(module, "-b", "zone-notify", "example.com")


def waiting(module, *words):
    return subprocess.Popen([tool("knotc"), "-s", module.control, "-b", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_blocking_clients_block_nobody(servers):
    """Others are served meanwhile; of those that wait there are not too many; one that leaves is forgotten."""
    silent = Peer()
    with socket.create_server((silent.address, silent.port)):
        module = servers.secondary(["example.com"], [silent], items={"transfer-idle-timeout": 300}).start()
        clients = [waiting(module, "zone-retransfer", "example.com") for _ in range(8)]
        # A ninth one that came before them would have the place of one.
        await_event(lambda: module.log_text().count("received command 'zone-retransfer'") == len(clients), "their commands")

        def one_more():
            return knotc(module.control, "-b", "-t", "2", "zone-retransfer", "example.com", check=False)
        assert "too many clients" in one_more()
        assert status(module)["example.com."]["state"] == "never loaded"
        clients[0].kill()
        clients[0].wait()
        await_event(lambda: "too many clients" not in one_more(), "a place")
        module.stop()
        for client in clients[1:]:
            client.communicate(timeout=30)
            assert client.returncode != 0


def test_reload_while_clients_wait(servers, scope):
    """The zones stay, and so does what is under way for them."""
    silent = Peer()
    with socket.create_server((silent.address, silent.port)) as listener:
        module = servers.secondary(["example.com"], [silent], scope=scope, items={"transfer-idle-timeout": 300}).start()
        client = waiting(module, "zone-refresh", "example.com")
        await_event(lambda: "received command 'zone-refresh'" in module.log_text(), "the command")
        module.reload()
        assert status(module)["example.com."]["state"] == "never loaded" and client.poll() is None
        # The primary breaks off each connection, now and from now on: the check fails, and that is the answer.
        listener.settimeout(10 * SLOWNESS)
        while client.poll() is None:
            try:
                listener.accept()[0].close()
            except TimeoutError:
                break
            module.knotc_module("zone-status")
        assert "error: [example.com.] (" in client.communicate(timeout=30)[0] and client.returncode != 0


# -- clients ----------------------------------------------------------------------------------------------------------

def test_many_clients(servers, scope):
    _, module = pair(servers, scope)
    commands = [[tool("knotc"), "-s", module.control, "zone-status"] for _ in range(20)]
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
    clients = [connect(module) for _ in range(16)]
    for client in clients:
        client.sendall(b"\x01")
    assert len(status(module)) == len(ZONES)
    for client in clients:
        client.settimeout(30)
        assert client.recv(1) == b""
        client.close()


def test_large_request(servers):
    """Twenty thousand zones in one command are answered, however slowly the client reads; more than a block may have is refused."""
    _, module = pair(servers, "zone")
    with connect(module) as client:
        client.settimeout(60)
        whole = request("zone-status", *["example.com"] * 20000)
        client.sendall(whole)
        text = b""
        while text.count(b"role") < 20000 or text[-1:] != b"\x03":
            text += client.recv(1 << 16)
        assert text.count(b"role") == 20000
    with connect(module) as client:
        client.settimeout(60)
        with pytest.raises(OSError):
            client.sendall(request("zone-status", *["example.com"] * 60000))
            assert client.recv(1)
            raise OSError
    assert len(status(module)) == len(ZONES)


@pytest.mark.alone
@pytest.mark.parametrize("clients", [0, 1, 3])
def test_stop_is_prompt(servers, clients):
    """Neither the wait for clients (5 seconds in libknot) nor clients that say nothing (2 seconds for each) hold the server's end up."""
    _, module = pair(servers, "zone")
    silent = [connect(module) for _ in range(clients)]
    # A wait for the next client would begin with the end of this one.
    status(module)
    begin = time.monotonic()
    module.stop()
    assert time.monotonic() - begin < 4 * SLOWNESS
    assert not module.control.exists()
    for client in silent:
        client.close()


def test_socket(servers, scope):
    """Owner and group may connect; a file left over from a killed server is replaced."""
    primary, module = pair(servers, scope)
    mode = os.stat(module.control).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) & 0o007 == 0
    ours, theirs = os.stat(module.control), os.stat(module.run / "knot.sock")
    assert (ours.st_mode, ours.st_uid, ours.st_gid) == (theirs.st_mode, theirs.st_uid, theirs.st_gid)
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


def test_file_in_the_place_of_the_socket(servers, tmp_path):
    """What somebody else has put there is left alone, and the zones are served without the socket."""
    path = tmp_path / "file"
    path.write_text("precious")
    _, module = pair(servers, "zone", items={"control-listen": path})
    assert len(re.findall(r"control socket .*failed \(", module.log_text())) == 1
    assert path.read_text() == "precious"


def test_socket_of_a_running_server(servers, tmp_path, scope):
    """One that is started by mistake beside another, with the same place for the socket, does not take it away."""
    path = tmp_path / "taken.sock"
    _, module = pair(servers, scope, items={"control-listen": path})
    there = os.stat(path).st_ino
    second = servers.secondary(ZONES, module.primaries, scope=scope, items={"control-listen": path}).start()
    assert len(re.findall(rf"control socket {path}, failed \(requested resource is busy\)", second.log_text())) == 1
    second.stop()
    assert os.stat(path).st_ino == there
    assert "example.com." in knotc(path, "zone-status", "example.com")


def test_reload(servers, scope):
    """The socket stays the same over a reload."""
    _, module = pair(servers, scope)
    before = os.stat(module.control).st_ino
    module.reload()
    assert len(status(module)) == len(ZONES)
    assert os.stat(module.control).st_ino == before
