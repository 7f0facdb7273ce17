"""`history` and `policies` as their users type them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from src.connectors.control import ControlServer
from src.connectors.state_folder import StateFolder
from src.core.clock import from_iso
from src.core.engine import Mailbox
from src.core.types import Command, CommandKind, Pair
from src.services.commands import command_handlers
from src.services.supervisor.policies import POLICIES

from .cli import PAIRS, SMALL, Say, mycelial, one_line, refused

SHADOWS = ("daily_loss", "trailing", "profit_ladder", "break_even", "rebalancing")
WATCHED = tuple(word for name in SHADOWS for word in ("--set", f"policies.states.{name}=shadow"))
SOON = ("--set", "policies.daily_loss_ratio=0.000001")


@pytest.fixture(scope="module")
def run(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run with trades and shadows."""
    place = tmp_path_factory.mktemp("history")
    done = mycelial("backtest", "--data", planted, *SMALL, *WATCHED, *SOON, "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "runs" / msgspec.json.decode(done.stdout)["run_id"]


def answer(say: Say, *words: str | Path) -> Any:
    done = say(*words, "--json")
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout)


def orders(run: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in (run / "orders.jsonl").read_bytes().splitlines()]


def test_history_tells_every_order_and_fill_of_a_symbol(run: Path, say: Say) -> None:
    told = answer(say, "history", PAIRS[0], "--hours", "100000", "--run", run)
    mine = [one for one in orders(run) if one["pair"] == PAIRS[0]]
    sent = {one["id"] for one in told["orders"] if not one["refused"]}
    assert {one["id"] for one in mine if "order_id" not in one} <= sent
    fills = [fill["id"] for one in told["orders"] for fill in one["fills"]]
    assert sorted(fills) == sorted(one["id"] for one in mine if "order_id" in one) != []
    assert told["trades"]
    assert {"idea", "intent"} <= {one["kind"] for one in told["decisions"]}
    assert all(one["pair"] == PAIRS[0] for one in told["decisions"])
    assert any(said["outcome"] == "shadow" for one in told["policies"] for said in one["said"])


def test_history_ends_where_the_record_ends_and_goes_back_the_hours_asked_for(run: Path, say: Say) -> None:
    day = answer(say, "history", PAIRS[0], "--run", run)
    assert from_iso(day["to"]) - from_iso(day["from"]) == 24 * 3_600_000
    assert all(day["from"] <= one["at"] <= day["to"] for one in day["decisions"])
    week = answer(say, "history", PAIRS[0].lower(), "--hours", "168", "--run", run)
    assert len(week["decisions"]) > len(day["decisions"])


def test_more_hours_than_there_were_are_all_there_are(run: Path, say: Say) -> None:
    done = say("history", PAIRS[0], "--hours", "1e308", "--run", run, "--json")
    assert done.returncode == 0, done.stderr
    assert '"from":"1970-01-01T00:00:00.000Z"' in done.stdout.replace(": ", ":")


def test_history_speaks_to_people_in_order_of_time(run: Path, say: Say) -> None:
    page = say("history", PAIRS[0], "--hours", "100000", "--run", run).stdout.splitlines()
    assert page[0].startswith(f"{PAIRS[0]} from ")
    assert [line[:24] for line in page[1:]] == sorted(line[:24] for line in page[1:])
    assert any("fill     buy" in line for line in page)
    assert any("(shadow)" in line for line in page)


def test_policies_tells_states_and_what_became_of_recommendations(run: Path, say: Say) -> None:
    told = answer(say, "policies", "--run", run, *WATCHED)
    rows = {one["policy"]: one for one in told["policies"]}
    assert list(rows) == list(POLICIES)
    assert (rows["daily_loss"]["state"], rows["opposite_idea"]["state"]) == ("shadow", "on")
    assert rows["daily_loss"]["shadow"] == rows["daily_loss"]["recommended"] > 0
    assert rows["daily_loss"]["done"] == 0
    assert rows["daily_loss"]["worth"] is not None
    assert rows["opposite_idea"]["done"] > 0
    assert told["changes"] == []
    page = say("policies", "--run", run).stdout
    assert "daily_loss" in page
    assert "overruled" in page


def test_what_cannot_be_told(run: Path, say: Say, tmp_path: Path) -> None:
    for code, words, said in [
        (2, ("history", "DOGE/USDT", "--run", run), "no pair 'DOGE/USDT'"),
        (4, ("history", PAIRS[0], "--hours", "0", "--run", run), "--hours 0.0: write a number above 0"),
        (4, ("history", PAIRS[0], "--hours", "nan", "--run", run), "write a number above 0"),
        (4, ("policies", "--run", run, "--state", tmp_path), "name one of them"),
        (2, ("policies", "--state", tmp_path / "none"), "there is no such ledger"),
        (4, ("policies", "trailing"), "write off, shadow or on"),
        (4, ("policies", "trailing", "on"), "say why"),
        (3, ("policies", "trailing", "off", "--state", tmp_path), "no process"),
    ]:
        done = say(*words)
        refused(done, code, said)
        one_line(done)


def test_one_command_switches_a_policy_in_the_running_process(say: Say, tmp_path: Path) -> None:
    """It is written down before it is put, and put before it is answered."""
    mailbox, journal = Mailbox(), []
    handlers = command_handlers(mailbox.put, journal.append, dict, (Pair(PAIRS[0]),))
    with StateFolder.open(tmp_path / "state", "paper") as folder:
        server = ControlServer(folder.socket_path, handlers)
        told = answer(say, "policies", "trailing", "off", "--reason", "it loses", "--state", tmp_path / "state")
        assert [told[name] for name in ("command", "policy", "state", "reason")] == [
            "policy", "trailing", "off", "it loses",
        ]  # fmt: skip
        done = say("policies", "trailin", "off", "--state", tmp_path / "state")
        refused(done, 2, "did you mean 'trailing'?")
        done = say("policies", "trailing", "maybe", "--state", tmp_path / "state")
        refused(done, 4, "write off, shadow, on")
        server.close()
    assert (
        journal
        == mailbox.drain()
        == [Command(CommandKind.POLICY, "it loses", "control", policy="trailing", state="off")]
    )
