"""What must hold in every slice, whatever the market does; each is one function that names what is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec
import numpy as np

from ...core.clock import iso
from ...core.config import Settings
from ...core.engine import Report
from ...core.leaving import STOPPED
from ...core.portfolio import money
from ...core.ports import Ledger, Receipt, Row
from ...core.traces import REVIEW
from ...core.types import Order, OrderKind, Side, Slice
from .books import Books

_EPSILON = Decimal("1e-9")
"""Of a ratio that agents see as a float."""
_STOP = "-stop"
"""How the exchange calls the stop of an order: by the order's id and this."""


class Limits(msgspec.Struct, frozen=True):
    """What the account may do, from its settings."""

    max_drawdown: Decimal
    max_age_ms: int
    volume_share: Decimal
    step: Decimal


class Seen(msgspec.Struct, frozen=True):
    """One slice as it is judged: what came, what was made of it, the other books, and what is open afterwards."""

    slice_: Slice
    report: Report
    before: Report | None
    drawdown_before: Decimal
    books: Books
    open_orders: Sequence[Order]
    approved: frozenset[str]
    limits: Limits


class Violation(msgspec.Struct, frozen=True):
    """The first slice in which an invariant was broken, and how."""

    invariant: str
    at: str
    says: str


def cash_not_negative(seen: Seen) -> str:
    """The account never spends what it has not."""
    return f"cash is {seen.report.cash}" if seen.report.cash < 0 else ""


def cash_is_the_sum_of_fills(seen: Seen) -> str:
    """Start, less what was bought, plus what was sold, less fees and slippage; to the last decimal."""
    return "" if seen.report.cash == seen.books.cash else f"cash is {seen.report.cash}, fills give {seen.books.cash}"


def equity_is_cash_and_positions(seen: Seen) -> str:
    """Holdings at their last closes; to the last decimal."""
    own = seen.books.equity
    return "" if seen.report.equity == own else f"equity is {seen.report.equity}, cash and positions are {own}"


def no_entry_while_halted(seen: Seen) -> str:
    """Nothing is bought, and no entry that waited is filled, once entries are halted."""
    if not seen.report.halted:
        return ""
    bought = [order.pair for order in seen.report.orders if order.side is Side.BUY]
    if seen.before is not None and seen.before.halted:
        bought += [fill.pair for fill in seen.report.fills if fill.side is Side.BUY]
    return f"bought {', '.join(bought)} while halted: {seen.report.halted}" if bought else ""


def drawdown_halts(seen: Seen) -> str:
    """The slice after the one in which the limit was reached is halted."""
    if seen.drawdown_before < seen.limits.max_drawdown + _EPSILON or seen.report.halted:
        return ""
    return f"drawdown was {seen.drawdown_before:.4f}, the limit is {seen.limits.max_drawdown}, and nothing is halted"


def stop_leaves_at_its_price(seen: Seen) -> str:
    """At the stop, and at the open where the bar opens below it: never better than the market was."""
    wrong = [one for one in seen.books.stop_fills if one.fill.price != one.due]
    return "; ".join(f"{one.fill.pair} left at {one.fill.price} instead of {one.due}" for one in wrong)


def stop_is_honoured(seen: Seen) -> str:
    """A bar that goes through a stop sells, as far as it has volume."""
    return f"{', '.join(seen.books.missed)} went through the stop and is still held" if seen.books.missed else ""


def fills_inside_the_bar(seen: Seen) -> str:
    """Every execution is at a price that was traded in that very bar."""
    bars = seen.slice_.bars
    for fill in seen.report.fills:
        place = -1 if bars is None else bars.pairs.index(fill.pair)
        if bars is None or not bars.present[place]:
            return f"{fill.pair} was filled without a bar"
        low, high = money(float(bars.low[place])), money(float(bars.high[place]))
        if not low <= fill.price <= high:
            return f"{fill.pair} was filled at {fill.price}, the bar went from {low} to {high}"
    return ""


def one_position_a_pair(seen: Seen) -> str:
    """Nothing is bought that is held or being bought, and no holding is negative."""
    short = [pair for pair, amount in seen.books.held.items() if amount < 0]
    waiting = Counter(order.pair for order in seen.open_orders if order.side is Side.BUY)
    twice = [pair for pair, count in waiting.items() if count > 1]
    again = [o.pair for o in seen.report.orders if o.side is Side.BUY and o.pair in seen.books.held]
    wrong = sorted({*short, *twice, *again})
    return f"{', '.join(wrong)}: more than one position, or less than none" if wrong else ""


def no_entry_on_stale_data(seen: Seen) -> str:
    """What is bought has a bar that is young enough."""
    for order in seen.report.orders:
        last = seen.books.seen_at.get(order.pair)
        if order.side is Side.BUY and (last is None or seen.slice_.at - last > seen.limits.max_age_ms):
            return f"{order.pair} was bought, its last bar is of {'never' if last is None else iso(last)}"
    return ""


