"""Shows what was found out about runs in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from ...core.clock import iso
from ...core.timeframes import DAY_MS
from ...core.types import IntArray
from ..table import new_table
from ..text import NOTHING, number, percent
from .alpha_decay import Decay
from .examination import Examined
from .forward import Forward, Paths
from .gate import Criterion
from .lookahead import Looked, Warmth
from .overfitting import Overfitting


def criteria_table(criteria: Sequence[Criterion]) -> Table:
    """One row a criterion; where a value is missing, its reason."""
    made = new_table("PROMOTION GATE", ("Criterion", "What it is", "State", "Value", "Limit"), 3)
    for one in criteria:
        limit = NOTHING if one.limit is None else f"{one.must} {_short(one.limit)}"
        made.add_row(one.name, one.reason or one.says, one.state.upper(), _short(one.value), limit)
    return made


def _short(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4g}"


def examined_table(seen: Examined) -> Table:
    """What stands behind the criteria."""
    made = new_table("VALIDATION", ("Figure", "Value"))
    for name, shown in _figures(seen):
        made.add_row(name, shown)
    return made


def _figures(seen: Examined) -> list[tuple[str, str]]:
    rows = []
    if seen.forward is not None:
        rows += _forward(seen.forward)
    if seen.paths is not None:
        rows += _paths(seen.paths)
    if seen.overfitting is not None:
        rows += _overfitting(seen.overfitting)
    for name, outcomes in (("days in other blocks", seen.days), ("trades in another order", seen.trades)):
        if outcomes is not None:
            low, middle, high = outcomes.growth
            rows.append((f"{name}: growth 5 %, 50 %, 95 %", f"{low:.3f}  {middle:.3f}  {high:.3f}"))
            fall = "  ".join(percent(one) for one in outcomes.drawdown)
            rows.append((f"{name}: drawdown % 5 %, 50 %, 95 %", fall))
    if seen.entries is not None:
        own, random = percent(seen.entries.mean, 3), percent(seen.entries.random_mean, 3)
        rows.append(("mean trade %, at random times %", f"{own}  {random}"))
    if seen.exceptions is not None:
        found = seen.exceptions
        rows.append(("losses beyond value at risk, expected",
                     f"{found.exceptions}  {found.expected_ratio * found.observations:.1f}"))  # fmt: skip
        rows.append(("p Kupiec, Christoffersen", f"{number(found.coverage_p)}  {number(found.independence_p)}"))
    return rows


def _forward(found: Forward) -> list[tuple[str, str]]:
    return [
        ("walk-forward windows, without a trade", f"{len(found.windows)}  {found.silent}"),
        ("walk-forward Sharpe a year, growth", f"{number(found.sharpe)}  {found.growth:.3f}"),
        ("walk-forward efficiency", number(found.efficiency)),
    ]


def _paths(found: Paths) -> list[tuple[str, str]]:
    shown = NOTHING if found.quantiles is None else "  ".join(number(one) for one in found.quantiles)
    return [
        ("paths, splits, losing paths", f"{len(found.sharpes)}  {found.splits}  {found.losing}"),
        ("paths' Sharpe a year 5 %, 50 %, 95 %", shown),
        ("Sharpe a year by fold", "  ".join(number(one) for one in found.folds)),
    ]


def _overfitting(found: Overfitting) -> list[tuple[str, str]]:
    return [
        ("probability of overfitting, of loss", f"{number(found.probability)}  {number(found.loss)}"),
        ("slope of out of sample on in sample", number(found.degradation)),
    ]


def decay_table(decays: Mapping[str, Decay]) -> Table:
    """Rank correlation of ideas with the move after each delay, a row for each who said them."""
    delays = next(iter(decays.values())).delays if decays else ()
    made = new_table("ALPHA DECAY", ("Ideas of", *[f"+{delay}" for delay in delays], "Half-life"))
    for name, found in decays.items():
        shown = [NOTHING if value != value else f"{value:.3f}" for value in found.correlation.tolist()]
        made.add_row(name, *shown, NOTHING if found.half_life is None else str(found.half_life))
    return made


def windows_table(found: Forward, days: IntArray, names: Sequence[str]) -> Table:
    """One row a window of a walk-forward."""
    columns = ("Chosen on", "Judged by", "Chosen", "Sharpe inside", "Sharpe outside")
    made = new_table("WALK-FORWARD", columns, 3)
    for one in found.windows:
        spans = [f"{_day(days, first)} to {_day(days, last)}" for first, last in (one.train, one.test)]
        made.add_row(*spans, names[one.chosen], number(one.inside), number(one.outside))
    return made


def summary_table(title: str, *found: Forward | Paths | Overfitting | None) -> Table:
    """The figures of some findings."""
    made = new_table(title, ("Figure", "Value"))
    for one in found:
        rows = (
            _forward(one) if isinstance(one, Forward) else _paths(one) if isinstance(one, Paths)
            else [] if one is None else _overfitting(one)
        )  # fmt: skip
        for name, shown in rows:
            made.add_row(name, shown)
    return made


def chosen_table(found: Paths, names: Sequence[str], sharpes: Sequence[float | None]) -> Table:
    """How often each candidate was chosen, and its Sharpe ratio over all days."""
    made = new_table("CANDIDATES", ("Candidate", "Chosen", "Sharpe"))
    for name, count, ratio in zip(names, found.chosen, sharpes, strict=True):
        made.add_row(name, f"{count} of {found.splits}", number(ratio))
    return made


def culprits_table(found: Looked) -> Table:
    """One row a culprit, the earliest first of each stage."""
    made = new_table("LOOK-AHEAD", ("Stage", "Who", "What", "At", "With the future", "Without"), 6)
    for one in found.culprits:
        made.add_row(one.stage, one.who, one.what, iso(one.at), one.with_future, one.without)
    return made


def warmth_table(found: Sequence[Warmth], warmups: Sequence[int]) -> Table:
    """One row a feature: how far it is off after each warm-up, and which is enough."""
    made = new_table("RECURSIVE", ("Feature", *[str(rows) for rows in warmups], "Enough"))
    for one in found:
        shown = [NOTHING if value != value else f"{value:.2g}" for value in one.deviations]
        made.add_row(one.feature, *shown, _enough(one))
    return made


def _enough(one: Warmth) -> str:
    if one.deviations[-1] != one.deviations[-1]:
        return "never known"
    return "MORE" if one.enough is None else str(one.enough)


def _day(days: IntArray, place: int) -> str:
    return iso(int(days[place]) * DAY_MS)[:10]
