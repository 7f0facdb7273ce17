"""The long-running process as its user sees it: asked, tapped, stopped, started again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from src.connectors.sqlite_ledger import LedgerReader
from src.connectors.state_folder import holder
from tests.worlds import settings

from .cli import FEW, SMALL, Process, Say, books, journal, mycelial, one_line, refused, sound

SIMULATED = (
    *(*FEW, "--set", "simulated.history_days=1", "--set", "bus.port=0"),
    *("--set", "simulated.pairs=[BTC/USD,ETH/USD,SOL/USD]"),
    # Nobody has an idea: what happens is what is asked for.
    *("--set", "consensus.required_votes=4", "--set", "learners.min_learners=400"),
)
HISTORY = 288
PACE = ("--speed", "6000x")
"""Twenty slices of five minutes a second."""
SLOWLY = ("--speed", "720000x", "--bus", "local")
"""Two hundred slices of one hour a second."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A run on the simulated market that the tests of this module ask one after the other."""
    place = tmp_path_factory.mktemp("running")
    with Process(*SIMULATED, *PACE, "--json", cwd=place, state=place / "state") as process:
        process.slices(HISTORY + 1)
        yield process


def asked(process: Process, *words: str | Path) -> dict[str, Any]:
    """Ask by the command line in a process of its own."""
    done = mycelial(*words, "--state", process.state, "--json", cwd=process.state)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=dict[str, Any])


def lines(state: Path, kind: str) -> list[dict[str, Any]]:
    """Lines of one kind from the record of decisions in the ledger."""
    bodies = (msgspec.json.decode(body) for _, _, body in journal(state, "decisions"))
    return [line for body in bodies for line in body["lines"] if line["kind"] == kind]


def test_it_says_at_once_that_the_market_is_made_up(running: Process) -> None:
    running.line("^mycelial paper .* SIMULATED market: every price is made up")
    status = asked(running, "status")
    assert (status["mode"], status["simulated"], status["bus_up"]) == ("paper", True, True)
    assert status["pairs"] == ["BTC/USD", "ETH/USD", "SOL/USD"]
    assert status["pid"] == running.popen.pid
    assert status["faults"] == {}


def test_status_says_how_the_moats_stand_and_what_was_discovered(running: Process) -> None:
    status = asked(running, "status")
    assert set(status["moats"]) == {"code", "government", "logistics", "corporate"}
    assert all(one["simulated"] for one in status["moats"].values())
    together = status["synthesis"]
    graded = [name for grade in ("strong", "moderate", "weak", "none", "no_data") for name in together[grade]]
    assert sorted(graded) == sorted(status["moats"])
    assert status["discovery"]["samples"] >= 1
    assert status["discovery"]["anomalies"]["threshold"] == 2.5


def test_status_for_people(running: Process) -> None:
    done = mycelial("status", "--state", running.state, cwd=running.state)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()][:3] == ["mode", "feed", "simulated"]


def test_census_asks_the_running_process(running: Process) -> None:
    found = asked(running, "census")
    assert found["of"] == "the running process"
    assert found["census"] == running.status()["census"]
    assert found["census"]["pattern_learner"] > 0


def test_tap_shows_readable_messages_of_the_run(running: Process) -> None:
    url = running.status()["bus"]
    done = mycelial("tap", "market-data:*", "--url", url, "--count", "6", "--json", cwd=running.state)
    assert done.returncode == 0, done.stderr
    seen = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    assert len(seen) == 6
    assert {message["channel"] for message in seen} == {f"market-data:{pair}" for pair in running.status()["pairs"]}
    assert all(message["message"]["body"]["pair"] in message["channel"] for message in seen)


def test_a_halt_stops_entries_and_a_hand_order_fills_only_after_resume(running: Process) -> None:
    assert asked(running, "halt", "exchange  maintenance")["reason"] == "exchange maintenance"
    running.until(lambda answer: answer["halted"] == "exchange maintenance")
    asked(running, "order", "BTC/USD", "buy", "0.01")
    running.until(lambda answer: answer["refusals"].get("halted", 0) >= 1)
    assert running.status()["positions"] == {}
    asked(running, "resume", "it is over")
    running.until(lambda answer: answer["halted"] == "")
    asked(running, "order", "BTC/USD", "buy", "0.01")
    running.until(lambda answer: answer["positions"].get("BTC/USD") == "0.01")
    asked(running, "flatten", "BTC/USD")
    running.until(lambda answer: not answer["positions"])
    assert [line["reason"] for line in lines(running.state, "halt")] == ["exchange maintenance"]
    fills = [msgspec.json.decode(body) for _, _, body in journal(running.state, "fill")]
    amount = Decimal("0.01")
    assert [(fill["side"], Decimal(fill["amount"])) for fill in fills] == [("buy", amount), ("sell", amount)]
    rows = [msgspec.json.decode(body) for _, _, body in journal(running.state, "order")]
    orders = [row for row in rows if "reference" in row]  # the others tell what became of them
    assert [order["reason"] for order in orders] == ["manual", "flatten"], "the halted order went through"
    ordered, filled = orders[0]["at"], fills[0]["at"]
    assert filled - ordered == 300_000, "filled at the next bar"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("order", "BTC/USDT", "buy", "1"), 2, "did you mean BTC/USD?"),
        (("order", "BTC/USD", "hold", "1"), 4, "write buy or sell"),
        (("order", "BTC/USD", "buy", "many"), 4, "positive number of base units"),
        (("order", "BTC/USD", "buy", "0"), 4, "positive number of base units"),
        (("halt", ""), 4, "say why"),
        (("halt", "two\x1blines"), 4, "one printable line"),
        (("flatten", "FOO/USD"), 2, "did you mean SOL/USD?"),
    ],
)
def test_what_is_asked_wrongly_is_refused_and_the_run_lives(
    running: Process, words: tuple[str, ...], code: int, said: str
) -> None:
    refused(mycelial(*words, "--state", running.state, cwd=running.state), code, said)
    assert running.status()["ok"]


