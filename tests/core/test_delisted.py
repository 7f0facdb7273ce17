"""A pair whose bars end while it is held: it counts at its last price with its age, and is never sold at that price."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar

import numpy as np
import pytest

from src.agents import KINDS, Kind, World
from src.backtesting.recorder import Recorder
from src.commands.outcome import result_of
from src.core.engine import Report
from src.core.history import BarColumns, History, align
from src.core.messages import BaselineIdea, MycelialIdea
from src.core.model import MycelialAgent, MycelialModel
from src.core.types import Command, CommandKind, Decision, Pair, Side, Snapshot, Stage, Vote
from src.services.lifecycle import Standing
from tests.walked import Walk

HOUR, DAY = 3_600_000, 86_400_000
START = 1_609_459_200_000
BTC, LUNA = Pair("BTC/USDT"), Pair("LUNA/USDT")
BARS = 24 * 10
CALL, LAST = 30, 48
"""The bar at which both streams want to buy, and the last bar of the pair that is delisted."""
AGE = 2
"""risk.max_data_age_intervals, as shipped."""
DELISTED = LAST + 24 * 7
"""lifecycle.delisted_days, as shipped."""


class Caller(MycelialAgent):
    """Says once what two analysts and three learners would say of the pair that is delisted later."""

    kind: ClassVar[str] = "caller"
    phase: ClassVar[str] = "opine"

    def __init__(self, model: MycelialModel) -> None:
        super().__init__(model, "caller")

    def act(self, snapshot: Snapshot) -> None:
        if snapshot.at != closed(CALL):
            return
        times = {"source": self.name, "at": snapshot.at, "known_at": snapshot.at}
        votes = (Vote("a-1", Side.BUY, 0.8), Vote("a-2", Side.BUY, 0.8))
        self.say(f"baseline-trade-ideas:{LUNA}", BaselineIdea(**times, pair=LUNA, price=10.0, votes=votes))
        idea = MycelialIdea(**times, pair=LUNA, price=10.0, side=Side.BUY, score=0.9, edge=0.05, horizon=24,
                            learners=("l-1", "l-2", "l-3"))  # fmt: skip
        self.say("mycelial-trade-ideas", idea)


def _caller(world: World) -> None:
    Caller(world.model)


def closed(bar: int) -> int:
    return START + HOUR * (bar + 1)


def columns(rows: Sequence[int], price: float) -> BarColumns:
    opened = START + HOUR * np.array(rows, dtype=np.int64)
    close = price * (1.0 + 0.001 * (np.array(rows) % 2))
    return BarColumns(opened, close, close * 1.001, close * 0.999, close, np.full(len(rows), 1e6))


def history(back_at: int | None = None, venue_too: bool = False) -> History:
    """Two pairs; the second one's bars end, and may come back; `venue_too`: the other's are missing as long."""
    gone = range(LAST + 1, BARS if back_at is None else back_at)
    lunas = [row for row in range(BARS) if row not in gone]
    others = lunas if venue_too else list(range(BARS))
    return align({BTC: columns(others, 100.0), LUNA: columns(lunas, 10.0)}, HOUR)


def walk(bars: History | None = None, **changes: object) -> Walk:
    kinds = [kind for kind in KINDS if kind.name not in ("technical_analyst", "market_explorer")]
    return Walk(
        history() if bars is None else bars, [Kind("caller", Caller, _caller, (), ()), *kinds],
        learners__entry_score=1.0, learners__entry_score_spread=0.0, learners__standard={}, learners__team=3,
        builder__bootstrap_pairs=[BTC, LUNA], **changes,
    )  # fmt: skip


def lines(reports: Sequence[Report], *kinds: str) -> list[Decision]:
    return [line for report in reports for line in report.decisions if line.kind in kinds]


def test_it_stays_marked_at_its_last_price_and_the_age_is_told_once() -> None:
    walked = walk().all()
    after = [report for report in walked.reports if report.at >= closed(LAST)]
    assert {report.equity for report in after} == {after[0].equity}
    (notice,) = lines(walked.reports, "notice")
    assert (notice.at, notice.pair, notice.reason) == (closed(LAST + AGE + 1), LUNA, "stale_data")
    assert notice.detail == {"mark": "10", "marked_at": "2021-01-03T01:00:00.000Z"}
    assert walked.house.desk.marked_at == {LUNA: closed(LAST)}


def test_its_horizon_wants_to_leave_and_nothing_is_sold() -> None:
    walked = walk().all()
    sells = [order for report in walked.reports for order in report.orders if order.side is Side.SELL]
    assert [(order.reason, order.at) for order in sells] == [("horizon", closed(CALL + 24))], "and it waits for a bar"
    assert [fill.side for report in walked.reports for fill in report.fills] == [Side.BUY]
    assert walked.house.desk.portfolio.positions[LUNA].amount > 0


def test_after_a_week_it_is_delisted_and_its_slot_is_free() -> None:
    walked = walk().all()
    told = [(line.pair, line.reason, line.at) for line in lines(walked.reports, "lifecycle")]
    assert told == [(BTC, "active", closed(0)), (LUNA, "active", closed(0)), (LUNA, "delisted", closed(DELISTED))]
    retired = [(line.pair, line.at) for line in lines(walked.reports, "deployment") if line.reason == "retired"]
    assert retired == [(LUNA, closed(DELISTED))]
    assert list(walked.house.world.active) == [BTC]
    assert walked.house.life.counts() == {"active": 1, "delisted": 1}
    assert walked.house.life.multiplier(LUNA) == 0


@pytest.mark.parametrize(("days", "gone"), [(1, True), (6, True), (8, False)])
def test_the_days_are_a_setting(days: int, gone: bool) -> None:
    walked = walk(lifecycle__delisted_days=days).all()
    assert [line.at for line in lines(walked.reports, "lifecycle") if line.reason == "delisted"] == (
        [closed(LAST + 24 * days)] if gone else []
    )


def test_a_venue_that_is_silent_delists_nobody() -> None:
    back = LAST + 1 + 24 * 7
    walked = walk(history(back, venue_too=True)).all()
    assert walked.house.life.counts() == {"active": 2}


def test_a_pair_that_is_not_listed_yet_is_not_delisted() -> None:
    late = list(range(24 * 8, BARS))
    bars = align({BTC: columns(range(BARS), 100.0), LUNA: columns(late, 10.0)}, HOUR)
    assert walk(bars).all().house.life.counts() == {"active": 2}


def test_it_is_sold_at_the_open_of_the_bar_it_comes_back_with() -> None:
    back = LAST + 48
    walked = walk(history(back)).all()
    (sold,) = [fill for report in walked.reports for fill in report.fills if fill.side is Side.SELL]
    assert (sold.at, sold.price) == (closed(back), Decimal("10.0"))
    assert walked.house.life.counts() == {"active": 2}


def test_what_waits_to_be_bought_of_it_is_cancelled() -> None:
    walked = walk(account__entry_equity_ratio=1e-12)
    walked.until(LAST)
    order = Command(CommandKind.ORDER, "by hand", "control", LUNA, Side.BUY, amount=Decimal(5), id="1")
    walked.put(order)
    walked.until(DELISTED - 1)
    assert [one.side for one in walked.house.desk.broker.open_orders()] == [Side.BUY]
    walked.until(DELISTED)
    assert walked.house.desk.broker.open_orders() == []


def test_an_entry_of_a_pair_without_a_bar_is_refused_as_stale() -> None:
    walked = walk()
    walked.until(LAST + AGE + 2)
    walked.put(Command(CommandKind.ORDER, "by hand", "control", LUNA, Side.BUY, amount=Decimal(5), id="1"))
    report = walked.until(LAST + AGE + 3)
    assert [line.reason for line in report.decisions if line.kind == "refusal"] == ["stale_data"]


@pytest.mark.parametrize("bar", [LAST + 1, LAST + AGE + 1, DELISTED - 1, DELISTED])
def test_a_restart_at_any_time_tells_and_does_the_same(bar: int) -> None:
    first, later = walk(), walk()
    first.until(bar)
    later.restore(first.saved())
    first.until(BARS - 1)
    later.until(BARS - 1, first=bar + 1)
    assert [report.decisions for report in later.reports] == [report.decisions for report in first.reports[bar + 1 :]]
    assert later.saved() == first.saved()


def test_at_the_end_it_is_listed_with_the_age_of_its_mark() -> None:
    walked = walk()
    recorder = Recorder()
    for row in range(BARS):
        recorder.take(walked.until(row))
    result = result_of(walked.house, recorder, "r", "backtest", 1.0, "")
    (held,) = result["open_positions"]
    assert (held["pair"], held["mark"]) == (LUNA, 10.0)
    assert (held["marked_at"], held["mark_age_s"]) == ("2021-01-03T01:00:00.000Z", 3600.0 * (BARS - 1 - LAST))
    assert result["lifecycle"] == {"active": 1, "delisted": 1}


def test_what_comes_back_stands_where_its_sum_puts_it() -> None:
    walked = walk()
    life = walked.house.life
    walked.until(DELISTED)
    assert life.standing(LUNA) == Standing(Stage.DELISTED, closed(DELISTED))
    for total, stage in (("0", Stage.REVIVED), ("-0.06", Stage.PROBATION), ("-0.2", Stage.DEEP_PROBATION)):
        life._standings[LUNA] = Standing(Stage.DELISTED, closed(DELISTED), Decimal(total))
        (change,) = life.on_deployment(closed(DELISTED + 1), LUNA)
        assert (change.before, change.after, change.profit_ratio) == (Stage.DELISTED, stage, Decimal(total))
