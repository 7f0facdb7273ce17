"""What becomes of a command that was answered with an error, of a halt without its ledger, of a run that dies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from src.commands import monitoring
from src.commands.run import _remember
from src.connectors.discord import Discord
from src.connectors.halt_file import HALT
from src.connectors.ledger_backup import back_up, restore
from src.connectors.private_file import Secret
from src.connectors.redaction import Redaction
from src.connectors.sqlite_ledger import SqliteSink
from src.core import records
from src.core.clock import Timer
from src.core.config import Settings
from src.core.errors import LedgerError
from src.core.ports import Row
from src.core.types import Command, CommandKind
from tests.connectors.test_sqlite_ledger import write
from tests.monitoring.test_discord import PATH
from tests.monitoring.webhook import Webhook
from tests.worlds import settings

from .alive import Alive, alive
from .cli import journal


class FullDisk(pytest.MonkeyPatch):
    """A disk that has no room for ledgers while `full`."""

    full = False

    def __init__(self) -> None:
        super().__init__()
        write = SqliteSink.write

        def refuse(sink: SqliteSink, rows: Sequence[Row]) -> Mapping[int, str]:
            if self.full:
                raise LedgerError("the disk is full; free some space")
            return write(sink, rows)

        self.setattr(SqliteSink, "write", refuse)


@pytest.fixture
def disk() -> Iterator[FullDisk]:
    disk = FullDisk()
    yield disk
    disk.undo()


def test_a_resume_that_was_refused_is_not_done_by_the_next_life(tmp_path: Path) -> None:
    state = tmp_path / "state"

    def refused(run: Alive) -> None:
        run.walking()
        assert run.tell("halt", reason="maintenance")["ok"]
        assert (state / HALT).read_text() == "maintenance\n"
        (state / HALT).unlink()
        (state / HALT).mkdir()
        answer = run.tell("resume", reason="try")
        assert (answer["ok"], answer["exit_code"]) == (False, 4)
        assert "the halt file is still there" in answer["error"]

    def halted(run: Alive) -> None:
        shown = run.walking()["standing"]
        assert shown == {"all": {"state": "halted", "reason": "maintenance", "source": "control"}}

    alive(state, refused)
    (state / HALT).rmdir()
    alive(state, halted)
    assert [json.loads(body)["kind"] for _, _, body in journal(state, "refused")] == ["resume"]
    assert [json.loads(body)["kind"] for _, _, body in journal(state, "command")] == ["halt"]


def test_an_order_for_which_the_ledger_had_no_room_is_never_done(tmp_path: Path, disk: FullDisk) -> None:
    state = tmp_path / "state"

    def refused(run: Alive) -> None:
        run.walking()
        disk.full = True
        answer = run.tell("order", pair="BTC/USD", side="buy", amount="0.01")
        assert not answer["ok"]
        assert "so it is not done: the disk is full" in answer["error"]
        assert run.tell("halt", reason="no room")["ok"], "a halt has a file"
        disk.full = False
        run.until(lambda told: told["ledger"] == {"backlog": 0, "failure": None})
        assert run.tell("resume", reason="room again")["ok"]

    def nothing(run: Alive) -> None:
        run.until(lambda told: told.get("slices", 0) > 290)

    alive(state, refused)
    alive(state, nothing, speed="6000x")
    assert [json.loads(body)["kind"] for _, _, body in journal(state, "asked")] == ["halt", "resume", "stop", "stop"]
    assert journal(state, "order") == []


def test_what_was_refused_is_not_left_for_the_next_life_and_what_was_acknowledged_is(tmp_path: Path) -> None:
    path, given = tmp_path / "ledger.sqlite", Row(0, "given", "given:0", b"{}")
    asked = [Command(CommandKind.FLATTEN, "out", "control", id=name) for name in ("a", "b")]
    refused = records.row(0, "refused", "a", {"id": "a", "kind": "flatten", "reason": "why"})
    write(path, [*(records.row(0, "asked", one.id, one) for one in asked), refused])
    assert _remember(path, settings(), {}, given).pending == (asked[1],)


def test_a_halt_stands_though_its_ledger_was_moved_away_or_exchanged(tmp_path: Path) -> None:
    """Also one of a pair shows at once, though its slice is minutes away."""
    state, aside = tmp_path / "state", tmp_path / "aside"
    ledger = state / "ledger.sqlite"

    def halt(run: Alive) -> None:
        run.walking()
        back_up(ledger, tmp_path / "copy", settings().ledger)
        assert run.tell("halt", reason="thin", pair="ETH/USD", reduce_only=True)["ok"]
        thin = {"state": "reduce_only", "reason": "thin", "source": "control"}
        assert run.tell("status")["standing"] == {"ETH/USD": thin}
        assert run.tell("halt", reason="fraud")["ok"]
        assert run.tell("status")["standing"]["all"] == {"state": "halted", "reason": "fraud", "source": "control"}

    def halted(run: Alive) -> None:
        run.until(lambda told: told["phase"] == "running" and told["standing"]["all"]["reason"] == "fraud")
        assert run.tell("resume", reason="looked")["ok"]
        assert not (state / HALT).exists()

    alive(state, halt)
    ledger.rename(aside)
    alive(state, halted)
    aside.replace(ledger)
    done = restore(tmp_path / "copy", state, "now", settings().ledger)
    assert done.halted == "restored from copy, and before: ETH/USD reduce_only: thin; all halted: fraud"
    assert (state / HALT).read_text() == f"{done.halted}\n"


def test_a_run_without_its_ledger_does_not_end_well_and_somebody_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped by command all the same, though its next slice is minutes away."""
    state, hook = tmp_path / "state", Webhook()

    def told(tree: Settings, redaction: Redaction, timer: Timer) -> Discord:
        return Discord(Secret(PATH), tree.monitoring.discord, redaction.clean, timer, base=hook.url)

    def delete(run: Alive) -> None:
        run.walking()
        (state / "ledger.sqlite").unlink()
        assert not run.tell("order", pair="BTC/USD", side="buy", amount="0.01")["ok"]
        assert run.tell("halt", reason="what was that")["ok"]
        assert not run.tell("resume", reason="nothing")["ok"]

    monkeypatch.setattr(monitoring, "discord_of", told)
    try:
        with pytest.raises(LedgerError, match="it was deleted or exchanged while it was written"):
            alive(state, delete)
        (text,) = [one.body["content"] for one in hook.posted if "ENDED" in one.body["content"]]
        assert "[PAPER SIMULATED] ENDED by an error: LedgerError: " in text
    finally:
        hook.close()
    last = json.loads((state / "logs" / "mycelial.jsonl").read_text().splitlines()[-1])
    assert (last["level"], last["event"], last["error"]) == ("critical", "ended by an error", "LedgerError")
    assert (state / HALT).read_text() == "what was that\n", "the halt outlasts the ledger"


def test_a_good_end_is_a_line_of_the_log(tmp_path: Path) -> None:
    alive(tmp_path / "state", lambda run: run.walking() and None)
    lines = [json.loads(line) for line in (tmp_path / "state/logs/mycelial.jsonl").read_text().splitlines()]
    assert (lines[-1]["level"], lines[-1]["event"]) == ("info", "ended")
