"""The analysis sees what knows the future, names it, and keeps quiet where nothing does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np
import pytest

from src.agents import KINDS, Kind, World
from src.backtesting.evidence.lookahead import Culprit, cuts_of, look_ahead, recursive
from src.core.engine import Report
from src.core.errors import UsageError
from src.core.features import Row
from src.core.history import History
from src.core.indicators import IndicatorSource, joined
from src.core.market import FEATURES
from src.core.model import MycelialAgent, MycelialModel
from src.core.types import BarBlock, Decision, FloatArray, Snapshot
from tests.core.walks import HOUR, MONDAY, walk
from tests.walked import Walk

DAYS = walk(np.random.default_rng(11), 220)
END = int(DAYS.times[-1])
SHORT = {
    "learners__standard": {"market": 3},
    "learners__team": 3,
    "learners__rank_window": 30,
    "learners__rank_warmup": 10,
    "indicators__volume_window": 12,
    "indicators__atr_rank_window": 20,
    "indicators__volatility_warmup": 10,
    "builder__bootstrap_pairs": ["P0/USD"],
}
CUTS = tuple(int(DAYS.times[row]) for row in (120, 150, 190))


class Peeking(MycelialAgent):
    """Says what the next close will be, as long as somebody told it."""

    kind: ClassVar[str] = "peeking"
    phase: ClassVar[str] = "opine"
    history: ClassVar[History] = DAYS

    def __init__(self, model: MycelialModel) -> None:
        super().__init__(model, "peeking-agent")

    def act(self, snapshot: Snapshot) -> None:
        row = int(np.searchsorted(self.history.times, snapshot.at)) + 1
        if row < len(self.history.times) and row % 7 == 0:
            text = repr(float(self.history.close[row, 0]))
            self.model.note(Decision(snapshot.at, "idea", source=self.name, detail={"next": text}))


def _peeking(world: World) -> None:
    Peeking(world.model)


class Blind:
    """Lets a feature of the next bar through, where there is one."""

    def __init__(self, source: IndicatorSource, history: History) -> None:
        self._source, self._history = source, history

    def advance(self, block: BarBlock) -> Row:
        row = self._source.advance(block)
        place = int(np.searchsorted(self._history.times, block.opened + HOUR)) + 1
        features = row.features.copy()
        later = self._history.close[place, 0] if place < len(self._history.times) else np.nan
        features[0, FEATURES.index("rsi")] = np.nan_to_num(later)
        self._features = features
        return row._replace(features=features)

    def beside(self, values: FloatArray) -> FloatArray:
        return joined(self._features, values)


def _walks(kinds: tuple[Kind, ...] = KINDS, biased: bool = False) -> Callable[[int], Iterator[Report]]:
    def one(until: int) -> Iterator[Report]:
        days = DAYS.cut(until)
        Peeking.history = days
        house = Walk(days, kinds, **SHORT)
        if biased:
            market = house.house.market
            market._source = Blind(market._source, days)  # type: ignore[assignment]
        for row in range(len(days.times)):
            yield house.until(row)

    return one


def _only(culprits: tuple[Culprit, ...]) -> Culprit:
    (culprit,) = culprits
    return culprit


def test_the_swarm_itself_does_not_look_ahead() -> None:
    found = look_ahead(_walks(), END, CUTS)
    assert found.culprits == ()
    assert found.cuts == 3
    assert found.slices == sum(int(np.searchsorted(DAYS.times, cut, side="right")) for cut in CUTS)


def test_an_agent_that_peeks_is_named_with_what_it_said() -> None:
    kinds = (*KINDS, Kind("peeking", Peeking, _peeking, (), ()))
    rows = [row for row in range(100, 200) if (row + 1) % 7 == 0][:3]
    found = look_ahead(_walks(kinds), END, [int(DAYS.times[row]) for row in rows])
    culprit = _only(found.culprits)
    assert (culprit.stage, culprit.who, culprit.at) == ("agents", "peeking-agent", int(DAYS.times[rows[0]]))
    assert repr(float(DAYS.close[rows[0] + 1, 0])) in culprit.with_future
    assert culprit.without != culprit.with_future


def test_a_feature_of_the_next_bar_is_named_with_both_values() -> None:
    culprit = _only(look_ahead(_walks(biased=True), END, CUTS).culprits)
    assert (culprit.stage, culprit.who, culprit.what) == ("features", "rsi", "P0/USD")
    assert culprit.at == CUTS[0]
    assert culprit.without == "0.0"
    assert float(culprit.with_future) == pytest.approx(np.nan_to_num(DAYS.close[121, 0]))


def test_a_feature_that_knows_the_whole_sample_is_seen_at_the_first_row() -> None:
    def one(until: int) -> Iterator[Report]:
        days = DAYS.cut(until)
        mean = float(np.nanmean(days.close))
        for report in _walks()(until):
            centred = report.snapshot.features - mean
            yield _with(report, features=centred)

    culprit = _only(look_ahead(one, END, CUTS[:1]).culprits)
    assert culprit.stage == "features"
    assert culprit.at < CUTS[0]


def _with(report: Report, **changes: object) -> Report:
    from msgspec.structs import replace

    return replace(report, snapshot=replace(report.snapshot, **changes))


@pytest.mark.parametrize("cuts", [(), (END,), (MONDAY, END + HOUR)])
def test_cuts_that_compare_nothing_are_refused(cuts: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="cut"):
        look_ahead(_walks(), END, cuts)


def test_cuts_lie_where_something_happened_and_in_between() -> None:
    times = list(range(0, 1000, 10))
    assert cuts_of(times, [], 3) == (160, 490, 820)
    busy = cuts_of(times, [100, 110, 120, 990], 4)
    assert len(busy) == 4
    assert len({100, 110, 120} & set(busy)) == 2
    assert 990 not in busy
    assert cuts_of([5], [5], 4) == ()


def _last(rows: int) -> Snapshot:
    days = DAYS.rows(len(DAYS.times) - rows, len(DAYS.times))
    return Walk(days, (), **SHORT).all().reports[-1].snapshot


def test_indicators_with_memory_need_a_warm_up_and_calendar_features_need_none() -> None:
    found = {one.feature: one for one in recursive(_last, (30, 120, 180, len(DAYS.times)), 1e-3)}
    assert found["hour_sin"].deviations == (0.0, 0.0, 0.0, 0.0)
    assert found["hour_sin"].enough == 30
    assert found["rsi"].deviations[0] > found["rsi"].deviations[2] > 0.0
    assert found["rsi"].enough in (120, 180)


@pytest.mark.parametrize("warmups", [(50,), (50, 50), (90, 50)])
def test_warm_ups_must_rise(warmups: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="warm-up"):
        recursive(_last, warmups, 1e-3)
