"""The frozen tree of settings: every number of the system has a name here and a value in `config/`, none in code.

Unknown keys, wrong types and values out of range are refused. Reading YAML, and saying in which line a value
stood, is the work of `connectors/config_files.py`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Ratio = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Money = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
MoneyRatio = Annotated[Decimal, Field(ge=0, le=1, allow_inf_nan=False)]


class Section(BaseModel):
    """Base of all sections: frozen, nothing unknown, nothing coerced but numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class Costs(Section):
    """What a side costs, on its own notional."""

    fee_ratio: MoneyRatio
    slippage_ratio: MoneyRatio

    @property
    def per_side(self) -> Decimal:
        """Fee plus slippage of one side."""
        return self.fee_ratio + self.slippage_ratio

    @property
    def round_trip(self) -> float:
        """Additive cost of a round trip, as a ratio."""
        return float(2 * self.per_side)


class Account(Section):
    """The account and the size of an entry."""

    start_quote: Money
    entry_equity_ratio: MoneyRatio
    stop_ratio: MoneyRatio
    amount_decimals: Annotated[int, Field(ge=0, le=12)]


class Exchange(Section):
    """Manners of the simulated exchange."""

    max_volume_ratio: MoneyRatio


class AnalystTeam(Section):
    """One parameter set of the technical analysts."""

    rsi: Annotated[int, Field(ge=2, le=200)]
    macd: tuple[Count, Count, Count]
    bollinger: Annotated[int, Field(ge=2, le=200)]

    @model_validator(mode="after")
    def _fast_before_slow(self) -> AnalystTeam:
        if self.macd[0] >= self.macd[1]:
            raise ValueError("macd: the fast period must be shorter than the slow one")
        return self


class Analysts(Section):
    """Technical analysts: three parameter sets and the signals they read."""

    teams: tuple[AnalystTeam, AnalystTeam, AnalystTeam]
    rsi_oversold_points: Annotated[float, Field(gt=0, lt=100)]
    rsi_overbought_points: Annotated[float, Field(gt=0, lt=100)]
    rsi_max_confidence: Ratio
    macd_gain: Positive
    macd_min_confidence: Ratio
    macd_max_confidence: Ratio
    band_confidence: Ratio
    band_close_confidence: Ratio
    band_close_ratio: Ratio


class Indicators(Section):
    """Windows of the shared features, in bars."""

    rsi: Annotated[int, Field(ge=2)]
    atr: Annotated[int, Field(ge=2)]
    adx: Annotated[int, Field(ge=2)]
    ema_fast: Annotated[int, Field(ge=2)]
    ema_slow: Annotated[int, Field(ge=2)]
    macd: tuple[Count, Count, Count]
    bollinger: Annotated[int, Field(ge=2)]
    bollinger_deviations: Positive
    volume_window: Annotated[int, Field(ge=2)]
    atr_rank_window: Annotated[int, Field(ge=2)]
    volatility_memory: Annotated[float, Field(gt=0, lt=1)]
    volatility_warmup: Count


class Horizon(Section):
    """One horizon of the learners, in base intervals."""

    name: str
    intervals: Count


class Learners(Section):
    """Pattern learners: online classifiers over {down, flat, up}."""

    per_pair: Annotated[int, Field(ge=0)]
    horizons: Annotated[tuple[Horizon, ...], Field(min_length=1)]
    learning_rate: Positive
    learning_rate_spread: NotNegative
    learning_rate_floor: Ratio
    learning_rate_halving: Positive
    feature_mask_ratio: Annotated[float, Field(gt=0, le=1)]
    feature_clip: Positive
    flat_min: Ratio
    flat_max: Positive
    rank_window: Count
    rank_warmup: Count
    entry_score: Ratio
    entry_score_spread: Ratio
    calibration_memory: Annotated[float, Field(gt=0, lt=1)]
    calibration_min_t2: NotNegative
    min_learners: Count
    silence_profit_ratio: Annotated[float, Field(le=0)]
    silence_min_trades: Annotated[int, Field(ge=0)]
    voice_profit_ratio: Annotated[float, Field(le=0)]
    book_trades: Count


class Consensus(Section):
    """The Rule of 3."""

    required_votes: Count
    min_confidence_ratio: Ratio
    window_seconds: NotNegative


class Trading(Section):
    """When ideas meet."""

    collision_window_seconds: NotNegative


class Risk(Section):
    """Limits of the guardian and the gate."""

    max_drawdown_ratio: Ratio
    max_positions: Count
    max_data_age_intervals: Count


class BusSettings(Section):
    """The bus and its server."""

    port: Annotated[int, Field(ge=0, le=65535)]
    settle_timeout_seconds: Positive
    connect_timeout_seconds: Positive
    backoff_first_seconds: Positive
    backoff_cap_seconds: Positive
    max_generations: Count
    max_messages_per_owner: Count
    dead_letters_kept: Count
    control_secret: str | None


class LedgerSettings(Section):
    """The single-writer queue."""

    queue_rows: Count
    group_rows: Count
    group_seconds: NotNegative
    durable_timeout_seconds: Positive
    retry_seconds: Positive
    busy_timeout_seconds: Positive
    row_bytes: Count
    checkpoint_seconds: Positive


class Agents(Section):
    """How agents are kept in check."""

    step_budget_seconds: Positive
    faults_before_quarantine: Count


class SimulatedMarket(Section):
    """The market for machines with neither data nor network."""

    pairs: Annotated[tuple[str, ...], Field(min_length=1)]
    start_prices: dict[str, Positive]
    start: str
    timeframe: str
    history_days: Annotated[int, Field(ge=0)]
    volatility_day_ratio: Positive
    volatility_persistence: Annotated[float, Field(ge=0, lt=1)]
    volatility_shock: NotNegative
    tail_degrees: Annotated[float, Field(gt=2)]
    correlation: Ratio
    regime_days: Positive
    regime_drift_day_ratio: NotNegative
    volume_quote: Positive
    plant_correlation: Annotated[float, Field(ge=0, lt=1)]
    plant_horizon: Count


class Run(Section):
    """The long-running process."""

    mode: Literal["advise", "paper", "live"]
    speed: str
    control_timeout_seconds: Positive
    min_free_disk_mb: Count


class Settings(Section):
    """The whole tree."""

    costs: Costs
    account: Account
    exchange: Exchange
    indicators: Indicators
    analysts: Analysts
    learners: Learners
    consensus: Consensus
    trading: Trading
    risk: Risk
    bus: BusSettings
    ledger: LedgerSettings
    agents: Agents
    simulated: SimulatedMarket
    run: Run
