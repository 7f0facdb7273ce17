"""Tables that are read once from front to back: what was passed is given back, so that a long run does not carry it."""

from __future__ import annotations

import math
import mmap

import numpy as np

from .types import FloatArray


class Pages:
    """Arrays in memory of their own, of which the first rows can be given back while later ones are still read."""

    def __init__(self) -> None:
        self._blocks: list[tuple[mmap.mmap, int]] = []  # and the bytes of a row

    def array(self, *shape: int) -> FloatArray:
        """An array of this shape, all zeros; nothing is taken from the system before it is written."""
        row = math.prod(shape[1:]) * np.dtype(np.float64).itemsize
        block = mmap.mmap(-1, max(1, shape[0] * row), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._blocks.append((block, row))
        return np.frombuffer(block, np.float64, math.prod(shape)).reshape(shape)

    def give_back(self, rows: int) -> None:
        """The first `rows` of every array are read no more; they are zeros from now on, but for the last page."""
        for block, row in self._blocks:
            whole = rows * row // mmap.PAGESIZE * mmap.PAGESIZE
            if whole:
                block.madvise(mmap.MADV_DONTNEED, 0, whole)
