"""From data to figures, and nothing else: the same data give the same figure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]

from .theme import Palette, inked

POINTS = 600
"""A line needs no more on a screen."""
_GOLDEN = math.pi * (3 - math.sqrt(5))
"""The angle by which seeds of a sunflower follow each other: points of a group never meet."""
_CIRCLE, _SPREAD = 8.0, 0.28
"""Radius of the circle of groups, and of a group with one member, in units of the chart."""


def _laid(figure: go.Figure, colours: Palette, height: int, hint: str = "") -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor=colours.paper,
        plot_bgcolor=colours.paper,
        font={"color": colours.ink, "size": 13},
        legend={"orientation": "h", "y": 1.08, "x": 0},
        uirevision="kept",  # zoom and pan outlive a refresh
        hoverlabel={"bgcolor": colours.paper, "font": {"color": colours.ink}},
        dragmode="pan",
        meta=hint,
    )
    figure.update_xaxes(gridcolor=colours.grid, linecolor=colours.soft, zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor=colours.grid, linecolor=colours.soft, zeroline=False, automargin=True)
    return figure


def thinned(x: Sequence[Any], y: Sequence[float], points: int = POINTS) -> tuple[list[Any], list[float]]:
    """First and last, and of each stretch between them its lowest and its highest: at most about `points`."""
    if len(x) <= points:
        return list(x), list(y)
    values = np.asarray(y, np.float64)
    edges = np.linspace(0, len(x), points // 2 + 1).astype(int)
    kept = {0, len(x) - 1}
    for begin, end in pairwise(edges):
        if end > begin and not np.isnan(values[begin:end]).all():
            kept |= {begin + int(np.nanargmin(values[begin:end])), begin + int(np.nanargmax(values[begin:end]))}
    order = sorted(int(place) for place in kept)
    return [x[place] for place in order], [float(y[place]) for place in order]


def curves(lines: Mapping[str, tuple[Sequence[Any], Sequence[float]]], colours: Palette) -> go.Figure:
    """Lines over time, each with a dash of its own so that colour is not needed to tell them apart."""
    figure = go.Figure()
    dashes = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
    for n, (name, (x, y)) in enumerate(lines.items()):
        at, values = thinned(x, y)
        style = {"color": colours.series[n % len(colours.series)], "width": 2, "dash": dashes[n % len(dashes)]}
        figure.add_scatter(x=at, y=values, name=inked(name), mode="lines", line=style)
    return _laid(figure, colours, 320)


def bars(values: Mapping[str, float], colours: Palette, unit: str = "") -> go.Figure:
    """Horizontal bars, largest on top, with their figures written at the end."""
    names = sorted(values, key=lambda name: values[name])
    amounts = [values[name] for name in names]
    figure = go.Figure()
    told = [f"{value:,.0f}{unit}" if float(value).is_integer() else f"{value:,.2f}{unit}" for value in amounts]
    figure.add_bar(
        x=amounts,
        y=[inked(name) for name in names],
        orientation="h",
        text=told,
        textposition="outside",
        cliponaxis=False,
        marker={"color": colours.series[0]},
    )
    figure.update_xaxes(range=[0, 1.18 * max(amounts, default=1) or 1])
    return _laid(figure, colours, 60 + 30 * max(2, len(names)))


def candles(prices: Mapping[str, Sequence[Any]], marks: Sequence[Mapping[str, Any]], colours: Palette) -> go.Figure:
    """Candles above, volume below; `prices` has at, open, high, low, close, volume. `marks` as `marker` takes them."""
    figure = go.Figure()
    at = list(prices["at"])
    figure.add_candlestick(
        x=at,
        open=list(prices["open"]),
        high=list(prices["high"]),
        low=list(prices["low"]),
        close=list(prices["close"]),
        name="price",
        increasing={"line": {"color": colours.up}, "fillcolor": colours.paper},  # hollow up, filled down
        decreasing={"line": {"color": colours.down}, "fillcolor": colours.down},
    )
    figure.add_bar(x=at, y=list(prices["volume"]), name="volume", yaxis="y2", marker={"color": colours.soft})
    _add_marks(figure, marks, colours)
    figure.update_layout(
        xaxis={"rangeslider": {"visible": False}, "anchor": "y2"},
        yaxis={"domain": [0.26, 1.0]},
        yaxis2={"domain": [0.0, 0.2], "gridcolor": colours.grid},
    )
    return _laid(figure, colours, 480)


def _add_marks(figure: go.Figure, marks: Sequence[Mapping[str, Any]], colours: Palette) -> None:
    for name in dict.fromkeys(str(mark["name"]) for mark in marks):
        own = [mark for mark in marks if mark["name"] == name]
        look = _MARKS.get(name, ("circle", 5))
        figure.add_scatter(
            x=[mark["at"] for mark in own],
            y=[mark["price"] for mark in own],
            text=[inked(mark.get("text", "")) for mark in own],
            name=inked(name),
            mode="markers",
            marker={
                "symbol": look[0],
                "size": 11,
                "color": colours.series[look[1]],
                "line": {"color": colours.ink, "width": 1},
            },
        )


_MARKS = {
    "entry": ("triangle-up", 2),
    "exit": ("triangle-down", 1),
    "idea to buy": ("circle-open", 0),
    "idea to sell": ("x", 3),
}


def line_of_prices(
    x: Sequence[Any], y: Sequence[float], marks: Sequence[Mapping[str, Any]], colours: Palette
) -> go.Figure:
    """Prices that are known from decisions alone, where nobody holds candles."""
    at, values = thinned(x, y)
    figure = go.Figure()
    figure.add_scatter(x=at, y=values, mode="lines", name="price", line={"color": colours.series[0]})
    _add_marks(figure, marks, colours)
    return _laid(figure, colours, 420)


def network(members: Sequence[Mapping[str, Any]], speakers: frozenset[str], colours: Palette) -> go.Figure:
    """The mycelium: agents in groups of one moat and pair, groups on a circle, lines from whom they learnt.

    Who spoke for the newest idea is drawn larger with a frame. Colour and shape both tell the moat.
    """
    places = _places(members)
    figure = go.Figure()
    by_name = {str(one["name"]): one for one in members}
    x: list[float | None] = []
    y: list[float | None] = []
    for name, one in by_name.items():
        parent = str(one.get("parent"))
        if parent in places and parent != name:
            x += [places[parent][0], places[name][0], None]
            y += [places[parent][1], places[name][1], None]
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": colours.soft, "width": 0.7},
        opacity=0.55,
        name="learnt from",
        hoverinfo="skip",
    )
    for n, moat in enumerate(_MOAT_ORDER):
        own = [name for name, one in by_name.items() if str(one.get("moat") or "none") == moat]
        if own:
            _add_agents(figure, moat, own, by_name, places, speakers, colours, n)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    _laid(figure, colours, 560)
    _name_groups(figure, members, colours)
    return figure


def _name_groups(figure: go.Figure, members: Sequence[Mapping[str, Any]], colours: Palette) -> None:
    """Behind the last seed of a group, seen from the middle."""
    sizes = Counter(_group(one) for one in members)
    for group, (x, y) in _groups(members).items():
        away = 1 + (_SPREAD * math.sqrt(sizes[group]) + 1.2) / _CIRCLE
        figure.add_annotation(
            x=x * away, y=y * away, text=inked(group), showarrow=False, font={"size": 11, "color": colours.ink}
        )


_MOAT_ORDER = ("market", "code", "government", "logistics", "corporate", "none")
_SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "star")


def _add_agents(
    figure: go.Figure,
    moat: str,
    own: Sequence[str],
    by_name: Mapping[str, Mapping[str, Any]],
    places: Mapping[str, tuple[float, float]],
    speakers: frozenset[str],
    colours: Palette,
    n: int,
) -> None:
    figure.add_scatter(
        x=[places[name][0] for name in own],
        y=[places[name][1] for name in own],
        text=[_words(by_name[name]) for name in own],
        hoverinfo="text",
        mode="markers",
        name="no moat" if moat == "none" else moat,
        marker={
            "symbol": _SHAPES[n],
            "size": [14 if name in speakers else 8 for name in own],
            "color": colours.series[n],
            "line": {"color": colours.ink, "width": [2 if name in speakers else 0.5 for name in own]},
        },
    )


def _words(one: Mapping[str, Any]) -> str:
    parts = [str(one["name"]), str(one.get("class")), str(one.get("pair") or "")]
    if one.get("generation") is not None:
        parts.append(f"generation {one['generation']}, from {one.get('parent') or 'nobody'}")
    return "<br>".join(inked(part) for part in parts if part)


def _group(one: Mapping[str, Any]) -> str:
    return str(one.get("pair") or one.get("team") or "standard")


def _groups(members: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    names = sorted({_group(one) for one in members})
    turn = 2 * math.pi / max(1, len(names))
    return {name: (_CIRCLE * math.cos(n * turn), _CIRCLE * math.sin(n * turn)) for n, name in enumerate(names)}


def _places(members: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Where everybody stands: in the group of the pair or team, spread as a sunflower spreads its seeds."""
    centre = _groups(members)
    seen: dict[str, int] = {}
    places: dict[str, tuple[float, float]] = {}
    for one in sorted(members, key=lambda one: (str(one.get("moat")), str(one["name"]))):
        group = _group(one)
        n = seen[group] = seen.get(group, -1) + 1
        radius, angle = _SPREAD * math.sqrt(n), n * _GOLDEN
        places[str(one["name"])] = (
            centre[group][0] + radius * math.cos(angle),
            centre[group][1] + radius * math.sin(angle),
        )
    return places


def diversity(members: Sequence[Mapping[str, Any]]) -> float | None:
    """The exponential of the entropy over moat and horizon of the learners; None without any.

    >>> diversity([{"generation": 0, "moat": "code"}, {"generation": 1, "moat": "market"}])
    2.0
    """
    kinds = [(one.get("moat"), one.get("horizon")) for one in members if one.get("generation") is not None]
    if not kinds:
        return None
    shares = [kinds.count(kind) / len(kinds) for kind in set(kinds)]
    return round(math.exp(-sum(share * math.log(share) for share in shares)), 9)
