"""Market explorers: three teams of three that look for pairs worth a team of agents, and the board that hears them."""

from __future__ import annotations

from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from ..core.messages import Proposal
from ..core.model import MycelialAgent, MycelialModel, intervals
from ..core.types import Decision, IntArray, Pair, Points, Side, Snapshot, Vote
from .consensus_board import ConsensusBoard
from .prospecting import (
    POINTS,
    SPREAD,
    TREND,
    VOLATILITY,
    VOLUME,
    BarMemory,
    base_points,
    known_assets,
    moat_points,
    speaking,
    team_weights,
)
from .world import World

TEAM = 3
"""Explorers of a team; of the Rule of 3."""

ESTIMATED = ("liquidity",)
"""Where nobody quotes a spread it is estimated from bars, and the proposal says so."""

REASONS = tuple(f"{total}/{POINTS}" for total in range(POINTS + 1))
"""What a vote says of itself."""

_COUPLES = list(combinations(range(TEAM), 2))
_ONE, _OTHER = (list(members) for members in zip(*_COUPLES, strict=True))


def name_of(team: str, team_id: int) -> str:
    """The name of an explorer."""
    return f"explorer-{team}-{team_id}"


class MarketExplorer(MycelialAgent):
    """One of a team's three. It is a named view: its scores are computed for all explorers at once."""

    kind: ClassVar[str] = "market_explorer"

    def __init__(self, model: MycelialModel, team: str, team_id: int, teams: ExplorerTeams) -> None:
        super().__init__(model, name_of(team, team_id))
        self.team = team
        self.team_id = team_id
        self._teams = teams

    def remove(self) -> None:
        """Leave the swarm; its votes count no more."""
        self._teams.silence(self.name)
        super().remove()


