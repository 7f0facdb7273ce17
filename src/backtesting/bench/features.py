"""What the features of a pair and bar cost: from a whole history at once, and bar by bar."""

from __future__ import annotations

from ...core.indicators import BatchSource
from ...core.market import Market
from .measure import MICROSECONDS, Measured, Parts, Sizes, alternated, seconds_of
from .worlds import planted, slices_of


def batch(parts: Parts, sizes: Sizes) -> Measured:
    """Microseconds a pair-bar in a backtest: computing the history's table and every look-up in it."""
    history, settings = planted(sizes.pairs, sizes.table_bars), parts.settings
    slices = slices_of(history)

    def walk() -> None:
        source = BatchSource(history, settings.indicators, settings.analysts)
        market = Market(history.pairs, history.interval_ms, settings, source)
        for slice_ in slices:
            market.push(slice_)

    (found,) = alternated(sizes.runs, lambda: MICROSECONDS * seconds_of(parts.timer, walk) / history.bars)
    return Measured(found)


def streams(parts: Parts, sizes: Sizes) -> Measured:
    """Microseconds a pair-bar live: TA-Lib's streams, after they have been opened."""
    history = planted(sizes.pairs, sizes.warm_bars + sizes.slices)
    slices = slices_of(history)
    warm, rest = slices[: sizes.warm_bars], slices[sizes.warm_bars :]

    def contest() -> float:
        market = Market(history.pairs, history.interval_ms, parts.settings)
        for slice_ in warm:
            market.push(slice_)
        seconds = seconds_of(parts.timer, lambda: [market.push(slice_) for slice_ in rest])
        return MICROSECONDS * seconds / (len(rest) * sizes.pairs)

    (found,) = alternated(sizes.runs, contest)
    return Measured(found)
