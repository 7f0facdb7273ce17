"""Memory, thinking and market intelligence of the supervisor as ports; what a remote one says is untrusted text.

None of them decides: their answers are written down beside a decision. A remote provider can only ever give
`Untrusted`, which no order, command or recommendation has a field for, and which nothing turns into one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from ...core.types import Pair, Snapshot

MAX_CHARACTERS = 2_000
"""Of the format: what is shown of a text; the rest is cut."""


class Untrusted(msgspec.Struct, frozen=True):
    """Text of somebody outside. It is no string on purpose: it can be shown, and nothing else."""

    source: str
    text: str
    at: int

    def shown(self) -> str:
        """One printable line for a screen: control characters and ends of lines become spaces."""
        line = "".join(one if one.isprintable() else " " for one in self.text)
        return " ".join(line.split())[:MAX_CHARACTERS]


class DecisionOutcome(msgspec.Struct, frozen=True):
    """What an action on a symbol came to: `multiple` in R of its position, known at `at` (UTC ms)."""

    pair: Pair
    action: str
    policy: str
    at: int
    multiple: float


class Remembered(msgspec.Struct, frozen=True):
    """Outcomes of an action on a symbol: how many, the share above zero (shrunk towards a prior), the mean in R."""

    count: int
    success: float
    mean: float | None


class DecisionMemory(Protocol):
    """What became of past decisions."""

    def remember(self, outcome: DecisionOutcome) -> None:
        """Keep an outcome."""
        ...

    def of(self, pair: Pair, action: str) -> Remembered:
        """What is known of an action on a symbol; outcomes of other symbols do not count."""
        ...


class Option(msgspec.Struct, frozen=True):
    """Something that could be done. `priority`: smaller comes first. `hindered`: why it cannot be done, else empty."""

    name: str
    action: str
    priority: int
    hindered: str = ""


class Weighed(msgspec.Struct, frozen=True):
    """An option and what speaks for it, in [0, 1]."""

    name: str
    weight: float
    hindered: str = ""


class Thought(msgspec.Struct, frozen=True):
    """Options weighed, the best first, and the steps that led there; the same input gives the same thought."""

    options: tuple[Weighed, ...]
    steps: tuple[str, ...]


class Thinking(Protocol):
    """Weighs options under constraints."""

    def weigh(self, pair: Pair, options: Sequence[Option]) -> Thought:
        """All options, the hindered ones last."""
        ...


class MarketContext(msgspec.Struct, frozen=True):
    """What is known around a symbol: status and value of each moat, hours to the next scheduled event (negative: since
    the last), remarks of a remote provider."""

    pair: Pair
    moats: Mapping[str, str]
    values: Mapping[str, float]
    event_hours: float | None
    remarks: tuple[Untrusted, ...] = ()


class MarketIntelligence(Protocol):
    """Tells what is known around a symbol."""

    def context(self, snapshot: Snapshot, pair: Pair) -> MarketContext:
        """As of the snapshot."""
        ...


class RemoteIntelligence(Protocol):
    """News or a language model: it is asked in words and answers in untrusted ones."""

    def ask(self, question: str, at: int) -> Untrusted:
        """The answer; a kind of SourceError where there is none."""
        ...
