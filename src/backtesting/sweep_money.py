"""What an order costs and how much of it a bar takes, in whole numbers: the arithmetic of a sweep's account."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from .wide import NOTHING, POWER_HIGH, POWER_LOW, U64, decimal_of, divided, rounded, times
from .wide import times_power as shifted_up

MONEY_PLACES = 8
"""Of `MONEY_STEP`."""
TENS = 10.0 ** np.arange(64)
SURELY = 1.0 - 1e-9


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
def affordable(cash: int, digits: Any, places: int, terms: Terms) -> Any:
    """The amount that cash buys with its costs; two money steps are kept back for what rounds up."""
    spare = U64(max(cash - 2, 0))
    finest = max(terms.fee_places, terms.slippage_places)
    whole = POWER_LOW[finest]
    whole += U64(terms.fee) * POWER_LOW[finest - terms.fee_places]
    whole += U64(terms.slippage) * POWER_LOW[finest - terms.slippage_places]
    high, low = times(NOTHING, digits, whole)
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
