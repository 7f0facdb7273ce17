"""Which Python is chosen, when `.venv` is made again, and what a user reads when something lacks; no network."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import bootstrap
from scripts.bootstrap import Environment, Interpreter, SetupError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "#!/bin/sh\n"


def program(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SCRIPT + body + "\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def python(path: Path, version: str = "3.12.9", kind: str = "cpython", without_gil: bool = False) -> Path:
    """Something that answers the probe as a Python of this version does."""
    return program(path, f"echo '{version}|{kind}|{without_gil}'; echo {path}")


@pytest.fixture
def old_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "running", lambda: None)


def machine(tmp_path: Path, *folders: str) -> dict[str, str]:
    """An environment that holds nothing but these folders of tmp_path, /bin/sh's own tools, and an empty home."""
    return {"PATH": os.pathsep.join(str(tmp_path / folder) for folder in folders), "HOME": str(tmp_path / "home")}


# --- which Python ------------------------------------------------------------------------------------------------


def test_the_probe_reads_a_real_interpreter() -> None:
    assert bootstrap.probe(sys.executable) == Interpreter(sys.executable, sys.version_info[:3])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("echo 'pyenv: python3.13: command not found' >&2; exit 127", "a shim that fails"),
        ("echo 3.12.1", "an answer that is none"),
        ("echo '3.11.7|cpython|False'; echo /x", "too old"),
        ("echo '3.12.7|pypy|False'; echo /x", "not CPython"),
        ("echo '3.13.0|cpython|True'; echo /x", "no GIL: no wheels"),
        ("echo '3.13.0|cpython|False'; echo /x; exit 1", "fails in the end"),
    ],
)
def test_what_does_not_really_start_is_passed_over(tmp_path: Path, body: str, why: str) -> None:
    assert bootstrap.probe(str(program(tmp_path / "python3.13", body))) is None, why


def test_a_python_that_hangs_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "PROBE_SECONDS", 0.1)
    assert bootstrap.probe(str(program(tmp_path / "python3.13", "exec sleep 5"))) is None


def test_the_running_interpreter_comes_first(tmp_path: Path) -> None:
    python(tmp_path / "bin/python3.13", "3.13.1")
    assert bootstrap.find_python(machine(tmp_path, "bin")).version == sys.version_info[:3]


@pytest.mark.usefixtures("old_starter")
def test_a_failing_shim_hides_neither_the_next_folder_nor_the_next_name(tmp_path: Path) -> None:
    program(tmp_path / "shims/python3.13", "exit 127")
    program(tmp_path / "shims/python3.12", "exit 127")
    python(tmp_path / "bin/python3.12")
    assert bootstrap.find_python(machine(tmp_path, "shims", "bin")).path == str(tmp_path / "bin/python3.12")
    python(tmp_path / "bin/python3.13", "3.13.2")
    assert bootstrap.find_python(machine(tmp_path, "shims", "bin")).path == str(tmp_path / "bin/python3.13")


@pytest.mark.usefixtures("old_starter")
def test_the_order_of_names(tmp_path: Path) -> None:
    for name in ("python3.14", "python3.12", "python3.13"):
        python(tmp_path / "bin" / name, f"{name[6:]}.0")
    found = [Path(path).name for path in bootstrap.candidates(machine(tmp_path, "bin"))]
    assert found == ["python3.13", "python3.12", "python3.14"]


@pytest.mark.usefixtures("old_starter")
def test_pyenv_comes_after_path_newest_first(tmp_path: Path) -> None:
    versions = tmp_path / "home/.pyenv/versions"
    for version in ("3.9.18", "3.12.1", "3.13.0", "3.12.10"):
        python(versions / version / "bin/python3", version)
    (versions / "mambaforge/bin").mkdir(parents=True)
    assert bootstrap.find_python(machine(tmp_path, "bin")).version == (3, 13, 0)
    shutil.rmtree(versions / "3.13.0")
    assert bootstrap.find_python(machine(tmp_path, "bin")).version == (3, 12, 10)


