"""`mycelial sweep`: many values of any settings over the same data, kept as they come and never walked twice."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.table import Table

from ..backtesting import report
from ..backtesting.code_hash import code_sha256
from ..backtesting.evidence.sharpe_tests import Sharpe, deflated
from ..backtesting.result import CONTROLS, EDGE_TESTED
from ..backtesting.text import NOTHING
from ..connectors.config_files import config_sha256
from ..core.config import Settings
from ..core.errors import CheckFailed, UsageError
from ..core.history import SliceDigest
from ..core.types import STREAMS, Stream
from . import common
from .arms import AnyFeed, Arm, Walked, walk_arms
from .dask_arms import walk_on_cluster
from .feeds import digested
from .finite import EvidenceOptions, finite_feed
from .outcome import new_run_id
from .research import need
from .sweep_journal import KERNEL, MODEL, Journal, Trial, key_of, trial_of
from .sweep_search import search
from .sweep_settings import TrialSettings
from .sweep_space import Axis, Point, axes, points, words_of
from .sweep_technical import TECHNICAL, Figures, checked, engine_sets, is_known, refuse_unknown, walk_technical

FILE = "sweep.json"
CHECKED = "checked"
"""The folder of the runs that `--check` leaves."""
OBJECTIVES = {
    "sharpe": ("sharpe", 1.0),
    "profit": ("profit", 1.0),
    "drawdown": ("drawdown", -1.0),
    "factor": ("factor", 1.0),
}
"""The figure of a book that is best, and whether more (1) or less (-1) of it is better."""
BOOKS = (*[stream.value for stream in STREAMS], EDGE_TESTED, *CONTROLS, TECHNICAL)
_SHOWN = 20


class SweepOptions(EvidenceOptions, frozen=True, kw_only=True):
    """Arguments of `sweep`."""

    grid: tuple[str, ...] = ()
    optuna: int | None = None
    objective: str = "sharpe"
    book: str = Stream.SYNTHESIZED.value
    dask: str | None = None
    check: int | None = None
    out: Path | None = None

    @property
    def engine(self) -> str:
        """Who walks the trials."""
        return KERNEL if self.book == TECHNICAL else MODEL


class Sweep:
    """One sweep over one feed: walks what is not known yet and keeps it."""

    def __init__(self, options: SweepOptions, feed: AnyFeed, journal: Journal, settings: TrialSettings) -> None:
        self._options, self._feed, self._journal, self._settings = options, feed, journal, settings
        self._code = code_sha256()
        self.data_sha256 = _data_sha256(feed)

    def trials(self, asked: Sequence[Point], again: bool = False) -> list[Trial]:
        """The trials of these points in their order; only what the journal does not know is walked.

        How many are known is told, unless they are asked for `again`.
        """
        settings = [self._settings.at(point) for point in asked]
        hashes = [config_sha256(one) for one in settings]
        keys = [key_of(sha, self.data_sha256, self._options.seed, self._options.engine) for sha in hashes]
        missing = {key: place for place, key in enumerate(keys) if key not in self._journal.known}
        places = sorted(missing.values())
        if len(places) < len(asked) and not again:
            self._tell_known(keys, len(asked) - len(places))
        if places and self._options.engine == KERNEL:
            trials = [self._empty(keys[place], hashes[place], asked[place]) for place in places]
            self._walk_compiled([settings[place] for place in places], trials)
        elif places:
            arms = [Arm(_named(asked[place]), settings[place], self._options.seed) for place in places]
            self._walk(arms, [asked[place] for place in places])
        return [self._journal.known[key] for key in keys]

    def _tell_known(self, keys: Sequence[str], count: int) -> None:
        common.say(f"{count} of {len(keys)} trials are known")
        known = {key: self._journal.known[key] for key in keys if key in self._journal.known}
        others = sum(trial.code_sha256 != self._code for trial in known.values())
        if others:
            common.say(f"{others} of them were walked by other code; name another --out to walk them again")

    def _walk(self, arms: Sequence[Arm], asked: Sequence[Point]) -> None:
        def done(number: int, walked: Walked) -> None:
            self._journal.add(trial_of(walked, arms[number], self._code, dict(asked[number])))
            if not self._options.json:
                common.say(f"{arms[number].name}: {walked.result['wall_s']:.1f} s")

        if self._options.dask is not None:
            walk_on_cluster(arms, self._feed, self._options.dask, done)
        else:
            walk_arms(arms, self._feed, self._options.jobs, done)

    def _walk_compiled(self, settings: Sequence[Settings], trials: Sequence[Trial]) -> None:
        def done(first: int, found: Sequence[Figures]) -> None:
            those = zip(trials[first : first + len(found)], found, strict=True)
            self._journal.add(*(msgspec.structs.replace(one, books={TECHNICAL: figures}) for one, figures in those))

        walk_technical(settings, self._feed, self._options.jobs, done)

    def _empty(self, key: str, config: str, point: Point) -> Trial:
        """A trial of the kernel before it is walked."""
        return Trial(
            key=key,
            config_sha256=config,
            data_sha256=self.data_sha256,
            code_sha256=self._code,
            seed=self._options.seed,
            set=dict(point),
            orders_sha256=None,
            decisions_sha256=None,
            books={},
            engine=KERNEL,
        )


def run(options: SweepOptions) -> None:
    """Check everything, walk, write `sweep.json` and print."""
    found = _checked(options)
    settings = TrialSettings(options)
    asked = None if options.optuna is not None else points(found)
    for point in asked if asked is not None else _corners(found):
        settings.at(point)
    feed = finite_feed(options, settings.base)
    out = options.out or common.RUNS / f"sweep-{new_run_id()}"
    with Journal(out) as journal:
        sweep = Sweep(options, feed, journal, settings)
        common.say(f"trials are kept in {journal.path}; the same command with --out {out} goes on")
        trials = _searched(sweep, found, options) if asked is None else sweep.trials(asked)
        answer = answered(trials, journal, sweep, options, feed)
        answer["best_sets"] = [] if answer["best"] is None else settings.sets_of(tuple(answer["best"]["set"].items()))
        answer["check"] = _checks(answer, settings, feed, options, out)
    common.answer(answer, out / FILE, options.json, _print)
    _refuse_differences(answer["check"])


def _checks(
    answer: dict[str, Any], settings: TrialSettings, feed: AnyFeed, options: SweepOptions, out: Path
) -> list[dict[str, Any]]:
    """The best of the trials through the engine as well."""
    found: list[dict[str, Any]] = []
    for rank, trial in enumerate(answer["table"][: options.check or 0], 1):
        words = (*options.sets, *settings.sets_of(tuple(trial["set"].items())), *engine_sets(feed))
        loaded = common.settings(options.config, options.env, words)
        folder = out / CHECKED / str(rank)
        one = checked(loaded, trial["set"], trial["books"][TECHNICAL], feed, options.seed, folder)
        common.say(f"check {rank}: {one.trades} trades in the engine, {one.difference or 'all equal'}: {folder}")
        found.append(msgspec.to_builtins(one))
    return found


def _refuse_differences(found: Sequence[dict[str, Any]]) -> None:
    for one in found:
        if one["difference"] is not None:
            named = _named(tuple(one["set"].items()))
            raise CheckFailed(f"--check: the kernel and the engine differ with {named}: {one['difference']}")


def _checked(options: SweepOptions) -> list[Axis]:
    if options.objective not in OBJECTIVES:
        raise UsageError(f"--objective {options.objective!r}: choose {', '.join(OBJECTIVES)}")
    if options.book not in BOOKS:
        raise UsageError(f"--book {options.book!r}: choose {', '.join(BOOKS)}")
    if options.dask is not None:
        need("distributed", "--dask")
        if options.jobs > 1:
            raise UsageError("--jobs belongs to this machine and --dask to a cluster: give one of them")
    if options.optuna is not None:
        need("optuna", "--optuna")
    found = axes(options.grid)
    if options.engine == KERNEL:
        refuse_unknown(found)
        if options.dask is not None:
            raise UsageError(f"--dask walks the whole swarm; --book {TECHNICAL} is compiled, spread it by --jobs N")
    elif options.check is not None:
        raise UsageError(f"--check belongs to --book {TECHNICAL}; all others are walked by the engine anyway")
    elif options.book == Stream.BASELINE.value and all(is_known(axis.leaf) for axis in found):
        common.say(f"much faster on these settings: --book {TECHNICAL}, the analysts alone, compiled")
    return found


def _corners(found: Sequence[Axis]) -> list[Point]:
    """For a search: every value, and both ends of every range, each with the others at their first."""
    ends = [axis.values or tuple(f"{end:f}" for end in axis.span or ()) for axis in found]
    first = [values[0] for values in ends]
    return [
        tuple((axis.leaf, value if place == other else first[other]) for other, axis in enumerate(found))
        for place, values in enumerate(ends)
        for value in values
    ]


def _searched(sweep: Sweep, found: Sequence[Axis], options: SweepOptions) -> list[Trial]:
    assert options.optuna is not None
    asked = search(found, options.optuna, options.seed, lambda batch: [_value(t, options) for t in sweep.trials(batch)])
    return sweep.trials(list(dict.fromkeys(asked)), again=True)


def _value(trial: Trial, options: SweepOptions) -> float | None:
    """How good a trial is, more being better; None where the figure is not defined."""
    figure, sign = OBJECTIVES[options.objective]
    value: float | None = trial.books.get(options.book, {}).get(figure)
    return None if value is None or not trial.books[options.book]["trades"] else sign * value


def answered(
    trials: Sequence[Trial], journal: Journal, sweep: Sweep, options: SweepOptions, feed: AnyFeed
) -> dict[str, Any]:  # fmt: skip
    """The whole answer in plain JSON types, best first; nothing in it depends on where it was walked."""
    ranked = sorted(trials, key=lambda trial: -_or_worst(_value(trial, options)))
    known = (trial for trial in journal.known.values() if trial.data_sha256 == sweep.data_sha256)
    tried = [trial for trial in known if options.book in trial.books]
    best = ranked[0] if _value(ranked[0], options) is not None else None
    luck = None if best is None else _luck(best, tried, options.book)
    return {
        "objective": options.objective,
        "book": options.book,
        "engine": options.engine,
        "seed": options.seed,
        "pairs": list(feed.pairs),
        "simulated": feed.simulated,
        "data_sha256": sweep.data_sha256,
        "trials": len(tried),
        "best": None if best is None else msgspec.to_builtins(best),
        "deflated_sharpe": luck,
        "says": _says(best, options, len(tried), luck),
        "table": [msgspec.to_builtins(trial) for trial in ranked],
    }


def _or_worst(value: float | None) -> float:
    return -math.inf if value is None else value


def _luck(best: Trial, tried: Sequence[Trial], book: str) -> float | None:
    """The chance that the best one's Sharpe ratio is more than the best of so many without skill would show."""
    daily = [trial.books[book]["daily"] for trial in tried if book in trial.books]
    mine, ratios = best.books[book]["daily"], [one["ratio"] for one in daily if one is not None]
    if mine is None:
        return None
    spread = float(np.std(ratios, ddof=1)) if len(ratios) > 1 else None
    return deflated(msgspec.convert(mine, Sharpe), len(tried), spread)


