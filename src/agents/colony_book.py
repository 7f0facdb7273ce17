"""A learner's simulated book: what its opinions would have earned decides whether it may speak.

The steps of one row, inlined into the loop over all of them.
"""

from __future__ import annotations

import math

from ..core.types import FloatArray, IntArray
from .colony_layout import (
    ALIVE,
    BOOK_ORDER,
    BOOK_PRICE,
    BOOK_RECENT,
    BOOK_SINCE,
    BOOK_TOTAL,
    EMPTY,
    ENTER,
    ENTRY,
    HORIZON,
    LEAVE,
    NO_ORDER,
    PAIR,
    SILENCED,
    TRADES,
    WINS,
    Knobs,
    Now,
    Rows,
    inlined,
)


@inlined
def _settle(rows: Rows, row: int, price: float, knobs: Knobs) -> None:
    """Close the simulated trade at `price`, both sides' costs paid, and let the book decide who may speak."""
    numbers, counts, book = rows.numbers, rows.counts, rows.book
    profit = price / numbers[row, BOOK_PRICE] * (1.0 - knobs.side_cost) / (1.0 + knobs.side_cost) - 1.0
    book[row, counts[row, TRADES] % book.shape[1]] = profit
    counts[row, TRADES] += 1
    counts[row, WINS] += profit > 0.0
    numbers[row, BOOK_TOTAL] += profit
    recent = numbers[row, BOOK_RECENT] + profit  # what the loop comes to while nothing was written over
    if counts[row, TRADES] > book.shape[1]:
        recent = 0.0
        for index in range(book.shape[1]):
            recent += book[row, index]
    numbers[row, BOOK_RECENT] = recent
    if counts[row, SILENCED] == 0:
        counts[row, SILENCED] = recent <= knobs.silence_profit and counts[row, TRADES] > knobs.silence_trades
    elif recent > knobs.voice_profit:
        counts[row, SILENCED] = 0


@inlined
def fill(rows: Rows, now: Now, knobs: Knobs, row: int) -> None:
    """Fill what was decided before at the open of this bar, the first after the decision."""
    counts = rows.counts
    price = now.open[counts[row, PAIR]]
    known = now.fresh[counts[row, PAIR]] and math.isfinite(price) and price > 0.0
    if counts[row, BOOK_ORDER] != NO_ORDER and known:
        if counts[row, BOOK_ORDER] == ENTER:
            rows.numbers[row, BOOK_PRICE] = price
            counts[row, BOOK_SINCE] = now.grid
        else:
            _settle(rows, row, price, knobs)
            counts[row, BOOK_SINCE] = EMPTY
        counts[row, BOOK_ORDER] = NO_ORDER


@inlined
def decide(
    numbers: FloatArray, counts: IntArray, row: int, fresh: bool, conviction: float, score: float, grid: int
) -> None:
    """Long only: enter on an own strong buy opinion, leave on a strong sell opinion or after the horizon."""
    if counts[row, ALIVE] and fresh and counts[row, BOOK_ORDER] == NO_ORDER:
        strong = score >= numbers[row, ENTRY]  # False while NaN
        if counts[row, BOOK_SINCE] == EMPTY:
            if strong and conviction > 0.0:
                counts[row, BOOK_ORDER] = ENTER
        elif grid - counts[row, BOOK_SINCE] + 1 >= counts[row, HORIZON] or (strong and conviction < 0.0):
            counts[row, BOOK_ORDER] = LEAVE
