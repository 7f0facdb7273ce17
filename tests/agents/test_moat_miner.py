"""The miners of the moats: what they announce, when, and that nobody uses a moat whose message was not heard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from src.agents.heard import MOAT_PATTERNS, HeardMoats
from src.agents.moat_miner import (
    CodeMiner,
    MoatMiner,
    languages,
    populate_code,
    populate_corporate,
    populate_government,
    populate_logistics,
)
from src.core.market import MOAT_COLUMNS, Market
from src.core.messages import MoatData
from src.core.moats import CODE, FAILED, MOATS
from src.core.timeframes import DAY_MS, HOUR_MS
from src.core.types import Observation, Pair, Slice, Snapshot, Status
from tests.agents.made import ACCOUNT, START, record, world
from tests.moats import all_moats, commit, document, equity, event, network, repository
from tests.worlds import settings

ETH, UNI, DOGE = Pair("ETH/USDT"), Pair("UNI/USDT"), Pair("DOGE/USDT")


class Mine:
    """The four miners over a market without bars."""

    def __init__(self, pairs: tuple[Pair, ...] = (ETH, UNI, DOGE)) -> None:
        self.world = world(pairs)
        for populate in (populate_code, populate_logistics, populate_government, populate_corporate):
            populate(self.world)
        self.market = Market(pairs, HOUR_MS, self.world.settings)
        self.heard: dict[str, list[MoatData]] = {p: record(self.world, p) for p in MOAT_PATTERNS}

    def see(self, at: int, *observations: Observation) -> Snapshot:
        for messages in self.heard.values():
            messages.clear()
        self.world.model.bus._clock.reach(at)  # type: ignore[attr-defined]
        snapshot = self.market.push(Slice(at, None, observations))
        assert self.world.model.on_snapshot(snapshot, ACCOUNT)
        assert not self.world.model.faults
        return snapshot

    def spoken(self) -> list[tuple[str, str]]:
        return [(message.moat, message.subject) for messages in self.heard.values() for message in messages]

    def abstentions(self) -> list[tuple[str, str]]:
        notes = self.world.model.outbox.drain()[1]
        return [(str(n.detail["moat"]), n.reason or "") for n in notes if n.kind == "abstention"]


def test_m_f04_each_miner_speaks_on_its_own_channel() -> None:
    mine = Mine()
    mine.see(START, *all_moats("ETH", START))
    assert mine.spoken() == [
        ("code", "Solidity"), ("government", "US-Federal"), ("logistics", "Global"), ("corporate", "Finance"),
    ]  # fmt: skip


def test_m_f30_a_message_carries_the_metric_and_its_distance_by_name() -> None:
    mine = Mine()
    days = range(START // DAY_MS - 40, START // DAY_MS)
    said = [network(day, 100.0 + (day % 5), 50.0) for day in days] + [equity("BDRY", day, 20.0) for day in days]
    snapshot = mine.see(START, *said, event(START - DAY_MS), event(START + 5 * HOUR_MS))
    (logistics,) = mine.heard["logistics-data:*"]
    assert logistics.features["hash_rate_change"] == pytest.approx(
        (100 + (days[-1] % 5)) / (100 + ((days[-1] - 7) % 5)) - 1
    )
    assert logistics.features["difficulty_change"] == logistics.features["difficulty_change.z"] == 0.0
    value = np.mean([logistics.features[f"{name}_change.z"] for name in ("hash_rate", "difficulty", "freight")])
    assert snapshot.features[:, MOAT_COLUMNS][0, MOATS.index("logistics")] == pytest.approx(value)
    (government,) = mine.heard["govt-data:*"]
    assert government.features["event_hours"] == 5.0
    assert (government.at, government.known_at, government.age_ms) == (START, START, 0)


def test_a_language_speaks_when_one_of_its_assets_did() -> None:
    mine = Mine()
    mine.see(START, commit("ETH", START), commit("DOGE", START))
    assert mine.spoken() == [("code", "Solidity"), ("code", "Other")]
    assert mine.heard["code-data:*"][0].features == {"ETH": 1.0}
    mine.see(START + 1, commit("DOGE", START + 1))
    assert mine.spoken() == [("code", "Other")]
    assert mine.heard["code-data:*"][0].features == {"DOGE": 2.0}
    mine.see(START + 2, commit("BTC", START + 2))
    assert mine.spoken() == [], "no pair of this run"
    mine.see(START + HOUR_MS)
    assert mine.spoken() == [], "an hour is no news"


def test_what_repositories_tell_travels_with_their_language() -> None:
    mine = Mine()
    figures = {"commits_24h": 20.0, "contributors": 300.0, "open_issues": 150.0}
    mine.see(START, repository("ETH", "ethereum/go-ethereum", START, **figures), commit("DOGE", START))
    solidity, other = mine.heard["code-data:*"]
    assert (solidity.subject, solidity.known_at, solidity.age_ms) == ("Solidity", START, 0)
    assert round(solidity.features["ETH.dependency_entropy"], 2) == 74.58
    assert {name: solidity.features[f"ETH.{name}"] for name in figures} == figures
    assert solidity.features["ETH.repositories"] == 1.0
    assert solidity.features["ETH.novelty"] == 20 / 30
    assert other.features == {"DOGE": 1.0}


def test_documents_travel_with_the_schedule() -> None:
    mine = Mine()
    mine.see(START, event(START + DAY_MS))
    snapshot = mine.see(START + 60_000, document(START + 30_000), document(START + 30_000, 1))
    (government,) = mine.heard["govt-data:*"]
    assert (government.features["documents"], government.known_at) == (2.0, START + 30_000)
    assert government.features["event_hours"] == 24.0
    assert HeardMoats().missing(snapshot) == []


def test_languages_follow_the_settings() -> None:
    moats = settings().moats
    assert languages((ETH, UNI, DOGE, Pair("ETH/USD")), moats) == {"Solidity": ["ETH", "UNI"], "Other": ["DOGE"]}


def test_silence_is_noted_once_with_its_reason() -> None:
    mine = Mine()
    mine.see(START)
    assert mine.abstentions() == [], "born without data, it falls silent when it had some"
    dates = np.random.default_rng(1).integers(START, START + 20 * DAY_MS, 100).tolist()
    for at in sorted(dates):
        mine.see(at + 2, commit("ETH", at + 2))
    assert mine.abstentions() == []
    mine.see(START + 30 * DAY_MS)
    assert mine.abstentions() == [("code", "STALE")]
    (message,) = mine.heard["code-data:*"]
    assert message.status is Status.STALE
    assert message.features == {"ETH": 0.0}


def test_without_moats_in_the_snapshot_nobody_speaks() -> None:
    mine = Mine()
    bare = Snapshot(START, HOUR_MS, START // HOUR_MS, (ETH,), *(np.zeros(1),) * 5, None, False)  # type: ignore[arg-type]
    assert mine.world.model.on_snapshot(bare, ACCOUNT)
    assert mine.abstentions() == []
    assert mine.spoken() == []


def test_a_miner_says_how_its_moat_stands_and_remembers_it() -> None:
    mine, again = Mine(), Mine()
    mine.see(START, *all_moats("ETH", START))
    for name in ("code-miner", "government-miner", "logistics-miner", "corporate-miner"):
        miner, other = mine.world.model.member(name), again.world.model.member(name)
        assert isinstance(miner, MoatMiner)
        assert isinstance(other, MoatMiner)
        other.restore(miner.state())
        assert other.status(START) is miner.status(START)
        assert other.state() == miner.state()
        assert other.age_ms(START + 5) == miner.age_ms(START + 5) is not None
    assert isinstance(mine.world.model.member("code-miner"), CodeMiner)


def _value(mine: Mine, moats: Sequence[float]) -> Snapshot:
    """A snapshot in which the code moat has a value."""
    times = np.random.default_rng(2).integers(START - 30 * DAY_MS, START, 300).tolist()
    return mine.see(START, *(commit("ETH", int(at), n) for n, at in enumerate(sorted(times))))


def test_a_moat_that_was_not_heard_is_not_seen() -> None:
    mine, deaf = Mine(), HeardMoats()
    heard = HeardMoats()
    mine.world.model.bus.subscribe("code-data:*", heard.on_moat_data, "ears")
    snapshot = _value(mine, ())
    column = MOAT_COLUMNS.start + CODE
    assert snapshot.features[0, column] != 0.0
    assert heard.without_missing(snapshot) is snapshot
    assert heard.count == {"code": 1}
    blind = deaf.without_missing(snapshot)
    assert deaf.missing(snapshot) == [CODE]
    assert not blind.features[:, MOAT_COLUMNS].any()
    assert snapshot.features[0, column] != 0.0
    mine.world.model.bus.unsubscribe("ears")
    later = mine.see(START + 1, commit("ETH", START + 1))
    assert heard.missing(later) == [CODE], "the newest message was missed"


def test_what_is_said_of_an_asset_that_nobody_trades_hides_nothing() -> None:
    """No miner announces it: learners must not take it for news that they missed."""
    mine, heard = Mine(), HeardMoats()
    mine.world.model.bus.subscribe("code-data:*", heard.on_moat_data, "ears")
    _value(mine, ())
    later = mine.see(START + 1, commit("BTC", START + 1))
    assert later.features[0, MOAT_COLUMNS.start + CODE] != 0.0
    assert heard.without_missing(later) is later


def test_a_failed_source_is_noted_once_too() -> None:
    mine = Mine()
    for at in (START, START + 1):
        mine.see(at, Observation("github", "code", f"{at}", "github", at, at, {FAILED: 1.0}))
    assert mine.abstentions() == [("code", "ERROR")]
    assert mine.spoken() == []
