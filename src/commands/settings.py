"""`mycelial show-config`: every value in force, and where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..connectors.config_files import config_sha256, describe
from . import common


def show(origin: bool, config: Path | None, env: str | None, sets: Sequence[str], json: bool) -> None:
    """Print the tree, one leaf a line; secrets are hidden."""
    loaded = common.settings(config, env, sets)
    rows = describe(loaded)
    if json:
        tree = {key: {"value": value, "origin": where} if origin else value for key, value, where in rows}
        common.out_json({"config_sha256": config_sha256(loaded.settings), "settings": tree})
        return
    width = max(len(key) for key, _, _ in rows)
    for key, value, where in rows:
        common.out(f"{key:{width}}  {value}" + (f"  ({where})" if origin else ""))
