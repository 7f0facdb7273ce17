"""The kill switch against a real process: by signal, file and command, across kill -9, lifted by a reason alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec

from src.connectors.control import ask
from src.connectors.halt_file import HALT
from src.connectors.state_folder import find
from src.core.clock import Timer

from .cli import SECONDS, Process, journal, mycelial, refused, sound
from .test_run import HISTORY, PACE, SIMULATED

MANY = ("--set", "limits.max_manual_orders_day=100000", "--set", "limits.max_orders_day=100000")
WORDS = (*SIMULATED, *MANY, "--set", "limits.max_messages_day=100000", "--bus", "local", "--json", *PACE)


def told(process: Process, command: str, **fields: Any) -> dict[str, Any]:
    """Ask over the socket, as the command line does."""
    return ask(find(process.state), command, SECONDS, **fields)


def sent(state: Path) -> list[dict[str, Any]]:
    """Orders that left, in order."""
    rows = [msgspec.json.decode(body) for _, _, body in journal(state, "order")]
    kept = {row["id"] for row in rows if row.get("state") == "withheld"}
    return [row for row in rows if "reference" in row and row["id"] not in kept]


def halts(state: Path, kind: str = "halt") -> list[tuple[int, str, str]]:
    """(slice, source, reason) of each halt, or resume, that took effect."""
    rows = [(key, msgspec.json.decode(body)) for _, key, body in journal(state, "command")]
    return [(int(key.split(":")[1]), row["source"], row["reason"]) for key, row in rows if row["kind"] == kind]


class Flood:
    """Somebody who goes on asking for orders, whatever happens."""

    def __init__(self, process: Process) -> None:
        self._process, self._stop = process, Event()
        self._thread = Thread(target=self._ask)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            pair = ("BTC/USD", "ETH/USD", "SOL/USD")[number % 3]
            told(self._process, "order", pair=pair, side="buy", amount=f"0.0{number % 7 + 1}")
            told(self._process, "flatten", pair=pair)
            self._stop.wait(0.01)


def stopped_within(process: Process, since: float, timer: Timer) -> float:
    """Seconds until the process says that everything is halted."""
    process.until(lambda answer: answer["standing"].get("all", {}).get("state") == "halted")
    return timer.seconds() - since


def test_a_signal_stops_what_buys_across_kill_9_until_somebody_resumes_with_a_reason(tmp_path: Path) -> None:
    timer = Timer()
    with Process(*WORDS, cwd=tmp_path, state=tmp_path / "state") as process:
        process.slices(HISTORY + 1)
        with Flood(process):
            process.until(lambda answer: answer["positions"])
            thrown = timer.seconds()
            os.kill(process.popen.pid, signal.SIGUSR1)
            assert stopped_within(process, thrown, timer) < 5, "a second, and what a busy machine takes"
            process.line("^halted by signal: SIGUSR1; `mycelial resume REASON` lifts it")
            refusals = process.status()["refusals"]
            process.until(lambda answer: answer["refusals"].get("halted", 0) > refusals.get("halted", 0) + 3)
        assert (process.state / HALT).read_text() == "SIGUSR1\n"
        process.popen.kill()
    ((at, source, reason),) = halts(process.state)
    assert (source, reason) == ("signal", "SIGUSR1")
    assert [order["side"] for order in sent(process.state) if order["at"] >= at and order["side"] == "buy"] == []
    assert [order for order in sent(process.state) if order["at"] < at and order["side"] == "buy"]
    assert sound(process.state)
    with Process(*WORDS, cwd=tmp_path, state=process.state) as again:
        again.line("halted: SIGUSR1; `mycelial resume REASON` lifts it")
        again.until(lambda answer: answer.get("slices", 0) > 0)
        told(again, "order", pair="BTC/USD", side="buy", amount="0.01")
        again.until(lambda answer: answer["refusals"].get("halted", 0) > 0)
        refused(mycelial("resume", "", "--state", again.state, cwd=tmp_path), 4, "say why")
        done = mycelial("resume", "the storm is over", "--state", again.state, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        again.until(lambda answer: answer["standing"] == {} and answer["halted"] == "")
        assert not (again.state / HALT).exists()
        told(again, "order", pair="BTC/USD", side="buy", amount="0.02")
        again.until(lambda answer: "BTC/USD" in answer["positions"])
        told(again, "stop")
        again.result()
    assert sound(process.state)


def test_a_file_stops_it_and_taking_the_file_away_does_not_start_it(tmp_path: Path) -> None:
    timer = Timer()
    with Process(*WORDS, cwd=tmp_path, state=tmp_path / "state") as process:
        process.slices(HISTORY + 1)
        with Flood(process):
            process.until(lambda answer: answer["positions"])
            thrown = timer.seconds()
            (process.state / HALT).write_text("smoke in the room\n")
            assert stopped_within(process, thrown, timer) < 5
            process.until(lambda answer: answer["refusals"].get("halted", 0) > 3)
            (process.state / HALT).unlink()
            before = process.status()
            later = process.slices(before["slices"] + 20)
            assert later["standing"]["all"] == {"state": "halted", "reason": "smoke in the room", "source": "file"}
        told(process, "resume", reason="aired")
        process.until(lambda answer: answer["standing"] == {})
        told(process, "stop")
        process.result()
    ((at, source, _),) = halts(process.state)
    ((resumed, _, _),) = halts(process.state, "resume")
    assert source == "file"
    assert [one for one in sent(process.state) if at <= one["at"] < resumed and one["side"] == "buy"] == []
    walked = mycelial("replay", "--state", process.state, "--json", cwd=tmp_path)
    assert walked.returncode == 0, walked.stderr + walked.stdout


def test_a_start_into_a_folder_with_the_file_sends_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / HALT).write_text("not today\n")
    with Process(*WORDS, cwd=tmp_path, state=state) as process:
        process.line("^halted by file: not today")
        process.slices(HISTORY + 1)
        told(process, "order", pair="BTC/USD", side="buy", amount="0.01")
        process.until(lambda answer: answer["refusals"].get("halted", 0) > 0)
        told(process, "stop")
        process.result()
    assert sent(state) == []


def test_one_pair_alone_and_reduced_only(tmp_path: Path) -> None:
    with Process(*WORDS, cwd=tmp_path, state=tmp_path / "state") as process:
        process.slices(HISTORY + 1)
        told(process, "order", pair="BTC/USD", side="buy", amount="0.01")
        process.until(lambda answer: "BTC/USD" in answer["positions"])
        done = mycelial("halt", "thin book", "--pair", "ETH/USD", "--state", process.state, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert msgspec.json.decode(done.stdout)["pair"] == "ETH/USD"
        process.until(lambda answer: "ETH/USD" in answer["standing"])
        told(process, "order", pair="ETH/USD", side="buy", amount="0.01")
        process.until(lambda answer: answer["refusals"].get("not_active", 0) == 1)
        told(process, "order", pair="SOL/USD", side="buy", amount="0.01")
        process.until(lambda answer: "SOL/USD" in answer["positions"])
        assert process.status()["halted"] == ""
        done = mycelial("halt", "calm", "--reduce-only", "--state", process.state, cwd=tmp_path)
        assert "exits and stops go on" in done.stdout
        status = process.until(lambda answer: answer["halted"] == "calm")
        assert status["standing"]["all"]["state"] == "reduce_only"
        told(process, "order", pair="SOL/USD", side="sell", amount="0.01")
        process.until(lambda answer: "SOL/USD" not in answer["positions"])
        told(process, "resume", reason="all is well")
        process.until(lambda answer: list(answer["standing"]) == ["ETH/USD"])
        refused(mycelial("halt", "why", "--pair", "FOO/USD", "--state", process.state, cwd=tmp_path), 2, "no pair")
        limits = process.status()["limits"]
        assert limits["manual_orders_per_day"]["limit"] == "100000"
        assert int(limits["messages_per_day"]["used"]) >= 1
        assert float(limits["gross_exposure"]["left"]) < 1
        told(process, "stop")
        process.result()
