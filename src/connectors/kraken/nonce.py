"""Gives each signed call a number above all earlier ones of its key, over restarts and clocks that go back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Protocol

from ...core.errors import LedgerError
from ..durable import put

_LARGEST = 2**64 - 1


class NonceStore(Protocol):
    """Where the last nonce of one key survives."""

    def last(self) -> int:
        """The highest nonce that was kept, 0 where there is none."""
        ...

    def keep(self, nonce: int) -> None:
        """Durable when this returns; raises LedgerError, and the nonce is not used, when it cannot be."""
        ...


class Nonces:
    """The only source of nonces of one key: `max(last + 1, now)`, kept before it is used. `now_ns`: UTC ns."""

    def __init__(self, store: NonceStore, now_ns: Callable[[], int]) -> None:
        self._store, self._now_ns = store, now_ns
        self._lock = Lock()
        self._last = store.last()

    def next(self) -> int:
        """The next one; LedgerError when it could not be kept or Kraken's 64 bits are used up."""
        with self._lock:
            return self._take(max(self._last + 1, self._now_ns()))

    def jump(self, ahead_ns: int) -> int:
        """Go on this far above the clock and the last one: somebody else has used this key with higher nonces."""
        with self._lock:
            return self._take(max(self._last, self._now_ns()) + ahead_ns)

    def _take(self, nonce: int) -> int:
        if nonce > _LARGEST:
            raise LedgerError(f"nonce {nonce}: the clock of this machine is far off; set it, and make a new key")
        self._store.keep(nonce)
        self._last = nonce
        return nonce


class NonceFile:
    """One number in one file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def last(self) -> int:
        """LedgerError when the file holds anything but a number: to begin anew could lock the key out."""
        try:
            text = self._path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return 0
        except (OSError, UnicodeDecodeError) as error:
            raise LedgerError(f"{self._path}: cannot be read ({error}); mend it or make a new key") from None
        if not (text.isascii() and text.isdigit()) or int(text) > _LARGEST:
            raise LedgerError(f"{self._path}: holds no nonce; write the last one used into it, or make a new key")
        return int(text)

    def keep(self, nonce: int) -> None:
        """Write, sync, replace, sync the folder."""
        try:
            put(self._path, str(nonce).encode())
        except OSError as error:
            raise LedgerError(f"{self._path}: the nonce cannot be kept ({error.strerror}); nothing is sent") from None
