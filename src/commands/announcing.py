"""Says what happens in a run: each line to the log with what belongs together, and what matters to people as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from structlog.stdlib import BoundLogger

from ..connectors.discord import Notice, Severity
from ..core import records
from ..core.engine import Report
from ..core.timeframes import DAY_MS
from ..core.types import Decision, Stream, Trade
from ..services.writer import Writer
from ..wiring import House

ALARM = "alarm"
"""The kind of decisions that call a person."""
_SHOWN = 300
"""Characters of a reason in a message to people."""
_CENT = Decimal("0.01")

Tell = Callable[[Notice], None]


class Announcer:
    """An observer of Reports. Slices up to `history_ends` (UTC ms) are history: they are logged and told to nobody.

    A message to people names ratios, never how large the account is.
    """

    def __init__(
        self,
        house: House,
        ledger: Writer,
        logger: BoundLogger,
        tell: Tell,
        title: str,
        history_ends: int,
        alarmed: Callable[[str], None],
    ) -> None:
        self._house, self._ledger, self._logger, self._tell_people = house, ledger, logger, tell
        self._title, self._history_ends, self._alarmed = title, history_ends, alarmed
        self._halted, self._bus_up = house.engine.halted, True
        self._failure: str | None = None
        self._out: frozenset[str] = frozenset(house.model.quarantined)
        self._day: int | None = None
        self._day_equity = self._equity = Decimal(0)
        self._profits: list[Decimal] = []
        self._past = True
        self._recalled: int | None = None
        self._owed = ""

    def __call__(self, report: Report) -> None:
        """Everything that is new with this slice."""
        self._past = report.at <= self._history_ends
        if self._owed and not self._past:
            self._tell("daily", Severity.INFO, self._owed, "daily")
            self._owed = ""
        if report.halted != self._halted:
            self._on_halt(report)
        if report.bus_up is not self._bus_up:
            self._on_bus(report)
        if self._ledger.failure != self._failure:
            self._on_ledger(report)
        if len(self._house.model.quarantined) != len(self._out):
            self._on_quarantine(report)
        if report.orders or report.fills or report.trades:
            self._log_orders(report)
        for decision in report.decisions:
            if decision.kind == ALARM:
                self._on_alarm(decision)
        self._on_day(report)

    def recall(self, at: int, begun: Decimal, trades: Iterable[Trade]) -> None:
        """An earlier life ended at `at` (UTC ms): its day goes on. `begun` is the equity with which that day began.

        `trades` are those of earlier lives. The account is as it was left.
        """
        self._day = self._recalled = at // DAY_MS
        self._day_equity, self._equity = begun, self._house.desk.equity
        own = (trade for trade in trades if trade.stream is Stream.SYNTHESIZED)
        self._profits = [trade.profit for trade in own if trade.exit_at // DAY_MS == self._day]

    def note(self, text: str) -> None:
        """A line of the log for what a person was told on the screen."""
        self._logger.info(text)

    # --- what is new ---------------------------------------------------------------------------------------------

    def _on_halt(self, report: Report) -> None:
        self._halted = report.halted
        if report.halted:
            self._logger.warning("halted", at=records.stamp(report.at), reason=report.halted)
            self._tell("halts", Severity.CRITICAL, f"HALTED: {report.halted}", f"halted:{report.halted}", "halt")
        else:
            self._logger.warning("resumed", at=records.stamp(report.at))
            self._tell("halts", Severity.INFO, "resumed: entries are possible again", f"resumed:{report.at}", "halt")

    def _on_bus(self, report: Report) -> None:
        self._bus_up = report.bus_up
        text = "the bus is up again" if report.bus_up else "the bus is down: no new entries"
        self._logger.warning(text, at=records.stamp(report.at))
        severity = Severity.INFO if report.bus_up else Severity.WARNING
        self._tell("faults", severity, text, f"bus:{report.bus_up}", "bus")

    def _on_ledger(self, report: Report) -> None:
        failure, before = self._ledger.failure, self._failure
        self._failure = failure
        if failure is None:
            self._logger.warning("the ledger is written again", at=records.stamp(report.at))
            self._tell("faults", Severity.INFO, "the ledger is written again", "ledger:ok", "ledger")
        elif before is None:
            self._logger.error("the ledger cannot be written", at=records.stamp(report.at), reason=failure)
            self._tell(
                "faults", Severity.CRITICAL, f"the ledger cannot be written: {failure}", "ledger:failed", "ledger"
            )

    def _on_quarantine(self, report: Report) -> None:
        out = dict(self._house.model.quarantined)
        for name in sorted(out.keys() - self._out):
            self._logger.error("agent quarantined", at=records.stamp(report.at), agent=name, reason=out[name])
            self._tell("faults", Severity.WARNING, f"agent {name} was taken out: {out[name]}", f"agent:{name}")
        self._out = frozenset(out)

    def _on_alarm(self, decision: Decision) -> None:
        code, detail = decision.reason or ALARM, str(decision.detail.get("says", decision.source or ""))
        at, pair = records.stamp(decision.at), decision.pair
        self._alarmed(code)
        self._logger.error("alarm", at=at, code=code, pair=pair, text=detail)
        where = f" of {pair}" if pair else ""
        self._tell("alarms", Severity.CRITICAL, f"ALARM {code}{where}: {detail}", f"alarm:{code}:{pair}")

    def _log_orders(self, report: Report) -> None:
        for order in report.orders:
            self._logger.info("order", **records.order_fields(order) | {"order": order.id})
        for fill in report.fills:
            self._logger.info("fill", **records.fill_fields(fill) | {"order": fill.order_id})
        for trade in report.trades:
            if trade.stream is Stream.SYNTHESIZED:
                self._profits.append(trade.profit)
                self._logger.info("trade", **records.trade_fields(trade))

    def _on_day(self, report: Report) -> None:
        """With the first slice of a new UTC day: what the day before came to."""
        day = report.at // DAY_MS
        if day != self._day:
            if self._day is not None:
                self._summary(self._day)
            self._day, self._day_equity, self._profits = day, self._equity or report.equity, []
        self._equity = report.equity

    def _summary(self, day: int) -> None:
        profits, wins = self._profits, sum(profit > 0 for profit in self._profits)
        change = self._equity / self._day_equity - 1 if self._day_equity > 0 else Decimal(0)
        peak = self._house.desk.peak_equity
        drawdown = max(Decimal(0), 1 - self._equity / peak) if peak > 0 else Decimal(0)
        text = (
            f"{records.stamp(day * DAY_MS)[:10]}: {_percent(change)} %, {len(profits)} trades, {wins} won, "
            f"drawdown {_percent(drawdown)} %, {len(self._house.desk.portfolio.positions)} open, "
            f"{len(self._out)} agents out" + (f", HALTED: {self._halted}" if self._halted else "")
        )
        self._logger.info("day", day=records.stamp(day * DAY_MS)[:10], text=text)
        if self._past and day == self._recalled:  # it ended while nobody was there, and people still wait for it
            self._owed = text
        else:
            self._tell("daily", Severity.INFO, text, "daily")

    def _tell(self, event: str, severity: Severity, text: str, key: str, topic: str = "") -> None:
        if not self._past:
            self._tell_people(Notice(event, severity, f"{self._title} {text[:_SHOWN]}", key, topic))


def _percent(ratio: Decimal) -> Decimal:
    return (100 * ratio).quantize(_CENT)
