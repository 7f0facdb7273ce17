"""What a run says of itself in figures: counted by hand on the scripted tape, and a scrape changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from src.commands.measures import NONE, Measures
from src.connectors.metrics_http import Figures
from src.connectors.metrics_table import MEASURES
from src.connectors.sources.standing import SourceHealth
from src.core.bus import LocalBus
from src.core.clock import SimClock, Timer
from src.core.history import HistoryFeed
from src.core.report import Report
from src.core.standing import Level, Throw
from src.core.types import Command, CommandKind, Side, Status, Stream, Trade
from src.services.writer import Writer
from src.wiring import House, Plan, build
from tests.checks.ledger_checks import row
from tests.golden import tape
from tests.money import SHIPPED

RULES = SHIPPED.monitoring.metrics


class Told(Timer):
    """Seconds that stand where a test puts them."""

    def __init__(self) -> None:
        self.now = 100.0

    def seconds(self) -> float:
        return self.now


class Nowhere:
    """A disk that takes everything."""

    def write(self, rows: object) -> dict[int, str]:
        return {}

    def checkpoint(self, at: int, state: bytes) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""


class Run:
    """The scripted tape's house with its measures."""

    def __init__(self) -> None:
        self.timer, self.ledger = Told(), Writer(Nowhere(), SHIPPED.ledger)
        clock, self.history = SimClock(), tape.history()
        plan = Plan(self.history.pairs, tape.HOUR, seed=7, kinds=tape.kinds())
        self.house: House = build(SHIPPED, plan, clock, LocalBus(clock, SHIPPED.bus), self.ledger, self.history)
        self.measures = Measures(self.house, self.ledger, RULES, {"mode": "test"}, self.timer, lambda: 1_000_000)
        self.reports: list[Report] = []

    def walk(self, bars: int = tape.BARS) -> None:
        """So many bars, one a second."""
        for number, slice_ in enumerate(HistoryFeed(self.history)):
            if len(self.reports) <= number < bars:
                self.timer.now += 1.0
                self.reports.append(self.house.engine.on_slice(slice_))
                self.measures(self.reports[-1])

    def value(self, name: str, *labels: str) -> float:
        return self.measures.figures().series[name][labels]


@pytest.fixture
def run() -> Iterator[Run]:
    made = Run()
    yield made
    made.house.close()


def test_every_figure_is_in_the_table(run: Run) -> None:
    run.measures.around.health = lambda: [health("commits", 3, 1, 0.2)]
    run.measures.alarm("clock")
    run.walk()
    figures = run.measures.figures()
    by_name = {measure.name: measure for measure in MEASURES}
    for name, series in figures.series.items():
        assert by_name[name].kind in ("counter", "gauge"), name
        assert {len(labels) for labels in series} <= {len(by_name[name].labels)}, name
    assert {name for name in figures.distributions if by_name[name].kind != "histogram"} == set()


def test_the_tape_is_counted(run: Run) -> None:
    run.measures.around.took_s = lambda: 0.002
    run.walk()
    reports = run.reports
    trades = [trade for report in reports for trade in report.trades]
    own = [trade for trade in trades if trade.stream is Stream.SYNTHESIZED]
    fills = [fill for report in reports for fill in report.fills]
    assert own
    assert run.value("slices_total") == tape.BARS == run.value("bars_total")
    assert run.value("trades_executed_total", "BTC/USDT", "buy") == sum(fill.side is Side.BUY for fill in fills) > 0
    assert run.value("trades_executed_total", "BTC/USDT", "sell") == sum(fill.side is Side.SELL for fill in fills) > 0
    assert run.value("trades_closed_total", "synthesized") == len(own)
    assert run.value("cumulative_pnl_usd", "BTC/USDT") == float(sum(trade.profit for trade in own))
    percent = 100 * float(sum(trade.profit_ratio for trade in own))
    assert run.value("cumulative_pnl_percent", "BTC/USDT") == pytest.approx(percent, abs=1e-12)
    assert run.value("win_rate_percent") == 100 * sum(trade.profit > 0 for trade in own) / len(own)
    assert run.value("equity_quote") == float(reports[-1].equity)
    assert run.value("slice_timestamp_seconds") == tape.closed_at(tape.BARS - 1) / 1000
    decided = [decision.kind for report in reports for decision in report.decisions]
    assert run.value("decisions_total", "fill") == decided.count("fill")
    kinds = {labels[0]: count for labels, count in run.measures.figures().series["refusals_total"].items()}
    assert kinds == dict(run.house.engine.refusals)
    buckets, total = run.measures.figures().distributions["slice_duration_seconds"][NONE]
    assert dict(buckets)["0.001"] == 0
    assert dict(buckets)["0.0025"] == tape.BARS
    assert total == pytest.approx(0.002 * tape.BARS)
    buckets, total = run.measures.figures().distributions["trade_execution_duration_seconds"][NONE]
    entered = {order.id: order.at for report in reports for order in report.orders}
    waits = [(fill.at - entered[fill.order_id]) / 1000 for fill in fills if fill.order_id in entered]
    assert (dict(buckets)["+Inf"], total) == (len(waits), sum(waits))


