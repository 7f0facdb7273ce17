"""`mycelial verify`: whether a ledger is what it was when it was written."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..connectors.ledger_anchor import anchors_of
from ..connectors.ledger_chain import no_ledger
from ..connectors.ledger_verify import verify as verify_file
from ..connectors.state_folder import LEDGER
from ..core.errors import InvariantError, LedgerError
from . import common


def verify(ledger: Path, json: bool) -> None:
    """Print what was found; InvariantError (exit 6) when something is broken.

    In its state folder a ledger has to reach up to the head that was noted last; a copy elsewhere may be older.
    """
    path = ledger / LEDGER if ledger.is_dir() else ledger
    if not path.exists():
        raise no_ledger(path)
    found = verify_file(path, _noted(path))
    if json:
        common.out_json(msgspec.to_builtins(found))
    elif found.ok:
        common.out(f"{path}: sound; {found.rows} rows, head {found.head}")
    if not found.ok:
        raise InvariantError("\n".join(f"{path}: {problem}" for problem in found.problems))


def _noted(path: Path) -> str | None:
    """The head that live trading noted last of this ledger; None for a copy, and where none can be read."""
    if path.name != LEDGER:
        return None
    try:
        anchor = anchors_of(path, common.settings(None, None, ()).settings.ledger.anchor_folder).last()
    except LedgerError:
        return None  # a file that is no ledger is told by what follows
    return None if anchor is None else anchor.head
