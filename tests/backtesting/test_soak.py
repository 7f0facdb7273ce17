"""Nothing grows on a long walk: neither memory nor threads, files, subscriptions, keys of the server or containers."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from src.backtesting.footprint import rss_mb
from src.connectors import ledger_file
from src.core.timeframes import DAY_MS
from src.wiring import House
from tests.soak import TREE, Gauges, gauges, grown, held, walk, walked

pytestmark = pytest.mark.skipif(rss_mb() is None, reason="this system does not tell the resident memory")

WARM, STEP = 500, 500
"""Of the sample: slices before the first look, and from one look to the next."""
LONG = 86_400
"""Base intervals of the long version; it looks at half of them, and at the end."""
GROWS_BY_DESIGN = ("House.tracker.trades", "House.memory.index")
"""Closed trades are the result of a run: all of them are kept, a kilobyte each. What is remembered comes and goes with
what the market was like in the days that are kept, and is held against these."""
CACHE_KIB = 2 * 1024
"""Of the database: its own 64 MiB would still be filling at the end, and would hide a leak."""
MOST_MB = 15.0
"""Of the second half of the long walk, trades included: a leak of 400 bytes a slice shows."""


def looks(folder: Path, first: int, more: int) -> tuple[Gauges, Gauges]:
    with walked(folder) as (house, slices, client):
        walk(house, slices, first)
        before = gauges(house, client)
        walk(house, slices, more)
        assert nothing_outdated(house)
        return before, gauges(house, client)


def nothing_outdated(house: House) -> bool:
    """Whether all that is remembered was seen in the days that are kept, and the day that may pass until it is gone."""
    oldest = house.clock.now_ms() - (TREE.memory.keep_days + 1) * DAY_MS
    return min(house.memory.index.seen(), default=oldest) >= oldest


def without_result(one: Gauges) -> dict[str, int]:
    return {path: count for path, count in one.held.items() if not path.startswith(GROWS_BY_DESIGN)}


def test_a_walk_holds_no_more_of_the_system_than_at_its_start(tmp_path: Path) -> None:
    threads = threading.active_count()
    before, after = looks(tmp_path, WARM, STEP)
    assert (before.threads, before.descriptors) == (after.threads, after.descriptors)
    assert (before.subscriptions, before.keys, before.clients) == (after.subscriptions, after.keys, after.clients)
    assert after.keys == 0
    assert threading.active_count() == threads


@pytest.mark.long
def test_the_second_half_of_a_long_walk_adds_nothing_to_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_file, "CACHE_KIB", CACHE_KIB)
    before, after = looks(tmp_path, LONG // 2, LONG // 2)
    assert (before.threads, before.descriptors) == (after.threads, after.descriptors)
    assert (before.subscriptions, before.keys, before.clients) == (after.subscriptions, after.keys, after.clients)
    first, second = without_result(before), without_result(after)
    assert sum(second.values()) <= 1.1 * sum(first.values()), grown(first, second)
    assert after.rss_mb - before.rss_mb <= MOST_MB


def test_what_is_held_is_found_by_the_way_to_it(tmp_path: Path) -> None:
    with walked(tmp_path) as (house, slices, client):
        walk(house, slices, 5)
        before = gauges(house, client)
        house.engine.refusals.update(f"reason {number}" for number in range(100))
        assert grown(before.held, held(house)) == {"House.engine.refusals": 100}
