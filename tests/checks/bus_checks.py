"""What every bus promises; `tests/core/test_bus.py` and `tests/connectors/test_redis_bus.py` run it over theirs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from src.core.bus import FanOut
from src.core.clock import SimClock
from src.core.config import BusSettings
from src.core.envelopes import MAX_MESSAGE_BYTES, Envelope, encode
from src.core.errors import AgentFault, BusError, InvariantError
from src.core.messages import BaselineIdea, Control, MarketData, Message, MycelialIdea
from src.core.ports import Failure, Foreign
from src.core.signing import sign
from src.core.types import CommandKind, Pair, Side, Vote

NOW = 1_700_000_000_000
BTC, ETH = Pair("BTC/USDT"), Pair("ETH/USDT")
MARKET, IDEAS, BASELINE = f"market-data:{BTC}", "mycelial-trade-ideas", f"baseline-trade-ideas:{BTC}"
SECRET = "correct horse battery staple"


@dataclass
class Rig:
    """A bus under test, its clock, and a way to send raw bytes to it as a stranger would."""

    bus: FanOut
    clock: SimClock
    feed: Callable[[str, bytes], None]


Make = Callable[..., Rig]
"""Builds a rig; keyword arguments replace settings."""


def settings(**changes: Any) -> BusSettings:
    """Settings of the bus for tests; keyword arguments replace values."""
    values: dict[str, Any] = {
        "port": 0,
        "settle_timeout_seconds": 2.0,
        "connect_timeout_seconds": 5.0,
        "backoff_first_seconds": 1.0,
        "backoff_cap_seconds": 60.0,
        "max_generations": 32,
        "max_messages_per_owner": 1000,
        "dead_letters_kept": 1000,
        "control_secret": None,
    }
    return BusSettings(**(values | changes))


def market(close: float = 1.0, source: str = "miner", **changes: Any) -> MarketData:
    """Market data of BTC; `close` tells one from another."""
    features = changes.pop("features", {"rsi": 55.5})
    values: dict[str, Any] = {"at": NOW, "known_at": NOW, "pair": BTC, "high": 2.0, "low": 0.5} | changes
    return MarketData(source=source, close=close, features=features, **values)


def idea(score: float = 0.5, source: str = "learner", **changes: Any) -> MycelialIdea:
    """An idea of the learners; `score` tells one from another."""
    values: dict[str, Any] = {"at": NOW, "known_at": NOW, "pair": BTC, "price": 1.0, "side": Side.BUY, "edge": 0.01}
    return MycelialIdea(source=source, score=score, horizon=6, learners=("a",), **(values | changes))


def baseline(confidence: float = 0.5, price: float = 1.0) -> BaselineIdea:
    """The votes of two analysts."""
    votes = (Vote("x", Side.BUY, 0.9, "rsi"), Vote("y", Side.SELL, confidence))
    return BaselineIdea(source="analyst", at=NOW, known_at=NOW, pair=BTC, price=price, votes=votes)


def halt(**changes: Any) -> Control:
    """A command of a stranger, unsigned."""
    values: dict[str, Any] = {"at": NOW, "known_at": NOW, "reason": "drawdown"} | changes
    return Control(source="operator", command=CommandKind.HALT, **values)


def foreign_raw(message: Any, seq: int, producer: str = "stranger", epoch: int = 1) -> bytes:
    """The wire form of a message of another producer."""
    return encode(Envelope(producer, epoch, seq, message))


# --- order and generations ---------------------------------------------------------------------------------------


def check_delivers_in_order_of_publishing(make: Make) -> None:
    bus = make().bus
    got: list[Message] = []
    bus.subscribe("market-data:*", got.append, "a")
    bus.subscribe(IDEAS, got.append, "a")
    sent = [market(1.0), idea(0.1), market(2.0), idea(0.2), market(3.0)]
    for message in sent:
        bus.publish(MARKET if isinstance(message, MarketData) else IDEAS, message)
    assert got == []
    assert bus.settle()
    assert got == sent


def check_handlers_are_called_in_order_of_subscription(make: Make) -> None:
    bus = make().bus
    got: list[str] = []
    for name in ("c", "a", "b"):
        bus.subscribe(MARKET, lambda message, name=name: got.append(name), name)
    bus.publish(MARKET, market())
    bus.settle()
    assert got == ["c", "a", "b"]


def check_publish_in_a_handler_is_the_next_generation(make: Make) -> None:
    bus = make().bus
    got: list[str] = []

    def first(message: Message) -> None:
        got.append(f"market {message.close}")
        bus.publish(IDEAS, idea(message.close / 10))

    bus.subscribe(MARKET, first, "a")
    bus.subscribe(IDEAS, lambda message: got.append(f"idea {message.score}"), "b")
    bus.publish(MARKET, market(1.0))
    bus.publish(MARKET, market(2.0))
    assert bus.settle()
    assert got == ["market 1.0", "market 2.0", "idea 0.1", "idea 0.2"]


def check_generations_are_limited(make: Make) -> None:
    bus = make(max_generations=4).bus
    seen: list[float] = []

    def again(message: Message) -> None:
        seen.append(message.score)
        bus.publish(IDEAS, idea(message.score + 1.0))

    bus.subscribe(IDEAS, again, "a")
    bus.publish(IDEAS, idea(0.0))
    with pytest.raises(InvariantError, match=r"after 4 generations on: mycelial-trade-ideas$"):
        bus.settle()
    assert seen == [0.0, 1.0, 2.0, 3.0]


def check_as_many_generations_as_allowed_are_fine(make: Make) -> None:
    bus = make(max_generations=4).bus
    seen: list[float] = []

    def until_three(message: Message) -> None:
        seen.append(message.score)
        if message.score < 3.0:
            bus.publish(IDEAS, idea(message.score + 1.0))

    bus.subscribe(IDEAS, until_three, "a")
    bus.publish(IDEAS, idea(0.0))
    assert bus.settle()
    assert seen == [0.0, 1.0, 2.0, 3.0]


def check_settle_in_a_handler_is_a_broken_promise(make: Make) -> None:
    bus = make().bus
    bus.subscribe(MARKET, lambda message: bus.settle(), "a")
    bus.publish(MARKET, market())
    with pytest.raises(InvariantError, match="settle was called by a handler"):
        bus.settle()


# --- subscriptions -----------------------------------------------------------------------------------------------


def check_patterns_select(make: Make) -> None:
    bus = make().bus
    one: list[Message] = []
    all_: list[Message] = []
    bus.subscribe(MARKET, one.append, "one")
    bus.subscribe("market-data:*", all_.append, "all")
    other = market(2.0, pair=ETH)
    bus.publish(MARKET, market(1.0))
    bus.publish(f"market-data:{ETH}", other)
    bus.publish(BASELINE, baseline())
    bus.settle()
    assert one == [market(1.0)]
    assert all_ == [market(1.0), other]


def check_overlapping_patterns_deliver_once(make: Make) -> None:
    bus = make().bus
    got: list[Message] = []
    bus.subscribe(MARKET, got.append, "a")
    bus.subscribe("market-data:*", got.append, "a")
    bus.publish(MARKET, market())
    bus.settle()
    assert got == [market()]


def check_same_handler_of_two_owners_is_called_for_both(make: Make) -> None:
    bus = make().bus
    got: list[Message] = []
    bus.subscribe(MARKET, got.append, "a")
    bus.subscribe(MARKET, got.append, "b")
    bus.publish(MARKET, market())
    bus.settle()
    assert got == [market(), market()]


def check_unknown_patterns_are_refused(make: Make) -> None:
    bus = make().bus
    for pattern in ("market", "*", "no-such:*", "market-data:", "system-barrier"):
        with pytest.raises(BusError):
            bus.subscribe(pattern, lambda message: None, "a")


def check_unsubscribe_works_in_the_middle_of_a_generation(make: Make) -> None:
    bus = make().bus
    got: list[str] = []

    def killer(message: Message) -> None:
        got.append("killer")
        bus.unsubscribe("b")
        bus.unsubscribe("c")

    bus.subscribe(MARKET, killer, "a")
    for name in ("b", "c", "d"):
        bus.subscribe("market-data:*", lambda message, name=name: got.append(name), name)
    bus.publish(MARKET, market(1.0))
    bus.publish(MARKET, market(2.0))
    bus.publish(f"market-data:{ETH}", market(3.0, pair=ETH))
    bus.settle()
    assert got == ["killer", "d", "killer", "d", "d"]


def check_unsubscribed_gets_nothing_even_if_published_before(make: Make) -> None:
    bus = make().bus
    got: list[Message] = []
    bus.subscribe(MARKET, got.append, "a")
    bus.publish(MARKET, market())
    bus.unsubscribe("a")
    bus.settle()
    assert got == []
    bus.subscribe(MARKET, got.append, "a")
    bus.publish(MARKET, market(2.0))
    bus.settle()
    assert got == [market(2.0)]


def check_newcomer_takes_part_from_the_next_generation(make: Make) -> None:
    bus = make().bus
    got: list[str] = []

    def host(message: Message) -> None:
        got.append(f"host {message.close}")
        if message.close == 1.0:
            bus.subscribe("market-data:*", lambda late: got.append(f"guest {late.close}"), "guest")
            bus.publish(MARKET, market(3.0))

    bus.subscribe(MARKET, host, "host")
    bus.publish(MARKET, market(1.0))
    bus.publish(MARKET, market(2.0))
    bus.publish(f"market-data:{ETH}", market(2.5, pair=ETH))
    bus.settle()
    assert got == ["host 1.0", "host 2.0", "host 3.0", "guest 3.0"]


# --- failures and refusal ----------------------------------------------------------------------------------------


def check_failing_handler_is_isolated(make: Make) -> None:
    bus = make().bus
    got: list[Message] = []

    def broken(message: Message) -> None:
        raise ValueError("boom")

    bus.subscribe(MARKET, broken, "broken")
    bus.subscribe(MARKET, got.append, "good")
    bus.publish(MARKET, market())
    assert bus.settle()
    assert got == [market()]
    assert list(bus.drain_failures()) == [Failure("broken", MARKET, "ValueError('boom')")]
    assert list(bus.drain_failures()) == []


def check_broken_promise_is_not_isolated(make: Make) -> None:
    bus = make().bus

    def broken(message: Message) -> None:
        raise InvariantError("books do not add up")

    bus.subscribe(MARKET, broken, "a")
    bus.publish(MARKET, market())
    with pytest.raises(InvariantError, match="books do not add up"):
        bus.settle()
    bus.unsubscribe("a")
    assert bus.settle()


def check_wrong_struct_or_channel_is_refused(make: Make) -> None:
    bus = make().bus
    for channel, message in (
        (MARKET, idea()),
        (IDEAS, market()),
        (IDEAS, {"score": 1}),
        ("no-such-channel", market()),
        ("market-data:", market()),
        ("system-barrier", market()),
    ):
        with pytest.raises(BusError):
            bus.publish(channel, message)  # type: ignore[arg-type]
    assert bus.settle()
    assert bus.counts() == {}


def check_not_finite_numbers_are_refused(make: Make) -> None:
    bus = make().bus
    nan, inf = float("nan"), float("inf")
    for channel, message in (
        (MARKET, market(nan)),
        (MARKET, market(high=inf, low=-inf)),
        (MARKET, market(features={"rsi": 1.0, "atr": nan})),
        (IDEAS, idea(edge=-inf)),
        (BASELINE, baseline(confidence=nan)),
        (BASELINE, baseline(price=inf)),
    ):
        with pytest.raises(BusError, match="not finite"):
            bus.publish(channel, message)
    assert bus.counts() == {}


def check_numbers_of_the_wrong_type_are_refused(make: Make) -> None:
    bus = make().bus
    for channel, message in (
        (MARKET, market("high")),  # type: ignore[arg-type]
        (MARKET, market(features={"rsi": None})),
        (BASELINE, msgspec.structs.replace(baseline(), votes=(1, 2))),
    ):
        with pytest.raises(BusError, match="wrong type"):
            bus.publish(channel, message)


def check_huge_finite_numbers_pass(make: Make) -> None:
    bus = make().bus
    got: list[Message] = []
    bus.subscribe(MARKET, got.append, "a")
    huge = market(1.7e308, high=1.7e308, features={"a": 1.7e308, "b": -0.0})
    bus.publish(MARKET, huge)
    bus.settle()
    assert got == [huge]


def check_future_of_an_own_message_is_a_broken_promise(make: Make) -> None:
    rig = make()
    with pytest.raises(InvariantError, match=f"^prophet published on {IDEAS} what is known at {NOW + 1} only"):
        rig.bus.publish(IDEAS, idea(source="prophet", known_at=NOW + 1))
    rig.clock.reach(NOW + 1)
    rig.bus.publish(IDEAS, idea(source="prophet", known_at=NOW + 1))
    assert rig.bus.counts() == {IDEAS: 1}


def check_flood_stops_the_source_and_nobody_else(make: Make) -> None:
    bus = make(max_messages_per_owner=3).bus
    got: list[Message] = []
    bus.subscribe("market-data:*", got.append, "a")
    for number in range(3):
        bus.publish(MARKET, market(float(number)))
    with pytest.raises(AgentFault, match="miner floods market-data:BTC/USDT: more than 3"):
        bus.publish(MARKET, market(3.0))
    bus.publish(MARKET, market(9.0, source="other"))
    bus.settle()
    assert [message.close for message in got] == [0.0, 1.0, 2.0, 9.0]
    bus.publish(MARKET, market(4.0))
    bus.settle()
    assert got[-1] == market(4.0)


def check_flood_over_generations_is_the_handlers_failure(make: Make) -> None:
    bus = make(max_messages_per_owner=2).bus

    def noisy(message: Message) -> None:
        for _ in range(3):
            bus.publish(IDEAS, idea(source="noisy"))

    bus.subscribe(MARKET, noisy, "noisy")
    bus.publish(MARKET, market())
    assert bus.settle()
    (failure,) = bus.drain_failures()
    assert failure.owner == "noisy"
    assert failure.error.startswith("AgentFault(")
    assert bus.counts() == {"market-data:{pair}": 1, IDEAS: 2}


def check_counts_by_template(make: Make) -> None:
    bus = make().bus
    bus.publish(MARKET, market())
    bus.publish(f"market-data:{ETH}", market(pair=ETH))
    bus.publish(IDEAS, idea())
    bus.settle()
    assert bus.counts() == {"market-data:{pair}": 2, IDEAS: 1}


def check_closed_bus_takes_nothing(make: Make) -> None:
    bus = make().bus
    bus.publish(MARKET, market())
    assert bus.ping()
    bus.close()
    assert not bus.ping()
    with pytest.raises(BusError, match="closed"):
        bus.publish(MARKET, market())
    bus.close()


# --- strangers ---------------------------------------------------------------------------------------------------


def check_foreign_messages_wait(make: Make) -> None:
    rig = make()
    got: list[Message] = []
    rig.bus.subscribe("market-data:*", got.append, "a")
    rig.feed(MARKET, foreign_raw(market(7.0), 1))
    rig.bus.publish(MARKET, market(1.0))
    assert rig.bus.settle()
    assert got == [market(1.0)]
    waiting = list(rig.bus.drain_foreign())
    assert waiting == [Foreign(MARKET, "stranger", market(7.0), 1, 1)]
    assert list(rig.bus.drain_foreign()) == []
    rig.bus.deliver_foreign(waiting[0])
    assert got == [market(1.0)]
    assert rig.bus.settle()
    assert got == [market(1.0), market(7.0)]
    assert rig.bus.counts() == {"market-data:{pair}": 1}
    assert list(rig.bus.drain_dead_letters()) == []


def _dead(rig: Rig, channel: str, raw: bytes) -> str:
    """The reason for which one message of a stranger was refused; it must reach nobody."""
    rig.feed(channel, raw)
    assert list(rig.bus.drain_foreign()) == []
    (letter,) = rig.bus.drain_dead_letters()
    assert letter.channel == channel
    assert len(letter.raw) <= 512
    return letter.reason


def check_malformed_foreign_messages_are_dead_letters(make: Make) -> None:
    rig = make()
    good = json.loads(foreign_raw(market(), 1))
    nan = json.dumps(good | {"body": good["body"] | {"close": float("nan")}}).encode()
    huge_number = foreign_raw(market(), 1).replace(b'"close":1.0', b'"close":1e999')
    assert huge_number != foreign_raw(market(), 1)
    for raw in (
        b"",
        b"\xff\xfe",
        b"not json",
        b"[" * 10_000,
        b'{"producer":"x"}',
        nan,
        huge_number,
        json.dumps(good | {"seq": "1"}).encode(),
        json.dumps(good | {"body": good["body"] | {"type": "market_data_v2"}}).encode(),
    ):
        assert _dead(rig, MARKET, raw).startswith("malformed message"), raw[:40]
    assert "does not belong" in _dead(rig, IDEAS, foreign_raw(market(), 1))
    assert rig.bus.gaps == {}


def check_oversized_foreign_messages_are_dead_letters(make: Make) -> None:
    rig = make()
    raw = foreign_raw(market(), 1) + b" " * MAX_MESSAGE_BYTES
    assert f"at most {MAX_MESSAGE_BYTES}" in _dead(rig, MARKET, raw)
    exact = foreign_raw(market(), 1)
    rig.feed(MARKET, exact + b" " * (MAX_MESSAGE_BYTES - len(exact)))
    assert len(rig.bus.drain_foreign()) == 1


def check_unknown_channel_is_a_dead_letter(make: Make) -> None:
    assert _dead(make(), "market-data:", foreign_raw(market(), 1)) == "no such channel: 'market-data:'"


def check_foreign_future_is_a_dead_letter(make: Make) -> None:
    rig = make()
    reason = _dead(rig, MARKET, foreign_raw(market(known_at=NOW + 1), 1))
    assert reason == f"from the future: known at {NOW + 1}, it is {NOW}"
    rig.clock.reach(NOW + 1)
    rig.feed(MARKET, foreign_raw(market(known_at=NOW + 1), 2))
    assert len(rig.bus.drain_foreign()) == 1


def check_duplicates_and_going_back_are_dead_letters(make: Make) -> None:
    rig = make()
    rig.feed(MARKET, foreign_raw(market(), 5, epoch=3))
    assert len(rig.bus.drain_foreign()) == 1
    for seq, epoch, reason in ((5, 3, "duplicate"), (4, 3, "duplicate"), (6, 2, "epoch 2 of 'stranger' is over")):
        assert _dead(rig, MARKET, foreign_raw(market(), seq, epoch=epoch)).startswith(reason)
    rig.feed(MARKET, foreign_raw(market(), 1, epoch=4))
    assert len(rig.bus.drain_foreign()) == 1
    assert rig.bus.gaps == {}


def check_gaps_are_counted(make: Make) -> None:
    rig = make()
    for seq, epoch in ((10, 1), (11, 1), (14, 1), (3, 2)):
        rig.feed(MARKET, foreign_raw(market(), seq, epoch=epoch))
    rig.feed(MARKET, foreign_raw(market(), 1, producer="third"))
    assert len(rig.bus.drain_foreign()) == 5
    assert rig.bus.gaps == {"stranger": 4}


def check_own_name_in_a_strangers_mouth(make: Make) -> None:
    rig = make()
    stolen = foreign_raw(market(), 1_000_000, producer=rig.bus.producer, epoch=rig.bus.epoch)
    assert "calls itself" in _dead(rig, MARKET, stolen)


def check_own_earlier_life_is_foreign(make: Make) -> None:
    rig = make()
    rig.feed(MARKET, foreign_raw(market(), 1, producer=rig.bus.producer, epoch=rig.bus.epoch - 1))
    assert list(rig.bus.drain_foreign()) == [Foreign(MARKET, rig.bus.producer, market(), rig.bus.epoch - 1, 1)]


def check_dead_letters_are_bounded(make: Make) -> None:
    rig = make(dead_letters_kept=3)
    for _ in range(5):
        rig.feed(MARKET, b"junk")
    letters = list(rig.bus.drain_dead_letters())
    assert [letter.raw for letter in letters] == ["junk", "junk", "junk", ""]
    assert letters[-1].reason.startswith("2 more messages")
    assert list(rig.bus.drain_dead_letters()) == []


def check_foreign_flood_is_bounded(make: Make) -> None:
    rig = make(max_messages_per_owner=3)
    for seq in range(1, 6):
        rig.feed(MARKET, foreign_raw(market(float(seq)), seq))
    rig.feed(MARKET, foreign_raw(market(9.0), 1, producer="quiet"))
    assert [foreign.message.close for foreign in rig.bus.drain_foreign()] == [1.0, 2.0, 3.0, 9.0]
    assert ["floods" in letter.reason for letter in rig.bus.drain_dead_letters()] == [True, True]


def check_unsigned_command_is_a_dead_letter(make: Make) -> None:
    for rig, command in (
        (make(), halt()),
        (make(), sign(halt(), SECRET)),
        (make(control_secret=SECRET), halt()),
        (make(control_secret=SECRET), sign(halt(), "wrong")),
        (make(control_secret=SECRET), msgspec.structs.replace(sign(halt(), SECRET), command=CommandKind.RESUME)),
        (make(control_secret=SECRET), msgspec.structs.replace(halt(), signature="ünsigned")),
    ):
        assert _dead(rig, "system-control", foreign_raw(command, 1)) == "command without a valid signature"


def check_signed_command_is_accepted_once(make: Make) -> None:
    rig = make(control_secret=SECRET)
    signed = sign(halt(), SECRET)
    rig.feed("system-control", foreign_raw(signed, 1))
    assert list(rig.bus.drain_foreign()) == [Foreign("system-control", "stranger", signed, 1, 1)]
    assert _dead(rig, "system-control", foreign_raw(signed, 2)) == "command was seen before"
    assert _dead(rig, "system-control", foreign_raw(signed, 1, producer="thief")) == "command was seen before"
    recorded = sign(halt(known_at=NOW - 1), SECRET)
    assert _dead(rig, "system-control", foreign_raw(recorded, 3)) == "command is older than this process"


def check_spoilt_numbering_does_not_stop_a_signed_command(make: Make) -> None:
    rig = make(control_secret=SECRET, max_messages_per_owner=1)
    rig.feed(MARKET, foreign_raw(market(), 1, producer="operator", epoch=2**40))
    rig.feed("system-control", foreign_raw(sign(halt(), SECRET), 1, producer="operator"))
    assert [foreign.channel for foreign in rig.bus.drain_foreign()] == [MARKET, "system-control"]


def check_command_from_the_future_is_a_dead_letter(make: Make) -> None:
    rig = make(control_secret=SECRET)
    signed = sign(halt(known_at=NOW + 1), SECRET)
    assert _dead(rig, "system-control", foreign_raw(signed, 1)).startswith("from the future")
    rig.clock.reach(NOW + 1)
    rig.feed("system-control", foreign_raw(signed, 2))
    assert len(rig.bus.drain_foreign()) == 1


# --- equality ----------------------------------------------------------------------------------------------------


def run_traffic(bus: FanOut, clock: SimClock, seed: int, slices: int) -> list[tuple[str, Message]]:
    """What random traffic delivers, (owner, message) in order; publishing in handlers and failures included."""
    draw = random.Random(seed)
    delivered: list[tuple[str, Message]] = []

    def note(owner: str) -> Callable[[Message], None]:
        return lambda message: delivered.append((owner, message))

    def answer(message: Message) -> None:
        delivered.append(("answering", message))
        if draw.random() < 0.5:
            bus.publish(IDEAS, idea(draw.random(), "answering", at=clock.now_ms(), known_at=clock.now_ms()))
        if draw.random() < 0.1:
            raise ValueError(f"{draw.random()}")

    bus.subscribe("market-data:*", note("all"), "all")
    bus.subscribe(MARKET, answer, "answering")
    bus.subscribe(IDEAS, note("ideas"), "ideas")
    for number in range(slices):
        clock.reach(NOW + number)
        if draw.random() < 0.1:
            bus.unsubscribe("guest")
            bus.subscribe("market-data:*", note(f"guest {number}"), "guest")
        for _ in range(draw.randrange(12)):
            pair = draw.choice((BTC, ETH))
            features = {f"f{index}": draw.uniform(-1e9, 1e9) for index in range(draw.randrange(4))}
            at = NOW + number
            bus.publish(
                f"market-data:{pair}", market(draw.gauss(0, 1e5), at=at, known_at=at, pair=pair, features=features)
            )
        assert bus.settle()
    return delivered


CHECKS = [check for name, check in sorted(globals().items()) if name.startswith("check_")]
