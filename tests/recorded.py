"""Where tests find the recorded data, which is no part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

RECORDED = Path(os.environ.get("MYCELIAL_DATA") or Path(__file__).parents[1].parent / "shared" / "data")

needs_recorded = pytest.mark.skipif(
    not (RECORDED / "ohlcv").is_dir(), reason="recorded data are absent: set MYCELIAL_DATA to their folder"
)
