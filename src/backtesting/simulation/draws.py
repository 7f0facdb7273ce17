"""Random numbers of a schedule: one stream a name, drawn in blocks, since a schedule takes thousands of them singly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ...core.randomness import generator_for

T = TypeVar("T")

_BLOCK = 256
"""How many are drawn at once; part of no result."""


class Draws:
    """Uniform draws that depend on (seed, name) and on how many were taken before, on nothing else."""

    def __init__(self, seed: int, name: str) -> None:
        self._generator = generator_for(seed, f"simulation:{name}")
        self._left: list[float] = []

    def ratio(self) -> float:
        """In [0, 1)."""
        if not self._left:
            self._left = self._generator.random(_BLOCK).tolist()
        return self._left.pop()

    def chance(self, probability: float) -> bool:
        """Whether something of that probability happens."""
        return self.ratio() < probability

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self.ratio() * (high - low + 1))

    def pick(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[int(self.ratio() * len(choices))]
