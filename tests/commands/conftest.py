"""Data that the tests of the command line share, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .cli import write_planted


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with 400 hours of three pairs in which something can be learnt."""
    return write_planted(tmp_path_factory.mktemp("planted"), 400)
