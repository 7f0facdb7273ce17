"""The tear sheet: one file that stands alone, says what it does not know, and survives whatever the data hold."""

import re
import resource
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest

from src.backtesting import backing
from src.backtesting.market_record import PRICE_ROWS, MarketRecord
from src.backtesting.report import enter_table
from src.backtesting.runs import load_run
from src.backtesting.sheet import card, folder, page, scales
from src.backtesting.sheet.charts import Line, Said, line_chart
from src.backtesting.sheet.judged import sealed
from src.backtesting.sheet.words import visible
from src.core.errors import DataError, NotFound, UsageError
from src.core.timeframes import DAY_MS, HOUR_MS
from src.core.types import Pair, Stream

from .tapes import BEGIN, BTC, behind, end, report, stored, tape, trade

VOID = {"meta", "link", "br"}
LIMIT_BYTES = 500_000
LIMIT_SECONDS = 3.0


class Tree(HTMLParser):
    """Checks that tags close in order and keeps what they carry; a browser would mend it silently."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def cpu_seconds() -> float:
    """Seconds of this process alone, whatever else the machine does."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def rendered(place: Path) -> str:
    target = place / "sheet.html"
    page.write(place, target)
    return target.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    return rendered(tape(tmp_path_factory.mktemp("runs") / "tape"))


def test_it_stands_alone(plain: str) -> None:
    assert re.findall(r"(?:https?:)?//[a-z]", plain) == []
    assert re.findall(r"(?i)<script|<iframe|<object|<img|\bon[a-z]+=|@import|url\(|javascript:", plain) == []
    for tag, carried in Tree(plain).tags:
        assert "src" not in carried
        assert tag != "link" or carried["href"] == "data:,"


def test_it_keeps_to_light_and_dark_and_paper(plain: str) -> None:
    assert "prefers-color-scheme: dark" in plain
    assert "@media print" in plain
    style = plain[plain.index("<style>") : plain.index("</style>")]
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", style))
    schemes = style.split("@media")
    for scheme in (schemes[0], next(s for s in schemes if "dark" in s), next(s for s in schemes if "print" in s)):
        assert used <= set(re.findall(r"(--[a-z0-9-]+):", scheme))


def test_every_drawing_is_told_in_words_and_has_a_name_of_its_own(plain: str) -> None:
    tags = Tree(plain).tags
    names = [carried["id"] for _, carried in tags if "id" in carried]
    assert len(names) == len(set(names))
    drawings = [carried for tag, carried in tags if tag == "svg" and carried.get("role") == "img"]
    assert len(drawings) >= 7
    for drawing in drawings:
        assert set((drawing["aria-labelledby"] or "").split()) <= set(names)
    assert all(carried.get("scope") for tag, carried in tags if tag == "th")
    hidden = [c for tag, c in tags if tag == "svg" and c.get("role") != "img"]
    assert all(one.get("aria-hidden") == "true" for one in hidden)


def test_the_verdict_comes_before_any_figure(plain: str) -> None:
    text = Tree(plain).text
    verdict = text.index("The account gained 18.71 USDT (1.87 %)")
    assert text.index("IN-SAMPLE BACKTEST") < verdict < text.index("Deepest drawdown") < text.index("Run card")


def test_what_is_shown(plain: str) -> None:
    text = Tree(plain).text
    for words in (
        "fee 0.1 %, slippage 0.05 %, both sides together 0.3 %",
        "none: every pair has all 5 bars",
        "d" * 64,
        "e" * 64,
        "Growth of each stream since the start",
        "buy and hold (equal stakes, no costs) +7.84 %",
        "Worst drawdowns (2 of 2)",
        "- (the run has 5 days, the window needs 60)",
        "BTC/USDT: 5 closed trades came to 18.71",
        "ENTER TAG STATS",
        "Growth of memory MB per 100,000 pair-bars",
        "analyst + code",
        "No trade of the mycelial book has an expected return on record",
        "Nobody abstained for want of data.",
    ):
        assert words in text, words
    assert "A/B comparison" not in text
    assert "SIMULATED" not in text


def test_a_loss_is_marked_and_simulated_data_are_shouted(tmp_path: Path) -> None:
    text = rendered(tape(tmp_path / "lost", ("-50",), simulated=True))
    assert '<p class="verdict lost">' in text
    tree = Tree(text)
    assert "SIMULATED DATA: the market of this run was made up" in tree.text
    assert "On simulated data, the account lost 50.00 USDT" in tree.text


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"mode": "backtest"}, "IN-SAMPLE BACKTEST"),
        ({"mode": "backtest", "sample": "walk-forward"}, "WALK-FORWARD"),
        ({"mode": "paper"}, "PAPER"),
        ({"mode": "live"}, "LIVE"),
        ({"mode": "<b>"}, "IN-SAMPLE BACKTEST"),
    ],
)
def test_the_badge_says_what_kind_of_evidence_it_is(told: dict[str, str], shown: str) -> None:
    assert card.badge(told)[0] == shown


