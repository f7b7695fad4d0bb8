# SPDX-License-Identifier: GPL-3.0-or-later
"""Increments out: what changed is transferred by others, and makes of their version ours, record for record."""

import re
import subprocess

import dns.query
import dns.rcode
import dns.rdatatype
import dns.xfr
import dns.zone
import pytest

from servers import CLIENT_PATIENCE, SLOWNESS, Key, Peer, absolute, ask, await_event, await_serial, serial_of, tool, zone_text
from test_control import status
from test_reexport import PATIENT, ZONE, Client, big_text, exporter, pull, request, signature
from updates import await_news


def records(count=200):
    return "".join(f"host{n} A 192.0.2.{n % 250}\nhost{n} TXT \"{n}\"\n" for n in range(count))


def changed(serial):
    """The zone at a serial: some records are added with each, some go, some change, and the SOA's timers stay."""
    return zone_text(ZONE, records() + "".join(f"new{n} A 192.0.2.{n % 250}\nnew{n} MX {n} host{n}\n" for n in range(max(1, serial - 2), serial))
                     + f"changes TXT \"{serial}\"\nchanges CAA 0 issue \"ca{serial}\"\n", serial=serial)


def lines(done):
    found = [" ".join(line.split()) for line in done.stdout.splitlines() if line and not line.startswith(";")]
    assert found, f"{done.stdout}{done.stderr}"
    return found


def increment(server, serial, zone=ZONE, key=None):
    """The records of an IXFR from a serial, in order, as kdig prints them."""
    return lines(subprocess.run([tool("kdig"), f"@{server.address}", "-p", str(server.port), absolute(zone), f"IXFR={serial}", "+noall", "+answer",
                                 CLIENT_PATIENCE, *signature(key)], capture_output=True, text=True, timeout=60 * SLOWNESS))


def serial_in(line):
    """Of a line with a SOA."""
    words = line.split()
    return int(words[6]) if words[3] == "SOA" else None


def is_increment(answer):
    """The first record is the newest SOA, the second the client's."""
    return len(answer) > 1 and serial_in(answer[1]) is not None


def await_increment(server, serial, key=None):
    """Of a version that has just been seen: what leads to it comes a moment later."""
    def look():
        answer = increment(server, serial, key=key)
        return answer if is_increment(answer) else None
    return await_event(look, f"an increment from serial {serial}")


def apply(held, answer):
    """Applies an increment to sorted lines; what is removed must be there, what is added must not."""
    held, newest, removing = set(held), serial_in(answer[0]), False
    for line in answer[1:]:
        if serial_in(line) is not None:
            removing = not removing
            if removing and serial_in(line) == newest:
                break
        if removing:
            held.remove(line)
        else:
            assert line not in held
            held.add(line)
    assert line == answer[-1] == answer[0]
    return sorted(held)


def versions(primary, secondary, numbers, text=changed):
    """Makes the versions one after the other; returns what each held."""
    held = {}
    for number in numbers:
        if number > 1:
            primary.set_zone(ZONE, text(number))
        await_news(secondary, lambda: serial_of(secondary, ZONE) == number, f"serial {number}")
        held[number] = sorted(set(pull(secondary, ZONE)))
    return held


@pytest.fixture(params=[False, True], ids=["plain", "signed"])
def key(request):
    return Key("downstream") if request.param else None


@pytest.mark.parametrize("kind", ["knotd", "nsd", "named"])
def test_every_serial_leads_to_the_newest(servers, scope, kind):
    """Also where the primary sent whole zones."""
    primary, secondary = exporter(servers, {ZONE: changed(1)}, scope, kind=kind)
    held = versions(primary, secondary, range(1, 6))
    for serial in range(1, 5):
        assert apply(held[serial], await_increment(secondary, serial)) == held[5]
    assert increment(secondary, 5) == increment(secondary, 6) == [line for line in held[5] if " SOA " in line]
    secondary.await_log(r"IXFR, outgoing, remote 127.0.0.1@\d+, started, serial 1 -> 5$")
    secondary.await_log(r"IXFR, outgoing, remote 127.0.0.1@\d+, finished, \d+\.\d\d seconds, 1 messages, \d+ bytes$")


