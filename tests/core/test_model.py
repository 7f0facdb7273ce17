"""The model: phases in their order, Mesa's clock, names, and the border around every agent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from src.agents import Kind, World
from src.core.bus import LocalBus
from src.core.clock import SimClock, Timer
from src.core.errors import AgentFault, InvariantError
from src.core.messages import BaselineIdea, MarketData, MycelialIdea
from src.core.model import PHASES, MycelialAgent, MycelialModel, intervals
from src.core.types import AccountView, Decision, Idea, Pair, Side, Snapshot, Stream
from tests.agents.made import ACCOUNT, BTC, HOUR, START, snapshot, world
from tests.golden import tape
from tests.walked import Walk


class Probe(MycelialAgent):
    """Does what it is told, in the phase it is told."""

    kind: ClassVar[str] = "probe"

    def __init__(self, model: MycelialModel, name: str, phase: str, act: Callable[[Snapshot], None]) -> None:
        self.phase = phase  # type: ignore[misc]
        self._act = act
        super().__init__(model, name)

    def act(self, snapshot: Snapshot) -> None:
        self._act(snapshot)


class TellTime(Timer):
    """A timer that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def seconds(self) -> float:
        return self.now


def make(timer: Timer | None = None, **changes: object) -> MycelialModel:
    here = world(**changes)
    return here.model if timer is None else MycelialModel(here.model.bus, 7, HOUR, here.settings.agents, timer)


def see(model: MycelialModel, at: int, account: AccountView = ACCOUNT) -> bool:
    model.bus._clock.reach(at)  # type: ignore[attr-defined]
    return model.on_snapshot(snapshot(World(model, None, (BTC,), None), at), account)  # type: ignore[arg-type]


def market(source: str, at: int = START, **changes: Any) -> MarketData:
    values: dict[str, Any] = {"pair": BTC, "close": 1.0, "high": 1.0, "low": 1.0, "features": {}} | changes
    return MarketData(source=source, at=at, known_at=at, **values)


# --- phases and time -------------------------------------------------------------------------------------------------


def test_phases_in_order_and_the_bus_settles_after_each() -> None:
    model = make()
    trail: list[str] = []
    for phase in reversed(PHASES):

        def act(seen: Snapshot, phase: str = phase) -> None:
            trail.append(phase)
            model.bus.publish("market-data:BTC/USDT", market(phase, seen.at))

        Probe(model, f"probe-{phase}", phase, act)
    model.bus.subscribe("market-data:*", lambda message: trail.append(f"heard {message.source}"), "listener")
    assert see(model, START)
    assert trail == [word for phase in PHASES for word in (phase, f"heard {phase}")]


def test_within_a_phase_in_order_of_birth() -> None:
    model = make()
    trail: list[str] = []
    for name in ("c", "a", "b"):
        Probe(model, name, "sense", lambda seen, name=name: trail.append(name))  # type: ignore[misc]
    see(model, START)
    assert trail == ["c", "a", "b"]


def test_who_leaves_or_comes_in_a_phase_is_missed_or_met_in_the_next() -> None:
    model = make()
    trail: list[str] = []
    leaver = Probe(model, "leaver", "opine", lambda seen: trail.append("leaver"))

    def change(seen: Snapshot) -> None:
        leaver.remove()
        Probe(model, "comer", "opine", lambda seen: trail.append("comer"))

    Probe(model, "builder", "sense", change)
    see(model, START)
    assert trail == ["comer"]


def test_one_unit_of_mesas_time_is_one_interval_gaps_included() -> None:
    model = make()
    times = []
    for hours in (0, 1, 2.5, 10):
        see(model, START + int(hours * HOUR))
        times.append((model.time, model.now_ms()))
    assert times == [(1 + hours, START + int(hours * HOUR)) for hours in (0, 1, 2.5, 10)]


def test_every_is_called_by_mesas_clock_and_counts_missing_bars() -> None:
    model = make()
    called: list[float] = []
    model.every(3, lambda: called.append(model.time))
    for hour in (*range(7), 13):
        see(model, START + hour * HOUR)
    assert called == [3.0, 6.0, 9.0, 12.0]


def test_an_event_that_somebody_scheduled_with_mesa_comes_at_its_time() -> None:
    model = make()
    seen: list[tuple[float, int]] = []

    def note() -> None:
        seen.append((model.time, model.steps))

    see(model, START)
    model.schedule_event(note, at=2.5)
    model.schedule_event(note, at=4.0)
    for hours in (1, 1.75, 7):
        see(model, START + int(hours * HOUR))
    assert seen == [(2.5, 2), (4.0, 4)]
    assert (model.time, model.steps) == (8.0, 8)


