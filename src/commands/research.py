"""Packages that only evidence needs: imported when they are asked for, with the line that installs them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ..core.errors import UsageError

INSTALL = "python3 scripts/research.py"


def need(module: str, what: str) -> ModuleType:
    """The module; UsageError with the remedy where it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise UsageError(f"{what} needs {module.partition('.')[0]}: install it with `{INSTALL}`") from None
