"""Recorded runs walked again: equal to themselves, and where not, the first difference by time, agent and input."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from src.commands import again, backtest, run
from src.commands.again import Job
from src.commands.options import BacktestOptions, ProcessOptions
from src.connectors.commits import unpacked
from src.connectors.config_files import DEFAULT_FILE, load
from src.connectors.control import ask
from src.connectors.recorded_run import read_run
from src.connectors.state_folder import find
from src.core.bus import LocalBus
from src.core.clock import SimClock, Timer
from src.core.errors import NotFound, NotRunning, UsageError
from tests.worlds import ROOT, settings

from .cli import SECONDS, SMALL, Done, Process, Say, command, environment, refused

SIMULATED = (
    *SMALL,
    *("--set", "simulated.history_days=1", "--set", "simulated.pairs=[BTC/USD,ETH/USD,SOL/USD]"),
)
ASKED_AT = 100
SETS = SMALL[1::2]


def asked(state: Path) -> None:
    """Ask for this and that once the run has begun, then stop it."""
    timer, nap = Timer(), Event()
    deadline, slices = timer.seconds() + SECONDS, 0
    while slices < ASKED_AT and timer.seconds() < deadline:
        with suppress(NotRunning):
            slices = ask(find(state), "status", SECONDS).get("slices", 0)
        timer.wait(nap, 0.01)
    for name, fields in (
        ("halt", {"reason": "a look"}),
        ("order", {"pair": "BTC/USDT", "side": "buy", "amount": "1"}),
        ("resume", {"reason": "looked"}),
        ("order", {"pair": "ETH/USDT", "side": "buy", "amount": "2"}),
    ):
        slices = ask(find(state), "status", SECONDS)["slices"]
        assert ask(find(state), name, SECONDS, **fields)["ok"]
        while ask(find(state), "status", SECONDS)["slices"] < slices + 2:
            timer.wait(nap, 0.01)
    ask(find(state), "stop", SECONDS)


@pytest.fixture(scope="module")
def session(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A paper session that was halted, resumed and stopped by hand, then went on to the end of the days."""
    state = tmp_path_factory.mktemp("session") / "state"
    options = ProcessOptions(seed=7, bus="local", data=planted, state=state, json=True, sets=SETS, speed="180000x")
    asking = Thread(target=asked, args=(state,))
    asking.start()
    run.run(options)
    asking.join()
    run.run(msgspec.structs.replace(options, speed="max"))
    return state


def found(done: Done) -> dict[str, Any]:
    return msgspec.json.decode(done.stdout, type=dict[str, Any])


def candle(planted: Path, place: Path, row: int) -> Path:
    """The same days with one candle of ETH that closed twelve percent higher."""
    shutil.copytree(planted, place / "other")
    path = next((place / "other").rglob("ETH-USDT.parquet"))
    table = pq.read_table(path)
    close = table.column("close").to_pylist()
    high = table.column("high").to_pylist()
    close[row] *= 1.12
    high[row] = max(high[row], close[row])
    columns = {name: table.column(name) for name in table.column_names} | {"close": close, "high": high}
    pq.write_table(type(table).from_pydict(columns, schema=table.schema), path)
    return place / "other"


def test_a_session_is_equal_to_its_replay_commands_and_restart_included(say: Say, session: Path, planted: Path) -> None:
    done = say("parity", "--state", session, "--data", planted, "--json")
    assert done.returncode == 0, done.stderr
    answer = found(done)
    assert (answer["equal"], answer["input"], answer["slices"]) == (True, None, 400)
    assert answer["decisions"] > 300
    assert answer["recorded"]["conditions"] == 1
    recorded = read_run(session / "ledger.sqlite", settings().ledger)
    assert [command.kind.value for _, command in recorded.commands] == ["halt", "order", "resume", "order"]


def test_without_its_commands_the_session_is_another(session: Path, planted: Path) -> None:
    """What was asked by hand is part of what is walked again: leave it out, and the difference is found."""
    recorded = read_run(session / "ledger.sqlite", settings().ledger)
    given = recorded.given
    job = Job(given.feed, given.seed, given.settings, [], [], [], recorded.until, given.data, str(planted))
    lines = [bytes(line) for told in again.walk(job) for line in told["lines"]]
    assert lines != [line for at in sorted(recorded.lines) for line in recorded.lines[at]]


