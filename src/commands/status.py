"""What a running process says of itself: the newest report and the health of its parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from ..agents.population import members, society
from ..backtesting import findings
from ..backtesting.discovery import discover
from ..backtesting.series import Series
from ..core import records
from ..core.clock import Timer
from ..core.engine import Report
from ..core.timeframes import HOUR_MS
from ..services.kill_switch import KillSwitch
from ..services.lifecycle_shown import shown_lives
from ..services.limits_shown import shown_limits
from ..services.writer import Writer
from ..wiring import House
from .feeds import Source

_DISCOVERY_SECONDS = 30.0  # between two looks for anomalies and correlations; one takes up to a fiftieth of one


class Board:
    """An observer that keeps the newest report; `status` may be asked from any thread."""

    def __init__(
        self, house: House, ledger: Writer, series: Series, mode: str, source: Source, bus: str, timer: Timer
    ) -> None:
        self._house, self._timer = house, timer
        self._ledger = ledger
        self._health = source.health
        self._series = series
        self._found: tuple[int, float, dict[str, Any]] = (-1, float("-inf"), {})
        self._reconciled: Mapping[str, list[str]] = {}
        self._fixed = {
            "mode": mode,
            "feed": source.name,
            "simulated": source.feed.simulated,
            "timeframe": source.timeframe,
            "pairs": list(source.pairs),
            "seed": house.seed,
            "bus": bus or "local",
            "pid": os.getpid(),
        }
        self._latest: Report | None = None
        self.switch: KillSwitch | None = None
        self.exchange: Callable[[], dict[str, Any]] = dict
        self._census, self._population = house.model.census(), -1

    def __call__(self, report: Report) -> None:
        """Remember the newest report, and who lives when that changed."""
        self._latest = report
        path = self._house.path
        if path is not None:
            self._reconciled = path.reconciled
        population = self._house.world.figures.deployed + self._house.world.figures.retired
        if population != self._population:
            self._census, self._population = self._house.model.census(), population

    def population(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Everybody who lives now, learners with their lineage, and how they live together; it has no fields."""
        at = None if self._latest is None else records.stamp(self._latest.at)
        return {"at": at, "members": members(self._house.world), "society": society(self._house.world)}

    def reconciled(self, fields: dict[str, Any]) -> dict[str, Any]:
        """What came of the reconciliation with this `id`: `done`, and the mismatches `found`."""
        name = str(fields.get("id"))
        found = self._reconciled.get(name)
        return {"done": found is not None, "found": found or []}

    def _findings(self, at: int) -> dict[str, Any]:
        """How the moats stand, and what was discovered; the latter looked for once an hour of the market at most.

        Where hours fly by it is not looked for at every question either: it would cost more than all else is worth.
        """
        hour, since, found = self._found
        settings, now = self._house.settings, self._timer.seconds()
        if at // HOUR_MS != hour and (not found or now - since >= _DISCOVERY_SECONDS):
            found = discover(self._series.aligned(), settings.statistics)
            self._found = (at // HOUR_MS, now, found)
        moats = findings.moats(self._series.view, settings.moats.board.strength)
        return {"moats": moats, "synthesis": findings.synthesis(moats), "discovery": found}

    def _limits(self) -> dict[str, Any]:
        """How much of each limit is left."""
        house, report = self._house, self._latest
        waiting = len(list(house.desk.broker.open_orders()))
        equity = house.desk.portfolio.cash if report is None else report.equity
        figures = (house.desk.portfolio.positions, waiting, equity, house.desk.peak_equity)
        return dict(shown_limits(house.watch, house.settings.risk, *figures))

    def _standing(self) -> dict[str, Any]:
        """States in force by scope; what was thrown since the last slice counts."""
        return dict(self._house.engine.standing.shown() if self.switch is None else self.switch.shown())

    def _risk(self) -> dict[str, Any]:
        """Exposure, concentration, drawdown and tail losses of what is held; empty where there is no equity."""
        desk = self._house.desk
        if desk.equity <= 0:
            return {}
        values = {pair: held.amount * desk.mark_of(pair) for pair, held in dict(desk.portfolio.positions).items()}
        found = self._house.supervisor.risk(values, desk.equity, desk.peak_equity)
        return {name: _plain(value) for name, value in msgspec.structs.asdict(found).items()}

    def status(self) -> dict[str, Any]:
        """One object: what it is, where it stands, what is wrong."""
        report, house = self._latest, self._house
        moving: dict[str, Any] = {"phase": "starting"}
        if report is not None:
            moving = {
                "phase": "running",
                "at": records.stamp(report.at),
                "slices": report.slices,
                "equity": records.plain(report.equity),
                "cash": records.plain(report.cash),
                "halted": report.halted,
                "bus_up": report.bus_up,
            }
        return {
            **self._fixed,
            **moving,
            **self._findings(0 if report is None else report.at),
            "positions": {pair: records.plain(p.amount) for pair, p in dict(house.desk.portfolio.positions).items()},
            "census": self._census,
            "active": list(house.world.nursery.active),
            "consensus": dict(house.world.figures.consensus),
            "agreement": dict(house.world.figures.agreement),
            "deployments": house.world.figures.deployments(),
            "learning": house.world.figures.learning(),
            "lifecycle": dict(house.life.counts()),
            "assets": shown_lives(house.life, house.settings.lifecycle, house.market.pairs),
            "orders": {} if house.path is None else house.path.shown,
            "exchange": self.exchange(),
            "limits": self._limits(),
            "standing": self._standing(),
            "haven": house.world.figures.watched(),
            "marked_at": {pair: records.stamp(at) for pair, at in dict(house.desk.marked_at).items()},
            "counts": dict(house.engine.counts),
            "refusals": dict(house.engine.refusals),
            "faults": dict(house.model.faults),
            "quarantined": dict(house.model.quarantined),
            "messages": dict(house.bus.counts()),
            "sources": [] if self._health is None else [msgspec.to_builtins(one) for one in self._health()],
            "policies": dict(house.supervisor.states),
            "risk": self._risk(),
            "memory": {"records": len(house.memory), "failure": house.memory.failure},
            "ledger": {"backlog": self._ledger.backlog, "failure": self._ledger.failure},
        }


def _plain(value: Decimal | float | None) -> str | float | None:
    """Ratios of money to eight places."""
    return records.plain(round(value, 8)) if isinstance(value, Decimal) else value
