"""The promotion gate: what a run must show before anyone may risk money on it, criterion by criterion."""

from __future__ import annotations

import math
from collections.abc import Iterator
from operator import ge, gt, le
from typing import Literal

import msgspec

from ...core import metrics
from ...core.config import GateSettings
from .examination import Evidence, Examined
from .var_exceptions import Exceptions

State = Literal["passed", "failed", "not enough data", "not applicable"]

_HOLDS = {"at least": ge, "above": gt, "at most": le}


class Criterion(msgspec.Struct, frozen=True):
    """One thing to be shown: `says` what `value` is, `must` how it stands to `limit` where all is well.

    `value` None where it could not be found out; then `reason` says why.
    """

    name: str
    says: str
    must: str
    limit: float | None
    value: float | None
    state: State
    reason: str | None = None

    @property
    def met(self) -> bool:
        """Whether it stands in nobody's way."""
        return self.state in ("passed", "not applicable")


def judged(evidence: Evidence, seen: Examined, gate: GateSettings) -> tuple[Criterion, ...]:
    """Every criterion in the order in which it is shown; a run passes where each is met.

    A value that is not known is no pass: who has not been seen long enough has shown nothing.
    """
    return (
        _against("days", "days it ran", "at least", gate.min_days, len(evidence.returns)),
        _against("trades", "trades it closed", "at least", gate.min_trades, len(evidence.trades)),
        *_of_luck(evidence, seen, gate),
        *_of_choice(seen, gate),
        *_of_risk(seen, gate),
        *_of_rivals(evidence, gate),
    )


def _of_luck(evidence: Evidence, seen: Examined, gate: GateSettings) -> Iterator[Criterion]:
    says = f"probability that its Sharpe ratio is more than the luck of {evidence.trials} tried"
    yield _against("deflated_sharpe", says, "at least", gate.min_deflated_sharpe, seen.deflated, seen, "deflated")
    says = "probability that choosing the best of what was tried chose noise"
    if evidence.trials == 1 and seen.overfitting is None:
        yield Criterion("overfitting", says, "at most", gate.max_overfitting_ratio, None, "not applicable",
                        "one was tried: nothing was chosen")  # fmt: skip
    else:
        value = None if seen.overfitting is None else seen.overfitting.probability
        yield _against("overfitting", says, "at most", gate.max_overfitting_ratio, value, seen, "overfitting")
    value = None if seen.entries is None else seen.entries.p
    says = "how often entries at random times did as well"
    yield _against("random_entries", says, "at most", gate.max_random_entries_p, value, seen, "entries")


def _of_choice(seen: Examined, gate: GateSettings) -> Iterator[Criterion]:
    value = None if seen.forward is None else seen.forward.sharpe
    says = "Sharpe ratio a year of the walk-forward's judged days"
    yield _against("walk_forward", says, "above", gate.min_walk_forward_sharpe, value, seen, "forward")
    value = None if seen.paths is None else seen.paths.median
    says = "median Sharpe ratio a year of the cross-validation's paths"
    yield _against("paths", says, "above", gate.min_path_sharpe, value, seen, "paths")


def _of_risk(seen: Examined, gate: GateSettings) -> Iterator[Criterion]:
    value = None if seen.days is None else seen.days.loss_ratio
    yield _against("loss", "share of redrawn days that end with a loss", "at most", gate.max_loss_ratio, value, seen,
                   "days")  # fmt: skip
    both = None if seen.days is None or seen.trades is None else max(seen.days.drawdown[2], seen.trades.drawdown[2])
    says = "drawdown that 5 % of redrawn days or reordered trades exceed"
    of = "days" if seen.days is None else "trades"
    yield _against("drawdown", says, "at most", gate.max_drawdown_ratio, both, seen, of)
    says = "p value of losses beyond the value at risk, too many or one after the other"
    yield _against("value_at_risk", says, "at least", gate.min_var_p, exceptions_p(seen.exceptions), seen,
                   "exceptions")  # fmt: skip


def _of_rivals(evidence: Evidence, gate: GateSettings) -> Iterator[Criterion]:
    own = metrics.sharpe(evidence.returns)
    for name, returns in evidence.rivals.items():
        value = None if own is None else own - (metrics.sharpe(returns) or 0.0)
        says = f"Sharpe ratio a year beyond that of {name.replace('_', ' ')}"
        yield _against(f"beats_{name}", says, "above", gate.min_sharpe_lead, value)


def exceptions_p(seen: Exceptions | None) -> float | None:
    """The smaller p value of too many exceptions and of clustered ones; 1 where there are fewer than promised."""
    if seen is None or not seen.observations:
        return None
    often = seen.exceptions > seen.expected_ratio * seen.observations
    coverage = seen.coverage_p if often and seen.coverage_p is not None else 1.0
    return min(coverage, 1.0 if seen.independence_p is None else seen.independence_p)


def _against(
    name: str, says: str, must: str, limit: float, value: float | None, seen: Examined | None = None, of: str = ""
) -> Criterion:
    if value is None or not math.isfinite(value):
        reason = None if seen is None else seen.reasons.get(of)
        told = reason or ("its equity never moved" if value is None else "not a finite number")
        return Criterion(name, says, must, limit, None, "not enough data", told)
    state: State = "passed" if _HOLDS[must](value, limit) else "failed"
    return Criterion(name, says, must, limit, float(value), state)
