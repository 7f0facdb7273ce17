"""The books on paper of a run, all in one compiled step: exits, sizes, fills and costs of the desk, to the last digit.

What `Desk`, `FixedSupervisor`, `RiskGate` and `SimulatedExchange` do for a book whose gate has no drawdown limit is
written down here and in `paper_lots` a second time; tests hold both to the same trades and the same state. Where that
could differ from what Decimal comes to, or something happens that the tables have no place for, the step leaves the
book as it was and says so.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.compiled import compiled
from ..core.types import BoolArray, FloatArray, IntArray
from ..core.whole_money import CLEARLY, MONEY_PLACES, TENS, cut, terms_of
from ..core.wide import NOTHING, U64, as_float, times
from . import paper_lots as table

SOURCE, PLACE, SIDE, LEAVES_AT, EDGE = range(5)
SAID = 5
"""What is said (ideas, SAID): whose, of which pair, 1 or -1, when it ends, its edge."""
SIZE, SIZE_PLACES = range(2)
"""Rows of the multiplier of a pair's size."""
FINE, UNFIT, AWAY = range(3)
"""What became of a book's step; AWAY is not walked here."""


_EXACT = 1e27
"""Below it a product has so few digits that Decimal keeps all of them."""
_NEAR = 1e-9
"""Sums of money in floats that are nearer than this are compared by Decimal."""


@compiled
def _settle(
    book: int, at: int, opened: int, opens: FloatArray, lows: FloatArray, closes: FloatArray, volumes: FloatArray,
    present: BoolArray, lot: IntArray, prices: FloatArray, sums: IntArray, terms: Any, known: FloatArray,
    read: IntArray, trades: IntArray, closed: int,
) -> Any:  # fmt: skip
    """(how many trades there are now, whether all was exact)."""
    for p in range(present.size):
        if not present[p] or (lot[table.HELD, p] == 0 and lot[table.BUYING, p] == 0):
            continue
        near = prices[table.STOP_AT, p] * CLEARLY if lot[table.STOP_PLACES, p] != table.NONE else 0.0
        waits = lot[table.BUYING, p] > 0 or lot[table.SELLING, p] > 0
        if waits or not (near < lows[p] < math.inf and 0.0 < opens[p] < math.inf):
            trades[closed, table.BOOK] = book
            done, exact = table.fill_pair(
                p, at, opened, opens[p], lows[p], volumes[p], lot, prices, sums, terms, known, read, trades[closed]
            )
            if not exact:
                return closed, False
            closed += done
        prices[table.MARK, p], lot[table.MARKED_AT, p] = closes[p], at
    return closed, True


@compiled
def _leave(p: int, at: int, opposed: bool, close: float, lot: IntArray, prices: FloatArray) -> None:
    """Withdraw an entry that is no longer wanted, sell what is held for too long or is opposed."""
    if lot[table.HELD, p] == 0:
        over = lot[table.WAITS_UNTIL, p] != table.NONE and at >= lot[table.WAITS_UNTIL, p]
        if lot[table.BUYING, p] > 0 and (opposed or over):
            lot[table.BUYING, p] = 0
        return
    over = lot[table.LEAVE_AT, p] != table.NONE and at >= lot[table.LEAVE_AT, p]
    if (opposed or over) and lot[table.SELLING, p] == 0 and close > 0.0:
        lot[table.SELLING, p] = lot[table.SELL_AMOUNT, p] = lot[table.HELD, p]
        lot[table.WHY, p], lot[table.SELL_AT, p] = table.OPPOSITE if opposed else table.HORIZON, at
        lot[table.SELL_FILLS, p], prices[table.SELL_REFERENCE, p] = 0, close


@compiled
def _allowed(amount: Any, close: float, lot: IntArray, prices: FloatArray, sums: IntArray, terms: Any) -> Any:
    """(whether positions and cash leave room for an entry, whether that is sure)."""
    busy, promised = 0, 0.0
    for q in range(lot.shape[1]):
        if lot[table.HELD, q] > 0 or lot[table.BUYING, q] > 0:
            busy += 1
        promised += prices[table.BUY_REFERENCE, q] * float(lot[table.BUYING, q])
    if busy >= terms.most:
        return False, True
    sides = 1.0 + terms.fee / TENS[terms.fee_places] + terms.slippage / TENS[terms.slippage_places]
    needed = (float(amount) * close + promised) / TENS[terms.decimals] * sides
    cash = sums[table.CASH] / TENS[MONEY_PLACES]
    return needed < cash, abs(needed - cash) > _NEAR * cash


