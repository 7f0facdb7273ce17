"""Many settings of the technical arms over one history at once, trade for trade what the engine would have done.

The baseline book of a run is walked: every pair has its team from the first bar, sizes are those of an asset that is
well (no probation), and a pair that is delisted has no analysts any more. Each distinct indicator is computed once for
all settings. The moats, the swarm and the account's drawdown have no part in this.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
from numba import njit

from ..core import metrics
from ..core.analyst_signals import rules_of, strongest
from ..core.config import Account, Analysts, Costs, Exchange, Indicators, Settings
from ..core.errors import DataError, UsageError
from ..core.history import History
from ..core.indicator_plan import TEAMS, Call
from ..core.timeframes import DAY_MS
from ..core.types import FloatArray, IntArray, Stream, Trade
from ..core.whole_money import digits_of
from . import sweep_book as book
from .sweep_indicators import Values, values_of

_MOST_CASH = Decimal(10) ** 10
"""Of the arithmetic: whole money steps of a hundred times as much fit into 64 bits, products with prices into 128."""

Sides = npt.NDArray[np.int8]


class Rule(Protocol):
    """Says from the bars of one pair alone when to be long and when to be out."""

    def calls(self) -> Sequence[Call]:
        """The indicators it reads."""
        ...

    def sides(self, values: Sequence[Values], close: FloatArray) -> Sides:
        """+1 long, -1 out, 0 nothing to say at each bar (n,); `values` of `calls`, see `values_of`."""
        ...


class ThreeAnalysts(msgspec.Struct, frozen=True):
    """The technical analysts of a pair: the idea that at least `required` of the three share."""

    analysts: Analysts
    indicators: Indicators
    required: int

    def calls(self) -> Sequence[Call]:
        """RSI, MACD and bands of each analyst, then the average true range."""
        wide = self.indicators.bollinger_deviations
        found = [Call("ATR", (self.indicators.atr,))]
        for team in self.analysts.teams:
            found += [Call("RSI", (team.rsi,)), Call("MACD", team.macd), Call("BBANDS", (team.bollinger, wide, wide))]
        return found

    def sides(self, values: Sequence[Values], close: FloatArray) -> Sides:
        """The votes of all three, counted as the trader counts them."""
        (atr,), *rest = values
        rows = []
        for (rsi,), (histogram,), (lower, upper) in zip(rest[0::3], rest[1::3], rest[2::3], strict=True):
            rows += [rsi, histogram, lower, upper]
        sides = np.zeros(len(close), np.int8)
        _vote(tuple(rows), atr, close, np.array(rules_of(self.analysts)), self.required, sides)
        return sides


class Crossing(msgspec.Struct, frozen=True):
    """The rule by which engines are compared: in when the MACD histogram crosses above 0 and RSI is below `below`.

    Out when it crosses below 0 or RSI is above `above`; periods in bars, RSI in points.
    """

    rsi: int
    macd: tuple[int, int, int]
    below: float
    above: float

    def calls(self) -> Sequence[Call]:
        """MACD and RSI."""
        return (Call("MACD", self.macd), Call("RSI", (self.rsi,)))

    def sides(self, values: Sequence[Values], close: FloatArray) -> Sides:
        """One pass over both."""
        (histogram,), (rsi,) = values
        sides = np.zeros(len(close), np.int8)
        _cross(rsi, histogram, self.below, self.above, sides)
        return sides


class Arm(msgspec.Struct, frozen=True):
    """One row of a sweep: whose ideas, and what the account makes of them. `horizon` in intervals, None: no limit."""

    rule: Rule
    costs: Costs
    account: Account
    exchange: Exchange
    max_positions: int
    delisted_days: float
    horizon: int | None = None


class Swept(msgspec.Struct, frozen=True):
    """What became of one row. `table` (trades, book.COLUMNS) in whole money and amount steps; `equity` (times,).

    `equity` is marked in quote currency. Ratios are of 1; a figure that is not defined is None.
    """

    table: IntArray
    equity: FloatArray
    cash: Decimal
    trades: int
    profit: Decimal
    profit_ratio: float
    win_ratio: float | None
    profit_factor: float | None
    fees: Decimal
    slippage: Decimal
    max_drawdown_ratio: float
    sharpe: float | None


KNOWN = (
    *("analysts", "costs", "account", "consensus.required_votes", "indicators.atr", "indicators.bollinger_deviations"),
    *("exchange.max_volume_ratio", "limits.max_size_multiplier", "risk.max_positions", "lifecycle.delisted_days"),
)
"""The settings, and sections of them, that decide what the technical arm does."""


def arm_of(settings: Settings) -> Arm:
    """The technical arm of a tree of settings."""
    rule = ThreeAnalysts(settings.analysts, settings.indicators, settings.consensus.required_votes)
    size = settings.account.entry_equity_ratio * min(Decimal(1), settings.limits.max_size_multiplier)
    account = settings.account.model_copy(update={"entry_equity_ratio": size})
    return Arm(
        rule, settings.costs, account, settings.exchange, settings.risk.max_positions,
        settings.lifecycle.delisted_days,
    )  # fmt: skip


def sweep(history: History, arms: Sequence[Arm]) -> list[Swept]:
    """Each row walked over the history, in the order given.

    UsageError without bars or rows, DataError for prices that cannot be believed or have no exact decimal that fits.
    """
    if not len(history.times) or not arms:
        raise UsageError("a sweep needs a history with bars and at least one row of settings")
    _refuse_bad_prices(history)
    said = _said(history, arms)
    tape = tape_of(history)
    return [_walked(history, tape, arm, ideas) for arm, ideas in zip(arms, said, strict=True)]


def trades_of(swept: Swept, arm: Arm, history: History, stream: Stream = Stream.BASELINE) -> list[Trade]:
    """The trades of a row as the engine writes them into the book of a stream."""
    return [_trade(row, number, arm, history, stream) for number, row in enumerate(swept.table.tolist(), 1)]


# Ideas


def _said(history: History, arms: Sequence[Arm]) -> list[list[tuple[IntArray, Sides]]]:
    """For each row and pair, the times at which something is said and what; pairs outside, so that memory is small."""
    calls = list(dict.fromkeys(call for arm in arms for call in arm.rule.calls()))
    said: list[list[tuple[IntArray, Sides]]] = [[] for _ in arms]
    for pair in range(len(history.pairs)):
        present = history.present[:, pair]
        rows = None if present.all() else np.flatnonzero(present)
        there = slice(None) if rows is None else rows  # a view, where nothing is missing
        high, low, close = (
            np.ascontiguousarray(column[there, pair]) for column in (history.high, history.low, history.close)
        )
        values = {call: values_of(call, high, low, close) for call in calls} if len(close) else {}
        for arm, ideas in zip(arms, said, strict=True):
            ideas.append(_pair_ideas(history, arm, rows, values, close))
    return said


def _pair_ideas(
    history: History, arm: Arm, rows: IntArray | None, values: dict[Call, Values], close: FloatArray
) -> tuple[IntArray, Sides]:
    """`rows` of the pair's bars; None where it has one in every row."""
    if not len(close):
        return np.zeros(0, np.int64), np.zeros(0, np.int8)
    sides = arm.rule.sides([values[call] for call in arm.rule.calls()], close)
    places = np.flatnonzero(sides)
    if rows is None:
        return places, sides[places]
    places = places[: np.searchsorted(places, _listed(history, rows, arm.delisted_days))]
    return rows[places], sides[places]


