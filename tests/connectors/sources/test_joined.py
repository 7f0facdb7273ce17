"""Real clients, their poller and a market on an injected wall clock, walked through the whole engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import numpy as np
import pytest

from src.agents import KINDS
from src.backtesting.series import Series
from src.commands.feeds import Source
from src.commands.status import Board
from src.connectors.config_files import DEFAULT_FILE
from src.connectors.memory_ledger import MemoryLedger
from src.connectors.sources.joined import MarketAndSources, with_real_sources
from src.connectors.sources.standing import SourceHealth
from src.connectors.sqlite_ledger import SqliteSink
from src.core import checkpoint
from src.core.bus import LocalBus
from src.core.clock import SimClock, Timer, from_iso, iso
from src.core.engine import Report
from src.core.messages import MoatData
from src.core.moat_code import dependency_entropy
from src.core.timeframes import DAY_MS, HOUR_MS
from src.core.types import BarBlock, Pair, Slice, Status
from src.services.writer import Writer
from src.wiring import House, Plan, build
from tests.connectors.sources.served import HTML, Answer, Asked, Served, moats, of, raw
from tests.connectors.sources.test_daily_prices import TABLE
from tests.connectors.sources.test_edgar import submissions
from tests.connectors.sources.test_federal_register import CFTC, SEC, answer, document
from tests.connectors.sources.test_github import commit, repository, speak
from tests.connectors.sources.test_network import chart
from tests.worlds import settings

NOW = from_iso("2026-09-21T14:00:00Z")
PAIRS = (Pair("BTC/USD"), Pair("ETH/USD"))
LOGINS = {"GITHUB_TOKEN": "ghp_veryHiddenLetters123", "SEC_EDGAR_IDENTITY": "Test Desk desk@example.org"}
GETH, MSTR = "ethereum/go-ethereum", "/submissions/CIK0001050446.json"
REGISTER = "/api/v1/documents.json"
SETS = (
    f"github.repositories=[{{name: {GETH}, asset: ETH, language: Solidity}}]",
    "edgar.companies=[{ticker: MSTR, cik: 1050446}]",
    "daily_prices.symbols=[BDRY, MARA]",
)
SECONDS = 30.0
MOATS = ("code", "corporate", "government", "logistics")


class Wall:
    """A clock and a timer that stand where the test puts them, for market, poller and servers alike."""

    def __init__(self) -> None:
        self.clock, self.timer = SimClock(NOW), Told()

    def go(self, at: int) -> None:
        self.timer.now += (at - self.clock.now_ms()) / 1000
        self.clock.reach(at)


class Told(Timer):
    """Monotonic seconds that stand where a test puts them; waiting is real and short, so that the thread turns."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits = 0

    def seconds(self) -> float:
        return self.now

    def wait(self, event: Event, seconds: float) -> bool:
        self.waits += 1
        return event.wait(min(seconds, 0.002))


class Bars:
    """A market on the wall: a bar of each pair every hour, handed out once all sources that are due were asked."""

    pairs, interval_ms, simulated = PAIRS, HOUR_MS, False
    late_ms = 0  # how long after its close a bar arrives

    def __init__(self, wall: Wall, hours: int, first: int = 0) -> None:
        self._wall, self._hours, self._first = wall, range(first, hours), first
        self.feed: MarketAndSources | None = None

    def __iter__(self) -> Iterator[Slice]:
        for hour in self._hours:
            self._wall.go(NOW + hour * HOUR_MS + self.late_ms)
            self._until_all_were_asked()
            price = np.full(2, 100.0 + hour % 3)
            bars = BarBlock(
                PAIRS, NOW + (hour - 1) * HOUR_MS, price, price + 1, price - 1, price, np.ones(2), np.ones(2, np.bool_)
            )
            yield Slice(NOW + hour * HOUR_MS, bars)

    def _until_all_were_asked(self) -> None:
        assert self.feed is not None
        real, nap = Timer(), Event()
        deadline = real.seconds() + SECONDS
        while any(health.due_in_s <= 0.0 for health in self.feed.health()):
            assert real.seconds() < deadline, self.feed.health()
            nap.wait(0.002)
        before = self._wall.timer.waits  # which moats failed is told after the last answer, before the next wait
        while self._wall.timer.waits == before:
            assert real.seconds() < deadline
            nap.wait(0.002)


