"""`python3 scripts/start.py [arguments of mycelial]`: set up `.venv` when needed, then run; no arguments: `run`."""

from __future__ import annotations

import sys

from bootstrap import guarded, start

if __name__ == "__main__":
    sys.exit(guarded(lambda: start(sys.argv[1:])))
