"""Reads a venue's numbers, which come as text or as JSON numbers, exactly and without believing everything."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from ...core.errors import Malformed

_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?")
_SHOWN = 60  # characters of a foreign text that a message repeats


class Numbers:
    """Reads what a venue says; its name begins every message about what it said."""

    def __init__(self, venue: str) -> None:
        self._venue = venue

    def decimal(self, value: object, what: str) -> Decimal:
        """`value` exactly, be it text, a whole number or a Decimal; Malformed for anything else, names `what`.

        >>> Numbers("kraken").decimal("0.01000000", "vol"), Numbers("kraken").decimal(5, "count")
        (Decimal('0.01000000'), Decimal('5'))
        """
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            return Decimal(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return Decimal(value)
        if isinstance(value, Decimal) and value.is_finite():
            return value
        raise Malformed(f"{self._venue}: {what} is {str(value)[:_SHOWN]!r}, no number")

    def price_of(self, value: object, what: str) -> Decimal | None:
        """A price; None for zero, which is how venues write that there is none. Malformed below zero."""
        found = self.decimal(value, what)
        if found < 0:
            raise Malformed(f"{self._venue}: {what} is {found}, no price")
        return found or None

    def milliseconds(self, value: object, what: str) -> int:
        """Seconds with a fraction, as text or number, as whole milliseconds, rounded down.

        >>> Numbers("kraken").milliseconds("1705259439.563999", "time")
        1705259439563
        """
        return int(self.decimal(value, what) * 1000)

    def load(self, body: bytes) -> Any:
        """JSON with numbers as Decimal; Malformed for what is none, NaN and Infinity included."""
        try:
            return json.loads(body, parse_float=self._finite, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            kind = "HTML, not JSON" if body.lstrip()[:1] == b"<" else str(error)[:_SHOWN]
            raise Malformed(f"{self._venue}: an answer that is no JSON ({kind})") from None

    def _finite(self, text: str) -> Decimal:
        return self.decimal(text, "a number")


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no number")
