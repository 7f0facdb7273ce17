"""One account over a whole history in a compiled loop: exits, sizes, fills and costs of the engine, to the last digit.

What `Desk`, `FixedSupervisor`, `RiskGate` and `SimulatedExchange` do together is written down here a second time, so
that a search over thousands of settings takes seconds; tests hold both to the same trades. Money is whole numbers of
`MONEY_STEP`, amounts whole numbers of their own step, prices exact decimals. Only whether cash suffices at the gate
is compared in floats (14 digits); Decimal, too, rounds there, to 28 digits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from ..core.leaving import HORIZON, OPPOSITE, STOP
from ..core.leaving import REASONS as REASONS
from ..core.types import BoolArray, FloatArray, IntArray
from ..core.whole_money import CLEARLY, TENS, affordable, money, room_of, stop_reached, under
from ..core.whole_money import MONEY_PLACES as MONEY_PLACES
from ..core.whole_money import Terms as Terms
from ..core.wide import NOTHING, TWO, U64, as_float, decimal_of, divided, rounded, times
from ..core.wide import times_power as shifted_up

NO_HORIZON = -1
FINE, NO_DECIMAL = range(2)
"""What became of a walk: done, or a price or volume has no decimal that fits."""

PAIR, ENTRY_AT, EXIT_AT, AMOUNT, PAID, RECEIVED, VALUE, FEES, SLIPPAGE, REASON, LEAVE_AT, COLUMNS = range(12)
"""Columns of the trade table. `VALUE` is the notional that was bought, `PAID` and `RECEIVED` include costs."""


class Tape(NamedTuple):
    """The bars, (times, pairs), and when each row became known."""

    times: IntArray
    open: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    present: BoolArray


class Lots(NamedTuple):
    """What is held, waits and rests, (figures, pairs): whole steps, floats, and whole numbers with a sign.

    Three arrays instead of one a figure: every call in a compiled loop counts the references of each array it is given.
    """

    whole: Any
    floats: FloatArray
    ints: IntArray


_HELD, _BOUGHT, _BUYING, _SELLING, _STOP_HIGH, _STOP_LOW, _WHOLE = range(7)
_STOP, _MARK, _PROMISED, _FLOATS = range(4)
_PAID, _RECEIVED, _VALUE, _FEES, _SLIPPAGE, _ENTRY_AT, _SUMS = range(7)
_STOP_PLACES, _LEAVE_AT, _WAITS_UNTIL, _WHY, _INTS = range(_SUMS, _SUMS + 5)
_UNARMED = -1


def empty(pairs: int) -> Lots:
    """Nothing held, nothing waiting."""
    ints = np.zeros((_INTS, pairs), np.int64)
    ints[_STOP_PLACES], ints[_LEAVE_AT], ints[_WAITS_UNTIL] = _UNARMED, NO_HORIZON, NO_HORIZON
    return Lots(np.zeros((_WHOLE, pairs), U64), np.zeros((_FLOATS, pairs)), ints)


@njit(cache=True)
def _stopped(lowest: float, p: int, lots: Lots) -> Any:
    """(whether the low of a bar reaches the stop, whether that is known)."""
    high, low = lots.whole[_STOP_HIGH, p], lots.whole[_STOP_LOW, p]
    return stop_reached(lowest, lots.floats[_STOP, p], high, low, lots.ints[_STOP_PLACES, p])


@njit(cache=True)
def _buy(p: int, at: int, digits: Any, places: int, room: Any, cash: int, lots: Lots, terms: Terms) -> Any:
    """Fill what waits to be bought; (cash, amount). What cash does not allow is dropped."""
    amount = min(lots.whole[_BUYING, p], room)
    notional, fee, slippage = money(amount, NOTHING, digits, places, terms)
    left = lots.whole[_BUYING, p] - amount
    if cash < np.int64(notional + fee + slippage):
        amount, left = affordable(cash, digits, places, terms), NOTHING
        notional, fee, slippage = money(amount, NOTHING, digits, places, terms)
    lots.whole[_BUYING, p] = left
    if amount == NOTHING:
        return cash, amount
    sums = lots.ints[:_SUMS, p]
    if lots.whole[_HELD, p] == NOTHING:
        sums[:] = 0
        sums[_ENTRY_AT], lots.ints[_LEAVE_AT, p], lots.whole[_BOUGHT, p] = at, lots.ints[_WAITS_UNTIL, p], NOTHING
        lots.whole[_STOP_HIGH, p], lots.whole[_STOP_LOW, p] = times(NOTHING, digits, U64(terms.kept))
        lots.ints[_STOP_PLACES, p] = places + terms.kept_places
        lots.floats[_STOP, p] = (
            as_float(lots.whole[_STOP_HIGH, p], lots.whole[_STOP_LOW, p]) / TENS[lots.ints[_STOP_PLACES, p]]
        )
    paid = np.int64(notional + fee + slippage)
    sums[_PAID] += paid
    sums[_VALUE] += np.int64(notional)
    sums[_FEES] += np.int64(fee)
    sums[_SLIPPAGE] += np.int64(slippage)
    lots.whole[_HELD, p] += amount
    lots.whole[_BOUGHT, p] += amount
    return cash - paid, amount


@njit(cache=True)
def _sell(p: int, high: Any, low: Any, places: int, amount: Any, cash: int, lots: Lots, terms: Terms) -> int:
    """Sell so much of what is held; the cash there is then."""
    notional, fee, slippage = money(amount, high, low, places, terms)
    received = np.int64(notional) - np.int64(fee) - np.int64(slippage)
    sums = lots.ints[:_SUMS, p]
    sums[_RECEIVED] += received
    sums[_FEES] += np.int64(fee)
    sums[_SLIPPAGE] += np.int64(slippage)
    lots.whole[_HELD, p] -= amount
    if lots.whole[_SELLING, p] > NOTHING:
        lots.whole[_SELLING, p] -= amount
    return int(cash + received)


@njit(cache=True)
def _close(p: int, at: int, why: int, lots: Lots, trade: IntArray) -> None:
    """Write a finished trade down; nothing of it waits or rests any more."""
    sums = lots.ints[:_SUMS, p]
    trade[PAIR], trade[ENTRY_AT], trade[EXIT_AT], trade[AMOUNT] = (
        p,
        sums[_ENTRY_AT],
        at,
        np.int64(lots.whole[_BOUGHT, p]),
    )
    trade[PAID], trade[RECEIVED], trade[VALUE] = sums[_PAID], sums[_RECEIVED], sums[_VALUE]
    trade[FEES], trade[SLIPPAGE], trade[REASON], trade[LEAVE_AT] = (
        sums[_FEES],
        sums[_SLIPPAGE],
        why,
        lots.ints[_LEAVE_AT, p],
    )
    lots.whole[_SELLING, p], lots.ints[_STOP_PLACES, p] = NOTHING, _UNARMED


@njit(cache=True)
def _trade_bar(
    p: int, at: int, opening: float, lowest: float, volume: float, cash: int, lots: Lots, terms: Terms, trade: IntArray
) -> Any:
    """What the exchange does inside one bar of a pair: (cash, whether a trade closed, whether all was exact)."""
    most = TWO * (
        lots.whole[_BUYING, p] + lots.whole[_HELD, p]
    )  # what is bought may be stopped out of inside the same bar
    if lots.whole[_BUYING, p] == NOTHING and lots.whole[_SELLING, p] == NOTHING:
        reached, sure = _stopped(lowest, p, lots)
        if not reached:
            return cash, False, sure
    digits, places = decimal_of(opening)
    room, sure = room_of(volume, most, terms)
    if places < 0 or not sure:
        return cash, False, False
    if lots.whole[_BUYING, p] > NOTHING:
        cash, taken = _buy(p, at, digits, places, room, cash, lots, terms)
        room -= taken
    elif lots.whole[_SELLING, p] > NOTHING:
        amount = min(lots.whole[_SELLING, p], room)
        if amount > NOTHING:
            cash = _sell(p, NOTHING, digits, places, amount, cash, lots, terms)
            room -= amount
            if lots.whole[_HELD, p] == NOTHING:
                _close(p, at, lots.ints[_WHY, p], lots, trade)
                return cash, True, True
    if lots.ints[_STOP_PLACES, p] == _UNARMED:
        return cash, False, True
    reached, sure = _stopped(lowest, p, lots)
    if not reached:
        return cash, False, sure
    return _stop_out(p, at, cash, digits, places, room, lots, terms, trade)


@njit(cache=True)
def _stop_out(
    p: int, at: int, cash: int, digits: Any, places: int, room: Any, lots: Lots, terms: Terms, trade: IntArray
) -> Any:
    """The stop is triggered: at its price, or at the open where that is below it; the rest goes on as a sale."""
    high, low, at_places = lots.whole[_STOP_HIGH, p], lots.whole[_STOP_LOW, p], lots.ints[_STOP_PLACES, p]
    if under(NOTHING, digits, places, high, low, at_places):
        high, low, at_places = NOTHING, digits, places
    lots.ints[_STOP_PLACES, p], lots.whole[_BUYING, p] = _UNARMED, NOTHING
    amount = min(lots.whole[_HELD, p], room)
    if amount > NOTHING:
        cash = _sell(p, high, low, at_places, amount, cash, lots, terms)
    if lots.whole[_HELD, p] == NOTHING:
        _close(p, at, STOP, lots, trade)
        return cash, True, True
    if lots.whole[_SELLING, p] == NOTHING:
        lots.whole[_SELLING, p], lots.ints[_WHY, p] = lots.whole[_HELD, p], STOP
    return cash, False, True


@njit(cache=True)
def _equity(cash: int, lots: Lots, terms: Terms) -> Any:
    """(cash and holdings at their newest closes in money steps, whether all was exact)."""
    total = cash
    for p in range(lots.whole.shape[1]):
        if lots.whole[_HELD, p] > NOTHING:
            digits, places = decimal_of(lots.floats[_MARK, p])
            if places < 0:
                return total, False
            high, low = times(NOTHING, digits, lots.whole[_HELD, p])
            total += int(rounded(high, low, places + terms.decimals - MONEY_PLACES))
    return total, True


@njit(cache=True)
def _leave(p: int, at: int, side: int, lots: Lots) -> None:
    """Withdraw an entry that is no longer wanted, sell what is held for too long or is opposed."""
    if lots.whole[_HELD, p] == NOTHING:
        over = lots.ints[_WAITS_UNTIL, p] != NO_HORIZON and at >= lots.ints[_WAITS_UNTIL, p]
        if lots.whole[_BUYING, p] > NOTHING and (side < 0 or over):
            lots.whole[_BUYING, p] = NOTHING
        return
    over = lots.ints[_LEAVE_AT, p] != NO_HORIZON and at >= lots.ints[_LEAVE_AT, p]
    if (side < 0 or over) and lots.whole[_SELLING, p] == NOTHING:
        lots.whole[_SELLING, p] = lots.whole[_HELD, p]
        lots.ints[_WHY, p] = OPPOSITE if side < 0 else HORIZON


@njit(cache=True)
def _objected(p: int, amount: Any, price: float, cash: int, lots: Lots, terms: Terms) -> bool:
    """Whether the gate lets no entry pass."""
    if amount == NOTHING or lots.whole[_HELD, p] > NOTHING or lots.whole[_BUYING, p] > NOTHING:
        return True
    busy, promised = 0, 0.0
    for q in range(lots.whole.shape[1]):
        if lots.whole[_HELD, q] > NOTHING or lots.whole[_BUYING, q] > NOTHING:
            busy += 1
        promised += lots.floats[_PROMISED, q] * float(lots.whole[_BUYING, q])
    sides = 1.0 + terms.fee / TENS[terms.fee_places] + terms.slippage / TENS[terms.slippage_places]
    needed = (float(amount) * price + promised) / TENS[terms.decimals] * sides
    return busy >= terms.most or needed > cash / TENS[MONEY_PLACES]


@njit(cache=True)
def _enter(p: int, at: int, price: float, equity: int, cash: int, lots: Lots, terms: Terms) -> bool:
    """Let an entry of the usual share wait for the next bar, where the gate allows; whether all was exact."""
    digits, places = decimal_of(price)
    if places < 0:
        return False
    high, low = times(NOTHING, U64(max(equity, 0)), U64(terms.share))
    power = places + terms.decimals - MONEY_PLACES - terms.share_places
    if power >= 0:
        high, low = shifted_up(high, low, power)
        amount = divided(high, low, NOTHING, digits)[0]
    else:
        by_high, by_low = shifted_up(NOTHING, digits, -power)
        amount = divided(high, low, by_high, by_low)[0]
    if not _objected(p, amount, price, cash, lots, terms):
        lots.whole[_BUYING, p], lots.floats[_PROMISED, p] = amount, price
        horizon = terms.horizon_ms
        lots.ints[_WAITS_UNTIL, p] = NO_HORIZON if horizon == NO_HORIZON else at + horizon
    return True


@njit(cache=True)
def walk(tape: Tape, sides: Any, lots: Lots, terms: Terms, trades: IntArray, equity: FloatArray) -> Any:
    """Walk an account over all rows: (trades, cash at the end in money steps, what became of it).

    `sides` (times, pairs) int8: the idea said at each row, +1 long, -1 out, 0 none. `trades` (n, COLUMNS) and `equity`
    (times,), marked in quote currency as floats, are filled.
    """
    cash, closed = terms.cash, 0
    unit, step = 10.0**-MONEY_PLACES, 10.0**-terms.decimals
    whole, floats, ints = lots.whole, lots.floats, lots.ints
    times_, opens, low, close, volume, present = tape.times, tape.open, tape.low, tape.close, tape.volume, tape.present
    rows, pairs = sides.shape
    for t in range(rows):
        asked, worth = False, 0.0
        for p in range(pairs):
            asked |= sides[t, p] != 0
            if whole[_HELD, p] == NOTHING and whole[_BUYING, p] == NOTHING:
                continue
            if present[t, p]:
                resting = whole[_BUYING, p] == NOTHING and whole[_SELLING, p] == NOTHING
                if not resting or low[t, p] <= floats[_STOP, p] * CLEARLY:
                    cash, done, exact = _trade_bar(
                        p, times_[t], opens[t, p], low[t, p], volume[t, p], cash, lots, terms, trades[closed]
                    )
                    closed += done
                    if not exact:
                        return closed, cash, NO_DECIMAL
                floats[_MARK, p] = close[t, p]
            over = ints[_LEAVE_AT, p] if whole[_HELD, p] > NOTHING else ints[_WAITS_UNTIL, p]
            asked |= over != NO_HORIZON and times_[t] >= over
            worth += float(whole[_HELD, p]) * step * floats[_MARK, p]
        equity[t] = cash * unit + worth
        if asked and not _decide(t, times_[t], cash, close, sides, lots, terms):
            return closed, cash, NO_DECIMAL
    return closed, cash, FINE


@njit(cache=True)
def _decide(t: int, at: int, cash: int, close: FloatArray, sides: Any, lots: Lots, terms: Terms) -> bool:
    """Exits, then entries of all pairs, sized by one equity; whether all was exact.

    The rest of an entry is withdrawn when the sale of what it bought arrives: until then its cash is promised.
    """
    entries, exact = False, True
    for p in range(sides.shape[1]):
        _leave(p, at, sides[t, p], lots)
        entries |= sides[t, p] > 0 and lots.whole[_HELD, p] == NOTHING
    if entries:
        equity, exact = _equity(cash, lots, terms)
        for p in range(sides.shape[1]):
            if exact and sides[t, p] > 0 and lots.whole[_HELD, p] == NOTHING:
                exact = _enter(p, at, close[t, p], equity, cash, lots, terms)
    for p in range(sides.shape[1]):
        if lots.whole[_SELLING, p] > NOTHING:
            lots.whole[_BUYING, p] = NOTHING
    return bool(exact)