def test_over_messages_and_signed(servers, scope):
    """More than a message holds, each of them signed."""
    key = Key("downstream")
    rule = {"signed": {"key": key.name, "action": "transfer"}}
    primary, secondary = servers.pair({ZONE: zone_text(ZONE, records(3000))}, scope=scope, items={"transfer-to": "signed"}, acl=rule, keys=[key])
    before = pull(primary, ZONE)
    primary.set_zone(ZONE, zone_text(ZONE, records(2000) + "".join(f"more{n} MX {n} host{n}\n" for n in range(1000)), serial=2))
    secondary.await_serial(ZONE, 2)
    answer = await_increment(secondary, 1, key)
    assert apply(sorted(set(before)), answer) == sorted(set(pull(primary, ZONE)))
    assert int(secondary.await_log(r"IXFR, outgoing, .* finished, \d+\.\d\d seconds, (\d+) messages")[1]) > 3


def test_dnspython_applies_it(servers, scope):
    primary, secondary = exporter(servers, {ZONE: changed(1)}, scope)
    copy = dns.zone.from_text(changed(1), absolute(ZONE), relativize=False)
    for serial in (2, 3):
        primary.set_zone(ZONE, changed(serial))
        secondary.await_serial(ZONE, serial)
    await_increment(secondary, 1)
    wanted, _ = dns.xfr.make_query(copy)
    dns.query.inbound_xfr(secondary.address, copy, query=wanted, port=secondary.port)
    assert copy == dns.zone.from_text(changed(3), absolute(ZONE), relativize=False)
    secondary.await_log(r"IXFR, outgoing, remote 127.0.0.1@\d+, finished")


# --- what is no increment

def test_unknown_serials_get_the_zone(servers, scope):
    primary, secondary = exporter(servers, {ZONE: changed(5)}, scope)
    primary.set_zone(ZONE, changed(7))
    secondary.await_serial(ZONE, 7)
    await_increment(secondary, 5)
    for serial in (1, 4, 6, 7 + 2**31):
        answer = increment(secondary, serial)
        assert not is_increment(answer) and sorted(answer) == pull(primary, ZONE), serial


def test_a_way_longer_than_the_zone(servers):
    """It is not worth its octets."""
    primary, secondary = exporter(servers, {ZONE: zone_text(ZONE, records(1000))})
    primary.set_zone(ZONE, zone_text(ZONE, records(100), serial=2))
    secondary.await_serial(ZONE, 2)
    # What leads to the next version comes after what could have led to this one.
    primary.set_zone(ZONE, zone_text(ZONE, records(101), serial=3))
    secondary.await_serial(ZONE, 3)
    await_increment(secondary, 2)
    answer = increment(secondary, 1)
    assert not is_increment(answer) and sorted(answer) == pull(primary, ZONE)


def test_over_udp_the_soa_alone(servers, scope):
    primary, secondary = exporter(servers, {ZONE: changed(1)}, scope)
    versions(primary, secondary, range(1, 3))
    response = ask(secondary, request("IXFR", serial=1))
    assert [rrset.rdtype for rrset in response.answer] == [dns.rdatatype.SOA] and response.answer[0][0].serial == 2


def test_denied(servers, scope):
    primary, secondary = servers.pair({ZONE: changed(1)}, scope=scope)
    primary.set_zone(ZONE, changed(2))
    secondary.await_serial(ZONE, 2)
    response = ask(secondary, request("IXFR", serial=1), tcp=True)
    assert response.rcode() == dns.rcode.NOTAUTH and not response.answer


# --- what is kept

def test_kept_over_reload_and_trimmed(servers, scope):
    primary, secondary = exporter(servers, {ZONE: changed(1)}, scope)
    held = versions(primary, secondary, range(1, 4))
    await_increment(secondary, 1)
    assert re.fullmatch(r"2, \d{3,4} octets", status(secondary)[absolute(ZONE)]["differences"])
    secondary.reload()
    assert apply(held[1], increment(secondary, 1)) == held[3]
    secondary.items["difference-max-size"] = "0"
    secondary.reload()
    await_event(lambda: not is_increment(increment(secondary, 1)), "the zone instead of an increment")
    assert "differences" not in status(secondary)[absolute(ZONE)]
    primary.set_zone(ZONE, changed(4))
    secondary.await_serial(ZONE, 4)
    assert not is_increment(increment(secondary, 3))


