"""Settings that are each possible and together are not: refused when they are read, not in the middle of a run."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.settings.leaves import tree


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learners.horizons.1.name": "HFT"}, "two horizons have one name"),
        ({"learners.horizons.1.intervals": 3}, "two horizons have one intervals"),
        ({"learners.flat_max": 0.2}, "must not be above flat_max"),
        ({"prospecting.teams.1.name": "HFT"}, "two teams have one name"),
        ({"prospecting.volume_quote.0": 60e6}, "volume_quote"),
        ({"prospecting.volatility_ratio.1": 0.01}, "volatility_ratio"),
        ({"prospecting.cross_moat_one": 1.6}, "must not be above cross_moat_two"),
        ({"lifecycle.probation_ratio": -0.11}, "lifecycle"),
        ({"lifecycle.deep_lift_ratio": -0.11}, "lifecycle"),
        ({"lifecycle.lift_ratio": -0.06}, "lifecycle"),
        ({"analysts.teams.0.macd": [17, 8, 9]}, "macd"),
        ({"moats.board.min_history_days": 90}, "min_history_days"),
        ({"execution.watch_seconds": 5.0}, "must be above deadline_seconds"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        tree(changes)
