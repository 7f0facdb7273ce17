"""The three streams of profit and loss, side by side, with the same sizing and the exact costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.desk import Desk
from ..core.ports import Tracker
from ..core.types import Approved, Idea, Intent, Slice, Snapshot, Stream, Trade


class PnLTracker(Tracker):
    """Runs a shadow desk for each stream that only exists on paper, and collects all trades by stream.

    `shadows` maps a name to (the stream whose ideas it takes, its desk, the least edge it asks for or None).
    """

    def __init__(self, shadows: Mapping[str, tuple[Stream, Desk, float | None]]) -> None:
        self._shadows = dict(shadows)
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
            own = [idea for source, idea in ideas if source is stream]
            intents = [_intent(idea) for idea in own if least is None or (idea.edge or 0.0) > least]
            for verdict in desk.decide(intents, own, (), snapshot, "", True):
                if isinstance(verdict, Approved):
                    desk.send(verdict)
            desk.broker.outcomes()  # nobody asks what became of paper orders; they would pile up
        return closed

    def account_trade(self, trade: Trade) -> None:
        """A trade of the account closed: it belongs to the synthesized stream."""
        self.trades[Stream.SYNTHESIZED.value].append(trade)

    def recall(self, trades: Iterable[Trade]) -> None:
        """Take back the trades of an earlier life, each into its book; their ids begin with its name."""
        for trade in trades:
            self.trades[trade.id.rpartition("-")[0]].append(trade)

    def state(self) -> dict[str, Any]:
        """The shadow desks; closed trades are in the ledger, see `recall`."""
        return {name: {"desk": d.state(), "broker": d.broker.state()} for name, (_, d, _) in self._shadows.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        for name, (_, desk, _) in self._shadows.items():
            desk.restore(state[name]["desk"])
            desk.broker.restore(state[name]["broker"])


def _intent(idea: Idea) -> Intent:
    return Intent(idea.pair, idea.side, idea.at, idea.score, idea.edge, idea.horizon)