def test_kept_over_expiry(servers):
    text = {number: changed(number).replace("3600 600 604800", "2 1 4") for number in (1, 2, 3)}
    primary, secondary = exporter(servers, {ZONE: text[1]}, items={"refresh-jitter": "0", "retry-jitter": "0"})
    held = versions(primary, secondary, range(1, 3), text.get)
    await_increment(secondary, 1)
    primary.stop()
    secondary.await_log("zone expired, serial 2")
    assert ask(secondary, request("IXFR", serial=1), tcp=True).rcode() == dns.rcode.SERVFAIL
    primary.start()
    # It says so before what leads to the version is back.
    secondary.await_log("zone recovered, serial 2")
    assert apply(held[1], await_increment(secondary, 1)) == held[2]


def test_forgotten_when_an_older_version_is_forced(servers):
    primary, secondary = exporter(servers, {ZONE: changed(1)})
    versions(primary, secondary, range(1, 4))
    await_increment(secondary, 1)
    seen = secondary.log_position()
    primary.stop()
    primary.zones[ZONE] = changed(2).replace('"2"', '"another 2"')
    primary.start()
    secondary.knotc_module("zone-retransfer", ZONE)
    secondary.await_log(r"zone updated.* serial 3 -> 2", after=seen)
    await_event(lambda: not is_increment(increment(secondary, 1)), "the zone instead of an increment")
    primary.set_zone(ZONE, changed(4))
    secondary.await_serial(ZONE, 4)
    await_increment(secondary, 2)
    assert not is_increment(increment(secondary, 1)) and not is_increment(increment(secondary, 3))


def test_a_retransfer_of_the_same_forgets_nothing(servers):
    primary, secondary = exporter(servers, {ZONE: changed(1)})
    held = versions(primary, secondary, range(1, 4))
    await_increment(secondary, 1)
    seen = secondary.log_position()
    secondary.knotc_module("zone-retransfer", ZONE)
    secondary.await_log(r"zone updated.* serial 3 -> 3", after=seen)
    assert apply(held[1], await_increment(secondary, 1)) == held[3]


# --- slow clients

@pytest.mark.plain
def test_an_increment_goes_on_to_its_end(servers):
    """Through more versions than are kept for slow clients of whole zones, and after what it sends is kept no more."""
    primary, secondary = exporter(servers, {ZONE: big_text()}, server_conf=PATIENT, workers=8)
    changes = "".join(f"host{n} 3600 A 198.51.{n >> 8 & 255}.{n & 255}\n" for n in range(40_000))
    primary.set_zone(ZONE, big_text(serial=2) + changes + "".join(f"more{n} TXT \"{'y' * 100}\"\n" for n in range(40_000)) + "more TXT last\n")
    secondary.await_serial(ZONE, 2)
    await_event(lambda: "differences" in status(secondary)[absolute(ZONE)], "the difference")
    with Client(secondary, request("IXFR", serial=1)) as client:
        client.message()
        for serial in range(3, 3 + 5):
            primary.change(ZONE, f"new{serial} 3600 A 192.0.2.{serial}")
            secondary.await_serial(ZONE, serial)
        secondary.items["difference-max-size"] = "0"
        secondary.reload()
        await_event(lambda: "differences" not in status(secondary)[absolute(ZONE)], "nothing kept")
        assert [value for item, value in status(secondary)[absolute(ZONE)].items() if item.startswith("outgoing") and "IXFR" in value]
        assert client.drain(4 + 80_001 - client.taken) == 2
    secondary.await_log(r"IXFR, outgoing, remote 127.0.0.1@\d+, finished")


# --- other servers behind the module

def knotd_mirror(servers, source, key):
    return servers.knotd(mirrored=[ZONE], primaries=[Peer(source.port, source.address, key)])


def nsd_mirror(servers, source, key):
    name = key.name if key else "NOKEY"
    conf = (f"zone:\n    name: {absolute(ZONE)}\n    request-xfr: {source.address}@{source.port} {name}\n"
            f"    allow-notify: 127.0.0.0/8 {name}\n    provide-xfr: 127.0.0.0/8 NOKEY\n    outgoing-interface: 127.0.0.1\n")
    return servers.nsd({}, conf=conf, key=key)


