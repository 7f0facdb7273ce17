"""Kill -9 at random instants: no acknowledged row is lost, no order doubled, none orphaned, the chain holds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.campaign import Campaign, Nursery, run

EACH = 50
"""Kills of one ledger, before another one is begun."""
READY_SECONDS = 10.0
SHARE = os.environ.get("MYCELIAL_NIGHTLY", "")
NIGHTLY = pytest.mark.skipif(not SHARE, reason="takes half an hour: set MYCELIAL_NIGHTLY=1")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="lives are forked and speak over Linux's sockets")


def nightly(size: int) -> int:
    """So many in a night, or the share of them that was asked for."""
    return max(1, round(size * float(SHARE or 1)))


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as found:
        yield found


def sound(found: Campaign) -> None:
    """Nothing lost, doubled, orphaned or unsound, and something to lose."""
    assert (found.lost, found.doubled, found.problems) == (0, [], [])
    assert found.acknowledged > 5 * found.kills
    assert found.executions > 0
    assert found.restarts > found.kills // 4
    assert found.slowest_ready_seconds < READY_SECONDS


@pytest.mark.parametrize(
    "kills",
    [
        20,
        pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(1_200)]),
        pytest.param(nightly(2_000), marks=[pytest.mark.long, NIGHTLY, pytest.mark.timeout(7_200)]),
    ],
)
def test_p01_p02_p03_i02_i03_killed_at_any_instant(kills: int, nursery: Nursery, tmp_path: Path) -> None:
    for number, first in enumerate(range(0, kills, EACH)):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = run(folder, min(EACH, kills - first), kills + number, nursery)
        assert found.kills == min(EACH, kills - first)
        sound(found)


def test_an_order_that_leaves_before_its_intent_is_written_is_found_out(nursery: Nursery, tmp_path: Path) -> None:
    """That the test can see: without waiting for the disk, an order is sent twice, or forgotten, or a row is lost."""
    for seed in range(1, 9):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found = run(folder, 20, seed, nursery, "hasty")
        if found.lost or found.doubled or found.problems:
            return
    pytest.fail("nothing was seen in 160 kills")
