"""Runs on history: start one, watch it, load it, compare it, and see what the promotion gate and A/B said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import charts, parts, theme
from dashboard.data import Door
from dashboard.jobs import Job

Fields = Mapping[str, Any]
JOB, SHEET = "backtest", "tear sheet"
_TIMERANGE = re.compile(r"\d{8}(T\d{4})?-(\d{8}(T\d{4})?)?|-\d{8}(T\d{4})?|")
_PAIRS = re.compile(r"[A-Za-z0-9/, ]{0,400}")


def show() -> None:
    """The page."""
    parts.title("Backtests", "What would it have done, is that worth anything, and how do runs differ?")
    found = parts.door()
    _start(found)
    parts.live(_watch)
    _loaded(found)
    parts.meanings("verdict", "total_profit", "sharpe", "max_drawdown", "profit_factor", "win_ratio", "promotion")


def _start(found: Door) -> None:
    with st.expander("Start a backtest", icon=":material/play_arrow:", expanded=False):
        if found.data is None:
            parts.empty("The monitor was not told where recorded days lie.", "mycelial dashboard --data DIR")
            return
        with st.form("start_backtest"):
            pairs = st.text_input("Pairs", "", help="BTC/USDT,ETH/USDT; empty: all there are", max_chars=400)
            timerange = st.text_input("Time range", "", help="20220101-20220701, half open, UTC", max_chars=40)
            timeframe = st.selectbox("Bar length", ["1h", "5m", "15m", "4h", "1d"])
            seed = st.number_input("Seed", 0, 2**31, 7)
            wanted = st.form_submit_button("Start", type="primary")
        if wanted:
            _launch(found, pairs, timerange, str(timeframe), int(seed))


def words_of(data: str, pairs: str, timerange: str, timeframe: str, seed: int) -> list[str] | None:
    """The command line of a backtest; None where a field is not what it should be."""
    if not _TIMERANGE.fullmatch(timerange) or not _PAIRS.fullmatch(pairs):
        return None
    words = ["backtest", "--data", data, "--timeframe", timeframe, "--seed", str(seed)]
    words += [f"--pairs={pairs}"] if pairs.strip() else []
    return words + ([f"--timerange={timerange}"] if timerange else [])


def _launch(found: Door, pairs: str, timerange: str, timeframe: str, seed: int) -> None:
    words = words_of(str(found.data), pairs, timerange, timeframe, seed)
    if words is None:
        st.error("Write pairs as BTC/USDT,ETH/USDT and the time range as 20220101-20220701.")
    elif found.jobs.start(JOB, words) is None:
        st.warning("Another job of this monitor still runs; wait for it, or stop it below.")


def _watch() -> None:
    """What was started here; when it has ended, the page is drawn anew, with what it made."""
    found = parts.door()
    jobs = [job for name in (JOB, SHEET) if (job := found.jobs.newest(name)) is not None]
    for job in jobs:
        show_job(job, f"{job.name}_job")
    ended = {job.name: (job.started, job.code) for job in jobs if job.code is not None}
    before = st.session_state.setdefault("ended_jobs", ended)
    if before == ended:
        return
    st.session_state["ended_jobs"] = ended
    runs = found.runs.listed()
    if runs and JOB in ended and before.get(JOB) != ended[JOB] and ended[JOB][1] == 0:
        st.session_state["run"] = runs[0]["run"]  # the one that was just made
    st.rerun()


def show_job(job: Job, key: str) -> None:
    """A started command: state, what it says, and how to stop it."""
    code = job.code
    state = "running" if code is None else "done" if code == 0 else f"failed with exit code {code}"
    with st.container(border=True):
        st.markdown(f"**{theme.safe(job.name)}**: {state}")
        st.code(job.line, language="bash")
        st.code(job.tail()[-3000:] or "…", language=None, height=180)
        if code is None and st.button("Stop it", key=f"{key}_stop"):
            job.end()


def _loaded(found: Door) -> None:
    runs = found.runs.listed()
    if not runs:
        parts.empty("No backtest has been kept yet.", "mycelial backtest --data DIR")
        return
    parts.heading("verdict", "Runs")
    parts.table([run_row(run) for run in runs], "runs", 260)
    names = [str(run["run"]) for run in runs if "damaged" not in run]
    if not names:
        return
    chosen = st.selectbox("Load", names, key="run", format_func=theme.plain)
    _one(found, str(chosen))
    if len(names) == 1:
        return
    others = st.multiselect("Compare with", [name for name in names if name != chosen], key="others", max_selections=5)
    if others:
        _compared(found, [str(chosen), *others])


def run_row(run: Fields) -> dict[str, Any]:
    """A run in one line."""
    account = run.get("account") or {}
    stream = (run.get("streams") or {}).get("synthesized") or {}
    return {
        "run": run["run"],
        "days": " to ".join(str(day)[:10] for day in run.get("timerange") or ()),
        "pairs": len(run.get("pairs") or ()),
        "bars": run.get("bars"),
        "simulated": run.get("simulated"),
        "profit %": _percent(stream.get("total_profit_ratio")),
        "drawdown %": _percent(account.get("max_drawdown_ratio")),
        "fills": account.get("fills"),
        "verdict": run.get("damaged") or run.get("verdict"),
    }


def _percent(value: Any) -> float | None:
    return round(100 * value, 3) if isinstance(value, int | float) else None


def _one(found: Door, name: str) -> None:
    run = found.runs.one(name)
    parts.heading("verdict")
    st.markdown(theme.safe_words(run.get("verdict", "-")))
    if run.get("simulated"):
        st.warning("This run walked a SIMULATED market.", icon=":material/science:")
    rows = [{"stream": stream, **_stream(one)} for stream, one in (run.get("streams") or {}).items()]
    held = run.get("buy_and_hold")
    rows += [{"stream": "buy and hold", **_stream(held)}] if isinstance(held, dict) else []
    parts.table(rows, "run_streams")
    at, equity = found.runs.curve(name)
    if at:
        parts.chart(charts.curves({"account": (at, equity)}, parts.colours()), "run_curve")
    _verdicts(found, name)
    _sheet(found, name)


def _stream(one: Fields) -> dict[str, Any]:
    return {
        "profit %": _percent(one.get("total_profit_ratio")),
        "drawdown %": _percent(one.get("max_drawdown_ratio")),
        "Sharpe": one.get("sharpe"),
        "profit factor": one.get("profit_factor"),
        "trades": one.get("trades"),
        "won %": _percent(one.get("win_ratio")),
        "fees": one.get("fees"),
    }


def _verdicts(found: Door, name: str) -> None:
    """What the promotion gate and the A/B comparison said, where they were asked."""
    parts.heading("promotion")
    gate, ab = found.runs.beside(name, "gate.json"), found.runs.beside(name, "ab.json")
    if gate is None:
        parts.empty("The promotion gate was not asked about this run.", parts.words("gate", name))
    else:
        st.json(gate, expanded=1)
    if ab is None:
        parts.empty("No A/B comparison was made with this run.", "mycelial ab --data DIR")
    else:
        st.json(ab, expanded=1)


def _sheet(found: Door, name: str) -> None:
    path = found.runs.sheet(name)
    if st.button("Make the tear sheet", key="make_sheet", icon=":material/description:"):
        words = ["report", str(found.runs.path(name)), "--html", str(path)]
        if found.jobs.start(SHEET, words) is None:
            st.warning("Another job of this monitor still runs; wait for it.")
        else:
            st.rerun()
    if path.is_file():
        st.download_button("Tear sheet (HTML)", path.read_bytes(), f"{name}.html", "text/html", key="sheet")


def _compared(found: Door, names: Sequence[str]) -> None:
    parts.heading("total_profit", "Side by side")
    parts.table([run_row({"run": name, **found.runs.one(name)}) for name in names], "compared")
    lines = {name: found.runs.curve(name) for name in names}
    parts.chart(
        charts.curves({name: line for name, line in lines.items() if line[0]}, parts.colours()), "compared_curves"
    )
    st.caption("Whether the difference is more than chance:")
    st.code(parts.words("compare", *names), language="bash")
