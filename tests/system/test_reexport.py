# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfers out: what the module has is transferred by others, record for record, by those who may."""

import socket
import struct
import subprocess
import threading
from unittest import mock

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.xfr
import dns.zone
import pytest

from servers import (CLIENT_PATIENCE, PATIENCE, SLOWNESS, Key, Peer, absolute, ask, await_event, await_serial, message, query, tool, zone_text)

EVERYONE = {"everyone": {"action": "transfer"}}
ZONE = "example.com"


def pull(server, zone, *words, program="kdig"):
    """All records that a transfer gives, as sorted lines; words are further arguments of the client."""
    def look():
        done = subprocess.run([tool(program), f"@{server.address}", "-p", str(server.port), absolute(zone), "AXFR", "+noall", "+answer", CLIENT_PATIENCE, *words],
                              capture_output=True, text=True, timeout=60 * SLOWNESS)
        return done.stdout + done.stderr, sorted(" ".join(line.split()) for line in done.stdout.splitlines() if line and not line.startswith(";"))
    if server.kind == "nsd":
        # For a moment connections are still taken by the process of before its last reload, which has not got the zone.
        return await_event(lambda: look()[1], f"{server.path.name}: a transfer out")
    printed, lines = look()
    assert lines, printed + server.tail()
    return lines


def signature(key):
    """Arguments of kdig and dig that sign."""
    return ["-y", f"{key.algorithm}:{key.name}:{key.secret}"] if key else []


def request(rdtype="AXFR", zone=ZONE, serial=None, key=None):
    wanted = message(zone, rdtype, payload=1232, key=key)
    if serial is not None:
        wanted.authority.append(dns.rrset.from_text(absolute(zone), 0, "IN", "SOA", f". . {serial} 0 0 0 0"))
    return wanted


def first(server, tcp=True, **what):
    """The first message of the response."""
    return ask(server, request(**what), tcp=tcp)


def ede(response):
    return [struct.unpack("!H", option.to_wire()[:2])[0] for option in response.options if option.otype == dns.edns.OptionType.EDE]


def is_transfer(response):
    return response.rcode() == dns.rcode.NOERROR and response.answer and response.answer[0].rdtype == dns.rdatatype.SOA


def exporter(servers, zones, scope="zone", items=None, acl=None, **more):
    """A primary and a secondary that everyone may transfer from, unless told otherwise."""
    return servers.pair(zones, scope=scope, items={"transfer-to": "everyone", **(items or {})}, acl={**EVERYONE, **(acl or {})}, **more)


def big_text(zone=ZONE, count=100_000, serial=1):
    """More than the socket buffers of both ends hold."""
    return zone_text(zone, "".join(f"host{n} A 192.0.{n >> 8 & 255}.{n & 255}\nhost{n} TXT \"{'x' * 100}\"\n" for n in range(count)), serial=serial)


def records(count):
    """Of a transfer of big_text(), both SOAs counted."""
    return 2 * count + 7


