"""How much of the usual size an entry gets: the product of all who may say something about it, never above a cap."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from ..core.portfolio import ZERO

ONE = Decimal(1)


class SizeParts(msgspec.Struct, frozen=True):
    """The parts of the multiplier; 1 of whom nobody asks. None may be negative."""

    probation: Decimal = ONE
    regime: Decimal = ONE
    behaviour: Decimal = ONE
    kelly: Decimal = ONE


def size_multiplier(parts: SizeParts, cap: Decimal) -> Decimal:
    """min(cap, probation x regime x behaviour x Kelly), and 0 where a part is no number or negative.

    >>> size_multiplier(SizeParts(probation=Decimal("0.5"), regime=Decimal("1.2")), ONE)
    Decimal('0.60')
    >>> size_multiplier(SizeParts(regime=Decimal("1.2")), ONE), size_multiplier(SizeParts(kelly=Decimal("NaN")), ONE)
    (Decimal('1'), Decimal('0'))
    """
    factors = (parts.probation, parts.regime, parts.behaviour, parts.kelly)
    product = ONE
    for factor in factors:
        if not factor.is_finite() or factor < 0:
            return ZERO
        product = product if factor == ONE else product * factor
    return min(cap, product)
