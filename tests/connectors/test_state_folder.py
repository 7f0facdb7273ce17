"""One folder, one process, one mode; clients find the socket, or are told what to do."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.connectors.control import ControlServer, ask
from src.connectors.state_folder import MAX_SOCKET_BYTES, Holder, StateFolder, find, holder, stamped_mode
from src.core.errors import NotRunning, UsageError

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys
from pathlib import Path
from src.connectors.state_folder import StateFolder
StateFolder.open(Path(sys.argv[1]), "paper")
print("open", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def other_process(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another interpreter, until the block ends; it has said its first line when the block starts."""
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()


def long_folder(tmp_path: Path) -> Path:
    return tmp_path / ("n" * 120)


def test_makes_the_folder_with_its_parents_and_names_the_files(tmp_path: Path) -> None:
    with StateFolder.open(tmp_path / "a" / "b", "paper") as folder:
        assert folder.path == tmp_path / "a" / "b"
        assert folder.path.is_dir()
        assert folder.ledger_path == folder.path / "ledger.sqlite"
        assert folder.socket_path == folder.path / "control.sock"
        names = [folder.result_path, folder.decisions_path, folder.orders_path, folder.trades_path, folder.equity_path]
        assert [path.name for path in names] == [
            "result.json",
            "decisions.jsonl",
            "orders.jsonl",
            "trades.csv",
            "equity.csv",
        ]
        somebody = holder(folder.path)
        assert somebody is not None
        assert somebody.pid == os.getpid()
        assert somebody.alive
        assert stat.S_IMODE((folder.path / "lock").stat().st_mode) == 0o600


def test_a_relative_folder_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with StateFolder.open(Path("state"), "paper") as folder:
        monkeypatch.chdir("/")
        assert folder.ledger_path == tmp_path / "state" / "ledger.sqlite"


def test_a_second_process_is_refused_with_folder_pid_and_remedy(tmp_path: Path) -> None:
    with other_process(HOLDER, str(tmp_path)) as process:
        with pytest.raises(UsageError) as refused:
            StateFolder.open(tmp_path, "paper")
        assert str(refused.value) == (
            f"{tmp_path}: in use by process {process.pid}; stop it with `mycelial stop --state {tmp_path}`, "
            "or use another --state"
        )
        assert holder(tmp_path) == Holder(process.pid, holder(tmp_path).started)  # type: ignore[union-attr]


def test_a_second_opening_in_this_process_is_refused(tmp_path: Path) -> None:
    with StateFolder.open(tmp_path, "paper"), pytest.raises(UsageError, match=f"in use by process {os.getpid()};"):
        StateFolder.open(tmp_path, "paper")


def test_a_killed_process_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    with other_process(HOLDER, str(tmp_path)) as process:
        with socket.socket(socket.AF_UNIX) as crashed:
            crashed.bind(str(tmp_path / "control.sock"))
        process.kill()
        process.wait()
        left = holder(tmp_path)
        assert left is not None
        assert not left.alive
        with StateFolder.open(tmp_path, "paper") as folder:
            assert not folder.socket_path.exists()
            assert holder(tmp_path).pid == os.getpid()  # type: ignore[union-attr]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not tell when a process started")
def test_a_later_process_of_the_same_number_is_not_the_holder(tmp_path: Path) -> None:
    with StateFolder.open(tmp_path, "paper"):
        (tmp_path / "lock").write_text(f'{{"pid":{os.getpid()},"started":"1"}}')
        assert not holder(tmp_path).alive  # type: ignore[union-attr]
        with pytest.raises(UsageError, match=f"that process {os.getpid()}, which is gone, left behind; end it"):
            StateFolder.open(tmp_path, "paper")


def test_a_lock_that_is_not_filled_in_yet_is_a_lock(tmp_path: Path) -> None:
    with StateFolder.open(tmp_path, "paper"):
        (tmp_path / "lock").write_text("")
        with pytest.raises(UsageError, match="in use by a process that is just starting"):
            StateFolder.open(tmp_path, "paper")


def test_closing_gives_the_folder_free_and_removes_the_socket(tmp_path: Path) -> None:
    folder = StateFolder.open(tmp_path, "paper")
    server = ControlServer(folder.socket_path, {})
    assert find(tmp_path) == folder.socket_path
    server.close()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder.socket_path))
    folder.close()
    folder.close()
    assert not folder.socket_path.exists()
    assert holder(tmp_path) is None
    StateFolder.open(tmp_path, "paper").close()


def test_another_mode_is_refused_and_the_folder_stays_free(tmp_path: Path) -> None:
    StateFolder.open(tmp_path, "paper").close()
    with pytest.raises(UsageError, match=f"{tmp_path}: this folder holds paper, and live needs one of its own"):
        StateFolder.open(tmp_path, "live")
    assert stamped_mode(tmp_path) == "paper"
    StateFolder.open(tmp_path, "paper").close()


def test_a_mode_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mode").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="holds an unreadable mode"):
        StateFolder.open(tmp_path, "paper")
    with pytest.raises(UsageError, match="a mode is one word"):
        StateFolder.open(tmp_path / "new", "pa per")


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match=f"{tmp_path / 'file'}.*; a file stands where"):
            StateFolder.open(path, "paper")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(UsageError, match=re.escape(str(tmp_path / "lock"))):
        StateFolder.open(tmp_path, "paper")
    assert (tmp_path / "victim").read_text() == "mine"


