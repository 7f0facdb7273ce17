"""What all pages are made of: banner, figures with their explanation, tables, charts, empty states."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]
import streamlit as st

from . import theme
from .columns import COLUMNS
from .data import Answer, Door, door_of_environment
from .explain import label, meaning

EVERY_SECONDS = 1.5
"""A page looks again so often; with what an answer is kept for, what is shown is at most two seconds old."""
_QUIET = {"displayModeBar": "hover", "displaylogo": False, "scrollZoom": True}


@st.cache_resource(show_spinner=False)
def _door(state: str, runs: str, data: str) -> Door:
    return Door(Path(state), Path(runs), Path(data) if data else None)


def door() -> Door:
    """The one door of this monitor, shared by its viewers; what is new in the ledger is read."""
    found = _door(*door_of_environment())
    found.ledger.refresh()
    return found


def zone() -> str:
    """The chosen time zone."""
    return str(st.session_state.get("zone") or "UTC")


def colours() -> theme.Palette:
    """The colours of the viewer's theme."""
    return theme.palette(st.context.theme.type)


def live(show: Callable[[], None]) -> None:
    """Show a part again and again, without the rest of the page."""
    st.fragment(show, run_every=None if st.session_state.get("paused") else EVERY_SECONDS)()


def places(*shows: Callable[[], None]) -> None:
    """Parts one below the other, each in a place of its own: what one of them leaves out moves nothing of the others.

    A chart whose place in the page changes is made anew, and its zoom is lost.
    """
    for show in shows:
        with st.container():
            show()


def figure(name: str, value: object, note: str = "") -> None:
    """A figure with its explanation; KeyError where the table of explanations has none."""
    st.metric(label(name), str(value), note or None, delta_color="off", delta_arrow="off", help=meaning(name))


def figures(*rows: tuple[str, object] | tuple[str, object, str]) -> None:
    """Figures side by side."""
    for column, row in zip(st.columns(len(rows)), rows, strict=True):
        with column:
            figure(*row)


def heading(name: str, text: str = "") -> None:
    """The head of a part with its explanation."""
    st.subheader(text or label(name), help=meaning(name), anchor=False)


def meanings(*names: str) -> None:
    """The words of a page for those who do not hover: opened by keyboard as well."""
    with st.popover("What do these figures mean?", icon=":material/help:"):
        for name in names:
            st.markdown(f"**{theme.safe(label(name))}**: {theme.safe_words(meaning(name))}")


def chart(drawn: go.Figure, key: str) -> None:
    """A chart that keeps its zoom when it is drawn again."""
    st.plotly_chart(drawn, key=key, config=_QUIET, theme=None, width="stretch")


def table(rows: Sequence[Mapping[str, Any]], key: str, height: int | None = None, **drawn: Any) -> None:
    """Rows as a table; every cell is text or a number, never markup. `drawn`: columns that are more than that."""
    kept = [{name: _cell(value) for name, value in row.items()} for row in rows]
    size: Any = "auto" if height is None else height
    names = dict.fromkeys(name for row in kept for name in row)
    columns = {name: st.column_config.Column(help=COLUMNS[name]) for name in names if name in COLUMNS}
    st.dataframe(kept, key=key, hide_index=True, width="stretch", height=size, column_config=columns | drawn)


def _cell(value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, list | tuple):
        return theme.plain(", ".join(map(str, value)))
    if isinstance(value, str):
        return value if len(value) < 20 and value.isalnum() else _text(value)
    return value


def _text(value: str) -> str:
    line = " ".join(value.split())
    return theme.plain(line) if len(line) <= theme.MOST_NAME else theme.plain(line[:70]) + "…"


def empty(what: str, command: str) -> None:
    """Nothing is here: why, and the command that changes it."""
    with st.container(border=True):
        st.markdown(f":material/hourglass_empty: {what}")
        st.code(command, language="bash")


def words(*told: object) -> str:
    """A command line of ours that can be copied as it stands, whatever is in the names."""
    return " ".join(("mycelial", *(shlex.quote(" ".join(str(one).split())) for one in told)))


def title(text: str, question: str) -> None:
    """The head of a page: its name and the question it answers."""
    st.title(text, anchor=False)
    st.caption(question)


def banner(found: Door) -> None:
    """Mode, made-up prices, halt and age of the data: on every page, in words as well as in colour."""
    status, mode = found.engine.status(), found.mode()
    if mode == "live":
        st.error("## LIVE: orders move real money", icon=":material/bolt:")
    if found.simulated():
        st.warning(
            f"## SIMULATED: every price is made up · mode {theme.safe(mode or 'none yet')}", icon=":material/science:"
        )
    elif mode and mode != "live":
        st.info(f"## {theme.safe(mode.upper())}: no real orders are sent", icon=":material/description:")
    if status.fields.get("halted"):
        st.error(f"## HALTED: {theme.safe(status.fields['halted'])}", icon=":material/front_hand:")
    elif status.fields.get("standing"):
        st.error(f"### {_standing(status.fields['standing'])}", icon=":material/front_hand:")
    if status.fields.get("bus_up") is False:
        st.error("The bus is down: no new entries until it is back", icon=":material/link_off:")
    st.caption(_age_line(found, status))


def _standing(told: Mapping[str, Any]) -> str:
    return " · ".join(
        f"{theme.safe(scope).upper()} {theme.safe(one.get('state'))}: {theme.safe(one.get('reason'))}"
        for scope, one in told.items()
    )


def _age_line(found: Door, status: Answer) -> str:
    ledger = found.ledger
    if status.alive:
        at = theme.safe(status.fields.get("at", "starting"))
        return (
            f":material/radio_button_checked: running · data {theme.age(status.age)} old · market time {at} · "
            f"ledger row {ledger.seq:,}, last grew {theme.age(ledger.age)} ago"
        )
    told = f":material/radio_button_unchecked: engine down: {theme.safe_words(status.said)}"
    if ledger.said:
        return f"{told} · {theme.safe_words(ledger.said)}"
    return f"{told} · shown is the ledger, which last spoke of {theme.safe(theme.stamp(ledger.at or None, zone()))}"


def running(found: Door) -> Answer | None:
    """How the process stands; where it does not answer, an empty state and None."""
    status = found.engine.status()
    if not status.alive:
        empty("No process answers, so what only it knows cannot be shown.", words("run", "--state", found.state))
        return None
    return status
