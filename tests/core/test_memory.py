"""The rule of the recommendation at its exact boundaries, the vector of a moment, and records as text."""

from __future__ import annotations

import inspect
import math
from datetime import UTC, datetime

import numpy as np
import pytest

from src.core import memory
from src.core.errors import DataError
from src.core.memory import Action, MemoryRecord, Similar, decoded, embed, encoded, present, recommend
from tests.checks.memory_checks import SETTINGS, record

NAN = math.nan


def advice(*outcomes: float | None, similarity: float = 1.0) -> memory.Recommendation:
    found = [Similar(record(f"r{n}", outcome=outcome), similarity) for n, outcome in enumerate(outcomes)]
    return recommend(found, SETTINGS)


TABLE = [
    # enough, 3 of 5 is exactly 60 %: not more
    ((0.10, 0.10, 0.10, -0.01, -0.01), Action.BUY_SMALL),
    ((0.10, 0.10, 0.10, 0.10, -0.01), Action.BUY),
    # mean exactly 1 %, in binary too
    ((0.01,) * 5, Action.BUY_SMALL),
    ((0.010001,) * 5, Action.BUY),
    ((0.10,) * 4, Action.BUY_SMALL),
    ((0.10,) * 3, Action.BUY_SMALL),
    ((0.10, 0.10), Action.OBSERVE),
    ((0.10,), Action.OBSERVE),
    # M-F36: 50 % winners
    ((0.50, 0.50, 0.50, -0.01, -0.01, -0.01), Action.OBSERVE),
    ((0.01, 0.01, -0.001), Action.BUY_SMALL),
    # success exactly 40 %: not less; mean exactly -1 %: not less
    ((0.02, 0.02, -0.01, -0.01, -0.01), Action.OBSERVE),
    ((0.02, -0.01, -0.005), Action.AVOID),
    ((0.0, -0.02), Action.AVOID),
    ((0.01, -0.03), Action.OBSERVE),
    ((0.01, -0.031), Action.AVOID),
    # zero is no win
    ((0.0,) * 5, Action.AVOID),
    ((-0.001,), Action.AVOID),
    ((), Action.OBSERVE),
    ((None,) * 9, Action.OBSERVE),
    ((*(None,) * 9, 0.10, 0.10), Action.OBSERVE),
]


@pytest.mark.parametrize(("outcomes", "action"), TABLE)
def test_the_table_of_advice(outcomes: tuple[float | None, ...], action: Action) -> None:
    assert advice(*outcomes).action is action


def test_a_mean_at_the_limit_is_neither_a_loss_nor_a_profit() -> None:
    """Limits that are exact in binary."""
    rule = SETTINGS.model_copy(update={"avoid_profit_ratio": -0.25, "buy_min_profit_ratio": 0.25})

    def action(*outcomes: float) -> Action:
        return recommend([Similar(record(f"r{n}", outcome=o), 1.0) for n, o in enumerate(outcomes)], rule).action

    assert action(0.5, -1.0) is Action.OBSERVE
    assert action(0.5, math.nextafter(-1.0, -2.0)) is Action.AVOID
    assert action(*(0.25,) * 5) is Action.BUY_SMALL
    assert action(*(math.nextafter(0.25, 1.0),) * 5) is Action.BUY


def test_figures_of_an_advice() -> None:
    found = advice(0.125, None, 0.125, 0.125, 0.125, -0.25)
    assert found == memory.Recommendation(
        Action.BUY, 5 / 7, ("r0", "r2", "r3", "r4", "r5"), 0.8, 0.05, "5 similar, 80% won, mean +5.00%"
    )
    assert advice(-0.1, -0.1, 0.01).confidence == 3 / 5
    assert advice(0.1).confidence == 0.0


def test_distant_records_do_not_count() -> None:
    assert advice(*(0.1,) * 5, similarity=0.8).action is Action.BUY
    assert advice(*(0.1,) * 5, similarity=math.nextafter(0.8, 0)).similar == ()


def test_m_f36_the_vector_is_made_of_features_alone() -> None:
    """There is no way in for an outcome, and so the moment of a query equals the moment that was remembered."""
    assert list(inspect.signature(embed).parameters) == ["features", "clip", "min_known_ratio"]
    features = np.array([0.5, -9.0, NAN, 7.0, 0.0])
    vector = embed(features, 4.0, 0.5)
    assert vector is not None
    assert vector.tolist() == [0.5, -4.0, 0.0, 4.0, 0.0]
    assert math.isnan(features[2])
    won, lost = (record("a", tuple(vector.tolist()), outcome=outcome) for outcome in (0.2, -0.2))
    assert won.vector == lost.vector == tuple(vector.tolist())


@pytest.mark.parametrize(
    ("features", "answer"),
    [
        ([1.0, NAN], [1.0, 0.0]),
        ([1.0, NAN, NAN], None),
        ([NAN, NAN], None),
        ([0.0, 0.0], None),
        ([math.inf, 1.0], [0.0, 1.0]),
    ],
)
def test_a_moment_of_which_little_is_known_resembles_nothing(features: list[float], answer: list[float] | None) -> None:
    vector = embed(np.array(features), 4.0, 0.5)
    assert (None if vector is None else vector.tolist()) == answer


def test_m_f35_records_as_text_hold_no_null() -> None:
    empty = record("a")
    full = record("b", outcome=-0.25, **present(learner="l1", parent=None, generation=2, edge=0.5, silenced=False))
    assert b"null" not in encoded(empty)
    assert b"outcome" not in encoded(empty)
    assert full.meta == {"learner": "l1", "generation": 2, "edge": 0.5, "silenced": False}
    assert [decoded(encoded(one)) for one in (empty, full)] == [empty, full]


@pytest.mark.parametrize("body", [b"{}", b"not json", encoded(record("a")).replace(b'"score":0.9', b'"score":9.0')])
def test_a_body_that_is_no_record(body: bytes) -> None:
    with pytest.raises(DataError):
        decoded(body)


def test_m_f35_metadata_takes_no_datetime() -> None:
    with pytest.raises(DataError, match="'at' is datetime; leave out"):
        record("a", at=datetime(2024, 1, 1, tzinfo=UTC))  # type: ignore[arg-type]


def test_defaults_are_not_shared() -> None:
    one, other = (
        MemoryRecord(n, *(getattr(record("x"), f) for f in MemoryRecord.__struct_fields__[1:9])) for n in "ab"
    )
    assert one.meta is not other.meta
