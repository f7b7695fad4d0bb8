# SPDX-License-Identifier: GPL-3.0-or-later
"""Reloads under a steady stream of queries: none is lost, none is answered otherwise, nothing is transferred again."""

import re
import signal
import subprocess
from pathlib import Path

import pytest

from servers import PATIENCE, await_event, die_with_parent, tool, zone_text

ZONES = {name: zone_text(name, "".join(f"host{n} A 192.0.2.{n}\n" for n in range(100))) for name in ("example.com", "example.org")}
QUERIES_PER_SECOND = 2000
RELOADS = 100


class Stream:
    """dnsperf at a steady rate, asking for addresses of these names in turns, until it is stopped."""

    def __init__(self, server, path, rate, names):
        queries = path / "queries"
        queries.write_text("".join(f"{name} A\n" for name in names))
        self.out = path / "dnsperf.out"
        with open(self.out, "w") as out:
            self.process = subprocess.Popen([tool("dnsperf"), "-s", server.address, "-p", str(server.port), "-d", str(queries), "-Q", str(rate),
                                             "-c", "4", "-l", "600", "-t", str(PATIENCE), "-S", "1"],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=die_with_parent)

    def __enter__(self):
        self.await_report()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def reports(self):
        """Its line for each second that has passed."""
        return len(re.findall(r"^[0-9.]+: [0-9.]+", self.out.read_text(), re.MULTILINE))

    def await_report(self):
        """Waits for the next second of the stream to be over."""
        before = self.reports()
        await_event(lambda: self.reports() > before, "dnsperf's report")

    def stop(self):
        """Ends the stream and returns what it says about itself."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)
        text = self.out.read_text()

        def number(what):
            return float(re.search(rf"{what}: +([0-9.]+)", text).group(1))
        return {"sent": number("Queries sent"), "completed": number("Queries completed"), "lost": number("Queries lost"),
                "rate": number("Queries per second"), "codes": re.search(r"Response codes: +(.*)", text).group(1)}


@pytest.mark.alone
def test_reloads_lose_no_query_and_transfer_nothing(servers, scope, tmp_path):
    primary, secondary = servers.pair(ZONES, scope=scope)
    # The primary sends NOTIFY at its start; what comes after the first transfers is what counts.
    for zone in ZONES:
        await_event(lambda: primary.transfers(zone), f"the transfer of {zone} in the primary's log")
    before = {zone: primary.transfers(zone) for zone in ZONES}

    with Stream(secondary, tmp_path, QUERIES_PER_SECOND, [f"host{n}.{zone}" for n in range(100) for zone in ZONES]) as stream:
        for _ in range(RELOADS):
            secondary.knotc("reload")
        stream.await_report()
        result = stream.stop()

    print(result)
    # How fast they come is the machine's affair; that they came between reloads and during them is not.
    assert result["sent"] > 10 * RELOADS
    assert result["lost"] == 0
    assert re.fullmatch(r"NOERROR \d+ \(100\.00%\)", result["codes"])
    assert {zone: primary.transfers(zone) for zone in ZONES} == before


def nice_values(pid):
    """What each thread claims of a processor: field 19 of proc(5)'s stat, behind the name, which may have spaces."""
    return [int(stat.read_text().rpartition(")")[2].split()[16]) for stat in Path(f"/proc/{pid}/task").glob("*/stat")]


def test_transfers_give_way_to_answers(servers):
    """The background thread claims less than each of knotd's threads."""
    _, secondary = servers.pair(ZONES)
    values = sorted(set(nice_values(secondary.process.pid)))
    assert values == [values[0], values[0] + 10]
