"""Our engine and our sweep against the engines that users would pick instead: same bars, same rule, in turns."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...core.errors import InvariantError, NotFound
from ...core.history import History
from .. import sweep_book as book
from ..sweep_kernel import Swept, sweep
from . import rule, swarm
from .measure import Measured, Parts, Sizes, alternated, seconds_of
from .worlds import planted

SCRIPTS = Path(__file__).parent / "peers"
BACKTESTING_PY, VECTORBT, NAUTILUS, FREQTRADE = "backtesting_py", "vectorbt", "nautilus", "freqtrade"
"""Folders of their environments, and files of their scripts."""


class Peer:
    """Another engine in a process of its own, with the bars loaded and whatever it compiles compiled."""

    def __init__(self, name: str, process: subprocess.Popen[str], errors: Path) -> None:
        self._name, self._process, self._errors = name, process, errors

    def run(self) -> dict[str, Any]:
        """One backtest: `seconds` and `trades`, and what else its script says; NotFound when it does not answer."""
        assert self._process.stdin is not None, "it was opened with pipes"
        assert self._process.stdout is not None, "it was opened with pipes"
        try:
            self._process.stdin.write("run\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            told = self._errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            why = told[-1] if told else "it says nothing"
            raise NotFound(f"peer {self._name}: it does not run ({why}); repair or remove its environment")
        found: dict[str, Any] = msgspec.json.decode(answer)
        return found


def python_of(parts: Parts, name: str) -> Path | None:
    """The interpreter of a peer's environment; None where there is none."""
    if parts.peers is None:
        return None
    found = [parts.peers / name / place for place in ("bin/python", "Scripts/python.exe")]
    return next((path for path in found if path.is_file()), None)


@contextmanager
def peer_on(parts: Parts, name: str, history: History) -> Iterator[Peer | None]:
    """The peer with these bars; None where it is not installed."""
    python = python_of(parts, name)
    if python is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        bars, errors = Path(folder) / "bars.npy", Path(folder) / "errors.txt"
        opens = history.times - history.interval_ms
        np.save(bars, np.column_stack([opens, *(column[:, 0] for column in history.columns())]))
        words = [str(python), str(SCRIPTS / f"{name}.py"), str(bars)]
        with errors.open("w", encoding="utf-8") as told:
            pipe = subprocess.PIPE
            process = subprocess.Popen(words, cwd=folder, stdin=pipe, stdout=pipe, stderr=told, text=True)
        try:
            yield Peer(name, process, errors)
        finally:
            process.kill()
            process.wait()
            for end in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):  # what was written and never read is of no interest any more
                    if end is not None:
                        end.close()


def against_backtesting_py(parts: Parts, sizes: Sizes) -> Measured:
    """Bars a second of the engine with one analyst on one pair, its features, birth and ledger file included."""
    return _engine_against(parts, sizes, BACKTESTING_PY, sizes.rule_bars)


def against_nautilus(parts: Parts, sizes: Sizes) -> Measured:
    """The same against NautilusTrader, whose loading of bars is not counted, nor its analysis of returns."""
    return _engine_against(parts, sizes, NAUTILUS, sizes.slow_peer_bars)


def against_freqtrade(parts: Parts, sizes: Sizes) -> Measured:
    """The same against Freqtrade, whose start and loading are not counted."""
    return _engine_against(parts, sizes, FREQTRADE, sizes.slow_peer_bars)


def _engine_against(parts: Parts, sizes: Sizes, name: str, bars: int) -> Measured:
    history = rule.market(bars)

    def ours() -> float:
        return bars / _walk_seconds(parts, history, rule.ONE_UNIT)

    return _against(parts, sizes, name, history, ours)


def _against(parts: Parts, sizes: Sizes, name: str, history: History, ours: Callable[[], float]) -> Measured:
    """Bars a second of ours and of the peer over `history`."""
    with peer_on(parts, name, history) as peer:
        if peer is None:
            return Measured(alternated(sizes.runs, ours)[0])
        bars = len(history.times)
        return Measured(*alternated(sizes.runs, ours, lambda: bars / float(peer.run()["seconds"])))


def _walk_seconds(parts: Parts, history: History, stake: Decimal) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return seconds_of(parts.timer, lambda: parts.rule_walk(history, stake, Path(folder)))


def swarm_against_backtesting_py(parts: Parts, sizes: Sizes) -> Measured:
    """Pair-bars a second of the whole swarm with its teams, against bars a second of one strategy on one pair."""
    history = planted(sizes.pairs, sizes.bars)

    def ours() -> float:
        return history.bars / seconds_of(parts.timer, lambda: swarm.walk(parts, history))

    return _against(parts, sizes, BACKTESTING_PY, rule.market(sizes.rule_bars), ours)


def sweep_against_vectorbt(parts: Parts, sizes: Sizes) -> Measured:
    """Bars a second of one row of a sweep with trade list, equity and metrics; the trades have to be the peer's."""
    history, row = rule.market(sizes.rule_bars), rule.arm(rule.terms(parts.settings, rule.ONE_UNIT), sizes.rule_bars)
    bars = len(history.times)

    def ours() -> float:
        return (
            sizes.sweeps * bars / seconds_of(parts.timer, lambda: [sweep(history, [row]) for _ in range(sizes.sweeps)])
        )

    with peer_on(parts, VECTORBT, history) as peer:
        if peer is None:
            return Measured(alternated(sizes.runs, ours)[0])
        refuse_other_trades(history, sweep(history, [row])[0], peer.run()["rows"])
        return Measured(*alternated(sizes.runs, ours, lambda: bars / float(peer.run()["seconds"])))


def refuse_other_trades(history: History, swept: Swept, rows: list[list[int]]) -> None:
    """InvariantError where the peer did not decide each entry and each exit on the bar on which we did.

    It fills at the close on which it decides, we at the open that follows: one row later.
    """
    for name, column, theirs in zip(("entries", "exits"), (book.ENTRY_AT, book.EXIT_AT), rows, strict=True):
        ours = (np.searchsorted(history.times, swept.table[:, column]) - 1).tolist()
        if ours != theirs:
            raise InvariantError(f"the sweep's {name} are not those of {VECTORBT}: {len(ours)} against {len(theirs)}")


def sweep_memory(parts: Parts, sizes: Sizes) -> Measured:
    """MB by which a process grows at its highest during one row of a sweep; the peer's alike, once compiled."""
    history = rule.market(sizes.rule_bars)
    ours = [parts.sweep_extra_mb(sizes.rule_bars)]
    with peer_on(parts, VECTORBT, history) as peer:
        return Measured(ours) if peer is None else Measured(ours, [float(peer.run()["extra_mb"])])


def long_against_short(parts: Parts, sizes: Sizes) -> Measured:
    """Bars a second of a run ten times as long over those of the short one, each round by itself."""
    long = rule.market(sizes.long_bars)
    short = long.rows(0, sizes.long_bars // 10)
    once, tenfold = alternated(
        sizes.long_runs,
        lambda: _walk_seconds(parts, short, rule.A_FEW_UNITS),
        lambda: _walk_seconds(parts, long, rule.A_FEW_UNITS),
    )
    return Measured([10.0 * one / ten for one, ten in zip(once, tenfold, strict=True)])
