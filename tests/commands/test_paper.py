"""Paper trading as its user sees it: hand orders on the one order path, reconciliation, policies, the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from .cli import SMALL, Process, Say, journal, mycelial, one_line, refused, sound


@pytest.fixture(scope="module")
def paper(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A paper run of two slices a second in which nobody but the test wants anything."""
    place = tmp_path_factory.mktemp("paper")
    quiet = (
        *("--set", "consensus.required_votes=4", "--set", "learners.min_learners=400"),
        *("--set", "account.stop_ratio=0.6"),  # no stop is hit while the test looks
    )
    words = ("--data", planted, *SMALL, *quiet, "--bus", "local", "--speed", "7200x", "--json")
    with Process(*words, cwd=place, state=place / "state") as process:
        process.slices(2)
        yield process


def asked(process: Process, *words: str | Path) -> dict[str, Any]:
    done = mycelial(*words, "--state", process.state, "--json", cwd=process.state)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=dict[str, Any])


def intents(state: Path) -> int:
    return len(journal(state, "intent"))


def test_orders_by_hand_and_flatten_are_intents_in_the_ledger(paper: Process) -> None:
    asked(paper, "order", "BTC/USDT", "buy", "1")
    held = paper.until(lambda answer: answer["positions"].get("BTC/USDT") == "1" and answer["orders"]["open"] == 1)
    assert held["orders"]["ready"]
    assert intents(paper.state) == 2  # the entry and its stop
    bodies = [body for _, _, body in journal(paper.state, "order_state")]
    accepted = [row["approved"]["order"] for row in map(msgspec.json.decode, bodies) if row["type"] == "Accepted"]
    entry, stop = (order["id"] for order in accepted)
    (behind,) = asked(paper, "why", entry)["stops"]
    assert (behind["order"], behind["state"], behind["amount"]) == (stop, "acked", "1")
    told = asked(paper, "why", stop)
    assert (told["exit"]["reason"], told["exit"]["entry"]) == ("stop", entry)
    assert told["exit"]["trigger"] == behind["trigger"] == told["order"]["trigger"]
    page = mycelial("why", entry, "--state", paper.state, cwd=paper.state).stdout
    assert f"by {stop}: 1 at {behind['trigger']}, acked" in page
    asked(paper, "flatten", "BTC/USDT")
    paper.until(lambda answer: answer["positions"] == {} and answer["orders"]["open"] == 0)
    assert intents(paper.state) == 3
    kinds = [kind for kind, _, _ in journal(paper.state, "intent", "execution", "fill")]
    assert kinds == ["intent", "execution", "intent", "fill", "intent", "execution", "fill"]


def test_reconcile_asks_the_exchange_now(paper: Process) -> None:
    assert asked(paper, "reconcile") == {"agrees": True, "found": []}
    done = mycelial("reconcile", "--state", paper.state, cwd=paper.state)
    assert (done.returncode, done.stdout.strip()) == (0, "orders, executions and balances agree with the exchange")
    assert b'"reconcile"' in b"".join(body for _, _, body in journal(paper.state, "decisions"))


def test_a_policy_is_switched_in_the_running_process(paper: Process) -> None:
    before = paper.status()["policies"]["break_even"]
    after = "shadow" if before != "shadow" else "off"
    asked(paper, "policies", "break_even", after)
    paper.until(lambda answer: answer["policies"]["break_even"] == after)


def test_reconcile_without_a_process(say: Say, tmp_path: Path) -> None:
    done = say("reconcile", "--state", tmp_path / "none")
    refused(done, 3)
    one_line(done)


def test_at_its_end_there_is_a_paper_sheet_and_its_replay_is_equal(paper: Process, planted: Path, say: Say) -> None:
    mycelial("stop", "--state", paper.state, cwd=paper.state)
    result = paper.result()
    folder = paper.state / "runs" / result["run_id"]
    assert sound(paper.state)
    done = say("report", folder, "--json")
    assert msgspec.json.decode(done.stdout)["mode"] == "paper"
    page = paper.state / "sheet.html"
    assert say("report", folder, "--html", page).returncode == 0
    assert "PAPER" in page.read_text()
    done = say("parity", "--state", paper.state, "--data", planted)
    assert done.returncode == 0, done.stderr
