# SPDX-License-Identifier: GPL-3.0-or-later
"""ZONEMD: digests that knotd and ldns made are found right, zones that were tampered with are refused, and what is shown of that."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "differential"))

import corpus  # noqa: E402
import signed  # noqa: E402
from servers import absolute, await_event, query, tool, zone_text  # noqa: E402

ZONE = "example.com"
SIGNING = "policy:\n  - id: sign\n    algorithm: ecdsap256sha256\n    single-type-signing: on\n"
REQUIRED = {"zonemd-verify": "require"}


def ldns_digest(path, zone, text, algorithms=("sha384", "sha512")):
    """The text of a zone, whose origin is the zone, and digests by ldns."""
    path.mkdir(exist_ok=True)
    source, result = path / "source", path / "result"
    source.write_text(text)
    wanted = [word for algorithm in algorithms for word in ("-z", f"simple:{algorithm}")]
    done = subprocess.run([tool("ldns-signzone"), "-Z", *wanted, "-o", absolute(zone), "-f", str(result), str(source)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^(\S+)\t\d+\tIN\tZONEMD\t(\d+ 1 \d .*)$", result.read_text(), re.MULTILINE)
    digests = [rdata for owner, rdata in found if owner.lower() == absolute(zone).lower()]
    assert len(digests) == len(algorithms)
    return text + "".join(f"@ 3600 ZONEMD {rdata}\n" for rdata in digests)


def assert_all_verified(servers, primary, zones):
    """The module demands digests of all zones, and takes each from the primary."""
    secondary = servers.secondary(list(zones), [primary], scope="global", items={**REQUIRED, "transfer-limit-remote": 100}).start()

    def names(what):
        return {name.lower() for name in re.findall(rf"zone '([^']+)', {what}", secondary.log_text())}

    await_event(lambda: len(names("refresh, remote .*(?:failed|zone updated)")) == len(zones), "all zones")
    assert not names("refresh, remote .*failed"), secondary.tail(100)
    assert names("ZONEMD, verified, serial ") == {absolute(zone).lower() for zone in zones}


CORPUS = {name: corpus.zone_file(name, text) for name, text in {**corpus.ZONES, ".": corpus.ROOT}.items()}


@pytest.mark.plain
@pytest.mark.parametrize("algorithm", ["zonemd-sha384", "zonemd-sha512"])
def test_knotd_made_it(servers, algorithm):
    # knotd does not load a zone that it is to digest if an RRset is longer than a message.
    zones = {name: text for name, text in CORPUS.items() if name != "big.diff.test"}
    primary = servers.knotd(zones, zone_conf=f"    zonemd-generate: {algorithm}\n").start()
    assert_all_verified(servers, primary, zones)


@pytest.mark.plain
def test_ldns_made_it(servers, tmp_path):
    zones = {name: ldns_digest(tmp_path / "ldns", name, text) for name, text in CORPUS.items()}
    assert_all_verified(servers, servers.knotd(zones).start(), zones)


@pytest.mark.parametrize("how", signed.CHAINS)
def test_signed(servers, how):
    """NSEC3 owners stand among the others, and RRSIG of all types is one type."""
    nsec3 = signed.CHAINS[how]
    policy = SIGNING + "".join(f"    {item}: {value}\n" for item, value in (
        ("nsec3", "on" if nsec3.get("nsec3") else "off"), ("nsec3-opt-out", "on" if nsec3.get("opt_out") else "off"),
        ("nsec3-iterations", nsec3.get("iterations", 0)), ("nsec3-salt-length", nsec3.get("salt", 0))))
    zones = {signed.ZONE: zone_text(signed.ZONE, signed.RECORDS)}
    primary = servers.knotd(zones, server_conf=policy, zone_conf="    dnssec-signing: on\n    dnssec-policy: sign\n"
                                                                 "    zonemd-generate: zonemd-sha384\n").start()
    assert_all_verified(servers, primary, zones)


#: A zone's text with its digest, tampered with; does knotd's own zonemd-verify take the result, and does each of our settings?
TAMPERED = {
    "untouched": (lambda text: text, True, True, True),
    "rdata": (lambda text: text.replace("192.0.2.44", "192.0.2.45"), False, False, False),
    "added": (lambda text: text + "more 3600 IN A 192.0.2.1\n", False, False, False),
    "removed": (lambda text: re.sub(r"gone .*\n", "", text), False, False, False),
    "ttl": (lambda text: text.replace("www A", "www 3601 A"), False, False, False),
    "serial": (lambda text: re.sub(r"(SOA .*) 5 3600 ", r"\1 6 3600 ", text), False, False, False),
    "digest": (lambda text: re.sub(r"(ZONEMD\s+\d+ \d+ \d+ )(..)", lambda found: found[1] + f"{int(found[2], 16) ^ 1:02x}", text),
               False, False, False),
    "other algorithm": (lambda text: re.sub(r"ZONEMD\s+(\d+) 1 1 ", r"ZONEMD \1 1 241 ", text), False, True, False),
    "no digest": (lambda text: re.sub(r".*ZONEMD.*\n", "", text), False, True, False),
}


def tampered(path, change):
    text = ldns_digest(path, ZONE, zone_text(ZONE, "www A 192.0.2.44\ngone A 192.0.2.46\n", serial=5), ["sha384"])
    assert change(text) != text or change is TAMPERED["untouched"][0]
    return change(text)


@pytest.mark.parametrize("case", TAMPERED)
def test_tampered(servers, tmp_path, case):
    change, *verdicts = TAMPERED[case]
    primary = servers.knotd({ZONE: tampered(tmp_path / "ldns", change)}).start()
    native = servers.knotd(mirrored=[ZONE], primaries=[primary], zone_conf="    zonemd-verify: on\n").start()
    modules = [servers.secondary([ZONE], [primary], items={"zonemd-verify": policy}).start() for policy in ("if-present", "require")]

    def is_taken(server):
        found = server.await_log(r"refresh, remote .*(zone updated|failed)|refresh, failed")
        return "updated" in found[0]

    assert [is_taken(server) for server in (native, *modules)] == verdicts


def test_old_version_stays(servers, tmp_path, scope):
    """A version that fails changes nothing, is shown with its reason, and the next good one is taken."""
    def version(serial, address):
        return ldns_digest(tmp_path / "ldns", ZONE, zone_text(ZONE, f"www A {address}\n", serial=serial))

    primary, secondary = servers.pair({ZONE: version(1, "192.0.2.1")}, scope=scope, items=REQUIRED)
    primary.set_zone(ZONE, version(2, "192.0.2.2").replace("192.0.2.2\n", "192.0.2.66\n"))
    secondary.await_log(rf"refresh, remote {primary.address}@{primary.port}, failed \(ZONEMD does not match\)")
    assert query(secondary, f"www.{ZONE}").answer[0][0].address == "192.0.2.1"
    status = secondary.knotc_module("zone-status", ZONE)
    assert "serial: 1 " in status and "failed, ZONEMD does not match" in status
    # It came whole in answer to IXFR (the primary has no differences): to ask for it once more would bring the same.
    assert "receiving AXFR-style IXFR" in secondary.log_text() and "fallback" not in secondary.log_text()

    secondary.knotc_module("zone-retransfer", ZONE)
    secondary.await_log(r"(?s)received command.*failed \(ZONEMD does not match\)")
    assert query(secondary, f"www.{ZONE}").answer[0][0].address == "192.0.2.1"

    primary.set_zone(ZONE, version(3, "192.0.2.3"))
    secondary.await_serial(ZONE, 3)
    assert query(secondary, f"www.{ZONE}").answer[0][0].address == "192.0.2.3"


def test_increments(servers, scope):
    """Each version that an increment makes is hashed whole."""
    primary = servers.knotd({ZONE: zone_text(ZONE)}, zone_conf="    zonemd-generate: zonemd-sha512\n")
    secondary = servers.secondary([ZONE], [primary], scope=scope, items=REQUIRED)
    primary.notify.append(secondary)
    primary.start()
    secondary.start()
    serial = secondary.await_serial(ZONE)
    for n in range(5):
        primary.change(ZONE, f"n{n} 60 A 192.0.2.{n}", f"n{n} 60 TXT x")
        serial = secondary.await_serial(ZONE, serial + 1)
        secondary.await_log(rf"ZONEMD, verified, serial {serial}")
    assert len(re.findall(r"IXFR, incoming, .*, finished", secondary.log_text())) == 5
    assert not re.findall(r"fallback|failed \(ZONEMD", secondary.log_text())


def test_next_primary_has_a_good_one(servers, tmp_path):
    good = ldns_digest(tmp_path / "ldns", ZONE, zone_text(ZONE, "www A 192.0.2.44\n", serial=5))
    bad = servers.knotd({ZONE: good.replace("192.0.2.44", "192.0.2.45")}).start()
    better = servers.knotd({ZONE: good}).start()
    secondary = servers.secondary([ZONE], [bad, better], items=REQUIRED).start()
    secondary.await_serial(ZONE, 5)
    assert query(secondary, f"www.{ZONE}").answer[0][0].address == "192.0.2.44"
    assert re.search(rf"remote {bad.address}@{bad.port}, failed \(ZONEMD does not match\)", secondary.log_text())


def test_going_away_in_a_check(servers, tmp_path):
    """A zone that is transferred, checked and given up again and again: nothing is left behind."""
    text = zone_text(ZONE, "".join(f"n{n} TXT \"{n:0200}\"\n" for n in range(20000)), serial=5)
    primary, secondary = servers.pair({ZONE: ldns_digest(tmp_path / "ldns", ZONE, text)}, items=REQUIRED)
    for _ in range(10):
        secondary.knotc_module("zone-retransfer", ZONE)
        secondary.knotc_module("zone-retransfer", ZONE)
    secondary.stop()
