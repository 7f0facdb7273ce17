"""`python3 scripts/backtest.py [arguments]`: the same as `start.py backtest [arguments]`."""

from __future__ import annotations

import sys

from bootstrap import guarded, start

if __name__ == "__main__":
    sys.exit(guarded(lambda: start(["backtest", *sys.argv[1:]])))
