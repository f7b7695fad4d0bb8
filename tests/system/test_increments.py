# SPDX-License-Identifier: GPL-3.0-or-later
"""Increments in: after any number of changes the zone is, record for record, the primary's, and whatever goes wrong ends in AXFR."""

import re
import signal

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from scripted import Scripted
from servers import Key, absolute, await_event, await_serial, query, serial_of, soa, zone_text
from updates import FULL, KNOTD_INCREMENTS, NAMED_INCREMENTS, NSD_INCREMENTS, Changing, Watcher, assert_same_zone, await_news, has_serial_of, seeded

ZONE = "example.com"
EVERYONE = {"items": {"transfer-to": "everyone"}, "acl": {"everyone": {"action": "transfer"}}}


def knotd_source(servers, changing, zone_conf="", **more):
    head = servers.knotd({changing.zone: changing.text()}, updates=True, zone_conf=KNOTD_INCREMENTS + zone_conf, **more)
    return head, head


def named_source(servers, changing, **more):
    head = servers.named({changing.zone: changing.text()}, updates=True, zone_conf=NAMED_INCREMENTS, **more)
    return head, head


def nsd_source(servers, changing, **more):
    """It passes on what another one makes, change by change."""
    head = servers.knotd({changing.zone: changing.text()}, updates=True, zone_conf=KNOTD_INCREMENTS)
    primary = servers.nsd(mirrored=[changing.zone], primaries=[head], **NSD_INCREMENTS, **more)
    head.notify.append(primary)
    return head, primary


#: Where changes are made, and the primary that gives them as increments.
SOURCES = {"knotd": knotd_source, "named": named_source, "nsd": nsd_source}


def pair(servers, changing, kind="knotd", scope="zone", items=None, more=None, **kwargs):
    """Where changes are made, and a secondary that everyone may transfer from."""
    head, primary = SOURCES[kind](servers, changing, **(more or {}))
    secondary = servers.secondary([changing.zone], [primary], scope=scope, acl=EVERYONE["acl"], items={**EVERYONE["items"], **(items or {})}, **kwargs)
    primary.notify.append(secondary)
    for server in dict.fromkeys((head, primary)):
        server.start()
        await_serial(server, changing.zone)
    secondary.start().await_serial(changing.zone)
    return head, secondary


def await_same(head, secondary, zone):
    """Both have the same serial, and the same records."""
    secondary.knotc_module("zone-refresh", absolute(zone))
    await_news(secondary, lambda: has_serial_of(secondary, head, zone), f"{head.path.name}'s serial at {secondary.path.name}")
    assert_same_zone(head, secondary, zone)


def came(secondary, after=0):
    """How many increments and how many whole zones have come."""
    log = secondary.log_text(after)
    return len(re.findall(r"IXFR, incoming, .*finished", log)), len(re.findall(r"AXFR, incoming, .*finished", log))


@pytest.mark.parametrize("kind", SOURCES)
def test_random_changes(servers, kind, scope):
    """Each batch is fetched as one sequence or several, as it comes; never as a whole zone."""
    changing = Changing(ZONE, seeded())
    head, secondary = pair(servers, changing, kind, scope)
    for batch in range(200 if FULL else 8):
        for _ in range(changing.rng.choice([1, 1, 4, 20]) if kind != "nsd" else 1):
            changing.step(head)
        if kind == "nsd":
            await_serial(secondary.primaries[0], ZONE, changing.serial)
        await_same(head, secondary, ZONE)
    increments, wholes = came(secondary)
    assert increments >= batch and wholes == 1, secondary.log_text()
    assert "fallback" not in secondary.log_text()


POLICY = "policy:\n  - id: sign\n    algorithm: ecdsap256sha256\n    single-type-signing: on\n    nsec3: {}\n    nsec3-iterations: 0\n    nsec3-salt-length: {}\n"


