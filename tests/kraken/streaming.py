"""The streams of the house against the local Kraken, with clocks that a test can move and a bell to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from threading import Condition
from typing import Any

import yaml

from src.connectors.kraken.attempts import ConnectionBudget
from src.connectors.kraken.feed import PublicStream
from src.connectors.kraken.private import PrivateStream
from src.connectors.kraken.streams import Ports, pause
from src.core.clock import Timer, WallClock
from src.core.config_streams import KrakenStreams
from src.core.types import Pair, Side
from src.core.venue import ClientId, Executed, VenueEvent, VenueId
from tests.kraken.exchange_state import ExchangeState, FillRow, OrderRow
from tests.kraken.ws_server import KrakenSockets
from tests.worlds import ROOT

BTC, ETH, SOL, DOGE = Pair("BTC/USD"), Pair("ETH/USD"), Pair("SOL/USD"), Pair("DOGE/USD")
MINUTE = 60_000
QUICK = {"check_seconds": 0.02, "silence_seconds": 1.0, "retry_seconds": 0.3, "ack_seconds": 0.5, "close_seconds": 0.3}
"""So that tests are short; what is measured against a figure uses the shipped values."""


def streams(server: KrakenSockets, connection: dict[str, Any] | None = None, **changes: Any) -> KrakenStreams:
    """The shipped settings towards the local server."""
    plain = yaml.safe_load((ROOT / "config" / "agent_config.yaml").read_text())["kraken"]["streams"]
    plain |= {"url": server.url, "private_url": server.private_url}
    plain["connection"] |= QUICK if connection is None else connection
    plain["belief"] |= changes.pop("belief", {})
    return KrakenStreams.model_validate(plain | changes)


class RingingTimer(Timer):
    """The machine's seconds, and those that a pause skipped; whoever waits at the bell looks again at each look."""

    def __init__(self) -> None:
        self.bell = Condition()
        self.skipped = 0.0

    def seconds(self) -> float:
        if self.bell.acquire(blocking=False):
            self.bell.notify_all()
            self.bell.release()
        return super().seconds() + self.skipped

    async def skip(self, event: asyncio.Event, seconds: float) -> bool:
        """A pause between two attempts that takes no time."""
        self.skipped += seconds
        return await pause(event, 0.001)

    def until(self, seen: Callable[[], object], seconds: float = 10.0) -> None:
        """Wait until something is so; AssertionError when it is not in time."""
        with self.bell:
            assert self.bell.wait_for(seen, seconds), "did not happen in time"


class MovedClock(WallClock):
    """The wall's time, moved by what a test says."""

    def __init__(self) -> None:
        self.moved_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.moved_ms


class Stage:
    """A local Kraken, and the parts that a stream is built with."""

    def __init__(self, server: KrakenSockets, clock: MovedClock) -> None:
        self.server, self.state, self.clock = server, server.state, clock
        self.timer = RingingTimer()
        self.alerts: list[str] = []
        self.asked: list[int] = []
        self.events: list[VenueEvent] = []
        self.stack = ExitStack()

    def ports(self, settings: KrakenStreams, skip: bool = False) -> Ports:
        budget = ConnectionBudget(settings.connection)
        between = self.timer.skip if skip else pause
        return Ports(self.timer, budget, 7, self.alerts.append, between)

    def public(
        self, pairs: Sequence[Pair] = (BTC,), settings: KrakenStreams | None = None, skip: bool = False
    ) -> PublicStream:
        """A running public stream; left at the end of the test."""
        chosen = settings or streams(self.server)
        public = PublicStream(pairs, MINUTE, chosen, self.clock, self.ports(chosen, skip))
        self.stack.callback(public.close)
        public.start()
        return public

    def private(
        self, settings: KrakenStreams | None = None, known: Sequence[str] = (), since: int = 0, **ports: Any
    ) -> PrivateStream:
        """A running private stream whose back-fill reads the exchange's history as REST would."""
        chosen = settings or streams(self.server)
        back_fill, token = ports.get("back_fill", self.history), ports.get("token", self.state.new_token)
        private = PrivateStream(chosen, self.clock, self.ports(chosen), token, back_fill, since, known)
        self.stack.callback(private.close)
        private.start()
        return private

    def history(self, since: int) -> Sequence[Executed]:
        """TradesHistory from a time on, all pages."""
        self.asked.append(since)
        with self.state.lock:
            return [executed(self.state, fill) for fill in self.state.fills if fill.at >= since]

    def drained(self, private: PrivateStream) -> list[VenueEvent]:
        """Everything so far, drained again."""
        self.events += private.events()
        return self.events

    def fills(self, private: PrivateStream) -> list[str]:
        """The numbers of executions that became events, in order."""
        return [event.execution_id for event in self.drained(private) if isinstance(event, Executed)]

    def quoted(self, public: PublicStream, pair: Pair = BTC) -> None:
        """Wait for a quote."""
        self.timer.until(lambda: public.market.quote(pair) is not None)


def executed(state: ExchangeState, fill: FillRow) -> Executed:
    """An execution as REST tells it."""
    client, pair, side = ClientId(state.orders[fill.txid].cl_ord_id), Pair(fill.symbol), Side(fill.side)
    money = fill.qty, fill.price, fill.fee
    return Executed(fill.trade_id, VenueId(fill.txid), client, pair, side, *money, fill.at)


@contextmanager
def stage() -> Iterator[Stage]:
    """A local Kraken whose clock can be moved."""
    clock = MovedClock()
    with KrakenSockets(ExchangeState(clock.now_ms)) as server:
        built = Stage(server, clock)
        with built.stack:
            yield built


def bought(state: ExchangeState, amount: str, price: str, name: str = "") -> str:
    """An order of ours that rests; its txid."""
    txid = state.next_txid()
    row = OrderRow(txid, "BTC/USD", "buy", "limit", Decimal(amount), Decimal(price), None, state.now(), cl_ord_id=name)
    state.accept(row)
    return txid
