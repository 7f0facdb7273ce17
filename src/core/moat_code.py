"""What repositories are like besides their commits: contributors, open issues and what follows from these."""

from __future__ import annotations

import math
from typing import Any

from .config import GithubSettings
from .moat_kernels import NEVER
from .types import Observation

COMMITS_24H, CONTRIBUTORS, OPEN_ISSUES = "commits_24h", "contributors", "open_issues"
COUNTS = (COMMITS_24H, CONTRIBUTORS, OPEN_ISSUES)
"""What a repository counts."""
FIGURES = ("repositories", *COUNTS, "dependency_entropy", "novelty")
"""What can be known of an asset, in the order in which it is told."""


def dependency_entropy(contributors: int, commits: int, issues: int) -> float:
    """contributors x ln(commits + 1) / sqrt(max(issues, 1)).

    >>> round(dependency_entropy(300, 20, 150), 2)
    74.58
    """
    return contributors * math.log(commits + 1) / math.sqrt(max(issues, 1))


def novelty(commits: int, contributors: int, settings: GithubSettings) -> float:
    """10 x commits / contributors, held between `novelty_min` and `novelty_max`; `contributors` at least 1."""
    return min(max(10 * commits / contributors, settings.novelty_min), settings.novelty_max)


class Repositories:
    """What the repositories of each asset said last; `known_at` the newest of it (UTC ms)."""

    def __init__(self, settings: GithubSettings, max_age_ms: int) -> None:
        self._settings, self._max_age_ms = settings, max_age_ms
        self._told: dict[str, dict[str, tuple[int, dict[str, float]]]] = {}
        self.known_at = NEVER

    def clear(self) -> None:
        """Nothing known."""
        self._told.clear()
        self.known_at = NEVER

    def see(self, seen: Observation) -> None:
        """One more word of a repository, whose name is the id up to its last @; an older one changes nothing."""
        repository, asset = seen.id.rpartition("@")[0], self._told.setdefault(seen.subject, {})
        if repository in asset and seen.known_at < asset[repository][0]:
            return
        asset[repository] = seen.known_at, dict(seen.values)
        self.known_at = max(self.known_at, seen.known_at)

    def figures(self, at: int) -> dict[str, dict[str, float]]:
        """`FIGURES` by asset, over all repositories that spoke lately: sums, and what follows from the sums.

        Whoever contributes to two of them counts twice: GitHub tells numbers, not names. What one of them does not
        carry is absent, and so is all that follows from it; nothing is estimated.
        """
        found = {}
        for asset, told in self._told.items():
            lately = [values for known_at, values in told.values() if at - known_at <= self._max_age_ms]
            if lately:
                found[asset] = self._of_asset(lately)
        return found

    def _of_asset(self, told: list[dict[str, float]]) -> dict[str, float]:
        counts = {name: sum(one[name] for one in told) for name in COUNTS if all(name in one for one in told)}
        figures = {"repositories": float(len(told)), **counts}
        contributors = counts.get(CONTRIBUTORS, 0.0)
        if COMMITS_24H in counts and contributors >= self._settings.min_contributors:
            commits = int(counts[COMMITS_24H])
            if OPEN_ISSUES in counts:
                issues = int(counts[OPEN_ISSUES])
                figures["dependency_entropy"] = dependency_entropy(int(contributors), commits, issues)
            figures["novelty"] = novelty(commits, int(contributors), self._settings)
        return figures

    def state(self) -> dict[str, Any]:
        """What each said last."""
        return {asset: {name: list(one) for name, one in told.items()} for asset, told in self._told.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._told = {
            asset: {name: (known_at, values) for name, (known_at, values) in told.items()}
            for asset, told in state.items()
        }
        self.known_at = max((one[0] for told in self._told.values() for one in told.values()), default=NEVER)
