"""`mycelial backup`, `restore`, `migrate`: copies of a ledger that are sound, and how they come back."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..connectors import ledger_backup
from ..connectors.state_folder import LEDGER
from ..core.clock import iso, wall_ms
from ..core.config import LedgerSettings
from . import common


def backup(target: Path | None, state: Path | None, json: bool) -> None:
    """Copy the ledger of a state folder, running or not, to `target`: a file, or a folder that gets a dated one."""
    folder = state or common.DEFAULT_STATE
    place = folder if target is None else target
    if place.is_dir():
        place = place / f"{LEDGER}.{_stamp()}.backup"
    done = ledger_backup.back_up(folder / LEDGER, place, _ledger())
    _say(done, f"{done.path}: sound; {done.rows} rows, head {done.head}", json)


def restore(backup: Path, state: Path | None, json: bool) -> None:
    """Put a backup in the place of a state folder's ledger; what stood there is set aside."""
    done = ledger_backup.restore(backup, state or common.DEFAULT_STATE, _stamp(), _ledger())
    aside = "" if done.set_aside is None else f"; the one before is {done.set_aside}"
    halted = f"; HALTED ({done.halted}): `mycelial resume REASON` lifts it" if done.halted else ""
    _say(done, f"{done.path}: restored; {done.rows} rows, head {done.head}{aside}{halted}", json)


def migrate(state: Path | None, json: bool) -> None:
    """Bring a state folder's ledger to this version's schema."""
    done = ledger_backup.migrate(state or common.DEFAULT_STATE, _stamp(), _ledger())
    kept = "nothing to do" if done.backup is None else f"was {done.before}; as it was: {done.backup}"
    _say(done, f"{done.path}: schema {done.after} ({kept})", json)


def _say(done: msgspec.Struct, told: str, json: bool) -> None:
    if json:
        common.out_json(msgspec.to_builtins(done))
    else:
        common.out(told)


def _stamp() -> str:
    return iso(wall_ms())[:19].replace(":", "")


def _ledger() -> LedgerSettings:
    return common.settings(None, None, ()).settings.ledger
