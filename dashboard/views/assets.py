"""One pair: its candles, ideas and trades, why they were made, and where it stands in its life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import charts, parts, theme
from dashboard.data import Answer, Door, at_of

_MARKS, _SHOWN = 120, 300
STAGES = {
    "active": "active",
    "probation_1": "probation",
    "probation_2": "deep probation",
    "hibernated": "hibernating",
    "delisted": "delisted",
    "revived": "revived",
}
"""Stages of a life in words."""
_WELL = ("active", "revived")


def show() -> None:
    """The page."""
    parts.title("Assets", "What did a pair do, what was thought and traded, and why?")
    found = parts.door()
    pairs = pairs_of(found)
    if not pairs:
        parts.empty("No pair is known yet.", parts.words("run", "--state", found.state))
        return
    st.selectbox("Pair", pairs, key="asset", format_func=theme.plain, index=_usual(pairs))
    parts.live(_body)
    parts.meanings("price", "volume", "lifecycle", "size_share", "life_profit", "trades", "win_ratio", "profit")


def pairs_of(found: Door) -> list[str]:
    """Pairs of the process, or of the run that the ledger tells of."""
    told = found.engine.status().fields.get("pairs") or found.ledger.start.get("pairs") or ()
    return [str(pair) for pair in told]


def _usual(pairs: Sequence[str]) -> int:
    return next((n for n, pair in enumerate(pairs) if pair.startswith("BTC/")), 0)


def _body() -> None:
    found, pair = parts.door(), str(st.session_state.get("asset"))
    trades = found.ledger.rows("SELECT * FROM trades WHERE pair = ? ORDER BY rowid DESC LIMIT 300", pair)
    candles = found.engine.candles(pair, st.session_state.get("candle_count") or _SHOWN)
    parts.places(
        lambda: _standing(found, pair, candles, trades),
        lambda: _life(found, pair),
        lambda: _prices(found, pair, candles, trades),
        lambda: _trades(trades),
        lambda: _why(found, pair),
    )


def _standing(found: Door, pair: str, candles: Answer, trades: Sequence[Mapping[str, Any]]) -> None:
    status = found.engine.status().fields
    closes, volumes = candles.fields.get("close", []), candles.fields.get("volume", [])
    won = [trade for trade in trades if trade["trade_result"] == "WIN"]
    parts.figures(
        ("price", theme.number(closes[-1], 2 if closes[-1] >= 1000 else 4) if closes else "-"),
        ("volume", theme.number(volumes[-1]) if volumes else "-"),
        *([] if pair in status.get("assets", {}) else [("lifecycle", stage_of(found, pair, status))]),
        ("positions", status.get("positions", {}).get(pair, "0")),
        ("trades", f"{len(trades)}" + ("+" if len(trades) == 300 else ""), "all streams"),
        ("win_ratio", f"{100 * len(won) / len(trades):.0f} %" if trades else "-"),
    )


def stage_of(found: Door, pair: str, status: Mapping[str, Any]) -> str:
    """Where a pair stands: as the process tells, else by its newest change that was read, else by its team."""
    told = status.get("assets", {}).get(pair, {}).get("stage")
    known = told or next((one.get("reason") for one in reversed(changes_of(found, pair))), None)
    if known:
        return STAGES.get(str(known), theme.plain(known))
    return "with a team" if pair in status.get("active", ()) else "no team"


def changes_of(found: Door, pair: str | None = None) -> list[Mapping[str, Any]]:
    """Changes of stage in what was read of the ledger, oldest first; of all pairs where none is named."""
    return [one for one in list(found.ledger.changes) if pair is None or one.get("pair") == pair]


def _life(found: Door, pair: str) -> None:
    """The stage of the pair with its share of size and the reason, its history, and who else is not well."""
    parts.heading("lifecycle", "Where it stands in its life")
    lives = found.engine.status().fields.get("assets", {})
    one = lives.get(pair)
    if one is not None:
        parts.figures(
            (
                "lifecycle",
                STAGES.get(one["stage"], one["stage"]),
                f"since {theme.stamp(at_of(one['since']), parts.zone())}",
            ),
            ("size_share", f"{100 * float(one['size']):.0f} %"),
            ("life_profit", theme.percent(one["profit_ratio"])),
        )
        st.markdown(f"Why: {theme.safe_words(one['why'])}.  \nNext: {theme.safe_words(one['next'])}.")
    elif not changes_of(found, pair):
        parts.empty(
            "It never had a team or a trade, so it has no life to tell of.",
            parts.words("why-not", pair, "--at", "last"),
        )
    changes = [change_row(one, parts.zone()) for one in changes_of(found, pair)[-50:]]
    if changes:
        parts.table([*reversed(changes)], "life_changes")
    unwell = [life_row(name, told, parts.zone()) for name, told in lives.items() if told["stage"] not in _WELL]
    if unwell:
        parts.heading("size_share", "All pairs that may not have their full size")
        parts.table(unwell, "unwell")


def life_row(pair: str, one: Mapping[str, Any], zone: str) -> dict[str, Any]:
    """A pair's life in one line."""
    return {
        "pair": pair,
        "stage": STAGES.get(one["stage"], one["stage"]),
        "size %": 100 * float(one["size"]),
        "net returns %": round(100 * float(one["profit_ratio"]), 4),
        "since": theme.moment(at_of(one["since"]), zone),
        "on probation since": theme.moment(at_of(one["probation_since"]), zone),
        "why": one["why"],
    }


def change_row(one: Mapping[str, Any], zone: str) -> dict[str, Any]:
    """A change of stage in one line."""
    stages = (str(one.get("before") or ""), str(one.get("reason")))
    before, after = (STAGES.get(stage, stage) for stage in stages)
    profit = one.get("profit_ratio")
    told = None if profit is None else round(100 * float(profit), 4)
    return {"time": theme.moment(one.get("ms"), zone), "from": before, "to": after, "net returns %": told}


