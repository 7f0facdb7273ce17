"""Looks through JSON for the words that a number leaves which is not finite; compiled, for who encodes in every slice.

Commands that encode a few lines do without it: to load numba takes longer than all of their work.
"""

from __future__ import annotations

from .compiled import compiled

_N, _LOWER_U, _LOWER_L = b"nul"
_UPPER_N, _LOWER_A, _UPPER_I, _LOWER_F = b"NaIf"


@compiled
def is_clean(raw: bytes) -> bool:
    """Whether there is neither `null` nor `NaN` nor `Inf`; the ends of a text are brackets or quotes.

    Without a branch, so that the compiler can look at many bytes at once.
    """
    found = False
    for i in range(len(raw) - 3):
        found |= (raw[i] == _N) & (raw[i + 1] == _LOWER_U) & (raw[i + 2] == _LOWER_L) & (raw[i + 3] == _LOWER_L)
        found |= (raw[i] == _UPPER_N) & (raw[i + 1] == _LOWER_A) & (raw[i + 2] == _UPPER_N)
        found |= (raw[i] == _UPPER_I) & (raw[i + 1] == _N) & (raw[i + 2] == _LOWER_F)
    return not found
