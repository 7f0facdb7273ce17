"""The rule of the comparison in NautilusTrader; answers a line of JSON for every line it is sent."""

# mypy: ignore-errors

import json
import os
import sys
import time
from decimal import Decimal

import numpy as np
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, RiskEngineConfig, StrategyConfig
from nautilus_trader.indicators import (
    ExponentialMovingAverage,
    MovingAverageConvergenceDivergence,
    MovingAverageType,
    RelativeStrengthIndex,
)
from nautilus_trader.model.currencies import BTC, USD
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("SIM")


class Crossing(Strategy):
    def __init__(self, instrument, bars_of):
        super().__init__(StrategyConfig())
        self.instrument, self.bars_of = instrument, bars_of
        self.rsi = RelativeStrengthIndex(14, MovingAverageType.WILDER)
        self.macd = MovingAverageConvergenceDivergence(12, 26, MovingAverageType.EXPONENTIAL)
        self.signal = ExponentialMovingAverage(9)
        self.unit = instrument.make_qty(1)
        self.before, self.held, self.trips = 0.0, False, 0

    def on_start(self):
        self.register_indicator_for_bars(self.bars_of, self.rsi)
        self.register_indicator_for_bars(self.bars_of, self.macd)
        self.subscribe_bars(self.bars_of)

    def on_bar(self, bar):
        if not self.macd.initialized:
            return
        self.signal.update_raw(self.macd.value)
        now, before = self.macd.value - self.signal.value, self.before
        self.before = now
        if not self.signal.initialized:
            return
        if self.held:
            if now < 0 <= before or self.rsi.value > 0.8:
                self.order(OrderSide.SELL)
                self.trips += 1
        elif now > 0 >= before and self.rsi.value < 0.7:
            self.order(OrderSide.BUY)

    def order(self, side):
        self.submit_order(self.order_factory.market(self.instrument.id, side, self.unit))
        self.held = side == OrderSide.BUY


def instrument_of(name):
    fee, nothing = Decimal("0.0036"), Decimal(0)
    return CurrencyPair(
        instrument_id=InstrumentId(Symbol(name), VENUE), raw_symbol=Symbol(name), base_currency=BTC,
        quote_currency=USD, price_precision=2, size_precision=3, price_increment=Price.from_str("0.01"),
        size_increment=Quantity.from_str("0.001"), lot_size=None, max_quantity=Quantity.from_str("1000000.000"),
        min_quantity=Quantity.from_str("0.001"), max_notional=None, min_notional=None,
        max_price=Price.from_str("10000000.00"), min_price=Price.from_str("0.01"), margin_init=nothing,
        margin_maint=nothing, maker_fee=fee, taker_fee=fee, ts_event=0, ts_init=0,
    )  # fmt: skip


def run(frame):
    quiet, free = LoggingConfig(bypass_logging=True), RiskEngineConfig(bypass=True)
    config = BacktestEngineConfig(trader_id="PEER-001", logging=quiet, risk_engine=free, run_analysis=False)
    engine = BacktestEngine(config)
    engine.add_venue(venue=VENUE, oms_type=OmsType.NETTING, account_type=AccountType.MARGIN, base_currency=USD,
                     starting_balances=[Money(1_000_000_000, USD)])  # fmt: skip
    instrument = instrument_of("BTC/USD")
    engine.add_instrument(instrument)
    kind = BarType.from_str("BTC/USD.SIM-1-MINUTE-LAST-EXTERNAL")
    engine.add_data(BarDataWrangler(kind, instrument).process(frame))
    strategy = Crossing(instrument, kind)
    engine.add_strategy(strategy)
    started = time.perf_counter()
    engine.run()
    seconds = time.perf_counter() - started
    trips = strategy.trips
    engine.dispose()
    return {"seconds": seconds, "trades": trips}


def main():
    bars = np.load(sys.argv[1])
    index = pd.to_datetime(bars[:, 0].astype("int64"), unit="ms", utc=True)
    frame = pd.DataFrame(bars[:, 1:6], index=index, columns=["open", "high", "low", "close", "volume"])
    for _ in sys.stdin:
        sys.stdout.write(json.dumps(run(frame)) + "\n")
        sys.stdout.flush()
    os._exit(0)  # its threads do not end by themselves


main()
