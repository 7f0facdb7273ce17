"""Invented observations for machines without network: marked as simulated, never mixed with real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from numpy.random import Generator

from ...core.config import Moats, SimulatedMoats
from ...core.randomness import generator_for
from ...core.timeframes import DAY_MS
from ...core.types import Observation

_Draw = Callable[[Generator, SimulatedMoats, int, int], list[Observation]]
_FEAR_GREED_MIDDLE, _FEAR_GREED_END = 50.0, 100.0
"""The scale of that index: 0 to 100."""
_ANY_SIZE = 1_000_000
"""Bytes of an invented filing are below this."""


class SimulatedSource:
    """One moat's invented source. What it says of a period depends on seed, moat and period, on nothing else.

    A period is the moat's interval (logistics and market: a day); what happens in it is known at its end. Asked
    late, it says everything of the periods that ended since it was asked before; asked first, the last period.
    """

    simulated = True

    def __init__(self, moat: str, settings: Moats, seed: int) -> None:
        self.name, self.moat = f"simulated_{moat}", moat
        self._draw, daily = _DRAWS[moat]
        self.interval_seconds = float(getattr(settings.pace, moat).interval_seconds)
        self._period_ms = DAY_MS if daily else max(1, round(self.interval_seconds * 1000))
        self._settings, self._seed = settings.simulated, seed
        self._said: int | None = None

    def fetch(self, now_ms: int) -> Sequence[Observation]:
        """Everything of the periods that ended up to `now_ms` and were not said before."""
        ended = now_ms // self._period_ms
        begin = max(0, ended - 1) if self._said is None else self._said
        self._said = max(begin, ended)
        return self.between(begin, self._said)

    def between(self, first: int, last: int) -> list[Observation]:
        """What periods `first` to `last` - 1 hold (a period begins at its number times the period's length)."""
        said: list[Observation] = []
        for number in range(first, last):
            generator = generator_for(self._seed, f"{self.name}-{number}")
            start = number * self._period_ms
            said += self._draw(generator, self._settings, start, start + self._period_ms)
        return said

    def notices(self) -> Sequence[str]:
        """None."""
        return ()

    def close(self) -> None:
        """Nothing is open."""


def simulated_sources(settings: Moats, seed: int) -> list[SimulatedSource]:
    """One for each moat."""
    return [SimulatedSource(moat, settings, seed) for moat in _DRAWS]


def _times(generator: Generator, a_day: float, start: int, end: int) -> list[int]:
    """Times of events that come `a_day` times a day, in order."""
    count = int(generator.poisson(a_day * (end - start) / DAY_MS))
    return sorted(int(at) for at in generator.integers(start, end, count))


def _invented(
    series: str, moat: str, subject: str, number: int, at: int, known_at: int, values: dict[str, float]
) -> Observation:
    id_ = f"simulated-{subject}-{known_at}-{number}"
    return Observation(series, moat, id_, subject, at, known_at, values, simulated=True)


def _code(generator: Generator, settings: SimulatedMoats, start: int, end: int) -> list[Observation]:
    times = _times(generator, settings.commits_day, start, end)
    assets = generator.integers(0, len(settings.assets), len(times)).tolist()
    bots, merges = generator.integers(0, 2, (2, len(times))).astype(float).tolist()
    return [
        _invented(
            "commits",
            "code",
            settings.assets[asset],
            number,
            at,
            end,
            {"is_bot": bots[number], "is_merge": merges[number]},
        )
        for number, (at, asset) in enumerate(zip(times, assets, strict=True))
    ]


def _corporate(generator: Generator, settings: SimulatedMoats, start: int, end: int) -> list[Observation]:
    return [
        _invented(
            "sec_filings",
            "corporate",
            "SIMULATED",
            number,
            at,
            end,
            {"size": float(generator.integers(1, _ANY_SIZE)), "form 8-K": 1.0},
        )
        for number, at in enumerate(_times(generator, settings.filings_day, start, end))
    ]


def _government(generator: Generator, settings: SimulatedMoats, start: int, end: int) -> list[Observation]:
    return [
        _invented("federal_register", "government", "simulated-agency", number, at, end, {"type Notice": 1.0})
        for number, at in enumerate(_times(generator, settings.documents_day, start, end))
    ]


def _logistics(generator: Generator, settings: SimulatedMoats, start: int, end: int) -> list[Observation]:
    rate, difficulty = (float(1.0 + settings.network_day_ratio * x) for x in generator.uniform(-1.0, 1.0, 2))
    values = {"hashrate_th_s": settings.hashrate_th_s * rate, "difficulty": settings.difficulty * difficulty}
    return [_invented("btc_network_daily", "logistics", "btc_network_daily", 0, start, end, values)]


def _market(generator: Generator, settings: SimulatedMoats, start: int, end: int) -> list[Observation]:
    drawn = _FEAR_GREED_MIDDLE + settings.fear_greed_deviation * float(generator.normal())
    values = {"fng": min(max(drawn, 0.0), _FEAR_GREED_END)}
    return [_invented("fear_greed", "market", "fear_greed", 0, start, end, values)]


_DRAWS: Mapping[str, tuple[_Draw, bool]] = {
    "market": (_market, True),
    "code": (_code, False),
    "logistics": (_logistics, True),
    "government": (_government, False),
    "corporate": (_corporate, False),
}
"""What each moat invents, and whether a day at a time."""
