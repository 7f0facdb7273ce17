"""`mycelial hypothesis`: tests a preregistered lead-lag claim on recorded data, or on the simulated market."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from ..backtesting import report
from ..backtesting.evidence.hypothesis import Outcome, examine, plant, shuffled
from ..backtesting.evidence.hypothesis_claim import Claim, Source, claim_of, ranges_of
from ..backtesting.evidence.hypothesis_report import plain, tables
from ..backtesting.evidence.hypothesis_series import Happenings, Inputs, inputs_of
from ..backtesting.simulated_market import SimulatedMarket
from ..backtesting.simulated_moats import MoatsBesides
from ..connectors.claim_files import claim_names, read_claim
from ..connectors.happenings import commit_times
from ..connectors.history import load_history
from ..connectors.observations import UnknownFile, load_observations
from ..core.config import Settings
from ..core.errors import NotFound, UsageError
from ..core.history import History
from ..core.moats import CALENDAR, COMMITS
from ..core.randomness import generator_for
from ..core.timeframes import TimeRange
from ..core.types import FloatArray, IntArray, Observation
from . import common

SIMULATED = "simulated"
"""The venue of claims about the simulated market."""
_GOVERNMENT = "government"
_TIMEFRAME = "1h"


class HypothesisOptions(msgspec.Struct, frozen=True):
    """What the command line says. `claim` None: list the shipped ones."""

    claim: str | None = None
    data: Path | None = None
    seed: int = 7
    plant: float | None = None
    placebo: bool = False
    config: Path | None = None
    env: str | None = None
    sets: tuple[str, ...] = ()
    json: bool = False


def run(options: HypothesisOptions) -> None:
    """Test the claim and print what is left of it; without one, which claims are shipped."""
    if options.claim is None:
        common.out_json({"claims": claim_names()}) if options.json else common.out("\n".join(claim_names()))
        return
    outcome = answer(options.claim, options)
    if options.json:
        common.out_json(plain(outcome))
        return
    terminal = report.terminal(sys.stdout)
    for part in tables(outcome):
        terminal.print(part)


def answer(name: str, options: HypothesisOptions) -> Outcome:
    """What was measured of the claim; UsageError where options do not go together."""
    if options.plant is not None and options.placebo:
        raise UsageError("--plant and --placebo: give one; a placebo has nothing planted in it")
    if options.plant is not None and not 0.0 < options.plant < 1.0:
        raise UsageError(f"--plant {options.plant}: write a correlation above 0 and below 1")
    claim, seed = claim_of(*read_claim(name)), options.seed
    inputs = load(claim, options)
    if options.placebo:
        inputs = shuffled(claim, inputs, generator_for(seed, f"hypothesis:{claim.name}:placebo"))
    if options.plant is not None:
        inputs = plant(claim, inputs, options.plant, generator_for(seed, f"hypothesis:{claim.name}:plant"))
    return examine(claim, inputs, seed, 0.0 if options.placebo else options.plant)


def load(claim: Claim, options: HypothesisOptions) -> Inputs:
    """The hourly series of a claim, from the data folder or from the simulated market."""
    if claim.target.venue == SIMULATED:
        if options.data is not None:
            raise UsageError(f"{claim.name} is about the simulated market: leave --data out")
        return simulated(claim, common.settings(options.config, options.env, options.sets).settings, options.seed)
    if options.sets or options.config or options.env:
        raise UsageError(f"{claim.name} is about recorded data: --set, --config and --env change nothing in it")
    return recorded(claim, common.data_folder(options.data))


def recorded(claim: Claim, folder: Path) -> Inputs:
    """From a data folder; NotFound where a pair, a source or a subject is not there."""
    ranges = ranges_of(claim)
    span = TimeRange(ranges.inside.start_ms, ranges.outside.end_ms)
    bars = load_history(folder, claim.target.venue, _TIMEFRAME, claim.target.pairs, span)
    said = load_observations(folder, (claim.source.moat,), until_ms=span.end_ms)
    control, events = None, {}
    if claim.positive_control is not None:
        wanted = claim.positive_control
        control = load_history(folder, wanted.venue, _TIMEFRAME, [wanted.pair], span)
        calendar = load_observations(folder, (_GOVERNMENT,)).items
        events = {event: _event_times(calendar, event) for event in wanted.events}
    found = _of(claim.source, said.items, said.unknown)
    return inputs_of(claim, bars, _happenings(claim.source, found, folder), control, events)


def _event_times(calendar: Sequence[Observation], event: str) -> IntArray:
    times = [one.at for one in calendar if one.source == CALENDAR and one.subject == event and one.values["scheduled"]]
    return np.array(times, np.int64)


def _of(source: Source, items: Sequence[Observation], unknown: Sequence[UnknownFile] = ()) -> list[Observation]:
    """The observations of a source; NotFound says what there is instead."""
    own = [one for one in items if one.source == source.name]
    if not own:
        there = sorted({one.source for one in items})
        unread = "".join(f"; not read: {Path(file.path).name} ({file.reason})" for file in unknown)
        raise NotFound(f"moat {source.moat}: no source {source.name!r}; there is {', '.join(there) or 'none'}{unread}")
    subjects = {one.subject for one in own}
    missing = [one for one in source.subjects or () if one not in subjects]
    if missing:
        others = ", ".join(sorted(subjects))
        raise NotFound(f"{source.name}: nothing was ever known of {', '.join(missing)}; there is {others}")
    kept = [one for one in own if source.subjects is None or one.subject in source.subjects]
    if source.field is not None and not any(source.field in one.values for one in kept):
        fields = sorted({field for one in kept for field in one.values})
        raise NotFound(f"{source.name}: no field {source.field!r}; there is {', '.join(fields)}")
    return kept


def _happenings(source: Source, said: Sequence[Observation], folder: Path | None) -> Happenings:
    if source.field is not None:
        said = [one for one in said if source.field in one.values]
    values = np.array([1.0 if source.field is None else one.values[source.field] for one in said])
    known = np.array([one.known_at for one in said], np.int64)
    happened = np.array([one.at for one in said], np.int64)
    if source.name == COMMITS and folder is not None and source.measure == "count":
        happened = np.array(commit_times(folder, source.subjects), np.int64)
        return Happenings(known, values, happened, np.ones(len(happened)))
    return Happenings(known, values, happened, values)


def simulated(claim: Claim, settings: Settings, seed: int) -> Inputs:
    """Walks a simulated market of the claim's pairs, hour by hour, over the two parts of the claim."""
    ranges, pairs = ranges_of(claim), claim.target.pairs
    start, end = ranges.inside.start_ms, ranges.outside.end_ms
    unknown = [pair for pair in pairs if pair not in settings.simulated.pairs]
    if unknown:
        there = ", ".join(settings.simulated.pairs)
        raise NotFound(f"the simulated market has no pair {', '.join(unknown)}; there is {there}")
    law = settings.simulated.model_copy(update={"pairs": list(pairs), "timeframe": _TIMEFRAME})
    settings = settings.model_copy(update={"simulated": law})
    market = SimulatedMarket(law, seed, start, end)
    said: list[Observation] = []
    times, close = [], []
    for slice_ in MoatsBesides(market, settings):
        said += slice_.observations
        if slice_.bars is not None:
            times.append(slice_.at)
            close.append(slice_.bars.close)
    bars = _bars(market, np.array(times, np.int64), np.array(close))
    found = _of(claim.source, said)
    return inputs_of(claim, bars, _happenings(claim.source, found, None), None, {})


def _bars(market: SimulatedMarket, times: IntArray, close: FloatArray) -> History:
    """Closes alone: nothing else is read here."""
    volume, present = np.zeros(close.shape), np.ones(close.shape, np.bool_)
    return History(market.pairs, market.interval_ms, times, close, close, close, close, volume, present, True)
