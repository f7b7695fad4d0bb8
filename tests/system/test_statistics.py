# SPDX-License-Identifier: GPL-3.0-or-later
"""What is counted: by the module's control socket, in knotd's own statistics, and for Prometheus."""

import re
import socket
import time

import dns.rcode
import dns.tsig
import pytest

from servers import Key, Peer, absolute, ask, await_event, knotc, message, notify, query, zone_text

ZONE, OTHER, THIRD = "example.com", "example.net", "example.org"
RECORDS = "www A 192.0.2.11\nsub NS ns.sub\nsub DS 1 13 2 " + "00" * 32 + "\nns.sub A 192.0.2.12\nout CNAME elsewhere.test.\n"


def numbers(text):
    """Lines of (zone-)stats as {zone: {name: number}}; without zone under None."""
    found = {}
    for line in text.strip().splitlines():
        zone, name, number = re.fullmatch(r"(?:\[(\S+)\] )?(\S+) = (\d+)", line).groups()
        found.setdefault(zone, {})[name] = int(number)
    return found


def zone_stats(module, zone=ZONE, *words):
    return numbers(module.knotc_module("zone-stats", zone, *words)).get(absolute(zone), {})


def stats(module, *words):
    return numbers(module.knotc_module("stats", *words)).get(None, {})


def knotd_stats(module, zone):
    """knotd's own, of the zone or (global scope) of the server."""
    words = ["zone-stats", zone, "mod-secondary"] if module.scope == "zone" else ["stats", "mod-secondary"]
    return numbers(module.knotc(*words)).get(absolute(zone) if module.scope == "zone" else None, {})


def await_first_version(module, zone):
    """Without a question to the zone, which would be counted. This is said between two checks, when all that belongs to the first is counted."""
    await_event(lambda: "state: fresh" in knotc(module.control, "zone-status", zone, check=False), f"the first version of {zone}")


def pair(servers, scope, **kwargs):
    """As servers.pair(), but nobody has asked for anything when it returns."""
    primary = servers.knotd({zone: zone_text(zone, RECORDS) for zone in (ZONE, OTHER)})
    module = servers.secondary(primary.zones, [primary], scope=scope, **kwargs)
    primary.notify.append(module)
    primary.start()
    module.start()
    for zone in primary.zones:
        await_first_version(module, zone)
    return primary, module


def answers(found):
    return {name.split("[")[1][:-1]: number for name, number in found.items() if name.startswith("mod-secondary.answer[")}


def ask_each_kind(module, zone=ZONE):
    """One of each kind of answer; both transports, so several workers."""
    for tcp in (False, True):
        for name, rdtype in [("www", "A"), ("www", "AAAA"), ("none", "A"), ("x.sub", "A"), ("out", "A")]:
            query(module, f"{name}.{zone}", rdtype, tcp=tcp)


EACH_KIND = {"data": 2, "nodata": 2, "nxdomain": 2, "referral": 2, "alias": 2}


def difference(after, before):
    return {name: number - before.get(name, 0) for name, number in after.items() if number != before.get(name, 0)}


def test_answers_by_kind(servers, scope):
    _, module = pair(servers, scope)
    before, all_before, knotd_before = answers(zone_stats(module)), answers(stats(module)), answers(knotd_stats(module, ZONE))
    others = answers(zone_stats(module, OTHER))
    ask_each_kind(module)
    assert difference(answers(zone_stats(module)), before) == EACH_KIND
    assert difference(answers(stats(module)), all_before) == EACH_KIND
    assert difference(answers(knotd_stats(module, ZONE)), knotd_before) == (EACH_KIND if scope == "global" else {})
    assert answers(zone_stats(module, OTHER)) == others
    assert zone_stats(module)["mod-secondary.transfer-in[axfr]"] == 1


