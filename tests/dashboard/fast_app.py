"""The monitor with short times between two looks: an hour of viewing in minutes."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "dashboard"
sys.path.insert(0, str(FOLDER.parent))

import dashboard.parts  # noqa: E402 - the folder has to be known first

dashboard.parts.EVERY_SECONDS = 0.1
runpy.run_path(str(FOLDER / "app.py"))