def test_what_every_calls_is_the_fault_of_its_owner() -> None:
    model = make()

    class Clumsy:
        name = "clumsy"
        calls = 0

        def work(self) -> None:
            self.calls += 1
            raise RuntimeError("fell")

    clumsy = Clumsy()
    model.every(1, clumsy.work)
    for hour in range(6):
        see(model, START + hour * HOUR)
    assert model.quarantined == {"clumsy": "every: RuntimeError: fell"}
    assert clumsy.calls == 3


def test_a_restart_does_not_repeat_what_every_called() -> None:
    first = make()
    for hour in range(5):
        see(first, START + hour * HOUR)
    later = make()
    called: list[float] = []
    later.every(2, lambda: called.append(later.time))
    later.restore(first.state())
    assert (later.time, later.now_ms(), called) == (5, START + 4 * HOUR, [])
    later.bus._clock.reach(START + 4 * HOUR)  # type: ignore[attr-defined]
    see(later, START + 5 * HOUR)
    assert called == [6.0]


@pytest.mark.parametrize(
    ("seconds", "interval_ms", "count"), [(5, HOUR, 1), (300, 60_000, 5), (301, 60_000, 6), (0, 1000, 1), (5, 5000, 1)]
)
def test_durations_of_the_society_in_intervals(seconds: float, interval_ms: int, count: int) -> None:
    assert intervals(seconds, interval_ms) == count


# --- population ------------------------------------------------------------------------------------------------------


def test_two_agents_of_one_name_are_refused() -> None:
    model = make()
    Probe(model, "twin", "sense", lambda seen: None)
    with pytest.raises(InvariantError, match="two agents are called twin"):
        Probe(model, "twin", "trade", lambda seen: None)
    assert model.census() == {"probe": 1, "total": 1}


def test_census_counts_by_kind() -> None:
    walk = Walk()
    assert walk.house.model.census() == {
        "code_miner": 1, "corporate_miner": 1, "deep_researcher": 3, "government_miner": 1, "logistics_miner": 1,
        "market_miner": 1, "mycelial_instigator": 3, "pattern_learner": 1, "risk_guardian": 1, "technical_analyst": 3,
        "trader": 1, "total": 17,
    }  # fmt: skip


def test_removal_takes_subscription_phase_name_and_place_in_the_network() -> None:
    model = make()
    calls: list[str] = []
    agent = Probe(model, "a", "sense", lambda seen: calls.append("act"))
    agent.hear("market-data:*", lambda message: calls.append("heard"))
    model.connect(lambda: (["a", "b", "c"], [("a", "b"), ("b", "c")]))
    assert sorted(model.edges()) == [("a", "b"), ("b", "c")], "known before it is laid"
    assert sorted(model.topology.G.edges) == [("a", "b"), ("b", "c")]
    agent.remove()
    assert sorted(model.edges()) == [("b", "c")]
    model.bus.publish("market-data:BTC/USDT", market("m"))
    see(model, START)
    assert calls == []
    assert sorted(model.topology.G.nodes) == ["b", "c"]
    assert sorted(cell.coordinate for cell in model.topology.all_cells) == ["b", "c"]
    assert agent not in list(model.agents)
    with pytest.raises(KeyError):
        model.member("a")
    Probe(model, "a", "sense", lambda seen: None)


def test_random_streams_are_keyed_by_name() -> None:
    alone = make()
    lonely = Probe(alone, "x", "", lambda seen: None).generator.random(5)
    crowded = make()
    Probe(crowded, "w", "", lambda seen: None).generator.random(5)
    assert np.array_equal(Probe(crowded, "x", "", lambda seen: None).generator.random(5), lonely)


# --- the border around an agent --------------------------------------------------------------------------------------


def _raises(model: MycelialModel) -> Callable[[Snapshot], None]:
    def act(seen: Snapshot) -> None:
        raise ZeroDivisionError("by zero")

    return act


def _not_a_message(model: MycelialModel) -> Callable[[Snapshot], None]:
    return lambda seen: model.bus.publish("mycelial-trade-ideas", {"side": "buy"})  # type: ignore[arg-type]


def _wrong_struct(model: MycelialModel) -> Callable[[Snapshot], None]:
    return lambda seen: model.bus.publish("mycelial-trade-ideas", market("rogue", seen.at))


