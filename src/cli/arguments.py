"""The app, and the arguments that several commands share.

Nothing heavy is imported here: `--help` must answer at once, so each command imports its module when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import UsageError

_MAX_SEED = 2**63 - 1  # of the record: a seed is a whole number in it

app = typer.Typer(
    name="mycelial",
    help="A swarm that researches and trades crypto markets, and says what it is worth.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _folder(text: str) -> Path:
    """An empty word is a variable of a shell that was not set, and not the current folder."""
    if not text:
        raise UsageError(
            "a folder is named by an empty word (a variable that is not set?); write . for the current one"
        )
    return Path(text)


Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Settings file; default: the shipped one.")]
Env = Annotated[str | None, typer.Option("--env", help="Overlay: dev, prod or test.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="One value: A.B=V. May be repeated.")]
State = Annotated[
    Path | None, typer.Option("--state", parser=_folder, metavar="<path>", help="State folder; default: state/paper.")
]
Data = Annotated[
    Path | None, typer.Option("--data", parser=_folder, metavar="<path>", help="Data folder; default: MYCELIAL_DATA.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=_MAX_SEED, help="Root of every random stream.")]
Pairs = Annotated[str | None, typer.Option("--pairs", help="BTC/USDT,ETH/USDT; default: all there are.")]
RunName = Annotated[str | None, typer.Option("--run", help="A finished run: id, its prefix, `last` or a path.")]
Timerange = Annotated[str | None, typer.Option("--timerange", help="20220101-20220701, half open, UTC.")]
Venue = Annotated[str | None, typer.Option(help="Venue; default: the only one there is.")]
Timeframe = Annotated[str | None, typer.Option(help="Bar length of recorded data; default: 1h.")]
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="Runs at once, on processes of this machine.")]
Days = Annotated[int | None, typer.Option(min=1, help="Days of the simulated market, without data.")]
Grid = Annotated[list[str] | None, typer.Option("--grid", help="LEAF=V1,V2: walk the market with each. Repeat it.")]
Book = Annotated[str | None, typer.Option("--book", help="Whose days; default: account, of a grid: synthesized.")]