class Run:
    """Servers that are well, real clients, poller, feed, engine; `spoken` is what the miners announced."""

    def __init__(self, served: Served, hours: int, first: int = 0, half_life_hours: float = 0.0) -> None:
        self.served, self.wall = served, Wall()
        tree = settings(learners__standard={"market": 2}, learners__team=2, builder__bootstrap_pairs=list(PAIRS))
        sets = (*SETS, "http.timeout_seconds=0.2")
        self.moats = moats(served.url, *sets)
        if half_life_hours:
            pace = self.moats.pace.logistics.model_copy(update={"half_life_seconds": 3600 * half_life_hours})
            paces = self.moats.pace.model_copy(update={"logistics": pace})
            self.moats = self.moats.model_copy(update={"pace": paces})
        tree = tree.model_copy(update={"moats": self.moats})
        clock = SimClock()
        bus = LocalBus(clock, tree.bus)
        plan = Plan(PAIRS, HOUR_MS, 7, KINDS)
        self.house: House = build(tree, plan, clock, bus, MemoryLedger(tree.ledger))
        market = Bars(self.wall, hours, first)
        self.feed = market.feed = with_real_sources(
            market, self.moats, LOGINS, DEFAULT_FILE.parent, self.wall.clock, self.wall.timer
        )
        self.house.model.keep(self.feed)
        self.spoken: list[MoatData] = []
        self.reports: list[Report] = []
        for pattern in ("code-data:*", "logistics-data:*", "govt-data:*", "corp-data:*"):
            bus.subscribe(pattern, self.spoken.append, "a listener of the test")  # type: ignore[arg-type]

    def walk(self, count: int) -> Run:
        """The next slices."""
        if not self.reports:
            self._slices = iter(self.feed)
        for _ in range(count):
            self.reports.append(self.house.engine.on_slice(next(self._slices)))
        return self

    def said(self, moat: str) -> list[MoatData]:
        return [message for message in self.spoken if message.moat == moat]

    def health(self) -> dict[str, SourceHealth]:
        return {health.name: health for health in self.feed.health()}

    def statuses(self) -> dict[str, Status]:
        view = self.reports[-1].snapshot.moats
        assert view is not None
        return dict(zip(("code", "government", "logistics", "corporate"), view.statuses, strict=True))

    def abstained(self) -> set[tuple[str, str]]:
        lines = [line for report in self.reports for line in report.decisions if line.kind == "abstention"]
        return {(str(line.detail["moat"]), str(line.reason)) for line in lines if "moat" in line.detail}