def _nan(model: MycelialModel) -> Callable[[Snapshot], None]:
    return lambda seen: model.bus.publish("market-data:BTC/USDT", market("rogue", seen.at, close=math.nan))


def _no_channel(model: MycelialModel) -> Callable[[Snapshot], None]:
    return lambda seen: model.bus.publish("gossip", market("rogue", seen.at))


def _flood(model: MycelialModel) -> Callable[[Snapshot], None]:
    def act(seen: Snapshot) -> None:
        for _ in range(10**6):
            model.bus.publish("market-data:NO/SUCH", market("rogue", seen.at, pair=Pair("NO/SUCH")))

    return act


def _writes_into_the_snapshot(model: MycelialModel) -> Callable[[Snapshot], None]:
    return lambda seen: seen.close.__setitem__(0, 1.0)


def _note_garbage(model: MycelialModel) -> Callable[[Snapshot], None]:
    return lambda seen: model.note("I was here")  # type: ignore[arg-type]


def _note_nan(model: MycelialModel) -> Callable[[Snapshot], None]:
    return lambda seen: model.note(Decision(seen.at, "abstention", detail={"x": math.nan}))


def _note_in_the_far_future(model: MycelialModel) -> Callable[[Snapshot], None]:
    return lambda seen: model.note(Decision(10**18, "abstention"))


def _surrogate(model: MycelialModel) -> Callable[[Snapshot], None]:
    def act(seen: Snapshot) -> None:
        raise ValueError("\ud800" + "x" * 10_000)

    return act


def _forged_ideas(model: MycelialModel) -> Callable[[Snapshot], None]:
    """Valid messages that nobody can mean: they are dropped by the listener, and never reach the books."""

    def act(seen: Snapshot) -> None:
        idea: dict[str, Any] = {"source": "rogue", "known_at": seen.at, "price": 1.0, "side": Side.BUY, "score": 0.9}
        idea |= {"edge": 0.5, "learners": ("a", "b", "c")}
        for at, pair, horizon in ((10**18, BTC, 6), (seen.at, Pair("NO/SUCH"), 6), (seen.at, BTC, 2**62)):
            model.bus.publish("mycelial-trade-ideas", MycelialIdea(at=at, pair=pair, horizon=horizon, **idea))
        model.bus.publish(
            "baseline-trade-ideas:NO/SUCH",
            BaselineIdea(source="rogue", at=seen.at, known_at=seen.at, pair=Pair("NO/SUCH"), price=1.0, votes=()),
        )

    return act


FAULTY = (
    _raises, _not_a_message, _wrong_struct, _nan, _no_channel, _flood, _writes_into_the_snapshot, _note_garbage,
    _note_nan, _note_in_the_far_future, _surrogate,
)  # fmt: skip


def with_rogue(deed: Callable[[MycelialModel], Callable[[Snapshot], None]]) -> Walk:
    """The tape with one more agent that misbehaves in every slice."""

    def populate(here: World) -> None:
        Probe(here.model, "rogue", "opine", deed(here.model))

    rogue = Kind("probe", Probe, populate, (), ())
    return Walk(kinds=(rogue, *tape.kinds())).all()


@pytest.mark.parametrize("deed", FAULTY, ids=lambda deed: deed.__name__.strip("_"))
def test_m_f18_one_misbehaving_agent_is_counted_quarantined_and_shown(deed: Any) -> None:
    walk = with_rogue(deed)
    model = walk.house.model
    assert dict(model.faults) == {"rogue": 3}
    assert list(model.quarantined) == ["rogue"]
    faults = [line for bar in range(tape.BARS) for line in walk.decided(bar, "fault")]
    assert [(line.source, line.at) for line in faults] == [("rogue", tape.closed_at(bar)) for bar in range(3)]
    assert all(line.reason and len(line.reason) <= 300 for line in faults)
    (shown,) = [line for bar in range(tape.BARS) for line in walk.decided(bar, "quarantine")]
    assert (shown.source, shown.at) == ("rogue", tape.closed_at(2))
    others = [line for line in walk.lines() if line.get("source") != "rogue"]
    assert others == undisturbed()


def test_m_f18_forged_ideas_change_no_decision_of_others() -> None:
    walk = with_rogue(_forged_ideas)
    assert not walk.house.model.faults
    assert [line for line in walk.lines() if line.get("source") != "rogue"] == undisturbed()
    assert walk.house.engine.refusals == {"implausible_idea": 4 * tape.BARS}


