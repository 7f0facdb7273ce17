"""`python3 scripts/research.py`: add what evidence needs (requirements-research.lock) to `.venv`, which it sets up."""

from __future__ import annotations

import sys

from bootstrap import add_research, guarded

if __name__ == "__main__":
    sys.exit(guarded(add_research))
