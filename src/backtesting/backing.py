"""Who stood behind the trades: ties each trade of a book to the idea it came from and sums up by agent."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path

import msgspec

from ..core import records
from ..core.clock import from_iso
from ..core.errors import DataError
from ..core.types import Stream, Trade
from .recorder import DECISIONS
from .result import EDGE_TESTED

SAYING = {
    Stream.BASELINE.value: Stream.BASELINE.value,
    Stream.MYCELIAL.value: Stream.MYCELIAL.value,
    EDGE_TESTED: Stream.MYCELIAL.value,
    Stream.SYNTHESIZED.value: "intent",
}
"""Whose ideas a book trades; the account trades collisions, which the record calls intents."""

_NEAR = 4
"""How many ideas before an entry may be the one it came from: an order fills with one of the next bars."""
_NUMBER = re.compile(r"-[0-9]+(~[0-9]+)*$")
_BUY = b'"side":"buy"'
_WANTED = (b'"kind":"idea"', b'"kind":"intent"')


class _Head(msgspec.Struct):
    """What every line has, and nothing else: the rest is read for those that were traded."""

    at: str
    kind: str
    pair: str = ""
    side: str = ""
    source: str = ""


class _Body(msgspec.Struct):
    edge: float | None = None
    horizon: int | None = None
    voters: list[str] = []
    analysts: list[str] = []
    learners: list[str] = []


class Behind(msgspec.Struct, frozen=True):
    """What stood behind a trade: its agents, and the expected log return before costs where there was one."""

    agents: tuple[str, ...]
    edge: float | None


Tied = tuple[Trade, Behind]
"""A trade and what stood behind it."""


class Contribution(msgspec.Struct, frozen=True):
    """What the trades came to that an agent (or a group) stood behind.

    `profit` in quote currency is of all of them; `share` divides each trade's profit equally among its agents, so
    that shares add up to the profit of the book. A group stands behind a trade once.
    """

    name: str
    trades: int
    wins: int
    profit: Decimal
    share: Decimal


class Ideas:
    """The buying ideas of a run by source and pair, in order of time."""

    def __init__(self, lines: Iterable[bytes] = (), place: str = DECISIONS) -> None:
        self._at: dict[tuple[str, str], list[str]] = {}
        self._lines: dict[tuple[str, str], list[bytes]] = {}
        head = msgspec.json.Decoder(_Head)
        for number, line in enumerate(lines, 1):
            if _BUY not in line or not any(kind in line for kind in _WANTED):
                continue
            try:
                one = head.decode(line)
            except msgspec.DecodeError as error:
                raise DataError(f"{place}:{number}: not a decision ({error}); run the backtest again") from error
            key = ("intent" if one.kind == "intent" else one.source, one.pair)
            self._at.setdefault(key, []).append(one.at)
            self._lines.setdefault(key, []).append(line)

    def behind(self, trade: Trade, book: str, interval_ms: int) -> Behind | None:
        """The last buying idea before a trade's entry, with a horizon that ends when the trade's does.

        None where nothing fits: it was said in an earlier run, or the book is nobody's.
        """
        key = (SAYING.get(book, ""), trade.pair)
        times = self._at.get(key, [])
        last = bisect_left(times, records.stamp(trade.entry_at))
        for place in range(last - 1, max(last - 1 - _NEAR, -1), -1):
            body = msgspec.json.decode(self._lines[key][place], type=_Body)
            if _fits(times[place], body, trade, interval_ms):
                return Behind(tuple(dict.fromkeys((*body.voters, *body.analysts, *body.learners))), body.edge)
        return None


def _fits(at: str, body: _Body, trade: Trade, interval_ms: int) -> bool:
    if body.horizon is None or trade.leave_at is None:
        return True
    return from_iso(at) + body.horizon * interval_ms == trade.leave_at


def read_ideas(folder: Path) -> Ideas | None:
    """The ideas of a run's folder; None without a record of decisions, DataError where it is damaged."""
    path = folder / DECISIONS
    try:
        with path.open("rb") as file:
            return Ideas(file, str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


@cache
def group_of(agent: str) -> str:
    """The kind of an agent: its name without its number.

    Offspring are named after their parent: `learner-code-10~2`.

    >>> group_of("learner-code-10"), group_of("learner-code-10~2"), group_of("Oracle")
    ('learner-code', 'learner-code', 'Oracle')
    """
    return _NUMBER.sub("", agent) or agent


@lru_cache(maxsize=4096)
def coalition(agents: tuple[str, ...]) -> str:
    """The kinds of agents that agreed on an entry, without their pairs, as one name; learners by their kind alone.

    >>> coalition(("analyst-BTC/USDT-1", "learner-BTC/USDT-HFT-1", "learner-code-10"))
    'HFT + analyst + code'
    """
    parts = (group_of(agent).removeprefix("learner-").split("-") for agent in agents)
    kinds = {"-".join(part for part in each if "/" not in part) for each in parts}
    return " + ".join(sorted(kinds))


def by_agent(found: Sequence[Tied], grouped: bool) -> list[Contribution]:
    """Contributions by agent, or by kind of agent, largest share first."""
    sums: dict[str, _Sums] = {}
    for trade, behind in found:
        votes = Counter(map(group_of, behind.agents) if grouped else behind.agents)
        each = trade.profit / len(behind.agents) if behind.agents else trade.profit
        for name, count in votes.items():
            sums.setdefault(name, _Sums()).add(trade.profit, each * count if count > 1 else each)
    made = [Contribution(name, row.trades, row.wins, row.profit, row.share) for name, row in sums.items()]
    return sorted(made, key=lambda one: (-one.share, one.name))


class _Sums:
    __slots__ = ("profit", "share", "trades", "wins")

    def __init__(self) -> None:
        self.trades = self.wins = 0
        self.profit = self.share = Decimal(0)

    def add(self, profit: Decimal, share: Decimal) -> None:
        self.trades += 1
        self.wins += profit > 0
        self.profit += profit
        self.share += share


def tied(
    trades: Mapping[str, Sequence[Trade]], ideas: Ideas, interval_ms: int, books: Iterable[str] = SAYING
) -> dict[str, list[Tied]]:
    """For each of the books: its trades with what stood behind them; those without an idea on record are left out."""
    found: dict[str, list[Tied]] = {}
    for book in books:
        pairs = ((trade, ideas.behind(trade, book, interval_ms)) for trade in trades.get(book, ()))
        found[book] = [(trade, behind) for trade, behind in pairs if behind is not None]
    return found


def entered(found: Iterable[Tied]) -> dict[str, str]:
    """The coalition behind the entry of each trade, by the trade's id."""
    return {trade.id: coalition(behind.agents) for trade, behind in found}
