"""Correlations that are left when everything known anyway is taken out, and how often chance alone gives as much."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from ...core.errors import DataError
from ...core.inference import two_sided
from ...core.types import BoolArray, FloatArray, IntArray
from .hypothesis_claim import Controls
from .hypothesis_series import WEEK_HOURS, trailing

_DAY_HOURS = 24
_DEPENDENT = 1e-10
"""Directions of the controls below this share of the largest are rounding."""
_CONSTANT = 1e-9
"""A residual below this share of the series is rounding: the series says nothing that the controls do not."""


class Rest(msgspec.Struct, frozen=True):
    """What is left of predictors (m, k) and outcomes (m, k) without the controls; columns of one lag belong together.

    `rows` (n,) says where, `hours` (m,) when. `together`: weeks that change places as one in permutations.
    """

    rows: BoolArray
    hours: IntArray
    predictors: FloatArray
    outcomes: FloatArray
    together: int

    @property
    def block(self) -> int:
        """Hours that change places together."""
        return self.together * WEEK_HOURS


class Part(msgspec.Struct, frozen=True):
    """Rows `first` .. `last` - 1, of which `together` weeks change places as one in permutations.

    `week`: whether the mean of each hour of the week is taken out; else the mean of all.
    """

    first: int
    last: int
    together: int
    week: bool


class Family(msgspec.Struct, frozen=True):
    """One test a lag, judged together.

    `r` (k,): partial correlations. `p` (k,): how often |r| is reached when the predictor's weeks are shuffled;
    `p_family` (k,): how often it is reached by the largest of all lags; `p_formula` (k,): what the textbook formula
    says; `p_shift` (k,): by every circular shift of the same weeks. `draws` (k, permutations) are the shuffled r.
    `blocks`: how many pieces there were to shuffle.
    """

    rows: int
    blocks: int
    r: FloatArray
    p: FloatArray
    p_family: FloatArray
    p_formula: FloatArray
    p_shift: FloatArray
    draws: FloatArray

    def bar(self, level: float) -> float:
        """The |r| that must be exceeded for a `p_family` of at most `level`."""
        most = np.sort(np.abs(self.draws).max(axis=0))[::-1]
        allowed = math.floor(level * (1 + len(most)) - 1.0 + _CONSTANT)
        return float(most[allowed]) if allowed >= 0 else math.inf

    def one_sided(self, place: int, sign: float) -> float:
        """How often a shuffled r is at least as far in the direction `sign` as the one found."""
        draws = self.draws[place] * sign
        return (1.0 + float((draws >= self.r[place] * sign).sum())) / (1.0 + len(draws))


def formula_p(r: float, rows: int) -> float:
    """Two-sided p of Pearson's r if all rows were independent, which those of markets are not."""
    left = 1.0 - r * r
    return two_sided(r * math.sqrt((rows - 2) / left), rows - 2) if left > 0.0 else 0.0


def pearson(one: FloatArray, other: FloatArray) -> tuple[float, int]:
    """r and the number of rows over which both are known; DataError where one of them is constant there."""
    known = np.isfinite(one) & np.isfinite(other)
    x, y = (values[known] - values[known].mean() for values in (one, other)) if known.any() else (one[:0], other[:0])
    size = math.sqrt(float(x @ x) * float(y @ y))
    if size == 0.0:
        raise DataError("a series is constant: it cannot go together with anything")
    return float(x @ y) / size, int(known.sum())


