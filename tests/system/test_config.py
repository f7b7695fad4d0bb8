# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's section of knot.conf: what conf-check and a reload refuse, what is found at load, and the lists of zones."""

import os
import re
import subprocess

import dns.flags
import dns.rcode
import pytest

from scripted import Scripted, answer
from servers import Peer, absolute, await_event, query, tool, zone_text

ZONE = "example.com"
OTHER = "example.org"

#: Stanza's items that are refused, and what is said. {dir} is a directory with the files of make_lists().
REFUSED = {
    "no transfer-from": ("", r"no 'transfer-from' specified"),
    "unknown remote": ("transfer-from: nobody", r"invalid reference"),
    "unknown remote among others": ("transfer-from: [primary0, nobody]", r"invalid reference"),
    "zones and zones-file": ("transfer-from: primary0\n    zones: example.com\n    zones-file: {dir}/good",
                             r"'zones' together with 'zones-file'"),
    "store relative": ("transfer-from: primary0\n    store: kept", r"'store' is not an absolute path"),
    "shrink limit": ("transfer-from: primary0\n    zone-shrink-limit: 100", r"zone-shrink-limit"),
    "zonemd": ("transfer-from: primary0\n    zonemd-verify: maybe", r"zonemd-verify"),
    "list missing": ("transfer-from: primary0\n    zones-file: {dir}/none", r"zones-file '{dir}/none' \(not exists\)"),
    "list relative": ("transfer-from: primary0\n    zones-file: good", r"zones-file 'good' \(not an absolute path\)"),
    "list a directory": ("transfer-from: primary0\n    zones-file: {dir}", r"zones-file '{dir}' \(not a regular file\)"),
    "list a pipe": ("transfer-from: primary0\n    zones-file: {dir}/pipe", r"zones-file '{dir}/pipe' \(not a regular file\)"),
    "two names in a line": ("transfer-from: primary0\n    zones-file: {dir}/two", r"zones-file '{dir}/two', line 3 \(not a domain name\)"),
    "empty label": ("transfer-from: primary0\n    zones-file: {dir}/label", r"zones-file '{dir}/label', line 1 \(not a domain name\)"),
    "name too long": ("transfer-from: primary0\n    zones-file: {dir}/name", r"zones-file '{dir}/name', line 2 \(not a domain name\)"),
    "raw UTF-8": ("transfer-from: primary0\n    zones-file: {dir}/raw", r"zones-file '{dir}/raw', line 1 \(not a domain name\)"),
    "line too long": ("transfer-from: primary0\n    zones-file: {dir}/line", r"zones-file '{dir}/line', line 1 \(line too long\)"),
    "one bad list of two": ("transfer-from: primary0\n    zones-file: [{dir}/good, {dir}/two]", r"zones-file '{dir}/two', line 3"),
    "refresh clamps": ("transfer-from: primary0\n    refresh-min-interval: 1h\n    refresh-max-interval: 1m",
                       r"'refresh-min-interval' is greater than 'refresh-max-interval'"),
    "retry clamps": ("transfer-from: primary0\n    retry-min-interval: 61\n    retry-max-interval: 1m",
                     r"'retry-min-interval' is greater than 'retry-max-interval'"),
    "expire clamps": ("transfer-from: primary0\n    expire-min-interval: 1d\n    expire-max-interval: 1h",
                      r"'expire-min-interval' is greater than 'expire-max-interval'"),
    "control relative": ("transfer-from: primary0\n    control-listen: control.sock", r"'control-listen' is not an absolute path"),
    "control too long": ("transfer-from: primary0\n    control-listen: /" + 107 * "x", r"'control-listen' is too long for a socket"),
    "jitter out of range": ("transfer-from: primary0\n    refresh-jitter: 2d", r"refresh-jitter.*out of range"),
    "no transfers": ("transfer-from: primary0\n    transfer-limit: 0", r"transfer-limit.*out of range"),
    "no patience": ("transfer-from: primary0\n    transfer-idle-timeout: 0", r"transfer-idle-timeout.*out of range"),
    "item of another name": ("transfer-from: primary0\n    remote: primary0", r"'remote'.*invalid item"),
    "unknown item": ("transfer-from: primary0\n    nothing: 1", r"'nothing'.*invalid item"),
}