def _says(best: Trial | None, options: SweepOptions, trials: int, luck: float | None) -> str:
    if best is None:
        return f"None of {trials} trials has a {options.objective} of {options.book}: no trade, or too few days."
    figure = best.books[options.book][OBJECTIVES[options.objective][0]]
    chance = "cannot be told" if luck is None else f"{luck:.0%}"
    return (
        f"Best of {trials} trials: {_point_text(best)} with {options.objective} {figure:.4g}. It was chosen on the "
        f"data it was measured on, so expect less; probability that it is more than luck (deflated Sharpe): {chance}."
    )


def _point_text(trial: Trial) -> str:
    return _named(tuple(trial.set.items()))


def _named(point: Point) -> str:
    return " ".join(words_of(point))


def _data_sha256(feed: AnyFeed) -> str:
    digest = SliceDigest(feed.pairs, feed.interval_ms)
    for _ in digested(feed, digest):
        pass
    return digest.hexdigest()


def _print(answer: dict[str, Any]) -> None:
    source = " on SIMULATED data" if answer["simulated"] else ""
    title = f"SWEEP{source}: {answer['book']}, best {answer['objective']} first, seed {answer['seed']}"
    table = Table(title=title if answer["engine"] == MODEL else f"{title}, engine: {answer['engine']}")
    leaves = list(answer["table"][0]["set"])
    for column in (*leaves, "Trades", "Profit %", "Drawdown %", "Factor", "Sharpe"):
        table.add_column(column, justify="right")
    for trial in answer["table"][:_SHOWN]:
        table.add_row(*(trial["set"].get(leaf, "") for leaf in leaves), *_cells(trial["books"][answer["book"]]))
    report.terminal(sys.stdout).print(table)
    if len(answer["table"]) > _SHOWN:
        common.out(f"{len(answer['table']) - _SHOWN} more in {FILE}")
    common.out(answer["says"])
    if answer["best_sets"]:
        common.out("The best as settings: " + " ".join(f"--set '{words}'" for words in answer["best_sets"]))
    if answer["check"]:
        _print_checks(answer["check"])


def _cells(figures: dict[str, Any]) -> tuple[str, ...]:
    show: Callable[[str, float], str] = lambda name, by: (  # noqa: E731 - four times in a row
        NOTHING if figures[name] is None else f"{by * figures[name]:.2f}"
    )
    return str(figures["trades"]), show("profit", 100), show("drawdown", 100), show("factor", 1), show("sharpe", 1)


def _print_checks(found: Sequence[dict[str, Any]]) -> None:
    equal = sum(one["difference"] is None for one in found)
    common.out(f"Checked: {equal} of the {len(found)} best are, trade for trade, what the engine makes of them.")
    common.out(f"Their runs can be read by `mycelial report {found[0]['folder']} --html FILE` and compared.")
