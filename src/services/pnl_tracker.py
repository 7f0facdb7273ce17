"""The three streams of profit and loss, side by side, with the same sizing and the exact costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.desk import Desk
from ..core.ports import Experience, Rival, Tracker
from ..core.types import Approved, Idea, Intent, Slice, Snapshot, Stream, Trade

_RIVALS, _COUNTS = "rivals", "rivals' ideas"
"""Under which their state stands beside that of the books."""


class PnLTracker(Tracker):
    """Runs a shadow desk for each stream that only exists on paper, and collects all trades by stream.

    `shadows` maps a name to (the stream whose ideas it takes, its desk, the least edge it asks for or None).
    `experience` hears of their entries. A book that is called as one of the `rivals` takes the ideas of that rival
    alone; `said` and `believed` count its ideas, all of them and those above the least edge.
    """

    def __init__(
        self,
        shadows: Mapping[str, tuple[Stream, Desk, float | None]],
        experience: Experience | None = None,
        rivals: Sequence[Rival] = (),
    ) -> None:
        self._shadows = dict(shadows)
        self._rivals = {rival.name: rival for rival in rivals}
        self.said: Counter[str] = Counter()
        self.believed: Counter[str] = Counter()
        self._experience = experience
        self.trades: dict[str, list[Trade]] = {name: [] for name in shadows}
        self.trades[Stream.SYNTHESIZED.value] = []

    def on_slice(self, slice_: Slice, snapshot: Snapshot, ideas: Sequence[tuple[Stream, Idea]]) -> Sequence[Trade]:
        """Settle, decide and send in every shadow book; returns the trades that closed."""
        closed: list[Trade] = []
        if slice_.bars is None and not ideas:
            return closed  # nothing can fill, and what is decided with the next bars fills no later
        for name, (stream, desk, least) in self._shadows.items():
            settled = desk.settle(slice_)
            self.trades[name].extend(settled.trades)
            closed.extend(settled.trades)
            if settled.trades and self._experience is not None:
                self._experience.on_trades(slice_.at, settled.trades)
            own: Sequence[Idea]
            if name in self._rivals:
                own = () if slice_.bars is None else self._rivals[name].ideas(snapshot)
            else:
                own = [idea for source, idea in ideas if source is stream]
            intents = [_intent(idea) for idea in own if least is None or (idea.edge or 0.0) > least]
            if name in self._rivals:
                self.said[name] += len(own)
                self.believed[name] += len(intents)
            if intents or desk.portfolio.positions or desk.broker.open_orders():
                self._decide(name, desk, intents, own, snapshot)
            desk.broker.outcomes()  # nobody asks what became of paper orders; they would pile up
        return closed

    def _decide(
        self, name: str, desk: Desk, intents: Sequence[Intent], ideas: Sequence[Idea], snapshot: Snapshot
    ) -> None:
        approved = [v for v in desk.decide(intents, ideas, (), snapshot, "", True) if isinstance(v, Approved)]
        for verdict in approved:
            desk.send(verdict)
        if approved and self._experience is not None:
            self._experience.on_entries(name, [verdict.order for verdict in approved], intents, snapshot)

    def account_trade(self, trade: Trade) -> None:
        """A trade of the account closed: it belongs to the synthesized stream."""
        self.trades[Stream.SYNTHESIZED.value].append(trade)

    def recall(self, trades: Iterable[Trade]) -> None:
        """Take back the trades of an earlier life, each into its book; their ids begin with its name."""
        for trade in trades:
            self.trades[trade.id.rpartition("-")[0]].append(trade)

    def state(self) -> dict[str, Any]:
        """The shadow desks and rivals; closed trades are in the ledger, see `recall`."""
        desks = {name: {"desk": d.state(), "broker": d.broker.state()} for name, (_, d, _) in self._shadows.items()}
        counts = {"said": dict(self.said), "believed": dict(self.believed)}
        return desks | {_RIVALS: {name: rival.state() for name, rival in self._rivals.items()}, _COUNTS: counts}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        for name, (_, desk, _) in self._shadows.items():
            desk.restore(state[name]["desk"])
            desk.broker.restore(state[name]["broker"])
        for name, rival in self._rivals.items():
            rival.restore(state[_RIVALS][name])
        self.said, self.believed = (Counter(state[_COUNTS][kind]) for kind in ("said", "believed"))


def _intent(idea: Idea) -> Intent:
    return Intent(idea.pair, idea.side, idea.at, idea.score, idea.edge, idea.horizon)
