"""The nouns everything else is said with; frozen, so that a stage can hand them on without fear.

Times are UTC milliseconds (int). Prices and opinions are floats, money is Decimal. Arrays inside these
structs are read-only and share one order of pairs, that of the run.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from .names import (
    MONEY_STEP,
    NEVER,
    STREAMS,
    AgentName,
    BoolArray,
    FloatArray,
    IntArray,
    OrderId,
    Pair,
    Scalar,
    Side,
    Stream,
)
from .orders import (
    Approved,
    Command,
    CommandKind,
    Decision,
    Denied,
    Fill,
    Order,
    OrderKind,
    Outcome,
    Position,
    Stage,
    Trade,
    Transition,
)

__all__ = [
    "AccountView",
    "AgentName",
    "Approved",
    "Bar",
    "BarBlock",
    "BoolArray",
    "Command",
    "CommandKind",
    "Decision",
    "Denied",
    "Fill",
    "FloatArray",
    "Idea",
    "IntArray",
    "Intent",
    "MONEY_STEP",
    "MoatParts",
    "MoatStanding",
    "MoatView",
    "NEVER",
    "Observation",
    "Order",
    "OrderId",
    "OrderKind",
    "Outcome",
    "Pair",
    "Points",
    "Position",
    "STATUSES",
    "STREAMS",
    "Scalar",
    "Side",
    "Slice",
    "Snapshot",
    "Stage",
    "Status",
    "Stream",
    "Tick",
    "Trade",
    "Transition",
    "Vote",
]


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

    def count(self) -> int:
        """How many pairs have a bar."""
        return self.present.tobytes().count(1)  # a third of what `count_nonzero` takes for a row

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
    """Everything that became known at one instant `at` (UTC ms).

    `spreads` (pairs,): (ask - bid) / middle as quoted at `at` or just before, NaN where nobody
    quotes; None without any.
    """

    at: int
    bars: BarBlock | None
    observations: tuple[Observation, ...] = ()
    ticks: tuple[Tick, ...] = ()
    simulated: bool = False
    spreads: FloatArray | None = None


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
    `history_hours` (cells,): how far back each is known, at most the window, not above 0 where nothing is; None where
    nobody says.
    `beside`: cells that are known and shown, but no part of a value. `repositories`: by asset what its repositories
    said last, known at `repositories_at`; what they do not carry is absent.
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
    history_hours: FloatArray | None = None
    beside: tuple[int, ...] = ()
    repositories: dict[str, dict[str, float]] = {}
    repositories_at: int = NEVER


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
    `fresh` is known. `spreads` (pairs,): quoted spreads over their middle, of this slice; NaN, or None for all of
    them, where there is no quote, as in all history.
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
    spreads: FloatArray | None = None


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


class Idea(msgspec.Struct, frozen=True, gc=False):
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
