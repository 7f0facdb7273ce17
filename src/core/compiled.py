"""How loops are compiled, alike in every room: what decides must not depend on options that somebody forgot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba import njit


def compiled[F: Callable[..., Any]](function: F) -> F:
    """numba's njit, cached on disk, with the type of the plain function.

    Neither fastmath nor parallel reductions; a division by zero is infinite or NaN, as numpy has it.
    """
    return cast(F, njit(cache=True, error_model="numpy")(function))
