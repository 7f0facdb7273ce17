"""What a process of the command line costs before it has done anything."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .measure import Measured, Parts, Sizes, alternated, seconds_of

ROOT = Path(__file__).parents[3]
"""The folder from which the package `src` is found."""


def help_answer(parts: Parts, sizes: Sizes) -> Measured:
    """Seconds until `--help` has answered, the interpreter's start included."""

    def ask() -> None:
        subprocess.run(parts.help_command, cwd=ROOT, check=True, capture_output=True)

    (found,) = alternated(sizes.runs, lambda: seconds_of(parts.timer, ask))
    return Measured(found)
