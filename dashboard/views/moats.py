"""The moats: how fresh and how good what they say is, and what each contributed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import charts, parts, theme
from dashboard.data import Door

Fields = Mapping[str, Any]


def show() -> None:
    """The page."""
    parts.title("Moats", "How fresh and how good is what the moats say, and what did each contribute?")
    parts.live(_body)
    parts.meanings("freshness", "quality", "strength", "contribution", "synthesis")


def _body() -> None:
    found = parts.door()
    status = parts.running(found)
    fields = {} if status is None else status.fields
    parts.places(
        lambda: None if status is None else _spoken(fields),
        lambda: _contributions(found),
        lambda: None if status is None else _sources(fields),
        lambda: _figures(fields.get("moats", {})) if fields else None,
    )


def _spoken(status: Fields) -> None:
    if not status.get("moats"):
        parts.empty("No moat has spoken yet.", "mycelial doctor --sources")
        return
    _standings(status["moats"])
    _synthesis(status)


def _standings(moats: Mapping[str, Fields]) -> None:
    for column, (name, one) in zip(st.columns(len(moats)), moats.items(), strict=True):
        with column:
            made_up = " · SIMULATED" if one.get("simulated") else ""
            st.markdown(f"**{theme.safe(name)}**  \n{theme.safe(one.get('status'))}{made_up}")
            aged = one.get("age_ms")
            parts.figure("freshness", theme.age(None if aged is None else aged / 1000))
            parts.figure("quality", theme.number(one.get("quality"), 3))
            parts.figure("strength", theme.number(one.get("strength"), 1), str(one.get("grade") or ""))


def _synthesis(status: Fields) -> None:
    told = status.get("synthesis", {})
    named = ", ".join(f"{word}: {' '.join(told[word])}" for word in ("strong", "moderate", "weak") if told.get(word))
    parts.figures(("synthesis", str(told.get("verdict") or "-"), theme.plain(named) or "no moat speaks strongly"))


def _contributions(found: Door) -> None:
    parts.heading("contribution")
    counts = dict(found.ledger.spoken)
    if counts:
        parts.chart(charts.bars(counts, parts.colours()), "contributions")
    else:
        parts.empty("The swarm published no idea in what was read of the ledger.", "mycelial ab --data DIR")


def _sources(status: Fields) -> None:
    sources = status.get("sources", [])
    parts.heading("freshness", "Sources")
    if sources:
        parts.table(sources, "sources")
    else:
        parts.empty(
            "This feed brings its own observations; real sources are asked on an exchange's feed.",
            "mycelial doctor --sources",
        )


def _figures(moats: Mapping[str, Fields]) -> None:
    parts.heading("strength", "What the values are made of")
    rows = [
        {"moat": name, "figure": figure, "value": value, "deviations": one["figures"].get(f"{figure}.z")}
        for name, one in moats.items()
        for figure, value in one.get("figures", {}).items()
        if not figure.endswith(".z")
    ]
    if rows:
        parts.table(rows, "moat_figures", 360)