@compiled
def _size(size: int, size_places: int, digits: Any, places: int, equity: int, terms: Any) -> Any:
    """(the amount of an entry, whether that is what Decimal comes to); `size` multiplies the usual share."""
    if places < 0 or size < 0 or equity < 0:
        return NOTHING, False
    high, low = times(NOTHING, U64(equity), U64(terms.share))
    high, low = times(high, low, U64(size))
    if as_float(high, low) > _EXACT:
        return NOTHING, False
    power = places + terms.decimals - MONEY_PLACES - terms.share_places - size_places
    return cut(high, low, power, NOTHING, digits)


@compiled
def _enter(
    p: int, at: int, ends: int, close: float, seen: int, sizes: IntArray, max_age: int, equity: int, lot: IntArray,
    prices: FloatArray, sums: IntArray, terms: Any, known: FloatArray, read: IntArray,
) -> Any:  # fmt: skip
    """Let an entry wait for the next bar where the gate allows: (whether it does, whether all was exact)."""
    if not 0.0 < close < math.inf or at - seen > max_age or lot[table.BUYING, p] > 0:
        return False, True
    digits, places = table.digits_of_price(close, p, 1, known, read)
    amount, exact = _size(sizes[SIZE, p], sizes[SIZE_PLACES, p], digits, places, equity, terms)
    if not exact or amount == NOTHING:
        return False, exact
    allowed, sure = _allowed(amount, close, lot, prices, sums, terms)
    if not (allowed and sure):
        return False, sure
    lot[table.BUYING, p] = lot[table.BUY_AMOUNT, p] = np.int64(amount)
    lot[table.WAITS_UNTIL, p], lot[table.BUY_AT, p], lot[table.BUY_FILLS, p] = ends, at, 0
    prices[table.BUY_REFERENCE, p] = close
    return True, True


@compiled
def _above(edge: float, least: float) -> bool:
    """Whether a book takes an idea of that edge; without a least one it takes all."""
    return least == -math.inf or edge > least


@compiled
def _asked(at: int, source: int, least: float, said: FloatArray, opposed: BoolArray, lot: IntArray) -> bool:
    """Whether the desk would decide anything; notes which pairs are `opposed`."""
    asked = False
    for i in range(said.shape[0]):
        if said[i, SOURCE] == source:
            p = int(said[i, PLACE])
            if said[i, SIDE] < 0.0:
                opposed[p] = True
                asked |= lot[table.HELD, p] > 0
            else:
                asked |= lot[table.HELD, p] == 0 and _above(said[i, EDGE], least)
    held = stops = 0
    for p in range(lot.shape[1]):
        if lot[table.HELD, p] > 0:
            held += 1
            stops += lot[table.STOP_PLACES, p] != table.NONE
            asked |= lot[table.SELLING, p] > 0 or (
                lot[table.LEAVE_AT, p] != table.NONE and at >= lot[table.LEAVE_AT, p]
            )
        asked |= lot[table.BUYING, p] > 0
    return bool(asked or stops < held)


