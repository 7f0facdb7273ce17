"""`mycelial report`: the tables of a run, its object, its trades."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ..backtesting import report
from ..backtesting.recorder import TRADES
from ..backtesting.runs import find_run, load_run
from ..core.errors import UsageError
from . import common


def run(name: str, breakdown: str | None, csv: Path | None, json: bool) -> None:
    """Print the tables of a run, or its object with --json; --csv copies its trades."""
    folder = find_run(common.RUNS, name)
    if csv is not None:
        try:
            shutil.copyfile(folder / TRADES, csv)
        except OSError as error:
            raise UsageError(f"--csv {csv}: {error.strerror}; name a file that can be written") from error
        common.say(f"trades written to {csv}")
    if json:
        common.out_json(load_run(folder).result)
    else:
        show(folder, breakdown)


def show(folder: Path, breakdown: str | None) -> None:
    """The tables of the run in `folder` on stdout."""
    report.show(load_run(folder), report.terminal(sys.stdout), breakdown)
