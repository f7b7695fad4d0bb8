# SPDX-License-Identifier: GPL-3.0-or-later
"""NOTIFY: from whom it is taken, what it causes, and that floods of it cost little."""

import re
import socket
import struct
import time

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.tsig
import pytest

from servers import PATIENCE, Key, Peer, await_event, message, notify, query, zone_text

ZONE = "example.com"

#: An address that is nobody's: not the primary's, not in a rule.
STRANGER = "127.0.0.99"


def lines(server, pattern, after=0):
    return re.findall(pattern, server.log_text(after))


def rcode(server, zone=ZONE, **how):
    """What NOTIFY is answered with; a signed one that is denied has the reason in its TSIG record."""
    try:
        return notify(server, zone, **how).rcode()
    except dns.tsig.PeerBadKey:
        return dns.rcode.BADKEY
    except dns.tsig.PeerBadSignature:
        return dns.rcode.BADSIG


def test_change_is_brought_over(servers, scope):
    primary, module = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    seen = module.log_position()
    primary.change(ZONE, "www 60 A 192.0.2.4")
    module.await_log(r"notify, incoming, remote 127\.0\.0\.1@\d+, serial 2", after=seen)
    module.await_serial(ZONE, 2)
    assert query(module, f"www.{ZONE}").answer


def test_response(servers, scope):
    """As knotd's: NOERROR, the opcode, the question, not authoritative."""
    _, module = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    response = notify(module, ZONE)
    assert response.rcode() == dns.rcode.NOERROR and response.opcode() == dns.opcode.NOTIFY
    assert response.flags & dns.flags.QR and not response.flags & dns.flags.AA
    assert not response.answer + response.authority
    module.await_log(r"notify, incoming, remote 127\.0\.0\.1@\d+, serial none")


def test_name_below_the_zone(servers, scope):
    """NOTIFY is about a zone, not about a name in it."""
    _, module = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    assert rcode(module, f"www.{ZONE}", serial=9) == dns.rcode.NOTAUTH
    assert rcode(module, serial=1) == dns.rcode.NOERROR
    module.await_log(r"notify, incoming, .*, serial 1$")
    assert not lines(module, "serial 9")


def test_same_serial_changes_nothing(servers, scope):
    primary, module = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    assert notify(module, ZONE, serial=1).rcode() == dns.rcode.NOERROR
    module.await_log(r"notify, incoming, .*, serial 1$")
    assert notify(module, ZONE).rcode() == dns.rcode.NOERROR
    module.await_log(r"zone is up-to-date")
    await_event(lambda: primary.transfers(ZONE), "the primary's word of the first transfer")
    assert primary.transfers(ZONE) == 1


def test_before_the_first_version(servers, scope):
    """The primary comes up later and tells so itself: no need to wait for the next attempt, an hour away."""
    primary = servers.knotd({ZONE: zone_text(ZONE)}, name="primary")
    module = servers.secondary([ZONE], [primary], scope=scope, name="secondary", items={"retry-min-interval": 3600}).start()
    module.await_log(r"refresh, failed \(connection refused\), next retry")
    primary.start()
    assert notify(module, ZONE, serial=1).rcode() == dns.rcode.NOERROR
    module.await_serial(ZONE, 1)


def test_stranger_is_refused(servers, scope):
    primary, module = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    seen = module.log_position()
    response = notify(module, ZONE, serial=7, source=STRANGER)
    assert response.rcode() == dns.rcode.NOTAUTH
    module.await_log(rf"notify, incoming, remote {STRANGER}@\d+, refused \(not allowed\)", after=seen)
    assert not lines(module, r"serial 7", seen)


def test_keys(servers, scope):
    """A primary with a key is believed with that key only."""
    key, other = Key("transfer"), Key("other")
    wrong_algorithm = Key("transfer", "hmac-sha512")
    _, module = servers.pair({ZONE: zone_text(ZONE)}, scope=scope, key=key)
    response = notify(module, ZONE, serial=1, key=key)
    assert response.rcode() == dns.rcode.NOERROR and response.had_tsig
    assert rcode(module) == dns.rcode.NOTAUTH
    for bad in [other, wrong_algorithm]:
        assert rcode(module, key=bad) == dns.rcode.BADKEY
    impostor = Key("transfer")
    impostor.secret = other.secret
    assert rcode(module, key=impostor) == dns.rcode.BADSIG
    module.await_log(r"refused \(bad signature\)")


def test_key_where_none_is_due(servers, scope):
    """A primary without a key does not sign: one who does is not the primary."""
    _, module = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    assert rcode(module, key=Key("any")) == dns.rcode.BADKEY


