"""The risk of the whole portfolio: exposure, concentration, correlation, drawdown, tail losses, and what to do then.

Pure functions. Money is Decimal, ratios of equity are Decimal where they decide and float where they are measured.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from ..core.compiled import compiled
from ..core.errors import DataError
from ..core.types import FloatArray, Pair, Side

ZERO = Decimal(0)
Values = Mapping[Pair, Decimal]
"""What each holding is worth, in quote currency."""


def exposure(values: Values, equity: Decimal) -> Decimal:
    """Gross exposure: the absolute values of all holdings over equity; DataError where there is no equity.

    >>> exposure({Pair("A/B"): Decimal(30), Pair("C/B"): Decimal(-20)}, Decimal(100))
    Decimal('0.5')
    """
    if equity <= 0:
        raise DataError(f"equity {equity}: exposure is not defined; nothing may be opened")
    return sum((abs(value) for value in values.values()), ZERO) / equity


def concentration(values: Values) -> Decimal | None:
    """Herfindahl index of the holdings, in (0, 1]: 1 is one holding, 1/n are n equal ones. None of nothing.

    >>> concentration({Pair("A/B"): Decimal(1), Pair("C/B"): Decimal(1)})
    Decimal('0.5')
    """
    total = sum((abs(value) for value in values.values()), ZERO)
    return sum(((abs(value) / total) ** 2 for value in values.values()), ZERO) if total else None


def drawdown(equity: Decimal, peak: Decimal) -> Decimal:
    """Loss from the highest equity so far, in [0, 1]; 0 where there never was any.

    >>> drawdown(Decimal(90), Decimal(120))
    Decimal('0.25')
    """
    return ZERO if peak <= 0 else max(ZERO, 1 - equity / peak)


def value_at_risk(returns: FloatArray, tail: float) -> float | None:
    """Historical value at risk: minus the `tail` quantile of returns (n,), the lower of two neighbours.

    That is the ceil(tail n)-th smallest return. None of nothing; DataError for a return that is not finite.

    >>> value_at_risk(np.array([-0.03, 0.01, 0.02, 0.0]), 0.25)
    0.03
    """
    worst = _worst(returns, tail)
    return -worst[-1] if worst else None


def expected_shortfall(returns: FloatArray, tail: float) -> float | None:
    """Historical CVaR: minus the mean of the ceil(tail n) smallest returns, those of the value at risk included.

    Never below the value at risk. Source: Rockafellar and Uryasev (2000), for whole observations. None of nothing.

    >>> expected_shortfall(np.array([-0.03, -0.01, 0.02, 0.0]), 0.5)
    0.02
    """
    worst = _worst(returns, tail)
    return -math.fsum(worst) / len(worst) if worst else None


def _worst(returns: FloatArray, tail: float) -> list[float]:
    """The smallest returns that make up the tail, rising."""
    if not np.isfinite(returns).all():
        raise DataError("a return is not finite: leave out the days that are not known")
    ordered: list[float] = np.sort(returns).tolist()
    return ordered[: max(1, math.ceil(tail * len(ordered)))]


class ReturnWindow:
    """The newest closes of all pairs, at most `intervals` + 1 rows; a pair without a close is NaN there."""

    def __init__(self, intervals: int) -> None:
        self._rows: deque[FloatArray] = deque(maxlen=intervals + 1)
        self._pairs: tuple[Pair, ...] = ()
        self._at = -1

    def push(self, pairs: tuple[Pair, ...], close: FloatArray, at: int) -> None:
        """Take in the closes (pairs,) of one instant; other pairs than before begin anew."""
        if at == self._at:
            return
        if pairs != self._pairs:
            self._pairs = pairs
            self._rows.clear()
        self._rows.append(np.array(close, np.float64))
        self._at = at

    def returns(self, pairs: Sequence[Pair]) -> FloatArray:
        """Simple returns, shape (intervals, len(pairs)); NaN where one of two closes is not known."""
        if len(self._rows) < 2:
            return np.empty((0, len(pairs)))
        closes = np.array(self._rows)[:, [self._pairs.index(pair) for pair in pairs]]
        return np.asarray(closes[1:] / closes[:-1] - 1.0, np.float64)

    def state(self) -> dict[str, Any]:
        """Pairs and rows."""
        return {"pairs": list(self._pairs), "rows": np.array(self._rows), "at": self._at}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._pairs, self._at = tuple(map(Pair, state["pairs"])), state["at"]
        self._rows.clear()
        self._rows.extend(np.asarray(state["rows"], np.float64))


def correlations(returns: FloatArray, least: int) -> FloatArray:
    """Pearson correlations (pairs, pairs) of returns (n, pairs), of the rows in which both are known.

    NaN with fewer than `least` such rows, or where one of them does not move. Plain sums, no BLAS: it decides.
    """
    return _correlations(np.ascontiguousarray(returns.T), least)


@compiled
def _correlations(series: FloatArray, least: int) -> FloatArray:
    count = series.shape[0]
    found = np.full((count, count), np.nan)
    for a in range(count):
        for b in range(a, count):
            found[a, b] = found[b, a] = _correlation(series[a], series[b], least)
    return found


@compiled
def _correlation(one: FloatArray, other: FloatArray, least: int) -> float:
    known, total_a, total_b = 0, 0.0, 0.0
    for row in range(one.shape[0]):
        if math.isfinite(one[row]) and math.isfinite(other[row]):
            known += 1
            total_a += one[row]
            total_b += other[row]
    if known < least:
        return math.nan
    mean_a, mean_b, aa, bb, ab = total_a / known, total_b / known, 0.0, 0.0, 0.0
    for row in range(one.shape[0]):
        if math.isfinite(one[row]) and math.isfinite(other[row]):
            a, b = one[row] - mean_a, other[row] - mean_b
            aa += a * a
            bb += b * b
            ab += a * b
    return ab / math.sqrt(aa * bb) if aa > 0.0 and bb > 0.0 else math.nan


def crowds_of(window: ReturnWindow, pairs: Sequence[Pair], limit: float, least: int) -> list[tuple[Pair, ...]]:
    """Groups of pairs that move alike: whoever is correlated with one of a group belongs to it.

    Only groups of two and more, each in the order given. A correlation that is not known groups nobody.
    """
    if len(pairs) < 2:
        return []
    alike = correlations(window.returns(pairs), least) >= limit
    groups: list[set[int]] = []
    for one in range(len(pairs)):
        near = {one, *np.flatnonzero(alike[one]).tolist()}
        joined = [group for group in groups if group & near]
        groups = [group for group in groups if not group & near]
        groups.append(near.union(*joined))
    return sorted(tuple(pairs[place] for place in sorted(group)) for group in groups if len(group) > 1)


class Exit(msgspec.Struct, frozen=True):
    """A position that leaves together with others, and why."""

    pair: Pair
    value: Decimal
    reason: str


def coordinated_exits(values: Values, gains: Mapping[Pair, Decimal], reason: str, excess: Decimal) -> list[Exit]:
    """Which positions leave so that at least `excess` (quote currency) is freed, the worst first; as few as can be.

    `gains`: what each is worth over what it cost. Where one position alone suffices, the worst of those leaves. An
    excess that is larger than everything takes everything; one of 0 nothing.
    """
    left = {pair: value for pair, value in values.items() if value > 0}
    chosen: list[Exit] = []
    while excess > 0 and left:
        enough = [pair for pair, value in left.items() if value >= excess]
        pool = enough or [max(left, key=lambda pair: (left[pair], pair))]
        pair = min(pool, key=lambda one: (gains[one], one))
        chosen.append(Exit(pair, left[pair], reason))
        excess -= left.pop(pair)
    return sorted(chosen, key=lambda one: (gains[one.pair], one.pair))


class Move(msgspec.Struct, frozen=True):
    """One order of a rebalancing: `value` in quote currency, always positive."""

    pair: Pair
    side: Side
    value: Decimal


def rebalance(
    values: Values, targets: Mapping[Pair, Decimal], cash: Decimal, band: Decimal, cost: Decimal = ZERO
) -> list[Move]:
    """The fewest orders that bring every share of equity into its band; sells first, the largest first.

    `targets`: shares of equity; a holding without one is to go. A share within `band` times its target of it is left
    alone, every other one takes exactly one order, to the target itself: no set of orders that brings them all into
    their bands is smaller. Buys are cut in proportion where cash and sales, less `cost` a side, do not suffice.
    """
    equity = cash + sum(values.values(), ZERO)
    off = {
        pair: targets.get(pair, ZERO) * equity - values.get(pair, ZERO)
        for pair in sorted({*values, *targets})
        if _outside(values.get(pair, ZERO), targets.get(pair, ZERO) * equity, band)
    }
    sells = [Move(pair, Side.SELL, -gap) for pair, gap in off.items() if gap < 0]
    buys = [Move(pair, Side.BUY, gap) for pair, gap in off.items() if gap > 0]
    budget = cash + sum((move.value for move in sells), ZERO) * (1 - cost)
    wanted = sum((move.value for move in buys), ZERO) * (1 + cost)
    if wanted > budget:
        share = max(budget, ZERO) / wanted
        buys = [Move(move.pair, move.side, move.value * share) for move in buys if share > 0]
    return [*_largest_first(sells), *_largest_first(buys)]


def _outside(value: Decimal, target: Decimal, band: Decimal) -> bool:
    return abs(value - target) > band * target


def _largest_first(moves: Iterable[Move]) -> list[Move]:
    return sorted(moves, key=lambda move: (-move.value, move.pair))


class RiskFigures(msgspec.Struct, frozen=True):
    """The whole portfolio in figures; ratios of 1. None where there is too little to say."""

    exposure_ratio: Decimal
    concentration: Decimal | None
    largest_ratio: Decimal
    drawdown_ratio: Decimal
    mean_correlation: float | None
    value_at_risk: float | None
    expected_shortfall: float | None


def figures(
    values: Values, equity: Decimal, peak: Decimal, window: ReturnWindow, tail: float, least: int
) -> RiskFigures:
    """Measure a portfolio; tail losses are those of today's holdings over the intervals of the window.

    Ratios are of equity. An interval in which a held pair has no return is left out.
    """
    held = sorted(pair for pair, value in values.items() if value)
    returns = window.returns(held) if held else np.empty((0, 0))
    known = returns[np.isfinite(returns).all(axis=1)]
    shares = np.array([float(values[pair] / equity) for pair in held])
    weighed = np.array([math.fsum(row) for row in (known * shares).tolist()])
    enough = len(weighed) >= least
    together = correlations(known, least)[np.triu_indices(len(held), 1)] if len(held) > 1 else np.empty(0)
    together = together[np.isfinite(together)]
    return RiskFigures(
        exposure_ratio=exposure(values, equity),
        concentration=concentration(values),
        largest_ratio=max((abs(value) for value in values.values()), default=ZERO) / equity,
        drawdown_ratio=drawdown(equity, peak),
        mean_correlation=math.fsum(together) / len(together) if len(together) else None,
        value_at_risk=value_at_risk(weighed, tail) if enough else None,
        expected_shortfall=expected_shortfall(weighed, tail) if enough else None,
    )
