"""What `run --mode live` has beside a session on paper, in this process, against the local exchange."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

from src.commands.exchange_feed import ExchangeFeed
from src.commands.trading import Trading
from src.connectors.halt_file import HaltFile
from src.connectors.sqlite_ledger import SqliteSink
from src.core.config import Settings
from src.core.standing import Standing
from src.core.types import Approved, Command, Order, OrderId, OrderKind, Pair, Side
from src.services.gate import RiskGate
from src.services.kill_switch import KillSwitch
from src.services.limits import Watch
from src.services.writer import Writer
from tests.kraken.exchange_state import OrderRow
from tests.kraken.local import LocalKraken, key_file
from tests.settings.leaves import tree

BTC = Pair("BTC/USD")
SOON = 30.0


def towards(exchange: LocalKraken, folder: Path, **changes: object) -> Settings:
    """The shipped settings with an exchange on this machine and changes by name (`execution__settle_seconds=1`)."""
    urls = {"kraken.rest.url": exchange.rest.url, "kraken.streams.url": exchange.sockets.url}
    named = {name.replace("__", "."): value for name, value in changes.items()}
    private = {"kraken.streams.private_url": exchange.sockets.private_url, "kraken.key_file": str(key_file(folder))}
    return tree(urls, private, named)


class Session:
    """A broker on its own thread's clock; prices count as fresh, for no market is listened to."""

    def __init__(self, exchange: LocalKraken, folder: Path, settings: Settings) -> None:
        self.exchange, self.settings = exchange, settings
        self.feed = ExchangeFeed([BTC], 60_000, settings, 7, folder)
        self.timer, self.clock = self.feed.timer, self.feed.clock
        self.path = folder / "ledger.sqlite"
        self.stack = ExitStack()
        sink = SqliteSink(self.path, settings.ledger, mode="live", ledger_id="one")
        self.ledger = Writer(sink, settings.ledger)
        self.stack.callback(self.ledger.close)
        self.trading = Trading(settings, self.feed, folder, self.ledger, self.path, 7, folder / "gate.json")
        self.stack.callback(self.trading.close)
        self.standing, asked = Standing(), list[Command]()
        watch = Watch(settings.limits, self.standing)
        self.broker = self.trading.path(RiskGate(settings.risk, settings.costs, watch), watch)
        self.broker.restore({"delivered": 0, "waiting": []})
        self.switch = KillSwitch(self.standing, HaltFile(folder), asked.append)
        self.trading.arm(self.switch)
        self.broker.guard = self.switch.may_send
        self.numbers = 0

    def until(self, seen: Callable[[], Any], seconds: float = SOON) -> float:
        """Beat until something is so; how long that took."""
        begun, nap = self.timer.seconds(), Event()
        while not seen():
            self.trading.beat()
            took = self.timer.seconds() - begun
            assert took < seconds, f"not in {seconds} s: {self.broker.shown}"
            nap.wait(0.01)
        return self.timer.seconds() - begun

    def ready(self) -> float:
        """Until orders may leave."""
        return self.until(lambda: self.broker.ready)

    def send(self, amount: str = "0.01", **more: Any) -> Order:
        """An order of the engine's, let go behind its slice; a buy at the market with a stop."""
        self.numbers += 1
        said: dict[str, Any] = {"side": Side.BUY, "kind": OrderKind.MARKET, "stop": Decimal("0.05")} | more
        at = self.clock.now_ms()
        order = Order(
            OrderId(f"o-{at}-{self.numbers}"), BTC, amount=Decimal(amount), at=at, reference=Decimal(50_000),
            reason="test", **said,
        )  # fmt: skip
        self.broker.submit(Approved(order, at))
        self.broker.release()
        return order

    def resting(self) -> list[OrderRow]:
        """Our orders that rest at the exchange."""
        return [order for order in self.exchange.ours() if order.status == "open"]

    def held(self) -> Decimal:
        """What our own executions add up to."""
        return self.broker.coordinator.positions().get(BTC, Decimal(0))
