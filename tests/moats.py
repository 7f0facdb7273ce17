"""Observations made by hand, as the recorded files and the live sources say them."""

from __future__ import annotations

from src.core.timeframes import DAY_MS
from src.core.types import Observation


def commit(asset: str, known_at: int, number: int = 0, simulated: bool = False) -> Observation:
    """A commit to a repository of `asset`."""
    id_ = f"{asset}-{known_at}-{number}"
    return Observation("commits", "code", id_, asset, known_at, known_at, {"is_bot": 0.0}, simulated)


def event(at: int, known_at: int = 0, scheduled: bool = True) -> Observation:
    """A date of the calendar."""
    return Observation("calendar", "government", f"CPI@{at}", "CPI", at, known_at, {"scheduled": float(scheduled)})


def network(day: int, hash_rate: float, difficulty: float) -> Observation:
    """A day of the network, known when it is over."""
    values = {"hashrate_th_s": hash_rate, "difficulty": difficulty}
    at = day * DAY_MS
    return Observation("btc_network_daily", "logistics", f"n@{at}", "btc_network_daily", at, at + DAY_MS, values)


def equity(symbol: str, day: int, close: float) -> Observation:
    """A session of a listed company or fund, known when its day is over."""
    at = day * DAY_MS
    return Observation(
        "equities_daily", "corporate", f"{symbol}@{at}", symbol, at, at + DAY_MS, {"open": 1.0, "close": close}
    )


def filing(known_at: int, number: int = 0) -> Observation:
    """A filing."""
    id_ = f"f-{known_at}-{number}"
    return Observation("sec_filings", "corporate", id_, "MSTR", known_at, known_at, {"size": 1.0, "form 4": 1.0})


def document(known_at: int, number: int = 0) -> Observation:
    """A document of an agency."""
    id_ = f"d-{known_at}-{number}"
    agency = "securities-and-exchange-commission"
    return Observation("federal_register", "government", id_, agency, known_at, known_at, {"type Rule": 1.0})


def repository(asset: str, name: str, known_at: int, **values: float) -> Observation:
    """What a repository of `asset` tells of itself."""
    return Observation("github_repositories", "code", f"{name}@{known_at}", asset, known_at, known_at, values)


def all_moats(asset: str, at: int) -> tuple[Observation, ...]:
    """Something of every moat, known at `at` or before."""
    today = at // DAY_MS
    days = [network(day, 100.0 + day % 3, 50.0) for day in range(today - 20, today)]
    return (*days, event(at + DAY_MS), filing(at), commit(asset, at))
