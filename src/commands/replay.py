"""`mycelial replay` and `parity`: a recorded run walked again, and the first decision that differs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ..backtesting.code_hash import code_sha256
from ..backtesting.differences import Compared, Difference, Record, Told, compare
from ..backtesting.runs import find_run
from ..connectors.commits import unpacked
from ..connectors.config_files import config_sha256
from ..connectors.recorded_run import RecordedRun, read_run
from ..core.clock import iso
from ..core.errors import CheckFailed, MycelialError, UsageError
from ..core.inputs import Data
from ..core.timeframes import timeframe_name
from . import again, common
from .again import Job, Outside
from .given import leaves_of
from .stories import LEDGER

EXCHANGE = "kraken"
"""The feed that nobody can ask twice."""
_BESIDES = ("src/commands/again.py", "src/connectors/unkept_ledger.py", "src/core/inputs.py")
"""Files that walk a run again, for commits that have none of their own."""


class ReplayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Arguments of `replay`; `parity` has the first four."""

    run: str | None = None
    state: Path | None = None
    data: Path | None = None
    json: bool = False
    sha: str | None = None
    config: Path | None = None
    env: str | None = None
    sets: tuple[str, ...] = ()


def replay(options: ReplayOptions) -> None:
    """Print the first decision that differs; CheckFailed (exit 6) when there is one."""
    found = _compared(options)
    _print(found, options.json)
    if found["difference"] is not None:
        raise CheckFailed(_sentence(found))


def parity(options: ReplayOptions) -> None:
    """The same for a paper session, also while it runs; another input is a difference even if nothing came of it."""
    found = _compared(options)
    _print(found, options.json)
    if found["difference"] is not None or found["input"] is not None:
        raise CheckFailed(_sentence(found))


def _compared(options: ReplayOptions) -> dict[str, Any]:
    run = read_run(_ledger(options), common.settings(None, None, ()).settings.ledger)
    job = _job(run, options)
    with _walked(job, options.sha) as (against, told):
        record = Record(run.given.pairs, run.lines, run.bars, run.said, run.quoted)
        found = compare(record, told)
    return _result(run, against, found)


def _ledger(options: ReplayOptions) -> Path:
    if options.run is not None and options.state is not None:
        raise UsageError("RUN and --state: name one of them")
    if options.run is not None:
        return find_run(common.RUNS, options.run) / LEDGER
    return (options.state or common.DEFAULT_STATE) / LEDGER


def _job(run: RecordedRun, options: ReplayOptions) -> Job:
    given = run.given
    if given.mode == "live":
        raise UsageError(f"{run.path}: real fills cannot be walked again; `history`, `why` and `verify` read them")
    data, folder = _days(run, options)
    return Job(
        feed=given.feed,
        seed=given.seed,
        settings=given.settings,
        commands=run.commands,
        foreign=[Outside(at, f.channel, f.producer, f.message, f.epoch, f.seq) for at, f in run.foreign],  # type: ignore[arg-type]
        down=sorted(run.down),
        withheld=run.withheld,
        mode=given.mode,
        until=run.until,
        data=data,
        folder=folder,
        config=None if options.config is None else str(options.config.resolve()),
        env=options.env,
        sets=list(options.sets),
    )


def _days(run: RecordedRun, options: ReplayOptions) -> tuple[Data | None, str | None]:
    """What was walked and where it is; the days of an exchange stand in the ledger itself."""
    given = run.given
    if given.feed != EXCHANGE:
        return given.data, _folder(run, options)
    if options.data is not None:
        raise UsageError(f"--data: {run.path} holds the days of its exchange itself")
    pairs, timeframe = ",".join(given.pairs), timeframe_name(given.interval_ms)
    return Data(run.path.name, timeframe=timeframe, pairs=pairs), str(run.path)


def _folder(run: RecordedRun, options: ReplayOptions) -> str | None:
    """Where the recorded days lie now; a ledger names their folder, not its place."""
    data = run.given.data
    if data is None:
        if options.data is not None:
            raise UsageError(f"--data: {run.path} is of the simulated market, which needs none")
        return None
    if options.data is None and not os.environ.get("MYCELIAL_DATA"):
        raise UsageError(f"{run.path}: walked the data folder {data.folder!r}; say with --data where it is")
    return str(common.data_folder(options.data).resolve())


