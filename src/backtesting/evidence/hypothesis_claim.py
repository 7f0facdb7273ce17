"""A lead-lag claim as data, written down before it is tested: every choice that could be tuned stands in its file."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ...core.errors import ConfigError, UsageError
from ...core.timeframes import TimeRange, parse_timerange

_WEEK_HOURS = 168

Hours = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(gt=0.0, lt=1.0)]
Name = Annotated[str, Meta(min_length=1)]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the parts of a claim: nothing unknown passes."""


class Source(Part, frozen=True):
    """What is said to lead: `count` of what became known in the trailing window, the last `level` of a field, or its
    log `change` over the window. `subjects` None: all. `logarithm`: log(1 + count), or the log of a level."""

    moat: Name
    name: Name
    measure: Literal["count", "level", "change"]
    window_hours: Hours
    subjects: tuple[Name, ...] | None = None
    field: Name | None = None
    logarithm: bool = False


class Target(Part, frozen=True):
    """What is said to follow: of a basket of pairs, the mean over `horizon_hours` of |log return| or log return."""

    venue: Name
    pairs: Annotated[tuple[Name, ...], Meta(min_length=1)]
    measure: Literal["volatility", "return"]
    horizon_hours: Hours


class Controls(Part, frozen=True):
    """What anybody knew without the source: hour of the week, a broken line through time, and past means (HAR)."""

    hour_of_week: bool
    trend_knot_days: Hours
    har_hours: Annotated[tuple[Hours, ...], Meta(min_length=1)]


class Split(Part, frozen=True):
    """Half open ranges in UTC. Whoever chooses a claim may look at `in_sample`, never at `out_of_sample`."""

    in_sample: str
    out_of_sample: str


class PositiveControl(Part, frozen=True):
    """Events known to move the market: an instrument that does not see them sees nothing."""

    venue: Name
    pair: Name
    events: Annotated[tuple[Name, ...], Meta(min_length=1)]
    around_days: Hours


class Judging(Part, frozen=True):
    """How it is judged. `smallest_effect`: the correlation below which nobody would care, to be seen with `power`."""

    permutations: Annotated[int, Meta(ge=100)]
    level: Share
    replication_level: Share
    injected: Annotated[tuple[Share, ...], Meta(min_length=1)]
    smallest_effect: Share
    power: Share
    min_weeks: Annotated[int, Meta(ge=8)]


class Claim(Part, frozen=True):
    """One claim: `source` leads `target` by `lag_hours` in `direction`. `lags_hours` is the family it belongs to."""

    name: Name
    says: Name
    source: Source
    target: Target
    lag_hours: Hours
    lags_hours: Annotated[tuple[Hours, ...], Meta(min_length=1)]
    direction: Literal["positive", "negative", "either"]
    controls: Controls
    split: Split
    judging: Judging
    positive_control: PositiveControl | None = None

    @property
    def place(self) -> int:
        """Where the claimed lag stands in the family."""
        return self.lags_hours.index(self.lag_hours)

    @property
    def weeks_together(self) -> int:
        """Weeks that permutations keep together: as long as the source or the target remembers."""
        return max(1, -(-max(self.source.window_hours, self.target.horizon_hours) // _WEEK_HOURS))

    @property
    def longest(self) -> int:
        """Hours after a row that a target of the family may reach."""
        return max(self.lags_hours) + self.target.horizon_hours - 1


class Ranges(msgspec.Struct, frozen=True):
    """The two parts of a split in UTC ms over the opens of bars, bounded, the first ending before the second begins."""

    inside: TimeRange
    outside: TimeRange


def claim_of(plain: object, where: str) -> Claim:
    """The claim that `plain` (what stands in the YAML file `where`) writes down.

    ConfigError in one line: an unknown or missing key, a value out of bounds, a claimed lag outside its family, a lag
    twice, a field that is missing or says nothing, the smallest effect not among those injected, ranges that overlap.
    """
    try:
        claim = msgspec.convert(plain, Claim)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from None
    for wrong, what in _problems(claim):
        if wrong:
            raise ConfigError(f"{where}: {what}")
    try:
        ranges_of(claim)
    except UsageError as error:
        raise ConfigError(f"{where}: split: {error}") from None
    return claim


def _problems(claim: Claim) -> tuple[tuple[bool, str], ...]:
    source, lags, judging = claim.source, claim.lags_hours, claim.judging
    counted = source.measure == "count"
    return (
        (claim.lag_hours not in lags, f"lag_hours {claim.lag_hours} is none of lags_hours {list(lags)}; add it"),
        (list(lags) != sorted(set(lags)), f"lags_hours {list(lags)}: write each once, rising"),
        (counted and source.field is not None, f"source.field {source.field}: a count has no field; remove it"),
        (not counted and source.field is None, f"source.field is missing: which value of {source.name} is meant?"),
        (
            judging.smallest_effect not in judging.injected,
            f"judging.smallest_effect {judging.smallest_effect} is none of injected {list(judging.injected)}; add it",
        ),
    )


def ranges_of(claim: Claim) -> Ranges:
    """The ranges of the split; UsageError where one is open, or where they overlap or stand the wrong way round."""
    inside, outside = parse_timerange(claim.split.in_sample), parse_timerange(claim.split.out_of_sample)
    for name, one in (("in_sample", inside), ("out_of_sample", outside)):
        if one.start_ms is None or one.end_ms is None:
            raise UsageError(f"{name} must name its first and its last day, for instance 20200511-20220701")
    if (inside.end_ms or 0) > (outside.start_ms or 0):
        raise UsageError(
            f"in_sample {claim.split.in_sample} and out_of_sample {claim.split.out_of_sample} overlap or are the wrong "
            "way round: the second must begin where the first has ended"
        )
    return Ranges(inside, outside)
