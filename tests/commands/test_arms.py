"""Arms walked side by side: the same as one after another and as a backtest, whatever happens to their workers."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from src.backtesting.planted import planted_history
from src.commands import arms, workers
from src.commands.arms import Arm, Walked, comparable, walk_arm, walk_arms
from src.commands.finite import EvidenceOptions, finite_feed
from src.core import metrics
from src.core.errors import MycelialError, UsageError
from src.core.history import HistoryFeed
from src.core.types import Pair
from tests.commands.cli import HOUR_MS, SMALL, START_MS, mycelial
from tests.worlds import ROOT, settings

SEEDS = (1, 2, 3)
SMALL_WORLD = {
    "learners__team": 3, "learners__entry_score": 0.6, "learners__calibration_min_t2": 0.0,
    "costs__fee_ratio": 0.0002, "costs__slippage_ratio": 0.0001,
}  # fmt: skip


def feed(bars: int = 300) -> HistoryFeed:
    pairs = [Pair("BTC/USDT"), Pair("ETH/USDT")]
    return HistoryFeed(planted_history(pairs, bars, 0.5, 6, 3, HOUR_MS, START_MS))


def some() -> list[Arm]:
    return [Arm(f"seed {seed}", settings(**SMALL_WORLD), seed) for seed in SEEDS]


def same(first: Walked, second: Walked) -> bool:
    """Everything but what the machine did."""
    returns = all(np.array_equal(first.returns[book], second.returns[book]) for book in first.returns)
    parts = (first.name, first.orders_sha256, first.decisions_sha256, first.trades, first.days.tolist())
    others = (second.name, second.orders_sha256, second.decisions_sha256, second.trades, second.days.tolist())
    return returns and parts == others and comparable(first.result) == comparable(second.result)


@pytest.fixture(scope="module")
def serial() -> list[Walked]:
    return walk_arms(some(), feed(), 1)


def test_an_arm_is_what_a_backtest_of_the_same_is(planted: Path, tmp_path: Path) -> None:
    done = mycelial("backtest", "--data", planted, *SMALL, "--seed", "5", "--json", cwd=tmp_path)
    told = msgspec.json.decode(done.stdout, type=dict[str, object])
    options = EvidenceOptions(data=planted, seed=5)
    walked = walk_arm(Arm("a", settings(**SMALL_WORLD), 5), finite_feed(options, settings(**SMALL_WORLD)))
    names = ("orders_sha256", "decisions_sha256", "data_sha256", "config_sha256", "streams", "account", "collisions")
    assert {name: walked.result[name] for name in names} == {name: told[name] for name in names}
    assert (walked.orders_sha256, walked.decisions_sha256) == (told["orders_sha256"], told["decisions_sha256"])
    assert walked.result["run_id"] == walked.name == "a"
    assert sum(len(closed) for closed in walked.trades.values()) > 0


def test_returns_of_every_book_are_of_all_days(serial: list[Walked]) -> None:
    found = serial[0]
    books = {"baseline", "mycelial", "synthesized", "mycelial_edge_tested", "ridge", "noise", "buy_and_hold"}
    assert set(found.returns) == books
    assert found.days.tolist() == list(range(18628, 18628 + 13))
    assert {len(returns) for returns in found.returns.values()} == {13}
    for stream, told in found.result["streams"].items():
        assert metrics.sharpe(found.returns[stream]) == told["sharpe"]
        grown = float(np.prod(1.0 + found.returns[stream])) - 1.0
        assert grown == pytest.approx(told["total_profit_ratio"], abs=1e-12)
    grown = float(np.prod(1.0 + found.returns["buy_and_hold"])) - 1.0
    assert grown == pytest.approx(found.result["buy_and_hold"]["total_profit_ratio"], abs=1e-12)


def test_nobody_can_tell_how_many_walked_at_once(serial: list[Walked]) -> None:
    heard: list[int] = []
    together = walk_arms(some(), feed(), 2, lambda number, walked: heard.append(number))
    assert sorted(heard) == [0, 1, 2]
    assert [one.name for one in together] == [f"seed {seed}" for seed in SEEDS]
    assert all(same(one, other) for one, other in zip(serial, together, strict=True))
    assert len({one.decisions_sha256 for one in together}) == 3
    assert same(pickle.loads(pickle.dumps(together[0])), serial[0])


def test_the_memory_is_estimated_first(capsys: pytest.CaptureFixture[str]) -> None:
    walk_arms(some()[:1], feed(40), 5)
    assert capsys.readouterr().err.startswith("1 runs, 1 at once: about ")
    assert arms.estimate_mb(feed(40), 2) > arms.estimate_mb(feed(40), 1) > 10.0


def killed_once(task: tuple[int, str], given: str) -> str:
    """Work that ends its own process the first time anybody does it."""
    number, marks = task
    mark = Path(marks) / f"{number}-{len(list(Path(marks).glob(f'{number}-*')))}"
    mark.touch()
    if number == 1 and mark.name.endswith("-0"):
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{given} {number}"


def killed_always(task: int, given: None) -> None:
    """Work that nobody survives."""
    os.kill(os.getpid(), signal.SIGKILL)


def refused(task: int, given: None) -> int:
    """Work of which the second piece is a mistake."""
    if task == 1:
        raise UsageError("number 1 does not fit")
    return task


def test_what_a_killed_worker_did_is_done_again(tmp_path: Path) -> None:
    tasks = [(number, str(tmp_path)) for number in range(5)]
    found = dict(workers.spread(killed_once, tasks, "done", 2, str))
    assert found == {number: f"done {number}" for number in range(5)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0-0", "1-0", "1-1", "2-0", "3-0", "4-0"]


def test_work_that_ends_every_worker_is_named() -> None:
    with pytest.raises(MycelialError, match=r"piece 0 ended its worker 3 times \(signal 9\); is there enough memory"):
        list(workers.spread(killed_always, [0], None, 2, lambda number: f"piece {number}"))


def test_what_a_piece_of_work_raises_is_raised() -> None:
    with pytest.raises(UsageError, match="number 1 does not fit"):
        list(workers.spread(refused, [0, 1, 2], None, 2, str))


def test_an_arm_whose_worker_is_killed_in_the_middle_is_walked_again(serial: list[Walked]) -> None:
    """From outside: the first answer kills the one that is walking."""
    found = {}
    for number, walked in workers.spread(walk_arm, some(), feed(), 2, str):
        if not found:
            os.kill(_walking(), signal.SIGKILL)
        found[number] = walked
    assert all(same(found[number], one) for number, one in enumerate(serial))


def _walking() -> int:
    """A worker of this process; they are children of the server that forked them."""
    from multiprocessing import active_children

    return next(child.pid for child in active_children() if child.pid is not None)


def test_arrays_are_mapped_and_not_copied(tmp_path: Path) -> None:
    workers.share({"a": np.arange(5), "b": feed(40)}, tmp_path)
    back = workers.shared(tmp_path)
    assert back["a"].tolist() == [0, 1, 2, 3, 4]
    assert not back["a"].flags.owndata
    assert not back["b"].history.close.flags.writeable
    assert back["b"].data_sha256 == feed(40).data_sha256
    workers.share("nothing to map", tmp_path)
    assert workers.shared(tmp_path) == "nothing to map"


ENDLESS = """
import signal
from src.commands import workers
from tests.commands.test_arms import forever
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
    for _ in workers.spread(forever, [1, 2], None, 2, str):
        pass
