"""Which record a question is about: the folder of a finished run, or the state of a process, running or not."""

from __future__ import annotations

from pathlib import Path

from ..backtesting.runs import find_run
from ..connectors.story_files import read_story
from ..core.errors import NotFound, UsageError
from ..core.story import Story
from . import common

LEDGER = "ledger.sqlite"


def story_of(run: str | None, state: Path | None) -> Story:
    """The story of --run RUN, else of --state DIR, else of the default state.

    NotFound when there is none, UsageError when both are named, InvariantError when its ledger is damaged.
    """
    if run is not None and state is not None:
        raise UsageError("--run and --state: name one of them")
    if run is not None:
        path = find_run(common.RUNS, run) / LEDGER
    else:
        path = (state or common.DEFAULT_STATE) / LEDGER
        if not path.is_file():
            raise NotFound(f"{path}: there is no such ledger; `--run last` asks the newest backtest, --state DIR a run")
    return read_story(path, common.settings(None, None, ()).settings.ledger)
