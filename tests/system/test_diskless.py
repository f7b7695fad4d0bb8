# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing is written: what knotd itself lays down at its start is all there ever is below its storage and its databases."""

from servers import zone_text

ZONE = "example.com"


def files(server):
    """What stands in the directories of zones and databases."""
    return {directory.name: sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))
            for directory in (server.storage, server.database)}


def test_no_file_appears(servers, scope):
    # knotd alone, with its control socket and no zone: its own files.
    stock = servers.secondary(module_conf="").start()
    expected = files(stock)
    assert not expected["storage"]

    primary, secondary = servers.pair({ZONE: zone_text(ZONE)}, scope=scope)
    assert files(secondary) == expected

    primary.change(ZONE, "www 60 A 192.0.2.4")
    secondary.await_serial(ZONE, 2)
    assert files(secondary) == expected

    secondary.reload()
    secondary.await_serial(ZONE, 2)
    assert files(secondary) == expected

    # knotd writes its (empty) timer database when it stops.
    secondary.stop()
    stock.stop()
    assert files(secondary) == files(stock)
