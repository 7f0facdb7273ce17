"""Keeps what a report shows of the market: daily closes, missing bars, a thinned line of prices; small for any run."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..core import records
from ..core.timeframes import DAY_MS
from ..core.types import BoolArray, FloatArray, IntArray, Snapshot

MARKET, PRICES = "market.csv", "prices.csv"
"""Files of a run's folder: a row a day and pair; a row an instant with a column a pair."""

MARKET_COLUMNS = ("at", "pair", "close", "bars")
_TOGETHER = 1024
"""Slices counted in one go: one by one would cost more than all else that a quiet slice costs."""
PRICE_ROWS = 1024
"""How many instants `prices.csv` has at most: more than a chart has columns of pixels."""


class MarketRecord:
    """Takes the snapshots of a run in order of time.

    Of the prices every `stride`-th slice is kept; when `PRICE_ROWS` are full every second row goes and the stride
    doubles, so that memory and file are bounded and the rows evenly spread.
    """

    def __init__(self) -> None:
        self._counts: IntArray = np.zeros(0, np.int64)
        self._fresh: list[BoolArray] = []
        self._daily: list[IntArray] = []
        self._left = self._stride = 1
        self._at: list[int] = []
        self._prices: list[FloatArray] = []

    def take(self, snapshot: Snapshot) -> None:
        """Count the fresh bars of each pair; keep the closes where it is their turn."""
        self._fresh.append(snapshot.fresh)
        if len(self._fresh) == _TOGETHER:
            self._count()
        self._left -= 1
        if self._left == 0:
            self._left = self._stride
            self._keep(snapshot)

    def _keep(self, snapshot: Snapshot) -> None:
        self._at.append(snapshot.at)
        self._prices.append(np.array(snapshot.close, np.float64))
        if len(self._at) == PRICE_ROWS:
            self._at, self._prices = self._at[::2], self._prices[::2]
            self._stride *= 2  # the next one comes after the old stride: from then on all are a new stride apart

    def _count(self) -> None:
        if self._fresh:
            seen = np.array(self._fresh).sum(axis=0)
            self._counts = seen + self._counts if len(self._counts) else seen
            self._fresh.clear()

    def turn(self) -> None:
        """A day is over: its counts are closed."""
        self._count()
        self._daily.append(self._counts)
        self._counts = np.zeros(len(self._counts), np.int64)

    def bars(self) -> IntArray:
        """Bars there were, shape (days, pairs), the day that is not over included."""
        self._count()
        return np.array([*self._daily, self._counts], np.int64)

    def prices(self) -> tuple[IntArray, FloatArray]:
        """The thinned prices: times (n,) UTC ms, closes (n, pairs), NaN where a pair had none yet."""
        return np.array(self._at, np.int64), np.array(self._prices).reshape(len(self._at), -1)

    def write(
        self, folder: Path, pairs: Sequence[str], started: int | None, first: FloatArray, days: IntArray,
        daily: FloatArray,
    ) -> None:  # fmt: skip
        """Write both files; `first` (pairs,), `days` (d,) as `metrics.day_of` counts, `daily` closes (d, pairs).

        The first row of each pair in `market.csv` is its first close, stamped with the start of the run and 0 bars;
        each row after it is stamped with the end of its day. A price that is not known is empty.
        """
        with (folder / MARKET).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(MARKET_COLUMNS)
            if started is not None:
                rows.writerows(_day(started, pairs, first, np.zeros(len(pairs), np.int64)))
            for day, closes, bars in zip(days.tolist(), daily, self.bars(), strict=False):
                rows.writerows(_day((day + 1) * DAY_MS, pairs, closes, bars))
        with (folder / PRICES).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["at", *pairs])
            rows.writerows(
                [records.stamp(at), *map(_text, closes)] for at, closes in zip(self._at, self._prices, strict=True)
            )


def _day(at: int, pairs: Sequence[str], closes: FloatArray, bars: IntArray) -> list[list[str]]:
    stamp = records.stamp(at)
    return [
        [stamp, pair, _text(close), str(count)] for pair, close, count in zip(pairs, closes, bars.tolist(), strict=True)
    ]


def _text(price: float) -> str:
    return "" if np.isnan(price) else repr(float(price))