HOSTILE = (
    "<script>alert(1)</script>/USDT",
    "\"><img src=x onerror='alert(1)'>/USDT",
    "\u202eTDSU/CTB\u0000\u200f/USDT",
    "{{ 7 * 7 }}{% raw %}/USDT",
    "</title></svg><h1>/USDT",
    "БТЦ/مرحبا",
)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    pairs = tuple(Pair(name) for name in HOSTILE)
    trades = [trade(day, "5", pair, reason=pair) for day, pair in enumerate(pairs)]
    reports = [
        report(end(day), Decimal(1000 + 5 * day), (100.0 + day,) * len(pairs), pairs, (behind(one, [one.pair]),))
        for day, one in enumerate(trades)
    ]
    place = stored(
        tmp_path / "hostile", trades, reports, pairs, refusals={HOSTILE[0]: 3, HOSTILE[1]: 2}, run_id=HOSTILE[4]
    )
    (place / folder.AB).write_bytes(
        msgspec.json.encode({"verdict": HOSTILE[0], "arms": [{"arm": HOSTILE[1], "x": None}]})
    )
    text = rendered(place)
    assert re.findall(r"(?i)<script|<img|<h1>/", text) == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "{{ 7 * 7 }}" in Tree(text).text
    assert "49{" not in text
    assert "\u202e" not in text
    assert "\\u202eTDSU/CTB\\u0000\\u200f" in text
    assert "БТЦ/مرحبا" in text
    assert "- (not defined)" in text


def test_characters_that_cannot_be_seen_are_written_by_number() -> None:
    assert visible("a\u202eb\ud800") == "a\\u202eb\\ud800"
    assert visible("naïve 日本 é") == "naïve 日本 é"


def test_an_ab_comparison_is_shown_where_there_is_one(tmp_path: Path) -> None:
    place = tape(tmp_path / "tape")
    found = {"verdict": "cannot tell", "arms": {"code moat": {"difference": 0.001, "low": -0.002, "days": 90}}}
    (place / "ab.json").write_bytes(msgspec.json.encode(found))
    text = Tree(rendered(place)).text
    assert text.index("A/B comparison") < text.index("cannot tell") < text.index("code moat 0.001 -0.002 90")
    assert "another range" not in text
    (place / "ab.json").write_bytes(msgspec.json.encode({**found, "pairs": ["ETH/USDT"]}))
    assert "It was made with other pairs, another range" in Tree(rendered(place)).text


def test_the_promotion_gate_is_shown_where_it_was_asked(tmp_path: Path) -> None:
    place = tape(tmp_path / "tape")
    assert "Promotion gate" not in rendered(place)
    found = {
        "passed": False,
        "criteria": [{"name": "days", "value": 5, "must": "at least", "limit": 90, "state": "failed"}],
    }
    (place / "gate.json").write_bytes(msgspec.json.encode({**found, "passed": True}))
    assert "NOT VALID" in Tree(rendered(place)).text
    (place / "gate.json").write_bytes(sealed(found))
    text = Tree(rendered(place)).text
    assert "REFUSED: this run may not be promoted." in text
    assert "days at least failed 90 5" in text


# runs that are hardly there


def test_a_run_without_trades(tmp_path: Path) -> None:
    reports = [report(end(day), Decimal(1000), (100.0,)) for day in range(3)]
    text = Tree(rendered(stored(tmp_path / "none", [], reports, refusals={}))).text
    for words in (
        "No trade was made",
        "Neither the account nor the mycelial book closed a trade.",
        "The account made no trade and holds nothing",
        "The account never fell below a peak",
        "Nothing was refused.",
        "account.sharpe the same every day: no deviation to divide by",
        "streams.synthesized.profit_factor no trades",
        "Buy and hold +0.00 %",
        "buy_and_hold.sharpe the same every day",
    ):
        assert words in text, words


def test_one_pair_one_day(tmp_path: Path) -> None:
    text = Tree(rendered(tape(tmp_path / "day", ("7",)))).text
    assert "account.sharpe fewer than two days" in text
    assert "streams.synthesized.profit_factor no losing trade" in text
    assert "the run has 1 days, the window needs 60" in text


def test_a_run_without_any_slice(tmp_path: Path) -> None:
    text = Tree(rendered(stored(tmp_path / "empty", [], []))).text
    assert "No slice was seen: there is no curve to draw." in text
    assert "- to - (no slice was seen)" in text
    assert "market_change_ratio no pair ever had a close" in text


