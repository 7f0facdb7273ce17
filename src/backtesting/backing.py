"""Who stood behind the trades: ties each trade of a book to the idea it came from and sums up by agent."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
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


def group_of(agent: str) -> str:
    """The kind of an agent: its name without its number.

    Offspring are named after their parent: `learner-code-10~2`.

    >>> group_of("learner-code-10"), group_of("learner-code-10~2"), group_of("Oracle")
    ('learner-code', 'learner-code', 'Oracle')
    """
    return _NUMBER.sub("", agent) or agent


def coalition(agents: Sequence[str]) -> str:
    """The kinds of agents that agreed on an entry, without their pairs, as one name.

    >>> coalition(["analyst-BTC/USDT-1", "learner-code-10", "learner-code-2"])
    'analyst + learner-code'
    """
    kinds = {"-".join(part for part in group_of(agent).split("-") if "/" not in part) for agent in agents}
    return " + ".join(sorted(kinds))


def by_agent(found: Sequence[tuple[Trade, Behind]], grouped: bool) -> list[Contribution]:
    """Contributions by agent, or by kind of agent, largest share first."""
    sums: dict[str, list[Decimal]] = {}
    for trade, behind in found:
        seen: dict[str, int] = {}
        for agent in behind.agents:
            name = group_of(agent) if grouped else agent
            seen[name] = seen.get(name, 0) + 1
        for name, votes in seen.items():
            _add(sums, name, trade.profit, trade.profit * votes / len(behind.agents))
    made = [Contribution(name, int(row[0]), int(row[1]), row[2], row[3]) for name, row in sums.items()]
    return sorted(made, key=lambda one: (-one.share, one.name))


def _add(sums: dict[str, list[Decimal]], name: str, profit: Decimal, share: Decimal) -> None:
    row = sums.setdefault(name, [Decimal(0)] * 4)
    for place, value in enumerate((Decimal(1), Decimal(profit > 0), profit, share)):
        row[place] += value


def tied(
    trades: Mapping[str, Sequence[Trade]], ideas: Ideas, interval_ms: int
) -> dict[str, list[tuple[Trade, Behind]]]:
    """For each book that trades ideas: its trades with what stood behind them; those without are left out."""
    found: dict[str, list[tuple[Trade, Behind]]] = {}
    for book in SAYING:
        pairs = ((trade, ideas.behind(trade, book, interval_ms)) for trade in trades.get(book, ()))
        found[book] = [(trade, behind) for trade, behind in pairs if behind is not None]
    return found
