"""The tables about the swarm itself: every figure of the result in its place, and what is not known said so."""

from __future__ import annotations

from typing import Any

import pytest

from src.backtesting import report
from src.backtesting.discovery import discover
from src.backtesting.effects import effects
from src.backtesting.findings import moats, synthesis
from src.backtesting.recorder import Recorder
from src.backtesting.result import CONTROLS, build
from src.backtesting.runs import Run
from src.core.types import Pair, Stream
from tests.backtesting.moat_worlds import tree, walked

from .reports import facts, record, shadow_trade

WORLD = tree(simulated__moats__commits_day=240.0, simulated__moats__commits_correlation=0.4)
HORIZONS = {"HFT": 3, "DayTrade": 6, "Swing": 24}


@pytest.fixture(scope="module")
def run() -> Run:
    """The small run of all report tests, with the moats of a planted world."""
    aligned = walked(WORLD, 1, 2500)
    standings = moats(aligned.view, WORLD.moats.board.strength)
    books = dict(facts().trades)
    books |= {CONTROLS["ridge"]: [shadow_trade(Stream.CONTROL, "7")], CONTROLS["noise"]: []}
    given = facts(
        trades=books, horizons=HORIZONS, statistics=WORLD.statistics, moats=standings, synthesis=synthesis(standings),
        discovery=discover(aligned, WORLD.statistics), effects=effects(aligned, WORLD.statistics, 7),
        consensus={"HFT": 4}, agreement={"HFT": 0.625, "Swing": None},
        rivals_ideas={CONTROLS["ridge"]: (40, 3)},
        deployments={
            "attempted": 3, "deployed": 2, "retired": 0, "refused": {"capacity": 1},
            "requests": {"asked": 7, "repeated": 2, "answered": {"no_such_source": 4, "source_too_young": 1}},
        },
        learning={
            "patterns": {"requested": 40, "validated": 4, "failed": 6, "undecided": 20, "overflow": 9},
            "undecided": {"too_few_matches": 5, "weak_evidence": 15},
        },
    )  # fmt: skip
    done = record(Recorder()).recorded()
    return Run(build(done, given), {book: list(closed) for book, closed in books.items()}, done.curve)


