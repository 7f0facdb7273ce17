"""What a book on paper holds, waits for and is worth, in whole numbers, and what the exchange does inside a bar of it.

Money is whole numbers of `MONEY_STEP`, amounts whole numbers of their own step, prices exact decimals.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.compiled import compiled
from ..core.leaving import HORIZON as HORIZON
from ..core.leaving import OPPOSITE as OPPOSITE
from ..core.leaving import REASONS as REASONS
from ..core.leaving import STOP as STOP
from ..core.types import FloatArray, IntArray
from ..core.whole_money import TENS, affordable_surely, bill, room_of, stop_reached, under, worth
from ..core.wide import NOTHING, TWO, U64, as_float, decimal_near, times

NONE = -1
"""No horizon, no stop, no idea."""

HELD, BOUGHT, BUYING, SELLING, BUY_AMOUNT, SELL_AMOUNT, STOP_AMOUNT = range(7)
STOP_HIGH, STOP_LOW, STOP_PLACES, PAID, RECEIVED, VALUE, FEES, SLIPPAGE = range(7, 15)
ENTRY_AT, LEAVE_AT, WAITS_UNTIL, WHY, BUY_AT, SELL_AT, STOP_OF, BUY_FILLS, SELL_FILLS, MARKED_AT = range(15, 25)
LOT = 25
"""Whole figures (LOT, pairs) of a book: a holding, what waits to be bought and sold, the stop below it (`STOP_HIGH` and
`STOP_LOW` are the bits of its price's digits), what was booked. `STOP_OF`: when the order that brought the stop was
decided. What is sold after a stop that found too little volume waits with `WHY` STOP and is described by the stop."""
STOP_AT, MARK, BUY_REFERENCE, SELL_REFERENCE, STOP_REFERENCE = range(5)
PRICES = 5
"""Float figures (PRICES, pairs) of a book."""
CASH, PAID_FEES, PAID_SLIPPAGE, CLOSED, EQUITY, PEAK = range(6)
SUMS = 6
"""Sums of a book."""
BOOK, PAIR, NUMBER, T_ENTRY, T_EXIT, T_AMOUNT, T_PAID, T_RECEIVED, T_VALUE, T_FEES, T_SLIPPAGE, T_WHY, T_LEAVE = range(
    13
)
TRADE = 13
"""Columns of a trade that closed; `PaperBooks` reads them in this order."""


@compiled
def digits_of_price(value: float, p: int, slot: int, known: FloatArray, read: IntArray) -> Any:
    """Decimals of the opens (slot 0) and closes (slot 1) of pairs, which all books share; the last of each is kept."""
    if known[slot, p] != value:
        digits, places = decimal_near(value, read[slot, 1, p])
        known[slot, p], read[slot, 0, p], read[slot, 1, p] = value, np.int64(digits), places
    return U64(read[slot, 0, p]), read[slot, 1, p]


@compiled
def _arm(
    p: int, at: int, opening: float, digits: Any, places: int, lot: IntArray, prices: FloatArray, terms: Any
) -> None:
    """A holding begins, and its stop rests."""
    for column in range(PAID, ENTRY_AT):
        lot[column, p] = 0
    lot[BOUGHT, p], lot[ENTRY_AT, p], lot[LEAVE_AT, p] = 0, at, lot[WAITS_UNTIL, p]
    high, low = times(NOTHING, digits, U64(terms.kept))
    lot[STOP_HIGH, p], lot[STOP_LOW, p], lot[STOP_PLACES, p] = np.int64(high), np.int64(low), places + terms.kept_places
    lot[STOP_OF, p] = lot[BUY_AT, p]
    prices[STOP_AT, p], prices[STOP_REFERENCE, p] = as_float(high, low) / TENS[places + terms.kept_places], opening


@compiled
def _buy(
    p: int, at: int, opening: float, digits: Any, places: int, room: Any, lot: IntArray, prices: FloatArray,
    sums: IntArray, terms: Any,
) -> Any:  # fmt: skip
    """Fill what waits to be bought: (the amount, whether all was exact). What cash does not allow is dropped."""
    amount = min(U64(lot[BUYING, p]), room)
    notional, fee, slippage, exact = bill(amount, NOTHING, digits, places, terms)
    left = U64(lot[BUYING, p]) - amount
    if exact and sums[CASH] < np.int64(notional + fee + slippage):
        amount, exact = affordable_surely(sums[CASH], digits, places, terms)
        left = NOTHING
        if exact:
            notional, fee, slippage, exact = bill(amount, NOTHING, digits, places, terms)
    if not exact:
        return NOTHING, False
    lot[BUYING, p] = np.int64(left)
    if amount == NOTHING:
        return amount, True
    lot[BUY_FILLS, p] += 1
    if lot[HELD, p] == 0:
        _arm(p, at, opening, digits, places, lot, prices, terms)
        lot[STOP_AMOUNT, p] = np.int64(amount)
    paid = np.int64(notional + fee + slippage)
    lot[PAID, p] += paid
    lot[VALUE, p] += np.int64(notional)
    lot[HELD, p] += np.int64(amount)
    lot[BOUGHT, p] += np.int64(amount)
    _charge(p, fee, slippage, lot, sums)
    sums[CASH] -= paid
    return amount, True


@compiled
def _charge(p: int, fee: Any, slippage: Any, lot: IntArray, sums: IntArray) -> None:
    lot[FEES, p] += np.int64(fee)
    lot[SLIPPAGE, p] += np.int64(slippage)
    sums[PAID_FEES] += np.int64(fee)
    sums[PAID_SLIPPAGE] += np.int64(slippage)


@compiled
def _sell(p: int, high: Any, low: Any, places: int, amount: Any, lot: IntArray, sums: IntArray, terms: Any) -> bool:
    """Sell so much of what is held; whether all was exact."""
    notional, fee, slippage, exact = bill(amount, high, low, places, terms)
    if not exact:
        return False
    received = np.int64(notional) - np.int64(fee) - np.int64(slippage)
    lot[RECEIVED, p] += received
    lot[HELD, p] -= np.int64(amount)
    _charge(p, fee, slippage, lot, sums)
    sums[CASH] += received
    return True


@compiled
def _close(p: int, at: int, why: int, lot: IntArray, sums: IntArray, trade: IntArray) -> None:
    """Write a finished trade down; nothing of it waits or rests any more."""
    sums[CLOSED] += 1
    trade[PAIR], trade[NUMBER], trade[T_ENTRY], trade[T_EXIT] = p, sums[CLOSED], lot[ENTRY_AT, p], at
    trade[T_AMOUNT], trade[T_PAID], trade[T_RECEIVED] = lot[BOUGHT, p], lot[PAID, p], lot[RECEIVED, p]
    trade[T_VALUE], trade[T_FEES], trade[T_SLIPPAGE] = lot[VALUE, p], lot[FEES, p], lot[SLIPPAGE, p]
    trade[T_WHY], trade[T_LEAVE] = why, lot[LEAVE_AT, p]
    lot[SELLING, p], lot[BUYING, p], lot[STOP_PLACES, p] = 0, 0, NONE


@compiled
def fill_pair(
    p: int, at: int, opened: int, opening: float, lowest: float, volume: float, lot: IntArray, prices: FloatArray,
    sums: IntArray, terms: Any, known: FloatArray, read: IntArray, trade: IntArray,
) -> Any:  # fmt: skip
    """What the exchange does inside one bar of a pair: (whether a trade closed, whether all was exact)."""
    if not (0.0 < opening < math.inf and 0.0 < lowest < math.inf):
        return False, False
    most = TWO * U64(lot[BUYING, p] + lot[HELD, p])  # what is bought may be stopped out of inside the same bar
    digits, places = digits_of_price(opening, p, 0, known, read)
    room, sure = room_of(volume, most, terms)
    if places < 0 or not sure:
        return False, False
    if lot[BUYING, p] > 0 and opened >= lot[BUY_AT, p]:
        taken, exact = _buy(p, at, opening, digits, places, room, lot, prices, sums, terms)
        if not exact:
            return False, False
        room -= taken
    elif lot[SELLING, p] > 0 and opened >= lot[SELL_AT, p]:
        amount = min(U64(lot[SELLING, p]), room)
        if amount > NOTHING:
            if not _sell(p, NOTHING, digits, places, amount, lot, sums, terms):
                return False, False
            room -= amount
            lot[SELLING, p] -= np.int64(amount)
            lot[SELL_FILLS, p] += 1
            if lot[HELD, p] == 0:
                _close(p, at, lot[WHY, p], lot, sums, trade)
                return True, True
    if lot[STOP_PLACES, p] == NONE:
        return False, True
    high, low = U64(lot[STOP_HIGH, p]), U64(lot[STOP_LOW, p])
    reached, sure = stop_reached(lowest, prices[STOP_AT, p], high, low, lot[STOP_PLACES, p])
    if not (reached and sure):
        return False, sure
    return _stop_out(p, at, digits, places, room, lot, sums, terms, trade)


@compiled
def _stop_out(
    p: int, at: int, digits: Any, places: int, room: Any, lot: IntArray, sums: IntArray, terms: Any, trade: IntArray
) -> Any:
    """The stop is triggered: at its price, or at the open where that is below it; the rest goes on as a sale."""
    high, low, at_places = U64(lot[STOP_HIGH, p]), U64(lot[STOP_LOW, p]), lot[STOP_PLACES, p]
    if under(NOTHING, digits, places, high, low, at_places):
        high, low, at_places = NOTHING, digits, places
    lot[STOP_PLACES, p], lot[BUYING, p] = NONE, 0
    amount = min(U64(lot[HELD, p]), room)
    if amount > NOTHING and not _sell(p, high, low, at_places, amount, lot, sums, terms):
        return False, False
    if lot[HELD, p] == 0:
        _close(p, at, STOP, lot, sums, trade)
        return True, True
    if lot[SELLING, p] > 0:
        return False, False  # a sale that waits and the rest of a stop: there is place for one of them
    lot[SELLING, p], lot[WHY, p], lot[SELL_AT, p] = lot[HELD, p], STOP, lot[ENTRY_AT, p]
    lot[SELL_FILLS, p] = 1 if amount > NOTHING else 0
    return False, True


@compiled
def equity_of(lot: IntArray, prices: FloatArray, sums: IntArray, terms: Any, known: FloatArray, read: IntArray) -> Any:
    """(cash and holdings at their newest closes in money steps, whether all was exact)."""
    total = sums[CASH]
    for p in range(lot.shape[1]):
        if lot[HELD, p] > 0:
            mark = prices[MARK, p]
            if not 0.0 < mark < math.inf:
                return total, False
            digits, places = digits_of_price(mark, p, 1, known, read)
            if places < 0:
                return total, False
            steps, exact = worth(U64(lot[HELD, p]), NOTHING, digits, places, terms)
            if not exact:
                return total, False
            total += np.int64(steps)
    return total, True