@compiled
def _decide(
    book: int, at: int, source: int, least: float, said: FloatArray, close: FloatArray, seen: IntArray,
    sizes: IntArray, max_age: int, lot: IntArray, prices: FloatArray, sums: IntArray, terms: Any, known: FloatArray,
    read: IntArray, entered: IntArray, entries: int,
) -> Any:  # fmt: skip
    """Exits, then entries in the order in which they were said, sized by one equity: (entries, whether all was exact).

    The rest of an entry is withdrawn when the sale of what it bought arrives: until then its cash is promised.
    """
    opposed = np.zeros(close.size, np.bool_)
    if not _asked(at, source, least, said, opposed, lot):
        return entries, True
    equity, exact = table.equity_of(lot, prices, sums, terms, known, read)
    if not exact:
        return entries, False
    sums[table.EQUITY], sums[table.PEAK] = equity, max(sums[table.PEAK], equity)
    for p in range(close.size):
        _leave(p, at, opposed[p], close[p], lot, prices)
    spoken = np.zeros(close.size, np.bool_)
    for i in range(said.shape[0]):
        p = int(said[i, PLACE])
        wanted = said[i, SOURCE] == source and said[i, SIDE] > 0.0 and _above(said[i, EDGE], least)
        if not wanted or lot[table.HELD, p] > 0 or spoken[p]:
            continue
        spoken[p] = True
        ends = int(said[i, LEAVES_AT])
        taken, exact = _enter(
            p, at, ends, close[p], seen[p], sizes, max_age, equity, lot, prices, sums, terms, known, read
        )
        if not exact:
            return entries, False
        if taken:
            entered[entries, 0], entered[entries, 1] = book, i
            entries += 1
    for p in range(close.size):
        if lot[table.SELLING, p] > 0:
            lot[table.BUYING, p] = 0
    return entries, True


@compiled
def _is_busy(lot: IntArray) -> bool:
    """Whether a book holds anything or waits to buy."""
    busy = False
    for p in range(lot.shape[1]):
        busy |= lot[table.HELD, p] > 0 or lot[table.BUYING, p] > 0
    return busy


@compiled
def _is_wanted(source: int, said: FloatArray) -> bool:
    """Whether the source of a book wants to buy anything."""
    wanted = False
    for i in range(said.shape[0]):
        wanted |= said[i, SOURCE] == source and said[i, SIDE] > 0.0
    return wanted


@compiled
def step(
    at: int, max_age: int, opened: int, opens: FloatArray, lows: FloatArray, closes: FloatArray, volumes: FloatArray,
    present: BoolArray, close: FloatArray, seen: IntArray, sizes: IntArray, said: FloatArray, sources: IntArray,
    least: FloatArray, became: IntArray, lots: IntArray, prices: FloatArray, sums: IntArray, row: IntArray,
    known: FloatArray, read: IntArray, trades: IntArray, entered: IntArray,
) -> tuple[int, int, int, bool]:  # fmt: skip
    """One slice of all books that are not AWAY: how many trades closed, entries, books it did not walk; by book.

    Also whether anything is held or waits to be bought in one of them.

    Bars (pairs,) that `opened` then; `close` (pairs,) of the newest bars known and when they were `seen`, `max_age` of
    one that an entry goes by; `sizes` (2, pairs): multipliers; `said` (ideas, SAID) in order; `sources` and `least`
    (books,): whose ideas, and above which edge. `lots` (books, LOT, pairs), `prices` (books, PRICES, pairs) and `sums`
    (books, SUMS) are the books, `became` (books,) what became of each; one that is UNFIT is as it was. `row` is of
    `terms_of`. `known` (2, pairs) and `read` (2, 2, pairs) keep decimals from slice to slice.
    """
    closed = entries = left = 0
    busy, terms = False, terms_of(row)
    lot_before, prices_before, sums_before = np.empty_like(lots[0]), np.empty_like(prices[0]), np.empty_like(sums[0])
    for book in range(sources.size):
        if became[book] == AWAY:
            left += 1
            continue
        lot, price, sum_ = lots[book], prices[book], sums[book]
        if not (_is_busy(lot) or _is_wanted(sources[book], said)):
            became[book] = FINE
            continue
        lot_before[:], prices_before[:], sums_before[:] = lot, price, sum_
        taken = entries
        done, exact = _settle(
            book, at, opened, opens, lows, closes, volumes, present, lot, price, sum_, terms, known, read, trades,
            closed,
        )  # fmt: skip
        if exact:
            taken, exact = _decide(
                book, at, sources[book], least[book], said, close, seen, sizes, max_age, lot, price, sum_, terms,
                known, read, entered, entries,
            )  # fmt: skip
        if exact:
            closed, entries, became[book] = done, taken, FINE
        else:
            lot[:], price[:], sum_[:], became[book] = lot_before, prices_before, sums_before, UNFIT
            left += 1
        busy = busy or _is_busy(lot)
    return closed, entries, left, busy
