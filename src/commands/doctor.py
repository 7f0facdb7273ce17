"""`mycelial doctor`: every dependency with ok, warn or fail, and the remedy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..connectors.config_files import DEFAULT_FILE
from ..connectors.doctor import check
from ..connectors.doctor_kraken import ask_kraken
from ..connectors.doctor_sources import ask_sources, check_logins
from ..core.errors import InvariantError
from . import common
from .live import LIVE

LOCK = Path(__file__).resolve().parents[2] / "requirements.lock"


def run(
    state: Path | None,
    data: Path | None,
    config: Path | None,
    env: str | None,
    sets: Sequence[str],
    json: bool,
    sources: bool = False,
) -> None:
    """Print every check; InvariantError (exit 6) when one failed. `sources`: ask those outside the market, too."""
    settings = common.settings(config, env, sets).settings
    lock = LOCK if LOCK.is_file() else None
    checks = check(settings, state or common.DEFAULT_STATE, data, lock)
    checks += check_logins(settings.moats, os.environ)
    if sources:
        checks += ask_sources(settings.moats, os.environ, (config or DEFAULT_FILE).parent)
    if sources or settings.run.mode == LIVE:
        checks += ask_kraken(settings)
    if json:
        ok = all(one.status != "fail" for one in checks)
        common.out_json({"ok": ok, "checks": msgspec.to_builtins(checks)})
    else:
        for one in checks:
            common.out(f"{one.status:4}  {one.name:16} {one.detail}" + (f"  -> {one.remedy}" if one.remedy else ""))
    failed = [one.name for one in checks if one.status == "fail"]
    if failed:
        raise InvariantError(f"doctor: failed: {', '.join(failed)}")
