"""Keeps the closes that a run saw, bar by bar, so that its entries can later be held against others."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import msgspec
import numpy as np

from ..core.errors import DataError, UsageError
from ..core.types import FloatArray, IntArray

CLOSES = "closes.npz"
"""The file of a run's folder: numpy arrays `at`, `close` and `pairs`, compressed."""


class Closes(msgspec.Struct, frozen=True):
    """`at` (n,) UTC ms, strictly rising, when bars closed; `close` (n, pairs), NaN where a pair had none yet."""

    at: IntArray
    pairs: tuple[str, ...]
    close: FloatArray


def write(folder: Path, closes: Closes) -> None:
    """Write the file; equal closes give equal bytes. UsageError when it cannot be written."""
    try:
        np.savez_compressed(folder / CLOSES, at=closes.at, close=closes.close, pairs=np.array(closes.pairs, np.str_))
    except OSError as error:
        raise UsageError(f"{folder / CLOSES}: {error.strerror}; name a folder that can be written") from error


def read(folder: Path) -> Closes | None:
    """The closes of a run; None where it kept none, DataError where the file is damaged."""
    path = folder / CLOSES
    try:
        with np.load(path, allow_pickle=False) as file:
            return Closes(file["at"], tuple(file["pairs"].tolist()), file["close"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(f"{path}: not the closes of a run ({error}); run the backtest again") from error
