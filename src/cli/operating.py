"""Commands that take results out, and that keep secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import Json, RunName, State, app

Secrets = Annotated[Path | None, typer.Option("--secrets", help="Folder of sealed secrets; default: secrets.")]


@app.command()
def export(
    target: Annotated[Path | None, typer.Argument(help="Folder of the tables; default: this one.")] = None,
    run: RunName = None,
    state: State = None,
    year: Annotated[int | None, typer.Option("--year", min=1970, max=9998, help="Rows of one year, UTC.")] = None,
    json: Json = False,
) -> None:
    """Transactions, and gains by first in, first out, as CSV for spreadsheets and tax."""
    from ..commands import export as command

    command.run(target, run, state, year, json)


@app.command("seal-secret")
def seal_secret(
    name: Annotated[str, typer.Argument(help="What to call it, for instance kraken.key.")],
    source: Annotated[Path | None, typer.Option("--from", help="File, mode 0400; default: standard input.")] = None,
    secrets: Secrets = None,
) -> None:
    """Keep a secret encrypted; the key ring is made with the first."""
    from ..commands import secret_keeping as command

    command.seal(name, source, secrets)


@app.command("open-secret")
def open_secret(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    target: Annotated[Path, typer.Argument(help="File to make, mode 0400; best in memory, as under /run.")],
    secrets: Secrets = None,
) -> None:
    """Put a sealed secret into a file that its owner alone can read; it is never printed."""
    from ..commands import secret_keeping as command

    command.open_to(name, target, secrets)


@app.command("rotate-secrets")
def rotate_secrets(secrets: Secrets = None, json: Json = False) -> None:
    """Seal all secrets with a new key, and throw the old keys away."""
    from ..commands import secret_keeping as command

    command.rotate(secrets, json)
