"""The order path alone as a process that may be killed at any instant: ledger, writer, coordinator, driver.

Run as a module it imports everything once and then forks a process for every line it reads: that is what makes
thousands of lives affordable. A life tells over its socket what is durable, and nothing before it is.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Sequence
from decimal import Decimal
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from src.backtesting.simulation.market import LISTED
from src.backtesting.simulation.process import Seams
from src.commands import simulated_life
from src.connectors import ledger_file
from src.connectors.sqlite_ledger import LedgerReader, SqliteSink
from src.core.ports import Ledger, Receipt, Row
from src.core.types import Pair
from src.core.venue import Ask, ClientId, Place, VenueEvent, VenueId
from src.services.supervisor.order_states import IN_FLIGHT
from src.services.writer import Writer
from tests.crash.exchange import QUOTE, Rest, Told
from tests.worlds import settings

TREE = settings()
LEDGER = TREE.ledger


class FarVenue:
    """A `Venue` behind a socket; what it says comes with the next look."""

    name = "kraken"
    simulated = True

    def __init__(self, line: Connection) -> None:
        self._line = line
        self.told = Told(0, (), {}, (), False)
        self._events: list[VenueEvent] = []

    def look(self) -> Told:
        self._line.send(("look",))
        self.told = self._line.recv()
        self._events.extend(self.told.events)
        return self.told

    def place(self, place: Place) -> None:
        self._line.send(("place", place))

    def cancel(self, number: int, client_id: ClientId, venue_id: VenueId | None, pair: Pair) -> None:
        self._line.send(("cancel", number, client_id, venue_id, pair))

    def ask(self, number: int, ask: Ask, client_ids: Sequence[ClientId] = (), since: int | None = None) -> None:
        self._line.send(("ask", number, ask, tuple(client_ids), since))

    def events(self) -> Sequence[VenueEvent]:
        gone, self._events = self._events, []
        return gone

    def close(self) -> None:
        """Nothing."""


class _Receipt:
    """Tells that rows are durable, once they are."""

    def __init__(self, inner: Receipt, line: Connection, rows: Sequence[Row]) -> None:
        self._inner, self._line, self._rows = inner, line, rows

    def wait(self, timeout: float | None = None) -> None:
        self._inner.wait(timeout)
        self._line.send(("durable", tuple(row.key for row in self._rows)))


class TellingLedger:
    """A ledger whose durable rows are acknowledged to the other side."""

    def __init__(self, inner: Ledger, line: Connection) -> None:
        self._inner, self._line = inner, line

    def append(self, rows: Sequence[Row], durable: bool) -> Receipt:
        receipt = self._inner.append(rows, durable)
        return _Receipt(receipt, self._line, rows) if durable else receipt

    def checkpoint(self, at: int, state: bytes) -> None:
        self._inner.checkpoint(at, state)

    def close(self) -> None:
        self._inner.close()


def live(address: str, path: Path, seed: int) -> None:
    """One life, until it is killed or told to finish."""
    with Client("\0" + address, "AF_UNIX") as line:
        venue = FarVenue(line)
        venue.look()
        sink = SqliteSink(path, LEDGER, mode="paper", ledger_id="crash")
        ledger = TellingLedger(Writer(sink, LEDGER), line)
        one = simulated_life.Life(TREE, _seams(venue, ledger, _rows(path), seed))
        one.start(venue.told.now)
        _trade(one, venue, line)
        ledger.close()
        line.send(("rest", _rest(one, path)))


def _trade(one: simulated_life.Life, venue: FarVenue, line: Connection) -> None:
    said = False
    while not venue.told.finish or _leaving(one):
        told = venue.look()
        one.step(told.now)
        for order in told.wishes:
            one.take(order, told.now)
        if one.ready and not said:
            said = True
            line.send(("ready",))


def _leaving(one: simulated_life.Life) -> bool:
    """Whether an order is on its way this very moment: a stop that is refused is tried again and again."""
    orders = (one.coordinator.progress(one.coordinator.client_id(order)) for order in one.open_orders())
    return any(progress in IN_FLIGHT for progress in orders)


def _rows(path: Path) -> tuple[Row, ...]:
    return tuple(Row(row.at, row.kind, row.key, row.body) for row in LedgerReader(path, LEDGER).rows())


def _seams(venue: FarVenue, ledger: Ledger, rows: tuple[Row, ...], seed: int) -> Seams:
    return Seams(
        venue,
        ledger,
        rows,
        lambda order: "",
        seed,
        QUOTE,
        lambda: venue.told.now,
        lambda pair: venue.told.prices[pair],
        lambda pair: LISTED[pair].tick,
    )


def _rest(one: simulated_life.Life, path: Path) -> Rest:
    return Rest(
        one.ready,
        tuple(f"{pair}: {reason}" for pair, reason in one.coordinator.halted.items()),
        tuple(order.id for order in one.unknown()),
        {order.id: order.amount for order in one.open_orders()},
        {pair: Decimal(amount) for pair, amount in one.positions().items() if amount},
        tuple(fill.id for fill in one.fills()),
        one.state() == one.replayed(_rows(path)),
    )


def careless() -> None:
    """Plants a fault: commits are acknowledged before they are on disk."""
    prepare = ledger_file._prepare

    def without_sync(connection: sqlite3.Connection, write: bool) -> None:
        prepare(connection, write)
        connection.execute("PRAGMA synchronous=NORMAL")

    ledger_file._prepare = without_sync


class _OutOfOrder:
    """Plants a fault: an order leaves before its intent is written at all."""

    def wait(self, timeout: float | None = None) -> None:
        """Nobody waits."""


def hasty() -> None:
    """Plants a fault: nobody waits for the disk, neither with an order nor with a word about it."""
    TellingLedger.append = lambda self, rows, durable: self._inner.append(rows, False) and _OutOfOrder()  # type: ignore[method-assign]


PLANTED: dict[str, Any] = {"": lambda: None, "careless": careless, "hasty": hasty}


def main(address: str) -> None:
    """A life for every line: ledger, seed, planted fault; answers its process id."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        path, seed, planted = line.rstrip("\n").split("\t")
        pid = os.fork()
        if pid == 0:
            PLANTED[planted]()
            live(address, Path(path), int(seed))
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
