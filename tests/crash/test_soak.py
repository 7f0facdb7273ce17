"""Live against the local exchange for five minutes with a fault every 30 s: it trades on, and nothing in it grows."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from decimal import Decimal
from pathlib import Path
from sqlite3 import connect
from threading import Event
from typing import Any, NamedTuple

import pytest

from src.connectors.control import ask
from src.connectors.embedded_valkey import EmbeddedValkey
from src.connectors.state_folder import find
from src.core.clock import Timer
from src.core.errors import NotRunning
from tests.commands.cli import Process, sound
from tests.kraken.exchange_state import OrderRow
from tests.kraken.local import LocalKraken, live
from tests.kraken.rest_server import Fault
from tests.kraken.tape import NS, Printed
from tests.worlds import settings

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(resource, "prlimit"),
    reason="shrinks a disk and counts threads as Linux does",
)
EVERY_SECONDS = 30.0
LASTS_SECONDS = 5.0
"""Of a fault that somebody has to take back."""
MOST_SECONDS = 60.0
"""From the end of a fault to an order that was filled, on a machine that does other things as well."""
LOOK_SECONDS = 0.1
PAIR, AMOUNT, PRICE = "BTC/USD", Decimal("0.01"), Decimal(50_000)
"""Of the first round trip; each is a little larger, so that none is taken for the one before."""
MORE = ("--set", "limits.max_manual_orders_day=100", "--set", "bus.backoff_cap_seconds=2")
MOST_MB = 20.0
"""From the first quiet moment to the last: what the allocator keeps of a busy minute is some of it."""
MOST_WAL_BYTES = 8 << 20


class Held(NamedTuple):
    """What the process holds at a quiet moment."""

    rss_mb: float
    threads: int
    descriptors: int
    wal_bytes: int


class Soak:
    """A run that trades at a local exchange, and everything around it that can go wrong."""

    def __init__(self, exchange: LocalKraken, server: EmbeddedValkey, process: Process) -> None:
        self.exchange, self.server, self.process = exchange, server, process
        self.timer = Timer()
        self._moves = self._trips = 0

    # --- time ----------------------------------------------------------------------------------------------------

    def trade(self) -> None:
        """The market moves: a trade that REST knows and the stream tells, but for one now and then that it loses."""
        self._moves += 1
        price, at = PRICE + Decimal(self._moves % 7 - 3) / 10, self.exchange.state.now()
        self.exchange.rest.public.tapes[PAIR].trades.append(Printed(at * NS // 1000, price, Decimal("0.1")))
        told = self.exchange.sockets.lose_trade if self._moves % 500 == 0 else self.exchange.sockets.trade
        told(PAIR, str(price), at=at)

    def status(self) -> dict[str, Any]:
        """What it answers; nothing while it is too busy to."""
        try:
            return self.process.status()
        except NotRunning:
            assert self.process.popen.poll() is None, self.process.stderr
            return {}

    def until(self, true: Callable[[dict[str, Any]], bool], seconds: float, what: str) -> float:
        """How long it took until a status was so, while the market goes on."""
        begun, nap = self.timer.seconds(), Event()
        answer: dict[str, Any] = {}
        while (took := self.timer.seconds() - begun) < seconds:
            self.trade()
            answer = self.status()
            if answer and true(answer):
                return took
            nap.wait(LOOK_SECONDS)
        shown = {name: answer.get(name) for name in ("orders", "positions", "refusals", "ledger", "bus_up", "standing")}
        raise AssertionError(f"{what}: not in {seconds} s: {shown}")

    def pass_time(self, seconds: float) -> None:
        """The market goes on, and nobody asks the process anything."""
        end, nap = self.timer.seconds() + seconds, Event()
        while self.timer.seconds() < end:
            self.trade()
            nap.wait(LOOK_SECONDS)

    # --- what the process does -----------------------------------------------------------------------------------

    def well(self) -> dict[str, Any]:
        """Wait until orders may leave; what it says then."""
        found: list[dict[str, Any]] = []

        def ready(status: dict[str, Any]) -> bool:
            found.append(status)
            return bool(status["orders"].get("ready") and status["bus_up"] and not status["ledger"]["failure"])

        self.until(ready, MOST_SECONDS, "ready")
        return found[-1]

    def round_trip(self) -> float:
        """Buy, be protected, get out; each once. Seconds until something was bought."""
        before, begun = len(self.exchange.ours()), self.timer.seconds()
        self._trips += 1
        amount = str(AMOUNT + self._trips * AMOUNT / 10)
        while not self._bought(amount):
            took = self.timer.seconds() - begun
            assert took < MOST_SECONDS, f"not traded again in {took:.0f} s: {self.status().get('refusals')}"
        took = self.timer.seconds() - begun
        self.until(lambda s: any(_is_stop(one) for one in self.exchange.ours()), MOST_SECONDS, "protected")
        assert self.tell("flatten", pair=PAIR)["ok"]
        self.until(lambda s: not s["positions"] and not s["orders"]["open"], MOST_SECONDS, "out again")
        assert [one.side for one in self.exchange.ours()[before:]].count("buy") == 1
        assert sum(one.filled if one.side == "buy" else -one.filled for one in self.exchange.ours()) == 0
        return took

    def _bought(self, amount: str) -> bool:
        """Ask for it once everything is well; an order that was refused has not left."""
        refused = sum(self.well()["refusals"].values())
        told = self.tell("order", pair=PAIR, side="buy", amount=amount)
        assert told["ok"], told
        answer: dict[str, Any] = {}

        def decided(status: dict[str, Any]) -> bool:
            answer.update(status)
            return PAIR in status["positions"] or sum(status["refusals"].values()) > refused

        self.until(decided, MOST_SECONDS, "bought or refused")
        assert answer["positions"].get(PAIR) in (None, amount)
        return PAIR in answer["positions"]

    def tell(self, command: str, **fields: Any) -> dict[str, Any]:
        """A command, and its answer."""
        return ask(find(self.process.state), command, MOST_SECONDS, **fields)

    def held(self) -> Held:
        """Memory, threads, descriptors and the write-ahead log as they are now."""
        proc = Path("/proc") / str(self.process.popen.pid)
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        wal = self.process.state / "ledger.sqlite-wal"
        return Held(
            int(status["VmRSS"].split()[0]) / 1024,
            int(status["Threads"]),
            len(list((proc / "fd").iterdir())),
            wal.stat().st_size if wal.exists() else 0,
        )

    # --- faults --------------------------------------------------------------------------------------------------

    def stream_cut(self) -> None:
        self.exchange.sockets.cut()

    def bus_stands_still(self) -> None:
        with _stopped(self.server.pid):
            self.pass_time(LASTS_SECONDS)

    def process_stands_still(self) -> None:
        with _stopped(self.process.popen.pid):
            self.pass_time(LASTS_SECONDS)

    def exchange_away(self) -> None:
        away = [Fault(name, "refuse", times=1_000) for name in ("OpenOrders", "ClosedOrders", "TradesHistory", "Time")]
        self.exchange.rest.faults.extend(away)
        self.exchange.sockets.stop_listening()
        self.pass_time(LASTS_SECONDS)
        self.exchange.rest.faults.clear()
        self.exchange.sockets.listen_again()

    def disk_full(self) -> None:
        pid = self.process.popen.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        self.pass_time(LASTS_SECONDS)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def answer_lost(self) -> None:
        self.exchange.rest.faults.append(Fault("AddOrder", "lost"))

    def bus_killed(self) -> None:
        self.server.kill()
        self.pass_time(LASTS_SECONDS)
        self.server.start()

    def ledger_locked(self) -> None:
        with closing(connect(self.process.state / "ledger.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            self.pass_time(LASTS_SECONDS)
            other.execute("ROLLBACK")

    def reports_lost_and_book_wrong(self) -> None:
        self.exchange.sockets.faults.drop_reports = 2
        self.exchange.sockets.level(PAIR, ("bids", "49999.9", "1"), flip=True)

    def maintenance(self) -> None:
        self.exchange.state.set_status("maintenance")
        self.pass_time(LASTS_SECONDS)
        self.exchange.state.set_status("online")


FAULTS = (
    Soak.stream_cut,
    Soak.bus_stands_still,
    Soak.process_stands_still,
    Soak.exchange_away,
    Soak.disk_full,
    Soak.answer_lost,
    Soak.bus_killed,
    Soak.ledger_locked,
    Soak.reports_lost_and_book_wrong,
    Soak.maintenance,
)


def _is_stop(one: OrderRow) -> bool:
    return one.ordertype.startswith("stop") and one.status == "open"


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_i09_p04_five_minutes_with_a_fault_every_thirty_seconds(tmp_path: Path) -> None:
    looks: list[Held] = []
    took: dict[str, float] = {}
    with ExitStack() as stack:
        exchange = stack.enter_context(LocalKraken())
        server = EmbeddedValkey(0, settings().bus.connect_timeout_seconds)
        stack.callback(server.close)
        process = stack.enter_context(live(exchange, tmp_path, *MORE, "--bus", server.url))
        process.until(lambda answer: answer["orders"].get("ready"))
        soak = Soak(exchange, server, process)
        soak.round_trip()
        for fault in FAULTS:
            end = soak.timer.seconds() + EVERY_SECONDS
            fault(soak)
            took[fault.__name__] = soak.round_trip()
            soak.pass_time(max(0.0, end - soak.timer.seconds()))
            looks.append(soak.held())
        assert soak.tell("stop")["ok"]
        process.result()
    first, last = looks[1], looks[-1]
    assert last.threads <= first.threads, looks
    assert last.descriptors <= first.descriptors, looks
    assert last.rss_mb - first.rss_mb <= MOST_MB, looks
    assert max(look.wal_bytes for look in looks) <= MOST_WAL_BYTES, looks
    assert sound(tmp_path / "state")
    assert max(took.values()) < MOST_SECONDS, took
