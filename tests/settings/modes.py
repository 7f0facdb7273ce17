"""The modes of the house, each small, and what is looked at in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import copytree
from threading import Event, Thread

import msgspec
import pytest

from src.backtesting.stress.overlays import OVERLAYS
from src.commands import backtest, doctor, gate, lookahead, stress
from src.commands import run as run_command
from src.commands.finite import EvidenceOptions
from src.commands.options import BacktestOptions, ProcessOptions
from src.commands.stressed import Walk, stressed
from src.connectors.chroma_memory import ChromaStore
from src.connectors.config_files import DEFAULT_FILE
from src.connectors.control import ask
from src.connectors.redis_bus import RedisBus
from src.connectors.sources.build import real_sources
from src.connectors.sources.poller import Poller
from src.connectors.sources.simulated import simulated_sources
from src.connectors.state_folder import find
from src.core.bus import LocalBus
from src.core.clock import SimClock, Timer
from src.core.errors import BusError, CheckFailed, InvariantError, LedgerError, NotRunning
from src.core.model import MycelialModel
from src.core.ports import Row
from src.services.memory import PatternMemory
from src.services.writer import Writer
from tests.agents.made import ACCOUNT, HOUR, START
from tests.checks.ledger_checks import row
from tests.checks.memory_checks import DIMENSIONS, LATER, query, record
from tests.commands.cli import SECONDS, write_planted
from tests.connectors.sources.served import Answer, Asked, Served, moats, of
from tests.connectors.sources.test_edgar import EIGHT_K, FORM_4, submissions
from tests.connectors.sources.test_github import commit, speak
from tests.connectors.sources.test_poller import NOW, Told
from tests.core.test_model import Probe
from tests.settings import discovering, losing
from tests.settings.leaves import tree
from tests.settings.living import living
from tests.settings.ordering import ordering
from tests.settings.steering import steering
from tests.settings.streaming import streaming
from tests.settings.telling import telling
from tests.settings.venturing import ventured
from tests.settings.watched import Watch

Mode = Callable[[Watch, Path], None]
LOGINS = {"GITHUB_TOKEN": "ghp_a", "SEC_EDGAR_IDENTITY": "Test Desk desk@example.org"}
SOON = (
    *("learners.team=6", "learners.entry_score=0.6", "learners.calibration_min_t2=0", "costs.fee_ratio=0.0002"),
    *("costs.slippage_ratio=0.0001", "evolution.every_intervals=60", "evolution.min_outcomes=10"),
    *("patterns.archive_every_intervals=40", "patterns.min_outcomes=10", "controls.min_outcomes=50"),
    *("statistics.block_days=1", "statistics.min_blocks=2", "statistics.effect_block_intervals=12"),
)
"""So that in a few days of bars everything happens once."""
FREE = ("bus.port=0", "monitoring.metrics.port=0")


def backtesting(watch: Watch, folder: Path) -> None:
    """`mycelial backtest` over a few days."""
    data = write_planted(folder / "data", 400)
    backtest.run(BacktestOptions(data=data, seed=7, bus="local", out=folder / "out", json=True, sets=SOON))


def judging(watch: Watch, folder: Path) -> None:
    """`mycelial gate` over a run beside another, and both analyses of a few days."""
    data, run = write_planted(folder / "data", 120), folder / "runs" / "one"
    backtest.run(BacktestOptions(data=data, seed=7, bus="local", out=run, json=True, sets=SOON))
    result = (copytree(run, folder / "runs" / "two") / "result.json").read_bytes()
    own = msgspec.json.decode(result, type=dict[str, object])
    (folder / "runs" / "two" / "result.json").write_bytes(msgspec.json.encode({**own, "orders_sha256": "other"}))
    short = ("validation.warmups=[20,40]", "validation.cut_intervals=20", "validation.cuts=1")
    with suppress(CheckFailed):
        gate.run(str(run), None, None, None, (*SOON, *short), True)
    options = EvidenceOptions(data=data, seed=7, sets=(*SOON, *short), json=True)
    lookahead.analyse(options, None)
    with suppress(CheckFailed):
        lookahead.analyse_warmups(options, None)


def walking(watch: Watch, folder: Path) -> None:
    """Discovery with and without bases to begin with, and the life of an asset."""
    discovering.decided(watch.over(tree(discovering.WORLD)))
    discovering.decided(watch.over(tree(discovering.WORLD, {"builder.bootstrap_days": 1.0})))
    losing.decided(watch.over(tree(losing.WORLD, {"haven.emergency_flatten": True})))


def running(watch: Watch, folder: Path) -> None:
    """`mycelial run` over the simulated market with a server of its own, until it is stopped."""
    sets = ("simulated.history_days=1", "simulated.timeframe=1h", "simulated.pairs=[BTC/USD,ETH/USD]", "run.speed=max")
    options = ProcessOptions(seed=7, bus="embedded", state=folder / "state", json=True, sets=(*SOON, *sets, *FREE))
    stopper = Thread(target=stop, args=(folder / "state", 300))
    stopper.start()
    run_command.run(options)
    stopper.join()


def stop(state: Path, slices: int) -> None:
    """Stop the run of a state folder after so many slices."""
    timer, nap = Timer(), Event()
    deadline = timer.seconds() + SECONDS
    while timer.seconds() < deadline:
        try:
            if ask(find(state), "status", SECONDS).get("slices", 0) >= slices:
                ask(find(state), "stop", SECONDS)
                return
        except NotRunning:
            pass
        timer.wait(nap, 0.02)


def diagnosing(watch: Watch, folder: Path) -> None:
    """`mycelial doctor`; what it finds is not the matter here."""
    with suppress(InvariantError):
        doctor.run(folder / "state", None, None, None, ("bus.port=0",), True)


def asking(watch: Watch, folder: Path) -> None:
    """Real sources against a server that answers some, refuses some and breaks off; simulated ones."""
    served = Served()
    try:
        for provider in ("charts", "mempool"):
            settings = watch.over(moats(served.url, f"network.provider={provider}"), "moats")
            for repository in settings.github.repositories:
                speak(served, repository.name, [commit(number) for number in range(20)], 300)
            served.default = refuse if provider == "charts" else Answer(drop=True)
            for sources in (
                real_sources(settings, LOGINS, DEFAULT_FILE.parent, Timer()),
                simulated_sources(settings, 7),
            ):
                poller = Poller(sources, settings, SimClock(NOW), Told())
                poller.poll_due()
                poller.drain()
                poller.health()
                poller.start()
                poller.close()
    finally:
        served.close()


def refuse(asked: Asked) -> Answer:
    """EDGAR answers, everybody else is asked to come later."""
    if asked.path.startswith("/submissions"):
        return of(submissions("MSTR", EIGHT_K, FORM_4))
    return of({}, 429, retry_after="60")


def remembering(watch: Watch, folder: Path) -> None:
    """A store that is filled, opened again, and one that cannot be set up."""
    settings = watch.over(tree({"memory.batch_seconds": 0.0, "memory.retry_seconds": 0.01})).memory
    (folder / "file").write_text("in the way")
    for root in (folder / "store", folder / "store", folder / "file"):
        store = ChromaStore(root, settings, DIMENSIONS, lambda: [record("a"), record("b")])
        memory = PatternMemory(settings, DIMENSIONS, 7, store)
        memory.remember([record("a"), record("b")])
        memory.recommend(query(), LATER)
        memory.clusters(LATER)
        assert store.settle(SECONDS)
        memory.close()


class Broken:
    """A disk that fails once."""

    def __init__(self) -> None:
        self.failed = False

    def write(self, rows: Sequence[Row]) -> Mapping[int, str]:
        if not self.failed:
            self.failed = True
            raise LedgerError("no space")
        return {}

    def checkpoint(self, at: int, state: bytes) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""


def failing(watch: Watch, folder: Path) -> None:
    """A disk, a server and an agent that fail."""
    settings = watch.over(tree({"ledger.retry_seconds": 0.01, "agents.faults_before_quarantine": 1}))
    writer = Writer(Broken(), settings.ledger)
    writer.append([row(1)], durable=True).wait()
    writer.close()
    with pytest.raises(BusError):
        RedisBus("redis://127.0.0.1:1", SimClock(START), settings.bus, producer="p", epoch=1, timer=Timer())
    model = MycelialModel(LocalBus(SimClock(START), settings.bus), 7, HOUR, settings.agents, Timer())

    def fall(seen: object) -> None:
        raise ValueError("a fault of an agent")

    Probe(model, "faulty", "sense", fall)
    model.bus._clock.reach(START)  # type: ignore[attr-defined]
    model.on_snapshot(discovering.snapshots()[0], ACCOUNT)
    assert model.quarantined


STORE = (
    *("attempts", "batch_records", "batch_seconds", "canaries", "canary_distance", "close_timeout_seconds"),
    *("damaged_kept", "queue_records", "retry_seconds"),
)
"""Settings of the store behind the memory; the others are of its answers."""


def stressing(watch: Watch, folder: Path) -> None:
    """Every scenario laid over a few days, and one of them walked."""
    small = {"simulated.timeframe": "1h", "simulated.pairs": ["BTC/USD", "ETH/USD"], "learners.team": 3}
    world = stress.simulated(watch.over(tree(small, {"stress.days": 4})), 7)
    laid = {one.name: one.lay(world, world.settings.stress, 7) for one in OVERLAYS}
    stressed(Walk("calm", "", laid["calm"]), 7)


WATCHING = ("monitoring.metrics", "monitoring.logs", "monitoring.heartbeat")

MODES: dict[str, tuple[Mode, tuple[str, ...]]] = {
    "backtest": (
        backtesting,
        (
            *("account", "analysts", "builder", "consensus", "controls", "costs", "evolution", "exchange", "haven"),
            *(
                "indicators",
                "instigators",
                "learners",
                "memory",
                "moats.board",
                "moats.github.repositories",
                "moats.pace",
                "patterns",
            ),
            *("prospecting", "research", "risk", "limits", "sharing", "statistics", "trading"),
        ),
    ),
    "judge": (judging, ("gate", "validation")),
    "stress": (stressing, ("stress",)),
    "walk": (walking, ("builder", "haven", "lifecycle", "consensus", "prospecting", "risk")),
    "run": (running, ("agents", "bus", "ledger", "simulated", "moats.board", "memory", "run", "limits", *WATCHING)),
    "doctor": (diagnosing, ("run.min_free_disk_mb", "run.control_timeout_seconds", "bus.port")),
    "sources": (asking, ("moats",)),
    "store": (remembering, tuple(f"memory.{name}" for name in STORE)),
    "orders": (ordering, ("execution",)),
    "streams": (streaming, ("kraken.streams",)),
    "kraken": (
        ventured,
        tuple(f"kraken.{name}" for name in ("pairs", "key_file", "rest", "nonce", "orders", "budget", "download")),
    ),
    "live": (
        living,
        (
            *("execution.audit_seconds", "execution.settle_seconds"),
            *("kraken.dead_man_seconds", "kraken.tick_stream", "ledger.anchor_folder"),
        ),
    ),
    "tell": (telling, ("monitoring.discord", "monitoring.heartbeat")),
    "policies": (steering, ("policies",)),
    "failures": (failing, ("agents", "ledger.retry_seconds", "bus.backoff_cap_seconds", "bus.backoff_first_seconds")),
}
"""What each mode does, and the settings that belong to it: each of them must be looked at in one of its modes."""