def control_columns(
    controls: Controls, rows: int, part: Part, past: Sequence[tuple[FloatArray, int]], trend: bool
) -> FloatArray:
    """(rows, c) regressors that are known at each row, besides the hour of the week.

    Trend: a line with a knot every `trend_knot_days` of `part`. `past`: series and hours of trailing means; HAR is
    Corsi (2009), "A Simple Approximate Long-Memory Model of Realized Volatility".
    """
    columns = [trailing(series, back)[:, None] for series, back in past]
    if trend:
        step = controls.trend_knot_days * _DAY_HOURS
        knots = np.arange(part.first, part.last - step // 2, step)
        place = np.arange(rows, dtype=np.float64)[:, None]
        columns.append(np.maximum(place - knots[None, :], 0.0) / rows)
    return np.concatenate(columns, axis=1) if columns else np.empty((rows, 0))


def without(values: FloatArray, columns: FloatArray, groups: IntArray) -> FloatArray:
    """Residuals of `values` (m, k) after least squares on `columns` (m, c) and a dummy for each group (m,).

    The dummies are taken out of both sides first (Frisch and Waugh 1933). Columns may depend on each other.
    """
    sizes = np.maximum(np.bincount(groups), 1)
    values, columns = _centred(values, groups, sizes), _centred(columns, groups, sizes)
    size = np.sqrt((columns * columns).sum(axis=0))
    scaled = columns / np.where(size > 0.0, size, 1.0)
    found = np.linalg.lstsq(scaled.T @ scaled, scaled.T @ values, rcond=_DEPENDENT)[0]
    return np.asarray(values - scaled @ found)


def _centred(table: FloatArray, groups: IntArray, sizes: IntArray) -> FloatArray:
    """Each column without the means of its groups."""
    made = np.empty(table.shape)
    for place in range(table.shape[1]):
        column = table[:, place]
        made[:, place] = column - (np.bincount(groups, column) / sizes)[groups]
    return made


def rest_of(
    predictors: FloatArray, outcomes: FloatArray, columns: FloatArray, hours: IntArray, part: Part, what: str
) -> Rest:
    """What the controls leave of `predictors` (n, k) and `outcomes` (n, k) over the rows of `part` where all is known.

    DataError where too few are, or where `what` or its target is constant or follows from the controls alone.
    """
    table = np.concatenate((predictors, outcomes, columns), axis=1)
    rows = np.isfinite(table).all(axis=1)
    rows[: part.first] = False
    rows[part.last :] = False
    controls = columns.shape[1] + (WEEK_HOURS if part.week else 1)
    if rows.sum() <= 2 * controls:
        raise DataError(
            f"too little history: {what} and its target are known together in {int(rows.sum()):,} hours of the range, "
            f"where {controls} controls alone explain everything"
        )
    both = 2 * predictors.shape[1]
    known, within = table[rows, :both], hours[rows]
    left = without(known, table[rows, both:], within % WEEK_HOURS if part.week else np.zeros_like(within))
    size = np.abs(known).max(axis=0) * math.sqrt(len(known))
    empty = np.sqrt((left * left).sum(axis=0)) <= _CONSTANT * size
    if empty.any():
        name = what if empty[: both // 2].any() else f"the target of {what}"
        raise DataError(f"{name} is constant in the range, or follows from the controls alone: nothing can be told")
    return Rest(rows, within, left[:, : both // 2], left[:, both // 2 :], part.together)


def family(rest: Rest, orders: IntArray) -> Family:
    """The partial correlations and their chances; `orders` (permutations, blocks) as of `week_orders`.

    Whole weeks of the predictor's residual change places, so that what belongs to an hour of the week, and what
    hangs together within a week, stays as it is. The maximum over the lags corrects for their number and knows how
    they hang together: Westfall and Young (1993); Holm's rule would treat overlapping lags as separate chances.
    """
    predictors, outcomes = _by_block(rest, rest.predictors), _by_block(rest, rest.outcomes)
    lags, blocks, size = len(outcomes), outcomes.shape[1], len(rest.hours)
    products = predictors @ outcomes.transpose(0, 2, 1)
    here = np.arange(blocks)
    r = products[:, here, here].sum(axis=1)
    draws = np.empty((lags, len(orders)))
    for lag in range(lags):
        draws[lag] = products[lag][orders, here].sum(axis=1)
    shifts = (here[None, :] + here[1:, None]) % blocks
    shifted = np.abs(np.stack([products[lag][shifts, here].sum(axis=1) for lag in range(lags)]))
    strong, most = np.abs(r), np.abs(draws).max(axis=0)
    reached = (np.abs(draws) >= strong[:, None]).sum(axis=1)
    return Family(
        rows=size,
        blocks=blocks,
        r=r,
        p=np.asarray((1.0 + reached) / (1.0 + len(orders))),
        p_family=np.asarray((1.0 + (most[None, :] >= strong[:, None]).sum(axis=1)) / (1.0 + len(orders))),
        p_formula=np.array([formula_p(float(one), size) for one in r]),
        p_shift=(1.0 + (shifted >= strong[:, None]).sum(axis=1)) / blocks,
        draws=draws,
    )


def week_orders(rest: Rest, permutations: int, random: np.random.Generator) -> IntArray:
    """(permutations, blocks) random orders of the blocks of whole weeks of `rest`."""
    blocks = len(np.unique(rest.hours // rest.block))
    return random.permuted(np.tile(np.arange(blocks), (permutations, 1)), axis=1)


def _by_block(rest: Rest, table: FloatArray) -> FloatArray:
    """(k, blocks, hours) of columns of length 1, zero where nothing is known."""
    blocks, place = np.unique(rest.hours // rest.block, return_inverse=True)
    placed = np.zeros((table.shape[1], len(blocks), rest.block))
    placed[:, place, rest.hours % rest.block] = (table / np.sqrt((table * table).sum(axis=0))).T
    return placed


def found_share(judged: Family, fresh: Family, place: int, strength: float, level: float) -> float:
    """How often an injected correlation is found: |r| beyond the bar of `level` over the family, with its sign.

    The predictor's weeks are shuffled (`fresh` draws), which takes away what there may be, and the outcome's own
    residual is mixed in so that the correlation at `place` is `strength`.
    """
    mixed = math.sqrt(1.0 - strength * strength) * fresh.draws[place] + strength
    return float((mixed > judged.bar(level)).mean())


def replicated_share(judged: Family, fresh: Family, place: int, strength: float, level: float) -> float:
    """The same for a single one-sided test of the lag at `place`."""
    mixed = math.sqrt(1.0 - strength * strength) * fresh.draws[place] + strength
    own = np.sort(judged.draws[place])[::-1]
    allowed = math.floor(level * (1 + len(own)) - 1.0 + _CONSTANT)
    return float((mixed > own[allowed]).mean()) if allowed >= 0 else 0.0


def gain(inside: Rest, outside: Rest, place: int) -> float:
    """The share of squared error out of sample that the slope found in sample takes away; below zero it adds some."""
    x, y = inside.predictors[:, place], inside.outcomes[:, place]
    slope = float(x @ y) / float(x @ x)
    truth = outside.outcomes[:, place]
    missed = truth - slope * outside.predictors[:, place]
    return 1.0 - float(missed @ missed) / float(truth @ truth)
