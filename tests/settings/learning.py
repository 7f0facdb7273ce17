"""A small world in which learners speak, trade, fall silent and are heard again."""

from __future__ import annotations

from functools import cache

import numpy as np

from src.core.config import Settings
from src.core.history import History
from tests.core.walks import walk
from tests.replays import replay

BARS = 180
WORLD: dict[str, object] = {
    "builder.bootstrap_pairs": ["P0/USD", "P1/USD"],
    "indicators.volume_window": 12,
    "indicators.atr_rank_window": 20,
    "indicators.volatility_warmup": 10,
    "learners.standard": {"market": 3, "code": 2, "government": 1, "logistics": 1, "corporate": 1},
    "learners.team": 6,
    "learners.horizons": [
        {"name": "HFT", "intervals": 1},
        {"name": "DayTrade", "intervals": 2},
        {"name": "Swing", "intervals": 4},
    ],
    "learners.learning_rate": 0.05,
    "learners.learning_rate_halving": 20.0,
    "learners.rank_window": 30,
    "learners.rank_warmup": 15,
    "learners.entry_score": 0.5,
    "learners.calibration_min_t2": 0.0,
    "learners.min_learners": 2,
    "learners.book_trades": 8,
}
"""Windows so short that a few days fill them."""


@cache
def history() -> History:
    """A wild walk of two pairs."""
    return walk(np.random.default_rng(5), BARS, pairs=2, missing=0.03, step=0.02)


def decided(tree: Settings) -> str:
    """The hash of all decisions of the whole house."""
    return replay(history(), tree).recorder.decisions_sha256