def row(shown: str, table: str, name: str) -> list[str]:
    lines = shown[shown.index(table) :].splitlines()
    line = next(line for line in lines if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_controls_stand_under_the_streams_and_in_the_result(run: Run) -> None:
    shown = report.text(run)
    assert row(shown, "STREAMS", "control: pooled ridge")[1:5] == ["40", "1", "100.0", "0.70"]
    assert row(shown, "STREAMS", "control: noise")[1:5] == ["0", "0", "-", "0.00"]
    made = run.result["controls"]
    assert list(made) == ["ridge", "noise"]
    assert (made["ridge"]["trades"], made["noise"]["trades"]) == (1, 0)
    assert (made["ridge"]["ideas"], made["ridge"]["ideas_above_cost"]) == (40, 3)
    sentence = "It cannot be told whether the swarm beat the pooled ridge: 2 days are fewer than 56."
    assert made["ridge"]["swarm_against"]["says"] == sentence
    assert sentence in shown
    assert list(run.result["streams"]) == ["baseline", "mycelial", "synthesized"]


def test_without_controls_there_is_no_row() -> None:
    done, given = record(Recorder()).recorded(), facts()
    plain = Run(build(done, given), dict(given.trades), done.curve)
    shown = report.text(plain)
    assert plain.result["controls"] == {}
    assert "control:" not in shown
    assert "nothing known" in shown


def test_strategy_types_of_every_book(run: Run) -> None:
    made = run.result["strategy_types"]
    assert list(made) == ["baseline", "mycelial", "synthesized", "mycelial_edge_tested", *CONTROLS.values()]
    assert list(made["baseline"]) == list(HORIZONS)
    assert made["mycelial"]["none"]["trades"] == 2
    cells = row(report.text(run), "STRATEGY TYPES", "mycelial")
    assert cells == ["mycelial", "none", "2", "50.0", "0.50", "1.00", "12:00"]


def test_moats_with_their_abstentions(run: Run) -> None:
    made = run.result["moats"]
    assert list(made) == ["code", "government", "logistics", "corporate"]
    assert {"status", "quality", "strength", "grade", "age_ms", "simulated", "abstentions"} <= set(made["code"])
    assert made["code"]["abstentions"] == 1
    cells = row(report.text(run), "MOATS (at the end", "code")
    assert cells[0] == "code"
    assert cells[-2:] == ["1", "simulated"]
    assert f"together {run.result['synthesis']['verdict']}" in report.text(run)


def test_the_planted_effect_is_told_in_a_sentence(run: Run) -> None:
    shown = report.text(run)
    said = run.result["effects"]["moats"]
    assert said["code"]["says"].startswith(
        "code (simulated): an effect at lag 6: rank correlation of what became known"
    )
    for moat in said.values():
        assert f"| {moat['says']} " in shown
    assert "moves of 6 bars, 0, 3, 6, 12, 24 bars later; 40 tests" in shown


def test_what_was_discovered_stands_beside_chance(run: Run) -> None:
    found = run.result["discovery"]
    cells = row(report.text(run), "PATTERN DISCOVERY", "anomalies, z beyond 2.5")
    assert cells[1:3] == [str(found["anomalies"]["tested"]), str(found["anomalies"]["found"])]
    assert row(report.text(run), "STRONGEST", found["anomalies"]["largest"][0]["series"])[1:3] == [
        found["anomalies"]["largest"][0]["at"], "-",
    ]  # fmt: skip


def test_the_explorers_agreement_is_shown(run: Run) -> None:
    """M-F44: explorers of one mind would make the votes of two no evidence; how alike they vote is told."""
    shown = report.text(run)
    assert "DISCOVERY (2 of 3 deployments made)" in shown
    assert row(shown, "DISCOVERY (2", "HFT") == ["HFT", "4", "62.5"]
    assert row(shown, "DISCOVERY (2", "Swing") == ["Swing", "0", "-"]


def test_what_learners_asked_for_and_the_answers_are_shown(run: Run) -> None:
    shown = report.text(run)
    assert row(shown, "TOOL REQUESTS", "asked") == ["asked", "7"]
    assert row(shown, "TOOL REQUESTS", "asked again at once") == ["asked again at once", "2"]
    assert row(shown, "TOOL REQUESTS", "no_such_source") == ["no_such_source", "4"]
    assert row(shown, "TOOL REQUESTS", "source_too_young") == ["source_too_young", "1"]


def test_what_became_of_the_patterns_adds_up(run: Run) -> None:
    shown = report.text(run)
    assert "PATTERNS (40 put before the researchers)" in shown
    assert row(shown, "PATTERNS", "validated") == ["validated", "4", "10.0"]
    assert row(shown, "PATTERNS", "undecided") == ["undecided", "20", "50.0"]
    assert row(shown, "PATTERNS", "undecided, weak_evidence") == ["undecided, weak_evidence", "15", "37.5"]
    assert row(shown, "PATTERNS", "waiting for their windows") == ["waiting for their windows", "10", "25.0"]


def test_where_nobody_asked_there_are_no_such_tables(run: Run) -> None:
    quiet = {"deployments": {"attempted": 1}, "learning": {"patterns": {}}}
    shown = report.text(Run(run.result | quiet, run.trades, run.curve))
    assert "TOOL REQUESTS" not in shown
    assert "PATTERNS (" not in shown


def test_the_plain_text_fits_its_width_and_its_letters(run: Run) -> None:
    shown = report.text(run, "week")
    assert max(len(line) for line in shown.splitlines()) <= 160
    assert shown.isascii()
    assert not any(line.startswith("| ") and line.count("|") == 0 for line in shown.splitlines())


def test_an_older_result_is_still_shown(run: Run) -> None:
    """Results of earlier versions have none of these sections."""
    sections = ("controls", "strategy_types", "moats", "synthesis", "discovery", "effects")
    older: dict[str, Any] = {name: value for name, value in run.result.items() if name not in sections}
    shown = report.text(Run(older, run.trades, run.curve))
    assert "MOATS (at the end; nothing known)" in shown
    assert Pair("BTC/USDT") in shown
