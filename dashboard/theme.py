"""How things look and are written: colours for colour-blind eyes, times, figures, harmless names."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

MOST_NAME = 80
"""Characters of a name that are shown."""


class Palette(msgspec.Struct, frozen=True):
    """Colours on one background: each of `series` and the signs differ in hue and in lightness."""

    ink: str
    paper: str
    soft: str
    grid: str
    up: str
    down: str
    series: tuple[str, ...]


LIGHT = Palette(
    ink="#16202c",
    paper="#ffffff",
    soft="#55616f",
    grid="#e6eaef",
    up="#0a5fa5",
    down="#b8470a",
    series=("#0072b2", "#c8500a", "#00806a", "#a3487f", "#7a6a00", "#16202c"),
)
DARK = Palette(
    ink="#e9eef4",
    paper="#10161d",
    soft="#9fadbb",
    grid="#232e39",
    up="#6db7f2",
    down="#f59a5b",
    series=("#56b4e9", "#f28e4b", "#2fc3a2", "#dd8fbd", "#e0c84a", "#f2f5f8"),
)

ZONES = (
    "UTC",
    "America/New_York",
    "America/Chicago",
    "America/Los_Angeles",
    "Europe/London",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Australia/Sydney",
)


def palette(kind: str | None) -> Palette:
    """The colours for `dark`, otherwise those for white."""
    return DARK if kind == "dark" else LIGHT


def plain(text: object) -> str:
    """A name in one short line without characters that cannot be seen or that turn the direction of writing."""
    line = " ".join(str(text).split())
    seen = "".join(one for one in line if unicodedata.category(one)[0] != "C")
    return seen if len(seen) <= MOST_NAME else seen[: MOST_NAME - 1] + "…"


def safe(text: object) -> str:
    """A name for places that understand Markdown: every sign that could mean something there is escaped.

    >>> safe("[x](http://a) :red[b] <b>")
    '\\\\[x\\\\]\\\\(http\\\\:\\\\/\\\\/a\\\\) \\\\:red\\\\[b\\\\] \\\\<b\\\\>'
    """
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", plain(text))


def safe_words(text: object) -> str:
    """A sentence of our own or of an error, which may carry names: as `safe`, but as long as it is."""
    line = " ".join(str(text).split())
    seen = "".join(one for one in line if unicodedata.category(one)[0] != "C")
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", seen[:1000])


def inked(text: object) -> str:
    """A name for charts, which understand some HTML."""
    return plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def zone_of(name: str) -> ZoneInfo:
    """A time zone; UTC where there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def moment(ms: int | None, zone: str) -> datetime | None:
    """UTC ms as local time without a zone, as charts and tables show it; None for no time, or one out of range."""
    if ms is None:
        return None
    try:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
        return at.astimezone(zone_of(zone)).replace(tzinfo=None)
    except (OverflowError, ValueError):
        return None


def stamp(ms: int | None, zone: str) -> str:
    """UTC ms for people, with the name of the zone."""
    at = moment(ms, zone)
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M:%S} {zone}"


def number(value: object, places: int = 2) -> str:
    """A figure with thousands; a dash where there is none.

    >>> number("10000"), number(None), number(0.123456, 4)
    ('10,000.00', '-', '0.1235')
    """
    try:
        return f"{float(str(value)):,.{places}f}"
    except ValueError:
        return "-"


def percent(ratio: object, places: int = 2) -> str:
    """A ratio in percent, with a sign that is not only a colour."""
    try:
        return f"{100 * float(str(ratio)):+.{places}f} %"
    except ValueError:
        return "-"


def age(seconds: float | None) -> str:
    """How long ago, in the unit people would use."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.1f} s"


def _linear(channel: int) -> float:
    share = channel / 255
    return share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4


def contrast(one: str, other: str) -> float:
    """The ratio of luminances of two colours as WCAG 2.1 defines it, 1 to 21.

    >>> round(contrast("#000000", "#ffffff"), 1)
    21.0
    """
    lights = []
    for colour in (one, other):
        red, green, blue = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
        lights.append(0.2126 * _linear(red) + 0.7152 * _linear(green) + 0.0722 * _linear(blue))
    return (max(lights) + 0.05) / (min(lights) + 0.05)
