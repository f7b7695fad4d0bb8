# SPDX-License-Identifier: GPL-3.0-or-later
"""The torture: everything at once, again and again, and between the rounds peace, in which the house must look as before.

torture.py SECONDS; the module is SECONDARY_SO, built with a sanitizer. Random schedules come from SEED, which is printed. What has to hold:

  - a zone that is always there answers each query with one whole version, never an older one than before;
  - no report of a sanitizer, no crash, an orderly end;
  - after each round every zone is, record for record, the primary's, here and at a secondary of ours;
  - memory in use, descriptors and threads are what they were after the first round.
"""

import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "system")]

from actors import COUNTS, TROUBLE, troupe  # noqa: E402
from company import ALWAYS, LISTED, POOL, Company  # noqa: E402
from servers import PATIENCE, Servers, await_event  # noqa: E402
from updates import assert_same_zone  # noqa: E402

#: Seconds of a round at most, and so many rounds at least: without two there is nothing to compare.
ROUND, ROUNDS = 30, 2
#: What may be in use more after the last round than after the first, in octets. knotd and libraries keep what they once needed (buffers of
#: connections, caches of the resolver's library), which the first round need not have needed; a version that is lost, or what is kept
#: for each query, each transfer or each reload, is more than that in a minute. Fifteen rounds have made up to 9 KiB of difference.
HEAP_BOUND = 128 << 10
#: The same for memory of the process, and for each round: a sanitizer spreads what it gives away over ever more pages, and keeps a
#: record of each place that ever asked. So this finds mappings that are lost, and nothing small.
RESIDENT_BOUND, RESIDENT_ROUND = 64 << 20, 8 << 20
#: Looks at the heap, half a second apart, without a lower value after which it counts as settled.
SETTLED = 6


def measure(company):
    """Waits until what is in use gets no less; returns heap without versions, RSS, descriptors and threads; and what is open."""
    least, looks = None, 0
    while looks < SETTLED:
        now = company.heap() - company.versions(), company.count("fd"), company.count("task")
        lower = least is None or any(a < b for a, b in zip(now, least))
        least = now if least is None else tuple(map(min, now, least))
        looks = 0 if lower else looks + 1
        time.sleep(0.5)
    return {"heap": least[0], "resident": company.resident(), "descriptors": least[1], "threads": least[2]}, company.opened()


def converge(company):
    company.refresh()
    await_event(company.is_current, "what the primaries have", timeout=120)
    for primary in company.primaries:
        for server in (company.module, company.below):
            assert_same_zone(primary.server, server, primary.changing.zone)
    for zone in POOL + LISTED:
        assert_same_zone(company.primaries[0].server, company.module, zone)


def settle(company):
    """Peace: everything comes to what the primaries have; then once more from the first day on, so that only what is lost remains."""
    company.settle_configuration()
    converge(company)
    company.module.knotc_module("-f", "zone-purge", "--")
    converge(company)
    return measure(company)


def idle(actors=()):
    """What nothing came of yet; watchers among the actors tell of themselves at their end."""
    seen = any(getattr(actor, "versions", ()) for actor in actors)
    return [what for what in ("answers", "reloads", "NOTIFY", "garbage", "answers that watchers saw", "versions that watchers saw")
            if not COUNTS[what] and not (seen and "watchers" in what)]


def war(company, seed, seconds):
    """One round: so long, and on a slow machine until there was some of everything; ends early when something is wrong."""
    troupe_now = troupe(company, seed)
    deadline = time.monotonic() + seconds
    while not TROUBLE and time.monotonic() < deadline + (PATIENCE if idle(troupe_now) else 0):
        time.sleep(0.1)
        company.module.assert_alive()
    for actor in troupe_now:
        actor.end()
    if TROUBLE:
        raise AssertionError("\n".join(TROUBLE[:5]))
    company.module.assert_clean()


def exceeded(first, last, rounds):
    """What there is more of after the last round than there may be, in words."""
    bounds = {"heap": HEAP_BOUND, "resident": RESIDENT_BOUND + RESIDENT_ROUND * rounds, "descriptors": 0, "threads": 0}
    return [f"{what}: {first[what]} after the first round, {last[what]} after the last one"
            for what, bound in bounds.items() if last[what] > first[what] + bound]


def compare(company, first, last, rounds):
    """Connections may be on their way out still, however slowly; what is lost never goes."""
    (first, opened_first), (last, opened) = first, last
    deadline = time.monotonic() + PATIENCE
    while (more := exceeded(first, last, rounds)) and time.monotonic() < deadline:
        last, opened = measure(company)
    assert not more, "; ".join(more) + f"; open: {opened}, after the first round: {opened_first}"


def torture(company, seed, seconds):
    company.start()
    rounds = max(ROUNDS, round(seconds / ROUND))
    samples = []
    for number in range(rounds):
        war(company, f"{seed} {number}", seconds / rounds)
        samples.append(settle(company))
        print(f"round {number + 1} of {rounds}: " + ", ".join(f"{what} {value}" for what, value in samples[-1][0].items()), flush=True)
    assert not idle(), f"nothing came of: {', '.join(idle())}"
    compare(company, samples[0], samples[-1], rounds)


def report(company):
    """What was done, and what the module counted."""
    print("\n".join(f"{times:9} {what}" for what, times in sorted(COUNTS.items())))
    print(company.module.knotc_module("stats"))


def main():
    seconds, seed = float(sys.argv[1]), int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"SEED={seed}", flush=True)
    directory = tempfile.mkdtemp(prefix="secondary.", dir="/tmp")
    servers = Servers(directory)
    company = Company(servers, random.Random(seed))
    os.environ["HEAP_SOCKET"] = str(company.module.path / "heap.sock")
    trouble = []
    for step in (lambda: torture(company, seed, seconds), lambda: report(company), servers.stop):
        try:
            step()
        except AssertionError as error:
            trouble.append(error)
    for error in trouble:
        print(f"FAILED: {error}")
    if trouble:
        print(f"SEED={seed}, the servers' directories are in {directory}")
    else:
        shutil.rmtree(directory)
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
