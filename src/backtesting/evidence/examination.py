"""Everything that can be found out about a finished run, with a reason where something cannot."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from ...core.config import GateSettings, StatisticsSettings, ValidationSettings
from ...core.errors import UsageError
from ...core.randomness import generator_for
from ...core.types import FloatArray, IntArray
from . import monte_carlo, sharpe_tests, splits, var_exceptions
from .entries import EntrySkill, across_pairs
from .forward import Forward, Paths, crossed, walked_forward
from .overfitting import Overfitting, probability_of_overfitting

_FEWEST_CANDIDATES = 2


class Entries(msgspec.Struct, frozen=True):
    """Trades on the grid of closes: `closes` (rows, pairs), NaN where unknown; of each trade the column of its pair,
    the row of its entry and how many rows it was held, all (n,). `cost` of a round trip as a ratio.
    """

    closes: FloatArray
    pairs: IntArray
    rows: IntArray
    held: IntArray
    cost: float


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that is looked at.

    `returns` (days,) of the account, a day each. `trades` (n,) closed profit as a ratio of the equity before it, in
    order of exit. `rivals`: daily returns (days,) of what it must beat, by name. `candidates` (days, m): everything
    that was tried on these days, this run in column 0. `trials`: how many were tried, known or not.
    `purge_days`: how far an idea looks ahead. `entries` None where there is no grid of closes.
    """

    returns: FloatArray
    trades: FloatArray
    entries: Entries | None
    rivals: Mapping[str, FloatArray]
    candidates: FloatArray
    trials: int
    purge_days: int
    seed: int


class Examined(msgspec.Struct, frozen=True):
    """What was found out, None where something could not be; `reasons` by field say why."""

    forward: Forward | None
    paths: Paths | None
    overfitting: Overfitting | None
    days: monte_carlo.Outcomes | None
    trades: monte_carlo.Outcomes | None
    entries: EntrySkill | None
    exceptions: var_exceptions.Exceptions | None
    deflated: float | None
    reasons: Mapping[str, str]


class Rules(msgspec.Struct, frozen=True):
    """How it is examined and what it must show."""

    gate: GateSettings
    validation: ValidationSettings
    statistics: StatisticsSettings


def examined(evidence: Evidence, rules: Rules) -> Examined:
    """Everything that can be found out about a run; what cannot has its reason."""
    reasons: dict[str, str] = {}

    def found[Found](name: str, find: Callable[[Evidence, Rules], Found]) -> Found | None:
        try:
            return find(evidence, rules)
        except UsageError as error:
            reasons[name] = str(error)
            return None

    return Examined(
        forward=found("forward", _forward),
        paths=found("paths", _paths),
        overfitting=found("overfitting", _overfitting),
        days=found("days", _days),
        trades=found("trades", _trades),
        entries=found("entries", _entries),
        exceptions=found("exceptions", _exceptions),
        deflated=found("deflated", _deflated),
        reasons=reasons,
    )


def _forward(evidence: Evidence, rules: Rules) -> Forward:
    how = rules.validation
    cuts = splits.walk_forward(
        len(evidence.candidates), how.train_days, how.test_days, evidence.purge_days, how.anchored
    )
    return walked_forward(evidence.candidates, cuts)


def _paths(evidence: Evidence, rules: Rules) -> Paths:
    how = rules.validation
    cut = splits.combinatorial(
        len(evidence.candidates), how.folds, how.test_folds, evidence.purge_days, how.embargo_days
    )
    return crossed(evidence.candidates, cut)


def _overfitting(evidence: Evidence, rules: Rules) -> Overfitting:
    if evidence.candidates.shape[1] < _FEWEST_CANDIDATES:
        raise UsageError(f"{evidence.trials} were tried and one is known: keep the folders of all runs side by side")
    return probability_of_overfitting(evidence.candidates, rules.validation.overfitting_blocks)


def _refuse_still(evidence: Evidence) -> None:
    if not evidence.returns.any():
        raise UsageError("its equity never moved")


def _days(evidence: Evidence, rules: Rules) -> monte_carlo.Outcomes:
    _refuse_still(evidence)
    how, random = rules.statistics, generator_for(evidence.seed, "gate:days")
    return monte_carlo.blocks_drawn(evidence.returns, how.block_days, how.draws, random)


def _trades(evidence: Evidence, rules: Rules) -> monte_carlo.Outcomes:
    return monte_carlo.trades_shuffled(
        evidence.trades, rules.statistics.draws, generator_for(evidence.seed, "gate:trades")
    )


def _entries(evidence: Evidence, rules: Rules) -> EntrySkill:
    known = evidence.entries
    if known is None:
        raise UsageError("random entries: the run kept no closes; make it again")
    random = generator_for(evidence.seed, "gate:entries")
    return across_pairs(
        known.closes, known.pairs, known.rows, known.held, known.cost, rules.statistics.draws, random
    )  # fmt: skip


def _exceptions(evidence: Evidence, rules: Rules) -> var_exceptions.Exceptions:
    how, count = rules.validation, len(evidence.returns)
    least = how.var_window_days + math.ceil(1.0 / how.var_tail_ratio)
    if count < least:
        raise UsageError(f"value at risk: {count} days, needs {least} to expect one exception; take a longer range")
    _refuse_still(evidence)
    hits = var_exceptions.rolling_exceptions(evidence.returns, how.var_window_days, how.var_tail_ratio)
    return var_exceptions.judged(hits, how.var_tail_ratio)


def _deflated(evidence: Evidence, rules: Rules) -> float:
    """By the deviation of the other ratios tried, or that of ratios without skill where it is larger.

    The run's own is left out: an edge would raise the bar for itself.
    """
    own = sharpe_tests.measured(evidence.returns)
    if own is None:
        raise UsageError(f"deflated Sharpe: {len(evidence.returns)} days without a movement have no ratio")
    spread = 1.0 / math.sqrt(own.observations - 1)
    tried = [one for column in evidence.candidates.T[1:] if (one := sharpe_tests.measured(column)) is not None]
    if len(tried) >= _FEWEST_CANDIDATES:
        spread = max(spread, float(np.std([one.ratio for one in tried], ddof=1)))
    return sharpe_tests.deflated(own, evidence.trials, spread)