def test_the_swarm_is_counted(run: Run) -> None:
    run.walk(2)
    census = run.house.model.census()
    assert run.value("active_agents_total") == census["total"] == run.value("agents_spawned_total")
    assert run.value("active_agents_by_type", "technical_analyst") == census["technical_analyst"]
    assert ("total",) not in run.measures.figures().series["active_agents_by_type"]
    assert run.value("agents_stopped_total") == 0
    assert run.value("active_assets_total") == 1
    assert run.value("consensus_reached_total", "HFT") == 0
    run.house.world.nursery.retire(tape.PAIR)
    run.house.world.figures.retired += 1
    run.house.world.figures.consensus["HFT"] = 36
    run.walk(3)
    gone = census["total"] - run.house.model.census()["total"]
    assert run.value("agents_stopped_total") == gone > 0
    assert run.value("consensus_reached_total", "HFT") == 36
    assert run.value("consensus_rate") == pytest.approx(36 / 2.0)  # over the two seconds since the first look


def test_a_halt_and_what_was_thrown_since(run: Run) -> None:
    run.walk(2)
    assert (run.value("halted"), run.value("halts_total")) == (0, 0)
    run.measures.around.thrown = lambda: Throw(Level.HALTED, "now", "file")
    run.walk(3)
    assert (run.value("halted"), run.value("standing_level", "all"), run.value("halts_total")) == (1, 2, 0)
    run.measures.around.thrown = lambda: None
    run.house.engine.inbox.put(Command(CommandKind.HALT, "look", "test"))
    run.walk(4)
    assert (run.value("halted"), run.value("standing_level", "all"), run.value("halts_total")) == (1, 1, 1)
    run.house.engine.inbox.put(Command(CommandKind.RESUME, "looked", "test"))
    run.walk(5)
    assert (run.value("halted"), run.value("halts_total")) == (0, 1)
    assert run.measures.figures().series["standing_level"] == {}


def test_figures_are_looked_up_at_their_pace_and_never_changed_afterwards(run: Run) -> None:
    run.walk(2)
    taken = run.measures._taken
    before = msgspec.json.encode(Figures({n: {str(k): v for k, v in s.items()} for n, s in taken.series.items()}))  # type: ignore[misc]
    step = run.timer
    for slice_ in list(HistoryFeed(run.history))[2:5]:
        step.now += RULES.every_seconds / 4
        run.measures(run.house.engine.on_slice(slice_))
    assert run.measures._taken is taken
    after = msgspec.json.encode(Figures({n: {str(k): v for k, v in s.items()} for n, s in taken.series.items()}))  # type: ignore[misc]
    assert before == after


def test_what_changes_without_a_slice_is_of_this_moment(run: Run) -> None:
    run.walk(1)
    run.measures.around.interval_s = 10.0
    assert run.value("feed_age_seconds") == 0.0
    run.timer.now += 79.0
    assert run.value("feed_age_seconds") == 79.0
    assert run.measures.silent() == ""
    run.timer.now += 2.0
    assert run.measures.silent() == "no slice for 81 s"
    run.ledger.failure = "no space"
    assert run.value("ledger_failed") == 1.0
    run.ledger.failure = None
    run.ledger.append([row(1)], durable=True).wait()
    assert run.value("ledger_backlog_rows") == 0.0
    run.measures.alarm("clock")
    run.measures.alarm("clock")
    assert run.value("alarms_total", "clock") == 2.0


def test_trades_of_an_earlier_life_count(run: Run) -> None:
    kept = [trade(Decimal(5)), trade(Decimal(-3)), trade(Decimal(-1)), trade(Decimal(9), Stream.MYCELIAL)]
    run.measures.recall(kept)
    run.walk(1)
    assert run.value("cumulative_pnl_usd", "ETH/USDT") == 1.0
    assert run.value("win_rate_percent") == pytest.approx(100 / 3)
    assert run.value("trades_closed_total", "mycelial") == 1


def trade(profit: Decimal, stream: Stream = Stream.SYNTHESIZED) -> Trade:
    one = Decimal(1)
    return Trade("t", stream, "ETH/USDT", one, 0, 1, one, one, one, one, profit, profit / 100, "stop")  # type: ignore[arg-type]


def test_there_is_no_win_rate_before_the_first_trade(run: Run) -> None:
    run.walk(1)
    assert np.isnan(run.value("win_rate_percent"))


def health(name: str, calls: int, errors: int, latency: float | None, age: float | None = 30.0) -> SourceHealth:
    return SourceHealth(name, "code", False, Status.OK, age, "", (), calls, errors, latency, 0, 0.0, {})


def test_sources_are_summed_by_moat(run: Run) -> None:
    told = [health("commits", 3, 1, 0.2), health("news", 2, 2, None, None)]
    run.measures.around.health = lambda: told
    run.walk(2)
    assert run.value("moat_api_calls_total", "code") == 5
    assert run.value("moat_api_errors_total", "code") == 3
    assert run.value("moat_last_update_timestamp", "code") == 970.0
    assert run.value("moat_interval_seconds", "code") == 300.0
    told[0] = health("commits", 4, 1, 7.0)
    run.walk(4)
    buckets, total = run.measures.figures().distributions["moat_api_latency_seconds"][("code",)]
    assert (dict(buckets)["0.25"], dict(buckets)["10.0"], total) == (1, 2, 7.2)