def test_a_second_process_on_the_same_state_is_refused_and_the_first_lives(running: Process) -> None:
    before = running.status()["slices"]
    second = mycelial("run", *SIMULATED, "--state", running.state, cwd=running.state)
    refused(second, 4, f"in use by process {running.popen.pid}", "mycelial stop")
    running.slices(before + 1)


def test_the_port_of_another_is_never_used_by_accident(running: Process, say: Say) -> None:
    port = running.status()["bus"].rpartition(":")[2]
    done = say("run", *SIMULATED, "--set", f"bus.port={port}", "--state", "other")
    refused(done, 1, f"port {port} of the bus is taken", "--set bus.port=0")
    assert running.status()["bus_up"]


def test_stop_drains_and_the_result_is_one_object(running: Process) -> None:
    """The last one that asks the shared run."""
    assert asked(running, "stop")["command"] == "stop"
    result = running.result()
    assert (result["mode"], result["simulated"]) == ("paper", True)
    assert result["account"]["fills"] == 2
    assert result["ideas"] == {"baseline": 0, "mycelial": 0}
    assert mycelial("verify", running.state, cwd=running.state).returncode == 0
    assert holder(running.state) is None
    refused(mycelial("status", "--state", running.state, cwd=running.state), 3, "no process runs here")


def test_another_seed_or_other_pairs_on_the_same_state_are_refused(running: Process, say: Say) -> None:
    """After the end of the shared run: its state belongs to its arguments."""
    other = ("--seed", "8", "--set", "simulated.pairs=[BTC/USD]")
    done = say("run", *SIMULATED, *other, "--state", running.state)
    refused(
        done, 4, "seed was 7, is 8", "pairs was ['BTC/USD', 'ETH/USD', 'SOL/USD'], is ['BTC/USD']", "another --state"
    )
    assert sound(running.state)


@pytest.mark.parametrize(("mode", "said"), [("live", "promotion gate"), ("real", "write advise, paper or live")])
def test_modes_that_are_not_there_are_refused(say: Say, tmp_path: Path, mode: str, said: str) -> None:
    done = say("run", "--mode", mode)
    refused(done, 4, "--mode", said)
    assert one_line(done)
    assert list(tmp_path.iterdir()) == [], "nothing was made"


@pytest.fixture(scope="module")
def straight(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """State and result of a run through all of the planted days without a stop."""
    place = tmp_path_factory.mktemp("straight")
    words = ("--data", planted, "--speed", "max", "--bus", "local", *SMALL, "--json")
    with Process(*words, cwd=place, state=place / "state") as process:
        return process.state, process.result()


def test_stopped_and_started_again_it_comes_to_the_same(
    planted: Path, straight: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    words = ("--data", planted, *SMALL, "--json")
    state = tmp_path / "state"
    for number, sent in ((150, signal.SIGTERM), (270, signal.SIGINT)):
        with Process(*words, *SLOWLY, cwd=tmp_path, state=state) as process:
            process.slices(number)
            process.popen.send_signal(sent)
            assert process.result()["mode"] == "paper"
        assert sound(state)
    with Process(*words, "--speed", "max", "--bus", "local", cwd=tmp_path, state=state) as process:
        result = process.result()
        process.line("goes on after 2021-01-1")
    whole, expected = straight
    assert journal(whole, "fill"), "nothing to compare"
    assert journal(state) == journal(whole)
    assert books(result) == books(expected)
    same = ("open_positions", "collisions", "conflicts", "refusals")
    assert {name: result[name] for name in same} == {name: expected[name] for name in same}
    assert result["account"]["end_equity"] == expected["account"]["end_equity"]
    ledger = settings().ledger
    here, there = (LedgerReader(path / "ledger.sqlite", ledger).checkpoint() for path in (state, whole))
    assert here is not None
    assert here == there, "what is remembered differs: learners, books, numbers"


def test_started_again_after_the_end_it_tells_the_truth(
    planted: Path, straight: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    state, expected = straight
    words = ("--data", planted, "--speed", "max", "--bus", "local", *SMALL, "--json")
    with Process(*words, cwd=tmp_path, state=state) as process:
        result = process.result()
    assert result["bars"] == 0
    assert result["account"]["end_equity"] == expected["account"]["end_equity"]
    assert sound(state)
