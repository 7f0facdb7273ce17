"""A desk at the local Kraken: server, key, REST client and venue, with a clock that is turned by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from src.connectors.kraken.nonce import NonceFile, Nonces
from src.connectors.kraken.rest import KrakenRest
from src.connectors.kraken.venue import KrakenVenue
from src.connectors.venues.keys import ApiKey
from src.core.clock import Timer
from src.core.config_venues import KrakenSettings
from src.core.names import OrderId, Pair, Side
from src.core.orders import Approved, Order, OrderKind
from src.core.venue import ClientId, Place, VenueEvent
from tests.kraken.exchange_state import ALL_RIGHTS, ExchangeState
from tests.kraken.rest_server import Fault, RestServer
from tests.worlds import settings

KEY = "dGhlIGtleSBvZiB0aGUgZGVzaw=="
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
"""The secret of the example in Kraken's documentation."""
START = 1_700_000_000_000
BTC = Pair("BTC/USD")
SECONDS = 10.0
"""How long a test waits for an event: far longer than it takes."""


class Hand:
    """A clock that a test turns; `passed` is how far forwards in all."""

    def __init__(self, at: int = START) -> None:
        self.at, self.passed = at, 0

    def now_ms(self) -> int:
        return self.at

    def reach(self, at_ms: int) -> None:
        self.at = at_ms

    def pass_ms(self, ms: int) -> None:
        self.at += ms
        self.passed += max(0, ms)


class HandTimer(Timer):
    """The machine's timer, further by what a test let pass; a clock that goes back is nothing to it."""

    def __init__(self, clock: Hand) -> None:
        self._clock = clock

    def seconds(self) -> float:
        return super().seconds() + self._clock.passed / 1000


def kraken(url: str, **changes: Any) -> KrakenSettings:
    """The shipped settings at `url`, quick to give up; `rest__wait_seconds=1` changes one."""
    quick = {"rest__total_seconds": 0.9, "rest__wait_seconds": 0.5, "budget__public_interval_seconds": 0.0}
    tree = deepcopy(_shipped())
    for name, value in {**quick, "rest__url": url, **changes}.items():
        section, _, leaf = name.partition("__")
        assert leaf in tree[section]
        tree[section][leaf] = value
    return KrakenSettings.model_validate(tree)


@cache
def _shipped() -> dict[str, Any]:
    return settings().kraken.model_dump()


def order(kind: OrderKind = OrderKind.LIMIT, amount: str = "0.01", **changes: Any) -> Order:
    """A buy of BTC far below the market, that rests; `limit`, `trigger`, `side`, `pair` change it."""
    said: dict[str, Any] = {"pair": BTC, "side": Side.BUY, "limit": Decimal("40000.0")} | changes
    return Order(
        OrderId("o-1"), amount=Decimal(amount), kind=kind, at=START, reference=Decimal(50_000), reason="test", **said
    )


def place(client_id: str, wanted: Order | None = None, deadline: int = START + 10_000, **more: Any) -> Place:
    """A request to send an order."""
    return Place(ClientId(client_id), Approved(wanted or order(), START), deadline, **more)


class Desk:
    """Everything between a test and the local Kraken."""

    def __init__(self, folder: Path, rights: frozenset[str] = ALL_RIGHTS, **changes: Any) -> None:
        self.clock = Hand()
        self.state = ExchangeState(self.clock.now_ms)
        self.state.add_key(KEY, SECRET, rights)
        self.server = RestServer(self.state)
        self.settings = kraken(self.server.url, **changes)
        self.nonces = Nonces(NonceFile(folder / "nonce"), lambda: self.clock.now_ms() * 1_000_000)
        self.rest = KrakenRest(self.settings.rest, Timer(), ApiKey(KEY, SECRET), self.nonces)
        self.timer = HandTimer(self.clock)
        self.venue = KrakenVenue(self.rest, self.nonces, self.settings, self.clock, self.timer)
        self.seen: list[VenueEvent] = []
        self._waiting: list[VenueEvent] = []

    def close(self) -> None:
        self.server.release.set()
        self.venue.close()
        self.server.close()

    def pass_ms(self, ms: int) -> None:
        """Let time pass, and whoever waits for a moment that has come look at the clock."""
        self.clock.pass_ms(ms)
        worker = self.venue._worker
        if worker is not None:
            with worker._changed:
                worker._changed.notify_all()

    def fault(self, endpoint: str, kind: str, text: str = "", **more: Any) -> None:
        self.server.faults.append(Fault(endpoint, kind, text, **more))

    def until(self, is_it: Callable[[VenueEvent], bool]) -> VenueEvent:
        """The first event that is it; those before it are in `seen`."""
        timer = Timer()
        deadline = timer.seconds() + SECONDS
        while timer.seconds() < deadline:
            for event in self._new(deadline - timer.seconds()):
                if is_it(event):
                    return event
        raise AssertionError(f"no such event among {self.seen}")

    def next[T: VenueEvent](self, kind: type[T]) -> T:
        """The next event of a type."""
        found = self.until(lambda event: isinstance(event, kind))
        assert isinstance(found, kind)
        return found

    def _new(self, seconds: float) -> Sequence[VenueEvent]:
        """One event at a time, so that none is passed over."""
        if not self._waiting:
            self.venue.queue.wait(seconds)
            self._waiting.extend(self.venue.events())
        if not self._waiting:
            return ()
        event = self._waiting.pop(0)
        self.seen.append(event)
        return (event,)
