"""`mycelial report`: the tables of a run, its object, its trades, its tear sheet."""

from __future__ import annotations

import sys
from pathlib import Path

from ..backtesting import report
from ..backtesting.report_evidence import evidence_rows
from ..backtesting.runs import Run, find_run, load_run
from ..core.timeframes import timeframe_ms
from ..core.types import Stream
from . import common


def run(
    name: str, breakdown: str | None, csv: Path | None, json: bool, html: Path | None = None,
    parquet: Path | None = None,
) -> None:  # fmt: skip
    """Print the tables of a run, or its object with --json; write its trades and its tear sheet where asked."""
    folder = find_run(common.RUNS, name)
    found = load_run(folder)
    _export(folder, found, csv, parquet)
    if html is not None:
        tear_sheet(folder, html)
    if json:
        common.out_json(found.result)
    else:
        _print(folder, found, breakdown)


def _export(folder: Path, run: Run, csv: Path | None, parquet: Path | None) -> None:
    from ..backtesting import exports

    if csv is not None:
        exports.to_csv(folder, csv)
        common.say(f"trades written to {csv}")
    if parquet is not None:
        exports.to_parquet(run, parquet)
        common.say(f"trades written to {parquet}")


def tear_sheet(folder: Path, target: Path) -> None:
    """Write the HTML page of the run in `folder`."""
    from ..backtesting.sheet import page

    page.write(folder, target)
    common.say(f"tear sheet written to {target}")


def show(folder: Path, breakdown: str | None) -> None:
    """The tables of the run in `folder` on stdout."""
    _print(folder, load_run(folder), breakdown)


def _print(folder: Path, run: Run, breakdown: str | None) -> None:
    from ..backtesting.backing import entered, read_ideas, tied

    book, tags = Stream.SYNTHESIZED.value, None
    if run.trades.get(book) and (ideas := read_ideas(folder)) is not None:
        tags = entered(tied(run.trades, ideas, timeframe_ms(run.result["timeframe"]), (book,))[book])
    shown = evidence_rows(folder, run.result)
    report.show(run, report.terminal(sys.stdout), breakdown, tags, shown)
