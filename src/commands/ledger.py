"""`mycelial verify`: whether a ledger is what it was when it was written."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..connectors.ledger_verify import verify as verify_file
from ..core.errors import InvariantError, NotFound
from . import common


def verify(ledger: Path, json: bool) -> None:
    """Print what was found; InvariantError (exit 6) when something is broken."""
    path = ledger / "ledger.sqlite" if ledger.is_dir() else ledger
    if not path.exists():
        raise NotFound(f"{path}: there is no such ledger")
    found = verify_file(path)
    if json:
        common.out_json(msgspec.to_builtins(found))
    elif found.ok:
        common.out(f"{path}: sound; {found.rows} rows, head {found.head}")
    if not found.ok:
        raise InvariantError("\n".join(f"{path}: {problem}" for problem in found.problems))
