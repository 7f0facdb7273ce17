"""What moats know beside their values: documents of agencies, and what repositories are like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from src.commands.why import _data_lines
from src.core import checkpoint
from src.core.market import MOAT_COLUMNS, Market
from src.core.moat_code import FIGURES, Repositories, dependency_entropy, novelty
from src.core.moat_standing import beside, standing
from src.core.moats import CODE, GOVERNMENT, history_ms
from src.core.timeframes import DAY_MS, HOUR_MS
from src.core.traces import data_of
from src.core.types import STATUSES, MoatView, Observation, Pair, Slice, Snapshot, Status
from tests.core.test_moats import PAIRS, START, STRENGTH, board, many, walk
from tests.moats import commit, document, event, repository
from tests.worlds import settings

GITHUB = settings().moats.github
GETH, PY_EVM = "ethereum/go-ethereum", "ethereum/py-evm"
EXAMPLE = {"commits_24h": 20.0, "contributors": 300.0, "open_issues": 150.0}
BTC, ETH, ETH_USDT = PAIRS[0], PAIRS[1], PAIRS[2]


def documents(days: int = 30, seed: int = 6) -> list[Observation]:
    """Documents on working days at noon, a few each."""
    rng = np.random.default_rng(seed)
    said = []
    for day in range(-30, days):
        noon = START + day * DAY_MS + 12 * HOUR_MS
        said += [document(noon, n) for n in range(int(rng.integers(0, 9)) if day % 7 < 5 else 0)]
    return said


# --- documents ---------------------------------------------------------------------------------------------------


def test_documents_of_seven_days_are_held_against_their_hours() -> None:
    said, at = documents(), START + 25 * DAY_MS
    view = walk(board(), said, at)[at]
    known = np.array([one.known_at for one in said])
    hours = np.arange(known.min() // HOUR_MS * HOUR_MS, at + 1, HOUR_MS)
    counts = np.array([((hour - 7 * DAY_MS < known) & (known <= hour)).sum() for hour in hours])
    age = at - int(known[known <= at].max())
    expected = (counts[-1] - counts.mean()) / counts.std() * 0.5 ** (age / DAY_MS)
    told = standing(view, GOVERNMENT, STRENGTH)
    assert told.figures == {"documents": counts[-1], "documents.z": pytest.approx(expected, rel=1e-12)}
    assert told.age_ms == age
    assert beside(view, GOVERNMENT, "BTC") == told.figures


def test_the_days_of_documents_are_a_setting() -> None:
    said, at = documents(), START + 25 * DAY_MS
    views = [board(moats__board__documents_days=days).push(at, [o for o in said if o.known_at <= at])
             for days in (1, 7, 20)]  # fmt: skip
    counted = [standing(view, GOVERNMENT, STRENGTH).figures["documents"] for view in views]
    assert counted == [sum(at - days * DAY_MS < one.known_at <= at for one in said) for days in (1, 7, 20)]
    longer, plain = settings(moats__board__documents_days=50).moats.board, settings().moats.board
    assert history_ms(longer) - history_ms(plain) == 36 * DAY_MS


def test_documents_change_no_value_no_quality_and_no_strength() -> None:
    """The feature of the government moat is the schedule alone, whenever in the hour a document comes."""
    said, until = many(), START + 38 * DAY_MS
    rng = np.random.default_rng(8)
    extra = [document(int(at)) for at in rng.integers(START, until, 300)]
    without = walk(board(), [*said, *(Observation("vix", "market", one.id, "vix", one.at, one.known_at, {"vix": 1.0})
                                      for one in extra)], until)  # fmt: skip
    beside_ = walk(board(), [*said, *extra], until)
    assert without.keys() == beside_.keys()
    for at, view in without.items():
        other = beside_[at]
        assert view.values.tobytes() == other.values.tobytes()
        assert view.states.tobytes() == other.states.tobytes()
        assert view.statuses == other.statuses
        assert view.parts.quality.tobytes() == other.parts.quality.tobytes()
        assert view.parts.recent.tobytes() == other.parts.recent.tobytes()
    figures = standing(beside_[until], GOVERNMENT, STRENGTH).figures
    assert figures.keys() == {"event_hours", "event_hours.z", "documents", "documents.z"}


def test_a_moat_whose_documents_come_has_data_though_no_value() -> None:
    said, until = documents(20), START + 30 * DAY_MS
    views = walk(board(), said, until)
    here = views[START + 19 * DAY_MS]
    assert here.statuses[GOVERNMENT] in (Status.OK, Status.NEUTRAL)
    assert {STATUSES[state] for state in here.states[:, GOVERNMENT]} == {Status.NO_DATA}
    assert not here.values.any()
    assert standing(here, GOVERNMENT, STRENGTH).quality == 0.0
    assert views[until].statuses[GOVERNMENT] is Status.STALE
    assert "documents.z" not in standing(views[until], GOVERNMENT, STRENGTH).figures


def test_a_document_counts_at_once_and_is_news() -> None:
    moats = board()
    walk(moats, [event(START + 5 * DAY_MS)], START + DAY_MS)
    at = START + DAY_MS + 17 * 60_000
    view = moats.push(at, [document(at)])
    assert view.news_at[GOVERNMENT] == at
    assert int(view.parts.as_of[GOVERNMENT]) == at
    told = standing(view, GOVERNMENT, STRENGTH)
    assert (told.figures["documents"], told.age_ms) == (1.0, 0)


def test_documents_of_a_moat_that_is_off_are_no_news() -> None:
    moats = board(moats__board__enabled=["code"])
    before = moats.push(START, [])
    view = moats.push(START + 1, [document(START + 1)])
    assert view is before


# --- repositories ------------------------------------------------------------------------------------------------


def test_the_formulas() -> None:
    assert round(dependency_entropy(300, 20, 150), 2) == 74.58
    assert dependency_entropy(300, 20, 0) == 300 * math.log(21)
    assert [novelty(commits, 300, GITHUB) for commits in (1, 20, 60, 1000)] == [0.5, 20 / 30, 2.0, 9.5]


def told(*said: Observation, at: int = START) -> dict[str, dict[str, float]]:
    known = Repositories(GITHUB, 3 * DAY_MS)
    for one in said:
        known.see(one)
    return known.figures(at)


def test_the_example_of_one_repository() -> None:
    found = told(repository("ETH", GETH, START, **EXAMPLE))["ETH"]
    assert round(found["dependency_entropy"], 2) == 74.58
    assert found["novelty"] == 20 / 30
    assert tuple(found) == FIGURES


def test_all_repositories_of_an_asset_are_summed_before_the_formulas() -> None:
    small = {"commits_24h": 4.0, "contributors": 100.0, "open_issues": 50.0, "dependency_entropy": 1.0, "novelty": 9.0}
    found = told(repository("ETH", GETH, START, **EXAMPLE), repository("ETH", PY_EVM, START, **small),
                 repository("UNI", "Uniswap/v3-core", START, **EXAMPLE))  # fmt: skip
    assert found["ETH"] == {
        "repositories": 2.0,
        "commits_24h": 24.0,
        "contributors": 400.0,
        "open_issues": 200.0,
        "dependency_entropy": dependency_entropy(400, 24, 200),
        "novelty": 0.6,
    }
    assert found["UNI"]["repositories"] == 1.0


@pytest.mark.parametrize(
    ("missing", "absent"),
    [
        ("contributors", {"contributors", "dependency_entropy", "novelty"}),
        ("open_issues", {"open_issues", "dependency_entropy"}),
        ("commits_24h", {"commits_24h", "dependency_entropy", "novelty"}),
    ],
)
def test_what_one_repository_does_not_carry_is_absent_and_never_estimated(missing: str, absent: set[str]) -> None:
    less = {name: value for name, value in EXAMPLE.items() if name != missing}
    found = told(repository("ETH", GETH, START, **EXAMPLE), repository("ETH", PY_EVM, START, **less))["ETH"]
    assert set(FIGURES) - set(found) == absent


def test_few_contributors_say_nothing() -> None:
    few = {**EXAMPLE, "contributors": GITHUB.min_contributors - 1.0}
    assert set(FIGURES) - set(told(repository("ETH", GETH, START, **few))["ETH"]) == {"dependency_entropy", "novelty"}


def test_the_newest_word_of_each_counts_and_an_old_one_is_forgotten() -> None:
    later = {**EXAMPLE, "contributors": 310.0}
    both = (repository("ETH", GETH, START + 1, **later), repository("ETH", GETH, START, **EXAMPLE))
    assert told(*both)["ETH"]["contributors"] == told(*both[::-1])["ETH"]["contributors"] == 310.0
    gone = (repository("ETH", GETH, START, **EXAMPLE), repository("ETH", PY_EVM, START + DAY_MS, **EXAMPLE))
    assert told(*gone, at=START + 3 * DAY_MS)["ETH"]["repositories"] == 2.0
    assert told(*gone, at=START + 3 * DAY_MS + 1)["ETH"]["repositories"] == 1.0
    assert told(*gone, at=START + 5 * DAY_MS) == {}


def test_the_board_shows_them_beside_the_commits_and_they_change_no_value() -> None:
    said = [commit("ETH", START + n * HOUR_MS * (1 + n % 3), n) for n in range(200)]
    until = START + 20 * DAY_MS
    hourly = [repository("ETH", GETH, START + n * HOUR_MS, **EXAMPLE) for n in range(20 * 24 + 1)]
    silent = [Observation("github_repositories", "code", one.id, "NONE", one.at, one.known_at, one.values)
              for one in hourly]  # fmt: skip
    shown, plain = walk(board(), [*said, *hourly], until), walk(board(), [*said, *silent], until)
    assert all(view.values.tobytes() == plain[at].values.tobytes() for at, view in shown.items())
    figures = standing(shown[until], CODE, STRENGTH).figures
    assert {f"ETH.{name}" for name in FIGURES} | {"ETH", "ETH.z"} == figures.keys()
    assert round(figures["ETH.dependency_entropy"], 2) == 74.58
    assert beside(shown[until], CODE, "ETH")["contributors"] == 300.0
    assert beside(shown[until], CODE, "BTC") == {}
    assert standing(plain[until], CODE, STRENGTH).figures.keys() == {"ETH", "ETH.z"}


def test_commits_alone_as_they_are_recorded_leave_them_absent() -> None:
    view = walk(board(), many(), START + 30 * DAY_MS)[START + 30 * DAY_MS]
    assert not [name for name in standing(view, CODE, STRENGTH).figures if "." in name and not name.endswith(".z")]


def test_repositories_without_a_commit_have_an_age() -> None:
    view = board().push(START, [repository("ETH", GETH, START - HOUR_MS, **EXAMPLE)])
    now = standing(view, CODE, STRENGTH)
    assert (now.status, now.age_ms) == (Status.NO_DATA, HOUR_MS)
    assert now.figures["ETH.contributors"] == 300.0


# --- restart -----------------------------------------------------------------------------------------------------


def everything() -> list[Observation]:
    return [*documents(20), *many(days=20), repository("ETH", GETH, START + 5 * DAY_MS, **EXAMPLE)]


def same(one: MoatView, other: MoatView) -> bool:
    both = [[standing(view, moat, STRENGTH) for moat in range(4)] for view in (one, other)]
    return both[0] == both[1] and one.values.tobytes() == other.values.tobytes() and one.news_at == other.news_at


def slices(said: Sequence[Observation], until: int) -> list[tuple[int, list[Observation]]]:
    times = list(range(START, until + 1, 6 * HOUR_MS))
    return [(at, [o for o in said if before < o.known_at <= at]) for before, at in pairwise([-1, *times])]


def test_a_restart_goes_on_with_documents_and_repositories() -> None:
    whole, first, second = board(), board(), board()
    for place, (at, known) in enumerate(slices(everything(), START + 19 * DAY_MS)):
        expected = whole.push(at, known)
        if place < 50:
            first.push(at, known)
            continue
        if place == 50:
            second.restore(checkpoint.load(checkpoint.dump(first.state())))
            assert same(second.view, first.view)
        assert same(second.push(at, known), expected)
    assert standing(second.view, GOVERNMENT, STRENGTH).figures["documents"] > 0


def test_a_state_of_an_earlier_version_is_gone_on_with() -> None:
    old, new = board(), board()
    said = slices(many(days=20), START + 19 * DAY_MS)
    for at, known in said[:50]:
        old.push(at, known)
    state = old.state()
    del state["documented"], state["repositories"], state["counted"]["documents"]
    new.restore(checkpoint.load(checkpoint.dump(state)))
    for at, known in said[50:]:
        assert same(new.push(at, known), old.push(at, known))


# --- why ---------------------------------------------------------------------------------------------------------


def seen(*said: Observation) -> Snapshot:
    return Market(PAIRS, HOUR_MS, settings()).push(Slice(START, None, said))


def test_why_names_what_was_known_beside_the_values_of_a_pair() -> None:
    snapshot = seen(*(one for one in documents() if one.known_at <= START), repository("ETH", GETH, START, **EXAMPLE))
    told_ = data_of(snapshot, ETH)
    assert told_["moats"]["code"]["figures"]["contributors"] == 300.0
    assert set(told_["moats"]["government"]["figures"]) == {"documents", "documents.z"}
    assert "figures" not in data_of(snapshot, BTC)["moats"]["code"]
    assert not snapshot.features[:, MOAT_COLUMNS].any()
    page = "\n".join(_data_lines(told_))
    assert "contributors 300, open_issues 150, dependency_entropy 74.5" in page
    assert "documents " in page


def test_what_is_not_known_leaves_rows_as_they_were() -> None:
    plain: dict[str, Any] = data_of(seen(*(one for one in many() if one.known_at <= START)), ETH)["moats"]
    assert {tuple(one) for one in plain.values()} == {("status", "of_the_pair", "value", "quality", "age_ms")}


def test_pairs_of_one_asset_share_its_repositories() -> None:
    snapshot = seen(repository("ETH", GETH, START, **EXAMPLE))
    ours = [data_of(snapshot, Pair(pair))["moats"]["code"]["figures"] for pair in (ETH, ETH_USDT)]
    assert ours[0] == ours[1]
