"""What an order costs and how much of it a bar takes, in whole numbers: the arithmetic of compiled accounts.

Decimal rounds to 28 digits on the way; `bill`, `cut` and `affordable_surely` say whether that could make a difference,
so that who has to be exact can ask Decimal itself.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from .wide import (
    LARGEST_POWER,
    NOTHING,
    ONE,
    POWER_HIGH,
    POWER_LOW,
    U64,
    as_float,
    below,
    decimal_of,
    divided,
    rounded,
    times,
)
from .wide import times_power as shifted_up

MONEY_PLACES = 8
"""Of `MONEY_STEP`."""
TENS = 10.0 ** np.arange(64)
SURELY = 1.0 - 1e-9
CLEARLY = 1.000_001
"""Prices that differ by more are not compared digit by digit; nothing of a result depends on it."""

_EXACT = 0.99e28
"""Below it a whole number has at most 28 digits: Decimal keeps it as it is."""
_FITS, _FITS_64 = 1e37, 4e18
"""What numbers of 128 and of 64 bits surely hold."""
_NEAR = 1e-8
"""Of a step: rounding to 28 digits moves what is larger than `_EXACT` by less, amounts of money being what they are."""


class Terms(NamedTuple):
    """What the account's settings come to; a ratio is digits and places: 0.0026 is (26, 4)."""

    cash: int
    decimals: int
    fee: int
    fee_places: int
    slippage: int
    slippage_places: int
    kept: int
    kept_places: int
    share: int
    share_places: int
    volume: int
    volume_places: int
    most: int
    horizon_ms: int


@njit(cache=True)
def terms_of(row: Any) -> Any:
    """The terms out of a row of their numbers: to hand over a tuple of so many costs more than a slice of a book."""
    return Terms(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9], row[10], row[11], row[12],
        row[13],
    )  # fmt: skip


@njit(cache=True)
def money(amount: Any, high: Any, low: Any, places: int, terms: Terms) -> Any:
    """(notional, fee, slippage) of an amount at a price, each booked to the money step."""
    total_high, total_low = times(high, low, amount)
    down = places + terms.decimals - MONEY_PLACES
    fee_high, fee_low = times(total_high, total_low, U64(terms.fee))
    slip_high, slip_low = times(total_high, total_low, U64(terms.slippage))
    return (
        rounded(total_high, total_low, down),
        rounded(fee_high, fee_low, down + terms.fee_places),
        rounded(slip_high, slip_low, down + terms.slippage_places),
    )


@njit(cache=True)
def _quotient(amount: Any, power: int, by_high: Any, by_low: Any) -> Any:
    """amount * 10**power / by, cut to a whole number; `power` may be negative."""
    if power >= 0:
        high, low = shifted_up(NOTHING, amount, power)
        return divided(high, low, by_high, by_low)[0]
    by_high, by_low = shifted_up(by_high, by_low, -power)
    return divided(NOTHING, amount, by_high, by_low)[0]


@njit(cache=True)
def under(high: Any, low: Any, places: int, other_high: Any, other_low: Any, other_places: int) -> bool:
    """Whether the first price is lower than the second, both digits and places."""
    if places < other_places:
        high, low = shifted_up(high, low, other_places - places)
    else:
        other_high, other_low = shifted_up(other_high, other_low, places - other_places)
    return bool(below(high, low, other_high, other_low))


@njit(cache=True)
def stop_reached(lowest: float, stop: float, high: Any, low: Any, places: int) -> Any:
    """(whether the low of a bar reaches a stop, whether that is known); the stop as a float and exactly."""
    if lowest > stop * CLEARLY:
        return False, True
    if lowest * CLEARLY < stop:
        return True, True
    digits, found = decimal_of(lowest)
    if found < 0:
        return False, False
    return not under(high, low, places, NOTHING, digits, found), True


@njit(cache=True)
def _with_costs(digits: Any, terms: Terms) -> Any:
    """(high, low, further places): what one whole unit costs with fee and slippage."""
    finest = max(terms.fee_places, terms.slippage_places)
    whole = POWER_LOW[finest]
    whole += U64(terms.fee) * POWER_LOW[finest - terms.fee_places]
    whole += U64(terms.slippage) * POWER_LOW[finest - terms.slippage_places]
    high, low = times(NOTHING, digits, whole)
    return high, low, finest


@njit(cache=True)
def affordable(cash: int, digits: Any, places: int, terms: Terms) -> Any:
    """The amount that cash buys with its costs; two money steps are kept back for what rounds up."""
    spare = U64(max(cash - 2, 0))
    high, low, finest = _with_costs(digits, terms)
    return _quotient(spare, places + finest + terms.decimals - MONEY_PLACES, high, low)


