"""The rule of the comparison in Freqtrade, without a network; answers a line of JSON for every line it is sent."""

# mypy: ignore-errors

import sys

sys.path.pop(0)  # this file is called like the library

import json
import logging
import tempfile
import time
from pathlib import Path
from unittest.mock import PropertyMock, patch

import numpy as np
import pandas as pd
from freqtrade.configuration import Configuration
from freqtrade.enums import RunMode
from freqtrade.exchange.exchange import Exchange
from freqtrade.optimize.backtesting import Backtesting

PAIR = "BTC/USDT"
STRATEGY = """
import talib.abstract as ta
from freqtrade.strategy import IStrategy


class Crossing(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = "1m"
    minimal_roi = {"0": 1000}
    stoploss = -0.99
    can_short = False
    startup_candle_count = 0

    def populate_indicators(self, frame, metadata):
        frame["rsi"] = ta.RSI(frame, timeperiod=14)
        frame["now"] = ta.MACD(frame, fastperiod=12, slowperiod=26, signalperiod=9)["macdhist"]
        frame["before"] = frame["now"].shift(1)
        return frame

    def populate_entry_trend(self, frame, metadata):
        frame.loc[(frame["now"] > 0) & (frame["before"] <= 0) & (frame["rsi"] < 70), "enter_long"] = 1
        return frame

    def populate_exit_trend(self, frame, metadata):
        frame.loc[((frame["now"] < 0) & (frame["before"] >= 0)) | (frame["rsi"] > 80), "exit_long"] = 1
        return frame
"""
MARKET = {
    "id": "BTCUSDT", "symbol": PAIR, "base": "BTC", "quote": "USDT", "active": True, "spot": True, "swap": False,
    "type": "spot", "linear": None, "contract": False, "precision": {"price": 0.01, "amount": 1e-6}, "info": {},
    "limits": {"amount": {"min": 1e-6, "max": 1e9}, "price": {"min": 0.01, "max": 1e9},
               "cost": {"min": 1, "max": 1e12}, "leverage": {}},
    "taker": 0.0036, "maker": 0.0036,
}  # fmt: skip


def offline():
    """What would ask the exchange is answered here."""

    def markets(self, *ignored, **also):
        self._markets = {PAIR: MARKET}
        self._last_markets_refresh = time.time() * 1000

    patch.object(Exchange, "reload_markets", markets).start()
    patch.object(Exchange, "_load_async_markets", lambda *ignored, **also: {}).start()
    patch.object(Exchange, "validate_timeframes", lambda *ignored: None).start()
    patch.object(Exchange, "get_fee", lambda *ignored, **also: 0.0036).start()
    for name in ("precisionMode", "precision_mode_price"):
        if hasattr(Exchange, name):
            patch.object(Exchange, name, PropertyMock(return_value=4)).start()


def configured(folder, bars):
    data, strategies = folder / "data" / "binance", folder / "strategies"
    data.mkdir(parents=True)
    strategies.mkdir()
    frame = pd.DataFrame(bars[:, 1:6], columns=["open", "high", "low", "close", "volume"])
    frame.insert(
        0, "date", pd.to_datetime(bars[:, 0].astype("int64"), unit="ms", utc=True).astype("datetime64[ms, UTC]")
    )
    frame.to_feather(data / "BTC_USDT-1m.feather", compression="lz4")
    (strategies / "crossing.py").write_text(STRATEGY)
    side = {"price_side": "same", "use_order_book": False}
    settings = {
        "stake_currency": "USDT", "stake_amount": 30000, "dry_run": True, "dry_run_wallet": 1e12, "max_open_trades": 1,
        "timeframe": "1m", "strategy": "Crossing", "strategy_path": str(strategies), "user_data_dir": str(folder),
        "datadir": str(data), "pairlists": [{"method": "StaticPairList"}], "fee": 0.0036, "entry_pricing": side,
        "exchange": {"name": "binance", "pair_whitelist": [PAIR], "key": "", "secret": ""}, "exit_pricing": side,
        "tradable_balance_ratio": 0.99, "export": "none", "dataformat_ohlcv": "feather", "backtest_cache": "none",
        "cancel_open_orders_on_exit": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(settings))
    words = {
        "config": [str(folder / "config.json")],
        "user_data_dir": str(folder),
        "export": "none",
        "datadir": str(data),
    }
    found = Configuration(words, RunMode.BACKTEST).get_config()
    found["datadir"] = data
    return found


def main():
    logging.disable(logging.CRITICAL)
    offline()
    with tempfile.TemporaryDirectory() as folder:
        test = Backtesting(configured(Path(folder), np.load(sys.argv[1])))
        data, timerange = test.load_bt_data()
        strategy = test.strategylist[0]
        for _ in sys.stdin:
            frames = {pair: frame.copy() for pair, frame in data.items()}
            started = time.perf_counter()
            test.backtest_one_strategy(strategy, frames, timerange)
            seconds = time.perf_counter() - started
            trades = len(test.all_bt_content["Crossing"]["results"])
            sys.stdout.write(json.dumps({"seconds": seconds, "trades": trades}) + "\n")
            sys.stdout.flush()


main()
