"""The table of channels against the code: both ends of each, every struct in its wire form, and use."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from typing import Any

import msgspec
import pytest

from src.agents import KINDS
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.envelopes import Envelope, decode, encode
from src.core.errors import BusError
from src.core.messages import (
    BY_TEMPLATE,
    CHANNELS,
    Barrier,
    BaselineIdea,
    BuildRequest,
    Channel,
    ConsensusReached,
    Control,
    Deployment,
    Hibernation,
    MarketData,
    Message,
    MoatData,
    MycelialIdea,
    PatternNarrative,
    PatternRequest,
    PatternResult,
    Proposal,
    SynthesizedTrade,
    TradeConfirmation,
    channel_of,
)
from src.core.ports import Handler
from src.core.types import CommandKind, Pair, Points, Side, Status, Stream, Vote
from tests.checks.agent_checks import Swarm
from tests.checks.agent_checks import history as walked_history
from tests.moats import all_moats
from tests.walked import Walk, crashing
from tests.worlds import settings

NOW = 1_609_459_200_000
BTC = Pair("BTC/USDT")
BASE: dict[str, Any] = {"source": "somebody", "at": NOW, "known_at": NOW - 1}
EXAMPLES: tuple[Message, ...] = (
    MarketData(**BASE, pair=BTC, close=0.1, high=1e-9, low=1e300, features={"RSI": 50.5}, simulated=True),
    MoatData(
        **BASE, moat="code", subject="Go", features={"ETH": 3.0, "ETH.z": -0.5, "ETH.novelty": 9.5},
        status=Status.STALE, age_ms=None, quality=0.25, simulated=True,
    ),
    BaselineIdea(**BASE, pair=BTC, price=1.0, votes=(Vote("a", Side.BUY, 0.1 + 0.2, "rsi"), Vote("b", Side.SELL, 1.0))),
    MycelialIdea(
        **BASE, pair=BTC, price=1.0, side=Side.SELL, score=0.9, edge=0.01, horizon=6, learners=("a", "ü"), team="t",
        interestingness=12.5, simulated_pnl=-0.01, total_pnl=0.25, win_rate=0.5, trade_count=12, agent_generation=3,
        product_focus="code", strategy_type="HFT",
    ),
    SynthesizedTrade(
        **BASE, pair=BTC, outcome="collision", side=Side.BUY, price=1.0, baseline_confidence=0.8, mycelial_score=0.9,
        edge=0.02, horizon=3, analysts=("a",), learners=("b",), baseline_at=NOW, mycelial_at=NOW, refused="halted",
    ),
    TradeConfirmation(
        **BASE, pair=BTC, side=Side.BUY, stream=Stream.SYNTHESIZED, order_id="o", amount="0.10000000", price="1",
        fee="0", slippage="0", reason='entry "quoted" \\ \n',
    ),
    Control(**BASE, command=CommandKind.FORCE_SHARE, reason="why", signature="ab", group="HFT"),
    Proposal(
        **BASE, team="HFT", pair=BTC, votes=(Vote("a", Side.BUY, 0.75, "6/8"),), points=(Points("a", 2, 2, 1, 0, 1),),
        estimated=("liquidity",),
    ),
    ConsensusReached(**BASE, team="HFT", pair=BTC, confidence=0.75, votes=(Vote("a", Side.BUY, 0.75, "6/8"),)),
    BuildRequest(**BASE, tool="code source", reason="no data for 24 hours"),
    Deployment(**BASE, pair=BTC, why="consensus", agents=("a", "b"), team="Swing"),
    Hibernation(**BASE, pair=BTC, reason="lost", profit_ratio=-0.16, probation_days=90.5),
    PatternRequest(
        **BASE, pattern="a@1", pair=BTC, moat="code", horizon=6, side=Side.SELL, score=0.8, value=40.5, seen_at=NOW - 9,
        features={"code": -0.5},
    ),
    PatternResult(**BASE, pattern="a@1", pair=BTC, vote=-1, quality=12.5, moments=40, mean_move=-0.25),
    PatternNarrative(**BASE, pattern="a@1", pair=BTC, vote=1, quality=80.0, narrative="it went on"),
    Barrier(**BASE, number=2**53),
)  # fmt: skip
LOCAL = [channel for channel in CHANNELS if channel.struct is not Barrier]
"""The barrier belongs to the bus on a server; inside one process there is nothing to wait for."""


def name_of(channel: Channel) -> str:
    return re.sub("{.*}", BTC, channel.template)


class Ends(LocalBus):
    """A bus that remembers who is at which end of each channel."""

    def __init__(self, clock: SimClock) -> None:
        self.speakers: defaultdict[str, set[str]] = defaultdict(set)
        self.listeners: defaultdict[str, set[str]] = defaultdict(set)
        super().__init__(clock, settings().bus)

    def subscribe(self, pattern: str, handler: Handler, owner: str) -> None:
        (row,) = [channel for channel in CHANNELS if channel.pattern == pattern]
        self.listeners[row.template].add(owner)
        super().subscribe(pattern, handler, owner)

    def publish(self, channel: str, message: Message) -> None:
        self.speakers[channel_of(channel).template].add(message.source)
        super().publish(channel, message)


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.template)
def test_m_f04_every_channel_has_both_ends_among_the_kinds_and_the_spine(channel: Channel) -> None:
    speaking = [kind.name for kind in KINDS if channel.template in kind.publishes]
    hearing = [kind.name for kind in KINDS if channel.template in kind.subscribes]
    others = {"engine", "bus"}
    assert sorted(set(channel.publishers) - others) == sorted(speaking)
    assert sorted(set(channel.subscribers) - others) == sorted(hearing)
    assert channel.publishers
    assert channel.subscribers


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_m_f04_every_channel_of_a_kind_is_in_the_table(kind: Any) -> None:
    assert set(kind.publishes) | set(kind.subscribes) <= set(BY_TEMPLATE)


def test_the_spines_ends_are_those_of_the_table() -> None:
    walk = crashing_with_ends()
    bus = walk.bus
    assert isinstance(bus, Ends)
    for channel in LOCAL:
        assert ("engine" in channel.publishers) == ("engine" in bus.speakers[channel.template])
        assert ("engine" in channel.subscribers) == ("engine" in bus.listeners[channel.template])


def crashing_with_ends() -> Walk:
    history = crashing().history
    return Walk(
        history, make_bus=Ends, observations=all_moats("BTC", int(history.times[0])),
        account__entry_equity_ratio=0.9, account__stop_ratio=0.99,
        lifecycle__hibernation_days=0.001,
    ).all()  # fmt: skip


def discovering() -> Swarm:
    """A swarm that finds a third pair, without the spine."""
    swarm = Swarm(walked_history())
    swarm.walk()
    return swarm


def test_m_f04_every_channel_carries_something_when_the_tape_runs() -> None:
    counts = Counter(crashing_with_ends().bus.counts()) + Counter(discovering().bus.counts())
    assert {channel.template for channel in LOCAL if not counts[channel.template]} == set()


def test_m_f05_every_pattern_that_is_heard_covers_the_names_that_are_spoken_on() -> None:
    for channel in LOCAL:
        clock = SimClock(NOW)
        bus = LocalBus(clock, settings().bus)
        got: list[Message] = []
        bus.subscribe(channel.pattern, got.append, "listener")
        (example,) = [message for message in EXAMPLES if type(message) is channel.struct]
        bus.publish(name_of(channel), example)
        bus.settle()
        assert got == [example]


def test_m_f05_a_template_without_its_pattern_is_refused() -> None:
    bus = LocalBus(SimClock(NOW), settings().bus)
    for wrong in ("baseline-trade-ideas", "market-data", "market-data:", "mycelial-trade-ideas:*", "repo-data:Python"):
        with pytest.raises(BusError, match="no such channel"):
            bus.subscribe(wrong, lambda message: None, "listener")


def test_there_is_one_example_for_each_struct() -> None:
    assert [type(message) for message in EXAMPLES] == list(dict.fromkeys(channel.struct for channel in CHANNELS))


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.template)
def test_m_f10_every_struct_comes_back_from_its_wire_form_and_is_encoded_once(channel: Channel) -> None:
    (example,) = [message for message in EXAMPLES if type(message) is channel.struct]
    envelope = Envelope("producer", 3, 2**40, example)  # type: ignore[arg-type]
    raw = encode(envelope)
    assert decode(raw, name_of(channel)) == envelope
    plain = json.loads(raw)
    assert isinstance(plain["body"], dict)
    assert plain["body"]["type"] == channel.struct.__struct_config__.tag
    strings = [value for value in plain["body"].values() if isinstance(value, str)]
    assert not [value for value in strings if value.startswith(("{", "[", '"'))]
    with pytest.raises(BusError, match="malformed"):
        decode(json.dumps(raw.decode()).encode(), name_of(channel))


def test_tags_and_templates_are_distinct() -> None:
    structs = {channel.struct for channel in CHANNELS}
    assert len({struct.__struct_config__.tag for struct in structs}) == len(structs)
    assert len(BY_TEMPLATE) == len(CHANNELS)
    assert len({channel.pattern for channel in CHANNELS}) == len(CHANNELS)


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.template)
def test_a_struct_belongs_on_its_own_channel_alone(channel: Channel) -> None:
    (example,) = [message for message in EXAMPLES if type(message) is channel.struct]
    raw = encode(Envelope("producer", 1, 1, example))  # type: ignore[arg-type]
    for other in CHANNELS:
        if other.struct is not channel.struct:
            with pytest.raises(BusError, match="does not belong"):
                decode(raw, name_of(other))


def test_messages_say_who_when_and_since_when_it_is_known() -> None:
    for channel in CHANNELS:
        fields = {field.name: field for field in msgspec.structs.fields(channel.struct)}
        assert all(fields[name].required for name in ("source", "at", "known_at"))
        assert channel.struct.__struct_config__.frozen
