"""Commands that look after what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import Json, State, app


@app.command()
def backup(
    target: Annotated[Path | None, typer.Argument(help="File, or folder for a dated one; default: beside it.")] = None,
    state: State = None,
    json: Json = False,
) -> None:
    """A sound copy of the ledger, also while it is written."""
    from ..commands import keeping as command

    command.backup(target, state, json)


@app.command()
def restore(
    backup: Annotated[Path, typer.Argument(help="A copy that `backup` made.")], state: State = None, json: Json = False
) -> None:
    """Put a backup in the ledger's place; what stood there is set aside."""
    from ..commands import keeping as command

    command.restore(backup, state, json)


@app.command()
def migrate(state: State = None, json: Json = False) -> None:
    """Bring the ledger to this version's schema, after a backup of it."""
    from ..commands import keeping as command

    command.migrate(state, json)
