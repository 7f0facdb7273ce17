"""Asks the parts of one source in turn, so that a part that fails costs nothing of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...core.errors import Gone, Malformed, SourceError
from ...core.types import Observation


class Rounds[P]:
    """Repositories, companies or symbols, asked one after the other.

    `notices` is emptied with every round; what `ask` finds besides may be added to it.
    """

    def __init__(self, parts: Sequence[P]) -> None:
        self._parts = tuple(parts)
        self._first = 0
        self.notices: list[str] = []

    def ask(self, one: Callable[[P], Sequence[Observation]]) -> list[Observation]:
        """What all parts say. A part that is Gone or Malformed is noticed and passed over.

        Raises that error when no part could be read. Any other SourceError ends the round: it is raised with what
        was gathered before, and the next round begins with the part that failed.
        """
        self.notices.clear()
        gathered: list[Observation] = []
        failed: list[SourceError] = []
        count = len(self._parts)
        for place in ((self._first + step) % count for step in range(count)):
            try:
                gathered += one(self._parts[place])
            except (Gone, Malformed) as error:
                failed.append(error)
                self.notices.append(str(error))
            except SourceError as error:
                self._first, error.gathered = place, tuple(gathered)
                raise
        self._first = 0
        if len(failed) == count:
            raise failed[0]
        return gathered
