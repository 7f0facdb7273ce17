"""The trials of a sweep on disk, so that what was walked once is never walked again, whatever ended the sweep."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from ..backtesting.evidence.sharpe_tests import measured
from ..core import canonical
from ..core.errors import DataError, UsageError
from ..core.metrics import max_drawdown, sharpe, trade_stats
from ..core.types import FloatArray, Trade
from .arms import BUY_AND_HOLD, Arm, Walked, book_curve

TRIALS = "trials.jsonl"
MODEL, KERNEL = "model", "kernel"
"""Who walked a trial: the whole swarm in its engine, or the technical analysts in a compiled loop."""


class Trial(msgspec.Struct, frozen=True):
    """One walk of a sweep, without anything that depends on where and when it was walked.

    `set` by setting; `books` the figures of each book, None where one is not defined; in `daily` the Sharpe ratio of a
    day with its moments, for the tests of luck. `engine`: MODEL or KERNEL; the kernel, which writes neither orders nor
    decisions, has no hashes of them.
    """

    key: str
    config_sha256: str
    data_sha256: str
    code_sha256: str
    seed: int
    set: dict[str, str]
    orders_sha256: str | None
    decisions_sha256: str | None
    books: dict[str, dict[str, Any]]
    engine: str = MODEL


def key_of(config_sha256: str, data_sha256: str, seed: int, engine: str = MODEL) -> str:
    """What makes a trial the same as another."""
    return canonical.digest([config_sha256, data_sha256, seed, *([] if engine == MODEL else [engine])])


def trial_of(walked: Walked, arm: Arm, code_sha256: str, point: dict[str, str]) -> Trial:
    """What is kept of a walk."""
    config, data = walked.result["config_sha256"], walked.result["data_sha256"]
    return Trial(
        key=key_of(config, data, arm.seed),
        config_sha256=config,
        data_sha256=data,
        code_sha256=code_sha256,
        seed=arm.seed,
        set=point,
        orders_sha256=walked.orders_sha256,
        decisions_sha256=walked.decisions_sha256,
        books={
            book: figures_of(walked.trades[book], walked.returns[book], arm.settings.account.start_quote)
            for book in walked.returns
            if book != BUY_AND_HOLD
        },
    )


def figures_of(trades: Sequence[Trade], returns: FloatArray, start: Decimal) -> dict[str, Any]:
    """The figures of a book: its closed trades, its daily returns (days,), what it began with."""
    stats = trade_stats(trades, start)
    return {
        "trades": stats.trades,
        "win_ratio": stats.win_ratio,
        "profit": stats.profit_ratio,
        "drawdown": max_drawdown(book_curve(trades, start)).ratio,
        "factor": stats.profit_factor,
        "sharpe": sharpe(returns),
        "fees": float(stats.fees),
        "daily": daily_of(returns),
    }


def daily_of(returns: FloatArray) -> dict[str, Any] | None:
    """The Sharpe ratio of a day with its moments, in plain types."""
    daily = measured(returns)
    return None if daily is None else msgspec.to_builtins(daily)


class Journal:
    """The trials in a folder, one a line; `known` by key. One sweep a folder: UsageError while another has it.

    A last line that was torn by the end of a process is dropped; any other that cannot be read is a DataError.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / TRIALS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
        except OSError as error:
            raise UsageError(f"--out {folder}: {error.strerror}; name a folder that can be written") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UsageError(f"--out {folder}: another sweep is writing there; wait for it or name another") from None
        try:
            self.known = {trial.key: trial for trial in self._read()}
        except DataError:
            self._file.close()
            raise

    def _read(self) -> list[Trial]:
        self._file.seek(0)
        body = self._file.read()
        whole = body.rfind(b"\n") + 1
        if whole < len(body):
            self._file.truncate(whole)
        lines = body[:whole].splitlines()
        return [self._trial(line, number) for number, line in enumerate(lines, 1)]

    def _trial(self, line: bytes, number: int) -> Trial:
        try:
            return msgspec.json.decode(line, type=Trial)
        except msgspec.DecodeError as error:
            raise DataError(
                f"{self.path}:{number}: not a trial ({error}); take the line out, or the file away"
            ) from None

    def add(self, *trials: Trial) -> None:
        """Keep trials; they are on disk when this returns."""
        self._file.write(b"".join(canonical.encode(msgspec.to_builtins(trial)) + b"\n" for trial in trials))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.known.update((trial.key, trial) for trial in trials)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._file.close()
