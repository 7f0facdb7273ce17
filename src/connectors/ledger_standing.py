"""Says from a ledger alone whether its run stood halted: who puts another ledger in its place must not lift that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ..core import checkpoint
from ..core.config import LedgerSettings
from ..core.errors import LedgerError
from ..core.standing import Level, Standing
from ..core.types import Command, CommandKind
from .ledger_verify import verify
from .sqlite_ledger import LedgerReader, StoredRow

_HALT = b'"kind":"halt"'
"""How the record names a halt; a quotation mark inside a reason is escaped, so this is no reason."""


def halted_in(path: Path, settings: LedgerSettings) -> str:
    """Why anything was halted or reduced at the end of a ledger; empty where it is sure that nothing was."""
    try:
        report = verify(path)
        if not report.ok:
            return f"nobody can tell how it stood: {report.problems[0]}"
        shown = _standing(LedgerReader(path, settings)).shown()
    except (LedgerError, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        return f"nobody can tell how it stood: {error}"
    return "; ".join(f"{scope} {throw['state']}: {throw['reason']}" for scope, throw in shown.items())


def _standing(reader: LedgerReader) -> Standing:
    """That of the newest checkpoint, then what came after it, and what was asked for and not come to."""
    standing, saved = Standing(), reader.checkpoint()
    since = None
    if saved is not None:
        since = saved[0] + 1
        standing.restore(checkpoint.load(saved[1]).get("standing"))
    for _, _, command in sorted(_happened(reader, since), key=lambda one: one[:2]):
        _obey(standing, command)
    done = {msgspec.json.decode(row.body)["id"] for kind in ("command", "refused") for row in reader.rows(kind)}
    for row in reader.rows("asked"):
        command = _command(row)
        if command.id not in done:
            _obey(standing, command)
    return standing


def _happened(reader: LedgerReader, since: int | None) -> Iterator[tuple[int, int, Command]]:
    """Commands at their slices, and behind them what else was halted in these."""
    for row in reader.rows("command", since):
        yield row.at, 0, _command(row)
    for row in reader.rows("decisions", since):
        if _HALT in row.body:
            for line in msgspec.json.decode(row.body)["lines"]:
                if line["kind"] == CommandKind.HALT and line.get("source") == "coordinator":
                    yield row.at, 1, _halt(line)


def _command(row: StoredRow) -> Command:
    return msgspec.json.decode(row.body, type=Command)


def _halt(line: dict[str, Any]) -> Command:
    return Command(CommandKind.HALT, str(line.get("reason")), "coordinator", line.get("pair"), level=line["level"])


def _obey(standing: Standing, command: Command) -> None:
    """As the engine does."""
    if command.kind is CommandKind.HALT:
        level = Level(command.level or Level.REDUCE_ONLY)
        standing.throw(level, command.reason or "halted", command.source, command.pair)
    elif command.kind is CommandKind.EMERGENCY_SHUTDOWN:
        standing.throw(Level.REDUCE_ONLY, f"emergency shutdown: {command.reason}", command.source)
    elif command.kind is CommandKind.RESUME:
        standing.clear(command.pair)