"""


def forever(task: int, given: None) -> None:
    """Work without an end; says who does it."""
    from threading import Event

    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    Event().wait()


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody asked for since does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process whose two workers work for ever."""
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    yield process
    process.kill()
    process.wait(60)
    if process.stdout is not None:
        process.stdout.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_is_left_behind(endless: subprocess.Popen[str], how: signal.Signals) -> None:
    assert endless.stdout is not None
    pids = [int(endless.stdout.readline()) for _ in range(2)]
    assert all(map(alive, pids))
    endless.send_signal(how)
    endless.wait(60)
    assert endless.stdout.read() == ""  # ends when the last of them does: they share the pipe
    assert not any(map(alive, pids))


def test_a_market_is_given_or_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MYCELIAL_DATA", raising=False)
    tree = settings(simulated__pairs=["BTC/USD", "ETH/USD"], simulated__timeframe="1h")
    made_up = finite_feed(EvidenceOptions(seed=3, days=2), tree)
    assert (made_up.simulated, len(made_up.history.times), made_up.pairs) == (True, 48, ("BTC/USD", "ETH/USD"))
    assert isinstance(made_up, HistoryFeed)
    assert made_up.observations
    with pytest.raises(UsageError, match="--pairs belongs to recorded data"):
        finite_feed(EvidenceOptions(seed=3, pairs="BTC/USD"), tree)
    with pytest.raises(UsageError, match="--days belongs to the simulated market"):
        finite_feed(EvidenceOptions(seed=3, days=3, data=Path("x")), tree)