@pytest.mark.parametrize("nsec3", ["off", "on"])
def test_signed_zone(servers, nsec3):
    """Changes of a zone that knotd signs, and all signatures made anew; what there is not is denied as by the primary."""
    changing = Changing(ZONE, seeded(), names=60)
    head, secondary = pair(servers, changing, more={
        "zone_conf": "    dnssec-signing: on\n    dnssec-policy: sign\n", "server_conf": POLICY.format(nsec3, 4 if nsec3 == "on" else 0)})
    assert query(secondary, "none." + ZONE, do=True).authority
    for batch in range(60 if FULL else 5):
        for _ in range(changing.rng.choice([1, 3])):
            changing.step(head)
        if batch == 2:
            head.knotc("-b", "zone-sign", absolute(ZONE))
        await_same(head, secondary, ZONE)
        for n in range(20):
            name = changing.rng.choice(["none{}", "host{}", "a.host{}", "sub{}", "x.sub{}", "alias{}", "x.deep.er.host{}", "c{}.d{}"]).format(n, n)
            ours, theirs = (query(server, f"{name}.{ZONE}", "AAAA", do=True) for server in (secondary, head))
            assert ours.rcode() == theirs.rcode(), name
            for section in ("answer", "authority"):
                assert sorted(map(str, getattr(ours, section))) == sorted(map(str, getattr(theirs, section))), f"{name} {section}"
    increments, wholes = came(secondary)
    assert increments >= batch and wholes == 1


# --- large, many at once

def test_large_increment(servers):
    """Knotd makes it of two zone files."""
    lines = [f"host{n} A 192.0.{n >> 8 & 255}.{n & 255}\n" for n in range(20000)]
    head = servers.knotd({ZONE: zone_text(ZONE, "".join(lines))}, zone_conf="    zonefile-load: difference\n")
    secondary = servers.secondary([ZONE], [head], **EVERYONE)
    head.start()
    secondary.start().await_serial(ZONE)
    head.set_zone(ZONE, zone_text(ZONE, "".join(lines[:5000] + [line.replace("host", "new") for line in lines[5000:15000]]), serial=2))
    await_same(head, secondary, ZONE)
    assert came(secondary) == (1, 1)


def test_increment_that_is_worth_less_than_the_zone(servers):
    """A small zone that was large for a while: the way there is longer than the zone itself."""
    head = servers.knotd({ZONE: zone_text(ZONE)}, zone_conf="    zonefile-load: difference\n")
    secondary = servers.secondary([ZONE], [head], **EVERYONE)
    head.start()
    secondary.start().await_serial(ZONE)
    head.set_zone(ZONE, zone_text(ZONE, "".join(f"host{n} TXT {'x' * 200}\n" for n in range(5000)), serial=2))
    head.set_zone(ZONE, zone_text(ZONE, "last A 192.0.2.1\n", serial=3))
    await_same(head, secondary, ZONE)
    secondary.await_log(r"IXFR, incoming, .*fallback to AXFR \(increment larger than the zone is worth\)")


def test_changes_while_stopped(servers):
    changing = Changing(ZONE, seeded())
    head, secondary = pair(servers, changing)
    secondary.signal(signal.SIGSTOP)
    for _ in range(100 if FULL else 25):
        changing.step(head)
    secondary.signal(signal.SIGCONT)
    await_same(head, secondary, ZONE)
    assert came(secondary)[1] == 1


def test_queries_see_one_version(servers, scope):
    """While increments come, one by one and several at once."""
    changing = Changing(ZONE, seeded())
    head, secondary = pair(servers, changing, scope=scope)
    watchers = [Watcher(secondary, ZONE) for _ in range(2)]
    for change in range(1000 if FULL else 60):
        changing.step(head)
        secondary.knotc_module("zone-refresh", absolute(ZONE))
        if change % 10 == 9:
            # However slow they are, so many versions they see.
            await_event(lambda: all(changing.mark in watcher.versions for watcher in watchers), "the watchers' answers")
    await_same(head, secondary, ZONE)
    await_event(lambda: all(watcher.answers > 60 for watcher in watchers), "the watchers' answers")
    for watcher in watchers:
        assert len(watcher.stop().versions) > 5


