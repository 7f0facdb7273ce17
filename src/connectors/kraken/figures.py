"""Which numbers of an exchange's message are believed, and under which cause the others are counted."""

from __future__ import annotations

from decimal import Decimal

LARGEST = Decimal(10) ** 18
"""No price and no amount has as many digits; with eight decimals it is still exact in the 28 digits of a Decimal."""
FINEST_DECIMALS = 18
"""No venue writes finer; the smallest unit of any coin."""
FINEST = Decimal(1).scaleb(-FINEST_DECIMALS)


class Unbelievable(Exception):
    """A value that cannot be what the protocol promises; `cause` is the name under which it is counted."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


def positive(value: object) -> Decimal:
    """A price or an amount above zero; Unbelievable otherwise."""
    number = not_negative(value)
    if not number:
        raise Unbelievable("zero")
    return number


def not_negative(value: object) -> Decimal:
    """A quantity that may be zero; Unbelievable for all that is no plain JSON number in range."""
    number = _number(value)
    if number.is_signed():
        raise Unbelievable("negative" if number else "negative_zero")
    if number and not FINEST <= number < LARGEST:
        raise Unbelievable("too_large" if number >= LARGEST else "too_small")
    return number


def whole(value: object) -> int:
    """A count or a number of something, not below zero; Unbelievable otherwise."""
    if type(value) is not int:
        raise Unbelievable(_kind(value))
    if value < 0:
        raise Unbelievable("negative")
    if value >= LARGEST:
        raise Unbelievable("too_large")
    return value


def _number(value: object) -> Decimal:
    if type(value) is Decimal:
        if not value.is_finite():
            raise Unbelievable("not_finite")
        return value
    if type(value) is int:
        return Decimal(value)
    raise Unbelievable(_kind(value))


def _kind(value: object) -> str:
    """What stands where a number should."""
    if value is None:
        return "missing"
    names = {bool: "bool", str: "string", list: "list", dict: "object", Decimal: "fraction"}
    return names.get(type(value), "other")