@pytest.mark.usefixtures("old_starter")
def test_uv_is_asked_last_and_without_a_download_first(tmp_path: Path) -> None:
    there = python(tmp_path / "elsewhere/python3.12")
    log = tmp_path / "log"
    program(tmp_path / "bin/uv", f'echo "$*" >> {log}; [ "$1" = python ] && echo {there}; exit 0')
    assert bootstrap.find_python(machine(tmp_path, "bin")).path == str(there)
    assert log.read_text().splitlines() == [
        "--version",
        "python find --system --no-project >=3.12 --no-python-downloads",
    ]


@pytest.mark.usefixtures("old_starter")
def test_uv_may_download_when_it_has_none(tmp_path: Path) -> None:
    there = python(tmp_path / "elsewhere/python3.13", "3.13.5")
    installed = tmp_path / "installed"
    program(
        tmp_path / "bin/uv",
        f'case "$2" in install) : > {installed};; find) [ -e {installed} ] && echo {there} || exit 2;; esac',
    )
    assert bootstrap.find_python(machine(tmp_path, "bin")).path == str(there)


@pytest.mark.usefixtures("old_starter")
def test_none_at_all_is_one_sentence_and_exit_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(tmp_path / "bin/python3.13", "exit 127")
    environ = machine(tmp_path, "bin")
    assert bootstrap.guarded(lambda: len(bootstrap.find_python(environ))) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("mycelial: Python 3.12 or newer was not found: install it")