def test_a_pair_that_never_traded_and_one_that_came_late(tmp_path: Path) -> None:
    pairs = (BTC, Pair("LATE/USDT"), Pair("NEVER/USDT"))
    closes = [(100.0, np.nan, np.nan), (101.0, 5.0, np.nan), (102.0, 6.0, np.nan)]
    reports = [report(end(day), Decimal(1000), row, pairs) for day, row in enumerate(closes)]
    place = stored(tmp_path / "late", [], reports, pairs)
    text = Tree(rendered(place)).text
    assert "4 of 9 bars missing (44.44 %) in 2 of 3 pairs, most in NEVER/USDT (3)" in text
    market = folder.read(place).market
    assert market is not None
    assert market.first[:2].tolist() == [100.0, 5.0]
    assert market.bars.tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 0]]


def test_of_trades_there_may_be_many(tmp_path: Path) -> None:
    pairs = tuple(Pair(f"COIN{n:02d}/USDT") for n in range(20))
    count, days = 10_000, 400
    trades = [
        msgspec.structs.replace(
            trade(n % days, ("3", "-2", "0.5")[n % 3], pairs[n // days % 20]),
            id=f"t{n}",
            entry_at=end(n % days) - 12 * HOUR_MS + n,
            leave_at=end(n % days) + 6 * HOUR_MS + n,
            stream=Stream.SYNTHESIZED if n % 2 else Stream.MYCELIAL,
        )
        for n in range(count)
    ]
    agents = [f"learner-{pair}-HFT-{n}" for pair in pairs for n in range(3)]
    reports = []
    for day in range(days):
        spoken = tuple(behind(one, agents[day % 30 : day % 30 + 12], 0.001 * (day % 9)) for one in trades[day::days])
        reports.append(
            report(end(day), Decimal(1000 + day % 37), [50.0 + (day * 7 + n) % 90 for n in range(20)], pairs, spoken)
        )
    place = stored(tmp_path / "huge", trades, reports, pairs)
    begun = cpu_seconds()
    text = rendered(place)
    assert cpu_seconds() - begun < LIMIT_SECONDS
    assert len(text.encode()) < LIMIT_BYTES
    words = Tree(text).text
    assert "4,800 earlier trades are left out here; all 5,000 are in trades.csv of the run." in words
    assert "14 more pairs with fewer trades are left out; see trades.csv." in words
    assert "5,000 trades of the mycelial book" in words


# folders that are not whole


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("market.csv", "Buying and holding cannot be drawn: the folder holds no market.csv."),
        ("prices.csv", "The folder holds no prices.csv: only the fills are drawn."),
        ("conditions.json", "(this run did not keep its settings)"),
        ("decisions.jsonl", "The folder holds no decisions.jsonl: who stood behind the trades is not known."),
    ],
)
def test_what_an_older_run_did_not_keep_is_said(tmp_path: Path, name: str, said: str) -> None:
    place = tape(tmp_path / "old")
    (place / name).unlink()
    assert said in Tree(rendered(place)).text


