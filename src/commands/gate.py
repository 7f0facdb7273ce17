"""`mycelial gate RUN`: whether a run may be promoted, with the file that says so."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..backtesting import closes, report
from ..backtesting.evidence import record as records
from ..backtesting.evidence import tables, verdict
from ..backtesting.evidence.alpha_decay import Decay, alpha_decay
from ..backtesting.evidence.examination import Examined, Rules, examined
from ..backtesting.evidence.gate import judged
from ..backtesting.evidence.plain import plain
from ..backtesting.runs import find_run
from ..core.config import Settings, ValidationSettings
from ..core.errors import CheckFailed
from ..core.types import Stream
from . import common

_SPEAKERS = (Stream.BASELINE.value, Stream.MYCELIAL.value)


def run(name: str, trials: int | None, config: Path | None, env: str | None, sets: Sequence[str], json: bool) -> None:
    """Judge it and write the verdict into its folder; CheckFailed (exit 6) when it does not pass."""
    settings = common.settings(config, env, sets).settings
    record = records.read(find_run(common.RUNS, name))
    records.refuse_changed(record)
    seen, made = judge(record, trials, settings)
    path = verdict.write(record.folder, made)
    decays = decays_of(record, settings.validation)
    if json:
        common.out_json(_object(seen, made, decays))
    else:
        console = report.terminal(sys.stdout)
        for table in (tables.examined_table(seen), tables.decay_table(decays), tables.criteria_table(made.criteria)):
            console.print(table)
    _end(made, path)


def judge(record: records.Record, trials: int | None, settings: Settings) -> tuple[Examined, verdict.Verdict]:
    """What was found out about a run, and the verdict on it."""
    rules = Rules(settings.gate, settings.validation, settings.statistics)
    evidence = records.evidence(record, records.siblings(record), trials)
    seen = examined(evidence, rules)
    return seen, verdict.made(record, judged(evidence, seen, settings.gate), rules, evidence.trials)


def decays_of(record: records.Record, how: ValidationSettings) -> dict[str, Decay]:
    """How fast the ideas of the swarm and of the baseline lose their worth; empty where the run kept no closes."""
    kept = closes.read(record.folder)
    if kept is None:
        return {}
    return {
        name: alpha_decay(records.opinions(record, kept, name), kept.close, how.decay_horizon, how.decay_delays)
        for name in _SPEAKERS
    }


def _object(seen: Examined, made: verdict.Verdict, decays: Mapping[str, Decay]) -> dict[str, Any]:
    told = {name: {**plain(one), **_reason(one)} for name, one in decays.items()}
    return {**plain(made), "validation": plain(seen), "alpha_decay": told}


def _reason(found: Decay) -> dict[str, str]:
    known = np.isfinite(found.correlation).all()
    return {} if known else {"reason": "fewer than three ideas, or all alike, with a known move after them"}


def _end(made: verdict.Verdict, path: Path) -> None:
    common.say(f"written to {path}")
    if not made.passed:
        missed = ", ".join(f"{one.name} ({one.state})" for one in made.criteria if not one.met)
        raise CheckFailed(f"REFUSED: {missed}")
    common.say("PASSED" + ("; on made-up prices, which lets nothing trade live" if made.simulated else ""))
