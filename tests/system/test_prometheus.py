# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus: knot-exporter reads the module's socket with Knot's Python client, and the alerts are about what it finds there."""

import re
import shutil
import subprocess
import time

import libknot.control
import pytest

from servers import ROOT, absolute, await_event, query, zone_text

RULES = ROOT / "module" / "examples" / "prometheus-rules.yml"
ZONE = "example.com"


def export(path):
    """What knot-exporter makes of a control socket: {metric: {labels: value}}, as it names them."""
    control = libknot.control.KnotCtl()
    control.connect(str(path))
    control.set_timeout(20000)
    metrics = {}

    def add(name, labels, value):
        for family in (name.replace("-", "_"), name.replace("-", "_") + "_total"):
            metrics.setdefault(family, {})[labels] = value

    control.send_block(cmd="stats", flags="")
    for section, items in control.receive_stats().items():
        for item, kinds in items.items():
            for kind, value in (kinds.items() if isinstance(kinds, dict) else [("", kinds)]):
                add(f"knot_stats_{item}", (section, kind), value)
    control.send_block(cmd="zone-stats", flags="")
    for zone, sections in control.receive_stats()["zone"].items():
        for section, items in sections.items():
            for item, kinds in items.items():
                for kind, value in (kinds.items() if isinstance(kinds, dict) else [("", kinds)]):
                    add(f"knot_zone_stats_{item}", (zone, section, kind), value)
    control.send_block(cmd="zone-status")
    for zone, items in control.receive_block().items():
        metrics.setdefault("knot_zone_serial", {})[zone,] = int(items["serial"])
        # It insists on these, in this form.
        for name in ("refresh", "expiration"):
            assert items[name] in ("pending", "running", "-") or re.match(r"[+-](\d+D)?(\d+h)?(\d+m)?(\d+s)?$", items[name]), items[name]
    control.send(libknot.control.KnotCtlType.END)
    control.close()
    return metrics


def selectors(rules):
    """(metric, kinds) that the rules select."""
    for name, labels in re.findall(r"(knot_\w+)\{([^}]*)\}", rules):
        kinds = re.search(r'type=~?"([^"]*)"', labels)
        yield name, kinds.group(1).split("|") if kinds else []


def test_exporter_reads_it(servers, scope):
    primary, module = servers.pair({ZONE: zone_text(ZONE), "dead.example": zone_text("dead.example")}, scope=scope)
    query(module, f"www.{ZONE}")
    primary.stop()
    module.knotc_module("-b", "zone-refresh", check=False)
    found = export(module.control)
    zone = absolute(ZONE)
    assert found["knot_zone_serial"][zone,] == 1
    assert found["knot_zone_stats_answer_total"][zone, "mod-secondary", "nxdomain"] == 1
    state = {kind: found["knot_zone_stats_state"][zone, "mod-secondary", kind] for kind in ("serial", "last-success", "expires")}
    assert state["serial"] == 1 and state["last-success"] <= time.time() < state["expires"]
    assert found["knot_stats_zones"]["mod-secondary", "served"] == 2
    if scope == "zone":
        module.knotc("zone-status")
        knotd = libknot.control.KnotCtl()
        knotd.connect(str(module.run / "knot.sock"))
        knotd.send_block(cmd="zone-stats", flags="")
        assert knotd.receive_stats()["zone"][zone]["mod-secondary"]["state"]["serial"] == 1
        knotd.close()

    # Those that are there when all is well, or while primaries fail; the other kinds are zones that are not served.
    kinds = {(name, labels[-1]) for name, values in found.items() for labels in values}
    for name, wanted in selectors(RULES.read_text()):
        assert name in found, name
        assert wanted in ([], ["never-loaded", "expired"]) or {(name, kind) for kind in wanted} <= kinds


def test_rules_name_kinds_that_exist(servers):
    """Also those that are 0 here."""
    _, module = servers.pair({ZONE: zone_text(ZONE)})
    text = module.knotc_module("-f", "stats") + module.knotc_module("-f", "zone-stats", ZONE)
    for name, wanted in selectors(RULES.read_text()):
        item = re.sub(r"^knot_(zone_)?stats_|_total$", "", name).replace("_", "-")
        for kind in wanted:
            assert f"mod-secondary.{item}[{kind}] = " in text, (item, kind)


def test_alerts(tmp_path):
    """promtool comes with Debian's prometheus: too large to be installed for this alone."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    test = tmp_path / "test.yml"
    test.write_text((ROOT / "tests" / "system" / "prometheus_rules_test.yml").read_text().replace("RULES", str(RULES)))
    for words in (["check", "rules", RULES], ["test", "rules", test]):
        done = subprocess.run([promtool, *map(str, words)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_statistics_file(servers):
    """knotd's statistics file has what its own counters have, without any exporter."""
    statistics = "statistics:\n    timer: 1\n    file: stats.yaml\n"
    primary = servers.knotd({ZONE: zone_text(ZONE)}).start()
    module = servers.secondary([ZONE], [primary], conf=statistics).start()
    module.await_serial(ZONE)
    path = module.run / "stats.yaml"
    section = rf'(?s)"{re.escape(absolute(ZONE))}".*mod-secondary:\s+state:\s+serial: 1\s+last-success: \d{{10}}\s+expires: \d{{10}}\s'
    # knotd may write it before the first transfer, and in the middle of what the worker puts there.
    await_event(lambda: path.exists() and re.search(section, path.read_text()), "the state in the file")