def well(served: Served) -> None:
    """Every server answers as its model does, of the days before now: three months of daily figures, new commits."""
    days = [NOW // DAY_MS * DAY_MS - back * DAY_MS for back in range(95, 0, -1)]
    speak(served, GETH, [commit(number, iso(NOW - HOUR_MS * number)) for number in range(3)], 300)
    filings = [(f"0000950170-26-{n:06d}", iso(NOW - n * DAY_MS), "8-K", "7.01", 5000) for n in range(30, 0, -3)]
    served.routes[MSTR] = of(submissions("MSTR", *filings))
    header, *_ = TABLE.splitlines()
    rows = [f"{iso(at)[:10]},7,8,6,{7 + (n % 9) / 10:.1f},1000,1" for n, at in enumerate(days)]
    served.routes["/q/d/l/"] = raw("\n".join([header, *rows]))
    served.routes["/charts/hash-rate"] = of(chart("Hash Rate", *[(at, 800e6 + n % 5) for n, at in enumerate(days)]))
    served.routes["/charts/difficulty"] = of(chart("Difficulty", *[(at, 1e14 + n % 11) for n, at in enumerate(days)]))
    papers = [document(f"2026-{n}", iso(NOW - (n + 1) * DAY_MS)[:10], SEC, CFTC) for n in range(12)]
    served.routes[REGISTER] = of(answer(*papers))


@pytest.fixture
def run(served: Served) -> Iterator[Run]:
    well(served)
    made = Run(served, 200)
    yield made
    made.feed.close()
    made.house.close()


def test_what_real_clients_say_reaches_the_bus_as_real_data(run: Run) -> None:
    run.walk(2)
    assert {name: health.status for name, health in run.health().items()} == dict.fromkeys(
        ["github", "edgar", "daily_prices", "federal_register", "calendar", "network"], Status.OK
    )
    assert {message.moat for message in run.spoken} == set(MOATS)
    assert not any(message.simulated for message in run.spoken)
    assert all(message.known_at <= message.at for message in run.spoken)
    (ethereum,) = {message.subject for message in run.said("code")}
    assert ethereum == "Solidity"
    assert run.said("code")[0].features["ETH"] == 3.0
    assert run.said("code")[0].features["ETH.contributors"] == 300.0
    assert run.said("code")[0].features["ETH.dependency_entropy"] == dependency_entropy(300, 3, 150)
    assert run.said("government")[-1].features["documents"] == 6.0, "of seven days, those of two agencies once"
    assert run.statuses()["logistics"] in (Status.OK, Status.NEUTRAL)
    assert {"hash_rate_change", "difficulty_change", "freight_change"} <= set(run.said("logistics")[0].features)
    assert not run.house.model.faults
    assert not any("ghp_" in asked.headers.get("user-agent", "") for asked in run.served.asked)


HARM: dict[str, Answer] = {
    "403": of({"message": "Forbidden"}, 403),
    "429": of({"message": "slower"}, 429, retry_after="60"),
    "500": of({"message": "broken"}, 500),
    "HTML": raw(HTML),
    "empty": raw(b""),
    "half JSON": raw(b'{"status": "ok", "val'),
    "cut off": Answer(b"x" * 100, cut=10),
    "time-out": Answer(hang=True),
}
OUT_OF_ORDER = ("429", "500", "cut off", "time-out")


@pytest.mark.parametrize("name", HARM)
def test_a_server_that_turns_bad_is_a_status_never_a_number_and_the_run_goes_on(run: Run, name: str) -> None:
    """After good answers: what a person must mend is ERROR at once, a server out of order STALE after three intervals.

    Numbers are those of the last good answer and lose weight with its age; a bad answer adds none and changes none.
    """
    run.walk(2)
    before = {moat: run.said(moat)[-1] for moat in ("logistics", "code")}
    run.served.routes.clear()
    run.served.default = HARM[name]
    run.walk(3)
    expected = Status.STALE if name in OUT_OF_ORDER else Status.ERROR
    health = run.health()
    assert {health[source].status for source in ("github", "network")} == {expected}
    assert all(health[source].error and "\n" not in health[source].error for source in ("github", "network", "edgar"))
    assert health["calendar"].status is Status.OK
    assert len(run.reports) == 5
    assert not run.house.model.faults
    for moat, good in before.items():
        for message in run.said(moat)[run.said(moat).index(good) + 1 :]:
            assert message.features.keys() == good.features.keys()
            for key, value in message.features.items():
                assert abs(value) <= abs(good.features[key]) if key.endswith(".z") else value == good.features[key]
            assert (message.age_ms or 0) > (good.age_ms or 0)
    if expected is Status.ERROR:
        assert run.statuses()["logistics"] is run.statuses()["code"] is Status.ERROR
        assert run.said("logistics")[-1].status is run.said("code")[-1].status is Status.ERROR
        assert ("logistics", "ERROR") in run.abstained()


def test_a_moat_that_answers_again_speaks_again(run: Run) -> None:
    run.walk(2)
    good = dict(run.served.routes)
    run.served.routes.clear()
    run.walk(2)
    assert run.statuses()["logistics"] is Status.ERROR
    run.served.routes |= good
    run.walk(2)
    assert run.health()["network"].status is Status.OK
    assert run.statuses()["logistics"] in (Status.OK, Status.NEUTRAL)
    assert run.said("logistics")[-1].status in (Status.OK, Status.NEUTRAL)


def test_silence_ages_into_stale_on_the_bus(served: Served) -> None:
    """The servers are down: after three half-lives of ten hours each what they said before is stale, and no value."""
    well(served)
    run = Run(served, 40, half_life_hours=10.0).walk(2)
    assert run.statuses()["logistics"] in (Status.OK, Status.NEUTRAL)
    served.routes.clear()
    served.default = of({}, 500)
    run.walk(20)
    assert run.statuses()["logistics"] is Status.STALE
    last = run.said("logistics")[-1]
    assert (last.status, last.quality) == (Status.STALE, 0.0)
    assert not [key for key in last.features if key.endswith(".z")]
    assert (last.age_ms or 0) > 30 * HOUR_MS
    assert ("logistics", "STALE") in run.abstained()
    run.feed.close()
    run.house.close()


def test_a_renamed_repository_is_followed_or_gone_and_a_date_ahead_is_turned_away(run: Run) -> None:
    name = "ethereum/geth"
    moved = {"message": "Moved Permanently", "url": f"{run.served.url}/repositories/15452919"}
    run.served.routes[f"/repos/{GETH}"] = of(moved, 301, location=f"{run.served.url}/repositories/15452919")
    run.served.routes["/repositories/15452919"] = of(repository(run.served, name))
    paths = {path: reply for path, reply in run.served.routes.items() if path.startswith(f"/repos/{GETH}/")}
    run.served.routes |= {path.replace(GETH, name): reply for path, reply in paths.items()}
    ahead = iso(NOW + 40 * DAY_MS)
    run.served.routes[MSTR] = of(submissions("MSTR", ("0000950170-26-999999", ahead, "8-K", "7.01", 5000)))
    run.walk(2)
    health = run.health()
    assert health["github"].status is Status.OK
    assert any(name in notice for notice in health["github"].notices)
    assert health["edgar"].counts == {"future": 2}, "asked twice in two hours"
    assert all(seen.known_at <= report.at for report in run.reports for seen in report.snapshot.observations)
    assert "filings" not in run.said("corporate")[-1].features


def test_what_became_known_after_the_bar_closed_waits_for_the_next_slice(run: Run) -> None:
    """Bars arrive five seconds late; commits seen in these seconds are no data of that hour."""
    market: Any = run.feed._market
    market.late_ms = 5000
    run.wall.go(NOW + market.late_ms)
    run.walk(1)
    (first,) = run.reports
    assert {seen.source for seen in first.snapshot.observations} >= {"sec_filings", "calendar"}
    assert not [seen for seen in first.snapshot.observations if seen.moat == "code"]
    second = run.walk(1).reports[-1]
    assert {seen.known_at for seen in second.snapshot.observations if seen.moat == "code"} == {NOW + 5000}


def test_a_restart_says_nothing_twice(served: Served) -> None:
    """The same commits and filings are offered again; what was drained before the checkpoint stays drained."""
    well(served)
    first = Run(served, 6).walk(3)
    raw_state = checkpoint.dump(first.house.engine.state())
    first.feed.close()
    later = Run(served, 6, first=3)
    later.house.engine.restore(checkpoint.load(raw_state))
    later.walk(3)
    again = [seen for report in later.reports for seen in report.snapshot.observations]
    assert {seen.source for seen in again} <= {"github_repositories"}, "figures of now are new each time"
    assert later.said("code")[-1].features["ETH"] == 3.0
    before, after = (run.feed.state()["passed"] for run in (first, later))
    assert len(after) == len(before) + 3, "three hours, three figures"
    assert all(key in after for key in before)
    for run in (first, later):
        run.feed.close()
        run.house.close()


def test_status_lists_every_source_and_every_moat(run: Run, tmp_path: Path) -> None:
    tree = run.house.settings
    ledger = Writer(SqliteSink(tmp_path / "ledger.sqlite", tree.ledger, mode="paper", ledger_id="x"), tree.ledger)
    source = Source(run.feed, "wall", 0, run.feed.health)  # type: ignore[arg-type]
    series = Series(tree.statistics.kept_intervals)
    board = Board(run.house, ledger, series, "paper", source, "", Timer())

    def answer(slices: int) -> tuple[dict[str, Any], dict[str, Any]]:
        for report in run.walk(slices).reports[-slices:]:
            series.take(report)
            board(report)
        said = msgspec.json.decode(msgspec.json.encode(board.status()))
        assert said["memory"] == {"records": 0, "failure": None}
        return {one["name"]: one for one in said["sources"]}, said["moats"]

    sources, stand = answer(2)
    assert sources["github"]["status"] == "OK"
    assert (sources["github"]["error"], sources["github"]["counts"]["new"]) == ("", 5)
    assert stand["logistics"]["quality"] > 0.5
    assert stand["government"]["figures"]["documents"] == 6.0
    assert stand["code"]["figures"]["ETH.contributors"] == 300.0
    run.served.routes.clear()
    sources, stand = answer(1)
    assert sources["github"]["status"] == "ERROR"
    assert "does not exist or is private (404)" in sources["github"]["error"]
    assert stand["code"]["status"] == "ERROR"
    assert stand["government"]["status"] in ("OK", "NEUTRAL")
    ledger.close()


def test_a_feed_that_was_never_walked_closes_and_the_market_is_as_it_was(served: Served) -> None:
    made = Run(served, 3)
    feed: Any = made.feed
    assert (feed.pairs, feed.interval_ms, feed.simulated) == (PAIRS, HOUR_MS, False)
    feed.close()
    assert served.asked == []
    assert msgspec.to_builtins(feed.health()[0])["status"] == "NO_DATA"


def test_asking_at_once_after_each_other_is_not_needed_for_a_slice(served: Served) -> None:
    """A server that hangs holds up no slice: the market yields, the poller waits."""
    asked = Event()

    def hang(question: Asked) -> Answer:
        asked.set()
        return Answer(hang=True)

    well(served)
    served.routes[f"/repos/{GETH}"] = hang
    made = Run(served, 3)
    market: Any = made.feed._market
    market._until_all_were_asked = lambda: None
    made.walk(1)
    assert asked.wait(SECONDS)
    made.walk(2)
    assert len(made.reports) == 3
    served.release.set()
    made.feed.close()
    made.house.close()
