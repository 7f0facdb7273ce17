"""Findings as plain JSON types: a figure that is not defined becomes null, whatever kind of nothing it was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np


def plain(value: Any) -> Any:
    """Structs and mappings as objects, arrays and tuples as lists, numbers that are not finite as None.

    >>> plain({"a": (1.5, float("nan")), "b": np.array([1])})
    {'a': [1.5, None], 'b': [1]}
    """
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
