"""Live trading around a session: the start-up step by step, what happens between slices, and who may send when."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from threading import Event

from ..connectors.ledger_anchor import anchors_of
from ..core import records
from ..core.config import Settings
from ..core.engine import Report
from ..core.errors import InvariantError, SourceError
from ..core.ports import Ledger
from ..core.types import Order, Pair, Side
from ..services.gate import RiskGate
from ..services.kill_switch import KillSwitch
from ..services.limits import Watch
from ..services.limits_shown import shown_limits
from ..services.runner import Runner
from ..services.supervisor.live import LiveBroker, Phase
from ..wiring import House, namespace
from ..wiring_live import account_of, live_broker
from . import common
from .auditing import Audit, sound
from .exchange_feed import ExchangeFeed

STEPS = (
    "state folder locked, one process",
    "settings, limits and verdict agree",
    "ledger: hash chain, fills and cash",
    "kill switch",
    "key, pairs and status of the exchange",
    "history and the gap",
    "private stream",
    "orders, executions and balances reconciled",
    "READY",
)
"""The start-up order, which is that after a crash, too."""


class Trading:
    """What `run --mode live` has besides a session on paper. `path` builds the broker, `arm` lets it send."""

    def __init__(
        self, settings: Settings, feed: ExchangeFeed, folder: Path, ledger: Ledger, path: Path, seed: int, verdict: Path
    ) -> None:
        self._settings, self._feed, self._ledger, self._seed = settings, feed, ledger, seed
        self._house: House | None = None
        self._switch: KillSwitch | None = None
        self._broker: LiveBroker | None = None
        self._audit: Audit | None = None
        self.runner: Runner | None = None
        feed.patient = True
        self._say(1, str(folder))
        self._say(2, str(verdict))
        self._path, self._anchors = path, anchors_of(path, settings.ledger.anchor_folder)
        self._say(3, sound(path, self._anchors, feed.clock.now_ms()))
        statuses = lambda: () if feed.market is None else feed.market.public.statuses()  # noqa: E731
        self._parts = account_of(settings, folder, path, feed.clock, feed.ports(), statuses)
        self._parts.account.trades(feed.pairs)

    def open(self) -> None:
        """Ask about the key once; ConfigError where it must not be used. Whoever does not answer is asked again."""
        account = self._parts.account
        try:
            account.open()
        except SourceError as error:
            common.say(f"NOT READY: {error}; it stays up and tries on, nothing is sent")
        else:
            self._say(5, f"key ...{account.tail} may trade and not withdraw")

    def path(self, gate: RiskGate, watch: Watch) -> LiveBroker:
        """The broker of the account."""
        name = namespace(self._seed, "orders")
        self._broker = live_broker(
            self._settings, self._parts, self._ledger, name, gate, watch, common.say, self._changed
        )  # fmt: skip
        looked_at = (self._path, self._anchors, self._broker, self._feed.clock, self._feed.timer)
        self._audit = Audit(self._settings, *looked_at)
        return self._broker

    @property
    def broker(self) -> LiveBroker:
        """The broker, once it was built."""
        if self._broker is None:
            raise InvariantError("the broker of the live account was not built")
        return self._broker

    def recover(self, house: House, fresh: bool) -> None:
        """Before slices are walked again. `fresh`: there is no checkpoint, the portfolio has no fill yet."""
        self._house = house
        if fresh:
            self.broker.restore({"delivered": 0, "waiting": []})

    def arm(self, switch: KillSwitch) -> None:
        """From here on orders can leave, each past the kill switch."""
        self._switch, broker = switch, self.broker
        self._parts.account.guarded_by(switch.send)
        broker.guard = self._may_send
        broker.thrown = lambda pair: switch.thrown(pair) is not None
        throw = switch.thrown()
        self._say(4, "active" if throw is None else f"{throw.level}: {throw.reason} ({throw.source})")

    def _may_send(self, order: Order) -> str:
        """Of the kill switch, and for entries of the market data of this moment."""
        why = "" if self._switch is None else self._switch.may_send(order)
        if why or order.side is Side.SELL:
            return why
        return "stale_data" if self._stale(order.pair) else ""

    def _stale(self, pair: Pair) -> bool:
        market = self._feed.market
        return market is None or bool(market.public.stream.troubles()) or pair in market.public.market.troubles()

    # --- the spine's thread --------------------------------------------------------------------------------------

    def beat(self) -> bool:
        """Between slices; whether one should come now."""
        broker = self.broker
        broker.wake()
        if self._audit is not None:
            self._audit.beat()
        return broker.beat()

    def after(self, report: Report) -> None:
        """After a slice: its state is kept, then what it decided leaves."""
        if report.at <= self._feed.history_ends:
            self._parts.account.hear()
            return
        if self.runner is not None:
            self.runner.save()
        self.broker.release()

    def close(self) -> None:
        """Leave the exchange once nothing is under way there; what rests there goes on resting, and is told."""
        try:
            if self._broker is not None and self._broker.phase in (Phase.ASKING, Phase.TRADING):
                self._settle(self._broker)
        finally:
            if self._audit is not None:
                self._audit.close()
            self._parts.account.close()

    def _settle(self, broker: LiveBroker) -> None:
        """Nothing is begun any more but what protects; what was begun gets its time to come to an end."""
        timer, never = self._feed.timer, Event()
        broker.ending, ends_s = True, timer.seconds() + self._settings.execution.settle_seconds
        broker.beat()
        while not broker.at_rest and timer.seconds() < ends_s:
            timer.wait(never, self._settings.kraken.streams.connection.check_seconds)
            broker.beat()
        for line in broker.left():
            common.say(f"left at the exchange: {line}")

    # --- telling -------------------------------------------------------------------------------------------------

    def _say(self, step: int, detail: str) -> None:
        common.say(f"start-up {step}/{len(STEPS)} {STEPS[step - 1]}: {detail}")

    def _changed(self, phase: Phase) -> None:
        if phase is Phase.OPENING:
            self._say(6, f"walked; live from here on with {len(self._feed.pairs)} pairs")
        elif phase is Phase.ASKING:
            self._say(7, "complete")
        elif phase is Phase.TRADING:
            coordinator = self.broker.coordinator
            self._say(
                8, f"{len(coordinator.open_orders())} open orders, clocks differ by {coordinator.clock_offset} ms"
            )
            self._say(9, "orders may leave")
            for line in self._banner():
                common.say(line)

    def _banner(self) -> list[str]:
        """What is at stake, for whoever started it."""
        house = self._house
        if house is None:
            return []
        desk, waiting = house.desk, len(self.broker.coordinator.open_orders())
        figures = (desk.portfolio.positions, waiting, desk.equity, desk.peak_equity)
        limits = shown_limits(house.watch, self._settings.risk, *figures)
        most = Decimal(str(self._settings.limits.max_daily_loss_ratio)) * desk.equity
        held = ", ".join(f"{pair} {records.plain(p.amount)}" for pair, p in sorted(desk.portfolio.positions.items()))
        quotes = sorted({pair.partition("/")[2] for pair in self._feed.pairs})
        there = ", ".join(f"{records.plain(self._parts.account.balances.get(q, Decimal(0)))} {q}" for q in quotes)
        return [
            "=" * _WIDE,
            f"MODE LIVE: REAL MONEY. Account kraken, key ...{self._parts.account.tail}",
            f"cash of the books {records.plain(desk.portfolio.cash)}, at the exchange {there}",
            f"open positions: {held or 'none'}; open orders: {waiting}",
            *self._dead_man(),
            f"at most {records.plain(most.quantize(Decimal('0.01')))} may be lost a day, then nothing more is bought",
            "limits: " + ", ".join(f"{name} {row['limit']}" for name, row in limits.items()),
            "=" * _WIDE,
        ]

    def _dead_man(self) -> list[str]:
        seconds = self._settings.kraken.dead_man_seconds
        return [] if seconds is None else [f"silent for {seconds} s: the exchange cancels ALL orders, stops as well"]


_WIDE = 78
