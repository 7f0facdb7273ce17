"""Make `.venv` from a hash lock and start something in it, so that one command is all a new user types.

Standard library only and in the syntax of Python 3.9: whichever Python is there runs this file, and it looks for one
that the project can use.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 12)
NAMES = ("python3.13", "python3.12", "python3.14")
PROBE_SECONDS = 20
USAGE = 4  # exit code: the machine lacks something the user must install
PROBE = (
    "import sys, sysconfig; print('%d.%d.%d' % sys.version_info[:3], sys.implementation.name, "
    "bool(sysconfig.get_config_var('Py_GIL_DISABLED')), sep='|'); print(sys.executable)"
)
NO_PYTHON = (
    "Python 3.12 or newer was not found: install it (for example `apt install python3.12 python3.12-venv`, "
    "`brew install python@3.13` or uv) and start again."
)
NO_INSTALLER = (
    "Neither uv nor a pip of 23.2 or newer was found for {python}: install one "
    "(for example `apt install python3-venv python3-pip`, or uv) and start again."
)

_REGISTRIES = (
    ("index-url", "UV_DEFAULT_INDEX", " "),
    ("extra-index-url", "UV_INDEX", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("cert", "SSL_CERT_FILE", " "),
)
"""Where packages come from: pip's setting, uv's variable, and what stands between several values of it."""


class SetupError(Exception):
    """Set-up cannot go on; the message is for the user, `code` for the shell."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Interpreter(NamedTuple):
    """A Python that really starts."""

    path: str
    version: Tuple[int, ...]


# --- which Python ------------------------------------------------------------------------------------------------


