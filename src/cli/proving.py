"""Commands that prove what holds when things go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import ConfigFile, Env, Jobs, Json, Sets, app


@app.command()
def simulate(
    seeds: Annotated[str, typer.Option("--seeds", help="A-B, both included: one seed, one schedule of faults.")],
    planted: Annotated[
        str | None, typer.Option("--planted", help="Plant a bug, to see whether it is found: no_deadline, ...")
    ] = None,
    kept: Annotated[
        Path | None, typer.Option("--kept", help="A file of seeds that failed once; they are played first.")
    ] = None,
    jobs: Jobs = 1,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Orders under faults of network, disk, clock, exchange, process and people, in virtual time; exit 6 on failure."""
    from ..commands import workers

    workers.prepare(jobs)
    from ..commands import simulate as command

    command.run(command.SimulateOptions(seeds, planted, kept, jobs, config, env, tuple(sets or ()), json))
