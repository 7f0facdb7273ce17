"""What every kind of agent promises; `tests/agents/test_kinds.py` runs it over each row of KINDS."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from types import FunctionType, MethodType, ModuleType
from typing import Any

import msgspec
import numpy as np

from src.agents import KINDS, Kind, World
from src.backtesting.simulated_moats import calendar, daily
from src.connectors.memory_ledger import MemoryLedger
from src.core import checkpoint
from src.core.bus import FanOut, LocalBus
from src.core.clock import SimClock
from src.core.config import Settings
from src.core.desk import Desk
from src.core.engine import Engine
from src.core.history import History
from src.core.indicators import BatchSource
from src.core.market import FEATURES, Market
from src.core.memory import ANYWHERE
from src.core.messages import Hibernation, Message, MycelialIdea, SynthesizedTrade, TradeConfirmation, channel_of
from src.core.model import MycelialAgent, MycelialModel
from src.core.portfolio import Portfolio
from src.core.ports import Handler
from src.core.timeframes import DAY_MS
from src.core.types import AccountView, Observation, Pair, Side, Slice, Snapshot, Stream
from src.services.gate import RiskGate
from src.services.memory import PatternMemory
from src.services.pnl_tracker import PnLTracker
from tests.core.walks import HOUR, walk
from tests.worlds import settings

BARS = 240
QUICK: dict[str, Any] = {
    "learners__rank_window": 40,
    "learners__rank_warmup": 20,
    "learners__entry_score": 0.5,
    "learners__calibration_min_t2": 0.0,
    "indicators__volume_window": 12,
    "indicators__atr_rank_window": 20,
    "indicators__volatility_warmup": 10,
    "learners__team": 6,
    "learners__standard": {"market": 2, "code": 2},
    "builder__bootstrap_pairs": ["P0/USD", "P1/USD"],
    "builder__request_after_hours": 6,
    "prospecting__window_hours": 4,
    "prospecting__trend_days": 0.25,
    "prospecting__trend_ratio": 0.00001,
    "prospecting__spread_ratio": 0.9,
    "prospecting__volume_quote": [0.01, 0.02],
    "prospecting__min_bars_ratio": 0.5,
    "sharing__min_outcomes": 5,
    "sharing__every_intervals": 40,
    "evolution__every_intervals": 70,
    "evolution__replaced_ratio": 0.2,
    "evolution__min_outcomes": 10,
    "patterns__archive_every_intervals": 20,
    "patterns__min_outcomes": 5,
    "patterns__min_value": 10.0,
    "research__window_intervals": 15,
    "research__min_similarity": 0.3,
    "research__min_moments": 3,
    "research__approve_quality": 51.0,
    "instigators__quiet_intervals": 20,
}
"""Windows so short that learners speak after a few dozen bars, explorers find the third pair soon, learners share,
archive and make room, and researchers judge within the walk."""
SETTINGS = settings(**QUICK)

APART = {
    "sharing__across_neighbours": 0,
    "evolution__every_intervals": 10_000,
    "patterns__archive_every_intervals": 10_000,
    "instigators__quiet_intervals": 10_000,
}
"""Learners of one pair take nothing from those of others, and nobody judges over all pairs."""
OVER_ALL_PAIRS = ("deep_researcher", "mycelial_instigator")
"""Kinds whose judgement is about all pairs at once."""

FORBIDDEN = (Desk, Engine, MemoryLedger, Portfolio, RiskGate, PnLTracker)
CALM = AccountView(10_000.0, 10_000.0, 10_000.0, frozenset())
LOSING = AccountView(9_000.0, 10_000.0, 9_000.0, frozenset())


class RecordingBus(LocalBus):
    """A bus that remembers who subscribed to what and everything that was published."""

    def __init__(self, clock: SimClock, tree: Settings) -> None:
        super().__init__(clock, tree.bus)
        self.heard: list[tuple[str, str]] = []
        self.said: list[tuple[str, Message]] = []

    def subscribe(self, pattern: str, handler: Handler, owner: str) -> None:
        self.heard.append((pattern, owner))
        super().subscribe(pattern, handler, owner)

    def publish(self, channel: str, message: Message) -> None:
        super().publish(channel, message)
        self.said.append((channel, message))


class Swarm:
    """The whole population over a walk, without the spine: what a kind does is seen from its messages alone."""

    def __init__(self, history: History, seed: int = 7, tree: Settings = SETTINGS) -> None:
        self.clock = SimClock()
        self.bus = RecordingBus(self.clock, tree)
        self.history = history
        self.model = MycelialModel(self.bus, seed, HOUR, tree.agents)
        source = BatchSource(history, tree.indicators, tree.analysts)
        self.market = Market(history.pairs, HOUR, tree, source, simulation=True)
        self.world = world = World(self.model, tree, history.pairs, PatternMemory(tree.memory, len(FEATURES), seed))
        self.subscribed: dict[str, list[tuple[str, str]]] = {}
        for kind in KINDS:
            before = len(self.bus.heard)
            kind.populate(world)
            self.subscribed[kind.name] = self.bus.heard[before:]

    def walk(self, first: int = 0, last: int | None = None, spoil: Pair | None = None) -> None:
        """Let the rows from `first` on pass; the account loses from the middle on. `spoil`: that pair is NaN."""
        for at, block in list(self.history.blocks())[first:last]:
            self.see(Slice(at, block, observed(at)), LOSING if at >= self.history.times[BARS // 2] else CALM, spoil)

    def see(self, slice_: Slice, account: AccountView = CALM, spoil: Pair | None = None) -> Snapshot:
        """One slice; a stranger feeds what no other agent says (fills)."""
        self.clock.reach(slice_.at)
        snapshot = self.market.push(slice_)
        if spoil is not None:
            snapshot = _spoilt(snapshot, snapshot.pairs.index(spoil))
        if slice_.bars is not None:
            self.bus.publish("trade-confirmations", confirmation(slice_.at))
            if slice_.at in self.history.times[[BARS // 3, 2 * BARS // 3]]:
                self.bus.publish("system-hibernation", hibernation(slice_.at))
        assert self.model.on_snapshot(snapshot, account)
        return snapshot

    def reborn(self) -> Swarm:
        """Another process that goes on from this one's checkpoint, with the memories that the ledger holds."""
        raw = checkpoint.dump({"model": self.model.state(), "market": self.market.state()})
        state, memory = checkpoint.load(raw), self.world.memory
        later = Swarm(self.history, self.model.seed, self.world.settings)
        later.clock.reach(self.clock.now_ms())
        later.bus.go_on(LocalBus.said(self.bus))
        assert isinstance(memory, PatternMemory)
        later.world.memory.remember(memory.index.records(self.clock.now_ms(), ANYWHERE))
        later.market.restore(state["market"])
        later.model.restore(state["model"])
        return later

    def of(self, kind: Kind) -> list[MycelialAgent]:
        """The members of a kind."""
        return [agent for agent in self.model.members() if agent.kind == kind.name]

    def spoken(self, kind: Kind, since: int = 0) -> list[tuple[str, Message]]:
        """What members of a kind said, from message number `since` on."""
        names = {agent.name for agent in self.of(kind)}
        return [(channel, message) for channel, message in self.bus.said[since:] if message.source in names]