def probe(path: str) -> Optional[Interpreter]:
    """The interpreter behind `path`, or None: a shim that fails, too old, not CPython, or without wheels (no GIL)."""
    try:
        run = subprocess.run(
            [path, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = run.stdout.decode(errors="replace").splitlines()
    if run.returncode or len(lines) != 2 or lines[0].count("|") != 2:
        return None
    number, kind, without_gil = lines[0].split("|")
    version = tuple(int(part) for part in number.split("."))
    if version[:2] < OLDEST or kind != "cpython" or without_gil == "True":
        return None
    return Interpreter(lines[1] or path, version)


def running() -> Optional[str]:
    """The Python that runs this file, or the one its virtual environment was made from."""
    return getattr(sys, "_base_executable", None) or sys.executable


def candidates(environ: Dict[str, str]) -> Iterator[str]:
    """Paths worth a try, in order; uv is asked only when nothing before it starts."""
    if sys.version_info[:2] >= OLDEST and running():
        yield str(running())
    for name in NAMES:
        yield from _on_path(name, environ)
    versions = Path(environ.get("HOME") or Path.home()) / ".pyenv" / "versions"
    yield from (str(path) for path in sorted(versions.glob("*/bin/python3"), key=_newest_first))
    uv = find_uv(environ)
    if uv:
        yield from _from_uv(uv, environ)


def _on_path(name: str, environ: Dict[str, str]) -> Iterator[str]:
    """Every file of this name on PATH, not only the first: the first may be a shim that fails."""
    for folder in environ.get("PATH", "").split(os.pathsep):
        found = shutil.which(name, path=folder) if folder else None
        if found:
            yield found


def _newest_first(path: Path) -> List[int]:
    return [-int(part) if part.isdigit() else 0 for part in path.parts[-3].split(".")]


def _from_uv(uv: str, environ: Dict[str, str]) -> Iterator[str]:
    ask = [uv, "python", "find", "--system", "--no-project", ">=3.12"]
    yield from _lines([*ask, "--no-python-downloads"], environ)
    say("no Python 3.12 or newer here: uv downloads one")
    subprocess.run([uv, "python", "install", "3.13"], stdout=sys.stderr, env=environ, check=False)
    yield from _lines(ask, environ)


def _lines(command: Sequence[str], environ: Dict[str, str]) -> List[str]:
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ, check=False)
    return run.stdout.decode(errors="replace").split("\n")[:1] if run.returncode == 0 else []


def find_python(environ: Dict[str, str]) -> Interpreter:
    """The first candidate that starts and fits."""
    tried = set()
    for path in candidates(environ):
        if path in tried:
            continue
        tried.add(path)
        found = probe(path)
        if found:
            return found
    raise SetupError(NO_PYTHON, USAGE)


def find_uv(environ: Dict[str, str]) -> Optional[str]:
    """uv on PATH, where it starts."""
    uv = shutil.which("uv", path=environ.get("PATH", ""))
    return uv if uv and _starts([uv, "--version"], environ) else None


def _starts(command: Sequence[str], environ: Dict[str, str]) -> bool:
    try:
        quiet = subprocess.DEVNULL
        run = subprocess.run(command, stdout=quiet, stderr=quiet, env=environ, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.returncode == 0


# --- the environment ---------------------------------------------------------------------------------------------


class Environment:
    """`.venv` of one checkout: whether it fits the locks, and how to make it fit."""

    def __init__(self, root: Path, environ: Dict[str, str]) -> None:
        self.root = root
        self.environ = dict(environ, PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1")
        self.folder = root / ".venv"
        self.python = self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        # The first import compiles the third of the modules that is used, in a third of the time; where Python may
        # not keep what it compiled, every start would do so again.
        self.compile_all = bool(environ.get("PYTHONDONTWRITEBYTECODE"))
        self.stamp = self.folder / "mycelial-stamp.json"

    def lock(self, dev: bool) -> Path:
        """The hash lock: the development one holds the other's packages too."""
        return self.root / ("requirements-dev.lock" if dev else "requirements.lock")

    def wanted(self, dev: bool) -> Dict[str, str]:
        """What the stamp says when `.venv` is what the locks say. It names the interpreter behind `.venv` as well."""
        found = {"interpreter": os.path.realpath(self.python), "runtime": _sha256(self.lock(False))}
        return dict(found, dev=_sha256(self.lock(True))) if dev else found

    def stamped(self) -> Dict[str, str]:
        """The stamp, empty when there is none that can be read."""
        try:
            found = json.loads(self.stamp.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def fits(self, dev: bool) -> bool:
        """Whether nothing needs doing. A development environment serves to run, while both locks are unchanged."""
        stamp = self.stamped()
        return self.python.exists() and stamp == self.wanted(dev or "dev" in stamp)

    def ready(self, dev: bool) -> None:
        """Make `.venv` fit; of several starts at once one works and the others wait for it."""
        if self.fits(dev):
            return
        with _alone(self.root / ".venv.lock"):
            if not self.fits(dev):
                self._make(dev or "dev" in self.stamped())

    def _make(self, dev: bool) -> None:
        began = time.monotonic()
        lock = self.lock(dev)
        say(f"setting up .venv: {_packages(lock)} packages from {lock.name}, once")
        keep = self._may_stay(dev)
        uv = find_uv(self.environ)
        # The stamp goes first and comes last: half an environment has none and is made anew.
        with contextlib.suppress(FileNotFoundError):
            self.stamp.unlink()
        if uv:
            self._with_uv(uv, lock, keep)
        else:
            self._with_pip(lock, keep)
        self.stamp.write_text(json.dumps(self.wanted(dev)), encoding="utf-8")
        say(f".venv is ready after {time.monotonic() - began:.0f} s")

    def _may_stay(self, dev: bool) -> bool:
        """Whether packages can be added to what is there: it is whole, it starts, and it is this lock's lesser half."""
        stamp = self.stamped()
        same = stamp.get("runtime") == _sha256(self.lock(False)) and "dev" not in stamp and dev
        return same and probe(str(self.python)) is not None

    def _with_uv(self, uv: str, lock: Path, keep: bool) -> None:
        if not keep:
            python = find_python(self.environ)
            self._clear()
            self._run([uv, "venv", "--quiet", "--no-project", "--python", python.path, str(self.folder)])
        self._run(self._synced(uv, lock))

    def _synced(self, uv: str, lock: Path) -> List[str]:
        wheels = ["--quiet", "--require-hashes", "--only-binary", ":all:"]
        if self.compile_all:
            wheels.append("--compile-bytecode")
        return [uv, "pip", "sync", *wheels, "--python", str(self.python), str(lock)]

    def _with_pip(self, lock: Path, keep: bool) -> None:
        python = find_python(self.environ)
        pip = self._pip(python)
        if not keep:
            self._clear()
            self._run([python.path, "-m", "venv", *([] if pip is None else ["--without-pip"]), str(self.folder)])
        pip = pip or [str(self.python), "-m", "pip"]
        if self._with_borrowed_uv(pip, lock):
            return
        wheels = ["-qq", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
        if not self.compile_all:
            wheels.append("--no-compile")
        self._run([*pip, "install", *wheels, "-r", str(lock)])

    def _with_borrowed_uv(self, pip: Sequence[str], lock: Path) -> bool:
        """Let pip bring uv for once, which takes seconds where pip takes more than a minute; whether that worked."""
        installer = self.root / "requirements-installer.lock"
        if not installer.exists():
            return False
        wheels = ["-qq", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-compile"]
        with tempfile.TemporaryDirectory(prefix="mycelial-uv-") as folder:
            uv = os.path.join(folder, "bin", "uv.exe" if os.name == "nt" else "uv")
            bring = [*pip, "install", *wheels, "--target", folder, "-r", str(installer)]
            if self._tried(bring, self.environ) and self._tried(self._synced(uv, lock), self._registries(pip)):
                return True
        say("uv could not be used; pip does it, which takes longer")
        return False

    def _tried(self, command: Sequence[str], environ: Dict[str, str]) -> bool:
        """Whether a command succeeded; what it says is kept for the one that follows when it did not."""
        quiet = subprocess.DEVNULL
        try:
            return subprocess.run(command, stdout=quiet, stderr=quiet, env=environ, check=False).returncode == 0
        except OSError:
            return False

    def _registries(self, pip: Sequence[str]) -> Dict[str, str]:
        """The environment for uv: it reads none of pip's settings, so where packages come from is told it.

        Every package is pinned by its hash, so it does not matter which of several registries gives it.
        """
        asked = subprocess.run([*pip, "config", "list"], stdout=subprocess.PIPE, env=self.environ, check=False)
        lines = [line.partition("=") for line in asked.stdout.decode(errors="replace").splitlines() if "=" in line]
        lines.sort(key=lambda line: line[0].startswith(":env:"))  # what the shell says counts more than a file
        found = {name.rpartition(".")[2]: value.strip("'\"").replace("\\n", " ").split() for name, _, value in lines}
        environ = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
        for setting, variable, mark in _REGISTRIES:
            if found.get(setting):
                environ[variable] = mark.join(found[setting])
        return {**environ, **self.environ}

    def add(self, lock: Path) -> None:
        """Put the packages of another lock besides those that are there; it holds them too, at the same versions."""
        self.ready(dev=False)
        say(f"adding {lock.name} to .venv: {_packages(lock)} packages with those that are there")
        uv, hashed = find_uv(self.environ), ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
        with _alone(self.root / ".venv.lock"):
            if uv:
                self._run([uv, "pip", "install", "--quiet", *hashed, "--python", str(self.python), "-r", str(lock)])
            else:
                pip = self._pip(find_python(self.environ)) or [str(self.python), "-m", "pip"]
                self._run([*pip, "install", "-qq", *hashed, "-r", str(lock)])

    def _pip(self, python: Interpreter) -> Optional[List[str]]:
        """A pip that installs into `.venv` from outside; None: ensurepip puts one inside (slower)."""
        found = shutil.which("pip3", path=self.environ.get("PATH", ""))
        for pip in ([python.path, "-m", "pip"], [sys.executable, "-m", "pip"], [found] if found else []):
            # `--python` came with pip 22.3; one older than 23.2 starts under Python 3.12 but fails as it looks round.
            if pip and _starts([*pip, "--python", python.path, "list"], self.environ):
                return [*pip, "--python", str(self.python)]
        if _starts([python.path, "-c", "import ensurepip, venv"], self.environ):
            return None
        raise SetupError(NO_INSTALLER.format(python=python.path), USAGE)

    def _clear(self) -> None:
        if self.folder.is_symlink():
            raise SetupError(f"{self.folder} is a link: remove it and start again.", USAGE)
        if self.folder.exists():
            shutil.rmtree(str(self.folder))

    def _run(self, command: Sequence[str]) -> None:
        # Standard output belongs to the command that is started in the end (`--json`).
        code = subprocess.run(command, stdout=sys.stderr, env=self.environ, check=False).returncode
        if code:
            raise SetupError(f"set-up stopped: `{' '.join(command[:4])} ...` failed with exit code {code} (see above).")

    def variables(self) -> Dict[str, str]:
        """The environment of what runs in `.venv`: the project is importable from any working directory."""
        environ = dict(os.environ)
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(self.root), environ.get("PYTHONPATH")]))
        environ.setdefault("NUMBA_CACHE_DIR", str(self.folder / "numba-cache"))
        return environ


def _sha256(path: Path) -> str:
    return hashlib.sha256(_content(path)).hexdigest()


def _packages(lock: Path) -> int:
    return sum(b"==" in line for line in _content(lock).splitlines())


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SetupError(f"{path.name} is missing from {path.parent}: this is no whole checkout.", USAGE) from None


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock file; the operating system releases it when the process ends, however it ends."""
    with open(path, "a+b") as stream:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another start is setting up .venv: waiting for it")
                fcntl.flock(stream, fcntl.LOCK_EX)
        yield


# --- starting ----------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """To the user, on standard error."""
    print(f"mycelial: {text}", file=sys.stderr, flush=True)


def guarded(action: Callable[[], int]) -> int:
    """Run `action`; a user's mistake or a lacking tool is one sentence and an exit code."""
    try:
        return action()
    except SetupError as error:
        say(str(error))
        return error.code
    except OSError as error:
        say(f"set-up stopped: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def start(arguments: Sequence[str]) -> int:
    """`mycelial ARGUMENTS` in `.venv`, in the caller's working directory; replaces this process where it can."""
    environment = Environment(ROOT, dict(os.environ))
    environment.ready(dev=False)
    # -P: a folder named `src` in the working directory must not be taken for the project's.
    command = [str(environment.python), "-P", "-m", "src.main", *(arguments or ["run"])]
    if os.name == "posix":
        os.execve(command[0], command, environment.variables())
    return subprocess.run(command, env=environment.variables(), check=False).returncode


def add_research() -> int:
    """What evidence needs besides, into `.venv`."""
    Environment(ROOT, dict(os.environ)).add(ROOT / "requirements-research.lock")
    return 0
