"""The real sources of a run; imported only by a run that asks the network, since the clients are slow to import."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...core.clock import Timer
from ...core.config import Moats
from ...core.ports import Source
from .calendar import CalendarSource
from .daily_prices import DailyPricesSource
from .edgar import EdgarSource
from .federal_register import FederalRegisterSource
from .github import GithubSource
from .network import NetworkSource


def real_sources(settings: Moats, environ: Mapping[str, str], config_folder: Path, timer: Timer) -> list[Source]:
    """One of each kind. Logins come from `environ`, by the names in the settings; nothing is asked yet."""
    return [
        GithubSource(settings, environ),
        EdgarSource(settings, environ, timer),
        DailyPricesSource(settings, timer),
        FederalRegisterSource(settings, timer),
        CalendarSource(settings, config_folder),
        NetworkSource(settings, timer),
    ]
