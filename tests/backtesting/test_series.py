"""What is kept of moats and prices: aligned by when it became known, the newest rows, from any thread."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from src.backtesting.series import Series
from src.core.market import Market
from src.core.moats import CODE, FAILED, MOATS
from src.core.timeframes import DAY_MS, HOUR_MS
from src.core.types import BarBlock, Observation, Pair, Slice
from tests.backtesting.moat_worlds import tree, walked
from tests.worlds import settings

PAIRS = (Pair("BTC/USD"), Pair("BTC/USDT"), Pair("ETH/USD"))
BEGIN = 19_723 * DAY_MS


def commit(asset: str, at: int, number: int = 0, **values: float) -> Observation:
    return Observation("commits", "code", f"{asset}{at}{number}", asset, at, at, values)


def filing(at: int) -> Observation:
    return Observation("sec_filings", "corporate", f"f{at}", "COIN", at, at, {"size": 1.0})


def bars(at: int, price: float) -> BarBlock:
    flat = np.full(3, price)
    return BarBlock(PAIRS, at - HOUR_MS, flat, flat, flat, flat, np.ones(3), np.ones(3, np.bool_))


def seen(slices: list[Slice], kept: int = 1000) -> Series:
    market, series = Market(PAIRS, HOUR_MS, settings()), Series(kept)
    for slice_ in slices:
        series.see(market.push(slice_))
    return series


def at(hour: int) -> int:
    return BEGIN + hour * HOUR_MS


def test_news_are_counted_with_the_bars_that_close_next() -> None:
    half = HOUR_MS // 2
    series = seen(
        [
            Slice(at(1), bars(at(1), 1.0)),
            Slice(at(1) + half, None, (commit("BTC", at(1) + half), commit("BTC", at(1) + half, 1))),
            Slice(at(2), bars(at(2), 2.0), (commit("ETH", at(2)), filing(at(2)))),
            Slice(at(3), bars(at(3), 3.0)),
            Slice(at(4), bars(at(4), 4.0), (commit("BTC", at(4), 0, **{FAILED: 1.0}),)),
        ]
    )
    found = series.aligned()
    assert found is not None
    assert found.at.tolist() == [at(1), at(2), at(3), at(4)]
    assert found.close[:, 0].tolist() == [1.0, 2.0, 3.0, 4.0]
    code = found.news[:, :, CODE]
    assert np.isnan(code[0]).all()  # nothing was ever said: not the same as nothing new
    assert code[1].tolist() == [2.0, 2.0, 1.0]  # both pairs of the asset
    assert code[2].tolist() == code[3].tolist() == [0.0] * 3  # that a source failed is no news of the asset
    corporate = found.news[:, :, MOATS.index("corporate")]
    assert corporate[1:].tolist() == [[1.0] * 3, [0.0] * 3, [0.0] * 3]
    assert np.isnan(found.news[:, :, MOATS.index("government")]).all()
    assert np.isnan(found.values).all()  # no history yet: the moats do not speak
    assert len(series) == 4


def test_values_are_those_that_the_swarm_saw() -> None:
    world = tree()
    aligned = walked(world, 1, 900)
    assert aligned.view is not None
    speaking = np.isfinite(aligned.values[-1])
    assert aligned.values[-1][speaking] == pytest.approx(aligned.view.values[speaking], rel=1e-6)
    assert speaking.all()
    assert aligned.simulated == (True,) * 4
    assert aligned.names == (
        "government: event_hours", "corporate: filings", "government: documents", "logistics: hash_rate_change",
        "logistics: difficulty_change", "logistics: freight_change", "corporate: miners_change",
    )  # fmt: skip
    assert np.isnan(aligned.figures[-1]).tolist() == [name == "government: documents" for name in aligned.names]


def test_the_newest_rows_are_kept() -> None:
    whole, part = walked(tree(), 1, 350), walked(tree(), 1, 350, kept=100)
    rows = len(part.at)
    assert 100 <= rows < 200
    for name in ("at", "close", "values", "news", "figures"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[-rows:])


def test_copies_do_not_change_afterwards() -> None:
    market, series = Market(PAIRS, HOUR_MS, settings()), Series(10)
    assert series.aligned() is None
    assert series.view is None
    series.see(market.push(Slice(at(1), bars(at(1), 1.0))))
    first = series.aligned()
    assert first is not None
    series.see(market.push(Slice(at(2), bars(at(2), 2.0))))
    assert len(first.at) == 1
    assert series.view is not None
    second = series.aligned()
    assert second is not None
    assert second.close[:, 2].tolist() == [1.0, 2.0]


def test_a_snapshot_without_moats_is_left_out() -> None:
    market, series = Market(PAIRS, HOUR_MS, settings()), Series(10)
    snapshot = market.push(Slice(at(1), bars(at(1), math.e)))
    series.see(msgspec.structs.replace(snapshot, moats=None))
    assert len(series) == 0
