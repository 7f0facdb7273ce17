"""The command that opens the monitor."""

from __future__ import annotations

from typing import Annotated

import typer

from .arguments import Data, State, app


@app.command()
def dashboard(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="On this machine alone.")] = 8501,
    state: State = None,
    data: Data = None,
) -> None:
    """The monitor in a browser: what the swarm is, does and is worth; halt and resume."""
    from ..commands import dashboard as command

    command.run(port, state, data)
