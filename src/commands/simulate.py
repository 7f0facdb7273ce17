"""`mycelial simulate`: the order path under thousands of schedules of faults, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ..backtesting.simulation.campaign import Outcome, Play, concluded, kept_seeds, seed_range
from ..backtesting.simulation.market import LISTED
from ..backtesting.simulation.planted import PLANTED, Bug
from ..backtesting.simulation.run import Ground, Ran
from ..backtesting.venue.rules import OPEN_ORDERS, VenueRules
from ..core.config import Settings
from ..core.config_execution import ms
from ..core.errors import CheckFailed, UsageError
from . import common, workers
from .simulated_life import life

CHUNK = 50
"""Seeds that a process takes at once."""


class SimulateOptions(msgspec.Struct, frozen=True):
    """What was asked for. `kept`: a file of seeds that are always played before the others."""

    seeds: str
    planted: str | None
    kept: Path | None
    jobs: int
    config: Path | None
    env: str | None
    sets: tuple[str, ...]
    json: bool


def run(options: SimulateOptions) -> None:
    """Play the seeds; CheckFailed (exit 6) when an invariant broke in any of them."""
    bug, asked = bug_named(options.planted), seed_range(options.seeds)
    kept = [] if options.kept is None else kept_seeds(options.kept)
    settings = common.settings(options.config, options.env, options.sets).settings
    seeds = [*kept, *(seed for seed in asked if seed not in kept)]
    play = Play(ground(settings), bug)
    outcome = concluded(_rans(seeds, settings, options), play)
    if options.json:
        common.out_json(msgspec.to_builtins(outcome))
    else:
        _show(outcome)
    if outcome.failing:
        raise CheckFailed(_failure(outcome, options.planted))


def bug_named(name: str | None) -> Bug | None:
    """A planted bug; UsageError, with all names, for an unknown one."""
    if name is None or name in PLANTED:
        return None if name is None else PLANTED[name]
    raise UsageError(f"--planted {name}: no such bug; one of {', '.join(PLANTED)}")


def ground(settings: Settings) -> Ground:
    """The real order path at an exchange with the counters that the settings expect of Kraken."""
    budget = settings.kraken.budget
    rules = VenueRules(
        LISTED,
        settings.account.amount_decimals,
        OPEN_ORDERS,
        budget.pair_most,
        budget.pair_decay_second,
        budget.calls_most,
        budget.calls_decay_second,
        instant=True,
    )
    offset = ms(settings.execution.max_clock_offset_seconds)
    return Ground(life(settings), rules, settings.costs, settings.account.start_quote, offset)


def _rans(seeds: Sequence[int], settings: Settings, options: SimulateOptions) -> Iterator[Ran]:
    """Every run, in the order of `seeds`, on as many processes as asked for."""
    chunks = [list(seeds[start : start + CHUNK]) for start in range(0, len(seeds), CHUNK)]
    given = (settings, options.planted)
    if options.jobs == 1:
        for chunk in chunks:
            yield from played(chunk, given)
        return
    early: dict[int, list[Ran]] = {}
    wanted = 0
    for number, rans in workers.spread(played, chunks, given, options.jobs, lambda n: f"seeds from {chunks[n][0]}"):
        early[number] = rans
        while wanted in early:
            yield from early.pop(wanted)
            wanted += 1


def played(seeds: Sequence[int], given: tuple[Settings, str | None]) -> list[Ran]:
    """What a process of its own plays."""
    settings, planted = given
    play = Play(ground(settings), bug_named(planted))
    return [play.run(play.schedule(seed)) for seed in seeds]


def _show(outcome: Outcome) -> None:
    common.out(
        f"{outcome.seeds} seeds, {outcome.failing} failing, {outcome.orders} orders, "
        f"{outcome.virtual_hours:g} virtual hours"
    )
    for name, count in outcome.findings.items():
        common.out(f"  {name} broke in {count}")
    common.out(f"digest {outcome.digest}")


def _failure(outcome: Outcome, planted: str | None) -> str:
    again = f"mycelial simulate --seeds {outcome.first_failing}" + (f" --planted {planted}" if planted else "")
    return f"{outcome.failing} of {outcome.seeds} seeds failed; it takes no more than: {outcome.remained} ({again})"
