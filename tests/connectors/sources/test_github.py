"""The code moat over a socket: the real PyGithub client against a server that speaks like GitHub."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

import pytest

from src.connectors.sources.github import GithubSource
from src.core.clock import from_iso, iso
from src.core.errors import Gone, Malformed, RateLimited, Refused, SourceError, Unavailable, Unconfigured
from src.core.moat_code import dependency_entropy, novelty
from src.core.types import Observation
from tests.connectors.sources.served import HTML, Answer, Asked, Served, moats, of, raw

NOW = from_iso("2026-09-21T14:00:00Z")
LOGIN = "ghp_veryHiddenLetters123"


def repository(served: Served, name: str = "ethereum/go-ethereum", issues: object = 150) -> dict[str, Any]:
    return {
        "id": 15452919,
        "name": name.split("/")[1],
        "full_name": name,
        "url": f"{served.url}/repos/{name}",
        "open_issues_count": issues,
        "archived": False,
        "a column nobody knows": {"x": 1},
    }


def commit(number: int, at: str = "2026-09-21T10:00:00Z", **changes: Any) -> dict[str, Any]:
    person = {"name": "Péter", "email": "p@example.org", "date": at}
    made = {
        "sha": f"{number:012x}" + "0" * 28,
        "commit": {"author": person, "committer": person, "message": "eth: mend"},
        "author": {"login": "peter", "id": 1, "type": "User"},
        "committer": {"login": "web-flow", "id": 2, "type": "User"},
        "parents": [{"sha": "1" * 40}],
    }
    return made | changes


def speak(served: Served, name: str, commits: list[dict[str, Any]], contributors: int, **changes: object) -> None:
    """Teach the server one repository: pages of commits, and contributors counted by the last page's number."""

    def paged(asked: Asked) -> Answer:
        size, page = int(asked.query["per_page"][0]), int(asked.query.get("page", ["1"])[0])
        last = math.ceil(len(commits) / size)
        rest = f"{served.url}/repos/{name}/commits?per_page={size}&since={asked.query['since'][0]}&page="
        link = {"link": f'<{rest}{page + 1}>; rel="next", <{rest}{last}>; rel="last"'} if page < last else {}
        return of(commits[(page - 1) * size : page * size], 200, **link)

    def counted(asked: Asked) -> Answer:
        assert (asked.query["per_page"], asked.query["anon"]) == (["1"], ["true"])
        link = {"link": f'<{served.url}{asked.path}?per_page=1&anon=true&page={contributors}>; rel="last"'}
        return of([{"login": "a", "contributions": 9}][:contributors], 200, **(link if contributors > 1 else {}))

    served.routes[f"/repos/{name}"] = of(repository(served, name) | changes)
    served.routes[f"/repos/{name}/commits"] = paged
    served.routes[f"/repos/{name}/contributors"] = counted


def listed(*repositories: tuple[str, str]) -> str:
    rows = ", ".join(f"{{name: {name}, asset: {asset}, language: Go}}" for name, asset in repositories)
    return f"github.repositories=[{rows}]"


GETH = ("ethereum/go-ethereum", "ETH")
UNI = ("Uniswap/v3-core", "UNI")
NEAR = ("near/nearcore", "NEAR")


def source(
    served: Served, *sets: str, login: str | None = LOGIN, repositories: tuple[Any, ...] = (GETH,)
) -> GithubSource:
    environ = {} if login is None else {"GITHUB_TOKEN": login}
    return GithubSource(moats(served.url, listed(*repositories), *sets), environ)


@pytest.fixture
def geth(served: Served) -> Iterator[GithubSource]:
    made = source(served)
    yield made
    made.close()