def confirmation(at: int) -> TradeConfirmation:
    """A fill that the spine announces."""
    return TradeConfirmation(
        source="engine", at=at, known_at=at, pair=Pair("P0/USD"), side=Side.BUY, stream=Stream.SYNTHESIZED,
        order_id="o", amount="1", price="1", fee="0", slippage="0", reason="entry",
    )  # fmt: skip


def observed(at: int) -> tuple[Observation, ...]:
    """What the moats say in the slice of `at`: all of them once a day, and what was known before with the first."""
    begin = int(history().times[0])
    days = range(begin // DAY_MS - 30, begin // DAY_MS) if at == begin else range(at // DAY_MS - 1, at // DAY_MS)
    said = [seen for seen in daily(days, SETTINGS, 7) if at == begin or seen.known_at == at]
    if at == begin:
        said += [seen for seen in calendar(at, at, SETTINGS.simulated.moats) if seen.known_at <= at]
    if at % DAY_MS == 0 or at == begin:
        said.append(Observation("commits", "code", f"{at}", "P1", at, at, {}, True))
    return tuple(said)


def hibernation(at: int) -> Hibernation:
    """What the spine says when a pair has lost for too long."""
    pair = Pair("P2/USD")
    return Hibernation(
        source="engine", at=at, known_at=at, pair=pair, reason="lost", profit_ratio=-0.2, probation_days=90.0
    )


def _spoilt(snapshot: Snapshot, index: int) -> Snapshot:
    features, indicators = snapshot.features.copy(), snapshot.indicators.copy()
    features[index], indicators[index] = np.nan, np.nan
    return msgspec.structs.replace(snapshot, features=features, indicators=indicators)


@cache
def history() -> History:
    """A walk of three pairs with missing bars, wild enough for analysts and learners to speak."""
    return walk(np.random.default_rng(5), BARS, pairs=3, missing=0.05, step=0.02)


@cache
def walked() -> Swarm:
    """A swarm that saw the whole walk; not to be changed."""
    swarm = Swarm(history())
    swarm.walk()
    return swarm


def check_names_are_unique_and_stable(kind: Kind) -> None:
    first, second = Swarm(history()), Swarm(history())
    names = [agent.name for agent in first.model.members()]
    assert len(set(names)) == len(names)
    assert [agent.name for agent in first.of(kind)] == [agent.name for agent in second.of(kind)] != []


def check_kind_matches_the_table(kind: Kind) -> None:
    assert kind.agent.kind == kind.name
    assert all(type(agent) is kind.agent for agent in walked().of(kind))


def check_speaks_on_its_channels_alone(kind: Kind) -> None:
    spoken = walked().spoken(kind)
    assert {channel_of(channel).template for channel, _ in spoken} == set(kind.publishes), "and uses all of them"
    for _, message in spoken:
        assert message.known_at <= message.at


def check_hears_its_channels_alone(kind: Kind) -> None:
    """M-F04: nobody is deaf: what the row names is subscribed to, and at least one message came on it."""
    swarm = walked()
    patterns = {pattern for pattern, _ in swarm.subscribed[kind.name]}
    assert patterns == {channel_of(_any_name(template)).pattern for template in kind.subscribes}
    said = {channel_of(channel).template for channel, _ in swarm.bus.said}
    assert set(kind.subscribes) - {"system-control"} <= said


def _any_name(template: str) -> str:
    return re.sub("{.*}", "P0/USD", template)


def check_is_silent_without_news(kind: Kind) -> None:
    swarm = Swarm(history())
    swarm.walk(last=100)
    since, at = len(swarm.bus.said), int(history().times[99])
    swarm.see(Slice(at + 1, None))
    block = history().block(100)
    nothing = msgspec.structs.replace(block, present=np.zeros_like(block.present))
    snapshot = swarm.market.push(Slice(int(history().times[100]), None))
    swarm.clock.reach(int(history().times[100]))
    swarm.model.on_snapshot(msgspec.structs.replace(snapshot, bars=nothing), CALM)
    assert swarm.spoken(kind, since) == []


def check_is_deterministic(kind: Kind) -> None:
    again = Swarm(history())
    again.walk()
    assert again.spoken(kind) == walked().spoken(kind) != []


def check_holds_no_reference_to_the_account(kind: Kind) -> None:
    for agent in walked().of(kind):
        found = [type(part).__name__ for part in _reachable(agent) if isinstance(part, FORBIDDEN)]
        assert found == [], f"{agent.name} can reach {found}"


def _reachable(root: object) -> Iterator[object]:
    """Everything behind attributes, containers and closures; the bus is a door and is not walked through."""
    seen: set[int] = set()
    waiting: list[object] = [root]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, FanOut | ModuleType | type | str | bytes | int | float | np.ndarray):
            continue
        seen.add(id(part))
        yield part
        waiting.extend(_inside(part))