def test_a_changed_candle_is_named_with_its_time_and_the_agent_it_misled(
    say: Say, session: Path, planted: Path, tmp_path: Path
) -> None:
    done = say("parity", "--state", session, "--data", candle(planted, tmp_path, 200), "--json")
    assert done.returncode == 6
    answer = found(done)
    assert answer["input"]["who"] == "ETH/USDT"
    assert answer["input"]["at"] == "2021-01-09T09:00:00.000Z", "the candle of row 200 opened at 08:00"
    assert answer["difference"]["at"] >= answer["input"]["at"]
    assert answer["difference"]["input"] == answer["input"]
    assert answer["difference"]["agent"] in done.stderr
    assert "the bar of ETH/USDT known at 2021-01-09T09:00:00.000Z was another" in done.stderr


def test_a_changed_candle_of_which_nothing_came_is_a_difference_for_parity_alone(
    say: Say, session: Path, planted: Path, tmp_path: Path
) -> None:
    other = candle(planted, tmp_path, 399)  # the last one: too late for more than its own slice
    monitor = say("parity", "--state", session, "--data", other, "--json")
    assert monitor.returncode == 6
    assert found(monitor)["input"]["at"] == "2021-01-17T16:00:00.000Z"
    again_ = say("replay", "--state", session, "--data", other)
    assert again_.returncode == (0 if found(monitor)["equal"] else 6)


def test_another_setting_is_named_and_its_first_consequence(say: Say, session: Path, planted: Path) -> None:
    words = ("replay", "--state", session, "--data", planted, "--set", "consensus.required_votes=3")
    done = say(*words, "--json")
    assert done.returncode == 6
    answer = found(done)
    assert answer["replayed"]["settings"] == {"consensus.required_votes": [2, 3]}
    assert answer["difference"]["says"] == "same input, other decision"
    assert answer["difference"]["agent"].startswith("baseline (analyst-")
    people = say(*words)
    assert people.stdout.splitlines()[0].startswith(answer["difference"]["at"])
    assert "other settings: consensus.required_votes 2 -> 3" in people.stderr


def test_another_settings_file(say: Say, session: Path, planted: Path) -> None:
    done = say("replay", "--state", session, "--data", planted, "--config", DEFAULT_FILE, "--json")
    assert done.returncode == 6
    assert found(done)["replayed"]["settings"]["learners.team"] == [3, load(None, None, {}, ()).settings.learners.team]


def test_it_is_read_while_the_session_lives(say: Say, planted: Path, tmp_path: Path) -> None:
    words = ("--data", planted, *SMALL, "--bus", "local", "--speed", "36000x", "--json")
    with Process(*words, cwd=tmp_path, state=tmp_path / "state") as process:
        process.slices(60)
        done = say("parity", "--state", process.state, "--data", planted, "--json")
        assert done.returncode == 0, done.stderr
        assert process.popen.poll() is None, "it ended meanwhile"
        assert 0 < found(done)["slices"] < 400
        process.popen.kill()
        process.end()


def test_a_session_on_the_simulated_market(say: Say, tmp_path: Path) -> None:
    words = (*SIMULATED, "--bus", "local", "--speed", "6000x")  # its first day passes at full speed
    with Process(*words, cwd=tmp_path, state=tmp_path / "state") as process:
        process.slices(300)
        process.popen.kill()
        process.end()
    done = say("parity", "--state", tmp_path / "state", "--json")
    assert done.returncode == 0, done.stderr
    assert found(done)["slices"] >= 288
    refused(say("parity", "--state", tmp_path / "state", "--data", tmp_path), 4, "simulated market, which needs none")
    other = say("replay", "--state", tmp_path / "state", "--set", "simulated.correlation=0.6", "--json")
    assert found(other)["input"]["kind"] == "bar"


