"""Is every part healthy, what passes the bus, does the ledger verify, and what went wrong?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import log_file, parts, theme
from dashboard.data import Answer, Door
from dashboard.views.backtests import show_job
from dashboard.views.overview import event_row
from src.core.messages import CHANNELS

VERIFY = "verification"
_WRONG = frozenset({"fault", "quarantine", "dead_letter", "alarm", "halt", "bus_down", "foreign", "notice", "command"})


def show() -> None:
    """The page."""
    parts.title("System", "Is every part healthy, what passes the bus, and does the ledger verify?")
    parts.live(_body)
    parts.live(_verification)
    _log_head()
    parts.live(_log)
    parts.live(_troubles)
    parts.meanings("data_age", "ledger_rows", "backlog", "messages", "rate", "log", "faults", "dead_letters", "memory")


def _body() -> None:
    found = parts.door()
    parts.places(lambda: _health(found), lambda: _bus(found))


def _health(found: Door) -> None:
    status = found.engine.status()
    parts.figures(
        ("data_age", theme.age(status.age if status.alive else found.ledger.age)),
        ("ledger_rows", f"{found.ledger.seq:,}"),
        ("backlog", status.fields.get("ledger", {}).get("backlog", "-")),
        ("memory", status.fields.get("memory", {}).get("records", "-")),
        ("faults", sum(status.fields.get("faults", {}).values())),
        ("quarantined", len(status.fields.get("quarantined", {}))),
        ("dead_letters", len(found.ledger.letters)),
    )
    parts.table(health_of(found, status), "health")


def _bus(found: Door) -> None:
    parts.heading("messages", "Bus taps")
    messages = found.engine.status().fields.get("messages")
    if messages:
        parts.table(_taps(messages, found), "taps", 340)
    else:
        parts.empty("No process tells what passes its bus.", parts.words("run", "--state", found.state))


def health_of(found: Door, status: Answer) -> list[dict[str, str]]:
    """Every part with ok, warn or fail and what to do."""
    fields, ledger = status.fields, found.ledger
    alive = status.alive
    failed, forgot = fields.get("ledger", {}).get("failure"), fields.get("memory", {}).get("failure")
    return [
        _part("engine", alive, f"process {fields.get('pid')}, {fields.get('phase')}" if alive else status.said),
        _part("bus", fields.get("bus_up", None), str(fields.get("bus", "")) or "unknown"),
        _part("ledger file", not ledger.said, ledger.said or f"row {ledger.seq:,}, read-only"),
        _part("ledger writer", None if not alive else failed is None, str(failed or "writes")),
        _part("memory", None if not alive else forgot is None, str(forgot or "remembers")),
        _part(
            "agents",
            None if not alive else not fields.get("quarantined"),
            str(fields.get("quarantined") or "all go on"),
        ),
        _part("halt", None if not alive else not fields.get("standing"), str(fields.get("standing") or "none")),
    ]


def _part(name: str, good: bool | None, told: str) -> dict[str, str]:
    word = "- unknown" if good is None else "✔ ok" if good else "✘ look here"
    return {"part": name, "state": word, "says": told}


def _taps(counts: Mapping[str, int], found: Door) -> list[dict[str, Any]]:
    """All channels there are, how much passed, and how much a second since this viewer last looked."""
    now, before = found.timer.seconds(), st.session_state.get("taps")
    st.session_state["taps"] = (now, dict(counts))
    rows = []
    for channel in CHANNELS:
        total, rate = counts.get(channel.template, 0), None
        if before is not None and now > before[0]:
            rate = round((total - before[1].get(channel.template, 0)) / (now - before[0]), 1)
        tap = f"mycelial tap '{channel.pattern}'"
        who = ", ".join(channel.publishers)
        rows.append({"channel": channel.template, "messages": total, "a second": rate, "from": who, "tap": tap})
    return rows


def _verification() -> None:
    found = parts.door()
    parts.heading("ledger_rows", "Ledger verification")
    asked = st.button("Verify the hash chain", key="verify", icon=":material/fact_check:")
    if asked and found.jobs.start(VERIFY, ["verify", str(found.state)]) is None:
        st.warning("Another job of this monitor still runs; wait for it.")
    job = found.jobs.newest(VERIFY)
    if job is None:
        parts.empty("Not asked since this monitor was started.", parts.words("verify", found.state))
    else:
        show_job(job, "verify_job")


def _log_head() -> None:
    """Which lines of the log are wanted; outside of what is shown again and again, so that typing is not disturbed."""
    parts.heading("log")
    left, right = st.columns([1, 3])
    with left:
        st.selectbox("At least", log_file.LEVELS, key="log_level", index=log_file.LEVELS.index("info"))
    with right:
        st.text_input(
            "In which stands",
            key="log_words",
            max_chars=200,
            placeholder="the id of an order or a run, the time of a slice, a pair",
            help="What belongs together carries the same run, slice (at), order or pair.",
        )


def _log() -> None:
    found = parts.door()
    lines = found.log.lines()
    if not lines:
        parts.empty(
            "There is no log here: a run of this state folder writes one.", parts.words("run", "--state", found.state)
        )
        return
    level, words = str(st.session_state.get("log_level")), str(st.session_state.get("log_words") or "")
    shown = log_file.chosen(lines, level, words)
    st.caption(f"{theme.safe_words(found.log.path)}: {len(shown)} of the newest {len(lines)} lines, newest first")
    if shown:
        parts.table([log_file.row(line) for line in shown], "log_lines", 360)
    else:
        parts.empty("No line is so loud, or says this.", "mycelial status")


def _troubles() -> None:
    found = parts.door()
    parts.heading("faults", "In the ledger: faults, halts, commands, strangers")
    rows = [event_row(event, parts.zone()) for event in found.ledger.events if event["kind"] in _WRONG]
    letters = [
        {
            "time": theme.moment(one["ms"], parts.zone()),
            "what": "dead letter",
            "reason": one.get("reason"),
            "by": one.get("key"),
        }
        for one in found.ledger.letters
    ]
    if rows or letters:
        parts.table([*reversed([*rows, *letters])][:200], "troubles", 320)
    else:
        parts.empty("Nothing went wrong in what was read of the ledger.", "mycelial status")
