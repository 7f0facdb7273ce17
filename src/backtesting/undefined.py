"""Says of each figure of a result that is not defined why it is not: a dash without a reason helps nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..core.clock import from_iso
from ..core.metrics import day_of

NO_TRADES = "no trades"
NO_LOSS = "no losing trade"
NO_CLOSE = "no pair ever had a close"
FEW_DAYS = "fewer than two days"
NO_CHANGE = "the same every day: no deviation to divide by"
OTHERWISE = "not enough data in this run"

_OF_TRADES = ("win_ratio", "mean_profit_ratio", "mean_duration_ms")
_BY_NAME = {
    "bars_per_s": "no time passed",
    "rss_slope_mb_per_100k_bars": "too few bars to see a slope",
    "market_change_ratio": NO_CLOSE,
    "total_profit_ratio": NO_CLOSE,
    "max_drawdown_ratio": NO_CLOSE,
    "strength": "no data",
    "grade": "no data",
    "age_ms": "never seen",
    "marked_at": "no bar since the start of this process",
    "mark_age_s": "no bar since the start of this process",
    "timerange": "no slice was seen",
    "false_ratio": "nothing was found, so nothing can be false",
}


def reasons(result: Mapping[str, Any]) -> dict[str, str]:
    """The dotted place of every figure that is None, with its reason; the items of lists are not looked into."""
    days = days_of(result)
    return {".".join(path): reason(path, parent, days) for path, parent in _missing(result, ())}


def days_of(result: Mapping[str, Any]) -> int:
    """How many days (UTC) the slices of a run touch."""
    first, last = result["timerange"]
    return 0 if first is None or last is None else day_of(from_iso(last)) - day_of(from_iso(first) + 1) + 1


def reason(path: tuple[str, ...], parent: Mapping[str, Any], days: int) -> str:
    """Why the figure at `path`, a field of `parent`, is None in a run of so many days."""
    name, trades = path[-1], parent.get("trades")
    if name in _OF_TRADES or (name == "profit_factor" and not trades):
        return NO_TRADES
    if name == "profit_factor":
        return NO_LOSS
    if name == "sharpe":
        return FEW_DAYS if days < 2 else NO_CHANGE
    if path[0] == "agreement":
        return "this team has not voted twice"
    if path[0] == "controls" and "says" in parent:
        return str(parent["says"])
    return _BY_NAME.get(name, OTHERWISE)


def _missing(
    node: Mapping[str, Any], above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:  # fmt: skip
    for name, value in node.items():
        path = (*above, name)
        if value is None or (isinstance(value, list) and value == [None, None]):
            yield path, node
        elif isinstance(value, Mapping):
            yield from _missing(value, path)