def test_memory_stays(servers):
    """What changes leave behind is collected, while the zone changes on."""
    changing = Changing(ZONE, seeded(), names=4000)
    head, secondary = pair(servers, changing, more={"zone_conf": "    journal-max-usage: 60M\n"})
    watcher = Watcher(secondary, ZONE)
    for _ in range(200 if FULL else 40):
        changing.step(head, count=200)
        await_event(lambda: has_serial_of(secondary, head, ZONE) or secondary.knotc_module("zone-refresh", absolute(ZONE)) is None, "the serial")
    secondary.await_log("compacted, ")
    await_same(head, secondary, ZONE)
    watcher.stop()
    assert came(secondary)[1] == 1
    sizes = [(int(before), int(after)) for before, after in re.findall(r"compacted, (\d+) -> (\d+) octets", secondary.log_text())]
    assert all(after < before for before, after in sizes) and max(after for _, after in sizes) < 2 * min(after for _, after in sizes)


# --- TSIG

ALGORITHMS = ("hmac-md5", "hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512")


@pytest.mark.plain
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kind", SOURCES)
def test_signed_streams(servers, kind, algorithm):
    """Of several messages, whole zones and increments."""
    changing = Changing(ZONE, seeded(), names=2500)
    head, secondary = pair(servers, changing, kind, more={"key": Key("transfer", algorithm)})
    changing.step(head, count=800)
    if kind == "nsd":
        await_serial(secondary.primaries[0], ZONE, changing.serial)
    await_same(head, secondary, ZONE)
    assert came(secondary) == (1, 1)
    assert all(int(count) > 1 for count in re.findall(r"XFR, incoming, .*finished, .* (\d+) messages", secondary.log_text()))


# --- no increment

def test_whole_zone_in_place_of_an_increment(servers):
    """BIND keeps nothing of zone files that it reads anew."""
    head, secondary = servers.pair({ZONE: zone_text(ZONE)}, kind="named", **EVERYONE)
    head.set_zone(ZONE, zone_text(ZONE, "www A 192.0.2.7\n", serial=2))
    secondary.await_serial(ZONE, 2)
    assert_same_zone(head, secondary, ZONE)
    secondary.await_log("IXFR, incoming, .*receiving AXFR-style IXFR")
    assert came(secondary) == (0, 2)


SOA = {serial: soa(ZONE, serial).strip().replace(" SOA ", " IN SOA ") for serial in (1, 2, 7)}
OLD = [f"{ZONE}. 60 IN NS ns1.{ZONE}.", f"www.{ZONE}. 60 IN A 192.0.2.1"]
NEW = f"new.{ZONE}. 60 IN A 192.0.2.2"


class Odd(Scripted):
    """A primary with two versions that gives the whole zone as it should; and increments as the test says."""

    def __init__(self, increment):
        self.increment, self.serial, self.key = increment, 1, None
        super().__init__(self.respond)

    @staticmethod
    def response(query, lines, rcode=dns.rcode.NOERROR):
        made = dns.message.make_response(query)
        made.flags |= dns.flags.AA
        made.set_rcode(rcode)
        made.answer = [dns.rrset.from_text(*line.split(None, 4)) for line in lines]
        return made

    def respond(self, query, tcp):
        rdtype = query.question[0].rdtype
        if rdtype == dns.rdatatype.SOA:
            return self.response(query, [SOA[self.serial]])
        if rdtype == dns.rdatatype.IXFR:
            return self.increment(query)
        return self.response(query, [SOA[self.serial], *OLD, *([NEW] if self.serial == 2 else []), SOA[self.serial]])


def refusing(name):
    return lambda query: Odd.response(query, [], getattr(dns.rcode, name)), f"server responded with error '{name}'"


def saying(*lines, reason):
    return lambda query: Odd.response(query, lines), reason