@njit(cache=True)
def room_of(volume: float, most: Any, terms: Terms) -> Any:
    """(how much of a bar's volume the orders of a pair may take together, whether it is known).

    Where the volume is clearly more than enough, `most` itself: an order takes no more.
    """
    if not volume > 0.0:
        return NOTHING, True
    limit = volume * terms.volume / TENS[terms.volume_places] * TENS[terms.decimals]
    if limit * SURELY > float(most) + 1.0:
        return most, True
    digits, places = decimal_of(volume)
    if places < 0:
        return NOTHING, False
    high, low = times(NOTHING, digits, U64(terms.volume))
    down = places + terms.volume_places - terms.decimals
    if down <= 0:
        return shifted_up(high, low, -down)[1], True
    return divided(high, low, POWER_HIGH[down], POWER_LOW[down])[0], True


@njit(cache=True)
def _rounded_surely(high: Any, low: Any, power: int) -> Any:
    """(`rounded`, whether that is what Decimal comes to)."""
    value = as_float(high, low)
    if power <= 0:
        steps = value * TENS[-power]
        return rounded(high, low, power), steps < _FITS_64
    if power > LARGEST_POWER or value > _FITS or value / TENS[power] > _FITS_64:
        return NOTHING, False
    quotient, rest_high, rest_low = divided(high, low, POWER_HIGH[power], POWER_LOW[power])
    rest = as_float(rest_high, rest_low) / TENS[power]
    if abs(rest - 0.5) > _NEAR:
        return quotient + (ONE if rest > 0.5 else NOTHING), True
    return rounded(high, low, power), value < _EXACT


@njit(cache=True)
def worth(amount: Any, high: Any, low: Any, places: int, terms: Terms) -> Any:
    """(what an amount is worth at a price in money steps, whether that is what Decimal comes to)."""
    if float(amount) * as_float(high, low) > _FITS:
        return NOTHING, False
    total_high, total_low = times(high, low, amount)
    return _rounded_surely(total_high, total_low, places + terms.decimals - MONEY_PLACES)


@njit(cache=True)
def bill(amount: Any, high: Any, low: Any, places: int, terms: Terms) -> Any:
    """`money`, and whether that is what Decimal comes to."""
    if float(amount) * as_float(high, low) * max(terms.fee, terms.slippage, 1) > _FITS:
        return NOTHING, NOTHING, NOTHING, False
    total_high, total_low = times(high, low, amount)
    fee_high, fee_low = times(total_high, total_low, U64(terms.fee))
    slip_high, slip_low = times(total_high, total_low, U64(terms.slippage))
    down = places + terms.decimals - MONEY_PLACES
    notional, first = _rounded_surely(total_high, total_low, down)
    fee, second = _rounded_surely(fee_high, fee_low, down + terms.fee_places)
    slippage, third = _rounded_surely(slip_high, slip_low, down + terms.slippage_places)
    return notional, fee, slippage, first and second and third


@njit(cache=True)
def cut(high: Any, low: Any, power: int, by_high: Any, by_low: Any) -> Any:
    """((high, low) * 10**power / by, cut to a whole number, whether Decimal cuts it there, too)."""
    up, down = TENS[max(power, 0)], TENS[max(-power, 0)]
    over, under = as_float(high, low) * up, as_float(by_high, by_low) * down
    if over > _FITS or under > _FITS or over > under * _FITS_64 or max(power, -power) > LARGEST_POWER:
        return NOTHING, False
    if power >= 0:
        high, low = shifted_up(high, low, power)
    else:
        by_high, by_low = shifted_up(by_high, by_low, -power)
    quotient, rest_high, rest_low = divided(high, low, by_high, by_low)
    return quotient, as_float(rest_high, rest_low) < under * (1.0 - _NEAR)


@njit(cache=True)
def affordable_surely(cash: int, digits: Any, places: int, terms: Terms) -> Any:
    """`affordable`, and whether that is what Decimal comes to."""
    high, low, finest = _with_costs(digits, terms)
    return cut(NOTHING, U64(max(cash - 2, 0)), places + finest + terms.decimals - MONEY_PLACES, high, low)


def digits_of(ratio: Decimal) -> tuple[int, int]:
    """(digits, places) without trailing zeros: digits * 10**-places.

    >>> digits_of(Decimal("0.0010")), digits_of(Decimal(1)), digits_of(Decimal("1E+1"))
    ((1, 3), (1, 0), (10, 0))
    """
    _, digits, exponent = ratio.normalize().as_tuple()
    whole = int("".join(map(str, digits)))
    assert isinstance(exponent, int), "the settings refuse what is not finite"
    return (whole * 10**exponent, 0) if exponent > 0 else (whole, -exponent)