def _inside(part: Any) -> list[object]:
    if isinstance(part, dict):
        return [*part.keys(), *part.values()]
    if isinstance(part, list | tuple | set | frozenset):
        return list(part)
    if isinstance(part, MethodType):
        return [part.__self__]
    if isinstance(part, FunctionType):
        return [cell.cell_contents for cell in part.__closure__ or ()]
    slots = [getattr(part, name) for base in type(part).__mro__ for name in _slots(base) if hasattr(part, name)]
    return [*slots, *getattr(part, "__dict__", {}).values()]


def _slots(base: type) -> tuple[str, ...]:
    slots = getattr(base, "__slots__", ())
    return tuple(name for name in ((slots,) if isinstance(slots, str) else slots) if not name.startswith("__"))


def check_leaves_with_everything(kind: Kind) -> None:
    """M-F12: after `remove` no subscription and no message of that source, nor is it a neighbour or a voter."""
    swarm = Swarm(history())
    swarm.walk(last=60)
    leaving = swarm.of(kind)[0]
    leaving.remove()
    since = len(swarm.bus.said)
    swarm.walk(first=60)
    for _, message in swarm.bus.said[since:]:
        assert message.source != leaving.name
        voices = (*getattr(message, "learners", ()), *(vote.voter for vote in getattr(message, "votes", ())))
        assert leaving.name not in voices
    assert leaving.name not in [owner for _, (owner, _) in swarm.bus._subscriptions]
    assert leaving.name not in swarm.model.topology.G
    assert leaving.name not in [agent.name for agent in swarm.model.members()]
    assert not swarm.model.faults