# --- when `.venv` fits -------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Environment:
    """A checkout with locks of nothing, and a `uv` that makes an environment without any network."""
    (tmp_path / "requirements.lock").write_text("# nothing\n", encoding="utf-8")
    (tmp_path / "requirements-dev.lock").write_text("# nothing, for development\n", encoding="utf-8")
    program(
        tmp_path / "bin/uv",
        f'echo "$1 $2" >> {tmp_path}/log\n'
        f'[ "$1" = venv ] && mkdir -p "$6/bin" && ln -s {sys.executable} "$6/bin/python"\n'
        f'[ -e {tmp_path}/broken ] && [ "$1" != --version ] && exit 7\nexit 0',
    )
    return Environment(tmp_path, {"PATH": f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"})


def calls(environment: Environment) -> list[str]:
    """What uv was asked to do since the last look, its version aside."""
    log = environment.root / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return [line.split()[0] for line in lines if not line.startswith("--version")]


def test_the_second_start_does_nothing(checkout: Environment) -> None:
    checkout.ready(dev=False)
    assert calls(checkout) == ["venv", "pip"]
    checkout.ready(dev=False)
    assert calls(checkout) == []


def test_tests_add_to_what_run_made_and_run_takes_what_tests_made(checkout: Environment) -> None:
    checkout.ready(dev=False)
    calls(checkout)
    checkout.ready(dev=True)
    assert calls(checkout) == ["pip"]
    checkout.ready(dev=False)
    checkout.ready(dev=True)
    assert calls(checkout) == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_changed_lock_makes_it_anew_and_keeps_it_a_development_one(checkout: Environment, name: str) -> None:
    checkout.ready(dev=True)
    calls(checkout)
    (checkout.root / name).write_text("# changed\n", encoding="utf-8")
    checkout.ready(dev=False)
    assert calls(checkout) == ["venv", "pip"]
    assert "dev" in checkout.stamped()


def test_the_development_lock_is_no_matter_of_run(checkout: Environment) -> None:
    checkout.ready(dev=False)
    calls(checkout)
    checkout.lock(True).write_text("# changed\n", encoding="utf-8")
    checkout.ready(dev=False)
    assert calls(checkout) == []


@pytest.mark.parametrize("harm", ["no stamp", "torn stamp", "no python", "other python"])
def test_a_harmed_environment_is_made_anew(checkout: Environment, harm: str) -> None:
    checkout.ready(dev=False)
    calls(checkout)
    if harm == "no stamp":
        checkout.stamp.unlink()
    elif harm == "torn stamp":
        checkout.stamp.write_text('{"interp', encoding="utf-8")
    else:
        checkout.python.unlink()
        if harm == "other python":
            python(checkout.python)
    checkout.ready(dev=False)
    assert calls(checkout) == ["venv", "pip"]


def test_a_failure_leaves_no_stamp_and_names_the_step(checkout: Environment) -> None:
    (checkout.root / "broken").touch()
    with pytest.raises(SetupError, match=r"^set-up stopped: `.*/uv venv .* failed with exit code 7 \(see above\)\.$"):
        checkout.ready(dev=False)
    assert not checkout.stamp.exists()
    (checkout.root / "broken").unlink()
    checkout.ready(dev=False)
    assert checkout.fits(dev=False)


def test_packages_that_were_half_added_are_not_trusted(checkout: Environment) -> None:
    checkout.ready(dev=False)
    (checkout.root / "broken").touch()
    with pytest.raises(SetupError):
        checkout.ready(dev=True)
    assert not checkout.fits(dev=False)


def test_what_evidence_needs_is_added_to_what_is_there(checkout: Environment) -> None:
    lock = checkout.root / "requirements-research.lock"
    lock.write_text("# nothing, for evidence\n", encoding="utf-8")
    checkout.add(lock)
    assert calls(checkout) == ["venv", "pip", "pip"]
    checkout.add(lock)
    assert calls(checkout) == ["pip"]
    assert checkout.fits(dev=False)


def test_a_checkout_without_locks_is_none(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"requirements\.lock is missing"):
        Environment(tmp_path, {"PATH": ""}).ready(dev=False)


def test_neither_uv_nor_pip_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = program(tmp_path / "bin/python3.12", "exit 1")
    monkeypatch.setattr(sys, "executable", str(bare))
    environment = Environment(tmp_path, {"PATH": str(tmp_path / "bin")})
    with pytest.raises(
        SetupError, match=r"Neither uv nor a pip of 23.2 or newer was found for .*python3\.12: install one"
    ) as error:
        environment._pip(Interpreter(str(bare), (3, 12, 1)))
    assert error.value.code == 4


def test_a_pip_that_starts_but_fails_as_it_looks_round_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = program(tmp_path / "bin/python3.12", "exit 1")
    old = program(tmp_path / "old/pip3", '[ "$3" = --version ]')
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(SetupError):
        Environment(tmp_path, {"PATH": str(old.parent)})._pip(Interpreter(str(bare), (3, 12, 1)))
    good = program(tmp_path / "good/pip3", "exit 0")
    environment = Environment(tmp_path, {"PATH": str(good.parent)})
    assert environment._pip(Interpreter(str(bare), (3, 12, 1))) == [str(good), "--python", str(environment.python)]


PIP = """#!{python}
import os, sys
from pathlib import Path
with open({log!r}, "a") as log:
    print("pip", *sys.argv[1:], file=log)
if "config" in sys.argv:
    print("global.index-url='one'", ":env:.index-url='two'", r"global.extra-index-url='three\\nfour'", sep=chr(10))
if "--target" in sys.argv:
    uv = Path(sys.argv[sys.argv.index("--target") + 1], "bin", "uv")
    uv.parent.mkdir(parents=True)
    uv.write_text('#!/bin/sh\\necho "uv $1 $UV_DEFAULT_INDEX|$UV_INDEX" >> {log}\\nexit {uv}')
    uv.chmod(0o755)
    sys.exit({brings})
"""


def borrowing(tmp_path: Path, uv: int = 0, brings: int = 0) -> Environment:
    """A checkout on a machine with a pip and no uv; exit codes of that pip as it brings uv, and of that uv."""
    for name in ("requirements.lock", "requirements-installer.lock"):
        (tmp_path / name).write_text("# nothing\n", encoding="utf-8")
    pip = program(tmp_path / "bin/pip3", "")
    pip.write_text(PIP.format(python=sys.executable, log=str(tmp_path / "log"), uv=uv, brings=brings))
    return Environment(tmp_path, {"PATH": f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"})


def asked(environment: Environment) -> list[str]:
    """What pip and uv were asked to do, in words."""
    lines = (environment.root / "log").read_text().splitlines()
    kinds = ("--target", "config", "list", "-r", "uv")
    return [line if line.startswith("uv") else next(k for k in kinds if k in line) for line in lines]


@pytest.fixture
def no_other_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python that runs has no pip of its own: the one on PATH is used."""
    starts = bootstrap._starts
    monkeypatch.setattr(bootstrap, "_starts", lambda command, environ: "-m" not in command and starts(command, environ))


@pytest.mark.usefixtures("no_other_pip")
def test_pip_brings_uv_for_once_and_says_where_packages_come_from(tmp_path: Path) -> None:
    environment = borrowing(tmp_path)
    environment.ready(dev=False)
    assert asked(environment) == ["list", "--target", "config", "uv pip two|three four"]
    assert environment.fits(dev=False)


@pytest.mark.usefixtures("no_other_pip")
@pytest.mark.parametrize(
    ("uv", "brings", "steps"),
    [
        (1, 0, ["list", "--target", "config", "uv pip two|three four", "-r"]),
        (0, 1, ["list", "--target", "-r"]),
    ],
)
def test_where_uv_cannot_be_used_pip_does_it(
    tmp_path: Path, uv: int, brings: int, steps: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    environment = borrowing(tmp_path, uv, brings)
    environment.ready(dev=False)
    assert asked(environment) == steps
    assert "uv could not be used; pip does it" in capfd.readouterr().err
    assert environment.fits(dev=False)


def test_one_of_two_starts_works_while_the_other_waits(checkout: Environment) -> None:
    here = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
    here += "from pathlib import Path\nfrom bootstrap import Environment\nimport os\n"
    here += f"Environment(Path({str(checkout.root)!r}), dict(os.environ)).ready(dev=False)"
    environ = dict(os.environ, PATH=checkout.environ["PATH"])
    both = [subprocess.Popen([sys.executable, "-c", here], env=environ, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert calls(checkout) == ["venv", "pip"]


# --- what runs in it ---------------------------------------------------------------------------------------------


def test_the_variables_of_what_is_started(checkout: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "mine")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    found = checkout.variables()
    assert found["PYTHONPATH"] == f"{checkout.root}{os.pathsep}mine"
    assert found["NUMBA_CACHE_DIR"] == str(checkout.folder / "numba-cache")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "elsewhere")
    assert checkout.variables()["NUMBA_CACHE_DIR"] == "elsewhere"


@pytest.mark.parametrize(
    ("script", "arguments", "expected"),
    [
        ("start.py", [], ["run"]),
        ("start.py", ["why", "x y"], ["why", "x y"]),
        ("backtest.py", ["--seed", "7"], ["backtest", "--seed", "7"]),
    ],
)
def test_arguments_and_working_directory_reach_the_program(
    checkout: Environment, tmp_path: Path, script: str, arguments: list[str], expected: list[str]
) -> None:
    for name in ("bootstrap.py", "start.py", "backtest.py"):
        (tmp_path / "scripts").mkdir(exist_ok=True)
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/__init__.py").touch()
    (tmp_path / "src/main.py").write_text("import os, sys; print(sys.argv[1:], os.getcwd()); sys.exit(5)")
    (tmp_path / "user/src").mkdir(parents=True)
    (tmp_path / "user/src/__init__.py").touch()
    (tmp_path / "user/src/main.py").write_text("raise SystemExit('a stranger')")
    environ = dict(os.environ, PATH=checkout.environ["PATH"])
    run = subprocess.run(
        [sys.executable, str(tmp_path / "scripts" / script), *arguments],
        cwd=tmp_path / "user",
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == f"{expected} {tmp_path / 'user'}\n"
    assert run.returncode == 5
    assert "mycelial: .venv is ready after" in run.stderr


# --- the locks ---------------------------------------------------------------------------------------------------


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ")[0].split("==") for line in lines if "==" in line.split(" ")[0])


@pytest.mark.parametrize("name", ["requirements-dev.lock", "requirements-research.lock"])
def test_the_other_locks_hold_the_runtime_at_the_same_versions(name: str) -> None:
    assert pins("requirements.lock").items() <= pins(name).items()
    assert len(pins("requirements.lock")) > 30


def test_what_evidence_and_tests_share_has_one_version() -> None:
    research, dev = pins("requirements-research.lock"), pins("requirements-dev.lock")
    assert {"skfolio", "optuna", "distributed", "duckdb"} <= research.keys()
    assert {name for name in research.keys() & dev.keys() if research[name] != dev[name]} == set()


@pytest.mark.parametrize(
    "name", ["requirements.lock", "requirements-dev.lock", "requirements-research.lock", "requirements-installer.lock"]
)
def test_every_pin_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert "file:" not in text
    blocks = [block for block in text.split("\n") if block and not block.startswith(("#", " "))]
    assert all(block.endswith("\\") for block in blocks)
    assert len(blocks) == len(pins(name))
