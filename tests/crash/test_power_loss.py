"""Power loss: the process dies and the disk forgets what was not synced; nothing acknowledged is lost, none doubled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.campaign import Nursery, run
from tests.crash.lossy import Disk, missing
from tests.crash.test_kill import NIGHTLY, nightly, sound

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"no power can be lost here: {missing()}")
SYNC_SECONDS = 0.003
"""How long a sync takes: as on a disk, so that power is often lost in the middle of one."""
EACH = 30
"""Losses of one disk, before another one is taken."""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as found:
        yield found


@pytest.mark.parametrize(
    "losses",
    [
        10,
        pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(1_200)]),
        pytest.param(nightly(1_000), marks=[pytest.mark.long, NIGHTLY, pytest.mark.timeout(7_200)]),
    ],
)
def test_d01_power_is_lost_at_any_instant(losses: int, nursery: Nursery, tmp_path: Path) -> None:
    gone = 0
    for number, first in enumerate(range(0, losses, EACH)):
        count = min(EACH, losses - first)
        with Disk(tmp_path / str(number)) as disk:
            disk.tell("slow", SYNC_SECONDS)
            found = run(disk.path, count, losses + number, nursery, power=disk)
            sound(found)
            assert disk.losses == count
            gone += disk.forgotten
    assert gone > losses // 4, "the disk forgot next to nothing: nothing was proven"


def test_d01_a_ledger_that_does_not_sync_is_found_out(nursery: Nursery, tmp_path: Path) -> None:
    """That the test can see: with `synchronous=NORMAL` acknowledged rows are lost."""
    lost = 0
    for seed in range(1, 5):
        with Disk(tmp_path / str(seed)) as disk:
            lost += run(disk.path, 10, seed, nursery, "careless", disk).lost
    assert lost > 0
