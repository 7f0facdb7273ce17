"""The nouns everything else is said with; frozen, so that a stage can hand them on without fear.

Times are UTC milliseconds (int). Prices and opinions are floats, money is Decimal. Arrays inside these
structs are read-only and share one order of pairs, that of the run.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import NewType

import msgspec
import numpy as np
import numpy.typing as npt

Pair = NewType("Pair", str)
"""`BASE/QUOTE`, for instance `BTC/USDT`."""
AgentName = NewType("AgentName", str)
OrderId = NewType("OrderId", str)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

MONEY_STEP = Decimal("0.00000001")
"""Money is booked to eight decimals, the finest step of the venues; sums are then exact."""

NEVER = -(2**62)
"""A time before all times."""

Scalar = str | int | float | bool


class Side(StrEnum):
    """The direction of an idea, an intent, an order or a fill."""

    BUY = "buy"
    SELL = "sell"

    @property
    def other(self) -> Side:
        """The opposite side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Stream(StrEnum):
    """Whose profit and loss it is: the three streams that are compared, and the simple learners beside them."""

    BASELINE = "baseline"
    MYCELIAL = "mycelial"
    SYNTHESIZED = "synthesized"
    CONTROL = "control"


STREAMS = (Stream.BASELINE, Stream.MYCELIAL, Stream.SYNTHESIZED)
"""The three that are compared."""


class Bar(msgspec.Struct, frozen=True, gc=False):
    """One bar of one pair. Stamped with its open; known at open + timeframe. Volume in base units."""

    pair: Pair
    opened: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class BarBlock(msgspec.Struct, frozen=True):
    """The bars of all pairs that closed at one instant.

    Every array has shape (pairs,). Where `present` is False the pair had no bar: its prices are NaN and its
    volume 0; nobody may read them as data.
    """

    pairs: tuple[Pair, ...]
    opened: int
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    present: BoolArray

    def bar(self, index: int) -> Bar | None:
        """The bar of the pair at `index`, or None where it is missing."""
        if not self.present[index]:
            return None
        return Bar(
            self.pairs[index],
            self.opened,
            float(self.open[index]),
            float(self.high[index]),
            float(self.low[index]),
            float(self.close[index]),
            float(self.volume[index]),
        )


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One trade seen on a venue. `amount` in base units."""

    pair: Pair
    at: int
    price: float
    amount: float


class Status(StrEnum):
    """How a source stands; OK and NEUTRAL are data of this moment, NEUTRAL data that say nothing unusual."""

    OK = "OK"
    NEUTRAL = "NEUTRAL"
    NO_DATA = "NO_DATA"
    STALE = "STALE"
    ERROR = "ERROR"


STATUSES = (Status.NO_DATA, Status.STALE, Status.ERROR, Status.NEUTRAL, Status.OK)
"""The order in which arrays number them."""


class Observation(msgspec.Struct, frozen=True):
    """Something that a source outside the market said, and when it could be known."""

    source: str
    moat: str
    id: str
    subject: str
    at: int
    known_at: int
    values: dict[str, float]
    simulated: bool = False


class Slice(msgspec.Struct, frozen=True):
    """Everything that became known at one instant `at` (UTC ms)."""

    at: int
    bars: BarBlock | None
    observations: tuple[Observation, ...] = ()
    ticks: tuple[Tick, ...] = ()
    simulated: bool = False


class AccountView(msgspec.Struct, frozen=True):
    """What agents may know of the account: figures, never a handle. In quote currency."""

    equity: float
    peak_equity: float
    cash: float
    held: frozenset[Pair]

    @property
    def drawdown_ratio(self) -> float:
        """Loss from the highest equity so far, in [0, 1]; open positions marked."""
        return 0.0 if self.peak_equity <= 0 else max(0.0, 1.0 - self.equity / self.peak_equity)


class MoatStanding(msgspec.Struct, frozen=True):
    """How one moat stands. `age_ms` since its newest observation was known, None without one.

    `quality` in [0, 1]: the share of its parts that can be used, each weighted by its age. `figures` are what the
    value is made of, by name; those that end in `.z` are distances from the mean, weighted by age. `strength` in
    [0, 100] and its grade.
    """

    moat: str
    status: Status
    age_ms: int | None
    quality: float
    figures: dict[str, float]
    strength: float
    grade: str
    simulated: bool


class MoatParts(msgspec.Struct, frozen=True):
    """What the values of the moats are made of; `moats.standing` puts it into words.

    (cells,): `names`, `moat` as column, `known_at`, `state`, `weighted` z by age, `figures` as people know them;
    (moats,): `as_of`, `quality`, `readings` there are in `recent` (moats, readings), the last |z| of each hour.
    """

    names: tuple[str, ...]
    moat: IntArray
    known_at: IntArray
    state: IntArray
    weighted: FloatArray
    figures: FloatArray
    as_of: IntArray
    quality: FloatArray
    recent: FloatArray
    readings: IntArray


class MoatView(msgspec.Struct, frozen=True):
    """What is known of the moats, in the order code, government, logistics, corporate; arrays are read-only.

    `values` (pairs, moats), never NaN: a distance from the mean in standard deviations, clipped, times the weight of
    its age; 0 where there is none. `states` (pairs, moats) are places in `STATUSES`: only the code moat speaks of
    single assets. `news_at`: the slice that last brought something new. `simulated`: somebody invents what it says.
    """

    values: FloatArray
    states: IntArray
    statuses: tuple[Status, ...]
    news_at: tuple[int | None, ...]
    simulated: tuple[bool, ...]
    parts: MoatParts


class Snapshot(msgspec.Struct, frozen=True):
    """What every agent sees of one slice; computed once, shared by reference, read-only.

    Shapes: `features` (pairs, features), `indicators` (pairs, indicators), the rest (pairs,). NaN means that a
    value is not known yet (warm-up) or not defined; NaN never means neutral. `fresh` says which pairs have a
    bar in this slice; for the others the last known values stand and are not data of this slice.
    `volatility` is the standard deviation of one-interval log returns. `observations` are those of this slice.
    `seen_at` (pairs,): when the newest bar of each pair became known, `NEVER` before the first one; None where only
    `fresh` is known.
    """

    at: int
    interval_ms: int
    grid: int
    pairs: tuple[Pair, ...]
    fresh: BoolArray
    close: FloatArray
    features: FloatArray
    indicators: FloatArray
    volatility: FloatArray
    bars: BarBlock | None
    simulated: bool
    observations: tuple[Observation, ...] = ()
    moats: MoatView | None = None
    seen_at: IntArray | None = None


class Vote(msgspec.Struct, frozen=True, gc=False):
    """One voter's opinion; `confidence` in [0, 1]. `reason` names the signal behind it."""

    voter: str
    side: Side
    confidence: float
    reason: str = ""


