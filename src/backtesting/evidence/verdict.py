"""The verdict of the promotion gate as a file bound to code, configuration, data and limits, and whether it holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ...core import canonical
from ...core.errors import DataError, NotFound, UsageError
from ..recorder import EQUITY, ORDERS, RESULT, TRADES
from ..sheet.judged import AGAIN, GATE, changed, edited, file_sha256, sealed
from .examination import Rules
from .gate import Criterion
from .record import Record

VERSION = 1
_FILES = (RESULT, EQUITY, TRADES, ORDERS)
_BOUND = {"code_sha256": "code", "config_sha256": "configuration", "data_sha256": "data"}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate says of a run. `files`: sha256 of the run's files by name, as they were judged."""

    passed: bool
    run_id: str
    seed: int
    simulated: bool
    trials: int
    code_sha256: str
    config_sha256: str
    data_sha256: str
    rules_sha256: str
    files: dict[str, str]
    criteria: tuple[Criterion, ...]
    version: int = VERSION


class Passed(msgspec.Struct, frozen=True):
    """The run may be promoted: the file that says so, and what it says."""

    path: Path
    verdict: Verdict


class Refused(msgspec.Struct, frozen=True):
    """It may not, in one sentence."""

    reason: str


class Bound(msgspec.Struct, frozen=True):
    """To what a verdict must belong: sha256 of code and configuration, of the data where they are known; the rules."""

    code: str
    config: str
    rules: Rules
    data: str | None = None


def made(record: Record, criteria: Sequence[Criterion], rules: Rules, trials: int) -> Verdict:
    """The verdict of a run."""
    result = record.run.result
    return Verdict(
        passed=all(one.met for one in criteria),
        run_id=result["run_id"],
        seed=result["seed"],
        simulated=result["simulated"],
        trials=trials,
        code_sha256=record.conditions["code_sha256"],
        config_sha256=result["config_sha256"],
        data_sha256=result["data_sha256"],
        rules_sha256=rules_sha256(rules),
        files={name: file_sha256(record.folder / name) for name in _FILES},
        criteria=tuple(criteria),
    )


def rules_sha256(rules: Rules) -> str:
    """Sha256 of the limits and of how runs are examined."""
    return canonical.digest({name: getattr(rules, name).model_dump() for name in Rules.__struct_fields__})


def write(folder: Path, verdict: Verdict) -> Path:
    """Put it into the run's folder; UsageError when it cannot be written there."""
    path, plain = folder / GATE, msgspec.to_builtins(verdict)
    try:
        path.write_bytes(sealed(plain))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; the verdict was not written") from error
    return path


def read(path: Path) -> Verdict:
    """A verdict as it was written; NotFound where there is none, DataError where it was edited or is no verdict."""
    try:
        plain: dict[str, Any] = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        raise NotFound(f"{path.parent} holds no {GATE}: the gate has not judged it; {AGAIN}") from None
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"{path}: no verdict ({error}); {AGAIN}") from error
    if reason := edited(plain):
        raise DataError(f"{path}: {reason}")
    if plain.get("version") != VERSION:
        raise DataError(f"{path}: a verdict of version {plain.get('version')}, this is {VERSION}; {AGAIN}")
    try:
        return msgspec.convert(plain, Verdict)
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: no verdict ({error}); {AGAIN}") from error


def verdict_for(folder: Path, bound: Bound) -> Passed | Refused:
    """Whether the verdict in `folder` lets a run of this code, configuration, data and these limits be promoted.

    The folder must hold the files that were judged, as they were judged. A verdict about made-up prices promotes
    nothing.
    """
    path = folder / GATE
    try:
        verdict = read(path)
    except (NotFound, DataError) as error:
        return Refused(str(error))
    reason = _other(verdict, bound) or changed(folder, verdict.files) or _failed(verdict)
    return Passed(path, verdict) if reason is None else Refused(f"{path}: {reason}")


def _other(verdict: Verdict, bound: Bound) -> str | None:
    for field, wanted in (("code_sha256", bound.code), ("config_sha256", bound.config), ("data_sha256", bound.data)):
        given = getattr(verdict, field)
        if wanted is not None and given != wanted:
            what = f"is about another {_BOUND[field]} ({field} {given[:12]}, not {wanted[:12]})"
            return f"{what}; make a backtest of this one and judge it"
    if verdict.rules_sha256 != rules_sha256(bound.rules):
        return f"was judged by other limits than those in force; {AGAIN}"
    return None


def _failed(verdict: Verdict) -> str | None:
    missed = [one.name for one in verdict.criteria if not one.met]
    if missed or not verdict.passed:
        return f"the run did not pass ({', '.join(missed)})"
    return "is about made-up prices: only recorded days can promote a run" if verdict.simulated else None


def find_verdict(folders: Sequence[Path], bound: Bound) -> Passed | Refused:
    """The first of the folders whose verdict lets the run be promoted; else why the first did not."""
    answers = [verdict_for(folder, bound) for folder in folders]
    passed = next((one for one in answers if isinstance(one, Passed)), None)
    nothing = Refused("no run has been judged; make one with `mycelial backtest`, then `mycelial gate RUN`")
    return passed or next(iter(answers), nothing)


def judged_folders(runs_dir: Path) -> list[Path]:
    """Folders of runs with a verdict, the newest verdict first."""
    paths = [(path.stat().st_mtime_ns, path.parent.name, path.parent) for path in runs_dir.glob(f"*/{GATE}")]
    return [folder for _, _, folder in sorted(paths, reverse=True)]
