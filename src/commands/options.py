"""The arguments of the two commands that run the model."""

from __future__ import annotations

from pathlib import Path

import msgspec


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Arguments that `run` and `backtest` share; None: as configured, or all there is."""

    data: Path | None = None
    venue: str | None = None
    timeframe: str | None = None
    pairs: str | None = None
    timerange: str | None = None
    seed: int
    bus: str
    config: Path | None = None
    env: str | None = None
    sets: tuple[str, ...] = ()
    json: bool = False


class BacktestOptions(RunOptions, frozen=True, kw_only=True):
    """Arguments of `backtest`."""

    out: Path | None = None
    breakdown: str | None = None
    html: Path | None = None


class ProcessOptions(RunOptions, frozen=True, kw_only=True):
    """Arguments of `run`."""

    mode: str | None = None
    feed: str | None = None
    speed: str | None = None
    state: Path | None = None
