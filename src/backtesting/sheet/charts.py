"""Charts as inline SVG: pure functions from figures to a drawing that reads without colour, script or network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np
from markupsafe import Markup

from ...core.types import FloatArray, IntArray
from .scales import Scale, date_ticks, places_needed, thinned, ticks
from .words import safe

WIDTH = 960
HALF = 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 14, 14, 30
_COLUMNS = 160
"""How finely a line is drawn: columns of paper, each with at most four points."""
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 3", "12 4", "6 2 1 2 1 2")
"""Lines are told apart by their dashes as well as by their colour."""

Shown = Callable[[float], str]


class Line(msgspec.Struct, frozen=True):
    """One line: `x` (n,) UTC ms rising, `y` (n,), NaN where there is none; `style` picks colour and dashes."""

    name: str
    x: IntArray
    y: FloatArray
    style: int


class Mark(msgspec.Struct, frozen=True):
    """An entry or exit: `at` UTC ms, at a price; `note` is read when pointed at."""

    at: int
    price: float
    entry: bool
    note: str


class Point(msgspec.Struct, frozen=True):
    """A point with the spread around it; `note` stands beside it. `spread` None: unknown."""

    x: float
    y: float
    spread: float | None
    note: str


class Said(msgspec.Struct, frozen=True):
    """What a drawing is called: `id` unique in the page, `title` in a few words, `text` what it shows.

    `width` in units of paper; drawings that stand beside another are half as wide, with letters of the same size.
    """

    id: str
    title: str
    text: str
    width: int = WIDTH


def line_chart(said: Said, lines: Sequence[Line], shown: Shown, height: int = 320, filled: bool = False) -> Markup:
    """Lines over time; with `filled` the space between each and 0 is shaded. Nothing to draw gives an empty frame."""
    thin = [(line, *thinned(line.x, line.y, _COLUMNS)) for line in lines]
    thin = [(line, x, y) for line, x, y in thin if len(x)]
    if not thin:
        return _svg(said, height, [])
    xs = np.concatenate([x for _, x, _ in thin])
    ys = np.concatenate([y for _, _, y in thin])
    across = _across(xs)
    up, body = _grid_up(_with_zero(ys) if filled else ys, height, shown)
    body += _grid_dates(across, height)
    for line, x, y in thin:
        points = _path(across.places(x), up.places(y))
        if filled:
            zero = up(0.0)
            body.append(
                f'<path class="fill f{line.style}" d="M{across(x[0]):.1f} {zero:.1f}{points.replace("M", "L", 1)}'
                f'L{across(x[-1]):.1f} {zero:.1f}Z"/>'
            )
        body.append(_stroke(points, line.style, line.name))
    return _svg(said, height, body)


def _stroke(points: str, style: int, name: str) -> str:
    dash = DASHES[style % len(DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path class="line c{style}" d="{points}"{dashed}><title>{safe(name)}</title></path>'


def key_line(style: int) -> Markup:
    """The short piece of line that stands in a legend."""
    return Markup('<svg class="key" viewBox="0 0 34 10" aria-hidden="true">' + _key(style) + "</svg>")


def _key(style: int) -> str:
    dash = DASHES[style % len(DASHES)]
    return f'<path class="line c{style}" d="M1 5H33"' + (f' stroke-dasharray="{dash}"' if dash else "") + "/>"


def columns(said: Said, bars: Sequence[tuple[str, float]], shown: Shown, height: int = 240) -> Markup:
    """A column for each name, with its figure at its end; above 0 in one colour, below in another and hatched."""
    if not bars:
        return _svg(said, height, [])
    values = np.array([value for _, value in bars])
    up, body = _grid_up(_with_zero(values), height, shown, said.width)
    room = (said.width - _LEFT - _RIGHT) / len(bars)
    width, every = min(0.72 * room, 90.0), max(1, math.ceil(60 / room))
    for place, (name, value) in enumerate(bars):
        middle = _LEFT + (place + 0.5) * room
        top, bottom = sorted((up(value), up(0.0)))
        body.append(
            f'<rect class="{_sign(value)}" x="{middle - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" '
            f'height="{max(bottom - top, 0.8):.1f}"><title>{safe(name)}: {safe(shown(value))}</title></rect>'
        )
        if room >= 44:
            below = value < 0
            body.append(_text(middle, (bottom + 13) if below else (top - 4), shown(value), "mid value"))
        if place % every == 0:
            body.append(_text(middle, height - 10, name, "mid"))
    return _svg(said, height, body)


def histogram(
    said: Said, edges: FloatArray, counts: IntArray, marks: Sequence[tuple[str, float]], shown: Shown, height: int = 240
) -> Markup:
    """Counts (k,) between edges (k + 1,), and named upright lines, for instance at the mean."""
    up, body = _grid_up(np.array([0.0, float(counts.max())]), height, lambda value: f"{value:.0f}", said.width)
    across = Scale(float(edges[0]), float(edges[-1]), _LEFT, said.width - _RIGHT)
    for low, high, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True):
        left, right = across(low), across(high)
        body.append(
            f'<rect class="{_sign((low + high) / 2)}" x="{left + 0.5:.1f}" y="{up(count):.1f}" '
            f'width="{max(right - left - 1, 0.5):.1f}" height="{up(0) - up(count):.1f}">'
            f"<title>{safe(shown(low))} to {safe(shown(high))}: {count}</title></rect>"
        )
    for place, (name, value) in enumerate(marks):
        x = across(value)
        body.append(f'<path class="mark" d="M{x:.1f} {_TOP}V{height - _BOTTOM}"/>')
        body.append(_text(x + 4, _TOP + 10 + 13 * place, name, "value"))
    for tick in _inside(ticks(float(edges[0]), float(edges[-1]), 6), across):
        body.append(_text(across(tick), height - 10, shown(tick), "mid"))
    return _svg(said, height, body)


def price_chart(
    said: Said, x: IntArray, y: FloatArray, marks: Sequence[Mark], shown: Shown, height: int = 260
) -> Markup:
    """A price over time with entries as triangles that point up and exits as ones that point down."""
    x, y = thinned(x, y, _COLUMNS)
    xs = np.concatenate((x, np.array([mark.at for mark in marks], np.int64)))
    ys = np.concatenate((y, np.array([mark.price for mark in marks])))
    if not len(xs):
        return _svg(said, height, [])
    across = _across(xs)
    up, body = _grid_up(ys, height, shown)
    body += _grid_dates(across, height)
    if len(x):
        body.append(f'<path class="line price" d="{_path(across.places(x), up.places(y))}"/>')
    for mark in marks:
        tip, wide = up(mark.price), 9 if mark.entry else -9
        shape = f"M{across(mark.at):.1f} {tip:.1f}l-5 {wide}h10Z"
        kind = "entry" if mark.entry else "exit"
        body.append(f'<path class="{kind}" d="{shape}"><title>{safe(mark.note)}</title></path>')
    return _svg(said, height, body)


def bars(said: Said, rows: Sequence[tuple[str, float]], shown: Shown) -> Markup:
    """Named bars one below the other, each with its figure; to the right above 0, to the left below."""
    height = _TOP + 22 * len(rows) + 8
    if not rows:
        return _svg(said, height, [])
    values = np.array([0.0, *(value for _, value in rows)])
    low, high = float(values.min()), float(values.max())
    words = 250 if said.width == WIDTH else 170
    first = words + (70 if low < 0 else 0)
    across = Scale(low, high if high > low else low + 1.0, first, said.width - (90 if said.width == WIDTH else 60))
    body = [f'<path class="axis" d="M{across(0):.1f} {_TOP - 4}V{height - 4}"/>']
    for place, (name, value) in enumerate(rows):
        y = _TOP + 22 * place
        left, right = sorted((across(0.0), across(value)))
        body.append(
            f'<rect class="{_sign(value)}" x="{left:.1f}" y="{y}" width="{max(right - left, 0.8):.1f}" height="16"/>'
        )
        body.append(_text(words - 10, y + 12, _short(name, words // 7), "end"))
        body.append(
            _text(right + 5, y + 12, shown(value), "value")
            if value >= 0
            else _text(left - 5, y + 12, shown(value), "end value")
        )
    return _svg(said, height, body)


def calibration_chart(said: Said, points: Sequence[Point], shown: Shown, height: int = 320) -> Markup:
    """Groups in order of what was predicted (dashed line, figures below) and what came (dots with their spread)."""
    if not points:
        return _svg(said, height, [])
    ends = [point.y + sign * (point.spread or 0.0) for point in points for sign in (-1, 1)]
    up, body = _grid_up(_with_zero(np.array([*ends, *(point.x for point in points)])), height, shown)
    room = (said.width - _LEFT - _RIGHT) / len(points)
    across: FloatArray = _LEFT + (np.arange(len(points), dtype=np.float64) + 0.5) * room
    promised = _path(across, up.places(np.array([point.x for point in points])))
    body.append(f'<path class="line c2" stroke-dasharray="{DASHES[1]}" d="{promised}"/>')
    for x, point in zip(across.tolist(), points, strict=True):
        y, spread = up(point.y), point.spread or 0.0
        body.append(f'<path class="line c0" d="M{x:.1f} {up(point.y - spread):.1f}V{up(point.y + spread):.1f}"/>')
        body.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="5.5"><title>{safe(point.note)}</title></circle>')
        body.append(_text(x + 9, y - 5, point.note, "value"))
        body.append(_text(x, height - 10, shown(point.x), "mid"))
    return _svg(said, height, body)


def _svg(said: Said, height: int, body: Iterable[str]) -> Markup:
    name = safe(said.id)
    inner = "".join(body) or str(_text(said.width / 2, height / 2, "nothing to draw", "mid"))
    return Markup(
        f'<svg viewBox="0 0 {said.width} {height}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{safe(said.title)}</title><desc id="{name}-d">{safe(said.text)}</desc>{inner}</svg>'
    )


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{safe(words)}</text>'


def _sign(value: float) -> str:
    return "loss" if value < 0 else "gain"


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _with_zero(values: FloatArray) -> FloatArray:
    return np.concatenate((values, [0.0]))


def _across(xs: IntArray) -> Scale:
    first, last = float(xs.min()), float(xs.max())
    return Scale(first, last if last > first else first + 1.0, _LEFT, WIDTH - _RIGHT)


def _grid_up(ys: FloatArray, height: int, shown: Shown, width: int = WIDTH) -> tuple[Scale, list[str]]:
    steps = ticks(float(ys.min()), float(ys.max()), 5)
    up = Scale(steps[0], steps[-1], height - _BOTTOM, _TOP)
    body = []
    for tick in steps:
        kind = "axis" if tick == 0 else "grid"
        body.append(f'<path class="{kind}" d="M{_LEFT} {up(tick):.1f}H{width - _RIGHT}"/>')
        body.append(_text(_LEFT - 7, up(tick) + 4, shown(tick), "end"))
    return up, body


def _grid_dates(across: Scale, height: int) -> list[str]:
    body = []
    for at, name in date_ticks(int(across.low), int(across.high), 9):
        x = across(at)
        body.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{height - _BOTTOM}"/>')
        body.append(_text(min(max(x, _LEFT + 20), WIDTH - 40), height - 10, name, "mid"))
    return body


def _path(xs: FloatArray, ys: FloatArray) -> str:
    points = [f"{x:.1f} {y:.1f}" for x, y in zip(xs.tolist(), ys.tolist(), strict=True)]
    return "M" + "L".join(points)


def _inside(steps: Iterable[float], across: Scale) -> list[float]:
    return [step for step in steps if across.low <= step <= across.high]


def percents(step: float) -> Shown:
    """How ratios about `step` apart are written as percentages."""
    places = places_needed(100 * step) if step else 0
    return lambda value: f"{100 * value:.{min(places, 4)}f} %"
