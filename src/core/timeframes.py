"""Turns what people write about time, `1h` and `20230101-20230601`, into milliseconds, once for all rooms."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec

from .clock import iso
from .errors import UsageError

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

_UNITS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_TIMEFRAME = re.compile(r"([1-9][0-9]{0,3})([smhd])")
_TIMERANGE = re.compile(r"([0-9]{8}|[0-9]{10}|[0-9]{13})?-([0-9]{8}|[0-9]{10}|[0-9]{13})?")


def timeframe_ms(text: str) -> int:
    """The length of a bar in milliseconds; UsageError when `text` is no timeframe.

    >>> timeframe_ms("5m"), timeframe_ms("1d")
    (300000, 86400000)
    """
    match = _TIMEFRAME.fullmatch(text)
    if match is None:
        raise UsageError(f"timeframe {text!r}: write a number and s, m, h or d, for instance 1m, 5m, 1h, 1d")
    return int(match[1]) * _UNITS[match[2]]


def timeframe_name(interval_ms: int) -> str:
    """The shortest name of a bar length; UsageError when it is not a whole number of seconds.

    >>> timeframe_name(300_000)
    '5m'
    """
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(interval_ms, _UNITS[unit])
        if count > 0 and rest == 0:
            return f"{count}{unit}"
    raise UsageError(f"{interval_ms} ms is no timeframe: it must be a whole number of seconds")


class TimeRange(msgspec.Struct, frozen=True):
    """Half open, UTC, over the **opens** of bars: `start_ms` <= open < `end_ms`; None means unbounded."""

    start_ms: int | None = None
    end_ms: int | None = None

    def holds(self, opened: int) -> bool:
        """Whether a bar with this open lies inside."""
        return (self.start_ms is None or opened >= self.start_ms) and (self.end_ms is None or opened < self.end_ms)

    def __str__(self) -> str:
        start = "the beginning" if self.start_ms is None else iso(self.start_ms)
        return f"{start} to {'the end' if self.end_ms is None else iso(self.end_ms)}"


def parse_timerange(text: str) -> TimeRange:
    """A timerange as Freqtrade writes it: `20230101-`, `-20230101`, `20230101-20230601`; UsageError otherwise.

    Ten digits are epoch seconds, thirteen epoch milliseconds.

    >>> parse_timerange("20230101-20230102")
    TimeRange(start_ms=1672531200000, end_ms=1672617600000)
    """
    match = _TIMERANGE.fullmatch(text)
    if match is None or text == "-":
        raise UsageError(f"timerange {text!r}: write 20230101-20230601, 20230101- or -20230601")
    start, end = (None if side is None else _moment(side, text) for side in match.groups())
    if start is not None and end is not None and start >= end:
        raise UsageError(f"timerange {text!r} is empty: it must end after it starts (the end is not included)")
    return TimeRange(start, end)


def _moment(digits: str, text: str) -> int:
    if len(digits) != 8:
        return int(digits) * (SECOND_MS if len(digits) == 10 else 1)
    try:
        day = datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(f"timerange {text!r}: {digits} is no date; write YYYYMMDD") from None
    return round(day.timestamp()) * SECOND_MS
