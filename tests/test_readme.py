"""What the README tells people to type: every command and option it shows must exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from src.main import app

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^python3 scripts/start\.py (.+)$", README, re.MULTILINE)
IN_TABLE = [
    line for cell in re.findall(r"^\| (`m .+?) \|", README, re.MULTILINE) for line in re.findall(r"`m (.+?)`", cell)
]


def without_comment(line: str) -> list[str]:
    """The words of a command line, its comment left out."""
    return shlex.split(line, comments=True)


@pytest.mark.parametrize("line", [*FENCED, *IN_TABLE])
def test_what_is_shown_exists(line: str) -> None:
    words = without_comment(line)
    if not words:
        return
    command = typer.main.get_command(app)
    assert words[0] in command.commands, f"README shows `{line}`"  # type: ignore[attr-defined]
    known = {name for option in command.commands[words[0]].params for name in option.opts}  # type: ignore[attr-defined]
    assert {word for word in words[1:] if word.startswith("--")} <= known


def test_every_command_is_in_the_readme() -> None:
    shown = {without_comment(line)[0] for line in [*FENCED, *IN_TABLE] if without_comment(line)}
    assert set(typer.main.get_command(app).commands) - shown <= {"run"}  # type: ignore[attr-defined]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 125
