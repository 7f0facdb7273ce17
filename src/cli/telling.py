"""The command that tries whether people can be told something."""

from __future__ import annotations

from typing import Annotated

import typer

from ..core.errors import UsageError
from .arguments import ConfigFile, Env, Json, Sets, app


@app.command()
def notify(
    what: Annotated[str, typer.Argument(help="test: send one message now.")],
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Try the alerts to people: one message to Discord, and what to mend if it does not get there."""
    from ..commands import notify as command

    if what != "test":
        raise UsageError(f"notify {what!r}: write notify test")
    command.test(config, env, tuple(sets or ()), json)