class Client:
    """A client that reads a transfer as fast as it likes."""

    def __init__(self, server, wanted=None, receive_buffer=4096):
        self.socket, self.taken = socket.socket(), 0
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((server.address, server.port))
        self.send(wanted or request())

    def send(self, wanted):
        wire = wanted.to_wire()
        self.socket.sendall(struct.pack("!H", len(wire)) + wire)

    def octets(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def message(self):
        wire = self.octets(struct.unpack("!H", self.octets(2))[0])
        self.taken += struct.unpack("!H", wire[6:8])[0]
        return wire

    def drain(self, records):
        """Reads so many records, or up to an error; returns the serial of the last one, or the RCODE's name."""
        while records > 0:
            wire = self.message()
            if wire[3] & 15:
                return dns.rcode.to_text(wire[3] & 15)
            records -= struct.unpack("!H", wire[6:8])[0]
        assert records == 0
        return dns.message.from_wire(wire, one_rr_per_rrset=True).answer[-1][0].serial

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


UNUSUAL = zone_text("unusual.example", "".join((
    "huge A 192.0.2.1\n", *(f"huge TXT \"{n} {'y' * 200}\"\n" for n in range(250)),
    *(f"nameservers NS ns{n}.hoster.example.\n" for n in range(1500)), *(f"mail MX {n} mx{n}.mail\n" for n in range(1500)),
    "\\000\\001\\255 A 192.0.2.1\n\\.dot\\. A 192.0.2.1\n\\* A 192.0.2.1\n* A 192.0.2.2\n*.sub MX 1 *.sub\n",
    ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 43]) + " A 192.0.2.1\n", ".".join(["x"] * 118) + " MX 1 " + ".".join(["x"] * 117) + "\n",
    "cut NS ns.cut\nns.cut A 192.0.2.1\nhidden.cut TXT occluded\ncut DS 1 8 2 " + "ab" * 32 + "\n",
    "alias CNAME target.elsewhere.example.\ndname DNAME other.example.\n",
    "t TYPE65280 \\# 4 C00CC00C\nt SRV 1 2 3 t\nt NAPTR 1 2 \"s\" \"x\" \"\" t\nt HTTPS 1 . alpn=h2\nt CAA 0 issue \"ca\"\nt LOC 1 N 1 E 1m\n",
    "t SSHFP 1 1 " + "ab" * 20 + "\nt TLSA 1 1 1 " + "cd" * 32 + "\nt HINFO a b\nt RP t t\nt MINFO t t\nt AFSDB 1 t\nt PTR t\nt KX 1 t\n",
    "t EUI48 00-00-5e-00-53-2a\nt URI 1 1 \"https://example/\"\nt APL 1:192.0.2.0/24\nt DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=\n",
)))


def zones(sign):
    plain = zone_text(ZONE, "www A 192.0.2.3\n*.wild TXT w\n")
    return {"plain.example": plain.replace(ZONE, "plain.example"), "unusual.example": UNUSUAL,
            "nsec.example": sign("nsec.example", zone_text("nsec.example", "www A 192.0.2.3\nsub NS ns.sub\nns.sub A 192.0.2.4\n")),
            "nsec3.example": sign("nsec3.example", zone_text("nsec3.example", "www A 192.0.2.3\nsub NS ns.sub\nns.sub A 192.0.2.4\n"), nsec3=True)}


@pytest.fixture(params=[False, True], ids=["plain", "signed"])
def client_key(request):
    """The key that is needed for transfers; None: everyone may."""
    return Key("downstream") if request.param else None


def keyed_exporter(servers, content, scope, key):
    """An exporter to those with the key, or to everyone without one."""
    rule = {"action": "transfer", **({"key": key.name} if key else {})}
    return exporter(servers, content, scope, acl={"everyone": rule}, keys=[key] if key else [])


@pytest.mark.parametrize("program", ["kdig", "dig"])
def test_clients_get_every_record(servers, sign, scope, program, client_key):
    content = {**zones(sign), ZONE: big_text(count=2000)}
    primary, secondary = keyed_exporter(servers, content, scope, client_key)
    for zone in content:
        assert pull(secondary, zone, *signature(client_key), program=program) == pull(primary, zone, program=program)


def drill(server, zone, key=None):
    """All records as ldns prints them, sorted. It exits with 0 when it was refused, too, and prints what came until a message that it rejects."""
    words = ["-y", f"{key.name}:{key.secret}:{key.algorithm}"] if key else []
    done = subprocess.run([tool("drill"), *words, f"@{server.address}", "-p", str(server.port), absolute(zone), "AXFR"],
                          capture_output=True, text=True, timeout=60 * SLOWNESS)
    assert not done.stderr, done.stderr
    return sorted(line for line in done.stdout.splitlines() if line and not line.startswith(";"))


def test_ldns_gets_every_record(servers, sign, scope, client_key):
    content = {**zones(sign), ZONE: big_text(count=2000)}
    primary, secondary = keyed_exporter(servers, content, scope, client_key)
    for zone in content:
        got = drill(secondary, zone, client_key)
        assert len(got) == len(pull(primary, zone)) and got == drill(primary, zone)


def test_rrsets_larger_than_a_message(servers, scope):
    """knotd would not transfer them out."""
    text = zone_text(ZONE, "".join(f"huge TXT \"{n} {'y' * 200}\"\nmail MX {n} mx{n}.mail\n" for n in range(5000)))
    primary, secondary = exporter(servers, {ZONE: text}, scope, kind="nsd")
    assert pull(secondary, ZONE) == pull(primary, ZONE)


