"""What a tear sheet shows, worked out from a run and its folder: curves, tables and the drawings made of them."""

from __future__ import annotations
