"""What the whole swarm costs: pair-bars a second, growth with length, a round over the server, the colony alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from ...core.bus import LocalBus
from ...core.clock import SimClock
from ...core.history import History
from .measure import MICROSECONDS, MILLISECONDS, Measured, Parts, Sizes, alternated, middle, seconds_of, step_seconds
from .worlds import planted, slices_of, snapshots_of


def throughput(parts: Parts, sizes: Sizes) -> Measured:
    """Pair-bars a second of the whole house on the local bus, its features and its birth included."""
    history = planted(sizes.pairs, sizes.bars)
    (found,) = alternated(sizes.runs, lambda: history.bars / seconds_of(parts.timer, lambda: walk(parts, history)))
    return Measured(found)


def walk(parts: Parts, history: History) -> None:
    """Every slice of `history` through a new house on the local bus."""
    clock = SimClock()
    with closing(LocalBus(clock, parts.settings.bus)) as bus:
        step = parts.walk(history, bus, clock)
        for slice_ in slices_of(history):
            step(slice_)


def scaling(parts: Parts, sizes: Sizes) -> Measured:
    """Seconds for twice the bars over seconds for the bars, each round by itself; 2 is linear."""
    full = planted(sizes.pairs, sizes.bars)
    half = full.rows(0, sizes.bars // 2)
    once, twice = alternated(
        sizes.runs,
        lambda: seconds_of(parts.timer, lambda: walk(parts, half)),
        lambda: seconds_of(parts.timer, lambda: walk(parts, full)),
    )
    return Measured([long / short for short, long in zip(once, twice, strict=True)])


def peak_memory(parts: Parts, sizes: Sizes) -> Measured:
    """Peak resident memory in MB of a process that does nothing but walk; one run, memory does not waver."""
    return Measured([parts.swarm_peak_mb(sizes)])


def round_embedded(parts: Parts, sizes: Sizes) -> Measured:
    """Median milliseconds of a slice through the engine on a server's bus; what is durable is measured apart."""
    history = planted(sizes.pairs, sizes.warm_slices + sizes.slices)
    parts.server()

    def contest() -> float:
        clock = SimClock()
        with closing(parts.connect(clock)) as bus:
            step = parts.walk(history, bus, clock)
            figures = step_seconds(parts.timer, step, slices_of(history))
        return MILLISECONDS * middle(figures[sizes.warm_slices :])

    (found,) = alternated(sizes.runs, contest)
    return Measured(found)


def colony_step(parts: Parts, sizes: Sizes) -> Measured:
    """Microseconds of one step of the learners, once their ranks are full: the median over whole rounds of sharing.

    They share once in a round, so a median over single steps would leave the sharing out.
    """
    snapshots = snapshots_of(planted(sizes.pairs, sizes.warm_bars + sizes.slices), parts.settings)

    def contest() -> float:
        step = parts.colony(sizes.pairs, sizes.learners)
        figures = step_seconds(parts.timer, step, snapshots)
        return MICROSECONDS * middle(_rounds(figures[sizes.warm_bars :], parts.settings.sharing.every_intervals))

    (found,) = alternated(sizes.runs, contest)
    return Measured(found)


def _rounds(figures: Sequence[float], every: int) -> list[float]:
    """The means of so many steps each; all of them in one where they are fewer."""
    whole = [figures[start : start + every] for start in range(0, len(figures) - every + 1, every)] or [figures]
    return [sum(steps) / len(steps) for steps in whole]
