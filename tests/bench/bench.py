# SPDX-License-Identifier: GPL-3.0-or-later
"""`./build.sh bench [NAME…]`: measures and prints Markdown. Machines are noisy: ours and its peer take turns, medians and ratios count."""

import argparse
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "system"), str(Path(__file__).parent)]

import zones  # noqa: E402
from replay import Replay  # noqa: E402
from servers import Servers, free_port, message, tool  # noqa: E402
from upstream import bench_upstream  # noqa: E402


def machine():
    """What the figures were measured on, and with."""
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    release = next((line.split('"')[1] for line in open("/etc/os-release") if line.startswith("PRETTY_NAME")), "")
    knotd = subprocess.run([tool("knotd"), "-V"], capture_output=True, text=True).stdout.strip()
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores of {cpu}, {release}, Linux {platform.release()}; {knotd}; "
          f"mod-secondary {commit or 'without commit'}\n")


def resident(process):
    """Resident memory in octets, once it stands still."""
    def look():
        with open(f"/proc/{process.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))
    last = look()
    while True:
        time.sleep(0.5)
        now = look()
        if abs(now - last) < 1 << 20:
            return now
        last = now


def first_answer(server, name, timeout=300):
    """Seconds from now until the server answers the name with a record."""
    wire = message(name, "A").to_wire()
    began = time.monotonic()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect((server.address, server.port))
        client.settimeout(0.002)
        while time.monotonic() - began < timeout:
            try:
                client.send(wire)
                response = client.recv(4096)
                if response[:2] == wire[:2] and response[6:8] != b"\0\0":
                    return time.monotonic() - began
            except (TimeoutError, ConnectionRefusedError):
                pass
            time.sleep(0.001)
            server.assert_alive()
    raise AssertionError(f"{server.path.name} does not answer {name}")


def load_once(server, name):
    """Starts a server; (seconds to the first answer, resident octets). Another one's pages must not be in the way: it is stopped again."""
    server.write_config()
    server.launch()
    seconds = first_answer(server, name)
    memory = resident(server.process)
    server.stop()
    return seconds, memory


def median(values):
    return statistics.median(values)


def bench_load(servers, arguments):
    """Time from start to the first correct answer of a zone of a million records, and memory."""
    zone, records = zones.H1M, zones.H1M_RECORDS * arguments.scale
    text = ROOT / "build" / f"h{arguments.scale}m.zone"
    zones.write_h1m(text, arguments.scale)
    source = servers.knotd({zone: ""}, name="source")
    source.zone_file(zone).unlink(missing_ok=True)
    source.prepare = lambda: source.zone_file(zone).symlink_to(text)
    source.start()
    primary = Replay("127.0.0.1", free_port())
    primary.capture(source, zone, records + 1)
    source.stop()

    last = f"{zones.h1m_owner(zones.H1M_NAMES * arguments.scale - 2)}.{zone}"
    peers = {"mod-secondary": servers.secondary([zone], [primary]), "knotd": servers.knotd(mirrored=[zone], primaries=[primary])}
    results = {name: [] for name in peers}
    for _ in range(arguments.rounds):
        for name, server in peers.items():
            results[name].append(load_once(server, last))
    primary.close()

    print(f"### load: {records:,} records in {zones.H1M_NAMES * arguments.scale:,} names, "
          f"{len(primary.stream):,} octets of AXFR replayed, {arguments.rounds} rounds in turns\n")
    print("| server | start to first answer, median (s) | least – most | RSS, median (MB) | octets a record |\n|---|---|---|---|---|")
    for name, rounds in results.items():
        times, memory = [seconds for seconds, _ in rounds], median(octets for _, octets in rounds)
        print(f"| {name} | {median(times):.3f} | {min(times):.3f} – {max(times):.3f} | {memory / 1e6:.1f} | {memory / records:.1f} |")
    ratios = [[ours[n] / theirs[n] for ours, theirs in zip(*results.values())] for n in (0, 1)]
    print(f"| ratio | {median(ratios[0]):.2f} | {min(ratios[0]):.2f} – {max(ratios[0]):.2f} | {median(ratios[1]):.2f} | |\n")


def drain_transfer(server, zone):
    """Seconds from the request to the last octet of an AXFR, and the octets. The client only receives, and has no more to ask."""
    wire = message(zone, "AXFR", payload=None).to_wire()
    buffer, octets = bytearray(1 << 20), 0
    with socket.create_connection((server.address, server.port)) as client:
        began = last = time.monotonic()
        client.sendall(len(wire).to_bytes(2, "big") + wire)
        client.shutdown(socket.SHUT_WR)
        while count := client.recv_into(buffer):
            octets, last = octets + count, time.monotonic()
    return last - began, octets


def bench_transfer(servers, arguments):
    """A full transfer out of a zone of a million records over loopback."""
    zone, records = zones.H1M, zones.H1M_RECORDS * arguments.scale
    text = ROOT / "build" / f"h{arguments.scale}m.zone"
    zones.write_h1m(text, arguments.scale)
    native = servers.knotd({zone: ""})
    native.zone_file(zone).unlink(missing_ok=True)
    native.prepare = lambda: native.zone_file(zone).symlink_to(text)
    ours = servers.secondary([zone], [native], items={"transfer-to": "everyone"}, acl={"everyone": {"action": "transfer"}})
    native.start()
    ours.start().await_serial(zone, timeout=300)

    peers = {"mod-secondary": ours, "knotd": native}
    results = {name: [] for name in peers}
    for _ in range(arguments.rounds):
        for name, server in peers.items():
            results[name].append(drain_transfer(server, zone))

    print(f"### transfer: AXFR out of {records:,} records over loopback, {arguments.rounds} rounds in turns\n")
    print("| server | seconds, median | least – most | octets | MB/s |\n|---|---|---|---|---|")
    for name, rounds in results.items():
        times, octets = [seconds for seconds, _ in rounds], rounds[0][1]
        print(f"| {name} | {median(times):.3f} | {min(times):.3f} – {max(times):.3f} | {octets:,} | {octets / median(times) / 1e6:.0f} |")
    ratios = [a[0] / b[0] for a, b in zip(*results.values())]
    print(f"| ratio | {median(ratios):.2f} | {min(ratios):.2f} – {max(ratios):.2f} | | |\n")


BENCHES = {"load": bench_load, "transfer": bench_transfer, "upstream": bench_upstream}


def main():
    parser = argparse.ArgumentParser(prog="./build.sh bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all without one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=int, default=1, help="times a million records")
    arguments = parser.parse_args()
    for name in arguments.names or BENCHES:
        if name not in BENCHES:
            parser.error(f"no bench {name}; there are: {', '.join(BENCHES)}")
    machine()
    for name in arguments.names or BENCHES:
        with tempfile.TemporaryDirectory(prefix="mod-secondary-bench.") as directory:
            servers = Servers(directory)
            try:
                BENCHES[name](servers, arguments)
            finally:
                servers.stop()


if __name__ == "__main__":
    main()