def test_truncated_and_errors(servers):
    big = "".join(f'big TXT "{n:02d}{"x" * 200}"\n' for n in range(20))
    primary = servers.knotd({ZONE: zone_text(ZONE, big)}).start()
    module = servers.secondary([ZONE, OTHER], [primary]).start()
    await_first_version(module, ZONE)
    before = answers(zone_stats(module))
    query(module, f"big.{ZONE}", "TXT")
    with pytest.raises(dns.tsig.PeerBadKey):
        query(module, ZONE, "SOA", key=Key("stranger"))
    query(module, OTHER, "SOA")
    assert difference(answers(zone_stats(module)), before) == {"data": 1, "truncated": 1, "error": 1}
    assert answers(zone_stats(module, OTHER)) == {"unserved": 1}


def test_monotonic_over_reload(servers, scope):
    """Nothing goes back, neither in ours nor in knotd's; zones that go leave what they have added to the sums."""
    _, module = pair(servers, scope)
    ask_each_kind(module)
    ask_each_kind(module, OTHER)

    def all_of_it():
        return [{name: number for name, number in found.items() if "state" not in name}
                for found in (zone_stats(module), stats(module), knotd_stats(module, ZONE))]
    before = all_of_it()
    module.reload()
    after = all_of_it()
    for old, new in zip(before, after):
        assert {name: number for name, number in new.items() if number < old.get(name, 0)} == {}
        assert set(old) <= set(new)
    ask_each_kind(module)
    for old, new in zip(after, all_of_it()):
        assert difference(answers(new), answers(old)) == EACH_KIND or not answers(new)

    before = stats(module)
    module.names.remove(OTHER)
    module.reload()
    await_event(lambda: stats(module).get("mod-secondary.zones[served]") == 1, "the end of the zone")
    after = stats(module)
    assert answers(after) == answers(before)
    module.names.append(OTHER)
    module.reload()
    module.await_serial(OTHER)
    assert answers(zone_stats(module, OTHER)).get("nxdomain") is None
    assert zone_stats(module, OTHER)["mod-secondary.transfer-in[axfr]"] == 1


def test_state(servers, scope):
    """Serial, last success and expiry, in ours and in knotd's."""
    primary, module = pair(servers, scope)
    found = zone_stats(module)
    assert found["mod-secondary.state[serial]"] == 1
    assert abs(found["mod-secondary.state[last-success]"] - time.time()) < 60
    assert abs(found["mod-secondary.state[expires]"] - found["mod-secondary.state[last-success]"] - 604800) <= 2
    primary.change(ZONE, "new 60 A 192.0.2.99")
    module.await_serial(ZONE, 2)
    assert zone_stats(module)["mod-secondary.state[serial]"] == 2
    if scope == "zone":
        def same():
            ours, theirs = zone_stats(module), knotd_stats(module, ZONE)
            return theirs["mod-secondary.state[serial]"] == 2 and all(
                abs(theirs[f"mod-secondary.state[{name}]"] - ours[f"mod-secondary.state[{name}]"]) <= 2 for name in ("last-success", "expires"))
        await_event(same, "the state in knotd's")
    assert stats(module)["mod-secondary.zones[served]"] == 2


def test_state_of_an_expired_zone(servers):
    text = zone_text(ZONE, refresh=1, retry=1, expire=3)
    primary, module = servers.pair({ZONE: text}, items={"refresh-jitter": 0, "retry-jitter": 0})
    primary.stop()
    await_event(lambda: stats(module).get("mod-secondary.zones[expired]") == 1, "the end of the zone")
    found = zone_stats(module)
    assert "mod-secondary.state[serial]" not in found and found["mod-secondary.state[expires]"] <= time.time()
    # On a slow machine it may have expired before, while the primary was there. The line comes after the state, a check perhaps after both.
    await_event(lambda: len(re.findall("zone expired", module.log_text())) == zone_stats(module)["mod-secondary.refresh[expired]"], "its line")
    await_event(lambda: {"mod-secondary.refresh[failed]", "mod-secondary.primary-failure[network]"} <= set(zone_stats(module)), "a failure")