@pytest.fixture(scope="module")
def finished(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backtest of the planted days."""
    place = tmp_path_factory.mktemp("finished") / "run"
    backtest.run(BacktestOptions(data=planted, seed=7, bus="local", out=place, json=True, sets=SETS))
    return place


def test_a_backtest_is_equal_to_its_replay(say: Say, finished: Path, planted: Path, tmp_path: Path) -> None:
    done = say("replay", finished, "--data", planted)
    assert (done.returncode, done.stdout[:7]) == (0, "equal: "), done.stderr
    other = say("replay", finished, "--data", candle(planted, tmp_path, 200), "--json")
    assert other.returncode == 6
    assert found(other)["difference"]["input"]["at"] == "2021-01-09T09:00:00.000Z"


def test_the_ledger_names_its_data_but_not_their_place(finished: Path, session: Path, planted: Path) -> None:
    for folder in (finished, session):
        given = read_run(folder / "ledger.sqlite", settings().ledger).given
        assert given.data is not None
        assert given.data.folder == planted.name
        assert str(planted.parent) not in msgspec.json.encode(given).decode()
        assert not any("secret" in name or name == "bus.port" for name in given.settings)


def test_what_cannot_be_walked_is_refused_with_the_way_on(
    say: Say, session: Path, planted: Path, tmp_path: Path
) -> None:
    refused(say("replay", "--state", session), 4, "walked the data folder", "say with --data where it is")
    refused(say("replay", "last", "--state", session), 4, "name one of them")
    refused(say("replay", "--state", tmp_path / "none"), 2, "there is no such ledger")
    refused(say("replay", "nothing"), 2, "no run 'nothing'")
    wrong = ("--state", session, "--data", planted)
    refused(say("replay", *wrong, "--sha", "not-a-commit"), 2, "--sha: no such commit")
    refused(say("replay", *wrong, "--set", "consensus.votes=3"), 4, "unknown setting")


def test_a_place_without_git_or_repository_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="needs the repository"), unpacked("HEAD", (), tmp_path):
        pass
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="needs git"), unpacked("HEAD", ()):
        pass


def repository(place: Path) -> Path:
    """A repository of two commits: with a file, and without."""
    place.mkdir()

    def git(*words: str) -> None:
        own = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *own, *words], cwd=place, check=True, capture_output=True)

    git("init", "-q")
    for part in ("src", "config"):
        (place / part).mkdir()
        (place / part / "file").write_text("first")
    git("add", ".")
    git("commit", "-qm", "first")
    (place / "src" / "file").write_text("second")
    (place / "src" / "own").write_text("own")
    git("add", ".")
    git("commit", "-qm", "second")
    return place


def test_a_commit_is_unpacked_beside_the_present_one_and_gone_afterwards(tmp_path: Path) -> None:
    root = repository(tmp_path / "root")
    with unpacked("HEAD~1", ("src/own",), root) as (name, folder):
        assert len(name) == 40
        assert (folder / "src" / "file").read_text() == "first"
        assert (folder / "src" / "own").read_text() == "own", "it had none of its own"
    assert not folder.exists()
    with pytest.raises(NotFound, match="no such commit"), unpacked("--all", (), root):
        pass


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository of the project")
def test_the_newest_commit_walks_it_in_a_process_of_its_own(session: Path, planted: Path, tmp_path: Path) -> None:
    done = mycelial_long("replay", "--state", session, "--data", planted, "--sha", "HEAD", "--json", cwd=tmp_path)
    assert done.returncode in (0, 6), done.stderr
    assert len(found(done)["replayed"]["commit"]) == 40


def mycelial_long(*words: str | Path, cwd: Path) -> Done:
    """A command that compiles everything anew."""
    return subprocess.run(
        command(*words), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=800, check=False
    )


def test_settings_of_then_stand_and_what_is_not_known_is_left_out(capfd: pytest.CaptureFixture[str]) -> None:
    job = Job("simulated", 1, {"learners.team": 5, "gone.away": 1}, [], [], [], 0, sets=["learners.flat_max=0.9"])
    tree = again.settings_of(job)
    shipped = load(None, None, {}, ()).settings
    assert (tree.learners.team, tree.learners.flat_max) == (5, 0.9)
    assert tree.learners.flat_min == shipped.learners.flat_min
    assert "left out: gone.away" in capfd.readouterr().err
    assert LocalBus(SimClock(), tree.bus).ping()