class ExplorerTeams:
    """Scores all pairs without a team, once a scan; one message a team and pair that somebody proposes.

    Explorers of a team differ in look-back and thresholds; how often two of them say the same is counted, because
    a vote of two is evidence only where they could differ.
    """

    phase = "sense"
    name = "market-explorers"

    def __init__(self, world: World, board: ConsensusBoard) -> None:
        self._world, self._model, self._board = world, world.model, board
        self._settings = world.settings.prospecting
        self._teams = self._settings.teams
        self._memory = BarMemory(len(world.pairs), world.model.interval_ms, self._settings)
        self._names = [[name_of(team.name, one + 1) for one in range(TEAM)] for team in self._teams]
        self._living = np.ones((len(self._teams), TEAM), dtype=np.bool_)
        self._same = np.zeros((len(self._teams), len(_COUPLES), 2), dtype=np.int64)  # equal votes, all votes
        self._noted: dict[str, list[int]] = {}
        self._due = False
        self._known = known_assets(world.pairs, self._settings)
        self._weights = team_weights(self._settings)
        world.model.add_actor(self)
        world.model.keep(self)
        world.model.every(intervals(self._settings.scan_seconds, world.model.interval_ms), self._scan_is_due)
        self._show()

    def act(self, snapshot: Snapshot) -> None:
        """Remember the bars; when a scan is due, score the pairs that have no team and propose the good ones."""
        self._memory.push(snapshot)
        if not self._due or not np.count_nonzero(snapshot.fresh):
            return
        self._due = False
        active = self._world.active
        if len(active) == len(snapshot.pairs):
            return
        seen = [index for index, pair in enumerate(snapshot.pairs) if pair not in active and snapshot.fresh[index]]
        if not seen:
            return
        base = self._base(snapshot, seen)
        cross = self._cross(snapshot, seen)
        known = base[:, :, 0] >= 0
        self._world.figures.abstentions += int(np.count_nonzero(~known)) * len(self._teams)
        totals = base.sum(axis=2)[None] + cross[:, None, :]
        votes = known[None] & (totals >= self._settings.propose_points)
        self._compare(votes, known)
        votes &= self._living[:, :, None]
        points, moats, said = base.tolist(), cross.tolist(), votes.tolist()
        for team, place in np.argwhere(votes.any(axis=1)).tolist():
            members = [member for member in range(TEAM) if said[team][member][place]]
            scored = [self._points(team, one, points[one][place], moats[team][place]) for one in members]
            self._propose(self._teams[team].name, seen[place], scored, snapshot)

    def silence(self, name: str) -> None:
        """Count this explorer's votes no more: it left."""
        for index, team in enumerate(self._teams):
            for member in range(TEAM):
                if name_of(team.name, member + 1) == name:
                    self._living[index, member] = False
        self._board.forget(name)

    def _scan_is_due(self) -> None:
        self._due = True

    def _base(self, snapshot: Snapshot, seen: list[int]) -> IntArray:
        """Points without the moats, (members, pairs seen, 4)."""
        factors = self._settings.threshold_factors
        measures = [self._memory.measures(snapshot, member)[seen] for member in range(TEAM)]
        return np.stack(
            [base_points(one, factor, self._settings) for one, factor in zip(measures, factors, strict=True)]
        )

    def _cross(self, snapshot: Snapshot, seen: list[int]) -> IntArray:
        """Points of the moats, (teams, pairs seen)."""
        if snapshot.moats is None:
            return np.zeros((len(self._teams), len(seen)), dtype=np.int64)
        voices = speaking(snapshot.moats, self._known, self._settings)[seen]
        weights = (voices[:, :, None] * self._weights).sum(axis=1)  # a plain sum: no BLAS where it decides
        return moat_points(weights.T, self._settings)

    def _compare(self, votes: Any, known: Any) -> None:
        both = known[_ONE] & known[_OTHER]
        equal = (votes[:, _ONE] == votes[:, _OTHER]) & both
        self._same[:, :, 0] += equal.sum(axis=2)
        self._same[:, :, 1] += both.sum(axis=1)
        self._show()

    def _show(self) -> None:
        agreed, asked = self._same.sum(axis=1).T.tolist()
        for team, equal, count in zip(self._teams, agreed, asked, strict=True):
            self._world.figures.agreement[team.name] = equal / count if count else None

    def _points(self, team: int, member: int, row: list[int], cross: int) -> Points:
        return Points(self._names[team][member], row[VOLUME], row[VOLATILITY], row[SPREAD], row[TREND], cross)

    def _propose(self, team: str, index: int, points: list[Points], snapshot: Snapshot) -> None:
        pair, at, spreads = snapshot.pairs[index], snapshot.at, snapshot.spreads
        totals = [one.total for one in points]
        votes = tuple(
            [
                Vote(one.voter, Side.BUY, total / POINTS, REASONS[total])
                for one, total in zip(points, totals, strict=True)
            ]
        )
        if self._noted.get(f"{team} {pair}") != totals:
            self._noted[f"{team} {pair}"] = totals
            self._note(team, pair, votes, at)
        message = Proposal(
            source=points[0].voter,
            at=at,
            known_at=at,
            team=team,
            pair=pair,
            votes=votes,
            points=tuple(points),
            estimated=ESTIMATED if spreads is None or np.isnan(spreads[index]) else (),
        )
        self._model.bus.publish(f"prospecting-proposals:{team}", message)

    def _note(self, team: str, pair: Pair, votes: tuple[Vote, ...], at: int) -> None:
        """A line for the record: a team thinks otherwise of a pair than the last time it proposed it."""
        voters = [f"{vote.voter} {vote.reason}" for vote in votes]
        self._model.note(Decision(at, "vote", pair, source=f"explorers-{team}", detail={"voters": voters}))

    def state(self) -> dict[str, Any]:
        """What is remembered of the bars, how often explorers agreed, whether a scan is due."""
        return {"memory": self._memory.state(), "same": self._same.copy(), "noted": self._noted, "due": self._due,
                "abstentions": self._world.figures.abstentions}  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._memory.restore(state["memory"])
        self._same[:] = state["same"]
        self._noted, self._due = dict(state["noted"]), state["due"]
        self._world.figures.abstentions = state["abstentions"]
        self._show()


def populate(world: World) -> None:
    """Three explorers for each team, the arrays that act for all of them, and their board."""
    teams = world.settings.prospecting.teams
    members = {team.name: tuple(name_of(team.name, one + 1) for one in range(TEAM)) for team in teams}
    board = ConsensusBoard(world, members)
    explorers = ExplorerTeams(world, board)
    for team in teams:
        for team_id in range(1, TEAM + 1):
            MarketExplorer(world.model, team.name, team_id, explorers)
