"""`mycelial walk-forward` and `mycelial cpcv`: what choosing on some days was worth on others."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backtesting import report
from ..backtesting.evidence import splits, tables
from ..backtesting.evidence.forward import Forward, crossed, refuse_overlap, walked_forward
from ..backtesting.evidence.overfitting import Overfitting, probability_of_overfitting
from ..backtesting.evidence.plain import plain
from ..core import metrics
from ..core.clock import iso
from ..core.config import ValidationSettings
from ..core.errors import UsageError
from ..core.timeframes import DAY_MS, parse_timerange
from ..core.types import IntArray
from . import common
from .tried import Tried, TriedOptions, tried


def walk_forward(options: TriedOptions, train: str | None, test: str | None) -> None:
    """Choose on train windows, judge on the days after them; `train` and `test` name one window by time ranges."""
    settings = common.settings(options.config, options.env, options.sets).settings
    if (train is None) != (test is None):
        raise UsageError("--train and --test name one window together: give both, or neither")
    among = tried(options, settings)
    cuts = _windows(among, settings.validation) if train is None or test is None else [_window(among, train, test)]
    found = walked_forward(among.returns, cuts)
    if options.json:
        common.out_json({**_head(among), **_windows_object(found, among)})
        return
    console = report.terminal(sys.stdout)
    console.print(tables.windows_table(found, among.days, among.names))
    console.print(tables.summary_table(f"OUT OF SAMPLE, book {among.book}", found))


def _windows(among: Tried, how: ValidationSettings) -> list[splits.Split]:
    return splits.walk_forward(len(among.days), how.train_days, how.test_days, among.purge_days, how.anchored)


def _window(among: Tried, train: str, test: str) -> splits.Split:
    """One window by time ranges of whole days; UsageError where they overlap or are not in order."""
    chosen, judged = _positions(among.days, train, "--train"), _positions(among.days, test, "--test")
    refuse_overlap(chosen, judged)
    if judged[0] < chosen[-1]:
        raise UsageError("--test must come after --train: who chooses knows only what was before")
    if judged[0] - chosen[-1] <= among.purge_days:
        raise UsageError(
            f"--test must begin more than {among.purge_days} days after --train ends: ideas look ahead so far"
        )
    return splits.Split(chosen, (judged,))


def _positions(days: IntArray, text: str, flag: str) -> IntArray:
    wanted = parse_timerange(text)
    inside = np.ones(len(days), np.bool_)
    if wanted.start_ms is not None:
        inside &= days * DAY_MS >= wanted.start_ms
    if wanted.end_ms is not None:
        inside &= (days + 1) * DAY_MS <= wanted.end_ms
    if inside.sum() < 2:
        first, last = (iso(int(days[place]) * DAY_MS)[:10] for place in (0, -1))
        raise UsageError(f"{flag} {text}: fewer than two days of it are in the run, which is from {first} to {last}")
    return np.flatnonzero(inside)


def _windows_object(found: Forward, among: Tried) -> dict[str, Any]:
    windows = [{**plain(one), "chosen": among.names[one.chosen],
                **{part: _span(among.days, getattr(one, part)) for part in ("train", "test")}}
               for one in found.windows]  # fmt: skip
    reasons = {} if found.sharpe is not None else {"sharpe": "no trade in any judged part"}
    if found.efficiency is None:
        reasons["efficiency"] = "what was chosen did not gain where it was chosen"
    return {**plain(found), "windows": windows, "undefined": reasons}


def _span(days: IntArray, ends: Sequence[int]) -> list[str]:
    """First and last day."""
    return [iso(int(days[place]) * DAY_MS)[:10] for place in ends]


def _head(among: Tried) -> dict[str, Any]:
    return {
        "candidates": list(among.names),
        "book": among.book,
        "days": _span(among.days, (0, -1)),
        "purge_days": among.purge_days,
    }


def cpcv(options: TriedOptions) -> None:
    """Combinatorial purged cross-validation: the Sharpe ratios of its paths, and the probability of overfitting."""
    settings = common.settings(options.config, options.env, options.sets).settings
    among, how = tried(options, settings), settings.validation
    cut = splits.combinatorial(len(among.days), how.folds, how.test_folds, among.purge_days, how.embargo_days)
    paths = crossed(among.returns, cut)
    odds, reason = _overfitting(among, how)
    sharpes = [metrics.sharpe(column) for column in among.returns.T]
    if options.json:
        undefined = {} if reason is None else {"overfitting": reason}
        if paths.quantiles is None:
            undefined["paths"] = "no trade in any fold"
        ratios = dict(zip(among.names, sharpes, strict=True))
        found = {"paths": plain(paths), "overfitting": plain(odds), "sharpes": ratios, "undefined": undefined}
        common.out_json({**_head(among), "embargo_days": how.embargo_days, **found})
        return
    console = report.terminal(sys.stdout)
    console.print(tables.chosen_table(paths, among.names, sharpes))
    console.print(tables.summary_table(f"CROSS-VALIDATION, book {among.book}", paths, odds))
    if reason is not None:
        common.say(f"probability of overfitting: {reason}")


def _overfitting(among: Tried, how: ValidationSettings) -> tuple[Overfitting | None, str | None]:
    if len(among.names) == 1:
        return None, "there is one candidate: nothing was chosen, and all paths are alike"
    return probability_of_overfitting(among.returns, how.overfitting_blocks), None