def test_what_cannot_be_a_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a path"):
        StateFolder.open(tmp_path / "nul\0", "paper")
    with pytest.raises(UsageError, match="File name too long; choose another --state"):
        StateFolder.open(tmp_path / ("n" * 300), "paper")


WITHOUT_RIGHTS = """
import os, sys
from pathlib import Path
from src.connectors.state_folder import StateFolder
from src.core.errors import UsageError
if os.geteuid() == 0:
    os.setuid(65534)
for name in sys.argv[1:]:
    try:
        StateFolder.open(Path(name), "paper")
    except UsageError as error:
        print(error)
"""


def test_a_folder_without_the_right_to_write() -> None:
    top = Path(tempfile.mkdtemp())
    try:
        closed = top / "closed"
        closed.mkdir()
        top.chmod(0o755)
        closed.chmod(0o555)
        said = subprocess.run(
            [sys.executable, "-c", WITHOUT_RIGHTS, str(closed), str(closed / "below")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
    finally:
        closed.chmod(0o755)
        shutil.rmtree(top)
    remedy = "Permission denied; check the permissions of the folder and of those above it, or choose another --state"
    assert said == [f"{closed / 'lock'}: {remedy}", f"{closed / 'below'}: {remedy}"]


READ_ONLY = """
import os, subprocess, sys
from pathlib import Path
from src.connectors.state_folder import StateFolder
from src.core.errors import UsageError
try:
    os.unshare(os.CLONE_NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", sys.argv[1]], check=True)
except (OSError, subprocess.CalledProcessError) as error:
    sys.exit(f"no mount: {error}")
try:
    StateFolder.open(Path(sys.argv[1]) / "below", "paper")
except UsageError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a read-only file system in a name space of its own")
def test_a_read_only_file_system(tmp_path: Path) -> None:
    tried = subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "no mount: " in tried.stderr:
        pytest.skip(f"a read-only file system cannot be mounted here: {tried.stderr.strip()}")
    assert tried.stdout == (
        f"{tmp_path / 'below'}: Read-only file system; the file system is read-only; choose another --state\n"
    )


def test_a_long_path_has_its_socket_elsewhere_and_is_found(tmp_path: Path) -> None:
    path = long_folder(tmp_path)
    with StateFolder.open(path, "paper") as folder:
        assert len(os.fsencode(folder.socket_path)) <= MAX_SOCKET_BYTES
        assert folder.socket_path.parent == Path(tempfile.gettempdir()) / f"mycelial-{os.geteuid()}"
        assert stat.S_IMODE(folder.socket_path.parent.stat().st_mode) == 0o700
        assert (path / "control.path").read_text() == str(folder.socket_path)
        server = ControlServer(folder.socket_path, {"status": lambda fields: {"pid": os.getpid()}})
        assert ask(find(path), "status", 5.0) == {"ok": True, "pid": os.getpid()}
        server.close()
    assert not (path / "control.path").exists()


def test_the_copy_of_a_running_folder_does_not_lead_to_the_original(tmp_path: Path) -> None:
    path, copied = long_folder(tmp_path), tmp_path / ("c" * 120)
    with StateFolder.open(path, "paper") as folder:
        server = ControlServer(folder.socket_path, {})
        shutil.copytree(path, copied)
        assert find(path) == folder.socket_path
        with pytest.raises(NotRunning):
            find(copied)
        with StateFolder.open(copied, "paper") as other:
            assert other.socket_path != folder.socket_path
        assert find(path) == folder.socket_path
        server.close()


def test_a_shared_folder_for_sockets_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path(tempfile.mkdtemp())
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    try:
        shared = short / f"mycelial-{os.geteuid()}"
        shared.mkdir()
        shared.chmod(0o777)
        with pytest.raises(UsageError, match="not a folder of yours alone"):
            StateFolder.open(long_folder(tmp_path), "paper")
        shared.chmod(0o700)
        StateFolder.open(long_folder(tmp_path), "paper").close()
    finally:
        shutil.rmtree(short)


def test_no_place_is_short_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("t" * 100)))
    with pytest.raises(UsageError, match=r"too long for a control socket.*choose a shorter --state"):
        StateFolder.open(long_folder(tmp_path), "paper")


def test_nobody_is_found_where_nobody_runs(tmp_path: Path) -> None:
    start = f"no process runs here; start one with `mycelial run --state {tmp_path}`"
    with pytest.raises(NotRunning, match=start):
        find(tmp_path)
    with pytest.raises(NotRunning, match="no process runs here"):
        find(tmp_path / "absent")
    StateFolder.open(tmp_path, "paper").close()
    with pytest.raises(NotRunning, match=start):
        find(tmp_path)
    with (
        StateFolder.open(tmp_path, "paper"),
        pytest.raises(NotRunning, match=f"process {os.getpid()} is starting or stopping"),
    ):
        find(tmp_path)


def test_a_socket_that_a_crash_left_is_found_and_does_not_answer(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(tmp_path / "control.sock"))
    with pytest.raises(NotRunning, match="no process answers here; start one with `mycelial run`"):
        ask(find(tmp_path), "status", 5.0)
