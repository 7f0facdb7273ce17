"""Shows what was found of a claim: tables that a sceptic can follow, and every number for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from ...core.records import stamp
from ..table import new_table
from ..text import percent
from .hypothesis import Outcome
from .hypothesis_tests import Family

_GONE = "not defined for these data"


def tables(outcome: Outcome) -> list[Text | Table]:
    """The parts of the report in their order, the verdict last."""
    return [
        Text(_opening(outcome)),
        _ladder(outcome),
        _lags(outcome),
        _checks(outcome),
        Text(f"VERDICT: {outcome.verdict.word}: {outcome.verdict.reason}.", style="bold"),
    ]


def _opening(outcome: Outcome) -> str:
    claim = outcome.claim
    whole, judging = outcome.whole, claim.judging
    lines = [
        f"{claim.name}: {claim.says}",
        f"{stamp(outcome.first_ms)[:10]} to {stamp(outcome.last_ms)[:10]}: {whole.rows:,} hours; in sample "
        f"{claim.split.in_sample}, out of sample {claim.split.out_of_sample}",
        f"{judging.permutations:,} permutations of {whole.blocks} blocks of {claim.weeks_together} whole weeks; "
        f"seed {outcome.seed}",
    ]
    if outcome.simulated:
        lines.append("SIMULATED: prices and source are made up.")
    if outcome.planted is not None:
        what = f"a correlation of {outcome.planted:g} was put in" if outcome.planted else "a placebo"
        lines.append(f"NOT THE SOURCE: its weeks were shuffled: {what}. The naive step is that of the real one.")
    return "\n".join(lines)


def _ladder(outcome: Outcome) -> Table:
    claim = outcome.claim
    made = new_table(f"WHAT IS LEFT of the correlation at {claim.lag_hours} h", ("Step", "Hours", "r", "p by formula"))
    for step in outcome.steps:
        made.add_row(step.name, f"{step.rows:,}", f"{step.r:+.4f}", _p(step.p))
    place, whole = claim.place, outcome.whole
    made.add_row(
        "chance: weeks shuffled", f"{whole.rows:,}", f"{whole.r[place]:+.4f}", f"honest p {_p(whole.p[place])}"
    )
    made.add_row("and several lags looked at", "", "", f"honest p {_p(whole.p_family[place])}")
    return made


def _lags(outcome: Outcome) -> Table:
    columns = ("Lag h", "r", "p", "p family", "p shift", "r in", "p in", "r out", "p out", "r reverse", "p reverse")
    made = new_table("LAGS, everything known anyway taken out; reverse: the target leads the source", columns, words=0)
    families = outcome.whole, outcome.inside, outcome.outside, outcome.reverse
    for place, lag in enumerate(outcome.claim.lags_hours):
        whole, inside, outside, reverse = families
        mark = "*" if lag == outcome.claim.lag_hours else ""
        cells = [f"{mark}{lag}", f"{whole.r[place]:+.4f}", *map(_p, (whole.p[place], whole.p_family[place]))]
        cells += [_p(whole.p_shift[place])]
        for part in (inside, outside, reverse):
            cells += [f"{part.r[place]:+.4f}", _p(part.p_family[place])]
        made.add_row(*cells)
    return made


def _checks(outcome: Outcome) -> Table:
    claim = outcome.claim
    made = new_table("CAN THIS TEST SEE?", ("Check", "Found", "Against", "p"), words=1)
    made.add_row(
        "out of sample, the claimed lag alone",
        f"r {outcome.outside.r[claim.place]:+.4f}",
        "0",
        _p(outcome.replication_p),
    )
    made.add_row("squared error saved out of sample, %", f"{percent(outcome.out_of_sample_gain, 3)}", "0", "")
    for one in outcome.controls:
        name = f"{one.events} {one.event} hours: moves in medians"
        made.add_row(name, f"{one.ratio:.1f}", f"{one.elsewhere:.1f}", _p(one.p))
    for put in outcome.power:
        name = f"an injected correlation of {put.injected:g} is found, %"
        made.add_row(name, percent(put.found, 0), f"replicated {percent(put.replicated, 0)}", "")
    return made


def _p(value: float) -> str:
    return f"{value:.2g}" if value < 0.01 else f"{value:.3f}"


def plain(outcome: Outcome) -> dict[str, Any]:
    """Every number as plain JSON types; one that is not defined is null, with its name and reason in `undefined`."""
    claim = outcome.claim
    families = {name: getattr(outcome, name) for name in ("whole", "inside", "outside", "reverse")}
    found: dict[str, Any] = {
        "claim": msgspec.to_builtins(claim),
        "seed": outcome.seed,
        "from": stamp(outcome.first_ms),
        "to": stamp(outcome.last_ms),
        "simulated": outcome.simulated,
        "planted": outcome.planted,
        "verdict": outcome.verdict.word,
        "reason": outcome.verdict.reason,
        "naive": msgspec.to_builtins(outcome.steps[0]),
        "steps": msgspec.to_builtins(outcome.steps),
        "honest": _lag(outcome.whole, claim.lags_hours, claim.place),
        **{name: _family(one, claim.lags_hours) for name, one in families.items()},
        "replication_p": outcome.replication_p,
        "out_of_sample_gain": outcome.out_of_sample_gain,
        "power": msgspec.to_builtins(outcome.power),
        "positive_controls": msgspec.to_builtins(outcome.controls),
    }
    undefined: dict[str, str] = {}
    cleaned = _cleaned(found, "", undefined)
    return {**cleaned, "undefined": undefined}


def _family(one: Family, lags: Sequence[int]) -> dict[str, Any]:
    return {"rows": one.rows, "blocks": one.blocks, "lags": [_lag(one, lags, place) for place in range(len(lags))]}


def _lag(one: Family, lags: Sequence[int], place: int) -> dict[str, Any]:
    names = ("r", "p", "p_family", "p_formula", "p_shift")
    return {"lag_hours": lags[place], **{name: float(getattr(one, name)[place]) for name in names}}


def _cleaned(value: Any, name: str, undefined: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _cleaned(one, f"{name}.{key}".lstrip("."), undefined) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(one, f"{name}[{place}]", undefined) for place, one in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        undefined[name] = _GONE
        return None
    return value