def test_dnspython_builds_the_zone(servers, sign, scope):
    content = zones(sign)
    content.pop("unusual.example")  # its record types are not all known there
    _, secondary = exporter(servers, content, scope)
    for zone, text in content.items():
        got = dns.zone.Zone(absolute(zone), relativize=False)
        dns.query.inbound_xfr(secondary.address, got, port=secondary.port)
        assert got == dns.zone.from_text(text, absolute(zone), relativize=False)


def nsd_mirror(servers, zone, source, key=None):
    name = key.name if key else "NOKEY"
    conf = (f"zone:\n    name: {absolute(zone)}\n    request-xfr: AXFR {source.address}@{source.port} {name}\n"
            f"    allow-notify: 127.0.0.0/8 NOKEY\n    provide-xfr: 127.0.0.0/8 NOKEY\n    outgoing-interface: 127.0.0.1\n")
    return servers.nsd({}, conf=conf, key=key)


def named_mirror(servers, zone, source, key=None):
    with_key = f' key "{key.name}"' if key else ""
    conf = (f'zone "{absolute(zone)}" {{ type secondary; primaries {{ {source.address} port {source.port}{with_key}; }};'
            f' allow-transfer {{ any; }}; request-ixfr no; max-records-per-type 0; max-types-per-name 0; masterfile-format text; file "mirror"; }};\n')
    return servers.named({}, conf=conf, key=key)


def knotd_mirror(servers, zone, source, key=None):
    return servers.knotd(mirrored=[zone], primaries=[Peer(source.port, source.address, key)])


MIRRORS = {"knotd": knotd_mirror, "nsd": nsd_mirror, "named": named_mirror}


@pytest.mark.parametrize("kind", MIRRORS)
@pytest.mark.parametrize("zone", ["plain.example", "unusual.example", "nsec.example", "nsec3.example"])
def test_secondaries_hold_every_record(servers, sign, kind, zone):
    primary, secondary = exporter(servers, {zone: zones(sign)[zone]})
    mirror = MIRRORS[kind](servers, zone, secondary).start()
    await_serial(mirror, zone)
    assert pull(mirror, zone) == pull(primary, zone)


@pytest.mark.parametrize("kind", MIRRORS)
def test_secondaries_with_key(servers, kind):
    key = Key("downstream")
    primary, secondary = servers.pair({ZONE: big_text(count=2000)}, items={"transfer-to": "signed"}, keys=[key],
                                      acl={"signed": {"key": key.name, "action": "transfer"}})
    mirror = MIRRORS[kind](servers, ZONE, secondary, key).start()
    await_serial(mirror, ZONE)
    assert pull(mirror, ZONE) == pull(primary, ZONE)


# --- who may

def test_nobody_by_default(servers, scope):
    _, secondary = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    for rdtype in ("AXFR", "IXFR"):
        response = first(secondary, rdtype=rdtype, serial=0)
        assert response.rcode() == dns.rcode.NOTAUTH and not response.answer and ede(response) == [18]
    secondary.await_log(r"AXFR, outgoing, remote 127.0.0.1@\d+, refused \(not allowed\)")


@pytest.mark.parametrize("rule, source, allowed", [
    ({"action": "transfer"}, "127.0.0.1", True),
    ({"address": "127.0.0.1", "action": "transfer"}, "127.0.0.1", True),
    ({"address": "127.0.0.1", "action": "transfer"}, "127.0.0.2", False),
    ({"address": "127.0.0.2-127.0.0.9", "action": "transfer"}, "127.0.0.5", True),
    ({"address": "127.0.1.0/24", "action": "transfer"}, "127.0.0.5", False),
    ({"address": "127.0.0.1", "action": "[notify, transfer]"}, "127.0.0.1", True),
    ({"address": "127.0.0.1", "action": "notify"}, "127.0.0.1", False),
    ({"address": "127.0.0.1", "action": "transfer", "deny": "on"}, "127.0.0.1", False),
    ({"key": "downstream", "action": "transfer"}, "127.0.0.1", False),
    ({"remote": "primary0", "action": "transfer"}, "127.0.0.1", True),
    ({"remote": "primary0", "action": "transfer"}, "127.0.0.2", False),
])
def test_rules(servers, scope, rule, source, allowed):
    _, secondary = servers.pair({ZONE: zone_text(ZONE)}, scope=scope, items={"transfer-to": "rule"}, acl={"rule": rule}, keys=[Key("downstream")])
    response = ask(secondary, request(), tcp=True, source=source)
    assert bool(is_transfer(response)) == allowed
    assert ("acl 'rule' has no action 'transfer'" in secondary.log_text()) == (rule["action"] == "notify")


