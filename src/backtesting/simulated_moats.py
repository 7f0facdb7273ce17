"""What moats say of the simulated market, for simulations alone: every observation says that it is made up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise

import numpy as np

from ..core.config import PlantedMoats, Settings
from ..core.history import History
from ..core.moats import CALENDAR, COMMITS, EQUITIES, FILINGS, MOATS, NETWORK
from ..core.randomness import generator_for
from ..core.timeframes import DAY_MS
from ..core.types import FloatArray, IntArray, Observation, Slice
from .planted import CARRIER_GAIN, carrier, linear_strength
from .simulated_market import SimulatedMarket

HASH_RATE, DIFFICULTY, PRICE = 5e8, 7e13, 100.0
"""Where the made-up series begin; only their changes matter."""
COMPANY = "SIM"


def commits(
    ahead: History, following: FloatArray, last: FloatArray, settings: PlantedMoats, seed: int, index: int
) -> tuple[Observation, ...]:
    """Commits of every base asset over the bars of `ahead`, known when each bar closes.

    Their rate leans by the asset's standardized moves of the bars lag + 1 .. lag + horizon later, for which
    `following` (lag + horizon, P) are the moves after the block; with correlation 0 they say nothing. `last` (P,) is
    the part of the rate that persists, and goes on with it.
    """
    random = generator_for(seed, f"simulated-moats:{index}")
    moves = np.concatenate([_moves(ahead), following])
    shape = ahead.close.shape
    strength = linear_strength(settings.commits_correlation)
    shocks = np.ascontiguousarray(moves[settings.commits_lag :])
    lean = carrier(shocks, random.standard_normal(shape), last, strength, settings.commits_horizon)
    rate = settings.commits_day * ahead.interval_ms / DAY_MS
    numbers = random.poisson(rate * np.exp(CARRIER_GAIN * lean - 0.5 * CARRIER_GAIN * CARRIER_GAIN))
    return tuple(_said(ahead, numbers))


def _moves(history: History) -> FloatArray:
    """Log moves of each bar, of unit variance over the block."""
    moves = np.log(history.close / history.open)
    return np.asarray(moves / moves.std(axis=0))


def _said(history: History, numbers: IntArray) -> Iterator[Observation]:
    for row, place in np.argwhere(numbers).tolist():
        asset, at = history.pairs[place].partition("/")[0], int(history.times[row])
        for number in range(int(numbers[row, place])):
            id_ = f"{asset}@{at}-{number}"
            yield Observation(COMMITS, MOATS[0], id_, asset, at, at, {"is_bot": 0.0, "is_merge": 0.0}, True)


def daily(days: Iterable[int], settings: Settings, seed: int) -> Iterator[Observation]:
    """Hash rate, difficulty, freight, miners' shares and filings of each day (days since 1970); they say nothing.

    A day's values lie around a level that stays, and come from a stream of their own.
    """
    board, moats = settings.moats.board, settings.simulated.moats
    symbols = (board.freight, *board.miners)
    levels = np.array([HASH_RATE, DIFFICULTY, *[PRICE] * len(symbols)])
    for day in days:
        random = generator_for(seed, f"simulated-moats-day:{day}")
        hash_rate, difficulty, *prices = (
            levels * np.exp(moats.day_ratio * random.standard_normal(len(levels)))
        ).tolist()
        at, known = day * DAY_MS, (day + 1) * DAY_MS
        values = {"hashrate_th_s": hash_rate, "difficulty": difficulty}
        yield Observation(NETWORK, "logistics", f"{NETWORK}@{at}", NETWORK, at, known, values, True)
        for symbol, price in zip(symbols, prices, strict=True):
            yield Observation(EQUITIES, "corporate", f"{symbol}@{at}", symbol, at, known, {"close": price}, True)
        for number in range(int(random.poisson(moats.filings_day))):
            id_ = f"{COMPANY}@{at}-{number}"
            yield Observation(FILINGS, "corporate", id_, COMPANY, known, known, {"size": 1.0}, True)


def calendar(start_ms: int, until_ms: int, settings: PlantedMoats) -> Iterator[Observation]:
    """Scheduled events every `event_days`, one before `start_ms`, each known two of these spans before it happens."""
    step = round(settings.event_days * DAY_MS)
    for at in range(start_ms - step // 2, until_ms + 2 * step + 1, step):
        yield Observation(CALENDAR, "government", f"SIM@{at}", "SIM", at, at - 2 * step, {"scheduled": 1.0}, True)


class MoatsBesides:
    """The simulated market with its moats, a Feed: observations join the bars that close when they become known.

    It is a function of the settings and the market's seed, like the market; where one begins to look changes nothing.
    """

    simulated = True

    def __init__(self, market: SimulatedMarket, settings: Settings, since: int | None = None) -> None:
        self._market, self._settings, self.since = market, settings, since
        self.pairs, self.interval_ms, self.start_ms = market.pairs, market.interval_ms, market.start_ms

    def start_after(self, at: int) -> MoatsBesides:
        """The same feed from the first slice later than `at` on."""
        return MoatsBesides(self._market, self._settings, at)

    def __iter__(self) -> Iterator[Slice]:
        blocks: Iterator[History | None] = chain(self._market.blocks(), (None,))
        moats, seed = self._settings.simulated.moats, self._market.seed
        last = np.zeros(len(self.pairs))
        for index, (block, coming) in enumerate(pairwise(blocks)):
            assert block is not None, "only the last one is None"
            reach = moats.commits_lag + moats.commits_horizon
            following = np.zeros((reach, len(self.pairs)))
            if coming is not None:
                moves = _moves(coming)[:reach]
                following[: len(moves)] = moves
            said = [*commits(block, following, last, moats, seed, index), *self._slow(block, index)]
            yield from self._slices(block, said)

    def _slow(self, block: History, index: int) -> Iterator[Observation]:
        """What becomes known by the day; the first block also says what was known before it."""
        moats, seed = self._settings.simulated.moats, self._market.seed
        until = int(block.times[-1])
        since = int(block.times[0]) - self.interval_ms if index else self.start_ms - moats.history_days * DAY_MS - 1
        events = calendar(self.start_ms, until, moats)
        days = daily(range(since // DAY_MS, until // DAY_MS), self._settings, seed)
        for seen in chain(events, days):
            if (index == 0 or seen.known_at > since) and seen.known_at <= until:
                yield seen

    def _slices(self, block: History, said: Sequence[Observation]) -> Iterator[Slice]:
        """Each observation with the first bar that closes when it is known."""
        known = np.array([seen.known_at for seen in said], np.int64)
        rows = np.searchsorted(block.times, known)
        joined: dict[int, list[Observation]] = {}
        for row, seen in zip(rows.tolist(), said, strict=True):
            joined.setdefault(min(row, len(block.times) - 1), []).append(seen)
        for row, (at, bars) in enumerate(block.blocks()):
            if self.since is None or at > self.since:
                group = sorted(joined.get(row, ()), key=lambda o: (o.known_at, o.moat, o.source, o.subject, o.id))
                yield Slice(at, bars, tuple(group), (), True)
