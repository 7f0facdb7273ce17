"""Whole numbers of 128 bits for compiled loops, because money has to be exact where Decimal is too slow.

A number is (high, low), two uint64. Nothing here checks for overflow: callers stay below 10**38.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

U64 = np.uint64
NOTHING, ONE, TWO = U64(0), U64(1), U64(2)
_LOW, _HALF, _WORD = U64(0xFFFFFFFF), U64(32), U64(64)
_TWO_64 = 2.0**64
LARGEST_POWER = 38
_POWERS = [10**power for power in range(LARGEST_POWER + 1)]
POWER_HIGH = np.array([power >> 64 for power in _POWERS], dtype=U64)
POWER_LOW = np.array([power & (2**64 - 1) for power in _POWERS], dtype=U64)
"""10**k as a number of 128 bits."""

_SURE_DIGITS = 1e15
"""A decimal of so many digits is the only one as short that reads as its double (IEEE 754: 15 digits survive)."""
_EXACT_POWERS = 10.0 ** np.arange(23)
"""The powers of ten that doubles hold exactly."""
_MANTISSA_BITS = 53


@njit(cache=True)
def times(high: Any, low: Any, factor: Any) -> Any:
    """(high, low) * factor, uint64 all."""
    a, b, c, d = low & _LOW, low >> _HALF, factor & _LOW, factor >> _HALF
    small, left, right = a * c, a * d, b * c
    middle = (small >> _HALF) + (left & _LOW) + (right & _LOW)
    carried = b * d + (left >> _HALF) + (right >> _HALF) + (middle >> _HALF)
    return carried + high * factor, (small & _LOW) | (middle << _HALF)


@njit(cache=True)
def times_power(high: Any, low: Any, power: int) -> Any:
    """(high, low) * 10**power."""
    while power > 19:
        high, low = times(high, low, POWER_LOW[19])
        power -= 19
    return times(high, low, POWER_LOW[power])


@njit(cache=True)
def minus(high: Any, low: Any, less_high: Any, less_low: Any) -> Any:
    """The difference, which is not below zero."""
    return high - less_high - (ONE if low < less_low else NOTHING), low - less_low


@njit(cache=True)
def below(high: Any, low: Any, other_high: Any, other_low: Any) -> bool:
    """Whether the first is the smaller one."""
    return bool(high < other_high or (high == other_high and low < other_low))


@njit(cache=True)
def as_float(high: Any, low: Any) -> float:
    """The nearest double or one of its neighbours."""
    return float(high) * _TWO_64 + float(low)


@njit(cache=True)
def divided(high: Any, low: Any, by_high: Any, by_low: Any) -> Any:
    """(quotient as uint64, remainder high, remainder low); the quotient is below 2**63.

    The estimate in floats is off by a few units at most; the exact remainder says how many.
    """
    if high == NOTHING and by_high == NOTHING:
        return low // by_low, NOTHING, low % by_low
    divisor = as_float(by_high, by_low)
    quotient = U64(as_float(high, low) / divisor)
    while True:
        product_high, product_low = times(by_high, by_low, quotient)
        if below(high, low, product_high, product_low):
            over_high, over_low = minus(product_high, product_low, high, low)
            quotient -= U64(as_float(over_high, over_low) / divisor) + ONE
            continue
        rest_high, rest_low = minus(high, low, product_high, product_low)
        if below(rest_high, rest_low, by_high, by_low):
            return quotient, rest_high, rest_low
        quotient += max(U64(as_float(rest_high, rest_low) / divisor), ONE)


@njit(cache=True)
def rounded(high: Any, low: Any, power: int) -> Any:
    """(high, low) / 10**power to the nearest whole uint64, halves to the even one; `power` may be negative."""
    if power <= 0:
        return times_power(high, low, -power)[1]
    quotient, rest_high, rest_low = divided(high, low, POWER_HIGH[power], POWER_LOW[power])
    twice_high, twice_low = times(rest_high, rest_low, TWO)
    if below(POWER_HIGH[power], POWER_LOW[power], twice_high, twice_low):
        return quotient + ONE
    half = twice_high == POWER_HIGH[power] and twice_low == POWER_LOW[power]
    return quotient + (quotient & ONE if half else NOTHING)


@njit(cache=True)
def _shifted(high: Any, low: Any, bits: int) -> Any:
    """(high, low) / 2**bits to the nearest uint64, halves to the even one; 0 < bits < 128."""
    if bits >= 64:
        power_high, power_low = ONE << U64(bits - 64), NOTHING
    else:
        power_high, power_low = NOTHING, ONE << U64(bits)
    if bits > 64:
        quotient = high >> U64(bits - 64)
        rest_high, rest_low = high - (quotient << U64(bits - 64)), low
    elif bits == 64:
        quotient, rest_high, rest_low = high, NOTHING, low
    else:
        quotient = (high << U64(64 - bits)) | (low >> U64(bits))
        rest_high, rest_low = NOTHING, low & (power_low - ONE)
    twice_high, twice_low = times(rest_high, rest_low, TWO)
    if below(power_high, power_low, twice_high, twice_low):
        return quotient + ONE
    half = twice_high == power_high and twice_low == power_low
    return quotient + (quotient & ONE if half else NOTHING)


@njit(cache=True)
def decimal_of(value: float) -> Any:
    """(digits as uint64, places): the shortest decimal that reads as `value`, digits * 10**-places; what repr writes.

    Of a positive float. Places are -1 where it does not fit: 16 digits or more below 1e-4 or from 1e16 on.
    """
    for places in range(23):
        digits = round(value * _EXACT_POWERS[places])
        if digits > _SURE_DIGITS:
            break
        if digits / _EXACT_POWERS[places] == value:
            return U64(digits), places
    if not 1e-4 <= value < 1e16:
        return NOTHING, -1
    fraction, exponent = math.frexp(value)
    whole, bits = U64(math.ldexp(fraction, _MANTISSA_BITS)), _MANTISSA_BITS - exponent
    if bits <= 0:
        return whole << U64(-bits), 0
    first = 15 - math.floor(math.log10(value))
    for places in range(max(first - 1, 0), first + 3):  # 16 digits, then 17; the logarithm may be off by one
        high, low = times_power(NOTHING, whole, places)
        digits_64 = _shifted(high, low, bits)
        if _reads_as(digits_64, places, high, low, bits):
            return digits_64, places
    return NOTHING, -1


@njit(cache=True)
def decimal_near(value: float, places: int) -> Any:
    """`decimal_of`; quicker where the shortest decimal has so many places, as the last price of a pair mostly had.

    A decimal of up to 15 digits that reads as `value` does so with a further 0, too: with one place fewer it would,
    were there a shorter one.
    """
    if 0 < places < _EXACT_POWERS.size:
        digits, fewer = round(value * _EXACT_POWERS[places]), round(value * _EXACT_POWERS[places - 1])
        reads = digits <= _SURE_DIGITS and digits / _EXACT_POWERS[places] == value
        if reads and fewer / _EXACT_POWERS[places - 1] != value:
            return U64(digits), places
    return decimal_of(value)


@njit(cache=True)
def _reads_as(digits: Any, places: int, high: Any, low: Any, bits: int) -> bool:
    """Whether digits * 10**-places is within half a step of the double whose whole * 10**places is (high, low)."""
    back_high, back_low = NOTHING, digits
    for _ in range(bits // 32):
        back_high, back_low = times(back_high, back_low, ONE << _HALF)
    back_high, back_low = times(back_high, back_low, ONE << U64(bits % 32))
    if below(back_high, back_low, high, low):
        off_high, off_low = minus(high, low, back_high, back_low)
    else:
        off_high, off_low = minus(back_high, back_low, high, low)
    twice_high, twice_low = times(off_high, off_low, TWO)
    return below(twice_high, twice_low, POWER_HIGH[places], POWER_LOW[places])
