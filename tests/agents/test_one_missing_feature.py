"""NaN in one feature of one pair: who needs it abstains, everybody else says what it would have said, to the bit."""

from __future__ import annotations

import msgspec
import numpy as np

from src.agents import colony_layout as k
from src.agents.colony import Colony
from src.core.types import Snapshot
from tests.agents.test_colony import build, planted, settle

BARS, SPOILT_FROM, FEATURE = 300, 200, 2


def spoilt(slices: list[Snapshot]) -> list[Snapshot]:
    """The same slices; from a bar on one feature of the first pair is not known."""
    rest = []
    for each in slices[SPOILT_FROM:]:
        features = each.features.copy()
        features[0, FEATURE] = np.nan
        rest.append(msgspec.structs.replace(each, features=features))
    return slices[:SPOILT_FROM] + rest


def colony() -> Colony:
    made = build(6, 2, rank_warmup=20, rank_window=50, feature_mask_ratio=0.5)
    settle(made, 2, 12)
    return made


def needs(made: Colony, name: str) -> bool:
    row = made.row_of(name)
    used = int(made.rows.counts[row, k.FEATURES])
    return FEATURE in made.rows.mask[row, :used]


def test_those_who_need_it_abstain_and_nobody_else_notices() -> None:
    slices = planted(3, BARS, 2, 6, 0.3)
    clean, blind = colony(), colony()
    hit = [name for name in clean.names if name.startswith("learner-0-") and needs(clean, name)]
    others = [name for name in clean.names if name not in hit]
    assert 1 <= len(hit) < 12, "some of the pair's learners need it and some do not"
    rows = [clean.row_of(name) for name in others]
    for number, (seen, poor) in enumerate(zip(slices, spoilt(slices), strict=True)):
        one, other = clean.step(seen), blind.step(poor)
        for array in ("conviction", "score", "edge", "abstained"):
            assert getattr(one, array)[rows].tobytes() == getattr(other, array)[rows].tobytes()
        if number >= SPOILT_FROM:
            for name in hit:
                row = blind.row_of(name)
                assert other.abstained[row]
                assert np.isnan(other.conviction[row])
                assert other.edge[row] == 0.0
    assert not any(blind.view(blind.row_of(name))["faulty"] for name in blind.names)
    assert np.isfinite(blind.rows.weights).all()


def test_it_speaks_again_when_the_feature_is_back() -> None:
    slices = planted(3, BARS, 2, 6, 0.3)
    blind = colony()
    for poor in spoilt(slices)[:-10]:
        blind.step(poor)
    for whole in slices[-10:]:
        step = blind.step(whole)
    assert not step.abstained[[blind.row_of(name) for name in blind.names]].any()