def test_first_match_decides(servers, scope):
    acl = {"not-two": {"address": "127.0.0.2", "action": "transfer", "deny": "on"}, "all": {"action": "transfer"}}
    _, secondary = servers.pair({ZONE: zone_text(ZONE)}, scope=scope, items={"transfer-to": "[not-two, all]"}, acl=acl)
    assert is_transfer(ask(secondary, request(), tcp=True, source="127.0.0.1"))
    assert not is_transfer(ask(secondary, request(), tcp=True, source="127.0.0.2"))


def test_zone_acl_follows_in_zone_scope_only(servers, scope):
    acl = {"one": {"address": "127.0.0.1", "action": "transfer"}, "not-two": {"address": "127.0.0.2", "action": "transfer", "deny": "on"},
           "net": {"address": "127.0.0.0/24", "action": "transfer"}}
    _, secondary = servers.pair({ZONE: zone_text(ZONE)}, scope=scope, items={"transfer-to": "[one, not-two]"}, acl=acl,
                                template_conf="    acl: net\n")
    allowed = [bool(is_transfer(ask(secondary, request(), tcp=True, source=f"127.0.0.{n}"))) for n in (1, 2, 3)]
    assert allowed == [True, False, scope == "zone"]


@pytest.mark.parametrize("server, remote", [("on", "on"), ("on", "off"), ("off", "on")])
def test_automatic_acl(servers, server, remote):
    primary = servers.knotd({ZONE: zone_text(ZONE)})
    secondary = servers.secondary([ZONE], [primary], server_conf=f"    automatic-acl: {server}\n", zone_conf="", items={"notify": "told"})
    secondary.module_conf = (f"remote:\n  - id: told\n    address: 127.0.0.1\n    automatic-acl: {remote}\n" + secondary._stanza())
    primary.notify.append(secondary)
    primary.start()
    secondary.start()
    secondary.await_serial(ZONE)
    assert bool(is_transfer(first(secondary))) == (server == remote == "on")
    assert not is_transfer(ask(secondary, request(), tcp=True, source="127.0.0.2"))


def test_edits_count_at_once(servers, scope):
    _, secondary = servers.pair({ZONE: zone_text(ZONE)}, scope=scope, items={"transfer-to": "rule"},
                                acl={"rule": {"address": "127.0.0.2", "action": "transfer"}})
    assert not is_transfer(first(secondary))

    def set_address(address):
        for words in (["conf-begin"], ["conf-unset", "acl[rule].address"], ["conf-set", "acl[rule].address", address], ["conf-commit"]):
            secondary.knotc(*words)
    database = secondary.path / "confdb"
    subprocess.run([tool("knotc"), "-C", str(database), "conf-import", str(secondary.conf)], check=True, env=secondary.client_environment(),
                   capture_output=True)
    secondary.stop()
    secondary.command = lambda: [tool("knotd"), "-C", database]
    secondary.start()
    secondary.await_serial(ZONE)
    assert not is_transfer(first(secondary))
    set_address("127.0.0.1")
    assert is_transfer(first(secondary))
    set_address("127.0.0.2")
    assert not is_transfer(first(secondary))


# --- TSIG

@pytest.fixture
def keyed(servers, scope):
    key = Key("downstream")
    secondary = servers.pair({ZONE: big_text(count=2000)}, scope=scope, items={"transfer-to": "signed"}, keys=[key],
                             acl={"signed": {"key": key.name, "action": "transfer"}})[1]
    return secondary, key


