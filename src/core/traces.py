"""What is kept so that a decision, or that there was none, can be explained later from the ledger alone.

| row | body |
|---|---|
| `rules` | the trader's rules and the limits of the gate, once for each set of them |
| `messages` | a `Meeting` with the messages behind it, and the `data` of its pair |
| `review` | what the gate looked at for one order, its `data`, the size multiplier |
| `silence` | `baseline`, `swarm` and `moats`, in a slice in which one of them changed: rows of numbers by pair |
| `census` | everybody who lived at the end of a run, as `MEMBER` names the columns, and their `society` |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from . import records
from .canonical import digest
from .desk import Limits, Looked, Review
from .meeting import Meeting, TraderRules
from .moat_standing import beside
from .moats import MOATS
from .ports import Row
from .types import NEVER, STATUSES, Approved, MoatView, Order, Pair, Snapshot, Status

RULES, MESSAGES, REVIEW, SILENCE, CENSUS = "rules", "messages", "review", "silence", "census"
KINDS = (RULES, MESSAGES, REVIEW, SILENCE, CENSUS)
"""Kinds of rows."""

NO_TEAM, NO_BAR, WATCHED = range(3)
"""How the analysts of a pair stand: there are none, they were told of no bar, they looked."""
BASELINE = ("pair", "state", "signal_1", "signal_2", "signal_3", "confidence_1", "confidence_2", "confidence_3")
"""Columns of the baseline's silence: a signal is +-(place in SIGNALS), 0 none; its sign is the side."""
SIGNALS = ("", "rsi", "macd", "bollinger")

NOBODY, UNHEARD, WARMING, MUTE, TOO_FEW, SILENCED, CANCELLED, SPOKEN = range(8)
"""How the learners of a pair stand, see `SWARM_WORDS`."""
SWARM_WORDS = (
    "no learner lives there",
    "the learners were told of no bar",
    "all learners are still warming up, or abstain",
    "no learner is sure enough",
    "too few learners agree",
    "enough would agree, were some of them not silenced",
    "as many learners for one side as for the other",
    "an idea was published",
)
SWARM = ("pair", "state", "buying", "selling", "silenced", "warming", "learners", "best_score", "best_edge")
"""Columns of the swarm's silence: supporters by side, silenced supporters, learners without a score, all; 0: none."""
PARTS = 1_000_000
"""Of the format: scores, edges and confidences in rows of silence are whole numbers of such parts."""

MEMBER = ("name", "class", "pair", "team", "moat", "horizon", "parent", "generation")
"""Columns of a census."""


class Rules(msgspec.Struct, frozen=True):
    """Everything that is needed to decide again. `interval_ms`: the base interval of the run."""

    interval_ms: int
    trader: TraderRules
    limits: Limits


class Told(msgspec.Struct, frozen=True):
    """Body of a row of messages: the meeting, and what was known of its pair."""

    meeting: Meeting
    data: dict[str, Any]


class Reviewed(msgspec.Struct, frozen=True):
    """Body of a review: the order, the control that objected (empty: none), the size multiplier, what was seen."""

    at: int
    order: Order
    denied: str
    multiplier: Decimal
    looked: Looked
    data: dict[str, Any]


def rules_row(rules: Rules) -> Row:
    """Once for each set of rules: the same rules give the same row."""
    return records.row(0, RULES, digest(rules), rules)


def census_row(at: int, run_id: str, members: Sequence[Mapping[str, Any]], society: Mapping[str, Any]) -> Row:
    """Everybody who lives at the end (`at`) of a run, or of one life of it, and how they live together."""
    rows = [[member.get(column) for column in MEMBER] for member in members]
    return records.row(at, CENSUS, f"{at}:{run_id}", {"at": at, "members": rows, "society": dict(society)})


