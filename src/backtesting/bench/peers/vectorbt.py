"""The rule of the comparison in vectorbt; answers a line of JSON for every line it is sent."""

# mypy: ignore-errors

import sys

sys.path.pop(0)  # this file is called like the library

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import talib
import vectorbt as vbt


def size_mb(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0


def forget_peak():
    Path("/proc/self/clear_refs").write_text("5")


def walk(close):
    rsi = pd.Series(talib.RSI(close.to_numpy(), 14), index=close.index)
    now = pd.Series(talib.MACD(close.to_numpy(), 12, 26, 9)[2], index=close.index)
    before = now.shift(1)
    entries = (now > 0) & (before <= 0) & (rsi < 70)
    exits = ((now < 0) & (before >= 0)) | (rsi > 80)
    book = vbt.Portfolio.from_signals(close, entries, exits, size=1.0, fees=0.0036, init_cash=1e9, freq="1min")
    trades = book.trades
    figures = (book.total_return(), book.max_drawdown(), book.sharpe_ratio(), trades.win_rate(), trades.profit_factor())
    return trades.closed.records_arr, figures


def main():
    bars = np.load(sys.argv[1])
    index = pd.to_datetime(bars[:, 0].astype("int64"), unit="ms")
    close = pd.Series(bars[:, 4].copy(), index=index)
    walk(close.iloc[:2000])  # compiles
    for _ in sys.stdin:
        forget_peak()
        before = size_mb("VmRSS")
        started = time.perf_counter()
        records, _ = walk(close)
        seconds = time.perf_counter() - started
        rows = [int(row) for row in records["entry_idx"]], [int(row) for row in records["exit_idx"]]
        answer = {"seconds": seconds, "trades": len(records), "extra_mb": size_mb("VmHWM") - before, "rows": rows}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


main()
