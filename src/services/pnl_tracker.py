"""The three streams of profit and loss, side by side, with the same sizing and the exact costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from ..core.desk import Desk
from ..core.ports import Experience, Rival, Tracker
from ..core.timeframes import DAY_MS
from ..core.types import Approved, Idea, Intent, Pair, Side, Slice, Snapshot, Stream, Trade
from .paper_books import PaperBooks, Rules, Source, Walked

_RIVALS, _COUNTS = "rivals", "rivals' ideas"
"""Under which their state stands beside that of the books."""


class PnLTracker(Tracker):
    """Runs a shadow book for each stream that only exists on paper, and collects all trades by stream.

    `shadows` maps a name to (the stream whose ideas it takes, its desk, the least edge it asks for or None).
    `experience` hears of their entries. A book that is called as one of the `rivals` takes the ideas of that rival
    alone; `said` and `believed` count its ideas, all of them and those above the least edge.

    With `rules` the books are walked by one compiled step, which does what their desks would do. A book that it
    cannot walk exactly is walked by its desk, until the next day (UTC) begins.
    """

    def __init__(
        self,
        shadows: Mapping[str, tuple[Stream, Desk, float | None]],
        experience: Experience | None = None,
        rivals: Sequence[Rival] = (),
        rules: Rules | None = None,
    ) -> None:
        self._shadows = dict(shadows)
        self._rivals = {rival.name: rival for rival in rivals}
        self.said: Counter[str] = Counter()
        self.believed: Counter[str] = Counter()
        self._experience = experience
        self.trades: dict[str, list[Trade]] = {name: [] for name in shadows}
        self.trades[Stream.SYNTHESIZED.value] = []
        self._paper = None if rules is None else PaperBooks([self._source(name) for name in shadows], rules)
        self._names = tuple(shadows)
        self._places = {name: place for place, name in enumerate(shadows)}
        learnt = () if experience is None else [name for name in shadows if experience.learns_from(name)]
        self._learnt = frozenset(self._places[name] for name in learnt)
        self._walked_from = -1  # the day on which books were last taken over from their desks

    def _source(self, name: str) -> Source:
        stream, desk, least = self._shadows[name]
        return Source(name, desk.portfolio.stream, name if name in self._rivals else stream, least)

    def on_slice(self, slice_: Slice, snapshot: Snapshot, ideas: Sequence[tuple[Stream, Idea]]) -> Sequence[Trade]:
        """Settle, decide and send in every shadow book; returns the trades that closed."""
        if slice_.bars is None and not ideas:
            return ()  # nothing can fill, and what is decided with the next bars fills no later
        said: list[tuple[str, Idea]] = list(ideas)
        for rival in self._rivals.values():
            said += self._of_rival(rival, slice_, snapshot)
        if self._paper is None:
            return self._by_desks(self._shadows, slice_, snapshot, said)
        self._take_over(self._paper, slice_, snapshot)
        walked = self._paper.step(slice_, snapshot, said, self._learnt)
        closed: list[Trade] = []
        if not (walked.trades or walked.entries or walked.left):
            return closed
        for place in sorted({*walked.trades, *walked.entries, *walked.left}):
            name = self._names[place]
            if place in walked.left:
                self._give_back(self._paper, name, place)
                closed += self._by_desks((name,), slice_, snapshot, said)
            else:
                closed += self._heard(name, place, walked, slice_, snapshot)
        return closed

    def _of_rival(self, rival: Rival, slice_: Slice, snapshot: Snapshot) -> list[tuple[str, Idea]]:
        """What a rival says of a slice with bars, counted; without what its book would not buy on anyway."""
        name, least = rival.name, self._shadows[rival.name][2]
        own: Sequence[Idea] = () if slice_.bars is None else rival.ideas(snapshot)
        kept: list[tuple[str, Idea]] = []
        believed, buy = 0, Side.BUY
        for idea in own:
            if least is None or (idea.edge or 0.0) > least:
                believed += 1
            elif idea.side is buy:
                continue
            kept.append((name, idea))
        self.said[name] += len(own)
        self.believed[name] += believed
        return kept

    # Walked by the compiled step

    def _take_over(self, paper: PaperBooks, slice_: Slice, snapshot: Snapshot) -> None:
        """Walk by the compiled step what it can walk; other pairs than before begin at the desks."""
        day = slice_.at // DAY_MS
        if not paper.fits(slice_, snapshot):
            for name in self._places:
                self.desk(name)
            paper.lay(snapshot.pairs)
            self._walked_from = -1
        if day == self._walked_from or not paper.fits(slice_, snapshot):
            return
        self._walked_from = day
        for name, place in self._places.items():
            if not paper.walks(place):
                desk = self._shadows[name][1]
                paper.take(place, desk.state(), desk.broker.state())

    def _give_back(self, paper: PaperBooks, name: str, place: int) -> None:
        if paper.walks(place):
            self._restore(self._shadows[name][1], *paper.leave(place))

    def _heard(self, name: str, place: int, walked: Walked, slice_: Slice, snapshot: Snapshot) -> Sequence[Trade]:
        """Write down what the compiled step made of a book."""
        trades = walked.trades.get(place, ())
        if trades:
            self._close(name, trades, slice_.at)
        entries = walked.entries.get(place)
        if entries and self._experience is not None:
            self._experience.on_intents(name, entries, snapshot)
        return trades

    def desk(self, name: str) -> Desk:
        """A book as its desk, brought up to now: to look at, for the next slice may be walked without it."""
        desk, place = self._shadows[name][1], self._places[name]
        if self._paper is not None and self._paper.walks(place):
            self._restore(desk, *self._paper.state(place))
        return desk

    @staticmethod
    def _restore(desk: Desk, state: dict[str, Any], broker: dict[str, Any]) -> None:
        desk.restore(state)
        desk.broker.restore(broker)

    # Walked by desks

    def _by_desks(
        self, names: Iterable[str], slice_: Slice, snapshot: Snapshot, said: Sequence[tuple[str, Idea]]
    ) -> list[Trade]:
        closed: list[Trade] = []
        for name in names:
            stream, desk, least = self._shadows[name]
            source = name if name in self._rivals else stream
            own = [idea for one, idea in said if one == source]
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
        if self._experience is not None and self._places[name] in self._learnt:
            self._experience.on_trades(at, trades)

    def _decide(
        self, name: str, desk: Desk, intents: Sequence[Intent], ideas: Sequence[Idea], snapshot: Snapshot
    ) -> None:
        approved = [v for v in desk.decide(intents, ideas, (), snapshot, "", True) if isinstance(v, Approved)]
        for verdict in approved:
            desk.send(verdict)
        if approved and self._experience is not None:
            self._experience.on_entries(name, [verdict.order for verdict in approved], intents, snapshot)
        desk.broker.outcomes()  # nobody asks what became of paper orders; they would pile up

    # Both ways

    def account_trade(self, trade: Trade) -> None:
        """A trade of the account closed: it belongs to the synthesized stream."""
        self.trades[Stream.SYNTHESIZED.value].append(trade)

    def recall(self, trades: Iterable[Trade]) -> None:
        """Take back the trades of an earlier life, each into its book; their ids begin with its name."""
        for trade in trades:
            self.trades[trade.id.rpartition("-")[0]].append(trade)

    def state(self) -> dict[str, Any]:
        """The shadow books and rivals; closed trades are in the ledger, see `recall`."""
        desks = {name: self._state(name) for name in self._shadows}
        counts = {"said": dict(self.said), "believed": dict(self.believed)}
        return desks | {_RIVALS: {name: rival.state() for name, rival in self._rivals.items()}, _COUNTS: counts}

    def _state(self, name: str) -> dict[str, Any]:
        desk, place = self._shadows[name][1], self._places[name]
        if self._paper is not None and self._paper.walks(place):
            state, broker = self._paper.state(place)
            return {"desk": state, "broker": broker}
        return {"desk": desk.state(), "broker": desk.broker.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`, whichever way its books were walked."""
        for name, (_, desk, _) in self._shadows.items():
            self._restore(desk, state[name]["desk"], state[name]["broker"])
        if self._paper is not None:
            self._paper.lay(self._paper.pairs)
            self._walked_from = -1
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