def failure(made: GithubSource) -> SourceError:
    with pytest.raises(SourceError) as caught:
        made.fetch(NOW)
    assert LOGIN not in repr(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


def test_commits_and_figures_of_a_repository(served: Served, geth: GithubSource) -> None:
    speak(served, GETH[0], [commit(number) for number in range(20)], 300)
    said = geth.fetch(NOW)
    assert said[0] == Observation(
        "commits",
        "code",
        "000000000000",
        "ETH",
        from_iso("2026-09-21T10:00:00Z"),
        NOW,
        {"is_bot": 0.0, "is_merge": 0.0},
    )
    assert [item.id for item in said[:20]] == [f"{number:012x}" for number in range(20)]
    values = {
        "commits_24h": 20.0,
        "contributors": 300.0,
        "open_issues": 150.0,
        "dependency_entropy": 300 * math.log(21) / math.sqrt(150),
        "novelty": 200 / 300,
    }
    assert said[20:] == [Observation("github_repositories", "code", f"{GETH[0]}@{NOW}", "ETH", NOW, NOW, values)]
    assert round(values["dependency_entropy"], 2) == 74.58
    assert geth.notices() == ()


def test_it_asks_for_a_day_and_says_who_it_is(served: Served, geth: GithubSource) -> None:
    speak(served, GETH[0], [commit(1)], 9)
    geth.fetch(NOW)
    assert served.paths() == [f"/repos/{GETH[0]}", f"/repos/{GETH[0]}/commits", f"/repos/{GETH[0]}/contributors"]
    assert served.asked[1].query["since"] == ["2026-09-20T14:00:00Z"]
    assert {asked.headers["authorization"] for asked in served.asked} == {f"token {LOGIN}"}
    assert {asked.headers["user-agent"] for asked in served.asked} == {"mycelial-finance"}


def test_commits_come_from_all_pages(served: Served) -> None:
    made = source(served, "github.page_rows=7")
    speak(served, GETH[0], [commit(number) for number in range(20)], 300)
    assert [item.id for item in made.fetch(NOW)[:-1]] == [f"{number:012x}" for number in range(20)]
    assert served.paths().count(f"/repos/{GETH[0]}/commits") == 3
    made.close()


def test_more_commits_than_the_settings_allow_are_cut_and_noticed(served: Served) -> None:
    made = source(served, "github.max_commits=5")
    speak(served, GETH[0], [commit(number) for number in range(6)], 300)
    assert [item.values.get("commits_24h") for item in made.fetch(NOW)][5:] == [5.0]
    assert made.notices() == (f"{GETH[0]}: more than 5 commits; the figures count 5",)
    made.close()


@pytest.mark.parametrize(
    ("changes", "bot", "merge"),
    [
        ({"author": {"login": "renovate[bot]", "id": 3, "type": "Bot"}}, 1.0, 0.0),
        ({"author": {"login": "old[bot]", "id": 3, "type": "User"}}, 1.0, 0.0),
        ({"author": None}, 0.0, 0.0),
        ({"parents": [{"sha": "1" * 40}, {"sha": "2" * 40}]}, 0.0, 1.0),
        ({"parents": []}, 0.0, 0.0),
    ],
)
def test_bots_and_merges(served: Served, geth: GithubSource, changes: dict[str, Any], bot: float, merge: float) -> None:
    speak(served, GETH[0], [commit(1, **changes)], 9)
    assert geth.fetch(NOW)[0].values == {"is_bot": bot, "is_merge": merge}


def test_a_bot_without_an_account_is_known_by_its_name(served: Served, geth: GithubSource) -> None:
    person = {"name": "dependabot[bot]", "email": "b@example.org", "date": "2026-09-21T10:00:00Z"}
    made = commit(1, author=None, commit={"author": person, "committer": person, "message": "bump"})
    speak(served, GETH[0], [made], 9)
    assert geth.fetch(NOW)[0].values["is_bot"] == 1.0


def test_few_contributors_say_nothing_of_novelty(served: Served, geth: GithubSource) -> None:
    speak(served, GETH[0], [commit(1)], 4)
    assert geth.fetch(NOW)[-1].values == {"commits_24h": 1.0, "contributors": 4.0, "open_issues": 150.0}


def test_an_empty_repository_has_no_commits(served: Served, geth: GithubSource) -> None:
    speak(served, GETH[0], [], 0)
    served.routes[f"/repos/{GETH[0]}/commits"] = of({"message": "Git Repository is empty."}, 409)
    assert [item.values for item in geth.fetch(NOW)] == [
        {"commits_24h": 0.0, "contributors": 0.0, "open_issues": 150.0}
    ]


def test_too_many_contributors_to_count_leave_the_rest(served: Served, geth: GithubSource) -> None:
    speak(served, GETH[0], [commit(1)], 9)
    text = "The history or contributor list is too large to list contributors for this repository via the API."
    served.routes[f"/repos/{GETH[0]}/contributors"] = of({"message": text}, 403)
    assert geth.fetch(NOW)[-1].values == {"commits_24h": 1.0, "open_issues": 150.0}
    assert geth.notices() == (f"{GETH[0]}: GitHub does not count its contributors",)


def test_a_renamed_repository_is_followed_and_reported(served: Served, geth: GithubSource) -> None:
    speak(served, "ethereum/geth", [commit(1)], 9)
    served.routes[f"/repos/{GETH[0]}"] = of({}, 301, location=f"{served.url}/repositories/15452919")
    served.routes["/repositories/15452919"] = of(repository(served, "ethereum/geth"))
    said = geth.fetch(NOW)
    assert [item.subject for item in said] == ["ETH", "ETH"]
    assert geth.notices() == (f"{GETH[0]}: is now ethereum/geth; write that into the settings",)


@pytest.mark.parametrize("path", ["", "/commits", "/contributors"])
@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (of({"message": "Bad credentials"}, 401), Refused, "not let in (401)"),
        (of({"message": "Resource not accessible by personal access token"}, 403), Refused, "not let in (403)"),
        (of({"message": "Not Found"}, 404), Gone, "does not exist or is private (404)"),
        (of({"message": "Repository access blocked"}, 451), Gone, "(451)"),
        (of({"message": "Server Error"}, 500), Unavailable, "out of order (500)"),
        (raw(HTML, 502), Unavailable, "out of order (502)"),
        (of({"message": "too many"}, 429), RateLimited, "too many questions (429)"),
        (of({"message": "You have exceeded a secondary rate limit"}, 403), RateLimited, "too many questions (403)"),
        (of({"message": "teapot"}, 418), Malformed, "nobody expects (418)"),
        (of({}, 301, location="http://elsewhere.example/repos/x"), Malformed, "RuntimeError"),
        (raw(b'{"full_na'), Malformed, "not what its API promises"),
        (Answer(drop=True), Unavailable, "no answer"),
        (Answer(b'{"full_name": "x"}', cut=5), Unavailable, "no answer"),
    ],
)
def test_every_bad_answer_is_one_line_of_its_kind(
    served: Served, geth: GithubSource, path: str, answer: Answer, kind: type[SourceError], says: str
) -> None:
    speak(served, GETH[0], [commit(1)], 9)
    served.routes[f"/repos/{GETH[0]}{path}"] = answer
    error = failure(geth)
    assert type(error) is kind
    assert says in str(error)
    assert str(error).startswith(f"GitHub, {GETH[0]}: ")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("", raw(HTML)),
        ("", raw(b"")),
        ("", of([])),
        ("", of({"full_name": GETH[0], "open_issues_count": "many"})),
        ("", of({"full_name": 7, "open_issues_count": 7})),
        ("", of({"url": "x"})),
        ("/commits", raw(HTML)),
        ("/commits", of({"message": "what"})),
        ("/commits", of([{"sha": None}])),
        ("/commits", of([commit(1, at="yesterday")])),
        ("/commits", of([commit(1, sha="12")])),
        ("/commits", of([commit(1, commit=None)])),
        ("/contributors", raw(HTML)),
    ],
)
def test_an_answer_of_another_shape_is_malformed(served: Served, geth: GithubSource, path: str, answer: Answer) -> None:
    speak(served, GETH[0], [commit(1)], 9)
    served.routes[f"/repos/{GETH[0]}{path}"] = answer
    assert type(failure(geth)) is Malformed