RULES = {
    # name: (rules, order in the zone's list, source, key, allowed)
    "address": ("  - id: a\n    address: 127.0.0.99\n    action: notify\n", "a", STRANGER, None, True),
    "range": ("  - id: a\n    address: 127.0.0.96/28\n    action: [transfer, notify]\n", "a", STRANGER, None, True),
    "from-to": ("  - id: a\n    address: 127.0.0.90-127.0.0.100\n    action: notify\n", "a", STRANGER, None, True),
    "other address": ("  - id: a\n    address: 127.0.0.98\n    action: notify\n", "a", STRANGER, None, False),
    "everybody": ("  - id: a\n    action: notify\n", "a", STRANGER, None, True),
    "other action": ("  - id: a\n    address: 127.0.0.99\n    action: transfer\n", "a", STRANGER, None, False),
    "no action": ("  - id: a\n    address: 127.0.0.99\n", "a", STRANGER, None, False),
    "no action ends": ("  - id: a\n    address: 127.0.0.99\n  - id: b\n    action: notify\n", "a, b", STRANGER, None, False),
    "deny first": ("  - id: a\n    address: 127.0.0.99\n    deny: on\n  - id: b\n    action: notify\n", "a, b", STRANGER, None, False),
    "deny last": ("  - id: a\n    address: 127.0.0.99\n    deny: on\n  - id: b\n    action: notify\n", "b, a", STRANGER, None, True),
    "deny other action": ("  - id: a\n    address: 127.0.0.99\n    deny: on\n    action: transfer\n  - id: b\n    action: notify\n",
                          "a, b", STRANGER, None, True),
    "key": ("  - id: a\n    key: client\n    action: notify\n", "a", STRANGER, "client", True),
    "one of keys": ("  - id: a\n    key: [spare, client]\n    action: notify\n", "a", STRANGER, "client", True),
    "other algorithm": ("  - id: a\n    key: client\n    action: notify\n", "a", STRANGER, "client with hmac-sha512", False),
    "other key": ("  - id: a\n    key: spare\n    action: notify\n", "a", STRANGER, "client", False),
    "key missing": ("  - id: a\n    key: client\n    action: notify\n", "a", STRANGER, None, False),
    "key too many": ("  - id: a\n    address: 127.0.0.99\n    action: notify\n", "a", STRANGER, "client", False),
    "deny signed": ("  - id: a\n    address: 127.0.0.99\n    deny: on\n    action: notify\n  - id: b\n    key: client\n    action: notify\n",
                    "a, b", STRANGER, "client", False),
    "remote": ("  - id: a\n    remote: friend\n    action: notify\n", "a", STRANGER, "client", True),
    "remote unsigned": ("  - id: a\n    remote: friend\n    action: notify\n", "a", STRANGER, None, False),
    "remote elsewhere": ("  - id: a\n    remote: friend\n    action: notify\n", "a", "127.0.0.98", "client", False),
    "group": ("  - id: a\n    remote: friends\n    action: notify\n", "a", STRANGER, "client", True),
    "none": ("", "", STRANGER, None, False),
}


@pytest.mark.parametrize("native", [False, True], ids=["module", "knotd"])
def test_rules(servers, native):
    """The zone's acl list judges as knotd's own does: each case is put to both."""
    client, spare = Key("client"), Key("spare")
    signers = {None: None, "client": client, "client with hmac-sha512": Key("client", "hmac-sha512")}
    keys = "".join(f"  - id: {key.name}\n    algorithm: {key.algorithm}\n    secret: {key.secret}\n" for key in (client, spare))
    remotes = (f"  - id: friend\n    address: [127.0.0.97, {STRANGER}@5353]\n    key: client\n"
               f"  - id: else\n    address: 127.0.0.96\nremotes:\n  - id: friends\n    remote: [else, friend]\n")
    names = {case: f"zone{n}.example" for n, case in enumerate(RULES)}
    rules = zones = ""
    for n, (case, (text, order, *_)) in enumerate(RULES.items()):
        unique = re.sub(r"id: (\w)", rf"id: {n}\1", text)
        rules += unique
        acl = ", ".join(f"{n}{rule}" for rule in order.split(", ") if rule)
        zones += f"  - domain: {names[case]}\n" + (f"    acl: [{acl}]\n" if acl else "")
        zones += "    master: gone\n" if native else "    module: mod-secondary/default\n"
    gone = Peer()
    sections = f"key:\n{keys}remote:\n  - id: gone\n    address: 127.0.0.96@{gone.port}\n{remotes}acl:\n{rules}"
    if native:
        server = servers.knotd(server_conf=sections, conf=f"zone:\n{zones}")
        server.rules = dict
    else:
        server = servers.secondary(server_conf=sections, conf=f"zone:\n{zones}",
                                   module_conf="mod-secondary:\n  - id: default\n    transfer-from: gone\n")
    server.start()
    for case, (_, _, source, key, allowed) in RULES.items():
        denied = dns.rcode.BADKEY if key else dns.rcode.NOTAUTH
        found = rcode(server, names[case], key=signers[key], source=source)
        assert found == (dns.rcode.NOERROR if allowed else denied), f"{case}: {dns.rcode.to_text(found)}"


