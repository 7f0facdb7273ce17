"""The analysts' signals, to the exact confidence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from src.agents import market_miner, technical_analyst
from src.core.history import BarColumns, align
from src.core.indicators import INDICATORS, BatchSource
from src.core.market import Market
from src.core.types import Side, Slice, Vote
from tests.agents.made import BTC, ETH, HOUR, START, record, see, snapshot, staffed, world

WIDE = {f"bb_{edge}_{team}": 100.0 + width for team in (1, 2, 3) for edge, width in (("lower", -9.0), ("upper", 9.0))}


def votes(close: float = 100.0, **indicators: float) -> tuple[Vote, ...]:
    """What the analysts of one pair say about these indicators; wide bands unless others are given."""
    here = world()
    got = record(here, "baseline-trade-ideas:*")
    market_miner.populate(here)
    technical_analyst.populate(here)
    staffed(here)
    see(here, snapshot(here, closes=(close,), **(WIDE | {"atr": 2.0} | indicators)))
    assert len(got) <= 1
    return got[0].votes if got else ()


def said(vote: Vote) -> tuple[str, Side, float, str]:
    return vote.voter, vote.side, vote.confidence, vote.reason


def test_rsi_25_and_its_mirror_75_are_equally_sure() -> None:
    (low,), (high,) = votes(rsi_2=25.0), votes(rsi_2=75.0)
    assert said(low) == ("analyst-BTC/USDT-2", Side.BUY, 5.0 / 30.0, "rsi")
    assert said(high) == ("analyst-BTC/USDT-2", Side.SELL, 5.0 / 30.0, "rsi")


@pytest.mark.parametrize("distance", [0.5, 7.0, 13.0, 26.9, 27.0, 30.0])
def test_rsi_confidence_is_symmetric_and_capped(distance: float) -> None:
    (low,), (high,) = votes(rsi_1=30.0 - distance), votes(rsi_1=70.0 + distance)
    assert low.confidence == pytest.approx(min(0.9, distance / 30.0), abs=1e-15)
    assert high.confidence == pytest.approx(low.confidence, abs=1e-15)


def test_rsi_at_its_thresholds_says_nothing() -> None:
    assert votes(rsi_1=30.0) == votes(rsi_1=70.0) == votes(rsi_1=50.0) == ()


def test_macd_speaks_on_the_crossing_bar_alone() -> None:
    (up,) = votes(macd_hist_prev_1=-0.1, macd_hist_1=0.14)
    assert said(up) == ("analyst-BTC/USDT-1", Side.BUY, 10.0 * 0.14 / 2.0, "macd")
    (down,) = votes(macd_hist_prev_1=0.1, macd_hist_1=-0.14)
    assert said(down) == ("analyst-BTC/USDT-1", Side.SELL, 10.0 * 0.14 / 2.0, "macd")
    assert votes(macd_hist_prev_1=0.14, macd_hist_1=0.2) == ()
    assert votes(macd_hist_prev_1=-0.14, macd_hist_1=-0.1) == ()
    (from_zero,) = votes(macd_hist_prev_1=0.0, macd_hist_1=0.14)
    assert from_zero.side is Side.BUY
    assert votes(macd_hist_prev_1=-0.1, macd_hist_1=0.0) == ()


@pytest.mark.parametrize(("histogram", "confidence"), [(0.01, 0.55), (0.12, 0.6), (0.5, 0.85)])
def test_macd_confidence_is_clipped(histogram: float, confidence: float) -> None:
    (vote,) = votes(macd_hist_prev_3=-1.0, macd_hist_3=histogram)
    assert vote.confidence == confidence


def test_macd_without_a_range_says_nothing() -> None:
    assert votes(macd_hist_prev_1=-0.1, macd_hist_1=0.14, atr=0.0) == ()
    assert votes(macd_hist_prev_1=-0.1, macd_hist_1=0.14, atr=math.nan) == ()


@pytest.mark.parametrize(
    ("close", "expected"),
    [
        (91.0, (Side.BUY, 0.70)),  # on the band
        (90.95, (Side.BUY, 0.70)),  # beyond it by less than a thousandth
        (90.0, (Side.BUY, 0.60)),  # far beyond
        (91.01, None),
        (108.99, None),
        (109.0, (Side.SELL, 0.70)),
        (111.0, (Side.SELL, 0.60)),
    ],
)
def test_band_touch(close: float, expected: tuple[Side, float] | None) -> None:
    got = votes(close=close)
    assert [(vote.side, vote.confidence, vote.reason) for vote in got] == (
        [(*expected, "bollinger")] * 3 if expected else []
    )


def test_the_strongest_signal_wins() -> None:
    (rsi,) = votes(rsi_1=3.0, macd_hist_prev_1=1.0, macd_hist_1=-0.2)
    assert (rsi.reason, rsi.side, rsi.confidence) == ("rsi", Side.BUY, 0.9)
    (macd,) = votes(rsi_1=29.0, macd_hist_prev_1=1.0, macd_hist_1=-0.2)
    assert (macd.reason, macd.side, macd.confidence) == ("macd", Side.SELL, 0.85)
    first = votes(close=91.0, rsi_1=29.0)[0]
    assert (first.reason, first.confidence) == ("bollinger", 0.70)


def test_equal_confidence_goes_to_the_first() -> None:
    vote = votes(close=91.0, macd_hist_prev_1=1.0, macd_hist_1=-1.75, atr=25.0)[0]
    assert (vote.reason, vote.side, vote.confidence) == ("macd", Side.SELL, 0.70)


@pytest.mark.parametrize("name", [name for name in INDICATORS if name != "atr"])
def test_a_value_that_is_not_known_gives_nothing(name: str) -> None:
    assert votes(**{name: math.nan}) == ()


def test_only_the_pair_that_was_announced_and_has_a_bar() -> None:
    here = world((BTC, ETH))
    got = record(here, "baseline-trade-ideas:*")
    market_miner.populate(here)
    technical_analyst.populate(here)
    staffed(here)
    see(here, snapshot(here, fresh=(False, True), rsi_1=10.0, rsi_2=10.0, **WIDE))
    assert [idea.pair for idea in got] == [ETH]


def test_analysts_without_a_miner_are_silent() -> None:
    here = world()
    got = record(here, "baseline-trade-ideas:*")
    technical_analyst.populate(here)
    staffed(here)
    see(here, snapshot(here, rsi_1=10.0, rsi_2=10.0, **WIDE))
    assert got == []


def voices(closes: np.ndarray, spread: float) -> list[tuple[int, str, str, float, str]]:
    """Every vote over a series of one pair, with real indicators."""
    here = world((BTC,))
    got: list[Any] = record(here, "baseline-trade-ideas:*")
    market_miner.populate(here)
    technical_analyst.populate(here)
    staffed(here)
    opened = START + HOUR * np.arange(len(closes), dtype=np.int64)
    bars = BarColumns(opened, closes.copy(), closes + spread, closes - spread, closes.copy(), np.full(len(closes), 9.0))
    past = align({BTC: bars}, HOUR)
    market = Market(
        past.pairs, HOUR, here.settings, BatchSource(past, here.settings.indicators, here.settings.analysts)
    )
    for at, block in past.blocks():
        see(here, market.push(Slice(at, block)))
    return [(idea.at, *said(vote)) for idea in got for vote in idea.votes]


def test_m_f31_confidences_do_not_depend_on_the_unit_of_the_price() -> None:
    closes = 100.0 + np.cumsum(np.random.default_rng(3).normal(0.0, 1.0, 300))
    plain, scaled = voices(closes, 0.5), voices(closes * 1024.0, 512.0)
    assert plain == scaled
    assert {reason for *_, reason in plain} == {"rsi", "macd", "bollinger"}


@pytest.mark.parametrize("price", [0.1, 100.0, 43_210.7])
@pytest.mark.parametrize("spread", [0.0, 0.01])
def test_a_price_that_never_moved_is_neither_cheap_nor_dear(price: float, spread: float) -> None:
    """TA-Lib says RSI 0 of a flat series, and close, band and mean are one number."""
    heard = voices(np.full(120, price), spread)
    assert len({voter for _, voter, *_ in heard if voter}) <= 3
    at_once = [at for at, *_ in heard]
    assert all(at_once.count(at) < 2 for at in at_once), "never two of three"
    assert not [at for at in at_once if at > START + 31 * HOUR]
