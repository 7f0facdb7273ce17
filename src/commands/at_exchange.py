"""What a session on an exchange's feed has besides: journaled slices, pulses between bars, and live trading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from ..connectors.state_folder import StateFolder
from ..connectors.tick_sender import TickSender
from ..connectors.tick_stream import TickWriter
from ..core.clock import iso
from ..core.config import Settings
from ..core.errors import InvariantError, UsageError
from ..core.intake import LAST_MS
from ..core.outbound import SendGuard
from ..core.ports import Ledger
from ..core.types import Order, Slice
from ..services.kill_switch import KillSwitch
from ..services.recovery import Recorded, catch_up
from ..services.runner import Observer, Runner
from ..wiring import House, Way
from . import common
from .feeds import Source
from .status import Board

if TYPE_CHECKING:
    from .exchange_feed import ExchangeFeed
    from .trading import Trading


class Sender:
    """Asked in the critical section of each send: whether this slice is of now, then the kill switch."""

    def __init__(self, feed: ExchangeFeed, switch: KillSwitch | None = None) -> None:
        self._feed, self._switch = feed, switch

    def send(self, order: Order, action: Callable[[], None]) -> str:
        """Do `action`, or say why not. Without a switch nothing is sent."""
        if self._switch is None:
            return "catching_up"
        return self._feed.late(order.at) or self._switch.send(order, action)


class AtExchange:
    """A session's other half. Without `trading` orders go to the simulated exchange, and these prices fill them."""

    def __init__(self, feed: ExchangeFeed, trading: Trading | None) -> None:
        self._feed, self._trading = feed, trading
        self._house: House | None = None

    @property
    def path(self) -> Way | None:
        """What builds the live broker; None on paper."""
        return None if self._trading is None else self._trading.path

    @property
    def runner(self) -> Runner | None:
        """Who keeps the state after each slice."""
        return None if self._trading is None else self._trading.runner

    @runner.setter
    def runner(self, runner: Runner) -> None:
        if self._trading is not None:
            self._trading.runner = runner

    def built(self, house: House) -> None:
        """Before a restore: what the sources said travels with the checkpoint; live sends nothing yet."""
        self._house, sources = house, self._feed.state_of_sources
        if sources is not None:
            house.model.keep(sources)
        if self._trading is not None:
            house.engine.outbound.guard = Sender(self._feed)

    def recover(self, start: int | None, recorded: Recorded) -> Iterator[Slice]:
        """Walk what an earlier life saw after its checkpoint at `start` (UTC ms); the slices that are new."""
        house, feed = self._house, self._feed
        if house is None:
            raise InvariantError("the house was not built yet")
        if self._trading is not None:
            self._trading.recover(house, start is None)
        count, _ = catch_up(house.engine, feed.recorded(start), LAST_MS, recorded)
        feed.refuse_clock()
        if count:
            common.say(f"caught up over {count} slices, to {iso(house.clock.now_ms())}")
        return iter(feed)

    def arm(self, switch: KillSwitch) -> SendGuard:
        """From here on orders of slices of now can leave, each past the kill switch."""
        if self._trading is not None:
            self._trading.arm(switch)
        self._feed.meanwhile = self._beat
        return Sender(self._feed, switch)

    def _beat(self) -> bool:
        asked = self._house is not None and bool(self._house.engine.inbox.waiting())
        return (self._trading is not None and self._trading.beat()) or asked

    def join(self, observers: list[Observer], board: Board) -> Event:
        """Look on after all others; what ends the feed."""
        if self._trading is not None:
            observers.append(self._trading.after)
        board.exchange = self.shown
        return self._feed.closing

    def shown(self) -> dict[str, Any]:
        """How the exchange stands, for `status`."""
        market = self._feed.market
        return {"troubles": list(self._feed.troubles()), "missing_bars": 0 if market is None else market.missing}


def on_exchange(
    settings: Settings,
    source: Source,
    folder: StateFolder,
    ledger: Ledger,
    seed: int,
    verdict: Path | None,
    stack: ExitStack,
    bus_url: str,
) -> AtExchange | None:
    """None for every other feed. With a `verdict` real money moves: the key is asked about at once."""
    feed = source.exchange
    if feed is None:
        return None
    feed.attach(ledger, folder.ledger_path)
    if settings.kraken.tick_stream is not None:
        sender = _durable_ticks(settings, feed, bus_url)
        stack.callback(sender.close)
        feed.tap = sender.take
    stack.callback(feed.close)
    if verdict is None:
        return AtExchange(feed, None)
    from .trading import Trading  # with the exchange's kit, which takes a moment to import

    trading = Trading(settings, feed, folder.path, ledger, folder.ledger_path, seed, verdict)
    stack.callback(trading.close)
    trading.open()
    return AtExchange(feed, trading)


def _durable_ticks(settings: Settings, feed: ExchangeFeed, bus_url: str) -> TickSender:
    """Sends every trade that is heard to a stream of the bus's server; UsageError for a bus that has none."""
    name, most = settings.kraken.tick_stream or "", settings.kraken.streams.ticks
    if not bus_url:
        raise UsageError(f"kraken.tick_stream {name}: --bus local has no streams; take --bus embedded or redis://...")
    writer = TickWriter(bus_url, name, feed.clock.now_ms(), most, settings.bus.connect_timeout_seconds)
    return TickSender(writer, most, settings.kraken.streams.connection.check_seconds, feed.timer, common.say)
