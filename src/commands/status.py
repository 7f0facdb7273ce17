"""What a running process says of itself: the newest report and the health of its parts."""

from __future__ import annotations

import os
from typing import Any

from ..core import records
from ..core.engine import Report
from ..services.writer import Writer
from ..wiring import House
from .feeds import Source


class Board:
    """An observer that keeps the newest report; `status` may be asked from any thread."""

    def __init__(self, house: House, ledger: Writer, mode: str, source: Source, bus_url: str) -> None:
        self._house = house
        self._ledger = ledger
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
            "positions": {pair: records.plain(p.amount) for pair, p in dict(house.desk.portfolio.positions).items()},
            "census": self._census,
            "active": list(house.world.nursery.active),
            "consensus": dict(house.world.figures.consensus),
            "agreement": dict(house.world.figures.agreement),
            "deployments": house.world.figures.deployments(),
            "lifecycle": dict(house.life.counts()),
            "counts": dict(house.engine.counts),
            "refusals": dict(house.engine.refusals),
            "faults": dict(house.model.faults),
            "quarantined": dict(house.model.quarantined),
            "messages": dict(house.bus.counts()),
            "ledger": {"backlog": self._ledger.backlog, "failure": self._ledger.failure},
        }
