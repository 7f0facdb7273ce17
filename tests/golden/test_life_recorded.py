"""Probation, sleep and revival on recorded hours, and on the simulated market as their twin; thresholds made near."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from itertools import islice, pairwise

import pytest

from src.backtesting.simulated_market import SimulatedMarket
from src.backtesting.simulated_moats import MoatsBesides
from src.connectors.history import load_history
from src.connectors.memory_ledger import MemoryLedger
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.engine import Report
from src.core.timeframes import DAY_MS, parse_timerange
from src.core.types import Decision, Pair, Side, Stage
from src.wiring import House, Plan, build
from tests.recorded import RECORDED, needs_recorded
from tests.replays import replay
from tests.worlds import settings

PAIRS = ["BTC/USDT", "ETH/USDT", "SOL/USDT", "DOGE/USDT"]
NEAR = {
    "lifecycle__lift_ratio": -0.015, "lifecycle__probation_ratio": -0.02, "lifecycle__deep_lift_ratio": -0.03,
    "lifecycle__deep_probation_ratio": -0.04, "lifecycle__hibernation_ratio": -0.06, "lifecycle__hibernation_days": 3.0,
    "risk__max_drawdown_ratio": 1.0, "learners__calibration_min_t2": 0.0, "learners__entry_score": 0.6,
    "costs__fee_ratio": 0.0002, "costs__slippage_ratio": 0.0001,
}  # fmt: skip
"""Trades are many and cheap, and little is lost before an asset sleeps: what `--set` would say."""
EAGER = {"prospecting__volume_quote": [1.0, 2.0], "prospecting__trend_ratio": 0.001, "prospecting__spread_ratio": 0.5,
         "prospecting__volatility_ratio": [0.001, 0.002]}  # fmt: skip
"""The simulated market turns over less than real ones."""
SIMULATED = {
    "simulated__timeframe": "1h", "simulated__volatility_day_ratio": 0.08, "simulated__history_days": 1,
    "simulated__pairs": ["BTC/USD", "ETH/USD", "SOL/USD", "DOGE/USD"],
}  # fmt: skip
BARS = 24 * 60


class Lived:
    """What a run told of the lives of its assets."""

    def __init__(self, house: House, reports: Sequence[Report]) -> None:
        self.house, self.reports = house, reports

    def lines(self, kind: str) -> list[Decision]:
        return [line for report in self.reports for line in report.decisions if line.kind == kind]

    def stages(self) -> dict[Pair, list[Decision]]:
        found: defaultdict[Pair, list[Decision]] = defaultdict(list)
        for line in self.lines("lifecycle"):
            assert line.pair is not None
            found[line.pair].append(line)
        return found


def recorded() -> Lived:
    days = load_history(RECORDED, "binance", "1h", PAIRS, parse_timerange("20210415-20210615"))
    run = replay(days, settings(**NEAR))
    return Lived(run.house, run.reports)


def simulated() -> Lived:
    tree = settings(**NEAR, **EAGER, **SIMULATED)
    market = SimulatedMarket(tree.simulated, 7)
    feed = MoatsBesides(market, tree)
    clock = SimClock()
    plan = Plan(feed.pairs, feed.interval_ms, 7, simulation=True)
    house = build(tree, plan, clock, LocalBus(clock, tree.bus), MemoryLedger(tree.ledger))
    return Lived(house, [house.engine.on_slice(slice_) for slice_ in islice(feed, BARS)])


@pytest.fixture(
    scope="module", params=[pytest.param(recorded, marks=needs_recorded, id="recorded"), pytest.param(simulated)]
)
def lived(request: pytest.FixtureRequest) -> Lived:
    """Walked once."""
    found: Lived = request.param()
    return found


def test_assets_go_through_every_stage(lived: Lived) -> None:
    told = {line.reason for line in lived.lines("lifecycle")}
    assert {"active", "probation_1", "probation_2", "hibernated", "revived"} <= told
    assert not lived.house.model.faults


def test_stages_follow_each_other_as_they_may(lived: Lived) -> None:
    well, ill = {"active", "revived"}, {"probation_1", "probation_2"}
    for lines in lived.stages().values():
        assert lines[0].reason == "active"
        for before, after in pairwise(lines):
            assert after.detail["before"] == before.reason
            allowed = {"hibernated": {"revived"}, "probation_2": {"probation_1", "hibernated"},
                       "probation_1": well | ill | {"hibernated"}}  # fmt: skip
            assert after.reason in allowed.get(str(before.reason), ill)


def test_who_sleeps_lost_enough_for_long_enough(lived: Lived) -> None:
    for lines in lived.stages().values():
        since = 0
        for line in lines:
            if line.reason in ("active", "revived"):
                since = 0
            elif line.reason == "hibernated":
                assert Decimal(str(line.detail["profit_ratio"])) < Decimal("-0.06")
                assert line.at - since >= 3 * DAY_MS
            else:
                since = since or line.at


def test_a_team_leaves_with_its_asset_and_comes_back_with_it(lived: Lived) -> None:
    slept = [(line.at, line.pair) for line in lived.lines("lifecycle") if line.reason == "hibernated"]
    woke = [(line.at, line.pair) for line in lived.lines("lifecycle") if line.reason == "revived"]
    deployments = lived.lines("deployment")
    assert [(line.at, line.pair) for line in deployments if line.reason == "retired"] == slept
    assert [(line.at, line.pair) for line in deployments if line.reason == "revival"] == woke
    assert len(woke) >= 1
    asleep = {pair for pair, lines in lived.stages().items() if lines[-1].reason == "hibernated"}
    assert asleep.isdisjoint(lived.house.world.active)


def test_sized_orders_prove_that_probation_binds(lived: Lived) -> None:
    share = {"active": Decimal(1), "revived": Decimal(1), "probation_1": Decimal("0.5"), "probation_2": Decimal("0.25")}
    stage: dict[Pair, str] = {}
    seen: set[str] = set()
    ratio = lived.house.settings.account.entry_equity_ratio
    for report in lived.reports:
        for line in report.decisions:
            if line.kind == "lifecycle" and line.pair is not None and line.reason not in ("active", "revived"):
                stage[line.pair] = str(line.reason)
        for order in report.orders:
            if order.side is Side.BUY:
                now = stage.get(order.pair, "active")
                seen.add(now)
                assert abs(order.amount * order.reference / report.equity / ratio - share[now]) < Decimal("0.0001")
        for line in report.decisions:
            if line.kind == "lifecycle" and line.pair is not None:
                stage[line.pair] = str(line.reason)
    assert {"active", "probation_2"} <= seen


def test_counts_are_those_of_the_lines(lived: Lived) -> None:
    last = [lines[-1].reason for lines in lived.stages().values()]
    assert lived.house.life.counts() == {stage.value: last.count(stage.value) for stage in Stage if stage.value in last}