class Points(msgspec.Struct, frozen=True, gc=False):
    """How an explorer scored a pair: points by criterion, of eight."""

    voter: str
    volume: int
    volatility: int
    liquidity: int
    trend: int
    cross_moat: int

    @property
    def total(self) -> int:
        """The sum of all criteria."""
        return self.volume + self.volatility + self.liquidity + self.trend + self.cross_moat


class Idea(msgspec.Struct, frozen=True):
    """A wish to be long (buy) or flat (sell) in a pair, said at a time by a group of voters.

    `score` in [0, 1]. `edge` is the expected log return over `horizon` intervals before costs; None where
    the stream makes no such claim (baseline).
    """

    pair: Pair
    side: Side
    at: int
    score: float
    voters: tuple[str, ...]
    edge: float | None = None
    horizon: int | None = None


class Intent(msgspec.Struct, frozen=True):
    """A wish that is ripe for an order: a collision, or in a shadow book an idea of its own stream.

    `horizon` in base intervals (None: no time limit), `score` and `edge` of the swarm where there is one.
    """

    pair: Pair
    side: Side
    at: int
    score: float
    edge: float | None = None
    horizon: int | None = None


class OrderKind(StrEnum):
    """How an order wants to be filled."""

    MARKET = "market"
    STOP = "stop"