#: Items of a zone that give knotd contents of its own, lines of the zone's section, and what is said.
FOREIGN = {
    "master": ("    master: primary0\n    zonefile-load: none\n    journal-content: none\n", r"must not be set"),
    "dnssec-signing": ("    dnssec-signing: on\n    zonefile-load: none\n    journal-content: none\n", r"must be 'off'"),
    "zonefile-load": ("    zonefile-load: whole\n    journal-content: none\n", r"must be 'none'"),
    "journal-content": ("    zonefile-load: none\n    journal-content: changes\n", r"must be 'none'"),
    "catalog-role": ("    catalog-role: generate\n    zonefile-load: none\n    journal-content: none\n", r"must be 'none'"),
}


#: What `no-edns` of the remote says, and which of its questions have EDNS. Refused, it is left out without being told to.
PLAIN = {"off": [True, False], "on": [False]}


def stanza(text, name="default"):
    lines = f"    {text}\n" if text else ""
    return f"mod-secondary:\n  - id: {name}\n{lines}"


def stanzas(*texts):
    """Stanzas a, b, … with the items given."""
    return "mod-secondary:\n" + "".join(f"  - id: {name}\n    transfer-from: primary0\n{text}" for name, text in zip("abc", texts))


def zone_section(name, modules="mod-secondary/default", items=""):
    return f"zone:\n  - domain: {absolute(name)}\n    module: {modules}\n{items}"


@pytest.fixture
def lists(tmp_path):
    """A directory with lists of zones, good and bad."""
    path = tmp_path / "lists"
    path.mkdir()
    (path / "good").write_text(f"{ZONE}\n")
    (path / "two").write_text(f"# names\n\n{ZONE} {OTHER}\n")
    (path / "label").write_text("example..com\n")
    (path / "name").write_text(f"{ZONE}\n{'.'.join(5 * [63 * 'a'])}\n")
    (path / "raw").write_text("exämple.com\n")
    (path / "line").write_text(2000 * "a" + "\n")
    os.mkfifo(path / "pipe")
    return path


def conf_check(server):
    """Status and output of a stock `knotc conf-check`."""
    done = subprocess.run([tool("knotc"), "-c", server.conf, "conf-check"], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=60, env=server.client_environment())
    return done.returncode, done.stdout + done.stderr


def reload(server):
    """Reloads what the server's directory says; its success is the caller's to judge."""
    server.write_config()
    return server.knotc("reload", check=False)


def start_pair(servers, names=(ZONE,), **how):
    """A primary with the names, and a secondary that has them by what `how` says."""
    primary = servers.knotd({name: zone_text(name) for name in names}).start()
    return primary, servers.secondary(primaries=[primary], **how).start()


def files(path):
    return sorted(str(found.relative_to(path)) for found in path.rglob("*"))


# What is refused

@pytest.mark.parametrize("case", REFUSED)
def test_conf_check_refuses(servers, lists, case):
    items, said = (text.replace("{dir}", str(lists)) for text in REFUSED[case])
    secondary = servers.secondary([ZONE], [Peer()], module_conf=stanza(items))
    secondary.write_config()
    before = files(secondary.path)
    status, output = conf_check(secondary)
    assert status != 0
    assert re.search(said, output), output
    assert files(secondary.path) == before


def test_conf_check_takes_what_is_right(servers, lists, scope):
    items = "\n    ".join(["transfer-from: primary0", "refresh-jitter: 0", "retry-jitter: 1m", "refresh-min-interval: 1m",
                           "refresh-max-interval: 1d", "retry-min-interval: 2", "retry-max-interval: 2", "expire-min-interval: 3",
                           "expire-max-interval: 7d", "zone-max-size: 0", "difference-max-size: 0", "zonemd-verify: if-present", "zone-shrink-limit: 99", "store: /nowhere/store", "transfer-timeout: 1h", "transfer-idle-timeout: 1",
                           "transfer-limit: 1", "transfer-limit-remote: 1", "control-listen: /" + 106 * "x"]
                          + ([f"zones-file: {lists}/good"] if scope == "global" else []))
    secondary = servers.secondary([ZONE], [Peer()], scope=scope, module_conf=stanza(items))
    secondary.write_config()
    before = files(secondary.path)
    status, output = conf_check(secondary)
    assert status == 0, output
    assert files(secondary.path) == before


