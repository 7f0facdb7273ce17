"""Days that really went wrong, and what is known of them, so that nobody tests on other days by mistake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec
import numpy as np

from ...core.clock import from_iso
from ...core.errors import DataError
from ...core.history import History
from ...core.timeframes import TimeRange
from ...core.types import Pair


class Fact(msgspec.Struct, frozen=True):
    """What a pair did in the bars that opened from `since` to `until` (UTC): an extreme, or the last close."""

    pair: Pair
    figure: Literal["low", "high", "close"]
    since: str
    until: str
    value: float


class RecordedDays(msgspec.Struct, frozen=True):
    """A name, one line for people, the days that are walked, and what is known of them."""

    name: str
    says: str
    since: str
    until: str
    facts: tuple[Fact, ...]

    @property
    def timerange(self) -> TimeRange:
        """The days, half open."""
        return TimeRange(from_iso(self.since), from_iso(self.until))


_NEAR = 0.002
"""Of the fact's value: sources round, and tell the price of one venue."""


def _fact(pair: str, figure: Literal["low", "high", "close"], day: str, value: float, until: str = "") -> Fact:
    return Fact(Pair(pair), figure, f"{day}T00:00", f"{until or day}T23:59", value)


RECORDED = (
    RecordedDays(
        "2021-05-19",
        "China's ban: bitcoin loses 30 % within hours",
        "2021-05-01",
        "2021-05-24",
        (
            Fact(Pair("BTC/USDT"), "low", "2021-05-19T13:00", "2021-05-19T13:59", 30_000.0),
            _fact("BTC/USDT", "close", "2021-05-19", 36_690.0),
            _fact("AAVE/USDT", "low", "2021-05-19", 350.0),
            _fact("UNI/USDT", "low", "2021-05-19", 16.0),
            _fact("COMP/USDT", "low", "2021-05-19", 355.0),
        ),
    ),
    RecordedDays(
        "2022-11-ftx",
        "FTX fails: SOL loses more than half in two days",
        "2022-10-20",
        "2022-11-15",
        (
            _fact("BTC/USDT", "low", "2022-11-09", 15_588.0),
            _fact("SOL/USDT", "low", "2022-11-09", 12.37),
            _fact("SOL/USDT", "close", "2022-11-07", 29.62),
        ),
    ),
)
"""The known events of the recorded data."""


def check(days: RecordedDays, history: History) -> int:
    """How many facts were looked at: those of pairs that are there; DataError names one that is not so."""
    looked = 0
    for fact, found in _found(days, history):
        looked += 1
        if abs(found - fact.value) > _NEAR * fact.value:
            raise DataError(
                f"{days.name}: {fact.pair} {fact.figure} from {fact.since} is {found:g}, it is known to have been "
                f"{fact.value:g}: these are not the days they should be"
            )
    return looked


def _found(days: RecordedDays, history: History) -> Iterator[tuple[Fact, float]]:
    opens = history.times - history.interval_ms
    for fact in days.facts:
        if fact.pair not in history.pairs:
            continue
        first, last = np.searchsorted(opens, (from_iso(fact.since), from_iso(fact.until) + 1))
        values = getattr(history, fact.figure)[first:last, history.pairs.index(fact.pair)]
        known = values[np.isfinite(values)]
        if len(known) == 0:
            raise DataError(f"{days.name}: {fact.pair} has no bars from {fact.since} to {fact.until}")
        yield fact, float({"low": known.min(), "high": known.max(), "close": known[-1]}[fact.figure])
