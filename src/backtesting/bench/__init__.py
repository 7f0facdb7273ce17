"""The benchmarks; BENCHMARKS is the table by which they are registered.

To add one: write its function in the file of its group and add a row here. Our own parts are handed in (`Parts`);
peers are third-party libraries, driven as plainly as they allow: of the same environment, or, where their pins clash
with ours, of environments of their own in which `peers/` is run.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from ...core.errors import NotFound
from . import buses, cycle, engines, features, ledger, lookup, parallel, process, society, swarm, ticks
from .machine import Machine, growth_mb, machine, own_peak_mb
from .measure import Measured, Parts, Sizes, middle
from .swarm import walk
from .worlds import planted

__all__ = [
    "BENCHMARKS", "Benchmark", "Entry", "Machine", "Parts", "Sizes", "choose", "growth_mb", "machine", "measure",
    "own_peak_mb", "planted", "walk",
]  # fmt: skip

_NEAREST, _LIKENESS = 3, 0.4
"""How many names an error offers, and how alike they must be."""

Better = Literal["lower", "higher"]


class Benchmark(msgspec.Struct, frozen=True):
    """One row of BENCHMARKS. `goal` is in the unit of the ratio where there is a `peer`, else of the value."""

    function: Callable[[Parts, Sizes], Measured]
    unit: str
    better: Better
    goal: float | None = None
    peer: str | None = None


BENCHMARKS: dict[str, Benchmark] = {
    "swarm_pair_bars_per_s": Benchmark(swarm.throughput, "pair-bars/s", "higher", 25_000.0),
    "swarm_scaling_2n": Benchmark(swarm.scaling, "time(2N)/time(N)", "lower", 2.3),
    "swarm_peak_rss_mb": Benchmark(swarm.peak_memory, "MB", "lower", 600.0),
    "colony_step_300_us": Benchmark(swarm.colony_step, "us", "lower", 80.0),
    "features_us_per_pair_bar": Benchmark(features.batch, "us", "lower", 1.0),
    "features_live_us_per_pair_bar": Benchmark(features.streams, "us", "lower", 10.0),
    "round_embedded_ms": Benchmark(swarm.round_embedded, "ms", "lower", 3.0),
    "bus_roundtrip_vs_redis_py": Benchmark(buses.roundtrip, "us", "lower", 1 / 1.5, "redis-py"),
    "local_deliveries_vs_redis": Benchmark(buses.deliveries, "deliveries/s", "higher", 20.0, "redis-py"),
    "durable_commit_ms": Benchmark(ledger.durable_commit, "ms", "lower", None, "fdatasync"),
    "writer_spine_us": Benchmark(ledger.spine, "us", "lower", 5.0),
    "writer_rows_vs_executemany": Benchmark(ledger.throughput, "rows/s", "higher", 0.5, "sqlite3.executemany"),
    "society_vs_shuffle_do": Benchmark(society.against_shuffle_do, "us", "lower", 2.0, "mesa.shuffle_do"),
    "memory_lookup_vs_chroma": Benchmark(lookup.against_chroma, "us", "lower", 50.0, "chromadb"),
    "memory_write_us": Benchmark(lookup.write, "us", "lower", 10.0),
    "engine_vs_backtesting_py": Benchmark(engines.against_backtesting_py, "bars/s", "higher", 0.3, "backtesting.py"),
    "engine_vs_nautilus": Benchmark(engines.against_nautilus, "bars/s", "higher", 2.0, "nautilus_trader"),
    "engine_vs_freqtrade": Benchmark(engines.against_freqtrade, "bars/s", "higher", 2.0, "freqtrade"),
    "swarm_vs_backtesting_py": Benchmark(
        engines.swarm_against_backtesting_py, "pair-bars/s", "higher", 0.5, "backtesting.py"
    ),
    "sweep_vs_vectorbt": Benchmark(engines.sweep_against_vectorbt, "bars/s", "higher", 3.0, "vectorbt"),
    "sweep_memory_vs_vectorbt": Benchmark(engines.sweep_memory, "MB", "lower", 4.0, "vectorbt"),
    "million_bars_vs_100k": Benchmark(engines.long_against_short, "bars/s over bars/s", "higher", 0.8),
    "parallel_64_vs_serial": Benchmark(parallel.against_serial, "s", "lower", 1.5, "serial"),
    "cycle_100_positions_ms": Benchmark(cycle.hundred_positions, "ms", "lower", 100.0),
    "tick_to_signal_p99_ms": Benchmark(ticks.tick_to_signal, "ms", "lower", 100.0),
    "help_s": Benchmark(process.help_answer, "s", "lower", 0.4),
}


class Entry(msgspec.Struct, frozen=True):
    """What became of one benchmark, as others read it; medians of `runs` alternated rounds.

    `ratio` says how many times better ours is than the peer: larger is always better. `least` and `most` are the
    extremes of `value` over the rounds. What does not apply is null.
    """

    name: str
    value: float
    unit: str
    better: Better
    peer: str | None
    peer_value: float | None
    ratio: float | None
    goal: float | None
    met: bool | None
    runs: int
    least: float
    most: float


def choose(only: str | None) -> Sequence[str]:
    """All names, or the one that was asked for; NotFound names the nearest."""
    if only is None:
        return list(BENCHMARKS)
    if only in BENCHMARKS:
        return [only]
    near = difflib.get_close_matches(only, BENCHMARKS, _NEAREST, _LIKENESS)
    hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(BENCHMARKS)}"
    raise NotFound(f"no benchmark {only!r}: {hint}")


def measure(names: Sequence[str], parts: Parts, sizes: Sizes) -> Iterator[Entry]:
    """The benchmarks of these names one after another, each when it is asked for."""
    for name in names:
        benchmark = BENCHMARKS[name]
        yield entry(name, benchmark, benchmark.function(parts, sizes))


def entry(name: str, benchmark: Benchmark, measured: Measured) -> Entry:
    """The figures of a benchmark against its goal."""
    value = middle(measured.values)
    peer_value = middle(measured.peer_values) if measured.peer_values else None
    ratio = None if peer_value is None else _times_better(value, peer_value, benchmark.better)
    return Entry(
        name=name,
        value=value,
        unit=benchmark.unit,
        better=benchmark.better,
        peer=benchmark.peer,
        peer_value=peer_value,
        ratio=ratio,
        goal=benchmark.goal,
        met=_met(benchmark, value, ratio),
        runs=len(measured.values),
        least=min(measured.values),
        most=max(measured.values),
    )


def _times_better(value: float, peer_value: float, better: Better) -> float:
    return peer_value / value if better == "lower" else value / peer_value


def _met(benchmark: Benchmark, value: float, ratio: float | None) -> bool | None:
    if benchmark.goal is None or (benchmark.peer is not None and ratio is None):
        return None
    if ratio is not None:
        return ratio >= benchmark.goal
    return value <= benchmark.goal if benchmark.better == "lower" else value >= benchmark.goal
