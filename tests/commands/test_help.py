"""Every command says what it takes, at once and without the libraries that calculate."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from src.main import app

from .cli import SECONDS, environment, mycelial

COMMANDS = sorted(c.name or c.callback.__name__ for c in app.registered_commands if c.callback is not None)
HEAVY = ("pandas", "numba", "mesa", "talib", "scipy", "sqlalchemy", "pyarrow", "redis", "numpy")


def test_the_contract_of_commands_is_covered() -> None:
    expected = {
        "run",
        "backtest",
        "list-data",
        "import-data",
        "download-data",
        "census",
        "tap",
        "status",
        "halt",
        "resume",
        "stop",
    }
    expected |= {"flatten", "order", "show-config", "doctor", "verify", "report", "bench"}
    assert expected <= set(COMMANDS)


@pytest.mark.parametrize("name", [*COMMANDS, ""])
def test_help_answers_without_importing_what_calculates(name: str, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom src.main import main\n"
        f"sys.argv = ['mycelial', *{[name] if name else []!r}, '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: mycelial" in done.stdout
    assert (name or "backtest") in done.stdout


def test_help_of_a_process_of_its_own(tmp_path: Path) -> None:
    done = mycelial("run", "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for option in ("--data", "--state", "--speed", "--bus", "--seed", "--set", "--json"):
        assert option in done.stdout
