"""Lets optuna choose the trials of a sweep, so that a seed chooses the same ones however often it is stopped."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from .research import need
from .sweep_space import Axis, Point

BATCH = 8
"""Trials that are chosen before the first of them is known: fixed, so that the number of processes changes nothing."""

Values = Callable[[Sequence[Point]], Sequence[float | None]]


def search(axes: Sequence[Axis], trials: int, seed: int, values: Values) -> list[Point]:
    """The points of `trials` trials in the order in which they were chosen; `values` walks a batch.

    A greater value is better; None: not defined, never chosen again. Tree-structured Parzen estimator, seeded. It is
    asked and told in batches in the order of the trials, so what is known of them already may be told at once.
    """
    optuna = need("optuna", "--optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found: list[Point] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of experimental parts; they say nothing of ours
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        while len(found) < trials:
            asked = [study.ask() for _ in range(min(BATCH, trials - len(found)))]
            batch = [_point(trial, axes) for trial in asked]
            for trial, value in zip(asked, values(batch), strict=True):
                if value is None:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                else:
                    study.tell(trial, value)
            found += batch
    return found


def _point(trial: Any, axes: Sequence[Axis]) -> Point:
    return tuple((axis.leaf, _suggested(trial, axis)) for axis in axes)


def _suggested(trial: Any, axis: Axis) -> str:
    if axis.span is None:
        return str(trial.suggest_categorical(axis.leaf, list(axis.values)))
    low, high = axis.span
    if axis.whole:
        return str(trial.suggest_int(axis.leaf, int(low), int(high)))
    return repr(float(trial.suggest_float(axis.leaf, float(low), float(high))))
