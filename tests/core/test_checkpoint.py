"""States come back from bytes exactly as they were, and damage is said."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from src.connectors.memory_ledger import MemoryLedger
from src.core import checkpoint
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.engine import Report
from src.core.errors import LedgerError
from src.core.history import HistoryFeed
from src.wiring import House, Plan, build
from tests.golden import tape
from tests.money import SHIPPED

KINDS = st.sampled_from(["<f8", "<f4", "<i8", "<u4", "|b1", ">f8", "<M8[ms]"])


@given(hnp.arrays(KINDS, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
def test_arrays_keep_type_shape_and_bits(array: np.ndarray) -> None:
    back = checkpoint.load(checkpoint.dump({"x": [array]}))["x"][0]
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == np.ascontiguousarray(array).tobytes()
    assert back.flags.writeable


def test_views_and_column_order_lose_nothing() -> None:
    table = np.arange(12.0).reshape(3, 4)
    state = {"transposed": table.T, "strided": table[:, ::2], "nan": np.array([np.nan, -0.0, np.inf])}
    back = checkpoint.load(checkpoint.dump(state))
    np.testing.assert_array_equal(back["transposed"], table.T)
    np.testing.assert_array_equal(back["strided"], table[:, ::2])
    assert back["nan"].tobytes() == state["nan"].tobytes()


def test_plain_values_and_numpy_numbers() -> None:
    state: dict[str, Any] = {
        "none": None,
        "deep": {"list": [1, [2.5, {"a": True}]], "text": "Zürich"},
        "numbers": [np.float64(0.1), np.int64(-3), np.bool_(True), 2**63],
        "nan": float("nan"),
    }
    back = checkpoint.load(checkpoint.dump(state))
    assert math.isnan(back.pop("nan"))
    assert back == {"none": None, "deep": state["deep"], "numbers": [0.1, -3, True, 2**63]}
    assert checkpoint.load(checkpoint.dump({})) == {}


@pytest.mark.parametrize(
    "value",
    [object(), np.array([object()]), np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), {1j}],
    ids=["object", "array of objects", "array of records", "complex"],
)
def test_what_has_no_place_in_a_checkpoint_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no place in a checkpoint"):
        checkpoint.dump({"x": value})


def bad(**changes: object) -> bytes:
    """A checkpoint whose outer fields were changed."""
    return msgspec.msgpack.encode({"format": checkpoint.FORMAT, "state": {}, **changes})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        checkpoint.dump({"x": np.arange(9)})[:-3],
        msgspec.msgpack.encode([1, 2]),
        msgspec.msgpack.encode({"format": checkpoint.FORMAT}),
        bad(state=7),
        bad(state={"x": {"__array__": "no such type", "shape": [1], "data": b"12345678"}}),
        bad(state={"x": {"__array__": "<f8", "shape": [2], "data": b"12345678"}}),
        bad(state={"x": {"__array__": "<f8", "data": b"12345678"}}),
        bad(state={"x": {"__array__": "<f8", "shape": [1], "data": "text"}}),
    ],
)
def test_damage_is_a_clear_error(raw: bytes) -> None:
    with pytest.raises(LedgerError, match="checkpoint cannot be read"):
        checkpoint.load(raw)


def test_another_format_is_named() -> None:
    with pytest.raises(LedgerError, match=f"checkpoint of format 99, this version reads {checkpoint.FORMAT}"):
        checkpoint.load(bad(format=99))


def tape_house() -> House:
    """The scripted tape's house."""
    clock, history = SimClock(), tape.history()
    plan = Plan(history.pairs, tape.HOUR, seed=7, kinds=tape.kinds())
    return build(SHIPPED, plan, clock, LocalBus(clock, SHIPPED.bus), MemoryLedger(SHIPPED.ledger), history)


def seen(reports: list[Report]) -> list[tuple[object, ...]]:
    """What a run came to, slice by slice."""
    return [(r.at, r.decisions, r.orders, r.fills, r.trades, r.equity, r.cash, r.slices) for r in reports]


@pytest.fixture(scope="module")
def straight() -> list[tuple[object, ...]]:
    """The tape without an interruption."""
    house = tape_house()
    return seen([house.engine.on_slice(slice_) for slice_ in HistoryFeed(tape.history())])


@pytest.mark.parametrize("cut", [1, 20, 41, 45, 46, 47, 51, 52, 53, 59], ids=lambda cut: f"after {cut} bars")
def test_a_house_goes_on_identically_from_any_moment(cut: int, straight: list[tuple[object, ...]]) -> None:
    before, after = tape_house(), tape_house()
    slices = list(HistoryFeed(tape.history()))
    first = [before.engine.on_slice(slice_) for slice_ in slices[:cut]]
    after.engine.restore(checkpoint.load(checkpoint.dump(before.engine.state())))
    assert seen(first + [after.engine.on_slice(slice_) for slice_ in slices[cut:]]) == straight
    assert sum(len(report[3]) for report in straight) == 2  # type: ignore[misc, arg-type]
