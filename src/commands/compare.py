"""`mycelial compare`: several finished runs side by side, and whether their difference is more than chance."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..backtesting import comparison, report
from ..backtesting.runs import find_run
from . import common


def run(names: Sequence[str], json: bool) -> None:
    """Print the comparison; the first run is the one the others are compared with."""
    runs = comparison.load([find_run(common.RUNS, name) for name in names])
    found = comparison.compare(runs, common.settings(None, None, ()).settings.statistics)
    if json:
        common.out_json(found)
        return
    console = report.terminal(sys.stdout)
    for block in comparison.blocks(runs, found):
        console.print(block)
