"""What can go wrong with a market, as pure functions that lay it over a history; every parameter is a setting."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import numpy as np

from ...core.config import Settings
from ...core.config_stress import StressSettings
from ...core.errors import UsageError
from ...core.history import History
from ...core.randomness import generator_for
from ...core.timeframes import HOUR_MS
from ...core.types import BoolArray, FloatArray, Observation


class World(msgspec.Struct, frozen=True):
    """What a scenario is walked over: bars, what is said besides, and the settings in force."""

    history: History
    observations: tuple[Observation, ...]
    settings: Settings

    @property
    def first(self) -> int:
        """The row with which it begins to go wrong; the row before is as it was."""
        return max(1, round(self.settings.stress.begins_ratio * len(self.history.times)))

    def after(self, hours: float) -> int:
        """The row so many hours after the first one, at least one row and at most all of them."""
        rows = max(1, round(hours * HOUR_MS / self.history.interval_ms))
        return min(self.first + rows, len(self.history.times))


class Scenario(msgspec.Struct, frozen=True):
    """A name, one line for people, and the function that makes it; `seed` is of its own random numbers."""

    name: str
    says: str
    lay: Callable[[World, StressSettings, int], World]


def calm(world: World, stress: StressSettings, seed: int) -> World:
    """Nothing happens: what the others are held against."""
    return world


def flash_crash(world: World, stress: StressSettings, seed: int) -> World:
    """All prices fall by a share and come back, in straight lines."""
    first, last = world.first, world.after(stress.flash_crash_hours)
    factor = np.ones(len(world.history.times))
    count = last - first
    way = np.abs(2.0 * np.arange(1, count + 1) / (count + 1) - 1.0)  # 1 at both ends, near 0 in the middle
    factor[first:last] = 1.0 - stress.flash_crash_ratio * (1.0 - way)
    return _with(world, moved(world.history, factor[:, None]))


def gap_through_stop(world: World, stress: StressSettings, seed: int) -> World:
    """From one bar's close to the next one's open all prices jump down, below every stop, and stay there."""
    return _with(world, gapped(world.history, world.first, 1.0 - stress.gap_ratio))


def outage(world: World, stress: StressSettings, seed: int) -> World:
    """No bar of any pair for hours."""
    return _with(world, without_rows(world.history, world.first, world.after(stress.outage_hours)))


def outage_gap(world: World, stress: StressSettings, seed: int) -> World:
    """No bar of any pair for hours, and then prices are lower."""
    return outage(gap_through_stop(world, stress, seed), stress, seed)


def depeg(world: World, stress: StressSettings, seed: int) -> World:
    """The quote currency loses part of its worth and finds it again: every price rises, stays and comes back."""
    first, last = world.first, world.after(stress.depeg_hours)
    factor = np.ones(len(world.history.times))
    edge = np.minimum(np.arange(1, last - first + 1), np.arange(last - first, 0, -1)) / max(1.0, (last - first) / 4)
    factor[first:last] = 1.0 / (1.0 - stress.depeg_ratio * np.minimum(1.0, edge))
    return _with(world, moved(world.history, factor[:, None]))


def missing_hours(world: World, stress: StressSettings, seed: int) -> World:
    """Bars are missing here and there to the end, pair by pair."""
    random = generator_for(seed, "stress:missing")
    lost = random.random(world.history.present.shape) < stress.missing_ratio
    lost[: world.first] = False
    return _with(world, without_bars(world.history, lost))


def dry_up(world: World, stress: StressSettings, seed: int) -> World:
    """Hardly anything is traded for hours."""
    volume = world.history.volume.copy()
    volume[world.first : world.after(stress.dry_hours)] *= stress.dry_volume_ratio
    return _with(world, msgspec.structs.replace(world.history, volume=volume))


def spread_explosion(world: World, stress: StressSettings, seed: int) -> World:
    """Bars reach far up and down for hours, and slippage is a multiple of what was planned, from the beginning on."""
    part = slice(world.first, world.after(stress.spread_hours))
    history, reach = world.history, stress.spread_range_factor - 1.0
    high, low = history.high.copy(), history.low.copy()
    spread = 0.5 * reach * (high[part] - low[part])
    high[part] += spread
    low[part] = np.maximum(low[part] - spread, low[part] / stress.spread_range_factor)
    costs = world.settings.costs
    slippage = min(Decimal(1), costs.slippage_ratio * Decimal(repr(stress.spread_slippage_factor)))
    dear = world.settings.model_copy(update={"costs": costs.model_copy(update={"slippage_ratio": slippage})})
    return World(msgspec.structs.replace(history, high=high, low=low), world.observations, dear)


def correlation_one(world: World, stress: StressSettings, seed: int) -> World:
    """Every pair moves by the mean of all moves for hours, each from its own price."""
    first, last = world.first, world.after(stress.correlated_hours)
    closes = carried_on(world.history)
    factor = np.ones_like(closes)
    for row in range(first, last):
        moves = np.log(closes[row] / closes[row - 1])
        known = np.isfinite(moves)
        mean = moves[known].mean() if known.any() else 0.0
        factor[row] = np.where(known, factor[row - 1] * np.exp(mean - moves), factor[row - 1])
    factor[last:] = factor[last - 1]
    return _with(world, moved(world.history, factor))


def stale_feed(world: World, stress: StressSettings, seed: int) -> World:
    """One pair that is held and one that is not have no bars for hours, while the others have."""
    lost = np.zeros(world.history.present.shape, np.bool_)
    silent = sorted({0, min(stress.hand_pairs, len(world.history.pairs) - 1)})
    lost[world.first : world.after(stress.stale_hours), silent] = True
    return _with(world, without_bars(world.history, lost))


def moat_outage(world: World, stress: StressSettings, seed: int) -> World:
    """Nobody outside the market says anything for hours; what was missed is not said later."""
    times = world.history.times
    since, until = int(times[world.first]), int(times[world.after(stress.moat_outage_hours) - 1])
    kept = tuple(seen for seen in world.observations if not since <= seen.known_at <= until)
    return World(world.history, kept, world.settings)


OVERLAYS = (
    Scenario("calm", "nothing happens", calm),
    Scenario("flash_crash", "all prices fall and come back", flash_crash),
    Scenario("gap_through_stop", "prices jump below every stop", gap_through_stop),
    Scenario("outage", "no bars for hours", outage),
    Scenario("outage_gap", "no bars for hours, then lower prices", outage_gap),
    Scenario("depeg", "the quote currency loses its peg", depeg),
    Scenario("missing_hours", "bars are missing here and there", missing_hours),
    Scenario("dry_up", "hardly any volume for hours", dry_up),
    Scenario("spread_explosion", "far-reaching bars and dear fills", spread_explosion),
    Scenario("correlation_one", "all pairs move as one", correlation_one),
    Scenario("stale_feed", "single pairs have no bars for hours", stale_feed),
    Scenario("moat_outage", "nothing is said outside the market", moat_outage),
)
"""The library, in the order in which it is shown."""


def _with(world: World, history: History) -> World:
    return World(history, world.observations, world.settings)


def moved(history: History, factor: FloatArray) -> History:
    """Prices times `factor` (rows, pairs or 1) at each close; a bar opens at the factor of the row before."""
    before = np.concatenate([np.ones_like(factor[:1]), factor[:-1]])
    upper, lower = np.maximum(before, factor), np.minimum(before, factor)
    return msgspec.structs.replace(
        history,
        open=history.open * before,
        high=history.high * upper,
        low=history.low * lower,
        close=history.close * factor,
    )


def gapped(history: History, first: int, factor: float) -> History:
    """All prices from row `first` on times `factor`: the gap lies between two bars."""
    scale = np.ones((len(history.times), 1))
    scale[first:] = factor
    names = ("open", "high", "low", "close")
    return msgspec.structs.replace(history, **{name: getattr(history, name) * scale for name in names})


def without_rows(history: History, first: int, last: int) -> History:
    """Without the rows `first` <= row < `last`; UsageError where nothing would be left behind them."""
    if last >= len(history.times):
        raise UsageError("stress: the history ends within the outage; take more days, or begin earlier")
    kept = np.r_[0:first, last : len(history.times)]
    names = ("times", "open", "high", "low", "close", "volume", "present")
    return msgspec.structs.replace(history, **{name: getattr(history, name)[kept] for name in names})


def without_bars(history: History, lost: BoolArray) -> History:
    """Without the bars that are `lost` (rows, pairs); a row that has none left is no row."""
    present = history.present & ~lost
    gone = history.present & lost
    columns = {name: np.where(gone, np.nan, getattr(history, name)) for name in ("open", "high", "low", "close")}
    made = msgspec.structs.replace(history, **columns, volume=np.where(gone, 0.0, history.volume), present=present)
    rows = present.any(axis=1)
    names = ("times", *columns, "volume", "present")
    return msgspec.structs.replace(made, **{name: np.ascontiguousarray(getattr(made, name)[rows]) for name in names})


def carried_on(history: History) -> FloatArray:
    """Closes (rows, pairs), the last known one where a bar is missing; NaN before the first."""
    rows = np.where(history.present, np.arange(len(history.times))[:, None], 0)
    last = np.maximum.accumulate(rows, axis=0)
    return np.asarray(np.take_along_axis(history.close, last, axis=0))
