"""How an asset's life is told to people: its share of a full size, and limits as they are set."""

from __future__ import annotations

from decimal import Decimal

import pytest

from src.core.timeframes import DAY_MS
from src.core.types import Stage
from src.services.lifecycle import Standing
from src.services.lifecycle_shown import shown_lives
from tests.services.test_lifecycle import BTC, ETH, HOUR, TREE, Asset


def test_a_pair_without_a_life_is_not_told() -> None:
    assert list(shown_lives(Asset().life, TREE, [BTC, ETH])) == [BTC]


def test_half_size_on_probation_with_limits_and_times() -> None:
    asset = Asset()
    asset.lose("-0.0512", HOUR)
    assert shown_lives(asset.life, TREE, [BTC])[BTC] == {
        "stage": "probation_1",
        "since": "1970-01-01T01:00:00.000Z",
        "size": "0.5",
        "profit_ratio": "-0.0512",
        "probation_since": "1970-01-01T01:00:00.000Z",
        "why": "its trades lost more than -5 %",
        "next": "above -4 % after 24 intervals it is active again; below -15 % and 90 days on probation it sleeps",
    }


@pytest.mark.parametrize(
    ("stage", "size", "why"),
    [
        (Stage.ACTIVE, "1", "nothing speaks against it"),
        (Stage.REVIVED, "1", "explorers agreed on it again; its sum began anew"),
        (Stage.DEEP_PROBATION, "0.25", "its trades lost more than -10 %"),
        (Stage.HIBERNATED, "0", "it lost too much for too long, and its team retired"),
        (Stage.DELISTED, "0", "it had no bar for 7 days while others had"),
    ],
)
def test_every_stage(stage: Stage, size: str, why: str) -> None:
    asset = Asset()
    asset.life._standings = {BTC: Standing(stage, DAY_MS, Decimal("-0.2"))}
    row = shown_lives(asset.life, TREE, [BTC])[BTC]
    assert (row["stage"], row["size"], row["why"]) == (stage.value, size, why)
    assert row["next"]