def test_every_message_is_signed(keyed):
    secondary, key = keyed
    got = dns.zone.Zone(absolute(ZONE))
    wanted, _ = dns.xfr.make_query(got, keyring=key.keyring())
    messages = list(dns.query.xfr(secondary.address, absolute(ZONE), port=secondary.port, keyring={dns.name.from_text(key.name): key.keyring()},
                                  keyname=key.name, keyalgorithm=key.algorithm, relativize=False))
    assert len(messages) > 5 and all(part.had_tsig for part in messages)
    assert len(pull(secondary, ZONE, *signature(key))) == 4007
    assert not is_transfer(first(secondary))


def error_of(server, wanted):
    """RCODE and TSIG error of the response, whose signature need not be one."""
    client = Client(server, wanted)
    answer = client.message()
    client.close()
    # TSIG is the last record: its RDATA ends in error, length of other data, and that (the server's time with BADTIME).
    other = 6 if answer[-8:-6] == b"\0\6" else 0
    return answer[3] & 15, struct.unpack("!H", answer[len(answer) - other - 4:][:2])[0]


def test_wrong_signatures(keyed):
    secondary, key = keyed
    assert error_of(secondary, request(key=Key("unknown"))) == (dns.rcode.NOTAUTH, dns.rcode.BADKEY)
    wrong = Key(key.name)
    wrong.secret = Key("other").secret
    assert error_of(secondary, request(key=wrong)) == (dns.rcode.NOTAUTH, dns.rcode.BADSIG)
    assert error_of(secondary, request(key=Key(key.name, "hmac-sha512"))) == (dns.rcode.NOTAUTH, dns.rcode.BADKEY)
    with mock.patch("time.time", return_value=1_000_000_000):
        assert error_of(secondary, request(key=key)) == (dns.rcode.NOTAUTH, dns.rcode.BADTIME)
    for why in ("not allowed", "bad signature", "bad time of signature"):
        secondary.await_log(rf"AXFR, outgoing, remote 127.0.0.1@\d+, refused \({why}\)")


@pytest.mark.parametrize("name, rdtype, rcode", [(f"ns1.{ZONE}", "A", dns.rcode.NOERROR), (f"ns1.{ZONE}", "MX", dns.rcode.NOERROR),
                                                 (f"none.{ZONE}", "A", dns.rcode.NXDOMAIN), (ZONE, "SOA", dns.rcode.NOERROR)])
def test_queries_are_answered_signed(keyed, name, rdtype, rcode):
    secondary, key = keyed
    for tcp in (False, True):
        response = query(secondary, name, rdtype, key=key, tcp=tcp)
        assert response.had_tsig and response.rcode() == rcode


# --- kinds of requests

def test_incremental_requests(servers, scope):
    _, secondary = exporter(servers, {ZONE: zone_text(ZONE, serial=10)}, scope)
    for serial, whole in ((9, True), (10, False), (11, False), ((10 + 2**31) % 2**32, True), ((11 + 2**31) % 2**32, True), (2**31 + 9, False)):
        response = first(secondary, rdtype="IXFR", serial=serial)
        assert is_transfer(response) and (len(response.answer) > 1) == whole, serial
        response = first(secondary, tcp=False, rdtype="IXFR", serial=serial)
        assert is_transfer(response) and len(response.answer) == 1
    assert first(secondary, rdtype="IXFR").rcode() == dns.rcode.FORMERR
    secondary.await_log(r"IXFR, outgoing, remote 127.0.0.1@\d+, zone is up-to-date, serial 10")
    secondary.await_log(r"IXFR, outgoing, remote 127.0.0.1@\d+, incomplete history, serial 9, fallback to AXFR")
    secondary.await_log(r"AXFR, outgoing, remote 127.0.0.1@\d+, started, serial 10")
    secondary.await_log(r"AXFR, outgoing, remote 127.0.0.1@\d+, finished, \d+\.\d\d seconds, 1 messages, \d+ bytes")


