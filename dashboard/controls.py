"""The side bar: time zone, pause, and halting and resuming with confirmation, through the command line's own door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from src.core.types import CommandKind

from . import parts, theme
from .data import Answer, Door, MycelialError

EVERYTHING = "everything"
MOST_PAIRS = 3
"""So many pairs are named in the side bar; the banner names all."""
HALTED = "Halted"
_STATES = {"halted": HALTED.lower(), "reduce_only": "exits only"}
HALT_ALL, REDUCE = "nothing leaves but stops", "exits go on, entries do not"


def sidebar() -> None:
    """What is the same on every page."""
    with st.sidebar:
        names = list(dict.fromkeys([*theme.ZONES, st.context.timezone or "UTC"]))
        st.selectbox(
            "Time zone", names, key="zone", help="Of every time that is shown; the engine itself counts in UTC."
        )
        st.toggle("Pause", key="paused", help="Stops looking again, for instance to read a table; the engine goes on.")
        parts.live(_standing)
        _buttons()


def _standing() -> None:
    """Whether it trades; where a process came or went, the whole page is drawn anew, since buttons depend on it."""
    status = parts.door().engine.status()
    st.markdown(f"**{whether_it_trades(status)}**")
    if st.session_state.setdefault("alive", status.alive) is not status.alive:
        st.session_state["alive"] = status.alive
        st.rerun()


def whether_it_trades(status: Answer) -> str:
    """In Markdown: how far everything is held back, and which pairs are besides."""
    if not status.alive:
        return "Engine down"
    standing: Mapping[str, Mapping[str, Any]] = status.fields.get("standing") or {}
    whole = _state(standing["all"]).capitalize() if "all" in standing else "Trading"
    pairs = [f"{theme.safe(name)} {_state(one)}" for name, one in sorted(standing.items()) if name != "all"]
    if not pairs or whole == HALTED:
        return whole
    more = [f"{len(pairs) - MOST_PAIRS} more"] if len(pairs) > MOST_PAIRS else []
    return f"{whole}, but {', '.join([*pairs[:MOST_PAIRS], *more])}"


def _state(one: Mapping[str, Any]) -> str:
    return _STATES.get(str(one.get("state")), theme.safe(one.get("state")))


def _buttons() -> None:
    """Outside of what is shown again and again: a dialog opened there is forgotten when it is shown again."""
    alive = parts.door().engine.status().alive
    st.session_state["alive"] = alive
    if st.button("Halt…", key="halt", icon=":material/front_hand:", disabled=not alive, width="stretch"):
        _confirm_halt()
    if st.button("Resume…", key="resume", icon=":material/play_arrow:", disabled=not alive, width="stretch"):
        _confirm_resume()
    if not alive:
        st.caption("Without a process there is nothing to halt; start one with `mycelial run`.")
    if said := st.session_state.get("said"):
        st.caption(theme.safe_words(said))


@st.dialog("Halt the engine?")
def _confirm_halt() -> None:
    """As `mycelial halt REASON [--pair PAIR] [--reduce-only]`."""
    found = parts.door()
    st.markdown("From now on nothing leaves but stops and what you ask for to get out, until you resume.")
    with st.form("halt_form", border=False):
        pair = _scope(found, "halt_scope")
        level = st.radio("How far", [HALT_ALL, REDUCE], key="halt_level")
        reason = st.text_input("Why", key="halt_reason", max_chars=500, placeholder="exchange maintenance")
        wanted = st.form_submit_button("Yes, halt", key="halt_yes", type="primary")
    if wanted:
        _ask(found, CommandKind.HALT, reason, pair=pair, reduce_only=level == REDUCE)


@st.dialog("Resume trading?")
def _confirm_resume() -> None:
    """As `mycelial resume REASON [--pair PAIR]`."""
    found = parts.door()
    st.markdown("Entries are allowed again with the next slice; a file HALT in the state folder is removed.")
    with st.form("resume_form", border=False):
        pair = _scope(found, "resume_scope")
        reason = st.text_input("Why", key="resume_reason", max_chars=500, placeholder="maintenance is over")
        wanted = st.form_submit_button("Yes, resume", key="resume_yes", type="primary")
    if wanted:
        _ask(found, CommandKind.RESUME, reason, pair=pair)


def _scope(found: Door, key: str) -> str | None:
    pairs = [str(pair) for pair in found.engine.status().fields.get("pairs", ())]
    chosen = st.selectbox("What", [EVERYTHING, *pairs], key=key, format_func=theme.plain)
    return None if chosen == EVERYTHING else chosen


def _ask(found: Door, kind: CommandKind, reason: str, **fields: object) -> None:
    """Ask for it, with a reason: without one nothing is asked."""
    if not reason.strip():
        st.error("Say why: whoever comes after you wants to know.")
        return
    try:
        st.session_state["said"] = found.engine.command(kind.value, reason=reason, **fields)
    except MycelialError as error:
        st.error(theme.safe_words(error))
        return
    st.rerun()
