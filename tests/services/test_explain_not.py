"""Why nothing happened: every gate that can stop a pair, from the record alone, and on the tape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from src.core.clock import iso
from src.core.errors import NotFound, UsageError
from src.core.story import Line, Silence, Story
from src.core.traces import CANCELLED, MUTE, NO_BAR, NO_TEAM, SILENCED, TOO_FEW, WARMING, WATCHED
from src.core.types import Command, CommandKind, Side
from src.services.explain_not import why_not
from tests.golden import tape
from tests.stories import kinds, made, told
from tests.walked import Walk

AT = tape.closed_at(45)
NOW, EARLIER, LATER = iso(AT), iso(AT - tape.HOUR), iso(AT + tape.HOUR)
PAIR = "BTC/USDT"
TEAM = (0, WATCHED, 1, 1, 0, 500_000, 250_000, 0)
MANY = (0, TOO_FEW, 2, 0, 1, 4, 19, 910_000, 1_500)
MET = {"edge": 0.001, "baseline_confidence": 0.4, "mycelial_score": 0.9, "analysts": ["a"], "learners": ["l"]}


def line(kind: str, at: str = NOW, **fields: Any) -> Line:
    return {"at": at, "kind": kind, "pair": PAIR, **fields}


def idea(source: str, at: str = NOW, **fields: Any) -> Line:
    return line("idea", at, source=source, side="buy", score=0.4, voters=["a", "b"], **fields)


BOTH = [idea("baseline"), idea("mycelial")]


def asked(lines: list[Line], baseline: Any = TEAM, swarm: Any = MANY, **changes: Any) -> dict[str, Any]:
    """What stopped the pair at bar 45 of a record with these lines and rows of silence."""
    rows = Silence(AT - tape.HOUR, (baseline,) if baseline else (), (swarm,) if swarm else (), (0, 3, 4, 1))
    found = why_not(made(lines, [rows], **changes), PAIR, NOW)
    assert msgspec.json.decode(msgspec.json.encode(found))
    return found


@pytest.mark.parametrize(
    ("lines", "baseline", "swarm", "stopped", "says"),
    [
        ([], None, None, "team", "no team: nobody deployed one; no explorer ever proposed it"),
        ([], (0, NO_TEAM, 0, 0, 0, 0, 0, 0), MANY, "team", "it has no team"),
        ([line("deployment", EARLIER, reason="retired")], None, None, "team", f"its team retired at {EARLIER}"),
        ([line("deployment", EARLIER, reason="capacity", outcome="refused", team="HFT")], None, None, "team",
         "the last consensus was refused: capacity"),
        ([{"at": NOW, "kind": "bus_down", "source": "bus"}], TEAM, MANY, "data", "the bus was down"),
        ([], (0, NO_BAR, 0, 0, 0, 0, 0, 0), MANY, "data", f"no bar was announced since {EARLIER}"),
        ([], TEAM, MANY, "baseline", "2 of 3 analysts saw a signal, 2 must agree"),
        ([idea("baseline", EARLIER), line("conflict", EARLIER, **MET)], TEAM, MANY, "baseline", "agreement"),
        ([idea("baseline")], TEAM, None, "swarm", "no learner lives there"),
        ([idea("baseline")], TEAM, (0, WARMING, 0, 0, 0, 19, 19, 0, 0), "swarm", "still warming up, or abstain (0 of"),
        ([idea("baseline")], TEAM, (0, MUTE, 0, 0, 0, 4, 19, 700_000, -900), "swarm", "score 0.7, best edge -0.0009"),
        ([idea("baseline")], TEAM, MANY, "swarm", "agree (2 of the 3 that are needed; best score 0.91"),
        ([idea("baseline")], TEAM, (0, SILENCED, 2, 0, 2, 0, 19, 0, 0), "swarm", "2 silenced"),
        ([idea("baseline")], TEAM, (0, CANCELLED, 3, 3, 0, 0, 19, 0, 0), "swarm", "as many learners for one"),
        (BOTH, TEAM, MANY, "collision", "no collision"),
        ([*BOTH, line("conflict", side="sell", **MET)], TEAM, MANY, "conflict", "opposite sides: the swarm wants"),
        ([*BOTH, line("refusal", reason="edge_below_cost", **MET)], TEAM, MANY, "edge_below_cost",
         "the edge of 0.001 does not exceed the cost of a round trip, 0.0072"),
        ([*BOTH, line("refusal", reason="nothing_to_close", **MET)], TEAM, MANY, "nothing_to_close", "was held"),
        ([*BOTH, line("refusal", reason="memory_advises_against", **MET)], TEAM, MANY, "memory_advises_against",
         "memory advised against it"),
        ([{"at": EARLIER, "kind": "halt", "reason": "storm"}, *BOTH, line("refusal", reason="halted", **MET)], TEAM,
         MANY, "halted", "entries are halted: storm"),
        ([*BOTH, line("intent", side="buy", **MET)], TEAM, MANY, "supervisor", "planned no order"),
    ],
)  # fmt: skip
def test_each_gate_that_stops(lines: list[Line], baseline: Any, swarm: Any, stopped: str, says: str) -> None:
    found = asked(lines, baseline, swarm)
    assert found["stopped_by"] == stopped
    assert says in found["says"]
    assert [one["gate"] for one in found["gates"] if one["passed"] is False] == [stopped]
    assert found["gates"][-1]["gate"] == stopped, "what comes after the first stop was never asked"


def test_a_pair_without_a_team_shows_who_looked_at_it() -> None:
    votes = [line("vote", EARLIER, source="explorers-HFT", voters=["explorer-HFT-1 6/8"]),
             line("vote", source="explorers-HFT", voters=["explorer-HFT-1 5/8", "explorer-HFT-2 6/8"])]  # fmt: skip
    agreed = line("consensus", source="explorers-HFT", confidence=0.75, voters=["explorer-HFT-1"])
    refused = line("deployment", reason="cool_down", outcome="refused", team="HFT")
    gate = asked([*votes, agreed, refused], None, None)["gates"][0]
    assert gate["explorers"] == {"explorers-HFT": [NOW, "explorer-HFT-1 5/8", "explorer-HFT-2 6/8"]}
    assert gate["consensus"] == [{"at": NOW, "team": "explorers-HFT", "confidence": 0.75}]
    assert gate["refused"] == [{"at": NOW, "reason": "cool_down", "team": "HFT"}]


def test_votes_and_moats_are_shown() -> None:
    found = asked([])
    assert found["gates"][-1]["votes"] == [
        {"analyst": "analyst-BTC/USDT-1", "side": "buy", "confidence": 0.5, "signal": "rsi"},
        {"analyst": "analyst-BTC/USDT-2", "side": "buy", "confidence": 0.25, "signal": "rsi"},
        {"analyst": "analyst-BTC/USDT-3", "side": None, "confidence": 0.0, "signal": ""},
    ]
    assert found["moats"] == {"code": "NO_DATA", "government": "NEUTRAL", "logistics": "OK", "corporate": "STALE"}
    assert found["gates"][1]["abstaining"] == ["code", "corporate"]


def test_the_nearest_happenings_are_named() -> None:
    lines = [line("fill", EARLIER, side="buy", reason="entry", order="o1"), idea("baseline", EARLIER),
             line("order", LATER, side="sell", reason="horizon", order="o2"),
             line("fill", iso(AT + 2 * tape.HOUR), order="o2")]  # fmt: skip
    found = asked(lines)
    assert found["before"] == {"at": EARLIER, "kind": "fill", "side": "buy", "reason": "entry", "order": "o1"}
    assert found["after"] == {"at": LATER, "kind": "order", "side": "sell", "reason": "horizon", "order": "o2"}
    assert asked([])["before"] is None


# --- on the tape -------------------------------------------------------------------------------------------------


def stopped(walk: Walk, folder: Path, bar: int = 45) -> dict[str, Any]:
    return why_not(told(walk.all(), folder), "btc/usdt", iso(tape.closed_at(bar)))


def test_on_the_tape_it_did(tmp_path: Path) -> None:
    walk = Walk()
    found = stopped(walk, tmp_path)
    (order,) = [order for report in walk.reports for order in report.orders if order.side is Side.BUY]
    assert (found["stopped_by"], found["orders"]) == (None, [order.id])
    assert found["says"] == f"it did: order {order.id}"
    assert [one["gate"] for one in found["gates"]] == [
        "team", "data", "baseline", "swarm", "collision", "risk_gate", "broker",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "changes", "reason"),
    [
        ({}, {}, "swarm"),
        ({45: {"learners": ("a", "b")}}, {}, "swarm"),
        ({45: {"side": Side.SELL}}, {}, "conflict"),
        ({45: {"edge": 0.0072}}, {}, "edge_below_cost"),
        ({45: {}}, {"account__entry_equity_ratio": 1.0}, "insufficient_cash"),
    ],
)
def test_on_the_tape(said: dict[int, Any], changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    assert stopped(Walk(kinds=kinds(said), **changes), tmp_path)["stopped_by"] == reason


def test_on_the_tape_nobody_agreed(tmp_path: Path) -> None:
    found = stopped(Walk(), tmp_path, 30)
    assert found["stopped_by"] == "baseline"
    assert found["after"]["at"] == iso(tape.closed_at(45))
    assert found["after"]["kind"] == "intent"


def test_on_the_tape_without_a_team(tmp_path: Path) -> None:
    assert stopped(Walk(kinds=kinds({45: {}}, team=False)), tmp_path)["stopped_by"] == "team"


def test_on_the_tape_without_a_bar(tmp_path: Path) -> None:
    history = tape.history()
    holed = history.present.copy()
    holed[45] = False
    gap = {name: np.where(holed, getattr(history, name), np.nan) for name in ("open", "high", "low", "close")}
    volume = np.where(holed, history.volume, 0.0)
    walk = Walk(history=msgspec.structs.replace(history, present=holed, volume=volume, **gap), kinds=kinds({}))
    found = stopped(walk, tmp_path)
    assert found["stopped_by"] == "data"
    assert found["says"] == f"no bar was announced since {NOW}"


def test_on_the_tape_halted(tmp_path: Path) -> None:
    walk = Walk()
    walk.until(40)
    walk.put(Command(CommandKind.HALT, "storm", "control", id="a"))
    found = stopped(walk, tmp_path)
    assert (found["stopped_by"], found["halted"]) == ("halted", "storm")


def test_the_broker_that_does_not_execute(tmp_path: Path) -> None:
    story = told(Walk().all(), tmp_path)
    (order,) = [one for one in story.orders.values() if one.side is Side.BUY]
    states = [msgspec.structs.replace(one, state="rejected") for one in story.states if one.id == order.id]
    lines = [one for one in story.lines if one["kind"] != "order"]
    found = why_not(msgspec.structs.replace(story, states=states, lines=lines), PAIR, NOW)
    assert found["stopped_by"] == "broker"
    assert f"did not execute order {order.id}: rejected" in found["says"]


# --- what cannot be asked ----------------------------------------------------------------------------------------


@pytest.fixture
def story() -> Story:
    return made()


@pytest.mark.parametrize("time", ["1999-01-01", "2099-01-01", iso(tape.closed_at(0) - 1), iso(tape.closed_at(60))])
def test_times_outside_the_run(story: Story, time: str) -> None:
    with pytest.raises(NotFound, match="outside the run"):
        why_not(story, PAIR, time)


@pytest.mark.parametrize("time", ["yesterday", "", "2021-13-01", "12:00", "99999999999999999"])
def test_what_is_no_time(story: Story, time: str) -> None:
    with pytest.raises(UsageError, match="write 2022-03-01"):
        why_not(story, PAIR, time)


def test_times_between_slices_mean_the_slice_before(story: Story) -> None:
    between = iso(AT + tape.HOUR - 1)
    assert why_not(story, PAIR, between)["at"] == NOW
    assert why_not(story, PAIR, "last")["at"] == iso(tape.closed_at(59))
    assert why_not(story, PAIR, "2021-01-02")["at"] == "2021-01-02T00:00:00.000Z"


def test_an_unknown_pair(story: Story) -> None:
    with pytest.raises(NotFound, match="no pair 'XRP/USDT'; there are BTC/USDT"):
        why_not(story, "XRP/USDT", "last")