def test_other_types(servers, scope):
    """NOTIFY for anything but SOA is no SOA notify (RFC 1996, section 3.7 has room for others; nobody uses it)."""
    primary, module = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    seen = module.log_position()
    assert notify(module, ZONE, rdtype="A").rcode() == dns.rcode.FORMERR
    assert notify(module, ZONE, rdtype="DNSKEY").rcode() == dns.rcode.FORMERR
    # The primary may still tell of its version after its start, which has a serial.
    assert not lines(module, r"notify, incoming, (?!.*serial 1\n)", seen)


def test_other_names(servers, scope):
    _, module = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    assert notify(module, f"www.{ZONE}").rcode() == dns.rcode.NOTAUTH
    assert notify(module, "example.org").rcode() == dns.rcode.NOTAUTH


@pytest.mark.parametrize("rdclass", [1, 255])
def test_soa_without_data(servers, scope, rdclass):
    """A record without RDATA, which libknot takes for classes other than IN, tells no serial; nothing behind it is read."""
    _, module = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    asked = message(ZONE, "SOA", payload=None)
    asked.set_opcode(dns.opcode.NOTIFY)
    wire = bytearray(asked.to_wire())
    wire[6:8] = b"\0\1"
    wire += b"\xc0\x0c" + struct.pack("!HHIH", 6, rdclass, 0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.bind(("127.0.0.1", 0))
        client.sendto(wire, (module.address, module.port))
        response = dns.message.from_wire(client.recv(512), ignore_trailing=True)
    if rdclass == 1:
        assert response.rcode() == dns.rcode.FORMERR
    else:
        assert response.rcode() == dns.rcode.NOERROR
        module.await_log(r"notify, incoming, .*, serial none")


def answered(ask):
    """A flood fills sockets' buffers, and what comes then is lost: asks until there is an answer, and returns that."""
    def look():
        try:
            return ask()
        except dns.exception.Timeout:
            return None
    return await_event(look, "an answer")


def flood(server, count, source=None):
    """Sends NOTIFY without waiting for answers."""
    asked = message(ZONE, "SOA", payload=None)
    asked.set_opcode(dns.opcode.NOTIFY)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((source or "127.0.0.1", 0))
        for number in range(count):
            asked.id = number
            client.sendto(asked.to_wire(), (server.address, server.port))


def test_flood_of_strangers(servers, scope):
    """Few lines, and then one that says how many were left out."""
    _, module = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    began = time.monotonic()
    flood(module, 500, source=STRANGER)
    module.await_log(r"refused \(not allowed\)")

    def suppressed():
        # No answer is awaited: the flood may have filled the socket's buffer.
        flood(module, 1, source=STRANGER)
        return sum(map(int, lines(module, r"notify, incoming, (\d+) further lines suppressed"))) > 10
    await_event(suppressed, "lines about suppressed ones")
    # Ten a second, of which the first and the last one count whole.
    count = len(lines(module, r"refused \(not allowed\)"))
    assert count <= 10 * (2 + time.monotonic() - began)
    assert answered(lambda: query(module, ZONE, "SOA")).answer


def test_storm_of_the_primary(servers, scope):
    """A thousand notifications of the same change cost a few checks, and the last change is not missed."""
    primary, module = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    flood(module, 1000)
    primary.change(ZONE, "www 60 A 192.0.2.4")
    flood(module, 1000)
    module.await_serial(ZONE, 2)
    # Its log may be behind.
    await_event(lambda: primary.transfers(ZONE) >= 2, "the primary's word of it")
    assert primary.transfers(ZONE) == 2
    assert answered(lambda: query(module, f"www.{ZONE}")).answer


def test_storm_while_the_primary_is_down(servers, scope):
    """It refuses at once, and yet a check a second is all; what was put off is not lost when it is up again."""
    primary, module = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    primary.stop()
    seen, began = module.log_position(), time.monotonic()
    failed = r"refresh, failed \(.*\), next retry"

    def has_failed():
        flood(module, 100)
        return len(lines(module, failed, seen)) >= 3
    await_event(has_failed, "three checks")
    log, seconds = module.log_text(seen), time.monotonic() - began
    checks = len(re.findall(failed, log))
    # The first one at once. The module's clock has milliseconds.
    assert checks <= 1 + seconds / 0.999
    assert len(re.findall(r"refresh, remote .* failed", log)) <= 1 + checks

    primary.zones[ZONE] = zone_text(ZONE, serial=2)
    primary.start()
    assert answered(lambda: notify(module, ZONE, serial=2)).rcode() == dns.rcode.NOERROR
    module.await_serial(ZONE, 2)
