"""`python3 scripts/test.py [arguments of pytest]`: checks and tests in `.venv`; with arguments only pytest runs.

Paths in the arguments are relative to the repository.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import List, Sequence, Tuple

from bootstrap import ROOT, Environment, guarded, say

LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"
CHECKS = (
    ("ruff check", ["-m", "ruff", "check", "."]),
    ("ruff format", ["-m", "ruff", "format", "--check", "."]),
    ("mypy", ["-m", "mypy"]),
    ("lint-imports", ["-c", LINT_IMPORTS]),
)
QUICK = ["-q", "-n", "2", "--dist", "loadfile", "-m", "not long"]


def steps(arguments: Sequence[str]) -> List[Tuple[str, List[str]]]:
    """What runs, in order: name and arguments of Python."""
    if arguments:
        return [("pytest", ["-m", "pytest", *arguments])]
    return [*CHECKS, ("pytest", ["-m", "pytest", *QUICK])]


def main(arguments: Sequence[str]) -> int:
    """Run every step, also after one failed; the exit code of a lone pytest, else 1 when any failed."""
    environment = Environment(ROOT, dict(os.environ))
    environment.ready(dev=True)
    results = []
    for name, command in steps(arguments):
        began = time.monotonic()
        run = subprocess.run(
            [str(environment.python), *command], cwd=str(ROOT), env=environment.variables(), check=False
        )
        results.append((name, run.returncode, time.monotonic() - began))
    for name, code, seconds in results:
        say(f"{name}: {'ok' if code == 0 else f'failed with exit code {code}'} in {seconds:.1f} s")
    codes = [code for _, code, _ in results]
    return codes[0] if len(codes) == 1 else int(any(codes))


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