def test_reload_refuses_and_all_stays(servers, lists, scope):
    primary, secondary = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    for case, texts in REFUSED.items():
        items, said = (text.replace("{dir}", str(lists)) for text in texts)
        seen = secondary.log_position()
        secondary.module_conf = stanza(items)
        output = reload(secondary)
        assert "error" in output, case
        assert re.search(said, secondary.log_text(seen)), case
        assert "configuration reloaded" not in secondary.log_text(seen), case
        assert not query(secondary, ZONE, "SOA").rcode(), case

    secondary.module_conf = None
    secondary.reload()
    secondary.await_serial(ZONE, 1)
    assert primary.transfers(ZONE) == 1


# What is found at load

@pytest.mark.parametrize("item", FOREIGN)
def test_zone_with_contents_of_its_own_is_left_alone(servers, item):
    lines, said = FOREIGN[item]
    secondary = servers.secondary(primaries=[Peer()], conf=zone_section(ZONE, items=lines)).start()
    secondary.await_log(rf"error: \[{ZONE}\.\] module 'mod-secondary/default', item '{item}', zone '{ZONE}\.', {said}")
    assert not query(secondary, ZONE, "SOA").answer
    assert "error" in secondary.knotc_module("zone-status", absolute(ZONE), check=False)


@pytest.mark.parametrize("item", FOREIGN)
def test_bad_edit_of_a_served_zone_leaves_it_served(servers, item):
    lines, said = FOREIGN[item]
    none = "    zonefile-load: none\n    journal-content: none\n"
    primary, secondary = start_pair(servers, conf=zone_section(ZONE, items=none))
    primary.notify.append(secondary)
    secondary.await_serial(ZONE, 1)

    for _ in range(2):
        seen = secondary.log_position()
        secondary.extra = zone_section(ZONE, items=lines)
        secondary.reload()
        secondary.await_log(rf"item '{item}', zone '{ZONE}\.', {said}", after=seen)
        assert not query(secondary, ZONE, "SOA").rcode()
        assert "serial: 1" in secondary.knotc_module("zone-status", absolute(ZONE))
    secondary.extra = zone_section(ZONE, items=none)
    secondary.reload()
    secondary.await_serial(ZONE, 1)


def test_zones_in_zone_scope_is_an_error_that_costs_nothing(servers):
    _, secondary = start_pair(servers, names=[ZONE, OTHER], module_conf=stanza(f"transfer-from: primary0\n    zones: {OTHER}"),
                              conf=zone_section(ZONE))
    secondary.await_log(rf"error: \[{ZONE}\.\] .*item 'zones', zone '{ZONE}\.', ignored in zone scope")
    secondary.await_serial(ZONE, 1)
    assert query(secondary, OTHER, "SOA").rcode() == dns.rcode.REFUSED


def test_no_zones_in_global_scope(servers):
    secondary = servers.secondary(primaries=[Peer()], scope="global", module_conf=stanza("transfer-from: primary0")).start()
    secondary.await_log(r"error: module 'mod-secondary/default', item 'zones', neither it nor 'zones-file' is set in global scope")
    assert query(secondary, ZONE, "SOA").rcode() == dns.rcode.REFUSED


def test_second_stanza_of_a_zone_is_inert(servers):
    _, secondary = start_pair(servers, module_conf=stanzas("", ""), conf=zone_section(ZONE, "[mod-secondary/a, mod-secondary/b]"))
    for _ in range(3):
        secondary.await_serial(ZONE, 1)
        seen = secondary.log_position()
        secondary.reload()
        held = re.findall(r"module '(.*)', item 'module', zone '.*', held by another", secondary.log_text(seen))
        assert held == ["mod-secondary/b"]


