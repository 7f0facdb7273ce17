"""The code moat: what was committed to the repositories of each asset, asked from the GitHub API through PyGithub."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice

import github
from github import Auth, Github, GithubException
from github.Commit import Commit
from github.NamedUser import NamedUser
from github.Repository import Repository

from ...core.config import GithubSettings, MoatHttp, Moats
from ...core.config import Repository as Listed
from ...core.errors import Gone, Malformed, RateLimited, Refused, SourceError, Unavailable, Unconfigured
from ...core.moat_code import dependency_entropy, novelty
from ...core.types import Observation
from .http import retry_after
from .rounds import Rounds

MOAT = "code"
_Seen = tuple[str, int, dict[str, float]]
"""A commit's identity, time (UTC ms) and values."""
SHA_LETTERS = 12
"""As long as the identities of recorded commits, so that a recording and the live source never say a commit twice."""

_UNBELIEVABLE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    RuntimeError,
    github.BadAttributeException,
)
"""What PyGithub raises over an answer of another shape; it looks at nothing before it uses it."""

logging.getLogger("github").setLevel(logging.WARNING)
"""PyGithub writes every question and answer to its log at DEBUG; none of it belongs into ours."""


class GithubSource:
    """Commits of the look-back, and the figures of each repository: `commits` and `github_repositories`.

    A commit is known when it was first seen here: the API says when it was made, not when it landed. The figures,
    whose id is NAME@TIME, are commits_24h, contributors, open_issues (pull requests included, as GitHub counts),
    dependency_entropy and novelty; what the server would not tell is left out.
    """

    simulated = False
    moat = MOAT

    def __init__(self, settings: Moats, environ: Mapping[str, str]) -> None:
        self.name, self.interval_seconds = "github", settings.pace.code.interval_seconds
        self._settings, self._http = settings.github, settings.http
        self._rounds = Rounds(self._settings.repositories)
        self._client = _client(settings.github, settings.http, environ)

    def fetch(self, now_ms: int) -> Sequence[Observation]:
        """All listed repositories; Unconfigured without a login, else raises what `Rounds.ask` raises."""
        if self._client is None:
            raise Unconfigured(f"the code moat has no login; set the variable {self._settings.login_env} to a token")
        client = self._client
        return self._rounds.ask(lambda listed: self._repository(client, listed, now_ms))

    def notices(self) -> Sequence[str]:
        """Repositories that were renamed or could not be read, figures that were not told."""
        return tuple(self._rounds.notices)

    def close(self) -> None:
        """Give back the connections."""
        if self._client is not None:
            self._client.close()

    def _repository(self, client: Github, listed: Listed, now_ms: int) -> list[Observation]:
        try:
            repository = client.get_repo(listed.name)
            _refuse_another_shape(repository.full_name, repository.open_issues_count)
            if repository.full_name.lower() != listed.name.lower():
                self._rounds.notices.append(
                    f"{listed.name}: is now {repository.full_name}; write that into the settings"
                )
            commits = self._commits(repository, listed, now_ms)
            figures = self._figures(repository, listed, len(commits))
        except GithubException as error:
            raise _translated(error, listed, now_ms, self._http) from None
        except OSError as error:  # what requests raises
            raise Unavailable(f"GitHub, {listed.name}: no answer ({type(error).__name__})") from None
        except _UNBELIEVABLE as error:
            raise Malformed(f"GitHub, {listed.name}: not what its API promises ({type(error).__name__})") from None
        said = [Observation("commits", MOAT, sha, listed.asset, at, now_ms, values) for sha, at, values in commits]
        id_ = f"{listed.name}@{now_ms}"
        return [*said, Observation("github_repositories", MOAT, id_, listed.asset, now_ms, now_ms, figures)]

    def _commits(self, repository: Repository, listed: Listed, now_ms: int) -> list[_Seen]:
        since = datetime.fromtimestamp(now_ms / 1000 - self._settings.lookback_seconds, UTC)
        most = self._settings.max_commits
        try:
            seen = [_seen(commit) for commit in islice(repository.get_commits(since=since), most + 1)]
        except GithubException as error:
            if error.status == 409:  # "Git Repository is empty."
                return []
            raise
        if len(seen) > most:
            self._rounds.notices.append(f"{listed.name}: more than {most} commits; the figures count {most}")
        return seen[:most]

    def _figures(self, repository: Repository, listed: Listed, commits: int) -> dict[str, float]:
        issues = repository.open_issues_count
        figures = {"commits_24h": float(commits), "open_issues": float(issues)}
        contributors = self._contributors(repository, listed)
        if contributors is not None:
            figures["contributors"] = float(contributors)
            if contributors >= self._settings.min_contributors:
                figures["dependency_entropy"] = dependency_entropy(contributors, commits, issues)
                figures["novelty"] = novelty(commits, contributors, self._settings)
        return figures

    def _contributors(self, repository: Repository, listed: Listed) -> int | None:
        """How many; None where GitHub finds the list too long to count (403)."""
        try:
            return repository.get_contributors(anon="true").totalCount
        except GithubException as error:
            if error.status == 403 and "too large" in (error.message or ""):
                self._rounds.notices.append(f"{listed.name}: GitHub does not count its contributors")
                return None
            raise


