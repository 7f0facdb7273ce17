"""Every line of the doctor's report, on a sound machine and on one that lacks something."""

from __future__ import annotations

import io
import os
import socket
import sqlite3
import sys
from importlib import metadata
from pathlib import Path

import pytest

from src.connectors import doctor
from src.connectors.control import ControlServer
from src.connectors.doctor import Check, check
from src.connectors.ledger_file import open_engine
from src.connectors.ledger_schema import SCHEMA
from src.connectors.state_folder import StateFolder
from src.core.clock import SimClock, Timer, WallClock, from_iso
from tests.worlds import settings

NAMES = [
    *("python", "packages", "ta-lib", "numba cache", "bus server", "bus port"),
    *("state folder", "ledger", "data folder", "disk", "clock", "terminal"),
]
PATIENCE = 20.0


class Screen(io.StringIO):
    """A screen of some encoding, a terminal or not."""

    def __init__(self, encoding: str, terminal: bool) -> None:
        super().__init__()
        self._encoding, self._terminal = encoding, terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._terminal


class Backwards:
    """A monotonic clock that is none."""

    def __init__(self) -> None:
        self._left = [1.0, 2.0]

    def seconds(self) -> float:
        return self._left.pop()


@pytest.fixture(autouse=True)
def _no_named_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MYCELIAL_DATA", raising=False)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)


def make_ledger(state: Path, mode: str = "paper") -> Path:
    state.mkdir(exist_ok=True)
    path = state / "ledger.sqlite"
    open_engine(path, settings().ledger, mode, "id").dispose()
    return path


def test_a_sound_machine(tmp_path: Path) -> None:
    quick = Timer()
    began = quick.seconds()
    found = check(settings(bus__port=0), tmp_path / "state", screen=Screen("utf-8", False))
    assert quick.seconds() - began < PATIENCE
    assert [line.name for line in found] == NAMES
    assert [line for line in found if line.status != "ok"] == []
    assert all(line.detail and not line.remedy for line in found)
    assert not (tmp_path / "state").exists()


def test_whatever_is_not_ok_has_a_remedy_and_the_rest_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "lock.txt").write_bytes(b"\xff")
    monkeypatch.setenv("MYCELIAL_DATA", str(tmp_path / "absent"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = check(
            settings(bus__port=port, run__min_free_disk_mb=10**12),
            tmp_path / "file",
            lock=tmp_path / "lock.txt",
            screen=Screen("ascii", True),
        )
    status = {line.name: line.status for line in found}
    assert status == dict.fromkeys(NAMES, "fail") | {
        **dict.fromkeys(("python", "ta-lib", "bus server", "ledger", "clock"), "ok"),
        **dict.fromkeys(("numba cache", "bus port", "terminal"), "warn"),
    }
    assert all(bool(line.remedy) == (line.status != "ok") for line in found)
    unforeseen = found[NAMES.index("packages")]
    assert unforeseen.detail.startswith("UnicodeDecodeError: ")
    assert unforeseen.remedy == "this could not be looked at; mend its cause"


def test_an_old_interpreter() -> None:
    assert doctor.check_python((3, 11, 9)).status == "fail"
    assert doctor.check_python((3, 12, 0)) == Check("python", "ok", "3.12.0")


def test_packages_against_a_lock(tmp_path: Path) -> None:
    here = metadata.version("msgspec")
    lock = tmp_path / "lock.txt"
    lock.write_text(
        f"# made by a tool\nmsgspec=={here} \\\n    --hash=sha256:00\nredis[hiredis]=={metadata.version('redis')}\n"
        "only-elsewhere==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
    )
    assert doctor.check_packages(lock) == Check("packages", "ok", "2 packages as pinned")
    lock.write_text("msgspec==0.0.1\nnot-there-at-all==1.0 \\\n")
    wrong = doctor.check_packages(lock)
    assert wrong.status == "fail"
    assert wrong.detail == f"msgspec {here} instead of 0.0.1; not-there-at-all is missing"
    assert wrong.remedy == "install what is pinned: `python3 scripts/start.py doctor`"
    assert doctor.check_packages(tmp_path / "absent").detail == f"{len(doctor.PACKAGES)} packages present"


@pytest.mark.parametrize(
    ("program", "detail"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "cannot be used: it ended with -11"),
        ("import not_there_at_all", "cannot be used: ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("print('0.8.1 99.0 50.0')", "a wrong RSI: 99.0 50.0 instead of 100.0 50.0"),
    ],
)
def test_a_library_that_crashes_or_lies(program: str, detail: str) -> None:
    found = doctor.check_talib(doctor.start_talib(program), PATIENCE)
    assert (found.status, found.detail) == ("fail", detail)


def test_a_library_that_hangs() -> None:
    process = doctor.start_talib("import threading; threading.Event().wait()")
    found = doctor.check_talib(process, 0.05)
    assert (found.status, found.detail) == ("fail", "no answer within 0.05 s")
    assert process.returncode is not None


def test_the_cache_of_compiled_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_numba_cache(tmp_path) == Check("numba cache", "ok", str(tmp_path))
    assert doctor.check_numba_cache(Path("/proc/self")).status == "warn"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "will" / "be" / "made"))
    assert doctor.check_numba_cache(Path("/proc/self")).status == "ok"


def test_a_taken_port_is_fine_when_the_run_of_this_folder_has_it(tmp_path: Path) -> None:
    with socket.socket() as taken, StateFolder.open(tmp_path, "paper") as folder:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stranger = doctor.check_bus_port(port, tmp_path)
        assert stranger.status == "warn"
        assert f"--bus redis://127.0.0.1:{port}" in stranger.remedy
        server = ControlServer(folder.socket_path, {})
        assert doctor.check_bus_port(port, tmp_path).status == "ok"
        server.close()


