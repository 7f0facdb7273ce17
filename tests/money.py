"""What tests of the money path are made of: bars, slices, snapshots, orders and desks, each in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from uuid import UUID

import numpy as np

from src.backtesting.exchange import SimulatedExchange
from src.core.config import Settings
from src.core.desk import Desk
from src.core.portfolio import Portfolio
from src.core.ports import SpineState
from src.core.types import (
    Approved,
    BarBlock,
    Command,
    CommandKind,
    Denied,
    Fill,
    Idea,
    Intent,
    Order,
    OrderId,
    OrderKind,
    Pair,
    Position,
    Side,
    Slice,
    Snapshot,
    Stream,
    Trade,
)
from src.services.gate import RiskGate
from src.services.supervisor import FixedSupervisor
from tests.worlds import settings

HOUR = 3_600_000
START = 1_609_459_200_000
BTC, ETH, ADA = Pair("BTC/USDT"), Pair("ETH/USDT"), Pair("ADA/USDT")
PAIRS = (BTC, ETH, ADA)
NAMESPACE = UUID(int=7)

SHIPPED = settings()

Ohlcv = tuple[float, float, float, float, float]


def closed_at(bar: int) -> int:
    """When bar number `bar` became known; it opened one hour before."""
    return START + HOUR * (bar + 1)


def flat(price: float, volume: float = 1e6) -> Ohlcv:
    """A bar that stood still."""
    return price, price, price, price, volume


def block(bar: int, bars: Mapping[Pair, Ohlcv], pairs: tuple[Pair, ...] = PAIRS) -> BarBlock:
    """The bars of one hour; pairs that are not named have none."""
    table = np.array([bars.get(pair, (np.nan, np.nan, np.nan, np.nan, 0.0)) for pair in pairs])
    present = np.array([pair in bars for pair in pairs])
    return BarBlock(pairs, START + HOUR * bar, *(np.ascontiguousarray(table[:, c]) for c in range(5)), present=present)


def slice_of(bar: int, bars: Mapping[Pair, Ohlcv]) -> Slice:
    """The slice in which the bars of hour number `bar` close."""
    return Slice(closed_at(bar), block(bar, bars))


def snapshot(at: int, closes: Mapping[Pair, float], fresh: Sequence[Pair] | None = None) -> Snapshot:
    """A snapshot with these last closes; all of them fresh, unless said otherwise."""
    known = closes if fresh is None else fresh
    empty = np.empty((len(PAIRS), 0))
    return Snapshot(
        at=at,
        interval_ms=HOUR,
        grid=at // HOUR,
        pairs=PAIRS,
        fresh=np.array([pair in known for pair in PAIRS]),
        close=np.array([closes.get(pair, np.nan) for pair in PAIRS]),
        features=empty,
        indicators=empty,
        volatility=np.full(len(PAIRS), np.nan),
        bars=None,
        simulated=True,
    )


def order(
    side: Side = Side.BUY,
    amount: str = "1",
    pair: Pair = BTC,
    at: int = closed_at(0),
    reference: str = "100",
    name: str = "",
    stop: str | None = None,
    leave_at: int | None = None,
) -> Order:
    """A market order."""
    return Order(
        id=OrderId(name or f"{pair}-{side.value}-{at}"),
        pair=pair,
        side=side,
        amount=Decimal(amount),
        kind=OrderKind.MARKET,
        at=at,
        reference=Decimal(reference),
        reason="entry" if side is Side.BUY else "exit",
        stop=None if stop is None else Decimal(stop),
        leave_at=leave_at,
    )


def approve(wanted: Order, tree: Settings) -> Approved:
    """What the real gate says of an order that nothing speaks against."""
    closes = dict.fromkeys(PAIRS, 1.0)
    held = {} if wanted.side is Side.BUY else {wanted.pair: position(wanted.pair, wanted.amount)}
    rich = Decimal(10) ** 30
    state = SpineState(snapshot(wanted.at, closes), held, [], rich, rich, rich, "", True, Decimal(0))
    verdict = RiskGate(tree.risk, tree.costs).review(wanted, state)
    assert isinstance(verdict, Approved), verdict
    return verdict


def position(pair: Pair = BTC, amount: Decimal = Decimal(1), leave_at: int | None = None) -> Position:
    """A holding bought at 100."""
    return Position(pair, amount, Decimal(100), amount * 100, closed_at(0), leave_at)


def fill(side: Side, amount: str, price: str, fee: str = "0", slippage: str = "0", number: int = 1) -> Fill:
    """An execution in BTC."""
    return Fill(
        id=f"f-{number}",
        order_id=OrderId(f"o-{number}"),
        pair=BTC,
        side=side,
        amount=Decimal(amount),
        price=Decimal(price),
        fee=Decimal(fee),
        slippage=Decimal(slippage),
        at=closed_at(number),
        reason="entry" if side is Side.BUY else "exit",
    )


def intent(pair: Pair = BTC, horizon: int | None = None, at: int = closed_at(0)) -> Intent:
    """A wish to be long."""
    return Intent(pair, Side.BUY, at, 0.9, 0.02, horizon)


def idea(side: Side, pair: Pair = BTC, edge: float | None = None, at: int = closed_at(0)) -> Idea:
    """An idea of three voters."""
    return Idea(pair, side, at, 0.9, ("a", "b", "c"), edge, None)


def command(
    kind: CommandKind, pair: Pair | None = None, side: Side | None = None, amount: str | None = None
) -> Command:
    """A wish from outside."""
    return Command(kind, "a test asks", "test", pair, side, None if amount is None else Decimal(amount))


def exchange(tree: Settings) -> SimulatedExchange:
    """A fresh simulated exchange."""
    return SimulatedExchange(tree.costs, tree.account, tree.exchange)


def desk(tree: Settings | None = None) -> Desk:
    """A fresh account with the shipped settings."""
    tree = tree or SHIPPED
    return Desk(
        Portfolio(tree.account.start_quote, Stream.SYNTHESIZED),
        exchange(tree),
        FixedSupervisor(tree.account, NAMESPACE),
        RiskGate(tree.risk, tree.costs),
    )


class Walk:
    """A desk that walks bar by bar, as the engine does: settle, decide, send."""

    def __init__(self, tree: Settings | None = None) -> None:
        self.desk = desk(tree)
        self.bar = -1
        self.closes: dict[Pair, float] = {}
        self.fills: list[Fill] = []
        self.trades: list[Trade] = []
        self.halted = ""

    def __call__(
        self,
        bars: Mapping[Pair, Ohlcv],
        intents: Sequence[Intent] = (),
        ideas: Sequence[Idea] = (),
        commands: Sequence[Command] = (),
    ) -> list[Approved | Denied]:
        """One bar; returns the verdicts on what was wanted at its close."""
        self.bar += 1
        slice_ = slice_of(self.bar, bars)
        settled = self.desk.settle(slice_)
        self.fills.extend(settled.fills)
        self.trades.extend(settled.trades)
        self.closes.update({pair: ohlcv[3] for pair, ohlcv in bars.items()})
        seen = snapshot(slice_.at, self.closes, tuple(bars))
        verdicts = self.desk.decide(intents, ideas, commands, seen, self.halted, True)
        for verdict in verdicts:
            if isinstance(verdict, Approved):
                self.desk.send(verdict)
        return verdicts

    def hold(self, price: float = 100.0, horizon: int | None = None) -> None:
        """Two flat bars in which BTC is bought."""
        self({BTC: flat(price)}, [intent(horizon=horizon)])
        self({BTC: flat(price)})
        assert BTC in self.desk.portfolio.positions
