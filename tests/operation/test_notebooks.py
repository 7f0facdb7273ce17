"""The notebooks: their cells run in order, and nothing that they gave once is kept in them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands.cli import SECONDS, environment
from tests.worlds import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[dict[str, Any]]:
    """The cells of a notebook."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["looking-into-a-run", "planting-an-effect"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_tells_and_keeps_no_output(path: Path) -> None:
    found = cells(path)
    assert found[0]["cell_type"] == "markdown"
    assert sum(cell["cell_type"] == "markdown" for cell in found) >= 5
    assert all(cell["outputs"] == [] for cell in found if cell["cell_type"] == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_cells_run_in_order(path: Path, tmp_path: Path) -> None:
    """Each cell is compiled on its own and carried out in one namespace, as a kernel would."""
    sources = ["".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "code"]
    code = (
        f"space = {{'__name__': '__main__'}}\nfor number, source in enumerate({sources!r}):\n"
        "    exec(compile(source, f'cell {number}', 'exec'), space)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment(TMPDIR=str(tmp_path)), capture_output=True, text=True, timeout=4 * SECONDS,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
