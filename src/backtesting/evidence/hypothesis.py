"""Tests a preregistered lead-lag claim the way a sceptic would, and says what is left of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from ...core.errors import DataError
from ...core.randomness import generator_for
from ...core.timeframes import HOUR_MS
from ...core.types import FloatArray
from .hypothesis_claim import Claim, Ranges, ranges_of
from .hypothesis_controls import Fired, fired
from .hypothesis_series import WEEK_HOURS, Inputs, ahead, basket, tamed
from .hypothesis_tests import (
    Family,
    Part,
    Rest,
    control_columns,
    family,
    formula_p,
    found_share,
    gain,
    pearson,
    replicated_share,
    rest_of,
    week_orders,
)
from .hypothesis_verdict import Judged, Verdict, verdict

STEPS = (
    ("logarithms, whole basket", False, False, False),
    ("+ hour of week", True, False, False),
    ("+ slow trend", True, True, False),
    ("+ clustering (HAR)", True, True, True),
)
"""Name, and whether the hour of the week, the trend and the clusters are taken out."""


class Step(msgspec.Struct, frozen=True):
    """One rung from the naive analysis to the honest one: the correlation at the claimed lag and its formula p."""

    name: str
    rows: int
    r: float
    p: float


class Power(msgspec.Struct, frozen=True):
    """How often an injected correlation is found over the whole range, and replicated out of sample."""

    injected: float
    found: float
    replicated: float


class Outcome(msgspec.Struct, frozen=True):
    """Everything that was measured of a claim. `whole`, `inside`, `outside`: the families of the two parts together
    and of each; `reverse`: of the target leading the source. `replication_p`: one-sided, of the claimed lag alone.
    `planted`: the correlation that was put into a shuffled source, 0 for a placebo, None for the real source."""

    claim: Claim
    seed: int
    first_ms: int
    last_ms: int
    steps: tuple[Step, ...]
    whole: Family
    inside: Family
    outside: Family
    reverse: Family
    replication_p: float
    out_of_sample_gain: float
    power: tuple[Power, ...]
    controls: tuple[Fired, ...]
    verdict: Verdict
    simulated: bool
    planted: float | None


class _Prepared(msgspec.Struct, frozen=True):
    """The series of a claim over its range: `base` is the target, tamed, hour by hour."""

    claim: Claim
    inputs: Inputs
    base: FloatArray
    outcomes: FloatArray
    first: int
    cut: int
    resumed: int
    last: int


def examine(claim: Claim, inputs: Inputs, seed: int, planted: float | None = None) -> Outcome:
    """Every test of `claim` over `inputs`; random streams derive from `seed` and the claim's name.

    DataError in one line: too little history, a constant series, a source that is silent in the range.
    """
    made = _prepared(claim, inputs)
    whole = _rest(made, made.first, made.last)
    inside, outside = _rest(made, made.first, made.cut), _rest(made, made.resumed, made.last)
    families = {
        "whole": _judged(claim, whole, seed, "whole"),
        "inside": _judged(claim, inside, seed, "inside"),
        "outside": _judged(claim, outside, seed, "outside"),
        "reverse": _judged(claim, _reverse(made), seed, "reverse"),
    }
    place = claim.place
    sign = _sign(claim, families["inside"])
    power = _power(claim, whole, outside, families, seed)
    replication_p = families["outside"].one_sided(place, sign)
    controls = fired(claim, inputs, made.first, made.last, generator_for(seed, f"hypothesis:{claim.name}:events"))
    return Outcome(
        claim=claim,
        seed=seed,
        first_ms=inputs.first_ms + (made.first - 1) * HOUR_MS,
        last_ms=inputs.first_ms + (made.last - 1) * HOUR_MS,
        steps=_steps(made),
        **families,
        replication_p=replication_p,
        out_of_sample_gain=gain(inside, outside, place),
        power=tuple(power),
        controls=controls,
        verdict=verdict(_summary(claim, families, sign, replication_p, power, controls)),
        simulated=inputs.simulated,
        planted=planted,
    )


def _prepared(claim: Claim, inputs: Inputs) -> _Prepared:
    ranges: Ranges = ranges_of(claim)
    (first, cut), (resumed, last) = inputs.rows(ranges.inside), inputs.rows(ranges.outside)
    base = tamed(claim.target, basket(claim.target, inputs.close, complete=True))
    known = np.isfinite(base) & np.isfinite(inputs.known)
    for name, low, high in (("in_sample", first, cut), ("out_of_sample", resumed, last)):
        weeks = int(known[low:high].sum()) / WEEK_HOURS
        if weeks < claim.judging.min_weeks:
            raise DataError(
                f"too little history: {claim.source.name} and all of {', '.join(claim.target.pairs)} are known "
                f"together for {weeks:.1f} weeks of {name}; min_weeks asks for {claim.judging.min_weeks}"
            )
    first += int(np.flatnonzero(known[first:])[0])
    outcomes = _family_of(base, claim, claim.target.horizon_hours)
    return _Prepared(claim, inputs, base, outcomes, first, cut, resumed, last)


def _family_of(base: FloatArray, claim: Claim, horizon: int) -> FloatArray:
    return np.column_stack([ahead(base, lag, horizon) for lag in claim.lags_hours])


def _rest(made: _Prepared, first: int, last: int) -> Rest:
    """The claim over the rows `first` .. `last`; targets that reach beyond `last` are left out (purge)."""
    return _left(made, _repeated(made, made.inputs.known), _part(made, first, last), True, True)


def _repeated(made: _Prepared, series: FloatArray) -> FloatArray:
    """(n, lags): the same predictor for every lag."""
    return np.repeat(series[:, None], len(made.claim.lags_hours), axis=1)


def _part(made: _Prepared, first: int, last: int) -> Part:
    claim = made.claim
    return Part(first, last - claim.longest, claim.weeks_together, claim.controls.hour_of_week)


def _left(made: _Prepared, predictors: FloatArray, part: Part, trend: bool, clusters: bool) -> Rest:
    claim, inputs = made.claim, made.inputs
    past = [(made.base, back) for back in claim.controls.har_hours] if clusters else []
    columns = control_columns(claim.controls, len(made.base), part, past, trend)
    return rest_of(predictors, made.outcomes, columns, inputs.hours, part, claim.source.name)


def _reverse(made: _Prepared) -> Rest:
    """The target leading the source by as much: what was not expected of each target, against the source after it.

    A row holds the target up to lag + horizon - 1 hours later, and the source lag hours after that.
    """
    known = made.inputs.known
    after = [lag + made.claim.target.horizon_hours - 1 + lag for lag in made.claim.lags_hours]
    predictors = np.column_stack([ahead(known, hours, 1) for hours in after])
    part = _part(made, made.first, made.last)
    return _left(made, predictors, msgspec.structs.replace(part, last=made.last - max(after)), True, True)


def _judged(claim: Claim, rest: Rest, seed: int, name: str) -> Family:
    random = generator_for(seed, f"hypothesis:{claim.name}:{name}")
    return family(rest, week_orders(rest, claim.judging.permutations, random))


def _sign(claim: Claim, inside: Family) -> float:
    """The claimed direction; of a claim without one that which is seen in sample."""
    if claim.direction == "either":
        return 1.0 if inside.r[claim.place] >= 0.0 else -1.0
    return 1.0 if claim.direction == "positive" else -1.0


def _power(claim: Claim, whole: Rest, outside: Rest, families: dict[str, Family], seed: int) -> list[Power]:
    """Fresh shuffles, so that the bar and what must pass it are drawn apart."""
    fresh, apart = _judged(claim, whole, seed, "power"), _judged(claim, outside, seed, "power outside")
    judging, place = claim.judging, claim.place
    return [
        Power(
            injected=strength,
            found=found_share(families["whole"], fresh, place, strength, judging.level),
            replicated=replicated_share(families["outside"], apart, place, strength, judging.replication_level),
        )
        for strength in judging.injected
    ]


def _summary(
    claim: Claim,
    families: dict[str, Family],
    sign: float,
    replication_p: float,
    power: Sequence[Power],
    controls: Sequence[Fired],
) -> Judged:
    place, judging = claim.place, claim.judging
    whole, inside, outside, reverse = (families[name] for name in ("whole", "inside", "outside", "reverse"))
    least = next(one for one in power if one.injected == judging.smallest_effect)
    strongest = int(np.argmax(np.abs(reverse.r)))
    return Judged(
        judging=judging,
        lag_hours=claim.lag_hours,
        r=float(whole.r[place]) * sign,
        p_family=float(whole.p_family[place]),
        r_inside=float(inside.r[place]) * sign,
        r_outside=float(outside.r[place]) * sign,
        replication_p=replication_p,
        power=least.found,
        replication_power=least.replicated,
        reverse_r=float(abs(reverse.r[strongest])),
        reverse_p=float(reverse.p_family[strongest]),
        blind=tuple(one.event for one in controls if not one.p <= judging.level),
    )


def _steps(made: _Prepared) -> tuple[Step, ...]:
    """From what users compute to what is left, one decision at a time, always at the claimed lag."""
    claim, inputs = made.claim, made.inputs
    target, horizon = claim.target, claim.target.horizon_hours
    plain = ahead(basket(target, inputs.close, complete=False), claim.lag_hours, horizon)
    steps = []
    for name, series in (("naive: by event time", inputs.naive), ("by the time it was known", inputs.known)):
        r, rows = pearson(series, plain)
        steps.append(Step(name, rows, r, formula_p(r, rows)))
    part = _part(made, made.first, made.last)
    past = [(made.base, back) for back in claim.controls.har_hours]
    complete = np.isfinite(control_columns(claim.controls, len(made.base), part, past, False)).all(axis=1)
    known = _repeated(made, np.where(complete, inputs.known, np.nan))
    for name, week, trend, clusters in STEPS:
        own = msgspec.structs.replace(part, week=week and part.week)
        rest = _left(made, known, own, trend, clusters)
        r, rows = pearson(rest.predictors[:, claim.place], rest.outcomes[:, claim.place])
        steps.append(Step(name, rows, r, formula_p(r, rows)))
    return tuple(steps)


def shuffled(claim: Claim, inputs: Inputs, random: np.random.Generator) -> Inputs:
    """The same with the weeks of the source in random order: nothing it says can lead anything."""
    made = _prepared(claim, inputs)
    known = inputs.known.copy()
    weeks = (made.last - made.first) // WEEK_HOURS
    part = known[made.first : made.first + weeks * WEEK_HOURS].reshape(weeks, WEEK_HOURS)
    part[:] = part[random.permutation(weeks)]
    return msgspec.structs.replace(inputs, known=known)


def plant(claim: Claim, inputs: Inputs, strength: float, random: np.random.Generator) -> Inputs:
    """A source with the partial correlation `strength` at the claimed lag, up to chance, and nothing else in it."""
    blind = shuffled(claim, inputs, random)
    made = _prepared(claim, blind)
    rest = _rest(made, made.first, made.last)
    sign = -1.0 if claim.direction == "negative" else 1.0
    noise, truth = rest.predictors[:, claim.place], sign * rest.outcomes[:, claim.place]
    known = np.full(len(blind.known), np.nan)
    known[rest.rows] = np.sqrt(1.0 - strength**2) * noise / noise.std() + strength * truth / truth.std()
    return msgspec.structs.replace(blind, known=known)