def _listed(history: History, rows: IntArray, days: float) -> int:
    """How many of a pair's bars come before it is delisted: a silence of so long, seen while other pairs have bars.

    The first row decides nothing: the asset has its place in the book of lives from the end of it.
    """
    limit = round(days * DAY_MS)
    seen = history.times[rows]
    for place in np.flatnonzero(np.diff(seen) > limit).tolist():
        between = history.times[rows[place] + 1 : rows[place + 1]]
        if len(between) and between[-1] - seen[place] >= limit:
            return place + 1
    return len(rows)


# The walk


def tape_of(history: History) -> book.Tape:
    """The bars as the compiled walk reads them."""
    return book.Tape(history.times, history.open, history.low, history.close, history.volume, history.present)


def _walked(history: History, tape: book.Tape, arm: Arm, ideas: Sequence[tuple[IntArray, Sides]]) -> Swept:
    sides = np.zeros(history.present.shape, np.int8)
    for pair, (rows, said) in enumerate(ideas):
        sides[rows, pair] = said
    return walked(history, tape, arm, sides)


def walked(history: History, tape: book.Tape, arm: Arm, sides: Sides) -> Swept:
    """An account that follows ideas: `sides` (times, pairs), +1 long, -1 out, 0 none at each row."""
    terms = terms_of(arm, history)
    table = np.zeros((int(np.count_nonzero(sides > 0)) + 1, book.COLUMNS), np.int64)
    equity = np.empty(len(history.times))
    closed, cash, became = book.walk(tape, sides, book.empty(len(history.pairs)), terms, table, equity)
    if became != book.FINE:
        raise DataError("sweep: a price or volume has more digits than exact money can carry: round the data")
    return _summed(history, arm, table[:closed].copy(), equity, _quote(cash))


def terms_of(arm: Arm, history: History) -> book.Terms:
    """The account's settings as whole numbers; UsageError where their digits do not fit."""
    cash, step = arm.account.start_quote, Decimal(10) ** -book.MONEY_PLACES
    if cash > _MOST_CASH or cash % step:
        raise UsageError(f"account.start_quote {cash}: a sweep takes at most {_MOST_CASH} in whole steps of {step}")
    start = int(cash / step)
    horizon = book.NO_HORIZON if arm.horizon is None else arm.horizon * history.interval_ms
    fee, slippage, kept = arm.costs.fee_ratio, arm.costs.slippage_ratio, 1 - arm.account.stop_ratio
    return book.Terms(
        start, arm.account.amount_decimals, *digits_of(fee), *digits_of(slippage), *digits_of(kept),
        *digits_of(arm.account.entry_equity_ratio), *digits_of(arm.exchange.max_volume_ratio), arm.max_positions,
        horizon,
    )  # fmt: skip


