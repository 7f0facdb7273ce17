"""Every benchmark runs over the real parts in a small size; ratios point one way, goals are judged by the table."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from decimal import Decimal
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
import pytest

from src.backtesting import bench
from src.backtesting import sweep_book as book
from src.backtesting.bench import (
    BENCHMARKS,
    Benchmark,
    Entry,
    Parts,
    Sizes,
    choose,
    engines,
    entry,
    lookup,
    machine,
    own_peak_mb,
    rule,
    society,
)
from src.backtesting.bench.measure import Measured, alternated, percentile
from src.backtesting.bench.worlds import START_MS, planted, snapshots_of
from src.backtesting.sweep_kernel import sweep, trades_of
from src.commands import bench as command
from src.connectors.sqlite_ledger import LedgerReader
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.errors import BusError, InvariantError, NotFound
from src.core.memory import Where
from src.core.model import MycelialModel
from src.core.types import Stream
from tests.worlds import settings

SMALL = Sizes(
    runs=3,
    pairs=3,
    learners=18,
    subscribers=4,
    bars=160,
    table_bars=300,
    warm_bars=120,
    warm_slices=40,
    slices=20,
    messages=20,
    deliveries=100,
    appends=50,
    rows=100,
    commits=3,
    patterns=300,
    lookups=5,
    rule_bars=1_500,
    slow_peer_bars=1_500,
    long_bars=6_000,
    long_runs=3,
    small_runs=2,
    small_bars=60,
    ticks=2_000,
)
ONE_RUN = {"swarm_peak_rss_mb", "sweep_memory_vs_vectorbt"}
STARTED = "parallel_64_vs_serial"  # each of its runs starts an interpreter: one round is enough here
PEERS = {
    "bus_roundtrip_vs_redis_py": "redis-py",
    "local_deliveries_vs_redis": "redis-py",
    "writer_rows_vs_executemany": "sqlite3.executemany",
    "durable_commit_ms": "fdatasync",
    "society_vs_shuffle_do": "mesa.shuffle_do",
    "memory_lookup_vs_chroma": "chromadb",
    "parallel_64_vs_serial": "serial",
}
APART = {
    "engine_vs_backtesting_py": "backtesting.py",
    "engine_vs_nautilus": "nautilus_trader",
    "engine_vs_freqtrade": "freqtrade",
    "swarm_vs_backtesting_py": "backtesting.py",
    "sweep_vs_vectorbt": "vectorbt",
    "sweep_memory_vs_vectorbt": "vectorbt",
}
"""Peers with environments of their own, of which there is none here."""
FIELDS = {
    "name", "value", "unit", "better", "peer", "peer_value", "ratio", "goal", "met", "runs", "least", "most",
}  # fmt: skip


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    with ExitStack() as stack:
        yield msgspec.structs.replace(command.parts_of(settings(), stack), peers=None)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name == STARTED)) for name in BENCHMARKS]
)
def test_every_benchmark_runs_and_has_all_fields(name: str, parts: Parts) -> None:
    sizes = msgspec.structs.replace(SMALL, runs=1) if name == STARTED else SMALL
    (found,) = bench.measure([name], parts, sizes)
    fields = json.loads(msgspec.json.encode(found))
    assert set(fields) == FIELDS
    assert (fields["name"], fields["unit"], fields["better"]) == (name, BENCHMARKS[name].unit, BENCHMARKS[name].better)
    assert fields["runs"] == (1 if name in ONE_RUN else sizes.runs)
    assert 0 < fields["least"] <= fields["value"] <= fields["most"]
    assert fields["peer"] == (PEERS | APART).get(name)
    assert (fields["peer_value"] is None) == (fields["ratio"] is None) == (name not in PEERS)
    assert (fields["met"] is None) == (fields["goal"] is None or name in APART)


def test_goals_are_those_that_were_promised() -> None:
    goals = {name: round(row.goal, 4) for name, row in BENCHMARKS.items() if row.goal is not None}
    assert goals == {
        "swarm_pair_bars_per_s": 25_000.0,
        "swarm_scaling_2n": 2.3,
        "swarm_peak_rss_mb": 600.0,
        "colony_step_300_us": 80.0,
        "features_us_per_pair_bar": 1.0,
        "features_live_us_per_pair_bar": 10.0,
        "round_embedded_ms": 3.0,
        "bus_roundtrip_vs_redis_py": 0.6667,
        "local_deliveries_vs_redis": 20.0,
        "writer_spine_us": 5.0,
        "writer_rows_vs_executemany": 0.5,
        "society_vs_shuffle_do": 2.0,
        "memory_lookup_vs_chroma": 50.0,
        "memory_write_us": 10.0,
        "parallel_64_vs_serial": 1.5,
        "engine_vs_backtesting_py": 0.3,
        "engine_vs_nautilus": 2.0,
        "engine_vs_freqtrade": 2.0,
        "swarm_vs_backtesting_py": 0.5,
        "sweep_vs_vectorbt": 3.0,
        "sweep_memory_vs_vectorbt": 4.0,
        "million_bars_vs_100k": 0.8,
        "tick_to_signal_p99_ms": 100.0,
        "cycle_100_positions_ms": 100.0,
        "help_s": 0.4,
    }


def figures(benchmark: Benchmark, values: list[float], peer_values: list[float] = []) -> Entry:  # noqa: B006
    return entry("x", benchmark, Measured(values, peer_values))


def a_row(better: str, goal: float | None, peer: str | None = None) -> Benchmark:
    return Benchmark(lambda parts, sizes: Measured([1.0]), "us", better, goal, peer)  # type: ignore[arg-type]


def test_the_ratio_says_how_many_times_better_ours_is() -> None:
    cost = figures(a_row("lower", 0.5, "them"), [2.0, 100.0, 1.0], [8.0, 4.0, 1.0])
    assert (cost.value, cost.peer_value, cost.ratio, cost.met) == (2.0, 4.0, 2.0, True)
    speed = figures(a_row("higher", 0.5, "them"), [2.0], [8.0])
    assert (speed.ratio, speed.met) == (0.25, False)
    assert (cost.least, cost.most, cost.runs) == (1.0, 100.0, 3)


def test_without_a_peer_the_goal_is_in_the_unit_of_the_value() -> None:
    assert figures(a_row("lower", 5.0), [5.0]).met is True
    assert figures(a_row("lower", 5.0), [5.1]).met is False
    assert figures(a_row("higher", 5.0), [4.9]).met is False
    assert figures(a_row("higher", 5.0), [5.0]).met is True
    assert figures(a_row("lower", None), [5.0]).met is None


def test_a_peer_that_is_not_installed_gives_no_ratio_and_no_verdict() -> None:
    found = figures(a_row("lower", 5.0, "them"), [1.0])
    assert (found.peer, found.peer_value, found.ratio, found.met) == ("them", None, None, None)


def test_an_unknown_name_is_not_found_and_the_nearest_are_told() -> None:
    with pytest.raises(NotFound, match=r"no benchmark 'writer_spine': did you mean writer_spine_us"):
        choose("writer_spine")
    with pytest.raises(NotFound, match=r"did you mean writer_"):
        choose("writer")
    with pytest.raises(NotFound, match=r"no benchmark 'zzz': there are swarm_pair_bars_per_s, "):
        command.run("zzz", True)
    assert choose("help_s") == ["help_s"]
    assert choose(None) == list(BENCHMARKS)


def test_rounds_alternate_and_the_first_is_not_counted() -> None:
    said: list[str] = []
    numbers = count()

    def contest(name: str) -> float:
        said.append(name)
        return float(next(numbers))

    assert alternated(2, lambda: contest("a"), lambda: contest("b")) == [[2.0, 4.0], [3.0, 5.0]]
    assert said == ["a", "b"] * 3


def test_percentiles_are_interpolated() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0, 5.0], 99.0) == pytest.approx(4.96)


def test_the_planted_market_has_the_pairs_and_bars_asked_for() -> None:
    history = planted(3, 50)
    assert (len(history.pairs), len(history.times), history.bars) == (3, 50, 150)


def test_the_machine_is_described() -> None:
    found = machine()
    assert found.cores >= 1
    assert found.python.startswith("CPython 3.")
    assert found.processor
    assert len(found.load_average) == 3
    assert own_peak_mb() > 10


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    command.run("help_s", True)
    written = capsys.readouterr()
    found = json.loads(written.out)
    assert set(found) == {"machine", "benchmarks"}
    assert [one["name"] for one in found["benchmarks"]] == ["help_s"]
    assert written.err == ""


def test_the_table_names_goal_and_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    command.run("help_s", False)
    out = capsys.readouterr().out
    assert "<= 0.4" in out
    assert "cores" in out


def test_messages_that_get_lost_are_no_figure(parts: Parts) -> None:
    deaf = msgspec.structs.replace(parts, connect=lambda clock: DeafBus(parts.connect(clock)))
    with pytest.raises(BusError, match="0 of 20 messages were delivered"):
        list(bench.measure(["bus_roundtrip_vs_redis_py"], deaf, SMALL))


class DeafBus:
    """A real bus whose subscribers are forgotten."""

    def __init__(self, bus: object) -> None:
        self._bus = bus

    def subscribe(self, *ignored: object) -> None:
        pass

    def __getattr__(self, name: str) -> object:
        return getattr(self._bus, name)


def test_what_is_looked_up_is_exactly_the_nearest_of_the_buys(parts: Parts) -> None:
    records, memory = lookup.patterns(300), parts.memory(lookup.DIMENSIONS)
    memory.remember(records)
    buys = [record for record in records if record.direction is lookup.DIRECTION]
    table = np.array([record.vector for record in buys])
    for query in lookup.moments(10):
        cosines = table @ query / np.linalg.norm(table, axis=1) / np.linalg.norm(query)
        nearest = [buys[place].id for place in np.argsort(-cosines)[: lookup.NEAREST]]
        found = memory.similar(query, lookup.NEAREST, START_MS + 300, Where(directions=(lookup.DIRECTION,)))
        assert [one.record.id for one in found] == nearest


def test_both_societies_take_the_same_steps(parts: Parts) -> None:
    """Their opinions agree, so the peer does the same work; summation apart, in other words to the last digits."""
    snapshots = snapshots_of(planted(3, 60), parts.settings)
    clock = SimClock()
    with closing(LocalBus(clock, parts.settings.bus)) as bus:
        model = MycelialModel(bus, 7, snapshots[0].interval_ms, parts.settings.agents)
        ours, theirs = society._Views(model, 18, 3), society._Movers(18, 3)
        for snapshot in snapshots:
            model.on_snapshot(snapshot, society.ACCOUNT)
            theirs.see(snapshot)
    assert ours.opinions.any()
    assert ours.opinions.tolist() == pytest.approx([mover.opinion for mover in theirs.movers], rel=1e-12)
    assert len(ours.figures.opinions) == len(ours.figures.said) == 60


def test_the_rule_makes_the_same_trades_in_the_engine_and_in_the_sweep(parts: Parts, tmp_path: Path) -> None:
    history = rule.market(6_000)
    engine = parts.rule_walk(history, rule.ONE_UNIT, tmp_path)
    arm = rule.arm(rule.terms(settings(), rule.ONE_UNIT), len(history.times))
    (swept,) = sweep(history, [arm])
    assert trades_of(swept, arm, history, Stream.SYNTHESIZED) == engine
    assert len(engine) > 200
    assert {trade.amount for trade in engine} == {Decimal(1)}
    fills = list(LedgerReader(tmp_path / "ledger.sqlite", settings().ledger).rows("fill"))
    assert len(fills) in (2 * len(engine), 2 * len(engine) + 1)


def test_the_rule_makes_as_many_round_trips_as_in_other_engines() -> None:
    """3,987 on the hundred thousand bars on which they all agree."""
    history = rule.market(100_000)
    (swept,) = sweep(history, [rule.arm(rule.terms(settings(), rule.ONE_UNIT), len(history.times))])
    assert swept.trades == 3_987
    assert set(swept.table[:, book.AMOUNT].tolist()) == {1}


@pytest.mark.long
def test_the_rule_makes_the_same_trades_on_all_bars(parts: Parts, tmp_path: Path) -> None:
    history = rule.market(100_000)
    engine = parts.rule_walk(history, rule.ONE_UNIT, tmp_path)
    arm = rule.arm(rule.terms(settings(), rule.ONE_UNIT), len(history.times))
    assert trades_of(sweep(history, [arm])[0], arm, history, Stream.SYNTHESIZED) == engine
    assert len(engine) == 3_987


def environment(folder: Path, name: str, program: str) -> Path:
    """The folder of the peers with one whose interpreter is this program, whatever script it is handed."""
    python = folder / name / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!{sys.executable}\n{program}")
    python.chmod(0o755)
    return folder


def test_a_peer_answers_once_a_round(parts: Parts, tmp_path: Path) -> None:
    program = 'import sys\nfor line in sys.stdin:\n    print(\'{"seconds": 0.5, "trades": 3}\', flush=True)\n'
    there = msgspec.structs.replace(parts, peers=environment(tmp_path, "freqtrade", program))
    (found,) = bench.measure(["engine_vs_freqtrade"], there, SMALL)
    assert (found.peer_value, found.runs) == (3_000.0, 3)
    assert found.ratio == pytest.approx(found.value / 3_000.0)


def test_a_peer_that_breaks_is_named_with_what_it_said(parts: Parts, tmp_path: Path) -> None:
    program = "import sys\nsys.exit('no module named freqtrade')\n"
    there = msgspec.structs.replace(parts, peers=environment(tmp_path, "freqtrade", program))
    with pytest.raises(NotFound, match=r"peer freqtrade: it does not run \(no module named freqtrade\); repair"):
        list(bench.measure(["engine_vs_freqtrade"], there, SMALL))


def test_a_sweep_with_other_trades_than_the_peer_is_no_figure() -> None:
    history = rule.market(1_500)
    (swept,) = sweep(history, [rule.arm(rule.terms(settings(), rule.ONE_UNIT), 1_500)])
    rows = [(np.searchsorted(history.times, swept.table[:, column]) - 1).tolist() for column in (1, 2)]
    engines.refuse_other_trades(history, swept, rows)
    with pytest.raises(InvariantError, match="the sweep's exits are not those of vectorbt"):
        engines.refuse_other_trades(history, swept, [rows[0], rows[1][:-1]])
