"""Hash rate and difficulty of the bitcoin network, asked from one of two kinds of server."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...core.clock import Timer
from ...core.config import Moats
from ...core.errors import Malformed
from ...core.timeframes import DAY_MS
from ...core.types import Observation
from .http import Getter

MOAT = "logistics"
SERIES = "btc_network_daily"
_H_PER_TH = 1e12


class _Point(msgspec.Struct):
    x: int  # UTC seconds
    y: float


class _Chart(msgspec.Struct):
    """One chart of blockchain.info."""

    status: str
    values: list[_Point]


class _Rate(msgspec.Struct):
    timestamp: int  # UTC seconds
    avgHashrate: float  # H/s


class _Adjustment(msgspec.Struct):
    time: int  # UTC seconds
    difficulty: float


class _Mining(msgspec.Struct):
    """The mining figures of mempool.space."""

    hashrates: list[_Rate]
    difficulty: list[_Adjustment]


class NetworkSource:
    """Finished days of `btc_network_daily`: `hashrate_th_s` and `difficulty`, known when the day is over.

    The two providers estimate the hash rate differently; one run keeps to one of them.
    """

    name, moat, simulated = "network", MOAT, False

    def __init__(self, settings: Moats, timer: Timer) -> None:
        self.interval_seconds = settings.pace.logistics.interval_seconds
        self._settings = settings.network
        base = self._settings.charts_url if self._settings.provider == "charts" else self._settings.mempool_url
        self._getter = Getter(base, settings.http, timer)

    def fetch(self, now_ms: int) -> Sequence[Observation]:
        """The days of the look-back; raises what `Getter.json` raises."""
        days = self._charts(now_ms) if self._settings.provider == "charts" else self._mempool(now_ms)
        if not days:
            raise Malformed(f"network ({self._settings.provider}): an answer without any day")
        since = now_ms - self._settings.lookback_days * DAY_MS
        return [
            Observation(SERIES, MOAT, f"{SERIES}@{at}", SERIES, at, at + DAY_MS, values)
            for at, values in sorted(days.items())
            if since <= at and not at <= now_ms < at + DAY_MS  # the running day is not over, one ahead is refused later
        ]

    def notices(self) -> Sequence[str]:
        """None: there is nothing here that a person could mend."""
        return ()

    def close(self) -> None:
        """Give back the connections."""
        self._getter.close()

    def _charts(self, now_ms: int) -> dict[int, dict[str, float]]:
        days: dict[int, dict[str, float]] = {}
        for chart, value in (("hash-rate", "hashrate_th_s"), ("difficulty", "difficulty")):
            question = {"timespan": f"{self._settings.lookback_days}days", "format": "json", "sampled": "false"}
            answer = self._getter.json(f"/charts/{chart}", _Chart, question, now_ms)
            if answer.status != "ok":
                raise Malformed(f"network: the chart {chart} says {answer.status[:40]!r}")
            for point in answer.values:
                days.setdefault(_day(point.x), {})[value] = point.y
        return days

    def _mempool(self, now_ms: int) -> dict[int, dict[str, float]]:
        answer = self._getter.json("/api/v1/mining/hashrate/6m", _Mining, {}, now_ms)
        changes = sorted((step.time * 1000, step.difficulty) for step in answer.difficulty)
        days = {}
        for rate in answer.hashrates:
            at = _day(rate.timestamp)
            days[at] = {"hashrate_th_s": rate.avgHashrate / _H_PER_TH}
            in_force = [difficulty for changed, difficulty in changes if changed < at + DAY_MS]
            if in_force:
                days[at]["difficulty"] = in_force[-1]
        return days


def _day(seconds: int) -> int:
    """The beginning of the day (UTC ms); charts of long spans carry the hour of the sample."""
    return seconds * 1000 // DAY_MS * DAY_MS
