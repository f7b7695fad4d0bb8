# SPDX-License-Identifier: GPL-3.0-or-later
"""The module beside others: query modules of knotd before and after it, in either scope, and members of a catalog zone.

Each neighbour has to do its own work (count, judge, log, add to OPT), and the zone has to live: answer, be refreshed, survive a reload.
"""

import re
import socket
import subprocess

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from servers import PATIENCE, Key, absolute, await_event, message, query, tool, zone_text

ZONE = "example.com"
#: Rules of neighbours are about this address; all else of a test comes from 127.0.0.1.
STRANGER = "127.0.0.2"
RECORDS = ("www A 192.0.2.3\nalias CNAME www\n* MX 10 www\nsub NS ns.sub\nns.sub A 192.0.2.5\n"
           + "".join(f"fat TXT \"{n:03} {'x' * 200}\"\n" for n in range(5)))

#: Octets of the response to fat TXT: header, question, the records, OPT with a cookie.
SIZE = 12 + 21 + 5 * (12 + 1 + 204) + 11 + 28

#: Where the neighbours stand: their place beside ours in one list, or in the list of all zones with ours in the zone's.
PLACES = ["zone before", "zone after", "global before", "global after", "global, ours zone"]
#: Response codes and places of records of what every neighbour has to let through: name, type, RCODE, answers, authority.
QUESTIONS = [("www", "A", "NOERROR", 1, 0), ("alias", "A", "NOERROR", 2, 0), ("www", "TXT", "NOERROR", 0, 1), ("a.www", "A", "NXDOMAIN", 0, 1),
             ("any", "MX", "NOERROR", 1, 0), ("a.sub", "A", "NOERROR", 0, 1), ("", "SOA", "NOERROR", 1, 0)]


def full_name(label):
    return f"{label}.{ZONE}" if label else ZONE


def stanza(module, *items):
    return f"{module}:\n  - id: default\n" + "".join(f"    {item}\n" for item in items)


def start(servers, place, neighbours, **how):
    """A primary, and the module with neighbours ({name: stanza}) at that place; both run, the zone is served."""
    scope, side = place.split()[0].rstrip(","), place.split()[1]
    ours, others = ["mod-secondary/default"], [f"{name}/default" for name in neighbours]
    primary = servers.knotd({ZONE: zone_text(ZONE, RECORDS)}, name="primary")
    secondary = servers.secondary([ZONE], [primary], server_conf="".join(neighbours.values()), name="secondary", **how)
    if side == "ours":
        secondary.scope = "zone"
        secondary.template_conf = f"    global-module: [{', '.join(others)}]\n"
    else:
        secondary.scope = scope
        secondary.modules = others + ours if side == "before" else ours + others
    primary.notify.append(secondary)
    primary.start()
    secondary.start().await_serial(ZONE, 1)
    return primary, secondary


def assert_answers(server, **how):
    for label, rdtype, rcode, answers, authority in QUESTIONS:
        response = query(server, full_name(label), rdtype, **how)
        assert dns.rcode.to_text(response.rcode()) == rcode, (label, rdtype)
        assert [sum(map(len, section)) for section in (response.answer, response.authority)] == [answers, authority], (label, rdtype)


def assert_lives(primary, secondary, **how):
    """Answers, is refreshed, is reloaded without being transferred again, answers, and is refreshed once more."""
    assert_answers(secondary, **how)
    serial = secondary.await_serial(ZONE)
    primary.change(ZONE, "new 60 A 192.0.2.9")
    secondary.await_serial(ZONE, serial + 1)
    transfers = primary.transfers(ZONE)
    secondary.reload()
    assert_answers(secondary, **how)
    assert primary.transfers(ZONE) == transfers
    primary.change(ZONE, "-new A")
    secondary.await_serial(ZONE, serial + 2)


# Statistics

def counters(server, place):
    """The counters of mod-stats, {"section[item]": number}; a global one prints no zone."""
    words = ["stats", "mod-stats"] if place.startswith("global") else ["zone-stats", absolute(ZONE), "mod-stats"]
    return {name: int(value) for name, value in re.findall(r"mod-stats\.(\S+) = (\d+)", server.knotc("-f", *words, check=False))}


@pytest.mark.parametrize("place", PLACES)
def test_stats_count_every_answer(servers, place):
    neighbours = {"mod-stats": stanza("mod-stats", "reply-nodata: on", "request-bytes: on", "response-bytes: on", "flag-presence: on")}
    primary, secondary = start(servers, place, neighbours)
    assert_lives(primary, secondary)
    before = counters(secondary, place)
    for _ in range(3):
        assert_answers(secondary)
    assert query(secondary, full_name("fat"), "TXT", payload=None).flags & dns.flags.TC
    after = counters(secondary, place)
    added = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    assert added["response-code[NXDOMAIN]"] == 3
    assert added["response-code[NOERROR]"] == 3 * (len(QUESTIONS) - 1) + 1
    assert added["reply-nodata[other]"] == 3
    assert added["flag-presence[TC]"] == 1
    assert added["server-operation[query]"] == 3 * len(QUESTIONS) + 1


