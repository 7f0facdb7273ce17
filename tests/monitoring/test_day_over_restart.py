"""What people are told of a day does not depend on how often the process began within it: the ledger has all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from src.commands.monitoring import Monitor
from src.connectors.sqlite_ledger import SqliteSink
from src.connectors.state_folder import StateFolder
from src.core import records
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.history import HistoryFeed
from src.core.report import Report
from src.core.types import Stream, Trade
from src.services.writer import Writer
from src.wiring import Plan, build
from tests.golden import tape
from tests.money import SHIPPED
from tests.monitoring.test_announcing import Told
from tests.monitoring.test_announcing import run as run  # the fixture
from tests.monitoring.test_measures import trade
from tests.worlds import settings

MIDNIGHT = 47
"""So many bars of the tape pass before the third day begins; the last of them brings the first execution."""


class Lives:
    """The tape's house over a ledger on disk, watched by one monitor after the other."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        quiet = settings().monitoring.metrics.model_copy(update={"port": None})
        watching = settings().monitoring.model_copy(update={"metrics": quiet})
        self._settings = settings().model_copy(update={"monitoring": watching})
        self._stack, self._folder = stack, stack.enter_context(StateFolder.open(folder, "paper"))
        sink = SqliteSink(self._folder.ledger_path, SHIPPED.ledger, mode="paper", ledger_id="one")
        self._ledger = Writer(sink, SHIPPED.ledger)
        stack.callback(self._ledger.close)
        clock, history = SimClock(), tape.history()
        plan = Plan(history.pairs, tape.HOUR, seed=7, kinds=tape.kinds())
        self.house = build(SHIPPED, plan, clock, LocalBus(clock, SHIPPED.bus), self._ledger, history)
        stack.callback(self.house.close)
        self._slices, self.reports = iter(HistoryFeed(history)), list[Report]()
        self.told: list[str] = []
        self._history = history

    def begin(self, history_ends: int = 0) -> None:
        """Another life of the process, with what the ledger tells it."""
        self._ledger.append([records.row(0, "start", f"life {len(self.reports)}", {})], durable=True).wait()
        feed: Any = SimpleNamespace(simulated=False, pairs=self._history.pairs, interval_ms=tape.HOUR)
        source: Any = SimpleNamespace(
            name="replay", feed=feed, timeframe="1h", history_ends=history_ends, pairs=feed.pairs
        )
        monitor = Monitor(
            self._settings, self.house, self._ledger, self._folder, source, "run-1", "", self._stack
        )  # fmt: skip
        trades = [one for report in self.reports for one in report.trades]
        monitor._recall_day(trades)
        self.announcer = monitor.announcer
        self.announcer._tell_people = lambda notice: self.told.append(notice.text)

    def walk(self, bars: int) -> None:
        """Up to so many bars."""
        while len(self.reports) < bars:
            self.reports.append(self.house.engine.on_slice(next(self._slices)))
            self.announcer(self.reports[-1])


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is told where nothing was cut."""
    with ExitStack() as stack:
        lives = Lives(tmp_path_factory.mktemp("whole"), stack)
        lives.begin()
        lives.walk(tape.BARS)
    assert [text.split(" ")[1] for text in lives.told] == ["2021-01-01:", "2021-01-02:"]
    assert lives.told[1].split(" ")[2] not in ("0.00", "-0.00"), "positions were open in that night"
    return lives.told


@pytest.mark.parametrize("cut", [23, 44, MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 1])
def test_a_day_is_told_as_if_nothing_was_cut(cut: int, tmp_path: Path, stack: ExitStack, whole: list[str]) -> None:
    lives = Lives(tmp_path, stack)
    lives.begin()
    lives.walk(cut)
    lives.begin()
    lives.walk(tape.BARS)
    assert lives.told == whole


def test_a_day_that_ended_while_nobody_was_there_is_told_once_somebody_is(
    tmp_path: Path, stack: ExitStack, whole: list[str]
) -> None:
    """Bars up to the fiftieth are those of the gap, which an exchange serves afterwards."""
    lives = Lives(tmp_path, stack)
    lives.begin()
    lives.walk(44)
    assert lives.told == whole[:1]
    lives.begin(history_ends=tape.closed_at(49))
    lives.walk(50)
    assert lives.told == whole[:1]
    lives.walk(51)
    assert lives.told == whole
    lives.walk(tape.BARS)
    assert lives.told == whole


def test_trades_of_the_day_count_and_others_do_not(run: Told) -> None:
    run.walk(30)  # seven hours into the second day
    at = run.reports[-1].at
    run.announcer.recall(at, run.reports[-1].equity / Decimal("0.9"), list(closed(at)))
    run.again(at=at + 24 * tape.HOUR)
    assert "2021-01-02: -10.00 %, 2 trades, 1 won, " in run.texts()[-1]


def closed(at: int) -> Iterator[Trade]:
    """Two of the account's own of this day; one of another stream, one of the day before."""
    for profit, ago_ms, stream in (
        (5, 0, Stream.SYNTHESIZED),
        (-3, tape.HOUR, Stream.SYNTHESIZED),
        (7, 0, Stream.MYCELIAL),
        (9, 12 * tape.HOUR, Stream.SYNTHESIZED),
    ):
        yield msgspec.structs.replace(trade(Decimal(profit), stream), exit_at=at - ago_ms)
