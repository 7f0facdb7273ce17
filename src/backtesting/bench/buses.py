"""What a message costs: over the server against bare redis-py, and to many subscribers inside one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from redis import Redis
from redis.client import PubSub
from redis.exceptions import RedisError

from ...core.bus import LocalBus
from ...core.clock import SimClock, Timer
from ...core.envelopes import Envelope, encode
from ...core.errors import BusError
from ...core.messages import MarketData, Message
from ...core.ports import Bus
from ...core.types import Pair
from .measure import MICROSECONDS, Measured, Parts, Sizes, alternated, each_seconds, middle, seconds_of
from .worlds import START_MS

PAIR = Pair("BTC/USDT")
CHANNEL = f"market-data:{PAIR}"
PEER_CHANNEL = "bench-peer"
"""Not one of the project's channels: the bus under test must not hear its peer."""
PIPELINED = 20
"""Messages the peer publishes in one go; fewer cost it more, more fill the buffers of its listeners."""
OWN_ROUNDS = 10
"""How many times the peer's messages we deliver: otherwise our round would be over before it can be timed."""


class Hearer:
    """A subscriber that counts, so that each delivery costs a call of Python as a real handler's does."""

    def __init__(self) -> None:
        self.heard = 0

    def hear(self, message: Message) -> None:
        """One delivery."""
        self.heard += 1


def market_data() -> MarketData:
    """A bar's announcement of ordinary size."""
    features = {"rsi": 0.25, "macd": -0.125, "band": 0.5, "adx": 0.75, "volume": 1.5}
    return MarketData(
        source="market-miner", at=START_MS, known_at=START_MS, pair=PAIR, close=100.5, high=101.0, low=99.5,
        features=features,
    )  # fmt: skip


def wire_form() -> bytes:
    """The same announcement as bytes: what the peer carries."""
    return encode(Envelope("bench", 1, 1, market_data()))


def roundtrip(parts: Parts, sizes: Sizes) -> Measured:
    """Median microseconds from publish to the handler's return, and of bare publish and receive on the same server."""
    clock = SimClock(START_MS)
    with ExitStack() as stack:
        client = stack.enter_context(_peer(parts.server(), 2))
        listener = _listener(stack, client)
        bus = stack.enter_context(closing(parts.connect(clock)))
        hearer = Hearer()
        bus.subscribe(CHANNEL, hearer.hear, "bench")
        ours, peers = alternated(
            sizes.runs,
            lambda: _own_trip(bus, hearer, parts.timer, sizes.messages),
            lambda: _peer_trip(client, listener, parts.timer, sizes.messages),
        )
    return Measured(ours, peers)


def _own_trip(bus: Bus, hearer: Hearer, timer: Timer, messages: int) -> float:
    message = market_data()
    hearer.heard = 0

    def trip() -> None:
        bus.publish(CHANNEL, message)
        bus.settle()

    figures = each_seconds(timer, trip, messages)
    _refuse_losses(hearer.heard, messages)
    return MICROSECONDS * middle(figures)


def _peer_trip(client: Redis, listener: PubSub, timer: Timer, messages: int) -> float:
    raw = wire_form()

    def trip() -> None:
        client.publish(PEER_CHANNEL, raw)
        _receive(listener)

    return MICROSECONDS * middle(each_seconds(timer, trip, messages))


def deliveries(parts: Parts, sizes: Sizes) -> Measured:
    """Deliveries a second to many handlers of the local bus, and to as many subscribed connections of redis-py."""
    rounds = max(1, sizes.deliveries // sizes.subscribers)
    bus, hearer = LocalBus(SimClock(START_MS), parts.settings.bus), Hearer()
    for number in range(sizes.subscribers):
        bus.subscribe(CHANNEL, hearer.hear, f"bench-{number}")
    with ExitStack() as stack:
        client = stack.enter_context(_peer(parts.server(), sizes.subscribers + 1))
        listeners = [_listener(stack, client) for _ in range(sizes.subscribers)]
        ours, peers = alternated(
            sizes.runs,
            lambda: _own_deliveries(bus, hearer, parts.timer, OWN_ROUNDS * rounds, sizes.subscribers),
            lambda: _peer_deliveries(client, listeners, parts.timer, rounds),
        )
    return Measured(ours, peers)


def _own_deliveries(bus: Bus, hearer: Hearer, timer: Timer, rounds: int, subscribers: int) -> float:
    message = market_data()
    hearer.heard = 0

    def publish_all() -> None:
        for _ in range(rounds):
            bus.publish(CHANNEL, message)
            bus.settle()

    seconds = seconds_of(timer, publish_all)
    _refuse_losses(hearer.heard, rounds * subscribers)
    return hearer.heard / seconds


def _peer_deliveries(client: Redis, listeners: list[PubSub], timer: Timer, rounds: int) -> float:
    raw = wire_form()

    def publish_all() -> None:
        for start in range(0, rounds, PIPELINED):
            count = min(PIPELINED, rounds - start)
            with client.pipeline(transaction=False) as pipeline:
                for _ in range(count):
                    pipeline.publish(PEER_CHANNEL, raw)
                pipeline.execute()
            for listener in listeners:
                for _ in range(count):
                    _receive(listener)

    return rounds * len(listeners) / seconds_of(timer, publish_all)


@contextmanager
def _peer(url: str, connections: int) -> Iterator[Redis]:
    """The vendor's client, whose errors become ours."""
    try:
        with Redis.from_url(url, max_connections=connections) as client:
            yield client
    except RedisError as error:
        raise BusError(f"bench: redis-py against {url}: {error}; run it again on a machine with room") from error


def _listener(stack: ExitStack, client: Redis) -> PubSub:
    """A subscribed connection; the server's word on the subscription has been read."""
    listener: PubSub = stack.enter_context(client.pubsub())  # type: ignore[no-untyped-call]
    listener.subscribe(PEER_CHANNEL)
    _receive(listener)
    return listener


def _receive(listener: PubSub) -> Any:
    """The next message by the shortest way the vendor offers."""
    return listener.parse_response(block=True)  # type: ignore[no-untyped-call]


def _refuse_losses(heard: int, sent: int) -> None:
    if heard != sent:
        raise BusError(f"bench: {heard} of {sent} messages were delivered; a figure of such a run would be none")
