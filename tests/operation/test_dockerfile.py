"""The image: who may do what in it, and that its own lines build, start, answer and stop."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import msgspec
import pytest

from scripts.bootstrap import Environment, find_python
from src.core.clock import Timer
from tests.worlds import ROOT

from .dockerfile import FILE, Carried, Stage, in_context, stages

TEXT = FILE.read_text(encoding="utf-8")
ARGUMENTS, STAGES = stages(TEXT)
BUILD, RUNTIME = STAGES
COMPILERS = ("gcc", "g++", "clang", "build-essential", "make", "apt-get", "apk", "rustc", "cargo")
SECONDS = 900.0
SLICES = 5


def test_two_stages_of_one_base_pinned_by_digest_or_named_by_version() -> None:
    assert [stage.name for stage in STAGES] == ["build", "runtime"]
    assert {stage.base for stage in STAGES} == {"${PYTHON_IMAGE}"}
    assert re.fullmatch(r"python:3\.12-slim-bookworm(@sha256:[0-9a-f]{64})?", ARGUMENTS["PYTHON_IMAGE"])
    assert "sha256" in TEXT  # says how a release is pinned


def test_no_compiler_and_no_shell_tricks() -> None:
    for stage in STAGES:
        for line in stage.of("RUN"):
            assert not {word.strip('"') for word in line.words.split()} & set(COMPILERS), line.words
            assert "curl" not in line.words
            assert "http" not in line.words
    assert not RUNTIME.of("RUN")  # nothing is made in what runs
    assert not [line for stage in STAGES for line in stage.of("ADD")]


def test_wheels_by_hash_and_no_cache() -> None:
    installs = [line.words for line in BUILD.of("RUN") if "requirements" in line.words]
    assert len(installs) == 2
    for words in installs:
        assert "--require-hashes" in words
        assert "--only-binary :all:" in words
        assert "--no-cache" in words
    assert "requirements.lock" in installs[1]
    assert "--without-pip" in BUILD.of("RUN")[0].words


def test_somebody_without_rights_runs_it_and_writes_in_one_place() -> None:
    assert [line.words for line in RUNTIME.of("USER")] == ["10001:10001"]
    assert [line.words for line in RUNTIME.of("VOLUME")] == ["/state"]
    owned = [line for line in RUNTIME.of("COPY") if "chown" in line.options]
    assert [(line.options["chown"], line.words) for line in owned] == [("10001:10001", "/state /state")]
    assert all(line.options.get("from") == "build" for line in RUNTIME.of("COPY"))
    assert RUNTIME.environment()["NUMBA_CACHE_DIR"].startswith("/state/")


def test_it_is_asked_how_it_is_and_told_to_stop() -> None:
    assert [line.words for line in RUNTIME.of("STOPSIGNAL")] == ["SIGTERM"]
    health = RUNTIME.of("HEALTHCHECK")[0]
    assert '"mycelial", "status"' in health.words
    assert set(health.options) == {"interval", "timeout", "start-period", "retries"}


def test_no_secret_is_named_in_the_image() -> None:
    named = {name for stage in STAGES for name in stage.environment()} | set(ARGUMENTS)
    assert not [name for name in named if re.search("KEY|SECRET|TOKEN|PASSWORD", name)]
    assert 'rm -f "${VENV}/bin/kraken-mcp"' in TEXT


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("requirements.lock", True),
        ("config/agent_config.yaml", True),
        ("src/core/engine.py", True),
        ("src/core/__pycache__/engine.cpython-312.pyc", False),
        (".git/config", False),
        (".venv/bin/python", False),
        ("state/paper/ledger.sqlite", False),
        ("secrets/kraken.key", False),
        ("config/kraken.key", False),
        ("tests/worlds.py", False),
        ("requirements-dev.lock", False),
    ],
)
def test_what_gets_into_the_build(path: str, inside: bool) -> None:
    assert in_context(path) is inside


def environ() -> dict[str, str]:
    """What a build may know of this machine: where programs and packages are."""
    wanted = ("PATH", "LANG", "PIP_", "UV_", "SSL_", "REQUESTS_", "http", "HTTP", "no_proxy", "NO_PROXY")
    return {name: value for name, value in os.environ.items() if name.startswith(wanted)}


class Started:
    """ENTRYPOINT and CMD of the image as a process."""

    def __init__(self, image: Carried, stage: Stage, *more: str) -> None:
        self.image, self.stage = image, stage
        words = [*image.words(stage, "ENTRYPOINT"), *image.words(stage, "CMD"), *more]
        # As in the image: a shell that looks the program up on the image's own PATH.
        self.popen = subprocess.Popen(
            ["/usr/bin/env", *words], cwd=image.folder / "app", env=image.variables(stage), stderr=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def asked(self) -> subprocess.CompletedProcess[str]:
        """The answer of HEALTHCHECK."""
        return subprocess.run(
            ["/usr/bin/env", *self.image.words(self.stage, "HEALTHCHECK")], cwd=self.image.folder / "app",
            env=self.image.variables(self.stage), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def healthy(self) -> bool:
        done = self.asked()
        if done.returncode != 0:
            assert done.returncode == 3, done.stderr
            return False
        return int(msgspec.json.decode(done.stdout).get("slices", 0)) >= SLICES

    def until_healthy(self) -> None:
        timer, nap = Timer(), Event()
        deadline = timer.seconds() + SECONDS
        while not self.healthy():
            assert self.popen.poll() is None, self.popen.stderr.read() if self.popen.stderr else ""
            assert timer.seconds() < deadline
            nap.wait(1.0)  # each question is a process

    def stop(self) -> tuple[int, str, str]:
        self.popen.send_signal(getattr(signal, self.stage.of("STOPSIGNAL")[0].words))
        out, err = self.popen.communicate(timeout=60)
        return self.popen.returncode, out, err

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *error: object) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.communicate()


FEW = (
    *("--set", "learners.team=3", "--set", "memory.store=none"),
    *("--set", "bus.port=0", "--set", "monitoring.metrics.port=0"),
)


def lives(image: Carried, *more: str) -> None:
    """What a container's life is: not healthy before it starts, healthy while it runs, a drained end."""
    with Started(image, RUNTIME, *FEW, *more) as started:
        started.until_healthy()
        code, out, err = started.stop()
        assert code == 0, err
        assert "simulated" in (out + err).lower()
        assert not started.healthy()


