"""What the record says of the policies: their lines, and the states that commands gave them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..backtesting.runs import find_run
from ..connectors.sqlite_ledger import LedgerReader
from ..core.errors import InvariantError, LedgerError
from ..core.types import Command, CommandKind
from ..services.supervisor.shadow import POLICY, PolicyLine
from . import common
from .stories import LEDGER

Changes = list[tuple[int, Command]]
"""Commands that changed the state of a policy, and the slice each took effect in (UTC ms)."""


def reader_of(run: str | None, state: Path | None) -> LedgerReader:
    """The ledger of --run RUN, else of --state DIR or the default state; NotFound where there is none."""
    path = (find_run(common.RUNS, run) if run is not None else state or common.DEFAULT_STATE) / LEDGER
    return LedgerReader(path, common.settings(None, None, ()).settings.ledger)


def lines_of(reader: LedgerReader) -> Iterator[PolicyLine]:
    """Every line in order; InvariantError for a row that cannot be read."""
    try:
        for row in reader.rows(POLICY):
            yield msgspec.json.decode(row.body, type=PolicyLine)
    except (msgspec.DecodeError, ValueError, LedgerError) as error:
        raise InvariantError(f"{reader.path}: a row of the policies cannot be read: {error}; see `verify`") from error


def changes_of(reader: LedgerReader) -> Changes:
    """The commands that took effect on policies, in order."""
    found = ((row.at, msgspec.json.decode(row.body, type=Command)) for row in reader.rows("command"))
    return [(at, command) for at, command in found if command.kind is CommandKind.POLICY]
