"""The books on paper side by side, a slice in one compiled step; Python only for what opened and closed.

A book that the step cannot walk exactly is handed back as the state of a desk, see `PaperBooks.leave`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence, Set
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from ..core.config import Account, Costs, Exchange, Risk
from ..core.portfolio import ZERO
from ..core.types import (
    MONEY_STEP,
    BarBlock,
    BoolArray,
    FloatArray,
    Idea,
    IntArray,
    Intent,
    Pair,
    Side,
    Slice,
    Snapshot,
    Stream,
    Trade,
)
from ..core.whole_money import Terms, digits_of
from . import paper_kernel as kernel
from . import paper_lots as table
from .paper_state import Book, State, placed, told

_MOST_DIGITS, _MOST_PLACES = 10**9, 9
"""Of a ratio of the settings; with more the products do not fit."""
_digits_of = lru_cache(digits_of)
_NEVER = float(table.NONE)
_NOTHING: Mapping[int, Any] = {}


Columns = tuple[int, FloatArray, FloatArray, FloatArray, FloatArray, BoolArray]
"""When bars opened; open, low, close, volume, whether there is one."""


class Source(msgspec.Struct, frozen=True):
    """A book: its name, the stream of its trades, whose ideas it takes, above which edge (None: all of them)."""

    name: str
    stream: Stream
    source: str
    least: float | None


class Rules(msgspec.Struct, frozen=True):
    """What all books go by: the terms of trade, how old a price may be, the multiplier of a size, whose ids.

    A multiplier stays as it is as long as `standings` gives the same object.
    """

    terms: Terms
    stop_ratio: Decimal
    max_age_intervals: int
    multiplier: Callable[[Pair], Decimal]
    standings: Callable[[], object]
    namespaces: Mapping[str, UUID]


class Walked(msgspec.Struct):
    """What came of a slice, by the place of the book: trades, intents that became entries; books left to desks."""

    trades: Mapping[int, list[Trade]] = _NOTHING
    entries: Mapping[int, list[Intent]] = _NOTHING
    left: Set[int] = frozenset()


_SILENCE = Walked()
"""Of a slice in which nothing happened; nobody writes to it."""


def paper_rules(
    account: Account, costs: Costs, exchange: Exchange, risk: Risk, multiplier: Callable[[Pair], Decimal],
    standings: Callable[[], object], namespaces: Mapping[str, UUID],
) -> Rules | None:  # fmt: skip
    """The rules of the settings; None where their digits do not fit, or a loss would stop a book."""
    ratios = (
        costs.fee_ratio, costs.slippage_ratio, 1 - account.stop_ratio, account.entry_equity_ratio,
        exchange.max_volume_ratio,
    )  # fmt: skip
    figures = [digits_of(ratio) for ratio in ratios]
    if any(digits >= _MOST_DIGITS or places > _MOST_PLACES for digits, places in figures):
        return None
    if risk.max_drawdown_ratio < 1.0:
        return None
    fee, slippage, kept, share, volume = figures
    terms = Terms(
        0, account.amount_decimals, *fee, *slippage, *kept, *share, *volume, risk.max_positions, table.NONE
    )  # fmt: skip
    return Rules(terms, account.stop_ratio, risk.max_data_age_intervals, multiplier, standings, namespaces)


class PaperBooks:
    """The tables of all books, over the pairs of the run. Used by one thread."""

    def __init__(self, books: Sequence[Source], rules: Rules) -> None:
        self._books = tuple(books)
        self._rules = rules
        self._terms = np.array(rules.terms, np.int64)
        self._step = Decimal(1).scaleb(-rules.terms.decimals)
        sources = list(dict.fromkeys(book.source for book in books))
        self._codes = {source: float(code) for code, source in enumerate(sources)}
        self._sources = np.array([sources.index(book.source) for book in books], np.int64)
        self._least = np.array([-np.inf if book.least is None else book.least for book in books])
        self.pairs: tuple[Pair, ...] = ()
        self._lay(())

    def _lay(self, pairs: tuple[Pair, ...]) -> None:
        """Empty tables over these pairs; every book is away."""
        count, width, rules = len(self._books), len(pairs), self._rules
        self.pairs, self._places = pairs, {pair: place for place, pair in enumerate(pairs)}
        self._numbers = {pair: float(place) for pair, place in self._places.items()}
        self._lots = np.zeros((count, table.LOT, width), np.int64)
        self._prices = np.zeros((count, table.PRICES, width))
        self._sums = np.zeros((count, table.SUMS), np.int64)
        self._became = np.full(count, kernel.AWAY, np.int64)
        self._quiet = False
        nothing, nowhere = _kept(np.zeros(width)), _kept(np.zeros(width, np.bool_))
        self._no_bars: Columns = (0, nothing, nothing, nothing, nothing, nowhere)
        self._sizes = np.zeros((2, width), np.int64)
        self._standings: object = self  # after which the sizes were looked up; never that of anybody else
        self._trades = np.zeros((count * width + 1, table.TRADE), np.int64)
        self._entered = np.zeros((count * width + 1, 2), np.int64)
        self._read = np.zeros((2, width)), np.zeros((2, 2, width), np.int64)
        self._views = [
            Book(
                rules.namespaces[book.name].bytes, pairs, self._places, rules.terms.decimals, rules.stop_ratio,
                self._lots[place], self._prices[place], self._sums[place],
            )
            for place, book in enumerate(self._books)
        ]  # fmt: skip

    def walks(self, place: int) -> bool:
        """Whether the tables hold the book at this place."""
        return bool(self._became[place] != kernel.AWAY)

    def fits(self, slice_: Slice, snapshot: Snapshot) -> bool:
        """Whether the slice is about the pairs of the tables."""
        bars = slice_.bars
        return snapshot.pairs == self.pairs and (bars is None or bars.pairs == self.pairs)

    def lay(self, pairs: tuple[Pair, ...]) -> None:
        """Go over to other pairs; no book may be walked here any more."""
        self._lay(pairs)

    def take(self, place: int, desk: State, broker: State) -> None:
        """Walk a book from here on, if the tables have a place for all that is in it."""
        self._quiet = False
        if placed(self._views[place], desk, broker):
            self._became[place] = kernel.FINE

    def state(self, place: int) -> tuple[State, State]:
        """The states of the desk and the broker of a book that is walked here."""
        return told(self._views[place])

    def leave(self, place: int) -> tuple[State, State]:
        """`state`, and walk the book here no longer."""
        self._became[place], self._quiet = kernel.AWAY, False
        return told(self._views[place])

    def step(
        self, slice_: Slice, snapshot: Snapshot, ideas: Sequence[tuple[str, Idea]], learnt: Set[int] = frozenset()
    ) -> Walked:
        """One slice of all books that are walked here, `ideas` by source, in order.

        Only the entries of the books `learnt` from are told. Books that the tables cannot walk are as they were
        before: whoever asked lets them `leave`.
        """
        if self._quiet and not any(idea.side is Side.BUY for _, idea in ideas):
            return _SILENCE
        said, kept = self._say(ideas, snapshot)
        self._resize()
        limit = self._rules.max_age_intervals * snapshot.interval_ms
        closed, entered, left, busy = kernel.step(
            snapshot.at, limit, *self._bars(slice_.bars), *self._known(snapshot, limit), self._sizes, said,
            self._sources, self._least, self._became, self._lots, self._prices, self._sums, self._terms,
            *self._read, self._trades, self._entered,
        )  # fmt: skip
        # Where nothing is held or waits, a slice in which nobody wants to buy changes nothing.
        self._quiet = not (left or busy)
        walked = Walked()
        if closed:
            walked.trades = self._closed(self._trades[:closed].tolist())
        if entered and learnt:
            walked.entries = self._entries(self._entered[:entered].tolist(), kept, learnt)
        if left:
            walked.left = frozenset(self._became.nonzero()[0].tolist())
        return walked

    def _say(self, ideas: Sequence[tuple[str, Idea]], snapshot: Snapshot) -> tuple[FloatArray, list[Idea]]:
        """What the step hears of the ideas, and which they are."""
        flat: list[float] = []
        kept: list[Idea] = []
        codes, places, interval = self._codes, self._numbers, snapshot.interval_ms
        at, buy = float(snapshot.at), Side.BUY
        for source, idea in ideas:
            code = codes.get(source)
            if code is None:
                continue
            kept.append(idea)
            if idea.side is buy:
                horizon = idea.horizon
                ends = _NEVER if horizon is None else at + horizon * interval
                flat += (code, places[idea.pair], 1.0, ends, idea.edge or 0.0)
            else:
                flat += (code, places[idea.pair], -1.0, _NEVER, 0.0)
        # By way of an array of the standard library: numpy takes several times as long for a list.
        return np.array(array("d", flat)).reshape(-1, kernel.SAID), kept

    def _bars(self, block: BarBlock | None) -> Columns:
        """The bars as the step reads them."""
        if block is None:
            return self._no_bars
        low, close, volume, present = block.low, block.close, block.volume, block.present
        if _is_kept(block.open):
            return block.opened, block.open, low, close, volume, present
        return block.opened, _kept(block.open), _kept(low), _kept(close), _kept(volume), _kept(present)

    def _known(self, snapshot: Snapshot, limit: int) -> tuple[FloatArray, IntArray]:
        """Closes of the pairs, and when they were seen."""
        close, seen = snapshot.close, snapshot.seen_at
        if seen is None:
            seen = np.where(snapshot.fresh, snapshot.at, snapshot.at - limit - 1)
        return (close, seen) if _is_kept(close) and _is_kept(seen) else (_kept(close), _kept(seen))

    def _resize(self) -> None:
        """Look the multipliers up again where an asset came to another stage."""
        standings = self._rules.standings()
        if standings is not self._standings:
            self._standings = standings
            self._sizes[:] = [*zip(*map(self._size, self.pairs), strict=True)]

    def _size(self, pair: Pair) -> tuple[int, int]:
        """Digits and places of the multiplier of a pair; a negative number where it does not fit."""
        digits, places = _digits_of(self._rules.multiplier(pair))
        return (digits, places) if 0 <= digits < _MOST_DIGITS and places <= _MOST_PLACES else (-1, 0)

    def _closed(self, rows: Sequence[Sequence[int]]) -> dict[int, list[Trade]]:
        trades: dict[int, list[Trade]] = {}
        for row in rows:
            trades.setdefault(row[table.BOOK], []).append(self._trade(row))
        return trades

    def _trade(self, row: Sequence[int]) -> Trade:
        # A product with the step is exact, as `scaleb` is, in less than half of its time.
        book, pair, number, entry, exit_, bought, paid, received, value, fees, slippage, why, leave = row
        amount, spent, profit = bought * self._step, value * MONEY_STEP, (received - paid) * MONEY_STEP
        gross = (received + fees + slippage - paid + value) * MONEY_STEP
        return Trade(
            f"{self._books[book].name}-{number}",
            self._books[book].stream,
            self.pairs[pair],
            amount,
            entry,
            exit_,
            spent / amount,
            gross / amount,
            fees * MONEY_STEP,
            slippage * MONEY_STEP,
            profit,
            profit / (paid * MONEY_STEP) if paid else ZERO,
            table.REASONS[why],
            None,
            None if leave == table.NONE else leave,
        )

    def _entries(
        self, rows: Sequence[Sequence[int]], kept: Sequence[Idea], learnt: Set[int]
    ) -> dict[int, list[Intent]]:
        entries: dict[int, list[Intent]] = {}
        for place, number in rows:
            if place in learnt:
                idea = kept[number]
                intent = Intent(idea.pair, idea.side, idea.at, idea.score, idea.edge, idea.horizon)
                entries.setdefault(place, []).append(intent)
        return entries


def _is_kept(array: Any) -> bool:
    """Whether nobody may write: the step is compiled for such arrays, as slices and snapshots have them."""
    return not array.flags.writeable


def _kept(array: Any) -> Any:
    kept = array.view()
    kept.flags.writeable = False
    return kept
