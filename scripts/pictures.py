"""Takes the pictures that the browser's tests left in `build/screenshots` over into the documents, cut and small."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
SHOTS, IMAGES = ROOT / "build" / "screenshots", ROOT / "docs" / "images"
CHOSEN = {
    "overview-light": 1120,
    "swarm-light": 1400,
    "assets-light": 1560,
    "system-dark": 1160,
    "overview-halted-light": 760,
}
"""Which ones, and how many rows of each."""
WIDTH = 1000
COLOURS = 224
MOST_BYTES = 150_000


def take(name: str, rows: int) -> Path:
    """One picture: cut below, smaller, few colours."""
    with Image.open(SHOTS / f"{name}.png") as shot:
        cut = shot.convert("RGB").crop((0, 0, shot.width, min(rows, shot.height)))
    small = cut.resize((WIDTH, round(cut.height * WIDTH / cut.width)), Image.Resampling.LANCZOS)
    path = IMAGES / f"monitor-{name}.png"
    small.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def main() -> int:
    """Take all; 1 where one of them is missing or too large."""
    try:
        sizes = {path.name: path.stat().st_size for path in (take(*one) for one in CHOSEN.items())}
    except FileNotFoundError as error:
        print(f"{error.filename}: there is no such picture; run tests/dashboard/test_browser.py first", file=sys.stderr)
        return 1
    for name, size in sizes.items():
        print(f"{size:8} {name}")
    return int(max(sizes.values()) > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