def check_goes_on_from_its_state(kind: Kind) -> None:
    swarm = Swarm(history())
    swarm.walk(last=130)
    later = swarm.reborn()
    for agent in later.of(kind):
        agent.restore(agent.state())
    since = len(swarm.bus.said)
    swarm.walk(first=130)
    later.walk(first=130)
    assert later.spoken(kind) == swarm.spoken(kind, since)
    assert later.model.state()["agents"] == swarm.model.state()["agents"]


def check_a_pair_without_values_leaves_the_others_alone(kind: Kind) -> None:
    apart = settings(**QUICK | APART)
    spoilt, clean = Swarm(history(), tree=apart), Swarm(history(), tree=apart)
    pair = history().pairs[0]
    spoilt.walk(spoil=pair)
    clean.walk()
    assert not spoilt.model.faults
    if kind.name in OVER_ALL_PAIRS:
        return
    assert _of_others(spoilt, kind, pair) == _of_others(clean, kind, pair)
    for _, message in spoilt.spoken(kind):
        if not hasattr(message, "pair") or isinstance(message, TradeConfirmation):
            continue
        assert message.pair != pair or not isinstance(message, MycelialIdea | SynthesizedTrade)


def _of_others(swarm: Swarm, kind: Kind, pair: Pair) -> dict[str, list[Message]]:
    by_pair: defaultdict[str, list[Message]] = defaultdict(list)
    for _, message in swarm.spoken(kind):
        if getattr(message, "pair", None) != pair:
            by_pair[getattr(message, "pair", "")].append(message)
    return dict(by_pair)


CHECKS = (
    check_names_are_unique_and_stable,
    check_kind_matches_the_table,
    check_speaks_on_its_channels_alone,
    check_hears_its_channels_alone,
    check_is_silent_without_news,
    check_is_deterministic,
    check_holds_no_reference_to_the_account,
    check_leaves_with_everything,
    check_goes_on_from_its_state,
    check_a_pair_without_values_leaves_the_others_alone,
)