def named_mirror(servers, source, key):
    with_key = f' key "{key.name}"' if key else ""
    conf = (f'zone "{absolute(ZONE)}" {{ type secondary; primaries {{ {source.address} port {source.port}{with_key}; }};'
            f' allow-transfer {{ any; }}; request-ixfr yes; masterfile-format text; file "mirror"; }};\n')
    return servers.named({}, conf=conf, key=key)


MIRRORS = {"knotd": knotd_mirror, "nsd": nsd_mirror, "named": named_mirror}


def mirrored(servers, kind, text, key=None, **signing):
    """A primary, a module behind it, and a server behind that, which hears of each version from the module."""
    primary = servers.knotd({ZONE: text}, **signing)
    secondary = servers.secondary([ZONE], [primary], items={"transfer-to": "rule", "notify": "peer0"}, keys=[key] if key else [],
                                  acl={"rule": {"action": "transfer", **({"key": key.name} if key else {})}})
    mirror = MIRRORS[kind](servers, secondary, key)
    primary.notify.append(secondary)
    secondary.notify.append(Peer(mirror.port, mirror.address, key))
    for server in (primary, secondary, mirror):
        server.start()
    await_serial(mirror, ZONE)
    # It may have missed the first notice, which would be sent again later, perhaps before what leads to the next version is there. Of a version
    # that they have none of the three asks.
    seen = secondary.log_position()
    secondary.knotc_module("zone-notify", ZONE)
    secondary.await_log(r"notify, outgoing, .*, serial \d+$", after=seen)
    return primary, secondary, mirror


def increments_sent(secondary):
    return re.findall(r"IXFR, outgoing, .* started, serial (\d+) -> (\d+)", secondary.log_text())


def zones_sent(secondary):
    return len(re.findall(r"AXFR, outgoing, .* started", secondary.log_text()))


def assert_follows(primary, secondary, mirror, changes):
    """The mirror comes to hold each version that a change makes, by nothing but increments."""
    for change in changes:
        before = secondary.await_serial(ZONE)
        change()
        serial = await_event(lambda: (now := serial_of(primary, ZONE)) != before and now, "a change at the primary")
        await_serial(mirror, ZONE, serial)
        assert pull(mirror, ZONE) == pull(primary, ZONE)
        assert increments_sent(secondary)[-1] == (str(before), str(serial))
    assert zones_sent(secondary) == 1


def set_to(primary, text):
    return lambda: primary.set_zone(ZONE, text)


@pytest.mark.plain
@pytest.mark.parametrize("kind", MIRRORS)
def test_others_follow(servers, kind, key):
    tree = mirrored(servers, kind, changed(1), key)
    assert_follows(*tree, [set_to(tree[0], changed(serial)) for serial in (2, 3, 4, 9)])


#: A primary that signs each change.
SIGNING = {"zone_conf": "    dnssec-signing: on\n    dnssec-policy: nsec3\n",
           "server_conf": "policy:\n  - id: nsec3\n    nsec3: on\n    nsec3-iterations: 0\n    nsec3-salt-length: 0\n    single-type-signing: on\n"}


@pytest.mark.plain
@pytest.mark.parametrize("kind", MIRRORS)
def test_others_follow_a_signed_zone(servers, kind):
    tree = mirrored(servers, kind, changed(1), **SIGNING)
    assert "NSEC3" in " ".join(pull(tree[2], ZONE))
    commands = [["new 60 A 192.0.2.9"], ["-host5", "sub 60 NS ns.sub", "ns.sub 60 A 192.0.2.10"], ["-new", "x.y.new 60 A 192.0.2.9", "* 60 TXT w"]]
    assert_follows(*tree, [lambda words=words: tree[0].change(ZONE, *words) for words in commands])


@pytest.mark.parametrize("kind", MIRRORS)
def test_others_are_told_when_large_versions_are_compared(servers, kind):
    """NOTIFY comes when the increment is there, not before."""
    def large(serial):
        return zone_text(ZONE, records(10000) + f"new{serial} A 192.0.2.1\n", serial=serial)
    tree = mirrored(servers, kind, large(1))
    assert_follows(*tree, [set_to(tree[0], large(serial)) for serial in (2, 3, 4)])
