"""Importing it imports a whole run and loads every kernel of it: workers that are forked afterwards begin at once.

It is imported by the server from which `workers` are forked, and by nobody else.
"""

from __future__ import annotations

from contextlib import suppress

from ..backtesting.planted import planted_history
from ..connectors.config_files import load
from ..core.errors import MycelialError
from ..core.history import HistoryFeed
from ..core.timeframes import HOUR_MS
from ..core.types import Pair
from . import arms

_START_MS = 1_609_459_200_000  # 2021-01-01, a Friday at midnight
_BARS = 60  # so many that learners have had their first round of sharing and their first outcomes


def warm() -> arms.Walked:
    """A walk over two pairs and few bars by the shipped settings, whatever those in force are."""
    settings = load(None, None, {}, ()).settings
    history = planted_history([Pair("BTC/USDT"), Pair("ETH/USDT")], _BARS, 0.5, 6, 1, HOUR_MS, _START_MS)
    return arms.walk_arm(arms.Arm("warm", settings, 1), HistoryFeed(history))


with suppress(MycelialError):  # it is a matter of speed alone; whoever walks in earnest is told
    warm()
