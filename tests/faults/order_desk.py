"""The order path over a ledger on any disk and an exchange that answers at once: what reaches it can be counted."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Self

from src.backtesting.simulated_kraken import DirectLink, SimulatedKraken
from src.backtesting.simulation.market import LISTED
from src.backtesting.simulation.process import Seams
from src.backtesting.venue.matching import Span
from src.backtesting.venue.server import VenueServer
from src.commands.simulated_life import Life
from src.connectors.sqlite_ledger import LedgerReader, SqliteSink
from src.core.config import LedgerSettings
from src.core.errors import LedgerError
from src.core.ports import Row
from src.core.types import Order, OrderId, OrderKind, Pair, Side
from src.services.writer import Writer
from tests.crash.exchange import QUOTE, RULES
from tests.worlds import settings

BTC, ETH = Pair("BTC/USDT"), Pair("ETH/USDT")
START = 1_700_000_000_000
TREE = settings()
LEDGER = LedgerSettings(
    queue_rows=1_000,
    group_rows=100,
    group_seconds=0.005,
    durable_timeout_seconds=0.25,
    retry_seconds=0.01,
    busy_timeout_seconds=0.05,
    row_bytes=1_048_576,
    checkpoint_seconds=10.0,
    anchor_folder=None,
)
STEPS = 400
PRICES = {BTC: Decimal(100), ETH: Decimal(10)}


class Stage:
    """An exchange, its market and a clock turned by hand; processes come and go."""

    def __init__(self) -> None:
        self.now = START
        self.server = VenueServer(RULES, TREE.costs, QUOTE)
        self.kraken = SimulatedKraken(self.server, DirectLink(self.clock), self.clock)
        for pair, price in PRICES.items():
            self.server.trade(Span(pair, self.now, price, price, price, Decimal(1_000)), self.now)
        self.server.pushed()

    def clock(self) -> int:
        """UTC ms."""
        return self.now


class Desk:
    """One life of the order path on one disk."""

    def __init__(self, stage: Stage, path: Path, ledger: LedgerSettings = LEDGER) -> None:
        self.stage, self.path, self._settings = stage, path, ledger
        self.sink = SqliteSink(path, ledger, mode="paper", ledger_id="desk")
        self.writer = Writer(self.sink, ledger)
        self.life = Life(TREE, self._seams(stage.clock))
        stage.kraken.events()
        stage.kraken.connect()
        self.life.start(stage.now)

    def _seams(self, clock: Callable[[], int]) -> Seams:
        rows = tuple(Row(row.at, row.kind, row.key, row.body) for row in LedgerReader(self.path, self._settings).rows())
        venue, ledger = self.stage.kraken, self.writer
        return Seams(
            venue, ledger, rows, lambda _: "", 0, QUOTE, clock, PRICES.__getitem__, lambda pair: LISTED[pair].tick
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.writer.close()
        except LedgerError:
            if not any(error):
                raise

    def step(self, ms: int = 100) -> None:
        """Time passes, and the process looks around."""
        self.stage.now += ms
        self.life.step(self.stage.now)

    def until(self, true: Callable[[], bool], ms: int = 100) -> None:
        """Step until it is so."""
        for _ in range(STEPS):
            if true():
                return
            self.step(ms)
        raise AssertionError(f"never came true; the ledger says {self.failure!r}")

    def ready(self) -> Self:
        """Once everything was asked."""
        self.until(lambda: self.life.ready)
        return self

    def buy(self, name: str, pair: Pair = BTC, amount: str = "1", limit: str | None = None) -> str:
        """Wish for an order; why it was refused, "" where it was not."""
        price = None if limit is None else Decimal(limit)
        kind = OrderKind.MARKET if price is None else OrderKind.LIMIT
        order = Order(
            OrderId(name), pair, Side.BUY, Decimal(amount), kind, self.stage.now, PRICES[pair], "entry", limit=price
        )
        return self.life.take(order, self.stage.now)

    @property
    def failure(self) -> str:
        """What holds the ledger up."""
        return self.life._driver.failure

    @property
    def sent(self) -> list[str]:
        """Our orders that the exchange ever took, in order."""
        return [one.decision for one in self.stage.server.orders.values() if one.client_id]