@pytest.mark.parametrize("name", ["result.json", "trades.csv", "equity.csv"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    place = tape(tmp_path / "cut")
    (place / name).unlink()
    with pytest.raises(NotFound, match=rf"{name} is missing"):
        rendered(place)


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("market.csv", "at,pair\n", r"market\.csv:1: columns must be at, pair, close, bars"),
        ("market.csv", "at,pair,close,bars\n2024-01-01T00:00:00.000Z,A,x,1\n", r"market\.csv:2: not a day of a pair"),
        (
            "market.csv",
            "at,pair,close,bars\n2024-01-01T00:00:00.000Z,A,1,0\nnow,A,1,0\n",
            r"market\.csv: a day without",
        ),
        ("market.csv", b"\xff\xfe", r"market\.csv cannot be read"),
        ("prices.csv", "when\n", r"prices\.csv:1: the first column"),
        ("prices.csv", "at,A\n2024-01-01T00:00:00.000Z,1,2\n", r"prices\.csv:2: not an instant"),
        ("conditions.json", "[", r"conditions\.json: not an object"),
        ("ab.json", "[]", r"ab\.json: not an object"),
        ("decisions.jsonl", '{"kind":"idea","side":"buy",\n', r"decisions\.jsonl:1: not a decision"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, body: str | bytes, said: str) -> None:
    place = tape(tmp_path / "bad")
    (place / name).write_bytes(body.encode() if isinstance(body, str) else body)
    with pytest.raises(DataError, match=said):
        rendered(place)


def test_a_target_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    place = tape(tmp_path / "tape")
    with pytest.raises(UsageError, match=r"--html .*nowhere/x\.html: No such file or directory; name a file"):
        page.write(place, tmp_path / "nowhere" / "x.html")


# who stood behind the trades


def test_shares_add_up_and_an_idea_must_end_when_its_trade_does(tmp_path: Path) -> None:
    one, other = trade(0, "9", stream=Stream.MYCELIAL), trade(1, "-6", stream=Stream.MYCELIAL)
    one, other = (msgspec.structs.replace(each, leave_at=each.entry_at + 18 * HOUR_MS) for each in (one, other))
    said = (behind(one, ("learner-code-1", "learner-code-2~3", "learner-market-4")), behind(other, ("learner-code-1",)))
    later = msgspec.structs.replace(said[1], at=said[1].at + HOUR_MS, detail={"voters": ["wrong"], "horizon": 5})
    lines = [report(end(0), Decimal(1), (1.0,), decisions=(each,)).written[0] for each in (*said, later)]
    found = backing.tied({"mycelial": [one, other]}, backing.Ideas(lines), DAY_MS)["mycelial"]
    assert [each.agents for _, each in found] == [
        ("learner-code-1", "learner-code-2~3", "learner-market-4"),
        ("learner-code-1",),
    ]
    by_agent = {each.name: each for each in backing.by_agent(found, grouped=False)}
    assert (by_agent["learner-code-1"].trades, by_agent["learner-code-1"].wins) == (2, 1)
    assert (by_agent["learner-code-1"].profit, by_agent["learner-code-1"].share) == (Decimal(3), Decimal(-3))
    groups = backing.by_agent(found, grouped=True)
    assert [(each.name, each.trades, each.share) for each in groups] == [
        ("learner-market", 1, Decimal(3)),
        ("learner-code", 2, Decimal(0)),
    ]
    assert sum(each.share for each in groups) == Decimal(3)


def test_enter_tags_sum_up_as_all_trades_do(tmp_path: Path) -> None:
    place = tape(tmp_path / "tape")
    run, ideas = load_run(place), backing.read_ideas(place)
    assert ideas is not None
    book = Stream.SYNTHESIZED.value
    table = enter_table(run, backing.entered(backing.tied(run.trades, ideas, DAY_MS, (book,))[book]))
    names, counts = (list(table.columns[place].cells) for place in (0, 1))
    assert names == ["analyst + code", "TOTAL"]
    assert counts == ["5", "5"]


# drawings


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (-1e-9, 1e-9), (-3.0, 1e6), (99.999, 100.001), (1e-8, 3e-8)])
def test_ticks_hold_what_they_are_for(low: float, high: float) -> None:
    steps = scales.ticks(low, high, 5)
    assert steps[0] <= low <= high <= steps[-1]
    assert 2 <= len(steps) <= 9


@pytest.mark.parametrize("span", [HOUR_MS, 5 * HOUR_MS, DAY_MS, 9 * DAY_MS, 90 * DAY_MS, 900 * DAY_MS, 9000 * DAY_MS])
def test_dates_are_few_and_in_order(span: int) -> None:
    found = scales.date_ticks(BEGIN, BEGIN + span, 9)
    times = [at for at, _ in found]
    assert 1 <= len(found) <= 12
    assert times == sorted(set(times))
    assert all(BEGIN <= at <= BEGIN + span for at in times)


def test_a_thinned_line_keeps_its_ends_and_extremes() -> None:
    y = np.random.default_rng(3).standard_normal(5000)
    y[1234], y[4321] = 50.0, -50.0
    x, kept = scales.thinned(np.arange(5000), y, 100)
    assert len(x) <= 400
    assert (x[0], x[-1]) == (0, 4999)
    assert {1234, 4321} <= set(x.tolist())
    assert kept.tolist() == y[x].tolist()


def test_places_of_a_line_are_those_of_its_figures() -> None:
    line = Line("one", np.array([0, DAY_MS, 4 * DAY_MS]), np.array([0.0, 0.1, -0.1]), 0)
    drawn = str(line_chart(Said("x", "t", "d"), [line], lambda v: f"{v}", 320))
    # 66 to 946 across four days, 290 to 14 from -0.1 to 0.1
    assert 'd="M66.0 152.0L286.0 14.0L946.0 290.0"' in drawn


def test_the_market_record_is_bounded_and_even() -> None:
    record = MarketRecord()
    for n in range(10 * PRICE_ROWS + 3):
        record.take(report(BEGIN + n * HOUR_MS, Decimal(1), (float(n),)).snapshot)
    assert record.bars().tolist() == [[10 * PRICE_ROWS + 3]]
    at, closes = record.prices()
    assert PRICE_ROWS // 2 <= len(at) < PRICE_ROWS
    assert len(set(np.diff(at).tolist())) == 1
    assert closes[:, 0].tolist() == [(one - BEGIN) / HOUR_MS for one in at.tolist()]
