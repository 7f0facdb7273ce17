"""The smallest words: names, sides, streams, arrays of numbers; the other nouns are made of them."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import NewType

import numpy as np
import numpy.typing as npt

from .errors import UsageError

Pair = NewType("Pair", str)
"""`BASE/QUOTE`, for instance `BTC/USDT`."""
AgentName = NewType("AgentName", str)
OrderId = NewType("OrderId", str)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

MONEY_STEP = Decimal("0.00000001")
"""Money is booked to eight decimals, the finest step of the venues; sums are then exact."""

NEVER = -(2**62)
"""A time before all times."""

Scalar = str | int | float | bool


def pair_of(text: str) -> Pair:
    """`BASE/QUOTE`, printable and without spaces: it is shown in terminals and names files. UsageError otherwise.

    >>> pair_of("BTC/USDT")
    'BTC/USDT'
    """
    base, _, quote = text.partition("/")
    if not (base and quote) or "/" in quote or " " in text or not text.isprintable():
        raise UsageError(f"pair {text[:40]!r}: write BASE/QUOTE, for instance BTC/USDT")
    return Pair(text)


class Side(StrEnum):
    """The direction of an idea, an intent, an order or a fill."""

    BUY = "buy"
    SELL = "sell"

    @property
    def other(self) -> Side:
        """The opposite side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Stream(StrEnum):
    """Whose profit and loss it is: the three streams that are compared, and the simple learners beside them."""

    BASELINE = "baseline"
    MYCELIAL = "mycelial"
    SYNTHESIZED = "synthesized"
    CONTROL = "control"


STREAMS = (Stream.BASELINE, Stream.MYCELIAL, Stream.SYNTHESIZED)
"""The three that are compared."""