def test_refused_kinds(servers, scope):
    dead = Peer()
    secondary = servers.secondary([ZONE], [dead], scope=scope, items={"transfer-to": "everyone"}, acl=EVERYONE).start()
    response = await_event(lambda: first(secondary), "a response")
    assert response.rcode() == dns.rcode.SERVFAIL and ede(response) == [14]
    assert first(secondary, tcp=False).rcode() == dns.rcode.NOTIMP
    assert first(secondary, zone=f"below.{ZONE}").rcode() != dns.rcode.NOERROR


def test_connection_is_used_again(servers):
    _, secondary = exporter(servers, {ZONE: big_text(count=3000)})
    client = Client(secondary)
    for _ in range(3):
        assert client.drain(records(3000)) == 1
        client.send(request())
    assert client.drain(records(3000)) == 1
    client.close()


# --- time and trouble

#: knotd's default; and what a client gets that may take its time, or has to: fifty at once beside other tests are slower than half a second.
STRICT = "    tcp-io-timeout: 500\n"
PATIENT = f"    tcp-io-timeout: {int(PATIENCE * 4000)}\n"


def test_version_at_the_start_is_served_to_the_end(servers, scope):
    """Through a new version, through knotc reload, and through both."""
    primary, secondary = exporter(servers, {ZONE: big_text()}, scope, server_conf=PATIENT)
    client = Client(secondary)
    size = records(100_000) - struct.unpack("!H", client.message()[6:8])[0]
    primary.change(ZONE, "new 3600 A 192.0.2.9")
    secondary.await_serial(ZONE, 2)
    secondary.reload()
    assert client.drain(size) == 1
    client.close()
    assert f"new.{ZONE}. 3600 IN A 192.0.2.9" in pull(secondary, ZONE)
    secondary.await_log(r"AXFR, outgoing, remote 127.0.0.1@\d+, finished, .* seconds, \d+ messages, \d+ bytes")


def test_key_outlives_the_configuration(servers, scope):
    """A reload frees the secret that the rest of the messages is signed with."""
    key = Key("downstream")
    fat = " ".join(['"' + "x" * 250 + '"'] * 16)
    _, secondary = servers.pair({ZONE: zone_text(ZONE, "".join(f"host{n} TXT {fat}\n" for n in range(4000)))}, scope=scope, keys=[key],
                                items={"transfer-to": "signed"}, acl={"signed": {"key": key.name, "action": "transfer"}}, server_conf=PATIENT)
    transfer = dns.query.xfr(secondary.address, absolute(ZONE), port=secondary.port, keyname=key.name, keyalgorithm=key.algorithm,
                             keyring={dns.name.from_text(key.name): key.keyring()}, relativize=False)
    next(transfer)
    secondary.reload()
    assert sum(len(rrset) for part in transfer for rrset in part.answer) > 3900


def test_removed_zone_ends_the_transfer(servers, scope):
    """Nothing of it is left when the instance has gone (the servers' end is judged)."""
    _, secondary = exporter(servers, {ZONE: big_text(), "other.example": zone_text("other.example")}, scope, server_conf=PATIENT)
    client = Client(secondary)
    client.message()
    secondary.names.remove(ZONE)
    secondary.reload()
    await_event(lambda: not is_transfer(first(secondary)), "the end of the zone")
    if scope == "zone":
        # Of no type that knotd would answer between messages: with contents of its own it would begin anew, inside the transfer.
        assert client.drain(records(100_000)) == "NOTIMP"
        secondary.await_log(r"server")
    client.close()


def test_vanished_client_pins_nothing(servers, scope):
    """It is noticed when it goes, not when a message has had its time."""
    _, secondary = exporter(servers, {ZONE: big_text()}, scope, server_conf=PATIENT)
    for _ in range(5):
        seen = secondary.log_position()
        client = Client(secondary)
        client.message()
        client.close()
        secondary.await_log(r"AXFR, outgoing, remote 127.0.0.1@\d+, failed \(connection closed or stalled\), \d+\.\d\d seconds, \d+ messages", after=seen)
    assert len(pull(secondary, ZONE)) == records(100_000)


