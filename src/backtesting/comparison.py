"""Compares finished runs: under which conditions they differ, what each came to, and whether the difference is real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from ..core.config import StatisticsSettings
from ..core.errors import UsageError
from ..core.inference import mean_interval
from ..core.randomness import generator_for
from ..core.types import STREAMS, FloatArray
from .report import comparison_table
from .report_findings import BOOKS
from .result import EDGE_TESTED
from .runs import Run, load_run
from .sheet.curves import Curves
from .sheet.folder import conditions
from .table import coloured, new_table
from .text import NOTHING, number, percent
from .undefined import reasons

ACCOUNT = "account"
_MUST_AGREE = {
    "data_sha256": "other data",
    "timerange": "another range",
    "timeframe": "another timeframe",
    "pairs": "other pairs",
}
"""Fields that must be the same before a difference between two runs means anything, and how they are called."""
_ALSO_SHOWN = ("mode", "seed", "simulated", "config_sha256", "orders_sha256", "decisions_sha256")
_ABSENT = "(not there)"


class Compared(msgspec.Struct, frozen=True):
    """A run with its conditions; `name` is its id, told apart where an id comes twice."""

    name: str
    run: Run
    conditions: Mapping[str, Any] | None


def load(folders: Sequence[Path]) -> list[Compared]:
    """Read the runs in the given folders; UsageError for fewer than two."""
    if len(folders) < 2:
        raise UsageError("compare needs at least two runs, for instance: mycelial compare last 20240101")
    made: list[Compared] = []
    for folder in folders:
        run = load_run(folder)
        known = sum(one.run.result["run_id"] == run.result["run_id"] for one in made)
        name = str(run.result["run_id"]) + (f" #{known + 1}" if known else "")
        made.append(Compared(name, run, conditions(folder)))
    return made


def compare(runs: Sequence[Compared], settings: StatisticsSettings) -> dict[str, Any]:
    """The object of `compare --json`: plain JSON types, None where a figure is not defined, with the reason.

    Every run is compared with the first. `paired` holds differences of daily returns, day by day; where two runs are
    not comparable it says so and holds no figure.
    """
    first, *others = runs
    against = {one.name: _obstacles(first.run, one.run) for one in others}
    return {
        "runs": [one.name for one in runs],
        "comparable": not any(against.values()),
        "obstacles": against,
        "conditions": _conditions(runs),
        "settings": _settings(runs),
        "settings_unknown": [one.name for one in runs if one.conditions is None],
        "streams": {one.name: _streams(one.run) for one in runs},
        "undefined": {one.name: _undefined(one.run) for one in runs},
        "paired": [
            _paired(first, one, book, against[one.name], settings)
            for one in others
            for book in (ACCOUNT, *(stream.value for stream in STREAMS), EDGE_TESTED)
        ],
    }


def _obstacles(first: Run, other: Run) -> list[str]:
    return [words for field, words in _MUST_AGREE.items() if first.result[field] != other.result[field]]


def _conditions(runs: Sequence[Compared]) -> dict[str, list[Any]]:
    """Fields that are not the same in all runs, a value a run; the hash of the code where each run kept it."""
    fields = {name: [one.run.result.get(name) for one in runs] for name in (*_MUST_AGREE, *_ALSO_SHOWN)}
    fields["code_sha256"] = [(one.conditions or {}).get("code_sha256") for one in runs]
    return {name: values for name, values in fields.items() if any(value != values[0] for value in values)}


def _settings(runs: Sequence[Compared]) -> dict[str, list[Any]]:
    """Leaves of the configuration that are not the same in all runs that kept it, a value a run."""
    trees = [(one.conditions or {}).get("settings") for one in runs]
    known = [tree for tree in trees if tree is not None]
    found = {}
    for leaf in dict.fromkeys(name for tree in known for name in tree):
        values = [None if tree is None else tree.get(leaf, _ABSENT) for tree in trees]
        kept = [value for value, tree in zip(values, trees, strict=True) if tree is not None]
        if any(value != kept[0] for value in kept):
            found[leaf] = values
    return found


def _streams(run: Run) -> dict[str, Any]:
    result = run.result
    account, start = result["account"], result["account"]["start_equity"]
    own = {"total_profit_ratio": account["end_equity"] / start - 1.0}
    own |= {name: account[name] for name in ("max_drawdown_ratio", "sharpe", "fees")}
    return {ACCOUNT: own, **result["streams"], EDGE_TESTED: result[EDGE_TESTED], "buy_and_hold": result["buy_and_hold"]}


def _undefined(run: Run) -> dict[str, str]:
    wanted = ("account.", "streams.", f"{EDGE_TESTED}.", "buy_and_hold.")
    return {place: why for place, why in reasons(run.result).items() if place.startswith(wanted)}


def _paired(
    first: Compared, other: Compared, book: str, obstacles: Sequence[str], settings: StatisticsSettings
) -> dict[str, Any]:
    told = {"run": other.name, "against": first.name, "book": book}
    nothing = {"difference": None, "low": None, "high": None, "p": None, "days": 0, "better": None}
    name = BOOKS.get(book, book)
    if obstacles:
        why = f"{other.name} and {first.name} are not comparable: {', '.join(obstacles)}."
        return {**told, **nothing, "says": why}
    differences = _daily(other.run, book) - _daily(first.run, book)
    nothing["days"], least = len(differences), settings.min_blocks * settings.block_days
    if not differences.any():
        return {**told, **nothing, "says": f"{name}: both runs came to the same, day by day."}
    random = generator_for(int(first.run.result["seed"]), f"compare:{book}")
    found = (
        mean_interval(differences, settings.block_days, settings.draws, settings.confidence_ratio, random)
        if len(differences) >= least
        else None
    )
    if found is None:
        return {**told, **nothing, "says": f"{name}: cannot tell, {len(differences)} days are fewer than {least}."}
    better = found.estimate > 0.0 if found.excludes_zero else None
    word = {True: "better", False: "worse", None: "no difference that can be told from chance"}[better]
    says = (
        f"{name}: {other.name} against {first.name}: {word}; difference of mean daily return "
        f"{100 * found.estimate:+.4f} %, {settings.confidence_ratio:.0%} interval [{100 * found.low:+.4f}, "
        f"{100 * found.high:+.4f}] (block bootstrap, {found.size} days)."
    )
    figures = {"difference": found.estimate, "low": found.low, "high": found.high, "p": found.p, "days": found.size}
    return {**told, **figures, "better": better, "says": says}


def _daily(run: Run, book: str) -> FloatArray:
    curves = Curves(run, None)
    return curves.account.returns if book == ACCOUNT else curves.book(book)


def blocks(runs: Sequence[Compared], found: Mapping[str, Any]) -> list[Table | Text]:
    """The comparison as people read it."""
    shown: list[Table | Text] = [comparison_table([one.run for one in runs]), _stream_table(runs, found)]
    names = [one.name for one in runs]
    shown.append(_difference_table("CONDITIONS THAT DIFFER", "Condition", names, found["conditions"]))
    shown.append(_difference_table("SETTINGS THAT DIFFER, leaf by leaf", "Setting", names, found["settings"]))
    if found["settings_unknown"]:
        told = ", ".join(found["settings_unknown"])
        shown.append(Text(f"Settings of {told} are not known: the run did not keep them; only hashes can be compared."))
    for name, obstacles in found["obstacles"].items():
        if obstacles:
            warning = (
                f"NOT COMPARABLE: {name} has {', '.join(obstacles)} than {found['runs'][0]}; no difference is given."
            )
            shown.append(Text(warning, style="bold yellow"))
    shown += [Text(one["says"]) for one in found["paired"] if not found["obstacles"][one["run"]]]
    return shown


def _stream_table(runs: Sequence[Compared], found: Mapping[str, Any]) -> Table:
    columns = ("Stream", "Run", "Trades", "Win %", "Tot Profit %", "Max Drawdown %", "Profit Factor", "Sharpe")
    table = new_table("STREAMS SIDE BY SIDE", columns, words=2)
    books = list(found["streams"][runs[0].name])
    for book in books:
        for one in runs:
            figures = found["streams"][one.name].get(book, {})
            profit = figures.get("total_profit_ratio")
            table.add_row(
                BOOKS.get(book, book.replace("_", " ")),
                one.name,
                str(figures.get("trades", NOTHING)),
                percent(figures.get("win_ratio"), 1),
                coloured(percent(profit), profit),
                percent(figures.get("max_drawdown_ratio")),
                number(figures.get("profit_factor")),
                number(figures.get("sharpe")),
            )
        table.add_section()
    return table


def _difference_table(title: str, name: str, runs: Sequence[str], rows: Mapping[str, Sequence[Any]]) -> Table:
    table = new_table(title, (name, *runs), words=1 + len(runs))
    for leaf, values in rows.items():
        table.add_row(leaf, *(NOTHING if value is None else _shown(value) for value in values))
    if not rows:
        table.add_row("none", *["" for _ in runs])
    return table


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
