"""The leaves of the tree of settings by name, and trees in which one of them is another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import yaml
from pydantic import BaseModel

from src.core.config import Settings
from tests.worlds import ROOT

SHIPPED = (ROOT / "config" / "agent_config.yaml").read_text()


def leaves(value: object, name: str = "") -> Iterator[str]:
    """`costs.fee_ratio`, `prospecting.teams.0.weights.code`, ...: everything below `name` that has a value of its own.

    A list of words is one leaf; numbers and sections in a list are leaves and sections by their place.
    """
    if isinstance(value, BaseModel):
        inside: list[tuple[object, object]] = [(field, getattr(value, field)) for field in type(value).model_fields]
    elif isinstance(value, Mapping):
        inside = list(value.items())
    elif isinstance(value, tuple) and value and not isinstance(value[0], str):
        inside = list(enumerate(value))
    else:
        yield name
        return
    for key, one in inside:
        yield from leaves(one, f"{name}.{key}" if name else str(key))


def tree(*changes: Mapping[str, object]) -> Settings:
    """The shipped settings with changes by name, later ones over earlier ones."""
    plain = yaml.safe_load(SHIPPED)
    for change in changes:
        for name, value in change.items():
            put(plain, name, value)
    return Settings.model_validate(plain)


def put(plain: Any, name: str, value: object) -> None:
    """Change one leaf of plain data."""
    *path, leaf = [int(part) if part.isdigit() else part for part in name.split(".")]
    for part in path:
        plain = plain[part]
    assert isinstance(leaf, int) or leaf in plain, f"{name} is no setting"
    plain[leaf] = deepcopy(value)