class Traces:
    """Makes the rows that explain a slice; remembers how the moats stood, so that they are written on change only."""

    def __init__(self) -> None:
        self._statuses: tuple[Status, ...] = ()
        self._moats_of: MoatsOf | None = None

    def rows(
        self,
        snapshot: Snapshot,
        meetings: Sequence[Meeting],
        silences: dict[str, list[list[int]]],
        reviews: Sequence[Review],
        multipliers: Mapping[Pair, Decimal],
        life: str,
    ) -> list[Row]:
        """`multipliers` of the pairs that are reviewed; `life` names the epoch in which the messages have numbers."""
        at, moats = snapshot.at, self._of_all(snapshot.moats) if meetings or reviews else None
        rows = [
            records.row(at, MESSAGES, f"{at}:{one.pair}:{n}:{life}", Told(one, data_of(snapshot, one.pair, moats)))
            for n, one in enumerate(meetings)
        ]
        rows += [_review_row(one, snapshot, multipliers[one.verdict.order.pair], moats) for one in reviews]
        silent: dict[str, Any] = {**silences, **self._moats(snapshot)}
        if silent:
            rows.append(records.row(at, SILENCE, str(at), {"at": at, **silent}))
        return rows

    def is_told(self, moats: MoatView | None) -> bool:
        """Whether the moats stand as they did in the newest row of silence."""
        return moats is None or moats.statuses == self._statuses

    def _of_all(self, view: MoatView | None) -> MoatsOf | None:
        """Kept from slice to slice while the view stays the same."""
        if view is not None and (self._moats_of is None or self._moats_of.view is not view):
            self._moats_of = MoatsOf(view)
        return None if view is None else self._moats_of

    def _moats(self, snapshot: Snapshot) -> dict[str, list[int]]:
        if snapshot.moats is None or self.is_told(snapshot.moats):
            return {}
        statuses = snapshot.moats.statuses
        self._statuses = statuses
        return {"moats": [STATUSES.index(status) for status in statuses]}

    def state(self) -> dict[str, Any]:
        """How the moats stood last."""
        return {"statuses": [status.value for status in self._statuses]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._statuses = tuple(map(Status, state["statuses"]))


def _review_row(review: Review, snapshot: Snapshot, multiplier: Decimal, moats: MoatsOf | None) -> Row:
    verdict, order = review.verdict, review.verdict.order
    denied = "" if isinstance(verdict, Approved) else verdict.reason
    body = Reviewed(verdict.at, order, denied, multiplier, review.looked, data_of(snapshot, order.pair, moats))
    return records.row(verdict.at, REVIEW, order.id, body)


class MoatsOf:
    """What the data of all pairs have in common as long as nothing new is known of the moats."""

    def __init__(self, view: MoatView) -> None:
        self.view = view
        self._newest = [NEVER] * len(MOATS)
        for column, known_at in zip(view.parts.moat.tolist(), view.parts.known_at.tolist(), strict=True):
            if known_at > self._newest[column]:
                self._newest[column] = known_at
        self._quality: list[float] = view.parts.quality.tolist()

    def known(self, at: int, index: int, pair: Pair) -> dict[str, dict[str, Any]]:
        """Each moat as it stands for the pair at `index`, with its age at `at`."""
        view, asset = self.view, pair.partition("/")[0]
        found: dict[str, dict[str, Any]] = {}
        states, values = view.states[index].tolist(), view.values[index].tolist()
        for column, name in enumerate(MOATS):
            told = found[name] = {
                "status": view.statuses[column],
                "of_the_pair": STATUSES[states[column]],
                "value": values[column],
                "quality": self._quality[column],
            }
            newest = self._newest[column]
            if newest != NEVER:
                told["age_ms"] = max(0, at - newest)
            if figures := beside(view, column, asset):
                told["figures"] = figures
        return found


def data_of(snapshot: Snapshot, pair: Pair, moats: MoatsOf | None = None) -> dict[str, Any]:
    """What was known of a pair: its newest bar and each moat, with their ages at the slice (ms).

    `moats` of the view of this snapshot, where somebody has them already.
    """
    index, at = snapshot.pairs.index(pair), snapshot.at
    fresh, close = snapshot.fresh.item(index), snapshot.close.item(index)
    data: dict[str, Any] = {"fresh": fresh}
    if close == close:
        data["close"] = close
    seen = (at if fresh else NEVER) if snapshot.seen_at is None else snapshot.seen_at.item(index)
    if seen != NEVER:
        data |= {"bar_known_at": seen, "bar_age_ms": at - seen}
    if snapshot.moats is not None:
        data["moats"] = (moats or MoatsOf(snapshot.moats)).known(at, index, pair)
    return data
