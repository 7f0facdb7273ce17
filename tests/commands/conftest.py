"""Data that the tests of the command line share, made once, and the command line in this process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.main import main

from .cli import ANY_PORT, Done, Say, write_planted


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with 400 hours of three pairs in which something can be learnt."""
    return write_planted(tmp_path_factory.mktemp("planted"), 400)


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Say:
    """The command line in this process, in an empty folder: sixty refusals need not start sixty of them."""
    for name in [name for name in os.environ if name.startswith(("MYCELIAL", "APP_ENV"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(ANY_PORT, "0")
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["mycelial", *map(str, words)])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        said = capfd.readouterr()
        return subprocess.CompletedProcess(words, code, said.out, said.err)

    return call