def test_second_stanza_of_a_zone_takes_over_when_the_first_goes(servers):
    primary, secondary = start_pair(servers, module_conf=stanzas("", ""), conf=zone_section(ZONE, "[mod-secondary/a, mod-secondary/b]"))
    secondary.await_serial(ZONE, 1)
    secondary.extra = zone_section(ZONE, "mod-secondary/b")
    seen = secondary.log_position()
    secondary.reload()
    assert "held by another" not in secondary.log_text(seen)
    secondary.await_serial(ZONE, 1)
    assert primary.transfers(ZONE) == 1


def test_zone_of_two_global_stanzas_belongs_to_the_first(servers):
    both = "    global-module: [mod-secondary/a, mod-secondary/b]\n"
    _, secondary = start_pair(servers, names=[ZONE, OTHER], template_conf=both,
                              module_conf=stanzas(f"    zones: {ZONE}\n", f"    zones: [{ZONE}, {OTHER}]\n"))
    for _ in range(3):
        secondary.await_serial(ZONE, 1)
        secondary.await_serial(OTHER, 1)
        seen = secondary.log_position()
        secondary.reload()
        held = re.findall(r"module '(.*)', item 'zones', zone '(.*)', held by another", secondary.log_text(seen))
        assert held == [("mod-secondary/b", f"{ZONE}.")]


def test_zone_of_both_scopes_belongs_to_the_global_one(servers):
    _, secondary = start_pair(servers, template_conf="    global-module: mod-secondary/a\n",
                              module_conf=stanzas(f"    zones: {ZONE}\n", ""), conf=zone_section(ZONE, "mod-secondary/b"))
    for _ in range(3):
        secondary.await_serial(ZONE, 1)
        seen = secondary.log_position()
        secondary.reload()
        log = secondary.log_text(seen)
        assert re.findall(r"module '(.*)', item 'module', zone '.*', held by another", log) == ["mod-secondary/b"]
        assert re.search(rf"warning: module 'mod-secondary/a', item 'zones', zone '{ZONE}\.', answered by this module although", log)


def test_complaints_about_a_list_are_bounded(servers, lists):
    (lists / "many").write_text("".join(f"zone{n}.example\n" for n in range(100)))
    both = "    global-module: [mod-secondary/a, mod-secondary/b]\n"
    text = f"    zones-file: {lists}/many\n"
    secondary = servers.secondary(primaries=[Peer()], template_conf=both, module_conf=stanzas(text, text)).start()
    assert len(re.findall(r"held by another", secondary.log_text())) == 10
    secondary.await_log(r"item 'zones-file', the same for 90 more zones")


def test_primaries_are_bounded(servers):
    """Of more addresses than are asked, the first ones count."""
    primary = servers.knotd({ZONE: zone_text(ZONE)}, name="primary").start()
    secondary = servers.secondary([ZONE], [primary, *(Peer() for _ in range(69))])
    secondary.start()
    secondary.await_serial(ZONE, 1)
    secondary.await_log(r"warning: .*item 'transfer-from', 6 addresses beyond the first 64 are ignored")
    assert len(re.findall(r"primary 127\S+:", secondary.knotc_module("-e", "zone-status"))) == 64


def test_items_of_the_process_differ_once(servers):
    text = "    transfer-limit-remote: 2\n"
    conf = "zone:\n" + "".join(f"  - domain: zone{n}.example.\n    module: mod-secondary/{'b' if n else 'a'}\n" for n in range(20))
    secondary = servers.secondary(primaries=[Peer()], module_conf=stanzas("", text), conf=conf).start()
    assert len(re.findall(r"warning: .*'transfer-limit-remote'.* hold for the process", secondary.log_text())) == 1


def test_control_socket_elsewhere(servers, tmp_path, scope):
    path = tmp_path / "control.sock"
    _, secondary = servers.pair({ZONE: zone_text(ZONE)}, scope=scope, items={"control-listen": path})
    assert len(re.findall(rf"control socket {path}", secondary.log_text())) == 1
    assert path.is_socket() and not secondary.control.exists()
    secondary.stop()
    assert not path.exists()


# Lists of zones

