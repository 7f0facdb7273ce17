"""Text to and from a venue: theirs is bounded and printable, our numbers are written without an exponent."""

from __future__ import annotations

from decimal import Decimal

from ...core.errors import Malformed

_SHOWN = 160  # characters of a foreign text that is handed on


def plain(value: object) -> str:
    """A foreign text in one printable line of bounded length."""
    return "".join(mark if mark.isprintable() else "?" for mark in str(value)[:_SHOWN])


def digits(number: Decimal) -> str:
    """All digits of a number.

    >>> digits(Decimal("1E-8"))
    '0.00000001'
    """
    return format(number, "f")


def price_digits(price: Decimal | None) -> str:
    """All digits of a price; Malformed where an order that needs one has none."""
    if price is None:
        raise Malformed("an order of this kind without its price")
    return digits(price)
