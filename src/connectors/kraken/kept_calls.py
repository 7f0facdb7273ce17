"""Keeps the counter of a key's calls over a restart: the exchange does not begin anew because a process did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from ..durable import put


class _Kept(msgspec.Struct, frozen=True):
    """What the counter stood at, and when (UTC ms)."""

    value: float
    at: int


class CallsFile:
    """One counter in one file. `now` tells UTC ms; the counter falls by `decay` a second while nobody runs."""

    def __init__(self, path: Path, now: Callable[[], int], decay: float) -> None:
        self._path, self._now, self._decay = path, now, decay

    def last(self) -> float | None:
        """What it stands at by now; a clock that went back counts as no time at all. None for what is no counter."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return 0.0
        except (OSError, msgspec.DecodeError):
            return None
        return max(0.0, kept.value - max(0, self._now() - kept.at) / 1000 * self._decay)

    def keep(self, value: float) -> None:
        """Replace it. A disk that takes nothing is told by the nonce, which every call needs as well."""
        try:
            put(self._path, msgspec.json.encode(_Kept(value, self._now())))
        except OSError:
            return