def test_list_of_zones(servers, lists):
    names = ["one.example", "two.example", "three.example", "four.example", "five.example"]
    primary = servers.knotd({name: zone_text(name) for name in names}).start()
    (lists / "list").write_text("# a comment\n\n  \t\none.example\n\ttwo.example.  # and a comment\nTHREE.Example#\nfour.example\r\n"
                                "one.example\nfive.example")
    secondary = servers.secondary(primaries=[primary], scope="global", items={"zones-file": lists / "list"}).start()
    for name in names:
        secondary.await_serial(name, 1)
    assert not re.search(r"error: module 'mod-secondary", secondary.log_text())

    (lists / "list").write_text("two.example\n")
    secondary.knotc("reload")
    assert query(secondary, "two.example", "SOA").rcode() == dns.rcode.NOERROR
    assert query(secondary, "one.example", "SOA").rcode() == dns.rcode.REFUSED
    assert primary.transfers("two.example") == 1


def test_several_lists(servers, lists):
    primary = servers.knotd({name: zone_text(name) for name in (ZONE, OTHER)}).start()
    (lists / "more").write_text(f"{OTHER}\n{ZONE}\n")
    secondary = servers.secondary(primaries=[primary], scope="global", items={"zones-file": f"[{lists}/good, {lists}/more]"}).start()
    for name in (ZONE, OTHER):
        secondary.await_serial(name, 1)


def test_empty_list_is_no_mistake(servers, lists):
    (lists / "empty").write_text("# nothing yet\n")
    secondary = servers.secondary(primaries=[Peer()], scope="global", items={"zones-file": lists / "empty"}).start()
    assert query(secondary, ZONE, "SOA").rcode() == dns.rcode.REFUSED
    assert not re.search(r"error: module 'mod-secondary", secondary.log_text())


def test_closest_zone_of_a_list_answers(servers):
    names = ["example", "sub.example", "deep.down.sub.example"]
    primary = servers.knotd({name: zone_text(name, f"host TXT {name}\n") for name in names}).start()
    secondary = servers.secondary(names, [primary], scope="global").start()
    for name in names:
        secondary.await_serial(name, 1)
        response = query(secondary, f"host.{name}", "TXT")
        assert response.answer[0][0].to_text() == f'"{name}"'
    # DS belongs to the parent, though the child is here, too.
    assert query(secondary, "sub.example", "DS").authority[0].name.to_text() == "example."


def test_root_in_a_list(servers):
    primary = servers.knotd({".": "$TTL 60\n. SOA a. b. 1 3600 600 604800 60\n. NS a.\na. A 192.0.2.1\n"}).start()
    secondary = servers.secondary(["."], [primary], scope="global").start()
    secondary.await_serial(".", 1)
    assert query(secondary, "none.anywhere").rcode() == dns.rcode.NXDOMAIN


def test_group_of_remotes_and_order(servers):
    """All addresses of all members are tried, in order: only the last one lives."""
    primary = servers.knotd({ZONE: zone_text(ZONE)}).start()
    dead = [Peer() for _ in range(3)]
    group = "remotes:\n  - id: group\n    remote: [primary1, primary2, primary3]\n"
    secondary = servers.secondary([ZONE], [*dead, primary], module_conf=group + stanza("transfer-from: [primary0, group]")).start()
    secondary.await_serial(ZONE, 1)
    for peer in dead:
        await_event(lambda port=peer.port: f"127.0.0.1@{port}" in secondary.log_text(), "a line about the dead primary")


@pytest.mark.parametrize("told", PLAIN)
def test_no_edns(servers, told):
    """A primary that cannot read OPT says FORMERR; `no-edns` of its remote spares it that."""
    seen = []

    def script(query_message, tcp):
        seen.append(query_message.edns >= 0)
        if query_message.edns >= 0:
            return answer(query_message, rcode=dns.rcode.FORMERR)
        apex = absolute(ZONE)
        transfer = answer(query_message, f"{apex} 60 SOA a. b. 1 3600 600 604800 60", f"{apex} 60 NS a.", flags=dns.flags.AA)
        transfer.answer.append(transfer.answer[0])
        return transfer

    primary = Scripted(script)
    try:
        conf = f"remote:\n  - id: old\n    address: {primary.address}@{primary.port}\n    no-edns: {told}\n"
        module = servers.secondary([ZONE], module_conf=conf + stanza("transfer-from: old")).start()
        module.await_serial(ZONE, 1)
        assert seen == PLAIN[told]
    finally:
        primary.stop()