def test_transfers_and_notify(servers, scope):
    key = Key("downstream")
    acl = {"downstream": {"key": key.name, "action": "transfer"}}
    primary, module = pair(servers, scope, acl=acl, keys=[key], items={"transfer-to": "downstream"})
    before = zone_stats(module)
    assert before["mod-secondary.transfer-octets[in]"] > 100 and before["mod-secondary.refresh[succeeded]"] >= 1
    primary.change(ZONE, "new 60 A 192.0.2.99")
    module.await_serial(ZONE, 2)
    assert ask(module, message(ZONE, "AXFR"), tcp=True).rcode() == dns.rcode.NOTAUTH
    assert len(ask(module, message(ZONE, "AXFR", key=key), tcp=True).answer) > 3
    await_event(lambda: zone_stats(module).get("mod-secondary.transfer-out[axfr]") == 1, "the end of the transfer")
    found = difference(zone_stats(module), before)
    assert found["mod-secondary.transfer-out[refused]"] == 1 and found["mod-secondary.transfer-octets[out]"] > 100
    assert found["mod-secondary.notify-in[accepted]"] >= 1 and found["mod-secondary.transfer-octets[in]"] > 50
    assert found["mod-secondary.transfer-in[ixfr]"] == 1 and "mod-secondary.transfer-in[axfr]" not in found


def test_refused_notify_and_notify_out(servers):
    """The target refuses what it does not know."""
    target = servers.knotd({THIRD: zone_text(THIRD)}).start()
    key = Key()
    primary = servers.knotd({ZONE: zone_text(ZONE)}, key=key).start()
    module = servers.secondary([ZONE], [primary], items={"notify": "peer0"})
    module.notify.append(target)
    module.start()
    module.await_serial(ZONE)
    assert notify(module, ZONE, 2).rcode() != dns.rcode.NOERROR
    await_event(lambda: zone_stats(module).get("mod-secondary.notify-out[failed]") == 1, "the target's answer")
    assert zone_stats(module)["mod-secondary.notify-in[refused]"] == 1


@pytest.mark.parametrize("kind", ["timeout", "network", "response", "signature"])
def test_failures_by_reason(servers, kind):
    if kind == "timeout":
        peer = Peer()
        listener = socket.create_server((peer.address, peer.port))
    elif kind == "network":
        peer = Peer()
    else:
        peer = servers.knotd({OTHER: zone_text(OTHER)}).start()
        if kind == "signature":
            peer = Peer(peer.port, key=Key())
    module = servers.secondary([ZONE], [peer], items={"transfer-idle-timeout": 1}).start()
    found = await_event(lambda: (lambda now: now if "mod-secondary.refresh[failed]" in now else None)(zone_stats(module)), "a failure")
    reasons = [name for name in found if "primary-failure" in name]
    assert reasons == [f"mod-secondary.primary-failure[{kind}]"]
    assert found["mod-secondary.transfer-in[failed]"] >= 1
    if kind == "timeout":
        listener.close()


def test_choice_and_errors(servers):
    _, module = pair(servers, "zone")
    assert stats(module, "mod-secondary.answer") == {}
    query(module, ZONE, "SOA")
    assert set(answers(stats(module, "mod-secondary.answer"))) == {"data"} and len(stats(module, "mod-secondary.answer")) == 1
    assert len(answers(numbers(module.knotc_module("-f", "stats", "mod-secondary.answer"))[None])) == 8
    assert set(numbers(module.knotc_module("zone-stats", "--", "mod-secondary.state"))) == {absolute(ZONE), absolute(OTHER)}
    for words in (["stats", "mod-other"], ["stats", "mod-secondary.none"], ["zone-stats", ZONE, "mod-secondary.upstream"]):
        assert "(not exists)" in knotc(module.control, *words, check=False), words
    assert "(no such zone found)" in knotc(module.control, "zone-stats", "example.edu", check=False)
