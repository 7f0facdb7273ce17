"""How Alpaca's numbers are read."""

from __future__ import annotations

from ..venues.numbers import Numbers

_NUMBERS = Numbers("alpaca")
decimal, price_of, load = _NUMBERS.decimal, _NUMBERS.price_of, _NUMBERS.load
