"""Measures whether what a moat said went before moves of the price, with intervals, corrected for many tests."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from ..core.config import StatisticsSettings
from ..core.inference import Interval, discoveries, mean_interval, mid_ranks
from ..core.moats import MOATS
from ..core.randomness import generator_for
from ..core.types import FloatArray
from .series import Aligned

SIGNALS = ("news", "value")
"""Of a moat: how many observations became known with the bar, and the value that the swarm sees."""


class Effect(msgspec.Struct, frozen=True):
    """The rank correlation of one signal of a moat with the move `lag` intervals later, over all pairs."""

    moat: str
    signal: str
    lag: int
    interval: Interval


def measured(aligned: Aligned, settings: StatisticsSettings, seed: int) -> list[Effect]:
    """Every moat, signal and lag of which enough is known; rows are bars."""
    found = []
    moves = {lag: _standard_ranks(_moves(aligned.close, lag, settings.effect_horizon)) for lag in settings.effect_lags}
    for place, moat in enumerate(MOATS):
        for signal in SIGNALS:
            ranks = _standard_ranks(getattr(aligned, "news" if signal == "news" else "values")[:, :, place])
            for lag in settings.effect_lags:
                random = generator_for(seed, f"effects:{moat}:{signal}:{lag}")
                interval = association(ranks, moves[lag], settings, random)
                if interval is not None:
                    found.append(Effect(moat, signal, lag, interval))
    return found


def association(
    one: FloatArray, other: FloatArray, settings: StatisticsSettings, random: np.random.Generator
) -> Interval | None:
    """Mean Spearman correlation over pairs of two tables (n, pairs) of standard ranks, and its interval.

    At each time the products of what is known are averaged over the pairs, since pairs move together; these means are
    drawn in blocks of time. None with fewer than `min_blocks` blocks.
    """
    products = one * other
    known = np.isfinite(products)
    rows = known.any(axis=1)
    if rows.sum() < settings.min_blocks * settings.effect_block_intervals:
        return None
    means = np.where(known, products, 0.0)[rows].sum(axis=1) / known[rows].sum(axis=1)
    return mean_interval(means, settings.effect_block_intervals, settings.draws, settings.confidence_ratio, random)


def _moves(close: FloatArray, lag: int, horizon: int) -> FloatArray:
    """Log moves (n, pairs) of the bars lag + 1 .. lag + horizon after each, NaN where they are not known yet."""
    moves = np.full(close.shape, np.nan)
    rows = len(close) - lag - horizon
    if rows > 0:
        moves[:rows] = np.log(close[lag + horizon :] / close[lag:-horizon])
    return moves


def _standard_ranks(table: FloatArray) -> FloatArray:
    """Mid-ranks of each column of `table` (n, pairs), mean 0 and variance 1; NaN stays, and a constant is NaN."""
    ranks = np.full(table.shape, np.nan)
    for pair in range(table.shape[1]):
        known = np.isfinite(table[:, pair])
        own = mid_ranks(table[known, pair])
        spread = float(own.std()) if len(own) else 0.0
        if spread > 0.0:
            ranks[known, pair] = (own - own.mean()) / spread
    return ranks


def effects(aligned: Aligned | None, settings: StatisticsSettings, seed: int) -> dict[str, Any]:
    """The section `effects` of a result: what each moat was found to say about later moves, plain JSON types."""
    if aligned is None:
        return {}
    tests = measured(aligned, settings, seed)
    believed = discoveries([test.interval.p for test in tests], settings.false_discovery_ratio)
    held = [test for test, believable in zip(tests, believed, strict=True) if believable]
    simulated = dict(zip(MOATS, aligned.simulated, strict=True))
    return {
        "tests": len(tests),
        "false_discovery_ratio": settings.false_discovery_ratio,
        "horizon": settings.effect_horizon,
        "lags": list(settings.effect_lags),
        "moats": {moat: _found(moat, tests, held, simulated[moat]) for moat in MOATS},
    }


def _found(moat: str, tests: list[Effect], held: list[Effect], simulated: bool) -> dict[str, Any]:
    """Of a moat the effect that is furthest from 0 in standard errors, among the believed ones if there is any."""
    own, sure = ([test for test in some if test.moat == moat] for some in (tests, held))
    best = min(sure or own, key=lambda test: test.interval.p, default=None)
    fields: dict[str, Any] = {"simulated": simulated, "tests": len(own), "found": bool(sure)}
    if best is not None:
        shown = best.interval
        fields |= {"signal": best.signal, "lag": best.lag, "estimate": shown.estimate}
        fields |= {"low": shown.low, "high": shown.high, "p": shown.p, "rows": shown.size}
    return {**fields, "says": says(moat, fields)}


def says(moat: str, fields: dict[str, Any]) -> str:
    """One plain sentence."""
    opening = f"{moat} (simulated)" if fields["simulated"] else moat
    if not fields["tests"]:
        return f"{opening}: too little known to tell"
    if not fields["found"]:
        return f"{opening}: nothing found in {fields['tests']} tests (smallest p {fields['p']:.2g})"
    what = "what became known" if fields["signal"] == "news" else "its value"
    interval = f"{fields['estimate']:+.3f} [{fields['low']:+.3f}, {fields['high']:+.3f}]"
    return f"{opening}: an effect at lag {fields['lag']}: rank correlation of {what} with the move {interval}"
