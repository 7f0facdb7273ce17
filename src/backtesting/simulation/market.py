"""Prices of a run: a walk that sometimes gaps, with room for so much and no more."""

from __future__ import annotations

from decimal import Decimal

from ...core.portfolio import money
from ...core.types import Pair
from ..simulated_kraken import SimulatedKraken
from ..venue.matching import Span
from ..venue.rules import PairRules
from .draws import Draws
from .schedule import OPENING, PAIRS
from .world import World

EVERY_MS = 2_000
STEP_RATIO = 0.006
GAP_RATIO = 0.92
ROOM_QUOTE = 4_000.0
DIGITS = 6
"""Significant ones of an amount: enough that nothing is round."""
LISTED = {
    PAIRS[0]: PairRules(Decimal("0.0001"), Decimal("0.5"), Decimal("0.1")),
    PAIRS[1]: PairRules(Decimal("0.002"), Decimal("0.5"), Decimal("0.01")),
    PAIRS[2]: PairRules(Decimal(4), Decimal("0.5"), Decimal("0.000001")),
}
"""Least amount, least cost and step of prices, as such pairs have them."""


def stepped(pair: Pair, price: Decimal) -> Decimal:
    """A price cut to the step of its pair."""
    tick = LISTED[pair].tick
    return price // tick * tick


class SimulatedTicks:
    """Moves the market of every pair, each in its turn. `thin`: how many times less room there is than usual.

    `closed`: nothing moves any more, so that what was said last can arrive before both sides are compared.
    """

    def __init__(self, world: World, kraken: SimulatedKraken, draws: Draws) -> None:
        self._world = world
        self._kraken = kraken
        self._draws = draws
        self._prices = dict(OPENING)
        self.thin = 1
        self.closed = False
        for place, pair in enumerate(PAIRS):
            world.after(place * EVERY_MS // len(PAIRS), lambda pair=pair: self._tick(pair))  # type: ignore[misc]

    def price(self, pair: Pair) -> Decimal:
        """The last one (quote currency)."""
        return stepped(pair, money(self._prices[pair]))

    def gap(self, pair: Pair) -> None:
        """The price falls through whatever rests below it."""
        self._prices[pair] *= GAP_RATIO
        self._show(pair)

    def _tick(self, pair: Pair) -> None:
        if self.closed:
            return
        self._prices[pair] *= 1.0 + STEP_RATIO * (self._draws.ratio() - 0.5)
        self._show(pair)
        self._world.after(EVERY_MS, lambda: self._tick(pair))

    def _show(self, pair: Pair) -> None:
        price = self.price(pair)
        room = money(_rounded(self._draws.ratio() * ROOM_QUOTE / self.thin / float(price)))
        self._kraken.trade(Span(pair, self._world.now + self._kraken.skew_ms, price, price, price, room))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
