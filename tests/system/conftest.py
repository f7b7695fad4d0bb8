# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the system tests."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from servers import Servers, module_path, sign_zone  # noqa: E402


MARKERS = {
    "alone": "measures or depends on a steady processor: not run beside other tests",
    "hostile": "belongs to the suite `hostile`, which has a build of its own",
    "plain": "not worth a second run under ASan every day: it is about something else than the module's memory",
}


def pytest_configure(config):
    for marker, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")


def shared_fixture(item):
    """Name and parameter of the fixture that several tests share, if there is one."""
    for name in item.fixturenames:
        definitions = item._fixtureinfo.name2fixturedefs.get(name, ())
        if any(definition.scope in ("class", "module", "package") for definition in definitions):
            return f"{item.module.__name__}.{name}{item.callspec.indices.get(name, '') if hasattr(item, 'callspec') else ''}"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tests that share servers go to one worker of xdist, and first, because each such group is long. xdist looks for the groups
    in a hook of the same name, which would come before ours."""
    for item in items:
        group = shared_fixture(item)
        if group:
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


@pytest.fixture
def servers(tmp_path):
    """Makes servers; whatever still runs at the end is stopped, and its end is judged as part of the test."""
    some = Servers(tmp_path)
    yield some
    some.stop()


@pytest.fixture
def sign(tmp_path):
    """sign(zone, text, nsec3=…, opt_out=…) → text of the signed zone."""
    return lambda zone, text, **how: sign_zone(tmp_path / "sign", zone, text, **how)


@pytest.fixture(params=["zone", "global"])
def scope(request):
    """Both scopes of the module, one after the other."""
    return request.param


@pytest.fixture(scope="session", autouse=True)
def module():
    """The module has to be there: a run without it would test nothing."""
    path = module_path()
    if not path.exists():
        pytest.exit(f"{path} does not exist: ./build.sh build", returncode=3)
    return path


def pytest_terminal_summary(terminalreporter):
    """Prints what tests have measured (record_property("told", …)), and leaves the counts where ./build.sh test adds them up."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == "told":
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {text}")
    def count(*kinds):
        return sum(len(terminalreporter.getreports(kind)) for kind in kinds)
    if "SECONDARY_TALLY" in os.environ:
        Path(os.environ["SECONDARY_TALLY"]).write_text(f"{count('passed')} {count('failed', 'error')} {count('skipped')}\n")


def pytest_report_header():
    return [f"module: {module_path()}"] + [f"{name}: {value}" for name, value in os.environ.items() if name.startswith("SECONDARY_")]


full = pytest.mark.skipif(os.environ.get("TEST_FULL") != "1", reason="long form: ./build.sh test full")
