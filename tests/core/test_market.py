"""The market: one snapshot for every slice, read-only, and last known values that are not fresh."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from src.core.errors import DataError, InvariantError
from src.core.market import FEATURE_INDEX, FEATURE_TABLE, FEATURES, MOAT_COLUMNS, Market
from src.core.types import NEVER, Observation, Pair, Slice, Snapshot

from .walks import HOUR, MONDAY, SETTINGS, batch, series, slices, walk

ARRAYS = ("fresh", "close", "features", "indicators", "volatility", "seen_at")


def equal(left: Snapshot, right: Snapshot) -> bool:
    arrays = all(
        np.array_equal(getattr(left, n), getattr(right, n), equal_nan=n not in ("fresh", "seen_at")) for n in ARRAYS
    )
    return arrays and (left.at, left.grid, left.pairs, left.simulated) == (
        right.at,
        right.grid,
        right.pairs,
        right.simulated,
    )


def test_snapshots_of_both_sources_are_equal() -> None:
    bars = walk(np.random.default_rng(1), 150, pairs=3)
    live, replay = Market(bars.pairs, HOUR, SETTINGS), Market(bars.pairs, HOUR, SETTINGS, batch(bars))
    for slice_ in slices(bars):
        assert equal(live.push(slice_), replay.push(slice_))


def test_a_snapshot_says_when_and_what_is_fresh() -> None:
    bars = walk(np.random.default_rng(2), 60, missing=0.4)
    market = Market(bars.pairs, HOUR, SETTINGS)
    seen_at = [NEVER, NEVER]
    for row, slice_ in enumerate(slices(bars)):
        snapshot = market.push(slice_)
        seen_at = [snapshot.at if there else before for there, before in zip(bars.present[row], seen_at, strict=True)]
        assert snapshot.seen_at is not None
        assert snapshot.seen_at.tolist() == seen_at
        assert (snapshot.at, snapshot.interval_ms) == (int(bars.times[row]), HOUR)
        assert snapshot.grid == int(bars.times[row]) // HOUR
        assert snapshot.fresh.tolist() == bars.present[row].tolist()
        assert np.array_equal(snapshot.close[snapshot.fresh], bars.close[row][snapshot.fresh])
        assert snapshot.features.shape == (2, len(FEATURES))
        assert snapshot.bars is slice_.bars


def test_nothing_is_known_before_the_first_bar() -> None:
    market = Market((Pair("A/USD"), Pair("B/USD")), HOUR, SETTINGS)
    snapshot = market.push(Slice(at=MONDAY, bars=None))
    assert not snapshot.fresh.any()
    assert snapshot.seen_at is not None
    assert snapshot.seen_at.tolist() == [NEVER, NEVER]
    for name in ARRAYS[1:5]:
        known = getattr(snapshot, name)
        assert np.isnan(known[:, : MOAT_COLUMNS.start] if name == "features" else known).all()
    assert not snapshot.features[:, MOAT_COLUMNS].any()


@pytest.mark.parametrize("replayed", [False, True])
def test_a_slice_without_bars_leaves_everything_as_it_stood(replayed: bool) -> None:
    bars = walk(np.random.default_rng(3), 80, missing=0.0)
    market = Market(bars.pairs, HOUR, SETTINGS, batch(bars) if replayed else None)
    snapshots = [market.push(slice_) for slice_ in slices(bars.rows(0, 70))]
    seen = Observation("here", "code", "1", "BTC", MONDAY, MONDAY, {"commits": 1.0})
    later = market.push(Slice(at=snapshots[-1].at + 1_800_000, bars=None, observations=(seen,), simulated=True))
    assert later.at == snapshots[-1].at + 1_800_000
    assert later.grid == snapshots[-1].grid
    assert later.simulated
    assert later.bars is None
    assert not later.fresh.any()
    for name in ARRAYS[1:]:
        assert np.array_equal(getattr(later, name), getattr(snapshots[-1], name), equal_nan=True)
    following = market.push(slices(bars)[70])
    assert following.fresh.all()


def test_what_was_handed_out_never_changes_and_cannot_be_written() -> None:
    bars = walk(np.random.default_rng(4), 80, missing=0.1)
    for source in (None, batch(bars)):
        market = Market(bars.pairs, HOUR, SETTINGS, source)
        empty = market.push(Slice(at=MONDAY, bars=None))
        snapshots = [empty, *(market.push(slice_) for slice_ in slices(bars)[:60])]
        copies = [msgspec.structs.replace(s, **{n: getattr(s, n).copy() for n in ARRAYS}) for s in snapshots]
        for slice_ in slices(bars)[60:]:
            market.push(slice_)
        assert all(equal(snapshot, copy) for snapshot, copy in zip(snapshots, copies, strict=True))
        for snapshot in snapshots:
            for name in ARRAYS:
                with pytest.raises(ValueError, match="read-only"):
                    getattr(snapshot, name)[...] = 0


def test_a_feed_that_writes_its_arrays_again_does_not_reach_the_snapshot() -> None:
    bars = series([100.0, 101.0])
    block = msgspec.structs.replace(bars.block(0), present=np.array([True]), close=np.array([100.0]))
    snapshot = Market(bars.pairs, HOUR, SETTINGS).push(Slice(at=int(bars.times[0]), bars=block))
    block.present[0], block.close[0] = False, 5.0
    assert snapshot.fresh.tolist() == [True]
    assert snapshot.close.tolist() == [100.0]


@pytest.mark.parametrize("replayed", [False, True])
def test_a_restart_goes_on_as_if_nothing_had_been(replayed: bool) -> None:
    bars = walk(np.random.default_rng(5), 120)

    def market() -> Market:
        return Market(bars.pairs, HOUR, SETTINGS, batch(bars) if replayed else None)

    first, second = market(), market()
    for slice_ in slices(bars)[:70]:
        last = first.push(slice_)
    second.restore(first.state())
    quiet = Slice(at=last.at + 1, bars=None)
    assert equal(first.push(quiet), second.push(quiet))
    for slice_ in slices(bars)[70:]:
        assert equal(first.push(slice_), second.push(slice_))


@pytest.mark.parametrize("replayed", [False, True])
def test_a_restart_before_the_first_bar(replayed: bool) -> None:
    bars = walk(np.random.default_rng(6), 30)
    source = batch(bars) if replayed else None
    market, other = (Market(bars.pairs, HOUR, SETTINGS, source) for _ in range(2))
    other.restore(market.state())
    assert np.isnan(other.push(Slice(at=MONDAY, bars=None)).close).all()
    assert other.push(slices(bars)[0]).fresh.any()


def test_bars_of_other_pairs_are_refused() -> None:
    bars = walk(np.random.default_rng(7), 5)
    market = Market((Pair("A/USD"),), HOUR, SETTINGS)
    with pytest.raises(InvariantError, match="bars of P0/USD, P1/USD, but the run has A/USD"):
        market.push(slices(bars)[0])


def test_the_table_of_features_is_the_order_of_the_columns() -> None:
    assert tuple(feature.name for feature in FEATURE_TABLE) == FEATURES
    assert [FEATURES[index] for index in FEATURE_INDEX.values()] == list(FEATURE_INDEX)


def test_quoted_spreads_are_those_of_the_slice_alone() -> None:
    bars = walk(np.random.default_rng(9), 2)
    market, (first, second) = Market(bars.pairs, HOUR, SETTINGS), slices(bars)
    quotes = np.array([1e-4, np.nan])
    seen = market.push(msgspec.structs.replace(first, spreads=quotes))
    assert seen.spreads is not None
    assert seen.spreads.tobytes() == quotes.tobytes()
    assert not seen.spreads.flags.writeable
    assert market.push(second).spreads is None


@pytest.mark.parametrize("wrong", [[0.0, 1e-4], [-1e-4, 1e-4], [np.inf, 1e-4], [1e-4], [1e-4] * 3])
def test_what_cannot_be_a_quoted_spread_is_refused(wrong: list[float]) -> None:
    bars = walk(np.random.default_rng(9), 1)
    (first,) = slices(bars)
    with pytest.raises(DataError, match="above 0, or NaN where nobody quotes"):
        Market(bars.pairs, HOUR, SETTINGS).push(msgspec.structs.replace(first, spreads=np.array(wrong)))