def test_a_server_that_does_not_come_up() -> None:
    assert doctor.check_bus_server(PATIENCE) == Check("bus server", "ok", "starts and stops")
    late = doctor.check_bus_server(1e-9)
    assert late.status == "fail"
    assert "--bus local" in late.remedy


def test_the_state_folder(tmp_path: Path) -> None:
    assert doctor.check_state(tmp_path / "a" / "b").detail == f"{tmp_path / 'a' / 'b'}: will be made"
    assert not (tmp_path / "a").exists()
    assert doctor.check_state(tmp_path).detail == f"{tmp_path}: no mode yet, free"
    with StateFolder.open(tmp_path, "paper"):
        assert doctor.check_state(tmp_path).detail == f"{tmp_path}: paper, in use by process {os.getpid()}"
    assert doctor.check_state(tmp_path).detail == f"{tmp_path}: paper, free"
    (tmp_path / "file").write_text("")
    assert doctor.check_state(tmp_path / "file" / "x").detail == f"{tmp_path / 'file'}: not a folder"
    if Path("/proc/self").exists():
        assert doctor.check_state(Path("/proc/self")).detail == "/proc/self: may not be written"


def test_the_ledger(tmp_path: Path) -> None:
    assert doctor.check_ledger(tmp_path) == Check("ledger", "ok", f"{tmp_path / 'ledger.sqlite'}: none yet")
    path = make_ledger(tmp_path)
    before = path.read_bytes()
    assert doctor.check_ledger(tmp_path) == Check("ledger", "ok", f"{path}: paper, schema {SCHEMA}")
    (tmp_path / "mode").write_text("live")
    assert doctor.check_ledger(tmp_path).detail == f"{path}: a paper ledger in a live folder"
    (tmp_path / "mode").write_text("paper")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("schema", "status", "remedy"),
    [(SCHEMA + 1, "fail", "upgrade Mycelial Finance"), (SCHEMA - 1, "warn", "`mycelial migrate`")],
)
def test_a_ledger_of_another_schema(tmp_path: Path, schema: int, status: str, remedy: str) -> None:
    connection = sqlite3.connect(make_ledger(tmp_path))
    connection.execute("UPDATE alembic_version SET version_num = ?", (str(schema),))
    connection.commit()
    connection.close()
    found = doctor.check_ledger(tmp_path)
    assert found.status == status
    assert remedy in found.remedy


def test_what_is_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 40)
    assert doctor.check_ledger(tmp_path).detail == f"{path}: file is not a database"
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE meta (name TEXT, value TEXT)")
    connection.commit()
    assert doctor.check_ledger(tmp_path).detail == f"{path}: no such table: alembic_version"
    connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    connection.execute("INSERT INTO alembic_version VALUES ('1')")
    connection.execute("INSERT INTO meta VALUES ('header', '{')")
    connection.commit()
    connection.close()
    found = doctor.check_ledger(tmp_path)
    assert (found.status, found.remedy) == ("fail", "restore a backup, or choose another --state")
    assert found.detail.startswith(f"{path}: its header is damaged")


def test_the_data_folder(tmp_path: Path) -> None:
    assert doctor.check_data(None).detail == "none named: runs use the simulated market"
    assert doctor.check_data(tmp_path).detail == f"{tmp_path / 'ohlcv'}: not there"
    folder = tmp_path / "ohlcv" / "binance" / "1h"
    folder.mkdir(parents=True)
    assert doctor.check_data(tmp_path).status == "warn"
    (folder / "BTC-USDT.parquet").write_bytes(b"PAR1")
    assert doctor.check_data(tmp_path) == Check("data folder", "ok", f"{tmp_path}: readable")
    (folder / "BTC-USDT.parquet").write_bytes(b"<htm")
    assert doctor.check_data(tmp_path).detail == f"{folder / 'BTC-USDT.parquet'}: not a parquet file"


def test_the_disk(tmp_path: Path) -> None:
    assert doctor.check_disk(tmp_path / "absent", 1).status == "ok"
    assert doctor.check_disk(tmp_path, 10**12).detail.endswith(f" MB free, {10**12} MB wanted")


@pytest.mark.parametrize(
    ("now", "status"),
    [
        ("2023-12-31T23:59:59.999Z", "fail"),
        ("2024-01-01T00:00:00.000Z", "ok"),
        ("2100-12-31T23:59:59.999Z", "ok"),
        ("2101-01-01T00:00:00.000Z", "fail"),
        ("1970-01-01T00:00:00.000Z", "fail"),
    ],
)
def test_the_clock(now: str, status: str) -> None:
    assert doctor.check_clock(SimClock(from_iso(now)), Timer()).status == status


def test_monotonic_time_that_is_not() -> None:
    assert doctor.check_clock(WallClock(), Backwards()).detail == "monotonic time ran backwards"


def test_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "79")
    assert doctor.check_terminal(Screen("utf-8", True)).detail == "79 columns"
    assert doctor.check_terminal(Screen("utf-8", False)).status == "ok"
    assert doctor.check_terminal(Screen("ISO-8859-1", True)).detail == "encoding iso-8859-1"
    monkeypatch.setenv("COLUMNS", "80")
    assert doctor.check_terminal(Screen("UTF-8", True)) == Check("terminal", "ok", "80 columns, utf-8")
    assert doctor.check_terminal(io.StringIO()).detail == "encoding none"
    assert doctor.check_terminal(sys.__stdout__ or io.StringIO()).name == "terminal"
