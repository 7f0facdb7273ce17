"""A market that ends, for whatever walks it more than once: recorded days, made-up ones where none are given."""

from __future__ import annotations

import os

import msgspec
import numpy as np

from ..backtesting.simulated_market import SimulatedMarket
from ..backtesting.simulated_moats import MoatsBesides
from ..core.config import Settings
from ..core.errors import UsageError
from ..core.history import History, HistoryFeed
from ..core.timeframes import DAY_MS
from . import common
from .arms import AnyFeed
from .feeds import recorded, refuse_recorded
from .options import RunOptions


class EvidenceOptions(RunOptions, frozen=True, kw_only=True):
    """Arguments of the commands that walk a market more than once. `days` of the simulated market; None: enough."""

    bus: str = "local"
    days: int | None = None
    jobs: int = 1


def finite_feed(options: EvidenceOptions, settings: Settings) -> AnyFeed:
    """The recorded days of `--data` or MYCELIAL_DATA; without either the simulated market, which says so."""
    if options.data is not None or os.environ.get("MYCELIAL_DATA"):
        if options.days is not None:
            raise UsageError("--days belongs to the simulated market; choose recorded days by --timerange")
        return recorded(options, settings)
    refuse_recorded(options)
    days = options.days or enough_days(settings)
    common.say(f"no data given: the SIMULATED market, {settings.simulated.timeframe}, {days} days")
    return simulated_feed(settings, options.seed, days)


def enough_days(settings: Settings) -> int:
    """Twice as many days as a comparison of days needs at least."""
    rule = settings.statistics
    return max(settings.simulated.history_days, 2 * rule.min_blocks * rule.block_days)


def simulated_feed(settings: Settings, seed: int, days: int) -> HistoryFeed:
    """The first days of the simulated market, with what its moats say where they are switched on."""
    endless = SimulatedMarket(settings.simulated, seed)
    market = SimulatedMarket(settings.simulated, seed, None, endless.start_ms + days * DAY_MS)
    history = _joined(list(market.blocks()))
    if not settings.simulated.moats.enabled:
        return HistoryFeed(history)
    feed = MoatsBesides(market, settings)
    return HistoryFeed(history, [seen for slice_ in feed for seen in slice_.observations])


def _joined(blocks: list[History]) -> History:
    columns = {
        name: np.concatenate([getattr(block, name) for block in blocks])
        for name in ("times", "open", "high", "low", "close", "volume", "present")
    }
    return msgspec.structs.replace(blocks[0], **columns)
