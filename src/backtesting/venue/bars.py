"""Bars as a simulated exchange meets them: what paper trading moves its market with."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from decimal import Decimal

from ...core.portfolio import ZERO, money, price_in
from ...core.types import BarBlock, Pair
from .matching import Span


def spans(block: BarBlock, max_volume_ratio: Decimal, pairs: Collection[Pair] | None = None) -> Iterator[Span]:
    """A span for every pair (of `pairs`) that has a bar, by the pairs' order.

    Orders together may take that share of its volume. DataError for an open, high or low that is no price.
    """
    for index, pair in enumerate(block.pairs):
        if pairs is not None and pair not in pairs:
            continue
        bar = block.bar(index)
        if bar is None:
            continue
        opening, high, low = (
            price_in(bar.pair, bar.opened, name, value)
            for name, value in (("open", bar.open), ("high", bar.high), ("low", bar.low))
        )
        room = money(bar.volume) * max_volume_ratio if bar.volume > 0 else ZERO
        yield Span(bar.pair, bar.opened, opening, high, low, room)