def _prices(found: Door, pair: str, candles: Answer, trades: Sequence[Mapping[str, Any]]) -> None:
    parts.heading("price", f"{theme.safe(pair)}: candles, ideas, trades")
    zone, told = parts.zone(), candles.fields
    st.segmented_control("Candles", [100, _SHOWN, 1000], default=_SHOWN, key="candle_count")
    opened = told.get("opened")
    if opened:
        prices = {name: told[name] for name in ("open", "high", "low", "close", "volume")}
        marks = marks_of(found, pair, trades, opened[0], zone)
        drawn = charts.candles({"at": [theme.moment(at, zone) for at in opened], **prices}, marks, parts.colours())
        parts.chart(drawn, "candles")
        return
    known = sorted(_known_prices(trades))
    if known:
        st.caption("No process holds candles; these are the prices at which trades of this pair were made.")
        at, price = [theme.moment(one, zone) for one, _ in known], [price for _, price in known]
        marks = marks_of(found, pair, trades, known[0][0], zone)
        parts.chart(charts.line_of_prices(at, price, marks, parts.colours()), "candles")
    else:
        parts.empty(
            "No process holds candles, and no trade tells a price.",
            parts.words("run", "--state", found.state),
        )


def _known_prices(trades: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    entries = [(int(trade["entry_timestamp"]), float(trade["entry_price"])) for trade in trades]
    return entries + [(int(trade["exit_timestamp"]), float(trade["exit_price"])) for trade in trades]


def marks_of(
    found: Door, pair: str, trades: Sequence[Mapping[str, Any]], since: int, zone: str
) -> list[dict[str, Any]]:
    """Entries, exits and ideas of a pair since a time, newest first and not too many."""
    marks: list[dict[str, Any]] = []
    for trade in trades:
        for name in ("entry", "exit"):
            at = int(trade[f"{name}_timestamp"])
            if at >= since and len(marks) < _MARKS:
                text = f"{trade['stream']} {name}, {trade['exit_reason']}, profit {theme.number(trade['pnl_absolute'])}"
                price = float(trade[f"{name}_price"])
                marks.append({"name": name, "at": theme.moment(at, zone), "price": price, "text": text})
    return marks + _ideas(found, pair, since, zone)


def _ideas(found: Door, pair: str, since: int, zone: str) -> list[dict[str, Any]]:
    """Where the process or a meeting told the price of an idea."""
    marks = []
    for told in list(found.ledger.meetings)[-_MARKS:]:
        meeting = told.get("meeting", {})
        for heard in meeting.get("heard", ()):
            message = heard.get("message", {})
            if message.get("pair") == pair and message.get("type") == "mycelial_idea" and message["at"] >= since:
                name = "idea to buy" if message.get("side") == "buy" else "idea to sell"
                text = f"{len(message.get('learners', ()))} learners, score {theme.number(message.get('score'), 3)}"
                at = theme.moment(message["at"], zone)
                marks.append({"name": name, "at": at, "price": message.get("price"), "text": text})
    return marks


def _trades(trades: Sequence[Mapping[str, Any]]) -> None:
    parts.heading("trades")
    if not trades:
        parts.empty("No round trip of this pair was closed.", "mycelial why-not PAIR --at last")
        return
    zone = parts.zone()
    rows = [
        {
            "trade": trade["trade_id"],
            "stream": trade["stream"],
            "in": theme.moment(trade["entry_timestamp"], zone),
            "out": theme.moment(trade["exit_timestamp"], zone),
            "entry": float(trade["entry_price"]),
            "exit": float(trade["exit_price"]),
            "profit": float(trade["pnl_absolute"]),
            "%": float(trade["pnl_pct"]),
            "why it ended": trade["exit_reason"],
        }
        for trade in trades[:100]
    ]
    parts.table(rows, "trades", 300)


def _why(found: Door, pair: str) -> None:
    """The newest meetings of baseline and swarm over the pair, with their votes."""
    parts.heading("collisions", "Why: newest meetings of baseline and swarm")
    told = [one for one in found.ledger.meetings if _pair_of(one) == pair][-8:]
    if not told:
        parts.empty("Baseline and swarm did not meet on it lately.", parts.words("why-not", pair, "--at", "last"))
        return
    for n, one in enumerate(reversed(told)):
        with st.expander(theme.safe(_summary(one)), expanded=n == 0):
            parts.table(_voices(one), f"meeting_{n}")


def _pair_of(told: Mapping[str, Any]) -> str:
    heard = told.get("meeting", {}).get("heard", ())
    return str(heard[0].get("message", {}).get("pair")) if heard else ""


def _summary(told: Mapping[str, Any]) -> str:
    meeting = told.get("meeting", {})
    parts_ = [theme.stamp(told.get("ms"), parts.zone()), str(meeting.get("outcome") or meeting.get("advice") or "met")]
    return ", ".join(one for one in (*parts_, str(meeting.get("refused") or "")) if one)


def _voices(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for heard in told.get("meeting", {}).get("heard", ()):
        message = heard.get("message", {})
        for vote in message.get("votes", ()):
            said = {
                "who": vote["voter"],
                "side": vote["side"],
                "confidence": vote["confidence"],
                "signal": vote["reason"],
            }
            rows.append(said)
        if message.get("learners"):
            who = f"{len(message['learners'])} learners: {', '.join(message['learners'][:6])}"
            rows.append({"who": who, "side": message["side"], "confidence": message["score"], "signal": "swarm"})
    return rows