@contextmanager
def _walked(job: Job, sha: str | None) -> Iterator[tuple[dict[str, Any], Iterable[Told]]]:
    """Against what it is walked, and what comes of each slice."""
    if sha is None:
        settings = again.settings_of(job)
        against = {"commit": None, "code_sha256": code_sha256(), "config_sha256": config_sha256(settings)}
        told = (msgspec.convert(one, Told) for one in again.walk(job))
        yield against | {"settings": _differing(job, leaves_of(settings))}, told
        return
    with unpacked(sha, _BESIDES) as (name, folder), tempfile.TemporaryDirectory(prefix="mycelial-replay-") as place:
        out = Path(place) / "told.jsonl"
        _walk_there(job, name, folder, Path(place) / "job.json", out)
        against = {"commit": name, "code_sha256": code_sha256(folder / "src"), "config_sha256": None}
        with out.open("rb") as file:
            yield against | {"settings": None}, (msgspec.json.decode(line, type=Told) for line in file)


def _walk_there(job: Job, name: str, folder: Path, given: Path, out: Path) -> None:
    """By the same interpreter, in a process of its own: two versions of one module cannot live in one."""
    given.write_bytes(msgspec.json.encode(job))
    common.say(f"walking it through commit {name[:12]}")
    done = subprocess.run(
        [sys.executable, "-m", "src.commands.again", str(given), str(out)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise MycelialError(f"commit {name[:12]} cannot walk this run: {said[-1]}")
    for line in done.stderr.splitlines():
        common.say(line)


def _differing(job: Job, now: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that are others than then, each with both values; of another commit nobody asks."""
    before = job.settings
    names = sorted(before.keys() | now.keys())
    return {name: [before.get(name), now.get(name)] for name in names if before.get(name) != now.get(name)}


def _result(run: RecordedRun, against: Mapping[str, Any], found: Compared) -> dict[str, Any]:
    return {
        "ledger": str(run.path),
        "recorded": {
            "feed": run.given.feed,
            "seed": run.given.seed,
            "code_sha256": run.given.code_sha256,
            "config_sha256": run.given.config_sha256,
            "conditions": run.conditions,
            "until": iso(run.until),
        },
        "replayed": dict(against),
        "slices": found.slices,
        "decisions": found.decisions,
        "equal": found.difference is None,
        "input": None if found.input is None else msgspec.to_builtins(found.input),
        "difference": None if found.difference is None else msgspec.to_builtins(found.difference),
    }


def _sentence(found: Mapping[str, Any]) -> str:
    one = found["difference"]
    if one is None:
        return f"the replay saw something else and decided the same: {found['input']['says']}"
    pair = "" if one["pair"] is None else f" {one['pair']}"
    return f"first difference at {one['at']}: {one['agent']}, {one['kind']}{pair}; {one['says']}"


def _print(found: dict[str, Any], json: bool) -> None:
    if json:
        common.out_json(found)
        return
    told, settings = found["recorded"], found["replayed"]["settings"] or {}
    if settings:
        common.say("other settings: " + ", ".join(f"{name} {was} -> {now}" for name, (was, now) in settings.items()))
    if told["conditions"] > 1:
        common.say(f"the run was made under {told['conditions']} different conditions; the newest are walked")
    if told["code_sha256"] != found["replayed"]["code_sha256"]:
        common.say("the code is another than that of the run")
    if found["equal"]:
        decisions = f"{found['decisions']:,} decisions in {found['slices']:,} slices up to {told['until']}"
        common.out(f"equal: {decisions}")
        return
    one = msgspec.convert(found["difference"], Difference)
    common.out(f"{one.at}  {one.agent}  {one.kind}  {one.pair or '-'}: {one.says}")
    common.out(f"  recorded {_line(one.recorded)}")
    common.out(f"  replayed {_line(one.replayed)}")


def _line(line: dict[str, Any] | None) -> str:
    return "nothing" if line is None else msgspec.json.encode(line).decode()
