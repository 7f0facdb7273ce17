"""The three streams of profit and loss, side by side, with the same sizing and the exact costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from ..core.desk import Desk
from ..core.ports import Experience, Rival, Tracker
from ..core.types import Approved, Idea, Intent, Pair, Side, Slice, Snapshot, Stream, Trade

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
        said: dict[Stream, list[Idea]] = {}
        for source, idea in ideas:
            said.setdefault(source, []).append(idea)
        for name, (stream, desk, least) in self._shadows.items():
            rival = self._rivals.get(name)
            own = said.get(stream, ()) if rival is None else self._of_rival(rival, slice_, snapshot, least)
            if not own and desk.idle:
                continue
            trades = desk.settle(slice_).trades
            if trades:
                self._close(name, trades, slice_.at)
                closed.extend(trades)
            intents = _intents(own, desk.portfolio.positions, least)
            if not desk.rests(intents, own, slice_.at):
                self._decide(name, desk, intents, own, snapshot)
        return closed

    def _close(self, name: str, trades: Sequence[Trade], at: int) -> None:
        self.trades[name].extend(trades)
        if self._experience is not None:
            self._experience.on_trades(at, trades)

    def _of_rival(self, rival: Rival, slice_: Slice, snapshot: Snapshot, least: float | None) -> Sequence[Idea]:
        """What a rival says of a slice with bars, counted."""
        own = () if slice_.bars is None else rival.ideas(snapshot)
        self.said[rival.name] += len(own)
        self.believed[rival.name] += sum(_above(idea, least) for idea in own)
        return own

    def _decide(
        self, name: str, desk: Desk, intents: Sequence[Intent], ideas: Sequence[Idea], snapshot: Snapshot
    ) -> None:
        approved = [v for v in desk.decide(intents, ideas, (), snapshot, "", True) if isinstance(v, Approved)]
        for verdict in approved:
            desk.send(verdict)
        if approved and self._experience is not None:
            self._experience.on_entries(name, [verdict.order for verdict in approved], intents, snapshot)
        desk.broker.outcomes()  # nobody asks what became of paper orders; they would pile up

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


def _intents(ideas: Sequence[Idea], held: Container[Pair], least: float | None) -> list[Intent]:
    """The ideas that a book would buy on. Of what it holds it buys no more, and nobody reads why it did not."""
    return [
        Intent(idea.pair, idea.side, idea.at, idea.score, idea.edge, idea.horizon)
        for idea in ideas
        if idea.side is Side.BUY and idea.pair not in held and _above(idea, least)
    ]


def _above(idea: Idea, least: float | None) -> bool:
    return least is None or (idea.edge or 0.0) > least
