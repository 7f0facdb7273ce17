"""The rule of the comparison in backtesting.py; answers a line of JSON for every line it is sent."""

# mypy: ignore-errors

import json
import sys
import time

import numpy as np
import pandas as pd
import talib

from backtesting import Backtest, Strategy


class Crossing(Strategy):
    def init(self):
        close = self.data.Close
        self.rsi = self.I(talib.RSI, close, 14)
        self.histogram = self.I(lambda values: talib.MACD(values, 12, 26, 9)[2], close)

    def next(self):
        before, now, rsi = self.histogram[-2], self.histogram[-1], self.rsi[-1]
        if self.position:
            if now < 0 <= before or rsi > 80:
                self.position.close()
        elif now > 0 >= before and rsi < 70:
            self.buy(size=1)


def main():
    bars = np.load(sys.argv[1])
    index = pd.to_datetime(bars[:, 0].astype("int64"), unit="ms")
    frame = pd.DataFrame(bars[:, 1:6], index=index, columns=["Open", "High", "Low", "Close", "Volume"])
    for _ in sys.stdin:
        test = Backtest(frame, Crossing, cash=1e9, commission=0.0036, trade_on_close=True, finalize_trades=True)
        started = time.perf_counter()
        stats = test.run()
        seconds = time.perf_counter() - started
        sys.stdout.write(json.dumps({"seconds": seconds, "trades": int(stats["# Trades"])}) + "\n")
        sys.stdout.flush()


main()