def test_a_server_that_says_nothing_is_left(served: Served) -> None:
    made = source(served, "http.timeout_seconds=1")
    served.routes[f"/repos/{GETH[0]}"] = Answer(hang=True)
    assert isinstance(failure(made), Unavailable)
    made.close()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "30"}, 30.0),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(NOW // 1000 + 600)}, 600.0),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(NOW // 1000 - 600)}, 0.0),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": "9" * 30}, 3600.0),
        ({"x_ratelimit_remaining": "7", "x_ratelimit_reset": str(NOW // 1000 + 600)}, None),
        ({}, None),
    ],
)
def test_a_limit_says_when_to_come_back(
    served: Served, geth: GithubSource, headers: dict[str, str], seconds: float | None
) -> None:
    served.routes[f"/repos/{GETH[0]}"] = of({"message": "API rate limit exceeded for user ID 1."}, 403, **headers)
    error = failure(geth)
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == seconds


def test_a_spent_allowance_is_known_by_its_header_alone(served: Served, geth: GithubSource) -> None:
    served.routes[f"/repos/{GETH[0]}"] = of({"message": "Forbidden"}, 403, x_ratelimit_remaining="0")
    assert isinstance(failure(geth), RateLimited)


def test_one_repository_that_is_gone_costs_nothing_of_the_others(served: Served) -> None:
    made = source(served, repositories=(GETH, UNI))
    speak(served, UNI[0], [commit(1)], 9)
    assert {item.subject for item in made.fetch(NOW)} == {"UNI"}
    assert made.notices() == (f"GitHub, {GETH[0]}: does not exist or is private (404); check its name in the settings",)
    made.close()


def test_a_limit_in_the_middle_keeps_what_was_gathered_and_goes_on_there(served: Served) -> None:
    made = source(served, repositories=(GETH, UNI, NEAR))
    for number, (name, _) in enumerate((GETH, UNI, NEAR)):
        speak(served, name, [commit(number)], 9)
    uni, served.routes[f"/repos/{UNI[0]}"] = served.routes[f"/repos/{UNI[0]}"], of({}, 429)
    error = failure(made)
    assert [item.subject for item in error.gathered] == ["ETH", "ETH"]
    served.routes[f"/repos/{UNI[0]}"] = uni
    assert [item.subject for item in made.fetch(NOW)] == ["UNI", "UNI", "NEAR", "NEAR", "ETH", "ETH"]
    assert made.fetch(NOW)[0].subject == "ETH"
    made.close()


@pytest.mark.parametrize("login", [None, "", "  "])
def test_without_a_login_nobody_is_asked(served: Served, login: str | None) -> None:
    made = source(served, login=login)
    with pytest.raises(Unconfigured, match="set the variable GITHUB_TOKEN to a token"):
        made.fetch(NOW)
    assert served.asked == []
    made.close()


def test_a_server_that_needs_no_login_gets_none(served: Served) -> None:
    made = source(served, "github.login_env=null", login=None)
    speak(served, GETH[0], [commit(1)], 9)
    assert len(made.fetch(NOW)) == 2
    assert all("authorization" not in asked.headers for asked in served.asked)
    made.close()


def test_the_login_is_in_no_log_and_no_text(
    served: Served, geth: GithubSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    speak(served, GETH[0], [commit(1)], 9)
    geth.fetch(NOW)
    served.routes[f"/repos/{GETH[0]}"] = of({"message": f"Bad credentials {LOGIN}"}, 401, x_echo=LOGIN)
    failure(geth)
    assert LOGIN not in caplog.text
    assert LOGIN not in repr(geth) + repr(vars(geth)) + str(geth.notices())


def test_the_figures_of_the_documents() -> None:
    settings = moats("http://s").github
    assert dependency_entropy(300, 20, 0) == 300 * math.log(21)
    assert dependency_entropy(300, 0, 150) == 0.0
    assert [novelty(*pair, settings) for pair in ((0, 10), (5, 10), (50, 10))] == [0.5, 5.0, 9.5]
    assert iso(NOW).startswith("2026-09-21")
