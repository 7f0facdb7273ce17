"""The rule by which engines are compared, as one agent of a run: the engine that trades is the one that is measured.

Enter when the MACD(12, 26, 9) histogram crosses above 0 and RSI(14) < 70, leave when it crosses below 0 or RSI > 80;
0.36 % a side, one unit. The market is that on which other engines were measured: a random walk of minutes.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Protocol

import msgspec
import numpy as np

from ...core.config import Settings
from ...core.history import History
from ...core.indicators import INDICATOR_INDEX
from ...core.messages import SynthesizedTrade
from ...core.model import MycelialAgent, MycelialModel
from ...core.types import Idea, Pair, Side, Snapshot, Stream
from ..sweep_kernel import Arm, Crossing, arm_of

# The fixed design of the instrument, deliberately no settings.
PAIR = Pair("BTC/USDT")
MINUTE_MS, START_MS = 60_000, 1_672_531_200_000
RSI, MACD, BELOW, ABOVE = 14, (12, 26, 9), 70.0, 80.0
FEE_RATIO, SLIPPAGE_RATIO = Decimal("0.0026"), Decimal("0.0010")
SEED, FIRST_PRICE, YEAR_VOLATILITY, STEPS_A_BAR, MINUTES_A_YEAR = 1, 30_000.0, 0.6, 4, 525_600
VOLUME = 1e6
"""Of every bar, in base units: an order never waits for more."""
CASH = Decimal(1_000_000_000)
ONE_UNIT, A_FEW_UNITS = Decimal(32_000), Decimal(160_000)
"""Stakes: whole units are bought, one as long as a price lies between half of the stake and the stake."""
FAR_BELOW = Decimal(-1_000_000)
"""The rule loses with every trade, and still it is to go on: no sum of its returns is below this."""
EVER = 1_000_000
"""More than anybody does in a day: the rule loses often in a row, and still it is to go on."""
_NAMES = ("rsi_2", "macd_hist_2", "macd_hist_prev_2")
_COLUMNS = [INDICATOR_INDEX[name] for name in _NAMES]


class RuleWorld(Protocol):
    """What the rule has to know of a run."""

    model: MycelialModel
    pairs: tuple[Pair, ...]


class RuleAnalyst(MycelialAgent):
    """Speaks for one pair, as the trader does where two ideas meet; it remembers nothing.

    The second team of the settings is the one whose indicators it reads.
    """

    kind: ClassVar[str] = "rule_analyst"
    phase: ClassVar[str] = "trade"

    def __init__(self, model: MycelialModel, pair: Pair, index: int, horizon: int) -> None:
        super().__init__(model, f"rule-{pair}")
        self.pair = pair
        self._index, self._horizon = index, horizon

    def act(self, snapshot: Snapshot) -> None:
        """Say what the rule says of a bar that has just closed."""
        index = self._index
        if not snapshot.fresh.item(index):
            return
        rsi, now, before = [snapshot.indicators.item(index, column) for column in _COLUMNS]
        if self.pair in self.model.account.held:
            if (now < 0.0 <= before) or rsi > ABOVE:
                self.model.heard(Stream.BASELINE, Idea(self.pair, Side.SELL, snapshot.at, 1.0, (self.name,)))
        elif now > 0.0 >= before and rsi < BELOW:
            self.say("synthesized-trade-log", self._entry(snapshot))

    def _entry(self, snapshot: Snapshot) -> SynthesizedTrade:
        return SynthesizedTrade(
            source=self.name,
            at=snapshot.at,
            known_at=snapshot.at,
            pair=self.pair,
            outcome="collision",
            side=Side.BUY,
            price=snapshot.close.item(self._index),
            baseline_confidence=1.0,
            mycelial_score=1.0,
            edge=1.0,
            horizon=self._horizon,
            analysts=(self.name,),
            learners=(),
            baseline_at=snapshot.at,
            mycelial_at=snapshot.at,
        )


def populate(world: RuleWorld, horizon: int) -> None:
    """One for each pair; positions are left after `horizon` intervals at the latest."""
    for index, pair in enumerate(world.pairs):
        RuleAnalyst(world.model, pair, index, horizon)


def market(bars: int) -> History:
    """Minutes of a geometric Brownian motion without drift in the price, to the cent; each opens where one closed."""
    random = np.random.Generator(np.random.PCG64(SEED))
    step = YEAR_VOLATILITY / np.sqrt(MINUTES_A_YEAR * STEPS_A_BAR)
    path = np.cumsum(random.normal(-step * step / 2.0, step, bars * STEPS_A_BAR))
    prices = FIRST_PRICE * np.exp(path).reshape(bars, STEPS_A_BAR)
    close = prices[:, -1]
    open_ = np.concatenate(([FIRST_PRICE], close[:-1]))
    high, low = np.maximum(prices.max(axis=1), open_), np.minimum(prices.min(axis=1), open_)
    times = START_MS + MINUTE_MS * np.arange(1, bars + 1, dtype=np.int64)
    opens, highs, lows, closes = (np.round(column, 2)[:, None] for column in (open_, high, low, close))
    volume, present = np.full((bars, 1), VOLUME), np.ones((bars, 1), np.bool_)
    return History((PAIR,), MINUTE_MS, times, opens, highs, lows, closes, volume, present, True)


def terms(settings: Settings, stake: Decimal) -> Settings:
    """The settings with the money of the comparison: whole units for `stake`, no stop, no memory, no other book."""
    account = settings.account.model_copy(
        update={"start_quote": CASH, "entry_equity_ratio": stake / CASH, "stop_ratio": Decimal(1), "amount_decimals": 0}
    )
    names = ("probation_ratio", "deep_probation_ratio", "hibernation_ratio", "lift_ratio", "deep_lift_ratio")
    lifecycle = settings.lifecycle.model_copy(update=dict.fromkeys(names, FAR_BELOW))
    team = settings.analysts.teams[1].model_copy(update={"rsi": RSI, "macd": MACD})
    analysts = settings.analysts.model_copy(
        update={"teams": (settings.analysts.teams[0], team, settings.analysts.teams[2])}
    )
    costs = settings.costs.model_copy(update={"fee_ratio": FEE_RATIO, "slippage_ratio": SLIPPAGE_RATIO})
    changes = {
        "account": account,
        "analysts": analysts,
        "costs": costs,
        "lifecycle": lifecycle,
        "exchange": settings.exchange.model_copy(update={"max_volume_ratio": Decimal(1)}),
        "risk": settings.risk.model_copy(update={"max_drawdown_ratio": 1.0}),
        "limits": settings.limits.model_copy(
            update={"max_daily_loss_ratio": Decimal(1), "max_losses_in_a_row": EVER, "max_orders_day": EVER}
        ),
        "controls": settings.controls.model_copy(update={"enabled": False}),
        "memory": settings.memory.model_copy(update={"enabled": False}),
    }
    return settings.model_copy(update=changes)


def arm(settings: Settings, horizon: int) -> Arm:
    """The same rule on the same terms for the sweep; `settings` as `terms` gives them."""
    crossing = Crossing(RSI, MACD, BELOW, ABOVE)
    return msgspec.structs.replace(arm_of(settings), rule=crossing, horizon=horizon)