# Rates

@pytest.mark.parametrize("place", PLACES)
def test_rrl_limits_our_answers(servers, place):
    primary, secondary = start(servers, place, {"mod-rrl": stanza("mod-rrl", "rate-limit: 1", "slip: 1", "whitelist: 127.0.0.1")})
    assert_lives(primary, secondary)
    for label in ("www", "a.www", "a.sub"):
        def slipped():
            response = query(secondary, full_name(label), source=STRANGER)
            return response if response.flags & dns.flags.TC else None
        response = await_event(slipped, f"slip of {label}")
        assert not response.answer + response.authority
    assert not query(secondary, full_name("www"), source=STRANGER, tcp=True).flags & dns.flags.TC
    assert_answers(secondary)


# Cookies

def cookie(response):
    return next((option for option in response.options if option.otype == dns.edns.COOKIE), None)


@pytest.mark.parametrize("place", PLACES)
def test_cookies_judge_before_us(servers, place):
    """It goes before ours, as README says. After ours it judges too, but the answer is complete by then and gets no cookie."""
    primary, secondary = start(servers, place, {"mod-cookies": stanza("mod-cookies", "badcookie-slip: 1")})
    assert_lives(primary, secondary)

    asked = [dns.edns.GenericOption(dns.edns.COOKIE, b"12345678")]
    bad = query(secondary, full_name("www"), options=asked)
    assert bad.rcode() == dns.rcode.BADCOOKIE and not bad.answer + bad.authority
    given = cookie(bad)
    assert given.data.startswith(b"12345678") and len(given.data) == 24

    assert_answers(secondary, options=[given])
    over_tcp = query(secondary, full_name("www"), options=asked, tcp=True)
    assert over_tcp.answer
    if place.endswith("after"):
        assert not cookie(over_tcp)
        return
    assert len(cookie(over_tcp).data) == 24
    # Each size around the one that fits: with the cookie no response is too large for its client, and none is lost.
    truncated = []
    for payload in range(SIZE - 40, SIZE + 40):
        response = query(secondary, full_name("fat"), "TXT", payload=payload, options=[given])
        assert len(cookie(response).data) == 24 and len(response.to_wire()) <= payload
        truncated.append(not response.answer)
        assert truncated[-1] == bool(response.flags & dns.flags.TC)
    assert truncated == sorted(truncated, reverse=True) and {False, True} == set(truncated)


@pytest.mark.parametrize("place", PLACES)
def test_cookies_drop_before_us(servers, place):
    """What a neighbour has decided to leave without a response stays so."""
    _, secondary = start(servers, place, {"mod-cookies": stanza("mod-cookies", "badcookie-slip: 2")})
    asked = [dns.edns.GenericOption(dns.edns.COOKIE, b"12345678")]
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.connect((secondary.address, secondary.port))
        for _ in range(10):
            client.send(message(full_name("www"), options=asked).to_wire())
        client.send(message(full_name("www")).to_wire())
        # One client's queries go to one worker, in order.
        received = []
        while dns.rcode.NOERROR not in received:
            received.append(dns.message.from_wire(client.recv(4096)).rcode())
    assert received == 5 * [dns.rcode.BADCOOKIE] + [dns.rcode.NOERROR]


# Logging

def logged(path):
    """What dnstap-read prints of a file: (AQ or AR, name)."""
    printed = subprocess.run([tool("dnstap-read"), path], capture_output=True, text=True, check=True).stdout
    return re.findall(r" (AQ|AR) .* (\S+)/IN/A$", printed, re.MULTILINE)


@pytest.mark.parametrize("place", PLACES)
def test_dnstap_logs_queries_and_responses(servers, place, tmp_path):
    """Its file is complete when it is unloaded; a reload gives it another one, since the new instance opens before the old closes."""
    def tap(n):
        return stanza("mod-dnstap", f"sink: {tmp_path / f'tap{n}'}", "log-queries: on", "log-responses: on")
    primary, secondary = start(servers, place, {"mod-dnstap": tap(0)})
    secondary.server_conf = tap(1)
    assert_lives(primary, secondary)
    for n in range(10):
        assert query(secondary, full_name(f"a{n}.www")).rcode() == dns.rcode.NXDOMAIN
    secondary.stop()
    for lines in (logged(tmp_path / "tap0"), logged(tmp_path / "tap1")):
        for kind in ("AQ", "AR"):
            assert (kind, full_name("www")) in lines
    lines = logged(tmp_path / "tap1")
    for n in range(10):
        assert [lines.count((kind, full_name(f"a{n}.www"))) for kind in ("AQ", "AR")] == [1, 1]


