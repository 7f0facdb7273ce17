"""Asks Kraken for orders, executions, balances and time, page by page, never faster than the budget allows."""

from __future__ import annotations

from collections.abc import Callable, Generator
from decimal import Decimal
from typing import Any

from ...core.config_venues import KrakenSettings
from ...core.errors import Malformed
from ...core.venue import Answered, Ask, ClientId, VenueId
from ..venues.owners import Owners
from .budget import Budget
from .offset import Offset
from .orders import execution_of, order_of
from .rest import KrakenRest
from .symbols import Symbols, asset_of

type Steps[T] = Generator[float, None, T]
"""Yields seconds to wait before the next call, and returns what came of all of them."""

_URGENT = frozenset({Ask.OPEN_ORDERS, Ask.CLOSED_ORDERS})
"""What decides about orders; the rest has time."""
_AT_ONCE = 50  # order ids that QueryOrders takes, and rows on a page


class Questions:
    """Each question is a generator; between two calls others may speak."""

    def __init__(
        self,
        rest: KrakenRest,
        budget: Budget,
        owners: Owners,
        offset: Offset,
        settings: KrakenSettings,
        now: Callable[[], int],
        ticks: Callable[[], int],
    ) -> None:
        self._rest, self._budget, self._owners, self._settings = rest, budget, owners, settings
        self._offset, self._now, self._ticks = offset, now, ticks

    def answer(
        self, number: int, ask: Ask, client_ids: tuple[ClientId, ...], since: int | None, symbols: Symbols
    ) -> Steps[Answered]:
        """The whole answer; its first call has been counted by `turn`. Raises what `KrakenRest` raises."""
        match ask:
            case Ask.TIME:
                yield self._settings.budget.public_interval_seconds
                return self._time(number)
            case Ask.BALANCES:
                return Answered(ask, number, self._now(), balances=_balances(self._rest.balances()))
            case Ask.EXECUTIONS:
                return (yield from self._executions(number, client_ids, since, symbols))
            case Ask.OPEN_ORDERS:
                rows = self._rest.open_orders({"cl_ord_id": client_ids[0]} if len(client_ids) == 1 else {})
            case Ask.CLOSED_ORDERS:
                rows = yield from self._closed(client_ids, since)
        orders = tuple(order_of(txid, row, symbols) for txid, row in rows.items())
        for order in orders:
            self._owners.learn(order.venue_id, order.client_id, order.opened_at)
        mine = tuple(order for order in orders if not client_ids or order.client_id in client_ids)
        return Answered(ask, number, self._now(), orders=mine)

    def turn(self, ask: Ask = Ask.OPEN_ORDERS) -> Steps[None]:
        """Wait until the budget has room for one call of a kind, and count it."""
        history = ask is Ask.EXECUTIONS
        while (wait := self._budget.call(self._ticks(), history, ask in _URGENT)) > 0.0:
            yield wait

    def row_of(self, client_id: ClientId, venue_id: VenueId | None) -> Steps[dict[str, Any]]:
        """The row of one order, open or closed, by whichever id there is."""
        yield from self.turn()
        if venue_id:
            return self._rest.query_orders([venue_id])
        return self._rest.closed_orders({"cl_ord_id": client_id})[0]

    def _time(self, number: int) -> Answered:
        before = self._now()
        second = self._rest.time()
        after = self._now()
        at = (before + after) // 2
        return Answered(Ask.TIME, number, at, venue_now=at + self._offset.learn(second, before, after))

    def _closed(self, client_ids: tuple[ClientId, ...], since: int | None) -> Steps[dict[str, Any]]:
        if not client_ids:
            return (yield from self._pages(self._rest.closed_orders, since, Ask.CLOSED_ORDERS))
        found: dict[str, Any] = {}
        for place, client_id in enumerate(client_ids):
            if place:
                yield from self.turn()
            found |= self._rest.closed_orders({"cl_ord_id": client_id})[0]
        return found

    def _executions(
        self, number: int, client_ids: tuple[ClientId, ...], since: int | None, symbols: Symbols
    ) -> Steps[Answered]:
        rows = yield from self._pages(self._rest.trades_history, since, Ask.EXECUTIONS)
        yield from self._meet({VenueId(str(row.get("ordertxid"))) for row in rows.values()}, symbols)
        found = [
            execution_of(trade_id, row, symbols, self._owners.of(VenueId(str(row.get("ordertxid")))) or ClientId(""))
            for trade_id, row in rows.items()
        ]
        found.sort(key=lambda one: (one.at, one.execution_id))
        mine = tuple(one for one in found if not client_ids or one.client_id in client_ids)
        return Answered(Ask.EXECUTIONS, number, self._now(), executions=mine)

    def _meet(self, venue_ids: set[VenueId], symbols: Symbols) -> Steps[None]:
        """Learn whose orders those are that were never seen."""
        strange = sorted(one for one in venue_ids if self._owners.of(one) is None)
        for first in range(0, len(strange), _AT_ONCE):
            yield from self.turn()
            for txid, row in self._rest.query_orders(strange[first : first + _AT_ONCE]).items():
                order = order_of(txid, row, symbols)
                self._owners.learn(order.venue_id, order.client_id, order.opened_at)

    def _pages(
        self, page: Callable[[dict[str, str]], tuple[dict[str, Any], int]], since: int | None, ask: Ask
    ) -> Steps[dict[str, Any]]:
        """All pages since a time. What happens meanwhile moves rows to later pages: they come twice, none is missed."""
        start = {} if since is None else {"start": str(max(0, since // 1000 - 1))}
        found: dict[str, Any] = {}
        for number in range(self._settings.rest.max_pages):
            if number:
                yield from self.turn(ask)
            rows, count = page({**start, "ofs": str(number * _AT_ONCE)})
            found |= rows
            if not rows or len(found) >= count:
                return found
        raise Malformed(f"kraken: more than {self._settings.rest.max_pages} pages; ask since a later time")


def _balances(amounts: dict[str, Decimal]) -> tuple[tuple[str, Decimal], ...]:
    """By asset, all forms of one together; a code that is in no table keeps its name."""
    found: dict[str, Decimal] = {}
    for code, amount in amounts.items():
        try:
            asset = asset_of(code)
        except Malformed:
            asset = code
        found[asset] = found.get(asset, Decimal(0)) + amount
    return tuple(sorted(found.items()))