def test_stalled_client_is_dropped(servers, scope):
    """knotd gives a client half a second for each message; meanwhile the other worker serves."""
    _, secondary = exporter(servers, {ZONE: big_text()}, scope, server_conf=STRICT)
    client = Client(secondary)
    client.message()
    seen = secondary.log_position()
    assert query(secondary, f"host1.{ZONE}").answer
    secondary.await_log(r"AXFR, outgoing, remote 127.0.0.1@\d+, failed \(connection closed or stalled\), \d+\.\d\d seconds", after=seen)
    with pytest.raises((EOFError, ConnectionError)):
        client.drain(records(100_000))
    client.close()


def test_many_at_once(servers, scope):
    primary, secondary = exporter(servers, {ZONE: big_text(count=5000)}, scope, server_conf=PATIENT, workers=4)
    expected, results = pull(primary, ZONE), []

    def fetch():
        results.append(pull(secondary, ZONE) == expected)
    threads = [threading.Thread(target=fetch) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 50


def test_pulls_during_reloads_and_changes(servers, scope):
    """Each transfer is one version from its first record to its last."""
    primary, secondary = exporter(servers, {ZONE: big_text(count=5000)}, scope, server_conf=PATIENT, workers=4)
    done, serials, trouble = threading.Event(), [], []

    def fetch():
        while not done.is_set():
            try:
                with Client(secondary, receive_buffer=1 << 20) as client:
                    serials.append(client.drain(records(5000)))
            except (AssertionError, OSError, EOFError) as error:
                trouble.append(error)
                return
    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for serial in range(2, 7):
            primary.change(ZONE, f"-host{serial} A 192.0.0.{serial}", f"host{serial} 3600 A 192.0.2.{serial}")
            secondary.await_serial(ZONE, serial)
            secondary.reload()
            if serial % 2 == 0:
                await_event(lambda: trouble or serial in serials, f"a transfer of serial {serial}")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not trouble and set(serials) <= set(range(1, 7)) and len(set(serials)) > 2


def test_versions_are_bounded(servers):
    """Clients that are slow, each with a version of its own: the oldest is cut for the fifth."""
    primary, secondary = exporter(servers, {ZONE: big_text()}, server_conf=PATIENT, workers=8)
    clients = []
    for serial in range(1, 6):
        secondary.await_serial(ZONE, serial)
        clients.append(Client(secondary))
        clients[-1].message()
        primary.change(ZONE, f"new{serial} 3600 A 192.0.2.{serial}")
    secondary.await_serial(ZONE, 6)
    assert clients[0].drain(records(100_000)) == "SERVFAIL"
    secondary.await_log(r"AXFR, outgoing, remote 127.0.0.1@\d+, failed \(too slow, newer versions are transferred\)")
    for serial, client in enumerate(clients[1:], 2):
        count = records(100_000) + serial - 1
        assert client.drain(count - client.taken) == serial
    for client in clients:
        client.close()


def test_chain(servers, sign):
    """primary, module, module, knotd. REFRESH is an hour away and nobody gives a command: a change comes through by NOTIFY alone."""
    zone = "nsec3.example"
    items = {"transfer-to": "everyone", "notify": "peer0"}
    primary = servers.knotd({zone: zones(sign)[zone]}, name="primary")
    near = servers.secondary([zone], [primary], items=items, acl=EVERYONE, name="near")
    far = servers.secondary([zone], [near], scope="global", items=items, acl=EVERYONE, name="far")
    mirror = servers.knotd(mirrored=[zone], primaries=[far], name="mirror")
    chain = [primary, near, far, mirror]
    for server, follower in zip(chain, chain[1:]):
        server.notify.append(follower)
    primary.start()
    serial = await_serial(primary, zone)
    for server in chain[1:]:
        server.start()
        await_serial(server, zone, serial)
    assert pull(mirror, zone) == pull(primary, zone)

    seen = [server.log_position() for server in chain]
    for _ in range(3):
        serial += 1
        primary.change(zone, f"new{serial} 3600 A 192.0.2.9")
        await_serial(mirror, zone, serial)
        assert pull(mirror, zone) == pull(primary, zone) == pull(far, zone)
    for server, after in zip(chain[1:], seen[1:]):
        server.await_log(rf"notify, incoming, .*serial {serial}$", after=after)
        server.await_log(rf"serial {serial - 1} -> {serial}\b", after=after)
