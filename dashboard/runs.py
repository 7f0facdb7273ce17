"""Finished runs as they lie in their folder: results, curves, verdicts; damaged files say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

MOST_RUNS = 200
MOST_BYTES = 64 * 1024 * 1024
POINTS = 600
"""Of a curve that is shown."""

Row = dict[str, Any]


class Runs:
    """The folder of runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._results: dict[Path, tuple[int, Row]] = {}

    def listed(self) -> list[Row]:
        """Results of the newest runs, newest first; damaged ones say so in `damaged`."""
        files = sorted(self.folder.glob("*/result.json"), key=_changed, reverse=True)[:MOST_RUNS]
        return [{"run": path.parent.name, **self._result(path)} for path in files]

    def one(self, name: str) -> Row:
        """The result of a run by the name of its folder."""
        return self._result(self._inside(name) / "result.json")

    def beside(self, name: str, file: str) -> Row | None:
        """`gate.json` or `ab.json` of a run; None where there is none."""
        path = self._inside(name) / file
        return _object(path) if path.is_file() else None

    def curve(self, name: str) -> tuple[list[str], list[float]]:
        """Times (ISO) and equity of a run, thinned."""
        path = self._inside(name) / "equity.csv"
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return [], []
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = file.readlines()[1:]
        step = max(1, len(lines) // POINTS)
        rows = [line.split(",") for line in (*lines[::step], *lines[-1:])]
        return [row[0] for row in rows if len(row) > 1], [_number(row[1]) for row in rows if len(row) > 1]

    def sheet(self, name: str) -> Path:
        """Where the tear sheet of a run goes."""
        return self._inside(name) / "tearsheet.html"

    def path(self, name: str) -> Path:
        """The folder of a run."""
        return self._inside(name)

    def _inside(self, name: str) -> Path:
        """A folder in this folder, whatever the name says."""
        return self.folder / Path(name).name

    def _result(self, path: Path) -> Row:
        changed = _changed(path)
        kept = self._results.get(path)
        if kept is None or kept[0] != changed:
            if len(self._results) >= 2 * MOST_RUNS:
                self._results.clear()
            kept = self._results[path] = (changed, _object(path))
        return kept[1]


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _object(path: Path) -> Row:
    try:
        if path.stat().st_size > MOST_BYTES:
            return {"damaged": f"{path.name}: larger than a result can be"}
        found = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        return {"damaged": f"{path.name}: {error}"}
    return found if isinstance(found, dict) else {"damaged": f"{path.name}: no object of JSON"}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
