"""Killed at any moment: what was acknowledged is kept, the ledger is sound, and a restart comes to the same end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from src.connectors.control import ask
from src.connectors.state_folder import find

from .cli import SECONDS, SMALL, Process, books, children, journal, sound

BARS = 400
HOUR_MS, START_MS = 3_600_000, 1_609_459_200_000
OFTEN = ("--bus", "local", "--set", "ledger.checkpoint_seconds=0.2", "--json")
HOUR_SPEED = 3_600
"""One slice of one hour a second."""


@pytest.fixture(scope="module")
def whole(
    planted: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[tuple[str, str, bytes]], dict[str, Any]]:
    """Journal and result of a run that nobody disturbed."""
    place = tmp_path_factory.mktemp("whole")
    words = ("--data", planted, *SMALL, *OFTEN, "--speed", "max")
    with Process(*words, cwd=place, state=place / "state") as process:
        result = process.result()
    return journal(place / "state"), result


def kill_at_random(process: Process, random: np.random.Generator, reached: int, most: int) -> None:
    """Kill -9 while it starts or recovers, or somewhere in the next `most` slices."""
    if random.random() < 0.4:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.popen.wait(random.uniform(0.0, 2.5))
    else:
        process.slices(min(reached + int(random.integers(1, most + 1)), BARS - 5))
    process.popen.kill()
    process.end()


def disturbed(planted: Path, place: Path, kills: int, seed: int) -> tuple[Path, dict[str, Any]]:
    """A run that is killed `kills` times, then left alone; its state and last result."""
    random, state = np.random.default_rng(seed), place / "state"
    words, seen = ("--data", planted, *SMALL, *OFTEN), [("", "", b"")][:0]
    # The bars have to last for all kills: the more there are, the slower it goes and the fewer slices lie between.
    paced = ("--speed", f"{HOUR_SPEED * 400 // kills}x")
    for number in range(kills):
        if _over(seen):
            assert number >= kills // 2, "the bars were over too soon to mean anything"
            break
        with Process(*words, *paced, cwd=place, state=state) as process:
            kill_at_random(process, random, _reached(seen), BARS // 2 // kills)
        if (state / "ledger.sqlite").is_file():
            assert sound(state)
            now = journal(state)
            assert now[: len(seen)] == seen, "a row that a reader had seen is gone"
            seen = now
    with Process(*words, "--speed", "max", cwd=place, state=state) as process:
        return state, process.result()


def _reached(rows: list[tuple[str, str, bytes]]) -> int:
    """How many slices the journal covers, roughly: the first 100 leave no rows."""
    return len({key for kind, key, _ in rows if kind == "decisions"})


def _over(rows: list[tuple[str, str, bytes]]) -> bool:
    """Whether so little is left that the next life could come to the end by itself."""
    times = [int(key.split(":")[1]) for kind, key, _ in rows if kind == "decisions"]
    return bool(times) and max(times) > START_MS + (BARS - 120) * HOUR_MS


def compare(planted: Path, place: Path, whole: tuple[list[tuple[str, str, bytes]], dict[str, Any]], kills: int) -> None:
    rows, expected = whole
    assert {"order", "fill", "trade", "decisions", "mark"} <= {kind for kind, _, _ in rows}, "nothing to compare"
    state, result = disturbed(planted, place, kills, kills)
    assert sound(state)
    assert journal(state) == rows
    assert books(result) == books(expected)
    assert result["account"]["end_equity"] == expected["account"]["end_equity"]


def test_killed_four_times_it_comes_to_the_same_end(planted: Path, tmp_path: Path, whole: Any) -> None:
    compare(planted, tmp_path, whole, 4)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_killed_fifty_times_it_comes_to_the_same_end(planted: Path, tmp_path: Path, whole: Any) -> None:
    compare(planted, tmp_path, whole, 50)


def acknowledged(process: Process, *asked: tuple[str, dict[str, str]]) -> None:
    """Ask, and kill as soon as the last one is answered: it may have waited for its slice until then."""
    process.until(lambda answer: answer.get("slices", 0) > 0)
    address = find(process.state)
    for name, fields in asked:
        assert ask(address, name, SECONDS, **fields)["ok"]
    process.popen.kill()
    process.end()


def test_what_was_acknowledged_before_the_kill_takes_effect_once(planted: Path, tmp_path: Path) -> None:
    state, words = tmp_path / "state", ("--data", planted, *SMALL, *OFTEN, "--speed", "72000x")
    buys = (("order", {"pair": pair, "side": "buy", "amount": "1"}) for pair in ("BTC/USDT", "ETH/USDT"))
    with Process(*words, cwd=tmp_path, state=state) as process:
        acknowledged(process, ("halt", {"reason": "just before the end"}))
    assert len(journal(state, "asked")) == 1, "acknowledged before it was durable"
    with Process(*words, cwd=tmp_path, state=state) as process:
        process.until(lambda answer: answer.get("halted") == "just before the end")
        acknowledged(process, ("resume", {"reason": "it was not the end"}), *buys)
    assert len(journal(state, "asked")) == 4
    with Process(*words, cwd=tmp_path, state=state) as process:
        status = process.until(lambda answer: len(answer.get("positions", ())) == 2)
        assert (status["positions"], status["halted"]) == ({"BTC/USDT": "1", "ETH/USDT": "1"}, "")
        process.popen.terminate()
        process.result()
    done, asked = (
        [msgspec.json.decode(body)["id"] for _, _, body in journal(state, kind)] for kind in ("command", "asked")
    )
    assert done == asked, "lost, or done twice"
    fills = [msgspec.json.decode(body) for _, _, body in journal(state, "fill")]
    bought = [fill["pair"] for fill in fills if fill["side"] == "buy"]  # what is held the swarm may sell by itself
    assert bought == ["BTC/USDT", "ETH/USDT"]
    assert sound(state)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the server among the children of the run in /proc")
def test_what_was_refused_without_a_bus_is_not_bought_after_a_kill(planted: Path, tmp_path: Path) -> None:
    """No checkpoint and a new server: the slices without a bus are walked through once more, and stay without one."""
    state, words = tmp_path / "state", ("--data", planted, *SMALL, "--json", "--set", "bus.port=0")
    never = ("--set", "ledger.checkpoint_seconds=1000", "--set", "bus.backoff_first_seconds=60")
    with Process(*words, *never, "--speed", "180000x", cwd=tmp_path, state=state) as process:
        process.slices(3)
        (server,) = children(process.popen.pid)
        os.kill(server, signal.SIGKILL)
        process.until(lambda answer: not answer["bus_up"])
        assert ask(find(state), "order", SECONDS, pair="BTC/USDT", side="buy", amount="1")["ok"]
        down = process.until(lambda answer: answer["refusals"].get("bus_down", 0) > 0)
        process.slices(down["slices"] + 20)
        process.popen.kill()
        process.end()
    seen = journal(state)
    assert seen
    with Process(*words, "--speed", "max", cwd=tmp_path, state=state) as process:
        process.line("caught up over [0-9]+ slices")
        assert process.result()["account"]["end_equity"] > 0
    assert journal(state)[: len(seen)] == seen
    assert journal(state, "dead_letter") == [], "the slices went another way than before"
    orders = [msgspec.json.decode(body) for _, _, body in journal(state, "order")]
    assert "manual" not in {order.get("reason") for order in orders}
    assert sound(state)