@pytest.fixture
def carried(tmp_path: Path) -> Iterator[Carried]:
    """The image without its installation: the packages are those of this process, which hold the lock's."""
    image = Carried(tmp_path, environ())
    venv = tmp_path / "opt" / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = next((venv / "lib").glob("python*/site-packages"))
    ours = next(Path(sys.prefix, "lib").glob("python*/site-packages"))
    (site / "here.pth").write_text(f"{ours}\n")
    image.build(BUILD, leave_out=("requirements", "-m venv"))
    return image  # type: ignore[return-value]


@pytest.mark.timeout(900)
def test_its_lines_build_it_and_it_lives(carried: Carried) -> None:
    assert (carried.folder / "state").stat().st_mode & 0o777 == 0o700
    assert not list((carried.folder / "app" / "src").rglob("*.key"))
    assert not (carried.folder / "app" / "tests").exists()
    # The same code in this checkout, where all of numba's is compiled already: a minute less.
    carried.instead = {"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", "")}
    lives(carried)
    assert (carried.folder / "state" / "paper" / "ledger.sqlite").is_file()


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_all_of_its_lines_with_the_installation(tmp_path: Path) -> None:
    # A build in a container gets its packages from the usual index; here uv is told where pip's come from.
    ours = {**environ(), "HOME": os.environ["HOME"]}
    setup = Environment(ROOT, ours)
    python = find_python(ours)
    told = setup._registries(setup._pip(python) or [])
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec "{python.path}" "$@"\n')  # the image's own `python`
    (tmp_path / "bin" / "python").chmod(0o755)
    told["PATH"] = f"{tmp_path / 'bin'}:{told['PATH']}"
    image = Carried(tmp_path, told)
    try:
        image.build(BUILD)
    except subprocess.CalledProcessError as error:
        if "pip install" in str(error.cmd) or "uv" in str(error.cmd):
            pytest.skip("no package index can be reached")
        raise
    assert len(image.did) == len(BUILD.of("RUN"))
    tools = {path.name for path in (tmp_path / "opt" / "venv" / "bin").iterdir()}
    assert not tools & {"pip", "gcc", "kraken-mcp"}
    lives(image)


def test_the_lock_of_the_image_is_the_one_everybody_has() -> None:
    assert "requirements.lock" in [word for line in BUILD.of("COPY") for word in line.words.split()]
    assert (ROOT / "requirements.lock").is_file()
