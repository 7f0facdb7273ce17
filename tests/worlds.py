"""Small worlds that tests build: the shipped settings with single values changed."""

from __future__ import annotations

from pathlib import Path

import yaml

from src.core.config import Settings

ROOT = Path(__file__).resolve().parent.parent


def settings(**changes: object) -> Settings:
    """The shipped settings, with `section__leaf=value` changes."""
    tree = yaml.safe_load((ROOT / "config" / "agent_config.yaml").read_text())
    for name, value in changes.items():
        *path, leaf = name.split("__")
        section = tree
        for part in path:
            section = section[part]
        section[leaf] = value
    return Settings.model_validate(tree)