#: What comes in place of an increment, and what the log calls it.
TROUBLE = {
    "formerr": refusing("FORMERR"), "servfail": refusing("SERVFAIL"), "refused": refusing("REFUSED"), "notauth": refusing("NOTAUTH"),
    "notimpl": (lambda query: Odd.response(query, [], dns.rcode.NOTIMP), "server responded with error 'NOTIMPL'"),
    "closed": (lambda query: "close", "connection reset by peer"),
    "empty": saying(reason="message 1 without records"),
    "cut": (lambda query: Odd.response(query, [SOA[2], SOA[1], SOA[2], NEW, SOA[2]]).to_wire()[:-3], "malformed message 1"),
    "no end": saying(SOA[2], SOA[1], SOA[2], NEW, reason="connection timeout"),
    "single SOA": saying(SOA[2], reason="connection timeout"),
    "not there": saying(SOA[2], SOA[1], NEW, SOA[2], SOA[2], reason=f"removed record is not there at new.{ZONE}."),
    "there": saying(SOA[2], SOA[1], SOA[2], OLD[1], NEW, SOA[2], reason=f"added record is there already at www.{ZONE}."),
    "other base": saying(SOA[2], SOA[7], SOA[2], NEW, SOA[2], reason="increment leads from serial 7, not from 1"),
    "gap": saying(SOA[2], SOA[1], SOA[7], SOA[2], NEW, SOA[2], reason="increment leads from serial 2, not from 7"),
    "outside": saying(SOA[2], SOA[1], SOA[2], "new.example.net. 60 IN A 192.0.2.2", SOA[2], reason="record outside the zone at new.example.net."),
    "behind": saying(SOA[2], SOA[1], SOA[2], SOA[2], NEW, reason="records behind the last SOA"),
    "no NS": saying(SOA[2], SOA[1], OLD[0], SOA[2], NEW, SOA[2], reason="no NS at the zone apex"),
    "CNAME": saying(SOA[2], SOA[1], SOA[2], f"www.{ZONE}. 60 IN CNAME new.{ZONE}.", SOA[2], reason=f"CNAME beside other data at www.{ZONE}."),
}


@pytest.fixture
def odd(request):
    made = []
    def make(increment):
        made.append(Odd(increment))
        return made[0]
    yield make
    made[0].stop()


@pytest.mark.parametrize("how", TROUBLE)
def test_whatever_goes_wrong_ends_in_axfr(servers, odd, how):
    """From the same primary, at once, with one line."""
    increment, reason = TROUBLE[how]
    primary = odd(increment)
    # Short where nothing more comes; all other answers may take their time.
    items = {"transfer-idle-timeout": "1"} if reason == "connection timeout" else {}
    secondary = servers.secondary([ZONE], [primary], items=items).start()
    secondary.await_serial(ZONE, 1)
    primary.serial = 2
    secondary.knotc_module("zone-refresh", absolute(ZONE))
    secondary.await_serial(ZONE, 2)
    lines = re.findall(r"warning: .*", secondary.log_text())
    assert len([line for line in lines if "fallback" in line]) == 1 and f"fallback to AXFR ({reason})" in lines[-1], lines
    assert query(secondary, f"new.{ZONE}").answer and query(secondary, f"www.{ZONE}").answer
    assert came(secondary)[1] == 2


def test_nothing_newer_after_all(servers, odd):
    """Two servers behind one address, of which the one that gives transfers is behind."""
    primary = odd(lambda query: Odd.response(query, [SOA[1]]))
    secondary = servers.secondary([ZONE], [primary]).start()
    secondary.await_serial(ZONE, 1)
    primary.serial = 2
    seen = secondary.log_position()
    secondary.knotc_module("zone-refresh", absolute(ZONE))
    secondary.await_log("remote serial 2, zone is outdated", after=seen)
    secondary.await_log("remote serial 1, zone is up-to-date", after=seen)
    assert "warning" not in secondary.log_text(seen)


def test_retransfer_is_whole(servers, odd):
    primary = odd(lambda query: None)
    secondary = servers.secondary([ZONE], [primary]).start()
    secondary.await_serial(ZONE, 1)
    primary.serial = 2
    secondary.knotc_module("zone-retransfer", absolute(ZONE))
    secondary.await_serial(ZONE, 2)
    assert (f"{ZONE}.", dns.rdatatype.IXFR) not in primary.asked