def volume_share_kept(seen: Seen) -> str:
    """All fills of a pair together take at most their share of the bar's volume."""
    bars = seen.slice_.bars
    taken: dict[str, Decimal] = {}
    for fill in seen.report.fills:
        taken[fill.pair] = taken.get(fill.pair, Decimal(0)) + fill.amount
    for place, pair in enumerate(() if bars is None else bars.pairs):
        if pair in taken and bars is not None:
            room = money(float(bars.volume[place])) * seen.limits.volume_share
            if taken[pair] > room:
                return f"{pair}: {taken[pair]} were filled, the share of the volume is {room}"
    return ""


def approved_and_written_first(seen: Seen) -> str:
    """Whatever is open or filled passed the gate and stood in the ledger before."""
    ids = {str(fill.order_id) for fill in seen.report.fills}
    ids |= {str(order.id) for order in seen.open_orders if order.kind is OrderKind.MARKET}
    unknown = sorted(name for name in ids if name.removesuffix(_STOP) not in seen.approved)
    return f"not approved, or not written down before: {', '.join(unknown)}" if unknown else ""


def figures_are_finite(seen: Seen) -> str:
    """What agents look at is a number or not known, never infinite; a fresh close is a price."""
    snapshot = seen.report.snapshot
    for name in ("features", "indicators", "volatility"):
        if np.isinf(getattr(snapshot, name)).any():
            return f"{name} are infinite"
    close = snapshot.close[snapshot.fresh]
    return "" if np.isfinite(close).all() and (close > 0).all() else "a fresh close is no price"


def nobody_fails(seen: Seen) -> str:
    """No agent raises, and none is quarantined."""
    wrong = [line for line in seen.report.decisions if line.kind in ("fault", "quarantine")]
    return "; ".join(f"{line.source}: {line.reason}" for line in wrong)


INVARIANTS: tuple[Callable[[Seen], str], ...] = (
    cash_not_negative,
    cash_is_the_sum_of_fills,
    equity_is_cash_and_positions,
    no_entry_while_halted,
    drawdown_halts,
    stop_leaves_at_its_price,
    stop_is_honoured,
    fills_inside_the_bar,
    one_position_a_pair,
    no_entry_on_stale_data,
    volume_share_kept,
    approved_and_written_first,
    figures_are_finite,
    nobody_fails,
)
"""Checked in every slice, in this order."""


class Witness:
    """A ledger that remembers which orders were written down and approved, and hands everything on."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._written: set[str] = set()
        self._approved: set[str] = set()

    @property
    def approved(self) -> frozenset[str]:
        """Ids of orders that are in the ledger, and whose review did not object."""
        return frozenset(self._written & self._approved)

    def append(self, rows: Sequence[Row], durable: bool) -> Receipt:
        """Hand on; look at orders and reviews."""
        for row in rows:
            if row.kind == "order" and durable and b'"side"' in row.body:
                self._written.add(str(msgspec.json.decode(row.body)["id"]))
            elif row.kind == REVIEW:
                body = msgspec.json.decode(row.body)
                if not body["denied"]:
                    self._approved.add(str(body["order"]["id"]))
        return self._ledger.append(rows, durable)

    def checkpoint(self, at: int, state: bytes) -> None:
        """Hand on."""
        self._ledger.checkpoint(at, state)

    def close(self) -> None:
        """Hand on."""
        self._ledger.close()


class Watch:
    """Judges slice by slice; of each invariant the first violation is kept."""

    def __init__(self, settings: Settings, interval_ms: int, witness: Witness) -> None:
        self.books = Books(settings.account.start_quote)
        self.violations: dict[str, Violation] = {}
        self.slices = self.halts = self.stops = 0
        self.worst = Decimal(0)
        self._limits = _limits(settings, interval_ms)
        self._witness = witness
        self._before: Report | None = None
        self._drawdown = Decimal(0)

    def take(self, slice_: Slice, report: Report, open_orders: Sequence[Order]) -> None:
        """One slice and what came of it; `open_orders` are those at the exchange afterwards."""
        self.books.take(slice_, report, self._limits.step, self._limits.volume_share)
        seen = Seen(
            slice_, report, self._before, self._drawdown, self.books, open_orders, self._witness.approved, self._limits
        )
        for invariant in INVARIANTS:
            if says := invariant(seen):
                self.broken(invariant.__name__, slice_.at, says)
        self.slices += 1
        self.stops += sum(fill.reason == STOPPED for fill in report.fills)
        self.halts += bool(report.halted) and not (self._before is not None and self._before.halted)
        self._before, self._drawdown = report, self.books.drawdown
        self.worst = max(self.worst, self._drawdown)

    def broken(self, invariant: str, at: int, says: str) -> None:
        """Keep the first violation of each."""
        self.violations.setdefault(invariant, Violation(invariant, iso(at), says))


def _limits(settings: Settings, interval_ms: int) -> Limits:
    return Limits(
        Decimal(repr(settings.risk.max_drawdown_ratio)),
        settings.risk.max_data_age_intervals * interval_ms,
        settings.exchange.max_volume_ratio,
        Decimal(1).scaleb(-settings.account.amount_decimals),
    )
