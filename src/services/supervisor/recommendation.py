"""What a policy says of one position: an action with its priority and its reason; it cannot be sent."""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum, StrEnum

import msgspec

from ...core.types import Pair


class Priority(IntEnum):
    """Who comes first. A missing stop is an emergency; a whole exit by rule stands between it and a part."""

    EMERGENCY = 0
    EXIT = 1
    PARTIAL = 2
    TRAILING = 3
    ENTRY = 4


class PolicyAction(StrEnum):
    """What is to be done with a position."""

    CLOSE = "close"
    PROTECT = "protect"
    SELL_PART = "sell_part"
    RAISE_STOP = "raise_stop"
    KEEP_BEST = "keep_best_stop"


class Recommendation(msgspec.Struct, frozen=True):
    """An opinion of a policy. `amount` in base units: of `SELL_PART` what is to be sold, else None. `stop`: a price.

    `by_price` says that it is worth nothing when the price is too old.
    """

    policy: str
    pair: Pair
    action: PolicyAction
    priority: Priority
    reason: str
    amount: Decimal | None = None
    stop: Decimal | None = None
    by_price: bool = True