# Access

@pytest.mark.parametrize("place", PLACES)
def test_queryacl_judges(servers, place):
    primary, secondary = start(servers, place, {"mod-queryacl": stanza("mod-queryacl", "address: 127.0.0.1")})
    assert_lives(primary, secondary)
    for label, rdtype, *_ in QUESTIONS:
        for tcp in (False, True):
            response = query(secondary, full_name(label), rdtype, source=STRANGER, tcp=tcp)
            assert response.rcode() == dns.rcode.NOTAUTH
            assert not response.answer + response.authority + response.additional


# All of them

@pytest.mark.parametrize("place", PLACES)
def test_all_together_with_transfers_out(servers, place, tmp_path):
    neighbours = {"mod-stats": stanza("mod-stats"), "mod-rrl": stanza("mod-rrl", "rate-limit: 1000000"), "mod-cookies": stanza("mod-cookies"),
                  "mod-dnstap": stanza("mod-dnstap", f"sink: {tmp_path / 'tap'}"), "mod-queryacl": stanza("mod-queryacl", "address: 127.0.0.1")}
    key = Key("client")
    primary, secondary = start(servers, place, neighbours, items={"transfer-to": "client"}, keys=[key],
                               acl={"client": {"address": "127.0.0.1", "key": key.name, "action": "transfer"}})
    primary.zones[ZONE] += "".join(f"host{n} TXT \"{'y' * 200}\"\n" for n in range(500))
    primary.set_zone(ZONE, primary.zones[ZONE].replace("example.com. 1 ", "example.com. 2 "))
    secondary.await_serial(ZONE, 2)
    for tcp in (False, True):
        for do in (False, True):
            assert_answers(secondary, tcp=tcp, do=do)
    parts = list(dns.query.xfr(secondary.address, ZONE, port=secondary.port, keyring={dns.name.from_text(key.name): key.keyring()},
                               keyname=key.name, relativize=False))
    assert len(parts) > 5
    records = sum(len(rrset) for part in parts for rrset in part.answer)
    assert records == 500 + len(RECORDS.splitlines()) + 5 + 2
    secondary.knotc("-f", "reload")
    assert_answers(secondary)


# Members of a catalog

CATALOG = "catalog.example"
MEMBERS = ["member1.example", "member2.example"]


def catalog_text(members, serial=1):
    return (f"$ORIGIN {CATALOG}.\n@ 0 SOA . . {serial} 3600 600 604800 0\n@ 0 NS invalid.\nversion 0 TXT \"2\"\n"
            + "".join(f"id{member.split('.')[0]}.zones 0 PTR {absolute(member)}\n" for member in members))


def assert_member(primary, secondary, name):
    """It is ours: transferred, refreshed, and shown by the module's own control socket."""
    secondary.await_serial(name)
    assert query(secondary, f"www.{name}").answer
    assert absolute(name) in secondary.knotc_module("zone-status", absolute(name))
    serial = secondary.await_serial(name)
    primary.change(name, "new 60 A 192.0.2.9")
    secondary.await_serial(name, serial + 1)
    primary.change(name, "-new A")
    secondary.await_serial(name, serial + 2)


def test_members_of_a_catalog(servers):
    """knotd keeps the catalog zone itself; its members have the module by `catalog-template`. They come, stay over a reload, and go."""
    names = [*MEMBERS, "member3.example"]
    zones = {name: zone_text(name, "www A 192.0.2.3\n") for name in names}
    primary = servers.knotd({**zones, CATALOG: catalog_text(MEMBERS)}, name="primary")
    secondary = servers.secondary(primaries=[primary], name="secondary", acl={"told": {"address": "127.0.0.1", "action": "notify"}})
    secondary.template_conf = "  - id: member\n    zonefile-load: none\n    journal-content: none\n    module: mod-secondary/default\n"
    secondary.extra = (f"zone:\n  - domain: {CATALOG}.\n    master: primary0\n    catalog-role: interpret\n    catalog-template: member\n"
                       "    acl: told\n")
    primary.notify.append(secondary)
    primary.start()
    secondary.start()
    for name in MEMBERS:
        assert_member(primary, secondary, name)
    assert query(secondary, names[2], "SOA").rcode() == dns.rcode.REFUSED
    for name in MEMBERS:
        await_event(lambda: primary.transfers(name) == 3, f"the transfers of {name}")

    secondary.reload()
    for name in MEMBERS:
        assert query(secondary, f"www.{name}").answer
        assert_member(primary, secondary, name)

    primary.set_zone(CATALOG, catalog_text(names[1:], serial=2))
    assert_member(primary, secondary, names[2])
    await_event(lambda: query(secondary, names[0], "SOA").rcode() == dns.rcode.REFUSED, "the end of a member")
    assert_member(primary, secondary, names[1])
    assert primary.transfers(names[1]) == 7
