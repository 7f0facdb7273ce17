"""The miners of the moats outside the market: they announce what the board of moats made of the observations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..core.config import Moats
from ..core.messages import Message, MoatData
from ..core.moat_code import FIGURES
from ..core.moat_standing import standing
from ..core.moats import CODE, CORPORATE, GOVERNMENT, LOGISTICS, MOATS, SPEAKING
from ..core.types import Decision, MoatStanding, MoatView, Pair, Snapshot, Status
from .data_engineer import DataEngineerBase, Reading
from .world import World

OTHER = "Other"
"""The language of assets whose repositories no setting names."""


class MoatMiner(DataEngineerBase):
    """One a moat. It speaks when its moat has news, and notes once when its moat has nothing (any more) to say."""

    column: ClassVar[int]
    channel: ClassVar[str]

    def __init__(self, world: World, subject: str) -> None:
        moats = world.settings.moats
        half_life = getattr(moats.pace, MOATS[self.column]).half_life_seconds
        max_age_ms = round(1000 * half_life * moats.board.stale_half_lives)
        super().__init__(world.model, self.kind.replace("_", "-"), max_age_ms)
        self._subject = subject
        self._strength = moats.board.strength
        self._standing: MoatStanding | None = None
        self._status = Status.NO_DATA
        self._seen: MoatView | None = None

    def act(self, snapshot: Snapshot) -> None:
        """Note a status that is no data, then publish what is new; a view of the moats seen before says neither."""
        view = snapshot.moats
        if view is None or view is self._seen:
            return
        self._seen = view
        self._follow(view.statuses[self.column], snapshot.at)
        super().act(snapshot)

    def _follow(self, status: Status, at: int) -> None:
        """An abstention, once each time the moat falls silent, with the reason; it is born without data."""
        if status is not self._status and status not in SPEAKING:
            detail: dict[str, Any] = {"moat": MOATS[self.column]}
            self.model.note(Decision(at, "abstention", reason=status.value, source=self.name, detail=detail))
        self._status = status

    def fetch(self, snapshot: Snapshot) -> Reading | None:
        """The moat's figures when this slice brought something new; None otherwise."""
        view = snapshot.moats
        if view is None or view.news_at[self.column] != snapshot.at:
            return None
        now = self._standing = standing(view, self.column, self._strength)
        return Reading(int(view.parts.as_of[self.column]) - (now.age_ms or 0), now.figures)

    def announce(self, reading: Reading, snapshot: Snapshot) -> tuple[str, Message]:
        """The moat's channel."""
        return self._message(self._subject, reading.values, reading, snapshot)

    def _message(
        self, subject: str, features: dict[str, float], reading: Reading, snapshot: Snapshot
    ) -> tuple[str, Message]:
        now = self._standing
        assert now is not None, "fetched before it is announced"
        message = MoatData(
            source=self.name,
            at=snapshot.at,
            known_at=reading.known_at,
            moat=now.moat,
            subject=subject,
            features=features,
            status=now.status,
            age_ms=now.age_ms,
            quality=now.quality,
            simulated=now.simulated,
        )
        return f"{self.channel}:{subject}", message

    def status(self, at: int) -> Status:
        """How the moat stood in the last slice."""
        return self._status

    def state(self) -> dict[str, Any]:
        """The cached reading and the status that was noted last."""
        return {**super().state(), "status": self._status.value}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        self._status = Status(state["status"])
        super().restore({name: value for name, value in state.items() if name != "status"})


class CodeMiner(MoatMiner):
    """Visible commits and what the repositories tell of themselves, one channel for each language."""

    kind: ClassVar[str] = "code_miner"
    column = CODE
    channel = "code-data"

    def __init__(self, world: World, assets_of: Mapping[str, Sequence[str]]) -> None:
        super().__init__(world, OTHER)
        self._assets_of = assets_of
        self._said: Status | None = None

    def announcements(self, reading: Reading, snapshot: Snapshot) -> Sequence[tuple[str, Message]]:
        """The languages of which this slice says something; all of them when the moat stands differently."""
        named = {seen.subject for seen in snapshot.observations if seen.moat == MOATS[CODE]}
        changed = self._said is not self._status
        self._said = self._status
        messages = []
        for language, assets in self._assets_of.items():
            names = [name for asset in assets for name in (asset, f"{asset}.z", *(f"{asset}.{one}" for one in FIGURES))]
            features = {name: reading.values[name] for name in names if name in reading.values}
            if features and (changed or not named.isdisjoint(assets)):
                messages.append(self._message(language, features, reading, snapshot))
        return messages

    def state(self) -> dict[str, Any]:
        """Also the status that was said last."""
        return {**super().state(), "said": self._said and self._said.value}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with it."""
        self._said = state["said"] and Status(state["said"])
        super().restore({name: value for name, value in state.items() if name != "said"})


class LogisticsMiner(MoatMiner):
    """Hash rate, difficulty, dry-bulk freight."""

    kind: ClassVar[str] = "logistics_miner"
    column = LOGISTICS
    channel = "logistics-data"


class GovernmentMiner(MoatMiner):
    """Scheduled events, and what the agencies published."""

    kind: ClassVar[str] = "government_miner"
    column = GOVERNMENT
    channel = "govt-data"


class CorporateMiner(MoatMiner):
    """Filings and the shares of mining companies."""

    kind: ClassVar[str] = "corporate_miner"
    column = CORPORATE
    channel = "corp-data"


def languages(pairs: Sequence[Pair], settings: Moats) -> dict[str, list[str]]:
    """The base assets of `pairs` by language: that of an asset's first repository in the settings, else `OTHER`."""
    of: dict[str, str] = {}
    for repository in settings.github.repositories:
        of.setdefault(repository.asset, repository.language)
    assets: dict[str, list[str]] = {}
    for base in dict.fromkeys(pair.partition("/")[0] for pair in pairs):
        assets.setdefault(of.get(base, OTHER), []).append(base)
    return assets


def populate_code(world: World) -> None:
    """One miner for all repositories."""
    CodeMiner(world, languages(world.pairs, world.settings.moats))


def populate_logistics(world: World) -> None:
    """One miner."""
    LogisticsMiner(world, world.settings.moats.board.region)


def populate_government(world: World) -> None:
    """One miner."""
    GovernmentMiner(world, world.settings.moats.board.government)


def populate_corporate(world: World) -> None:
    """One miner."""
    CorporateMiner(world, world.settings.moats.board.sector)
