"""What a running process says of itself: the newest report and the health of its parts."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from ..agents.population import members
from ..backtesting import findings
from ..backtesting.discovery import discover
from ..backtesting.series import Series
from ..core import records
from ..core.engine import Report
from ..core.timeframes import HOUR_MS
from ..services.writer import Writer
from ..wiring import House
from .feeds import Source


class Board:
    """An observer that keeps the newest report; `status` may be asked from any thread."""

    def __init__(self, house: House, ledger: Writer, series: Series, mode: str, source: Source, bus_url: str) -> None:
        self._house = house
        self._ledger = ledger
        self._health = source.health
        self._series = series
        self._found: tuple[int, dict[str, Any]] = (-1, {})
        self._fixed = {
            "mode": mode,
            "feed": source.name,
            "simulated": source.feed.simulated,
            "timeframe": source.timeframe,
            "pairs": list(source.pairs),
            "seed": house.seed,
            "bus": bus_url or "local",
            "pid": os.getpid(),
        }
        self._latest: Report | None = None
        self._census, self._population = house.model.census(), -1

    def __call__(self, report: Report) -> None:
        """Remember the newest report, and who lives when that changed."""
        self._latest = report
        population = self._house.world.figures.deployed + self._house.world.figures.retired
        if population != self._population:
            self._census, self._population = self._house.model.census(), population

    def population(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Everybody who lives now, learners with their lineage; the question has no fields."""
        at = None if self._latest is None else records.stamp(self._latest.at)
        return {"at": at, "members": members(self._house.world)}

    def _findings(self, at: int) -> dict[str, Any]:
        """How the moats stand, and what was discovered; the latter looked for once an hour at most."""
        hour, found = self._found
        settings = self._house.settings
        if at // HOUR_MS != hour:
            found = discover(self._series.aligned(), settings.statistics)
            self._found = (at // HOUR_MS, found)
        moats = findings.moats(self._series.view, settings.moats.board.strength)
        return {"moats": moats, "synthesis": findings.synthesis(moats), "discovery": found}

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
            "haven": dict(house.world.figures.haven),
            "marked_at": {pair: records.stamp(at) for pair, at in dict(house.desk.marked_at).items()},
            "counts": dict(house.engine.counts),
            "refusals": dict(house.engine.refusals),
            "faults": dict(house.model.faults),
            "quarantined": dict(house.model.quarantined),
            "messages": dict(house.bus.counts()),
            "sources": [] if self._health is None else [msgspec.to_builtins(one) for one in self._health()],
            "memory": {"records": len(house.memory), "failure": house.memory.failure},
            "ledger": {"backlog": self._ledger.backlog, "failure": self._ledger.failure},
        }
