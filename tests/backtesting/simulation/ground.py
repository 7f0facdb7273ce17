"""What the simulations of these tests are played with."""

from __future__ import annotations

from decimal import Decimal

from src.backtesting.simulation.market import LISTED
from src.backtesting.simulation.process import Build
from src.backtesting.simulation.run import Ground
from src.backtesting.venue.rules import VenueRules
from tests.worlds import settings

COSTS = settings().costs
RULES = VenueRules(
    LISTED,
    decimals=8,
    max_open=80,
    threshold=125.0,
    decay=2.34,
    calls=200.0,
    calls_decay=10.0,
    instant=True,
)


def ground(build: Build, *, protects: bool = False) -> Ground:
    """The usual one."""
    return Ground(build, RULES, COSTS, Decimal(10_000), 1_000, protects)
