"""What several commands share: settings, data folder, state folder, and how results are printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ..connectors.config_files import Loaded, load
from ..core.clock import iso
from ..core.config import Settings
from ..core.errors import MycelialError, UsageError

DEFAULT_STATE = Path("state") / "paper"
RUNS = Path("runs")
"""Where backtests leave their folders, unless told otherwise, and where reports look for them."""


def settings(config: Path | None, env: str | None, sets: Sequence[str]) -> Loaded:
    """The settings in force."""
    return load(config, env, os.environ, sets)


def data_folder(given: Path | None) -> Path:
    """The data folder: --data, else MYCELIAL_DATA; UsageError when neither is given."""
    named = given or (Path(os.environ["MYCELIAL_DATA"]) if os.environ.get("MYCELIAL_DATA") else None)
    if named is None:
        raise UsageError("no data folder: give --data DIR or set MYCELIAL_DATA")
    return named


def split(pairs: str | None) -> list[str] | None:
    """`BTC/USDT,ETH/USDT` as a list; None stays None. UsageError for a name that is empty or cannot be shown."""
    if pairs is None:
        return None
    names = [name.strip().upper() for name in pairs.split(",")]
    if not all(names):
        raise UsageError(f"--pairs {pairs!r}: an empty name; write BTC/USDT,ETH/USDT")
    if not all(map(str.isprintable, names)):
        raise UsageError(f"--pairs {pairs!r}: a name that cannot be shown; write BTC/USDT,ETH/USDT")
    return names


def out(text: str) -> None:
    """A line on stdout: results. MycelialError when it cannot be written there, except that a reader left."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MycelialError(f"the result cannot be written to stdout: {error.strerror}") from error


def say_experiment(settings: Settings) -> None:
    """Nobody shall mistake a run with poisoned learners for one without."""
    ratio = settings.haven.toxic_ratio
    if ratio > 0.0:
        say(f"EXPERIMENT: {ratio:.0%} of the learners are poisoned on purpose (haven.toxic_ratio)")


def say(text: str) -> None:
    """A line on stderr: everything that is not a result. A run does not end because nobody can read its log."""
    with suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def answer(told: Any, path: Path, json: bool, show: Callable[[Any], None]) -> None:
    """Keep what a command found in a file, and give it as JSON or as tables."""
    path.write_bytes(msgspec.json.encode(told) + b"\n")
    if json:
        out_json(told)
    else:
        show(told)
        say(f"written to {path}")


def dated(struct: msgspec.Struct, *times: str) -> dict[str, Any]:
    """The fields of `struct`, those named `times` (UTC ms or None) as ISO-8601: what --json promises of times."""
    fields: dict[str, Any] = msgspec.to_builtins(struct)
    return fields | {name: None if fields[name] is None else iso(fields[name]) for name in times}


def out_json(value: Any) -> None:
    """One JSON object on stdout."""
    out(msgspec.json.encode(value).decode())