def _client(settings: GithubSettings, http: MoatHttp, environ: Mapping[str, str]) -> Github | None:
    """PyGithub without its own waits and repeats; None where a login is wanted and absent."""
    login = environ.get(settings.login_env, "").strip() if settings.login_env else ""
    if settings.login_env and not login:
        return None
    return Github(
        auth=Auth.Token(login) if login else None,
        base_url=settings.base_url.rstrip("/"),
        user_agent=http.user_agent,
        per_page=settings.page_rows,
        timeout=math.ceil(http.timeout_seconds),
        retry=None,
        seconds_between_requests=None,
    )


def _refuse_another_shape(full_name: object, issues: object) -> None:
    """PyGithub promises types that an answer of another shape does not have."""
    if not isinstance(full_name, str) or not isinstance(issues, int):
        raise ValueError("neither full_name nor open_issues_count")


def _seen(commit: Commit) -> _Seen:
    made = commit.commit.committer.date
    if not isinstance(commit.sha, str) or len(commit.sha) < SHA_LETTERS:
        raise ValueError("a commit without an identity")
    values = {
        "is_bot": float(_by_a_bot(commit.author, commit.commit.author.name)),
        "is_merge": float(len(commit.parents) > 1),
    }
    return commit.sha[:SHA_LETTERS], round(made.timestamp() * 1000), values


def _by_a_bot(account: NamedUser | None, author: str | None) -> bool:
    """GitHub knows bots by the account's type; without an account their names end in [bot]."""
    if account is not None:
        return account.type == "Bot" or account.login.endswith("[bot]")
    return (author or "").endswith("[bot]")


def _translated(error: GithubException, listed: Listed, now_ms: int, http: MoatHttp) -> SourceError:
    """PyGithub's error as one of ours; its text may hold what the server repeated and is not handed on."""
    where, status, headers = f"GitHub, {listed.name}", error.status, error.headers or {}
    spent = status == 403 and headers.get("x-ratelimit-remaining") == "0"
    if status == 429 or spent or isinstance(error, github.RateLimitExceededException):
        return RateLimited(f"{where}: too many questions ({status})", _wait(headers, now_ms, http))
    if status in (401, 403):
        return Refused(f"{where}: we are not let in ({status}); check the token and its rights")
    if status in (404, 410, 451):
        return Gone(f"{where}: does not exist or is private ({status}); check its name in the settings")
    if status >= 500 or status == 408:
        return Unavailable(f"{where}: the server is out of order ({status})")
    return Malformed(f"{where}: an answer nobody expects ({status})")


def _wait(headers: Mapping[str, str], now_ms: int, http: MoatHttp) -> float | None:
    """Seconds until GitHub answers again: Retry-After, else the time at which the allowance is renewed."""
    said = retry_after(headers.get("retry-after"), now_ms, http.retry_after_cap_seconds)
    reset = headers.get("x-ratelimit-reset", "")
    if said is not None or headers.get("x-ratelimit-remaining") != "0" or not (reset.isascii() and reset.isdigit()):
        return said
    return min(max(0.0, int(reset[:12]) - now_ms / 1000), http.retry_after_cap_seconds)
