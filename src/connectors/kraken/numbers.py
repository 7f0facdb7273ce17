"""How Kraken's numbers are read."""

from __future__ import annotations

from ..venues.numbers import Numbers

_NUMBERS = Numbers("kraken")
decimal, price_of, milliseconds, load = _NUMBERS.decimal, _NUMBERS.price_of, _NUMBERS.milliseconds, _NUMBERS.load