def _refuse_bad_prices(history: History) -> None:
    for name in ("open", "high", "low", "close"):
        column = getattr(history, name)
        bad = history.present & ~((column > 0.0) & (column < np.inf))
        if bad.any():
            row, pair = np.argwhere(bad)[0].tolist()
            value = column[row, pair]
            raise DataError(f"sweep: {name} {value} of {history.pairs[pair]} in row {row} is no price: repair the bar")


# Figures


def _summed(history: History, arm: Arm, table: IntArray, equity: FloatArray, cash: Decimal) -> Swept:
    profits = table[:, book.RECEIVED] - table[:, book.PAID]
    won, lost = int(profits[profits > 0].sum()), -int(profits[profits < 0].sum())
    start = arm.account.start_quote
    profit = _quote(int(profits.sum()))
    return Swept(
        table=table,
        equity=equity,
        cash=cash,
        trades=len(table),
        profit=profit,
        profit_ratio=float(profit / start),
        win_ratio=float(np.count_nonzero(profits > 0) / len(table)) if len(table) else None,
        profit_factor=won / lost if lost else None,
        fees=_quote(int(table[:, book.FEES].sum())),
        slippage=_quote(int(table[:, book.SLIPPAGE].sum())),
        max_drawdown_ratio=_deepest(equity),
        sharpe=_sharpe(history, equity, float(start)),
    )


def _sharpe(history: History, equity: FloatArray, start: float) -> float | None:
    first, last = metrics.day_of(int(history.times[0])), metrics.day_of(int(history.times[-1]))
    daily = metrics.daily_last(history.times, equity, first, last, start)
    return metrics.sharpe(metrics.daily_returns(daily, start))


def _quote(steps: int) -> Decimal:
    return Decimal(steps).scaleb(-book.MONEY_PLACES)


def _trade(row: Sequence[int], number: int, arm: Arm, history: History, stream: Stream) -> Trade:
    paid, received, value, fees, slippage = (_quote(row[column]) for column in range(book.PAID, book.REASON))
    amount = Decimal(row[book.AMOUNT]).scaleb(-arm.account.amount_decimals)
    profit = received - paid
    return Trade(
        id=f"{stream.value}-{number}",
        stream=stream,
        pair=history.pairs[row[book.PAIR]],
        amount=amount,
        entry_at=row[book.ENTRY_AT],
        exit_at=row[book.EXIT_AT],
        entry_price=value / amount,
        exit_price=(received + fees + slippage - (paid - value)) / amount,
        fees=fees,
        slippage=slippage,
        profit=profit,
        profit_ratio=profit / paid if paid else Decimal(0),
        exit_reason=book.REASONS[row[book.REASON]],
        leave_at=None if row[book.LEAVE_AT] == book.NO_HORIZON else row[book.LEAVE_AT],
    )


# Compiled loops


@njit(cache=True)
def _deepest(equity: FloatArray) -> float:
    """`metrics.max_drawdown` without its arrays."""
    peak, deepest, ratio = equity[0], 0.0, 0.0
    for value in equity:
        peak = max(peak, value)
        fall = 1.0 - value / peak
        if fall > deepest:
            deepest, ratio = fall, (peak - value) / peak
    return ratio


@njit(cache=True)
def _vote(rows: Any, atr: FloatArray, close: FloatArray, rules: FloatArray, required: int, sides: Sides) -> None:
    """`rows`: RSI, MACD histogram, lower and upper band of each analyst, (n,) each."""
    for i in range(len(close)):
        buyers, sellers, bought, sold = 0, 0, 0.0, 0.0
        for team in range(TEAMS):
            histogram = rows[4 * team + 1]
            previous = histogram[i - 1] if i else np.nan
            side, confidence, _ = strongest(
                rows[4 * team][i], histogram[i], previous, rows[4 * team + 2][i], rows[4 * team + 3][i], atr[i],
                close[i], rules,
            )  # fmt: skip
            if side > 0:
                buyers, bought = buyers + 1, bought + confidence
            elif side < 0:
                sellers, sold = sellers + 1, sold + confidence
        if buyers + sellers < required:
            continue
        buy = buyers >= max(1, required) and bought > 0.0
        sell = sellers >= max(1, required) and sold > 0.0
        if buy != sell:
            sides[i] = 1 if buy else -1


@njit(cache=True)
def _cross(rsi: FloatArray, histogram: FloatArray, below: float, above: float, sides: Sides) -> None:
    for i in range(1, len(rsi)):
        now, before = histogram[i], histogram[i - 1]
        if now > 0.0 and before <= 0.0 and rsi[i] < below:
            sides[i] = 1
        elif (now < 0.0 and before >= 0.0) or rsi[i] > above:
            sides[i] = -1