class Order(msgspec.Struct, frozen=True):
    """An order somebody wants to send. It cannot be sent: only `Approved` can.

    `amount` in base units, `reference` the close it was decided on, `stop` the protective stop that is armed
    with the entry's fill, as a ratio below the entry price, `leave_at` when the idea behind it is over.
    """

    id: OrderId
    pair: Pair
    side: Side
    amount: Decimal
    kind: OrderKind
    at: int
    reference: Decimal
    reason: str
    stop: Decimal | None = None
    leave_at: int | None = None


class Approved(msgspec.Struct, frozen=True):
    """An order that passed the gate. Constructed in `services/gate.py` and nowhere else; a test holds that."""

    order: Order
    at: int


class Denied(msgspec.Struct, frozen=True):
    """An order that did not pass, and the machine-readable reason."""

    order: Order
    at: int
    reason: str
    detail: str = ""


class Fill(msgspec.Struct, frozen=True):
    """One execution. Money in quote currency, booked to `MONEY_STEP`.

    `price` is the market's price without slippage; fee and slippage are costs on this side's own notional, so
    that both sides together cost (1 + r)(1 - c) / (1 + c) - 1. `final` says that the order is done.
    """

    id: str
    order_id: OrderId
    pair: Pair
    side: Side
    amount: Decimal
    price: Decimal
    fee: Decimal
    slippage: Decimal
    at: int
    reason: str
    final: bool = True
    simulated: bool = True

    @property
    def notional(self) -> Decimal:
        """Amount times price, before costs."""
        return (self.amount * self.price).quantize(MONEY_STEP)


class Position(msgspec.Struct, frozen=True):
    """A holding of one pair. `cost` is what was paid for `amount`, costs included; `entry` the mean fill price."""

    pair: Pair
    amount: Decimal
    entry: Decimal
    cost: Decimal
    opened_at: int
    leave_at: int | None = None


class Trade(msgspec.Struct, frozen=True):
    """A closed round trip of one stream. `profit` in quote currency, `profit_ratio` net of both sides' costs.

    `leave_at`: when the horizon of the idea behind it ended (UTC ms), None where it had none.
    """

    id: str
    stream: Stream
    pair: Pair
    amount: Decimal
    entry_at: int
    exit_at: int
    entry_price: Decimal
    exit_price: Decimal
    fees: Decimal
    slippage: Decimal
    profit: Decimal
    profit_ratio: Decimal
    exit_reason: str
    score: float | None = None
    leave_at: int | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What became of an order other than a fill: sent, cancelled, rejected, expired, unknown."""

    order_id: OrderId
    pair: Pair
    state: str
    at: int
    reason: str = ""


class CommandKind(StrEnum):
    """What may be asked of a running process; takes effect at the next slice."""

    HALT = "halt"
    RESUME = "resume"
    FLATTEN = "flatten"
    ORDER = "order"
    STOP = "stop"
    EMERGENCY_SHUTDOWN = "emergency_shutdown"
    FORCE_SHARE = "force_share"


class Command(msgspec.Struct, frozen=True):
    """A wish from outside or from the risk guardian; journaled with the slice it takes effect in.

    `id` ties it to the row that acknowledged it; empty where nobody waits for an acknowledgement. `group` names the
    learners that are to share.
    """

    kind: CommandKind
    reason: str
    source: str
    pair: Pair | None = None
    side: Side | None = None
    amount: Decimal | None = None
    id: str = ""
    group: str = ""


class Stage(StrEnum):
    """Where an asset stands in its life, once it had a team of agents."""

    ACTIVE = "active"
    PROBATION = "probation_1"
    DEEP_PROBATION = "probation_2"
    HIBERNATED = "hibernated"
    DELISTED = "delisted"
    REVIVED = "revived"


class Transition(msgspec.Struct, frozen=True):
    """An asset came from one stage to another; `profit_ratio` is the sum of its trades' net returns then.

    `probation_ms`: how long it had been on probation without a break.
    """

    at: int
    pair: Pair
    before: Stage | None
    after: Stage
    profit_ratio: Decimal
    probation_ms: int = 0


class Decision(msgspec.Struct, frozen=True):
    """One line of the record of decisions. Fields that do not apply are None and are left out of the file."""

    at: int
    kind: str
    pair: Pair | None = None
    side: Side | None = None
    reason: str | None = None
    source: str | None = None
    detail: dict[str, Scalar | list[str]] = {}