def undisturbed() -> list[dict[str, object]]:
    """The decisions of the tape without a rogue."""
    return Walk().all().lines()


def test_a_failing_handler_is_its_owners_fault() -> None:
    model = make()
    got: list[Any] = []

    def fail(message: Any) -> None:
        raise KeyError("lost")

    model.bus.subscribe("market-data:*", fail, "deaf")
    model.bus.subscribe("market-data:*", got.append, "fine")
    Probe(model, "speaker", "sense", lambda seen: model.bus.publish("market-data:BTC/USDT", market("m", seen.at)))
    for hour in range(5):
        see(model, START + hour * HOUR)
    assert model.quarantined == {"deaf": "market-data:BTC/USDT: KeyError('lost')"}
    assert model.faults == {"deaf": 3}
    assert len(got) == 5


def test_many_failures_in_one_slice_are_one_quarantine() -> None:
    model = make()

    def fail(message: Any) -> None:
        raise KeyError("lost")

    model.bus.subscribe("market-data:*", fail, "deaf")
    for number in range(8):
        model.bus.publish("market-data:BTC/USDT", market(f"m{number}"))
    see(model, START)
    kinds = [note.kind for note in model.outbox.drain()[1]]
    assert (kinds.count("fault"), kinds.count("quarantine")) == (8, 1)


def test_m_f18_a_slow_agent_is_counted_with_the_injected_timer() -> None:
    timer = TellTime()
    model = make(timer, agents__step_budget_seconds=2.0)
    calls: list[int] = []

    def slow(seen: Snapshot) -> None:
        calls.append(seen.at)
        timer.now += 2.5

    def brisk(seen: Snapshot) -> None:
        timer.now += 2.0

    Probe(model, "slow", "sense", slow)
    Probe(model, "brisk", "sense", brisk)
    see(model, START)
    assert model.faults == {}, "the first time may have been spent compiling"
    for hour in range(1, 6):
        see(model, START + hour * HOUR)
    assert model.faults == {"slow": 3}
    assert model.quarantined == {"slow": "act: slower than 2 s, again"}
    assert len(calls) == 4


def test_an_agent_that_is_slow_now_and_then_is_no_fault() -> None:
    timer = TellTime()
    model = make(timer, agents__step_budget_seconds=2.0)

    def moody(seen: Snapshot) -> None:
        timer.now += 2.5 if seen.at // HOUR % 2 else 0.1

    Probe(model, "moody", "sense", moody)
    for hour in range(6):
        see(model, START + hour * HOUR)
    assert model.faults == {}


def test_a_broken_promise_is_not_forgiven() -> None:
    model = make()

    def lie(seen: Snapshot) -> None:
        model.bus.publish("market-data:BTC/USDT", market("liar", seen.at + 1))

    Probe(model, "liar", "sense", lie)
    with pytest.raises(InvariantError, match="liar published on market-data:BTC/USDT"):
        see(model, START)


def test_quarantine_and_faults_survive_a_restart() -> None:
    model = make()
    Probe(model, "bad", "sense", _raises(model))
    for hour in range(3):
        see(model, START + hour * HOUR)
    later = make()
    heard: list[Any] = []
    Probe(later, "bad", "sense", lambda seen: heard.append(seen)).hear("market-data:*", heard.append)
    later.restore(model.state())
    later.bus._clock.reach(START + 2 * HOUR)  # type: ignore[attr-defined]
    later.bus.publish("market-data:BTC/USDT", market("m"))
    see(later, START + 3 * HOUR)
    assert heard == []
    assert later.faults == {"bad": 3}


def test_notes_and_ideas_are_handed_over_once() -> None:
    model = make()
    model.note(Decision(START, "abstention"))
    model.heard(Stream.BASELINE, Idea(BTC, Side.BUY, START, 0.5, ("a", "b")))
    ideas, notes = model.outbox.drain()
    assert ([idea.pair for _, idea in ideas], [note.kind for note in notes]) == ([BTC], ["abstention"])
    assert model.outbox.drain() == ([], [])
    with pytest.raises(AgentFault):
        model.note(None)  # type: ignore[arg-type]


def test_a_bus_that_does_not_settle_is_reported() -> None:
    class Down(LocalBus):
        def quiet(self) -> bool:
            return False

        def settle(self) -> bool:
            super().settle()
            return False

    here = world()
    model = MycelialModel(Down(SimClock(START), here.settings.bus), 7, HOUR, here.settings.agents)
    assert see(model, START) is False
